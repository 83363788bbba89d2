//! Being a replica: REPLICAOF, the link to the primary, the dump, and the stream that is applied as it comes. ROLE.
//!
//! What was applied of the primary's stream goes on to our own replicas, and into what is kept for them, byte for byte and under the
//! primary's name: so any two servers that have once followed the same stream can follow one another from where they are.

use bytes::BytesMut;
use commands::{Args, Done, Error, Traits, args};
use conf::ClientClass;
use replication::{Config, Guard, Input, Link, Output, Place, State};
use resp::{Batch, Parser};
use store::ExpiryMode;

use crate::keeper::slave::{Head, Slave, Source};
use crate::sessions::client::{Peer, Waiting};
use crate::{Action, ClientId, Engine, LinkId};

mod beside;
mod channel;
mod copy;
mod refusal;
mod source;

/// So many fields that expired are told in one command.
const FIELDS_AT_ONCE: usize = 1000;

impl Engine {
    /// Whether this server has a master.
    #[must_use]
    pub fn is_slave(&self) -> bool {
        self.keeper.slave.is_some()
    }

    /// Whether the link to the master is up.
    pub(crate) fn is_linked(&self) -> bool {
        self.keeper
            .slave
            .as_ref()
            .is_some_and(|slave| slave.link.state() == State::Connected)
    }

    /// The bytes of the primary's stream that our data hold; none while they are not those of any place in it.
    pub(crate) fn applied_offset(&self) -> Option<u64> {
        let slave = self.keeper.slave.as_ref()?;
        let follows = match slave.link.state() {
            State::Connected => true,
            // Until a dump is loaded nobody knows what becomes of the data; where it is likely to be refused they stay.
            State::Sync => slave.resumable && self.refuses_primary_ms().is_some(),
            _ => slave.resumable,
        };
        follows.then(|| self.journal.replicas.offset())
    }

    /// The bytes of the stream that have come.
    pub(crate) fn received_offset(&self) -> u64 {
        let held = self
            .keeper
            .slave
            .as_ref()
            .map_or(0, |slave| slave.held.len());
        self.applied_offset()
            .map_or(1, |applied| applied + held as u64)
    }

    /// Our data are not those of the stream any more: nobody may go on with it here, nor we elsewhere.
    pub(crate) fn leave_stream(&mut self) {
        self.disconnect_replicas();
        self.free_backlog();
        if let Some(slave) = &mut self.keeper.slave {
            slave.resumable = false;
        }
    }

    /// Where the stream could be continued.
    fn resume_place(&self) -> Option<Place> {
        let slave = self.keeper.slave.as_ref()?;
        let replicas = &self.journal.replicas;
        slave
            .resumable
            .then(|| (replicas.id.clone(), replicas.offset()))
    }

    /// What a dump tells of the place in the stream that it stands at.
    pub(crate) fn stream_place(&self) -> Option<rdb::StreamPlace> {
        let replicas = &self.journal.replicas;
        let known = match &self.keeper.slave {
            Some(slave) => slave.resumable || slave.link.state() == State::Connected,
            None => replicas.backlog.is_some(),
        };
        known.then(|| rdb::StreamPlace {
            database: u32::try_from(replicas.selected.unwrap_or(0)).ok(),
            id: replicas.id.clone(),
            offset: replicas.offset(),
        })
    }

    /// The data that were loaded at the start stand at a place in a stream. A replica continues it from there; a primary writes one of
    /// its own, whose history it is: replicas that have seen no more can go on. `expired` is what the dump holds and we do not.
    pub fn adopt_loaded_place(&mut self, expired: Vec<rdb::Expired>) {
        let databases = 0..self.shard.keyspace.databases();
        let keys: usize = databases
            .map(|db| self.shard.keyspace.db_ref(db).len())
            .sum();
        self.keeper.persistence.loaded_keys = keys as u64;
        let gone = expired.iter().filter(|gone| gone.fields.is_empty());
        self.keeper.persistence.expired_keys = gone.count() as u64;
        self.adopt_place(expired);
    }

