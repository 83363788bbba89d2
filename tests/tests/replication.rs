//! W2–W9: masters and slaves.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use tern_tests::daemon::{Client, Daemon, fields, run, wait_for, wait_until};

/// No save points: only replication writes dumps.
const QUIET: &str = "save \"\"";

fn slave_of(master: &Daemon, config: &str) -> Daemon {
    Daemon::server(&format!(
        "{QUIET}\nslaveof 127.0.0.1 {}\n{config}",
        master.port
    ))
}

fn wait_link(slave: &Daemon) {
    wait_until(&format!("{} is in step", slave.name), || {
        slave.info_field("replication", "master_link_status") == "up"
    });
}

fn wait_value(server: &Daemon, key: &str, value: &str) {
    wait_until(&format!("{key} is {value} on {}", server.name), || {
        server.text(&format!("GET {key}")) == value
    });
}

fn slaveof(slave: &Daemon, master: &Daemon) {
    assert_eq!(
        slave.text(&format!("SLAVEOF 127.0.0.1 {}", master.port)),
        "OK"
    );
}

/// Every one of these stands in the log, one after another.
fn assert_order(log: &str, texts: &[&str]) {
    let mut rest = log;
    for text in texts {
        let Some(at) = rest.find(text) else {
            panic!("'{text}' is not where it belongs in\n{log}");
        };
        rest = &rest[at + text.len()..];
    }
}

#[test]
fn w2_two_slaves_by_file_and_by_command() {
    let master = Daemon::server(QUIET);
    assert_eq!(master.text("SET before 1"), "OK");
    let by_file = slave_of(&master, "");
    let by_command = Daemon::server(QUIET);
    slaveof(&by_command, &master);
    for slave in [&by_file, &by_command] {
        wait_link(slave);
        assert_eq!(slave.info_field("replication", "role"), "slave");
        assert_eq!(slave.text("GET before"), "1");
    }
    wait_until("both are online", || {
        master
            .text("INFO replication")
            .matches("state=online")
            .count()
            == 2
    });
    let info = master.info("replication");
    assert_eq!(info["role"], "master");
    assert_eq!(info["connected_slaves"], "2");
    for (field, value) in info.iter().filter(|(field, _)| field.starts_with("slave")) {
        let parts: Vec<(&str, &str)> = value
            .split(',')
            .map(|part| part.split_once('=').unwrap())
            .collect();
        let names: Vec<&str> = parts.iter().map(|part| part.0).collect();
        assert_eq!(
            names,
            ["ip", "port", "state", "offset", "lag", "type"],
            "{field}"
        );
        assert_eq!(parts[0].1, "127.0.0.1");
        let port: u16 = parts[1].1.parse().unwrap();
        assert!([by_file.port, by_command.port].contains(&port), "{value}");
        parts[3].1.parse::<u64>().unwrap();
        assert!(parts[4].1.parse::<u64>().unwrap() <= 1, "{value}");
    }
    assert_eq!(master.text("SET after 2"), "OK");
    assert_eq!(master.text("HSET h f v"), "1");
    for slave in [&by_file, &by_command] {
        wait_value(slave, "after", "2");
        wait_until("a hash arrives", || slave.text("HGET h f") == "v");
    }
}

#[test]
fn w3_slaveof_by_command_lasts_only_when_it_is_written_down() {
    let master = Daemon::server(QUIET);
    let mut slave = Daemon::server(QUIET);
    slaveof(&slave, &master);
    wait_link(&slave);
    slave.stop();
    slave.start();
    assert_eq!(slave.info_field("replication", "role"), "master");
    slaveof(&slave, &master);
    assert_eq!(slave.text("CONFIG REWRITE"), "OK");
    slave.stop();
    slave.start();
    assert_eq!(slave.info_field("replication", "role"), "slave");
    wait_link(&slave);
}

#[test]
fn a_copy_comes_from_a_sibling_and_the_stream_from_the_primary() {
    const AT_ONCE: &str = "repl-diskless-sync-delay 0\nrepl-sync-source replica";
    let master = Daemon::server(&format!("{QUIET}\nrepl-diskless-sync-delay 0"));
    assert_eq!(master.text("SET before 1"), "OK");
    let sibling = slave_of(&master, AT_ONCE);
    wait_link(&sibling);
    wait_until("it has said how far it is", || {
        let info = master.text("INFO replication");
        info.contains("state=online") && !info.contains("offset=0,")
    });
    let copies = |server: &Daemon| server.info_field("stats", "sync_full");
    assert_eq!(copies(&master), "1");
    let mut slave = slave_of(&master, AT_ONCE);
    wait_until("it follows the primary itself", || {
        master.info_field("replication", "connected_slaves") == "2"
            && sibling.info_field("replication", "connected_slaves") == "0"
    });
    wait_value(&slave, "before", "1");
    assert_eq!(master.text("SET after 2"), "OK");
    wait_value(&slave, "after", "2");
    assert_eq!(
        (copies(&master), copies(&sibling)),
        ("1".to_owned(), "1".to_owned())
    );
    // One that refuses makes nobody wait for long.
    assert_eq!(sibling.text("CONFIG SET requirepass secret"), "OK");
    slave.stop();
    std::fs::remove_file(slave.dir().join("dump.rdb")).unwrap();
    slave.start();
    wait_value(&slave, "after", "2");
    wait_until("the primary has made one", || copies(&master) == "2");
}

