//! What the system offers only through `unsafe`: forked processes (the daemon that leaves the terminal, the child that saves) and
//! signals, one of which tells where the main thread stands; the processor's counter. The only `unsafe` of the server's shell is here.
#![expect(unsafe_code, reason = "fork, signal handlers, the time stamp counter")]

use std::ffi::CString;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use engine::ChildEnd;
use nix::errno::Errno;
use nix::sys::pthread::{Pthread, pthread_kill, pthread_self};
use nix::sys::signal::{
    SaFlags, SigAction, SigHandler, SigSet, Signal, kill, raise, sigaction, signal,
};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::{ForkResult, Pid, fork, pipe, setsid};
use rustix::process::set_parent_process_death_signal;

use crate::signals;

/// How far a child that saves stands back (the scale of `nice`).
const CHILD_NICE: i32 = 10;
/// How long it runs before the scheduler looks again whether its parent has something to do; the least that Linux takes.
const SLICE_NS: u64 = 100_000;

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

/// The processor's counter of time, where it has one that needs no call of the kernel's. Whether it can be gone by, the kernel knows.
#[inline]
pub(crate) fn processor_ticks() -> Option<u64> {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: every x86-64 has the instruction, and the kernel would have to forbid it.
        Some(unsafe { core::arch::x86_64::_rdtsc() })
    }
    #[cfg(not(target_arch = "x86_64"))]
    None
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
            remove_when_ended(&(apart.temporary)(std::process::id()));
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
            stand_back();
            // A panic must not unwind into the parent's event loop.
            let done =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or(false);
            // SAFETY: `_exit` only ends the process.
            unsafe { nix::libc::_exit(i32::from(!done)) }
        }
        Err(error) => Err(error.desc().to_owned()),
    }
}

/// The temporary file of this process, if it is a child: a C string that is never freed.
static TEMPORARY: AtomicPtr<nix::libc::c_char> = AtomicPtr::new(std::ptr::null_mut());

/// A signal that ends this process removes the file first.
fn remove_when_ended(path: &Path) {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else {
        return;
    };
    TEMPORARY.store(path.into_raw(), Ordering::Release);
    let remove = SigAction::new(
        SigHandler::Handler(remove_and_end),
        SaFlags::empty(),
        SigSet::empty(),
    );
    for end in [Signal::SIGUSR1, Signal::SIGTERM, Signal::SIGINT] {
        // SAFETY: `remove_and_end` may run at any point of the thread: it takes no lock and no memory.
        let set = unsafe { sigaction(end, &remove) };
        debug_assert!(set.is_ok(), "the signal exists");
    }
}

extern "C" fn remove_and_end(number: nix::libc::c_int) {
    // SAFETY: the pointer is one to a C string that lives as long as the process, and the three functions may be called in a handler.
    // The signal is held back until the handler returns; then it ends the process.
    unsafe {
        nix::libc::unlink(TEMPORARY.load(Ordering::Acquire));
        nix::libc::signal(number, nix::libc::SIG_DFL);
        nix::libc::raise(number);
    }
}

/// Where the child has to share its parent's core, clients come first: at nice 10 a busy server leaves it a tenth of the core, and with a
/// short slice a request that comes waits for it no longer than that. Refused, it is as fast as its parent.
fn stand_back() {
    if !schedule(nix::libc::SCHED_OTHER, CHILD_NICE) {
        let _ = rustix::process::nice(CHILD_NICE);
    }
}

/// For a thread whose work can wait: it does not take the core from who has just given it something to do.
pub(crate) fn wait_for_the_core() {
    // Where that is refused, it is a thread like others.
    let _ = schedule(nix::libc::SCHED_BATCH, 0);
}

