//! Several nodes wired together under a virtual clock: every packet is encoded and decoded on its way, every link can
//! be cut, every node can stop and come back from what it has persisted. Latency is one millisecond; for chance and
//! for faults in number there is the simulator.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]
#![allow(dead_code, reason = "each test file uses its part")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use cluster_bus::message::{Body, Message, NodeFlags, Packet, Version};
use cluster_bus::{
    Caller, Config, Event, Facts, Input, LinkId, Node, NodeId, Now, Output, Slot, codec, nodes_conf,
};

pub(crate) const LATENCY_MS: u64 = 1;
pub(crate) const BASE_PORT: u16 = 7000;
const START_UNIX_MS: u64 = 1_700_000_000_000;

/// A server as far as the bus is concerned.
pub(crate) struct Host {
    pub(crate) node: Node,
    pub(crate) up: bool,
    pub(crate) file: String,
    pub(crate) events: Vec<Event>,
    pub(crate) facts: Facts,
    pub(crate) config: Config,
    /// Stands still: what comes for it waits.
    pub(crate) frozen: bool,
    waiting: Vec<(LinkId, Parcel)>,
    seed: u64,
    accepted: u64,
}

/// Something on its way to a host.
enum Parcel {
    Accepted,
    Packet(Vec<u8>),
    Opened,
    Refused,
    Closed,
}

pub(crate) struct World {
    pub(crate) now_ms: u64,
    pub(crate) hosts: Vec<Host>,
    /// Pairs (from, to) that cannot talk.
    pub(crate) cut: BTreeSet<(usize, usize)>,
    /// Both ends of every open link.
    ends: BTreeMap<(usize, LinkId), (usize, LinkId)>,
    parcels: BTreeMap<u64, VecDeque<(usize, LinkId, Parcel)>>,
    /// Hosts that speak one version only, as Redis does.
    pub(crate) only: BTreeMap<usize, Version>,
    /// Every packet sent: time, from, to, packet.
    pub(crate) sent: Vec<(u64, usize, usize, Message)>,
    /// Every connection that was begun: time, from, to which port of the bus.
    pub(crate) dials: Vec<(u64, usize, u16)>,
    /// Every packet without a header.
    pub(crate) light: Vec<(u64, usize, usize)>,
}

impl World {
    pub(crate) fn new(count: usize, config: &Config) -> Self {
        let mut world = Self {
            now_ms: 0,
            hosts: Vec::new(),
            cut: BTreeSet::new(),
            ends: BTreeMap::new(),
            parcels: BTreeMap::new(),
            only: BTreeMap::new(),
            sent: Vec::new(),
            dials: Vec::new(),
            light: Vec::new(),
        };
        for index in 0..count {
            let config = Config {
                port: port(index),
                ..config.clone()
            };
            let seed = index as u64 + 1;
            let node = Node::new(world.now(), config.clone(), None, seed);
            let host = Host {
                node,
                up: true,
                file: String::new(),
                events: Vec::new(),
                facts: Facts::default(),
                config,
                frozen: false,
                waiting: Vec::new(),
                seed,
                accepted: 0,
            };
            world.hosts.push(host);
            world.drain(index);
        }
        world
    }

    pub(crate) fn now(&self) -> Now {
        Now {
            mono_ms: self.now_ms,
            unix_ms: START_UNIX_MS + self.now_ms,
        }
    }

    pub(crate) fn id(&self, index: usize) -> NodeId {
        self.hosts[index].node.my_id()
    }

    pub(crate) fn id_text(&self, index: usize) -> String {
        self.id(index).to_string()
    }

    /// Calls a node and does what it asks for.
    pub(crate) fn call<T>(&mut self, index: usize, call: impl FnOnce(&mut Node, Now) -> T) -> T {
        let now = self.now();
        let result = call(&mut self.hosts[index].node, now);
        self.drain(index);
        result
    }

    pub(crate) fn meet(&mut self, from: usize, to: usize) {
        assert!(self.call(from, |node, now| node.meet(
            now,
            Ipv4Addr::LOCALHOST.into(),
            port(to)
        )));
    }

