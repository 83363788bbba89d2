//! The cluster core in the simulator: its adapter, a server's replication in miniature, the invariants, and the
//! scenario that a seed makes of all that.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use cluster_bus::message::{Body, Message, NodeFlags, Packet};
use cluster_bus::node::{FailoverKind, SlotChange};
use cluster_bus::{
    ClusterState, Config, Event, Facts, LinkId, LogLevel, Node, NodeId, Slot, Urgency, codec,
    nodes_conf,
};

use super::faults::Plan;
use super::scenario::{CALM_MS, Options, Scenario};
use super::{Conn, Core, Failure, Input, Now, Output, Rng, World};

const PORT: u16 = 7000;

/// What checks have to see of one host.
#[derive(Clone, Debug)]
pub enum Note {
    /// A packet leaves that says another current epoch than the one before it, or the first one of this process.
    Said {
        /// Who says it.
        id: NodeId,
        /// The epoch.
        epoch: u64,
    },
    /// A vote leaves.
    Voted {
        /// The voter.
        voter: NodeId,
        /// In which epoch.
        epoch: u64,
    },
    /// An election was won.
    Won {
        /// The winner.
        winner: NodeId,
        /// In which epoch.
        epoch: u64,
    },
    /// A primary with slots says another config epoch than before.
    Claims {
        /// Who says it.
        id: NodeId,
        /// The config epoch.
        epoch: u64,
    },
    /// A line of the server's log.
    Log(String),
}

/// One server, as far as the bus is concerned.
pub struct Server {
    /// The core.
    pub node: Node,
    /// Whether the writes of its clients are held back.
    pub paused: bool,
    facts: Facts,
    said_epoch: Option<u64>,
    claimed_epoch: Option<u64>,
    ready: VecDeque<Output<Note>>,
}

impl Core for Server {
    type Setup = Config;
    type Note = Note;

    fn logged(note: &Note) -> Option<&str> {
        match note {
            Note::Log(text) => Some(text),
            _ => None,
        }
    }

    #[expect(
        clippy::panic,
        reason = "a file that the core wrote and cannot read again is a finding"
    )]
    fn new(now: Now, setup: &Config, file: Option<&[u8]>, seed: u64) -> Self {
        let saved = nodes_conf::load(file.unwrap_or_default())
            .unwrap_or_else(|error| panic!("nodes.conf: {error}"));
        let node = Node::new(bus_now(now), setup.clone(), saved, seed);
        Self {
            node,
            paused: false,
            facts: Facts::default(),
            said_epoch: None,
            claimed_epoch: None,
            ready: VecDeque::new(),
        }
    }

    #[expect(
        clippy::panic,
        reason = "what one of our nodes sends, another one must understand"
    )]
    fn handle_input(&mut self, now: Now, input: Input) {
        use cluster_bus::Input as Bus;
        let input = match input {
            Input::Accepted {
                conn,
                remote,
                local,
            } => Bus::Accepted {
                link: link(conn),
                remote,
                local: local.ip(),
            },
            Input::Connected { conn, .. } => Bus::Connected { link: link(conn) },
            Input::Refused { conn } => Bus::ConnectFailed { link: link(conn) },
            Input::Closed { conn } => Bus::Closed { link: link(conn) },
            Input::Bytes { conn, bytes } => match codec::decode(&bytes) {
                Ok(packet) => Bus::Received {
                    link: link(conn),
                    packet,
                },
                Err(error) => panic!("packet of {} bytes: {error}", bytes.len()),
            },
        };
        self.node.handle_input(bus_now(now), self.facts, input);
    }

    fn handle_timeout(&mut self, now: Now) {
        self.node.handle_timeout(bus_now(now), self.facts);
    }

    fn poll_timeout(&self) -> Option<u64> {
        self.node.poll_timeout()
    }

    fn poll_output(&mut self) -> Option<Output<Note>> {
        while self.ready.is_empty() {
            use cluster_bus::Output as Bus;
            let output = match self.node.poll_output()? {
                Bus::Connect { link, addr } => Output::Connect {
                    conn: conn(link),
                    to: addr,
                },
                Bus::Close { link } => Output::Close { conn: conn(link) },
                Bus::Persist { urgency } => {
                    let text = self.node.nodes_conf_text().into_bytes();
                    match urgency {
                        Urgency::Promise => Output::Persist(text),
                        _ => Output::Write(text),
                    }
                }
                Bus::Send { link, packet } => self.packet(conn(link), &packet),
                Bus::Event(Event::Log { level, text }) if level >= LogLevel::Verbose => {
                    self.log(text)
                }
                Bus::Event(event) => {
                    match event {
                        Event::PauseClients { .. } => self.paused = true,
                        Event::ResumeClients => self.paused = false,
                        _ => {}
                    }
                    continue;
                }
            };
            self.ready.push_back(output);
        }
        self.ready.pop_front()
    }
}

