//! The hash type: one compact block of fields and values while it is small, a table of field blocks when large.
//!
//! What OBJECT ENCODING reports follows Redis's limits. A hash past the limits that still has few bytes stays in one block, with a
//! mark; that saves most of the memory of a small hash with one long value.

use std::fmt;

use crate::block::Field;
use crate::handle::{Handle, See, SeeMut};
use crate::packed::{self, Elements};
use crate::table::{self, Entry, Table, Waiting};
use crate::thin::Thin;
use crate::{Encoding, Limits};

/// A hash: fields to values. Eight bytes; compact ones are one heap block.
#[derive(Default)]
#[repr(transparent)]
pub struct Hash(Handle<Table<Field>>);

impl Hash {
    /// An empty hash.
    #[must_use]
    pub const fn new() -> Self {
        Self(Handle::new())
    }

    /// How many fields.
    #[must_use]
    pub fn len(&self) -> usize {
        match self.0.see() {
            See::Small(thin) => thin.count(),
            See::Large(table) => table.len(),
        }
    }

    /// Whether there is no field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of `field`.
    #[must_use]
    pub fn get(&self, field: &[u8]) -> Option<&[u8]> {
        match self.0.see() {
            See::Small(thin) => {
                let bytes = thin.bytes();
                let at = find(bytes, field)?;
                Some(packed::element(bytes, packed::next(bytes, at)))
            }
            See::Large(table) => {
                let [_, value] = table.find(table::hash(field), field)?.parts;
                Some(value)
            }
        }
    }

    /// Whether `field` is there.
    #[must_use]
    pub fn contains(&self, field: &[u8]) -> bool {
        self.get(field).is_some()
    }

    /// Sets `field`; whether it is new. A compact hash keeps its fields in the order they came.
    pub fn set(&mut self, field: &[u8], value: &[u8], limits: &Limits) -> bool {
        match self.0.see_mut() {
            SeeMut::Small(thin) => {
                let at = find(thin.bytes(), field);
                let count = thin.count() + usize::from(at.is_none());
                let past =
                    field.len().max(value.len()) > limits.hash_value || count > limits.hash_entries;
                let mark = thin.mark() || past;
                let more = packed::stored_len(field.len()) + packed::stored_len(value.len());
                if packed::suits(thin.bytes().len() + more, count, mark) {
                    match at {
                        Some(at) => {
                            let at = packed::next(thin.bytes(), at);
                            packed::replace(thin, at, value);
                        }
                        None => packed::push(thin, &[field, value]),
                    }
                    thin.set_mark(mark);
                    return at.is_none();
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
                let Some(at) = find(thin.bytes(), field) else {
                    return false;
                };
                let end = packed::skip(thin.bytes(), at, 2);
                packed::remove(thin, at, end, 1);
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

    /// All fields with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        match self.0.see() {
            See::Small(thin) => Iter::Small(Elements::new(thin.bytes(), 0)),
            See::Large(table) => Iter::Large(table.iter()),
        }
    }

    /// HSCAN: visits about `count` fields from `cursor`, answers the next cursor. A compact hash is visited whole.
    pub fn scan(&self, cursor: u64, count: usize, mut visit: impl FnMut(&[u8], &[u8])) -> u64 {
        match self.0.see() {
            See::Small(_) => {
                self.iter().for_each(|(field, value)| visit(field, value));
                0
            }
            See::Large(table) => {
                table.scan(cursor, count, |view| visit(view.parts[0], view.parts[1]))
            }
        }
    }

    /// `ziplist` or `hashtable`.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        match self.0.see() {
            See::Small(thin) if !thin.mark() => Encoding::Ziplist,
            _ => Encoding::Hashtable,
        }
    }

    /// The heap memory that is known without a walk over the fields, bytes: all of a compact hash; of a large one its table, and
    /// for the fields the mean of a few.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        match self.0.see() {
            See::Small(thin) => thin.heap_bytes(),
            See::Large(table) => {
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
    pub fn free_effort(&self) -> usize {
        match self.0.see() {
            See::Small(_) => 1,
            See::Large(table) => table.len(),
        }
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

enum Iter<'a> {
    Small(Elements<'a>),
    Large(table::Iter<'a, Field>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Small(elements) => elements.next().zip(elements.next()),
            Self::Large(items) => items.next().map(|view| (view.parts[0], view.parts[1])),
        }
    }
}

/// Where `field` begins in a compact block.
fn find(bytes: &[u8], field: &[u8]) -> Option<usize> {
    let mut at = 0;
    while at < bytes.len() {
        let (begin, end) = packed::span(bytes, at);
        if packed::equal(&bytes[begin..end], field) {
            return Some(at);
        }
        at = packed::next(bytes, end);
    }
    None
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
            SeeMut::Small(_) => !self.hash.contains(field) && self.hash.set(field, value, limits),
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
    for (field, value) in Iter::Small(Elements::new(thin.bytes(), 0)) {
        table.insert(table::hash(field), Field::new([], [field, value]));
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
