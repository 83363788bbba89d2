//! How a stranger becomes a node: CLUSTER MEET, MEET packets and gossip start a handshake under a name drawn by
//! chance, the first PONG gives it its real one. Also how nodes learn each other's addresses and their own, and how
//! CLUSTER FORGET keeps gossip from bringing a node back.

use std::net::IpAddr;

use super::io::{Event, LinkId, LogLevel};
use super::state::Node;
use super::table::Addr;
use super::table::PeerKey;
use crate::message::{Header, NodeFlags, PingKind, Version};
use crate::{BUS_PORT_OFFSET, NodeId, Now};

/// Handshakes at a time. Redis has no bound; without one a peer could make us remember any number of addresses.
const MAX_HANDSHAKES: usize = 1000;

/// How often the addresses of `cluster-seeds` are asked at most.
const SEED_PERIOD_MS: u64 = 500;

impl Node {
    /// A handshake must be over after the node timeout, or after a second where that is shorter.
    pub(super) fn handshake_timeout_ms(&self) -> u64 {
        self.config.node_timeout_ms.max(1000)
    }

    /// Starts to get to know the node at an address; it will be greeted by MEET. False if the address cannot be one.
    /// An address that is being met already, or one too many, is not met again.
    pub(super) fn start_handshake(
        &mut self,
        now: Now,
        ip: Option<IpAddr>,
        port: u16,
        bus_port: u16,
    ) -> bool {
        let highest = u16::MAX - BUS_PORT_OFFSET;
        let (Some(ip), true) = (ip, port > 0 && (bus_port > 0 || port <= highest)) else {
            return false;
        };
        self.begin_handshake(
            now,
            NodeFlags::MEET,
            Addr::new(Some(ip.to_canonical()), port, bus_port),
            None,
        );
        true
    }

    fn begin_handshake(
        &mut self,
        now: Now,
        flags: NodeFlags,
        addr: Addr,
        version: Option<Version>,
    ) -> Option<PeerKey> {
        let met = |node: &super::table::Peer| node.is(NodeFlags::HANDSHAKE) && node.addr == addr;
        if self.table.handshakes() >= MAX_HANDSHAKES
            || self.table.peers().any(|(_, node)| met(node))
        {
            return None;
        }
        let id = NodeId::random(&mut self.rng);
        let shard = NodeId::random(&mut self.rng);
        let key = self.table.add_handshake(now, id, flags, addr, shard);
        self.table[key].version = version;
        Some(key)
    }

    /// A MEET from a node that we know: it has no link from us, so we may have one that leads nowhere.
    pub(super) fn meet_again(&mut self, now: Now, sender: PeerKey) {
        let known_for_ms = now.mono_ms.saturating_sub(self.table[sender].created_ms);
        if known_for_ms > self.handshake_timeout_ms() && self.table[sender].link.is_some() {
            let id = self.table[sender].id;
            let text = format_args!(
                "Freeing outbound link to node {id} after receiving a MEET packet from this known node"
            );
            self.log(LogLevel::Notice, text);
            self.hang_up(now, sender);
        }
    }

    /// A node that answers on our link but has none to us for long does not know us: it is met once more.
    pub(super) fn meet_if_one_sided(&mut self, now: Now, peer: PeerKey) {
        let one_sided = self.table[peer].inbound.is_none();
        let Some(link) = Some(peer)
            .filter(|_| one_sided)
            .and_then(|peer| self.link_to(peer))
        else {
            return;
        };
        let opened_ms = self.link(link).map_or(0, |link| link.opened.mono_ms);
        let node = &self.table[peer];
        let timeout_ms = self.handshake_timeout_ms();
        let since = |at_ms: u64| now.mono_ms.saturating_sub(at_ms) > timeout_ms;
        let down = NodeFlags::PFAIL.with(NodeFlags::FAIL);
        if node.is(NodeFlags::MULTI_MEET)
            && !node.is(down)
            // Who hung up while we did not has forgotten us on purpose.
            && node.no_inbound_since_ms <= opened_ms
            && since(opened_ms)
            && since(node.meet_sent_ms)
        {
            let id = node.id;
            self.table[peer].meet_sent_ms = now.mono_ms;
            let text = format_args!(
                "Sending MEET packet to node {id} because there is no inbound link for it"
            );
            self.log(LogLevel::Notice, text);
            self.send_ping(now, link, PingKind::Meet);
        }
    }

    /// A MEET from a node that we do not know: get to know it, too. It is at the other end of the socket.
    pub(super) fn meet_stranger(&mut self, now: Now, link: LinkId, header: &Header) {
        if let Some(ip) = self.ip_of_sender(link, header) {
            self.begin_handshake(
                now,
                NodeFlags::default(),
                Addr::new(Some(ip), header.port, header.bus_port),
                Some(header.version),
            );
            self.todo.save = true;
        }
    }

    /// The first packet from a node in handshake. True if the handshake has ended well and the link stays.
    pub(super) fn finish_handshake(
        &mut self,
        now: Now,
        link: LinkId,
        peer: PeerKey,
        sender: Option<PeerKey>,
        header: &Header,
    ) -> bool {
        if let Some(known) = sender {
            self.log(
                LogLevel::Verbose,
                format_args!(
                    "Handshake: we already know node {}, updating the address if needed.",
                    header.sender
                ),
            );
            self.note_address(now, known, link, header);
            self.forget_peer(now, peer);
            return false;
        }
        if self.table[peer].is_probe {
            let text = format_args!("Node {} of cluster-seeds does not know us.", header.sender);
            self.log(LogLevel::Verbose, text);
            self.forget_peer(now, peer);
            return false;
        }
        if self.table.find(header.sender).is_some() {
            // Two handshakes with one node at a time: the other one was first.
            self.forget_peer(now, peer);
            return false;
        }
        let old = self.table[peer].id;
        self.log(
            LogLevel::Debug,
            format_args!("Renaming node {old} into {}", header.sender),
        );
        self.log(
            LogLevel::Debug,
            format_args!("Handshake with node {} completed.", header.sender),
        );
        let role = if header.flags.has(NodeFlags::SLAVE) {
            NodeFlags::SLAVE
        } else {
            NodeFlags::MASTER
        };
        self.table.end_handshake(peer, header.sender, role);
        self.table[peer].version = Some(header.version);
        self.table[peer].other_port = header.tls_port;
        self.todo.save = true;
        true
    }

