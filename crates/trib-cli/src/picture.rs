//! A living cluster as something to look at: what two samples of it, one after the other, show. No I/O; the same
//! picture becomes text for a pipe and a screen for a terminal.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::progress::size;
use crate::snapshot::{Node, NodeId, Snapshot};
use crate::{SLOT_COUNT, Slot};

/// Slots of one place of the map.
const CELL_SLOTS: u16 = 64;
/// Places in one line of the map.
const MAP_WIDTH: usize = 64;
/// Events that are remembered.
const MOST_EVENTS: usize = 200;

/// What the columns of the table are called.
pub const COLUMNS: [&str; 10] = [
    "map", "node", "role", "state", "slots", "keys", "ops/s", "memory", "clients", "lag",
];

/// What was seen at one moment.
#[derive(Clone, Debug, Default)]
pub struct Sample {
    /// Whether these are servers without a cluster: there are no slots then.
    pub is_group: bool,
    /// The nodes in their own words, and those that could not be asked.
    pub snapshot: Snapshot,
    /// The fields of INFO of those that answered.
    pub info: BTreeMap<NodeId, BTreeMap<String, String>>,
    /// Why the others did not.
    pub reasons: BTreeMap<NodeId, String>,
    /// A line for each thing that a sentinel watches.
    pub sentinels: Vec<String>,
}

/// What is shown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Picture {
    /// The cluster in a line or two.
    pub headline: Vec<String>,
    /// A line for each node, in the columns of [`COLUMNS`].
    pub rows: Vec<Row>,
    /// Which letter of the table has which slots, a few lines.
    pub map: Vec<String>,
    /// Slots that are moving, and what sentinels say.
    pub notes: Vec<String>,
    /// What happened, the latest last.
    pub events: Vec<String>,
}

/// One node's line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// One text for each column.
    pub cells: [String; COLUMNS.len()],
    /// Whether the eye should be drawn to it.
    pub alarming: bool,
}

/// Remembers what was seen last, and tells what is different.
#[derive(Debug, Default)]
pub struct Watcher {
    previous: Option<BTreeMap<NodeId, Seen>>,
    events: VecDeque<String>,
}

/// What is compared from one sample to the next.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    name: String,
    role: String,
    state: String,
    slots: usize,
}

impl Watcher {
    /// Takes in a sample; what there is to show.
    pub fn take(&mut self, sample: &Sample, since_start: Duration) -> Picture {
        let seen = sample.seen();
        let stamp = since_start.as_secs();
        let previous = self.previous.replace(seen.clone());
        for event in previous
            .map(|previous| changes(&previous, &seen))
            .unwrap_or_default()
        {
            if self.events.len() == MOST_EVENTS {
                self.events.pop_front();
            }
            self.events.push_back(format!("+{stamp} s: {event}"));
        }
        let letters = letters(&sample.snapshot);
        Picture {
            headline: sample.headline(),
            rows: sample.rows(&letters),
            map: if sample.is_group {
                Vec::new()
            } else {
                map(&sample.snapshot, &letters)
            },
            notes: sample.notes(),
            events: self.events.iter().cloned().collect(),
        }
    }
}

fn changes(before: &BTreeMap<NodeId, Seen>, now: &BTreeMap<NodeId, Seen>) -> Vec<String> {
    let mut events = Vec::new();
    for (id, new) in now {
        let name = &new.name;
        let Some(old) = before.get(id) else {
            events.push(format!("{name} is new, as a {}", new.role));
            continue;
        };
        for (what, old, new) in [
            ("role", &old.role, &new.role),
            ("state", &old.state, &new.state),
        ] {
            if old != new {
                events.push(format!("{name}: its {what} was '{old}' and is '{new}'"));
            }
        }
        if old.slots != new.slots {
            events.push(format!(
                "{name} had {} slots and has {}",
                old.slots, new.slots
            ));
        }
    }
    for old in before
        .iter()
        .filter(|(id, _)| !now.contains_key(*id))
        .map(|(_, old)| old)
    {
        events.push(format!("{} is no longer part of the cluster", old.name));
    }
    events
}

