//! A small world for the tests of this crate: monitors, fake Redis servers and a virtual clock. Everything is delivered
//! one millisecond later, in order; faults are what a test does by hand. (The simulator has the random ones.)

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "this is part of the tests")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use conf::ServerConfig;
use resp::Protocol;
use sentinel_core::config::{self, Config, Facts, File, Host};
use sentinel_core::{
    Addr, ClientId, Command, Input, JobId, Level, LinkId, LinkKind, Monitor, Now, Output, Reply,
};

/// Unix time of the tests' beginning, in milliseconds.
const EPOCH_MS: u64 = 1_763_794_460_000;

pub(crate) fn addr(port: u16) -> Addr {
    Addr::new([127, 0, 0, 1].into(), port).unwrap()
}

pub(crate) fn words(text: &str) -> Command {
    text.split_whitespace()
        .map(|word| word.as_bytes().to_vec())
        .collect()
}

pub(crate) fn runid(port: u16, start: u32) -> String {
    format!("{port:05}{start:03}{}", "0".repeat(32))
}

/// A world in which every program exists and addresses are literal.
pub(crate) struct NoWorld;

impl conf::Host for NoWorld {}

impl Host for NoWorld {
    fn resolve(&mut self, host: &str) -> Option<IpAddr> {
        host.parse().ok()
    }
    fn is_executable(&mut self, path: &str) -> bool {
        path.starts_with('/')
    }
}

/// Starts a monitor from a configuration text.
pub(crate) fn monitor(now: Now, text: &[u8], port: u16, myid: String, seed: u64) -> Monitor {
    let file = File::parse(text, &mut NoWorld).unwrap();
    let server = ServerConfig {
        port,
        dir: b"/var/lib/sentinel".to_vec(),
        ..file.server
    };
    let config = Config {
        myid: file.myid.unwrap_or(myid),
        server: Arc::new(server),
        globals: file.globals,
        facts: Facts::default(),
        world: config::World {
            is_executable: |path| path.starts_with('/'),
            read_file: |_| Err("No such file or directory".to_owned()),
            write_file: |_, _| Err("Read-only file system".to_owned()),
            fill_random: |bytes| {
                bytes.fill(7);
                Ok(())
            },
        },
    };
    let mut monitor = Monitor::new(now, config, file.saved, seed);
    monitor.load_users().unwrap();
    monitor
}

/// A fake Redis server.
#[derive(Debug)]
pub(crate) struct Redis {
    pub(crate) up: bool,
    /// Connected, but silent.
    pub(crate) frozen: bool,
    pub(crate) starts: u32,
    pub(crate) master: Option<Addr>,
    /// When the link to its master went down.
    pub(crate) link_down_since: Option<u64>,
    pub(crate) priority: i64,
    pub(crate) offset: u64,
    /// It keeps its data from a master that came back without them.
    pub(crate) refuses_empty: bool,
    /// Answer to PING, when it is not PONG.
    pub(crate) ping: Option<Reply>,
    /// SLAVEOF commands that are accepted and not obeyed.
    pub(crate) deaf: bool,
    /// Its answers come so much later.
    pub(crate) late_ms: u64,
    answers_until: u64,
    /// It knows FAILOVER.
    pub(crate) hands_over: bool,
    /// More lines of its INFO.
    pub(crate) more_info: String,
    /// Who subscribed to hello messages.
    subscribers: Vec<(usize, LinkId)>,
    pub(crate) log: Vec<String>,
}

/// A sentinel process with its configuration file.
pub(crate) struct Sentinel {
    pub(crate) port: u16,
    pub(crate) monitor: Option<Monitor>,
    pub(crate) file: Vec<u8>,
    pub(crate) starts: u32,
    pub(crate) frozen: bool,
    /// Writing the file fails.
    pub(crate) disk_full: bool,
    pub(crate) persists: usize,
    /// Event lines, with their time.
    pub(crate) events: Vec<(u64, String)>,
    pub(crate) scripts: Vec<(JobId, Vec<String>)>,
    /// Replies to the test's own client, id 0.
    pub(crate) replies: VecDeque<Reply>,
    links: BTreeMap<LinkId, (Addr, LinkKind)>,
    /// Clients that are links of other sentinels.
    peers: BTreeMap<ClientId, (usize, LinkId)>,
    next_client: u64,
}

