//! The machine, as the engine asks for it: clocks, memory, entropy, children, a thread that frees.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use conf::ServerConfig;
use daemon::{as_path, current_dir, files, reason};
use engine::{
    AppendFile, Child, ChildEnd, ChildProgress, Children, Crash, Files, Job, LinkId, Meanwhile,
    Now, PlaceFile, Process, RewriteRequest, Running, SaveRequest, ShownCertificate, Source,
    System,
};
use logline::{Log, Role};
use nix::time::ClockId;
use socket2::Socket;
use store::{Keyspace, Limits};
use tls::Settings;
use tokio::sync::Notify;

use crate::append_only::{self, AppendOnlyFile};
use crate::clock::{self, Clock};
use crate::dump::Who;
use crate::fork::Apart;
use crate::gathered::Gathered;
use crate::handshakes::Handshakes;
use crate::manifests::Manifests;
use crate::memory::{Freed, Memory};
use crate::oom_score::OomScore;
use crate::relay::{Fate, Piped};
use crate::straight;
use crate::watchdog::{self, Watchdog};
use crate::{crash, dump, fork, progress, sched};

/// Who has the doors.
pub(crate) trait Doors: std::fmt::Debug {
    /// Opens and closes them as the configuration wants.
    ///
    /// # Errors
    /// One cannot be opened.
    fn follow(&self, config: &ServerConfig) -> anyhow::Result<()>;
}

/// The real machine. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    clock: Rc<Clock>,
    memory: Memory,
    reaper: Sender<Vec<Box<dyn Send>>>,
    /// How many values the reaper has still to free.
    unfreed: Arc<AtomicUsize>,
    log: Log,
    child: CurrentChild,
    /// How the last child ends.
    fate: Rc<RefCell<Rc<Fate>>>,
    /// Where the last child works, and has its temporary file: the server's own folder may have changed since.
    folder: Rc<RefCell<PathBuf>>,
    /// The sockets that the server listens on.
    pub(crate) doors: Rc<RefCell<Vec<RawFd>>>,
    /// Where a child writes a dump for replicas.
    pipe: Rc<RefCell<Option<OwnedFd>>>,
    /// Where a child that is done tells how much memory it had for itself.
    report: Rc<RefCell<Option<File>>>,
    child_own_bytes: Rc<Cell<u64>>,
    config_file: Option<Rc<PathBuf>>,
    meanwhile: Rc<RefCell<Option<Rc<dyn Meanwhile>>>>,
    /// The sockets of links, and which are written to as they are, not encrypted.
    link_sockets: Rc<RefCell<BTreeMap<LinkId, (Socket, bool)>>>,
    /// How many sockets MIGRATE keeps; the shell tells.
    pub(crate) migrate_sockets: Rc<Cell<usize>>,
    /// What has gathered since the child was started, for it to see.
    gathered: Gathered,
    pub(crate) watchdog: Watchdog,
    oom: OomScore,
    pub(crate) handshakes: Rc<Handshakes>,
    manifests: Rc<RefCell<Manifests>>,
    /// Who has the doors.
    has_doors: Rc<RefCell<Option<Box<dyn Doors>>>>,
    /// Something is to be written to the append-only file, or a sync that this may wait for has ended.
    pub(crate) flush_due: Arc<Notify>,
}

impl Machine {
    /// Shows the title that the configuration wants in lists of processes.
    pub(crate) fn show_title(&self, config: &ServerConfig) {
        let file = self.config_file.as_deref().map(PathBuf::as_path);
        crate::title::show(config, file);
    }

