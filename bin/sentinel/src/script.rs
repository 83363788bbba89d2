//! One user script as a process.

use std::os::unix::process::ExitStatusExt as _;
use std::process::ExitStatus;

use sentinel_core::{Input, JobId};
use tokio::process::Command;
use tokio::sync::{mpsc, oneshot};

/// A script that runs. Dropping it leaves the process alone.
#[derive(Debug)]
pub(crate) struct Script {
    kill: Option<oneshot::Sender<()>>,
}

impl Script {
    /// Starts a script; what becomes of it goes to `inputs`.
    pub(crate) fn start(job: JobId, argv: &[String], inputs: mpsc::Sender<Input>) -> Self {
        let (kill, killed) = oneshot::channel();
        let spawned = match argv.split_first() {
            Some((program, arguments)) => Command::new(program).args(arguments).spawn(),
            None => Err(std::io::ErrorKind::InvalidInput.into()),
        };
        tokio::task::spawn_local(async move {
            let mut child = match spawned {
                Ok(child) => child,
                Err(error) => {
                    // Fails only when the sentinel ends.
                    let _ = inputs.send(not_started(job, &error)).await;
                    return;
                }
            };
            let pid = child.id().unwrap_or(0);
            let _ = inputs.send(Input::ScriptStarted { job, pid }).await;
            let status = tokio::select! {
                status = child.wait() => status,
                Ok(()) = killed => {
                    // It may just have ended by itself.
                    let _ = child.start_kill();
                    child.wait().await
                }
            };
            let (exit_code, signal) = status.map_or((2, 0), ended);
            let _ = inputs
                .send(Input::ScriptExited {
                    job,
                    exit_code,
                    signal,
                })
                .await;
        });
        Self { kill: Some(kill) }
    }

    pub(crate) fn kill(&mut self) {
        if let Some(kill) = self.kill.take() {
            // It has ended already when nobody listens.
            let _ = kill.send(());
        }
    }
}

/// A lack of processes or memory passes; a script that cannot be run at all is told as Redis's child does, by exit code 2.
fn not_started(job: JobId, error: &std::io::Error) -> Input {
    use std::io::ErrorKind::{OutOfMemory, WouldBlock};
    if matches!(error.kind(), OutOfMemory | WouldBlock) {
        Input::ScriptNotStarted { job }
    } else {
        Input::ScriptExited {
            job,
            exit_code: 2,
            signal: 0,
        }
    }
}

fn ended(status: ExitStatus) -> (i32, i32) {
    (status.code().unwrap_or(0), status.signal().unwrap_or(0))
}
