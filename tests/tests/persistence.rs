//! What was promised is on the disk: servers that are killed at any moment, and disks that are full.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tern_tests::daemon::{Client, Daemon, fields, run, text_of, wait_until};

const WRITERS: usize = 8;
const ROUNDS: u64 = 200;

/// Clients that count, each on a key of its own, until the server is gone; the last number that each was told.
struct Writers {
    acknowledged: Vec<Arc<AtomicU64>>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Writers {
    fn start(port: u16) -> Self {
        let acknowledged: Vec<Arc<AtomicU64>> = (0..WRITERS).map(|_| Arc::default()).collect();
        let threads = acknowledged
            .iter()
            .enumerate()
            .map(|(number, last)| {
                let last = Arc::clone(last);
                std::thread::spawn(move || {
                    let Ok(mut client) = Client::try_new(port) else {
                        return;
                    };
                    while let Ok(reply) = client.try_call(&format!("INCR counter:{number}")) {
                        if let client::Value::Int(value) = reply {
                            last.store(u64::try_from(value).unwrap(), Ordering::Release);
                        }
                    }
                })
            })
            .collect();
        Self {
            acknowledged,
            threads,
        }
    }

    fn join(self) -> Vec<u64> {
        self.threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
        let last = self.acknowledged.iter();
        last.map(|last| last.load(Ordering::Acquire)).collect()
    }
}

fn counter(server: &Daemon, number: usize) -> u64 {
    server
        .text(&format!("GET counter:{number}"))
        .parse()
        .unwrap_or(0)
}

#[test]
fn with_appendfsync_always_nothing_acknowledged_is_lost() {
    let mut server = Daemon::server(
        "appendonly yes\nappendfsync always\nsave \"\"\nauto-aof-rewrite-min-size 4kb",
    );
    let mut told = 0;
    for round in 0..ROUNDS {
        let writers = Writers::start(server.port);
        // The moment of the kill is what is tried out: there is nothing to wait for.
        std::thread::sleep(Duration::from_millis(5 + round * 17 % 41));
        server.kill();
        let acknowledged = writers.join();
        server.start();
        for (number, &last) in acknowledged.iter().enumerate() {
            let kept = counter(&server, number);
            assert!(
                kept >= last,
                "round {round}: {number} was told {last}, {kept} is kept"
            );
            told += u64::from(last > 0);
        }
    }
    assert!(told > ROUNDS, "hardly anything was acknowledged: {told}");
}

#[test]
fn with_appendfsync_everysec_two_seconds_are_lost_at_most() {
    let mut server = Daemon::server("appendonly yes\nappendfsync everysec\nsave \"\"");
    let mut client = server.client();
    let start = Instant::now();
    let mut told: Vec<(Duration, u64)> = Vec::new();
    while start.elapsed() < Duration::from_secs(3) {
        let value = client.text("INCR counter:0").parse().unwrap();
        told.push((start.elapsed(), value));
    }
    let killed = start.elapsed();
    server.kill();
    server.start();
    let kept = counter(&server, 0);
    let owed = told
        .iter()
        .rev()
        .find(|(at, _)| killed.saturating_sub(*at) >= Duration::from_secs(2))
        .map_or(0, |(_, value)| *value);
    assert!(owed > 0 && kept >= owed, "{kept} is kept of {owed}");
}

/// How big files may become, bytes, for a server and the children that it starts.
fn limit_files(server: &Daemon, size: &str) {
    let arguments = [
        "--pid",
        &server.pid().to_string(),
        &format!("--fsize={size}:unlimited"),
    ];
    let limited = run(Path::new("prlimit"), &arguments, "");
    assert_eq!(limited.code, Some(0), "{}", limited.out);
}

fn fill(client: &mut Client) {
    let value = "x".repeat(1000);
    for number in 0..200 {
        assert_eq!(
            client.text(&format!("SET key:{number} {value}:{number}")),
            "OK"
        );
    }
}

#[test]
fn a_full_disk_leaves_the_old_dump_whole() {
    let server = Daemon::server("save 3600 1000000\nrdbcompression no");
    let mut client = server.client();
    assert_eq!(client.text("SET old value"), "OK");
    assert_eq!(client.text("SAVE"), "OK");
    let dump = server.dir().join("dump.rdb");
    let old = std::fs::read(&dump).unwrap();
    fill(&mut client);
    limit_files(&server, "65536");
    assert!(client.text("SAVE").starts_with("ERR"));
    assert_eq!(client.text("BGSAVE"), "Background saving started");
    wait_until("a failed save", || {
        server.info_field("persistence", "rdb_last_bgsave_status") == "err"
    });
    assert_eq!(std::fs::read(&dump).unwrap(), old);
    let refused = client.text("SET new value");
    assert!(
        refused.starts_with("MISCONF Valkey is configured to save RDB snapshots"),
        "{refused}"
    );
    limit_files(&server, "unlimited");
    assert_eq!(client.text("BGSAVE"), "Background saving started");
    wait_until("a save", || {
        server.info_field("persistence", "rdb_last_bgsave_status") == "ok"
    });
    assert_eq!(client.text("SET new value"), "OK");
    assert_eq!(temporary_files(&server), 0);
}

fn temporary_files(server: &Daemon) -> usize {
    let names = std::fs::read_dir(server.dir()).unwrap();
    let temporary = names.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_string_lossy().starts_with("temp-")
    });
    temporary.count()
}

