//! Links to other nodes: dialling, greeting, and the bus version spoken on each. What is said is decided elsewhere.
//!
//! Every node dials every other one, so two nodes have two links; a node answers a ping on the link it came on, and
//! says everything else on the link that it dialled itself.

use std::net::{IpAddr, SocketAddr};

use super::io::{LinkId, LogLevel, Output};
use super::state::Link;
use super::state::Node;
use super::table::PeerKey;
use crate::message::{
    Body, Header, Message, NodeFlags, Packet, PingKind, Published, Version, WireIp,
};
use crate::{NodeId, Now, codec};

/// A node in handshake that is silent for so long may speak the other version of the bus.
const LONGEST_SILENCE_MS: u64 = 1000;

/// A link, as CLUSTER LINKS shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkInfo {
    /// Which.
    pub id: LinkId,
    /// Whether the other node dialled it.
    pub inbound: bool,
    /// The node at the other end, if it is known.
    pub node: Option<NodeId>,
    /// When it was opened, Unix milliseconds.
    pub opened_unix_ms: u64,
    /// Bytes that wait to be sent.
    pub queued: u64,
}

impl Node {
    /// The open links, those to and from known nodes.
    pub fn links(&self) -> impl Iterator<Item = LinkInfo> {
        self.links.open.iter().map(|(id, link)| {
            let inbound = match id {
                LinkId::Accepted(number) => Some(*number),
                LinkId::Dialled(_) => None,
            };
            let dialler = || {
                let mut peers = self.table.peers();
                peers.find(|(_, peer)| inbound.is_some() && peer.inbound == inbound)
            };
            let node = link.peer.or_else(|| Some(dialler()?.0));
            LinkInfo {
                id: *id,
                inbound: inbound.is_some(),
                node: node.map(|key| self.table[key].id),
                opened_unix_ms: link.opened.unix_ms,
                queued: link.queued,
            }
        })
    }

    /// Bytes that wait on all links.
    #[must_use]
    pub fn link_bytes(&self) -> u64 {
        self.links.open.values().map(|link| link.queued).sum()
    }

    pub(super) fn link(&self, id: LinkId) -> Option<&Link> {
        self.links.open.get(&id)
    }

    /// The link that we dialled to a node, if it is up.
    pub(super) fn link_to(&self, peer: PeerKey) -> Option<LinkId> {
        let id = LinkId::Dialled(self.table[peer].link?);
        self.link(id).filter(|link| link.up).map(|_| id)
    }

    pub(super) fn link_accepted(
        &mut self,
        now: Now,
        id: LinkId,
        remote: SocketAddr,
        local: IpAddr,
    ) {
        self.log(
            LogLevel::Verbose,
            format_args!("Accepted cluster node {}:{}", remote.ip(), remote.port()),
        );
        let link = Link {
            peer: None,
            opened: now,
            remote: remote.ip().to_canonical(),
            local: Some(local.to_canonical()),
            version: self.config.bus_version,
            up: true,
            heard: false,
            queued: 0,
        };
        self.links.open.insert(id, link);
    }

    /// Dials a node that has no link. The ping is sent once the link is up, but its time runs from now: a host that
    /// does not even take connections must become suspect too.
    pub(super) fn dial(&mut self, now: Now, peer: PeerKey) {
        let Some(ip) = self.table[peer].addr.ip else {
            return;
        };
        let addr = SocketAddr::new(ip, self.table[peer].addr.bus_port);
        let number = self.links.dialled;
        self.links.dialled += 1;
        let link = Link {
            peer: Some(peer),
            opened: now,
            remote: ip,
            local: None,
            version: self.version_for(peer),
            up: false,
            heard: false,
            queued: 0,
        };
        self.links.open.insert(LinkId::Dialled(number), link);
        let node = &mut self.table[peer];
        node.link = Some(number);
        node.dialled_ms = now.mono_ms;
        node.ping_sent.get_or_insert(now);
        let id = node.id;
        self.log(
            LogLevel::Debug,
            format_args!("Connecting with Node {id} at {}:{}", addr.ip(), addr.port()),
        );
        self.held.push_back(Output::Connect {
            link: LinkId::Dialled(number),
            addr,
        });
    }

    /// The version to greet a node in: the one it speaks, or a guess.
    fn version_for(&self, peer: PeerKey) -> Version {
        let node = &self.table[peer];
        node.version
            .or(node.version_guess)
            .unwrap_or(self.config.bus_version)
    }

