//! `fix`: open slots are closed and slots of nobody are given to somebody, without losing what anyone holds.
//!
//! A repair in the middle of an outage destroys what the outage left whole. So first of all it is waited for nodes
//! that do not answer and for the failover that may come; then for all nodes to agree. What belongs to a node that
//! still does not answer is left alone unless the user gives that node up in so many words.

use std::collections::BTreeMap;
use std::time::Duration;

use client::{Command, Value};

use super::check::{
    SETTLE, check_agreement, check_cluster, node_name, tell_coverage, tell_open_slots,
};
use crate::console::Probe;
use crate::plan::{SlotKeys, Step, fix_coverage, fix_open_slots, fix_strays};
use crate::snapshot::{Node, NodeId};
use crate::{App, Cluster, Error, SlotSet, wait};

/// Longest wait for a failover, or for nodes that do not answer.
const OUTAGE_LIMIT: Duration = Duration::from_secs(40);
/// The same where no replica could take over.
const RETURN_LIMIT: Duration = Duration::from_secs(10);
/// Longest wait for agreement.
const AGREEMENT_LIMIT: Duration = Duration::from_secs(30);
/// How often it is begun anew when the cluster changed under the plan, or clients did.
const PASSES: usize = 4;

const LEFT_ALONE: &str = "*** Nothing was changed. Bring these nodes back, or let their replicas take over; then run \
                          fix again. To give them up, with all that only they hold, say --give-up-unreachable.";

/// Repairs open and uncovered slots, then checks again.
///
/// # Errors
///
/// Nodes that slots depend on cannot be reached and were not given up, nodes do not agree (then nothing was
/// changed), a repair failed, or errors are left.
pub async fn fix(app: &mut App, entry: &str, give_up_unreachable: bool) -> Result<(), Error> {
    let mut cluster = app.load(entry).await?;
    let timeout = cluster.node_timeout().await?;
    let before = check_agreement(app, &mut cluster, true).await?;
    let waited = await_needed(app, &mut cluster, timeout).await?;
    let gave_up = give_up(app, &mut cluster, give_up_unreachable).await?;
    settle(app, &mut cluster, timeout).await?;
    let mut worked = gave_up || waited;
    for _ in 0..PASSES {
        match pass(app, &mut cluster).await {
            Ok(false) => break,
            Ok(true) => worked = true,
            Err(error @ Error::Changed(_)) => {
                worked = true;
                app.console.line(&error.to_string());
                cluster.refresh().await?;
                require_all_needed(&cluster)?;
                settle(app, &mut cluster, timeout).await?;
            }
            Err(error) => {
                tell_kept(app);
                return Err(error);
            }
        }
    }
    tell_kept(app);
    if before.clean() && !worked {
        return Ok(());
    }
    if check_cluster(app, &mut cluster, false).await?.clean() {
        Ok(())
    } else {
        Err(Error::Unhealthy)
    }
}

/// Waits until no slot depends on a node that does not answer: it came back, or a replica took its place. Whether
/// there was anything to wait for.
async fn await_needed(
    app: &mut App,
    cluster: &mut Cluster,
    node_timeout: Duration,
) -> Result<bool, Error> {
    let needed = cluster.snapshot.needed();
    if needed.is_empty() {
        return Ok(false);
    }
    let promotable = needed
        .iter()
        .any(|node| cluster.snapshot.replica_count(&node.id) > 0);
    let limit = if promotable {
        let failover = node_timeout.saturating_mul(2) + SETTLE;
        failover.min(OUTAGE_LIMIT)
    } else {
        RETURN_LIMIT
    };
    let what = if promotable {
        "Waiting for a failover, or for nodes to answer again"
    } else {
        "Waiting for nodes to answer again (they have no replica that could take over)"
    };
    let probe = async || {
        cluster.refresh().await?;
        let needed = cluster.snapshot.needed();
        Ok(needed.first().map_or(Probe::Done, |node| {
            let reason = cluster.reason(&node.id);
            Probe::Pending(format!("{}: {reason}", node_name(node)))
        }))
    };
    match app.console.wait(what, limit, probe).await {
        Ok(()) => {
            app.console
                .line("[OK] Every slot has a node that answers for it, or never had one.");
            Ok(true)
        }
        Err(Error::TimedOut { .. }) => Ok(true),
        Err(error) => Err(error),
    }
}

