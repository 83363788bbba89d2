//! The cluster core through the simulator: many seeds, and the proof that the simulator sees what it is there for.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed unwrap is a failed test"
)]

use cluster_bus::{ClusterState, Config};
use tern_tests::sim::cluster::{Run, run, run_with_few_masters};
use tern_tests::sim::{Options, Rng, Scenario as _, run_seeds};

#[test]
fn ten_minutes_of_many_clusters() {
    let summaries = run_seeds(0..250, |seed| run(seed, Options::default()))
        .unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(summaries.len(), 250);
    // A simulator in which nothing happens proves nothing.
    let elections: usize = summaries.iter().map(|summary| summary.elections).sum();
    assert!(elections > 250, "only {elections} elections");
}

#[test]
fn ten_minutes_of_clusters_with_few_masters() {
    let summaries = run_seeds(0..60, |seed| run_with_few_masters(seed, Options::default()))
        .unwrap_or_else(|failure| panic!("{failure}"));
    let elections: usize = summaries.iter().map(|summary| summary.elections).sum();
    assert!(elections > 60, "only {elections} elections");
}

/// A master of a cluster with one or two of them dies for good. Whether a replica has its slots within a minute.
fn is_replaced(masters: usize, replicas: usize, replicas_vote: bool, seed: u64) -> bool {
    let config = Config {
        node_timeout_ms: 2_000,
        port: 7000,
        replicas_vote,
        ..Config::default()
    };
    let rng = Rng::new(seed);
    let mut run = Run::with(rng, masters, replicas, &config, Options::default());
    run.form_cluster().unwrap();
    let dead = run.id(0);
    run.world.crash(0, false);
    let serves = |run: &Run| {
        (1..masters + replicas).all(|host| {
            run.world.core(host).is_some_and(|core| {
                let mut owners = cluster_bus::Slot::all().map(|slot| core.node.owner(slot));
                core.node.state() == cluster_bus::ClusterState::Ok
                    && owners.all(|owner| owner.is_some_and(|id| id != dead))
            })
        })
    };
    run.until("a replica takes over", 60_000, serves).is_ok()
}

#[test]
fn few_masters_are_replaced_where_their_replicas_vote() {
    for (masters, replicas) in [(1, 2), (2, 2), (2, 4)] {
        for seed in 0..10 {
            assert!(
                is_replaced(masters, replicas, true, seed),
                "{masters} masters, seed {seed}"
            );
        }
        assert!(!is_replaced(masters, replicas, false, 1));
    }
}

/// Two replicas of a dead master ask for votes in one epoch, and the voter's host loses power right after its first
/// vote. Neither candidate hears of the other one, so that the second, who is late, draws the same epoch if nobody tells it of the first.
/// For each seed the epochs in which it voted, or what the simulator found.
fn votes_with_power_loss(fsync: bool) -> Vec<Result<Vec<u64>, String>> {
    let tries = (1..50).filter_map(|seed| vote_of_seed(seed, fsync).transpose());
    tries.collect()
}

/// `None` where the candidates slept through the news that their master is down.
fn vote_of_seed(seed: u64, fsync: bool) -> Result<Option<Vec<u64>>, String> {
    const MASTER: usize = 0;
    const VOTER: usize = 1;
    let config = Config {
        node_timeout_ms: 2_000,
        port: 7000,
        ..Config::default()
    };
    let options = Options { fsync, trace: None };
    let mut run = Run::with(Rng::new(seed), 3, 5, &config, options);
    run.checks.epochs_may_be_forgotten = true;
    run.form_cluster()?;
    let (master, voter) = (run.id(MASTER), run.id(VOTER));
    let candidates: Vec<usize> = (3..8)
        .filter(|host| run.world.core(*host).unwrap().node.master_id() == Some(master))
        .collect();
    assert_eq!(candidates.len(), 2);
    run.world.crash(MASTER, false);
    // The candidates sleep until the others know, and the second one until the voter is back.
    run.world.freeze(candidates[0], 7_000);
    run.world.freeze(candidates[1], 10_000);
    let failed =
        |run: &Run, host: usize| {
            run.world.core(host).unwrap().node.node_lines().any(|line| {
                line.id == master && line.flags.has(cluster_bus::message::NodeFlags::FAIL)
            })
        };
    run.until("everyone knows that the master is down", 10_000, |run| {
        [1, 2, 4, 5, 7].iter().all(|host| failed(run, *host))
    })?;
    for candidate in &candidates {
        for other in (2..8).filter(|other| other != candidate) {
            run.world.cut(*candidate, other);
            run.world.cut(other, *candidate);
        }
    }
    // What the voter knows so far is on disk, one way or the other.
    run.world.write_back(VOTER);
    let end_ms = run.world.now_ms() + 20_000;
    while run.checks.votes_of(voter).is_empty() {
        if run.world.now_ms() >= end_ms {
            return Ok(None);
        }
        run.run_to(run.world.now_ms() + 1)?;
    }
    run.world.crash(VOTER, true);
    run.world.crash(candidates[0], true);
    run.world.start(VOTER);
    let end_ms = run.world.now_ms() + 20_000;
    while run.checks.votes_of(voter).len() < 2 && run.world.now_ms() < end_ms {
        run.run_to(run.world.now_ms() + 1)?;
    }
    Ok(Some(run.checks.votes_of(voter)))
}

