//! CONFIG GET, SET, RESETSTAT, REWRITE.

use commands::{Args, Done, Error, args};
use conf::{Effect, SERVER};

use crate::{ClientId, Engine};

/// CONFIG subcommand …
pub(crate) fn config(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let word = args[1];
    let arity = |wanted: usize| {
        if args.len() == wanted {
            return Ok(());
        }
        Err(Error::quoting(
            "ERR Wrong number of arguments for CONFIG ",
            word,
            "",
        ))
    };
    if args::is(word, "GET") {
        arity(3)?;
        get(engine, id, args[2]);
    } else if args::is(word, "SET") {
        arity(4)?;
        set(engine, args[2], args[3])?;
        engine.sessions.clients[id].out.ok();
    } else if args::is(word, "RESETSTAT") {
        arity(2)?;
        let lookups = engine.shard.keyspace.clock().lookups();
        engine.meter.stats.reset(lookups);
        engine.sessions.clients[id].out.ok();
    } else if args::is(word, "REWRITE") {
        arity(2)?;
        rewrite(engine)?;
        engine.sessions.clients[id].out.ok();
    } else {
        return Err(Error::text(
            "ERR CONFIG subcommand must be one of GET, SET, RESETSTAT, REWRITE",
        ));
    }
    Ok(())
}

fn get(engine: &mut Engine, id: ClientId, pattern: &[u8]) {
    let Engine {
        config, sessions, ..
    } = engine;
    let out = &mut sessions.clients[id].out;
    let open = out.begin_array();
    let mut count = 0;
    for (name, value) in SERVER.get(config, pattern) {
        out.bulk(name);
        out.bulk(value);
        count += 2;
    }
    out.end_array(open, count);
}

fn set(engine: &mut Engine, name: &[u8], value: &[u8]) -> Done {
    let before = engine.config.clone();
    let effect = SERVER
        .set(&mut engine.config, name, value)
        .map_err(|error| Error::Quoting([b"ERR ", &*error.text()].concat().into()))?;
    if let Err(error) = engine.apply_config(effect) {
        engine.config = before;
        return Err(Error::owned(format!("ERR {error}")));
    }
    Ok(())
}

fn rewrite(engine: &mut Engine) -> Done {
    let Some(old) = engine.host.config_text() else {
        return Err(Error::text(
            "ERR The server is running without a config file",
        ));
    };
    let text = engine.config.rewrite(&old);
    if let Err(error) = engine.host.write_config(&text) {
        tracing::warn!("CONFIG REWRITE failed: {error}");
        return Err(Error::owned(format!("ERR Rewriting config file: {error}")));
    }
    tracing::warn!("CONFIG REWRITE executed with success.");
    Ok(())
}

impl Engine {
    /// Takes over what was derived from the configuration, after a parameter of this kind was changed.
    ///
    /// # Errors
    /// Why the new value cannot be used; the caller puts the old one back.
    pub(crate) fn apply_config(&mut self, effect: Effect) -> Result<(), String> {
        match effect {
            Effect::Encoding => self.shard.settings = crate::engine::settings(&self.config),
            Effect::MaxClients => {
                if let Err(most) = self.host.allow_clients(self.config.maxclients) {
                    return Err(format!(
                        "The operating system is not able to handle the specified number of clients, try with {most}"
                    ));
                }
            }
            Effect::Log => self.host.set_log_level(self.config.loglevel),
            Effect::Directory => {
                let path = self
                    .host
                    .change_dir(&self.config.dir)
                    .map_err(|error| format!("Changing directory: {error}"))?;
                self.config.dir = path;
            }
            Effect::Memory => {
                if self.config.maxmemory > 0 {
                    if u64::try_from(self.host.memory_used()).unwrap_or(u64::MAX)
                        > self.config.maxmemory
                    {
                        tracing::warn!(
                            "WARNING: the new maxmemory value set via CONFIG SET is smaller than the current memory usage. \
                             This will result in keys eviction and/or inability to accept new write commands depending on the maxmemory-policy."
                        );
                    }
                    // Where it cannot, the next writes are refused.
                    let _ = self.make_room();
                }
            }
            Effect::AppendOnly => self.apply_appendonly()?,
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
            Effect::Cluster | Effect::Replication => self.apply_cluster_config(),
            Effect::None
            | Effect::Hz
            | Effect::Connections
            | Effect::MinSlaves
            | Effect::Observation => {}
        }
        self.shard.settings = crate::engine::settings(&self.config);
        self.meter.noted_from_ns = crate::engine::noted_from_ns(&self.config);
        self.shard.effects.notify_mask =
            crate::engine::notify_mask(self.config.notify_keyspace_events);
        Ok(())
    }
}
