//! The software watchdog (`watchdog-period`): a thread that reports where the main thread stands when the engine's timer has not come
//! round. How the main thread is looked into stands in `stack.rs`.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

use engine::Running;

use crate::stack::{self, MainThread};

/// Characters of a function's name that are told: those of generic ones go on without end.
const LONGEST_NAME: usize = 120;

/// Held while the watching thread writes to the log, and while a child is made: a child must not inherit a log that somebody writes to.
static LOG: Mutex<()> = Mutex::new(());

/// The watchdog of the thread that made it.
#[derive(Clone, Debug)]
pub(crate) struct Watchdog(Arc<State>);

#[derive(Debug)]
struct State {
    start: Instant,
    main: MainThread,
    /// 0: nothing is watched.
    period_ms: AtomicU64,
    /// When the timer came round last, milliseconds since `start`.
    round_ms: AtomicU64,
    watcher: Mutex<Option<Thread>>,
}

impl Watchdog {
    /// Watches nothing yet.
    pub(crate) fn new() -> Self {
        Self(Arc::new(State {
            start: Instant::now(),
            main: MainThread::this(),
            period_ms: AtomicU64::new(0),
            round_ms: AtomicU64::new(0),
            watcher: Mutex::default(),
        }))
    }

    /// The timer has come round.
    pub(crate) fn round(&self) {
        self.0.round_ms.store(self.0.now_ms(), Ordering::Relaxed);
    }

    /// Reports from now on when the timer stands still for so long; 0: never.
    pub(crate) fn set_period(&self, period_ms: u64, running: &Arc<Running>) {
        self.round();
        self.0.period_ms.store(period_ms, Ordering::Relaxed);
        let mut watcher = self
            .0
            .watcher
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match &*watcher {
            Some(thread) => thread.unpark(),
            None if period_ms > 0 => {
                stack::answer_looks();
                let (state, running) = (Arc::clone(&self.0), Arc::clone(running));
                let handle = std::thread::spawn(move || state.watch(&running));
                *watcher = Some(handle.thread().clone());
            }
            None => {}
        }
    }
}

impl State {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn watch(&self, running: &Running) {
        /// Where nothing is watched, the thread sleeps until it is woken.
        const LONG: Duration = Duration::from_secs(3600);
        let mut reported = None;
        loop {
            let period_ms = self.period_ms.load(Ordering::Relaxed);
            let round_ms = self.round_ms.load(Ordering::Relaxed);
            let silent_ms = self.now_ms().saturating_sub(round_ms);
            let wait = match period_ms {
                0 => LONG,
                // One report until the timer comes round again.
                _ if reported == Some(round_ms) => Duration::from_millis(period_ms),
                _ if silent_ms < period_ms => Duration::from_millis(period_ms - silent_ms),
                _ => {
                    reported = Some(round_ms);
                    self.report(running);
                    Duration::from_millis(period_ms)
                }
            };
            std::thread::park_timeout(wait);
        }
    }

    fn report(&self, running: &Running) {
        let frames = self.main.frames();
        let trace = describe(&frames, running.name());
        let _writing = quiet();
        tracing::warn!("\n--- WATCHDOG TIMER EXPIRED ---\n{trace}--------");
    }
}

/// What is to be held while a child is made.
pub(crate) fn quiet() -> impl Sized {
    LOG.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The running command under Redis's name for its function, then a line for each frame.
pub(crate) fn describe(frames: &[usize], running: Option<&str>) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = match running {
        Some(name) => writeln!(text, "running: {name}Command"),
        None => writeln!(text, "running: no command"),
    };
    if frames.is_empty() {
        text.push_str("the main thread did not answer\n");
    }
    for address in frames.iter().filter(|address| **address > 0) {
        let mut names = Vec::new();
        // An address is where its call returns to: the byte before belongs to the call.
        backtrace::resolve((address - 1) as *mut _, |symbol| {
            let name = symbol.name().map(|name| format!("{name:#}"));
            names.extend(name.map(|name| name.chars().take(LONGEST_NAME).collect::<String>()));
        });
        // Of those that the compiler put into one, the innermost, and the one that holds the others.
        let _ = match &names[..] {
            [] => writeln!(text, "{address:#x}"),
            [only] => writeln!(text, "{address:#x} {only}"),
            [inner, .., outer] => writeln!(text, "{address:#x} {inner} in {outer}"),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_names_the_command_and_the_functions() {
        let text = describe(&stack::own_frames(), Some("debug"));
        assert!(text.starts_with("running: debugCommand\n"), "{text}");
        assert!(text.contains("a_report_names_the_command"), "{text}");
    }

    #[test]
    fn the_frames_of_a_thread_that_waits_are_found() {
        stack::answer_looks();
        let (tell, told) = std::sync::mpsc::channel();
        let (end, ended) = std::sync::mpsc::channel::<()>();
        let waiting = std::thread::spawn(move || {
            tell.send(MainThread::this()).unwrap();
            ended.recv().unwrap();
        });
        let frames = told.recv().unwrap().frames();
        end.send(()).unwrap();
        waiting.join().unwrap();
        let text = describe(&frames, None);
        assert!(text.starts_with("running: no command\n"), "{text}");
        assert!(
            text.contains("the_frames_of_a_thread_that_waits_are_found"),
            "{text}"
        );
    }
}
