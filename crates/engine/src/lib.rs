//! One server without its input and output: sessions, the gates before a command, transactions, publish and subscribe,
//! blocking, propagation, statistics.
//!
//! # Layout
//!
//! - [`Engine`] (`engine.rs`): the hall: what a shell calls, and the periodic work. `start.rs` makes it.
//! - The rooms, each a folder of what it holds, without rules on the engine: `sessions/` (who is connected), `shard/` (the data), `journal/`
//!   (what follows a write), `keeper/` (roles and saving), `meter/` (what is measured). `now.rs`: the time.
//! - `rows/`: the rows of the commands that know more than data, merged with the rows of `commands`. `entry.rs`: a command as it can be
//!   called; `index.rs`: by its name.
//! - The way of a request: `input.rs`: from a connection's bytes to requests (`intake.rs`: the memory for that). `dispatch.rs`: the gates
//!   it passes, then the call. `effects.rs`: what a command left behind, applied. `propagate.rs`: what goes to the append-only file and
//!   the replicas.
//! - Every other file is one rule of the hall, named as what it does: `transaction.rs`, `tracking.rs`, `master.rs`, `slave.rs`, …
//! - [`Host`]: what the engine asks of the world and needs an answer to at once. [`Action`]: what it tells the shell to do.
//!
//! # How a shell drives it
//!
//! Every call is preceded by [`Engine::set_now`]. Bytes go in by [`Engine::receive`]; replies gather in each client's
//! [`resp::Reply`] ([`Engine::output`]); after a turn the shell asks which clients have something to send
//! ([`Engine::take_woken`]) and what else is to be done ([`Engine::poll_action`]).

mod access;
mod accounts;
mod acknowledge;
mod acl_command;
mod action;
mod append_only;
mod audit;
mod blocking;
mod bus_config;
mod client_command;
mod client_memory;
mod cluster;
mod configure;
mod connection;
mod debug;
mod describe;
mod dispatch;
mod effects;
mod engine;
mod entry;
mod evict;
mod expire;
mod failover;
mod figures;
mod filtered_dump;
mod host;
mod index;
mod info;
mod input;
mod intake;
mod journal;
mod keeper;
mod latency;
mod lolwut;
mod master;
mod memory;
mod meter;
mod migrate;
mod module;
mod nodes_file;
mod now;
mod observe;
mod older;
mod pause;
mod persistence;
mod propagate;
mod pubsub;
mod replay;
mod rows;
mod scripting;
mod sessions;
mod shard;
mod short_way;
mod shutdown;
mod slave;
mod slot_migration;
mod slot_usage;
mod start;
mod switches;
mod throttle;
mod tracking;
mod transaction;
mod wait;

pub use action::{Action, LinkId};
pub use engine::Engine;
pub use figures::{Distribution, Figures, MigrationCounts, MigrationFigures};
pub use host::{
    AppendFile, Child, ChildEnd, ChildProgress, Children, Crash, Files, Host, Job, Meanwhile,
    PlaceFile, Process, RewriteRequest, SaveRequest, SendRequest, ShownCertificate, SlotsRequest,
    Source, SyncState, System, WriteError, write_blocks,
};
pub use intake::Requests;
pub use journal::refusal::Refusal;
pub use journal::replicas::Replica;
pub use keeper::transfers::{Transfer, TransferId, Transferred};
pub use meter::command_logs::SlowCommands;
pub use meter::running::Running;
pub use now::Now;
pub use replay::{Replay, ReplayError};
pub use rows::facts as command_facts;
pub use sessions::client::{Certificate, Client, Peer};
pub use sessions::client_id::ClientId;
