//! Nodes that come back elsewhere, and users' failovers that meet trouble: the cluster finds its way by itself.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod harness;

use cluster_bus::message::{Body, Extensions, NodeFlags, PingKind};
use cluster_bus::node::{FailoverKind, SlotChange};
use cluster_bus::{Caller, ClusterState, Config, Event, Facts, Slot};
use harness::{World, cluster, port, quick, settled};

/// All hosts stop and come back at these ports.
fn move_all(world: &mut World, ports: &[u16]) {
    let hosts = world.hosts.len();
    for host in 0..hosts {
        world.kill(host);
    }
    world.run_ms(500);
    for (host, port) in ports.iter().enumerate() {
        world.hosts[host].config.port = *port;
    }
    for host in 0..hosts {
        world.restart(host);
        world.run_ms(70);
    }
}

/// Every node knows where every other one is, and nobody is down.
fn all_found(world: &World) -> bool {
    settled(world)
        && world.hosts.iter().all(|host| {
            host.node.node_lines().all(|line| {
                let trouble = NodeFlags::NOADDR
                    .with(NodeFlags::PFAIL)
                    .with(NodeFlags::FAIL)
                    .with(NodeFlags::HANDSHAKE);
                let port = world
                    .hosts
                    .iter()
                    .find(|other| other.node.my_id() == line.id)
                    .map(|other| other.config.port);
                line.connected && !line.flags.has(trouble) && port == Some(line.port)
            })
        })
}

#[test]
fn nodes_that_come_back_at_each_others_addresses_find_each_other() {
    for by in 1..6 {
        let mut world = cluster(3, 6, &quick());
        let ports: Vec<u16> = (0..6).map(|host| port((host + by) % 6)).collect();
        move_all(&mut world, &ports);
        world.run_until("all are found", 30_000, all_found);
        assert_eq!(world.hosts[0].node.node_lines().count(), 6);
    }
}

#[test]
fn nodes_that_come_back_at_new_addresses_find_each_other_through_one_that_stayed() {
    let mut world = cluster(3, 6, &quick());
    let ports: Vec<u16> = (0..6)
        .map(|host| if host == 4 { port(4) } else { port(host + 20) })
        .collect();
    move_all(&mut world, &ports);
    world.run_until("all are found", 60_000, all_found);
}

#[test]
fn nodes_that_all_come_back_at_new_addresses_find_each_other_through_seeds() {
    let mut world = cluster(3, 6, &quick());
    // One seed is a member, one a stranger, and at one there is nobody.
    let mut stranger = World::new(1, &quick());
    stranger.hosts[0].config.port = port(50);
    for host in 0..6 {
        world.hosts[host].config.seeds = [30, 50, 22]
            .map(|index| ([127, 0, 0, 1], port(index) + 10000).into())
            .to_vec();
    }
    let ports: Vec<u16> = (20..26).map(port).collect();
    move_all(&mut world, &ports);
    world.run_until("all are found", 60_000, all_found);
    assert_eq!(world.hosts[0].node.node_lines().count(), 6);
}

#[test]
fn a_seed_of_another_cluster_is_not_met() {
    let mut world = World::new(4, &quick());
    world.hosts[0].node.config_mut().seeds = vec![([127, 0, 0, 1], port(2) + 10000).into()];
    world.meet(0, 1);
    world.meet(2, 3);
    world.run_ms(2000);
    world.kill(1);
    world.run_ms(20_000);
    assert!(world.logged(0, "of cluster-seeds does not know us"));
    for host in [0, 2, 3] {
        assert_eq!(world.hosts[host].node.node_lines().count(), 2);
    }
}

#[test]
fn a_node_that_nobody_finds_is_down_and_replaced() {
    let mut world = cluster(3, 6, &quick());
    let lost = world.id(0);
    world.kill(0);
    world.hosts[0].file = String::new();
    world.restart(0);
    world.run_until("its replica takes over", 5000, |world| {
        !world.hosts[3].node.is_replica()
    });
    // Nobody is sent to an address that nobody knows.
    let text = world.hosts[1].node.cluster_nodes(Caller::default());
    let line = text
        .lines()
        .find(|line| line.starts_with(&lost.to_string()));
    assert!(line.unwrap().contains(":0"), "{text}");
}

