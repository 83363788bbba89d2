//! The scenario of a seed: one server, or a primary with two replicas whom an operator looks after, clients that write and read all the
//! time, and faults of machines, disks, network and clocks.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use super::checks::{Checks, Confirmed, View, shown};
use super::client::{self, Asked, Outcome};
use super::disk::{Backup, Shared};
use super::process::{self, Bug, address};
use super::{Note, PORT, Process, Setup, log, mark};
use crate::sim::faults;
use crate::sim::{Failure, Options, Rng, Scenario, World};

/// Faults stop here, and then there is so much time to agree.
const CALM_MS: u64 = 60_000;
const CONVERGENCE_MS: u64 = 90_000;
/// How often the operator looks, and data are compared.
const TICK_MS: u64 = 500;
/// No client has more waiting for it than this: no reply here is long.
const MOST_OUTPUT_BYTES: usize = 4 << 20;

/// What a run is to be, beside what the seed decides.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// What is wrong with the servers.
    pub bug: Bug,
    /// How many servers; the seed decides where there is none.
    pub servers: Option<usize>,
}

/// What a run was like, for tests that want to know that something has happened at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Events of the world.
    pub steps: u64,
    /// A sum of them all.
    pub history: u64,
    /// Writes that were acknowledged.
    pub writes: u64,
    /// Reads that were compared with what had been told before.
    pub reads: u64,
    /// Writes that WAIT confirmed.
    pub waits: u64,
    /// Servers whose data were compared at one place of a stream.
    pub compared: u64,
    /// Processes that started anew.
    pub starts: u64,
    /// Failovers.
    pub failovers: u64,
    /// Simulated milliseconds from the end of the faults to agreement.
    pub converged_ms: u64,
}

/// Runs a seed.
///
/// # Errors
/// The first violation of an invariant, or that the servers did not come to rest.
pub fn run(seed: u64, wanted: Wanted, options: Options) -> Result<Summary, Box<Failure>> {
    let _lines = options.trace.is_some().then(log::collect);
    let mut run = Run::new(seed, wanted, options);
    let result = run.live().and_then(|()| run.come_to_rest());
    let converged_ms = result
        .map_err(|problem| Box::new(Failure::new("server", seed, run.world.now_ms(), problem)))?;
    Ok(Summary {
        steps: run.world.steps(),
        history: run.world.history(),
        writes: run.checks.writes,
        reads: run.checks.reads,
        waits: run.checks.waits,
        compared: run.checks.compared,
        starts: run.setups.iter().map(|setup| setup.starts.get()).sum(),
        failovers: run.failovers,
        converged_ms,
    })
}

/// Servers and clients in a world, and what has been seen of them.
pub struct Run {
    /// The world. The servers are its first hosts.
    pub world: World<Process>,
    /// What has been seen.
    pub checks: Checks,
    setups: Vec<process::Setup>,
    rng: Rng,
    next_tick_ms: u64,
    /// Whom the operator holds for the primary, and tells the clients of.
    primary: Rc<Cell<usize>>,
    /// The clients are to be quiet.
    quiet: Rc<Cell<bool>>,
    /// The name of the primary's stream when it was last seen.
    stream: String,
    down_since_ms: Option<u64>,
    patience_ms: u64,
    failovers: u64,
    /// What disks held once.
    backups: BTreeMap<usize, Backup>,
}

