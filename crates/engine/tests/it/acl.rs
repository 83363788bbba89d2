//! Users: who may log in, and what each may do wherever a request can come from.

use conf::ServerConfig;

use crate::harness::{Server, peer, taken};

const OK: &str = "+OK\r\n";

/// A server with a user of these rules, as whom `b` has logged in.
fn server_with(rules: &str) -> Server {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    let words = format!("ACL SETUSER u on >p {rules}");
    let words: Vec<&str> = words.split_whitespace().collect();
    assert_eq!(server.run(a, &words), OK);
    assert_eq!(server.run(b, &["AUTH", "u", "p"]), OK);
    server
}

fn run(server: &mut Server, line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let b = server.b;
    server.run(b, &words)
}

fn admin(server: &mut Server, line: &str) -> String {
    let words: Vec<&str> = line.split(' ').collect();
    let a = server.a;
    server.run(a, &words)
}

#[test]
fn a_user_is_held_to_its_rules() {
    let mut server = server_with("+@read +set +publish ~k* &c*");
    for (line, answer) in [
        ("SET k1 v", "+OK"),
        ("GET k1", "$1"),
        ("GET x", "-NOPERM No permissions to access a key"),
        (
            "DEL k1",
            "-NOPERM User u has no permissions to run the 'del' command",
        ),
        (
            "CONFIG GET x",
            "-NOPERM User u has no permissions to run the 'config|get' command",
        ),
        ("PUBLISH d x", "-NOPERM No permissions to access a channel"),
        ("PUBLISH c1 x", ":0"),
        ("NOSUCH", "-ERR unknown command"),
        ("GET", "-ERR wrong number"),
    ] {
        let got = run(&mut server, line);
        assert!(got.starts_with(answer), "{line}: {got}");
    }
    let info = admin(&mut server, "INFO stats");
    for line in [
        "acl_access_denied_cmd:2\r\n",
        "acl_access_denied_key:1\r\n",
        "acl_access_denied_channel:1\r\n",
        "acl_access_denied_auth:0\r\n",
    ] {
        assert!(info.contains(line), "{line}: {info}");
    }
    // What changes holds at once.
    assert_eq!(admin(&mut server, "ACL SETUSER u +del"), OK);
    assert_eq!(run(&mut server, "DEL k1"), ":1\r\n");
    assert_eq!(admin(&mut server, "ACL SETUSER u resetkeys"), OK);
    assert!(run(&mut server, "GET k1").starts_with("-NOPERM"));
    assert_eq!(
        admin(&mut server, "ACL SETUSER u allkeys allcommands &*"),
        OK
    );
    assert_eq!(run(&mut server, "GET x"), "$-1\r\n");
}

#[test]
fn transactions_are_checked_when_queued_and_when_run() {
    let mut server = server_with("+multi +exec +set +get +select ~k* db=0,1");
    assert_eq!(run(&mut server, "MULTI"), OK);
    assert!(run(&mut server, "GET x").starts_with("-NOPERM"));
    assert!(run(&mut server, "EXEC").starts_with("-EXECABORT"));
    assert_eq!(run(&mut server, "MULTI"), OK);
    assert_eq!(run(&mut server, "SET k v"), "+QUEUED\r\n");
    assert_eq!(run(&mut server, "GET k"), "+QUEUED\r\n");
    assert_eq!(admin(&mut server, "ACL SETUSER u -set"), OK);
    let exec = run(&mut server, "EXEC");
    assert!(
        exec.starts_with("*2\r\n-NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call."),
        "{exec}"
    );
    assert!(
        exec.contains("no permission to execute the command or subcommand\r\n$-1\r\n"),
        "{exec}"
    );
    let log = admin(&mut server, "ACL LOG 1");
    assert!(
        log.contains("multi") && log.contains("$3\r\nset\r\n"),
        "{log}"
    );
    // Where a queued SELECT leads is known.
    assert_eq!(admin(&mut server, "ACL SETUSER u db=1"), OK);
    assert_eq!(run(&mut server, "MULTI"), OK);
    assert!(run(&mut server, "GET k").starts_with("-NOPERM No permissions to access database"));
    assert!(run(&mut server, "EXEC").starts_with("-EXECABORT"));
    assert_eq!(run(&mut server, "MULTI"), OK);
    assert_eq!(run(&mut server, "SELECT 1"), "+QUEUED\r\n");
    assert_eq!(run(&mut server, "GET k"), "+QUEUED\r\n");
    assert_eq!(run(&mut server, "EXEC"), "*2\r\n+OK\r\n$-1\r\n");
}

