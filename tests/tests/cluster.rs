//! W14–W25: a cluster is formed, used, changed under load, and heals. Two clusters live through all of it, one without
//! replicas and one with them; each scenario is a function that leaves its cluster whole.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failed unwrap is a failed test; measured times are shown"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use client::Value;
use tern_tests::cluster::{
    Cluster, Router, migration, migration_ended, myself, new_node, seen, slot, state, view,
};
use tern_tests::daemon::{Client, Daemon, fields, text_of, trib, wait_for, wait_until};

#[test]
fn w14_to_w21_and_w25_a_cluster_without_replicas() {
    let mut cluster = w14_create();
    w15_redirections(&cluster);
    asking_and_transactions(&cluster);
    w16_hash_tags(&cluster);
    w17_formats(&cluster);
    w25_what_a_cluster_refuses(&cluster);
    w18_add_nodes(&mut cluster);
    w19_reshard_under_load(&cluster);
    reshard_with_a_password(&cluster);
    w20_remove_nodes(&mut cluster);
    w21_a_master_without_replica_dies(&mut cluster);
}

#[test]
fn w22_to_w24_a_cluster_with_replicas() {
    let mut cluster = w22_create_with_replicas();
    a_message_is_heard_once_everywhere(&cluster);
    a_sharded_message_is_heard_in_its_shard(&cluster);
    wait_is_for_what_the_client_has_seen(&cluster);
    slots_move_whole(&cluster);
    what_takes_long_is_no_death(&cluster);
    a_master_hands_over_before_it_ends(&mut cluster);
    w23_a_replica_dies(&mut cluster);
    w24_a_master_dies_under_load(&mut cluster);
    a_master_that_comes_back_empty_gives_way(&mut cluster);
}

/// The source does not have the password.
fn a_target_that_wants_a_password_gets_nothing(source: &Daemon, target: &Daemon, go: &str) {
    assert_eq!(target.text("CONFIG SET requirepass secret"), "OK");
    assert_eq!(source.text(go), "OK");
    let told = migration_ended(source);
    assert_eq!(told["state"], "failed", "{told:?}");
    assert!(told["message"].contains("NOAUTH"), "{told:?}");
    let mut client = target.client();
    assert_eq!(client.text("AUTH secret"), "OK");
    let none: [&[u8]; 4] = [b"CONFIG", b"SET", b"requirepass", b""];
    assert_eq!(text_of(&client.call_words(&none)), "OK");
}

/// Slots go to another node with all their keys, and so do writes that come meanwhile; what fails leaves everything as it was.
fn slots_move_whole(cluster: &Cluster) {
    let mut router = cluster.router();
    let owner = |slot: usize| {
        let masters = cluster.nodes.iter();
        let mut masters = masters.filter(|node| myself(node).is("master"));
        masters
            .find(|node| {
                let keys = node.text(&format!("CLUSTER COUNTKEYSINSLOT {slot}"));
                keys == "300"
            })
            .unwrap()
    };
    for number in 0..300 {
        let key = format!("{{06S}}:{number}");
        router
            .call(&key, &[b"SET", key.as_bytes(), b"before"])
            .unwrap();
    }
    let source = owner(0);
    let target = cluster
        .nodes
        .iter()
        .find(|node| myself(node).is("master") && node.port != source.port)
        .unwrap();
    let (source_id, target_id) = (myself(source).id, myself(target).id);
    let go = format!("CLUSTER MIGRATESLOTS SLOTSRANGE 0 4 NODE {target_id}");
    a_target_that_wants_a_password_gets_nothing(source, target, &go);
    a_target_whose_replica_hangs_takes_nothing(cluster, source, target, &go);
    assert_eq!(owner(0).port, source.port);
    // And now nothing is wrong, while somebody writes.
    let stop = Arc::new(AtomicBool::new(false));
    let ports: Vec<u16> = cluster.nodes.iter().map(|node| node.port).collect();
    let writer = {
        let stop = Arc::clone(&stop);
        std::thread::spawn(move || {
            let (mut router, mut round) = (Router::new(ports), 0_u32);
            while !stop.load(Ordering::Relaxed) {
                round += 1;
                let value = round.to_string();
                let words: [&[u8]; 3] = [b"SET", b"{06S}:0", value.as_bytes()];
                router.call("{06S}:0", &words).unwrap();
            }
            round
        })
    };
    assert_eq!(source.text(&go), "OK");
    assert_eq!(migration_ended(source)["state"], "success");
    assert_eq!(migration_ended(target)["state"], "success");
    stop.store(true, Ordering::Relaxed);
    let last = writer.join().unwrap();
    assert_eq!(owner(0).port, target.port);
    assert_eq!(router.value("{06S}:0"), last.to_string());
    assert_eq!(router.value("{06S}:299"), "before");
    wait_until("the replica of the source has lost the keys", || {
        cluster.nodes.iter().all(|node| {
            let mine = myself(node);
            let held = node.text("CLUSTER COUNTKEYSINSLOT 0");
            let of_target = node.port == target.port || mine.master == target_id;
            held == if of_target { "300" } else { "0" }
        })
    });
    // Back, by the tool.
    let line = format!(
        "reshard --from {target_id} --to {source_id} --slots 5 --yes {}",
        source.address()
    );
    let run = trib(&line.split(' ').collect::<Vec<_>>(), "");
    assert_eq!(run.code, Some(0), "{}", run.out);
    assert_eq!(migration(target)["operation"], "EXPORT");
    cluster.wait_ok();
}

