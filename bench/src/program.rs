//! The programs compared: how they are found, started, told apart and ended.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

use crate::control::{Control, field_of};
use crate::machine;
use crate::tls::Tls;

/// How long a server may take until it answers. Most of it is for what it has to load.
const START: Duration = Duration::from_secs(300);

/// What a program is in the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The server that is measured.
    Ours,
    /// A server that it is compared with.
    Reference,
    /// The server that does nothing.
    Limit,
}

/// A program of the comparison.
#[derive(Debug, Clone)]
pub struct Program {
    /// What tables call it.
    pub name: String,
    /// What it calls itself, with its version.
    pub version: String,
    /// What it is in the comparison.
    pub role: Role,
    /// The file that is run.
    pub path: PathBuf,
}

/// How servers are started.
#[derive(Debug, Clone)]
pub struct Launcher {
    /// This program, which prepares a process for a server and then becomes the server.
    pub me: PathBuf,
    /// The servers' core.
    pub core: Option<usize>,
    /// The first port to try.
    pub port: Option<u16>,
    /// Servers are nodes of a cluster, each alone with all slots.
    pub cluster: bool,
    /// Servers speak TLS at a second port, where the load goes.
    pub tls: Option<Tls>,
}

/// A server that runs, until this is dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    address: SocketAddr,
    /// Where the load goes, if not there.
    tls: Option<(SocketAddr, Tls)>,
}

impl Launcher {
    /// Starts a server with its files in `dir` and waits until it answers.
    ///
    /// # Errors
    ///
    /// It does not start; its last words are part of the error.
    pub fn start(&self, program: &Program, dir: &Path, more: &[String]) -> Result<Running> {
        let port = self.free_port(None)?;
        let log = dir.join("log");
        let tls = self.tls.as_ref().filter(|_| program.role != Role::Limit);
        let tls = tls.map(|tls| Ok::<_, anyhow::Error>((self.free_port(Some(port))?, tls)));
        let tls = tls.transpose()?;
        let mut command = Command::new(&self.me);
        command.args(["become", "--open-files", "100000"]);
        if let Some(core) = self.core {
            command.args(["--core", &core.to_string()]);
        }
        command.arg("--").arg(&program.path);
        if program.role == Role::Limit {
            command.args(["limit", &port.to_string()]);
        } else {
            let port = port.to_string();
            command.args(["--port", &port, "--bind", "127.0.0.1", "--save", ""]);
            command.arg("--dir").arg(dir).args(more);
            if self.cluster {
                command.args(["--cluster-enabled", "yes"]);
            }
            if let Some((port, tls)) = tls {
                command.args(tls.server_args(port));
            }
        }
        let child = command
            .stdin(Stdio::null())
            .stdout(File::create(&log)?)
            .stderr(File::options().append(true).open(&log)?)
            .spawn()
            .with_context(|| format!("starting {}", program.path.display()))?;
        let at = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let mut running = Running {
            child,
            address: at(port),
            tls: tls.map(|(port, tls)| (at(port), tls.clone())),
        };
        running.wait_until_it_answers().with_context(|| {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            let last = text.lines().rev().find(|line| !line.trim().is_empty());
            let last = last.unwrap_or("it said nothing");
            format!("{} does not start: {last}", program.path.display())
        })?;
        if self.cluster && program.role != Role::Limit {
            running.take_all_slots()?;
        }
        Ok(running)
    }

    /// Starts a server in a folder of its own.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_alone(&self, program: &Program, more: &[String]) -> Result<(Running, TempDir)> {
        let dir = TempDir::new()?;
        Ok((self.start(program, dir.path(), more)?, dir))
    }

    /// A free port that is not `taken`.
    fn free_port(&self, taken: Option<u16>) -> Result<u16> {
        let Some(first) = self.port else {
            // The port of the bus is 10000 above.
            let fits = |port: &u16| {
                Some(*port) != taken && (!self.cluster || port.checked_add(10_000).is_some())
            };
            let mut free = (0..100).map(|_| {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
                Ok::<u16, std::io::Error>(listener.local_addr()?.port())
            });
            let port = free.find(|port| port.as_ref().map_or(true, fits));
            return Ok(port.context("no free port with room for the bus")??);
        };
        let mut ports = first..first.saturating_add(100);
        ports
            .find(|&port| {
                Some(port) != taken && TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
            })
            .with_context(|| format!("no free port in the hundred from {first}"))
    }
}