impl Run {
    /// Servers and clients that have just started.
    #[must_use]
    pub fn new(seed: u64, wanted: Wanted, options: Options) -> Self {
        let mut rng = Rng::new(seed);
        let mut world = World::new(rng.next_u64());
        world.trace = options.trace;
        let servers = wanted.servers.unwrap_or([1, 3, 3][rng.index(3)]);
        let (config, always) = config(&mut rng, servers);
        world.say(|| config.clone());
        let setups: Vec<process::Setup> = (0..servers)
            .map(|host| process::Setup {
                host,
                config: config.clone(),
                disk: Shared::new(rng.next_u64()),
                follows: Rc::new(Cell::new((host > 0).then_some(0))),
                generation: Rc::default(),
                starts: Rc::default(),
                always,
                keeps_all: Rc::default(),
                bug: wanted.bug,
            })
            .collect();
        for setup in &setups {
            world.add_host(Setup::Server(setup.clone()));
        }
        let (primary, quiet) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
        for number in 0..rng.between(2, 4) {
            world.add_host(Setup::Client(client::Setup {
                number,
                primary: Rc::clone(&primary),
                quiet: Rc::clone(&quiet),
                serial: Rc::default(),
                replicas: servers as u64 - 1,
            }));
        }
        let patience_ms = rng.between(1_000, 8_000);
        Self {
            world,
            checks: Checks::default(),
            setups,
            rng,
            next_tick_ms: 0,
            primary,
            quiet,
            stream: String::new(),
            down_since_ms: None,
            patience_ms,
            failovers: 0,
            backups: BTreeMap::new(),
        }
    }

    fn servers(&self) -> std::ops::Range<usize> {
        0..self.setups.len()
    }

    /// The time in which things go wrong.
    fn live(&mut self) -> Result<(), String> {
        let servers = self.setups.len();
        let gap_ms = self.rng.between(1_500, 12_000);
        let from_ms = self.rng.between(500, 4_000);
        let mut plan = faults::Plan::draw(&mut self.rng, servers, from_ms, CALM_MS, gap_ms);
        let disks_lie = self.rng.percent(30);
        while self.world.now_ms() < CALM_MS {
            let next_ms = plan
                .next_ms()
                .unwrap_or(CALM_MS)
                .min(CALM_MS)
                .min(self.world.now_ms() + 1_000);
            self.run_to(next_ms)?;
            plan.apply(&mut self.world);
            self.happen(disks_lie);
            self.look()?;
        }
        plan.stop(&mut self.world);
        for host in self.servers() {
            let mut disk = self.setups[host].disk.lock();
            (disk.full, disk.sync_fails, disk.sync_ms, disk.dies) = (false, false, 0, false);
        }
        self.look()
    }

    /// What the world does not know: disks in full, disks that are exchanged, and an operator's jobs at night.
    fn happen(&mut self, disks_lie: bool) {
        for host in self.servers() {
            let down = self.world.core(host).is_none();
            let machine = &self.world.hosts[host];
            let mut disk = self.setups[host].disk.lock();
            disk.full = machine.disk_is_full;
            disk.sync_ms = machine.fsync_ms;
            if disks_lie && !down {
                disk.sync_fails = self.rng.percent(4);
                disk.dies = self.rng.percent(3);
            }
            if down && host != self.primary.get() && self.rng.percent(30) {
                match self.backups.get(&host) {
                    Some(backup) if self.rng.percent(50) => disk.restore(backup.clone()),
                    _ => disk.wipe(),
                }
                self.world.say(|| format!("host {host} gets another disk"));
            } else if self.rng.percent(3) {
                self.backups.insert(host, disk.backup());
            }
            drop(disk);
            let job = self.rng.between(0, 60);
            match job {
                0 => drop(self.ask(host, &["BGREWRITEAOF"])),
                1 => drop(self.ask(host, &["BGSAVE"])),
                _ => {}
            }
        }
    }

    fn ask(&mut self, host: usize, words: &[&str]) -> Option<String> {
        self.world
            .call(host, |process, now| Some(process.server()?.ask(now, words)))
            .flatten()
    }

    fn view(&mut self, host: usize) -> Option<View> {
        let replication = self.ask(host, &["INFO", "replication", "persistence"])?;
        Some(View::of(&replication))
    }

    /// What a server holds under a client's key; none where it cannot be asked.
    fn held(&mut self, host: usize, (client, key): (u64, u64)) -> Option<Option<u64>> {
        let answer = self.ask(host, &["GET", &client::key_of(client, key)])?;
        match answer.as_bytes().first()? {
            b'$' => Some(
                answer
                    .lines()
                    .nth(1)
                    .and_then(|text| mark::parse(text.as_bytes())),
            ),
            _ => None,
        }
    }

    fn generation(&self, host: usize) -> u64 {
        self.setups[host].generation.get()
    }

    fn generations(&self) -> Vec<u64> {
        self.servers().map(|host| self.generation(host)).collect()
    }

