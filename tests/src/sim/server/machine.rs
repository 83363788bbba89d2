//! The machine that an engine is given in the simulator: the three traits of [`engine::Host`] on a clock that the world tells, a
//! [`Disk`](super::disk::Disk), and children whose work is done when they are started and shows when their time is over.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use engine::{
    AppendFile, Child, ChildEnd, Children, Crash, Files, Job, LinkId, PlaceFile, Process,
    RewriteRequest, SaveRequest, SlotsRequest, Source, System,
};
use rdb::{Input, LoadOptions, Loader, Progress, SaveOptions};
use store::{Keyspace, Limits};

use super::disk::{Alive, Shared};
use super::process::CONFIG_FILE;
use crate::sim::Rng;

/// Each look at the clock takes so long.
const LOOK_NS: u64 = 100;
/// How long a child works, beside what its file takes.
const CHILD_MS: (u64, u64) = (5, 400);
/// What another thread is given is done after so long.
const LATER_MS: (u64, u64) = (1, 60);

/// The machine. Cheap to clone: the engine has one, and its shell.
#[derive(Clone, Debug)]
pub struct Machine(Rc<Inner>);

#[derive(Debug)]
struct Inner {
    disk: Shared,
    alive: Alive,
    now_ms: Cell<u64>,
    ns: Cell<u64>,
    rng: RefCell<Rng>,
    child: RefCell<Option<SimChild>>,
    pids: Cell<i32>,
    /// Whether the child that ended last did its job; taken by who tells those that wait for it.
    ended: Cell<Option<bool>>,
    /// What the last child wrote into its pipe.
    piped: RefCell<Option<Vec<u8>>>,
    /// What another thread has still to do, and when it does.
    later: RefCell<VecDeque<(u64, Garbage)>>,
    hung_up: RefCell<Vec<LinkId>>,
    /// Manifests on their way to the disk.
    manifests: RefCell<VecDeque<Order>>,
    /// What came of the one that was started last.
    manifest_written: RefCell<Option<Result<(), String>>>,
}

/// A manifest on its way to the disk.
#[derive(Debug)]
struct Order {
    path: Vec<u8>,
    content: Vec<u8>,
    /// When it takes the old one's place, and when that is safe.
    placed_ms: u64,
    safe_ms: u64,
    /// Whether it took that place.
    placed: Option<Result<(), String>>,
}

#[derive(Debug)]
struct SimChild {
    until_ms: u64,
    /// Its file, relative to the folder, and whether it becomes it by a rename whose folder is synced.
    file: Option<(Vec<u8>, bool)>,
    content: Vec<u8>,
}

/// What another thread drops: that is the work.
struct Garbage(#[expect(dead_code, reason = "dropped")] Vec<Box<dyn Send>>);

impl std::fmt::Debug for Garbage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Garbage")
    }
}

impl Machine {
    /// A machine whose process has just started.
    #[must_use]
    pub fn new(disk: Shared, seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let pids = i32::try_from(rng.between(100, 30_000)).unwrap_or(100);
        Self(Rc::new(Inner {
            disk,
            alive: Alive::default(),
            now_ms: Cell::default(),
            ns: Cell::default(),
            rng: RefCell::new(rng),
            child: RefCell::default(),
            pids: Cell::new(pids),
            ended: Cell::default(),
            piped: RefCell::default(),
            later: RefCell::default(),
            hung_up: RefCell::default(),
            manifests: RefCell::default(),
            manifest_written: RefCell::default(),
        }))
    }

    /// Tells the time; what other threads have done by now is done.
    pub fn set_now(&self, mono_ms: u64) {
        self.0.now_ms.set(mono_ms);
        self.0.ns.set(self.0.ns.get().max(mono_ms * 1_000_000));
        self.0.disk.lock().set_now(mono_ms);
        self.write_manifests(mono_ms);
        loop {
            let due = {
                let mut later = self.0.later.borrow_mut();
                let is_due = later.front().is_some_and(|(at_ms, _)| *at_ms <= mono_ms);
                if is_due { later.pop_front() } else { None }
            };
            if due.is_none() {
                return;
            }
            // What is dropped may be a file that is synced before.
            let waited_ms = self.0.disk.lock().waited_ms();
            drop(due);
            self.0.disk.lock().set_waited_ms(waited_ms);
        }
    }

