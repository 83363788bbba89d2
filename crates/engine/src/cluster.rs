//! This server as a node of a cluster: the gate that redirects, CLUSTER, ASKING, READONLY, READWRITE, and what the node's core
//! wants done. The rules of the cluster are in the crate `cluster-bus`.

use cluster_bus::{
    Caller, Event, Facts, Input, LinkId, LogLevel, Node, NodesConf, Output, Packet, Query, Reply,
    Route, Slot, codec,
};
use commands::table;
use commands::{Args, Done, Error, EventClass, Flags, Traits};

use crate::client::Waiting;
use crate::index::Entry;
use crate::{Action, ClientId, Engine};

const DISABLED: Error = Error::text("ERR This instance has cluster support disabled");

/// Up to so many keys of a slot are told in the order of their bytes.
const SORTED_SLOT_KEYS: usize = 1000;

/// CLUSTER's questions about keys, answered from the one database of cluster mode.
struct Keys<'a>(&'a store::Db);

impl cluster_bus::node::Keyspace for Keys<'_> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn count_keys_in_slot(&self, slot: Slot) -> u64 {
        self.0.slot_len(slot.number()) as u64
    }

    fn keys_in_slot(&self, slot: Slot, max: usize) -> Vec<Vec<u8>> {
        // In the order of 3.0, if that costs little.
        let in_order = self.0.slot_len(slot.number()) <= SORTED_SLOT_KEYS;
        let most = if in_order { SORTED_SLOT_KEYS } else { max };
        let mut keys = Vec::new();
        self.0
            .slot_keys(slot.number(), most, |key| keys.push(key.to_vec()));
        if in_order {
            keys.sort_unstable();
            keys.truncate(max);
        }
        keys
    }
}

impl Engine {
    /// Becomes a node: with what nodes.conf said, if there was one.
    pub fn join_cluster(&mut self, saved: Option<NodesConf>, seed: u64) {
        let now = self.bus_now();
        let node = Node::new(now, self.bus_config(), saved, seed);
        self.keeper.cluster = Some(Box::new(node));
        self.perform_bus();
    }

    fn bus_now(&self) -> cluster_bus::Now {
        cluster_bus::Now {
            mono_ms: self.now.mono_ms,
            unix_ms: self.now.unix_ms(),
        }
    }

    fn bus_config(&self) -> cluster_bus::Config {
        cluster_bus::Config {
            node_timeout_ms: self.config.cluster_node_timeout,
            slave_validity_factor: u64::from(self.config.cluster_slave_validity_factor),
            migration_barrier: u64::from(self.config.cluster_migration_barrier),
            require_full_coverage: self.config.cluster_require_full_coverage,
            repl_ping_period_ms: u64::from(self.config.repl_ping_slave_period) * 1000,
            port: self.config.port,
            log_level: match self.config.loglevel {
                conf::LogLevel::Debug => LogLevel::Debug,
                conf::LogLevel::Verbose => LogLevel::Verbose,
                conf::LogLevel::Notice => LogLevel::Notice,
                conf::LogLevel::Warning | conf::LogLevel::Nothing => LogLevel::Warning,
            },
            ..cluster_bus::Config::default()
        }
    }

    /// Takes over what CONFIG SET changed.
    pub(crate) fn apply_cluster_config(&mut self) {
        let config = self.bus_config();
        let now = self.bus_now();
        if let Some(node) = &mut self.keeper.cluster {
            node.set_config(now, config);
        }
        self.perform_bus();
    }

    fn facts(&self) -> Facts {
        let Some(slave) = &self.keeper.slave else {
            return Facts {
                repl_offset: self.journal.replicas.offset(),
                ..Facts::default()
            };
        };
        let data_as_of_ms = if self.is_linked() {
            Some(slave.link.active_ms())
        } else {
            slave.down_mono_ms
        };
        Facts {
            repl_offset: self.applied_offset().unwrap_or(0),
            data_as_of_ms,
            loading: self.keeper.persistence.loading.is_some(),
        }
    }

    /// The cluster's periodic work; ten times a second.
    pub fn tick_cluster(&mut self) {
        let (now, facts) = (self.bus_now(), self.facts());
        let Some(node) = &mut self.keeper.cluster else {
            return;
        };
        node.handle_timeout(now, facts);
        self.perform_bus();
        self.redirect_blocked();
    }

    /// Something happened on the bus.
    pub fn bus_input(&mut self, input: Input) {
        let (now, facts) = (self.bus_now(), self.facts());
        let Some(node) = &mut self.keeper.cluster else {
            return;
        };
        node.handle_input(now, facts, input);
        self.perform_bus();
    }

    /// A packet came.
    pub fn bus_received(&mut self, link: LinkId, packet: Packet) {
        self.bus_input(Input::Received { link, packet });
    }

    /// So many bytes of a link have been written to its socket.
    pub fn bus_sent(&mut self, link: LinkId, bytes: u64) {
        self.bus_input(Input::Sent { link, bytes });
    }

