//! One database: the doors to its keys.

use crate::{Clock, Encoding, Owned, StrNew, Value, ValueMut};

/// One database.
#[derive(Debug)]
pub struct Db {
    clock: Clock,
}

/// A key that eviction looks at.
#[derive(Debug)]
pub struct Sample<'a> {
    /// The key.
    pub key: &'a [u8],
    /// Seconds since it was last read or written.
    pub idle_seconds: u64,
    /// Unix time of its expiry in milliseconds.
    pub expire_ms: Option<u64>,
}

impl Db {
    /// An empty database.
    #[must_use]
    pub fn new(clock: Clock, by_slot: bool) -> Self {
        let _ = by_slot;
        Self { clock }
    }

    // ---- doors -------------------------------------------------------------------------------------------------

    /// The value at `key`, for reading: an expired key is dealt with as [`crate::ExpiryMode`] says, the LRU time is set.
    pub fn read(&mut self, key: &[u8]) -> Option<Value<'_>> {
        let _ = (key, &self.clock);
        todo!()
    }

    /// The value at `key`, to be changed in place: expiry and LRU as for [`Db::read`]. A collection that the caller leaves empty must be removed.
    pub fn write(&mut self, key: &[u8]) -> Option<ValueMut<'_>> {
        let _ = key;
        todo!()
    }

    /// The value at `key`, or the one that `make` gives, inserted without expiry.
    pub fn write_or_insert(&mut self, key: &[u8], make: impl FnOnce() -> Owned) -> ValueMut<'_> {
        let _ = (key, make);
        todo!()
    }

    /// Puts a string at `key` whatever was there; expiry is dropped. The hot path of SET: one search, in place where the new value fits.
    pub fn set_str(&mut self, key: &[u8], value: StrNew<'_>) {
        let _ = (key, value);
        todo!()
    }

    /// Puts a value at `key` whatever was there; expiry is dropped. An empty collection is never stored: the key is removed instead.
    pub fn insert(&mut self, key: &[u8], value: Owned) {
        let _ = (key, value);
        todo!()
    }

    /// Removes `key`; whether it was there (an expired key was not).
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let _ = key;
        todo!()
    }

    /// Takes the value out, with its expiry (Unix milliseconds): RENAME, MOVE.
    pub fn take(&mut self, key: &[u8]) -> Option<(Owned, Option<u64>)> {
        let _ = key;
        todo!()
    }

    /// Whether `key` exists and is not expired. Expires it like a read; does not set the LRU time.
    pub fn exists(&mut self, key: &[u8]) -> bool {
        let _ = key;
        todo!()
    }

    /// The value, as it is: no expiry, no LRU. For OBJECT, DEBUG and saving.
    #[must_use]
    pub fn peek(&self, key: &[u8]) -> Option<Value<'_>> {
        let _ = key;
        todo!()
    }

    // ---- expiry --------------------------------------------------------------------------------------------------

    /// The expiry of a key that exists, Unix milliseconds.
    #[must_use]
    pub fn expire_ms(&self, key: &[u8]) -> Option<u64> {
        let _ = key;
        todo!()
    }

    /// Sets or drops the expiry of `key`; false where there is no such key.
    pub fn set_expire_ms(&mut self, key: &[u8], unix_ms: Option<u64>) -> bool {
        let _ = (key, unix_ms);
        todo!()
    }

    /// Keys that a door or a cycle deleted because their time had come, oldest first; the list is emptied. The engine propagates a DEL for each.
    pub fn take_expired(&mut self) -> Vec<Box<[u8]>> {
        todo!()
    }

    /// Whether [`Db::take_expired`] would give anything: the check that each command pays.
    #[must_use]
    pub fn has_expired(&self) -> bool {
        todo!()
    }

    /// Looks at up to `slots_to_visit` table positions from where the last call stopped, and deletes the keys whose time has come
    /// (they show up in [`Db::take_expired`]). Answers (keys with an expiry seen, keys deleted).
    pub fn expire_step(&mut self, slots_to_visit: usize) -> (usize, usize) {
        let _ = slots_to_visit;
        todo!()
    }

    // ---- the whole -------------------------------------------------------------------------------------------------

    /// How many keys there are, expired ones included until they are met.
    #[must_use]
    pub fn len(&self) -> usize {
        todo!()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many keys have an expiry.
    #[must_use]
    pub fn expires_len(&self) -> usize {
        todo!()
    }

    /// An estimate of the mean time to live of keys with an expiry, milliseconds (INFO's `avg_ttl`).
    #[must_use]
    pub fn avg_ttl_ms(&self) -> u64 {
        todo!()
    }

    /// Removes everything, to be freed elsewhere (see [`Db::take_garbage`]).
    pub fn clear(&mut self) {
        todo!()
    }

    /// Visits about `count` keys from `cursor`; answers the next cursor, 0 at the end. Keys present from the first call to the last are
    /// visited at least once, whatever is inserted, removed or rebuilt between the calls. Expired keys are visited too.
    pub fn scan(&self, cursor: u64, count: usize, visit: impl FnMut(&[u8], Value<'_>)) -> u64 {
        let _ = (cursor, count, visit);
        todo!()
    }

    /// All keys in table order, with their values and expiry, for KEYS, saving and digests.
    pub fn for_each(&self, visit: impl FnMut(&[u8], Value<'_>, Option<u64>)) {
        let _ = visit;
        todo!()
    }

    /// A key chosen evenly; `random` gives uniform 64-bit numbers. Expired keys are met as a read would.
    pub fn random_key(&mut self, random: &mut dyn FnMut() -> u64) -> Option<Vec<u8>> {
        let _ = random;
        todo!()
    }

    /// Shows up to `count` keys, chosen at random, to eviction.
    pub fn sample(
        &self,
        count: usize,
        volatile_only: bool,
        random: &mut dyn FnMut() -> u64,
        visit: impl FnMut(Sample<'_>),
    ) {
        let _ = (count, volatile_only, random, visit);
        todo!()
    }

    /// Seconds since `key` was last read or written (OBJECT IDLETIME).
    #[must_use]
    pub fn idle_seconds(&self, key: &[u8]) -> Option<u64> {
        let _ = key;
        todo!()
    }

    /// The encoding of the value at `key`, as OBJECT ENCODING reports it.
    #[must_use]
    pub fn encoding(&self, key: &[u8]) -> Option<Encoding> {
        let _ = key;
        todo!()
    }

    // ---- slots (cluster mode) ----------------------------------------------------------------------------------------

    /// How many keys are in `slot`; 0 where keys are not kept by slot.
    #[must_use]
    pub fn slot_len(&self, slot: u16) -> usize {
        let _ = slot;
        todo!()
    }

    /// Visits up to `count` keys of `slot`.
    pub fn slot_keys(&self, slot: u16, count: usize, visit: impl FnMut(&[u8])) {
        let _ = (slot, count, visit);
        todo!()
    }

    // ---- memory ---------------------------------------------------------------------------------------------------------

    /// Big values and tables that were removed and wait to be freed; the shell drops them on another thread.
    pub fn take_garbage(&mut self) -> Vec<Box<dyn Send>> {
        todo!()
    }

    /// Makes the memory of `key`'s table position and entry come to the cache soon.
    pub fn prefetch(&self, key: &[u8]) {
        let _ = key;
    }
}