/// Who was told that a write is on two nodes would have it on one: the source's replica deletes it, too.
fn a_target_whose_replica_hangs_takes_nothing(
    cluster: &Cluster,
    source: &Daemon,
    target: &Daemon,
    go: &str,
) {
    let target_id = myself(target).id;
    let mut nodes = cluster.nodes.iter();
    let replica = nodes.find(|node| myself(node).master == target_id).unwrap();
    replica.signal("STOP");
    assert_eq!(source.text(go), "OK");
    let ended = migration_ended(source);
    replica.signal("CONT");
    assert_eq!(ended["state"], "failed");
    let told = migration_ended(target);
    assert_eq!(told["message"], "No replica has received what was imported");
}

/// SIGTERM, where it is to hand over: a replica is master before the process has ended.
fn a_master_hands_over_before_it_ends(cluster: &mut Cluster) {
    let old = &cluster.nodes[0];
    let (port, id) = (old.port, myself(old).id);
    assert_eq!(old.text("CONFIG SET shutdown-on-sigterm failover"), "OK");
    let mut nodes = cluster.nodes.iter();
    let heir = nodes.find(|node| myself(node).master == id).unwrap().port;
    cluster.node(port).signal("TERM");
    assert!(cluster.node(port).ended().success());
    let heir = cluster.node(heir);
    assert!(myself(heir).is("master"));
    assert!(
        heir.log()
            .contains("Forced failover primary request accepted")
    );
    // And back again.
    cluster.node(port).start();
    cluster.wait_ok();
    assert_eq!(cluster.node(port).text("CLUSTER FAILOVER"), "OK");
    wait_until("the old master is master again", || {
        myself(cluster.node(port)).is("master")
    });
    cluster.wait_ok();
}

fn w14_create() -> Cluster {
    let cluster = Cluster::new(3);
    let run = cluster.create(0, "no\n");
    assert_eq!(run.code, Some(1), "{}", run.out);
    for node in &cluster.nodes {
        assert_eq!(view(node).len(), 1, "nothing has changed");
    }
    let run = cluster.create(0, "yes\n");
    assert_eq!(run.code, Some(0), "{}", run.out);
    for line in [
        ">>> Creating cluster\n",
        "Using 3 masters:\n",
        "Can I set the above configuration? (type 'yes' to accept): ",
        "[OK] All nodes agree about slots configuration.\n",
        "[OK] All 16384 slots covered.\n",
    ] {
        assert!(run.out.contains(line), "{line} is missing in {}", run.out);
    }
    cluster.wait_ok();
    let again = cluster.create(0, "yes\n");
    assert_eq!(again.code, Some(1));
    assert!(
        again
            .out
            .contains("is not empty. Either the node already knows other nodes"),
        "{}",
        again.out
    );
    cluster
}

fn w15_redirections(cluster: &Cluster) {
    let [first, second, third] = &cluster.nodes[..] else {
        panic!("three nodes");
    };
    let moved = format!("MOVED 7638 {}", second.address());
    assert_eq!(first.text("SET abc 123"), moved);
    assert_eq!(third.text("GET abc"), moved);
    assert_eq!(second.text("SET abc 123"), "OK");
    for node in &cluster.nodes {
        let client =
            redis::cluster::ClusterClient::new(vec![format!("redis://{}", node.address())])
                .unwrap();
        let mut connection = client.get_connection().unwrap();
        let old: String = redis::cmd("GET").arg("abc").query(&mut connection).unwrap();
        assert_eq!(old, "123");
        for number in 0..50 {
            let key = format!("library:{number}");
            let value = node.port.to_string();
            redis::cmd("SET")
                .arg(&key)
                .arg(&value)
                .exec(&mut connection)
                .unwrap();
            let read: String = redis::cmd("GET").arg(&key).query(&mut connection).unwrap();
            assert_eq!(read, value);
        }
    }
    let keys: i64 = cluster
        .nodes
        .iter()
        .map(|node| node.call("DBSIZE").as_int().unwrap())
        .sum();
    assert_eq!(keys, 51);
    assert!(
        cluster
            .nodes
            .iter()
            .all(|node| node.call("DBSIZE").as_int() > Some(0))
    );
}

