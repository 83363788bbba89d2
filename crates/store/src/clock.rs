//! The time as the keyspace sees it. The engine sets it before each command; the doors read it.

use std::cell::Cell;
use std::rc::Rc;

use crate::db::Prefetched;

/// What a door does with a key whose time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpiryMode {
    /// Delete it and remember it for propagation: a master.
    Delete,
    /// Hide it but keep it until the master's DEL comes: a replica.
    Hide,
    /// Take no notice: loading a file, or applying a master's stream.
    Ignore,
}

/// What the 24 bits in the head of each key say about its use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    /// When it was last used, in seconds.
    Recency,
    /// How often it is used: the minute of the last use, and a counter that grows the slower the higher it is.
    Frequency {
        /// How slowly it grows (`lfu-log-factor`).
        log_factor: u32,
        /// Minutes after which it falls by one; 0 for never (`lfu-decay-time`).
        decay_minutes: u32,
    },
}

/// Which keys the doors remember for [`crate::Db::take_noted`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Notes {
    /// Keys that were to be read and are not there.
    pub missed: bool,
    /// Keys that are new.
    pub new: bool,
}

/// The counter of a new key.
const NEW_FREQUENCY: u8 = 5;
const LRU_MASK: u32 = 0xff_ffff;

/// The shared clock of all databases of one keyspace.
#[derive(Clone, Debug)]
pub struct Clock(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    unix_ms: Cell<u64>,
    expiry: Cell<ExpiryMode>,
    touch: Cell<bool>,
    looking: Cell<bool>,
    usage: Cell<Usage>,
    notes: Cell<Notes>,
    /// The last random number: which uses count.
    dice: Cell<u64>,
    hits: Cell<u64>,
    misses: Cell<u64>,
    expired: Cell<bool>,
    garbage: Cell<bool>,
    stream_gone: Cell<bool>,
    /// Where a key lies whose place is known, how long it is, and the place. No key lies at zero.
    placed: Cell<(usize, usize, Prefetched)>,
}

