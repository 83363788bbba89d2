//! Scripts: replies, what others notice, and who is served while a script runs on.

use engine::Action;

use crate::harness::{Server, taken};

const BUSY: &str =
    "-BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n";

#[test]
fn counts_of_keys_are_checked() {
    let mut server = Server::new();
    let too_many = "-ERR Number of keys can't be greater than number of args\r\n";
    assert_eq!(server.eval(&["return 1", "1"]), too_many);
    let negative = "-ERR Number of keys can't be negative\r\n";
    assert_eq!(server.eval(&["return 1", "-12"]), negative);
    let no_number = "-ERR value is not an integer or out of range\r\n";
    assert_eq!(server.eval(&["return 1", "x"]), no_number);
    let both = server.eval(&["return KEYS[1]..ARGV[1]", "1", "a", "b"]);
    assert_eq!(both, "$2\r\nab\r\n");
}

#[test]
fn scripts_are_loaded_found_and_forgotten() {
    let mut server = Server::new();
    let a = server.a;
    let sha1 = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
    let unknown = "-NOSCRIPT No matching script. Please use EVAL.\r\n";
    assert_eq!(server.run(a, &["EVALSHA", sha1, "0"]), unknown);
    assert_eq!(server.run(a, &["EVALSHA", "short", "0"]), unknown);
    let loaded = server.run(a, &["SCRIPT", "LOAD", "return 1"]);
    assert_eq!(loaded, format!("$40\r\n{sha1}\r\n"));
    let exist = server.run(a, &["SCRIPT", "EXISTS", sha1, "x"]);
    assert_eq!(exist, "*2\r\n:1\r\n:0\r\n");
    let upper = sha1.to_uppercase();
    assert_eq!(server.run(a, &["EVALSHA", &upper, "0"]), ":1\r\n");
    assert_eq!(server.run(a, &["SCRIPT", "FLUSH"]), "+OK\r\n");
    assert_eq!(server.run(a, &["EVALSHA", sha1, "0"]), unknown);
    let wrong = "-ERR wrong number of arguments for 'script|load' command\r\n";
    assert_eq!(server.run(a, &["SCRIPT", "LOAD"]), wrong);
    let not_busy = "-NOTBUSY No scripts in execution right now.\r\n";
    assert_eq!(server.run(a, &["SCRIPT", "KILL"]), not_busy);
}

#[test]
fn commands_of_scripts_pass_gates_of_their_own() {
    let mut server = Server::new();
    for (script, text) in [
        (
            "return redis.pcall('nosuch')",
            "Unknown Redis command called from Lua script",
        ),
        (
            "return redis.pcall('get')",
            "Wrong number of args calling Redis command From Lua script",
        ),
        (
            "return redis.pcall('multi')",
            "This Redis command is not allowed from scripts",
        ),
    ] {
        let reply = server.eval(&[script, "0"]);
        assert!(
            reply.starts_with('-') && reply.contains(text),
            "{script}: {reply}"
        );
    }
    let exists = server.eval(&["return redis.call('exists','x')", "0"]);
    assert_eq!(exists, ":0\r\n");
}

#[test]
fn a_script_selects_for_itself_only() {
    let mut server = Server::new();
    let a = server.a;
    server.run(a, &["SELECT", "3"]);
    let script =
        "redis.call('set','x','1'); redis.call('select',4); return redis.call('set','y','2')";
    assert_eq!(server.eval(&[script, "0"]), "+OK\r\n");
    assert_eq!(server.run(a, &["KEYS", "*"]), "*1\r\n$1\r\nx\r\n");
    server.run(a, &["SELECT", "4"]);
    assert_eq!(server.run(a, &["KEYS", "*"]), "*1\r\n$1\r\ny\r\n");
}

#[test]
fn what_a_script_changes_breaks_watches_and_wakes_the_blocked() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    server.run(b, &["WATCH", "x"]);
    server.eval(&["return redis.call('incr','x')", "0"]);
    server.run(b, &["MULTI"]);
    assert_eq!(server.run(b, &["EXEC"]), "*-1\r\n");
    assert_eq!(server.run(b, &["BLPOP", "l", "0"]), "");
    let script = "redis.call('rpush','l','1'); return redis.call('llen','l')";
    assert_eq!(server.eval(&[script, "0"]), ":1\r\n");
    let popped = taken(&mut server.engine, b);
    assert_eq!(popped, "*2\r\n$1\r\nl\r\n$1\r\n1\r\n");
    assert_eq!(server.run(a, &["EXISTS", "l"]), ":0\r\n");
}

#[test]
fn monitors_see_scripts_and_their_commands() {
    let mut server = Server::new();
    let b = server.b;
    server.run(b, &["MONITOR"]);
    server.eval(&["return redis.call('incr',KEYS[1])", "1", "x"]);
    let seen = taken(&mut server.engine, b);
    let lines: Vec<&str> = seen
        .lines()
        .filter_map(|line| Some(line.split_once("[0 ")?.1))
        .collect();
    assert_eq!(
        lines,
        [
            r#"127.0.0.1:1] "EVAL" "return redis.call('incr',KEYS[1])" "1" "x""#,
            r#"lua] "incr" "x""#
        ]
    );
}

#[test]
fn old_and_new_clients_are_told_that_a_script_runs_and_can_kill_it() {
    let mut server = Server::new();
    let (a, b) = (server.a, Some(server.b));
    server.will_say(b, "PING\r\n");
    server.will_say(None, "GET x\r\nPING\r\n");
    server.will_say(b, "*2\r\n$6\r\nSCRIPT\r\n$4\r\nKI");
    server.will_say(b, "LL\r\n");
    let reply = server.eval(&["while true do end", "0"]);
    let killed = "Script killed by user with SCRIPT KILL...";
    assert!(reply.starts_with('-') && reply.contains(killed), "{reply}");
    let answers = server.talk.answers.take();
    assert_eq!(answers, [BUSY, &BUSY.repeat(2), "", "+OK\r\n"]);
    assert_eq!(server.run(a, &["PING"]), "+PONG\r\n");
    assert_eq!(server.eval(&["return 1", "0"]), ":1\r\n");
}

#[test]
fn a_script_that_wrote_ends_with_the_server_only() {
    let mut server = Server::new();
    let b = Some(server.b);
    server.will_say(b, "SCRIPT KILL\r\n");
    server.will_say(b, "SHUTDOWN SAVE\r\n");
    server.will_say(b, "SHUTDOWN NOSAVE\r\n");
    server.eval(&["redis.call('set','x','1'); while true do end", "0"]);
    let answers = server.talk.answers.take();
    assert!(answers[0].starts_with("-UNKILLABLE Sorry the script already executed"));
    assert_eq!(answers[1..], [BUSY, ""]);
    let exits = std::iter::from_fn(|| server.engine.poll_action())
        .any(|action| matches!(action, Action::Exit { code: 0 }));
    assert!(exits);
}

#[test]
fn time_stands_still_for_keys_and_goes_on_for_the_script() {
    let mut server = Server::new();
    let script = "redis.call('psetex','x',1,'v'); local a = redis.call('time'); local b = redis.call('time'); \
                  return {a[2] ~= b[2], redis.call('pttl','x')}";
    assert_eq!(server.eval(&[script, "0"]), "*2\r\n:1\r\n:1\r\n");
}
