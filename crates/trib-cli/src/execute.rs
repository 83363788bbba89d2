//! Carrying out plans: steps become commands, moves become movers, and the user sees what happens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use client::Command;
use indicatif::ProgressBar;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;

use crate::mover::{Dialect, End, Event, MoveOptions, Mover};
use crate::plan::{Move, MoveMode, Step};
use crate::snapshot::NodeId;
use crate::wait;
use crate::{Cluster, Console, Error, Settings, Slot, SlotSet};

/// Movers that work at the same time.
const MOVERS: usize = 8;
/// Movers between the same two nodes: while one waits for a node's disk or for answers, the other one has work for them.
const LANES: usize = 2;
/// So many slots are worth a mover of their own.
const LANE_SLOTS: usize = 64;
/// Slots of one ADDSLOTS or DELSLOTS.
const SLOTS_PER_COMMAND: usize = 2048;

/// What every verb needs: the user's terminal, and how to deal with nodes.
#[derive(Debug)]
pub struct App {
    /// Lines out, answers in.
    pub console: Console,
    /// How nodes are talked to.
    pub settings: Settings,
    /// MIGRATE's time limit.
    pub migrate_timeout: Duration,
    /// Keys of one MIGRATE, where the user fixed it.
    pub pipeline: Option<usize>,
    /// Every question is answered with yes.
    pub assume_yes: bool,
    /// The user's wish to stop.
    pub interrupt: Arc<Interrupt>,
}

/// How an interrupt gets to a move: outside of moves the process simply ends.
#[derive(Debug, Default)]
pub struct Interrupt {
    moving: AtomicBool,
    stop: Arc<AtomicBool>,
}

impl Interrupt {
    /// Asks a running move to stop when no slot is open. `false`: nothing moves, or it was asked already.
    pub fn request_stop(&self) -> bool {
        self.moving.load(Ordering::Relaxed) && !self.stop.swap(true, Ordering::Relaxed)
    }
}

/// What is printed for each slot that moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// A line with a dot for each key.
    Lines,
    /// A `#`.
    Hashes,
}

impl App {
    /// The usual settings.
    #[must_use]
    pub fn new(console: Console) -> Self {
        Self {
            console,
            settings: Settings::default(),
            migrate_timeout: Duration::from_secs(60),
            pipeline: None,
            assume_yes: false,
            interrupt: Arc::default(),
        }
    }

    /// Connects to a cluster through one of its nodes.
    ///
    /// # Errors
    ///
    /// As for [`Cluster::load`].
    pub async fn load(&mut self, entry: &str) -> Result<Cluster, Error> {
        let entry = entry.parse()?;
        Cluster::load(&entry, &self.settings, &mut self.console).await
    }

    /// Goes on only if the user says yes, now or beforehand.
    ///
    /// # Errors
    ///
    /// As for [`Console::confirm`].
    pub async fn confirm(&mut self, question: &str) -> Result<(), Error> {
        if self.assume_yes {
            Ok(())
        } else {
            self.console.confirm(question).await
        }
    }

    /// Carries out steps in order.
    ///
    /// # Errors
    ///
    /// The first step that fails ends it.
    pub async fn run(&mut self, cluster: &mut Cluster, steps: Vec<Step>) -> Result<(), Error> {
        for step in steps {
            self.step(cluster, step).await?;
        }
        Ok(())
    }

