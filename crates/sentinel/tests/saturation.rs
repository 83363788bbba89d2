//! A master that answers late or refuses writes: it is told apart from one that is down, and hands over where that is asked for.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod harness;

use harness::{World, addr};
use sentinel_core::Reply;

const THREE: &str = "sentinel monitor mymaster 127.0.0.1 6379 2\nsentinel down-after-milliseconds mymaster 2000\n\
    sentinel failover-timeout mymaster 20000\nsentinel saturation-threshold mymaster 500\n";
const ASKED_FOR: &str = "sentinel saturation-failover mymaster yes\n";

/// Three sentinels that watch servers which know FAILOVER.
fn three(slaves: &[u16], config: &str) -> World {
    let mut world = World::new(slaves);
    for server in world.servers.values_mut() {
        server.hands_over = true;
    }
    for _ in 0..3 {
        world.add_sentinel(config);
    }
    world.run(13_000);
    world
}

fn late(world: &mut World, port: u16, ms: u64) {
    world.servers.get_mut(&port).unwrap().late_ms = ms;
}

/// A field of SENTINEL MASTER.
fn field(world: &mut World, index: usize, name: &str) -> Option<String> {
    let Reply::Array(fields) = world.ask(index, "SENTINEL master mymaster") else {
        panic!()
    };
    let text = |reply: &Reply| match reply {
        Reply::Bulk(bytes) => String::from_utf8(bytes.clone()).unwrap(),
        other => panic!("{other:?}"),
    };
    let pairs = fields.as_chunks::<2>().0;
    let [_, value] = pairs.iter().find(|pair| text(&pair[0]) == name)?;
    Some(text(value))
}

fn handed_over(world: &World, port: u16) -> Vec<&str> {
    let lines = world.servers[&port].log.iter().map(String::as_str);
    lines.filter(|line| line.starts_with("FAILOVER")).collect()
}

#[test]
fn a_late_master_is_saturated_and_not_down() {
    let mut world = three(&[6380], THREE);
    assert_eq!(
        field(&mut world, 0, "ping-round-trip").as_deref(),
        Some("2")
    );
    late(&mut world, 6379, 800);
    world.wait_for(10_000, "all see it", |world| {
        world.count_events("+saturated master mymaster 127.0.0.1 6379 #round trip 802 ms") == 3
    });
    let flags = field(&mut world, 0, "flags").unwrap();
    assert_eq!(flags, "master,saturated");
    assert!(field(&mut world, 0, "saturated-time").is_some());
    assert_eq!(
        field(&mut world, 0, "saturation-failover").as_deref(),
        Some("no")
    );
    world.run(60_000);
    assert_eq!(
        world.count_events("+try-failover"),
        0,
        "nobody asked for it"
    );
    assert_eq!(world.count_events("+sdown"), 0);
    late(&mut world, 6379, 0);
    world.wait_for(15_000, "it is over", |world| {
        world.count_events("-saturated master mymaster") == 3
    });
    assert_eq!(field(&mut world, 0, "flags").as_deref(), Some("master"));
    assert_eq!(world.count_events("+saturated"), 3, "told once");
}

#[test]
fn nobody_looks_for_saturation_unless_asked_to() {
    let config = THREE.replace("sentinel saturation-threshold mymaster 500\n", ASKED_FOR);
    let mut world = three(&[6380], &config);
    late(&mut world, 6379, 800);
    world.run(60_000);
    assert_eq!(world.count_events("+saturated"), 0);
    assert_eq!(world.count_events("+try-failover"), 0);
    let shown = field(&mut world, 0, "ping-round-trip");
    assert_eq!(shown, None, "the fields are those of other sentinels");
}

#[test]
fn a_few_late_answers_are_no_saturation() {
    let mut world = three(&[6380], THREE);
    for _ in 0..10 {
        late(&mut world, 6379, 1_500);
        world.run(2_500);
        late(&mut world, 6379, 0);
        world.run(6_000);
    }
    assert_eq!(world.count_events("+saturated"), 0);
}

