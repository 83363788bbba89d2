//! Whatever a file, a peer, an instance or a client says: no panic, and what is written can be read again.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod harness;

use harness::{NoWorld, World, runid};
use proptest::prelude::*;
use sentinel_core::config::File;
use sentinel_core::{Input, LinkKind, Output, Reply};

const CONFIG: &str =
    "sentinel monitor m 127.0.0.1 6379 1\nsentinel down-after-milliseconds m 1000\n";

/// Words from which lines come out that are nearly right.
fn word() -> impl Strategy<Value = String> {
    let known = [
        "sentinel",
        "monitor",
        "m",
        "n",
        "127.0.0.1",
        "::1",
        "6379",
        "0",
        "1",
        "-1",
        "70000",
        "2",
        "known-slave",
        "known-sentinel",
        "config-epoch",
        "leader-epoch",
        "current-epoch",
        "down-after-milliseconds",
        "auth-pass",
        "failover-timeout",
        "parallel-syncs",
        "announce-ip",
        "announce-port",
        "yes",
        "rename-command",
        "auth-user",
        "resolve-hostnames",
        "announce-hostnames",
        "vote-without-disk",
        "deny-scripts-reconfig",
        "known-replica",
        "primary-reboot-down-after-period",
        "myid",
        "host.example",
        "notification-script",
        "/x",
        "\"a b\"",
        "'",
        "\"\\x00\\n\"",
        "port",
        "18446744073709551615",
        "9223372036854775807",
        "#",
    ];
    prop_oneof![9 => prop::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => any::<String>()]
}

fn line() -> impl Strategy<Value = String> {
    prop::collection::vec(word(), 0..6).prop_map(|words| words.join(" "))
}

fn statement() -> impl Strategy<Value = String> {
    let values = prop::collection::vec(word(), 1..4).prop_map(|words| words.join(" "));
    (
        prop::sample::select(vec![
            "known-slave",
            "known-replica",
            "rename-command",
            "auth-user",
            "known-sentinel",
            "config-epoch",
            "auth-pass",
            "set",
        ]),
        values,
    )
        .prop_map(|(statement, values)| format!("sentinel {statement} m {values}"))
}

fn reply() -> impl Strategy<Value = Reply> {
    let info = prop::collection::vec(
        prop_oneof![
            Just("role:master".to_owned()),
            Just("role:slave".to_owned()),
            (any::<u16>(), any::<i32>())
                .prop_map(|(a, b)| format!("slave{a}:ip=10.0.{},port={b},state=online", a % 9)),
            Just("slave0:10.0.0.9,6380,online".to_owned()),
            any::<i64>().prop_map(|n| format!("master_link_down_since_seconds:{n}")),
            any::<i64>().prop_map(|n| format!("slave_repl_offset:{n}")),
            any::<i64>().prop_map(|n| format!("slave_priority:{n}")),
            any::<String>().prop_map(|text| format!("run_id:{text}")),
            any::<String>().prop_map(|text| format!("master_host:{text}")),
        ],
        0..8,
    );
    let leaf = prop_oneof![
        prop::sample::select(vec!["PONG", "BUSY x", "LOADING", "message", "*"])
            .prop_map(|text| Reply::Status(text.to_owned())),
        any::<String>().prop_map(Reply::Error),
        any::<i64>().prop_map(Reply::Integer),
        any::<Vec<u8>>().prop_map(Reply::Bulk),
        info.prop_map(|lines| Reply::bulk(lines.join("\r\n"))),
        Just(Reply::Nil),
    ];
    prop_oneof![
        3 => leaf.clone(),
        1 => prop::collection::vec(leaf, 0..4).prop_map(Reply::Array),
        1 => (any::<i64>(), any::<i64>()).prop_map(|(down, epoch)| Reply::Array(vec![
            Reply::Integer(down), Reply::bulk("x"), Reply::Integer(epoch)
        ])),
    ]
}