/// ASKING holds for one request, whatever becomes of it, or for one transaction. A transaction may touch all slots of its node.
fn asking_and_transactions(cluster: &Cluster) {
    let [first, second, _] = &cluster.nodes[..] else {
        panic!("three nodes");
    };
    let (hello, other) = (slot("hello"), "library:1");
    assert_ne!(hello, slot(other));
    for key in ["{hello}c", "{hello}a", other, "{hello}b"] {
        assert_eq!(first.text(&format!("SET {key} 1")), "OK");
    }
    let listed = first.text(&format!("CLUSTER GETKEYSINSLOT {hello} 2"));
    assert_eq!(listed, "{hello}a\n{hello}b", "in the order of their bytes");

    let mut client = first.client();
    assert_eq!(client.text("MULTI"), "OK");
    assert_eq!(client.text("GET {hello}a"), "QUEUED");
    assert_eq!(client.text(&format!("GET {other}")), "QUEUED");
    assert!(client.text("EXEC").starts_with("CROSSSLOT "));
    assert_eq!(client.text("MULTI"), "OK");
    assert!(client.text("GET abc").starts_with("MOVED 7638 "));
    assert!(client.text("EXEC").starts_with("EXECABORT "));

    // What was queued is looked at again, unless it is not run anyway.
    let second_id = myself(second).id;
    let migrating = format!("CLUSTER SETSLOT {hello} MIGRATING {second_id}");
    assert_eq!(client.text("MULTI"), "OK");
    assert_eq!(client.text("GET {hello}b"), "QUEUED");
    assert_eq!(first.text("DEL {hello}b"), "1");
    assert_eq!(first.text(&migrating), "OK");
    let ask = format!("ASK {hello} {}", second.address());
    assert_eq!(client.text("EXEC"), ask);
    assert_eq!(client.text("WATCH {hello}a"), "OK");
    assert_eq!(client.text("MULTI"), "OK");
    assert_eq!(client.text("GET {hello}a"), "QUEUED");
    assert_eq!(first.text("DEL {hello}a"), "1");
    assert_eq!(client.text("EXEC"), "(nil)");
    let stable = format!("CLUSTER SETSLOT {hello} STABLE");
    assert_eq!(first.text(&stable), "OK");

    let set_slot = |what: &str| second.text(&format!("CLUSTER SETSLOT {hello} {what}"));
    assert_eq!(set_slot(&format!("IMPORTING {}", myself(first).id)), "OK");
    let mut client = second.client();
    let moved = format!("MOVED {hello} {}", first.address());
    for (line, answer) in [
        ("ASKING", "OK"),
        ("MULTI", "OK"),
        ("SET {hello}d 1", "QUEUED"),
        ("GET {hello}d", "QUEUED"),
        ("EXEC", "OK\n1"),
        ("GET {hello}d", &moved),
        ("ASKING", "OK"),
        ("GET", "ERR wrong number of arguments for 'get' command"),
        ("GET {hello}d", &moved),
        ("ASKING", "OK"),
        (
            "NOTHING",
            "ERR unknown command 'NOTHING', with args beginning with: ",
        ),
        ("GET {hello}d", &moved),
        ("ASKING", "OK"),
        ("DEL {hello}d", "1"),
    ] {
        assert_eq!(client.text(line), answer, "{line}");
    }
    assert_eq!(set_slot("STABLE"), "OK");
    assert_eq!(first.text("DEL {hello}c"), "1");
}

fn w16_hash_tags(cluster: &Cluster) {
    let node = &cluster.nodes[0];
    // CRC16 (XMODEM) modulo 16384, computed elsewhere.
    for (key, slot) in [
        ("hello", 866),
        ("{hello}_x", 866),
        ("abc", 7638),
        ("{}x", 10595),
        ("foo{}{bar}", 8363),
    ] {
        assert_eq!(
            node.call(&format!("CLUSTER KEYSLOT {key}")),
            Value::Int(slot),
            "{key}"
        );
    }
}

