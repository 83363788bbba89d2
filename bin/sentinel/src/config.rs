//! From the command line to a configuration: reading sentinel.conf, and what has to happen while it is read.

use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};

use conf::LoadError;
use conf::Refusal;
use conf::command_line::{Run, Source};
use conf::load::cannot_open;
use daemon::{as_path, current_dir, reason};
use rustix::fs::{Access, access};
use sentinel_core::config::{File, Host};

/// The message for a start without a file.
pub(crate) const NO_FILE: &str = "Sentinel started without a config file. Exiting...";

/// What the command line came to.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) file: File,
    /// The absolute path of sentinel.conf.
    pub(crate) path: PathBuf,
}

/// Reads the configuration of a run.
///
/// # Errors
/// Redis's message, where a line is wrong with its number.
pub(crate) fn load(run: &Run) -> Result<Loaded, LoadError> {
    let path = match &run.source {
        None => return Err(LoadError::Message(NO_FILE.to_owned())),
        Some(Source::StandardInput) => {
            let text = "Sentinel config from STDIN not allowed.\n\
                Sentinel needs config file on disk to save state.  Exiting...";
            return Err(LoadError::Message(text.to_owned()));
        }
        Some(Source::File(path)) => path,
    };
    let text = std::fs::read(as_path(path)).map_err(|_| LoadError::Message(cannot_open(path)))?;
    // Before a `dir` line changes what a relative path means.
    let path = std::path::absolute(as_path(path)).unwrap_or_else(|_| as_path(path).to_owned());
    let mut file = File::parse(&run.text(&text), &mut World)?;
    file.server.dir = current_dir();
    Ok(Loaded { file, path })
}

/// The file system and the resolver, as the configuration's reader asks for them.
struct World;

impl conf::Host for World {
    fn read(&mut self, path: &[u8]) -> Result<Vec<u8>, Refusal> {
        daemon::read(path)
    }

    fn expand(&mut self, pattern: &[u8]) -> Vec<Vec<u8>> {
        daemon::expand(pattern)
    }

    fn accepted(&mut self, directive: &str, arguments: &[Vec<u8>]) -> Result<(), Refusal> {
        daemon::on_accepted(directive, arguments)
    }
}

impl Host for World {
    fn resolve(&mut self, host: &str) -> Option<IpAddr> {
        if let Ok(ip) = host.parse() {
            return Some(ip);
        }
        (host, 0)
            .to_socket_addrs()
            .ok()?
            .next()
            .map(|addr| addr.ip())
    }

    fn is_executable(&mut self, path: &str) -> bool {
        is_executable(path)
    }
}

/// Whether this process may start a program.
pub(crate) fn is_executable(path: &str) -> bool {
    access(path, Access::EXEC_OK).is_ok()
}

/// Looks whether the state can be kept, before anything depends on it. Gives a warning where it cannot and the sentinel
/// is to run without.
///
/// # Errors
/// That it cannot be kept, where votes depend on it.
pub(crate) fn check_writable(path: &Path, without_disk: bool) -> anyhow::Result<Option<String>> {
    let Err(errno) = access(path, Access::WRITE_OK) else {
        return Ok(None);
    };
    let why = reason(&io::Error::from(errno));
    let told = format!(
        "Sentinel config file {} is not writable: {why}.",
        path.display()
    );
    if without_disk {
        Ok(Some(format!(
            "WARNING: {told} What this sentinel learns and whom it votes for is lost when it ends; failovers are made all \
             the same (sentinel vote-without-disk yes)"
        )))
    } else {
        Err(anyhow::anyhow!("{told} Exiting..."))
    }
}
