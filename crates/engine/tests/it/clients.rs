//! What clients see of transactions, pauses, statistics and limits.

use engine::{Now, Peer};

use crate::harness::{Server, peer, taken};

fn info(server: &mut Server, section: &str) -> String {
    let b = server.b;
    server.run(b, &["INFO", section])
}

/// Words that are separated by blanks.
fn run(server: &mut Server, id: engine::ClientId, line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    server.run(id, &words)
}

#[test]
fn exec_is_refused_as_a_whole_by_what_it_would_do() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    for line in ["MULTI", "GET k", "SET k v"] {
        run(&mut server, a, line);
    }
    run(&mut server, b, "REPLICAOF 127.0.0.1 1");
    assert_eq!(
        run(&mut server, a, "EXEC"),
        "-EXECABORT Transaction discarded because of: READONLY You can't write against a read only replica.\r\n"
    );
    assert_eq!(run(&mut server, a, "EXEC"), "-ERR EXEC without MULTI\r\n");
    run(&mut server, b, "REPLICAOF NO ONE");
    assert_eq!(run(&mut server, a, "GET k"), "$-1\r\n");
    assert_eq!(
        run(&mut server, a, "EXEC x"),
        "-EXECABORT Transaction discarded because of: wrong number of arguments for 'exec' command\r\n"
    );
    run(&mut server, b, "CONFIG SET min-replicas-to-write 1");
    for line in ["MULTI", "GET k"] {
        run(&mut server, a, line);
    }
    assert_eq!(
        run(&mut server, a, "EXEC"),
        "*1\r\n$-1\r\n",
        "it only reads"
    );
}

#[test]
fn what_a_transaction_may_not_hold_breaks_it() {
    let mut server = Server::new();
    let a = server.a;
    for name in ["multi", "watch k"] {
        run(&mut server, a, "MULTI");
        let command = name.split(' ').next().unwrap_or_default();
        assert_eq!(
            run(&mut server, a, name),
            format!("-ERR Command '{command}' not allowed inside a transaction\r\n")
        );
        let aborted = run(&mut server, a, "EXEC");
        assert!(aborted.starts_with("-EXECABORT"), "{aborted}");
    }
}

#[test]
fn watched_keys_that_expire_are_changes_unless_they_were_expired() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    run(&mut server, b, "DEBUG SET-ACTIVE-EXPIRE 0");
    let exec = |server: &mut Server| {
        run(server, a, "MULTI");
        run(server, a, "PING");
        run(server, a, "EXEC")
    };
    let wait = |server: &mut Server, mono_ms: u64| {
        let unix_us = 1_000_000_000_000 + mono_ms * 1000;
        server.set_now(Now { mono_ms, unix_us });
    };
    // It expires behind WATCH: whether it is looked at or not.
    for (from, looks) in [(100, false), (300, true)] {
        run(&mut server, b, "SET k v PX 10");
        run(&mut server, a, "WATCH k");
        wait(&mut server, from);
        if looks {
            assert_eq!(run(&mut server, b, "EXISTS k"), ":0\r\n");
        }
        assert_eq!(exec(&mut server), "*-1\r\n", "looks: {looks}");
    }
    // It had expired before: that it goes is no change, that it comes back is one.
    for (from, then, changed) in [
        (500, "PING", false),
        (700, "EXISTS k", false),
        (900, "FLUSHDB", false),
        (1100, "SET k w", true),
    ] {
        run(&mut server, b, "SET k v PX 10");
        wait(&mut server, from);
        run(&mut server, a, "WATCH k");
        run(&mut server, b, then);
        let expected = if changed {
            "*-1\r\n"
        } else {
            "*1\r\n+PONG\r\n"
        };
        assert_eq!(exec(&mut server), expected, "{then}");
    }
}

#[test]
fn swapdb_breaks_watches_on_keys_that_are_others_now() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    for (set, changed) in [(true, true), (false, false)] {
        run(&mut server, b, "FLUSHALL");
        if set {
            run(&mut server, b, "SET k v");
        }
        run(&mut server, a, "WATCH k");
        run(&mut server, b, "SWAPDB 0 1");
        run(&mut server, a, "MULTI");
        run(&mut server, a, "PING");
        let expected = if changed {
            "*-1\r\n"
        } else {
            "*1\r\n+PONG\r\n"
        };
        assert_eq!(run(&mut server, a, "EXEC"), expected);
    }
}