#[test]
fn a_failure_from_before_a_restart_is_no_reason_for_an_election() {
    let mut world = cluster(3, 6, &quick());
    world.run_ms(3000);
    let (master, down) = (world.id_text(0), NodeFlags::PFAIL.with(NodeFlags::FAIL));
    world.kill(3);
    let file = world.hosts[3].file.clone();
    let lines = file.lines().map(|line| {
        let failed = if line.starts_with(&master) {
            line.replacen(" master ", " master,fail ", 1)
        } else {
            line.to_owned()
        };
        failed + "\n"
    });
    world.hosts[3].file = lines.collect();
    assert_ne!(world.hosts[3].file, file);
    world.restart(3);
    let facts = world.hosts[3].facts;
    let repl_offset = 100;
    world.set_facts(
        3,
        Facts {
            repl_offset,
            ..facts
        },
    );
    world.run_ms(10_000);
    assert!(!world.logged(3, "Starting a failover election"));
    assert!(!world.flags(3, 0).has(down));
    assert!(settled(&world));

    // Who is down indeed is agreed on again.
    world.kill(0);
    world.run_until("the replica takes over", 6000, |world| {
        !world.hosts[3].node.is_replica()
    });
}

#[test]
fn who_has_taken_slots_over_is_not_down() {
    let mut world = cluster(3, 6, &quick());
    world.run_ms(3000);
    let mut claim = world.packet_of(
        3,
        Body::Ping {
            kind: PingKind::Ping,
            gossip: Vec::new(),
            extensions: Extensions::default(),
        },
    );
    world.kill(0);
    world.kill(3);
    world.run_until("both are down, the slots too", 6000, |world| {
        let failed = |index| world.flags(1, index).has(NodeFlags::FAIL);
        failed(0) && failed(3) && world.hosts[1].node.state() == ClusterState::Fail
    });
    // The replica has come back and is elected before the others have dialled it.
    claim.header.flags = NodeFlags::MASTER;
    claim.header.master = None;
    claim.header.config_epoch = 100_500;
    claim.header.current_epoch = 100_500;
    world.inject(1, claim);
    assert!(!world.flags(1, 3).has(NodeFlags::FAIL));
    assert_eq!(world.hosts[1].node.state(), ClusterState::Ok);
}

#[test]
fn masters_that_fail_together_are_replaced_one_after_the_other() {
    let mut world = cluster(31, 62, &quick());
    for master in 0..31 {
        world.hosts[master].facts.repl_offset = 100;
    }
    world.run_ms(3000);
    for master in 0..15 {
        world.kill(master);
    }
    world.run_until("all are replaced", 30_000, |world| {
        (31..46).all(|replica| !world.hosts[replica].node.is_replica())
    });
    let log = (31..46).flat_map(|replica| world.log(replica));
    let elections = log
        .filter(|line| line.contains("Starting a failover election"))
        .count();
    // Where each took itself for the first in line, these were 26 to 35.
    assert!(elections <= 25, "{elections} elections for 15 masters");
}

/// For how long the master's clients were paused, and when the replica took over, if it did.
fn failover_to_replica_of_stopped(stopped_ms: u64, config: &Config) -> (u64, Option<u64>) {
    let mut world = cluster(3, 6, config);
    world.run_ms(3000);
    let start_ms = world.now_ms;
    world.hosts[0].frozen = true;
    world.hosts[0].events.clear();
    world.call(3, |node, now| {
        node.failover(now, FailoverKind::Coordinated, false)
            .unwrap();
    });
    let (mut taken_over, mut paused, mut paused_ms) = (None, false, 0);
    for _ in 0..3000 {
        if world.now_ms - start_ms == stopped_ms {
            world.thaw(0);
        }
        world.run_ms(10);
        if !world.hosts[3].node.is_replica() {
            taken_over.get_or_insert(world.now_ms - start_ms);
        }
        for event in std::mem::take(&mut world.hosts[0].events) {
            match event {
                Event::PauseClients { .. } => paused = true,
                Event::ResumeClients => paused = false,
                _ => {}
            }
        }
        paused_ms += if paused { 10 } else { 0 };
    }
    (paused_ms, taken_over)
}