/// What was ever added to a stream, and what its groups have read, comes with a copy, and stays in the primary's own dump.
#[test]
fn a_copy_tells_all_of_a_stream() {
    let master = Daemon::server(QUIET);
    for number in 1..=8 {
        let id = format!("{number}-1");
        assert_eq!(master.text(&format!("XADD s {id} f v")), id);
    }
    for line in [
        "XGROUP CREATE s g 0",
        "XREADGROUP GROUP g c COUNT 3 STREAMS s >",
        "XDEL s 5-1",
        "XTRIM s MAXLEN 4",
        "XGROUP CREATECONSUMER s g idle",
    ] {
        assert!(!master.text(line).starts_with("ERR"), "{line}");
    }
    let told = |server: &Daemon| server.text("XINFO STREAM s FULL");
    let before = told(&master);
    let slave = slave_of(&master, "");
    wait_link(&slave);
    assert_eq!(told(&slave), before);
    assert_eq!(master.text("BGSAVE"), "Background saving started");
    wait_until("the dump is there", || {
        master.info_field("persistence", "rdb_bgsave_in_progress") == "0"
            && master.info_field("persistence", "rdb_saves") != "0"
    });
    assert_eq!(master.text("DEBUG RELOAD NOSAVE"), "OK");
    assert_eq!(told(&master), before);
}

#[test]
fn w4_a_write_goes_down_a_chain() {
    let top = Daemon::server(QUIET);
    let middle = slave_of(&top, "");
    wait_link(&middle);
    let bottom = slave_of(&middle, "");
    wait_link(&bottom);
    assert_eq!(top.text("SET chain 1"), "OK");
    wait_value(&bottom, "chain", "1");
    assert_eq!(top.info_field("replication", "connected_slaves"), "1");
    assert_eq!(middle.info_field("replication", "connected_slaves"), "1");
}

#[test]
fn w5_slaves_are_read_only_until_told_otherwise() {
    let master = Daemon::server(QUIET);
    let slave = slave_of(&master, "");
    wait_link(&slave);
    assert_eq!(
        slave.text("SET k v"),
        "READONLY You can't write against a read only replica."
    );
    assert_eq!(slave.text("CONFIG SET slave-read-only no"), "OK");
    assert_eq!(slave.text("SET k v"), "OK");
    assert_eq!(master.text("GET k"), "(nil)");
}

#[test]
fn w6_both_logs_tell_the_copy() {
    let master = Daemon::server(&format!("{QUIET}\nrepl-diskless-sync no"));
    let slave = slave_of(&master, "");
    wait_link(&slave);
    let log = master.log();
    let (asks, full) = (
        format!(
            "* Replica 127.0.0.1:{} asks for synchronization",
            slave.port
        ),
        format!(
            "* Full resync requested by replica 127.0.0.1:{}",
            slave.port
        ),
    );
    let done = format!(
        "* Synchronization with replica 127.0.0.1:{} succeeded",
        slave.port
    );
    wait_until("the master's last line", || master.log().contains(&done));
    assert_order(
        &master.log(),
        &[
            "* Ready to accept connections tcp",
            &asks,
            &full,
            "* Starting BGSAVE for SYNC with target: disk",
            "* Background saving started by pid ",
            "* DB saved on disk",
            "* Background saving terminated with success",
            &done,
        ],
    );
    let connecting = format!("* Connecting to PRIMARY 127.0.0.1:{}", master.port);
    assert_order(
        &slave.log(),
        &[
            "* Ready to accept connections tcp",
            &connecting,
            "* PRIMARY <-> REPLICA sync started",
            "* Non blocking connect for SYNC fired the event.",
            "* Primary replied to PING, replication can continue...",
            "* Partial resynchronization not possible (no cached primary)",
            "* Full resync from primary: ",
            "* PRIMARY <-> REPLICA sync: receiving ",
            "* PRIMARY <-> REPLICA sync: Flushing old data",
            "* PRIMARY <-> REPLICA sync: Loading DB in memory",
            "* PRIMARY <-> REPLICA sync: Finished with success",
        ],
    );
    assert!(log.contains(&format!("{}:M ", master.pid())));
    assert!(slave.log().contains(&format!("{}:S ", slave.pid())));
    assert!(!slave.log().contains("DB loaded from disk"));

    assert_eq!(slave.text("SLAVEOF NO ONE"), "OK");
    assert_order(
        &slave.log(),
        &[
            "* PRIMARY <-> REPLICA sync: Finished with success",
            "* Connection with primary lost.",
            "* Caching the disconnected primary state.",
            "* Discarding previously cached primary state.",
            "* PRIMARY MODE enabled (user request",
        ],
    );
}

#[test]
fn w6_writes_during_the_copy_arrive_after_it() {
    let master = Daemon::server(QUIET);
    assert_eq!(master.text("DEBUG POPULATE 100000"), "OK");
    let slave = Daemon::server(QUIET);
    slaveof(&slave, &master);
    let mut writer = master.client();
    let mut count = 0_u32;
    let end = Instant::now() + Duration::from_secs(30);
    while slave.info_field("replication", "master_link_status") != "up" {
        assert!(Instant::now() < end, "no copy");
        for _ in 0..100 {
            count += 1;
            assert_eq!(writer.text(&format!("SET during:{count} {count}")), "OK");
        }
    }
    let keys = master.text("DBSIZE");
    assert_eq!(keys, (100_000 + count).to_string());
    wait_until("the slave has all keys", || slave.text("DBSIZE") == keys);
    assert_eq!(
        slave.text(&format!("GET during:{count}")),
        count.to_string()
    );
}

