//! Two sections of INFO that Redis 3.0 does not have: where time and memory go. They are shown only to who asks for them by name.

use std::fmt::Write as _;

use crate::Engine;
use crate::histogram::Histogram;

impl Engine {
    /// `INFO latencystats`: percentiles in microseconds, of turns, of all commands, and of each. A turn is what is done before other
    /// clients can have theirs: all requests of one read, or a tick.
    pub(crate) fn info_latencies(&self, text: &mut String) {
        let mut all = Histogram::default();
        for command in &self.meter.stats.per_command {
            all.merge(&command.times);
        }
        line(text, "turn", &self.meter.stats.turns);
        line(text, "command", &all);
        for (command, stats) in crate::index::facts()
            .zip(&self.meter.stats.per_command)
            .filter(|(_, stats)| stats.calls > 0)
        {
            line(text, command.name, &stats.times);
        }
    }

    /// `INFO memorystats`: what the bytes in use are used for. `dataset` is what is left over.
    pub(crate) fn info_bytes(&mut self, text: &mut String) {
        let used = self.host.memory_used();
        let (mut normal, mut replicas) = (0, 0);
        for (_, client) in self.sessions.clients.iter() {
            let bytes = size_of::<crate::Client>() + client.out.memory() + client.pending_bytes();
            if client.flags.replica && !client.flags.monitor {
                replicas += bytes;
            } else {
                normal += bytes;
            }
        }
        let tables: usize = (0..self.shard.keyspace.databases())
            .map(|db| self.shard.keyspace.db_ref(db).table_bytes())
            .sum();
        let keys: usize = (0..self.shard.keyspace.databases())
            .map(|db| self.shard.keyspace.db_ref(db).len())
            .sum();
        let backlog = self.journal.replicas.backlog.as_ref();
        let backlog = backlog.map_or(0, replication::Backlog::memory);
        let aof = usize::try_from(self.append_only_bytes()).unwrap_or(usize::MAX);
        let scripts = self.script_memory();
        let overhead =
            self.meter.started_bytes + tables + normal + replicas + backlog + aof + scripts;
        let dataset = used.saturating_sub(overhead);
        let rows = [
            ("used_memory", used),
            ("used_memory_startup", self.meter.started_bytes),
            ("used_memory_overhead", overhead),
            ("used_memory_dataset", dataset),
            ("used_memory_tables", tables),
            ("mem_clients_normal", normal),
            ("mem_clients_slaves", replicas),
            ("mem_replication_backlog", backlog),
            ("mem_aof_buffer", aof),
            ("used_memory_scripts", scripts),
            ("keys_count", keys),
            ("keys_bytes_per_key", dataset.checked_div(keys).unwrap_or(0)),
        ];
        for (name, bytes) in rows {
            // Writing to a string does not fail.
            let _ = write!(text, "{name}:{bytes}\r\n");
        }
    }
}

fn line(text: &mut String, name: &str, times: &Histogram) {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let us = |ns: u64| ns as f64 / 1000.0;
    let [p50, p99, p999] = [0.5, 0.99, 0.999].map(|share| us(times.at(share)));
    let max = us(times.longest_ns());
    // Writing to a string does not fail.
    let _ = write!(
        text,
        "latency_percentiles_usec_{name}:p50={p50:.3},p99={p99:.3},p99.9={p999:.3},max={max:.3}\r\n"
    );
}
