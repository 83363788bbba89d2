//! Replicas of older releases: in which words they are told of changes, how far they may follow, and when they are refused.

use conf::ServerConfig;
use engine::{ChildEnd, ClientId};

use crate::harness::{Server, peer};
use crate::replicas::field;

fn server(rdb_version: Option<u16>) -> Server {
    Server::with(ServerConfig {
        repl_diskless_sync: false,
        rdb_version: conf::RdbVersion(rdb_version),
        ..ServerConfig::default()
    })
}

/// A replica of 2.8 to 3.2, as it comes.
fn comes(server: &mut Server) -> ClientId {
    let id = server.engine.accept(peer()).expect("room");
    server.run(id, &["REPLCONF", "listening-port", "7003"]);
    id
}

/// A Redis from 4.0 on, which does not say which it is, or a Valkey of a version.
fn newer_comes(server: &mut Server, version: Option<&str>) -> ClientId {
    let id = comes(server);
    server.run(id, &["REPLCONF", "capa", "eof", "capa", "psync2"]);
    if let Some(version) = version {
        server.run(id, &["REPLCONF", "version", version]);
    }
    id
}

/// One that reads the stream.
fn follows(server: &mut Server) -> ClientId {
    let id = comes(server);
    copies(server, id)
}

fn copies(server: &mut Server, id: ClientId) -> ClientId {
    server.talk.child.set(Some(ChildEnd::Done));
    let answer = server.run(id, &["PSYNC", "?", "-1"]);
    assert!(answer.starts_with("+FULLRESYNC "), "{answer}");
    server.engine.look_after_child();
    server.engine.dump_sent(id, true);
    id
}

/// The commands of the stream that it has not read, without the first SELECT. What is no text is left out.
fn told(server: &mut Server, id: ClientId) -> Vec<String> {
    let bytes = server.engine.stream(id).to_vec();
    server.engine.stream_sent(id, bytes.len());
    let mut rest = bytes.as_slice();
    let mut take = |length: Option<usize>| {
        let line = || rest.windows(2).position(|end| end == b"\r\n");
        let length = length.or_else(line)?;
        let (word, behind) = rest.split_at(length);
        rest = &behind[2..];
        Some(word.to_vec())
    };
    let number = |line: &[u8]| -> usize { String::from_utf8_lossy(&line[1..]).parse().unwrap() };
    let mut all = Vec::new();
    while let Some(head) = take(None) {
        let words = (0..number(&head)).map(|_| {
            let length = number(&take(None).unwrap());
            let word = take(Some(length)).unwrap();
            String::from_utf8(word).unwrap_or_else(|_| "…".to_owned())
        });
        all.push(words.collect::<Vec<_>>().join(" "));
    }
    all.retain(|command| command != "SELECT 0");
    all
}

#[test]
fn an_old_replica_is_told_of_changes_in_words_that_it_knows() {
    let mut server = server(None);
    let (a, old) = (server.a, follows(&mut server));
    for (line, expected) in [
        ("SET s v", &["SET s v"][..]),
        (
            "SET s w PXAT 2000000000000",
            &["MULTI", "SET s w", "PEXPIREAT s 2000000000000", "EXEC"],
        ),
        (
            "SET s 5 KEEPTTL",
            &["MULTI", "SET s 5", "PEXPIREAT s 2000000000000", "EXEC"],
        ),
        (
            "INCRBYFLOAT s 0.5",
            &["MULTI", "SET s 5.5", "PEXPIREAT s 2000000000000", "EXEC"],
        ),
        ("GETDEL s", &["DEL s"]),
        ("HSET h f 1 g 2", &["HMSET h f 1 g 2"]),
        ("HGETDEL h FIELDS 1 g", &["HDEL h g"]),
        ("RPUSH l a b c d e", &["RPUSH l a b c d e"]),
        ("LPOP l 2", &["LTRIM l 2 -1"]),
        (
            "LMOVE l l LEFT RIGHT",
            &["MULTI", "RPUSH l c", "LPOP l", "EXEC"],
        ),
        (
            "LMOVE l m LEFT RIGHT",
            &["MULTI", "RPUSH m d", "LPOP l", "EXEC"],
        ),
        ("LMOVE l m RIGHT LEFT", &["RPOPLPUSH l m"]),
        ("LMPOP 2 none l LEFT COUNT 5", &["LTRIM l 1 -1"]),
        ("ZADD z GT 2 a 3 b", &["ZADD z 2 a 3 b"]),
        ("ZADD z XX INCR 0.5 a", &["ZADD z 2.5 a"]),
        ("ZPOPMAX z", &["ZREMRANGEBYRANK z -1 -1"]),
        ("UNLINK h nothing", &["DEL h nothing"]),
        (
            "COPY m k DB 3",
            &["SELECT 3", "MULTI", "DEL k", "RESTORE k 0 …", "EXEC"],
        ),
        ("MOVE m 3", &["MOVE m 3"]),
        ("SPUBLISH c m", &[]),
        ("PUBLISH c m", &["PUBLISH c m"]),
        ("FLUSHALL ASYNC", &["FLUSHALL"]),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let answer = server.run(a, &words);
        assert!(!answer.starts_with('-'), "{line}: {answer}");
        let mut told = told(&mut server, old);
        if let [first, second, ..] = &mut told[..]
            && second == "SELECT 3"
        {
            std::mem::swap(first, second);
        }
        assert_eq!(told, expected, "{line}");
    }
}

