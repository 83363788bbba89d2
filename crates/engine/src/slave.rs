//! Being a slave: SLAVEOF, the link to the master, the dump, and the stream that is applied as it comes. ROLE.

use bytes::BytesMut;
use commands::{Args, Done, Error, args};
use replication::{Config, Input, Link, Output, State};
use store::ExpiryMode;

use crate::client::Peer;
use crate::{Action, ClientId, Engine, LinkId};

/// Our side of replication as a slave.
#[derive(Debug)]
pub(crate) struct Slave {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) link: Link,
    /// The connection that is open or being made.
    socket: Option<LinkId>,
    /// The client that applies the stream, once there is one.
    pub(crate) client: Option<ClientId>,
    /// The master's run id, and the bytes of its stream that were received.
    run_id: Option<String>,
    pub(crate) received: u64,
    /// When the link was lost, Unix milliseconds.
    pub(crate) down_since_ms: u64,
    /// The same, on [`crate::Now::mono_ms`]; none before the first loss.
    pub(crate) down_mono_ms: Option<u64>,
    /// The dump being received goes to the disk; its size if it is known, and what has come.
    pub(crate) transfer: Option<(Option<u64>, u64)>,
}

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

    /// The bytes of the master's stream that were applied, once any were.
    pub(crate) fn applied_offset(&self) -> Option<u64> {
        let slave = self.keeper.slave.as_ref()?;
        let waiting = self.sessions.clients.get(slave.client?)?.pending.len() as u64;
        Some(slave.received.saturating_sub(waiting))
    }

    fn link_config(&self) -> Config {
        Config {
            port: self.config.port,
            password: self.config.masterauth.clone(),
            timeout_ms: u64::from(self.config.repl_timeout) * 1000,
        }
    }

    fn set_role(&mut self, slave: bool) {
        self.host.set_role(slave);
        if let Err(error) = self.host.set_oom_score(&self.config, slave) {
            tracing::warn!("{error}");
        }
    }

    /// What a master does with expired keys: in import mode its source will delete them.
    pub(crate) fn follow_import_mode(&mut self) {
        let clock = self.shard.keyspace.clock();
        if self.keeper.slave.is_none() && clock.expiry() != ExpiryMode::Ignore {
            clock.set_expiry(if self.config.import_mode {
                ExpiryMode::Hide
            } else {
                ExpiryMode::Delete
            });
        }
    }

    /// Becomes the slave of a master.
    pub fn follow(&mut self, host: &str, port: u16) {
        self.set_role(true);
        self.drop_slave();
        self.disconnect_replicas();
        self.refuse_blocked();
        self.free_backlog();
        self.journal.replicas.offset = 0;
        let link = Link::new(self.now.mono_ms, self.link_config(), None);
        self.keeper.slave = Some(Slave {
            host: host.to_owned(),
            port,
            link,
            socket: None,
            client: None,
            run_id: None,
            received: 0,
            down_since_ms: 0,
            down_mono_ms: None,
            transfer: None,
        });
        // A node of a cluster is told by the cluster, at each start.
        if self.keeper.cluster.is_none() {
            self.config.slaveof = Some(conf::Master {
                host: host.to_owned(),
                port,
            });
        }
        self.shard.keyspace.clock().set_expiry(ExpiryMode::Hide);
    }

    /// Becomes a master.
    pub fn follow_nobody(&mut self) {
        if self.keeper.slave.is_none() {
            return;
        }
        if self.journal.replicas.ids.is_empty()
            && let Some(applied) = self.applied_offset()
        {
            self.free_backlog();
            self.journal.replicas.offset = applied;
        }
        self.set_role(false);
        self.drop_slave();
        self.config.slaveof = None;
        self.follow_import_mode();
    }

    fn drop_slave(&mut self) {
        let Some(slave) = self.keeper.slave.take() else {
            return;
        };
        if let Some(socket) = slave.socket {
            self.act(Action::CloseLink { link: socket });
        }
        if let Some(client) = slave.client {
            if slave.link.state() == State::Connected {
                log_lost();
            }
            log_discarded();
            self.close(client);
        }
        if slave.transfer.is_some() {
            self.act(Action::DropSyncFile);
        }
    }

    /// Once a second: connects, gives up, acknowledges.
    pub(crate) fn tick_slave(&mut self) {
        let config = self.link_config();
        let loading = self.keeper.persistence.loading.is_some();
        let Some(slave) = &mut self.keeper.slave else {
            return;
        };
        if loading {
            return;
        }
        slave.link.set_config(config);
        slave.link.handle_timeout(self.now.mono_ms);
        self.perform_link();
        self.send_ack();
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
        aof::encode_command(&mut bytes, [&b"REPLCONF"[..], b"ACK", offset.as_bytes()]);
        self.act(Action::SendLink { link, bytes });
    }

    // ---- what the shell tells of the link -----------------------------------------------------------------------------------

    /// The connection to the master is made, or is not.
    pub fn link_opened(&mut self, link: LinkId, result: Result<(), String>) {
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
            }
        }
        self.perform_link();
    }

    /// Bytes came from the master.
    pub fn link_received(&mut self, link: LinkId, bytes: &[u8]) {
        let now_ms = self.now.mono_ms;
        let Some(slave) = self
            .keeper
            .slave
            .as_mut()
            .filter(|slave| slave.socket == Some(link))
        else {
            return;
        };
        self.meter.stats.input_bytes += bytes.len() as u64;
        slave.link.handle_input(now_ms, Input::Received(bytes));
        self.perform_link();
    }

    /// The connection to the master ended.
    pub fn link_closed(&mut self, link: LinkId) {
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

    /// The dump that comes cannot be kept: it is not wanted any more, and the data that are here stay. `line` is logged.
    pub fn sync_file_failed(&mut self, line: &str) {
        let now_ms = self.now.mono_ms;
        if let Some(slave) = &mut self.keeper.slave {
            slave.link.handle_input(now_ms, Input::Unusable(line));
        }
        self.perform_link();
    }

    /// The dump has come whole and is about to be loaded: what is here makes room for it. False where it is not wanted any more,
    /// since the link was lost meanwhile.
    pub fn begin_sync_load(&mut self) -> bool {
        let wanted = self
            .keeper
            .slave
            .as_ref()
            .is_some_and(|slave| slave.link.is_loading());
        if wanted {
            tracing::info!("MASTER <-> SLAVE sync: Flushing old data");
            // If loading fails nothing is left.
            if let Some(slave) = &mut self.keeper.slave {
                slave.down_mono_ms = None;
            }
            // Our own replicas have to copy the new data.
            self.disconnect_replicas();
            self.free_backlog();
            self.break_watches_on_flush(None);
            self.empty_keyspace();
            tracing::info!("MASTER <-> SLAVE sync: Loading DB in memory");
        }
        wanted
    }

    /// The dump cannot be loaded to its end: a part of a dataset is not kept.
    pub fn drop_half_loaded(&mut self) {
        self.empty_keyspace();
    }

    /// The dump that was received has been loaded, or cannot be: then the line to be logged.
    pub fn sync_loaded(&mut self, result: Result<(), String>) {
        let now_ms = self.now.mono_ms;
        let Some(slave) = &mut self.keeper.slave else {
            return;
        };
        if !slave.link.is_loading() {
            // The link was lost meanwhile: what was loaded is a start, but no stream follows it.
            slave.run_id = None;
            return;
        }
        match result {
            Ok(()) => {
                let peer = Peer {
                    addr: format!("{}:{}", slave.host, slave.port),
                    local_addr: String::new(),
                    fd: -1,
                    unix: false,
                };
                let client = self.add_client(peer);
                let flags = &mut self.sessions.clients[client].flags;
                (flags.authenticated, flags.master) = (true, true);
                tracing::info!("MASTER <-> SLAVE sync: Finished with success");
                if let Some(slave) = &mut self.keeper.slave {
                    slave.client = Some(client);
                    slave.link.handle_input(now_ms, Input::Loaded);
                }
                self.perform_link();
                self.send_ack();
                self.restart_append_only();
            }
            Err(line) => self.sync_file_failed(&line),
        }
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
                Output::Send(bytes) => {
                    if let Some(link) = self.keeper.slave.as_ref().and_then(|slave| slave.socket) {
                        self.act(Action::SendLink { link, bytes });
                    }
                }
                Output::BeginTransfer(bytes) => {
                    if let Some(slave) = &mut self.keeper.slave {
                        slave.transfer = Some((bytes, 0));
                    }
                    self.act(Action::BeginSyncFile);
                }
                Output::Dump(bytes) => {
                    if let Some((_, came)) = self
                        .keeper
                        .slave
                        .as_mut()
                        .and_then(|slave| slave.transfer.as_mut())
                    {
                        *came += bytes.len() as u64;
                    }
                    self.act(Action::WriteSyncFile { bytes });
                }
                Output::Load(from) => self.load_dump(from),
                Output::Continued => {
                    tracing::debug!("the stream goes on");
                }
                Output::Discard => self.discard_master(),
                Output::Stream(bytes) => self.apply_stream(&bytes),
            }
        }
    }

    fn connect_master(&mut self) {
        let link = self.new_link();
        let Some(slave) = &mut self.keeper.slave else {
            return;
        };
        tracing::info!("Connecting to MASTER {}:{}", slave.host, slave.port);
        tracing::info!("MASTER <-> SLAVE sync started");
        slave.socket = Some(link);
        let (host, port) = (slave.host.clone(), slave.port);
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
        let applied = self.applied_offset();
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
        let cached = slave.run_id.clone().zip(applied);
        if let Some(applied) = applied {
            slave.received = applied;
        }
        if let Some(client) = slave.client {
            self.sessions.clients[client].pending = BytesMut::new();
            self.sessions.clients[client].parser.reset();
        }
        let Some(slave) = &mut self.keeper.slave else {
            return;
        };
        slave.link.handle_input(now_ms, Input::Lost(cached));
    }

    fn discard_master(&mut self) {
        let Some(slave) = &mut self.keeper.slave else {
            return;
        };
        slave.run_id = None;
        slave.received = 0;
        if let Some(client) = slave.client.take() {
            log_discarded();
            self.close(client);
        }
    }

    fn load_dump(&mut self, from: Option<(String, u64)>) {
        if let Some(slave) = &mut self.keeper.slave {
            slave.transfer = None;
            (slave.run_id, slave.received) =
                from.map_or((None, 0), |(run_id, offset)| (Some(run_id), offset));
        }
        self.act(Action::LoadSyncFile {
            path: self.config.dbfilename.clone(),
        });
    }

    /// Applies bytes of the master's stream: they are run as the master's own requests.
    fn apply_stream(&mut self, bytes: &[u8]) {
        let Some(slave) = &mut self.keeper.slave else {
            return;
        };
        let Some(client) = slave.client else { return };
        slave.received += bytes.len() as u64;
        self.shard.keyspace.clock().set_expiry(ExpiryMode::Ignore);
        self.receive(client, bytes);
        if let Some(client) = self.sessions.clients.get_mut(client) {
            client.out.clear();
        }
        if self.is_slave() {
            self.shard.keyspace.clock().set_expiry(ExpiryMode::Hide);
        }
    }

    // ---- gates -----------------------------------------------------------------------------------------------------------

    /// The gate for writes on a slave.
    pub(crate) fn gate_read_only(&self) -> Result<(), Error> {
        if self.is_slave() && self.config.slave_read_only {
            return Err(Error::text(
                "READONLY You can't write against a read only slave.",
            ));
        }
        Ok(())
    }

    /// The gate for a slave that has lost its master and must not serve old data.
    pub(crate) fn gate_stale(&self) -> Result<(), Error> {
        if self.is_slave() && !self.is_linked() && !self.config.slave_serve_stale_data {
            return Err(Error::text(
                "MASTERDOWN Link with MASTER is down and slave-serve-stale-data is set to 'no'.",
            ));
        }
        Ok(())
    }
}

