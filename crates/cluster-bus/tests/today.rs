//! What nodes of today tell each other beside 3.0's, and what CLUSTER shows of it.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod harness;

use std::collections::BTreeSet;

use cluster_bus::message::{Announced, NodeFlags, Version};
use cluster_bus::node::SlotChange;
use cluster_bus::{
    Caller, Config, Endpoint, Event, Facts, Input, Keyspace, NodeId, Query, Reply, Route, Slot,
    SlotUsage, key_slot,
};
use harness::{World, cluster, quick, settled};

/// Nodes that begin with version 1.
fn today() -> Config {
    Config {
        bus_version: Version::V1,
        ..quick()
    }
}

struct Keys;

impl Keyspace for Keys {
    fn is_empty(&self) -> bool {
        false
    }
    fn count_keys_in_slot(&self, slot: Slot) -> u64 {
        u64::from(slot.number() % 10)
    }
    fn keys_in_slot(&self, _: Slot, _: usize) -> Vec<Vec<u8>> {
        Vec::new()
    }
    fn usage_of_slot(&self, slot: Slot) -> Option<SlotUsage> {
        Some(SlotUsage {
            cpu_usec: u64::from(slot.number()),
            ..SlotUsage::default()
        })
    }
}

fn run(world: &mut World, index: usize, line: &str) -> Result<Reply, String> {
    let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    world
        .call(index, |node, now| {
            node.command(now, Facts::default(), Caller::default(), &args, &Keys)
        })
        .map_err(|error| error.to_string())
}

fn array(reply: Reply) -> Vec<Reply> {
    match reply {
        Reply::Array(items) => items,
        other => panic!("{other:?}"),
    }
}

fn field(reply: &Reply, name: &str) -> Option<Reply> {
    let Reply::Map(fields) = reply else {
        panic!("{reply:?}")
    };
    let found = fields.iter().find(|(key, _)| *key == name);
    found.map(|(_, value)| value.clone())
}

#[expect(clippy::needless_pass_by_value, reason = "shorter where it is called")]
fn bulk(text: impl ToString) -> Reply {
    Reply::Bulk(text.to_string().into_bytes())
}

fn shards(world: &World, seen_by: usize) -> Vec<Option<NodeId>> {
    let id = |index: usize| world.id(index);
    (0..world.hosts.len())
        .map(|index| {
            let mut lines = world.hosts[seen_by].node.node_lines();
            lines.find(|line| line.id == id(index))?.shard
        })
        .collect()
}

#[test]
fn names_and_zones_reach_everyone_and_are_taken_back() {
    let mut world = cluster(3, 6, &today());
    let announced = Announced {
        hostname: "one.example".to_owned(),
        nodename: "one".to_owned(),
        client_ipv4: "10.9.8.7".to_owned(),
        client_port: 1234,
        availability_zone: "az-1".to_owned(),
        ..Announced::default()
    };
    let config = Config {
        announced: announced.clone(),
        ..world.hosts[0].node.config().clone()
    };
    world.call(0, |node, now| node.set_config(now, config));
    let told = |world: &World, expected: &Announced| {
        let id = world.id(0);
        world.hosts.iter().all(|host| {
            let mut lines = host.node.node_lines();
            lines.any(|line| line.id == id && line.announced == *expected)
        })
    };
    world.run_until("all know the names", 5000, |world| told(world, &announced));
    // They are in the file, and come back from it.
    assert!(world.hosts[4].file.contains(",one.example,availability-zone=az-1,client-tcp-port=1234,client-ipv4=10.9.8.7,tls-port=0,nodename=one,shard-id="));
    world.kill(4);
    world.restart(4);
    assert!(told(&world, &announced));
    let text = world.hosts[1].node.cluster_nodes(Caller::default());
    assert!(text.contains(" 10.9.8.7:1234@17000,one.example "), "{text}");
    let v6 = Caller {
        ipv6: true,
        ..Caller::default()
    };
    assert!(
        world.hosts[1]
            .node
            .cluster_nodes(v6)
            .contains(" 127.0.0.1:1234@17000,one.example ")
    );
    let config = Config {
        announced: Announced::default(),
        ..world.hosts[0].node.config().clone()
    };
    world.call(0, |node, now| node.set_config(now, config));
    world.run_until("all have heard", 5000, |world| {
        told(world, &Announced::default())
    });
}

