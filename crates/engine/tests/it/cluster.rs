//! A server as a node of a cluster.

use crate::harness::{Server, peer, taken};

const CROSSED: &str = "-CROSSSLOT Keys in request don't hash to the same slot\r\n";

fn left(channel: &str, count: usize) -> String {
    let length = channel.len();
    format!("*3\r\n$12\r\nsunsubscribe\r\n${length}\r\n{channel}\r\n:{count}\r\n")
}

#[test]
fn keys_of_one_transaction_are_of_one_slot() {
    let mut server = Server::node();
    let a = server.a;
    server.run(a, &["MULTI"]);
    assert_eq!(server.run(a, &["GET", "foo"]), "+QUEUED\r\n");
    assert_eq!(server.run(a, &["GET", "bar"]), "+QUEUED\r\n");
    assert_eq!(server.run(a, &["EXEC"]), CROSSED);
    assert_eq!(
        server.run(a, &["EXEC"]),
        "-ERR EXEC without MULTI\r\n",
        "the transaction has ended"
    );
    server.run(a, &["MULTI"]);
    server.run(a, &["SET", "{x}1", "1"]);
    server.run(a, &["GET", "{x}1"]);
    assert_eq!(server.run(a, &["EXEC"]), "*2\r\n+OK\r\n$1\r\n1\r\n");
}

#[test]
fn slots_go_and_come_between_two_requests() {
    let mut server = Server::node();
    let a = server.a;
    // The same request before and after: the way for usual requests looks each time.
    for _ in 0..2 {
        assert_eq!(server.run(a, &["SET", "foo", "1"]), "+OK\r\n");
        assert_eq!(server.run(a, &["GET", "foo"]), "$1\r\n1\r\n");
        server.run(a, &["CLUSTER", "DELSLOTS", "12182"]);
        let answer = server.run(a, &["GET", "foo"]);
        assert!(answer.starts_with("-CLUSTERDOWN"), "{answer}");
        server.run(a, &["CLUSTER", "ADDSLOTS", "12182"]);
        server.engine.tick_cluster();
    }
}

#[test]
fn sharded_channels_go_with_their_slots() {
    let mut server = Server::node();
    let (a, b) = (server.a, server.b);
    assert_eq!(server.run(b, &["SSUBSCRIBE", "ch3", "ch7"]), CROSSED);
    server.run(b, &["SSUBSCRIBE", "ch3"]);
    server.run(b, &["SSUBSCRIBE", "ch7"]);
    assert_eq!(server.run(a, &["SPUBLISH", "ch3", "hello"]), ":1\r\n");
    assert_eq!(
        server.run(b, &["PING"]),
        "*3\r\n$8\r\nsmessage\r\n$3\r\nch3\r\n$5\r\nhello\r\n*2\r\n$4\r\npong\r\n$0\r\n\r\n"
    );
    let slot = server.run(a, &["CLUSTER", "KEYSLOT", "ch3"]);
    let slot = slot.trim_start_matches(':').trim_end();
    assert_eq!(server.run(a, &["CLUSTER", "DELSLOTS", slot]), "+OK\r\n");
    assert!(server.engine.take_woken().contains(&b));
    let pong = "*2\r\n$4\r\npong\r\n$0\r\n\r\n";
    assert_eq!(server.run(b, &["PING"]), left("ch3", 1) + pong);
    server.run(a, &["CLUSTER", "FLUSHSLOTS"]);
    assert_eq!(server.run(b, &["PING"]), left("ch7", 0) + "+PONG\r\n");
}

#[test]
fn a_slot_knows_what_it_is_used_for() {
    let mut server = Server::node();
    let (a, b) = (server.a, server.b);
    let stats = |server: &mut Server| {
        let words = ["CLUSTER", "SLOT-STATS", "SLOTSRANGE", "12182", "12182"];
        let reply = server.run(b, &words);
        let numbers = reply.lines().filter_map(|line| line.strip_prefix(':'));
        let numbers: Vec<u64> = numbers.map(|number| number.parse().unwrap()).collect();
        assert_eq!(numbers[0], 12182, "{reply}");
        (numbers[1], numbers[2] > 0, numbers[3], numbers[4])
    };
    assert_eq!(stats(&mut server), (0, false, 0, 0));
    server.run(a, &["SET", "foo", "bar"]);
    assert_eq!(stats(&mut server), (1, true, 31, 5));
    server.run(a, &["CONFIG", "RESETSTAT"]);
    assert_eq!(stats(&mut server), (1, false, 0, 0));
    server.run(a, &["MULTI"]);
    server.run(a, &["GET", "foo"]);
    assert_eq!(stats(&mut server), (1, false, 22, 9));
    server.run(a, &["EXEC"]);
    // With MULTI and EXEC themselves.
    assert_eq!(stats(&mut server), (1, true, 22 + 15 + 14, 9 + 4 + 9));
    // Who waits in vain has used the slot as well.
    server.run(a, &["DEL", "foo"]);
    server.run(a, &["CONFIG", "RESETSTAT"]);
    server.run(a, &["BLPOP", "foo", "0"]);
    assert_eq!(stats(&mut server), (0, false, 0, 0));
    let who = server.run(b, &["CLIENT", "LIST", "FLAGS", "b"]);
    let who = who.split_once("id=").unwrap().1.split_once(' ').unwrap().0;
    assert_eq!(server.run(b, &["CLIENT", "UNBLOCK", who]), ":1\r\n");
    assert_eq!(stats(&mut server), (0, true, 31, 5));
    server.run(a, &["CONFIG", "SET", "cluster-slot-stats-enabled", "no"]);
    let by = ["CLUSTER", "SLOT-STATS", "ORDERBY", "cpu-usec"];
    assert!(server.run(a, &by).starts_with("-ERR "));
}

