//! Whole servers through the simulator: many seeds, that a seed replays, and the proof that the simulator sees what it is there for.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a failed unwrap is a failed test"
)]

use std::ops::Range;

use tern_tests::sim::server::{Bug, Kind, Run, Setup, Summary, Wanted, process, run};
use tern_tests::sim::{Failure, Options, Scenario as _, run_seeds};

/// Which seeds are run: `TERN_SEED=7` or `TERN_SEED=0..5000` in the place of these.
const SEEDS: Range<u64> = 0..500;

fn seeds() -> Range<u64> {
    let Ok(text) = std::env::var("TERN_SEED") else {
        return SEEDS;
    };
    let number = |text: &str| {
        text.parse::<u64>()
            .expect("TERN_SEED is a seed, or FROM..TO")
    };
    match text.split_once("..") {
        Some((from, to)) => number(from)..number(to),
        None => number(&text)..number(&text) + 1,
    }
}

fn run_kind(seed: u64, kind: Option<Kind>, bug: Bug) -> Result<Summary, Box<Failure>> {
    let wanted = Wanted {
        bug,
        kind,
        ..Wanted::default()
    };
    run(seed, wanted, Options::default())
}

#[test]
fn servers_keep_what_they_promise_through_faults() {
    let summaries = run_seeds(seeds(), |seed| run_kind(seed, None, Bug::None))
        .unwrap_or_else(|failure| panic!("{failure}"));
    if std::env::var_os("TERN_SEED").is_some() {
        return;
    }
    // A simulator in which nothing happens proves nothing.
    let sum = |of: fn(&Summary) -> u64| summaries.iter().map(of).sum::<u64>();
    let runs = summaries.len() as u64;
    assert!(sum(|run| run.writes) > 100 * runs, "writes");
    assert!(sum(|run| run.reads) > 50 * runs, "reads");
    assert!(sum(|run| run.waits) > 20 * runs, "confirmed writes");
    assert!(sum(|run| run.compared) > 20 * runs, "comparisons");
    assert!(sum(|run| run.starts) > 3 * runs, "restarts");
    assert!(sum(|run| run.failovers) > runs / 2, "failovers");
    assert!(sum(|run| run.votes) > runs / 2, "votes of nodes");
    assert!(sum(|run| run.moves) > runs / 20, "moves of slots");
}

#[test]
fn a_seed_replays() {
    for kind in Kind::ALL {
        let first = run_kind(3, Some(kind), Bug::None).unwrap();
        let second = run_kind(3, Some(kind), Bug::None).unwrap();
        assert_eq!(first, second);
    }
}

/// What the first seed that notices a bug says of it.
fn found(kind: Option<Kind>, bug: Bug) -> String {
    let failure = run_seeds(0..400, |seed| run_kind(seed, kind, bug)).expect_err("no seed noticed");
    failure.problem
}

#[test]
fn a_sync_that_is_left_out_is_found() {
    let problem = found(None, Bug::NoSync);
    assert!(problem.contains("it is not on its disk"), "{problem}");
}

#[test]
fn an_offset_that_is_off_by_one_is_found() {
    let problem = found(None, Bug::OffsetByOne);
    assert!(problem.contains("of a stream"), "{problem}");
}

#[test]
fn a_reply_that_leaves_before_its_write_is_found() {
    let problem = found(None, Bug::ReplyFirst);
    assert!(problem.contains("it is not on its disk"), "{problem}");
}

#[test]
fn a_sentinel_that_promotes_a_laggard_is_found() {
    let problem = found(Some(Kind::Watched), Bug::Laggard);
    assert!(problem.contains("and knows that"), "{problem}");
}

#[test]
fn a_second_vote_in_an_epoch_is_found() {
    let problem = found(Some(Kind::Cluster), Bug::SecondVote);
    assert!(problem.contains("voted twice in epoch"), "{problem}");
}

/// A cluster of five primaries with a replica each, at rest.
fn five_primaries() -> Run {
    five_primaries_with("")
}

/// The same, with these words in their configuration.
fn five_primaries_with(words: &str) -> Run {
    let mut run = first_with(Kind::Cluster, 5, &[words]);
    run.form().unwrap();
    run
}

/// The first run of this kind with so many primaries that have all these words in their configuration.
fn first_with(kind: Kind, primaries: usize, words: &[&str]) -> Run {
    let wanted = Wanted {
        kind: Some(kind),
        ..Wanted::default()
    };
    let mut runs = (0..).map(|seed| Run::new(seed, wanted, Options::default()));
    let fits = |run: &Run| match run.world.setup(0) {
        Setup::Server(setup) => {
            words.iter().all(|word| setup.config.contains(word)) && run.primaries() == primaries
        }
        _ => false,
    };
    runs.find(fits).unwrap()
}

fn server(run: &Run, host: usize) -> &process::Setup {
    match run.world.setup(host) {
        Setup::Server(setup) => setup,
        _ => panic!("no server"),
    }
}

