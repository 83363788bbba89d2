//! [`Block`]: the item of a collection's table. One heap block holds a few fixed bytes and one or two strings, the key first.
//!
//! # Layout
//!
//! `PREFIX` bytes as they are, the lengths of the `PARTS` strings as `packed` stores them, then the strings. Nothing else: the
//! size of the allocation follows from the lengths.

#![expect(unsafe_code, reason = "a table's items are bare heap blocks")]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr::NonNull;

use crate::packed;
use crate::table::{self, Item, Table};
use crate::thin::size_class;

const ALIGN: usize = 8;

/// A member of a set.
pub(crate) type Member = Block<0, 1>;
/// A field of a hash with its value.
pub(crate) type Field = Block<0, 2>;
/// A field of a hash with its value and expiry, as the bytes of a `u64`.
pub(crate) type TimedField = Block<8, 2>;
/// A member of a sorted set with its score, as the bytes of an `f64`.
pub(crate) type Scored = Block<8, 1>;

/// An owned heap block.
pub(crate) struct Block<const PREFIX: usize, const PARTS: usize>(NonNull<u8>);

/// A [`Block`], seen.
#[derive(Clone, Copy)]
pub(crate) struct View<'a, const PREFIX: usize, const PARTS: usize> {
    raw: NonNull<u8>,
    pub(crate) prefix: [u8; PREFIX],
    pub(crate) parts: [&'a [u8]; PARTS],
}

// SAFETY: a block is owned alone and holds only bytes.
unsafe impl<const PREFIX: usize, const PARTS: usize> Send for Block<PREFIX, PARTS> {}
// SAFETY: a shared block is only read.
unsafe impl<const PREFIX: usize, const PARTS: usize> Sync for Block<PREFIX, PARTS> {}

impl<const PREFIX: usize, const PARTS: usize> Block<PREFIX, PARTS> {
    pub(crate) fn new(prefix: [u8; PREFIX], parts: [&[u8]; PARTS]) -> Self {
        let used = PREFIX
            + parts
                .iter()
                .map(|part| packed::stored_len(part.len()))
                .sum::<usize>();
        let layout = layout(used);
        // SAFETY: the size of a layout made here is never zero.
        let raw =
            NonNull::new(unsafe { alloc(layout) }).unwrap_or_else(|| handle_alloc_error(layout));
        let mut to = raw.as_ptr();
        let mut write = |bytes: &[u8]| {
            // SAFETY: what is written below adds up to `used`, which the block holds.
            unsafe {
                to.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
                to = to.add(bytes.len());
            }
        };
        write(&prefix);
        for part in parts {
            write(packed::head(part).as_slice());
        }
        for part in parts {
            write(part);
        }
        Self(raw)
    }

    /// Another block with what is seen of one.
    pub(crate) fn of(view: View<'_, PREFIX, PARTS>) -> Self {
        Self::new(view.prefix, view.parts)
    }

    /// What it holds.
    pub(crate) fn view(&self) -> View<'_, PREFIX, PARTS> {
        // SAFETY: the block is alive as long as the borrow.
        unsafe { <Self as Item>::view(self.0) }
    }

    /// Replaces the last part, in place where the allocation stays the same.
    pub(crate) fn set_last(&mut self, part: &[u8]) {
        let view = self.view();
        let old = view.parts[PARTS - 1].len();
        if old == part.len() {
            let at = self.used() - old;
            // SAFETY: the last part ends where the used bytes end; the new one is as long.
            unsafe {
                self.0
                    .as_ptr()
                    .add(at)
                    .copy_from_nonoverlapping(part.as_ptr(), old);
            }
            return;
        }
        let mut parts = view.parts;
        parts[PARTS - 1] = part;
        *self = Self::new(view.prefix, parts);
    }

    /// Bytes in use.
    fn used(&self) -> usize {
        // SAFETY: the block is alive.
        let (lens, heads) = unsafe { lens::<PREFIX, PARTS>(self.0) };
        heads + lens.iter().sum::<usize>()
    }
}

impl<const PREFIX: usize, const PARTS: usize> Drop for Block<PREFIX, PARTS> {
    fn drop(&mut self) {
        // SAFETY: the block was allocated with this layout and is not used again.
        unsafe { dealloc(self.0.as_ptr(), layout(self.used())) };
    }
}

// SAFETY: the pointer is that of the heap block, which is aligned to eight bytes and never moves; `from_raw` undoes `into_raw`;
// the key is the first part, and nothing changes the first part.
unsafe impl<const PREFIX: usize, const PARTS: usize> Item for Block<PREFIX, PARTS> {
    type View<'a> = View<'a, PREFIX, PARTS>;

    fn into_raw(self) -> NonNull<u8> {
        std::mem::ManuallyDrop::new(self).0
    }

    unsafe fn from_raw(raw: NonNull<u8>) -> Self {
        Self(raw)
    }

    #[inline]
    unsafe fn key<'a>(raw: NonNull<u8>) -> &'a [u8] {
        // SAFETY: as the caller promised.
        unsafe { <Self as Item>::view(raw) }.parts[0]
    }

