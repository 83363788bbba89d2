//! Moving slots with their keys from one node to another, fast and without losing any.
//!
//! Slots go in windows. For each window: the target opens all its slots (`IMPORTING`), then the source
//! (`MIGRATING`), so that a redirected client always finds the target ready; keys are listed and sent with
//! `MIGRATE … KEYS`, all slots of the window in one pipeline, until the source lists none; then the slots get
//! their new owner at the target, at the source, and at the other masters, in this order, so that at no moment
//! nobody feels responsible. A window ends with no slot open, except where a node refused something: such slots
//! stay open, which loses nothing, and `fix` finishes them.
//!
//! Where both ends can, slots go as a whole instead: see `whole`.
//!
//! Several sources give to one target at the same time, each through its own connections.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use client::{Command, Connection, Value};
use tokio::sync::mpsc::UnboundedSender;

use crate::keep::{Copy, Keeper};
use crate::plan::MoveMode;
use crate::progress::Pace;
use crate::{Address, Error, Slot};

/// Most slots open at once between two nodes.
const WINDOW_SLOTS: usize = 256;
/// Most keys in the slots of one window (a single slot may hold more).
const WINDOW_KEYS: i64 = 20_000;
/// Keys of the first MIGRATE, before its speed is known.
const FIRST_BATCH: usize = 10;
/// Most keys of one MIGRATE.
const MOST_BATCH: usize = 1000;
/// How long one MIGRATE may keep the source from serving clients, as far as its speed can be foreseen.
const BATCH_TIME: Duration = Duration::from_millis(10);
/// Rounds without a key gone after which a slot is given up.
const IDLE_ROUNDS: u32 = 20;

/// How keys are sent.
#[derive(Clone, Debug)]
pub struct MoveOptions {
    /// MIGRATE's own time limit for each read and write.
    pub timeout: Duration,
    /// Keys of one MIGRATE; chosen by the speed where not given.
    pub pipeline: Option<usize>,
    /// What kind of move it is.
    pub mode: MoveMode,
    /// The words that make MIGRATE log in at the target, if it wants that.
    pub login: Vec<String>,
    /// Where copies go that lose against the owner's value.
    pub keeper: Arc<Keeper>,
    /// How fast it may be.
    pub pace: Arc<Pace>,
}

/// Something to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A slot is at its target.
    Moved {
        /// Which.
        slot: Slot,
        /// From where.
        source: Address,
        /// To where.
        target: Address,
        /// How many keys went with it.
        keys: usize,
    },
    /// Keys were sent.
    Sent {
        /// How many.
        keys: usize,
    },
    /// A pause begins, or ends.
    Paused(bool),
    /// A key was at both ends, and not alike: the owner's value stays, the other copy is kept aside.
    Differs {
        /// Which slot.
        slot: Slot,
        /// The key, as far as it can be printed.
        key: String,
        /// Whose value stays.
        owner: Address,
        /// Who held the other copy.
        other: Address,
    },
    /// Something that does not stop the move.
    Warning(String),
}

/// A node at one end of a move.
#[derive(Debug)]
pub struct End {
    /// Its name.
    pub id: crate::snapshot::NodeId,
    /// Its address, as the other end can reach it.
    pub address: Address,
    /// A connection of this mover's own.
    pub link: Connection,
}

/// Moves slots from one source to one target.
#[derive(Debug)]
pub struct Mover {
    /// Who gives.
    pub source: End,
    /// Who gets.
    pub target: End,
    /// The other masters.
    pub others: Vec<Connection>,
    /// How.
    pub options: MoveOptions,
    /// Set to stop between two windows.
    pub stop: Arc<AtomicBool>,
    /// Where events go.
    pub events: UnboundedSender<Event>,
    /// What the source understands.
    pub dialect: Dialect,
    /// Keys of the next MIGRATE of a slot.
    batch: usize,
    /// Slots whose new owner the other masters were told, and have not answered to.
    told_others: Vec<Slot>,
}

/// What a node's MIGRATE can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// It takes `KEYS`.
    pub keys: bool,
    /// With `KEYS`, a key without expiry gets that of a key before it (Redis before 3.2.7): the two kinds must not
    /// go together.
    pub leaks_expiry: bool,
}