/// Makes a directory writable again, so that it can be removed.
struct ReadOnly<'a>(&'a std::path::Path);

impl<'a> ReadOnly<'a> {
    fn new(dir: &'a std::path::Path) -> Self {
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o555)).unwrap();
        Self(dir)
    }
}

impl Drop for ReadOnly<'_> {
    fn drop(&mut self) {
        let _ = std::fs::set_permissions(self.0, std::fs::Permissions::from_mode(0o755));
    }
}

/// A connection that asks for a copy as a replica does, and does not read.
fn asks_for_a_copy(master: &Daemon) -> TcpStream {
    let mut replica = TcpStream::connect(master.address()).unwrap();
    replica.write_all(b"PSYNC ? -1\r\n").unwrap();
    replica
}

/// The same of one that takes it from the child as it is made.
fn asks_for_a_streamed_copy(master: &Daemon) -> TcpStream {
    let mut replica = TcpStream::connect(master.address()).unwrap();
    replica
        .write_all(b"REPLCONF capa eof capa psync2\r\n")
        .unwrap();
    let mut answer = [0; 5];
    replica.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"+OK\r\n");
    replica.write_all(b"PSYNC ? -1\r\n").unwrap();
    replica
}

#[test]
fn a_dump_that_is_lost_is_not_joined_and_its_stream_is_not_kept() {
    // With a save point the child goes on without its replicas.
    let master = Daemon::server(
        "save 86400 1000000000\nclient-output-buffer-limit slave 4mb 0 0\nrepl-backlog-size 1mb\nrepl-throttle no",
    );
    assert_eq!(master.text("DEBUG POPULATE 1000000"), "OK");
    let _first = asks_for_a_copy(&master);
    wait_until("a child", || master.log().contains("started by pid "));
    let log = master.log();
    let (_, pid) = log.rsplit_once("started by pid ").unwrap();
    let pid = pid.lines().next().unwrap().to_owned();
    let _ = run(Path::new("kill"), &["-s", "STOP", &pid], "");
    let mut client = master.client();
    let value = "x".repeat(100_000);
    let used = |client: &mut Client| -> usize {
        fields(&client.text("INFO memory"))["used_memory"]
            .parse()
            .unwrap()
    };
    // A little: one more replica may join.
    assert_eq!(client.text(&format!("SET big {value}")), "OK");
    let before = used(&mut client);
    let _second = asks_for_a_copy(&master);
    wait_until("a second replica that waits", || {
        master.log().contains("Waiting for end of BGSAVE for SYNC")
    });
    // More than a replica may be behind: it is closed at once, and nothing is kept for it.
    for _ in 0..400 {
        assert_eq!(client.text(&format!("SET big {value}")), "OK");
    }
    assert_eq!(
        master.info_field("replication", "connected_slaves"),
        "0",
        "{}",
        master.log()
    );
    let after = used(&mut client);
    assert!(after < before + (6 << 20), "{before} {after}");
    let _third = asks_for_a_copy(&master);
    wait_until("a replica that waits for the next dump", || {
        master.log().contains("Waiting for next BGSAVE for SYNC")
    });
    let _ = run(Path::new("kill"), &["-s", "CONT", &pid], "");
    wait_until("the next dump", || {
        master.log().matches("started by pid ").count() == 2
    });
}

#[test]
fn a_replica_that_does_not_read_its_copy_is_dropped_and_others_go_on() {
    for diskless in ["yes", "no"] {
        let master = Daemon::server(&format!(
            "{QUIET}\nrepl-diskless-sync {diskless}\nrepl-diskless-sync-delay 1\nrepl-timeout 3\nrdbcompression no"
        ));
        let mut client = master.client();
        for number in 0..40 {
            let value = "x".repeat(1_000_000);
            assert_eq!(client.text(&format!("SET {number} {value}")), "OK");
        }
        let _deaf = asks_for_a_copy(&master);
        let slave = slave_of(&master, "repl-timeout 60");
        wait_until("the deaf one is dropped", || {
            master
                .log()
                .contains("Disconnecting timedout replica (full sync)")
        });
        wait_link(&slave);
        assert_eq!(slave.text("DBSIZE"), "40");
        assert_eq!(master.info_field("replication", "connected_slaves"), "1");
        wait_until("the child is gone", || {
            master.info_field("persistence", "rdb_bgsave_in_progress") == "0"
        });
    }
}

#[test]
fn a_child_that_streams_ends_with_its_last_replica() {
    let master = Daemon::server(&format!(
        "{QUIET}\nrepl-diskless-sync yes\nrepl-diskless-sync-delay 0\nrdbcompression no"
    ));
    let mut client = master.client();
    // More than the pipe and the sockets take.
    for number in 0..40 {
        let value = "x".repeat(1_000_000);
        assert_eq!(client.text(&format!("SET {number} {value}")), "OK");
    }
    let replica = asks_for_a_streamed_copy(&master);
    wait_until("a child", || {
        master
            .log()
            .contains("Background RDB transfer started by pid ")
    });
    drop(replica);
    wait_until("the child is gone", || {
        master.info_field("persistence", "rdb_bgsave_in_progress") == "0"
    });
    let slave = slave_of(&master, "");
    wait_link(&slave);
    assert_eq!(slave.text("DBSIZE"), "40");
}

