//! Watching: discovery, down states, TILT, links, scripts.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod harness;

use harness::{World, addr, runid, words};
use sentinel_core::{ClientId, Input, JobId, Output, Reply};

const CONFIG: &str =
    "sentinel monitor mymaster 127.0.0.1 6379 1\nsentinel down-after-milliseconds mymaster 2000\n";

fn world() -> World {
    let mut world = World::new(&[6380]);
    world.add_sentinel(CONFIG);
    world.run(3_000);
    world
}

fn hello(sender: &str, id: &str, epoch: u64, master_port: u16, config_epoch: u64) -> Vec<Vec<u8>> {
    let text = format!("{sender},{id},{epoch},mymaster,127.0.0.1,{master_port},{config_epoch}");
    vec![
        b"PUBLISH".to_vec(),
        b"__sentinel__:hello".to_vec(),
        text.into_bytes(),
    ]
}

fn field(reply: &Reply, name: &str) -> Option<String> {
    let Reply::Array(fields) = reply else {
        panic!("{reply:?}")
    };
    let at = fields
        .iter()
        .position(|field| *field == Reply::bulk(name))?;
    let Some(Reply::Bulk(value)) = fields.get(at + 1) else {
        panic!()
    };
    Some(String::from_utf8_lossy(value).into_owned())
}

#[test]
fn replies_that_show_life_keep_an_instance_up() {
    for (reply, down) in [
        (
            Reply::Error("LOADING Redis is loading the dataset in memory".to_owned()),
            false,
        ),
        (
            Reply::Error("MASTERDOWN Link with MASTER is down".to_owned()),
            false,
        ),
        (
            Reply::Error("NOAUTH Authentication required.".to_owned()),
            true,
        ),
        (
            Reply::Error("BUSY Redis is busy running a script.".to_owned()),
            true,
        ),
        (Reply::Integer(1), true),
    ] {
        let mut world = world();
        world.servers.get_mut(&6380).unwrap().ping = Some(reply.clone());
        world.run(6_000);
        assert_eq!(world.has_event(0, "+sdown slave"), down, "{reply:?}");
        let killed = world.servers[&6380]
            .log
            .iter()
            .filter(|line| *line == "SCRIPT KILL")
            .count();
        let busy = matches!(reply, Reply::Error(text) if text.starts_with("BUSY"));
        assert_eq!(killed, usize::from(busy));
    }
}

#[test]
fn an_instance_that_freezes_is_down_at_whatever_moment_it_happens() {
    for offset in (0..12_000).step_by(731) {
        let mut world = world();
        world.run(offset);
        world.servers.get_mut(&6380).unwrap().frozen = true;
        world.run(3_500);
        assert!(
            world.has_event(0, "+sdown slave"),
            "frozen after {offset} ms"
        );
    }
}

#[test]
fn a_silent_link_is_opened_anew() {
    let mut world = world();
    world.run(20_000);
    world.servers.get_mut(&6380).unwrap().frozen = true;
    world.run(4_000);
    world.servers.get_mut(&6380).unwrap().frozen = false;
    world.wait_for(20_000, "it is back", |world| {
        world.has_event(0, "-sdown slave")
    });
}

#[test]
fn a_master_that_says_it_is_a_slave_is_down_after_a_while() {
    let mut world = World::new(&[]);
    world.add_sentinel(CONFIG);
    world.run(2_000);
    world.servers.get_mut(&6379).unwrap().master = Some(addr(7000));
    world.run(25_000);
    assert!(!world.has_event(0, "+sdown master"));
    world.run(15_000);
    assert!(world.has_event(0, "+sdown master"));
}

#[test]
fn sentinels_are_known_once() {
    let mut world = world();
    let (a, b) = (runid(1, 1), runid(2, 2));
    let fake = |world: &mut World, addr: &str, id: &str| {
        world.fakes.clear();
        world.fakes.insert(addr.to_owned(), id.to_owned());
        let sender = addr.replace(':', ",");
        for _ in 0..2 {
            world.ask_words(0, hello(&sender, id, 0, 6379, 0));
        }
        world.run(500);
    };
    fake(&mut world, "10.0.0.1:5000", &a);
    assert_eq!(world.count_events("+sentinel sentinel"), 1);
    // Another process at the same address; then it moves.
    fake(&mut world, "10.0.0.1:5000", &b);
    assert!(world.has_event(
        0,
        &format!("+sentinel-invalid-addr sentinel {a} 10.0.0.1 5000")
    ));
    fake(&mut world, "10.0.0.2:5000", &b);
    assert!(world.has_event(
        0,
        &format!(
            "+sentinel-address-switch master mymaster 127.0.0.1 6379 ip 10.0.0.2 port 5000 for {b}"
        )
    ));
    let Reply::Array(sentinels) = world.ask(0, "SENTINEL sentinels mymaster") else {
        panic!()
    };
    assert_eq!(sentinels.len(), 1);
    assert_eq!(field(&sentinels[0], "name"), Some(b));
    assert_eq!(field(&sentinels[0], "ip").as_deref(), Some("10.0.0.2"));
}

