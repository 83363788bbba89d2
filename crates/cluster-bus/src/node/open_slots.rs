//! Slots that move key by key: which are open here, and how replicas come to know it.
//!
//! A replica hears of a slot from its master's stream, or finds it in the dump that it copies. The node at the other end may then be
//! one that it has not met yet: the slot is kept in mind until it has.

use std::fmt::Write as _;

use super::io::LogLevel;
use super::state::Node;
use super::table::Way;
use super::table::{PeerKey, Table};
use crate::{NodeId, Now, Slot};

impl Table {
    /// Opens a slot. It waits until the other node is known.
    pub(super) fn open(&mut self, slot: Slot, way: Way, other: NodeId) {
        self.awaited.remove(&(slot, way));
        match (self.find(other), way) {
            (Some(peer), Way::Out) => _ = self.migrating.insert(slot, peer),
            (Some(peer), Way::In) => _ = self.importing.insert(slot, peer),
            (None, way) => _ = self.awaited.insert((slot, way), other),
        }
    }

    /// A node is known by its name from now on.
    pub(super) fn open_awaited(&mut self, peer: PeerKey) {
        let id = self[peer].id;
        let of = |(at, other): (&(Slot, Way), &NodeId)| (*other == id).then_some(*at);
        let found: Vec<(Slot, Way)> = self.awaited.iter().filter_map(of).collect();
        for (slot, way) in found {
            self.open(slot, way, id);
        }
    }

    /// A slot does not move any more.
    pub(super) fn close(&mut self, slot: Slot) {
        self.migrating.remove(&slot);
        self.importing.remove(&slot);
        self.forget_awaited(slot);
    }

    /// What becomes of a slot was decided without the node that it waited for.
    pub(super) fn forget_awaited(&mut self, slot: Slot) {
        self.awaited.remove(&(slot, Way::Out));
        self.awaited.remove(&(slot, Way::In));
    }

    pub(super) fn close_all(&mut self) {
        self.migrating.clear();
        self.importing.clear();
        self.awaited.clear();
    }
}

impl Node {
    /// The open slots, as a dump for a replica tells them: `slot<id,` for each that is taken over, `slot>id,` for each that is handed
    /// over.
    #[must_use]
    pub fn open_slots(&self) -> String {
        let table = &self.table;
        let mut text = String::new();
        for (open, way) in [(&table.importing, '<'), (&table.migrating, '>')] {
            for (slot, other) in open {
                let id = table[*other].id;
                // Writing to a string does not fail.
                let _ = write!(text, "{slot}{way}{id},");
            }
        }
        text
    }

    /// The dump that was copied from our master has told which slots were open there. A master has its own.
    pub fn adopt_open_slots(&mut self, now: Now, text: &str) {
        if !self.is_replica() || text.is_empty() {
            return;
        }
        let Some(told) = text
            .split_terminator(',')
            .map(read)
            .collect::<Option<Vec<_>>>()
        else {
            let text =
                format_args!("The open slots that the primary's dump tells of cannot be read.");
            self.log(LogLevel::Warning, text);
            return;
        };
        self.table.close_all();
        for (slot, way, other) in told {
            self.table.open(slot, way, other);
        }
        self.todo.save = true;
        self.asked = true;
        self.end_call(now);
    }
}

fn read(entry: &str) -> Option<(Slot, Way, NodeId)> {
    let at = entry.find(['<', '>'])?;
    let (slot, rest) = entry.split_at(at);
    let way = if rest.starts_with('<') {
        Way::In
    } else {
        Way::Out
    };
    let slot = slot.parse().ok().and_then(Slot::new)?;
    Some((slot, way, NodeId::parse(&rest.as_bytes()[1..])?))
}