    /// The same, where no keys are counted.
    pub(crate) fn adopt_place(&mut self, expired: Vec<rdb::Expired>) {
        let Some(place) = self.keeper.persistence.loaded_place.take() else {
            return;
        };
        // It goes into replies, and is added to.
        let named =
            !place.id.is_empty() && place.id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !named || i64::try_from(place.offset).is_err() {
            return;
        }
        let database = place.database.and_then(|db| usize::try_from(db).ok());
        let database = database.filter(|db| *db < self.shard.keyspace.databases());
        self.journal.replicas.id = place.id;
        self.journal.replicas.second = None;
        self.place_stream(place.offset, database);
        if let Some(slave) = &mut self.keeper.slave {
            slave.resumable = true;
            slave.guard = Guard::new(true);
        } else if self.config.slaveof.is_none() {
            let id = self.shard.rng.hex(40);
            self.shift_stream(id);
            self.journal.replicas.selected = None;
            for gone in expired {
                let db = usize::try_from(gone.database).ok();
                if gone.fields.is_empty() {
                    self.feed_replicas(db, &[b"DEL", &gone.key]);
                }
                for fields in gone.fields.chunks(FIELDS_AT_ONCE) {
                    let mut words = vec![&b"HDEL"[..], &gone.key];
                    words.extend(fields.iter().map(Vec::as_slice));
                    self.feed_replicas(db, &words);
                }
            }
        }
    }

    fn link_config(&self) -> Config {
        let port = match self.config.replica_announce_port {
            0 if self.config.tls_replication && self.config.tls_port > 0 => self.config.tls_port,
            0 => self.config.port,
            announced => announced,
        };
        let ip = self.config.replica_announce_ip.as_deref();
        Config {
            port,
            ip: ip.map(|ip| String::from_utf8_lossy(ip).into_owned()),
            user: self.config.masteruser.clone(),
            password: self.config.masterauth.clone(),
            timeout_ms: u64::from(self.config.repl_timeout) * 1000,
            node_id: self
                .keeper
                .cluster
                .as_ref()
                .map(|node| node.my_id().to_string()),
            dual_channel: self.config.dual_channel_replication,
            takes_sibling: self.takes_sibling(),
            most_buffered: self.config.client_output_buffer_limit[ClientClass::Slave].hard_bytes,
        }
    }

    fn set_role(&mut self, slave: bool) {
        self.host.set_role(slave);
        if let Err(error) = self.host.set_oom_score(&self.config, slave) {
            tracing::warn!("{error}");
        }
    }

    /// Becomes the replica of a primary. Clients that wait for what a replica cannot give do so no longer.
    pub fn follow(&mut self, host: &str, port: u16) {
        self.turn_to(host, port);
        self.refuse_blocked();
    }

    /// Becomes the replica of a primary. What is kept of the stream stays, as do those who read it: the primary may continue it.
    pub(crate) fn turn_to(&mut self, host: &str, port: u16) {
        self.set_role(true);
        self.disown_unacknowledged();
        let resumable = match &self.keeper.slave {
            Some(slave) => slave.resumable,
            None => {
                self.take_former_name();
                self.journal.replicas.backlog.is_some()
            }
        };
        if resumable && self.keeper.slave.is_none() {
            tracing::info!(
                "Before turning into a replica, using my own primary parameters to synthesize a cached primary: I may be able to \
                 synchronize with the new primary with just a partial transfer."
            );
        }
        // Our data are as old as before, whoever is followed; but those of another shard are none.
        let (down_since_ms, down_mono_ms) = if resumable {
            self.down_since()
        } else {
            (0, None)
        };
        self.drop_slave(resumable);
        let link = Link::new(self.now.mono_ms, self.link_config(), None);
        self.keeper.slave = Some(Slave {
            host: host.to_owned(),
            port,
            link,
            source: Source::Primary,
            socket: None,
            second: None,
            most_buffered: 0,
            client: None,
            held: Vec::new(),
            scanned: 0,
            resumable,
            announced: None,
            unapplied: None,
            ack_asked: false,
            down_since_ms,
            down_mono_ms,
            transfer: None,
            head: Head::default(),
            guard: Guard::default(),
        });
        self.note_watching();
        // A node of a cluster is told by the cluster, at each start.
        if self.keeper.cluster.is_none() {
            self.config.slaveof = Some(conf::Master {
                host: host.to_owned(),
                port,
            });
        }
        self.apply_expiry_rule();
        self.reach_primary();
    }