/// Names the nodes that slots depend on and that cannot be reached, and what would be lost with them. Goes on only
/// if the user gives them up; whether that was so.
async fn give_up(app: &mut App, cluster: &mut Cluster, allowed: bool) -> Result<bool, Error> {
    let needed: Vec<Node> = cluster.snapshot.needed().into_iter().cloned().collect();
    if needed.is_empty() {
        return Ok(false);
    }
    let mut heirs = Vec::new();
    for node in &needed {
        let heir = tell_loss(app, cluster, node).await?;
        heirs.extend(heir);
    }
    if app.assume_yes && !allowed {
        return Err(Error::Refused(LEFT_ALONE.into()));
    }
    if !app.assume_yes {
        let names: Vec<String> = needed.iter().map(|node| node.address.to_string()).collect();
        let question = format!(
            "Give up {}, with all that only they hold?",
            names.join(", ")
        );
        let answer = app.console.confirm(&question).await;
        answer.map_err(|_| Error::Refused(LEFT_ALONE.into()))?;
    }
    // It may have come back while the user thought about it.
    cluster.refresh().await?;
    for node in &needed {
        if let Some(back) = cluster.snapshot.node(&node.id) {
            let line = format!("*** {} answers again and is not given up", back.address);
            app.console.line(&line);
        } else {
            cluster.given_up.insert(node.id.clone());
        }
    }
    for (heir, master) in heirs {
        if cluster.given_up.contains(&master) {
            take_over(app, cluster, &heir).await?;
        }
    }
    cluster.refresh().await?;
    Ok(true)
}

fn require_all_needed(cluster: &Cluster) -> Result<(), Error> {
    match cluster.snapshot.needed().first() {
        None => Ok(()),
        Some(node) => Err(Error::Refused(format!(
            "[ERR] {} can't be reached any more: {}. Run fix again.",
            node_name(node),
            cluster.reason(&node.id)
        ))),
    }
}

/// Tells what is lost with a node. The replica that would take its place comes back, with whose place it is.
async fn tell_loss(
    app: &mut App,
    cluster: &mut Cluster,
    node: &Node,
) -> Result<Option<(NodeId, NodeId)>, Error> {
    let reason = cluster.reason(&node.id).to_owned();
    app.console.line(&format!(
        "[ERR] {} can't be reached: {reason}.",
        node_name(node)
    ));
    if node.slots.is_empty() {
        let line = "      A slot was being moved from or to it: it may hold keys of that slot.";
        app.console.line(line);
        return Ok(None);
    }
    app.console.line(&format!(
        "      It owns {} slots: {}",
        node.slots.len(),
        node.slots
    ));
    let heir = best_replica(cluster, &node.id).await?;
    match &heir {
        Some((id, keys)) => {
            let label = cluster.snapshot.label(id);
            app.console.line(&format!(
                "      Its replica {label} holds {keys} keys and would take its place: only writes that had not \
                 reached it are lost."
            ));
        }
        None => app.console.line(
            "      No replica of it can be reached: all keys of these slots are lost with it.",
        ),
    }
    Ok(heir.map(|(id, _)| (id, node.id.clone())))
}

