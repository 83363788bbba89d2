//! What a primary does with its replicas: WAIT, WAITAOF, FAILOVER, and clients that can be sent to the primary.

use conf::{AppendFsync, ServerConfig};
use engine::{Action, ChildEnd, ClientId, LinkId, Now};

use crate::harness::{Server, peer, request, taken};

fn config() -> ServerConfig {
    ServerConfig {
        repl_diskless_sync: false,
        ..ServerConfig::default()
    }
}

/// So much later.
fn later(server: &mut Server, mono_ms: u64) {
    server.set_now(Now {
        mono_ms,
        unix_us: 1_000_000_000_000 + mono_ms * 1000,
    });
}

/// A replica that listens on a port, and reads the stream.
pub(crate) fn attach(server: &mut Server, port: u16) -> ClientId {
    attach_of(server, port, "9.1.0")
}

/// The same of one that tells its version.
fn attach_of(server: &mut Server, port: u16, version: &str) -> ClientId {
    let id = server.engine.accept(peer()).expect("room");
    let port = port.to_string();
    let words = [
        "listening-port",
        &port,
        "capa",
        "psync2",
        "version",
        version,
    ];
    server.run(id, &[&["REPLCONF"], &words[..]].concat());
    server.talk.child.set(Some(ChildEnd::Done));
    let answer = server.run(id, &["PSYNC", "?", "-1"]);
    assert!(answer.starts_with("+FULLRESYNC "), "{answer}");
    server.engine.look_after_child();
    server.engine.dump_sent(id, true);
    id
}

/// One that needs a copy, and whether it may be named another replica to copy from: what it is answered.
fn needs_copy(server: &mut Server, port: u16, takes_sibling: bool) -> (ClientId, String) {
    let id = server.engine.accept(peer()).expect("room");
    let port = port.to_string();
    let mut words = vec!["REPLCONF", "listening-port", &port, "capa", "psync2"];
    if takes_sibling {
        words.extend(["capa", "copy-from-replica"]);
    }
    server.run(id, &words);
    (id, server.run(id, &["PSYNC", "?", "-1"]))
}

#[test]
fn replicas_that_have_the_data_are_named_in_turn_to_those_that_need_them() {
    let mut server = Server::with(config());
    // One that has not said how far it is may have nothing yet.
    let first = attach(&mut server, 7001);
    server.talk.child.set(Some(ChildEnd::Done));
    let (_, answer) = needs_copy(&mut server, 7009, true);
    assert!(answer.starts_with("+FULLRESYNC "), "{answer}");
    server.engine.look_after_child();
    let second = attach(&mut server, 7002);
    let offset = field(&mut server, "master_repl_offset");
    for id in [first, second] {
        server.run(id, &["REPLCONF", "ACK", &offset]);
    }
    let full = |server: &mut Server| {
        let a = server.a;
        let stats = server.run(a, &["INFO", "stats"]);
        stats.contains("sync_full:3\r\n")
    };
    assert!(full(&mut server));
    for named in ["7001", "7002", "7001"] {
        let (id, answer) = needs_copy(&mut server, 7003, true);
        assert_eq!(answer, format!("+COPYFROM 127.0.0.1 {named}\r\n"));
        server.engine.close(id);
    }
    // Nobody copies from itself.
    let (_, answer) = needs_copy(&mut server, 7002, true);
    assert_eq!(answer, "+COPYFROM 127.0.0.1 7001\r\n");
    assert!(full(&mut server));
    server.talk.child.set(Some(ChildEnd::Done));
    let (_, answer) = needs_copy(&mut server, 7004, false);
    assert!(answer.starts_with("+FULLRESYNC "), "{answer}");
}

