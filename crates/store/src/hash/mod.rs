//! The hash type: one compact run of fields and values while it is small, a table of field blocks when large.
//!
//! What OBJECT ENCODING reports follows Redis's limits. A hash past the limits that still has few bytes stays in one block, with a
//! mark; that saves most of the memory of a small hash with one long value. The bytes of a hash within the limits lie in its key's
//! entry while they are few (`in_entry.rs`); then there is no [`Hash`].

mod compact;
mod in_entry;

use std::fmt;

use crate::block::Field;
use crate::handle::{Handle, See, SeeMut};
use crate::packed;
use crate::table::{self, Entry, Table, Waiting};
use crate::thin::Thin;
use crate::{Encoding, Limits};
use compact::{Edit, Pairs};
pub use in_entry::HashMut;

/// The most bytes of fields and values that lie in their key's entry. Entries are moved when they grow, so they should not be long.
const IN_ENTRY_MAX: usize = 256;

/// A hash on its own: fields to values. Eight bytes; compact ones are one heap block.
#[derive(Default)]
#[repr(transparent)]
pub struct Hash(Handle<Table<Field>>);

/// A hash, seen.
#[derive(Clone, Copy)]
pub struct HashRef<'a>(Seen<'a>);

#[derive(Clone, Copy)]
enum Seen<'a> {
    /// The fields in an entry.
    Fields(&'a [u8]),
    Block(&'a Thin),
    Table(&'a Table<Field>),
}

impl Hash {
    /// An empty hash.
    #[must_use]
    pub const fn new() -> Self {
        Self(Handle::new())
    }

    /// A hash of the fields that lay in an entry.
    pub(crate) fn from_fields(bytes: &[u8]) -> Self {
        let thin = Thin::from_bytes(bytes, Pairs::new(bytes).count());
        Self(Handle::from_small(thin))
    }

    /// The bytes that would lie in an entry, where they may.
    pub(crate) fn fields(&self) -> Option<&[u8]> {
        match self.0.see() {
            See::Small(thin) if !thin.mark() && thin.bytes().len() <= IN_ENTRY_MAX => {
                Some(thin.bytes())
            }
            _ => None,
        }
    }

    /// The hash, seen.
    #[must_use]
    #[inline]
    pub fn see(&self) -> HashRef<'_> {
        HashRef(match self.0.see() {
            See::Small(thin) => Seen::Block(thin),
            See::Large(table) => Seen::Table(table),
        })
    }

    /// Sets `field`; whether it is new. A compact hash keeps its fields in the order they came.
    pub fn set(&mut self, field: &[u8], value: &[u8], limits: &Limits) -> bool {
        match self.0.see_mut() {
            SeeMut::Small(thin) => {
                let edit = Edit::setting(thin.bytes(), field, value);
                let count = thin.count() + usize::from(edit.new);
                let mark = thin.mark() || is_past(field, value, count, limits);
                if packed::suits(edit.len_after(thin.bytes().len()), count, mark) {
                    match edit.over {
                        Some(at) => thin.bytes_mut()[at..at + value.len()].copy_from_slice(value),
                        None => thin.splice(edit.at, edit.remove, &edit.parts(), count),
                    }
                    thin.set_mark(mark);
                    return edit.new;
                }
                let mut table = spread(thin);
                let new = set_in(&mut table, field, value);
                self.0 = Handle::from_large(Box::new(table));
                new
            }
            SeeMut::Large(table) => set_in(table, field, value),
        }
    }

    /// Removes `field`; whether it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        match self.0.see_mut() {
            SeeMut::Small(thin) => {
                let Some(pair) = compact::find(thin.bytes(), field) else {
                    return false;
                };
                let (begin, end) = (pair.begin, pair.end);
                packed::remove(thin, begin, end, 1);
                true
            }
            SeeMut::Large(table) => table.remove(table::hash(field), field).is_some(),
        }
    }

    /// Makes the hash a `hashtable` to OBJECT ENCODING: HSETNX of Redis 3.0 does that for a long value even where it sets nothing.
    pub fn forget_compact(&mut self) {
        if let SeeMut::Small(thin) = self.0.see_mut() {
            thin.set_mark(true);
        }
    }
}

impl<'a> HashRef<'a> {
    /// The hash whose fields lie in an entry.
    #[inline]
    pub(crate) fn of_fields(bytes: &'a [u8]) -> Self {
        Self(Seen::Fields(bytes))
    }

