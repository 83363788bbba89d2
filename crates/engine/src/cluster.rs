//! This server as a node of a cluster: the gate that redirects, CLUSTER, ASKING, READONLY, READWRITE, and what the node's core
//! wants done. The rules of the cluster are in the crate `cluster-bus`.

use cluster_bus::{
    Caller, Dropped, Event, Facts, Input, Keyspace as _, LinkId, LogLevel, Node, NodesConf, Output,
    Packet, Query, Reply, Route, Slot, SlotUsage, codec,
};
use commands::table;
use commands::{Args, Done, Error, EventClass, Flags, Traits};

use crate::access::database_of;
use crate::entry::Entry;
use crate::meter::slot_usages::SlotUsages;
use crate::sessions::client::Waiting;
use crate::{Action, Client, ClientId, Engine, bus_config};

pub(crate) const DISABLED: Error = Error::text("ERR This instance has cluster support disabled");

/// Why the keys of a slot go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deletion {
    /// They are elsewhere now: nobody hears of it but replicas and files, a DEL for each.
    Moved,
    /// They are gone: who asked for it tells replicas and files in one word.
    Flushed,
}

/// Up to so many keys of a slot are told in the order of their bytes.
const SORTED_SLOT_KEYS: usize = 1000;

/// CLUSTER's questions about keys.
struct Keys<'a> {
    keyspace: &'a store::Keyspace,
    usages: &'a SlotUsages,
    /// The client's database.
    selected: usize,
}

impl Keys<'_> {
    fn databases(&self) -> impl Iterator<Item = &store::Db> {
        let keyspace = self.keyspace;
        (0..keyspace.databases()).map(move |index| keyspace.db_ref(index))
    }
}

impl cluster_bus::node::Keyspace for Keys<'_> {
    fn is_empty(&self) -> bool {
        self.databases().all(store::Db::is_empty)
    }

    fn count_keys_in_slot(&self, slot: Slot) -> u64 {
        let counts = self.databases().map(|db| db.slot_len(slot.number()) as u64);
        counts.sum()
    }

    fn count_selected(&self, slot: Slot) -> u64 {
        let db = self.keyspace.db_ref(self.selected);
        db.slot_len(slot.number()) as u64
    }

    fn keys_in_slot(&self, slot: Slot, max: usize) -> Vec<Vec<u8>> {
        // In the order of 3.0, if that costs little.
        let db = self.keyspace.db_ref(self.selected);
        let in_order = db.slot_len(slot.number()) <= SORTED_SLOT_KEYS;
        let most = if in_order { SORTED_SLOT_KEYS } else { max };
        let mut keys = Vec::new();
        db.slot_keys(slot.number(), most, |key| keys.push(key.to_vec()));
        if in_order {
            keys.sort_unstable();
            keys.truncate(max);
        }
        keys
    }

    fn usage_of_slot(&self, slot: Slot) -> Option<SlotUsage> {
        self.usages.of(slot)
    }
}

impl Engine {
    /// Becomes a node: with what nodes.conf said, if there was one.
    pub fn join_cluster(&mut self, saved: Option<NodesConf>, seed: u64) {
        let now = self.bus_now();
        let node = Node::new(now, bus_config::of(&self.config), saved, seed);
        self.keeper.cluster = Some(Box::new(node));
        self.meter
            .slots
            .enable(self.config.cluster_slot_stats_enabled);
        self.perform_bus();
    }

    pub(crate) fn bus_now(&self) -> cluster_bus::Now {
        cluster_bus::Now {
            mono_ms: self.now.mono_ms,
            unix_ms: self.now.unix_ms(),
        }
    }

    /// Takes over what CONFIG SET changed.
    pub(crate) fn apply_cluster_config(&mut self) {
        let config = bus_config::of(&self.config);
        let now = self.bus_now();
        let Some(node) = &mut self.keeper.cluster else {
            return;
        };
        node.set_config(now, config);
        self.meter
            .slots
            .enable(self.config.cluster_slot_stats_enabled);
        self.perform_bus();
    }