#[expect(clippy::too_many_lines, reason = "one story")]
fn w17_formats(cluster: &Cluster) {
    let node = &cluster.nodes[0];
    let lines = view(node);
    assert_eq!(lines.len(), 3);
    let ranges = ["0-5460", "5461-10922", "10923-16383"];
    for (other, range) in cluster.nodes.iter().zip(ranges) {
        let line = seen(node, other.port).unwrap();
        assert!(line.id.len() == 40 && line.id.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let parts: Vec<&str> = line.line.split(' ').collect();
        let flags = if other.port == node.port {
            "myself,master"
        } else {
            "master"
        };
        let address = format!("{}@{}", other.address(), other.port + 10000);
        assert_eq!(parts[1..4], [address.as_str(), flags, "-"]);
        for number in &parts[4..7] {
            number.parse::<u64>().unwrap();
        }
        assert_eq!(parts[7..], ["connected", range]);
    }
    let info = node.text("CLUSTER INFO");
    let names: Vec<&str> = info
        .split("\r\n")
        .filter_map(|line| line.split(':').next())
        .filter(|name| !name.is_empty())
        // Types of packets that have occurred so far.
        .filter(|name| {
            !(name.starts_with("cluster_stats_messages_") && name.matches('_').count() == 4)
        })
        .collect();
    assert_eq!(
        names,
        [
            "cluster_state",
            "cluster_slots_assigned",
            "cluster_slots_ok",
            "cluster_slots_pfail",
            "cluster_slots_fail",
            "cluster_nodes_pfail",
            "cluster_nodes_fail",
            "cluster_voting_nodes_pfail",
            "cluster_voting_nodes_fail",
            "cluster_known_nodes",
            "cluster_size",
            "cluster_current_epoch",
            "cluster_my_epoch",
            "cluster_stats_messages_sent",
            "cluster_stats_messages_received",
            "cluster_stats_bytes_sent",
            "cluster_stats_bytes_received",
            "cluster_stats_pubsub_bytes_sent",
            "cluster_stats_pubsub_bytes_received",
            "cluster_stats_module_bytes_sent",
            "cluster_stats_module_bytes_received",
            "total_cluster_links_buffer_limit_exceeded"
        ]
    );
    let info = fields(&info);
    assert_eq!(info["cluster_slots_assigned"], "16384");
    assert_eq!(info["cluster_known_nodes"], "3");
    assert_eq!(info["cluster_size"], "3");
    let mut slots: Vec<String> = node
        .call("CLUSTER SLOTS")
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| {
            assert_eq!(entry.as_array().unwrap().len(), 3);
            assert_eq!(entry.as_array().unwrap()[2].as_array().unwrap().len(), 4);
            text_of(entry).replace('\n', " ")
        })
        .collect();
    slots.sort();
    let mut expected: Vec<String> = cluster
        .nodes
        .iter()
        .zip(ranges)
        .map(|(node, range)| {
            let id = node.text("CLUSTER MYID");
            format!("{} 127.0.0.1 {} {id} ", range.replace('-', " "), node.port)
        })
        .collect();
    expected.sort();
    assert_eq!(slots, expected);
}

fn w25_what_a_cluster_refuses(cluster: &Cluster) {
    let node = &cluster.nodes[0];
    let crossed = "CROSSSLOT Keys in request don't hash to the same slot";
    assert_eq!(node.text("MGET a b"), crossed);
    assert_eq!(node.text("MSET a 1 b 2"), crossed);
    assert_eq!(node.text("SELECT 1"), "ERR DB index is out of range");
    assert_eq!(node.text("SELECT 0"), "OK");
    assert_eq!(node.text("MSET {hello}a 1 {hello}b 2"), "OK");
    assert_eq!(node.text("MGET {hello}a {hello}b"), "1\n2");
    assert_eq!(node.text("DEL {hello}a {hello}b"), "2");
}

/// An empty master, and a replica of the second node.
fn w18_add_nodes(cluster: &mut Cluster) {
    let entry = cluster.nodes[0].address();
    let (empty, replica) = (new_node(), new_node());
    let run = trib(&["add-node", &empty.address(), &entry], "");
    assert_eq!(run.code, Some(0), "{}", run.out);
    assert!(
        run.out.contains("[OK] New node added correctly."),
        "{}",
        run.out
    );
    wait_until("everyone knows the new node", || {
        cluster.nodes.iter().all(|node| {
            seen(node, empty.port).is_some_and(|line| line.is("master") && line.slot_count() == 0)
        })
    });
    cluster.nodes.push(empty);
    cluster.wait_clean(&cluster.nodes[0]);

    let master = myself(&cluster.nodes[1]);
    let run = trib(
        &[
            "add-node",
            "--slave",
            "--master-id",
            &master.id,
            &replica.address(),
            &entry,
        ],
        "",
    );
    assert_eq!(run.code, Some(0), "{}", run.out);
    wait_until("everyone knows the new replica", || {
        cluster.nodes.iter().all(|node| {
            seen(node, replica.port)
                .is_some_and(|line| line.is("slave") && line.master == master.id)
        })
    });
    cluster.nodes.push(replica);
    cluster.wait_ok();
    let [.., replica] = &cluster.nodes[..] else {
        panic!("no nodes");
    };
    let keys = cluster.nodes[1].text("DBSIZE");
    wait_until("the replica has the keys", || {
        replica.text("DBSIZE") == keys
    });
    cluster.wait_clean(&cluster.nodes[0]);
}

