//! Requests on their way to a command: gates that close, and reads that are cut before others run.

use engine::Requests;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::harness::{Server, request, taken};

/// More than the engine expects in the cache, so that it asks for keys ahead.
const MANY_KEYS: usize = 10_000;

#[test]
fn a_gate_that_closes_is_noticed_by_the_next_request() {
    let gates = [
        (
            &["CONFIG", "SET", "maxmemory", "1"][..],
            "-OOM",
            &["CONFIG", "SET", "maxmemory", "0"][..],
        ),
        (
            &["SLAVEOF", "127.0.0.1", "1"],
            "-READONLY",
            &["SLAVEOF", "NO", "ONE"],
        ),
        (
            &["CONFIG", "SET", "min-slaves-to-write", "1"],
            "-NOREPLICAS",
            &["CONFIG", "SET", "min-slaves-to-write", "0"],
        ),
        (
            &["CLIENT", "PAUSE", "100000"],
            "",
            &["GET", "of one who waits"],
        ),
    ];
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    for (close, refusal, open) in gates {
        // Twice: the second time the engine may know that nothing stands in the way.
        for _ in 0..2 {
            assert_eq!(server.run(b, &["SET", "k", "v"]), "+OK\r\n");
        }
        assert_eq!(server.run(a, close), "+OK\r\n");
        let answer = server.run(b, &["SET", "k", "v"]);
        assert!(
            answer.starts_with(refusal) && answer != "+OK\r\n",
            "{close:?}: {answer}"
        );
        server.run(a, open);
    }
}

#[test]
fn populate_cuts_or_fills_values_to_a_size() {
    let mut server = Server::new();
    let a = server.a;
    for (prefix, size, value) in [
        ("short", "3", "$3\r\nval\r\n"),
        ("long", "9", "$9\r\nvalue:0\0\0\r\n"),
    ] {
        let line = ["DEBUG", "POPULATE", "1", prefix, size];
        assert_eq!(server.run(a, &line), "+OK\r\n");
        assert_eq!(server.run(a, &["GET", &format!("{prefix}:0")]), value);
    }
    for beyond in [["-1", "p", "1"], ["x", "p", "1"], ["1", "p", "-1"]] {
        assert_eq!(
            server.run(a, &[&["DEBUG", "POPULATE"], &beyond[..]].concat()),
            "-ERR value is out of range, must be positive\r\n"
        );
    }
    assert_eq!(
        server.run(a, &["DEBUG", "REPLYBUFFER", "x", "y"]),
        "-ERR unknown subcommand or wrong number of arguments for 'REPLYBUFFER'. Try DEBUG HELP.\r\n"
    );
}

#[test]
fn what_a_client_has_become_is_noticed_by_its_next_request() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    assert_eq!(server.run(a, &["SET", "k", "v"]), "+OK\r\n");
    assert_eq!(server.run(a, &["MULTI"]), "+OK\r\n");
    assert_eq!(server.run(b, &["SET", "k", "w"]), "+OK\r\n");
    assert_eq!(server.run(a, &["GET", "k"]), "+QUEUED\r\n");
    assert_eq!(server.run(a, &["EXEC"]), "*1\r\n$1\r\nw\r\n");
    assert_eq!(server.run(a, &["BLPOP", "list", "0"]), "");
    assert_eq!(server.run(b, &["SET", "k", "x"]), "+OK\r\n");
    assert_eq!(server.run(b, &["RPUSH", "list", "1"]), ":1\r\n");
    assert_eq!(
        taken(&mut server.engine, a),
        "*2\r\n$4\r\nlist\r\n$1\r\n1\r\n"
    );
    assert!(server.run(a, &["SUBSCRIBE", "c"]).starts_with("*3\r\n"));
    assert_eq!(server.run(b, &["SET", "k", "y"]), "+OK\r\n");
    assert!(
        server
            .run(a, &["GET", "k"])
            .starts_with("-ERR Can't execute 'get': only (P|S)SUBSCRIBE")
    );
    assert!(
        server
            .run(b, &["GET"])
            .starts_with("-ERR wrong number of arguments")
    );
}

