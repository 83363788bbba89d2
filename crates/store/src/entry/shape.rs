//! What stands in the first words of an entry, and what follows from it: where things lie and how large the block is.

use std::alloc::Layout;

use crate::thin::size_class;

/// The longest value that lies in the entry itself. Longer ones have a buffer of their own, which replies share.
pub(super) const INLINE_MAX: usize = (1 << 14) - 1;
pub(super) const KEY_BITS: u32 = 13;
pub(super) const NARROW_KEY: usize = (1 << KEY_BITS) - 1;
pub(super) const STEPS_SHIFT: u32 = 27;
pub(super) const STEPS_MAX: usize = 31;

/// What the value is, and how it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    Int,
    /// An inline string as a client gave it.
    Inline,
    /// An inline string that was changed in place.
    Raw,
    Big,
    List,
    Set,
    Zset,
    Hash,
}

impl Kind {
    pub(super) const ALL: [Self; 8] = [
        Self::Int,
        Self::Inline,
        Self::Raw,
        Self::Big,
        Self::List,
        Self::Set,
        Self::Zset,
        Self::Hash,
    ];

    #[inline]
    pub(super) fn is_inline(self) -> bool {
        matches!(self, Self::Inline | Self::Raw)
    }
}

/// The first words of a block, decoded.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) kind: Kind,
    /// Whether there is room for an expiry.
    pub(super) timed: bool,
    pub(super) wide: bool,
    /// Length of the key, bytes.
    pub(super) key: usize,
    /// Length of an inline value, bytes; 0 for others.
    pub(super) value: usize,
    /// The allocation is so many size classes above the smallest one that would do.
    pub(super) steps: usize,
}

impl Shape {
    pub(super) fn new(kind: Kind, timed: bool, key: usize, value: usize) -> Self {
        Self {
            kind,
            timed,
            wide: key > NARROW_KEY,
            key,
            value,
            steps: 0,
        }
    }

    #[inline]
    pub(super) fn expiry_at(self) -> usize {
        if self.wide { 16 } else { 8 }
    }

    /// Where an integer, handle or pointer lies.
    #[inline]
    pub(super) fn word_at(self) -> usize {
        self.expiry_at() + if self.timed { 8 } else { 0 }
    }

    #[inline]
    pub(super) fn key_at(self) -> usize {
        self.word_at() + if self.kind.is_inline() { 0 } else { 8 }
    }

    /// Where an inline value lies.
    #[inline]
    pub(super) fn inline_at(self) -> usize {
        self.key_at() + self.key
    }

    pub(super) fn used(self) -> usize {
        self.inline_at() + self.value
    }

    pub(super) fn size(self) -> usize {
        let mut size = size_class(self.used());
        for _ in 0..self.steps {
            size = size_class(size + 1);
        }
        size
    }

    pub(super) fn layout(self) -> Layout {
        // SAFETY: far below the address space: a key and a value are slices that exist. Eight is a power of two.
        unsafe { Layout::from_size_align_unchecked(self.size(), 8) }
    }

    /// The same block used for another inline value, where it is large enough and at most `wasted` classes too large.
    #[inline]
    pub(super) fn with_value(self, value: usize, wasted: usize) -> Option<Self> {
        if value > INLINE_MAX {
            return None;
        }
        let size = self.size();
        let mut other = Self {
            value,
            steps: 0,
            ..self
        };
        let mut class = size_class(other.used());
        while class < size && other.steps < wasted {
            class = size_class(class + 1);
            other.steps += 1;
        }
        (class == size).then_some(other)
    }

    /// Makes the allocation about half as large again as needed.
    pub(super) fn with_slack(mut self) -> Self {
        let used = self.used();
        let goal = size_class(used + used / 2);
        let mut class = size_class(used);
        while class < goal && self.steps < STEPS_MAX {
            class = size_class(class + 1);
            self.steps += 1;
        }
        self
    }
}
