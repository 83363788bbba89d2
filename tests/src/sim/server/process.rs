//! A whole server in the simulator: a real [`Engine`] on a made-up machine, and around it what the server's shell does. It loads what
//! the disk holds, hands bytes to and fro, writes the append-only file at the end of each turn before anything is sent, and performs
//! what the engine wants done.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use bytes::{Buf as _, BytesMut};
use cluster_bus::codec::{decode, frame_len};
use cluster_bus::{BUS_PORT_OFFSET, nodes_conf};
use conf::ServerConfig;
use engine::{Action, ClientId, Engine, LinkId, Peer};
use rdb::{Input as DumpInput, LoadOptions, Loader, Progress};

use super::bus::Voice;
use super::disk::Shared;
use super::log;
use super::machine::Machine;
use super::{Note, PORT};
use crate::sim::{Conn, Input, Now, Output};

/// More connections than one process opens in a run.
const CONNECTIONS: u64 = 1 << 24;
/// The timers of the shell.
const TICK_MS: u64 = 100;
/// The second half of a dump comes so long after the first.
const HALF_MS: u64 = 500;
/// Of so many bytes something is a dump that begins as one.
const DUMP_BYTES: usize = 100;
/// So much of the stream is handed to a socket at once.
const SHARE_BYTES: usize = 16 * 1024;
const NODES_FILE: &[u8] = b"nodes.conf";
/// Where the configuration is, and is rewritten to.
pub const CONFIG_FILE: &[u8] = b"server.conf";
/// What is on another disk than the data.
pub const SYSTEM_FILES: [&[u8]; 2] = [NODES_FILE, CONFIG_FILE];

/// What a server is set up with, and what of it survives its process.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Its number.
    pub host: usize,
    /// Its configuration file.
    pub config: String,
    /// Its machine's disk.
    pub disk: Shared,
    /// Whom its operator says it follows.
    pub follows: Rc<Cell<Option<usize>>>,
    /// Counts on whenever what it said before may not hold any more: it lost its memory, or its data became another's.
    pub generation: Rc<Cell<u64>>,
    /// How often it was started.
    pub starts: Rc<Cell<u64>>,
    /// It acknowledges nothing that is not on its disk.
    pub always: bool,
    /// Its append-only file holds all that it has ever acknowledged.
    pub keeps_all: Rc<Cell<bool>>,
    /// What is wrong with it on purpose.
    pub bug: Bug,
}

/// A bug that is put in on purpose, to see whether it is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Bug {
    /// None.
    #[default]
    None,
    /// Syncs do nothing.
    NoSync,
    /// A full copy begins one byte further on in the stream than the primary says.
    OffsetByOne,
    /// Replies leave before what they acknowledge is written.
    ReplyFirst,
    /// A sentinel promotes the replica that lags behind most.
    Laggard,
    /// A node of a cluster votes for a second candidate in an epoch.
    SecondVote,
}

/// What a connection is to the engine.
#[derive(Debug)]
enum Role {
    Client(ClientId),
    Link(LinkId),
    Bus(cluster_bus::LinkId, BytesMut),
}

/// A dump from the primary.
#[derive(Debug)]
struct Received {
    bytes: Vec<u8>,
    in_memory: bool,
    /// When it is loaded, and to which file it is moved then, if it is on the disk.
    load: Option<(u64, Option<Vec<u8>>)>,
    /// Where it is put as well, to be the base of the append-only file.
    base: Option<Vec<u8>>,
    begun: bool,
    /// It is loaded while it comes: begun now, done once it is whole.
    coming: bool,
    /// The rest of it does not come.
    lost: bool,
}

/// A server.
pub struct Server {
    engine: Engine,
    machine: Machine,
    /// Whom it follows by its configuration.
    follows: Option<(String, u16)>,
    setup: Setup,
    now: Now,
    roles: BTreeMap<Conn, Role>,
    /// Connections whose sockets take nothing for now.
    full: BTreeSet<Conn>,
    /// Numbers of connections must not be used again after a restart.
    first_conn: u64,
    bus_links: u64,
    /// What it says on the bus, and packets for connections that take nothing for now.
    voice: Voice,
    packets: BTreeMap<Conn, Vec<Vec<u8>>>,
    ready: VecDeque<Output<Note>>,
    tick_ms: u64,
    received: Option<Received>,
    /// The second half of a dump, and when it comes; lost where its connection ends before.
    halves: BTreeMap<Conn, (u64, Vec<u8>)>,
    /// Links that go on at the next chance.
    resumed: Vec<LinkId>,
    /// Replicas that a child makes a dump for, and the mark behind it.
    relay: Option<(Vec<ClientId>, String)>,
    /// The link to the node that a child writes slots for.
    slots_to: Option<LinkId>,
    /// nodes.conf on its way to the disk, and when it is there.
    nodes: Option<(u64, String)>,
    /// Who looks at the data.
    inspector: Option<ClientId>,
    was_slave: bool,
    ended: bool,
}

