//! The world: one heap of events ordered by time and sequence, hosts that can crash, freeze and lose what was not
//! fsynced, and connections that keep their order but not their pace. Knows no protocol and no rule of any core.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::Rng;

/// A host's clocks at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Never jumps; may run a little fast or slow.
    pub mono_ms: u64,
    /// May jump.
    pub unix_ms: u64,
}

/// One end of a connection, as its host names it. Dialled ones are numbered by the core, accepted ones by the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Conn {
    /// Opened by [`Output::Connect`].
    Dialled(u64),
    /// Announced by [`Input::Accepted`].
    Accepted(u64),
}

/// What reaches a core.
#[derive(Clone, Debug)]
pub enum Input {
    /// Somebody connected.
    Accepted {
        /// The new connection.
        conn: Conn,
        /// Who.
        remote: SocketAddr,
        /// The address that was dialled.
        local: SocketAddr,
    },
    /// A dialled connection is up.
    Connected {
        /// Which.
        conn: Conn,
        /// The own address on it.
        local: SocketAddr,
    },
    /// A dialled connection failed.
    Refused {
        /// Which.
        conn: Conn,
    },
    /// A connection was closed by the other end, or broke.
    Closed {
        /// Which.
        conn: Conn,
    },
    /// Bytes came: what the other end sent with one [`Output::Send`].
    Bytes {
        /// Over which connection.
        conn: Conn,
        /// What.
        bytes: Vec<u8>,
    },
}

/// What a core asks for.
#[derive(Clone, Debug)]
pub enum Output<N> {
    /// Dial an address of another host.
    Connect {
        /// A [`Conn::Dialled`] never used before.
        conn: Conn,
        /// Where.
        to: SocketAddr,
    },
    /// Close a connection.
    Close {
        /// Which.
        conn: Conn,
    },
    /// Send bytes.
    Send {
        /// Over which connection.
        conn: Conn,
        /// What.
        bytes: Vec<u8>,
    },
    /// Replace the host's file, and fsync it before anything else.
    Persist(Vec<u8>),
    /// Replace the host's file; it is safe from a power loss as soon as the disk is done with it.
    Write(Vec<u8>),
    /// The process has written to a disk of its own, and stood still for so long meanwhile.
    Waited {
        /// How long.
        late_ms: u64,
    },
    /// The process ends by itself. Its supervisor starts it again.
    Exit,
    /// The machine has lost power in the middle of what the process did. It starts again later.
    LosePower,
    /// Something that a check wants to see.
    Note(N),
}

impl<N> Output<N> {
    /// The same with another kind of notes.
    pub fn map_note<M>(self, note: impl FnOnce(N) -> M) -> Output<M> {
        match self {
            Self::Note(said) => Output::Note(note(said)),
            Self::Connect { conn, to } => Output::Connect { conn, to },
            Self::Close { conn } => Output::Close { conn },
            Self::Send { conn, bytes } => Output::Send { conn, bytes },
            Self::Persist(file) => Output::Persist(file),
            Self::Write(file) => Output::Write(file),
            Self::Waited { late_ms } => Output::Waited { late_ms },
            Self::Exit => Output::Exit,
            Self::LosePower => Output::LosePower,
        }
    }
}

/// A core, or rather its adapter to this world: the five verbs.
pub trait Core: Sized {
    /// What a host is set up with; it survives crashes.
    type Setup: Clone;
    /// What checks look at.
    type Note;

    /// The line for the trace, where a note is one of the log.
    fn logged(note: &Self::Note) -> Option<&str>;

    /// Starts, with the file as it is on disk.
    fn new(now: Now, setup: &Self::Setup, file: Option<&[u8]>, seed: u64) -> Self;
    /// Takes in what happened.
    fn handle_input(&mut self, now: Now, input: Input);
    /// Does what is due.
    fn handle_timeout(&mut self, now: Now);
    /// When to call [`Core::handle_timeout`], on the host's `mono_ms`.
    fn poll_timeout(&self) -> Option<u64>;
    /// What to do next.
    fn poll_output(&mut self) -> Option<Output<Self::Note>>;