#[test]
fn what_is_told_whole_is_as_the_command_left_it_within_a_transaction_too() {
    let mut server = server(None);
    let (a, old) = (server.a, follows(&mut server));
    for line in [
        "MULTI",
        "BITFIELD b SET u8 0 65",
        "BITFIELD b SET u8 0 66",
        "SET s x EX 100",
        "EXEC",
    ] {
        server.run(a, &line.split(' ').collect::<Vec<_>>());
    }
    let told = told(&mut server, old);
    let (last, rest) = told.split_last().unwrap();
    assert_eq!(rest[..4], ["MULTI", "SET b A", "SET b B", "SET s x"]);
    assert!(rest[4].starts_with("PEXPIREAT s "), "{told:?}");
    assert_eq!((last.as_str(), rest.len()), ("EXEC", 5));
    let script = "redis.call('SET', KEYS[1], 'y', 'EX', 9) redis.call('APPEND', KEYS[1], 'z')";
    server.run(a, &["EVAL", script, "1", "s"]);
    let told = told_without_expiry(&mut server, old);
    assert_eq!(told, ["MULTI", "SET s y", "APPEND s z", "EXEC"]);
}

fn told_without_expiry(server: &mut Server, id: ClientId) -> Vec<String> {
    let mut told = told(server, id);
    told.retain(|command| !command.starts_with("PEXPIREAT"));
    told
}

#[test]
fn the_append_only_file_and_other_streams_say_what_they_ever_said() {
    for (version, expected) in [
        (None, "SET s v PXAT 2000000000000"),
        (Some(12), "SET s v PXAT 2000000000000"),
    ] {
        let mut server = server(version);
        let a = server.a;
        let modern = crate::replicas::attach(&mut server, 7001);
        server.run(a, &["SET", "s", "v", "PXAT", "2000000000000"]);
        assert_eq!(told(&mut server, modern), [expected]);
    }
}

#[test]
fn the_configured_version_is_what_the_stream_says_whoever_reads_it() {
    let mut server = server(Some(9));
    let a = server.a;
    let modern = crate::replicas::attach(&mut server, 7001);
    server.run(a, &["HSET", "h", "f", "1", "g", "2"]);
    server.run(a, &["SET", "s", "v", "KEEPTTL"]);
    server.run(a, &["XADD", "x", "1-1", "f", "v"]);
    server.run(a, &["XGROUP", "CREATE", "x", "g", "0", "ENTRIESREAD", "1"]);
    let expected = [
        "HSET h f 1 g 2",
        "SET s v",
        "XADD x 1-1 f v",
        "XGROUP CREATE x g 0",
    ];
    assert_eq!(told(&mut server, modern), expected);
    server.run(a, &["CONFIG", "SET", "rdb-version", "auto"]);
    server.run(a, &["SET", "s", "v", "KEEPTTL"]);
    assert_eq!(told(&mut server, modern), ["SET s v KEEPTTL"]);
}

