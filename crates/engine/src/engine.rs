//! The whole state of one server, what its shell calls, and the periodic work.

use std::collections::VecDeque;
use std::sync::Arc;

use commands::EventClass;
use conf::{KeyspaceEvents, MaxmemoryPolicy, ServerConfig};
use resp::Reply;
use store::{Limits, Notes, Usage};

use crate::index::Index;
use crate::intake::Intake;
use crate::journal::Journal;
use crate::keeper::Keeper;
use crate::meter::Meter;
use crate::meter::running::Running;
use crate::now::Now;
use crate::scripting::state::Scripting;
use crate::sessions::Sessions;
use crate::sessions::access::Access;
use crate::sessions::client::Waiting;
use crate::shard::Shard;
use crate::shard::evictions::EvictionPools;
use crate::switches::Switches;
use crate::{Action, ClientId, Host, LinkId, Peer};

/// So many clients are let in by the admin port: files are open for them beyond `maxclients`.
const MOST_ADMINS: usize = 16;

/// One server: the hall. It takes a request, asks each room in turn, and hands the effects on.
#[derive(Debug)]
pub struct Engine {
    pub(crate) now: Now,
    pub(crate) host: Box<dyn Host>,
    pub(crate) config: ServerConfig,
    pub(crate) index: Index,
    /// No gate of the server's is closed: see `dispatch.rs`. False where that is not known.
    pub(crate) calm: bool,
    pub(crate) access: Access,
    pub(crate) sessions: Sessions,
    pub(crate) shard: Shard,
    pub(crate) journal: Journal,
    pub(crate) keeper: Keeper,
    pub(crate) scripting: Scripting,
    pub(crate) meter: Meter,
    pub(crate) intake: Intake,
    pub(crate) switches: Switches,
    pub(crate) actions: VecDeque<Action>,
}

impl Engine {
    /// The thresholds between compact and large encodings.
    #[must_use]
    pub fn limits(&self) -> Limits {
        self.shard.settings.limits.clone()
    }

    /// What runs, for other threads and for crash reports.
    #[must_use]
    pub fn running(&self) -> Arc<Running> {
        Arc::clone(&self.meter.running)
    }

    /// Forty characters that will not be found in a dump by chance.
    pub fn new_mark(&mut self) -> String {
        self.shard.rng.hex(40)
    }

    /// `notify-keyspace-events` is new.
    pub(crate) fn apply_notify(&mut self) {
        let mask = notify_mask(self.config.notify_keyspace_events);
        self.shard.effects.notify_mask = mask;
        self.shard.keyspace.clock().set_notes(Notes {
            missed: mask & EventClass::Missed as u16 != 0,
            new: mask & EventClass::New as u16 != 0,
        });
    }

    /// What the eviction policy looks at is new.
    pub(crate) fn apply_usage(&mut self) {
        self.shard.evictions = EvictionPools::default();
        self.shard.keyspace.clock().set_usage(usage(&self.config));
    }

    /// The configuration.
    #[must_use]
    pub fn config(&self) -> &ServerConfig {
        &self.config
    }

    /// `rename-command` at start; false where it cannot be done.
    pub fn rename_command(&mut self, old: &[u8], new: &[u8]) -> bool {
        self.index.rename(old, new)
    }

    /// Tells the time. To be called before every other call.
    pub fn set_now(&mut self, now: Now) {
        self.calm = false;
        self.set_now_for_requests(now);
    }

    /// The same, where nothing but a client's requests will run. What these have left as it was need not be looked at again.
    pub fn set_now_for_requests(&mut self, now: Now) {
        self.now = now;
        // Those of other clients may have run before in this turn.
        self.meter.turn_ns += self.meter.last_ns.saturating_sub(self.meter.turn_from_ns);
        self.meter.last_ns = self.host.mono_ns();
        self.meter.turn_from_ns = self.meter.last_ns;
        self.meter.clock_ns = self.meter.last_ns;
        self.shard.keyspace.clock().set_unix_ms(now.unix_ms());
    }

    /// Lets time go on within a turn: what comes after a command that took long is late.
    pub(crate) fn advance_clock(&mut self) {
        self.advance_clock_to(self.host.mono_ns());
    }

