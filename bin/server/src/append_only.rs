//! Append-only files on the disk: written and synced, written anew by a child, read back in steps between which clients are
//! answered. What goes in and when is the engine's.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};

use anyhow::Context as _;
use daemon::{as_path, files, reason};
use engine::{
    AppendFile, Completed, Completion, Engine, Replay, ReplayError, RewriteRequest, Source,
    SyncState, WriteError,
};
use rdb::Progress;
use store::Keyspace;

use crate::gathered::Gathered;
use crate::pace::Paced;
use crate::sched;
use crate::shell::Shell;

/// How much of a file is replayed before clients get a turn.
const STEP_BYTES: u64 = 256 * 1024;
/// The length of a dump that holds nothing: header, end and checksum.
const EMPTY_DUMP_BYTES: u64 = 18;
/// A child that is to sync often does it after so many bytes (Redis 3.0: `REDIS_AOF_AUTOSYNC_BYTES`).
const SYNC_BYTES: u64 = 32 * 1024 * 1024;
/// How much of what was written during a rewrite is added to its file at once.
const COPY_BYTES: usize = 256 * 1024;
/// So little may be left to add while clients wait.
const LITTLE_BYTES: u64 = 1024 * 1024;
/// After this many rounds the disk is what is too slow, and one more would not change that.
const MOST_ROUNDS: usize = 20;

/// A file that is appended to, with a thread that syncs it.
#[derive(Debug)]
pub(crate) struct AppendOnlyFile {
    file: Arc<File>,
    orders: Sender<()>,
    results: Receiver<io::Result<()>>,
    syncing: bool,
}

