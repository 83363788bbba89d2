//! Figures: what the server tells about itself to those who are no clients. One look takes microseconds, however much data there is.

use cluster_bus::Caller;

use crate::Engine;
use crate::meter::command_logs::SlowCommands;
use crate::meter::histogram::Times;

/// Ends of the buckets that durations are told in: about a microsecond, and four times as much each.
const ENDS: [u64; 12] = {
    let mut ends = [1 << 10; 12];
    let mut index = 1;
    while index < ends.len() {
        ends[index] = ends[index - 1] << 2;
        index += 1;
    }
    ends
};

/// What a server tells about itself at one moment.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// INFO with all its sections.
    pub info: String,
    /// CLUSTER NODES of a node of a cluster, where it was asked for; otherwise empty.
    pub cluster_nodes: String,
    /// How long turns took: all that is done before other clients have theirs.
    pub turns: Durations,
    /// How long it took to bring the append-only file to the disk.
    pub syncs: Durations,
    /// The same of each command that was run.
    pub commands: Vec<(&'static str, Durations)>,
    /// What the slow log holds.
    pub slow: SlowCommands,
}

/// How long things took.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Durations {
    /// Nanoseconds, ascending, and how many took no longer. The steps are always the same ones.
    pub within: Vec<(u64, u64)>,
    /// How many there were.
    pub count: u64,
    /// How long they took together, nanoseconds.
    pub sum_ns: u64,
}

impl Times {
    fn told(&self) -> Durations {
        Durations {
            within: self.histogram.within(&ENDS),
            count: self.histogram.count(),
            sum_ns: self.ns,
        }
    }
}

impl Engine {
    /// The figures of now; with the cluster's `nodes`, which may be many, where they are wanted.
    pub fn figures(&mut self, nodes: bool) -> Figures {
        let info = self.info(&[b"everything"]);
        let stats = &self.meter.stats;
        let commands = self.index.facts().zip(&stats.per_command);
        let commands = commands
            .filter(|(_, stats)| stats.calls > 0)
            .map(|(facts, stats)| {
                let told = Durations {
                    within: stats.times.within(&ENDS),
                    count: stats.times.count(),
                    sum_ns: stats.ns,
                };
                (facts.name, told)
            });
        let commands = if self.config.latency_tracking {
            commands.collect()
        } else {
            Vec::new()
        };
        let cluster = self.keeper.cluster.as_ref();
        Figures {
            info,
            cluster_nodes: cluster
                .filter(|_| nodes)
                .map_or_else(String::new, |node| node.cluster_nodes(Caller::default())),
            turns: stats.turns.told(),
            syncs: self.meter.syncs.told(),
            commands,
            slow: self.meter.command_logs.slow(),
        }
    }
}
