//! Clusters of our nodes and of others': Valkey and Redis, where they are installed.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use tern_tests::cluster::{Cluster, Router, migration, migration_ended, myself};
use tern_tests::daemon::{Daemon, in_path, wait_until};

const CONFIG: &str = "cluster-enabled yes\ncluster-config-file nodes.conf\ncluster-node-timeout 2000\n\
                      save \"\"\nappendonly yes\nappendfsync always";

/// How many keys lie in slot 0.
const KEYS: usize = 300;

/// A node of ours, or of another program.
fn node(program: Option<&str>) -> Daemon {
    match program {
        Some(program) => Daemon::other(program, CONFIG),
        None => Daemon::server(CONFIG),
    }
}

/// Masters of these programs, with one replica each of those.
fn cluster(masters: [Option<&str>; 3], replicas: Option<Option<&str>>) -> Cluster {
    let replicas = replicas.map(|program| [program; 3]);
    let programs = masters.into_iter().chain(replicas.into_iter().flatten());
    let cluster = Cluster {
        nodes: programs.map(node).collect(),
    };
    let run = cluster.create(usize::from(replicas.is_some()), "yes\n");
    assert_eq!(run.code, Some(0), "{}", run.out);
    cluster.wait_ok();
    cluster
}

fn key(number: usize) -> String {
    format!("{{06S}}:{number}")
}

/// Somebody who writes to slot 0 until told to stop, follows redirections, and tells how far they came.
struct Writer {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u32>,
}

impl Writer {
    fn start(cluster: &Cluster) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let mut router = cluster.router();
        let thread = std::thread::spawn(move || {
            let mut round = 0_u32;
            while !told.load(Ordering::Relaxed) {
                let value = (round + 1).to_string();
                let words: [&[u8]; 3] = [b"SET", b"{06S}:w", value.as_bytes()];
                // What is refused or lost on the way is asked again.
                if router.call("{06S}:w", &words).is_ok() {
                    round += 1;
                }
            }
            round
        });
        Self { stop, thread }
    }

    fn stop(self) -> u32 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

fn keys_of(node: &Daemon) -> String {
    node.text("CLUSTER COUNTKEYSINSLOT 0")
}

fn has_nothing(node: &Daemon) {
    wait_until("what was brought is gone", || keys_of(node) == "0");
}

fn go(source: &Daemon, target: &Daemon) {
    let line = format!(
        "CLUSTER MIGRATESLOTS SLOTSRANGE 0 4 NODE {}",
        myself(target).id
    );
    assert_eq!(source.text(&line), "OK");
}

/// Begins, and waits until a child writes the keys, one every 10 ms.
fn go_slowly(source: &Daemon, target: &Daemon) {
    assert_eq!(source.text("CONFIG SET rdb-key-save-delay 10000"), "OK");
    go(source, target);
    wait_until("the keys are on their way", || {
        migration(source)["state"] == "snapshotting"
    });
}

/// The nodes 0 and 1 hand slots to each other, while somebody writes; what fails leaves everything as it was.
fn moves_whole(programs: [Option<&str>; 3]) {
    let mut cluster = cluster(programs, None);
    let mut router = cluster.router();
    for number in 0..KEYS {
        let key = key(number);
        let words: [&[u8]; 3] = [b"SET", key.as_bytes(), b"before"];
        assert!(router.call(&key, &words).unwrap().0.is_ok());
    }
    let all = |node: &Daemon| keys_of(node) == (KEYS + 1).to_string();
    let writer = Writer::start(&cluster);
    let [source, target] = [0, 1].map(|at| &cluster.nodes[at]);
    wait_until("something is written", || all(source));

    go_slowly(source, target);
    assert_eq!(source.text("CLUSTER CANCELSLOTMIGRATIONS"), "OK");
    assert_eq!(migration_ended(source)["state"], "cancelled");
    assert_eq!(migration_ended(target)["state"], "failed");
    has_nothing(target);
    assert!(all(source));

    go_slowly(source, target);
    let port = target.port;
    cluster.node(port).kill();
    let [source, target] = [0, 1].map(|at| &cluster.nodes[at]);
    assert_eq!(migration_ended(source)["state"], "failed");
    assert!(all(source));
    let port = target.port;
    cluster.node(port).start();
    cluster.wait_ok();
    let [source, target] = [0, 1].map(|at| &cluster.nodes[at]);
    has_nothing(target);

    go_slowly(source, target);
    let port = source.port;
    cluster.node(port).kill();
    let [source, target] = [0, 1].map(|at| &cluster.nodes[at]);
    assert_eq!(migration_ended(target)["state"], "failed");
    has_nothing(target);
    let port = source.port;
    cluster.node(port).start();
    cluster.wait_ok();
    let [source, target] = [0, 1].map(|at| &cluster.nodes[at]);
    assert!(all(source));

    go(source, target);
    assert_eq!(migration_ended(source)["state"], "success");
    assert_eq!(migration_ended(target)["state"], "success");
    wait_until("the keys have moved", || {
        all(target) && keys_of(source) == "0"
    });
    let last = writer.stop();
    assert_eq!(router.value("{06S}:w"), last.to_string());
    assert_eq!(router.value(&key(KEYS - 1)), "before");
}

#[test]
fn slots_move_whole_from_ours_to_valkey() {
    if in_path("valkey-server") {
        moves_whole([None, Some("valkey-server"), Some("valkey-server")]);
    }
}

#[test]
fn slots_move_whole_from_valkey_to_ours() {
    if in_path("valkey-server") {
        moves_whole([Some("valkey-server"), None, None]);
    }
}

/// A master dies, its replica takes over, the old master comes back and gets its place again.
fn fails_over(masters: Option<&str>, replicas: Option<&str>) {
    let mut cluster = cluster([masters; 3], Some(replicas));
    let mut router: Router = cluster.router();
    for number in 0..100 {
        let key = format!("key:{number}");
        let written = router.set_and_wait(&key, "1", 5000);
        assert_eq!(written, Ok(true), "{key}");
    }
    let old = cluster.nodes[0].port;
    let id = myself(&cluster.nodes[0]).id;
    let mut nodes = cluster.nodes.iter();
    let new = nodes.find(|node| myself(node).master == id).unwrap().port;
    cluster.node(old).kill();
    wait_until("the replica takes over", || {
        myself(cluster.node(new)).is("master")
    });
    for number in 0..100 {
        assert_eq!(router.value(&format!("key:{number}")), "1");
    }
    cluster.node(old).start();
    wait_until("the old master follows", || {
        cluster
            .node(old)
            .info_field("replication", "master_link_status")
            == "up"
    });
    cluster.wait_ok();
    assert_eq!(cluster.node(old).text("CLUSTER FAILOVER"), "OK");
    wait_until("the old master is master again", || {
        myself(cluster.node(old)).is("master") && !myself(cluster.node(new)).is("master")
    });
    cluster.wait_ok();
    for number in 0..100 {
        assert_eq!(router.value(&format!("key:{number}")), "1");
    }
}

#[test]
fn ours_and_valkey_take_over_from_each_other() {
    if in_path("valkey-server") {
        fails_over(Some("valkey-server"), None);
        fails_over(None, Some("valkey-server"));
    }
}

#[test]
fn ours_and_redis_take_over_from_each_other() {
    if in_path("redis-server") {
        fails_over(Some("redis-server"), None);
        fails_over(None, Some("redis-server"));
    }
}
