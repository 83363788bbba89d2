//! What the server tells of its work: INFO, the command logs, MONITOR, LATENCY, MEMORY; and that it keeps secrets.

use engine::ChildEnd;

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
    let all = "Server TLS Clients Memory Persistence Stats Replication CPU Commandstats Errorstats Latencystats Cluster Keyspace";
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
}
