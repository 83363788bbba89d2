//! One database: the doors to its keys.

use bytes::Bytes;
use hash_slot::SLOT_COUNT;

use crate::entry::{Entry, EntryRef, New};
use crate::keys::{Found, KeyMut, Keys};
use crate::slots::CURSOR_BITS;
use crate::table::Table;
use crate::tracker::Tracker;
use crate::{Clock, Encoding, ExpiryMode, Owned, StrNew, Value, ValueMut};

/// Tables with more keys than this are freed by another thread.
const HEAVY_TABLE: usize = 64;
/// RANDOMKEY on a replica gives an expired key in the end rather than search for ever.
const RANDOM_TRIES: usize = 100;

/// One database.
#[derive(Debug)]
pub struct Db {
    clock: Clock,
    keys: Keys,
    gone: Gone,
    /// Where [`Db::expire_step`] goes on.
    expire_cursor: u64,
    avg_ttl_ms: u64,
}

/// What left the database and waits for somebody to fetch it.
struct Gone {
    expired: Vec<Box<[u8]>>,
    expired_fields: Vec<ExpiredFields>,
    noted: Vec<(Noted, Box<[u8]>)>,
    garbage: Vec<Box<dyn Send>>,
    /// Hashes some of whose fields have an expiry; an entry that goes is taken out.
    tracker: Tracker,
}

/// Fields of a hash that were deleted because their time had come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExpiredFields {
    /// The key of the hash.
    pub key: Box<[u8]>,
    /// The fields.
    pub fields: Vec<Box<[u8]>>,
    /// Whether no other field was left, so that the key is gone too.
    pub key_gone: bool,
}

/// What a door remembers of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noted {
    /// It was to be read and is not there.
    Missed,
    /// It is new.
    New,
}

/// A key that eviction looks at.
#[derive(Debug)]
pub struct Sample<'a> {
    /// The key.
    pub key: &'a [u8],
    /// How little it is used: seconds since the last time, or what lacks to the highest frequency.
    pub idleness: u64,
    /// Unix time of its expiry in milliseconds.
    pub expire_ms: Option<u64>,
}

/// Where a key would be: between the two stages of a prefetch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefetched {
    pub(crate) hash: u64,
    pub(crate) slot: u16,
}

impl Db {
    /// An empty database. With `by_slot` (cluster mode) keys are kept slot by slot.
    #[must_use]
    pub fn new(clock: Clock, by_slot: bool) -> Self {
        Self {
            clock,
            keys: Keys::new(by_slot),
            gone: Gone::new(by_slot),
            expire_cursor: 0,
            avg_ttl_ms: 0,
        }
    }

    // ---- doors -------------------------------------------------------------------------------------------------

