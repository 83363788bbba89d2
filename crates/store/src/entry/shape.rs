//! What stands in the first words of an entry, and what follows from it: where things lie and how large the block is.

use std::alloc::Layout;

use crate::thin::size_class;

/// The longest value that lies in the entry itself. Longer ones have a buffer of their own, which replies share.
pub(super) const INLINE_MAX: usize = (1 << 14) - 1;
pub(super) const KEY_BITS: u32 = 13;
pub(super) const NARROW_KEY: usize = (1 << KEY_BITS) - 1;
pub(super) const STEPS_SHIFT: u32 = 27;
pub(super) const STEPS_MAX: usize = 31;

/// The longest key beside a [`Kind::Tiny`].
pub(super) const TINY_KEY: usize = (1 << TINY_KEY_BITS) - 1;
pub(super) const TINY_KEY_BITS: u32 = 8;
const TINY_MAX: i64 = (1 << 24) - 1;

/// What the value is, and how it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
#[repr(u8)]
pub(super) enum Kind {
    /// A small integer, which stands in the head.
    Tiny,
    /// An inline string as a client gave it.
    Inline,
    /// An inline string that was changed in place.
    Raw,
    /// The fields of a small hash, inline.
    Fields,
    /// Any other integer. From here on there is a word for the value.
    Int,
    Big,
    List,
    Set,
    Zset,
    Hash,
    /// A hash some of whose fields have an expiry.
    Timed,
    Stream,
}

impl Kind {
    /// By number; all that four bits can say.
    pub(super) const ALL: [Self; 16] = {
        let mut all = [Self::Stream; 16];
        let known = [
            Self::Tiny,
            Self::Inline,
            Self::Raw,
            Self::Fields,
            Self::Int,
            Self::Big,
            Self::List,
            Self::Set,
            Self::Zset,
            Self::Hash,
            Self::Timed,
            Self::Stream,
        ];
        let mut at = 0;
        while at < known.len() {
            assert!(known[at] as usize == at);
            all[at] = known[at];
            at += 1;
        }
        all
    };

    /// How an integer is stored beside a key of this length.
    #[inline]
    pub(super) fn of_int(value: i64, key: usize) -> Self {
        if (0..=TINY_MAX).contains(&value) && key <= TINY_KEY {
            Self::Tiny
        } else {
            Self::Int
        }
    }

    /// Whether the value lies behind the key.
    #[inline]
    pub(super) fn is_inline(self) -> bool {
        matches!(self, Self::Inline | Self::Raw | Self::Fields)
    }

    /// Whether the value has a word before the key.
    #[inline]
    fn has_word(self) -> bool {
        self >= Self::Int
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
    /// Length of an inline value, bytes; a tiny integer itself; 0 for others.
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

    /// The same block used for this integer, where it is stored in the way of the one that is there.
    #[inline]
    pub(super) fn with_int(self, value: i64) -> Option<Self> {
        match self.kind {
            Kind::Int => Some(self),
            Kind::Tiny if Kind::of_int(value, self.key) == Kind::Tiny => {
                Some(self.with_tiny(value))
            }
            _ => None,
        }
    }

    /// The same with this tiny integer.
    #[inline]
    pub(super) fn with_tiny(self, value: i64) -> Self {
        debug_assert!(Kind::of_int(value, self.key) == Kind::Tiny);
        #[expect(clippy::cast_sign_loss, reason = "tiny integers are not negative")]
        #[expect(clippy::cast_possible_truncation, reason = "64-bit platforms only")]
        let value = value as usize;
        Self { value, ..self }
    }

    /// The value of a tiny integer.
    #[inline]
    pub(super) fn integer(self) -> i64 {
        #[expect(clippy::cast_possible_wrap, reason = "below 2^24")]
        let value = self.value as i64;
        value
    }

    /// The second word of the head of a tiny integer.
    #[inline]
    pub(super) fn tiny_sizes(self) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "24 bits and 8")]
        let sizes = (self.value << TINY_KEY_BITS | self.key) as u32;
        sizes
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
        self.word_at() + if self.kind.has_word() { 8 } else { 0 }
    }

    /// Where an inline value lies.
    #[inline]
    pub(super) fn inline_at(self) -> usize {
        self.key_at() + self.key
    }

    pub(super) fn used(self) -> usize {
        let inline = if self.kind.is_inline() { self.value } else { 0 };
        self.inline_at() + inline
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
