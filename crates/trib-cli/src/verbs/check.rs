//! `check`, `fix` and `info`; the check is also what other verbs begin and end with.

use std::collections::BTreeMap;
use std::time::Duration;

use client::Command;

use crate::plan::{SlotKeys, fix_coverage, fix_open_slots};
use crate::{App, Cluster, Error, SLOT_COUNT, SlotSet, wait};

/// How long a check lets nodes that just learned something come to agree, before it calls that an error.
const SETTLE: Duration = Duration::from_secs(5);

/// What a check found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// Lines marked `[ERR]`.
    pub(crate) errors: usize,
    /// Lines marked `[WARNING]`.
    pub(crate) warnings: usize,
}

impl Findings {
    pub(crate) fn clean(self) -> bool {
        self.errors + self.warnings == 0
    }
}

/// Checks a cluster.
///
/// # Errors
///
/// It cannot be reached; [`Error::Unhealthy`] after errors were printed (warnings are none).
pub async fn check(app: &mut App, entry: &str) -> Result<(), Error> {
    let mut cluster = app.load(entry).await?;
    let findings = check_cluster(app, &mut cluster, true).await?;
    if findings.errors > 0 {
        Err(Error::Unhealthy)
    } else {
        Ok(())
    }
}

/// Prints the state of a cluster: nodes (unless quiet), agreement, open slots, coverage.
pub(crate) async fn check_cluster(
    app: &mut App,
    cluster: &mut Cluster,
    show: bool,
) -> Result<Findings, Error> {
    let mut findings = check_agreement(app, cluster, show).await?;
    findings.warnings += tell_open_slots(app, cluster);
    app.console.line(">>> Check slots coverage...");
    findings.errors += usize::from(!tell_coverage(app, cluster));
    Ok(findings)
}

async fn check_agreement(
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
        warnings: 0,
    })
}

fn show_nodes(app: &mut App, cluster: &Cluster) {
    for node in &cluster.snapshot.nodes {
        let replicas = cluster.snapshot.replica_count(&node.id);
        app.console.line(&node.describe(Some(replicas)));
    }
}

/// How many nodes have open slots.
fn tell_open_slots(app: &mut App, cluster: &Cluster) -> usize {
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
fn tell_coverage(app: &mut App, cluster: &Cluster) -> bool {
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

/// Repairs open and uncovered slots, then checks again.
///
/// # Errors
///
/// A repair failed, or errors are left.
pub async fn fix(app: &mut App, entry: &str) -> Result<(), Error> {
    let mut cluster = app.load(entry).await?;
    let before = check_agreement(app, &mut cluster, true).await?;
    let open = tell_open_slots(app, &cluster);
    if open > 0 {
        let slots = cluster.snapshot.open_slots();
        let keys = count_keys(&mut cluster, &slots).await?;
        // The planned state is not needed: what really came out is read again.
        let steps = fix_open_slots(&mut cluster.snapshot.clone(), &keys);
        app.run(&mut cluster, steps).await?;
        cluster.reload().await?;
    }
    app.console.line(">>> Check slots coverage...");
    let covered = tell_coverage(app, &cluster);
    if !covered {
        let slots = cluster.snapshot.uncovered();
        let keys = count_keys(&mut cluster, &slots).await?;
        let steps = fix_coverage(&cluster.snapshot, &keys);
        app.run(&mut cluster, steps).await?;
    }
    if before.clean() && open == 0 && covered {
        return Ok(());
    }
    let after = check_cluster(app, &mut cluster, false).await?;
    if after.clean() {
        Ok(())
    } else {
        Err(Error::Unhealthy)
    }
}

/// How many keys of these slots each master holds.
async fn count_keys(cluster: &mut Cluster, slots: &SlotSet) -> Result<SlotKeys, Error> {
    let mut keys: SlotKeys = BTreeMap::new();
    let masters: Vec<_> = cluster
        .snapshot
        .masters()
        .map(|node| node.id.clone())
        .collect();
    for id in masters {
        let count = |slot: u16| Command::from(["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]);
        let replies = cluster
            .pipeline(&id, slots.iter().map(count).collect::<Vec<_>>())
            .await?;
        for (slot, reply) in slots.iter().zip(replies) {
            let count = reply
                .as_int()
                .and_then(|count| u64::try_from(count).ok())
                .unwrap_or(0);
            if count > 0 {
                keys.entry(slot).or_default().insert(id.clone(), count);
            }
        }
    }
    Ok(keys)
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
