//! From the command line to a configuration: reading the files it names, and what has to happen while they are read.

use std::path::PathBuf;

use commands::table;
use conf::command_line::{Run, Source};
use conf::load::cannot_open;
use conf::{Refusal, ServerConfig};
use daemon::{as_path, read};

/// What the command line came to.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: ServerConfig,
    /// The absolute path of the configuration file; CONFIG REWRITE needs one.
    pub(crate) file: Option<PathBuf>,
}

/// Reads the configuration of a run.
///
/// # Errors
/// The message for standard error: Redis's, naming line and directive.
pub(crate) fn load(run: &Run) -> Result<Loaded, String> {
    let (text, file) = match &run.source {
        None => (Vec::new(), None),
        Some(Source::StandardInput) => {
            let mut text = Vec::new();
            std::io::Read::read_to_end(&mut std::io::stdin(), &mut text)
                .map_err(|_| cannot_open(b"-"))?;
            (text, None)
        }
        Some(Source::File(path)) => {
            let text = read(path).map_err(|refusal| match refusal {
                Refusal::Message(text) | Refusal::Reason(text) => text,
            })?;
            (text, std::path::absolute(as_path(path)).ok())
        }
    };
    let config =
        ServerConfig::load(&run.text(&text), &mut World).map_err(|error| format!("\n{error}"))?;
    Ok(Loaded { config, file })
}

/// The file system and the command table, as the configuration's loader asks for them.
struct World;

impl conf::Host for World {
    fn read(&mut self, path: &[u8]) -> Result<Vec<u8>, Refusal> {
        daemon::read(path)
    }

    fn accepted(&mut self, directive: &str, arguments: &[Vec<u8>]) -> Result<(), Refusal> {
        let first = arguments.first().map(Vec::as_slice).unwrap_or_default();
        if directive == "rename-command" && table::find(first).is_none() {
            return Err(Refusal::Reason(
                "No such command in rename-command".to_owned(),
            ));
        }
        daemon::on_accepted(directive, arguments)
    }
}