#[test]
fn a_failover_that_a_stopped_master_hears_of_too_late_does_not_hold_up_writes() {
    for timeout_ms in [1000, 2000, 5000, 15_000] {
        let config = Config {
            node_timeout_ms: timeout_ms,
            ..quick()
        };
        for stopped_ms in [500, 1000, 3000, 6000, 7000, 12_000] {
            let (paused_ms, taken_over) = failover_to_replica_of_stopped(stopped_ms, &config);
            let what = format!("timeout {timeout_ms}, stopped for {stopped_ms}: {taken_over:?}");
            assert!(paused_ms <= 500, "{what}: {paused_ms} ms of paused clients");
            if stopped_ms < 5000 {
                // The attempt is still under way when the master goes on.
                let done_ms = taken_over.unwrap();
                assert!(done_ms <= stopped_ms + 500, "{what}");
            }
        }
    }
}

#[test]
fn of_two_candidates_at_one_time_the_loser_asks_again_as_soon_as_the_other_is_elected() {
    let mut world = cluster(5, 7, &quick());
    let place = |world: &World, host: usize| {
        let shard = world.hosts[host].node.my_shard().to_string();
        u64::from_str_radix(&shard[..16], 16).unwrap() % 1000
    };
    let (winner, loser) = if place(&world, 5) > place(&world, 6) {
        (5, 6)
    } else {
        (6, 5)
    };
    // It does not hear of the other one's election before it asks itself, and nobody votes in an older epoch.
    for host in (0..world.hosts.len()).filter(|host| *host != loser) {
        world.cut.insert((host, loser));
    }
    let is_master = |world: &World, host: usize| !world.hosts[host].node.is_replica();
    let mut epochs = Vec::new();
    for replica in [winner, loser] {
        world.call(replica, |node, now| {
            node.failover(now, FailoverKind::Force, false).unwrap();
            epochs.push(node.current_epoch());
        });
        world.run_until("one is elected", 1000, |world| is_master(world, winner));
    }
    assert!(epochs[0] > epochs[1], "{epochs:?}");
    assert!(!is_master(&world, loser));
    world.heal();
    world.run_until("the other too", 2500, |world| is_master(world, loser));
    assert!(world.logged(loser, "with an equal or higher epoch"));
    assert!(world.hosts[loser].node.config_epoch() > epochs[0]);
}

#[test]
fn a_failover_that_is_denied_for_a_newer_slot_epoch_asks_again_at_once() {
    let mut world = cluster(3, 6, &quick());
    // The voters hear of the slot that the master has taken over, the replica does not.
    let source = world.id_text(1);
    let master = world.id_text(0);
    let slot = Slot::new(16383 / 2).unwrap();
    for (from, to) in [(0, 3), (1, 3), (2, 3), (4, 3), (5, 3)] {
        world.cut.insert((from, to));
    }
    world.call(0, |node, now| {
        node.set_slot(now, slot, &SlotChange::Importing(source), 0)
            .unwrap();
        node.set_slot(now, slot, &SlotChange::Node(master), 0)
            .unwrap();
    });
    let epoch = world.hosts[0].node.config_epoch();
    assert!(epoch > 1);
    world.run_until("the voters know", 3000, |world| {
        [1, 2].iter().all(|voter| {
            let mut lines = world.hosts[*voter].node.node_lines();
            lines.any(|line| line.id == world.id(0) && line.config_epoch == epoch)
        })
    });
    // Its master's packets still do not reach it.
    world.heal();
    world.cut.insert((0, 3));
    let start_ms = world.now_ms;
    world.call(3, |node, now| {
        node.failover(now, FailoverKind::Force, false).unwrap();
    });
    world.run_until("it is elected", 1000, |world| {
        !world.hosts[3].node.is_replica()
    });
    let requests = |body: &Body| matches!(body, Body::FailoverAuthRequest);
    assert!(world.sent_since(start_ms, 3, 1, requests) >= 2);
    assert!(world.logged(1, "Failover auth denied"));
    assert!(
        world.hosts[3].node.is_mine(slot),
        "and it has the new slot too"
    );
}

fn set_slot(world: &mut World, host: usize, change: &SlotChange) {
    let slot = Slot::new(0).unwrap();
    world.call(host, |node, now| {
        node.set_slot(now, slot, change, 0).unwrap();
    });
}

