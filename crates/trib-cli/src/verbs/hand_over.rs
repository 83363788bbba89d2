//! `hand-over`: a replica takes the place of a master that is about to stop, without losing a write.

use std::collections::BTreeMap;
use std::time::Duration;

use super::doctor::fields;
use crate::cluster::open;
use crate::console::Probe;
use crate::snapshot::{Node, NodeId};
use crate::{Address, App, Cluster, Error};

/// How long the replica may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Has the replica with the most data take over from the node at `entry`, and waits until it has. A node without slots has nothing to hand
/// over.
///
/// # Errors
///
/// The node cannot be reached, has no replica that is in step, or none took over in time.
pub async fn hand_over(app: &mut App, entry: &str) -> Result<(), Error> {
    let address: Address = entry.parse()?;
    let mut cluster = app.load(entry).await?;
    let mut link = open(&address, &app.settings).await?;
    let reply = link.query(["CLUSTER", "MYID"]).await?;
    let own = NodeId::new(reply.as_str().unwrap_or_default());
    let node = cluster.snapshot.node(&own);
    if !node.is_some_and(|node| node.is_master() && !node.slots.is_empty()) {
        app.console.line(&format!(
            "[OK] {entry} owns no slots: there is nothing to hand over."
        ));
        return Ok(());
    }
    let Some(heir) = heir(&mut cluster, &own).await? else {
        return Err(Error::Refused(format!(
            "[ERR] {entry} has no replica that is in step with it"
        )));
    };
    app.console
        .line(&format!(">>> {} takes over from {entry}", heir.address));
    let taken = cluster.query(&heir.id, ["CLUSTER", "FAILOVER"]).await?;
    if let Some(refusal) = taken.as_error() {
        return Err(Error::Refused(format!("[ERR] {}: {refusal}", heir.address)));
    }
    let probe = async || {
        let info = link.query(["INFO", "replication"]).await?;
        let is_replica = info
            .as_str()
            .is_some_and(|text| text.contains("role:slave"));
        Ok(if is_replica {
            Probe::Done
        } else {
            Probe::Pending(format!("{address} is still a master"))
        })
    };
    app.console
        .wait("Waiting for the replica to take over", LIMIT, probe)
        .await?;
    app.console
        .line(&format!("[OK] {} is the master now.", heir.address));
    Ok(())
}

/// The replica of a master that is in step and has the most of its data.
async fn heir(cluster: &mut Cluster, master: &NodeId) -> Result<Option<Node>, Error> {
    let replicas: Vec<Node> = cluster
        .snapshot
        .nodes
        .iter()
        .filter(|node| node.master.as_ref() == Some(master) && node.is_callable())
        .cloned()
        .collect();
    let mut best: Option<(u64, Node)> = None;
    for replica in replicas {
        let asked = cluster.query(&replica.id, ["INFO", "replication"]).await;
        let Ok(reply) = asked else {
            continue;
        };
        let info: BTreeMap<String, String> = fields(reply.as_str().unwrap_or_default()).collect();
        let is = |name: &str, value: &str| info.get(name).is_some_and(|known| known == value);
        let offset = info
            .get("slave_repl_offset")
            .and_then(|offset| offset.parse().ok())
            .unwrap_or(0);
        if is("master_link_status", "up") && best.as_ref().is_none_or(|(known, _)| offset > *known)
        {
            best = Some((offset, replica));
        }
    }
    Ok(best.map(|(_, replica)| replica))
}