#[test]
fn clients_are_sent_to_the_endpoint_that_is_preferred() {
    let mut world = cluster(3, 3, &today());
    let key = b"foo".as_slice();
    let owner = world.hosts[0].node.owner(key_slot(key)).unwrap();
    let owner = (0..3).find(|index| world.id(*index) == owner).unwrap();
    let other = (owner + 1) % 3;
    let set = |world: &mut World, index: usize, change: fn(&mut Config)| {
        let mut config = world.hosts[index].node.config().clone();
        change(&mut config);
        world.call(index, |node, now| node.set_config(now, config));
    };
    set(&mut world, owner, |config| {
        config.announced.hostname = "owner.example".to_owned();
    });
    world.run_ms(3000);
    let name = |world: &World| match world.hosts[other].node.route(
        std::iter::once(key),
        Query::default(),
        |_| false,
    ) {
        Route::Moved { name, .. } => name,
        route => panic!("{route:?}"),
    };
    let first = |world: &mut World| {
        let runs = array(run(world, other, "slots").unwrap());
        assert_eq!(runs.len(), 3);
        let run = runs.into_iter().map(array);
        let slot = i64::from(key_slot(key).number());
        let mut mine = run.filter(|run| {
            matches!(run[..2], [Reply::Integer(first), Reply::Integer(last)] if (first..=last).contains(&slot))
        });
        array(mine.next().unwrap().remove(2))
    };
    assert_eq!(name(&world), "127.0.0.1");
    let node = first(&mut world);
    assert_eq!(node[0], bulk("127.0.0.1"));
    assert_eq!(node[2], bulk(world.id(owner)));
    assert_eq!(field(&node[3], "hostname"), Some(bulk("owner.example")));
    set(&mut world, other, |config| {
        config.preferred_endpoint = Endpoint::Hostname;
    });
    assert_eq!(name(&world), "owner.example");
    let node = first(&mut world);
    assert_eq!(node[0], bulk("owner.example"));
    assert_eq!(field(&node[3], "ip"), Some(bulk("127.0.0.1")));
    set(&mut world, other, |config| {
        config.preferred_endpoint = Endpoint::Unknown;
    });
    assert_eq!(name(&world), "");
    assert_eq!(first(&mut world)[0], Reply::Null);
}

#[test]
fn a_shard_is_a_master_and_its_replicas_and_survives_a_failover() {
    let mut world = cluster(3, 6, &today());
    world.run_until("all agree on shards", 10_000, |world| {
        let seen: BTreeSet<_> = (0..6).map(|index| shards(world, index)).collect();
        seen.len() == 1
    });
    let before = shards(&world, 5);
    assert_eq!(before.iter().collect::<BTreeSet<_>>().len(), 3);
    for index in 0..3 {
        assert_eq!(before[index], before[index + 3]);
        let id = world.hosts[index + 3].node.my_shard();
        assert_eq!(before[index], Some(id));
        assert_eq!(run(&mut world, index, "myshardid"), Ok(bulk(id)));
    }
    world.kill(0);
    world.run_until("replaced", 10_000, |world| {
        !world.hosts[3].node.is_replica()
    });
    world.restart(0);
    world.run_until("ok", 20_000, |world| {
        settled(world) && world.flags(1, 0).has(NodeFlags::SLAVE)
    });
    assert_eq!(shards(&world, 1), before);
    assert!(!world.hosts[0].events.contains(&Event::LeaveShard));
    let list = array(run(&mut world, 1, "shards").unwrap());
    assert_eq!(list.len(), 3);
    let mine = bulk(before[0].unwrap());
    let shard = list
        .iter()
        .find(|shard| field(shard, "id") == Some(mine.clone()));
    let shard = shard.unwrap();
    assert_eq!(
        array(field(shard, "slots").unwrap()),
        [Reply::Integer(0), Reply::Integer(5460)]
    );
    let nodes = array(field(shard, "nodes").unwrap());
    let mut roles: Vec<_> = nodes
        .iter()
        .map(|node| field(node, "role").unwrap())
        .collect();
    roles.sort_by_key(|role| format!("{role:?}"));
    assert_eq!(roles.len(), 2);
    assert!(roles.contains(&bulk("master")) && roles.contains(&bulk("replica")));
}

