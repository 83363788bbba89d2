//! Figures: what the server tells about itself to those who are no clients. One look takes microseconds, however much data there is.

use cluster_bus::Caller;

use crate::Engine;
use crate::keeper::migrations::{Export, Migrations, State};
use crate::meter::command_logs::SlowCommands;
use crate::meter::histogram::Histogram;

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

/// The same of sizes: 64 bytes, and four times as much each.
const SIZE_ENDS: [u64; 12] = {
    let mut ends = [64; 12];
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
    /// How many databases there are.
    pub databases: usize,
    /// How long turns took: all that is done before other clients have theirs.
    pub turns: Distribution,
    /// How long it took to bring the append-only file to the disk.
    pub syncs: Distribution,
    /// The same of each command that was run.
    pub commands: Vec<(&'static str, Distribution)>,
    /// How large the arguments of requests were.
    pub requests: Distribution,
    /// How large replies were.
    pub replies: Distribution,
    /// What the slow log holds.
    pub slow: SlowCommands,
    /// How many commands the logs of slow ones, large requests and large replies hold.
    pub noted: [usize; 3],
    /// The last sample of each event that the latency monitor knows: Unix seconds, and milliseconds that it took.
    pub latency: Vec<(&'static str, (u64, u64))>,
    /// Slots that move as a whole, on a node of a cluster.
    pub migrations: Option<MigrationFigures>,
}

/// Slots that move as a whole, as far as this server has part in it and remembers it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MigrationFigures {
    /// Those that leave this node.
    pub exports: MigrationCounts,
    /// Those that come.
    pub imports: MigrationCounts,
    /// Bytes that targets have still to be sent.
    pub behind_bytes: u64,
}

/// How many migrations are how far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MigrationCounts {
    /// Under way.
    pub running: usize,
    /// At their good end.
    pub succeeded: usize,
    /// Given up.
    pub failed: usize,
    /// Ended by somebody.
    pub cancelled: usize,
}

impl MigrationCounts {
    fn add(&mut self, state: State) {
        let count = match state {
            State::Success => &mut self.succeeded,
            State::Failed => &mut self.failed,
            State::Cancelled => &mut self.cancelled,
            _ => &mut self.running,
        };
        *count += 1;
    }
}

impl Migrations {
    fn told(&self) -> MigrationFigures {
        let mut told = MigrationFigures::default();
        for job in &self.jobs {
            let counts = if job.is_import() {
                &mut told.imports
            } else {
                &mut told.exports
            };
            counts.add(job.state);
            told.behind_bytes += job.export().map_or(0, Export::behind);
        }
        told
    }
}

/// How long or how large things were.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Distribution {
    /// Nanoseconds or bytes, ascending, and how many were no more. The steps are always the same ones.
    pub within: Vec<(u64, u64)>,
    /// How many there were.
    pub count: u64,
    /// All of them together.
    pub sum: u64,
}

impl Histogram {
    /// The counts up to these values.
    fn told(&self, ends: &[u64]) -> Distribution {
        Distribution {
            within: self.within(ends),
            count: self.count(),
            sum: self.sum(),
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
            .map(|(facts, stats)| (facts.name, stats.times.told(&ENDS)));
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
            databases: self.shard.keyspace.databases(),
            turns: stats.turns.told(&ENDS),
            syncs: self.meter.syncs.told(&ENDS),
            commands,
            requests: stats.payloads.requests.told(&SIZE_ENDS),
            replies: stats.payloads.replies.told(&SIZE_ENDS),
            migrations: cluster.map(|_| self.keeper.migrations.told()),
            slow: self.meter.command_logs.slow(),
            noted: self.meter.command_logs.counts(),
            latency: self.meter.latency.last(),
        }
    }
}
