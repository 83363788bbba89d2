//! Whole stories with several nodes: they meet, masters die, networks part and heal, users take over by hand.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod harness;

use cluster_bus::message::{Body, NodeFlags, PingKind, Version};
use cluster_bus::node::{FailoverKind, ResetKind, SlotChange};
use cluster_bus::{Caller, ClusterState, Config, Dropped, Event, Facts, Query, Reply, Route, Slot};
use harness::{World, cluster, quick, settled, slots};

fn offset(bytes: u64) -> Facts {
    Facts {
        repl_offset: bytes,
        ..Facts::default()
    }
}

#[test]
fn six_nodes_meet_and_share_the_slots() {
    let world = cluster(3, 6, &quick());
    for host in &world.hosts {
        let info = host.node.cluster_info();
        assert!(info.starts_with(
            "cluster_state:ok\r\ncluster_slots_assigned:16384\r\ncluster_slots_ok:16384\r\n"
        ));
        assert!(
            info.contains("cluster_known_nodes:6\r\ncluster_size:3\r\ncluster_current_epoch:"),
            "{info}"
        );
    }
    let replica = &world.hosts[3];
    assert!(replica.events.contains(&Event::ReplicateFrom {
        ip: "127.0.0.1".parse().unwrap(),
        port: 7000
    }));
    assert!(
        replica
            .node
            .cluster_info()
            .contains("cluster_my_epoch:1\r\n")
    );
}

/// For each host, how many nodes it shows for each of the three runs of slots.
fn shown_in_slots(world: &World) -> Vec<Vec<usize>> {
    let of_host = |host: &harness::Host| {
        let Reply::Array(runs) = host.node.cluster_slots(Caller::default()) else {
            panic!()
        };
        // First and last slot, the master and its replicas.
        let nodes = |run: &Reply| match run {
            Reply::Array(items) => items.len() - 2,
            _ => panic!(),
        };
        runs.iter().map(nodes).collect()
    };
    world.hosts.iter().map(of_host).collect()
}

#[test]
fn clients_are_shown_a_replica_while_it_has_data() {
    let mut world = cluster(3, 6, &quick());
    for master in 0..3 {
        world.set_facts(master, offset(1000));
    }
    world.run_until("all replicas have data", 4000, |world| {
        shown_in_slots(world) == vec![vec![2; 3]; 6]
    });
    // As while a full copy is loaded.
    world.set_facts(0, offset(0));
    world.run_until("one of them has none", 4000, |world| {
        shown_in_slots(world) == vec![vec![1, 2, 2]; 6]
    });
}

#[test]
fn a_dead_master_is_replaced_and_comes_back_as_replica() {
    let mut world = cluster(3, 6, &quick());
    let killed_at = world.now_ms;
    world.kill(0);
    world.run_until("FAIL is agreed on", 4500, |world| {
        (1..6).all(|seen_by| world.flags(seen_by, 0).has(NodeFlags::FAIL))
    });
    let took_ms = world.run_until("the replica has taken over", 3000, |world| {
        !world.hosts[3].node.is_replica() && settled(world)
    });
    assert!(
        world.now_ms - killed_at < 6000,
        "took {} ms, the last {took_ms} after FAIL",
        world.now_ms - killed_at
    );
    assert!(world.logged(3, "Failover election won: I'm the new primary."));
    let epoch = world.hosts[3].node.config_epoch();
    assert!((100_000..101_000).contains(&epoch), "of elections: {epoch}");
    let won = format!("configEpoch set to {epoch} after successful failover");
    assert!(world.logged(3, &won));
    assert!(world.logged(1, "Failover auth granted to"));
    assert!(world.logged(2, &format!("for epoch {epoch}")));
    assert!(world.hosts[3].events.contains(&Event::StopReplication));
    world.restart(0);
    world.run_until("the old master follows", 15_000, |world| {
        world.hosts[0].node.master_id() == Some(world.id(3))
            && !world.flags(1, 0).has(NodeFlags::FAIL)
    });
    assert!(world.logged(
        0,
        &format!("Reconfiguring myself as a replica of node {}", world.id(3))
    ));
    world.run_until("all are well again", 10_000, settled);
}

