//! The CLUSTER command as it is typed: replies and the error texts of 3.0.7.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod harness;

use cluster_bus::{Caller, Facts, Keyspace, Reply, Slot};
use harness::{World, cluster, quick};

struct Keys(u64);

impl Keyspace for Keys {
    fn is_empty(&self) -> bool {
        self.0 == 0
    }
    fn count_keys_in_slot(&self, _: Slot) -> u64 {
        self.0
    }
    fn keys_in_slot(&self, _: Slot, max: usize) -> Vec<Vec<u8>> {
        (0..self.0)
            .take(max)
            .map(|key| key.to_string().into_bytes())
            .collect()
    }
}

fn run(world: &mut World, index: usize, line: &str, keys: u64) -> Result<Reply, String> {
    let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    world
        .call(index, |node, now| {
            node.command(now, Facts::default(), Caller::default(), &args, &Keys(keys))
        })
        .map_err(|error| error.to_string())
}

#[track_caller]
fn refused(world: &mut World, index: usize, line: &str, keys: u64, text: &str) {
    assert_eq!(
        run(world, index, line, keys),
        Err(text.to_owned()),
        "CLUSTER {line}"
    );
}

#[test]
fn a_fresh_node_answers() {
    let mut world = World::new(1, &quick());
    let w = &mut world;
    assert_eq!(
        run(w, 0, "KEYSLOT {hello}_x", 0),
        run(w, 0, "keyslot hello", 0)
    );
    assert_eq!(run(w, 0, "keyslot 123456789", 0), Ok(Reply::Integer(12739)));
    assert_eq!(
        run(w, 0, "myid", 0),
        Ok(Reply::Bulk(w.id_text(0).into_bytes()))
    );
    assert_eq!(run(w, 0, "slots", 0), Ok(Reply::Array(Vec::new())));
    assert_eq!(run(w, 0, "countkeysinslot 1", 5), Ok(Reply::Integer(5)));
    assert_eq!(
        run(w, 0, "getkeysinslot 1 2", 5),
        Ok(Reply::Array(vec![
            Reply::Bulk(b"0".to_vec()),
            Reply::Bulk(b"1".to_vec())
        ]))
    );
    assert_eq!(
        run(w, 0, "bumpepoch", 0),
        Ok(Reply::Status("BUMPED 1".to_owned()))
    );
    assert_eq!(
        run(w, 0, "bumpepoch", 0),
        Ok(Reply::Status("STILL 1".to_owned()))
    );
    assert_eq!(run(w, 0, "saveconfig", 0), Ok(Reply::Ok));
    assert_eq!(run(w, 0, "addslots 1 2 3", 0), Ok(Reply::Ok));
    assert_eq!(run(w, 0, "delslots 2", 0), Ok(Reply::Ok));
    let nodes = format!(
        "{} :7000@17000 myself,master - 0 0 1 connected 1 3\n",
        w.id(0)
    );
    assert_eq!(run(w, 0, "nodes", 0), Ok(Reply::Verbatim(nodes)));
    assert_eq!(run(w, 0, "flushslots", 0), Ok(Reply::Ok));
    assert!(!w.hosts[0].node.is_mine(Slot::new(1).unwrap()));
}

#[test]
fn the_file_is_the_reply_and_the_epochs() {
    let mut world = World::new(1, &quick());
    run(&mut world, 0, "addslots 7", 0).unwrap();
    let id = world.id(0);
    let file = format!(
        "{id} :7000@17000,,tls-port=0,shard-id={} myself,master - 0 0 0 connected 7\nvars currentEpoch 0 lastVoteEpoch 0\n",
        world.hosts[0].node.my_shard()
    );
    assert_eq!(world.hosts[0].file, file);
    world.kill(0);
    world.restart(0);
    assert_eq!(world.id(0), id);
    assert!(world.logged(0, &format!("Node configuration loaded, I'm {id}")));
}