/// Sends a signal. Who is gone already gets none.
fn signal(name: &str, pid: &str) {
    let _ = run(Path::new("kill"), &["-s", name, pid], "");
}

/// Starts a child by this command, and stops it while it writes its temporary file; its process id.
fn stopped_child(server: &Daemon, command: &str) -> String {
    assert_eq!(server.text("DEBUG POPULATE 1000000"), "OK");
    let children = server.log().matches("started by pid ").count();
    assert!(server.text(command).ends_with(" started"));
    let log = server.log();
    assert_eq!(log.matches("started by pid ").count(), children + 1);
    let (_, pid) = log.rsplit_once("started by pid ").unwrap();
    let pid = pid.lines().next().unwrap().to_owned();
    wait_until("a temporary file", || temporary_files(server) == 1);
    signal("STOP", &pid);
    pid
}

#[test]
fn a_child_that_is_ended_leaves_nothing_behind_and_its_server_notices() {
    let commands = [
        ("BGSAVE", "Background saving", "rdb_last_bgsave_status"),
        (
            "BGREWRITEAOF",
            "Background AOF rewrite",
            "aof_last_bgrewrite_status",
        ),
    ];
    for (command, name, status) in commands {
        let mut server = Daemon::server("save \"\"");
        for (ending, number) in [("TERM", 15), ("KILL", 9)] {
            let pid = stopped_child(&server, command);
            signal(ending, &pid);
            signal("CONT", &pid);
            let line = format!("{name} terminated by signal {number}");
            wait_until(&line, || server.log().contains(&line));
            assert_eq!(temporary_files(&server), 0, "{command} {ending}");
            assert!(!server.dir().join("dump.rdb").exists());
            assert_eq!(server.info_field("persistence", status), "err");
        }
        let pid = stopped_child(&server, command);
        server.kill();
        // The port is free, even if the child is still there.
        server.start();
        signal("CONT", &pid);
        wait_until("no temporary file", || temporary_files(&server) == 0);
    }
}

#[test]
fn flushall_empties_the_dump_too_where_there_are_save_points() {
    let server = Daemon::server("save 3600 1000000");
    let dump = server.dir().join("dump.rdb");
    let pid = stopped_child(&server, "BGSAVE");
    let mut client = server.client();
    signal("CONT", &pid);
    assert_eq!(client.text("FLUSHALL"), "OK");
    let empty = || std::fs::read(&dump).unwrap().len();
    assert!(empty() < 200, "nothing but facts about the file");
    wait_until("the child's end", || {
        server
            .log()
            .contains("Background saving terminated by signal 10")
    });
    assert!(empty() < 200, "it stays so");
    assert_eq!(temporary_files(&server), 0);
    assert_eq!(
        server.info_field("persistence", "rdb_last_bgsave_status"),
        "ok"
    );
    assert_eq!(
        server.info_field("persistence", "rdb_changes_since_last_save"),
        "0",
        "the dump has them"
    );
    let quiet = Daemon::server("save \"\"");
    assert_eq!(quiet.text("FLUSHALL"), "OK");
    assert!(!quiet.dir().join("dump.rdb").exists());
}

#[test]
fn who_leaves_while_a_child_saves_is_let_go() {
    let server = Daemon::server("save \"\"");
    let mut client = server.client();
    let pid = stopped_child(&server, "BGSAVE");
    assert_eq!(client.text("QUIT"), "OK");
    assert!(client.try_call("PING").is_err());
    signal("CONT", &pid);
}

