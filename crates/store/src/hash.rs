//! The hash type: compact while small, a table of field blocks when large.

use crate::{Encoding, Limits};

/// A hash: fields to values. Eight bytes; compact ones are one heap block.
#[derive(Debug, Default)]
pub struct Hash {}

impl Hash {
    /// An empty hash.
    #[must_use]
    pub fn new() -> Self {
        todo!()
    }

    /// How many fields.
    #[must_use]
    pub fn len(&self) -> usize {
        todo!()
    }

    /// Whether there is no field.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The value of `field`.
    #[must_use]
    pub fn get(&self, field: &[u8]) -> Option<&[u8]> {
        let _ = field;
        todo!()
    }

    /// Whether `field` is there.
    #[must_use]
    pub fn contains(&self, field: &[u8]) -> bool {
        self.get(field).is_some()
    }

    /// Sets `field`; whether it is new. A compact hash keeps its fields in the order they came.
    pub fn set(&mut self, field: &[u8], value: &[u8], limits: &Limits) -> bool {
        let _ = (field, value, limits);
        todo!()
    }

    /// Removes `field`; whether it was there.
    pub fn remove(&mut self, field: &[u8]) -> bool {
        let _ = field;
        todo!()
    }

    /// All fields with their values.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        std::iter::from_fn(|| todo!())
    }

    /// HSCAN: visits about `count` fields from `cursor`, answers the next cursor. A compact hash is visited whole.
    pub fn scan(&self, cursor: u64, count: usize, visit: impl FnMut(&[u8], &[u8])) -> u64 {
        let _ = (cursor, count, visit);
        todo!()
    }

    /// `ziplist` or `hashtable`.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        todo!()
    }
}