#[test]
fn no_more_copies_are_sent_at_a_time_than_may_be_and_the_others_wait_in_line() {
    let mut server = Server::with(ServerConfig {
        repl_max_copies: 1,
        ..config()
    });
    let states = |server: &mut Server| -> Vec<String> {
        let id = server.b;
        let info = server.run(id, &["INFO", "replication"]);
        let lines = info.lines().filter(|line| line.contains(",state="));
        let after = |line: &str, name: &str| {
            let rest = line.split_once(name)?.1;
            Some(rest.split(',').next()?.to_owned())
        };
        let state = |line| {
            let place = after(line, ",place=").unwrap_or_default();
            format!("{}{place}", after(line, ",state=").unwrap_or_default())
        };
        lines.map(state).collect()
    };
    server.talk.child.set(Some(ChildEnd::Done));
    let copies = [7001, 7002, 7003].map(|port| needs_copy(&mut server, port, false).0);
    assert_eq!(
        states(&mut server),
        ["wait_bgsave", "wait_bgsave1", "wait_bgsave2"]
    );
    server.engine.look_after_child();
    assert_eq!(
        states(&mut server),
        ["send_bulk", "wait_bgsave1", "wait_bgsave2"]
    );
    server.talk.child.set(Some(ChildEnd::Done));
    server.engine.dump_sent(copies[0], true);
    assert_eq!(
        states(&mut server),
        ["online", "wait_bgsave", "wait_bgsave1"]
    );
    server.engine.look_after_child();
    server.engine.close(copies[1]);
    server.talk.child.set(Some(ChildEnd::Done));
    later(&mut server, 4000);
    server.engine.tick();
    assert_eq!(states(&mut server), ["online", "wait_bgsave"]);
}

/// A field of INFO replication.
pub(crate) fn field(server: &mut Server, name: &str) -> String {
    let id = server.b;
    let info = server.run(id, &["INFO", "replication"]);
    let value = info
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    value.expect("a field").trim().to_owned()
}

fn offset(server: &mut Server) -> u64 {
    let offset = field(server, "master_repl_offset");
    offset.parse().expect("a number")
}

fn acknowledge(server: &mut Server, replica: ClientId, more: &[&str]) {
    let offset = offset(server).to_string();
    let words = [&["REPLCONF", "ACK", &offset], more].concat();
    server.engine.receive(replica, &request(&words));
    server.engine.end_turn();
}

fn state(server: &mut Server) -> String {
    field(server, "master_failover_state")
}

/// The engine that keeps an append-only file.
fn keeping(policy: AppendFsync) -> Server {
    let mut server = Server::with(ServerConfig {
        appendonly: true,
        appendfsync: policy,
        ..config()
    });
    server.engine.start_append_only(0).expect("a file");
    server
}

#[test]
fn waitaof_waits_for_the_disk_of_this_server() {
    for policy in [AppendFsync::Always, AppendFsync::Everysec] {
        let mut server = keeping(policy);
        let a = server.a;
        // What was there before is brought to the disk.
        later(&mut server, 2000);
        server.engine.tick();
        later(&mut server, 2100);
        server.engine.tick();
        assert_eq!(server.run(a, &["SET", "k", "v"]), "+OK\r\n");
        assert_eq!(server.run(a, &["WAITAOF", "1", "0", "0"]), "", "{policy:?}");
        assert!(server.engine.flush_append_only());
        if policy == AppendFsync::Everysec {
            assert_eq!(taken(&mut server.engine, a), "");
            // The second is over, and then the sync.
            for mono_ms in [4000, 4100] {
                later(&mut server, mono_ms);
                server.engine.tick();
            }
        }
        assert_eq!(taken(&mut server.engine, a), "*2\r\n:1\r\n:0\r\n");
    }
}

#[test]
fn without_syncs_nothing_is_told_to_be_on_the_disk() {
    let mut server = keeping(AppendFsync::No);
    let a = server.a;
    server.run(a, &["SET", "k", "v"]);
    assert_eq!(server.run(a, &["WAITAOF", "1", "0", "50"]), "");
    assert!(server.engine.flush_append_only());
    later(&mut server, 100);
    server.engine.tick();
    assert_eq!(taken(&mut server.engine, a), "*2\r\n:0\r\n:0\r\n");
}

#[test]
fn waitaof_counts_the_replicas_that_have_it_on_the_disk() {
    let mut server = Server::with(config());
    let a = server.a;
    let replica = attach(&mut server, 7001);
    server.run(a, &["SET", "k", "v"]);
    let refused = "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.";
    let answer = server.run(a, &["WAITAOF", "1", "1", "0"]);
    assert_eq!(answer, format!("{refused}\r\n"));
    assert_eq!(server.run(a, &["WAITAOF", "0", "1", "0"]), "");
    // It has applied it, and keeps no file; then it does, and has a part of it; then all.
    acknowledge(&mut server, replica, &[]);
    acknowledge(&mut server, replica, &["FACK", "3"]);
    assert_eq!(taken(&mut server.engine, a), "");
    let all = offset(&mut server).to_string();
    acknowledge(&mut server, replica, &["FACK", &all]);
    assert_eq!(taken(&mut server.engine, a), "*2\r\n:0\r\n:1\r\n");
}