#[test]
fn a_replica_without_room_for_the_dump_keeps_its_data() {
    let master = Daemon::server("save \"\"\nrdbcompression no");
    fill(&mut master.client());
    let replica = Daemon::server("save \"\"");
    assert_eq!(replica.text("SET mine value"), "OK");
    assert_eq!(replica.text("SAVE"), "OK");
    let old = std::fs::read(replica.dir().join("dump.rdb")).unwrap();
    limit_files(&replica, "65536");
    let address = master.address().replace(':', " ");
    assert_eq!(replica.text(&format!("SLAVEOF {address}")), "OK");
    wait_until("a failed synchronization", || {
        replica.log().contains("Write error or short write writing to the DB dump file needed for PRIMARY <-> REPLICA synchronization: File too large")
    });
    assert_eq!(replica.text("GET mine"), "value");
    assert_eq!(replica.text("DBSIZE"), "1");
    assert_eq!(std::fs::read(replica.dir().join("dump.rdb")).unwrap(), old);
    limit_files(&replica, "unlimited");
    wait_until("a synchronization", || replica.text("DBSIZE") == "200");
    wait_until("the dump's place", || temporary_files(&replica) == 0);
}

#[test]
fn a_replica_that_waits_for_a_rewrite_is_served_when_the_rewrite_is_given_up() {
    let master = Daemon::server("save \"\"\nappendonly yes");
    let replica = Daemon::server("save \"\"");
    let pid = stopped_child(&master, "BGREWRITEAOF");
    let address = master.address().replace(':', " ");
    assert_eq!(replica.text(&format!("SLAVEOF {address}")), "OK");
    wait_until("a replica that waits", || {
        master
            .info_field("replication", "slave0")
            .contains("wait_bgsave")
    });
    // The server waits for the end of its child.
    let server = std::thread::spawn(move || {
        assert_eq!(master.text("CONFIG SET appendonly no"), "OK");
        master
    });
    signal("CONT", &pid);
    let master = server.join().unwrap();
    wait_until("a synchronization", || {
        replica.info_field("replication", "master_link_status") == "up"
    });
    assert_eq!(replica.text("DBSIZE"), master.text("DBSIZE"));
}

fn command(words: &[&str]) -> String {
    let mut text = format!("*{}\r\n", words.len());
    for word in words {
        text.push_str(&format!("${}\r\n{word}\r\n", word.len()));
    }
    text
}

#[test]
fn an_increment_by_a_float_keeps_the_time_of_expiry_in_the_file() {
    let server = Daemon::server("appendonly yes\nsave \"\"");
    assert_eq!(server.text("SET timed 1 EX 1000"), "OK");
    assert_eq!(server.text("INCRBYFLOAT timed 0.5"), "1.5");
    assert_eq!(server.text("INCRBYFLOAT kept 0.5"), "0.5");
    assert_eq!(server.text("DEBUG LOADAOF"), "OK");
    assert_eq!(server.text("GET timed"), "1.5");
    let left: u64 = server.text("TTL timed").parse().unwrap();
    assert!((900..=1000).contains(&left), "{left}");
    assert_eq!(server.text("TTL kept"), "-1");
}

/// Who is evicted first after a start depends on it.
#[test]
fn a_dump_tells_how_often_keys_were_used() {
    let mut server = Daemon::server("save 3600 1\nmaxmemory-policy allkeys-lfu\nlfu-decay-time 0");
    assert_eq!(server.text("SET key 1"), "OK");
    wait_until("the key is used often", || {
        assert_eq!(server.text("GET key"), "1");
        server.text("OBJECT FREQ key") == "9"
    });
    server.stop();
    server.start();
    assert_eq!(server.text("OBJECT FREQ key"), "9");
}