/// The replica of a node that has most of its stream, and how many keys it has.
async fn best_replica(
    cluster: &mut Cluster,
    master: &NodeId,
) -> Result<Option<(NodeId, i64)>, Error> {
    let replicas = cluster.snapshot.nodes.iter();
    let replicas = replicas.filter(|node| node.master.as_ref() == Some(master));
    let mut best = None;
    for id in replicas.map(|node| node.id.clone()).collect::<Vec<_>>() {
        let info = cluster.query(&id, ["INFO", "replication"]).await?;
        let keys = cluster.query(&id, ["DBSIZE"]).await?.as_int().unwrap_or(0);
        let rank = (replication_offset(&info), keys, id);
        best = best.max(Some(rank));
    }
    Ok(best.map(|(_, keys, id)| (id, keys)))
}

fn replication_offset(info: &Value) -> i64 {
    let text = info.as_str().unwrap_or_default();
    let field = |name: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(name));
        line.and_then(|value| value.parse().ok())
    };
    field("slave_repl_offset:")
        .or(field("master_repl_offset:"))
        .unwrap_or(0)
}

async fn take_over(app: &mut App, cluster: &mut Cluster, heir: &NodeId) -> Result<(), Error> {
    let label = cluster.snapshot.label(heir);
    app.console
        .line(&format!(">>> {label} takes its master's place"));
    let step = Step::TakeOver { node: heir.clone() };
    app.run(cluster, vec![step]).await?;
    let probe = async || {
        cluster.reload().await?;
        let done = cluster
            .snapshot
            .node(heir)
            .is_some_and(|node| node.is_master());
        Ok(if done {
            Probe::Done
        } else {
            Probe::Pending("it is still a replica".into())
        })
    };
    app.console
        .wait(
            &format!("Waiting for {label} to be a master"),
            RETURN_LIMIT,
            probe,
        )
        .await
}

/// Lets all nodes come to agree. Where one node alone claims slots that others do not see there, its claim gets a
/// new epoch; where two do, only they can sort it out.
async fn settle(app: &mut App, cluster: &mut Cluster, node_timeout: Duration) -> Result<(), Error> {
    let limit = node_timeout
        .saturating_mul(2)
        .clamp(SETTLE, AGREEMENT_LIMIT);
    let agreed = wait::agreed_within(cluster, &mut app.console, limit).await?;
    cluster.reload().await?;
    if agreed {
        return Ok(());
    }
    let twice = cluster.snapshot.claimed_twice();
    if !twice.is_empty() {
        let claim = |node: &&Node| node.slots.iter().any(|slot| twice.contains(slot));
        let claimants = cluster.snapshot.masters().filter(claim);
        let names: Vec<String> = claimants.map(|node| node.address.to_string()).collect();
        return Err(Error::Refused(format!(
            "[ERR] {} claim the same slots ({twice}) and do not hear of each other.\n*** Nothing was changed. Make sure \
             that the nodes reach each other's bus ports, then run fix again.",
            names.join(" and ")
        )));
    }
    let views = cluster.views().await?;
    for node in cluster.snapshot.masters().cloned().collect::<Vec<_>>() {
        let seen = |view: &Vec<Node>| {
            view.iter()
                .find(|other| other.id == node.id)
                .is_none_or(|other| other.slots == node.slots)
        };
        if !node.slots.is_empty() && !views.values().all(seen) {
            app.console.line(&format!(
                ">>> {} owns slots that not all nodes see there: it gets a new epoch",
                node.address
            ));
            app.run(cluster, vec![Step::BumpEpoch { node: node.id }])
                .await?;
        }
    }
    Ok(())
}

/// Looks once at everything and repairs what it finds; whether there was anything.
async fn pass(app: &mut App, cluster: &mut Cluster) -> Result<bool, Error> {
    cluster.reload().await?;
    let open = tell_open_slots(app, cluster);
    if open > 0 {
        close_slots(app, cluster).await?;
    }
    app.console.line(">>> Check slots coverage...");
    let covered = tell_coverage(app, cluster);
    if !covered {
        cover_slots(app, cluster).await?;
    }
    Ok(open > 0 || !covered)
}

