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
//! [promise](Output::Persist::promise), and packets wait for it. So nothing that this node says depends on something
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
mod stats;
mod table;
mod topology;

use std::collections::VecDeque;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::message::{Announced, NodeFlags, Packet, Published, Version};
use crate::nodes_conf::NodesConf;
use crate::rng::Rng;
use crate::{NodeId, Now, Slot, SlotSet};

pub use command_line::{Keyspace, SlotUsage};
pub use commands::{CommandError, FailoverKind, ResetKind, SlotChange};
pub use faults::{Dropped, Faults};
pub use health::ClusterState;
pub use links::LinkInfo;
pub use reply::Reply;
pub use route::{Query, Route};

use election::Election;
use handshake::{Blacklist, Seeds};
use health::Health;
use links::Links;
use manual_failover::ManualFailover;
use stats::Stats;
use table::{Peer, PeerKey, Table};

/// What the configuration file says about the cluster. May be changed at any time, see [`Node::config_mut`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `cluster-node-timeout`, in milliseconds.
    pub node_timeout_ms: u64,
    /// `cluster-ping-interval`, in milliseconds; none: half the node timeout.
    pub ping_interval_ms: Option<u64>,
    /// `cluster-slave-validity-factor`; 0: a replica's data is never too old to fail over.
    pub slave_validity_factor: u64,
    /// `cluster-migration-barrier`: replicas that a master keeps when others migrate away.
    pub migration_barrier: u64,
    /// `cluster-require-full-coverage`.
    pub require_full_coverage: bool,
    /// `repl-ping-slave-period`, in milliseconds.
    pub repl_ping_period_ms: u64,
    /// The port for clients. The bus listens on this plus [`BUS_PORT_OFFSET`](crate::BUS_PORT_OFFSET).
    pub port: u16,
    /// The port for clients that is not the one above: with TLS, or without where the bus has TLS; 0: none.
    pub other_port: u16,
    /// `tls-cluster`: the bus has TLS, and [`port`](Self::port) is the port for clients with TLS.
    pub tls: bool,
    /// `cluster-port`, or 0: where the bus listens.
    pub bus_port: u16,
    /// `cluster-announce-ip`.
    pub announce_ip: Option<IpAddr>,
    /// `cluster-announce-port` (`cluster-announce-tls-port` where the bus has TLS), or 0.
    pub announce_port: u16,
    /// The other one of those two, or 0.
    pub announce_other_port: u16,
    /// `cluster-announce-bus-port`, or 0.
    pub announce_bus_port: u16,
    /// What else is announced.
    pub announced: Announced,
    /// `cluster-preferred-endpoint-type`.
    pub preferred_endpoint: Endpoint,
    /// `cluster-allow-reads-when-down`.
    pub allow_reads_when_down: bool,
    /// `cluster-allow-pubsubshard-when-down`.
    pub allow_pubsubshard_when_down: bool,
    /// `cluster-allow-replica-migration`.
    pub allow_replica_migration: bool,
    /// `cluster-blacklist-ttl`, in milliseconds.
    pub blacklist_ttl_ms: u64,
    /// The bus version to start with towards a node that has not been heard yet.
    pub bus_version: Version,
    /// `cluster-manual-failover-timeout`, in milliseconds.
    pub manual_failover_timeout_ms: u64,
    /// `cluster-replica-no-failover`: as a replica, take over only when told to.
    pub replica_no_failover: bool,
    /// `cluster-replicas-vote`: where there are one or two masters, their replicas count as they do. Must be the same at all nodes.
    pub replicas_vote: bool,
    /// `cluster-link-sendbuf-limit`: a link on which more bytes than this wait to be sent is given up; 0: no limit.
    pub link_sendbuf_limit: u64,
    /// `cluster-seeds`: bus addresses where members of this cluster can be found when known ones do not answer where they were.
    pub seeds: Vec<SocketAddr>,
    /// Log lines below this level are not even built.
    pub log_level: LogLevel,
}