#[test]
fn waitaof_reads_its_words() {
    let mut server = Server::new();
    let a = server.a;
    for (words, answer) in [
        (
            ["2", "0", "0"],
            "-ERR value is out of range, value must between 0 and 1",
        ),
        (
            ["0", "-1", "0"],
            "-ERR value is out of range, must be positive",
        ),
        (
            ["0", "x", "x"],
            "-ERR value is out of range, must be positive",
        ),
        (["0", "0", "-1"], "-ERR timeout is negative"),
        (
            ["0", "0", "9223372036854775807"],
            "-ERR timeout is out of range",
        ),
        (
            ["0", "0", "x"],
            "-ERR timeout is not an integer or out of range",
        ),
    ] {
        let [local, replicas, timeout] = words;
        let got = server.run(a, &["WAITAOF", local, replicas, timeout]);
        assert_eq!(got, format!("{answer}\r\n"));
    }
}

/// The link that was asked for since the last call, and where to.
fn opened(server: &mut Server) -> Option<(LinkId, String, u16)> {
    std::iter::from_fn(|| server.engine.poll_action())
        .filter_map(|action| match action {
            Action::OpenLink { link, host, port } => Some((link, host, port)),
            _ => None,
        })
        .last()
}

/// A primary with one replica, while a write waits for the end of a failover; and the link to the replica.
fn handing_over() -> (Server, LinkId) {
    let mut server = Server::with(config());
    let (a, b) = (server.a, server.b);
    let replica = attach(&mut server, 7001);
    server.run(a, &["SET", "k", "1"]);
    let answer = server.run(b, &["FAILOVER", "TO", "127.0.0.1", "7001"]);
    assert_eq!(answer, "+OK\r\n");
    assert_eq!(state(&mut server), "waiting-for-sync");
    assert_eq!(server.run(a, &["SET", "k", "2"]), "");
    assert_eq!(server.run(b, &["GET", "k"]), "$1\r\n1\r\n");
    later(&mut server, 100);
    server.engine.tick();
    assert_eq!(state(&mut server), "waiting-for-sync");
    acknowledge(&mut server, replica, &[]);
    assert_eq!(state(&mut server), "failover-in-progress", "at once");
    let (link, host, port) = opened(&mut server).expect("a link");
    assert_eq!((host.as_str(), port), ("127.0.0.1", 7001));
    server.engine.link_opened(link, Ok(()));
    server
        .engine
        .link_received(link, b"+PONG\r\n+OK\r\n+OK\r\n+OK\r\n");
    let sent: Vec<u8> = std::iter::from_fn(|| server.engine.poll_action())
        .filter_map(|action| match action {
            Action::SendLink { bytes, .. } => Some(bytes),
            _ => None,
        })
        .flatten()
        .collect();
    assert!(sent.ends_with(b"$8\r\nFAILOVER\r\n"));
    assert_eq!(taken(&mut server.engine, a), "");
    (server, link)
}

#[test]
fn a_failover_hands_the_place_over_once_the_replica_has_everything() {
    let (mut server, link) = handing_over();
    let a = server.a;
    server.engine.link_received(link, b"+CONTINUE\r\n");
    server.engine.end_turn();
    assert_eq!(state(&mut server), "no-failover");
    let answer = taken(&mut server.engine, a);
    assert!(answer.starts_with("-READONLY"), "{answer}");
    assert!(server.engine.is_slave());
}

#[test]
fn a_pause_outlives_the_failover_in_it() {
    let (mut server, link) = handing_over();
    let (a, b) = (server.a, server.b);
    server.run(b, &["CLIENT", "PAUSE", "10000", "WRITE"]);
    server.engine.link_received(link, b"+CONTINUE\r\n");
    server.engine.end_turn();
    assert_eq!(state(&mut server), "no-failover");
    assert!(server.engine.is_slave());
    assert_eq!(taken(&mut server.engine, a), "");
    server.run(b, &["CLIENT", "UNPAUSE"]);
    server.engine.end_turn();
    assert!(taken(&mut server.engine, a).starts_with("-READONLY"));
}

