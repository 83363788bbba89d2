//! INFO: what the server tells about itself, section by section.

use std::fmt::Write as _;
use std::time::Duration;

use commands::{Args, Done, Error};

use crate::{ClientId, Engine};

/// The sections in their order. `commandstats` is told only when asked for, or with `all`; what Redis 3.0 does not have only when
/// asked for.
const SECTIONS: [&str; 12] = [
    "Server",
    "Clients",
    "Memory",
    "Persistence",
    "Stats",
    "Replication",
    "CPU",
    "Commandstats",
    "Cluster",
    "Keyspace",
    "Latencystats",
    "Memorystats",
];

/// Those that Redis 3.0 does not have.
const OURS: [&str; 2] = ["Latencystats", "Memorystats"];

/// How long INFO waits for memory that is being freed on another thread, so that what it tells is what is in use.
const SETTLE_MEMORY: Duration = Duration::from_millis(50);

/// Appends lines to a string; that does not fail.
macro_rules! lines {
    ($out:expr, $($format:literal $(, $value:expr)* ;)*) => {
        {
            $(let _ = write!($out, concat!($format, "\r\n") $(, $value)*);)*
        }
    };
}

impl Engine {
    /// The text of INFO for one section, `default` or `all`.
    pub(crate) fn info(&mut self, wanted: &str) -> String {
        let mut text = String::new();
        for section in SECTIONS {
            let asked = wanted.eq_ignore_ascii_case(section);
            let ours = OURS.contains(&section);
            let all = wanted.eq_ignore_ascii_case("all") && !ours;
            let default =
                !ours && wanted.eq_ignore_ascii_case("default") && section != "Commandstats";
            if !(asked || all || default) {
                continue;
            }
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            lines!(text, "# {}", section;);
            match section {
                "Server" => self.info_server(&mut text),
                "Clients" => self.info_clients(&mut text),
                "Memory" => self.info_memory(&mut text),
                "Persistence" => self.info_persistence(&mut text),
                "Stats" => self.info_stats(&mut text),
                "Replication" => self.info_replication(&mut text),
                "CPU" => self.info_cpu(&mut text),
                "Commandstats" => self.info_commands(&mut text),
                "Cluster" => {
                    lines!(text, "cluster_enabled:{}", u8::from(self.shard.settings.cluster);)
                }
                "Latencystats" => self.info_latencies(&mut text),
                "Memorystats" => self.info_bytes(&mut text),
                _ => self.info_keyspace(&mut text),
            }
        }
        text
    }

    fn info_server(&self, text: &mut String) {
        let process = self.host.process();
        let mode = if self.shard.settings.cluster {
            "cluster"
        } else {
            "standalone"
        };
        let uptime = self.now.unix_ms().saturating_sub(self.meter.started_ms) / 1000;
        lines!(text,
            "redis_version:3.0.7";
            "redis_git_sha1:00000000";
            "redis_git_dirty:0";
            "redis_build_id:0";
            "server_name:tern";
            "tern_version:{}", env!("CARGO_PKG_VERSION");
            "redis_mode:{}", mode;
            "os:{}", process.os;
            "arch_bits:64";
            "multiplexing_api:epoll";
            "gcc_version:0.0.0";
            "process_id:{}", process.pid;
            "run_id:{}", self.keeper.run_id;
            "tcp_port:{}", self.config.port;
            "uptime_in_seconds:{}", uptime;
            "uptime_in_days:{}", uptime / 86400;
            "hz:{}", self.config.hz;
            "lru_clock:{}", self.shard.keyspace.clock().lru();
            "config_file:{}", process.config_file;
        );
    }

    fn info_clients(&self, text: &mut String) {
        let clients = self
            .sessions
            .clients
            .iter()
            .map(|(_, client)| client)
            .filter(|client| !client.flags.internal);
        let (mut count, mut output, mut input) = (0, 0, 0);
        for client in clients {
            count += usize::from(!client.flags.replica && !client.flags.monitor);
            output = output.max(client.out.chunks().count().saturating_sub(1));
            input = input.max(client.pending.len());
        }
        lines!(text,
            "connected_clients:{}", count;
            "client_longest_output_list:{}", output;
            "client_biggest_input_buf:{}", input;
            "blocked_clients:{}", self.sessions.blocked.clients + self.journal.replicas.waiters.len();
        );
    }

