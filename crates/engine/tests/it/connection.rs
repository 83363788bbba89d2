//! What drivers send on connect: HELLO, CLIENT and its like, in both protocols.

use crate::harness::{Server, peer, taken};

#[test]
fn hello_chooses_the_protocol() {
    let mut server = Server::new();
    let a = server.a;
    let greeting = server.run(a, &["HELLO", "3", "SETNAME", "me"]);
    assert!(greeting.starts_with("%7\r\n$6\r\nserver\r\n"), "{greeting}");
    assert!(greeting.contains("proto\r\n:3\r\n"), "{greeting}");
    assert_eq!(server.run(a, &["CLIENT", "GETNAME"]), "$2\r\nme\r\n");
    assert_eq!(server.run(a, &["GET", "none"]), "_\r\n");
    assert_eq!(
        server.run(a, &["HELLO", "4"]),
        "-NOPROTO unsupported protocol version\r\n"
    );
    let syntax = "-ERR Syntax error in HELLO option 'x'\r\n";
    assert_eq!(server.run(a, &["HELLO", "2", "x"]), syntax);
    assert_eq!(
        server.run(a, &["GET", "none"]),
        "_\r\n",
        "what is refused changes nothing"
    );
    let greeting = server.run(a, &["HELLO", "2"]);
    assert!(greeting.starts_with("*14\r\n"), "{greeting}");
    assert_eq!(server.run(a, &["GET", "none"]), "$-1\r\n");
}

#[test]
fn a_password_is_given_by_hello_or_auth() {
    let mut server = Server::new();
    let a = server.a;
    server.run(a, &["CONFIG", "SET", "requirepass", "secret"]);
    let b = server.engine.accept(peer()).expect("room");
    assert!(server.run(b, &["GET", "k"]).starts_with("-NOAUTH"));
    assert!(server.run(b, &["HELLO", "3"]).starts_with("-NOAUTH HELLO"));
    assert!(
        server
            .run(b, &["HELLO", "3", "AUTH", "default", "wrong"])
            .starts_with("-WRONGPASS")
    );
    assert!(
        server
            .run(b, &["AUTH", "nobody", "secret"])
            .starts_with("-WRONGPASS")
    );
    assert!(
        server
            .run(b, &["HELLO", "3", "AUTH", "default", "secret"])
            .starts_with('%')
    );
    assert_eq!(server.run(b, &["RESET"]), "+RESET\r\n");
    assert!(server.run(b, &["GET", "k"]).starts_with("-NOAUTH"));
    assert_eq!(server.run(b, &["AUTH", "secret"]), "+OK\r\n");
}

#[test]
fn a_resp3_client_is_subscribed_and_goes_on() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    server.run(b, &["HELLO", "3"]);
    let joined = server.run(b, &["SUBSCRIBE", "c"]);
    assert_eq!(joined, ">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n");
    assert_eq!(server.run(b, &["PING"]), "+PONG\r\n");
    assert_eq!(server.run(b, &["SET", "k", "v"]), "+OK\r\n");
    assert_eq!(server.run(a, &["PUBLISH", "c", "hi"]), ":1\r\n");
    assert_eq!(
        server.run(b, &["GET", "k"]),
        ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$2\r\nhi\r\n$1\r\nv\r\n"
    );
    let joined = server.run(b, &["SSUBSCRIBE", "s"]);
    assert_eq!(joined, ">3\r\n$10\r\nssubscribe\r\n$1\r\ns\r\n:1\r\n");
    assert_eq!(server.run(a, &["SPUBLISH", "s", "x"]), ":1\r\n");
    assert_eq!(
        server.run(a, &["PUBSUB", "SHARDCHANNELS"]),
        "*1\r\n$1\r\ns\r\n"
    );
    assert_eq!(server.run(a, &["PUBSUB", "CHANNELS"]), "*1\r\n$1\r\nc\r\n");
}

