//! Our servers together with a real Redis (7.0 in Debian), where there is one.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;

use tern_tests::cluster::Cluster;
use tern_tests::daemon::{Daemon, in_path, run, wait_until};

/// A real Redis; none where it is not installed.
fn redis(config: &str) -> Option<Daemon> {
    in_path("redis-server").then(|| Daemon::other("redis-server", &format!("save \"\"\n{config}")))
}

/// Strings and hashes, small and big, of text and of any bytes.
fn fill(server: &Daemon) {
    let mut client = server.client();
    let long = "long ".repeat(2000);
    let bytes: Vec<u8> = (0..=255).collect();
    for (key, value) in [
        ("text", b"value".as_slice()),
        ("number", b"12345"),
        ("long", long.as_bytes()),
        ("bytes", &bytes),
    ] {
        assert!(client.call_words(&[b"SET", key.as_bytes(), value]).is_ok());
    }
    assert_eq!(client.text("SET leaving 1 EX 1000"), "OK");
    assert_eq!(client.text("HMSET small a 1 b two"), "OK");
    for number in 0..1000 {
        let line = format!("HSET big field:{number} value:{number}");
        assert_eq!(client.text(&line), "1");
    }
}

fn assert_filled(server: &Daemon) {
    let mut client = server.client();
    assert_eq!(client.text("DBSIZE"), "7");
    assert_eq!(client.text("GET text"), "value");
    assert_eq!(client.text("GET number"), "12345");
    assert_eq!(client.text("GET long"), "long ".repeat(2000));
    let bytes: Vec<u8> = (0..=255).collect();
    assert_eq!(client.call("GET bytes").as_bytes(), Some(&bytes[..]));
    let left = client.call("TTL leaving").as_int().unwrap();
    assert!((900..=1000).contains(&left), "{left}");
    assert_eq!(client.text("HMGET small a b"), "1\ntwo");
    assert_eq!(client.text("HLEN big"), "1000");
    assert_eq!(client.text("HGET big field:999"), "value:999");
}

/// One server copies from the other, then gets what comes after.
fn assert_follows(slave: &Daemon, master: &Daemon) {
    wait_until("the copy is done", || {
        slave.info_field("replication", "master_link_status") == "up"
    });
    assert_filled(slave);
    let mut client = master.client();
    assert_eq!(client.text("SET after 1"), "OK");
    assert_eq!(client.text("HDEL big field:0"), "1");
    assert_eq!(client.text("DEL text"), "1");
    wait_until("the stream arrives", || slave.text("EXISTS text") == "0");
    assert_eq!(slave.text("GET after"), "1");
    assert_eq!(slave.text("HLEN big"), "999");
    assert_eq!(client.text("WAIT 1 10000"), "1");
    assert_eq!(master.info_field("replication", "connected_slaves"), "1");
}

#[test]
fn a_real_redis_is_a_replica_of_ours() {
    let ours = Daemon::server("save \"\"");
    fill(&ours);
    let Some(theirs) = redis(&format!("replicaof 127.0.0.1 {}", ours.port)) else {
        return;
    };
    assert_follows(&theirs, &ours);
}

#[test]
fn ours_is_a_slave_of_a_real_redis() {
    let Some(theirs) = redis("") else {
        return;
    };
    fill(&theirs);
    let ours = Daemon::server(&format!("save \"\"\nslaveof 127.0.0.1 {}", theirs.port));
    assert_follows(&ours, &theirs);
}

#[test]
fn keys_go_both_ways_as_dumps() {
    let Some(theirs) = redis("") else {
        return;
    };
    let ours = Daemon::server("save \"\"\nrdb-version 9");
    for (from, to) in [(&ours, &theirs), (&theirs, &ours)] {
        assert_eq!(to.text("FLUSHALL"), "OK");
        assert_eq!(from.text("FLUSHALL"), "OK");
        fill(from);
        assert_eq!(from.text("PERSIST leaving"), "1");
        let (mut source, mut target) = (from.client(), to.client());
        for key in ["text", "number", "long", "bytes", "leaving", "small", "big"] {
            let payload = source.call(&format!("DUMP {key}"));
            let reply = target.call_words(&[
                b"RESTORE",
                key.as_bytes(),
                b"0",
                payload.as_bytes().unwrap(),
            ]);
            assert!(
                reply.is_ok(),
                "{key} from {} to {}: {reply:?}",
                from.name,
                to.name
            );
        }
        assert_eq!(target.text("EXPIRE leaving 1000"), "1");
        assert_filled(to);
    }
}

#[test]
fn a_real_redis_loads_our_dump_file() {
    if !in_path("redis-server") {
        return;
    }
    let mut ours = Daemon::server("save \"\"\nrdb-version 9");
    fill(&ours);
    assert_eq!(ours.text("SAVE"), "OK");
    ours.stop();
    let theirs = redis(&format!("dir {}", ours.dir().display())).unwrap();
    assert_filled(&theirs);
}

