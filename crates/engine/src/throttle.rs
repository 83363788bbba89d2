//! Writers are slowed while a replica makes its copy, if what gathers for it meanwhile comes near to the limit of its output: so the copy
//! ends, where else it would be thrown away and begun anew, again and again.
//!
//! The limit is the hard one of `client-output-buffer-limit replica` (the soft one, where there is no hard one), but at least the size of
//! the backlog. From half of it on writers may add the limit once more within [`FASTEST_S`] seconds, falling to [`SLOWEST_S`] at the limit
//! itself: so much time there is in any case. What a replica has not said to have applied counts: it gathers here, or at the replica.

use commands::Args;

use crate::index::Entry;
use crate::master::Replica;
use crate::{ClientId, Engine};

/// Seconds in which the stream may grow by the limit, where the first writers are slowed.
const FASTEST_S: u64 = 4;
/// The same at the limit and beyond.
const SLOWEST_S: u64 = 256;
/// What was not used may be used later, up to so many milliseconds' worth.
const BURST_MS: u64 = 100;

/// How writers are slowed.
#[derive(Debug, Default)]
pub(crate) struct Throttle {
    /// Bytes a second; none while they are not.
    rate: Option<u64>,
    /// What may still be written now. Negative after a large write.
    left: i64,
    /// When that was counted ([`crate::Now::mono_ms`]).
    at_ms: u64,
}

impl Throttle {
    pub(crate) fn is_on(&self) -> bool {
        self.rate.is_some()
    }

    /// So many bytes were written.
    pub(crate) fn spend(&mut self, bytes: usize) {
        if self.is_on() {
            let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
            self.left = self.left.saturating_sub(bytes);
        }
    }

    /// Whether something may be written now.
    fn has_left(&mut self, now_ms: u64) -> bool {
        let rate = self.rate.unwrap_or(u64::MAX);
        let since_ms = now_ms.saturating_sub(self.at_ms).min(1000);
        let earned = i64::try_from(rate.saturating_mul(since_ms) / 1000).unwrap_or(i64::MAX);
        let most = i64::try_from(rate.saturating_mul(BURST_MS) / 1000).unwrap_or(i64::MAX);
        self.at_ms = now_ms;
        self.left = self.left.saturating_add(earned).min(most);
        self.left > 0
    }
}

/// How much may be written in a second, with so much before a replica that makes its copy; none for as much as there is.
fn rate(gathered: u64, bound: u64) -> Option<u64> {
    let half = (bound / 2).max(1);
    let room = bound.saturating_sub(gathered);
    let (most, least) = (bound / FASTEST_S, (bound / SLOWEST_S).max(1));
    (room < half).then(|| {
        let more = u128::from(most.saturating_sub(least)) * u128::from(room) / u128::from(half);
        least.saturating_add(u64::try_from(more).unwrap_or(u64::MAX))
    })
}

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
        let gathered = replicas
            .filter_map(|replica| replica.gathered(offset))
            .max()
            .unwrap_or(0);
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writers_are_slowed_from_half_of_the_bound_on() {
        let bound = 256 << 20;
        assert_eq!(rate(0, bound), None);
        assert_eq!(rate(bound / 2, bound), None);
        let rates: Vec<u64> = (1..=4)
            .filter_map(|eighth| rate(bound / 2 + eighth * bound / 8, bound))
            .collect();
        assert_eq!(rates.len(), 4);
        assert!(rates.is_sorted_by(|a, b| a > b), "{rates:?}");
        assert!(rates[0] < 64 << 20);
        assert_eq!(rates[3], 1 << 20);
        assert_eq!(rate(u64::MAX, bound), Some(1 << 20));
        assert_eq!(rate(1, 1), Some(1));
    }

    #[test]
    fn what_was_written_is_paid_for_later() {
        let mut throttle = Throttle {
            rate: Some(1000),
            ..Throttle::default()
        };
        assert!(!throttle.has_left(0));
        assert!(throttle.has_left(10));
        throttle.spend(510);
        assert!(!throttle.has_left(500));
        assert!(throttle.has_left(520));
        // Nobody may save for long.
        assert!(throttle.has_left(10_000));
        throttle.spend(100);
        assert!(!throttle.has_left(10_000));
    }
}
