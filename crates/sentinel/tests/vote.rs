//! Votes: one per master and epoch, on disk before they are told, across restarts and full disks.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod harness;

use harness::{NoWorld, World, monitor, runid, words};
use sentinel_core::config::File;
use sentinel_core::{ClientId, Input, Monitor, Now, Output, Reply};

const ONE: &str =
    "sentinel monitor mymaster 127.0.0.1 6379 2\nsentinel down-after-milliseconds mymaster 2000\n";

fn ask_for(candidate: &str, epoch: u64) -> String {
    format!("SENTINEL is-master-down-by-addr 127.0.0.1 6379 {epoch} {candidate}")
}

fn vote(down: i64, leader: &str, epoch: i64) -> Reply {
    Reply::Array(vec![
        Reply::Integer(down),
        Reply::bulk(leader),
        Reply::Integer(epoch),
    ])
}

fn drain(monitor: &mut Monitor) -> Vec<Output> {
    std::iter::from_fn(|| monitor.poll_output()).collect()
}

/// A sentinel with one client, its first outputs taken.
fn alone() -> Monitor {
    let mut monitor = monitor(Now::default(), ONE.as_bytes(), 26379, runid(26379, 1), 1);
    let connected = Input::ClientConnected {
        client: ClientId(1),
        addr: "a:1".to_owned(),
        laddr: "b:1".to_owned(),
        fd: 7,
    };
    monitor.handle_input(Now::default(), connected);
    drain(&mut monitor);
    monitor
}

fn request(monitor: &mut Monitor, text: &str) {
    monitor.handle_input(
        Now::default(),
        Input::ClientRequest {
            client: ClientId(1),
            request: words(text),
        },
    );
}

#[test]
fn the_first_who_asks_gets_the_vote_and_later_epochs_are_new() {
    let mut world = World::new(&[]);
    world.add_sentinel(ONE);
    assert_eq!(world.ask(0, &ask_for("*", 0)), vote(0, "*", 0));
    assert_eq!(world.ask(0, &ask_for("aaa", 3)), vote(0, "aaa", 3));
    assert_eq!(world.ask(0, &ask_for("bbb", 3)), vote(0, "aaa", 3));
    assert_eq!(world.ask(0, &ask_for("bbb", 2)), vote(0, "aaa", 3));
    assert_eq!(world.ask(0, &ask_for("bbb", 4)), vote(0, "bbb", 4));
    assert_eq!(
        world.ask(0, &ask_for("bbb", 4).replace("6379", "6380")),
        vote(0, "*", 0)
    );
}

#[test]
fn a_vote_is_persisted_before_its_reply_leaves() {
    let mut monitor = alone();
    request(&mut monitor, &ask_for("aaa", 5));
    let outputs = drain(&mut monitor);
    let Output::Persist(snapshot) = &outputs[0] else {
        panic!("{outputs:?}")
    };
    let file = File::parse(&snapshot.render(ONE.as_bytes()), &mut NoWorld).unwrap();
    assert_eq!(
        (file.saved.current_epoch, file.saved.masters[0].leader_epoch),
        (5, 5)
    );
    let told = outputs
        .iter()
        .position(|output| matches!(output, Output::Reply { .. }))
        .unwrap();
    assert!(told > 0);
    assert_eq!(
        outputs
            .iter()
            .filter(|output| matches!(output, Output::Persist(_)))
            .count(),
        1
    );
}

#[test]
fn no_second_vote_in_an_epoch_after_a_restart() {
    let mut world = World::new(&[]);
    world.add_sentinel(ONE);
    assert_eq!(world.ask(0, &ask_for("aaa", 3)), vote(0, "aaa", 3));
    world.crash_sentinel(0);
    world.start_sentinel(0);
    // To whom the vote went is forgotten; that it was given is not.
    assert_eq!(world.ask(0, &ask_for("bbb", 3)), vote(0, "*", 0));
    assert_eq!(world.ask(0, &ask_for("bbb", 4)), vote(0, "bbb", 4));
}

#[test]
fn a_vote_that_cannot_be_saved_is_not_told() {
    let mut world = World::new(&[]);
    world.add_sentinel(&format!("{ONE}sentinel vote-without-disk no\n"));
    world.sentinels[0].disk_full = true;
    assert_eq!(world.ask(0, &ask_for("aaa", 3)), vote(0, "*", 0));
    assert!(world.has_event(
        0,
        "+config-unsaved #No space left on device; until it can be saved no vote"
    ));
    assert!(info(&mut world).contains("sentinel_config_unsaved:1\r\n"));
    assert!(world.has_event(
        0,
        "WARNING: Sentinel was not able to save the new configuration on disk!!!: No space left on device"
    ));
    assert!(matches!(
        world.ask(0, "SENTINEL flushconfig"),
        Reply::Error(_)
    ));
    // It is tried again, once a second, and then told.
    let before = world.sentinels[0].persists;
    world.run(5_000);
    assert!((4..=6).contains(&(world.sentinels[0].persists - before)));
    world.sentinels[0].disk_full = false;
    world.run(1_500);
    assert_eq!(world.ask(0, &ask_for("bbb", 3)), vote(0, "aaa", 3));
    assert!(world.has_event(0, "-config-unsaved #configuration saved"));
    assert!(info(&mut world).contains("sentinel_config_unsaved:0\r\n"));
}

fn info(world: &mut World) -> String {
    let Reply::Bulk(text) = world.ask(0, "INFO sentinel") else {
        panic!()
    };
    String::from_utf8(text).unwrap()
}