impl Running {
    /// Gives a node all slots, and waits until it serves them.
    fn take_all_slots(&self) -> Result<()> {
        let mut control = self.control()?;
        let info = control.call(&["CLUSTER", "INFO"])?;
        if field_of(&info, "cluster_slots_assigned") == Some("0") {
            control.call(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"])?;
        }
        let end = Instant::now() + START;
        while field_of(&control.call(&["CLUSTER", "INFO"])?, "cluster_state") != Some("ok") {
            if Instant::now() > end {
                bail!("the node does not serve its slots");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the load goes, and by which TLS.
    #[must_use]
    pub fn door(&self) -> (SocketAddr, Option<&Tls>) {
        match &self.tls {
            Some((address, tls)) => (*address, Some(tls)),
            None => (self.address, None),
        }
    }

    /// Its process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A connection for questions.
    ///
    /// # Errors
    ///
    /// The server is gone.
    pub fn control(&self) -> Result<Control> {
        Control::connect(self.address)
    }

    /// The CPU time that it has used.
    ///
    /// # Errors
    ///
    /// The server is gone.
    pub fn cpu(&self) -> Result<Duration> {
        machine::cpu_time(self.pid())
    }

    /// Polled, each millisecond: a server that loads has no other sign of being done.
    fn wait_until_it_answers(&mut self) -> Result<()> {
        let deadline = Instant::now() + START;
        let mut heard = false;
        loop {
            if let Some(status) = self.child.try_wait()? {
                bail!("it ended with {status}");
            }
            match Control::connect(self.address) {
                Ok(mut control) => {
                    heard = true;
                    // The limit says OK, a loading server that it loads.
                    if control.call(&["PING"]).is_ok() {
                        return Ok(());
                    }
                }
                Err(error) if heard => return Err(error),
                Err(_) => {}
            }
            if Instant::now() > deadline {
                bail!("it does not answer");
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Nothing of what it holds is wanted. What fails here has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Prepares this process for a server and becomes it: bound to a core, with as many open files as may be, and ended when the process
/// that started it ends, however that ends.
///
/// # Errors
///
/// Always, if it returns: the program cannot be run.
pub fn become_program(core: Option<usize>, open_files: u64, program: &[String]) -> Result<()> {
    use std::os::unix::process::CommandExt;

    nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL)?;
    if let Some(core) = core {
        machine::pin(core)?;
    }
    machine::raise_open_files(open_files)?;
    let (path, args) = program.split_first().context("no program given")?;
    let error = Command::new(path).args(args).exec();
    Err(error).with_context(|| path.clone())
}

/// Our server: the one given, else the one built beside this program.
///
/// # Errors
///
/// There is none; the error says how to build it.
pub fn find_ours(given: Option<&Path>, me: &Path) -> Result<PathBuf> {
    let beside = me.with_file_name("server");
    let path = given.map_or(beside, Path::to_owned);
    if !path.is_file() {
        bail!(
            "there is no server at {}; build it with: cargo build --release -p server",
            path.display()
        );
    }
    Ok(path.canonicalize()?)
}

/// Every server to compare with: those given, and those in PATH, each file once.
#[must_use]
pub fn find_references(given: &[PathBuf]) -> Vec<PathBuf> {
    let folders: Vec<PathBuf> = std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default();
    let in_path = ["redis-server", "valkey-server"]
        .into_iter()
        .filter_map(|name| {
            let mut places = folders.iter().map(|folder| folder.join(name));
            places.find(|path| path.is_file())
        });
    let mut seen = Vec::new();
    given
        .iter()
        .cloned()
        .chain(in_path)
        .filter(|path| {
            // One may be a link to the other. Run it by the name found: a server looks at its own name.
            let file = path.canonicalize().unwrap_or_else(|_| path.clone());
            let new = !seen.contains(&file);
            seen.push(file);
            new
        })
        .collect()
}

/// Names the programs in tables: in one word where that tells them apart, else with the version, else with a number too.
pub fn label(programs: &mut [Program]) {
    let versions: Vec<String> = programs.iter().map(|one| one.version.clone()).collect();
    let word = |version: &str| version.split(' ').next().unwrap_or_default().to_owned();
    for (index, program) in programs.iter_mut().enumerate() {
        let short = word(&program.version);
        let namesakes = versions.iter().filter(|other| word(other) == short).count();
        let twins = |twin: &&String| **twin == program.version;
        let earlier = versions[..index].iter().filter(twins).count();
        program.name = match (namesakes, earlier) {
            (1, _) => short,
            (_, 0) => program.version.clone(),
            (_, earlier) => format!("{} ({})", program.version, earlier + 1),
        };
    }
}

/// What a server calls itself, with its version, in the text of `INFO`.
#[must_use]
pub fn version_of(info: &str) -> String {
    let versions = [
        ("Tern", "tern_version"),
        ("Valkey", "valkey_version"),
        ("Redis", "redis_version"),
    ];
    versions
        .iter()
        .find_map(|(name, field)| Some(format!("{name} {}", field_of(info, field)?)))
        .unwrap_or_else(|| "unknown".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_told_apart_by_what_info_says() {
        assert_eq!(version_of("redis_version:7.0.15\r\n"), "Redis 7.0.15");
        assert_eq!(
            version_of("redis_version:3.0.7\r\ntern_version:0.1.0\r\n"),
            "Tern 0.1.0"
        );
        assert_eq!(
            version_of("redis_version:7.2.4\r\nvalkey_version:8.0.1\r\n"),
            "Valkey 8.0.1"
        );
        assert_eq!(version_of(""), "unknown");
    }

    #[test]
    fn names_are_as_long_as_they_must_be() {
        let program = |version: &str| Program {
            name: String::new(),
            version: version.to_owned(),
            role: Role::Reference,
            path: PathBuf::new(),
        };
        let versions = ["Tern 0.1.0", "Redis 3.0.7", "Redis 7.0.15", "Redis 7.0.15"];
        let mut programs = versions.map(program);
        label(&mut programs);
        let names = programs.map(|program| program.name);
        assert_eq!(
            names,
            ["Tern", "Redis 3.0.7", "Redis 7.0.15", "Redis 7.0.15 (2)"]
        );
    }

    #[test]
    fn a_server_that_is_not_there_is_told_how_to_be_built() {
        let error = find_ours(None, Path::new("/nowhere/tern-bench")).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("cargo build --release -p server")
        );
    }

    #[test]
    fn a_link_is_not_compared_twice() {
        let dir = TempDir::new().unwrap();
        let (file, link) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::write(&file, "").unwrap();
        std::os::unix::fs::symlink(&file, &link).unwrap();
        let found = find_references(&[file, link]);
        assert_eq!(
            found
                .iter()
                .filter(|path| path.starts_with(dir.path()))
                .count(),
            1
        );
    }
}
