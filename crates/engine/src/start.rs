//! Making a server: all commands are put into its index, and its rooms are furnished from the configuration.

use std::collections::VecDeque;
use std::sync::{Arc, LazyLock};

use acl::Catalog;
use conf::ServerConfig;
use store::Keyspace;

use crate::engine::{noted_from_ns, rdb_version};
use crate::index::Index;
use crate::intake::Intake;
use crate::journal::Journal;
use crate::keeper::Keeper;
use crate::meter::Meter;
use crate::observe::sizes_from;
use crate::rows;
use crate::scripting::state::Scripting;
use crate::sessions::Sessions;
use crate::sessions::access::Access;
use crate::shard::Shard;
use crate::switches::Switches;
use crate::{Engine, Host, Now};

/// All commands, each at the place that its number says.
fn catalog() -> Arc<Catalog> {
    static CATALOG: LazyLock<Arc<Catalog>> =
        LazyLock::new(|| Arc::new(Catalog::new(rows::facts())));
    Arc::clone(&CATALOG)
}

impl Engine {
    /// An empty server. All randomness comes from `seed`.
    #[must_use]
    pub fn new(now: Now, config: ServerConfig, seed: u64, host: Box<dyn Host>) -> Self {
        let databases = if config.cluster_enabled {
            config.cluster_databases
        } else {
            config.databases
        };
        let databases = usize::try_from(databases).unwrap_or(usize::MAX);
        let keyspace = Keyspace::new(databases, config.cluster_enabled);
        let index = Index::new(rows::commands());
        let names = index.facts().map(|facts| facts.name).collect();
        let access = Access::new(&config, catalog());
        let mut engine = Self {
            now,
            host,
            config,
            index,
            calm: false,
            access,
            sessions: Sessions::new(),
            shard: Shard::new(keyspace, seed),
            journal: Journal::default(),
            keeper: Keeper::default(),
            scripting: Scripting::default(),
            meter: Meter::new(now.unix_ms(), names),
            intake: Intake::default(),
            switches: Switches::default(),
            actions: VecDeque::new(),
        };
        engine.set_now(now);
        engine.meter.started_bytes = engine.host.memory_used();
        engine.keeper.run_id = engine.shard.rng.hex(40);
        engine.rename_stream();
        engine.journal.replicas.last_ping_ms = now.mono_ms;
        engine.note_saved();
        engine.shard.configure(&engine.config);
        engine.shard.dumper.version = rdb_version(&engine.config);
        let newer = commands::older::newer_commands(engine.index.facts());
        engine.journal.replicas.older.newer.know(newer);
        engine.set_stream_level();
        engine.apply_expiry_rule();
        if let Err(error) = engine.host.set_oom_score(&engine.config, false) {
            tracing::warn!("{error}");
        }
        engine.meter.noted_from_ns = noted_from_ns(&engine.config);
        engine.meter.sizes_from = sizes_from(&engine.config);
        engine.apply_notify();
        engine.apply_usage();
        engine
    }
}
