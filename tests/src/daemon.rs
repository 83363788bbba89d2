//! Real binaries for the acceptance tests: where they are, how one is started, asked, killed and started again.
//!
//! A [`Daemon`] owns a directory, a port and a process. Its output goes to a file in that directory, and the end of it
//! is shown when the test that owns it fails. Dropping it kills the process and removes the directory.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "helpers of tests are tests"
)]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use client::{Connection, Value};
use tempfile::TempDir;

use crate::{files_below, root};

/// How long things may take that happen at once on an idle machine. A test that waits this long has failed.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// Between two looks at a condition.
pub(crate) const POLL: Duration = Duration::from_millis(20);

/// Lines of its log that a daemon shows when its test fails.
const LOG_TAIL: usize = 60;

/// One process, its directory and its port.
pub struct Daemon {
    /// How it is called in messages.
    pub name: String,
    /// The port it listens on.
    pub port: u16,
    program: PathBuf,
    dir: TempDir,
    child: Option<Child>,
}

impl Daemon {
    /// A server with these lines in its configuration file, ready for clients.
    #[must_use]
    pub fn server(config: &str) -> Self {
        Self::server_on(free_port(), config)
    }

    /// The same on a port that was chosen before.
    #[must_use]
    pub fn server_on(port: u16, config: &str) -> Self {
        let dir = TempDir::new().unwrap();
        let config = format!(
            "bind 127.0.0.1\nport {port}\ndir {}\nenable-debug-command yes\n{config}\n",
            dir.path().display()
        );
        let mut daemon = Self::prepare(binary("server"), port, dir, &config);
        daemon.start();
        daemon
    }

    /// A sentinel with these lines in its configuration file, ready for clients.
    #[must_use]
    pub fn sentinel(config: &str) -> Self {
        let port = free_port();
        let config = format!("bind 127.0.0.1\nport {port}\n{config}\n");
        let mut daemon = Self::prepare(binary("sentinel"), port, TempDir::new().unwrap(), &config);
        daemon.start();
        daemon
    }

    /// Any other program that takes a configuration file and speaks RESP.
    #[must_use]
    pub fn other(program: &str, config: &str) -> Self {
        let (port, dir) = (free_port(), TempDir::new().unwrap());
        let config = format!(
            "bind 127.0.0.1\nport {port}\ndir {}\nrepl-diskless-sync-delay 0\n{config}\n",
            dir.path().display()
        );
        let mut daemon = Self::prepare(PathBuf::from(program), port, dir, &config);
        daemon.start();
        daemon
    }

    fn prepare(program: PathBuf, port: u16, dir: TempDir, config: &str) -> Self {
        let name = format!("{}:{port}", program.file_name().unwrap().to_string_lossy());
        std::fs::write(dir.path().join("test.conf"), config).unwrap();
        Self {
            name,
            port,
            program,
            dir,
            child: None,
        }
    }

    /// Starts the process again in the same directory, on the same port, and waits until it answers.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    pub fn start(&mut self) {
        assert!(self.child.is_none(), "{} runs", self.name);
        let log = File::options()
            .create(true)
            .append(true)
            .open(self.log_path())
            .unwrap();
        let child = Command::new(&self.program)
            .arg(self.config_path())
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", self.program.display()));
        self.child = Some(child);
        let end = Instant::now() + PATIENCE;
        loop {
            // While it loads a big file it answers too, with an error.
            let answer = Client::try_new(self.port).and_then(|mut client| client.try_call("PING"));
            if answer.is_ok_and(|answer| answer.as_str() == Some("PONG")) {
                return;
            }
            if let Some(status) = self.child.as_mut().unwrap().try_wait().unwrap() {
                panic!("{} ended with {status}", self.name);
            }
            assert!(Instant::now() < end, "{} does not answer", self.name);
            std::thread::sleep(POLL);
        }
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        let Some(mut child) = self.child.take() else {
            return;
        };
        // It may have ended by itself; then it is waited for all the same.
        let _ = child.kill();
        child.wait().unwrap();
    }

    /// SIGTERM, and the end of the process.
    ///
    /// # Panics
    ///
    /// When it does not end.
    pub fn stop(&mut self) -> ExitStatus {
        self.signal("TERM");
        self.ended()
    }

    /// Waits for the process to end by itself.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub fn ended(&mut self) -> ExitStatus {
        let mut child = self.child.take().unwrap();
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = child.try_wait().unwrap() {
                return status;
            }
            if Instant::now() > end {
                let _ = child.kill();
                let _ = child.wait();
                panic!("{} does not end", self.name);
            }
            std::thread::sleep(POLL);
        }
    }

    /// Sends a signal by name, as `kill -NAME` does.
    pub fn signal(&self, name: &str) {
        let told = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.pid().to_string())
            .status();
        assert!(told.unwrap().success());
    }

    /// The id of the running process.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Whether the process still runs.
    pub fn alive(&mut self) -> bool {
        self.child
            .as_mut()
            .is_some_and(|child| child.try_wait().unwrap().is_none())
    }

    /// `127.0.0.1:port`
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its directory.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Its configuration file.
    #[must_use]
    pub fn config_path(&self) -> PathBuf {
        self.dir.path().join("test.conf")
    }

    /// Everything that it has said, over all its lives.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read(self.log_path())
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.dir.path().join("test.log")
    }

    /// A connection of its own.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::try_new(self.port).unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// One command, its words separated by blanks, on a connection of its own.
    #[must_use]
    pub fn call(&self, line: &str) -> Value {
        self.client().call(line)
    }

    /// The same, for replies that are text; errors too.
    #[must_use]
    pub fn text(&self, line: &str) -> String {
        text_of(&self.call(line))
    }

    /// The fields of a section of INFO.
    #[must_use]
    pub fn info(&self, section: &str) -> BTreeMap<String, String> {
        fields(&self.text(&format!("INFO {section}")))
    }

    /// One field of INFO; empty where it is missing.
    #[must_use]
    pub fn info_field(&self, section: &str, field: &str) -> String {
        self.info(section).remove(field).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = &lines[lines.len().saturating_sub(LOG_TAIL)..];
            eprintln!("---- end of the log of {}\n{}", self.name, tail.join("\n"));
        }
    }
}

