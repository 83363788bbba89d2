//! The server daemon: wiring of the engine to sockets, files, processes and clocks. Nothing here decides anything.
//!
//! | concern | modules |
//! |---|---|
//! | turns of the engine, what it wants done | `shell`, `drive`, `host`, `clock`, `ticks`, `signals`, `memory` |
//! | clients | `doors`, `listen`, `handshakes`, `connection`, `socket`, `reads`, `meanwhile`, `admins`, `admin` |
//! | who looks on | `figures` |
//! | other servers | `link`, `links`, `relay`, `idle_sockets`, `transfer`, `bus`, `nodes_file` |
//! | files | `dump`, `load`, `append_only`, `replay`, `manifests`, `check`, `config` |
//! | children that save | `fork`, `pace`, `gathered`, `progress`, `sched`, `handlers` |
//! | trouble | `watchdog`, `crash`, `stack` |
//! | the start | `main`, `daemonise`, `again`, `title` |

mod admin;
mod admins;
mod again;
mod append_only;
mod bus;
mod check;
mod clock;
mod coming;
mod config;
mod connection;
mod crash;
mod daemonise;
mod dial;
mod doors;
mod drive;
mod dump;
mod figures;
mod fork;
mod gathered;
mod handlers;
mod handshakes;
mod host;
mod idle_sockets;
mod link;
mod links;
mod listen;
mod load;
mod manifests;
mod meanwhile;
mod memory;
mod nodes_file;
mod oom_score;
mod pace;
mod progress;
mod reads;
mod relay;
mod replay;
mod sched;
mod shell;
mod signals;
mod socket;
mod stack;
mod straight;
mod streams;
mod ticks;
mod title;
mod transfer;
mod watchdog;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;

use anyhow::Context as _;
use conf::{Invocation, ServerConfig};
use daemon::{fail, say};
use engine::Engine;
use logline::{Log, Role, Sink};
use tokio::runtime::LocalOptions;

use crate::check::Tool;
use crate::config::Loaded;
use crate::host::{CurrentChild, Machine};
use crate::nodes_file::NodesFile;
use crate::shell::Shell;
use crate::signals::Signals;

const HELP: &str = "\
Usage: server [file | -] [--directive value …]
       server --sentinel file [--directive value …]
       server -v | --version
       server -h | --help
       server --check-aof [--fix] file
       server --check-rdb file

  server                                      defaults, port 6379
  server /etc/tern/server.conf                a configuration file
  server - < server.conf                      the same, from standard input
  server --port 7777 --slaveof 127.0.0.1 6379
  server server.conf --loglevel verbose
  server sentinel.conf --sentinel             hands over to the sentinel beside it
";

fn main() -> ExitCode {
    again::remember();
    let arguments: Vec<Vec<u8>> = std::env::args_os().map(OsString::into_vec).collect();
    let (program, arguments) = arguments
        .split_first()
        .map_or((&b""[..], &[][..]), |(first, rest)| {
            (first.as_slice(), rest)
        });
    if program.ends_with(b"sentinel") {
        return hand_over(arguments);
    }
    if let Some((tool, arguments)) = Tool::find(program, arguments) {
        return tool.run(program, arguments);
    }
    let loaded = match Invocation::from_command_line(arguments) {
        Invocation::Version => return say(&daemon::version("jemalloc")),
        Invocation::Help => return say(HELP),
        Invocation::TestMemory(_) => {
            return fail(
                "The memory test is not part of this server: use a tool made for it, such as memtester.",
            );
        }
        Invocation::Run(run) if run.sentinel => return hand_over(arguments),
        Invocation::Default => Loaded {
            config: ServerConfig::default(),
            file: None,
            given: false,
        },
        Invocation::Run(run) => match config::load(&run) {
            Ok(loaded) => loaded,
            Err(error) => return daemon::refuse(&error, Role::Child),
        },
    };
    let logs_to_stdout = daemon::logs_to_stdout(&loaded.config);
    daemon::exit_code(serve(loaded), logs_to_stdout)
}

/// Becomes the sentinel that lies beside this binary.
fn hand_over(arguments: &[Vec<u8>]) -> ExitCode {
    let beside = std::env::current_exe().map(|path| path.with_file_name("sentinel"));
    let installed = std::env::current_exe().map(|path| path.with_file_name("tern-sentinel"));
    let Some(binary) = [beside, installed]
        .into_iter()
        .flatten()
        .find(|path| path.exists())
    else {
        return fail("Cannot start as a sentinel: there is no `sentinel` beside this binary.");
    };
    let rest = arguments
        .iter()
        .filter(|word| *word != b"--sentinel")
        .map(|word| std::ffi::OsString::from_vec(word.clone()));
    let error = std::process::Command::new(&binary).args(rest).exec();
    fail(&format!("Cannot start {}: {error}", binary.display()))
}

fn serve(mut loaded: Loaded) -> anyhow::Result<ExitCode> {
    title::make_room();
    let detached = loaded
        .config
        .daemonize
        .then(daemonise::detach)
        .transpose()?;
    let log = start_log(&loaded)?;
    loaded.config.dir = daemon::current_dir();
    daemon::raise_open_files(&mut loaded.config);
    handlers::ignore_file_size_signal();
    let config = loaded.config.clone();
    let child = CurrentChild::default();
    let left = child.clone();
    let signals = Signals::take(move || {
        left.end(fork::end_soon);
        host::remove_temporary(Path::new(""), std::process::id());
    })?;
    let machine = Machine::new(log, loaded.file, child);
    let (engine, nodes_file) = start_engine(&machine, loaded.config)?;
    let log_file = daemon::as_path(&config.logfile);
    let log_file = (!config.logfile.is_empty()).then_some(log_file);
    crash::report_from_now_on(log_file, engine.running());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build_local(LocalOptions::default())
        .context("cannot start the event loop")?;
    let shell = Rc::new(Shell::new(engine, machine, signals, nodes_file));
    runtime.block_on(run(shell, config, detached))
}

