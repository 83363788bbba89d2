//! Replies about clients, and what clients learn of each other.

use std::sync::atomic::Ordering;

use engine::{Action, ChildEnd, Now, Transferred};

use crate::harness::{Server, peer, taken};

#[test]
fn errors_quote_the_bytes_that_came_up_to_a_nul() {
    let mut server = Server::new();
    let a = server.a;
    for (words, reply) in [
        (
            &[&b"DEBUG"[..], b"\xffx\0y"][..],
            &b"-ERR unknown subcommand or wrong number of arguments for '\xffx'. Try DEBUG HELP.\r\n"[..],
        ),
        (
            &[b"DEBUG", b"HTSTATS"],
            b"-ERR unknown subcommand or wrong number of arguments for 'HTSTATS'. Try DEBUG HELP.\r\n",
        ),
        (
            &[b"PUBSUB", b"1\xffa"],
            b"-ERR unknown subcommand '1\xffa'. Try PUBSUB HELP.\r\n",
        ),
        (
            &[b"CONFIG", b"SET", b"\xff\0", b"x"],
            b"-ERR Unknown option or number of arguments for CONFIG SET - '\xff'\r\n",
        ),
        (
            &[b"REPLCONF", b"\xfe", b"1"],
            b"-ERR Unrecognized REPLCONF option: \xfe\r\n",
        ),
        (
            &[b"no\xff\0"],
            b"-ERR unknown command 'no\xff', with args beginning with: \r\n",
        ),
    ] {
        assert_eq!(
            server.run_bytes(a, words).escape_ascii().to_string(),
            reply.escape_ascii().to_string()
        );
    }
}

#[test]
fn client_kill_reads_its_options_in_order() {
    let mut server = Server::new();
    let a = server.a;
    let unknown = "-ERR Unknown client type 'foo'\r\n";
    assert_eq!(server.run(a, &["CLIENT", "KILL", "TYPE", "foo"]), unknown);
    assert_eq!(
        server.run(a, &["CLIENT", "KILL", "TYPE", "foo", "SKIPME"]),
        unknown
    );
    let syntax = "-ERR syntax error\r\n";
    assert_eq!(
        server.run(a, &["CLIENT", "KILL", "TYPE", "slave", "SKIPME"]),
        syntax
    );
}

#[test]
fn client_list_tells_the_last_command_that_came_even_where_it_was_refused() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    let mut seen = |words: &[&str]| {
        server.run(b, words);
        let list = server.run(a, &["CLIENT", "LIST"]);
        let line = list.lines().nth(2).expect("two clients").to_owned();
        let field = |name: &str| {
            let mut words = line.split(' ');
            words
                .find_map(|word| word.strip_prefix(name))
                .map(str::to_owned)
        };
        (field("flags=").expect("flags"), field("cmd=").expect("cmd"))
    };
    let is = |flags: &str, command: &str| (flags.to_owned(), command.to_owned());
    assert_eq!(seen(&["GET"]), is("N", "get"));
    assert_eq!(seen(&["NOSUCH"]), is("N", "NULL"));
    assert_eq!(
        seen(&["EVAL", "return redis.call('dbsize')", "0"]),
        is("N", "eval")
    );
    assert_eq!(seen(&["SUBSCRIBE", "c"]), is("P", "subscribe"));
    assert_eq!(seen(&["BLPOP", "l", "0"]), is("P", "blpop"));
}

#[test]
fn a_pop_that_had_to_wait_is_an_event_as_any_other() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    let c = server.engine.accept(crate::harness::peer()).expect("room");
    server.run(a, &["CONFIG", "SET", "notify-keyspace-events", "EA"]);
    server.run(c, &["PSUBSCRIBE", "*"]);
    for (wait, push, events) in [
        (
            &["BLPOP", "l", "0"][..],
            &["RPUSH", "l", "1"][..],
            &["rpush l", "lpop l", "del l"][..],
        ),
        (
            &["BRPOPLPUSH", "l", "m", "0"],
            &["LPUSH", "l", "1", "2"],
            &["lpush l", "lpush m", "rpop l"],
        ),
    ] {
        assert_eq!(server.run(b, wait), "");
        server.run(a, push);
        assert_ne!(taken(&mut server.engine, b), "");
        let seen = taken(&mut server.engine, c);
        let lines: Vec<&str> = seen.lines().collect();
        let told: Vec<String> = lines
            .windows(3)
            .filter_map(|at| {
                Some(format!(
                    "{} {}",
                    at[0].strip_prefix("__keyevent@0__:")?,
                    at[2]
                ))
            })
            .collect();
        assert_eq!(told, events);
    }
}