    pub(super) fn link_connected(&mut self, now: Now, id: LinkId) {
        let Some(link) = self.links.open.get_mut(&id) else {
            return;
        };
        link.up = true;
        if let Some(peer) = link.peer {
            self.greet(now, id, peer);
        }
    }

    /// The first packet on a link, or the first one in another version: a MEET to a node that has to add us, else a
    /// ping. A ping that was under way keeps its time.
    fn greet(&mut self, now: Now, id: LinkId, peer: PeerKey) {
        let before = self.table[peer].ping_sent;
        let meets =
            self.table[peer].is(NodeFlags::MEET) && self.table[peer].is(NodeFlags::HANDSHAKE);
        let kind = if meets {
            PingKind::Meet
        } else {
            PingKind::Ping
        };
        self.send_ping(now, id, kind);
        if before.is_some() {
            self.table[peer].ping_sent = before;
        }
        self.ask_for_pause(id, peer);
    }

    /// A link that the shell lost. One that was lost without a word may have been used in the wrong version.
    pub(super) fn link_lost(&mut self, now: Now, id: LinkId) {
        let Some(link) = self.links.open.remove(&id) else {
            return;
        };
        self.stop_pause(id);
        if let LinkId::Accepted(number) = id {
            self.table.forget_inbound(number, now.mono_ms);
        }
        if let Some(peer) = link.peer {
            self.table[peer].link = None;
        }
        if let Some(peer) = link.peer.filter(|_| link.up && !link.heard) {
            self.table[peer].version_guess = Some(link.version.other());
        }
    }

    /// Gives up a link.
    pub(super) fn close_link(&mut self, now: Now, id: LinkId) {
        if self.links.open.contains_key(&id) {
            self.link_lost(now, id);
            self.held.push_back(Output::Close { link: id });
        }
    }

    /// Gives up the link that we dialled to a node.
    pub(super) fn hang_up(&mut self, now: Now, peer: PeerKey) {
        if let Some(number) = self.table[peer].link {
            self.close_link(now, LinkId::Dialled(number));
        }
    }

    /// A packet came: from now on this link, and the node's own one, speak the version it came in.
    pub(super) fn learn_version(
        &mut self,
        now: Now,
        id: LinkId,
        sender: Option<PeerKey>,
        version: Version,
    ) {
        if let Some(link) = self.links.open.get_mut(&id) {
            link.version = version;
            link.heard = true;
        }
        let Some(sender) = sender else { return };
        if self.table[sender].version.replace(version) == Some(version) {
            return;
        }
        let Some(own) = self.link_to(sender).filter(|own| *own != id) else {
            return;
        };
        if self.switch_version(own, version) && self.table[sender].ping_sent.is_some() {
            // What we said so far on our own link was dropped: say it again.
            self.greet(now, own, sender);
        }
    }

    fn switch_version(&mut self, id: LinkId, version: Version) -> bool {
        let Some(link) = self.links.open.get_mut(&id) else {
            return false;
        };
        std::mem::replace(&mut link.version, version) != version
    }

    /// A node in handshake that does not answer may speak the other version: greet it in that one, once, half way to
    /// the end of the handshake.
    pub(super) fn try_other_version(&mut self, now: Now, peer: PeerKey, age_ms: u64) {
        let half = (self.handshake_timeout_ms() / 2).min(LONGEST_SILENCE_MS);
        if age_ms < half || self.table[peer].version.is_some() {
            return;
        }
        let Some(id) = self.link_to(peer) else { return };
        if self.switch_version(id, self.config.bus_version.other()) {
            self.greet(now, id, peer);
        }
    }

    pub(super) fn send(&mut self, id: LinkId, body: Body) {
        let Some(link) = self.links.open.get(&id).filter(|link| link.up) else {
            return;
        };
        let header = self.header(link.version, &body);
        self.send_packet(id, Message { header, body }.into());
    }

    fn send_packet(&mut self, id: LinkId, packet: Packet) {
        let bytes = codec::encoded_len(&packet);
        self.stats.sent.count(&packet, bytes);
        if let Some(link) = self.links.open.get_mut(&id) {
            link.queued += bytes;
        }
        self.held.push_back(Output::Send { link: id, packet });
    }

