//! What a cluster looks like at one moment: nodes, roles, slots. Read from CLUSTER NODES, asked by the plans.
//!
//! Each node is described by its own words (the line marked `myself` of its own CLUSTER NODES), so two nodes
//! that both claim a slot both show it here.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use thiserror::Error;

use crate::{Address, SLOT_COUNT, Slot, SlotSet};

/// A node's name: 40 hexadecimal digits, lower case.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(String);

impl NodeId {
    /// The id as nodes write it.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.to_ascii_lowercase())
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<[u8]> for NodeId {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// Its name.
    pub id: NodeId,
    /// Where it serves clients. The host is empty in a node's own line before others told it its address.
    pub address: Address,
    /// The port of its cluster bus, where there can be one. Redis 3.0 does not tell it.
    pub bus_port: Option<u16>,
    /// Flags as printed, `myself` left out: `master`, `slave`, `fail`, `fail?`, `handshake`, `noaddr`, `noflags`.
    pub flags: Vec<String>,
    /// Whether the line was the reporting node's own.
    pub myself: bool,
    /// The master it replicates.
    pub master: Option<NodeId>,
    /// Its configuration epoch.
    pub config_epoch: u64,
    /// Whether the reporting node's bus link to it is up.
    pub connected: bool,
    /// Slots it owns.
    pub slots: SlotSet,
    /// Slots it is giving away, and to whom.
    pub migrating: BTreeMap<Slot, NodeId>,
    /// Slots it is receiving, and from whom.
    pub importing: BTreeMap<Slot, NodeId>,
}

impl Node {
    /// Whether a flag is set.
    #[must_use]
    pub fn has_flag(&self, flag: &str) -> bool {
        self.flags.iter().any(|other| other == flag)
    }

    /// Whether it is a master.
    #[must_use]
    pub fn is_master(&self) -> bool {
        self.has_flag("master")
    }

    /// Whether its address is known and it is in no handshake: it may be asked, whatever others think of it.
    #[must_use]
    pub fn has_address(&self) -> bool {
        self.address.port > 0
            && !self.address.host.is_empty()
            && !["noaddr", "handshake"]
                .iter()
                .any(|flag| self.has_flag(flag))
    }

    /// Whether the node can be called: its address is known, its handshake is over and it is not known to be down.
    #[must_use]
    pub fn is_callable(&self) -> bool {
        self.has_address() && !self.has_flag("fail")
    }

    /// The lines that check and reshard print about a node. `replicas`: how many replicate it, where known.
    #[must_use]
    pub fn describe(&self, replicas: Option<usize>) -> String {
        let role = if self.is_master() { 'M' } else { 'S' };
        let mut text = format!(
            "{role}: {} {}\n   slots:{} ({} slots) {}",
            self.id,
            self.address,
            self.slots,
            self.slots.len(),
            self.flags.join(",")
        );
        match (&self.master, replicas) {
            (Some(master), _) => text += &format!("\n   replicates {master}"),
            (None, Some(count)) if self.is_master() => {
                text += &format!("\n   {count} additional replica(s)");
            }
            _ => {}
        }
        text
    }
}

/// The nodes that answered, the one that was asked first at the head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Nodes that answered, in the order they were found.
    pub nodes: Vec<Node>,
    /// Nodes that others know and that could not be asked. Their slots are those that any node that answered
    /// believes to be theirs.
    pub missing: Vec<Node>,
}

impl Snapshot {
    /// The node of that name.
    #[must_use]
    pub fn node(&self, id: &NodeId) -> Option<&Node> {
        self.nodes.iter().find(|node| node.id == *id)
    }

    /// The node of that name, to change it.
    pub fn node_mut(&mut self, id: &NodeId) -> Option<&mut Node> {
        self.nodes.iter_mut().find(|node| node.id == *id)
    }

    /// The node whose name starts so, if there is exactly one.
    #[must_use]
    pub fn node_by_prefix(&self, prefix: &str) -> Option<&Node> {
        let prefix = prefix.to_ascii_lowercase();
        let mut found = self
            .nodes
            .iter()
            .filter(|node| node.id.0.starts_with(&prefix));
        let first = found.next()?;
        found.next().is_none().then_some(first)
    }

    /// The masters, in order.
    pub fn masters(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().filter(|node| node.is_master())
    }

