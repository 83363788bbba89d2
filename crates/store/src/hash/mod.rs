//! The hash type: one compact run of fields and values while it is small, a table of field blocks when large; two tables and an index by
//! time where fields have an expiry of their own (`timed.rs`).
//!
//! What OBJECT ENCODING reports follows Redis's limits. A hash past the limits that still has few bytes stays in one block, with a
//! mark; that saves most of the memory of a small hash with one long value. The bytes of a hash within the limits lie in its key's
//! entry while they are few (`in_entry.rs`); then there is no [`Hash`].

mod compact;
mod fields;
pub(crate) mod in_entry;
mod timed;

use std::fmt;

use crate::block::Field;
use crate::handle::{Handle, See, SeeMut};
use crate::packed;
use crate::table::{self, Table, Waiting};
use crate::thin::Thin;
use crate::{Encoding, Limits};
use compact::{Edit, Pairs};
pub(crate) use timed::Timed;
use timed::{Before, Places, TimedIter, Until};

/// The most bytes of fields and values that lie in their key's entry. Entries are moved when they grow, so they should not be long.
const IN_ENTRY_MAX: usize = 256;

/// A hash on its own: fields to values.
#[derive(Clone, Default)]
pub struct Hash(pub(crate) Form);

/// The ways in which a hash is kept.
#[derive(Clone)]
pub(crate) enum Form {
    /// No field has an expiry.
    Plain(Plain),
    Timed(Box<Timed>),
}

/// A hash none of whose fields has an expiry. Eight bytes; compact ones are one heap block.
#[derive(Clone, Default)]
#[repr(transparent)]
pub(crate) struct Plain(Handle<Table<Field>>);

/// A hash, seen.
#[derive(Clone, Copy)]
pub struct HashRef<'a>(Seen<'a>);

#[derive(Clone, Copy)]
enum Seen<'a> {
    /// The fields in an entry.
    Fields(&'a [u8]),
    Block(&'a Thin),
    Table(&'a Table<Field>),
    /// With the time at which it is seen: fields whose time has come are not shown. At 0 all are.
    Timed(&'a Timed, u64),
}

/// When a field expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldTime {
    /// There is no such field, or its time has come.
    NoField,
    /// Never.
    Never,
    /// At this time, Unix milliseconds.
    At(u64),
}

impl Default for Form {
    fn default() -> Self {
        Self::Plain(Plain::new())
    }
}

impl Hash {
    /// An empty hash.
    #[must_use]
    pub const fn new() -> Self {
        Self(Form::Plain(Plain::new()))
    }

    /// The hash, seen. Fields whose time has come are shown.
    #[must_use]
    #[inline]
    pub fn see(&self) -> HashRef<'_> {
        match &self.0 {
            Form::Plain(plain) => plain.see(),
            Form::Timed(timed) => HashRef::of_timed(timed),
        }
    }

    /// Sets `field`; whether it is new. A compact hash keeps its fields in the order they came. The field has no expiry then.
    pub fn set(&mut self, field: &[u8], value: &[u8], limits: &Limits) -> bool {
        match &mut self.0 {
            Form::Plain(plain) => plain.set(field, value, limits),
            Form::Timed(timed) => {
                let before = timed.set(field, value, Until::Never, 0);
                self.settle();
                before == Before::Nothing
            }
        }
    }

    /// Sets `field` with an expiry, Unix milliseconds; whether it is new.
    pub fn set_until(&mut self, field: &[u8], value: &[u8], until_ms: u64) -> bool {
        self.timed().set(field, value, Until::At(until_ms), 0) == Before::Nothing
    }

    /// Gives `field` an expiry (Unix milliseconds), or none; whether it is there.
    pub fn set_expiry(&mut self, field: &[u8], until_ms: Option<u64>) -> bool {
        if !self.see().contains(field) {
            return false;
        }
        self.timed().set_expiry(field, until_ms, 0);
        self.settle();
        true
    }

    /// Removes `field`; whether it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        match &mut self.0 {
            Form::Plain(plain) => plain.remove(field),
            Form::Timed(timed) => {
                let removed = timed.remove(field, 0);
                self.settle();
                removed
            }
        }
    }

    /// Makes the hash a `hashtable` to OBJECT ENCODING: HSET of many fields does that, whatever fields they are.
    pub fn forget_compact(&mut self) {
        if let Form::Plain(plain) = &mut self.0 {
            plain.forget_compact();
        }
    }

    /// The form that knows expiries.
    fn timed(&mut self) -> &mut Timed {
        if let Form::Plain(plain) = &mut self.0 {
            self.0 = Form::Timed(Box::new(std::mem::take(plain).into_timed()));
        }
        match &mut self.0 {
            Form::Timed(timed) => timed,
            Form::Plain(_) => unreachable!("changed above"),
        }
    }

    /// Goes back to the form without expiries where no field has one.
    fn settle(&mut self) {
        if let Form::Timed(timed) = &mut self.0
            && let Some(plain) = timed.take_plain()
        {
            self.0 = Form::Plain(plain);
        }
    }
}

