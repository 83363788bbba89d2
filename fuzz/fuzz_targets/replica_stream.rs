//! A primary's stream, whatever is in it and however it is cut: the replica stays one, its own settings stay as they are, its clients
//! are answered, and the data and the place in the stream do not depend on the cuts.
//!
//! The first byte says how the stream is cut, the rest is a stream as `tern_fuzz::commands` makes it.
#![no_main]

use conf::ServerConfig;
use engine::{Action, Now};
use libfuzzer_sys::fuzz_target;

#[path = "../../crates/engine/tests/it/harness.rs"]
#[allow(dead_code, reason = "the engine's tests need more of it")]
mod harness;

use harness::Server;

const NAME: &str = "0123456789012345678901234567890123456789";
/// A dump of nothing.
const EMPTY: &[u8] = b"REDIS0011\xff\0\0\0\0\0\0\0\0";

/// A replica that has received an empty copy and then `stream` in pieces of so many bytes; its data and its place.
fn followed(stream: &[u8], piece: usize) -> (String, String) {
    let mut server = Server::with(ServerConfig {
        enable_debug_command: conf::Permission::Yes,
        ..ServerConfig::default()
    });
    let a = server.a;
    server.run(a, &["REPLICAOF", "127.0.0.1", "7002"]);
    server.engine.set_now(Now {
        mono_ms: 2000,
        unix_us: 1_000_002_000_000,
    });
    server.engine.tick();
    let mut actions = std::iter::from_fn(|| server.engine.poll_action());
    let link = actions.find_map(|action| match action {
        Action::OpenLink { link, .. } => Some(link),
        _ => None,
    });
    let link = link.expect("a link");
    server.engine.link_opened(link, Ok(()));
    server
        .engine
        .link_received(link, b"+PONG\r\n+OK\r\n+OK\r\n+OK\r\n");
    let head = format!("+FULLRESYNC {NAME} 1000\r\n${}\r\n", EMPTY.len());
    server.engine.link_received(link, head.as_bytes());
    server.engine.link_received(link, EMPTY);
    assert!(server.engine.begin_sync_load());
    server.engine.sync_loaded(Ok(None));
    for bytes in stream.chunks(piece) {
        server.engine.link_received(link, bytes);
    }
    assert_eq!(server.run(a, &["PING"]), "+PONG\r\n");
    assert!(
        server
            .run(a, &["ROLE"])
            .starts_with("*5\r\n$5\r\nslave\r\n")
    );
    assert!(
        server
            .run(a, &["CONFIG", "GET", "maxmemory"])
            .ends_with("$1\r\n0\r\n")
    );
    assert_eq!(server.run(a, &["ACL", "USERS"]), "*1\r\n$7\r\ndefault\r\n");
    let info = server.run(a, &["INFO", "replication"]);
    let place = info
        .lines()
        .filter(|line| {
            line.starts_with("slave_repl_offset") || line.starts_with("master_link_status")
        })
        .collect();
    (server.run(a, &["DEBUG", "DIGEST"]), place)
}

fuzz_target!(|data: &[u8]| {
    let Some((piece, choices)) = data.split_first() else {
        return;
    };
    let stream = tern_fuzz::commands::stream(choices);
    let whole = followed(&stream, stream.len().max(1));
    assert_eq!(followed(&stream, usize::from(*piece) + 1), whole);
});
