//! The RDB format of Redis (versions 1 to 12) and Valkey (80): read, and written from 6 up; DUMP payloads.
//!
//! # Layout
//!
//! - [`Input`] buffers, counts and checksums bytes from any [`std::io::Read`]; the source is the caller's, so this crate does no I/O.
//! - [`Reader`] walks a file record by record, [`ValueReader`] one value element by element. Both are pulled: the caller
//!   decides how much it takes before it does something else. Lengths from the file are never allocated from.
//! - [`Writer`] writes the parts of a file into any [`std::io::Write`], in constant memory.
//! - [`check`] is what `redis-check-rdb` and `redis-check-dump` do.
//! - [`Loader`] and [`save`] are between files and a keyspace, [`restore`] and [`dump()`] between DUMP payloads and a value.
//!
//! What memory can grow to: the bytes of the string being read, as often as they are held (input, compact form, stored value), where
//! a compressed string counts with what it expands to (at most 88 times its size, which the format allows and Redis makes
//! use of), and about a megabyte of buffers; of the groups of a stream forty times theirs.

mod blob;
pub mod check;
mod crc64;
mod decode;
mod dump;
mod ends;
mod error;
mod format;
mod input;
mod liblzf;
mod libraries;
mod load;
mod lzf;
mod peek;
mod reader;
mod save;
mod seen;
mod skip;
mod stream;
mod stream_builder;
mod value;
mod writer;

pub use blob::Pack;
pub use crc64::crc64;
pub use decode::Str;
pub use dump::{Dumper, Trust};
pub use ends::find_ends;
pub use error::{Error, Feature, Place, Printable, Unsupported};
pub use format::{Encoding, Kind, MAGIC, Origin, VALKEY_MAGIC, Version, is_signature};
pub use input::Input;
pub use libraries::{LibrariesError, dump_libraries, restore_libraries};
pub use load::{Expired, FileFacts, LoadOptions, Loaded, Loader, Progress, UNCHECKED, restore};
pub use peek::{Amount, check_head, peek};
pub use reader::{KeyRecord, Options, Reader, Record};
pub use save::{
    CannotHold, Facts, SaveOptions, Saved, StreamPlace, Usage, dump, dump_for_any, lowest_version,
    save,
};
pub use stream::{Fields, StreamFacts, StreamPart};
pub use value::{Field, ValueReader};
pub use writer::{SlotImport, Writer};
