//! What has the engine work, and what it wants done: the timer, signals, and its actions.

use std::convert::Infallible;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use daemon::{as_path, reason};
use engine::{Action, Engine};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::unconstrained;
use tokio::time::MissedTickBehavior;

use crate::bus::{self};
use crate::coming::Coming;
use crate::dump::SyncFile;
use crate::shell::Shell;
use crate::transfer::{self};
use crate::{links, relay};

impl Shell {
    /// Runs until the engine ends the process ([`Action::Exit`]).
    pub(crate) async fn run(self: &Rc<Self>) -> anyhow::Result<Infallible> {
        let mut child = signal(SignalKind::child())?;
        // Taking it is ignoring it.
        let mut hangup = signal(SignalKind::hangup())?;
        tokio::task::spawn_local(Rc::clone(self).flush_turns());
        tokio::task::spawn_local(Rc::clone(self).send_streams());
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
                    bus::tick(self);
                    self.sockets.close_idle();
                    self.machine.migrate_sockets.set(self.sockets.len());
                }
                _ = child.recv() => {
                    self.turn(Engine::look_after_child);
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

    /// A dump that comes from the master goes to its file. Else the line to be logged.
    pub(crate) fn keep_dump(&self, action: &Action) -> Result<(), String> {
        let mut file = self.sync_file.borrow_mut();
        match (action, file.as_mut()) {
            (Action::BeginSyncFile { in_memory }, _) => {
                let created = if *in_memory {
                    SyncFile::in_memory()
                } else {
                    SyncFile::create(self.machine.now().unix_ms() / 1000)
                };
                *file = Some(created.map_err(|error| {
                    let why = reason(&error);
                    format!("Opening the temp file needed for PRIMARY <-> REPLICA synchronization: {why}")
                })?);
            }
            (Action::WriteSyncFile { bytes }, Some(file)) => {
                file.write(bytes).map_err(|error| {
                    let why = reason(&error);
                    format!("Write error or short write writing to the DB dump file needed for PRIMARY <-> REPLICA synchronization: {why}")
                })?;
                if let Some(coming) = file.coming() {
                    coming.came(&self.links, bytes.len());
                }
            }
            (Action::LoadComing { link, .. }, Some(file)) => file.begin_load(*link).map_err(|error| {
                let why = reason(&error);
                format!("The dump of the PRIMARY <-> REPLICA synchronization cannot be loaded while it comes: {why}")
            })?,
            _ => {}
        }
        Ok(())
    }

    pub(crate) fn perform(self: &Rc<Self>, action: Action) {
        match action {
            Action::CloseClient { id, after_reply } => self.end_client(id, after_reply),
            Action::OpenLink { .. }
            | Action::SendLink { .. }
            | Action::CloseLink { .. }
            | Action::LimitLink { .. }
            | Action::ResumeLink { .. } => self.perform_link(action),
            // See `keep_dump`.
            Action::BeginSyncFile { .. } | Action::WriteSyncFile { .. } => {}
            Action::DropSyncFile => drop(self.sync_file.borrow_mut().take()),
            Action::LoadComing { bytes, .. } => {
                let coming = self.sync_file.borrow().as_ref().and_then(SyncFile::coming);
                if let Some(coming) = coming {
                    tokio::task::spawn_local(Rc::clone(self).load_coming(coming, bytes));
                }
            }
            Action::EndSyncFile => {
                let file = self.sync_file.borrow_mut().take();
                // Before it is dropped: what is dropped sooner is lost.
                if let Some(coming) = file.as_ref().and_then(SyncFile::coming) {
                    coming.whole(&self.links);
                }
            }
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
                let child = self.machine.take_piped();
                tokio::task::spawn_local(relay::relay(Rc::clone(self), replicas, child));
            }
            Action::RelaySlots { link } => {
                let child = self.machine.take_piped();
                tokio::task::spawn_local(relay::relay_slots(Rc::clone(self), link, child));
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
                let (ours, work) = crate::link::link();
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

    async fn load_coming(self: Rc<Self>, coming: Rc<Coming>, bytes: Option<u64>) {
        if self.turn(Engine::begin_sync_load) {
            let loaded = crate::load::load_coming(&self, &coming, bytes).await;
            self.turn(|engine| engine.sync_loaded(loaded.map(|()| None)));
        }
    }

    async fn load_sync_file(self: Rc<Self>, path: Option<Vec<u8>>, base: Option<Vec<u8>>) {
        let path = path.map(|path| as_path(&path).to_owned());
        let base = base.map(|base| as_path(&base).to_owned());
        let Some(file) = self.sync_file.borrow_mut().take().map(Rc::new) else {
            return;
        };
        *self.loading_file.borrow_mut() = Rc::downgrade(&file);
        if path.as_deref().is_some_and(Path::is_dir) {
            // The old data are better than a copy that cannot become the dump file.
            let line = format!("{}: Is a directory", crate::load::RENAME);
            return self.turn(|engine| engine.sync_file_failed(&line));
        }
        if self.turn(Engine::begin_sync_load) {
            let result = crate::load::load_received(&self, &file, path.as_deref(), base).await;
            self.turn(|engine| engine.sync_loaded(result));
        }
    }
}

/// The pace of the cluster's periodic work.
pub(crate) const CLUSTER_PERIOD: Duration = Duration::from_millis(100);

/// Between two slices of the cycle that deletes expired keys.
pub(crate) const EXPIRE_PAUSE: Duration = Duration::from_millis(2);
