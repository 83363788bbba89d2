//! An engine whose world is made up, with two clients.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cluster_bus::{NodesConf, nodes_conf};
use conf::ServerConfig;
use engine::{
    AppendFile, Child, ChildEnd, ChildProgress, Children, ClientId, Engine, Files, Job, Meanwhile,
    Now, Peer, Process, RewriteRequest, SaveRequest, Source, System,
};
use store::{Keyspace, Limits};

/// What others say while a script runs, and what they are answered.
#[derive(Debug, Default)]
pub(crate) struct Talk {
    pub(crate) says: RefCell<VecDeque<(Option<ClientId>, &'static str)>>,
    pub(crate) answers: RefCell<Vec<String>>,
    /// How the child ends that is started next; with none there are no processes.
    pub(crate) child: Cell<Option<ChildEnd>>,
    /// There is one.
    pub(crate) forked: Cell<bool>,
    /// How many syncs of append-only files were started.
    pub(crate) syncs: Arc<AtomicU32>,
    /// The size that an append-only file has when it is opened, and the slots of its place.
    pub(crate) part_size: Arc<AtomicU64>,
    pub(crate) slots: Arc<Mutex<Vec<u8>>>,
    /// What was done for a new part of an append-only file, in order: files synced, and manifests replaced.
    pub(crate) made_safe: Arc<Mutex<Vec<String>>>,
    /// Manifests take their time to get to the disk.
    pub(crate) slow_manifests: Cell<bool>,
    /// So many of the slow ones are there when they are asked for.
    pub(crate) ready_manifests: Cell<u32>,
    /// Manifests do not get to the disk.
    pub(crate) failing_manifests: Cell<bool>,
    /// Small files by name.
    pub(crate) files: RefCell<BTreeMap<Vec<u8>, Vec<u8>>>,
    /// The disk is busy with a sync of the append-only file.
    pub(crate) syncing: Arc<AtomicBool>,
    /// Nothing more can be written to append-only files.
    pub(crate) full: Arc<AtomicBool>,
    /// The place in the stream that the dump of the last child tells.
    pub(crate) dump_offset: Cell<Option<u64>>,
    /// Before when keys have expired that the base of the last child lacks.
    pub(crate) expired_ms: Cell<Option<u64>>,
    /// How many children were ended.
    pub(crate) killed: Cell<u32>,
}

impl Meanwhile for Talk {
    fn serve(&self, engine: &mut Engine) {
        let Some((who, line)) = self.says.borrow_mut().pop_front() else {
            return;
        };
        let id = who.unwrap_or_else(|| engine.accept(peer()).expect("room for a client"));
        assert!(engine.serves_meanwhile(id));
        engine.receive_meanwhile(id, line.as_bytes());
        let answer = taken(engine, id);
        self.answers.borrow_mut().push(answer);
    }
}

/// A clock that goes on by a hundredth of a second each time it is looked at, and nothing else.
#[derive(Debug)]
pub(crate) struct World {
    ns: Cell<u64>,
    talk: Rc<Talk>,
}

impl System for World {
    fn hang_up(&mut self, _link: engine::LinkId) {}

    fn mono_ns(&self) -> u64 {
        self.ns.set(self.ns.get() + 10_000_000);
        self.ns.get()
    }

    fn meanwhile(&self) -> Option<Rc<dyn Meanwhile>> {
        Some(Rc::clone(&self.talk) as Rc<dyn Meanwhile>)
    }

    fn sleep(&mut self, _: Duration) {}

    fn memory_used(&self) -> usize {
        1000
    }

    fn settle_memory(&mut self, _: Duration) {}

    fn free_later(&mut self, garbage: Vec<Box<dyn Send>>) {
        drop(garbage);
    }

    fn process(&self) -> Process {
        Process::default()
    }

    fn fill_random(&mut self, bytes: &mut [u8]) -> Result<(), String> {
        bytes.fill(0xa5);
        Ok(())
    }

    fn allow_clients(&mut self, _: u32) -> Result<(), u32> {
        Ok(())
    }