#[test]
fn slots_count_all_databases_and_commands_the_selected_one() {
    let mut server = Server::node();
    let (a, b) = (server.a, server.b);
    server.run(a, &["SET", "foo", "0"]);
    assert_eq!(server.run(b, &["SELECT", "1"]), "+OK\r\n");
    server.run(b, &["SET", "foo", "1"]);
    server.run(b, &["SET", "{foo}1", "1"]);
    let count = ["CLUSTER", "COUNTKEYSINSLOT", "12182"];
    assert_eq!(server.run(a, &count), ":1\r\n");
    assert_eq!(server.run(b, &count), ":2\r\n");
    let keys = ["CLUSTER", "GETKEYSINSLOT", "12182", "10"];
    assert_eq!(server.run(a, &keys), "*1\r\n$3\r\nfoo\r\n");
    let stats = ["CLUSTER", "SLOT-STATS", "SLOTSRANGE", "12182", "12182"];
    assert!(server.run(a, &stats).contains("key-count\r\n:3\r\n"));
    assert_eq!(
        server.run(b, &["SELECT", "2"]),
        "-ERR DB index is out of range\r\n"
    );
}

/// A node with all slots, and the name of another master that has none.
fn beside_another_master() -> (Server, String) {
    let (mine, other) = ("a".repeat(40), "b".repeat(40));
    let server = Server::node_with(&format!(
        "{mine} 127.0.0.1:7000@17000 myself,master - 0 0 1 connected 0-16383\n\
         {other} 127.0.0.1:7001@17001 master - 0 0 2 connected\n\
         vars currentEpoch 2 lastVoteEpoch 0\n"
    ));
    (server, other)
}

#[test]
fn a_transaction_finds_keys_where_it_selects_them() {
    let (mut server, other) = beside_another_master();
    let a = server.a;
    server.run(a, &["SET", "{foo}0", "in 0"]);
    server.run(a, &["SELECT", "1"]);
    server.run(a, &["SET", "{foo}1", "in 1"]);
    server.run(a, &["SELECT", "0"]);
    let opened = server.run(a, &["CLUSTER", "SETSLOT", "12182", "MIGRATING", &other]);
    assert_eq!(opened, "+OK\r\n");
    let mut exec = |keys: [&str; 2]| {
        server.run(a, &["MULTI"]);
        server.run(a, &["EXISTS", keys[0]]);
        server.run(a, &["SELECT", "1"]);
        server.run(a, &["EXISTS", keys[1]]);
        server.run(a, &["EXEC"])
    };
    let torn = "-TRYAGAIN Multiple keys request during rehashing of slot\r\n";
    assert_eq!(exec(["{foo}0", "{foo}0"]), torn);
    assert_eq!(exec(["{foo}1", "{foo}1"]), torn);
    assert!(exec(["{foo}1", "{foo}0"]).starts_with("-ASK 12182 "));
    // What was refused has selected nothing.
    assert_eq!(exec(["{foo}0", "{foo}1"]), "*3\r\n:1\r\n+OK\r\n:1\r\n");
    // Nobody looks for keys in other databases.
    server.run(a, &["SELECT", "0"]);
    assert_eq!(server.run(a, &["MOVE", "{foo}0", "1"]), torn);
    assert_eq!(
        server.run(a, &["COPY", "{foo}0", "{foo}0", "DB", "1"]),
        torn
    );
    let same = ["COPY", "{foo}0", "{foo}0", "DB", "0"];
    assert_eq!(
        server.run(a, &same),
        "-ERR source and destination objects are the same\r\n"
    );
}