#[test]
fn a_copy_is_whole_although_the_next_one_begins_as_it_ends() {
    let master = Daemon::server(&format!(
        "{QUIET}\nrepl-diskless-sync yes\nrepl-diskless-sync-delay 0\nrdb-key-save-delay 40000"
    ));
    for number in 0..50 {
        assert_eq!(master.text(&format!("SET {number} v")), "OK");
    }
    let slave = slave_of(&master, "");
    wait_until("a child", || {
        master
            .log()
            .contains("Background RDB transfer started by pid ")
    });
    let _next = asks_for_a_streamed_copy(&master);
    // That one's child would be waited for too long.
    let slowed = master.text("CONFIG SET rdb-key-save-delay 10000000");
    assert_eq!(slowed, "OK");
    wait_link(&slave);
    assert_eq!(slave.text("DBSIZE"), "50");
}

#[test]
fn the_old_data_stay_where_a_copy_cannot_become_the_dump_file() {
    let (master, slave) = (Daemon::server(QUIET), Daemon::server(QUIET));
    assert_eq!(master.text("SET new 1"), "OK");
    assert_eq!(slave.text("SET old 1"), "OK");
    let dump = slave.dir().join("dump.rdb");
    std::fs::create_dir(&dump).unwrap();
    slaveof(&slave, &master);
    wait_until("the copy is refused", || {
        slave
            .log()
            .contains("Failed trying to rename the temp DB into dump.rdb")
    });
    assert_eq!(slave.text("GET old"), "1");
    std::fs::remove_dir(&dump).unwrap();
    wait_value(&slave, "new", "1");
    assert_eq!(slave.text("DBSIZE"), "1");
}

/// The next replica that comes to a primary made of paper: its connection, and what it asked PSYNC for.
fn greets(primary: &TcpListener) -> (BufReader<TcpStream>, Vec<String>) {
    let stream = wait_for("a replica", Duration::from_secs(20), || {
        primary.accept().ok().map(|(stream, _)| stream)
    });
    stream.set_nonblocking(false).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut replica = BufReader::new(stream);
    loop {
        let words = request(&mut replica);
        let answer = match words[0].as_str() {
            "PSYNC" => return (replica, words),
            "PING" => "+PONG\r\n",
            _ => "+OK\r\n",
        };
        replica.get_mut().write_all(answer.as_bytes()).unwrap();
    }
}

fn request(replica: &mut BufReader<TcpStream>) -> Vec<String> {
    let mut line = String::new();
    let mut number = |replica: &mut BufReader<TcpStream>| -> usize {
        line.clear();
        replica.read_line(&mut line).unwrap();
        line[1..].trim_end().parse().unwrap()
    };
    let count = number(replica);
    let words = (0..count).map(|_| {
        let mut word = vec![0; number(replica) + 2];
        replica.read_exact(&mut word).unwrap();
        String::from_utf8_lossy(&word).trim_end().to_owned()
    });
    words.collect()
}

#[test]
fn a_replica_that_hung_has_what_its_primary_had_sent_before_it_was_killed() {
    const KEYS: usize = 500;
    let primary = TcpListener::bind("127.0.0.1:0").unwrap();
    primary.set_nonblocking(true).unwrap();
    let port = primary.local_addr().unwrap().port();
    let slave = Daemon::server(&format!("{QUIET}\nslaveof 127.0.0.1 {port}"));
    let (mut replica, _) = greets(&primary);
    let mut copy = format!("+FULLRESYNC {} 0\r\n$18\r\n", "a".repeat(40)).into_bytes();
    copy.extend_from_slice(b"REDIS0009\xff\0\0\0\0\0\0\0\0");
    replica.get_mut().write_all(&copy).unwrap();
    wait_link(&slave);
    // Its acknowledgement is not read: to close the connection now is to reset it.
    replica.get_ref().peek(&mut [0]).unwrap();
    slave.signal("STOP");
    let writes = (0..KEYS).map(|key| format!("SET {key} {}\r\n", "v".repeat(100)));
    let stream = format!("SELECT 0\r\n{}", writes.collect::<String>());
    replica.get_mut().write_all(stream.as_bytes()).unwrap();
    // Until its next acknowledgement is due, which it tries before it has read all.
    std::thread::sleep(Duration::from_millis(1100));
    drop((replica, primary));
    slave.signal("CONT");
    wait_until("what had come is there", || {
        slave.text("DBSIZE") == KEYS.to_string()
    });
}