#[test]
fn a_saturated_master_hands_over_to_a_replica_in_better_health() {
    let mut world = three(&[6380, 6381], &(THREE.to_owned() + ASKED_FOR));
    // The one that would be chosen for a master that is down is on a slow machine too.
    world.servers.get_mut(&6380).unwrap().priority = 1;
    world.run(11_000);
    late(&mut world, 6379, 800);
    late(&mut world, 6380, 800);
    world.wait_for(40_000, "a switch", |world| {
        world.count_events("+switch-master mymaster 127.0.0.1 6379 127.0.0.1 6381") == 3
    });
    assert_eq!(handed_over(&world, 6379).len(), 1);
    assert!(handed_over(&world, 6379)[0].starts_with("FAILOVER TO 127.0.0.1 6381 TIMEOUT "));
    assert_eq!(world.count_events("+elected-leader"), 1);
    assert_eq!(world.count_events("+odown"), 0);
    assert_eq!(world.count_events("+sdown"), 0);
    world.run(30_000);
    for port in [6379, 6380] {
        assert_eq!(world.servers[&port].master, Some(addr(6381)), "{port}");
    }
}

#[test]
fn a_master_whose_replicas_are_as_slow_keeps_its_role() {
    let mut world = three(&[6380, 6381], &(THREE.to_owned() + ASKED_FOR));
    for port in [6379, 6380, 6381] {
        late(&mut world, port, 800);
    }
    world.run(60_000);
    assert_eq!(world.count_events("+saturated"), 3);
    assert_eq!(world.count_events("+try-failover"), 0);
    let told = "'mymaster' is saturated and does not hand over: no replica is in better health";
    assert_eq!(world.count_events(told), 3, "told once");
}

#[test]
fn one_sentinel_alone_does_not_bring_a_hand_over_about() {
    let mut world = three(&[6380], &(THREE.to_owned() + ASKED_FOR));
    for index in [1, 2] {
        let set = "SENTINEL set mymaster saturation-threshold 0";
        assert_eq!(world.ask(index, set), Reply::ok());
    }
    late(&mut world, 6379, 800);
    world.run(60_000);
    assert!(world.has_event(0, "+saturated"));
    assert_eq!(world.count_events("+try-failover"), 0);
    let told = "'mymaster' is saturated and does not hand over: fewer sentinels than the quorum";
    assert!(world.has_event(0, told));
    // A second one makes the quorum. It need not want the hand-over itself.
    for option in ["saturation-threshold 500", "saturation-failover no"] {
        let set = format!("SENTINEL set mymaster {option}");
        assert_eq!(world.ask(1, &set), Reply::ok());
    }
    world.wait_for(30_000, "a switch", |world| {
        world.count_events("+switch-master") == 3
    });
    let leader = world.sentinels[0].events.iter();
    assert_eq!(
        leader
            .filter(|(_, line)| line.starts_with("+elected-leader"))
            .count(),
        1
    );
}

#[test]
fn masters_do_not_change_one_after_the_other() {
    let mut world = three(&[6380], &(THREE.to_owned() + ASKED_FOR));
    late(&mut world, 6379, 800);
    world.wait_for(40_000, "a switch", |world| {
        world.count_events("+switch-master") == 3
    });
    let switched_at = world.now_ms;
    // Whoever is the master is slow.
    late(&mut world, 6379, 0);
    late(&mut world, 6380, 800);
    world.wait_for(60_000, "another switch", |world| {
        world.count_events("+switch-master") == 6
    });
    assert!(world.now_ms - switched_at >= 2 * 20_000 - 2_000);
    assert_eq!(world.master_port(0), "6379");
}

#[test]
fn a_master_that_refuses_writes_hands_over() {
    let mut world = three(&[6380], &(THREE.to_owned() + ASKED_FOR));
    let refusal = Reply::Error("MISCONF Errors writing to the AOF file: No space left".to_owned());
    world.servers.get_mut(&6379).unwrap().ping = Some(refusal);
    world.wait_for(30_000, "a switch", |world| {
        world.count_events("+switch-master") == 3
    });
    assert_eq!(world.count_events("+sdown"), 0);
    assert_eq!(
        world.count_events("+saturated master mymaster 127.0.0.1 6379 #writes refused"),
        3
    );
    assert_eq!(handed_over(&world, 6379).len(), 1);
}

