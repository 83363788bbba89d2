//! What keeps clients within bounds, and what only some of them may do.

use conf::{Permission, ServerConfig};
use engine::{ChildEnd, Now, Peer};

use crate::harness::{Server, peer, request, taken};

fn info(server: &mut Server, field: &str) -> String {
    let text = server.run(server.a, &["INFO", "everything"]);
    let line = text.lines().find(|line| line.starts_with(field));
    line.unwrap_or_default().to_owned()
}

#[test]
fn protected_mode_lets_nobody_in_from_elsewhere() {
    let mut server = Server::new();
    let far = Peer {
        addr: "192.0.2.7:5000".to_owned(),
        ..peer()
    };
    let refusal = server
        .engine
        .accept(far.clone())
        .expect_err("it is protected");
    let text = String::from_utf8_lossy(refusal);
    assert!(
        text.starts_with("-DENIED Running in protected mode because protected mode is enabled and no password is set for the default user. In"),
        "{text}"
    );
    assert!(text.ends_with("connections from the outside.\r\n"));
    server.run(server.a, &["CONFIG", "SET", "protected-mode", "no"]);
    assert!(server.engine.accept(far.clone()).is_ok());

    // What counts is the password of the default user, however it got one.
    server.run(server.a, &["CONFIG", "SET", "protected-mode", "yes"]);
    assert!(server.engine.accept(far.clone()).is_err());
    let rule =
        |server: &mut Server, rule| server.run(server.a, &["ACL", "SETUSER", "default", rule]);
    rule(&mut server, ">secret");
    rule(&mut server, "resetpass");
    assert!(server.engine.accept(far.clone()).is_ok());
    server.run(server.a, &["CONFIG", "SET", "requirepass", "secret"]);
    rule(&mut server, "nopass");
    assert!(server.engine.accept(far).is_err());
}

#[test]
fn no_command_makes_a_string_longer_than_an_argument_may_be() {
    let mut server = Server::new();
    let a = server.a;
    server.run(a, &["CONFIG", "SET", "proto-max-bulk-len", "1mb"]);
    let text = "x".repeat(1 << 20);
    assert_eq!(server.run(a, &["SET", "k", &text]), "+OK\r\n");
    let too_long = "-ERR string exceeds maximum allowed size (proto-max-bulk-len)\r\n";
    let beyond = "-ERR bit offset is not an integer or out of range\r\n";
    for (words, reply) in [
        (&["APPEND", "k", "y"][..], too_long),
        (&["SETRANGE", "k", "1048576", "y"], too_long),
        (&["SETRANGE", "k", "1048575", "y"], ":1048576\r\n"),
        (&["SETBIT", "b", "8388608", "1"], beyond),
        (&["SETBIT", "b", "8388607", "1"], ":0\r\n"),
        (&["GETBIT", "b", "8388608"], beyond),
        (&["BITFIELD", "b", "SET", "u8", "8388608", "1"], beyond),
        (&["BITFIELD", "b", "GET", "u8", "8388600"], "*1\r\n:1\r\n"),
        (&["STRLEN", "k"], ":1048576\r\n"),
    ] {
        assert_eq!(server.run(a, words), reply, "{words:?}");
    }
    server.run(a, &["CONFIG", "SET", "proto-max-bulk-len", "2gb"]);
    assert_eq!(server.run(a, &["APPEND", "k", "y"]), ":1048577\r\n");
    assert_eq!(
        server.run(a, &["SETRANGE", "k", "536870912", "y"]),
        too_long
    );
}

#[test]
fn debug_and_modules_have_to_be_enabled() {
    let mut server = Server::with(ServerConfig {
        enable_debug_command: Permission::No,
        ..ServerConfig::default()
    });
    let refused = "-ERR DEBUG command not allowed. If the enable-debug-command option is set to \"local\", you can run it from a local connection, otherwise you need to set this option in the configuration file, and then restart the server.\r\n";
    assert_eq!(server.run(server.a, &["DEBUG", "SLEEP", "0"]), refused);
    server.run(server.a, &["MULTI"]);
    assert_eq!(server.run(server.a, &["DEBUG", "SLEEP", "0"]), refused);
    let exec = server.run(server.a, &["EXEC"]);
    assert!(exec.starts_with("-EXECABORT"), "{exec}");
    let refused = server.run(server.a, &["MODULE", "LOAD", "/x"]);
    assert!(refused.starts_with("-ERR MODULE command not allowed. If the enable-module-command"));
    assert_eq!(server.run(server.a, &["MODULE", "LIST"]), "*0\r\n");
    let mut server = Server::with(ServerConfig {
        enable_debug_command: Permission::Local,
        enable_module_command: Permission::Local,
        ..ServerConfig::default()
    });
    assert_eq!(server.run(server.a, &["DEBUG", "SLEEP", "0"]), "+OK\r\n");
    assert_eq!(
        server.run(server.a, &["MODULE", "LOAD", "/x"]),
        "-ERR Error loading the extension. Please check the server logs.\r\n"
    );
}

