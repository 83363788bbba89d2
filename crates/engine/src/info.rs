//! INFO: what the server tells about itself, section by section.

use std::fmt::Write as _;
use std::time::Duration;

use commands::{Args, Done};
use conf::{Choice as _, Supervised};

use crate::accounts::{percent, ratio};
use crate::keeper::persistence::{Purpose, Running};
use crate::sessions::client::Waiting;
use crate::{ChildProgress, ClientId, Engine};

/// Appends lines to a string; that does not fail.
macro_rules! lines {
    ($out:expr, $($format:literal $(, $value:expr)* ;)*) => {
        {
            $(let _ = write!($out, concat!($format, "\r\n") $(, $value)*);)*
        }
    };
}

/// A section: its name, its title, and what is in it.
struct Section {
    name: &'static str,
    title: &'static str,
    shown: Shown,
    tell: fn(&mut Engine, &mut String),
}

impl Section {
    /// Whether it is among the `wanted` ones: see [`Engine::info`].
    fn is_wanted(&self, wanted: &[&[u8]]) -> bool {
        let named = |name: &str| {
            wanted
                .iter()
                .any(|word| word.eq_ignore_ascii_case(name.as_bytes()))
        };
        let all = named("all") || named("everything");
        let asked = match self.shown {
            Shown::Always => all || wanted.is_empty() || named("default"),
            Shown::WithAll => all,
            Shown::ByName => false,
        };
        asked || named(self.name)
    }
}

/// To whom a section is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    /// To everybody.
    Always,
    /// With `all` and `everything`, and by its name.
    WithAll,
    /// By its name.
    ByName,
}

const fn section(
    name: &'static str,
    title: &'static str,
    shown: Shown,
    tell: fn(&mut Engine, &mut String),
) -> Section {
    Section {
        name,
        title,
        shown,
        tell,
    }
}

/// The sections in their order. `memorystats` and `turnstats` are ours.
static SECTIONS: [Section; 18] = [
    section("server", "Server", Shown::Always, |engine, text| {
        engine.info_server(text);
    }),
    section("tls", "TLS", Shown::WithAll, |engine, text| {
        engine.info_tls(text);
    }),
    section("clients", "Clients", Shown::Always, |engine, text| {
        engine.info_clients(text);
    }),
    section("memory", "Memory", Shown::Always, Engine::info_memory),
    section(
        "persistence",
        "Persistence",
        Shown::Always,
        |engine, text| engine.info_persistence(text),
    ),
    section("stats", "Stats", Shown::Always, |engine, text| {
        engine.info_stats(text);
    }),
    section(
        "replication",
        "Replication",
        Shown::Always,
        |engine, text| engine.info_replication(text),
    ),
    section("cpu", "CPU", Shown::Always, |engine, text| {
        engine.info_cpu(text);
    }),
    section(
        "commandstats",
        "Commandstats",
        Shown::WithAll,
        |engine, text| engine.info_commands(text),
    ),
    section("errorstats", "Errorstats", Shown::Always, |engine, text| {
        engine.info_errors(text);
    }),
    section(
        "latencystats",
        "Latencystats",
        Shown::WithAll,
        |engine, text| engine.info_latencies(text),
    ),
    section("cluster", "Cluster", Shown::Always, |engine, text| {
        lines!(text, "cluster_enabled:{}", u8::from(engine.shard.settings.cluster););
    }),
    section(
        "cluster_info",
        "Cluster Info",
        Shown::WithAll,
        |engine, text| {
            if let Some(node) = &engine.keeper.cluster {
                text.push_str(&node.cluster_info());
            }
        },
    ),
    section(
        "scriptingengines",
        "Scripting Engines",
        Shown::WithAll,
        Engine::info_engines,
    ),
    section("keyspace", "Keyspace", Shown::Always, |engine, text| {
        engine.info_keyspace(text);
    }),
    section(
        "memorystats",
        "Memorystats",
        Shown::ByName,
        |engine, text| engine.info_bytes(text),
    ),
    section("turnstats", "Turnstats", Shown::ByName, |engine, text| {
        engine.info_turns(text);
    }),
    section("debug", "Debug", Shown::ByName, |engine, text| {
        engine.info_debug(text);
    }),
];