impl Sample {
    fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.snapshot.nodes.iter().chain(&self.snapshot.missing)
    }

    fn field(&self, id: &NodeId, name: &str) -> Option<&str> {
        self.info.get(id)?.get(name).map(String::as_str)
    }

    fn number(&self, id: &NodeId, name: &str) -> Option<u64> {
        self.field(id, name)?.parse().ok()
    }

    fn keys(&self, id: &NodeId) -> u64 {
        let databases = self.info.get(id).into_iter().flatten();
        let databases = databases.filter(|(name, _)| {
            name.strip_prefix("db")
                .is_some_and(|number| number.parse::<u32>().is_ok())
        });
        let keys = databases.filter_map(|(_, text)| {
            text.strip_prefix("keys=")?
                .split(',')
                .next()?
                .parse::<u64>()
                .ok()
        });
        keys.fold(0, u64::saturating_add)
    }

    fn name(&self, node: &Node) -> String {
        if node.has_address() {
            node.address.to_string()
        } else {
            node.id.as_str().chars().take(8).collect()
        }
    }

    fn role(&self, node: &Node) -> String {
        let Some(master) = &node.master else {
            return "master".into();
        };
        let of = self.nodes().find(|other| other.id == *master);
        format!(
            "replica of {}",
            of.map_or_else(|| "?".into(), |of| self.name(of))
        )
    }

    fn state(&self, node: &Node) -> String {
        if self.snapshot.node(&node.id).is_none() {
            let reason = self.reasons.get(&node.id).map_or("failed", String::as_str);
            return format!("unreachable: {reason}");
        }
        if self.field(&node.id, "master_link_status") == Some("down") {
            return "no link to its master".into();
        }
        if self.field(&node.id, "loading") == Some("1") {
            return "loading".into();
        }
        match self.field(&node.id, "cluster_state") {
            Some("ok") | None => "ok".into(),
            Some(other) => format!("cluster {other}"),
        }
    }

    fn seen(&self) -> BTreeMap<NodeId, Seen> {
        let one = |node: &Node| Seen {
            name: self.name(node),
            role: self.role(node),
            state: self.state(node),
            slots: node.slots.len(),
        };
        self.nodes()
            .map(|node| (node.id.clone(), one(node)))
            .collect()
    }

    fn headline(&self) -> Vec<String> {
        let snapshot = &self.snapshot;
        let sum = |name: &str| {
            let values = snapshot
                .nodes
                .iter()
                .filter_map(|node| self.number(&node.id, name));
            values.fold(0, u64::saturating_add)
        };
        let keys = snapshot
            .masters()
            .fold(0, |sum: u64, node| sum.saturating_add(self.keys(&node.id)));
        let (masters, nodes) = (snapshot.masters().count(), snapshot.nodes.len());
        let what = match (self.is_group, nodes) {
            (true, 1) => "1 server".to_owned(),
            (true, _) => format!("{nodes} servers"),
            (false, _) => {
                let covered = snapshot.covered().len();
                format!("{nodes} nodes, {masters} masters; {covered} of {SLOT_COUNT} slots covered")
            }
        };
        let mut lines = vec![format!(
            "{what}; {keys} keys, {}, {} ops/s",
            size(sum("used_memory")),
            sum("instantaneous_ops_per_sec"),
        )];
        let missing = snapshot.missing.len();
        if missing > 0 {
            lines.push(format!("{missing} nodes can't be reached"));
        }
        lines
    }

    fn rows(&self, letters: &BTreeMap<NodeId, char>) -> Vec<Row> {
        let mut nodes: Vec<&Node> = self.nodes().collect();
        // A master, then its replicas.
        let group = |node: &Node| {
            let master = node.master.as_ref().unwrap_or(&node.id);
            let first = self
                .nodes()
                .find(|other| other.id == *master)
                .and_then(|node| node.slots.iter().next());
            (
                first.unwrap_or(SLOT_COUNT),
                master.clone(),
                node.master.is_some(),
                self.name(node),
            )
        };
        nodes.sort_by_cached_key(|node| group(node));
        nodes
            .into_iter()
            .map(|node| self.row(node, letters))
            .collect()
    }

    fn row(&self, node: &Node, letters: &BTreeMap<NodeId, char>) -> Row {
        let id = &node.id;
        let state = self.state(node);
        let text = |name: &str| {
            self.number(id, name)
                .map_or_else(|| "-".into(), |number| number.to_string())
        };
        let lag = node.master.as_ref().and_then(|master| {
            let sent = self.number(master, "master_repl_offset")?;
            Some(sent.saturating_sub(self.number(id, "slave_repl_offset")?))
        });
        Row {
            alarming: state != "ok",
            cells: [
                letters.get(id).map(char::to_string).unwrap_or_default(),
                self.name(node),
                self.role(node),
                state,
                if node.master.is_some() || self.is_group {
                    "-".into()
                } else {
                    node.slots.len().to_string()
                },
                if self.info.contains_key(id) {
                    self.keys(id).to_string()
                } else {
                    "-".into()
                },
                text("instantaneous_ops_per_sec"),
                self.number(id, "used_memory")
                    .map_or_else(|| "-".into(), size),
                text("connected_clients"),
                lag.map_or_else(|| "-".into(), size),
            ],
        }
    }

    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for node in &self.snapshot.nodes {
            let mut routes: BTreeMap<&NodeId, crate::SlotSet> = BTreeMap::new();
            for (slot, target) in &node.migrating {
                routes.entry(target).or_default().insert(*slot);
            }
            for (target, slots) in routes {
                let (from, to) = (self.name(node), self.snapshot.label(target));
                notes.push(format!("slots {slots} are moving from {from} to {to}"));
            }
        }
        notes.extend(self.sentinels.iter().cloned());
        notes
    }
}