/// SLAVEOF host port | NO ONE
pub(crate) fn slaveof(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    if engine.shard.settings.cluster {
        return Err(Error::text("ERR SLAVEOF not allowed in cluster mode."));
    }
    let who = engine.client_line(id);
    if args::is(args[1], "NO") && args::is(args[2], "ONE") {
        if engine.is_slave() {
            engine.follow_nobody();
            tracing::info!("MASTER MODE enabled (user request from '{who}')");
        }
        engine.sessions.clients[id].out.ok();
        return Ok(());
    }
    let port = args::int(args[2])?;
    let port = u16::try_from(port).map_err(|_| Error::text("ERR Invalid master port"))?;
    let host = std::str::from_utf8(args[1]).map_err(|_| Error::text("ERR Invalid master host"))?;
    if engine
        .keeper
        .slave
        .as_ref()
        .is_some_and(|slave| slave.host.eq_ignore_ascii_case(host) && slave.port == port)
    {
        tracing::info!(
            "SLAVE OF would result into synchronization with the master we are already connected with. No operation performed."
        );
        engine.sessions.clients[id]
            .out
            .status("OK Already connected to specified master");
        return Ok(());
    }
    engine.follow(host, port);
    tracing::info!("SLAVE OF {host}:{port} enabled (user request from '{who}')");
    engine.sessions.clients[id].out.ok();
    Ok(())
}

/// ROLE
pub(crate) fn role(engine: &mut Engine, id: ClientId, _args: Args<'_>) -> Done {
    if let Some(slave) = &engine.keeper.slave {
        let offset = engine
            .applied_offset()
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
            let replica = client
                .replica
                .as_ref()
                .filter(|replica| replica.state == crate::master::ReplicaState::Online)?;
            let ip = client.peer.addr.rsplit_once(':').map_or("", |(ip, _)| ip);
            Some((ip.to_owned(), client.listening_port, replica.acked))
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

/// The link was up, and is not any more.
fn log_lost() {
    tracing::warn!("Connection with master lost.");
    tracing::info!("Caching the disconnected master state.");
}

/// What was known of a lost link is of no use any more.
fn log_discarded() {
    tracing::info!("Discarding previously cached master state.");
}