fn w19_reshard_under_load(cluster: &Cluster) {
    let (source, target) = (&cluster.nodes[0], &cluster.nodes[3]);
    let ids = [source, target].map(|node| myself(node).id);
    let load = Load::start(cluster.router(), |router, number| {
        // Each key is written again and again.
        let (key, value) = (format!("load:{}", number % 3000), number.to_string());
        router
            .call(&key, &[b"SET", key.as_bytes(), value.as_bytes()])
            .map(|_| Some((key, value)))
    });
    load.wait_for_writes(6000);
    let start = Instant::now();
    let run = trib(
        &[
            "reshard",
            "--from",
            &ids[0],
            "--to",
            &ids[1],
            "--slots",
            "1000",
            "--yes",
            &source.address(),
        ],
        "",
    );
    assert_eq!(run.code, Some(0), "{}", run.out);
    println!(
        "cluster: 1000 slots moved under load in {:?}",
        start.elapsed()
    );
    assert_eq!(myself(target).slot_count(), 1000);
    assert_eq!(myself(source).slot_count(), 4461);

    let answers = format!("20\n{}\n{}\ndone\nyes\n", ids[1], ids[0]);
    let run = trib(&["reshard", &source.address()], &answers);
    assert_eq!(run.code, Some(0), "{}", run.out);
    for question in [
        "How many slots do you want to move (from 1 to 16384)? ",
        "What is the receiving node ID? ",
        "Please enter all the source node IDs.\n",
        "Source node #1:",
        "Source node #2:",
        "Do you want to proceed with the proposed reshard plan (yes/no)? ",
    ] {
        assert!(
            run.out.contains(question),
            "{question} is missing in {}",
            run.out
        );
    }
    assert_eq!(myself(target).slot_count(), 1020);
    cluster.wait_clean(&cluster.nodes[1]);

    let written = load.stop();
    // No CLUSTERDOWN either.
    assert!(written.errors.is_empty(), "refused: {:?}", written.errors);
    let mut router = cluster.router();
    for (key, value) in &written.values {
        assert_eq!(&router.value(key), value, "{key}, slot {}", slot(key));
    }
    assert!(
        target.call("DBSIZE").as_int() > Some(0),
        "slots with keys have moved"
    );
    println!(
        "cluster: {} writes during the moves, {} MOVED, {} ASK",
        written.count, written.moved, written.asked
    );
}

/// Keys reach a node that wants a password; without it nothing is touched.
fn reshard_with_a_password(cluster: &Cluster) {
    let ids = [&cluster.nodes[0], &cluster.nodes[3]].map(|node| myself(node).id);
    let entry = cluster.nodes[0].address();
    let mut links: Vec<Client> = cluster.nodes.iter().map(Daemon::client).collect();
    for link in &mut links {
        assert_eq!(link.text("CONFIG SET requirepass keys"), "OK");
    }
    let reshard = [
        "reshard", "--from", &ids[0], "--to", &ids[1], "--slots", "20", "--yes", &entry,
    ];
    let run = trib(&reshard, "");
    assert_eq!(run.code, Some(1), "{}", run.out);
    assert!(run.out.contains("\n    NOAUTH Authentication required."));
    let keys = |link: &mut Client| link.call("DBSIZE").as_int().unwrap();
    assert_eq!(links[0].text("AUTH keys"), "OK");
    let before = keys(&mut links[0]);
    let run = trib(&[&["--password", "keys"][..], &reshard].concat(), "");
    assert_eq!(run.code, Some(0), "{}", run.out);
    assert!(keys(&mut links[0]) < before, "slots with keys have moved");
    for link in &mut links {
        assert_eq!(link.text("AUTH keys"), "OK");
        assert_eq!(
            text_of(&link.call_words(&[b"CONFIG", b"SET", b"requirepass", b""])),
            "OK"
        );
    }
    cluster.wait_clean(&cluster.nodes[0]);
}

