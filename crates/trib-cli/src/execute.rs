//! Carrying out plans: steps become commands, moves become movers, and the user sees what happens.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use client::Command;
use indicatif::ProgressBar;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use crate::keep::Keeper;
use crate::mover::{Dialect, End, Event, MoveOptions, Mover};
use crate::plan::{Move, MoveMode, Step};
use crate::progress::{Pace, Progress};
use crate::snapshot::NodeId;
use crate::wait;
use crate::{Cluster, Console, Error, Settings, Slot, SlotSet};

/// Movers that work at the same time.
const MOVERS: usize = 8;
/// Movers between the same two nodes: while one waits for a node's disk or for answers, the other one has work for them.
const LANES: usize = 2;
/// So many slots are worth a mover of their own.
const LANE_SLOTS: usize = 64;
/// Keys that differ, of one step, which are shown by name.
const SHOWN_DIFFERENCES: usize = 20;
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
    /// How fast slots may move.
    pub pace: Arc<Pace>,
    /// Where a repair keeps copies that lose against the owner's value.
    pub keeper: Arc<Keeper>,
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

    /// Whether a move was asked to stop, though it may have had nothing left to leave undone.
    #[must_use]
    pub fn was_requested(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// How often the progress of a move is printed where no terminal draws it.
const PROGRESS: Duration = Duration::from_secs(5);
/// How often a terminal draws it.
const REDRAW: Duration = Duration::from_millis(250);

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
            pace: Arc::default(),
            keeper: Arc::new(Keeper::new(keep_name())),
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
            Step::TakeOver { node } => {
                cluster
                    .query(&node, ["CLUSTER", "FAILOVER", "TAKEOVER"])
                    .await?;
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
                self.move_slots(cluster, &moves, mode).await?;
            }
            Step::Await(condition) => wait::until(cluster, &mut self.console, condition).await?,
        }
        Ok(())
    }

    /// Moves slots; what was moved, as a line. All moves of one call have the same target, except while fixing.
    ///
    /// # Errors
    ///
    /// The first slot that could not be moved; [`Error::Interrupted`].
    pub async fn move_slots(
        &mut self,
        cluster: &mut Cluster,
        moves: &[Move],
        mode: MoveMode,
    ) -> Result<String, Error> {
        let progress = measure(cluster, moves).await?;
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
                login: self.settings.migrate_login(),
                keeper: Arc::clone(&self.keeper),
                pace: Arc::clone(&self.pace),
            };
            let stop = Arc::clone(&self.interrupt.stop);
            waiting.push((
                mover(cluster, &source, &target, options, stop, events.clone()).await?,
                slots,
            ));
        }
        drop(events);
        self.interrupt.moving.store(true, Ordering::Relaxed);
        let start = Instant::now();
        let bar = self.console.progress(moves.len() as u64);
        let show = show(&mut self.console, &mut shown, progress, &bar);
        let (moved, progress) = tokio::join!(drive(waiting), show);
        bar.finish_and_clear();
        self.interrupt.moving.store(false, Ordering::Relaxed);
        let moved = moved?;
        if moved < moves.len() {
            return Err(Error::Interrupted {
                moved,
                total: moves.len(),
            });
        }
        Ok(progress.summary(start.elapsed()))
    }
}

