//! Append-only files on the disk: their parts written and synced, a new base written by a child, all read back in steps between which
//! clients are answered. What goes in and when is the engine's.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::Instant;

use daemon::{files, reason};
use engine::{AppendFile, PlaceFile, RewriteRequest, Source, SyncState, WriteError, write_blocks};
use store::Keyspace;
use tokio::sync::Notify;

use crate::gathered::Gathered;
use crate::pace::Paced;
use crate::progress::Teller;

/// A child that is to sync often does it after so many bytes (Redis 3.0: `REDIS_AOF_AUTOSYNC_BYTES`).
const SYNC_BYTES: u64 = 32 * 1024 * 1024;

/// A file that is appended to, with one thread that writes to it and one that syncs it.
#[derive(Debug)]
pub(crate) struct AppendOnlyFile {
    file: Arc<File>,
    to_write: Sender<Arc<Vec<Vec<u8>>>>,
    written: Receiver<Result<(), WriteError>>,
    to_sync: Sender<()>,
    /// How long each took, nanoseconds.
    synced: Receiver<io::Result<u64>>,
    syncing: bool,
}

impl AppendOnlyFile {
    /// Opens a file to be written at its end; one that is missing is made, and one that is there is emptied where it is to be `fresh`.
    /// `done` is notified when a write or a sync on the other thread has ended.
    pub(crate) fn open(path: &Path, fresh: bool, done: Arc<Notify>) -> io::Result<Self> {
        let file = File::options().append(true).create(true).open(path)?;
        if fresh {
            file.set_len(0)?;
        }
        Self::start(file, done)
    }

    fn start(file: File, done: Arc<Notify>) -> io::Result<Self> {
        let file = Arc::new(file);
        let ours = Arc::clone(&file);
        let write = move |blocks: Arc<Vec<Vec<u8>>>| {
            write_blocks(blocks.iter().map(Vec::as_slice), |block| {
                append(&ours, block)
            })
        };
        let (to_write, written) = worker("aof-write", Arc::clone(&done), write)?;
        let ours = Arc::clone(&file);
        let (to_sync, synced) = worker("aof-sync", done, move |()| timed_sync(&ours))?;
        Ok(Self {
            file,
            to_write,
            written,
            to_sync,
            synced,
            syncing: false,
        })
    }
}

/// A thread that does this with each order that it is sent, answers, and notifies.
fn worker<O: Send + 'static, A: Send + 'static>(
    name: &str,
    done: Arc<Notify>,
    work: impl Fn(O) -> A + Send + 'static,
) -> io::Result<(Sender<O>, Receiver<A>)> {
    let (orders, ordered) = channel();
    let (answer, answers) = channel();
    let thread = std::thread::Builder::new().name(name.to_owned());
    thread.spawn(move || {
        for order in ordered {
            if answer.send(work(order)).is_err() {
                return;
            }
            done.notify_one();
        }
    })?;
    Ok((orders, answers))
}

/// How long it took, nanoseconds.
fn timed_sync(file: &File) -> io::Result<u64> {
    let begun = Instant::now();
    file.sync_data()?;
    Ok(u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX))
}

fn append(mut file: &File, bytes: &[u8]) -> Result<(), WriteError> {
    let mut written = 0;
    while written < bytes.len() {
        let error = match file.write(&bytes[written..]) {
            Ok(0) => io::ErrorKind::WriteZero.into(),
            Ok(count) => {
                written += count;
                continue;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => error,
        };
        return Err(WriteError {
            written,
            reason: reason(&error),
        });
    }
    Ok(())
}

/// What there is to say where the thread is gone; it lives as long as its file does.
const GONE: &str = "the thread of the append-only file is gone";

impl AppendFile for AppendOnlyFile {
    fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        append(&self.file, bytes)
    }

    fn start_write(&mut self, blocks: Arc<Vec<Vec<u8>>>) {
        // Where the thread is gone, the next poll tells.
        let _ = self.to_write.send(blocks);
    }

    fn poll_write(&mut self, wait: bool) -> Option<Result<(), WriteError>> {
        let gone = || WriteError {
            written: 0,
            reason: GONE.to_owned(),
        };
        if wait {
            return Some(self.written.recv().unwrap_or_else(|_| Err(gone())));
        }
        match self.written.try_recv() {
            Ok(written) => Some(written),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(gone())),
        }
    }

    fn truncate(&mut self, size: u64) -> Result<(), String> {
        self.file.set_len(size).map_err(|error| reason(&error))
    }

    fn sync(&mut self) -> Result<(), String> {
        self.file.sync_data().map_err(|error| reason(&error))
    }

    fn start_sync(&mut self) {
        // The thread lives as long as this does.
        self.syncing = self.to_sync.send(()).is_ok();
    }

    fn poll_sync(&mut self) -> SyncState {
        if !self.syncing {
            return SyncState::Idle;
        }
        match self.synced.try_recv() {
            Err(TryRecvError::Empty) => SyncState::Running,
            Err(TryRecvError::Disconnected) => {
                self.syncing = false;
                SyncState::Ended(Err(GONE.to_owned()))
            }
            Ok(result) => {
                self.syncing = false;
                SyncState::Ended(result.map_err(|error| reason(&error)))
            }
        }
    }

    fn size(&self) -> Result<u64, String> {
        let facts = self.file.metadata();
        facts
            .map(|facts| facts.len())
            .map_err(|error| reason(&error))
    }
}

