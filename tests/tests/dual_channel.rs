//! Full copies whose dump comes by a connection of its own (`dual-channel-replication-enabled`), between our servers and with Valkey.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tern_tests::daemon::{Client, Daemon, in_path, wait_for, wait_until};

const DUAL: &str = "save \"\"\ndual-channel-replication-enabled yes\nrepl-diskless-sync yes\nrepl-diskless-sync-delay 0";
const VALKEY: &str = "valkey-server";

fn server(program: Option<&str>, config: &str) -> Daemon {
    let config = format!("{DUAL}\n{config}");
    match program {
        Some(program) => Daemon::other(program, &config),
        None => Daemon::server(&config),
    }
}

/// A request that is answered well.
fn say(client: &mut Client, line: &str) {
    let answer = client.text(line);
    assert!(!answer.starts_with("ERR"), "{line}: {answer}");
}

/// Keys of several types, in two databases.
fn fill(master: &Daemon) {
    let mut client = master.client();
    for number in 0..300 {
        say(&mut client, &format!("SET key:{number} value:{number}"));
    }
    say(&mut client, "HSET hash a 1 b 2");
    say(&mut client, "SADD set a b c");
    say(&mut client, "XADD stream 1-1 a 1");
    say(&mut client, "SELECT 3");
    say(&mut client, "ZADD other 1 a 2 b");
}

fn follow(replica: &Daemon, master: &Daemon) {
    let line = format!("REPLICAOF 127.0.0.1 {}", master.port);
    assert_eq!(replica.text(&line), "OK");
}

fn wait_link(replica: &Daemon) {
    wait_until("the link is up", || {
        replica.info_field("replication", "master_link_status") == "up"
    });
}

/// The copy is under way, and the stream comes beside it.
fn wait_copy(master: &Daemon) {
    wait_until("a copy by two connections", || {
        let text = master.text("INFO replication");
        text.contains("type=rdb-channel") && text.contains("type=main-channel")
    });
}

/// A client that writes until it is told to stop; how often it has.
struct Writer {
    stop: Arc<AtomicBool>,
    thread: std::thread::JoinHandle<u64>,
}

impl Writer {
    fn start(master: &Daemon) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (mut client, told) = (master.client(), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut count = 0;
            while !told.load(Ordering::Relaxed) {
                say(&mut client, "SELECT 0");
                say(&mut client, "INCR counter");
                say(&mut client, "SELECT 3");
                say(&mut client, &format!("RPUSH list value:{count}"));
                count += 1;
            }
            count
        });
        Self { stop, thread }
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn assert_same(master: &Daemon, replica: &Daemon) {
    assert_eq!(master.text("WAIT 1 20000"), "1");
    let counts = |server: &Daemon| {
        let mut client = server.client();
        let first = client.text("DBSIZE");
        let counter = client.text("GET counter");
        say(&mut client, "SELECT 3");
        let list = client.text("LRANGE list 0 -1");
        (first, counter, client.text("DBSIZE"), list)
    };
    assert_eq!(counts(master), counts(replica));
    // Each writes it in its own way.
    if master.name == replica.name {
        assert_eq!(master.text("DEBUG DIGEST"), replica.text("DEBUG DIGEST"));
    }
}

/// A copy under load, from one to the other.
fn copies(master: Option<&str>, replica: Option<&str>, config: &str) {
    let master = server(master, config);
    fill(&master);
    say(&mut master.client(), "CONFIG SET rdb-key-save-delay 3000");
    let replica = server(replica, config);
    let writer = Writer::start(&master);
    follow(&replica, &master);
    wait_copy(&master);
    let text = master.text("INFO replication");
    assert!(text.contains("state=wait_bgsave") && text.contains("state=bg_transfer"));
    wait_until("what is kept of the stream", || {
        replica.info_field("replication", "replicas_repl_buffer_size") != "0"
    });
    assert_eq!(
        replica.info_field("replication", "master_sync_in_progress"),
        "1"
    );
    wait_link(&replica);
    assert!(writer.stop() > 0);
    wait_until("one connection is left", || {
        let text = master.text("INFO replication");
        text.contains("connected_slaves:1\r") && text.contains("state=online")
    });
    assert_same(&master, &replica);
    assert_eq!(
        master.info_field("replication", "replicas_waiting_psync"),
        "0"
    );
    let stats = master.info("stats");
    assert_eq!(
        (&stats["sync_full"][..], &stats["sync_partial_ok"][..]),
        ("1", "1")
    );
    assert_eq!(
        replica.info_field("replication", "replicas_repl_buffer_size"),
        "0"
    );
    // It knows where it is: the next link needs no copy.
    let link = connections(&master, "replconf").pop().unwrap();
    assert_eq!(master.text(&format!("CLIENT KILL ID {link}")), "1");
    wait_until("another link", || {
        master.info_field("stats", "sync_partial_ok") == "2"
    });
    assert_eq!(master.info_field("stats", "sync_full"), "1");
}

