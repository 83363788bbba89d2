//! What nodes say to each other, decoded. The bytes are in [`codec`](crate::codec), the rules in [`node`](crate::node).

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use crate::{NodeId, SlotSet};

/// The layout of a packet. A Redis node drops packets of the version that it does not speak, in silence: 3.0 those of
/// version 1, 4.0 and later those of version 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Version {
    /// Redis 3.0 and 3.2: a header of 2208 bytes, the bus port is the client port plus 10000.
    V0,
    /// Redis 4.0 and later: a header of 2256 bytes, ports are named, extensions may follow.
    V1,
}

impl Version {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::V0 => Self::V1,
            Self::V1 => Self::V0,
        }
    }
}

/// The flags of a node, as bits: the same in packets and in memory; nodes.conf has names for some.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct NodeFlags(pub u16);

impl NodeFlags {
    /// Serves slots, or could.
    pub const MASTER: Self = Self(1);
    /// Copies a master.
    pub const SLAVE: Self = Self(2);
    /// We think it is down ("fail?").
    pub const PFAIL: Self = Self(4);
    /// The majority thinks it is down.
    pub const FAIL: Self = Self(8);
    /// Is this node.
    pub const MYSELF: Self = Self(16);
    /// We have its address but do not know yet who it is.
    pub const HANDSHAKE: Self = Self(32);
    /// We know who it is but not where.
    pub const NOADDR: Self = Self(64);
    /// Must be greeted by MEET.
    pub const MEET: Self = Self(128);
    /// A master that has, or used to have, replicas: others may migrate to it when it has none left.
    pub const MIGRATE_TO: Self = Self(256);
    /// Redis 4.0: a replica that never tries to fail over.
    pub const NOFAILOVER: Self = Self(512);
    /// Redis 7.0: takes extensions behind the gossip.
    pub const EXTENSIONS: Self = Self(1 << 10);
    /// Valkey 8.0: takes publish messages with a light header.
    pub const LIGHT_PUBLISH: Self = Self(1 << 11);
    /// Valkey 8.1: takes module messages with a light header, and MEET from a node that it knows.
    pub const MULTI_MEET: Self = Self(1 << 12);
    /// Valkey 9.0: a replica whose master is FAIL for it.
    pub const MY_MASTER_FAIL: Self = Self(1 << 13);

    /// The bits that 3.0 knows.
    pub(crate) const OF_VERSION_0: u16 = (1 << 9) - 1;

    /// Names in the order in which Redis prints them.
    const NAMES: [(Self, &'static str); 8] = [
        (Self::MYSELF, "myself"),
        (Self::MASTER, "master"),
        (Self::SLAVE, "slave"),
        (Self::PFAIL, "fail?"),
        (Self::FAIL, "fail"),
        (Self::HANDSHAKE, "handshake"),
        (Self::NOADDR, "noaddr"),
        (Self::NOFAILOVER, "nofailover"),
    ];

    /// Whether any of these flags is set.
    #[must_use]
    pub fn has(self, any_of: Self) -> bool {
        self.0 & any_of.0 != 0
    }

    /// These flags and those.
    #[must_use]
    pub const fn with(self, more: Self) -> Self {
        Self(self.0 | more.0)
    }

    /// These flags but not those.
    #[must_use]
    pub const fn without(self, less: Self) -> Self {
        Self(self.0 & !less.0)
    }

    /// Reads the comma-separated names of nodes.conf; `None` if one is unknown.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        text.split(',').try_fold(Self(0), |flags, name| {
            if name == "noflags" {
                return Some(flags);
            }
            let name = match name {
                "primary" => "master",
                "replica" => "slave",
                name => name,
            };
            let (flag, _) = Self::NAMES.iter().find(|(_, known)| *known == name)?;
            Some(flags.with(*flag))
        })
    }
}

impl fmt::Display for NodeFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names = Self::NAMES
            .iter()
            .filter(|(flag, _)| self.has(*flag))
            .map(|(_, name)| *name);
        f.write_str(names.next().unwrap_or("noflags"))?;
        names.try_for_each(|name| write!(f, ",{name}"))
    }
}

impl fmt::Debug for NodeFlags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} ({:#x})", self.0)
    }
}

/// What is sent at once: a message, or one without a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Packet {
    /// A message.
    Full(Box<Message>),
    /// A published message without the header: the link tells who sends it. Valkey 8.0 and later.
    Light(Published),
}