#[test]
fn slots_move_as_the_tool_of_valkey_asks_for_it() {
    let (mut server, other) = beside_another_master();
    let a = server.a;
    for (word, first) in [("SLOTSRANGE", "0"), ("SLOTSRANGE\0", "1")] {
        let words = [
            "CLUSTER",
            "MIGRATESLOTS",
            word,
            first,
            first,
            "NODE",
            &other,
        ];
        assert_eq!(server.run(a, &words), "+OK\r\n", "{word:?}");
    }
    let words = [
        "CLUSTER",
        "MIGRATESLOTS",
        "SLOTSRANGE\0x",
        "2",
        "2",
        "NODE",
        &other,
    ];
    assert_eq!(server.run(a, &words), "-ERR syntax error\r\n");
}

#[test]
fn a_script_keeps_to_the_slot_of_the_keys_that_it_names() {
    let mut server = Server::node();
    let set = "#!lua\nreturn redis.call('set', 'foo', 'x')";
    let crossed = "-ERR Script attempted to access keys that do not hash to the same slot";
    let answer = server.eval(&[set, "1", "bar"]);
    assert!(answer.starts_with(crossed), "{answer}");
    assert_eq!(server.eval(&[set, "1", "foo"]), "+OK\r\n");
    assert_eq!(server.eval(&[set, "0"]), "+OK\r\n");
}

/// The texts are those that Valkey 9.1 gives.
#[test]
fn a_script_is_told_why_it_cannot_reach_a_key() {
    let mut server = Server::node();
    let a = server.a;
    let get = ["EVAL", "return redis.call('GET','foo')", "0"];
    let set = ["EVAL", "return redis.call('SET','foo',1)", "0"];
    // Slot 0 is of nobody, the key's is ours.
    server.run(a, &["CLUSTER", "DELSLOTS", "0"]);
    server.come_up();
    let text = server.run(a, &get);
    let down = "-ERR Can not execute a command 'get' while the cluster is down script: ";
    assert!(text.starts_with(down), "{text}");
    server.run(
        a,
        &["CONFIG", "SET", "cluster-allow-reads-when-down", "yes"],
    );
    assert_eq!(server.run(a, &get), "$-1\r\n");
    let text = server.run(a, &set);
    let reads = "-ERR Can not execute a write command 'set' while the cluster is down and readonly script: ";
    assert!(text.starts_with(reads), "{text}");
    server.run(a, &["CLUSTER", "DELSLOTS", "12182"]);
    let text = server.run(a, &get);
    let elsewhere = "-ERR Attempted to access a non local key in a cluster node script: ";
    assert!(text.starts_with(elsewhere), "{text}");
}

#[test]
fn a_script_that_writes_is_sent_to_the_primary() {
    let (mine, other) = ("a".repeat(40), "b".repeat(40));
    let mut server = Server::node_with(&format!(
        "{mine} 127.0.0.1:7000@17000 myself,slave {other} 0 0 1 connected\n\
         {other} 127.0.0.1:7001@17001 master - 0 0 1 connected 0-16383\n\
         vars currentEpoch 1 lastVoteEpoch 0\n"
    ));
    let a = server.a;
    assert_eq!(server.run(a, &["READONLY"]), "+OK\r\n");
    let writes = server.eval(&["#!lua\nreturn redis.call('del', 'a')", "1", "a"]);
    assert!(writes.starts_with("-MOVED "), "{writes}");
    let reads = server.eval(&["#!lua flags=no-writes\nreturn 1", "1", "a"]);
    assert!(!reads.starts_with("-MOVED "), "{reads}");
}

#[test]
fn who_waits_is_sent_to_the_owner_when_a_node_becomes_a_replica() {
    let (mine, other) = ("a".repeat(40), "b".repeat(40));
    let mut server = Server::node_with(&format!(
        "{mine} 127.0.0.1:7000@17000 myself,master - 0 0 1 connected [12182-<-{other}]\n\
         {other} 127.0.0.1:7001@17001 master - 0 0 2 connected 0-16383\n\
         vars currentEpoch 2 lastVoteEpoch 0\n"
    ));
    let (a, b) = (server.a, server.b);
    server.run(a, &["ASKING"]);
    assert_eq!(server.run(a, &["BLPOP", "foo", "0"]), "");
    server.run(b, &["READONLY"]);
    server.run(b, &["ASKING"]);
    let read = ["XREAD", "BLOCK", "0", "STREAMS", "foo", "0-0"];
    assert_eq!(server.run(b, &read), "");
    let c = server.engine.accept(peer()).expect("room");
    let done = server.run(c, &["CLUSTER", "REPLICATE", &other]);
    assert_eq!(done, "+OK\r\n");
    assert_eq!(
        taken(&mut server.engine, a),
        "-MOVED 12182 127.0.0.1:7001\r\n"
    );
    assert_eq!(server.run(a, &["PING"]), "+PONG\r\n", "it is not closed");
    assert_eq!(taken(&mut server.engine, b), "", "a replica serves it");
}