/// Closes all open slots, with all keys at their owners.
pub(super) async fn close_slots(app: &mut App, cluster: &mut Cluster) -> Result<(), Error> {
    let slots = cluster.snapshot.open_slots();
    let masters = cluster.snapshot.master_ids();
    let keys = count_keys(cluster, masters, &slots).await?;
    // The planned state is not needed: what really came out is read again.
    let steps = fix_open_slots(&mut cluster.snapshot.clone(), &keys);
    app.run(cluster, steps).await?;
    cluster.reload().await?;
    // A client that was sent to another node before the slot was closed may have written there since.
    let masters = cluster.snapshot.master_ids();
    let keys = count_keys(cluster, masters, &slots).await?;
    let steps = fix_strays(&cluster.snapshot, &keys);
    app.run(cluster, steps).await?;
    cluster.reload().await
}

async fn cover_slots(app: &mut App, cluster: &mut Cluster) -> Result<(), Error> {
    let slots = cluster.snapshot.unowned();
    let masters = cluster.snapshot.master_ids();
    let keys = count_keys(cluster, masters, &slots).await?;
    let replicas = cluster
        .snapshot
        .nodes
        .iter()
        .filter(|node| !node.is_master());
    let replicas = replicas.map(|node| node.id.clone()).collect();
    let copies = count_keys(cluster, replicas, &slots).await?;
    let only_copies: SlotSet = copies
        .keys()
        .filter(|slot| !keys.contains_key(slot))
        .copied()
        .collect();
    if let Some(holder) = copies
        .values()
        .flat_map(BTreeMap::keys)
        .next()
        .filter(|_| !only_copies.is_empty())
    {
        return Err(Error::Refused(format!(
            "[ERR] Keys of slots {only_copies}, which nobody owns, are only at replicas such as {}.\n*** These slots were \
             not given to anyone. Promote that replica (CLUSTER FAILOVER TAKEOVER), then run fix again.",
            cluster.snapshot.label(holder)
        )));
    }
    let steps = fix_coverage(&cluster.snapshot, &keys);
    app.run(cluster, steps).await
}

/// How many keys of these slots each of the nodes holds.
async fn count_keys(
    cluster: &mut Cluster,
    nodes: Vec<NodeId>,
    slots: &SlotSet,
) -> Result<SlotKeys, Error> {
    let mut keys: SlotKeys = BTreeMap::new();
    for id in nodes {
        let count = |slot: u16| Command::from(["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]);
        let replies = cluster
            .pipeline(&id, slots.iter().map(count).collect::<Vec<_>>())
            .await?;
        for (slot, reply) in slots.iter().zip(replies) {
            // An error is not zero: a node that is busy or loading may hold keys all the same.
            let count = reply.as_int().and_then(|count| u64::try_from(count).ok());
            let count = count.ok_or_else(|| Error::BadReply {
                address: cluster.snapshot.label(&id),
                problem: reply
                    .as_error()
                    .unwrap_or("COUNTKEYSINSLOT answered no number")
                    .to_owned(),
            })?;
            if count > 0 {
                keys.entry(slot).or_default().insert(id.clone(), count);
            }
        }
    }
    Ok(keys)
}

/// Says where copies are that lost against their owner's value.
pub(super) fn tell_kept(app: &mut App) {
    let copies = app.keeper.copies();
    if copies > 0 {
        let path = app.keeper.path().display().to_string();
        app.console.line(&format!(
            "*** {copies} copies that differed from their owner's values are kept in {path}, as RESTORE commands \
             (redis-cli -c --pipe takes them)"
        ));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_of_a_replica_is_its_own_else_its_streams() {
        let info = |text: &str| replication_offset(&Value::Bulk(text.to_owned().into()));
        assert_eq!(
            info("role:slave\r\nslave_repl_offset:7\r\nmaster_repl_offset:9\r\n"),
            7
        );
        assert_eq!(info("role:master\r\nmaster_repl_offset:9\r\n"), 9);
        assert_eq!(info(""), 0);
    }
}