/// What a fresh node with slot 1 refuses: the command, the keys that it holds, the error.
const REFUSED: &[(&str, u64, &str)] = &[
    (
        "frobnicate",
        0,
        "unknown subcommand or wrong number of arguments for 'frobnicate'. Try CLUSTER HELP.",
    ),
    (
        "nodes now",
        0,
        "unknown subcommand or wrong number of arguments for 'nodes'. Try CLUSTER HELP.",
    ),
    (
        "addslotsrange 5 4",
        0,
        "start slot number 5 is greater than end slot number 4",
    ),
    ("addslotsrange 0 3", 0, "Slot 1 is already busy"),
    (
        "addslotsrange 2 3 3 4",
        0,
        "Slot 3 specified multiple times",
    ),
    ("delslotsrange 1 2", 0, "Slot 2 is already unassigned"),
    (
        "addslotsrange 2 3 4",
        0,
        "wrong number of arguments for 'cluster|addslotsrange' command",
    ),
    (
        "slot-stats slotsrange 3 2",
        0,
        "Start slot number 3 is greater than end slot number 2",
    ),
    (
        "slot-stats orderby cpu-usec",
        0,
        "Unrecognized sort metric for ORDERBY.",
    ),
    (
        "slot-stats orderby key-count limit 0",
        0,
        "Limit has to lie in between 1 and 16384 (maximum number of slots).",
    ),
    (
        "slot-stats orderby key-count asc desc",
        0,
        "Multiple filters of the same type are disallowed.",
    ),
    ("flushslot 1 now", 0, "syntax error"),
    (
        "FLUSHSLOT x now now",
        0,
        "unknown subcommand or wrong number of arguments for 'FLUSHSLOT'. Try CLUSTER HELP.",
    ),
    (
        "SLOT-STATS slotsrange 0",
        0,
        "unknown subcommand or wrong number of arguments for 'SLOT-STATS'. Try CLUSTER HELP.",
    ),
    (
        "Slot-Stats by 0 1",
        0,
        "unknown subcommand or wrong number of arguments for 'Slot-Stats'. Try CLUSTER HELP.",
    ),
    (
        "replicate no 1",
        0,
        "unknown subcommand or wrong number of arguments for 'replicate'. Try CLUSTER HELP.",
    ),
    ("setslot 1 stable timeout", 0, "Missing timeout value"),
    ("setslot 1 stable timeout -1", 0, "timeout is negative"),
    ("setslot 1 migrating MYSELF", 0, "Target node is myself"),
    (
        "meet 127.0.0.1 port",
        0,
        "Invalid base port specified: port",
    ),
    (
        "meet localhost 7000",
        0,
        "Invalid node address specified: localhost:7000",
    ),
    ("meet 127.0.0.1 0", 0, "Port number is out of range"),
    (
        "meet 127.0.0.1 55536",
        0,
        "Cluster bus port number is out of range",
    ),
    ("meet ::1 99999999", 0, "Port number is out of range"),
    ("addslots 16384", 0, "Invalid or out of range slot"),
    ("addslots x", 0, "Invalid or out of range slot"),
    ("addslots 2 2", 0, "Slot 2 specified multiple times"),
    ("addslots 2 1", 0, "Slot 1 is already busy"),
    ("addslots 1 x", 0, "Invalid or out of range slot"),
    ("addslots 2 x 1", 0, "Invalid or out of range slot"),
    ("delslots 1 2", 0, "Slot 2 is already unassigned"),
    ("delslots 2 16384", 0, "Invalid or out of range slot"),
    (
        "flushslots",
        1,
        "DB must be empty to perform CLUSTER FLUSHSLOTS.",
    ),
    ("countkeysinslot -1", 0, "Invalid slot"),
    (
        "countkeysinslot x",
        0,
        "value is not an integer or out of range",
    ),
    ("getkeysinslot 1 -1", 0, "Invalid slot or number of keys"),
    (
        "set-config-epoch x",
        0,
        "value is not an integer or out of range",
    ),
    ("failover now", 0, "syntax error"),
    (
        "failover",
        0,
        "You should send CLUSTER FAILOVER to a replica",
    ),
    ("reset please", 0, "syntax error"),
    (
        "reset",
        1,
        "CLUSTER RESET can't be called with master nodes containing keys",
    ),
    ("forget nobody", 0, "Unknown node nobody"),
    ("slaves nobody", 0, "Unknown node nobody"),
    ("count-failure-reports nobody", 0, "Unknown node nobody"),
    ("replicate nobody", 0, "Unknown node nobody"),
    ("replicate MYSELF", 0, "Can't replicate myself"),
    (
        "forget MYSELF",
        0,
        "I tried hard but I can't forget myself...",
    ),
    ("setslot 1 sideways", 0, SETSLOT),
    ("setslot 1 migrating", 0, SETSLOT),
    ("setslot 16384 stable", 0, "Invalid or out of range slot"),
    (
        "setslot 2 migrating x",
        0,
        "I'm not the owner of hash slot 2",
    ),
    (
        "setslot 1 importing x",
        0,
        "I'm already the owner of hash slot 1",
    ),
    ("setslot 1 migrating x", 0, "I don't know about node x"),
    ("setslot 1 node x", 0, "Unknown node x"),
];
const SETSLOT: &str = "Invalid CLUSTER SETSLOT action or number of arguments. Try CLUSTER HELP";