    /// The names of the masters, in order.
    #[must_use]
    pub fn master_ids(&self) -> Vec<NodeId> {
        self.masters().map(|node| node.id.clone()).collect()
    }

    /// How many nodes replicate this one.
    #[must_use]
    pub fn replica_count(&self, id: &NodeId) -> usize {
        self.nodes
            .iter()
            .filter(|node| node.master.as_ref() == Some(id))
            .count()
    }

    /// The master with the fewest replicas (the first of several), `except` left out.
    #[must_use]
    pub fn master_with_least_replicas(&self, except: Option<&NodeId>) -> Option<&Node> {
        self.masters()
            .filter(|node| Some(&node.id) != except)
            .min_by_key(|node| self.replica_count(&node.id))
    }

    /// All slots that some node owns.
    #[must_use]
    pub fn covered(&self) -> SlotSet {
        self.nodes
            .iter()
            .flat_map(|node| node.slots.iter())
            .collect()
    }

    /// All slots that no node owns.
    #[must_use]
    pub fn uncovered(&self) -> SlotSet {
        self.covered().complement()
    }

    /// Slots that nobody who answered owns, but that belong to a node which could not be asked.
    #[must_use]
    pub fn withheld(&self) -> SlotSet {
        let covered = self.covered();
        let missing = self.missing.iter().flat_map(|node| node.slots.iter());
        missing.filter(|slot| !covered.contains(*slot)).collect()
    }

    /// Slots that nobody at all owns.
    #[must_use]
    pub fn unowned(&self) -> SlotSet {
        let withheld = self.withheld();
        let uncovered = self.uncovered();
        uncovered
            .iter()
            .filter(|slot| !withheld.contains(*slot))
            .collect()
    }

    /// The missing nodes that slots depend on: they own some that nobody else claims, or an open slot names them.
    #[must_use]
    pub fn needed(&self) -> Vec<&Node> {
        let withheld = self.withheld();
        let named: BTreeSet<&NodeId> = self
            .nodes
            .iter()
            .flat_map(|node| node.migrating.values().chain(node.importing.values()))
            .collect();
        let needed = |node: &&Node| {
            named.contains(&node.id) || node.slots.iter().any(|slot| withheld.contains(slot))
        };
        self.missing.iter().filter(needed).collect()
    }

    /// Slots that more than one master claims for itself.
    #[must_use]
    pub fn claimed_twice(&self) -> SlotSet {
        let (mut once, mut twice) = (SlotSet::default(), SlotSet::default());
        for slot in self.masters().flat_map(|node| node.slots.iter()) {
            if once.contains(slot) {
                twice.insert(slot);
            }
            once.insert(slot);
        }
        twice
    }

    /// All slots that some node is giving away or receiving.
    #[must_use]
    pub fn open_slots(&self) -> SlotSet {
        let open = |node: &Node| {
            node.migrating
                .keys()
                .chain(node.importing.keys())
                .copied()
                .collect::<Vec<_>>()
        };
        self.nodes.iter().flat_map(open).collect()
    }

    /// Masters that claim the slot.
    #[must_use]
    pub fn owners(&self, slot: Slot) -> Vec<NodeId> {
        self.masters()
            .filter(|node| node.slots.contains(slot))
            .map(|node| node.id.clone())
            .collect()
    }

    /// The address of a node, or its name where it is unknown: for messages.
    #[must_use]
    pub fn label(&self, id: &NodeId) -> String {
        self.node(id)
            .map_or_else(|| id.to_string(), |node| node.address.to_string())
    }
}

/// A reply of CLUSTER NODES that makes no sense.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("unreadable CLUSTER NODES line: '{0}'")]
pub struct ParseNodesError(String);

/// Reads a reply of CLUSTER NODES: `id address flags master ping pong epoch link [slots]`, one node a line.
///
/// Addresses may carry what later versions add (`@busport`, `,hostname`).
///
/// # Errors
///
/// The first line that does not parse.
pub fn parse_nodes(text: &str) -> Result<Vec<Node>, ParseNodesError> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines
        .map(|line| {
            let shown: String = line.chars().take(120).collect();
            parse_line(line).ok_or(ParseNodesError(shown))
        })
        .collect()
}

