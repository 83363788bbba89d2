//! The types of values, and their encodings, under the names that commands answer.

/// The type of a value, as TYPE names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Type {
    /// `string`
    String,
    /// `list`
    List,
    /// `set`
    Set,
    /// `zset`
    Zset,
    /// `hash`
    Hash,
    /// `stream`
    Stream,
}

impl Type {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::String,
        Self::List,
        Self::Set,
        Self::Zset,
        Self::Hash,
        Self::Stream,
    ];

    /// The name that TYPE answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::List => "list",
            Self::Set => "set",
            Self::Zset => "zset",
            Self::Hash => "hash",
            Self::Stream => "stream",
        }
    }
}

/// The encodings that OBJECT ENCODING names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// A string that is a canonical 64-bit integer.
    Int,
    /// A short string that was never changed in place.
    Embstr,
    /// Any other string.
    Raw,
    /// A small list, set, hash or sorted set.
    Listpack,
    /// A large list.
    Quicklist,
    /// A set of integers.
    Intset,
    /// A large set or hash.
    Hashtable,
    /// A large sorted set.
    Skiplist,
    /// Any stream.
    Stream,
}

impl Encoding {
    /// The name that OBJECT ENCODING answers.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Embstr => "embstr",
            Self::Raw => "raw",
            Self::Listpack => "listpack",
            Self::Quicklist => "quicklist",
            Self::Intset => "intset",
            Self::Hashtable => "hashtable",
            Self::Skiplist => "skiplist",
            Self::Stream => "stream",
        }
    }
}