#[test]
fn scripts_may_do_what_their_caller_may() {
    let mut server = server_with("+eval +get ~k*");
    let (a, b) = (server.a, server.b);
    let denied = server.run(b, &["EVAL", "return redis.call('set', 'k', 'v')", "0"]);
    assert!(
        denied
            .contains("ACL failure in script: User u has no permissions to run the 'set' command"),
        "{denied}"
    );
    assert_eq!(
        server.run(b, &["EVAL", "return redis.call('get', KEYS[1])", "1", "k"]),
        "$-1\r\n"
    );
    assert!(
        server
            .run(b, &["EVAL", "return redis.call('get', 'x')", "0"])
            .contains("No permissions to access a key")
    );
    assert_eq!(
        server.run(a, &["EVAL", "return redis.call('set', 'x', 'v').ok", "0"]),
        "$2\r\nOK\r\n"
    );
    let asks = "return {redis.acl_check_cmd('get', 'k'), redis.acl_check_cmd('get', 'x')}";
    assert_eq!(server.run(b, &["EVAL", asks, "0"]), "*2\r\n:1\r\n$-1\r\n");
    // How many words there are is no matter of what is allowed.
    let asks = "return {redis.acl_check_cmd('get'), redis.acl_check_cmd('get', 'k', 'l'), redis.acl_check_cmd('eval', 'x', '9')}";
    assert_eq!(
        server.run(a, &["EVAL", asks, "0"]),
        "*3\r\n:1\r\n:1\r\n:1\r\n"
    );
    let log = server.run(a, &["ACL", "LOG"]);
    assert!(
        log.contains("$3\r\nlua\r\n") && log.contains("user=u"),
        "{log}"
    );
}

#[test]
fn a_refused_command_is_the_last_one_and_counted() {
    let mut server = server_with("+get ~l");
    let b = server.b;
    run(&mut server, "GET l");
    assert!(run(&mut server, "SET l v").starts_with("-NOPERM"));
    let log = admin(&mut server, "ACL LOG");
    assert!(log.contains(" cmd=set "), "{log}");
    let text = admin(&mut server, "INFO commandstats");
    let line = text.lines().find(|line| line.starts_with("cmdstat_set:"));
    assert!(
        line.is_some_and(|line| line.contains("rejected_calls=1,")),
        "{text}"
    );
    assert!(server.engine.output(b).is_some());
}

#[test]
fn a_client_that_waited_is_checked_again() {
    let mut server = server_with("+blpop ~l");
    let b = server.b;
    assert_eq!(run(&mut server, "BLPOP l 0"), "");
    assert_eq!(admin(&mut server, "ACL SETUSER u -blpop"), OK);
    assert_eq!(admin(&mut server, "RPUSH l x"), ":1\r\n");
    let answer = taken(&mut server.engine, b);
    assert!(answer.starts_with("-NOPERM"), "{answer}");
    assert_eq!(admin(&mut server, "LLEN l"), ":1\r\n");
}

#[test]
fn sort_reaches_only_what_may_be_read() {
    let mut server = server_with("+sort ~l");
    admin(&mut server, "RPUSH l 1");
    assert_eq!(run(&mut server, "SORT l"), "*1\r\n$1\r\n1\r\n");
    assert_eq!(run(&mut server, "SORT l BY nosort"), "*1\r\n$1\r\n1\r\n");
    let by = run(&mut server, "SORT l BY w_*");
    assert_eq!(
        by,
        "-ERR BY option of SORT denied due to insufficient ACL permissions.\r\n"
    );
    let get = run(&mut server, "SORT l GET w_*");
    assert_eq!(
        get,
        "-ERR GET option of SORT denied due to insufficient ACL permissions.\r\n"
    );
    assert_eq!(admin(&mut server, "ACL SETUSER u %R~*"), OK);
    assert_eq!(run(&mut server, "SORT l BY w_* GET w_*"), "*1\r\n$-1\r\n");
}

