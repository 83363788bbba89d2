//! From configuration text to a filled struct: lines, comments, quotes, `include`, and the message of a fatal error, which
//! tells everything that is wrong at once.
//!
//! Files are not opened here. What a directive needs from the world while the text is read (another file's text, whether
//! a directory can be entered, whether a command exists) is asked of a [`Host`].

use std::collections::BTreeMap;
use std::fmt;

use resp::args;
use thiserror::Error;

use crate::directive::{BAD_DIRECTIVE, Reason};
use crate::rewrite::trim;
use crate::server::ServerConfig;
use crate::table::{all, find};

/// The length a line may have.
const MAX_LINE_BYTES: usize = 64 * 1024;
/// How deep files may include each other.
const MAX_INCLUDE_DEPTH: usize = 16;
/// How many wrong lines are told.
const MAX_FAULTS: usize = 100;

/// What the loader asks the world. `()` is a host without files that agrees to everything.
pub trait Host {
    /// The text of the file that an `include` names.
    ///
    /// # Errors
    ///
    /// [`Refusal`], told with whatever else is wrong.
    fn read(&mut self, path: &[u8]) -> Result<Vec<u8>, Refusal> {
        Err(Refusal::Message(cannot_open(path)))
    }

    /// The files that the pattern of an `include` names, in order. None is no fault.
    fn expand(&mut self, pattern: &[u8]) -> Vec<Vec<u8>> {
        let _ = pattern;
        Vec::new()
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
    /// Lines are wrong.
    #[error("{0}")]
    Lines(BadLines),
    /// The host gave a message of its own.
    #[error("{0}")]
    Message(String),
}

/// The lines that are wrong, at least one. Prints as the fatal message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLines(pub Vec<BadLine>);

/// A line that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// The file that it is in, if that was included.
    pub file: Option<Vec<u8>>,
    /// Its number; the first line is 1. Lines of the command line follow those of the file.
    pub number: usize,
    /// The line, without blanks around it.
    pub text: Vec<u8>,
    /// What is wrong with it.
    pub reason: Reason,
}

impl fmt::Display for BadLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "*** FATAL CONFIG FILE ERROR (Version {}) ***",
            env!("CARGO_PKG_VERSION")
        )?;
        for BadLine {
            file,
            number,
            text,
            reason,
        } in &self.0
        {
            write!(f, "\nReading the configuration file, at line {number}")?;
            if let Some(file) = file {
                write!(f, " of {}", String::from_utf8_lossy(file))?;
            }
            write!(f, "\n>>> '{}'\n{reason}", String::from_utf8_lossy(text))?;
        }
        Ok(())
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
    /// ([`Invocation`](crate::Invocation)). Starts from the defaults.
    ///
    /// # Errors
    ///
    /// [`LoadError`], with every line that is wrong.
    pub fn load(text: &[u8], host: &mut impl Host) -> Result<ServerConfig, LoadError> {
        let mut config = ServerConfig::default();
        Loader::new(host, Some(no_master_in_cluster)).load(text, &mut config)?;
        Ok(config)
    }
}

/// A replica in a cluster is told so by the cluster.
fn no_master_in_cluster(config: &ServerConfig) -> Option<(&'static str, &'static str)> {
    let both = config.cluster_enabled && config.slaveof.is_some();
    both.then_some((
        "replicaof",
        "replicaof directive not allowed in cluster mode",
    ))
}

/// A look at the whole: the directive that is wrong, with the reason.
pub type Check = fn(&ServerConfig) -> Option<(&'static str, &'static str)>;

/// Loads text. For daemons beside the server; the server has [`ServerConfig::load`].
pub struct Loader<'a, H> {
    /// Who is asked.
    host: &'a mut H,
    /// Looks at the whole at the end.
    check: Option<Check>,
    /// Where each directive stood last.
    places: BTreeMap<&'static str, BadLine>,
    faults: Vec<BadLine>,
    /// The last message that is to be told as it is, if it is the only fault.
    message: Option<String>,
}

impl<'a, H: Host> Loader<'a, H> {
    /// A loader that asks `host`, and looks at the whole with `check`.
    pub fn new(host: &'a mut H, check: Option<Check>) -> Self {
        Loader {
            host,
            check,
            places: BTreeMap::new(),
            faults: Vec::new(),
            message: None,
        }
    }

