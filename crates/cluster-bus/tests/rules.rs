//! Single rules, each shown by the smallest scene that needs it.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod harness;

use std::sync::Arc;

use cluster_bus::message::{self, Body, Header, NodeFlags, Packet, PingKind, Version, WireIp};
use cluster_bus::node::{FailoverKind, SlotChange};
use cluster_bus::{
    Caller, Config, Event, Facts, MAX_EPOCH, NodeId, Query, Route, Slot, SlotSet, Urgency, key_slot,
};
use harness::{World, cluster, port, quick, settled, slots};

fn slot(number: u16) -> Slot {
    Slot::new(number).unwrap()
}

fn ping(gossip: Vec<cluster_bus::message::Gossip>) -> Body {
    Body::Ping {
        kind: PingKind::Ping,
        gossip,
        extensions: cluster_bus::message::Extensions::default(),
    }
}

// --- versions ---------------------------------------------------------------------------------------------------

#[test]
fn a_node_that_speaks_only_version_1_is_met_from_both_sides() {
    for (from, to) in [(0, 1), (1, 0)] {
        let mut world = World::new(2, &quick());
        world.only.insert(1, Version::V1);
        world.hosts[1].node.config_mut().bus_version = Version::V1;
        world.meet(from, to);
        world.run_until("both know each other", 3000, |world| {
            (0..2).all(|index| {
                let lines: Vec<_> = world.hosts[index].node.node_lines().collect();
                lines.len() == 2
                    && lines
                        .iter()
                        .all(|line| line.connected && !line.flags.has(NodeFlags::HANDSHAKE))
            })
        });
        world.run_ms(10_000);
        assert!(
            !world.flags(0, 1).has(NodeFlags::PFAIL) && !world.flags(1, 0).has(NodeFlags::PFAIL)
        );
    }
}

#[test]
fn a_node_that_speaks_only_version_0_is_met_by_one_that_starts_with_1() {
    let mut world = World::new(2, &quick());
    world.only.insert(1, Version::V0);
    world.hosts[0].node.config_mut().bus_version = Version::V1;
    world.meet(0, 1);
    world.run_until("both know each other", 3000, |world| {
        !world.flags(0, 1).has(NodeFlags::HANDSHAKE)
            && !world.flags(1, 0).has(NodeFlags::HANDSHAKE)
            && world.hosts[1].node.node_lines().count() == 2
    });
}

// --- handshake --------------------------------------------------------------------------------------------------

#[test]
fn a_handshake_that_nobody_answers_ends() {
    let mut world = World::new(2, &quick());
    world.kill(1);
    world.meet(0, 1);
    assert_eq!(world.hosts[0].node.node_lines().count(), 2);
    assert!(
        world.hosts[0]
            .node
            .cluster_nodes(Caller::default())
            .contains("127.0.0.1:7001@17001 handshake - ")
    );
    assert!(
        !world.hosts[0]
            .node
            .nodes_conf()
            .to_string()
            .contains("handshake"),
        "made-up ids are not saved"
    );
    world.run_ms(2300);
    assert_eq!(world.hosts[0].node.node_lines().count(), 1);
}

#[test]
fn meeting_an_address_twice_is_one_handshake_and_a_known_node_stays_one_node() {
    let mut world = World::new(2, &quick());
    world.meet(0, 1);
    world.meet(0, 1);
    assert_eq!(world.hosts[0].node.node_lines().count(), 2);
    world.run_ms(1000);
    world.meet(0, 1);
    world.run_ms(1000);
    assert_eq!(world.hosts[0].node.node_lines().count(), 2);
    assert!(world.logged(0, "Handshake: we already know node"));
}

#[test]
fn a_node_that_meets_itself_learns_its_address_and_nothing_else() {
    let mut world = World::new(1, &quick());
    world.meet(0, 0);
    world.run_ms(1000);
    assert_eq!(world.hosts[0].node.node_lines().count(), 1);
    assert!(
        world.hosts[0]
            .node
            .cluster_nodes(Caller::default())
            .contains(" 127.0.0.1:7000@17000 myself,master - 0 0 0 connected\n")
    );
}

#[test]
fn a_node_that_moved_is_found_by_its_ping() {
    let mut world = cluster(3, 3, &quick());
    let mut packet = world.packet_of(1, ping(Vec::new()));
    packet.header.port = 7999;
    world.inject(0, packet);
    assert!(world.logged(
        0,
        &format!(
            "Address updated for node {} (127.0.0.1:7999), now 127.0.0.1:7999",
            world.id(1)
        )
    ));
    // The next real ping sets it right again.
    world.run_until("back", 5000, |world| {
        world.hosts[0]
            .node
            .cluster_nodes(Caller::default())
            .contains("127.0.0.1:7001")
    });
}

#[test]
fn another_node_behind_a_known_address_loses_that_address() {
    let mut world = cluster(3, 4, &quick());
    // Host 3 comes back with a new identity on its old address.
    world.kill(3);
    let old = world.id(3);
    world.hosts[3].file = String::new();
    world.restart(3);
    world.run_until("unmasked", 5000, |world| {
        world.hosts[0]
            .node
            .node_lines()
            .any(|line| line.id == old && line.flags.has(NodeFlags::NOADDR) && line.port == 0)
    });
    assert!(world.logged(0, "PONG contains mismatching sender ID"));
}

