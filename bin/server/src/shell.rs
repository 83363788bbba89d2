//! The engine in its shell: turns, wake-ups, the timer, signals, and the engine's actions.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::rc::{Rc, Weak};
use std::task::Waker;
use std::time::Duration;

use daemon::{PidFile, as_path, reason};
use engine::{Action, ClientId, Engine, LinkId, System as _};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio::task::unconstrained;
use tokio::time::MissedTickBehavior;

use crate::admin::Admins;
use crate::bus::{self, Bus};
use crate::connection::GoOn;
use crate::dump::{self, SyncFile};
use crate::host::Machine;
use crate::listen::{Door, Place};
use crate::meanwhile::Shared;
use crate::nodes_file::NodesFile;
use crate::reads::Reads;
use crate::signals::Signals;
use crate::transfer::{self, Sockets};
use crate::{links, relay};

/// The pace of the cluster's periodic work.
const CLUSTER_PERIOD: Duration = Duration::from_millis(100);

/// Between two slices of the cycle that deletes expired keys.
const EXPIRE_PAUSE: Duration = Duration::from_millis(2);

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

/// What all tasks of the one thread share.
#[derive(Debug)]
pub(crate) struct Shell {
    pub(crate) engine: RefCell<Engine>,
    pub(crate) machine: Machine,
    pub(crate) signals: Signals,
    pub(crate) reads: Reads,
    /// The task of each client, by its place.
    tasks: RefCell<Vec<Option<(ClientId, Waker)>>>,
    /// The socket of each client, by its place.
    pub(crate) streams: RefCell<Vec<Option<(ClientId, Shared)>>>,
    pub(crate) doors: RefCell<Vec<Door>>,
    /// Where the doors by TCP are, plain and TLS.
    pub(crate) places: RefCell<[Option<Place>; 2]>,
    pub(crate) admins: Admins,
    /// Tasks that wait until a client's output was sent.
    senders: RefCell<BTreeMap<ClientId, Waker>>,
    /// What is to be sent on each link; dropping a sender ends the link.
    links: RefCell<BTreeMap<LinkId, links::Link>>,
    /// The same for the cluster bus, and its thread.
    bus_links: RefCell<BTreeMap<cluster_bus::LinkId, bus::Link>>,
    pub(crate) bus: RefCell<Option<Bus>>,
    pub(crate) sockets: Sockets,
    /// Where a node of a cluster keeps its state.
    nodes_file: Option<NodesFile>,
    /// A dump that comes from the master, and one that has come and is being loaded.
    sync_file: RefCell<Option<SyncFile>>,
    loading_file: RefCell<Weak<SyncFile>>,
    /// How the last child ended, and who waits for that.
    child_ok: Cell<Option<bool>>,
    child_ended: Notify,
    /// Clients that go on after those that are ready, and whether there are any.
    later: Later,
    later_due: Notify,
    /// Clients whose output waits for that.
    deferred: RefCell<Vec<ClientId>>,
    pub(crate) pid_file: RefCell<Option<PidFile>>,
    /// When the process ends well, its program is started again in its place after so long.
    restart: Cell<Option<Duration>>,
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
            tasks: RefCell::default(),
            streams: RefCell::default(),
            doors: RefCell::default(),
            places: RefCell::default(),
            admins: Admins::default(),
            senders: RefCell::default(),
            links: RefCell::default(),
            bus_links: RefCell::default(),
            bus: RefCell::default(),
            sockets: Sockets::default(),
            nodes_file,
            sync_file: RefCell::default(),
            loading_file: RefCell::default(),
            child_ok: Cell::new(None),
            child_ended: Notify::new(),
            later: Later::default(),
            later_due: Notify::new(),
            deferred: RefCell::default(),
            pid_file: RefCell::default(),
            restart: Cell::new(None),
        }
    }

    /// Runs until the engine ends the process ([`Action::Exit`]).
    pub(crate) async fn run(self: &Rc<Self>) -> anyhow::Result<Infallible> {
        let mut child = signal(SignalKind::child())?;
        // Taking it is ignoring it.
        let mut hangup = signal(SignalKind::hangup())?;
        tokio::task::spawn_local(Rc::clone(self).flush_turns());
        // It stands in for many tasks, each of which might do as much as one task may before others get a turn.
        tokio::task::spawn_local(unconstrained(Rc::clone(self).go_on()));
        let mut timer = self.timer();
        let mut cluster = tokio::time::interval(CLUSTER_PERIOD);
        cluster.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = timer.tick() => {
                    self.machine.watchdog.round();
                    self.turn(Engine::tick);
                    if timer.period() != self.period() {
                        timer = self.timer();
                    }
                }
                () = tokio::time::sleep(EXPIRE_PAUSE), if self.engine.borrow().is_expiring() => {
                    self.turn(Engine::expire_slice);
                }
                _ = cluster.tick() => {
                    bus::hear_waiting(self);
                    self.turn(Engine::tick_cluster);
                    self.sockets.close_idle();
                    self.machine.migrate_sockets.set(self.sockets.len());
                }
                _ = child.recv() => {
                    self.turn(Engine::look_after_child);
                    // A tick may have noticed it before.
                    let ended = self.machine.child_end.take();
                    if ended.is_some() {
                        self.child_ok.set(ended);
                        self.child_ended.notify_waiters();
                    }
                }
                () = self.signals.asked() => self.terminate(),
                _ = hangup.recv() => {}
            }
        }
    }

    fn terminate(self: &Rc<Self>) {
        let interrupted = self.signals.interrupted();
        if !self.turn(|engine| engine.terminate(interrupted)) {
            tracing::warn!(
                "SIGTERM received but errors trying to shut down the server, check the logs for more information"
            );
        }
        self.signals.go_on();
    }

    fn period(&self) -> Duration {
        Duration::from_millis(1000 / u64::from(self.engine.borrow().config().hz.max(1)))
    }

    fn timer(&self) -> tokio::time::Interval {
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
        self.serve_admins(engine);
        while let Some(action) = engine.poll_action() {
            if let Err(line) = self.keep_dump(&action) {
                engine.sync_file_failed(&line);
            }
            self.perform(action);
        }
        for id in engine.take_woken() {
            self.wake(id);
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
    async fn go_on(self: Rc<Self>) {
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
    async fn flush_turns(self: Rc<Self>) {
        loop {
            self.machine.flush_due.notified().await;
            if !self.turn(Engine::flush_append_only) {
                return;
            }
            for id in self.deferred.take() {
                self.wake(id);
            }
        }
    }

    /// Wakes a client once the append-only file is written.
    pub(crate) fn defer(&self, id: ClientId) {
        self.deferred.borrow_mut().push(id);
    }

    /// A dump that comes from the master goes to its file. Else the line to be logged.
    fn keep_dump(&self, action: &Action) -> Result<(), String> {
        let mut file = self.sync_file.borrow_mut();
        match (action, file.as_mut()) {
            (Action::BeginSyncFile, _) => {
                let created = SyncFile::create(self.machine.now().unix_ms() / 1000);
                *file = Some(created.map_err(|error| {
                    let why = reason(&error);
                    format!("Opening the temp file needed for PRIMARY <-> REPLICA synchronization: {why}")
                })?);
            }
            (Action::WriteSyncFile { bytes }, Some(file)) => file.write(bytes).map_err(|error| {
                let why = reason(&error);
                format!("Write error or short write writing to the DB dump file needed for PRIMARY <-> REPLICA synchronization: {why}")
            })?,
            _ => {}
        }
        Ok(())
    }

    fn perform(self: &Rc<Self>, action: Action) {
        match action {
            Action::CloseClient { id, .. } => self.wake(id),
            Action::OpenLink { .. }
            | Action::SendLink { .. }
            | Action::CloseLink { .. }
            | Action::LimitLink { .. }
            | Action::ResumeLink { .. } => self.perform_link(action),
            // See `keep_dump`.
            Action::BeginSyncFile | Action::WriteSyncFile { .. } => {}
            Action::DropSyncFile => drop(self.sync_file.borrow_mut().take()),
            Action::LoadSyncFile { path, base } => drop(tokio::task::spawn_local(
                Rc::clone(self).load_sync_file(path, base),
            )),
            Action::SendFile { id, path } => {
                // Opened now: a dump that is saved a moment later does not belong to the stream that follows.
                let path = as_path(&path).to_owned();
                let file = std::fs::File::open(&path);
                drop(tokio::task::spawn_local(relay::send_file(
                    Rc::clone(self),
                    id,
                    path,
                    file,
                )));
            }
            Action::RelaySync { replicas } => {
                // How the child before it ended says nothing about this one.
                self.machine.child_end.set(None);
                self.child_ok.set(None);
                tokio::task::spawn_local(relay::relay(Rc::clone(self), replicas));
            }
            Action::RelaySlots { link } => {
                self.machine.child_end.set(None);
                self.child_ok.set(None);
                tokio::task::spawn_local(relay::relay_slots(Rc::clone(self), link));
            }
            Action::BusConnect { link, addr } => bus::dial(self, link, addr),
            Action::BusSend { link, bytes } => {
                let mut links = self.bus_links.borrow_mut();
                if links.get(&link).is_some_and(|known| !known.send(bytes))
                    && let Some(full) = links.remove(&link)
                {
                    tracing::warn!("Freeing outbound cluster link: too much waits to be sent");
                    full.lose();
                }
            }
            Action::BusClose { link } => self.forget_bus_link(link),
            Action::SaveNodes { text } => self.save_nodes(text),
            Action::Transfer { transfer, what } => {
                drop(tokio::task::spawn_local(transfer::run(
                    Rc::clone(self),
                    transfer,
                    what,
                )));
            }
            Action::Restart { delay_ms } => {
                self.restart.set(Some(Duration::from_millis(delay_ms)));
            }
            Action::Exit { code } => {
                self.end(code);
            }
        }
    }

    fn perform_link(self: &Rc<Self>, action: Action) {
        match action {
            Action::OpenLink { link, host, port } => {
                let (ours, work) = links::link();
                self.links.borrow_mut().insert(link, ours);
                tokio::task::spawn_local(links::run(Rc::clone(self), link, host, port, work));
            }
            Action::SendLink { link, bytes } => {
                if let Some(known) = self.links.borrow().get(&link) {
                    known.send(bytes);
                }
            }
            Action::CloseLink { link } => self.forget_link(link),
            Action::LimitLink { link, room } => {
                if let Some(known) = self.links.borrow().get(&link) {
                    known.limit(room);
                }
            }
            Action::ResumeLink { link } => {
                let shell = Rc::clone(self);
                tokio::task::spawn_local(async move {
                    tokio::task::yield_now().await;
                    shell.turn(|engine| engine.link_goes_on(link));
                });
            }
            _ => {}
        }
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

    fn save_nodes(self: &Rc<Self>, text: String) {
        let Some(file) = self.nodes_file.clone() else {
            return;
        };
        file.put(text);
        let shell = Rc::clone(self);
        tokio::task::spawn_local(async move {
            let written = tokio::task::spawn_blocking(move || file.write()).await;
            let result = match written {
                Ok(result) => result.map_err(|error| format!("{error:#}")),
                Err(error) => Err(error.to_string()),
            };
            shell.turn(|engine| engine.nodes_saved(result));
        });
    }

    async fn load_sync_file(self: Rc<Self>, path: Vec<u8>, base: Option<Vec<u8>>) {
        let path = as_path(&path).to_owned();
        let base = base.map(|base| as_path(&base).to_owned());
        let Some(file) = self.sync_file.borrow_mut().take().map(Rc::new) else {
            return;
        };
        *self.loading_file.borrow_mut() = Rc::downgrade(&file);
        if self.turn(Engine::begin_sync_load) {
            let result = dump::load_received(&self, &file, &path, base).await;
            self.turn(|engine| engine.sync_loaded(result));
        }
    }

    /// Whether the child that runs, or has just run, ends well.
    pub(crate) async fn child_succeeded(&self) -> bool {
        loop {
            let ended = self.child_ended.notified();
            if let Some(ok) = self.child_ok.get() {
                return ok;
            }
            ended.await;
        }
    }

    pub(crate) fn add_bus_link(&self, link: cluster_bus::LinkId, ours: bus::Link) {
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
            let error = crate::start_again();
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
        let mut streams = self.streams.borrow_mut();
        if streams.len() <= id.place() {
            streams.resize(id.place() + 1, None);
        }
        streams[id.place()] = Some((id, stream));
    }

    /// The socket of a client.
    pub(crate) fn stream(&self, id: ClientId) -> Option<Shared> {
        let streams = self.streams.borrow();
        let (owner, stream) = streams.get(id.place())?.as_ref()?;
        (*owner == id).then(|| Rc::clone(stream))
    }

    /// Remembers the task that serves a client.
    pub(crate) fn set_task(&self, id: ClientId, waker: &Waker) {
        let mut tasks = self.tasks.borrow_mut();
        if tasks.len() <= id.place() {
            tasks.resize(id.place() + 1, None);
        }
        tasks[id.place()] = Some((id, waker.clone()));
    }

    pub(crate) fn wake(&self, id: ClientId) {
        if let Some(Some((owner, waker))) = self.tasks.borrow().get(id.place())
            && *owner == id
        {
            waker.wake_by_ref();
        }
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
        if let Some(task) = self.tasks.borrow_mut().get_mut(id.place()) {
            task.take_if(|(owner, _)| *owner == id);
        }
        if let Some(stream) = self.streams.borrow_mut().get_mut(id.place()) {
            stream.take_if(|(owner, _)| *owner == id);
        }
        self.admins.forget(id);
        if let Some(read) = self.reads.take(id) {
            self.reads.end(read);
        }
        self.output_sent(id);
    }
}