#[test]
fn a_forgotten_node_is_forgotten_by_all() {
    let mut world = cluster(3, 6, &today());
    let id = world.id_text(5);
    assert_eq!(run(&mut world, 0, &format!("forget {id}")), Ok(Reply::Ok));
    world.run_until("all have forgotten", 5000, |world| {
        world.hosts[..5]
            .iter()
            .all(|host| host.node.node_lines().count() == 5)
    });
    // Told again where the news has come first, it is no error; and it stays forgotten.
    assert_eq!(run(&mut world, 1, &format!("forget {id}")), Ok(Reply::Ok));
    world.run_ms(20_000);
    assert!(
        world.hosts[..5]
            .iter()
            .all(|host| host.node.node_lines().count() == 5)
    );
    // A master of a replica is not forgotten because another node says so.
    let master = world.id_text(0);
    assert_eq!(
        run(&mut world, 1, &format!("forget {master}")),
        Ok(Reply::Ok)
    );
    world.run_ms(3000);
    assert!(
        world.hosts[3]
            .node
            .node_lines()
            .any(|line| line.id.to_string() == master)
    );
}

#[test]
fn published_messages_have_a_light_header_and_those_of_a_shard_stay_in_it() {
    let mut world = cluster(3, 6, &today());
    world.run_ms(3000);
    let got = |world: &World| -> Vec<usize> {
        let published = |event: &&Event| matches!(event, Event::Publish(_));
        let hosts = world.hosts.iter();
        hosts
            .map(|host| host.events.iter().filter(published).count())
            .collect()
    };
    world.call(4, |node, now| node.publish(now, b"news", b"hello", false));
    world.run_ms(5);
    assert_eq!(world.light.len(), 5);
    assert_eq!(got(&world), [1, 1, 1, 1, 0, 1]);
    world.call(0, |node, now| node.publish(now, b"news", b"hello", true));
    world.run_ms(5);
    assert_eq!(got(&world), [1, 1, 1, 2, 0, 1]);
    let info = world.hosts[3].node.cluster_info();
    assert!(
        info.contains("cluster_stats_messages_publishshard_received:1\r\n"),
        "{info}"
    );
    assert!(
        info.contains("cluster_stats_messages_publish_received:1\r\n"),
        "{info}"
    );
}

#[test]
fn a_replica_leaves_its_shard_with_its_master() {
    let mut world = cluster(3, 6, &today());
    let left = |world: &World, index: usize| {
        let events = world.hosts[index].events.iter();
        events.filter(|event| **event == Event::LeaveShard).count()
    };
    let before = left(&world, 3);
    let (from, to) = (world.id_text(0), world.id_text(1));
    world.call(0, |node, now| {
        node.flush_slots(now, true).unwrap();
        node.replicate(now, &to, true).unwrap();
    });
    assert_eq!(left(&world, 0), 1);
    world.run_until("its replica follows", 10_000, |world| {
        world.hosts[3].node.master_id() == Some(world.id(1))
    });
    let text = format!("I'm a sub-replica! Reconfiguring myself as a replica of {to} from {from}");
    assert!(world.logged(3, &text));
    assert_eq!(left(&world, 3), before + 1);
    assert_eq!(
        world.hosts[3].node.my_shard(),
        world.hosts[1].node.my_shard()
    );
}

#[test]
fn a_replica_becomes_an_empty_master_of_its_own_shard() {
    let mut world = cluster(3, 6, &today());
    let before = world.hosts[3].node.my_shard();
    assert_eq!(run(&mut world, 3, "replicate no one"), Ok(Reply::Ok));
    assert!(!world.hosts[3].node.is_replica());
    assert_ne!(world.hosts[3].node.my_shard(), before);
    assert!(world.hosts[3].events.contains(&Event::StopReplication));
    assert!(world.hosts[3].events.contains(&Event::FlushAll));
    world.run_until("all have heard", 5000, |world| {
        (0..6).all(|index| world.flags(index, 3).has(NodeFlags::MASTER))
            && shards(world, 1)[3] == Some(world.hosts[3].node.my_shard())
    });
    assert_eq!(
        run(&mut world, 0, "replicate no one"),
        Ok(Reply::Ok),
        "a master is one already"
    );
    assert!(world.hosts[0].node.is_mine(Slot::MIN));
}