    fn set_log(&mut self, _: &conf::ServerConfig) {}

    fn crash(&mut self, _: engine::Crash) {}

    fn set_role(&mut self, _: bool) {}
}

impl Files for World {
    fn save(&mut self, _: &Keyspace, _: &SaveRequest) -> Result<(), String> {
        Ok(())
    }

    fn load(
        &mut self,
        _: &mut Keyspace,
        _: &SaveRequest,
        _: &Limits,
        _: bool,
    ) -> Result<Vec<Vec<u8>>, String> {
        Err("no files here".to_owned())
    }

    fn config_text(&self) -> Option<Vec<u8>> {
        self.talk.files.borrow().get(&b"conf"[..]).cloned()
    }

    fn write_config(&mut self, text: &[u8]) -> Result<(), String> {
        self.write_file(b"conf", text)
    }

    fn read_file(&self, path: &[u8]) -> Result<Vec<u8>, String> {
        let files = self.talk.files.borrow();
        files.get(path).cloned().ok_or("no such file".to_owned())
    }

    fn write_file(&mut self, path: &[u8], content: &[u8]) -> Result<(), String> {
        let mut files = self.talk.files.borrow_mut();
        files.insert(path.to_vec(), content.to_vec());
        Ok(())
    }

    fn change_dir(&mut self, path: &[u8]) -> Result<Vec<u8>, String> {
        Ok(path.to_vec())
    }

    fn open_append(&mut self, path: &[u8], _: bool) -> Result<Box<dyn AppendFile>, String> {
        let syncs = Arc::clone(&self.talk.syncs);
        let size = self.talk.part_size.load(Ordering::Relaxed);
        Ok(Box::new(Paper {
            name: String::from_utf8_lossy(path).into_owned(),
            made_safe: Arc::clone(&self.talk.made_safe),
            syncs,
            size,
            syncing: false,
            writing: false,
            busy: Arc::clone(&self.talk.syncing),
            full: Arc::clone(&self.talk.full),
        }))
    }

    fn open_place(&mut self, _: &[u8]) -> Result<Box<dyn engine::PlaceFile>, String> {
        Ok(Box::new(Slots(Arc::clone(&self.talk.slots))))
    }

    fn read_append(&mut self, path: &[u8]) -> Result<(Source, u64), String> {
        let content = self.read_file(path)?;
        let size = content.len() as u64;
        Ok((Box::new(std::io::Cursor::new(content)), size))
    }

    fn make_folder(&mut self, _: &[u8]) -> Result<(), String> {
        Ok(())
    }

    fn write_manifest(&mut self, path: &[u8], _: &[u8]) -> Result<(), String> {
        if self.talk.failing_manifests.get() {
            return Err("Can't write the AOF manifest file".to_owned());
        }
        let mut made_safe = self.talk.made_safe.lock().expect("one thread");
        made_safe.push(String::from_utf8_lossy(path).into_owned());
        Ok(())
    }

    fn start_manifest(&mut self, path: &[u8], content: &[u8]) -> Option<Result<(), String>> {
        let written = self.write_manifest(path, content);
        (!self.talk.slow_manifests.get()).then_some(written)
    }

    fn poll_manifest(&mut self, wait: bool) -> Option<Result<(), String>> {
        let written = if self.talk.failing_manifests.get() {
            Err("Can't write the AOF manifest file".to_owned())
        } else {
            Ok(())
        };
        let ready = self.talk.ready_manifests.take();
        self.talk.ready_manifests.set(ready.saturating_sub(1));
        (wait || ready > 0 || !self.talk.slow_manifests.get()).then_some(written)
    }

    fn write_base(&mut self, _: &Keyspace, _: &RewriteRequest, _: &[u8]) -> Result<u64, String> {
        Ok(0)
    }

    fn place_base(&mut self, _: i32, _: &[u8]) -> Result<u64, String> {
        Ok(4_000)
    }

    fn rename_part(&mut self, _: &[u8], _: &[u8]) -> Result<(), String> {
        Ok(())
    }

