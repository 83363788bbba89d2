//! The machine, as the engine asks for it: clocks, memory, entropy, children, a thread that frees.

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::rc::Rc;
use std::sync::mpsc::{Sender, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use engine::{Child, ChildEnd, Host, Job, Now, SaveRequest};
use logline::{Log, Role};
use store::Keyspace;

use crate::bus::NodesFile;
use crate::config::reason;
use crate::{dump, fork};

/// The real machine. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    start: Instant,
    reaper: Sender<Vec<Box<dyn Send>>>,
    log: Log,
    child: Rc<Cell<Option<i32>>>,
    /// Where a child writes a dump for replicas.
    pipe: Rc<RefCell<Option<OwnedFd>>>,
    nodes_file: Rc<RefCell<Option<NodesFile>>>,
}

impl Machine {
    /// Starts the thread that frees big values.
    pub(crate) fn new(log: Log) -> Self {
        let (reaper, garbage) = channel::<Vec<Box<dyn Send>>>();
        std::thread::spawn(move || garbage.into_iter().for_each(drop));
        Self {
            start: Instant::now(),
            reaper,
            log,
            child: Rc::default(),
            pipe: Rc::default(),
            nodes_file: Rc::default(),
        }
    }

    /// The time now.
    pub(crate) fn now(&self) -> Now {
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Now {
            mono_ms: millis(self.start.elapsed()),
            unix_us: u64::try_from(unix.as_micros()).unwrap_or(u64::MAX),
        }
    }

    /// Random numbers from the operating system.
    pub(crate) fn entropy() -> anyhow::Result<[u64; 4]> {
        use std::io::Read as _;
        let mut bytes = [0; 32];
        std::fs::File::open("/dev/urandom")
            .and_then(|mut file| file.read_exact(&mut bytes))
            .context("cannot read /dev/urandom")?;
        Ok(std::array::from_fn(|index| {
            bytes[index * 8..][..8]
                .iter()
                .fold(0, |word, byte| word << 8 | u64::from(*byte))
        }))
    }

    /// The reading end of the pipe that the last [`Job::Stream`] writes to.
    pub(crate) fn take_pipe(&self) -> Option<OwnedFd> {
        self.pipe.borrow_mut().take()
    }

    /// Where [`Host::persist_cluster`] writes to.
    pub(crate) fn set_nodes_file(&self, file: NodesFile) {
        *self.nodes_file.borrow_mut() = Some(file);
    }

    fn work(&self, keyspace: &Keyspace, job: &Job, pipe: Option<OwnedFd>) -> bool {
        self.log.set_role(Role::Child);
        let done = match (job, pipe) {
            (Job::Stream(request), Some(pipe)) => dump::stream(keyspace, request, pipe),
            (Job::Save(request) | Job::Stream(request), _) => dump::save(keyspace, request),
        };
        match done {
            Ok(()) => {
                if matches!(job, Job::Save(_)) {
                    tracing::info!("DB saved on disk");
                }
                tracing::info!(
                    "RDB: {} MB of memory used by copy-on-write",
                    private_dirty_bytes() >> 20
                );
                true
            }
            Err(error) => {
                tracing::warn!("Write error saving DB on disk: {}", reason(&error));
                false
            }
        }
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Memory of this process that it shares with nobody (`Private_Dirty`); 0 where the kernel does not tell.
fn private_dirty_bytes() -> u64 {
    let Ok(text) = std::fs::read_to_string("/proc/self/smaps_rollup") else {
        return 0;
    };
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("Private_Dirty:"));
    line.and_then(|rest| rest.split_ascii_whitespace().next()?.parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

impl Host for Machine {
    fn mono_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn sleep(&mut self, time: Duration) {
        std::thread::sleep(time);
    }

    fn memory_used(&self) -> usize {
        // Statistics are as old as the epoch; if it cannot be advanced they are a little older.
        let _ = tikv_jemalloc_ctl::epoch::advance();
        tikv_jemalloc_ctl::stats::allocated::read().unwrap_or(0)
    }

    fn free_later(&mut self, garbage: Vec<Box<dyn Send>>) {
        // The thread lives as long as the process; if it is gone, the values are freed here.
        let _ = self.reaper.send(garbage);
    }

    fn save(&mut self, keyspace: &Keyspace, request: &SaveRequest) -> Result<(), String> {
        dump::save(keyspace, request).map_err(|error| reason(&error))
    }

    fn fork(&mut self, keyspace: &Keyspace, job: &Job) -> Result<Child, String> {
        let mut pipe = None;
        if matches!(job, Job::Stream(_)) {
            let (reader, writer) = fork::private_pipe()?;
            *self.pipe.borrow_mut() = Some(reader);
            pipe = Some(writer);
        }
        let start = Instant::now();
        let machine = self.clone();
        let pid = fork::child(|| machine.work(keyspace, job, pipe))?;
        self.child.set(Some(pid));
        Ok(Child {
            pid,
            fork_us: u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX),
        })
    }

    fn poll_child(&mut self) -> Option<ChildEnd> {
        let pid = self.child.get()?;
        let end = fork::ended(pid)?;
        self.child.set(None);
        if end != ChildEnd::Done {
            remove_temporary(pid);
        }
        Some(end)
    }

    fn kill_child(&mut self) {
        if let Some(pid) = self.child.take() {
            fork::end(pid);
            remove_temporary(pid);
        }
    }

    fn persist_cluster(&mut self, text: &str) -> Result<(), String> {
        match self.nodes_file.borrow_mut().as_mut() {
            Some(file) => file.replace(text).map_err(|error| format!("{error:#}")),
            None => Err("there is no such file".to_owned()),
        }
    }

    fn set_role(&mut self, slave: bool) {
        self.log
            .set_role(if slave { Role::Slave } else { Role::Master });
    }
}

/// What a child that did not come to its end has left behind.
fn remove_temporary(pid: i32) {
    // As a rule there is none.
    let _ = std::fs::remove_file(dump::temporary(
        Path::new("dump"),
        u32::try_from(pid).unwrap_or(0),
    ));
}