#[test]
fn a_pause_holds_back_nothing_that_is_refused() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    run(&mut server, b, "CLIENT PAUSE 1000 ALL");
    for (line, reply) in [
        (
            "GET",
            "-ERR wrong number of arguments for 'get' command\r\n",
        ),
        (
            "nope",
            "-ERR unknown command 'nope', with args beginning with: \r\n",
        ),
        (
            "CLIENT nope",
            "-ERR unknown subcommand 'nope'. Try CLIENT HELP.\r\n",
        ),
        ("PING", ""),
    ] {
        assert_eq!(run(&mut server, a, line), reply, "{line}");
    }
    server.set_now(Now {
        mono_ms: 2_000,
        unix_us: 1_000_002_000_000,
    });
    server.engine.tick();
    server.engine.end_turn();
    assert_eq!(taken(&mut server.engine, a), "+PONG\r\n");
    let subscriber = server.engine.accept(peer()).expect("a place");
    let subscribed = run(&mut server, subscriber, "SUBSCRIBE ch");
    assert!(subscribed.ends_with(":1\r\n"), "{subscribed}");
    run(&mut server, b, "CLIENT PAUSE 1000 WRITE");
    let refused = run(&mut server, subscriber, "SET k v");
    assert!(refused.starts_with("-ERR Can't execute 'set'"), "{refused}");
    // What is put into a queue waits as if it ran now.
    assert_eq!(run(&mut server, a, "MULTI"), "+OK\r\n");
    assert_eq!(run(&mut server, a, "GET k"), "+QUEUED\r\n");
    assert_eq!(run(&mut server, a, "SET k v"), "");
    run(&mut server, b, "CLIENT UNPAUSE");
    server.engine.end_turn();
    assert_eq!(taken(&mut server.engine, a), "+QUEUED\r\n");
}

#[test]
fn a_broken_transaction_keeps_nothing() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    for line in ["MULTI", "GET k", "nope", "GET k"] {
        run(&mut server, a, line);
    }
    assert_eq!(run(&mut server, a, "GET k"), "+QUEUED\r\n");
    let listed = run(&mut server, b, "CLIENT LIST FLAGS x");
    assert!(listed.contains(" multi=1 "), "{listed}");
    assert!(run(&mut server, a, "EXEC").starts_with("-EXECABORT"));
}

#[test]
fn monitors_that_want_no_reply_or_said_quit_are_shown_nothing() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    run(&mut server, a, "MONITOR");
    run(&mut server, b, "PING");
    assert!(taken(&mut server.engine, a).contains("\"PING\""));
    run(&mut server, a, "CLIENT REPLY OFF");
    run(&mut server, b, "PING");
    assert_eq!(taken(&mut server.engine, a), "");
    let shown = run(&mut server, a, "CLIENT REPLY ON");
    assert!(shown.starts_with("+OK\r\n"), "{shown}");
    assert_eq!(run(&mut server, a, "QUIT"), "+OK\r\n");
}

#[test]
fn nothing_is_watched_any_more_once_a_watched_key_was_changed() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    run(&mut server, a, "WATCH k l");
    assert!(info(&mut server, "clients").contains("total_watched_keys:2\r\n"));
    run(&mut server, b, "SET k v");
    let shown = run(&mut server, a, "CLIENT INFO");
    assert!(shown.contains(" watch=0 "), "{shown}");
    assert!(info(&mut server, "clients").contains("total_watched_keys:0\r\n"));
    run(&mut server, a, "MULTI");
    assert_eq!(run(&mut server, a, "EXEC"), "*-1\r\n");
    run(&mut server, a, "WATCH k");
    run(&mut server, a, "MULTI");
    assert_eq!(run(&mut server, a, "EXEC"), "*0\r\n");
}

#[test]
fn a_client_is_to_be_written_to_once_its_connection_did_not_take_all() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    let shown = |server: &mut Server| {
        let line = run(server, b, "CLIENT LIST FLAGS N NOT-NAME b");
        let own = line.lines().find(|line| line.contains("cmd=ping"));
        own.unwrap_or_default().to_owned()
    };
    server.engine.receive(a, b"PING\r\n");
    assert!(shown(&mut server).contains(" events=r "));
    server.engine.output_stuck(a);
    assert!(shown(&mut server).contains(" events=rw "));
    taken(&mut server.engine, a);
    server.engine.output_done(a);
    assert!(shown(&mut server).contains(" events=r "));
}

