//! A value seen ([`Value`]), a value to be changed in place ([`ValueMut`]), and a value on its own ([`Owned`]); strings.

use bytes::Bytes;

use crate::{Hash, List, Set, Zset};

/// The type of a value, as TYPE names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Type {
    /// `string`
    String,
    /// `list`
    List,
    /// `set`
    Set,
    /// `zset`
    Zset,
    /// `hash`
    Hash,
}

impl Type {
    /// The name that TYPE answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::List => "list",
            Self::Set => "set",
            Self::Zset => "zset",
            Self::Hash => "hash",
        }
    }
}

/// The encodings that OBJECT ENCODING names in Redis 3.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// A string that is a canonical 64-bit integer.
    Int,
    /// A string of at most 39 bytes that was never changed in place.
    Embstr,
    /// Any other string.
    Raw,
    /// A compact list, hash or sorted set.
    Ziplist,
    /// A large list.
    Linkedlist,
    /// A set of integers.
    Intset,
    /// A large set or hash.
    Hashtable,
    /// A large sorted set.
    Skiplist,
}

impl Encoding {
    /// The name that OBJECT ENCODING answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Embstr => "embstr",
            Self::Raw => "raw",
            Self::Ziplist => "ziplist",
            Self::Linkedlist => "linkedlist",
            Self::Intset => "intset",
            Self::Hashtable => "hashtable",
            Self::Skiplist => "skiplist",
        }
    }
}

/// A string value, seen.
#[derive(Clone, Copy, Debug)]
pub enum Str<'a> {
    /// Stored as an integer.
    Int(i64),
    /// Stored as bytes.
    Bytes(&'a [u8]),
    /// A big value in a buffer of its own; it can be shared with a reply without a copy.
    Big(&'a Bytes),
}

/// A string value to be stored.
#[derive(Clone, Debug)]
pub enum StrNew<'a> {
    /// An integer.
    Int(i64),
    /// Bytes, taken as they are.
    Bytes(&'a [u8]),
    /// A big buffer, taken over without a copy.
    Big(Bytes),
}

impl<'a> StrNew<'a> {
    /// Bytes as a client gave them: stored as an integer where they are one in canonical form.
    #[must_use]
    pub fn encode(bytes: &'a [u8]) -> Self {
        let _ = bytes;
        todo!()
    }
}

impl<'a> Str<'a> {
    /// The bytes of the string; integers are written into `scratch`.
    #[must_use]
    pub fn bytes<'b>(&self, scratch: &'b mut [u8; 20]) -> &'b [u8]
    where
        'a: 'b,
    {
        let _ = scratch;
        todo!()
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        todo!()
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A string value to be changed in place, behind [`crate::Db::write`].
#[derive(Debug)]
pub struct StrMut<'a> {
    _todo: &'a mut (),
}

impl StrMut<'_> {
    /// The value now.
    #[must_use]
    pub fn see(&self) -> Str<'_> {
        todo!()
    }

    /// Replaces the value by an integer; expiry stays.
    pub fn set_int(&mut self, value: i64) {
        let _ = value;
        todo!()
    }

    /// Replaces the value by bytes, encoded as a new string would be; expiry stays.
    pub fn set(&mut self, value: StrNew<'_>) {
        let _ = value;
        todo!()
    }

    /// Appends; the encoding becomes raw. Answers the new length in bytes.
    pub fn append(&mut self, bytes: &[u8]) -> usize {
        let _ = bytes;
        todo!()
    }

    /// Overwrites from `offset`, padding with zero bytes; the encoding becomes raw. Answers the new length in bytes.
    /// The caller has checked the 512 MB limit.
    pub fn set_range(&mut self, offset: usize, bytes: &[u8]) -> usize {
        let _ = (offset, bytes);
        todo!()
    }

    /// The bytes, to be changed in place, grown with zero bytes to at least `len`; the encoding becomes raw. For SETBIT and HyperLogLog.
    pub fn bytes_mut(&mut self, len: usize) -> &mut [u8] {
        let _ = len;
        todo!()
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
    Hash(&'a Hash),
}

impl Value<'_> {
    /// Its type.
    #[must_use]
    pub fn kind(&self) -> Type {
        match self {
            Self::Str(_) => Type::String,
            Self::List(_) => Type::List,
            Self::Set(_) => Type::Set,
            Self::Zset(_) => Type::Zset,
            Self::Hash(_) => Type::Hash,
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
    Hash(&'a mut Hash),
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
}