fn parse_line(line: &str) -> Option<Node> {
    let mut fields = line.split_ascii_whitespace();
    let id = NodeId::new(fields.next()?);
    let place = fields.next()?;
    let address = parse_address(place)?;
    let flags = fields.next()?;
    let master = fields.next()?;
    let (_ping_sent, _pong_received) = (fields.next()?, fields.next()?);
    let mut node = Node {
        id,
        bus_port: parse_bus_port(place).or_else(|| address.bus_port()),
        address,
        flags: flags
            .split(',')
            .filter(|flag| *flag != "myself")
            .map(str::to_owned)
            .collect(),
        myself: flags.split(',').any(|flag| flag == "myself"),
        master: (master != "-").then(|| NodeId::new(master)),
        config_epoch: fields.next()?.parse().ok()?,
        connected: fields.next()? == "connected",
        slots: SlotSet::default(),
        migrating: BTreeMap::new(),
        importing: BTreeMap::new(),
    };
    for field in fields {
        parse_slots(field, &mut node)?;
    }
    Some(node)
}

fn parse_address(field: &str) -> Option<Address> {
    let plain = field.split(['@', ',']).next()?;
    let (host, port) = plain.rsplit_once(':')?;
    Some(Address::new(host, port.parse().ok()?))
}

fn parse_bus_port(field: &str) -> Option<u16> {
    let (_, rest) = field.split_once('@')?;
    let port = rest.split(',').next()?.parse().ok()?;
    (port > 0).then_some(port)
}

/// `7`, `0-5460`, `[7->-id]` (giving away) or `[7-<-id]` (receiving).
fn parse_slots(field: &str, node: &mut Node) -> Option<()> {
    let slot = |text: &str| text.parse().ok().filter(|slot: &Slot| *slot < SLOT_COUNT);
    if let Some(open) = field.strip_prefix('[') {
        let open = open.strip_suffix(']').unwrap_or(open);
        if let Some((number, target)) = open.split_once("->-") {
            node.migrating.insert(slot(number)?, NodeId::new(target));
        } else {
            let (number, source) = open.split_once("-<-")?;
            node.importing.insert(slot(number)?, NodeId::new(source));
        }
        return Some(());
    }
    let (first, last) = field.split_once('-').unwrap_or((field, field));
    let (first, last) = (slot(first)?, slot(last)?);
    if first > last {
        return None;
    }
    node.slots.extend(first..=last);
    Some(())
}

/// What a node believes about who owns what: equal for all nodes of a cluster at rest. Open slots do not count.
#[must_use]
pub fn slots_signature(view: &[Node]) -> BTreeSet<(NodeId, String)> {
    let owners = view.iter().filter(|node| !node.slots.is_empty());
    owners
        .map(|node| (node.id.clone(), node.slots.to_string()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_all_kinds_parse() {
        let text = "\
a1 127.0.0.1:7000 myself,master - 0 0 1 connected 0-10 12 [13->-b2] [14-<-b2]\n\
b2 :0 slave,noaddr A1 0 0 5 disconnected\n\
c3 ::1:7002@7302,host.example master,fail? - 1 2 3 connected 20\n";
        let nodes = parse_nodes(text).unwrap();
        assert_eq!(nodes.len(), 3);
        assert!(nodes[0].myself && nodes[0].is_master() && nodes[0].connected);
        assert_eq!(nodes[0].slots.to_string(), "0-10,12");
        assert_eq!(nodes[0].migrating[&13], NodeId::new("b2"));
        assert_eq!(nodes[0].importing[&14], NodeId::new("b2"));
        assert!(!nodes[1].is_callable());
        assert_eq!(nodes[1].master, Some(NodeId::new("a1")));
        assert_eq!(nodes[2].address, Address::new("::1", 7002));
        let ports: Vec<_> = nodes.iter().map(|node| node.bus_port).collect();
        assert_eq!(ports, [Some(17000), Some(10000), Some(7302)]);
        assert!(nodes[2].is_callable());
    }

    #[test]
    fn nonsense_is_refused() {
        for slots in ["16384", "5-4", "x", "[5]", "[16384->-a]", "0-16384", "-1"] {
            let line = format!("a1 127.0.0.1:7000 master - 0 0 1 connected {slots}");
            assert!(parse_nodes(&line).is_err(), "{slots}");
        }
        let error = parse_nodes("a1 127.0.0.1 master").unwrap_err();
        assert_eq!(
            error.to_string(),
            "unreadable CLUSTER NODES line: 'a1 127.0.0.1 master'"
        );
    }
}