#[test]
fn who_is_held_back_counts_as_blocked() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    run(&mut server, b, "CLIENT PAUSE 1000 WRITE");
    assert_eq!(run(&mut server, a, "PFCOUNT k"), "");
    let clients = info(&mut server, "clients");
    assert!(clients.contains("\r\nblocked_clients:1\r\n"), "{clients}");
    let listed = run(&mut server, b, "CLIENT LIST FLAGS b");
    assert_eq!(
        listed
            .lines()
            .filter(|line| line.contains("flags=b"))
            .count(),
        1
    );
    run(&mut server, b, "CLIENT UNPAUSE");
    server.engine.end_turn();
    assert_eq!(taken(&mut server.engine, a), ":0\r\n");
}

#[test]
fn unserved_requests_are_calls_and_their_errors_errors() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    assert_eq!(run(&mut server, a, "BLPOP list 1"), "");
    let clients = info(&mut server, "clients");
    for line in [
        "clients_in_timeout_table:1",
        "total_blocking_keys:1",
        "total_blocking_keys_on_nokey:0",
    ] {
        assert!(clients.contains(line), "{clients}");
    }
    let serial = a.serial();
    run(&mut server, b, &format!("CLIENT UNBLOCK {serial} ERROR"));
    let stats = info(&mut server, "commandstats");
    assert!(stats.contains("cmdstat_blpop:calls=1,"), "{stats}");
    assert!(stats.contains("rejected_calls=1,failed_calls=0"), "{stats}");
    let errors = info(&mut server, "errorstats");
    assert!(errors.contains("errorstat_UNBLOCKED:count=1"), "{errors}");
}

#[test]
fn codes_that_scripts_make_up_are_counted_together_beyond_128() {
    let mut server = Server::new();
    let a = server.a;
    for number in 0..130 {
        let script = format!("return redis.error_reply('CODE{number} x')");
        let answer = server.eval(&[&script, "0"]);
        assert_eq!(answer, format!("-CODE{number} x\r\n"));
    }
    server.eval(&["return redis.error_reply('CODE1 x')", "0"]);
    run(&mut server, a, "GET");
    let errors = info(&mut server, "errorstats");
    for line in [
        "errorstat_CODE1:count=2\r\n",
        "errorstat_ERRORSTATS_OVERFLOW:count=2\r\n",
        "errorstat_ERR:count=1\r\n",
    ] {
        assert!(errors.contains(line), "{line} in {errors}");
    }
    server.eval(&["return redis.call('INCR', 'k', 'x')", "0"]);
    let stats = info(&mut server, "commandstats");
    assert!(stats.contains("cmdstat_eval:calls=132,"), "{stats}");
}

#[test]
fn a_command_log_has_what_scripts_run_and_no_waiting_request() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    run(&mut server, b, "CONFIG SET slowlog-log-slower-than 0");
    run(&mut server, b, "SLOWLOG RESET");
    server.eval(&["redis.call('echo', 'x')", "0"]);
    let log = run(&mut server, b, "SLOWLOG GET 2");
    assert!(
        log.contains("$4\r\necho\r\n") && log.contains("EVAL"),
        "{log}"
    );
    run(&mut server, b, "SLOWLOG RESET");
    assert_eq!(run(&mut server, a, "BLPOP list 0"), "");
    let log = run(&mut server, b, "SLOWLOG GET");
    assert!(!log.contains("BLPOP"), "{log}");
    run(&mut server, b, "RPUSH list x");
    let log = run(&mut server, b, "SLOWLOG GET");
    assert_eq!(log.matches("BLPOP").count(), 1, "{log}");
}

#[test]
fn looking_is_no_use_of_a_key() {
    let mut server = Server::new();
    let a = server.a;
    run(&mut server, a, "SET k v");
    server.set_now(Now {
        mono_ms: 5001,
        unix_us: 1_000_005_000_000,
    });
    for line in ["TTL k", "TYPE k", "EXISTS k", "CLIENT NO-TOUCH ON", "GET k"] {
        run(&mut server, a, line);
        assert_eq!(run(&mut server, a, "OBJECT IDLETIME k"), ":5\r\n", "{line}");
    }
    run(&mut server, a, "TOUCH k");
    assert_eq!(run(&mut server, a, "OBJECT IDLETIME k"), ":0\r\n");
}

