//! The engine in its shell: what all tasks share, turns, and wake-ups.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::{Rc, Weak};
use std::task::Waker;
use std::time::Duration;

use daemon::{PidFile, reason};
use engine::{ClientId, Engine, LinkId, System as _};
use tokio::sync::Notify;
use tokio::time::MissedTickBehavior;

use crate::admins::Admins;
use crate::bus::link::Bus;
use crate::doors::{Door, Place};
use crate::dump::SyncFile;
use crate::host::Machine;
use crate::idle_sockets::Sockets;
use crate::link::Links;
use crate::nodes_file::NodesFile;
use crate::reads::Reads;
use crate::signals::Signals;
use crate::socket::Shared;
use crate::streams::Streams;

/// How long clients whose budget is used up may go on before the sockets are looked at again.
const MORE_TURNS_NS: u64 = 2_000_000;

/// Clients that go on after those that are ready.
#[derive(Default)]
struct Later {
    /// Those that have requests to run or replies to write, in their order.
    answers: RefCell<Vec<Rc<dyn GoOn>>>,
    /// Those whose budget was used up, in their order.
    turns: RefCell<VecDeque<Rc<dyn GoOn>>>,
}

impl std::fmt::Debug for Later {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().finish_non_exhaustive()
    }
}

/// Where a client is served.
#[derive(Debug)]
struct Seat {
    id: ClientId,
    stream: Shared,
    /// None before it runs for the first time.
    task: Option<Waker>,
    /// It is to go at once, whatever of it has still to be sent.
    cut_off: bool,
}

/// What all tasks of the one thread share.
#[derive(Debug)]
pub(crate) struct Shell {
    pub(crate) engine: RefCell<Engine>,
    pub(crate) machine: Machine,
    pub(crate) signals: Signals,
    pub(crate) reads: Reads,
    /// Who serves each client, by its place.
    seats: RefCell<Vec<Option<Seat>>>,
    pub(crate) doors: RefCell<Vec<Door>>,
    /// Where the doors by TCP are, plain and TLS.
    pub(crate) places: RefCell<[Option<Place>; 2]>,
    pub(crate) admins: Admins,
    /// Tasks that wait until a client's output was sent.
    senders: RefCell<BTreeMap<ClientId, Waker>>,
    /// What is to be sent on each link; dropping a sender ends the link.
    pub(crate) links: Links,
    /// The same for the cluster bus, and its thread.
    pub(crate) bus_links: RefCell<BTreeMap<cluster_bus::LinkId, crate::bus::link::Link>>,
    pub(crate) bus: RefCell<Option<Bus>>,
    pub(crate) sockets: Sockets,
    pub(crate) streams: Streams,
    /// Where a node of a cluster keeps its state.
    pub(crate) nodes_file: Option<NodesFile>,
    /// A dump that comes from the master, and one that has come and is being loaded.
    pub(crate) sync_file: RefCell<Option<SyncFile>>,
    pub(crate) loading_file: RefCell<Weak<SyncFile>>,
    /// Clients that go on after those that are ready, and whether there are any.
    later: Later,
    later_due: Notify,
    /// Clients whose output waits for that.
    deferred: RefCell<Vec<ClientId>>,
    pub(crate) pid_file: RefCell<Option<PidFile>>,
    /// When the process ends well, its program is started again in its place after so long.
    pub(crate) restart: Cell<Option<Duration>>,
}

impl Shell {
    pub(crate) fn new(
        engine: Engine,
        machine: Machine,
        signals: Signals,
        nodes_file: Option<NodesFile>,
    ) -> Self {
        Self {
            engine: RefCell::new(engine),
            machine,
            signals,
            reads: Reads::new(),
            seats: RefCell::default(),
            doors: RefCell::default(),
            places: RefCell::default(),
            admins: Admins::default(),
            senders: RefCell::default(),
            links: RefCell::default(),
            bus_links: RefCell::default(),
            bus: RefCell::default(),
            sockets: Sockets::default(),
            streams: Streams::default(),
            nodes_file,
            sync_file: RefCell::default(),
            loading_file: RefCell::default(),
            later: Later::default(),
            later_due: Notify::new(),
            deferred: RefCell::default(),
            pid_file: RefCell::default(),
            restart: Cell::new(None),
        }
    }

    pub(crate) fn period(&self) -> Duration {
        Duration::from_millis(1000 / u64::from(self.engine.borrow().config().hz.max(1)))
    }

    pub(crate) fn timer(&self) -> tokio::time::Interval {
        let mut timer = tokio::time::interval(self.period());
        timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
        timer
    }

    /// One turn of the engine: it is told the time, and what it wants done afterwards is done.
    pub(crate) fn turn<R>(self: &Rc<Self>, work: impl FnOnce(&mut Engine) -> R) -> R {
        let mut engine = self.engine.borrow_mut();
        engine.set_now(self.machine.now());
        let result = work(&mut engine);
        self.after_turn(&mut engine);
        result
    }

