//! Whole failovers with virtual time: the recorded run of Redis 3.0.7, three sentinels that must agree, and what goes
//! wrong on the way.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod harness;

use harness::{World, addr};
use sentinel_core::Reply;

const THREE: &str = "sentinel monitor mymaster 127.0.0.1 6379 2\nsentinel down-after-milliseconds mymaster 2000\n\
    sentinel failover-timeout mymaster 20000\n";

fn three(slaves: &[u16]) -> World {
    let mut world = World::new(slaves);
    for _ in 0..3 {
        world.add_sentinel(THREE);
    }
    world.run(13_000);
    for index in 0..3 {
        assert_eq!(
            world.ask(index, "SENTINEL ckquorum mymaster"),
            Reply::Status(
                "OK 3 usable Sentinels. Quorum and failover authorization can be reached"
                    .to_owned()
            )
        );
    }
    world
}

fn everybody_on(world: &mut World, port: &str) -> bool {
    (0..3).all(|index| world.master_port(index) == port)
}

/// Events without what differs from run to run.
fn normal(line: &str) -> String {
    line.replace(&harness::runid(26379, 1), "RUNID")
        .replace("e3dfdbb4b255495a871dd7af9595c5a17fbd69c8", "RUNID")
}

#[test]
fn the_events_come_in_the_order_of_the_recorded_log() {
    let mut world = World::new(&[6380, 6381]);
    world.add_sentinel(
        "port 26379\nsentinel monitor taotaoMaster 127.0.0.1 6379 1\n\
        sentinel down-after-milliseconds taotaoMaster 3000\n",
    );
    world.run(12_000);
    world.kill(6380);
    world.run(6_200);
    world.restart(6380);
    world.run(5_000);
    world.servers.get_mut(&6380).unwrap().offset = 900;
    world.kill(6379);
    world.run(9_000);
    world.restart(6379);
    world.run(20_000);
    let recorded: Vec<String> = include_str!("data/log.txt")
        .lines()
        .filter_map(|line| {
            line.split_once(" # ")
                .or(line.split_once(" * "))
                .map(|(_, text)| text)
        })
        .filter(|text| text.starts_with(['+', '-']))
        .map(normal)
        .collect();
    let ours: Vec<String> = world.events(0, 0).iter().map(|line| normal(line)).collect();
    assert_eq!(ours, recorded);
    let file = String::from_utf8(world.sentinels[0].file.clone()).unwrap();
    let recorded = include_str!("data/sentinel.conf-after-failover.txt");
    let myid = "46c4e8095e87ae3da36051818063f69fa7ca0419";
    assert_eq!(file, recorded.replace(myid, &harness::runid(26379, 1)));
}

#[test]
fn three_sentinels_elect_one_leader_and_agree() {
    let mut world = three(&[6380, 6381]);
    let killed_at = world.now_ms;
    world.kill(6379);
    world.wait_for(6_000, "a switch", |world| {
        world.count_events("+switch-master") > 0
    });
    world.wait_for(2_500, "agreement", |world| {
        world.count_events("+switch-master") == 3
    });
    assert_eq!(world.count_events("+elected-leader"), 1);
    assert_eq!(world.count_events("+config-update-from"), 2);
    assert!(
        everybody_on(&mut world, "6380") || everybody_on(&mut world, "6381"),
        "since {killed_at}"
    );
    // The old master comes back and is made a slave.
    world.restart(6379);
    world.run(30_000);
    let new: u16 = world.master_port(0).parse().unwrap();
    assert_eq!(world.servers[&6379].master, Some(addr(new)));
    assert!(
        world
            .servers
            .iter()
            .all(|(port, server)| server.master == (*port != new).then_some(addr(new)))
    );
}

