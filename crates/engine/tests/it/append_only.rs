//! When the append-only file is synced.

use std::sync::atomic::Ordering;

use conf::ServerConfig;
use engine::Now;

use crate::harness::Server;

#[test]
fn a_wall_clock_that_is_set_back_does_not_put_off_the_sync_of_each_second() {
    let mut server = Server::with(ServerConfig {
        appendonly: true,
        ..ServerConfig::default()
    });
    server.engine.start_append_only(0).unwrap();
    let hour_us = 3_600_000_000;
    let wall_us = 1_000_000_000_000;
    for (second, unix_us) in [
        (10, wall_us),
        (12, wall_us - hour_us),
        (14, wall_us + hour_us),
    ] {
        let before = server.talk.syncs.load(Ordering::Relaxed);
        server.engine.set_now(Now {
            mono_ms: second * 1000,
            unix_us,
        });
        let a = server.a;
        server.run(a, &["SET", "k", "v"]);
        assert!(server.engine.flush_append_only());
        let after = server.talk.syncs.load(Ordering::Relaxed);
        assert_eq!(after, before + 1, "second {second}");
    }
}
