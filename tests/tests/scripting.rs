//! Scripts and functions on real servers: what replicas and files get of them, and who is served while one runs.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Duration;

use client::Value;
use tern_tests::daemon::{Client, Daemon, text_of, wait_until};

const LIBRARY: &[u8] = b"#!lua name=lib
server.register_function('put', function(keys, args) return redis.call('set', keys[1], args[1]) end)";

fn load(client: &mut Client) {
    let loaded = client.call_words(&[b"FUNCTION", b"LOAD", LIBRARY]);
    assert_eq!(text_of(&loaded), "lib");
}

#[test]
fn replicas_get_libraries_and_the_effects_of_scripts() {
    let server = Daemon::server("save \"\"");
    let replica = Daemon::server(&format!("slaveof {}", server.address().replace(':', " ")));
    wait_until("a synchronization", || {
        replica.info_field("replication", "master_link_status") == "up"
    });
    let mut client = server.client();
    load(&mut client);
    assert_eq!(client.text("FCALL put 1 a 1"), "OK");
    let script = b"local t = redis.call('time') math.randomseed(t[2])
        redis.call('set', 'random', math.random()) redis.set_repl(redis.REPL_NONE) redis.call('set', 'hidden', 1)";
    assert_eq!(client.call_words(&[b"EVAL", script, b"0"]), Value::Nil);
    assert_eq!(client.text("SET last 1"), "OK");
    wait_until("the last write", || replica.text("GET last") == "1");
    assert_eq!(replica.text("GET a"), "1");
    assert_eq!(replica.text("GET random"), client.text("GET random"));
    assert_eq!(replica.call("GET hidden"), Value::Nil);
    let Value::Array(libraries) = replica.call("FUNCTION LIST") else {
        panic!("libraries");
    };
    assert_eq!(libraries.len(), 1);
    assert_eq!(client.text("FUNCTION DELETE lib"), "OK");
    wait_until("the library goes", || {
        replica.call("FUNCTION LIST") == Value::Array(Vec::new())
    });
}

#[test]
fn dumps_hold_libraries() {
    let mut server = Daemon::server("save \"\"");
    let mut client = server.client();
    load(&mut client);
    assert_eq!(client.text("FCALL put 1 a 1"), "OK");
    assert_eq!(client.text("DEBUG RELOAD"), "OK");
    assert_eq!(client.text("FCALL put 1 a 2"), "OK");
    let replica = Daemon::server(&format!("slaveof {}", server.address().replace(':', " ")));
    wait_until("a synchronization", || {
        replica.info_field("replication", "master_link_status") == "up"
    });
    assert_eq!(replica.text("REPLICAOF NO ONE"), "OK");
    assert_eq!(replica.text("FCALL put 1 a 3"), "OK");
    assert_eq!(client.text("SAVE"), "OK");
    server.stop();
    server.start();
    assert_eq!(server.text("GET a"), "2");
    assert_eq!(server.text("FCALL put 1 a 4"), "OK");
    // What a replica had of its own goes with its data.
    assert_eq!(server.text("FUNCTION FLUSH"), "OK");
    let address = server.address().replace(':', " ");
    assert_eq!(replica.text(&format!("REPLICAOF {address}")), "OK");
    wait_until("another synchronization", || {
        replica.info_field("replication", "master_link_status") == "up"
    });
    assert_eq!(replica.call("FUNCTION LIST"), Value::Array(Vec::new()));
}

#[test]
fn the_append_only_file_holds_libraries_whatever_form_it_has() {
    let mut server = Daemon::server("appendonly yes\nsave \"\"");
    let mut client = server.client();
    load(&mut client);
    assert_eq!(client.text("FCALL put 1 a 1"), "OK");
    server.stop();
    server.start();
    assert_eq!(server.text("FCALL put 1 b 2"), "OK");
    assert!(server.text("BGREWRITEAOF").contains("started"));
    wait_until("a rewrite", || {
        server.info_field("persistence", "aof_rewrite_in_progress") == "0"
    });
    assert_eq!(server.text("DEBUG LOADAOF"), "OK");
    server.stop();
    server.start();
    assert_eq!(server.text("FCALL put 1 c 3"), "OK");
    assert_eq!(server.text("GET a"), "1");
    assert_eq!(server.text("GET b"), "2");
}

#[test]
fn long_work_in_a_library_function_can_be_killed_on_a_replica_too() {
    let server = Daemon::server("save \"\"");
    let replica = Daemon::server(&format!(
        "lua-time-limit 50\nslaveof {}",
        server.address().replace(':', " ")
    ));
    wait_until("a synchronization", || {
        replica.info_field("replication", "master_link_status") == "up"
    });
    for script in [
        "while true do end",
        "local s = string.rep(string.char(0), 50000000) while true do cjson.encode(s) end",
        "local s = string.rep('x', 50000000) while true do local t = s .. 'y' end",
    ] {
        let port = replica
            .address()
            .rsplit(':')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        let running = std::thread::spawn(move || {
            let mut client = Client::try_new(port).unwrap();
            client.set_limit(Duration::from_secs(30));
            client.try_call_words(&[b"EVAL", script.as_bytes(), b"0"])
        });
        let mut other = replica.client();
        wait_until(
            "the script to be slow",
            || matches!(other.try_call("PING"), Ok(Value::Error(text)) if text.starts_with("BUSY")),
        );
        assert_eq!(other.text("SCRIPT KILL"), "OK");
        let answer = running.join().unwrap().unwrap();
        assert!(
            matches!(&answer, Value::Error(text) if text.starts_with("ERR Script killed by user")),
            "{script}: {answer:?}"
        );
        assert_eq!(other.text("PING"), "PONG");
    }
}