#[test]
fn who_loses_its_user_or_its_channels_is_closed() {
    let mut server = server_with("+subscribe +psubscribe &a &b*");
    let (a, b) = (server.a, server.b);
    let c = server.engine.accept(peer()).expect("room");
    server.run(c, &["AUTH", "u", "p"]);
    server.run(b, &["SUBSCRIBE", "a"]);
    assert!(server.run(c, &["PSUBSCRIBE", "bc"]).starts_with("-NOPERM"));
    server.run(c, &["PSUBSCRIBE", "b*"]);
    assert_eq!(server.run(a, &["ACL", "SETUSER", "u", "&c"]), OK);
    assert!(server.engine.wants_input(b) && server.engine.wants_input(c));
    assert_eq!(
        server.run(a, &["ACL", "SETUSER", "u", "resetchannels", "&a"]),
        OK
    );
    assert!(server.engine.wants_input(b) && !server.engine.wants_input(c));
    assert_eq!(server.run(a, &["ACL", "DELUSER", "u", "nobody"]), ":1\r\n");
    assert!(!server.engine.wants_input(b) && server.engine.wants_input(a));
    assert!(
        server
            .run(a, &["ACL", "DELUSER", "default"])
            .starts_with("-ERR The 'default' user cannot be removed")
    );
}

#[test]
fn who_removes_itself_is_answered_first() {
    let mut server = server_with("+acl");
    let b = server.b;
    assert_eq!(server.run(b, &["ACL", "WHOAMI"]), "$1\r\nu\r\n");
    assert_eq!(server.run(b, &["ACL", "DELUSER", "u"]), ":1\r\n");
    assert!(!server.engine.wants_input(b));
}

#[test]
fn the_default_users_password_is_requirepass() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    assert!(
        server
            .run(a, &["AUTH", "x"])
            .starts_with("-ERR AUTH <password> called without any password")
    );
    assert_eq!(server.run(a, &["CONFIG", "SET", "requirepass", "x"]), OK);
    // Who was there stays; who comes has to log in, whatever it says.
    assert_eq!(server.run(b, &["GET", "k"]), "$-1\r\n");
    let c = server.engine.accept(peer()).expect("room");
    for words in [&["GET", "k"][..], &["NOSUCH"], &["GET"], &["MULTI"]] {
        assert_eq!(server.run(c, words), "-NOAUTH Authentication required.\r\n");
    }
    assert!(server.run(c, &["AUTH", "y"]).starts_with("-WRONGPASS"));
    let log = server.run(a, &["ACL", "LOG"]);
    assert!(
        log.contains("$4\r\nauth\r\n") && log.contains("$4\r\nAUTH\r\n"),
        "{log}"
    );
    assert_eq!(server.run(c, &["AUTH", "x"]), OK);
    assert_eq!(server.run(c, &["GET", "k"]), "$-1\r\n");
    assert_eq!(server.run(a, &["CONFIG", "SET", "requirepass", ""]), OK);
    let d = server.engine.accept(peer()).expect("room");
    assert_eq!(server.run(d, &["GET", "k"]), "$-1\r\n");
    assert_eq!(server.run(a, &["ACL", "SETUSER", "default", "off"]), OK);
    let e = server.engine.accept(peer()).expect("room");
    assert!(server.run(e, &["GET", "k"]).starts_with("-NOAUTH"));
}

