//! [`Thin`]: bytes and a count behind one pointer, in the smallest heap block that holds them. It knows nothing of what the
//! bytes mean; that is `packed`'s business and the types'.
//!
//! # Layout
//!
//! A narrow block starts with one 32-bit word: 17 bits of length, 12 bits of count, two marks whose meanings are the owner's, and one
//! bit that is clear. A block that outgrows these has that bit set and two more words, length and count. The bytes follow.
//!
//! The capacity is not stored: it is always the allocator's size class of what is in use, so each growth costs at most one
//! copy per class, and classes are geometric.

#![expect(unsafe_code, reason = "a header and its bytes in one heap block")]

use std::alloc::{Layout, alloc, dealloc, handle_alloc_error};
use std::ptr;

const WIDE: u32 = 1 << 31;
const MARK: u32 = 1 << 30;
const PAST: u32 = 1 << 29;
const USED_BITS: u32 = 17;
const NARROW_USED: usize = (1 << USED_BITS) - 1;
const NARROW_COUNT: usize = (1 << 12) - 1;
const NARROW_HEADER: usize = 4;
const WIDE_HEADER: usize = 12;
const ALIGN: usize = 8;

/// The most bytes that one block may hold; whoever would exceed it takes another encoding.
pub(crate) const MAX_USED: usize = 1 << 30;

/// Bytes and a count in one heap block; nothing is allocated while there are no bytes. Eight bytes, never a tagged pointer.
#[repr(transparent)]
pub(crate) struct Thin(*mut u8);

/// What a block's header says.
#[derive(Clone, Copy)]
struct Head {
    header: usize,
    used: usize,
    count: usize,
    mark: bool,
    past: bool,
}

impl Head {
    const EMPTY: Self = Self {
        header: NARROW_HEADER,
        used: 0,
        count: 0,
        mark: false,
        past: false,
    };

    /// The header of this block with other contents; one that is wide stays wide.
    fn with(self, used: usize, count: usize) -> Self {
        let narrow = self.header == NARROW_HEADER && used <= NARROW_USED && count <= NARROW_COUNT;
        Self {
            header: if narrow { NARROW_HEADER } else { WIDE_HEADER },
            used,
            count,
            mark: self.mark,
            past: self.past,
        }
    }

    fn size(self) -> usize {
        size_class(self.header + self.used)
    }
}

// SAFETY: a `Thin` owns its block alone, like a `Vec<u8>`.
unsafe impl Send for Thin {}
// SAFETY: a shared `Thin` is only read, like a `Vec<u8>`.
unsafe impl Sync for Thin {}

impl Thin {
    /// No bytes, no block.
    pub(crate) const fn new() -> Self {
        Self(ptr::null_mut())
    }

    /// How many things the bytes hold, as the owner counts them.
    pub(crate) fn count(&self) -> usize {
        self.head().count
    }

    /// The owner's mark. A block without bytes has none.
    pub(crate) fn mark(&self) -> bool {
        self.head().mark
    }

    /// Sets or clears the owner's mark; it stays while there are bytes.
    pub(crate) fn set_mark(&mut self, mark: bool) {
        self.set_head(Head {
            mark,
            ..self.head()
        });
    }

    /// The owner's other mark. A block without bytes has none.
    pub(crate) fn is_past(&self) -> bool {
        self.head().past
    }

    /// Sets or clears the owner's other mark; it stays while there are bytes.
    pub(crate) fn set_past(&mut self, past: bool) {
        self.set_head(Head {
            past,
            ..self.head()
        });
    }

    fn set_head(&mut self, head: Head) {
        if !self.0.is_null() {
            // SAFETY: the block has this header already, but for the marks.
            unsafe { write_head(self.0, head) };
        }
    }