#[test]
fn a_minority_of_sentinels_does_not_fail_over() {
    let mut world = three(&[6380]);
    world.crash_sentinel(1);
    world.crash_sentinel(2);
    world.run(3_000);
    world.kill(6379);
    world.run(60_000);
    assert_eq!(world.count_events("+elected-leader"), 0);
    assert!(world.has_event(0, "+sdown master"));
    assert!(
        !world.has_event(0, "+odown master"),
        "one of two is not a quorum"
    );
}

#[test]
fn an_election_that_nobody_wins_is_aborted_and_tried_again_later() {
    let mut world = three(&[6380]);
    world.ask(0, "SENTINEL set mymaster quorum 1");
    world.crash_sentinel(1);
    world.crash_sentinel(2);
    world.kill(6379);
    world.wait_for(20_000, "an abort", |world| {
        world.has_event(0, "-failover-abort-not-elected")
    });
    let aborted_at = world.now_ms;
    world.wait_for(2 * 20_000 + 2_000, "another try", |world| {
        world
            .events(0, aborted_at)
            .iter()
            .any(|line| line.starts_with("+try-failover"))
    });
    assert!(world.has_event(0, "delayed until"));
    world.start_sentinel(1);
    world.start_sentinel(2);
    world.wait_for(120_000, "a switch", |world| {
        world.has_event(0, "+switch-master")
    });
}

#[test]
fn priority_then_offset_then_run_id_decide_and_priority_zero_never_wins() {
    for (set_up, expected) in [
        (vec![(6380, 10, 1), (6381, 100, 9_000)], "6380"),
        (vec![(6380, 100, 1), (6381, 100, 9_000)], "6381"),
        (vec![(6380, 100, 7), (6381, 100, 7)], "6380"),
        (vec![(6380, 0, 9_000), (6381, 100, 1)], "6381"),
    ] {
        let mut world = World::new(&[6380, 6381]);
        for (port, priority, offset) in set_up {
            let server = world.servers.get_mut(&port).unwrap();
            (server.priority, server.offset) = (priority, offset);
        }
        world.add_sentinel(&THREE.replace("6379 2", "6379 1"));
        world.run(2_000);
        assert_eq!(world.ask(0, "SENTINEL failover mymaster"), Reply::ok());
        assert_eq!(
            world.ask(0, "SENTINEL failover mymaster"),
            Reply::Error("INPROG Failover already in progress".to_owned())
        );
        world.wait_for(10_000, "a switch", |world| {
            world.has_event(0, "+switch-master")
        });
        assert_eq!(world.master_port(0), expected);
    }
}

/// A slave that answers again in the very tick in which one is selected is among those that can be.
#[test]
fn who_comes_back_in_the_tick_of_the_choice_can_be_chosen() {
    let mut coincidences = 0;
    for killed_after in (500..1_500).step_by(10) {
        let mut world = World::new(&[6380, 6381]);
        world.servers.get_mut(&6381).unwrap().offset = 9_000;
        world.add_sentinel(&THREE.replace("6379 2", "6379 1"));
        world.run(12_000);
        world.servers.get_mut(&6381).unwrap().frozen = true;
        world.run(killed_after);
        world.kill(6379);
        world.wait_for(5_000, "an election", |world| {
            world.has_event(0, "+try-failover")
        });
        world.servers.get_mut(&6381).unwrap().frozen = false;
        world.wait_for(10_000, "a choice", |world| {
            world.has_event(0, "+selected-slave")
        });
        let events = &world.sentinels[0].events;
        let (chosen_at, chosen) = events
            .iter()
            .find(|(_, line)| line.starts_with("+selected-slave"))
            .unwrap();
        let is_back = |(at, line): &(u64, String)| {
            at == chosen_at && line.starts_with("-sdown slave 127.0.0.1:6381")
        };
        if events.iter().any(is_back) {
            coincidences += 1;
            assert!(chosen.contains(":6381"), "{killed_after}: {chosen}");
        }
    }
    assert!(coincidences > 0, "the test met the tick");
}