#[test]
fn what_changes_nothing_is_told_to_replicas_and_not_to_the_file() {
    let server = Daemon::server("appendonly yes\nsave \"\"");
    let replica = Daemon::server(&format!("slaveof {}", server.address().replace(':', " ")));
    wait_until("a synchronization", || {
        replica.info_field("replication", "master_link_status") == "up"
    });
    let mut listener = replica.client();
    let _ = listener.call("SUBSCRIBE news");
    let mut client = server.client();
    let script = "redis.call('publish','news',ARGV[1])";
    let _ = client.call_words(&[b"PUBLISH", b"news", b"plain"]);
    let _ = client.call_words(&[b"EVAL", script.as_bytes(), b"0", b"script"]);
    let sha1 = client.text(&format!("SCRIPT LOAD {script}"));
    let _ = client.call(&format!("EVALSHA {sha1} 0 hash"));
    for line in ["MULTI", "PUBLISH news transaction", "EXEC"] {
        let _ = client.call(line);
    }
    for word in ["plain", "script", "hash", "transaction"] {
        let client::Value::Array(parts) = listener.message() else {
            panic!("no message");
        };
        assert_eq!(text_of(&parts[2]), word);
    }
    let file = || std::fs::read_to_string(increment(&server, 1)).unwrap();
    let folded = |text: String| text.to_lowercase();
    assert_eq!(file(), "");
    assert_eq!(client.text("SET key value"), "OK");
    assert_eq!(
        folded(file()),
        folded(command(&["SELECT", "0"]) + &command(&["SET", "key", "value"]))
    );
}

#[test]
fn what_a_child_copied_is_told() {
    let server = Daemon::server("appendonly yes\nsave \"\"");
    for (command, busy, copied) in [
        ("BGSAVE", "rdb_bgsave_in_progress", "rdb_last_cow_size"),
        (
            "BGREWRITEAOF",
            "aof_rewrite_in_progress",
            "aof_last_cow_size",
        ),
    ] {
        assert_eq!(server.info_field("persistence", copied), "0");
        assert!(server.text(command).ends_with(" started"));
        wait_until("the child's end", || {
            server.info_field("persistence", busy) == "0"
        });
        let bytes: u64 = server.info_field("persistence", copied).parse().unwrap();
        // Its stack at least.
        assert!(bytes > 0);
    }
}

#[test]
fn a_dump_that_is_passed_over_for_an_empty_file_is_named() {
    const WARNING: &str = "The append only file is empty, and dump.rdb is not loaded.";
    let mut server = Daemon::server("save 3600 1000000");
    assert_eq!(server.text("SET key value"), "OK");
    assert_eq!(server.text("SAVE"), "OK");
    server.kill();
    let config = std::fs::read_to_string(server.config_path()).unwrap() + "\nappendonly yes\n";
    std::fs::write(server.config_path(), config).unwrap();
    server.start();
    assert_eq!(server.text("DBSIZE"), "0");
    assert!(server.log().contains(WARNING), "{}", server.log());
    assert_eq!(server.text("SET key other"), "OK");
    server.stop();
    server.start();
    assert_eq!(server.text("GET key"), "other");
    assert_eq!(server.log().matches(WARNING).count(), 1);
}

#[test]
fn a_check_tool_says_how_it_is_called() {
    let program = tern_tests::daemon::binary("server");
    for (argument, usage) in [
        (
            "--check-aof",
            " --check-aof [--fix|--truncate-to-timestamp $timestamp] <file.manifest|file.aof>",
        ),
        ("--check-dump", " --check-dump <dump.rdb>"),
    ] {
        let told = run(&program, &[argument], "");
        assert_eq!(told.code, Some(1));
        assert!(told.out.trim_end().ends_with(usage), "{}", told.out);
    }
}

#[test]
fn forms_that_newer_servers_append_are_understood_or_refused() {
    let mut server = Daemon::server("appendonly yes\nsave \"\"");
    server.stop();
    let path = increment(&server, 1);
    let known = [
        command(&["SET", "timed", "a", "PXAT", "32503680000000"]),
        command(&["SET", "timed", "1.5", "KEEPTTL"]),
        command(&["MULTI"]),
        command(&["HSET", "hash", "one", "1", "two", "2"]),
        command(&["EXEC"]),
    ];
    std::fs::write(&path, known.concat()).unwrap();
    server.start();
    assert_eq!(server.text("GET timed"), "1.5");
    assert!(server.text("PTTL timed").parse::<u64>().unwrap() > 1_000_000);
    assert_eq!(server.text("HGET hash two"), "2");
    server.stop();
    let unknown = [
        command(&["SET", "key", "value", "NX", "XX"]),
        command(&["SELECT", "16"]),
    ];
    for line in unknown {
        std::fs::write(&path, known.concat() + &line).unwrap();
        let program = tern_tests::daemon::binary("server");
        let started = run(&program, &[server.config_path().to_str().unwrap()], "");
        assert_eq!(started.code, Some(1), "{}", started.out);
        assert!(
            started
                .out
                .contains("has a form that this server does not know"),
            "{}",
            started.out
        );
    }
}