    pub(crate) fn run_ms(&mut self, ms: u64) {
        let end = self.now_ms + ms;
        while self.now_ms < end {
            self.now_ms += 1;
            while let Some(mut due) = self.parcels.remove(&self.now_ms) {
                while let Some((to, link, parcel)) = due.pop_front() {
                    self.deliver(to, link, parcel);
                }
            }
            for index in 0..self.hosts.len() {
                let host = &mut self.hosts[index];
                if host.up && !host.frozen && host.node.poll_timeout().unwrap() <= self.now_ms {
                    self.refresh_facts(index);
                    let facts = self.hosts[index].facts;
                    self.call(index, |node, now| node.handle_timeout(now, facts));
                }
            }
        }
    }

    /// Runs until a condition holds; fails after `limit_ms`.
    pub(crate) fn run_until(
        &mut self,
        what: &str,
        limit_ms: u64,
        holds: impl Fn(&Self) -> bool,
    ) -> u64 {
        let start = self.now_ms;
        while !holds(self) {
            assert!(
                self.now_ms - start < limit_ms,
                "not within {limit_ms} ms: {what}\n{}",
                self.report()
            );
            self.run_ms(10);
        }
        self.now_ms - start
    }

    pub(crate) fn report(&self) -> String {
        (0..self.hosts.len())
            .map(|index| {
                let host = &self.hosts[index];
                let log = self
                    .log(index)
                    .into_iter()
                    .filter(|line| !line.contains("inging") && !line.contains("GOSSIP"));
                let log: Vec<_> = log.collect();
                let last = log[log.len().saturating_sub(12)..].join("\n  ");
                format!(
                    "{}{:?}\n  {last}\n\n",
                    host.node.cluster_nodes(Caller::default()),
                    host.node.state()
                )
            })
            .collect()
    }

    /// Replication as far as the bus sees it: a replica whose master lives and can be reached has all of its data.
    fn refresh_facts(&mut self, index: usize) {
        let Some(master) = self.hosts[index].node.master_id() else {
            return;
        };
        let Some(master) = (0..self.hosts.len()).find(|other| self.id(*other) == master) else {
            return;
        };
        let reachable = self.hosts[master].up
            && !self.hosts[master].frozen
            && !self.cut.contains(&(master, index))
            && !self.cut.contains(&(index, master));
        if reachable {
            let offset = self.hosts[master].facts.repl_offset;
            self.set_facts(
                index,
                Facts {
                    repl_offset: offset,
                    data_as_of_ms: Some(self.now_ms),
                    ..Facts::default()
                },
            );
        }
    }

    pub(crate) fn set_facts(&mut self, index: usize, facts: Facts) {
        self.hosts[index].facts = facts;
    }

    /// Tells a node what happened to it.
    pub(crate) fn input(&mut self, index: usize, input: Input) {
        let facts = self.hosts[index].facts;
        self.call(index, |node, now| node.handle_input(now, facts, input));
    }

    /// A process that stood still goes on, with all that came meanwhile.
    pub(crate) fn thaw(&mut self, index: usize) {
        self.hosts[index].frozen = false;
        for (link, parcel) in std::mem::take(&mut self.hosts[index].waiting) {
            self.deliver(index, link, parcel);
        }
    }

    /// The process is gone; its links break at once, as the kernel does it.
    pub(crate) fn kill(&mut self, index: usize) {
        self.hosts[index].up = false;
        let ends: Vec<_> = self
            .ends
            .keys()
            .filter(|(host, _)| *host == index)
            .copied()
            .collect();
        for (host, link) in ends {
            self.close(host, link);
        }
    }

    pub(crate) fn restart(&mut self, index: usize) {
        let now = self.now();
        let host = &mut self.hosts[index];
        let saved = nodes_conf::load(host.file.as_bytes()).unwrap();
        host.seed += 1000;
        host.node = Node::new(now, host.config.clone(), saved, host.seed);
        host.up = true;
        host.facts.data_as_of_ms = None;
        let facts = host.facts;
        self.drain(index);
        self.set_facts(index, facts);
    }

    /// A packet as a host would send it now.
    pub(crate) fn packet_of(&self, index: usize, body: Body) -> Message {
        let last = self
            .sent
            .iter()
            .rev()
            .find(|entry| entry.1 == index)
            .unwrap();
        Message {
            header: last.3.header.clone(),
            body,
        }
    }

    /// Hands a packet to a host, over a link of its own, and returns what that host sent because of it.
    pub(crate) fn inject(&mut self, to: usize, message: Message) -> Vec<Message> {
        let local = IpAddr::from(Ipv4Addr::LOCALHOST);
        let link = LinkId::Accepted(u64::MAX);
        let before = self.sent.len();
        let remote = SocketAddr::new(local, 50000);
        self.input(
            to,
            Input::Accepted {
                link,
                remote,
                local,
            },
        );
        let packet = message.into();
        self.input(to, Input::Received { link, packet });
        self.input(to, Input::Closed { link });
        self.sent[before..]
            .iter()
            .map(|entry| entry.3.clone())
            .collect()
    }