#[test]
fn a_slot_that_went_to_a_third_node_while_its_target_was_away_stays_there() {
    let mut world = cluster(3, 3, &quick());
    let slot = Slot::new(0).unwrap();
    let id = |world: &World, host: usize| world.id_text(host);
    let (source, target, third) = (id(&world, 0), id(&world, 1), id(&world, 2));
    set_slot(&mut world, 1, &SlotChange::Importing(source.clone()));
    set_slot(&mut world, 0, &SlotChange::Migrating(target));
    world.run_ms(1000);
    world.kill(1);
    set_slot(&mut world, 0, &SlotChange::Stable);
    set_slot(&mut world, 2, &SlotChange::Importing(source));
    set_slot(&mut world, 0, &SlotChange::Migrating(third.clone()));
    set_slot(&mut world, 2, &SlotChange::Node(third.clone()));
    set_slot(&mut world, 0, &SlotChange::Node(third.clone()));
    world.run_ms(1000);
    // It hears first that the source does not claim the slot, and a while later who does.
    world.partition(&[1], &[2]);
    world.restart(1);
    world.run_ms(1200);
    world.heal();
    world.run_ms(8000);
    let owner = Some(world.id(2));
    for host in 0..3 {
        assert_eq!(world.hosts[host].node.owner(slot), owner, "host {host}");
    }
    // What it had taken over already is to be brought to where the slot is now.
    assert_eq!(world.hosts[1].node.open_slots(), format!("0<{third},"));
}

#[test]
fn a_slot_that_was_opened_towards_a_node_that_had_given_it_away_stays_with_its_owner() {
    let mut world = cluster(3, 3, &quick());
    let id = |world: &World, host: usize| world.id_text(host);
    let (source, third) = (id(&world, 0), id(&world, 2));
    set_slot(&mut world, 2, &SlotChange::Importing(source.clone()));
    set_slot(&mut world, 0, &SlotChange::Migrating(third.clone()));
    set_slot(&mut world, 2, &SlotChange::Node(third.clone()));
    set_slot(&mut world, 0, &SlotChange::Node(third.clone()));
    world.run_until("all agree", 3000, settled);
    // A tool that has looked before all that begins to move it, too.
    set_slot(&mut world, 1, &SlotChange::Importing(source));
    // The source gives up another slot, and nobody has told yet who has that.
    world.partition(&[1], &[2]);
    world.call(0, |node, now| {
        let slot = Slot::new(1).unwrap();
        node.set_slot(now, slot, &SlotChange::Node(third.clone()), 0)
            .unwrap();
    });
    world.run_ms(1000);
    world.heal();
    world.run_ms(8000);
    let (slot, owner) = (Slot::new(0).unwrap(), Some(world.id(2)));
    for host in 0..3 {
        assert_eq!(world.hosts[host].node.owner(slot), owner, "host {host}");
    }
    assert_eq!(world.hosts[1].node.open_slots(), format!("0<{third},"));
}

#[test]
fn a_slot_that_its_source_has_given_up_and_nobody_claims_is_its_targets_after_a_while() {
    let mut world = cluster(3, 3, &quick());
    let slot = Slot::new(0).unwrap();
    let (source, target) = (world.id_text(0), world.id_text(1));
    set_slot(&mut world, 1, &SlotChange::Importing(source));
    set_slot(&mut world, 0, &SlotChange::Migrating(target.clone()));
    world.run_ms(1000);
    set_slot(&mut world, 0, &SlotChange::Node(target));
    world.run_ms(700);
    assert!(!world.hosts[1].node.is_mine(slot), "others are heard first");
    world.run_until("it is taken", 2000, |world| {
        world.hosts[1].node.is_mine(slot) && settled(world)
    });
    assert_eq!(world.hosts[1].node.open_slots(), "");
}

#[test]
fn a_claim_that_nobody_heard_is_too_late_once_the_owner_has_gone_on() {
    let mut world = cluster(3, 3, &quick());
    let slot = Slot::new(0).unwrap();
    world.partition(&[1], &[0, 2]);
    // It was allowed to, and is lost before anybody hears of it.
    world.call(1, |node, now| node.take_slots(now, [slot]));
    world.kill(1);
    world.run_ms(5000);
    world.call(0, |node, now| node.take_back_slots(now));
    world.run_ms(20_000);
    world.heal();
    world.restart(1);
    world.run_until("all agree", 10_000, settled);
    for host in 0..3 {
        let owner = world.hosts[host].node.owner(slot);
        assert_eq!(owner, Some(world.id(0)), "host {host}");
    }
    let deleted = Event::DeleteKeysInSlot(slot);
    assert!(!world.hosts[0].events.contains(&deleted));
}

