//! `reshard` and `rebalance`: slots change hands.

use std::collections::BTreeMap;

use super::check::check_cluster;
use crate::execute::Style;
use crate::plan::{self, Condition, MoveMode, Rebalance, RebalanceOptions, Shift};
use crate::snapshot::{Node, NodeId, Snapshot};
use crate::{App, Cluster, Error, SLOT_COUNT, wait};

const NOT_A_TARGET: &str = "*** The specified node is not known or not a master, please retry.";
const NOT_A_SOURCE: &str = "*** The specified node is not known or is not a master, please retry.";

/// What was said about a reshard on the command line; the rest is asked.
#[derive(Clone, Debug, Default)]
pub struct ReshardArgs {
    /// Ids of the sources, separated by commas, or `all`.
    pub from: Option<String>,
    /// Id of the target.
    pub to: Option<String>,
    /// How many slots.
    pub slots: Option<u16>,
}

/// Moves a number of slots to one node.
///
/// # Errors
///
/// The cluster is not healthy, the request makes no sense for it, the user says no, or a slot cannot be moved.
pub async fn reshard(app: &mut App, entry: &str, args: &ReshardArgs) -> Result<(), Error> {
    let mut cluster = app.load(entry).await?;
    if !check_cluster(app, &mut cluster, true).await?.clean() {
        return Err(refused(
            "*** Please fix your cluster problems before resharding",
        ));
    }
    // A node that has just come takes no keys before it knows the others.
    wait::until(&mut cluster, &mut app.console, Condition::Serving).await?;
    let count = match args.slots {
        Some(count) if (1..=SLOT_COUNT).contains(&count) => count,
        Some(count) => {
            return Err(refused(&format!(
                "*** Invalid number of slots: {count} (from 1 to {SLOT_COUNT})"
            )));
        }
        None => ask_count(app).await?,
    };
    let target = match &args.to {
        Some(id) => master(&cluster.snapshot, id).ok_or_else(|| refused(NOT_A_TARGET))?,
        None => ask_target(app, &cluster.snapshot).await?,
    };
    let sources = match &args.from {
        Some(list) => listed_sources(&cluster.snapshot, list, &target)?,
        None => ask_sources(app, &cluster.snapshot, &target).await?,
    };
    if sources.is_empty() {
        return Err(refused("*** No source nodes given, operation aborted"));
    }
    if sources.contains(&target) {
        return Err(refused(
            "*** Target node is also listed among the source nodes!",
        ));
    }
    let moves = plan::reshard(&cluster.snapshot, &sources, &target, usize::from(count));
    if moves.is_empty() {
        return Err(refused("*** The source nodes have no slots to move"));
    }
    show_plan(app, &cluster.snapshot, &sources, &target, &moves);
    if !app.assume_yes {
        let answer = app
            .console
            .ask("Do you want to proceed with the proposed reshard plan (yes/no)? ")
            .await?;
        if answer != "yes" {
            return Err(Error::Aborted);
        }
    }
    let moved = app
        .move_slots(&cluster, &moves, MoveMode::Live, Style::Lines)
        .await;
    finish(app, &mut cluster, moved).await
}

/// Lets all nodes come to know what moved, also when not everything could be.
async fn finish(
    app: &mut App,
    cluster: &mut Cluster,
    moved: Result<(), Error>,
) -> Result<(), Error> {
    let agreed = wait::until(cluster, &mut app.console, Condition::Agreement).await;
    moved.and(agreed)
}

async fn ask_count(app: &mut App) -> Result<u16, Error> {
    loop {
        let question = format!("How many slots do you want to move (from 1 to {SLOT_COUNT})? ");
        let answer = app.console.ask(&question).await?;
        match answer.trim().parse() {
            Ok(count) if (1..=SLOT_COUNT).contains(&count) => return Ok(count),
            _ => {}
        }
    }
}

async fn ask_target(app: &mut App, snapshot: &Snapshot) -> Result<NodeId, Error> {
    loop {
        let answer = app.console.ask("What is the receiving node ID? ").await?;
        match master(snapshot, answer.trim()) {
            Some(target) => return Ok(target),
            None => app.console.line(NOT_A_TARGET),
        }
    }
}

async fn ask_sources(
    app: &mut App,
    snapshot: &Snapshot,
    target: &NodeId,
) -> Result<Vec<NodeId>, Error> {
    app.console.line("Please enter all the source node IDs.");
    app.console
        .line("  Type 'all' to use all the nodes as source nodes for the hash slots.");
    app.console
        .line("  Type 'done' once you entered all the source nodes IDs.");
    let mut sources = Vec::new();
    loop {
        let answer = app
            .console
            .ask(&format!("Source node #{}:", sources.len() + 1))
            .await?;
        match answer.trim() {
            "done" => return Ok(sources),
            "all" => return Ok(all_but(snapshot, target)),
            id => match master(snapshot, id) {
                None => app.console.line(NOT_A_SOURCE),
                Some(id) if id == *target => {
                    app.console
                        .line("*** It is not possible to use the target node as source node.");
                }
                Some(id) if sources.contains(&id) => {}
                Some(id) => sources.push(id),
            },
        }
    }
}