    /// Loads a text over what `config` holds.
    ///
    /// # Errors
    ///
    /// [`LoadError`]; `config` then holds what could be loaded.
    pub fn load(mut self, text: &[u8], config: &mut ServerConfig) -> Result<(), LoadError> {
        self.text(text, config, &[]);
        if let Some((name, reason)) = self.check.and_then(|check| check(config)) {
            let place = self.places.remove(name);
            self.faults.extend(place.map(|line| BadLine {
                reason: reason.into(),
                ..line
            }));
        }
        if self.faults.is_empty() {
            return Ok(());
        }
        if let (1, Some(message)) = (self.faults.len(), self.message) {
            return Err(LoadError::Message(message));
        }
        self.faults.truncate(MAX_FAULTS);
        Err(LoadError::Lines(BadLines(self.faults)))
    }

    /// Loads the text of the last of `files`, which were included by each other.
    fn text(&mut self, text: &[u8], config: &mut ServerConfig, files: &[&[u8]]) {
        for (index, line) in text.split(|byte| *byte == b'\n').enumerate() {
            let line = trim(line);
            if line.is_empty() || line[0] == b'#' {
                continue;
            }
            let place = BadLine {
                file: files.last().map(|file| file.to_vec()),
                number: index + 1,
                text: shown(line),
                reason: Reason::default(),
            };
            match self.line(line, config, files, &place) {
                Ok(()) => {}
                Err(Stop::Reason(reason)) => self.faults.push(BadLine { reason, ..place }),
                Err(Stop::Message(message)) => {
                    self.faults.push(BadLine {
                        reason: message.clone().into(),
                        ..place
                    });
                    self.message = Some(message);
                }
            }
        }
    }

    fn line(
        &mut self,
        line: &[u8],
        config: &mut ServerConfig,
        files: &[&[u8]],
        place: &BadLine,
    ) -> Result<(), Stop> {
        let (name, arguments) = split(line)?;
        if let Some(directive) = find(&name) {
            if self
                .places
                .insert(directive.name(), place.clone())
                .is_none()
            {
                directive.clear(config);
            }
            directive.load(config, &arguments)?;
            return self
                .host
                .accepted(directive.name(), &arguments)
                .map_err(Stop::from);
        }
        match (&*name, &arguments[..]) {
            (b"include", [path]) => self.include(path, config, files),
            _ => match self.host.unknown(&name, &arguments) {
                Some(outcome) => outcome.map_err(Stop::from),
                // What `--sentinel` on the command line leaves here.
                None if name == b"sentinel" && arguments.is_empty() => Ok(()),
                None if name == b"sentinel" => {
                    Err("sentinel directive while not in sentinel mode".into())
                }
                None => Err(Stop::Reason(unknown(&name))),
            },
        }
    }

    fn include(
        &mut self,
        path: &[u8],
        config: &mut ServerConfig,
        files: &[&[u8]],
    ) -> Result<(), Stop> {
        if files.len() == MAX_INCLUDE_DEPTH {
            return Err("Too many files include each other".into());
        }
        let is_glob = path.iter().any(|byte| b"*?[".contains(byte));
        let paths = if is_glob {
            self.host.expand(path)
        } else {
            vec![path.to_vec()]
        };
        for path in paths {
            let text = self.host.read(&path)?;
            let files: Vec<&[u8]> = files.iter().copied().chain([&*path]).collect();
            self.text(&text, config, &files);
        }
        Ok(())
    }
}

/// The reason for a directive that nobody knows, with the name that it may have meant.
fn unknown(name: &[u8]) -> Reason {
    let name = String::from_utf8_lossy(name);
    let distance = |known: &str| strsim::damerau_levenshtein(&name, known);
    let nearest = all()
        .flat_map(|directive| directive.names())
        .map(|known| (distance(known), known))
        .min();
    match nearest {
        Some((distance, known)) if distance <= (name.len() / 4).max(1) && name.len() < 64 => {
            format!("{BAD_DIRECTIVE}. Is '{known}' meant?").into()
        }
        _ => BAD_DIRECTIVE.into(),
    }
}

/// How a directive ends: by what is wrong with its line, or by a message that stands for itself, where nothing else is wrong.
enum Stop {
    Reason(Reason),
    Message(String),
}

impl From<Reason> for Stop {
    fn from(reason: Reason) -> Self {
        Stop::Reason(reason)
    }
}

impl From<&'static str> for Stop {
    fn from(reason: &'static str) -> Self {
        Stop::Reason(reason.into())
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Reason(reason) => Stop::Reason(reason.into()),
            Refusal::Message(message) => Stop::Message(message),
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
