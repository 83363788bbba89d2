//! `trib backup` and `trib restore` on real servers: what was there comes back, into another shape; no half backup looks whole.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;
use std::process::{Command, Stdio};

use tern_tests::cluster::{Cluster, Router};
use tern_tests::daemon::{Daemon, Run, binary, trib, wait_until};

/// The digest of all keys, which is the same however they are spread: those of the nodes, one upon the other.
fn digest(nodes: &[&Daemon]) -> Vec<u8> {
    let mut all = vec![0; 20];
    for node in nodes {
        let text = node.text("DEBUG DIGEST");
        let bytes = (0..20).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap());
        all.iter_mut()
            .zip(bytes)
            .for_each(|(all, byte)| *all ^= byte);
    }
    all
}

fn backup(dir: &Path, address: &str) -> Run {
    trib(&["backup", dir.to_str().unwrap(), address], "")
}

fn restore(dir: &Path, address: &str, more: &[&str]) -> Run {
    let words = ["restore", dir.to_str().unwrap(), address];
    trib(&[&words, more].concat(), "")
}

fn ok(run: &Run) {
    assert_eq!(run.code, Some(0), "{}", run.out);
}

fn refused(run: &Run, why: &str) {
    assert_eq!(run.code, Some(1), "{}", run.out);
    assert!(run.out.contains(why), "{}", run.out);
}

/// Keys of several types.
fn fill(router: &mut Router) {
    for number in 0..300 {
        let (key, value) = (format!("key:{number}"), "v".repeat(number));
        for words in [
            vec!["SET", &key, &value],
            vec!["RPUSH", &format!("{{{key}}}:list"), "a", "b", &value],
            vec!["HSET", &format!("{{{key}}}:hash"), "field", &value],
            vec![
                "XADD",
                &format!("{{{key}}}:stream"),
                "1-1",
                "field",
                "value",
            ],
        ] {
            let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
            let (reply, _) = router.call(&key, &words).unwrap();
            assert!(reply.as_error().is_none(), "{reply:?}");
        }
    }
}

/// Nothing is changed by a backup that is damaged, and there is none where a node is gone.
fn nothing_comes_of_damage(cluster: &mut Cluster, whole: &Path) {
    let dump = std::fs::read_dir(whole)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|end| end == "rdb"))
        .unwrap();
    let mut bytes = std::fs::read(&dump).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&dump, bytes).unwrap();
    let empty = Daemon::server("");
    refused(
        &restore(whole, &empty.address(), &[]),
        "is not what was written",
    );
    assert_eq!(empty.text("DBSIZE"), "0");
    cluster.nodes[2].kill();
    let third = whole.with_file_name("third");
    assert_eq!(backup(&third, &cluster.nodes[0].address()).code, Some(1));
    assert!(!third.exists() && !third.with_file_name("third.partial").exists());
}

#[test]
fn a_cluster_comes_back_as_one_server_and_again_as_a_cluster() {
    let root = tempfile::tempdir().unwrap();
    let mut cluster = Cluster::joined(3, 0);
    let mut router = cluster.router();
    let entry = cluster.nodes[0].address();
    fill(&mut router);
    let nodes: Vec<&Daemon> = cluster.nodes.iter().collect();
    for node in &nodes {
        assert_eq!(node.text("CONFIG SET repl-diskless-sync-delay 0"), "OK");
    }
    for words in [
        ["EXPIREAT", "key:1", "99999999999"],
        ["SET", "key:2", "12345"],
    ] {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        let _ = router.call(
            words[1]
                .iter()
                .map(|byte| char::from(*byte))
                .collect::<String>()
                .as_str(),
            &words,
        );
    }
    let before = digest(&nodes);

    let whole = root.path().join("whole");
    ok(&backup(&whole, &entry));
    refused(&backup(&whole, &entry), "exists already");
    let alone = Daemon::server("repl-diskless-sync-delay 0");
    ok(&restore(&whole, &alone.address(), &[]));
    assert_eq!(alone.text("DBSIZE"), "1200");
    assert_eq!(digest(&[&alone]), before);
    assert_eq!(alone.text("EXPIRETIME key:1"), "99999999999");
    refused(
        &restore(&whole, &alone.address(), &[]),
        "holds keys already",
    );

    let single = root.path().join("single");
    ok(&backup(&single, &alone.address()));
    // The server needs no room on its own disk, and nobody stays behind who looks like a replica.
    assert!(!alone.dir().join("dump.rdb").exists());
    assert_eq!(alone.info_field("replication", "connected_slaves"), "0");
    for node in &nodes {
        assert_eq!(node.text("FLUSHALL"), "OK");
    }
    ok(&restore(&single, &entry, &[]));
    assert_eq!(digest(&nodes), before);
    ok(&restore(&single, &entry, &["--replace"]));
    assert_eq!(digest(&nodes), before);

    nothing_comes_of_damage(&mut cluster, &whole);
}

#[test]
fn a_backup_that_was_killed_is_none() {
    let root = tempfile::tempdir().unwrap();
    // Its dump takes a minute for each key.
    let server = Daemon::server("rdb-key-save-delay 60000000");
    assert_eq!(server.text("SET key value"), "OK");
    let target = root.path().join("target");
    let partial = root.path().join("target.partial");
    let mut child = Command::new(binary("trib"))
        .args(["backup", target.to_str().unwrap(), &server.address()])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the dump is asked for", || {
        server.info_field("replication", "connected_slaves") == "1" && partial.exists()
    });
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!target.exists());
    let other = Daemon::server("");
    refused(&restore(&target, &other.address(), &[]), "no backup");
    refused(&restore(&partial, &other.address(), &[]), "not finished");
    refused(&backup(&target, &server.address()), "was interrupted");
    assert_eq!(other.text("DBSIZE"), "0");
}

#[test]
fn a_master_hands_over_before_it_stops() {
    let cluster = Cluster::joined(6, 1);
    let mut router = cluster.router();
    let _ = router.call("key", &[b"SET", b"key", b"value"]).unwrap();
    let master = &cluster.nodes[0];
    assert_eq!(master.info_field("replication", "role"), "master");
    ok(&trib(&["hand-over", &master.address()], ""));
    assert_eq!(master.info_field("replication", "role"), "slave");
    cluster.wait_ok();
    assert_eq!(router.value("key"), "value");
    let again = trib(&["hand-over", &master.address()], "");
    ok(&again);
    assert!(again.out.contains("nothing to hand over"), "{}", again.out);
}
