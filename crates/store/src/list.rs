//! The list type: one block while small, a sequence of chunks when large.

use crate::{Encoding, Limits};

/// A list of byte strings. Eight bytes; compact ones are one heap block.
#[derive(Debug, Default)]
pub struct List {}

impl List {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        todo!()
    }

    /// How many elements.
    #[must_use]
    pub fn len(&self) -> usize {
        todo!()
    }

    /// Whether there is no element.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds at the head.
    pub fn push_front(&mut self, element: &[u8], limits: &Limits) {
        let _ = (element, limits);
        todo!()
    }

    /// Adds at the tail.
    pub fn push_back(&mut self, element: &[u8], limits: &Limits) {
        let _ = (element, limits);
        todo!()
    }

    /// Takes from the head; `seen` gets the element before it goes.
    pub fn pop_front<R>(&mut self, seen: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let _ = seen;
        todo!()
    }

    /// Takes from the tail; `seen` gets the element before it goes.
    pub fn pop_back<R>(&mut self, seen: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let _ = seen;
        todo!()
    }

    /// The element at `index`, from 0 at the head.
    #[must_use]
    pub fn index(&self, index: usize) -> Option<&[u8]> {
        let _ = index;
        todo!()
    }

    /// Replaces the element at `index`; false where there is none.
    pub fn set(&mut self, index: usize, element: &[u8], limits: &Limits) -> bool {
        let _ = (index, element, limits);
        todo!()
    }

    /// Elements from `start`, towards the tail. Reaching `start` costs a walk over chunks, not elements.
    pub fn iter_from(&self, start: usize) -> impl Iterator<Item = &[u8]> {
        let _ = start;
        std::iter::from_fn(|| todo!())
    }

    /// Inserts before or after the first element equal to `pivot`; false where there is none.
    pub fn insert(&mut self, pivot: &[u8], after: bool, element: &[u8], limits: &Limits) -> bool {
        let _ = (pivot, after, element, limits);
        todo!()
    }

    /// LREM: removes up to `count` elements equal to `element` (0: all), from the tail where `from_tail`. Answers how many.
    pub fn remove(&mut self, element: &[u8], count: usize, from_tail: bool) -> usize {
        let _ = (element, count, from_tail);
        todo!()
    }

    /// LTRIM: keeps `len` elements from `start`.
    pub fn trim(&mut self, start: usize, len: usize) {
        let _ = (start, len);
        todo!()
    }

    /// `ziplist` or `linkedlist`.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        todo!()
    }
}