#[test]
fn a_replica_does_not_go_on_behind_a_command_that_it_cannot_apply() {
    let primary = TcpListener::bind("127.0.0.1:0").unwrap();
    primary.set_nonblocking(true).unwrap();
    let port = primary.local_addr().unwrap().port();
    let slave = Daemon::server(&format!("{QUIET}\nslaveof 127.0.0.1 {port}"));
    let (mut replica, asked) = greets(&primary);
    assert_eq!(asked[1..], ["?", "-1"]);
    let id = "a".repeat(40);
    let known = "SELECT 0\r\nSET a 1\r\n";
    let later = "JSON.SET k $ 1\r\nSET b 2\r\n";
    let mut copy = format!("+FULLRESYNC {id} 0\r\n$18\r\n").into_bytes();
    copy.extend_from_slice(b"REDIS0009\xff\0\0\0\0\0\0\0\0");
    copy.extend_from_slice(format!("{known}{later}").as_bytes());
    replica.get_mut().write_all(&copy).unwrap();

    // It comes back for what is behind the last command that it has applied, and again.
    for _ in 0..2 {
        let (again, asked) = greets(&primary);
        assert_eq!(asked[1..], [id.clone(), (known.len() + 1).to_string()]);
        replica = again;
        let answer = format!("+CONTINUE\r\n{later}");
        replica.get_mut().write_all(answer.as_bytes()).unwrap();
    }
    assert_eq!(slave.text("GET a"), "1");
    assert_eq!(slave.text("EXISTS b"), "0");
    let log = slave.log();
    let line = format!(
        "could not apply the command 'JSON.SET' of its primary: ERR unknown command 'JSON.SET', with args beginning with: 'k' '$' '1'. The link is broken behind offset {}",
        known.len()
    );
    assert!(log.contains(&line), "{log}");
    let errors = slave.info_field("stats", "unexpected_error_replies");
    assert!(errors.parse::<u32>().unwrap() >= 2, "{errors}");

    assert_eq!(slave.text("CONFIG SET replica-unknown-command log"), "OK");
    let (mut replica, _) = greets(&primary);
    let answer = format!("+CONTINUE\r\n{later}");
    replica.get_mut().write_all(answer.as_bytes()).unwrap();
    wait_value(&slave, "b", "2");
    assert_eq!(slave.info_field("replication", "master_link_status"), "up");
}

#[test]
fn a_replica_that_clients_write_to_leaves_out_what_it_cannot_apply() {
    let master = Daemon::server(QUIET);
    let slave = slave_of(&master, "replica-read-only no");
    wait_link(&slave);
    assert_eq!(slave.text("SET n text"), "OK");
    assert_eq!(master.text("INCRBY n 1"), "1");
    assert_eq!(master.text("SET k v"), "OK");
    wait_value(&slave, "k", "v");
    assert_eq!(slave.text("GET n"), "text");
    let log = slave.log();
    assert_eq!(log.matches("could not apply the command").count(), 1);
    assert!(!log.contains("The link is broken"), "{log}");
}

#[test]
fn a_replica_that_was_told_to_follow_nobody_gets_a_full_copy_when_it_is_to_follow_again() {
    let master = Daemon::server(QUIET);
    let slave = slave_of(&master, "");
    wait_link(&slave);
    let copies = || master.info_field("stats", "sync_full");
    assert_eq!(copies(), "1");
    assert_eq!(slave.text("REPLICAOF NO ONE"), "OK");
    slaveof(&slave, &master);
    wait_link(&slave);
    assert_eq!(copies(), "2");
}

#[test]
fn w7_a_diskless_copy_leaves_no_file_at_the_master() {
    let home = tempfile::tempdir().unwrap();
    let data = home.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let master = Daemon::server(&format!(
        "{QUIET}\nrepl-diskless-sync yes\nrepl-diskless-sync-delay 0\ndir {}",
        data.display()
    ));
    assert_eq!(master.text("SET k v"), "OK");
    let _read_only = ReadOnly::new(&data);
    let slave = slave_of(&master, "");
    wait_link(&slave);
    assert_eq!(slave.text("GET k"), "v");
    assert_order(&master.log(), &["* Starting BGSAVE for SYNC with target: "]);
    assert!(master.log().contains("socket"), "{}", master.log());
    assert_eq!(std::fs::read_dir(&data).unwrap().count(), 0);
    assert_eq!(master.text("SET k w"), "OK");
    wait_value(&slave, "k", "w");
}

#[test]
fn a_copy_that_is_not_to_touch_the_disk_leaves_no_file_at_the_replica() {
    let master = Daemon::server(&format!(
        "{QUIET}\nrepl-diskless-sync-delay 0\nrdbcompression no"
    ));
    // More than is given back at once.
    assert_eq!(
        master.text(&format!("SET large {}", "0123456789".repeat(300_000))),
        "OK"
    );
    for how in ["swapdb", "flush-before-load", "on-empty-db"] {
        let home = tempfile::tempdir().unwrap();
        let data = home.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let slave = Daemon::server(&format!(
            "{QUIET}\nrepl-diskless-load {how}\ndir {}",
            data.display()
        ));
        if how != "on-empty-db" {
            assert_eq!(slave.text("SET old 1"), "OK");
        }
        let _read_only = ReadOnly::new(&data);
        slaveof(&slave, &master);
        wait_link(&slave);
        assert_eq!(slave.text("STRLEN large"), "3000000", "{how}");
        assert_eq!(slave.text("EXISTS old"), "0");
        assert!(
            slave.log().contains("from primary to memory")
                || slave.log().contains("with EOF to memory"),
            "{}",
            slave.log()
        );
        assert_eq!(std::fs::read_dir(&data).unwrap().count(), 0);
        assert_eq!(master.text(&format!("SET {how} 1")), "OK");
        wait_value(&slave, how, "1");
    }
}

/// A dump of so many keys of so many bytes.
fn dump_of(keys: usize, bytes: usize) -> Vec<u8> {
    let master = Daemon::server(&format!("{QUIET}\nrdbcompression no"));
    assert_eq!(
        master.text(&format!("DEBUG POPULATE {keys} key {bytes}")),
        "OK"
    );
    assert_eq!(master.text("SAVE"), "OK");
    std::fs::read(master.dir().join("dump.rdb")).unwrap()
}