    /// The size of the block, bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        if self.0.is_null() {
            0
        } else {
            self.head().size()
        }
    }

    /// The bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        let head = self.head();
        if self.0.is_null() {
            return &[];
        }
        // SAFETY: the block holds `used` initialised bytes after its header, and lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.0.add(head.header), head.used) }
    }

    /// The bytes, to be changed in place.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        let head = self.head();
        if self.0.is_null() {
            return &mut [];
        }
        // SAFETY: as in `bytes`; `&mut self` makes the access unique.
        unsafe { std::slice::from_raw_parts_mut(self.0.add(head.header), head.used) }
    }

    /// A block with these bytes.
    pub(crate) fn from_bytes(bytes: &[u8], count: usize) -> Self {
        let mut thin = Self::new();
        thin.splice(0, 0, &[bytes], count);
        thin
    }

    /// Replaces `remove` bytes at `at` by `parts`, one after the other, and sets the count.
    ///
    /// # Panics
    /// When `at + remove` is past the end, or more than [`MAX_USED`] bytes would be in use.
    pub(crate) fn splice(&mut self, at: usize, remove: usize, parts: &[&[u8]], count: usize) {
        let old = self.head();
        let added: usize = parts.iter().map(|part| part.len()).sum();
        let tail_from = at.checked_add(remove).expect("a range inside the block");
        assert!(tail_from <= old.used, "a range inside the block");
        let used = old.used - remove + added;
        assert!(used <= MAX_USED, "the owner bounds its block");
        if used == 0 {
            *self = Self::new();
            return;
        }
        let new = old.with(used, count);
        let tail = old.used - tail_from;
        if !self.0.is_null() && new.header == old.header && new.size() == old.size() {
            // SAFETY: both ranges lie within the block, whose size is the class of either length.
            unsafe {
                let bytes = self.0.add(new.header);
                if added != remove {
                    ptr::copy(bytes.add(tail_from), bytes.add(at + added), tail);
                }
                write_parts(bytes.add(at), parts);
                write_head(self.0, new);
            }
            return;
        }
        let block = allocate(new.size());
        // SAFETY: the new block has room for `used` bytes after its header; the old one, if there is one, holds
        // `old.used` bytes after its own. They do not overlap, and `parts` borrows from neither. Where there is no old
        // block, `at` and `tail` are zero and nothing is read from it.
        unsafe {
            let to = block.add(new.header);
            if !self.0.is_null() {
                let from = self.0.add(old.header);
                ptr::copy_nonoverlapping(from, to, at);
                ptr::copy_nonoverlapping(from.add(tail_from), to.add(at + added), tail);
            }
            write_parts(to.add(at), parts);
            write_head(block, new);
        }
        *self = Self(block);
    }

    fn head(&self) -> Head {
        if self.0.is_null() {
            return Head::EMPTY;
        }
        // SAFETY: a block is aligned to eight bytes and starts with one word, or three where it is wide.
        unsafe {
            let words = self.0.cast::<u32>();
            let word = *words;
            let (mark, past) = (word & MARK != 0, word & PAST != 0);
            if word & WIDE == 0 {
                Head {
                    header: NARROW_HEADER,
                    used: word as usize & NARROW_USED,
                    count: (word >> USED_BITS) as usize & NARROW_COUNT,
                    mark,
                    past,
                }
            } else {
                Head {
                    header: WIDE_HEADER,
                    used: *words.add(1) as usize,
                    count: *words.add(2) as usize,
                    mark,
                    past,
                }
            }
        }
    }
}

impl Clone for Thin {
    fn clone(&self) -> Self {
        let mut copy = Self::from_bytes(self.bytes(), self.count());
        copy.set_mark(self.mark());
        copy.set_past(self.is_past());
        copy
    }
}

impl Drop for Thin {
    fn drop(&mut self) {
        if !self.0.is_null() {
            let size = self.head().size();
            // SAFETY: the block was allocated with this layout: its size is always the class of what is in use.
            unsafe { dealloc(self.0, layout(size)) };
        }
    }
}

/// The allocator's size class that holds `bytes`: steps of eight up to 64, then four per doubling.
pub(crate) fn size_class(bytes: usize) -> usize {
    let step = if bytes <= 64 {
        8
    } else {
        1 << ((bytes - 1).ilog2() - 2)
    };
    bytes.next_multiple_of(step).max(8)
}

