//! Who is pinged when, what a ping tells about others, and what is believed of it.

use super::io::{LinkId, LogLevel};
use super::state::Node;
use super::table::Addr;
use super::table::{Peer, PeerKey, Told};
use crate::message::{Body, Extensions, Gossip, NodeFlags, PingKind, Version, WireIp};
use crate::{NodeId, Now};

/// Entries per packet: a tenth of the nodes, and not fewer than this. In the two node timeouts for which a report of
/// failure counts, every pair of nodes exchanges at least eight packets; a tenth of the nodes in each is enough for
/// news of one failing node to reach a majority.
const FEWEST_ENTRIES: usize = 3;

/// Nodes that one node knows at most, far more than make a cluster: what others tell must not fill the memory.
const MAX_NODES: usize = 2000;

/// A ping that is not answered for so long is told to others before those that are. Times of version 1 are whole seconds.
const LONG_WAIT_MS: u64 = 2000;

/// How far the clocks of two hosts may be apart for a time that one tells to be no time to come for the other.
const CLOCK_TOLERANCE_MS: u64 = 500;

/// Random nodes that are looked at, once a second, for the one that was not heard for longest.
const PING_SAMPLE: usize = 5;

/// For how long a node has not answered a ping.
fn unanswered_ms(now: Now, peer: &Peer) -> u64 {
    peer.pong_received
        .map_or(u64::MAX, |at| now.mono_ms.saturating_sub(at.mono_ms))
}

/// For how long there was no sign of a node: neither an answer, nor another packet of its own, nor what others tell.
fn silent_ms(now: Now, peer: &Peer) -> u64 {
    let own_ms = unanswered_ms(now, peer);
    let own_ms = match peer.heard_ms {
        0 => own_ms,
        at_ms => own_ms.min(now.mono_ms.saturating_sub(at_ms)),
    };
    match peer.told {
        // A clock that was set back makes it a time to come.
        told if told.heard > told.waiting && told.heard <= now.unix_ms + CLOCK_TOLERANCE_MS => {
            own_ms.min(now.unix_ms.saturating_sub(told.heard))
        }
        _ => own_ms,
    }
}

/// Whether we wait for a node for so long that others are to ask, too.
fn waits_long(now: Now, peer: &Peer) -> bool {
    peer.ping_sent.is_some_and(|at| {
        now.mono_ms.saturating_sub(at.mono_ms) >= LONG_WAIT_MS && peer.heard_ms < at.mono_ms
    })
}

impl Told {
    fn note(&mut self, now: Now, entry: &Gossip) {
        let unix_ms = |seconds: u32| u64::from(seconds) * 1000;
        let (asked, heard) = (unix_ms(entry.ping_sent), unix_ms(entry.pong_received));
        if entry.flags.has(NodeFlags::PFAIL.with(NodeFlags::FAIL)) {
            self.waiting = now.unix_ms;
        } else if heard <= now.unix_ms + CLOCK_TOLERANCE_MS {
            self.heard = self.heard.max(heard);
        }
        if asked != 0 && now.unix_ms.saturating_sub(asked) >= LONG_WAIT_MS {
            self.waiting = self.waiting.max(asked);
        }
    }
}

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
            .choose_news(now, receiver)
            .into_iter()
            .map(|key| self.news_about(now, key, version))
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

    /// Failing nodes first, and those that seem to fail: the sooner a majority has heard of one, the sooner it is replaced. Before all
    /// others the receiver's own master. Then others by chance.
    fn choose_news(&mut self, now: Now, receiver: Option<PeerKey>) -> Vec<PeerKey> {
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
                if peer.is(down) || waits_long(now, peer) {
                    news.push(key);
                } else if !peer.is(NodeFlags::NOADDR) {
                    others.push(key);
                }
            }
        }
        let its_master = receiver.and_then(|key| self.table[key].master);
        let first = news.iter().position(|key| Some(*key) == its_master);
        let kept = first.map_or(0, |at| {
            news.swap(0, at);
            1
        });
        while news.len() > wanted.max(kept) {
            news.swap_remove(kept + self.rng.index(news.len() - kept));
        }
        while news.len() < wanted && !others.is_empty() {
            news.push(others.swap_remove(self.rng.index(others.len())));
        }
        news
    }

    fn news_about(&self, now: Now, key: PeerKey, version: Version) -> Gossip {
        let peer = &self.table[key];
        let time = |unix_ms: u64| {
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
            ping_sent: time(peer.ping_sent.map_or(0, |at| at.unix_ms)),
            pong_received: time(now.unix_ms.saturating_sub(silent_ms(now, peer))),
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
    pub(super) fn hear_gossip(
        &mut self,
        now: Now,
        sender: PeerKey,
        version: Version,
        gossip: &[Gossip],
    ) {
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
            if version == Version::V1 {
                self.table[about].told.note(now, entry);
            }
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

    /// Pings a node of which there was no sign for half the node timeout (or what is configured), or that prepares a manual failover and
    /// waits for our offset. True if it was pinged.
    ///
    /// A packet of its own is a sign, and so is what others have heard of it lately, unless one of them waits for it in vain since: then
    /// all whose own signs are old ask by themselves. So in a large cluster most pings are saved, and a node that fails is still pinged by
    /// all as soon as if none was.
    pub(super) fn ping_if_due(&mut self, now: Now, key: PeerKey) -> bool {
        let peer = &self.table[key];
        let interval_ms = self
            .config
            .ping_interval_ms
            .unwrap_or(self.config.node_timeout_ms / 2);
        let silent_ms = if self.needs_answers() {
            unanswered_ms(now, peer)
        } else {
            silent_ms(now, peer)
        };
        let waiting = self.is_master() && self.manual_failover.is_for(key);
        let due = (peer.ping_sent.is_none() && silent_ms > interval_ms) || waiting;
        let Some(link) = Some(key).filter(|_| due).and_then(|key| self.link_to(key)) else {
            return false;
        };
        self.send_ping(now, link, PingKind::Ping);
        true
    }

    /// Whether a rule waits until others have answered: who claims slots that were ours, or were to be.
    fn needs_answers(&self) -> bool {
        self.yielding > 0 || self.awaits_claims()
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