    /// When a child ends, or another thread has done something.
    #[must_use]
    pub fn next_ms(&self) -> Option<u64> {
        let child = self.0.child.borrow();
        let child_ms = child.as_ref().map(|child| child.until_ms);
        let later_ms = self.0.later.borrow().front().map(|(at_ms, _)| *at_ms);
        let manifests = self.0.manifests.borrow();
        let manifest_ms = manifests.front().map(|order| match order.placed {
            None => order.placed_ms,
            Some(_) => order.safe_ms,
        });
        [child_ms, later_ms, manifest_ms]
            .into_iter()
            .flatten()
            .min()
    }

    /// Whether a child has done its work, which nobody has noticed yet.
    #[must_use]
    pub fn has_ended_child(&self) -> bool {
        let child = self.0.child.borrow();
        child
            .as_ref()
            .is_some_and(|child| child.until_ms <= self.0.now_ms.get())
    }

    /// How the last child ended, once.
    pub fn take_ended(&self) -> Option<bool> {
        self.0.ended.take()
    }

    /// What the last child wrote into its pipe.
    pub fn take_piped(&self) -> Option<Vec<u8>> {
        self.0.piped.take()
    }

    /// The links whose sockets were shut.
    pub fn take_hung_up(&self) -> Vec<LinkId> {
        self.0.hung_up.take()
    }

    /// The process is killed: nothing of it reaches the disk any more.
    pub fn kill(&self) {
        self.0.alive.end();
        self.0.later.take();
        self.0.manifests.take();
    }

    /// What the thread of the manifests has done by then.
    fn write_manifests(&self, until_ms: u64) {
        let mut orders = self.0.manifests.borrow_mut();
        let mut disk = self.0.disk.lock();
        while let Some(order) = orders.front_mut() {
            if order.placed.is_none() && order.placed_ms <= until_ms {
                let content = std::mem::take(&mut order.content);
                order.placed = Some(disk.aside(|disk| disk.put(&order.path, content)));
            }
            if order.safe_ms > until_ms {
                return;
            }
            if let Some(Order {
                placed: Some(placed),
                path,
                ..
            }) = orders.pop_front()
            {
                let written = placed.and_then(|()| disk.aside(|disk| disk.keep_names(&path)));
                self.0.manifest_written.replace(Some(written));
            }
        }
    }

    /// The process waits for that thread.
    fn finish_manifests(&self) {
        let last_ms = self.0.manifests.borrow().back().map(|order| order.safe_ms);
        if let Some(last_ms) = last_ms {
            let left_ms = last_ms.saturating_sub(self.0.now_ms.get());
            self.0.disk.lock().wait_for(left_ms);
            self.write_manifests(last_ms);
        }
    }

    fn later(&self, garbage: Garbage) {
        let (low_ms, high_ms) = LATER_MS;
        let mut later = self.0.later.borrow_mut();
        let soonest_ms = later.back().map_or(0, |(at_ms, _)| *at_ms);
        let at_ms = self.0.now_ms.get() + self.0.rng.borrow_mut().between(low_ms, high_ms);
        later.push_back((at_ms.max(soonest_ms), garbage));
    }
}

/// A dump of what there is now.
fn dump(keyspace: &Keyspace, request: &SaveRequest, aof_base: bool) -> Result<Vec<u8>, String> {
    let facts = rdb::Facts {
        aof_base,
        ..request.facts.clone()
    };
    let lowest = || {
        if !request.slot_imports.is_empty() {
            return rdb::Version::VALKEY;
        }
        let lowest = rdb::lowest_version(keyspace, &request.functions);
        let least = facts.replication.as_ref().and(rdb::Version::written(8));
        least.map_or(lowest, |least| least.max(lowest))
    };
    let options = SaveOptions {
        version: request.version.or_else(|| request.any_reader.then(lowest)),
        compress: request.compress,
        checksum: request.checksum,
        now_ms: request.now_ms,
        usage: request.usage,
        facts: Some(&facts),
        functions: &request.functions,
        slots: request.slots,
        slot_imports: &request.slot_imports,
    };
    rdb::save(keyspace, Vec::new(), options, |_| Ok(()))
        .map(|(bytes, _)| bytes)
        .map_err(|error| error.to_string())
}

