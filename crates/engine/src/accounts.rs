//! Where time and memory go: what INFO, MEMORY and LATENCY tell of it.

use std::fmt::Write as _;

use crate::Engine;
use crate::meter::histogram::Histogram;

/// What the bytes in use are used for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Accounts {
    /// All that the allocator has handed out.
    pub(crate) used: usize,
    /// Of it, when the server had just started.
    pub(crate) startup: usize,
    /// Connections of ordinary clients.
    pub(crate) clients: usize,
    /// Connections of replicas.
    pub(crate) replicas: usize,
    /// The stream that is kept for replicas.
    pub(crate) backlog: usize,
    /// What is kept of the primary's stream while a dump comes by another connection.
    pub(crate) buffered: usize,
    /// What waits to be written to the append-only file.
    pub(crate) append_only: usize,
    /// The interpreter of scripts.
    pub(crate) scripts: usize,
    /// The tables of all databases, without their entries.
    pub(crate) tables: usize,
    /// Keys in all databases.
    pub(crate) keys: usize,
}

impl Accounts {
    /// All but keys and values.
    pub(crate) fn overhead(&self) -> usize {
        self.startup
            + self.tables
            + self.clients
            + self.replicas
            + self.backlog
            + self.buffered
            + self.append_only
            + self.scripts
    }

    /// Keys and values: what is left over.
    pub(crate) fn dataset(&self) -> usize {
        self.used.saturating_sub(self.overhead())
    }

    /// The share of keys and values in what came since the start, in percent.
    pub(crate) fn dataset_percent(&self) -> f64 {
        percent(self.dataset(), self.used.saturating_sub(self.startup))
    }

    pub(crate) fn bytes_per_key(&self) -> usize {
        let since = self.used.saturating_sub(self.startup);
        since.checked_div(self.keys).unwrap_or(0)
    }
}

/// How many hundredths of `whole` a part is.
pub(crate) fn percent(part: usize, whole: usize) -> f64 {
    ratio(part, whole) * 100.0
}

/// `part / whole`, where nothing has the ratio zero to anything.
pub(crate) fn ratio(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    let ratio = part as f64 / whole as f64;
    ratio
}

impl Engine {
    /// Counts what the bytes in use are used for.
    pub(crate) fn accounts(&self) -> Accounts {
        let (mut normal, mut replicas) = (0, 0);
        for (_, client) in self.sessions.clients.iter() {
            let bytes = client.memory();
            if client.flags.replica && !client.flags.monitor {
                replicas += bytes;
            } else {
                normal += bytes;
            }
        }
        let databases =
            || (0..self.shard.keyspace.databases()).map(|db| self.shard.keyspace.db_ref(db));
        let backlog = self.journal.replicas.backlog.as_ref();
        let kept = backlog.map_or(0, replication::Backlog::memory);
        // What is kept beyond the backlog's size is there for replicas that have not read it yet.
        let size = usize::try_from(self.config.repl_backlog_size).unwrap_or(usize::MAX);
        let waiting = if self.journal.replicas.ids.is_empty() {
            0
        } else {
            kept.saturating_sub(size)
        };
        replicas += waiting;
        Accounts {
            used: self.host.memory_used(),
            startup: self.meter.started_bytes,
            clients: normal,
            replicas,
            backlog: kept - waiting,
            buffered: self.buffered_stream().2,
            append_only: usize::try_from(self.append_only_bytes()).unwrap_or(usize::MAX),
            scripts: self.script_memory(),
            tables: databases().map(store::Db::table_bytes).sum(),
            keys: databases().map(store::Db::len).sum(),
        }
    }

    /// `INFO latencystats`: percentiles of each command's time, in microseconds.
    pub(crate) fn info_latencies(&self, text: &mut String) {
        if !self.config.latency_tracking {
            return;
        }
        let percentiles = &self.config.latency_tracking_info_percentiles;
        for (facts, stats) in self
            .index
            .facts()
            .zip(&self.meter.stats.per_command)
            .filter(|(_, stats)| stats.calls > 0)
        {
            let shown = shares(&stats.times, percentiles);
            // Writing to a string does not fail.
            let _ = write!(text, "latency_percentiles_usec_{}:{shown}\r\n", facts.name);
        }
    }

    /// `INFO turnstats`: the same of turns and of all commands together. A turn is what is done before other clients can have
    /// theirs: all requests of one read, or a tick.
    pub(crate) fn info_turns(&self, text: &mut String) {
        let mut all = Histogram::default();
        for command in &self.meter.stats.per_command {
            all.merge(&command.times);
        }
        let percentiles = [50_000_000, 99_000_000, 99_900_000, 100_000_000];
        for (name, times) in [("turn", &self.meter.stats.turns), ("command", &all)] {
            // As above.
            let _ = write!(text, "{name}_usec:{}\r\n", shares(times, &percentiles));
        }
    }
}

/// `p50=1.234,p99=…`, of percentiles in millionths.
fn shares(times: &Histogram, percentiles: &[u64]) -> String {
    let shown = percentiles.iter().map(|millionths| {
        #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
        let (share, us) = (*millionths as f64 / 1e8, |ns: u64| ns as f64 / 1000.0);
        let name = conf::server::special::percentile(*millionths);
        format!("p{name}={:.3}", us(times.at(share)))
    });
    shown.collect::<Vec<_>>().join(",")
}
