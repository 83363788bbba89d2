//! Where a thread stands: the return addresses on its stack, its own or another's.
#![expect(unsafe_code, reason = "a signal handler that walks the stack")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nix::sys::pthread::{Pthread, pthread_kill, pthread_self};
use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};

/// The most frames of a stack that are told.
pub(crate) const MOST_FRAMES: usize = 64;

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

/// Hands `each` the return addresses of the calling thread, innermost first, until it answers false. Takes no lock and no memory after
/// the first walk.
pub(crate) fn walk_own(mut each: impl FnMut(usize) -> bool) {
    // SAFETY: the lock that this goes without guards the search for names, which is not done here. The walk reads the stack and the
    // unwinder's tables, which glibc finds without a lock.
    unsafe {
        backtrace::trace_unsynchronized(|frame| each(frame.ip() as usize));
    }
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
