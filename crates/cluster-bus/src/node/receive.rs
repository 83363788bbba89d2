//! A packet comes in: who sent it, and which rules look at it in which order. The rules are in the other modules.

use super::io::{Event, LinkId, LogLevel};
use super::state::Node;
use super::table::Addr;
use super::table::PeerKey;
use crate::message::{
    Body, Extensions, Gossip, Header, Message, NodeFlags, Packet, PingKind, Version,
};
use crate::{Now, codec};

impl Node {
    /// Counts a packet, whatever becomes of it.
    pub(super) fn count_received(&mut self, link: LinkId, packet: &Packet) {
        if self.link(link).is_some() {
            let bytes = codec::encoded_len(packet);
            self.stats.received.count(packet, bytes);
        }
    }

    pub(super) fn receive(&mut self, now: Now, link: LinkId, packet: Packet) {
        if self.link(link).is_none() {
            return;
        }
        match packet {
            Packet::Full(message) => self.receive_message(now, link, *message),
            // Without a header only the link says who sends it.
            Packet::Light(published) if self.is_known_sender(link) => {
                self.emit(Event::Publish(published));
            }
            Packet::Light(_) => {
                self.log(
                    LogLevel::Notice,
                    format_args!("Closing a link whose first message is a lightweight one"),
                );
                self.close_link(now, link);
            }
        }
    }

    fn is_known_sender(&self, link: LinkId) -> bool {
        match link {
            LinkId::Accepted(number) => self.table.is_inbound(number),
            LinkId::Dialled(_) => self
                .link(link)
                .and_then(|link| link.peer)
                .is_some_and(|peer| !self.table[peer].is(NodeFlags::HANDSHAKE)),
        }
    }

    fn receive_message(&mut self, now: Now, link: LinkId, message: Message) {
        let Message { header, body } = message;
        let sender = self
            .table
            .find(header.sender)
            .filter(|key| !self.table[*key].is(NodeFlags::HANDSHAKE));
        if sender.is_some() && self.epoch_is_made_up(now, &header, &body) {
            return;
        }
        self.learn_version(now, link, sender, header.version);
        if sender == Some(self.table.myself()) {
            self.hear_myself(now, link, &body);
            return;
        }
        if let Some(sender) = sender {
            self.note_inbound(now, sender, link);
            self.table[sender].heard_ms = now.mono_ms;
            self.note_epochs(sender, &header);
            self.table[sender].repl_offset = header.repl_offset;
            self.note_flags(sender, header.flags);
            self.note_paused_master(sender, &header);
        }
        match (body, sender) {
            (
                Body::Ping {
                    kind,
                    gossip,
                    extensions,
                },
                _,
            ) => {
                if self.receive_ping(now, link, sender, &header, kind, &gossip)
                    && let Some(sender) = sender
                {
                    self.note_extensions(now, sender, header.version, extensions);
                }
            }
            (Body::Fail(failing), _) => self.receive_fail(now, sender, header.sender, failing),
            (Body::Publish(published), Some(_)) => self.emit(Event::Publish(published)),
            (Body::FailoverAuthRequest, Some(sender)) => {
                self.note_rival(now, sender, &header);
                self.consider_vote(link, sender, &header);
            }
            (Body::FailoverAuthAck, Some(sender)) => self.count_vote(sender, &header),
            (Body::ManualFailoverStart, Some(sender)) => self.start_pause(now, link, sender),
            (
                Body::Update {
                    node,
                    config_epoch,
                    slots,
                },
                Some(_),
            ) => {
                self.receive_update(node, config_epoch, &slots);
            }
            (_, None) => {}
        }
    }

    /// Flags that a node says about itself.
    fn note_flags(&mut self, sender: PeerKey, said: NodeFlags) {
        let own = NodeFlags::NOFAILOVER
            .with(NodeFlags::MY_MASTER_FAIL)
            .with(NodeFlags::EXTENSIONS)
            .with(NodeFlags::LIGHT_PUBLISH)
            .with(NodeFlags::MULTI_MEET);
        let peer = &mut self.table[sender];
        if peer.is(NodeFlags::NOFAILOVER) != said.has(NodeFlags::NOFAILOVER) {
            self.todo.save = true;
        }
        peer.clear(own);
        peer.set(NodeFlags(said.0 & own.0));
    }

    /// True if the sender is known, and was heard to the end.
    fn receive_ping(
        &mut self,
        now: Now,
        link: LinkId,
        sender: Option<PeerKey>,
        header: &Header,
        kind: PingKind,
        gossip: &[Gossip],
    ) -> bool {
        if kind != PingKind::Pong {
            self.learn_own_address(link, kind);
            match sender {
                None if kind == PingKind::Meet => {
                    self.meet_stranger(now, link, header);
                    self.hear_of_strangers(now, gossip);
                }
                Some(sender) if kind == PingKind::Meet => self.meet_again(now, sender),
                _ => {}
            }
            self.send_ping(now, link, PingKind::Pong);
        }
        let Some(dialled) = self.link(link).map(|link| link.peer) else {
            return false;
        };
        if let Some(peer) = dialled {
            if !self.recognise(now, link, peer, sender, header) {
                return false;
            }
            if kind == PingKind::Pong {
                self.note_pong(now, peer);
                self.introduce_ourselves(now, link, peer);
            }
        }
        // A stranger, or one that has only just introduced itself: its claims are heard from the next packet on.
        let Some(sender) = sender else { return false };
        if kind == PingKind::Ping {
            self.note_address(now, sender, link, header);
        }
        self.note_role(sender, header);
        self.leave_chain();
        self.note_slots(sender, header);
        self.resolve_collision(sender, header);
        self.hear_gossip(now, sender, header.version, gossip);
        true
    }