impl Server {
    /// Starts a server with what its disk holds.
    #[must_use]
    pub fn new(now: Now, setup: &Setup, seed: u64) -> Self {
        let machine = Machine::new(setup.disk.clone(), seed.rotate_left(7));
        setup.starts.set(setup.starts.get() + 1);
        setup.disk.lock().begin();
        setup.disk.lock().lies = setup.bug == Bug::NoSync;
        machine.set_now(now.mono_ms);
        let mut disk = setup.disk.lock();
        let text = disk.read(CONFIG_FILE).unwrap_or_else(|_| {
            let text = setup.config.clone().into_bytes();
            // On a disk that is full it is there next time.
            let _ = disk.replace(CONFIG_FILE, text.clone());
            text
        });
        drop(disk);
        let mut config = ServerConfig::load(&text, &mut ()).unwrap_or_default();
        let told = config.slaveof.take().map(|told| (told.host, told.port));
        let operated = setup.follows.get();
        let follows = operated.map(|host| (address(host).ip().to_string(), PORT));
        let follows = follows.or(told);
        let engine = Engine::new(engine_now(now), config, seed, Box::new(machine.clone()));
        let mut server = Self {
            engine,
            machine,
            follows,
            setup: setup.clone(),
            now,
            roles: BTreeMap::new(),
            full: BTreeSet::new(),
            first_conn: (seed & 0xFFFF_FFFF) * CONNECTIONS,
            bus_links: 0,
            voice: Voice::default(),
            packets: BTreeMap::new(),
            ready: VecDeque::new(),
            tick_ms: now.mono_ms + TICK_MS,
            received: None,
            halves: BTreeMap::new(),
            resumed: Vec::new(),
            relay: None,
            slots_to: None,
            nodes: None,
            inspector: None,
            was_slave: false,
            ended: false,
        };
        if !setup.keeps_all.get() {
            server.next_generation();
        }
        setup
            .keeps_all
            .set(setup.always && server.follows.is_none());
        if let Err(problem) = server.begin(seed) {
            let disk = setup.disk.lock();
            // A server that cannot write does not start, and is started again.
            if !(disk.full || disk.sync_fails || disk.has_died()) {
                let note = Note::CannotStart(problem);
                server.ready.push_back(Output::Note(note));
            }
            drop(disk);
            server.end();
        }
        server
    }

    fn begin(&mut self, seed: u64) -> Result<(), String> {
        if self.engine.config().cluster_enabled {
            let text = self.setup.disk.lock().read(NODES_FILE).unwrap_or_default();
            let saved = nodes_conf::load(&text).map_err(|error| format!("nodes.conf: {error}"))?;
            self.engine.join_cluster(saved, seed.rotate_left(23));
            if let Some(text) = self.engine.begin_saving_nodes() {
                let written = self.write_nodes(text);
                self.engine.nodes_saved(written);
            }
        }
        if self.engine.config().appendonly {
            self.load_append_only()?;
        } else {
            self.load_dump()?;
        }
        self.engine.check_loaded_slots();
        if let Some((host, port)) = self.follows.clone() {
            self.engine.follow(&host, port);
        }
        self.after_turn();
        Ok(())
    }

    fn next_generation(&mut self) {
        self.setup.generation.set(self.setup.generation.get() + 1);
    }

    // ---- loading -----------------------------------------------------------------------------------------------------

    fn load_options(&self) -> LoadOptions {
        LoadOptions {
            drop_expired_before: self.follows.is_none().then_some(self.now.unix_ms),
            ..LoadOptions::default()
        }
    }

    fn load_dump(&mut self) -> Result<(), String> {
        let path = self.engine.config().dbfilename.clone();
        let Ok(bytes) = self.setup.disk.lock().read(&path) else {
            return Ok(());
        };
        self.engine.begin_load(bytes.len() as u64);
        let options = LoadOptions {
            note_expired: true,
            ..self.load_options()
        };
        let expired = self.load_bytes(bytes, options);
        self.engine.end_load();
        let expired = expired.map_err(|error| format!("dump: {error}"))?;
        self.engine.adopt_loaded_place(expired);
        Ok(())
    }

