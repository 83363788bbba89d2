//! Directives of Redis and Valkey that have nothing to act on here. They are accepted, checked, shown by `CONFIG GET` and
//! kept by `CONFIG REWRITE`; a configuration that sets one to something else than its default is told so.

use crate::directive::{
    Directive, Fixed, INT_MAX, int, memory, optional, special as own, statement, text, word,
};
use crate::server::special;

use Fixed::{Int, Switch, Text};

const DEFRAG: &str = "There is no active defragmentation: values lie in the allocator's size classes and move when they grow.";
const LAZY: &str = "What is removed and large is always freed beside the serving of clients.";
const CPUS: &str =
    "Threads and children are placed by the system; use the service manager's CPU affinity.";
const RDMA: &str = "There is no transport over RDMA.";
const MPTCP: &str = "Sockets are plain TCP.";
const THREADS: &str =
    "Replies are written by one thread, which copies short ones and not long ones.";
const TESTS: &str = "A switch of Valkey's own tests.";
const RETIRED: &str = "Later releases of Redis or Valkey dropped it.";

pub(crate) static UNUSED: &[Directive] = &[
    word("activedefrag").unused(Switch(false), DEFRAG),
    int("active-defrag-cycle-max", 1, 99).unused(Int(25), DEFRAG),
    int("active-defrag-cycle-min", 1, 99).unused(Int(1), DEFRAG),
    int("active-defrag-cycle-us", 0, 100_000).unused(Int(500), DEFRAG),
    memory("active-defrag-ignore-bytes", 1, i64::MAX).unused(Int(100 << 20), DEFRAG),
    int("active-defrag-max-scan-fields", 1, i64::MAX).unused(Int(1000), DEFRAG),
    int("active-defrag-threshold-lower", 0, 1000).unused(Int(10), DEFRAG),
    int("active-defrag-threshold-upper", 0, 1000).unused(Int(100), DEFRAG),
    word("always-show-logo").fixed().unused(
        Switch(false),
        "The start banner goes where the log goes to standard output.",
    ),
    optional("aof-rewrite-cpulist")
        .alias("aof_rewrite_cpulist")
        .fixed()
        .unused(Text(""), CPUS),
    optional("bgsave-cpulist")
        .alias("bgsave_cpulist")
        .fixed()
        .unused(Text(""), CPUS),
    optional("bio-cpulist")
        .alias("bio_cpulist")
        .fixed()
        .unused(Text(""), CPUS),
    optional("server-cpulist")
        .alias("server_cpulist")
        .fixed()
        .unused(Text(""), CPUS),
    word("crash-memcheck-enabled").unused(Switch(true), "A crash report does not test memory."),
    word("disable-thp").fixed().unused(
        Switch(true),
        "The allocator asks for no huge pages, so there is nothing to switch off.",
    ),
    word("extended-redis-compatibility").unused(
        Switch(false),
        "The server always gives redis_version, and its own name as server_name.",
    ),
    text("ignore-warnings").unused(
        Text(""),
        "No warning of the start keeps the server from starting.",
    ),
    int("io-threads", 1, 256).unused(Int(1), "One thread serves all clients."),
    word("io-threads-always-active")
        .hidden()
        .unused(Switch(false), TESTS),
    int("min-io-threads-avoid-copy-reply", 0, INT_MAX)
        .hidden()
        .unused(Int(7), THREADS),
    int("min-string-size-avoid-copy-reply", 0, INT_MAX)
        .hidden()
        .unused(Int(16_384), THREADS),
    int("min-string-size-avoid-copy-reply-threaded", 0, INT_MAX)
        .hidden()
        .unused(Int(65_536), THREADS),
    int("prefetch-batch-max-size", 0, 128).unused(
        Int(16),
        "Keys of all requests that are ready are prefetched, whatever their number.",
    ),
    word("jemalloc-bg-thread").unused(Switch(true), "The allocator is set at build time."),
    word("lazyfree-lazy-user-del").unused(Switch(true), LAZY),
    word("lazyfree-lazy-user-flush").unused(Switch(true), LAZY),
    word("replica-lazy-flush")
        .alias("slave-lazy-flush")
        .unused(Switch(true), LAZY),
    int("list-compress-depth", 0, INT_MAX)
        .unused(Int(0), "Parts of lists are not compressed in memory."),
    text("locale-collate").unused(Text(""), "Text is ordered by its bytes."),
    int("max-new-connections-per-cycle", 1, 1000).unused(
        Int(10),
        "Connections are accepted between turns, as many as are waiting.",
    ),
    int("max-new-tls-connections-per-cycle", 1, 1000).unused(
        Int(1),
        "Connections are accepted between turns, as many as are waiting.",
    ),
    word("mptcp").fixed().unused(Switch(false), MPTCP),
    word("repl-mptcp").fixed().unused(Switch(false), MPTCP),
    own("rdma-bind", special::RDMA_BIND).unused(Text(""), RDMA),
    int("rdma-completion-vector", -1, 1024)
        .fixed()
        .unused(Int(-1), RDMA),
    int("rdma-port", 0, 65_535).unused(Int(0), RDMA),
    int("rdma-rx-size", 64 << 10, 16 << 20)
        .fixed()
        .unused(Int(1 << 20), RDMA),
    word("rdb-save-incremental-fsync").unused(
        Switch(true),
        "A dump is always written to the disk in parts.",
    ),
    int("socket-mark-id", 0, u32::MAX as i64)
        .fixed()
        .unused(Int(0), "Sockets are not marked for routing."),
    // What only Valkey's own tests set.
    word("use-exit-on-panic")
        .hidden()
        .unused(Switch(false), TESTS),
    word("enable-debug-assert")
        .hidden()
        .fixed()
        .unused(Switch(false), TESTS),
    text("debug-context").hidden().unused(Text(""), TESTS),
    int("cluster-message-gossip-perc", 1, 100)
        .hidden()
        .unused(Int(10), TESTS),
    int("loading-process-events-interval-bytes", 1024, INT_MAX)
        .hidden()
        .unused(Int(2 << 20), TESTS),
    // What files of other releases hold, and 9.1 does not show.
    word("dynamic-hz").file_only().unused(Switch(true), RETIRED),
    word("io-threads-do-reads")
        .file_only()
        .unused(Switch(false), RETIRED),
    int("events-per-io-thread", 0, INT_MAX)
        .file_only()
        .unused(Int(2), RETIRED),
    word("lua-replicate-commands")
        .file_only()
        .unused(Switch(true), RETIRED),
    text("sanitize-dump-payload")
        .file_only()
        .unused(Text("no"), RETIRED),
    int("cluster-compatibility-sample-ratio", 0, 100)
        .file_only()
        .unused(Int(0), "Redis 8 alone has it."),
    memory("replica-full-sync-buffer-limit", 0, i64::MAX)
        .file_only()
        .unused(Int(0), "Redis 8 alone has it."),
    statement("loadmodule", special::LOADMODULE).unused(
        Text(""),
        "There is no module interface; the line is refused.",
    ),
];