    /// Removes a node, its links and everything that pointed to it.
    pub(super) fn forget_peer(&mut self, now: Now, peer: PeerKey) {
        self.hang_up(now, peer);
        self.manual_failover.forget(peer);
        self.table.remove(peer);
    }

    /// Handshakes that nobody answered end here.
    pub(super) fn expire_handshake(&mut self, now: Now, peer: PeerKey) -> bool {
        if !self.table[peer].is(NodeFlags::HANDSHAKE) {
            return false;
        }
        let age_ms = now.mono_ms.saturating_sub(self.table[peer].created_ms);
        if age_ms > self.handshake_timeout_ms() {
            self.forget_peer(now, peer);
            return true;
        }
        self.try_other_version(now, peer, age_ms);
        false
    }

    /// Our own address is the one that others reach us by: a MEET was sent to the address that the user named, so it
    /// counts always; any ping will do as long as we know none.
    pub(super) fn learn_own_address(&mut self, link: LinkId, kind: PingKind) {
        let local = self.link(link).and_then(|link| link.local);
        let announced = self.config.announce_ip.is_some();
        let me = self.table.me_mut();
        if local.is_none()
            || announced
            || local == me.addr.ip
            || (kind != PingKind::Meet && me.addr.ip.is_some())
        {
            return;
        }
        me.addr.ip = local;
        if let Some(ip) = local {
            self.log(
                LogLevel::Warning,
                format_args!("IP address for this node updated to {ip}"),
            );
        }
        self.todo.save = true;
    }

    /// A ping shows where its sender is now: at the other end of the link, at the port that it names.
    pub(super) fn note_address(
        &mut self,
        now: Now,
        sender: PeerKey,
        link: LinkId,
        header: &Header,
    ) {
        let own = self.table[sender].link.map(LinkId::Dialled);
        let Some(ip) = self
            .ip_of_sender(link, header)
            .filter(|_| own != Some(link))
        else {
            return;
        };
        let addr = Addr::new(Some(ip), header.port, header.bus_port);
        self.table[sender].other_port = header.tls_port;
        if self.table[sender].addr == addr || header.port == 0 {
            return;
        }
        self.move_peer(now, sender, addr);
    }

    /// A node is somewhere else than it was.
    pub(super) fn move_peer(&mut self, now: Now, peer: PeerKey, addr: Addr) {
        self.hang_up(now, peer);
        let node = &mut self.table[peer];
        node.addr = addr;
        node.not_at = None;
        node.clear(NodeFlags::NOADDR);
        let label = node.label();
        if let Some(ip) = addr.ip {
            self.log(
                LogLevel::Notice,
                format_args!("Address updated for node {label}, now {ip}:{}", addr.port),
            );
        }
        if self.my_master() == Some(peer) {
            self.replicate_from(peer);
        }
        self.todo.save = true;
        self.todo.update_state = true;
    }

    /// Looks for lost nodes at the addresses that the configuration names, one after the other: whoever is there and knows us
    /// learns where we are, and tells the others.
    pub(super) fn ask_seeds(&mut self, now: Now) {
        let seeds = &self.config.seeds;
        if seeds.is_empty() || now.mono_ms < self.seeds.next_ms {
            return;
        }
        let lost = NodeFlags::NOADDR
            .with(NodeFlags::PFAIL)
            .with(NodeFlags::FAIL);
        let is_lost = |node: &super::table::Peer| node.is(lost) && !node.is(NodeFlags::HANDSHAKE);
        if !self.table.peers().any(|(_, node)| is_lost(node)) {
            return;
        }
        let seed = seeds[self.seeds.asked % seeds.len()];
        self.seeds.asked = self.seeds.asked.wrapping_add(1);
        self.seeds.next_ms = now.mono_ms + (self.config.node_timeout_ms / 4).max(SEED_PERIOD_MS);
        let addr = Addr {
            ip: Some(seed.ip().to_canonical()),
            port: 0,
            bus_port: seed.port(),
        };
        let is_there = |node: &super::table::Peer| {
            (node.addr.ip, node.addr.bus_port) == (addr.ip, addr.bus_port)
                && node.link.is_some()
                && !node.is(lost)
        };
        if self.table.peers().any(|(_, node)| is_there(node)) {
            return;
        }
        if let Some(key) = self.begin_handshake(now, NodeFlags::default(), addr, None) {
            self.table[key].is_probe = true;
        }
    }

    /// The address that the sender announces (version 1), or the other end of the link.
    fn ip_of_sender(&self, link: LinkId, header: &Header) -> Option<IpAddr> {
        let announced = header.ip.ip();
        announced.or_else(|| self.link(link).map(|link| link.remote))
    }

    /// Tells the server to copy this master, if its address is known.
    pub(super) fn replicate_from(&mut self, master: PeerKey) {
        let addr = self.table[master].addr;
        if let Some(ip) = addr.ip {
            self.replicating_from = Some((ip, addr.port));
            self.emit(Event::ReplicateFrom {
                ip,
                port: addr.port,
            });
        }
    }
}
