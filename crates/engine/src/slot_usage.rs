//! `cluster-slot-stats-enabled`: what the slots of this node are used for.

use cluster_bus::{Slot, SlotUsage, key_slot};
use commands::{Args, Traits, table};

use crate::entry::Entry;
use crate::{ClientId, Engine};

/// MULTI as clients send it; it belongs to the slot of its EXEC.
const MULTI_BYTES: u64 = 15;

impl Engine {
    /// The slot that a request counts for, if slots are counted: what transactions and scripts do counts with them.
    #[inline]
    pub(crate) fn counted_slot(&self, id: ClientId, entry: Entry, args: Args<'_>) -> Option<Slot> {
        if !self.meter.slots.is_on() || self.journal.group.depth > 0 || self.in_script() {
            return None;
        }
        self.slot_of(id, entry, args)
    }

    /// The slot of a request: that of its first key, or of the first key in its queue.
    fn slot_of(&self, id: ClientId, entry: Entry, args: Args<'_>) -> Option<Slot> {
        if entry.command.traits.has(Traits::RUNS_QUEUE) {
            let multi = self
                .sessions
                .clients
                .get(id)?
                .transaction
                .multi
                .as_deref()?;
            return multi.queue.iter().find_map(|queued| {
                let words: Vec<&[u8]> = queued.args.iter().map(AsRef::as_ref).collect();
                first_slot(self.index.entry(queued.number), &words)
            });
        }
        first_slot(entry, args)
    }

    /// The slot of a script that has just ended and named no keys.
    #[inline]
    pub(crate) fn slot_of_script(&mut self) -> Option<Slot> {
        let used = self.scripting.used_slot.take()?;
        let counts = self.meter.slots.is_on() && self.journal.group.depth == 0;
        Slot::new(used).filter(|_| counts)
    }

    /// A command goes to the replicas.
    pub(crate) fn note_stream_usage(&mut self, args: Args<'_>) {
        let replicas = self.journal.replicas.ids.len() as u64;
        if !self.meter.slots.is_on() || replicas == 0 {
            return;
        }
        let entry = args.first().and_then(|name| self.index.find(name));
        let slot = entry.and_then(|entry| first_slot(entry, args));
        if let Some(usage) = slot.and_then(|slot| self.meter.slots.of_mut(slot)) {
            usage.bytes_out += aof::command_bytes(args) * replicas;
        }
    }

    /// A message on a sharded channel was handed to so many subscribers.
    pub(crate) fn note_message_usage(&mut self, channel: &[u8], bytes: usize) {
        if let Some(usage) = self.meter.slots.of_mut(key_slot(channel)) {
            usage.bytes_out += bytes as u64;
        }
    }

    /// Slots that went elsewhere begin anew should they come back.
    pub(crate) fn forget_moved_usage(&mut self) {
        let Some(node) = &self.keeper.cluster else {
            return;
        };
        if !self.meter.slots.is_on() {
            return;
        }
        for slot in Slot::all().filter(|slot| !node.is_of_my_shard(*slot)) {
            if let Some(usage) = self.meter.slots.of_mut(slot) {
                *usage = SlotUsage::default();
            }
        }
    }

    /// A request of a client has run, or was queued.
    pub(crate) fn note_slot_usage(
        &mut self,
        slot: Slot,
        entry: Entry,
        args: Args<'_>,
        ns: u64,
        reply_bytes: usize,
    ) {
        let Some(usage) = self.meter.slots.of_mut(slot) else {
            return;
        };
        usage.cpu_usec += ns / 1000;
        usage.bytes_in += aof::command_bytes(args);
        if entry.command.traits.has(Traits::RUNS_QUEUE) {
            usage.bytes_in += MULTI_BYTES;
        }
        usage.bytes_out += reply_bytes as u64;
    }
}

fn first_slot(entry: Entry, args: Args<'_>) -> Option<Slot> {
    if entry.keyless {
        return None;
    }
    if let Some(key) = entry.single_key.and_then(|at| args.get(at)) {
        return Some(key_slot(key));
    }
    let mut keys = Vec::new();
    table::find_keys(entry.command, args, &mut keys);
    keys.first().map(|key| key_slot(args[key.at]))
}

#[cfg(test)]
mod tests {
    use cluster_bus::key_slot;

    use super::*;
    use crate::meter::slot_usages::SlotUsages;

    #[test]
    fn counters_start_when_they_are_wanted_and_end_with_that() {
        let slot = key_slot(b"foo");
        let mut usages = SlotUsages::default();
        assert_eq!(usages.of(slot), None);
        usages.enable(true);
        usages.of_mut(slot).unwrap().bytes_in = 3;
        usages.enable(true);
        assert_eq!(usages.of(slot).map(|usage| usage.bytes_in), Some(3));
        usages.reset();
        assert_eq!(usages.of(slot), Some(SlotUsage::default()));
        usages.enable(false);
        assert_eq!(usages.of(slot), None);
    }
}
