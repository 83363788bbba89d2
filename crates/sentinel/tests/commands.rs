//! What clients get: exact replies, error texts and the order of fields.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

mod harness;

use harness::{World, words};
use sentinel_core::{ClientId, Input, Reply, Traffic};

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
        other => flat(&other.clone().in_resp2()),
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
#[expect(clippy::too_many_lines, reason = "a table of commands")]
fn errors_have_valkeys_texts() {
    let mut world = world();
    for (request, error) in [
        (
            "nosuch",
            "unknown command 'nosuch', with args beginning with: ",
        ),
        (
            "SET a b",
            "unknown command 'SET', with args beginning with: 'a' 'b' ",
        ),
        (
            "AUTH x",
            "AUTH <password> called without any password configured for the default user. Are you sure your \
             configuration is correct?",
        ),
        ("AUTH a b c", "syntax error"),
        ("ping x y", "wrong number of arguments for 'ping' command"),
        (
            "SENTINEL",
            "wrong number of arguments for 'sentinel' command",
        ),
        (
            "SENTINEL Nosuch",
            "unknown subcommand 'Nosuch'. Try SENTINEL HELP.",
        ),
        (
            "SENTINEL Masters x",
            "wrong number of arguments for 'sentinel|masters' command",
        ),
        ("SENTINEL master nosuch", "No such master with that name"),
        ("SENTINEL remove nosuch", "No such master with that name"),
        (
            "SENTINEL set taotaoMaster quorum",
            "wrong number of arguments for 'sentinel|set' command",
        ),
        (
            "SENTINEL set taotaoMaster quorum 0",
            "Invalid argument '0' for SENTINEL SET 'quorum'",
        ),
        (
            "SENTINEL set taotaoMaster nosuch 0",
            "Unknown option or number of arguments for SENTINEL SET 'nosuch'",
        ),
        (
            "SENTINEL set taotaoMaster notification-script /x",
            "Reconfiguration of scripts path is denied for security reasons. Check the deny-scripts-reconfig \
             configuration directive in your Sentinel configuration",
        ),
        ("SENTINEL monitor x 127.0.0.1 1 x", "Invalid quorum"),
        ("SENTINEL monitor x 127.0.0.1 x 1", "Invalid port"),
        (
            "SENTINEL monitor x localhost 1 1",
            "Invalid IP address or hostname specified",
        ),
        ("SENTINEL monitor x 127.0.0.1 0 1", "Invalid port number."),
        (
            "SENTINEL monitor taotaoMaster 127.0.0.1 1 1",
            "Duplicate master name.",
        ),
        (
            "SENTINEL failover taotaoMaster x",
            "Unknown failover option specified",
        ),
        (
            "SENTINEL failover taotaoMaster coordinated x",
            "wrong number of arguments for 'sentinel|failover' command",
        ),
        (
            "SENTINEL config get",
            "wrong number of arguments for 'sentinel|config' command",
        ),
        (
            "SENTINEL config foo bar",
            "Only SENTINEL CONFIG GET <param> [<param> <param> ...] / SET <param> <value> [<param> <value> ...] are \
             supported.",
        ),
        (
            "SENTINEL config set nosuch 1",
            "Invalid argument 'nosuch' to SENTINEL CONFIG SET",
        ),
        (
            "SENTINEL config set announce-port 1 announce-port 2",
            "Duplicate argument 'announce-port' to SENTINEL CONFIG SET",
        ),
        (
            "SENTINEL config set announce-port 70000 announce-ip 1.1.1.1",
            "Invalid value '70000' to SENTINEL CONFIG SET 'announce-port'",
        ),
        (
            "SENTINEL config set announce-port 1 announce-ip",
            "Missing argument 'announce-ip' value",
        ),
        (
            "SENTINEL debug nosuch 1",
            "Unknown option or number of arguments for SENTINEL DEBUG 'nosuch'",
        ),
        (
            "SENTINEL debug info-period 0",
            "Invalid argument '0' for SENTINEL DEBUG 'info-period'",
        ),
        (
            "SENTINEL simulate-failure x",
            "Unknown failure simulation specified",
        ),
        (
            "PUBLISH x y",
            "Only HELLO messages are accepted by Sentinel instances.",
        ),
        ("SHUTDOWN maybe", "syntax error"),
        (
            "CLIENT nosuch",
            "unknown subcommand 'nosuch'. Try CLIENT HELP.",
        ),
        (
            "CLIENT no-touch on",
            "unknown subcommand 'no-touch'. Try CLIENT HELP.",
        ),
        ("CLIENT KILL 1.1.1.1:1", "No such client"),
        ("CLIENT KILL TYPE x", "Unknown client type 'x'"),
        ("CLIENT KILL ID 0", "client-id should be greater than 0"),
        ("CLIENT KILL ID x", "syntax error"),
        ("CLIENT KILL USER x", "No such user 'x'"),
        (
            "CLIENT LIST maxage x",
            "maxage is not an integer or out of range",
        ),
        ("CLIENT PAUSE -1", "timeout is negative"),
        ("CLIENT PAUSE 1 x", "CLIENT PAUSE mode must be WRITE or ALL"),
        ("CLIENT SETINFO foo bar", "Unrecognized option 'foo'"),
        (
            "CLIENT TRACKING on optin optout",
            "You can't specify both OPTIN mode and OPTOUT mode",
        ),
        (
            "HELLO x",
            "Protocol version is not an integer or out of range",
        ),
        ("HELLO 3 foo", "Syntax error in HELLO option 'foo'"),
    ] {
        assert_eq!(world.ask(0, request), err(error), "{request}");
    }
    for (request, error) in [
        ("HELLO 4", "NOPROTO unsupported protocol version"),
        (
            "HELLO 3 AUTH a b",
            "WRONGPASS invalid username-password pair or user is disabled.",
        ),
        (
            "SENTINEL failover taotaoMaster coordinated",
            "NOGOODPRIMARY Primary does not support FAILOVER command",
        ),
    ] {
        assert_eq!(
            world.ask(0, request),
            Reply::Error(error.to_owned()),
            "{request}"
        );
    }
}

