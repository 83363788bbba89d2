//! The scenario of a seed: one server, a primary with two replicas whom an operator looks after or three sentinels do, or a cluster;
//! clients that write and read all the time; faults of machines, disks, network and clocks.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::checks::{Checks, Confirmed, View, shown};
use super::client::{self, Asked, Outcome};
use super::disk::Backup;
use super::group::{Group, Kind, sentinel_config};
use super::process::{self, Bug, SYSTEM_FILES};
use super::{Note, Process, Setup, bus, log, mark, sentinel};
use crate::sim::faults;
use crate::sim::{Failure, Options, Rng, Scenario, World};

/// Things go wrong for so long, and then there is so much time to agree.
const FAULTS_MS: u64 = 55_000;
const CONVERGENCE_MS: u64 = 90_000;
/// How often roles are looked at, and data are compared.
pub(super) const TICK_MS: u64 = 500;
/// No client or node has more waiting for it than this: no reply here is long.
const MOST_OUTPUT_BYTES: usize = 4 << 20;

/// What a run is to be, beside what the seed decides.
#[derive(Clone, Copy, Debug, Default)]
pub struct Wanted {
    /// What is wrong with the servers.
    pub bug: Bug,
    /// Who the servers are to one another; the seed decides where nothing is said.
    pub kind: Option<Kind>,
    /// Sentinels look for saturation, and let a saturated primary hand over. One seed of four does so anyway.
    pub saturation: bool,
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
    /// Votes of nodes.
    pub votes: u64,
    /// Times that a client's slot went to another node as a whole.
    pub moves: u64,
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
    let name = wanted.kind.map_or("server", Kind::name);
    let converged_ms = result
        .map_err(|problem| Box::new(Failure::new(name, seed, run.world.now_ms(), problem)))?;
    Ok(Summary {
        steps: run.world.steps(),
        history: run.world.history(),
        writes: run.checks.writes,
        reads: run.checks.reads,
        waits: run.checks.waits,
        compared: run.checks.compared,
        starts: run.setups.iter().map(|setup| setup.starts.get()).sum(),
        failovers: run.failovers,
        votes: run.nodes.votes() as u64,
        moves: run.moves_done,
        converged_ms,
    })
}