#[test]
fn who_cannot_be_told_is_disconnected_and_does_not_go_on_behind_it() {
    let mut server = server(None);
    let (a, old) = (server.a, follows(&mut server));
    let modern = crate::replicas::attach(&mut server, 7001);
    let id = field(&mut server, "master_replid");
    let before = field(&mut server, "master_repl_offset");
    told(&mut server, modern);
    server.run(a, &["XADD", "x", "1-1", "f", "v"]);
    assert_eq!(told(&mut server, modern), ["XADD x 1-1 f v"]);
    assert!(crate::acknowledged::closed(&mut server, old));
    server.run(a, &["DEL", "x"]);
    server.engine.close(old);
    let next: u64 = before.parse::<u64>().unwrap() + 1;
    let again = comes(&mut server);
    server.talk.child.set(Some(ChildEnd::Done));
    let answer = server.run(again, &["PSYNC", &id, &next.to_string()]);
    assert!(answer.starts_with("+FULLRESYNC "), "{answer}");
    server.engine.look_after_child();
    server.engine.dump_sent(again, true);
    server.run(a, &["SET", "s", "v"]);
    let from = field(&mut server, "master_repl_offset")
        .parse::<u64>()
        .unwrap()
        + 1;
    server.engine.close(again);
    server.run(a, &["HSET", "h", "f", "1", "g", "2"]);
    let again = comes(&mut server);
    let answer = server.run(again, &["PSYNC", &id, &from.to_string()]);
    assert_eq!(answer, "+CONTINUE\r\n");
    assert_eq!(told(&mut server, again), ["HMSET h f 1 g 2"]);
}

#[test]
fn a_stream_of_today_is_not_continued_for_an_old_replica() {
    let mut server = server(None);
    let a = server.a;
    crate::replicas::attach(&mut server, 7001);
    let id = field(&mut server, "master_replid");
    let from: u64 = field(&mut server, "master_repl_offset").parse().unwrap();
    server.run(a, &["HSET", "h", "f", "1", "g", "2"]);
    let old = comes(&mut server);
    server.talk.child.set(Some(ChildEnd::Done));
    let answer = server.run(old, &["PSYNC", &id, &(from + 1).to_string()]);
    assert!(answer.starts_with("+FULLRESYNC "), "{answer}");
}

#[test]
fn a_copy_that_cannot_be_made_is_not_tried_each_second() {
    let mut server = server(None);
    let first = comes(&mut server);
    server.talk.child.set(Some(ChildEnd::Failed));
    server.run(first, &["PSYNC", "?", "-1"]);
    server.engine.look_after_child();
    assert!(crate::acknowledged::closed(&mut server, first));
    server.engine.close(first);
    let again = comes(&mut server);
    let answer = server.run(again, &["PSYNC", "?", "-1"]);
    assert!(
        answer.starts_with("-ERR The data can't be dumped"),
        "{answer}"
    );
}

#[test]
fn a_version_that_a_transaction_sets_counts_from_there_on() {
    let mut server = server(None);
    let a = server.a;
    let modern = crate::replicas::attach(&mut server, 7001);
    let id = field(&mut server, "master_replid");
    let from: u64 = field(&mut server, "master_repl_offset").parse().unwrap();
    for line in [
        "MULTI",
        "SET s v PXAT 2000000000000",
        "CONFIG SET rdb-version 9",
        "HSET h f 1 g 2",
        "SET s w KEEPTTL",
        "EXEC",
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        server.run(a, &words);
    }
    let expected = [
        "MULTI",
        "SET s v PXAT 2000000000000",
        "HSET h f 1 g 2",
        "SET s w",
        "PEXPIREAT s 2000000000000",
        "EXEC",
    ];
    assert_eq!(told(&mut server, modern), expected);
    // Who does not know the first of them does not go on in front of it.
    let old = comes(&mut server);
    server.talk.child.set(Some(ChildEnd::Done));
    let answer = server.run(old, &["PSYNC", &id, &(from + 1).to_string()]);
    assert!(answer.starts_with("+FULLRESYNC "), "{answer}");
}

#[test]
fn a_redis_that_does_not_say_which_it_is_is_told_what_redis_knows() {
    let mut server = server(None);
    let a = server.a;
    let id = newer_comes(&mut server, None);
    let redis = copies(&mut server, id);
    for (line, expected) in [
        (
            "SET s v PXAT 2000000000000",
            &["SET s v PXAT 2000000000000"][..],
        ),
        (
            "MSETEX 2 a 1 b 2 KEEPTTL",
            &["MULTI", "SET a 1", "SET b 2", "EXEC"],
        ),
        ("HSET h f 1 g 2", &["HSET h f 1 g 2"]),
        (
            "HPEXPIREAT h 2000000000000 FIELDS 1 f",
            &["HPEXPIREAT h 2000000000000 FIELDS 1 f"],
        ),
        ("HGETDEL h FIELDS 1 g", &["HDEL h g"]),
        (
            "HSETEX h PXAT 2000000000000 FIELDS 1 e 5",
            &["MULTI", "DEL h", "RESTORE h 0 …", "EXEC"],
        ),
        ("DELIFEQ a 1", &["DEL a"]),
    ] {
        let words: Vec<&str> = line.split(' ').collect();
        let answer = server.run(a, &words);
        assert!(!answer.starts_with('-'), "{line}: {answer}");
        assert_eq!(told(&mut server, redis), expected, "{line}");
    }
}