enum Event {
    ToSentinel(usize, u32, Input),
    ToServer(usize, LinkId, Command),
}

pub(crate) struct World {
    pub(crate) now_ms: u64,
    /// How far the system's clock is from the monotonic one.
    pub(crate) unix_offset_ms: u64,
    pub(crate) sentinels: Vec<Sentinel>,
    pub(crate) servers: BTreeMap<u16, Redis>,
    /// Other processes at `ip:port`, and the id that each gives itself; they answer as a sentinel does that knows nothing.
    pub(crate) fakes: BTreeMap<String, String>,
    /// What host names stand for.
    pub(crate) names: BTreeMap<String, IpAddr>,
    queue: VecDeque<(u64, Event)>,
}

impl Redis {
    fn new(master: Option<Addr>) -> Self {
        Self {
            up: true,
            frozen: false,
            starts: 0,
            master,
            link_down_since: None,
            priority: 100,
            offset: 586,
            refuses_empty: false,
            ping: None,
            deaf: false,
            late_ms: 0,
            answers_until: 0,
            hands_over: false,
            more_info: String::new(),
            subscribers: Vec::new(),
            log: Vec::new(),
        }
    }
}

impl World {
    /// A master on 6379 with slaves on the given ports.
    pub(crate) fn new(slaves: &[u16]) -> Self {
        let mut servers = BTreeMap::from([(6379, Redis::new(None))]);
        let slave = |&port| (port, Redis::new(Some(addr(6379))));
        servers.extend(slaves.iter().map(slave));
        Self {
            now_ms: 1_000,
            unix_offset_ms: EPOCH_MS,
            sentinels: Vec::new(),
            servers,
            fakes: BTreeMap::new(),
            names: BTreeMap::new(),
            queue: VecDeque::new(),
        }
    }

    /// One more replica.
    pub(crate) fn add_server(&mut self, port: u16, master: u16) {
        self.servers.insert(port, Redis::new(Some(addr(master))));
    }

    pub(crate) fn now(&self) -> Now {
        Now {
            mono_ms: self.now_ms,
            unix_ms: self.now_ms + self.unix_offset_ms,
        }
    }

    pub(crate) fn add_sentinel(&mut self, config: &str) -> usize {
        let index = self.sentinels.len();
        self.sentinels.push(Sentinel {
            port: 26_379 + u16::try_from(index).unwrap(),
            monitor: None,
            file: config.as_bytes().to_vec(),
            starts: 0,
            frozen: false,
            disk_full: false,
            persists: 0,
            events: Vec::new(),
            scripts: Vec::new(),
            replies: VecDeque::new(),
            links: BTreeMap::new(),
            peers: BTreeMap::new(),
            next_client: 1,
        });
        self.start_sentinel(index);
        index
    }

    pub(crate) fn start_sentinel(&mut self, index: usize) {
        let now = self.now();
        let sentinel = &mut self.sentinels[index];
        sentinel.starts += 1;
        let seed = u64::from(sentinel.port) * 1_000 + u64::from(sentinel.starts);
        let runid = runid(sentinel.port, sentinel.starts);
        let file = sentinel.file.clone();
        sentinel.monitor = Some(monitor(now, &file, sentinel.port, runid, seed));
        self.input(
            index,
            Input::ClientConnected {
                client: ClientId(0),
                addr: "127.0.0.1:1".to_owned(),
                laddr: "127.0.0.1:26379".to_owned(),
                fd: 5,
            },
        );
    }