    #[inline]
    unsafe fn view<'a>(raw: NonNull<u8>) -> View<'a, PREFIX, PARTS> {
        // SAFETY: the caller promised that the block is alive and unchanged during `'a`; it starts with the prefix, and the
        // parts follow the heads.
        unsafe {
            let (lens, mut at) = lens::<PREFIX, PARTS>(raw);
            let parts = lens.map(|len| {
                let part = std::slice::from_raw_parts(raw.as_ptr().add(at), len);
                at += len;
                part
            });
            View {
                raw,
                prefix: raw.cast::<[u8; PREFIX]>().read(),
                parts,
            }
        }
    }
}

impl<'a> View<'a, 8, 1> {
    pub(crate) fn score(&self) -> f64 {
        f64::from_ne_bytes(self.prefix)
    }

    pub(crate) fn member(&self) -> &'a [u8] {
        self.parts[0]
    }

    /// The pointer that [`ScoredRef::new`] takes.
    pub(crate) fn raw(&self) -> NonNull<u8> {
        self.raw
    }
}

/// A sorted set's member, seen from its tree: a pointer to a block that the table beside the tree owns. Equal means: the same block.
///
/// Whoever makes one sees to it that it is dropped before the block, and that the score is not changed while a tree holds it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct ScoredRef(NonNull<u8>);

// SAFETY: it goes where its sorted set goes, with the block that it refers to.
unsafe impl Send for ScoredRef {}
// SAFETY: through a shared reference the block is only read.
unsafe impl Sync for ScoredRef {}

impl ScoredRef {
    /// # Safety
    /// The pointer is that of a [`Scored`] that a table owns; it outlives this and all copies of this.
    pub(crate) unsafe fn new(raw: NonNull<u8>) -> Self {
        Self(raw)
    }

    #[inline]
    pub(crate) fn score(&self) -> f64 {
        // SAFETY: the block is alive, see `new`; its first eight bytes are the score, aligned to eight bytes.
        f64::from_ne_bytes(unsafe { self.0.cast::<[u8; 8]>().read() })
    }

    /// Brings the block to the cache.
    #[inline]
    pub(crate) fn prefetch(&self) {
        table::prefetch(self.0.as_ptr());
    }

    #[inline]
    pub(crate) fn member(&self) -> &[u8] {
        // SAFETY: the block is alive, see `new`, and members never change.
        unsafe { Scored::key(self.0) }
    }

    /// Changes the score.
    ///
    /// # Safety
    /// Nobody reads the block meanwhile: the caller has borrowed the sorted set mutably.
    pub(crate) unsafe fn set_score(self, score: f64) {
        // SAFETY: as the caller promised; the score is the block's first eight bytes.
        unsafe { self.0.cast::<[u8; 8]>().write(score.to_ne_bytes()) };
    }
}

impl<const PREFIX: usize, const PARTS: usize> Clone for Table<Block<PREFIX, PARTS>> {
    fn clone(&self) -> Self {
        self.duplicate(Block::of)
    }
}

/// The lengths of the parts, and where the first part begins.
///
/// # Safety
/// The pointer is that of a live block.
#[inline]
unsafe fn lens<const PREFIX: usize, const PARTS: usize>(
    raw: NonNull<u8>,
) -> ([usize; PARTS], usize) {
    let mut at = PREFIX;
    let lens = [(); PARTS].map(|()| {
        // SAFETY: a head begins here; its first byte says how many there are.
        let head = unsafe {
            let first = raw.as_ptr().add(at);
            std::slice::from_raw_parts(first, packed::head_len(*first))
        };
        at += head.len();
        packed::length(head)
    });
    (lens, at)
}

fn layout(used: usize) -> Layout {
    Layout::from_size_align(size_class(used), ALIGN).expect("a size far below the address space")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_parts_of_every_length() {
        for (a, b) in [(0, 0), (3, 127), (128, 40_000), (40_000, 1)] {
            let (a, b) = (vec![1; a], vec![2; b]);
            let mut block = Field::new([], [&a, &b]);
            assert_eq!(block.view().parts, [&a[..], &b[..]]);
            let same = vec![3; b.len()];
            block.set_last(&same);
            assert_eq!(block.view().parts, [&a[..], &same[..]]);
            block.set_last(b"other");
            assert_eq!(block.view().parts, [&a[..], b"other"]);
        }
        let block = Scored::new(1.5f64.to_ne_bytes(), [b"m"]);
        let raw = block.into_raw();
        // SAFETY: the block is alive until the end of this scope.
        let (seen, block) = unsafe { (ScoredRef::new(raw), Scored::from_raw(raw)) };
        assert_eq!((seen.score(), seen.member()), (1.5, &b"m"[..]));
        // SAFETY: nobody else reads it here.
        unsafe { seen.set_score(-0.5) };
        assert_eq!(
            (block.view().score(), block.view().member()),
            (-0.5, &b"m"[..])
        );
    }
}