impl From<Message> for Packet {
    fn from(message: Message) -> Self {
        Self::Full(Box::new(message))
    }
}

impl Packet {
    /// The number of its type.
    #[must_use]
    pub fn kind(&self) -> u16 {
        match self {
            Self::Full(message) => message.body.kind(),
            Self::Light(published) => published.kind(),
        }
    }
}

/// What a client published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// Channel.
    pub channel: Arc<[u8]>,
    /// Message.
    pub message: Arc<[u8]>,
    /// SPUBLISH: for the nodes of the shard that owns the channel's slot.
    pub sharded: bool,
}

impl Published {
    /// The number of its type.
    #[must_use]
    pub fn kind(&self) -> u16 {
        if self.sharded { 10 } else { 4 }
    }
}

/// One packet with everything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What every packet says about its sender.
    pub header: Header,
    /// What this one is for.
    pub body: Body,
}

/// What every packet says about its sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Layout that it came in, or is to be sent in.
    pub version: Version,
    /// Who sends it.
    pub sender: NodeId,
    /// The newest epoch that the sender knows of.
    pub current_epoch: u64,
    /// The sender's config epoch, or its master's if it is a replica.
    pub config_epoch: u64,
    /// Replication offset, in bytes: written by a master, processed by a replica.
    pub repl_offset: u64,
    /// Slots of the sender, or of its master if it is a replica.
    pub slots: Arc<SlotSet>,
    /// The sender's master if it is a replica that knows it.
    pub master: Option<NodeId>,
    /// The address by which the sender wants to be known (version 1; empty: look at the socket).
    pub ip: WireIp,
    /// The sender's port for clients.
    pub port: u16,
    /// The sender's bus port (version 1; 0 in version 0).
    pub bus_port: u16,
    /// The sender's other client port when it serves TLS and plain text (version 1).
    pub tls_port: u16,
    /// The sender's flags.
    pub flags: NodeFlags,
    /// Cluster state as the sender sees it: 0 is ok, 1 is fail.
    pub state: u8,
    /// Flags of this message, see [`PAUSED`](Self::PAUSED) and [`FORCE_ACK`](Self::FORCE_ACK); three bytes.
    pub message_flags: [u8; 3],
}

impl Header {
    /// Bit of the first message flag byte: the sender is a master whose clients are paused for a manual failover.
    pub const PAUSED: u8 = 1;
    /// Bit of the first message flag byte: vote even though the master is up (manual failover).
    pub const FORCE_ACK: u8 = 2;
    /// Bit of the first message flag byte: extensions follow the gossip (version 1).
    pub const EXTENSIONS: u8 = 4;

    /// Whether a bit of the first message flag byte is set.
    #[must_use]
    pub fn says(&self, bit: u8) -> bool {
        self.message_flags[0] & bit != 0
    }
}

/// What a packet is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Body {
    /// PING, PONG or MEET: the sender is alive, and this is what it knows about a few others.
    Ping {
        /// Which of the three.
        kind: PingKind,
        /// News about others.
        gossip: Vec<Gossip>,
        /// What version 1 may append.
        extensions: Extensions,
    },
    /// The majority agrees that this node is down.
    Fail(NodeId),
    /// A PUBLISH for the subscribers of every node, or an SPUBLISH for those of a shard.
    Publish(Published),
    /// A replica asks masters for their vote in the header's current epoch.
    FailoverAuthRequest,
    /// The vote.
    FailoverAuthAck,
    /// The receiver has old news about some slots: this is who owns them now.
    Update {
        /// The owner.
        node: NodeId,
        /// Its config epoch.
        config_epoch: u64,
        /// All its slots.
        slots: Arc<SlotSet>,
    },
    /// A replica asks its master to pause clients for a manual failover.
    ManualFailoverStart,
}

/// The three packets that share one layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PingKind {
    /// Are you alive?
    Ping,
    /// I am alive: the answer to the other two, or news worth spreading.
    Pong,
    /// Are you alive, and will you add me to your nodes?
    Meet,
}

impl PingKind {
    /// As the log calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ping => "ping",
            Self::Pong => "pong",
            Self::Meet => "meet",
        }
    }
}

