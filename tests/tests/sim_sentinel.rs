//! Sentinels beside whole servers through the simulator: what happens to votes where a disk keeps them, and where it does not; and
//! to a primary that is saturated.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed unwrap is a failed test"
)]

use tern_tests::sim::server::{Kind, Run, Wanted};
use tern_tests::sim::{Options, Scenario as _};

const SERVERS: std::ops::Range<usize> = 0..3;
const VOTER: usize = 3;
const CANDIDATES: [usize; 2] = [4, 5];

/// The primary dies, and two sentinels ask the third for its vote in the same epoch; the voter's host loses power right
/// after its first vote. Neither candidate hears of the other one, so that the second draws the same epoch.
/// Returns the votes that the voter told; none where nobody asked.
fn vote_with_power_loss(seed: u64, fsync: bool) -> Result<Vec<(u64, String)>, String> {
    let wanted = Wanted {
        kind: Some(Kind::Watched),
        ..Wanted::default()
    };
    let mut run = Run::new(seed, wanted, Options { fsync, trace: None });
    run.form()?;
    // What the voter knows so far is on disk, one way or the other.
    run.world.write_back(VOTER);
    for (from, to) in [(0, 1), (1, 0)] {
        run.world.cut(CANDIDATES[from], CANDIDATES[to]);
    }
    // The second candidate stands still, and hears nothing until it asks.
    for server in SERVERS {
        run.world.cut(server, CANDIDATES[1]);
    }
    run.world.cut(VOTER, CANDIDATES[1]);
    run.world.crash(SERVERS.start, false);
    let end_ms = run.world.now_ms() + 30_000;
    while run.sentinels.votes_of(VOTER).is_empty() {
        if run.world.now_ms() >= end_ms {
            return Ok(Vec::new());
        }
        run.run_to(run.world.now_ms() + 1)?;
    }
    run.world.crash(VOTER, true);
    run.world.crash(CANDIDATES[0], true);
    run.world.mend_all();
    run.world.start(VOTER);
    run.run_to(run.world.now_ms() + 20_000)?;
    Ok(run.sentinels.votes_of(VOTER))
}

#[test]
fn a_vote_survives_a_power_loss() {
    let votes: Vec<usize> = (1..6)
        .map(|seed| vote_with_power_loss(seed, true).unwrap().len())
        .collect();
    assert!(
        votes.iter().any(|count| *count >= 2),
        "a second candidate gets its vote in an epoch of its own: {votes:?}"
    );
}

#[test]
fn without_the_fsync_before_the_vote_the_simulator_sees_a_second_one() {
    let mut violations = (1..30).filter_map(|seed| vote_with_power_loss(seed, false).err());
    let violation = violations.find(|problem| problem.contains("voted twice in epoch"));
    assert!(violation.is_some(), "no seed noticed");
}

/// A group whose sentinels look for saturation, and let the primary hand over then.
fn looking_for_saturation(seed: u64) -> Run {
    let wanted = Wanted {
        kind: Some(Kind::Watched),
        saturation: true,
        ..Wanted::default()
    };
    let mut run = Run::new(seed, wanted, Options::default());
    run.form().unwrap();
    run
}

/// The primary answers late, and is not dead: it hands over to a replica that is not late, and nothing that it acknowledged is missing.
#[test]
fn a_saturated_primary_hands_over_without_losing_a_write() {
    for seed in 1..9 {
        let mut run = looking_for_saturation(seed);
        // Replicas are known to answer in time.
        run.run_to(run.world.now_ms() + 8_000).unwrap();
        let elections = run.sentinels.elections();
        run.world.hosts[SERVERS.start].late_ms = 400;
        let end_ms = run.world.now_ms() + 60_000;
        while run.primary() == SERVERS.start {
            assert!(run.world.now_ms() < end_ms, "seed {seed}: no hand-over");
            run.run_to(run.world.now_ms() + 500).unwrap();
        }
        run.run_to(run.world.now_ms() + 10_000).unwrap();
        assert_eq!(run.sentinels.elections(), elections + 1, "seed {seed}");
        assert!(
            run.checks.writes > 100,
            "seed {seed}: {}",
            run.checks.writes
        );
        let lost = run.lost_writes();
        assert!(lost.is_empty(), "seed {seed}: {lost:?}");
    }
}

/// Where all servers are as late as the primary, a hand-over would help nobody.
#[test]
fn a_primary_keeps_its_role_where_its_replicas_are_as_late() {
    for seed in 1..5 {
        let mut run = looking_for_saturation(seed);
        let elections = run.sentinels.elections();
        for server in SERVERS {
            run.world.hosts[server].late_ms = 400;
        }
        run.run_to(run.world.now_ms() + 40_000).unwrap();
        assert_eq!(run.primary(), SERVERS.start, "seed {seed}");
        assert_eq!(run.sentinels.elections(), elections, "seed {seed}");
    }
}