#[test]
fn users_are_shown_and_tried() {
    let mut server = server_with("%R~r* &c +get +config|get -@dangerous (~x db=3 +set)");
    let hash = "148de9c5a7a44d19e56cd9ae1a554bf67847afb0c58f6e12fa29ac7ddfca9940";
    let list = admin(&mut server, "ACL LIST");
    let line = format!(
        "user u on #{hash} %R~r* resetchannels &c -@all +get +config|get -@dangerous (~x resetchannels db=3 -@all +set)"
    );
    assert!(list.contains(&line), "{list}");
    assert_eq!(
        admin(&mut server, "ACL USERS"),
        "*2\r\n$7\r\ndefault\r\n$1\r\nu\r\n"
    );
    let user = admin(&mut server, "ACL GETUSER u");
    assert!(
        user.starts_with("*14\r\n$5\r\nflags\r\n*1\r\n$2\r\non\r\n$9\r\npasswords\r\n*1\r\n"),
        "{user}"
    );
    assert!(user.ends_with("selectors\r\n*1\r\n*8\r\n$8\r\ncommands\r\n$10\r\n-@all +set\r\n$4\r\nkeys\r\n$2\r\n~x\r\n$8\r\nchannels\r\n$0\r\n\r\n$9\r\ndatabases\r\n$4\r\ndb=3\r\n"), "{user}");
    assert_eq!(admin(&mut server, "ACL GETUSER nobody"), "$-1\r\n");
    assert_eq!(admin(&mut server, "ACL DRYRUN u GET r1"), OK);
    assert!(
        admin(&mut server, "ACL DRYRUN u GET x")
            .contains("User u has no permissions to access the 'x' key")
    );
    assert!(
        admin(&mut server, "ACL DRYRUN u DEL r")
            .contains("User u has no permissions to run the 'del' command")
    );
    assert_eq!(
        admin(&mut server, "ACL DRYRUN u nosuch"),
        "-ERR Command 'nosuch' not found\r\n"
    );
    assert_eq!(
        admin(&mut server, "ACL DRYRUN u GET"),
        "-ERR wrong number of arguments for 'get' command\r\n"
    );
    assert_eq!(
        admin(&mut server, "ACL DRYRUN x GET a"),
        "-ERR User 'x' not found\r\n"
    );
}

#[test]
fn passwords_and_categories_are_made() {
    let mut server = Server::new();
    assert_eq!(
        admin(&mut server, "ACL GENPASS"),
        format!("$64\r\n{}\r\n", "a5".repeat(32))
    );
    assert_eq!(admin(&mut server, "ACL GENPASS 5"), "$2\r\na5\r\n");
    assert_eq!(admin(&mut server, "ACL GENPASS 12"), "$3\r\na5a\r\n");
    assert!(admin(&mut server, "ACL GENPASS 4097").starts_with("-ERR ACL GENPASS argument"));
    assert!(admin(&mut server, "ACL GENPASS 0").starts_with("-ERR ACL GENPASS argument"));
    assert!(admin(&mut server, "ACL CAT").starts_with("*21\r\n$8\r\nkeyspace\r\n"));
    assert!(admin(&mut server, "ACL CAT scripting").contains("$4\r\neval\r\n"));
    assert_eq!(
        admin(&mut server, "ACL CAT x"),
        "-ERR Unknown category 'x'\r\n"
    );
    assert!(admin(&mut server, "ACL LOG x").starts_with("-ERR value is not an integer"));
}

#[test]
fn a_file_is_loaded_whole_or_not_at_all_and_saved() {
    let config = ServerConfig {
        aclfile: b"users.acl".to_vec(),
        ..ServerConfig::default()
    };
    let mut server = Server::with(config);
    let talk = std::rc::Rc::clone(&server.talk);
    let put = |text: &str| {
        talk.files
            .borrow_mut()
            .insert(b"users.acl".to_vec(), text.into())
    };
    assert!(
        server
            .engine
            .load_users()
            .unwrap_err()
            .contains("opening file 'users.acl': no such file")
    );
    put("user u on >p +@all ~*\nuser v on nopass +get\n");
    assert_eq!(server.engine.load_users(), Ok(()));
    assert_eq!(run(&mut server, "AUTH u p"), OK);
    put("user w on +nosuch\nuser x foo\n");
    let wrong = admin(&mut server, "ACL LOAD");
    assert!(
        wrong.contains("users.acl:1: Error in applying operation '+nosuch'")
            && wrong.contains("users.acl:2: Syntax error. "),
        "{wrong}"
    );
    assert!(admin(&mut server, "ACL USERS").starts_with("*3\r\n"));
    put("user v on\n");
    assert_eq!(admin(&mut server, "ACL LOAD"), OK);
    assert!(!server.engine.wants_input(server.b), "its user is gone");
    assert_eq!(admin(&mut server, "ACL SAVE"), OK);
    let saved = talk.files.borrow()[&b"users.acl"[..]].clone();
    assert_eq!(
        String::from_utf8(saved).unwrap(),
        "user default on nopass ~* &* +@all\nuser v on resetchannels -@all\n"
    );
    let mut none = Server::new();
    assert!(
        admin(&mut none, "ACL SAVE")
            .starts_with("-ERR This instance is not configured to use an ACL file.")
    );
}

