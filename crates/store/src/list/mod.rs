//! The list type: one compact block while it has few bytes, a sequence of chunks beyond (see `chunks`).
//!
//! What OBJECT ENCODING reports follows Redis's limits and is a mark of its own: a list becomes a `quicklist` when an element comes
//! that one node of Redis's has no room for, and a `listpack` again when it has shrunk to half a node.

mod chunks;
mod listpack;
mod rows;

use std::collections::vec_deque;
use std::fmt;

use crate::handle::{Handle, See, SeeMut};
use crate::packed::{self, Elements};
use crate::thin::Thin;
use crate::{Encoding, Limits};
use chunks::Chunks;
pub use rows::{Part, Taken};

/// The most bytes in one block: below it, moving all of them costs no more than the rest of a command.
const SMALL_BYTES: usize = 1024;

/// A list from whose tail elements are popped is a queue: beyond so many bytes, chunks find its end faster.
const QUEUE_BYTES: usize = 256;

/// A list of byte strings. Eight bytes; compact ones are one heap block.
#[derive(Clone, Default)]
#[repr(transparent)]
pub struct List(Handle<Chunks>);

impl List {
    /// An empty list.
    #[must_use]
    pub const fn new() -> Self {
        Self(Handle::new())
    }

    /// How many elements.
    #[must_use]
    pub fn len(&self) -> usize {
        match self.0.see() {
            See::Small(thin) => thin.count(),
            See::Large(chunks) => chunks.len(),
        }
    }

    /// Whether there is no element.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Adds at the head.
    pub fn push_front(&mut self, element: &[u8], limits: &Limits) {
        let linked = self.outgrows(element, limits);
        match self.make_room(element) {
            SeeMut::Small(thin) => packed::insert(thin, 0, element),
            SeeMut::Large(chunks) => chunks.push_front(element),
        }
        self.link_if(linked);
    }

    /// Adds at the tail.
    pub fn push_back(&mut self, element: &[u8], limits: &Limits) {
        let linked = self.outgrows(element, limits);
        match self.make_room(element) {
            SeeMut::Small(thin) => packed::push(thin, element),
            SeeMut::Large(chunks) => chunks.push_back(element),
        }
        self.link_if(linked);
    }

    /// Adds at the tail, up to `most` elements, the [`Part::Row`] that `bytes` begins with. A list within the limits of the compact
    /// encoding takes nothing: each of its elements must be looked at.
    pub fn extend_back(&mut self, bytes: &[u8], most: usize) -> Taken {
        match self.0.see_mut() {
            SeeMut::Large(chunks) if chunks.linked => chunks.extend_back(bytes, most),
            _ => Taken::default(),
        }
    }

    /// Takes from the head; `seen` gets the element before it goes.
    pub fn pop_front<R>(&mut self, seen: impl FnOnce(&[u8]) -> R) -> Option<R> {
        match self.0.see_mut() {
            SeeMut::Small(thin) if thin.count() == 0 => None,
            SeeMut::Small(thin) => {
                let (begin, end) = packed::span(thin.bytes(), 0);
                let answer = seen(&thin.bytes()[begin..end]);
                packed::remove(thin, 0, end, 1);
                Some(answer)
            }
            SeeMut::Large(chunks) => chunks.pop_front(seen),
        }
    }

    /// Takes from the tail; `seen` gets the element before it goes.
    pub fn pop_back<R>(&mut self, seen: impl FnOnce(&[u8]) -> R) -> Option<R> {
        if let SeeMut::Small(thin) = self.0.see_mut()
            && thin.bytes().len() > QUEUE_BYTES
        {
            self.spread();
        }
        match self.0.see_mut() {
            SeeMut::Small(thin) => {
                let last = thin.count().checked_sub(1)?;
                let at = packed::skip(thin.bytes(), 0, last);
                let answer = seen(packed::element(thin.bytes(), at));
                let end = thin.bytes().len();
                packed::remove(thin, at, end, 1);
                Some(answer)
            }
            SeeMut::Large(chunks) => chunks.pop_back(seen),
        }
    }