impl Default for Config {
    /// The defaults of the directives.
    fn default() -> Self {
        Self {
            node_timeout_ms: 15000,
            ping_interval_ms: None,
            slave_validity_factor: 10,
            migration_barrier: 1,
            require_full_coverage: true,
            repl_ping_period_ms: 10000,
            port: 6379,
            other_port: 0,
            tls: false,
            bus_port: 0,
            announce_ip: None,
            announce_port: 0,
            announce_other_port: 0,
            announce_bus_port: 0,
            announced: Announced::default(),
            preferred_endpoint: Endpoint::Ip,
            allow_reads_when_down: false,
            allow_pubsubshard_when_down: true,
            allow_replica_migration: true,
            blacklist_ttl_ms: 60_000,
            bus_version: Version::V1,
            manual_failover_timeout_ms: 5000,
            replica_no_failover: false,
            replicas_vote: false,
            link_sendbuf_limit: 0,
            seeds: Vec::new(),
            log_level: LogLevel::Notice,
        }
    }
}

/// By which name clients are sent to a node: `cluster-preferred-endpoint-type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Its address.
    Ip,
    /// Its host name, or `?` if it announces none.
    Hostname,
    /// None: the one by which the client came.
    Unknown,
}

/// How important a log line is: Redis's four levels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// `debug`
    Debug,
    /// `verbose`
    Verbose,
    /// `notice`
    Notice,
    /// `warning`
    Warning,
}

/// A TCP connection on the bus. Those that this node dialled are numbered by the node, those that it accepted by the
/// shell; neither number is ever used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkId {
    /// Opened because of [`Output::Connect`].
    Dialled(u64),
    /// Announced by [`Input::Accepted`].
    Accepted(u64),
}

/// Who asks: it decides which addresses it is told, and what it may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// It came over TLS.
    pub tls: bool,
    /// It came over IPv6.
    pub ipv6: bool,
    /// It is the master that this server copies.
    pub is_master: bool,
}

/// What happened outside.
#[derive(Clone, Debug)]
pub enum Input {
    /// Another node connected to the bus port.
    Accepted {
        /// Number chosen by the shell, a [`LinkId::Accepted`].
        link: LinkId,
        /// The other end.
        remote: SocketAddr,
        /// This end: how a node learns its own address.
        local: IpAddr,
    },
    /// A dialled link is up.
    Connected {
        /// Which.
        link: LinkId,
    },
    /// A dialled link could not be opened.
    ConnectFailed {
        /// Which.
        link: LinkId,
    },
    /// A link is gone: closed by the other end, an error, or a stream that is no bus.
    Closed {
        /// Which.
        link: LinkId,
    },
    /// A packet came.
    Received {
        /// Over which link.
        link: LinkId,
        /// The decoded packet.
        packet: Packet,
    },
    /// The shell has written so many bytes of a link to its socket.
    Sent {
        /// Which.
        link: LinkId,
        /// How many.
        bytes: u64,
    },
}

/// What the core has to know about the server's replication.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// Replication offset in bytes: written (as master), or processed (as replica).
    pub repl_offset: u64,
    /// For a replica: when its data was last known to be current, on the clock of [`Now::mono_ms`]. That is the last
    /// time the master was heard while the link is up, or when the link went down. `None`: never had a master's data.
    pub data_as_of_ms: Option<u64>,
    /// The data is still being read: a replica must not take over with a part of it.
    pub loading: bool,
    /// Whole slots are on their way here.
    pub importing_slots: bool,
    /// Whole slots are on their way to others.
    pub exporting_slots: bool,
}

/// What the shell has to do, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Open a connection to a node's bus port, and tell [`Input::Connected`] or [`Input::ConnectFailed`].
    Connect {
        /// Its number from now on.
        link: LinkId,
        /// Where.
        addr: SocketAddr,
    },
    /// Close a link (also one that is still being opened). Nothing more is wanted from it, not even `Closed`.
    Close {
        /// Which.
        link: LinkId,
    },
    /// Send a packet. Links that are not open any more swallow it.
    Send {
        /// Over which link.
        link: LinkId,
        /// What.
        packet: Packet,
    },
    /// Replace nodes.conf by this text: written, fsynced and renamed into place. If that fails the process must not go
    /// on. A newer text may take the place of one that is not written yet.
    Persist {
        /// The whole file.
        text: String,
        /// What this node tells of itself has changed (an epoch, a vote, its slots, its role): no packet behind this
        /// output may leave before the file is in its place. News of other nodes, which they tell again, and marks of
        /// slots on the move need not be waited for; only who asked for such a change is answered afterwards.
        promise: bool,
    },
    /// Something for the server.
    Event(Event),
}