#[test]
fn what_a_node_claims_that_is_cut_off_is_older_than_its_replicas_election() {
    let mut world = cluster(3, 6, &quick());
    let slot = Slot::new(8000).unwrap();
    world.partition(&[1], &[0, 2, 3, 4, 5]);
    // Slots come back to it, and it has not noticed yet that nobody hears it.
    for _ in 0..3 {
        world.call(1, |node, now| node.take_slots(now, [slot]));
    }
    world.run_until("its replica is elected", 8000, |world| {
        !world.hosts[4].node.is_replica()
    });
    let epoch = |world: &World, host: usize| world.hosts[host].node.config_epoch();
    assert!(epoch(&world, 4) > epoch(&world, 1));
    // The two hear each other first.
    world.heal();
    world.partition(&[1, 4], &[0, 2, 3, 5]);
    world.run_until("the older one follows", 10_000, |world| {
        world.hosts[1].node.master_id() == Some(world.id(4))
    });
    world.heal();
    world.run_until("all agree", 20_000, |world| {
        let owner = Some(world.id(4));
        settled(world)
            && world
                .hosts
                .iter()
                .all(|host| host.node.owner(slot) == owner)
    });
}

#[test]
fn a_replica_that_was_restarted_takes_over_in_an_epoch_of_its_own() {
    let mut world = cluster(3, 6, &quick());
    for (replica, kind) in [(5, FailoverKind::Force), (2, FailoverKind::Takeover)] {
        let master = 7 - replica;
        let before = world.hosts[master].node.config_epoch();
        world.call(replica, |node, now| {
            node.failover(now, kind, false).unwrap();
        });
        assert!(kind == FailoverKind::Force || world.hosts[replica].node.config_epoch() > before);
        world.run_until("the other one follows", 10_000, |world| {
            world.hosts[master].node.is_replica() && settled(world)
        });
        // Its file says the epoch of its master.
        world.kill(master);
        world.restart(master);
        world.run_until("it is back", 10_000, settled);
    }
}

#[test]
fn a_slot_that_was_taken_while_its_sources_replica_was_elected_is_open_again() {
    let mut world = cluster(3, 6, &quick());
    let slot = Slot::new(0).unwrap();
    let (source, target) = (world.id_text(0), world.id_text(1));
    set_slot(&mut world, 1, &SlotChange::Importing(source));
    for host in [3, 0] {
        set_slot(&mut world, host, &SlotChange::Migrating(target.clone()));
    }
    world.run_ms(1000);
    // All keys are at the target. Those who vote do not hear that it takes the slot.
    world.partition(&[1], &[0, 2, 3, 4, 5]);
    world.call(3, |node, now| {
        node.failover(now, FailoverKind::Coordinated, false)
            .unwrap();
    });
    set_slot(&mut world, 1, &SlotChange::Node(target.clone()));
    world.run_until("the replica is elected", 1000, |world| {
        !world.hosts[3].node.is_replica()
    });
    assert!(world.hosts[1].node.is_mine(slot));
    world.heal();
    let owned_by = |world: &World, owner: usize| {
        let owner = Some(world.id(owner));
        settled(world)
            && world
                .hosts
                .iter()
                .all(|host| host.node.owner(slot) == owner)
    };
    world.run_until("all agree", 10_000, |world| owned_by(world, 3));
    let deleted = Event::DeleteKeysInSlot(slot);
    assert!(!world.hosts[1].events.contains(&deleted));
    let new = world.id_text(3);
    assert_eq!(world.hosts[1].node.open_slots(), format!("0<{new},"));
    assert_eq!(world.hosts[3].node.open_slots(), format!("0>{target},"));
    // So it is closed once more.
    for host in [1, 3] {
        set_slot(&mut world, host, &SlotChange::Node(target.clone()));
    }
    world.run_until("it is the target's", 3000, |world| owned_by(world, 1));
}

/// A cluster in which a slot moves from the first node to the second, whose config epoch is the newest: its number, and the second's name.
fn moving_in_the_newest_epoch() -> (World, Slot, String) {
    let mut world = cluster(3, 3, &quick());
    let slot = Slot::new(0).unwrap();
    let (source, target) = (world.id_text(0), world.id_text(1));
    world.call(1, |node, now| assert!(node.bump_epoch(now).0));
    set_slot(&mut world, 1, &SlotChange::Importing(source));
    set_slot(&mut world, 0, &SlotChange::Migrating(target.clone()));
    world.run_ms(2000);
    (world, slot, target)
}