fn w20_remove_nodes(cluster: &mut Cluster) {
    let entry = cluster.nodes[0].address();
    let full = &cluster.nodes[3];
    let run = trib(&["del-node", &entry, &myself(full).id], "");
    assert_eq!(run.code, Some(1), "{}", run.out);
    let refusal = format!(
        "[ERR] Node {} is not empty! Reshard data away and try again.",
        full.address()
    );
    assert!(run.out.contains(&refusal), "{}", run.out);
    // The replica has no slots of its own.
    let mut replica = cluster.nodes.pop().unwrap();
    let run = trib(&["del-node", &entry, &myself(&replica).id], "");
    assert_eq!(run.code, Some(0), "{}", run.out);
    assert!(run.out.contains(">>> SHUTDOWN the node."), "{}", run.out);
    assert!(replica.ended().success());
    for node in &cluster.nodes {
        assert!(seen(node, replica.port).is_none());
    }
    cluster.wait_clean(&cluster.nodes[0]);
}

fn w21_a_master_without_replica_dies(cluster: &mut Cluster) {
    let mut dead = cluster.nodes.remove(2);
    let key = (0..)
        .map(|n| format!("own:{n}"))
        .find(|key| slot(key) < 5461 && slot(key) > 2000)
        .unwrap();
    let writer = &cluster.nodes[0];
    assert_eq!(writer.text(&format!("SET {key} 1")), "OK");
    dead.kill();
    for node in &cluster.nodes {
        wait_until("the node is known to have failed", || {
            seen(node, dead.port).is_some_and(|line| line.is("fail"))
        });
        wait_until("the cluster is down", || state(node) == "fail");
    }
    assert!(
        writer
            .text(&format!("SET {key} 2"))
            .starts_with("CLUSTERDOWN ")
    );
    assert!(
        cluster
            .nodes
            .iter()
            .any(|node| node.log().contains(" as failing (quorum reached)."))
    );
    dead.start();
    cluster.nodes.push(dead);
    cluster.wait_ok();
    assert_eq!(cluster.nodes[0].text(&format!("SET {key} 3")), "OK");
    cluster.wait_clean(&cluster.nodes[0]);
}

fn w22_create_with_replicas() -> Cluster {
    let cluster = Cluster::joined(6, 1);
    let masters: Vec<_> = cluster.nodes[..3].iter().map(myself).collect();
    let followed: std::collections::BTreeSet<String> = cluster.nodes[3..]
        .iter()
        .map(|node| {
            let line = myself(node);
            assert!(line.is("slave"), "{}", line.line);
            line.master
        })
        .collect();
    let expected = masters
        .iter()
        .map(|line| {
            assert!(line.is("master"), "{}", line.line);
            line.id.clone()
        })
        .collect();
    assert_eq!(followed, expected, "each master has one replica");
    cluster.wait_clean(&cluster.nodes[5]);
    cluster
}

/// Replicas hear of a message from the bus, so the replication stream must not bring it too.
fn a_message_is_heard_once_everywhere(cluster: &Cluster) {
    let mut subscribers: Vec<Client> = cluster.nodes.iter().map(Daemon::client).collect();
    for subscriber in &mut subscribers {
        assert_eq!(subscriber.text("SUBSCRIBE news"), "subscribe\nnews\n1");
    }
    for publisher in &cluster.nodes {
        for word in ["first", "second"] {
            let _ = publisher.call(&format!("PUBLISH news {word}"));
            for subscriber in &mut subscribers {
                assert_eq!(
                    text_of(&subscriber.message()),
                    format!("message\nnews\n{word}")
                );
            }
            // Whatever else could bring it has come by now.
            cluster.wait_in_step();
        }
    }
}

/// Messages to a channel of a shard are heard by its nodes, once, and nowhere else.
fn a_sharded_message_is_heard_in_its_shard(cluster: &Cluster) {
    let mut nodes = cluster.nodes.iter();
    let owner = nodes
        .find(|node| node.text("SPUBLISH channel nobody") == "0")
        .unwrap();
    let id = myself(owner).id;
    let mut readers: Vec<Client> = Vec::new();
    for node in &cluster.nodes {
        let mut reader = node.client();
        let master = myself(node).master;
        if std::ptr::eq(node, owner) || master == id {
            assert_eq!(reader.text("SSUBSCRIBE channel"), "ssubscribe\nchannel\n1");
            readers.push(reader);
        } else {
            assert!(reader.text("SSUBSCRIBE channel").starts_with("MOVED "));
        }
    }
    assert_eq!(readers.len(), 2, "a master and its replica");
    for word in ["first", "second"] {
        assert_eq!(owner.text(&format!("SPUBLISH channel {word}")), "1");
        for reader in &mut readers {
            let message = text_of(&reader.message());
            assert_eq!(message, format!("smessage\nchannel\n{word}"));
        }
        cluster.wait_in_step();
    }
}

