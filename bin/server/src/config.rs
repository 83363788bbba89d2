//! From the command line to a configuration: reading the files it names, and what has to happen while they are read.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use commands::table;
use conf::command_line::{Run, Source};
use conf::load::cannot_open;
use conf::{Refusal, ServerConfig};

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
        read(path)
    }

    fn accepted(&mut self, directive: &str, arguments: &[Vec<u8>]) -> Result<(), Refusal> {
        let first = arguments.first().map(Vec::as_slice).unwrap_or_default();
        match directive {
            "dir" => std::env::set_current_dir(as_path(first)).map_err(|error| {
                Refusal::Message(format!(
                    "Can't chdir to '{}': {}",
                    String::from_utf8_lossy(first),
                    reason(&error)
                ))
            }),
            "logfile" if !first.is_empty() => {
                let opened = std::fs::OpenOptions::new()
                    .append(true)
                    .create(true)
                    .open(as_path(first));
                opened.map(drop).map_err(|error| {
                    Refusal::Reason(format!("Can't open the log file: {}", reason(&error)))
                })
            }
            "rename-command" if table::find(first).is_none() => Err(Refusal::Reason(
                "No such command in rename-command".to_owned(),
            )),
            _ => Ok(()),
        }
    }
}

fn read(path: &[u8]) -> Result<Vec<u8>, Refusal> {
    std::fs::read(as_path(path)).map_err(|_| Refusal::Message(cannot_open(path)))
}

/// A path of the configuration, which is bytes.
pub(crate) fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// The current directory, as CONFIG GET dir shows it.
pub(crate) fn current_dir() -> Vec<u8> {
    std::env::current_dir()
        .map(|path| path.into_os_string().into_vec())
        .unwrap_or_default()
}

/// The words of an I/O error, without the number that the standard library adds.
pub(crate) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}