#[test]
fn a_valkey_without_fields_that_expire_is_not_told_of_them() {
    let mut server = server(None);
    let a = server.a;
    let id = newer_comes(&mut server, Some("8.1.3"));
    let old = copies(&mut server, id);
    let id = newer_comes(&mut server, Some("9.0.1"));
    let nine = copies(&mut server, id);
    told(&mut server, old);
    server.run(a, &["MSETEX", "1", "k", "v"]);
    assert_eq!(told(&mut server, nine), ["SET k v"]);
    assert_eq!(told(&mut server, old), ["SET k v"]);
    server.run(a, &["HSET", "h", "f", "1"]);
    let from = field(&mut server, "master_repl_offset");
    server.run(a, &["HEXPIRE", "h", "1000", "FIELDS", "1", "f"]);
    assert!(crate::acknowledged::closed(&mut server, old));
    server.engine.close(old);
    // It does not go on in front of what it cannot be told.
    let stream = field(&mut server, "master_replid");
    let next = (from.parse::<u64>().unwrap() + 1).to_string();
    let id = newer_comes(&mut server, Some("8.1.3"));
    server.talk.child.set(Some(ChildEnd::Failed));
    let answer = server.run(id, &["PSYNC", &stream, &next]);
    assert!(answer.starts_with("+FULLRESYNC "), "{answer}");
}

#[test]
fn a_redis_goes_on_in_a_stream_unless_it_says_what_redis_does_not_know() {
    let mut server = server(None);
    let a = server.a;
    crate::replicas::attach(&mut server, 7001);
    let stream = field(&mut server, "master_replid");
    let next = |server: &mut Server| {
        let offset: u64 = field(server, "master_repl_offset").parse().unwrap();
        (offset + 1).to_string()
    };
    let before = next(&mut server);
    server.run(a, &["HSET", "h", "f", "1", "g", "2"]);
    server.run(a, &["HEXPIRE", "h", "1000", "FIELDS", "1", "f"]);
    let id = newer_comes(&mut server, None);
    let answer = server.run(id, &["PSYNC", &stream, &before]);
    assert!(answer.starts_with("+CONTINUE"), "{answer}");
    server.engine.close(id);
    // Nobody has come since the start, so the stream says all of today's commands.
    let mut server = self::server(None);
    let a = server.a;
    crate::replicas::attach(&mut server, 7001);
    let stream = field(&mut server, "master_replid");
    let before = next(&mut server);
    server.run(a, &["MSETEX", "1", "k", "v", "EX", "1000"]);
    let behind = next(&mut server);
    let id = newer_comes(&mut server, None);
    let answer = server.run(id, &["PSYNC", &stream, &behind]);
    assert!(answer.starts_with("+CONTINUE"), "{answer}");
    let id = newer_comes(&mut server, None);
    server.talk.child.set(Some(ChildEnd::Done));
    let answer = server.run(id, &["PSYNC", &stream, &before]);
    assert!(answer.starts_with("+FULLRESYNC "), "{answer}");
}

#[test]
fn what_is_told_whole_can_be_read_by_all_that_follow() {
    const NEWEST_OF_REDIS_7_0: u16 = 10;
    for others in [&["8.0.1"][..], &["7.2.7"], &["9.0.0", "8.1.3"], &["9.1.0"]] {
        let mut server = server(None);
        let a = server.a;
        for version in others {
            let id = newer_comes(&mut server, Some(version));
            copies(&mut server, id);
        }
        // It may be of 7.0.
        let id = newer_comes(&mut server, None);
        let id = copies(&mut server, id);
        server.run(a, &["ZADD", "z", "1", "a"]);
        server.run(a, &["ZUNIONSTORE", "sum", "1", "z"]);
        let stream = server.engine.stream(id).to_vec();
        let restore = b"RESTORE\r\n$3\r\nsum\r\n$1\r\n0\r\n$";
        let found = stream.windows(restore.len()).position(|at| at == restore);
        let found = found.unwrap_or_else(|| panic!("{others:?}: {}", stream.escape_ascii()));
        let payload = &stream[found + restore.len()..];
        let line = payload.iter().position(|byte| *byte == b'\r').unwrap();
        let length: usize = str::from_utf8(&payload[..line]).unwrap().parse().unwrap();
        // Its version stands before its eight bytes of checksum.
        let end = line + 2 + length - 8;
        let version = u16::from_le_bytes([payload[end - 2], payload[end - 1]]);
        assert!(version <= NEWEST_OF_REDIS_7_0, "{others:?}: {version}");
    }
}
