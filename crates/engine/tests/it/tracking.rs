//! Client-side caching: who is told that a key has changed.

use engine::Now;

use crate::harness::Server;

fn told(key: &str) -> String {
    format!(
        ">2\r\n$10\r\ninvalidate\r\n*1\r\n${}\r\n{key}\r\n",
        key.len()
    )
}

#[test]
fn a_client_is_told_once_of_what_it_has_read() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    server.run(b, &["HELLO", "3"]);
    assert_eq!(server.run(b, &["CLIENT", "TRACKING", "ON"]), "+OK\r\n");
    server.run(b, &["GET", "k"]);
    server.run(a, &["SET", "k", "1"]);
    server.run(a, &["SET", "k", "2"]);
    assert_eq!(server.run(b, &["PING"]), told("k") + "+PONG\r\n");
    server.run(b, &["GET", "k"]);
    assert_eq!(
        server.run(b, &["SET", "k", "3"]),
        "+OK\r\n".to_owned() + &told("k")
    );
    server.run(b, &["GET", "k"]);
    server.run(a, &["FLUSHALL"]);
    assert_eq!(
        server.run(b, &["PING"]),
        ">2\r\n$10\r\ninvalidate\r\n_\r\n+PONG\r\n"
    );
    server.run(b, &["GET", "k"]);
    server.run(b, &["CLIENT", "TRACKING", "OFF"]);
    server.run(a, &["SET", "k", "4"]);
    assert_eq!(server.run(b, &["PING"]), "+PONG\r\n");
}

#[test]
fn messages_follow_the_replies_of_a_transaction() {
    let mut server = Server::new();
    let b = server.b;
    server.run(b, &["HELLO", "3"]);
    server.run(b, &["CLIENT", "TRACKING", "ON"]);
    server.run(b, &["GET", "k"]);
    server.run(b, &["MULTI"]);
    server.run(b, &["INCR", "k"]);
    server.run(b, &["INCR", "k"]);
    assert_eq!(
        server.run(b, &["EXEC"]),
        "*2\r\n:1\r\n:2\r\n".to_owned() + &told("k")
    );
}

#[test]
fn a_script_is_its_callers() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    server.run(b, &["HELLO", "3"]);
    server.run(b, &["CLIENT", "TRACKING", "ON", "NOLOOP"]);
    server.run(b, &["GET", "k"]);
    server.run(b, &["EVAL", "redis.call('set', KEYS[1], 1)", "1", "k"]);
    assert_eq!(server.run(b, &["PING"]), "+PONG\r\n");
    // What a script is told to read it need not have read.
    server.run(b, &["EVAL_RO", "redis.call('get', KEYS[2])", "2", "k", "l"]);
    server.run(a, &["MSET", "k", "v", "l", "v"]);
    assert_eq!(server.run(b, &["PING"]), told("l") + "+PONG\r\n");
}

#[test]
fn what_was_read_before_prefixes_were_wanted_is_told_once() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    server.run(b, &["HELLO", "3"]);
    server.run(b, &["CLIENT", "TRACKING", "ON"]);
    server.run(b, &["GET", "k"]);
    server.run(b, &["CLIENT", "TRACKING", "OFF"]);
    server.run(b, &["CLIENT", "TRACKING", "ON", "BCAST"]);
    server.run(a, &["SET", "k", "1"]);
    assert_eq!(server.run(b, &["PING"]), told("k") + "+PONG\r\n");
}