fn map_of(reply: Reply) -> Vec<(String, Reply)> {
    let Reply::Map(pairs) = reply else {
        panic!("{reply:?}")
    };
    let text = |reply| match reply {
        Reply::Bulk(bytes) => String::from_utf8(bytes).unwrap(),
        other => panic!("{other:?}"),
    };
    pairs
        .into_iter()
        .map(|(name, value)| (text(name), value))
        .collect()
}

#[test]
fn hello_chooses_the_protocol_and_replies_take_its_shape() {
    let mut world = world();
    assert!(matches!(world.ask(0, "HELLO"), Reply::Array(fields) if fields.len() == 12));
    let fields = map_of(world.ask(0, "HELLO 3 SETNAME me"));
    let field = |name: &str| {
        let found = fields.iter().find(|(field, _)| field == name);
        found.map(|(_, value)| value.clone())
    };
    assert_eq!(field("proto"), Some(Reply::Integer(3)));
    assert_eq!(field("mode"), Some(Reply::bulk("sentinel")));
    assert_eq!(field("modules"), Some(Reply::Array(vec![])));
    assert_eq!(world.ask(0, "CLIENT GETNAME"), Reply::bulk("me"));
    let master = map_of(world.ask(0, "SENTINEL PRIMARY taotaoMaster"));
    assert_eq!(master[0], ("name".to_owned(), Reply::bulk("taotaoMaster")));
    assert!(
        matches!(world.ask(0, "SENTINEL PRIMARIES"), Reply::Array(all) if matches!(all[0], Reply::Map(_)))
    );
    assert!(
        matches!(world.ask(0, "SENTINEL CONFIG GET announce*"), Reply::Map(all) if all.len() == 3)
    );
    assert!(matches!(world.ask(0, "CLIENT LIST"), Reply::Text(_)));
    // A wrong wish changes nothing.
    assert!(matches!(
        world.ask(0, "HELLO 2 AUTH default"),
        Reply::Error(_)
    ));
    assert!(matches!(world.ask(0, "SENTINEL DEBUG"), Reply::Map(all) if all.len() == 13));
    assert_eq!(world.ask(0, "RESET"), Reply::Status("RESET".to_owned()));
    assert!(matches!(world.ask(0, "SENTINEL DEBUG"), Reply::Array(all) if all.len() == 26));
    assert_eq!(world.ask(0, "CLIENT GETNAME"), Reply::Nil);
}