    /// Since when the link is lost that is left now, on both clocks.
    fn down_since(&self) -> (u64, Option<u64>) {
        match &self.keeper.slave {
            Some(_) if self.is_linked() => (self.now.unix_ms(), Some(self.now.mono_ms)),
            Some(slave) => (slave.down_since_ms, slave.down_mono_ms),
            None => (0, None),
        }
    }

    /// A stream to which nothing was added since it got its name, and which nobody knows by it, is still known by the one before: that
    /// of a primary that was started again, and finds another in its place.
    fn take_former_name(&mut self) {
        let replicas = &mut self.journal.replicas;
        let offset = replicas.offset();
        if replicas.ids.is_empty()
            && !replicas.left
            && let Some((name, _)) = replicas.second.take_if(|(_, until)| *until == offset)
        {
            replicas.id = name;
            replicas.selected = replicas.second_selected;
        }
    }

    /// Becomes a primary: it writes the stream from here on.
    pub fn follow_nobody(&mut self) {
        if self.keeper.slave.is_none() {
            return;
        }
        self.set_role(false);
        self.drop_slave(false);
        self.take_over_stream();
        if self.journal.append_only.outdated {
            // No copy came whole since: what is written from now on does not go on from what is in the file.
            self.restart_append_only(None);
        }
        self.config.slaveof = None;
        self.apply_expiry_rule();
        self.fail_imports("A failover occurred during slot import");
    }

    /// `kept`: what is known of the stream is still of use.
    fn drop_slave(&mut self, kept: bool) {
        self.forward_applied(true);
        let Some(slave) = self.keeper.slave.take() else {
            return;
        };
        for link in [slave.socket, slave.second].into_iter().flatten() {
            self.act(Action::CloseLink { link });
        }
        if let Some(client) = slave.client {
            if slave.link.state() == State::Connected {
                log_lost();
            }
            if !kept {
                log_discarded();
            }
            self.close(client);
        }
        if slave.transfer.is_some() {
            self.act(Action::DropSyncFile);
        }
    }

    /// Once a second: connects, gives up, acknowledges.
    pub(crate) fn tick_slave(&mut self) {
        if self.reach_primary() {
            self.leave_sibling();
            self.send_ack();
        }
    }

    /// Connects where there is no connection, or gives up one that nothing comes from. False where the primary is not to be asked now.
    pub(crate) fn reach_primary(&mut self) -> bool {
        let (config, place) = (self.link_config(), self.resume_place());
        let hands_over = self.is_handing_over();
        let loading = self.keeper.persistence.loading.is_some();
        if self.lets_primary_wait() {
            return false;
        }
        let Some(slave) = &mut self.keeper.slave else {
            return false;
        };
        let now_ms = self.now.mono_ms;
        if loading {
            // A dump that is loaded while it comes may come no more.
            if slave.loads_coming_dump() {
                slave.link.handle_timeout(now_ms);
                self.perform_link();
            }
            return false;
        }
        slave.link.set_config(config);
        slave.link.set_place(place);
        slave.link.set_hand_over(hands_over);
        slave.link.handle_timeout(now_ms);
        self.perform_link();
        true
    }