/// Servers and clients in a world, and what has been seen of them.
pub struct Run {
    /// The world. The servers are its first hosts, then come sentinels, then clients.
    pub world: World<Process>,
    /// What has been seen.
    pub checks: Checks,
    /// What sentinels have said.
    pub sentinels: sentinel::Checks,
    /// What nodes of a cluster have said.
    pub nodes: bus::Checks,
    pub(super) group: Group,
    pub(super) setups: Vec<process::Setup>,
    pub(super) clients: u64,
    pub(super) rng: Rng,
    next_tick_ms: u64,
    /// Who is the primary, as far as operators and sentinels know.
    pub(super) primary: usize,
    /// The same as clients know it: from the operator, or each from one sentinel.
    pub(super) known_primaries: Vec<Rc<Cell<usize>>>,
    /// The newest configuration that a sentinel had.
    pub(super) config_epoch: u64,
    /// Whom each node was seen to follow last.
    pub(super) followed: Vec<Option<usize>>,
    /// An operator moves slots.
    pub(super) moves: bool,
    /// Who served each client's keys when that was looked at last, and the generations of all then.
    pub(super) owners: BTreeMap<u64, (usize, Vec<u64>)>,
    /// Moves that were asked for: of which client's slot, from where, to where.
    pub(super) moved: BTreeSet<(u64, usize, usize)>,
    pub(super) moves_done: u64,
    /// The clients are to be quiet.
    quiet: Rc<Cell<bool>>,
    /// The name of the primary's stream when it was last seen.
    pub(super) stream: String,
    pub(super) down_since_ms: Option<u64>,
    pub(super) patience_ms: u64,
    pub(super) failovers: u64,
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
        world.fsync = options.fsync;
        let group = Group::draw(&mut rng, wanted.kind);
        let setups = group.setups(&mut rng, wanted.bug);
        world.say(|| format!("{group:?}\n{}", setups[0].config));
        for setup in &setups {
            world.add_host(Setup::Server(setup.clone()));
        }
        let saturation = wanted.saturation || seed.is_multiple_of(4);
        let config = sentinel_config(&mut rng, saturation);
        for _ in 0..group.sentinels() {
            world.add_host(Setup::Sentinel(config.clone(), wanted.bug));
        }
        let quiet = Rc::new(Cell::new(false));
        let known_primaries: Vec<Rc<Cell<usize>>> = (0..group.sentinels().max(1))
            .map(|_| Rc::default())
            .collect();
        let clients = rng.between(2, 4);
        for (number, known) in (0..clients).zip(known_primaries.iter().cycle()) {
            world.add_host(Setup::Client(client::Setup {
                number,
                primary: (!group.is_cluster()).then(|| Rc::clone(known)),
                servers: setups.len(),
                quiet: Rc::clone(&quiet),
                serial: Rc::default(),
                replicas: group.replicas as u64,
            }));
        }
        let patience_ms = rng.between(1_000, 8_000);
        let moves = group.is_cluster() && rng.percent(40);
        Self {
            world,
            checks: Checks::default(),
            sentinels: sentinel::Checks::default(),
            nodes: bus::Checks::new(moves),
            group,
            followed: vec![None; setups.len()],
            moves,
            owners: BTreeMap::new(),
            moved: BTreeSet::new(),
            moves_done: 0,
            setups,
            clients,
            rng,
            next_tick_ms: 0,
            primary: 0,
            known_primaries,
            config_epoch: 0,
            quiet,
            stream: String::new(),
            down_since_ms: None,
            patience_ms,
            failovers: 0,
            backups: BTreeMap::new(),
        }
    }

    /// How many primaries there are to be.
    #[must_use]
    pub fn primaries(&self) -> usize {
        self.group.primaries
    }

    /// Who is the primary, as far as operators and sentinels know.
    #[must_use]
    pub fn primary(&self) -> usize {
        self.primary
    }

    /// Writes that were acknowledged and that the primary lacks.
    pub fn lost_writes(&mut self) -> Vec<String> {
        let acknowledged = self.checks.acknowledged.clone();
        let lacks = |(at, value): ((u64, u64), u64)| {
            let held = self.held(self.primary, at)?;
            let is_lost = held < Some(value);
            let (written, held) = (shown(Some(value)), shown(held));
            let (client, key) = at;
            is_lost.then(|| format!("key {key} of client {client}: {held}, not {written}"))
        };
        acknowledged.into_iter().filter_map(lacks).collect()
    }

    pub(super) fn servers(&self) -> std::ops::Range<usize> {
        0..self.setups.len()
    }

    /// The hosts of sentinels.
    pub(super) fn watchers(&self) -> std::ops::Range<usize> {
        let servers = self.setups.len();
        servers..servers + self.group.sentinels()
    }

    /// The time in which things go wrong.
    fn live(&mut self) -> Result<(), String> {
        self.form()?;
        let gap_ms = self.rng.between(1_500, 12_000);
        let from_ms = self.world.now_ms() + self.rng.between(500, 4_000);
        let calm_ms = self.world.now_ms() + FAULTS_MS;
        let hosts = self.watchers().end;
        let mut plan = faults::Plan::draw(&mut self.rng, hosts, from_ms, calm_ms, gap_ms);
        let disks_lie = self.rng.percent(30);
        let disks_fill = self.rng.percent(20);
        self.sentinels.epochs_may_be_forgotten = disks_fill;
        while self.world.now_ms() < calm_ms {
            let next_ms = plan
                .next_ms()
                .unwrap_or(calm_ms)
                .min(calm_ms)
                .min(self.world.now_ms() + 1_000);
            self.run_to(next_ms)?;
            plan.apply(&mut self.world);
            self.happen(disks_lie);
            if disks_fill && self.rng.percent(30) {
                self.fill_a_disk();
            }
            self.look()?;
        }
        plan.stop(&mut self.world);
        for host in self.watchers() {
            self.set_cannot_save(host, false);
        }
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
            let is_replica = self.group.is_cluster() || host != self.primary;
            if down && is_replica && self.rng.percent(30) {
                let backup = self.backups.get(&host).filter(|_| self.rng.percent(50));
                disk.exchange(backup, &SYSTEM_FILES);
                self.setups[host].keeps_all.set(false);
                self.world.say(|| format!("host {host} gets another disk"));
            } else if self.rng.percent(3) {
                self.backups.insert(host, disk.backup());
            }
            drop(disk);
            match self.rng.between(0, 60) {
                0 => drop(self.ask(host, &["BGREWRITEAOF"])),
                1 => drop(self.ask(host, &["BGSAVE"])),
                2 if self.group.is_cluster() => drop(self.ask(host, &["CLUSTER", "FAILOVER"])),
                _ => {}
            }
        }
        if self.moves && self.rng.percent(15) {
            self.move_slots();
        }
    }

    /// A server that is down gets an empty disk for its data.
    fn empty_disk(&mut self, host: usize) {
        let setup = &self.setups[host];
        setup.disk.lock().exchange(None, &SYSTEM_FILES);
        setup.keeps_all.set(false);
    }

    /// A sentinel cannot save its state for a while, or can again. (The world's own full disk ends a process.)
    fn fill_a_disk(&mut self) {
        let mut watchers = self.watchers();
        if let Some(host) = watchers.nth(self.rng.index(watchers.len())) {
            let full = self.rng.percent(50);
            self.set_cannot_save(host, full);
        }
    }

    fn set_cannot_save(&mut self, host: usize, cannot_save: bool) {
        self.world
            .say(|| format!("sentinel {host} can save: {}", !cannot_save));
        self.world.call(host, |process, _| {
            if let Process::Sentinel(sentinel) = process {
                sentinel.cannot_save = cannot_save;
            }
        });
    }

    /// What a command answers at a server; none where it cannot be asked, or answers later.
    pub fn ask(&mut self, host: usize, words: &[&str]) -> Option<String> {
        self.world
            .call(host, |process, now| Some(process.server()?.ask(now, words)))
            .flatten()
            .filter(|answer| !answer.is_empty())
    }

    pub(super) fn view(&mut self, host: usize) -> Option<View> {
        let replication = self.ask(host, &["INFO", "replication", "persistence"])?;
        Some(View::of(&replication))
    }

    /// What a server holds under a client's key; none where it cannot be asked. A node holds nothing of slots that are another's, but
    /// where slots move it may have had them a moment ago.
    pub(super) fn held(&mut self, host: usize, (client, key): (u64, u64)) -> Option<Option<u64>> {
        let answer = self.ask(host, &["GET", &client::key_of(client, key)])?;
        if answer.starts_with("-MOVED") {
            return (!self.moves).then_some(None);
        }
        let value = answer.starts_with('$').then(|| answer.lines().nth(1))?;
        Some(value.and_then(|text| mark::parse(text.as_bytes())))
    }

    pub(super) fn generation(&self, host: usize) -> u64 {
        self.setups[host].generation.get()
    }

    pub(super) fn generations(&self) -> Vec<u64> {
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
            host,
            value,
            replicas,
            generations,
        };
        self.checks.confirmed.insert(at, confirmed);
        Ok(())
    }

    /// A server does not start with what its disk holds: that must not be, but where a sync has failed and it went on, as it is told to.
    /// Then somebody gives it another disk.
    fn cannot_start(&mut self, host: usize, problem: &str) -> Result<(), String> {
        let setup = &self.setups[host];
        let disk = setup.disk.lock();
        if setup.always || !disk.torn {
            return Err(format!("host {host} does not start: {problem}"));
        }
        drop(disk);
        self.empty_disk(host);
        Ok(())
    }

    // ---- what must hold of data --------------------------------------------------------------------------------------

    fn compare(&mut self) -> Result<(), String> {
        let mut views = Vec::new();
        for host in self.servers() {
            let view = self.view(host).filter(View::is_placed);
            views.extend(view.map(|view| (host, view)));
            self.check_queues(host)?;
        }
        let mut written: BTreeMap<&str, u64> = BTreeMap::new();
        for (_, view) in views.iter().filter(|(_, view)| view.is_primary) {
            written.insert(&view.stream, view.offset);
        }
        let mut places: BTreeMap<(&str, u64), Vec<usize>> = BTreeMap::new();
        for (host, view) in &views {
            if let Some(written) = written.get(&*view.stream)
                && view.offset > *written
            {
                return Err(format!(
                    "host {host} is at {} of a stream that its primary has written up to {written}",
                    view.offset
                ));
            }
            let place = (&*view.stream, view.offset);
            places.entry(place).or_default().push(*host);
        }
        for (place, hosts) in &places {
            self.compare_data(hosts, place)?;
        }
        Ok(())
    }

    /// Servers at one place of a stream hold the same.
    fn compare_data(&mut self, hosts: &[usize], place: &(&str, u64)) -> Result<(), String> {
        let [first, others @ ..] = hosts else {
            return Ok(());
        };
        if others.is_empty() {
            return Ok(());
        }
        let digest = self.ask(*first, &["DEBUG", "DIGEST"]);
        for other in others {
            self.checks.compared += 1;
            let differ = self.ask(*other, &["DEBUG", "DIGEST"]) != digest;
            if self.checks.differ((*first, *other), differ) {
                return Err(format!(
                    "hosts {first} and {other} differ at the same place of their stream, {place:?}, and go on to"
                ));
            }
        }
        Ok(())
    }

    /// What waits to be sent is bounded.
    fn check_queues(&mut self, host: usize) -> Result<(), String> {
        let longest = self.world.call(host, |process, _| {
            process.server().map(process::Server::longest_output)
        });
        match longest.flatten() {
            Some(bytes) if bytes > MOST_OUTPUT_BYTES => Err(format!(
                "{bytes} bytes wait for a client or a node of host {host}"
            )),
            _ => Ok(()),
        }
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
        for host in self.servers() {
            self.check_floors(host)?;
        }
        Ok(converged_ms)
    }

    /// A server still holds what it has told.
    fn check_floors(&mut self, host: usize) -> Result<(), String> {
        let generation = self.generation(host);
        for client in 0..self.clients {
            for key in 0..client::KEYS {
                let Some(floor) = self.checks.floor((client, key), host, generation) else {
                    continue;
                };
                if let Some(held) = self.held(host, (client, key))
                    && held < Some(floor)
                {
                    return Err(format!(
                        "in the end host {host} holds {} of client {client}, which it had told of {}",
                        shown(held),
                        shown(Some(floor))
                    ));
                }
            }
        }
        Ok(())
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
        self.keep_roles()?;
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
                Note::Sentinel(note) => self.sentinels.see(host, &note)?,
                Note::Bus(note) => self.nodes.see(note)?,
                Note::Log(_) => {}
            }
        }
        Ok(())
    }

    fn unrest(&self) -> Option<String> {
        None
    }
}