/// The base of an append-only file that holds what there is now.
fn base(keyspace: &Keyspace, request: &RewriteRequest) -> Result<Vec<u8>, String> {
    if let Some(as_dump) = &request.dump {
        return dump(keyspace, as_dump, true);
    }
    let write = || {
        let mut rewriter = aof::Rewriter::new(Vec::new());
        request
            .functions
            .iter()
            .try_for_each(|code| rewriter.library(code))?;
        rewriter.keyspace(keyspace, request.expired_ms, |_| Ok(()))?;
        rewriter.finish()
    };
    write().map_err(|error: std::io::Error| error.to_string())
}

/// The keys of slots as commands, for the node that they move to.
fn slots(keyspace: &Keyspace, request: &SlotsRequest) -> Result<Vec<u8>, String> {
    let write = || {
        let mut rewriter = aof::Rewriter::new(Vec::new());
        rewriter.slots(keyspace, &request.slots, |_| Ok(false))?;
        rewriter.finish()
    };
    write().map_err(|error: std::io::Error| error.to_string())
}

fn temporary(pid: i32) -> Vec<u8> {
    format!("temp-rewriteaof-bg-{pid}.aof").into_bytes()
}

impl System for Machine {
    fn mono_ns(&self) -> u64 {
        self.0.ns.set(self.0.ns.get() + LOOK_NS);
        self.0.ns.get()
    }

    fn sleep(&mut self, _time: Duration) {}

    fn hang_up(&mut self, link: LinkId) {
        self.0.hung_up.borrow_mut().push(link);
    }

    fn memory_used(&self) -> usize {
        1 << 20
    }

    fn settle_memory(&mut self, _most: Duration) {}

    fn free_later(&mut self, garbage: Vec<Box<dyn Send>>) {
        self.later(Garbage(garbage));
    }

    fn process(&self) -> Process {
        Process {
            pid: 1,
            ..Process::default()
        }
    }

    fn fill_random(&mut self, bytes: &mut [u8]) -> Result<(), String> {
        let mut rng = self.0.rng.borrow_mut();
        bytes.fill_with(|| rng.next_u64().to_le_bytes()[0]);
        Ok(())
    }

    fn allow_clients(&mut self, _count: u32) -> Result<(), u32> {
        Ok(())
    }

    fn set_log(&mut self, _config: &conf::ServerConfig) {}

    fn crash(&mut self, _how: Crash) {}

    fn set_role(&mut self, _slave: bool) {}
}

impl Files for Machine {
    fn save(&mut self, keyspace: &Keyspace, request: &SaveRequest) -> Result<(), String> {
        let bytes = dump(keyspace, request, false)?;
        self.0.disk.lock().replace(&request.path, bytes)
    }

    fn load(
        &mut self,
        keyspace: &mut Keyspace,
        request: &SaveRequest,
        limits: &Limits,
        replace: bool,
    ) -> Result<Vec<Vec<u8>>, String> {
        let (source, _) = self.0.disk.lock().source(&request.path)?;
        let failed = |error: rdb::Error| error.to_string();
        let options = LoadOptions {
            replace,
            ..LoadOptions::default()
        };
        let mut loader =
            Loader::open(Input::new(source), options, limits.clone()).map_err(failed)?;
        while loader.step(keyspace, u64::MAX).map_err(failed)? != Progress::Done {}
        Ok(loader.take_functions())
    }

    fn open_append(&mut self, path: &[u8], fresh: bool) -> Result<Box<dyn AppendFile>, String> {
        let file = self.0.disk.open(path, fresh, &self.0.alive)?;
        Ok(Box::new(file))
    }

    fn open_place(&mut self, path: &[u8]) -> Result<Box<dyn PlaceFile>, String> {
        let file = self.0.disk.open_slots(path, &self.0.alive)?;
        Ok(Box::new(file))
    }

    fn read_append(&mut self, path: &[u8]) -> Result<(Source, u64), String> {
        self.0.disk.lock().source(path)
    }

    fn make_folder(&mut self, _path: &[u8]) -> Result<(), String> {
        Ok(())
    }

    fn write_manifest(&mut self, path: &[u8], content: &[u8]) -> Result<(), String> {
        self.finish_manifests();
        self.0.disk.lock().replace(path, content.to_vec())
    }

