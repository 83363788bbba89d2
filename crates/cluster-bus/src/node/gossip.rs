//! Who is pinged when, what a ping tells about others, and what is believed of it.

use super::io::{LinkId, LogLevel};
use super::state::Node;
use super::table::Addr;
use super::table::PeerKey;
use crate::message::{Body, Extensions, Gossip, NodeFlags, PingKind, Version, WireIp};
use crate::{NodeId, Now};

/// Entries per packet: a tenth of the nodes, and not fewer than this. In the two node timeouts for which a report of
/// failure counts, every pair of nodes exchanges at least eight packets; a tenth of the nodes in each is enough for
/// news of one failing node to reach a majority.
const FEWEST_ENTRIES: usize = 3;

/// Nodes that one node knows at most, far more than make a cluster: what others tell must not fill the memory.
const MAX_NODES: usize = 2000;

/// Random nodes that are looked at, once a second, for the one that was not heard for longest.
const PING_SAMPLE: usize = 5;

impl Node {
    /// Sends a PING, PONG or MEET with news about a few other nodes.
    pub(super) fn send_ping(&mut self, now: Now, id: LinkId, kind: PingKind) {
        let Some(link) = self.link(id) else { return };
        let (receiver, version) = (link.peer, link.version);
        if self.config.log_level == LogLevel::Debug
            && let Some(peer) = receiver
        {
            let label = self.table[peer].label();
            let what = kind.name();
            let direction = if matches!(id, LinkId::Dialled(_)) {
                "outbound"
            } else {
                "inbound"
            };
            let text = format_args!("Sending {what} packet to node {label} on {direction} link");
            self.log(LogLevel::Debug, text);
        }
        if let (Some(peer), PingKind::Ping) = (receiver, kind) {
            self.table[peer].ping_sent = Some(now);
        }
        let gossip = self
            .choose_news(receiver)
            .into_iter()
            .map(|key| self.news_about(key, version))
            .collect();
        let extensions = match version {
            Version::V0 => Extensions::default(),
            Version::V1 => self.own_extensions(now.mono_ms),
        };
        self.send(
            id,
            Body::Ping {
                kind,
                gossip,
                extensions,
            },
        );
    }

    /// Failing nodes first: the sooner a majority has heard of one, the sooner it is replaced. Then others by chance.
    fn choose_news(&mut self, receiver: Option<PeerKey>) -> Vec<PeerKey> {
        let nodes = self.table.len();
        let wanted = (nodes / 10)
            .max(FEWEST_ENTRIES)
            .min(nodes.saturating_sub(2));
        let unfit = NodeFlags::MYSELF.with(NodeFlags::HANDSHAKE);
        let down = NodeFlags::PFAIL.with(NodeFlags::FAIL);
        let (mut news, mut others) = (Vec::new(), Vec::new());
        for (key, peer) in self.table.peers() {
            // A node that we have no link to and that serves nothing may be gone for good.
            let known_well = peer.link.is_some() || !peer.slots().is_empty();
            if Some(key) != receiver && !peer.is(unfit) && known_well {
                if peer.is(down) {
                    news.push(key);
                } else if !peer.is(NodeFlags::NOADDR) {
                    others.push(key);
                }
            }
        }
        while news.len() > wanted {
            news.swap_remove(self.rng.index(news.len()));
        }
        while news.len() < wanted && !others.is_empty() {
            news.push(others.swap_remove(self.rng.index(others.len())));
        }
        news
    }

    fn news_about(&self, key: PeerKey, version: Version) -> Gossip {
        let peer = &self.table[key];
        let time = |at: Option<Now>| {
            let unix_ms = at.map_or(0, |at| at.unix_ms);
            // Version 0 has the low half of the milliseconds, version 1 whole seconds.
            let value = if version == Version::V0 {
                unix_ms & u64::from(u32::MAX)
            } else {
                unix_ms / 1000
            };
            u32::try_from(value).unwrap_or(u32::MAX)
        };
        Gossip {
            id: peer.id,
            ping_sent: time(peer.ping_sent),
            pong_received: time(peer.pong_received),
            ip: WireIp::from(peer.addr.ip),
            port: peer.addr.port,
            bus_port: if version == Version::V1 {
                peer.addr.bus_port
            } else {
                0
            },
            tls_port: if version == Version::V1 {
                peer.other_port
            } else {
                0
            },
            flags: if version == Version::V1 {
                peer.flags
            } else {
                NodeFlags(peer.flags.0 & NodeFlags::OF_VERSION_0)
            },
        }
    }

    /// Hears what a known node says about others.
    pub(super) fn hear_gossip(&mut self, now: Now, sender: PeerKey, gossip: &[Gossip]) {
        for entry in gossip {
            let ip = entry.ip.ip();
            if self.config.log_level == LogLevel::Debug {
                let text = ip.map(|ip| ip.to_string()).unwrap_or_default();
                let text = format!("GOSSIP {} {text}:{} {}", entry.id, entry.port, entry.flags);
                self.log(LogLevel::Debug, format_args!("{text}"));
            }
            let Some(about) = self.table.find(entry.id) else {
                self.hear_of_stranger(now, entry);
                continue;
            };
            let down = NodeFlags::PFAIL.with(NodeFlags::FAIL);
            if about != self.table.myself() {
                self.note_report(now, about, sender, entry.flags.has(down));
            }
            // The sender can reach it where we cannot.
            let is_well = !entry.flags.has(down.with(NodeFlags::NOADDR));
            if is_well && self.table[about].is(down) && about != self.table.myself() {
                let addr = Addr::new(ip, entry.port, entry.bus_port);
                self.adopt_address(now, about, addr);
            }
        }
    }

