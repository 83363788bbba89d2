//! The server's parameters: one declaration gives the struct, its defaults and the table. Names, ranges, defaults, error
//! texts and orders are those of Redis 3.0.7; the directives with code of their own are in [`special`].

mod special;

use crate::directive::{Check, Directive, Field, INT_MAX, IntField, Table, WordField, assign_word};
use crate::rewrite::Rewriter;
use crate::value::{
    AppendFsync, Choice, KeyspaceEvents, LogLevel, Master, MaxmemoryPolicy, OutputLimits,
    RenamedCommand, SavePoint, SyslogFacility,
};

/// Which part of the server has to look at its parameters again after `CONFIG SET`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// None: the value is read where it is used.
    None,
    /// `hz`: the pace of periodic work.
    Hz,
    /// `tcp-keepalive` and `timeout`: what connections are held to.
    Connections,
    /// `maxclients`: the limit of open files may have to grow, and may refuse to.
    MaxClients,
    /// `loglevel`: the log's filter.
    Log,
    /// `dir`: the process changes its directory, which may fail. The value is to be replaced by the absolute path.
    Directory,
    /// `maxmemory`, its policy and its samples: memory may have to be freed at once.
    Memory,
    /// `appendonly`: the append-only file is started, which may fail, or stopped.
    AppendOnly,
    /// The thresholds between compact and full encodings of values.
    Encoding,
    /// `repl-backlog-size`: the backlog is made anew.
    Backlog,
    /// Whatever else both sides of replication go by.
    Replication,
    /// `min-slaves-*`: good replicas are counted anew.
    MinSlaves,
    /// What the cluster goes by.
    Cluster,
    /// `slowlog-*` and `latency-monitor-threshold`: what is observed.
    Observation,
    /// `watchdog-period`: a timer is started or stopped.
    Watchdog,
}

/// A path to a plain [`Field`].
macro_rules! at {
    ($field:ident) => {
        Field {
            get: |config| &config.$field,
            get_mut: |config| &mut config.$field,
        }
    };
}

/// A path to a number. What does not fit the field's type is left out; the ranges in the table make sure that it fits.
macro_rules! number_at {
    ($field:ident) => {
        IntField {
            get: |config| i64::try_from(config.$field).unwrap_or(i64::MAX),
            set: |config, value| config.$field = value.try_into().unwrap_or(config.$field),
        }
    };
}

/// A path to one of a few words.
macro_rules! word_at {
    ($field:ident) => {
        WordField {
            get: |config| config.$field.word(),
            set: |config, word| assign_word(&mut config.$field, word),
        }
    };
}

