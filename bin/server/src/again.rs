//! The start of the program once more, in the place of this process.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::sync::OnceLock;

/// The folder that the program was started in: names of files among its words are relative to it.
static STARTED_IN: OnceLock<PathBuf> = OnceLock::new();
/// The words of the command line, before the process gave itself a title in their place.
static STARTED_WITH: OnceLock<Vec<OsString>> = OnceLock::new();

/// Starts the program again in the place of this process, with the same words; why it could not.
pub(crate) fn start() -> std::io::Error {
    let program = match std::env::current_exe() {
        Ok(program) => program,
        Err(error) => return error,
    };
    let mut words = STARTED_WITH.get().into_iter().flatten();
    let mut command = std::process::Command::new(program);
    if let Some(name) = words.next() {
        command.arg0(name);
    }
    if let Some(folder) = STARTED_IN.get() {
        command.current_dir(folder);
    }
    command.args(words).exec()
}

/// Keeps what a later start needs.
pub(crate) fn remember() {
    let _ = STARTED_WITH.set(std::env::args_os().collect());
    let _ = STARTED_IN.set(std::env::current_dir().unwrap_or_default());
}
