//! The server's parameters: one declaration gives the struct, its defaults and the table. Names, ranges, defaults and
//! error texts are those of Valkey 9.1, old names are aliases; the directives with code of their own are in
//! [`special`], those without effect in [`crate::unused`].

pub mod special;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::directive::{
    Directive, INT_MAX, Parameter, Place, Value, int, memory, octal, optional, percent,
    signed_memory, special as own, statement, text, unsigned_memory, word,
};
use crate::value::{
    AppendFsync, AuditLog, DisklessLoad, EndpointType, KeyspaceEvents, LogFormat, LogLevel,
    LogTimestamp, Master, MaxmemoryPolicy, OomScoreAdj, OutputLimits, Permission, PropagationError,
    PubsubDefault, RdbVersion, RenamedCommand, SaveBehavior, SavePoint, ShutdownFlags, Supervised,
    SyncSource, SyslogFacility, TlsAuthClients, TlsAuthClientsUser, UnknownCommand, VersionCheck,
    WriteAcknowledge,
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
    /// `port`, `tls-port`: what is listened to.
    Listen,
    /// `bind`: where it is listened.
    Bind,
    /// `maxclients`: the limit of open files may have to grow, and may refuse to.
    MaxClients,
    /// `loglevel` and the forms of the log's lines.
    Log,
    /// `dir`: the process changes its directory, which may fail. The value is to be replaced by the absolute path.
    Directory,
    /// `maxmemory`, its policy and its samples: memory may have to be freed at once.
    Memory,
    /// `maxmemory-clients`: clients may have to go.
    ClientMemory,
    /// `appendonly`: the append-only file is started, which may fail, or stopped.
    AppendOnly,
    /// `aof-disable-auto-gc`: what stayed of append-only files may have to go.
    History,
    /// `lua-enable-insecure-api`: scripts run in another interpreter.
    Scripts,
    /// The thresholds between compact and full encodings of values.
    Encoding,
    /// `repl-backlog-size`: the backlog is made anew.
    Backlog,
    /// Whatever else both sides of replication go by.
    Replication,
    /// `min-replicas-*`: good replicas are counted anew.
    MinSlaves,
    /// What the cluster goes by.
    Cluster,
    /// `tracking-table-max-keys`: keys may have to be forgotten.
    Tracking,
    /// `commandlog-*` and `latency-*`: what is observed.
    Observation,
    /// `watchdog-period`: a timer is started or stopped.
    Watchdog,
    /// `requirepass`: the password of the default user.
    Password,
    /// `tls-*`: certificates and what else new sessions are made from.
    Tls,
    /// `oom-score-adj*`: the kernel is told.
    OomScore,
    /// `proc-title-template`: the process shows another title.
    Title,
}

/// The values of directives without effect, where they are not at their default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unused {
    pub(crate) values: BTreeMap<&'static str, Value>,
    pub(crate) rdma_bind: Vec<String>,
}

impl Unused {
    /// The directives that were given another value than their default, although they have no effect.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        let rdma = (!self.rdma_bind.is_empty()).then_some("rdma-bind");
        self.values.keys().copied().chain(rdma)
    }
}

/// Where a field is, for a simple directive.
macro_rules! place {
    (plain, $field:ident) => {
        Place::Field {
            get: |config| Parameter::value(&config.$field),
            set: |config, value| Parameter::take(&mut config.$field, value),
            words: |config| Parameter::words(&config.$field),
        }
    };
    (own, $field:ident) => {
        Place::Special
    };
}