/// WAIT counts replicas that have what was in the stream after the client's last command, whatever others wrote since.
fn wait_is_for_what_the_client_has_seen(cluster: &Cluster) {
    let master = &cluster.nodes[0];
    let mut idle = master.client();
    let mut busy = master.client();
    let key = (0..)
        .map(|number| format!("wait:{number}"))
        .find(|key| master.text(&format!("SET {key} 1")) == "OK")
        .unwrap();
    assert_eq!(idle.text("WAIT 1 5000"), "1");
    for number in 2..20 {
        assert_eq!(busy.text(&format!("INCR {key}")), number.to_string());
        assert_eq!(idle.text("WAIT 0 0"), "1");
    }
}

/// A turn of three node timeouts, once one that others are served in, and once one that they are not.
fn what_takes_long_is_no_death(cluster: &Cluster) {
    const SCRIPT: &str = "redis.call('SET', KEYS[1], 'before') local t = os.clock() while os.clock() - t < 6 do end return redis.call('SET', KEYS[1], 'done')";
    let masters = &cluster.nodes[..2];
    let owned = |node: &Daemon| {
        let keys = (0..).map(|number| format!("long:{number}"));
        let mut client = node.client();
        keys.into_iter()
            .find(|key| {
                client
                    .try_call(&format!("GET {key}"))
                    .is_ok_and(|value| !matches!(value, Value::Error(_)))
            })
            .unwrap()
    };
    let busy: Vec<(String, JoinHandle<Value>)> = masters
        .iter()
        .zip(["100", "0"])
        .map(|(node, threshold)| {
            let set = format!("CONFIG SET busy-reply-threshold {threshold}");
            assert_eq!(node.text(&set), "OK");
            let key = owned(node);
            let mut client = node.client();
            client.set_limit(Duration::from_secs(30));
            let named = key.clone();
            let words =
                move || client.call_words(&[b"EVAL", SCRIPT.as_bytes(), b"1", named.as_bytes()]);
            (key, std::thread::spawn(words))
        })
        .collect();
    for (node, (key, script)) in masters.iter().zip(busy) {
        assert_eq!(text_of(&script.join().unwrap()), "OK");
        assert_eq!(node.text(&format!("GET {key}")), "done");
        assert_eq!(node.info_field("replication", "role"), "master");
    }
    for node in &cluster.nodes {
        let log = node.log();
        assert!(!log.contains("Start of election"), "{log}");
        assert!(!log.contains("as failing"), "{log}");
    }
    cluster.wait_ok();
}

fn w23_a_replica_dies(cluster: &mut Cluster) {
    let replica_port = cluster.nodes[5].port;
    let master_id = myself(&cluster.nodes[5]).master;
    cluster.node(replica_port).kill();
    let watcher = &cluster.nodes[0];
    wait_until("the replica is known to have failed", || {
        assert_eq!(state(watcher), "ok", "the cluster stays up");
        seen(watcher, replica_port).is_some_and(|line| line.is("fail"))
    });
    let mut router = Router::new(cluster.nodes[..3].iter().map(|node| node.port).collect());
    for number in 0..200 {
        let key = format!("while-away:{number}");
        let (reply, _) = router.call(&key, &[b"SET", key.as_bytes(), b"1"]).unwrap();
        assert!(reply.is_ok());
    }
    cluster.node(replica_port).start();
    cluster.wait_ok();
    let master = cluster.nodes[..3]
        .iter()
        .find(|node| myself(node).id == master_id)
        .unwrap();
    let keys = master.text("DBSIZE");
    assert_ne!(keys, "0");
    let replica = &cluster.nodes[5];
    wait_until("the replica has caught up", || {
        replica.text("DBSIZE") == keys
    });
    wait_until("its failure is forgotten", || {
        cluster.nodes.iter().all(|node| {
            view(node)
                .iter()
                .all(|line| !line.is("fail") && !line.is("fail?"))
        })
    });
    cluster.wait_clean(&cluster.nodes[0]);
}