    /// The value at `key`, for reading: an expired key is dealt with as [`crate::ExpiryMode`] says, the LRU time is set.
    #[inline]
    pub fn read(&mut self, key: &[u8]) -> Option<Value<'_>> {
        let Some(mut found) = self.keys.find_mut(self.place_of(key), key) else {
            self.gone.missed(key, &self.clock);
            return None;
        };
        if is_expired(found.see(), &self.clock) {
            self.gone.expire(found, &self.clock);
            self.gone.missed(key, &self.clock);
            return None;
        }
        self.clock.note_lookup(true);
        let used = self.clock.used(found.see().lru());
        let mut entry = found.see_mut();
        if self.clock.touches() {
            entry.touch(used);
        }
        entry.close();
        let now = seen_at(&self.clock);
        Some(found.into_slot().into_view().value().at(now))
    }

    /// The value at `key`, to be changed in place: expiry and LRU as for [`Db::read`]. A collection that the caller leaves empty must be removed.
    #[inline]
    pub fn write(&mut self, key: &[u8]) -> Option<ValueMut<'_>> {
        let mut found = self.keys.find_mut(self.place_of(key), key)?;
        if is_expired(found.see(), &self.clock) {
            self.gone.expire(found, &self.clock);
            return None;
        }
        if self.clock.touches() {
            let used = self.clock.used(found.see().lru());
            found.see_mut().touch(used);
        }
        let now = seen_at(&self.clock);
        Some(ValueMut::of(found.into_slot(), now, &mut self.gone.tracker))
    }

    /// The value at `key`, or the one that `make` gives, inserted without expiry.
    pub fn write_or_insert(&mut self, key: &[u8], make: impl FnOnce() -> Owned) -> ValueMut<'_> {
        let lru = self.clock.fresh();
        let fresh = |make: Owned| Entry::new(key, New::owned(make, &mut Bytes::new()), None, lru);
        let now = seen_at(&self.clock);
        let slot = match self.keys.entry(self.place_of(key), key) {
            Found::Free(place) => {
                self.gone.added(key, &self.clock);
                place.insert(fresh(make()))
            }
            Found::At(mut found) => {
                if is_expired(found.see(), &self.clock) {
                    self.gone.note_expired(key, &self.clock);
                    self.gone.added(key, &self.clock);
                    let old = found.replace(fresh(make()));
                    self.gone.discard(old, &self.clock);
                } else if self.clock.touches() {
                    let used = self.clock.used(found.see().lru());
                    found.see_mut().touch(used);
                }
                found.into_slot()
            }
        };
        ValueMut::of(slot, now, &mut self.gone.tracker)
    }

    /// Puts a string at `key` whatever was there; expiry is dropped. The hot path of SET: one search, in place where the new value fits.
    #[inline]
    pub fn set_str(&mut self, key: &[u8], value: StrNew<'_>) {
        self.set_str_until(key, value, None);
    }

    /// As [`Db::set_str`], with an expiry in Unix milliseconds: SET with EX or PX, SETEX.
    #[inline]
    pub fn set_str_until(&mut self, key: &[u8], mut value: StrNew<'_>, expire_ms: Option<u64>) {
        match self.keys.entry(self.place_of(key), key) {
            Found::Free(place) => {
                let lru = self.clock.fresh();
                self.gone.added(key, &self.clock);
                place.insert(Entry::new(key, New::string(&mut value), expire_ms, lru));
            }
            Found::At(mut found) => {
                let mut lru = self.clock.used(found.see().lru());
                if is_expired(found.see(), &self.clock) {
                    lru = self.clock.fresh();
                    self.gone.note_expired(key, &self.clock);
                    self.gone.added(key, &self.clock);
                }
                if found.see().expire_ms() == expire_ms && found.see_mut().overwrite(&value, lru) {
                    return;
                }
                let old = found.update(|entry| entry.with_string(value, expire_ms, lru));
                if let Some(old) = old {
                    self.gone.discard(old, &self.clock);
                }
            }
        }
    }

    /// Puts a value at `key` whatever was there; expiry is dropped. An empty collection is never stored: the key is removed instead.
    pub fn insert(&mut self, key: &[u8], value: Owned) {
        self.insert_until(key, value, None);
    }

    /// As [`Db::insert`], with an expiry in Unix milliseconds: loading, RENAME, MOVE, RESTORE.
    pub fn insert_until(&mut self, key: &[u8], value: Owned, expire_ms: Option<u64>) {
        if value.is_empty_collection() {
            self.remove(key);
            return;
        }
        let lru = self.clock.fresh();
        let mut entry = Entry::new(key, New::owned(value, &mut Bytes::new()), expire_ms, lru);
        let tracked = entry.see_mut().track();
        match self.keys.entry(self.place_of(key), key) {
            Found::Free(place) => {
                self.gone.added(key, &self.clock);
                place.insert(entry);
            }
            Found::At(mut found) => {
                if is_expired(found.see(), &self.clock) {
                    self.gone.note_expired(key, &self.clock);
                    self.gone.added(key, &self.clock);
                }
                let old = found.replace(entry);
                self.gone.discard(old, &self.clock);
            }
        }
        if tracked.is_some() {
            self.gone.tracker.moves(key, None, tracked);
        }
    }

    /// Removes `key`; whether it was there (an expired key was not).
    pub fn remove(&mut self, key: &[u8]) -> bool {
        let Some(found) = self.keys.find_mut(self.place_of(key), key) else {
            return false;
        };
        let expired = is_expired(found.see(), &self.clock);
        if expired {
            self.gone.note_expired(key, &self.clock);
        }
        self.gone.discard(found.remove(), &self.clock);
        !expired
    }

    /// Removes `key` as if its time had come.
    pub fn expire_now(&mut self, key: &[u8]) {
        if let Some(found) = self.keys.find_mut(self.place_of(key), key) {
            self.gone.expire(found, &self.clock);
        }
    }

    /// Takes the value out, with its expiry (Unix milliseconds): RENAME, MOVE.
    pub fn take(&mut self, key: &[u8]) -> Option<(Owned, Option<u64>)> {
        let found = self.keys.find_mut(self.place_of(key), key)?;
        if is_expired(found.see(), &self.clock) {
            self.gone.expire(found, &self.clock);
            return None;
        }
        let entry = found.remove();
        self.gone.untrack(&entry);
        note_kind(&entry, &self.clock);
        Some(entry.into_owned())
    }

    /// Whether `key` exists and is not expired. Expires it like a read; does not set the LRU time.
    pub fn exists(&mut self, key: &[u8]) -> bool {
        let Some(found) = self.keys.find_mut(self.place_of(key), key) else {
            return false;
        };
        let expired = is_expired(found.see(), &self.clock);
        if expired {
            self.gone.expire(found, &self.clock);
        }
        !expired
    }

    /// As [`Db::exists`], counted among the look-ups.
    pub fn lookup(&mut self, key: &[u8]) -> bool {
        let found = self.exists(key);
        self.clock.note_lookup(found);
        found
    }

    /// The value, as it is: no expiry, no LRU. For OBJECT, DEBUG and saving.
    #[must_use]
    pub fn peek(&self, key: &[u8]) -> Option<Value<'_>> {
        self.look(key).map(EntryRef::value)
    }

    /// As [`Db::peek`], but nothing where the key has expired.
    #[must_use]
    pub fn peek_alive(&self, key: &[u8]) -> Option<Value<'_>> {
        self.look(key)
            .filter(|entry| !is_expired(*entry, &self.clock))
            .map(EntryRef::value)
    }

    /// Another value like that of `key`, whatever its expiry: for COPY. See [`Owned`]. What it costs grows with the number of
    /// elements, not with their order: its parts are copied as they lie.
    #[must_use]
    pub fn duplicate(&self, key: &[u8]) -> Option<Owned> {
        self.look(key).map(EntryRef::duplicate)
    }

    fn look(&self, key: &[u8]) -> Option<EntryRef<'_>> {
        self.keys.find(self.place_of(key), key)
    }

    // ---- expiry --------------------------------------------------------------------------------------------------

    /// The expiry of a key that exists, Unix milliseconds.
    #[must_use]
    pub fn expire_ms(&self, key: &[u8]) -> Option<u64> {
        self.look(key)?.expire_ms()
    }

    /// Sets or drops the expiry of `key`; false where there is no such key.
    pub fn set_expire_ms(&mut self, key: &[u8], unix_ms: Option<u64>) -> bool {
        let Some(mut found) = self.keys.find_mut(self.place_of(key), key) else {
            return false;
        };
        found.update(|entry| (entry.with_expiry(unix_ms), ()));
        true
    }

    /// Keys that a door or a cycle deleted because their time had come, oldest first; the list is emptied. The engine propagates a DEL for each.
    pub fn take_expired(&mut self) -> Vec<Box<[u8]>> {
        std::mem::take(&mut self.gone.expired)
    }

    /// Keys that the clock's [`crate::Notes`] ask for, oldest first; the list is emptied.
    pub fn take_noted(&mut self) -> Vec<(Noted, Box<[u8]>)> {
        std::mem::take(&mut self.gone.noted)
    }

    /// Whether [`Db::take_noted`] would give anything.
    #[must_use]
    #[inline]
    pub fn has_noted(&self) -> bool {
        !self.gone.noted.is_empty()
    }

    /// Whether [`Db::take_expired`] would give anything: the check that each command pays.
    #[must_use]
    #[inline]
    pub fn has_expired(&self) -> bool {
        !self.gone.expired.is_empty()
    }

    /// Looks at up to `slots_to_visit` table positions from where the last call stopped, and deletes the keys whose time has come
    /// (they show up in [`Db::take_expired`]). Answers (keys with an expiry seen, keys deleted). Parts of the table without such keys
    /// are stepped over.
    pub fn expire_step(&mut self, slots_to_visit: usize) -> (usize, usize) {
        let (clock, gone) = (&self.clock, &mut self.gone);
        let now = clock.unix_ms();
        let (mut seen, mut deleted) = (0, 0);
        let (mut alive, mut ttl_sum) = (0_u64, 0_u64);
        self.expire_cursor = self.keys.drain_marked(
            self.expire_cursor,
            slots_to_visit,
            |entry| {
                seen += 1;
                let ttl = entry.expire_ms().map_or(0, |ms| ms.saturating_sub(now));
                if ttl > 0 {
                    alive += 1;
                    ttl_sum = ttl_sum.saturating_add(ttl);
                }
                is_expired(entry, clock) && clock.expiry() == ExpiryMode::Delete
            },
            |entry| {
                deleted += 1;
                gone.note_expired(entry.see().key(), clock);
                gone.discard(entry, clock);
            },
        );
        // As Redis: the mean of this round, averaged with what was known.
        if let Some(mean) = ttl_sum.checked_div(alive) {
            self.avg_ttl_ms = match self.avg_ttl_ms {
                0 => mean,
                known => known / 2 + mean / 2,
            };
        }
        (seen, deleted)
    }

    /// How many hashes have fields with an expiry.
    #[must_use]
    pub fn timed_hashes(&self) -> usize {
        self.gone.tracker.len()
    }

    /// The earliest time at which a field of a hash may expire, Unix milliseconds.
    #[must_use]
    pub fn fields_due_ms(&self) -> Option<u64> {
        let first = self.gone.tracker.first(|slot| !self.keys.hides(slot));
        first.map(|(at, ..)| at)
    }

    /// Deletes up to `most` fields of hashes whose time has come, earliest first; a hash that has no other field goes too. They show up
    /// in [`Db::take_expired_fields`]. Answers how many; less than `most` where there are no others.
    pub fn expire_fields(&mut self, most: usize) -> usize {
        let now = self.clock.unix_ms();
        let mut deleted = 0;
        if self.clock.expiry() != ExpiryMode::Delete {
            return 0;
        }
        while let Some((at, hash, slot)) = self.gone.tracker.first(|slot| !self.keys.hides(slot))
            && at < now
            && deleted < most
        {
            let key = self.keys.tracked_key(hash, slot, at);
            let Some(ValueMut::Hash(mut fields)) = key.as_ref().and_then(|key| self.at(key)) else {
                self.gone.tracker.drop((at, hash, slot));
                continue;
            };
            let mut names = Vec::new();
            fields.expire(most - deleted, |field| names.push(field.into()));
            let key_gone = fields.see().is_empty();
            deleted += names.len();
            let key = key.unwrap_or_default();
            if key_gone && let Some(found) = self.keys.find_mut(Prefetched { hash, slot }, &key) {
                self.gone.discard(found.remove(), &self.clock);
            }
            if !names.is_empty() {
                self.clock.note_expired();
                self.gone.expired_fields.push(ExpiredFields {
                    key: key.into(),
                    fields: names,
                    key_gone,
                });
            }
        }
        deleted
    }

    /// The value at a key, whatever its expiry.
    fn at(&mut self, key: &[u8]) -> Option<ValueMut<'_>> {
        let found = self.keys.find_mut(self.keys.place(key), key)?;
        let now = self.clock.unix_ms();
        Some(ValueMut::of(found.into_slot(), now, &mut self.gone.tracker))
    }

    /// Fields that [`Db::expire_fields`] deleted, in order; the list is emptied. The engine propagates an HDEL for each hash.
    pub fn take_expired_fields(&mut self) -> Vec<ExpiredFields> {
        std::mem::take(&mut self.gone.expired_fields)
    }

    // ---- the whole -------------------------------------------------------------------------------------------------

    /// How many keys there are, expired ones included until they are met. Those of hidden slots are not counted.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// As [`Db::len`], with those of hidden slots: for who writes down all that is here.
    #[must_use]
    pub fn total_len(&self) -> usize {
        self.keys.total_len()
    }

    /// Whether there is no key that is shown.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many keys have an expiry.
    #[must_use]
    pub fn expires_len(&self) -> usize {
        self.keys.marked_len()
    }

    /// An estimate of the mean time to live of keys with an expiry, milliseconds (INFO's `avg_ttl`).
    #[must_use]
    pub fn avg_ttl_ms(&self) -> u64 {
        if self.expires_len() == 0 {
            0
        } else {
            self.avg_ttl_ms
        }
    }

    /// Removes everything, to be freed elsewhere (see [`Db::take_garbage`]).
    pub fn clear(&mut self) {
        let emptied = self.keys.emptied();
        let keys = std::mem::replace(&mut self.keys, emptied);
        if keys.total_len() > HEAVY_TABLE {
            self.clock.note_garbage();
            self.gone.garbage.push(Box::new(keys));
        }
        self.clock.note_stream_gone();
        self.gone.tracker.clear();
        self.expire_cursor = 0;
        self.avg_ttl_ms = 0;
    }

    /// Visits about `count` keys from `cursor`; answers the next cursor, 0 at the end. Keys present from the first call to the last are
    /// visited at least once, whatever is inserted, removed or rebuilt between the calls. Expired keys are visited too.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8], Value<'_>)) -> u64 {
        self.scan_slots(cursor, SLOT_COUNT - 1, count, &mut visit)
    }

    /// As [`Db::scan`], but no slot beyond `last` is looked at, where keys are kept by slot: then the cursor of a slot's beginning is
    /// [`Db::slot_cursor`], and every cursor but 0 is in a slot that has keys.
    pub fn scan_slots(
        &self,
        cursor: u64,
        last: u16,
        count: usize,
        mut visit: impl FnMut(&[u8], Value<'_>),
    ) -> u64 {
        self.keys.scan(cursor, last, count, |entry| {
            visit(entry.key(), entry.value());
        })
    }

    /// The cursor of a place in a slot; 0 is its beginning.
    #[must_use]
    pub fn slot_cursor(slot: u16, place: u64) -> u64 {
        u64::from(slot) << CURSOR_BITS | place & ((1 << CURSOR_BITS) - 1)
    }

    /// The slot that a cursor is in, and the place in it.
    #[must_use]
    pub fn cursor_parts(cursor: u64) -> (u16, u64) {
        // What is left is no more than sixteen bits.
        let slot = u16::try_from(cursor >> CURSOR_BITS).unwrap_or(u16::MAX);
        (slot, cursor & ((1 << CURSOR_BITS) - 1))
    }

    /// All keys in table order, with their values and expiry, for saving and digests: those of hidden slots too.
    pub fn for_each(&self, mut visit: impl FnMut(&[u8], Value<'_>, Option<u64>)) {
        for entry in self.keys.tables().flat_map(Table::iter) {
            visit(entry.key(), entry.value(), entry.expire_ms());
        }
    }

    /// A key chosen evenly; `random` gives uniform 64-bit numbers. Expired keys are met as a read would.
    pub fn random_key(&mut self, random: &mut dyn FnMut() -> u64) -> Option<Vec<u8>> {
        let mut tries = 0;
        loop {
            let entry = self.keys.random_table(false, random)?.random(random)?;
            let key = entry.key().to_vec();
            tries += 1;
            if !is_expired(entry, &self.clock) {
                return Some(key);
            }
            if self.clock.expiry() == ExpiryMode::Delete {
                self.exists(&key);
            } else if tries >= RANDOM_TRIES {
                return Some(key);
            }
        }
    }

    /// Shows up to `count` keys, chosen at random, to eviction.
    pub fn sample(
        &self,
        count: usize,
        volatile_only: bool,
        random: &mut dyn FnMut() -> u64,
        mut visit: impl FnMut(Sample<'_>),
    ) {
        let mut left = count;
        // Each round starts at a place of its own; one gives all that is asked for, unless its part of the table is small.
        for _ in 0..count {
            let Some(table) = self.keys.random_table(volatile_only, random) else {
                return;
            };
            let shown = table.sample(left, volatile_only, random, |entry| {
                visit(Sample {
                    key: entry.key(),
                    idleness: self.clock.idleness(entry.lru()),
                    expire_ms: entry.expire_ms(),
                });
            });
            left -= shown;
            if left == 0 || shown == 0 {
                return;
            }
        }
    }

    /// Seconds since `key` was last read or written (OBJECT IDLETIME), where the clock's [`crate::Usage`] is that.
    #[must_use]
    pub fn idle_seconds(&self, key: &[u8]) -> Option<u64> {
        self.clock.idle(self.look(key)?.lru())
    }

    /// How often `key` is read or written (OBJECT FREQ), where the clock's [`crate::Usage`] is that.
    #[must_use]
    pub fn frequency(&self, key: &[u8]) -> Option<u8> {
        self.clock.often(self.look(key)?.lru())
    }

    /// Sets how `key` was used, where the clock's [`crate::Usage`] is what is given: RESTORE, loading.
    pub fn set_usage(&mut self, key: &[u8], idle_seconds: Option<u64>, frequency: Option<u8>) {
        if let Some(head) = self.clock.head_of(idle_seconds, frequency)
            && let Some(mut found) = self.keys.find_mut(self.place_of(key), key)
        {
            found.see_mut().touch(head);
        }
    }

    /// The encoding of the value at `key`, as OBJECT ENCODING reports it.
    #[must_use]
    pub fn encoding(&self, key: &[u8]) -> Option<Encoding> {
        self.look(key).map(EntryRef::encoding)
    }

    // ---- slots (cluster mode) ----------------------------------------------------------------------------------------

    /// Shows the keys of a slot to nobody, or to everybody again: they are not counted, listed, drawn, evicted or expired by a cycle,
    /// while the doors find them. For slots on their way here.
    pub fn hide_slot(&mut self, slot: u16, on: bool) {
        self.keys.hide(slot, on);
    }

    /// Whether a key is in no hidden slot.
    #[must_use]
    pub fn shows(&self, key: &[u8]) -> bool {
        !self.keys.hides(self.slot_of(key))
    }

    /// All keys of `slot`, with their values and expiry.
    pub fn for_each_in_slot(
        &self,
        slot: u16,
        mut visit: impl FnMut(&[u8], Value<'_>, Option<u64>),
    ) {
        for entry in self.keys.slot(slot).into_iter().flatten() {
            visit(entry.key(), entry.value(), entry.expire_ms());
        }
    }

    /// How many keys are in `slot`; 0 where keys are not kept by slot.
    #[must_use]
    pub fn slot_len(&self, slot: u16) -> usize {
        self.keys.slot(slot).map_or(0, Table::len)
    }

    /// Visits up to `count` keys of `slot`.
    pub fn slot_keys(&self, slot: u16, count: usize, mut visit: impl FnMut(&[u8])) {
        for entry in self.keys.slot(slot).into_iter().flatten().take(count) {
            visit(entry.key());
        }
    }

    /// Removes all keys of `slot`, to be freed elsewhere; answers how many there were. They do not show up in [`Db::take_expired`].
    pub fn clear_slot(&mut self, slot: u16) -> usize {
        let table = self.keys.take_slot(slot);
        let len = table.len();
        if len > HEAVY_TABLE {
            self.clock.note_garbage();
            self.gone.garbage.push(Box::new(table));
        }
        len
    }

    // ---- memory ---------------------------------------------------------------------------------------------------------

    /// Big values and tables that were removed and wait to be freed; the shell drops them on another thread.
    pub fn take_garbage(&mut self) -> Vec<Box<dyn Send>> {
        std::mem::take(&mut self.gone.garbage)
    }

    /// Adds what was cut out of a value to what [`Db::take_garbage`] gives.
    pub fn free_later(&mut self, rest: Box<dyn Send>) {
        self.clock.note_garbage();
        self.gone.garbage.push(rest);
    }

    /// Whether [`Db::take_garbage`] would give anything.
    #[must_use]
    #[inline]
    pub fn has_garbage(&self) -> bool {
        !self.gone.garbage.is_empty()
    }

    /// Bytes that the table takes, entries not included.
    #[must_use]
    pub fn table_bytes(&self) -> usize {
        self.keys.memory_bytes()
    }

    /// Bytes of the block in which `key` and a short value lie (DEBUG OBJECT). What a large value owns beside it is not counted.
    #[must_use]
    pub fn entry_bytes(&self, key: &[u8]) -> Option<usize> {
        self.look(key).map(EntryRef::block_bytes)
    }

    /// All bytes that `key` and its value take (MEMORY USAGE); of a large value an estimate from a few elements.
    #[must_use]
    pub fn key_bytes(&self, key: &[u8]) -> Option<usize> {
        let entry = self.look(key)?;
        Some(entry.block_bytes() + entry.value().heap_bytes())
    }

    /// Makes the memory of `key`'s table position come to the cache soon. What it answers is for [`Db::prefetch_entry`], to be called
    /// some keys later.
    #[inline]
    pub fn prefetch(&self, key: &[u8]) -> Prefetched {
        let place = self.keys.place(key);
        if let Some(table) = self.keys.table_at(place.slot) {
            table.prefetch(place.hash);
        }
        place
    }

    /// The doors need not hash this very slice again, until [`Db::forget_place`] or the next call: for a caller that has prefetched it,
    /// and keeps it unchanged until then.
    #[inline]
    pub fn remember_place(&self, key: &[u8], place: Prefetched) {
        self.clock.remember_place(key, place);
    }

    /// Ends what [`Db::remember_place`] began, for all databases.
    #[inline]
    pub fn forget_place(&self) {
        self.clock.forget_place();
    }

    /// The slot of a key; 0 where keys are not kept by slot.
    #[inline]
    #[must_use]
    pub fn slot_of(&self, key: &[u8]) -> u16 {
        let known = self.clock.known_place(key);
        known.map_or_else(|| self.keys.slot_of(key), |place| place.slot)
    }

    #[inline]
    fn place_of(&self, key: &[u8]) -> Prefetched {
        let known = self.clock.known_place(key);
        known.unwrap_or_else(|| self.keys.place(key))
    }

    /// Makes the memory of a key's entry come to the cache soon: the second stage, when [`Db::prefetch`] has had its effect.
    #[inline]
    pub fn prefetch_entry(&self, place: Prefetched) {
        if let Some(table) = self.keys.table_at(place.slot) {
            table.prefetch_item(place.hash);
        }
    }
}

impl Gone {
    fn new(by_slot: bool) -> Self {
        Self {
            expired: Vec::new(),
            expired_fields: Vec::new(),
            noted: Vec::new(),
            garbage: Vec::new(),
            tracker: Tracker::new(by_slot),
        }
    }

    /// A key that was to be read is not there.
    #[cold]
    fn missed(&mut self, key: &[u8], clock: &Clock) {
        clock.note_lookup(false);
        if clock.notes().missed {
            self.note(Noted::Missed, key, clock);
        }
    }

    /// A key is new.
    #[inline]
    fn added(&mut self, key: &[u8], clock: &Clock) {
        if clock.notes().new {
            self.note(Noted::New, key, clock);
        }
    }

    #[cold]
    fn note(&mut self, what: Noted, key: &[u8], clock: &Clock) {
        // What is loaded, or applied for a master that says itself what it did, is nothing new.
        if clock.expiry() != ExpiryMode::Ignore {
            self.noted.push((what, key.into()));
            clock.note_expired();
        }
    }

    /// Takes an entry that left the table out of the index of hashes.
    #[inline]
    fn untrack(&mut self, entry: &Entry) {
        if let Some(at) = entry.see().tracked() {
            self.tracker.moves(entry.see().key(), Some(at), None);
        }
    }

    /// Deals with a key whose time has come.
    #[cold]
    fn expire(&mut self, found: KeyMut<'_>, clock: &Clock) {
        if clock.expiry() == ExpiryMode::Delete {
            self.note_expired(found.see().key(), clock);
            self.discard(found.remove(), clock);
        }
    }

    /// Remembers a key that is deleted because its time had come.
    fn note_expired(&mut self, key: &[u8], clock: &Clock) {
        if clock.expiry() == ExpiryMode::Delete {
            self.expired.push(key.into());
            clock.note_expired();
        }
    }

    /// Frees an entry, here or later.
    fn discard(&mut self, entry: Entry, clock: &Clock) {
        self.untrack(&entry);
        note_kind(&entry, clock);
        if entry.is_heavy() {
            clock.note_garbage();
            self.garbage.push(Box::new(entry));
        }
    }
}

/// Notes where a stream leaves its key.
fn note_kind(entry: &Entry, clock: &Clock) {
    if matches!(entry.see().value(), Value::Stream(_)) {
        clock.note_stream_gone();
    }
}

impl std::fmt::Debug for Gone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gone")
            .field("expired", &self.expired.len())
            .field("garbage", &self.garbage.len())
            .finish()
    }
}

/// Whether a key's time has come and the doors care. As in Redis 3.0, it has when the clock is past it.
#[inline]
fn is_expired(entry: EntryRef<'_>, clock: &Clock) -> bool {
    entry
        .expire_ms()
        .is_some_and(|ms| clock.unix_ms() > ms && clock.expiry() != ExpiryMode::Ignore)
}

/// The time at which fields of hashes are seen: 0 where the doors take no notice of expiry.
#[inline]
fn seen_at(clock: &Clock) -> u64 {
    match clock.expiry() {
        ExpiryMode::Delete | ExpiryMode::Hide => clock.unix_ms(),
        ExpiryMode::Ignore => 0,
    }
}
