//! What a row may say of releases that do not know its command: which words they are told instead. How these are found is in
//! [`crate::older`].

use std::borrow::Cow;

use crate::Args;

/// A release of Redis. Valkey went on from 7.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Release(pub(crate) [u8; 3]);

impl Release {
    /// The last ones of a series, by the highest version of dumps that they read.
    pub const V2_8: Self = Self([2, 8, 24]);
    /// Redis 3.2.
    pub const V3_2: Self = Self([3, 2, 13]);
    /// Redis 4.0.
    pub const V4_0: Self = Self([4, 0, 14]);
    /// Redis 5.0, and what reads the same dumps, up to 6.2.
    pub const V5_0: Self = Self([5, 0, 14]);
    /// Redis 7.0.
    pub const V7_0: Self = Self([7, 0, 15]);
    /// Redis 7.2.
    pub const V7_2: Self = Self([7, 2, 4]);
    /// Redis 7.4 and 8. It knows of what came later only how fields of hashes expire.
    pub const V7_4: Self = Self([7, 4, 255]);
    /// Valkey 9.0.
    pub const V9_0: Self = Self([9, 0, 0]);
    /// The newest of which something is known.
    pub const TODAY: Self = Self([9, 1, 0]);

    /// The oldest release whose dumps have this version; none where it knows all that is written here.
    #[must_use]
    pub fn of_dump(version: u16) -> Option<Self> {
        Some(match version {
            0..=6 => Self::V2_8,
            7 => Self::V3_2,
            8 => Self::V4_0,
            9 => Self::V5_0,
            10 => Self::V7_0,
            11 => Self::V7_2,
            12 => Self::V7_4,
            _ => return None,
        })
    }

    /// The release with this number, a byte for each part.
    #[must_use]
    pub const fn of_number(number: u32) -> Self {
        let [_, major, minor, patch] = number.to_be_bytes();
        Self([major, minor, patch])
    }

    /// What both know: Redis 7.4 has fields that expire, Valkey 8 has not.
    #[must_use]
    pub fn common(self, other: Self) -> Self {
        let (low, high) = (self.min(other), self.max(other));
        if low == Self::V7_4 && high > low && high < Self::V9_0 {
            return Self::V7_2;
        }
        low
    }

    /// `6.2.0`, as rows have it. What is no number counts as 0.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut parts = text.split('.').map(|part| part.parse().unwrap_or(0));
        Self([0; 3].map(|_: u8| parts.next().unwrap_or(0)))
    }

    /// The number with a byte for each part, as replicas announce theirs.
    #[must_use]
    pub fn number(self) -> u32 {
        let [major, minor, patch] = self.0;
        u32::from_be_bytes([0, major, minor, patch])
    }
}

/// The words of one command, or what has to be looked up to have them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// This command.
    Say(Vec<Cow<'a, [u8]>>),
    /// The expiry that a key has now, if it has any; in this database, if it is not that of the command.
    Expiry(Option<usize>, &'a [u8]),
    /// All of a key as it is now.
    State(Option<usize>, &'a [u8]),
    /// The scores that these members of a sorted set have now.
    Scores(&'a [u8], Vec<&'a [u8]>),
    /// An element was moved from one list to an end of another, where it is now.
    Moved {
        /// What pops it.
        pop: &'static str,
        /// From where.
        source: &'a [u8],
        /// What pushes it.
        push: &'static str,
        /// To where.
        destination: &'a [u8],
    },
}

impl Piece<'_> {
    /// Whether it is right only while the keys are as the command has left them.
    #[must_use]
    pub fn looks(&self) -> bool {
        !matches!(self, Self::Say(_))
    }
}

/// What is said instead of a command to a server of this release. None where there is no short way, or none is needed.
pub type OlderFn = for<'a> fn(Release, Args<'a>) -> Option<Vec<Piece<'a>>>;
