//! W1: a server is started, asked, and stopped; a second one on the same port is refused.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io::Write as _;
use std::net::TcpStream;
use std::path::Path;

use tern_tests::daemon::{Client, Daemon, PATIENCE, binary, free_port, run, wait_for, wait_until};

/// A daemonized server is no child of the test: it is told to end by its pid file.
struct Detached(String);

impl Drop for Detached {
    fn drop(&mut self) {
        let _ = run(Path::new("kill"), &["-KILL", &self.0], "");
    }
}

#[test]
fn w1_a_daemon_returns_to_the_prompt_and_a_second_one_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let port = free_port();
    let path = |name: &str| dir.path().join(name);
    let config = |number: u8| {
        let file = path(&format!("{number}.conf"));
        let text = format!(
            "daemonize yes\nsave 900 1\nbind 127.0.0.1\nport {port}\ndir {dir}\npidfile {dir}/{number}.pid\nlogfile {dir}/{number}.log\n",
            dir = dir.path().display()
        );
        std::fs::write(&file, text).unwrap();
        file.to_str().unwrap().to_owned()
    };
    let first = run(&binary("server"), &[&config(1)], "");
    assert_eq!(first.code, Some(0), "{}", first.out);
    let pid = wait_for("a pid file", PATIENCE, || {
        std::fs::read_to_string(path("1.pid"))
            .ok()?
            .trim()
            .parse::<u32>()
            .ok()
    });
    let server = Detached(pid.to_string());
    let mut client = wait_for("a connection", PATIENCE, || Client::try_new(port).ok());
    assert_eq!(client.text("PING"), "PONG");
    assert!(
        client
            .text("INFO server")
            .contains(&format!("process_id:{pid}\r\n"))
    );
    let log =
        |number: u8| std::fs::read_to_string(path(&format!("{number}.log"))).unwrap_or_default();
    assert!(log(1).contains("* Ready to accept connections tcp"));
    let data = format!(" * Data in {}: a crash costs", dir.path().display());
    assert!(log(1).contains(&data), "{}", log(1));
    assert!(
        log(1).contains(" Open to this machine only.\n"),
        "{}",
        log(1)
    );
    assert!(log(1).contains(&format!("PID: {pid}")), "{}", log(1));

    let second = run(&binary("server"), &[&config(2)], "");
    assert_ne!(second.code, Some(0), "{}", second.out);
    let reason = format!(
        "Failed listening on port {port}: Could not create server TCP listening socket 127.0.0.1:{port}: bind: Address already in use"
    );
    assert!(log(2).contains(&format!("# {reason}")), "{}", log(2));
    assert!(second.out.contains(&reason), "{}", second.out);
    assert_eq!(
        client.text("PING"),
        "PONG",
        "the first one is not disturbed"
    );

    assert_eq!(client.text("SET kept 1"), "OK");
    let _ = run(Path::new("kill"), &["-TERM", &server.0], "");
    wait_until("the pid file is removed", || !path("1.pid").exists());
    wait_until("the last line", || log(1).ends_with("bye bye...\n"));
    assert!(log(1).contains(&format!("\n{pid}:signal-handler (")));
    assert!(log(1).contains(") Received SIGTERM scheduling shutdown...\n"));
    // There is a save point, so the end saves.
    assert!(path("dump.rdb").exists());
}

#[test]
fn a_mistake_in_the_configuration_is_named_and_nothing_starts() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("bad.conf");
    std::fs::write(&file, "port 0\nno-such-thing 1\n").unwrap();
    let run = run(&binary("server"), &[file.to_str().unwrap()], "");
    assert_eq!(run.code, Some(1));
    assert_eq!(
        run.out,
        "\n*** FATAL CONFIG FILE ERROR (Version 0.1.0) ***\nReading the configuration file, at line 2\n\
         >>> 'no-such-thing 1'\nBad directive or wrong number of arguments\n"
    );
}