#[test]
fn prefixes_and_options() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    server.run(b, &["HELLO", "3"]);
    let wish = [
        "CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "user:", "PREFIX", "x", "NOLOOP",
    ];
    assert_eq!(server.run(b, &wish), "+OK\r\n");
    server.run(a, &["SET", "user:1", "v"]);
    server.run(a, &["SET", "other", "v"]);
    assert_eq!(
        server.run(b, &["SET", "x1", "v"]),
        told("user:1") + "+OK\r\n"
    );
    let overlap = ["CLIENT", "TRACKING", "ON", "BCAST", "PREFIX", "user:1"];
    assert!(
        server
            .run(b, &overlap)
            .starts_with("-ERR Prefix 'user:1' overlaps with an existing prefix 'user:'")
    );
    assert!(
        server
            .run(b, &["CLIENT", "TRACKING", "ON"])
            .starts_with("-ERR You can't switch BCAST mode")
    );
    server.run(b, &["CLIENT", "TRACKING", "OFF"]);
    server.run(b, &["CLIENT", "TRACKING", "ON", "OPTIN"]);
    server.run(b, &["GET", "k1"]);
    assert_eq!(server.run(b, &["CLIENT", "CACHING", "YES"]), "+OK\r\n");
    server.run(b, &["GET", "k2"]);
    server.run(a, &["MSET", "k1", "v", "k2", "v"]);
    assert_eq!(server.run(b, &["PING"]), told("k2") + "+PONG\r\n");
    let info = server.run(b, &["CLIENT", "TRACKINGINFO"]);
    assert!(
        info.starts_with("%3\r\n$5\r\nflags\r\n~2\r\n$2\r\non\r\n$5\r\noptin\r\n"),
        "{info}"
    );
}

#[test]
fn who_tracks_and_listens_is_told_that_a_key_changed_before_how() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    server.run(a, &["CONFIG", "SET", "notify-keyspace-events", "KEA"]);
    server.run(b, &["HELLO", "3"]);
    server.run(b, &["CLIENT", "TRACKING", "ON"]);
    server.run(b, &["SUBSCRIBE", "__keyevent@0__:set"]);
    server.run(b, &["GET", "k"]);
    server.run(a, &["SET", "k", "v"]);
    let told = crate::harness::taken(&mut server.engine, b);
    let (before, _) = told.split_once("__keyevent@0__:set").expect("an event");
    assert!(before.contains("invalidate"), "{told}");
}

#[test]
fn another_client_is_told_instead() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    let c = server.engine.accept(crate::harness::peer()).expect("room");
    let id = server.run(b, &["CLIENT", "ID"]);
    server.run(b, &["SUBSCRIBE", "__redis__:invalidate"]);
    let id = id.trim_start_matches(':').trim_end();
    assert_eq!(
        server.run(a, &["CLIENT", "TRACKING", "ON", "REDIRECT", id]),
        "+OK\r\n"
    );
    assert_eq!(server.run(a, &["CLIENT", "GETREDIR"]), format!(":{id}\r\n"));
    server.run(a, &["GET", "k"]);
    server.run(c, &["SET", "k", "v"]);
    let message = "*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n*1\r\n$1\r\nk\r\n";
    assert!(server.run(b, &["PING"]).starts_with(message));
    // Whatever it has subscribed to: a message is told from a reply.
    server.run(b, &["UNSUBSCRIBE"]);
    server.run(b, &["PSUBSCRIBE", "other*"]);
    server.run(a, &["GET", "k"]);
    server.run(c, &["SET", "k", "v"]);
    assert!(server.run(b, &["PING"]).starts_with(message));
    let nobody = "-ERR The client ID you want redirect to does not exist\r\n";
    assert_eq!(
        server.run(c, &["CLIENT", "TRACKING", "ON", "REDIRECT", "999"]),
        nobody
    );
}

#[test]
fn a_key_that_is_found_expired_was_gone_before_it_was_read() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    server.run(a, &["SET", "k", "v", "PX", "1"]);
    server.set_now(Now {
        mono_ms: 1000,
        unix_us: 1_000_000_001_000_000,
    });
    server.run(b, &["HELLO", "3"]);
    server.run(b, &["CLIENT", "TRACKING", "ON"]);
    assert_eq!(server.run(b, &["GET", "k"]), "_\r\n");
    server.run(a, &["SET", "k", "w"]);
    assert_eq!(server.run(b, &["PING"]), told("k") + "+PONG\r\n");
}

#[test]
fn a_table_that_is_made_smaller_is_bounded_at_once() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    server.run(b, &["HELLO", "3"]);
    server.run(b, &["CLIENT", "TRACKING", "ON"]);
    server.run(b, &["MGET", "1", "2"]);
    let set = ["CONFIG", "SET", "tracking-table-max-keys", "1"];
    assert_eq!(server.run(a, &set), "+OK\r\n");
    assert_eq!(server.run(b, &["PING"]), told("1") + "+PONG\r\n");
}
