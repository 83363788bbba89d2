//! The time as the keyspace sees it. The engine sets it before each command; the doors read it.

use std::cell::Cell;
use std::rc::Rc;

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

/// The shared clock of all databases of one keyspace.
#[derive(Clone, Debug)]
pub struct Clock(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    unix_ms: Cell<u64>,
    expiry: Cell<ExpiryMode>,
    touch: Cell<bool>,
    hits: Cell<u64>,
    misses: Cell<u64>,
    expired: Cell<bool>,
    garbage: Cell<bool>,
    stream_gone: Cell<bool>,
    /// Where a key lies whose hash is known, how long it is, and the hash. No key lies at zero.
    hashed: Cell<(usize, usize, u64)>,
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
            hashed: Cell::new((0, 0, 0)),
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

    /// The hash of a key: the one that was remembered, where it is the very same slice.
    #[inline]
    pub(crate) fn hash_of(&self, key: &[u8]) -> u64 {
        let (at, length, hash) = self.0.hashed.get();
        if at == key.as_ptr().addr() && length == key.len() {
            debug_assert_eq!(hash, crate::table::hash(key), "the slice was changed");
            return hash;
        }
        crate::table::hash(key)
    }

    #[inline]
    pub(crate) fn remember_hash(&self, key: &[u8], hash: u64) {
        self.0.hashed.set((key.as_ptr().addr(), key.len(), hash));
    }

    #[inline]
    pub(crate) fn forget_hash(&self) {
        self.0.hashed.set((0, 0, 0));
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
        self.0.touch.get()
    }

    /// Sets whether reads set the LRU time. While a forked child saves they should not: each would copy a page.
    pub fn set_touches(&self, touch: bool) {
        self.0.touch.set(touch);
    }

    /// The LRU clock: seconds, modulo 2^24 (Redis 3.0: `REDIS_LRU_BITS` 24, resolution one second).
    #[must_use]
    pub fn lru(&self) -> u32 {
        ((self.unix_ms() / 1000) & 0xff_ffff) as u32
    }
}