#[test]
fn what_stops_a_start_is_one_line_of_the_log() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    for (name, text) in [
        ("taken", "rename-command get SET\n"),
        ("gone", "rename-command get \"\"\nrename-command get x\n"),
        (
            "moved",
            "rename-command get got\nrename-command set get\nport 0\n",
        ),
    ] {
        std::fs::write(path(name), text).unwrap();
    }
    let nowhere = "# Configured to not listen anywhere, exiting.\n";
    for (arguments, text) in [
        (
            "/no/such.conf",
            "# Fatal error, can't open config file '/no/such.conf'\n",
        ),
        (
            "--dir /no/such",
            "# Can't chdir to '/no/such': No such file or directory\n",
        ),
        ("--port 0", nowhere),
        (&path("moved"), nowhere),
        (
            &path("taken"),
            "line 1\n>>> 'rename-command get SET'\nTarget command name already exists\n",
        ),
        (
            &path("gone"),
            "line 2\n>>> 'rename-command get x'\nNo such command in rename-command\n",
        ),
        (
            "--port 0 --unixsocket /no/such/socket",
            "# Opening Unix socket: bind: No such file or directory\n",
        ),
    ] {
        let words: Vec<&str> = arguments.split(' ').collect();
        let run = run(&binary("server"), &words, "");
        assert_eq!(run.code, Some(1), "{arguments:?}: {}", run.out);
        let times = run.out.matches(text).count();
        assert_eq!(times, 1, "{arguments:?}: {}", run.out);
    }
}

/// A server with a key in its dump, whose save at the end takes long: it holds much more by then.
fn server_in_a_long_last_save() -> Daemon {
    let server = Daemon::server("save 900 1");
    assert_eq!(server.text("SET kept 1"), "OK");
    assert_eq!(server.text("SAVE"), "OK");
    assert_eq!(server.text("DEBUG POPULATE 1000000 filler 200"), "OK");
    server.signal("TERM");
    wait_until("the last save begins", || {
        server.log().contains("Saving the final RDB snapshot")
    });
    server
}

/// Names of files beside the ones that a server was given and has to leave.
fn left_behind(server: &Daemon) -> Vec<String> {
    std::fs::read_dir(server.dir())
        .unwrap()
        .map(|file| file.unwrap().file_name().into_string().unwrap())
        .filter(|name| !["test.conf", "test.log", "dump.rdb"].contains(&name.as_str()))
        .collect()
}

#[test]
fn who_insists_does_not_wait_for_the_last_save() {
    let mut server = server_in_a_long_last_save();
    // SIGTERM is patient, however often it comes.
    server.signal("TERM");
    wait_until("the second one is heard", || {
        server.log().matches("Received SIGTERM scheduling").count() == 2
    });
    assert!(server.alive());
    let pid = server.pid();
    server.signal("INT");
    assert_eq!(server.ended().code(), Some(1));
    let log = server.log();
    assert!(
        log.lines().any(|line| {
            line.starts_with(&format!("{pid}:signal-handler ("))
                && line.ends_with(") You insist... exiting now.")
        }),
        "{log}"
    );
    assert!(!log.contains("Received SIGINT"), "{log}");
    assert_eq!(left_behind(&server), [""; 0]);
    server.start();
    assert_eq!(server.text("GET kept"), "1");
}

