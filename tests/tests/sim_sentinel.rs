//! The sentinel core through the simulator: many seeds, and the proof that the simulator sees what it is there for.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed unwrap is a failed test"
)]

use tern_tests::sim::sentinel::{Run, SERVERS, run};
use tern_tests::sim::{Failure, Options, Rng, Scenario as _, run_seeds};

#[test]
fn ten_minutes_of_many_triples_of_sentinels() {
    let summaries = run_seeds(0..250, |seed| run(seed, Options::default()))
        .unwrap_or_else(|failure| panic!("{failure}"));
    assert_eq!(summaries.len(), 250);
    // A simulator in which nothing happens proves nothing.
    let elections: usize = summaries.iter().map(|summary| summary.elections).sum();
    let configurations: usize = summaries.iter().map(|summary| summary.configurations).sum();
    assert!(
        elections > 250 && configurations > 200,
        "only {elections} elections, {configurations} new masters"
    );
}

/// The master dies, and two sentinels ask the third for its vote in the same epoch; the voter's host loses power right
/// after its first vote. Neither candidate hears of the other one, so that the second draws the same epoch.
/// Returns the votes that the voter told.
fn vote_with_power_loss(fsync: bool) -> Result<Vec<(u64, String)>, String> {
    const VOTER: usize = 0;
    const CANDIDATES: [usize; 2] = [1, 2];
    let mut run = Run::with(Rng::new(1), 2_000, 60_000, Options { fsync, trace: None });
    run.meet()?;
    // What the voter knows so far is on disk, one way or the other.
    run.world.write_back(VOTER);
    for (from, to) in [(1, 2), (2, 1)] {
        run.world.cut(from, to);
    }
    // The second candidate stands still, and hears nothing until it asks.
    for server in SERVERS {
        run.world.cut(server, CANDIDATES[1]);
    }
    run.world.cut(VOTER, CANDIDATES[1]);
    run.world.crash(SERVERS.start, false);
    let end_ms = run.world.now_ms() + 30_000;
    while run.checks.votes_of(VOTER).is_empty() {
        assert!(run.world.now_ms() < end_ms, "nobody asked for a vote");
        run.run_to(run.world.now_ms() + 1)?;
    }
    run.world.crash(VOTER, true);
    run.world.crash(CANDIDATES[0], true);
    run.world.mend_all();
    run.world.start(VOTER);
    run.run_to(run.world.now_ms() + 20_000)?;
    Ok(run.checks.votes_of(VOTER))
}

#[test]
fn a_vote_survives_a_power_loss() {
    let votes = vote_with_power_loss(true).unwrap();
    assert!(
        votes.len() >= 2,
        "the second candidate got its vote in an epoch of its own: {votes:?}"
    );
}

#[test]
fn without_the_fsync_before_the_vote_the_simulator_sees_a_second_one() {
    let violation = vote_with_power_loss(false).unwrap_err();
    assert!(violation.contains("voted twice in epoch"), "{violation}");
}

#[test]
fn without_fsync_random_faults_find_it_too() {
    let options = Options {
        fsync: false,
        trace: None,
    };
    let seen = ["voted twice", "two masters", "two leaders", "and then only"];
    let is_violation = |failure: &Failure| seen.iter().any(|text| failure.problem.contains(text));
    let found =
        (0..1000).find(|seed| run(*seed, options).is_err_and(|failure| is_violation(&failure)));
    assert!(found.is_some(), "no seed noticed");
}

#[test]
fn a_seed_replays() {
    let first = run(7, Options::default()).unwrap();
    let second = run(7, Options::default()).unwrap();
    assert_eq!(format!("{first:?}"), format!("{second:?}"));
}