#[test]
fn a_failover_that_is_rejected_leaves_the_primary_in_its_place() {
    let (mut server, link) = handing_over();
    let a = server.a;
    server.engine.link_received(link, b"-NOPERM no\r\n");
    server.engine.end_turn();
    assert_eq!(state(&mut server), "no-failover");
    assert_eq!(taken(&mut server.engine, a), "+OK\r\n");
    assert!(!server.engine.is_slave());
}

#[test]
fn a_failover_whose_time_is_over_is_given_up_or_forced() {
    for force in [false, true] {
        let mut server = Server::with(config());
        let (a, b) = (server.a, server.b);
        attach(&mut server, 7001);
        server.run(a, &["SET", "k", "1"]);
        let mut words = vec!["FAILOVER", "TO", "127.0.0.1", "7001", "TIMEOUT", "50"];
        words.extend(force.then_some("FORCE"));
        assert_eq!(server.run(b, &words), "+OK\r\n");
        assert_eq!(
            server.run(b, &["FAILOVER"]),
            "-ERR FAILOVER already in progress.\r\n"
        );
        assert_eq!(
            server.run(b, &["REPLICAOF", "127.0.0.1", "7002"]),
            "-ERR REPLICAOF not allowed while failing over.\r\n"
        );
        assert_eq!(server.run(a, &["SET", "k", "2"]), "");
        later(&mut server, 60);
        server.engine.tick();
        assert_eq!(server.engine.is_slave(), force);
        assert_eq!(opened(&mut server).is_some(), force);
        if force {
            // Nobody answers there.
            assert_eq!(server.run(b, &["FAILOVER", "ABORT"]), "+OK\r\n");
            server.engine.end_turn();
        }
        assert_eq!(state(&mut server), "no-failover");
        assert_eq!(taken(&mut server.engine, a), "+OK\r\n");
    }
}

#[test]
fn failover_is_refused_where_it_cannot_work() {
    let mut server = Server::with(config());
    let a = server.a;
    let fails = |server: &mut Server, words: &str, answer: &str| {
        let words: Vec<&str> = words.split(' ').collect();
        assert_eq!(server.run(a, &words), format!("-ERR {answer}\r\n"));
    };
    fails(
        &mut server,
        "FAILOVER",
        "FAILOVER requires connected replicas.",
    );
    fails(&mut server, "FAILOVER ABORT", "No failover in progress.");
    attach(&mut server, 7001);
    fails(&mut server, "FAILOVER SOON", "syntax error");
    fails(
        &mut server,
        "FAILOVER TIMEOUT 0",
        "FAILOVER timeout must be greater than 0",
    );
    fails(
        &mut server,
        "FAILOVER FORCE TIMEOUT 5",
        "FAILOVER with force option requires both a timeout and target HOST and IP.",
    );
    fails(
        &mut server,
        "FAILOVER TO 127.0.0.1 7002",
        "FAILOVER target HOST and PORT is not a replica.",
    );
    server.run(a, &["REPLICAOF", "127.0.0.1", "7002"]);
    fails(
        &mut server,
        "FAILOVER",
        "FAILOVER is not valid when server is a replica.",
    );
    fails(
        &mut server,
        "PSYNC 0000000000000000000000000000000000000000 1 FAILOVER",
        "PSYNC FAILOVER replid must match my replid.",
    );
}

#[test]
fn clients_that_can_be_sent_to_the_primary_are() {
    let mut server = Server::with(config());
    let (a, b) = (server.a, server.b);
    assert_eq!(server.run(a, &["CLIENT", "CAPA", "redirect"]), "+OK\r\n");
    for words in [&["MULTI"][..], &["SET", "k", "v"]] {
        server.run(a, words);
    }
    server.run(b, &["REPLICAOF", "127.0.0.1", "7002"]);
    let redirected = "-REDIRECT 127.0.0.1:7002\r\n";
    assert_eq!(server.run(a, &["EXEC"]), redirected);
    assert_eq!(server.run(a, &["GET", "k"]), redirected);
    assert_eq!(server.run(a, &["SET", "k", "v"]), redirected);
    assert_eq!(server.run(a, &["PING"]), "+PONG\r\n");
    server.run(a, &["READONLY"]);
    assert_eq!(server.run(a, &["GET", "k"]), "$-1\r\n");
    assert_eq!(server.run(a, &["SET", "k", "v"]), redirected);
    assert!(server.run(b, &["SET", "k", "v"]).starts_with("-READONLY"));
}