    fn load_bytes(
        &mut self,
        bytes: Vec<u8>,
        options: LoadOptions,
    ) -> Result<Vec<rdb::Expired>, rdb::Error> {
        let input = DumpInput::new(std::io::Cursor::new(bytes));
        let mut loader = Loader::open(input, options, self.engine.limits())?;
        while self.engine.load_step(&mut loader, u64::MAX)? != Progress::Done {}
        Ok(loader.take_expired())
    }

    fn load_append_only(&mut self) -> Result<(), String> {
        let config = self.engine.config();
        let folder = [&config.appenddirname[..], b"/"].concat();
        let manifest = [&folder, &config.appendfilename[..], b".manifest"].concat();
        let text = self.setup.disk.lock().read(&manifest);
        let manifest = match text {
            Ok(text) => aof::Manifest::parse(&text).map_err(|error| error.to_string())?,
            Err(_) => aof::Manifest::default(),
        };
        let paths: Vec<Vec<u8>> = manifest
            .parts()
            .map(|part| [&folder, &part.name[..]].concat())
            .collect();
        let sizes = paths.iter().map(|path| {
            let bytes = self.setup.disk.lock().read(path);
            bytes.map_or(0, |bytes| bytes.len() as u64)
        });
        let last = aof::last_written(sizes, manifest.base().is_some());
        let mut replayed = 0;
        for (index, path) in paths.iter().enumerate() {
            self.replay(path, index == last)?;
            replayed += self.setup.disk.lock().read(path)?.len() as u64;
        }
        self.engine.set_manifest(manifest);
        self.engine.start_append_only(replayed)
    }

    fn replay(&mut self, path: &[u8], is_last: bool) -> Result<(), String> {
        let shown = String::from_utf8_lossy(path).into_owned();
        let (source, size) = self
            .setup
            .disk
            .lock()
            .source(path)
            .map_err(|error| format!("{shown}: {error}"))?;
        if size == 0 {
            return Ok(());
        }
        let options = LoadOptions::default();
        let mut replay = self
            .engine
            .begin_replay(source, size, options)
            .map_err(|error| error.line(&shown))?;
        let result = loop {
            match self.engine.replay_step(&mut replay, u64::MAX) {
                Ok(Progress::More) => {}
                Ok(Progress::Done) => break Ok(()),
                Err(error) => break Err(error),
            }
        };
        self.engine.end_replay(replay);
        match result {
            Ok(()) => Ok(()),
            // A file whose end is missing is cut behind its last whole command.
            Err(engine::ReplayError::Aof(aof::Error::Truncated { valid_up_to })) if is_last => {
                self.setup.disk.lock().cut(path, valid_up_to)
            }
            Err(error) => Err(error.line(&shown)),
        }
    }

    // ---- turns -------------------------------------------------------------------------------------------------------

    /// One turn of the engine: it is told the time, and what it wants done afterwards is done.
    fn turn<R>(&mut self, work: impl FnOnce(&mut Engine) -> R) -> R {
        self.engine.set_now(engine_now(self.now));
        let result = work(&mut self.engine);
        self.after_turn();
        result
    }

    fn after_turn(&mut self) {
        loop {
            self.engine.end_turn();
            let mut acted = false;
            while let Some(action) = self.engine.poll_action() {
                if self.has_died() {
                    return;
                }
                acted = true;
                self.perform(action);
                if self.ended {
                    return;
                }
            }
            if !acted {
                break;
            }
        }
        self.engine.take_woken();
        if self.setup.bug == Bug::ReplyFirst {
            while let Some(output) = self.next_sent() {
                self.ready.push_back(output);
            }
        }
        if self.engine.has_unflushed() && !self.engine.flush_append_only() {
            return self.end();
        }
        if self.has_died() {
            return;
        }
        self.look_at_role();
        if let Some(late_ms) = self.setup.disk.lock().take_use() {
            self.ready.push_back(Output::Waited { late_ms });
        }
        self.tell_log();
    }

    fn tell_log(&mut self) {
        for line in log::take() {
            self.ready.push_back(Output::Note(Note::Log(line)));
        }
    }

    /// Whether the machine has lost power while something was synced: what was to be done afterwards is not done.
    fn has_died(&mut self) -> bool {
        let died = self.setup.disk.lock().has_died();
        if died {
            self.tell_log();
            self.ended = true;
            self.ready.push_back(Output::LosePower);
        }
        died
    }