    /// Tells the master what was applied.
    pub(crate) fn send_ack(&mut self) {
        let Some(offset) = self.applied_offset() else {
            return;
        };
        let Some(slave) = &self.keeper.slave else {
            return;
        };
        let (Some(link), State::Connected) = (slave.socket, slave.link.state()) else {
            return;
        };
        let mut bytes = Vec::new();
        let offset = offset.to_string();
        let on_disk = self.durable_offset().map(|offset| offset.to_string());
        let mut words = vec![&b"REPLCONF"[..], b"ACK", offset.as_bytes()];
        if let Some(on_disk) = &on_disk {
            words.extend([&b"FACK"[..], on_disk.as_bytes()]);
        }
        aof::encode_command(&mut bytes, words);
        self.act(Action::SendLink { link, bytes });
    }

    // ---- what the shell tells of the link -----------------------------------------------------------------------------------

    /// The connection to the master is made, or is not.
    pub fn link_opened(&mut self, link: LinkId, result: Result<(), String>) {
        if self.export_opened(link, &result) || self.second_opened(link, &result) {
            return;
        }
        let now_ms = self.now.mono_ms;
        let Some(slave) = self
            .keeper
            .slave
            .as_mut()
            .filter(|slave| slave.socket == Some(link))
        else {
            return;
        };
        match result {
            Ok(()) => slave.link.handle_input(now_ms, Input::Connected),
            Err(why) => {
                slave.socket = None;
                slave.link.handle_input(now_ms, Input::Failed(&why));
                self.forget_sibling(false);
            }
        }
        self.perform_link();
    }

    /// Bytes came from the master.
    pub fn link_received(&mut self, link: LinkId, bytes: &[u8]) {
        if self.export_received(link, bytes) || self.second_received(link, bytes) {
            return;
        }
        let now_ms = self.now.mono_ms;
        let Some(slave) = self
            .keeper
            .slave
            .as_mut()
            .filter(|slave| slave.socket == Some(link))
        else {
            return;
        };
        slave.link.handle_input(now_ms, Input::Received(bytes));
        let (buffered, _) = slave.link.buffered();
        slave.most_buffered = slave.most_buffered.max(buffered);
        self.count_received(bytes.len());
        self.perform_link();
    }

    fn count_received(&mut self, bytes: usize) {
        self.meter.stats.traffic.came(bytes);
        self.meter.stats.replication.input_bytes += bytes as u64;
    }

    /// The connection to the master ended.
    pub fn link_closed(&mut self, link: LinkId) {
        if self.export_closed(link) || self.second_closed(link) {
            return;
        }
        if self
            .keeper
            .slave
            .as_ref()
            .is_some_and(|slave| slave.socket == Some(link))
        {
            if let Some(slave) = &mut self.keeper.slave {
                slave.socket = None;
            }
            self.link_lost();
            self.perform_link();
        }
    }

    /// The client that applies the stream, in the database that it has selected.
    fn start_stream(&mut self) {
        let Some(slave) = &mut self.keeper.slave else {
            return;
        };
        slave.guard.follow();
        if slave.client.is_some() {
            return;
        }
        let peer = Peer {
            addr: format!("{}:{}", slave.host, slave.port),
            local_addr: String::new(),
            fd: -1,
            ..Peer::default()
        };
        let id = self.add_client(peer);
        let client = &mut self.sessions.clients[id];
        (client.flags.authenticated, client.flags.master) = (true, true);
        client.db = self.journal.replicas.selected.unwrap_or(0);
        if let Some(slave) = &mut self.keeper.slave {
            slave.client = Some(id);
        }
    }

    /// The primary continues the stream, perhaps under another name.
    fn continue_stream(&mut self, renamed: Option<String>) {
        if let Some(id) = renamed {
            self.shift_stream(id);
            // They learn the name when they come back, and miss nothing.
            self.disconnect_replicas();
        }
        self.start_stream();
        // Who waits for this replica need not wait for the next second.
        self.send_ack();
    }

