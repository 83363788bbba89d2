//! When the append-only file is synced, and where in the replication stream it stands.

use std::sync::atomic::Ordering;

use aof::{FilePlace, Manifest};
use conf::ServerConfig;
use engine::{ChildEnd, Now};

use crate::harness::{Server, peer};
use crate::replicas::{attach, field};

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
        server.set_now(Now {
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

/// A number of INFO's section of persistence.
fn told(server: &mut Server, name: &str) -> usize {
    let a = server.a;
    let info = server.run(a, &["INFO", "persistence"]);
    let line = info.lines().find(|line| line.starts_with(name));
    let (_, value) = line.unwrap().split_once(':').unwrap();
    value.parse().unwrap()
}

/// What waits to be written.
fn waiting(server: &mut Server) -> usize {
    told(server, "aof_buffer_length")
}

#[test]
fn what_waited_for_a_sync_is_written_while_clients_are_served() {
    let mut server = keeping();
    server.engine.start_append_only(0).unwrap();
    let a = server.a;
    tick_at(&mut server, 10);
    server.run(a, &["SET", "k", "v"]);
    assert!(server.engine.flush_append_only());
    // A sync is under way, and what is written meanwhile waits for it.
    tick_at(&mut server, 12);
    server.talk.syncing.store(true, Ordering::Relaxed);
    server.run(a, &["SET", "k", &"w".repeat(100_000)]);
    assert!(server.engine.flush_append_only());
    let size = |server: &mut Server| told(server, "aof_current_size");
    let (before, first) = (size(&mut server), waiting(&mut server));
    assert!(first > 100_000, "{first}");
    // It ends, and the other thread writes, while this one goes on.
    server.talk.syncing.store(false, Ordering::Relaxed);
    assert!(server.engine.flush_append_only());
    server.talk.syncing.store(true, Ordering::Relaxed);
    server.run(a, &["SET", "k", &"x".repeat(70_000)]);
    assert!(server.engine.flush_append_only());
    assert_eq!(size(&mut server), before);
    let both = waiting(&mut server);
    assert!(both > first + 70_000, "{both}");
    // What came during the write goes the same way, since it is much.
    server.talk.syncing.store(false, Ordering::Relaxed);
    assert!(server.engine.flush_append_only());
    assert_eq!(size(&mut server), before + first);
    assert_eq!(waiting(&mut server), both - first);
    server.run(a, &["SET", "k", "y"]);
    assert!(server.engine.flush_append_only());
    assert_eq!(
        (waiting(&mut server), size(&mut server)),
        (0, before + both + 27)
    );
}

/// A server whose other thread writes what has waited for a sync, at second 12.
fn writing_beside() -> Server {
    let mut server = keeping();
    server.engine.start_append_only(0).unwrap();
    let a = server.a;
    tick_at(&mut server, 10);
    server.run(a, &["SET", "k", "v"]);
    assert!(server.engine.flush_append_only());
    tick_at(&mut server, 12);
    server.talk.syncing.store(true, Ordering::Relaxed);
    server.run(a, &["SET", "k", "w"]);
    assert!(server.engine.flush_append_only());
    server.talk.syncing.store(false, Ordering::Relaxed);
    assert!(server.engine.flush_append_only());
    server
}

#[test]
fn what_the_other_thread_could_not_write_is_written_later_and_in_order() {
    let mut server = writing_beside();
    let a = server.a;
    server.run(a, &["SET", "k", "x"]);
    let both = waiting(&mut server);
    server.talk.full.store(true, Ordering::Relaxed);
    assert!(server.engine.flush_append_only());
    assert_eq!(waiting(&mut server), both);
    let refused = server.run(a, &["SET", "k", "y"]);
    assert!(refused.starts_with("-MISCONF"), "{refused}");
    server.talk.full.store(false, Ordering::Relaxed);
    tick_at(&mut server, 13);
    assert_eq!(waiting(&mut server), 0);
    assert_eq!(server.run(a, &["SET", "k", "y"]), "+OK\r\n");
}

#[test]
fn a_write_that_takes_too_long_is_waited_for() {
    let mut server = writing_beside();
    server.talk.syncing.store(true, Ordering::Relaxed);
    tick_at(&mut server, 13);
    assert!(waiting(&mut server) > 0);
    tick_at(&mut server, 14);
    assert_eq!(waiting(&mut server), 0);
    assert_eq!(told(&mut server, "aof_delayed_fsync"), 1);
}

fn keeping() -> Server {
    Server::with(ServerConfig {
        appendonly: true,
        repl_diskless_sync: false,
        ..ServerConfig::default()
    })
}

/// A server that is started on the files of another one, whose increments have these sizes.
fn restarted(slots: Vec<u8>, sizes: &[u64]) -> Server {
    let mut server = keeping();
    let mut manifest = Manifest::default();
    manifest.add_base(b"appendonly.aof", true);
    for size in sizes {
        let name = manifest.add_increment(b"appendonly.aof");
        let path = [b"appendonlydir/", &name[..]].concat();
        let content = vec![0; usize::try_from(*size).unwrap()];
        server.talk.files.borrow_mut().insert(path, content);
        server.talk.part_size.store(*size, Ordering::Relaxed);
    }
    let name = b"appendonlydir/appendonly.aof.place".to_vec();
    server.talk.files.borrow_mut().insert(name, slots);
    server.engine.set_manifest(manifest);
    server.engine.start_append_only(sizes.iter().sum()).unwrap();
    server
}

#[test]
fn a_server_that_was_killed_knows_its_place_in_the_stream() {
    let mut server = keeping();
    server.engine.start_append_only(0).unwrap();
    attach(&mut server, 7001);
    let a = server.a;
    for value in ["1", "22"] {
        server.run(a, &["SET", "k", value]);
        assert!(server.engine.flush_append_only());
    }
    let (id, offset) = (
        field(&mut server, "master_replid"),
        field(&mut server, "master_repl_offset"),
    );
    let slots = server.talk.slots.lock().unwrap().clone();
    let mut places: Vec<FilePlace> = FilePlace::read(&slots)
        .into_iter()
        .map(|(_, place)| place)
        .collect();
    places.sort_by_key(|place| place.size);
    // One for each write: whichever of them was the last that happened, one slot tells of it.
    let [before, after] = &places[..] else {
        panic!("{places:?}");
    };
    assert_eq!((&after.id, after.offset.to_string()), (&id, offset));
    for place in [before, after] {
        let mut again = restarted(slots.clone(), &[place.size]);
        assert_eq!(field(&mut again, "master_replid2"), id);
        let offset = field(&mut again, "master_repl_offset");
        assert_eq!(offset, place.offset.to_string());
    }
    // A replica that had less when the server was killed is given the rest.
    let mut again = restarted(slots.clone(), &[after.size]);
    let replica = again.engine.accept(peer()).unwrap();
    again.run(
        replica,
        &["REPLCONF", "listening-port", "7002", "capa", "psync2"],
    );
    let from = (before.offset + 1).to_string();
    let answer = again.run(replica, &["PSYNC", &id, &from]);
    assert!(answer.starts_with("+CONTINUE "), "{answer}");
    let rest = String::from_utf8(again.engine.stream(replica).to_vec()).unwrap();
    assert!(
        rest.starts_with("*3\r\n$3\r\nSET\r\n") && rest.ends_with("22\r\n"),
        "{rest}"
    );
    // A write that was cut off.
    let mut again = restarted(slots, &[after.size - 1]);
    assert_eq!(field(&mut again, "master_replid2"), "0".repeat(40));
}

#[test]
fn a_server_that_is_killed_as_a_rewrite_begins_knows_its_place_too() {
    let mut server = keeping();
    server.engine.start_append_only(0).unwrap();
    attach(&mut server, 7001);
    let a = server.a;
    server.run(a, &["SET", "k", "v"]);
    assert!(server.engine.flush_append_only());
    let (id, slots) = (
        field(&mut server, "master_replid"),
        server.talk.slots.lock().unwrap().clone(),
    );
    let [(_, place)] = &FilePlace::read(&slots)[..] else {
        panic!("one place")
    };
    assert_eq!(place.increment, 1);
    // The next increment has its name, and nothing was written to it; or the one before it was cut off.
    for (sizes, known) in [
        ([place.size, 0], true),
        ([place.size - 1, 0], false),
        ([place.size, 1], false),
    ] {
        let mut again = restarted(slots.clone(), &sizes);
        assert_eq!(
            field(&mut again, "master_replid2") == id,
            known,
            "{sizes:?}"
        );
    }
    server.talk.child.set(Some(ChildEnd::Done));
    let started = server.run(a, &["BGREWRITEAOF"]);
    assert!(started.starts_with("+Background"), "{started}");
    let slots = server.talk.slots.lock().unwrap().clone();
    let mut places = FilePlace::read(&slots).into_iter();
    assert!(places.any(|(_, new)| (new.increment, new.size, new.offset) == (2, 0, place.offset)));
}

/// What ends too early is not loaded where something follows it.
#[test]
fn what_belongs_behind_an_increment_waits_until_that_is_on_the_disk() {
    let mut server = keeping();
    server.engine.start_append_only(0).unwrap();
    let a = server.a;
    let first = "appendonlydir/appendonly.aof.1.incr.aof".to_owned();
    // The second time the disk takes too long, and clients wait.
    for (increment, begun, too_long) in [("1", 100, false), ("2", 200, true)] {
        tick_at(&mut server, begun);
        server.run(a, &["SET", "k", "v"]);
        assert!(server.engine.flush_append_only());
        server.talk.syncing.store(true, Ordering::Relaxed);
        server.talk.made_safe.lock().unwrap().clear();
        server.talk.child.set(Some(ChildEnd::Done));
        server.run(a, &["BGREWRITEAOF"]);
        assert!(server.talk.forked.get());
        server.run(a, &["SET", "k", "w"]);
        assert!(server.engine.flush_append_only());
        tick_at(&mut server, begun + 5);
        assert!(waiting(&mut server) > 0);
        let before = first.replace('1', increment);
        assert!(!server.talk.made_safe.lock().unwrap().contains(&before));
        if too_long {
            tick_at(&mut server, begun + 6);
        }
        server.talk.syncing.store(false, Ordering::Relaxed);
        // It may be synced twice, and then the other thread writes.
        for _ in 0..4 {
            assert!(server.engine.disk_went_on());
        }
        assert_eq!(waiting(&mut server), 0);
        assert!(server.talk.made_safe.lock().unwrap().contains(&before));
        assert_eq!(told(&mut server, "aof_delayed_fsync") > 0, too_long);
        server.engine.look_after_child();
    }
}

#[test]
fn a_rewrite_of_a_busy_server_waits_for_the_disk_while_clients_are_served() {
    let mut server = keeping();
    server.engine.start_append_only(0).unwrap();
    let a = server.a;
    server.run(a, &["CONFIG", "SET", "appendfsync", "everysec"]);
    tick_at(&mut server, 10);
    server.run(a, &["SET", "k", &"v".repeat(2_000_000)]);
    assert!(server.engine.flush_append_only());
    // A sync is under way from now on.
    tick_at(&mut server, 12);
    server.run(a, &["SET", "k", &"w".repeat(2_000_000)]);
    server.talk.syncing.store(true, Ordering::Relaxed);
    for second in [12, 15] {
        tick_at(&mut server, second);
        assert!(server.engine.flush_append_only());
    }
    server.talk.made_safe.lock().unwrap().clear();
    server.talk.child.set(Some(ChildEnd::Done));
    let started = server.run(a, &["BGREWRITEAOF"]);
    assert!(started.ends_with("rewriting started\r\n"), "{started}");
    server.engine.tick();
    assert!(server.talk.made_safe.lock().unwrap().is_empty());
    assert!(!server.talk.forked.get());
    let info = server.run(a, &["INFO", "persistence"]);
    assert!(info.contains("aof_rewrite_in_progress:1\r\n"), "{info}");
    let second = server.run(a, &["BGREWRITEAOF"]);
    assert!(second.ends_with("already in progress\r\n"), "{second}");
    // It waits while there is much, but not for ever.
    server.talk.syncing.store(false, Ordering::Relaxed);
    let mut ticks = 0;
    while !server.talk.forked.get() {
        server.run(a, &["SET", "k", &"x".repeat(2_000_000)]);
        assert!(server.engine.flush_append_only());
        server.engine.tick();
        ticks += 1;
        assert!(ticks < 10);
    }
    assert!(ticks > 1, "{ticks}");
    server.engine.look_after_child();
    server.engine.tick();
    let made_safe = server.talk.made_safe.lock().unwrap().clone();
    let increment = "appendonlydir/appendonly.aof.1.incr.aof";
    let manifest = "appendonlydir/appendonly.aof.manifest";
    let first = made_safe.iter().position(|name| name == manifest).unwrap();
    assert_eq!(made_safe[first - 1], increment);
    let info = server.run(a, &["INFO", "persistence"]);
    assert!(info.contains("aof_rewrite_in_progress:0\r\n"), "{info}");
    assert!(info.contains("aof_rewrite_scheduled:0\r\n"), "{info}");
}

#[test]
fn clients_are_served_while_the_manifest_of_a_rewrite_gets_to_the_disk() {
    let in_progress = |server: &mut Server| {
        let a = server.a;
        let info = server.run(a, &["INFO", "persistence"]);
        info.contains("aof_rewrite_in_progress:1\r\n")
    };
    let mut server = keeping();
    server.engine.start_append_only(0).unwrap();
    let a = server.a;
    // The last time no file is appended to.
    for turned_off in [false, true, false] {
        server.talk.child.set(Some(ChildEnd::Done));
        let started = server.run(a, &["BGREWRITEAOF"]);
        assert!(started.starts_with("+Background"), "{started}");
        server.talk.slow_manifests.set(true);
        server.engine.look_after_child();
        assert_eq!(server.run(a, &["SET", "k", "v"]), "+OK\r\n");
        server.engine.tick();
        assert!(in_progress(&mut server));
        let second = server.run(a, &["BGREWRITEAOF"]);
        assert!(
            second.ends_with("rewriting already in progress\r\n"),
            "{second}"
        );
        if turned_off {
            server.run(a, &["CONFIG", "SET", "appendonly", "no"]);
        } else {
            // The one that names the base is on the disk, not yet the one that forgets the earlier files.
            server.talk.ready_manifests.set(1);
            server.engine.tick();
            assert!(in_progress(&mut server));
            server.talk.slow_manifests.set(false);
            server.engine.tick();
        }
        assert!(!in_progress(&mut server));
        let info = server.run(a, &["INFO", "persistence"]);
        assert!(info.contains("aof_last_bgrewrite_status:ok\r\n"), "{info}");
    }
}

/// So many seconds after the start.
fn tick_at(server: &mut Server, second: u64) {
    server.set_now(Now {
        mono_ms: second * 1000,
        unix_us: 1_000_000_000_000 + second * 1_000_000,
    });
    server.engine.tick();
}

#[test]
fn a_first_file_whose_increment_is_lost_at_the_last_moment_is_written_anew() {
    let mut server = Server::with(ServerConfig::default());
    let a = server.a;
    server.talk.child.set(Some(ChildEnd::Done));
    let done = server.run(a, &["CONFIG", "SET", "appendonly", "yes"]);
    assert_eq!(done, "+OK\r\n");
    // It has yet to be written when the child ends.
    server.run(a, &["SET", "k", "v"]);
    server.talk.full.store(true, Ordering::Relaxed);
    assert_eq!(server.engine.look_after_child(), Some(true));
    let info = server.run(a, &["INFO", "persistence"]);
    assert!(info.contains("aof_last_bgrewrite_status:err\r\n"), "{info}");
    assert!(info.contains("aof_rewrite_scheduled:1\r\n"), "{info}");
    server.talk.full.store(false, Ordering::Relaxed);
    server.talk.child.set(Some(ChildEnd::Done));
    for second in [10, 20] {
        tick_at(&mut server, second);
    }
    server.run(a, &["SET", "k", "w"]);
    assert!(server.engine.flush_append_only());
    let info = server.run(a, &["INFO", "persistence"]);
    assert!(info.contains("aof_last_bgrewrite_status:ok\r\n"), "{info}");
    assert!(info.contains("aof_buffer_length:0\r\n"), "{info}");
}

#[test]
fn a_first_file_is_tried_again_soon_however_often_it_failed() {
    let mut server = Server::with(ServerConfig::default());
    let a = server.a;
    server.talk.child.set(Some(ChildEnd::Failed));
    server.run(a, &["CONFIG", "SET", "appendonly", "yes"]);
    for second in [10, 20, 30, 40, 50, 60, 90] {
        let end = if second < 90 {
            ChildEnd::Failed
        } else {
            ChildEnd::Done
        };
        server.engine.look_after_child();
        server.talk.child.set(Some(end));
        tick_at(&mut server, second);
    }
    server.engine.look_after_child();
    let info = server.run(a, &["INFO", "persistence"]);
    assert!(info.contains("aof_last_bgrewrite_status:ok\r\n"), "{info}");
    assert!(info.contains("aof_rewrite_scheduled:0\r\n"), "{info}");
}

/// What a failed sync could not write may be gone, whatever the size of the file says.
#[test]
fn no_place_is_told_of_a_file_that_could_not_be_synced() {
    let mut server = keeping();
    server.engine.start_append_only(0).unwrap();
    attach(&mut server, 7001);
    let a = server.a;
    server.run(a, &["CONFIG", "SET", "appendfsync", "everysec"]);
    server.run(a, &["SET", "k", "v"]);
    assert!(server.engine.flush_append_only());
    let places = |server: &Server| FilePlace::read(&server.talk.slots.lock().unwrap()).len();
    assert!(places(&server) > 0);
    server.talk.full.store(true, Ordering::Relaxed);
    for second in [10, 11, 12] {
        tick_at(&mut server, second);
    }
    assert!(server.run(a, &["SET", "k", "w"]).starts_with("-MISCONF"));
    assert_eq!(places(&server), 0);
}

/// The file that a rewrite has left is synced on another thread: that it fails may be told when the rewrite is long over.
#[test]
fn an_old_file_that_could_not_be_synced_is_made_up_for_by_another_rewrite() {
    let mut server = keeping();
    server.engine.start_append_only(0).unwrap();
    let a = server.a;
    let ticks = |server: &mut Server, seconds: std::ops::Range<u64>| {
        for second in seconds {
            tick_at(server, second);
        }
    };
    ticks(&mut server, 10..12);
    server.run(a, &["SET", "k", "v"]);
    assert!(server.engine.flush_append_only());
    server.talk.syncing.store(true, Ordering::Relaxed);
    server.talk.child.set(Some(ChildEnd::Done));
    server.run(a, &["BGREWRITEAOF"]);
    server.engine.look_after_child();
    assert_eq!(server.run(a, &["SET", "k", "w"]), "+OK\r\n");
    server.talk.full.store(true, Ordering::Relaxed);
    server.talk.syncing.store(false, Ordering::Relaxed);
    server.talk.child.set(None);
    ticks(&mut server, 12..14);
    assert!(server.run(a, &["SET", "k", "x"]).starts_with("-MISCONF"));
    server.talk.full.store(false, Ordering::Relaxed);
    server.talk.child.set(Some(ChildEnd::Done));
    ticks(&mut server, 14..30);
    server.engine.look_after_child();
    ticks(&mut server, 30..32);
    assert_eq!(server.run(a, &["SET", "k", "x"]), "+OK\r\n");
}

/// All goes on into the increment that there is, until the next one has its name; who asked for the rewrite is answered when it has begun.
#[test]
fn nobody_waits_for_the_name_of_an_increment() {
    let mut server = Server::with(ServerConfig {
        appendonly: true,
        appendfsync: conf::AppendFsync::Always,
        ..ServerConfig::default()
    });
    server.engine.start_append_only(0).unwrap();
    let a = server.a;
    server.talk.slow_manifests.set(true);
    server.talk.child.set(Some(ChildEnd::Done));
    server.run(a, &["BGREWRITEAOF"]);
    let last = |server: &mut Server, value: &str| {
        server.run(a, &["SET", "k", value]);
        assert!(server.engine.flush_append_only());
        assert!(!server.engine.has_unflushed());
        server.talk.made_safe.lock().unwrap().last().cloned()
    };
    for second in 10..20 {
        tick_at(&mut server, second);
        let last = last(&mut server, &second.to_string());
        assert_eq!(
            last.as_deref(),
            Some("appendonlydir/appendonly.aof.1.incr.aof")
        );
    }
    assert!(server.engine.holds_replies(a) && !server.talk.forked.get());
    assert_eq!(told(&mut server, "aof_rewrite_in_progress"), 1);
    server.talk.ready_manifests.set(1);
    assert!(server.engine.disk_went_on());
    assert!(!server.engine.holds_replies(a) && server.talk.forked.get());
    let last = last(&mut server, "w");
    assert_eq!(
        last.as_deref(),
        Some("appendonlydir/appendonly.aof.2.incr.aof")
    );
}

#[test]
fn a_rewrite_whose_increment_cannot_be_named_does_not_begin() {
    let mut server = keeping();
    server.engine.start_append_only(0).unwrap();
    let a = server.a;
    server.talk.child.set(Some(ChildEnd::Done));
    // That is told at once, or later.
    for slow in [false, true] {
        server.talk.failing_manifests.set(true);
        server.talk.slow_manifests.set(slow);
        let started = server.run(a, &["BGREWRITEAOF"]);
        assert_eq!(started.starts_with('+'), slow, "{started}");
        assert_eq!(server.engine.holds_replies(a), slow);
        server.talk.ready_manifests.set(u32::from(slow));
        server.engine.tick();
        assert!(!server.engine.holds_replies(a) && !server.talk.forked.get());
        let info = server.run(a, &["INFO", "persistence"]);
        assert!(info.contains("aof_last_bgrewrite_status:err\r\n"), "{info}");
        assert!(info.contains("aof_rewrite_in_progress:0\r\n"), "{info}");
        assert!(info.contains("aof_rewrite_scheduled:0\r\n"), "{info}");
        let size = told(&mut server, "aof_current_size");
        server.run(a, &["SET", "k", "v"]);
        assert!(server.engine.flush_append_only());
        assert_eq!(waiting(&mut server), 0);
        assert!(told(&mut server, "aof_current_size") > size);
    }
    server.talk.failing_manifests.set(false);
    server.talk.slow_manifests.set(false);
    server.run(a, &["BGREWRITEAOF"]);
    server.engine.look_after_child();
    let info = server.run(a, &["INFO", "persistence"]);
    assert!(info.contains("aof_last_bgrewrite_status:ok\r\n"), "{info}");
}

#[test]
fn a_sync_that_fails_under_always_ends_the_server_on_whichever_thread() {
    let mut server = Server::with(ServerConfig {
        appendonly: true,
        appendfsync: conf::AppendFsync::Everysec,
        ..ServerConfig::default()
    });
    server.engine.start_append_only(0).unwrap();
    let a = server.a;
    tick_at(&mut server, 10);
    server.run(a, &["SET", "k", "v"]);
    // A sync is under way when the policy changes.
    assert!(server.engine.flush_append_only());
    server.talk.full.store(true, Ordering::Relaxed);
    server.run(a, &["CONFIG", "SET", "appendfsync", "always"]);
    tick_at(&mut server, 11);
    assert!(!server.engine.flush_append_only());
    let told = server.run(a, &["BGREWRITEAOF"]);
    assert!(!server.talk.forked.get(), "{told}");
}

#[test]
fn no_file_is_nothing_to_load() {
    let mut server = Server::new();
    let a = server.a;
    assert_eq!(
        server.run(a, &["DEBUG", "LOADAOF"]),
        "-ERR Error trying to load the AOF files, check server logs.\r\n"
    );
}