/// Declares a struct of parameters with their defaults, and the list of their directives.
macro_rules! parameters {
    (
        $(#[$about:meta])* pub struct $name:ident, $list:ident;
        $($(#[$doc:meta])* $field:ident: $type:ty = $default:expr, $directive:expr;)*
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name {
            $($(#[$doc])* pub $field: $type,)*
        }

        impl Default for $name {
            fn default() -> Self {
                $name { $($field: $default,)* }
            }
        }

        static $list: &[Row] = &[$($directive,)*];
    };
}

type Row = Directive<ServerConfig, Effect>;

const YES_OR_NO: &str = "argument must be 'yes' or 'no'";
const NO_INTEGER: &str = "argument couldn't be parsed into an integer";
const NO_MEMORY: &str = "argument must be a memory value";
const MAX_PASSWORD_BYTES: usize = 512;

const PASSWORD: Check = Check {
    holds: |text| text.len() <= MAX_PASSWORD_BYTES,
    wrong: "Password is longer than REDIS_AUTHPASS_MAX_LEN",
    unset: None,
};
const DBFILENAME: Check = Check {
    holds: is_base_name,
    wrong: "dbfilename can't be a path, just a filename",
    unset: Some("dbfilename can't be a path, just a filename"),
};
const APPENDFILENAME: Check = Check {
    holds: is_base_name,
    wrong: "appendfilename can't be a path, just a filename",
    unset: None,
};

const fn yes_no(name: &'static str, field: WordField<ServerConfig>) -> Row {
    Row::word(name, field, YES_OR_NO, Effect::None)
}

/// A threshold of an encoding: in a file it may have a unit, `CONFIG SET` wants it plain.
const fn threshold(name: &'static str, field: IntField<ServerConfig>) -> Row {
    Row::int(name, field, 0..=i64::MAX, NO_MEMORY, Effect::Encoding)
        .with_unit_in_file()
        .settable()
}

parameters! {
    /// All parameters of a server.
    ///
    /// A server that is started without any argument uses [`Default`], which has three save points. One that is given
    /// a file or directives has none but those it is given ([`load`](crate::load)).
    pub struct ServerConfig, DIRECTIVES;

    /// Run in the background.
    daemonize: bool = false,
        yes_no("daemonize", word_at!(daemonize));
    /// The file that a daemon writes its process id to.
    pidfile: Vec<u8> = b"/var/run/redis.pid".to_vec(),
        Row::text("pidfile", at!(pidfile), None, Effect::None);
    /// The TCP port; 0 for none.
    port: u16 = 6379,
        Row::int("port", number_at!(port), 0..=65535, "Invalid port", Effect::None);
    /// How many connections may wait to be accepted.
    tcp_backlog: u32 = 511,
        Row::int("tcp-backlog", number_at!(tcp_backlog), 0..=INT_MAX, "Invalid backlog value", Effect::None);
    /// The addresses to listen at; empty for all.
    bind: Vec<String> = Vec::new(),
        Row::special("bind", special::BIND, Effect::None);
    /// The path of a Unix socket to listen at as well.
    unixsocket: Option<Vec<u8>> = None,
        Row::optional_text("unixsocket", at!(unixsocket), None, Effect::None);
    /// Permission bits of that socket; 0 for those of the process.
    unixsocketperm: u32 = 0,
        Row::octal("unixsocketperm", number_at!(unixsocketperm), 0..=0o777, "Invalid socket file permissions", Effect::None);
    /// Seconds after which an idle client is closed; 0 for never.
    timeout: u64 = 0,
        Row::int("timeout", number_at!(timeout), 0..=INT_MAX, "Invalid timeout value", Effect::Connections).settable();
    /// Seconds between TCP keepalive probes; 0 for none.
    tcp_keepalive: u32 = 0,
        Row::int("tcp-keepalive", number_at!(tcp_keepalive), 0..=INT_MAX, "Invalid tcp-keepalive value", Effect::Connections)
            .settable();
    /// The least important messages that are logged.
    loglevel: LogLevel = LogLevel::Notice,
        Row::word("loglevel", word_at!(loglevel), "Invalid log level. Must be one of debug, notice, warning", Effect::Log)
            .settable();
    /// The log file; empty for standard output.
    logfile: Vec<u8> = Vec::new(),
        Row::text("logfile", at!(logfile), None, Effect::None);
    /// Log to syslog as well.
    syslog_enabled: bool = false,
        yes_no("syslog-enabled", word_at!(syslog_enabled));
    /// The name that syslog knows the server by.
    syslog_ident: Vec<u8> = b"redis".to_vec(),
        Row::text("syslog-ident", at!(syslog_ident), None, Effect::None);
    /// The facility that syslog files messages under.
    syslog_facility: SyslogFacility = SyslogFacility::Local0,
        Row::word(
            "syslog-facility", word_at!(syslog_facility),
            "Invalid log facility. Must be one of USER or between LOCAL0-LOCAL7", Effect::None,
        );
    /// When a snapshot is due.
    save: Vec<SavePoint> = special::DEFAULT_SAVE.to_vec(),
        Row::special("save", special::SAVE, Effect::None).settable();
    /// How many databases there are.
    databases: u32 = 16,
        Row::int("databases", number_at!(databases), 1..=INT_MAX, "Invalid number of databases", Effect::None);
    /// Refuse writes while the last background save failed.
    stop_writes_on_bgsave_error: bool = true,
        yes_no("stop-writes-on-bgsave-error", word_at!(stop_writes_on_bgsave_error)).settable();
    /// Compress strings in the dump file.
    rdbcompression: bool = true,
        yes_no("rdbcompression", word_at!(rdbcompression)).settable();
    /// Put a checksum at the end of the dump file.
    rdbchecksum: bool = true,
        yes_no("rdbchecksum", word_at!(rdbchecksum));
    /// Pass over what a dump holds but this server cannot keep: modules' data, streams. Not in Redis, and not shown
    /// or set by CONFIG.
    rdb_skip_unsupported: bool = false,
        yes_no("rdb-skip-unsupported", word_at!(rdb_skip_unsupported));
    /// The dump file, in [`dir`](Self::dir).
    dbfilename: Vec<u8> = b"dump.rdb".to_vec(),
        Row::text("dbfilename", at!(dbfilename), Some(DBFILENAME), Effect::None).settable();
    /// The working directory. The shell puts the absolute path here once it is there.
    dir: Vec<u8> = b".".to_vec(),
        Row::special("dir", special::DIR, Effect::Directory).settable();
    /// The server to follow.
    slaveof: Option<Master> = None,
        Row::special("slaveof", special::SLAVEOF, Effect::None);
    /// The password that the master wants.
    masterauth: Option<Vec<u8>> = None,
        Row::optional_text("masterauth", at!(masterauth), None, Effect::Replication).settable();
    /// A replica without its master answers with what it has.
    slave_serve_stale_data: bool = true,
        yes_no("slave-serve-stale-data", word_at!(slave_serve_stale_data)).settable();
    /// A replica refuses writes of clients.
    slave_read_only: bool = true,
        yes_no("slave-read-only", word_at!(slave_read_only)).settable();
    /// Seconds between a master's pings to its replicas.
    repl_ping_slave_period: u32 = 10,
        Row::int(
            "repl-ping-slave-period", number_at!(repl_ping_slave_period), 1..=INT_MAX,
            "repl-ping-slave-period must be 1 or greater", Effect::Replication,
        )
        .settable();
    /// Seconds without a sign of life after which the other side of a replication link is given up.
    repl_timeout: u32 = 60,
        Row::int("repl-timeout", number_at!(repl_timeout), 1..=INT_MAX, "repl-timeout must be 1 or greater", Effect::Replication)
            .settable();
    /// Bytes of the stream that are kept for replicas that come back; at least 16 KB.
    repl_backlog_size: u64 = 1 << 20,
        Row::int(
            "repl-backlog-size", number_at!(repl_backlog_size), 1..=i64::MAX, "repl-backlog-size must be 1 or greater.",
            Effect::Backlog,
        )
        .settable_in(0, i64::MAX)
        .clamped(16 << 10, i64::MAX)
        .with_unit()
        .rewritten_with_unit();
    /// Seconds without a replica after which the backlog is dropped; 0 for never.
    repl_backlog_ttl: u64 = 3600,
        // Redis rewrites it with a unit of memory, and then cannot read that. Files it wrote are read here.
        Row::int(
            "repl-backlog-ttl", number_at!(repl_backlog_ttl), 0..=INT_MAX, "repl-backlog-ttl can't be negative ",
            Effect::Replication,
        )
        .settable()
        .with_unit_in_file();
    /// Let the system gather small packets to replicas.
    repl_disable_tcp_nodelay: bool = false,
        Row::word("repl-disable-tcp-nodelay", word_at!(repl_disable_tcp_nodelay), YES_OR_NO, Effect::Replication).settable();
    /// Send a full synchronisation straight to the sockets.
    repl_diskless_sync: bool = false,
        Row::word("repl-diskless-sync", word_at!(repl_diskless_sync), YES_OR_NO, Effect::Replication).settable();
    /// Seconds to wait for more replicas before such a synchronisation starts.
    repl_diskless_sync_delay: u32 = 5,
        Row::int(
            "repl-diskless-sync-delay", number_at!(repl_diskless_sync_delay), 0..=INT_MAX,
            "repl-diskless-sync-delay can't be negative", Effect::Replication,
        )
        .settable();
    /// What a sentinel goes by when it chooses a new master: lower is better, 0 is never.
    slave_priority: i32 = 100,
        Row::int("slave-priority", number_at!(slave_priority), i32::MIN as i64..=INT_MAX, NO_INTEGER, Effect::None)
            .settable_in(0, INT_MAX);
    /// Writes are refused with fewer good replicas than this; 0 for no such rule.
    min_slaves_to_write: u32 = 0,
        Row::int(
            "min-slaves-to-write", number_at!(min_slaves_to_write), 0..=INT_MAX, "Invalid value for min-slaves-to-write.",
            Effect::MinSlaves,
        )
        .settable();
    /// The seconds since its last acknowledgement that a good replica may have.
    min_slaves_max_lag: u32 = 10,
        Row::int(
            "min-slaves-max-lag", number_at!(min_slaves_max_lag), 0..=INT_MAX, "Invalid value for min-slaves-max-lag.",
            Effect::MinSlaves,
        )
        .settable();
    /// The password that clients have to give.
    requirepass: Option<Vec<u8>> = None,
        Row::optional_text("requirepass", at!(requirepass), Some(PASSWORD), Effect::None).settable();
    /// How many clients may be connected.
    maxclients: u32 = 10_000,
        Row::int("maxclients", number_at!(maxclients), 1..=INT_MAX, "Invalid max clients limit", Effect::MaxClients)
            .settable();
    /// Bytes that data may take; 0 for no limit.
    maxmemory: u64 = 0,
        Row::int("maxmemory", number_at!(maxmemory), 0..=i64::MAX, NO_MEMORY, Effect::Memory)
            .settable()
            .with_unit()
            .rewritten_with_unit();
    /// What is evicted when that is reached.
    maxmemory_policy: MaxmemoryPolicy = MaxmemoryPolicy::NoEviction,
        Row::word("maxmemory-policy", word_at!(maxmemory_policy), "Invalid maxmemory policy", Effect::Memory).settable();
    /// How many keys are looked at to find one to evict.
    maxmemory_samples: u32 = 5,
        Row::int(
            "maxmemory-samples", number_at!(maxmemory_samples), 1..=INT_MAX, "maxmemory-samples must be 1 or greater",
            Effect::Memory,
        )
        .settable();
    /// Keep an append-only file.
    appendonly: bool = false,
        Row::word("appendonly", word_at!(appendonly), YES_OR_NO, Effect::AppendOnly).settable();
    /// Its name, in [`dir`](Self::dir).
    appendfilename: Vec<u8> = b"appendonly.aof".to_vec(),
        Row::text("appendfilename", at!(appendfilename), Some(APPENDFILENAME), Effect::None);
    /// When it is synced to disk.
    appendfsync: AppendFsync = AppendFsync::Everysec,
        Row::word("appendfsync", word_at!(appendfsync), "argument must be 'no', 'always' or 'everysec'", Effect::None)
            .settable();
    /// Do not sync it while a child writes to the disk.
    no_appendfsync_on_rewrite: bool = false,
        yes_no("no-appendfsync-on-rewrite", word_at!(no_appendfsync_on_rewrite)).settable();
    /// Percent by which it may grow before it is rewritten; 0 for never.
    auto_aof_rewrite_percentage: u32 = 100,
        Row::int(
            "auto-aof-rewrite-percentage", number_at!(auto_aof_rewrite_percentage), 0..=INT_MAX,
            "Invalid negative percentage for AOF auto rewrite", Effect::None,
        )
        .settable();
    /// Bytes below which it is not rewritten.
    auto_aof_rewrite_min_size: u64 = 64 << 20,
        Row::int("auto-aof-rewrite-min-size", number_at!(auto_aof_rewrite_min_size), 0..=i64::MAX, NO_MEMORY, Effect::None)
            .settable()
            .with_unit_in_file()
            .rewritten_with_unit();
    /// Milliseconds after which a script lets others in; 0 or less for never.
    lua_time_limit: i64 = 5000,
        Row::int("lua-time-limit", number_at!(lua_time_limit), i64::MIN..=i64::MAX, NO_INTEGER, Effect::None)
            .settable_in(0, i64::MAX);
    /// Be a node of a cluster.
    cluster_enabled: bool = false,
        yes_no("cluster-enabled", word_at!(cluster_enabled));
    /// The file with the node's view of the cluster.
    cluster_config_file: Vec<u8> = b"nodes.conf".to_vec(),
        Row::text("cluster-config-file", at!(cluster_config_file), None, Effect::None);
    /// Refuse queries while a slot has no owner.
    cluster_require_full_coverage: bool = true,
        Row::word(
            "cluster-require-full-coverage", word_at!(cluster_require_full_coverage), YES_OR_NO, Effect::Cluster,
        )
        .settable();
    /// Milliseconds without an answer after which a node counts as failing.
    cluster_node_timeout: u64 = 15_000,
        Row::int(
            "cluster-node-timeout", number_at!(cluster_node_timeout), 1..=i64::MAX, "cluster node timeout must be 1 or greater",
            Effect::Cluster,
        )
        .settable();
    /// How many working replicas a master keeps when one of them moves to a master without any.
    cluster_migration_barrier: u32 = 1,
        Row::int(
            "cluster-migration-barrier", number_at!(cluster_migration_barrier), 0..=INT_MAX,
            "cluster migration barrier must zero or positive", Effect::Cluster,
        )
        .settable();
    /// How many node timeouts old a replica's data may be for it to become master; 0 for any age.
    cluster_slave_validity_factor: u32 = 10,
        Row::int(
            "cluster-slave-validity-factor", number_at!(cluster_slave_validity_factor), 0..=INT_MAX,
            "cluster slave validity factor must be zero or positive", Effect::Cluster,
        )
        .settable();
    /// Microseconds from which on a command is put into the slow log; negative for never.
    slowlog_log_slower_than: i64 = 10_000,
        Row::int(
            "slowlog-log-slower-than", number_at!(slowlog_log_slower_than), i64::MIN..=i64::MAX, NO_INTEGER,
            Effect::Observation,
        )
        .settable();
    /// Milliseconds from which on an event is put into the latency history; 0 for never.
    latency_monitor_threshold: u64 = 0,
        Row::int(
            "latency-monitor-threshold", number_at!(latency_monitor_threshold), 0..=i64::MAX,
            "The latency threshold can't be negative", Effect::Observation,
        )
        .settable();
    /// How many commands the slow log holds.
    slowlog_max_len: u64 = 128,
        Row::int("slowlog-max-len", number_at!(slowlog_max_len), 0..=i64::MAX, NO_INTEGER, Effect::Observation).settable();
    /// The events that are published.
    notify_keyspace_events: KeyspaceEvents = KeyspaceEvents::NONE,
        Row::special("notify-keyspace-events", special::NOTIFY_KEYSPACE_EVENTS, Effect::None).settable();
    /// The most fields of a hash in compact form.
    hash_max_ziplist_entries: u64 = 512,
        threshold("hash-max-ziplist-entries", number_at!(hash_max_ziplist_entries));
    /// The most bytes of a field or value of a hash in compact form.
    hash_max_ziplist_value: u64 = 64,
        threshold("hash-max-ziplist-value", number_at!(hash_max_ziplist_value));
    /// The most elements of a list in compact form.
    list_max_ziplist_entries: u64 = 512,
        threshold("list-max-ziplist-entries", number_at!(list_max_ziplist_entries));
    /// The most bytes of an element of a list in compact form.
    list_max_ziplist_value: u64 = 64,
        threshold("list-max-ziplist-value", number_at!(list_max_ziplist_value));
    /// The most elements of a set of integers in compact form.
    set_max_intset_entries: u64 = 512,
        threshold("set-max-intset-entries", number_at!(set_max_intset_entries));
    /// The most elements of a sorted set in compact form.
    zset_max_ziplist_entries: u64 = 128,
        threshold("zset-max-ziplist-entries", number_at!(zset_max_ziplist_entries));
    /// The most bytes of an element of a sorted set in compact form.
    zset_max_ziplist_value: u64 = 64,
        threshold("zset-max-ziplist-value", number_at!(zset_max_ziplist_value));
    /// The most bytes of a HyperLogLog in sparse form.
    hll_sparse_max_bytes: u64 = 3000,
        threshold("hll-sparse-max-bytes", number_at!(hll_sparse_max_bytes));
    /// Move keys to a grown table in idle time, too.
    activerehashing: bool = true,
        yes_no("activerehashing", word_at!(activerehashing)).settable();
    /// When clients are cut off for not reading their replies.
    client_output_buffer_limit: OutputLimits = OutputLimits::DEFAULT,
        Row::special("client-output-buffer-limit", special::CLIENT_OUTPUT_BUFFER_LIMIT, Effect::None).settable();
    /// How many times a second periodic work is done; 1 to 500.
    hz: u32 = 10,
        Row::int("hz", number_at!(hz), i32::MIN as i64..=INT_MAX, NO_INTEGER, Effect::Hz).settable_in(0, INT_MAX).clamped(1, 500);
    /// Sync a file in parts while it is being rewritten.
    aof_rewrite_incremental_fsync: bool = true,
        yes_no("aof-rewrite-incremental-fsync", word_at!(aof_rewrite_incremental_fsync)).settable();
    /// Load an append-only file whose end is missing.
    aof_load_truncated: bool = true,
        yes_no("aof-load-truncated", word_at!(aof_load_truncated)).settable();
    /// Milliseconds of the watchdog's timer; 0 for no watchdog.
    watchdog_period: u64 = 0,
        Row::int("watchdog-period", number_at!(watchdog_period), 0..=INT_MAX, NO_INTEGER, Effect::Watchdog)
            .settable()
            .not_in_file();
    /// Commands that got other names, in order. Whether a name exists is for the command table to say.
    rename_commands: Vec<RenamedCommand> = Vec::new(),
        Row::special("rename-command", special::RENAME_COMMAND, Effect::None);
}

/// The server's table.
pub static SERVER: Table<ServerConfig, Effect> = Table {
    directives: DIRECTIVES,
    shown: SHOWN,
};

/// The parameters that `CONFIG GET` shows, in its order: texts, numbers, switches, and the rest.
static SHOWN: &[&str] = &[
    "dbfilename",
    "requirepass",
    "masterauth",
    "unixsocket",
    "logfile",
    "pidfile",
    "maxmemory",
    "maxmemory-samples",
    "timeout",
    "tcp-keepalive",
    "auto-aof-rewrite-percentage",
    "auto-aof-rewrite-min-size",
    "hash-max-ziplist-entries",
    "hash-max-ziplist-value",
    "list-max-ziplist-entries",
    "list-max-ziplist-value",
    "set-max-intset-entries",
    "zset-max-ziplist-entries",
    "zset-max-ziplist-value",
    "hll-sparse-max-bytes",
    "lua-time-limit",
    "slowlog-log-slower-than",
    "latency-monitor-threshold",
    "slowlog-max-len",
    "port",
    "tcp-backlog",
    "databases",
    "repl-ping-slave-period",
    "repl-timeout",
    "repl-backlog-size",
    "repl-backlog-ttl",
    "maxclients",
    "watchdog-period",
    "slave-priority",
    "min-slaves-to-write",
    "min-slaves-max-lag",
    "hz",
    "cluster-node-timeout",
    "cluster-migration-barrier",
    "cluster-slave-validity-factor",
    "repl-diskless-sync-delay",
    "cluster-require-full-coverage",
    "no-appendfsync-on-rewrite",
    "slave-serve-stale-data",
    "slave-read-only",
    "stop-writes-on-bgsave-error",
    "daemonize",
    "rdbcompression",
    "rdbchecksum",
    "activerehashing",
    "repl-disable-tcp-nodelay",
    "repl-diskless-sync",
    "aof-rewrite-incremental-fsync",
    "aof-load-truncated",
    "appendonly",
    "dir",
    "maxmemory-policy",
    "appendfsync",
    "save",
    "loglevel",
    "client-output-buffer-limit",
    "unixsocketperm",
    "slaveof",
    "notify-keyspace-events",
    "bind",
];

impl ServerConfig {
    /// `CONFIG REWRITE`: the text of the configuration file with the parameters as they are now. `old` is the file's
    /// text so far, empty when there is no such file.
    #[must_use]
    pub fn rewrite(&self, old: &[u8]) -> Vec<u8> {
        let mut rewriter = Rewriter::new(old);
        rewriter.table(&SERVER, self);
        rewriter.finish()
    }
}

fn is_base_name(path: &[u8]) -> bool {
    !path.iter().any(|byte| matches!(byte, b'/' | b'\\'))
}