    /// The bytes in the entry, if they lie there.
    fn in_entry(self) -> Option<&'a [u8]> {
        match self.0 {
            Seen::Fields(bytes) => Some(bytes),
            Seen::Block(_) | Seen::Table(_) => None,
        }
    }

    /// Whether there are more heap blocks than one.
    pub(crate) fn is_large(self) -> bool {
        matches!(self.0, Seen::Table(_))
    }

    /// How many fields. Those of a small hash are counted.
    #[must_use]
    pub fn len(self) -> usize {
        match self.0 {
            Seen::Fields(bytes) => Pairs::new(bytes).count(),
            Seen::Block(thin) => thin.count(),
            Seen::Table(table) => table.len(),
        }
    }

    /// Whether there is no field.
    #[must_use]
    pub fn is_empty(self) -> bool {
        match self.0 {
            Seen::Fields(bytes) => bytes.is_empty(),
            _ => self.len() == 0,
        }
    }

    /// The value of `field`.
    #[must_use]
    pub fn get(self, field: &[u8]) -> Option<&'a [u8]> {
        match self.0 {
            Seen::Fields(bytes) => compact::find(bytes, field).map(|pair| pair.value),
            Seen::Block(thin) => compact::find(thin.bytes(), field).map(|pair| pair.value),
            Seen::Table(table) => {
                let [_, value] = table.find(table::hash(field), field)?.parts;
                Some(value)
            }
        }
    }

    /// Whether `field` is there.
    #[must_use]
    pub fn contains(self, field: &[u8]) -> bool {
        self.get(field).is_some()
    }

    /// All fields with their values.
    pub fn iter(self) -> impl Iterator<Item = (&'a [u8], &'a [u8])> {
        match self.0 {
            Seen::Fields(bytes) => Iter::Small(Pairs::new(bytes)),
            Seen::Block(thin) => Iter::Small(Pairs::new(thin.bytes())),
            Seen::Table(table) => Iter::Large(table.iter()),
        }
    }

    /// HSCAN: visits about `count` fields from `cursor`, answers the next cursor. A compact hash is visited whole.
    pub fn scan(self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8], &[u8])) -> u64 {
        match self.0 {
            Seen::Fields(_) | Seen::Block(_) => {
                self.iter().for_each(|(field, value)| visit(field, value));
                0
            }
            Seen::Table(table) => {
                table.scan(cursor, count, |view| visit(view.parts[0], view.parts[1]))
            }
        }
    }

    /// `ziplist` or `hashtable`.
    #[must_use]
    pub fn encoding(self) -> Encoding {
        match self.0 {
            Seen::Fields(_) => Encoding::Ziplist,
            Seen::Block(thin) if !thin.mark() => Encoding::Ziplist,
            _ => Encoding::Hashtable,
        }
    }

    /// The heap memory that is known without a walk over the fields, bytes: all of a compact hash, none where that is its key's
    /// entry; of a large one its table, and for the fields the mean of a few.
    #[must_use]
    pub fn heap_bytes(self) -> usize {
        match self.0 {
            Seen::Fields(_) => 0,
            Seen::Block(thin) => thin.heap_bytes(),
            Seen::Table(table) => {
                let sample = packed::mean(table.iter().map(|view| {
                    let [field, value] = view.parts;
                    packed::stored_len(field.len()) + packed::stored_len(value.len())
                }));
                size_of_val(table) + table.memory_bytes() + sample * table.len()
            }
        }
    }

    /// How many heap blocks must be freed with the hash: what says whether another thread should do it.
    #[must_use]
    pub fn free_effort(self) -> usize {
        match self.0 {
            Seen::Fields(_) => 0,
            Seen::Block(_) => 1,
            Seen::Table(table) => table.len(),
        }
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.see().fmt(f)
    }
}

impl fmt::Debug for HashRef<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

enum Iter<'a> {
    Small(Pairs<'a>),
    Large(table::Iter<'a, Field>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Small(pairs) => pairs.next().map(|pair| (pair.field, pair.value)),
            Self::Large(items) => items.next().map(|view| (view.parts[0], view.parts[1])),
        }
    }
}

/// Whether a hash that gets this field, and then has `count`, is none that Redis keeps compact.
fn is_past(field: &[u8], value: &[u8], count: usize, limits: &Limits) -> bool {
    field.len().max(value.len()) > limits.hash_value || count > limits.hash_entries
}

/// Builds a hash from many fields: for files.
#[derive(Debug, Default)]
pub struct HashBuilder {
    hash: Hash,
    waiting: Waiting<Field>,
}

impl HashBuilder {
    /// Adds `field`; of equal ones the first stays. False where an equal one was found, perhaps to an earlier one.
    pub fn push(&mut self, field: &[u8], value: &[u8], limits: &Limits) -> bool {
        match self.hash.0.see_mut() {
            SeeMut::Small(_) => {
                !self.hash.see().contains(field) && self.hash.set(field, value, limits)
            }
            SeeMut::Large(table) => {
                let item = Field::new([], [field, value]);
                self.waiting.push(table, table::hash(field), item, |_| {})
            }
        }
    }

    /// Puts in what waits; false where an equal field was found.
    pub fn settle(&mut self) -> bool {
        match self.hash.0.see_mut() {
            SeeMut::Small(_) => true,
            SeeMut::Large(table) => self.waiting.settle(table, |_| {}),
        }
    }

    /// The hash.
    #[must_use]
    pub fn finish(mut self) -> Hash {
        self.settle();
        self.hash
    }
}

/// The fields of a compact block as a table.
fn spread(thin: &Thin) -> Table<Field> {
    let mut table = Table::new();
    for pair in Pairs::new(thin.bytes()) {
        let item = Field::new([], [pair.field, pair.value]);
        table.insert(table::hash(pair.field), item);
    }
    table
}

fn set_in(table: &mut Table<Field>, field: &[u8], value: &[u8]) -> bool {
    match table.entry(table::hash(field), field) {
        Entry::Occupied(mut occupied) => {
            occupied.update(|mut item| {
                item.set_last(value);
                (item, ())
            });
            false
        }
        Entry::Vacant(vacant) => {
            vacant.insert(Field::new([], [field, value]));
            true
        }
    }
}

#[cfg(test)]
mod tests;
