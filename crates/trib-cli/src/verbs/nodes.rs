//! Nodes come and go: `add-node`, `del-node`; and what is said to all of them: `set-timeout`, `call`.

use std::time::Duration;

use client::{Command, Value};

use super::check::check_cluster;
use super::create::require_empty;
use crate::cluster::{open, probe_bus};
use crate::console::Probe;
use crate::plan::{Condition, Step};
use crate::snapshot::NodeId;
use crate::{Address, App, Cluster, Error};

/// How long a node may take to shut down.
const SHUTDOWN_LIMIT: Duration = Duration::from_secs(30);

/// Brings an empty node into a cluster, as a master without slots or as a replica.
///
/// # Errors
///
/// The cluster or the node cannot be reached or is not fit (then nothing was changed); nodes that do not find each
/// other in time.
pub async fn add_node(
    app: &mut App,
    new: &str,
    entry: &str,
    slave: bool,
    master_id: Option<&str>,
) -> Result<(), Error> {
    let address: Address = new.parse()?;
    app.console
        .line(&format!(">>> Adding node {new} to cluster {entry}"));
    let mut cluster = app.load(entry).await?;
    check_cluster(app, &mut cluster, true).await?;
    let slave = slave || master_id.is_some();
    let master = if slave {
        Some(choose_master(app, &cluster, master_id)?)
    } else {
        None
    };
    let first = cluster.snapshot.nodes.first().map(|node| node.id.clone());
    if cluster
        .snapshot
        .nodes
        .iter()
        .any(|node| node.address == address)
    {
        return Err(Error::NotEmpty(new.to_owned()));
    }
    let view = cluster.join(&address).await?;
    require_empty(&mut cluster, &view, &address).await?;
    let own = cluster.snapshot.nodes.last().map(|node| node.id.clone());
    let (Some(first), Some(own)) = (first, own) else {
        return Ok(());
    };
    for id in [&first, &own] {
        let node = cluster.snapshot.node(id).map(|node| node.address.clone());
        probe_bus(&node.unwrap_or_else(|| address.clone()), &app.settings).await?;
    }
    app.console.line(&format!(
        ">>> Send CLUSTER MEET to node {new} to make it join the cluster."
    ));
    let mut steps = vec![
        Step::Meet {
            node: own.clone(),
            with: first,
        },
        Step::Await(Condition::Joined),
    ];
    if let Some(master) = master {
        let label = cluster.snapshot.label(&master);
        steps.push(Step::Say(format!(
            ">>> Configure node as replica of {label}."
        )));
        steps.push(Step::Replicate { node: own, master });
        steps.push(Step::Await(Condition::Roles));
    }
    app.run(&mut cluster, steps).await?;
    app.console.line("[OK] New node added correctly.");
    Ok(())
}

fn choose_master(app: &mut App, cluster: &Cluster, id: Option<&str>) -> Result<NodeId, Error> {
    if let Some(text) = id {
        let node = cluster
            .snapshot
            .node(&NodeId::new(text))
            .filter(|node| node.is_master());
        let id = node.map(|node| node.id.clone());
        return id.ok_or_else(|| Error::Refused(format!("[ERR] No such master ID {text}")));
    }
    let master = cluster.snapshot.master_with_least_replicas(None);
    let master =
        master.ok_or_else(|| Error::Refused("[ERR] There is no master to replicate".into()))?;
    app.console
        .line(&format!("Automatically selected master {}", master.address));
    Ok(master.id.clone())
}

/// Makes all nodes forget a node that has no slots, and shuts it down.
///
/// # Errors
///
/// There is no such node, it has slots, or a node refuses.
pub async fn del_node(app: &mut App, entry: &str, id: &str) -> Result<(), Error> {
    let id = NodeId::new(id);
    app.console
        .line(&format!(">>> Removing node {id} from cluster {entry}"));
    let mut cluster = app.load(entry).await?;
    let Some(node) = cluster.snapshot.node(&id).cloned() else {
        return Err(Error::Refused(format!("[ERR] No such node ID {id}")));
    };
    if !node.slots.is_empty() {
        let address = &node.address;
        return Err(Error::Refused(format!(
            "[ERR] Node {address} is not empty! Reshard data away and try again."
        )));
    }
    rehome_replicas(app, &mut cluster, &id).await?;
    app.console
        .line(">>> Sending CLUSTER FORGET messages to the cluster...");
    for other in cluster.snapshot.missing.clone() {
        let address = &other.address;
        app.console.line(&format!(
            "[WARNING] {address} can't be reached and will not forget the node."
        ));
    }
    let others: Vec<NodeId> = cluster
        .snapshot
        .nodes
        .iter()
        .map(|node| node.id.clone())
        .collect();
    for other in others.iter().filter(|other| **other != id) {
        cluster
            .query(other, ["CLUSTER", "FORGET", id.as_str()])
            .await?;
    }
    app.console.line(">>> SHUTDOWN the node.");
    shut_down(app, &mut cluster, &id, &node.address).await
}

