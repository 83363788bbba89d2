//! [`HashMut`]: the hash at a key, to be changed. While it is small its fields lie in the key's entry, and a change may need another
//! block for that; then it leaves the entry for a [`Plain`]. With the first expiry of a field it becomes a [`Timed`], with the end of
//! the last one a [`Plain`] again; the database's index of such hashes follows.

use super::compact::{self, Edit, Pairs};
use super::{Before, FieldTime, HashRef, IN_ENTRY_MAX, Plain, Timed, Until, is_past};
use crate::entry::{Entry, EntryMut, InPlace, New};
use crate::table::Occupied;
use crate::tracker::Tracker;
use crate::{Limits, Value};

/// The hash at a key, to be changed in place, behind [`crate::Db::write`]. Fields whose time has come are not there, but that they take
/// part in [`HashMut::overwritten`].
pub struct HashMut<'a> {
    slot: Occupied<'a, Entry>,
    now: u64,
    tracker: &'a mut Tracker,
    overwritten: usize,
}

impl<'a> HashMut<'a> {
    /// The hash in this slot: the caller has seen that it is one.
    pub(crate) fn new(slot: Occupied<'a, Entry>, now: u64, tracker: &'a mut Tracker) -> Self {
        Self {
            slot,
            now,
            tracker,
            overwritten: 0,
        }
    }

    /// The hash now.
    #[must_use]
    pub fn see(&self) -> HashRef<'_> {
        hash_in(&self.slot).at(self.now)
    }

    /// Sets `field`; whether it is new. A compact hash keeps its fields in the order they came. The field has no expiry then.
    #[inline]
    pub fn set(&mut self, field: &[u8], value: &[u8], limits: &Limits) -> bool {
        match EntryMut::of(&mut self.slot).into_value() {
            InPlace::Hash(hash) => hash.set(field, value, limits),
            InPlace::Timed(_) => self.set_timed(field, value, Until::Never),
            _ => set_in_slot(&mut self.slot, field, value, limits),
        }
    }

    /// Sets `field` and leaves its expiry as it is; whether it is new.
    pub fn set_keeping(&mut self, field: &[u8], value: &[u8], limits: &Limits) -> bool {
        match EntryMut::of(&mut self.slot).into_value() {
            InPlace::Timed(_) => self.set_timed(field, value, Until::Kept),
            _ => self.set(field, value, limits),
        }
    }

    /// Sets `field` with an expiry, Unix milliseconds; whether it is new.
    pub fn set_until(&mut self, field: &[u8], value: &[u8], until_ms: u64) -> bool {
        self.set_timed(field, value, Until::At(until_ms))
    }

    fn set_timed(&mut self, field: &[u8], value: &[u8], until: Until) -> bool {
        let now = self.now;
        let before = self.timed().set(field, value, until, now);
        self.overwritten += usize::from(before == Before::Expired);
        self.settle();
        before != Before::Value
    }

    /// How many fields were set whose time had come: to whoever watches, these expired just before.
    #[must_use]
    pub fn overwritten(&self) -> usize {
        self.overwritten
    }

    /// Gives `field` an expiry (Unix milliseconds), or none; whether it is there.
    pub fn set_expiry(&mut self, field: &[u8], until_ms: Option<u64>) -> bool {
        let there = match self.see().expiry(field) {
            FieldTime::NoField => return false,
            FieldTime::Never => None,
            FieldTime::At(at) => Some(at),
        };
        if there != until_ms {
            let now = self.now;
            self.timed().set_expiry(field, until_ms, now);
            self.settle();
        }
        true
    }

    /// Removes `field`; whether it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        let now = self.now;
        match EntryMut::of(&mut self.slot).into_value() {
            InPlace::Hash(hash) => return hash.remove(field),
            InPlace::Timed(timed) => {
                let removed = timed.remove(field, now);
                self.settle();
                return removed;
            }
            _ => {}
        }
        let slot = &mut self.slot;
        let Some(bytes) = hash_in(slot).in_entry() else {
            return false;
        };
        let Some(pair) = compact::find(bytes, field) else {
            return false;
        };
        let (begin, end) = (pair.begin, pair.end);
        slot.update(|entry| (entry.splice(begin, end - begin, &[]), true))
    }

    /// As [`HashMut::remove`], also where the field's time has come.
    pub fn remove_expired(&mut self, field: &[u8]) -> bool {
        let now = std::mem::take(&mut self.now);
        let removed = self.remove(field);
        self.now = now;
        removed
    }

    /// As [`super::Hash::forget_compact`].
    pub fn forget_compact(&mut self) {
        if matches!(EntryMut::of(&mut self.slot).into_value(), InPlace::Timed(_)) {
            return;
        }
        leave_entry(&mut self.slot).forget_compact();
    }

    /// Removes up to `most` fields whose time has come, earliest first, and shows each.
    pub(crate) fn expire(&mut self, most: usize, gone: impl FnMut(&[u8])) {
        let now = self.now;
        if let InPlace::Timed(timed) = EntryMut::of(&mut self.slot).into_value() {
            timed.expire(now, most, gone);
            self.settle();
        }
    }

    /// The form that knows expiries.
    fn timed(&mut self) -> &mut Timed {
        if !matches!(EntryMut::of(&mut self.slot).into_value(), InPlace::Timed(_)) {
            let plain = std::mem::take(leave_entry(&mut self.slot));
            become_other(&mut self.slot, New::Timed(Box::new(plain.into_timed())));
        }
        match EntryMut::of(&mut self.slot).into_value() {
            InPlace::Timed(timed) => timed,
            _ => unreachable!("changed above"),
        }
    }

    /// After a change: the database's index follows, and a hash without expiries goes back to the form that knows none.
    fn settle(&mut self) {
        let InPlace::Timed(timed) = EntryMut::of(&mut self.slot).into_value() else {
            return;
        };
        let (old, new) = (timed.tracked, timed.due_ms());
        timed.tracked = new;
        let plain = timed.take_plain();
        if old != new {
            self.tracker.moves(self.slot.view().key(), old, new);
        }
        if let Some(plain) = plain {
            become_other(&mut self.slot, New::Hash(plain));
        }
    }
}