#[test]
fn another_node_behind_the_address_of_a_failed_one_is_not_met_because_of_that() {
    let mut world = cluster(3, 6, &quick());
    world.kill(5);
    world.run_until("FAIL is agreed on", 10_000, |world| {
        (0..5).all(|seen_by| world.flags(seen_by, 5).has(NodeFlags::FAIL))
    });
    let old = world.id(5);
    world.hosts[5].file = String::new();
    // The others do not see yet who is there now, and go on telling the old address.
    world
        .cut
        .extend((1..5).flat_map(|other| [(other, 5), (5, other)]));
    world.restart(5);
    world.run_until("unmasked", 5000, |world| {
        let mut lines = world.hosts[0].node.node_lines();
        lines.any(|line| line.id == old && line.flags.has(NodeFlags::NOADDR))
    });
    world.run_ms(10_000);
    assert_eq!(world.hosts[5].node.node_lines().count(), 1);
}

#[test]
fn strangers_are_not_believed() {
    let mut world = cluster(3, 3, &quick());
    let before = world.hosts[0].node.nodes_conf();
    let stranger = NodeId::from_bytes([7; 20]);
    let bodies = [
        Body::Fail(world.id(1)),
        Body::FailoverAuthRequest,
        Body::FailoverAuthAck,
        Body::ManualFailoverStart,
        Body::Update {
            node: world.id(1),
            config_epoch: 99,
            slots: Arc::new(Slot::all().collect()),
        },
        ping(Vec::new()),
    ];
    for body in bodies {
        let mut packet = world.packet_of(1, body);
        packet.header.sender = stranger;
        packet.header.current_epoch = 50;
        world.inject(0, packet);
    }
    assert_eq!(world.hosts[0].node.nodes_conf(), before);
    assert!(world.logged(
        0,
        &format!(
            "Ignoring FAIL message from unknown node {stranger} about {}",
            world.id(1)
        )
    ));
}

// --- failure ----------------------------------------------------------------------------------------------------

/// How the log calls a host.
fn label(world: &World, host: u16) -> String {
    format!("{} (127.0.0.1:{})", world.id(host.into()), 7000 + host)
}

#[test]
fn once_a_failure_is_agreed_on_reports_of_it_are_not_renewed() {
    let mut world = cluster(3, 4, &quick());
    let id = world.id_text(3);
    world.kill(3);
    world.run_until("it has failed", 10_000, |world| {
        (0..3).all(|host| world.flags(host, 3).has(NodeFlags::FAIL))
    });
    // Longer than a report counts.
    world.run_ms(6000);
    for host in 0..3 {
        let count = world.call(host, |node, now| node.count_failure_reports(now, &id));
        assert_eq!(count.unwrap(), 0);
    }
}

#[test]
fn reports_of_one_master_are_no_majority_and_grow_old() {
    let mut world = cluster(5, 5, &quick());
    // Only 0 and 1 cannot reach 4: two of five.
    world.partition(&[0, 1], &[4]);
    let id = world.id_text(4);
    world.run_until("suspected", 6000, |world| {
        world.flags(0, 4).has(NodeFlags::PFAIL) && world.flags(1, 4).has(NodeFlags::PFAIL)
    });
    let reported = format!(
        "Node {} reported node {}",
        label(&world, 1),
        label(&world, 4)
    );
    world.run_until("reported", 6000, |world| {
        world.logged(0, &format!("{reported} as not reachable."))
    });
    world.run_ms(5000);
    assert!((0..4).all(|seen_by| !world.flags(seen_by, 4).has(NodeFlags::FAIL)));
    let count = world.call(0, |node, now| node.count_failure_reports(now, &id).unwrap());
    assert_eq!(count, 1);
    world.heal();
    world.run_until("reachable again", 6000, |world| {
        !world.flags(0, 4).has(NodeFlags::PFAIL)
    });
    world.run_until("reports are taken back, or age", 5000, |world| {
        world.logged(0, &format!("{reported} is back online."))
    });
    assert_eq!(
        world.call(0, |node, now| node.count_failure_reports(now, &id).unwrap()),
        0
    );
}

/// The link that was dialled to it while nothing came through hangs, though it is well and says so.
#[test]
fn a_node_that_is_heard_is_not_suspected_for_a_link_that_hangs() {
    let mut world = cluster(3, 3, &quick());
    for cut in [true, false] {
        if cut {
            world.partition(&[0], &[1]);
        } else {
            world.heal();
        }
        world.kill(1);
        world.restart(1);
        world.run_ms(300);
    }
    for _ in 0..50 {
        world.run_ms(100);
        assert!(!world.flags(0, 1).has(NodeFlags::PFAIL));
    }
    // Silence is what it was.
    world.kill(1);
    world.run_until("suspected", 6000, |world| {
        world
            .flags(0, 1)
            .has(NodeFlags::PFAIL.with(NodeFlags::FAIL))
    });
}

#[test]
fn fail_is_told_to_everyone_at_once() {
    let mut world = cluster(3, 6, &quick());
    world.kill(5);
    world.run_until("one agrees", 6000, |world| {
        (0..3).any(|seen_by| world.flags(seen_by, 5).has(NodeFlags::FAIL))
    });
    world.run_ms(5);
    assert!((0..5).all(|seen_by| world.flags(seen_by, 5).has(NodeFlags::FAIL)));
    world.restart(5);
    world.run_until("a replica is back at once", 4000, |world| {
        (0..5).all(|seen_by| !world.flags(seen_by, 5).has(NodeFlags::FAIL))
    });
    assert!(world.logged(
        0,
        &format!(
            "Clear FAIL state for node {}: replica is reachable again.",
            label(&world, 5)
        )
    ));
}

// --- epochs -----------------------------------------------------------------------------------------------------

