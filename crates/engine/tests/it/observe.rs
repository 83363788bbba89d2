//! What the server tells of its work: INFO, the command logs, MONITOR, LATENCY, MEMORY; and that it keeps secrets.

use engine::{ChildEnd, Now};

use crate::harness::{Server, taken};

fn info(server: &mut Server, words: &[&str]) -> String {
    let a = server.a;
    server.run(a, &[&["INFO"], words].concat())
}

#[test]
fn info_shows_the_sections_that_are_asked_for() {
    let mut server = Server::new();
    let titles = |text: &str| {
        let lines = text.lines().filter(|line| line.starts_with("# "));
        lines
            .map(|line| line[2..].to_owned())
            .collect::<Vec<_>>()
            .join(" ")
    };
    let default =
        "Server Clients Memory Persistence Stats Replication CPU Errorstats Cluster Keyspace";
    let all = "Server TLS Clients Memory Persistence Stats Replication CPU Commandstats Errorstats Latencystats Cluster Cluster Info Scripting Engines Keyspace";
    assert_eq!(titles(&info(&mut server, &[])), default);
    assert_eq!(titles(&info(&mut server, &["default"])), default);
    assert_eq!(titles(&info(&mut server, &["ALL"])), all);
    assert_eq!(titles(&info(&mut server, &["everything"])), all);
    assert_eq!(
        titles(&info(&mut server, &["turnstats", "cpu", "Server", "nope"])),
        "Server CPU Turnstats"
    );
    let text = info(&mut server, &["server"]);
    for line in [
        "redis_version:7.2.4",
        "server_name:tern",
        "server_mode:standalone",
        "redis_mode:standalone",
    ] {
        assert!(text.contains(&format!("\r\n{line}\r\n")), "{line}");
    }
}

/// Whether INFO has these lines.
fn assert_tells(server: &mut Server, section: &str, lines: &[&str]) {
    let text = info(server, &[section]);
    for line in lines {
        assert!(
            text.contains(&format!("\r\n{line}\r\n")),
            "{line} in {text}"
        );
    }
}

#[test]
fn a_child_that_saves_tells_how_far_it_is() {
    let mut server = Server::new();
    let a = server.a;
    let nothing = [
        "current_cow_peak:0",
        "current_cow_size:0",
        "current_cow_size_age:0",
        "current_fork_perc:0.00",
        "current_save_keys_processed:0",
        "current_save_keys_total:0",
    ];
    server.run(a, &["MSET", "a", "1", "b", "2", "c", "3", "d", "4"]);
    assert_tells(&mut server, "persistence", &nothing);
    server.talk.child.set(Some(ChildEnd::Done));
    server.run(a, &["BGSAVE"]);
    let half = [
        "current_cow_peak:8192",
        "current_cow_size:4096",
        "current_cow_size_age:3",
        "current_fork_perc:50.00",
        "current_save_keys_processed:2",
        "current_save_keys_total:4",
    ];
    assert_tells(&mut server, "persistence", &half);
    server.engine.tick();
    assert_tells(&mut server, "persistence", &nothing);
    assert_tells(&mut server, "stats", &["total_forks:1"]);
}

#[test]
fn a_wait_that_ends_in_vain_is_noted_and_counted() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    server.run(b, &["CONFIG", "SET", "slowlog-log-slower-than", "0"]);
    server.run(b, &["CONFIG", "SET", "commandlog-reply-larger-than", "0"]);
    assert_eq!(server.run(a, &["BLPOP", "none", "0"]), "");
    server.run(b, &["SLOWLOG", "RESET"]);
    let id = server.run(b, &["CLIENT", "LIST", "FLAGS", "b"]);
    let id = id
        .split("id=")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    server.run(b, &["CLIENT", "UNBLOCK", id.expect("a client")]);
    assert_eq!(taken(&mut server.engine, a), "*-1\r\n");
    for kind in ["slow", "large-reply"] {
        let log = server.run(b, &["COMMANDLOG", "GET", "-1", kind]);
        let noted = "*3\r\n$5\r\nBLPOP\r\n$4\r\nnone\r\n$1\r\n0\r\n";
        assert!(log.contains(noted), "{kind}: {log}");
    }
    let text = info(&mut server, &["commandstats"]);
    assert!(text.contains("cmdstat_blpop:calls=1,"), "{text}");
    // A try takes two looks at the made-up clock.
    let text = info(&mut server, &["latencystats"]);
    assert!(
        text.contains("latency_percentiles_usec_blpop:p50="),
        "{text}"
    );
}