#[test]
fn replies_can_be_left_out() {
    let mut server = Server::new();
    let a = server.a;
    assert_eq!(server.run(a, &["CLIENT", "REPLY", "SKIP"]), "");
    assert_eq!(server.run(a, &["SET", "k", "1"]), "");
    assert_eq!(server.run(a, &["GET", "k"]), "$1\r\n1\r\n");
    assert_eq!(server.run(a, &["CLIENT", "REPLY", "OFF"]), "");
    assert_eq!(server.run(a, &["INCR", "k"]), "");
    assert_eq!(server.run(a, &["NOSUCH"]), "");
    assert_eq!(server.run(a, &["CLIENT", "REPLY", "ON"]), "+OK\r\n");
    assert_eq!(server.run(a, &["GET", "k"]), "$1\r\n2\r\n");
    // Who skips twice skips the request behind too.
    server.run(a, &["CLIENT", "REPLY", "SKIP"]);
    server.run(a, &["CLIENT", "REPLY", "SKIP"]);
    assert_eq!(server.run(a, &["PUBLISH", "c", "m"]), "");
    assert_eq!(server.run(a, &["PUBLISH", "c", "m"]), ":0\r\n");
    server.run(a, &["CLIENT", "REPLY", "SKIP"]);
    let confirmed = "*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n";
    assert_eq!(server.run(a, &["SUBSCRIBE", "c"]), confirmed);
    assert_eq!(server.run(a, &["PING"]), "*2\r\n$4\r\npong\r\n$0\r\n\r\n");
}

#[test]
fn a_reply_is_left_out_though_it_comes_late() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    server.run(a, &["CLIENT", "REPLY", "SKIP"]);
    assert_eq!(server.run(a, &["BLPOP", "l", "0"]), "");
    server.run(b, &["RPUSH", "l", "x"]);
    assert_eq!(taken(&mut server.engine, a), "");
    assert_eq!(server.run(a, &["PING"]), "+PONG\r\n");
    server.run(a, &["CLIENT", "REPLY", "OFF"]);
    server.run(a, &["BLPOP", "l", "0"]);
    let list = server.run(b, &["CLIENT", "LIST", "FLAGS", "b"]);
    let id = list
        .split("id=")
        .nth(1)
        .and_then(|rest| rest.split(' ').next());
    let id = id.expect("it is blocked");
    assert_eq!(server.run(b, &["CLIENT", "UNBLOCK", id]), ":1\r\n");
    assert_eq!(taken(&mut server.engine, a), "");
}

#[test]
fn a_message_does_not_tear_the_reply_of_a_transaction_apart() {
    let mut server = Server::new();
    let a = server.a;
    server.run(a, &["MULTI"]);
    server.run(a, &["SUBSCRIBE", "c"]);
    server.run(a, &["PUBLISH", "c", "m"]);
    server.run(a, &["ECHO", "x"]);
    assert_eq!(
        server.run(a, &["EXEC"]),
        "*3\r\n*3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n:1\r\n$1\r\nx\r\n\
         *3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$1\r\nm\r\n"
    );
}

#[test]
fn a_monitor_does_nothing_with_keys() {
    let mut server = Server::new();
    let a = server.a;
    server.run(a, &["MONITOR"]);
    for request in [
        &["GET", "k"][..],
        &["SET", "k", "v"],
        &["PUBLISH", "c", "m"],
    ] {
        let refused = "-ERR Replica can't interact with the keyspace\r\n";
        assert_eq!(server.run(a, request), refused);
    }
    assert!(server.run(a, &["PING"]).starts_with("+PONG\r\n"));
    assert_eq!(server.run(a, &["RESET"]), "+RESET\r\n");
    assert_eq!(server.run(a, &["GET", "k"]), "$-1\r\n");
    server.run(a, &["CLIENT", "REPLY", "SKIP"]);
    assert_eq!(server.run(a, &["RESET"]), "");
    assert_eq!(server.run(a, &["PING"]), "+PONG\r\n");
}

#[test]
fn clients_are_listed_and_killed_by_filters() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    server.run(b, &["CLIENT", "SETINFO", "LIB-NAME", "lib"]);
    server.run(b, &["CLIENT", "SETNAME", "b"]);
    server.run(b, &["SELECT", "3"]);
    let own = server.run(b, &["CLIENT", "ID"]);
    let own = own.trim_start_matches(':').trim_end().to_owned();
    for filter in [
        &["NAME", "b"][..],
        &["LIB-NAME", "lib"],
        &["DB", "3"],
        &["ID", &own],
        &["NOT-DB", "0"],
        &["TYPE", "normal", "NAME", "other", "NAME", "b"],
    ] {
        let listed = server.run(a, &[&["CLIENT", "LIST"][..], filter].concat());
        assert!(
            listed.contains(&format!("id={own} ")),
            "{filter:?}: {listed}"
        );
        assert_eq!(listed.matches("id=").count(), 1, "{filter:?}: {listed}");
    }
    for (filter, error) in [
        (&["TYPE", "x"][..], "-ERR Unknown client type 'x'\r\n"),
        (&["ID", "0"], "-ERR client-id should be greater than 0\r\n"),
        (&["ID", "x"], "-ERR syntax error\r\n"),
        (
            &["DB", "99"],
            "-ERR DB number should be between 0 and 15\r\n",
        ),
        (
            &["FLAGS", "z"],
            "-ERR Unknown flags found in the provided filter: z\r\n",
        ),
        (
            &["MAXAGE", "x"],
            "-ERR maxage is not an integer or out of range\r\n",
        ),
        (&["USER", "nobody"], "-ERR No such user 'nobody'\r\n"),
    ] {
        assert_eq!(
            server.run(a, &[&["CLIENT", "KILL"][..], filter].concat()),
            error
        );
    }
    assert_eq!(server.run(a, &["CLIENT", "KILL", "NAME", "b"]), ":1\r\n");
}

