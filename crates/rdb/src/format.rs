//! The numbers of the format: signature, versions, opcodes, value types, string encodings. No reading or writing.

/// The first five bytes of a file of Redis; four decimal digits of the version follow.
pub const MAGIC: &[u8; 5] = b"REDIS";

/// The first six bytes of a file of Valkey 9 and later; three decimal digits of the version follow.
pub const VALKEY_MAGIC: &[u8; 6] = b"VALKEY";

/// Bytes of signature and version.
pub(crate) const HEADER_BYTES: usize = 9;

/// Files from this version on end with a checksum of eight bytes.
pub(crate) const FIRST_VERSION_WITH_CHECKSUM: u16 = 5;

/// Whether `bytes` begin as an RDB file does.
#[must_use]
pub fn is_signature(bytes: &[u8]) -> bool {
    bytes.starts_with(MAGIC) || bytes.starts_with(VALKEY_MAGIC)
}

/// A version of the format. Redis counts from 1; Valkey went on at 80, and the same number never means two formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u16);

impl Version {
    /// Redis 2.6 to 3.0: the oldest that is written.
    pub const OLDEST_WRITTEN: Self = Self(6);
    /// Redis 7.0.
    pub const REDIS_7_0: Self = Self(10);
    /// Redis 7.2 and Valkey up to 8: the lowest that is written unless an older one is asked for.
    pub const COMMON: Self = Self(11);
    /// Redis 7.4 and 8.
    pub const NEWEST_REDIS: Self = Self(12);
    /// Valkey 9.
    pub const VALKEY: Self = Self(80);

    /// The version of this number, where it can be written.
    #[must_use]
    pub fn written(number: u16) -> Option<Self> {
        let known = (Self::OLDEST_WRITTEN.0..=Self::NEWEST_REDIS.0).contains(&number)
            || number == Self::VALKEY.0;
        known.then_some(Self(number))
    }

    /// The version that a file's first bytes declare; `None` where they are no signature.
    pub(crate) fn declared(header: &[u8; HEADER_BYTES]) -> Option<Self> {
        let (valkey, digits) = match header.strip_prefix(VALKEY_MAGIC) {
            Some(digits) => (true, digits),
            None => (false, header.strip_prefix(MAGIC)?),
        };
        let number = digits.iter().try_fold(0u16, |number, digit| {
            digit
                .is_ascii_digit()
                .then(|| number * 10 + u16::from(digit - b'0'))
        })?;
        (valkey == Self(number).is_valkey()).then_some(Self(number))
    }

    /// The version in the footer of a payload.
    pub(crate) fn of_payload(number: u16) -> Self {
        Self(number)
    }

    /// The number.
    #[must_use]
    pub fn number(self) -> u16 {
        self.0
    }

    /// Whether it is one of Valkey's own.
    #[must_use]
    pub fn is_valkey(self) -> bool {
        self.0 >= Self::VALKEY.0
    }

    /// Whether its opcode 243 is Valkey's, which Valkey reads in any file; later files of Redis mean another thing by it.
    pub(crate) fn may_import_slots(self) -> bool {
        self.is_valkey() || self.0 < 12
    }

    /// How it stands to what is known here.
    #[must_use]
    pub fn origin(self) -> Origin {
        match self.0 {
            1..=12 | 80 => Origin::Known,
            13..80 => Origin::Foreign,
            81.. => Origin::Future,
            0 => Origin::Never,
        }
    }

    /// Signature and version as they stand in a file.
    pub(crate) fn header(self) -> String {
        if self.is_valkey() {
            format!("VALKEY{:03}", self.0)
        } else {
            format!("REDIS{:04}", self.0)
        }
    }
}

/// How a version stands to those that are known here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It is read whole.
    Known,
    /// Redis's, newer than what is known. Read as far as its types are old ones, where `rdb-version-check relaxed` says so.
    Foreign,
    /// Valkey's, newer than what is known; the same.
    Future,
    /// There is no such version.
    Never,
}

/// Bytes that stand between values.
pub(crate) mod opcode {
    /// Slots that were being imported (Valkey 9).
    pub(crate) const SLOT_IMPORT: u8 = 243;
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
    /// A stream.
    Stream,
}

/// How a value is written: the byte in front of its key. Numbers and names are those of Redis and Valkey.
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
    /// A hash of Valkey 9 with expiries of its fields.
    HashFields = 22,
    /// A hash of Redis 7.4 with expiries of its fields.
    HashExpiring = 24,
    /// A small hash of Redis 7.4 with expiries of its fields.
    HashExpiringListpack = 25,
}

impl Encoding {
    /// All of them.
    pub(crate) const ALL: [Encoding; 24] = [
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
        Encoding::HashFields,
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

    /// What the value is; `None` for a module's.
    pub fn kind(self) -> Option<Kind> {
        Some(match self {
            Self::String => Kind::String,
            Self::List | Self::ListZiplist | Self::ListQuicklist | Self::ListQuicklist2 => {
                Kind::List
            }
            Self::Set | Self::SetIntset | Self::SetListpack => Kind::Set,
            Self::Zset | Self::Zset2 | Self::ZsetZiplist | Self::ZsetListpack => Kind::Zset,
            Self::Hash
            | Self::HashZipmap
            | Self::HashZiplist
            | Self::HashListpack
            | Self::HashFields
            | Self::HashExpiring
            | Self::HashExpiringListpack => Kind::Hash,
            Self::Stream | Self::Stream2 | Self::Stream3 => Kind::Stream,
            Self::Module | Self::Module2 => return None,
        })
    }

    /// Whether its fields may expire.
    pub(crate) fn has_expiries(self) -> bool {
        matches!(
            self,
            Self::HashFields | Self::HashExpiring | Self::HashExpiringListpack
        )
    }

    /// Whether its number stands for it in this version: from 22 on, Redis and Valkey gave the same numbers to different things.
    pub(crate) fn is_of(self, version: Version) -> bool {
        match self {
            Self::HashFields => version.is_valkey(),
            Self::HashExpiring | Self::HashExpiringListpack => !version.is_valkey(),
            _ => true,
        }
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
            Self::HashFields => "hash-volatile-items",
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

    #[test]
    fn a_version_stands_under_the_signature_of_its_vendor() {
        for number in (6..=12).chain([80]) {
            let version = Version::written(number).unwrap();
            let header: [u8; HEADER_BYTES] = version.header().into_bytes().try_into().unwrap();
            assert_eq!(Version::declared(&header), Some(version));
            assert_eq!(version.origin(), Origin::Known);
        }
        for (header, number) in [
            (b"REDIS0001", Some(1)),
            (b"REDIS0079", Some(79)),
            (b"REDIS0080", None),
            (b"VALKEY079", None),
            (b"VALKEY987", Some(987)),
            (b"VALKEYxyz", None),
            (b"REDIS00x6", None),
            (b"RUBIS0006", None),
        ] {
            let declared = Version::declared(header).map(Version::number);
            assert_eq!(declared, number, "{}", header.escape_ascii());
        }
        assert!(
            [5, 13, 79, 81]
                .into_iter()
                .all(|number| Version::written(number).is_none())
        );
    }
}