/// A server with so many keys that reads wait for others.
fn full() -> Server {
    let mut server = Server::new();
    let (a, keys) = (server.a, MANY_KEYS.to_string());
    assert_eq!(server.run(a, &["DEBUG", "POPULATE", &keys]), "+OK\r\n");
    server
}

#[test]
fn reads_that_were_cut_run_in_any_order_and_see_what_came_before() {
    let mut server = full();
    let (a, b) = (server.a, server.b);
    let (mut of_a, mut of_b) = (Requests::default(), Requests::default());
    let get = request(&["GET", "key:1"]);
    let change = [
        request(&["SET", "key:1", "new"]),
        request(&["DEL", "key:2"]),
    ]
    .concat();
    server.engine.cut(a, &get, &mut of_a);
    server.engine.cut(b, &change, &mut of_b);
    server.engine.run_cut(b, &change, &mut of_b);
    server.engine.run_rest(b);
    server.engine.run_cut(a, &get, &mut of_a);
    assert_eq!(taken(&mut server.engine, b), "+OK\r\n:1\r\n");
    assert_eq!(taken(&mut server.engine, a), "$3\r\nnew\r\n");
}

#[test]
fn a_read_that_was_cut_is_not_lost_when_its_client_has_to_wait() {
    let mut server = full();
    let (a, b) = (server.a, server.b);
    let mut requests = Requests::default();
    // One and a half, and a pause between the halves of the work.
    let whole = [
        request(&["SET", "key:1", "new"]),
        request(&["GET", "key:1"]),
    ]
    .concat();
    let (first, rest) = whole.split_at(whole.len() - 9);
    server.engine.cut(a, first, &mut requests);
    assert_eq!(server.run(b, &["CLIENT", "PAUSE", "1"]), "+OK\r\n");
    server.engine.run_cut(a, first, &mut requests);
    assert_eq!(taken(&mut server.engine, a), "");
    server.engine.receive(a, rest);
    server.set_now(engine::Now {
        mono_ms: 1000,
        unix_us: 1_000_001_000_000,
    });
    server.engine.tick();
    server.engine.end_turn();
    assert_eq!(taken(&mut server.engine, a), "+OK\r\n$3\r\nnew\r\n");
}

#[test]
fn long_pipelines_are_asked_for_ahead_and_answered_in_order() {
    let mut server = full();
    let a = server.a;
    let gets: Vec<u8> = (0..100)
        .flat_map(|number| request(&["GET", &format!("key:{number}")]))
        .collect();
    let answers: String = (0..100)
        .map(|number| format!("value:{number}"))
        .map(|value| format!("${}\r\n{value}\r\n", value.len()))
        .collect();
    server.engine.receive(a, &gets);
    assert_eq!(taken(&mut server.engine, a), answers);
}

#[test]
fn requests_that_take_long_leave_a_rest_until_others_had_their_turn() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    // The clock of these tests goes on by more than a share with each look.
    let mut pipeline: Vec<u8> = (1..=4).flat_map(|_| request(&["INCR", "n"])).collect();
    pipeline.extend_from_slice(b"*1\r\n$4\r\nPI");
    let mut requests = Requests::default();
    server.engine.cut(a, &pipeline, &mut requests);
    server.engine.run_cut(a, &pipeline, &mut requests);
    for count in 1..4 {
        assert!(server.engine.has_rest(a));
        let n = format!("$1\r\n{count}\r\n");
        assert_eq!(server.run(b, &["GET", "n"]), n);
        server.engine.run_rest(a);
    }
    assert!(!server.engine.has_rest(a), "the start of a request is none");
    server.engine.receive(a, b"NG\r\n");
    assert_eq!(
        taken(&mut server.engine, a),
        ":1\r\n:2\r\n:3\r\n:4\r\n+PONG\r\n"
    );

    // A rest that is held back follows in its order, at once.
    pipeline.extend_from_slice(b"NG\r\n");
    server.engine.cut(a, &pipeline, &mut requests);
    server.engine.run_cut(a, &pipeline, &mut requests);
    let pause = ["CLIENT", "PAUSE", "100000", "WRITE"];
    assert_eq!(server.run(b, &pause), "+OK\r\n");
    server.engine.run_rest(a);
    assert!(!server.engine.has_rest(a));
    assert_eq!(taken(&mut server.engine, a), ":5\r\n");
    assert_eq!(server.run(b, &["CLIENT", "UNPAUSE"]), "+OK\r\n");
    server.engine.end_turn();
    assert_eq!(taken(&mut server.engine, a), ":6\r\n:7\r\n:8\r\n+PONG\r\n");
}