#[test]
fn a_slot_that_was_taken_in_an_epoch_that_was_old_already_is_taken_again() {
    let (mut world, slot, target) = moving_in_the_newest_epoch();
    // The source has counted on, and the target has not heard of it.
    world.call(0, |node, now| node.take_slots(now, [Slot::new(1).unwrap()]));
    for host in [1, 0] {
        set_slot(&mut world, host, &SlotChange::Node(target.clone()));
    }
    let epoch = |host: usize| world.hosts[host].node.config_epoch();
    assert!(epoch(1) < epoch(0));
    world.run_until("it is the target's", 5000, |world| {
        let owner = Some(world.id(1));
        settled(world)
            && world
                .hosts
                .iter()
                .all(|host| host.node.owner(slot) == owner)
    });
    assert_eq!(world.hosts[1].node.open_slots(), "");
    let deleted = Event::DeleteKeysInSlot(slot);
    assert!(!world.hosts[1].events.contains(&deleted));
}

/// Nodes of Redis 3.0 go by epochs alone, whatever the source claims.
#[test]
fn who_took_a_slot_outbids_a_source_that_counts_on_at_the_same_time() {
    let (mut world, slot, target) = moving_in_the_newest_epoch();
    for host in [1, 0] {
        set_slot(&mut world, host, &SlotChange::Node(target.clone()));
    }
    world.call(0, |node, now| node.take_slots(now, [Slot::new(1).unwrap()]));
    let epoch = |world: &World, host: usize| world.hosts[host].node.config_epoch();
    assert!(epoch(&world, 1) < epoch(&world, 0));
    world.run_until("the owner's epoch is the newer one", 5000, |world| {
        settled(world) && epoch(world, 1) > epoch(world, 0)
    });
    let owner = Some(world.id(1));
    assert!(
        world
            .hosts
            .iter()
            .all(|host| host.node.owner(slot) == owner)
    );
}

#[test]
fn a_replica_forgets_that_a_slot_moves_when_it_has_moved() {
    let mut world = cluster(3, 6, &quick());
    let (source, target) = (world.id_text(0), world.id_text(1));
    // A replica does SETSLOT before its master; the end of the move it may hear on the bus alone.
    for host in [3, 0] {
        set_slot(&mut world, host, &SlotChange::Migrating(target.clone()));
    }
    set_slot(&mut world, 1, &SlotChange::Importing(source));
    set_slot(&mut world, 1, &SlotChange::Node(target.clone()));
    world.run_ms(1000);
    for host in [0, 3] {
        assert_eq!(world.hosts[host].node.open_slots(), "", "host {host}");
    }
    // Nor does it take what is open in one shard along to another.
    let other = SlotChange::Migrating(target.clone());
    let slot = Slot::new(1).unwrap();
    world.call(3, |node, now| {
        node.set_slot(now, slot, &other, 0).unwrap();
        node.replicate(now, &target, true).unwrap();
    });
    assert_eq!(world.hosts[3].node.open_slots(), "");
}

#[test]
fn who_is_silent_is_dialled_ever_more_rarely_and_at_once_when_it_is_back() {
    let config = Config {
        node_timeout_ms: 15_000,
        ..quick()
    };
    let mut world = cluster(3, 3, &config);
    world.kill(2);
    let dials = |world: &mut World| {
        world.dials.clear();
        world.run_ms(10_000);
        let dials = world.dials.iter();
        dials.filter(|(_, from, _)| *from == 0).count()
    };
    let (first, second) = (dials(&mut world), dials(&mut world));
    assert!((15..40).contains(&first), "{first} dials in ten seconds");
    assert!((9..12).contains(&second), "{second} dials in ten seconds");
    world.restart(2);
    let since = world.now_ms;
    world.run_until("both are connected again", 5000, |world| {
        [0, 1].iter().all(|index| {
            let mut lines = world.hosts[*index].node.node_lines();
            lines.all(|line| line.connected)
        })
    });
    assert!(world.now_ms - since < 500, "{}", world.now_ms - since);
}
