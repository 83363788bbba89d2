//! Writes that are answered once replicas have them, and writers that are slowed while a replica makes its copy.

use conf::{ServerConfig, WriteAcknowledge};
use engine::{Action, ClientId, Now};

use crate::harness::{Server, peer, request, taken};
use crate::replicas::attach;

fn config(write_acknowledge: WriteAcknowledge) -> ServerConfig {
    ServerConfig {
        repl_diskless_sync: false,
        write_acknowledge,
        ..ServerConfig::default()
    }
}

/// Where the stream stands, asked by somebody who waits for nothing.
fn offset(server: &mut Server) -> u64 {
    let id = server.engine.accept(peer()).expect("room");
    let info = server.run(id, &["INFO", "replication"]);
    server.engine.close(id);
    let value = info
        .lines()
        .find_map(|line| line.strip_prefix("master_repl_offset:"));
    value.expect("a field").trim().parse().expect("a number")
}

fn acknowledge(server: &mut Server, replica: ClientId, offset: u64) {
    let words = ["REPLCONF", "ACK", &offset.to_string()];
    server.engine.receive(replica, &request(&words));
    server.engine.end_turn();
}

/// A primary and so many replicas that have everything.
fn group(level: WriteAcknowledge, replicas: u16) -> (Server, Vec<ClientId>) {
    let mut server = Server::with(config(level));
    let ids: Vec<ClientId> = (0..replicas)
        .map(|number| attach(&mut server, 7001 + number))
        .collect();
    let at = offset(&mut server);
    for &id in &ids {
        acknowledge(&mut server, id, at);
    }
    (server, ids)
}

fn send(server: &mut Server, id: ClientId, requests: &[&[&str]]) {
    let bytes: Vec<Vec<u8>> = requests.iter().map(|words| request(words)).collect();
    server.engine.receive(id, &bytes.concat());
    server.engine.end_turn();
}

pub(crate) fn closed(server: &mut Server, client: ClientId) -> bool {
    let mut actions = std::iter::from_fn(|| server.engine.poll_action());
    actions.any(
        |action| matches!(action, Action::CloseClient { id, after_reply: false } if id == client),
    )
}

#[test]
fn a_write_is_answered_once_so_many_replicas_have_it() {
    for (level, wanted) in [
        (WriteAcknowledge::None, 0),
        (WriteAcknowledge::One, 1),
        (WriteAcknowledge::Majority, 2),
        (WriteAcknowledge::All, 3),
    ] {
        let (mut server, replicas) = group(level, 3);
        let a = server.a;
        send(&mut server, a, &[&["SET", "k", "v"]]);
        let at = offset(&mut server);
        for (count, &replica) in replicas.iter().enumerate() {
            let there = taken(&mut server.engine, a);
            assert_eq!(there.is_empty(), count != wanted, "{level:?} {count}");
            // One that has not got so far does not count.
            acknowledge(&mut server, replica, at.saturating_sub(60));
            assert_eq!(taken(&mut server.engine, a), "");
            acknowledge(&mut server, replica, at);
        }
        let last = taken(&mut server.engine, a);
        assert_eq!(last, if wanted == 3 { "+OK\r\n" } else { "" });
    }
}

#[test]
fn replies_keep_their_order_and_reads_that_follow_no_write_wait_for_nobody() {
    let (mut server, replicas) = group(WriteAcknowledge::One, 1);
    let (a, b) = (server.a, server.b);
    send(
        &mut server,
        a,
        &[&["GET", "x"], &["SET", "k", "1"], &["GET", "k"]],
    );
    let first = offset(&mut server);
    send(&mut server, a, &[&["PING"]]);
    send(&mut server, a, &[&["INCR", "k"], &["WAIT", "0", "0"]]);
    assert_eq!(taken(&mut server.engine, a), "");
    assert_eq!(server.run(b, &["GET", "k"]), "$1\r\n2\r\n");
    acknowledge(&mut server, replicas[0], first);
    let answer = taken(&mut server.engine, a);
    assert_eq!(answer, "$-1\r\n+OK\r\n$1\r\n1\r\n+PONG\r\n");
    let all = offset(&mut server);
    acknowledge(&mut server, replicas[0], all);
    assert_eq!(taken(&mut server.engine, a), ":2\r\n:0\r\n");
    assert_eq!(server.run(a, &["PING"]), "+PONG\r\n");
}

