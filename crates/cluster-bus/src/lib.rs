//! Redis Cluster's bus, as a pure core.
//!
//! A [`Node`] is one member of a cluster: it is told the time, what its links brought and what the server knows, and
//! it answers with what to send, what to write to nodes.conf and what the server has to do. It opens no socket, reads
//! no clock, and the same seed gives the same run.
//!
//! # Layout
//!
//! - [`slots`]: which slot a key is in, sets of slots.
//! - [`message`], [`codec`]: what nodes say to each other, and how that looks as bytes (both bus versions).
//! - [`nodes_conf`]: the file that a node comes back from, and the reply of CLUSTER NODES.
//! - [`node`]: the state machine; one module per rule.
//!
//! # Driving a node
//!
//! ```
//! use cluster_bus::{Config, Facts, Node, Now, Output};
//!
//! let now = Now { mono_ms: 0, unix_ms: 1_700_000_000_000 };
//! let mut node = Node::new(now, Config { port: 7000, ..Config::default() }, None, 42);
//! while let Some(output) = node.poll_output() {
//!     match output {
//!         // To be written, fsynced and renamed into place; before any packet behind it leaves, if it is a promise.
//!         Output::Persist { urgency: _ } => {}
//!         Output::Connect { .. } | Output::Close { .. } | Output::Send { .. } | Output::Event(_) => {}
//!     }
//! }
//! let wake_up_ms = node.poll_timeout().expect("a node always has something to do later");
//! // What the server knows of its replication comes with every call.
//! node.handle_timeout(Now { mono_ms: wake_up_ms, unix_ms: 1_700_000_000_100 }, Facts::default());
//! ```

pub mod codec;
mod id;
pub mod message;
pub mod node;
pub mod nodes_conf;
mod rng;
pub mod slots;

pub use id::{BadNodeId, NodeId};
pub use message::{Announced, Message, Packet, Published};
pub use node::{
    Caller, ClusterState, CommandError, Config, Dropped, Endpoint, Event, Facts, FailoverKind,
    Faults, Input, Keyspace, LinkId, LinkInfo, LogLevel, Node, Output, Query, Reply, Route,
    SlotUsage, Urgency,
};
pub use nodes_conf::NodesConf;
pub use slots::{SLOT_COUNT, Slot, SlotSet, key_slot};

/// The highest epoch that is believed. Higher ones are refused wherever they come from, so that counting on from an
/// epoch can never overflow, and so that CLUSTER SET-CONFIG-EPOCH (a signed number) reaches all of them.
pub const MAX_EPOCH: u64 = i64::MAX as u64;

/// Redis 3.0 finds the bus port of a node by adding this to its port for clients.
pub const BUS_PORT_OFFSET: u16 = 10000;

/// The moment of a call: the shell's clocks, as plain numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Now {
    /// A clock that never jumps, in milliseconds: deadlines and ages are measured with it.
    pub mono_ms: u64,
    /// Unix time in milliseconds: only printed, saved and sent.
    pub unix_ms: u64,
}