#[test]
fn what_is_refused_late_or_in_a_script_is_counted() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    server.run(b, &["CONFIG", "RESETSTAT"]);
    assert_eq!(server.run(a, &["WAIT", "1", "0"]), "");
    let id = server.run(b, &["CLIENT", "LIST", "FLAGS", "b"]);
    let id = id
        .split("id=")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    let unblock = ["CLIENT", "UNBLOCK", id.expect("a client"), "ERROR"];
    assert_eq!(server.run(b, &unblock), ":1\r\n");
    assert_eq!(
        taken(&mut server.engine, a),
        "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n"
    );
    server.engine.end_turn();
    assert_eq!(server.run(a, &["PING"]), "+PONG\r\n");
    assert_tells(&mut server, "errorstats", &["errorstat_UNBLOCKED:count=1"]);
    server.eval(&["return redis.pcall('GET')", "0"]);
    server.run(a, &["EVAL_RO", "return redis.pcall('SET', 'k', 'v')", "0"]);
    let text = info(&mut server, &["commandstats"]);
    for (name, counts) in [
        ("wait", "rejected_calls=1,failed_calls=0"),
        ("client|unblock", "rejected_calls=0,failed_calls=1"),
        ("get", "rejected_calls=1,failed_calls=0"),
        ("set", "rejected_calls=1,failed_calls=0"),
    ] {
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("cmdstat_{name}:")));
        assert!(
            line.is_some_and(|line| line.ends_with(counts)),
            "{name}: {text}"
        );
    }
}

#[test]
fn reads_and_writes_are_counted() {
    let mut server = Server::new();
    let a = server.a;
    server.run(a, &["CONFIG", "RESETSTAT"]);
    server.run(a, &["PING"]);
    server.engine.sent(a, 7);
    // Asking is a read too.
    let lines = ["total_reads_processed:2", "total_writes_processed:1"];
    assert_tells(&mut server, "stats", &lines);
}

#[test]
fn time_above_maxmemory_is_told() {
    let mut server = Server::new();
    let a = server.a;
    server.run(a, &["CONFIG", "SET", "maxmemory", "1"]);
    server.run(a, &["SET", "k", "v"]);
    let text = info(&mut server, &["stats"]);
    assert!(
        !text.contains("total_eviction_exceeded_time:0\r\n"),
        "{text}"
    );
    assert!(
        !text.contains("current_eviction_exceeded_time:0\r\n"),
        "{text}"
    );
    server.run(a, &["CONFIG", "SET", "maxmemory", "0"]);
    server.set_now(Now {
        mono_ms: 5_000,
        unix_us: 1_000_005_000_000,
    });
    server.engine.tick();
    assert_tells(&mut server, "stats", &["current_eviction_exceeded_time:0"]);
}

#[test]
fn errors_are_counted_by_code_and_command() {
    let mut server = Server::new();
    let a = server.a;
    server.run(a, &["SET", "s", "x"]);
    server.run(a, &["LPUSH", "s", "x"]);
    server.run(a, &["GET"]);
    server.run(a, &["nosuch"]);
    server.run(a, &["CONFIG", "nosuch"]);
    let errors = info(&mut server, &["errorstats"]);
    assert!(
        errors.contains("errorstat_ERR:count=3\r\nerrorstat_WRONGTYPE:count=1\r\n"),
        "{errors}"
    );
    let commands = info(&mut server, &["commandstats"]);
    for (name, end) in [
        ("lpush", "rejected_calls=0,failed_calls=1"),
        ("get", "rejected_calls=1,failed_calls=0"),
        ("set", "rejected_calls=0,failed_calls=0"),
    ] {
        let start = format!("cmdstat_{name}:calls=");
        let line = commands.lines().find(|line| line.starts_with(&start));
        assert!(
            line.is_some_and(|line| line.ends_with(end)),
            "{name}: {commands}"
        );
    }
    server.run(a, &["CONFIG", "RESETSTAT"]);
    assert!(!info(&mut server, &["errorstats"]).contains("errorstat_"));
}

