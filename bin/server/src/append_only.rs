//! Append-only files on the disk: their parts written and synced, a new base written by a child, all read back in steps between which
//! clients are answered. What goes in and when is the engine's.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::Instant;

use anyhow::Context as _;
use aof::{MANIFEST_SUFFIX, Manifest};
use daemon::{as_path, files, reason};
use engine::{
    AppendFile, PlaceFile, Replay, ReplayError, RewriteRequest, Source, SyncState, WriteError,
};
use rdb::{LoadOptions, Progress};
use store::Keyspace;
use tokio::sync::Notify;

use crate::gathered::Gathered;
use crate::pace::Paced;
use crate::shell::Shell;

/// How much of a file is replayed before clients get a turn.
const STEP_BYTES: u64 = 256 * 1024;
/// A child that is to sync often does it after so many bytes (Redis 3.0: `REDIS_AOF_AUTOSYNC_BYTES`).
const SYNC_BYTES: u64 = 32 * 1024 * 1024;
/// A file that is appended to, with a thread that syncs it.
#[derive(Debug)]
pub(crate) struct AppendOnlyFile {
    file: Arc<File>,
    orders: Sender<()>,
    /// How long each took, nanoseconds.
    results: Receiver<io::Result<u64>>,
    syncing: bool,
}

impl AppendOnlyFile {
    /// Opens a file to be written at its end; one that is missing is made, and one that is there is emptied where it is to be `fresh`.
    /// `synced` is notified when a sync on the other thread has ended.
    pub(crate) fn open(path: &Path, fresh: bool, synced: Arc<Notify>) -> io::Result<Self> {
        let file = File::options().append(true).create(true).open(path)?;
        if fresh {
            file.set_len(0)?;
        }
        Self::start(file, synced)
    }

