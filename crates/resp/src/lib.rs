//! RESP: request bytes to arguments, replies to bytes.
//!
//! This is the wire format, RESP2 and RESP3, and the small textual formats that go with it. Nothing here knows a
//! command, owns a socket or reads a clock.
//!
//! # Layout
//!
//! - [`request`]: what a client sends. Cuts a read buffer into requests without copying an argument.
//! - [`reply`]: what a server answers. One growing buffer, with big values referenced instead of copied.
//! - [`number`]: integers and doubles as Redis reads and prints them.
//! - [`longdouble`]: the 80-bit floats behind `INCRBYFLOAT`, in software.
//! - [`glob`]: the patterns of `KEYS`, `PSUBSCRIBE` and `CONFIG GET`.
//! - [`args`]: a line split into quoted arguments, and bytes printed as a quoted string.

/// The version of Redis whose dialect is spoken: drivers and frameworks ask for it. Valkey reports the same.
pub const REDIS_VERSION: &str = "7.2.4";

pub mod args;
pub mod glob;
pub mod longdouble;
pub mod number;
pub mod reply;
pub mod request;
mod scan;

pub use reply::{OpenArray, Protocol, Reply, Spare, put_length};
pub use request::{ArgsScratch, Batch, Limits, Parser, PendingBulk, ProtocolError};