/// How long INFO waits for memory that is being freed on another thread, so that what it tells is what is in use.
const SETTLE_MEMORY: Duration = Duration::from_millis(50);

impl Engine {
    /// The text of INFO for these sections, among which may be `default`, `all` and `everything`; for none, the default ones.
    pub(crate) fn info(&mut self, wanted: &[&[u8]]) -> String {
        let mut text = String::new();
        for section in SECTIONS.iter().filter(|section| section.is_wanted(wanted)) {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            lines!(text, "# {}", section.title;);
            (section.tell)(self, &mut text);
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
        let zone = String::from_utf8_lossy(&self.config.availability_zone);
        let supervised = match self.config.supervised {
            Supervised::Auto => Supervised::No,
            known => known,
        };
        lines!(text,
            "redis_version:{}", resp::REDIS_VERSION;
            "server_name:tern";
            "tern_version:{}", env!("CARGO_PKG_VERSION");
            "redis_git_sha1:00000000";
            "redis_git_dirty:0";
            "redis_build_id:0";
            "redis_mode:{}", mode;
            "server_mode:{}", mode;
            "os:{}", process.os;
            "arch_bits:{}", usize::BITS;
            "monotonic_clock:POSIX clock_gettime";
            "multiplexing_api:epoll";
            "process_id:{}", process.pid;
            "process_supervised:{}", supervised.word();
            "run_id:{}", self.keeper.run_id;
            "tcp_port:{}", if self.config.port > 0 { self.config.port } else { self.config.tls_port };
            "server_time_usec:{}", self.now.unix_us;
            "uptime_in_seconds:{}", uptime;
            "uptime_in_days:{}", uptime / 86400;
            "hz:{}", self.config.hz;
            "configured_hz:{}", self.config.hz;
            "lru_clock:{}", self.shard.keyspace.clock().lru();
            "executable:{}", process.executable;
            "config_file:{}", process.config_file;
            "io_threads_active:0";
            "availability_zone:{}", zone;
        );
        self.info_listeners(text);
        if let Some(shutdown) = &self.keeper.shutdown {
            let left_ms = shutdown.until_ms.saturating_sub(self.now.mono_ms);
            lines!(text, "shutdown_in_milliseconds:{}", left_ms;);
        }
    }

    /// What is listened to.
    fn info_listeners(&self, text: &mut String) {
        let binds: String = self
            .config
            .bind
            .iter()
            .map(|bind| format!(",bind={bind}"))
            .collect();
        let mut listeners = Vec::new();
        if self.config.port > 0 {
            listeners.push(format!("name=tcp{binds},port={}", self.config.port));
        }
        if let Some(path) = &self.config.unixsocket {
            let path = String::from_utf8_lossy(path);
            listeners.push(format!("name=unix,bind={path}"));
        }
        if self.config.tls_port > 0 {
            listeners.push(format!("name=tls{binds},port={}", self.config.tls_port));
        }
        for (number, listener) in listeners.iter().enumerate() {
            lines!(text, "listener{}:{}", number, listener;);
        }
    }

    /// The certificates that TLS goes by.
    fn info_tls(&self, text: &mut String) {
        let now_s = self.now.unix_ms() / 1000;
        let [server, client, ca] = self.host.tls_certificates();
        for (name, shown) in [("server", server), ("client", client), ("ca", ca)] {
            let ends_s = shown.as_ref().map_or(0, |shown| shown.not_after);
            let serial = shown.map_or_else(|| "none".to_owned(), |shown| shown.serial);
            lines!(text,
                "tls_{}_cert_serial:{}", name, serial;
                "tls_{}_cert_expires_in_seconds:{}", name, ends_s.saturating_sub(now_s);
            );
        }
    }

    fn info_clients(&self, text: &mut String) {
        let clients = || {
            let all = self.sessions.clients.iter().map(|(_, client)| client);
            all.filter(|client| !client.flags.internal)
        };
        let (mut count, mut output, mut input) = (0, 0, 0);
        let (mut subscribed, mut watching, mut blocked, mut timed) = (0, 0, 0, 0);
        for client in clients() {
            count += usize::from(!client.flags.replica && !client.flags.monitor);
            output = output.max(client.out.memory());
            input = input.max(client.unread.bytes.len());
            subscribed += usize::from(client.subscriptions.is_some());
            watching += usize::from(!client.transaction.watched.is_empty());
            blocked += usize::from(client.waiting != Waiting::No);
            timed += usize::from(client.waiting.has_deadline());
        }
        let moving = self.keeper.migrations.paused_until_ms();
        let paused = self
            .sessions
            .paused_until_ms
            .max(moving)
            .map(|until_ms| until_ms.saturating_sub(self.now.mono_ms));
        let stopping = self.keeper.shutdown.is_some();
        let handing_over = self
            .keeper
            .cluster
            .as_ref()
            .is_some_and(|node| node.pauses_for_failover());
        let failing_over = self.keeper.failover.is_some() || handing_over;
        let actions = match paused {
            None if stopping || failing_over => "write",
            None => "none",
            Some(_)
                if self.sessions.paused_writes_only || self.sessions.paused_until_ms.is_none() =>
            {
                "write"
            }
            Some(_) => "all",
        };
        lines!(text,
            "connected_clients:{}", count;
            "cluster_connections:{}", self.keeper.cluster.as_ref().map_or(0, |node| node.links().count());
            "maxclients:{}", self.config.maxclients;
            "client_recent_max_input_buffer:{}", input;
            "client_recent_max_output_buffer:{}", output;
            "blocked_clients:{}", blocked;
            "tracking_clients:{}", self.sessions.tracking.clients;
            "pubsub_clients:{}", subscribed;
            "watching_clients:{}", watching;
            "clients_in_timeout_table:{}", timed;
            "total_watched_keys:{}", self.sessions.watchers.len();
            "total_blocking_keys:{}", self.sessions.blocked.keys();
            "total_blocking_keys_on_nokey:{}", self.sessions.blocked.keys_that_may_go();
            "paused_reason:{}", match paused {
                _ if stopping => "shutdown_in_progress",
                _ if failing_over => "failover_in_progress",
                Some(_) if moving.is_some() => "slot_migration_in_progress",
                Some(_) => "client_pause",
                None => "none",
            };
            "paused_actions:{}", actions;
            "paused_timeout_milliseconds:{}", paused.unwrap_or(0);
        );
    }

    fn info_memory(&mut self, text: &mut String) {
        self.tidy_scripts();
        let all = self.accounts();
        let used = all.used;
        self.meter.stats.memory_peak = self.meter.stats.memory_peak.max(used);
        let process = self.host.process();
        let (rss, peak) = (process.rss, self.meter.stats.memory_peak);
        let [allocated, active, resident] = process.allocator;
        let config = &self.config;
        let limit = usize::try_from(config.maxmemory).unwrap_or(usize::MAX);
        let scripts = self.scripting.counts;
        let machines = scripts.scripts_vm + scripts.functions_vm;
        let stream = self.journal.replicas.backlog.as_ref();
        let stream = stream.map_or(0, replication::Backlog::memory);
        let cached = scripts.scripts_cache + scripts.functions_cache;
        lines!(text,
            "used_memory:{}", used;
            "used_memory_human:{}", human(used);
            "used_memory_rss:{}", rss;
            "used_memory_rss_human:{}", human(rss);
            "used_memory_peak:{}", peak;
            "used_memory_peak_human:{}", human(peak);
            "used_memory_peak_perc:{:.2}%", percent(used, peak);
            "used_memory_overhead:{}", all.overhead();
            "used_memory_startup:{}", all.startup;
            "used_memory_dataset:{}", all.dataset();
            "used_memory_dataset_perc:{:.2}%", all.dataset_percent();
            "allocator_allocated:{}", allocated;
            "allocator_active:{}", active;
            "allocator_resident:{}", resident;
            "total_system_memory:{}", process.total_memory;
            "total_system_memory_human:{}", human(process.total_memory);
            "used_memory_lua:{}", scripts.scripts_vm;
            "used_memory_vm_eval:{}", scripts.scripts_vm;
            "used_memory_lua_human:{}", human(scripts.scripts_vm);
            "used_memory_scripts_eval:{}", scripts.scripts_cache;
            "number_of_cached_scripts:{}", scripts.scripts;
            "number_of_functions:{}", scripts.functions;
            "number_of_libraries:{}", scripts.libraries;
            "used_memory_vm_functions:{}", scripts.functions_vm;
            "used_memory_vm_total:{}", machines;
            "used_memory_vm_total_human:{}", human(machines);
            "used_memory_functions:{}", scripts.functions_cache;
            "used_memory_scripts:{}", cached;
            "used_memory_scripts_human:{}", human(cached);
            "maxmemory:{}", config.maxmemory;
            "maxmemory_human:{}", human(limit);
            "maxmemory_policy:{}", config.maxmemory_policy.word();
            "allocator_frag_ratio:{:.2}", ratio(active, allocated);
            "allocator_frag_bytes:{}", active.saturating_sub(allocated);
            "allocator_rss_ratio:{:.2}", ratio(resident, active);
            "allocator_rss_bytes:{}", resident.saturating_sub(active);
            "rss_overhead_ratio:{:.2}", ratio(rss, resident);
            "rss_overhead_bytes:{}", signed(rss) - signed(resident);
            "mem_fragmentation_ratio:{:.2}", ratio(rss, used);
            "mem_fragmentation_bytes:{}", signed(rss) - signed(used);
            "mem_not_counted_for_evict:{}", self.memory_not_counted();
            "mem_replication_backlog:{}", all.backlog;
            "mem_total_replication_buffers:{}", stream + all.buffered;
            "mem_replicas_repl_buffer:{}", all.buffered;
            "mem_clients_slaves:{}", all.replicas;
            "mem_clients_normal:{}", all.clients;
            "mem_cluster_links:{}", self.keeper.cluster.as_ref().map_or(0, |node| node.link_bytes());
            "mem_cluster_slot_export:{}", self.export_bytes();
            "mem_aof_buffer:{}", all.append_only;
            "mem_allocator:jemalloc-5.3.0";
            "active_defrag_running:0";
            "lazyfree_pending_objects:{}", process.unfreed;
            "lazyfreed_objects:{}", self.meter.stats.removed.freed_later;
        );
    }

    /// What the bytes in use are used for, by the names of the section that was ours before INFO memory had them.
    fn info_bytes(&mut self, text: &mut String) {
        let all = self.accounts();
        lines!(text,
            "used_memory:{}", all.used;
            "used_memory_startup:{}", all.startup;
            "used_memory_overhead:{}", all.overhead();
            "used_memory_dataset:{}", all.dataset();
            "used_memory_tables:{}", all.tables;
            "mem_clients_normal:{}", all.clients;
            "mem_clients_slaves:{}", all.replicas;
            "mem_replication_backlog:{}", all.backlog;
            "mem_aof_buffer:{}", all.append_only;
            "used_memory_scripts:{}", all.scripts;
            "keys_count:{}", all.keys;
            "keys_bytes_per_key:{}", all.dataset().checked_div(all.keys).unwrap_or(0);
        );
    }

    fn info_persistence(&self, text: &mut String) {
        let state = &self.keeper.persistence;
        let beside = state.beside.is_some();
        let now_ms = self.now.unix_ms();
        let saving = state
            .running
            .filter(|running| running.purpose.writes_dump());
        let keys = state.running.map_or(0, |running| running.keys);
        let child = match state.running {
            Some(_) => self.host.child_progress(),
            None => ChildProgress::default(),
        };
        let amount = |count: u64| usize::try_from(count).unwrap_or(usize::MAX);
        let ok = |failed: bool| if failed { "err" } else { "ok" };
        let seconds =
            |time: Option<u64>| time.map_or(-1, |time| i64::try_from(time).unwrap_or(i64::MAX));
        lines!(text,
            "loading:{}", u8::from(state.loading.is_some() && !beside);
            "async_loading:{}", u8::from(beside);
            "current_cow_peak:{}", child.most_own_bytes;
            "current_cow_size:{}", child.own_bytes;
            "current_cow_size_age:{}", child.told_s;
            "current_fork_perc:{:.2}", percent(amount(child.keys), amount(keys));
            "current_save_keys_processed:{}", child.keys;
            "current_save_keys_total:{}", keys;
            "rdb_changes_since_last_save:{}", self.journal.dirty;
            "rdb_bgsave_in_progress:{}", u8::from(saving.is_some());
            "rdb_last_save_time:{}", state.last_save;
            "rdb_last_bgsave_status:{}", ok(state.last_failed);
            "rdb_last_bgsave_time_sec:{}", seconds(state.last_seconds);
            "rdb_current_bgsave_time_sec:{}", seconds(saving.map(|running| now_ms.saturating_sub(running.since_ms) / 1000));
            "rdb_saves:{}", self.meter.stats.saves;
            "rdb_last_cow_size:{}", state.copied_bytes;
            "rdb_last_load_keys_expired:{}", state.expired_keys;
            "rdb_last_load_keys_loaded:{}", state.loaded_keys;
        );
        self.info_append_only(text);
        let sending = |running: Running| running.purpose == Purpose::Slots;
        let sending = u8::from(state.running.is_some_and(sending));
        lines!(text, "slot_migration_fork_in_progress:{}", sending;);
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
            );
            // The length of a dump that is streamed is not known.
            if loading.total_bytes > 0 {
                lines!(text,
                    "loading_loaded_perc:{:.2}", percent;
                    "loading_eta_seconds:{}", eta;
                );
            }
        }
    }

    fn info_stats(&self, text: &mut String) {
        let stats = &self.meter.stats;
        let (hits, misses) = self.shard.keyspace.clock().lookups();
        let [tracked_keys, tracked_items, tracked_prefixes] = self.sessions.tracking.totals();
        let [exceeded, exceeds] = stats.removed.over_limit.ms(self.host.mono_us());
        lines!(text,
            "total_connections_received:{}", stats.connections;
            "total_commands_processed:{}", stats.commands;
            "instantaneous_ops_per_sec:{}", stats.rates.commands.per_second();
            "total_net_input_bytes:{}", stats.traffic.input_bytes;
            "total_net_output_bytes:{}", stats.traffic.output_bytes;
            "total_net_repl_input_bytes:{}", stats.replication.input_bytes;
            "total_net_repl_output_bytes:{}", stats.replication.output_bytes;
            "total_net_cluster_slot_import_bytes:{}", self.keeper.migrations.imported_bytes;
            "total_net_cluster_slot_export_bytes:{}", self.keeper.migrations.exported_bytes;
            "instantaneous_input_kbps:{:.2}", stats.rates.input.kilobytes();
            "instantaneous_output_kbps:{:.2}", stats.rates.output.kilobytes();
            "instantaneous_input_repl_kbps:{:.2}", stats.replication.input_rate.kilobytes();
            "instantaneous_output_repl_kbps:{:.2}", stats.replication.output_rate.kilobytes();
            "rejected_connections:{}", stats.rejected;
            "sync_full:{}", stats.syncs.full;
            "sync_partial_ok:{}", stats.syncs.partial_ok;
            "sync_partial_err:{}", stats.syncs.partial_err;
            "slave_expires_tracked_keys:{}", self.shard.own_keys.len();
            "expired_keys:{}", stats.removed.expired;
            "expired_fields:{}", stats.removed.expired_fields;
            "expired_stale_perc:{:.2}", stats.removed.cycle.stale * 100.0;
            "expired_time_cap_reached_count:{}", stats.removed.cycle.cut_short;
            "expire_cycle_cpu_milliseconds:{}", stats.removed.cycle.us / 1000;
            "evicted_keys:{}", stats.removed.evicted;
            "evicted_clients:{}", stats.removed.evicted_clients;
            "evicted_scripts:{}", stats.removed.evicted_scripts;
            "total_eviction_exceeded_time:{}", exceeded;
            "current_eviction_exceeded_time:{}", exceeds;
            "keyspace_hits:{}", hits - stats.lookups_before.0;
            "keyspace_misses:{}", misses - stats.lookups_before.1;
            "pubsub_channels:{}", self.sessions.pubsub.channels.len();
            "pubsub_patterns:{}", self.sessions.pubsub.patterns.len();
            "pubsubshard_channels:{}", self.sessions.pubsub.sharded.len();
            "latest_fork_usec:{}", self.keeper.persistence.fork_us;
            "total_forks:{}", self.keeper.persistence.forks;
            "migrate_cached_sockets:{}", self.host.process().migrate_sockets;
            "tracking_total_keys:{}", tracked_keys;
            "tracking_total_items:{}", tracked_items;
            "tracking_total_prefixes:{}", tracked_prefixes;
            "unexpected_error_replies:{}", stats.errors.unexpected;
            "total_error_replies:{}", stats.errors.replies;
            "total_reads_processed:{}", stats.traffic.reads;
            "total_writes_processed:{}", stats.traffic.writes;
            "client_query_buffer_limit_disconnections:{}", stats.removed.query_buffer_closed;
            "client_output_buffer_limit_disconnections:{}", stats.removed.output_buffer_closed;
            "eventloop_cycles:{}", stats.turns.count();
            "eventloop_duration_sum:{}", stats.turns.sum() / 1000;
            "eventloop_duration_cmd_sum:{}", stats.command_ns() / 1000;
            "instantaneous_eventloop_cycles_per_sec:{}", stats.rates.turns.per_second();
            "instantaneous_eventloop_duration_usec:{}", stats.mean_turn_us();
        );
        for (name, count) in stats.denials.fields() {
            // Writing to a string does not fail.
            let _ = write!(text, "{name}:{count}\r\n");
        }
    }

    /// What runs scripts and functions: Lua alone.
    fn info_engines(&mut self, text: &mut String) {
        self.tidy_scripts();
        let used = self.scripting.counts.scripts_vm + self.scripting.counts.functions_vm;
        lines!(text,
            "engines_count:1";
            "engines_total_used_memory:{}", used;
            "engine_0:name=LUA,used_memory={}", used;
        );
    }

    /// How long the parts of turns took: for developers.
    fn info_debug(&self, text: &mut String) {
        let stats = &self.meter.stats;
        lines!(text,
            "eventloop_duration_aof_sum:{}", stats.append_only_us;
            "eventloop_duration_cron_sum:{}", stats.tick_ns / 1000;
            "eventloop_duration_max:{}", stats.turns.largest() / 1000;
            "eventloop_cmd_per_cycle_max:{}", stats.most_commands;
        );
    }

    fn info_replication(&self, text: &mut String) {
        lines!(text, "role:{}", if self.is_slave() { "slave" } else { "master" };);
        self.info_slave(text);
        lines!(text, "connected_slaves:{}", self.journal.replicas.ids.len(););
        if self.config.min_slaves_to_write > 0 && self.config.min_slaves_max_lag > 0 {
            lines!(text, "min_slaves_good_slaves:{}", self.good_replicas(););
        }
        let now_ms = self.now.mono_ms;
        let replicas = self
            .journal
            .replicas
            .ids
            .iter()
            .filter_map(|id| self.sessions.clients.get(*id));
        let mut waiting = 0;
        for (number, client) in replicas.enumerate() {
            let Some(replica) = &client.replica else {
                continue;
            };
            let mut place = String::new();
            if replica.state == crate::journal::replicas::ReplicaState::WaitStart {
                waiting += 1;
                place = format!(",place={waiting}");
            }
            let ip = client.replica_ip();
            let online = replica.state == crate::journal::replicas::ReplicaState::Online;
            let lag = if online {
                now_ms.saturating_sub(replica.acked_ms) / 1000
            } else {
                0
            };
            lines!(text,
                "slave{}:ip={},port={},state={},offset={},lag={},type={}{}",
                number, ip, client.listening_port, replica.state_name(), replica.acked, lag, replica.type_name(), place;
            );
        }
        let backlog = self.journal.replicas.backlog.as_ref();
        let second = self.journal.replicas.second.as_ref();
        let second = second.map_or(-1, |(_, offset)| {
            i64::try_from(offset.saturating_add(1)).unwrap_or(i64::MAX)
        });
        lines!(text,
            "replicas_waiting_psync:{}", self.awaited_replicas();
            "master_failover_state:{}", self.failover_state();
            "master_replid:{}", self.journal.replicas.id;
            "master_replid2:{}", self.journal.replicas.second_id();
            "master_repl_offset:{}", self.journal.replicas.offset();
            "second_repl_offset:{}", second;
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
        let (buffered, most_buffered, _) = self.buffered_stream();
        let now_ms = self.now.mono_ms;
        let silent =
            i64::try_from(now_ms.saturating_sub(slave.link.active_ms()) / 1000).unwrap_or(i64::MAX);
        lines!(text,
            "master_host:{}", slave.host;
            "master_port:{}", slave.port;
            "master_link_status:{}", if up { "up" } else { "down" };
            "master_last_io_seconds_ago:{}", if up { silent } else { -1 };
            "master_sync_in_progress:{}", u8::from(slave.link.state() == replication::State::Sync);
            "slave_read_repl_offset:{}", self.received_offset();
            "slave_repl_offset:{}", self.applied_offset().unwrap_or(1);
            "replicas_repl_buffer_size:{}", buffered;
            "replicas_repl_buffer_peak:{}", most_buffered;
        );
        if let Some(left_ms) = self.refuses_primary_ms() {
            lines!(text, "empty_master_refused_seconds_left:{}", left_ms.div_ceil(1000););
        }
        if slave.link.state() == replication::State::Sync {
            let left = slave
                .link
                .transfer_left()
                .map_or(-1, |left| i64::try_from(left).unwrap_or(i64::MAX));
            let read = slave.transfer.map_or(0, |transfer| transfer.came);
            let total = slave
                .transfer
                .and_then(|transfer| transfer.size)
                .unwrap_or(0);
            #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
            let percent = if total == 0 {
                0.0
            } else {
                read as f64 / total as f64 * 100.0
            };
            lines!(text,
                "master_sync_total_bytes:{}", total;
                "master_sync_read_bytes:{}", read;
                "master_sync_left_bytes:{}", left;
                "master_sync_perc:{:.2}", percent;
                "master_sync_last_io_seconds_ago:{}", silent;
            );
        }
        if !up {
            // A link that never was up has no time since which it is down.
            let down = match slave.down_since_ms {
                0 => -1,
                since_ms => signed_seconds(self.now.unix_ms().saturating_sub(since_ms)),
            };
            lines!(text, "master_link_down_since_seconds:{}", down;);
        }
        lines!(text,
            "slave_priority:{}", self.config.slave_priority;
            "slave_read_only:{}", u8::from(self.config.slave_read_only);
            "replica_announced:{}", u8::from(self.config.replica_announced);
        );
    }

    fn info_cpu(&self, text: &mut String) {
        let process = self.host.process();
        let [system, user, children_system, children_user] = process.cpu_seconds;
        let [main_system, main_user] = process.main_thread_cpu_seconds;
        #[expect(clippy::cast_precision_loss, reason = "six digits are shown")]
        let active = self.meter.stats.turns.sum() as f64 / 1e9;
        lines!(text,
            "used_cpu_sys:{:.6}", system;
            "used_cpu_user:{:.6}", user;
            "used_cpu_sys_children:{:.6}", children_system;
            "used_cpu_user_children:{:.6}", children_user;
            "used_cpu_sys_main_thread:{:.6}", main_system;
            "used_cpu_user_main_thread:{:.6}", main_user;
            "used_active_time_main_thread:{:.6}", active;
        );
    }

    fn info_commands(&self, text: &mut String) {
        for (command, stats) in self
            .index
            .facts()
            .zip(&self.meter.stats.per_command)
            .filter(|(_, stats)| stats.calls + stats.rejected + stats.failed > 0)
        {
            let usec = stats.times.sum() / 1000;
            #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
            let each = usec as f64 / stats.calls.max(1) as f64;
            lines!(text,
                "cmdstat_{}:calls={},usec={},usec_per_call={:.2},rejected_calls={},failed_calls={}",
                command.name, stats.calls, usec, each, stats.rejected, stats.failed;
            );
        }
    }

    fn info_errors(&self, text: &mut String) {
        for (code, count) in &self.meter.stats.errors.codes {
            lines!(text, "errorstat_{}:count={}", code, count;);
        }
    }

    fn info_keyspace(&self, text: &mut String) {
        for number in 0..self.shard.keyspace.databases() {
            let db = self.shard.keyspace.db_ref(number);
            if !db.is_empty() {
                lines!(text, "db{}:keys={},expires={},avg_ttl={},keys_with_volatile_items={}", number, db.len(), db.expires_len(), db.avg_ttl_ms(), db.timed_hashes(););
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

fn signed(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

fn signed_seconds(ms: u64) -> i64 {
    i64::try_from(ms / 1000).unwrap_or(i64::MAX)
}

/// INFO [section …]
pub(crate) fn info(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let tells_memory = SECTIONS
        .iter()
        .any(|section| section.name == "memory" && section.is_wanted(&args[1..]));
    if tells_memory {
        engine.free_garbage();
        engine.host.settle_memory(SETTLE_MEMORY);
    }
    let text = engine.info(&args[1..]);
    engine.sessions.clients[id].out.verbatim("txt", text);
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
