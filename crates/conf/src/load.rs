//! From configuration text to a filled struct: lines, comments, quotes, `include`, and the message of a fatal error.
//!
//! Files are not opened here. What a directive needs from the world while the text is read (another file's text, whether
//! a directory can be entered, whether a command exists) is asked of a [`Host`].

use std::borrow::Cow;
use std::fmt;

use resp::args;
use thiserror::Error;

use crate::directive::{BAD_DIRECTIVE, Table};
use crate::server::{SERVER, ServerConfig};

/// The length a line may have.
const MAX_LINE_BYTES: usize = 64 * 1024;
/// How deep files may include each other.
const MAX_INCLUDE_DEPTH: usize = 16;

/// What the loader asks the world. `()` is a host without files that agrees to everything.
pub trait Host {
    /// The text of the file that an `include` names.
    ///
    /// # Errors
    ///
    /// Anything makes the loader give up with [`LoadError::CannotOpen`].
    fn read(&mut self, path: &[u8]) -> Result<Vec<u8>, Refusal> {
        Err(Refusal::Message(cannot_open(path)))
    }

    /// A directive of the table was understood. The place to do what has to be done before the next line: enter a
    /// directory, try a log file, rename a command.
    ///
    /// # Errors
    ///
    /// [`Refusal`], when it cannot be done.
    fn accepted(&mut self, directive: &str, arguments: &[Vec<u8>]) -> Result<(), Refusal> {
        let _ = (directive, arguments);
        Ok(())
    }

    /// A directive that the table does not know; `None` when the host does not know it either. The name is in lower
    /// case.
    fn unknown(&mut self, name: &[u8], arguments: &[Vec<u8>]) -> Option<Result<(), Refusal>> {
        let _ = (name, arguments);
        None
    }
}

impl Host for () {}

/// Why a host does not go along.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The reason in the usual message, with line number and line.
    Reason(String),
    /// A message that stands for itself, as when a directory cannot be entered.
    Message(String),
}

/// Why a configuration cannot be used. Prints as the message that the daemon leaves behind, without a line end.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LoadError {
    /// A line is wrong.
    #[error("{0}")]
    Line(BadLine),
    /// The host gave a message of its own.
    #[error("{0}")]
    Message(String),
}

/// A line that is wrong. Prints as Redis's fatal message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// Its number; the first line is 1. Lines of the command line follow those of the file.
    pub number: usize,
    /// The line, without blanks around it.
    pub text: Vec<u8>,
    /// What is wrong with it.
    pub reason: Cow<'static, str>,
}

impl fmt::Display for BadLine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = String::from_utf8_lossy(&self.text);
        writeln!(f, "*** FATAL CONFIG FILE ERROR ***")?;
        writeln!(f, "Reading the configuration file, at line {}", self.number)?;
        writeln!(f, ">>> '{text}'")?;
        f.write_str(&self.reason)
    }
}

/// The message for a file that cannot be read.
#[must_use]
pub fn cannot_open(path: &[u8]) -> String {
    format!(
        "Fatal error, can't open config file '{}'",
        String::from_utf8_lossy(path)
    )
}

impl ServerConfig {
    /// Loads the server's configuration from the text of a file with the directives of the command line after it
    /// ([`Invocation`](crate::Invocation)). Starts from the defaults, but without their save points.
    ///
    /// # Errors
    ///
    /// [`LoadError`], for the first thing that is wrong.
    pub fn load(text: &[u8], host: &mut impl Host) -> Result<ServerConfig, LoadError> {
        let mut config = ServerConfig {
            save: Vec::new(),
            ..ServerConfig::default()
        };
        Loader {
            table: &SERVER,
            host,
            check: Some(no_master_in_cluster),
        }
        .load(text, &mut config)?;
        Ok(config)
    }
}

/// A replica in a cluster is told so by the cluster.
fn no_master_in_cluster(config: &ServerConfig) -> Option<(&'static str, &'static str)> {
    let both = config.cluster_enabled && config.slaveof.is_some();
    both.then_some(("slaveof", "slaveof directive not allowed in cluster mode"))
}

/// A look at the whole: the directive that is wrong, with the reason.
pub type Check<C> = fn(&C) -> Option<(&'static str, &'static str)>;

/// Loads text by a table. For daemons beside the server; the server has [`ServerConfig::load`].
pub struct Loader<'a, C: 'static, E: 'static, H> {
    /// The directives that are known.
    pub table: &'static Table<C, E>,
    /// Who is asked.
    pub host: &'a mut H,
    /// Looks at the whole after each file.
    pub check: Option<Check<C>>,
}