    // ---- what the link wants ------------------------------------------------------------------------------------------------

    fn perform_link(&mut self) {
        while let Some(output) = self
            .keeper
            .slave
            .as_mut()
            .and_then(|slave| slave.link.poll_output())
        {
            match output {
                Output::Log(true, text) => tracing::warn!("{text}"),
                Output::Log(false, text) => tracing::info!("{text}"),
                Output::Connect => self.connect_master(),
                Output::Close => self.close_link(),
                Output::Send(bytes) => self.send_first(bytes),
                Output::BeginTransfer(size) => self.begin_transfer(size),
                Output::Dump(bytes) => {
                    if let Some(slave) = &mut self.keeper.slave
                        && let Some(transfer) = &mut slave.transfer
                    {
                        transfer.came += bytes.len() as u64;
                        slave.head.add(&bytes);
                    }
                    self.act(Action::WriteSyncFile { bytes });
                    self.load_coming_dump();
                }
                Output::Load(from) => {
                    self.note_primary_level();
                    self.load_dump(from);
                }
                Output::CopyFrom { host, port } => self.copy_from(host, port),
                Output::HandedOver(accepted) => self.failover_answered(accepted),
                Output::Continued(renamed) => {
                    self.note_primary_level();
                    self.continue_stream(renamed);
                }
                Output::Discard => self.discard_master(),
                Output::Stream(bytes) => self.apply_stream(&bytes),
                of_two => self.perform_dual(of_two),
            }
        }
    }

    fn connect_master(&mut self) {
        let link = self.new_link();
        let Some(slave) = &mut self.keeper.slave else {
            return;
        };
        let (who, host, port) = match &slave.source {
            Source::Sibling { host, port, .. } => ("REPLICA", host.clone(), *port),
            _ => ("PRIMARY", slave.host.clone(), slave.port),
        };
        tracing::info!("Connecting to {who} {host}:{port}");
        tracing::info!("PRIMARY <-> REPLICA sync started");
        slave.socket = Some(link);
        self.act(Action::OpenLink { link, host, port });
    }

    fn close_link(&mut self) {
        if let Some(link) = self
            .keeper
            .slave
            .as_mut()
            .and_then(|slave| slave.socket.take())
        {
            self.host.hang_up(link);
            self.act(Action::CloseLink { link });
        }
        self.link_lost();
    }

    /// The master's client is to be closed (CLIENT KILL): the link goes, and comes back.
    pub(crate) fn drop_master_link(&mut self) {
        self.close_link();
        self.perform_link();
    }

    /// What was received and not applied yet is dropped: the master is asked for it again.
    fn link_lost(&mut self) {
        let (now_ms, unix_ms) = (self.now.mono_ms, self.now.unix_ms());
        let was_up = self.is_linked();
        self.forward_applied(true);
        self.forget_sibling(was_up);
        let Some(slave) = &mut self.keeper.slave else {
            return;
        };
        if was_up {
            log_lost();
            slave.down_since_ms = unix_ms;
            slave.down_mono_ms = Some(now_ms);
        }
        if slave.transfer.take().is_some() {
            self.act(Action::DropSyncFile);
        }
        let Some(slave) = &mut self.keeper.slave else {
            return;
        };
        slave.held = Vec::new();
        slave.scanned = 0;
        if let Some(client) = slave.client {
            self.sessions.clients[client].unread.bytes = BytesMut::new();
            self.sessions.clients[client].unread.parser.reset();
            self.drop_transaction(client);
        }
        let place = self.resume_place();
        let Some(slave) = &mut self.keeper.slave else {
            return;
        };
        slave.link.set_place(place);
        slave.link.handle_input(now_ms, Input::Lost);
    }

    fn discard_master(&mut self) {
        let Some(slave) = &mut self.keeper.slave else {
            return;
        };
        // The data are still those of the stream: should the copy not come, or not be taken, it may be asked for again.
        slave.announced = None;
        slave.held = Vec::new();
        slave.scanned = 0;
        if let Some(client) = slave.client.take() {
            log_discarded();
            self.close(client);
        }
    }