/// A node's replicas follow the other master with the fewest.
async fn rehome_replicas(app: &mut App, cluster: &mut Cluster, id: &NodeId) -> Result<(), Error> {
    let replicas = cluster
        .snapshot
        .nodes
        .iter()
        .filter(|node| node.master.as_ref() == Some(id));
    for replica in replicas.map(|node| node.id.clone()).collect::<Vec<_>>() {
        let master = cluster
            .snapshot
            .master_with_least_replicas(Some(id))
            .map(|node| node.id.clone());
        let master = master
            .ok_or_else(|| Error::Refused("[ERR] No other master for its replicas".into()))?;
        let (label, of) = (
            cluster.snapshot.label(&replica),
            cluster.snapshot.label(&master),
        );
        app.console.line(&format!(">>> {label} as replica of {of}"));
        cluster
            .query(&replica, ["CLUSTER", "REPLICATE", master.as_str()])
            .await?;
        if let Some(node) = cluster.snapshot.node_mut(&replica) {
            node.master = Some(master);
        }
    }
    Ok(())
}

/// A node that shuts down answers nothing and closes the connection; an answer is a refusal.
async fn shut_down(
    app: &mut App,
    cluster: &mut Cluster,
    id: &NodeId,
    address: &Address,
) -> Result<(), Error> {
    match cluster.query(id, ["SHUTDOWN"]).await {
        Err(Error::Client(client::Error::Closed { .. } | client::Error::Io { .. })) => {}
        Err(error) => return Err(error),
        Ok(_) => {
            return Err(Error::Refused(format!(
                "[ERR] Node {address} does not shut down"
            )));
        }
    }
    cluster.remove(id);
    let settings = app.settings.clone();
    let what = format!("Waiting for {address} to be gone");
    let gone = async || {
        let answer = open(address, &settings).await;
        Ok(if answer.is_err() {
            Probe::Done
        } else {
            Probe::Pending("it still answers".into())
        })
    };
    app.console.wait(&what, SHUTDOWN_LIMIT, gone).await
}

/// Sets `cluster-node-timeout` on all nodes and in their configuration files.
///
/// # Errors
///
/// The time is too short, or the cluster cannot be reached. A node that refuses is told of and counted.
pub async fn set_timeout(app: &mut App, entry: &str, millis: i64) -> Result<(), Error> {
    if millis < 100 {
        let line = "Setting a node timeout of less than 100 milliseconds is a bad idea.";
        return Err(Error::Refused(line.into()));
    }
    let mut cluster = app.load(entry).await?;
    app.console
        .line(">>> Reconfiguring node timeout in every cluster node...");
    let set = Command::from(["CONFIG", "SET", "cluster-node-timeout", &millis.to_string()]);
    let (mut ok, mut failed) = (0, 0);
    for (id, reply) in cluster.broadcast(&set).await {
        let mut refusal = refusal(reply);
        if refusal.is_none() {
            let rewritten = cluster.query(&id, ["CONFIG", "REWRITE"]).await;
            refusal = rewritten.err().map(|error| match error {
                Error::Client(error) => error
                    .reply()
                    .map_or_else(|| error.to_string(), str::to_owned),
                other => other.to_string(),
            });
        }
        let label = cluster.snapshot.label(&id);
        match refusal {
            None => {
                ok += 1;
                app.console
                    .line(&format!("*** New timeout set for {label}"));
            }
            Some(reason) => {
                failed += 1;
                app.console
                    .line(&format!("ERR setting node-timeot for {label}: {reason}"));
            }
        }
    }
    app.console
        .line(&format!(">>> New node timeout set. {ok} OK, {failed} ERR."));
    Ok(())
}

fn refusal(reply: Result<Value, client::Error>) -> Option<String> {
    match reply {
        Ok(reply) => reply.as_error().map(str::to_owned),
        Err(error) => Some(error.to_string()),
    }
}

/// Runs a command on all nodes and prints each one's answer.
///
/// # Errors
///
/// The cluster cannot be reached. What a single node answers is never an error.
pub async fn call(app: &mut App, entry: &str, command: &[String]) -> Result<(), Error> {
    let mut cluster = app.load(entry).await?;
    let mut words = command.to_vec();
    if let Some(name) = words.first_mut() {
        name.make_ascii_uppercase();
    }
    app.console
        .line(&format!(">>> Calling {}", words.join(" ")));
    for (id, reply) in cluster.broadcast(&Command::from(words)).await {
        let label = cluster.snapshot.label(&id);
        let text = match reply {
            Ok(reply) => plain(&reply),
            Err(error) => error.to_string(),
        };
        app.console.line(&format!("{label}: {text}"));
    }
    Ok(())
}

/// A reply as text: strings as they are, lists in brackets with their strings quoted.
fn plain(reply: &Value) -> String {
    match reply {
        Value::Status(text) | Value::Error(text) => text.clone(),
        Value::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Int(number) => number.to_string(),
        Value::Nil => String::new(),
        Value::Array(elements) => format!(
            "[{}]",
            elements.iter().map(nested).collect::<Vec<_>>().join(", ")
        ),
    }
}

fn nested(reply: &Value) -> String {
    match reply {
        Value::Status(_) | Value::Bulk(_) => format!("{:?}", plain(reply)),
        Value::Nil => "nil".into(),
        other => plain(other),
    }
}
