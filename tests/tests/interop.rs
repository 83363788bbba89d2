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
