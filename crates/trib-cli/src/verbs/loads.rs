//! What each slot holds or costs, as its owner tells it.

use client::{Command, Value};

use super::moves::Balance;
use crate::execute::key_size;
use crate::plan::SlotLoads;
use crate::snapshot::NodeId;
use crate::{Cluster, Error, SLOT_COUNT, SlotSet};

/// What all slots weigh.
pub(super) async fn slot_loads(cluster: &mut Cluster, by: Balance) -> Result<SlotLoads, Error> {
    let mut loads = SlotLoads::new();
    let masters = cluster
        .snapshot
        .masters()
        .filter(|node| !node.slots.is_empty());
    let masters: Vec<(NodeId, SlotSet)> = masters
        .map(|node| (node.id.clone(), node.slots.clone()))
        .collect();
    for (id, slots) in masters {
        match by {
            Balance::Load => loads.extend(load_of(cluster, &id).await?),
            Balance::Bytes => {
                let size = key_size(cluster, &id).await?.max(1);
                let keys = keys_of(cluster, &id, &slots).await?;
                loads.extend(
                    keys.into_iter()
                        .map(|(slot, keys)| (slot, keys.saturating_mul(size))),
                );
            }
            Balance::Keys | Balance::Slots => loads.extend(keys_of(cluster, &id, &slots).await?),
        }
    }
    Ok(loads)
}

async fn keys_of(cluster: &mut Cluster, id: &NodeId, slots: &SlotSet) -> Result<SlotLoads, Error> {
    let count = |slot: u16| Command::from(["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]);
    let counts = cluster
        .pipeline(id, slots.iter().map(count).collect::<Vec<_>>())
        .await?;
    let counts = slots.iter().zip(counts);
    Ok(counts
        .filter_map(|(slot, count)| Some((slot, u64::try_from(count.as_int()?).ok()?)))
        .collect())
}

async fn load_of(cluster: &mut Cluster, id: &NodeId) -> Result<SlotLoads, Error> {
    let last = (SLOT_COUNT - 1).to_string();
    let ask = Command::from(["CLUSTER", "SLOT-STATS", "SLOTSRANGE", "0", &last]);
    let reply = cluster.pipeline(id, [ask]).await?.into_iter().next();
    let loads = reply.as_ref().and_then(read_loads);
    loads.ok_or_else(|| {
        let label = cluster.snapshot.label(id);
        Error::Refused(format!(
            "[ERR] Node {label} does not tell what its slots cost. Set cluster-slot-stats-enabled to yes on all nodes, \
             and let them work for a while."
        ))
    })
}

/// `slot, [name, number, …]` for each slot; nothing where the time of commands is not among it.
fn read_loads(reply: &Value) -> Option<SlotLoads> {
    let mut loads = SlotLoads::new();
    for entry in reply.as_array()? {
        let [slot, stats] = entry.as_array()? else {
            return None;
        };
        let micros = stats.field("cpu-usec")?.as_int()?;
        let slot = u16::try_from(slot.as_int()?)
            .ok()
            .filter(|slot| *slot < SLOT_COUNT)?;
        loads.insert(slot, u64::try_from(micros).ok()?);
    }
    Some(loads)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_are_read_where_they_are_told() {
        let word = |text: &str| Value::Bulk(text.to_owned().into());
        let entry = |name: &str| {
            let stats = vec![word("key-count"), Value::Int(1), word(name), Value::Int(7)];
            Value::Array(vec![Value::Array(vec![Value::Int(5), Value::Array(stats)])])
        };
        assert_eq!(
            read_loads(&entry("cpu-usec")),
            Some(SlotLoads::from([(5, 7)]))
        );
        assert_eq!(read_loads(&entry("network-bytes-in")), None);
        assert_eq!(
            read_loads(&Value::Error("ERR unknown subcommand".into())),
            None
        );
    }
}