    /// The element at `index`, from 0 at the head.
    #[must_use]
    pub fn index(&self, index: usize) -> Option<&[u8]> {
        match self.0.see() {
            See::Small(thin) if index < thin.count() => {
                let at = packed::skip(thin.bytes(), 0, index);
                Some(packed::element(thin.bytes(), at))
            }
            See::Small(_) => None,
            See::Large(chunks) => chunks.index(index),
        }
    }

    /// Makes a list that has elements a `quicklist` to OBJECT ENCODING.
    pub fn forget_compact(&mut self) {
        self.link_if(true);
    }

    /// Elements were taken, or replaced by others: whether the list is a `listpack` again.
    pub fn shrunk(&mut self, limits: &Limits) {
        let (bytes, count) = limits.list_node();
        let (bytes, count) = (bytes / 2, count / 2);
        if !self.is_linked() || self.len() > count {
            return;
        }
        match self.0.see_mut() {
            SeeMut::Small(thin) if listpack::len(Elements::new(thin.bytes(), 0)) <= bytes => {
                thin.set_mark(false);
            }
            SeeMut::Large(chunks)
                if chunks.only_has(bytes) && listpack::len(chunks.iter_from(0)) <= bytes =>
            {
                chunks.linked = false;
            }
            _ => {}
        }
    }

    /// Replaces the element at `index`; false where there is none. An element that would not fit beside all others makes the list a
    /// `quicklist` even then.
    pub fn set(&mut self, index: usize, element: &[u8], limits: &Limits) -> bool {
        let linked = self.outgrows(element, limits);
        let found = index < self.len();
        if found {
            match self.make_room(element) {
                SeeMut::Small(thin) => {
                    let at = packed::skip(thin.bytes(), 0, index);
                    packed::replace(thin, at, element);
                }
                SeeMut::Large(chunks) => chunks.set(index, element),
            }
        }
        self.link_if(linked);
        found
    }

    /// Elements from `start`, towards the tail. Reaching `start` costs a walk over chunks, not elements.
    pub fn iter_from(&self, start: usize) -> impl Iterator<Item = &[u8]> {
        match self.0.see() {
            See::Small(thin) => {
                let at = packed::skip(thin.bytes(), 0, start.min(thin.count()));
                chunks::Iter::compact(Elements::new(thin.bytes(), at))
            }
            See::Large(chunks) => chunks.iter_from(start),
        }
    }

