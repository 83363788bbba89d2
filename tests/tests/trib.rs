//! The cluster tool against real servers: repairs in the middle of outages lose nothing, and what it says and how it
//! ends is what happened. Against clusters of Valkey and Redis too, where there are such programs.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use tern_tests::cluster::{Cluster, myself, new_node, seen, slot};
use tern_tests::daemon::{
    Client, Daemon, Run, binary, free_port, in_path, text_of, trib, wait_until,
};

const KEYS: usize = 300;

fn ok(run: &Run) {
    assert_eq!(run.code, Some(0), "{}", run.out);
}

fn refused(run: &Run, words: &[&str]) {
    assert_eq!(run.code, Some(1), "{}", run.out);
    for word in words {
        assert!(run.out.contains(word), "{word} is missing in {}", run.out);
    }
}

fn key(number: usize) -> String {
    format!("key:{number}")
}

/// Keys in all parts of the cluster; each has reached `replicas` replicas.
fn fill(cluster: &Cluster, replicas: bool) {
    let mut router = cluster.router();
    for number in 0..KEYS {
        let key = key(number);
        if replicas {
            assert!(router.set_and_wait(&key, &key, 5000).unwrap());
        } else {
            let (reply, _) = router
                .call(&key, &[b"SET", key.as_bytes(), key.as_bytes()])
                .unwrap();
            assert!(reply.is_ok());
        }
    }
}

fn assert_filled(cluster: &Cluster) {
    let mut router = cluster.router();
    for number in 0..KEYS {
        assert_eq!(router.value(&key(number)), key(number));
    }
}

fn key_of(node: &Daemon, name: &str) -> String {
    let owner = myself(node);
    let owns = |slot: u16| {
        owner
            .slots
            .iter()
            .filter(|range| !range.starts_with('['))
            .any(|range| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                (first.parse::<u16>().unwrap()..=last.parse().unwrap()).contains(&slot)
            })
    };
    (0..)
        .map(|n| format!("{name}:{n}"))
        .find(|key| owns(slot(key)))
        .unwrap()
}

#[test]
fn fix_waits_for_the_failover_and_loses_nothing() {
    let mut cluster = Cluster::joined(6, 1);
    fill(&cluster, true);
    let (dead, entry) = (cluster.nodes[0].port, cluster.nodes[1].address());
    let lost = myself(&cluster.nodes[0]);
    cluster.node(dead).kill();
    let run = trib(&["fix", "--yes", &entry], "");
    ok(&run);
    assert!(run.out.contains("Waiting for a failover"), "{}", run.out);
    // The slots are where the failover brought them, all together.
    let heir = cluster.nodes[3..]
        .iter()
        .map(myself)
        .find(|line| line.is("master"))
        .unwrap();
    assert_eq!(heir.slots, lost.slots);
    // The dead master is still part of the cluster: a check says so.
    refused(
        &trib(&["check", &entry], ""),
        &[&format!("127.0.0.1:{dead} ("), "can't be reached"],
    );
    cluster.node(dead).start();
    cluster.wait_ok();
    assert_filled(&cluster);
    cluster.wait_clean(&cluster.nodes[1]);
}

#[test]
fn fix_gives_nothing_away_that_it_cannot_see() {
    let mut cluster = Cluster::joined(3, 0);
    fill(&cluster, false);
    let entry = cluster.nodes[0].address();
    let lost = myself(&cluster.nodes[2]);
    let named = format!("{} ({})", cluster.nodes[2].address(), lost.id);

    // Busy: it is well and says so.
    assert_eq!(cluster.nodes[2].text("CONFIG SET lua-time-limit 50"), "OK");
    let mut script = cluster.nodes[2].client();
    let runner =
        std::thread::spawn(move || script.try_call_words(&[b"EVAL", b"while true do end", b"0"]));
    wait_until("the node is busy", || {
        cluster.nodes[2].text("PING").starts_with("BUSY")
    });
    let run = trib(&["fix", "--yes", &entry], "");
    refused(
        &run,
        &[
            &named,
            "BUSY",
            "No replica of it can be reached",
            "--give-up-unreachable",
            "Nothing was changed",
        ],
    );
    assert_eq!(cluster.nodes[2].text("SCRIPT KILL"), "OK");
    drop(runner.join());
    cluster.wait_ok();
    assert_filled(&cluster);

    // Dead: a word is needed even where every question is answered with yes.
    let dead = lost.port;
    assert_eq!(cluster.nodes[2].text("SAVE"), "OK");
    cluster.node(dead).kill();
    let run = trib(&["fix", &entry], "no\n");
    refused(&run, &[&named, "Give up 127.0.0.1:"]);
    for node in &cluster.nodes[..2] {
        assert_eq!(seen(node, dead).unwrap().slot_count(), lost.slot_count());
    }
    cluster.node(dead).start();
    cluster.wait_ok();
    assert_filled(&cluster);

    cluster.node(dead).kill();
    ok(&trib(
        &["fix", "--yes", "--give-up-unreachable", &entry],
        "",
    ));
    let covered: usize = cluster.nodes[..2]
        .iter()
        .map(|node| myself(node).slot_count())
        .sum();
    assert_eq!(covered, 16384);
}