/// Sets how the calling thread is scheduled, with short slices (Linux 6.12; older ones overlook that). Tells whether it could.
fn schedule(policy: i32, nice: i32) -> bool {
    let attributes = nix::libc::sched_attr {
        size: u32::try_from(size_of::<nix::libc::sched_attr>()).unwrap_or(0),
        sched_policy: policy.unsigned_abs(),
        sched_flags: 0,
        sched_nice: nice,
        sched_priority: 0,
        sched_runtime: SLICE_NS,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the kernel reads as many bytes as the structure says that it has, and writes none.
    let refused =
        unsafe { nix::libc::syscall(nix::libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    refused == 0
}

/// A file that reaches the limit of its size gives an error, as a full disk does; by itself the system would end the process.
pub(crate) fn ignore_file_size_signal() {
    // SAFETY: nothing is run when the signal comes.
    let ignored = unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) };
    debug_assert!(ignored.is_ok(), "the signal exists");
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

/// The most frames of a stack that are told.
const MOST_FRAMES: usize = 64;

/// Return addresses of the thread that answered a look, innermost first.
static FRAMES: [AtomicUsize; MOST_FRAMES] = [const { AtomicUsize::new(0) }; MOST_FRAMES];

/// How many of them there are; 0 until the thread has answered.
static FRAME_COUNT: AtomicUsize = AtomicUsize::new(0);

/// A thread that can be looked into from others: it lives as long as the process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MainThread(Pthread);

impl MainThread {
    /// The calling thread, which must not end before the last look.
    pub(crate) fn this() -> Self {
        Self(pthread_self())
    }

    /// Where the thread stands: return addresses, innermost first; none where it does not answer within a second. One look at a
    /// time, after [`answer_looks`].
    pub(crate) fn frames(self) -> Vec<usize> {
        const PATIENCE: Duration = Duration::from_secs(1);
        FRAME_COUNT.store(0, Ordering::Relaxed);
        let asked = Instant::now();
        if pthread_kill(self.0, Signal::SIGALRM).is_err() {
            return Vec::new();
        }
        while asked.elapsed() < PATIENCE {
            let count = FRAME_COUNT.load(Ordering::Acquire);
            if count > 0 {
                let frames = FRAMES[..count].iter();
                return frames.map(|frame| frame.load(Ordering::Relaxed)).collect();
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Vec::new()
    }
}

/// Makes threads of this process answer [`MainThread::frames`].
pub(crate) fn answer_looks() {
    // The first walk over a stack may load and allocate; it is done here and not in the handler.
    drop(own_frames());
    let answer = SigAction::new(
        SigHandler::Handler(note_frames),
        SaFlags::SA_RESTART,
        SigSet::empty(),
    );
    // SAFETY: `note_frames` may run at any point of the thread: it takes no lock and no memory.
    let set = unsafe { sigaction(Signal::SIGALRM, &answer) };
    debug_assert!(set.is_ok(), "the signal exists");
}

extern "C" fn note_frames(_: nix::libc::c_int) {
    let mut count = 0;
    // SAFETY: one look at a time, so no other thread walks with this function. The walk reads the stack and the unwinder's tables,
    // which glibc finds without a lock, and stores into atomics.
    unsafe {
        backtrace::trace_unsynchronized(|frame| {
            FRAMES[count].store(frame.ip() as usize, Ordering::Relaxed);
            count += 1;
            count < MOST_FRAMES
        });
    }
    FRAME_COUNT.store(count, Ordering::Release);
}

/// Where the calling thread stands.
pub(crate) fn own_frames() -> Vec<usize> {
    let mut frames = Vec::new();
    backtrace::trace(|frame| {
        frames.push(frame.ip() as usize);
        frames.len() < MOST_FRAMES
    });
    frames
}

/// Ends the process as a memory fault does.
pub(crate) fn die_of_segfault() -> ! {
    // SAFETY: nothing is run when the signal comes: the system ends the process.
    let reset = unsafe { signal(Signal::SIGSEGV, SigHandler::SigDfl) };
    debug_assert!(reset.is_ok(), "the signal exists");
    let _ = raise(Signal::SIGSEGV);
    // Where something holds the signal back.
    std::process::abort();
}