    fn facts(&self) -> Facts {
        let migrations = &self.keeper.migrations;
        let facts = Facts {
            importing_slots: migrations.is_importing(),
            exporting_slots: migrations.is_exporting(),
            ..Facts::default()
        };
        let Some(slave) = &self.keeper.slave else {
            return Facts {
                repl_offset: self.journal.replicas.offset(),
                ..facts
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
            loading: self.keeper.persistence.loading.is_some()
                && self.keeper.persistence.beside.is_none(),
            ..facts
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
        self.keeper.nodes_file.write_news(self.now.mono_ms);
        self.tick_migrations();
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
        if self
            .keeper
            .cluster
            .as_ref()
            .is_some_and(|node| !node.is_replica())
        {
            self.fail_imports("Process restarted");
            self.settle_migrations();
        }
        let Some(node) = &mut self.keeper.cluster else {
            return;
        };
        let keys = Keys {
            keyspace: &self.shard.keyspace,
            usages: &self.meter.slots,
            selected: 0,
        };
        // What an import has left behind is on its way out.
        let populated: Vec<Slot> = Slot::all()
            .filter(|slot| keys.count_keys_in_slot(*slot) > 0)
            .filter(|slot| !self.keeper.migrations.imports(*slot))
            .collect();
        node.verify_slots_with_keys(now, populated);
        self.perform_bus();
    }

    /// The dump that was copied from our primary told of slots that move key by key.
    pub(crate) fn adopt_open_slots(&mut self, told: &str) {
        let now = self.bus_now();
        if let Some(node) = &mut self.keeper.cluster {
            node.adopt_open_slots(now, told);
            self.perform_bus();
        }
    }

    /// Puts something that a client wants to know or have done to the core.
    fn with_core<T>(
        &mut self,
        id: ClientId,
        ask: impl FnOnce(&mut cluster_bus::Node, Caller, &Keys<'_>) -> T,
    ) -> Result<T, Error> {
        let client = &self.sessions.clients[id];
        let node = self.keeper.cluster.as_mut().ok_or(DISABLED)?;
        let keys = Keys {
            keyspace: &self.shard.keyspace,
            usages: &self.meter.slots,
            selected: client.db,
        };
        Ok(ask(node, caller_of(client), &keys))
    }

    /// CLUSTER, without what the core wants done because of it.
    fn ask_core(&mut self, id: ClientId, args: Args<'_>) -> Result<Reply, Error> {
        let (now, facts) = (self.bus_now(), self.facts());
        let (result, changed) = self.with_core(id, |node, caller, keys| {
            let result = node.command(now, facts, caller, &args[1..], keys);
            (result, node.has_changed())
        })?;
        // The answer waits until what was changed is in nodes.conf. Many changes of one turn are one write.
        if changed {
            self.keeper.nodes_file.wait(id);
        }
        result.map_err(|error| Error::owned(format!("ERR {error}")))
    }

    /// CLUSTER SETSLOT where the replicas have to have it first: how long they may take, milliseconds.
    fn check_setslot(&mut self, id: ClientId, args: Args<'_>) -> Result<u64, Error> {
        let facts = self.facts();
        let timeout_ms = self.with_core(id, |node, caller, keys| {
            node.check_setslot(facts, caller, &args[1..], keys)
        })?;
        timeout_ms.map_err(|error| Error::owned(format!("ERR {error}")))
    }

    /// Does what CLUSTER SETSLOT asks for. Changes of slots come many at a time; what the core wants done is done at the end of the turn.
    pub(crate) fn do_setslot(&mut self, id: ClientId, args: Args<'_>) -> Done {
        let reply = self.ask_core(id, args)?;
        write(&mut self.sessions.clients[id].out, reply);
        Ok(())
    }

    pub(crate) fn publish_to_cluster(&mut self, channel: &[u8], message: &[u8], sharded: bool) {
        let now = self.bus_now();
        if let Some(node) = &mut self.keeper.cluster {
            node.publish(now, channel, message, sharded);
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
                Output::Persist { urgency } => self.keeper.nodes_file.change(urgency),
                Output::Event(event) => self.bus_event(event),
                output => {
                    if let Some(output) = self.keeper.nodes_file.pass(output) {
                        self.perform_bus_output(output);
                    }
                }
            }
        }
        let changes = self.keeper.cluster.as_ref().map(|node| node.map_changes());
        if let Some(changes) = changes.filter(|changes| *changes != self.keeper.map_changes) {
            self.keeper.map_changes = changes;
            self.check_migrations();
            self.leave_moved_channels();
            self.forget_moved_usage();
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
            Event::LeaveShard => self.leave_stream(),
            Event::StopReplication => self.follow_nobody(),
            Event::FlushAll => {
                self.leave_stream();
                self.break_watches_on_flush(None);
                self.empty_keyspace();
                self.forget_libraries();
                self.propagate(0, &[b"FLUSHALL"]);
            }
            // The core logs it; commands ask the core.
            Event::StateChanged(_) => {}
            Event::DeleteKeysInSlot(slot) => {
                // The new owner is not to hear of it.
                self.check_migrations();
                self.delete_some_of_slot(slot, u64::MAX, Deletion::Moved);
            }
            Event::FlushSlot(slot) if self.journal.replicas.older.level.is_some() => {
                self.delete_some_of_slot(slot, u64::MAX, Deletion::Moved);
            }
            Event::FlushSlot(slot) => {
                self.delete_some_of_slot(slot, u64::MAX, Deletion::Flushed);
                let slot = slot.to_string();
                self.propagate(0, &[b"CLUSTER", b"FLUSHSLOT", slot.as_bytes()]);
            }
            Event::Publish(published) => {
                let (channel, message) = (&published.channel, &published.message);
                if published.sharded {
                    self.publish_sharded(channel, message);
                } else {
                    self.publish_local(channel, message);
                }
            }
            Event::PauseClients { for_ms } => self.pause_clients(for_ms, true),
            Event::ResumeClients => self.resume_clients(),
            Event::Log { level, text } => log(level, &text),
        }
    }

    /// Deletes up to `most` keys of a slot; how many there were.
    pub(crate) fn delete_some_of_slot(&mut self, slot: Slot, most: u64, why: Deletion) -> u64 {
        let mut deleted = 0;
        for db in 0..self.shard.keyspace.databases() {
            let mut keys: Vec<Box<[u8]>> = Vec::new();
            let left = usize::try_from(most - deleted).unwrap_or(usize::MAX);
            self.shard
                .keyspace
                .db_ref(db)
                .slot_keys(slot.number(), left, |key| keys.push(key.into()));
            for key in keys {
                deleted += 1;
                if !self.shard.keyspace.db(db).remove(&key) {
                    continue;
                }
                let effects = &mut self.shard.effects;
                if why == Deletion::Flushed {
                    effects.changed(db, &key, EventClass::Generic, "del");
                } else {
                    effects.dirty += 1;
                    effects.touch(db, &key);
                    self.propagate(db, &[b"DEL", &key]);
                }
            }
        }
        if deleted > 0 {
            self.settle();
        }
        deleted
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
        if client.flags.master || client.flags.imports || internal {
            return Ok(());
        }
        let runs_queue = entry.command.traits.has(Traits::RUNS_QUEUE);
        let mut query = query_of(client, entry);
        // A script writes if it says so.
        query.writes = self.flags_of(entry, args).has(Flags::WRITE);
        let mut keys = Vec::new();
        let databases = self.shard.keyspace.databases();
        // From which key on which database is meant.
        let mut dbs = vec![(
            0,
            if runs_queue {
                client.db
            } else {
                database_of(client)
            },
        )];
        if !runs_queue {
            match entry.single_key.and_then(|at| args.get(at)) {
                Some(key) => keys.push(*key),
                None => push_keys(entry, args, |at| args[at], &mut keys),
            }
        } else if let Some(multi) = client.transaction.multi.as_deref()
            // A transaction that will not run has its own answer.
            && !multi.broken
            && !client.transaction.broken
        {
            // Slots may have moved since the commands were queued.
            for queued in &multi.queue {
                let words: Vec<&[u8]> = queued.args.iter().map(AsRef::as_ref).collect();
                let entry = self.index.entry(queued.number);
                if entry.command.traits.has(Traits::SELECTS_DB) {
                    dbs.extend(self.selected_by(&words).map(|db| (keys.len(), db)));
                }
                push_keys(entry, &words, |at| &queued.args[at], &mut keys);
                let one = query_of(client, entry);
                let db = dbs.last().map_or(client.db, |(_, db)| *db);
                query.leaves_db |= leaves_db(entry, &words, db, databases);
                query.writes |= self.flags_of(entry, &words).has(Flags::WRITE);
                query.is_pubsub |= one.is_pubsub;
            }
        }
        if keys.is_empty() {
            return Ok(());
        }
        query.leaves_db |= leaves_db(entry, args, dbs[0].1, databases);
        let now_ms = self.now.unix_ms();
        let mut number = 0;
        // What has expired is not there, whoever deletes it.
        let exists = |key: &[u8]| {
            let (_, db) = dbs[dbs.partition_point(|(from, _)| *from <= number) - 1];
            let db = self.shard.keyspace.db_ref(db);
            number += 1;
            db.peek(key).is_some() && db.expire_ms(key).is_none_or(|at_ms| at_ms >= now_ms)
        };
        let route = node.route(keys.iter().copied(), query, exists);
        if route == Route::Here {
            return Ok(());
        }
        if runs_queue {
            self.drop_transaction(id);
        }
        Err(Error::owned(route.to_string()))
    }

    /// Tells clients that wait for keys whose slot went elsewhere.
    pub(crate) fn redirect_blocked(&mut self) {
        let Some(node) = &self.keeper.cluster else {
            return;
        };
        let mut redirected = Vec::new();
        for (id, client) in self.sessions.clients.iter() {
            if let Waiting::Keys(on) = &client.waiting
                && let Some(route) = node.route_blocked(
                    query_of(client, self.index.entry(on.request.number)),
                    on.keys.iter().map(AsRef::as_ref),
                )
            {
                redirected.push((id, route));
            }
        }
        for (id, route) in redirected {
            self.unblock_with_error(id, &route.to_string());
        }
    }
}

/// What the core wants to know of a client.
fn caller_of(client: &Client) -> Caller {
    Caller {
        tls: client.peer.tls,
        ipv6: client.peer.addr.starts_with('['),
        is_master: client.flags.master,
    }
}

/// What of a client and its command decides about the way.
fn query_of(client: &Client, entry: Entry) -> Query {
    let command = entry.command;
    Query {
        asking: client.flags.asking || command.flags.has(Flags::ASKING),
        client_is_readonly: client.flags.readonly,
        writes: command.flags.has(Flags::WRITE),
        caller: caller_of(client),
        is_pubsub: command.flags.has(Flags::PUBSUB),
        is_migrate: command.traits.has(Traits::MOVES_KEYS),
        is_queued: client.transaction.multi.is_some() && !command.traits.has(Traits::RUNS_QUEUE),
        leaves_db: false,
    }
}

/// Whether a command with keys reaches into another database: MOVE, and COPY with one.
fn leaves_db(entry: Entry, words: Args<'_>, db: usize, databases: usize) -> bool {
    let named = entry.command.databases.positions(words, databases);
    let other = |at: usize| commands::args::int(words[at]).ok() != i64::try_from(db).ok();
    !entry.keyless && named.into_iter().any(other)
}

/// The keys of a request.
pub(crate) fn push_keys<'a>(
    entry: Entry,
    words: Args<'_>,
    word: impl Fn(usize) -> &'a [u8],
    keys: &mut Vec<&'a [u8]>,
) {
    if entry.keyless {
        return;
    }
    let mut found = Vec::new();
    table::find_keys(entry.command, words, &mut found);
    keys.extend(found.iter().map(|key| word(key.at)));
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
    let result = engine.ask_core(id, args);
    engine.perform_bus();
    write(&mut engine.sessions.clients[id].out, result?);
    Ok(())
}

/// CLUSTER SETSLOT …: the replicas do it first, so that nothing of it is lost with their primary.
pub(crate) fn setslot(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let by_primary = engine.sessions.clients[id].flags.master;
    if by_primary || !engine.replicas_follow_slots() {
        return engine.do_setslot(id, args);
    }
    let online = engine.online_replicas();
    if online == 0 || engine.must_not_wait() {
        engine.do_setslot(id, args)?;
        engine.propagate_to_replicas(0, args);
        return Ok(());
    }
    let timeout_ms = engine.check_setslot(id, args)?;
    engine.propagate_to_replicas(0, args);
    engine.run_once_followed(id, args, online, timeout_ms);
    Ok(())
}

/// CLUSTER KEYSLOT key: no cluster is needed to tell.
pub(crate) fn keyslot(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let slot = hash_slot::key_slot(args[2]);
    engine.sessions.clients[id].out.int(slot.into());
    Ok(())
}

/// DEBUG: faults of the bus.
pub(crate) fn break_bus(engine: &mut Engine, args: Args<'_>) -> Done {
    let now = engine.bus_now();
    let Some(node) = &mut engine.keeper.cluster else {
        return Err(DISABLED);
    };
    let verb = args[1].to_ascii_lowercase();
    let number = |word: &[u8]| resp::number::scan_integer(word).value;
    match (verb.as_slice(), &args[2..]) {
        (b"clusterlink", [kill, which, id]) if commands::args::is(kill, "KILL") => {
            let (to, from) = match which.to_ascii_lowercase().as_slice() {
                b"to" => (true, false),
                b"from" => (false, true),
                b"all" => (true, true),
                _ => return Err(Error::Syntax),
            };
            let id = std::str::from_utf8(id).ok().and_then(|id| id.parse().ok());
            let id = id.ok_or(Error::text("ERR Unknown node"))?;
            node.kill_links(now, id, to, from);
        }
        (b"drop-cluster-packet-filter", [kind]) => {
            node.faults_mut().dropped = match number(kind) {
                -2 => Dropped::All,
                kind => u16::try_from(kind).map_or(Dropped::None, Dropped::Kind),
            };
        }
        (b"close-cluster-link-on-packet-drop", [on]) => {
            node.faults_mut().closes_link = number(on) != 0;
        }
        (b"disable-cluster-random-ping", [on]) => {
            node.faults_mut().no_random_pings = number(on) != 0;
        }
        (b"disable-cluster-reconnection", [on]) => {
            node.faults_mut().never_dials = number(on) != 0;
        }
        _ => return Err(Error::Syntax),
    }
    engine.perform_bus();
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

/// CLUSTERSCAN cursor [MATCH pattern] [COUNT count] [TYPE type] [SLOT slot]
pub(crate) fn clusterscan(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let node = engine.keeper.cluster.as_ref().ok_or(DISABLED)?;
    let last_of_run = |slot: u16| {
        let owner = |slot: u16| Slot::new(slot).and_then(|slot| node.owner(slot));
        let mine = owner(slot);
        let run = (slot..store::SLOT_COUNT).take_while(|next| owner(*next) == mine);
        run.last().unwrap_or(slot)
    };
    let client = &mut engine.sessions.clients[id];
    let keyspace = &mut engine.shard.keyspace;
    let mark = store::order_mark();
    commands::cluster_scan(
        keyspace,
        client.db,
        &mut client.out,
        args,
        &mark,
        last_of_run,
    )
}

/// ASKING
pub(crate) fn asking(engine: &mut Engine, id: ClientId, _args: Args<'_>) -> Done {
    flag(engine, id, |client| client.flags.asking = true)
}

/// READONLY, which means something where keys may be redirected
pub(crate) fn readonly(engine: &mut Engine, id: ClientId, _args: Args<'_>) -> Done {
    let client = &mut engine.sessions.clients[id];
    client.flags.readonly = true;
    client.out.ok();
    Ok(())
}

/// READWRITE
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
