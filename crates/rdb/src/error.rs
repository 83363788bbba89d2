//! What can be wrong with a file or payload, in words that say where and what to do. The texts that Redis 3.0.7 logs are its own.

use std::fmt;

use crate::format::{Origin, Version};

/// Why a file or payload was refused.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The source failed.
    #[error("{0}")]
    Io(#[from] std::io::Error),
    /// The source ended before the format did.
    #[error(
        "Short read or OOM loading DB. Unrecoverable error, aborting now. (the file ends at byte {offset}{place})"
    )]
    ShortRead {
        /// Where the source ended.
        offset: u64,
        /// The key that was being read.
        place: Place,
    },
    /// No RDB file at all.
    #[error("Wrong signature trying to load DB from file")]
    Signature,
    /// A version that is not read here.
    #[error("Can't handle RDB format version {0}")]
    Version(u16),
    /// A type or opcode that nobody but a newer server of the same vendor knows.
    #[error("{}", unknown_type(*code, *version))]
    Type {
        /// Where, in bytes from the start.
        offset: u64,
        /// The byte.
        code: u8,
        /// The version of the file.
        version: Version,
    },
    /// The checksum at the end is another than that of the bytes before.
    #[error(
        "RDB CRC error. Wrong RDB checksum expected: ({expected:016x}) but got ({actual:016x}). Aborting now."
    )]
    Checksum {
        /// What the file says.
        expected: u64,
        /// What its bytes give.
        actual: u64,
    },
    /// The bytes break a rule of the format.
    #[error("Internal error in RDB reading offset {offset}{place}: integrity check failed, {what}")]
    Corrupt {
        /// Where, in bytes from the start.
        offset: u64,
        /// The rule.
        what: &'static str,
        /// The key that was being read.
        place: Place,
    },
    /// Something that this server cannot keep.
    #[error("{0}")]
    Unsupported(Box<Unsupported>),
    /// A database number beyond the configured ones.
    #[error(
        "FATAL: Data file was created with a Redis server configured to handle more than {configured} databases. Exiting"
    )]
    Database {
        /// How many databases there are.
        configured: usize,
    },
    /// A DUMP payload with a bad footer.
    #[error("DUMP payload version or checksum are wrong")]
    Payload,
}

impl Error {
    /// The same error, naming the key that was being read.
    pub(crate) fn in_key(mut self, database: u32, key: &[u8]) -> Self {
        if let Self::ShortRead { place, .. } | Self::Corrupt { place, .. } = &mut self {
            *place = Place(Some(Box::new((database, Printable::new(key)))));
        }
        self
    }
}

fn unknown_type(code: u8, version: Version) -> String {
    match version.origin() {
        Origin::Foreign => format!(
            "Can't handle foreign type or opcode {code} in RDB with version {}",
            version.number()
        ),
        _ => format!(
            "Unknown type or opcode when loading DB. Unrecoverable error, aborting now. (type {code})"
        ),
    }
}

/// The key that was being read when something went wrong; nothing where it was between keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Place(Option<Box<(u32, Printable)>>);

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Some(at) => write!(f, ", in key '{}' of database {}", at.1, at.0),
            None => Ok(()),
        }
    }
}

/// Something in the file that this server cannot hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// What it is.
    pub feature: Feature,
    /// The database, for what belongs to a key.
    pub database: u32,
    /// The key's name, or the function library's.
    pub name: Printable,
}

impl Unsupported {
    /// The function library of this code, where the caller cannot keep it.
    #[must_use]
    pub fn library(code: &[u8]) -> Self {
        Self {
            feature: Feature::Functions,
            database: 0,
            name: library_name(code),
        }
    }
}

/// The name that a function library's first line gives: `#!lua name=mylib`.
pub(crate) fn library_name(code: &[u8]) -> Printable {
    let line = code.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let word = line
        .split(|byte| byte.is_ascii_whitespace())
        .find_map(|word| word.strip_prefix(b"name="));
    Printable::new(word.unwrap_or(line))
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            feature,
            database,
            name,
        } = self;
        match feature {
            Feature::Functions => write!(
                f,
                "The RDB file holds the function library '{name}', which this server cannot keep"
            )?,
            Feature::ModuleAux => write!(
                f,
                "The RDB file holds data of the module '{name}', which this server cannot keep"
            )?,
            _ => write!(
                f,
                "The key '{name}' in database {database} of the RDB file holds {feature}, which this server cannot keep"
            )?,
        }
        if feature.can_be_skipped() {
            write!(
                f,
                ": delete it at its source and save again, or set rdb-skip-unsupported yes to load everything else"
            )
        } else {
            write!(f, ", nor skip: delete it at its source and save again")
        }
    }
}

/// What this server cannot keep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feature {
    /// A module's value of the first form (Redis 4.0's release candidates), whose length only the module knows.
    ModuleUnsized,
    /// A module's value (Redis 4).
    Module,
    /// A module's data that belongs to no key (Redis 5).
    ModuleAux,
    /// A function library that could not be loaded.
    Functions,
}

impl Feature {
    /// Whether a reader can find its end.
    pub fn can_be_skipped(self) -> bool {
        self != Self::ModuleUnsized
    }
}

impl fmt::Display for Feature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ModuleUnsized | Self::Module => "a module's value",
            Self::ModuleAux => "a module's data",
            Self::Functions => "a function library",
        })
    }
}

/// Bytes for a log line: unprintable ones escaped, cut after 128.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Printable(String);

impl Printable {
    const MAX_BYTES: usize = 128;

    /// The printable form of `bytes`.
    pub fn new(bytes: &[u8]) -> Self {
        let shown = &bytes[..bytes.len().min(Self::MAX_BYTES)];
        let mut text = shown.escape_ascii().to_string();
        if shown.len() < bytes.len() {
            text.push_str("...");
        }
        Self(text)
    }
}

impl fmt::Display for Printable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