#[test]
fn a_copy_into_memory_is_loaded_while_it_comes() {
    const KEYS: usize = 2000;
    let dump = dump_of(KEYS, 100);
    let (first, rest) = dump.split_at(dump.len() / 2);
    let mark = "m".repeat(40);
    for (how, loading, served) in [
        ("swapdb", "async_loading", "1"),
        ("flush-before-load", "loading", ""),
        ("on-empty-db", "loading", ""),
    ] {
        for whole in [false, true] {
            let primary = TcpListener::bind("127.0.0.1:0").unwrap();
            primary.set_nonblocking(true).unwrap();
            let port = primary.local_addr().unwrap().port();
            let slave = Daemon::server(&format!("{QUIET}\nrepl-diskless-load {how}"));
            if how != "on-empty-db" {
                assert_eq!(slave.text("SET old 1"), "OK");
            }
            let follow = format!("REPLICAOF 127.0.0.1 {port}");
            assert_eq!(slave.text(&follow), "OK");
            let (mut replica, _) = greets(&primary);
            let begin = format!("+FULLRESYNC {} 0\r\n$EOF:{mark}\r\n", "a".repeat(40));
            replica.get_mut().write_all(begin.as_bytes()).unwrap();
            replica.get_mut().write_all(first).unwrap();
            wait_until("much of what came is loaded", || {
                let info = slave.info("persistence");
                let loaded = info.get("loading_loaded_bytes");
                info[loading] == "1"
                    && loaded
                        .is_some_and(|loaded| loaded.parse::<usize>().unwrap() > dump.len() / 3)
            });
            assert_eq!(
                slave.info_field("replication", "master_sync_in_progress"),
                "1"
            );
            let old = slave.text("GET old");
            assert!(
                old == served || served.is_empty() && old.starts_with("LOADING"),
                "{how}: {old}"
            );
            if whole {
                replica.get_mut().write_all(rest).unwrap();
                replica.get_mut().write_all(mark.as_bytes()).unwrap();
                wait_link(&slave);
                replica.get_mut().write_all(b"SET behind 1\r\n").unwrap();
                wait_value(&slave, "behind", "1");
                assert_eq!(slave.text("DBSIZE"), (KEYS + 1).to_string(), "{how}");
            } else {
                // Nobody takes the place of the primary that is gone.
                drop((replica, primary));
                wait_until("nothing is loaded any more", || {
                    slave.info_field("persistence", loading) == "0"
                });
                assert_eq!(
                    slave.text("DBSIZE"),
                    if how == "swapdb" { "1" } else { "0" },
                    "{how}"
                );
            }
        }
    }
}

#[test]
fn who_sends_a_copy_waits_while_much_of_it_is_to_be_loaded() {
    const KEYS: usize = 60_000;
    let dump = dump_of(KEYS, 1000);
    let primary = TcpListener::bind("127.0.0.1:0").unwrap();
    primary.set_nonblocking(true).unwrap();
    let port = primary.local_addr().unwrap().port();
    let slave = Daemon::server(&format!(
        "{QUIET}\nrepl-diskless-load on-empty-db\nkey-load-delay 1000000\nreplicaof 127.0.0.1 {port}"
    ));
    let (mut replica, _) = greets(&primary);
    let begin = format!("+FULLRESYNC {} 0\r\n${}\r\n", "a".repeat(40), dump.len());
    replica.get_mut().write_all(begin.as_bytes()).unwrap();
    let sent = std::thread::scope(|scope| {
        let mut socket = replica.get_ref().try_clone().unwrap();
        let sender = scope.spawn(move || socket.write_all(&dump).unwrap());
        let came = || -> usize {
            let info = slave.info("replication");
            let came = info
                .get("master_sync_read_bytes")
                .map_or("0", String::as_str);
            came.parse().unwrap()
        };
        wait_until("much has come", || came() > 16_000_000);
        // It stands still: what is read at once is little.
        let before = came();
        let pings = (0..20).map(|_| slave.text("INFO replication"));
        assert_eq!(pings.count(), 20);
        assert!(came() < 30_000_000, "{before} and then {}", came());
        assert!(!sender.is_finished());
        assert_eq!(slave.text("CONFIG SET key-load-delay 0"), "OK");
        sender.join()
    });
    sent.unwrap();
    wait_link(&slave);
    assert_eq!(slave.text("DBSIZE"), KEYS.to_string());
}

#[test]
fn a_replica_with_data_takes_a_copy_by_way_of_the_disk_where_only_an_empty_one_is_not_to() {
    let master = Daemon::server(&format!("{QUIET}\nrepl-diskless-sync-delay 0"));
    let slave = Daemon::server(&format!("{QUIET}\nrepl-diskless-load on-empty-db"));
    assert_eq!(slave.text("SET old 1"), "OK");
    slaveof(&slave, &master);
    wait_link(&slave);
    assert!(slave.log().contains("with EOF to disk"), "{}", slave.log());
}

#[test]
fn w8_a_slave_that_comes_back_soon_gets_what_it_missed_only() {
    let master = Daemon::server(QUIET);
    let slave = slave_of(&master, "");
    wait_link(&slave);
    assert_eq!(master.text("SET before 1"), "OK");
    wait_value(&slave, "before", "1");
    let full = master.info_field("stats", "sync_full");
    assert_eq!(master.text("CLIENT KILL TYPE slave"), "1");
    assert_eq!(master.text("SET missed 1"), "OK");
    wait_value(&slave, "missed", "1");
    wait_link(&slave);
    let stats = master.info("stats");
    assert_eq!(stats["sync_partial_ok"], "1");
    assert_eq!(stats["sync_full"], full);
    assert!(
        slave
            .log()
            .contains("* PRIMARY <-> REPLICA sync: Primary accepted a Partial Resynchronization.")
    );
}