/// A part of the append-only file.
fn part(server: &Daemon, name: &str) -> std::path::PathBuf {
    server.dir().join("appendonlydir").join(name)
}

fn increment(server: &Daemon, number: u32) -> std::path::PathBuf {
    part(server, &format!("appendonly.aof.{number}.incr.aof"))
}

fn manifest(server: &Daemon) -> String {
    std::fs::read_to_string(part(server, "appendonly.aof.manifest")).unwrap()
}

#[test]
fn an_append_only_file_is_kept_in_parts() {
    let mut server = Daemon::server("appendonly yes\nsave \"\"");
    assert_eq!(
        manifest(&server),
        "file appendonly.aof.1.base.rdb seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n"
    );
    assert_eq!(server.text("SET before rewrite"), "OK");
    for (number, preamble) in [(2, "yes"), (3, "no")] {
        assert_eq!(
            server.text(&format!("CONFIG SET aof-use-rdb-preamble {preamble}")),
            "OK"
        );
        assert_eq!(
            server.text("BGREWRITEAOF"),
            "Background append only file rewriting started"
        );
        assert_eq!(
            server.text(&format!("LPUSH list {number}")),
            (number - 1).to_string()
        );
        wait_until("a rewrite", || {
            let info = server.info("persistence");
            info["aof_rewrite_in_progress"] == "0" && info["aof_last_bgrewrite_status"] == "ok"
        });
        let format = if preamble == "yes" { "rdb" } else { "aof" };
        assert_eq!(
            manifest(&server),
            format!(
                "file appendonly.aof.{number}.base.{format} seq {number} type b\n\
                 file appendonly.aof.{number}.incr.aof seq {number} type i\n"
            )
        );
        // What is of no use any more goes, on another thread.
        wait_until("the removal of history", || {
            std::fs::read_dir(server.dir().join("appendonlydir"))
                .unwrap()
                .count()
                == 3
        });
    }
    server.kill();
    server.start();
    assert_eq!(server.text("GET before"), "rewrite");
    assert_eq!(server.text("LRANGE list 0 -1"), "3\n2");
    let name = part(&server, "appendonly.aof.manifest");
    let checked = run(
        &tern_tests::daemon::binary("server"),
        &["--check-aof", name.to_str().unwrap()],
        "",
    );
    assert_eq!(checked.code, Some(0), "{}", checked.out);
    // A part that is missing is not passed over.
    server.stop();
    std::fs::remove_file(increment(&server, 3)).unwrap();
    let program = tern_tests::daemon::binary("server");
    let started = run(&program, &[server.config_path().to_str().unwrap()], "");
    assert_eq!(started.code, Some(1), "{}", started.out);
    assert!(
        started
            .out
            .contains("The append log file appendonly.aof.3.incr.aof doesn't exist"),
        "{}",
        started.out
    );
}

#[test]
fn files_of_no_use_stay_while_they_are_not_to_go() {
    let server = Daemon::server("appendonly yes\nsave \"\"");
    assert_eq!(server.text("CONFIG SET aof-disable-auto-gc yes"), "OK");
    let started = server.text("BGREWRITEAOF");
    assert_eq!(started, "Background append only file rewriting started");
    wait_until("a rewrite", || {
        server.info_field("persistence", "aof_rewrite_in_progress") == "0"
    });
    let current = "file appendonly.aof.2.base.rdb seq 2 type b\n\
                   file appendonly.aof.2.incr.aof seq 2 type i\n";
    let named = manifest(&server);
    assert!(named.contains("appendonly.aof.1.base.rdb seq 1 type h\n"));
    assert!(named.contains("appendonly.aof.1.incr.aof seq 1 type h\n"));
    assert!(increment(&server, 1).exists());
    assert_eq!(server.text("CONFIG SET aof-disable-auto-gc no"), "OK");
    assert_eq!(manifest(&server), current);
    wait_until("the removal of history", || {
        !increment(&server, 1).exists() && !part(&server, "appendonly.aof.1.base.rdb").exists()
    });
}

#[test]
fn data_make_room_only_for_a_dump_that_can_be_read() {
    let server = Daemon::server("save \"\"");
    assert_eq!(server.text("SET key value"), "OK");
    std::fs::write(server.dir().join("dump.rdb"), b"VALKEY987\xff").unwrap();
    assert_eq!(
        server.text("DEBUG RELOAD NOSAVE"),
        "ERR Error trying to load the RDB dump, check server logs."
    );
    assert_eq!(server.text("GET key"), "value");
    let log = server.log();
    assert!(log.contains("Can't handle RDB format version 987"), "{log}");
}

