//! What may go wrong, and when: a plan drawn from a seed. Each plan uses only some kinds of faults: a run in which
//! everything happens at once shows less than one in which two things do.

use super::{Core, Rng, World};

/// One thing that goes wrong.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The process ends and starts again later.
    Crash {
        /// Whose.
        host: usize,
        /// The whole machine: unsynced writes are lost, nobody is told.
        power: bool,
        /// When it starts again.
        down_ms: u64,
    },
    /// The power fails right after the next write, before anyone can look at what was sent after it.
    PowerLossAfterWrite {
        /// Whose.
        host: usize,
        /// When it starts again; counted from now, so a host that writes nothing meanwhile is spared.
        down_ms: u64,
    },
    /// The process stops for a while.
    Freeze {
        /// Whose.
        host: usize,
        /// How long.
        for_ms: u64,
    },
    /// Some hosts cannot talk to the others.
    Partition {
        /// Those on the one side.
        side: Vec<usize>,
        /// Only from this side to the other, not back.
        one_way: bool,
        /// How long.
        for_ms: u64,
    },
    /// A connection breaks.
    Break {
        /// One of whose.
        host: usize,
    },
    /// Packets take longer.
    SlowNetwork {
        /// At most.
        delay_ms: u64,
        /// How long.
        for_ms: u64,
    },
    /// The wall clock jumps.
    ClockJump {
        /// Whose.
        host: usize,
        /// How far.
        by_ms: i64,
    },
    /// The monotonic clock runs fast or slow from now on.
    ClockDrift {
        /// Whose.
        host: usize,
        /// By parts per million.
        ppm: i64,
    },
    /// Writes fail: the process exits at the next one.
    DiskFull {
        /// Whose.
        host: usize,
        /// How long; then the process starts again.
        for_ms: u64,
    },
    /// An fsync takes long.
    SlowDisk {
        /// Whose.
        host: usize,
        /// How long each.
        fsync_ms: u64,
        /// How long all this goes on.
        for_ms: u64,
    },
}

/// Faults in the order of their time, and what ends them.
#[derive(Debug)]
pub struct Plan {
    due: Vec<(u64, Step)>,
}

#[derive(Clone, Debug)]
enum Step {
    Begin(Fault),
    Start(usize),
    Mend,
    Calm,
    FreeDisk(usize),
    QuickDisk(usize),
}

/// The kinds a plan chooses from; [`draw`] makes one of a kind.
const KINDS: u64 = 10;

impl Plan {
    /// Faults for so many hosts between two moments, about one every `gap_ms`.
    #[must_use]
    pub fn draw(rng: &mut Rng, hosts: usize, from_ms: u64, to_ms: u64, gap_ms: u64) -> Self {
        let wanted = rng.between(1, 4);
        let kinds: Vec<u64> = (0..wanted).map(|_| rng.between(0, KINDS - 1)).collect();
        let mut plan = Self { due: Vec::new() };
        let mut at_ms = from_ms;
        loop {
            at_ms += rng.between(1, 2 * gap_ms);
            if at_ms >= to_ms {
                return plan;
            }
            let kind = kinds[rng.index(kinds.len())];
            // Faults like company: a rack, a switch, an update that goes out to several hosts.
            let together = if kind < 4 && rng.percent(25) {
                rng.between(2, 3)
            } else {
                1
            };
            for _ in 0..together {
                plan.add(at_ms, draw(rng, kind, hosts));
            }
        }
    }

    /// Adds one fault.
    pub fn add(&mut self, at_ms: u64, fault: Fault) {
        let end = match &fault {
            Fault::Crash { host, down_ms, .. } | Fault::PowerLossAfterWrite { host, down_ms } => {
                Some((*down_ms, Step::Start(*host)))
            }
            Fault::Partition { for_ms, .. } => Some((*for_ms, Step::Mend)),
            Fault::SlowNetwork { for_ms, .. } => Some((*for_ms, Step::Calm)),
            Fault::DiskFull { host, for_ms } => Some((*for_ms, Step::FreeDisk(*host))),
            Fault::SlowDisk { host, for_ms, .. } => Some((*for_ms, Step::QuickDisk(*host))),
            Fault::Freeze { .. }
            | Fault::Break { .. }
            | Fault::ClockJump { .. }
            | Fault::ClockDrift { .. } => None,
        };
        self.due.push((at_ms, Step::Begin(fault)));
        if let Some((after_ms, step)) = end {
            self.due.push((at_ms + after_ms, step));
        }
        // Sorted backwards, so that the next one is at the end.
        self.due.sort_by_key(|(at_ms, _)| std::cmp::Reverse(*at_ms));
    }

