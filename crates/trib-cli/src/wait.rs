//! Waiting until a cluster is of one mind. Each wait says what it waits for, ends, and tells what was missing.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use client::Command;

use crate::console::Probe;
use crate::plan::Condition;
use crate::snapshot::{Node, NodeId, slots_signature};
use crate::{Cluster, Console, Error};

/// How long nodes may take to find each other, news of roles to spread, or the cluster to serve: so long, and longer by so much for each
/// node, since hundreds of them on one machine have much to tell each other.
const SPREAD_LIMIT: Duration = Duration::from_secs(60);
const SPREAD_LIMIT_PER_NODE: Duration = Duration::from_secs(1);
/// How long news of slots may take.
const AGREEMENT_LIMIT: Duration = Duration::from_secs(30);

/// Waits for a condition, then reads the snapshot again.
///
/// # Errors
///
/// [`Error::TimedOut`]; a node that stops answering.
pub async fn until(
    cluster: &mut Cluster,
    console: &mut Console,
    condition: Condition,
) -> Result<(), Error> {
    let nodes = u32::try_from(cluster.snapshot.nodes.len()).unwrap_or(u32::MAX);
    let limit = SPREAD_LIMIT.saturating_add(SPREAD_LIMIT_PER_NODE.saturating_mul(nodes));
    match condition {
        Condition::Joined => {
            let what = "Waiting for the cluster to join";
            console
                .wait(what, limit, async || {
                    joined(&cluster.views().await?, cluster)
                })
                .await?;
        }
        Condition::Roles => {
            let what = "Waiting for all nodes to see the same roles";
            console
                .wait(what, limit, async || roles(cluster).await)
                .await?;
        }
        Condition::Serving => {
            let what = "Waiting for the cluster to serve";
            console
                .wait(what, limit, async || serving(cluster).await)
                .await?;
        }
        Condition::Agreement => {
            let what = "Waiting for all nodes to agree about slots";
            console
                .wait(what, AGREEMENT_LIMIT, async || {
                    agreement(&cluster.views().await?, cluster)
                })
                .await?;
        }
    }
    cluster.reload().await
}

/// Waits for agreement about slots, at most `limit`; whether it came.
///
/// # Errors
///
/// A node that stops answering.
pub async fn agreed_within(
    cluster: &mut Cluster,
    console: &mut Console,
    limit: Duration,
) -> Result<bool, Error> {
    let what = "Waiting for all nodes to agree about slots";
    let waited = console
        .wait(what, limit, async || {
            agreement(&cluster.views().await?, cluster)
        })
        .await;
    match waited {
        Ok(()) => Ok(true),
        Err(Error::TimedOut { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

type Views = BTreeMap<NodeId, Vec<Node>>;

fn joined(views: &Views, cluster: &Cluster) -> Result<Probe, Error> {
    let all: BTreeSet<&NodeId> = cluster.snapshot.nodes.iter().map(|node| &node.id).collect();
    for (id, view) in views {
        let known = view
            .iter()
            .filter(|node| all.contains(&node.id) && (node.myself || node.connected))
            .count();
        if known < all.len() {
            return Ok(pending(
                cluster,
                id,
                &format!("knows {known} of {} nodes", all.len()),
            ));
        }
    }
    agreement(views, cluster)
}

fn agreement(views: &Views, cluster: &Cluster) -> Result<Probe, Error> {
    let mut signatures = views.iter().map(|(id, view)| (id, slots_signature(view)));
    let Some((first, expected)) = signatures.next() else {
        return Ok(Probe::Done);
    };
    let differing = signatures.find(|(_, signature)| *signature != expected);
    Ok(differing.map_or(Probe::Done, |(id, _)| {
        pending(
            cluster,
            id,
            &format!(
                "sees other owners of slots than {}",
                cluster.snapshot.label(first)
            ),
        )
    }))
}

/// Everyone sees everyone in the role that the node itself says it has.
async fn roles(cluster: &mut Cluster) -> Result<Probe, Error> {
    let views = cluster.views().await?;
    let own = |view: &Vec<Node>| {
        view.iter()
            .find(|node| node.myself)
            .map(|node| (node.id.clone(), node.master.clone()))
    };
    let masters: BTreeMap<NodeId, Option<NodeId>> = views.values().filter_map(own).collect();
    for (id, view) in &views {
        let wrong = view.iter().find(|node| {
            masters
                .get(&node.id)
                .is_some_and(|master| *master != node.master)
        });
        if let Some(node) = wrong {
            let label = cluster.snapshot.label(&node.id);
            return Ok(pending(
                cluster,
                id,
                &format!("has not heard of the role of {label}"),
            ));
        }
    }
    agreement(&views, cluster)
}

async fn serving(cluster: &mut Cluster) -> Result<Probe, Error> {
    for (id, reply) in cluster.broadcast(&Command::from(["CLUSTER", "INFO"])).await {
        let reply = reply?;
        if !reply
            .as_str()
            .is_some_and(|text| text.contains("cluster_state:ok"))
        {
            return Ok(pending(cluster, &id, "does not serve yet"));
        }
    }
    Ok(Probe::Done)
}

fn pending(cluster: &Cluster, id: &NodeId, what: &str) -> Probe {
    Probe::Pending(format!("{} {what}", cluster.snapshot.label(id)))
}