    /// Applies bytes of the primary's stream: they are run as the primary's own requests, then handed on.
    fn apply_stream(&mut self, bytes: &[u8]) {
        let Some(slave) = &mut self.keeper.slave else {
            return;
        };
        let Some(client) = slave.client else { return };
        slave.held.extend_from_slice(bytes);
        self.run_stream(|engine| engine.receive(client, bytes));
    }

    /// Whether a client is the one that applies the stream.
    pub(crate) fn is_stream(&self, id: ClientId) -> bool {
        let slave = self.keeper.slave.as_ref();
        slave.is_some_and(|slave| slave.client == Some(id))
    }

    /// Runs requests of the stream, by the primary's word on what has expired.
    pub(crate) fn run_stream(&mut self, run: impl FnOnce(&mut Self)) {
        self.shard.keyspace.clock().set_expiry(ExpiryMode::Ignore);
        run(self);
        self.forward_applied(false);
        self.break_before_unapplied();
        let Some(slave) = &mut self.keeper.slave else {
            return;
        };
        let client = slave.client;
        if let Some(client) = client.and_then(|client| self.sessions.clients.get_mut(client)) {
            client.out.clear();
        }
        self.shard.keyspace.clock().set_expiry(ExpiryMode::Hide);
        self.answer_getack();
    }

    /// Tells the primary how far we are if it asked: once what it sent is on its way to the disk.
    pub(crate) fn answer_getack(&mut self) {
        let waits = self.has_unflushed();
        if let Some(slave) = &mut self.keeper.slave
            && !waits
            && std::mem::take(&mut slave.ack_asked)
        {
            self.forward_applied(true);
            self.send_ack();
        }
    }

    /// Runs a request of the stream. False where it cannot be applied and the link is to break: it is asked for again.
    pub(crate) fn stream_request(&mut self, id: ClientId, args: Args<'_>) -> bool {
        if let Some(client) = self.sessions.clients.get_mut(id) {
            // Nobody reads the replies.
            client.out.clear();
        }
        let ran = self.request(id, args);
        let Some(client) = self.sessions.clients.get_mut(id).filter(|_| ran) else {
            return ran;
        };
        match client.out.flatten() {
            [b'-', error @ ..] => {
                let error = String::from_utf8_lossy(error).trim_end().to_owned();
                self.could_not_apply(id, args, &error)
            }
            _ => true,
        }
    }

    /// A command of the stream was answered with an error: the primary's data are not ours any more, unless it is skipped there too.
    /// Whether to go on.
    #[cold]
    fn could_not_apply(&mut self, id: ClientId, args: Args<'_>, error: &str) -> bool {
        let row = self.index.find(args[0]).map(|entry| entry.command);
        // A script that fails does so at the primary too; what a primary has no business to say was logged.
        let skipped = row.is_some_and(|row| {
            row.traits.has(Traits::RUNS_SCRIPT) && !error.starts_with("NOSCRIPT")
                || !row.may_be_streamed()
        });
        let Some(slave) = self.keeper.slave.as_mut().filter(|_| !skipped) else {
            return true;
        };
        self.meter.stats.errors.unexpected += 1;
        let name = String::from_utf8_lossy(&args[0][..args[0].len().min(128)]).into_owned();
        let told = format!("could not apply the command '{name}' of its primary: {error}");
        // Who lets clients write to a replica has chosen that it differs.
        if self.config.replica_unknown_command == conf::UnknownCommand::Log
            || !self.config.slave_read_only
        {
            let offset = self.journal.replicas.offset();
            tracing::warn!(
                "== CRITICAL == This replica {told}. It came within what follows offset {offset}; it is left out"
            );
            return true;
        }
        slave.unapplied = Some(told);
        if let Some(client) = self.sessions.clients.get_mut(id) {
            client.waiting = Waiting::Held;
        }
        false
    }