#[test]
fn the_configuration_declares_users_and_keeps_them() {
    let words = |line: &str| {
        line.split(' ')
            .map(|word| word.as_bytes().to_vec())
            .collect()
    };
    let config = |users: &[&str]| ServerConfig {
        users: users.iter().map(|line| words(line)).collect(),
        ..ServerConfig::default()
    };
    let mut server = Server::with(config(&[
        "u on nopass +@all (~a +get)",
        "default on >p +@all ~* &*",
    ]));
    assert_eq!(server.engine.load_users(), Ok(()));
    let c = server.engine.accept(peer()).expect("room");
    assert!(server.run(c, &["GET", "a"]).starts_with("-NOAUTH"));
    server
        .talk
        .files
        .borrow_mut()
        .insert(b"conf".to_vec(), b"user u off\nuser gone on\n".to_vec());
    assert_eq!(admin(&mut server, "CONFIG REWRITE"), OK);
    let text = server.talk.files.borrow()[&b"conf"[..]].clone();
    let text = String::from_utf8(text).unwrap();
    assert!(text.starts_with("user default on #148de9c5"), "{text}");
    assert!(
        text.contains("\nuser u on nopass resetchannels +@all (~a resetchannels -@all +get)\n"),
        "{text}"
    );
    assert!(!text.contains("gone"), "{text}");
    for (users, why) in [
        (
            &["u +nosuch"][..],
            "Error loading ACL rule '+nosuch' for the user named 'u': Unknown command or category name in ACL",
        ),
        (
            &["u <secret"],
            "Error loading ACL rule '<(redacted)' for the user named 'u'",
        ),
        (&["u on", "u off"], "Duplicate user found."),
        (&["u\tv on"], "Spaces not allowed in ACL usernames"),
    ] {
        let error = Server::with(config(users)).engine.load_users().unwrap_err();
        assert!(error.starts_with(why), "{error}");
    }
}

#[test]
fn a_login_that_fails_in_a_transaction_is_logged_as_of_one() {
    let mut server = server_with("+@all");
    for line in ["MULTI", "AUTH u wrong", "EXEC"] {
        run(&mut server, line);
    }
    let log = admin(&mut server, "ACL LOG 1");
    assert!(log.contains("context\r\n$5\r\nmulti\r\n"), "{log}");
}

#[test]
fn set_reads_where_it_answers_the_value() {
    let mut server = server_with("+set %W~k");
    admin(&mut server, "SET k v");
    assert_eq!(run(&mut server, "SET k w IFEQ v"), OK);
    assert_eq!(
        run(&mut server, "SET k x GET"),
        "-NOPERM No permissions to access a key\r\n"
    );
    let keys = admin(&mut server, "COMMAND GETKEYSANDFLAGS SET k w IFEQ v");
    assert_eq!(keys, "*1\r\n*2\r\n$1\r\nk\r\n*2\r\n+OW\r\n+update\r\n");
}

#[test]
fn sort_ro_has_no_destination() {
    let mut server = server_with("+sort_ro %R~k");
    assert_eq!(
        admin(&mut server, "COMMAND GETKEYS SORT_RO k STORE d"),
        "*1\r\n$1\r\nk\r\n"
    );
    assert_eq!(
        run(&mut server, "SORT_RO k STORE d"),
        "-ERR syntax error\r\n"
    );
}
