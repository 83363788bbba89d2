//! [`HashMut`]: the hash at a key, to be changed. While it is small its fields lie in the key's entry, and a change may need another
//! block for that; then it leaves the entry for a [`Hash`].

use super::compact::{self, Edit};
use super::{Hash, HashRef, IN_ENTRY_MAX, is_past};
use crate::entry::{Entry, EntryMut, New};
use crate::table::Occupied;
use crate::{Limits, Value};

/// The hash at a key, to be changed in place, behind [`crate::Db::write`].
#[derive(Debug)]
pub struct HashMut<'a> {
    slot: Occupied<'a, Entry>,
}

impl<'a> HashMut<'a> {
    /// The caller has seen that the slot has a hash.
    pub(crate) fn of(slot: Occupied<'a, Entry>) -> Self {
        Self { slot }
    }

    /// The hash now.
    #[must_use]
    pub fn see(&self) -> HashRef<'_> {
        match self.slot.view().value() {
            Value::Hash(hash) => hash,
            _ => unreachable!("made for hashes only"),
        }
    }

    /// Sets `field`; whether it is new. A compact hash keeps its fields in the order they came.
    pub fn set(&mut self, field: &[u8], value: &[u8], limits: &Limits) -> bool {
        if let Some(hash) = EntryMut::of(&mut self.slot).into_hash() {
            return hash.set(field, value, limits);
        }
        let see = self.see();
        let bytes = see.in_entry();
        let edit = Edit::setting(bytes, field, value);
        let fits = edit.len_after(bytes.len()) <= IN_ENTRY_MAX;
        // A field that is there is counted in any case: the limit may have been lowered.
        let count = see.len() + usize::from(edit.new);
        if !fits || is_past(field, value, count, limits) {
            return self.leave_entry().set(field, value, limits);
        }
        let new = edit.new;
        self.splice(edit.at, edit.remove, &edit.parts());
        new
    }

    /// Removes `field`; whether it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        if let Some(hash) = EntryMut::of(&mut self.slot).into_hash() {
            return hash.remove(field);
        }
        let Some(pair) = compact::find(self.see().in_entry(), field) else {
            return false;
        };
        let (begin, end) = (pair.begin, pair.end);
        self.splice(begin, end - begin, &[]);
        true
    }

    /// As [`Hash::forget_compact`].
    pub fn forget_compact(&mut self) {
        match EntryMut::of(&mut self.slot).into_hash() {
            Some(hash) => hash.forget_compact(),
            None => self.leave_entry().forget_compact(),
        }
    }

    fn splice(&mut self, at: usize, remove: usize, parts: &[&[u8]]) {
        self.slot
            .update(|entry| (entry.splice(at, remove, parts), ()));
    }

    /// Moves the fields from the entry to a hash of its own.
    fn leave_entry(&mut self) -> &mut Hash {
        self.slot.update(|entry| {
            let see = entry.see();
            let Value::Hash(hash) = see.value() else {
                unreachable!("made for hashes only")
            };
            let hash = New::Hash(Hash::from_fields(hash.in_entry()));
            (Entry::new(see.key(), hash, see.expire_ms(), see.lru()), ())
        });
        match EntryMut::of(&mut self.slot).into_hash() {
            Some(hash) => hash,
            None => unreachable!("it has left the entry"),
        }
    }
}