    /// Breaks the link where a command could not be applied: what came before it was, and the stream is asked for again from there.
    fn break_before_unapplied(&mut self) {
        let slave = self.keeper.slave.as_mut();
        let Some(told) = slave.and_then(|slave| slave.unapplied.take()) else {
            return;
        };
        self.forward_applied(true);
        let offset = self.journal.replicas.offset();
        tracing::warn!(
            "== CRITICAL == This replica {told}. The link is broken behind offset {offset} (replica-unknown-command break)"
        );
        self.close_link();
        // What else came with it goes nowhere.
        let slave = self.keeper.slave.as_mut();
        if let Some(client) = slave.and_then(|slave| slave.client.take()) {
            self.close(client);
        }
        self.perform_link();
    }

    /// Hands on what was applied of the stream. What belongs to an open transaction is not applied yet; it is looked for only now and
    /// then, unless `exact`: a long one comes in many parts.
    pub(crate) fn forward_applied(&mut self, exact: bool) {
        let Some(slave) = &mut self.keeper.slave else {
            return;
        };
        let client = slave.client.and_then(|id| self.sessions.clients.get(id));
        let Some(client) = client else { return };
        let unread = client.unread.bytes.len() + self.intake.behind;
        let run = slave.held.len().saturating_sub(unread);
        let mut whole = run;
        if client.transaction.multi.is_some() {
            if !exact && run < slave.scanned.saturating_mul(2) {
                return;
            }
            whole = before_transaction(&slave.held[..run]);
        }
        slave.scanned = run - whole;
        if whole == 0 {
            return;
        }
        self.journal.replicas.selected = Some(client.db);
        let mut bytes = std::mem::take(&mut slave.held);
        let held = bytes.split_off(whole);
        slave.held = held;
        self.feed_stream(&bytes);
    }

    // ---- gates -----------------------------------------------------------------------------------------------------------

    /// The gate for writes on a slave.
    pub(crate) fn gate_read_only(&self) -> Result<(), Error> {
        if self.is_slave() && self.config.slave_read_only {
            return Err(Error::text(
                "READONLY You can't write against a read only replica.",
            ));
        }
        Ok(())
    }