#[test]
fn who_waits_is_sent_away_when_the_server_becomes_a_slave() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    let c = server.engine.accept(peer()).expect("room");
    assert_eq!(server.run(a, &["BLPOP", "list", "0"]), "");
    assert_eq!(server.run(b, &["WAIT", "1", "0"]), "");
    assert_eq!(server.run(c, &["SLAVEOF", "127.0.0.1", "1"]), "+OK\r\n");
    let away = "-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)\r\n";
    assert_eq!(taken(&mut server.engine, a), away);
    assert_eq!(taken(&mut server.engine, b), away);
    let listed = server.run(c, &["CLIENT", "LIST"]);
    let flags = listed.lines().filter(|line| line.contains(" flags=c "));
    assert_eq!(flags.count(), 2, "they are to be closed: {listed}");
    let info = server.run(c, &["INFO", "clients"]);
    assert!(info.contains("blocked_clients:0\r\n"), "{info}");
}

#[test]
fn wait_confirms_nothing_that_the_own_file_has_not_got() {
    let mut server = Server::with(conf::ServerConfig {
        appendonly: true,
        repl_diskless_sync: false,
        ..conf::ServerConfig::default()
    });
    let (a, replica) = (server.a, server.b);
    let other = server.engine.accept(peer()).expect("room");
    server
        .engine
        .start_append_only(0)
        .expect("a file that takes everything");
    server.talk.child.set(Some(engine::ChildEnd::Done));
    server.run(replica, &["PSYNC", "?", "-1"]);
    server.engine.tick();
    server.engine.dump_sent(replica, true);
    let reads_all = |server: &mut Server| {
        let bytes = server.engine.stream(replica).len();
        server.engine.stream_sent(replica, bytes);
        let info = server.run(other, &["INFO", "replication"]);
        let offset = info
            .lines()
            .find_map(|line| line.strip_prefix("master_repl_offset:"));
        server.run(replica, &["REPLCONF", "ACK", offset.expect("a field")]);
    };

    assert_eq!(server.run(a, &["SET", "k", "1"]), "+OK\r\n");
    assert!(server.engine.flush_append_only());
    assert_eq!(server.run(a, &["WAIT", "1", "0"]), "");
    reads_all(&mut server);
    assert_eq!(taken(&mut server.engine, a), ":1\r\n");

    // The write to the file is put off, for a sync is under way: the replica has it first.
    server.talk.syncing.store(true, Ordering::Relaxed);
    assert_eq!(server.run(a, &["SET", "k", "2"]), "+OK\r\n");
    assert!(server.engine.flush_append_only());
    assert_eq!(server.run(a, &["WAIT", "1", "0"]), "");
    reads_all(&mut server);
    server.engine.tick();
    assert_eq!(
        taken(&mut server.engine, a),
        "",
        "a kill now, and a quick restart, would lose it"
    );
    server.talk.syncing.store(false, Ordering::Relaxed);
    assert!(server.engine.flush_append_only());
    assert_eq!(taken(&mut server.engine, a), "", "it is being written");
    assert!(server.engine.flush_append_only());
    assert_eq!(taken(&mut server.engine, a), ":1\r\n");
}

#[test]
fn who_reads_for_a_group_is_told_when_its_stream_is_gone() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    let no_group =
        "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option\r\n";
    let wrong_type = "-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";
    for (ends, told) in [
        (&["DEL", "s"][..], no_group),
        (&["RENAME", "s", "t"], no_group),
        (&["PEXPIREAT", "s", "1"], no_group),
        (&["XGROUP", "DESTROY", "s", "g"], no_group),
        (&["FLUSHALL"], no_group),
        (&["SWAPDB", "0", "1"], no_group),
        (&["SET", "s", "x"], wrong_type),
    ] {
        server.run(a, &["FLUSHALL"]);
        server.run(a, &["XGROUP", "CREATE", "s", "g", "$", "MKSTREAM"]);
        let read = [
            "XREADGROUP",
            "GROUP",
            "g",
            "c",
            "BLOCK",
            "0",
            "STREAMS",
            "s",
            ">",
        ];
        assert_eq!(server.run(b, &read), "");
        server.run(a, &["SET", "other", "x"]);
        assert_eq!(taken(&mut server.engine, b), "", "before {ends:?}");
        server.run(a, ends);
        assert_eq!(taken(&mut server.engine, b), told, "after {ends:?}");
    }
}

#[test]
fn nothing_expires_while_writes_are_paused() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    for words in [
        &["MULTI"][..],
        &["SET", "k", "v", "PX", "100"],
        &["HSETEX", "h", "PX", "100", "FIELDS", "1", "f", "v"],
        &["CLIENT", "PAUSE", "500", "WRITE"],
        &["EXEC"],
    ] {
        server.run(a, words);
    }
    for (mono_ms, left) in [(301, 2), (901, 0)] {
        server.set_now(Now {
            mono_ms,
            unix_us: 1_000_000_000_000 + mono_ms * 1000,
        });
        server.engine.tick();
        server.engine.end_turn();
        assert_eq!(server.run(b, &["GET", "k"]), "$-1\r\n");
        assert_eq!(server.run(b, &["HMGET", "h", "f"]), "*1\r\n$-1\r\n");
        assert_eq!(server.run(b, &["DBSIZE"]), format!(":{left}\r\n"));
    }
    let info = server.run(b, &["INFO", "stats"]);
    let counted = "expired_keys:1\r\nexpired_fields:1\r\n";
    assert!(info.contains(counted), "{info}");
}