/// A blocking connection. It drives the product's own asynchronous client.
pub struct Client {
    connection: Connection,
    runtime: tokio::runtime::Runtime,
}

impl Client {
    /// Connects to a port of this machine.
    ///
    /// # Errors
    ///
    /// Nobody listens there.
    pub fn try_new(port: u16) -> Result<Self, client::Error> {
        Self::try_by(port, None)
    }

    /// The same, and over TLS where it is said how.
    ///
    /// # Errors
    ///
    /// Nobody listens there, or believes us.
    pub fn try_by(port: u16, tls: Option<&tls::ClientSide>) -> Result<Self, client::Error> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let address = format!("127.0.0.1:{port}");
        let connection = runtime.block_on(Connection::connect_by(&address, PATIENCE, tls))?;
        Ok(Self {
            connection,
            runtime,
        })
    }

    /// One command, its words separated by blanks.
    ///
    /// # Errors
    ///
    /// The connection's; an error reply is a value.
    pub fn try_call(&mut self, line: &str) -> Result<Value, client::Error> {
        let words: Vec<&[u8]> = line.split_whitespace().map(str::as_bytes).collect();
        self.try_call_words(&words)
    }

    /// One command of any bytes.
    ///
    /// # Errors
    ///
    /// The connection's; an error reply is a value.
    pub fn try_call_words(&mut self, words: &[&[u8]]) -> Result<Value, client::Error> {
        let command = client::Command::new(words[0]).args(&words[1..]);
        self.runtime.block_on(self.connection.call(command))
    }

    /// One command, its words separated by blanks.
    ///
    /// # Panics
    ///
    /// When the connection fails; an error reply is a value.
    #[must_use]
    pub fn call(&mut self, line: &str) -> Value {
        self.try_call(line)
            .unwrap_or_else(|error| panic!("{line}: {error}"))
    }

    /// One command of any bytes.
    ///
    /// # Panics
    ///
    /// When the connection fails; an error reply is a value.
    #[must_use]
    pub fn call_words(&mut self, words: &[&[u8]]) -> Value {
        self.try_call_words(words)
            .unwrap_or_else(|error| panic!("{}: {error}", String::from_utf8_lossy(words[0])))
    }

    /// For replies that are text; errors too.
    #[must_use]
    pub fn text(&mut self, line: &str) -> String {
        text_of(&self.call(line))
    }

    /// The next message, for subscribers.
    ///
    /// # Panics
    ///
    /// When none comes.
    #[must_use]
    pub fn message(&mut self) -> Value {
        self.runtime
            .block_on(self.connection.recv())
            .unwrap_or_else(|error| panic!("a message: {error}"))
    }

    /// Waits for less than [`PATIENCE`] from now on.
    pub fn set_limit(&mut self, limit: Duration) {
        self.connection.set_limit(limit);
    }
}

/// A reply as a person reads it: `(nil)`, numbers as text, elements on lines.
#[must_use]
pub fn text_of(value: &Value) -> String {
    match value {
        Value::Status(text) | Value::Error(text) => text.clone(),
        Value::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Int(number) => number.to_string(),
        Value::Nil => "(nil)".to_owned(),
        Value::Array(elements) => elements.iter().map(text_of).collect::<Vec<_>>().join("\n"),
        resp3 => text_of(&resp3.clone().into_resp2()),
    }
}

/// `field:value` lines.
#[must_use]
pub fn fields(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.split_once(':'))
        .map(|(field, value)| (field.to_owned(), value.to_owned()))
        .collect()
}

/// Waits until something is found.
///
/// # Panics
///
/// When `limit` has passed; the message says what was waited for.
pub fn wait_for<T>(what: &str, limit: Duration, mut find: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(found) = find() {
            return found;
        }
        assert!(Instant::now() < end, "not within {limit:?}: {what}");
        std::thread::sleep(POLL);
    }
}

