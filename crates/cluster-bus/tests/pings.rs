//! Whom a node of a large cluster pings, and how soon a node that fails is known to.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod harness;

use cluster_bus::message::{Body, NodeFlags, PingKind, Version};
use cluster_bus::{Config, LogLevel};
use harness::{World, cluster};

const MASTERS: usize = 20;
const HOSTS: usize = 40;
const TIMEOUT_MS: u64 = 15_000;

fn large() -> World {
    let config = Config {
        bus_version: Version::V1,
        node_timeout_ms: TIMEOUT_MS,
        log_level: LogLevel::Notice,
        ..Config::default()
    };
    let mut world = cluster(MASTERS, HOSTS, &config);
    world.run_ms(2 * TIMEOUT_MS);
    world
}

/// Pings that were sent since, by whom and to whom.
fn pings(world: &World, since_ms: u64) -> Vec<(usize, usize)> {
    let sent = world.sent.iter().rev();
    sent.take_while(|(at_ms, ..)| *at_ms > since_ms)
        .filter(|(.., message)| {
            matches!(
                message.body,
                Body::Ping {
                    kind: PingKind::Ping,
                    ..
                }
            )
        })
        .map(|(_, from, to, _)| (*from, *to))
        .collect()
}

fn isolate(world: &mut World, host: usize) {
    let others: Vec<usize> = (0..HOSTS).filter(|other| *other != host).collect();
    world.partition(&[host], &others);
}

#[test]
fn what_others_have_heard_saves_pings() {
    let mut world = large();
    let since_ms = world.now_ms;
    world.run_ms(60_000);
    let sent = pings(&world, since_ms);
    // Each would ping each other one every half timeout, and one a second by chance.
    let most = HOSTS * ((HOSTS - 1) * 60_000 / 7_500 + 60);
    assert!(2 * sent.len() < most, "{} of {most}", sent.len());
    for host in 0..HOSTS {
        let others = (0..HOSTS).filter(|other| sent.contains(&(*other, host)));
        assert!(others.count() > 1, "host {host} is left alone");
    }
}

#[test]
fn a_silent_master_is_replaced_as_soon_as_if_no_ping_were_saved() {
    let mut world = large();
    let mut sum_ms = 0;
    for host in 0..5 {
        isolate(&mut world, host);
        let failed = |world: &World| {
            let mut others = (0..HOSTS).filter(|other| *other != host);
            others.all(|other| world.flags(other, host).has(NodeFlags::FAIL))
        };
        let ms = world.run_until("it is failing", 2 * TIMEOUT_MS, failed);
        assert!(ms <= TIMEOUT_MS * 3 / 2, "{ms} ms");
        sum_ms += ms;
        world.run_until("it is replaced", TIMEOUT_MS, |world| {
            !world.hosts[host + MASTERS].node.is_replica()
        });
        world.heal();
        world.run_until("it is back", 60_000, harness::settled);
        world.run_ms(2 * TIMEOUT_MS);
    }
    // If each pinged it every half timeout, whatever others have heard, it would be 20.1 seconds, give or take what five cases vary.
    let mean_ms = sum_ms / 5;
    assert!(mean_ms <= 20_500, "{mean_ms} ms");
}

#[test]
fn a_killed_master_is_known_to_fail_when_its_timeout_ends() {
    let mut world = large();
    world.kill(0);
    let ms = world.run_until("it is failing", 2 * TIMEOUT_MS, |world| {
        (1..HOSTS).all(|other| world.flags(other, 0).has(NodeFlags::FAIL))
    });
    assert!(ms < TIMEOUT_MS + 500, "{ms} ms");
}

#[test]
fn who_waits_for_answers_asks_all() {
    let mut world = large();
    let target = world.id(1);
    world.call(0, |node, now| node.begin_yielding(now, target));
    let since_ms = world.now_ms;
    world.run_ms(TIMEOUT_MS / 2 + 200);
    let sent = pings(&world, since_ms);
    assert!((1..HOSTS).all(|host| sent.contains(&(0, host))));
    assert!(!(0..HOSTS).all(|host| host == 1 || sent.contains(&(1, host))));
    assert!(world.hosts[0].node.majority_heard_since(since_ms));
}
