//! A cluster of processes on this machine: started, formed, shown and stopped with one word each.
//!
//! Every node has a folder of its own below one directory. Its pid file names the process and when it was
//! started, so that `down` stops exactly what `up` started, whoever got the same number since.

mod sentinels;

use std::fs;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use clap::Args;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use crate::cluster::open;
use crate::console::Probe;
use crate::plan::{Condition, PlanError};
use crate::verbs::WatchOptions;
use crate::{Address, App, Cluster, Error, verbs, wait};

/// Where the nodes live unless told otherwise.
pub const DEFAULT_DIR: &str = "tern-local";

const HOST: &str = "127.0.0.1";
const PID_FILE: &str = "server.pid";
const LOG_FILE: &str = "server.log";
/// How long servers may take to answer, and to end.
const LIMIT: Duration = Duration::from_secs(30);

/// What `up` may be told.
#[derive(Args, Clone, Debug)]
pub struct LocalArgs {
    /// Where the nodes keep their data
    #[arg(long, default_value = DEFAULT_DIR, value_name = "arg")]
    pub dir: PathBuf,
    /// Port of the first node
    #[arg(long, default_value_t = 7000, value_name = "arg")]
    pub port: u16,
    /// How many servers: 6 in a cluster, 3 with sentinels, where not given
    #[arg(long, value_name = "arg")]
    pub nodes: Option<u16>,
    /// A master with replicas and three sentinels, in the place of a cluster
    #[arg(long)]
    pub sentinel: bool,
    /// Put a small load on the cluster for so many seconds
    #[arg(long, value_name = "arg")]
    pub demo: Option<u32>,
    /// Look at the living cluster
    #[arg(long)]
    pub watch: bool,
    /// Replicas of each master
    #[arg(long, default_value_t = 1, value_name = "arg")]
    pub replicas: usize,
    /// The server's program, if not the one beside this one
    #[arg(long, value_name = "arg")]
    pub server: Option<PathBuf>,
}

/// One node's folder.
#[derive(Clone, Debug)]
struct Place {
    port: u16,
    dir: PathBuf,
}

impl Place {
    fn address(&self) -> Address {
        Address::new(HOST, self.port)
    }

    /// The process that its pid file names, if it still runs.
    fn running(&self) -> Option<Pid> {
        let text = fs::read_to_string(self.dir.join(PID_FILE)).ok()?;
        let (pid, started) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        let pid = Pid::from_raw(pid.parse().ok().filter(|pid| *pid > 0)?)?;
        test_kill_process(pid).ok()?;
        (start_time(pid).unwrap_or_default() == started).then_some(pid)
    }

    fn note(&self, pid: Pid) -> Result<(), Error> {
        let path = self.dir.join(PID_FILE);
        let text = format!(
            "{} {}\n",
            pid.as_raw_nonzero(),
            start_time(pid).unwrap_or_default()
        );
        fs::write(&path, text).map_err(|error| Error::file(path, &error))
    }

    fn log_end(&self) -> String {
        let log = fs::read_to_string(self.dir.join(LOG_FILE)).unwrap_or_default();
        let lines: Vec<&str> = log.lines().rev().take(3).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }
}

/// Starts the nodes that do not run yet and creates the cluster unless it exists.
///
/// # Errors
///
/// No server program, ports in use, a server that ends again, or what `create` fails with.
pub async fn up(app: &mut App, args: &LocalArgs) -> Result<(), Error> {
    if args.sentinel {
        return sentinels::up(app, args).await;
    }
    let count = args.nodes.unwrap_or(6);
    let nodes = usize::from(count);
    if nodes / args.replicas.saturating_add(1) < 3 {
        return Err(PlanError::TooFewNodes {
            nodes,
            replicas: args.replicas,
        }
        .into());
    }
    let server = find_server(args.server.as_deref())?;
    let places = plan_places(args, count)?;
    let idle = idle_places(app, args, &places)?;
    let mut children = Vec::new();
    for place in idle {
        let port = place.port.to_string();
        let words = [
            ["--port", &port],
            ["--bind", HOST],
            ["--cluster-enabled", "yes"],
            ["--cluster-config-file", "nodes.conf"],
            ["--cluster-node-timeout", "5000"],
            ["--appendonly", "yes"],
        ];
        children.push((place.clone(), launch(&server, place, words.as_flattened())?));
    }
    await_answers(app, &places, &mut children).await?;
    form(app, &places, args.replicas).await?;
    let dir = if args.dir == Path::new(DEFAULT_DIR) {
        String::new()
    } else {
        format!(" --dir {}", args.dir.display())
    };
    // As it was called, so that the lines can be copied.
    let own = std::env::args().next().unwrap_or_else(|| "trib".into());
    app.console.print(&format!(
        "\nThe cluster is ready.\n  connect:  redis-cli -c -p {}\n  look:     {own} local status{dir}\n  stop:     {own} local down{dir}\n",
        args.port
    ));
    show(app, args).await
}