#[test]
fn the_last_epoch_is_the_end_and_not_an_overflow() {
    let mut world = cluster(3, 6, &quick());
    let epoch = world.hosts[3].node.current_epoch();
    // A file edited by hand: no packet can bring a node there.
    world.kill(3);
    world.hosts[3].file = world.hosts[3].file.replace(
        &format!("vars currentEpoch {epoch} "),
        &format!("vars currentEpoch {MAX_EPOCH} "),
    );
    world.restart(3);
    assert_eq!(world.hosts[3].node.current_epoch(), MAX_EPOCH);
    world.run_ms(1000);
    world.call(3, |node, now| {
        node.failover(now, FailoverKind::Force, false).unwrap();
    });
    world.run_ms(2000);
    assert!(world.logged(3, "The current epoch cannot grow any more."));
    assert!(world.hosts[3].node.is_replica());
    assert!(!world.call(3, |node, now| node.bump_epoch(now)).0);
}

#[test]
fn nothing_is_claimed_without_a_vote_in_an_epoch_of_elections() {
    let mut world = World::new(1, &quick());
    world.call(0, |node, now| {
        node.set_config_epoch(now, 99_998).unwrap();
    });
    for epoch in [99_999, 101_000, 101_001] {
        world.call(0, |node, now| node.take_slots(now, slots(0, 0)));
        assert_eq!(world.hosts[0].node.config_epoch(), epoch);
    }
}

#[test]
fn an_epoch_that_is_claimed_without_a_vote_is_told_at_once() {
    let mut world = cluster(3, 3, &quick());
    let (bumped, epoch) = world.call(0, |node, now| node.bump_epoch(now));
    assert!(bumped);
    // The way of one packet; the next PING is much later.
    world.run_ms(5);
    for other in [1, 2] {
        assert_eq!(world.hosts[other].node.current_epoch(), epoch);
    }
}

#[test]
fn a_made_up_epoch_is_refused_and_logged_and_elections_go_on() {
    let mut world = cluster(3, 6, &quick());
    let known = world.hosts[0].node.current_epoch();
    let refused = format!("is too far ahead of the current epoch {known}");
    for epoch in [MAX_EPOCH, MAX_EPOCH / 2, 1 << 41] {
        let mut packet = world.packet_of(1, ping(Vec::new()));
        packet.header.current_epoch = epoch;
        let mut update = world.packet_of(
            1,
            Body::Update {
                node: world.id(2),
                config_epoch: epoch,
                slots: Arc::new(SlotSet::new()),
            },
        );
        update.header.config_epoch = 2;
        for host in [0, 3] {
            world.inject(host, packet.clone());
            world.inject(host, update.clone());
        }
    }
    for host in [0, 3] {
        assert_eq!(world.hosts[host].node.current_epoch(), known);
        assert_eq!(
            world
                .log(host)
                .iter()
                .filter(|line| line.contains(&refused))
                .count(),
            1,
            "and the log is not flooded"
        );
    }
    world.kill(0);
    world.run_until("the replica is elected", 10_000, |world| {
        !world.hosts[3].node.is_replica()
    });
}

#[test]
fn a_node_that_joins_believes_the_epoch_of_the_cluster() {
    let mut world = World::new(2, &quick());
    world.call(0, |node, now| {
        node.set_config_epoch(now, i64::MAX - 5).unwrap();
        node.add_slots(now, &slots(0, 16383)).unwrap();
    });
    world.meet(0, 1);
    world.run_until("the epoch is known", 5000, |world| {
        world.hosts[1].node.current_epoch() == MAX_EPOCH - 5
    });
}

#[test]
fn a_link_that_nobody_reads_is_given_up() {
    let mut world = cluster(3, 3, &quick());
    world.hosts[0].node.config_mut().link_sendbuf_limit = 1 << 20;
    world.hosts[1].frozen = true;
    let before = world.now_ms;
    for _ in 0..300 {
        world.call(0, |node, now| {
            node.publish(now, b"news", &[b'x'; 10_000], false);
        });
        // What reaches host 2 is written at once.
        let open: Vec<_> = world.hosts[0].node.links().collect();
        let reader = world.id(2);
        for link in open.iter().filter(|link| link.node == Some(reader)) {
            let (link, bytes) = (link.id, link.queued);
            world.input(0, cluster_bus::Input::Sent { link, bytes });
        }
    }
    world.run_ms(200);
    assert!(world.logged(0, "that exceeds its limit"));
    assert!(
        !world.hosts[0]
            .node
            .node_lines()
            .any(|line| { line.id == world.id(2) && !line.connected })
    );
    let full = world.sent_since(before, 0, 2, |body| matches!(body, Body::Publish(_)));
    let light = world.light.iter().filter(|sent| (sent.1, sent.2) == (0, 2));
    assert_eq!(full + light.count(), 300);
    let info = world.hosts[0].node.cluster_info();
    assert!(
        info.contains("total_cluster_links_buffer_limit_exceeded:1\r\n"),
        "{info}"
    );
}

#[test]
fn an_older_link_from_a_node_is_closed_when_it_dials_again() {
    let mut world = cluster(3, 3, &quick());
    let inbound = |world: &World| {
        let links = world.hosts[0].node.links();
        let from = |link: &cluster_bus::LinkInfo| link.inbound && link.node == Some(world.id(1));
        links.filter(from).map(|link| link.id).collect::<Vec<_>>()
    };
    let old = inbound(&world);
    assert_eq!(old.len(), 1);
    // The end of the old link is not heard of.
    world.deafen(0, old[0]);
    world.hosts[1].node.config_mut().node_timeout_ms = 2000;
    world.run_until("a new one takes its place", 10_000, |world| {
        let new = inbound(world);
        new.len() == 1 && new != old
    });
}