#[test]
fn transactions_scripts_and_blocked_clients_wait_too() {
    let (mut server, replicas) = group(WriteAcknowledge::All, 1);
    let (a, b) = (server.a, server.b);
    send(&mut server, a, &[&["MULTI"], &["SET", "k", "1"], &["EXEC"]]);
    let script = "return redis.call('INCR', KEYS[1])";
    send(&mut server, a, &[&["EVAL", script, "1", "k"]]);
    send(&mut server, b, &[&["BLPOP", "list", "0"]]);
    send(&mut server, a, &[&["RPUSH", "list", "x"]]);
    assert_eq!(taken(&mut server.engine, a), "");
    assert_eq!(taken(&mut server.engine, b), "");
    let all = offset(&mut server);
    acknowledge(&mut server, replicas[0], all);
    assert_eq!(
        taken(&mut server.engine, a),
        "+OK\r\n+QUEUED\r\n*1\r\n+OK\r\n:2\r\n:1\r\n"
    );
    assert_eq!(
        taken(&mut server.engine, b),
        "*2\r\n$4\r\nlist\r\n$1\r\nx\r\n"
    );
}

#[test]
fn writes_are_refused_while_too_few_replicas_are_there() {
    let (mut server, replicas) = group(WriteAcknowledge::Majority, 3);
    let a = server.a;
    let refused = "-NOREPLICAS Not enough good replicas to write.\r\n";
    server.engine.close(replicas[0]);
    send(&mut server, a, &[&["SET", "k", "v"]]);
    assert_eq!(taken(&mut server.engine, a), "");
    // The group does not get smaller by what it has lost.
    server.engine.close(replicas[1]);
    send(&mut server, a, &[&["SET", "k", "v"]]);
    let at = offset(&mut server);
    acknowledge(&mut server, replicas[2], at);
    assert_eq!(taken(&mut server.engine, a), "", "two of the four have it");
    server.run(a, &["CONFIG", "SET", "write-acknowledge-replicas", "2"]);
    let at = offset(&mut server);
    acknowledge(&mut server, replicas[2], at);
    let answer = taken(&mut server.engine, a);
    assert_eq!(answer, format!("+OK\r\n{refused}+OK\r\n"));
    let mut alone = Server::with(config(WriteAcknowledge::Majority));
    let a = alone.a;
    assert_eq!(alone.run(a, &["SET", "k", "v"]), refused);
    assert_eq!(alone.run(a, &["GET", "k"]), "$-1\r\n");
}

#[test]
fn what_is_not_acknowledged_is_closed_without_a_reply() {
    let (mut server, _) = group(WriteAcknowledge::One, 1);
    let (a, b) = (server.a, server.b);
    send(&mut server, a, &[&["SET", "k", "v"]]);
    assert!(!closed(&mut server, a));
    server.run(b, &["REPLICAOF", "127.0.0.1", "7009"]);
    assert!(closed(&mut server, a));
    assert_eq!(taken(&mut server.engine, a), "");

    let (mut server, replicas) = group(WriteAcknowledge::One, 1);
    let a = server.a;
    send(&mut server, a, &[&["SET", "k", "v"], &["QUIT"]]);
    assert!(server.engine.holds_replies(a), "it ends after its replies");
    for mono_ms in [30_000, 59_000, 62_000] {
        assert!(!closed(&mut server, a));
        server.set_now(Now {
            mono_ms,
            unix_us: 1_000_000_000_000 + mono_ms * 1000,
        });
        // It is there, and does not get any further.
        acknowledge(&mut server, replicas[0], 1);
        server.engine.tick();
    }
    assert!(closed(&mut server, a));
    assert!(!server.engine.holds_replies(a));
}

