//! `create`: empty nodes become a cluster.

use std::collections::BTreeMap;

use super::check::check_cluster;
use crate::cluster::probe_bus;
use crate::plan::{self, CreatePlan};
use crate::snapshot::{Node, NodeId};
use crate::{Address, App, Cluster, Error};

/// Creates a cluster of the nodes at `addresses`, after asking.
///
/// # Errors
///
/// An address, a node or the number of nodes is not fit (then nothing was changed); a refused command; nodes that
/// do not find each other in time.
pub async fn create(app: &mut App, addresses: &[String], replicas: usize) -> Result<(), Error> {
    app.console.line(">>> Creating cluster");
    let mut cluster = gather(app, addresses).await?;
    let plan = plan::create(&cluster.snapshot, replicas, &BTreeMap::new())?;
    for node in &cluster.snapshot.nodes {
        probe_bus(node, &app.settings).await?;
    }
    let count = cluster.snapshot.nodes.len();
    app.console.line(&format!(
        ">>> Performing hash slots allocation on {count} nodes..."
    ));
    show_plan(app, &cluster, &plan);
    app.confirm("Can I set the above configuration?").await?;
    let steps = plan.steps(&cluster.snapshot);
    app.run(&mut cluster, steps).await?;
    let findings = check_cluster(app, &mut cluster, true).await?;
    if findings.clean() {
        Ok(())
    } else {
        Err(Error::Unhealthy)
    }
}

/// Connects to all nodes and makes sure that each is an empty cluster node.
async fn gather(app: &App, addresses: &[String]) -> Result<Cluster, Error> {
    let addresses = addresses
        .iter()
        .map(|address| address.parse())
        .collect::<Result<Vec<Address>, _>>()?;
    let entry = addresses
        .first()
        .cloned()
        .ok_or(plan::PlanError::TooFewNodes {
            nodes: 0,
            replicas: 0,
        })?;
    let mut cluster = Cluster::empty(entry, app.settings.clone());
    for address in &addresses {
        let view = cluster.join(address).await?;
        require_empty(&mut cluster, &view, address).await?;
    }
    Ok(cluster)
}

/// Refuses a node that knows others or holds data.
pub(super) async fn require_empty(
    cluster: &mut Cluster,
    view: &[Node],
    address: &Address,
) -> Result<(), Error> {
    if is_empty(cluster, view).await? {
        Ok(())
    } else {
        Err(Error::NotEmpty(address.to_string()))
    }
}

/// Whether the node that sees `view` knows nobody and holds neither slots nor keys.
pub(super) async fn is_empty(cluster: &mut Cluster, view: &[Node]) -> Result<bool, Error> {
    let [own] = view else { return Ok(false) };
    let keys = cluster.query(&own.id, ["DBSIZE"]).await?.as_int();
    Ok(own.slots.is_empty() && keys == Some(0))
}

fn show_plan(app: &mut App, cluster: &Cluster, plan: &CreatePlan) {
    let snapshot = &cluster.snapshot;
    app.console
        .line(&format!("Using {} masters:", plan.masters.len()));
    for (id, _) in &plan.masters {
        app.console.line(&snapshot.label(id));
    }
    for (replica, master) in &plan.replicas {
        let (replica, master) = (snapshot.label(replica), snapshot.label(master));
        app.console
            .line(&format!("Adding replica {replica} to {master}"));
    }
    let masters: BTreeMap<&NodeId, _> =
        plan.masters.iter().map(|(id, slots)| (id, slots)).collect();
    let replicas: BTreeMap<&NodeId, _> = plan
        .replicas
        .iter()
        .map(|(id, master)| (id, master))
        .collect();
    for node in &snapshot.nodes {
        let mut planned = node.clone();
        if let Some(slots) = masters.get(&node.id) {
            planned.slots = (*slots).clone();
            app.console.line(&planned.describe(None));
        } else if let Some(master) = replicas.get(&node.id) {
            app.console.line(&format!(
                "S: {} {}\n   replicates {master}",
                node.id, node.address
            ));
        }
    }
}