#[test]
fn a_client_that_waits_for_a_key_is_sent_to_the_new_primary() {
    let mut server = Server::with(config());
    let (a, b) = (server.a, server.b);
    let reader = server.engine.accept(peer()).expect("room");
    server.run(a, &["CLIENT", "CAPA", "redirect"]);
    server.run(reader, &["READONLY"]);
    assert_eq!(server.run(a, &["BLPOP", "l", "0"]), "");
    let read = ["XREAD", "BLOCK", "0", "STREAMS", "s", "0"];
    assert_eq!(server.run(reader, &read), "");
    server.run(b, &["REPLICAOF", "127.0.0.1", "7002"]);
    assert_eq!(taken(&mut server.engine, a), "-REDIRECT 127.0.0.1:7002\r\n");
    assert_eq!(taken(&mut server.engine, reader), "");
}

#[test]
fn wait_does_not_count_a_replica_that_has_not_loaded_its_dump() {
    let mut server = Server::with(config());
    let client = server.a;
    // Nobody listens yet: the write is in no stream, and its offset is 0.
    server.run(client, &["SET", "k", "v"]);
    let replica = attach(&mut server, 7001);
    assert_eq!(server.run(client, &["WAIT", "1", "0"]), "", "it waits");
    server.run(replica, &["REPLCONF", "ACK", "0"]);
    assert_eq!(taken(&mut server.engine, client), ":1\r\n");
}

#[test]
fn a_writable_replica_deletes_the_keys_that_its_clients_gave_a_time() {
    let mut server = Server::with(ServerConfig {
        slave_read_only: false,
        ..config()
    });
    let a = server.a;
    server.run(a, &["REPLICAOF", "127.0.0.1", "7002"]);
    server.run(a, &["SET", "k", "v", "PX", "50"]);
    server.run(a, &["SET", "kept", "v", "PX", "50"]);
    server.run(a, &["PERSIST", "kept"]);
    assert_eq!(server.run(a, &["DBSIZE"]), ":2\r\n");
    later(&mut server, 200);
    server.engine.tick();
    assert_eq!(server.run(a, &["DBSIZE"]), ":1\r\n");
    assert_eq!(server.run(a, &["GET", "kept"]), "$1\r\nv\r\n");
}

/// The link to the primary is made, and the primary goes on with the stream.
fn continue_stream(server: &mut Server, mono_ms: u64) -> LinkId {
    later(server, mono_ms);
    server.engine.tick();
    let (link, _, _) = opened(server).expect("a link");
    server.engine.link_opened(link, Ok(()));
    let greeting = b"+PONG\r\n+OK\r\n+OK\r\n+OK\r\n+CONTINUE\r\n";
    server.engine.link_received(link, greeting);
    server.engine.end_turn();
    link
}

#[test]
fn a_replica_that_was_a_primary_for_a_while_goes_on_in_the_database_of_the_stream() {
    let mut server = Server::with(config());
    let a = server.a;
    let replica = attach(&mut server, 7001);
    server.run(a, &["SELECT", "3"]);
    server.run(a, &["SET", "k", "1"]);
    server.engine.close(replica);
    for (mono_ms, value) in [(5000, "2"), (10_000, "3")] {
        server.engine.follow_nobody();
        server.run(a, &["REPLICAOF", "127.0.0.1", "7002"]);
        let link = continue_stream(&mut server, mono_ms);
        let write = request(&["SET", "k", value]);
        server.engine.link_received(link, &write);
        server.engine.end_turn();
        let got = server.run(a, &["GET", "k"]);
        assert_eq!(got, format!("$1\r\n{value}\r\n"));
    }
}

