//! Children: processes that are forked to save, and how they end.
#![expect(unsafe_code, reason = "fork")]

use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use engine::ChildEnd;
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal, kill, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork};
use rustix::process::set_parent_process_death_signal;

use crate::{crash, handlers, sched, signals};

/// What a child does about what it has in common with its parent.
pub(crate) struct Apart<'a> {
    /// It does not listen: who starts the server anew finds the ports free.
    pub(crate) doors: &'a [RawFd],
    /// Removed by a signal that ends the child; the names hold its process id.
    pub(crate) temporary: fn(u32) -> PathBuf,
}

/// Runs `work` in a child that sees memory as it is now, and ends with 0 where it was `true`.
pub(crate) fn child(apart: &Apart<'_>, work: impl FnOnce() -> bool) -> Result<i32, String> {
    let parent = nix::unistd::getpid();
    // SAFETY: the child has this thread alone. It uses the allocator, whose locks jemalloc takes care of at a fork, the log, whose
    // lock no other thread of this process takes, and files; then it ends without running the parent's exit handlers.
    match unsafe { fork() } {
        Ok(ForkResult::Parent { child }) => Ok(child.as_raw()),
        Ok(ForkResult::Child) => {
            handlers::remove_when_ended(&(apart.temporary)(std::process::id()));
            // When the server is killed its child must not go on holding its locks, nor put an old dump into the place of one that
            // the next server has written. Where the system cannot do that, the child ends by itself a little later.
            let _ = set_parent_process_death_signal(Some(rustix::process::Signal::USR1));
            if nix::unistd::getppid() != parent {
                // It was killed just before.
                let _ = raise(Signal::SIGUSR1);
            }
            // The thread that takes these in the parent is not here: they end the child.
            let _ = SigSet::from_iter(signals::TAKEN).thread_unblock();
            for &door in apart.doors {
                // SAFETY: the child has a copy of the parent's descriptor, and nothing that uses it.
                unsafe { nix::libc::close(door) };
            }
            sched::stand_back();
            // A panic is a failed job, and must not unwind into the parent's event loop.
            crash::outlive_panics();
            let done =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or(false);
            // SAFETY: `_exit` only ends the process.
            unsafe { nix::libc::_exit(i32::from(!done)) }
        }
        Err(error) => Err(error.desc().to_owned()),
    }
}

/// What a child does with a descriptor that it has from its parent.
pub(crate) fn inherited(descriptor: RawFd) -> OwnedFd {
    // SAFETY: it is called in a child, which has a copy of each of its parent's descriptors, and nothing else that uses this one.
    unsafe { OwnedFd::from_raw_fd(descriptor) }
}

/// A pipe whose ends children of other forks do not keep open.
pub(crate) fn private_pipe() -> Result<(OwnedFd, OwnedFd), String> {
    nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC).map_err(|error| error.desc().to_owned())
}

/// Whether a child has ended, and how.
pub(crate) fn ended(pid: i32) -> Option<ChildEnd> {
    match waitpid(Pid::from_raw(pid), Some(WaitPidFlag::WNOHANG)) {
        Ok(WaitStatus::Exited(_, 0)) => Some(ChildEnd::Done),
        Ok(WaitStatus::Exited(..)) => Some(ChildEnd::Failed),
        Ok(WaitStatus::Signaled(_, signal, _)) => Some(ChildEnd::Killed(signal as i32)),
        Err(Errno::ECHILD) => Some(ChildEnd::Failed),
        _ => None,
    }
}

/// Ends a child, stopped or not, and waits until it is gone.
pub(crate) fn end(pid: i32) {
    // It may have ended by itself.
    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    let _ = waitpid(Pid::from_raw(pid), None);
}

/// The same for who cannot wait long: the disk may hold the child for seconds.
pub(crate) fn end_soon(pid: i32) {
    const PATIENCE: Duration = Duration::from_millis(100);
    let asked = Instant::now();
    let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    while ended(pid).is_none() && asked.elapsed() < PATIENCE {
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_a_child_is_a_failed_job() {
        let apart = Apart {
            doors: &[],
            temporary: |pid| std::env::temp_dir().join(format!("no-such-file-{pid}")),
        };
        let pid = child(&apart, || std::panic::resume_unwind(Box::new("told to"))).unwrap();
        let begun = Instant::now();
        let end = loop {
            if let Some(end) = ended(pid) {
                break end;
            }
            assert!(begun.elapsed() < Duration::from_secs(30), "the child hangs");
            std::thread::sleep(Duration::from_millis(1));
        };
        assert_eq!(end, ChildEnd::Failed);
    }
}