#[test]
fn a_master_without_replicas_takes_the_cluster_down_until_it_is_back() {
    let mut world = cluster(3, 3, &quick());
    world.kill(2);
    world.run_until("state fail", 6000, |world| {
        world.hosts[..2]
            .iter()
            .all(|host| host.node.state() == ClusterState::Fail)
    });
    let route =
        world.hosts[0]
            .node
            .route(std::iter::once(b"foo".as_slice()), Query::default(), |_| {
                false
            });
    assert_eq!(route.to_string(), "CLUSTERDOWN The cluster is down");
    world.restart(2);
    world.run_until("state ok", 20_000, settled);
    assert!(world.logged(
        0,
        "is reachable again and nobody is serving its slots after some time."
    ));
}

#[test]
fn a_minority_stops_serving_and_rejoins_with_old_news() {
    let mut world = cluster(3, 6, &quick());
    // Master 0 alone on one side; its replica 3 is with the majority.
    world.partition(&[0], &[1, 2, 3, 4, 5]);
    world.run_until("the majority replaces it", 8000, |world| {
        !world.hosts[3].node.is_replica()
            && world.hosts[1].node.owner(Slot::new(0).unwrap()) == Some(world.id(3))
    });
    assert_eq!(world.hosts[0].node.state(), ClusterState::Fail);
    world.heal();
    world.run_until("it comes back as replica", 15_000, |world| {
        world.hosts[0].node.master_id() == Some(world.id(3)) && settled(world)
    });
}

#[test]
fn a_one_way_partition_does_not_stop_detection() {
    let mut world = cluster(3, 6, &quick());
    // Nobody hears master 1 any more, but it hears everyone.
    world.cut.extend([0, 2, 3, 4, 5].map(|to| (1, to)));
    world.run_until("it is replaced", 10_000, |world| {
        !world.hosts[4].node.is_replica()
    });
    world.heal();
    world.run_until("all agree", 20_000, settled);
    assert!(world.hosts[1].node.is_replica());
}

#[test]
fn colliding_epochs_part() {
    let mut world = World::new(4, &quick());
    // Nobody sets config epochs by hand: all start with 0.
    for (index, first) in (0u16..4).enumerate() {
        let list = slots(first * 4096, first * 4096 + 4095);
        world.call(index, |node, now| node.add_slots(now, &list).unwrap());
    }
    for index in 1..4 {
        world.meet(0, index);
    }
    world.run_until("epochs differ", 30_000, |world| {
        world.hosts[0]
            .node
            .cluster_nodes(Caller::default())
            .lines()
            .count()
            == 4
            && settled(world)
    });
    let highest = (0..4).max_by_key(|index| world.id(*index)).unwrap();
    assert_eq!(
        world.hosts[highest].node.config_epoch(),
        0,
        "the greatest id never moves"
    );
}

#[test]
fn a_manual_failover_waits_for_the_masters_data() {
    let mut world = cluster(3, 6, &quick());
    world.set_facts(0, offset(5000));
    world.run_ms(500);
    // The replica lags behind: it may not start before it has everything.
    world.call(3, |node, now| {
        node.failover(now, FailoverKind::Coordinated, false)
            .unwrap();
    });
    world.run_until("the master pauses", 500, |world| {
        world.hosts[0]
            .events
            .contains(&Event::PauseClients { for_ms: 10_000 })
    });
    assert!(world.logged(
        0,
        &format!("Manual failover requested by replica {}", world.id(3))
    ));
    world.run_until("roles are swapped", 3000, |world| {
        !world.hosts[3].node.is_replica()
            && world.hosts[0].node.master_id() == Some(world.id(3))
            && settled(world)
    });
    assert!(world.logged(
        3,
        "Received replication offset for paused primary manual failover: 5000"
    ));
    assert!(world.logged(
        3,
        "All primary replication stream processed, manual failover can start."
    ));
    assert!(world.hosts[0].events.contains(&Event::ResumeClients));
    // And back again: the last election does not stand in the way of the next one.
    world.run_until("the new master knows its replica", 2000, |world| {
        world.flags(3, 0).has(NodeFlags::SLAVE)
    });
    world.call(0, |node, now| {
        node.failover(now, FailoverKind::Coordinated, false)
            .unwrap();
    });
    world.run_until("roles are swapped back", 3000, |world| {
        !world.hosts[0].node.is_replica()
            && world.hosts[3].node.master_id() == Some(world.id(0))
            && settled(world)
    });
}

