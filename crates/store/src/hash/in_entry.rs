//! [`HashMut`]: the hash at a key, to be changed. While it is small its fields lie in the key's entry, and a change may need another
//! block for that; then it leaves the entry for a [`Hash`].

use super::compact::{self, Edit, Pairs};
use super::{Hash, HashRef, IN_ENTRY_MAX, is_past};
use crate::entry::{Entry, EntryMut, New};
use crate::table::Occupied;
use crate::{Limits, Value};

/// The hash at a key, to be changed in place, behind [`crate::Db::write`].
#[derive(Debug)]
pub struct HashMut<'a>(Place<'a>);

#[derive(Debug)]
enum Place<'a> {
    /// The fields lie in the entry in this slot, or did before a change.
    Slot(Occupied<'a, Entry>),
    Own(&'a mut Hash),
}

impl<'a> HashMut<'a> {
    /// A hash whose fields lie in the entry in this slot: the caller has seen that.
    pub(crate) fn of_slot(slot: Occupied<'a, Entry>) -> Self {
        Self(Place::Slot(slot))
    }

    /// A hash on its own.
    pub(crate) fn of_hash(hash: &'a mut Hash) -> Self {
        Self(Place::Own(hash))
    }

    /// The hash now.
    #[must_use]
    pub fn see(&self) -> HashRef<'_> {
        match &self.0 {
            Place::Slot(slot) => hash_in(slot),
            Place::Own(hash) => hash.see(),
        }
    }

    /// Sets `field`; whether it is new. A compact hash keeps its fields in the order they came.
    #[inline]
    pub fn set(&mut self, field: &[u8], value: &[u8], limits: &Limits) -> bool {
        match &mut self.0 {
            Place::Own(hash) => hash.set(field, value, limits),
            Place::Slot(slot) => set_in_slot(slot, field, value, limits),
        }
    }

    /// Removes `field`; whether it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        let slot = match &mut self.0 {
            Place::Own(hash) => return hash.remove(field),
            Place::Slot(slot) => slot,
        };
        let Some(bytes) = hash_in(slot).in_entry() else {
            return leave_entry(slot).remove(field);
        };
        let Some(pair) = compact::find(bytes, field) else {
            return false;
        };
        let (begin, end) = (pair.begin, pair.end);
        slot.update(|entry| (entry.splice(begin, end - begin, &[]), true))
    }

    /// As [`Hash::forget_compact`].
    pub fn forget_compact(&mut self) {
        match &mut self.0 {
            Place::Own(hash) => hash.forget_compact(),
            Place::Slot(slot) => leave_entry(slot).forget_compact(),
        }
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

/// Moves the fields from the entry, if they are still there, to a hash of its own.
fn leave_entry<'s>(slot: &'s mut Occupied<'_, Entry>) -> &'s mut Hash {
    if let Some(bytes) = hash_in(slot).in_entry() {
        let hash = New::Hash(Hash::from_fields(bytes));
        slot.update(|old| {
            let see = old.see();
            (Entry::new(see.key(), hash, see.expire_ms(), see.lru()), ())
        });
    }
    match EntryMut::of(slot).into_hash() {
        Some(hash) => hash,
        None => unreachable!("it has left the entry"),
    }
}
