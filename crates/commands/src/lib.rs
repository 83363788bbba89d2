//! The command table, and every command that works on data alone.
//!
//! # Layout
//!
//! - [`table`]: what a row of the command table says; [`rows`]: one row per data command, with everything known about it and its function.
//! - [`Ctx`]: what a command may touch; [`Effects`]: what it leaves behind for the engine (dirty count, events, what to propagate).
//! - [`Error`]: the error replies that many commands share.
//! - One file per family: [`mod@string`], `bits`, `hyperloglog`, `geo`, `list`, `set`, `zset`, `hash`, `stream`, `keys`, `scan`, `sort`.
//!
//! A data command is one function `(ctx, args) → reply + effects`. It knows no connection, no replication and no file. Commands that do
//! (AUTH, CLIENT, REPLICAOF …) have their rows and their functions in the engine.

pub mod args;
mod bitfield;
mod bits;
mod condition;
mod context;
mod effects;
mod error;
mod geo;
mod geohash;
mod hash;
mod hash_expiry;
mod hll;
mod hyperloglog;
mod keys;
mod lcs;
mod list;
pub mod older;
pub mod rng;
pub mod rows;
mod scan;
mod set;
mod sort;
mod stream;
mod stream_groups;
mod stream_info;
mod stream_read;
mod string;
pub mod table;
mod zset;
mod zset_pop;
mod zset_store;

pub use context::{Args, Ctx, Done, Settings, removal};
pub use effects::{Awaited, Block, Effects, EventClass, KeyEvent, Propagation};
pub use error::Error;
pub use rng::Rng;
pub use scan::cluster_scan;
pub use table::{Facts, Flags, Traits};