#[test]
fn saves_and_rewrites_that_were_begun_are_counted_until_a_reset() {
    let mut server = Server::new();
    let a = server.a;
    for (command, saves, rewrites) in [
        ("PING", 0, 0),
        ("SAVE", 1, 0),
        ("BGSAVE", 2, 0),
        ("BGREWRITEAOF", 2, 1),
    ] {
        server.talk.child.set(Some(ChildEnd::Done));
        server.run(a, &[command]);
        server.engine.look_after_child();
        server.engine.tick();
        let text = info(&mut server, &["persistence"]);
        for line in [
            format!("rdb_saves:{saves}\r\n"),
            format!("aof_rewrites:{rewrites}\r\n"),
        ] {
            assert!(text.contains(&line), "{command}: {text}");
        }
    }
    server.run(a, &["CONFIG", "RESETSTAT"]);
    let text = info(&mut server, &["persistence"]);
    assert!(
        text.contains("rdb_saves:0\r\n") && text.contains("aof_rewrites:0\r\n"),
        "{text}"
    );
}

#[test]
fn secrets_are_kept_out_of_the_logs_and_of_monitor() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    server.run(a, &["CONFIG", "SET", "slowlog-log-slower-than", "0"]);
    server.run(b, &["MONITOR"]);
    server.run(a, &["AUTH", "hunter2"]);
    server.run(a, &["AUTH", "me", "hunter2"]);
    server.run(a, &["HELLO", "2", "AUTH", "me", "hunter2"]);
    server.run(
        a,
        &["CONFIG", "SET", "timeout", "0", "masterauth", "hunter2"],
    );
    let seen = taken(&mut server.engine, b);
    assert!(seen.contains("\"AUTH\" \"(redacted)\"\r\n"), "{seen}");
    let log = server.run(a, &["SLOWLOG", "GET", "-1"]);
    assert!(
        log.contains("(redacted)") && log.contains("masterauth"),
        "{log}"
    );
    assert!(!(seen + &log).contains("hunter2"));
}

#[test]
fn large_requests_and_replies_are_noted() {
    let mut server = Server::new();
    let a = server.a;
    for name in ["request", "reply"] {
        let name = format!("commandlog-{name}-larger-than");
        assert_eq!(server.run(a, &["CONFIG", "SET", &name, "1000"]), "+OK\r\n");
    }
    server.run(a, &["CLIENT", "SETNAME", "me"]);
    server.run(a, &["SET", "k", &"x".repeat(1000)]);
    server.run(a, &["GET", "k"]);
    server.run(a, &["PING"]);
    for kind in ["large-request", "large-reply"] {
        assert_eq!(
            server.run(a, &["COMMANDLOG", "LEN", kind]),
            ":1\r\n",
            "{kind}"
        );
    }
    let entry = server.run(a, &["COMMANDLOG", "GET", "-1", "large-reply"]);
    assert!(
        entry.starts_with("*1\r\n*6\r\n:0\r\n:1000000\r\n:1009\r\n*2\r\n$3\r\nGET\r\n"),
        "{entry}"
    );
    assert!(
        entry.ends_with("$11\r\n127.0.0.1:1\r\n$2\r\nme\r\n"),
        "{entry}"
    );
    let request = server.run(a, &["COMMANDLOG", "GET", "1", "large-request"]);
    assert!(
        request.contains(":1029\r\n") && request.contains("... (872 more bytes)"),
        "{request}"
    );
    server.run(a, &["COMMANDLOG", "RESET", "large-reply"]);
    assert_eq!(
        server.run(a, &["COMMANDLOG", "LEN", "large-reply"]),
        ":0\r\n"
    );
    assert_eq!(
        server.run(a, &["COMMANDLOG", "GET", "1", "fast"]),
        "-ERR type should be one of the following: slow, large-request, large-reply\r\n"
    );
    assert_eq!(
        server.run(a, &["SLOWLOG", "GET", "-2"]),
        "-ERR count should be greater than or equal to -1\r\n"
    );
}

#[test]
fn a_log_that_may_hold_less_holds_less_at_once() {
    let mut server = Server::new();
    let a = server.a;
    let set = |server: &mut Server, name: &str, value: &str| {
        assert_eq!(server.run(a, &["CONFIG", "SET", name, value]), "+OK\r\n");
    };
    set(&mut server, "slowlog-log-slower-than", "0");
    for _ in 0..5 {
        server.run(a, &["PING"]);
    }
    set(&mut server, "slowlog-log-slower-than", "1000000000");
    assert_eq!(server.run(a, &["SLOWLOG", "LEN"]), ":6\r\n");
    set(&mut server, "slowlog-max-len", "2");
    assert_eq!(server.run(a, &["SLOWLOG", "LEN"]), ":2\r\n");
    set(&mut server, "slowlog-max-len", "0");
    assert_eq!(server.run(a, &["SLOWLOG", "LEN"]), ":2\r\n", "it is off");
}