#[test]
fn no_transaction_ends_in_another_file_than_it_began_in() {
    let mut server = Daemon::server("appendonly yes\nsave \"\"");
    let mut client = server.client();
    for words in ["MULTI", "SET a 1", "BGREWRITEAOF", "SET b 2"] {
        assert!(["OK", "QUEUED"].contains(&client.text(words).as_str()));
    }
    assert_eq!(
        client.text("EXEC"),
        "OK\nBackground append only file rewriting scheduled\nOK"
    );
    let first = std::fs::read_to_string(increment(&server, 1)).unwrap();
    assert!(first.contains("MULTI") && first.contains("EXEC"), "{first}");
    wait_until("the rewrite", || {
        manifest(&server).contains("appendonly.aof.2.incr.aof")
            && server.info_field("persistence", "aof_rewrite_in_progress") == "0"
    });
    server.kill();
    server.start();
    assert_eq!(server.text("MGET a b"), "1\n2");
}

#[test]
fn a_single_file_of_an_older_release_is_taken_over() {
    let mut server = Daemon::server("appendonly yes\nsave \"\"");
    server.stop();
    let folder = server.dir().join("appendonlydir");
    let single = server.dir().join("appendonly.aof");
    for unfinished in [false, true] {
        std::fs::remove_dir_all(&folder).unwrap();
        std::fs::write(&single, command(&["SET", "key", "value"])).unwrap();
        if unfinished {
            // A crash came between the manifest and the move of the file.
            std::fs::create_dir(&folder).unwrap();
            let name = folder.join("appendonly.aof.manifest");
            std::fs::write(name, "file appendonly.aof seq 1 type b\n").unwrap();
        }
        server.start();
        assert_eq!(server.text("GET key"), "value");
        assert!(!single.exists());
        assert_eq!(
            manifest(&server),
            "file appendonly.aof seq 1 type b\nfile appendonly.aof.1.incr.aof seq 1 type i\n"
        );
        assert!(server.log().contains("Successfully migrated an old-style AOF file (appendonly.aof) into the AOF directory (appendonlydir)."));
        server.stop();
    }
    // A single file beside a file in parts is somebody else's.
    std::fs::write(&single, command(&["SET", "key", "other"])).unwrap();
    server.start();
    assert_eq!(server.text("GET key"), "value");
    assert!(single.exists());
}

#[test]
fn an_append_only_file_that_is_not_loaded_is_named() {
    const WARNING: &str = "There is an append only file in appendonlydir, which is not loaded, since appendonly is no";
    let mut server = Daemon::server("appendonly yes\nsave \"\"");
    server.stop();
    let config = std::fs::read_to_string(server.config_path()).unwrap();
    std::fs::write(
        server.config_path(),
        config.replace("appendonly yes", "appendonly no"),
    )
    .unwrap();
    server.start();
    assert_eq!(server.log().matches(WARNING).count(), 1);
    server.stop();
    std::fs::remove_dir_all(server.dir().join("appendonlydir")).unwrap();
    server.start();
    assert_eq!(server.log().matches(WARNING).count(), 1);
}

#[test]
fn a_damaged_end_is_cut_within_the_bound_that_is_configured() {
    let mut server = Daemon::server("appendonly yes\nsave \"\"\naof-load-corrupt-tail-max-size 10");
    assert_eq!(server.text("SET key value"), "OK");
    server.stop();
    let path = increment(&server, 1);
    let whole = std::fs::read_to_string(&path).unwrap();
    let start = |tail: &str| {
        std::fs::write(&path, format!("{whole}{tail}")).unwrap();
        run(
            &tern_tests::daemon::binary("server"),
            &[server.config_path().to_str().unwrap()],
            "",
        )
    };
    let told = start("damage of 11");
    assert_eq!(told.code, Some(1), "{}", told.out);
    assert!(
        told.out
            .contains("Bad file format reading the append only file appendonly.aof.1.incr.aof"),
        "{}",
        told.out
    );
    std::fs::write(&path, format!("{whole}damage")).unwrap();
    server.start();
    assert_eq!(server.text("GET key"), "value");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), whole);
}

