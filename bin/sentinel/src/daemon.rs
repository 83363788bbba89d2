//! Being a daemon: leaving the terminal, the pid file, the limit of open files, the start banner.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use conf::ServerConfig;
use logline::{Log, RAW, Sink};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::config::{as_path, reason};

/// Descriptors that are needed beside the clients' (Redis 3.0: `REDIS_MIN_RESERVED_FDS`).
const RESERVED_FILES: u64 = 32;

/// The pid file, as long as this lives.
#[derive(Debug)]
pub(crate) struct PidFile(PathBuf);

impl PidFile {
    fn write(path: &Path) -> Self {
        if let Err(error) = std::fs::write(path, format!("{}\n", std::process::id())) {
            tracing::warn!(
                "Cannot write the pid file {}: {}",
                path.display(),
                reason(&error)
            );
        }
        Self(crate::absolute(path))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        tracing::info!("Removing the pid file.");
        // It may have been removed already, by whoever watches it.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Goes to the background where the configuration says so. Nothing has been started yet that a fork would lose; the
/// listening sockets stay open.
pub(crate) fn detach(config: &ServerConfig, log: &Log) -> anyhow::Result<Option<PidFile>> {
    if !config.daemonize {
        return Ok(None);
    }
    nix::unistd::daemon(true, false).context("Cannot go to the background")?;
    if config.logfile.is_empty() {
        log.set_sink(Sink::Discard)
            .context("Cannot discard the log")?;
    }
    Ok(Some(PidFile::write(as_path(&config.pidfile))))
}

/// Makes the limit of open files fit `maxclients`, or `maxclients` fit the limit.
pub(crate) fn raise_open_files(config: &mut ServerConfig) {
    let wanted = u64::from(config.maxclients) + RESERVED_FILES;
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current.unwrap_or(u64::MAX);
    if current >= wanted {
        return;
    }
    let most = limit.maximum.unwrap_or(u64::MAX);
    let new = Rlimit {
        current: Some(wanted.min(most)),
        maximum: limit.maximum,
    };
    let raised = setrlimit(Resource::Nofile, new)
        .ok()
        .and(new.current)
        .unwrap_or(current);
    if raised >= wanted {
        return tracing::info!(
            "Increased maximum number of open files to {wanted} (it was originally set to {current})."
        );
    }
    let clients = u32::try_from(raised.saturating_sub(RESERVED_FILES).max(1)).unwrap_or(u32::MAX);
    tracing::warn!(
        "Current maximum open files is {raised}. maxclients has been reduced to {clients} to compensate for low \
         ulimit. If you need higher maxclients increase 'ulimit -n'."
    );
    config.maxclients = clients;
}

/// The start banner: what runs, as whom, where. Scripts look for `PID: n` and `Port: n`.
pub(crate) fn banner(config: &ServerConfig) {
    tracing::info!(
        target: RAW,
        "\n        .--.\n   ____/  o >   Tern {}, speaking Redis 3.0.7, 64 bit\n  (___    /     Running in sentinel mode\n     /_ _/      Port: {}\n    '  '        PID: {}\n\n",
        env!("CARGO_PKG_VERSION"),
        config.port,
        std::process::id()
    );
}

/// Tells the service manager that the sentinel is ready, when one asked to be told.
pub(crate) fn notify_ready() {
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::warn!(
            "Cannot tell the service manager that the sentinel is ready: {}",
            reason(&error)
        );
    }
}