    pub(crate) fn crash_sentinel(&mut self, index: usize) {
        let sentinel = &mut self.sentinels[index];
        sentinel.monitor = None;
        let (links, peers) = (
            std::mem::take(&mut sentinel.links),
            std::mem::take(&mut sentinel.peers),
        );
        for link in links.into_keys() {
            self.drop_link(index, link);
        }
        for (other, link) in peers.into_values() {
            self.close_link(other, link);
        }
    }

    pub(crate) fn kill(&mut self, port: u16) {
        let now = self.now_ms;
        for server in self
            .servers
            .values_mut()
            .filter(|server| server.master == Some(addr(port)))
        {
            server.link_down_since = Some(now);
        }
        let server = self.servers.get_mut(&port).unwrap();
        server.up = false;
        server.subscribers.clear();
        for index in 0..self.sentinels.len() {
            let gone: Vec<LinkId> = self.sentinels[index].links_to(&addr(port));
            gone.into_iter()
                .for_each(|link| self.close_link(index, link));
        }
    }

    pub(crate) fn restart(&mut self, port: u16) {
        let server = self.servers.get_mut(&port).unwrap();
        server.up = true;
        server.starts += 1;
        for server in self
            .servers
            .values_mut()
            .filter(|server| server.master == Some(addr(port)))
        {
            server.link_down_since = None;
        }
    }

    /// Runs for some time.
    pub(crate) fn run(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        self.run_until(end, |_| false);
        self.now_ms = end;
    }

    /// Runs until something holds; panics when that takes longer than `ms`.
    pub(crate) fn wait_for(&mut self, ms: u64, what: &str, holds: impl Fn(&Self) -> bool) {
        let end = self.now_ms + ms;
        assert!(
            self.run_until(end, holds),
            "not within {ms} ms: {what}\n{}",
            self.all_events()
        );
    }

    fn run_until(&mut self, end: u64, holds: impl Fn(&Self) -> bool) -> bool {
        loop {
            if holds(self) {
                return true;
            }
            let timeout = |sentinel: &Sentinel| {
                sentinel
                    .monitor
                    .as_ref()
                    .filter(|_| !sentinel.frozen)
                    .and_then(Monitor::poll_timeout)
            };
            let timer = self.sentinels.iter().filter_map(timeout).min();
            let message = self.queue.front().map(|(at, _)| *at);
            let Some(next) = timer
                .into_iter()
                .chain(message)
                .min()
                .filter(|&at| at <= end)
            else {
                return false;
            };
            self.now_ms = self.now_ms.max(next);
            if message.is_some_and(|at| at <= self.now_ms) {
                if let Some((_, event)) = self.queue.pop_front() {
                    self.deliver(event);
                }
                continue;
            }
            for index in 0..self.sentinels.len() {
                let now = self.now();
                let sentinel = &mut self.sentinels[index];
                if let Some(monitor) = sentinel.monitor.as_mut().filter(|_| !sentinel.frozen) {
                    monitor.handle_timeout(now);
                    self.drain(index);
                }
            }
        }
    }

    /// Sends a request of the test's own client and gives its first reply.
    pub(crate) fn ask(&mut self, index: usize, request: &str) -> Reply {
        self.ask_words(index, words(request))
    }

    pub(crate) fn ask_words(&mut self, index: usize, request: Command) -> Reply {
        self.sentinels[index].replies.clear();
        self.input(
            index,
            Input::ClientRequest {
                client: ClientId(0),
                request,
            },
        );
        self.sentinels[index].replies.pop_front().expect("a reply")
    }

    pub(crate) fn input(&mut self, index: usize, input: Input) {
        let now = self.now();
        if let Some(monitor) = &mut self.sentinels[index].monitor {
            monitor.handle_input(now, input);
            self.drain(index);
        }
    }

    pub(crate) fn master_port(&mut self, index: usize) -> String {
        let Reply::Array(parts) = self.ask(index, "SENTINEL get-master-addr-by-name mymaster")
        else {
            panic!()
        };
        let Reply::Bulk(port) = &parts[1] else {
            panic!()
        };
        String::from_utf8(port.clone()).unwrap()
    }