#[test]
fn fix_keeps_the_owners_values_and_the_copies_that_differ() {
    let cluster = Cluster::joined(3, 0);
    let (owner, other) = (&cluster.nodes[0], &cluster.nodes[1]);
    let id = myself(owner).id;
    let tag = key_of(owner, "tag");
    let slot = slot(&tag);
    // What a master that comes back with old copies looks like.
    assert_eq!(
        other.text(&format!("CLUSTER SETSLOT {slot} IMPORTING {id}")),
        "OK"
    );
    let mut stale = other.client();
    for (name, value) in [("both", "old"), ("alike", "same"), ("only", "here")] {
        assert_eq!(stale.text("ASKING"), "OK");
        assert_eq!(stale.text(&format!("SET {{{tag}}}{name} {value}")), "OK");
    }
    for (name, value) in [("both", "new"), ("alike", "same")] {
        assert_eq!(owner.text(&format!("SET {{{tag}}}{name} {value}")), "OK");
    }
    let run = trib(&["fix", "--yes", &owner.address()], "");
    ok(&run);
    assert!(
        run.out.contains(&format!(
            "{{{tag}}}both\" of slot {slot} differs at {}",
            other.address()
        )),
        "{}",
        run.out
    );
    assert!(run.out.contains("1 copies that differed"), "{}", run.out);
    for (name, value) in [("both", "new"), ("alike", "same"), ("only", "here")] {
        assert_eq!(owner.text(&format!("GET {{{tag}}}{name}")), value, "{name}");
    }
    assert_eq!(other.text(&format!("CLUSTER COUNTKEYSINSLOT {slot}")), "0");
    cluster.wait_clean(owner);
}

#[test]
fn a_failed_node_is_told_of_and_can_be_removed() {
    let mut cluster = Cluster::joined(6, 1);
    let entry = cluster.nodes[0].address();
    let mut dead = cluster.nodes.remove(5);
    let id = myself(&dead).id;
    dead.kill();
    wait_until("the replica is known to have failed", || {
        cluster
            .nodes
            .iter()
            .all(|node| seen(node, dead.port).is_some_and(|line| line.is("fail")))
    });
    let name = format!("[ERR] {} ({id}), replica of ", dead.address());
    refused(
        &trib(&["check", &entry], ""),
        &[&name, "has no replica that can be reached"],
    );
    // Slots are moved all the same.
    let ids = [&cluster.nodes[0], &cluster.nodes[1]].map(|node| myself(node).id);
    let run = trib(
        &[
            "reshard", "--from", &ids[0], "--to", &ids[1], "--slots", "10", "--yes", &entry,
        ],
        "",
    );
    ok(&run);
    assert!(run.out.contains("[OK] 10 slots"), "{}", run.out);

    let run = trib(&["del-node", &entry, &id], "");
    ok(&run);
    assert!(
        run.out.contains("it is forgotten, and not shut down"),
        "{}",
        run.out
    );
    for node in &cluster.nodes {
        assert!(seen(node, dead.port).is_none());
    }
    cluster.wait_clean(&cluster.nodes[0]);

    // A master that owns slots is no node to be removed.
    let mut dead = cluster.nodes.remove(2);
    let id = myself(&dead).id;
    dead.kill();
    let run = trib(&["del-node", &entry, &id], "");
    refused(&run, &["can't be reached and owns 5461 slots"]);
}

