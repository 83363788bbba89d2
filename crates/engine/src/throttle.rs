//! Writers are slowed while a replica makes its copy, if what gathers for it meanwhile comes near to the limit of its output: so the copy
//! ends, where else it would be thrown away and begun anew, again and again.
//!
//! The limit is the hard one of `client-output-buffer-limit replica` (the soft one, where there is no hard one), but at least the size of
//! the backlog. From half of it on writers may add the limit once more within [`crate::journal::throttle::FASTEST_S`] seconds, falling to [`crate::journal::throttle::SLOWEST_S`] at the limit
//! itself: so much time there is in any case. What a replica has not said to have applied counts: it gathers here, or at the replica.

use commands::Args;

use crate::entry::Entry;
use crate::journal::replicas::Replica;
use crate::journal::throttle::rate;
use crate::{ClientId, Engine};

impl Engine {
    /// Up to where the stream may gather for a replica that makes its copy; none where it may without limit, or is not to be held.
    pub(crate) fn copy_bound(&self) -> Option<u64> {
        let limit = self.replica_limit();
        let bound = match limit.hard_bytes {
            0 => limit.soft_bytes,
            hard => hard,
        };
        (self.config.repl_throttle && bound > 0).then_some(bound)
    }

    /// Looks how far replicas are behind that make their copies, and slows the writers accordingly.
    pub(crate) fn look_at_copies(&mut self) {
        let offset = self.journal.replicas.offset();
        let bound = self.copy_bound();
        let replicas = self.journal.replicas.ids.iter();
        let replicas = replicas.filter_map(|id| self.sessions.clients.get(*id)?.replica.as_deref());
        let gathered = replicas.filter_map(|replica| replica.gathered(offset));
        let gathered = gathered.max().unwrap_or(0).max(self.awaited_bytes());
        let now = bound.and_then(|bound| rate(gathered, bound));
        let before = std::mem::replace(&mut self.journal.throttle.rate, now);
        match (before, now) {
            (None, Some(_)) => {
                self.calm = false;
                self.journal.throttle.left = 0;
                self.journal.throttle.at_ms = self.now.mono_ms;
                tracing::warn!(
                    "Writes are slowed down, since a replica makes its copy and {gathered} bytes have gathered for it (repl-throttle)"
                );
            }
            (Some(_), None) => {
                tracing::info!("Writes are not slowed down any more");
                self.resume_held();
            }
            _ => {}
        }
    }

    /// Whether a request has to wait since writers are slowed.
    pub(crate) fn is_throttled(&mut self, id: ClientId, entry: Entry, args: Args<'_>) -> bool {
        if !self.journal.throttle.is_on() {
            return false;
        }
        let flags = self.sessions.clients[id].flags;
        let exempt = flags.master || flags.replica || flags.internal || flags.imports;
        let now_ms = self.now.mono_ms;
        !exempt && !self.journal.throttle.has_left(now_ms) && self.would_write(id, entry, args)
    }

    /// Part of each tick: who was slowed goes on, as far as the rate allows.
    pub(crate) fn tick_throttle(&mut self) {
        if !self.journal.throttle.is_on() {
            return;
        }
        // How far they are is known only as they say so.
        self.ask_for_acks();
        self.limit_replicas();
        let now_ms = self.now.mono_ms;
        if self.journal.throttle.is_on() && self.journal.throttle.has_left(now_ms) {
            self.resume_held();
        }
    }
}

impl Replica {
    /// What has gathered for it since its copy began; none once it has its copy and has nearly caught up.
    fn gathered(&self, offset: u64) -> Option<u64> {
        let from = self.copied_at?;
        Some(offset.saturating_sub(self.applied().unwrap_or(from).max(from)))
    }

    /// It has said how far it is: with its copy it may have caught up.
    pub(crate) fn note_caught_up(&mut self, offset: u64, bound: Option<u64>) {
        let near = bound.unwrap_or(u64::MAX) / 4;
        if self.applied().is_some() && self.gathered(offset).is_some_and(|bytes| bytes <= near) {
            self.copied_at = None;
        }
    }
}
