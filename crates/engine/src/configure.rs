//! CONFIG GET, SET, RESETSTAT, REWRITE.

use commands::{Args, Done, Error};
use conf::{Directive, Effect, Permission, Rights, SetError};

use crate::sessions::client::Client;
use crate::{ClientId, Engine};

/// CONFIG GET pattern …
pub(crate) fn get(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let found = engine.config.get(&args[2..]);
    let out = &mut engine.sessions.clients[id].out;
    out.map(found.len());
    for (name, value) in found.into_values() {
        out.bulk(name);
        out.bulk(value);
    }
    Ok(())
}

/// CONFIG SET (name value) …
pub(crate) fn set(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let (pairs, rest) = args[2..].as_chunks::<2>();
    if !rest.is_empty() {
        return Err(Error::Syntax);
    }
    let pairs: Vec<_> = pairs.iter().map(|[name, value]| (*name, *value)).collect();
    let rights = Rights {
        protected: is_permitted(
            engine.config.enable_protected_configs,
            &engine.sessions.clients[id],
        ),
        loading: engine.keeper.persistence.loading.is_some(),
    };
    let before = engine.config.clone();
    let changed = engine.config.set(&pairs, rights).map_err(refusal)?;
    engine.follow_config(&changed).map_err(|(name, reason)| {
        tracing::warn!(
            "Failed applying new configuration. Possibly related to new {name} setting. Restoring previous settings."
        );
        engine.config = before;
        // What could be set before can be set again.
        let _ = engine.follow_config(&changed);
        refusal(SetError::refused(name.as_bytes(), reason))
    })?;
    engine.sessions.clients[id].out.ok();
    Ok(())
}

/// CONFIG RESETSTAT
pub(crate) fn resetstat(engine: &mut Engine, id: ClientId, _args: Args<'_>) -> Done {
    let lookups = engine.shard.keyspace.clock().lookups();
    engine.meter.stats.reset(lookups);
    engine.meter.slots.reset();
    if let Some(node) = &mut engine.keeper.cluster {
        node.reset_stats();
    }
    engine.sessions.clients[id].out.ok();
    Ok(())
}

/// CONFIG REWRITE
pub(crate) fn rewrite(engine: &mut Engine, id: ClientId, _args: Args<'_>) -> Done {
    write_file(engine, false)?;
    engine.sessions.clients[id].out.ok();
    Ok(())
}

fn refusal(error: SetError) -> Error {
    match error {
        SetError::Loading => Error::text("LOADING Valkey is loading the dataset in memory"),
        error => Error::Quoting([b"ERR ", &*error.text()].concat().into()),
    }
}

/// Whether this client may do what the configuration guards.
pub(crate) fn is_permitted(permission: Permission, client: &Client) -> bool {
    match permission {
        Permission::No => false,
        Permission::Yes => true,
        Permission::Local => client.peer.is_local(),
    }
}

/// Writes the configuration file; with `all`, also what is at its default.
pub(crate) fn write_file(engine: &mut Engine, all: bool) -> Done {
    let Some(old) = engine.host.config_text() else {
        return Err(Error::text(
            "ERR The server is running without a config file",
        ));
    };
    let mut rewriter = conf::Rewriter::new(&old);
    if all {
        rewriter = rewriter.with_defaults();
    }
    let mut rewriter = engine.config.fill(rewriter);
    rewriter.forget("user");
    for line in engine.user_lines() {
        rewriter.line("user", line, true);
    }
    let text = rewriter.finish();
    if let Err(error) = engine.host.write_config(&text) {
        tracing::warn!("CONFIG REWRITE failed: {error}");
        return Err(Error::owned(format!("ERR Rewriting config file: {error}")));
    }
    tracing::warn!("CONFIG REWRITE executed with success.");
    Ok(())
}

