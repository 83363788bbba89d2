//! What clients get: exact replies, error texts and the order of fields.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod harness;

use harness::{World, words};
use sentinel_core::{ClientId, Input, Reply};

const CONFIG: &str = "sentinel monitor taotaoMaster 127.0.0.1 6379 1\nsentinel down-after-milliseconds taotaoMaster 3000\n";

fn world() -> World {
    let mut world = World::new(&[6380, 6381]);
    world.add_sentinel(CONFIG);
    world.run(12_015);
    world
}

fn err(text: &str) -> Reply {
    Reply::Error(format!("ERR {text}"))
}

/// A reply as redis-cli prints it, every name of a field on its own line and its value on the next.
fn flat(reply: &Reply) -> Vec<String> {
    match reply {
        Reply::Array(parts) if parts.is_empty() => vec![String::new()],
        Reply::Array(parts) => parts.iter().flat_map(flat).collect(),
        Reply::Bulk(bytes) => vec![String::from_utf8_lossy(bytes).into_owned()],
        Reply::Status(text) | Reply::Error(text) => vec![text.clone()],
        Reply::Integer(number) => vec![number.to_string()],
        Reply::Nil | Reply::NilArray => vec![String::new()],
    }
}

/// What differs from run to run, replaced.
fn normal(lines: &[String]) -> Vec<String> {
    const VARIES: [&str; 6] = [
        "runid",
        "last-ok-ping-reply",
        "last-ping-reply",
        "info-refresh",
        "role-reported-time",
        "last-ping-sent",
    ];
    let mut out: Vec<String> = Vec::new();
    for line in lines {
        let varies = out
            .last()
            .is_some_and(|last| VARIES.contains(&last.as_str()));
        out.push(if varies {
            "…".to_owned()
        } else {
            line.clone()
        });
    }
    out
}

#[test]
fn the_recorded_replies_come_out_field_by_field() {
    let mut world = world();
    let recorded = include_str!("data/commands.txt");
    for part in recorded.split("$ ").filter(|part| !part.is_empty()) {
        let (request, reply) = part.split_once('\n').unwrap();
        let recorded: Vec<String> = reply
            .strip_suffix('\n')
            .unwrap()
            .split('\n')
            .map(str::to_owned)
            .collect();
        let mut recorded = normal(&recorded);
        while recorded.len() > 1 && recorded.last().is_some_and(String::is_empty) {
            recorded.pop();
        }
        let mut ours = normal(&flat(&world.ask(0, request)));
        if request.starts_with("SENTINEL slaves") {
            // The order of slaves is that of a hash table there, and that of discovery here.
            let middle = ours.len() / 2;
            ours.rotate_left(middle);
        }
        assert_eq!(ours, recorded, "{request}");
    }
}

#[test]
fn errors_have_redis_texts() {
    let mut world = world();
    for (request, error) in [
        ("nosuch", "unknown command 'nosuch'"),
        ("SET a b", "unknown command 'SET'"),
        ("AUTH x", "unknown command 'AUTH'"),
        ("ping x", "wrong number of arguments for 'ping' command"),
        (
            "SENTINEL",
            "wrong number of arguments for 'sentinel' command",
        ),
        ("SENTINEL Nosuch", "Unknown sentinel subcommand 'Nosuch'"),
        (
            "SENTINEL Masters x",
            "Wrong number of arguments for 'sentinel Masters'",
        ),
        ("SENTINEL master nosuch", "No such master with that name"),
        ("SENTINEL remove nosuch", "No such master with that name"),
        (
            "SENTINEL set taotaoMaster quorum",
            "Wrong number of arguments for 'sentinel set'",
        ),
        (
            "SENTINEL set taotaoMaster quorum 0",
            "Invalid argument '0' for SENTINEL SET 'quorum'",
        ),
        (
            "SENTINEL set taotaoMaster nosuch 0",
            "Unknown option 'nosuch' for SENTINEL SET",
        ),
        (
            "SENTINEL set taotaoMaster notification-script x",
            "Notification script seems non existing or non executable",
        ),
        ("SENTINEL monitor x 127.0.0.1 1 x", "Invalid quorum"),
        ("SENTINEL monitor x 127.0.0.1 x 1", "Invalid port"),
        (
            "SENTINEL monitor x localhost 1 1",
            "Invalid IP address specified",
        ),
        ("SENTINEL monitor x 127.0.0.1 0 1", "Invalid port number"),
        (
            "SENTINEL monitor taotaoMaster 127.0.0.1 1 1",
            "Duplicated master name",
        ),
        (
            "PUBLISH x y",
            "Only HELLO messages are accepted by Sentinel instances.",
        ),
        ("INFO a b", "syntax error"),
        ("SHUTDOWN maybe", "syntax error"),
        (
            "CLIENT nosuch",
            "Syntax error, try CLIENT (LIST | KILL ip:port | GETNAME | SETNAME connection-name)",
        ),
        ("CLIENT KILL 1.1.1.1:1", "No such client"),
        ("CLIENT KILL TYPE x", "Unknown client type 'x'"),
        ("CLIENT PAUSE -1", "timeout is negative"),
    ] {
        assert_eq!(world.ask(0, request), err(error), "{request}");
    }
}