/// A letter for each master, in the order of their slots.
fn letters(snapshot: &Snapshot) -> BTreeMap<NodeId, char> {
    let masters = snapshot.nodes.iter().chain(&snapshot.missing);
    let mut masters: Vec<(Slot, &NodeId)> = masters
        .filter_map(|node| Some((node.slots.iter().next()?, &node.id)))
        .collect();
    masters.sort_unstable();
    let letters = ('A'..='Z').chain('a'..='z').chain(std::iter::repeat('#'));
    masters
        .into_iter()
        .map(|(_, id)| id.clone())
        .zip(letters)
        .collect()
}

/// One letter for each stretch of slots: of its owner; `+` for several, `*` where slots move, `.` for nobody.
fn map(snapshot: &Snapshot, letters: &BTreeMap<NodeId, char>) -> Vec<String> {
    let open = snapshot.open_slots();
    let mut owners: Vec<Option<char>> = vec![None; usize::from(SLOT_COUNT)];
    for node in snapshot.missing.iter().chain(&snapshot.nodes) {
        for slot in node.slots.iter() {
            owners[usize::from(slot)] = letters.get(&node.id).copied();
        }
    }
    let cell = |first: Slot| {
        if (first..first + CELL_SLOTS).any(|slot| open.contains(slot)) {
            return '*';
        }
        let owner = owners[usize::from(first)];
        if (first..first + CELL_SLOTS).all(|slot| owners[usize::from(slot)] == owner) {
            owner.unwrap_or('.')
        } else {
            '+'
        }
    };
    let cells: Vec<char> = (0..SLOT_COUNT / CELL_SLOTS)
        .map(|index| cell(index * CELL_SLOTS))
        .collect();
    cells
        .chunks(MAP_WIDTH)
        .map(|line| line.iter().collect())
        .collect()
}

impl Picture {
    /// The picture as lines for a pipe.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = self.headline.join("\n") + "\n";
        let mut widths = COLUMNS.map(str::len);
        for row in &self.rows {
            for (width, cell) in widths.iter_mut().zip(&row.cells) {
                *width = (*width).max(cell.chars().count());
            }
        }
        let mut line = |cells: [&str; COLUMNS.len()]| {
            let cells = cells
                .iter()
                .zip(widths)
                .map(|(cell, width)| format!("{cell:width$}"));
            let cells: Vec<String> = cells.collect();
            text += cells.join("  ").trim_end();
            text.push('\n');
        };
        line(COLUMNS);
        for row in &self.rows {
            line(row.cells.each_ref().map(String::as_str));
        }
        for more in self.map.iter().chain(&self.notes).chain(&self.events) {
            text += more;
            text.push('\n');
        }
        text
    }
}