#[test]
fn replies_over_the_hard_limit_are_not_sent() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    server.run(
        b,
        &[
            "CONFIG",
            "SET",
            "client-output-buffer-limit",
            "normal 10 0 0",
        ],
    );
    run(&mut server, b, "SETRANGE small 10000 x");
    run(&mut server, b, "SETRANGE large 20000 x");
    assert_eq!(
        run(&mut server, a, "GET small").len(),
        10_011,
        "what a first buffer holds"
    );
    server.engine.receive(a, b"GET large\r\n");
    assert!(server.engine.output(a).is_none_or(|out| out.is_empty()));
    let stats = info(&mut server, "stats");
    assert!(
        stats.contains("client_output_buffer_limit_disconnections:1\r\n"),
        "{stats}"
    );
}

#[test]
fn monitors_see_a_command_once_it_has_run() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    run(&mut server, a, "MONITOR");
    assert_eq!(run(&mut server, a, "RESET"), "+RESET\r\n");
    let c = server
        .engine
        .accept(Peer { fd: 9, ..peer() })
        .expect("room");
    run(&mut server, c, "MONITOR");
    run(&mut server, b, "BLPOP list 0");
    assert_eq!(taken(&mut server.engine, c).matches("BLPOP").count(), 1);
    run(&mut server, a, "RPUSH list x");
    assert!(!taken(&mut server.engine, c).contains("BLPOP"), "not again");
}

#[test]
fn hello_tells_the_zone_and_checks_names_first() {
    let mut server = Server::new();
    let a = server.a;
    run(&mut server, a, "CONFIG SET availability-zone here");
    let hello = run(&mut server, a, "HELLO 3");
    assert!(
        hello.starts_with("%8\r\n")
            && hello.ends_with("$17\r\navailability_zone\r\n$4\r\nhere\r\n"),
        "{hello}"
    );
    assert_eq!(
        server.run(a, &["HELLO", "2", "AUTH", "nobody", "x", "SETNAME", "a b"]),
        "-ERR Client names cannot contain spaces, newlines or special characters.\r\n"
    );
    assert_eq!(
        run(&mut server, a, "SELECT x"),
        "-ERR value is not an integer or out of range\r\n"
    );
    assert_eq!(
        run(&mut server, a, "SELECT 99"),
        "-ERR DB index is out of range\r\n"
    );
}

#[test]
fn a_signal_waits_while_nothing_periodic_is_done() {
    let mut server = Server::new();
    let a = server.a;
    run(&mut server, a, "DEBUG PAUSE-CRON 1");
    assert!(server.engine.terminate(false));
    assert!(!server.engine.is_ending());
    assert_eq!(run(&mut server, a, "SHUTDOWN ABORT"), "+OK\r\n");
    run(&mut server, a, "DEBUG PAUSE-CRON 0");
    server.engine.tick();
    assert!(!server.engine.is_ending());
}

#[test]
fn messages_to_oneself_come_behind_the_reply() {
    let mut server = Server::new();
    let a = server.a;
    for line in [
        "HELLO 3",
        "SUBSCRIBE ch",
        "MULTI",
        "PUBLISH ch one",
        "ECHO x",
    ] {
        run(&mut server, a, line);
    }
    let message = |text: &str| {
        let length = text.len();
        format!(">3\r\n$7\r\nmessage\r\n$2\r\nch\r\n${length}\r\n{text}\r\n")
    };
    let expected = format!("*2\r\n:1\r\n$1\r\nx\r\n{}", message("one"));
    assert_eq!(run(&mut server, a, "EXEC"), expected);
    let expected = format!(":1\r\n{}", message("two"));
    assert_eq!(run(&mut server, a, "PUBLISH ch two"), expected);
    let script = "redis.call('publish', 'ch', 'three') return 'done'";
    let expected = format!("$4\r\ndone\r\n{}", message("three"));
    assert_eq!(server.eval(&[script, "0"]), expected);
}

#[test]
fn each_key_that_was_read_has_its_message_and_each_prefix_one() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    for line in ["HELLO 3", "CLIENT TRACKING ON BCAST PREFIX a: PREFIX b:"] {
        run(&mut server, a, line);
    }
    for line in [
        "MULTI", "INCR b:1", "INCR a:2", "INCR a:1", "INCR c:1", "EXEC",
    ] {
        run(&mut server, b, line);
    }
    let head = ">2\r\n$10\r\ninvalidate\r\n";
    assert_eq!(
        taken(&mut server.engine, a),
        format!("{head}*2\r\n$3\r\na:1\r\n$3\r\na:2\r\n{head}*1\r\n$3\r\nb:1\r\n")
    );
    for line in ["CLIENT TRACKING OFF", "CLIENT TRACKING ON", "MGET x y"] {
        run(&mut server, a, line);
    }
    run(&mut server, b, "MSET x 1 y 2");
    assert_eq!(
        taken(&mut server.engine, a),
        format!("{head}*1\r\n$1\r\nx\r\n{head}*1\r\n$1\r\ny\r\n")
    );
}

