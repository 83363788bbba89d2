//! Replication without sockets: the backlog that a master keeps and all its replicas read, and a replica's link to its
//! master as a state machine.
//!
//! # Layout
//!
//! - [`Backlog`]: the stream of commands as bytes, with offsets.
//! - [`Link`]: connect, handshake, PSYNC, transfer, stream: the replica's side, driven by the five verbs; with a second connection for the
//!   dump, where both sides want that.
//! - [`Transfer`]: a dump as it comes on a connection.
//!
//! A stream has a name, the replication id. An offset counts its bytes, as `master_repl_offset` does. PSYNC asks for the offset after
//! the last byte that the replica has.

mod backlog;
mod channel;
mod guard;
mod link;
mod transfer;

pub use backlog::Backlog;
pub use guard::{Guard, Holding, Offer, Verdict};
pub use link::{COPY_FROM, Config, Input, Link, Output, Place, SIBLING_CAPA, State};
pub use transfer::{DumpPart, Transfer};