/// Declares the struct of parameters with their defaults, and the list of their directives. `plain` fields hold what
/// their directive says; `own` ones belong to a directive with code of its own.
macro_rules! parameters {
    (
        $(#[$about:meta])* pub struct $name:ident, $list:ident;
        $($(#[doc = $doc:literal])* $field:ident: $type:ty = $default:expr, $how:ident: $directive:expr;)*
    ) => {
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct $name {
            $($(#[doc = $doc])* pub $field: $type,)*
            /// What was given of that which has no effect.
            pub unused: Unused,
        }

        impl Default for $name {
            fn default() -> Self {
                $name {
                    $($field: $default,)*
                    unused: Unused::default(),
                }
            }
        }

        pub(crate) static $list: &[Directive] = &[$($directive.at(place!($how, $field), &[$($doc),*]),)*];
    };
}

const PORT: i64 = 65_535;

/// A threshold of an encoding, in elements.
const fn entries(name: &'static str) -> Directive {
    int(name, 0, i64::MAX).tells(Effect::Encoding)
}

/// A threshold of an encoding, in bytes.
const fn bytes(name: &'static str) -> Directive {
    memory(name, 0, i64::MAX).tells(Effect::Encoding)
}

/// A file that TLS reads.
const fn tls(name: &'static str) -> Directive {
    optional(name).tells(Effect::Tls)
}

parameters! {
    /// All parameters of a server.
    pub struct ServerConfig, DIRECTIVES;

    /// Run in the background.
    daemonize: bool = false, plain: word("daemonize").fixed();
    /// Which service manager is told when the server is ready.
    supervised: Supervised = Supervised::No, plain: word("supervised").fixed();
    /// Show a title in the place of the arguments that the program was started with.
    set_proc_title: bool = true, plain: word("set-proc-title").fixed();
    /// A template of the title that lists of processes show.
    proc_title_template: Vec<u8> = b"{title} {listen-addr} {server-mode}".to_vec(), plain: text("proc-title-template").checked(special::is_title).tells(Effect::Title);
    /// The file that the process id is written to.
    pidfile: Vec<u8> = Vec::new(), plain: optional("pidfile").fixed();
    /// The TCP port; 0 for none.
    port: u16 = 6379, plain: int("port", 0, PORT).tells(Effect::Listen);
    /// How many connections may wait to be accepted.
    tcp_backlog: u32 = 511, plain: int("tcp-backlog", 0, INT_MAX).fixed();
    /// The addresses to listen at. `*` and `::*` are all of one family; one with a `-` before it may be missing; none at all is an empty list.
    bind: Vec<String> = special::DEFAULT_BIND.map(str::to_owned).to_vec(), own: own("bind", special::BIND).tells(Effect::Bind);
    /// The address that connections to others are made from.
    bind_source_addr: Option<Vec<u8>> = None, plain: optional("bind-source-addr");
    /// The path of a Unix socket to listen at as well.
    unixsocket: Option<Vec<u8>> = None, plain: optional("unixsocket").fixed();
    /// The group that owns that socket.
    unixsocketgroup: Option<Vec<u8>> = None, plain: optional("unixsocketgroup").fixed();
    /// Permission bits of that socket; 0 for those of the process.
    unixsocketperm: u32 = 0, plain: octal("unixsocketperm", 0o777).fixed();
    /// Refuse clients of other machines as long as the default user has no password.
    protected_mode: bool = true, plain: word("protected-mode");
    /// Who may change protected parameters with `CONFIG SET`.
    enable_protected_configs: Permission = Permission::No, plain: word("enable-protected-configs").fixed();
    /// Who may use `DEBUG`.
    enable_debug_command: Permission = Permission::Local, plain: word("enable-debug-command").fixed();
    /// Who may use `MODULE`.
    enable_module_command: Permission = Permission::No, plain: word("enable-module-command").fixed();
    /// A port whose clients are served first and are not counted in `maxclients`; 0 for none.
    admin_port: u16 = 0, plain: int("admin-port", 0, PORT).steady();
    /// The addresses that it is at, in the words of `bind`.
    admin_bind: Vec<u8> = b"127.0.0.1".to_vec(), plain: text("admin-bind").steady();
    /// The port at which metrics, health and a page about the server's state are told over HTTP; 0 for none.
    metrics_port: u16 = 0, plain: int("metrics-port", 0, PORT).steady();
    /// The addresses that it is at, in the words of `bind`.
    metrics_bind: Vec<u8> = b"127.0.0.1".to_vec(), plain: text("metrics-bind").steady();
    /// What a request there has to bring, as a bearer's token or as a password, unless it only asks for health.
    metrics_token: Option<Vec<u8>> = None, plain: optional("metrics-token").steady().sensitive();
    /// Seconds after which an idle client is closed; 0 for never.
    timeout: u64 = 0, plain: int("timeout", 0, INT_MAX).tells(Effect::Connections);
    /// Seconds between TCP keepalive probes; 0 for none.
    tcp_keepalive: u32 = 300, plain: int("tcp-keepalive", 0, INT_MAX).tells(Effect::Connections);
    /// The least important messages that are logged.
    loglevel: LogLevel = LogLevel::Notice, plain: word("loglevel").tells(Effect::Log);
    /// How a line of the log is written.
    log_format: LogFormat = LogFormat::Legacy, plain: word("log-format").tells(Effect::Log);
    /// How a line of the log gives its time.
    log_timestamp_format: LogTimestamp = LogTimestamp::Legacy, plain: word("log-timestamp-format").tells(Effect::Log);
    /// Which commands are written to the log before they run: administrative ones, or all that are dangerous.
    audit_log: AuditLog = AuditLog::No, plain: word("audit-log");
    /// What clients send is not written to the log, not even as a part of what was wrong with it.
    hide_user_data_from_log: bool = true, plain: word("hide-user-data-from-log");
    /// The log file; empty for standard output.
    logfile: Vec<u8> = Vec::new(), plain: text("logfile").fixed();
    /// Log to syslog as well.
    syslog_enabled: bool = false, plain: word("syslog-enabled").fixed();
    /// The name that syslog knows the server by.
    syslog_ident: Vec<u8> = b"tern".to_vec(), plain: text("syslog-ident").fixed();
    /// The facility that syslog files messages under.
    syslog_facility: SyslogFacility = SyslogFacility::Local0, plain: word("syslog-facility").fixed();
    /// Write a report to the log when the server crashes.
    crash_log_enabled: bool = true, plain: word("crash-log-enabled");
    /// When a snapshot is due: seconds and changes, in pairs.
    save: Vec<SavePoint> = special::DEFAULT_SAVE.to_vec(), own: own("save", special::SAVE);
    /// What the key of the hash function is made from; without it that is drawn from the system at start.
    hash_seed: Option<Vec<u8>> = None, plain: optional("hash-seed").fixed();
    /// How many databases there are.
    databases: u32 = 16, plain: int("databases", 1, INT_MAX).fixed();
    /// How many databases a node of a cluster has.
    cluster_databases: u32 = 1, plain: int("cluster-databases", 1, INT_MAX).fixed();
    /// Refuse writes while the last background save failed.
    stop_writes_on_bgsave_error: bool = true, plain: word("stop-writes-on-bgsave-error");
    /// Compress strings in the dump file.
    rdbcompression: bool = true, plain: word("rdbcompression");
    /// Put a checksum at the end of the dump file.
    rdbchecksum: bool = true, plain: word("rdbchecksum").fixed();
    /// The version in which dumps and payloads are written.
    rdb_version: RdbVersion = RdbVersion(None), plain: word("rdb-version").hidden();
    /// Whether dumps of versions that are not known are read.
    rdb_version_check: VersionCheck = VersionCheck::Strict, plain: word("rdb-version-check");
    /// Remove dump files that are there for replication only.
    rdb_del_sync_files: bool = false, plain: word("rdb-del-sync-files");
    /// Pass over what a dump holds but this server cannot keep.
    rdb_skip_unsupported: bool = false, plain: word("rdb-skip-unsupported").file_only();
    /// Microseconds that a save waits after each key; negative for several keys a microsecond. For tests.
    rdb_key_save_delay: i64 = 0, plain: int("rdb-key-save-delay", i32::MIN as i64, INT_MAX).hidden();
    /// Microseconds that loading waits after each key; negative for several keys a microsecond. For tests.
    key_load_delay: i64 = 0, plain: int("key-load-delay", i32::MIN as i64, INT_MAX).hidden();
    /// Files and replicas are told of an eviction by UNLINK, not DEL. What is large is freed by another thread in any case.
    lazyfree_lazy_eviction: bool = true, plain: word("lazyfree-lazy-eviction");
    /// The same for keys that have expired.
    lazyfree_lazy_expire: bool = true, plain: word("lazyfree-lazy-expire").tells(Effect::Encoding);
    /// The same for keys that a command removes on the way.
    lazyfree_lazy_server_del: bool = true, plain: word("lazyfree-lazy-server-del").tells(Effect::Encoding);
    /// The dump file, in `dir`.
    dbfilename: Vec<u8> = b"dump.rdb".to_vec(), plain: text("dbfilename").checked(special::is_dbfilename).protected();
    /// The working directory. The shell puts the absolute path here once it is there.
    dir: Vec<u8> = b".".to_vec(), own: own("dir", special::DIR).protected().not_while_loading().tells(Effect::Directory);
    /// The server to follow.
    slaveof: Option<Master> = None, own: own("replicaof", special::REPLICAOF).alias("slaveof").fixed();
    /// The password that the master wants.
    masterauth: Option<Vec<u8>> = None, plain: optional("primaryauth").alias("masterauth").sensitive().tells(Effect::Replication);
    /// The user to log in as at the master.
    masteruser: Option<Vec<u8>> = None, plain: optional("primaryuser").alias("masteruser").sensitive().tells(Effect::Replication);
    /// A replica without its master answers with what it has.
    slave_serve_stale_data: bool = true, plain: word("replica-serve-stale-data").alias("slave-serve-stale-data");
    /// A replica refuses writes of clients.
    slave_read_only: bool = true, plain: word("replica-read-only").alias("slave-read-only");
    /// A replica does not evict: its master does.
    replica_ignore_maxmemory: bool = true, plain: word("replica-ignore-maxmemory").alias("slave-ignore-maxmemory");
    /// A replica that cannot write to its disk goes on.
    replica_ignore_disk_write_errors: bool = false, plain: word("replica-ignore-disk-write-errors");
    /// Sentinels are told of this replica.
    replica_announced: bool = true, plain: word("replica-announced");
    /// The address that the master is told.
    replica_announce_ip: Option<Vec<u8>> = None, plain: optional("replica-announce-ip").alias("slave-announce-ip");
    /// The port that the master is told; 0 for that which is listened to.
    replica_announce_port: u16 = 0, plain: int("replica-announce-port", 0, PORT).alias("slave-announce-port");
    /// What a replica does with a command of its master that fails.
    propagation_error_behavior: PropagationError = PropagationError::Ignore, plain: word("propagation-error-behavior");
    /// What a replica does about a command of its primary that it cannot apply.
    replica_unknown_command: UnknownCommand = UnknownCommand::Break, plain: word("replica-unknown-command").hidden();
    /// Seconds for which a replica keeps its data when its master comes back without them; 0 for not at all.
    repl_empty_master_grace: u32 = 60, plain: int("repl-empty-master-grace", 0, INT_MAX).hidden();
    /// Slow down writers rather than throw away the copy that a replica makes.
    repl_throttle: bool = true, plain: word("repl-throttle").hidden();
    /// Seconds between a master's pings to its replicas.
    repl_ping_slave_period: u32 = 10, plain: int("repl-ping-replica-period", 1, INT_MAX).alias("repl-ping-slave-period").tells(Effect::Replication);
    /// Seconds without a sign of life after which the other side of a replication link is given up.
    repl_timeout: u32 = 60, plain: int("repl-timeout", 1, INT_MAX).tells(Effect::Replication);
    /// Bytes of the stream that are kept for replicas that come back; at least 16 KB.
    repl_backlog_size: u64 = 10 << 20, plain: memory("repl-backlog-size", 1, i64::MAX).clamped(16 << 10, i64::MAX).tells(Effect::Backlog);
    /// Seconds without a replica after which the backlog is dropped; 0 for never.
    repl_backlog_ttl: u64 = 3600, plain: int("repl-backlog-ttl", 0, i64::MAX).tells(Effect::Replication);
    /// Let the system gather small packets to replicas.
    repl_disable_tcp_nodelay: bool = false, plain: word("repl-disable-tcp-nodelay").tells(Effect::Replication);
    /// Send a full copy straight to the sockets.
    repl_diskless_sync: bool = true, plain: word("repl-diskless-sync").tells(Effect::Replication);
    /// A full copy has a connection of its own, and the stream behind it is sent meanwhile: where both sides want it, and
    /// `repl-diskless-sync`.
    dual_channel_replication: bool = false, plain: word("dual-channel-replication-enabled").tells(Effect::Replication);
    /// Seconds to wait for more replicas before such a copy starts.
    repl_diskless_sync_delay: u32 = 5, plain: int("repl-diskless-sync-delay", 0, INT_MAX).tells(Effect::Replication);
    /// Replicas at which it starts without waiting longer; 0 for no such number.
    repl_diskless_sync_max_replicas: u32 = 0, plain: int("repl-diskless-sync-max-replicas", 0, INT_MAX).tells(Effect::Replication);
    /// When a replica takes a copy into its memory, not by way of its disk; with `swapdb` it serves the old data until the new ones are loaded.
    repl_diskless_load: DisklessLoad = DisklessLoad::Disabled, plain: word("repl-diskless-load").not_while_loading();
    /// Where a replica takes a full copy from: its primary, or another replica that the primary names.
    repl_sync_source: SyncSource = SyncSource::Primary, plain: word("repl-sync-source").hidden();
    /// Replicas that are sent a full copy at the same time, at most; 0 for no such limit.
    repl_max_copies: u32 = 0, plain: int("repl-max-copies", 0, INT_MAX).hidden();
    /// What a sentinel goes by when it chooses a new master: lower is better, 0 is never.
    slave_priority: i32 = 100, plain: int("replica-priority", 0, INT_MAX).alias("slave-priority");
    /// Writes are refused with fewer good replicas than this; 0 for no such rule.
    min_slaves_to_write: u32 = 0, plain: int("min-replicas-to-write", 0, INT_MAX).alias("min-slaves-to-write").tells(Effect::MinSlaves);
    /// The seconds since its last acknowledgement that a good replica may have.
    min_slaves_max_lag: u32 = 10, plain: int("min-replicas-max-lag", 0, INT_MAX).alias("min-slaves-max-lag").tells(Effect::MinSlaves);
    /// Who must have a write before it is answered.
    write_acknowledge: WriteAcknowledge = WriteAcknowledge::None, plain: word("write-acknowledge").hidden();
    /// How many replicas this group has for that; 0 for those that the cluster knows, or as many as were seen.
    write_acknowledge_replicas: u32 = 0, plain: int("write-acknowledge-replicas", 0, INT_MAX).hidden();
    /// Keys that are loaded by a migration neither expire nor are evicted.
    import_mode: bool = false, plain: word("import-mode").tells(Effect::Replication);
    /// The password of the default user.
    requirepass: Option<Vec<u8>> = None, plain: optional("requirepass").sensitive().tells(Effect::Password);
    /// The file that users are kept in.
    aclfile: Vec<u8> = Vec::new(), plain: text("aclfile").fixed();
    /// How many refusals `ACL LOG` holds.
    acllog_max_len: u64 = 128, plain: int("acllog-max-len", 0, i64::MAX);
    /// Which channels a new user may use.
    acl_pubsub_default: PubsubDefault = PubsubDefault::ResetChannels, plain: word("acl-pubsub-default");
    /// The users that the file declares, each with its name and rules.
    users: Vec<Vec<Vec<u8>>> = Vec::new(), own: statement("user", special::USER);
    /// How many clients may be connected.
    maxclients: u32 = 10_000, plain: int("maxclients", 1, u32::MAX as i64).tells(Effect::MaxClients);
    /// Bytes that data may take; 0 for no limit.
    maxmemory: u64 = 0, plain: unsigned_memory("maxmemory").tells(Effect::Memory);
    /// Bytes that all clients' buffers may take together, or a percentage of `maxmemory`, which is negative; 0 for no limit.
    maxmemory_clients: i64 = 0, plain: percent("maxmemory-clients").tells(Effect::ClientMemory);
    /// What is evicted when `maxmemory` is reached.
    maxmemory_policy: MaxmemoryPolicy = MaxmemoryPolicy::NoEviction, plain: word("maxmemory-policy").tells(Effect::Memory);
    /// How many keys are looked at to find one to evict.
    maxmemory_samples: u32 = 5, plain: int("maxmemory-samples", 1, 64).tells(Effect::Memory);
    /// How long a command may wait while keys are evicted: 10 for half a millisecond, 100 for as long as it takes.
    maxmemory_eviction_tenacity: u32 = 10, plain: int("maxmemory-eviction-tenacity", 0, 100).tells(Effect::Memory);
    /// How fast the counter of uses saturates under an LFU policy.
    lfu_log_factor: u32 = 10, plain: int("lfu-log-factor", 0, INT_MAX).tells(Effect::Memory);
    /// Minutes after which that counter is halved.
    lfu_decay_time: u32 = 1, plain: int("lfu-decay-time", 0, INT_MAX).tells(Effect::Memory);
    /// How hard expired keys are looked for.
    active_expire_effort: u32 = 1, plain: int("active-expire-effort", 1, 10);
    /// The longest argument of a request.
    proto_max_bulk_len: u64 = 512 << 20, plain: memory("proto-max-bulk-len", 1 << 20, i64::MAX).tells(Effect::Connections);
    /// The longest request.
    client_query_buffer_limit: u64 = 1 << 30, plain: memory("client-query-buffer-limit", 1 << 20, i64::MAX).tells(Effect::Connections);
    /// Keys that are remembered for clients that track them.
    tracking_table_max_keys: u64 = 1_000_000, plain: int("tracking-table-max-keys", 0, i64::MAX).tells(Effect::Tracking);
    /// Keep an append-only file.
    appendonly: bool = false, plain: word("appendonly").not_while_loading().tells(Effect::AppendOnly);
    /// Parts of the append-only file that a rewrite has replaced stay where they are, for who copies them.
    aof_disable_auto_gc: bool = false, plain: word("aof-disable-auto-gc").hidden().tells(Effect::History);
    /// The name that its files begin with.
    appendfilename: Vec<u8> = b"appendonly.aof".to_vec(), plain: text("appendfilename").checked(special::is_appendfilename).fixed();
    /// The folder that they are in, in `dir`.
    appenddirname: Vec<u8> = b"appendonlydir".to_vec(), plain: text("appenddirname").checked(special::is_appenddirname).fixed();
    /// When it is synced to disk.
    appendfsync: AppendFsync = AppendFsync::Everysec, plain: word("appendfsync");
    /// Do not sync it while a child writes to the disk.
    no_appendfsync_on_rewrite: bool = false, plain: word("no-appendfsync-on-rewrite");
    /// Percent by which it may grow before it is rewritten; 0 for never.
    auto_aof_rewrite_percentage: u32 = 100, plain: int("auto-aof-rewrite-percentage", 0, INT_MAX);
    /// Bytes below which it is not rewritten.
    auto_aof_rewrite_min_size: u64 = 64 << 20, plain: memory("auto-aof-rewrite-min-size", 0, i64::MAX);
    /// Begin a rewritten file with a dump, which is loaded faster.
    aof_use_rdb_preamble: bool = true, plain: word("aof-use-rdb-preamble");
    /// Note the time in it.
    aof_timestamp_enabled: bool = false, plain: word("aof-timestamp-enabled");
    /// Sync a file in parts while it is being rewritten.
    aof_rewrite_incremental_fsync: bool = true, plain: word("aof-rewrite-incremental-fsync");
    /// Load an append-only file whose end is missing.
    aof_load_truncated: bool = true, plain: word("aof-load-truncated");
    /// Cut a damaged end of at most so many bytes off an append-only file.
    aof_load_corrupt_tail_max_size: u64 = 0, plain: int("aof-load-corrupt-tail-max-size", 0, i64::MAX).hidden();
    /// Milliseconds after which a script lets others in; 0 for never.
    lua_time_limit: i64 = 5000, plain: int("busy-reply-threshold", 0, i64::MAX).alias("lua-time-limit");
    /// Scripts get `getfenv` and `setfenv`, with which one can change what others find. When it changes, all scripts are forgotten.
    lua_enable_insecure_api: bool = false, plain: word("lua-enable-insecure-api").alias("lua-enable-deprecated-api").hidden().protected().tells(Effect::Scripts);
    /// Be a node of a cluster.
    cluster_enabled: bool = false, plain: word("cluster-enabled").fixed();
    /// The file with the node's view of the cluster.
    cluster_config_file: Vec<u8> = b"nodes.conf".to_vec(), plain: text("cluster-config-file").checked(special::is_cluster_file).fixed();
    /// What happens when that file cannot be written.
    cluster_config_save_behavior: SaveBehavior = SaveBehavior::Sync, plain: word("cluster-config-save-behavior").tells(Effect::Cluster);
    /// The port of the bus; 0 for 10000 above the server's.
    cluster_port: u16 = 0, plain: int("cluster-port", 0, PORT).fixed();
    /// Refuse queries while a slot has no owner.
    cluster_require_full_coverage: bool = true, plain: word("cluster-require-full-coverage").tells(Effect::Cluster);
    /// Answer reads of own slots while the cluster is down.
    cluster_allow_reads_when_down: bool = false, plain: word("cluster-allow-reads-when-down").tells(Effect::Cluster);
    /// Serve sharded channels while the cluster is down.
    cluster_allow_pubsubshard_when_down: bool = true, plain: word("cluster-allow-pubsubshard-when-down").tells(Effect::Cluster);
    /// Milliseconds without an answer after which a node counts as failing.
    cluster_node_timeout: u64 = 15_000, plain: int("cluster-node-timeout", 0, i64::MAX).tells(Effect::Cluster);
    /// Milliseconds after which a node that was not heard is pinged; 0 for half the node timeout.
    cluster_ping_interval: u64 = 0, plain: int("cluster-ping-interval", 0, i64::MAX).hidden().tells(Effect::Cluster);
    /// Milliseconds that a manual failover may take.
    cluster_manual_failover_timeout: u64 = 5000, plain: int("cluster-manual-failover-timeout", 1, INT_MAX).tells(Effect::Cluster);
    /// Seconds for which a node that was forgotten is not taken in again. Less than 0 is 0.
    cluster_blacklist_ttl: i64 = 60, plain: int("cluster-blacklist-ttl", i64::MIN, i64::MAX).tells(Effect::Cluster);
    /// How many working replicas a master keeps when one of them moves to a master without any.
    cluster_migration_barrier: u32 = 1, plain: int("cluster-migration-barrier", 0, INT_MAX).tells(Effect::Cluster);
    /// A replica may move to a master without any.
    cluster_allow_replica_migration: bool = true, plain: word("cluster-allow-replica-migration").tells(Effect::Cluster);
    /// How many node timeouts old a replica's data may be for it to become master; 0 for any age.
    cluster_slave_validity_factor: u32 = 10, plain: int("cluster-replica-validity-factor", 0, INT_MAX).alias("cluster-slave-validity-factor").tells(Effect::Cluster);
    /// A replica never takes over by itself.
    cluster_replica_no_failover: bool = false, plain: word("cluster-replica-no-failover").alias("cluster-slave-no-failover").tells(Effect::Cluster);
    /// Where there are one or two masters, replicas count as masters do when one fails and when its successor is elected.
    cluster_replicas_vote: bool = false, plain: word("cluster-replicas-vote").hidden().tells(Effect::Cluster);
    /// Bytes that may wait for one node of the bus; 0 for no limit.
    cluster_link_sendbuf_limit: u64 = 0, plain: memory("cluster-link-sendbuf-limit", 0, i64::MAX).tells(Effect::Cluster);
    /// Count what each slot is used for.
    cluster_slot_stats_enabled: bool = false, plain: word("cluster-slot-stats-enabled").tells(Effect::Cluster);
    /// How many migrations of whole slots are told of.
    cluster_slot_migration_log_max_len: u64 = 1000, plain: int("cluster-slot-migration-log-max-len", 0, i64::MAX);
    /// Bytes that may still have to be sent when writes to slots that move are held back; -1 for any number.
    slot_migration_max_failover_repl_bytes: i64 = 0, plain: signed_memory("slot-migration-max-failover-repl-bytes", -1, i64::MAX);
    /// The address that other nodes are told.
    cluster_announce_ip: Option<Vec<u8>> = None, plain: optional("cluster-announce-ip").checked(special::is_announced_ip).tells(Effect::Cluster);
    /// The IPv4 address that clients are told.
    cluster_announce_client_ipv4: Option<Vec<u8>> = None, plain: optional("cluster-announce-client-ipv4").checked(special::is_ipv4).tells(Effect::Cluster);
    /// The IPv6 address that clients are told.
    cluster_announce_client_ipv6: Option<Vec<u8>> = None, plain: optional("cluster-announce-client-ipv6").checked(special::is_ipv6).tells(Effect::Cluster);
    /// The host name that clients are told.
    cluster_announce_hostname: Option<Vec<u8>> = None, plain: optional("cluster-announce-hostname").checked(special::is_hostname).tells(Effect::Cluster);
    /// A name for people, which stands in logs.
    cluster_announce_human_nodename: Option<Vec<u8>> = None, plain: optional("cluster-announce-human-nodename").checked(special::is_nodename).tells(Effect::Cluster);
    /// The port that other nodes are told; 0 for that which is listened to.
    cluster_announce_port: u16 = 0, plain: int("cluster-announce-port", 0, PORT).tells(Effect::Cluster);
    /// The same for TLS.
    cluster_announce_tls_port: u16 = 0, plain: int("cluster-announce-tls-port", 0, PORT).tells(Effect::Cluster);
    /// The same for the bus.
    cluster_announce_bus_port: u16 = 0, plain: int("cluster-announce-bus-port", 0, PORT).tells(Effect::Cluster);
    /// The port that clients are told.
    cluster_announce_client_port: u16 = 0, plain: int("cluster-announce-client-port", 0, PORT).tells(Effect::Cluster);
    /// The same for TLS.
    cluster_announce_client_tls_port: u16 = 0, plain: int("cluster-announce-client-tls-port", 0, PORT).tells(Effect::Cluster);
    /// Addresses of the bus where members of the cluster can be found when none is where it was.
    cluster_seeds: Vec<SocketAddr> = Vec::new(), own: own("cluster-seeds", special::CLUSTER_SEEDS).tells(Effect::Cluster);
    /// What clients are redirected to.
    cluster_preferred_endpoint_type: EndpointType = EndpointType::Ip, plain: word("cluster-preferred-endpoint-type").tells(Effect::Cluster);
    /// Where the server stands, for clients that prefer one near by.
    availability_zone: Vec<u8> = Vec::new(), plain: text("availability-zone").tells(Effect::Cluster);
    /// Microseconds from which on a command is put into the slow log; -1 for never.
    slowlog_log_slower_than: i64 = 10_000, plain: int("commandlog-execution-slower-than", -1, i64::MAX).alias("slowlog-log-slower-than").tells(Effect::Observation);
    /// How many commands the slow log holds.
    slowlog_max_len: u64 = 128, plain: int("commandlog-slow-execution-max-len", 0, i64::MAX).alias("slowlog-max-len").tells(Effect::Observation);
    /// Bytes of a request from which on it is put into the log of large requests; -1 for never.
    commandlog_request_larger_than: i64 = 1 << 20, plain: int("commandlog-request-larger-than", -1, i64::MAX).tells(Effect::Observation);
    /// How many requests that log holds.
    commandlog_large_request_max_len: u64 = 128, plain: int("commandlog-large-request-max-len", 0, i64::MAX).tells(Effect::Observation);
    /// Bytes of a reply from which on its request is put into the log of large replies; -1 for never.
    commandlog_reply_larger_than: i64 = 1 << 20, plain: int("commandlog-reply-larger-than", -1, i64::MAX).tells(Effect::Observation);
    /// How many requests that log holds.
    commandlog_large_reply_max_len: u64 = 128, plain: int("commandlog-large-reply-max-len", 0, i64::MAX).tells(Effect::Observation);
    /// Milliseconds from which on an event is put into the latency history; 0 for never.
    latency_monitor_threshold: u64 = 0, plain: int("latency-monitor-threshold", 0, i64::MAX).tells(Effect::Observation);
    /// Count how long each command takes.
    latency_tracking: bool = true, plain: word("latency-tracking").tells(Effect::Observation);
    /// The percentiles of it that INFO shows, in millionths of a percent.
    latency_tracking_info_percentiles: Vec<u64> = vec![50_000_000, 99_000_000, 99_900_000], own: own("latency-tracking-info-percentiles", special::PERCENTILES);
    /// The events that are published.
    notify_keyspace_events: KeyspaceEvents = KeyspaceEvents::NONE, own: own("notify-keyspace-events", special::NOTIFY_KEYSPACE_EVENTS);
    /// The most fields of a hash in compact form.
    hash_max_ziplist_entries: u64 = 512, plain: entries("hash-max-listpack-entries").alias("hash-max-ziplist-entries");
    /// The most bytes of a field or value of a hash in compact form.
    hash_max_ziplist_value: u64 = 64, plain: bytes("hash-max-listpack-value").alias("hash-max-ziplist-value");
    /// How long a list in compact form may be: elements, or from -1 to -5 for 4, 8, 16, 32, 64 KB.
    list_max_listpack_size: i32 = -2, plain: int("list-max-listpack-size", i32::MIN as i64, INT_MAX).alias("list-max-ziplist-size").tells(Effect::Encoding);
    /// The most elements of a list in compact form, as Redis had it up to 3.0.
    list_max_ziplist_entries: u64 = 512, plain: entries("list-max-ziplist-entries").hidden();
    /// The most bytes of an element of a list in compact form, as Redis had it up to 3.0.
    list_max_ziplist_value: u64 = 64, plain: bytes("list-max-ziplist-value").hidden();
    /// The most elements of a set of integers in compact form.
    set_max_intset_entries: u64 = 512, plain: entries("set-max-intset-entries");
    /// The most elements of another set in compact form.
    set_max_listpack_entries: u64 = 128, plain: entries("set-max-listpack-entries");
    /// The most bytes of an element of such a set.
    set_max_listpack_value: u64 = 64, plain: entries("set-max-listpack-value");
    /// The most elements of a sorted set in compact form.
    zset_max_ziplist_entries: u64 = 128, plain: entries("zset-max-listpack-entries").alias("zset-max-ziplist-entries");
    /// The most bytes of an element of a sorted set in compact form.
    zset_max_ziplist_value: u64 = 64, plain: bytes("zset-max-listpack-value").alias("zset-max-ziplist-value");
    /// The most bytes of a HyperLogLog in sparse form.
    hll_sparse_max_bytes: u64 = 3000, plain: bytes("hll-sparse-max-bytes");
    /// The most bytes of a node of a stream; 0 for no limit.
    stream_node_max_bytes: u64 = 4096, plain: bytes("stream-node-max-bytes");
    /// The most entries of a node of a stream; 0 for no limit.
    stream_node_max_entries: u64 = 100, plain: entries("stream-node-max-entries");
    /// Move keys to a grown table in idle time, too.
    activerehashing: bool = true, plain: word("activerehashing");
    /// When clients are cut off for not reading their replies: class, hard limit, soft limit, and the seconds that it may be exceeded.
    client_output_buffer_limit: OutputLimits = OutputLimits::DEFAULT, own: own("client-output-buffer-limit", special::CLIENT_OUTPUT_BUFFER_LIMIT);
    /// How many times a second periodic work is done; 1 to 500.
    hz: u32 = 10, plain: int("hz", 0, INT_MAX).clamped(1, 500).tells(Effect::Hz);
    /// Milliseconds of the watchdog's timer; 0 for no watchdog.
    watchdog_period: u64 = 0, plain: int("watchdog-period", 0, INT_MAX).hidden().tells(Effect::Watchdog);
    /// Seconds that a shutdown waits for replicas that are behind.
    shutdown_timeout: u32 = 10, plain: int("shutdown-timeout", 0, INT_MAX);
    /// How SIGINT ends the server.
    shutdown_on_sigint: ShutdownFlags = ShutdownFlags::default(), own: own("shutdown-on-sigint", special::SHUTDOWN_ON_SIGINT);
    /// How SIGTERM ends the server.
    shutdown_on_sigterm: ShutdownFlags = ShutdownFlags::default(), own: own("shutdown-on-sigterm", special::SHUTDOWN_ON_SIGTERM);
    /// Whether the score of the kernel's out-of-memory killer is set.
    oom_score_adj: OomScoreAdj = OomScoreAdj::No, plain: word("oom-score-adj").tells(Effect::OomScore);
    /// The scores of a master, a replica and a child.
    oom_score_adj_values: [i32; 3] = [0, 200, 800], own: own("oom-score-adj-values", special::OOM_SCORE_ADJ_VALUES).tells(Effect::OomScore);
    /// The port for TLS; 0 for none.
    tls_port: u16 = 0, plain: int("tls-port", 0, PORT).tells(Effect::Listen);
    /// The server's certificate.
    tls_cert_file: Option<Vec<u8>> = None, plain: tls("tls-cert-file");
    /// Its key.
    tls_key_file: Option<Vec<u8>> = None, plain: tls("tls-key-file");
    /// The password of that key.
    tls_key_file_pass: Option<Vec<u8>> = None, plain: tls("tls-key-file-pass").sensitive();
    /// The certificate shown to others; that of the server where there is none.
    tls_client_cert_file: Option<Vec<u8>> = None, plain: tls("tls-client-cert-file");
    /// Its key.
    tls_client_key_file: Option<Vec<u8>> = None, plain: tls("tls-client-key-file");
    /// The password of that key.
    tls_client_key_file_pass: Option<Vec<u8>> = None, plain: tls("tls-client-key-file-pass").sensitive();
    /// Parameters of the Diffie-Hellman exchange.
    tls_dh_params_file: Option<Vec<u8>> = None, plain: tls("tls-dh-params-file");
    /// The certificates that are trusted, in one file.
    tls_ca_cert_file: Option<Vec<u8>> = None, plain: tls("tls-ca-cert-file");
    /// The certificates that are trusted, in a folder.
    tls_ca_cert_dir: Option<Vec<u8>> = None, plain: tls("tls-ca-cert-dir");
    /// Whether clients need a certificate.
    tls_auth_clients: TlsAuthClients = TlsAuthClients::Yes, plain: word("tls-auth-clients").tells(Effect::Tls);
    /// Which field of a client's certificate names its user.
    tls_auth_clients_user: TlsAuthClientsUser = TlsAuthClientsUser::Off, plain: word("tls-auth-clients-user").tells(Effect::Tls);
    /// Follow the master over TLS.
    tls_replication: bool = false, plain: word("tls-replication").tells(Effect::Tls);
    /// Use TLS on the bus.
    tls_cluster: bool = false, plain: word("tls-cluster").tells(Effect::Tls);
    /// The versions of TLS that are spoken.
    tls_protocols: Option<Vec<u8>> = None, plain: tls("tls-protocols");
    /// The cipher suites up to TLS 1.2.
    tls_ciphers: Option<Vec<u8>> = None, plain: tls("tls-ciphers");
    /// The cipher suites of TLS 1.3.
    tls_ciphersuites: Option<Vec<u8>> = None, plain: tls("tls-ciphersuites");
    /// The server's order of cipher suites counts.
    tls_prefer_server_ciphers: bool = false, plain: word("tls-prefer-server-ciphers").tells(Effect::Tls);
    /// Sessions may be resumed.
    tls_session_caching: bool = true, plain: word("tls-session-caching").tells(Effect::Tls);
    /// How many sessions are remembered.
    tls_session_cache_size: u32 = 20_480, plain: int("tls-session-cache-size", 0, INT_MAX).tells(Effect::Tls);
    /// Seconds for which a session is remembered.
    tls_session_cache_timeout: u32 = 300, plain: int("tls-session-cache-timeout", 0, INT_MAX).tells(Effect::Tls);
    /// Seconds between looks at the files of certificates and keys; 0 for none.
    tls_auto_reload_interval: u32 = 0, plain: int("tls-auto-reload-interval", 0, INT_MAX).tells(Effect::Tls);
    /// Commands that got other names, in order. Whether a name exists is for the command table to say.
    rename_commands: Vec<RenamedCommand> = Vec::new(), own: statement("rename-command", special::RENAME_COMMAND);
}
