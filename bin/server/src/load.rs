//! Loading dumps: at the start, and those that come from a primary.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::{Duration, Instant};

use conf::VersionCheck;
use daemon::{files, reason};
use rdb::{Input, LoadOptions, Loader, Progress};

use crate::coming::Coming;
use crate::dump::SyncFile;
use crate::dump::aside;
use crate::shell::Shell;

/// A dump from the primary cannot be loaded.
const LOAD: &str = "Failed trying to load the PRIMARY synchronization DB";
/// A dump that came cannot be made the dump file.
pub(crate) const RENAME: &str =
    "Failed trying to rename the temp DB into dump.rdb in PRIMARY <-> REPLICA synchronization";

/// Loads the dump file, if there is one, while clients are told to wait.
pub(crate) async fn load(shell: &Rc<Shell>, path: &Path) -> Result<(), String> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            return Err(format!(
                "Fatal error loading the DB, {}: {}. Exiting.",
                path.display(),
                reason(&error)
            ));
        }
    };
    let bytes = file.metadata().map(|facts| facts.len()).unwrap_or(0);
    let started = Instant::now();
    let result = load_all(shell, bytes, file, true, None).await;
    let expired = result.map_err(|error| {
        format!(
            "Fatal error loading the DB, {}: {error}. Exiting.",
            path.display()
        )
    })?;
    shell.turn(|engine| engine.adopt_loaded_place(expired));
    tracing::info!(
        "DB loaded from disk: {:.3} seconds",
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

/// Loads a dump that came from the master, and makes it the dump file, unless it came into memory. It gets to the disk while it is loaded,
/// and takes the old one's place only if it could be. Clients are served again as soon as it is loaded, however long the disk takes. Where
/// it is to be the base of the append-only file too it gets that name as well: its size, if it could be.
pub(crate) async fn load_received(
    shell: &Rc<Shell>,
    received: &SyncFile,
    dump: Option<&Path>,
    base: Option<PathBuf>,
) -> Result<Option<u64>, String> {
    let failed = |why: String| format!("{LOAD} from {}: {why}", received.place());
    let reader = received.reader().map_err(|error| failed(reason(&error)))?;
    let bytes = reader.size;
    let loading = load_all(shell, bytes, reader, false, None);
    let (loaded, synced) = tokio::join!(loading, received.sync());
    if let Err(error) = loaded {
        shell.turn(engine::Engine::drop_half_loaded);
        return Err(failed(error.to_string()));
    }
    let (Some(from), Some(to)) = (received.path(), dump) else {
        return Ok(None);
    };
    synced.map_err(|error| format!("{RENAME}: {}", reason(&error)))?;
    let (from, to) = (from.to_owned(), to.to_owned());
    let kept = aside(move || {
        let also = base.as_ref().filter(|base| also_named(&from, base));
        let renamed = files::rename(&from, &to);
        if let (Err(_), Some(base)) = (&renamed, also) {
            // The error that matters is that of the rename.
            let _ = std::fs::remove_file(base);
        }
        renamed.map(|()| also.map(|_| bytes))
    });
    kept.await
        .map_err(|error| format!("{RENAME}: {}", reason(&error)))
}

/// Loads a dump while it comes; its length, where the primary told it.
pub(crate) async fn load_coming(
    shell: &Rc<Shell>,
    coming: &Coming,
    bytes: Option<u64>,
) -> Result<(), String> {
    let bytes = bytes.unwrap_or(0);
    let loaded = load_all(shell, bytes, coming.reader(), false, Some(coming)).await;
    loaded.map(drop).map_err(|error| {
        shell.turn(engine::Engine::drop_half_loaded);
        format!("{LOAD} from the connection: {error}")
    })
}

/// Gives a dump a second name. Nobody writes to it under the first: dump files are replaced whole.
pub(crate) fn also_named(dump: &Path, name: &Path) -> bool {
    // One that was left by a process that was killed.
    let _ = std::fs::remove_file(name);
    let linked = std::fs::hard_link(dump, name);
    if let Err(error) = &linked {
        tracing::warn!(
            "The dump that was received cannot be the AOF base file, which will be written anew: {}",
            reason(error)
        );
    }
    linked.is_ok()
}

/// The same as [`load_steps`], and the engine is told that a load of so many bytes begins, and that it is over.
async fn load_all(
    shell: &Rc<Shell>,
    bytes: u64,
    file: impl Read,
    note_expired: bool,
    coming: Option<&Coming>,
) -> Result<Vec<rdb::Expired>, rdb::Error> {
    shell.turn(|engine| engine.begin_load(bytes));
    let loaded = load_steps(shell, file, note_expired, coming).await;
    shell.turn(engine::Engine::end_load);
    loaded
}

/// Loads a dump, perhaps one that still comes; answers what was left out since its time had come, if that is to be noted.
async fn load_steps(
    shell: &Rc<Shell>,
    file: impl Read,
    note_expired: bool,
    coming: Option<&Coming>,
) -> Result<Vec<rdb::Expired>, rdb::Error> {
    let options = LoadOptions {
        note_expired,
        ..load_options(shell)
    };
    let limits = shell.engine.borrow().limits();
    if let Some(coming) = coming {
        coming.ready(&shell.links, 0).await?;
    }
    let mut loader = Loader::open(Input::new(file), options, limits)?;
    let mut next_key = tokio::time::Instant::now();
    loop {
        let ready = match coming {
            Some(coming) => coming.ready(&shell.links, loader.offset()).await? - loader.offset(),
            None => u64::MAX,
        };
        let delay_us = shell.engine.borrow().config().key_load_delay;
        let delay_us = u64::try_from(delay_us).unwrap_or(0);
        // For tests that need a long load: key by key.
        let bytes = if delay_us > 0 {
            1
        } else {
            STEP_BYTES.min(ready)
        };
        let keys = loader.loaded().keys;
        let progress = shell.turn(|engine| engine.load_step(&mut loader, bytes))?;
        // What else the dump tells (of slots, functions) is not waited for.
        if delay_us > 0 && loader.loaded().keys > keys {
            // From when the last was due: timers are too coarse to wait for each key anew.
            next_key += Duration::from_micros(delay_us);
            tokio::time::sleep_until(next_key).await;
        }
        if progress == Progress::Done {
            if options.read.checksum && loader.was_unchecked() {
                tracing::warn!("{}", rdb::UNCHECKED);
            }
            let loaded = loader.loaded();
            tracing::info!(
                "Done loading RDB, keys loaded: {}, keys expired: {}, empty keys skipped: {}.",
                loaded.keys,
                loaded.expired,
                loaded.empty
            );
            return Ok(loader.take_expired());
        }
        tokio::task::yield_now().await;
    }
}

/// How dumps are loaded: as the configuration says, and without expired keys where this server decides about them.
pub(crate) fn load_options(shell: &Shell) -> LoadOptions {
    let engine = shell.engine.borrow();
    let follows = engine.is_slave() || engine.config().slaveof.is_some();
    let drop_expired_before = (!follows).then(|| shell.machine.now().unix_ms());
    let read = rdb::Options {
        checksum: engine.config().rdbchecksum && !engine.trusts_checksums(),
        skip_unsupported: engine.config().rdb_skip_unsupported,
        relaxed: engine.config().rdb_version_check == VersionCheck::Relaxed,
    };
    LoadOptions {
        read,
        drop_expired_before,
        note_expired: false,
        replace: false,
    }
}

/// How much of a file is loaded before clients get a turn.
pub(crate) const STEP_BYTES: u64 = 1024 * 1024;
