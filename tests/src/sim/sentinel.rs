//! Three sentinels, a master and two replicas in the simulator: what must hold after every event, what must hold at
//! rest, and the scenario that a seed makes of it.

pub mod process;
pub mod redis;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use process::{Note, Process, Sentinel, Setup};
use redis::Redis;
use sentinel_core::config::SavedMaster;

use super::faults::Plan;
use super::scenario::{CALM_MS, Options, Scenario};
use super::{Failure, Rng, World};

const PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;

/// The sentinels' hosts; the servers' follow.
pub const SENTINELS: std::ops::Range<usize> = 0..3;
/// The servers' hosts; the first is the master at the start.
pub const SERVERS: std::ops::Range<usize> = 3..6;

/// What a run was like, for tests that want to know that something has happened at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    /// Events of the world.
    pub steps: u64,
    /// Votes that were told or counted.
    pub votes: usize,
    /// Elections that were won.
    pub elections: usize,
    /// Failovers that got as far as a new configuration.
    pub configurations: usize,
    /// Simulated milliseconds from the end of the faults to agreement.
    pub converged_ms: u64,
}

/// Runs ten minutes of three sentinels and their servers.
///
/// # Errors
/// The first violation of an invariant, or that they did not come to rest.
pub fn run(seed: u64, options: Options) -> Result<Summary, Box<Failure>> {
    let mut run = Run::new(seed, options);
    let result = run
        .meet()
        .and_then(|()| run.live())
        .and_then(|()| run.come_to_rest());
    let converged_ms = result
        .map_err(|problem| Box::new(Failure::new("sentinel", seed, run.world.now_ms(), problem)))?;
    Ok(Summary {
        steps: run.world.steps(),
        votes: run.checks.votes.len(),
        elections: run.checks.leaders.len(),
        configurations: run.checks.configurations.len() - 1,
        converged_ms,
    })
}

/// What must hold after every event.
#[derive(Debug, Default)]
pub struct Checks {
    /// Leaves out that sentinels remember the epochs they have said: for runs in which they cannot save.
    pub epochs_may_be_forgotten: bool,
    /// Host and epoch: whom it voted for.
    votes: BTreeMap<(usize, u64), String>,
    /// Epoch: who was elected.
    leaders: BTreeMap<u64, String>,
    /// Config epoch: where the master is.
    configurations: BTreeMap<u64, String>,
    said: BTreeMap<usize, u64>,
}

impl Checks {
    /// The epochs in which a host has voted so far, and for whom.
    #[must_use]
    pub fn votes_of(&self, host: usize) -> Vec<(u64, String)> {
        let own = self.votes.iter().filter(|((voter, _), _)| *voter == host);
        own.map(|((_, epoch), leader)| (*epoch, leader.clone()))
            .collect()
    }

    /// Looks at one note.
    ///
    /// # Errors
    /// The invariant that it violates.
    pub fn see(&mut self, host: usize, note: &Note) -> Result<(), String> {
        match note {
            Note::Voted { leader, epoch } => {
                let first = self
                    .votes
                    .entry((host, *epoch))
                    .or_insert_with(|| leader.clone());
                if first != leader {
                    return Err(format!(
                        "sentinel {host} voted twice in epoch {epoch}: {first} and {leader}"
                    ));
                }
            }
            Note::Elected { leader, epoch } => {
                let first = self.leaders.entry(*epoch).or_insert_with(|| leader.clone());
                if first != leader {
                    return Err(format!(
                        "two leaders in epoch {epoch}: {first} and {leader}"
                    ));
                }
            }
            Note::Said {
                epoch,
                config: (config_epoch, master),
            } => {
                let first = self
                    .configurations
                    .entry(*config_epoch)
                    .or_insert_with(|| master.clone());
                if first != master {
                    return Err(format!(
                        "two masters in config epoch {config_epoch}: {first} and {master}"
                    ));
                }
                let before = self.said.insert(host, *epoch);
                if before > Some(*epoch) && !self.epochs_may_be_forgotten {
                    return Err(format!(
                        "sentinel {host} said epoch {before:?} and then only {epoch}"
                    ));
                }
            }
            Note::Log(_) => {}
        }
        Ok(())
    }
}