    // ---- what clients were told --------------------------------------------------------------------------------------

    fn told(
        &mut self,
        client: u64,
        host: usize,
        asked: &Asked,
        outcome: &Outcome,
    ) -> Result<(), String> {
        let generation = self.generation(host);
        match (asked, outcome) {
            (Asked::Write { key, value, .. }, Outcome::Written(replicas)) => {
                let at = (client, *key);
                let setup = &self.setups[host];
                if setup.keeps_all.get() && !setup.disk.lock().holds(*value) {
                    return Err(format!(
                        "host {host} acknowledged {} to client {client}, and it is not on its disk",
                        shown(Some(*value))
                    ));
                }
                self.checks.written(at, host, generation, *value);
                if let Some(replicas) = replicas {
                    self.confirmed(at, host, *value, *replicas)?;
                }
                Ok(())
            }
            (Asked::Read { key }, Outcome::Read(value)) => {
                self.checks.read((client, *key), host, generation, *value)
            }
            _ => Ok(()),
        }
    }

    /// WAIT said that so many replicas have a value.
    fn confirmed(
        &mut self,
        at: (u64, u64),
        host: usize,
        value: u64,
        replicas: u64,
    ) -> Result<(), String> {
        if replicas == 0 {
            return Ok(());
        }
        let Some(generations) = self.checks.since_asked(at.0).map(<[u64]>::to_vec) else {
            return Ok(());
        };
        self.checks.waits += 1;
        let mut able = 0;
        for other in self.servers().filter(|other| *other != host) {
            // Who cannot be asked, or has lost its data since, may have had it.
            let able_to = self.held(other, at).is_none_or(|held| held >= Some(value));
            able += u64::from(able_to || generations[other] != self.generation(other));
        }
        if able < replicas {
            return Err(format!(
                "WAIT told client {} that {replicas} replicas have {}, and {able} have it",
                at.0,
                shown(Some(value))
            ));
        }
        let confirmed = Confirmed {
            value,
            replicas,
            generations,
        };
        self.checks.confirmed.insert(at, confirmed);
        Ok(())
    }

    // ---- the operator ------------------------------------------------------------------------------------------------

    fn operate(&mut self) -> Result<(), String> {
        let primary = self.primary.get();
        if let Some(view) = self.view(primary) {
            if !view.loading && view.is_primary {
                self.stream = view.stream;
            }
            self.down_since_ms = None;
        } else if self.setups.len() > 1 {
            let now_ms = self.world.now_ms();
            let since_ms = *self.down_since_ms.get_or_insert(now_ms);
            if now_ms - since_ms >= self.patience_ms {
                self.fail_over()?;
            }
        }
        self.give_roles();
        Ok(())
    }

    fn give_roles(&mut self) {
        let primary = self.primary.get();
        let ip = address(primary).ip().to_string();
        for host in self.servers() {
            self.setups[host]
                .follows
                .set((host != primary).then_some(primary));
            let Some(view) = self.view(host) else {
                continue;
            };
            if host == primary && !view.is_primary {
                self.ask(host, &["REPLICAOF", "NO", "ONE"]);
            } else if host != primary && (view.is_primary || view.follows != ip) {
                self.ask(host, &["REPLICAOF", &ip, &PORT.to_string()]);
            }
        }
    }

    /// The primary is gone: of the replicas that follow its stream the one that is furthest becomes the new one.
    fn fail_over(&mut self) -> Result<(), String> {
        let old = self.primary.get();
        let mut candidates = Vec::new();
        for host in self.servers().filter(|host| *host != old) {
            let view = self.view(host);
            candidates.extend(
                view.filter(|view| view.stream == self.stream && !view.loading && !view.is_primary)
                    .map(|view| (view.offset, host)),
            );
        }
        let Some(&(_, new)) = candidates.iter().max_by_key(|(offset, _)| *offset) else {
            return Ok(());
        };
        self.world
            .say(|| format!("host {new} is to be the primary instead of {old}: {candidates:?}"));
        self.ask(new, &["REPLICAOF", "NO", "ONE"]);
        self.primary.set(new);
        self.failovers += 1;
        self.down_since_ms = None;
        let candidates: Vec<usize> = candidates.into_iter().map(|(_, host)| host).collect();
        self.check_confirmed(old, new, &candidates)
    }

