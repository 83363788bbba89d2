//! What a field of INFO is called in Prometheus. The names are those that redis_exporter made common, so that existing dashboards and
//! alerts find what they ask for; the unit and the kind are part of them.

use prometheus::proto::MetricType;

/// A field of INFO that is one number.
pub(crate) struct Field {
    /// INFO's name.
    pub(crate) field: &'static str,
    /// Prometheus's, without `redis_` before it; or one of ours.
    pub(crate) name: &'static str,
    pub(crate) kind: MetricType,
    /// How many of INFO's units make one of the name's.
    pub(crate) parts: f64,
    pub(crate) help: &'static str,
}

const fn gauge(field: &'static str, name: &'static str, help: &'static str) -> Field {
    Field {
        field,
        name,
        kind: MetricType::GAUGE,
        parts: 1.0,
        help,
    }
}

const fn counter(field: &'static str, name: &'static str, help: &'static str) -> Field {
    Field {
        kind: MetricType::COUNTER,
        ..gauge(field, name, help)
    }
}

/// What a field is called, if it is shown as one number; a few have two names.
pub(crate) fn named(field: &str) -> impl Iterator<Item = &'static Field> {
    FIELDS.iter().filter(move |known| known.field == field)
}

static FIELDS: &[Field] = &[
    // Server
    gauge(
        "uptime_in_seconds",
        "uptime_in_seconds",
        "Seconds since the start",
    ),
    gauge("process_id", "process_id", "The id of the process"),
    gauge("hz", "hz", "How many times a second periodic work is done"),
    gauge("configured_hz", "configured_hz", "The same as configured"),
    // Clients
    gauge(
        "connected_clients",
        "connected_clients",
        "Clients that are connected, replicas not counted",
    ),
    gauge(
        "maxclients",
        "config_maxclients",
        "How many clients may be connected",
    ),
    gauge(
        "blocked_clients",
        "blocked_clients",
        "Clients that wait in a blocking command",
    ),
    gauge(
        "tracking_clients",
        "tracking_clients",
        "Clients that track keys",
    ),
    gauge(
        "pubsub_clients",
        "pubsub_clients",
        "Clients with subscriptions",
    ),
    gauge(
        "watching_clients",
        "watching_clients",
        "Clients that watch keys",
    ),
    gauge(
        "total_watched_keys",
        "total_watched_keys",
        "Keys that clients watch",
    ),
    gauge(
        "client_recent_max_output_buffer",
        "client_recent_max_output_buffer_bytes",
        "The largest buffer of replies",
    ),
    gauge(
        "client_recent_max_input_buffer",
        "client_recent_max_input_buffer_bytes",
        "The largest buffer of requests",
    ),
    gauge("maxclients", "max_clients", "The same by its other name"),
    gauge(
        "cluster_connections",
        "cluster_connections",
        "Connections of the cluster's bus",
    ),
    gauge(
        "clients_in_timeout_table",
        "clients_in_timeout_table",
        "Clients whose wait has an end",
    ),
    gauge(
        "total_blocking_keys",
        "total_blocking_keys",
        "Keys that clients wait for",
    ),
    gauge(
        "total_blocking_keys_on_nokey",
        "total_blocking_keys_on_nokey",
        "Keys whose removal clients wait for, too",
    ),
    gauge(
        "io_threads_active",
        "io_threads_active",
        "Whether threads read and write beside the one that serves",
    ),
    // Memory
    gauge("used_memory", "memory_used_bytes", "Bytes in use"),
    gauge(
        "used_memory_rss",
        "memory_used_rss_bytes",
        "Bytes of the process in memory",
    ),
    gauge(
        "used_memory_peak",
        "memory_used_peak_bytes",
        "The most bytes that were in use",
    ),
    gauge(
        "used_memory_overhead",
        "memory_used_overhead_bytes",
        "Bytes in use for other things than keys and values",
    ),
    gauge(
        "used_memory_startup",
        "memory_used_startup_bytes",
        "Bytes that were in use after the start",
    ),
    gauge(
        "used_memory_dataset",
        "memory_used_dataset_bytes",
        "Bytes in use for keys and values",
    ),
    gauge(
        "used_memory_lua",
        "memory_used_lua_bytes",
        "Bytes in use by the interpreter of scripts",
    ),
    gauge(
        "used_memory_scripts",
        "memory_used_scripts_bytes",
        "Bytes in use for scripts and functions",
    ),
    gauge(
        "number_of_cached_scripts",
        "number_of_cached_scripts",
        "Scripts that are kept",
    ),
    gauge(
        "maxmemory",
        "memory_max_bytes",
        "Bytes that data may take; 0 for no limit",
    ),
    gauge(
        "maxmemory",
        "config_maxmemory",
        "The same by its other name",
    ),
    gauge(
        "total_system_memory",
        "total_system_memory_bytes",
        "Bytes of memory that the machine has",
    ),
    gauge(
        "allocator_active",
        "allocator_active_bytes",
        "Bytes of pages that hold something in use",
    ),
    gauge(
        "allocator_allocated",
        "allocator_allocated_bytes",
        "Bytes that the allocator has handed out",
    ),
    gauge(
        "allocator_resident",
        "allocator_resident_bytes",
        "Bytes that the allocator keeps in memory",
    ),
    gauge(
        "allocator_frag_ratio",
        "allocator_frag_ratio",
        "Bytes of pages in use to bytes handed out",
    ),
    gauge(
        "allocator_frag_bytes",
        "allocator_frag_bytes",
        "Bytes of pages in use that are not handed out",
    ),
    gauge(
        "allocator_rss_ratio",
        "allocator_rss_ratio",
        "Bytes kept to bytes of pages in use",
    ),
    gauge(
        "allocator_rss_bytes",
        "allocator_rss_bytes",
        "Bytes that are kept in pages not in use",
    ),
    gauge(
        "mem_fragmentation_ratio",
        "mem_fragmentation_ratio",
        "Bytes in memory to bytes in use",
    ),
    gauge(
        "mem_fragmentation_ratio",
        "memory_fragmentation_ratio",
        "The same by its other name",
    ),
    gauge(
        "mem_fragmentation_bytes",
        "mem_fragmentation_bytes",
        "Bytes in memory beyond those in use",
    ),
    gauge(
        "mem_replication_backlog",
        "mem_replication_backlog_bytes",
        "Bytes of the backlog",
    ),
    gauge(
        "mem_clients_slaves",
        "mem_clients_slaves",
        "Bytes in use for replicas' connections",
    ),
    gauge(
        "mem_clients_normal",
        "mem_clients_normal",
        "Bytes in use for clients' connections",
    ),
    gauge(
        "active_defrag_running",
        "active_defrag_running",
        "Whether memory is being defragmented; it never is",
    ),
    gauge(
        "used_memory_vm_eval",
        "memory_used_vm_eval_bytes",
        "Bytes in use by the interpreter of EVAL",
    ),
    gauge(
        "used_memory_scripts_eval",
        "memory_used_scripts_eval_bytes",
        "Bytes in use for scripts that are kept",
    ),
    gauge(
        "used_memory_vm_functions",
        "memory_used_vm_functions_bytes",
        "Bytes in use by the interpreter of functions",
    ),
    gauge(
        "used_memory_functions",
        "memory_used_functions_bytes",
        "Bytes in use for functions",
    ),
    gauge(
        "used_memory_vm_total",
        "memory_used_vm_total",
        "Bytes in use by both interpreters",
    ),
    gauge(
        "number_of_functions",
        "number_of_functions",
        "Functions that are loaded",
    ),
    gauge(
        "number_of_libraries",
        "number_of_libraries",
        "Libraries of functions that are loaded",
    ),
    gauge(
        "mem_cluster_links",
        "mem_cluster_links_bytes",
        "Bytes of the connections of the bus",
    ),
    gauge(
        "mem_aof_buffer",
        "mem_aof_buffer_bytes",
        "Bytes on their way to the append-only file",
    ),
    gauge(
        "mem_not_counted_for_evict",
        "mem_not_counted_for_eviction_bytes",
        "Bytes in use that do not count for maxmemory",
    ),
    gauge(
        "mem_total_replication_buffers",
        "mem_total_replication_buffers_bytes",
        "Bytes of the stream that are kept for replicas and the backlog",
    ),
    gauge(
        "lazyfree_pending_objects",
        "lazyfree_pending_objects",
        "Values that wait to be freed",
    ),
    gauge(
        "lazyfreed_objects",
        "lazyfreed_objects",
        "Values that were freed beside the serving of clients",
    ),
    // Persistence
    gauge(
        "loading",
        "loading_dump_file",
        "Whether data are being loaded",
    ),
    gauge(
        "rdb_changes_since_last_save",
        "rdb_changes_since_last_save",
        "Changes that no dump holds",
    ),
    gauge(
        "rdb_bgsave_in_progress",
        "rdb_bgsave_in_progress",
        "Whether a dump is being written",
    ),
    gauge(
        "rdb_last_save_time",
        "rdb_last_save_timestamp_seconds",
        "When a dump was last written",
    ),
    gauge(
        "rdb_last_bgsave_status",
        "rdb_last_bgsave_status",
        "Whether the last dump was written well",
    ),
    gauge(
        "rdb_last_bgsave_time_sec",
        "rdb_last_bgsave_duration_sec",
        "How long the last dump took, -1 for none yet",
    ),
    gauge(
        "rdb_current_bgsave_time_sec",
        "rdb_current_bgsave_duration_sec",
        "How long the dump that is being written has taken, -1 for none",
    ),
    gauge(
        "rdb_last_cow_size",
        "rdb_last_cow_size_bytes",
        "Bytes that were copied while the last dump was written",
    ),
    gauge(
        "aof_enabled",
        "aof_enabled",
        "Whether an append-only file is kept",
    ),
    gauge(
        "aof_rewrite_in_progress",
        "aof_rewrite_in_progress",
        "Whether it is being rewritten",
    ),
    gauge(
        "aof_rewrite_scheduled",
        "aof_rewrite_scheduled",
        "Whether it will be rewritten",
    ),
    gauge(
        "aof_last_rewrite_time_sec",
        "aof_last_rewrite_duration_sec",
        "How long the last rewrite took, -1 for none yet",
    ),
    gauge(
        "aof_current_rewrite_time_sec",
        "aof_current_rewrite_duration_sec",
        "How long the rewrite under way has taken, -1 for none",
    ),
    gauge(
        "aof_last_cow_size",
        "aof_last_cow_size_bytes",
        "Bytes that were copied during the last rewrite",
    ),
    gauge(
        "aof_current_size",
        "aof_current_size_bytes",
        "Bytes of the append-only file",
    ),
    gauge(
        "aof_base_size",
        "aof_base_size_bytes",
        "Bytes that it had after its last rewrite",
    ),
    gauge(
        "aof_pending_rewrite",
        "aof_pending_rewrite",
        "Whether a rewrite waits for a dump",
    ),
    gauge(
        "aof_buffer_length",
        "aof_buffer_length",
        "Bytes that wait to be written to it",
    ),
    gauge(
        "aof_pending_bio_fsync",
        "aof_pending_bio_fsync",
        "Whether a write waits for a sync",
    ),
    gauge(
        "aof_delayed_fsync",
        "aof_delayed_fsync",
        "How often a write did not wait for a sync any longer",
    ),
    gauge(
        "aof_last_bgrewrite_status",
        "aof_last_bgrewrite_status",
        "Whether the last rewrite went well",
    ),
    gauge(
        "aof_last_write_status",
        "aof_last_write_status",
        "Whether the last write to it went well",
    ),
    gauge(
        "async_loading",
        "async_loading",
        "Whether a copy is loaded while the old data are served",
    ),
    counter("rdb_saves", "rdb_saves_total", "Dumps that were written"),
    gauge(
        "rdb_last_load_keys_expired",
        "rdb_last_load_expired_keys",
        "Keys of the last dump that had expired when it was loaded",
    ),
    gauge(
        "rdb_last_load_keys_loaded",
        "rdb_last_load_loaded_keys",
        "Keys of the last dump that were loaded",
    ),
    // Stats
    counter(
        "total_connections_received",
        "connections_received_total",
        "Connections that were accepted",
    ),
    counter(
        "total_commands_processed",
        "commands_processed_total",
        "Commands that were run",
    ),
    gauge(
        "instantaneous_ops_per_sec",
        "instantaneous_ops_per_sec",
        "Commands that are run in a second",
    ),
    counter(
        "total_net_input_bytes",
        "net_input_bytes_total",
        "Bytes read from clients",
    ),
    counter(
        "total_net_output_bytes",
        "net_output_bytes_total",
        "Bytes written to clients",
    ),
    counter(
        "rejected_connections",
        "rejected_connections_total",
        "Connections that were refused because of maxclients",
    ),
    counter(
        "acl_access_denied_auth",
        "acl_access_denied_auth_total",
        "Logins that failed",
    ),
    counter(
        "acl_access_denied_cmd",
        "acl_access_denied_cmd_total",
        "Commands that a user may not run",
    ),
    counter(
        "acl_access_denied_key",
        "acl_access_denied_key_total",
        "Commands on keys that a user may not use",
    ),
    counter(
        "acl_access_denied_channel",
        "acl_access_denied_channel_total",
        "Commands on channels that a user may not use",
    ),
    counter("expired_keys", "expired_keys_total", "Keys that expired"),
    counter(
        "expired_fields",
        "expired_fields_total",
        "Fields of hashes that expired",
    ),
    counter(
        "evicted_keys",
        "evicted_keys_total",
        "Keys that were evicted",
    ),
    counter(
        "evicted_clients",
        "evicted_clients_total",
        "Clients that were closed because of maxmemory-clients",
    ),
    counter(
        "evicted_scripts",
        "evicted_scripts_total",
        "Scripts that were forgotten for others",
    ),
    counter(
        "keyspace_hits",
        "keyspace_hits_total",
        "Reads that found their key",
    ),
    counter(
        "keyspace_misses",
        "keyspace_misses_total",
        "Reads that did not",
    ),
    gauge(
        "pubsub_channels",
        "pubsub_channels",
        "Channels with subscribers",
    ),
    gauge(
        "pubsub_patterns",
        "pubsub_patterns",
        "Patterns with subscribers",
    ),
    Field {
        parts: 1e6,
        ..gauge(
            "latest_fork_usec",
            "latest_fork_seconds",
            "How long the last fork took",
        )
    },
    gauge(
        "migrate_cached_sockets",
        "migrate_cached_sockets_total",
        "Connections that MIGRATE keeps",
    ),
    gauge(
        "tracking_total_keys",
        "tracking_total_keys",
        "Keys that are tracked",
    ),
    gauge(
        "tracking_total_items",
        "tracking_total_items",
        "Clients of all of them together",
    ),
    gauge(
        "tracking_total_prefixes",
        "tracking_total_prefixes",
        "Prefixes that are tracked",
    ),
    counter(
        "unexpected_error_replies",
        "unexpected_error_replies",
        "Errors that were not expected",
    ),
    counter(
        "total_error_replies",
        "total_error_replies",
        "Replies that were errors",
    ),
    counter(
        "client_query_buffer_limit_disconnections",
        "client_query_buffer_limit_disconnections_total",
        "Clients whose request was too long",
    ),
    counter(
        "client_output_buffer_limit_disconnections",
        "client_output_buffer_limit_disconnections_total",
        "Clients that did not read their replies",
    ),
    counter(
        "total_net_repl_input_bytes",
        "net_repl_input_bytes_total",
        "Bytes read from the master",
    ),
    counter(
        "total_net_repl_output_bytes",
        "net_repl_output_bytes_total",
        "Bytes written to replicas",
    ),
    counter(
        "total_reads_processed",
        "total_reads_processed",
        "Times that something was read from clients",
    ),
    counter(
        "total_writes_processed",
        "total_writes_processed",
        "Times that something was written to clients",
    ),
    gauge(
        "expired_stale_perc",
        "expired_stale_percentage",
        "Percent of the keys that have probably expired and are still there",
    ),
    counter(
        "expired_time_cap_reached_count",
        "expired_time_cap_reached_total",
        "Times that the search for expired keys was cut short",
    ),
    counter(
        "expire_cycle_cpu_milliseconds",
        "expire_cycle_cpu_time_ms_total",
        "Milliseconds spent on the search for expired keys",
    ),
    counter(
        "total_eviction_exceeded_time",
        "eviction_exceeded_time_ms_total",
        "Milliseconds for which memory was above maxmemory",
    ),
    gauge(
        "current_eviction_exceeded_time",
        "current_eviction_exceeded_time_ms",
        "Milliseconds since memory is above maxmemory",
    ),
    counter("eventloop_cycles", "eventloop_cycles_total", "Turns"),
    counter(
        "eventloop_duration_sum",
        "eventloop_duration_sum_usec_total",
        "Microseconds that turns took",
    ),
    counter(
        "eventloop_duration_cmd_sum",
        "eventloop_duration_cmd_sum_usec_total",
        "Microseconds of them for commands",
    ),
    gauge(
        "instantaneous_eventloop_cycles_per_sec",
        "instantaneous_eventloop_cycles_per_sec",
        "Turns in a second",
    ),
    gauge(
        "instantaneous_eventloop_duration_usec",
        "instantaneous_eventloop_duration_usec",
        "Microseconds that a turn takes",
    ),
    gauge(
        "latest_fork_usec",
        "latest_fork_usec",
        "How long the last fork took, microseconds",
    ),
    gauge(
        "pubsubshard_channels",
        "pubsubshard_channels",
        "Sharded channels with subscribers",
    ),
    gauge(
        "slave_expires_tracked_keys",
        "slave_expires_tracked_keys",
        "Keys with an expiry that were written on this replica",
    ),
    counter(
        "total_net_cluster_slot_import_bytes",
        "tern_slot_import_bytes_total",
        "Bytes that came with slots from other nodes",
    ),
    counter(
        "total_net_cluster_slot_export_bytes",
        "tern_slot_export_bytes_total",
        "Bytes that went with slots to other nodes",
    ),
    // Replication
    gauge(
        "connected_slaves",
        "connected_slaves",
        "Replicas that are connected",
    ),
    gauge(
        "repl_backlog_size",
        "replication_backlog_bytes",
        "Bytes that the backlog may hold",
    ),
    gauge(
        "repl_backlog_size",
        "config_repl_backlog_size",
        "The same by its other name",
    ),
    gauge(
        "repl_backlog_active",
        "repl_backlog_is_active",
        "Whether there is a backlog",
    ),
    gauge(
        "repl_backlog_first_byte_offset",
        "repl_backlog_first_byte_offset",
        "The offset of its first byte",
    ),
    gauge(
        "repl_backlog_histlen",
        "repl_backlog_history_bytes",
        "Bytes that it holds",
    ),
    gauge(
        "master_repl_offset",
        "master_repl_offset",
        "The offset of the stream to the replicas",
    ),
    gauge(
        "second_repl_offset",
        "second_repl_offset",
        "Up to which offset its second name holds",
    ),
    gauge(
        "slave_priority",
        "slave_priority",
        "The replica's priority for a sentinel",
    ),
    gauge(
        "sync_full",
        "replica_resyncs_full",
        "Replicas that got all the data",
    ),
    gauge(
        "sync_partial_ok",
        "replica_partial_resync_accepted",
        "Replicas that could go on where they were",
    ),
    gauge(
        "sync_partial_err",
        "replica_partial_resync_denied",
        "Replicas that asked for that in vain",
    ),
    // CPU
    counter(
        "used_cpu_sys",
        "cpu_sys_seconds_total",
        "Seconds of processor time in the kernel",
    ),
    counter(
        "used_cpu_user",
        "cpu_user_seconds_total",
        "Seconds of processor time outside it",
    ),
    counter(
        "used_cpu_sys_children",
        "cpu_sys_children_seconds_total",
        "The same of ended children, in the kernel",
    ),
    counter(
        "used_cpu_user_children",
        "cpu_user_children_seconds_total",
        "The same of ended children, outside it",
    ),
    counter(
        "used_cpu_sys_main_thread",
        "cpu_sys_main_thread_seconds_total",
        "Seconds of the serving thread in the kernel",
    ),
    counter(
        "used_cpu_user_main_thread",
        "cpu_user_main_thread_seconds_total",
        "Seconds of the serving thread in the program",
    ),
    counter(
        "used_active_time_main_thread",
        "active_time_main_thread_seconds_total",
        "Seconds for which the serving thread had something to do",
    ),
    // Cluster
    gauge(
        "cluster_enabled",
        "cluster_enabled",
        "Whether it is a node of a cluster",
    ),
    counter(
        "cluster_stats_messages_sent",
        "cluster_messages_sent_total",
        "Messages sent on the bus",
    ),
    counter(
        "cluster_stats_messages_received",
        "cluster_messages_received_total",
        "Messages received on the bus",
    ),
    // Sentinel
    gauge(
        "sentinel_masters",
        "sentinel_masters",
        "Masters that are watched",
    ),
    gauge(
        "sentinel_tilt",
        "sentinel_tilt",
        "Whether the sentinel is in TILT",
    ),
    gauge(
        "sentinel_running_scripts",
        "sentinel_running_scripts",
        "Scripts that run",
    ),
    gauge(
        "sentinel_scripts_queue_length",
        "sentinel_scripts_queue_length",
        "Scripts that wait to run",
    ),
    gauge(
        "sentinel_simulate_failure_flags",
        "sentinel_simulate_failure_flags",
        "Failures that are simulated",
    ),
    gauge(
        "sentinel_config_unsaved",
        "sentinel_config_unsaved",
        "Whether its state cannot be written to the disk",
    ),
];