#[test]
fn requests_are_as_long_as_is_configured() {
    let mut server = Server::new();
    let a = server.a;
    server.run(a, &["CONFIG", "SET", "proto-max-bulk-len", "1mb"]);
    server.run(a, &["CONFIG", "SET", "client-query-buffer-limit", "2mb"]);
    let long = "x".repeat(1 << 20);
    assert_eq!(server.run(a, &["SET", "k", &long]), "+OK\r\n");
    let b = server.b;
    server.engine.receive(b, b"*2\r\n$3\r\nGET\r\n$1048577\r\n");
    assert_eq!(
        taken(&mut server.engine, b),
        "-ERR Protocol error: invalid bulk length\r\n"
    );

    let c = server.engine.accept(peer()).expect("room");
    server.run(c, &["MULTI"]);
    for _ in 0..2 {
        assert_eq!(server.run(c, &["SET", "k", &long]), "+QUEUED\r\n");
    }
    // Now the beginning of a third one is too much.
    let third = request(&["SET", "k", &long]);
    server.engine.receive(c, &third[..1000]);
    assert!(!server.engine.wants_input(c), "it is closed");
    assert_eq!(
        info(&mut server, "client_query_buffer_limit_disconnections"),
        "client_query_buffer_limit_disconnections:1"
    );
}

#[test]
fn tracked_keys_are_bounded_and_counted() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    server.run(b, &["HELLO", "3"]);
    server.run(b, &["CLIENT", "TRACKING", "ON"]);
    for key in ["k1", "k2", "k3"] {
        server.run(b, &["GET", key]);
    }
    assert_eq!(info(&mut server, "tracking_clients"), "tracking_clients:1");
    assert_eq!(
        info(&mut server, "tracking_total_keys"),
        "tracking_total_keys:3"
    );
    assert_eq!(
        info(&mut server, "tracking_total_items"),
        "tracking_total_items:3"
    );
    server.run(a, &["CONFIG", "SET", "tracking-table-max-keys", "1"]);
    server.engine.tick();
    let told = taken(&mut server.engine, b);
    assert_eq!(told.matches("invalidate").count(), 2, "{told}");
    assert!(told.contains("k1") && told.contains("k2") && !told.contains("k3"));
    assert_eq!(
        info(&mut server, "tracking_total_items"),
        "tracking_total_items:1"
    );
}

#[test]
fn the_biggest_clients_have_to_go() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    let c = server.engine.accept(peer()).expect("room");
    server.run(a, &["CONFIG", "SET", "maxmemory-clients", "1mb"]);
    server.run(c, &["CLIENT", "NO-EVICT", "ON"]);
    let most = request(&["SET", "k", &"x".repeat(600_000)]);
    server.engine.receive(c, &most[..600_000]);
    assert!(server.engine.wants_input(b));
    server.engine.receive(b, &most[..600_000]);
    assert!(!server.engine.wants_input(b), "it made it too much");
    assert!(server.engine.wants_input(c), "it may not be evicted");
    assert!(server.engine.wants_input(a));
    assert_eq!(info(&mut server, "evicted_clients"), "evicted_clients:1");
}

#[test]
fn a_limit_that_nobody_could_talk_under_is_raised() {
    let mut server = Server::new();
    let a = server.a;
    for limit in ["1", "1mb"] {
        let set = ["CONFIG", "SET", "maxmemory-clients", limit];
        assert_eq!(server.run(a, &set), "+OK\r\n");
        server.engine.tick();
        assert!(server.engine.wants_input(a), "{limit}");
    }
}