    async fn step(&mut self, cluster: &mut Cluster, step: Step) -> Result<(), Error> {
        match step {
            Step::Say(text) => self.console.line(&text),
            Step::Confirm(question) => self.confirm(&question).await?,
            Step::AddSlots { node, slots } => {
                slots_command(cluster, &node, "ADDSLOTS", &slots).await?;
            }
            Step::TakeSlots { node, slots } => take_slots(cluster, &node, &slots).await?,
            Step::DropSlot { node, slot } => {
                cluster
                    .query(&node, ["CLUSTER", "DELSLOTS", &slot.to_string()])
                    .await?;
            }
            Step::SetConfigEpoch { node, epoch } => {
                let command = ["CLUSTER", "SET-CONFIG-EPOCH", &epoch.to_string()];
                // A node that has an epoch already refuses; the cluster sorts equal epochs out by itself.
                cluster.pipeline(&node, [command.into()]).await?;
            }
            Step::BumpEpoch { node } => {
                cluster.query(&node, ["CLUSTER", "BUMPEPOCH"]).await?;
            }
            Step::Meet { node, with } => meet(cluster, &node, &with).await?,
            Step::Replicate { node, master } => {
                cluster
                    .query(&node, ["CLUSTER", "REPLICATE", master.as_str()])
                    .await?;
            }
            Step::SetStable { node, slot } => {
                cluster
                    .query(&node, ["CLUSTER", "SETSLOT", &slot.to_string(), "STABLE"])
                    .await?;
            }
            Step::SetImporting { node, slot, from } => {
                let command = [
                    "CLUSTER",
                    "SETSLOT",
                    &slot.to_string(),
                    "IMPORTING",
                    from.as_str(),
                ];
                cluster.query(&node, command).await?;
            }
            Step::Move { moves, mode } => {
                self.move_slots(cluster, &moves, mode, Style::Lines).await?;
            }
            Step::Await(condition) => wait::until(cluster, &mut self.console, condition).await?,
        }
        Ok(())
    }

    /// Moves slots. All moves of one call have the same target, except while fixing.
    ///
    /// # Errors
    ///
    /// The first slot that could not be moved; [`Error::Interrupted`].
    pub async fn move_slots(
        &mut self,
        cluster: &Cluster,
        moves: &[Move],
        mode: MoveMode,
        style: Style,
    ) -> Result<(), Error> {
        let mut routes: BTreeMap<(NodeId, NodeId), Vec<Slot>> = BTreeMap::new();
        for entry in moves {
            routes
                .entry((entry.source.clone(), entry.target.clone()))
                .or_default()
                .push(entry.slot);
        }
        let (events, mut shown) = unbounded_channel();
        let mut waiting = Vec::new();
        let lanes = routes.into_iter().flat_map(|(route, slots)| {
            let lanes = lanes(slots);
            lanes.into_iter().map(move |slots| (route.clone(), slots))
        });
        for ((source, target), slots) in lanes {
            let options = MoveOptions {
                timeout: self.migrate_timeout,
                pipeline: self.pipeline,
                mode,
                password: self.settings.password.clone(),
            };
            let stop = Arc::clone(&self.interrupt.stop);
            waiting.push((
                mover(cluster, &source, &target, options, stop, events.clone()).await?,
                slots,
            ));
        }
        drop(events);
        self.interrupt.moving.store(true, Ordering::Relaxed);
        let bar = self.console.progress(moves.len() as u64, "Moving slots");
        let show = show(&mut self.console, &mut shown, style, &bar);
        let (moved, ()) = tokio::join!(drive(waiting), show);
        bar.finish_and_clear();
        self.interrupt.moving.store(false, Ordering::Relaxed);
        let moved = moved?;
        if moved < moves.len() {
            return Err(Error::Interrupted {
                moved,
                total: moves.len(),
            });
        }
        Ok(())
    }
}

/// Shares the slots of one route out among its movers.
fn lanes(mut slots: Vec<Slot>) -> Vec<Vec<Slot>> {
    let count = (slots.len() / LANE_SLOTS).clamp(1, LANES);
    let share = slots.len().div_ceil(count).max(1);
    let mut lanes = Vec::new();
    while slots.len() > share {
        let rest = slots.split_off(share);
        lanes.push(std::mem::replace(&mut slots, rest));
    }
    lanes.push(slots);
    lanes
}

/// Runs movers, some at a time; how many slots moved. After a failure those that run come to their end, the others
/// do not begin.
async fn drive(mut waiting: Vec<(Mover, Vec<Slot>)>) -> Result<usize, Error> {
    let mut running = JoinSet::new();
    let (mut moved, mut failure) = (0, None);
    waiting.reverse();
    loop {
        while running.len() < MOVERS && failure.is_none() {
            let Some((mover, slots)) = waiting.pop() else {
                break;
            };
            running.spawn(mover.run(slots));
        }
        match running.join_next().await {
            None => break,
            Some(Ok(Ok(count))) => moved += count,
            Some(Ok(Err(error))) => failure = failure.or(Some(error)),
            Some(Err(error)) => failure = failure.or(Some(Error::Local(error.to_string()))),
        }
    }
    // Dropping the movers that never ran closes the last senders of events.
    drop(waiting);
    failure.map_or(Ok(moved), Err)
}