#[test]
fn a_file_whose_vote_is_newer_than_its_epoch_raises_the_epoch() {
    let mut world = World::new(1, &quick());
    world.kill(0);
    let id = world.id(0);
    world.hosts[0].file = format!(
        "{id} :7000 myself,master - 0 0 3 connected 7\nvars currentEpoch 5 lastVoteEpoch 6\n"
    );
    world.restart(0);
    assert_eq!(world.hosts[0].node.current_epoch(), 6);
    world.run_ms(200);
    let file = world.hosts[0].node.nodes_conf().to_string();
    assert!(
        file.ends_with("vars currentEpoch 6 lastVoteEpoch 6\n"),
        "{file}"
    );
}

#[test]
fn set_config_epoch_is_for_newborn_nodes() {
    let mut world = World::new(2, &quick());
    let set = |world: &mut World, epoch| {
        world
            .call(0, |node, now| node.set_config_epoch(now, epoch))
            .map_err(|error| error.to_string())
    };
    assert_eq!(
        set(&mut world, -1).unwrap_err(),
        "Invalid config epoch specified: -1"
    );
    set(&mut world, 7).unwrap();
    assert_eq!(
        (
            world.hosts[0].node.config_epoch(),
            world.hosts[0].node.current_epoch()
        ),
        (7, 7)
    );
    assert_eq!(
        set(&mut world, 8).unwrap_err(),
        "Node config epoch is already non-zero"
    );
    world.meet(0, 1);
    let text =
        "The user can assign a config epoch only when the node does not know any other node.";
    assert_eq!(set(&mut world, 8).unwrap_err(), text);
}

// --- ownership --------------------------------------------------------------------------------------------------

#[test]
fn an_older_claim_is_answered_by_an_update() {
    let mut world = cluster(3, 6, &quick());
    let mut packet = world.packet_of(2, ping(Vec::new()));
    // Master 2 (epoch 3) claims all slots with epoch 0.
    packet.header.config_epoch = 0;
    packet.header.slots = Arc::new(Slot::all().collect());
    let answers = world.inject(0, packet);
    let about = |node| move |message: &&cluster_bus::Message| matches!(&message.body, Body::Update { node: about, .. } if *about == node);
    // Both real owners are named: 3.0 names only the first one.
    assert_eq!(answers.iter().filter(about(world.id(0))).count(), 1);
    assert_eq!(answers.iter().filter(about(world.id(1))).count(), 1);
    assert_eq!(world.hosts[0].node.owner(slot(0)), Some(world.id(0)));
}

#[test]
fn an_update_about_ourselves_is_discarded() {
    let mut world = cluster(3, 3, &quick());
    let about = Body::Update {
        node: world.id(0),
        config_epoch: 80,
        slots: Arc::new(SlotSet::new()),
    };
    let packet = world.packet_of(1, about);
    world.inject(0, packet);
    assert!(world.logged(0, "Discarding UPDATE message about myself."));
    assert_eq!(world.hosts[0].node.config_epoch(), 1);
    assert!(world.hosts[0].node.is_mine(slot(0)));
}

#[test]
fn a_slot_that_its_owner_gave_up_goes_to_whoever_claims_it() {
    let mut world = cluster(3, 3, &quick());
    let moved = slot(9);
    world.partition(&[2], &[0, 1]);
    let (from, to) = (world.id_text(0), world.id_text(1));
    world.call(1, |node, now| {
        node.set_slot(now, moved, &SlotChange::Importing(from), 0)
            .unwrap();
    });
    world.call(1, |node, now| {
        node.set_slot(now, moved, &SlotChange::Node(to.clone()), 0)
            .unwrap();
    });
    world.call(0, |node, now| {
        node.set_slot(now, moved, &SlotChange::Node(to), 0).unwrap();
    });
    world.run_ms(1500);
    // The old owner moves on to an epoch above the new one's before host 2 hears of either.
    world.call(0, |node, now| node.bump_epoch(now));
    assert!(world.hosts[0].node.config_epoch() > world.hosts[1].node.config_epoch());
    world.heal();
    world.run_until("host 2 agrees", 20_000, |world| {
        world.hosts[2].node.owner(moved) == Some(world.id(1))
    });
    world.run_until("all agree", 20_000, settled);
}

#[test]
fn a_replica_does_not_stay_behind_in_a_chain() {
    let mut world = cluster(3, 9, &quick());
    // 3 and 6 follow 0. While 6 cannot hear 3, 3 takes the place of 0: 6 hears only that 0 has become a replica.
    world.partition(&[6], &[3]);
    world.call(3, |node, now| {
        node.failover(now, FailoverKind::Coordinated, false)
            .unwrap();
    });
    world.run_until("0 follows 3", 4000, |world| {
        world.hosts[0].node.master_id() == Some(world.id(3))
    });
    world.run_ms(1500);
    world.heal();
    world.run_until("6 follows 3", 15_000, |world| {
        world.hosts[6].node.master_id() == Some(world.id(3))
    });
}

#[test]
fn keys_of_unowned_slots_are_taken_in_at_the_start() {
    let mut world = cluster(3, 3, &quick());
    world.call(0, |node, now| node.del_slots(now, &slots(5, 5)).unwrap());
    world.call(0, |node, now| {
        node.verify_slots_with_keys(now, [slot(1), slot(5), slot(16383)]);
    });
    assert!(world.logged(
        0,
        "I have keys for unassigned slot 5. Taking responsibility for it."
    ));
    assert!(world.logged(0, "I have keys for slot 16383, but the slot is assigned to another node. Deleting keys in the slot."));
    assert!(world.hosts[0].node.is_mine(slot(5)));
    let deleted = Event::DeleteKeysInSlot(slot(16383));
    assert!(world.hosts[0].events.contains(&deleted));
}