    /// When the next one is due.
    #[must_use]
    pub fn next_ms(&self) -> Option<u64> {
        self.due.last().map(|(at_ms, _)| *at_ms)
    }

    /// Does what is due.
    pub fn apply<C: Core>(&mut self, world: &mut World<C>) {
        while self.next_ms().is_some_and(|at_ms| at_ms <= world.now_ms()) {
            let Some((_, step)) = self.due.pop() else {
                return;
            };
            self.take(world, step);
        }
    }

    /// Ends everything: all machines run, all ways are open, all disks work.
    pub fn stop<C: Core>(&mut self, world: &mut World<C>) {
        world.say(|| "the faults stop".to_owned());
        self.due.clear();
        world.mend_all();
        world.delay_ms = CALM_DELAY_MS;
        world.thaw();
        for host in 0..world.hosts.len() {
            let machine = &mut world.hosts[host];
            (machine.disk_is_full, machine.fsync_ms, machine.doomed) = (false, 0, false);
            world.set_drift(host, 0);
            world.start(host);
        }
    }

    fn take<C: Core>(&mut self, world: &mut World<C>, step: Step) {
        match step {
            Step::Begin(fault) => self.begin(world, fault),
            Step::Start(host) => {
                world.hosts[host].doomed = false;
                world.start(host);
            }
            // Which ways a partition had cut is not kept: the next one to end opens them all.
            Step::Mend => world.mend_all(),
            Step::Calm => world.delay_ms = CALM_DELAY_MS,
            Step::FreeDisk(host) => {
                world.hosts[host].disk_is_full = false;
                world.start(host);
            }
            Step::QuickDisk(host) => world.hosts[host].fsync_ms = 0,
        }
    }

    fn begin<C: Core>(&mut self, world: &mut World<C>, fault: Fault) {
        world.say(|| format!("{fault:?}"));
        match fault {
            Fault::Crash { host, power, .. } => world.crash(host, power),
            Fault::PowerLossAfterWrite { host, .. } => world.hosts[host].doomed = true,
            Fault::Freeze { host, for_ms } => world.freeze(host, for_ms),
            Fault::Partition { side, one_way, .. } => {
                let others: Vec<usize> = (0..world.hosts.len())
                    .filter(|host| !side.contains(host))
                    .collect();
                for (a, b) in side
                    .iter()
                    .flat_map(|a| others.iter().map(move |b| (*a, *b)))
                {
                    world.cut(a, b);
                    if !one_way {
                        world.cut(b, a);
                    }
                }
            }
            Fault::Break { host } => world.break_one(host),
            Fault::SlowNetwork { delay_ms, .. } => world.delay_ms = (1, delay_ms),
            Fault::ClockJump { host, by_ms } => world.hosts[host].wall_off_ms += by_ms,
            Fault::ClockDrift { host, ppm } => world.set_drift(host, ppm),
            Fault::DiskFull { host, .. } => world.hosts[host].disk_is_full = true,
            Fault::SlowDisk { host, fsync_ms, .. } => world.hosts[host].fsync_ms = fsync_ms,
        }
    }
}

const CALM_DELAY_MS: (u64, u64) = (1, 3);

fn draw(rng: &mut Rng, kind: u64, hosts: usize) -> Fault {
    let host = rng.index(hosts);
    let shortly = rng.between(50, 3_000);
    let for_ms = if rng.percent(50) {
        shortly
    } else {
        rng.between(3_000, 40_000)
    };
    match kind {
        0 => Fault::Crash {
            host,
            power: false,
            down_ms: for_ms,
        },
        1 => Fault::Crash {
            host,
            power: true,
            down_ms: for_ms,
        },
        2 => Fault::PowerLossAfterWrite {
            host,
            down_ms: for_ms,
        },
        3 => Fault::Freeze { host, for_ms },
        4 | 5 => {
            let size = rng.between(1, hosts as u64 / 2);
            let side = (0..size).map(|_| rng.index(hosts)).collect();
            Fault::Partition {
                side,
                one_way: kind == 5,
                for_ms,
            }
        }
        6 => Fault::Break { host },
        7 => Fault::SlowNetwork {
            delay_ms: rng.between(20, 1_500),
            for_ms,
        },
        8 if rng.percent(50) => Fault::ClockJump {
            host,
            by_ms: 3_600_000 - i64::try_from(rng.between(0, 7_200_000)).unwrap_or(0),
        },
        8 => Fault::ClockDrift {
            host,
            ppm: 5_000 - i64::try_from(rng.between(0, 10_000)).unwrap_or(0),
        },
        _ if rng.percent(30) => Fault::DiskFull { host, for_ms },
        _ => Fault::SlowDisk {
            host,
            fsync_ms: rng.between(5, 800),
            for_ms,
        },
    }
}