    /// All elements.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.iter_from(0)
    }

    /// All elements, several at once where that can be. Only those that are `in_row` come in a [`Part::Row`].
    pub fn parts<'a, F: Fn(&[u8]) -> bool + 'a>(
        &'a self,
        in_row: F,
    ) -> impl Iterator<Item = Part<'a>> {
        match self.0.see() {
            See::Small(thin) => rows::Parts::new(thin.bytes(), vec_deque::Iter::default(), in_row),
            See::Large(chunks) => chunks.parts(in_row),
        }
    }

    /// Inserts before or after the first element equal to `pivot`; false where there is none. An element that would not fit makes the
    /// list a `quicklist` even then.
    pub fn insert(&mut self, pivot: &[u8], after: bool, element: &[u8], limits: &Limits) -> bool {
        let linked = self.outgrows(element, limits);
        let inserted = match self.make_room(element) {
            SeeMut::Small(thin) => insert_small(thin, pivot, after, element),
            SeeMut::Large(chunks) => chunks.insert(pivot, after, element),
        };
        self.link_if(linked);
        inserted
    }

    /// LREM: removes up to `count` elements equal to `element` (0: all), from the tail where `from_tail`. Answers how many.
    pub fn remove(&mut self, element: &[u8], count: usize, from_tail: bool) -> usize {
        let most = if count == 0 { usize::MAX } else { count };
        match self.0.see_mut() {
            SeeMut::Small(thin) => remove_small(thin, element, most, from_tail),
            SeeMut::Large(chunks) => chunks.remove(element, most, from_tail),
        }
    }

    /// LTRIM: keeps `len` elements from `start`.
    pub fn trim(&mut self, start: usize, len: usize) {
        let start = start.min(self.len());
        let len = len.min(self.len() - start);
        match self.0.see_mut() {
            SeeMut::Small(thin) => {
                let from = packed::skip(thin.bytes(), 0, start);
                let to = packed::skip(thin.bytes(), from, len);
                let end = thin.bytes().len();
                thin.splice(to, end - to, &[], len);
                thin.splice(0, from.min(to), &[], len);
            }
            SeeMut::Large(chunks) => chunks.trim(start, len),
        }
    }

    /// `listpack` or `quicklist`.
    #[must_use]
    pub fn encoding(&self) -> Encoding {
        if self.is_linked() {
            Encoding::Quicklist
        } else {
            Encoding::Listpack
        }
    }

    /// The heap memory of the list, bytes, as far as it is known without a walk over the elements.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        match self.0.see() {
            See::Small(thin) => thin.heap_bytes(),
            See::Large(chunks) => chunks.heap_bytes(),
        }
    }

    /// How many heap blocks must be freed with the list: what says whether another thread should do it.
    #[must_use]
    pub fn free_effort(&self) -> usize {
        match self.0.see() {
            See::Small(_) => 1,
            See::Large(chunks) => chunks.chunks(),
        }
    }

    fn is_linked(&self) -> bool {
        match self.0.see() {
            See::Small(thin) => thin.mark(),
            See::Large(chunks) => chunks.linked,
        }
    }

    /// Whether `element` makes a `listpack` a `quicklist`. The elements are measured only where they could be too many.
    fn outgrows(&mut self, element: &[u8], limits: &Limits) -> bool {
        if self.is_linked() {
            return false;
        }
        let (bytes, count) = limits.list_node();
        if self.len() >= count {
            return true;
        }
        match self.0.see_mut() {
            SeeMut::Small(thin) => {
                listpack::most(thin.bytes().len()) + element.len() > bytes
                    && listpack::len(Elements::new(thin.bytes(), 0)) + element.len() > bytes
            }
            SeeMut::Large(chunks) => chunks.outgrows(element, bytes),
        }
    }

    fn link_if(&mut self, linked: bool) {
        if linked {
            match self.0.see_mut() {
                SeeMut::Small(thin) => thin.set_mark(true),
                SeeMut::Large(chunks) => chunks.linked = true,
            }
        }
    }

    /// Leaves the compact block where it has no room for `element`.
    fn make_room(&mut self, element: &[u8]) -> SeeMut<'_, Chunks> {
        if let SeeMut::Small(thin) = self.0.see_mut()
            && thin.bytes().len() + packed::stored_len(element.len()) > SMALL_BYTES
        {
            self.spread();
        }
        self.0.see_mut()
    }

    /// Leaves the compact block.
    fn spread(&mut self) {
        if let SeeMut::Small(thin) = self.0.see_mut() {
            let mut chunks = Chunks::new(thin.mark());
            for element in Elements::new(thin.bytes(), 0) {
                chunks.push_back(element);
            }
            self.0 = Handle::from_large(Box::new(chunks));
        }
    }
}

impl fmt::Debug for List {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

fn insert_small(thin: &mut Thin, pivot: &[u8], after: bool, element: &[u8]) -> bool {
    let mut elements = Elements::new(thin.bytes(), 0);
    let mut at = 0;
    while let Some(other) = elements.next() {
        if packed::equal(other, pivot) {
            let at = if after { elements.at() } else { at };
            packed::insert(thin, at, element);
            return true;
        }
        at = elements.at();
    }
    false
}

fn remove_small(thin: &mut Thin, element: &[u8], most: usize, from_tail: bool) -> usize {
    let found = packed::equal_at(Elements::new(thin.bytes(), 0), element);
    let chosen = if from_tail {
        &found[found.len().saturating_sub(most)..]
    } else {
        &found[..found.len().min(most)]
    };
    // From the back, so that the places found stay right.
    for at in chosen.iter().rev() {
        packed::remove(thin, *at, at + packed::stored_len(element.len()), 1);
    }
    chosen.len()
}

#[cfg(test)]
mod tests;
