//! The daemon as a process: how it starts, what it says, how it ends. What it decides is tested where it is decided.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// A sentinel that is killed when a test is over, whatever its outcome.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn sentinel(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sentinel"));
    command.args(arguments).stdin(Stdio::null());
    command
}

fn run(arguments: &[&str]) -> Output {
    sentinel(arguments).output().unwrap()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// Waits for something, ten seconds at most.
fn wait_for<T>(what: &str, mut holds: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = holds() {
            return found;
        }
        assert!(Instant::now() < end, "not within ten seconds: {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn connect(port: u16) -> TcpStream {
    let stream = wait_for("a connection", || {
        TcpStream::connect(("127.0.0.1", port)).ok()
    });
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream
}

/// Sends bytes, ends the sending side, and gives everything that comes back.
fn talk(port: u16, bytes: &[u8]) -> String {
    let mut stream = connect(port);
    stream.write_all(bytes).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).unwrap();
    String::from_utf8_lossy(&reply).into_owned()
}

fn write(path: &Path, text: &str) -> String {
    std::fs::write(path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Nobody listens on the master's port.
fn config(port: u16, more: &str) -> String {
    let master = free_port();
    format!("bind 127.0.0.1\nport {port}\n# mine\nsentinel monitor m 127.0.0.1 {master} 1\n{more}")
}

#[test]
fn a_wrong_start_is_a_clear_line_and_exit_code_1() {
    let dir = tempfile::tempdir().unwrap();
    let bad = write(
        &dir.path().join("bad.conf"),
        "port 1\nsentinel monitor m 127.0.0.1 0 1\n",
    );
    let nowhere = write(
        &dir.path().join("nowhere.conf"),
        "port 0\nsentinel monitor m 127.0.0.1 1 1\n",
    );
    let fatal = "\n*** FATAL CONFIG FILE ERROR (Version 0.1.0) ***\nReading the configuration file, at line 2\n\
        >>> 'sentinel monitor m 127.0.0.1 0 1'\nInvalid port number.\n";
    for (arguments, logged) in [
        (
            vec![],
            &["Sentinel started without a config file. Exiting..."][..],
        ),
        (
            vec!["--port", "1"],
            &["Sentinel started without a config file. Exiting..."],
        ),
        (
            vec!["-"],
            &[
                "Sentinel config from STDIN not allowed.",
                "Sentinel needs config file on disk to save state.  Exiting...",
            ],
        ),
        (
            vec!["/no/such.conf"],
            &["Fatal error, can't open config file '/no/such.conf'"],
        ),
        (
            vec![&nowhere],
            &["Configured to not listen anywhere, exiting."],
        ),
    ] {
        let output = run(&arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert_eq!(output.stderr, b"", "{arguments:?}");
        let log = String::from_utf8_lossy(&output.stdout).into_owned();
        let texts: Vec<&str> = log
            .lines()
            .map(|line| {
                let (prefix, text) = line.split_once(" # ").expect("a line of the log");
                assert!(prefix.contains(":X "), "{line}");
                text
            })
            .collect();
        assert_eq!(texts, logged, "{arguments:?}");
    }
    let output = run(&[&bad]);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&output.stderr), fatal);
    assert!(
        run(&["--version"])
            .stdout
            .starts_with(b"Redis server v=7.2.4 ")
    );
    assert!(run(&["--help"]).stdout.starts_with(b"Usage: sentinel "));
}

#[test]
fn a_port_in_use_is_told_even_by_a_daemon() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let path = write(&dir.path().join("s.conf"), &config(port, "daemonize yes\n"));
    let output = run(&[
        &path,
        "--logfile",
        dir.path().join("s.log").to_str().unwrap(),
    ]);
    assert_eq!(output.status.code(), Some(1));
    let expected = format!(
        "Failed listening on port {port}: Could not create server TCP listening socket 127.0.0.1:{port}: bind: Address already in use"
    );
    assert!(String::from_utf8_lossy(&output.stderr).contains(&expected));
    assert!(
        std::fs::read_to_string(dir.path().join("s.log"))
            .unwrap()
            .contains(&expected)
    );
}

#[test]
fn it_says_what_it_does_and_ends_in_good_order() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let path = write(&dir.path().join("s.conf"), &config(port, ""));
    let mut daemon = Daemon(sentinel(&[&path]).stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(daemon.0.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap);
    let pid = daemon.0.id();
    assert_eq!(
        talk(port, b"PING\r\n*1\r\n$4\r\nPING\r\nNOSUCH\r\n"),
        "+PONG\r\n+PONG\r\n-ERR unknown command 'NOSUCH', with args beginning with: \r\n"
    );
    assert_eq!(
        talk(port, b"*1\r\n$-5\r\n"),
        "-ERR Protocol error: invalid bulk length\r\n"
    );
    assert_eq!(
        talk(
            port,
            b"POST / HTTP/1.1\r\nHost: x\r\n\r\nSENTINEL REMOVE m\r\n"
        ),
        ""
    );
    assert_eq!(talk(port, b"SENTINEL FLUSHCONFIG\r\n"), "+OK\r\n");
    assert_eq!(talk(port, b"SHUTDOWN\r\n"), "");
    assert!(daemon.0.wait().unwrap().success());
    let log: Vec<String> = lines.by_ref().collect();
    let find = |text: &str| {
        log.iter()
            .position(|line| line.contains(text))
            .unwrap_or_else(|| panic!("{text}: {log:?}"))
    };
    let myid = &log[find("Sentinel ID is ")];
    assert!(
        myid.starts_with(&format!("{pid}:X "))
            && myid.len()
                == format!("{pid}:X 22 Nov 2026 06:54:20.045 * Sentinel ID is ").len() + 40
    );
    let order = [
        &format!("PID: {pid}"),
        "Sentinel ID is",
        "# +monitor master m 127.0.0.1",
        "SECURITY ATTACK",
        "# User requested shutdown...",
        "# Sentinel is now ready to exit, bye bye...",
    ]
    .map(find);
    assert!(order.is_sorted(), "{order:?}");
    let file = std::fs::read_to_string(&path).unwrap();
    assert!(
        file.starts_with(&format!(
            "bind 127.0.0.1\nport {port}\n# mine\nsentinel monitor m "
        )),
        "{file}"
    );
    assert!(file.ends_with("sentinel current-epoch 0\n"), "{file}");
}

#[test]
fn a_daemon_leaves_the_terminal_and_keeps_a_pid_file() {
    let dir = tempfile::tempdir().unwrap();
    let (port, pid_file, log) = (
        free_port(),
        dir.path().join("s.pid"),
        dir.path().join("s.log"),
    );
    let more = format!(
        "daemonize yes\npidfile {}\nlogfile {}\ndir /\n",
        pid_file.display(),
        log.display()
    );
    let path = write(&dir.path().join("s.conf"), &config(port, &more));
    assert!(run(&[&path]).status.success());
    let pid: u32 = wait_for("a pid file", || {
        std::fs::read_to_string(&pid_file).ok()?.trim().parse().ok()
    });
    assert_eq!(talk(port, b"PING\r\n"), "+PONG\r\n");
    let told = Command::new("kill").arg(pid.to_string()).status().unwrap();
    assert!(told.success());
    wait_for("the end", || (!pid_file.exists()).then_some(()));
    let log = wait_for("the last line", || {
        std::fs::read_to_string(&log)
            .ok()
            .filter(|log| log.ends_with("bye bye...\n"))
    });
    assert!(
        log.contains(&format!("{pid}:signal-handler ("))
            && log.contains(") Received SIGTERM scheduling shutdown...\n")
    );
    assert!(log.contains("* Removing the pid file.\n"));
}

#[test]
fn scripts_are_started_with_the_event() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let (port, out) = (free_port(), dir.path().join("out"));
    let script = write(
        &dir.path().join("notify.sh"),
        &format!("#!/bin/sh\necho \"$@\" >>{}\n", out.display()),
    );
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let more = format!(
        "sentinel notification-script m {script}\nsentinel down-after-milliseconds m 200\n"
    );
    let path = write(&dir.path().join("s.conf"), &config(port, &more));
    let _daemon = Daemon(sentinel(&[&path]).stdout(Stdio::null()).spawn().unwrap());
    let text = wait_for("+sdown", || {
        std::fs::read_to_string(&out)
            .ok()
            .filter(|text| text.contains("+sdown master m "))
    });
    assert!(text.contains("+monitor master m 127.0.0.1 "), "{text}");
    wait_for("an empty queue", || {
        (talk(port, b"SENTINEL PENDING-SCRIPTS\r\n") == "*0\r\n").then_some(())
    });
}