    /// The gate for a slave that has lost its master and must not serve old data.
    pub(crate) fn gate_stale(&self) -> Result<(), Error> {
        if self.is_slave() && !self.is_linked() && !self.config.slave_serve_stale_data {
            return Err(Error::text(
                "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            ));
        }
        Ok(())
    }
}

/// SLAVEOF host port | NO ONE
pub(crate) fn slaveof(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    if engine.shard.settings.cluster {
        return Err(Error::text("ERR REPLICAOF not allowed in cluster mode."));
    }
    if engine.keeper.failover.is_some() {
        return Err(Error::text("ERR REPLICAOF not allowed while failing over."));
    }
    let who = engine.client_line(id);
    if args::is(args[1], "NO") && args::is(args[2], "ONE") {
        if engine.is_slave() {
            engine.follow_nobody();
            engine.journal.replicas.left = true;
            tracing::info!("PRIMARY MODE enabled (user request from '{who}')");
        }
        engine.sessions.clients[id].out.ok();
        return Ok(());
    }
    if engine.sessions.clients[id].flags.replica {
        return Err(Error::text(
            "ERR Command is not valid when client is a replica.",
        ));
    }
    let port = args::int(args[2]).ok();
    let port = port.and_then(|port| u16::try_from(port).ok());
    let port = port.ok_or(Error::text("ERR Invalid master port"))?;
    let host = std::str::from_utf8(args[1]).map_err(|_| Error::text("ERR Invalid master host"))?;
    if engine
        .keeper
        .slave
        .as_ref()
        .is_some_and(|slave| slave.host.eq_ignore_ascii_case(host) && slave.port == port)
    {
        if engine.overrule_refusal() {
            engine.reach_primary();
        }
        tracing::info!(
            "REPLICAOF would result into synchronization with the primary we are already connected with. No operation performed."
        );
        engine.sessions.clients[id]
            .out
            .status("OK Already connected to specified master");
        return Ok(());
    }
    engine.follow(host, port);
    tracing::info!("REPLICAOF {host}:{port} enabled (user request from '{who}')");
    engine.sessions.clients[id].out.ok();
    Ok(())
}

/// ROLE
pub(crate) fn role(engine: &mut Engine, id: ClientId, _args: Args<'_>) -> Done {
    if let Some(slave) = &engine.keeper.slave {
        let offset = engine
            .applied_offset()
            .filter(|_| slave.link.state() == State::Connected)
            .and_then(|offset| i64::try_from(offset).ok())
            .unwrap_or(-1);
        let out = &mut engine.sessions.clients[id].out;
        out.array(5);
        out.bulk(b"slave");
        out.bulk(&slave.host);
        out.int(slave.port.into());
        out.bulk(slave.link.state().name());
        out.int(offset);
        return Ok(());
    }
    let rows: Vec<(String, u16, u64)> = engine
        .journal
        .replicas
        .ids
        .iter()
        .filter_map(|id| engine.sessions.clients.get(*id))
        .filter_map(|client| {
            let replica = client.replica.as_ref().filter(|replica| {
                replica.state == crate::journal::replicas::ReplicaState::Online
            })?;
            Some((client.replica_ip(), client.listening_port, replica.acked))
        })
        .collect();
    let offset = engine.journal.replicas.offset();
    let out = &mut engine.sessions.clients[id].out;
    out.array(3);
    out.bulk(b"master");
    out.int(i64::try_from(offset).unwrap_or(i64::MAX));
    out.array(rows.len());
    for (ip, port, acked) in rows {
        out.array(3);
        out.bulk(ip);
        out.bulk_display(port);
        out.bulk_display(acked);
    }
    Ok(())
}

/// How many bytes of whole requests come before the transaction that they leave open.
fn before_transaction(bytes: &[u8]) -> usize {
    let (mut parser, mut batch) = (Parser::new(), Batch::default());
    let (mut at, mut open) = (0, None);
    while at < bytes.len() {
        let rest = &bytes[at..];
        let cut = match parser.cut_all(rest, &mut batch) {
            Ok(cut) if cut > 0 => cut,
            _ => break,
        };
        let mut words = Vec::new();
        for index in 0..batch.len() {
            batch.args(index, rest, &mut words);
            match words.first() {
                Some(name) if args::is(name, "MULTI") => {
                    open.get_or_insert(at + batch.wire(index).start);
                }
                Some(name) if args::is(name, "EXEC") || args::is(name, "DISCARD") => open = None,
                _ => {}
            }
        }
        at += cut;
    }
    open.unwrap_or(at)
}

/// The link was up, and is not any more.
fn log_lost() {
    tracing::info!("Connection with primary lost.");
    tracing::info!("Caching the disconnected primary state.");
}

/// What was known of a lost link is of no use any more.
fn log_discarded() {
    tracing::info!("Discarding previously cached primary state.");
}

#[cfg(test)]
mod tests {
    use super::before_transaction;

    #[test]
    fn an_open_transaction_is_found_where_it_begins() {
        let set = "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$5\r\nMULTI\r\n";
        let (multi, exec) = ("*1\r\n$5\r\nMULTI\r\n", "*1\r\n$4\r\nEXEC\r\n");
        let whole = [set, multi, set, exec, set].concat();
        assert_eq!(before_transaction(whole.as_bytes()), whole.len());
        let open = [&whole, multi, set, set].concat();
        assert_eq!(before_transaction(open.as_bytes()), whole.len());
        let from_the_start = [multi, set].concat();
        assert_eq!(before_transaction(from_the_start.as_bytes()), 0);
    }
}
