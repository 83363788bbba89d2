//! The set type: a sorted array of integers while that is possible, a table of members otherwise.

use crate::{Encoding, Limits};

/// A member of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elem<'a> {
    /// A member of an integer set.
    Int(i64),
    /// Any other.
    Bytes(&'a [u8]),
}

impl<'a> Elem<'a> {
    /// Its bytes; integers are written into `scratch`.
    #[must_use]
    pub fn bytes<'b>(&self, scratch: &'b mut [u8; 20]) -> &'b [u8]
    where
        'a: 'b,
    {
        let _ = scratch;
        todo!()
    }
}

/// A set of distinct byte strings. Eight bytes.
#[derive(Debug, Default)]
pub struct Set {}

impl Set {
    /// An empty set.
    #[must_use]
    pub fn new() -> Self {
        todo!()
    }

    /// How many members.
    #[must_use]
    pub fn len(&self) -> usize {
        todo!()
    }

    /// Whether there is no member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds `member`; whether it is new.
    pub fn add(&mut self, member: &[u8], limits: &Limits) -> bool {
        let _ = (member, limits);
        todo!()
    }

    /// Removes `member`; whether it was there.
    pub fn remove(&mut self, member: &[u8]) -> bool {
        let _ = member;
        todo!()
    }

    /// Whether `member` is there.
    #[must_use]
    pub fn contains(&self, member: &[u8]) -> bool {
        let _ = member;
        todo!()
    }

    /// All members; an integer set in rising order.
    pub fn iter(&self) -> impl Iterator<Item = Elem<'_>> {
        std::iter::from_fn(|| todo!())
    }

    /// A member chosen evenly; `random` gives uniform 64-bit numbers.
    #[must_use]
    pub fn random(&self, random: &mut dyn FnMut() -> u64) -> Option<Elem<'_>> {
        let _ = random;
        todo!()
    }

    /// SSCAN: visits about `count` members from `cursor`, answers the next cursor. An integer set is visited whole.
    pub fn scan(&self, cursor: u64, count: usize, visit: impl FnMut(Elem<'_>)) -> u64 {
        let _ = (cursor, count, visit);
        todo!()
    }

    /// `intset` or `hashtable`.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        todo!()
    }
}
