//! Sixty-four bits that hold a pointer and sixteen bits more: a slot (item and hash bits), or a reference to a segment.

use std::ptr::NonNull;

/// The bits of a word that an address may use. User space on the 64-bit platforms we run on stays below 2^47.
const ADDRESS: usize = (1 << 48) - 1;
/// Blocks are aligned to eight bytes, so the three lowest bits of an address are free.
const ALIGN: usize = 7;
const MARK: usize = 1;

const _: () = assert!(
    usize::BITS == 64,
    "a word packs a pointer into 48 of 64 bits"
);

/// A pointer with sixteen bits above it and a mark below. It keeps the pointer's provenance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(super) struct Word(*mut u8);

impl Word {
    /// No pointer, sixteen zero bits.
    pub(super) const NULL: Self = Self(std::ptr::null_mut());
    /// An empty slot: no pointer, sixteen one bits. So an empty slot sorts after every tag and a search stops at it.
    pub(super) const EMPTY: Self = Self(std::ptr::without_provenance_mut(0xffff << 48));

    /// # Panics
    /// When the address needs more than 48 bits: no supported system gives such.
    #[inline]
    pub(super) fn new(pointer: *mut u8, top: u16) -> Self {
        assert!(
            pointer.addr() & !(ADDRESS & !ALIGN) == 0,
            "a heap block lies below 2^48 and is aligned to eight bytes"
        );
        Self(pointer.map_addr(|address| address | usize::from(top) << 48))
    }

    /// The sixteen bits.
    #[inline]
    pub(super) fn top(self) -> u16 {
        #[expect(clippy::cast_possible_truncation, reason = "sixteen bits are left")]
        let top = (self.0.addr() >> 48) as u16;
        top
    }

    /// The pointer.
    #[inline]
    pub(super) fn pointer(self) -> *mut u8 {
        self.0.map_addr(|address| address & ADDRESS & !ALIGN)
    }

    /// The pointer, where there is one.
    #[inline]
    pub(super) fn non_null(self) -> Option<NonNull<u8>> {
        NonNull::new(self.pointer())
    }

    /// Whether it is below all words that hold these sixteen bits.
    #[inline]
    pub(super) fn is_below(self, top: u16) -> bool {
        self.0.addr() < usize::from(top) << 48
    }

    /// Whether there is no pointer.
    #[inline]
    pub(super) fn is_vacant(self) -> bool {
        self.0.addr() & ADDRESS & !ALIGN == 0
    }

    /// The same pointer and mark under other sixteen bits.
    #[inline]
    pub(super) fn with_top(self, top: u16) -> Self {
        Self(
            self.0
                .map_addr(|address| address & ADDRESS | usize::from(top) << 48),
        )
    }

    /// Another pointer under the same sixteen bits and mark.
    pub(super) fn with_pointer(self, pointer: NonNull<u8>) -> Self {
        Self::new(pointer.as_ptr(), self.top()).with_mark(self.is_marked())
    }

    /// Whether the item is marked.
    #[inline]
    pub(super) fn is_marked(self) -> bool {
        self.0.addr() & MARK != 0
    }

    /// The same word with the mark set or not.
    #[inline]
    pub(super) fn with_mark(self, mark: bool) -> Self {
        Self(
            self.0
                .map_addr(|address| address & !MARK | usize::from(mark)),
        )
    }
}