#[test]
fn a_blocked_client_is_unblocked_by_another() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    let own = server.run(b, &["CLIENT", "ID"]);
    let own = own.trim_start_matches(':').trim_end().to_owned();
    assert_eq!(server.run(a, &["CLIENT", "UNBLOCK", &own]), ":0\r\n");
    assert_eq!(server.run(b, &["BLPOP", "l", "0"]), "");
    assert_eq!(server.run(a, &["CLIENT", "UNBLOCK", &own]), ":1\r\n");
    assert_eq!(server.run(b, &["PING"]), "*-1\r\n+PONG\r\n");
    assert_eq!(
        server.run(b, &["BLMOVE", "l", "m", "LEFT", "LEFT", "0"]),
        ""
    );
    assert_eq!(
        server.run(a, &["CLIENT", "UNBLOCK", &own, "ERROR"]),
        ":1\r\n"
    );
    let refused = "-UNBLOCKED client unblocked via CLIENT UNBLOCK\r\n+PONG\r\n";
    assert_eq!(server.run(b, &["PING"]), refused);
}

#[test]
fn a_pause_of_writes_lets_reads_pass() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    assert_eq!(
        server.run(a, &["CLIENT", "PAUSE", "100000", "WRITE"]),
        "+OK\r\n"
    );
    assert_eq!(server.run(b, &["GET", "k"]), "$-1\r\n");
    assert_eq!(server.run(b, &["SET", "k", "v"]), "");
    assert_eq!(server.run(a, &["CLIENT", "UNPAUSE"]), "+OK\r\n");
    assert_eq!(server.run(b, &["GET", "k"]), "+OK\r\n$1\r\nv\r\n");
}

#[test]
fn help_is_made_from_the_rows() {
    let mut server = Server::new();
    let a = server.a;
    let help = server.run(a, &["CLIENT", "HELP"]);
    assert!(
        help.contains("+UNBLOCK client-id [TIMEOUT | ERROR]\r\n"),
        "{help}"
    );
    let unknown = "-ERR unknown subcommand 'nosuch'. Try CLIENT HELP.\r\n";
    assert_eq!(server.run(a, &["CLIENT", "nosuch"]), unknown);
    let unknown = "-ERR unknown command 'NOSUCH', with args beginning with: 'a' 'b' \r\n";
    assert_eq!(server.run(a, &["NOSUCH", "a", "b"]), unknown);
}

#[test]
fn what_is_pushed_while_a_request_runs_comes_behind_its_reply() {
    let mut server = Server::new();
    let a = server.a;
    server.run(a, &["HELLO", "3"]);
    let pushed = ">2\r\n$16\r\nserver-cpu-usage\r\n:42\r\n";
    let reply = "$40\r\nSome real reply following the push reply\r\n";
    let protocol = ["DEBUG", "PROTOCOL", "push"];
    assert_eq!(server.run(a, &protocol), format!("{reply}{pushed}"));
    for words in [&["MULTI"] as &[&str], &protocol, &["PING"]] {
        server.run(a, words);
    }
    assert_eq!(
        server.run(a, &["EXEC"]),
        format!("*2\r\n{reply}+PONG\r\n{pushed}")
    );
}

#[test]
fn the_first_two_numbers_of_clients_are_not_given() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    assert_eq!(server.run(a, &["CLIENT", "ID"]), ":3\r\n");
    assert_eq!(server.run(b, &["CLIENT", "ID"]), ":4\r\n");
    server.eval(&["return redis.call('PING')", "0"]);
    let c = server.engine.accept(peer()).expect("room");
    assert_eq!(server.run(c, &["CLIENT", "ID"]), ":5\r\n");
}