#[test]
fn bad_commands_are_refused_and_change_nothing() {
    let mut world = World::new(1, &quick());
    run(&mut world, 0, "addslots 1", 0).unwrap();
    let before = world.hosts[0].node.nodes_conf();
    for (line, keys, text) in REFUSED {
        let line = line.replace("MYSELF", &world.id_text(0));
        refused(&mut world, 0, &line, *keys, text);
    }
    assert_eq!(world.hosts[0].node.nodes_conf(), before);
}

#[test]
fn a_cluster_refuses_what_would_harm_it() {
    let mut world = cluster(3, 6, &quick());
    let w = &mut world;
    let ids: Vec<String> = (0..6).map(|index| w.id_text(index)).collect();
    refused(
        w,
        3,
        &format!("forget {}", ids[0]),
        0,
        "Can't forget my master!",
    );
    refused(
        w,
        3,
        "setslot 1 stable",
        0,
        "Please use SETSLOT only with masters.",
    );
    refused(
        w,
        3,
        &format!("replicate {}", ids[4]),
        0,
        "I can only replicate a master, not a replica.",
    );
    refused(
        w,
        0,
        &format!("replicate {}", ids[1]),
        0,
        "To set a master the node must be empty and without assigned slots.",
    );
    refused(
        w,
        0,
        &format!("slaves {}", ids[3]),
        0,
        "The specified node is not a master",
    );
    let to_a_replica = format!("setslot 1 node {}", ids[3]);
    refused(w, 0, &to_a_replica, 0, "Target node is not a master");
    let to_a_master = format!("setslot 1 node {}", ids[1]);
    refused(
        w,
        0,
        &to_a_master,
        1,
        "Can't assign hashslot 1 to a different node while I still hold keys for this hash slot.",
    );
    refused(
        w,
        3,
        "addslots 1",
        0,
        "Please use ADDSLOTS only with masters.",
    );
    for verb in ["slaves", "replicas"] {
        let Ok(Reply::Array(lines)) = run(w, 1, &format!("{verb} {}", ids[0]), 0) else {
            panic!()
        };
        let [Reply::Bulk(line)] = lines.as_slice() else {
            panic!("{lines:?}")
        };
        let start = format!("{} 127.0.0.1:7003@17003 slave {} ", ids[3], ids[0]);
        assert!(String::from_utf8_lossy(line).starts_with(&start));
    }
}

#[test]
fn reset_forgets_softly_or_hard() {
    let mut world = cluster(3, 6, &quick());
    let w = &mut world;
    let (id, epoch) = (w.id(3), w.hosts[3].node.current_epoch());
    assert_eq!(
        run(w, 3, "reset", 9),
        Ok(Reply::Ok),
        "a replica may hold keys"
    );
    assert_eq!(
        (
            w.id(3),
            w.hosts[3].node.current_epoch(),
            w.hosts[3].node.node_lines().count()
        ),
        (id, epoch, 1)
    );
    assert!(!w.hosts[3].node.is_replica());
    assert_eq!(run(w, 4, "reset HARD", 0), Ok(Reply::Ok));
    assert_ne!(
        w.id_text(4),
        w.hosts[0]
            .node
            .node_lines()
            .map(|line| line.id.to_string())
            .next()
            .unwrap()
    );
    assert_eq!(
        (
            w.hosts[4].node.current_epoch(),
            w.hosts[4].node.config_epoch()
        ),
        (0, 0)
    );
    assert!(
        w.hosts[4]
            .file
            .ends_with("vars currentEpoch 0 lastVoteEpoch 0\n")
    );
    assert!(w.logged(4, "configEpoch set to 0 via CLUSTER RESET HARD"));
}
