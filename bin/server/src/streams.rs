//! When replicas are sent what there is of the stream.
//!
//! A send wakes the other side, which costs as much as some dozens of commands. So where requests come without a pause it is not done behind
//! each of them, but once there is a good piece of the stream, or a moment has passed, or there is nothing else to do.

use std::cell::{Cell, RefCell};

use engine::{ClientId, Engine, System};
use tokio::sync::Notify;

/// So much is sent at once.
const PIECE_BYTES: u64 = 64 * 1024;
/// So long after the last send what has gathered is sent, however little it is.
const MOMENT_NS: u64 = 500_000;
/// When nothing was to be done at so many looks at the sockets in succession, what has gathered is sent at once.
const IDLE_LOOKS: u32 = 3;

/// The replicas whose share of the stream gathers.
#[derive(Debug, Default)]
pub(crate) struct Streams {
    waiting: RefCell<Vec<ClientId>>,
    due: Notify,
    /// When replicas were last let send.
    sent_ns: Cell<u64>,
    /// How many turns the engine has had: where there was none since, nothing else is to be done.
    turns: Cell<u64>,
}

impl Streams {
    /// To be called with each turn of the engine.
    pub(crate) fn count_turn(&self) {
        self.turns.set(self.turns.get() + 1);
    }

    /// Whether what a client has to send is to gather for a moment: then [`Streams::gathered`] will give it.
    pub(crate) fn gathers(&self, engine: &Engine, clock: &impl System, id: ClientId) -> bool {
        let Some(bytes) = engine.unhurried_stream(id) else {
            return false;
        };
        let now_ns = clock.mono_ns();
        if bytes >= PIECE_BYTES || now_ns.saturating_sub(self.sent_ns.get()) >= MOMENT_NS {
            self.sent_ns.set(now_ns);
            return false;
        }
        let mut waiting = self.waiting.borrow_mut();
        if !waiting.contains(&id) {
            waiting.push(id);
            self.due.notify_one();
        }
        true
    }

    /// The replicas whose share has gathered: after each moment, and whenever nothing else is to be done.
    pub(crate) async fn gathered(&self, clock: &impl System) -> Vec<ClientId> {
        self.due.notified().await;
        let mut idle = 0;
        loop {
            let turns = self.turns.get();
            // The sockets are looked at meanwhile.
            tokio::task::yield_now().await;
            idle = if turns == self.turns.get() {
                idle + 1
            } else {
                0
            };
            let now_ns = clock.mono_ns();
            let is_over = now_ns.saturating_sub(self.sent_ns.get()) >= MOMENT_NS;
            if is_over || idle == IDLE_LOOKS {
                self.sent_ns.set(now_ns);
                return self.waiting.take();
            }
        }
    }
}