#[test]
fn who_insists_does_not_wait_for_a_script_and_no_child_leaves_its_file() {
    let mut server = Daemon::server("save 900 1\nlua-time-limit 1");
    assert_eq!(server.text("DEBUG POPULATE 500000"), "OK");
    assert_eq!(server.text("BGSAVE"), "Background saving started");
    let log = server.log();
    let (_, started) = log.split_once("Background saving started by pid ").unwrap();
    let child = started.lines().next().unwrap();
    let temporary = server.dir().join(format!("temp-{child}.rdb"));
    wait_until("the child saves", || temporary.exists());
    let _ = run(Path::new("kill"), &["-STOP", child], "");
    let mut busy = TcpStream::connect(server.address()).unwrap();
    // One that has written is not ended for a shutdown.
    busy.write_all(b"EVAL \"redis.call('SET', 'k', 'v') while true do end\" 0\r\n")
        .unwrap();
    wait_until("the script runs", || {
        server.text("PING").starts_with("BUSY")
    });
    server.signal("INT");
    wait_until("it is heard", || {
        let log = server.log();
        log.contains("Received SIGINT scheduling shutdown...")
    });
    assert!(server.alive());
    server.signal("INT");
    assert_eq!(server.ended().code(), Some(1));
    assert_eq!(left_behind(&server), [""; 0]);
}

#[test]
fn a_server_that_could_not_save_goes_on_and_ends_when_it_can() {
    let mut server = Daemon::server("save 900 1");
    assert_eq!(server.text("SET kept 1"), "OK");
    let in_the_way = server.dir().join(format!("temp-{}.rdb", server.pid()));
    std::fs::create_dir(&in_the_way).unwrap();
    server.signal("INT");
    wait_until("it gives up", || {
        server
            .log()
            .contains("# SIGTERM received but errors trying to shut down the server")
    });
    assert_eq!(server.text("PING"), "PONG");
    std::fs::remove_dir(&in_the_way).unwrap();
    // That one was the first again.
    server.signal("INT");
    assert_eq!(server.ended().code(), Some(0), "{}", server.log());
    assert!(server.dir().join("dump.rdb").exists());
}

#[test]
fn logs_for_programs_are_one_event_a_line() {
    let mut server = Daemon::server("log-format json\nlog-timestamp-format iso8601");
    let _ = server.call("CONFIG SET loglevel debug");
    server.stop();
    let log = server.log();
    assert!(log.lines().count() > 4, "{log}");
    for line in log.lines() {
        let event: serde_json::Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for field in ["pid", "role", "timestamp", "level", "message"] {
            assert!(event.get(field).is_some(), "{line}");
        }
        assert!(event["timestamp"].as_str().unwrap().contains('T'), "{line}");
    }
    assert!(log.contains("64 bit, standalone mode, Port: "), "{log}");
    assert!(log.contains(", PID: "), "scripts look for it: {log}");
    assert!(log.contains("SIGTERM"), "{log}");

    let master = Daemon::server("");
    let monitor = format!("sentinel monitor one 127.0.0.1 {} 1", master.port);
    let mut sentinel = Daemon::sentinel(&format!("log-format logfmt\n{monitor}"));
    sentinel.stop();
    let log = sentinel.log();
    assert!(log.contains(" message=\"+monitor master one "), "{log}");
    for line in log.lines() {
        let start = format!("pid={} role=sentinel timestamp=\"", sentinel_pid(line));
        assert!(line.starts_with(&start) && line.ends_with('"'), "{line}");
        assert_eq!(line.matches('"').count(), 4, "{line}");
    }
}

/// The process that wrote a line.
fn sentinel_pid(line: &str) -> u32 {
    let pid = line
        .strip_prefix("pid=")
        .and_then(|rest| rest.split(' ').next());
    pid.and_then(|pid| pid.parse().ok())
        .unwrap_or_else(|| panic!("{line}"))
}

#[test]
fn a_password_that_the_line_of_the_default_user_overrules_is_told() {
    let line = "user default on nopass ~* &* +@all";
    let told = "# WARNING requirepass has no effect: the line of the user default, in the configuration file or in aclfile, \
                lets everybody in WITHOUT a password.";
    for (password, warns) in [("requirepass secret\n", true), ("", false)] {
        let server = Daemon::server(&format!("{password}{line}"));
        assert_eq!(server.text("PING"), "PONG");
        assert_eq!(server.log().contains(told), warns, "{}", server.log());
    }
}