#[test]
fn who_only_says_hello_is_no_sentinel() {
    let mut world = world();
    world.fakes.insert("10.0.0.9:1".to_owned(), runid(9, 9));
    for (sender, id) in [
        ("10.0.0.1,5000", runid(1, 1)),
        // A server, and a sentinel with another id.
        ("127.0.0.1,6379", runid(2, 2)),
        ("10.0.0.9,1", runid(3, 3)),
    ] {
        world.ask_words(0, hello(sender, &id, 99, 6380, 99));
    }
    world.run(20_000);
    assert_eq!(world.count_events("+sentinel"), 0);
    assert_eq!(world.count_events("+new-epoch"), 0, "nor is it believed");
    assert_eq!(world.master_port(0), "6379");
    let file = String::from_utf8(world.sentinels[0].file.clone()).unwrap();
    assert!(!file.contains("known-sentinel"), "{file}");
}

#[test]
fn a_flood_of_forged_hellos_does_not_keep_a_failover_back() {
    let mut world = world();
    for number in 0..5_000_u32 {
        let sender = format!("10.0.{}.{},5000", number / 256, number % 256);
        world.ask_words(0, hello(&sender, &format!("{number:040}"), 0, 6379, 0));
    }
    assert_eq!(
        world.ask(0, "SENTINEL ckquorum mymaster"),
        Reply::Status(
            "OK 1 usable Sentinels. Quorum and failover authorization can be reached".to_owned()
        )
    );
    // A true one still gets in.
    let id = runid(1, 1);
    world.fakes.insert("10.1.0.1:5000".to_owned(), id.clone());
    world.ask_words(0, hello("10.1.0.1,5000", &id, 0, 6379, 0));
    world.run(500);
    assert_eq!(world.count_events("+sentinel sentinel"), 1);
    world.fakes.clear();
    world.ask(0, "SENTINEL reset mymaster");
    world.run(3_000);
    world.kill(6379);
    world.wait_for(10_000, "a try", |world| world.has_event(0, "+try-failover"));
}

#[test]
fn a_newer_configuration_is_adopted_and_an_older_is_not() {
    let mut world = World::new(&[6380]);
    let id = runid(1, 1);
    world.add_sentinel(&format!(
        "{CONFIG}sentinel known-sentinel mymaster 10.0.0.1 5000 {id}\n"
    ));
    world.run(3_000);
    world.ask_words(0, hello("10.0.0.1,5000", &id, 7, 6380, 3));
    assert_eq!(world.master_port(0), "6380");
    assert!(world.has_event(0, "+new-epoch 7"));
    assert!(world.has_event(
        0,
        &format!("+config-update-from sentinel {id} 10.0.0.1 5000 @ mymaster 127.0.0.1 6379")
    ));
    assert!(world.has_event(0, "+switch-master mymaster 127.0.0.1 6379 127.0.0.1 6380"));
    world.ask_words(0, hello("10.0.0.1,5000", &id, 7, 6379, 3));
    world.ask_words(0, hello("10.0.0.1,5000", &id, 7, 6379, 2));
    assert_eq!(world.master_port(0), "6380");
    let file = String::from_utf8(world.sentinels[0].file.clone()).unwrap();
    assert!(
        file.contains("sentinel monitor mymaster 127.0.0.1 6380 1\n"),
        "{file}"
    );
    assert!(
        file.contains("sentinel config-epoch mymaster 3\n"),
        "{file}"
    );
}

