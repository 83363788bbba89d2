//! The sentinel daemon: wiring of the sentinel core to sockets, files, processes and clocks. Nothing here decides
//! anything.
//!
//! `config.rs` reads sentinel.conf, `listen.rs` takes connections, `shell.rs` runs the core and performs what it asks for, `link.rs`
//! is one connection to an instance, `connection.rs` one client's, `figures.rs` answers `metrics-port`, `script.rs` one script's process.

mod config;
mod connection;
mod figures;
mod link;
mod listen;
mod machine;
mod script;
mod shell;

use std::os::unix::ffi::OsStringExt as _;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use conf::{Invocation, LoadError, ServerConfig};
use daemon::{PidFile, fail, say};
use logline::{Log, Role, Sink};
use sentinel_core::Monitor;

use crate::config::Loaded;
use crate::machine::Machine;

const HELP: &str = "\
Usage: sentinel file [--directive value …]
       sentinel -v | --version
       sentinel -h | --help

  sentinel /etc/tern/sentinel.conf            watch what the file names; it is also where the state is kept
  sentinel sentinel.conf --port 26380
  sentinel sentinel.conf --loglevel debug
";

fn main() -> ExitCode {
    let arguments: Vec<Vec<u8>> = std::env::args_os()
        .skip(1)
        .map(std::ffi::OsString::into_vec)
        .collect();
    let run = match Invocation::from_command_line(&arguments) {
        Invocation::Version => return say(&daemon::version("libc")),
        Invocation::Help => return say(HELP),
        Invocation::TestMemory(_) => {
            return fail(
                "The memory test is not part of this program: use a tool made for it, such as memtester.",
            );
        }
        Invocation::Default => {
            let error = LoadError::Message(config::NO_FILE.to_owned());
            return daemon::refuse(&error, Role::Sentinel);
        }
        Invocation::Run(run) => run,
    };
    let loaded = match config::load(&run) {
        Ok(loaded) => loaded,
        Err(error) => return daemon::refuse(&error, Role::Sentinel),
    };
    let logs_to_stdout = daemon::logs_to_stdout(&loaded.file.server);
    daemon::exit_code(serve(loaded).map(|()| ExitCode::SUCCESS), logs_to_stdout)
}

/// Runs until the sentinel is told to end.
fn serve(mut loaded: Loaded) -> anyhow::Result<()> {
    let log = daemon::start_log(&loaded.file.server, Role::Sentinel)?;
    daemon::raise_open_files(&mut loaded.file.server);
    // Before the process leaves the terminal, so that who started it sees why it could not.
    let warning = config::check_writable(&loaded.path, loaded.file.globals.vote_without_disk)?;
    let sockets = listen::open(&loaded.file.server)?;
    let pid_file = detach(&loaded.file.server, &log)?;
    daemon::banner("sentinel", &loaded.file.server);
    daemon::warn_of_backlog(loaded.file.server.tcp_backlog);

    let machine = Machine::new();
    if let Some(warning) = warning {
        tracing::warn!("{warning}");
    }
    let vote_without_disk = loaded.file.globals.vote_without_disk;
    let is_new = loaded.file.myid.is_none();
    let myid = match loaded.file.myid {
        Some(myid) => myid,
        None => machine.runid()?,
    };
    tracing::info!("Sentinel ID is {myid}");
    let server = Arc::new(loaded.file.server);
    let config = sentinel_core::Config {
        myid,
        server: Arc::clone(&server),
        globals: loaded.file.globals,
        facts: machine.facts(&loaded.path, machine.runid()?),
        world: machine::world(),
    };
    let seed = machine.seed()?;
    let mut monitor = Monitor::new(machine.now(), config, loaded.file.saved, seed);
    let notes = monitor
        .load_users()
        .map_err(anyhow::Error::msg)
        .context("Critical error while loading ACLs")?;
    for note in notes {
        tracing::info!("{note}");
    }
    let needs_password = monitor.needs_password();
    let path = &loaded.path;
    let in_short = daemon::sentinel_in_short(&server, needs_password, path, vote_without_disk);
    tracing::info!("{in_short}");
    if is_new {
        monitor.keep();
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("Cannot start the event loop")?;
    let local = tokio::task::LocalSet::new();
    local.block_on(
        &runtime,
        shell::run(monitor, machine, loaded.path, server, sockets, log),
    )?;
    drop(pid_file);
    tracing::warn!("Sentinel is now ready to exit, bye bye...");
    Ok(())
}

/// Goes to the background where the configuration says so. Nothing has been started yet that a fork would lose; the
/// listening sockets stay open.
fn detach(config: &ServerConfig, log: &Log) -> anyhow::Result<Option<PidFile>> {
    if !config.daemonize {
        return Ok(PidFile::of(config));
    }
    nix::unistd::daemon(true, false).context("Cannot go to the background")?;
    if config.logfile.is_empty() {
        log.set_sink(Sink::Discard)
            .context("Cannot discard the log")?;
    }
    Ok(PidFile::of(config))
}