    /// The other end of a link loses it, and this end does not hear of that.
    pub(crate) fn deafen(&mut self, host: usize, link: LinkId) {
        if let Some((other, other_link)) = self.ends.remove(&(host, link)) {
            self.ends.remove(&(other, other_link));
            self.later(other, other_link, Parcel::Closed);
        }
    }

    pub(crate) fn partition(&mut self, one: &[usize], other: &[usize]) {
        for a in one {
            for b in other {
                self.cut.extend([(*a, *b), (*b, *a)]);
            }
        }
    }

    pub(crate) fn heal(&mut self) {
        self.cut.clear();
    }

    pub(crate) fn logged(&self, index: usize, part: &str) -> bool {
        self.log(index).iter().any(|line| line.contains(part))
    }

    pub(crate) fn log(&self, index: usize) -> Vec<&str> {
        let events = self.hosts[index].events.iter();
        events
            .filter_map(|event| match event {
                Event::Log { text, .. } => Some(text.as_str()),
                _ => None,
            })
            .collect()
    }

    pub(crate) fn flags(&self, seen_by: usize, index: usize) -> NodeFlags {
        let id = self.id(index);
        self.hosts[seen_by]
            .node
            .node_lines()
            .find(|line| line.id == id)
            .map(|line| line.flags)
            .unwrap_or_default()
    }

    /// Packets from one host to another since a time, by a test on their body.
    pub(crate) fn sent_since(
        &self,
        since_ms: u64,
        from: usize,
        to: usize,
        body: impl Fn(&Body) -> bool,
    ) -> usize {
        let matching = |entry: &&(u64, usize, usize, Message)| {
            entry.0 >= since_ms && (entry.1, entry.2) == (from, to) && body(&entry.3.body)
        };
        self.sent.iter().filter(matching).count()
    }

    fn later(&mut self, to: usize, link: LinkId, parcel: Parcel) {
        self.parcels
            .entry(self.now_ms + LATENCY_MS)
            .or_default()
            .push_back((to, link, parcel));
    }

    fn close(&mut self, host: usize, link: LinkId) {
        if let Some((other, other_link)) = self.ends.remove(&(host, link)) {
            self.ends.remove(&(other, other_link));
            self.later(other, other_link, Parcel::Closed);
        }
    }

    fn deliver(&mut self, to: usize, link: LinkId, parcel: Parcel) {
        if !self.hosts[to].up {
            return;
        }
        if self.hosts[to].frozen {
            self.hosts[to].waiting.push((link, parcel));
            return;
        }
        let input = match parcel {
            Parcel::Packet(bytes) => {
                assert_eq!(codec::frame_len(&bytes), Ok(Some(bytes.len())));
                let packet = codec::decode(&bytes).unwrap();
                assert_eq!(codec::encode(&packet), bytes);
                assert_eq!(codec::encoded_len(&packet), bytes.len() as u64);
                let version = match &packet {
                    Packet::Full(message) => message.header.version,
                    Packet::Light(_) => Version::V1,
                };
                if self.only.get(&to).is_some_and(|only| *only != version) {
                    // 4.0 and later take a bare packet of version 0 for a damaged one; else it is dropped.
                    if bytes.len() < 2256 {
                        self.close(to, link);
                        self.input(to, Input::Closed { link });
                    }
                    return;
                }
                Input::Received { link, packet }
            }
            Parcel::Accepted => {
                let local = IpAddr::from(Ipv4Addr::LOCALHOST);
                let remote = SocketAddr::new(local, 50000);
                Input::Accepted {
                    link,
                    remote,
                    local,
                }
            }
            Parcel::Opened => Input::Connected { link },
            Parcel::Refused => Input::ConnectFailed { link },
            Parcel::Closed => Input::Closed { link },
        };
        self.input(to, input);
    }

    fn drain(&mut self, from: usize) {
        while let Some(output) = self.hosts[from].node.poll_output() {
            match output {
                Output::Connect { link, addr } => self.connect(from, link, addr),
                Output::Close { link } => self.close(from, link),
                Output::Send { link, packet } => self.send(from, link, packet),
                Output::Persist { .. } => {
                    let host = &mut self.hosts[from];
                    host.file = host.node.nodes_conf_text();
                }
                Output::Event(event) => self.hosts[from].events.push(event),
            }
        }
    }