impl Dialect {
    /// Asks a node who it is.
    ///
    /// # Errors
    ///
    /// The connection fails.
    pub async fn of(link: &mut Connection) -> Result<Self, client::Error> {
        let reply = link.call(["INFO", "server"]).await?;
        let leaks_expiry = reply.as_str().is_none_or(leaks_expiry);
        Ok(Self {
            keys: true,
            leaks_expiry,
        })
    }
}

fn leaks_expiry(info: &str) -> bool {
    // Other servers tell their own name and answer with the Redis version that they are compatible with.
    if info.contains("server_name:") || info.contains("valkey_version:") {
        return false;
    }
    let version = info
        .lines()
        .find_map(|line| line.trim().strip_prefix("redis_version:"))
        .unwrap_or("");
    let mut parts = version
        .split('.')
        .map(|part| part.parse::<u32>().unwrap_or(0));
    let version = (
        parts.next().unwrap_or(0),
        parts.next().unwrap_or(0),
        parts.next().unwrap_or(0),
    );
    version < (3, 2, 7)
}

/// The keys of one slot on their way.
struct Parcel {
    slot: Slot,
    keys: Vec<Value>,
    /// Whether the target's keys are replaced.
    replace: bool,
}

/// What became of a parcel.
enum Outcome {
    Sent,
    NothingThere,
    Failed(String),
}

/// What to do after an answer to MIGRATE.
enum Verdict {
    /// Nothing more.
    Is(Outcome),
    /// Send it in another way.
    Again(Parcel),
    /// Some keys are at the target too.
    Conflict(Parcel),
}

/// One slot of a window.
#[derive(Default)]
struct Progress {
    keys: usize,
    idle_rounds: u32,
    done: bool,
    failure: Option<String>,
}

impl Mover {
    /// Puts a mover together.
    #[must_use]
    pub fn new(
        source: End,
        target: End,
        options: MoveOptions,
        stop: Arc<AtomicBool>,
        events: UnboundedSender<Event>,
        dialect: Dialect,
    ) -> Self {
        let batch = options.pipeline.unwrap_or(FIRST_BATCH);
        Self {
            source,
            target,
            others: Vec::new(),
            options,
            stop,
            events,
            dialect,
            batch,
            told_others: Vec::new(),
        }
    }

    /// Whether moving was paused. If so it waits until it goes on, or is asked to stop.
    pub(crate) async fn waited_in_pause(&mut self) -> bool {
        let paused = self.options.pace.paused();
        if paused {
            self.tell(Event::Paused(true));
            self.options.pace.resume(&self.stop).await;
            self.tell(Event::Paused(false));
        }
        paused
    }

