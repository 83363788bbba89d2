//! Dump files: written whole beside the old one and renamed into its place, loaded in steps between which clients are answered.

use std::fs::File;
use std::io::{self, Read, Seek as _, Write};
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use daemon::{as_path, files, reason};
use engine::{LinkId, SaveRequest, SlotsRequest};
use rdb::{Input, LoadOptions, Loader, Progress, SaveOptions, Saved};
use rustix::fs::{Advice, FallocateFlags, MemfdFlags, fadvise, fallocate, fstatvfs, memfd_create};
use store::{Keyspace, Limits};
use tokio::task::JoinHandle;

use crate::coming::{Coming, give_back};
use crate::gathered::Gathered;
use crate::pace::Paced;
use crate::progress::Teller;

/// How much of a dump from the master is brought to the disk at once.
const SYNC_BYTES: usize = 8 * 1024 * 1024;
/// So much of a dump that is saved is brought to the disk at once.
const EARLY_BYTES: u64 = 1024 * 1024;
/// At most so much of it is given its place on the disk at once.
const RESERVED_BYTES: u64 = 16 * EARLY_BYTES;
/// No place is asked for ahead where that would take more than this part of what is free: others write to the disk too.
const RESERVED_PART: u64 = 16;

/// The temporary file of this process's saves.
pub(crate) fn temporary(path: &Path, pid: u32) -> PathBuf {
    path.with_file_name(format!("temp-{pid}.rdb"))
}

/// Who saves.
#[derive(Clone, Copy)]
pub(crate) enum Who<'a> {
    /// The server, while everybody waits.
    Server,
    /// Its child, while it serves.
    Child(&'a Gathered),
}

/// Writes a dump file and puts it in the place of the old one. What went wrong is logged.
pub(crate) fn save(keyspace: &Keyspace, request: &SaveRequest, who: Who<'_>) -> io::Result<()> {
    let path = as_path(&request.path);
    let temporary = temporary(path, std::process::id());
    let failed = |what: &str, error: &io::Error| tracing::warn!("{what}: {}", reason(error));
    let file = files::create_anew(&temporary)
        .inspect_err(|error| failed("Failed opening .rdb for saving", error))?;
    let file = EarlyFile {
        file,
        end: 0,
        begun: 0,
        reserved: 0,
        expected: request.expected_bytes,
    };
    let (file, told) = match who {
        Who::Server => (Paced::free(file), None),
        Who::Child(gathered) => (Paced::of_child(file, gathered), Some(gathered)),
    };
    let mut teller = Teller::new(told);
    let written = rdb::save(keyspace, file, options(keyspace, request), |saved| {
        teller.key();
        dawdle(request.key_delay_us, saved.keys);
        Ok(())
    })
    .and_then(|(written, _)| written.sink.finish())
    .inspect_err(|error| failed("Write error saving DB on disk", error));
    let renamed = written.and_then(|()| {
        let what = "Error moving temp DB file on the final destination";
        files::rename(&temporary, path).inspect_err(|error| failed(what, error))
    });
    if renamed.is_err() {
        // The error that matters is the one before.
        let _ = std::fs::remove_file(&temporary);
    }
    renamed
}

/// A file that the system begins to bring to the disk while it is written, so that less is left to wait for at the end. Its place
/// there is asked for in large pieces, which costs less than page by page.
struct EarlyFile {
    file: File,
    /// So much was written.
    end: u64,
    /// Up to here it is on its way.
    begun: u64,
    /// Up to here it has its place.
    reserved: u64,
    /// About so long will it become.
    expected: u64,
}

impl EarlyFile {
    /// Asks for the place of what comes next: at best of all at once, since each time may wait for what is on its way. Where that is
    /// refused (a file system that cannot, a full disk), writing will tell.
    fn reserve(&mut self, bytes: usize) {
        let needed = self.end + bytes as u64;
        if needed <= self.reserved {
            return;
        }
        let ahead = self
            .expected
            .clamp(needed + EARLY_BYTES, needed + RESERVED_BYTES)
            - self.end;
        let free =
            fstatvfs(&self.file).map_or(0, |disk| disk.f_bavail.saturating_mul(disk.f_frsize));
        if ahead <= free / RESERVED_PART {
            // The size stays what was written, so a limit on it counts nothing else.
            let _ = fallocate(&self.file, FallocateFlags::KEEP_SIZE, self.end, ahead);
        }
        self.reserved = self.end + ahead;
    }

    /// Begins to bring to the disk what was written.
    fn begin(&mut self) {
        let length = NonZeroU64::new(self.end - self.begun);
        // Who needs its pages no longer has them written, and does not wait for that. Where it cannot be, the end waits longer.
        let _ = fadvise(&self.file, self.begun, length, Advice::DontNeed);
        self.begun = self.end;
    }

    /// Gives back the place that was not needed, and waits until all is on the disk.
    fn finish(self) -> io::Result<()> {
        self.file.set_len(self.end)?;
        self.file.sync_all()
    }
}