#[test]
fn a_vote_survives_a_power_loss() {
    let votes: Result<Vec<_>, _> = votes_with_power_loss(true).into_iter().collect();
    let votes = votes.unwrap();
    assert!(
        votes.iter().any(|epochs| epochs.len() == 2),
        "a second candidate got its vote in an epoch of its own: {votes:?}"
    );
}

#[test]
fn without_the_fsync_before_the_vote_the_simulator_sees_a_second_one() {
    let votes = votes_with_power_loss(false);
    let found = votes.iter().filter_map(|votes| votes.as_ref().err());
    let mut found = found.filter(|violation| violation.contains("voted twice in epoch"));
    assert!(found.next().is_some(), "{votes:?}");
}

#[test]
fn without_fsync_random_faults_find_it_too() {
    let options = Options {
        fsync: false,
        trace: None,
    };
    let failure = run_seeds(0..100, |seed| run(seed, options)).expect_err("no seed noticed");
    assert!(
        failure.problem.contains("voted twice")
            || failure.problem.contains("forgot what it had said"),
        "{failure}"
    );
}

/// A cluster of three masters with a replica each.
fn small_cluster(seed: u64) -> Run {
    let config = Config {
        node_timeout_ms: 2_000,
        port: 7000,
        ..Config::default()
    };
    let mut run = Run::with(Rng::new(seed), 3, 3, &config, Options::default());
    run.form_cluster().unwrap();
    run
}

#[test]
fn nodes_that_come_back_at_each_others_addresses_find_each_other() {
    for seed in 0..20 {
        let mut run = small_cluster(seed);
        for host in 0..6 {
            run.world.crash(host, false);
        }
        for host in 0..5 {
            run.world.swap_disks(host, host + 1);
        }
        for host in 0..6 {
            run.world.start(host);
            run.run_to(run.world.now_ms() + 300).unwrap();
        }
        run.until("all are found", 60_000, |run| run.unrest().is_none())
            .unwrap_or_else(|problem| panic!("seed {seed}: {problem}"));
    }
}

#[test]
fn a_master_that_hears_of_a_failover_too_late_does_not_pause_its_clients_for_it() {
    for (seed, stopped_ms) in (0..).zip([500, 3_000, 6_000, 7_000, 12_000]) {
        let mut run = small_cluster(seed);
        let master = run.id(0);
        let follows =
            |host: &usize| run.world.core(*host).unwrap().node.master_id() == Some(master);
        let replica = (3..6).find(follows).unwrap();
        run.world.freeze(0, stopped_ms);
        run.command(replica, |node, now| {
            node.failover(now, cluster_bus::node::FailoverKind::Coordinated, false)
                .map_err(|error| error.to_string())
        })
        .unwrap();
        run.run_to(run.world.now_ms() + stopped_ms + 1_000).unwrap();
        assert!(
            !run.world.core(0).unwrap().paused,
            "stopped for {stopped_ms} ms"
        );
        run.until("the cluster is at rest", 60_000, |run| {
            run.unrest().is_none()
        })
        .unwrap();
    }
}

#[test]
fn a_seed_replays() {
    let first = run(7, Options::default()).unwrap();
    let second = run(7, Options::default()).unwrap();
    assert_eq!(format!("{first:?}"), format!("{second:?}"));
}

/// How many node timeouts after so many masters of a cluster with a replica each have died all slots are served again.
fn replaced_after(masters: usize, killed: usize, node_timeout_ms: u64, seed: u64) -> f64 {
    let config = Config {
        node_timeout_ms,
        port: 7000,
        ..Config::default()
    };
    let mut run = Run::with(
        Rng::new(seed),
        masters,
        masters,
        &config,
        Options::default(),
    );
    run.form_cluster().unwrap();
    run.run_to(run.world.now_ms() + 2 * node_timeout_ms)
        .unwrap();
    let start_ms = run.world.now_ms();
    (0..killed).for_each(|host| run.world.crash(host, false));
    run.until("every slot is served", 20 * node_timeout_ms, |run| {
        let nodes = || (killed..2 * masters).map(|host| &run.world.core(host).unwrap().node);
        let masters_now = nodes().filter(|node| !node.is_replica()).count();
        masters_now == masters && nodes().all(|node| node.state() == ClusterState::Ok)
    })
    .unwrap();
    (run.world.now_ms() - start_ms) as f64 / node_timeout_ms as f64
}

#[test]
fn masters_that_fail_at_one_time_are_replaced_at_one_time() {
    for (masters, killed, seeds) in [(5, 2, 40), (9, 4, 20)] {
        for seed in 0..seeds {
            let timeouts = replaced_after(masters, killed, 5_000, seed);
            // Up to one and a half are for the detection.
            assert!(
                timeouts < 2.0,
                "{killed} of {masters}, seed {seed}: {timeouts:.1} node timeouts"
            );
        }
    }
}