fn listed_sources(snapshot: &Snapshot, list: &str, target: &NodeId) -> Result<Vec<NodeId>, Error> {
    let mut sources = Vec::new();
    for id in list.split(',').map(str::trim).filter(|id| !id.is_empty()) {
        if id == "all" {
            return Ok(all_but(snapshot, target));
        }
        let source = master(snapshot, id).ok_or_else(|| refused(NOT_A_SOURCE))?;
        if !sources.contains(&source) {
            sources.push(source);
        }
    }
    Ok(sources)
}

fn all_but(snapshot: &Snapshot, target: &NodeId) -> Vec<NodeId> {
    snapshot
        .masters()
        .filter(|node| node.id != *target)
        .map(|node| node.id.clone())
        .collect()
}

fn master(snapshot: &Snapshot, id: &str) -> Option<NodeId> {
    snapshot
        .node(&NodeId::new(id))
        .filter(|node| node.is_master())
        .map(|node| node.id.clone())
}

fn show_plan(
    app: &mut App,
    snapshot: &Snapshot,
    sources: &[NodeId],
    target: &NodeId,
    moves: &[plan::Move],
) {
    let describe = |id: &NodeId| {
        let node = snapshot
            .node(id)
            .map(|node: &Node| node.describe(Some(snapshot.replica_count(id))));
        format!("    {}\n", node.unwrap_or_default())
    };
    let mut text = format!("\nReady to move {} slots.\n  Source nodes:\n", moves.len());
    text.extend(sources.iter().map(describe));
    text += "  Destination node:\n";
    text += &describe(target);
    text += "  Resharding plan:\n";
    for entry in moves {
        text += &format!("    Moving slot {} from {}\n", entry.slot, entry.source);
    }
    app.console.print(&text);
}

/// What was said about a rebalance.
#[derive(Clone, Debug)]
pub struct RebalanceArgs {
    /// `id=weight`, the id abbreviated as long as it is unique.
    pub weights: Vec<String>,
    /// Percent.
    pub threshold: f64,
    /// Give slots to masters that have none.
    pub use_empty_masters: bool,
    /// Only show.
    pub simulate: bool,
}

/// Moves slots until every master has its part.
///
/// # Errors
///
/// The cluster is not healthy, a weight makes no sense, or a slot cannot be moved.
pub async fn rebalance(app: &mut App, entry: &str, args: &RebalanceArgs) -> Result<(), Error> {
    let mut cluster = app.load(entry).await?;
    let weights = parse_weights(&cluster.snapshot, &args.weights)?;
    if !check_cluster(app, &mut cluster, false).await?.clean() {
        return Err(refused(
            "*** Please fix your cluster problems before rebalancing",
        ));
    }
    wait::until(&mut cluster, &mut app.console, Condition::Serving).await?;
    let whole_weights = weights.is_empty();
    let options = RebalanceOptions {
        weights,
        threshold: args.threshold,
        use_empty_masters: args.use_empty_masters,
    };
    match plan::rebalance(&cluster.snapshot, &options)? {
        Rebalance::Balanced => {
            let threshold = args.threshold;
            let line = format!(
                "*** No rebalancing needed! All nodes are within the {threshold:?}% threshold."
            );
            app.console.line(&line);
            Ok(())
        }
        Rebalance::Needed {
            nodes,
            total_weight,
            balances,
            shifts,
        } => {
            let total = if whole_weights {
                format!("{total_weight}")
            } else {
                format!("{total_weight:?}")
            };
            app.console.line(&format!(
                ">>> Rebalancing across {nodes} nodes. Total weight = {total}"
            ));
            if app.console.verbose() {
                for (id, balance) in &balances {
                    let label = cluster.snapshot.label(id);
                    app.console
                        .line(&format!("{label} balance is {balance} slots"));
                }
            }
            carry_out(app, &mut cluster, shifts, args.simulate).await
        }
    }
}

async fn carry_out(
    app: &mut App,
    cluster: &mut Cluster,
    shifts: Vec<Shift>,
    simulate: bool,
) -> Result<(), Error> {
    let mut moved = Ok(());
    for shift in shifts {
        let (source, target) = (
            cluster.snapshot.label(&shift.source),
            cluster.snapshot.label(&shift.target),
        );
        app.console.line(&format!(
            "Moving {} slots from {source} to {target}",
            shift.moves.len()
        ));
        if simulate {
            app.console.line(&"#".repeat(shift.moves.len()));
            continue;
        }
        moved = app
            .move_slots(cluster, &shift.moves, MoveMode::Live, Style::Hashes)
            .await;
        if moved.is_err() {
            break;
        }
    }
    if simulate {
        return Ok(());
    }
    finish(app, cluster, moved).await
}

fn parse_weights(snapshot: &Snapshot, weights: &[String]) -> Result<BTreeMap<NodeId, f64>, Error> {
    let mut parsed = BTreeMap::new();
    for entry in weights {
        let (id, weight) = entry.split_once('=').unwrap_or((entry, ""));
        let node = snapshot
            .node_by_prefix(id)
            .filter(|node| node.is_master() && !id.is_empty());
        let node = node.ok_or_else(|| refused(&format!("*** No such master node {id}")))?;
        let weight = weight
            .parse()
            .map_err(|_| plan::PlanError::Weight(weight.to_owned()))?;
        parsed.insert(node.id.clone(), weight);
    }
    Ok(parsed)
}

fn refused(line: &str) -> Error {
    Error::Refused(line.to_owned())
}
