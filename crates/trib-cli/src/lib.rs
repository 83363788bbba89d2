//! Cluster administration: plans over a snapshot, and their executor.
//!
//! A verb reads a [`Snapshot`] of the cluster, a pure function of [`plan`] turns it into steps, and [`App::run`]
//! carries them out. Nothing is changed before the plan is known, shown and, where it is not asked for outright,
//! confirmed.
//!
//! # Layout
//!
//! - [`slots`], [`address`], [`snapshot`]: what a cluster consists of; [`snapshot::parse_nodes`] reads it.
//! - [`plan`]: create, reshard, rebalance, fix, apply. No I/O.
//! - [`cluster`]: connections to all nodes; `group`: to servers that are none. [`mover`]: moving slots. [`wait`]: waiting for agreement.
//! - [`execute`]: steps become commands.
//! - [`verbs`]: one function for each verb of the command line; [`cli`]: the command line itself.
//! - [`diagnosis`]: what is wrong with a cluster, and what to do.
//! - [`picture`]: a living cluster to look at. [`screen`]: the same on a terminal.
//! - [`progress`]: how far a move is, and how fast it may be.
//! - [`keep`]: copies that lose against the owner's value.
//! - [`backup`]: what a backup is on the disk.
//! - [`console`]: lines, prompts, progress. [`local`]: a cluster of processes on this machine.

pub mod address;
pub mod backup;
pub mod cli;
pub mod cluster;
pub mod console;
pub mod diagnosis;
mod error;
pub mod execute;
mod group;
pub mod keep;
pub mod local;
pub mod mover;
pub mod picture;
pub mod plan;
pub mod progress;
pub mod screen;
pub mod slots;
pub mod snapshot;
pub mod verbs;
pub mod wait;
mod whole;

pub use address::Address;
pub use cluster::{Cluster, Settings};
pub use console::Console;
pub use error::Error;
pub use execute::App;
pub use slots::{SLOT_COUNT, Slot, SlotSet};
pub use snapshot::Snapshot;