/// The copy goes on from the dump's place in the stream: it is told what the dump held and its primary left out.
#[test]
fn what_expired_while_the_primary_was_away_goes_at_the_replica_too() {
    let mut master = Daemon::server("save 3600 1\nrepl-diskless-sync-delay 0");
    let slave = slave_of(&master, "");
    wait_link(&slave);
    assert_eq!(master.text("DEBUG SET-ACTIVE-EXPIRE 0"), "OK");
    assert_eq!(master.text("HSET hash stays 1 f 1 g 1"), "3");
    assert_eq!(master.text("HSET all f 1"), "1");
    for key in ["hash", "all"] {
        let told = master.call(&format!("HPEXPIRE {key} 1 FIELDS 2 f g"));
        assert!(told.as_array().is_some());
    }
    assert_eq!(master.text("SET key 1 PX 1"), "OK");
    wait_offsets(&master, &slave);
    wait_until("their time is over", || master.text("EXISTS key") == "0");
    master.stop();
    master.start();
    wait_link(&slave);
    assert_eq!(stat(&master, "sync_partial_ok"), 1);
    wait_until("nothing else is left", || {
        slave.text("HLEN hash") == "1" && slave.text("DBSIZE") == "1"
    });
}

#[test]
fn w9_a_slave_takes_over_by_hand_and_the_old_master_follows() {
    let mut master = Daemon::server(QUIET);
    let slave = slave_of(&master, "");
    let other = slave_of(&master, "");
    wait_link(&slave);
    wait_link(&other);
    assert_eq!(master.text("SET old 1"), "OK");
    wait_value(&slave, "old", "1");
    master.kill();
    assert_eq!(slave.text("SLAVEOF NO ONE"), "OK");
    assert_eq!(slave.text("SET new 2"), "OK", "writes go on at once");
    slaveof(&other, &slave);
    wait_value(&other, "new", "2");
    master.start();
    slaveof(&master, &slave);
    wait_link(&master);
    assert_eq!(master.text("GET new"), "2");
    assert_eq!(master.text("GET old"), "1");
    assert_eq!(slave.info_field("replication", "connected_slaves"), "2");
}

/// Both keep an append-only file.
const KEEPING: &str = "appendonly yes\nrepl-diskless-sync-delay 0";

fn stat(server: &Daemon, field: &str) -> u64 {
    server.info_field("stats", field).parse().unwrap()
}

fn wait_offsets(master: &Daemon, slave: &Daemon) {
    wait_until("the offsets are equal", || {
        let [of_master, of_slave] =
            [master, slave].map(|server| server.info_field("replication", "master_repl_offset"));
        of_master == of_slave
    });
}

#[test]
fn a_replica_that_was_killed_goes_on_from_its_append_only_file() {
    let master = Daemon::server(&format!("{QUIET}\n{KEEPING}"));
    let mut slave = slave_of(&master, KEEPING);
    wait_link(&slave);
    // The copy that came becomes the base of the file beside the serving: one that is killed before takes it again.
    wait_until("the copy is the base of the file", || {
        slave.log().contains("is the AOF base file") || slave.log().contains("as AOF base file")
    });
    for round in 1..=3_u64 {
        assert_ne!(master.text(&format!("INCRBY counted {round}")), "");
        wait_offsets(&master, &slave);
        slave.kill();
        assert_ne!(master.text(&format!("INCRBY counted {round}")), "");
        slave.start();
        wait_link(&slave);
        wait_offsets(&master, &slave);
        assert_eq!(slave.text("GET counted"), master.text("GET counted"));
        assert_eq!(stat(&master, "sync_full"), 1, "round {round}");
        assert_eq!(stat(&master, "sync_partial_ok"), round);
    }
}

#[test]
fn a_primary_that_was_killed_goes_on_from_its_append_only_file() {
    let mut master = Daemon::server(&format!("{QUIET}\n{KEEPING}"));
    let slave = slave_of(&master, KEEPING);
    wait_link(&slave);
    assert_ne!(master.text("INCRBY counted 5"), "");
    wait_offsets(&master, &slave);
    // It comes back as what it was.
    master.kill();
    master.start();
    wait_link(&slave);
    assert_eq!(stat(&master, "sync_full"), 0);
    assert_eq!(stat(&master, "sync_partial_ok"), 1);
    assert_ne!(master.text("INCRBY counted 5"), "");
    wait_value(&slave, "counted", "10");
    wait_offsets(&master, &slave);
    // It comes back, and another one is in its place.
    master.kill();
    assert_eq!(slave.text("REPLICAOF NO ONE"), "OK");
    assert_ne!(slave.text("INCRBY counted 5"), "");
    let full = stat(&slave, "sync_full");
    master.start();
    slaveof(&master, &slave);
    wait_link(&master);
    wait_value(&master, "counted", "15");
    assert_eq!(stat(&slave, "sync_full"), full);
}

