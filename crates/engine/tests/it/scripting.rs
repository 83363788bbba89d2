//! Scripts: replies, what others notice, and who is served while a script runs on.

use conf::ServerConfig;
use engine::Action;

use crate::harness::{Server, taken};

const BUSY: &str =
    "-BUSY Valkey is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n";

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
    let unknown = "-NOSCRIPT No matching script.\r\n";
    assert_eq!(server.run(a, &["EVALSHA", sha1, "0"]), unknown);
    for count in ["0", "9", "none"] {
        assert_eq!(server.run(a, &["EVALSHA", "short", count]), unknown);
    }
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
            "ERR Unknown command called from script",
        ),
        (
            "return redis.pcall('get')",
            "ERR Wrong number of args calling command from script",
        ),
        (
            "return redis.pcall('multi')",
            "ERR This Valkey command is not allowed from script",
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
    let killed = "ERR Script killed by user with SCRIPT KILL.";
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
fn time_stands_still_while_a_script_runs() {
    let mut server = Server::new();
    let script = "redis.call('psetex','x',1,'v'); local a = redis.call('time'); local b = redis.call('time'); \
                  return {a[2] == b[2], redis.call('pttl','x')}";
    assert_eq!(server.eval(&[script, "0"]), "*2\r\n:1\r\n:1\r\n");
}

#[test]
fn scripts_are_refused_by_what_they_declare() {
    let mut server = Server::new();
    let a = server.a;
    let read_only = "ERR Write commands are not allowed from read-only scripts.";
    let write = "return redis.call('set','x','1')";
    for (command, script) in [
        ("EVAL", format!("#!lua flags=no-writes\n{write}")),
        ("EVAL_RO", write.to_owned()),
        ("EVAL_RO", format!("#!lua flags=no-writes\n{write}")),
    ] {
        let reply = server.run(a, &[command, &script, "0"]);
        assert!(reply.contains(read_only), "{script}: {reply}");
    }
    // What is replicated without being a write to keys.
    for words in ["'publish','c','m'", "'cluster','setslot','1','stable'"] {
        let reply = server.run(a, &["EVAL_RO", &format!("return redis.call({words})"), "0"]);
        assert!(reply.contains(read_only), "{words}: {reply}");
    }
    let undeclared = server.run(a, &["EVAL_RO", &format!("#!lua\n{write}"), "0"]);
    assert_eq!(
        undeclared,
        "-ERR Can not execute a script with write flag using *_ro command.\r\n"
    );
    assert_eq!(server.run(a, &["EVAL_RO", "return 1", "0"]), ":1\r\n");
    // One byte of memory.
    server.run(a, &["CONFIG", "SET", "maxmemory", "1"]);
    let oom = "OOM command not allowed when used memory > 'maxmemory'.";
    for script in [write.to_owned(), "#!lua\nreturn 1".to_owned()] {
        let reply = server.run(a, &["EVAL", &script, "0"]);
        assert!(reply.contains(oom), "{script}: {reply}");
    }
    for script in [
        format!("#!lua flags=allow-oom\n{write}"),
        "#!lua flags=no-writes\nreturn redis.status_reply('OK')".to_owned(),
        "redis.call('del','x') return redis.call('set','x','1')".to_owned(),
    ] {
        assert_eq!(
            server.run(a, &["EVAL", &script, "0"]),
            "+OK\r\n",
            "{script}"
        );
    }
}

#[test]
fn environments_can_be_changed_where_that_is_permitted() {
    let mut server = Server::with(ServerConfig {
        enable_protected_configs: conf::Permission::Yes,
        ..ServerConfig::default()
    });
    let a = server.a;
    let change = "local f = function() return x end setfenv(f, {x = 'y'}) return {f(), #getfenv()}";
    let unknown = "Script attempted to access nonexistent global variable 'setfenv'";
    assert!(server.eval(&[change, "0"]).contains(unknown));
    for (setting, permitted) in [("yes", true), ("no", false)] {
        let set = ["CONFIG", "SET", "lua-enable-insecure-api", setting];
        assert_eq!(server.run(a, &set), "+OK\r\n");
        let reply = server.eval(&[change, "0"]);
        assert_eq!(reply == "*2\r\n$1\r\ny\r\n:0\r\n", permitted, "{reply}");
        assert_eq!(reply.contains(unknown), !permitted, "{reply}");
    }
}

#[test]
fn min_replicas_to_write_holds_in_scripts() {
    let mut server = Server::new();
    let a = server.a;
    server.run(a, &["CONFIG", "SET", "min-slaves-to-write", "1"]);
    let lacking = "NOREPLICAS";
    let reply = server.run(a, &["EVAL", "return redis.call('set','x','1')", "0"]);
    assert!(reply.contains(lacking), "{reply}");
    let reply = server.run(a, &["EVAL", "return redis.call('get','x')", "0"]);
    assert_eq!(reply, "$-1\r\n");
    let reply = server.run(a, &["EVAL", "#!lua\nreturn redis.call('get','x')", "0"]);
    assert!(reply.contains(lacking), "{reply}");
    let reply = server.run(
        a,
        &[
            "EVAL",
            "#!lua flags=no-writes\nreturn redis.call('get','x')",
            "0",
        ],
    );
    assert_eq!(reply, "$-1\r\n");
}

const LIBRARY: &str = "#!lua name=lib
server.register_function('f', function(keys, args) return {keys[1], args[1]} end)
server.register_function{function_name='g', callback=function() return redis.call('set', 'x', 1) end, flags={'no-writes'}}
server.register_function('spin', function() while true do end end)";

#[test]
#[expect(clippy::too_many_lines, reason = "a table of scripts")]
fn functions_are_loaded_listed_called_and_removed() {
    let mut server = Server::new();
    let a = server.a;
    assert_eq!(
        server.run(a, &["FUNCTION", "LOAD", LIBRARY]),
        "$3\r\nlib\r\n"
    );
    assert_eq!(
        server.run(a, &["FUNCTION", "LOAD", LIBRARY]),
        "-ERR Library 'lib' already exists\r\n"
    );
    assert_eq!(
        server.run(a, &["FUNCTION", "LOAD", "REPLACE", LIBRARY]),
        "$3\r\nlib\r\n"
    );
    assert_eq!(
        server.run(a, &["FCALL", "F", "1", "k", "v"]),
        "*2\r\n$1\r\nk\r\n$1\r\nv\r\n"
    );
    assert_eq!(
        server.run(a, &["FCALL_RO", "f", "0"]),
        "-ERR Can not execute a script with write flag using *_ro command.\r\n"
    );
    let reply = server.run(a, &["FCALL_RO", "g", "0"]);
    assert!(
        reply.contains("not allowed from read-only scripts"),
        "{reply}"
    );
    let cases: [(&[&str], &str); 9] = [
        (&["FCALL", "nosuch", "0"], "-ERR Function not found\r\n"),
        (&["FCALL", "f", "x"], "-ERR Bad number of keys provided\r\n"),
        (
            &["FCALL", "f", "1"],
            "-ERR Number of keys can't be greater than number of args\r\n",
        ),
        (
            &["FCALL", "f", "-1"],
            "-ERR Number of keys can't be negative\r\n",
        ),
        (
            &["FUNCTION", "LOAD", "x", "y"],
            "-ERR Unknown option given: x\r\n",
        ),
        (
            &["FUNCTION", "DELETE", "nosuch"],
            "-ERR Library not found\r\n",
        ),
        (
            &["FUNCTION", "KILL"],
            "-NOTBUSY No scripts in execution right now.\r\n",
        ),
        (
            &["FUNCTION", "FLUSH", "x"],
            "-ERR FUNCTION FLUSH only supports SYNC|ASYNC option\r\n",
        ),
        (&["FUNCTION", "LIST", "x"], "-ERR Unknown argument x\r\n"),
    ];
    for (words, reply) in cases {
        assert_eq!(server.run(a, words), reply, "{words:?}");
    }
    let listed = server.run(a, &["FUNCTION", "LIST", "LIBRARYNAME", "L*", "WITHCODE"]);
    assert!(listed.starts_with(
        "*1\r\n*8\r\n$12\r\nlibrary_name\r\n$3\r\nlib\r\n$6\r\nengine\r\n$3\r\nLUA\r\n"
    ));
    assert!(listed.contains("*1\r\n+no-writes\r\n") && listed.contains(LIBRARY));
    assert_eq!(
        server.run(a, &["FUNCTION", "LIST", "LIBRARYNAME", "x*"]),
        "*0\r\n"
    );
    let stats = server.run(a, &["FUNCTION", "STATS"]);
    assert!(stats.ends_with("$15\r\nlibraries_count\r\n:1\r\n$15\r\nfunctions_count\r\n:3\r\n"));
    let payload = server.run_bytes(a, &[b"FUNCTION", b"DUMP"]);
    let start = payload.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let payload = payload[start..payload.len() - 2].to_vec();
    assert_eq!(server.run(a, &["FUNCTION", "DELETE", "lib"]), "+OK\r\n");
    let restore = [&b"FUNCTION"[..], b"RESTORE", &payload];
    assert_eq!(server.run_bytes(a, &restore), b"+OK\r\n");
    assert_eq!(
        server.run_bytes(a, &restore),
        b"-ERR Library lib already exists\r\n"
    );
    assert_eq!(
        server.run(a, &["FUNCTION", "RESTORE", "x"]),
        "-ERR DUMP payload version or checksum are wrong\r\n"
    );
    assert_eq!(server.run(a, &["FUNCTION", "FLUSH", "ASYNC"]), "+OK\r\n");
    assert_eq!(server.run(a, &["FUNCTION", "LIST"]), "*0\r\n");
}

#[test]
fn a_function_that_does_not_end_is_ended_by_its_own_command() {
    let mut server = Server::new();
    let (a, b) = (server.a, Some(server.b));
    server.run(a, &["FUNCTION", "LOAD", LIBRARY]);
    server.will_say(b, "PING\r\n");
    server.will_say(b, "SCRIPT KILL\r\n");
    server.will_say(b, "FUNCTION STATS\r\n");
    server.will_say(b, "FUNCTION KILL\r\n");
    let reply = server.run(a, &["FCALL", "spin", "1", "k"]);
    assert!(
        reply.starts_with(
            "-ERR Script killed by user with FUNCTION KILL. script: on @user_function:"
        ),
        "{reply}"
    );
    let answers = server.talk.answers.take();
    let busy = BUSY.replace("SCRIPT KILL", "FUNCTION KILL");
    assert_eq!(answers[..2], [busy.clone(), busy]);
    let running = "*6\r\n$4\r\nname\r\n$4\r\nspin\r\n$7\r\ncommand\r\n*4\r\n$5\r\nFCALL\r\n$4\r\nspin\r\n$1\r\n1\r\n$1\r\nk\r\n";
    assert!(answers[2].contains(running), "{}", answers[2]);
    assert_eq!(answers[3], "+OK\r\n");
    server.will_say(b, "FUNCTION KILL\r\n");
    server.will_say(b, "FUNCTION STATS\r\n");
    server.will_say(b, "SCRIPT KILL\r\n");
    server.eval(&["while true do end", "0"]);
    assert_eq!(server.talk.answers.take(), [BUSY, BUSY, "+OK\r\n"]);
}

#[test]
fn a_library_has_half_a_second_to_load() {
    let mut server = Server::new();
    let a = server.a;
    let reply = server.run(a, &["FUNCTION", "LOAD", "#!lua name=x\nwhile true do end"]);
    assert_eq!(
        reply,
        "-ERR Error registering functions: ERR FUNCTION LOAD timeout\r\n"
    );
}

#[test]
fn replies_of_scripts_have_the_protocol_of_their_client() {
    let mut server = Server::new();
    let a = server.a;
    let script = "redis.setresp(3) return {{set={a=true}}, {double=1.5}, true}";
    assert_eq!(
        server.run(a, &["EVAL", script, "0"]),
        "*3\r\n*1\r\n$1\r\na\r\n$3\r\n1.5\r\n:1\r\n"
    );
    server.run(a, &["HELLO", "3"]);
    assert_eq!(
        server.run(a, &["EVAL", script, "0"]),
        "*3\r\n~1\r\n$1\r\na\r\n,1.5\r\n#t\r\n"
    );
}

#[test]
fn libraries_are_dumped_without_the_data() {
    let mut server = Server::new();
    let a = server.a;
    let library = "#!lua name=kept\nserver.register_function('f', function() return 1 end)";
    server.run(a, &["FUNCTION", "LOAD", library]);
    server.run(a, &["SET", "secret", "value"]);
    let refused = server.run(a, &["REPLCONF", "rdb-filter-only", "data"]);
    assert_eq!(refused, "-ERR Unsupported rdb-filter-only option: data\r\n");
    server.run(a, &["REPLCONF", "rdb-filter-only", "functions"]);
    let text = server.run(a, &["SYNC"]);
    assert!(text.starts_with('$') && text.contains("REDIS"), "{text}");
    assert!(text.contains("register_function") && !text.contains("secret"));
    // Who stays hears what follows.
    let b = server.b;
    server.run(b, &["SET", "later", "v"]);
    let stream = String::from_utf8_lossy(server.engine.stream(a));
    assert!(
        stream.contains("SELECT") && stream.contains("later"),
        "{stream}"
    );
}

#[test]
fn sort_without_an_order_gives_scripts_the_same_one_everywhere() {
    let mut server = Server::new();
    let a = server.a;
    server.run(a, &["SADD", "s", "c", "a", "bb", "b"]);
    let script = "return redis.call('sort',KEYS[1],'by','_')";
    let sorted = "*4\r\n$1\r\na\r\n$1\r\nb\r\n$2\r\nbb\r\n$1\r\nc\r\n";
    assert_eq!(server.run(a, &["EVAL", script, "1", "s"]), sorted);
    let own = "*4\r\n$1\r\nc\r\n$1\r\na\r\n$2\r\nbb\r\n$1\r\nb\r\n";
    assert_eq!(server.run(a, &["SORT", "s", "BY", "_"]), own);
}

#[test]
fn the_debugger_is_not_asked_for_in_a_pipeline() {
    let mut server = Server::new();
    let a = server.a;
    let run = |server: &mut Server, line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        server.run(a, &words)
    };
    assert_eq!(run(&mut server, "SCRIPT DEBUG NO lua"), "+OK\r\n");
    assert_eq!(
        run(&mut server, "SCRIPT DEBUG NO lua x"),
        "-ERR unknown subcommand or wrong number of arguments for 'DEBUG'. Try SCRIPT HELP.\r\n"
    );
    run(&mut server, "MULTI");
    run(&mut server, "SCRIPT DEBUG NO");
    assert_eq!(
        run(&mut server, "EXEC"),
        "*1\r\n-ERR SCRIPT DEBUG must be called outside a pipeline\r\n"
    );
}