    /// The machine loses power while it has this setup: for cores with disks of their own.
    fn lose_power(setup: &Self::Setup) {
        let _ = setup;
    }

    /// The other end of a connection reads too slowly, so that the socket takes nothing more; or it takes something again.
    fn set_full(&mut self, conn: Conn, full: bool) {
        let _ = (conn, full);
    }
}

/// A machine with one process on it.
pub struct Host<C: Core> {
    setup: C::Setup,
    core: Option<C>,
    /// What the process has written, and what of it is safe from a power loss.
    written: Option<Vec<u8>>,
    synced: Option<Vec<u8>>,
    /// Writing fails: the process exits at its next attempt.
    pub disk_is_full: bool,
    /// An fsync takes so long, and the process stands still meanwhile.
    pub fsync_ms: u64,
    /// The longest that its process has stood still for its own disk at once.
    pub longest_wait_ms: u64,
    /// All that it sends leaves so much later.
    pub late_ms: u64,
    /// The power fails right after the next call that persists something.
    pub doomed: bool,
    /// How far the wall clock is off.
    pub wall_off_ms: i64,
    /// What the monotonic clock showed at some moment of the world's time, and how much it runs fast since then.
    mono_ms: u64,
    mono_since_ms: u64,
    drift_ppm: i64,
    frozen_until_ms: u64,
    /// What waits for the process to run again.
    waiting: VecDeque<What>,
    timer_ms: Option<u64>,
}

/// What may be on a connection.
#[derive(Debug)]
enum Parcel {
    Accepted(SocketAddr, SocketAddr),
    Connected(SocketAddr),
    Refused,
    Closed,
    Bytes(Vec<u8>),
    /// The socket takes something again.
    Room,
}

#[derive(Debug)]
enum What {
    Timer {
        host: usize,
    },
    Wake {
        host: usize,
    },
    Writeback {
        host: usize,
    },
    Restart {
        host: usize,
    },
    Dial {
        host: usize,
        conn: Conn,
        to: SocketAddr,
        tries: u32,
    },
    Arrive {
        host: usize,
        conn: Conn,
        parcel: Parcel,
    },
}

struct Entry {
    at_ms: u64,
    seq: u64,
    what: What,
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.seq == other.seq
    }
}
impl Eq for Entry {}
impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at_ms, self.seq).cmp(&(other.at_ms, other.seq))
    }
}

/// One end of a connection that is up.
struct End {
    peer: (usize, Conn),
    /// Nothing sent from this end may arrive before what was sent earlier.
    arrives_ms: u64,
    /// Sent from this end while the way was cut.
    held: Vec<Parcel>,
    /// Bytes sent from this end that the other one has not read yet, and whether this end was told that they are too many.
    unread: usize,
    full: bool,
    /// The other end is gone, and nobody could tell.
    orphaned: bool,
}

/// The world.
pub struct World<C: Core> {
    /// The machines.
    pub hosts: Vec<Host<C>>,
    /// Shortest and longest delay of a packet.
    pub delay_ms: (u64, u64),
    /// Whether [`Output::Persist`] is fsynced. If not, the kernel writes back some seconds later.
    pub fsync: bool,
    /// Where the trace goes, if it is wanted.
    pub trace: Option<fn(u64, &str)>,
    now_ms: u64,
    seq: u64,
    queue: BinaryHeap<Reverse<Entry>>,
    ends: BTreeMap<(usize, Conn), End>,
    dialling: BTreeSet<(usize, Conn)>,
    cut: BTreeSet<(usize, usize)>,
    accepted: u64,
    notes: Vec<(usize, C::Note)>,
    rng: Rng,
    steps: u64,
    history: u64,
}