    /// Starts the thread that frees big values.
    pub(crate) fn new(log: Log, config_file: Option<PathBuf>, child: CurrentChild) -> Self {
        let (reaper, garbage) = channel::<Vec<Box<dyn Send>>>();
        let unfreed = Arc::new(AtomicUsize::new(0));
        let (left, freed) = (Arc::clone(&unfreed), Freed::default());
        let memory = Memory::new(freed.clone());
        let flush_due = Arc::new(Notify::new());
        std::thread::spawn(move || {
            sched::wait_for_the_core();
            for load in garbage {
                for value in load {
                    drop(value);
                    freed.tell();
                    left.fetch_sub(1, Ordering::Relaxed);
                }
            }
        });
        Self {
            clock: Rc::new(Clock::new()),
            memory,
            reaper,
            unfreed,
            log,
            child,
            fate: Rc::default(),
            folder: Rc::default(),
            doors: Rc::default(),
            pipe: Rc::default(),
            report: Rc::default(),
            child_own_bytes: Rc::default(),
            config_file: config_file.map(Rc::new),
            meanwhile: Rc::default(),
            link_sockets: Rc::default(),
            migrate_sockets: Rc::default(),
            gathered: Gathered::new(),
            watchdog: Watchdog::new(),
            oom: OomScore::default(),
            handshakes: Rc::default(),
            manifests: Rc::new(RefCell::new(Manifests::new(Arc::clone(&flush_due)))),
            has_doors: Rc::default(),
            flush_due,
        }
    }

    /// The time now.
    #[inline]
    pub(crate) fn now(&self) -> Now {
        self.clock.now()
    }

    /// Random numbers from the operating system.
    pub(crate) fn entropy() -> anyhow::Result<[u64; 4]> {
        let mut bytes = [0; 32];
        fill_random(&mut bytes).context("cannot read /dev/urandom")?;
        Ok(std::array::from_fn(|index| {
            bytes[index * 8..][..8]
                .iter()
                .fold(0, |word, byte| word << 8 | u64::from(*byte))
        }))
    }

    /// The reading end of the pipe that the last [`Job::Stream`] or [`Job::Slots`] writes to, and how that child ends.
    pub(crate) fn take_piped(&self) -> Piped {
        Piped {
            pipe: self.pipe.borrow_mut().take(),
            fate: Rc::clone(&self.fate.borrow()),
        }
    }

    /// Who serves clients while a script runs for too long.
    pub(crate) fn set_meanwhile(&self, meanwhile: Rc<dyn Meanwhile>) {
        *self.meanwhile.borrow_mut() = Some(meanwhile);
    }

    /// Who has the doors.
    pub(crate) fn set_doors(&self, doors: Box<dyn Doors>) {
        *self.has_doors.borrow_mut() = Some(doors);
    }

    /// A link is connected: this is its socket. `bare`: what is said is not encrypted.
    pub(crate) fn link_opened(&self, link: LinkId, socket: Socket, bare: bool) {
        self.link_sockets.borrow_mut().insert(link, (socket, bare));
    }

    /// The socket that a child writes slots to, if it may by itself.
    fn target_of(&self, job: &Job) -> Option<RawFd> {
        let Job::Slots(request) = job else {
            return None;
        };
        let sockets = self.link_sockets.borrow();
        let (socket, bare) = sockets.get(&request.link)?;
        bare.then(|| socket.as_raw_fd())
    }

    /// Shuts a link's socket, if it has one.
    pub(crate) fn hang_up(&self, link: LinkId) {
        if let Some((socket, _)) = self.link_sockets.borrow_mut().remove(&link) {
            // The other side may have closed it already.
            let _ = socket.shutdown(std::net::Shutdown::Both);
        }
    }

    /// Whether a child has, for now, all that this process had when it was forked.
    pub(crate) fn has_child(&self) -> bool {
        self.child.get().is_some()
    }

    fn work(
        &self,
        keyspace: &Keyspace,
        job: &Job,
        pipe: Option<OwnedFd>,
        target: Option<RawFd>,
        report: Option<OwnedFd>,
    ) -> bool {
        self.log.set_role(Role::Child);
        self.oom.set_child();
        // The ends that are the parent's: a pipe that nobody else reads has to break, not to fill.
        drop((self.pipe.take(), self.report.take()));
        let done = match (job, pipe) {
            (Job::Stream(request), Some(pipe)) => {
                dump::stream(keyspace, request, pipe, &self.gathered)
            }
            (Job::Send(request), _) => straight::send(keyspace, request, &self.gathered),
            (Job::Save(request) | Job::Stream(request), _) => {
                dump::save(keyspace, request, Who::Child(&self.gathered))
            }
            (Job::Rewrite(request), _) => {
                return rewrite(keyspace, request, &self.gathered, report);
            }
            (Job::Slots(request), pipe) => {
                let sent = match (target, pipe) {
                    (Some(socket), _) => straight::slots(keyspace, request, socket, &self.gathered),
                    (None, Some(pipe)) => {
                        dump::slots(keyspace, request, File::from(pipe), &self.gathered)
                    }
                    (None, None) => return false,
                };
                return slots_sent(sent, report);
            }
        };
        match done {
            Ok(()) => {
                if matches!(job, Job::Save(_)) {
                    tracing::info!("DB saved on disk");
                }
                tell_own_bytes("RDB", report);
                true
            }
            Err(error) => {
                if matches!(job, Job::Stream(_) | Job::Send(_)) {
                    tracing::warn!("Write error saving DB on disk: {}", reason(&error));
                }
                false
            }
        }
    }
}