#[test]
fn slots_change_once_the_replicas_have_it() {
    let mut server = Server::with(ServerConfig {
        cluster_enabled: true,
        ..config()
    });
    server.engine.join_cluster(None, 1);
    let a = server.a;
    let stable = ["CLUSTER", "SETSLOT", "7", "STABLE", "TIMEOUT", "500"];
    assert_eq!(server.run(a, &stable), "+OK\r\n", "there is no replica");
    let replica = attach_of(&mut server, 7001, "0.0.0");
    assert_eq!(
        server.run(a, &stable),
        "+OK\r\n",
        "it does not follow slots"
    );
    server.engine.close(replica);
    let replica = attach(&mut server, 7001);
    let wrong = ["CLUSTER", "SETSLOT", "16384", "STABLE"];
    let answer = server.run(a, &wrong);
    assert_eq!(answer, "-ERR Invalid or out of range slot\r\n");
    assert_eq!(server.run(a, &stable), "", "it is not there yet");
    let stream = String::from_utf8_lossy(server.engine.stream(replica)).into_owned();
    assert!(stream.contains("STABLE\r\n"), "{stream}");
    acknowledge(&mut server, replica, &[]);
    assert_eq!(taken(&mut server.engine, a), "+OK\r\n");
    assert_eq!(server.run(a, &stable), "");
    later(&mut server, 600);
    server.engine.tick();
    let refused = "-NOREPLICAS Not enough good replicas to write.\r\n";
    assert_eq!(taken(&mut server.engine, a), refused);
    // A transaction does not wait.
    server.run(a, &["MULTI"]);
    server.run(a, &stable);
    assert_eq!(server.run(a, &["EXEC"]), "*1\r\n+OK\r\n");
}

#[test]
fn a_replica_that_comes_hears_times_as_they_are_though_nobody_did_before() {
    let mut server = Server::with(config());
    let a = server.a;
    let set = ["HSETEX", "h", "EX", "100", "FIELDS", "1", "f", "v"];
    assert_eq!(server.run(a, &set), ":1\r\n");
    let replica = attach(&mut server, 7001);
    server.run(a, &set);
    server.eval(&["redis.call('SET', 'k', 'v', 'EX', 100)", "0"]);
    server.engine.end_turn();
    let heard = String::from_utf8_lossy(server.engine.stream(replica)).into_owned();
    for words in [
        "HSETEX\r\n$1\r\nh\r\n$4\r\nPXAT\r\n",
        "SET\r\n$1\r\nk\r\n$1\r\nv\r\n$4\r\nPXAT\r\n",
    ] {
        assert!(heard.contains(words), "{heard}");
    }
}

#[test]
fn a_time_to_live_goes_out_as_the_time_of_its_end() {
    let mut server = Server::with(config());
    let a = server.a;
    let replica = attach(&mut server, 7001);
    for (line, told) in [
        ("SETEX k 10 v", "PXAT"),
        ("PSETEX k 10000 v", "PXAT"),
        ("SET k ex EX 10", "PXAT"),
        ("SET k px XX px 10000", "PXAT"),
        ("SET k v EXAT 2000000000", "PXAT"),
        ("EXPIRE k 10", "PEXPIREAT"),
        ("PEXPIRE k 10000", "PEXPIREAT"),
        ("EXPIREAT k 2000000000", "PEXPIREAT"),
        ("GETEX k EX 10", "PEXPIREAT"),
    ] {
        let before = server.engine.stream(replica).len();
        let words: Vec<&str> = line.split(' ').collect();
        let answer = server.run(a, &words);
        assert!(!answer.starts_with('-'), "{line}: {answer}");
        let heard = String::from_utf8_lossy(&server.engine.stream(replica)[before..]).into_owned();
        assert!(heard.contains(told), "{line}: {heard}");
        assert!(!heard.contains("\r\n10\r\n"), "{line}: {heard}");
    }
    let dump = server.run_bytes(a, &[b"DUMP", b"k"]);
    let payload = dump.splitn(2, |byte| *byte == b'\n').nth(1).unwrap();
    let payload = payload.strip_suffix(b"\r\n").unwrap();
    let answer = server.run_bytes(a, &[b"RESTORE", b"r", b"10000", payload]);
    assert_eq!(answer, b"+OK\r\n");
    let heard = String::from_utf8_lossy(server.engine.stream(replica)).into_owned();
    assert!(heard.ends_with("ABSTTL\r\n"), "{heard}");
}