#[test]
fn a_source_outside_has_a_login_of_its_own() {
    let cluster = Cluster::joined(3, 0);
    let entry = cluster.nodes[0].address();
    let source = Daemon::server("save \"\"");
    let mut client = source.client();
    assert_eq!(client.text("CONFIG SET requirepass outside"), "OK");
    assert_eq!(client.text("AUTH outside"), "OK");
    for number in 0..KEYS {
        assert_eq!(client.text(&format!("SET {0} {0}", key(number))), "OK");
    }
    for node in &cluster.nodes {
        assert_eq!(node.text("CONFIG SET requirepass inside"), "OK");
    }
    let from = source.address();
    let run = trib(&["import", "--from", &from, "-a", "inside", &entry], "");
    refused(&run, &["NOAUTH"]);
    let run = trib(
        &[
            "import",
            "--from",
            &from,
            "--from-askpass",
            "-a",
            "inside",
            &entry,
        ],
        "outside\n",
    );
    ok(&run);
    assert_eq!(client.text("DBSIZE"), "0");
    for node in &cluster.nodes {
        let mut client = node.client();
        assert_eq!(client.text("AUTH inside"), "OK");
        assert_eq!(
            text_of(&client.call_words(&[b"CONFIG", b"SET", b"requirepass", b""])),
            "OK"
        );
    }
    assert_filled(&cluster);
}

#[test]
fn a_timeout_that_not_all_nodes_took_is_an_error() {
    let mut cluster = Cluster::joined(3, 0);
    let entry = cluster.nodes[0].address();
    let run = trib(&["set-timeout", &entry, "3000"], "");
    ok(&run);
    assert!(
        run.out
            .contains("[OK] New node timeout of 3000 ms: set at 3 nodes, not at 0."),
        "{}",
        run.out
    );
    cluster.nodes[2].kill();
    let run = trib(&["set-timeout", &entry, "4000"], "");
    refused(
        &run,
        &[
            "did not get the new node timeout",
            "set at 2 nodes, not at 1.",
        ],
    );
}

/// A reshard that is stopped while it runs: how it is stopped, and the exit code.
fn stopped(arguments: &[&str], target: &Daemon, signal: &str) -> Option<i32> {
    let line = myself(target);
    // Those that are open are finished first, and then the move itself begins.
    let open = line.slots.iter().filter(|slot| slot.starts_with('['));
    let before = line.slot_count() + open.count();
    let mut child = std::process::Command::new(binary("trib"))
        .args(arguments)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait_until("some slots have moved", || {
        myself(target).slot_count() > before
    });
    let pid = child.id().to_string();
    assert!(
        std::process::Command::new("kill")
            .args([signal, &pid])
            .status()
            .unwrap()
            .success()
    );
    child.wait().unwrap().code()
}

#[test]
fn the_same_command_goes_on_where_it_was_stopped() {
    let cluster = Cluster::joined(3, 0);
    let mut router = cluster.router();
    for number in 0..3000 {
        let key = key(number);
        router
            .call(&key, &[b"SET", key.as_bytes(), key.as_bytes()])
            .unwrap();
    }
    let [source, target] = [&cluster.nodes[0], &cluster.nodes[1]];
    let (from, to, entry) = (myself(source).id, myself(target).id, source.address());
    let before = myself(target).slot_count();
    let reshard = [
        "reshard", "--from", &from, "--to", &to, "--slots", "2000", "--yes", &entry,
    ];
    let slowly = [&reshard[..], &["--rate", "100"]].concat();
    let open = || {
        let lines = [source, target].map(myself);
        lines
            .iter()
            .flat_map(|line| &line.slots)
            .filter(|slot| slot.starts_with('['))
            .count()
    };
    // Killed, it leaves slots open; interrupted, it does not.
    assert_eq!(stopped(&slowly, target, "-KILL"), None);
    assert_eq!(stopped(&slowly, target, "-INT"), Some(1));
    assert_eq!(open(), 0);
    let moved = myself(target).slot_count() - before;
    assert!((1..2000).contains(&moved), "{moved}");
    let run = trib(&reshard, "");
    ok(&run);
    assert!(
        run.out.contains("Going on with a reshard that was stopped"),
        "{}",
        run.out
    );
    assert_eq!(myself(target).slot_count(), before + 2000);
    for number in 0..3000 {
        assert_eq!(router.value(&key(number)), key(number));
    }
    let keys: i64 = cluster
        .nodes
        .iter()
        .map(|node| node.call("DBSIZE").as_int().unwrap())
        .sum();
    assert_eq!(keys, 3000, "the journal is gone");

    // By keys: the source gives away what it has too much of.
    ok(&trib(&["rebalance", "--by", "keys", &entry], ""));
    let keys = cluster
        .nodes
        .iter()
        .map(|node| node.call("DBSIZE").as_int().unwrap());
    assert!(
        keys.clone().all(|keys| (950..=1050).contains(&keys)),
        "{:?}",
        keys.collect::<Vec<_>>()
    );
    ok(&trib(&["del-node", "--drain", &entry, &to], ""));
    assert_eq!(
        myself(source).slot_count() + myself(&cluster.nodes[2]).slot_count(),
        16384
    );
}