#[test]
fn without_a_good_slave_nothing_is_promoted() {
    let mut world = World::new(&[6380, 6381]);
    world.add_sentinel(&THREE.replace("6379 2", "6379 1"));
    world.run(2_000);
    world.servers.get_mut(&6380).unwrap().priority = 0;
    world.kill(6381);
    world.run(11_000);
    assert_eq!(
        world.ask(0, "SENTINEL failover mymaster"),
        Reply::Error("NOGOODSLAVE No suitable replica to promote".to_owned())
    );
    world.kill(6379);
    world.wait_for(5_000, "an abort", |world| {
        world.has_event(0, "-failover-abort-no-good-slave")
    });
    assert_eq!(world.master_port(0), "6379");
}

#[test]
fn a_promoted_slave_that_does_not_obey_ends_the_failover_by_timeout() {
    let mut world = World::new(&[6380]);
    world.servers.get_mut(&6380).unwrap().deaf = true;
    world.add_sentinel(&THREE.replace("6379 2", "6379 1"));
    world.run(2_000);
    world.kill(6379);
    world.wait_for(5_000, "the wait", |world| {
        world.has_event(0, "+failover-state-wait-promotion")
    });
    world.wait_for(21_000, "an abort", |world| {
        world.has_event(0, "-failover-abort-slave-timeout")
    });
    assert_eq!(world.master_port(0), "6379");
}

#[test]
fn slaves_are_reconfigured_no_more_at_a_time_than_parallel_syncs() {
    let mut world = World::new(&[6380, 6381, 6382, 6383]);
    world.add_sentinel(
        &(THREE.replace("6379 2", "6379 1") + "sentinel parallel-syncs mymaster 2\n"),
    );
    world.run(2_000);
    world.kill(6379);
    world.wait_for(6_000, "two told", |world| {
        world.count_events("+slave-reconf-sent ") == 2
    });
    world.run(200);
    assert_eq!(
        world.count_events("+slave-reconf-sent "),
        2,
        "the third waits"
    );
    world.wait_for(6_000, "all done", |world| {
        world.count_events("+slave-reconf-done ") == 3
    });
    world.wait_for(1_000, "the switch", |world| {
        world.has_event(0, "+switch-master")
    });
}

#[test]
fn a_slave_that_does_not_follow_is_given_up_and_fixed_later() {
    let mut world = World::new(&[6380, 6381]);
    world.servers.get_mut(&6381).unwrap().deaf = true;
    world.servers.get_mut(&6380).unwrap().priority = 1;
    world.add_sentinel(&THREE.replace("6379 2", "6379 1"));
    world.run(2_000);
    world.kill(6379);
    world.wait_for(20_000, "the give-up", |world| {
        world.has_event(0, "-slave-reconf-sent-timeout")
    });
    world.wait_for(1_000, "the switch", |world| {
        world.has_event(0, "+switch-master")
    });
    world.servers.get_mut(&6381).unwrap().deaf = false;
    world.wait_for(60_000, "the fix", |world| {
        world.has_event(0, "+fix-slave-config")
    });
    world.run(10);
    assert_eq!(world.servers[&6381].master, Some(addr(6380)));
}

#[test]
fn a_failover_that_takes_too_long_tells_everybody_at_once() {
    let mut world = World::new(&[6380, 6381, 6382]);
    world.servers.get_mut(&6380).unwrap().priority = 1;
    let config = THREE.replace("6379 2", "6379 1").replace("20000", "5000");
    world.add_sentinel(&config);
    world.run(2_000);
    world.servers.get_mut(&6381).unwrap().deaf = true;
    world.kill(6379);
    world.wait_for(15_000, "the end", |world| {
        world.has_event(0, "+failover-end-for-timeout")
    });
    assert!(world.has_event(0, "+slave-reconf-sent-be slave 127.0.0.1:6382"));
    world.wait_for(1_000, "the switch", |world| {
        world.has_event(0, "+switch-master")
    });
}