/// From now on each sync of a server's disk takes a second, and how long the server stands still for it is watched anew.
fn slow_down(run: &mut Run, host: usize) {
    server(run, host).disk.lock().sync_ms = 1_000;
    run.world.hosts[host].longest_wait_ms = 0;
}

/// Runs until a server's INFO has this line.
fn run_until(run: &mut Run, host: usize, line: &str) {
    let end_ms = run.world.now_ms() + 60_000;
    loop {
        let info = run.ask(host, &["INFO", "everything"]).unwrap_or_default();
        if info.lines().any(|told| told == line) {
            return;
        }
        assert!(run.world.now_ms() < end_ms, "no {line}: {info}");
        let later = run.world.now_ms() + 50;
        run.run_to(later).unwrap();
    }
}

/// Neither the beginning of a rewrite nor its end has a turn wait for a sync; under `always` none waits for more than its own.
#[test]
fn a_rewrite_on_a_slow_disk_stops_nobody() {
    for (fsync, most_ms) in [("everysec", 0), ("always", 1_000)] {
        let mut run = first_with(
            Kind::Single,
            1,
            &[
                &format!("appendfsync {fsync}"),
                "auto-aof-rewrite-min-size 64mb",
            ],
        );
        run.run_to(5_000).unwrap();
        slow_down(&mut run, 0);
        for rewrites in 1..=3 {
            let started = run.ask(0, &["BGREWRITEAOF"]);
            let writes = run.checks.writes;
            assert!(started.is_none_or(|text| text.starts_with("+Background")));
            run_until(&mut run, 0, &format!("aof_rewrites:{rewrites}"));
            run_until(&mut run, 0, "aof_rewrite_in_progress:0");
            run_until(&mut run, 0, "aof_last_bgrewrite_status:ok");
            assert!(run.checks.writes > writes, "clients went on");
        }
        let longest_ms = run.world.hosts[0].longest_wait_ms;
        assert!(longest_ms <= most_ms, "{fsync}: {longest_ms} ms");
        // The file that is made while the server runs. Turning it off waits for a write that another thread does, and promises nothing.
        server(&run, 0).keeps_all.set(false);
        run.ask(0, &["CONFIG", "SET", "appendonly", "no"]);
        run_until(&mut run, 0, "aof_enabled:0");
        run.world.hosts[0].longest_wait_ms = 0;
        run.ask(0, &["CONFIG", "SET", "appendonly", "yes"]);
        run_until(&mut run, 0, "aof_rewrites:4");
        run_until(&mut run, 0, "aof_rewrite_in_progress:0");
        run_until(&mut run, 0, "aof_enabled:1");
        let longest_ms = run.world.hosts[0].longest_wait_ms;
        assert!(longest_ms <= most_ms, "{fsync}: {longest_ms} ms");
    }
}

/// A replica takes the dump from its primary as the base of its file, and no turn waits for the disk.
#[test]
fn a_full_copy_on_a_slow_disk_stops_no_replica() {
    for preamble in ["yes", "no"] {
        let words = [
            "appendfsync everysec",
            "auto-aof-rewrite-min-size 64mb",
            &format!("aof-use-rdb-preamble {preamble}"),
        ];
        let mut run = first_with(Kind::Operated, 1, &words);
        run.run_to(10_000).unwrap();
        slow_down(&mut run, 1);
        run.ask(0, &["DEBUG", "CHANGE-REPL-ID"]);
        run.ask(0, &["CLIENT", "KILL", "TYPE", "replica"]);
        let later = run.world.now_ms() + 30_000;
        run.run_to(later).unwrap();
        run_until(&mut run, 1, "master_link_status:up");
        run_until(&mut run, 1, "aof_rewrite_in_progress:0");
        run_until(&mut run, 1, "aof_enabled:1");
        let longest_ms = run.world.hosts[1].longest_wait_ms;
        assert_eq!(longest_ms, 0, "aof-use-rdb-preamble {preamble}");
    }
}

#[test]
fn a_minority_hands_no_slots_over() {
    let mut run = five_primaries();
    let ask = |run: &mut Run, host, words: &[&str]| run.ask(host, words).unwrap();
    let epoch = |run: &mut Run| {
        let info = ask(run, 1, &["CLUSTER", "INFO"]);
        let mut lines = info.lines();
        lines
            .find(|line| line.starts_with("cluster_my_epoch:"))
            .unwrap()
            .to_owned()
    };
    let before = epoch(&mut run);
    for (one, other) in (0..2).flat_map(|one| (2..10).map(move |other| (one, other))) {
        run.world.cut(one, other);
        run.world.cut(other, one);
    }
    let later = run.world.now_ms() + 10_000;
    run.run_to(later).unwrap();
    let target = run.id_of(1).unwrap();
    let words = [
        "CLUSTER",
        "MIGRATESLOTS",
        "SLOTSRANGE",
        "0",
        "9",
        "NODE",
        &target,
    ];
    assert_eq!(ask(&mut run, 0, &words), "+OK\r\n");
    let later = run.world.now_ms() + 10_000;
    run.run_to(later).unwrap();
    for host in 0..2 {
        let jobs = ask(&mut run, host, &["CLUSTER", "GETSLOTMIGRATIONS"]);
        assert!(jobs.contains("\r\nfailed\r\n"), "{jobs}");
    }
    let why = "Slots are not handed over without a majority of the cluster";
    let jobs = ask(&mut run, 0, &["CLUSTER", "GETSLOTMIGRATIONS"]);
    assert!(jobs.contains(why), "{jobs}");
    assert_eq!(epoch(&mut run), before);
}