/// Something for the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Replicate from this master (from now on, or another one than before).
    ReplicateFrom {
        /// Its address.
        ip: IpAddr,
        /// Its port for clients.
        port: u16,
    },
    /// Stop replicating: this node is a master now and keeps its data.
    StopReplication,
    /// Delete all keys: a replica was reset.
    FlushAll,
    /// The cluster is now usable for clients of this node, or no longer.
    StateChanged(ClusterState),
    /// The slot went to another master while this node stays a master: delete its keys.
    DeleteKeysInSlot(Slot),
    /// Somebody asked for the keys of a slot to be deleted.
    FlushSlot(Slot),
    /// Deliver to this server's subscribers.
    Publish(Published),
    /// Hold back the writes of clients for so long: a replica prepares to take over.
    PauseClients {
        /// Milliseconds from now.
        for_ms: u64,
    },
    /// Stop holding back.
    ResumeClients,
    /// A line for the log.
    Log {
        /// Its level.
        level: LogLevel,
        /// Its text, Redis's own where Redis has one.
        text: String,
    },
}

/// One member of a cluster.
#[derive(Debug)]
pub struct Node {
    config: Config,
    facts: Facts,
    faults: Faults,
    rng: Rng,
    table: Table,
    links: Links,
    blacklist: Blacklist,
    /// The newest epoch anyone talked about.
    current_epoch: u64,
    /// The newest epoch in which this node voted.
    last_vote_epoch: u64,
    /// When a made-up epoch was logged last.
    refused_epoch_ms: Option<u64>,
    health: Health,
    election: Election,
    manual_failover: ManualFailover,
    seeds: Seeds,
    /// So many nodes are about to claim slots of ours in an epoch that is to be above ours: see `handover`.
    yielding: usize,
    /// What the server was last told to replicate from.
    replicating_from: Option<(IpAddr, u16)>,
    stats: Stats,
    next_cron_ms: u64,
    cron_count: u64,
    todo: Todo,
    /// What the last `Persist` held of what this node tells of itself.
    promised: Option<Promises>,
    /// What the call under way has collected: leaves behind its `Persist`.
    held: VecDeque<Output>,
    outputs: VecDeque<Output>,
}

/// What the end of the call has to look after.
#[derive(Clone, Copy, Debug, Default)]
struct Todo {
    save: bool,
    update_state: bool,
    failover: bool,
    /// All are told of our new role.
    broadcast: bool,
}

/// What a node tells of itself, and others rely on.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Promises {
    id: NodeId,
    current_epoch: u64,
    last_vote_epoch: u64,
    config_epoch: u64,
    slots: Arc<SlotSet>,
    is_master: bool,
    master: Option<NodeId>,
}

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
        let mut node = Self {
            facts: Facts::default(),
            faults: Faults::default(),
            rng,
            links: Links::default(),
            blacklist: Blacklist::default(),
            // A file edited by hand may name an older current epoch than its nodes have, or than this node voted in.
            current_epoch: table
                .peers()
                .map(|(_, peer)| peer.config_epoch)
                .fold(epochs.0.max(epochs.1), u64::max),
            last_vote_epoch: epochs.1,
            refused_epoch_ms: None,
            seeds: Seeds::default(),
            yielding: 0,
            table,
            health: Health::default(),
            election: Election::default(),
            manual_failover: ManualFailover::default(),
            replicating_from: None,
            stats: Stats::default(),
            next_cron_ms: now.mono_ms,
            cron_count: 0,
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
    /// The text of a [`Output::Persist`] is made here: calls that follow each other without anything to send between them are
    /// one write of the state after the last.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.outputs.pop_front()?;
        let Output::Persist { mut promise, .. } = output else {
            return Some(output);
        };
        while let Some(Output::Persist { promise: next, .. }) = self.outputs.front() {
            promise |= next;
            self.outputs.pop_front();
        }
        Some(Output::Persist {
            text: self.nodes_conf().to_string(),
            promise,
        })
    }

    /// Whether an [`Output::Persist`] waits to be taken.
    #[must_use]
    pub fn has_changed(&self) -> bool {
        let mut outputs = self.outputs.iter();
        outputs.any(|output| matches!(output, Output::Persist { .. }))
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
            current_epoch: self.current_epoch,
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