#[test]
fn a_master_that_comes_back_empty_does_not_empty_its_replicas() {
    let mut master = Daemon::server(&format!("{QUIET}\nrepl-diskless-sync-delay 0"));
    for number in 0..20 {
        assert_eq!(master.text(&format!("SET key:{number} 1")), "OK");
    }
    let slave = slave_of(&master, "");
    wait_link(&slave);
    assert_eq!(master.text("SET last 1"), "OK");
    wait_value(&slave, "last", "1");
    let place = |server: &Daemon| {
        let mut info = server.info("replication");
        info.remove("master_replid")
            .zip(info.remove("slave_repl_offset"))
    };
    master.kill();
    let before = place(&slave);
    master.start();
    wait_until("the empty copy is refused", || {
        (slave.info("replication")).contains_key("empty_master_refused_seconds_left")
    });
    assert_eq!(slave.text("DBSIZE"), "21");
    assert_eq!(
        slave.info_field("replication", "master_link_status"),
        "down"
    );
    assert_eq!(place(&slave), before, "others may go on from here");
    assert_order(
        &slave.log(),
        &[
            "This replica keeps its data",
            "came back without its data: it offers a copy of 0 keys in a new stream, where 21 are here",
        ],
    );
    // An operator may want it all the same.
    assert_eq!(
        slave.text(&format!("REPLICAOF 127.0.0.1 {}", master.port)),
        "OK Already connected to specified master"
    );
    wait_link(&slave);
    assert_eq!(slave.text("DBSIZE"), "0");
    assert!(!(slave.info("replication")).contains_key("empty_master_refused_seconds_left"));
}

#[test]
fn an_empty_master_gets_the_replica_after_its_grace() {
    let mut master = Daemon::server(&format!("{QUIET}\nrepl-diskless-sync-delay 0"));
    let slave = slave_of(&master, "repl-empty-master-grace 2");
    wait_link(&slave);
    assert_eq!(master.text("SET k 1"), "OK");
    wait_value(&slave, "k", "1");
    master.kill();
    master.start();
    wait_until("the copy was refused", || {
        slave
            .log()
            .contains("The copy is refused for 2 seconds more")
    });
    assert_eq!(slave.text("GET k"), "1");
    wait_link(&slave);
    assert_eq!(slave.text("DBSIZE"), "0");
    assert!(slave.log().contains("nor was another one elected"));
}

#[test]
fn a_replica_of_another_master_takes_its_copy_at_once() {
    let (old, new) = (Daemon::server(QUIET), Daemon::server(QUIET));
    assert_eq!(new.text("CONFIG SET repl-diskless-sync-delay 0"), "OK");
    assert_eq!(old.text("CONFIG SET repl-diskless-sync-delay 0"), "OK");
    assert_eq!(old.text("SET k 1"), "OK");
    let slave = slave_of(&old, "");
    wait_link(&slave);
    slaveof(&slave, &new);
    wait_until("the other data are gone", || slave.text("DBSIZE") == "0");
    assert!(!slave.log().contains("came back without its data"));
}

#[test]
fn a_write_is_answered_once_a_replica_has_it() {
    let config = format!("{QUIET}\nrepl-diskless-sync-delay 0\nwrite-acknowledge majority");
    let master = Daemon::server(&config);
    let refused = master.text("SET k 0");
    assert!(refused.starts_with("NOREPLICAS"), "{refused}");
    let slave = slave_of(&master, "");
    wait_link(&slave);
    wait_until("the replica is counted", || master.text("SET k 1") == "OK");
    assert_eq!(slave.text("GET k"), "1", "it had it before the answer came");
    slave.signal("STOP");
    let mut writer = TcpStream::connect(("127.0.0.1", master.port)).unwrap();
    writer.write_all(b"SET k 2\r\nGET k\r\n").unwrap();
    writer
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    let mut answer = [0; 64];
    let early = writer.read(&mut answer);
    assert!(early.is_err(), "{early:?}");
    assert_eq!(master.text("GET k"), "2", "others see it");
    slave.signal("CONT");
    writer
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut reader = BufReader::new(&writer);
    let mut lines = || {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        line
    };
    assert_eq!([lines(), lines(), lines()], ["+OK\r\n", "$1\r\n", "2\r\n"]);
    assert_eq!(master.text("SET k 3"), "OK");
    assert_eq!(master.text("WAIT all 5000"), "1");
}

#[test]
fn a_copy_ends_although_writers_are_faster() {
    let config = format!(
        "{QUIET}\nclient-output-buffer-limit replica 4mb 2mb 1\nrepl-backlog-size 1mb\nrepl-diskless-sync-delay 0\nrdb-key-save-delay 300\n\
         enable-debug-command yes"
    );
    let master = Daemon::server(&config);
    assert_eq!(master.text("DEBUG POPULATE 10000"), "OK");
    let stop = std::sync::atomic::AtomicBool::new(false);
    let slave = std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut client = master.client();
            let value = vec![b'x'; 10_000];
            for number in 0..u32::MAX {
                let key = format!("key:{}", number % 1000);
                let set = client.call_words(&[b"SET", key.as_bytes(), &value]);
                assert_eq!(tern_tests::daemon::text_of(&set), "OK");
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
            }
        });
        let slave = slave_of(&master, "");
        wait_link(&slave);
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        writer.join().unwrap();
        slave
    });
    assert!(master.log().contains("Writes are slowed down"));
    assert_eq!(master.info_field("stats", "sync_full"), "1");
    wait_until("the replica has everything", || {
        slave.text("DBSIZE") == master.text("DBSIZE")
    });
    wait_until("writers are not slowed any more", || {
        master.log().contains("Writes are not slowed down any more")
    });
}