#[test]
fn slots_whose_new_owner_was_lost_before_it_said_so_stay_where_they_are_served() {
    let mut run = five_primaries();
    let ask = |run: &mut Run, host, words: &[&str]| run.ask(host, words).unwrap();
    let pass = |run: &mut Run, ms: u64| {
        let later = run.world.now_ms() + ms;
        run.run_to(later).unwrap();
    };
    let hold = |on| ["DEBUG", "SLOTMIGRATION", "PREVENT-FAILOVER", on];
    let target = run.id_of(1).unwrap();
    ask(&mut run, 1, &hold("1"));
    let range = ["SLOTSRANGE", "0", "9", "NODE", &target];
    let words = [&["CLUSTER", "MIGRATESLOTS"], &range[..]].concat();
    assert_eq!(ask(&mut run, 0, &words), "+OK\r\n");
    let jobs = ["CLUSTER", "GETSLOTMIGRATIONS"];
    while !ask(&mut run, 0, &jobs).contains("failover-granted") {
        pass(&mut run, 20);
    }
    // It claims the slots, nobody hears it, and its replica is elected.
    for other in (0..10).filter(|host| *host != 1) {
        run.world.cut(other, 1);
        run.world.cut(1, other);
    }
    ask(&mut run, 1, &hold("0"));
    pass(&mut run, 30_000);
    assert!(ask(&mut run, 0, &jobs).contains("\r\nfailed\r\n"));
    // Slot 0.
    assert_eq!(ask(&mut run, 0, &["SET", "{06S}", "new"]), "+OK\r\n");
    run.world.mend_all();
    pass(&mut run, 30_000);
    assert_eq!(ask(&mut run, 0, &["GET", "{06S}"]), "$3\r\nnew\r\n");
}

/// Runs for a while, in which no node may say that the cluster does not serve.
fn stays_up(run: &mut Run, ms: u64) {
    let end_ms = run.world.now_ms() + ms;
    while run.world.now_ms() < end_ms {
        let later = run.world.now_ms() + 50;
        run.run_to(later).unwrap();
        for host in 0..10 {
            if let Some(info) = run.ask(host, &["CLUSTER", "INFO"]) {
                assert!(info.contains("cluster_state:ok"), "host {host}: {info}");
                assert!(info.contains("cluster_slots_fail:0"), "host {host}: {info}");
            }
        }
    }
}

/// A disk that takes a second for each sync, at both ends of a move, delays the move and nothing else.
#[test]
fn a_slow_disk_during_a_move_of_slots_does_not_stop_the_cluster() {
    let mut run = five_primaries_with("appendfsync everysec");
    let ask = |run: &mut Run, host, words: &[&str]| run.ask(host, words).unwrap();
    for host in [0, 1] {
        slow_down(&mut run, host);
    }
    let target = run.id_of(1).unwrap();
    let jobs = ["CLUSTER", "GETSLOTMIGRATIONS"];
    let words = ["SLOTSRANGE", "0", "1999", "NODE", &target];
    let words = [&["CLUSTER", "MIGRATESLOTS"], &words[..]].concat();
    let writes = run.checks.writes;
    assert_eq!(ask(&mut run, 0, &words), "+OK\r\n");
    stays_up(&mut run, 30_000);
    let ended = ask(&mut run, 0, &jobs);
    assert!(ended.contains("\r\nsuccess\r\n"), "{ended}");
    // One by one, as tools of before do it: two that hold nothing. The answers come when nodes.conf is on the disk.
    let source = run.id_of(0).unwrap();
    for slot in ["3000", "3001"] {
        let steps = [
            (1, "IMPORTING", &source),
            (0, "MIGRATING", &target),
            (1, "NODE", &target),
            (0, "NODE", &target),
        ];
        for (host, state, id) in steps {
            run.ask(host, &["CLUSTER", "SETSLOT", slot, state, id]);
            stays_up(&mut run, 1_500);
        }
    }
    // The last may still wait for that.
    stays_up(&mut run, 5_000);
    let owned = ask(&mut run, 2, &["CLUSTER", "NODES"]);
    let line = owned.lines().find(|line| line.contains(&target)).unwrap();
    assert!(line.contains(" 0-1999 3000-3001 "), "{line}");
    assert!(run.checks.writes > writes + 100, "clients went on");
}