#[test]
fn a_manual_failover_that_cannot_catch_up_times_out() {
    let mut world = cluster(3, 6, &quick());
    world.set_facts(0, offset(5000));
    world.call(3, |node, now| {
        node.failover(now, FailoverKind::Coordinated, false)
            .unwrap();
    });
    world.set_facts(0, offset(6000));
    // The replica never gets the rest.
    world.hosts[3].node.config_mut().log_level = cluster_bus::LogLevel::Notice;
    world.cut.insert((0, 3));
    world.run_until("given up", 7000, |world| {
        world.logged(3, "Manual failover timed out.")
    });
    assert!(world.hosts[3].node.is_replica());
    world.run_until("the master goes on", 7000, |world| {
        world.hosts[0].events.contains(&Event::ResumeClients)
    });
}

#[test]
fn force_needs_no_master_and_takeover_needs_nobody() {
    let mut world = cluster(3, 6, &quick());
    world.kill(0);
    world.run_ms(50);
    let error = world
        .call(3, |node, now| {
            node.failover(now, FailoverKind::Coordinated, false)
        })
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "Master is down or failed, please use CLUSTER FAILOVER FORCE"
    );
    world.call(3, |node, now| {
        node.failover(now, FailoverKind::Force, false).unwrap();
    });
    world.run_until("forced", 1000, |world| !world.hosts[3].node.is_replica());
    assert!(world.logged(3, "Forced failover user request accepted."));
    // The majority is gone: only a takeover helps.
    world.kill(1);
    world.kill(2);
    world.call(4, |node, now| {
        node.failover(now, FailoverKind::Takeover, false).unwrap();
    });
    assert!(!world.hosts[4].node.is_replica());
    world.call(5, |node, now| {
        node.failover(now, FailoverKind::Takeover, false).unwrap();
    });
    world.run_until("three new masters", 20_000, settled);
}

#[test]
fn a_replica_with_old_data_does_not_stand_for_election() {
    let mut world = cluster(
        3,
        6,
        &Config {
            slave_validity_factor: 1,
            repl_ping_period_ms: 1000,
            ..quick()
        },
    );
    world.hosts[3].up = false;
    world.restart(3);
    world.kill(0);
    world.run_until("it says why", 20_000, |world| {
        world.logged(
            3,
            "Currently unable to failover: Disconnected from primary for longer than allowed.",
        )
    });
    assert!(world.hosts[3].node.is_replica());
}

#[test]
fn a_replica_that_loads_its_data_waits_with_the_election() {
    let config = Config {
        slave_validity_factor: 0,
        ..quick()
    };
    let mut world = cluster(3, 6, &config);
    world.kill(0);
    world.set_facts(
        3,
        Facts {
            loading: true,
            ..Facts::default()
        },
    );
    world.run_until("it says why", 20_000, |world| {
        world.logged(
            3,
            "Currently unable to failover: Waiting for the dataset to be loaded.",
        )
    });
    assert!(world.hosts[3].node.is_replica());
    world.set_facts(3, Facts::default());
    world.run_until("it has taken over", 10_000, settled);
}

#[test]
fn the_replica_with_the_best_data_wins() {
    let mut world = cluster(3, 9, &quick());
    // Replicas 3 and 6 belong to master 0; 3 has less.
    world.set_facts(0, offset(1000));
    world.run_ms(2500);
    world.cut.extend([(0, 3), (3, 0)]);
    world.set_facts(0, offset(9000));
    world.run_ms(1200);
    world.kill(0);
    world.heal();
    world.run_until("one takes over", 10_000, |world| {
        !world.hosts[6].node.is_replica()
    });
    assert!(world.hosts[3].node.is_replica());
    assert!(
        world.logged(3, "(rank #1, primary rank #0, offset 1000)")
            || world.logged(3, "Replica rank updated to #1, added 132 milliseconds")
    );
    world.run_until("the other follows", 10_000, |world| {
        world.hosts[3].node.master_id() == Some(world.id(6))
    });
}

