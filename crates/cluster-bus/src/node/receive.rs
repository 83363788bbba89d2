//! A packet comes in: who sent it, and which rules look at it in which order. The rules are in the other modules.

use super::table::Addr;
use super::{Event, LinkId, LogLevel, Node, PeerKey};
use crate::message::{Body, Gossip, Header, Message, NodeFlags, PingKind};
use crate::{Now, codec};

impl Node {
    pub(super) fn receive(&mut self, now: Now, link: LinkId, message: Message) {
        if self.link(link).is_none() {
            return;
        }
        self.stats
            .received
            .count(&message.body, codec::encoded_len(&message));
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
            self.note_inbound(sender, link);
            self.note_epochs(sender, &header);
            self.table[sender].repl_offset = header.repl_offset;
            self.note_flags(sender, header.flags);
            self.note_paused_master(sender, &header);
        }
        match (body, sender) {
            (Body::Ping { kind, gossip, .. }, _) => {
                self.receive_ping(now, link, sender, &header, kind, &gossip);
            }
            (Body::Fail(failing), _) => self.receive_fail(now, sender, header.sender, failing),
            (Body::Publish { channel, message }, _) => {
                self.emit(Event::Publish { channel, message });
            }
            (Body::FailoverAuthRequest, Some(sender)) => {
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
        let own = NodeFlags::NOFAILOVER.with(NodeFlags::MY_MASTER_FAIL);
        let peer = &mut self.table[sender];
        if peer.is(NodeFlags::NOFAILOVER) != said.has(NodeFlags::NOFAILOVER) {
            self.todo.save = true;
        }
        peer.clear(own);
        peer.set(NodeFlags(said.0 & own.0));
    }

    fn receive_ping(
        &mut self,
        now: Now,
        link: LinkId,
        sender: Option<PeerKey>,
        header: &Header,
        kind: PingKind,
        gossip: &[Gossip],
    ) {
        if kind != PingKind::Pong {
            self.learn_own_address(link, kind);
            if sender.is_none() && kind == PingKind::Meet {
                self.meet_stranger(now, link, header);
            }
            self.send_ping(now, link, PingKind::Pong);
        }
        let Some(dialled) = self.link(link).map(|link| link.peer) else {
            return;
        };
        if let Some(peer) = dialled {
            if !self.recognise(now, link, peer, sender, header) {
                return;
            }
            if kind == PingKind::Pong {
                self.note_pong(now, peer);
            }
        }
        // A stranger, or one that has only just introduced itself: its claims are heard from the next packet on.
        let Some(sender) = sender else { return };
        if kind == PingKind::Ping {
            self.note_address(sender, link, header);
        }
        self.note_role(sender, header);
        self.leave_chain();
        self.note_slots(sender, header);
        self.resolve_collision(sender, header);
        self.hear_gossip(now, sender, gossip);
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
            return self.finish_handshake(link, peer, sender, header);
        }
        if self.table[peer].id == header.sender {
            return true;
        }
        self.close_link(link);
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
                self.forget_peer(peer);
            } else {
                // We have moved to where that node was.
                self.close_link(link);
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
        if self.table[sender].is_master() {
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