#[test]
fn a_link_in_the_place_of_a_temporary_file_is_not_followed() {
    let server = Daemon::server("save \"\"");
    let victim = server.dir().join("victim");
    std::fs::write(&victim, "precious").unwrap();
    let temporary = server.dir().join(format!("temp-{}.rdb", server.pid()));
    std::os::unix::fs::symlink(&victim, &temporary).unwrap();
    assert_eq!(server.text("SAVE"), "OK");
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "precious");
    assert!(server.dir().join("dump.rdb").exists());
}

#[test]
fn what_is_written_during_a_rewrite_takes_no_memory_and_is_in_the_new_file() {
    const WRITES: usize = 4000;
    for on in ["yes", "no"] {
        let mut server = Daemon::server(&format!("appendonly {on}\nsave \"\""));
        let command = if on == "yes" {
            "BGREWRITEAOF"
        } else {
            "CONFIG SET appendonly yes"
        };
        assert_eq!(server.text("DEBUG POPULATE 1000000"), "OK");
        let mut client = server.client();
        let answer = client.text(command);
        assert!(answer == "OK" || answer.ends_with("started"), "{answer}");
        let log = server.log();
        let (_, pid) = log.rsplit_once("started by pid ").unwrap();
        let pid = pid.lines().next().unwrap().to_owned();
        signal("STOP", &pid);
        let used = |client: &mut Client| -> usize {
            fields(&client.text("INFO memory"))["used_memory"]
                .parse()
                .unwrap()
        };
        let value = "x".repeat(10_000);
        assert_eq!(client.text(&format!("SET big {value}")), "OK");
        let before = used(&mut client);
        for number in 0..WRITES {
            assert_eq!(client.text(&format!("SET big {number}{value}")), "OK");
        }
        let after = used(&mut client);
        assert!(after < before + (8 << 20), "{before} {after}");
        assert_eq!(client.text("LPUSH list during"), "1");
        signal("CONT", &pid);
        wait_until("a rewrite", || {
            let info = server.info("persistence");
            info["aof_rewrite_in_progress"] == "0" && info["aof_last_bgrewrite_status"] == "ok"
        });
        assert_eq!(client.text("LPUSH list after"), "2");
        // Under everysec a write may wait for a sync that is under way.
        wait_until("it is written", || {
            server.info_field("persistence", "aof_buffer_length") == "0"
        });
        assert_eq!(temporary_files(&server), 0);
        server.kill();
        std::fs::write(
            server.config_path(),
            std::fs::read_to_string(server.config_path())
                .unwrap()
                .replace("appendonly no", "appendonly yes"),
        )
        .unwrap();
        server.start();
        assert_eq!(server.text("GET big"), format!("{}{value}", WRITES - 1));
        assert_eq!(server.text("LRANGE list 0 -1"), "after\nduring");
        assert_eq!(server.text("DBSIZE"), "1000002");
    }
}

#[test]
fn a_full_disk_stops_writes_to_the_append_only_file_until_there_is_room() {
    let mut server = Daemon::server("appendonly yes\nappendfsync everysec\nsave \"\"");
    let mut client = server.client();
    fill(&mut client);
    // What waits for a sync that is under way would be refused as the first one.
    wait_until("all is written", || {
        server.info_field("persistence", "aof_buffer_length") == "0"
    });
    limit_files(&server, "65536");
    // This one is kept in memory, and is written when there is room.
    assert_eq!(client.text("SET first kept"), "OK");
    wait_until("a failed write", || {
        server.info_field("persistence", "aof_last_write_status") == "err"
    });
    assert_eq!(
        client.text("SET second refused"),
        "MISCONF Errors writing to the AOF file: File too large"
    );
    assert_eq!(client.text("GET first"), "kept");
    // It would be in the new base, and once more behind it.
    assert!(
        client
            .text("BGREWRITEAOF")
            .starts_with("ERR Can't execute an AOF background rewriting.")
    );
    limit_files(&server, "unlimited");
    wait_until("writes again", || client.text("SET third kept") == "OK");
    assert_eq!(
        client.text("BGREWRITEAOF"),
        "Background append only file rewriting started"
    );
    wait_until("a rewrite", || {
        server.info_field("persistence", "aof_last_bgrewrite_status") == "ok"
    });
    assert_eq!(client.text("SET fourth kept"), "OK");
    server.kill();
    server.start();
    assert_eq!(server.text("DBSIZE"), "203");
    assert_eq!(server.text("GET first"), "kept");
    assert_eq!(server.text("GET fourth"), "kept");
}