#[test]
fn a_replica_migrates_to_an_orphaned_master() {
    let mut world = cluster(3, 7, &quick());
    let left = |world: &World, index: usize| {
        let events = world.hosts[index].events.iter();
        events.filter(|event| **event == Event::LeaveShard).count()
    };
    let before = [3, 6].map(|index| left(&world, index));
    // Master 0 has replicas 3 and 6; master 1 loses its only one.
    world.kill(4);
    world.run_until("one moves", 20_000, |world| {
        [3, 6]
            .iter()
            .any(|index| world.hosts[*index].node.master_id() == Some(world.id(1)))
    });
    let smallest = if world.id(3) < world.id(6) { 3 } else { 6 };
    assert_eq!(world.hosts[smallest].node.master_id(), Some(world.id(1)));
    assert!(world.logged(
        smallest,
        &format!("Migrating to orphaned primary {}", world.id(1))
    ));
    world.run_ms(10_000);
    assert_eq!(
        world.hosts[9 - smallest].node.master_id(),
        Some(world.id(0)),
        "the barrier keeps the last one"
    );
    let after = [3, 6].map(|index| left(&world, index));
    let moved = [3, 6].map(|index| usize::from(index == smallest));
    assert_eq!([after[0] - before[0], after[1] - before[1]], moved);
}

#[test]
fn a_slot_moves_with_a_new_epoch() {
    let mut world = cluster(3, 3, &quick());
    let slot = Slot::new(7).unwrap();
    let (from, to) = (world.id_text(0), world.id_text(1));
    world.call(1, |node, now| {
        node.set_slot(now, slot, &SlotChange::Importing(from.clone()), 0)
            .unwrap();
    });
    world.call(0, |node, now| {
        node.set_slot(now, slot, &SlotChange::Migrating(to.clone()), 3)
            .unwrap();
    });
    assert!(
        world.hosts[0]
            .node
            .cluster_nodes(Caller::default())
            .contains(&format!("[7->-{to}]"))
    );
    assert!(
        world.hosts[1]
            .node
            .cluster_nodes(Caller::default())
            .contains(&format!("[7-<-{from}]"))
    );
    let error = world
        .call(0, |node, now| {
            node.set_slot(now, slot, &SlotChange::Node(to.clone()), 3)
        })
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "Can't assign hashslot 7 to a different node while I still hold keys for this hash slot."
    );
    world.call(1, |node, now| {
        node.set_slot(now, slot, &SlotChange::Node(to.clone()), 3)
            .unwrap();
    });
    assert!(world.logged(1, "ConfigEpoch updated after importing slot 7"));
    world.run_until("everyone knows", 5000, |world| {
        world
            .hosts
            .iter()
            .all(|host| host.node.owner(slot) == Some(world.id(1)))
    });
    assert_eq!(
        world.hosts[0]
            .events
            .iter()
            .filter(|event| **event == Event::DeleteKeysInSlot(slot))
            .count(),
        1
    );
    assert!(
        !world.hosts[0]
            .node
            .cluster_nodes(Caller::default())
            .contains("[7"),
        "what is gone cannot be migrating"
    );
}

#[test]
fn a_forgotten_node_stays_forgotten_for_a_minute() {
    let mut world = cluster(3, 4, &quick());
    let gone = world.id_text(3);
    for index in 0..3 {
        world.call(index, |node, now| node.forget(now, &gone).unwrap());
    }
    world.call(3, |node, now| {
        node.reset(now, ResetKind::Soft, true).unwrap();
    });
    world.run_ms(59_000);
    assert!(
        world.hosts[..3]
            .iter()
            .all(|host| host.node.node_lines().count() == 3)
    );
    assert_eq!(world.hosts[3].node.node_lines().count(), 1);
    assert!(world.hosts[3].events.contains(&Event::FlushAll));
}