/// Shows events until all movers are gone.
async fn show(
    console: &mut Console,
    events: &mut UnboundedReceiver<Event>,
    style: Style,
    bar: &ProgressBar,
) {
    let mut hashes = 0;
    while let Some(event) = events.recv().await {
        match event {
            Event::Moved { .. } if console.live() => bar.inc(1),
            Event::Moved { .. } if style == Style::Hashes => {
                console.print("#");
                hashes += 1;
            }
            Event::Moved {
                slot,
                source,
                target,
                keys,
            } => {
                let dots = ".".repeat(keys);
                console.print(&format!(
                    "Moving slot {slot} from {source} to {target}: {dots}\n"
                ));
            }
            Event::Replacing => {
                bar.suspend(|| console.line("*** Target key exists. Replacing it for FIX."));
            }
            Event::Warning(text) => bar.suspend(|| console.line(&text)),
        }
    }
    if hashes > 0 {
        console.print("\n");
    }
}

async fn mover(
    cluster: &Cluster,
    source: &NodeId,
    target: &NodeId,
    options: MoveOptions,
    stop: Arc<AtomicBool>,
    events: tokio::sync::mpsc::UnboundedSender<Event>,
) -> Result<Mover, Error> {
    let mut source = end(cluster, source).await?;
    let target = end(cluster, target).await?;
    let dialect = Dialect::of(&mut source.link).await?;
    let mut others = Vec::new();
    for node in cluster
        .snapshot
        .masters()
        .filter(|node| node.id != source.id && node.id != target.id)
    {
        others.push(cluster.connect(&node.id).await?);
    }
    let mut mover = Mover::new(source, target, options, stop, events, dialect);
    mover.others = others;
    Ok(mover)
}

async fn end(cluster: &Cluster, id: &NodeId) -> Result<End, Error> {
    let link = cluster.connect(id).await?;
    let node = cluster.snapshot.node(id);
    let address = node.map(|node| node.address.clone());
    let address =
        address.ok_or_else(|| Error::Refused(format!("[ERR] No connection to node {id}")))?;
    Ok(End {
        id: id.clone(),
        address,
        link,
    })
}

async fn slots_command(
    cluster: &mut Cluster,
    node: &NodeId,
    verb: &str,
    slots: &SlotSet,
) -> Result<(), Error> {
    let slots: Vec<String> = slots.iter().map(|slot| slot.to_string()).collect();
    for part in slots.chunks(SLOTS_PER_COMMAND) {
        cluster
            .query(node, Command::from(["CLUSTER", verb]).args(part))
            .await?;
    }
    Ok(())
}

/// Claims slots that the node may believe to be someone else's, and makes the claim win.
async fn take_slots(cluster: &mut Cluster, node: &NodeId, slots: &SlotSet) -> Result<(), Error> {
    // One by one: a slot that nobody had is refused, and with it all others of the same command.
    let drop_all = slots
        .iter()
        .map(|slot| Command::from(["CLUSTER", "DELSLOTS", &slot.to_string()]));
    cluster.pipeline(node, drop_all.collect::<Vec<_>>()).await?;
    slots_command(cluster, node, "ADDSLOTS", slots).await?;
    cluster.query(node, ["CLUSTER", "BUMPEPOCH"]).await?;
    Ok(())
}

async fn meet(cluster: &mut Cluster, node: &NodeId, with: &NodeId) -> Result<(), Error> {
    let other = cluster.snapshot.node(with).map(|node| node.address.clone());
    let address =
        other.ok_or_else(|| Error::Refused(format!("[ERR] No connection to node {with}")))?;
    let command = ["CLUSTER", "MEET", &address.host, &address.port.to_string()];
    cluster.query(node, command).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_slots_have_several_movers_and_none_is_lost() {
        let sizes = |count: u16| {
            let slots: Vec<Slot> = (0..count).collect();
            let lanes = lanes(slots.clone());
            assert_eq!(lanes.concat(), slots);
            lanes.iter().map(Vec::len).collect::<Vec<_>>()
        };
        assert_eq!(sizes(0), [0]);
        assert_eq!(sizes(1), [1]);
        assert_eq!(sizes(127), [127]);
        assert_eq!(sizes(128), [64, 64]);
        assert_eq!(sizes(1365), [683, 682]);
    }
}