fn w24_a_master_dies_under_load(cluster: &mut Cluster) {
    let load = Load::start(cluster.router(), |router, number| {
        // Each key is written once; what counts is what a replica has got.
        let (key, value) = (format!("once:{number}"), number.to_string());
        let reached = router.set_and_wait(&key, &value, 100)?;
        Ok(reached.then_some((key, value)))
    });
    load.wait_for_writes(300);
    let dead_port = cluster.nodes[0].port;
    let before = myself(&cluster.nodes[0]);
    let key = (0..)
        .map(|n| format!("dead:{n}"))
        .find(|key| slot(key) < 5461)
        .unwrap();
    let start = Instant::now();
    cluster.node(dead_port).kill();
    let mut router = Router::new(cluster.nodes[1..].iter().map(|node| node.port).collect());
    let new_port = wait_for(
        "its slots are served again",
        Duration::from_secs(30),
        || {
            let (reply, port) = router.call(&key, &[b"SET", key.as_bytes(), b"1"]).ok()?;
            (reply.is_ok() && port != dead_port).then_some(port)
        },
    );
    let healed = start.elapsed();
    println!("cluster: a master's slots are served again {healed:?} after kill -9");
    assert!(healed < Duration::from_secs(6), "{healed:?}");
    let count = load.count();
    load.wait_for_writes(count + 300);

    cluster.node(dead_port).start();
    wait_until("the old master is a replica of the new one", || {
        let old = myself(&cluster.nodes[0]);
        let new = seen(&cluster.nodes[0], new_port);
        old.is("slave") && new.is_some_and(|new| new.id == old.master)
    });
    assert_eq!(
        myself(&cluster.nodes[0]).id,
        before.id,
        "nodes.conf has kept its name"
    );
    cluster.wait_ok();
    let new = cluster.node(new_port);
    assert!(
        new.log()
            .contains("Failover election won: I'm the new primary.")
    );
    assert_eq!(myself(new).slots, before.slots);
    let written = load.stop();
    println!(
        "cluster: {} writes reached a replica, {} refused while it healed",
        written.values.len(),
        written.errors.len()
    );
    assert!(written.values.len() > 300);
    let mut router = cluster.router();
    for (key, value) in &written.values {
        assert_eq!(&router.value(key), value, "{key}, slot {}", slot(key));
    }
    cluster.wait_clean(&cluster.nodes[0]);
}

/// It is started again at once, with its place in the cluster and without its data: its replica has them.
fn a_master_that_comes_back_empty_gives_way(cluster: &mut Cluster) {
    cluster.wait_in_step();
    let master = (cluster.nodes.iter())
        .find(|node| myself(node).slot_count() > 0 && node.text("DBSIZE") != "0")
        .unwrap();
    let (port, id, keys) = (master.port, myself(master).id, master.text("DBSIZE"));
    let replica = (cluster.nodes.iter())
        .find(|node| myself(node).master == id)
        .unwrap()
        .port;
    cluster.node(port).kill();
    cluster.node(port).start();
    let replica = cluster.node(replica);
    wait_until("the replica with the data is the master", || {
        myself(replica).is("master")
    });
    assert!(replica.log().contains("came back without its data"));
    assert_eq!(replica.text("DBSIZE"), keys);
    cluster.wait_ok();
    let old = cluster.node(port);
    wait_until("the old master has its data again", || {
        old.text("DBSIZE") == keys
    });
}

/// A writer on a thread of its own.
struct Load {
    stop: Arc<AtomicBool>,
    count: Arc<std::sync::atomic::AtomicUsize>,
    thread: Option<JoinHandle<Written>>,
}

/// What a writer knows in the end.
#[derive(Default)]
struct Written {
    /// What must be found: the last acknowledged value of each key.
    values: BTreeMap<String, String>,
    errors: Vec<String>,
    count: usize,
    moved: usize,
    asked: usize,
}

impl Load {
    /// `step` makes one write and says what it may count on.
    fn start(
        mut router: Router,
        step: impl Fn(&mut Router, usize) -> Result<Option<(String, String)>, String> + Send + 'static,
    ) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let count = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let (stopped, counter) = (Arc::clone(&stop), Arc::clone(&count));
        let thread = std::thread::spawn(move || {
            let mut written = Written::default();
            let mut number = 0;
            while !stopped.load(Ordering::Relaxed) {
                match step(&mut router, number) {
                    Ok(value) => {
                        written.values.extend(value);
                        written.count += 1;
                        counter.fetch_add(1, Ordering::Relaxed);
                    }
                    Err(error) => written.errors.push(error),
                }
                number += 1;
            }
            (written.moved, written.asked) = (router.moved, router.asked);
            written
        });
        Self {
            stop,
            count,
            thread: Some(thread),
        }
    }

    fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    fn wait_for_writes(&self, count: usize) {
        wait_until(&format!("{count} writes"), || self.count() >= count);
    }

    fn stop(mut self) -> Written {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