#[test]
fn a_turn_is_that_of_all_clients_whose_requests_run_in_it() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    let longest = |server: &mut Server| -> u64 {
        let text = info(server, &["debug"]);
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix("eventloop_duration_max:"));
        line.unwrap().parse().unwrap()
    };
    server.engine.end_turn();
    server.run(a, &["PING"]);
    server.engine.end_turn();
    let one = longest(&mut server);
    server.engine.end_turn();
    assert!(one > 0);
    // Some run longer than one; only the last runs short.
    for _ in 0..20 {
        server.run(a, &["PING"]);
    }
    server.run(b, &["PING"]);
    server.engine.end_turn();
    let all = longest(&mut server);
    assert!(all >= 20 * one, "{all} of {one}");
}

#[test]
fn latency_and_memory_answer() {
    let mut server = Server::new();
    let a = server.a;
    server.run(a, &["CONFIG", "RESETSTAT"]);
    server.run(a, &["SET", "k", "v"]);
    let histogram = server.run(
        a,
        &["LATENCY", "HISTOGRAM", "set", "nosuch", "config|resetstat"],
    );
    assert!(
        histogram.starts_with(
            "*4\r\n$3\r\nset\r\n*4\r\n$5\r\ncalls\r\n:1\r\n$14\r\nhistogram_usec\r\n*2\r\n"
        ),
        "{histogram}"
    );
    assert_eq!(server.run(a, &["MEMORY", "USAGE", "nosuch"]), "$-1\r\n");
    let usage = server.run(a, &["MEMORY", "USAGE", "k", "SAMPLES", "0"]);
    assert!(usage.starts_with(':') && usage != ":0\r\n", "{usage}");
    assert_eq!(
        server.run(a, &["MEMORY", "USAGE", "k", "SAMPLES"]),
        "-ERR syntax error\r\n"
    );
    assert!(
        server
            .run(a, &["MEMORY", "STATS"])
            .contains("keys.count\r\n:1\r\n")
    );
    assert!(server.run(a, &["LOLWUT"]).contains("Tern ver. "));
    let syntax = "-ERR Syntax error. Use: LOLWUT [columns rows] [real imaginary]\r\n";
    let number = "-ERR value is not an integer or out of range\r\n";
    for (words, reply) in [
        (&["LOLWUT", "VERSION"][..], syntax),
        (&["LOLWUT", "VERSION", "9", "1", "2", "3"], syntax),
        (&["LOLWUT", "VERSION", "9", "1", "x"], number),
        (&["LOLWUT", "VERSION", "5", "1", "2", "x"], number),
        (&["LOLWUT", "VERSION", "x"], number),
    ] {
        assert_eq!(server.run(a, words), reply, "{words:?}");
    }
}

/// The log's sizes, newest first, each with its command.
fn sizes(server: &mut Server, kind: &str) -> Vec<(u64, String)> {
    let b = server.b;
    let text = server.run(b, &["COMMANDLOG", "GET", "-1", kind]);
    server.run(b, &["COMMANDLOG", "RESET", kind]);
    let mut entries = Vec::new();
    for entry in text.split("*6\r\n:").skip(1) {
        let mut lines = entry.split("\r\n").skip(2);
        let size = lines.next().and_then(|line| line.strip_prefix(':'));
        let words = lines.next().and_then(|line| line.strip_prefix('*'));
        let count: usize = words.and_then(|count| count.parse().ok()).unwrap();
        let words: Vec<&str> = lines.skip(1).step_by(2).take(count).collect();
        entries.push((
            size.and_then(|size| size.parse().ok()).unwrap(),
            words.join(" "),
        ));
    }
    entries.retain(|(_, command)| !command.starts_with("COMMANDLOG"));
    entries
}