#[test]
fn a_master_that_was_made_a_slave_of_nobody_is_failed_over() {
    let mut world = World::new(&[6380]);
    world.add_sentinel(
        &THREE
            .replace("6379 2", "6379 1")
            .replace("2000\n", "1000\n"),
    );
    world.run(2_000);
    let now_ms = world.now_ms;
    world.servers.get_mut(&6379).unwrap().master = Some(addr(7000));
    for server in world.servers.values_mut() {
        server.link_down_since = Some(now_ms);
    }
    world.wait_for(60_000, "a switch", |world| {
        world.has_event(0, "+switch-master")
    });
    assert_eq!(world.master_port(0), "6380");
}

#[test]
fn a_slave_that_lost_the_master_long_before_it_died_is_not_promoted() {
    let mut world = World::new(&[6380]);
    world.add_sentinel(&THREE.replace("6379 2", "6379 1"));
    world.run(2_000);
    world.servers.get_mut(&6380).unwrap().link_down_since = Some(world.now_ms);
    world.run(30_000);
    world.kill(6379);
    world.servers.get_mut(&6380).unwrap().link_down_since = Some(3_000);
    world.wait_for(10_000, "an abort", |world| {
        world.has_event(0, "-failover-abort-no-good-slave")
    });
}

#[test]
fn two_masters_are_handled_each_on_its_own() {
    let mut world = World::new(&[6380]);
    world.restart(6379);
    let mut other = World::new(&[]);
    world
        .servers
        .insert(7000, other.servers.remove(&6379).unwrap());
    world.add_sentinel(
        &(THREE.replace("6379 2", "6379 1") + "sentinel monitor other 127.0.0.1 7000 1\n"),
    );
    world.run(2_000);
    world.kill(6379);
    world.wait_for(10_000, "a switch", |world| {
        world.has_event(0, "+switch-master mymaster")
    });
    world.run(10_000);
    let Reply::Bulk(info) = world.ask(0, "INFO sentinel") else {
        panic!()
    };
    let info = String::from_utf8(info).unwrap();
    assert!(
        info.contains(
            "master0:name=mymaster,status=ok,address=127.0.0.1:6380,slaves=1,sentinels=1\r\n"
        ),
        "{info}"
    );
    assert!(
        info.contains(
            "master1:name=other,status=ok,address=127.0.0.1:7000,slaves=0,sentinels=1\r\n"
        ),
        "{info}"
    );
}

#[test]
fn a_master_that_came_back_without_its_data_gives_way_to_a_slave_that_has_them() {
    let mut world = three(&[6380, 6381]);
    let now_ms = world.now_ms;
    // It was started again at once, and answers; one slave has what it had.
    let slave = world.servers.get_mut(&6381).unwrap();
    (slave.refuses_empty, slave.link_down_since) = (true, Some(now_ms));
    world.wait_for(40_000, "a switch", |world| {
        world.count_events("+switch-master") == 3
    });
    assert_eq!(world.count_events("+empty-master"), 3);
    assert_eq!(world.count_events("+elected-leader"), 1);
    assert_eq!(
        world.count_events("+selected-slave slave 127.0.0.1:6381"),
        1
    );
}

#[test]
fn a_replica_that_nobody_knew_comes_along_when_its_old_master_is_back() {
    let mut world = three(&[6380, 6381]);
    world.servers.get_mut(&6380).unwrap().offset = 900;
    world.run(11_000);
    world.kill(6379);
    // Nobody has seen these two follow it. One is put behind a replica on purpose.
    world.add_server(6382, 6379);
    world.add_server(6383, 6381);
    world.wait_for(12_000, "a switch", |world| {
        world.count_events("+switch-master") == 3
    });
    world.restart(6379);
    world.run(60_000);
    for port in [6379, 6381, 6382] {
        assert_eq!(world.servers[&port].master, Some(addr(6380)), "{port}");
    }
    assert_eq!(world.servers[&6383].master, Some(addr(6381)));
}