    fn look_at_role(&mut self) {
        let is_slave = self.engine.is_slave();
        if is_slave != self.was_slave {
            self.was_slave = is_slave;
            self.next_generation();
            // Until it starts anew: a file that was turned on late is whole only after its first rewrite.
            self.setup.keeps_all.set(false);
        }
    }

    fn end(&mut self) {
        self.tell_log();
        self.ended = true;
        self.ready.push_back(Output::Exit);
    }

    fn perform(&mut self, action: Action) {
        match action {
            // It is closed when it has nothing more to send.
            Action::CloseClient { .. } => {}
            Action::OpenLink { link, host, port } => {
                let conn = self.dialled(link.0 * 2);
                self.roles.insert(conn, Role::Link(link));
                let ip: IpAddr = host.parse().unwrap_or(address(self.setup.host).ip());
                let to = SocketAddr::new(ip, port);
                self.ready.push_back(Output::Connect { conn, to });
            }
            Action::SendLink { link, bytes } => self.send_link(link, bytes),
            Action::CloseLink { link } => {
                if let Some(conn) = self.conn_of_link(link) {
                    self.close(conn);
                }
            }
            // What comes here is little.
            Action::LimitLink { .. } => {}
            Action::ResumeLink { link } => self.resumed.push(link),
            Action::BeginSyncFile { .. }
            | Action::WriteSyncFile { .. }
            | Action::DropSyncFile
            | Action::LoadComing { .. }
            | Action::EndSyncFile
            | Action::LoadSyncFile { .. } => self.perform_received(action),
            Action::SendFile { id, path } => self.send_file(id, &path),
            Action::RelaySync { replicas } => self.begin_relay(replicas),
            Action::SaveNodes { text } => {
                let due_ms = self.now.mono_ms + 1 + self.setup.disk.lock().sync_ms;
                self.nodes = Some((due_ms, text));
            }
            Action::RelaySlots { link } => {
                self.finish_relay();
                self.slots_to = Some(link);
            }
            // Nobody migrates single keys here, or restarts by a command.
            Action::Transfer { .. } | Action::Restart { .. } => {}
            Action::Exit { .. } => self.end(),
            Action::BusConnect { .. } | Action::BusSend { .. } | Action::BusClose { .. } => {
                self.perform_bus(action);
            }
        }
    }

    /// What becomes of the dump from the primary.
    fn perform_received(&mut self, action: Action) {
        match action {
            Action::BeginSyncFile { in_memory } => {
                self.received = Some(Received {
                    bytes: Vec::new(),
                    in_memory,
                    load: None,
                    base: None,
                    begun: false,
                    coming: false,
                    lost: false,
                });
            }
            Action::WriteSyncFile { bytes } => self.write_received(&bytes),
            Action::DropSyncFile => {
                // One that is being loaded is not dropped, unless it still comes.
                self.received.take_if(|received| !received.begun);
                if let Some(received) = &mut self.received
                    && received.coming
                {
                    received.lost = true;
                    received.load = Some((self.now.mono_ms + 1, None));
                }
            }
            Action::LoadComing { .. } => {
                if let Some(received) = &mut self.received {
                    received.coming = true;
                    received.load = Some((self.now.mono_ms + 1, None));
                }
            }
            Action::EndSyncFile => {
                if let Some(received) = &mut self.received {
                    received.coming = false;
                    let due_ms = self.now.mono_ms + 2 + received.bytes.len() as u64 / 4096;
                    received.load = received
                        .begun
                        .then_some((due_ms, None))
                        .or(received.load.take());
                }
            }
            Action::LoadSyncFile { path, base } => {
                let due_ms = self.now.mono_ms + 1;
                if let Some(received) = &mut self.received {
                    received.load = Some((due_ms, path));
                    received.base = base;
                }
            }
            _ => {}
        }
    }

    fn send_link(&mut self, link: LinkId, bytes: Vec<u8>) {
        let count = bytes.len();
        if let Some(conn) = self.conn_of_link(link) {
            self.ready.push_back(Output::Send { conn, bytes });
            self.engine.link_sent(link, count);
        }
    }

    fn perform_bus(&mut self, action: Action) {
        match action {
            Action::BusConnect { link, addr } => {
                if let cluster_bus::LinkId::Dialled(number) = link {
                    let conn = self.dialled(number * 2 + 1);
                    self.roles.insert(conn, Role::Bus(link, BytesMut::new()));
                    self.ready.push_back(Output::Connect { conn, to: addr });
                }
            }
            Action::BusSend { link, bytes } => {
                if let Some(conn) = self.conn_of_bus(link) {
                    let notes = self.voice.hear(&bytes);
                    self.ready
                        .extend(notes.into_iter().map(Note::Bus).map(Output::Note));
                    self.send_packet(conn, link, bytes);
                }
            }
            Action::BusClose { link } => {
                if let Some(conn) = self.conn_of_bus(link) {
                    self.close(conn);
                }
            }
            _ => {}
        }
    }

