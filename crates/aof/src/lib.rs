//! The append-only file: encode, replay, rewrite, check and fix.
//!
//! # Layout
//!
//! - [`Encoder`] turns executed commands into the bytes that are appended.
//! - [`Reader`] gives the commands of a file back, one after the other; what follows the last whole command, or the last whole
//!   transaction, is told apart from what is damaged. A file may begin with an RDB file ([`begins_with_rdb`]).
//! - [`Rewriter`] writes the shortest commands that make a keyspace, into any [`std::io::Write`].
//! - [`Manifest`] says which files make an append-only file in parts, and in which order.
//! - [`FilePlace`] is where in a replication stream such a file stands, and [`Tail`] is the end of that stream.
//! - [`check_aof`] is what `redis-check-aof` does with one file, save for cutting it.
//!
//! Which file is read or written, when it is synced, and what a command does, is the business of others.

mod check;
mod encode;
mod manifest;
mod place;
mod reader;
mod rewrite;
mod stream;
mod tail;

pub use check::{CheckReport, CheckedFile, Verdict, check_aof};
pub use encode::{
    Encoder, command_bytes, encode_command, encode_timestamp, is_encoded, room_of_command,
};
pub use manifest::{MANIFEST_SUFFIX, Manifest, ManifestError, PartFile, PartKind, last_written};
pub use place::{FilePlace, SLOT_BYTES};
pub use reader::{Command, Error, Reader, begins_with_rdb, loaded_anyway, truncation_lines};
pub use rewrite::{ITEMS_PER_COMMAND, Rewriter};
pub use tail::{HALF_BYTES, Tail};