impl Plain {
    pub(crate) const fn new() -> Self {
        Self(Handle::new())
    }

    /// A hash of the fields that lay in an entry.
    pub(crate) fn from_fields(bytes: &[u8]) -> Self {
        let thin = Thin::from_bytes(bytes, Pairs::new(bytes).count());
        Self(Handle::from_small(thin))
    }

    fn from_table(table: Table<Field>) -> Self {
        Self(Handle::from_large(Box::new(table)))
    }

    /// The same with the form that knows expiries.
    fn into_timed(mut self) -> Timed {
        match self.0.see_mut() {
            SeeMut::Small(thin) => {
                let fields = Pairs::new(thin.bytes()).map(|pair| pair.field);
                Timed::from_table(spread(thin), Places::of(fields))
            }
            SeeMut::Large(table) => {
                let places = Places::of(table.iter().map(|view| view.parts[0]));
                Timed::from_table(std::mem::take(table), places)
            }
        }
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

    #[inline]
    pub(crate) fn see(&self) -> HashRef<'_> {
        HashRef(match self.0.see() {
            See::Small(thin) => Seen::Block(thin),
            See::Large(table) => Seen::Table(table),
        })
    }

    /// Sets `field`; whether it is new. A compact hash keeps its fields in the order they came.
    pub(crate) fn set(&mut self, field: &[u8], value: &[u8], limits: &Limits) -> bool {
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
                let new = fields::set(&mut table, field, value);
                self.0 = Handle::from_large(Box::new(table));
                new
            }
            SeeMut::Large(table) => fields::set(table, field, value),
        }
    }

    /// Removes `field`; whether it was there.
    pub(crate) fn remove(&mut self, field: &[u8]) -> bool {
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

    /// Makes the hash a `hashtable` to OBJECT ENCODING: HSET of many fields does that, whatever fields they are.
    pub(crate) fn forget_compact(&mut self) {
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

    /// A hash some of whose fields have an expiry.
    #[inline]
    pub(crate) fn of_timed(timed: &'a Timed) -> Self {
        Self(Seen::Timed(timed, 0))
    }

    /// The hash as it is seen at this time: fields whose time has come are not shown.
    #[inline]
    pub(crate) fn at(self, now: u64) -> Self {
        match self.0 {
            Seen::Timed(timed, _) => Self(Seen::Timed(timed, now)),
            _ => self,
        }
    }

    /// The whole as a hash of its own, with the fields whose time has come.
    pub(crate) fn duplicate(self) -> Hash {
        Hash(match self.0 {
            Seen::Fields(bytes) => Form::Plain(Plain::from_fields(bytes)),
            Seen::Block(thin) => Form::Plain(Plain(Handle::from_small(thin.clone()))),
            Seen::Table(table) => Form::Plain(Plain::from_table(table.clone())),
            Seen::Timed(timed, _) => Form::Timed(Box::new(timed.clone())),
        })
    }

    /// The bytes in the entry, if they lie there.
    fn in_entry(self) -> Option<&'a [u8]> {
        match self.0 {
            Seen::Fields(bytes) => Some(bytes),
            Seen::Block(_) | Seen::Table(_) | Seen::Timed(..) => None,
        }
    }

    /// Whether there are more heap blocks than one.
    pub(crate) fn is_large(self) -> bool {
        matches!(self.0, Seen::Table(_) | Seen::Timed(..))
    }

    /// How many fields, those whose time has come included. Those of a small hash are counted.
    #[must_use]
    pub fn len(self) -> usize {
        match self.0 {
            Seen::Fields(bytes) => Pairs::new(bytes).count(),
            Seen::Block(thin) => thin.count(),
            Seen::Table(table) => table.len(),
            Seen::Timed(timed, _) => timed.len(),
        }
    }

    /// How many fields [`HashRef::iter`] shows: they are counted where some have an expiry.
    #[must_use]
    pub fn shown_len(self) -> usize {
        match self.0 {
            Seen::Timed(timed, now) => timed.iter(now).count(),
            _ => self.len(),
        }
    }

    /// How many fields have an expiry, those whose time has come included.
    #[must_use]
    pub fn timed_len(self) -> usize {
        match self.0 {
            Seen::Timed(timed, _) => timed.timed_len(),
            _ => 0,
        }
    }

    /// When `field` expires.
    #[must_use]
    pub fn expiry(self, field: &[u8]) -> FieldTime {
        let found = match self.0 {
            Seen::Timed(timed, now) => timed.get(field, now).map(|(_, at)| at),
            _ => self.get(field).map(|_| None),
        };
        match found {
            None => FieldTime::NoField,
            Some(None) => FieldTime::Never,
            Some(Some(at)) => FieldTime::At(at),
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
            Seen::Timed(timed, now) => timed.get(field, now).map(|(value, _)| value),
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
            Seen::Timed(timed, now) => Iter::Timed(timed.iter(now)),
        }
    }

    /// As [`HashRef::iter`], with the expiry of each field, Unix milliseconds.
    pub fn iter_timed(self) -> impl Iterator<Item = (&'a [u8], &'a [u8], Option<u64>)> {
        let (plain, timed) = match self.0 {
            Seen::Timed(timed, now) => (None, Some(timed.iter(now))),
            _ => (Some(self.iter()), None),
        };
        let plain = plain.into_iter().flatten();
        plain
            .map(|(field, value)| (field, value, None))
            .chain(timed.into_iter().flatten())
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
            Seen::Timed(timed, now) => timed.scan(cursor, count, now, visit),
        }
    }

    /// `listpack` or `hashtable`.
    #[must_use]
    pub fn encoding(self) -> Encoding {
        match self.0 {
            Seen::Fields(_) => Encoding::Listpack,
            Seen::Block(thin) if !thin.mark() => Encoding::Listpack,
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
            Seen::Timed(timed, _) => timed.heap_bytes(),
        }
    }

    /// How many heap blocks must be freed with the hash: what says whether another thread should do it.
    #[must_use]
    pub fn free_effort(self) -> usize {
        match self.0 {
            Seen::Fields(_) => 0,
            Seen::Block(_) => 1,
            Seen::Table(table) => table.len(),
            Seen::Timed(timed, _) => timed.len(),
        }
    }
}

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.see().fmt(f)
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
    Timed(TimedIter<'a>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = (&'a [u8], &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        match self {
            Self::Small(pairs) => pairs.next().map(|pair| (pair.field, pair.value)),
            Self::Large(items) => items.next().map(|view| (view.parts[0], view.parts[1])),
            Self::Timed(items) => items.next().map(|(field, value, _)| (field, value)),
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
    hash: Plain,
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
        Hash(Form::Plain(self.hash))
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

#[cfg(test)]
mod tests;