#[test]
fn users_are_kept_in_a_file_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let users = dir.path().join("users.acl");
    let path = write(&users, "user default on nopass ~* &* +@all\n");
    let port = free_port();
    let more = format!("aclfile {path}\n");
    let file = write(&dir.path().join("sentinel.conf"), &config(port, &more));
    let mut daemon = Daemon(sentinel(&[&file]).stdout(Stdio::null()).spawn().unwrap());
    let reply = talk(port, b"ACL SETUSER app on >secret +ping\r\nACL SAVE\r\n");
    assert_eq!(reply, "+OK\r\n+OK\r\n");
    let saved = std::fs::read_to_string(&users).unwrap();
    assert!(saved.starts_with("user app on #"), "{saved}");
    let other = saved.replace("user app", "user other");
    write(&users, &other);
    let reply = talk(
        port,
        b"ACL LOAD\r\nAUTH app secret\r\nAUTH other secret\r\nSENTINEL masters\r\n",
    );
    let refused = "+OK\r\n-WRONGPASS invalid username-password pair or user is disabled.\r\n+OK\r\n\
        -NOPERM User other has no permissions to run the 'sentinel|masters' command\r\n";
    assert_eq!(reply, refused);
    write(&users, "user app +nonsense\n");
    let reply = talk(port, b"ACL LOAD\r\n");
    assert!(
        reply.contains("+nonsense") && reply.contains("no change to the previously"),
        "{reply}"
    );
    daemon.0.kill().unwrap();
    daemon.0.wait().unwrap();
    // The users of its file are wrong: it does not start.
    let output = run(&[&file]);
    assert_eq!(output.status.code(), Some(1));
    let log = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        log.contains("Aborting startup because of ACL errors"),
        "{log}"
    );
}
