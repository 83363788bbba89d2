//! The admin lane: who comes by the admin port is served first, and gets in when nobody else does.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tern_tests::daemon::{Client, Daemon, PATIENCE, free_port, wait_until};

/// As many as `maxclients` allows.
const CLIENTS: usize = 50;

/// Keeps the server busy with pipelines of requests that cost it much and this machine's other core little.
fn load(port: u16, busy: &AtomicBool) {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // Each walks through a list and answers `:-1` or nil: 5 bytes.
    let requests = b"*3\r\n$4\r\nLPOS\r\n$4\r\nlist\r\n$4\r\nnone\r\n".repeat(16);
    let mut replies = [0; 5 * 16];
    while busy.load(Ordering::Relaxed) {
        stream.write_all(&requests).unwrap();
        stream.read_exact(&mut replies).unwrap();
    }
}

#[test]
fn an_operator_gets_in_when_the_server_is_busy_and_full() {
    let port = free_port();
    let server = Daemon::server(&format!("admin-port {port}\nmaxclients {CLIENTS}"));
    let mut client = server.client();
    for _ in 0..20 {
        let mut words: Vec<&[u8]> = vec![b"RPUSH", b"list"];
        words.resize(102, b"element");
        let _ = client.call_words(&words);
    }
    let busy = AtomicBool::new(true);
    std::thread::scope(|scope| {
        for _ in 1..CLIENTS {
            scope.spawn(|| load(server.port, &busy));
        }
        wait_until("no more clients are let in", || {
            client.text("CLIENT LIST").lines().count() == CLIENTS
        });
        let refused = Client::try_new(server.port).and_then(|mut one| one.try_call("PING"));
        assert!(refused.is_err() || refused.is_ok_and(|reply| reply.as_str() != Some("PONG")));
        let mut waits = Vec::new();
        for _ in 0..20 {
            let begin = Instant::now();
            let mut admin = Client::try_new(port).unwrap();
            assert_eq!(admin.text("PING"), "PONG");
            let connected = begin.elapsed();
            let again = Instant::now();
            assert_eq!(admin.text("PING"), "PONG");
            waits.push((again.elapsed(), connected));
        }
        waits.sort();
        busy.store(false, Ordering::Relaxed);
        // The machine that tests may itself be busy; half of them show what the server does.
        let (ping, connected) = waits[waits.len() / 2];
        assert!(ping < Duration::from_millis(50), "{waits:?}");
        assert!(connected < Duration::from_millis(150), "{waits:?}");
    });
    // Who left by the admin port is not counted either.
    let mut admin = Client::try_new(port).unwrap();
    assert_eq!(
        admin.text("CONFIG GET maxclients"),
        format!("maxclients\n{CLIENTS}")
    );
    assert_eq!(admin.text("SET a 1"), "OK");
    assert_eq!(server.text("GET a"), "1");
}

/// One read of a client may hold more work than an operator can wait for.
#[test]
fn an_operator_does_not_wait_for_the_end_of_a_long_pipeline() {
    const REQUESTS: usize = 500;
    let port = free_port();
    let server = Daemon::server(&format!("admin-port {port}"));
    let mut client = server.client();
    let mut words: Vec<&[u8]> = vec![b"RPUSH", b"list"];
    words.resize(100_000, b"element");
    let _ = client.call_words(&words);
    let mut stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let requests = b"*3\r\n$4\r\nLPOS\r\n$4\r\nlist\r\n$4\r\nnone\r\n".repeat(REQUESTS);
    let mut admin = Client::try_new(port).unwrap();
    wait_until("the operator is answered in the middle", || {
        assert_eq!(admin.text("CONFIG RESETSTAT"), "OK");
        stream.write_all(&requests).unwrap();
        let ran = |admin: &mut Client| {
            let stats = admin.text("INFO commandstats");
            let calls = stats.split("cmdstat_lpos:calls=").nth(1)?;
            calls.split(',').next()?.parse::<usize>().ok()
        };
        wait_until("the first of them runs", || ran(&mut admin).is_some());
        let calls = ran(&mut admin).unwrap();
        stream.read_exact(&mut [0; 5 * REQUESTS]).unwrap();
        (1..REQUESTS).contains(&calls)
    });
}

#[test]
fn dangerous_commands_are_written_to_the_log_before_they_run() {
    let server = Daemon::server("audit-log dangerous\nacllog-max-len 10");
    let mut client = server.client();
    for line in [
        "SET key value",
        "CONFIG SET requirepass secret-word",
        "CONFIG SET requirepass ''",
        "ACL SETUSER app on >secret-word +@all -@admin ~*",
        "KEYS private-pattern",
        r#"EVAL "return redis.call('flushall')" 0"#,
        "MULTI",
        "BGREWRITEAOF",
        "EXEC",
        "AUTH app secret-word",
        "CLIENT LIST",
        "GET key",
    ] {
        let words = resp::args::split(line.as_bytes()).unwrap();
        let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
        let _ = client.call_words(&words);
    }
    let log = server.log();
    let lines: Vec<&str> = log
        .lines()
        .filter_map(|line| line.split_once("Audit: user ").map(|(_, line)| line))
        .map(|line| line.split_once(" in database 0 ").unwrap().1)
        .collect();
    assert_eq!(
        lines,
        [
            r#"run: "CONFIG" "SET" "requirepass" "(redacted)""#,
            r#"run: "CONFIG" "SET" "requirepass" "(redacted)""#,
            r#"run: "ACL" "SETUSER" "(redacted)" "(redacted)" "(redacted)" "(redacted)" "(redacted)" "(redacted)""#,
            r#"run: "keys""#,
            r#"run by a script: "flushall""#,
            r#"queued: "BGREWRITEAOF""#,
            r#"refused (NOPERM): "CLIENT" "LIST""#,
        ]
    );
    assert!(log.contains("Audit: user app at 127.0.0.1:"));
}
