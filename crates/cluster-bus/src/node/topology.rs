//! CLUSTER SLOTS, SHARDS and LINKS: where clients find what, and by which names.

use std::collections::BTreeMap;

use super::io::{Caller, Endpoint};
use super::reply::Reply;
use super::state::Node;
use super::table::{Peer, PeerKey};
use crate::message::NodeFlags;
use crate::{NodeId, Slot};

impl Node {
    /// The address and the port of a node for a client, as text; empty where the address is unknown.
    pub(super) fn endpoint(&self, caller: Caller, peer: &Peer) -> (String, u16) {
        let announced = &peer.announced;
        let for_family = if caller.ipv6 {
            &announced.client_ipv6
        } else {
            &announced.client_ipv4
        };
        let ip = match for_family.as_str() {
            "" => peer.addr.ip.map(|ip| ip.to_string()).unwrap_or_default(),
            ip => ip.to_owned(),
        };
        let for_clients = if caller.tls {
            announced.client_tls_port
        } else {
            announced.client_port
        };
        let port = match for_clients {
            0 => self.client_port(peer, caller.tls),
            port => port,
        };
        (ip, port)
    }

    /// By which name a client is sent to a node: MOVED, ASK.
    pub(super) fn redirect_to(&self, caller: Caller, key: PeerKey) -> Option<(String, u16)> {
        let peer = &self.table[key];
        let (ip, port) = self.endpoint(caller, peer);
        if ip.is_empty() || port == 0 {
            return None;
        }
        let name = match self.config.preferred_endpoint {
            Endpoint::Ip => ip,
            Endpoint::Hostname if peer.announced.hostname.is_empty() => "?".to_owned(),
            Endpoint::Hostname => peer.announced.hostname.clone(),
            Endpoint::Unknown => String::new(),
        };
        Some((name, port))
    }

    /// The reply of CLUSTER SLOTS: per run of slots the first, the last, and its nodes, the master first. Replicas that are down, or have no
    /// data yet, are left out.
    #[must_use]
    pub fn cluster_slots(&self, caller: Caller) -> Reply {
        let mut runs: Vec<(Slot, Slot, PeerKey)> = Vec::new();
        for (key, peer) in self.table.peers() {
            let ranges = peer.slots().ranges().into_iter();
            runs.extend(ranges.map(|(first, last)| (first, last, key)));
        }
        runs.sort_unstable_by_key(|run| run.0);
        let mut shown: BTreeMap<PeerKey, Vec<Reply>> = BTreeMap::new();
        let replies = runs.into_iter().map(|(first, last, key)| {
            let nodes = shown.entry(key).or_insert_with(|| {
                let replicas = self.table[key].replicas().iter();
                let serving = replicas.filter(|key| {
                    let peer = &self.table[**key];
                    !peer.is(NodeFlags::FAIL) && self.offset_of(peer) != 0
                });
                std::iter::once(&key)
                    .chain(serving)
                    .map(|key| self.node_in_slots(caller, *key))
                    .collect()
            });
            let slot = |slot: Slot| Reply::Integer(slot.number().into());
            let run = [slot(first), slot(last)].into_iter();
            Reply::Array(run.chain(nodes.iter().cloned()).collect())
        });
        Reply::Array(replies.collect())
    }

    /// A node as CLUSTER SLOTS shows it: its preferred endpoint, its port, its id, and what else can be said of where it is.
    fn node_in_slots(&self, caller: Caller, key: PeerKey) -> Reply {
        let peer = &self.table[key];
        let (ip, port) = self.endpoint(caller, peer);
        let hostname = &peer.announced.hostname;
        let preferred = self.config.preferred_endpoint;
        let endpoint = match preferred {
            Endpoint::Ip => Reply::text(&ip),
            Endpoint::Hostname if hostname.is_empty() => Reply::text("?"),
            Endpoint::Hostname => Reply::text(hostname),
            Endpoint::Unknown => Reply::Null,
        };
        let mut more = Vec::new();
        if preferred != Endpoint::Ip {
            more.push(("ip", Reply::text(&ip)));
        }
        if preferred != Endpoint::Hostname && !hostname.is_empty() {
            more.push(("hostname", Reply::text(hostname)));
        }
        if !peer.announced.availability_zone.is_empty() {
            let zone = Reply::text(&peer.announced.availability_zone);
            more.push(("availability-zone", zone));
        }
        let id = Reply::text(&peer.id);
        Reply::Array(vec![endpoint, Reply::number(port), id, Reply::Map(more)])
    }

