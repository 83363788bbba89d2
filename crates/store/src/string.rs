//! Strings: seen ([`Str`]), and to be stored ([`StrNew`]).

use bytes::Bytes;

use crate::int;

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
        match int::parse(bytes) {
            Some(value) => Self::Int(value),
            None => Self::Bytes(bytes),
        }
    }
}

impl<'a> Str<'a> {
    /// The bytes of the string; integers are written into `scratch`.
    #[must_use]
    pub fn bytes<'b>(&self, scratch: &'b mut [u8; 20]) -> &'b [u8]
    where
        'a: 'b,
    {
        match *self {
            Self::Int(value) => int::print(value, scratch),
            Self::Bytes(bytes) => bytes,
            Self::Big(bytes) => bytes,
        }
    }

    /// Length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match *self {
            Self::Int(value) => int::print(value, &mut [0; int::MAX_LEN]).len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Big(bytes) => bytes.len(),
        }
    }

    /// Whether it has no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
