//! What the CLUSTER command shows: INFO, NODES, REPLICAS, and the text of nodes.conf. Changes nothing.

use std::fmt::Write;

use super::command_line::Outcome;
use super::commands::CommandError;
use super::io::{Caller, ClusterState};
use super::reply::Reply;
use super::state::Node;
use super::table::{Peer, PeerKey};
use crate::message::NodeFlags;
use crate::nodes_conf::{self, NodeLine, NodesConf};
use crate::{NodeId, Now, Slot};

impl Node {
    /// The id of this node.
    #[must_use]
    pub fn my_id(&self) -> NodeId {
        self.me().id
    }

    /// The shard of this node.
    #[must_use]
    pub fn my_shard(&self) -> NodeId {
        self.me().shard
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

    /// How many replicas this node is known to have, whatever their state.
    #[must_use]
    pub fn replica_count(&self) -> usize {
        self.me().replicas().len()
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

    /// Whether this node or its master owns a slot.
    #[must_use]
    pub fn is_of_my_shard(&self, slot: Slot) -> bool {
        let ours = self.my_master().unwrap_or(self.table.myself());
        self.table.owner(slot) == Some(ours)
    }

    /// A number that grows whenever slots change their owners or nodes their masters.
    #[must_use]
    pub fn map_changes(&self) -> u64 {
        self.table.changes
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
    pub fn cluster_nodes(&self, caller: Caller) -> String {
        self.table
            .peers()
            .fold(String::new(), |mut text, (key, _)| {
                let _ = writeln!(text, "{}", self.describe_to(caller, key));
                text
            })
    }

    /// CLUSTER REPLICAS: one line of CLUSTER NODES per replica.
    pub(super) fn replicas_of(&self, caller: Caller, id: &str) -> Outcome {
        let peer = self.named(id)?;
        if self.table[peer].is(NodeFlags::SLAVE) {
            return Err(CommandError::NotMaster);
        }
        let lines = self.table[peer].replicas().iter();
        let lines = lines.map(|key| Reply::text(&self.describe_to(caller, *key)));
        Ok(Reply::Array(lines.collect()))
    }

    /// The lines of CLUSTER NODES, one per node, in the order of ids.
    pub fn node_lines(&self) -> impl Iterator<Item = NodeLine> {
        self.table.peers().map(|(key, _)| self.describe(key))
    }

    /// What belongs into nodes.conf. Nodes in handshake do not: their ids are made up.
    #[must_use]
    pub fn nodes_conf(&self) -> NodesConf {
        NodesConf {
            nodes: self.saved_lines().collect(),
            current_epoch: self.current_epoch,
            last_vote_epoch: self.last_vote_epoch,
        }
    }

    /// The same as text, made line by line.
    #[must_use]
    pub fn nodes_conf_text(&self) -> String {
        nodes_conf::text(self.saved_lines(), self.current_epoch, self.last_vote_epoch)
    }

    fn saved_lines(&self) -> impl Iterator<Item = NodeLine> {
        self.node_lines()
            .filter(|line| !line.flags.has(NodeFlags::HANDSHAKE))
    }

    /// The port for clients with TLS, or without; 0: none.
    pub(super) fn client_port(&self, peer: &Peer, tls: bool) -> u16 {
        if tls == self.config.tls {
            peer.addr.port
        } else {
            peer.other_port
        }
    }

    /// A line for a client: with the address and the port that are meant for it.
    fn describe_to(&self, caller: Caller, key: PeerKey) -> NodeLine {
        let mut line = self.describe(key);
        let (ip, port) = self.endpoint(caller, &self.table[key]);
        line.port = port;
        line.ip_for_client = ip;
        line
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
            ip_for_client: String::new(),
            port: self.client_port(peer, false),
            bus_port: peer.addr.bus_port,
            tls_port: self.client_port(peer, true),
            announced: peer.announced.clone(),
            shard: Some(peer.shard),
            flags: peer.flags,
            master: peer.master.map(id_of),
            ping_sent: unix_ms(peer.ping_sent),
            pong_received: unix_ms(peer.pong_received),
            config_epoch: peer
                .master
                .map_or(peer.config_epoch, |key| self.table[key].config_epoch),
            connected: myself || self.link_to(key).is_some(),
            slots: (**peer.slots()).clone(),
            migrating: open(&self.table.migrating),
            importing: open(&self.table.importing),
        }
    }
}