    /// Somebody wants this node in a cluster: who else is in it is told at once. If the handshake fails, they know each other so.
    pub(super) fn hear_of_strangers(&mut self, now: Now, gossip: &[Gossip]) {
        for entry in gossip {
            if self.table.find(entry.id).is_none() {
                self.hear_of_stranger(now, entry);
            }
        }
    }

    /// Only known nodes are heard at all, so this is a node of our cluster that we have yet to meet. It is taken in under the name that
    /// it was told by, and greeted by PING: 3.0 sends MEET, and so brings clusters together if somebody else lives there by now.
    fn hear_of_stranger(&mut self, now: Now, entry: &Gossip) {
        let addr = Addr::new(entry.ip.ip(), entry.port, entry.bus_port);
        if entry.flags.has(NodeFlags::NOADDR)
            || addr.ip.is_none()
            || addr.bus_port == 0
            || self.blacklist.contains(now, entry.id)
            || self.table.len() >= MAX_NODES
        {
            return;
        }
        let role = if entry.flags.has(NodeFlags::SLAVE) {
            NodeFlags::SLAVE
        } else {
            NodeFlags::MASTER
        };
        let kept = NodeFlags::PFAIL
            .with(NodeFlags::FAIL)
            .with(NodeFlags::NOFAILOVER);
        let flags = NodeFlags(entry.flags.0 & kept.0)
            .with(role)
            .with(NodeFlags::MEET);
        let shard = NodeId::random(&mut self.rng);
        let key = self.table.add_known(now, entry.id, flags, addr, shard);
        self.table[key].other_port = entry.tls_port;
        self.todo.save = true;
    }

    /// A node that we cannot reach is somewhere else, as another one says. It is greeted there by PING: whoever else may be there
    /// by now does not know us, and nobody is met that nobody wanted to meet (3.0 sends MEET). Where we have just found somebody
    /// else, we do not look again at once.
    fn adopt_address(&mut self, now: Now, about: PeerKey, addr: Addr) {
        let timeout_ms = self.config.node_timeout_ms;
        let peer = &self.table[about];
        let just_looked = peer.not_at.is_some_and(|(not_at, at_ms)| {
            not_at == addr && now.mono_ms.saturating_sub(at_ms) < timeout_ms
        });
        if addr.ip.is_none() || addr.port == 0 || peer.addr == addr || just_looked {
            return;
        }
        self.move_peer(now, about, addr);
    }

    /// Once a second: pings the node that was not heard for longest, of a few random ones.
    pub(super) fn ping_random_node(&mut self, now: Now) {
        let mut oldest: Option<(Option<Now>, LinkId)> = None;
        for _ in 0..PING_SAMPLE {
            let key = self.table.any(&mut self.rng);
            let peer = &self.table[key];
            let Some(link) = self.link_to(key) else {
                continue;
            };
            if peer.ping_sent.is_some() || peer.is(NodeFlags::MYSELF.with(NodeFlags::HANDSHAKE)) {
                continue;
            }
            if oldest.is_none_or(|(heard, ..)| peer.pong_received < heard) {
                oldest = Some((peer.pong_received, link));
            }
        }
        if let Some((_, link)) = oldest {
            self.send_ping(now, link, PingKind::Ping);
        }
    }

    /// Pings a node whose last pong is older than half the node timeout (or what is configured), or that prepares a manual failover and waits
    /// for our offset. True if it was pinged.
    pub(super) fn ping_if_due(&mut self, now: Now, key: PeerKey) -> bool {
        let Some(link) = self.link_to(key) else {
            return false;
        };
        let peer = &self.table[key];
        let interval_ms = self
            .config
            .ping_interval_ms
            .unwrap_or(self.config.node_timeout_ms / 2);
        let old = peer
            .pong_received
            .is_none_or(|pong| now.mono_ms.saturating_sub(pong.mono_ms) > interval_ms);
        let waiting = self.is_master() && self.manual_failover.is_for(key);
        let due = (peer.ping_sent.is_none() && old) || waiting;
        if due {
            self.send_ping(now, link, PingKind::Ping);
        }
        due
    }

    /// Sends a PONG to all nodes, or only to the replicas of our master and of us: not as an answer, but to spread
    /// what has changed.
    pub(super) fn broadcast_pong(&mut self, now: Now, only_local_replicas: bool) {
        for key in self.table.keys() {
            let peer = &self.table[key];
            let myself = self.table.myself();
            let local = peer
                .master
                .is_some_and(|master| master == myself || Some(master) == self.me().master);
            if key == myself || peer.is(NodeFlags::HANDSHAKE) || (only_local_replicas && !local) {
                continue;
            }
            if let Some(link) = self.link_to(key) {
                self.send_ping(now, link, PingKind::Pong);
            }
        }
    }
}