    fn info_memory(&mut self, text: &mut String) {
        self.free_garbage();
        self.host.settle_memory(SETTLE_MEMORY);
        let used = self.host.memory_used();
        self.meter.stats.memory_peak = self.meter.stats.memory_peak.max(used);
        let rss = self.host.process().rss;
        let scripts = self.scripting.counts;
        #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
        let ratio = rss as f64 / used.max(1) as f64;
        lines!(text,
            "used_memory:{}", used;
            "used_memory_human:{}", human(used);
            "used_memory_rss:{}", rss;
            "used_memory_peak:{}", self.meter.stats.memory_peak;
            "used_memory_peak_human:{}", human(self.meter.stats.memory_peak);
            "used_memory_lua:{}", scripts.scripts_vm;
            "used_memory_vm_eval:{}", scripts.scripts_vm;
            "used_memory_lua_human:{}", human(scripts.scripts_vm);
            "used_memory_scripts_eval:{}", scripts.scripts_cache;
            "number_of_cached_scripts:{}", scripts.scripts;
            "number_of_functions:{}", scripts.functions;
            "number_of_libraries:{}", scripts.libraries;
            "used_memory_vm_functions:{}", scripts.functions_vm;
            "used_memory_vm_total:{}", scripts.scripts_vm + scripts.functions_vm;
            "used_memory_functions:{}", scripts.functions_cache;
            "used_memory_scripts:{}", scripts.scripts_cache + scripts.functions_cache;
            "mem_fragmentation_ratio:{:.2}", ratio;
            "mem_allocator:jemalloc-5.3.0";
        );
    }

    fn info_persistence(&self, text: &mut String) {
        let state = &self.keeper.persistence;
        let now_ms = self.now.unix_ms();
        let saving = state
            .running
            .filter(|running| running.purpose.writes_dump());
        let ok = |failed: bool| if failed { "err" } else { "ok" };
        let seconds =
            |time: Option<u64>| time.map_or(-1, |time| i64::try_from(time).unwrap_or(i64::MAX));
        lines!(text,
            "loading:{}", u8::from(state.loading.is_some());
            "rdb_changes_since_last_save:{}", self.journal.dirty;
            "rdb_bgsave_in_progress:{}", u8::from(saving.is_some());
            "rdb_last_save_time:{}", state.last_save;
            "rdb_last_bgsave_status:{}", ok(state.last_failed);
            "rdb_last_bgsave_time_sec:{}", seconds(state.last_seconds);
            "rdb_current_bgsave_time_sec:{}", seconds(saving.map(|running| now_ms.saturating_sub(running.since_ms) / 1000));
            "rdb_last_cow_size:{}", state.copied_bytes;
        );
        self.info_append_only(text);
        if let Some(loading) = state.loading {
            let elapsed = now_ms.saturating_sub(loading.since_ms) / 1000;
            let left = loading.total_bytes.saturating_sub(loading.loaded_bytes);
            let eta = if elapsed == 0 {
                1
            } else {
                elapsed.saturating_mul(left) / (loading.loaded_bytes + 1)
            };
            #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
            let percent = loading.loaded_bytes as f64 / (loading.total_bytes + 1) as f64 * 100.0;
            lines!(text,
                "loading_start_time:{}", loading.since_ms / 1000;
                "loading_total_bytes:{}", loading.total_bytes;
                "loading_loaded_bytes:{}", loading.loaded_bytes;
                "loading_loaded_perc:{:.2}", percent;
                "loading_eta_seconds:{}", eta;
            );
        }
    }

    fn info_stats(&self, text: &mut String) {
        let stats = &self.meter.stats;
        let (hits, misses) = self.shard.keyspace.clock().lookups();
        lines!(text,
            "total_connections_received:{}", stats.connections;
            "total_commands_processed:{}", stats.commands;
            "instantaneous_ops_per_sec:{}", stats.commands_rate.per_second();
            "total_net_input_bytes:{}", stats.input_bytes;
            "total_net_output_bytes:{}", stats.output_bytes;
            "instantaneous_input_kbps:{:.2}", stats.input_rate.kilobytes();
            "instantaneous_output_kbps:{:.2}", stats.output_rate.kilobytes();
            "rejected_connections:{}", stats.rejected;
            "sync_full:{}", stats.sync_full;
            "sync_partial_ok:{}", stats.sync_partial_ok;
            "sync_partial_err:{}", stats.sync_partial_err;
            "expired_keys:{}", stats.expired;
            "evicted_keys:{}", stats.evicted;
            "evicted_scripts:{}", stats.evicted_scripts;
            "keyspace_hits:{}", hits - stats.hits_before;
            "keyspace_misses:{}", misses - stats.misses_before;
            "pubsub_channels:{}", self.sessions.pubsub.channels.len();
            "pubsub_patterns:{}", self.sessions.pubsub.patterns.len();
            "latest_fork_usec:{}", self.keeper.persistence.fork_us;
            "migrate_cached_sockets:{}", self.host.process().migrate_sockets;
        );
    }