    /// The event lines of a sentinel, from a moment on.
    pub(crate) fn events(&self, index: usize, since_ms: u64) -> Vec<String> {
        let events = self.sentinels[index]
            .events
            .iter()
            .filter(|(at, _)| *at >= since_ms);
        events.map(|(_, line)| line.clone()).collect()
    }

    pub(crate) fn has_event(&self, index: usize, start: &str) -> bool {
        self.sentinels[index]
            .events
            .iter()
            .any(|(_, line)| line.starts_with(start))
    }

    pub(crate) fn count_events(&self, start: &str) -> usize {
        let events = self.sentinels.iter().flat_map(|sentinel| &sentinel.events);
        events.filter(|(_, line)| line.starts_with(start)).count()
    }

    fn all_events(&self) -> String {
        let mut text = String::new();
        for sentinel in &self.sentinels {
            for (at, line) in &sentinel.events {
                text += &format!("{} {at} {line}\n", sentinel.port);
            }
        }
        text
    }

    fn later(&mut self, event: Event) {
        self.at(self.now_ms + 1, event);
    }

    fn at(&mut self, at: u64, event: Event) {
        let place = self.queue.partition_point(|(other, _)| *other <= at);
        self.queue.insert(place, (at, event));
    }

    fn tell(&mut self, index: usize, input: Input) {
        let start = self.sentinels[index].starts;
        self.later(Event::ToSentinel(index, start, input));
    }

    fn close_link(&mut self, index: usize, link: LinkId) {
        if self.sentinels[index].links.remove(&link).is_some() {
            self.tell(
                index,
                Input::Closed {
                    link,
                    reason: "Server closed the connection".to_owned(),
                },
            );
        }
    }

    /// A link's own side dropped it.
    fn drop_link(&mut self, index: usize, link: LinkId) {
        self.sentinels[index].links.remove(&link);
        for server in self.servers.values_mut() {
            server
                .subscribers
                .retain(|subscriber| *subscriber != (index, link));
        }
        for other in 0..self.sentinels.len() {
            let client = self.sentinels[other]
                .peers
                .iter()
                .find(|(_, end)| **end == (index, link))
                .map(|(id, _)| *id);
            if let Some(client) = client {
                self.sentinels[other].peers.remove(&client);
                self.tell(other, Input::ClientClosed { client });
            }
        }
    }

    fn deliver(&mut self, event: Event) {
        match event {
            Event::ToSentinel(index, start, input) => {
                if self.sentinels[index].starts == start {
                    self.input(index, input);
                }
            }
            Event::ToServer(index, link, command) => {
                let Some((to, _)) = self.sentinels[index].links.get(&link).cloned() else {
                    return;
                };
                if let Some(id) = self.fakes.get(&to.label(false)) {
                    let reply = match command.iter().map(Vec::as_slice).collect::<Vec<_>>()[..] {
                        [b"PING"] => Reply::Status("PONG".to_owned()),
                        [b"SENTINEL", b"MYID"] => Reply::bulk(id),
                        _ => Reply::ok(),
                    };
                    self.tell(index, Input::Received { link, reply });
                } else if let Some(other) = self
                    .sentinels
                    .iter()
                    .position(|sentinel| sentinel.port == to.port)
                {
                    let end = (index, link);
                    let client = self.sentinels[other]
                        .peers
                        .iter()
                        .find(|(_, other)| **other == end)
                        .map(|(id, _)| *id);
                    if let Some(client) = client {
                        self.tell(
                            other,
                            Input::ClientRequest {
                                client,
                                request: command,
                            },
                        );
                    }
                } else if self
                    .servers
                    .get(&to.port)
                    .is_some_and(|server| server.up && !server.frozen)
                {
                    self.serve(index, link, to.port, &command);
                }
            }
        }
    }

    fn drain(&mut self, index: usize) {
        while let Some(output) = self.sentinels[index]
            .monitor
            .as_mut()
            .and_then(Monitor::poll_output)
        {
            self.perform(index, output);
        }
    }