    fn send_packet(&mut self, conn: Conn, link: cluster_bus::LinkId, bytes: Vec<u8>) {
        if self.full.contains(&conn) {
            return self.packets.entry(conn).or_default().push(bytes);
        }
        let count = bytes.len() as u64;
        self.ready.push_back(Output::Send { conn, bytes });
        self.engine.bus_sent(link, count);
    }

    fn dialled(&self, number: u64) -> Conn {
        Conn::Dialled(self.first_conn + number)
    }

    fn close(&mut self, conn: Conn) {
        self.roles.remove(&conn);
        self.halves.remove(&conn);
        self.full.remove(&conn);
        self.packets.remove(&conn);
        self.ready.push_back(Output::Close { conn });
    }

    fn find(&self, is: impl Fn(&Role) -> bool) -> Option<Conn> {
        let mut all = self.roles.iter();
        all.find(|(_, role)| is(role)).map(|(conn, _)| *conn)
    }

    fn conn_of_link(&self, link: LinkId) -> Option<Conn> {
        self.find(|role| matches!(role, Role::Link(other) if *other == link))
    }

    fn conn_of_bus(&self, link: cluster_bus::LinkId) -> Option<Conn> {
        self.find(|role| matches!(role, Role::Bus(other, _) if *other == link))
    }

    fn write_nodes(&mut self, text: String) -> Result<(), String> {
        self.setup
            .disk
            .lock()
            .replace(NODES_FILE, text.into_bytes())
    }

    // ---- dumps -------------------------------------------------------------------------------------------------------

    fn write_received(&mut self, bytes: &[u8]) {
        let full = self.setup.disk.lock().full;
        if let Some(received) = &mut self.received {
            if full && !received.in_memory {
                self.received = None;
                return self.engine.sync_file_failed("the disk is full");
            }
            received.bytes.extend_from_slice(bytes);
        }
    }

    /// Goes on with the load of a dump from the primary: it begins in one turn and ends in another, so that something may come between.
    fn load_received(&mut self) {
        let Some(received) = &mut self.received else {
            return;
        };
        if !received.begun {
            received.begun = true;
            let size = received.bytes.len() as u64;
            received.load = received.load.take().map(|(_, path)| {
                let due_ms = self.now.mono_ms + 2 + size / 4096;
                (due_ms, path)
            });
            received.load.take_if(|_| received.coming);
            if self.turn(Engine::begin_sync_load) {
                self.next_generation();
                self.turn(|engine| engine.begin_load(size));
            } else {
                self.received = None;
            }
            return;
        }
        let Some(Received {
            bytes,
            load,
            base,
            lost,
            ..
        }) = self.received.take()
        else {
            return;
        };
        let options = LoadOptions::default();
        self.engine.set_now(engine_now(self.now));
        let loaded = self.load_bytes(bytes.clone(), options);
        self.turn(Engine::end_load);
        let loaded = if lost {
            Err(rdb::Error::Io(std::io::Error::other("lost")))
        } else {
            loaded
        };
        let size = bytes.len() as u64;
        let mut result = loaded.map(|_| None).map_err(|error| error.to_string());
        if result.is_err() {
            self.turn(Engine::drop_half_loaded);
        } else if let Some((_, Some(path))) = load {
            let mut disk = self.setup.disk.lock();
            let base = base.filter(|base| disk.put(base, bytes.clone()).is_ok());
            result = disk.replace(&path, bytes).map(|()| base.map(|_| size));
            // Another thread has waited for that.
            disk.take_use();
            drop(disk);
        }
        self.turn(|engine| engine.sync_loaded(result));
        // Where the old data were served meanwhile, they are replaced now.
        self.next_generation();
    }

    fn send_file(&mut self, id: ClientId, path: &[u8]) {
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        let bytes = self.setup.disk.lock().read(name);
        let ok = bytes.is_ok();
        if let (Ok(bytes), Some(out)) = (bytes, self.engine.output(id)) {
            out.raw(format!("${}\r\n", bytes.len()).as_bytes());
            out.raw(&bytes);
        }
        self.engine.dump_sent(id, ok);
    }