#[test]
fn a_port_that_c_reads_as_negative_is_refused_before_anything_moves() {
    let mut server = Server::new();
    let a = server.a;
    server.run(a, &["SET", "k", "v"]);
    for port in ["-1", "2147483648", "99999999999999999999"] {
        assert_eq!(
            server.run(a, &["MIGRATE", "127.0.0.1", port, "k", "0", "100"]),
            "-IOERR error or timeout connecting to the client\r\n"
        );
    }
    assert_eq!(server.run(a, &["DEL", "k"]), ":1\r\n");
}

/// MIGRATE of `k` in database 0, and while it is under way what `b` says; the reply to MIGRATE and what is left of `k`.
fn migrate_while(lines: &[&[&str]]) -> (String, String) {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    server.run(a, &["SET", "k", "old"]);
    let sent = server.run(a, &["MIGRATE", "127.0.0.1", "1", "k", "0", "100"]);
    assert_eq!(sent, "");
    for words in lines {
        server.run(b, words);
    }
    let transfer =
        std::iter::from_fn(|| server.engine.poll_action()).find_map(|action| match action {
            Action::Transfer { transfer, .. } => Some(transfer),
            _ => None,
        });
    let arrived = Transferred {
        answers: vec![Ok(())],
        failed: None,
    };
    server.engine.migrated(transfer.expect("one"), &arrived);
    let reply = taken(&mut server.engine, a);
    // What waited runs with the next turn.
    server.engine.receive(b, b"");
    (reply, server.run(a, &["GET", "k"]))
}

#[test]
fn a_key_that_is_changed_on_its_way_is_not_deleted() {
    let moved = ("+OK\r\n".to_owned(), "$-1\r\n".to_owned());
    let reads = [&["EVAL", "return redis.call('get','k')", "0"][..]];
    assert_eq!(migrate_while(&reads), moved);
    let (reply, left) = migrate_while(&[&["EVAL", "return redis.call('set','k','new')", "0"]]);
    assert!(reply.starts_with("-ERR A key was changed"), "{reply}");
    assert_eq!(left, "$3\r\nnew\r\n");
    // These wait, and then make a new key.
    let waits = [
        &["SELECT", "1"][..],
        &["MULTI"],
        &["SELECT", "0"],
        &["APPEND", "k", "new"],
        &["EXEC"],
    ];
    let (reply, left) = migrate_while(&waits);
    assert_eq!((&*reply, &*left), ("+OK\r\n", "$3\r\nnew\r\n"));
}

#[test]
fn reads_are_not_noted_while_a_child_saves() {
    let mut server = Server::new();
    let a = server.a;
    let later = |server: &mut Server, seconds: u64| {
        server.set_now(Now {
            mono_ms: 1 + seconds * 1000,
            unix_us: (1_000_000 + seconds) * 1_000_000,
        });
    };
    server.run(a, &["RPUSH", "list", "x"]);
    for (command, begun) in [("BGSAVE", 10), ("BGREWRITEAOF", 200)] {
        later(&mut server, begun);
        server.run(a, &["LLEN", "list"]);
        server.talk.child.set(Some(ChildEnd::Done));
        assert!(server.run(a, &[command]).ends_with(" started\r\n"));
        later(&mut server, begun + 100);
        assert_eq!(server.run(a, &["LLEN", "list"]), ":1\r\n");
        assert_eq!(server.run(a, &["LSET", "list", "0", "x"]), "+OK\r\n");
        assert_eq!(server.run(a, &["OBJECT", "IDLETIME", "list"]), ":100\r\n");
        // The child ends; a rewritten file takes its place at the tick after.
        server.engine.tick();
        server.engine.tick();
        assert_eq!(server.run(a, &["LLEN", "list"]), ":1\r\n");
        assert_eq!(server.run(a, &["OBJECT", "IDLETIME", "list"]), ":0\r\n");
    }
}

#[test]
fn the_latency_monitor_times_what_is_done_with_files() {
    let mut server = Server::new();
    let a = server.a;
    server.run(a, &["CONFIG", "SET", "latency-monitor-threshold", "1"]);
    server.talk.child.set(Some(ChildEnd::Killed(9)));
    assert_eq!(server.run(a, &["BGSAVE"]), "+Background saving started\r\n");
    server.engine.tick();
    server.talk.child.set(Some(ChildEnd::Done));
    assert_eq!(
        server.run(a, &["CONFIG", "SET", "appendonly", "yes"]),
        "+OK\r\n"
    );
    server.engine.tick();
    let latest = server.run(a, &["LATENCY", "LATEST"]);
    for event in ["rdb-unlink-temp-file", "aof-rename"] {
        assert!(
            latest.contains(&format!("\r\n{event}\r\n")),
            "{event}: {latest}"
        );
    }
}