#[test]
fn a_failover_whose_answer_was_lost_is_answered_again() {
    let mut server = Server::with(config());
    let a = server.a;
    let replica = attach(&mut server, 7001);
    server.run(a, &["SET", "k", "1"]);
    server.engine.close(replica);
    server.run(a, &["REPLICAOF", "127.0.0.1", "7002"]);
    continue_stream(&mut server, 2000);
    let id = field(&mut server, "master_replid");
    let from = offset(&mut server) + 1;
    let stranger = "f".repeat(40);
    for (stream, agrees) in [(&id, true), (&id, true), (&stranger, false)] {
        let primary = server.engine.accept(peer()).expect("room");
        server.run(primary, &["REPLCONF", "capa", "psync2"]);
        let from = from.to_string();
        let answer = server.run(primary, &["PSYNC", stream, &from, "FAILOVER"]);
        assert_eq!(answer.starts_with("+CONTINUE"), agrees, "{answer}");
        assert!(!server.engine.is_slave());
        server.engine.close(primary);
    }
}

/// Whether a client is to be closed, by what was asked for since the last call.
fn is_closed(server: &mut Server, who: ClientId) -> bool {
    let closes = |action: &Action| matches!(action, Action::CloseClient { id, .. } if *id == who);
    std::iter::from_fn(|| server.engine.poll_action()).any(|action| closes(&action))
}

#[test]
fn a_replica_that_wants_answers_is_cut_off() {
    for (words, ends) in [
        (&["REPLCONF", "ACK", "1"][..], false),
        (&["PSYNC", "?", "-1"], false),
        (&["PING"], true),
        (&["GET", "k"], true),
        (&["SET", "k", "2"], true),
        (&["NOTHING"], true),
    ] {
        let mut server = Server::with(config());
        let a = server.a;
        let replica = attach(&mut server, 7001);
        server.run(a, &["SET", "k", "1"]);
        assert!(!is_closed(&mut server, replica));
        assert_eq!(server.run(replica, words), "", "{words:?}");
        assert_eq!(is_closed(&mut server, replica), ends, "{words:?}");
        assert_eq!(server.run(a, &["GET", "k"]), "$1\r\n1\r\n");
    }
}

#[test]
fn an_offset_that_is_no_number_is_refused() {
    let mut server = Server::with(config());
    let a = server.a;
    let answer = server.run(a, &["PSYNC", "?", "x"]);
    assert_eq!(answer, "-ERR value is not an integer or out of range\r\n");
    assert_eq!(field(&mut server, "connected_slaves"), "0");
}

/// A replica that waits for the dump that the child saves.
fn waits_for_dump(server: &mut Server) -> ClientId {
    let id = server.engine.accept(peer()).expect("room");
    server.run(id, &["REPLCONF", "capa", "psync2", "version", "9.1.0"]);
    let answer = server.run(id, &["PSYNC", "?", "-1"]);
    assert!(answer.starts_with("+FULLRESYNC "), "{answer}");
    id
}

#[test]
fn a_dump_that_nobody_waits_for_any_more_is_not_saved() {
    for (saves, asked, killed) in [(false, false, 1), (true, false, 0), (false, true, 0)] {
        let mut server = Server::with(ServerConfig {
            repl_diskless_sync: false,
            ..ServerConfig::default()
        });
        let a = server.a;
        if !saves {
            server.run(a, &["CONFIG", "SET", "save", ""]);
        }
        let first = attach(&mut server, 7001);
        server.talk.child.set(Some(ChildEnd::Done));
        if asked {
            server.run(a, &["BGSAVE"]);
        }
        let replicas = [(); 2].map(|()| waits_for_dump(&mut server));
        server.engine.close(first);
        server.engine.close(replicas[0]);
        assert_eq!(server.talk.killed.get(), 0, "one waits still");
        server.engine.close(replicas[1]);
        assert_eq!(server.talk.killed.get(), killed);
    }
}

#[test]
fn nobody_waits_for_a_replica_that_has_nothing_to_catch_up_with() {
    for (writes, ends) in [(false, true), (true, false)] {
        let mut server = Server::with(config());
        let a = server.a;
        server.talk.child.set(Some(ChildEnd::Done));
        waits_for_dump(&mut server);
        if writes {
            server.run(a, &["SET", "k", "1"]);
        }
        server.run(a, &["SHUTDOWN", "NOSAVE"]);
        assert_eq!(server.engine.is_ending(), ends);
    }
}