    /// What WAIT confirmed is at the new primary, if enough of those who may have confirmed it could be chosen.
    fn check_confirmed(
        &mut self,
        old: usize,
        new: usize,
        candidates: &[usize],
    ) -> Result<(), String> {
        let others = self.setups.len() as u64 - 1;
        for (at, confirmed) in std::mem::take(&mut self.checks.confirmed) {
            let good = candidates
                .iter()
                .filter(|host| confirmed.generations[**host] == self.generation_before(**host, new))
                .count() as u64;
            let same_primary = confirmed.generations[old] == self.generation(old);
            // Of any so many others one at least is among those that could be chosen.
            if !same_primary || confirmed.replicas + good <= others {
                continue;
            }
            let held = self.held(new, at).flatten();
            if held < Some(confirmed.value) {
                return Err(format!(
                    "WAIT told client {} that {} replicas have {}, and the new primary, host {new}, has {}",
                    at.0,
                    confirmed.replicas,
                    shown(Some(confirmed.value)),
                    shown(held)
                ));
            }
        }
        Ok(())
    }

    /// The generation that a server had before it was made the primary.
    fn generation_before(&self, host: usize, new: usize) -> u64 {
        self.generation(host) - u64::from(host == new)
    }

    /// A server does not start with what its disk holds: that must not be, but where a sync has failed and it went on, as it is told to.
    /// Then somebody gives it another disk.
    fn cannot_start(&mut self, host: usize, problem: &str) -> Result<(), String> {
        let setup = &self.setups[host];
        let mut disk = setup.disk.lock();
        if setup.always || !disk.torn {
            return Err(format!("host {host} does not start: {problem}"));
        }
        disk.wipe();
        setup.keeps_all.set(false);
        Ok(())
    }

    // ---- what must hold of data --------------------------------------------------------------------------------------

    fn compare(&mut self) -> Result<(), String> {
        let mut places: BTreeMap<(String, u64), (usize, String)> = BTreeMap::new();
        let mut furthest = None;
        for host in self.servers() {
            let Some(view) = self.view(host).filter(View::is_placed) else {
                continue;
            };
            if host == self.primary.get() && view.is_primary {
                furthest = Some((view.stream.clone(), view.offset));
            } else if let Some((stream, offset)) = &furthest
                && view.linked
                && view.stream == *stream
                && view.offset > *offset
            {
                return Err(format!(
                    "host {host} is at {} of a stream that its primary has written up to {offset}",
                    view.offset
                ));
            }
            let digest = self.ask(host, &["DEBUG", "DIGEST"]).unwrap_or_default();
            let place = (view.stream, view.offset);
            if let Some((other, first)) = places.get(&place) {
                self.checks.compared += 1;
                let hosts = (*other, host);
                if self.checks.differ(hosts, *first != digest) {
                    return Err(format!(
                        "hosts {other} and {host} differ at the same place of their stream, {place:?}, and go on to"
                    ));
                }
            }
            places.insert(place, (host, digest));
            let longest = self.world.call(host, |process, _| {
                process.server().map(super::process::Server::longest_output)
            });
            if longest.flatten() > Some(MOST_OUTPUT_BYTES) {
                return Err(format!(
                    "{longest:?} bytes wait for a client of host {host}"
                ));
            }
        }
        Ok(())
    }

    /// The faults are over: all have to agree, and the primary still holds what it has told.
    fn come_to_rest(&mut self) -> Result<u64, String> {
        let start_ms = self.world.now_ms();
        self.run_to(start_ms + 5_000)?;
        self.quiet.set(true);
        self.run_to(start_ms + 8_000)?;
        while let Some(unrest) = self.trouble() {
            if self.world.now_ms() > start_ms + CONVERGENCE_MS {
                return Err(format!("not within {CONVERGENCE_MS} ms: {unrest}"));
            }
            self.run_to(self.world.now_ms() + TICK_MS)?;
        }
        let converged_ms = self.world.now_ms() - start_ms;
        let primary = self.primary.get();
        let generation = self.generation(primary);
        let clients = (self.world.hosts.len() - self.setups.len()) as u64;
        for at in (0..clients).flat_map(|client| (0..client::KEYS).map(move |key| (client, key))) {
            let floor = self.checks.floor(at, primary, generation);
            let held = self.held(primary, at).flatten();
            if held < floor {
                return Err(format!(
                    "in the end host {primary} holds {} of client {}, which it had told of {}",
                    shown(held),
                    at.0,
                    shown(floor)
                ));
            }
        }
        Ok(converged_ms)
    }