/// The places where nothing runs yet; their ports have to be free. Says that they start.
fn idle_places<'a>(
    app: &mut App,
    args: &LocalArgs,
    places: &'a [Place],
) -> Result<Vec<&'a Place>, Error> {
    let idle: Vec<&Place> = places
        .iter()
        .filter(|place| place.running().is_none())
        .collect();
    for place in &idle {
        require_free_ports(place)?;
    }
    app.console.line(&starting(&idle, &args.dir));
    Ok(idle)
}

/// What there is to see once the cluster is ready.
async fn show(app: &mut App, args: &LocalArgs) -> Result<(), Error> {
    let entry = Address::new(HOST, args.port);
    let settings = app.settings.clone();
    let load = async {
        match args.demo {
            Some(seconds) => {
                let time = Duration::from_secs(seconds.into());
                verbs::demo(&entry, &settings, time).await
            }
            None => std::future::pending().await,
        }
    };
    let replies = if args.watch {
        let options = WatchOptions {
            interval: Duration::from_secs(1),
            count: None,
            text: false,
            sentinels: Vec::new(),
        };
        let entry = entry.to_string();
        tokio::select! {
            ended = verbs::watch(app, &entry, &options) => return ended,
            replies = load => replies?,
        }
    } else if args.demo.is_some() {
        app.console.line(">>> A small load runs");
        load.await?
    } else {
        return Ok(());
    };
    app.console
        .line(&format!("[OK] {replies} requests were answered."));
    Ok(())
}

/// Stops the nodes. Their data stays.
///
/// # Errors
///
/// There are none, or one does not end.
pub async fn down(app: &mut App, dir: &Path) -> Result<(), Error> {
    let places = find_places(dir)?;
    let running: Vec<(Place, Pid)> = places
        .iter()
        .filter_map(|place| Some((place.clone(), place.running()?)))
        .collect();
    app.console.line(&format!(
        ">>> Stopping {} servers of {}",
        running.len(),
        dir.display()
    ));
    for (place, pid) in &running {
        let sent = kill_process(*pid, Signal::TERM);
        sent.map_err(|error| Error::Local(format!("Can't stop {}: {error}", place.address())))?;
    }
    let probe = async || {
        let left = running.iter().find(|(place, _)| place.running().is_some());
        Ok(left.map_or(Probe::Done, |(place, pid)| {
            Probe::Pending(format!(
                "{} still runs, pid {}",
                place.address(),
                pid.as_raw_nonzero()
            ))
        }))
    };
    app.console
        .wait("Waiting for the servers to end", LIMIT, probe)
        .await?;
    for place in places {
        // Whatever it named is gone.
        let _ = fs::remove_file(place.dir.join(PID_FILE));
    }
    app.console
        .line("[OK] All servers have ended. Their data is kept.");
    Ok(())
}

/// Shows which nodes run, and the cluster that they form.
///
/// # Errors
///
/// There are none, or the cluster cannot be read.
pub async fn status(app: &mut App, dir: &Path) -> Result<(), Error> {
    let places = find_places(dir)?;
    let mut entry = None;
    for place in &places {
        let state = match place.running() {
            Some(pid) => {
                entry.get_or_insert(place.address());
                format!("running, pid {}", pid.as_raw_nonzero())
            }
            None => "not running".into(),
        };
        app.console.line(&format!("{}: {state}", place.address()));
    }
    if places.iter().any(sentinels::is_sentinel) {
        return sentinels::status(app, &places).await;
    }
    match entry {
        Some(entry) => verbs::check(app, &entry.to_string()).await,
        None => Ok(()),
    }
}

/// The given program, else the one that lies beside this one, else an installed one.
fn find_server(given: Option<&Path>) -> Result<PathBuf, Error> {
    if let Some(path) = given {
        return path
            .canonicalize()
            .map_err(|error| Error::file(path, &error));
    }
    let own = std::env::current_exe().ok();
    let beside = own.as_deref().and_then(Path::parent).map(Path::to_owned);
    let names = beside
        .iter()
        .flat_map(|dir| [dir.join("server"), dir.join("tern-server")]);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = std::env::split_paths(&path).map(|dir| dir.join("tern-server"));
    let mut found = names.chain(installed).filter(|path| path.is_file());
    found.next().ok_or_else(|| {
        let hint =
            "No server program beside this one or in PATH. Build it, or name it with --server.";
        Error::Local(hint.into())
    })
}

fn plan_places(args: &LocalArgs, count: u16) -> Result<Vec<Place>, Error> {
    fs::create_dir_all(&args.dir).map_err(|error| Error::file(&args.dir, &error))?;
    // The data of a trial is nothing to commit.
    let ignore = args.dir.join(".gitignore");
    fs::write(&ignore, "*\n").map_err(|error| Error::file(ignore, &error))?;
    let root = args
        .dir
        .canonicalize()
        .map_err(|error| Error::file(&args.dir, &error))?;
    let mut places = Vec::new();
    for index in 0..count {
        let port = args.port.checked_add(index).filter(|port| *port > 0);
        let fits = port.filter(|port| Address::new(HOST, *port).bus_port().is_some());
        let port = fits.ok_or_else(|| {
            Error::NoBusPort(format!(
                "{HOST}:{}",
                u32::from(args.port) + u32::from(index)
            ))
        })?;
        places.push(Place {
            port,
            dir: root.join(port.to_string()),
        });
    }
    Ok(places)
}