#[test]
fn a_newer_configuration_wins_over_a_failover_under_way() {
    let newer = |master| hello("10.0.0.1,5000", &runid(1, 1), 9, master, 9);
    let config = format!(
        "{CONFIG}sentinel known-sentinel mymaster 10.0.0.1 5000 {}\n",
        runid(1, 1)
    );
    // The slave is promoted already, and the newer configuration goes back to the old master.
    let mut world = World::new(&[6380, 6381]);
    world.servers.get_mut(&6380).unwrap().priority = 1;
    world.servers.get_mut(&6381).unwrap().deaf = true;
    world.add_sentinel(&config);
    world.run(3_000);
    assert_eq!(world.ask(0, "SENTINEL failover mymaster"), Reply::ok());
    world.wait_for(5_000, "a promotion", |world| {
        world.has_event(0, "+promoted-slave")
    });
    world.run(300);
    assert_eq!(world.master_port(0), "6380");
    world.ask_words(0, newer(6379));
    assert_eq!(world.master_port(0), "6379");
    assert!(world.has_event(0, "+switch-master mymaster 127.0.0.1 6380 127.0.0.1 6379"));
    world.run(15_000);
    assert_eq!(world.count_events("+failover-end"), 0);

    // No slave is promoted yet, and the newer configuration keeps the master.
    let mut world = World::new(&[6380]);
    world.servers.get_mut(&6380).unwrap().deaf = true;
    world.add_sentinel(&config);
    world.run(3_000);
    assert_eq!(world.ask(0, "SENTINEL failover mymaster"), Reply::ok());
    world.wait_for(5_000, "the order", |world| {
        world.has_event(0, "+failover-state-wait-promotion")
    });
    world.ask_words(0, newer(6379));
    world.servers.get_mut(&6380).unwrap().master = None;
    world.run(5_000);
    assert!(!world.has_event(0, "+promoted-slave"));
    let file = String::from_utf8(world.sentinels[0].file.clone()).unwrap();
    assert!(
        file.contains("sentinel config-epoch mymaster 9\n"),
        "{file}"
    );
}

#[test]
fn tilt_begins_with_a_gap_or_a_jump_and_ends_by_itself() {
    let mut world = world();
    world.sentinels[0].frozen = true;
    world.run(4_000);
    world.sentinels[0].frozen = false;
    world.run(200);
    assert!(world.has_event(0, "+tilt #tilt mode entered"));
    world.kill(6379);
    world.run(25_000);
    assert!(
        !world.has_event(0, "+sdown master"),
        "nothing is acted on in TILT"
    );
    let Reply::Bulk(info) = world.ask(0, "INFO") else {
        panic!()
    };
    assert!(
        String::from_utf8(info)
            .unwrap()
            .contains("sentinel_tilt:1\r\n")
    );
    world.wait_for(8_000, "the end of it", |world| {
        world.has_event(0, "-tilt #tilt mode exited")
    });
    world.wait_for(1_000, "action", |world| world.has_event(0, "+sdown master"));

    for jump in [-3_000, 3_000] {
        let mut world = self::world();
        world.unix_offset_ms = world.unix_offset_ms.checked_add_signed(jump).unwrap();
        world.run(200);
        assert_eq!(world.count_events("+tilt"), 1, "{jump}");
    }
}

#[test]
fn a_reset_forgets_everything_but_the_master() {
    let mut world = world();
    assert_eq!(world.ask(0, "SENTINEL reset nothing*"), Reply::Integer(0));
    assert_eq!(world.ask(0, "SENTINEL reset my*"), Reply::Integer(1));
    assert!(world.has_event(0, "+reset-master master mymaster 127.0.0.1 6379"));
    assert_eq!(
        world.ask(0, "SENTINEL slaves mymaster"),
        Reply::Array(vec![])
    );
    assert_eq!(
        world.ask(0, "SENTINEL sentinels mymaster"),
        Reply::Array(vec![])
    );
    world.run(2_000);
    assert_eq!(world.count_events("+slave "), 2, "the slave is found again");
}

#[test]
fn who_was_known_before_a_reset_comes_back_when_the_master_does_not() {
    let mut world = World::new(&[6380]);
    world.add_sentinel(CONFIG);
    world.run(3_000);
    world.kill(6379);
    assert_eq!(world.ask(0, "SENTINEL reset my*"), Reply::Integer(1));
    assert_eq!(
        world.ask(0, "SENTINEL replicas mymaster"),
        Reply::Array(vec![])
    );
    let file = String::from_utf8(world.sentinels[0].file.clone()).unwrap();
    assert!(
        file.contains("known-replica mymaster 127.0.0.1 6380\n"),
        "a crash must not lose it: {file}"
    );
    world.wait_for(20_000, "a switch", |world| {
        world.has_event(0, "+switch-master mymaster 127.0.0.1 6379 127.0.0.1 6380")
    });

    // Where the master answers, what it tells is better: who is gone stays forgotten.
    let mut world = World::new(&[6380, 6381]);
    world.add_sentinel(CONFIG);
    world.run(3_000);
    world.kill(6381);
    world.ask(0, "SENTINEL reset my*");
    world.run(3_000);
    world.kill(6379);
    world.wait_for(20_000, "a switch", |world| {
        world.has_event(0, "+switch-master mymaster 127.0.0.1 6379 127.0.0.1 6380")
    });
    let file = String::from_utf8(world.sentinels[0].file.clone()).unwrap();
    assert!(!file.contains("6381"), "{file}");
}

