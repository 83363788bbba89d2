//! Being a process that people start: what it prints and ends with, the log, the pid file, the limit of open files, the start banner, what is
//! wrong with the kernel's settings, readiness for a service manager.

use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use conf::{AppendFsync, LoadError, LogFormat, ServerConfig};
use logline::{Level, Log, RAW, Role, Sink, Syslog};
use resp::REDIS_VERSION;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::{as_path, log_level, log_style, reason};

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

/// Ends where the configuration cannot be used: a wrong line is shown on standard error, anything else is a line in the log, which is
/// standard output until the configuration is known.
pub fn refuse(error: &LoadError, role: Role) -> ExitCode {
    match error {
        LoadError::Lines(lines) => fail(&format!("\n{lines}")),
        LoadError::Message(text) => {
            // Without a log there would be nothing to tell it by.
            let _ = Log::install(role, Level::Notice, None);
            text.lines().for_each(|line| tracing::warn!("{line}"));
            ExitCode::FAILURE
        }
    }
}

/// What a daemon's run comes to. Where the log is not standard output, whoever started the process is told an error too.
pub fn exit_code(ended: anyhow::Result<ExitCode>, logs_to_stdout: bool) -> ExitCode {
    ended.unwrap_or_else(|error| {
        tracing::error!("{error:#}");
        if logs_to_stdout {
            ExitCode::FAILURE
        } else {
            fail(&format!("{error:#}"))
        }
    })
}

/// Whether the configuration leaves the log on standard output.
#[must_use]
pub fn logs_to_stdout(config: &ServerConfig) -> bool {
    config.logfile.is_empty() && !config.daemonize
}

/// Starts the log that the configuration asks for. One that goes nowhere because the process leaves its terminal is told so later.
///
/// # Errors
/// When the log file cannot be opened.
pub fn start_log(config: &ServerConfig, role: Role) -> anyhow::Result<Log> {
    let syslog = config.syslog_enabled.then(|| {
        let ident = String::from_utf8_lossy(&config.syslog_ident);
        Syslog::new(&ident, config.syslog_facility.number())
    });
    let log = Log::install(role, log_level(config.loglevel), syslog)?;
    log.set_style(log_style(config));
    if !config.logfile.is_empty() {
        log.set_sink(Sink::File(as_path(&config.logfile).to_owned()))
            .context("Can't open the log file")?;
    }
    let without_effect: Vec<_> = config.unused.names().collect();
    if !without_effect.is_empty() {
        tracing::warn!(
            "These directives have no effect here: {}. docs/configuration.md says why.",
            without_effect.join(", ")
        );
    }
    Ok(log)
}

/// The pid file, as long as this lives.
#[derive(Debug)]
pub struct PidFile(PathBuf);

impl PidFile {
    /// The file that the configuration asks for: one that it names, and one in any case in the background.
    #[must_use]
    pub fn of(config: &ServerConfig) -> Option<Self> {
        match &*config.pidfile {
            b"" if config.daemonize => Some(Self::write(Path::new("/var/run/redis.pid"))),
            b"" => None,
            path => Some(Self::write(as_path(path))),
        }
    }

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

/// What `--version` prints: one text for all daemons, which are one program in Redis. `malloc` names the allocator.
#[must_use]
pub fn version(malloc: &str) -> String {
    format!(
        "Redis server v={REDIS_VERSION} sha=00000000:0 malloc={malloc} bits=64 build=tern-{}\n",
        env!("CARGO_PKG_VERSION")
    )
}

/// The start banner: what runs, as whom, where. `mode` is Redis's word for it: `standalone`, `cluster` or `sentinel`. Scripts
/// look for `PID: n` and `Port: n`. The system's log, and one that programs read, gets a line instead of a picture.
pub fn banner(mode: &str, config: &ServerConfig) {
    let port = config.port;
    if config.syslog_enabled || config.log_format != LogFormat::Legacy {
        tracing::info!(
            "Redis {REDIS_VERSION} (00000000/0) 64 bit, {mode} mode, Port: {port}, PID: {}, ready to start.",
            std::process::id()
        );
        return;
    }
    tracing::info!(
        target: RAW,
        "\n        .--.\n   ____/  o >   Tern {}, speaking Redis {REDIS_VERSION}, 64 bit\n  (___    /     Running in {mode} mode\n     /_ _/      Port: {port}\n    '  '        PID: {}\n\n",
        env!("CARGO_PKG_VERSION"),
        std::process::id()
    );
}

/// A line as Redis's signal handler writes it: it has a form of its own. `unix_s` is the time.
pub fn log_signal(text: &str, unix_s: u64) {
    tracing::warn!(
        target: RAW,
        "{}:signal-handler ({unix_s}) {text}\n",
        std::process::id()
    );
}

/// One line for who starts a server: where its data go, what a crash costs, and who can reach it; `needs_password` says whether the
/// default user has one.
#[must_use]
pub fn in_short(config: &ServerConfig, needs_password: bool) -> String {
    let dir = String::from_utf8_lossy(&config.dir);
    let kept = match (config.appendonly, config.appendfsync) {
        (true, AppendFsync::Always) => "every write is on the disk before its reply",
        (true, AppendFsync::Everysec) => "a power cut costs about a second of writes",
        (true, AppendFsync::No) => "a power cut costs what the system had not written yet",
        (false, _) if config.save.is_empty() => "NOTHING is kept: no append-only file and no dumps",
        (false, _) => "a crash costs what came after the last dump (appendonly no)",
    };
    let reach = reach(config, needs_password);
    format!("Data in {dir}: {kept}. Open to {reach}.")
}

/// The same for who starts a sentinel, whose state is in the configuration file at `path`.
#[must_use]
pub fn sentinel_in_short(
    config: &ServerConfig,
    needs_password: bool,
    path: &Path,
    vote_without_disk: bool,
) -> String {
    let kept = if vote_without_disk {
        "a vote is on the disk before it is given, unless the disk fails"
    } else {
        "a vote is on the disk before it is given"
    };
    let path = path.display();
    let reach = reach(config, needs_password);
    format!("State in {path}: {kept}. Open to {reach}.")
}

/// Who can reach a server.
fn reach(config: &ServerConfig, needs_password: bool) -> &'static str {
    let is_local = |bind: &String| {
        let ip = bind.trim_start_matches('-').parse::<IpAddr>();
        bind == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
    };
    if config.port == 0 && config.tls_port == 0 || config.bind.iter().all(is_local) {
        "this machine only"
    } else if needs_password {
        "whoever has a password and gets to the port"
    } else if config.protected_mode {
        "this machine only, until a password is set (protected-mode)"
    } else {
        "ANYBODY who gets to the port: no password is set"
    }
}