#[test]
fn slots_are_shown_with_what_they_hold_and_cost() {
    let mut world = cluster(3, 6, &today());
    for index in [0, 3] {
        let stats = array(run(&mut world, index, "slot-stats slotsrange 5459 5470").unwrap());
        assert_eq!(stats.len(), 2, "only those of the shard");
        let last = array(stats[1].clone());
        assert_eq!(last[0], Reply::Integer(5460));
        assert_eq!(field(&last[1], "key-count"), Some(Reply::Integer(0)));
        assert_eq!(field(&last[1], "cpu-usec"), Some(Reply::Integer(5460)));
    }
    let order = |world: &mut World, line: &str| -> Vec<i64> {
        let stats = array(run(world, 0, line).unwrap()).into_iter();
        stats
            .map(|stat| match array(stat)[0] {
                Reply::Integer(slot) => slot,
                _ => panic!(),
            })
            .collect()
    };
    let line = "slot-stats orderby key-count limit 3";
    assert_eq!(order(&mut world, line), [9, 19, 29]);
    let line = "slot-stats orderby cpu-usec asc limit 2";
    assert_eq!(order(&mut world, line), [0, 1]);
    let line = "slot-stats orderby cpu-usec desc limit 2";
    assert_eq!(order(&mut world, line), [5460, 5459]);
}

#[test]
fn links_are_shown_both_ways() {
    let mut world = cluster(3, 3, &today());
    let links = array(run(&mut world, 0, "links").unwrap());
    assert_eq!(links.len(), 4);
    for index in [1, 2] {
        for direction in ["to", "from"] {
            assert!(links.iter().any(|link| {
                field(link, "node") == Some(bulk(world.id(index)))
                    && field(link, "direction") == Some(bulk(direction))
                    && field(link, "create-time") != Some(Reply::Integer(0))
            }));
        }
    }
}

#[test]
fn while_the_cluster_is_down_reads_and_channels_are_served_if_so_configured() {
    let mut world = cluster(3, 3, &today());
    world.kill(1);
    world.kill(2);
    world.run_until("down", 10_000, |world| {
        world.hosts[0].node.state() == cluster_bus::ClusterState::Fail
    });
    let key = (0..)
        .map(|n: u32| n.to_string())
        .find(|key| world.hosts[0].node.is_mine(key_slot(key.as_bytes())));
    let key = key.unwrap();
    let ask = |world: &World, query: Query| {
        let keys = std::iter::once(key.as_bytes());
        world.hosts[0].node.route(keys, query, |_| true)
    };
    let (read, write, channel) = (
        Query::default(),
        Query {
            writes: true,
            ..Query::default()
        },
        Query {
            is_pubsub: true,
            ..Query::default()
        },
    );
    assert_eq!(ask(&world, read), Route::ClusterDown);
    assert_eq!(ask(&world, channel), Route::Here);
    world.hosts[0].node.config_mut().allow_reads_when_down = true;
    world.hosts[0].node.config_mut().allow_pubsubshard_when_down = false;
    assert_eq!(ask(&world, read), Route::Here);
    assert_eq!(ask(&world, channel), Route::ClusterDown);
    assert_eq!(
        ask(&world, write).to_string(),
        "CLUSTERDOWN The cluster is down and only accepts read commands"
    );
}

/// Moves all slots of host 0 to host 1 by hand.
fn empty_host_0(world: &mut World) {
    let (from, to) = (world.id_text(0), world.id_text(1));
    let slots: Vec<Slot> = Slot::all().take(5461).collect();
    for slot in slots {
        world.call(1, |node, now| {
            node.set_slot(now, slot, &SlotChange::Importing(from.clone()), 0)
                .unwrap();
            node.set_slot(now, slot, &SlotChange::Node(to.clone()), 0)
                .unwrap();
        });
    }
    world.run_ms(3000);
}

