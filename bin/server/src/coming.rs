//! A dump in memory that is loaded while it comes. Another thread reads it as it comes, and tells where records end: up to there it can be
//! loaded without waiting for bytes in the middle of one. What was loaded is given back at once, and who sends it waits while much is to be
//! loaded: so memory holds no more of the dump than its largest record, and what may wait.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use engine::LinkId;
use rustix::fs::{FallocateFlags, fallocate};
use tokio::sync::Notify;

use crate::link::Links;

/// More than this does not wait to be loaded, or to be read by the other thread, bytes. A record may be larger.
const AHEAD_BYTES: u64 = 16 * 1024 * 1024;
/// So much of a dump in memory is given back at once, after it was read.
const GIVE_BACK_BYTES: u64 = 1024 * 1024;

/// Such a dump.
#[derive(Debug)]
pub(crate) struct Coming {
    shared: Arc<Shared>,
    /// The connection that it comes by.
    link: LinkId,
    /// Nothing is read from that for now.
    paused: Cell<bool>,
    loaded: Cell<u64>,
}

/// What both threads know of it.
#[derive(Debug)]
struct Shared {
    file: Arc<File>,
    state: Mutex<State>,
    /// More came, or it has ended.
    came: Condvar,
    /// What came was read.
    read: Notify,
    /// Up to here the other thread has read it, bytes.
    read_bytes: AtomicU64,
    /// Up to here it can be loaded, bytes.
    ready_bytes: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
struct State {
    /// Bytes that came.
    bytes: u64,
    end: Option<End>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Whole,
    Lost,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic ends the process.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ready(&self) -> u64 {
        self.ready_bytes.load(Ordering::Acquire)
    }

    /// The end is told once.
    fn end(&self, end: End) {
        let mut state = self.state();
        if state.end.is_none() {
            state.end = Some(end);
            if end == End::Whole {
                // Where it is bad, whoever loads it finds out.
                self.ready_bytes.store(u64::MAX, Ordering::Release);
            }
        }
        drop(state);
        self.came.notify_one();
        self.read.notify_one();
    }
}

/// Reads what has come, and waits for what is to come.
struct Waiting {
    shared: Arc<Shared>,
    read: u64,
}

impl Read for Waiting {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.shared.read_bytes.store(self.read, Ordering::Release);
        self.shared.read.notify_one();
        let mut state = self.shared.state();
        while state.bytes == self.read && state.end.is_none() {
            let waited = self.shared.came.wait(state);
            state = waited.unwrap_or_else(PoisonError::into_inner);
        }
        // Once it is whole it is loaded, and given back, without waiting for this thread.
        if state.end.is_some() {
            return Ok(0);
        }
        let there = state.bytes - self.read;
        drop(state);
        let room = into.len();
        let most = usize::try_from(there).map_or(room, |there| there.min(room));
        let count = self.shared.file.read_at(&mut into[..most], self.read)?;
        self.read += count as u64;
        Ok(count)
    }
}

impl Coming {
    /// Begins with a dump in memory of which so many bytes have come.
    pub(crate) fn start(file: Arc<File>, bytes: u64, link: LinkId) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            file,
            state: Mutex::new(State { bytes, end: None }),
            came: Condvar::new(),
            read: Notify::new(),
            read_bytes: AtomicU64::new(0),
            ready_bytes: AtomicU64::new(0),
        });
        let reader = Waiting {
            shared: Arc::clone(&shared),
            read: 0,
        };
        std::thread::Builder::new()
            .name("dump-ends".to_owned())
            .spawn(move || {
                let shared = Arc::clone(&reader.shared);
                // It ends in an error where the dump is bad, or is not to be read any further: then it is loaded once it is whole.
                let _ = rdb::find_ends(reader, |offset| {
                    shared.ready_bytes.fetch_max(offset, Ordering::AcqRel);
                });
                shared.read_bytes.store(u64::MAX, Ordering::Release);
                shared.read.notify_one();
            })?;
        Ok(Self {
            shared,
            link,
            paused: Cell::new(false),
            loaded: Cell::new(0),
        })
    }

    /// More has come.
    pub(crate) fn came(&self, links: &Links, bytes: usize) {
        self.shared.state().bytes += bytes as u64;
        self.shared.came.notify_one();
        if !self.paused.get() && self.ahead() > AHEAD_BYTES {
            self.pause(links, true);
        }
    }

    /// All has come.
    pub(crate) fn whole(&self, links: &Links) {
        self.shared.end(End::Whole);
        self.pause(links, false);
    }

    /// What is to come does not come.
    pub(crate) fn lose(&self) {
        self.shared.end(End::Lost);
    }

    /// Waits until more than was `loaded` can be loaded: up to which byte.
    ///
    /// # Errors
    /// Where the rest does not come.
    pub(crate) async fn ready(&self, links: &Links, loaded: u64) -> io::Result<u64> {
        self.loaded.set(loaded);
        loop {
            if self.paused.get() && self.ahead() <= AHEAD_BYTES / 2 {
                self.pause(links, false);
            }
            if self.shared.state().end == Some(End::Lost) {
                return Err(io::Error::other("its connection was lost"));
            }
            let ready = self.shared.ready();
            if ready > loaded {
                return Ok(ready);
            }
            self.shared.read.notified().await;
        }
    }

    /// Reads what can be loaded.
    pub(crate) fn reader(&self) -> impl Read + use<> {
        ReadyReader {
            shared: Arc::clone(&self.shared),
            read: 0,
            given_back: 0,
        }
    }

    /// How much waits to be loaded, or to be read by the other thread, bytes: whichever is more. Once that has ended it is not waited for.
    fn ahead(&self) -> u64 {
        let read = self.shared.read_bytes.load(Ordering::Acquire);
        let to_load = self.shared.ready().saturating_sub(self.loaded.get());
        let came = self.shared.state().bytes;
        to_load.max(came.saturating_sub(read))
    }

    fn pause(&self, links: &Links, paused: bool) {
        self.paused.set(paused);
        if let Some(link) = links.borrow().get(&self.link) {
            link.limit(paused.then_some(0));
        }
    }
}

/// Reads up to where it is ready, and gives back what was read.
struct ReadyReader {
    shared: Arc<Shared>,
    read: u64,
    given_back: u64,
}

impl Read for ReadyReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let ready = self.shared.ready().saturating_sub(self.read);
        let room = into.len();
        let most = usize::try_from(ready).map_or(room, |ready| ready.min(room));
        let count = self.shared.file.read_at(&mut into[..most], self.read)?;
        self.read += count as u64;
        give_back(&self.shared.file, &mut self.given_back, self.read)?;
        Ok(count)
    }
}

/// Gives back the memory of what was read of a dump, so that it does not hold both, it and what was made of it.
pub(crate) fn give_back(file: &File, given_back: &mut u64, read: u64) -> io::Result<()> {
    if read - *given_back >= GIVE_BACK_BYTES {
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        fallocate(file, hole, *given_back, read - *given_back)?;
        *given_back = read;
    }
    Ok(())
}