impl Write for EarlyFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.reserve(bytes.len());
        let written = self.file.write(bytes)?;
        self.end += written as u64;
        if self.end - self.begun >= EARLY_BYTES {
            self.begin();
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// `rdb-key-save-delay`, for tests: waits after a key, of which so many have been written.
fn dawdle(delay_us: i64, keys: u64) {
    let pause = match u64::try_from(delay_us) {
        Ok(pause) => pause,
        Err(_) => u64::from(keys.is_multiple_of(delay_us.unsigned_abs())),
    };
    if pause > 0 {
        std::thread::sleep(Duration::from_micros(pause));
    }
}

/// Writes a dump into a pipe.
pub(crate) fn stream(
    keyspace: &Keyspace,
    request: &SaveRequest,
    pipe: OwnedFd,
    gathered: &Gathered,
) -> io::Result<()> {
    write(keyspace, request, File::from(pipe), gathered).map(drop)
}

/// Writes a dump; gives back where to.
pub(crate) fn write<W: Write>(
    keyspace: &Keyspace,
    request: &SaveRequest,
    sink: W,
    gathered: &Gathered,
) -> io::Result<W> {
    let mut teller = Teller::new(Some(gathered));
    let dawdling = |saved: Saved| {
        teller.key();
        dawdle(request.key_delay_us, saved.keys);
        Ok(())
    };
    rdb::save(keyspace, sink, options(keyspace, request), dawdling).map(|(sink, _)| sink)
}

/// Writes slots as commands. What was written is not kept from its reader for long.
pub(crate) fn slots(
    keyspace: &Keyspace,
    request: &SlotsRequest,
    sink: impl Write,
    gathered: &Gathered,
) -> io::Result<()> {
    const KEPT: Duration = Duration::from_millis(100);
    let mut rewriter = aof::Rewriter::new(sink);
    let mut flushed = Instant::now();
    let mut teller = Teller::new(Some(gathered));
    rewriter.slots(keyspace, &request.slots, |_| {
        teller.key();
        if request.delay_us > 0 {
            std::thread::sleep(Duration::from_micros(request.delay_us));
        }
        let due = flushed.elapsed() >= KEPT;
        if due {
            flushed = Instant::now();
        }
        Ok(due)
    })?;
    rewriter.finish().map(drop)
}

fn options<'a>(keyspace: &Keyspace, request: &'a SaveRequest) -> SaveOptions<'a> {
    let lowest = || {
        if !request.slot_imports.is_empty() {
            return rdb::Version::VALKEY;
        }
        let lowest = rdb::lowest_version(keyspace, &request.functions);
        // From 8 on a dump tells where in the stream it stands.
        let least = request
            .facts
            .replication
            .as_ref()
            .and(rdb::Version::written(8));
        least.map_or(lowest, |least| least.max(lowest))
    };
    SaveOptions {
        version: request.version.or_else(|| request.any_reader.then(lowest)),
        compress: request.compress,
        checksum: request.checksum,
        now_ms: request.now_ms,
        usage: request.usage,
        facts: Some(&request.facts),
        functions: &request.functions,
        slots: request.slots,
        slot_imports: &request.slot_imports,
    }
}

/// Writes a dump that is the base of an append-only file. `progress` is as that of [`rdb::save`].
pub(crate) fn write_base<W: Write>(
    keyspace: &Keyspace,
    request: &SaveRequest,
    sink: W,
    mut progress: impl FnMut(Saved) -> io::Result<()>,
) -> io::Result<W> {
    let facts = rdb::Facts {
        aof_base: true,
        ..request.facts.clone()
    };
    let options = SaveOptions {
        facts: Some(&facts),
        ..options(keyspace, request)
    };
    let dawdling = |saved: Saved| {
        dawdle(request.key_delay_us, saved.keys);
        progress(saved)
    };
    rdb::save(keyspace, sink, options, dawdling).map(|(sink, _)| sink)
}

/// Loads a dump file while everything waits; the sources of its libraries of functions.
pub(crate) fn load_now(
    keyspace: &mut Keyspace,
    request: &SaveRequest,
    limits: &Limits,
    replace: bool,
) -> Result<Vec<Vec<u8>>, String> {
    let file = File::open(as_path(&request.path)).map_err(|error| reason(&error))?;
    let options = LoadOptions {
        drop_expired_before: Some(request.now_ms),
        replace,
        ..LoadOptions::default()
    };
    let mut loader = Loader::open(Input::new(file), options, limits.clone())
        .map_err(|error| error.to_string())?;
    while loader
        .step(keyspace, u64::MAX)
        .map_err(|error| error.to_string())?
        != Progress::Done
    {}
    Ok(loader.take_functions())
}