    fn begin_relay(&mut self, replicas: Vec<ClientId>) {
        // The child before it may have ended in this very turn.
        self.finish_relay();
        let mark = self.engine.new_mark();
        for id in &replicas {
            if let Some(out) = self.engine.output(*id) {
                out.raw(format!("$EOF:{mark}\r\n").as_bytes());
            }
        }
        self.relay = Some((replicas, mark));
    }

    /// Whoever waits for a child that has ended goes on, whoever noticed its end.
    fn finish_relay(&mut self) {
        let Some(ok) = self.machine.take_ended() else {
            return;
        };
        let piped = self.machine.take_piped();
        let ok = ok && piped.is_some();
        if let Some(link) = self.slots_to.take() {
            let bytes = piped.unwrap_or_default();
            self.engine.link_queued(link, bytes.len());
            self.send_link(link, bytes);
            return self.turn(|engine| engine.snapshot_relayed(link, ok));
        }
        let Some((replicas, mark)) = self.relay.take() else {
            return;
        };
        for id in replicas {
            if let (Some(bytes), Some(out)) = (&piped, self.engine.output(id)) {
                out.raw(bytes);
                out.raw(mark.as_bytes());
            }
            self.turn(|engine| engine.dump_sent(id, ok));
        }
    }

    // ---- what the world tells ----------------------------------------------------------------------------------------

    pub(super) fn handle_input(&mut self, now: Now, input: Input) {
        self.set_now(now);
        match input {
            Input::Accepted {
                conn,
                remote,
                local,
            } => self.accept(conn, remote, local),
            Input::Connected { conn, .. } => match self.roles.get(&conn) {
                Some(&Role::Link(link)) => self.turn(|engine| engine.link_opened(link, Ok(()))),
                Some(&Role::Bus(link, _)) => {
                    self.turn(|engine| engine.bus_input(cluster_bus::Input::Connected { link }));
                }
                _ => {}
            },
            Input::Refused { conn } => match self.roles.remove(&conn) {
                Some(Role::Link(link)) => {
                    let why = "Connection refused".to_owned();
                    self.turn(|engine| engine.link_opened(link, Err(why)));
                }
                Some(Role::Bus(link, _)) => {
                    self.turn(|engine| {
                        engine.bus_input(cluster_bus::Input::ConnectFailed { link });
                    });
                }
                _ => {}
            },
            Input::Closed { conn } => self.closed(conn),
            Input::Bytes { conn, bytes } => self.received_bytes(conn, &bytes),
        }
        self.finish_relay();
    }

    fn accept(&mut self, conn: Conn, remote: SocketAddr, local: SocketAddr) {
        if local.port() != PORT {
            self.bus_links += 1;
            let link = cluster_bus::LinkId::Accepted(self.bus_links);
            self.roles.insert(conn, Role::Bus(link, BytesMut::new()));
            let local = local.ip();
            let input = cluster_bus::Input::Accepted {
                link,
                remote,
                local,
            };
            return self.turn(|engine| engine.bus_input(input));
        }
        let peer = Peer {
            addr: remote.to_string(),
            local_addr: local.to_string(),
            fd: 8,
            ..Peer::default()
        };
        self.engine.set_now(engine_now(self.now));
        match self.engine.accept(peer) {
            Ok(id) => drop(self.roles.insert(conn, Role::Client(id))),
            Err(_) => self.ready.push_back(Output::Close { conn }),
        }
    }

    fn closed(&mut self, conn: Conn) {
        self.full.remove(&conn);
        self.packets.remove(&conn);
        self.halves.remove(&conn);
        match self.roles.remove(&conn) {
            Some(Role::Client(id)) => self.turn(|engine| engine.close(id)),
            Some(Role::Link(link)) => self.turn(|engine| engine.link_closed(link)),
            Some(Role::Bus(link, _)) => {
                self.turn(|engine| engine.bus_input(cluster_bus::Input::Closed { link }));
            }
            None => {}
        }
    }

