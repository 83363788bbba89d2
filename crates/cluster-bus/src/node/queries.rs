//! What the CLUSTER command shows: INFO, NODES, SLOTS, SLAVES, and the text of nodes.conf. Changes nothing.

use std::fmt::Write;
use std::net::IpAddr;

use super::{ClusterState, Node, PeerKey};
use crate::message::NodeFlags;
use crate::nodes_conf::{NodeLine, NodesConf};
use crate::{NodeId, Now, Slot};

/// A run of slots and who serves it, as CLUSTER SLOTS of 3.0 shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlotRange {
    /// First slot.
    pub first: Slot,
    /// Last slot.
    pub last: Slot,
    /// Address and port of the master, then of its replicas that are not down. An address may be unknown.
    pub nodes: Vec<(Option<IpAddr>, u16)>,
}

impl Node {
    /// The id of this node.
    #[must_use]
    pub fn my_id(&self) -> NodeId {
        self.me().id
    }

    /// Whether the cluster is ok for this node.
    #[must_use]
    pub fn state(&self) -> ClusterState {
        self.health.state
    }

    /// Whether this node is a replica.
    #[must_use]
    pub fn is_replica(&self) -> bool {
        !self.is_master()
    }

    /// The id of this node's master.
    #[must_use]
    pub fn master_id(&self) -> Option<NodeId> {
        self.my_master().map(|key| self.table[key].id)
    }

    /// Who owns a slot.
    #[must_use]
    pub fn owner(&self, slot: Slot) -> Option<NodeId> {
        self.table.owner(slot).map(|key| self.table[key].id)
    }

    /// Whether this node owns a slot.
    #[must_use]
    pub fn is_mine(&self, slot: Slot) -> bool {
        self.table.owner(slot) == Some(self.table.myself())
    }

    /// The newest epoch that this node knows.
    #[must_use]
    pub fn current_epoch(&self) -> u64 {
        self.current_epoch
    }

    /// This node's own config epoch.
    #[must_use]
    pub fn config_epoch(&self) -> u64 {
        self.me().config_epoch
    }

    /// The reply of CLUSTER INFO.
    #[must_use]
    pub fn cluster_info(&self) -> String {
        let (mut ok, mut pfail, mut fail) = (0u32, 0, 0);
        // Nodes and among them voters that are suspected, and that are down.
        let (mut suspects, mut suspect_voters, mut failed, mut failed_voters) = (0u32, 0u32, 0, 0);
        for (_, peer) in self.table.peers() {
            let slots = u32::from(peer.slots().len());
            let votes = u32::from(peer.is_master() && slots > 0);
            if peer.is(NodeFlags::FAIL) {
                fail += slots;
                (failed, failed_voters) = (failed + 1, failed_voters + votes);
            } else if peer.is(NodeFlags::PFAIL) {
                pfail += slots;
                (suspects, suspect_voters) = (suspects + 1, suspect_voters + votes);
            } else {
                ok += slots;
            }
        }
        let epoch_of = self.my_master().map_or(self.me(), |key| &self.table[key]);
        let lines: [(&str, &dyn std::fmt::Display); 13] = [
            ("state", &self.health.state.as_str()),
            ("slots_assigned", &(ok + pfail + fail)),
            ("slots_ok", &ok),
            ("slots_pfail", &pfail),
            ("slots_fail", &fail),
            ("nodes_pfail", &suspects),
            ("nodes_fail", &failed),
            ("voting_nodes_pfail", &suspect_voters),
            ("voting_nodes_fail", &failed_voters),
            ("known_nodes", &self.table.len()),
            ("size", &self.health.size),
            ("current_epoch", &self.current_epoch),
            ("my_epoch", &epoch_of.config_epoch),
        ];
        let mut text = lines.iter().fold(String::new(), |mut text, (name, value)| {
            // Writing to a String cannot fail.
            let _ = write!(text, "cluster_{name}:{value}\r\n");
            text
        });
        self.stats.write(&mut text);
        let exceeded = self.links.limit_exceeded;
        let _ = write!(
            text,
            "total_cluster_links_buffer_limit_exceeded:{exceeded}\r\n"
        );
        text
    }

    /// The reply of CLUSTER NODES.
    #[must_use]
    pub fn cluster_nodes(&self) -> String {
        self.node_lines().fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "{line}");
            text
        })
    }

    /// The lines of CLUSTER NODES, one per node, in the order of ids.
    pub fn node_lines(&self) -> impl Iterator<Item = NodeLine> {
        self.table.peers().map(|(key, _)| self.describe(key))
    }

    /// What belongs into nodes.conf. Nodes in handshake do not: their ids are made up.
    #[must_use]
    pub fn nodes_conf(&self) -> NodesConf {
        let nodes = self
            .node_lines()
            .filter(|line| !line.flags.has(NodeFlags::HANDSHAKE))
            .collect();
        NodesConf {
            nodes,
            current_epoch: self.current_epoch,
            last_vote_epoch: self.last_vote_epoch,
        }
    }

    /// The reply of CLUSTER SLOTS.
    #[must_use]
    pub fn cluster_slots(&self) -> Vec<SlotRange> {
        let mut ranges = Vec::new();
        for (_, master) in self.table.peers().filter(|(_, peer)| peer.is_master()) {
            let replicas = master.replicas().iter().map(|key| &self.table[*key]);
            let shown = std::iter::once(master)
                .chain(replicas.filter(|replica| !replica.is(NodeFlags::FAIL)));
            let nodes: Vec<_> = shown.map(|peer| (peer.addr.ip, peer.addr.port)).collect();
            let of_master = master.slots().ranges().into_iter();
            ranges.extend(of_master.map(|(first, last)| SlotRange {
                first,
                last,
                nodes: nodes.clone(),
            }));
        }
        ranges
    }

    pub(super) fn describe(&self, key: PeerKey) -> NodeLine {
        let peer = &self.table[key];
        let myself = key == self.table.myself();
        let unix_ms = |at: Option<Now>| at.map_or(0, |at| at.unix_ms);
        let id_of = |key: PeerKey| self.table[key].id;
        let open = |slots: &std::collections::BTreeMap<Slot, PeerKey>| {
            slots
                .iter()
                .filter(|_| myself)
                .map(|(slot, other)| (*slot, id_of(*other)))
                .collect()
        };
        NodeLine {
            id: peer.id,
            ip: peer.addr.ip,
            port: peer.addr.port,
            bus_port: peer.addr.unusual_bus_port(),
            flags: peer.flags,
            master: peer.master.map(id_of),
            ping_sent: unix_ms(peer.ping_sent),
            pong_received: unix_ms(peer.pong_received),
            config_epoch: peer.config_epoch,
            connected: myself || self.link_to(key).is_some(),
            slots: (**peer.slots()).clone(),
            migrating: open(&self.table.migrating),
            importing: open(&self.table.importing),
        }
    }
}