    /// Keys were loaded: the slots that they are in are ours, or are marked.
    pub fn check_loaded_slots(&mut self) {
        let now = self.bus_now();
        let Some(node) = &mut self.keeper.cluster else {
            return;
        };
        let db = self.shard.keyspace.db_ref(0);
        let populated: Vec<Slot> = Slot::all()
            .filter(|slot| db.slot_len(slot.number()) > 0)
            .collect();
        node.verify_slots_with_keys(now, populated);
        self.perform_bus();
    }

    pub(crate) fn publish_to_cluster(&mut self, channel: &[u8], message: &[u8]) {
        let now = self.bus_now();
        if let Some(node) = &mut self.keeper.cluster {
            node.publish(now, channel, message, false);
            self.perform_bus();
        }
    }

    /// Does what the core wants done. What goes to other nodes may have to wait for nodes.conf; what this server does by itself
    /// need not, for nobody else has heard of it.
    pub(crate) fn perform_bus(&mut self) {
        while let Some(output) = self
            .keeper
            .cluster
            .as_mut()
            .and_then(|node| node.poll_output())
        {
            match output {
                Output::Persist { text, promise } => self.keeper.nodes_file.replace(text, promise),
                Output::Event(event) => self.bus_event(event),
                output => {
                    if let Some(output) = self.keeper.nodes_file.pass(output) {
                        self.perform_bus_output(output);
                    }
                }
            }
        }
    }

    pub(crate) fn perform_bus_output(&mut self, output: Output) {
        match output {
            Output::Connect { link, addr } => self.act(Action::BusConnect { link, addr }),
            Output::Close { link } => self.act(Action::BusClose { link }),
            Output::Send { link, packet } => {
                let bytes = codec::encode(&packet);
                self.act(Action::BusSend { link, bytes });
            }
            Output::Persist { .. } | Output::Event(_) => {}
        }
    }

    fn bus_event(&mut self, event: Event) {
        match event {
            Event::ReplicateFrom { ip, port } => self.follow(&ip.to_string(), port),
            Event::StopReplication => self.follow_nobody(),
            Event::FlushAll => {
                self.leave_stream();
                self.break_watches_on_flush(None);
                self.empty_keyspace();
                self.forget_libraries();
            }
            // The core logs it; commands ask the core.
            Event::StateChanged(_) => {}
            Event::DeleteKeysInSlot(slot) => self.delete_slot(slot),
            // Nobody can subscribe to channels of a shard yet.
            Event::Publish(published) if published.sharded => {}
            Event::Publish(published) => {
                self.publish_local(&published.channel, &published.message);
            }
            Event::PauseClients { for_ms } => self.pause_clients(for_ms, true),
            Event::ResumeClients => self.resume_clients(),
            Event::Log { level, text } => log(level, &text),
        }
    }

    fn delete_slot(&mut self, slot: Slot) {
        let mut keys: Vec<Box<[u8]>> = Vec::new();
        self.shard
            .keyspace
            .db_ref(0)
            .slot_keys(slot.number(), usize::MAX, |key| keys.push(key.into()));
        for key in keys {
            if self.shard.keyspace.db(0).remove(&key) {
                self.shard
                    .effects
                    .changed(0, &key, EventClass::Generic, "del");
                self.propagate(0, &[b"DEL", &key]);
            }
        }
        self.settle();
    }

    // ---- the gate --------------------------------------------------------------------------------------------------------

    /// Where a request has to be served: an error that redirects, if not here.
    pub(crate) fn gate_cluster(
        &mut self,
        id: ClientId,
        entry: Entry,
        args: Args<'_>,
    ) -> Result<(), Error> {
        let Some(node) = &self.keeper.cluster else {
            return Ok(());
        };
        let client = &self.sessions.clients[id];
        let internal = client.flags.internal && self.scripting.client != Some(id);
        if client.flags.master || internal {
            return Ok(());
        }
        let db = self.shard.keyspace.db_ref(0);
        let exists = |key: &[u8]| db.peek(key).is_some();
        let route = |entry: Entry, words: Args<'_>| {
            let command = entry.command;
            let query = Query {
                asking: client.flags.asking || command.flags.has(Flags::ASKING),
                client_is_readonly: client.flags.readonly,
                writes: command.flags.has(Flags::WRITE),
                caller: Caller::default(),
                is_pubsub: command.flags.has(Flags::PUBSUB),
                is_migrate: command.traits.has(Traits::MOVES_KEYS),
            };
            if entry.keyless {
                return Route::Here;
            }
            if let Some(&key) = entry.single_key.and_then(|at| words.get(at)) {
                return node.route(std::iter::once(key), query, exists);
            }
            let mut keys = Vec::new();
            table::find_keys(command, words, &mut keys);
            if keys.is_empty() {
                return Route::Here;
            }
            node.route(keys.iter().map(|key| words[key.at]), query, exists)
        };
        if !entry.command.traits.has(Traits::RUNS_QUEUE) {
            return match route(entry, args) {
                Route::Here => Ok(()),
                elsewhere => Err(Error::owned(elsewhere.to_string())),
            };
        }
        // Slots may have moved since the commands were queued. A transaction that will not run has its own answer.
        let multi = client.multi.as_deref();
        let queue = multi.filter(|multi| !multi.broken && !client.watch_broken);
        let mut queue = queue.into_iter().flat_map(|multi| &multi.queue);
        let elsewhere = queue.find_map(|queued| {
            let words: Vec<&[u8]> = queued.args.iter().map(AsRef::as_ref).collect();
            Some(route(queued.entry, &words)).filter(|route| *route != Route::Here)
        });
        let Some(elsewhere) = elsewhere else {
            return Ok(());
        };
        self.drop_transaction(id);
        Err(Error::owned(elsewhere.to_string()))
    }

    /// Tells clients that wait for lists whose slot went elsewhere.
    fn redirect_blocked(&mut self) {
        let Some(node) = &self.keeper.cluster else {
            return;
        };
        let mut redirected = Vec::new();
        for (id, client) in self.sessions.clients.iter() {
            if let Waiting::Keys(on) = &client.waiting
                && let Some(route) =
                    node.route_blocked(Caller::default(), on.keys.iter().map(AsRef::as_ref))
            {
                redirected.push((id, route));
            }
        }
        for (id, route) in redirected {
            self.unblock_with_error(id, &route.to_string());
        }
    }
}