impl std::fmt::Debug for HashMut<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.see().fmt(f)
    }
}

fn set_in_slot(
    slot: &mut Occupied<'_, Entry>,
    field: &[u8],
    value: &[u8],
    limits: &Limits,
) -> bool {
    let Some(bytes) = hash_in(slot).in_entry() else {
        return leave_entry(slot).set(field, value, limits);
    };
    let edit = Edit::setting(bytes, field, value);
    // Each pair has a byte at least, so few bytes need not be counted.
    let count = match bytes.len() + 1 {
        most if most <= limits.hash_entries => most,
        _ => Pairs::new(bytes).count() + usize::from(edit.new),
    };
    let fits = edit.len_after(bytes.len()) <= IN_ENTRY_MAX;
    if !fits || is_past(field, value, count, limits) {
        return leave_entry(slot).set(field, value, limits);
    }
    if let (Some(at), Some(bytes)) = (edit.over, EntryMut::of(slot).into_inline()) {
        bytes[at..at + value.len()].copy_from_slice(value);
        return false;
    }
    slot.update(|entry| (entry.splice(edit.at, edit.remove, &edit.parts()), edit.new))
}

fn hash_in<'s>(slot: &'s Occupied<'_, Entry>) -> HashRef<'s> {
    match slot.view().value() {
        Value::Hash(hash) => hash,
        _ => unreachable!("made for hashes only"),
    }
}

/// Moves the fields from the entry, if they are still there, to a hash of its own. The caller has seen that none has an expiry.
fn leave_entry<'s>(slot: &'s mut Occupied<'_, Entry>) -> &'s mut Plain {
    if let Some(bytes) = hash_in(slot).in_entry() {
        let hash = New::Hash(Plain::from_fields(bytes));
        become_other(slot, hash);
    }
    match EntryMut::of(slot).into_hash() {
        Some(hash) => hash,
        None => unreachable!("it has left the entry"),
    }
}

/// Puts another value under the same key.
fn become_other(slot: &mut Occupied<'_, Entry>, new: New<'_>) {
    slot.update(|old| {
        let see = old.see();
        (Entry::new(see.key(), new, see.expire_ms(), see.lru()), ())
    });
}