#[test]
fn a_backup_is_not_put_off_for_replicas_that_may_come() {
    for (words, at_once) in [
        (&["REPLCONF", "capa", "eof", "rdb-only", "1"][..], true),
        (
            &["REPLCONF", "capa", "eof", "listening-port", "7001"],
            false,
        ),
    ] {
        let mut server = Server::with(ServerConfig {
            repl_diskless_sync: true,
            repl_diskless_sync_delay: 5,
            ..ServerConfig::default()
        });
        server.talk.child.set(Some(ChildEnd::Done));
        let id = server.engine.accept(peer()).expect("room");
        server.run(id, words);
        server.run(id, &["PSYNC", "?", "-1"]);
        assert_eq!(server.talk.forked.get(), at_once, "{words:?}");
    }
}

#[test]
fn what_a_replica_tells_of_itself_is_looked_at() {
    let mut server = Server::with(config());
    let a = server.a;
    let long = "a".repeat(300);
    for (option, value, reply) in [
        ("version", "9.1.2", "+OK"),
        ("version", "9.1", "-ERR Unrecognized version format: 9.1"),
        (
            "version",
            "9.1.256",
            "-ERR Unrecognized version format: 9.1.256",
        ),
        ("rdb-only", "1", "+OK"),
        (
            "rdb-only",
            "2",
            "-ERR value is out of range, value must between 0 and 1",
        ),
        (
            "ip-address",
            &long,
            "-ERR REPLCONF ip-address provided by replica instance is too long: 300 bytes",
        ),
    ] {
        let told = server.run(a, &["REPLCONF", option, value]);
        assert_eq!(told, format!("{reply}\r\n"));
    }
}

#[test]
fn the_stream_says_what_a_client_sent_in_the_shortest_numbers() {
    let mut server = Server::with(config());
    let replica = attach(&mut server, 7001);
    let a = server.a;
    server.run(a, &["SELECT", "2"]);
    server.run(a, &["SET", "before", "1"]);
    let sent = server.engine.stream(replica).len();
    server.engine.stream_sent(replica, sent);
    for bytes in [
        "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$10\r\n0123456789\r\n",
        "SET  'a'   b\r\n",
        "*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n",
        // Nothing is changed.
        "*3\r\n$4\r\nSREM\r\n$1\r\ns\r\n$1\r\nm\r\n",
        "*2\r\n$3\r\nGET\r\n$1\r\na\r\n",
        // Other words than these are told.
        "*3\r\n$11\r\nINCRBYFLOAT\r\n$1\r\nn\r\n$3\r\n1.5\r\n",
    ] {
        server.engine.receive(a, bytes.as_bytes());
    }
    let told = String::from_utf8_lossy(server.engine.stream(replica)).into_owned();
    assert_eq!(
        told,
        "*3\r\n$3\r\nSET\r\n$1\r\na\r\n$10\r\n0123456789\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\nb\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n\
         *4\r\n$3\r\nSET\r\n$1\r\nn\r\n$3\r\n2.5\r\n$7\r\nKEEPTTL\r\n"
    );
}

#[test]
fn the_stream_may_gather_unless_somebody_waits_for_a_replica() {
    let mut server = Server::with(config());
    let replica = attach(&mut server, 7001);
    let (a, b) = (server.a, server.b);
    let sent = server.engine.stream(replica).len();
    server.engine.stream_sent(replica, sent);
    assert_eq!(server.engine.unhurried_stream(a), None, "no replica");
    assert_eq!(server.engine.unhurried_stream(replica), Some(0));
    server.run(a, &["SET", "k", "v"]);
    let bytes = server.engine.stream(replica).len() as u64;
    assert_eq!(server.engine.unhurried_stream(replica), Some(bytes));
    server.run(a, &["WAIT", "1", "1000"]);
    assert_eq!(server.engine.unhurried_stream(replica), None, "WAIT waits");
    let offset = field(&mut server, "master_repl_offset");
    server.run(replica, &["REPLCONF", "ACK", &offset]);
    server.engine.end_turn();
    assert!(server.engine.unhurried_stream(replica).is_some());
    server.run(b, &["CONFIG", "SET", "write-acknowledge", "one"]);
    assert_eq!(server.engine.unhurried_stream(replica), None);
}