/// The child that runs, as all threads know it.
#[derive(Clone, Debug, Default)]
pub(crate) struct CurrentChild(Arc<AtomicI32>);

impl CurrentChild {
    fn set(&self, pid: Option<i32>) {
        self.0.store(pid.unwrap_or(0), Ordering::Relaxed);
    }

    fn get(&self) -> Option<i32> {
        Some(self.0.load(Ordering::Relaxed)).filter(|pid| *pid > 0)
    }

    /// Ends it by `end`, and removes what it has written.
    pub(crate) fn end(&self, end: impl FnOnce(i32)) {
        let pid = self.0.swap(0, Ordering::Relaxed);
        if pid > 0 {
            end(pid);
            remove_temporary(Path::new(""), pid.unsigned_abs());
        }
    }
}

/// What a child that writes a new append-only file does, and says.
fn rewrite(
    keyspace: &Keyspace,
    request: &RewriteRequest,
    gathered: &Gathered,
    report: Option<OwnedFd>,
) -> bool {
    match append_only::rewrite(keyspace, request, Some(gathered)) {
        Ok(_) => {
            tracing::info!("SYNC append only file rewrite performed");
            tell_own_bytes("AOF rewrite", report);
            true
        }
        // It has been logged.
        Err(_) => false,
    }
}

/// What a child that wrote slots for another node says.
fn slots_sent(sent: std::io::Result<()>, report: Option<OwnedFd>) -> bool {
    match sent {
        Ok(()) => {
            tell_own_bytes("Slot migration", report);
            true
        }
        Err(error) => {
            tracing::warn!("Write error sending slots: {}", reason(&error));
            false
        }
    }
}

/// The child's last words: how much memory it had for itself, in the log and to its parent.
fn tell_own_bytes(what: &str, report: Option<OwnedFd>) {
    let bytes = progress::own_bytes();
    tracing::info!("{what}: {} MB of memory used by copy-on-write", bytes >> 20);
    if let Some(report) = report {
        // A parent that is gone has no use for it.
        let _ = File::from(report).write_all(&bytes.to_ne_bytes());
    }
}

/// Fills `bytes` from the operating system.
fn fill_random(bytes: &mut [u8]) -> std::io::Result<()> {
    use std::io::Read as _;
    std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(bytes))
}

impl System for Machine {
    fn mono_ns(&self) -> u64 {
        self.clock.mono_ns()
    }

    fn stop(&mut self) {
        // A process may always stop itself.
        let _ = nix::sys::signal::raise(nix::sys::signal::Signal::SIGSTOP);
    }

