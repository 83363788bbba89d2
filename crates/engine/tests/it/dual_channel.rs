//! Copies whose dump goes over a connection of its own: what the primary keeps for them meanwhile, and for how long.

use conf::ServerConfig;
use engine::{ChildEnd, ClientId, Now};

use crate::harness::{Server, peer, request};
use crate::replicas::field;

/// A primary that keeps little of the stream for nobody in particular.
fn primary() -> Server {
    Server::with(ServerConfig {
        dual_channel_replication: true,
        repl_diskless_sync: true,
        repl_diskless_sync_delay: 0,
        repl_backlog_size: 16 * 1024,
        repl_throttle: false,
        ..ServerConfig::default()
    })
}

/// A replica whose dump is being sent.
struct Copy {
    first: ClientId,
    second: ClientId,
    /// How the second connection is named.
    number: String,
    stream: String,
}

fn begun(server: &mut Server) -> Copy {
    let first = server.engine.accept(peer()).expect("room");
    let second = server.engine.accept(peer()).expect("room");
    let words = "REPLCONF capa eof capa psync2 capa dual-channel";
    server.run(first, &words.split(' ').collect::<Vec<_>>());
    let answer = server.run(first, &["PSYNC", "?", "-1"]);
    assert_eq!(answer, "+DUALCHANNELSYNC\r\n");
    let words = "REPLCONF capa eof rdb-only 1 rdb-channel 1 listening-port 7 version 9.1.0";
    server.run(second, &words.split(' ').collect::<Vec<_>>());
    server.talk.child.set(Some(ChildEnd::Done));
    let answer = server.run(second, &["SYNC"]);
    let line = answer.strip_prefix("$ENDOFF:0 ").expect("a place");
    let words: Vec<&str> = line.trim().split(' ').collect();
    let [stream, "-1", number] = words[..] else {
        panic!("{line}");
    };
    Copy {
        first,
        second,
        number: number.to_owned(),
        stream: stream.to_owned(),
    }
}

/// The child has ended, and with it the second connection.
fn sent(server: &mut Server, copy: &Copy) {
    server.engine.look_after_child();
    server.engine.dump_sent(copy.second, true);
    server.engine.close(copy.second);
}

/// More is written than is kept for nobody.
fn write_much(server: &mut Server) {
    let value = "x".repeat(100_000);
    let a = server.a;
    assert_eq!(server.run(a, &["SET", "k", &value]), "+OK\r\n");
    server.engine.end_turn();
}

fn waiting(server: &mut Server) -> String {
    field(server, "replicas_waiting_psync")
}

fn names(server: &mut Server, copy: &Copy) -> String {
    let a = server.a;
    server.run(a, &["REPLCONF", "set-rdb-client-id", &copy.number])
}

#[test]
fn the_stream_behind_a_dump_is_kept_until_it_is_asked_for() {
    let mut server = primary();
    let copy = begun(&mut server);
    let shown = field(&mut server, "slave0");
    assert!(
        shown.contains("state=wait_bgsave") && shown.ends_with("type=rdb-channel"),
        "{shown}"
    );
    assert_eq!(waiting(&mut server), "1");
    write_much(&mut server);
    // It is not for the connection that the dump goes over.
    assert!(server.engine.stream(copy.second).is_empty());
    let words = ["REPLCONF", "set-rdb-client-id", &copy.number];
    assert_eq!(server.run(copy.first, &words), "+OK\r\n");
    let answer = server.run(copy.first, &["PSYNC", &copy.stream, "1"]);
    assert!(answer.starts_with("+CONTINUE "), "{answer}");
    assert_eq!(waiting(&mut server), "0");
    assert!(
        server
            .engine
            .stream(copy.first)
            .starts_with(b"*2\r\n$6\r\nSELECT\r\n")
    );
    let shown = field(&mut server, "slave1");
    assert!(
        shown.contains("state=bg_transfer") && shown.ends_with("type=main-channel"),
        "{shown}"
    );
    // It has loaded its dump as soon as it says anything.
    sent(&mut server, &copy);
    server
        .engine
        .receive(copy.first, &request(&["REPLCONF", "ACK", "0"]));
    let shown = field(&mut server, "slave0");
    assert!(
        shown.contains("state=online") && shown.ends_with("type=replica"),
        "{shown}"
    );
}

#[test]
fn who_has_its_dump_is_waited_for_a_while() {
    let mut server = primary();
    let copy = begun(&mut server);
    sent(&mut server, &copy);
    assert_eq!(field(&mut server, "connected_slaves"), "0");
    for (mono_ms, wanted) in [(1000, "1"), (60_000, "1"), (62_000, "0")] {
        server.set_now(Now {
            mono_ms,
            unix_us: 1_000_000_000_000 + mono_ms * 1000,
        });
        server.engine.tick();
        assert_eq!(waiting(&mut server), wanted, "after {mono_ms} ms");
    }
    let answer = names(&mut server, &copy);
    assert!(
        answer.starts_with("-ERR Unrecognized RDB client id "),
        "{answer}"
    );
}

#[test]
fn who_loses_its_dump_is_not_waited_for() {
    let mut server = primary();
    let copy = begun(&mut server);
    server.engine.close(copy.second);
    assert_eq!(waiting(&mut server), "0");
    assert!(names(&mut server, &copy).starts_with("-ERR "));
}

#[test]
fn no_more_is_kept_than_for_any_replica() {
    let mut server = primary();
    let a = server.a;
    let limit = [
        "CONFIG",
        "SET",
        "client-output-buffer-limit",
        "replica 50000 0 0",
    ];
    assert_eq!(server.run(a, &limit), "+OK\r\n");
    begun(&mut server);
    write_much(&mut server);
    for mono_ms in [1000, 2000] {
        server.set_now(Now {
            mono_ms,
            unix_us: 1_000_000_000_000 + mono_ms * 1000,
        });
        server.engine.tick();
    }
    assert_eq!(waiting(&mut server), "0");
}