    fn remove_later(&mut self, path: &[u8]) {
        self.talk.files.borrow_mut().remove(path);
        if path.ends_with(b".place") {
            self.talk.slots.lock().expect("one thread").clear();
        }
    }
}

impl Children for World {
    fn fork(&mut self, _: &Keyspace, job: &Job) -> Result<Child, String> {
        if let Job::Save(dump) = job {
            let place = dump.facts.replication.as_ref();
            self.talk.dump_offset.set(place.map(|place| place.offset));
        }
        if let Job::Rewrite(base) = job {
            self.talk.expired_ms.set(Some(base.expired_ms));
        }
        let child = Child { pid: 7, fork_us: 0 };
        let end = self.talk.child.get();
        self.talk.forked.set(end.is_some());
        end.map(|_| child)
            .ok_or_else(|| "no processes here".to_owned())
    }

    fn poll_child(&mut self) -> Option<ChildEnd> {
        if !self.talk.forked.get() {
            return None;
        }
        let end = self.talk.child.take();
        self.talk.forked.set(end.is_none());
        end
    }

    fn child_progress(&self) -> ChildProgress {
        ChildProgress {
            keys: 2,
            own_bytes: 4096,
            most_own_bytes: 8192,
            told_s: 3,
        }
    }

    fn kill_child(&mut self) {
        self.talk.killed.set(self.talk.killed.get() + 1);
    }
}

/// A file that takes everything and keeps nothing.
#[derive(Debug)]
struct Paper {
    name: String,
    made_safe: Arc<Mutex<Vec<String>>>,
    syncs: Arc<AtomicU32>,
    size: u64,
    syncing: bool,
    writing: bool,
    busy: Arc<AtomicBool>,
    full: Arc<AtomicBool>,
}

impl AppendFile for Paper {
    fn write(&mut self, _: &[u8]) -> Result<(), engine::WriteError> {
        if self.full.load(Ordering::Relaxed) {
            return Err(engine::WriteError {
                written: 0,
                reason: "No space left on device".to_owned(),
            });
        }
        Ok(())
    }
    fn start_write(&mut self, _: Arc<Vec<Vec<u8>>>) {
        self.writing = true;
    }
    fn poll_write(&mut self, wait: bool) -> Option<Result<(), engine::WriteError>> {
        if self.busy.load(Ordering::Relaxed) && !wait || !std::mem::take(&mut self.writing) {
            return None;
        }
        Some(self.write(&[]))
    }
    fn truncate(&mut self, _: u64) -> Result<(), String> {
        Ok(())
    }
    fn sync(&mut self) -> Result<(), String> {
        let mut made_safe = self.made_safe.lock().expect("one thread");
        made_safe.push(self.name.clone());
        Ok(())
    }
    fn start_sync(&mut self) {
        self.syncs.fetch_add(1, Ordering::Relaxed);
        self.syncing = true;
    }
    fn poll_sync(&mut self) -> engine::SyncState {
        if self.busy.load(Ordering::Relaxed) {
            engine::SyncState::Running
        } else if std::mem::take(&mut self.syncing) {
            engine::SyncState::Ended(if self.full.load(Ordering::Relaxed) {
                Err("Input/output error".to_owned())
            } else {
                self.sync().map(|()| 0)
            })
        } else {
            engine::SyncState::Idle
        }
    }
    fn size(&self) -> Result<u64, String> {
        Ok(self.size)
    }
}

/// A file that is written in place.
#[derive(Debug)]
struct Slots(Arc<Mutex<Vec<u8>>>);

impl engine::PlaceFile for Slots {
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> Result<(), String> {
        let mut file = self.0.lock().expect("one thread");
        let at = usize::try_from(at).expect("small");
        let end = at + bytes.len();
        if file.len() < end {
            file.resize(end, 0);
        }
        file[at..end].copy_from_slice(bytes);
        Ok(())
    }
}

pub(crate) fn peer() -> Peer {
    Peer {
        addr: "127.0.0.1:1".to_owned(),
        local_addr: "127.0.0.1:6379".to_owned(),
        fd: 1,
        unix: false,
        ..Peer::default()
    }
}

/// Words as a request.
pub(crate) fn request<W: AsRef<[u8]>>(words: &[W]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", words.len()).into_bytes();
    for word in words.iter().map(AsRef::as_ref) {
        bytes.extend_from_slice(format!("${}\r\n", word.len()).as_bytes());
        bytes.extend_from_slice(word);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

pub(crate) fn taken(engine: &mut Engine, id: ClientId) -> String {
    let out = engine.output(id).expect("an open client");
    let text = String::from_utf8_lossy(out.flatten()).into_owned();
    out.clear();
    text
}

pub(crate) struct Server {
    pub(crate) engine: Engine,
    pub(crate) talk: Rc<Talk>,
    pub(crate) a: ClientId,
    pub(crate) b: ClientId,
    /// What time each request of [`Server::run`] comes at.
    now: Now,
}

impl Server {
    pub(crate) fn new() -> Self {
        Self::with(ServerConfig {
            enable_debug_command: conf::Permission::Yes,
            ..ServerConfig::default()
        })
    }

    /// A node of a cluster that owns all slots.
    pub(crate) fn node() -> Self {
        let mut server = Self::node_of(None);
        let a = server.a;
        server.run(a, &["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
        server.come_up();
        server
    }

    /// A node of a cluster that comes back with what nodes.conf says.
    pub(crate) fn node_with(text: &str) -> Self {
        let saved = nodes_conf::parse(text.as_bytes()).expect("a nodes.conf");
        let mut server = Self::node_of(Some(saved));
        server.come_up();
        server
    }

    fn node_of(saved: Option<NodesConf>) -> Self {
        let mut server = Self::with(ServerConfig {
            cluster_enabled: true,
            cluster_databases: 2,
            cluster_slot_stats_enabled: true,
            ..ServerConfig::default()
        });
        server.engine.join_cluster(saved, 1);
        server
    }

    /// The cluster is not ok at once.
    pub(crate) fn come_up(&mut self) {
        for step in 1..100 {
            self.set_now(Now {
                mono_ms: 1 + step * 100,
                unix_us: 1_000_000_000_000 + step * 100_000,
            });
            self.engine.tick_cluster();
        }
    }

    pub(crate) fn with(config: ServerConfig) -> Self {
        let talk = Rc::new(Talk::default());
        let world = World {
            ns: Cell::new(0),
            talk: Rc::clone(&talk),
        };
        let now = Now {
            mono_ms: 1,
            unix_us: 1_000_000_000_000,
        };
        let config = ServerConfig {
            lua_time_limit: 100,
            ..config
        };
        let mut engine = Engine::new(now, config, 1, Box::new(world));
        let a = engine.accept(peer()).expect("room");
        let b = engine.accept(peer()).expect("room");
        Self {
            engine,
            talk,
            a,
            b,
            now,
        }
    }

    pub(crate) fn set_now(&mut self, now: Now) {
        self.now = now;
        self.engine.set_now(now);
    }

    pub(crate) fn run(&mut self, id: ClientId, words: &[&str]) -> String {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        String::from_utf8_lossy(&self.run_bytes(id, &words)).into_owned()
    }

    pub(crate) fn run_bytes(&mut self, id: ClientId, words: &[&[u8]]) -> Vec<u8> {
        self.engine.set_now_for_requests(self.now);
        self.engine.receive(id, &request(words));
        let out = self.engine.output(id).expect("an open client");
        let reply = out.flatten().to_vec();
        out.clear();
        reply
    }

    pub(crate) fn eval(&mut self, words: &[&str]) -> String {
        self.run(self.a, &[&["EVAL"], words].concat())
    }

    /// While the next script runs; none is a new client.
    pub(crate) fn will_say(&self, who: Option<ClientId>, line: &'static str) {
        self.talk.says.borrow_mut().push_back((who, line));
    }
}