    fn perform(&mut self, index: usize, output: Output) {
        let now_ms = self.now_ms;
        let sentinel = &mut self.sentinels[index];
        match output {
            Output::Connect { link, addr, kind } => {
                sentinel.links.insert(link, (addr.clone(), kind));
                self.connect(index, link, &addr);
            }
            Output::Close { link } => self.drop_link(index, link),
            Output::Send { link, command } => self.later(Event::ToServer(index, link, command)),
            Output::Persist(snapshot) => {
                sentinel.persists += 1;
                if sentinel.disk_full {
                    let now = self.now();
                    let error = "No space left on device".to_owned();
                    let monitor = self.sentinels[index].monitor.as_mut().unwrap();
                    monitor.handle_input(now, Input::PersistFailed { error });
                } else {
                    sentinel.file = snapshot.render(&sentinel.file);
                }
            }
            Output::Event { level, kind, text } => {
                if level >= Level::Notice {
                    sentinel.events.push((now_ms, format!("{kind} {text}")));
                }
            }
            Output::Log { text, .. } => sentinel.events.push((now_ms, text)),
            Output::FailoverDelayed { not_before_unix_ms } => {
                sentinel
                    .events
                    .push((now_ms, format!("delayed until {not_before_unix_ms}")));
            }
            Output::Reply {
                client: ClientId(0),
                protocol,
                reply,
            } => sentinel.replies.push_back(match protocol {
                Protocol::Resp2 => reply.in_resp2(),
                Protocol::Resp3 => reply,
            }),
            Output::Reply { client, reply, .. } => {
                let reply = reply.in_resp2();
                if let Some(&(other, link)) = sentinel.peers.get(&client) {
                    self.tell(other, Input::Received { link, reply });
                }
            }
            Output::RunScript { job, argv } => sentinel.scripts.push((job, argv)),
            Output::Resolve { host } => {
                let ip = self.names.get(&host).copied();
                self.tell(index, Input::Resolved { host, ip });
            }
            Output::Disconnect { .. }
            | Output::PauseClients { .. }
            | Output::ResumeClients
            | Output::LogLevel(_)
            | Output::KillScript { .. }
            | Output::Crash
            | Output::Shutdown => {
                sentinel.events.push((now_ms, format!("{output:?}")));
            }
        }
    }

    fn connect(&mut self, index: usize, link: LinkId, to: &Addr) {
        let named = to.host().and_then(|host| self.names.get(host)).copied();
        let here = named.or(to.ip) == addr(to.port).ip;
        let other = self
            .sentinels
            .iter()
            .position(|sentinel| sentinel.port == to.port && sentinel.monitor.is_some())
            .filter(|_| here);
        if let Some(other) = other {
            let target = &mut self.sentinels[other];
            let client = ClientId(target.next_client);
            target.next_client += 1;
            target.peers.insert(client, (index, link));
            self.tell(
                other,
                Input::ClientConnected {
                    client,
                    addr: "127.0.0.1:2".to_owned(),
                    laddr: "127.0.0.1:26379".to_owned(),
                    fd: 9,
                },
            );
        } else if !self.fakes.contains_key(&to.label(false))
            && (!here || !self.servers.get(&to.port).is_some_and(|server| server.up))
        {
            self.sentinels[index].links.remove(&link);
            return self.tell(
                index,
                Input::Closed {
                    link,
                    reason: "Connection refused".to_owned(),
                },
            );
        }
        self.tell(
            index,
            Input::Connected {
                link,
                local_ip: [127, 0, 0, 1].into(),
                peer_ip: [127, 0, 0, 1].into(),
            },
        );
    }