    /// Moves the slots; how many were moved. Stops early when asked to.
    ///
    /// # Errors
    ///
    /// A node refused something or went away. All other slots of the window are finished first.
    pub async fn run(mut self, slots: Vec<Slot>) -> Result<usize, Error> {
        // One MIGRATE may read and write many times, each within the time limit.
        let patience = self
            .options
            .timeout
            .saturating_mul(2)
            .max(Duration::from_secs(60));
        self.source.link.set_limit(patience);
        self.require_auth().await?;
        let count = |slot: &Slot| Command::from(["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]);
        let counts = self.source.link.pipeline(slots.iter().map(count)).await?;
        let counts: Vec<i64> = counts
            .iter()
            .map(|count| count.as_int().unwrap_or(0))
            .collect();
        let mut moved = if self.moves_whole().await {
            self.run_whole(&slots, &counts).await?
        } else {
            0
        };
        while moved < slots.len() && !self.stop.load(Ordering::Relaxed) {
            if self.waited_in_pause().await {
                continue;
            }
            let size = window_size(&counts[moved..]);
            let result = self.window(&slots[moved..moved + size]).await;
            if result.is_err() {
                self.hear_others().await;
            }
            result?;
            moved += size;
        }
        self.hear_others().await;
        Ok(moved)
    }

    /// Where nodes want a password, a source that cannot say it could send nothing, and would leave slots open.
    async fn require_auth(&mut self) -> Result<(), Error> {
        if self.options.login.is_empty() {
            return Ok(());
        }
        // Without keys nothing is sent anywhere.
        let none = self.migrate(&Parcel {
            slot: 0,
            keys: Vec::new(),
            replace: false,
        });
        let reply = self.source.link.call(none).await?;
        if reply
            .as_error()
            .is_some_and(|message| message.contains("syntax error"))
        {
            let source = &self.source.address;
            return Err(Error::Refused(format!(
                "[ERR] Node {source} can't send keys to nodes that want a password: its MIGRATE has no AUTH (Redis has it from 4.0.7 on)"
            )));
        }
        Ok(())
    }

    async fn window(&mut self, slots: &[Slot]) -> Result<(), Error> {
        let live = self.options.mode != MoveMode::Gather;
        if live {
            self.open(slots).await?;
        }
        let mut progress: BTreeMap<Slot, Progress> = slots
            .iter()
            .map(|slot| (*slot, Progress::default()))
            .collect();
        self.empty(&mut progress).await?;
        let emptied: Vec<Slot> = progress
            .iter()
            .filter(|(_, slot)| slot.done)
            .map(|(slot, _)| *slot)
            .collect();
        if live {
            self.close(&emptied).await?;
        }
        for slot in emptied {
            let (source, target) = (self.source.address.clone(), self.target.address.clone());
            self.tell(Event::Moved {
                slot,
                source,
                target,
                keys: progress[&slot].keys,
            });
        }
        let failure = progress
            .into_iter()
            .find_map(|(slot, state)| Some((slot, state.failure?)));
        failure.map_or(Ok(()), |(slot, reason)| Err(self.failed(slot, reason)))
    }

    /// Opens slots at both ends. On a refusal everything is as before.
    async fn open(&mut self, slots: &[Slot]) -> Result<(), Error> {
        let importing = setslot(slots, "IMPORTING", Some(self.source.id.as_str()));
        let mut refused = first_error(slots, &self.target.link.pipeline(importing).await?);
        if refused.is_none() {
            let migrating = setslot(slots, "MIGRATING", Some(self.target.id.as_str()));
            refused = first_error(slots, &self.source.link.pipeline(migrating).await?);
        }
        let Some((slot, reason)) = refused else {
            return Ok(());
        };
        if self.options.mode == MoveMode::Live {
            self.source
                .link
                .pipeline(setslot(slots, "STABLE", None))
                .await?;
            self.target
                .link
                .pipeline(setslot(slots, "STABLE", None))
                .await?;
        }
        Err(self.failed(slot, reason))
    }

    /// Hands slots over: target, source, then everyone else.
    async fn close(&mut self, slots: &[Slot]) -> Result<(), Error> {
        let owner = self.target.id.clone();
        let at_target = self
            .target
            .link
            .pipeline(setslot(slots, "NODE", Some(owner.as_str())))
            .await?;
        if let Some((slot, reason)) = first_error(slots, &at_target) {
            return Err(self.failed(slot, reason));
        }
        let at_source = self
            .source
            .link
            .pipeline(setslot(slots, "NODE", Some(owner.as_str())))
            .await?;
        // A source without any slot may have become a replica of the target already: then it knows.
        let refused = first_error(slots, &at_source);
        if let Some((slot, reason)) = refused.filter(|(_, reason)| !reason.contains(NOT_A_PRIMARY))
        {
            return Err(self.failed(slot, reason));
        }
        self.hear_others().await;
        for link in &mut self.others {
            for command in setslot(slots, "NODE", Some(owner.as_str())) {
                link.send(command);
            }
            // A link that fails here fails again when its answers are read, where it is told.
            let _ = link.flush().await;
        }
        self.told_others = slots.to_vec();
        Ok(())
    }

    /// Reads what the other masters answered to the news of the last window. They need not be waited for before the
    /// next one: they would hear of it through the bus too, this only makes it quicker.
    async fn hear_others(&mut self) {
        let slots = std::mem::take(&mut self.told_others);
        let mut warnings = Vec::new();
        for link in &mut self.others {
            warnings.extend(take_replies(link, &slots).await);
        }
        for warning in warnings {
            self.tell(Event::Warning(format!("[WARNING] {warning}")));
        }
    }

    /// Sends keys until the source lists none for any of the slots.
    async fn empty(&mut self, progress: &mut BTreeMap<Slot, Progress>) -> Result<(), Error> {
        loop {
            let parcels = self.list(progress).await?;
            if parcels.is_empty() {
                return Ok(());
            }
            let start = Instant::now();
            let sent: usize = parcels.iter().map(|parcel| parcel.keys.len()).sum();
            let counts: Vec<(Slot, usize)> = parcels
                .iter()
                .map(|parcel| (parcel.slot, parcel.keys.len()))
                .collect();
            let outcomes = self.send(parcels).await?;
            let elapsed = start.elapsed();
            for ((slot, keys), outcome) in counts.into_iter().zip(outcomes) {
                if matches!(outcome, Outcome::Sent) {
                    self.tell(Event::Sent { keys });
                }
                if let Some(state) = progress.get_mut(&slot) {
                    state.take(keys, outcome);
                }
            }
            self.options.pace.spend(sent).await;
            self.adapt(sent, elapsed);
        }
    }

    /// Lists keys of the slots that are not done. Slots without any are done.
    async fn list(
        &mut self,
        progress: &mut BTreeMap<Slot, Progress>,
    ) -> Result<Vec<Parcel>, Error> {
        let open = progress
            .iter()
            .filter(|(_, state)| !state.done && state.failure.is_none());
        let slots: Vec<Slot> = open.map(|(slot, _)| *slot).collect();
        let batch = self.batch.min(self.options.pace.most_keys()).to_string();
        let list =
            |slot: &Slot| Command::from(["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), &batch]);
        let replies = self.source.link.pipeline(slots.iter().map(list)).await?;
        let mut parcels = Vec::new();
        for (slot, reply) in slots.into_iter().zip(replies) {
            let Some(state) = progress.get_mut(&slot) else {
                continue;
            };
            match reply.into_array() {
                Ok(keys) if keys.is_empty() => state.done = true,
                Ok(keys) => parcels.push(Parcel {
                    slot,
                    keys,
                    replace: false,
                }),
                Err(other) => state.failure = Some(problem(&other)),
            }
        }
        Ok(parcels)
    }

    /// Sends parcels in one pipeline; what became of each.
    async fn send(&mut self, parcels: Vec<Parcel>) -> Result<Vec<Outcome>, Error> {
        let count = parcels.len();
        let mut commands: Vec<(usize, Parcel)> = Vec::new();
        for (index, parcel) in parcels.into_iter().enumerate() {
            commands.push((index, parcel));
        }
        if self.dialect.leaks_expiry && self.dialect.keys {
            commands = self.split_by_expiry(commands).await?;
        }
        let mut outcomes: Vec<Outcome> = (0..count).map(|_| Outcome::NothingThere).collect();
        let mut tries = 0;
        while !commands.is_empty() {
            tries += 1;
            if !self.dialect.keys {
                commands = commands.into_iter().flat_map(singles).collect();
            }
            let migrate: Vec<Command> = commands
                .iter()
                .map(|(_, parcel)| self.migrate(parcel))
                .collect();
            let replies = self.source.link.pipeline(migrate).await?;
            let mut again = Vec::new();
            for ((index, parcel), reply) in commands.into_iter().zip(replies) {
                match self.judge(parcel, &reply, tries) {
                    Verdict::Is(outcome) => outcomes[index].merge(outcome),
                    Verdict::Again(parcel) => again.push((index, parcel)),
                    Verdict::Conflict(parcel) => match self.settle(parcel).await? {
                        Ok(rest) if rest.keys.is_empty() => outcomes[index].merge(Outcome::Sent),
                        Ok(rest) => again.push((index, rest)),
                        Err(reason) => outcomes[index].merge(Outcome::Failed(reason)),
                    },
                }
            }
            commands = again;
        }
        Ok(outcomes)
    }

    /// The outcome of a MIGRATE, or the parcel to be sent again in another way.
    fn judge(&mut self, mut parcel: Parcel, reply: &Value, tries: u32) -> Verdict {
        let Some(message) = reply.as_error() else {
            let nothing = reply.as_str() == Some("NOKEY");
            return Verdict::Is(if nothing {
                Outcome::NothingThere
            } else {
                Outcome::Sent
            });
        };
        if message.contains("syntax error") && self.dialect.keys && tries < 4 {
            // An older node: a key at a time.
            self.dialect.keys = false;
            return Verdict::Again(parcel);
        }
        if message.contains("BUSYKEY") && !parcel.replace && self.options.mode != MoveMode::Live {
            return Verdict::Conflict(parcel);
        }
        // The answer got lost: keys may be at both ends. While the source still has a key and gives the slot
        // away, its copy is the one that clients use. Where the target is the owner, nothing is ever replaced.
        if message.starts_with("IOERR") && tries < 3 {
            parcel.replace = self.options.mode != MoveMode::Gather;
            return Verdict::Again(parcel);
        }
        Verdict::Is(Outcome::Failed(message.to_owned()))
    }

    /// Some keys of a parcel are at both ends. The owner's value stays; a copy that differs from it is kept aside
    /// before it goes. What is left of the parcel comes back, or why it cannot be sent.
    async fn settle(&mut self, mut parcel: Parcel) -> Result<Result<Parcel, String>, Error> {
        let exists = |key: &Value| Command::new("EXISTS").arg(key.as_bytes().unwrap_or_default());
        let ask: Vec<Command> = parcel.keys.iter().map(exists).collect();
        let there = self.at_target(ask).await?;
        let (mut twice, mut once) = (Vec::new(), Vec::new());
        for (key, there) in std::mem::take(&mut parcel.keys).into_iter().zip(there) {
            match there {
                Value::Int(0) => once.push(key),
                Value::Int(_) => twice.push(key),
                other => return Ok(Err(problem(&other))),
            }
        }
        for key in &twice {
            let key = key.as_bytes().unwrap_or_default();
            if let Err(reason) = self.compare(parcel.slot, key).await? {
                return Ok(Err(reason));
            }
        }
        if let Err(reason) = self.options.keeper.sync() {
            return Ok(Err(reason));
        }
        if self.options.mode == MoveMode::Resume {
            parcel.replace = true;
            parcel.keys = once.into_iter().chain(twice).collect();
            return Ok(Ok(parcel));
        }
        let drop_copy = |key: &Value| Command::new("DEL").arg(key.as_bytes().unwrap_or_default());
        let dropped = self
            .at_source(twice.iter().map(drop_copy).collect())
            .await?;
        if let Some(refusal) = dropped.iter().find_map(Value::as_error) {
            return Ok(Err(refusal.to_owned()));
        }
        parcel.keys = once;
        Ok(Ok(parcel))
    }

    /// Compares the two copies of a key; where they differ, the one that is not the owner's is kept.
    async fn compare(&mut self, slot: Slot, key: &[u8]) -> Result<Result<(), String>, Error> {
        let ask = || vec![Command::new("DUMP").arg(key), Command::new("PTTL").arg(key)];
        let (at_source, at_target) = (self.at_source(ask()).await?, self.at_target(ask()).await?);
        let gathering = self.options.mode == MoveMode::Gather;
        let (stays, goes) = if gathering {
            (at_target, at_source)
        } else {
            (at_source, at_target)
        };
        let ([stays, _], [goes, ttl]) = (stays.as_slice(), goes.as_slice()) else {
            return Ok(Err("DUMP got no answer".into()));
        };
        if let Some(refusal) = [stays, goes].into_iter().find_map(Value::as_error) {
            return Ok(Err(refusal.to_owned()));
        }
        // Gone by now, or alike.
        let Some(payload) = goes.as_bytes().filter(|_| stays != goes) else {
            return Ok(Ok(()));
        };
        let (owner, other) = if gathering {
            (self.target.address.clone(), self.source.address.clone())
        } else {
            (self.source.address.clone(), self.target.address.clone())
        };
        let copy = Copy {
            key,
            millis_left: ttl.as_int().unwrap_or(0),
            payload,
        };
        if let Err(reason) = self.options.keeper.put(&copy) {
            return Ok(Err(reason));
        }
        let key = String::from_utf8_lossy(key)
            .escape_debug()
            .take(80)
            .collect();
        self.tell(Event::Differs {
            slot,
            key,
            owner,
            other,
        });
        Ok(Ok(()))
    }

    /// Commands about keys that lie at the source. One that only receives the slot wants ASKING before each.
    async fn at_source(&mut self, commands: Vec<Command>) -> Result<Vec<Value>, Error> {
        let asking = self.options.mode == MoveMode::Gather;
        local(&mut self.source.link, asking, commands).await
    }

    async fn at_target(&mut self, commands: Vec<Command>) -> Result<Vec<Value>, Error> {
        let asking = self.options.mode != MoveMode::Gather;
        local(&mut self.target.link, asking, commands).await
    }

    fn migrate(&self, parcel: &Parcel) -> Command {
        let single = match parcel.keys.as_slice() {
            [key] if !self.dialect.keys => key.as_bytes(),
            _ => None,
        };
        let millis = self.options.timeout.as_millis().to_string();
        let Address { host, port } = &self.target.address;
        let mut command = Command::new("MIGRATE").arg(host).number(*port);
        command = command.arg(single.unwrap_or_default()).arg("0").arg(millis);
        if parcel.replace {
            command = command.arg("REPLACE");
        }
        command = command.args(&self.options.login);
        if single.is_some() {
            return command;
        }
        command
            .arg("KEYS")
            .args(parcel.keys.iter().filter_map(Value::as_bytes))
    }

    /// Makes two parcels where keys with and without expiry would go together.
    async fn split_by_expiry(
        &mut self,
        parcels: Vec<(usize, Parcel)>,
    ) -> Result<Vec<(usize, Parcel)>, Error> {
        let keys = parcels
            .iter()
            .flat_map(|(_, parcel)| parcel.keys.iter().filter_map(Value::as_bytes));
        let ask: Vec<Command> = keys.map(|key| Command::new("PTTL").arg(key)).collect();
        let mut replies = self.at_source(ask).await?.into_iter();
        let mut split = Vec::new();
        for (index, parcel) in parcels {
            let replace = parcel.replace;
            // A key that is gone by now counts as one without expiry: nothing is sent of it.
            let expires = |_: &Value| {
                replies
                    .next()
                    .and_then(|reply| reply.as_int())
                    .is_some_and(|ttl| ttl >= 0)
            };
            let (with, without): (Vec<_>, Vec<_>) = parcel.keys.into_iter().partition(expires);
            for keys in [without, with] {
                if !keys.is_empty() {
                    split.push((
                        index,
                        Parcel {
                            slot: parcel.slot,
                            keys,
                            replace,
                        },
                    ));
                }
            }
        }
        Ok(split)
    }

    /// Chooses the next batch so that one MIGRATE stays short for clients that wait at the source.
    fn adapt(&mut self, keys: usize, elapsed: Duration) {
        if self.options.pipeline.is_some() || keys == 0 {
            return;
        }
        let per_key = (elapsed.as_nanos() / keys as u128).max(1);
        let fitting = usize::try_from(BATCH_TIME.as_nanos() / per_key).unwrap_or(MOST_BATCH);
        // A lucky first round must not lead to a very long second one.
        self.batch = fitting
            .clamp(1, self.batch.saturating_mul(8))
            .min(MOST_BATCH);
    }

    fn failed(&self, slot: Slot, reason: String) -> Error {
        let (from, to) = (
            self.source.address.to_string(),
            self.target.address.to_string(),
        );
        Error::Move {
            slot,
            from,
            to,
            reason,
        }
    }

    pub(crate) fn tell(&self, event: Event) {
        // Nobody listens any more when the whole move is being given up.
        let _ = self.events.send(event);
    }
}

impl Progress {
    fn take(&mut self, keys: usize, outcome: Outcome) {
        match outcome {
            Outcome::Sent => {
                self.keys += keys;
                self.idle_rounds = 0;
            }
            Outcome::NothingThere => {
                self.idle_rounds += 1;
                if self.idle_rounds >= IDLE_ROUNDS {
                    self.failure = Some("the source lists keys that it does not have".into());
                }
            }
            Outcome::Failed(reason) => self.failure = Some(reason),
        }
    }
}

impl Outcome {
    /// The parts of one parcel together: any failure counts, then any success.
    fn merge(&mut self, other: Self) {
        match (&self, &other) {
            (Self::Failed(_), _) | (Self::Sent, Self::NothingThere) => {}
            _ => *self = other,
        }
    }
}

/// How many of the next slots go together, given their keys.
fn window_size(counts: &[i64]) -> usize {
    let mut keys = 0_i64;
    let fits = |count: &&i64| {
        keys = keys.saturating_add(**count);
        keys <= WINDOW_KEYS
    };
    counts
        .iter()
        .take(WINDOW_SLOTS)
        .take_while(fits)
        .count()
        .max(1)
}

async fn local(
    link: &mut Connection,
    asking: bool,
    commands: Vec<Command>,
) -> Result<Vec<Value>, Error> {
    if !asking {
        return Ok(link.pipeline(commands).await?);
    }
    let asked = commands
        .into_iter()
        .flat_map(|command| [Command::new("ASKING"), command]);
    let replies = link.pipeline(asked.collect::<Vec<_>>()).await?;
    Ok(replies.into_iter().skip(1).step_by(2).collect())
}

fn singles((index, parcel): (usize, Parcel)) -> impl Iterator<Item = (usize, Parcel)> {
    let Parcel {
        slot,
        keys,
        replace,
    } = parcel;
    keys.into_iter().map(move |key| {
        (
            index,
            Parcel {
                slot,
                keys: vec![key],
                replace,
            },
        )
    })
}

/// How a replica refuses SETSLOT.
const NOT_A_PRIMARY: &str = "Please use SETSLOT only with";

fn setslot(slots: &[Slot], state: &str, node: Option<&str>) -> Vec<Command> {
    let one =
        |slot: &Slot| Command::from(["CLUSTER", "SETSLOT", &slot.to_string(), state]).args(node);
    slots.iter().map(one).collect()
}

fn first_error(slots: &[Slot], replies: &[Value]) -> Option<(Slot, String)> {
    let mut pairs = slots.iter().zip(replies);
    pairs.find_map(|(slot, reply)| Some((*slot, reply.as_error()?.to_owned())))
}

async fn take_replies(link: &mut Connection, slots: &[Slot]) -> Option<String> {
    let mut warning = None;
    for slot in slots {
        match link.recv().await {
            Ok(Value::Error(message)) => {
                let address = link.address();
                warning.get_or_insert(format!(
                    "{address} did not take the news about slot {slot}: {message}"
                ));
            }
            Ok(_) => {}
            Err(error) => return Some(error.to_string()),
        }
    }
    warning
}

fn problem(reply: &Value) -> String {
    reply
        .as_error()
        .map_or_else(|| format!("unexpected reply {reply:?}"), str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_bounded_by_slots_and_keys() {
        assert_eq!(window_size(&[0; 1000]), WINDOW_SLOTS);
        assert_eq!(window_size(&[10_000, 10_000, 1]), 2);
        assert_eq!(window_size(&[1_000_000, 1]), 1);
        assert_eq!(window_size(&[i64::MAX, i64::MAX]), 1);
    }

    #[test]
    fn old_redis_mixes_up_expiries_and_nobody_else() {
        assert!(leaks_expiry("# Server\r\nredis_version:3.0.7\r\n"));
        assert!(leaks_expiry("redis_version:3.2.6\r\n"));
        assert!(!leaks_expiry("redis_version:3.2.7\r\n"));
        assert!(!leaks_expiry(
            "redis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.0.1\r\n"
        ));
        assert!(!leaks_expiry("redis_version:3.0.7\r\nserver_name:tern\r\n"));
    }
}
