//! The keyspace: databases of keys, their values and encodings, expiry, eviction sampling, slots and scans.
//!
//! # Layout
//!
//! - [`Keyspace`] is all databases; [`Db`] is one of them. A command reaches a key through one door per kind of
//!   access: [`Db::read`], [`Db::write`], [`Db::insert`], [`Db::remove`]. Expiry and LRU live behind the doors.
//! - [`Value`], [`ValueMut`] and [`Owned`] are a value seen, a value to be changed, and a value on its own.
//! - [`List`], [`Set`], [`Zset`], [`Hash`] and [`Stream`] are handles of eight bytes to a heap block; their encoding is theirs to
//!   choose. `stream/mod.rs` says how streams are read, built and saved.
//! - [`table`] is the one hash table that everything uses: keys, members and fields lie in hash order, so a scan cursor is
//!   a position in that order and growing never stops the world.
//!
//! Nothing here knows RESP, commands, files or clocks. All `unsafe` of the cores is in this crate; it runs under Miri.

mod aligned;
#[cfg(test)]
mod amount;
mod block;
mod clock;
mod db;
mod due;
mod entry;
mod handle;
mod hash;
mod int;
mod keys;
mod keyspace;
mod kind;
mod limits;
mod list;
mod packed;
mod set;
mod slots;
mod stream;
mod string;
pub mod table;
mod thin;
mod tracker;
mod value;
mod zset;

pub use aligned::Aligned;
pub use clock::{Clock, ExpiryMode, Notes, Usage};
pub use db::{Db, ExpiredFields, Noted, Prefetched, Sample};
pub use hash::in_entry::HashMut;
pub use hash::{FieldTime, Hash, HashBuilder, HashRef};
pub use hash_slot::{SLOT_COUNT, key_slot, slot_tag};
pub use keyspace::Keyspace;
pub use kind::{Encoding, Type};
pub use limits::Limits;
pub use list::{List, Part, Taken};
pub use set::{Elem, Set, SetBuilder};
pub use stream::{
    Consumer, ConsumerId, Group, Keep, Pending, PendingIds, PendingRange, Refused, Stream,
    StreamEntry, StreamFields, StreamId, StreamRange, StreamRangeBack, Trim, Trimmed,
};
pub use string::{Str, StrNew};
pub use table::{order_mark, set_hash_seed};
pub use value::{Owned, StrMut, Value, ValueMut};
pub use zset::{Insert, LexBound, ScoreBound, Zset, ZsetBuilder};
