//! A value seen ([`Value`]), a value to be changed in place ([`ValueMut`]), and a value on its own ([`Owned`]).

use bytes::Bytes;

use crate::entry::{Entry, EntryMut, InPlace};
use crate::kind::Type;
use crate::string::{Str, StrNew};
use crate::table::Occupied;
use crate::tracker::Tracker;
use crate::{Hash, HashMut, HashRef, List, Set, Stream, Zset};

/// A string value to be changed in place, behind [`crate::Db::write`].
#[derive(Debug)]
pub struct StrMut<'a> {
    slot: Occupied<'a, Entry>,
}

impl StrMut<'_> {
    /// The value now.
    #[must_use]
    pub fn see(&self) -> Str<'_> {
        match self.slot.view().value() {
            Value::Str(value) => value,
            _ => unreachable!("made for strings only"),
        }
    }

    /// Replaces the value by an integer; expiry stays.
    pub fn set_int(&mut self, value: i64) {
        self.set(StrNew::Int(value));
    }

    /// Replaces the value by bytes, encoded as a new string would be; expiry stays.
    pub fn set(&mut self, value: StrNew<'_>) {
        let lru = self.slot.view().lru();
        if EntryMut::of(&mut self.slot).overwrite(&value, lru) {
            return;
        }
        // A big value that goes is freed here: its pages go back, nothing is walked.
        drop(self.slot.update(|entry| {
            let expire_ms = entry.see().expire_ms();
            entry.with_string(value, expire_ms, lru)
        }));
    }

    /// Appends; the encoding becomes raw. Answers the new length in bytes.
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        if let Some(buffer) = EntryMut::of(&mut self.slot).into_open() {
            buffer.extend_from_slice(bytes);
            return buffer.len();
        }
        let old = self.see().len();
        let value = self.bytes_mut(old + bytes.len());
        value[old..].copy_from_slice(bytes);
        value.len()
    }

    /// Overwrites from `offset`, padding with zero bytes; the encoding becomes raw. Answers the new length in bytes.
    /// The caller has checked the 512 MB limit.
    pub fn set_range(&mut self, offset: usize, bytes: &[u8]) -> usize {
        let end = offset.saturating_add(bytes.len());
        let value = self.bytes_mut(end);
        value[offset..end].copy_from_slice(bytes);
        value.len()
    }

    /// The bytes, to be changed in place, grown with zero bytes to at least `len`; the encoding becomes raw. For SETBIT and HyperLogLog.
    pub fn bytes_mut(&mut self, len: usize) -> &mut [u8] {
        self.slot.update(|entry| (entry.with_raw(len), ()));
        EntryMut::of(&mut self.slot)
            .into_string()
            .expect("`with_raw` leaves a string that is stored as bytes")
    }
}

/// A value, seen.
#[derive(Clone, Copy, Debug)]
pub enum Value<'a> {
    /// A string.
    Str(Str<'a>),
    /// A list.
    List(&'a List),
    /// A set.
    Set(&'a Set),
    /// A sorted set.
    Zset(&'a Zset),
    /// A hash.
    Hash(HashRef<'a>),
    /// A stream.
    Stream(&'a Stream),
}

impl Value<'_> {
    /// The heap memory that the value takes beside its entry, bytes; of a large one an estimate.
    pub(crate) fn heap_bytes(self) -> usize {
        match self {
            Self::Str(Str::Big(bytes)) => bytes.len(),
            Self::Str(_) => 0,
            Self::List(list) => list.heap_bytes(),
            Self::Set(set) => set.heap_bytes(),
            Self::Zset(zset) => zset.heap_bytes(),
            Self::Hash(hash) => hash.heap_bytes(),
            Self::Stream(stream) => stream.heap_bytes(),
        }
    }

    /// The value as it is seen at this time: in a hash fields whose time has come are not shown. At 0 all are.
    #[inline]
    pub(crate) fn at(self, now: u64) -> Self {
        match self {
            Self::Hash(hash) => Self::Hash(hash.at(now)),
            other => other,
        }
    }

    /// Its type.
    #[must_use]
    pub fn kind(&self) -> Type {
        match self {
            Self::Str(_) => Type::String,
            Self::List(_) => Type::List,
            Self::Set(_) => Type::Set,
            Self::Zset(_) => Type::Zset,
            Self::Hash(_) => Type::Hash,
            Self::Stream(_) => Type::Stream,
        }
    }
}

/// A value to be changed in place.
#[derive(Debug)]
pub enum ValueMut<'a> {
    /// A string.
    Str(StrMut<'a>),
    /// A list.
    List(&'a mut List),
    /// A set.
    Set(&'a mut Set),
    /// A sorted set.
    Zset(&'a mut Zset),
    /// A hash.
    Hash(HashMut<'a>),
    /// A stream.
    Stream(&'a mut Stream),
}

impl<'a> ValueMut<'a> {
    /// The value in a slot. A hash shows what has not expired at `now`.
    #[inline]
    pub(crate) fn of(mut slot: Occupied<'a, Entry>, now: u64, tracker: &'a mut Tracker) -> Self {
        match EntryMut::of(&mut slot).into_value() {
            InPlace::Str => return Self::Str(StrMut { slot }),
            InPlace::Fields | InPlace::Hash(_) | InPlace::Timed(_) => {
                return Self::Hash(HashMut::new(slot, now, tracker));
            }
            _ => {}
        }
        match EntryMut::from_slot(slot).into_value() {
            InPlace::List(list) => Self::List(list),
            InPlace::Set(set) => Self::Set(set),
            InPlace::Zset(zset) => Self::Zset(zset),
            InPlace::Stream(stream) => Self::Stream(stream),
            InPlace::Str | InPlace::Fields | InPlace::Hash(_) | InPlace::Timed(_) => {
                unreachable!("looked at above")
            }
        }
    }
}

/// A value on its own, outside the keyspace: to be inserted, moved between keys, or freed on another thread.
#[derive(Debug)]
pub enum Owned {
    /// A string stored as an integer.
    Int(i64),
    /// A string stored as bytes. `raw` keeps OBJECT ENCODING's answer for one that was changed in place.
    Bytes {
        /// The bytes.
        bytes: Bytes,
        /// Whether the encoding is raw whatever the length.
        raw: bool,
    },
    /// A list.
    List(List),
    /// A set.
    Set(Set),
    /// A sorted set.
    Zset(Zset),
    /// A hash.
    Hash(Hash),
    /// A stream.
    Stream(Stream),
}

impl Owned {
    /// Whether it is a collection without elements, which no key may hold. A stream may be empty.
    #[must_use]
    pub fn is_empty_collection(&self) -> bool {
        match self {
            Self::Int(_) | Self::Bytes { .. } | Self::Stream(_) => false,
            Self::List(list) => list.is_empty(),
            Self::Set(set) => set.is_empty(),
            Self::Zset(zset) => zset.is_empty(),
            Self::Hash(hash) => hash.see().is_empty(),
        }
    }
}