/// The small file that tells the append-only file's place in a stream.
#[derive(Debug)]
pub(crate) struct Slots(File);

impl Slots {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let mut options = File::options();
        options.write(true).create(true).truncate(false);
        options.open(path).map(Self)
    }
}

impl PlaceFile for Slots {
    fn write_at(&mut self, at: u64, bytes: &[u8]) -> Result<(), String> {
        let written = self.0.write_all_at(bytes, at);
        written.map_err(|error| reason(&error))
    }
}

// ---- rewriting -----------------------------------------------------------------------------------------------------------

/// The temporary file of the child `pid`.
pub(crate) fn temporary(path: &Path, pid: u32) -> PathBuf {
    path.with_file_name(format!("temp-rewriteaof-bg-{pid}.aof"))
}

/// Writes the base that holds a keyspace into this process's temporary file; its name.
pub(crate) fn rewrite(
    keyspace: &Keyspace,
    request: &RewriteRequest,
    pace: Option<&Gathered>,
) -> io::Result<PathBuf> {
    let path = temporary(Path::new("aof"), std::process::id());
    let file = files::create_anew(&path).inspect_err(|error| {
        let why = reason(error);
        tracing::warn!("Opening the temp file for AOF rewrite in rewriteAppendOnlyFile(): {why}");
    })?;
    let written = write_base(keyspace, request, file, pace).inspect_err(|error: &io::Error| {
        let why = reason(error);
        tracing::warn!("Write error writing append only file on disk: {why}");
    });
    if written.is_err() {
        // The error that matters is the one before.
        let _ = std::fs::remove_file(&path);
    }
    written.map(|()| path)
}

fn write_base(
    keyspace: &Keyspace,
    request: &RewriteRequest,
    file: File,
    pace: Option<&Gathered>,
) -> io::Result<()> {
    let mut synced = 0;
    let handle = file.try_clone()?;
    let file = match pace {
        Some(gathered) => Paced::of_child(file, gathered),
        None => Paced::free(file),
    };
    let mut teller = Teller::new(pace);
    let mut sync_at = |written: u64| -> io::Result<()> {
        teller.key();
        if request.sync_often && written - synced >= SYNC_BYTES {
            synced = written;
            handle.sync_data()?;
        }
        Ok(())
    };
    if let Some(dump) = &request.dump {
        let file = crate::dump::write_base(keyspace, dump, file, |saved| sync_at(saved.bytes))?;
        return file.sink.sync_all();
    }
    let mut rewriter = aof::Rewriter::new(file);
    if request.stamp {
        rewriter.stamp(request.now_ms / 1000)?;
    }
    request
        .slot_imports
        .iter()
        .try_for_each(|import| rewriter.slot_import(&import.job, &import.slots))?;
    request
        .functions
        .iter()
        .try_for_each(|code| rewriter.library(code))?;
    rewriter.keyspace(keyspace, request.expired_ms, sync_at)?;
    rewriter.finish()?.sink.sync_all()
}

/// Moves a base into its place; its size in bytes.
pub(crate) fn place_base(temporary: &Path, path: &Path) -> Result<u64, String> {
    let placed = std::fs::rename(temporary, path);
    placed
        .and_then(|()| path.metadata())
        .map(|facts| facts.len())
        .map_err(|error| {
            // The error that matters is the one before.
            let _ = std::fs::remove_file(temporary);
            format!(
                "Error trying to rename the temporary AOF base file {} into {}: {}",
                temporary.display(),
                path.display(),
                reason(&error)
            )
        })
}

// ---- loading -------------------------------------------------------------------------------------------------------------

/// A file to be read from its start, and its size.
pub(crate) fn open_to_read(path: &Path) -> io::Result<(Source, u64)> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    Ok((Box::new(file), size))
}

/// Makes a folder, if there is none.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    match std::fs::create_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        made => made,
    }
}

/// Replaces a manifest, on the disk with all names in its folder.
pub(crate) fn write_manifest(path: &Path, content: &[u8]) -> Result<(), String> {
    let failed = |error: &io::Error| {
        format!(
            "Can't write the AOF manifest file {}: {}",
            path.display(),
            reason(error)
        )
    };
    files::replace_by_rename(path, content, Ok)
        .map(drop)
        .map_err(|error| failed(&error))
}
