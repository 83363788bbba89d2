//! Being a process that people start: what it prints and ends with, the pid file, the limit of open files, the start banner, readiness for a service manager.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use conf::ServerConfig;
use logline::RAW;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::reason;

/// Descriptors that are needed beside the clients' (Redis 3.0: `REDIS_MIN_RESERVED_FDS`).
const RESERVED_FILES: u64 = 32;

/// Prints what was asked for, and ends well.
pub fn say(text: &str) -> ExitCode {
    // A closed standard output is not worth a complaint.
    let _ = std::io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

/// Tells whoever started the process what is wrong, and ends so.
pub fn fail(message: &str) -> ExitCode {
    // As above.
    let _ = writeln!(std::io::stderr(), "{message}");
    ExitCode::FAILURE
}

/// What a daemon's run comes to. The log may go to a file; whoever started the process sees an error too.
pub fn exit_code(ended: anyhow::Result<ExitCode>) -> ExitCode {
    ended.unwrap_or_else(|error| {
        tracing::error!("{error:#}");
        fail(&format!("{error:#}"))
    })
}

/// The pid file, as long as this lives.
#[derive(Debug)]
pub struct PidFile(PathBuf);

impl PidFile {
    /// Writes this process's id. A file that cannot be written is a line in the log, and nothing worse.
    pub fn write(path: &Path) -> Self {
        if let Err(error) = std::fs::write(path, format!("{}\n", std::process::id())) {
            tracing::warn!(
                "Cannot write the pid file {}: {}",
                path.display(),
                reason(&error)
            );
        }
        // The current directory may change later.
        Self(std::path::absolute(path).unwrap_or_else(|_| path.to_owned()))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        tracing::info!("Removing the pid file.");
        // It may have been removed already, by whoever watches it.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// How many clients so many open files are enough for.
#[must_use]
pub fn clients_within(limit: u64) -> u32 {
    u32::try_from(limit.saturating_sub(RESERVED_FILES).max(1)).unwrap_or(u32::MAX)
}

/// Makes the limit of open files fit so many clients; what it was before where nothing had to be done or it could be raised.
///
/// # Errors
/// The limit as it is, where it cannot be raised far enough.
pub fn open_files_for(clients: u32) -> Result<u64, u64> {
    let wanted = u64::from(clients) + RESERVED_FILES;
    let limit = getrlimit(Resource::Nofile);
    let current = limit.current.unwrap_or(u64::MAX);
    if current >= wanted {
        return Ok(current);
    }
    let most = limit.maximum.unwrap_or(u64::MAX);
    // Root may raise the hard limit too.
    let tries = [
        Rlimit {
            current: Some(wanted),
            maximum: Some(most.max(wanted)),
        },
        Rlimit {
            current: Some(wanted.min(most)),
            maximum: limit.maximum,
        },
    ];
    let raised = tries
        .into_iter()
        .find_map(|new| setrlimit(Resource::Nofile, new).ok().and(new.current));
    match raised {
        Some(raised) if raised >= wanted => {
            tracing::info!(
                "Increased maximum number of open files to {wanted} (it was originally set to {current})."
            );
            Ok(current)
        }
        raised => Err(raised.unwrap_or(current)),
    }
}

/// Makes the limit of open files fit `maxclients`, or `maxclients` fit the limit.
pub fn raise_open_files(config: &mut ServerConfig) {
    let Err(limit) = open_files_for(config.maxclients) else {
        return;
    };
    let clients = clients_within(limit);
    let wanted = u64::from(config.maxclients) + RESERVED_FILES;
    tracing::warn!(
        "You requested maxclients of {} requiring at least {wanted} max file descriptors.",
        config.maxclients
    );
    tracing::warn!(
        "Redis can't set maximum open files to {wanted} because of OS error: Operation not permitted."
    );
    tracing::warn!(
        "Current maximum open files is {limit}. maxclients has been reduced to {clients} to compensate for low ulimit. \
         If you need higher maxclients increase 'ulimit -n'."
    );
    config.maxclients = clients;
}

/// The start banner: what runs, as whom, where. `mode` is Redis's word for it: `standalone`, `cluster` or `sentinel`. Scripts
/// look for `PID: n` and `Port: n`.
pub fn banner(mode: &str, port: u16) {
    tracing::info!(
        target: RAW,
        "\n        .--.\n   ____/  o >   Tern {}, speaking Redis 3.0.7, 64 bit\n  (___    /     Running in {mode} mode\n     /_ _/      Port: {port}\n    '  '        PID: {}\n\n",
        env!("CARGO_PKG_VERSION"),
        std::process::id()
    );
}

/// Tells the service manager, when one asked to be told, that clients are served.
pub fn notify_ready() {
    if let Err(error) = sd_notify::notify(&[sd_notify::NotifyState::Ready]) {
        tracing::warn!(
            "Cannot tell the service manager that this process is ready: {}",
            reason(&error)
        );
    }
}