    /// To be called whenever the engine did something: performs its actions and wakes the clients that have something to send.
    pub(crate) fn after_turn(self: &Rc<Self>, engine: &mut Engine) {
        engine.end_turn();
        self.streams.count_turn();
        self.serve_admins(engine);
        while let Some(action) = engine.poll_action() {
            if let Err(line) = self.keep_dump(&action) {
                engine.sync_file_failed(&line);
            }
            self.perform(action);
        }
        for id in engine.take_woken() {
            if !self.streams.gathers(engine, &self.machine, id) {
                self.wake(id);
            }
        }
        if engine.has_unflushed() {
            self.machine.flush_due.notify_one();
        }
    }

    /// Has a client go on after those that are ready now.
    pub(crate) fn after_the_others(&self, client: Rc<dyn GoOn>) {
        let mut later = self.later.answers.borrow_mut();
        if later.is_empty() {
            self.later_due.notify_one();
        }
        later.push(client);
    }

    /// Has a client that would read more than its share go on after all others.
    pub(crate) fn next_turn(&self, client: Rc<dyn GoOn>) {
        let mut turns = self.later.turns.borrow_mut();
        if turns.is_empty() {
            self.later_due.notify_one();
        }
        turns.push_back(client);
    }

    /// Goes on with the clients that wait for others: this task is woken by the first of them, so it runs after those that the same
    /// poll of the sockets woke. To wake each client's own task once more would cost more.
    pub(crate) async fn go_on(self: Rc<Self>) {
        let mut clients = Vec::new();
        loop {
            self.later_due.notified().await;
            std::mem::swap(&mut clients, &mut *self.later.answers.borrow_mut());
            clients.retain(|client| {
                let mut engine = self.engine.borrow_mut();
                let waits_on = client.run_waiting(&mut engine);
                if !waits_on {
                    self.after_turn(&mut engine);
                    drop(engine);
                    Rc::clone(client).go_on();
                }
                waits_on
            });
            self.after_turn(&mut self.engine.borrow_mut());
            // One write to the append-only file is for all of them.
            let unflushed = self.engine.borrow().has_unflushed();
            if unflushed && !self.turn(Engine::flush_append_only) {
                return;
            }
            clients.drain(..).for_each(GoOn::go_on);
            self.more_turns();
            // Who waits again already does so until the sockets were looked at.
            if !self.later.answers.borrow().is_empty() || !self.later.turns.borrow().is_empty() {
                self.later_due.notify_one();
                tokio::task::yield_now().await;
            }
        }
    }

    /// One more turn for each client whose budget was used up, as far as time allows.
    fn more_turns(&self) {
        let begin_ns = self.machine.mono_ns();
        let count = self.later.turns.borrow().len();
        for _ in 0..count {
            let Some(client) = self.later.turns.borrow_mut().pop_front() else {
                return;
            };
            client.go_on();
            if self.machine.mono_ns().saturating_sub(begin_ns) >= MORE_TURNS_NS {
                return;
            }
        }
    }

    /// Writes the append-only file once for all clients that were ready: this task is woken by the first of them, so it runs after
    /// those that the same poll of the sockets woke. Their replies leave after it.
    pub(crate) async fn flush_turns(self: Rc<Self>) {
        loop {
            self.machine.flush_due.notified().await;
            if !self.turn(Engine::disk_went_on) {
                return;
            }
            for id in self.deferred.take() {
                self.wake(id);
            }
        }
    }

    /// Has replicas send what has gathered of the stream.
    pub(crate) async fn send_streams(self: Rc<Self>) {
        loop {
            for id in self.streams.gathered(&self.machine).await {
                self.wake(id);
            }
        }
    }

    /// Wakes a client once the append-only file is written.
    pub(crate) fn defer(&self, id: ClientId) {
        self.deferred.borrow_mut().push(id);
    }

    /// Sends bytes over a link once little waits before them. False where the link has ended.
    pub(crate) async fn push_link(&self, link: LinkId, bytes: Vec<u8>) -> bool {
        loop {
            let room = {
                let links = self.links.borrow();
                let Some(known) = links.get(&link) else {
                    return false;
                };
                if known.has_room() {
                    self.engine.borrow_mut().link_queued(link, bytes.len());
                    known.send(bytes);
                    return true;
                }
                known.room()
            };
            room.await;
        }
    }

    /// The address that connections to others are made from, if one is configured.
    pub(crate) fn source_address(&self) -> Option<Vec<u8>> {
        self.engine.borrow().config().bind_source_addr.clone()
    }