// --- votes ------------------------------------------------------------------------------------------------------

/// A vote request of host 3, a replica of host 0.
fn request(world: &World, change: impl FnOnce(&mut Header)) -> cluster_bus::Message {
    let mut packet = world.packet_of(3, Body::FailoverAuthRequest);
    packet.header.current_epoch = 10;
    change(&mut packet.header);
    packet
}

#[test]
fn votes_are_refused_with_the_reason() {
    let mut world = cluster(3, 6, &quick());
    let replica = label(&world, 3);
    let denied = |world: &World, why: &str| {
        assert!(
            world.logged(1, &format!("Failover auth denied to {replica}{why}")),
            "{why}: {:?}",
            world.log(1)
        );
    };
    let epoch = world.hosts[1].node.current_epoch();
    let packet = request(&world, |header| header.current_epoch = 1);
    world.inject(1, packet);
    denied(&world, &format!(": reqEpoch (1) < curEpoch({epoch})"));
    let packet = request(&world, |_| ());
    world.inject(1, packet);
    denied(&world, " for epoch 10: its primary is up");
    let packet = request(&world, |header| header.message_flags[0] = Header::FORCE_ACK);
    let answers = world.inject(1, packet);
    assert!(
        answers
            .iter()
            .any(|message| message.body == Body::FailoverAuthAck
                && message.header.current_epoch == 10)
    );
    assert!(world.logged(
        1,
        &format!("Failover auth granted to {replica} for epoch 10")
    ));
    let packet = request(&world, |header| header.message_flags[0] = Header::FORCE_ACK);
    assert!(
        world
            .inject(1, packet)
            .iter()
            .all(|message| message.body != Body::FailoverAuthAck)
    );
    denied(&world, ": already voted for epoch 10");
    // A replica does not vote, and says nothing.
    let packet = request(&world, |header| header.message_flags[0] = Header::FORCE_ACK);
    assert!(world.inject(4, packet).is_empty());
}

/// It is up, whatever its replicas believe, and it may vote again before it hears of its successor, who votes then too.
#[test]
fn who_serves_the_slots_does_not_vote_for_a_successor_unasked() {
    let mut world = cluster(3, 6, &quick());
    let packet = request(&world, |header| header.message_flags[0] = Header::FORCE_ACK);
    let answers = world.inject(0, packet);
    assert!(world.logged(0, " for epoch 10: slot 0 is served here"));
    let voted = |message: &cluster_bus::Message| message.body == Body::FailoverAuthAck;
    assert!(!answers.iter().any(voted));
}

#[test]
fn a_candidate_with_an_old_epoch_is_refused_and_told() {
    let mut world = cluster(3, 6, &quick());
    // Master 0 took a new config epoch that its replica has not heard of.
    let mut news = world.packet_of(0, ping(Vec::new()));
    news.header.config_epoch = 9;
    world.inject(1, news);
    let packet = request(&world, |header| header.message_flags[0] = Header::FORCE_ACK);
    let answers = world.inject(1, packet);
    assert!(world.logged(1, "slot 0 epoch (9) > reqConfigEpoch (1)"));
    assert!(answers.iter().any(|message| matches!(
        message.body,
        Body::Update {
            config_epoch: 9,
            ..
        }
    )));
}

/// What a node puts out for a packet.
fn outputs(
    world: &mut World,
    host: usize,
    packet: cluster_bus::Message,
) -> Vec<cluster_bus::Output> {
    let now = world.now();
    let node = &mut world.hosts[host].node;
    let link = cluster_bus::LinkId::Accepted(u64::MAX);
    let local = std::net::IpAddr::from([127, 0, 0, 1]);
    let facts = cluster_bus::Facts::default();
    let accepted = cluster_bus::Input::Accepted {
        link,
        remote: (local, 1).into(),
        local,
    };
    node.handle_input(now, facts, accepted);
    while node.poll_output().is_some() {}
    let packet = packet.into();
    node.handle_input(now, facts, cluster_bus::Input::Received { link, packet });
    std::iter::from_fn(|| node.poll_output()).collect()
}

#[test]
fn an_epoch_that_was_only_heard_of_is_no_promise_and_not_handed_on() {
    let mut world = cluster(3, 6, &quick());
    let said = |world: &World| world.packet_of(1, ping(Vec::new())).header.current_epoch;
    let before = said(&world);
    let mut news = world.packet_of(0, ping(Vec::new()));
    news.header.current_epoch = 9;
    let outputs = outputs(&mut world, 1, news);
    let urgencies: Vec<_> = outputs.iter().filter_map(urgency).collect();
    assert_eq!(urgencies, [Urgency::News]);
    assert_eq!(world.hosts[1].node.current_epoch(), 9);
    world.run_ms(3000);
    assert_eq!(said(&world), before);
    // It votes in a newer one.
    let packet = request(&world, |header| header.message_flags[0] = Header::FORCE_ACK);
    world.inject(1, packet);
    assert_eq!(said(&world), 10);
}

#[test]
fn the_vote_is_on_disk_before_it_is_sent() {
    let mut world = cluster(3, 6, &quick());
    let packet = request(&world, |header| header.message_flags[0] = Header::FORCE_ACK);
    let outputs = outputs(&mut world, 1, packet);
    let node = &world.hosts[1].node;
    let persist = outputs.iter().position(|output| {
        matches!(
            output,
            cluster_bus::Output::Persist {
                urgency: Urgency::Promise
            }
        )
    });
    let text = node.nodes_conf_text();
    assert!(text.ends_with("vars currentEpoch 10 lastVoteEpoch 10\n"));
    let ack = outputs.iter().position(|output| {
        matches!(output, cluster_bus::Output::Send { packet: Packet::Full(message), .. } if message.body == Body::FailoverAuthAck)
    });
    assert!(persist.unwrap() < ack.unwrap());
}