    /// The same, where the clock was just looked at.
    #[inline]
    pub(crate) fn advance_clock_to(&mut self, mono_ns: u64) {
        let ms = mono_ns.saturating_sub(self.meter.clock_ns) / 1_000_000;
        if ms > 0 {
            self.meter.clock_ns += ms * 1_000_000;
            self.now.mono_ms += ms;
            self.now.unix_us += ms * 1000;
            let unix_ms = self.now.unix_ms();
            self.shard.keyspace.clock().set_unix_ms(unix_ms);
        }
    }

    // ---- connections -------------------------------------------------------------------------------------------------

    /// A connection was accepted.
    ///
    /// # Errors
    /// The bytes to send before closing it, where `maxclients` is reached.
    pub fn accept(&mut self, peer: Peer) -> Result<ClientId, &'static [u8]> {
        let own = usize::from(self.scripting.client.is_some()) + self.sessions.admins;
        let most = usize::try_from(self.config.maxclients).unwrap_or(usize::MAX);
        if self.sessions.clients.len() - own >= most {
            self.meter.stats.rejected += 1;
            return Err(b"-ERR max number of clients reached\r\n");
        }
        self.let_in(peer)
    }

    /// A connection was accepted at the admin port: it is not counted in `maxclients`.
    ///
    /// # Errors
    /// The bytes to send before closing it, where there are [`MOST_ADMINS`].
    pub fn accept_admin(&mut self, peer: Peer) -> Result<ClientId, &'static [u8]> {
        if self.sessions.admins >= MOST_ADMINS {
            self.meter.stats.rejected += 1;
            return Err(b"-ERR max number of clients of the admin port reached\r\n");
        }
        let id = self.let_in(peer)?;
        self.sessions.clients[id].flags.admin = true;
        self.sessions.admins += 1;
        Ok(id)
    }

    fn let_in(&mut self, peer: Peer) -> Result<ClientId, &'static [u8]> {
        if self.config.protected_mode && !self.needs_password() && !peer.is_local() {
            self.meter.stats.rejected += 1;
            return Err(acl::PROTECTED.as_bytes());
        }
        self.meter.stats.connections += 1;
        let id = self.add_client(peer);
        self.set_default_user(id);
        self.identify(id);
        Ok(id)
    }

    /// A connection was closed before it became a client: there were too many.
    pub fn count_rejected(&mut self) {
        self.meter.stats.rejected += 1;
    }

    pub(crate) fn add_client(&mut self, peer: Peer) -> ClientId {
        self.sessions.clients.add(peer, self.now.mono_ms)
    }

    /// A connection is gone, or is to be forgotten.
    pub fn close(&mut self, id: ClientId) {
        if !self.sessions.clients.contains(id) {
            return;
        }
        match self.sessions.clients[id].waiting {
            Waiting::Keys(_) => self.unblock(id),
            Waiting::Replicas { .. } => self.journal.replicas.waiters.retain(|other| *other != id),
            _ => {}
        }
        self.journal.unsent.forget(id);
        self.forget_replica(id);
        if self.sessions.clients[id].flags.imports {
            self.forget_import(id);
        }
        if self.sessions.clients[id].flags.monitor {
            self.sessions.monitors.retain(|other| *other != id);
        }
        self.forget_watches(id);
        self.forget_tracking(id);
        self.forget_subscriptions(id);
        if self.sessions.clients[id].flags.admin {
            self.sessions.admins -= 1;
        }
        let counted = self.sessions.clients[id].buffers.counted;
        self.sessions.client_bytes = self.sessions.client_bytes.saturating_sub(counted);
        self.sessions.clients.remove(id);
    }

    /// What is to be sent to a client. The shell sends it and advances it.
    pub fn output(&mut self, id: ClientId) -> Option<&mut Reply> {
        self.sessions
            .clients
            .get_mut(id)
            .map(|client| &mut client.out)
    }

    /// All of a client's output was sent: its memory goes to the next one.
    pub fn output_done(&mut self, id: ClientId) {
        if let Some(client) = self.sessions.clients.get_mut(id) {
            client.buffers.stuck = false;
            client.out.leave_memory(&mut self.intake.spare);
        }
    }

    /// Whether anything is to be sent to a client: replies, or a replica's share of the stream.
    #[must_use]
    pub fn has_output(&self, id: ClientId) -> bool {
        let client = self.sessions.clients.get(id);
        client.is_some_and(|client| !client.out.is_empty()) || !self.stream(id).is_empty()
    }

    /// Whether the shell should go on reading from a client.
    #[must_use]
    pub fn wants_input(&self, id: ClientId) -> bool {
        self.sessions
            .clients
            .get(id)
            .is_some_and(|client| !client.flags.closing)
    }

    /// Clients other than the one that was served to whom something is to be sent, since the last call.
    pub fn take_woken(&mut self) -> Vec<ClientId> {
        self.journal.replicas.woken = false;
        let woken = std::mem::take(&mut self.sessions.woken);
        for &id in &woken {
            self.limit_output(id);
            self.count_client(id);
        }
        woken
    }

    /// The next thing to do.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The end of a turn: clients whose wait ended run what they sent meanwhile. How long the turn took is noted.
    pub fn end_turn(&mut self) {
        self.run_resumed();
        self.ask_for_acknowledged();
        if std::mem::take(&mut self.shard.evictions.due) {
            // Where it cannot, the next writes are refused.
            let _ = self.make_room();
        }
        if self.shard.keyspace.clock().take_garbage() {
            self.free_garbage();
        }
        // The end of the last command is near enough; where there was none, the clock is asked.
        if self.meter.last_ns == self.meter.turn_from_ns {
            self.meter.last_ns = self.host.mono_ns();
        }
        let ns = self.meter.last_ns.saturating_sub(self.meter.turn_from_ns);
        let ns = std::mem::take(&mut self.meter.turn_ns).saturating_add(ns);
        let commands = self.meter.stats.commands;
        let ran = commands.saturating_sub(self.meter.turn_from_commands);
        self.meter.stats.end_turn(ns, ran);
        self.meter.turn_from_commands = commands;
        self.meter.turn_from_ns = self.meter.last_ns;
    }

    fn run_resumed(&mut self) {
        while let Some(id) = self.sessions.resumed.pop_front() {
            if self.is_stream(id) {
                self.run_stream(|engine| engine.run_pending(id));
            } else if self.sessions.clients.contains(id) {
                self.run_pending(id);
                self.wake(id);
            }
        }
        if self.keeper.cluster.is_some() {
            self.settle_migrations();
            self.perform_bus();
            self.save_nodes();
        }
    }

    /// The periodic work, `hz` times a second.
    pub fn tick(&mut self) {
        if self.switches.no_ticks {
            return self.run_resumed();
        }
        let start_ns = self.host.mono_ns();
        self.meter.stats.sample(self.now.mono_ms);
        self.time_out_blocked();
        self.tick_pause();
        self.tick_throttle();
        self.tick_failover();
        self.tick_shutdown();
        self.serve_waiters();
        self.release_acknowledged();
        self.expire_cycle();
        self.tick_persistence();
        self.start_delayed_sync();
        self.tick_memory();
        self.evict_clients();
        self.send_invalidations();
        if self.now.mono_ms.saturating_sub(self.meter.last_second_ms) >= 1000
            || self.meter.last_second_ms == 0
        {
            self.meter.last_second_ms = self.now.mono_ms.max(1);
            self.tick_slave();
            self.tick_replicas();
            self.give_up_unacknowledged();
            self.tick_sessions();
        }
        if self.now.mono_ms.saturating_sub(self.meter.told_ms) >= 5000 || self.meter.told_ms == 0 {
            self.meter.told_ms = self.now.mono_ms.max(1);
            self.tell_log();
        }
        self.free_garbage();
        self.run_resumed();
        self.meter.stats.tick_ns += self.host.mono_ns().saturating_sub(start_ns);
    }

    /// Counts the memory in use: often where a limit depends on it, so that estimates have not far to go.
    fn tick_memory(&mut self) {
        let every_ms = if self.config.maxmemory > 0 { 100 } else { 1000 };
        if self.now.mono_ms.saturating_sub(self.meter.counted_ms) >= every_ms {
            self.meter.counted_ms = self.now.mono_ms;
            let used = self.host.memory_used();
            self.meter.stats.memory_peak = self.meter.stats.memory_peak.max(used);
            if !self.is_slave() {
                // Where commands left eviction before it was done. Where it cannot, writes are refused.
                let _ = self.make_room();
            }
        }
    }

    /// What there is, for who looks at the log.
    fn tell_log(&self) {
        for index in 0..self.shard.keyspace.databases() {
            let db = self.shard.keyspace.db_ref(index);
            if !db.is_empty() {
                // Redis's table has the next power of two.
                tracing::debug!(
                    "DB {index}: {} keys ({} volatile) in {} slots HT.",
                    db.len(),
                    db.expires_len(),
                    db.len().next_power_of_two().max(4)
                );
            }
        }
        let (mut clients, mut slaves) = (0, 0);
        for (_, client) in self.sessions.clients.iter() {
            if client.flags.replica {
                slaves += 1;
            } else if !client.flags.internal {
                clients += 1;
            }
        }
        tracing::debug!(
            "{clients} clients connected ({slaves} slaves), {} bytes in use",
            self.host.memory_used()
        );
    }

    // ---- for the other files of this crate --------------------------------------------------------------------------------

    /// A client's output, for somebody else than the client itself: it is woken to send it.
    pub(crate) fn output_of(&mut self, id: ClientId) -> &mut Reply {
        self.sessions.woken.push(id);
        // Not before what is held back.
        match self.journal.unsent.last(id) {
            Some(last) => last,
            None => &mut self.sessions.clients[id].out,
        }
    }

    /// Where messages to a client go: behind the reply that it is being given, where it could not tell them apart.
    pub(crate) fn messages_of(&mut self, id: ClientId) -> &mut Reply {
        let serving = self.sessions.serving.as_ref();
        if serving.is_none_or(|(serving, _)| *serving != id) {
            return self.output_of(id);
        }
        match &mut self.sessions.serving {
            Some((_, behind)) => behind,
            None => &mut self.sessions.clients[id].out,
        }
    }

    pub(crate) fn wake(&mut self, id: ClientId) {
        self.sessions.woken.push(id);
    }

    /// A client may run again; it does so at the end of the turn.
    pub(crate) fn resume(&mut self, id: ClientId) {
        self.sessions.resumed.push_back(id);
    }

    /// The name of a connection to be opened.
    pub(crate) fn new_link(&mut self) -> LinkId {
        self.keeper.links += 1;
        LinkId(self.keeper.links)
    }

    pub(crate) fn act(&mut self, action: Action) {
        self.actions.push_back(action);
    }

    pub(crate) fn close_after_reply(&mut self, id: ClientId) {
        if let Some(client) = self.sessions.clients.get_mut(id) {
            client.flags.closing = true;
            self.act(Action::CloseClient {
                id,
                after_reply: true,
            });
        }
    }

    pub(crate) fn close_now(&mut self, id: ClientId) {
        if let Some(client) = self.sessions.clients.get_mut(id) {
            if client.flags.master {
                return self.drop_master_link();
            }
            if client.flags.exports {
                return self.kill_export(id);
            }
            client.flags.closing = true;
            client.out.clear();
            self.journal.unsent.forget(id);
            self.act(Action::CloseClient {
                id,
                after_reply: false,
            });
        }
    }

    pub(crate) fn free_garbage(&mut self) {
        for db in 0..self.shard.keyspace.databases() {
            let garbage = self.shard.keyspace.db(db).take_garbage();
            if !garbage.is_empty() {
                self.meter.stats.removed.freed_later += garbage.len() as u64;
                self.host.free_later(garbage);
            }
        }
    }
}

