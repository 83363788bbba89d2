//! The numbers of the format: signature, versions, opcodes, value types, string encodings. No reading or writing.

/// The first five bytes of a file; four decimal digits of the version follow.
pub const MAGIC: &[u8; 5] = b"REDIS";

/// The version that is written: what Redis 3.0 writes and reads.
pub const WRITE_VERSION: u16 = 6;

/// The newest version that is read (Redis 7.4).
pub const NEWEST_VERSION: u16 = 12;

/// Files from this version on end with a checksum of eight bytes.
pub(crate) const FIRST_VERSION_WITH_CHECKSUM: u16 = 5;

/// Bytes that stand between values.
pub(crate) mod opcode {
    /// Slot number and sizes, a hint of Redis 7.4's cluster mode.
    pub(crate) const SLOT_INFO: u8 = 244;
    /// A function library: its code.
    pub(crate) const FUNCTION: u8 = 245;
    /// A function library as release candidates of Redis 7.0 wrote it.
    pub(crate) const FUNCTION_PRE_GA: u8 = 246;
    /// Data of a module that belongs to no key.
    pub(crate) const MODULE_AUX: u8 = 247;
    /// Idle seconds of the key that follows.
    pub(crate) const IDLE: u8 = 248;
    /// Logarithmic access counter of the key that follows.
    pub(crate) const FREQ: u8 = 249;
    /// A name and a value about the file.
    pub(crate) const AUX: u8 = 250;
    /// How many keys, and how many with an expiry, the database holds.
    pub(crate) const RESIZE_DB: u8 = 251;
    /// Expiry of the key that follows, milliseconds.
    pub(crate) const EXPIRE_MS: u8 = 252;
    /// Expiry of the key that follows, seconds.
    pub(crate) const EXPIRE_SECONDS: u8 = 253;
    /// The database of the keys that follow.
    pub(crate) const SELECT_DB: u8 = 254;
    /// The end.
    pub(crate) const EOF: u8 = 255;
}

/// String encodings, in the low six bits of a length byte whose top bits are both set.
pub(crate) mod string_encoding {
    pub(crate) const INT8: u8 = 0;
    pub(crate) const INT16: u8 = 1;
    pub(crate) const INT32: u8 = 2;
    pub(crate) const LZF: u8 = 3;
}

/// The type of a value as a key's user sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A string.
    String,
    /// A list.
    List,
    /// A set.
    Set,
    /// A sorted set.
    Zset,
    /// A hash.
    Hash,
}

/// How a value is written: the byte in front of its key. Numbers and names are Redis's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Encoding {
    /// A string.
    String = 0,
    /// A list, element by element.
    List = 1,
    /// A set, member by member.
    Set = 2,
    /// A sorted set, member by member, scores as text.
    Zset = 3,
    /// A hash, field by field.
    Hash = 4,
    /// A sorted set, member by member, scores as binary doubles.
    Zset2 = 5,
    /// A module's value, first form: only the module knows its length.
    Module = 6,
    /// A module's value, second form: can be skipped.
    Module2 = 7,
    /// A small hash of Redis before 2.6.
    HashZipmap = 9,
    /// A small list.
    ListZiplist = 10,
    /// A set of integers.
    SetIntset = 11,
    /// A small sorted set.
    ZsetZiplist = 12,
    /// A small hash.
    HashZiplist = 13,
    /// A list of Redis 3.2 to 6.2: a chain of ziplists.
    ListQuicklist = 14,
    /// A stream of Redis 5.
    Stream = 15,
    /// A small hash of Redis 7.
    HashListpack = 16,
    /// A small sorted set of Redis 7.
    ZsetListpack = 17,
    /// A list of Redis 7: a chain of listpacks and single elements.
    ListQuicklist2 = 18,
    /// A stream of Redis 7.0.
    Stream2 = 19,
    /// A small set of Redis 7.2.
    SetListpack = 20,
    /// A stream of Redis 7.2.
    Stream3 = 21,
    /// A hash of Redis 7.4 with expiries of its fields.
    HashExpiring = 24,
    /// A small hash of Redis 7.4 with expiries of its fields.
    HashExpiringListpack = 25,
}

impl Encoding {
    /// All of them.
    pub(crate) const ALL: [Encoding; 23] = [
        Encoding::String,
        Encoding::List,
        Encoding::Set,
        Encoding::Zset,
        Encoding::Hash,
        Encoding::Zset2,
        Encoding::Module,
        Encoding::Module2,
        Encoding::HashZipmap,
        Encoding::ListZiplist,
        Encoding::SetIntset,
        Encoding::ZsetZiplist,
        Encoding::HashZiplist,
        Encoding::ListQuicklist,
        Encoding::Stream,
        Encoding::HashListpack,
        Encoding::ZsetListpack,
        Encoding::ListQuicklist2,
        Encoding::Stream2,
        Encoding::SetListpack,
        Encoding::Stream3,
        Encoding::HashExpiring,
        Encoding::HashExpiringListpack,
    ];

    /// The encoding that `code` stands for.
    pub fn from_code(code: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|encoding| encoding.code() == code)
    }

    /// The byte in the file.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// What the value is; `None` where Redis 3.0 has no such type.
    pub fn kind(self) -> Option<Kind> {
        Some(match self {
            Self::String => Kind::String,
            Self::List | Self::ListZiplist | Self::ListQuicklist | Self::ListQuicklist2 => {
                Kind::List
            }
            Self::Set | Self::SetIntset | Self::SetListpack => Kind::Set,
            Self::Zset | Self::Zset2 | Self::ZsetZiplist | Self::ZsetListpack => Kind::Zset,
            Self::Hash | Self::HashZipmap | Self::HashZiplist | Self::HashListpack => Kind::Hash,
            Self::Module
            | Self::Module2
            | Self::Stream
            | Self::Stream2
            | Self::Stream3
            | Self::HashExpiring
            | Self::HashExpiringListpack => return None,
        })
    }

    /// The name that `redis-check-rdb` prints.
    pub fn name(self) -> &'static str {
        match self {
            Self::String => "string",
            Self::List => "list-linked",
            Self::Set => "set-hashtable",
            Self::Zset => "zset-v1",
            Self::Hash => "hash-hashtable",
            Self::Zset2 => "zset-v2",
            Self::Module => "module-pre-release",
            Self::Module2 => "module-value",
            Self::HashZipmap => "hash-zipmap",
            Self::ListZiplist => "list-ziplist",
            Self::SetIntset => "set-intset",
            Self::ZsetZiplist => "zset-ziplist",
            Self::HashZiplist => "hash-ziplist",
            Self::ListQuicklist => "quicklist",
            Self::Stream => "stream",
            Self::HashListpack => "hash-listpack",
            Self::ZsetListpack => "zset-listpack",
            Self::ListQuicklist2 => "quicklist-v2",
            Self::Stream2 => "stream-v2",
            Self::SetListpack => "set-listpack",
            Self::Stream3 => "stream-v3",
            Self::HashExpiring => "hash-hashtable-md",
            Self::HashExpiringListpack => "hash-listpack-md",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_names_its_encoding() {
        for encoding in Encoding::ALL {
            assert_eq!(Encoding::from_code(encoding.code()), Some(encoding));
        }
        assert_eq!(Encoding::from_code(8), None);
        assert_eq!(Encoding::from_code(opcode::EOF), None);
    }
}