proptest! {
    #[test]
    fn any_bytes_are_a_configuration_or_an_error(text: Vec<u8>) {
        let _ = File::parse(&text, &mut NoWorld);
    }

    #[test]
    fn what_was_read_is_written_and_read_again(lines in prop::collection::vec(prop_oneof![line(), statement()], 0..8)) {
        // The lines that make a configuration on their own, put together.
        let mut text = CONFIG.to_owned();
        for line in lines {
            let more = format!("{text}{}\n", line.replace(['\n', '\r'], " "));
            if File::parse(more.as_bytes(), &mut NoWorld).is_ok() {
                text = more;
            }
        }
        let first = File::parse(text.as_bytes(), &mut NoWorld).unwrap();
        let mut world = World::new(&[]);
        world.add_sentinel(&text);
        world.ask(0, "SENTINEL flushconfig");
        let written = world.sentinels[0].file.clone();
        let second = File::parse(&written, &mut NoWorld).unwrap();
        prop_assert_eq!(&second.saved, &first.saved);
        prop_assert_eq!(&second.globals, &first.globals);
    }

    #[test]
    fn instances_and_peers_may_answer_anything(replies in prop::collection::vec((any::<u8>(), reply()), 1..60)) {
        let mut world = World::new(&[]);
        let config = format!("{CONFIG}sentinel known-slave m 10.0.0.1 1\nsentinel known-sentinel m 10.0.0.2 1\n");
        let mut monitor = harness::monitor(world.now(), config.as_bytes(), 26379, runid(26379, 1), 1);
        let mut links = Vec::new();
        let mut file = config.into_bytes();
        for (choice, reply) in replies {
            world.now_ms += 170;
            monitor.handle_timeout(world.now());
            while let Some(output) = monitor.poll_output() {
                match output {
                    Output::Connect { link, kind, .. } => {
                        links.push(link);
                        let (local_ip, peer_ip) = ([10, 0, 0, 9].into(), [10, 0, 0, 1].into());
                        if kind == LinkKind::Command {
                            monitor.handle_input(world.now(), Input::Connected { link, local_ip, peer_ip });
                        }
                    }
                    Output::Close { link } => links.retain(|open| *open != link),
                    Output::Persist(snapshot) => file = snapshot.render(&file),
                    _ => {}
                }
            }
            if let Some(&link) = links.get(usize::from(choice) % links.len().max(1)) {
                monitor.handle_input(world.now(), Input::Received { link, reply });
            }
        }
        prop_assert!(File::parse(&file, &mut NoWorld).is_ok());
    }

    #[test]
    fn clients_may_ask_anything(requests in prop::collection::vec(
        (prop::sample::select(vec!["SENTINEL set m", "SENTINEL monitor", "SENTINEL", "CLIENT", "CLIENT KILL", "CLIENT LIST", "CLIENT TRACKING on", "HELLO 3", "SENTINEL config set",
            "SENTINEL debug", "COMMAND docs", "COMMAND list filterby", "SENTINEL info-cache", "AUTH", "RESET", "SENTINEL \
            is-master-down-by-addr 127.0.0.1 6379", "PUBLISH __sentinel__:hello", "PSUBSCRIBE", "SUBSCRIBE",
            "UNSUBSCRIBE", "INFO", ""]), prop::collection::vec(any::<Vec<u8>>(), 0..4), prop::collection::vec(word(), 0..4)),
        1..20,
    )) {
        let mut world = World::new(&[]);
        world.add_sentinel(CONFIG);
        for (start, bytes, words) in requests {
            let mut request = harness::words(start);
            request.extend(words.into_iter().map(String::into_bytes));
            request.extend(bytes);
            if !request.is_empty() {
                world.input(0, Input::ClientRequest { client: sentinel_core::ClientId(0), request });
            }
            world.run(100);
        }
        let file = world.sentinels[0].file.clone();
        prop_assert!(File::parse(&file, &mut NoWorld).is_ok(), "{}", String::from_utf8_lossy(&file));
    }
}