#[test]
fn masters_come_and_go_at_run_time() {
    let mut world = world();
    assert_eq!(
        world.ask(0, "SENTINEL monitor other ::1 7000 3"),
        Reply::ok()
    );
    assert!(world.has_event(0, "+monitor master other ::1 7000 quorum 3"));
    let options = "down-after-milliseconds 1000 failover-timeout 2000 parallel-syncs 4 auth-pass p client-reconfig-script /x";
    assert_eq!(
        world.ask(0, &format!("SENTINEL set other {options}")),
        Reply::ok()
    );
    assert!(world.has_event(0, "+set master other ::1 7000 parallel-syncs 4"));
    let file = String::from_utf8(world.sentinels[0].file.clone()).unwrap();
    assert!(
        file.contains("sentinel monitor other ::1 7000 3\n"),
        "{file}"
    );
    assert!(file.contains("sentinel auth-pass other p\n"), "{file}");
    let names = |names: &[&str]| {
        Reply::Array(vec![
            Reply::bulk("sentinel"),
            Reply::Array(names.iter().map(Reply::bulk).collect()),
        ])
    };
    assert_eq!(world.ask(0, "ROLE"), names(&["taotaoMaster", "other"]));
    assert_eq!(
        world.ask(0, "SENTINEL ckquorum other"),
        Reply::Error(
            "NOQUORUM 1 usable Sentinels. Not enough available Sentinels to reach the specified quorum for this master"
                .to_owned()
        )
    );
    assert_eq!(world.ask(0, "SENTINEL remove other"), Reply::ok());
    assert!(world.has_event(0, "-monitor master other ::1 7000"));
    assert_eq!(world.ask(0, "ROLE"), names(&["taotaoMaster"]));
    let file = String::from_utf8(world.sentinels[0].file.clone()).unwrap();
    assert!(!file.contains("other"), "{file}");
}

#[test]
fn info_has_the_two_sections() {
    let mut world = world();
    let text = |reply| {
        let Reply::Bulk(text) = reply else { panic!() };
        String::from_utf8(text).unwrap()
    };
    let recorded = include_str!("data/info.txt")
        .replace('\r', "")
        .replace('\n', "\r\n");
    let sentinel = recorded.split_once("\r\n\r\n").unwrap().1;
    assert_eq!(text(world.ask(0, "INFO sentinel")), sentinel);
    let both = text(world.ask(0, "INFO"));
    assert!(
        both.starts_with("# Server\r\nredis_version:3.0.7\r\n"),
        "{both}"
    );
    assert!(both.ends_with(&format!("\r\n\r\n{sentinel}")), "{both}");
    assert_eq!(text(world.ask(0, "INFO keyspace")), "");
}