    fn connect(&mut self, from: usize, link: LinkId, addr: SocketAddr) {
        self.dials.push((self.now_ms, from, addr.port()));
        let is_there =
            |host: &Host| host.up && host.config.port.checked_add(10000) == Some(addr.port());
        let Some(to) = self.hosts.iter().position(is_there) else {
            return self.later(from, link, Parcel::Refused);
        };
        if self.cut.contains(&(from, to)) || self.cut.contains(&(to, from)) {
            // Nobody answers: the connection stays half open.
            return;
        }
        self.hosts[to].accepted += 1;
        let other = LinkId::Accepted(self.hosts[to].accepted);
        self.ends.insert((from, link), (to, other));
        self.ends.insert((to, other), (from, link));
        self.later(to, other, Parcel::Accepted);
        self.later(from, link, Parcel::Opened);
    }

    fn send(&mut self, from: usize, link: LinkId, packet: Packet) {
        let bytes = codec::encode(&packet);
        let Some((to, other)) = self.ends.get(&(from, link)).copied() else {
            return;
        };
        match packet {
            Packet::Full(message) => self.sent.push((self.now_ms, from, to, *message)),
            Packet::Light(_) => self.light.push((self.now_ms, from, to)),
        }
        if !self.cut.contains(&(from, to)) {
            self.later(to, other, Parcel::Packet(bytes));
        }
    }
}

pub(crate) fn port(index: usize) -> u16 {
    BASE_PORT + u16::try_from(index).unwrap()
}

pub(crate) fn slots(first: u16, last: u16) -> Vec<Slot> {
    (first..=last)
        .map(|number| Slot::new(number).unwrap())
        .collect()
}

pub(crate) fn quick() -> Config {
    Config {
        node_timeout_ms: 2000,
        bus_version: Version::V0,
        log_level: cluster_bus::LogLevel::Debug,
        ..Config::default()
    }
}

/// `masters` masters that share the slots evenly, and one replica each for as many of the other hosts as there are.
pub(crate) fn cluster(masters: usize, hosts: usize, config: &Config) -> World {
    let mut world = World::new(hosts, config);
    let share = 16384 / masters;
    for index in 0..masters {
        let last = if index + 1 == masters {
            16383
        } else {
            (index + 1) * share - 1
        };
        let list = slots(
            u16::try_from(index * share).unwrap(),
            u16::try_from(last).unwrap(),
        );
        world.call(index, |node, now| {
            node.set_config_epoch(now, i64::try_from(index).unwrap() + 1)
                .unwrap();
            node.add_slots(now, &list).unwrap();
        });
    }
    for index in 1..hosts {
        world.meet(0, index);
    }
    world.run_until("all know all", 20_000, |world| {
        world.hosts.iter().all(|host| {
            let lines: Vec<_> = host.node.node_lines().collect();
            lines.len() == hosts
                && lines
                    .iter()
                    .all(|line| line.connected && !line.flags.has(NodeFlags::HANDSHAKE))
        })
    });
    for index in masters..hosts {
        let master = world.id_text(index % masters);
        world.call(index, |node, now| {
            node.replicate(now, &master, true).unwrap();
        });
    }
    world.run_until("the cluster is ok", 20_000, |world| {
        settled(world) && (masters..hosts).all(|index| world.flags(0, index).has(NodeFlags::SLAVE))
    });
    world
}

/// Every living node says ok, knows the same owner for every slot, and config epochs of masters differ.
pub(crate) fn settled(world: &World) -> bool {
    let up: Vec<&Host> = world.hosts.iter().filter(|host| host.up).collect();
    let map = |host: &Host| {
        Slot::all()
            .step_by(61)
            .map(|slot| host.node.owner(slot))
            .collect::<Vec<_>>()
    };
    let first = map(up[0]);
    let masters: Vec<u64> = up
        .iter()
        .filter(|host| !host.node.is_replica())
        .map(|host| host.node.config_epoch())
        .collect();
    let distinct: BTreeSet<_> = masters.iter().collect();
    up.iter()
        .all(|host| host.node.state() == cluster_bus::ClusterState::Ok && map(host) == first)
        && distinct.len() == masters.len()
}