    /// Hands a published message to every node that we have a link to, or to those of our shard.
    pub(super) fn spread(&mut self, published: &Published) {
        let shard = self.me().shard;
        for key in self.table.keys() {
            let peer = &self.table[key];
            let is_light = peer.is(NodeFlags::LIGHT_PUBLISH);
            if key == self.table.myself()
                || peer.is(NodeFlags::HANDSHAKE)
                || (published.sharded && peer.shard != shard)
            {
                continue;
            }
            let Some(link) = self.link_to(key) else {
                continue;
            };
            if is_light {
                self.send_packet(link, Packet::Light(published.clone()));
            } else if !published.sharded || self.link(link).is_some_and(Link::is_new) {
                self.send(link, Body::Publish(published.clone()));
            }
        }
    }

    /// The shell has written some of what waited on a link.
    pub(super) fn bytes_sent(&mut self, id: LinkId, bytes: u64) {
        if let Some(link) = self.links.open.get_mut(&id) {
            link.queued = link.queued.saturating_sub(bytes);
        }
    }

    /// Gives up links on which more waits than is allowed: the other end does not read.
    pub(super) fn close_full_links(&mut self, now: Now) {
        let limit = self.config.link_sendbuf_limit;
        if limit == 0 {
            return;
        }
        let open = self.links.open.iter();
        let full: Vec<_> = open
            .filter(|(_, link)| link.queued > limit)
            .map(|(id, link)| (*id, link.queued))
            .collect();
        for (id, queued) in full {
            self.links.limit_exceeded += 1;
            let text = format_args!(
                "Freeing cluster link ({id:?}) that exceeds its limit: {queued} bytes wait, {limit} may."
            );
            self.log(LogLevel::Warning, text);
            self.close_link(now, id);
        }
    }

    /// A known node speaks on a link that it dialled: an older one that it dialled is not used any more, even if we did not hear
    /// of its end.
    pub(super) fn note_inbound(&mut self, now: Now, sender: PeerKey, id: LinkId) {
        let LinkId::Accepted(number) = id else { return };
        if let Some(old) = self.table[sender].inbound.replace(number)
            && old != number
        {
            self.close_link(now, LinkId::Accepted(old));
        }
    }

    /// Sends to every node that we have a link to and that is not in handshake.
    pub(super) fn broadcast(&mut self, body: &Body) {
        for key in self.table.keys() {
            if key != self.table.myself()
                && !self.table[key].is(NodeFlags::HANDSHAKE)
                && let Some(link) = self.link_to(key)
            {
                self.send(link, body.clone());
            }
        }
    }

    /// Our flags as others are told them.
    fn own_flags(&self) -> NodeFlags {
        let mut flags = self.me().flags;
        flags = flags
            .with(NodeFlags::EXTENSIONS)
            .with(NodeFlags::LIGHT_PUBLISH)
            .with(NodeFlags::MULTI_MEET);
        let is_down = |master: PeerKey| self.table[master].is(NodeFlags::FAIL);
        if self.my_master().is_some_and(is_down) {
            flags = flags.with(NodeFlags::MY_MASTER_FAIL);
        }
        flags
    }

    /// What every packet says about us. A replica says the slots and the config epoch of its master; that it is a
    /// replica tells the receiver how to take them.
    fn header(&self, version: Version, body: &Body) -> Header {
        let me = self.me();
        let master = self.my_master().map_or(me, |key| &self.table[key]);
        let paused = self.is_master() && self.manual_failover.is_running();
        let force = matches!(body, Body::FailoverAuthRequest) && self.forces_votes();
        let bits =
            if paused { Header::PAUSED } else { 0 } | if force { Header::FORCE_ACK } else { 0 };
        let own = me.addr;
        let v1 = version == Version::V1;
        // Those of 3.0 know the first flags only.
        let flags = if v1 {
            self.own_flags()
        } else {
            NodeFlags(self.own_flags().0 & NodeFlags::OF_VERSION_0)
        };
        let extensions = if v1 && matches!(body, Body::Ping { .. }) {
            Header::EXTENSIONS
        } else {
            0
        };
        Header {
            version,
            sender: me.id,
            current_epoch: self.said_epoch,
            config_epoch: master.config_epoch,
            repl_offset: self.facts.repl_offset,
            slots: std::sync::Arc::clone(master.slots()),
            master: me.master.map(|key| self.table[key].id),
            ip: WireIp::from(self.config.announce_ip.filter(|_| v1)),
            port: own.port,
            bus_port: if v1 { own.bus_port } else { 0 },
            tls_port: if v1 { me.other_port } else { 0 },
            flags,
            state: self.health.state.on_the_wire(),
            message_flags: [bits | extensions, 0, 0],
        }
    }
}
