//! `reshard` and `rebalance`: slots change hands.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::sleep;

use super::check::check_cluster;
use super::fix::{close_slots, tell_kept};
use super::journal::Journal;
use super::loads;
use crate::plan::{self, Condition, MoveMode, Rebalance, RebalanceOptions, Shift};
use crate::snapshot::{Node, NodeId, Snapshot};
use crate::{App, Cluster, Error, SLOT_COUNT, SlotSet, wait};

/// Open slots that stay the same for so long are nobody's work in progress.
const STANDSTILL: Duration = Duration::from_secs(2);
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
    let mut cluster = prepare(app, entry, true, "resharding").await?;
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
    let journal = Journal::new(&target, &sources, count);
    let moves = match journal.rest(&mut cluster, &sources, &target).await? {
        Some(rest) => {
            let (left, count) = (rest.len(), usize::from(count));
            app.console.line(&format!(
                "*** Going on with a reshard that was stopped: {left} of {count} slots are left"
            ));
            rest
        }
        None => plan::reshard(&cluster.snapshot, &sources, &target, usize::from(count)),
    };
    if moves.is_empty() {
        journal.end(app, &mut cluster).await;
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
    journal.begin(app, &mut cluster, &moves).await;
    let moved = app.move_slots(&mut cluster, &moves, MoveMode::Live).await;
    let done = finish(app, &mut cluster, moved).await?;
    journal.end(app, &mut cluster).await;
    let node = cluster.snapshot.node(&target);
    let slots = node.map_or(0, |node| node.slots.len());
    let label = cluster.snapshot.label(&target);
    app.console
        .line(&format!("[OK] {done}. {label} has {slots} slots now."));
    Ok(())
}

/// Connects, checks, and finishes what an earlier move left open in the middle.
pub(super) async fn prepare(
    app: &mut App,
    entry: &str,
    show: bool,
    what: &str,
) -> Result<Cluster, Error> {
    let mut cluster = app.load(entry).await?;
    let findings = check_cluster(app, &mut cluster, show).await?;
    let whole = findings.clean() || (findings.errors == 0 && go_on(app, &mut cluster).await?);
    if !whole {
        let line = format!("*** Please fix your cluster problems before {what}");
        return Err(refused(&line));
    }
    // A node that has just come takes no keys before it knows the others.
    wait::until(&mut cluster, &mut app.console, Condition::Serving).await?;
    Ok(cluster)
}

/// Finishes moves that were stopped in the middle of a slot, unless whoever began them is still at it; whether
/// nothing is open any more.
async fn go_on(app: &mut App, cluster: &mut Cluster) -> Result<bool, Error> {
    let open = cluster.snapshot.open_slots();
    sleep(STANDSTILL).await;
    cluster.reload().await?;
    if cluster.snapshot.open_slots() != open || !cluster.snapshot.needed().is_empty() {
        return Ok(false);
    }
    app.console.line(&format!(
        "*** Finishing moves that were stopped in the middle: {open}"
    ));
    close_slots(app, cluster).await?;
    tell_kept(app);
    Ok(cluster.snapshot.open_slots().is_empty())
}

/// Lets all nodes come to know what moved, also when not everything could be.
async fn finish(
    app: &mut App,
    cluster: &mut Cluster,
    moved: Result<String, Error>,
) -> Result<String, Error> {
    let agreed = wait::until(cluster, &mut app.console, Condition::Agreement).await;
    let moved = moved?;
    agreed.map(|()| moved)
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
    for source in sources {
        let slots = moves.iter().filter(|entry| entry.source == *source);
        let slots: SlotSet = slots.map(|entry| entry.slot).collect();
        if !slots.is_empty() {
            let (label, count) = (snapshot.label(source), slots.len());
            text += &format!("    Moving {count} slots from {label}: {slots}\n");
        }
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
    /// What is balanced.
    pub by: Balance,
    /// Look again after so long, until interrupted.
    pub watch: Option<Duration>,
}

/// What masters shall have alike.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Balance {
    /// The number of slots.
    #[default]
    Slots,
    /// The number of keys.
    Keys,
    /// The memory of the keys.
    Bytes,
    /// The time that commands on the slots took. Nodes must count it: cluster-slot-stats-enabled.
    Load,
}

/// Moves slots until every master has its part, once, or again and again.
///
/// # Errors
///
/// The cluster is not healthy, a weight makes no sense, or a slot cannot be moved. Where it watches, only an
/// interrupt ends it: what fails now may work the next time.
pub async fn rebalance(app: &mut App, entry: &str, args: &RebalanceArgs) -> Result<(), Error> {
    let Some(pause) = args.watch else {
        return rebalance_once(app, entry, args).await;
    };
    loop {
        match rebalance_once(app, entry, args).await {
            Err(error @ Error::Interrupted { .. }) => return Err(error),
            // It came when the last slot was on its way.
            done if app.interrupt.was_requested() => return done,
            Err(error) => app.console.line(&error.to_string()),
            Ok(()) => {}
        }
        sleep(pause).await;
    }
}

async fn rebalance_once(app: &mut App, entry: &str, args: &RebalanceArgs) -> Result<(), Error> {
    let mut cluster = prepare(app, entry, false, "rebalancing").await?;
    let weights = parse_weights(&cluster.snapshot, &args.weights)?;
    let whole_weights = weights.is_empty();
    let options = RebalanceOptions {
        weights,
        threshold: args.threshold,
        use_empty_masters: args.use_empty_masters,
    };
    if args.by != Balance::Slots {
        let loads = loads::slot_loads(&mut cluster, args.by).await?;
        let shifts = plan::rebalance_by(&cluster.snapshot, &loads, &options)?;
        if shifts.is_empty() {
            app.console.line(
                "*** No rebalancing needed! All nodes are within the threshold, as nearly as whole slots allow.",
            );
            return Ok(());
        }
        return carry_out(app, &mut cluster, shifts, args.simulate).await;
    }
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

/// Moves what shall move, all of it at the same time where the nodes are not the same.
pub(super) async fn carry_out(
    app: &mut App,
    cluster: &mut Cluster,
    shifts: Vec<Shift>,
    simulate: bool,
) -> Result<(), Error> {
    let mut moves = Vec::new();
    for shift in shifts {
        let (source, target) = (
            cluster.snapshot.label(&shift.source),
            cluster.snapshot.label(&shift.target),
        );
        let slots: SlotSet = shift.moves.iter().map(|entry| entry.slot).collect();
        app.console.line(&format!(
            "Moving {} slots from {source} to {target}: {slots}",
            shift.moves.len()
        ));
        moves.extend(shift.moves);
    }
    if simulate {
        return Ok(());
    }
    let moved = app.move_slots(cluster, &moves, MoveMode::Live).await;
    let done = finish(app, cluster, moved).await?;
    app.console.line(&format!("[OK] {done}."));
    Ok(())
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