impl Server {
    fn packet(&mut self, conn: Conn, packet: &Packet) -> Output<Note> {
        if let Packet::Full(message) = packet {
            self.note(message);
        }
        Output::Send {
            conn,
            bytes: codec::encode(packet),
        }
    }

    fn note(&mut self, message: &Message) {
        let (id, epoch) = (message.header.sender, message.header.current_epoch);
        if self.said_epoch.replace(epoch) != Some(epoch) {
            self.ready.push_back(Output::Note(Note::Said { id, epoch }));
        }
        let claimed = message.header.config_epoch;
        let claims =
            message.header.flags.has(NodeFlags::MASTER) && !message.header.slots.is_empty();
        if claims && self.claimed_epoch.replace(claimed) != Some(claimed) {
            self.ready
                .push_back(Output::Note(Note::Claims { id, epoch: claimed }));
        }
        if message.body == Body::FailoverAuthAck {
            self.ready
                .push_back(Output::Note(Note::Voted { voter: id, epoch }));
        }
    }

    fn log(&mut self, text: String) -> Output<Note> {
        let won = text
            .strip_prefix("configEpoch set to ")
            .and_then(|text| text.strip_suffix(" after successful failover"));
        if let Some(epoch) = won.and_then(|epoch| epoch.parse().ok()) {
            self.ready.push_back(Output::Note(Note::Won {
                winner: self.node.my_id(),
                epoch,
            }));
        }
        Output::Note(Note::Log(text))
    }
}

/// What a run was like, for tests that want to know that something has happened at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct Summary {
    /// Events of the world.
    pub steps: u64,
    /// Votes that left.
    pub votes: usize,
    /// Elections that were won.
    pub elections: usize,
    /// Simulated milliseconds from the end of the faults to agreement.
    pub converged_ms: u64,
}

/// Runs ten minutes of a cluster.
///
/// # Errors
/// The first violation of an invariant, or that the cluster did not come to rest.
pub fn run(seed: u64, options: Options) -> Result<Summary, Box<Failure>> {
    live_through(seed, Run::new(seed, options))
}

/// Ten minutes of a cluster of one or two masters whose replicas vote.
///
/// # Errors
/// As those of [`run`].
pub fn run_with_few_masters(seed: u64, options: Options) -> Result<Summary, Box<Failure>> {
    let mut rng = Rng::new(seed);
    let (masters, replicas) = [(1, 2), (1, 4), (2, 2), (2, 4)][rng.index(4)];
    let config = Config {
        node_timeout_ms: 2_000,
        port: PORT,
        replicas_vote: true,
        ..Config::default()
    };
    live_through(seed, Run::with(rng, masters, replicas, &config, options))
}

fn live_through(seed: u64, mut run: Run) -> Result<Summary, Box<Failure>> {
    let result = run
        .form_cluster()
        .and_then(|()| run.live())
        .and_then(|()| run.come_to_rest());
    run.summary.converged_ms = result
        .map_err(|problem| Box::new(Failure::new("bus", seed, run.world.now_ms(), problem)))?;
    run.summary.steps = run.world.steps();
    run.summary.votes = run.checks.votes.len();
    run.summary.elections = run.checks.winners.len();
    Ok(run.summary)
}