    fn sleep(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    fn meanwhile(&self) -> Option<Rc<dyn Meanwhile>> {
        self.meanwhile.borrow().clone()
    }

    fn memory_used(&self) -> usize {
        self.memory.count()
    }

    fn memory_estimate(&self) -> usize {
        self.memory.estimate()
    }

    fn allocator_report(&self) -> String {
        crate::memory::report()
    }

    fn hang_up(&mut self, link: LinkId) {
        Self::hang_up(self, link);
    }

    fn settle_memory(&mut self, most: Duration) {
        let start = Instant::now();
        while self.unfreed.load(Ordering::Relaxed) > 0 && start.elapsed() < most {
            std::thread::yield_now();
        }
    }

    fn free_later(&mut self, garbage: Vec<Box<dyn Send>>) {
        self.unfreed.fetch_add(garbage.len(), Ordering::Relaxed);
        // The thread lives as long as the process; if it is gone, the values are freed here.
        let _ = self.reaper.send(garbage);
    }

    fn process(&self) -> Process {
        let [system, user, ..] = cpu_seconds("/proc/thread-self/stat");
        Process {
            pid: std::process::id(),
            os: operating_system(),
            config_file: self
                .config_file
                .as_ref()
                .map(|path| path.display().to_string())
                .unwrap_or_default(),
            executable: std::env::current_exe()
                .map(|path| path.display().to_string())
                .unwrap_or_default(),
            rss: resident_bytes(),
            allocator: crate::memory::allocator(),
            total_memory: total_memory(),
            cpu_seconds: cpu_seconds("/proc/self/stat"),
            main_thread_cpu_seconds: [system, user],
            migrate_sockets: self.migrate_sockets.get(),
            unfreed: self.unfreed.load(Ordering::Relaxed),
        }
    }

    fn fill_random(&mut self, bytes: &mut [u8]) -> Result<(), String> {
        fill_random(bytes).map_err(|error| reason(&error))
    }

    fn allow_clients(&mut self, count: u32) -> Result<(), u32> {
        daemon::open_files_for(count)
            .map(drop)
            .map_err(daemon::clients_within)
    }

    fn set_log(&mut self, config: &conf::ServerConfig) {
        self.log.set_level(daemon::log_level(config.loglevel));
        self.log.set_style(daemon::log_style(config));
    }

    fn watch(&mut self, period_ms: u64, running: &Arc<Running>) {
        self.watchdog.set_period(period_ms, running);
    }

    fn crash(&mut self, how: Crash) {
        crash::crash(how);
    }

    fn set_title(&mut self, config: &ServerConfig) {
        self.show_title(config);
    }

    fn set_oom_score(&mut self, config: &ServerConfig, slave: bool) -> Result<(), String> {
        self.oom.set(config, slave)
    }

    fn listen(&mut self, config: &ServerConfig) -> Result<(), String> {
        if Settings::are_wanted(config) != self.handshakes.is_configured() {
            self.set_tls(config)?;
        }
        let doors = self.has_doors.borrow();
        let Some(doors) = doors.as_ref() else {
            return Ok(());
        };
        doors.follow(config).map_err(|error| {
            tracing::warn!("{error:#}");
            "Unable to listen on this port. Check server logs.".to_owned()
        })
    }

    fn set_tls(&mut self, config: &ServerConfig) -> Result<(), String> {
        self.handshakes.configure(config).map_err(|error| {
            tracing::warn!("{error}");
            "Unable to update TLS configuration. Check server logs.".to_owned()
        })
    }

    fn tls_certificates(&self) -> [Option<ShownCertificate>; 3] {
        let facts = self.handshakes.facts();
        [facts.server, facts.client, facts.ca].map(|cert| {
            cert.map(|cert| ShownCertificate {
                serial: cert.serial,
                not_after: cert.not_after,
            })
        })
    }

    fn set_role(&mut self, slave: bool) {
        self.log
            .set_role(if slave { Role::Slave } else { Role::Master });
    }
}

impl Files for Machine {
    fn save(&mut self, keyspace: &Keyspace, request: &SaveRequest) -> Result<(), String> {
        // Who lets go of a replaced file last gives its blocks back to the file system, and those of a big one take a while.
        let replaced = File::open(as_path(&request.path));
        let saved = dump::save(keyspace, request, Who::Server).map_err(|error| reason(&error));
        if let Ok(replaced) = replaced {
            self.free_later(vec![Box::new(replaced)]);
        }
        saved
    }

    fn open_append(&mut self, path: &[u8], fresh: bool) -> Result<Box<dyn AppendFile>, String> {
        match AppendOnlyFile::open(as_path(path), fresh, Arc::clone(&self.flush_due)) {
            Ok(file) => Ok(Box::new(file)),
            Err(error) => Err(reason(&error)),
        }
    }

    fn open_place(&mut self, path: &[u8]) -> Result<Box<dyn PlaceFile>, String> {
        match append_only::Slots::open(as_path(path)) {
            Ok(file) => Ok(Box::new(file)),
            Err(error) => Err(reason(&error)),
        }
    }