#[test]
fn marks_of_slots_on_the_move_hold_up_no_packet_and_their_new_owner_does() {
    let mut world = cluster(3, 6, &quick());
    let (source, target) = (world.id(0).to_string(), world.id(1).to_string());
    let mut saves = |host: usize, change: SlotChange| -> (Vec<Urgency>, bool) {
        let now = world.now();
        let node = &mut world.hosts[host].node;
        node.set_slot(now, slot(0), &change, 0).unwrap();
        let is_waited_for = node.has_changed();
        let outputs = std::iter::from_fn(|| node.poll_output());
        (
            outputs.filter_map(|output| urgency(&output)).collect(),
            is_waited_for,
        )
    };
    let given = || SlotChange::Node(target.clone());
    let asked = (vec![Urgency::Asked], true);
    assert_eq!(saves(1, SlotChange::Importing(source)), asked);
    assert_eq!(saves(0, SlotChange::Migrating(target.clone())), asked);
    assert_eq!(saves(1, given()), (vec![Urgency::Promise], true));
    // It is enough that the new owner remembers it.
    assert_eq!(saves(0, given()), (vec![Urgency::Promise], false));
    assert_eq!(saves(2, given()), (vec![Urgency::News], false));
    for host in 0..3 {
        assert_eq!(saves(host, given()), (vec![], false), "it is so already");
    }
    assert_eq!(saves(0, SlotChange::Stable), asked);
}

fn urgency(output: &cluster_bus::Output) -> Option<Urgency> {
    match output {
        cluster_bus::Output::Persist { urgency } => Some(*urgency),
        _ => None,
    }
}

// --- state ------------------------------------------------------------------------------------------------------

#[test]
fn without_full_coverage_the_rest_is_served() {
    let mut world = cluster(
        3,
        3,
        &Config {
            require_full_coverage: false,
            ..quick()
        },
    );
    world.call(0, |node, now| node.del_slots(now, &slots(0, 0)).unwrap());
    world.run_ms(3000);
    let node = &world.hosts[0].node;
    assert_eq!(node.state(), cluster_bus::ClusterState::Ok);
    let unowned = (0..100_000u32)
        .map(|n| n.to_string())
        .find(|key| key_slot(key.as_bytes()) == slot(0))
        .unwrap();
    let route = node.route(
        std::iter::once(unowned.as_bytes()),
        Query::default(),
        |_| true,
    );
    assert_eq!(route.to_string(), "CLUSTERDOWN Hash slot not served");
}

#[test]
fn a_master_waits_before_it_serves_after_a_restart() {
    let mut world = cluster(3, 6, &quick());
    world.kill(0);
    world.restart(0);
    world.run_ms(1800);
    assert_eq!(world.hosts[0].node.state(), cluster_bus::ClusterState::Fail);
    world.run_until("serves", 2000, |world| {
        world.hosts[0].node.state() == cluster_bus::ClusterState::Ok
    });
}

// --- routes -----------------------------------------------------------------------------------------------------

/// How a host routes keys, when it has them or not.
fn ask(world: &World, index: usize, keys: &[&[u8]], query: Query, here: bool) -> Route {
    world.hosts[index]
        .node
        .route(keys.iter().copied(), query, |_| here)
}

const KEYS: [&[u8]; 2] = [b"{foo}1", b"{foo}2"];

/// A cluster, the owner of [`KEYS`], and another master.
fn routed() -> (World, usize, usize, Route) {
    let world = cluster(3, 6, &quick());
    let slot = key_slot(b"foo");
    let owner = (0..3)
        .find(|index| world.hosts[*index].node.is_mine(slot))
        .unwrap();
    let moved = Route::Moved {
        slot,
        name: "127.0.0.1".to_owned(),
        port: port(owner),
    };
    (world, owner, (owner + 1) % 3, moved)
}

#[test]
fn commands_are_sent_to_the_owner() {
    let (world, owner, other, moved) = routed();
    let plain = Query::default();
    assert_eq!(ask(&world, owner, &KEYS, plain, false), Route::Here);
    assert_eq!(ask(&world, other, &KEYS, plain, false), moved);
    let text = format!("MOVED {} 127.0.0.1:{}", key_slot(b"foo"), port(owner));
    assert_eq!(moved.to_string(), text);
    let crossed = ask(&world, owner, &[b"a", b"b"], plain, false);
    assert_eq!(
        crossed.to_string(),
        "CROSSSLOT Keys in request don't hash to the same slot"
    );
    assert_eq!(ask(&world, owner, &[], plain, false), Route::Here);
}

#[test]
fn replicas_serve_reads_of_readonly_clients() {
    let (world, owner, other, moved) = routed();
    let read = Query {
        client_is_readonly: true,
        ..Query::default()
    };
    assert_eq!(ask(&world, owner + 3, &KEYS, read, false), Route::Here);
    let write = Query {
        writes: true,
        ..read
    };
    assert_eq!(ask(&world, owner + 3, &KEYS, write, false), moved);
    assert_eq!(ask(&world, other + 3, &KEYS, read, false), moved);
    assert_eq!(
        ask(&world, owner + 3, &KEYS, Query::default(), false),
        moved
    );
}