#[test]
fn a_subscriber_that_speaks_resp3_may_ask_on_and_gets_pushes() {
    let mut world = world();
    world.ask(0, "HELLO 3");
    let subscribed = ["subscribe", "+set"].map(Reply::bulk);
    assert_eq!(
        world.ask(0, "SUBSCRIBE +set"),
        Reply::Push([&subscribed[..], &[Reply::Integer(1)]].concat())
    );
    assert_eq!(world.ask(0, "PING"), Reply::Status("PONG".to_owned()));
    world.sentinels[0].replies.clear();
    let request = words("SENTINEL SET taotaoMaster quorum 2");
    world.input(
        0,
        Input::ClientRequest {
            client: ClientId(0),
            request,
        },
    );
    let replies: Vec<Reply> = world.sentinels[0].replies.drain(..).collect();
    let text = "master taotaoMaster 127.0.0.1 6379 quorum 2";
    let message = Reply::Push(["message", "+set", text].map(Reply::bulk).to_vec());
    assert!(
        replies.contains(&message) && replies.contains(&Reply::ok()),
        "{replies:?}"
    );
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table of commands")]
fn the_table_describes_what_there_is() {
    let mut world = world();
    let Reply::Array(names) = world.ask(0, "COMMAND LIST") else {
        panic!()
    };
    for name in [
        "ping",
        "hello",
        "client|setinfo",
        "sentinel|replicas",
        "reset",
    ] {
        assert!(names.contains(&Reply::bulk(name)), "{name}");
    }
    assert_eq!(
        world.ask(0, "COMMAND INFO nosuch ping"),
        Reply::Array(vec![
            Reply::Nil,
            Reply::Array(vec![
                Reply::bulk("ping"),
                Reply::Integer(-1),
                Reply::Array(vec![Reply::Status("fast".to_owned())]),
                Reply::Integer(0),
                Reply::Integer(0),
                Reply::Integer(0),
                Reply::Array(
                    ["@fast", "@connection"]
                        .map(|name| Reply::Status(name.to_owned()))
                        .to_vec()
                ),
                Reply::Array(
                    ["request_policy:all_shards", "response_policy:all_succeeded"]
                        .map(Reply::bulk)
                        .to_vec()
                ),
                Reply::Array(vec![]),
                Reply::Array(vec![]),
            ]),
        ])
    );
    assert_eq!(world.ask(0, "COMMAND DOCS save"), Reply::Array(vec![]));
    assert!(
        matches!(world.ask(0, "COMMAND DOCS client|setinfo"), Reply::Array(all) if all.len() == 2)
    );
    // Whatever has a row runs: none answers that it is unknown.
    let Reply::Array(names) = world.ask(0, "COMMAND LIST") else {
        panic!()
    };
    for name in names {
        let Reply::Bulk(name) = name else { panic!() };
        let name = String::from_utf8(name).unwrap();
        let command = name.split('|').next().unwrap();
        if ["shutdown", "quit", "subscribe", "psubscribe", "hello"].contains(&command)
            || name == "client|reply"
        {
            continue;
        }
        for arguments in ["", " a", " a b", " a b c d"] {
            let request = name.replace('|', " ") + arguments;
            world.sentinels[0].replies.clear();
            let request = words(&request);
            world.input(
                0,
                Input::ClientRequest {
                    client: ClientId(0),
                    request,
                },
            );
            for reply in &world.sentinels[0].replies {
                assert!(
                    !matches!(reply, Reply::Error(text) if text.contains("unknown command")),
                    "{name}: {reply:?}"
                );
            }
        }
    }
}

#[test]
fn periods_can_be_changed_for_tests() {
    let mut world = world();
    assert_eq!(
        world.ask(0, "SENTINEL DEBUG info-period 8888 PING-PERIOD 7"),
        Reply::ok()
    );
    let Reply::Array(fields) = world.ask(0, "SENTINEL DEBUG") else {
        panic!()
    };
    let expected = ["INFO-PERIOD", "8888", "PING-PERIOD", "7"].map(Reply::bulk);
    assert_eq!(fields[..4], expected);
}

#[test]
fn what_is_not_of_one_master_can_be_set_and_is_kept() {
    let mut world = world();
    let request = "SENTINEL CONFIG SET announce-ip 1.2.3.4 announce-port 99 sentinel-user u sentinel-pass p loglevel debug \
                   resolve-hostnames yes";
    assert_eq!(world.ask(0, request), Reply::ok());
    assert_eq!(
        world.ask(0, "SENTINEL CONFIG GET log* *level loglevel"),
        Reply::Array(["loglevel", "debug"].map(Reply::bulk).to_vec())
    );
    assert!(world.has_event(0, "LogLevel(Debug)"));
    let file = String::from_utf8(world.sentinels[0].file.clone()).unwrap();
    for line in [
        "sentinel announce-ip \"1.2.3.4\"\n",
        "sentinel announce-port 99\n",
        "sentinel sentinel-user \"u\"\n",
        "sentinel sentinel-pass \"p\"\n",
        "sentinel resolve-hostnames yes\n",
        "loglevel debug\n",
    ] {
        assert!(file.contains(line), "{line} {file}");
    }
    world.sentinels[0].disk_full = true;
    assert_eq!(
        world.ask(0, "SENTINEL SET taotaoMaster quorum 2"),
        err("Failed to save config file. Check server logs.")
    );
}

#[test]
fn the_last_info_is_shown_with_its_age() {
    let mut world = world();
    let Reply::Array(parts) = world.ask(0, "SENTINEL INFO-CACHE taotaoMaster nosuch") else {
        panic!()
    };
    let [name, Reply::Array(infos)] = &parts[..] else {
        panic!("{parts:?}")
    };
    assert_eq!(*name, Reply::bulk("taotaoMaster"));
    assert_eq!(infos.len(), 3);
    assert!(
        matches!(&infos[0], Reply::Array(pair) if matches!(&pair[..], [Reply::Integer(age), Reply::Bulk(text)]
            if *age > 0 && text.starts_with(b"# Server\r\n")))
    );
}

#[test]
fn a_client_may_want_no_replies() {
    let mut world = world();
    let mut silent = |request: &str| {
        world.sentinels[0].replies.clear();
        let request = words(request);
        world.input(
            0,
            Input::ClientRequest {
                client: ClientId(0),
                request,
            },
        );
        world.sentinels[0].replies.pop_front()
    };
    assert_eq!(silent("CLIENT REPLY SKIP"), None);
    assert_eq!(silent("PING"), None);
    assert_eq!(silent("PING"), Some(Reply::Status("PONG".to_owned())));
    assert_eq!(silent("CLIENT REPLY OFF"), None);
    assert_eq!(silent("SENTINEL FLUSHCONFIG"), None);
    assert_eq!(silent("CLIENT REPLY SKIP"), None);
    assert_eq!(silent("PING"), None);
    assert_eq!(silent("CLIENT REPLY ON"), Some(Reply::ok()));
}

#[test]
fn masters_come_and_go_at_run_time() {
    let mut world = world();
    assert_eq!(
        world.ask(0, "SENTINEL monitor other ::1 7000 3"),
        Reply::ok()
    );
    assert!(world.has_event(0, "+monitor master other ::1 7000 quorum 3"));
    let options = "down-after-milliseconds 1000 failover-timeout 2000 auth-pass p auth-user u rename-command PING PONG \
                   master-reboot-down-after-period 5 parallel-syncs 4";
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
    assert!(file.contains("sentinel auth-user other u\n"), "{file}");
    assert!(
        file.contains("sentinel rename-command other \"ping\" \"PONG\"\n"),
        "{file}"
    );
    assert!(
        file.contains("sentinel primary-reboot-down-after-period other 5\n"),
        "{file}"
    );
    assert!(world.has_event(0, "+set master other ::1 7000 auth-pass ******"));
    assert!(world.has_event(0, "+set master other ::1 7000 rename-command PING PONG"));
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
fn info_has_its_sections() {
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
        both.starts_with("# Server\r\nredis_version:7.2.4\r\n"),
        "{both}"
    );
    assert!(both.ends_with(&format!("\r\n\r\n{sentinel}")), "{both}");
    assert!(text(world.ask(0, "INFO cpu all")).starts_with("# Server\r\n"));
    let some = text(world.ask(0, "INFO clients sentinel replication"));
    assert!(
        some.starts_with("# Clients\r\nconnected_clients:1\r\n"),
        "{some}"
    );
    assert!(some.ends_with(&format!("\r\n\r\n{sentinel}")), "{some}");
    assert_eq!(text(world.ask(0, "INFO keyspace")), "");
}

#[test]
fn info_tells_what_was_carried_and_how_fast() {
    let mut world = world();
    let fields = |world: &mut World, commands| {
        let Reply::Bulk(text) = world.ask(0, "INFO stats") else {
            panic!()
        };
        let text = String::from_utf8(text).unwrap();
        for line in [
            "total_net_input_bytes:4096",
            "total_net_output_bytes:8192",
            "total_reads_processed:3",
            "total_writes_processed:4",
            "rejected_connections:5",
            "client_query_buffer_limit_disconnections:6",
            "client_output_buffer_limit_disconnections:7",
            commands,
        ] {
            assert!(text.contains(&format!("\r\n{line}\r\n")), "{line}: {text}");
        }
        text
    };
    world.run(3_000);
    let monitor = world.sentinels[0].monitor.as_mut().unwrap();
    monitor.carried(Traffic {
        bytes_in: 4096,
        bytes_out: 8192,
        reads: 3,
        writes: 4,
        refused: 5,
        long_requests: 6,
        long_replies: 7,
    });
    world.ask(0, "NOSUCH");
    let text = fields(&mut world, "total_commands_processed:1");
    assert!(text.contains("instantaneous_input_kbps:0.00\r\n"), "{text}");
    world.run(500);
    let text = fields(&mut world, "total_commands_processed:2");
    assert!(
        !text.contains("instantaneous_input_kbps:0.00\r\n"),
        "{text}"
    );
    world.run(5_000);
    let text = fields(&mut world, "instantaneous_ops_per_sec:0");
    assert!(
        text.contains("instantaneous_output_kbps:0.00\r\n"),
        "{text}"
    );
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
        err(
            "Can't execute 'info': only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this \
             context"
        )
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
    assert_eq!(world.ask(0, "CLIENT setinfo LIB-NAME lib"), Reply::ok());
    assert_eq!(world.ask(0, "CLIENT setinfo lib-ver 1.0"), Reply::ok());
    let text = "ERR Client names cannot contain spaces, newlines or special characters.";
    let mut request = words("CLIENT setname x");
    request[2] = b"a b".to_vec();
    assert_eq!(world.ask_words(0, request), Reply::Error(text.to_owned()));
    let Reply::Bulk(list) = world.ask(0, "CLIENT list") else {
        panic!()
    };
    assert_eq!(
        String::from_utf8(list).unwrap(),
        "id=0 addr=127.0.0.1:1 laddr=127.0.0.1:26379 fd=5 name=me age=12 idle=0 flags=N capa= db=0 sub=0 psub=0 ssub=0 \
         multi=-1 watch=0 qbuf=0 qbuf-free=0 obl=0 oll=0 omem=0 events=r cmd=client|list user=default redir=-1 resp=2 \
         lib-name=lib lib-ver=1.0 tot-cmds=7\n"
    );
    let one = |reply| matches!(reply, Reply::Bulk(text) if text.starts_with(b"id=0 "));
    for filter in [
        "id 1 0 5".replace(" 0 ", " 7 ").as_str(),
        "name you",
        "not-name me",
        "user default skipme yes",
    ] {
        assert!(
            !one(world.ask(0, &format!("CLIENT LIST {filter}"))),
            "{filter}"
        );
    }
    for filter in [
        "name me",
        "type normal lib-name lib",
        "not-type pubsub",
        "ip 127.0.0.1",
        "flags N",
        "db 0",
    ] {
        assert!(
            one(world.ask(0, &format!("CLIENT LIST {filter}"))),
            "{filter}"
        );
    }
    assert!(one(world.ask(0, "CLIENT INFO")));
    assert_eq!(world.ask(0, "CLIENT ID"), Reply::Integer(0));
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
                laddr: "b:1".to_owned(),
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
            laddr: "b:1".to_owned(),
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
    let unknown = |name: &str| {
        err(&format!(
            "unknown command '{name}', with args beginning with: "
        ))
    };
    for name in ["shutdown", "facts", "nonsense"] {
        assert_eq!(
            world.ask(0, name),
            Reply::Error("NOAUTH Authentication required.".to_owned())
        );
    }
    let wrong = "WRONGPASS invalid username-password pair or user is disabled.";
    for request in [
        "AUTH wrong",
        "AUTH other secret",
        "HELLO 3 AUTH default wrong",
    ] {
        assert_eq!(world.ask(0, request), Reply::Error(wrong.to_owned()));
    }
    assert!(
        matches!(world.ask(0, "HELLO 3"), Reply::Error(text) if text.starts_with("NOAUTH HELLO must be"))
    );
    assert_eq!(world.ask(0, "AUTH default secret"), Reply::ok());
    assert_eq!(world.ask(0, "RESET"), Reply::Status("RESET".to_owned()));
    assert_eq!(
        world.ask(0, "facts"),
        Reply::Error("NOAUTH Authentication required.".to_owned())
    );
    assert!(matches!(
        world.ask(0, "HELLO 2 AUTH default secret"),
        Reply::Array(_)
    ));
    assert_eq!(world.ask(0, "AUTH secret"), Reply::ok());
    assert!(matches!(world.ask(0, "facts"), Reply::Bulk(_)));
    assert_eq!(world.ask(0, "shutdown"), unknown("shutdown"));
    assert_eq!(world.ask(0, "info"), unknown("info"));
}
