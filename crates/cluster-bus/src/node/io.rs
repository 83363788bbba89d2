//! What goes into a node, and what comes out.

use std::net::{IpAddr, SocketAddr};

use crate::Slot;
use crate::message::{Announced, Packet, Published, Version};

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
    /// A packet came that cannot be read. It is counted.
    Unreadable {
        /// Its type, as it says.
        kind: u16,
        /// Its length.
        bytes: u64,
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
    /// Replace nodes.conf by what [`Node::nodes_conf_text`](crate::Node::nodes_conf_text) says by then: written, fsynced and renamed
    /// into place. If that fails the process must not go on. One write does for all that were asked for before its text was made.
    Persist {
        /// Who waits for it.
        urgency: Urgency,
    },
    /// Something for the server.
    Event(Event),
}

/// Who waits until a change is in nodes.conf.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Nobody: these are news of other nodes, which they tell again. Many of them may be one write.
    News,
    /// Who asked for it is answered afterwards: a command, or marks of slots on the move.
    Asked,
    /// What this node tells of itself has changed (an epoch in which it acted, a vote, its slots, its role): no packet behind this output
    /// may leave before the file is in its place.
    Promise,
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
    /// The master that comes next is of another shard: what is here is of no use to it, and no data of its own.
    LeaveShard,
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

/// The cluster as one node sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterState {
    /// Queries are served.
    Ok,
    /// Queries are answered by CLUSTERDOWN.
    Fail,
}

impl ClusterState {
    pub(super) fn on_the_wire(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Fail => 1,
        }
    }

    /// As CLUSTER INFO and the log print it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Fail => "fail",
        }
    }
}

/// Faults that tests ask for; none by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Which packets are passed over when they come.
    pub dropped: Dropped,
    /// The link of a packet that is passed over is closed.
    pub closes_link: bool,
    /// No link is dialled anew.
    pub never_dials: bool,
    /// No node is pinged just by chance.
    pub no_random_pings: bool,
}

/// Packets that are passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dropped {
    /// None.
    #[default]
    None,
    /// All.
    All,
    /// Those of one type.
    Kind(u16),
}