#[test]
fn keys_of_an_open_slot_are_looked_for_on_both_sides() {
    let (mut world, from, to, moved) = routed();
    let slot = key_slot(b"foo");
    let (importing, migrating) = (
        SlotChange::Importing(world.id_text(from)),
        SlotChange::Migrating(world.id_text(to)),
    );
    world.call(from, |node, now| {
        node.set_slot(now, slot, &migrating, 1).unwrap();
    });
    world.call(to, |node, now| {
        node.set_slot(now, slot, &importing, 0).unwrap();
    });
    let plain = Query::default();
    let asking = Query {
        asking: true,
        ..plain
    };
    let migrate = Query {
        is_migrate: true,
        ..plain
    };
    assert_eq!(ask(&world, from, &KEYS, plain, true), Route::Here);
    let asked = ask(&world, from, &KEYS, plain, false);
    assert_eq!(
        asked.to_string(),
        format!("ASK {slot} 127.0.0.1:{}", port(to))
    );
    assert_eq!(ask(&world, from, &KEYS, migrate, false), Route::Here);
    // One is here and one is not.
    let node = &world.hosts[from].node;
    let torn = node.route(KEYS.iter().copied(), plain, |key| key == KEYS[0]);
    assert_eq!(torn, Route::TryAgain);
    let channels = Query {
        is_pubsub: true,
        ..plain
    };
    assert_eq!(ask(&world, from, &KEYS, channels, false), Route::Here);
    assert_eq!(ask(&world, to, &KEYS, plain, true), moved);
    assert_eq!(ask(&world, to, &KEYS, asking, true), Route::Here);
    assert_eq!(ask(&world, to, &KEYS[..1], asking, false), Route::Here);
    let torn = ask(&world, to, &KEYS, asking, false);
    assert_eq!(
        torn.to_string(),
        "TRYAGAIN Multiple keys request during rehashing of slot"
    );
}

// --- manual failover --------------------------------------------------------------------------------------------

#[test]
fn only_our_own_replica_may_pause_us() {
    let mut world = cluster(3, 6, &quick());
    for index in [1, 4] {
        let packet = world.packet_of(index, Body::ManualFailoverStart);
        world.inject(0, packet);
    }
    assert!(
        !world.hosts[0]
            .events
            .iter()
            .any(|event| matches!(event, Event::PauseClients { .. }))
    );
    let packet = world.packet_of(3, Body::ManualFailoverStart);
    world.inject(0, packet);
    assert!(
        world.hosts[0]
            .events
            .contains(&Event::PauseClients { for_ms: 10_000 })
    );
    assert!(
        world.hosts[0].events.contains(&Event::ResumeClients),
        "its link was closed: it waits no longer"
    );
    world.run_ms(500);
    world.call(3, |node, now| {
        node.failover(now, FailoverKind::Coordinated, false)
            .unwrap();
    });
    world.run_ms(2);
    let paused = world.sent.iter().rev().find(|entry| entry.1 == 0).unwrap();
    assert!(paused.3.header.says(Header::PAUSED), "told at once");
}

#[test]
fn an_announced_address_counts_in_version_1() {
    let mut world = cluster(3, 3, &quick());
    let mut packet = world.packet_of(1, ping(Vec::new()));
    packet.header.version = Version::V1;
    packet.header.ip = WireIp::from(Some("127.0.0.9".parse().unwrap()));
    packet.header.bus_port = 12345;
    world.inject(0, packet);
    let line = world.hosts[0]
        .node
        .node_lines()
        .find(|line| line.id == world.id(1))
        .unwrap();
    assert_eq!(
        (line.ip, line.bus_port),
        (Some("127.0.0.9".parse().unwrap()), 12345)
    );
}

// --- slots that move whole ------------------------------------------------------------------------------------------

fn owners(world: &World, number: u16) -> Vec<Option<NodeId>> {
    let hosts = world.hosts.iter();
    hosts.map(|host| host.node.owner(slot(number))).collect()
}

#[test]
fn who_takes_whole_slots_has_them_everywhere_under_a_new_epoch() {
    let mut world = cluster(3, 3, &quick());
    let (source, target) = (world.id(0), world.id(1));
    let moved = slots(0, 99);
    assert_eq!(
        world.hosts[2].node.owner_of_all(moved.clone()),
        Some(source)
    );
    assert_eq!(world.hosts[2].node.owner_of_all(slots(0, 16383)), None);
    let before = world.hosts[1].node.config_epoch();
    world.call(1, |node, now| node.take_slots(now, moved.clone()));
    assert!(world.hosts[1].node.config_epoch() > before);
    // A second one is newer again, although nobody else has a newer one.
    let first = world.hosts[1].node.config_epoch();
    world.call(1, |node, now| node.take_slots(now, slots(100, 100)));
    assert!(world.hosts[1].node.config_epoch() > first);
    world.run_until("all know the new owner", 3000, |world| {
        owners(world, 50) == [Some(target); 3] && owners(world, 100) == [Some(target); 3]
    });
}

#[test]
fn a_claim_is_above_the_epoch_that_its_owner_holds() {
    let mut world = cluster(3, 3, &quick());
    let (source, target) = (world.id(0), world.id(1));
    // The source has counted on, and the target has not heard of it.
    world.call(0, |node, now| {
        for _ in 0..5 {
            node.take_slots(now, slots(101, 101));
        }
    });
    let held = world.call(0, |node, now| node.begin_yielding(now, target));
    world.call(1, |node, now| node.hear_epoch(now, held));
    world.call(1, |node, now| node.take_slots(now, slots(0, 99)));
    assert!(world.hosts[1].node.config_epoch() > held);
    // Whoever else comes to have the source's epoch, it is not the source that takes another one.
    let mut packet = world.packet_of(2, ping(Vec::new()));
    packet.header.config_epoch = held;
    packet.header.sender = world.id(2);
    world.inject(0, packet);
    assert_eq!(world.hosts[0].node.config_epoch(), held);
    world.call(0, |node, _| node.end_yielding());
    world.run_until("all know the new owner", 5000, |world| {
        owners(world, 50) == [Some(target); 3] && owners(world, 101) == [Some(source); 3]
    });
    // What nobody can have handed out is not believed.
    let before = world.hosts[1].node.current_epoch();
    world.call(1, |node, now| node.hear_epoch(now, MAX_EPOCH));
    assert_eq!(world.hosts[1].node.current_epoch(), before);
}

