//! Keys whose time comes: on a replica that takes writes, and in DEBUG's eyes.

use engine::Now;

use crate::harness::{Server, request, taken};

fn at(server: &mut Server, ms: u64) {
    server.set_now(Now {
        mono_ms: 1 + ms,
        unix_us: 1_000_000_000_000 + ms * 1000,
    });
}

#[test]
fn a_writable_replica_lets_its_own_keys_expire_and_no_others() {
    let mut server = Server::new();
    let a = server.a;
    server.run(a, &["SET", "from-primary", "v", "PX", "5"]);
    server.run(a, &["REPLICAOF", "127.0.0.1", "1"]);
    server.run(a, &["CONFIG", "SET", "replica-read-only", "no"]);
    server.run(a, &["SET", "own", "v", "PX", "5"]);
    server.run(a, &["SET", "stays", "v", "PX", "5"]);
    server.run(a, &["PERSIST", "stays"]);
    let info = server.run(a, &["INFO", "stats"]);
    assert!(info.contains("slave_expires_tracked_keys:2\r\n"), "{info}");
    at(&mut server, 10);
    server.engine.tick();
    assert_eq!(server.run(a, &["DBSIZE"]), ":2\r\n");
    assert_eq!(server.run(a, &["EXISTS", "stays"]), ":1\r\n");
    let info = server.run(a, &["INFO", "stats"]);
    assert!(info.contains("slave_expires_tracked_keys:0\r\n"), "{info}");
    assert!(info.contains("expired_keys:1\r\n"), "{info}");
}

#[test]
fn who_waits_is_not_served_a_key_that_has_expired() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    server.run(a, &["SELECT", "1"]);
    server.run(a, &["RPUSH", "list", "x"]);
    server.run(a, &["PEXPIRE", "list", "5"]);
    assert_eq!(server.run(b, &["BLPOP", "list", "0"]), "");
    at(&mut server, 10);
    server.run(a, &["SWAPDB", "0", "1"]);
    assert_eq!(crate::harness::taken(&mut server.engine, b), "");
    assert_eq!(server.run(a, &["DBSIZE"]), ":0\r\n");
    server.run(a, &["SELECT", "0"]);
    assert_eq!(
        server.run(a, &["DBSIZE"]),
        ":1\r\n",
        "nobody has touched it yet"
    );
    server.run(a, &["RPUSH", "list", "y"]);
    let answer = crate::harness::taken(&mut server.engine, b);
    assert!(answer.contains("\r\ny\r\n"), "{answer}");
}

#[test]
fn a_value_that_is_to_keep_its_time_lasts_where_the_old_one_has_expired() {
    for command in ["SET k new KEEPTTL", "MSETEX 1 k new KEEPTTL"] {
        let mut server = Server::new();
        let a = server.a;
        server.run(a, &["SET", "k", "old", "PX", "5"]);
        at(&mut server, 10);
        server.run(a, &command.split(' ').collect::<Vec<_>>());
        assert_eq!(server.run(a, &["GET", "k"]), "$3\r\nnew\r\n", "{command}");
        assert_eq!(server.run(a, &["PTTL", "k"]), ":-1\r\n");
    }
}

#[test]
fn debug_looks_inside() {
    let mut server = Server::new();
    let a = server.a;
    server.run(a, &["RPUSH", "list", "x"]);
    let twins = server.run(a, &["DEBUG", "DIGEST-VALUE", "list", "none"]);
    assert!(
        twins.ends_with(&format!("+{}\r\n", "0".repeat(40))),
        "{twins}"
    );
    assert!(!twins.starts_with(&format!("*2\r\n+{}", "0".repeat(40))));
    let facts = server.run(a, &["DEBUG", "OBJECT", "list", "fast"]);
    assert!(!facts.contains("serializedlength"), "{facts}");
    let stats = server.run(a, &["DEBUG", "HTSTATS", "0"]);
    assert!(stats.contains(" number of elements: 1\n"), "{stats}");
    assert_eq!(
        server.run(a, &["DEBUG", "RELOAD", "SIDEWAYS"]),
        "-ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.\r\n"
    );
    let payload: &[&[u8]] = &[b"RESTORE", b"k", b"0", b"\x00\x01v\x0b\x00\0\0\0\0\0\0\0\0"];
    assert!(
        server
            .run_bytes(a, payload)
            .starts_with(b"-ERR DUMP payload")
    );
    server.run(a, &["DEBUG", "SET-SKIP-CHECKSUM-VALIDATION", "1"]);
    server.run(a, &["CONFIG", "SET", "hash-max-listpack-entries", "7"]);
    assert_eq!(server.run_bytes(a, payload), b"+OK\r\n");
}

#[test]
fn an_import_keeps_fields_whose_time_is_over() {
    let mut server = Server::new();
    let a = server.a;
    let set = ["HSETEX", "h", "EXAT", "0", "FIELDS", "1", "f", "v"];
    server.run(a, &["HSET", "h", "other", "v"]);
    assert_eq!(server.run(a, &set), ":1\r\n");
    assert_eq!(server.run(a, &["HLEN", "h"]), ":1\r\n");
    server.run(a, &["CONFIG", "SET", "import-mode", "yes"]);
    assert_eq!(server.run(a, &set), ":1\r\n");
    assert_eq!(server.run(a, &["HLEN", "h"]), ":2\r\n");
}

#[test]
fn time_goes_on_between_the_commands_of_a_turn() {
    let mut server = Server::new();
    let a = server.a;
    // The made-up clock goes on with each look at it.
    let mut sent = request(&["SET", "k", "v", "PX", "5"]);
    sent.extend(request(&["GET", "k"]));
    sent.extend(request(&["MULTI"]));
    sent.extend(request(&["SET", "k", "v", "PX", "5"]));
    sent.extend(request(&["GET", "k"]));
    sent.extend(request(&["EXEC"]));
    server.engine.receive(a, &sent);
    let told = taken(&mut server.engine, a);
    let (alone, within) = told.split_at(10);
    assert_eq!(alone, "+OK\r\n$-1\r\n");
    assert!(within.ends_with("*2\r\n+OK\r\n$1\r\nv\r\n"), "{within}");
}