    fn received_bytes(&mut self, conn: Conn, bytes: &[u8]) {
        match self.roles.get_mut(&conn) {
            Some(&mut Role::Client(id)) => self.turn(|engine| {
                if engine.wants_input(id) {
                    engine.receive(id, bytes);
                }
            }),
            Some(&mut Role::Link(link)) => {
                let shifted = (self.setup.bug == Bug::OffsetByOne)
                    .then(|| shift(bytes))
                    .flatten();
                let mut bytes = shifted.as_deref().unwrap_or(bytes);
                if let Some((_, half)) = self.halves.get_mut(&conn) {
                    return half.extend_from_slice(bytes);
                }
                if bytes.first() == Some(&b'$') && bytes.len() > DUMP_BYTES {
                    let (now, later) = bytes.split_at(bytes.len() / 2);
                    let due_ms = self.now.mono_ms + HALF_MS;
                    self.halves.insert(conn, (due_ms, later.to_vec()));
                    bytes = now;
                }
                self.turn(|engine| engine.link_received(link, bytes));
            }
            Some(Role::Bus(link, buffer)) => {
                let link = *link;
                buffer.extend_from_slice(bytes);
                let mut packets = Vec::new();
                while let Ok(Some(length)) = frame_len(buffer) {
                    if buffer.len() < length {
                        break;
                    }
                    packets.extend(decode(&buffer[..length]));
                    buffer.advance(length);
                }
                for packet in packets {
                    let second = (self.setup.bug == Bug::SecondVote)
                        .then(|| self.voice.second_vote(&packet))
                        .flatten();
                    self.turn(|engine| engine.bus_received(link, packet));
                    if let Some(bytes) = second {
                        self.perform_bus(Action::BusSend { link, bytes });
                    }
                }
            }
            None => {}
        }
    }

    fn set_now(&mut self, now: Now) {
        self.now = now;
        self.machine.set_now(now.mono_ms);
    }

    pub(super) fn handle_timeout(&mut self, now: Now) {
        self.set_now(now);
        for link in std::mem::take(&mut self.resumed) {
            self.turn(|engine| engine.link_goes_on(link));
        }
        let due = |(_, (at_ms, _)): &(&Conn, &(u64, Vec<u8>))| *at_ms <= now.mono_ms;
        let halves: Vec<Conn> = self
            .halves
            .iter()
            .filter(due)
            .map(|(conn, _)| *conn)
            .collect();
        for conn in halves {
            let half = self.halves.remove(&conn);
            if let (Some((_, bytes)), Some(&Role::Link(link))) = (half, self.roles.get(&conn)) {
                self.turn(|engine| engine.link_received(link, &bytes));
            }
        }
        if self.machine.has_ended_child() {
            self.turn(Engine::look_after_child);
        }
        if !self.ended {
            self.turn(Engine::disk_went_on);
        }
        let due = |at_ms: u64| at_ms <= now.mono_ms;
        let load_ms = self
            .received
            .as_ref()
            .and_then(|received| received.load.as_ref());
        if load_ms.is_some_and(|(at_ms, _)| due(*at_ms)) {
            self.load_received();
        }
        if let Some((_, text)) = self.nodes.take_if(|(at_ms, _)| due(*at_ms)) {
            let written = self.write_nodes(text);
            // Another thread has waited for that.
            self.setup.disk.lock().take_use();
            self.turn(|engine| engine.nodes_saved(written));
        }
        if due(self.tick_ms) && !self.ended {
            self.tick_ms = now.mono_ms + TICK_MS;
            self.turn(Engine::tick);
            self.turn(Engine::tick_cluster);
        }
        self.finish_relay();
    }

    pub(super) fn poll_timeout(&self) -> Option<u64> {
        let load_ms = self
            .received
            .as_ref()
            .and_then(|received| received.load.as_ref())
            .map(|(at_ms, _)| *at_ms);
        let nodes_ms = self.nodes.as_ref().map(|(at_ms, _)| *at_ms);
        let halves_ms = self.halves.values().map(|(at_ms, _)| *at_ms).min();
        let resumed_ms = (!self.resumed.is_empty()).then_some(self.now.mono_ms);
        [
            load_ms,
            nodes_ms,
            self.machine.next_ms(),
            resumed_ms,
            halves_ms,
        ]
        .into_iter()
        .flatten()
        .chain([self.tick_ms])
        .min()
    }

    pub(super) fn set_full(&mut self, conn: Conn, full: bool) {
        if full {
            self.full.insert(conn);
            return;
        }
        self.full.remove(&conn);
        let packets = self.packets.remove(&conn).unwrap_or_default();
        if let Some(&Role::Bus(link, _)) = self.roles.get(&conn) {
            for bytes in packets {
                self.send_packet(conn, link, bytes);
            }
            self.after_turn();
        }
    }

    // ---- what goes out -----------------------------------------------------------------------------------------------

    pub(super) fn poll_output(&mut self) -> Option<Output<Note>> {
        if let Some(output) = self.ready.pop_front() {
            return Some(output);
        }
        if self.ended {
            return None;
        }
        self.next_sent()
    }

