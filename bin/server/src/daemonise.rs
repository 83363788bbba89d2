//! Leaving the terminal: the daemon continues in a process and a session of its own (`daemonize yes`).
#![expect(unsafe_code, reason = "fork")]

use std::fs::File;
use std::io::{Read as _, Write as _};

use anyhow::Context as _;
use nix::unistd::{ForkResult, fork, pipe, setsid};

/// Held by a detached process until it is ready: the process that was started from the terminal waits for it, so that its
/// exit code tells whether the server started.
#[derive(Debug)]
pub(crate) struct Detached(File);

impl Detached {
    /// The server listens: the waiting process may end with success.
    pub(crate) fn ready(mut self) {
        // If that process was killed there is nobody to tell.
        let _ = self.0.write_all(b"+");
    }
}

/// Continues in a process of its own, in a session of its own. The old process ends when the new one is ready, or has failed.
pub(crate) fn detach() -> anyhow::Result<Detached> {
    let (reader, writer) = pipe().context("Cannot make a pipe")?;
    // SAFETY: no other thread has been started yet, so the child has a whole process to itself.
    match unsafe { fork() }.context("Cannot start in the background")? {
        ForkResult::Child => {
            drop(reader);
            setsid().context("Cannot leave the terminal's session")?;
            Ok(Detached(File::from(writer)))
        }
        ForkResult::Parent { .. } => {
            drop(writer);
            let mut answer = [0; 1];
            let started = File::from(reader)
                .read(&mut answer)
                .is_ok_and(|count| count == 1);
            std::process::exit(i32::from(!started))
        }
    }
}

/// Points the standard streams at nothing, once the daemon needs them no more.
pub(crate) fn close_terminal() -> anyhow::Result<()> {
    let null = File::options()
        .read(true)
        .write(true)
        .open("/dev/null")
        .context("Cannot open /dev/null")?;
    nix::unistd::dup2_stdin(&null)?;
    nix::unistd::dup2_stdout(&null)?;
    nix::unistd::dup2_stderr(&null)?;
    Ok(())
}
