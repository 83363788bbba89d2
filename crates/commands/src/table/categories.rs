//! ACL categories: which commands `+@name` means.

use super::flags::Flags;
use super::flags::{bits, words};
use super::row::Group;

/// A set of ACL categories.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Categories(u32);

/// Their names, in the order in which COMMAND lists them.
const CATEGORY_WORDS: [&str; 21] = [
    "keyspace",
    "read",
    "write",
    "set",
    "sortedset",
    "list",
    "hash",
    "string",
    "bitmap",
    "hyperloglog",
    "geo",
    "stream",
    "pubsub",
    "admin",
    "fast",
    "slow",
    "blocking",
    "dangerous",
    "connection",
    "transaction",
    "scripting",
];

impl Categories {
    /// Reads names without `@`; an unknown one fails to compile in a row.
    #[must_use]
    pub const fn parse(text: &str) -> Self {
        Self(bits(text, &CATEGORY_WORDS))
    }

    /// The category of this name, without `@`, in any case.
    #[must_use]
    pub fn named(name: &[u8]) -> Option<Self> {
        CATEGORY_WORDS
            .iter()
            .position(|word| name.eq_ignore_ascii_case(word.as_bytes()))
            .map(|bit| Self(1 << bit))
    }

    /// All, one by one.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..CATEGORY_WORDS.len()).map(|bit| Self(1 << bit))
    }

    /// Whether any of `other`'s categories is among these.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The names without `@`.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        words(self.0, &CATEGORY_WORDS)
    }

    /// What the commands of a group are in unless their row says otherwise.
    pub(super) const fn of_group(group: Group) -> Self {
        Self::parse(match group {
            Group::Bitmap => "bitmap",
            Group::Connection => "connection",
            Group::Generic => "keyspace",
            Group::Geo => "geo",
            Group::Hash => "hash",
            Group::HyperLogLog => "hyperloglog",
            Group::List => "list",
            Group::PubSub => "pubsub",
            Group::Scripting => "scripting",
            Group::Set => "set",
            Group::SortedSet => "sortedset",
            Group::Stream => "stream",
            Group::String => "string",
            Group::Transactions => "transaction",
            Group::Cluster | Group::Sentinel | Group::Server => "",
        })
    }

    /// These and what follows from a command's flags.
    pub(super) const fn with_implied(self, flags: Flags) -> Self {
        let mut all = self.0;
        if flags.has(Flags::WRITE) {
            all |= Self::parse("write").0;
        }
        if flags.has(Flags::READONLY) && !self.has(Self::parse("scripting")) {
            all |= Self::parse("read").0;
        }
        if flags.has(Flags::ADMIN) {
            all |= Self::parse("admin dangerous").0;
        }
        if flags.has(Flags::PUBSUB) {
            all |= Self::parse("pubsub").0;
        }
        if flags.has(Flags::BLOCKING) {
            all |= Self::parse("blocking").0;
        }
        all |= Self::parse(if flags.has(Flags::FAST) {
            "fast"
        } else {
            "slow"
        })
        .0;
        Self(all)
    }
}