#[test]
fn slots_are_not_moved_by_hand_while_some_move_whole() {
    let mut world = cluster(2, 2, &quick());
    let facts = Facts {
        importing_slots: true,
        ..Facts::default()
    };
    let other = world.id_text(1);
    let words: [&[u8]; 4] = [b"SETSLOT", b"0", b"MIGRATING", other.as_bytes()];
    let refused = world.call(0, |node, now| {
        node.command(now, facts, Caller::default(), &words, &Empty)
    });
    assert_eq!(refused.unwrap_err().to_string(), "Slot import in progress.");
}

struct Empty;

impl cluster_bus::Keyspace for Empty {
    fn is_empty(&self) -> bool {
        true
    }

    fn count_keys_in_slot(&self, _slot: Slot) -> u64 {
        0
    }

    fn keys_in_slot(&self, _slot: Slot, _max: usize) -> Vec<Vec<u8>> {
        Vec::new()
    }
}

#[test]
fn a_replica_knows_the_open_slots_of_the_dump_that_it_copied() {
    let mut world = cluster(2, 3, &quick());
    let (source, target) = (world.id_text(0), world.id_text(1));
    world.call(0, |node, now| {
        let out = SlotChange::Migrating(target.clone());
        node.set_slot(now, slots(5, 5)[0], &out, 0).unwrap();
    });
    let told = world.hosts[0].node.open_slots();
    assert_eq!(told, format!("5>{target},"));
    world.call(2, |node, now| node.adopt_open_slots(now, &told));
    assert_eq!(world.hosts[2].node.open_slots(), told);
    for wrong in ["5", "5>x,", "16384>", &format!("x>{target},")] {
        world.call(2, |node, now| node.adopt_open_slots(now, wrong));
        assert_eq!(world.hosts[2].node.open_slots(), told, "{wrong}");
    }
    // A master knows for itself.
    world.call(1, |node, now| {
        node.adopt_open_slots(now, &format!("5<{source},"));
    });
    assert_eq!(world.hosts[1].node.open_slots(), "");
    // The other end is a node that the replica has yet to meet.
    world.call(2, |node, now| node.forget(now, &target).unwrap());
    assert_eq!(world.hosts[2].node.open_slots(), "");
    world.call(2, |node, now| node.adopt_open_slots(now, &told));
    assert_eq!(world.hosts[2].node.open_slots(), "");
    world.run_until("it has met the node again", 90_000, |world| {
        world.hosts[2].node.open_slots() == told
    });
    // And one that was closed meanwhile stays closed.
    world.call(2, |node, now| node.forget(now, &target).unwrap());
    world.call(2, |node, now| node.adopt_open_slots(now, &told));
    world.call(2, |node, now| {
        let closed = node.set_slot(now, slots(5, 5)[0], &SlotChange::Stable, 0);
        closed.unwrap();
    });
    world.run_ms(90_000);
    assert_eq!(world.hosts[2].node.open_slots(), "");
}

#[test]
fn who_becomes_a_replica_tells_who_has_its_slots() {
    let mut world = cluster(3, 4, &quick());
    world.partition(&[3], &[1, 2]);
    world.call(3, |node, now| {
        node.failover(now, FailoverKind::Takeover, false).unwrap();
    });
    let new = Some(world.id(3));
    world.run_until("all know", 200, |world| {
        (0..3).all(|host| world.hosts[host].node.owner(slot(0)) == new)
    });
    for host in 1..3 {
        assert!(world.flags(host, 3).has(NodeFlags::MASTER));
        assert!(world.flags(host, 0).has(NodeFlags::SLAVE));
    }
}

#[test]
fn a_replica_plans_its_election_when_it_hears_of_the_failure() {
    let mut world = cluster(3, 4, &quick());
    let master = world.id(0);
    let packet = world.packet_of(1, Body::Fail(master));
    world.inject(3, packet);
    assert!(world.logged(3, "Start of election delayed"));
}

#[test]
fn who_is_met_hears_at_once_who_else_is_there() {
    let mut world = World::new(3, &quick());
    world.meet(0, 1);
    world.run_until("two know each other", 10_000, |world| {
        world.hosts[0].node.node_lines().count() == 2 && world.hosts[1].node.knows(world.id(0))
    });
    let entry = message::Gossip {
        id: world.id(1),
        ping_sent: 0,
        pong_received: 0,
        ip: WireIp::from(Some(std::net::Ipv4Addr::LOCALHOST.into())),
        port: port(1),
        bus_port: port(1) + 10_000,
        tls_port: 0,
        flags: NodeFlags::MASTER,
    };
    for kind in [PingKind::Ping, PingKind::Meet] {
        let body = Body::Ping {
            kind,
            gossip: vec![entry.clone()],
            extensions: message::Extensions::default(),
        };
        let packet = world.packet_of(0, body);
        world.inject(2, packet);
        let knows = world.hosts[2].node.knows(world.id(1));
        assert_eq!(knows, kind == PingKind::Meet);
    }
}