#[test]
fn a_master_that_has_lost_all_slots_follows_them_unless_told_to_stay() {
    let mut world = cluster(3, 6, &today());
    empty_host_0(&mut world);
    assert_eq!(world.hosts[0].node.master_id(), Some(world.id(1)));
    assert_eq!(world.hosts[3].node.master_id(), Some(world.id(1)));
    let stay = Config {
        allow_replica_migration: false,
        ..today()
    };
    let mut world = cluster(3, 6, &stay);
    empty_host_0(&mut world);
    assert!(!world.hosts[0].node.is_replica());
    assert_eq!(world.hosts[3].node.master_id(), Some(world.id(0)));
    assert!(world.logged(0, "I am now an empty primary."));
}

#[test]
fn a_replica_that_must_not_take_over_does_not() {
    let config = Config {
        replica_no_failover: true,
        ..today()
    };
    let mut world = cluster(3, 6, &config);
    world.kill(0);
    world.run_ms(20_000);
    assert!(world.hosts[3].node.is_replica());
    assert!(world.flags(1, 3).has(NodeFlags::NOFAILOVER));
    assert!(
        world.hosts[1]
            .node
            .cluster_nodes(Caller::default())
            .contains("slave,nofailover")
    );
}

#[test]
fn a_node_that_lost_us_is_met_again() {
    let mut world = cluster(3, 3, &today());
    // Host 1 comes back from a file that does not know host 0.
    world.kill(1);
    let id = world.id_text(0);
    let file: Vec<_> = world.hosts[1]
        .file
        .lines()
        .filter(|line| !line.starts_with(&id))
        .map(str::to_owned)
        .collect();
    world.hosts[1].file = file.join("\n") + "\n";
    // Host 2 does not tell.
    world.cut.extend([(2, 1), (1, 2)]);
    world.restart(1);
    world.run_until("it knows us again", 20_000, |world| {
        let mut lines = world.hosts[1].node.node_lines();
        lines.any(|line| line.id == world.id(0) && !line.flags.has(NodeFlags::HANDSHAKE))
    });
}

#[test]
fn a_member_that_gossip_names_is_met_under_its_name_and_nobody_else_in_its_place() {
    let mut world = World::new(4, &today());
    // 0 knows 1; a stranger with its own cluster sits where 2 was.
    world.meet(0, 1);
    world.meet(0, 2);
    world.run_ms(3000);
    assert!(
        world.hosts[..3]
            .iter()
            .all(|host| host.node.node_lines().count() == 3)
    );
    world.kill(2);
    world.hosts[3].config.port = world.hosts[2].config.port;
    world.hosts[2].config.port = 6999;
    world.hosts[3].file = String::new();
    world.kill(3);
    world.restart(3);
    world.run_ms(20_000);
    assert_eq!(
        world.hosts[3].node.node_lines().count(),
        1,
        "the stranger was not met"
    );
}

#[test]
fn a_packet_that_cannot_be_read_is_counted() {
    let mut world = World::new(1, &today());
    for kind in [4, 999] {
        world.input(0, Input::Unreadable { kind, bytes: 2264 });
    }
    let info = world.hosts[0].node.cluster_info();
    for line in [
        "cluster_stats_messages_publish_received:1\r\n",
        "cluster_stats_messages_received:1\r\n",
        "cluster_stats_bytes_received:4528\r\n",
    ] {
        assert!(info.contains(line), "{info}");
    }
}

#[test]
fn a_slot_change_of_the_master_that_comes_late_is_left_out() {
    let mut world = cluster(3, 6, &today());
    // Node 4 is no master any more, or not yet.
    let line = format!("setslot 5 node {}", world.id_text(4));
    let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
    let mut told = |is_master: bool| {
        let caller = Caller {
            is_master,
            ..Caller::default()
        };
        world.call(3, |node, now| {
            node.command(now, Facts::default(), caller, &args, &Keys)
                .map_err(|error| error.to_string())
        })
    };
    assert!(told(false).is_err());
    assert_eq!(told(true), Ok(Reply::Ok));
    assert!(world.logged(3, "Target node is not a master"));
}