    /// What a client is sent next, or that its connection is over.
    fn next_sent(&mut self) -> Option<Output<Note>> {
        let clients: Vec<(Conn, ClientId)> = self
            .roles
            .iter()
            .filter_map(|(conn, role)| match role {
                Role::Client(id) if !self.full.contains(conn) => Some((*conn, *id)),
                _ => None,
            })
            .collect();
        for (conn, id) in clients {
            if self.engine.holds_replies(id) {
                continue;
            }
            if let Some(bytes) = self.next_bytes(id) {
                return Some(Output::Send { conn, bytes });
            }
            if !self.engine.wants_input(id) {
                self.roles.remove(&conn);
                self.engine.close(id);
                return Some(Output::Close { conn });
            }
        }
        None
    }

    fn next_bytes(&mut self, id: ClientId) -> Option<Vec<u8>> {
        let out = self.engine.output(id)?;
        if !out.is_empty() {
            let bytes = out.flatten().to_vec();
            out.advance(bytes.len());
            self.engine.sent(id, bytes.len());
            self.engine.output_done(id);
            return Some(bytes);
        }
        let share = self.engine.stream(id);
        if share.is_empty() {
            return None;
        }
        let bytes = share[..share.len().min(SHARE_BYTES)].to_vec();
        self.engine.stream_sent(id, bytes.len());
        Some(bytes)
    }

    // ---- for checks --------------------------------------------------------------------------------------------------

    /// What a command answers that is run by somebody on the machine itself.
    pub fn ask(&mut self, now: Now, words: &[&str]) -> String {
        self.set_now(now);
        self.engine.set_now(engine_now(now));
        let known = self.inspector.filter(|id| self.engine.wants_input(*id));
        let id = match known {
            Some(id) => id,
            None => {
                let peer = Peer {
                    addr: "127.0.0.1:1".to_owned(),
                    local_addr: "127.0.0.1:6379".to_owned(),
                    fd: 7,
                    ..Peer::default()
                };
                let Ok(id) = self.engine.accept(peer) else {
                    return String::new();
                };
                self.inspector = Some(id);
                if self.engine.config().cluster_enabled {
                    self.inspect(id, &["READONLY"]);
                }
                id
            }
        };
        self.inspect(id, words)
    }

    fn inspect(&mut self, id: ClientId, words: &[&str]) -> String {
        let mut request = resp::Reply::new();
        request.array(words.len());
        words.iter().for_each(|word| request.bulk(word));
        self.turn(|engine| engine.receive(id, &request.into_vec()));
        let Some(out) = self.engine.output(id) else {
            return String::new();
        };
        let text = String::from_utf8_lossy(out.flatten()).into_owned();
        out.clear();
        text
    }

    /// Whether it follows a primary.
    #[must_use]
    pub fn is_slave(&self) -> bool {
        self.engine.is_slave()
    }

    /// What waits to be sent to one client, or node, at most, in bytes.
    #[must_use]
    pub fn longest_output(&mut self) -> usize {
        let engine = &mut self.engine;
        let clients = self.roles.values().filter_map(|role| match role {
            Role::Client(id) => Some(*id),
            _ => None,
        });
        let packets = self.packets.values();
        clients
            .map(|id| engine.output(id).map_or(0, |out| out.len()))
            .chain(packets.map(|packets| packets.iter().map(Vec::len).sum()))
            .max()
            .unwrap_or(0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // What the engine would do in its last moments does not happen: the process is gone.
        self.machine.kill();
    }
}

/// A full copy said to begin one byte further on.
fn shift(bytes: &[u8]) -> Option<Vec<u8>> {
    let text = bytes.strip_prefix(b"+FULLRESYNC ")?;
    let end = text.iter().position(|byte| *byte == b'\r')?;
    let line = std::str::from_utf8(&text[..end]).ok()?;
    let (id, offset) = line.split_once(' ')?;
    let offset = offset.parse::<u64>().ok()? + 1;
    let line = format!("+FULLRESYNC {id} {offset}").into_bytes();
    Some([line, text[end..].to_vec()].concat())
}

/// Where a host's server listens.
#[must_use]
pub fn address(host: usize) -> SocketAddr {
    SocketAddr::new(crate::sim::World::<super::Process>::ip(host), PORT)
}

/// Where its bus listens.
#[must_use]
pub fn bus_address(host: usize) -> SocketAddr {
    SocketAddr::new(address(host).ip(), PORT + BUS_PORT_OFFSET)
}

fn engine_now(now: Now) -> engine::Now {
    engine::Now {
        mono_ms: now.mono_ms,
        unix_us: now.unix_ms * 1000,
    }
}
