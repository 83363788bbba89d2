//! `check` and `info`; the check is also what other verbs begin and end with.

use std::time::Duration;

use crate::snapshot::Node;
use crate::{App, Cluster, Error, SLOT_COUNT, SlotSet, wait};

/// How long a check lets nodes that just learned something come to agree, before it calls that an error.
pub(super) const SETTLE: Duration = Duration::from_secs(5);

/// What a check found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// Lines marked `[ERR]`.
    pub(crate) errors: usize,
    /// Lines marked `[WARNING]` that speak of open slots.
    pub(crate) warnings: usize,
    /// Nodes that belong to the cluster and cannot be reached. What can be done without them is no less possible.
    pub(crate) absent: usize,
}

impl Findings {
    /// Whether slots can be moved.
    pub(crate) fn clean(self) -> bool {
        self.errors + self.warnings == 0
    }
}

/// Checks a cluster.
///
/// # Errors
///
/// It cannot be reached; [`Error::Unhealthy`] after errors were printed, or where slots are open.
pub async fn check(app: &mut App, entry: &str) -> Result<(), Error> {
    let mut cluster = app.load(entry).await?;
    let findings = check_cluster(app, &mut cluster, true).await?;
    if findings.clean() && findings.absent == 0 {
        Ok(())
    } else {
        Err(Error::Unhealthy)
    }
}

/// Prints the state of a cluster: nodes (unless quiet), agreement, absent nodes, open slots, coverage.
pub(crate) async fn check_cluster(
    app: &mut App,
    cluster: &mut Cluster,
    show: bool,
) -> Result<Findings, Error> {
    let mut findings = check_agreement(app, cluster, show).await?;
    findings.absent = tell_absent(app, cluster);
    tell_bare_masters(app, cluster);
    findings.warnings += tell_open_slots(app, cluster);
    app.console.line(">>> Check slots coverage...");
    findings.errors += usize::from(!tell_coverage(app, cluster));
    Ok(findings)
}

pub(super) async fn check_agreement(
    app: &mut App,
    cluster: &mut Cluster,
    show: bool,
) -> Result<Findings, Error> {
    app.console.line(&format!(
        ">>> Performing Cluster Check (using node {})",
        cluster.entry
    ));
    let agreed = wait::agreed_within(cluster, &mut app.console, SETTLE).await?;
    cluster.reload().await?;
    if show {
        show_nodes(app, cluster);
    }
    if agreed {
        app.console
            .line("[OK] All nodes agree about slots configuration.");
        return Ok(Findings::default());
    }
    app.console
        .line("[ERR] Nodes don't agree about configuration!");
    Ok(Findings {
        errors: 1,
        ..Findings::default()
    })
}

fn show_nodes(app: &mut App, cluster: &Cluster) {
    for node in &cluster.snapshot.nodes {
        let replicas = cluster.snapshot.replica_count(&node.id);
        app.console.line(&node.describe(Some(replicas)));
    }
}

/// Nodes that the others know and nobody could ask; how many.
fn tell_absent(app: &mut App, cluster: &Cluster) -> usize {
    let absent = cluster.snapshot.missing.iter();
    let absent: Vec<&Node> = absent.filter(|node| !node.has_flag("handshake")).collect();
    for node in &absent {
        let role = match &node.master {
            Some(master) => format!("replica of {}", cluster.snapshot.label(master)),
            None if node.slots.is_empty() => "master without slots".into(),
            None => format!("master of {} slots", node.slots.len()),
        };
        let (name, reason) = (node_name(node), cluster.reason(&node.id));
        app.console.line(&format!(
            "[ERR] {name}, {role}, can't be reached: {reason}."
        ));
    }
    absent.len()
}

/// A node's address with its id; only the id where it has no address.
pub(super) fn node_name(node: &Node) -> String {
    if node.has_address() {
        format!("{} ({})", node.address, node.id)
    } else {
        format!("Node {} (no address known)", node.id)
    }
}

/// Masters without replicas, where other masters have some.
fn tell_bare_masters(app: &mut App, cluster: &Cluster) {
    let snapshot = &cluster.snapshot;
    if snapshot.nodes.iter().all(|node| node.master.is_none()) {
        return;
    }
    let serving = snapshot.masters().filter(|node| !node.slots.is_empty());
    for node in serving.filter(|node| snapshot.replica_count(&node.id) == 0) {
        app.console.line(&format!(
            "[WARNING] Master {} has no replica that can be reached: its slots fail with it.",
            node.address
        ));
    }
}

/// How many nodes have open slots.
pub(super) fn tell_open_slots(app: &mut App, cluster: &Cluster) -> usize {
    app.console.line(">>> Check for open slots...");
    let mut nodes = 0;
    for node in &cluster.snapshot.nodes {
        for (open, state) in [
            (&node.migrating, "migrating"),
            (&node.importing, "importing"),
        ] {
            if !open.is_empty() {
                let (address, slots) = (&node.address, open.keys().copied().collect::<SlotSet>());
                app.console.line(&format!(
                    "[WARNING] Node {address} has slots in {state} state ({slots})."
                ));
                nodes += 1;
            }
        }
    }
    let open = cluster.snapshot.open_slots();
    if !open.is_empty() {
        app.console
            .line(&format!("[WARNING] The following slots are open: {open}"));
    }
    nodes
}

/// Whether every slot has an owner.
pub(super) fn tell_coverage(app: &mut App, cluster: &Cluster) -> bool {
    let covered = cluster.snapshot.uncovered().is_empty();
    if covered {
        app.console
            .line(&format!("[OK] All {SLOT_COUNT} slots covered."));
    } else {
        app.console.line(&format!(
            "[ERR] Not all {SLOT_COUNT} slots are covered by nodes."
        ));
    }
    covered
}

/// Prints how many keys, slots and replicas each master has.
///
/// # Errors
///
/// The cluster cannot be reached, or a node stops answering.
pub async fn info(app: &mut App, entry: &str) -> Result<(), Error> {
    let mut cluster = app.load(entry).await?;
    let masters: Vec<_> = cluster.snapshot.masters().cloned().collect();
    let mut total = 0_i64;
    for node in &masters {
        let keys = cluster
            .query(&node.id, ["DBSIZE"])
            .await?
            .as_int()
            .unwrap_or(0);
        total = total.saturating_add(keys);
        let (id, slots) = (
            node.id.as_str().get(..8).unwrap_or_default(),
            node.slots.len(),
        );
        let replicas = cluster.snapshot.replica_count(&node.id);
        let line = format!(
            "{} ({id}...) -> {keys} keys | {slots} slots | {replicas} slaves.",
            node.address
        );
        app.console.line(&line);
    }
    app.console
        .line(&format!("[OK] {total} keys in {} masters.", masters.len()));
    #[expect(clippy::cast_precision_loss, reason = "two decimals are shown")]
    let average = total as f64 / f64::from(SLOT_COUNT);
    app.console
        .line(&format!("{average:.2} keys per slot on average."));
    Ok(())
}