    /// What a Redis server answers.
    #[expect(clippy::too_many_lines, reason = "one arm per command")]
    fn serve(&mut self, index: usize, link: LinkId, port: u16, command: &[Vec<u8>]) {
        let text: Vec<String> = command
            .iter()
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
        let line = text.join(" ");
        let info = self.info(port);
        let server = self.servers.get_mut(&port).unwrap();
        let queued = Reply::Status("QUEUED".to_owned());
        let reply = match text[0].as_str() {
            "PING" => server
                .ping
                .clone()
                .unwrap_or(Reply::Status("PONG".to_owned())),
            "INFO" => Reply::bulk(info),
            "SUBSCRIBE" => {
                server.subscribers.push((index, link));
                Reply::Array(vec![
                    Reply::bulk("subscribe"),
                    Reply::bulk(&text[1]),
                    Reply::Integer(1),
                ])
            }
            "PUBLISH" => {
                let message = ["message", &text[1], &text[2]].map(Reply::bulk).to_vec();
                for (other, link) in server.subscribers.clone() {
                    self.tell(
                        other,
                        Input::Received {
                            link,
                            reply: Reply::Array(message.clone()),
                        },
                    );
                }
                Reply::Integer(1)
            }
            "SLAVEOF" => {
                server.log.push(line);
                let master = Addr::parse(&text[1], &text[2]);
                if !server.deaf {
                    server.master.clone_from(&master);
                    let up = master.is_none_or(|master| {
                        self.servers
                            .get(&master.port)
                            .is_some_and(|server| server.up)
                    });
                    self.servers.get_mut(&port).unwrap().link_down_since =
                        (!up).then_some(self.now_ms);
                }
                queued
            }
            "CONFIG" | "MULTI" => queued,
            "FAILOVER" => {
                server.log.push(line);
                if !server.deaf {
                    let target = Addr::parse(&text[2], &text[3]).unwrap();
                    server.master = Some(target.clone());
                    self.servers.get_mut(&target.port).unwrap().master = None;
                }
                queued
            }
            "CLIENT" | "SCRIPT" | "AUTH" => {
                server.log.push(line);
                Reply::ok()
            }
            _ => Reply::ok(),
        };
        let server = self.servers.get_mut(&port).unwrap();
        let at = (self.now_ms + 1 + server.late_ms).max(server.answers_until);
        server.answers_until = at;
        let start = self.sentinels[index].starts;
        let event = Event::ToSentinel(index, start, Input::Received { link, reply });
        self.at(at, event);
    }

    fn info(&self, port: u16) -> String {
        let server = &self.servers[&port];
        let mut text = format!(
            "# Server\r\nrun_id:{}\r\n{}# Replication\r\n",
            runid(port, server.starts),
            server.more_info
        );
        if server.hands_over {
            text += "master_failover_state:no-failover\r\n";
        }
        let slaves: BTreeSet<u16> = self
            .servers
            .iter()
            .filter(|(_, slave)| slave.up && slave.master == Some(addr(port)))
            .map(|(port, _)| *port)
            .collect();
        let mut behind = format!("connected_slaves:{}\r\n", slaves.len());
        for (number, slave) in slaves.into_iter().enumerate() {
            behind +=
                &format!("slave{number}:ip=127.0.0.1,port={slave},state=online,offset=1,lag=0\r\n");
        }
        match &server.master {
            None => text += &format!("role:master\r\n{behind}"),
            Some(master) => {
                let status = if server.link_down_since.is_some() {
                    "down"
                } else {
                    "up"
                };
                text += &format!(
                    "role:slave\r\nmaster_host:{}\r\nmaster_port:{}\r\nmaster_link_status:{status}\r\n\
                     slave_repl_offset:{}\r\n{behind}",
                    master.shown(true),
                    master.port,
                    server.offset
                );
                if server.refuses_empty {
                    text += "empty_master_refused_seconds_left:60\r\n";
                }
                if let Some(since) = server.link_down_since {
                    text += &format!(
                        "master_link_down_since_seconds:{}\r\n",
                        (self.now_ms - since) / 1_000
                    );
                }
                text += &format!("slave_priority:{}\r\n", server.priority);
            }
        }
        text
    }
}

impl Sentinel {
    fn links_to(&self, addr: &Addr) -> Vec<LinkId> {
        self.links
            .iter()
            .filter(|(_, (to, _))| to.is(addr))
            .map(|(link, _)| *link)
            .collect()
    }
}