#[test]
fn under_always_a_write_that_fails_ends_the_server_unanswered() {
    let mut server = Daemon::server("appendonly yes\nappendfsync always\nsave \"\"");
    let mut client = server.client();
    fill(&mut client);
    limit_files(&server, "65536");
    assert!(client.try_call("SET lost value").is_err());
    assert_eq!(server.ended().code(), Some(1));
    assert!(server.log().contains(
        "Can't recover from AOF write error when the AOF fsync policy is 'always'. Exiting..."
    ));
    server.start();
    assert_eq!(server.text("DBSIZE"), "200");
}

#[test]
fn a_dump_without_a_checksum_loads_with_a_warning() {
    const WARNING: &str = "# RDB file was saved with checksum disabled: no check performed.";
    let mut server = Daemon::server("save 3600 1000000\nrdbchecksum no");
    assert_eq!(server.text("SET key value"), "OK");
    assert_eq!(server.text("SAVE"), "OK");
    let warned = |server: &mut Daemon| {
        server.kill();
        server.start();
        assert_eq!(server.text("GET key"), "value");
        server.log().matches(WARNING).count()
    };
    assert_eq!(warned(&mut server), 0);
    let config = std::fs::read_to_string(server.config_path()).unwrap();
    std::fs::write(
        server.config_path(),
        config.replace("rdbchecksum no", "rdbchecksum yes"),
    )
    .unwrap();
    assert_eq!(warned(&mut server), 1);
}

#[test]
fn a_damaged_file_stops_the_start_with_one_line() {
    let mut server = Daemon::server("save 3600 1000000");
    assert_eq!(server.text("SET key value"), "OK");
    assert_eq!(server.text("SAVE"), "OK");
    server.kill();
    let dump = server.dir().join("dump.rdb");
    let mut bytes = std::fs::read(&dump).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&dump, bytes).unwrap();
    let program = tern_tests::daemon::binary("server");
    let config = server.config_path();
    let started = run(&program, &[config.to_str().unwrap()], "");
    assert_eq!(started.code, Some(1), "{}", started.out);
    assert!(started.out.contains("dump.rdb"), "{}", started.out);
}

fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name());
    let mut names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_replica_takes_the_dump_that_it_received_as_the_base_of_its_file() {
    for streamed in ["no", "yes"] {
        let master = Daemon::server(&format!(
            "save \"\"\nrepl-diskless-sync {streamed}\nrepl-diskless-sync-delay 0"
        ));
        fill(&mut master.client());
        assert_eq!(master.text("SADD set a b c"), "3");
        assert_eq!(master.text("SET timed 1 EX 1000"), "OK");
        let mut replica = Daemon::server("appendonly yes\nappendfsync always\nsave \"\"");
        assert_eq!(replica.text("SET old 1"), "OK");
        let address = master.address().replace(':', " ");
        assert_eq!(replica.text(&format!("SLAVEOF {address}")), "OK");
        wait_until("a synchronization", || {
            replica.info_field("replication", "master_link_status") == "up"
        });
        wait_until("a base", || {
            replica.log().contains(
                "Reused RDB file from primary sync as AOF base file: appendonly.aof.2.base.rdb",
            )
        });
        assert_eq!(replica.info_field("stats", "total_forks"), "0");
        assert_eq!(master.text("SET after 1"), "OK");
        assert_eq!(master.text("WAITAOF 0 1 10000"), "0\n1");
        let folder = replica.dir().join("appendonlydir");
        wait_until("the old parts are gone", || {
            names_in(&folder)
                == [
                    "appendonly.aof.2.base.rdb",
                    "appendonly.aof.2.incr.aof",
                    "appendonly.aof.manifest",
                    "appendonly.aof.place",
                ]
        });
        let base = std::fs::read(folder.join("appendonly.aof.2.base.rdb")).unwrap();
        // A save does not write into the base.
        assert_eq!(replica.text("SAVE"), "OK");
        let again = std::fs::read(folder.join("appendonly.aof.2.base.rdb")).unwrap();
        assert_eq!(base, again);
        replica.kill();
        replica.start();
        assert_eq!(replica.text("DEBUG DIGEST"), master.text("DEBUG DIGEST"));
        assert_eq!(replica.text("GET after"), "1");
        // It knows its place in the stream as well: what it lacks is enough.
        assert_eq!(master.text("SET later 1"), "OK");
        assert_eq!(replica.text(&format!("SLAVEOF {address}")), "OK");
        wait_until("the stream goes on", || replica.text("GET later") == "1");
        assert_eq!(master.info_field("stats", "sync_full"), "1");
    }
}