const START_UNIX_MS: u64 = 1_700_000_000_000;
const WRITEBACK_MS: (u64, u64) = (5_000, 30_000);
/// What a socket takes while the other end does not read.
const SOCKET_BYTES: usize = 128 * 1024;
/// How long a supervisor waits before it starts a process again that has ended.
const RESTART_MS: u64 = 1_000;

impl<C: Core> World<C> {
    /// An empty world.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            hosts: Vec::new(),
            delay_ms: (1, 3),
            fsync: true,
            trace: None,
            now_ms: 0,
            seq: 0,
            queue: BinaryHeap::new(),
            ends: BTreeMap::new(),
            dialling: BTreeSet::new(),
            cut: BTreeSet::new(),
            accepted: 0,
            notes: Vec::new(),
            rng: Rng::new(seed),
            steps: 0,
            history: 0xCBF2_9CE4_8422_2325,
        }
    }

    /// Adds a machine and starts its process.
    pub fn add_host(&mut self, setup: C::Setup) -> usize {
        let mono_ms = self.rng.between(0, 1_000_000);
        self.hosts.push(Host {
            setup,
            core: None,
            written: None,
            synced: None,
            disk_is_full: false,
            fsync_ms: 0,
            longest_wait_ms: 0,
            late_ms: 0,
            doomed: false,
            wall_off_ms: 0,
            mono_ms,
            mono_since_ms: self.now_ms,
            drift_ppm: 0,
            frozen_until_ms: 0,
            waiting: VecDeque::new(),
            timer_ms: None,
        });
        let host = self.hosts.len() - 1;
        self.start(host);
        host
    }

    /// The address of a machine.
    #[must_use]
    pub fn ip(host: usize) -> IpAddr {
        let number = u8::try_from(host + 1).unwrap_or(u8::MAX);
        Ipv4Addr::new(10, 0, 0, number).into()
    }

    /// The machine at an address.
    #[must_use]
    pub fn host_at(&self, ip: IpAddr) -> Option<usize> {
        (0..self.hosts.len()).find(|host| Self::ip(*host) == ip)
    }

    /// Simulated time.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// Events so far.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// A sum of all that has happened, in its order: two runs with the same one were the same run.
    #[must_use]
    pub fn history(&self) -> u64 {
        self.history
    }

    /// Adds to that sum, a word at a time: much is sent.
    fn remember(&mut self, bytes: &[u8]) {
        let mut add = |word: u64| {
            self.history = (self.history ^ word)
                .wrapping_mul(0x9E37_79B9_7F4A_7C15)
                .rotate_left(29);
        };
        let (words, rest) = bytes.as_chunks::<8>();
        words.iter().for_each(|word| add(u64::from_le_bytes(*word)));
        rest.iter().for_each(|byte| add(u64::from(*byte)));
        add(bytes.len() as u64);
    }

    fn remember_event(&mut self, what: &What) {
        self.remember(&self.now_ms.to_le_bytes());
        let (kind, host) = match what {
            What::Timer { host } => (0, *host),
            What::Wake { host } => (1, *host),
            What::Writeback { host } => (2, *host),
            What::Restart { host } => (3, *host),
            What::Dial { host, .. } => (4, *host),
            What::Arrive { host, parcel, .. } => {
                if let Parcel::Bytes(bytes) = parcel {
                    self.remember(bytes);
                }
                (5, *host)
            }
        };
        self.remember(&[kind]);
        self.remember(&host.to_le_bytes());
    }

    /// What a machine is set up with.
    #[must_use]
    pub fn setup(&self, host: usize) -> &C::Setup {
        &self.hosts[host].setup
    }

    /// The process on a machine, if one runs.
    #[must_use]
    pub fn core(&self, host: usize) -> Option<&C> {
        self.hosts[host].core.as_ref()
    }

    /// Whether a process can be talked to: it runs and is not frozen.
    #[must_use]
    pub fn is_awake(&self, host: usize) -> bool {
        self.hosts[host].core.is_some() && self.hosts[host].frozen_until_ms <= self.now_ms
    }

    /// Whether packets from one machine reach another one.
    #[must_use]
    pub fn reaches(&self, from: usize, to: usize) -> bool {
        !self.cut.contains(&(from, to))
    }

    /// What cores noted since the last time; what they logged is in the trace then.
    pub fn take_notes(&mut self) -> Vec<(usize, C::Note)> {
        let notes = std::mem::take(&mut self.notes);
        for (host, note) in &notes {
            if let Some(text) = C::logged(note) {
                self.say(|| format!("host {host}: {text}"));
            }
        }
        notes
    }

    /// A host's clocks.
    #[must_use]
    pub fn clock(&self, host: usize) -> Now {
        let host = &self.hosts[host];
        let passed_ms = self.now_ms - host.mono_since_ms;
        let million = 1_000_000u64;
        Now {
            mono_ms: host.mono_ms
                + passed_ms * million.saturating_add_signed(host.drift_ppm) / million,
            unix_ms: (START_UNIX_MS + self.now_ms).saturating_add_signed(host.wall_off_ms),
        }
    }

    /// Lets a host's monotonic clock run fast (or slow) from now on.
    pub fn set_drift(&mut self, host: usize, ppm: i64) {
        let mono_ms = self.clock(host).mono_ms;
        let machine = &mut self.hosts[host];
        (machine.mono_ms, machine.mono_since_ms, machine.drift_ppm) = (mono_ms, self.now_ms, ppm);
    }

    /// Lets the next event happen, if it is due by then. False when there is none.
    pub fn step(&mut self, until_ms: u64) -> bool {
        if self
            .queue
            .peek()
            .is_none_or(|Reverse(entry)| entry.at_ms > until_ms)
        {
            self.now_ms = self.now_ms.max(until_ms);
            return false;
        }
        let Some(Reverse(entry)) = self.queue.pop() else {
            return false;
        };
        self.now_ms = self.now_ms.max(entry.at_ms);
        self.steps += 1;
        self.remember_event(&entry.what);
        self.happen(entry.what);
        true
    }

    /// Calls a core from outside, as a client of its process would. `None` if it does not run, or dies of it.
    pub fn call<T>(&mut self, host: usize, call: impl FnOnce(&mut C, Now) -> T) -> Option<T> {
        if !self.is_awake(host) {
            return None;
        }
        let now = self.clock(host);
        let result = self.hosts[host].core.as_mut().map(|core| call(core, now));
        self.perform(host);
        result.filter(|_| self.hosts[host].core.is_some())
    }

    /// Ends a process. With `power`, the machine: what was not fsynced is lost, and nobody is told.
    pub fn crash(&mut self, host: usize, power: bool) {
        if self.hosts[host].core.take().is_none() {
            return;
        }
        self.say(|| {
            format!(
                "host {host} {}",
                if power { "loses power" } else { "is killed" }
            )
        });
        let machine = &mut self.hosts[host];
        machine.waiting.clear();
        (machine.timer_ms, machine.frozen_until_ms, machine.doomed) = (None, 0, false);
        if power {
            C::lose_power(&machine.setup);
            machine.written.clone_from(&machine.synced);
            (machine.mono_ms, machine.mono_since_ms) = (self.rng.between(0, 10_000), self.now_ms);
        }
        self.dialling.retain(|(dialler, _)| *dialler != host);
        let ends: Vec<_> = self
            .ends
            .keys()
            .filter(|(owner, _)| *owner == host)
            .copied()
            .collect();
        for end in ends {
            self.close(end.0, end.1, power);
        }
    }

    /// Starts the process of a machine where none runs.
    pub fn start(&mut self, host: usize) {
        if self.hosts[host].core.is_some() {
            return;
        }
        self.say(|| format!("host {host} starts"));
        let seed = self.rng.next_u64();
        let now = self.clock(host);
        let machine = &mut self.hosts[host];
        machine.core = Some(C::new(
            now,
            &machine.setup,
            machine.written.as_deref(),
            seed,
        ));
        self.tell_orphans();
        self.perform(host);
    }

    /// Two machines that are off get each other's disks: their processes come back at each other's addresses.
    pub fn swap_disks(&mut self, one: usize, other: usize) {
        let take = |host: &mut Host<C>| (host.written.take(), host.synced.take());
        let disks = (take(&mut self.hosts[one]), take(&mut self.hosts[other]));
        for (host, (written, synced)) in [(one, disks.1), (other, disks.0)] {
            (self.hosts[host].written, self.hosts[host].synced) = (written, synced);
        }
    }

    /// The kernel writes back what was not fsynced.
    pub fn write_back(&mut self, host: usize) {
        let machine = &mut self.hosts[host];
        machine.synced.clone_from(&machine.written);
    }

    /// Stops a process for a while; what happens to it waits.
    pub fn freeze(&mut self, host: usize, for_ms: u64) {
        if self.hosts[host].core.is_some() {
            self.say(|| format!("host {host} freezes for {for_ms} ms"));
            self.stall(host, for_ms);
        }
    }

    /// Lets all frozen processes go on.
    pub fn thaw(&mut self) {
        for host in 0..self.hosts.len() {
            self.hosts[host].frozen_until_ms = self.now_ms;
            self.push(self.now_ms, What::Wake { host });
        }
    }

    /// Cuts the way from one machine to another one. TCP keeps what is sent meanwhile.
    pub fn cut(&mut self, from: usize, to: usize) {
        if from != to && self.cut.insert((from, to)) {
            self.say(|| format!("cut {from} -> {to}"));
        }
    }

    /// Opens a way again. Connections over it go on where they were, or turn out to be broken.
    pub fn mend(&mut self, from: usize, to: usize) {
        if !self.cut.remove(&(from, to)) {
            return;
        }
        self.say(|| format!("mend {from} -> {to}"));
        let over = |(key, end): (&(usize, Conn), &End)| {
            (key.0 == from && end.peer.0 == to).then_some(*key)
        };
        let ends: Vec<_> = self.ends.iter().filter_map(over).collect();
        for key in ends {
            if self.rng.percent(50) {
                self.close(key.0, key.1, false);
                self.deliver(key, Parcel::Closed);
                continue;
            }
            let Some(end) = self.ends.get_mut(&key) else {
                continue;
            };
            let held = std::mem::take(&mut end.held);
            // They are counted once more when they are sent.
            let counted = held.iter().map(|parcel| match parcel {
                Parcel::Bytes(bytes) => bytes.len(),
                _ => 0,
            });
            end.unread = end.unread.saturating_sub(counted.sum());
            for parcel in held {
                self.send(key, parcel, 0);
            }
        }
        self.tell_orphans();
    }

    /// Opens all ways.
    pub fn mend_all(&mut self) {
        for (from, to) in self.cut.clone() {
            self.mend(from, to);
        }
    }

    /// Breaks one connection of a host, if it has one. Both ends are told; what was on its way is lost.
    pub fn break_one(&mut self, host: usize) {
        let own: Vec<_> = self
            .ends
            .keys()
            .filter(|(owner, _)| *owner == host)
            .copied()
            .collect();
        if let Some(key) = own.get(self.rng.index(own.len())).copied() {
            self.say(|| format!("connection {key:?} breaks"));
            self.close(key.0, key.1, false);
            self.deliver(key, Parcel::Closed);
        }
    }

    fn happen(&mut self, what: What) {
        match what {
            What::Wake { host } => self.wake(host),
            What::Writeback { host } => self.write_back(host),
            What::Restart { host } => self.start(host),
            What::Dial {
                host,
                conn,
                to,
                tries,
            } => self.dial(host, conn, to, tries),
            // In the millisecond in which a host wakes, what waits for it goes first.
            What::Timer { host } | What::Arrive { host, .. }
                if !self.is_awake(host) || !self.hosts[host].waiting.is_empty() =>
            {
                if self.hosts[host].core.is_some() {
                    self.hosts[host].waiting.push_back(what);
                }
            }
            what => self.reach(what),
        }
    }

    /// A timer or a parcel gets to a host that is awake.
    fn reach(&mut self, what: What) {
        match what {
            What::Timer { host } => self.fire(host),
            What::Arrive { host, conn, parcel } => self.arrive(host, conn, parcel),
            _ => {}
        }
    }

    fn wake(&mut self, host: usize) {
        while self.is_awake(host) {
            let Some(what) = self.hosts[host].waiting.pop_front() else {
                return;
            };
            self.reach(what);
        }
    }

    fn stall(&mut self, host: usize, for_ms: u64) {
        let until_ms = self.now_ms + for_ms;
        let machine = &mut self.hosts[host];
        machine.frozen_until_ms = machine.frozen_until_ms.max(until_ms);
        self.push(until_ms, What::Wake { host });
    }

    fn fire(&mut self, host: usize) {
        if self.hosts[host]
            .timer_ms
            .is_none_or(|at_ms| at_ms > self.now_ms)
        {
            return;
        }
        self.hosts[host].timer_ms = None;
        let now = self.clock(host);
        if let Some(core) = &mut self.hosts[host].core {
            core.handle_timeout(now);
        }
        self.perform(host);
    }

    fn arrive(&mut self, host: usize, conn: Conn, parcel: Parcel) {
        let up = self.ends.contains_key(&(host, conn));
        if matches!(parcel, Parcel::Room) {
            return self.tell_full(host, conn, false);
        }
        if let Parcel::Bytes(bytes) = &parcel {
            self.has_read(host, conn, bytes.len());
        }
        let input = match parcel {
            Parcel::Accepted(remote, local) if up => Input::Accepted {
                conn,
                remote,
                local,
            },
            Parcel::Connected(local) if up => Input::Connected { conn, local },
            Parcel::Bytes(bytes) if up => Input::Bytes { conn, bytes },
            Parcel::Refused => Input::Refused { conn },
            Parcel::Closed => Input::Closed { conn },
            _ => return,
        };
        if matches!(input, Input::Refused { .. }) && !self.dialling.remove(&(host, conn)) {
            return;
        }
        let now = self.clock(host);
        if let Some(core) = &mut self.hosts[host].core {
            core.handle_input(now, input);
        }
        self.perform(host);
    }

    /// Does what a core asks for, in order, and sets its timer.
    fn perform(&mut self, host: usize) {
        let mut late_ms = 0;
        let mut persisted = false;
        while let Some(output) = self.hosts[host].core.as_mut().and_then(Core::poll_output) {
            match output {
                Output::Connect { conn, to } => {
                    self.dialling.insert((host, conn));
                    let at_ms = self.now_ms + late_ms + self.delay();
                    self.push(
                        at_ms,
                        What::Dial {
                            host,
                            conn,
                            to,
                            tries: 0,
                        },
                    );
                }
                Output::Close { conn } => {
                    self.dialling.remove(&(host, conn));
                    self.close(host, conn, false);
                }
                Output::Send { conn, bytes } => {
                    self.send((host, conn), Parcel::Bytes(bytes), late_ms);
                }
                Output::Persist(file) => {
                    if !self.persist(host, file) {
                        return;
                    }
                    late_ms += self.hosts[host].fsync_ms;
                    persisted = true;
                }
                Output::Write(file) => {
                    if !self.write(host, file) {
                        return;
                    }
                    persisted = true;
                }
                Output::Waited { late_ms: more_ms } => {
                    let longest_ms = &mut self.hosts[host].longest_wait_ms;
                    *longest_ms = more_ms.max(*longest_ms);
                    late_ms += more_ms;
                    persisted = true;
                }
                Output::Exit | Output::LosePower => {
                    self.crash(host, matches!(output, Output::LosePower));
                    return self.push(self.now_ms + RESTART_MS, What::Restart { host });
                }
                Output::Note(note) => self.notes.push((host, note)),
            }
        }
        if late_ms > 0 {
            self.stall(host, late_ms);
        }
        if persisted && self.hosts[host].doomed {
            self.crash(host, true);
        }
        self.set_timer(host);
    }

    /// Writes a file, and fsyncs it where that is done at all. False where the process did not live through it.
    fn persist(&mut self, host: usize, file: Vec<u8>) -> bool {
        if !self.write(host, file) {
            return false;
        }
        if self.fsync {
            self.write_back(host);
        }
        true
    }

    fn write(&mut self, host: usize, file: Vec<u8>) -> bool {
        let machine = &mut self.hosts[host];
        if machine.disk_is_full {
            self.crash(host, false);
            return false;
        }
        machine.written = Some(file);
        let (low, high) = if self.fsync {
            (1, 1 + machine.fsync_ms)
        } else {
            WRITEBACK_MS
        };
        let at_ms = self.now_ms + self.rng.between(low, high);
        self.push(at_ms, What::Writeback { host });
        true
    }

    fn set_timer(&mut self, host: usize) {
        let Some(due_mono_ms) = self.hosts[host].core.as_ref().and_then(Core::poll_timeout) else {
            return;
        };
        let left_ms = due_mono_ms.saturating_sub(self.clock(host).mono_ms);
        // A slow clock needs a little more of the world's time; called early, a core does nothing and is asked again.
        let drift = u64::from(self.hosts[host].drift_ppm < 0) * (left_ms / 1000 + 1);
        let at_ms = self.now_ms + left_ms + drift;
        if self.hosts[host]
            .timer_ms
            .is_none_or(|set_ms| set_ms > at_ms || set_ms <= self.now_ms)
        {
            self.hosts[host].timer_ms = Some(at_ms);
            self.push(at_ms.max(self.now_ms + 1), What::Timer { host });
        }
    }

    fn dial(&mut self, host: usize, conn: Conn, to: SocketAddr, tries: u32) {
        if !self.dialling.contains(&(host, conn)) {
            return;
        }
        let Some(target) = self.host_at(to.ip()) else {
            return self.push(
                self.now_ms,
                What::Arrive {
                    host,
                    conn,
                    parcel: Parcel::Refused,
                },
            );
        };
        if !self.reaches(host, target) || !self.reaches(target, host) {
            // SYN is sent again, after one second, two, four…
            let (at_ms, what) = if tries < 6 {
                (
                    self.now_ms + (1000 << tries),
                    What::Dial {
                        host,
                        conn,
                        to,
                        tries: tries + 1,
                    },
                )
            } else {
                (
                    self.now_ms,
                    What::Arrive {
                        host,
                        conn,
                        parcel: Parcel::Refused,
                    },
                )
            };
            return self.push(at_ms, what);
        }
        let back_ms = self.now_ms + self.delay();
        if self.hosts[target].core.is_none() {
            return self.push(
                back_ms,
                What::Arrive {
                    host,
                    conn,
                    parcel: Parcel::Refused,
                },
            );
        }
        self.dialling.remove(&(host, conn));
        self.accepted += 1;
        let other = Conn::Accepted(self.accepted);
        let own = SocketAddr::new(Self::ip(host), 40000);
        let end = |peer| End {
            peer,
            arrives_ms: 0,
            held: Vec::new(),
            unread: 0,
            full: false,
            orphaned: false,
        };
        self.ends.insert((host, conn), end((target, other)));
        self.ends.insert((target, other), end((host, conn)));
        self.send((host, conn), Parcel::Accepted(own, to), 0);
        self.push(
            back_ms,
            What::Arrive {
                host,
                conn,
                parcel: Parcel::Connected(own),
            },
        );
    }

    fn send(&mut self, from: (usize, Conn), parcel: Parcel, late_ms: u64) {
        let late_ms = late_ms + self.hosts[from.0].late_ms;
        let soonest_ms = self.now_ms + late_ms + self.delay();
        let Some(end) = self.ends.get_mut(&from) else {
            return;
        };
        if end.orphaned {
            return;
        }
        if let Parcel::Bytes(bytes) = &parcel {
            end.unread += bytes.len();
        }
        let full = end.unread > SOCKET_BYTES
            && !std::mem::replace(&mut end.full, end.unread > SOCKET_BYTES);
        if full && let Some(core) = &mut self.hosts[from.0].core {
            core.set_full(from.1, true);
        }
        let Some(end) = self.ends.get_mut(&from) else {
            return;
        };
        if self.cut.contains(&(from.0, end.peer.0)) {
            end.held.push(parcel);
            return;
        }
        end.arrives_ms = end.arrives_ms.max(soonest_ms);
        let (at_ms, (host, conn)) = (end.arrives_ms, end.peer);
        self.push(at_ms, What::Arrive { host, conn, parcel });
    }

    /// An end has read what the other one sent.
    fn has_read(&mut self, host: usize, conn: Conn, bytes: usize) {
        let Some(sender) = self.ends.get(&(host, conn)).map(|end| end.peer) else {
            return;
        };
        let Some(end) = self.ends.get_mut(&sender) else {
            return;
        };
        end.unread = end.unread.saturating_sub(bytes);
        if end.full && end.unread <= SOCKET_BYTES / 2 {
            end.full = false;
            self.deliver(sender, Parcel::Room);
        }
    }

    fn tell_full(&mut self, host: usize, conn: Conn, full: bool) {
        if let Some(core) = &mut self.hosts[host].core {
            core.set_full(conn, full);
        }
        self.perform(host);
    }

    /// Takes an end away. The other one learns of it, if it can be told.
    fn close(&mut self, host: usize, conn: Conn, in_silence: bool) {
        let Some(end) = self.ends.remove(&(host, conn)) else {
            return;
        };
        if in_silence || self.cut.contains(&(host, end.peer.0)) {
            if let Some(peer) = self.ends.get_mut(&end.peer) {
                peer.orphaned = true;
            }
        } else if self.ends.remove(&end.peer).is_some() {
            let at_ms = end.arrives_ms.max(self.now_ms + self.delay());
            self.push(
                at_ms,
                What::Arrive {
                    host: end.peer.0,
                    conn: end.peer.1,
                    parcel: Parcel::Closed,
                },
            );
        }
    }

    /// Ends whose other end is gone learn it as soon as a packet can come back.
    fn tell_orphans(&mut self) {
        let tellable = |(key, end): (&(usize, Conn), &End)| {
            let back = (end.peer.0, key.0);
            let alive = self.hosts[end.peer.0].core.is_some();
            (end.orphaned && alive && !self.cut.contains(&back)).then_some(*key)
        };
        let orphans: Vec<_> = self.ends.iter().filter_map(tellable).collect();
        for key in orphans {
            self.ends.remove(&key);
            self.deliver(key, Parcel::Closed);
        }
    }

    fn deliver(&mut self, (host, conn): (usize, Conn), parcel: Parcel) {
        let at_ms = self.now_ms + self.delay();
        self.push(at_ms, What::Arrive { host, conn, parcel });
    }

    fn delay(&mut self) -> u64 {
        let (low, high) = self.delay_ms;
        self.rng.between(low, high)
    }

    fn push(&mut self, at_ms: u64, what: What) {
        self.seq += 1;
        self.queue.push(Reverse(Entry {
            at_ms,
            seq: self.seq,
            what,
        }));
    }

    /// A line for the trace.
    pub fn say(&self, line: impl FnOnce() -> String) {
        if let Some(trace) = self.trace {
            trace(self.now_ms, &line());
        }
    }
}