#[test]
fn prefixes_of_one_client_do_not_overlap() {
    let mut server = Server::new();
    let a = server.a;
    let refused = |prefix: &str, with: &str, other: &str| {
        format!(
            "-ERR Prefix '{prefix}' overlaps with {with} prefix '{other}'. Prefixes for a single client must not overlap.\r\n"
        )
    };
    let on = "CLIENT TRACKING ON BCAST PREFIX";
    assert_eq!(
        run(
            &mut server,
            a,
            &format!("{on} x PREFIX ab PREFIX c PREFIX a")
        ),
        refused("ab", "another provided", "a")
    );
    assert_eq!(run(&mut server, a, &format!("{on} ab PREFIX c")), "+OK\r\n");
    for (prefix, other) in [("a", "ab"), ("abc", "ab"), ("c", "c")] {
        let refused = refused(prefix, "an existing", other);
        assert_eq!(run(&mut server, a, &format!("{on} {prefix}")), refused);
    }
    assert_eq!(run(&mut server, a, &format!("{on} b")), "+OK\r\n");
}

#[test]
fn debug_hands_out_sums_of_values_and_writes_all_parameters() {
    let mut server = Server::new();
    let a = server.a;
    run(&mut server, a, "SET k v");
    run(&mut server, a, "SET same v");
    let sums = run(&mut server, a, "DEBUG DIGEST-VALUE k same gone");
    let sums: Vec<&str> = sums.lines().collect();
    assert_eq!((sums[0], sums[1]), ("*3", sums[2]));
    assert_eq!(sums[3], format!("+{}", "0".repeat(40)));
    // As Valkey 9.1 has it: a score is written as short as it can be.
    run(&mut server, a, "ZADD z 1e17 b");
    let sum = run(&mut server, a, "DEBUG DIGEST-VALUE z");
    assert_eq!(sum, "*1\r\n+f4c2a1df07294529fb07b572c87dca5ac025fbdf\r\n");
    server
        .talk
        .files
        .borrow_mut()
        .insert(b"conf".to_vec(), b"port 1\n".to_vec());
    assert_eq!(
        run(&mut server, a, "DEBUG CONFIG-REWRITE-FORCE-ALL"),
        "+OK\r\n"
    );
    let text = server.talk.files.borrow()[&b"conf"[..]].clone();
    assert!(String::from_utf8_lossy(&text).contains("\nmaxmemory-samples 5\n"));
}

#[test]
fn many_keys_are_watched_once_each() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    let keys: Vec<String> = (0..50_000).map(|number| format!("k{number}")).collect();
    let mut words = vec!["WATCH"];
    words.extend(keys.iter().map(String::as_str));
    // Each key looked for among all others, this would take minutes.
    for _ in 0..2 {
        assert_eq!(server.run(a, &words), "+OK\r\n");
    }
    run(&mut server, b, "SWAPDB 0 1");
    let shown = run(&mut server, a, "CLIENT INFO");
    assert!(shown.contains(" watch=50000 "), "{shown}");
    run(&mut server, a, "UNWATCH");
    assert!(info(&mut server, "clients").contains("total_watched_keys:0\r\n"));
}

#[test]
fn a_transaction_is_queued_while_memory_is_full() {
    let mut server = Server::new();
    let a = server.a;
    for (line, expected) in [
        ("CONFIG SET maxmemory 1", "+OK\r\n"),
        ("MULTI", "+OK\r\n"),
        ("GET k", "+QUEUED\r\n"),
        ("DEL k", "+QUEUED\r\n"),
        ("EXEC", "*2\r\n$-1\r\n:0\r\n"),
        ("MULTI", "+OK\r\n"),
        (
            "SET k v",
            "-OOM command not allowed when used memory > 'maxmemory'.\r\n",
        ),
        (
            "EXEC",
            "-EXECABORT Transaction discarded because of previous errors.\r\n",
        ),
    ] {
        assert_eq!(run(&mut server, a, line), expected, "{line}");
    }
}