/// The line for a start without any argument. `name` is the configuration file's, without its end.
pub fn warn_of_defaults(name: &str) {
    let program = std::env::args_os().next().unwrap_or_default();
    tracing::warn!(
        "Warning: no config file specified, using the default config. \
         In order to specify a config file use {} /path/to/{name}.conf",
        program.to_string_lossy()
    );
}

/// Warns where the kernel cuts the queue of connections short.
pub fn warn_of_backlog(backlog: u32) {
    let most: Option<u32> = setting("/proc/sys/net/core/somaxconn");
    if let Some(most) = most.filter(|most| (1..backlog).contains(most)) {
        tracing::warn!(
            "WARNING: The TCP backlog setting of {backlog} cannot be enforced because /proc/sys/net/core/somaxconn is set to the \
             lower value of {most}."
        );
    }
}

/// Warns of what makes saving in the background fail, or dear.
pub fn warn_of_memory() {
    if setting::<u8>("/proc/sys/vm/overcommit_memory") == Some(0) {
        tracing::warn!(
            "WARNING overcommit_memory is set to 0! Background save may fail under low memory condition. \
             To fix this issue add 'vm.overcommit_memory = 1' to /etc/sysctl.conf and then reboot or run the command \
             'sysctl vm.overcommit_memory=1' for this to take effect."
        );
    }
    let pages = std::fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    // With `madvise` the heap, which does not ask for them, has none.
    if pages.is_ok_and(|pages| pages.contains("[always]")) {
        tracing::warn!(
            "WARNING you have Transparent Huge Pages (THP) support enabled in your kernel. \
             This will create latency and memory usage issues with Redis. \
             To fix this issue run the command 'echo never > /sys/kernel/mm/transparent_hugepage/enabled' as root, \
             and add it to your /etc/rc.local in order to retain the setting after a reboot. \
             Redis must be restarted after THP is disabled."
        );
    }
}

/// The number in a file of the kernel's.
fn setting<T: std::str::FromStr>(path: &str) -> Option<T> {
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_start_is_told_in_one_line() {
        let mut config = ServerConfig {
            dir: b"/data".to_vec(),
            ..ServerConfig::default()
        };
        assert_eq!(
            in_short(&config, false),
            "Data in /data: a crash costs what came after the last dump (appendonly no). \
             Open to this machine only, until a password is set (protected-mode)."
        );
        config.appendonly = true;
        config.bind = vec!["127.0.0.1".to_owned(), "-::1".to_owned()];
        assert_eq!(
            in_short(&config, false),
            "Data in /data: a power cut costs about a second of writes. Open to this machine only."
        );
        config.appendfsync = AppendFsync::Always;
        config.bind = vec!["10.0.0.1".to_owned()];
        config.protected_mode = false;
        assert_eq!(
            in_short(&config, false),
            "Data in /data: every write is on the disk before its reply. \
             Open to ANYBODY who gets to the port: no password is set."
        );
        config.appendonly = false;
        config.save.clear();
        assert_eq!(
            in_short(&config, true),
            "Data in /data: NOTHING is kept: no append-only file and no dumps. \
             Open to whoever has a password and gets to the port."
        );
        assert_eq!(
            sentinel_in_short(&config, true, Path::new("/etc/sentinel.conf"), false),
            "State in /etc/sentinel.conf: a vote is on the disk before it is given. \
             Open to whoever has a password and gets to the port."
        );
    }
}
