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

mod base;
pub mod codec;
mod id;
pub mod message;
pub mod node;
pub mod nodes_conf;
mod rng;
pub mod slots;

pub use base::{BUS_PORT_OFFSET, MAX_EPOCH, Now};
pub use id::{BadNodeId, NodeId};
pub use message::{Announced, Message, Packet, Published};
pub use node::{
    Caller, ClusterState, CommandError, Config, Dropped, Endpoint, Event, Facts, FailoverKind,
    Faults, Input, Keyspace, LinkId, LinkInfo, LogLevel, Node, Output, Query, Reply, Route,
    SlotUsage, Urgency,
};
pub use nodes_conf::NodesConf;
pub use slots::{SLOT_COUNT, Slot, SlotSet, key_slot};