/// How much there is to move.
async fn measure(cluster: &mut Cluster, moves: &[Move]) -> Result<Progress, Error> {
    let mut slots: BTreeMap<NodeId, Vec<Slot>> = BTreeMap::new();
    for entry in moves {
        slots
            .entry(entry.source.clone())
            .or_default()
            .push(entry.slot);
    }
    let (mut keys, mut bytes) = (0_u64, 0_u64);
    for (source, slots) in slots {
        let count = |slot: &Slot| Command::from(["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]);
        let counts = cluster
            .pipeline(&source, slots.iter().map(count).collect::<Vec<_>>())
            .await?;
        let counts = counts
            .iter()
            .filter_map(|count| u64::try_from(count.as_int()?).ok());
        let here = counts.fold(0, u64::saturating_add);
        keys = keys.saturating_add(here);
        bytes = bytes.saturating_add(here.saturating_mul(key_size(cluster, &source).await?));
    }
    Ok(Progress {
        slots: moves.len(),
        keys,
        bytes_per_key: bytes.checked_div(keys).unwrap_or(0),
        ..Progress::default()
    })
}

/// What a key takes at a node on average, in bytes; 0 where it does not tell.
pub(crate) async fn key_size(cluster: &mut Cluster, node: &NodeId) -> Result<u64, Error> {
    let ask = [Command::from(["INFO", "memory"]), Command::from(["DBSIZE"])];
    let replies = cluster.pipeline(node, ask).await?;
    let [memory, size] = replies.as_slice() else {
        return Ok(0);
    };
    let text = memory.as_str().unwrap_or_default();
    let field = |name: &str| -> Option<u64> {
        text.lines()
            .find_map(|line| line.trim().strip_prefix(name))?
            .parse()
            .ok()
    };
    let bytes = field("used_memory_dataset:")
        .or(field("used_memory:"))
        .unwrap_or(0);
    let keys = size
        .as_int()
        .and_then(|keys| u64::try_from(keys).ok())
        .unwrap_or(0);
    Ok(bytes.checked_div(keys).unwrap_or(0))
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

/// Shows what happens until all movers are gone; how far they came.
async fn show(
    console: &mut Console,
    events: &mut UnboundedReceiver<Event>,
    mut progress: Progress,
    bar: &ProgressBar,
) -> Progress {
    let start = Instant::now();
    let mut tick = interval(if console.live() { REDRAW } else { PROGRESS });
    tick.tick().await;
    let (mut differing, mut paused) = (0_usize, 0_usize);
    loop {
        let event = tokio::select! {
            event = events.recv() => event,
            _ = tick.tick() => {
                let line = progress.line(start.elapsed());
                if console.live() {
                    bar.set_message(line);
                } else if paused == 0 {
                    console.line(&format!(">>> {line}"));
                }
                continue;
            }
        };
        let line = match event {
            None => break,
            Some(Event::Sent { keys }) => {
                progress.keys_moved = progress.keys_moved.saturating_add(keys as u64);
                None
            }
            Some(Event::Moved {
                slot,
                source,
                target,
                keys,
            }) => {
                progress.slots_moved += 1;
                bar.inc(1);
                let line =
                    || format!("Moved slot {slot} with {keys} keys from {source} to {target}");
                console.verbose().then(line)
            }
            Some(Event::Paused(true)) => {
                paused += 1;
                (paused == 1)
                    .then(|| "*** Paused: no slot is open while the pause file exists".into())
            }
            Some(Event::Paused(false)) => {
                paused = paused.saturating_sub(1);
                (paused == 0).then(|| "*** Going on".into())
            }
            Some(Event::Differs {
                slot,
                key,
                owner,
                other,
            }) => {
                differing += 1;
                (differing <= SHOWN_DIFFERENCES).then(|| {
                    format!(
                        "*** Key \"{key}\" of slot {slot} differs at {other}: the value of its owner {owner} stays"
                    )
                })
            }
            Some(Event::Warning(text)) => Some(text),
        };
        if let Some(line) = line {
            bar.suspend(|| console.line(&line));
        }
    }
    if differing > SHOWN_DIFFERENCES {
        let more = differing - SHOWN_DIFFERENCES;
        console.line(&format!("*** ... and {more} more keys that differ"));
    }
    progress
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

/// A name that no earlier repair has used.
fn keep_name() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seconds = now.map_or(0, |since| since.as_secs());
    format!("trib-fix-{seconds}-{}.resp", std::process::id())
}

/// Claims slots that the node may believe to be someone else's, and makes the claim win. They must really be
/// nobody's, at this very moment.
async fn take_slots(cluster: &mut Cluster, node: &NodeId, slots: &SlotSet) -> Result<(), Error> {
    cluster.require_unowned(slots).await?;
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
    let other = cluster.snapshot.node(with);
    let other =
        other.ok_or_else(|| Error::Refused(format!("[ERR] No connection to node {with}")))?;
    let address = &other.address;
    let mut command = Command::from(["CLUSTER", "MEET", &address.host, &address.port.to_string()]);
    // Redis 3.0 takes none.
    if let Some(port) = other
        .bus_port
        .filter(|port| Some(*port) != address.bus_port())
    {
        command = command.arg(port.to_string());
    }
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