#[test]
fn without_a_disk_votes_are_given_loudly_where_that_is_not_forbidden() {
    let mut world = World::new(&[6380]);
    for _ in 0..3 {
        world.add_sentinel(ONE);
    }
    world.run(13_000);
    for sentinel in &mut world.sentinels {
        sentinel.disk_full = true;
    }
    world.kill(6379);
    world.wait_for(10_000, "a switch", |world| {
        world.count_events("+switch-master") == 3
    });
    assert_eq!(world.count_events("+elected-leader"), 1);
    assert!(world.count_events("+config-unsaved #No space left on device; until it can be saved votes are given all the same") >= 2);
    // Told at first and once a minute, and tried every second.
    let told = "WARNING: Sentinel was not able to save the new configuration";
    let before = world.count_events(told);
    world.run(10_000);
    assert_eq!(world.count_events(told), before);
}

#[test]
fn a_sentinel_that_cannot_save_its_own_vote_does_not_lead() {
    let mut world = World::new(&[6380]);
    let config = ONE.replace("6379 2", "6379 1") + "sentinel vote-without-disk no\n";
    world.add_sentinel(&config);
    world.run(2_000);
    world.sentinels[0].disk_full = true;
    world.kill(6379);
    world.run(8_000);
    assert!(world.has_event(0, "+vote-for-leader"));
    assert!(!world.has_event(0, "+elected-leader"));
    world.sentinels[0].disk_full = false;
    world.wait_for(3_000, "an election", |world| {
        world.has_event(0, "+elected-leader")
    });
}

#[test]
fn who_voted_for_another_waits_before_trying_itself() {
    let mut world = World::new(&[6380]);
    world.add_sentinel(&ONE.replace("6379 2", "6379 1"));
    world.run(2_000);
    world.ask(0, &ask_for("other", 9));
    world.kill(6379);
    world.run(10_000);
    assert!(world.has_event(0, "+odown"));
    assert!(!world.has_event(0, "+try-failover"));
    assert!(world.has_event(0, "delayed until"));
}

/// Runs a sentinel whose master never answers and whose two peers vote for it, in an epoch that is off by `shift`.
/// Tells whether it was asked for votes at all, and whether it won.
fn election(config: &str, shift: i64) -> (bool, bool) {
    let mut monitor = monitor(Now::default(), config.as_bytes(), 26379, runid(26379, 1), 1);
    let (mut asked, mut won) = (false, false);
    for tick in 0..80 {
        let now = Now {
            mono_ms: tick * 100,
            unix_ms: tick * 100,
        };
        monitor.handle_timeout(now);
        for output in drain(&mut monitor) {
            match output {
                // The replies before it (CLIENT SETNAME, PING) are not wanted: answer all in turn.
                Output::Send { link, command } => {
                    let reply = match command.iter().map(Vec::as_slice).collect::<Vec<_>>()[..] {
                        [b"SENTINEL", _, _, _, epoch, leader] if leader != b"*" => {
                            asked = true;
                            let epoch: i64 = std::str::from_utf8(epoch).unwrap().parse().unwrap();
                            vote(1, std::str::from_utf8(leader).unwrap(), epoch + shift)
                        }
                        [b"SENTINEL", ..] => vote(1, "*", 0),
                        // Peers answer; the master (whose links get INFO or SUBSCRIBE) does not.
                        _ => Reply::Integer(0),
                    };
                    monitor.handle_input(now, Input::Received { link, reply });
                }
                Output::Event { kind, .. } => won |= kind == "+elected-leader",
                _ => {}
            }
        }
    }
    (asked, won)
}

#[test]
fn votes_of_another_epoch_do_not_elect() {
    let config = format!(
        "{}sentinel known-sentinel mymaster 10.0.0.1 1\nsentinel known-sentinel mymaster 10.0.0.2 1\n",
        ONE.replace("6379 2", "6379 1")
    );
    assert_eq!(election(&config, 0), (true, true));
    assert_eq!(election(&config, 1), (true, false));
}

#[test]
fn epochs_that_cannot_be_are_refused() {
    let mut world = World::new(&[]);
    let known = format!(
        "sentinel known-sentinel mymaster 10.0.0.1 5000 {}\n",
        runid(5000, 1)
    );
    world.add_sentinel(&(ONE.to_owned() + &known));
    let error = Reply::Error("ERR value is not an integer or out of range".to_owned());
    for epoch in ["-1", "9223372036854775808", "x"] {
        let request = format!("SENTINEL is-master-down-by-addr 127.0.0.1 6379 {epoch} aaa");
        assert_eq!(world.ask(0, &request), error);
    }
    assert_eq!(
        world.ask(0, &ask_for("aaa", i64::MAX.unsigned_abs())),
        vote(0, "aaa", i64::MAX)
    );
    let hello = format!(
        "10.0.0.1,5000,{},18446744073709551615,mymaster,127.0.0.1,6379,0",
        runid(5000, 1)
    );
    world.ask_words(
        0,
        vec![
            b"PUBLISH".to_vec(),
            b"__sentinel__:hello".to_vec(),
            hello.into_bytes(),
        ],
    );
    assert_eq!(
        world.ask(0, &ask_for("*", 0)),
        vote(0, "*", 0),
        "the epoch of a hello that cannot be is not taken"
    );
    // No epoch is left for a failover: it must not wrap round or panic.
    world.ask(0, "SENTINEL set mymaster quorum 1");
    world.run(60_000);
    world.ask(0, "SENTINEL set mymaster failover-timeout 1");
    world.kill(6379);
    world.run(5_000);
    assert!(world.has_event(0, "No epoch is left to fail over 'mymaster' in"));
    assert!(!world.has_event(0, "+try-failover"));
}