/// Writes so many keys into each of thirty slots that a node has.
fn load(cluster: &Cluster, node: &Daemon, name: &str, count: usize) {
    let mut router = cluster.router();
    for tag in 0..30 {
        let tag = key_of(node, &format!("{name}:{tag}"));
        for number in 0..count {
            let key = format!("{{{tag}}}:{number}");
            router.call(&key, &[b"SET", key.as_bytes(), b"1"]).unwrap();
        }
    }
}

/// A process that does not outlive its test, however that ends.
struct EndsWithTest(std::process::Child);

impl Drop for EndsWithTest {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_rebalance_that_watches_keeps_the_balance() {
    let cluster = Cluster::joined(3, 0);
    let keys = || -> Vec<i64> {
        let nodes = cluster.nodes.iter();
        nodes
            .map(|node| node.call("DBSIZE").as_int().unwrap())
            .collect()
    };
    let balanced = |total: i64| {
        let keys = keys();
        let part = total / 3;
        keys.iter().sum::<i64>() == total
            && keys
                .iter()
                .all(|keys| (part * 8 / 10..=part * 12 / 10).contains(keys))
    };
    load(&cluster, &cluster.nodes[0], "first", 20);
    let child = std::process::Command::new(binary("trib"))
        .args(["rebalance", "--by", "keys", "--watch", "1"])
        .arg(cluster.nodes[1].address())
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn();
    let mut child = EndsWithTest(child.unwrap());
    wait_until("what was on one node is on all", || balanced(600));
    // The load moves; nobody has started anything anew.
    load(&cluster, &cluster.nodes[1], "second", 30);
    wait_until("the balance is kept", || balanced(1500));
    assert_eq!(child.0.try_wait().unwrap(), None, "it goes on");
    let interrupted = std::process::Command::new("kill")
        .args(["-INT", &child.0.id().to_string()])
        .status();
    assert!(interrupted.unwrap().success());
    let mut code = None;
    wait_until("it ends when it is told to", || {
        code = child.0.try_wait().unwrap();
        code.is_some()
    });
    // As other programs, or by itself where it was moving something.
    let code = code.and_then(|status| status.code());
    assert!(matches!(code, Some(130 | 1 | 0)), "{code:?}");
    cluster.wait_clean(&cluster.nodes[0]);
}

#[test]
fn servers_without_a_cluster_are_watched_and_examined() {
    let master = Daemon::server("repl-diskless-sync-delay 0");
    let entry = master.address();
    assert_eq!(master.text("SET a 1"), "OK");
    let run = trib(&["watch", "--count", "1", &entry], "");
    ok(&run);
    assert!(run.out.starts_with("1 server; 1 keys, "), "{}", run.out);
    assert!(!run.out.contains("......"), "a map of slots: {}", run.out);
    let run = trib(&["doctor", &entry], "");
    ok(&run);
    let well = "[OK] Nothing is wrong with this server, as far as can be seen from here.";
    assert_eq!(run.out.trim_end(), well);

    let mut replica = Daemon::server(&format!("replicaof 127.0.0.1 {}", master.port));
    wait_until("the replica is in sync", || {
        replica
            .text("INFO replication")
            .contains("master_link_status:up")
    });
    for at in [&entry, &replica.address()] {
        let run = trib(&["watch", "--count", "1", at], "");
        ok(&run);
        assert!(run.out.starts_with("2 servers; 1 keys, "), "{}", run.out);
        let of = format!("replica of {entry}");
        assert!(run.out.contains(&of), "{}", run.out);
        let run = trib(&["doctor", at], "");
        ok(&run);
        let well = "[OK] Nothing is wrong with these 2 servers";
        assert!(run.out.starts_with(well), "{}", run.out);
    }
    let run = trib(&["check", &entry], "");
    assert_eq!(run.code, Some(1), "{}", run.out);
    let instead = "is not configured as a cluster node.\n    For servers without a cluster there are trib watch, doctor,";
    assert!(run.out.contains(instead), "{}", run.out);

    drop(master);
    wait_until("the replica has noticed", || {
        replica
            .text("INFO replication")
            .contains("master_link_status:down")
    });
    let run = trib(&["watch", "--count", "1", &replica.address()], "");
    assert!(run.out.contains("no link to its master"), "{}", run.out);
    assert!(run.out.contains("1 nodes can't be reached"), "{}", run.out);
    let run = trib(&["doctor", &replica.address()], "");
    assert_eq!(run.code, Some(1), "{}", run.out);
    assert!(
        run.out.contains(&format!("[ERR] {entry} can't be reached")),
        "{}",
        run.out
    );
    assert!(
        run.out.contains("has no link to its master."),
        "{}",
        run.out
    );
    replica.kill();
    assert_eq!(trib(&["doctor", &replica.address()], "").code, Some(1));
}

#[test]
fn the_doctor_says_what_is_wrong() {
    let mut cluster = Cluster::joined(3, 0);
    let entry = cluster.nodes[0].address();
    let run = trib(&["doctor", &entry], "");
    ok(&run);
    assert!(
        run.out.contains("All nodes are on one host."),
        "{}",
        run.out
    );
    assert_eq!(
        cluster.nodes[1].text("CONFIG SET cluster-node-timeout 900"),
        "OK"
    );
    cluster.nodes[2].kill();
    let run = trib(&["doctor", &entry], "");
    refused(
        &run,
        &[
            "can't be reached: ",
            "It owns slots.",
            "Nodes differ in cluster-node-timeout",
        ],
    );
}

/// Every verb, on a cluster of another program's nodes.
#[expect(clippy::too_many_lines, reason = "one story")]
fn administers(program: &str) {
    if !in_path(program) {
        return;
    }
    let node = || {
        Daemon::other(
            program,
            "cluster-enabled yes\ncluster-config-file nodes.conf\ncluster-node-timeout 2000\nsave \"\"",
        )
    };
    let mut cluster = Cluster {
        nodes: (0..6).map(|_| node()).collect(),
    };
    ok(&cluster.create(1, "yes\n"));
    cluster.wait_ok();
    fill(&cluster, false);
    let entry = cluster.nodes[0].address();
    ok(&trib(&["check", &entry], ""));
    let run = trib(&["info", &entry], "");
    assert!(
        run.out.contains(&format!("[OK] {KEYS} keys in 3 masters.")),
        "{}",
        run.out
    );
    let run = trib(&["call", &entry, "ping"], "");
    assert_eq!(run.out.matches(": PONG").count(), 6, "{}", run.out);
    let run = trib(&["watch", "--count", "2", "--interval", "0.1", &entry], "");
    ok(&run);
    let whole = format!("6 nodes, 3 masters; 16384 of 16384 slots covered; {KEYS} keys");
    assert_eq!(run.out.matches(&whole).count(), 2, "{}", run.out);
    ok(&trib(&["doctor", &entry], ""));
    ok(&trib(&["set-timeout", &entry, "2500"], ""));

    let ids: Vec<String> = cluster.nodes.iter().map(|node| myself(node).id).collect();
    ok(&trib(
        &[
            "reshard", "--from", &ids[0], "--to", &ids[1], "--slots", "2000", "--yes", &entry,
        ],
        "",
    ));
    assert_eq!(myself(&cluster.nodes[1]).slot_count(), 5462 + 2000);
    ok(&trib(&["rebalance", &entry], ""));
    assert!(myself(&cluster.nodes[1]).slot_count() < 5600);

    let (master, replica) = (node(), node());
    ok(&trib(&["add-node", &master.address(), &entry], ""));
    ok(&trib(
        &[
            "add-node",
            "--slave",
            "--master-id",
            &ids[0],
            &replica.address(),
            &entry,
        ],
        "",
    ));
    for mut added in [master, replica] {
        ok(&trib(&["del-node", &entry, &myself(&added).id], ""));
        added.ended();
    }
    an_open_slot_is_fixed(&cluster);
    let source = Daemon::other(program, "save \"\"");
    let mut client = source.client();
    assert_eq!(client.text("CONFIG SET requirepass outside"), "OK");
    assert_eq!(client.text("AUTH outside"), "OK");
    assert_eq!(client.text("SET imported 1"), "OK");
    ok(&trib(
        &[
            "import",
            "--from",
            &source.address(),
            "--from-pass",
            "outside",
            &entry,
        ],
        "",
    ));
    assert_eq!(cluster.router().value("imported"), "1");

    // A master whose slots never moved. A node of Redis 7.0 that hears of a move in the wrong order notes that their
    // owner does not claim them, and keeps the note when it takes the owner's place: the old owner's next message then
    // takes these slots, with their keys, from it.
    let dead = cluster.nodes[2].port;
    cluster.node(dead).kill();
    ok(&trib(&["fix", "--yes", &cluster.nodes[1].address()], ""));
    cluster.node(dead).start();
    cluster.wait_ok();
    assert_filled(&cluster);
    cluster.wait_clean(&cluster.nodes[1]);
}

fn an_open_slot_is_fixed(cluster: &Cluster) {
    let [owner, other] = [&cluster.nodes[0], &cluster.nodes[1]];
    let key = key_of(owner, "open");
    let slot = slot(&key);
    let mut client: Client = owner.client();
    assert_eq!(client.text(&format!("SET {key} 1")), "OK");
    let [from, to] = [owner, other].map(|node| myself(node).id);
    assert_eq!(
        other.text(&format!("CLUSTER SETSLOT {slot} IMPORTING {from}")),
        "OK"
    );
    assert_eq!(
        client.text(&format!("CLUSTER SETSLOT {slot} MIGRATING {to}")),
        "OK"
    );
    let open = format!("[WARNING] The following slots are open: {slot}");
    refused(&trib(&["check", &owner.address()], ""), &[&open]);
    ok(&trib(&["fix", "--yes", &owner.address()], ""));
    assert_eq!(cluster.router().value(&key), "1");
    cluster.wait_clean(owner);
}

#[test]
fn trib_administers_clusters_of_valkey() {
    administers("valkey-server");
}

#[test]
fn trib_administers_clusters_of_redis() {
    administers("redis-server");
}

#[test]
fn trib_administers_clusters_of_ours() {
    let cluster = Cluster::joined(3, 0);
    an_open_slot_is_fixed(&cluster);
    let extra = new_node();
    let entry = cluster.nodes[0].address();
    ok(&trib(&["add-node", &extra.address(), &entry], ""));
    ok(&trib(&["rebalance", "--use-empty-masters", &entry], ""));
    assert!(myself(&extra).slot_count() > 4000);
}

#[test]
fn nodes_may_have_their_bus_at_any_port() {
    let node = || {
        Daemon::server(&format!(
            "cluster-enabled yes\ncluster-node-timeout 2000\nsave \"\"\ncluster-port {}",
            free_port()
        ))
    };
    let cluster = Cluster {
        nodes: (0..3).map(|_| node()).collect(),
    };
    ok(&cluster.create(0, "yes\n"));
    cluster.wait_ok();
    let (extra, entry) = (node(), cluster.nodes[0].address());
    ok(&trib(&["add-node", &extra.address(), &entry], ""));
    ok(&trib(&["rebalance", "--use-empty-masters", &entry], ""));
    assert!(myself(&extra).slot_count() > 4000);
}
