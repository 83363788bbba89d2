//! One member of a cluster as a state machine: the five verbs, what goes in and what comes out.
//!
//! The rules live in modules of their own; look for a rule where its name is:
//!
//! | module | rule |
//! |---|---|
//! | `table` | which nodes there are, who owns which slot (no rule, only consistency) |
//! | `links` | when links are dialled, which bus version is spoken on one |
//! | `receive` | the order in which a packet is looked at |
//! | `handshake` | MEET, how a stranger becomes a node, addresses, FORGET's blacklist |
//! | `gossip` | whom to ping, what a ping tells, what is believed of it |
//! | `failure` | PFAIL, reports, FAIL, and how FAIL ends |
//! | `epochs` | current epoch, config epochs, collisions |
//! | `ownership` | who gets a slot that two nodes claim, who becomes whose replica |
//! | `election` | a replica asks for votes, a master gives one |
//! | `manual_failover` | CLUSTER FAILOVER, on both sides |
//! | `handover` | slots that move whole, with all their keys |
//! | `imports` | slots that come key by key, when their source claims them no more |
//! | `migration` | replicas move to masters that have none left |
//! | `health` | when the cluster is ok for this node, and when it is not |
//! | `cron` | what happens ten times a second, and what at the end of every call |
//! | `commands`, `command_line` | the CLUSTER command |
//! | `myself` | what this node says about itself |
//! | `queries`, `topology`, `slot_stats` | CLUSTER INFO, NODES; SLOTS, SHARDS, LINKS; SLOT-STATS |
//! | `reply` | replies as plain data |
//! | `stats`, `faults` | packets counted by type; what tests break on purpose |
//! | `route` | MOVED, ASK, TRYAGAIN, CROSSSLOT, CLUSTERDOWN |
//!
//! # What a call promises
//!
//! A call changes the state and collects packets; when it ends, a change that has to survive a crash puts one
//! [`Output::Persist`] *before* all packets of the call. Where it changes what this node tells of itself, it is a
//! [promise](Urgency::Promise), and packets wait for it. So nothing that this node says depends on something
//! that it could forget: not a vote, not an epoch, not a slot.

mod command_line;
mod commands;
mod cron;
mod election;
mod epochs;
mod failure;
mod faults;
mod gossip;
mod handover;
mod handshake;
mod health;
mod imports;
mod io;
mod links;
mod manual_failover;
mod migration;
mod myself;
mod open_slots;
mod ownership;
mod queries;
mod receive;
mod reply;
mod route;
mod slot_stats;
mod state;
mod stats;
mod table;
mod topology;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

pub use command_line::{Keyspace, SlotUsage};
pub use commands::{CommandError, FailoverKind, ResetKind, SlotChange};
use imports::Imports;
pub use io::{
    Caller, ClusterState, Config, Dropped, Endpoint, Event, Facts, Faults, Input, LinkId, LogLevel,
    Output, Urgency,
};
pub use links::LinkInfo;
pub use reply::Reply;
pub use route::{Query, Route};
pub use state::Node;
use state::{Blacklist, Election, Health, Links, ManualFailover, Promises, Seeds, Stats, Todo};
use table::{Peer, PeerKey, Table};

use crate::message::{NodeFlags, Published};
use crate::nodes_conf::NodesConf;
use crate::rng::Rng;
use crate::{NodeId, Now};

