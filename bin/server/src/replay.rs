//! Reading the append-only file back at the start.

use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use anyhow::Context as _;
use aof::{MANIFEST_SUFFIX, Manifest};
use daemon::{as_path, files, reason};
use engine::{Replay, ReplayError};
use rdb::{LoadOptions, Progress};

use crate::append_only::{make_folder, open_to_read, write_manifest};
use crate::shell::Shell;

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
    // A rewrite that began may have left an empty increment behind the one that was written to.
    let last = aof::last_written(parts.iter().map(|(.., bytes)| *bytes), base);
    for (index, (path, name, bytes)) in parts.iter().enumerate() {
        let started = std::time::Instant::now();
        if *bytes > 0 {
            replay(shell, path, name, *bytes, index == last).await?;
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
pub(crate) async fn replay(
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
        ..crate::load::load_options(shell)
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
pub(crate) struct Place {
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
pub(crate) fn warn_of_dump(dump: &Path) {
    if holds_something(dump) {
        tracing::warn!(
            "The append only file is empty, and {} is not loaded. To begin with what that holds, start with appendonly no and turn it \
             on with CONFIG SET",
            dump.display()
        );
    }
}

/// Whether a dump holds a key. One that cannot be read may.
pub(crate) fn holds_something(dump: &Path) -> bool {
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

pub(crate) async fn replay_steps(
    shell: &Rc<Shell>,
    replay: &mut Replay,
) -> Result<(), ReplayError> {
    while shell.turn(|engine| engine.replay_step(replay, STEP_BYTES))? == Progress::More {
        tokio::task::yield_now().await;
    }
    Ok(())
}

pub(crate) fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// A file whose end is missing, or damaged within the bound, is cut behind its last whole command, where the configuration allows it.
pub(crate) fn cut(
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

/// How much of a file is replayed before clients get a turn.
pub(crate) const STEP_BYTES: u64 = 256 * 1024;
