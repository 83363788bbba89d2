//! From the command line to a configuration: reading sentinel.conf, and what has to happen while it is read.

use std::ffi::OsStr;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

use conf::Refusal;
use conf::command_line::{Run, Source};
use conf::load::cannot_open;
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
/// The message for standard error: Redis's, naming line and directive.
pub(crate) fn load(run: &Run) -> Result<Loaded, String> {
    let path = match &run.source {
        None => return Err(NO_FILE.to_owned()),
        Some(Source::StandardInput) => {
            return Err("Sentinel config from STDIN not allowed.\n\
                 Sentinel needs config file on disk to save state.  Exiting..."
                .to_owned());
        }
        Some(Source::File(path)) => path,
    };
    let text = std::fs::read(as_path(path)).map_err(|_| cannot_open(path))?;
    // Before a `dir` line changes what a relative path means.
    let path = crate::absolute(as_path(path));
    let mut file =
        File::parse(&run.text(&text), &mut World).map_err(|error| format!("\n{error}"))?;
    file.server.dir = std::env::current_dir()
        .map(|dir| dir.into_os_string().into_vec())
        .unwrap_or_default();
    Ok(Loaded { file, path })
}

/// The file system and the resolver, as the configuration's reader asks for them.
struct World;

impl conf::Host for World {
    fn read(&mut self, path: &[u8]) -> Result<Vec<u8>, Refusal> {
        std::fs::read(as_path(path)).map_err(|_| Refusal::Message(cannot_open(path)))
    }

    fn accepted(&mut self, directive: &str, arguments: &[Vec<u8>]) -> Result<(), Refusal> {
        let first = arguments.first().map(Vec::as_slice).unwrap_or_default();
        match directive {
            "dir" => std::env::set_current_dir(as_path(first)).map_err(|error| {
                let dir = String::from_utf8_lossy(first);
                Refusal::Message(format!("Can't chdir to '{dir}': {}", reason(&error)))
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
            _ => Ok(()),
        }
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

/// A path of the configuration, which is bytes.
pub(crate) fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// The words of an I/O error, without the number that the standard library adds.
pub(crate) fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}