/// A dump that comes from the master, in a temporary file beside the dump file, or in memory. Another thread brings it to the disk as it
/// comes, so that little is left to wait for at the end.
#[derive(Debug)]
pub(crate) struct SyncFile {
    /// None in memory.
    path: Option<PathBuf>,
    file: Arc<File>,
    /// Bytes that have come.
    bytes: u64,
    /// A write has failed: the rest is not wanted any more.
    failed: bool,
    /// Written since the last sync was started.
    unsynced: usize,
    syncing: Option<JoinHandle<io::Result<()>>>,
    /// It is loaded while it comes.
    coming: Option<Rc<Coming>>,
}

impl SyncFile {
    pub(crate) fn create(unix_s: u64) -> io::Result<Self> {
        let name = |unix_s: u64| format!("temp-{unix_s}.{}.rdb", std::process::id());
        let mut path = PathBuf::from(name(unix_s));
        let mut file = File::create_new(&path);
        // One of the same second may still be on its way into its place.
        for later_s in 1..10 {
            if !matches!(&file, Err(error) if error.kind() == io::ErrorKind::AlreadyExists) {
                break;
            }
            path = PathBuf::from(name(unix_s + later_s));
            file = File::create_new(&path);
        }
        Ok(Self::new(file?, Some(path)))
    }

    /// One that no disk holds, and that goes with this process at the latest.
    pub(crate) fn in_memory() -> io::Result<Self> {
        let file = memfd_create("dump", MemfdFlags::CLOEXEC)?;
        Ok(Self::new(File::from(file), None))
    }

    fn new(file: File, path: Option<PathBuf>) -> Self {
        Self {
            path,
            file: Arc::new(file),
            bytes: 0,
            failed: false,
            unsynced: 0,
            syncing: None,
            coming: None,
        }
    }

    /// It is to be loaded while it comes, by this connection.
    pub(crate) fn begin_load(&mut self, link: LinkId) -> io::Result<()> {
        let coming = Coming::start(Arc::clone(&self.file), self.bytes, link)?;
        self.coming = Some(Rc::new(coming));
        Ok(())
    }

    /// What it is loaded from, if it is loaded while it comes.
    pub(crate) fn coming(&self) -> Option<Rc<Coming>> {
        self.coming.clone()
    }

    /// Where it is, for messages.
    pub(crate) fn place(&self) -> String {
        let path = self.path.as_ref();
        path.map_or_else(
            || "memory".into(),
            |path| format!("disk: {}", path.display()),
        )
    }

    /// Where it is on the disk.
    pub(crate) fn path(&self) -> Option<&Path> {
        self.path.as_deref()
    }

    /// All of it, from its beginning.
    pub(crate) fn reader(&self) -> io::Result<SyncReader> {
        let mut file = match &self.path {
            Some(path) => File::open(path)?,
            None => self.file.try_clone()?,
        };
        file.rewind()?;
        Ok(SyncReader {
            size: file.metadata()?.len(),
            file,
            read: 0,
            given_back: self.path.is_none().then_some(0),
        })
    }

    /// Writes what came. The first failure is told; what comes after it is passed over.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.failed {
            return Ok(());
        }
        let written = (&*self.file).write_all(bytes);
        self.failed = written.is_err();
        written?;
        self.bytes += bytes.len() as u64;
        let Some(path) = &self.path else {
            return Ok(());
        };
        self.unsynced += bytes.len();
        let idle = self.syncing.as_ref().is_none_or(JoinHandle::is_finished);
        if self.unsynced >= SYNC_BYTES && idle {
            self.unsynced = 0;
            // Opened again: an error of the disk is told once by each, and the sync at the end must know of all.
            let path = path.clone();
            let sync = move || File::open(path)?.sync_data();
            self.syncing = Some(tokio::task::spawn_blocking(sync));
        }
        Ok(())
    }

    /// Removes the file. Once it is the dump file there is nothing left under this name.
    pub(crate) fn remove(&self) {
        if let Some(path) = &self.path {
            let _ = std::fs::remove_file(path);
        }
    }

    /// Waits until all is on the disk, if it is to be there.
    pub(crate) async fn sync(&self) -> io::Result<()> {
        let file = Arc::clone(&self.file);
        aside(move || file.sync_all()).await
    }
}

impl Drop for SyncFile {
    fn drop(&mut self) {
        if let Some(coming) = &self.coming {
            coming.lose();
        }
        self.remove();
    }
}

/// Reads a dump that has come. What was read of one in memory is given back at once.
#[derive(Debug)]
pub(crate) struct SyncReader {
    /// Bytes of the whole.
    pub(crate) size: u64,
    file: File,
    read: u64,
    /// Up to here it is given back; none where it is on the disk.
    given_back: Option<u64>,
}

impl Read for SyncReader {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(into)?;
        self.read += count as u64;
        if let Some(given_back) = &mut self.given_back {
            give_back(&self.file, given_back, self.read)?;
        }
        Ok(count)
    }
}

/// Does what may take long on another thread.
pub(crate) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}
