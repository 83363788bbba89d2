//! SIGTERM and SIGINT. A thread of their own takes them, so that they are heard while the main thread is busy: with the save at the end,
//! with a script. The main thread ends the process in its own time; who sends SIGINT once more does not want to wait for that.
//!
//! Other signals are not here: those that the event loop takes are in `drive.rs`, handlers in `fork.rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use nix::sys::signal::{SigSet, Signal};
use tokio::sync::Notify;

use crate::watchdog;

/// The signals that are taken here.
pub(crate) const TAKEN: [Signal; 2] = [Signal::SIGTERM, Signal::SIGINT];

/// What the main thread knows of the signals. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signals(Arc<State>);

#[derive(Debug, Default)]
struct State {
    /// The process was asked to end, and has not tried to in vain since.
    asked: AtomicBool,
    /// By SIGINT.
    interrupted: AtomicBool,
    told: Notify,
}

impl Signals {
    /// Takes the signals from now on, until the process ends. To be called before other threads are started: it is from the calling one
    /// that they have it to leave these signals alone. `give_up` takes away what must not be left behind when the process ends at once.
    pub(crate) fn take(give_up: impl Fn() + Send + 'static) -> anyhow::Result<Self> {
        let set = SigSet::from_iter(TAKEN);
        set.thread_block().context("Cannot block signals")?;
        let signals = Self::default();
        let state = Arc::clone(&signals.0);
        std::thread::Builder::new()
            .name("signals".to_owned())
            .spawn(move || {
                // It fails for a set that holds no signals.
                while let Ok(signal) = set.wait() {
                    state.take(signal, &give_up);
                }
            })
            .context("Cannot start the thread that takes signals")?;
        Ok(signals)
    }

    /// Waits until the process is asked to end.
    pub(crate) async fn asked(&self) {
        while !self.0.asked.load(Ordering::Relaxed) {
            self.0.told.notified().await;
        }
    }

    /// Whether the process is asked to end.
    pub(crate) fn is_asked(&self) -> bool {
        self.0.asked.load(Ordering::Relaxed)
    }

    /// Whether it was SIGINT.
    pub(crate) fn interrupted(&self) -> bool {
        self.0.interrupted.load(Ordering::Relaxed)
    }

    /// The process goes on: it waits for replicas, or could not end as it was asked to.
    pub(crate) fn go_on(&self) {
        self.0.asked.store(false, Ordering::Relaxed);
    }
}

impl State {
    fn take(&self, signal: Signal, give_up: &impl Fn()) {
        let again = self.asked.load(Ordering::Relaxed);
        if again && signal == Signal::SIGINT {
            log("You insist... exiting now.");
            give_up();
            std::process::exit(1);
        }
        log(&format!("Received {signal} scheduling shutdown..."));
        self.interrupted
            .store(signal == Signal::SIGINT, Ordering::Relaxed);
        self.asked.store(true, Ordering::Relaxed);
        self.told.notify_one();
    }
}

fn log(text: &str) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let _writing = watchdog::quiet();
    daemon::log_signal(text, now.map_or(0, |since| since.as_secs()));
}