    fn start_manifest(&mut self, path: &[u8], content: &[u8]) -> Option<Result<(), String>> {
        let sync_ms = self.0.disk.lock().sync_ms;
        let mut orders = self.0.manifests.borrow_mut();
        let free_ms = orders.back().map_or(0, |order| order.safe_ms);
        let after = |at_ms: u64| {
            let (low_ms, high_ms) = LATER_MS;
            at_ms + sync_ms + self.0.rng.borrow_mut().between(low_ms, high_ms)
        };
        let placed_ms = after(free_ms.max(self.0.now_ms.get()));
        orders.push_back(Order {
            path: path.to_vec(),
            content: content.to_vec(),
            placed_ms,
            safe_ms: after(placed_ms),
            placed: None,
        });
        self.0.manifest_written.take();
        None
    }

    fn poll_manifest(&mut self, wait: bool) -> Option<Result<(), String>> {
        if wait {
            self.finish_manifests();
        }
        // Of several only the last is told of.
        let done = self.0.manifests.borrow().is_empty();
        done.then(|| self.0.manifest_written.take()).flatten()
    }

    fn write_base(
        &mut self,
        keyspace: &Keyspace,
        request: &RewriteRequest,
        path: &[u8],
    ) -> Result<u64, String> {
        let bytes = base(keyspace, request)?;
        let size = bytes.len() as u64;
        self.0.disk.lock().put(path, bytes)?;
        Ok(size)
    }

    fn place_base(&mut self, pid: i32, path: &[u8]) -> Result<u64, String> {
        self.0.disk.lock().rename(&temporary(pid), path)
    }

    fn rename_part(&mut self, from: &[u8], to: &[u8]) -> Result<(), String> {
        self.0.disk.lock().rename(from, to).map(drop)
    }

    fn remove_later(&mut self, path: &[u8]) {
        self.0.disk.lock().remove(path);
    }

    fn config_text(&self) -> Option<Vec<u8>> {
        Some(self.0.disk.lock().read(CONFIG_FILE).unwrap_or_default())
    }

    fn write_config(&mut self, text: &[u8]) -> Result<(), String> {
        self.write_file(CONFIG_FILE, text)
    }

    fn read_file(&self, path: &[u8]) -> Result<Vec<u8>, String> {
        self.0.disk.lock().read(path)
    }

    fn write_file(&mut self, path: &[u8], content: &[u8]) -> Result<(), String> {
        self.0.disk.lock().replace(path, content.to_vec())
    }

    fn change_dir(&mut self, path: &[u8]) -> Result<Vec<u8>, String> {
        Ok(path.to_vec())
    }
}

impl Children for Machine {
    fn fork(&mut self, keyspace: &Keyspace, job: &Job) -> Result<Child, String> {
        let pid = self.0.pids.get();
        self.0.pids.set(pid + 1);
        let (file, content) = match job {
            Job::Save(request) => (
                Some((request.path.clone(), true)),
                dump(keyspace, request, false)?,
            ),
            Job::Stream(request) => (None, dump(keyspace, request, false)?),
            Job::Send(_) => return Err("children have no sockets here".to_owned()),
            Job::Slots(request) => (None, slots(keyspace, request)?),
            Job::Rewrite(request) => (Some((temporary(pid), false)), base(keyspace, request)?),
        };
        let (low_ms, high_ms) = CHILD_MS;
        let works_ms = self.0.rng.borrow_mut().between(low_ms, high_ms);
        let until_ms = self.0.now_ms.get() + works_ms + self.0.disk.lock().sync_ms;
        *self.0.child.borrow_mut() = Some(SimChild {
            until_ms,
            file,
            content,
        });
        Ok(Child { pid, fork_us: 100 })
    }

    fn poll_child(&mut self) -> Option<ChildEnd> {
        if !self.has_ended_child() {
            return None;
        }
        let child = self.0.child.take()?;
        let mut disk = self.0.disk.lock();
        let written = match child.file {
            Some((path, true)) => disk.replace(&path, child.content),
            Some((path, false)) => disk.put(&path, child.content),
            None => {
                *self.0.piped.borrow_mut() = Some(child.content);
                Ok(())
            }
        };
        // The child has waited for its disk, not the server.
        disk.take_use();
        let ok = written.is_ok();
        self.0.ended.set(Some(ok));
        Some(if ok { ChildEnd::Done } else { ChildEnd::Failed })
    }

    fn kill_child(&mut self) {
        if self.0.child.take().is_some() {
            self.0.ended.set(Some(false));
        }
    }
}