/// The version in which dumps and payloads are written, where one is configured.
pub(crate) fn rdb_version(config: &ServerConfig) -> Option<rdb::Version> {
    config.rdb_version.0.and_then(rdb::Version::written)
}

/// The duration from which on a command may be worth a note, nanoseconds.
pub(crate) fn noted_from_ns(config: &ServerConfig) -> u64 {
    const LATENCY_FROM_NS: u64 = 1_000_000;
    // A negative threshold turns the slow log off.
    u64::try_from(config.slowlog_log_slower_than).map_or(LATENCY_FROM_NS, |threshold_us| {
        threshold_us.saturating_mul(1000).min(LATENCY_FROM_NS)
    })
}

/// What the heads of keys say about their use: what the policy looks at.
fn usage(config: &ServerConfig) -> Usage {
    match config.maxmemory_policy {
        MaxmemoryPolicy::VolatileLfu | MaxmemoryPolicy::AllkeysLfu => Usage::Frequency {
            log_factor: config.lfu_log_factor,
            decay_minutes: config.lfu_decay_time,
        },
        _ => Usage::Recency,
    }
}

/// The event classes that somebody could hear of, as [`commands::EventClass`] bits. Without `K` or `E` nobody can.
fn notify_mask(events: KeyspaceEvents) -> u16 {
    if !events.intersects(KeyspaceEvents::KEYSPACE | KeyspaceEvents::KEYEVENT) {
        return 0;
    }
    (2..14)
        .map(|bit| 1_u16 << bit)
        .filter(|bit| events.contains(KeyspaceEvents::from_bits(*bit)))
        .sum()
}