#[test]
fn scripts_run_with_the_event_and_are_retried_later_and_later() {
    let mut world = World::new(&[]);
    let config = format!("{CONFIG}sentinel notification-script mymaster /notify\n");
    world.add_sentinel(&config);
    world.run(500);
    assert_eq!(world.sentinels[0].scripts.len(), 1, "+monitor is a warning");
    let (job, argv) = world.sentinels[0].scripts[0].clone();
    assert_eq!(
        argv,
        [
            "/notify",
            "+monitor",
            "master mymaster 127.0.0.1 6379 quorum 1"
        ]
    );
    for (tries, delay) in [(1, 30_000), (2, 60_000), (3, 120_000)] {
        world.input(0, Input::ScriptStarted { job, pid: 77 });
        world.input(
            0,
            Input::ScriptExited {
                job,
                exit_code: 1,
                signal: 0,
            },
        );
        world.run(delay - 1_000);
        assert_eq!(world.sentinels[0].scripts.len(), tries);
        world.run(1_200);
        assert_eq!(world.sentinels[0].scripts.len(), tries + 1);
    }
    world.input(
        0,
        Input::ScriptExited {
            job,
            exit_code: 2,
            signal: 0,
        },
    );
    assert!(world.has_event(0, "-script-error /notify 0 2"));
    assert_eq!(
        world.ask(0, "SENTINEL pending-scripts"),
        Reply::Array(vec![])
    );
}

#[test]
fn a_script_that_hangs_is_killed_and_the_queue_is_bounded() {
    let mut world = World::new(&[]);
    world.add_sentinel(&format!(
        "{CONFIG}sentinel notification-script mymaster /notify\n"
    ));
    world.run(500);
    for number in 0..300 {
        world.ask(
            0,
            &format!("SENTINEL set mymaster quorum {}", number % 5 + 1),
        );
    }
    let Reply::Array(pending) = world.ask(0, "SENTINEL pending-scripts") else {
        panic!()
    };
    assert_eq!(pending.len(), 256);
    assert_eq!(field(&pending[0], "flags").as_deref(), Some("running"));
    assert_eq!(field(&pending[1], "flags").as_deref(), Some("scheduled"));
    world.run(300);
    assert_eq!(world.sentinels[0].scripts.len(), 16);
    world.run(61_000);
    assert!(world.has_event(0, "-script-timeout /notify 0"));
    assert!(world.has_event(0, &format!("{:?}", Output::KillScript { job: JobId(1) })));
}

#[test]
fn clients_hear_the_events_they_subscribed_to() {
    let mut world = world();
    world.input(
        0,
        Input::ClientConnected {
            client: ClientId(0),
            addr: "127.0.0.1:3".to_owned(),
            laddr: "127.0.0.1:26379".to_owned(),
            fd: 8,
        },
    );
    world.ask(0, "SUBSCRIBE +set");
    world.ask(0, "PSUBSCRIBE *down +*");
    world.input(
        0,
        Input::ClientConnected {
            client: ClientId(900),
            addr: "127.0.0.1:4".to_owned(),
            laddr: "127.0.0.1:26379".to_owned(),
            fd: 8,
        },
    );
    world.sentinels[0].replies.clear();
    let request = words("SENTINEL set mymaster quorum 2");
    world.input(
        0,
        Input::ClientRequest {
            client: ClientId(900),
            request,
        },
    );
    let text = "master mymaster 127.0.0.1 6379 quorum 2";
    let message = |parts: &[&str]| Reply::Array(parts.iter().map(Reply::bulk).collect());
    assert_eq!(
        world.sentinels[0].replies.pop_front(),
        Some(message(&["message", "+set", text]))
    );
    assert_eq!(
        world.sentinels[0].replies.pop_front(),
        Some(message(&["pmessage", "+*", "+set", text]))
    );
    assert_eq!(world.sentinels[0].replies.pop_front(), None);
}