/// The folders that an earlier `up` made.
fn find_places(dir: &Path) -> Result<Vec<Place>, Error> {
    let entries = fs::read_dir(dir).map_err(|error| Error::file(dir, &error))?;
    let mut places: Vec<Place> = entries
        .filter_map(|entry| {
            let dir = entry.ok()?.path();
            let port = dir.file_name()?.to_str()?.parse().ok()?;
            dir.is_dir().then_some(Place { port, dir })
        })
        .collect();
    places.sort_by_key(|place| place.port);
    if places.is_empty() {
        return Err(Error::Local(format!(
            "There is no local cluster in {}",
            dir.display()
        )));
    }
    Ok(places)
}

fn require_free_ports(place: &Place) -> Result<(), Error> {
    let address = place.address();
    for port in [Some(address.port), address.bus_port()]
        .into_iter()
        .flatten()
    {
        if let Err(error) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            let reason = if error.kind() == io::ErrorKind::AddrInUse {
                "it is in use".into()
            } else {
                error.to_string()
            };
            return Err(Error::Local(format!(
                "Can't use port {port} for node {address}: {reason}"
            )));
        }
    }
    Ok(())
}

fn launch(program: &Path, place: &Place, arguments: &[&str]) -> Result<Child, Error> {
    fs::create_dir_all(&place.dir).map_err(|error| Error::file(&place.dir, &error))?;
    let log = place.dir.join(LOG_FILE);
    let opened = fs::OpenOptions::new().create(true).append(true).open(&log);
    let out = opened.map_err(|error| Error::file(&log, &error))?;
    let errors = out.try_clone().map_err(|error| Error::file(&log, &error))?;
    let child = Command::new(program)
        .args(arguments)
        .current_dir(&place.dir)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(errors)
        // An interrupt at the terminal is meant for this program, not for the servers.
        .process_group(0)
        .spawn()
        .map_err(|error| Error::file(program, &error))?;
    if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
        place.note(pid)?;
    }
    Ok(child)
}

/// The line that says which servers are started.
fn starting(idle: &[&Place], dir: &Path) -> String {
    let dir = dir.display();
    match idle {
        [only] => format!(">>> Starting 1 server on port {} in {dir}", only.port),
        [first, .., last] => format!(
            ">>> Starting {} servers on ports {}-{} in {dir}",
            idle.len(),
            first.port,
            last.port
        ),
        [] => format!(">>> All servers in {dir} run already"),
    }
}

async fn await_answers(
    app: &mut App,
    places: &[Place],
    children: &mut [(Place, Child)],
) -> Result<(), Error> {
    let settings = app.settings.clone();
    let probe = async || {
        for (place, child) in children.iter_mut() {
            if let Ok(Some(status)) = child.try_wait() {
                let (address, log) = (place.address(), place.log_end());
                return Err(Error::Local(format!(
                    "The server {address} ended at once ({status}). Its log says:\n{log}"
                )));
            }
        }
        for place in places {
            if let Err(error) = open(&place.address(), &settings).await {
                return Ok(Probe::Pending(error.to_string()));
            }
        }
        Ok(Probe::Done)
    };
    app.console
        .wait("Waiting for the servers to answer", LIMIT, probe)
        .await
}

/// Creates the cluster, or, where the nodes know each other from before, waits until it serves.
async fn form(app: &mut App, places: &[Place], replicas: usize) -> Result<(), Error> {
    let addresses: Vec<String> = places
        .iter()
        .map(|place| place.address().to_string())
        .collect();
    let Some(first) = places.first().map(Place::address) else {
        return Ok(());
    };
    let mut cluster = Cluster::load(&first, &app.settings, &mut app.console).await?;
    if cluster.snapshot.nodes.len() + cluster.snapshot.missing.len() == 1 {
        app.assume_yes = true;
        return verbs::create(app, &addresses, replicas).await;
    }
    app.console.line("*** The nodes form a cluster already");
    wait::until(&mut cluster, &mut app.console, Condition::Serving).await
}

/// When a process was started, in clock ticks since boot: with the pid it names one process only.
fn start_time(pid: Pid) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The second field is the program's name in parentheses and may hold anything.
    let fields = stat.rsplit_once(')')?.1;
    let state = fields.split_ascii_whitespace().next()?;
    if state == "Z" {
        return None;
    }
    fields.split_ascii_whitespace().nth(19).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_counted_as_people_do() {
        let place = |port| Place {
            port,
            dir: PathBuf::new(),
        };
        let (a, b) = (place(7000), place(7004));
        let dir = Path::new("d");
        assert_eq!(
            starting(&[&b], dir),
            ">>> Starting 1 server on port 7004 in d"
        );
        assert_eq!(
            starting(&[&a, &b], dir),
            ">>> Starting 2 servers on ports 7000-7004 in d"
        );
        assert_eq!(starting(&[], dir), ">>> All servers in d run already");
    }
}