fn log(level: LogLevel, text: &str) {
    match level {
        LogLevel::Debug => tracing::trace!("{text}"),
        LogLevel::Verbose => tracing::debug!("{text}"),
        LogLevel::Notice => tracing::info!("{text}"),
        LogLevel::Warning => tracing::warn!("{text}"),
    }
}

/// CLUSTER subcommand …
pub(crate) fn cluster(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let now = engine.bus_now();
    let facts = engine.facts();
    let caller = Caller {
        is_master: engine.sessions.clients[id].flags.master,
        ..Caller::default()
    };
    let Some(node) = &mut engine.keeper.cluster else {
        return Err(DISABLED);
    };
    let keys = Keys(engine.shard.keyspace.db_ref(0));
    let result = node.command(now, facts, caller, &args[1..], &keys);
    // The answer waits until what was changed is in nodes.conf. Many changes of one turn are one write.
    if node.has_changed() {
        engine.keeper.nodes_file.wait(id);
    }
    // Changes of slots come many at a time; what they want done is done at the end, too.
    if args
        .get(1)
        .is_none_or(|word| !commands::args::is(word, "SETSLOT"))
    {
        engine.perform_bus();
    }
    let reply = result.map_err(|error| Error::owned(format!("ERR {error}")))?;
    write(&mut engine.sessions.clients[id].out, reply);
    Ok(())
}

/// A reply of the cluster in the protocol of the client.
fn write(out: &mut resp::Reply, reply: Reply) {
    match reply {
        Reply::Ok => out.ok(),
        Reply::Status(text) => out.status(text),
        Reply::Bulk(text) => out.bulk(text),
        Reply::Verbatim(text) => out.verbatim("txt", text),
        Reply::Integer(value) => out.int(value),
        Reply::Null => out.nil(),
        Reply::Array(items) => {
            out.array(items.len());
            items.into_iter().for_each(|item| write(out, item));
        }
        Reply::Map(fields) => {
            out.map(fields.len());
            for (name, value) in fields {
                out.bulk(name);
                write(out, value);
            }
        }
    }
}

/// ASKING
pub(crate) fn asking(engine: &mut Engine, id: ClientId, _args: Args<'_>) -> Done {
    flag(engine, id, |client| client.flags.asking = true)
}

/// READONLY
pub(crate) fn readonly(engine: &mut Engine, id: ClientId, _args: Args<'_>) -> Done {
    flag(engine, id, |client| client.flags.readonly = true)
}

/// READWRITE, which needs no cluster in 3.0
pub(crate) fn readwrite(engine: &mut Engine, id: ClientId, _args: Args<'_>) -> Done {
    let client = &mut engine.sessions.clients[id];
    client.flags.readonly = false;
    client.out.ok();
    Ok(())
}

fn flag(engine: &mut Engine, id: ClientId, set: impl FnOnce(&mut crate::Client)) -> Done {
    if engine.keeper.cluster.is_none() {
        return Err(DISABLED);
    }
    let client = &mut engine.sessions.clients[id];
    set(client);
    client.out.ok();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_of_the_cluster_are_maps_in_resp3_and_arrays_in_resp2() {
        let reply = Reply::Map(vec![
            ("slots", Reply::Array(vec![Reply::Integer(0), Reply::Null])),
            ("id", Reply::Verbatim("x".to_owned())),
        ]);
        let written = |protocol| {
            let mut out = resp::Reply::default();
            out.set_protocol(protocol);
            write(&mut out, reply.clone());
            String::from_utf8(out.into_vec()).unwrap()
        };
        assert_eq!(
            written(resp::Protocol::Resp2),
            "*4\r\n$5\r\nslots\r\n*2\r\n:0\r\n$-1\r\n$2\r\nid\r\n$1\r\nx\r\n"
        );
        assert_eq!(
            written(resp::Protocol::Resp3),
            "%2\r\n$5\r\nslots\r\n*2\r\n:0\r\n_\r\n$2\r\nid\r\n=5\r\ntxt:x\r\n"
        );
    }
}