#[test]
fn redis_cli_follows_our_cluster() {
    if !in_path("redis-cli") {
        return;
    }
    let cluster = Cluster::joined(3, 0);
    let port = cluster.nodes[0].port.to_string();
    let cli = |arguments: &[&str]| {
        let run = run(
            Path::new("redis-cli"),
            &[&["-p", &port][..], arguments].concat(),
            "",
        );
        assert_eq!(run.code, Some(0), "{}", run.out);
        run.out
    };
    let moved = format!("MOVED 7638 {}", cluster.nodes[1].address());
    assert!(cli(&["set", "abc", "123"]).contains(&moved));
    assert_eq!(cli(&["-c", "set", "abc", "123"]), "OK\n");
    assert_eq!(cli(&["-c", "get", "abc"]), "123\n");
    assert_eq!(cluster.nodes[1].text("GET abc"), "123");
    let slots = cli(&["cluster", "slots"]);
    for node in &cluster.nodes {
        assert!(slots.contains(&node.port.to_string()), "{slots}");
    }
}

/// Changes in today's forms, of all types that Redis 3.0 has. `{n}` is a number.
const FORMS: &[&str] = &[
    "SET s{n} v EX 1000",
    "SET s{n} w KEEPTTL",
    "SET s{n} x PXAT 4102444800000 GET",
    "SET t{n} 10",
    "SET t{n} 11 IFEQ 10",
    "INCRBYFLOAT t{n} 0.25",
    "GETEX t{n} PXAT 4102444800000",
    "MSETEX 2 a{n} 1 b{n} 2 EX 1000",
    "DELIFEQ a{n} 1",
    "GETDEL b{n}",
    "BITFIELD bits SET u8 {n} 77 INCRBY i5 100 3",
    "EXPIRE s{n} 5000 GT",
    "RPUSH l{n} a b c d e f g h",
    "LPUSHX l{n} y z",
    "LPOP l{n} 2",
    "RPOP l{n} 1",
    "LMOVE l{n} m{n} LEFT RIGHT",
    "LMOVE l{n} l{n} LEFT LEFT",
    "LMOVE l{n} m{n} RIGHT LEFT",
    "LMPOP 2 none l{n} RIGHT COUNT 2",
    "BLMOVE l{n} m{n} RIGHT RIGHT 1",
    "HSET h{n} a 1 b 2 c 3 d 4",
    "HINCRBYFLOAT h{n} a 0.5",
    "HGETDEL h{n} FIELDS 2 b nothing",
    "HSETEX h{n} FIELDS 1 e 5",
    "SADD set{n} a b c d e f",
    "SPOP set{n} 2",
    "ZADD z{n} 1 a 2 b 3 c 4 d 5 e",
    "ZADD z{n} GT CH 9 a 0 b",
    "ZADD z{n} XX INCR 0.5 c",
    "ZPOPMIN z{n} 2",
    "BZPOPMAX z{n} 1",
    "ZMPOP 1 z{n} MIN",
    "ZADD y{n} 0.1 a 0.2 b 0.3 c",
    "ZUNIONSTORE u{n} 2 z{n} y{n} WEIGHTS 0.7 1.1",
    "ZRANGESTORE r{n} y{n} 0 1",
    "ZDIFFSTORE d{n} 2 y{n} r{n}",
    "GEOADD g{n} 13.361389 38.115556 Palermo",
    "GEOSEARCHSTORE gs{n} g{n} FROMLONLAT 15 37 BYRADIUS 500 km",
    "SORT l{n} ALPHA STORE sorted{n}",
    "COPY h{n} copy{n}",
    "COPY z{n} copy{n} DB 3 REPLACE",
    "MOVE s{n} 3",
    "RENAME y{n} renamed",
    "PFADD p{n} a b c",
    "PFMERGE q{n} p{n}",
    "UNLINK u{n} none",
    "SPUBLISH c m",
];