    fn read_append(&mut self, path: &[u8]) -> Result<(Source, u64), String> {
        append_only::open_to_read(as_path(path)).map_err(|error| reason(&error))
    }

    fn make_folder(&mut self, path: &[u8]) -> Result<(), String> {
        append_only::make_folder(as_path(path)).map_err(|error| reason(&error))
    }

    fn write_manifest(&mut self, path: &[u8], content: &[u8]) -> Result<(), String> {
        self.manifests.borrow_mut().write(as_path(path), content)
    }

    fn start_manifest(&mut self, path: &[u8], content: &[u8]) -> Option<Result<(), String>> {
        self.manifests.borrow_mut().start(as_path(path), content)
    }

    fn poll_manifest(&mut self, wait: bool) -> Option<Result<(), String>> {
        self.manifests.borrow_mut().poll(wait)
    }

    fn write_base(
        &mut self,
        keyspace: &Keyspace,
        request: &RewriteRequest,
        path: &[u8],
    ) -> Result<u64, String> {
        let temporary =
            append_only::rewrite(keyspace, request, None).map_err(|error| reason(&error))?;
        append_only::place_base(&temporary, as_path(path))
    }

    fn place_base(&mut self, pid: i32, path: &[u8]) -> Result<u64, String> {
        let pid = u32::try_from(pid).unwrap_or(0);
        let temporary = append_only::temporary(&self.folder.borrow().join("aof"), pid);
        append_only::place_base(&temporary, as_path(path))
    }

    fn rename_part(&mut self, from: &[u8], to: &[u8]) -> Result<(), String> {
        let (from, to) = (as_path(from), as_path(to));
        std::fs::rename(from, to).map_err(|error| {
            format!(
                "Error trying to rename the temporary AOF file {} into {}: {}",
                from.display(),
                to.display(),
                reason(&error)
            )
        })
    }

    fn remove_later(&mut self, path: &[u8]) {
        // The name is free at once. What takes time is to give the blocks back, which the system does when nobody has the file open.
        let file = std::fs::File::open(as_path(path));
        // It may be gone already.
        let _ = std::fs::remove_file(as_path(path));
        if let Ok(file) = file {
            self.free_later(vec![Box::new(file)]);
        }
    }

    fn load(
        &mut self,
        keyspace: &mut Keyspace,
        request: &SaveRequest,
        limits: &Limits,
        replace: bool,
    ) -> Result<Vec<Vec<u8>>, String> {
        dump::load_now(keyspace, request, limits, replace)
    }

    fn config_text(&self) -> Option<Vec<u8>> {
        self.config_file
            .as_ref()
            .map(|path| std::fs::read(path.as_path()).unwrap_or_default())
    }

    fn write_config(&mut self, text: &[u8]) -> Result<(), String> {
        let path = self
            .config_file
            .as_deref()
            .ok_or("there is no configuration file")?;
        files::replace(path, text).map_err(|error| reason(&error))
    }

    fn read_file(&self, path: &[u8]) -> Result<Vec<u8>, String> {
        std::fs::read(as_path(path)).map_err(|error| reason(&error))
    }

    fn write_file(&mut self, path: &[u8], content: &[u8]) -> Result<(), String> {
        files::replace(as_path(path), content).map_err(|error| reason(&error))
    }

    fn change_dir(&mut self, path: &[u8]) -> Result<Vec<u8>, String> {
        std::env::set_current_dir(as_path(path)).map_err(|error| reason(&error))?;
        Ok(current_dir())
    }
}

impl Children for Machine {
    fn fork(&mut self, keyspace: &Keyspace, job: &Job) -> Result<Child, String> {
        let target = self.target_of(job);
        let piped = matches!(job, Job::Stream(_) | Job::Slots(_)) && target.is_none();
        let (reader, pipe) = piped.then(fork::private_pipe).transpose()?.unzip();
        *self.pipe.borrow_mut() = reader;
        let start = Instant::now();
        self.gathered.reset();
        let machine = self.clone();
        let quiet = watchdog::quiet();
        let apart = Apart {
            doors: &self.doors.borrow(),
            temporary: match job {
                Job::Save(_) | Job::Stream(_) | Job::Send(_) | Job::Slots(_) => {
                    |pid| dump::temporary(Path::new("dump"), pid)
                }
                Job::Rewrite(_) => |pid| append_only::temporary(Path::new("aof"), pid),
            },
        };
        // Without one INFO tells 0, and the log knows.
        let (reader, report) = fork::private_pipe().ok().unzip();
        *self.report.borrow_mut() = reader.map(File::from);
        let pid = fork::child(&apart, || machine.work(keyspace, job, pipe, target, report))?;
        drop(quiet);
        self.child.set(Some(pid));
        *self.fate.borrow_mut() = Rc::default();
        *self.folder.borrow_mut() = std::env::current_dir().unwrap_or_default();
        Ok(Child {
            pid,
            fork_us: u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX),
        })
    }