#[test]
fn a_long_inline_request_may_come_in_pieces() {
    for length in [32 * 1024, 40_000, 60_000] {
        let mut server = Server::new();
        let a = server.a;
        let line = format!("ECHO {}\r\n", "x".repeat(length));
        let (first, rest) = line.as_bytes().split_at(length / 2);
        server.engine.receive(a, first);
        assert_eq!(taken(&mut server.engine, a), "");
        server.engine.receive(a, rest);
        let reply = taken(&mut server.engine, a);
        assert_eq!(reply.len(), format!("${length}\r\n").len() + length + 2);
        // So may one whose words are in quotes.
        let line = format!("SET k \"{}\"\r\n", "\\x41".repeat(length / 4));
        let (first, rest) = line.as_bytes().split_at(length / 2);
        server.engine.receive(a, first);
        server.engine.receive(a, rest);
        assert_eq!(taken(&mut server.engine, a), "+OK\r\n");
        let kept = server.run(a, &["STRLEN", "k"]);
        assert_eq!(kept, format!(":{}\r\n", length / 4));
    }
}

/// What INFO counts of commands, errors and keys, without how long anything took.
fn counted(server: &mut Server) -> Vec<String> {
    let b = server.b;
    let info = server.run(b, &["INFO", "everything"]);
    let told = [
        "cmdstat_",
        "errorstat_",
        "keyspace_",
        "expired_",
        "total_commands_processed",
        "rdb_changes_since_last_save",
        "master_repl_offset",
        "slowlog_",
        "db0",
    ];
    let lines = info.lines().filter(|line| {
        told.iter().any(|begin| line.starts_with(begin)) && !line.contains("client|tracking")
    });
    let timeless = |field: &&str| !field.starts_with("usec");
    lines
        .map(|line| {
            let fields: Vec<&str> = line.split(',').filter(timeless).collect();
            let name = line.split(':').next().unwrap_or_default();
            format!("{name}: {}", fields.join(","))
        })
        .collect()
}

#[test]
fn the_short_way_does_and_counts_what_the_way_of_all_does() {
    let words: Vec<Vec<&str>> = [
        "SET k v",
        "GET k",
        "GET none",
        "GETEX k PX 1",
        "LPUSH k 1",
        "GET",
        "SADD s a b c",
        "SPOP s 5",
        "HSET h f v g w",
        "HPEXPIRE h 1 FIELDS 1 f",
        "HGETALL h",
        "RPUSH l a b c",
        "LMPOP 1 l LEFT COUNT 2",
        "BLPOP l 0",
        "SORT s BY w_* GET o_*",
        "FLUSHDB",
        "SET n 10",
        "INCRBYFLOAT n 0.5",
        "INCR n",
        "NOSUCH a",
        "OBJECT ENCODING n",
        "PING",
        "EVAL return{redis.call('INCR','k2')} 0",
        "XADD x 1-1 f v",
        "XADD x 1-1 f v",
        "GEOADD g 1 1 m",
        "MULTI",
        "SET k 1",
        "EXEC",
        "DEL k g x none",
        "DBSIZE",
    ]
    .iter()
    .map(|line| line.split(' ').collect())
    .collect();
    for config in ["maxmemory 0", "maxmemory 1gb", "repl-backlog-ttl 0"] {
        for first in 0..words.len() {
            let [short, long] = ["short", "long"].map(|way| {
                let mut server = Server::new();
                let (a, b) = (server.a, server.b);
                let (name, value) = config.split_once(' ').unwrap();
                assert_eq!(server.run(a, &["CONFIG", "SET", name, value]), "+OK\r\n");
                // Somebody who hears of keys closes the short way for everybody.
                server.run(b, &["HELLO", "3"]);
                let on = if way == "long" { "ON" } else { "OFF" };
                assert_eq!(server.run(b, &["CLIENT", "TRACKING", on]), "+OK\r\n");
                let (before, behind) = words.split_at(first);
                let sent = behind.iter().chain(before).flat_map(|words| request(words));
                let sent: Vec<u8> = sent.collect();
                server.engine.receive(a, &sent);
                server.run(b, &["CLIENT", "TRACKING", "OFF"]);
                server.run(b, &["RPUSH", "l", "for who waits"]);
                server.engine.end_turn();
                let answers = taken(&mut server.engine, a);
                (answers, counted(&mut server))
            });
            assert!(short.1.len() > 20, "{:?}", short.1);
            assert_eq!(short, long, "{config}, from {:?} on", words[first]);
        }
    }
}