impl<C, E: Copy, H: Host> Loader<'_, C, E, H> {
    /// Loads a text over what `config` holds.
    ///
    /// # Errors
    ///
    /// [`LoadError`]; `config` then holds what was loaded before.
    pub fn load(&mut self, text: &[u8], config: &mut C) -> Result<(), LoadError> {
        self.text(text, config, 0)
    }

    fn text(&mut self, text: &[u8], config: &mut C, depth: usize) -> Result<(), LoadError> {
        let mut last_of_each = Vec::new();
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = trim(line);
            let bad = |reason| {
                LoadError::Line(BadLine {
                    number: index + 1,
                    text: shown(line),
                    reason,
                })
            };
            if line.is_empty() || line[0] == b'#' {
                continue;
            }
            let (name, arguments) = split(line).map_err(|reason| bad(reason.into()))?;
            match self.directive(&name, &arguments, config, depth) {
                Ok(()) => {}
                Err(Stop::Reason(reason)) => return Err(bad(reason)),
                Err(Stop::Final(error)) => return Err(error),
            }
            last_of_each.retain(|(known, _, _)| *known != name);
            last_of_each.push((name, index + 1, line));
        }
        let Some((name, reason)) = self.check.and_then(|check| check(config)) else {
            return Ok(());
        };
        let place = last_of_each
            .iter()
            .find(|(known, _, _)| known == name.as_bytes());
        let (number, line) = place.map_or((0, &b""[..]), |(_, number, line)| (*number, *line));
        Err(LoadError::Line(BadLine {
            number,
            text: line.to_vec(),
            reason: reason.into(),
        }))
    }

    fn directive(
        &mut self,
        name: &[u8],
        arguments: &[Vec<u8>],
        config: &mut C,
        depth: usize,
    ) -> Result<(), Stop> {
        if let Some(directive) = self.table.find(name) {
            directive.load(config, arguments).map_err(Stop::Reason)?;
            return self
                .host
                .accepted(directive.name(), arguments)
                .map_err(Stop::from);
        }
        match (name, arguments) {
            (b"include", [path]) => self.include(path, config, depth),
            _ => match self.host.unknown(name, arguments) {
                Some(outcome) => outcome.map_err(Stop::from),
                // What `--sentinel` on the command line leaves here.
                None if name == b"sentinel" && arguments.is_empty() => Ok(()),
                None if name == b"sentinel" => Err(Stop::Reason(
                    "sentinel directive while not in sentinel mode".into(),
                )),
                None => Err(Stop::Reason(BAD_DIRECTIVE.into())),
            },
        }
    }

    fn include(&mut self, path: &[u8], config: &mut C, depth: usize) -> Result<(), Stop> {
        if depth == MAX_INCLUDE_DEPTH {
            return Err(Stop::Reason("Too many files include each other".into()));
        }
        let text = self.host.read(path)?;
        self.text(&text, config, depth + 1).map_err(Stop::Final)
    }
}

/// How a directive ends the loading: by what is wrong with its line, or by an error that is complete already.
enum Stop {
    Reason(Cow<'static, str>),
    Final(LoadError),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Reason(reason) => Stop::Reason(reason.into()),
            Refusal::Message(message) => Stop::Final(LoadError::Message(message)),
        }
    }
}

/// A line's directive, in lower case, and its arguments.
fn split(line: &[u8]) -> Result<(Vec<u8>, Vec<Vec<u8>>), &'static str> {
    if line.len() > MAX_LINE_BYTES {
        return Err("Configuration line too long");
    }
    if line.contains(&0) {
        return Err("NUL byte in configuration line");
    }
    let mut words = args::split(line)
        .ok_or("Unbalanced quotes in configuration line")?
        .into_iter();
    let name = words.next().unwrap_or_default().to_ascii_lowercase();
    Ok((name, words.collect()))
}

/// A line as the message shows it: not more of it than anyone reads.
fn shown(line: &[u8]) -> Vec<u8> {
    const MAX_SHOWN_BYTES: usize = 1024;
    line[..line.len().min(MAX_SHOWN_BYTES)].to_vec()
}

/// Without the blanks around it.
pub(crate) fn trim(line: &[u8]) -> &[u8] {
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let start = line.iter().take_while(|byte| blank(byte)).count();
    let line = &line[start..];
    &line[..line.len() - line.iter().rev().take_while(|byte| blank(byte)).count()]
}