impl Node {
    /// A node as it comes up, from its nodes.conf if there is one ([`nodes_conf::load`](crate::nodes_conf::load)).
    #[must_use]
    #[expect(
        clippy::needless_pass_by_value,
        reason = "the cores share this verb, and nobody needs the file afterwards"
    )]
    pub fn new(now: Now, config: Config, saved: Option<NodesConf>, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let fresh = saved.is_none();
        let epochs = saved
            .as_ref()
            .map_or((0, 0), |saved| (saved.current_epoch, saved.last_vote_epoch));
        let shards_differ = saved.as_ref().is_some_and(NodesConf::shards_differ);
        let table = match &saved {
            Some(saved) => Table::restore(now, saved, config.port, &mut rng),
            None => {
                let (id, shard) = (NodeId::random(&mut rng), NodeId::random(&mut rng));
                Table::fresh(now, id, shard, config.port)
            }
        };
        // A file edited by hand may name an older current epoch than its nodes have, or than this node voted in.
        let current_epoch = table
            .peers()
            .map(|(_, peer)| peer.config_epoch)
            .fold(epochs.0.max(epochs.1), u64::max);
        let mut node = Self {
            facts: Facts::default(),
            faults: Faults::default(),
            rng,
            links: Links::default(),
            blacklist: Blacklist::default(),
            current_epoch,
            said_epoch: current_epoch,
            last_vote_epoch: epochs.1,
            refused_epoch_ms: None,
            seeds: Seeds::default(),
            imports: Imports::default(),
            yielding: 0,
            table,
            health: Health::default(),
            election: Election::default(),
            manual_failover: ManualFailover::default(),
            replicating_from: None,
            stats: Stats::default(),
            next_cron_ms: now.mono_ms,
            cron_count: 0,
            asked: false,
            todo: Todo {
                // What did not fit together in the file is told to it as it was understood.
                save: fresh || shards_differ,
                ..Todo::default()
            },
            promised: None,
            held: VecDeque::new(),
            outputs: VecDeque::new(),
            config,
        };
        node.refresh_myself();
        let id = node.table.me().id;
        if !fresh {
            node.promised = Some(node.promises());
        }
        let (what, id) = if fresh {
            ("No cluster configuration found", id)
        } else {
            ("Node configuration loaded", id)
        };
        node.log(LogLevel::Notice, format_args!("{what}, I'm {id}"));
        node.end_call(now);
        node
    }

    /// Takes in what happened.
    pub fn handle_input(&mut self, now: Now, facts: Facts, input: Input) {
        self.facts = facts;
        match input {
            Input::Accepted {
                link,
                remote,
                local,
            } => self.link_accepted(now, link, remote, local),
            Input::Connected { link } => self.link_connected(now, link),
            Input::ConnectFailed { link } => self.link_lost(now, link),
            Input::Closed { link } => self.link_lost(now, link),
            Input::Received { link, packet } => {
                self.count_received(link, &packet);
                if !self.drops(now, link, &packet) {
                    self.receive(now, link, packet);
                }
            }
            Input::Unreadable { kind, bytes } => self.stats.received.count_kind(kind, bytes),
            Input::Sent { link, bytes } => self.bytes_sent(link, bytes),
        }
        self.end_call(now);
    }

    /// Does what is due. Called early, it does nothing.
    pub fn handle_timeout(&mut self, now: Now, facts: Facts) {
        self.facts = facts;
        if now.mono_ms >= self.next_cron_ms {
            self.cron(now);
            self.end_call(now);
        }
    }

    /// When to call [`Node::handle_timeout`], on the clock of [`Now::mono_ms`].
    #[must_use]
    pub fn poll_timeout(&self) -> Option<u64> {
        Some(self.next_cron_ms)
    }

    /// What to do next; `None` when there is nothing more. Drain it after every call.
    ///
    /// Calls that follow each other without anything to send between them are one [`Output::Persist`].
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front()?;
        let Output::Persist { mut urgency } = output else {
            return Some(output);
        };
        while let Some(Output::Persist { urgency: next }) = self.outputs.front() {
            urgency = urgency.max(*next);
            self.outputs.pop_front();
        }
        self.asked = false;
        Some(Output::Persist { urgency })
    }

    /// Whether an [`Output::Persist`] waits to be taken that somebody is to be answered after.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        let mut outputs = self.outputs.iter();
        self.asked && outputs.any(|output| matches!(output, Output::Persist { .. }))
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The configuration; what it says of this node itself is told with the next packets.
    pub fn config_mut(&mut self) -> &mut Config {
        &mut self.config
    }

    /// Takes over a new configuration: CONFIG SET.
    pub fn set_config(&mut self, now: Now, config: Config) {
        self.config = config;
        self.todo.update_state = true;
        self.refresh_myself();
        self.end_call(now);
    }

    /// Hands a PUBLISH of one of our clients to every other node, or an SPUBLISH to those of our shard.
    pub fn publish(&mut self, now: Now, channel: &[u8], message: &[u8], sharded: bool) {
        self.spread(&Published {
            channel: channel.into(),
            message: message.into(),
            sharded,
        });
        self.end_call(now);
    }

    fn me(&self) -> &Peer {
        self.table.me()
    }

    fn promises(&self) -> Promises {
        let me = self.me();
        Promises {
            id: me.id,
            said_epoch: self.said_epoch,
            last_vote_epoch: self.last_vote_epoch,
            config_epoch: me.config_epoch,
            slots: Arc::clone(me.slots()),
            is_master: self.is_master(),
            master: self.my_master().map(|key| self.table[key].id),
        }
    }

    /// Whether it votes: a master with slots.
    #[must_use]
    pub fn is_voting(&self) -> bool {
        self.is_master() && !self.me().slots().is_empty()
    }

    fn is_master(&self) -> bool {
        self.me().flags.has(NodeFlags::MASTER)
    }

    /// The master of this node, if it is a replica that knows its master.
    fn my_master(&self) -> Option<PeerKey> {
        if self.is_master() {
            None
        } else {
            self.me().master
        }
    }

    fn emit(&mut self, event: Event) {
        self.held.push_back(Output::Event(event));
    }

    fn log(&mut self, level: LogLevel, text: fmt::Arguments<'_>) {
        if level >= self.config.log_level {
            self.emit(Event::Log {
                level,
                text: text.to_string(),
            });
        }
    }
}