fn start_log(loaded: &Loaded) -> anyhow::Result<Log> {
    let config = &loaded.config;
    let role = if config.slaveof.is_some() {
        Role::Slave
    } else {
        Role::Master
    };
    let log = daemon::start_log(config, role)?;
    if config.logfile.is_empty() && config.daemonize {
        log.set_sink(Sink::File("/dev/null".into()))
            .context("Can't open /dev/null")?;
    }
    if !loaded.given {
        // It is not yet the server that speaks.
        log.set_role(Role::Child);
        daemon::warn_of_defaults("redis");
        log.set_role(role);
    }
    Ok(log)
}

fn start_engine(
    machine: &Machine,
    config: ServerConfig,
) -> anyhow::Result<(Engine, Option<NodesFile>)> {
    let seed = Machine::entropy()?;
    let key = |text: &Vec<u8>| [0, 1].map(|half| rdb::crc64(&[&[half], &text[..]].concat()));
    let hash_seed = config.hash_seed.as_ref().map(key);
    store::set_hash_seed(hash_seed.unwrap_or([seed[0], seed[1]]));
    let renamed = config.rename_commands.clone();
    let nodes = config
        .cluster_enabled
        .then(|| config.cluster_config_file.clone());
    let mut engine = Engine::new(machine.now(), config, seed[2], Box::new(machine.clone()));
    for command in &renamed {
        if !engine.rename_command(&command.from, &command.to) {
            anyhow::bail!("Target command name already exists");
        }
    }
    engine
        .load_users()
        .map_err(anyhow::Error::msg)
        .context("Critical error while loading ACLs")?;
    let Some(path) = nodes else {
        return Ok((engine, None));
    };
    let (file, saved) = NodesFile::open(daemon::as_path(&path))?;
    engine.join_cluster(saved, seed[3]);
    // A new node has to keep its name: no reason to start if it cannot.
    if let Some(text) = engine.begin_saving_nodes() {
        file.put(text);
        file.write()
            .context("Fatal: can't update cluster config file")?;
        engine.nodes_saved(Ok(()));
    }
    Ok((engine, Some(file)))
}

async fn run(
    shell: Rc<Shell>,
    config: ServerConfig,
    detached: Option<daemonise::Detached>,
) -> anyhow::Result<ExitCode> {
    let serving = meanwhile::Server(Rc::downgrade(&shell));
    shell.machine.set_meanwhile(Rc::new(serving));
    let doors = listen::Doors(Rc::downgrade(&shell));
    shell.machine.set_doors(Box::new(doors));
    listen::open(&shell, &config)?;
    listen::open_admin(&shell, &config)?;
    if config.cluster_enabled {
        bus::open(&shell, &config)?;
    }
    if let Some(door) = metrics::open(&config)? {
        listen::tell_figures(&shell, door)?;
    }
    *shell.pid_file.borrow_mut() = daemon::PidFile::of(&config);
    if let Some(detached) = detached {
        detached.ready();
        daemonise::close_terminal()?;
    }
    let mode = if config.cluster_enabled {
        "cluster"
    } else {
        "standalone"
    };
    shell.machine.show_title(&config);
    daemon::banner(mode, &config);
    daemon::warn_of_backlog(config.tcp_backlog);
    tracing::info!("Server initialized");
    let needs_password = shell.turn(|engine| engine.needs_password());
    tracing::info!("{}", daemon::in_short(&config, needs_password));
    daemon::warn_of_memory();
    let running = Rc::clone(&shell);
    let mut run = std::pin::pin!(running.run());
    tokio::select! {
        biased;
        loaded = load(&shell, &config) => loaded?,
        ended = &mut run => match ended? {},
    }
    shell.turn(Engine::check_loaded_slots);
    announce(&config);
    if let Some(master) = &config.slaveof {
        shell.turn(|engine| engine.follow(&master.host, master.port));
    }
    match run.await? {}
}

/// Loads what an earlier run left: the append-only file where one is kept, else the dump.
async fn load(shell: &Rc<Shell>, config: &ServerConfig) -> anyhow::Result<()> {
    if config.appendonly {
        return crate::replay::load(shell).await;
    }
    crate::replay::warn_of_parts(shell);
    let loaded = crate::load::load(shell, daemon::as_path(&config.dbfilename)).await;
    loaded.map_err(anyhow::Error::msg)
}

/// Tells the log, and the service manager, that data are loaded and clients are served: in the words of 3.0 too, which scripts wait for.
fn announce(config: &ServerConfig) {
    if config.port != 0 {
        let port = config.port;
        tracing::info!("The server is now ready to accept connections on port {port}");
        tracing::info!("Ready to accept connections tcp");
    }
    if config.tls_port != 0 {
        tracing::info!("Ready to accept connections tls");
    }
    if let Some(path) = &config.unixsocket {
        let path = String::from_utf8_lossy(path);
        tracing::info!("The server is now ready to accept connections at {path}");
        tracing::info!("Ready to accept connections unix");
    }
    daemon::notify_ready();
}