impl Clock {
    /// A clock that stands at the Unix epoch, in [`ExpiryMode::Delete`].
    #[must_use]
    #[expect(
        clippy::new_without_default,
        reason = "a clock that stands still is not a sensible default"
    )]
    pub fn new() -> Self {
        Self(Rc::new(Inner {
            unix_ms: Cell::new(0),
            expiry: Cell::new(ExpiryMode::Delete),
            expired: Cell::new(false),
            garbage: Cell::new(false),
            stream_gone: Cell::new(false),
            hits: Cell::new(0),
            misses: Cell::new(0),
            touch: Cell::new(true),
            looking: Cell::new(false),
            usage: Cell::new(Usage::Recency),
            notes: Cell::new(Notes::default()),
            dice: Cell::new(0x9e37_79b9_7f4a_7c15),
            placed: Cell::new((0, 0, Prefetched::default())),
        }))
    }

    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn unix_ms(&self) -> u64 {
        self.0.unix_ms.get()
    }

    /// Sets the time, in milliseconds since the Unix epoch.
    pub fn set_unix_ms(&self, unix_ms: u64) {
        self.0.unix_ms.set(unix_ms);
    }

    /// Whether [`Clock::take_expired`] will say yes.
    #[must_use]
    #[inline]
    pub fn has_expired(&self) -> bool {
        self.0.expired.get()
    }

    /// Whether some database has keys for [`crate::Db::take_expired`] since the last call: the check that every command pays.
    #[must_use]
    pub fn take_expired(&self) -> bool {
        self.0.expired.take()
    }

    pub(crate) fn note_expired(&self) {
        self.0.expired.set(true);
    }

    /// Whether some database has something for [`crate::Db::take_garbage`] since the last call: the check that every turn pays.
    #[must_use]
    pub fn take_garbage(&self) -> bool {
        self.0.garbage.take()
    }

    pub(crate) fn note_garbage(&self) {
        self.0.garbage.set(true);
    }

    /// Whether a stream has left its key since the last call: who reads for one of its groups is to be told.
    #[must_use]
    pub fn take_stream_gone(&self) -> bool {
        self.0.stream_gone.take()
    }

    pub(crate) fn note_stream_gone(&self) {
        self.0.stream_gone.set(true);
    }

    /// The place of this very slice, if it is known.
    #[inline]
    pub(crate) fn known_place(&self, key: &[u8]) -> Option<Prefetched> {
        let (at, length, place) = self.0.placed.get();
        let known = at == key.as_ptr().addr() && length == key.len();
        debug_assert!(
            !known || place.hash == crate::table::hash(key),
            "the slice was changed"
        );
        known.then_some(place)
    }

    #[inline]
    pub(crate) fn remember_place(&self, key: &[u8], place: Prefetched) {
        self.0.placed.set((key.as_ptr().addr(), key.len(), place));
    }

    #[inline]
    pub(crate) fn forget_place(&self) {
        self.0.placed.set((0, 0, Prefetched::default()));
    }

    /// How many reads found their key, and how many did not.
    #[must_use]
    pub fn lookups(&self) -> (u64, u64) {
        (self.0.hits.get(), self.0.misses.get())
    }

    /// A read found its key, or did not.
    pub(crate) fn note_lookup(&self, found: bool) {
        let counter = if found { &self.0.hits } else { &self.0.misses };
        counter.set(counter.get() + 1);
    }

    /// What doors do with expired keys.
    #[must_use]
    pub fn expiry(&self) -> ExpiryMode {
        self.0.expiry.get()
    }

    /// Sets what doors do with expired keys.
    pub fn set_expiry(&self, mode: ExpiryMode) {
        self.0.expiry.set(mode);
    }

    /// Whether reads set the LRU time.
    #[must_use]
    pub fn touches(&self) -> bool {
        self.0.touch.get() && !self.0.looking.get()
    }

    /// Sets whether who reads only looks: then nothing that is read counts as used.
    pub fn set_looking(&self, looking: bool) {
        self.0.looking.set(looking);
    }

    /// Whether who reads only looks.
    #[must_use]
    pub fn is_looking(&self) -> bool {
        self.0.looking.get()
    }

    /// Sets whether reads set the LRU time. While a forked child saves they should not: each would copy a page.
    pub fn set_touches(&self, touch: bool) {
        self.0.touch.set(touch);
    }

    /// What keys' heads say about their use.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.0.usage.get()
    }

    /// Sets what keys' heads say about their use. What they say now is taken for that: it takes a while until it is.
    pub fn set_usage(&self, usage: Usage) {
        self.0.usage.set(usage);
    }

    /// Which keys the doors remember.
    #[must_use]
    #[inline]
    pub(crate) fn notes(&self) -> Notes {
        self.0.notes.get()
    }

    /// Sets which keys the doors remember.
    pub fn set_notes(&self, notes: Notes) {
        self.0.notes.set(notes);
    }

    /// The LRU clock: seconds, modulo 2^24.
    #[must_use]
    pub fn lru(&self) -> u32 {
        u32::try_from((self.unix_ms() / 1000) & u64::from(LRU_MASK)).unwrap_or(0)
    }

    /// The minute, modulo 2^16.
    fn minutes(&self) -> u16 {
        ((self.unix_ms() / 60_000) & 0xffff) as u16
    }

    /// What the head of a new key says.
    #[inline]
    pub(crate) fn fresh(&self) -> u32 {
        match self.usage() {
            Usage::Recency => self.lru(),
            Usage::Frequency { .. } => self.with_frequency(NEW_FREQUENCY),
        }
    }

    /// What the head of a key that is used says, given what it said.
    #[inline]
    pub(crate) fn used(&self, before: u32) -> u32 {
        match self.usage() {
            Usage::Recency => self.lru(),
            Usage::Frequency { log_factor, .. } => self.count_use(before, log_factor),
        }
    }

    #[cold]
    fn count_use(&self, before: u32, log_factor: u32) -> u32 {
        let frequency = self.frequency(before);
        let above = frequency.saturating_sub(NEW_FREQUENCY);
        let odds = u64::from(above) * u64::from(log_factor) + 1;
        // An xorshift is random enough.
        let mut dice = self.0.dice.get();
        dice ^= dice << 13;
        dice ^= dice >> 7;
        dice ^= dice << 17;
        self.0.dice.set(dice);
        let counts = dice <= u64::MAX / odds;
        self.with_frequency(frequency.saturating_add(u8::from(counts)))
    }

    fn with_frequency(&self, frequency: u8) -> u32 {
        u32::from(self.minutes()) << 8 | u32::from(frequency)
    }

    /// The counter that a head says, less what it has lost since.
    #[expect(clippy::cast_possible_truncation, reason = "cut to what is meant")]
    fn frequency(&self, head: u32) -> u8 {
        let elapsed = self.minutes().wrapping_sub((head >> 8) as u16);
        let lost = match self.usage() {
            Usage::Frequency { decay_minutes, .. } => {
                u32::from(elapsed).checked_div(decay_minutes).unwrap_or(0)
            }
            Usage::Recency => 0,
        };
        (head as u8).saturating_sub(u8::try_from(lost).unwrap_or(u8::MAX))
    }

    fn idle_seconds(&self, head: u32) -> u64 {
        u64::from(self.lru().wrapping_sub(head) & LRU_MASK)
    }

    /// How little a key is used: the higher, the sooner it may go.
    pub(crate) fn idleness(&self, head: u32) -> u64 {
        match self.usage() {
            Usage::Recency => self.idle_seconds(head),
            Usage::Frequency { .. } => u64::from(u8::MAX - self.frequency(head)),
        }
    }

    /// Seconds since a key was used, where that is what its head says.
    pub(crate) fn idle(&self, head: u32) -> Option<u64> {
        (self.usage() == Usage::Recency).then(|| self.idle_seconds(head))
    }

    /// How often a key is used, where that is what its head says.
    pub(crate) fn often(&self, head: u32) -> Option<u8> {
        (self.usage() != Usage::Recency).then(|| self.frequency(head))
    }

    /// The head of a key that was last used so many seconds ago, or is used so often; none where heads do not say that.
    pub(crate) fn head_of(&self, idle_seconds: Option<u64>, frequency: Option<u8>) -> Option<u32> {
        match self.usage() {
            Usage::Recency => idle_seconds.map(|seconds| {
                let seconds = u32::try_from(seconds & u64::from(LRU_MASK)).unwrap_or(0);
                self.lru().wrapping_sub(seconds) & LRU_MASK
            }),
            Usage::Frequency { .. } => frequency.map(|often| self.with_frequency(often)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_are_counted_the_more_rarely_the_more_there_are() {
        let clock = Clock::new();
        clock.set_unix_ms(1_700_000_000_000);
        let frequency = Usage::Frequency {
            log_factor: 10,
            decay_minutes: 1,
        };
        clock.set_usage(frequency);
        let mut head = clock.fresh();
        assert_eq!(clock.often(head), Some(NEW_FREQUENCY));
        assert_eq!(clock.idle(head), None);
        head = clock.used(head);
        assert_eq!(clock.often(head), Some(NEW_FREQUENCY + 1));
        for _ in 0..1000 {
            head = clock.used(head);
        }
        let often = clock.often(head).unwrap();
        assert!((10..30).contains(&often), "{often}");
        assert_eq!(clock.idleness(head), u64::from(255 - often));
        clock.set_unix_ms(1_700_000_000_000 + 4 * 60_000);
        assert_eq!(clock.often(head), Some(often - 4));
        clock.set_unix_ms(1_700_000_000_000 + 400 * 60_000);
        assert_eq!(clock.often(head), Some(0));
        clock.set_usage(Usage::Frequency {
            log_factor: 0,
            decay_minutes: 0,
        });
        assert_eq!(clock.often(head), Some(often));
        for _ in 0..300 {
            head = clock.used(head);
        }
        assert_eq!(clock.often(head), Some(255));
        assert_eq!(
            clock.often(clock.head_of(None, Some(77)).unwrap()),
            Some(77)
        );
        assert_eq!(clock.head_of(Some(1), None), None);
        clock.set_usage(Usage::Recency);
        let head = clock.head_of(Some(1000), Some(7)).unwrap();
        assert_eq!((clock.idle(head), clock.often(head)), (Some(1000), None));
        assert_eq!(clock.head_of(None, Some(7)), None);
    }
}