/// Waits until something holds, [`PATIENCE`] at most.
///
/// # Panics
///
/// When it does not; the message says what was waited for.
pub fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    wait_for(what, PATIENCE, || holds().then_some(()));
}

/// What a program said and how it ended.
#[derive(Debug)]
pub struct Run {
    /// The exit code; none after a signal.
    pub code: Option<i32>,
    /// Standard output, then standard error.
    pub out: String,
}

/// Runs `trib` to its end with this input.
#[must_use]
pub fn trib(arguments: &[&str], input: &str) -> Run {
    run(&binary("trib"), arguments, input)
}

/// Runs a program to its end, a minute at most.
///
/// # Panics
///
/// When it does not start or does not end.
#[must_use]
pub fn run(program: &Path, arguments: &[&str], input: &str) -> Run {
    let dir = TempDir::new().unwrap();
    let files = ["out", "err"].map(|name| dir.path().join(name));
    let mut child = Command::new(program)
        .args(arguments)
        .current_dir(dir.path())
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(File::create(&files[0]).unwrap())
        .stderr(File::create(&files[1]).unwrap())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}", program.display()));
    // A program that refuses its arguments does not read: that is no failure of the test.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let read = || files.each_ref().map(|file| std::fs::read(file).unwrap());
    let text = |parts: [Vec<u8>; 2]| String::from_utf8_lossy(&parts.concat()).into_owned();
    let end = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return Run {
                code: status.code(),
                out: text(read()),
            };
        }
        if Instant::now() > end {
            let _ = child.kill();
            let _ = child.wait();
            panic!("{arguments:?} does not end:\n{}", text(read()));
        }
        std::thread::sleep(POLL);
    }
}

/// A port that is free together with its bus port, 10000 above. Both lie below the range from which the system takes
/// the ports of outgoing connections, so that nobody gets them by chance before the daemon does.
///
/// # Panics
///
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 2_700;
    static NEXT: OnceLock<AtomicU16> = OnceLock::new();
    let next = NEXT.get_or_init(|| {
        // Test programs that run at the same time begin at different places.
        let start = std::process::id().wrapping_mul(97) % u32::from(COUNT);
        AtomicU16::new(u16::try_from(start).unwrap())
    });
    (0..COUNT)
        .map(|_| FIRST + next.fetch_add(1, Ordering::Relaxed) % COUNT)
        .find(|port| [*port, port + 10_000].iter().all(|port| is_free(*port)))
        .unwrap()
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(("127.0.0.1", port)).is_ok()
        && TcpStream::connect(("127.0.0.1", port)).is_err()
}

/// The path of one of the project's binaries.
#[must_use]
pub fn binary(name: &str) -> PathBuf {
    binaries().join(name)
}

/// Cargo builds binaries only for the tests of their own package. A run of the whole workspace has built them, then; where they are
/// missing, or older than a source, they are built here, with the profile of the test program, into the same target directory.
/// `TERN_BINARIES` names a directory of binaries to test instead, such as those of a package.
fn binaries() -> &'static Path {
    static DIR: OnceLock<PathBuf> = OnceLock::new();
    DIR.get_or_init(|| {
        if let Some(dir) = std::env::var_os("TERN_BINARIES") {
            return dir.into();
        }
        let test = std::env::current_exe().unwrap();
        // target/<profile>/deps/<test>
        let dir = test.ancestors().nth(2).unwrap().to_owned();
        if !are_current(&dir) {
            build(&dir);
        }
        dir
    })
}

const PROGRAMS: [&str; 3] = ["server", "sentinel", "trib"];

/// Whether no source has been changed since the programs were built.
fn are_current(dir: &Path) -> bool {
    let changed = |path: &Path| path.metadata().and_then(|about| about.modified());
    let built = PROGRAMS.iter().map(|name| changed(&dir.join(name)));
    let Ok(built) = built.collect::<Result<Vec<_>, _>>() else {
        return false;
    };
    let sources = ["crates", "bin"].map(|name| files_below(&root().join(name)));
    let others = ["Cargo.toml", "Cargo.lock"].map(|name| root().join(name));
    let mut all = sources.iter().flatten().chain(&others);
    all.all(|source| {
        let changed = changed(source).unwrap();
        built.iter().all(|built| *built > changed)
    })
}

fn build(dir: &Path) {
    let profile = match dir.file_name().unwrap().to_str().unwrap() {
        "debug" => "dev",
        other => other,
    };
    let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["build", "--quiet", "--profile", profile])
        .args(PROGRAMS.iter().flat_map(|name| ["-p", name]))
        .arg("--target-dir")
        .arg(dir.parent().unwrap())
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status();
    assert!(status.unwrap().success(), "the binaries do not build");
}

/// Whether a program can be found in PATH. Says loudly when not, so that a group that is skipped is seen.
#[must_use]
pub fn in_path(program: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()));
    if !found {
        // Past the capture of the test runner.
        let _ = writeln!(std::io::stderr().lock(), "skipped: no {program} in PATH");
    }
    found
}