    pub(crate) fn add_bus_link(&self, link: cluster_bus::LinkId, ours: crate::bus::link::Link) {
        self.bus_links.borrow_mut().insert(link, ours);
    }

    pub(crate) fn forget_bus_link(&self, link: cluster_bus::LinkId) {
        self.bus_links.borrow_mut().remove(&link);
    }

    /// Ends the process at once, listening sockets and all: whoever tries to connect from now on is refused.
    pub(crate) fn end(&self, code: i32) {
        drop(self.pid_file.borrow_mut().take());
        self.doors.borrow().iter().for_each(Door::close);
        drop(self.sync_file.borrow_mut().take());
        if let Some(file) = self.loading_file.borrow().upgrade() {
            file.remove();
        }
        // Waits for a write that is under way. Whatever goes wrong now changes nothing any more.
        let _ = self.nodes_file.as_ref().map(NodesFile::write);
        if code == 0 {
            tracing::warn!("Valkey is now ready to exit, bye bye...");
        }
        if let Some(delay) = self.restart.get().filter(|_| code == 0) {
            std::thread::sleep(delay);
            // It only comes back where it could not.
            let error = crate::again::start();
            tracing::warn!("Cannot start again: {}", reason(&error));
        }
        std::process::exit(code);
    }

    pub(crate) fn forget_link(&self, link: LinkId) {
        self.links.borrow_mut().remove(&link);
        self.machine.hang_up(link);
    }

    /// Remembers the socket of a client.
    pub(crate) fn add_stream(&self, id: ClientId, stream: Shared) {
        let mut seats = self.seats.borrow_mut();
        if seats.len() <= id.place() {
            seats.resize_with(id.place() + 1, || None);
        }
        seats[id.place()] = Some(Seat {
            id,
            stream,
            task: None,
            cut_off: false,
        });
    }

    /// The sockets of all clients.
    pub(crate) fn streams(&self) -> Vec<(ClientId, Shared)> {
        let seats = self.seats.borrow();
        let taken = seats.iter().flatten();
        taken
            .map(|seat| (seat.id, Rc::clone(&seat.stream)))
            .collect()
    }

    /// The socket of a client.
    pub(crate) fn stream(&self, id: ClientId) -> Option<Shared> {
        let seats = self.seats.borrow();
        let seat = seats.get(id.place())?.as_ref()?;
        (seat.id == id).then(|| Rc::clone(&seat.stream))
    }

    /// Remembers the task that serves a client.
    pub(crate) fn set_task(&self, id: ClientId, waker: &Waker) {
        if let Some(Some(seat)) = self.seats.borrow_mut().get_mut(id.place())
            && seat.id == id
        {
            seat.task = Some(waker.clone());
        }
    }

    pub(crate) fn wake(&self, id: ClientId) {
        if let Some(Some(seat)) = self.seats.borrow().get(id.place())
            && seat.id == id
            && let Some(task) = &seat.task
        {
            task.wake_by_ref();
        }
    }

    /// Ends a client's connection, once its replies are sent or at once.
    pub(crate) fn end_client(&self, id: ClientId, after_reply: bool) {
        if let Some(Some(seat)) = self.seats.borrow_mut().get_mut(id.place())
            && seat.id == id
        {
            seat.cut_off |= !after_reply;
        }
        self.wake(id);
    }

    /// Whether its connection is to end at once.
    pub(crate) fn is_cut_off(&self, id: ClientId) -> bool {
        let seats = self.seats.borrow();
        let seat = seats.get(id.place()).and_then(Option::as_ref);
        seat.is_some_and(|seat| seat.id == id && seat.cut_off)
    }

    /// Wakes `waker` once some of a client's output was sent.
    pub(crate) fn wait_for_output(&self, id: ClientId, waker: &Waker) {
        self.senders.borrow_mut().insert(id, waker.clone());
    }

    /// Some of a client's output was sent, or the client is gone.
    pub(crate) fn output_sent(&self, id: ClientId) {
        if let Some(waker) = self.senders.borrow_mut().remove(&id) {
            waker.wake();
        }
    }

    /// The client is gone.
    pub(crate) fn forget_task(&self, id: ClientId) {
        if let Some(seat) = self.seats.borrow_mut().get_mut(id.place()) {
            seat.take_if(|seat| seat.id == id);
        }
        self.admins.forget(id);
        if let Some(read) = self.reads.take(id) {
            self.reads.end(read);
        }
        self.output_sent(id);
    }
}

/// A client that waits until those that are ready with it have had their turn.
pub(crate) trait GoOn {
    /// Runs what was read of it, if that has not happened yet. False where the replies are so long that they had better be written
    /// while they are in the cache.
    fn run_waiting(&self, engine: &mut Engine) -> bool;

    /// Writes what there is to write, and waits for the socket.
    fn go_on(self: Rc<Self>);
}