#[test]
fn sizes_within_transactions_and_scripts_are_those_of_valkey() {
    let mut server = Server::new();
    let a = server.a;
    for name in ["request", "reply"] {
        let name = format!("commandlog-{name}-larger-than");
        server.run(a, &["CONFIG", "SET", &name, "0"]);
    }
    let run = |server: &mut Server, lines: &[&str]| {
        for kind in ["large-request", "large-reply"] {
            sizes(server, kind);
        }
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            server.run(a, &words);
        }
        let all = ["large-request", "large-reply"].map(|kind| sizes(server, kind));
        let [requests, replies] = all.map(|all| {
            let all = all.into_iter().rev();
            all.filter(|(_, command)| command != "MULTI")
                .collect::<Vec<_>>()
        });
        let sizes = requests.into_iter().zip(replies);
        sizes
            .map(|((request, command), (reply, same))| {
                assert_eq!(command, same);
                format!("{command} {request} {reply}")
            })
            .collect::<Vec<_>>()
    };
    // The request is EXEC, the reply what it has answered so far.
    let lines = ["MULTI", "SET k v", "GET k", "EXEC"];
    let expected = ["SET k v 14 9", "GET k 14 16"];
    assert_eq!(run(&mut server, &lines), expected);
    // What a script runs has no request, and a reply of its own.
    let lines = ["EVAL redis.call('set','k','vw')return{redis.call('get','k')} 0"];
    let eval = "EVAL redis.call('set','k','vw')return{redis.call('get','k')} 0 83 12";
    assert_eq!(
        run(&mut server, &lines),
        ["set k vw 0 5", "get k 0 8", eval]
    );
    // What a reader waited with is told as it was said.
    server.run(a, &["XADD", "x", "1-1", "f", "v"]);
    let wait = "XREAD COUNT 5 BLOCK 5 STREAMS x $";
    let waited = |server: &mut Server, ends: &dyn Fn(&mut Server)| {
        for kind in ["large-request", "large-reply"] {
            sizes(server, kind);
        }
        let words: Vec<&str> = wait.split(' ').collect();
        assert_eq!(server.run(a, &words), "");
        ends(server);
        assert_ne!(taken(&mut server.engine, a), "");
        let all = ["large-request", "large-reply"].map(|kind| sizes(server, kind));
        all.map(|all| {
            all.into_iter()
                .find(|(_, command)| command == wait)
                .map(|(size, _)| size)
        })
    };
    let ends = |server: &mut Server| {
        server.set_now(Now {
            mono_ms: 1000,
            unix_us: 1_000_001_000_000,
        });
        server.engine.tick();
    };
    assert_eq!(waited(&mut server, &ends), [Some(78), Some(5)]);
    let ends = |server: &mut Server| {
        let b = server.b;
        server.run(b, &["XADD", "x", "2-1", "f", "v"]);
        server.engine.end_turn();
    };
    assert_eq!(waited(&mut server, &ends), [Some(78), Some(50)]);
}

#[test]
fn a_wait_is_counted_with_its_reply_when_it_ends() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    server.run(b, &["CONFIG", "SET", "commandlog-reply-larger-than", "0"]);
    assert_eq!(server.run(a, &["WAIT", "1", "50"]), "");
    let text = server.run(b, &["INFO", "commandstats"]);
    assert!(!text.contains("cmdstat_wait:"), "{text}");
    server.set_now(Now {
        mono_ms: 10_000,
        unix_us: 1_000_000_010_000_000,
    });
    server.engine.tick();
    assert_eq!(taken(&mut server.engine, a), ":0\r\n");
    let text = info(&mut server, &["commandstats"]);
    assert!(text.contains("cmdstat_wait:calls=1,"), "{text}");
    let log = server.run(b, &["COMMANDLOG", "GET", "-1", "large-reply"]);
    let noted = ":4\r\n*3\r\n$4\r\nWAIT\r\n$1\r\n1\r\n$2\r\n50\r\n";
    assert!(log.contains(noted), "{log}");
}

#[test]
fn what_exec_runs_sees_its_transaction() {
    let mut server = Server::new();
    let a = server.a;
    for words in [&["MULTI"][..], &["PING"], &["CLIENT", "INFO"]] {
        server.run(a, words);
    }
    let told = server.run(a, &["EXEC"]);
    assert!(told.contains(" flags=x "), "{told}");
    assert!(told.contains(" multi=2 "), "{told}");
    let told = server.run(a, &["CLIENT", "INFO"]);
    assert!(told.contains(" flags=N "), "{told}");
    assert!(told.contains(" multi=0 "), "{told}");
}