#[test]
fn a_master_that_refuses_writes_is_down_where_no_hand_over_is_asked_for() {
    let mut world = three(&[6380], THREE);
    let refusal = Reply::Error("MISCONF Errors writing to the AOF file: No space left".to_owned());
    world.servers.get_mut(&6379).unwrap().ping = Some(refusal);
    world.wait_for(30_000, "a switch", |world| {
        world.count_events("+switch-master") == 3
    });
    assert!(world.count_events("+odown") > 0);
    assert_eq!(handed_over(&world, 6379).len(), 0);
}

#[test]
fn a_full_master_hands_over_to_a_replica_with_room() {
    let memory = |limit: u64| {
        format!("used_memory:200\r\nmaxmemory:{limit}\r\nmaxmemory_policy:noeviction\r\n")
    };
    for (slave_limit, switches) in [(100, 0), (1_000, 3)] {
        let mut world = three(&[6380], &(THREE.to_owned() + ASKED_FOR));
        world.servers.get_mut(&6379).unwrap().more_info = memory(100);
        world.servers.get_mut(&6380).unwrap().more_info = memory(slave_limit);
        world.run(60_000);
        assert_eq!(world.count_events("+switch-master"), switches);
        assert_eq!(world.count_events("+sdown"), 0);
        let saturated = world.count_events("+saturated master mymaster 127.0.0.1 6379");
        assert_eq!(saturated, 3);
    }
}

#[test]
fn a_master_that_dies_while_it_hands_over_is_failed_over_at_once() {
    let mut world = three(&[6380, 6381], &(THREE.to_owned() + ASKED_FOR));
    world.servers.get_mut(&6381).unwrap().offset = 900;
    world.run(11_000);
    world.servers.get_mut(&6379).unwrap().deaf = true;
    late(&mut world, 6379, 800);
    late(&mut world, 6381, 800);
    world.wait_for(40_000, "a hand-over", |world| {
        world.count_events("+failover-state-wait-promotion slave 127.0.0.1:6380") == 1
    });
    world.run(1_500);
    world.kill(6379);
    // Its replica that has most is chosen now, though it is slow.
    world.wait_for(10_000, "a switch", |world| {
        world.count_events("+switch-master mymaster 127.0.0.1 6379 127.0.0.1 6381") == 3
    });
    assert_eq!(world.count_events("+elected-leader"), 1);
}

#[test]
fn the_settings_are_kept_and_refuse_nonsense() {
    let mut world = World::new(&[]);
    world.add_sentinel("sentinel monitor mymaster 127.0.0.1 6379 1\n");
    let set = "SENTINEL set mymaster saturation-threshold 250 saturation-failover yes";
    assert_eq!(world.ask(0, set), Reply::ok());
    let file = String::from_utf8(world.sentinels[0].file.clone()).unwrap();
    assert!(
        file.contains("sentinel saturation-threshold mymaster 250\n"),
        "{file}"
    );
    assert!(
        file.contains("sentinel saturation-failover mymaster yes\n"),
        "{file}"
    );
    world.crash_sentinel(0);
    world.start_sentinel(0);
    assert_eq!(
        field(&mut world, 0, "saturation-threshold").as_deref(),
        Some("250")
    );
    for (option, value) in [
        ("saturation-threshold", "-1"),
        ("saturation-failover", "maybe"),
    ] {
        let error = format!("ERR Invalid argument '{value}' for SENTINEL SET '{option}'");
        let set = format!("SENTINEL set mymaster {option} {value}");
        assert_eq!(world.ask(0, &set), Reply::Error(error));
    }
    let ask = "SENTINEL is-primary-saturated-by-addr 127.0.0.1";
    assert_eq!(world.ask(0, &format!("{ask} 6379")), Reply::Integer(0));
    assert_eq!(world.ask(0, &format!("{ask} x")), Reply::Integer(0));
}