/// A request, written inline or not. Words have up to 150 KB, small ones are more frequent.
fn some_request() -> impl Strategy<Value = Vec<u8>> {
    let word = || {
        let lengths = prop_oneof![
            0..9_usize,
            0..2_000_usize,
            0..40_000_usize,
            30_000..150_000_usize
        ];
        (lengths, any::<[u8; 7]>()).prop_map(|(length, some)| {
            some.iter()
                .copied()
                .cycle()
                .take(length)
                .collect::<Vec<u8>>()
        })
    };
    (0..7, word(), word(), any::<bool>()).prop_map(|(which, key, value, inline)| {
        let words: &[&[u8]] = match which {
            0 => &[b"SET", &key, &value],
            1 => &[b"APPEND", b"k", &value],
            2 => &[b"LPUSH", b"l", &value],
            3 => &[b"HINCRBY", &key, &value],
            4 => &[b"ECHO", &value],
            5 => &[b"BLPOP", b"queue", b"0"],
            _ => &[b"GETRANGE", b"k", b"0", b"-1"],
        };
        if inline && key.len() + value.len() < 60_000 {
            let letter = |byte: &u8| char::from(b'a' + byte % 26);
            let line: Vec<String> = words
                .iter()
                .map(|word| {
                    let inside: String = word.iter().map(letter).collect();
                    format!("\"{inside}\"")
                })
                .collect();
            return (line.join(" ") + "\r\n").into_bytes();
        }
        request(words)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn requests_are_answered_alike_wherever_they_are_cut(
        requests in vec(some_request(), 1..12),
        cuts in vec((prop_oneof![1..3_usize, 1..5_000_usize, 1..200_000_usize], any::<bool>()), 1..40),
    ) {
        // Who waits for an element gets it before, between or after all pieces.
        let mut elements: Vec<String> = (0..requests.len()).map(|number| number.to_string()).collect();
        elements.reverse();
        let push = |server: &mut Server, elements: &mut Vec<String>| {
            let element = elements.pop()?;
            let b = server.b;
            server.run(b, &["RPUSH", "queue", &element]);
            server.engine.end_turn();
            Some(())
        };
        let sent = requests.concat();
        let mut whole = Server::new();
        whole.engine.receive(whole.a, &sent);
        let mut left = elements.clone();
        while push(&mut whole, &mut left).is_some() {}
        let expected = taken(&mut whole.engine, whole.a);
        let mut cut = Server::new();
        let (mut answered, mut rest) = (String::new(), &sent[..]);
        for (length, pushes) in cuts.into_iter().chain([(usize::MAX, false)]) {
            let (piece, later) = rest.split_at(length.min(rest.len()));
            cut.engine.receive(cut.a, piece);
            if pushes {
                push(&mut cut, &mut elements);
            }
            answered += &taken(&mut cut.engine, cut.a);
            rest = later;
        }
        while push(&mut cut, &mut elements).is_some() {}
        answered += &taken(&mut cut.engine, cut.a);
        prop_assert!(answered == expected && !answered.is_empty());
    }
}