#[test]
fn a_subscribed_client_may_do_little_else() {
    let mut world = world();
    let counted = |kind: &str, name: Reply, count| {
        Reply::Array(vec![Reply::bulk(kind), name, Reply::Integer(count)])
    };
    assert_eq!(
        world.ask(0, "UNSUBSCRIBE"),
        counted("unsubscribe", Reply::Nil, 0)
    );
    assert_eq!(
        world.ask(0, "SUBSCRIBE a b"),
        counted("subscribe", Reply::bulk("a"), 1)
    );
    assert_eq!(
        world.ask(0, "PING"),
        Reply::Array(vec![Reply::bulk("pong"), Reply::bulk("")])
    );
    assert_eq!(
        world.ask(0, "INFO"),
        err("only (P)SUBSCRIBE / (P)UNSUBSCRIBE / PING / QUIT allowed in this context")
    );
    assert_eq!(
        world.ask(0, "UNSUBSCRIBE"),
        counted("unsubscribe", Reply::bulk("a"), 1)
    );
    assert_eq!(world.ask(0, "PING"), Reply::Status("PONG".to_owned()));
}

#[test]
fn clients_have_names_and_are_listed() {
    let mut world = world();
    assert_eq!(world.ask(0, "CLIENT getname"), Reply::Nil);
    assert_eq!(world.ask(0, "CLIENT setname me"), Reply::ok());
    assert_eq!(world.ask(0, "CLIENT getname"), Reply::bulk("me"));
    let text = "ERR Client names cannot contain spaces, newlines or special characters.";
    let mut request = words("CLIENT setname x");
    request[2] = b"a b".to_vec();
    assert_eq!(world.ask_words(0, request), Reply::Error(text.to_owned()));
    let Reply::Bulk(list) = world.ask(0, "CLIENT list") else {
        panic!()
    };
    assert_eq!(
        String::from_utf8(list).unwrap(),
        "id=0 addr=127.0.0.1:1 fd=5 name=me age=12 idle=0 flags=N db=0 sub=0 psub=0 multi=-1 qbuf=0 qbuf-free=0 \
         obl=0 oll=0 omem=0 events=r cmd=client\n"
    );
    assert_eq!(
        world.ask(0, "CLIENT kill type normal skipme yes"),
        Reply::Integer(0)
    );
    assert_eq!(world.ask(0, "CLIENT kill 127.0.0.1:1"), Reply::ok());
    assert!(world.has_event(0, "Disconnect"));
}

#[test]
fn a_web_browser_gets_nothing() {
    let mut world = world();
    for request in ["POST / HTTP/1.1", "Host: example.org"] {
        world.input(
            0,
            Input::ClientConnected {
                client: ClientId(0),
                addr: "a:1".to_owned(),
                fd: 5,
            },
        );
        world.sentinels[0].replies.clear();
        for request in [request, "SENTINEL remove taotaoMaster"] {
            let request = words(request);
            world.input(
                0,
                Input::ClientRequest {
                    client: ClientId(0),
                    request,
                },
            );
        }
        assert!(world.sentinels[0].replies.is_empty());
    }
    assert_eq!(world.count_events("Disconnect"), 2);
    assert!(!world.has_event(0, "-monitor"));
}

#[test]
fn idle_clients_are_dropped_and_subscribers_are_not() {
    let mut world = World::new(&[]);
    world.add_sentinel(&format!("{CONFIG}timeout 5\n"));
    world.input(
        0,
        Input::ClientConnected {
            client: ClientId(1),
            addr: "a:1".to_owned(),
            fd: 5,
        },
    );
    world.ask(0, "SUBSCRIBE +sdown");
    world.run(4_900);
    assert_eq!(world.count_events("Disconnect"), 0);
    world.run(300);
    assert_eq!(world.count_events("Disconnect"), 1);
}

#[test]
fn commands_can_be_renamed_and_locked() {
    let mut world = World::new(&[]);
    let config = format!(
        "{CONFIG}rename-command shutdown \"\"\nrename-command info facts\nrequirepass secret\n"
    );
    world.add_sentinel(&config);
    assert_eq!(world.ask(0, "shutdown"), err("unknown command 'shutdown'"));
    assert_eq!(world.ask(0, "info"), err("unknown command 'info'"));
    assert_eq!(
        world.ask(0, "facts"),
        Reply::Error("NOAUTH Authentication required.".to_owned())
    );
    assert_eq!(world.ask(0, "AUTH wrong"), err("invalid password"));
    assert_eq!(world.ask(0, "AUTH secret"), Reply::ok());
    assert!(matches!(world.ask(0, "facts"), Reply::Bulk(_)));
}