    fn info_replication(&self, text: &mut String) {
        lines!(text, "role:{}", if self.is_slave() { "slave" } else { "master" };);
        self.info_slave(text);
        lines!(text, "connected_slaves:{}", self.journal.replicas.ids.len(););
        if self.config.min_slaves_to_write > 0 && self.config.min_slaves_max_lag > 0 {
            lines!(text, "min_slaves_good_slaves:{}", self.good_replicas(););
        }
        let now_ms = self.now.unix_ms();
        let replicas = self
            .journal
            .replicas
            .ids
            .iter()
            .filter_map(|id| self.sessions.clients.get(*id));
        for (number, client) in replicas.enumerate() {
            let Some(replica) = &client.replica else {
                continue;
            };
            let ip = client.peer.addr.rsplit_once(':').map_or("", |(ip, _)| ip);
            let online = replica.state == crate::master::ReplicaState::Online;
            let lag = if online {
                now_ms.saturating_sub(replica.acked_ms) / 1000
            } else {
                0
            };
            lines!(text,
                "slave{}:ip={},port={},state={},offset={},lag={}",
                number, ip, client.listening_port, replica.state.name(), replica.acked, lag;
            );
        }
        let backlog = self.journal.replicas.backlog.as_ref();
        lines!(text,
            "master_repl_offset:{}", self.journal.replicas.offset();
            "repl_backlog_active:{}", u8::from(backlog.is_some());
            "repl_backlog_size:{}", self.config.repl_backlog_size;
            "repl_backlog_first_byte_offset:{}", backlog.map_or(0, |backlog| backlog.first() + 1);
            "repl_backlog_histlen:{}", backlog.map_or(0, replication::Backlog::history);
        );
    }

    fn info_slave(&self, text: &mut String) {
        let Some(slave) = &self.keeper.slave else {
            return;
        };
        let up = self.is_linked();
        let now_ms = self.now.mono_ms;
        let silent =
            i64::try_from(now_ms.saturating_sub(slave.link.active_ms()) / 1000).unwrap_or(i64::MAX);
        lines!(text,
            "master_host:{}", slave.host;
            "master_port:{}", slave.port;
            "master_link_status:{}", if up { "up" } else { "down" };
            "master_last_io_seconds_ago:{}", if up { silent } else { -1 };
            "master_sync_in_progress:{}", u8::from(slave.link.state() == replication::State::Sync);
            "slave_repl_offset:{}", self.applied_offset().unwrap_or(slave.received.max(1));
        );
        if slave.link.state() == replication::State::Sync {
            let left = slave
                .link
                .transfer_left()
                .map_or(-1, |left| i64::try_from(left).unwrap_or(i64::MAX));
            lines!(text, "master_sync_left_bytes:{}", left; "master_sync_last_io_seconds_ago:{}", silent;);
        }
        if !up {
            let down = self.now.unix_ms().saturating_sub(slave.down_since_ms) / 1000;
            lines!(text, "master_link_down_since_seconds:{}", down;);
        }
        lines!(text,
            "slave_priority:{}", self.config.slave_priority;
            "slave_read_only:{}", u8::from(self.config.slave_read_only);
        );
    }

    fn info_cpu(&self, text: &mut String) {
        let [system, user, children_system, children_user] = self.host.process().cpu_seconds;
        lines!(text,
            "used_cpu_sys:{:.2}", system;
            "used_cpu_user:{:.2}", user;
            "used_cpu_sys_children:{:.2}", children_system;
            "used_cpu_user_children:{:.2}", children_user;
        );
    }

    fn info_commands(&self, text: &mut String) {
        for (command, stats) in crate::index::facts()
            .zip(&self.meter.stats.per_command)
            .filter(|(_, stats)| stats.calls > 0)
        {
            #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
            let each = (stats.ns / 1000) as f64 / stats.calls as f64;
            lines!(text, "cmdstat_{}:calls={},usec={},usec_per_call={:.2}", command.name, stats.calls, stats.ns / 1000, each;);
        }
    }

    fn info_keyspace(&self, text: &mut String) {
        for number in 0..self.shard.keyspace.databases() {
            let db = self.shard.keyspace.db_ref(number);
            if !db.is_empty() {
                lines!(text, "db{}:keys={},expires={},avg_ttl={}", number, db.len(), db.expires_len(), db.avg_ttl_ms(););
            }
        }
    }
}

/// A number of bytes as a person likes it: `1.80M`.
pub(crate) fn human(bytes: usize) -> String {
    #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
    let amount = bytes as f64;
    match bytes {
        0..1024 => format!("{bytes}B"),
        1024..1_048_576 => format!("{:.2}K", amount / 1024.0),
        1_048_576..1_073_741_824 => format!("{:.2}M", amount / 1_048_576.0),
        _ => format!("{:.2}G", amount / 1_073_741_824.0),
    }
}

/// INFO [section]
pub(crate) fn info(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    if args.len() > 2 {
        return Err(Error::Syntax);
    }
    let wanted = args.get(1).map_or_else(
        || "default".into(),
        |word| String::from_utf8_lossy(word).into_owned(),
    );
    let text = engine.info(&wanted);
    engine.sessions.clients[id].out.bulk(text);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn amounts_as_redis_prints_them() {
        assert_eq!(human(1023), "1023B");
        assert_eq!(human(1_885_520), "1.80M");
        assert_eq!(human(1536), "1.50K");
        assert_eq!(human(3 << 30), "3.00G");
    }
}