#[test]
fn a_shutdown_waits_for_replicas_and_can_be_given_up() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    let c = server.engine.accept(peer()).expect("room");
    assert_eq!(
        server.run(a, &["SHUTDOWN", "SAVE", "NOSAVE"]),
        "-ERR syntax error\r\n"
    );
    assert_eq!(
        server.run(a, &["SHUTDOWN", "ABORT", "NOW"]),
        "-ERR syntax error\r\n"
    );
    assert_eq!(
        server.run(a, &["SHUTDOWN", "ABORT"]),
        "-ERR No shutdown in progress.\r\n"
    );
    assert_eq!(
        server.run(a, &["SHUTDOWN", "FAILOVER"]),
        "-ERR SHUTDOWN FAILOVER is only supported in cluster mode.\r\n"
    );
    server.run(b, &["PSYNC", "?", "-1"]);
    server.run(a, &["SET", "l", "v"]);
    assert_eq!(server.run(a, &["SHUTDOWN", "NOSAVE"]), "");
    assert!(!server.engine.is_ending(), "the replica has nothing yet");
    assert_eq!(server.run(c, &["SET", "k", "v"]), "", "nobody writes now");
    let d = server.engine.accept(peer()).expect("room");
    assert_eq!(server.run(d, &["GET", "k"]), "$-1\r\n");
    assert_eq!(server.run(d, &["SHUTDOWN", "ABORT"]), "+OK\r\n");
    server.engine.end_turn();
    assert_eq!(
        taken(&mut server.engine, a),
        "-ERR Errors trying to SHUTDOWN. Check logs.\r\n"
    );
    assert_eq!(taken(&mut server.engine, c), "+OK\r\n");

    assert_eq!(server.run(a, &["SHUTDOWN", "NOSAVE"]), "");
    server.set_now(Now {
        mono_ms: 20_000,
        unix_us: 1_000_020_000_000,
    });
    server.engine.tick();
    assert!(server.engine.is_ending(), "it has waited long enough");
}

#[test]
fn a_source_of_an_import_sees_expired_keys() {
    let mut server = Server::new();
    let (a, b) = (server.a, server.b);
    assert_eq!(
        server.run(b, &["CLIENT", "IMPORT-SOURCE", "ON"]),
        "-ERR Server is not in import mode\r\n"
    );
    server.run(a, &["CONFIG", "SET", "import-mode", "yes"]);
    assert_eq!(server.run(b, &["CLIENT", "IMPORT-SOURCE", "ON"]), "+OK\r\n");
    server.run(b, &["SET", "k", "1", "PX", "10"]);
    server.set_now(Now {
        mono_ms: 1000,
        unix_us: 1_000_001_000_000,
    });
    server.engine.tick();
    assert_eq!(server.run(a, &["GET", "k"]), "$-1\r\n");
    assert_eq!(server.run(a, &["DBSIZE"]), ":1\r\n", "it is still there");
    assert_eq!(server.run(b, &["GET", "k"]), "$1\r\n1\r\n");
    server.run(a, &["CONFIG", "SET", "import-mode", "no"]);
    assert_eq!(server.run(b, &["GET", "k"]), "$-1\r\n");
}

#[test]
fn a_save_that_failed_is_tried_again_while_writes_are_refused_for_it() {
    let mut server = Server::with(ServerConfig {
        save: vec![conf::SavePoint {
            seconds: 900,
            changes: 1,
        }],
        ..ServerConfig::default()
    });
    let a = server.a;
    server.talk.child.set(Some(ChildEnd::Failed));
    server.run(a, &["BGSAVE"]);
    server.engine.tick();
    assert!(server.run(a, &["SET", "k", "v"]).starts_with("-MISCONF"));
    server.talk.child.set(Some(ChildEnd::Done));
    for second in 1..=10 {
        server.set_now(Now {
            mono_ms: second * 1000,
            // Somebody has set the clock back.
            unix_us: second * 1_000_000,
        });
        server.engine.tick();
    }
    assert_eq!(
        info(&mut server, "rdb_last_bgsave_status"),
        "rdb_last_bgsave_status:ok"
    );
    assert_eq!(server.run(a, &["SET", "k", "v"]), "+OK\r\n");
}

#[test]
fn a_save_that_is_cancelled_has_ended() {
    let mut server = Server::new();
    let a = server.a;
    server.talk.child.set(Some(engine::ChildEnd::Done));
    let started = server.run(a, &["BGSAVE"]);
    assert_eq!(started, "+Background saving started\r\n");
    // The child is gone: nobody will find its end.
    server.talk.child.set(None);
    let cancelled = server.run(a, &["BGSAVE", "CANCEL"]);
    assert_eq!(cancelled, "+Background saving cancelled\r\n");
    server.engine.look_after_child();
    let none = "-ERR Background saving is currently not in progress or scheduled\r\n";
    assert_eq!(server.run(a, &["BGSAVE", "CANCEL"]), none);
}