    /// A node that we know from others only has answered, under the name that they told: now that it is sure to be of our cluster, it
    /// is met, for it may not know us.
    fn introduce_ourselves(&mut self, now: Now, link: LinkId, peer: PeerKey) {
        if self.table[peer].is(NodeFlags::MEET) {
            self.table[peer].clear(NodeFlags::MEET);
            if self.table[peer].inbound.is_none() {
                self.table[peer].meet_sent_ms = now.mono_ms;
                self.send_ping(now, link, PingKind::Meet);
            }
        }
    }

    /// What a ping of version 1 says beside its header. What it does not say is not so any more.
    fn note_extensions(
        &mut self,
        now: Now,
        sender: PeerKey,
        version: Version,
        extensions: Extensions,
    ) {
        if version == Version::V0 {
            return;
        }
        let Extensions {
            announced,
            forgotten,
            shard,
        } = extensions;
        if self.table[sender].announced != announced {
            self.table[sender].announced = announced;
            self.todo.save = true;
        }
        // A replica's shard is its master's, whatever it says itself.
        if let Some(shard) = shard.filter(|_| self.table[sender].master.is_none()) {
            self.todo.save |= self.table.set_shard(sender, shard);
        }
        for (id, ttl_s) in forgotten {
            self.forget_because_told(now, sender, id, ttl_s);
        }
    }

    /// Whether the node at the end of a dialled link is the one we dialled. Ends a handshake, and unmasks a node that
    /// is no longer where it was.
    fn recognise(
        &mut self,
        now: Now,
        link: LinkId,
        peer: PeerKey,
        sender: Option<PeerKey>,
        header: &Header,
    ) -> bool {
        if self.table[peer].is(NodeFlags::HANDSHAKE) {
            return self.finish_handshake(now, link, peer, sender, header);
        }
        if self.table[peer].id == header.sender {
            return true;
        }
        self.close_link(now, link);
        self.lose_address(now, peer);
        false
    }

    /// Somebody else is where we looked for a node: it cannot be reached any more, until it or another one says where it is.
    fn lose_address(&mut self, now: Now, peer: PeerKey) {
        let id = self.table[peer].id;
        self.log(
            LogLevel::Notice,
            format_args!("PONG contains mismatching sender ID. About node {id}"),
        );
        let node = &mut self.table[peer];
        let addr = std::mem::replace(&mut node.addr, Addr::UNKNOWN);
        node.set(NodeFlags::NOADDR);
        node.not_at = Some((addr, now.mono_ms));
        self.suspect(now, peer);
        self.todo.save = true;
    }

    /// A node that was told to meet itself may learn its address that way; one that dialled another node that it is not there.
    fn hear_myself(&mut self, now: Now, link: LinkId, body: &Body) {
        let Body::Ping { kind, .. } = body else {
            return;
        };
        if *kind != PingKind::Pong {
            self.learn_own_address(link, *kind);
            self.send_ping(now, link, PingKind::Pong);
        } else if let Some(peer) = self.link(link).and_then(|link| link.peer) {
            if self.table[peer].is(NodeFlags::HANDSHAKE) {
                self.forget_peer(now, peer);
            } else {
                // We have moved to where that node was.
                self.close_link(now, link);
                self.lose_address(now, peer);
            }
        }
    }

    /// Master or replica, and whose: as the sender says it.
    fn note_role(&mut self, sender: PeerKey, header: &Header) {
        let Some(master_id) = header.master else {
            self.turn_into_master(sender);
            return;
        };
        let was_master = self.table[sender].is_master();
        if was_master {
            for slot in std::sync::Arc::clone(self.table[sender].slots()).iter() {
                self.table.set_owner(slot, None);
            }
            self.table[sender].clear(NodeFlags::MASTER.with(NodeFlags::MIGRATE_TO));
            self.table[sender].set(NodeFlags::SLAVE);
            self.todo.save = true;
            self.todo.update_state = true;
        }
        let Some(master) = self.table.find(master_id) else {
            return;
        };
        if was_master && master != sender {
            self.note_successor(sender, master, header);
        }
        if master != sender && self.table[sender].master != Some(master) {
            self.table.attach_replica(master, sender);
            self.todo.save = true;
        }
    }

    /// A node that we took for a replica says, or is said, to be a master. It may have left a master without
    /// replicas, or have replicas of its own to give: then others may migrate to it.
    pub(super) fn turn_into_master(&mut self, peer: PeerKey) {
        if self.table[peer].is_master() {
            return;
        }
        if self.table[peer].master.is_some() {
            self.table.detach_replica(peer);
            if peer != self.table.myself() {
                self.table[peer].set(NodeFlags::MIGRATE_TO);
            }
        }
        self.table[peer].clear(NodeFlags::SLAVE);
        self.table[peer].set(NodeFlags::MASTER);
        self.todo.save = true;
        self.todo.update_state = true;
    }
}