    fn poll_child(&mut self) -> Option<ChildEnd> {
        let pid = self.child.get()?;
        let end = fork::ended(pid)?;
        self.child.set(None);
        self.fate.borrow().tell(end == ChildEnd::Done);
        let report = self.report.take();
        if end == ChildEnd::Done {
            // It has ended, and nobody else holds the other end: this does not wait.
            let mut bytes = [0; 8];
            let told = report.is_some_and(|mut report| report.read_exact(&mut bytes).is_ok());
            self.child_own_bytes
                .set(if told { u64::from_ne_bytes(bytes) } else { 0 });
        } else {
            remove_temporary(&self.folder.borrow(), pid.unsigned_abs());
        }
        Some(end)
    }

    fn child_own_bytes(&self) -> u64 {
        self.child_own_bytes.get()
    }

    fn child_progress(&self) -> ChildProgress {
        self.gathered
            .progress(clock::clock_ns(ClockId::CLOCK_MONOTONIC))
    }

    fn can_send(&self) -> bool {
        true
    }

    fn child_sent(&self) -> (u64, bool) {
        self.gathered.sent()
    }

    fn kill_child(&mut self) {
        if self.has_child() {
            self.fate.borrow().tell(false);
        }
        self.child.end(fork::end);
    }

    fn gathered(&mut self, bytes: u64) {
        self.gathered.set(bytes);
    }
}

/// Resident memory, bytes; 0 where the kernel does not tell.
/// The machine's memory, bytes.
fn total_memory() -> usize {
    let info = rustix::system::sysinfo();
    let total = info.totalram as u64 * u64::from(info.mem_unit);
    usize::try_from(total).unwrap_or(usize::MAX)
}

fn resident_bytes() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: usize = text
        .split_ascii_whitespace()
        .nth(1)
        .and_then(|word| word.parse().ok())
        .unwrap_or(0);
    pages * rustix::param::page_size()
}

/// System and user time that a `stat` file of the kernel tells of, and those of ended children, seconds; zeros where there is none.
fn cpu_seconds(path: &str) -> [f64; 4] {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    // The name in parentheses may hold blanks: fields are counted behind it.
    let fields: Vec<f64> = text
        .rsplit_once(')')
        .map(|(_, rest)| {
            rest.split_ascii_whitespace()
                .skip(11)
                .take(4)
                .filter_map(|word| word.parse().ok())
                .collect()
        })
        .unwrap_or_default();
    let ticks = f64::from(u32::try_from(rustix::param::clock_ticks_per_second()).unwrap_or(100));
    match fields[..] {
        [user, system, children_user, children_system] => [
            system / ticks,
            user / ticks,
            children_system / ticks,
            children_user / ticks,
        ],
        _ => [0.0; 4],
    }
}

fn operating_system() -> String {
    let name = rustix::system::uname();
    format!(
        "{} {} {}",
        name.sysname().to_string_lossy(),
        name.release().to_string_lossy(),
        name.machine().to_string_lossy()
    )
}

/// What a process that works in this folder, and did not come to the end of its work, has left behind.
pub(crate) fn remove_temporary(folder: &Path, pid: u32) {
    let beside = folder.join("file");
    // As a rule there is none.
    let _ = std::fs::remove_file(dump::temporary(&beside, pid));
    let _ = std::fs::remove_file(append_only::temporary(&beside, pid));
}