#[test]
fn wait_knows_what_a_majority_is() {
    let (mut server, replicas) = group(WriteAcknowledge::None, 3);
    let (a, b) = (server.a, server.b);
    send(
        &mut server,
        a,
        &[&["SET", "k", "v"], &["WAIT", "majority", "0"]],
    );
    send(
        &mut server,
        b,
        &[&["SET", "l", "v"], &["WAIT", "ALL", "50"]],
    );
    assert_eq!(taken(&mut server.engine, a), "+OK\r\n");
    assert_eq!(taken(&mut server.engine, b), "+OK\r\n");
    let at = offset(&mut server);
    acknowledge(&mut server, replicas[0], at);
    assert_eq!(taken(&mut server.engine, a), "");
    acknowledge(&mut server, replicas[1], at);
    assert_eq!(taken(&mut server.engine, a), ":2\r\n");
    server.set_now(Now {
        mono_ms: 1000,
        unix_us: 1_000_001_000_000,
    });
    server.engine.tick();
    assert_eq!(
        taken(&mut server.engine, b),
        "-NOREPLICAS The writes are on 2 replicas, 3 were asked for.\r\n"
    );
    assert_eq!(
        server.run(a, &["WAIT", "most", "0"]),
        "-ERR value is not an integer or out of range\r\n"
    );
}

#[test]
fn writers_are_slowed_while_a_replica_makes_its_copy() {
    const BOUND: usize = 1 << 20;
    let mut server = Server::with(ServerConfig {
        repl_backlog_size: 64 << 10,
        ..config(WriteAcknowledge::None)
    });
    let (a, b) = (server.a, server.b);
    let line = format!("replica {BOUND} {} 1", BOUND / 2);
    let set = server.run(a, &["CONFIG", "SET", "client-output-buffer-limit", &line]);
    assert_eq!(set, "+OK\r\n");
    let replica = server.engine.accept(peer()).expect("room");
    server.talk.child.set(Some(engine::ChildEnd::Done));
    server.run(
        replica,
        &["REPLCONF", "listening-port", "7001", "capa", "psync2"],
    );
    server.run(replica, &["PSYNC", "?", "-1"]);
    let value = "x".repeat(100_000);
    let mut written = 0;
    while server.run(a, &["SET", "k", &value]) == "+OK\r\n" {
        written += value.len();
        server.engine.end_turn();
        assert!(written <= BOUND, "nobody was slowed");
    }
    assert!(written >= BOUND / 2);
    assert_eq!(server.run(b, &["GET", "none"]), "$-1\r\n", "readers go on");
    // As time goes on a little may be written: at the bound a megabyte in a second, and it is there long before that.
    let mut went_on = 0;
    for tick in 1..=100_u64 {
        server.set_now(Now {
            mono_ms: tick * 100,
            unix_us: 1_000_000_000_000 + tick * 100_000,
        });
        server.engine.tick();
        server.engine.end_turn();
        if taken(&mut server.engine, a) == "+OK\r\n" {
            went_on += 1;
            server.engine.receive(a, &request(&["SET", "k", &value]));
        }
        if went_on == 3 {
            break;
        }
    }
    assert_eq!(went_on, 3);
    assert!(!closed(&mut server, replica), "it keeps its copy");
    // Once it has its copy and has caught up nobody is slowed any more.
    server.engine.look_after_child();
    server.engine.dump_sent(replica, true);
    let at = offset(&mut server);
    let sent = usize::try_from(at).expect("small");
    server.engine.stream_sent(replica, sent);
    acknowledge(&mut server, replica, at);
    taken(&mut server.engine, a);
    for _ in 0..3 {
        assert_eq!(server.run(a, &["SET", "k", "v"]), "+OK\r\n");
    }
}
