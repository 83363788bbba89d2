//! CLUSTER SLOT-STATS: what the slots of this shard hold and cost.

use super::command_line::Keyspace;
use super::command_line::{Outcome, SlotUsage, integer, slot_of};
use super::commands::CommandError;
use super::reply::Reply;
use super::state::Node;
use crate::{SLOT_COUNT, Slot};

/// What the slots can be ordered by.
#[derive(Clone, Copy)]
enum Order {
    Keys,
    Cpu,
    BytesIn,
    BytesOut,
}

struct Stat {
    slot: Slot,
    keys: u64,
    usage: Option<SlotUsage>,
}

impl Stat {
    fn read(slot: Slot, keys: &dyn Keyspace) -> Self {
        Self {
            slot,
            keys: keys.count_keys_in_slot(slot),
            usage: keys.usage_of_slot(slot),
        }
    }

    fn value(&self, order: Order) -> u64 {
        let usage = self.usage.unwrap_or_default();
        match order {
            Order::Keys => self.keys,
            Order::Cpu => usage.cpu_usec,
            Order::BytesIn => usage.bytes_in,
            Order::BytesOut => usage.bytes_out,
        }
    }

    fn reply(&self) -> Reply {
        let mut fields = vec![("key-count", Reply::number(self.keys))];
        if let Some(usage) = self.usage {
            fields.push(("cpu-usec", Reply::number(usage.cpu_usec)));
            fields.push(("network-bytes-in", Reply::number(usage.bytes_in)));
            fields.push(("network-bytes-out", Reply::number(usage.bytes_out)));
        }
        let slot = Reply::Integer(self.slot.number().into());
        Reply::Array(vec![slot, Reply::Map(fields)])
    }
}

impl Node {
    /// `None` if it is not one of its forms.
    pub(super) fn slot_stats(
        &self,
        how: &[u8],
        args: &[&[u8]],
        keys: &dyn Keyspace,
    ) -> Option<Outcome> {
        match (how.to_ascii_lowercase().as_slice(), args) {
            (b"slotsrange", [first, last]) => Some(self.slots_between(first, last, keys)),
            (b"orderby", [by, options @ ..]) => Some(self.slots_by(by, options, keys)),
            _ => None,
        }
    }

    fn slots_between(&self, first: &[u8], last: &[u8], keys: &dyn Keyspace) -> Outcome {
        let (first, last) = (slot_of(first)?, slot_of(last)?);
        if first > last {
            return Err(CommandError::BadStatsRange(first, last));
        }
        let mine = self.shard_slots().iter();
        let stats = mine
            .filter(|slot| (first..=last).contains(slot))
            .map(|slot| Stat::read(slot, keys).reply());
        Ok(Reply::Array(stats.collect()))
    }

    /// The slots of our master, or our own.
    fn shard_slots(&self) -> &crate::SlotSet {
        let master = self.my_master().unwrap_or(self.table.myself());
        self.table[master].slots()
    }

    fn slots_by(&self, by: &[u8], options: &[&[u8]], keys: &dyn Keyspace) -> Outcome {
        let counts_usage = keys.usage_of_slot(Slot::MIN).is_some();
        let order = match by.to_ascii_lowercase().as_slice() {
            b"key-count" => Order::Keys,
            b"cpu-usec" if counts_usage => Order::Cpu,
            b"network-bytes-in" if counts_usage => Order::BytesIn,
            b"network-bytes-out" if counts_usage => Order::BytesOut,
            _ => return Err(CommandError::BadSortMetric),
        };
        let (limit, ascending) = stats_options(options)?;
        let mut stats: Vec<Stat> = self
            .shard_slots()
            .iter()
            .map(|slot| Stat::read(slot, keys))
            .collect();
        // Equal ones stay in the order of slots.
        stats.sort_by(|one, other| {
            let order = one.value(order).cmp(&other.value(order));
            if ascending { order } else { order.reverse() }
        });
        stats.truncate(limit);
        Ok(Reply::Array(stats.iter().map(Stat::reply).collect()))
    }
}

/// `LIMIT count`, `ASC`, `DESC`, each kind once.
fn stats_options(options: &[&[u8]]) -> Result<(usize, bool), CommandError> {
    let (mut limit, mut ascending) = (None, None);
    let mut words = options.iter();
    while let Some(word) = words.next() {
        let again = match word.to_ascii_lowercase().as_slice() {
            b"limit" => {
                let value = integer(words.next().ok_or(CommandError::Syntax)?);
                let most = i64::from(SLOT_COUNT);
                let value = value.ok().filter(|value| (1..=most).contains(value));
                let value = value.and_then(|value| usize::try_from(value).ok());
                limit
                    .replace(value.ok_or(CommandError::BadLimit)?)
                    .is_some()
            }
            b"asc" => ascending.replace(true).is_some(),
            b"desc" => ascending.replace(false).is_some(),
            _ => return Err(CommandError::Syntax),
        };
        if again {
            return Err(CommandError::RepeatedFilter);
        }
    }
    Ok((
        limit.unwrap_or(usize::from(SLOT_COUNT)),
        ascending.unwrap_or(false),
    ))
}