#[test]
fn a_published_message_reaches_every_node() {
    let mut world = cluster(3, 6, &quick());
    world.call(4, |node, now| node.publish(now, b"news", b"hello", false));
    world.run_ms(5);
    for (index, host) in world.hosts.iter().enumerate() {
        let got = host
            .events
            .iter()
            .filter(|event| matches!(event, Event::Publish(_)))
            .count();
        assert_eq!(got, usize::from(index != 4));
    }
}

#[test]
fn a_node_of_version_1_is_understood_and_answered() {
    let mut world = World::new(2, &quick());
    world.hosts[1].node.config_mut().bus_version = Version::V1;
    world.meet(0, 1);
    world.run_until("they know each other", 5000, |world| {
        world.hosts.iter().all(|host| {
            host.node
                .node_lines()
                .filter(|line| !line.flags.has(NodeFlags::HANDSHAKE) && line.connected)
                .count()
                == 2
        })
    });
}

#[test]
fn pings_are_frequent_enough_and_not_more() {
    let mut world = cluster(3, 6, &quick());
    let since = world.now_ms;
    world.run_ms(10_000);
    let ping = |body: &Body| {
        matches!(
            body,
            Body::Ping {
                kind: PingKind::Ping,
                ..
            }
        )
    };
    for (from, to) in [(0, 1), (4, 2), (5, 0)] {
        // Who was pinged has heard of the other as well.
        let count =
            world.sent_since(since, from, to, ping) + world.sent_since(since, to, from, ping);
        assert!(
            (9..=22).contains(&count),
            "{count} pings between {from} and {to} in ten seconds"
        );
    }
}

#[test]
fn a_blocked_client_is_sent_away() {
    let mut world = cluster(3, 6, &quick());
    let key = b"foo".as_slice();
    let owner = world.hosts[0]
        .node
        .owner(cluster_bus::key_slot(key))
        .unwrap();
    let index = (0..3).find(|index| world.id(*index) == owner).unwrap();
    assert_eq!(
        world.hosts[index]
            .node
            .route_blocked(Query::default(), [key]),
        None
    );
    let replica = index + 3;
    world.call(replica, |node, now| {
        node.failover(now, FailoverKind::Takeover, false).unwrap();
    });
    world.run_until("demoted", 5000, |world| {
        world.hosts[index].node.is_replica()
    });
    world.run_until("ok", 10_000, settled);
    let route = world.hosts[index]
        .node
        .route_blocked(Query::default(), [key])
        .unwrap();
    assert_eq!(
        route,
        Route::Moved {
            slot: cluster_bus::key_slot(key),
            name: "127.0.0.1".to_owned(),
            port: harness::port(replica)
        }
    );
    // Its replica now, it serves who reads, and said so.
    let reader = Query {
        client_is_readonly: true,
        ..Query::default()
    };
    let demoted = &world.hosts[index].node;
    assert_eq!(demoted.route_blocked(reader, [key]), None);
    let writer = Query {
        writes: true,
        ..reader
    };
    assert_eq!(demoted.route_blocked(writer, [key]), Some(route));
}

#[test]
fn faults_drop_packets_and_keep_links_down() {
    let mut world = cluster(3, 3, &quick());
    let links = |world: &World| world.hosts[0].node.links().count();
    assert_eq!(links(&world), 4);
    let other = world.id(1);
    world.call(0, |node, now| {
        node.faults_mut().never_dials = true;
        node.kill_links(now, other, true, false);
    });
    world.run_ms(300);
    assert_eq!(links(&world), 3, "one of two is gone, and stays so");
    world.call(0, |node, _| node.faults_mut().never_dials = false);
    world.run_until("linked again", 5000, |world| links(world) == 4);
    // Deaf to pings and their answers, it suspects everybody.
    world.call(0, |node, _| node.faults_mut().dropped = Dropped::All);
    world.run_until("down", 60_000, |world| {
        world.hosts[0].node.state() == ClusterState::Fail
    });
    world.call(0, |node, _| node.faults_mut().dropped = Dropped::None);
    world.run_until("ok", 60_000, settled);
}