    fn start(file: File, synced: Arc<Notify>) -> io::Result<Self> {
        let file = Arc::new(file);
        let (orders, ordered) = channel();
        let (answer, results) = channel();
        let to_sync = Arc::clone(&file);
        std::thread::Builder::new()
            .name("aof-sync".to_owned())
            .spawn(move || {
                for () in ordered {
                    let begun = Instant::now();
                    let ended = to_sync.sync_data();
                    let ns = u64::try_from(begun.elapsed().as_nanos()).unwrap_or(u64::MAX);
                    if answer.send(ended.map(|()| ns)).is_err() {
                        return;
                    }
                    synced.notify_one();
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
    let mut sync_at = |written: u64| -> io::Result<()> {
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
    rewriter.keyspace(keyspace, request.now_ms, sync_at)?;
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

/// Replays the append-only file while clients are told to wait, and begins to append to it.
///
/// # Errors
/// The line to log before the process ends.
pub(crate) async fn load(shell: &Rc<Shell>) -> anyhow::Result<()> {
    let place = Place::of(shell);
    let manifest = place.take_over(place.manifest()?)?;
    let (mut parts, mut all) = (Vec::new(), 0);
    for part in manifest.parts() {
        let path = place.folder.join(std::ffi::OsStr::from_bytes(&part.name));
        let name = name_of(&path);
        let bytes = path
            .metadata()
            .map_err(|error| anyhow::anyhow!(reason(&error)))
            .with_context(|| format!("The append log file {name} doesn't exist"))?
            .len();
        all += bytes;
        parts.push((path, name, bytes));
    }
    let base = manifest.base().is_some();
    let count = parts.len();
    for (index, (path, name, bytes)) in parts.iter().enumerate() {
        let started = std::time::Instant::now();
        if *bytes > 0 {
            replay(shell, path, name, *bytes, index + 1 == count).await?;
        }
        let kind = if base && index == 0 { "base" } else { "incr" };
        tracing::info!(
            "DB loaded from {kind} file {name}: {:.3} seconds",
            started.elapsed().as_secs_f64()
        );
    }
    if all == 0 {
        warn_of_dump(as_path(&shell.engine.borrow().config().dbfilename));
    } else {
        tracing::info!("DB loaded from append only file");
    }
    // What a cut took away is not there any more.
    let left = parts.iter().filter_map(|(path, ..)| path.metadata().ok());
    let left = left.map(|facts| facts.len()).sum();
    shell.turn(|engine| engine.set_manifest(manifest));
    shell
        .turn(|engine| engine.start_append_only(left))
        .map_err(anyhow::Error::msg)
}

/// Replays one part.
async fn replay(
    shell: &Rc<Shell>,
    path: &Path,
    name: &str,
    bytes: u64,
    is_last: bool,
) -> anyhow::Result<()> {
    let (source, _) = open_to_read(path)
        .map_err(|error| anyhow::anyhow!(reason(&error)))
        .with_context(|| {
            format!("Fatal error: can't open the append log file {name} for reading")
        })?;
    // What expired since was deleted by the commands that follow.
    let options = LoadOptions {
        drop_expired_before: None,
        ..crate::dump::load_options(shell)
    };
    let mut replay = shell
        .turn(|engine| engine.begin_replay(source, bytes, options))
        .map_err(|error| anyhow::anyhow!(error.line(name)))?;
    let result = replay_steps(shell, &mut replay).await;
    shell.turn(|engine| engine.end_replay(replay));
    match result {
        Ok(()) => Ok(()),
        Err(error) => cut(shell, path, name, bytes, is_last, &error),
    }
}

/// Where an append-only file is.
struct Place {
    folder: PathBuf,
    manifest: PathBuf,
    /// The single file of an older release.
    single: PathBuf,
}

impl Place {
    fn of(shell: &Shell) -> Self {
        let engine = shell.engine.borrow();
        let config = engine.config();
        let folder = as_path(&config.appenddirname).to_owned();
        let name = [&config.appendfilename[..], MANIFEST_SUFFIX.as_bytes()].concat();
        Self {
            manifest: folder.join(as_path(&name)),
            single: as_path(&config.appendfilename).to_owned(),
            folder,
        }
    }

    /// The manifest; an empty one where there is none.
    fn manifest(&self) -> anyhow::Result<Manifest> {
        match std::fs::read(&self.manifest) {
            Ok(bytes) => Ok(Manifest::parse(&bytes)?),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Manifest::default()),
            Err(error) => anyhow::bail!(
                "Fatal error: can't open the AOF manifest file {} for reading: {}",
                self.manifest.display(),
                reason(&error)
            ),
        }
    }

    /// Older releases keep a single file: it becomes the base. A crash between the steps is mended by the next start.
    fn take_over(&self, manifest: Manifest) -> anyhow::Result<Manifest> {
        let name = self.single.as_os_str().as_bytes();
        let inside = self.folder.join(&self.single);
        let unfinished = manifest.is_takeover_of(name) && !inside.exists();
        if !self.single.exists() || !(manifest.is_empty() || unfinished) {
            return Ok(manifest);
        }
        let (single, folder) = (self.single.display(), self.folder.display());
        make_folder(&self.folder)
            .map_err(|error| anyhow::anyhow!(reason(&error)))
            .with_context(|| format!("Can't open or create append-only dir {folder}"))?;
        let manifest = Manifest::of_single_file(name);
        write_manifest(&self.manifest, &manifest.to_bytes()).map_err(anyhow::Error::msg)?;
        files::rename(&self.single, &inside)
            .map_err(|error| anyhow::anyhow!(reason(&error)))
            .with_context(|| {
                format!("Error trying to move the old AOF file {single} into dir {folder}")
            })?;
        tracing::info!(
            "Successfully migrated an old-style AOF file ({single}) into the AOF directory ({folder})."
        );
        Ok(manifest)
    }
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

/// With `appendonly no`, what lies in the folder is not loaded: whoever forgot to turn it on would find an empty dataset.
pub(crate) fn warn_of_parts(shell: &Shell) {
    let place = Place::of(shell);
    if place.manifest.exists() {
        tracing::warn!(
            "There is an append only file in {}, which is not loaded, since appendonly is no",
            place.folder.display()
        );
    }
}

/// Where an append-only file is kept it is all that is loaded, even if it is new, or its first rewrite was never done.
fn warn_of_dump(dump: &Path) {
    if holds_something(dump) {
        tracing::warn!(
            "The append only file is empty, and {} is not loaded. To begin with what that holds, start with appendonly no and turn it \
             on with CONFIG SET",
            dump.display()
        );
    }
}

/// Whether a dump holds a key. One that cannot be read may.
fn holds_something(dump: &Path) -> bool {
    let Ok(file) = File::open(dump) else {
        return false;
    };
    let options = rdb::Options {
        skip_unsupported: true,
        ..rdb::Options::default()
    };
    let Ok(mut reader) = rdb::Reader::open(rdb::Input::new(file), options) else {
        return true;
    };
    loop {
        match reader.next_record() {
            Ok(None) => return false,
            Ok(Some(rdb::Record::Key(_) | rdb::Record::Function(_))) | Err(_) => return true,
            Ok(Some(_)) => {}
        }
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

/// A file whose end is missing, or damaged within the bound, is cut behind its last whole command, where the configuration allows it.
fn cut(
    shell: &Rc<Shell>,
    path: &Path,
    name: &str,
    bytes: u64,
    is_last: bool,
    error: &ReplayError,
) -> anyhow::Result<()> {
    let (allowed, most_corrupt) = {
        let engine = shell.engine.borrow();
        let config = engine.config();
        (
            config.aof_load_truncated,
            config.aof_load_corrupt_tail_max_size,
        )
    };
    let valid_up_to = match *error {
        ReplayError::Aof(aof::Error::Truncated { valid_up_to }) if allowed => valid_up_to,
        ReplayError::Aof(aof::Error::Format { valid_up_to, .. })
            if bytes.saturating_sub(valid_up_to) <= most_corrupt =>
        {
            valid_up_to
        }
        _ => anyhow::bail!(error.line(name)),
    };
    if !is_last {
        anyhow::bail!("Fatal error: the truncated file is not the last file");
    }
    for line in aof::truncation_lines(name, valid_up_to) {
        tracing::warn!("{line}");
    }
    let cut = File::options().write(true).open(path);
    cut.and_then(|file| {
        file.set_len(valid_up_to)?;
        file.sync_all()
    })
    .map_err(|error| anyhow::anyhow!("Error truncating the AOF file {name}: {}", reason(&error)))?;
    tracing::warn!("{}", aof::loaded_anyway(name));
    Ok(())
}