    fn trouble(&mut self) -> Option<String> {
        let primary = self.primary.get();
        let mut all = Vec::new();
        for host in self.servers() {
            let Some(view) = self.view(host) else {
                return Some(format!("host {host} is down"));
            };
            if view.is_primary != (host == primary) || view.loading {
                return Some(format!("host {host} is {view:?}"));
            }
            if !view.is_primary && !view.linked {
                return Some(format!("host {host} has no link to its primary"));
            }
            all.push((view.stream, view.offset));
        }
        all.dedup();
        (all.len() > 1).then(|| format!("they are at different places: {all:?}"))
    }
}

impl Scenario for Run {
    fn now_ms(&self) -> u64 {
        self.world.now_ms()
    }

    fn step(&mut self, until_ms: u64) -> bool {
        self.world.step(until_ms)
    }

    fn next_tick_ms(&mut self) -> &mut u64 {
        &mut self.next_tick_ms
    }

    fn tick(&mut self) -> Result<(), String> {
        self.operate()?;
        self.compare()
    }

    fn look(&mut self) -> Result<(), String> {
        for (host, note) in self.world.take_notes() {
            match note {
                Note::Asked { client, host } => {
                    let generations = self.generations();
                    self.checks.asked(client, host, generations);
                }
                Note::Told {
                    client,
                    host,
                    asked,
                    outcome,
                } => self.told(client, host, &asked, &outcome)?,
                Note::CannotStart(problem) => self.cannot_start(host, &problem)?,
                Note::Wrong(problem) => return Err(problem),
                Note::Log(_) => {}
            }
        }
        Ok(())
    }

    fn unrest(&self) -> Option<String> {
        None
    }
}

/// How all servers of a run are configured, and whether they sync before they answer.
fn config(rng: &mut Rng, servers: usize) -> (String, bool) {
    fn of(rng: &mut Rng, values: &[&'static str]) -> &'static str {
        values[rng.index(values.len())]
    }
    let fsync = of(rng, &["always", "always", "everysec", "off"]);
    let mut lines = vec![
        format!("port {PORT}"),
        "protected-mode no".to_owned(),
        "enable-debug-command yes".to_owned(),
        "repl-timeout 10".to_owned(),
        "repl-ping-replica-period 2".to_owned(),
        "appendonly no".to_owned(),
    ];
    if fsync != "off" {
        lines.pop();
        lines.push("appendonly yes".to_owned());
        lines.push(format!("appendfsync {fsync}"));
    }
    let save = of(rng, &["\"\"", "5 10", "2 1"]);
    lines.push(format!("save {save}"));
    for (name, values) in [
        ("repl-diskless-sync", &["yes", "no"][..]),
        ("repl-diskless-sync-delay", &["0", "1"]),
        ("repl-backlog-size", &["16kb", "64kb", "1mb"]),
        ("aof-use-rdb-preamble", &["yes", "no"]),
        ("auto-aof-rewrite-min-size", &["4kb", "32kb", "64mb"]),
        ("no-appendfsync-on-rewrite", &["no"]),
        ("stop-writes-on-bgsave-error", &["yes", "no"]),
        (
            "client-output-buffer-limit replica",
            &["256mb 64mb 60", "128kb 64kb 5"],
        ),
    ] {
        lines.push(format!("{name} {}", of(rng, values)));
    }
    if servers > 1 && rng.percent(15) {
        lines.push("min-replicas-to-write 1".to_owned());
    }
    lines.push(String::new());
    (lines.join("\n"), fsync == "always")
}