/// Sentinels and servers in a world, and what has been seen of them.
pub struct Run {
    /// The world.
    pub world: World<Process>,
    /// What has been seen.
    pub checks: Checks,
    rng: Rng,
    next_tick_ms: u64,
}

impl Run {
    /// Six hosts that have just started. The seed decides how the sentinels are configured.
    #[must_use]
    pub fn new(seed: u64, options: Options) -> Self {
        let mut rng = Rng::new(seed);
        let down_after_ms = [1_000, 2_000, 5_000][rng.index(3)];
        let failover_timeout_ms = [6_000, 20_000][rng.index(2)];
        Self::with(rng, down_after_ms, failover_timeout_ms, options)
    }

    /// Six hosts, sentinels configured like this.
    #[must_use]
    pub fn with(
        mut rng: Rng,
        down_after_ms: u64,
        failover_timeout_ms: u64,
        options: Options,
    ) -> Self {
        let mut world = World::new(rng.next_u64());
        world.fsync = options.fsync;
        world.trace = options.trace;
        let master = server(SERVERS.start);
        let config = format!(
            "port {SENTINEL_PORT}\nsentinel monitor mymaster {} {PORT} 2\n\
             sentinel down-after-milliseconds mymaster {down_after_ms}\n\
             sentinel failover-timeout mymaster {failover_timeout_ms}\n\
             sentinel vote-without-disk no\n",
            master.ip()
        );
        for _ in SENTINELS {
            world.add_host(Setup::Sentinel(config.clone()));
        }
        for host in SERVERS {
            world.add_host(Setup::Redis((host != SERVERS.start).then_some(master)));
        }
        Self {
            world,
            checks: Checks::default(),
            rng,
            next_tick_ms: 0,
        }
    }

    /// Lets the sentinels find the servers and one another.
    ///
    /// # Errors
    /// A violation, or that they did not.
    pub fn meet(&mut self) -> Result<(), String> {
        self.until("everyone knows everyone", 30_000, |run| {
            run.unrest().is_none()
        })
    }

