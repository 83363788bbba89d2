//! Nodes come and go: `add-node`, `del-node`; and what is said to all of them: `set-timeout`, `call`.

use std::time::Duration;

use client::{Command, Value};

use super::check::check_cluster;
use super::create::require_empty;
use super::moves::{carry_out, prepare};
use crate::cluster::{open, probe_bus};
use crate::console::Probe;
use crate::plan::{self, Condition, Step};
use crate::snapshot::{Node, NodeId};
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
        if let Some(node) = cluster.snapshot.node(id) {
            probe_bus(node, &app.settings).await?;
        }
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

/// Makes all nodes forget a node that has no slots (`drain` moves them away first), and shuts it down where it can be reached.
///
/// # Errors
///
/// There is no such node, it has slots, or a node refuses.
pub async fn del_node(app: &mut App, entry: &str, id: &str, drain: bool) -> Result<(), Error> {
    let id = NodeId::new(id);
    app.console
        .line(&format!(">>> Removing node {id} from cluster {entry}"));
    let mut cluster = if drain {
        drain_node(app, entry, &id).await?
    } else {
        app.load(entry).await?
    };
    let absent = cluster
        .snapshot
        .missing
        .iter()
        .find(|node| node.id == id)
        .cloned();
    let node = cluster
        .snapshot
        .node(&id)
        .cloned()
        .or_else(|| absent.clone());
    let node = node.ok_or_else(|| Error::Refused(format!("[ERR] No such node ID {id}")))?;
    require_no_slots(&cluster, &node, absent.is_some())?;
    rehome_replicas(app, &mut cluster, &id).await?;
    app.console
        .line(">>> Sending CLUSTER FORGET messages to the cluster...");
    for other in cluster
        .snapshot
        .missing
        .iter()
        .filter(|other| other.id != id)
    {
        let address = &other.address;
        app.console.line(&format!(
            "[WARNING] {address} can't be reached and will not forget the node."
        ));
    }
    let others = cluster.snapshot.nodes.iter().filter(|other| other.id != id);
    for other in others.map(|node| node.id.clone()).collect::<Vec<_>>() {
        forget(app, &mut cluster, &other, &id).await?;
    }
    if absent.is_some() {
        let reason = cluster.reason(&id);
        app.console.line(&format!(
            "*** The node can't be reached ({reason}): it is forgotten, and not shut down. Should it start again, it \
             still knows the cluster: reset it first."
        ));
        return Ok(());
    }
    app.console.line(">>> SHUTDOWN the node.");
    shut_down(app, &mut cluster, &id, &node.address).await
}

/// Gives all slots of a node to the other masters.
async fn drain_node(app: &mut App, entry: &str, id: &NodeId) -> Result<Cluster, Error> {
    let mut cluster = prepare(app, entry, false, "moving slots away").await?;
    let full = cluster
        .snapshot
        .node(id)
        .is_some_and(|node| !node.slots.is_empty());
    if full {
        let shifts = plan::drain(&cluster.snapshot, id)?;
        carry_out(app, &mut cluster, shifts, false).await?;
    }
    Ok(cluster)
}

/// A node that cannot be reached has no slots either when others have taken all of them.
fn require_no_slots(cluster: &Cluster, node: &Node, absent: bool) -> Result<(), Error> {
    let withheld = cluster.snapshot.withheld();
    let address = &node.address;
    if absent && node.slots.iter().any(|slot| withheld.contains(slot)) {
        return Err(Error::Refused(format!(
            "[ERR] Node {address} can't be reached and owns {} slots! Wait for its failover, or run fix, and try again.",
            node.slots.len()
        )));
    }
    if !absent && !node.slots.is_empty() {
        return Err(Error::Refused(format!(
            "[ERR] Node {address} is not empty! Reshard data away and try again."
        )));
    }
    Ok(())
}

/// Makes one node forget another. A replica that has just got another master may not have left the old one yet.
async fn forget(
    app: &mut App,
    cluster: &mut Cluster,
    node: &NodeId,
    whom: &NodeId,
) -> Result<(), Error> {
    let what = format!(
        "Waiting for {} to forget the node",
        cluster.snapshot.label(node)
    );
    let probe = async || {
        let forget = Command::from(["CLUSTER", "FORGET", whom.as_str()]);
        let reply = cluster.query(node, forget).await;
        match reply {
            Ok(_) => Ok(Probe::Done),
            Err(Error::Client(error)) => match error.reply() {
                Some(refusal) if refusal.contains("Unknown node") => Ok(Probe::Done),
                Some(refusal) if refusal.contains("forget my master") => {
                    Ok(Probe::Pending("it still replicates it".into()))
                }
                _ => Err(Error::Client(error)),
            },
            Err(error) => Err(error),
        }
    };
    app.console.wait(&what, SHUTDOWN_LIMIT, probe).await
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
/// The time is too short, the cluster cannot be reached, or a node refuses; what it said is printed.
pub async fn set_timeout(app: &mut App, entry: &str, millis: i64) -> Result<(), Error> {
    if millis < 100 {
        let line = "Setting a node timeout of less than 100 milliseconds is a bad idea.";
        return Err(Error::Refused(line.into()));
    }
    let mut cluster = app.load(entry).await?;
    app.console
        .line(">>> Reconfiguring node timeout in every cluster node...");
    let set = Command::from(["CONFIG", "SET", "cluster-node-timeout", &millis.to_string()]);
    let (mut ok, mut failed) = (0_usize, cluster.snapshot.missing.len());
    for (id, reply) in cluster.broadcast(&set).await {
        let label = cluster.snapshot.label(&id);
        if let Some(reason) = refusal(reply) {
            failed += 1;
            app.console.line(&format!(
                "[ERR] {label} did not take the new node timeout: {reason}"
            ));
            continue;
        }
        ok += 1;
        let rewrite = Command::from(["CONFIG", "REWRITE"]);
        let rewritten = cluster.pipeline(&id, [rewrite]).await?;
        let line = match rewritten.first().and_then(Value::as_error) {
            None => format!("*** New timeout set for {label}"),
            Some(reason) => format!(
                "[WARNING] New timeout set for {label}, but not in its configuration file: {reason}"
            ),
        };
        app.console.line(&line);
    }
    for node in &cluster.snapshot.missing {
        let (address, reason) = (&node.address, cluster.reason(&node.id));
        app.console.line(&format!(
            "[ERR] {address} did not get the new node timeout: {reason}"
        ));
    }
    let summary = format!("New node timeout of {millis} ms: set at {ok} nodes, not at {failed}.");
    if failed > 0 {
        return Err(Error::Partly(summary));
    }
    app.console.line(&format!("[OK] {summary}"));
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
        resp3 => plain(&resp3.clone().into_resp2()),
    }
}

fn nested(reply: &Value) -> String {
    match reply {
        Value::Status(_) | Value::Bulk(_) => format!("{:?}", plain(reply)),
        Value::Nil => "nil".into(),
        other => plain(other),
    }
}