impl Body {
    /// The number of its type.
    #[must_use]
    pub fn kind(&self) -> u16 {
        match self {
            Self::Ping { kind, .. } => match kind {
                PingKind::Ping => 0,
                PingKind::Pong => 1,
                PingKind::Meet => 2,
            },
            Self::Fail(_) => 3,
            Self::Publish(published) => published.kind(),
            Self::FailoverAuthRequest => 5,
            Self::FailoverAuthAck => 6,
            Self::Update { .. } => 7,
            Self::ManualFailoverStart => 8,
        }
    }
}

/// One node as another one sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gossip {
    /// Who.
    pub id: NodeId,
    /// When the sender pinged it, 0 if no ping is under way: low 32 bits of Unix milliseconds (version 0), or Unix
    /// seconds (version 1).
    pub ping_sent: u32,
    /// When the sender got its last pong, in the same unit.
    pub pong_received: u32,
    /// Where.
    pub ip: WireIp,
    /// Port for clients.
    pub port: u16,
    /// Bus port (version 1; 0 in version 0).
    pub bus_port: u16,
    /// Second client port (version 1).
    pub tls_port: u16,
    /// Flags, among them whether the sender thinks it is down.
    pub flags: NodeFlags,
}

/// The extension block of a version 1 ping. What is not said is empty or 0; extensions of other types are passed over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Extensions {
    /// What the sender announces of itself.
    pub announced: Announced,
    /// Nodes that were forgotten on purpose, and for how many seconds they stay so.
    pub forgotten: Vec<(NodeId, u64)>,
    /// The shard of the sender.
    pub shard: Option<NodeId>,
}

/// What a node announces of itself beside its address.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Announced {
    /// `cluster-announce-hostname`.
    pub hostname: String,
    /// `cluster-announce-human-nodename`.
    pub nodename: String,
    /// `cluster-announce-client-ipv4`.
    pub client_ipv4: String,
    /// `cluster-announce-client-ipv6`.
    pub client_ipv6: String,
    /// `cluster-announce-client-port`; 0: the port.
    pub client_port: u16,
    /// `cluster-announce-client-tls-port`; 0: the TLS port.
    pub client_tls_port: u16,
    /// `availability-zone`.
    pub availability_zone: String,
}

/// An address as packets carry it: text in a field of 46 bytes, filled up with NUL.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct WireIp(pub(crate) [u8; 46]);

impl WireIp {
    /// No address.
    pub const EMPTY: Self = Self([0; 46]);

    /// The address, if the field holds one.
    #[must_use]
    pub fn ip(&self) -> Option<IpAddr> {
        std::str::from_utf8(self.text()).ok()?.parse().ok()
    }

    /// Whether the field is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0[0] == 0
    }

    fn text(&self) -> &[u8] {
        let end = self.0.iter().position(|&c| c == 0).unwrap_or(self.0.len());
        &self.0[..end]
    }
}

impl From<Option<IpAddr>> for WireIp {
    fn from(ip: Option<IpAddr>) -> Self {
        let mut field = Self::EMPTY;
        if let Some(ip) = ip {
            // The longest text of an address has 45 characters, so it fits and a NUL remains.
            let text = ip.to_string();
            let len = text.len().min(field.0.len() - 1);
            field.0[..len].copy_from_slice(&text.as_bytes()[..len]);
        }
        field
    }
}

impl fmt::Debug for WireIp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.text()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_print_as_redis_does() {
        let flags = NodeFlags::MASTER
            .with(NodeFlags::MYSELF)
            .with(NodeFlags::MIGRATE_TO);
        assert_eq!(flags.to_string(), "myself,master");
        assert_eq!(NodeFlags::MIGRATE_TO.to_string(), "noflags");
        assert_eq!(
            NodeFlags::parse("slave,fail?,noaddr"),
            Some(NodeFlags(2 + 4 + 64))
        );
        assert_eq!(NodeFlags::parse("noflags"), Some(NodeFlags(0)));
        assert_eq!(NodeFlags::parse("master,emperor"), None);
    }

    #[test]
    fn addresses_fit_their_field() {
        for text in [
            "127.0.0.1",
            "::1",
            "1111:2222:3333:4444:5555:6666:7777:8888",
        ] {
            let ip: IpAddr = text.parse().unwrap();
            assert_eq!(WireIp::from(Some(ip)).ip(), Some(ip));
        }
        assert!(WireIp::from(None).is_empty());
        assert_eq!(WireIp([b'x'; 46]).ip(), None);
    }
}
