//! From the command line to a configuration: reading the files it names, and what has to happen while they are read.

use std::collections::BTreeSet;
use std::path::PathBuf;

use conf::command_line::{Run, Source};
use conf::load::cannot_open;
use conf::{LoadError, Refusal, ServerConfig};
use daemon::{as_path, read};

/// What the command line came to.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: ServerConfig,
    /// The absolute path of the configuration file; CONFIG REWRITE needs one.
    pub(crate) file: Option<PathBuf>,
    /// Whether there was anything on the command line.
    pub(crate) given: bool,
}

/// Reads the configuration of a run.
///
/// # Errors
/// Redis's message, where a line is wrong with its number.
pub(crate) fn load(run: &Run) -> Result<Loaded, LoadError> {
    let (text, file) = match &run.source {
        None => (Vec::new(), None),
        Some(Source::StandardInput) => {
            let mut text = Vec::new();
            std::io::Read::read_to_end(&mut std::io::stdin(), &mut text)
                .map_err(|_| LoadError::Message(cannot_open(b"-")))?;
            (text, None)
        }
        Some(Source::File(path)) => {
            let text = read(path).map_err(|refusal| match refusal {
                Refusal::Message(text) | Refusal::Reason(text) => LoadError::Message(text),
            })?;
            (text, std::path::absolute(as_path(path)).ok())
        }
    };
    let config = ServerConfig::load(&run.text(&text), &mut World::default())?;
    Ok(Loaded {
        config,
        file,
        given: true,
    })
}

/// The file system and the command table, as the configuration's loader asks for them.
struct World {
    /// What the commands are called after the renamings so far.
    names: BTreeSet<Vec<u8>>,
}

impl Default for World {
    fn default() -> Self {
        let names = engine::command_facts().map(|command| command.name.into());
        Self {
            names: names.collect(),
        }
    }
}

impl World {
    fn rename(&mut self, from: &[u8], to: &[u8]) -> Result<(), &'static str> {
        if !self.names.remove(&from.to_ascii_lowercase()) {
            return Err("No such command in rename-command");
        }
        if !to.is_empty() && !self.names.insert(to.to_ascii_lowercase()) {
            return Err("Target command name already exists");
        }
        Ok(())
    }
}

impl conf::Host for World {
    fn read(&mut self, path: &[u8]) -> Result<Vec<u8>, Refusal> {
        daemon::read(path)
    }

    fn expand(&mut self, pattern: &[u8]) -> Vec<Vec<u8>> {
        daemon::expand(pattern)
    }

    fn accepted(&mut self, directive: &str, arguments: &[Vec<u8>]) -> Result<(), Refusal> {
        if let ("rename-command", [from, to]) = (directive, arguments) {
            self.rename(from, to)
                .map_err(|reason| Refusal::Reason(reason.to_owned()))?;
        }
        daemon::on_accepted(directive, arguments)
    }
}