    /// The reply of CLUSTER SHARDS: per shard its slots, its nodes and its id.
    #[must_use]
    pub fn cluster_shards(&self, caller: Caller) -> Reply {
        let mut shards: BTreeMap<NodeId, Vec<&Peer>> = BTreeMap::new();
        for (_, peer) in self.table.peers() {
            shards.entry(peer.shard).or_default().push(peer);
        }
        let replies = shards.into_iter().map(|(id, nodes)| {
            let owner = nodes.iter().find(|node| !node.slots().is_empty());
            let ranges = owner.map(|node| node.slots().ranges()).unwrap_or_default();
            let bounds = ranges.into_iter().flat_map(|(first, last)| [first, last]);
            let slots = bounds.map(|slot| Reply::Integer(slot.number().into()));
            let nodes = nodes.iter().map(|node| self.node_in_shard(caller, node));
            Reply::Map(vec![
                ("slots", Reply::Array(slots.collect())),
                ("nodes", Reply::Array(nodes.collect())),
                ("id", Reply::text(&id)),
            ])
        });
        Reply::Array(replies.collect())
    }

    /// How far a node is in its stream; 0 for a replica whose data are of no place in it, as while it loads them.
    fn offset_of(&self, peer: &Peer) -> u64 {
        if peer.is(NodeFlags::MYSELF) {
            self.facts.repl_offset
        } else {
            peer.repl_offset
        }
    }

    fn node_in_shard(&self, caller: Caller, peer: &Peer) -> Reply {
        let (ip, _) = self.endpoint(caller, peer);
        let port = |tls: bool| self.endpoint(Caller { tls, ..caller }, peer).1;
        let announced = &peer.announced;
        let endpoint = match self.config.preferred_endpoint {
            Endpoint::Ip => ip.clone(),
            Endpoint::Hostname if announced.hostname.is_empty() => "?".to_owned(),
            Endpoint::Hostname => announced.hostname.clone(),
            Endpoint::Unknown => String::new(),
        };
        let offset = self.offset_of(peer);
        let (role, health) = match (peer.is(NodeFlags::SLAVE), peer.is(NodeFlags::FAIL)) {
            (true, true) => ("replica", "fail"),
            (true, false) if offset == 0 => ("replica", "loading"),
            (true, false) => ("replica", "online"),
            (false, true) => ("master", "fail"),
            (false, false) => ("master", "online"),
        };
        let mut fields = vec![("id", Reply::text(&peer.id))];
        for (name, tls) in [("port", false), ("tls-port", true)] {
            if self.client_port(peer, tls) != 0 {
                fields.push((name, Reply::number(port(tls))));
            }
        }
        fields.push(("ip", Reply::text(&ip)));
        fields.push(("endpoint", Reply::text(&endpoint)));
        if !announced.hostname.is_empty() {
            fields.push(("hostname", Reply::text(&announced.hostname)));
        }
        fields.push(("role", Reply::text(role)));
        fields.push(("replication-offset", Reply::number(offset)));
        fields.push(("health", Reply::text(health)));
        if !announced.availability_zone.is_empty() {
            let zone = Reply::text(&announced.availability_zone);
            fields.push(("availability-zone", zone));
        }
        Reply::Map(fields)
    }

    /// The reply of CLUSTER LINKS.
    #[must_use]
    pub fn cluster_links(&self) -> Reply {
        let links = self.links().filter_map(|link| {
            let node = link.node?;
            // Something waits to be written, or not; reading never stops.
            let events = if link.queued > 0 { "rw" } else { "r" };
            Some(Reply::Map(vec![
                (
                    "direction",
                    Reply::text(if link.inbound { "from" } else { "to" }),
                ),
                ("node", Reply::text(&node)),
                ("create-time", Reply::number(link.opened_unix_ms)),
                ("events", Reply::text(events)),
                ("send-buffer-allocated", Reply::number(link.queued)),
                ("send-buffer-used", Reply::number(link.queued)),
            ]))
        });
        Reply::Array(links.collect())
    }
}