impl Engine {
    /// Takes over the new values of these directives, each part of the server once.
    ///
    /// # Errors
    /// The directive that cannot be followed, and why.
    fn follow_config(
        &mut self,
        changed: &[&'static Directive],
    ) -> Result<(), (&'static str, String)> {
        let mut told = Vec::new();
        for directive in changed {
            if told.contains(&directive.effect()) {
                continue;
            }
            told.push(directive.effect());
            self.apply_config(directive.effect())
                .map_err(|reason| (directive.name(), reason))?;
        }
        Ok(())
    }

    /// Takes over what was derived from the configuration, after a parameter of this kind was changed.
    ///
    /// # Errors
    /// Why the new value cannot be used; the caller puts the old one back.
    #[expect(clippy::too_many_lines, reason = "one arm per effect")]
    pub(crate) fn apply_config(&mut self, effect: Effect) -> Result<(), String> {
        match effect {
            Effect::Encoding => self.shard.configure(&self.config),
            Effect::MaxClients => {
                if let Err(most) = self.host.allow_clients(self.config.maxclients) {
                    return Err(format!(
                        "The operating system is not able to handle the specified number of clients, try with {most}"
                    ));
                }
            }
            Effect::Log => self.host.set_log(&self.config),
            Effect::Directory => {
                let path = self.host.change_dir(&self.config.dir)?;
                self.config.dir = path;
            }
            Effect::Memory => {
                self.apply_usage();
                if self.config.maxmemory > 0 {
                    if u64::try_from(self.host.memory_used()).unwrap_or(u64::MAX)
                        > self.config.maxmemory
                    {
                        tracing::warn!(
                            "WARNING: the new maxmemory value set via CONFIG SET is smaller than the current memory usage. \
                             This will result in keys eviction and/or inability to accept new write commands depending on the maxmemory-policy."
                        );
                    }
                    // At the end of the turn: what a transaction has still to do comes first.
                    self.shard.evictions.due = true;
                }
            }
            Effect::AppendOnly => self.apply_appendonly()?,
            Effect::Scripts => self.forget_scripts(),
            Effect::History => self.remove_history(),
            Effect::Backlog => {
                let size = self.config.repl_backlog_size;
                if let Some(backlog) = &mut self.journal.replicas.backlog {
                    backlog.set_size(size);
                }
            }
            Effect::Watchdog => {
                // Less than two rounds of the timer would bark at a server that is well.
                let least = 2 * (1000 / u64::from(self.config.hz.max(1)));
                let period_ms = &mut self.config.watchdog_period;
                if *period_ms > 0 {
                    *period_ms = least.max(*period_ms);
                }
                self.host.watch(*period_ms, &self.meter.running);
            }
            Effect::Cluster | Effect::Replication => {
                self.apply_cluster_config();
                // An import may have ended that kept keys from eviction.
                self.shard.evictions.due = true;
            }
            Effect::Password => {
                let password = self.config.requirepass.as_deref();
                self.access.users.set_default_password(password);
                self.take_over_users(None);
            }
            Effect::ClientMemory => self.evict_clients(),
            Effect::Tracking => self.bound_tracking_table(),
            Effect::Title => self.host.set_title(&self.config),
            Effect::OomScore => {
                let slave = self.is_slave();
                self.host.set_oom_score(&self.config, slave)?;
            }
            Effect::Bind => {
                let bound = self.host.listen(&self.config);
                bound.map_err(|_| "Failed to bind to specified addresses.".to_owned())?;
                self.apply_cluster_config();
            }
            Effect::Listen => {
                self.host.listen(&self.config)?;
                self.apply_cluster_config();
            }
            Effect::Tls => {
                self.host.set_tls(&self.config)?;
                self.apply_cluster_config();
            }
            Effect::None
            | Effect::Hz
            | Effect::Connections
            | Effect::MinSlaves
            | Effect::Observation => {}
        }
        self.apply_expiry_rule();
        self.note_watching();
        self.shard.configure(&self.config);
        self.access
            .users
            .set_all_channels(crate::sessions::access::all_channels(&self.config));
        self.shard.dumper.version = crate::engine::rdb_version(&self.config);
        self.set_stream_level();
        self.meter.noted_from_ns = crate::engine::noted_from_ns(&self.config);
        self.meter.sizes_from = crate::observe::sizes_from(&self.config);
        self.shorten_command_logs();
        self.apply_notify();
        Ok(())
    }
}