/// What databases 0 and 3 hold, each key with its value and when it expires, in seconds.
fn held(server: &Daemon) -> Vec<String> {
    let mut client = server.client();
    let mut all = Vec::new();
    for database in [0, 3] {
        assert_eq!(client.text(&format!("SELECT {database}")), "OK");
        let keys = client.text("KEYS *");
        for key in keys.lines() {
            let (line, ordered) = match client.text(&format!("TYPE {key}")).as_str() {
                "string" => (format!("GET {key}"), true),
                "list" => (format!("LRANGE {key} 0 -1"), true),
                "set" => (format!("SMEMBERS {key}"), false),
                "zset" => (format!("ZRANGE {key} 0 -1 WITHSCORES"), true),
                _ => (format!("HGETALL {key}"), false),
            };
            let value = client.call(&line);
            let mut value = match value.as_bytes() {
                // What a HyperLogLog remembers of its last count is not told.
                Some(bytes) if bytes.starts_with(b"HYLL") => {
                    vec![
                        [&bytes[..8], &bytes[16..]]
                            .concat()
                            .escape_ascii()
                            .to_string(),
                    ]
                }
                Some(bytes) => vec![bytes.escape_ascii().to_string()],
                None => client.text(&line).lines().map(str::to_owned).collect(),
            };
            if !ordered {
                value.sort();
            }
            // Scores are printed with more digits by some.
            for word in &mut value {
                if let Ok(number) = word.parse::<f64>() {
                    *word = number.to_string();
                }
            }
            let expires = client.call(&format!("TTL {key}")).as_int().unwrap() / 20;
            all.push(format!("{database} {key} {} {expires}", value.join(" ")));
        }
    }
    all.sort();
    all
}

/// A replica of ours that knows less than ours holds what ours does, whatever is written, and though its link is cut.
fn follows_in_older_words(config: &str, program: &str) {
    let master = Daemon::server(&format!("save \"\"\n{config}"));
    let replica = format!("save \"\"\nslaveof 127.0.0.1 {}", master.port);
    let replica = Daemon::other(program, &replica);
    wait_until("the copy is done", || {
        replica.info_field("replication", "master_link_status") == "up"
    });
    let mut client = master.client();
    for round in 0..4 {
        for form in FORMS {
            let line = form.replace("{n}", &round.to_string());
            let answer = client.call(&line).into_result();
            assert!(answer.is_ok(), "{line}: {answer:?}");
        }
        let script = "redis.call('HSET', KEYS[1], 'a', 1, 'b', 2) redis.call('SET', KEYS[2], 'x', 'EX', 1000)";
        let words: [&[u8]; 5] = [b"EVAL", script.as_bytes(), b"2", b"inner", b"lua"];
        assert!(client.call_words(&words).into_result().is_ok());
        for line in [
            "MULTI",
            "HSET tx a 1 b 2",
            "GETEX lua PX 2000000",
            "LPUSH txl a b c",
            "LPOP txl 2",
            "EXEC",
        ] {
            assert!(client.call(line).into_result().is_ok(), "{line}");
        }
        if round % 2 == 0 {
            assert_eq!(client.text("CLIENT KILL TYPE replica"), "1");
        }
        wait_until("all has arrived", || held(&replica) == held(&master));
    }
    assert_eq!(master.info_field("stats", "sync_full"), "1");
}

#[test]
fn a_redis_follows_ours_in_the_words_of_its_release() {
    if in_path("redis-server") {
        follows_in_older_words("rdb-version 9", "redis-server");
        // What a Redis that does not say which it is knows.
        follows_in_older_words("", "redis-server");
    }
}

/// `TERN_OLD_REDIS` names the `redis-server` of a release from 2.8 to 3.2.
#[test]
fn a_redis_of_long_ago_follows_ours() {
    let Some(program) = std::env::var_os("TERN_OLD_REDIS") else {
        eprintln!("skipped: TERN_OLD_REDIS names no redis-server of 2.8 to 3.2");
        return;
    };
    let program = program.into_string().unwrap();
    follows_in_older_words("", &program);
    // The stream is one for all: a replica of today understands it too. What has no words ends the following, and is told.
    let master = Daemon::server("save \"\"");
    let config = format!("save \"\"\nslaveof 127.0.0.1 {}", master.port);
    let old = Daemon::other(&program, &config);
    let today = Daemon::server(&config);
    let up = |replica: &Daemon| replica.info_field("replication", "master_link_status") == "up";
    wait_until("both follow", || up(&old) && up(&today));
    assert_eq!(master.text("HSET h a 1 b 2"), "2");
    wait_until("both have it", || {
        [&old, &today]
            .iter()
            .all(|replica| replica.text("HLEN h") == "2")
    });
    assert_eq!(master.text("XADD x 1-1 f v"), "1-1");
    wait_until("the one that cannot be told is refused", || !up(&old));
    wait_until("the other has it", || today.text("XLEN x") == "1");
    assert!(
        master
            .log()
            .contains("XADD can't be told to replicas of older releases")
    );
    assert_eq!(master.text("DEL x"), "1");
    wait_until("it follows again", || up(&old) && old.text("HLEN h") == "2");
    // Below a replica of a primary of today it cannot be served.
    let below = Daemon::other(&program, &format!("slaveof 127.0.0.1 {}", today.port));
    wait_until("it is refused by name", || {
        today
            .log()
            .contains("announces nothing of a release from 4.0 on, and is refused")
    });
    assert!(!up(&below));
}