#[test]
fn ours_copies_from_ours() {
    copies(None, None, "");
}

#[test]
fn ours_copies_from_valkey() {
    if in_path(VALKEY) {
        copies(Some(VALKEY), None, "");
    }
}

#[test]
fn valkey_copies_from_ours() {
    if in_path(VALKEY) {
        copies(None, Some(VALKEY), "");
    }
}

#[test]
fn with_a_password_and_an_address_that_is_announced() {
    copies(
        None,
        None,
        "user copies on >secret ~* &* +@all\nmasteruser copies\nmasterauth secret\nreplica-announce-ip 127.0.0.9",
    );
}

#[test]
fn a_replica_keeps_no_more_than_its_limit_and_misses_nothing() {
    let master = server(None, "");
    fill(&master);
    say(&mut master.client(), "CONFIG SET rdb-key-save-delay 3000");
    let replica = server(None, "client-output-buffer-limit replica 20kb 0 0");
    follow(&replica, &master);
    wait_copy(&master);
    let value = "x".repeat(10_000);
    let mut client = master.client();
    for number in 0..100 {
        say(&mut client, &format!("SET long:{number} {value}"));
    }
    wait_until("the limit", || {
        replica
            .log()
            .contains("Replication buffer limit reached (20480 bytes), stopping buffering")
    });
    let most = replica.info_field("replication", "replicas_repl_buffer_peak");
    assert_eq!(most, "20480");
    wait_link(&replica);
    assert_same(&master, &replica);
}

/// The numbers of the connections that show this command.
fn connections(master: &Daemon, command: &str) -> Vec<String> {
    let list = master.text("CLIENT LIST");
    let shows = format!("cmd={command} ");
    let lines = list.lines().filter(|line| line.contains(&shows));
    let ids = lines.map(|line| line.split([' ', '=']).nth(1).unwrap().to_owned());
    ids.collect()
}

#[test]
fn a_copy_that_loses_either_connection_begins_anew() {
    for command in ["sync", "psync"] {
        let master = server(None, "");
        fill(&master);
        say(&mut master.client(), "CONFIG SET rdb-key-save-delay 20000");
        let replica = server(None, "");
        assert_eq!(replica.text("SET old 1"), "OK");
        follow(&replica, &master);
        wait_copy(&master);
        let id = wait_for("the connection", tern_tests::daemon::PATIENCE, || {
            connections(&master, command).pop()
        });
        say(&mut master.client(), "CONFIG SET rdb-key-save-delay 0");
        assert_eq!(master.text(&format!("CLIENT KILL ID {id}")), "1");
        wait_until("the copy is given up", || {
            replica.log().contains("Aborting dual channel sync")
                || replica
                    .log()
                    .contains("Provisional primary closed connection")
        });
        wait_link(&replica);
        assert_same(&master, &replica);
        assert_eq!(master.info_field("stats", "sync_full"), "2");
        assert_eq!(
            master.info_field("replication", "replicas_waiting_psync"),
            "0"
        );
    }
}

#[test]
fn a_replica_copies_from_a_replica() {
    let master = server(None, "");
    fill(&master);
    let first = server(None, "");
    follow(&first, &master);
    wait_link(&first);
    let writer = Writer::start(&master);
    let second = server(None, "");
    follow(&second, &first);
    wait_link(&second);
    assert!(
        second
            .log()
            .contains("Successfully streamed replication data into memory")
    );
    writer.stop();
    let offset = || master.info_field("replication", "master_repl_offset");
    wait_until("both have all", || {
        let there = offset();
        first.info_field("replication", "master_repl_offset") == there
            && second.info_field("replication", "master_repl_offset") == there
    });
    assert_eq!(master.text("DEBUG DIGEST"), first.text("DEBUG DIGEST"));
    assert_eq!(master.text("DEBUG DIGEST"), second.text("DEBUG DIGEST"));
}

#[test]
fn where_one_side_does_not_want_it_one_connection_does() {
    for (ours, theirs) in [("no", "yes"), ("yes", "no")] {
        let master = server(None, "");
        fill(&master);
        let replica = server(None, "");
        say(
            &mut master.client(),
            &format!("CONFIG SET dual-channel-replication-enabled {ours}"),
        );
        say(
            &mut replica.client(),
            &format!("CONFIG SET dual-channel-replication-enabled {theirs}"),
        );
        follow(&replica, &master);
        wait_link(&replica);
        assert_same(&master, &replica);
        let stats = master.info("stats");
        assert_eq!(
            (&stats["sync_full"][..], &stats["sync_partial_ok"][..]),
            ("1", "0")
        );
    }
}

#[test]
fn nobody_names_a_connection_that_brings_no_dump() {
    let master = server(None, "");
    let mut client = master.client();
    for number in ["1", "-1", "9223372036854775807"] {
        let answer = client.text(&format!("REPLCONF set-rdb-client-id {number}"));
        assert_eq!(answer, format!("ERR Unrecognized RDB client id {number}"));
    }
}