/// A cluster in a world, and what has been seen of it.
pub struct Run {
    /// The world.
    pub world: World<Server>,
    /// What has been seen.
    pub checks: Checks,
    rng: Rng,
    masters: usize,
    next_tick_ms: u64,
    summary: Summary,
}

/// What must hold after every event.
#[derive(Debug, Default)]
pub struct Checks {
    /// Leaves out that nodes remember the epochs they have said: for a test that wants to see what that leads to.
    pub epochs_may_be_forgotten: bool,
    votes: BTreeSet<(NodeId, u64)>,
    winners: BTreeMap<u64, NodeId>,
    claims: BTreeSet<(u64, NodeId)>,
    said: BTreeMap<NodeId, u64>,
}

impl Checks {
    /// The epochs in which a node has voted so far.
    #[must_use]
    pub fn votes_of(&self, voter: NodeId) -> Vec<u64> {
        self.votes
            .iter()
            .filter(|(id, _)| *id == voter)
            .map(|(_, epoch)| *epoch)
            .collect()
    }

    /// Looks at one note.
    ///
    /// # Errors
    /// The invariant that it violates.
    pub fn see(&mut self, note: &Note) -> Result<(), String> {
        match *note {
            Note::Voted { voter, epoch } if !self.votes.insert((voter, epoch)) => {
                Err(format!("node {voter} voted twice in epoch {epoch}"))
            }
            Note::Won { winner, epoch }
                if self
                    .winners
                    .insert(epoch, winner)
                    .is_some_and(|other| other != winner) =>
            {
                Err(format!("two nodes won the election of epoch {epoch}"))
            }
            Note::Won { epoch, .. } => self.only_the_winner(epoch),
            Note::Claims { id, epoch } => {
                self.claims.insert((epoch, id));
                self.only_the_winner(epoch)
            }
            Note::Said { id, epoch } => match self.said.insert(id, epoch) {
                Some(before) if before > epoch && !self.epochs_may_be_forgotten => Err(format!(
                    "node {id} said epoch {before} and then only {epoch}: it forgot what it had said"
                )),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// In the epoch of an election nobody but its winner claims slots.
    fn only_the_winner(&self, epoch: u64) -> Result<(), String> {
        let Some(winner) = self.winners.get(&epoch) else {
            return Ok(());
        };
        let claims = self.claims.iter().filter(|(claimed, _)| *claimed == epoch);
        match claims.map(|(_, id)| id).find(|id| *id != winner) {
            Some(id) => Err(format!(
                "node {id} claims slots in epoch {epoch}, in which {winner} was elected"
            )),
            None => Ok(()),
        }
    }
}

impl Run {
    /// Hosts that do not know each other yet. The seed decides how many, and how they are configured.
    #[must_use]
    pub fn new(seed: u64, options: Options) -> Self {
        let mut rng = Rng::new(seed);
        let (masters, replicas) = match rng.between(0, 99) {
            0..=49 => (3, 3),
            50..=84 => (3, 6),
            _ => (5, 5),
        };
        let config = Config {
            node_timeout_ms: [2_000, 5_000, 15_000][rng.index(3)],
            slave_validity_factor: [0, 10][rng.index(2)],
            port: PORT,
            log_level: if options.trace.is_some() {
                LogLevel::Verbose
            } else {
                LogLevel::Notice
            },
            ..Config::default()
        };
        Self::with(rng, masters, replicas, &config, options)
    }

    /// So many masters and replicas, configured like this.
    #[must_use]
    pub fn with(
        mut rng: Rng,
        masters: usize,
        replicas: usize,
        config: &Config,
        options: Options,
    ) -> Self {
        let mut world = World::new(rng.next_u64());
        world.fsync = options.fsync;
        world.trace = options.trace;
        for _ in 0..masters + replicas {
            world.add_host(config.clone());
        }
        Self {
            world,
            checks: Checks::default(),
            rng,
            masters,
            next_tick_ms: 0,
            summary: Summary::default(),
        }
    }

    /// What a user does to make a cluster of nodes.
    ///
    /// # Errors
    /// A violation, or a cluster that does not come up.
    pub fn form_cluster(&mut self) -> Result<(), String> {
        let hosts = self.world.hosts.len();
        let by_hand = self.rng.percent(50);
        for host in 0..self.masters {
            let share = Slot::all()
                .filter(|slot| slot.index() * self.masters / 16384 == host)
                .collect::<Vec<_>>();
            self.command(host, |node, now| {
                if by_hand {
                    node.set_config_epoch(now, i64::try_from(host).unwrap_or(0) + 1)
                        .map_err(|error| error.to_string())?;
                }
                node.add_slots(now, &share)
                    .map_err(|error| error.to_string())
            })?;
        }
        for host in 1..hosts {
            self.command(0, |node, now| {
                node.meet(now, World::<Server>::ip(host), PORT)
                    .then_some(())
                    .ok_or_else(String::new)
            })?;
        }
        self.until("every node knows every other one", 60_000, |run| {
            run.nodes().all(|node| {
                let known = |line: cluster_bus::nodes_conf::NodeLine| {
                    line.connected && !line.flags.has(NodeFlags::HANDSHAKE)
                };
                node.node_lines().count() == hosts && node.node_lines().all(known)
            })
        })?;
        for host in self.masters..hosts {
            let master = self.id(host % self.masters).to_string();
            self.command(host, |node, now| {
                node.replicate(now, &master, true)
                    .map_err(|error| error.to_string())
            })?;
        }
        self.until("the new cluster is at rest", 60_000, |run| {
            run.unrest().is_none()
        })
    }

    /// Faults, and users who do what users do.
    fn live(&mut self) -> Result<(), String> {
        let hosts = self.world.hosts.len();
        let gap_ms = self.rng.between(4_000, 30_000);
        let mut plan = Plan::draw(&mut self.rng, hosts, self.world.now_ms(), CALM_MS, gap_ms);
        let busy = self.rng.percent(50);
        let mut next_command_ms = self.world.now_ms();
        while self.world.now_ms() < CALM_MS {
            if busy && self.world.now_ms() >= next_command_ms {
                next_command_ms += self.rng.between(5_000, 60_000);
                self.do_something();
            }
            let next_ms = plan
                .next_ms()
                .unwrap_or(CALM_MS)
                .min(CALM_MS)
                .min(self.world.now_ms() + 5_000);
            self.run_to(next_ms)?;
            plan.apply(&mut self.world);
            self.look()?;
        }
        plan.stop(&mut self.world);
        self.close_open_slots();
        self.look()
    }

    /// What `trib fix` does about slots whose move was interrupted. An open slot is the user's: until it is closed the
    /// node keeps its own view of it, as in 3.0.
    fn close_open_slots(&mut self) {
        for host in 0..self.world.hosts.len() {
            let line = self.world.core(host).and_then(|core| {
                core.node
                    .node_lines()
                    .find(|line| line.id == core.node.my_id())
            });
            let open = line
                .map(|line| [line.migrating, line.importing].concat())
                .unwrap_or_default();
            for (slot, _) in open {
                // Only a master can have one, and a master does not refuse this.
                let _ = self.command(host, |node, now| {
                    node.set_slot(now, slot, &SlotChange::Stable, 0)
                        .map_err(|error| error.to_string())
                });
            }
        }
    }

    /// A user's command to one node, or a slot that moves by hand.
    fn do_something(&mut self) {
        let host = self.rng.index(self.world.hosts.len());
        let kind = match self.rng.between(0, 9) {
            0..=3 => FailoverKind::Coordinated,
            4 | 5 => FailoverKind::Force,
            6 => FailoverKind::Takeover,
            _ => return self.move_a_slot(host),
        };
        self.world
            .say(|| format!("CLUSTER FAILOVER {kind:?} on host {host}"));
        // Refused by masters, and by replicas without a master that they know: that is as it should be.
        let _ = self.command(host, |node, now| {
            node.failover(now, kind, false)
                .map_err(|error| error.to_string())
        });
    }

    /// As the cluster tool moves an empty slot: open on both sides, close on the receiver, then on the sender.
    fn move_a_slot(&mut self, to: usize) {
        let slot = Slot::all().nth(self.rng.index(16384));
        let Some((slot, owner)) =
            slot.and_then(|slot| Some((slot, self.world.core(to)?.node.owner(slot)?)))
        else {
            return;
        };
        let Some(from) = (0..self.world.hosts.len())
            .find(|host| self.world.core(*host).is_some() && self.id(*host) == owner)
        else {
            return;
        };
        if from == to
            || self
                .world
                .core(to)
                .is_none_or(|core| core.node.is_replica())
        {
            return;
        }
        let (from_id, to_id) = (self.id(from).to_string(), self.id(to).to_string());
        self.world
            .say(|| format!("slot {slot} moves from host {from} to host {to}"));
        let mut set = |host, change| {
            self.command(host, |node, now| {
                node.set_slot(now, slot, &change, 0)
                    .map_err(|error| error.to_string())
            })
            .is_ok()
        };
        // An importing state that stays behind would keep the map as it is, as 3.0 wants it: close it in any case.
        let moved = set(to, SlotChange::Importing(from_id))
            && set(from, SlotChange::Migrating(to_id.clone()))
            && set(to, SlotChange::Node(to_id.clone()))
            && set(from, SlotChange::Node(to_id));
        if !moved {
            set(to, SlotChange::Stable);
            set(from, SlotChange::Stable);
        }
    }

    /// A user's command to one node.
    ///
    /// # Errors
    /// The node's answer, or that it does not answer.
    pub fn command<T>(
        &mut self,
        host: usize,
        command: impl FnOnce(&mut Node, cluster_bus::Now) -> Result<T, String>,
    ) -> Result<T, String> {
        let answer = self
            .world
            .call(host, |core, now| command(&mut core.node, bus_now(now)));
        answer.unwrap_or_else(|| Err(format!("host {host} does not answer")))
    }

    /// Masters write, and replicas that can reach their master have what it has.
    fn replicate(&mut self) {
        let hosts = self.world.hosts.len();
        for host in 0..hosts {
            let clock = self.world.clock(host);
            let Some(core) = self.world.core(host).filter(|_| self.world.is_awake(host)) else {
                continue;
            };
            let mut facts = core.facts;
            if let Some(master) = core.node.master_id() {
                let open = |other: &usize| {
                    let way = self.world.reaches(host, *other) && self.world.reaches(*other, host);
                    way && self.world.is_awake(*other) && self.id(*other) == master
                };
                let Some(source) = (0..hosts)
                    .find(open)
                    .and_then(|other| self.world.core(other))
                else {
                    continue;
                };
                facts = Facts {
                    repl_offset: source.facts.repl_offset,
                    data_as_of_ms: Some(clock.mono_ms),
                    ..Facts::default()
                };
            } else {
                facts.repl_offset += if core.paused { 0 } else { 100 };
                facts.data_as_of_ms = None;
            }
            self.world.call(host, |core, _| core.facts = facts);
        }
    }

    fn nodes(&self) -> impl Iterator<Item = &Node> {
        (0..self.world.hosts.len())
            .filter_map(|host| self.world.core(host))
            .map(|core| &core.node)
    }

    /// The id of a host that runs.
    ///
    /// # Panics
    /// If it does not run.
    #[must_use]
    #[expect(clippy::expect_used, reason = "callers ask for hosts that run")]
    pub fn id(&self, host: usize) -> NodeId {
        self.world
            .core(host)
            .expect("the host is down")
            .node
            .my_id()
    }

    /// A replica whose master is none.
    fn misplaced_replica(&self) -> Option<String> {
        let masters: BTreeSet<NodeId> = self
            .nodes()
            .filter(|node| !node.is_replica())
            .map(Node::my_id)
            .collect();
        let lost = self.nodes().find(|node| {
            node.is_replica() && node.master_id().is_none_or(|id| !masters.contains(&id))
        })?;
        Some(format!(
            "replica {} follows {:?}, which is no master",
            lost.my_id(),
            lost.master_id()
        ))
    }
}

impl Scenario for Run {
    fn now_ms(&self) -> u64 {
        self.world.now_ms()
    }

    fn step(&mut self, until_ms: u64) -> bool {
        self.world.step(until_ms)
    }

    fn next_tick_ms(&mut self) -> &mut u64 {
        &mut self.next_tick_ms
    }

    fn tick(&mut self) -> Result<(), String> {
        self.replicate();
        Ok(())
    }

    fn look(&mut self) -> Result<(), String> {
        let mut notes = self.world.take_notes().into_iter();
        notes.try_for_each(|(_, note)| self.checks.see(&note))
    }

    /// What keeps the cluster from being at rest: all nodes run and see the same map, in which every slot has one
    /// owner, every master its own config epoch, and nobody is down.
    fn unrest(&self) -> Option<String> {
        let mut epochs = BTreeMap::new();
        let mut first: Option<(NodeId, Vec<Option<NodeId>>)> = None;
        for host in 0..self.world.hosts.len() {
            let Some(core) = self.world.core(host) else {
                return Some(format!("host {host} is down"));
            };
            let (node, id) = (&core.node, core.node.my_id());
            if node.state() != ClusterState::Ok {
                return Some(format!("node {id} is not ok"));
            }
            let lines: Vec<_> = node.node_lines().collect();
            let trouble = NodeFlags::PFAIL
                .with(NodeFlags::FAIL)
                .with(NodeFlags::HANDSHAKE)
                .with(NodeFlags::NOADDR);
            if let Some(line) = lines.iter().find(|line| line.flags.has(trouble)) {
                return Some(format!("node {id} sees {} as {}", line.id, line.flags));
            }
            if lines.len() != self.world.hosts.len() {
                return Some(format!("node {id} knows {} nodes", lines.len()));
            }
            if !node.is_replica()
                && let Some(other) = epochs.insert(node.config_epoch(), id)
            {
                return Some(format!(
                    "nodes {id} and {other} have config epoch {}",
                    node.config_epoch()
                ));
            }
            let map: Vec<_> = Slot::all().map(|slot| node.owner(slot)).collect();
            if let Some(slot) = map.iter().position(Option::is_none) {
                return Some(format!("slot {slot} has no owner for node {id}"));
            }
            match &first {
                Some((other, theirs)) if *theirs != map => {
                    return Some(format!("the maps of {id} and {other} differ"));
                }
                Some(_) => {}
                None => first = Some((id, map)),
            }
        }
        self.misplaced_replica()
    }

    /// CLUSTER NODES of every host.
    fn views(&self) -> String {
        self.nodes()
            .map(|node| format!("{}\n", node.nodes_conf()))
            .collect()
    }
}

fn bus_now(now: Now) -> cluster_bus::Now {
    cluster_bus::Now {
        mono_ms: now.mono_ms,
        unix_ms: now.unix_ms,
    }
}

fn link(conn: Conn) -> LinkId {
    match conn {
        Conn::Dialled(number) => LinkId::Dialled(number),
        Conn::Accepted(number) => LinkId::Accepted(number),
    }
}

fn conn(link: LinkId) -> Conn {
    match link {
        LinkId::Dialled(number) => Conn::Dialled(number),
        LinkId::Accepted(number) => Conn::Accepted(number),
    }
}