impl AppendOnlyFile {
    /// Opens a file to be written at its end; one that is missing is made.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let file = File::options()
            .append(true)
            .read(true)
            .create(true)
            .open(path)?;
        Self::start(file)
    }

    /// A file in the working directory that has no name.
    pub(crate) fn scratch() -> io::Result<Self> {
        let path = PathBuf::from(format!("temp-aof-incr-{}.aof", std::process::id()));
        let file = File::options()
            .append(true)
            .read(true)
            .create_new(true)
            .open(&path)?;
        std::fs::remove_file(&path)?;
        Self::start(file)
    }

    fn start(file: File) -> io::Result<Self> {
        let file = Arc::new(file);
        let (orders, ordered) = channel();
        let (answer, results) = channel();
        let synced = Arc::clone(&file);
        std::thread::Builder::new()
            .name("aof-sync".to_owned())
            .spawn(move || {
                for () in ordered {
                    if answer.send(synced.sync_data()).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Self {
            file,
            orders,
            results,
            syncing: false,
        })
    }
}

impl AppendFile for AppendOnlyFile {
    fn write(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        let mut written = 0;
        while written < bytes.len() {
            let error = match (&*self.file).write(&bytes[written..]) {
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

    fn truncate(&mut self, size: u64) -> Result<(), String> {
        self.file.set_len(size).map_err(|error| reason(&error))
    }

    fn sync(&mut self) -> Result<(), String> {
        self.file.sync_data().map_err(|error| reason(&error))
    }

    fn start_sync(&mut self) {
        // The thread lives as long as this does.
        self.syncing = self.orders.send(()).is_ok();
    }

    fn poll_sync(&mut self) -> SyncState {
        if !self.syncing {
            return SyncState::Idle;
        }
        match self.results.try_recv() {
            Err(TryRecvError::Empty) => SyncState::Running,
            Err(TryRecvError::Disconnected) => {
                self.syncing = false;
                SyncState::Ended(Err("the syncing thread is gone".to_owned()))
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

    fn read_from(&self, start: u64) -> Source {
        Box::new(Following {
            file: Arc::clone(&self.file),
            at: start,
        })
    }
}

// ---- rewriting -----------------------------------------------------------------------------------------------------------

/// The temporary file of the child `pid`.
pub(crate) fn temporary(path: &Path, pid: u32) -> PathBuf {
    path.with_file_name(format!("temp-rewriteaof-bg-{pid}.aof"))
}

/// Writes the commands that make a keyspace into this process's temporary file.
pub(crate) fn rewrite(
    keyspace: &Keyspace,
    request: &RewriteRequest,
    gathered: &Gathered,
) -> io::Result<()> {
    let path = temporary(as_path(&request.path), std::process::id());
    let file = File::create(&path).inspect_err(|error| {
        let why = reason(error);
        tracing::warn!("Opening the temp file for AOF rewrite in rewriteAppendOnlyFile(): {why}");
    })?;
    let written = (|| {
        let mut synced = 0;
        let handle = file.try_clone()?;
        let mut rewriter = aof::Rewriter::new(Paced::of_child(file, gathered));
        request
            .functions
            .iter()
            .try_for_each(|code| rewriter.library(code))?;
        rewriter.keyspace(keyspace, request.now_ms, |written| {
            if request.sync_often && written - synced >= SYNC_BYTES {
                synced = written;
                handle.sync_data()?;
            }
            Ok(())
        })?;
        rewriter.finish()?.sink.sync_all()
    })()
    .inspect_err(|error: &io::Error| {
        let why = reason(error);
        tracing::warn!("Write error writing append only file on disk: {why}");
    });
    if written.is_err() {
        // The error that matters is the one before.
        let _ = std::fs::remove_file(&path);
    }
    written
}

/// The file of a child on its way into its place: another thread adds what was written meanwhile.
#[derive(Debug)]
pub(crate) struct Completing {
    temporary: PathBuf,
    thread: Receiver<io::Result<Added>>,
    added: Option<Added>,
    given_up: Arc<AtomicBool>,
}

/// The new file, and where what belongs to its end comes from.
struct Added {
    file: File,
    tail: Source,
    bytes: u64,
}

impl std::fmt::Debug for Added {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Added")
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

impl Completing {
    /// Starts the thread.
    pub(crate) fn start(temporary: PathBuf, tail: Source) -> Result<Self, String> {
        let file = File::options()
            .append(true)
            .open(&temporary)
            .map_err(|error| {
                let why = reason(&error);
                format!("Unable to open the temporary AOF produced by the child: {why}")
            })?;
        let (tell, thread) = channel();
        let given_up = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&given_up);
        let completing = Self {
            temporary,
            thread,
            added: None,
            given_up,
        };
        let mut added = Added {
            file,
            tail,
            bytes: 0,
        };
        std::thread::Builder::new()
            .name("aof-rewrite".to_owned())
            .spawn(move || {
                sched::wait_for_the_core();
                let done = added.catch_up(&end);
                // Nobody waits for it any more, perhaps.
                let _ = tell.send(done.map(|()| added));
            })
            .map_err(|error| format!("Unable to complete the rewritten AOF: {}", reason(&error)))?;
        Ok(completing)
    }
}

impl Added {
    /// Adds what there is, and again what has come while that was brought to the disk, until little comes.
    fn catch_up(&mut self, end: &AtomicBool) -> io::Result<()> {
        for _ in 0..MOST_ROUNDS {
            let count = self.copy(end)?;
            self.file.sync_data()?;
            if count < LITTLE_BYTES || end.load(Ordering::Relaxed) {
                break;
            }
        }
        Ok(())
    }

    /// Adds what there is.
    fn copy(&mut self, end: &AtomicBool) -> io::Result<u64> {
        let mut buffer = vec![0; COPY_BYTES];
        let mut all = 0;
        while !end.load(Ordering::Relaxed) {
            let count = self.tail.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            self.file.write_all(&buffer[..count])?;
            all += count as u64;
        }
        self.bytes += all;
        Ok(all)
    }
}

impl Completion for Completing {
    fn poll(&mut self) -> Option<Result<(), String>> {
        let failed = |why: &str| {
            format!("Error trying to flush the parent diff to the rewritten AOF: {why}")
        };
        match self.thread.try_recv() {
            Ok(Ok(added)) => {
                self.added = Some(added);
                Some(Ok(()))
            }
            Ok(Err(error)) => Some(Err(failed(&reason(&error)))),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(failed("the thread is gone"))),
        }
    }

    fn finish(mut self: Box<Self>, path: &[u8], sync: bool) -> Result<Completed, String> {
        let failed = |what: &str, error: &io::Error| format!("{what}: {}", reason(error));
        let Some(mut added) = self.added.take() else {
            return Err("The rewritten AOF is not complete".to_owned());
        };
        added
            .copy(&AtomicBool::new(false))
            .and_then(|_| if sync { added.file.sync_data() } else { Ok(()) })
            .map_err(|error| {
                failed(
                    "Error trying to flush the parent diff to the rewritten AOF",
                    &error,
                )
            })?;
        let file = AppendOnlyFile::open(&self.temporary)
            .map_err(|error| failed("Unable to open the rewritten AOF", &error))?;
        let start = std::time::Instant::now();
        if let Err(error) = files::rename(&self.temporary, as_path(path)) {
            let line = failed("Error trying to rename the temporary AOF file", &error);
            if self.temporary.exists() {
                return Err(line);
            }
            // The new file has the name already: nobody would read what went on to the old one.
            tracing::warn!("{line}");
        }
        Ok(Completed {
            file: Box::new(file),
            added: added.bytes,
            rename_us: u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX),
        })
    }
}

impl Drop for Completing {
    fn drop(&mut self) {
        self.given_up.store(true, Ordering::Relaxed);
        // Once the file has its name there is none of this one.
        let _ = std::fs::remove_file(&self.temporary);
    }
}

/// Reads a file that another handle is writing to.
struct Following {
    file: Arc<File>,
    at: u64,
}

impl io::Read for Following {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(buffer, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

// ---- loading -------------------------------------------------------------------------------------------------------------

/// A file to be read from its start, and its size.
pub(crate) fn open_to_read(path: &Path) -> io::Result<(Source, u64)> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    Ok((Box::new(file), size))
}

/// Replays the append-only file while clients are told to wait, and begins to append to it.
///
/// # Errors
/// The line to log before the process ends.
pub(crate) async fn load(shell: &Rc<Shell>, path: &Path) -> anyhow::Result<()> {
    refuse_parts(path)?;
    let size = shell
        .turn(Engine::open_append_only)
        .map_err(|error| anyhow::anyhow!("Can't open the append-only file: {error}"))?;
    if size > 0 {
        let (source, _) = open_to_read(path)
            .map_err(|error| anyhow::anyhow!(reason(&error)))
            .context("Fatal error: can't open the append log file for reading")?;
        let started = std::time::Instant::now();
        let options = crate::dump::load_options(shell);
        let mut replay = shell
            .turn(|engine| engine.begin_replay(source, size, options))
            .map_err(|error| anyhow::anyhow!(error.line(&name_of(path))))?;
        let result = replay_steps(shell, &mut replay).await;
        shell.turn(|engine| engine.end_replay(replay));
        result.or_else(|error| cut(shell, &name_of(path), &error))?;
        tracing::info!(
            "DB loaded from append only file: {:.3} seconds",
            started.elapsed().as_secs_f64()
        );
    } else {
        warn_of_dump(as_path(&shell.engine.borrow().config().dbfilename));
    }
    shell.turn(Engine::start_append_only);
    Ok(())
}

/// Redis keeps its file in parts from 7.0 on, in a folder. Who hands us that folder would find an empty dataset.
fn refuse_parts(path: &Path) -> anyhow::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".manifest");
    let manifest = path.with_file_name("appendonlydir").join(name);
    let empty = path.metadata().map_or(true, |facts| facts.len() == 0);
    if empty && manifest.exists() {
        anyhow::bail!(
            "The append only file is in parts, as Redis 7 writes it, and this server reads one file: join the files that {} lists, in \
             its order, into {}, or remove it to start with nothing",
            manifest.display(),
            path.display()
        );
    }
    Ok(())
}

/// Where an append-only file is kept it is all that is loaded, even if it is new, or its first rewrite was never done.
fn warn_of_dump(dump: &Path) {
    if dump
        .metadata()
        .is_ok_and(|facts| facts.len() > EMPTY_DUMP_BYTES)
    {
        tracing::warn!(
            "The append only file is empty, and {} is not loaded. To begin with what that holds, start with appendonly no and turn it \
             on with CONFIG SET",
            dump.display()
        );
    }
}

async fn replay_steps(shell: &Rc<Shell>, replay: &mut Replay) -> Result<(), ReplayError> {
    while shell.turn(|engine| engine.replay_step(replay, STEP_BYTES))? == Progress::More {
        tokio::task::yield_now().await;
    }
    Ok(())
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// A file whose end is missing is cut behind its last whole command, where the configuration allows it.
fn cut(shell: &Rc<Shell>, name: &str, error: &ReplayError) -> anyhow::Result<()> {
    let ReplayError::Aof(aof::Error::Truncated { valid_up_to }) = *error else {
        anyhow::bail!(error.line(name));
    };
    if !shell.engine.borrow().config().aof_load_truncated {
        anyhow::bail!(error.line(name));
    }
    for line in aof::truncation_lines(name, valid_up_to) {
        tracing::warn!("{line}");
    }
    shell
        .turn(|engine| engine.truncate_append_only(valid_up_to))
        .map_err(|error| anyhow::anyhow!("Error truncating the AOF file: {error}"))?;
    tracing::warn!("{}", aof::loaded_anyway(name));
    Ok(())
}