    fn live(&mut self) -> Result<(), String> {
        let hosts = self.world.hosts.len();
        let gap_ms = self.rng.between(4_000, 30_000);
        let mut plan = Plan::draw(&mut self.rng, hosts, self.world.now_ms(), CALM_MS, gap_ms);
        let disks_fill = self.rng.percent(20);
        self.checks.epochs_may_be_forgotten = disks_fill;
        while self.world.now_ms() < CALM_MS {
            let next_ms = plan
                .next_ms()
                .unwrap_or(CALM_MS)
                .min(CALM_MS)
                .min(self.world.now_ms() + 5_000);
            self.run_to(next_ms)?;
            if disks_fill && self.rng.percent(30) {
                let host = self.rng.index(SENTINELS.len());
                let full = self.rng.percent(50);
                self.set_cannot_save(host, full);
            }
            plan.apply(&mut self.world);
            self.look()?;
        }
        plan.stop(&mut self.world);
        SENTINELS.for_each(|host| self.set_cannot_save(host, false));
        self.look()
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

    /// Masters write; slaves that can reach their master have what it has; masters know who follows them.
    fn replicate(&mut self) {
        let mut sources: BTreeMap<usize, u64> = BTreeMap::new();
        let mut following: BTreeMap<usize, Vec<SocketAddr>> = BTreeMap::new();
        for host in SERVERS {
            if self.redis(host).is_none_or(|redis| redis.master.is_some()) {
                continue;
            }
            let offset = self.redis(host).map_or(0, |redis| redis.offset) + 100;
            self.world.call(host, |process, _| {
                if let Process::Redis(redis) = process {
                    redis.offset = offset;
                }
            });
            sources.insert(host, offset);
        }
        // A slave serves slaves of its own only while it has a master itself.
        let mut way = true;
        while std::mem::take(&mut way) {
            for host in SERVERS.filter(|host| self.world.is_awake(*host)) {
                let master = self.redis(host).and_then(|redis| redis.master);
                let Some(source) = master.and_then(|master| self.world.host_at(master.ip())) else {
                    continue;
                };
                let open = self.world.reaches(host, source) && self.world.reaches(source, host);
                if let Some(&offset) = sources
                    .get(&source)
                    .filter(|_| open && self.world.is_awake(source))
                    && sources.insert(host, offset).is_none()
                {
                    following.entry(source).or_default().push(server(host));
                    way = true;
                }
            }
        }
        for host in SERVERS {
            let offset = sources.get(&host).copied();
            let slaves = following.remove(&host).unwrap_or_default();
            self.world.call(host, |process, now| {
                if let Process::Redis(redis) = process {
                    redis.slaves = slaves.into_iter().collect();
                    if redis.master.is_some() {
                        redis.set_link(now, offset);
                    }
                }
            });
        }
    }

    /// The sentinel on a host, if it runs.
    #[must_use]
    pub fn sentinel(&self, host: usize) -> Option<&Sentinel> {
        self.world.core(host).and_then(Process::sentinel)
    }

    /// The server on a host, if it runs.
    #[must_use]
    pub fn redis(&self, host: usize) -> Option<&Redis> {
        self.world.core(host).and_then(Process::redis)
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
        self.replicate();
        Ok(())
    }

    fn look(&mut self) -> Result<(), String> {
        let mut notes = self.world.take_notes().into_iter();
        notes.try_for_each(|(host, note)| self.checks.see(host, &note))
    }

    /// What keeps all from being at rest: every sentinel runs, knows both other ones and both slaves, and sees the same
    /// master in the same config epoch, and nobody down; that server is a master, and the others follow it.
    fn unrest(&self) -> Option<String> {
        let mut first: Option<SavedMaster> = None;
        for host in SENTINELS {
            let Some(sentinel) = self.sentinel(host) else {
                return Some(format!("sentinel {host} is down"));
            };
            if let Some(trouble) = sentinel.monitor.trouble() {
                return Some(format!("sentinel {host}: {trouble}"));
            }
            let Some(seen) = sentinel.monitor.snapshot().saved.masters.pop() else {
                return Some(format!("sentinel {host} watches nothing"));
            };
            if (seen.sentinels.len(), seen.slaves.len()) != (2, 2) {
                return Some(format!(
                    "sentinel {host} knows {} other sentinels and {} slaves",
                    seen.sentinels.len(),
                    seen.slaves.len()
                ));
            }
            if let Some(first) = &first
                && (&first.addr, first.config_epoch) != (&seen.addr, seen.config_epoch)
            {
                return Some(format!(
                    "sentinel {host} sees master {} in config epoch {}, another one {} in {}",
                    seen.addr, seen.config_epoch, first.addr, first.config_epoch
                ));
            }
            first = Some(seen);
        }
        let master = first.and_then(|master| {
            let ip = master.addr.ip?;
            Some(SocketAddr::new(ip, master.addr.port))
        })?;
        for host in SERVERS {
            let Some(redis) = self.redis(host) else {
                return Some(format!("server {host} is down"));
            };
            let expected = (server(host) != master).then_some(master);
            if redis.master != expected {
                return Some(format!(
                    "server {host} follows {:?}, not {expected:?}",
                    redis.master
                ));
            }
            if redis.link_down_since_ms.is_some() {
                return Some(format!("server {host} has no link to its master"));
            }
        }
        None
    }
}

fn server(host: usize) -> SocketAddr {
    SocketAddr::new(World::<Process>::ip(host), PORT)
}