fn layout(size: usize) -> Layout {
    Layout::from_size_align(size, ALIGN).expect("a size far below the address space")
}

fn allocate(size: usize) -> *mut u8 {
    let layout = layout(size);
    // SAFETY: the size is at least eight.
    let block = unsafe { alloc(layout) };
    if block.is_null() {
        handle_alloc_error(layout);
    }
    block
}

/// # Safety
/// `to` must have room for all parts, and none of them may lie there.
unsafe fn write_parts(mut to: *mut u8, parts: &[&[u8]]) {
    for part in parts {
        // SAFETY: the caller promised the room.
        unsafe {
            ptr::copy_nonoverlapping(part.as_ptr(), to, part.len());
            to = to.add(part.len());
        }
    }
}

/// # Safety
/// `block` must be aligned to eight bytes and have room for the header.
unsafe fn write_head(block: *mut u8, head: Head) {
    #[expect(clippy::cast_possible_truncation, reason = "both are below 2^31")]
    let (used, count) = (head.used as u32, head.count as u32);
    let mark = if head.mark { MARK } else { 0 };
    let past = if head.past { PAST } else { 0 };
    // SAFETY: the caller promised room and alignment.
    unsafe {
        let words = block.cast::<u32>();
        if head.header == NARROW_HEADER {
            *words = mark | past | used | count << USED_BITS;
        } else {
            *words = mark | past | WIDE;
            *words.add(1) = used;
            *words.add(2) = count;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::amount::cases;
    use proptest::prelude::*;

    #[test]
    fn classes_are_the_allocators() {
        let classes: Vec<usize> = (1..=320).map(size_class).collect();
        let mut distinct = classes.clone();
        distinct.dedup();
        assert_eq!(
            distinct,
            [
                8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320
            ]
        );
        assert!(
            classes
                .iter()
                .zip(1..)
                .all(|(class, bytes)| *class >= bytes)
        );
    }

    #[test]
    fn a_block_becomes_wide_by_bytes_and_by_count() {
        let mut thin = Thin::new();
        thin.splice(0, 0, &[&[7; 100]], NARROW_COUNT);
        thin.splice(100, 0, &[b"x"], NARROW_COUNT + 1);
        assert_eq!((thin.bytes().len(), thin.count()), (101, NARROW_COUNT + 1));
        let mut thin = Thin::new();
        thin.splice(0, 0, &[&vec![1; NARROW_USED]], 1);
        thin.splice(0, 0, &[b"ab"], 2);
        assert_eq!((thin.bytes().len(), thin.count()), (NARROW_USED + 2, 2));
        assert_eq!(thin.bytes()[..3], *b"ab\x01");
        assert!(!thin.mark() && !thin.is_past());
        thin.set_mark(true);
        thin.splice(1, NARROW_USED, &[], 1);
        assert_eq!((thin.bytes(), thin.count()), (&b"a\x01"[..], 1));
        assert!(thin.mark() && !thin.is_past());
        thin.set_past(true);
        thin.set_mark(false);
        let copy = thin.clone();
        assert!(!copy.mark() && copy.is_past() && copy.bytes() == b"a\x01");
    }

    proptest! {
        #![proptest_config(cases(256, 4))]
        #[test]
        fn splices_like_a_vec(steps in prop::collection::vec((any::<prop::sample::Index>(), 0usize..20, prop::collection::vec(any::<u8>(), 0..40), 0usize..9000), 1..40)) {
            let mut thin = Thin::new();
            let mut model: Vec<u8> = Vec::new();
            for (at, remove, added, count) in steps {
                let at = at.index(model.len() + 1);
                let remove = remove.min(model.len() - at);
                let (a, b) = added.split_at(added.len() / 2);
                thin.splice(at, remove, &[a, b], count);
                model.splice(at..at + remove, added.iter().copied());
                prop_assert_eq!(thin.bytes(), &model[..]);
                prop_assert_eq!(thin.count(), if model.is_empty() { 0 } else { count });
                prop_assert!(thin.heap_bytes() >= model.len());
            }
        }
    }
}
