//! Being a replica: what becomes of the data that are here, and of keys that clients wrote here.

use conf::ServerConfig;
use engine::{Action, ChildEnd, LinkId, Now};

use crate::harness::{Server, request};

const OLD: &str = "0123456789012345678901234567890123456789";
const NEW: &str = "abcdefabcdefabcdefabcdefabcdefabcdefabcd";
/// A dump of nothing.
const EMPTY: &[u8] = b"REDIS0011\xff\0\0\0\0\0\0\0\0";

fn later(server: &mut Server, mono_ms: u64) {
    server.set_now(Now {
        mono_ms,
        unix_us: 1_000_000_000_000 + mono_ms * 1000,
    });
    server.engine.tick();
}

/// What is to be done since the last call.
fn actions(server: &mut Server) -> Vec<Action> {
    std::iter::from_fn(|| server.engine.poll_action()).collect()
}

/// The link that is asked for, answered up to PSYNC.
fn connected(server: &mut Server) -> LinkId {
    let opened = actions(server).into_iter().find_map(|action| match action {
        Action::OpenLink { link, .. } => Some(link),
        _ => None,
    });
    let link = opened.expect("a link");
    server.engine.link_opened(link, Ok(()));
    let lines = b"+PONG\r\n+OK\r\n+OK\r\n+OK\r\n";
    server.engine.link_received(link, lines);
    link
}

/// A copy is offered; whether it is to be loaded.
fn offered(server: &mut Server, link: LinkId, name: &str, offset: u64, dump: &[u8]) -> bool {
    let head = format!("+FULLRESYNC {name} {offset}\r\n${}\r\n", dump.len());
    server.engine.link_received(link, head.as_bytes());
    server.engine.link_received(link, dump);
    actions(server).iter().any(loads)
}

fn loads(action: &Action) -> bool {
    matches!(action, Action::LoadSyncFile { .. })
}

/// A replica that follows the stream `OLD`, with what it wrote.
fn following(config: ServerConfig) -> (Server, LinkId) {
    let mut server = Server::with(config);
    let a = server.a;
    server.run(a, &["REPLICAOF", "127.0.0.1", "7002"]);
    later(&mut server, 2000);
    let link = connected(&mut server);
    assert!(offered(&mut server, link, OLD, 1000, EMPTY));
    assert!(server.engine.begin_sync_load());
    server.engine.sync_loaded(Ok(None));
    let writes = [&["SET", "k", "1"], &["SET", "l", "2"]].map(|words| request(words));
    server.engine.link_received(link, &writes.concat());
    assert_eq!(server.run(a, &["DBSIZE"]), ":2\r\n");
    let stats = server.run(a, &["INFO", "stats"]);
    assert!(
        !stats.contains("total_net_repl_input_bytes:0\r\n"),
        "{stats}"
    );
    (server, link)
}

#[test]
fn a_primary_is_asked_as_soon_as_it_is_named() {
    let mut server = Server::with(ServerConfig::default());
    let a = server.a;
    later(&mut server, 2000);
    server.run(a, &["REPLICAOF", "127.0.0.1", "7002"]);
    let first = connected(&mut server);
    assert!(offered(&mut server, first, OLD, 1000, EMPTY));
    assert!(server.engine.begin_sync_load());
    server.engine.sync_loaded(Ok(None));
    server.run(a, &["REPLICAOF", "127.0.0.1", "7003"]);
    let done = actions(&mut server);
    assert!(done.contains(&Action::CloseLink { link: first }));
    let asks = |action: &Action| matches!(action, Action::OpenLink { port: 7003, .. });
    assert!(done.iter().any(asks), "{done:?}");
    // One that is not there is asked again at the next tick.
    let opened = done.into_iter().find_map(|action| match action {
        Action::OpenLink { link, .. } => Some(link),
        _ => None,
    });
    let refused = Err("Connection refused".to_owned());
    server.engine.link_opened(opened.expect("a link"), refused);
    assert_eq!(actions(&mut server), []);
    later(&mut server, 3000);
    assert!(actions(&mut server).iter().any(asks));
}

#[test]
fn a_primary_hears_at_once_how_far_a_replica_is_that_goes_on() {
    let (mut server, link) = following(ServerConfig::default());
    later(&mut server, 2500);
    actions(&mut server);
    server.engine.link_closed(link);
    let link = connected(&mut server);
    actions(&mut server);
    server.engine.link_received(link, b"+CONTINUE\r\n");
    let acks = |action: &Action| match action {
        Action::SendLink { bytes, .. } => String::from_utf8_lossy(bytes).contains("\r\nACK\r\n"),
        _ => false,
    };
    assert!(actions(&mut server).iter().any(acks));
}

#[test]
fn role_tells_an_offset_while_the_stream_comes() {
    let (mut server, link) = following(ServerConfig::default());
    let a = server.a;
    let role = server.run(a, &["ROLE"]);
    assert!(role.contains("connected\r\n:1"), "{role}");
    server.engine.link_closed(link);
    let role = server.run(a, &["ROLE"]);
    assert!(role.ends_with("\r\n:-1\r\n"), "{role}");
}

fn info(server: &mut Server) -> String {
    let a = server.a;
    server.run(a, &["INFO", "replication"])
}

/// The line of INFO that tells how far in the stream the data are.
fn place(info: &str) -> String {
    let mut lines = info.lines();
    let line = lines.find(|line| line.starts_with("slave_repl_offset:"));
    line.expect("a field").to_owned()
}

#[test]
fn a_copy_without_the_data_is_refused_until_an_operator_wants_it() {
    let (mut server, link) = following(ServerConfig::default());
    let a = server.a;
    let before = place(&info(&mut server));
    server.engine.link_closed(link);
    later(&mut server, 4000);
    let link = connected(&mut server);
    assert!(!offered(&mut server, link, NEW, 0, EMPTY));
    assert_eq!(server.run(a, &["GET", "k"]), "$1\r\n1\r\n");
    let text = info(&mut server);
    assert!(text.contains("empty_master_refused_seconds_left:60\r\n"));
    assert!(text.contains("master_link_status:down\r\n"));
    assert_eq!(place(&text), before, "others may go on from here");
    // It is not asked again before its time.
    later(&mut server, 6000);
    assert_eq!(actions(&mut server), []);
    later(&mut server, 9100);
    let link = connected(&mut server);
    let copy = format!("+FULLRESYNC {NEW} 70\r\n${}\r\n", EMPTY.len());
    server.engine.link_received(link, copy.as_bytes());
    assert_eq!(place(&info(&mut server)), before, "while a copy comes");
    server.engine.link_received(link, EMPTY);
    assert!(actions(&mut server).iter().all(|action| !loads(action)));
    let answer = server.run(a, &["REPLICAOF", "127.0.0.1", "7002"]);
    assert_eq!(answer, "+OK Already connected to specified master\r\n");
    later(&mut server, 10_200);
    let link = connected(&mut server);
    assert!(offered(&mut server, link, NEW, 80, EMPTY));
    assert!(server.engine.begin_sync_load());
    assert_eq!(server.run(a, &["DBSIZE"]), ":0\r\n");
}

/// Where the link that is asked for goes; it is made, and the other side asked up to PSYNC. And what was sent.
fn asked(server: &mut Server) -> (u16, LinkId, String) {
    let opened = actions(server).into_iter().find_map(|action| match action {
        Action::OpenLink { link, port, .. } => Some((link, port)),
        _ => None,
    });
    let (link, port) = opened.expect("a link");
    server.engine.link_opened(link, Ok(()));
    let lines = b"+PONG\r\n+OK\r\n+OK\r\n+OK\r\n";
    server.engine.link_received(link, lines);
    let sent = actions(server).into_iter().map(|action| match action {
        Action::SendLink { bytes, .. } => String::from_utf8(bytes).expect("text"),
        _ => String::new(),
    });
    (port, link, sent.collect())
}

#[test]
fn a_copy_from_a_sibling_is_followed_by_the_primarys_stream() {
    let mut server = Server::with(ServerConfig {
        repl_sync_source: conf::SyncSource::Replica,
        ..ServerConfig::default()
    });
    let a = server.a;
    server.run(a, &["REPLICAOF", "127.0.0.1", "7002"]);
    later(&mut server, 2000);
    let (port, link, sent) = asked(&mut server);
    assert_eq!((port, sent.contains("copy-from-replica")), (7002, true));
    server
        .engine
        .link_received(link, b"+COPYFROM 127.0.0.1 7003\r\n");
    let (port, link, sent) = asked(&mut server);
    assert_eq!((port, sent.contains("copy-from-replica")), (7003, false));
    assert!(info(&mut server).contains("master_port:7002\r\n"));
    assert!(offered(&mut server, link, OLD, 1000, EMPTY));
    assert!(server.engine.begin_sync_load());
    server.engine.sync_loaded(Ok(None));
    let write = request(&["SET", "k", "1"]);
    server.engine.link_received(link, &write);
    later(&mut server, 4200);
    later(&mut server, 5300);
    let (port, link, sent) = asked(&mut server);
    assert_eq!((port, sent.contains("copy-from-replica")), (7002, false));
    let place = (1000 + write.len() + 1).to_string();
    assert!(sent.contains(OLD) && sent.contains(&place), "{sent}");
    server.engine.link_received(link, b"+CONTINUE\r\n");
    assert_eq!(server.run(a, &["GET", "k"]), "$1\r\n1\r\n");
    // From then on another one may be named.
    later(&mut server, 6400);
    later(&mut server, 7500);
    server.engine.link_closed(link);
    let (port, _, sent) = asked(&mut server);
    assert_eq!((port, sent.contains("copy-from-replica")), (7002, true));
}

#[test]
fn where_a_sibling_has_no_copy_the_primary_is_asked_for_one() {
    let refusals: [&[u8]; 3] = [
        b"-NOMASTERLINK Can't SYNC while not connected with my primary\r\n",
        b"-LOADING\r\n",
        b"+FULLRESYNC 0123456789012345678901234567890123456789 7\r\n$900\r\nREDIS0011",
    ];
    for refusal in refusals {
        let mut server = Server::with(ServerConfig {
            repl_sync_source: conf::SyncSource::Replica,
            ..ServerConfig::default()
        });
        let a = server.a;
        server.run(a, &["REPLICAOF", "127.0.0.1", "7002"]);
        later(&mut server, 2000);
        let (_, link, _) = asked(&mut server);
        server
            .engine
            .link_received(link, b"+COPYFROM 127.0.0.1 7003\r\n");
        later(&mut server, 3100);
        let (port, link, _) = asked(&mut server);
        assert_eq!(port, 7003);
        server.engine.link_received(link, refusal);
        server.engine.link_closed(link);
        later(&mut server, 4200);
        let (port, link, sent) = asked(&mut server);
        assert_eq!((port, sent.contains("copy-from-replica")), (7002, false));
        assert!(offered(&mut server, link, NEW, 80, EMPTY));
    }
}

#[test]
fn the_data_are_served_while_a_copy_is_loaded_beside_them() {
    /// A dump of one key.
    const ONE: &[u8] = b"REDIS0011\xfe\0\0\x01n\x019\xff\0\0\0\0\0\0\0\0";
    for comes in [false, true] {
        let (mut server, link) = following(ServerConfig {
            repl_diskless_load: conf::DisklessLoad::Swapdb,
            ..ServerConfig::default()
        });
        let a = server.a;
        let place = |server: &mut Server| -> Vec<String> {
            let wanted = ["master_replid:", "slave_repl_offset:"];
            let text = info(server);
            let lines = text.lines();
            let lines = lines.filter(|line| wanted.iter().any(|name| line.starts_with(name)));
            lines.map(str::to_owned).collect()
        };
        let before = place(&mut server);
        server.engine.link_closed(link);
        later(&mut server, 4000);
        let link = connected(&mut server);
        assert!(offered(&mut server, link, NEW, 5000, ONE));
        assert!(server.engine.begin_sync_load());
        server.engine.begin_load(ONE.len() as u64);
        let limits = server.engine.limits();
        let input = rdb::Input::new(ONE);
        let mut loader =
            rdb::Loader::open(input, rdb::LoadOptions::default(), limits).expect("a dump");
        while server.engine.load_step(&mut loader, 1).expect("whole") != rdb::Progress::Done {
            let text = server.run(a, &["INFO", "persistence"]);
            assert!(text.contains("loading:0\r\nasync_loading:1\r\n"), "{text}");
            assert_eq!(server.run(a, &["GET", "k"]), "$1\r\n1\r\n");
            let refused = server.run(a, &["REPLICAOF", "NO", "ONE"]);
            assert!(refused.starts_with("-LOADING "), "{refused}");
        }
        server.engine.end_load();
        assert_eq!(server.run(a, &["DBSIZE"]), ":2\r\n");
        if comes {
            server.engine.sync_loaded(Ok(None));
            assert_eq!(server.run(a, &["DBSIZE"]), ":1\r\n");
            assert_eq!(server.run(a, &["GET", "n"]), "$1\r\n9\r\n");
            assert_ne!(place(&mut server), before);
        } else {
            server
                .engine
                .sync_loaded(Err("No space left on device".to_owned()));
            assert_eq!(server.run(a, &["DBSIZE"]), ":2\r\n");
            assert_eq!(place(&mut server), before, "it may be continued");
        }
        let text = server.run(a, &["INFO", "persistence"]);
        assert!(text.contains("async_loading:0\r\n"), "{text}");
    }
}

#[test]
fn a_copy_that_cannot_be_read_is_refused_before_anything_is_lost() {
    let (mut server, link) = following(ServerConfig::default());
    let a = server.a;
    server.engine.link_closed(link);
    for (number, dump) in [&b"REDIS9999\xff"[..], b"nonsense", b""]
        .into_iter()
        .enumerate()
    {
        later(&mut server, 4000 + 2000 * number as u64);
        let link = connected(&mut server);
        assert!(!offered(&mut server, link, NEW, 0, dump));
        assert_eq!(server.run(a, &["DBSIZE"]), ":2\r\n");
        assert!(info(&mut server).contains("master_link_status:down\r\n"));
    }
    // Nothing of the stream is lost either.
    later(&mut server, 12_000);
    let link = connected(&mut server);
    server.engine.link_received(link, b"+CONTINUE\r\n");
    assert!(info(&mut server).contains("master_link_status:up\r\n"));
}

#[test]
fn what_is_no_request_is_neither_counted_nor_handed_on() {
    let next = request(&["SET", "m", "3"]);
    for pieces in [
        vec![[&next, &b"'*1\r\nnonsense"[..]].concat()],
        vec![next.clone(), b"'*1".to_vec(), b"\r\nnonsense".to_vec()],
    ] {
        let (mut server, link) = following(ServerConfig::default());
        for bytes in pieces {
            server.engine.link_received(link, &bytes);
        }
        assert!(info(&mut server).contains("master_link_status:down\r\n"));
        let (mut other, link) = following(ServerConfig::default());
        other.engine.link_received(link, &next);
        assert_eq!(place(&info(&mut server)), place(&info(&mut other)));
        let a = server.a;
        assert_eq!(server.run(a, &["GET", "m"]), "$1\r\n3\r\n");
    }
}

#[test]
fn what_is_for_connections_is_refused_in_a_stream() {
    for words in [
        &["QUIT"][..],
        &["RESET"],
        &["AUTH", "x"],
        &["HELLO", "3"],
        &["REPLICAOF", "NO", "ONE"],
    ] {
        let (mut server, link) = following(ServerConfig::default());
        let both = [request(words), request(&["SET", "m", "3"])].concat();
        server.engine.link_received(link, &both);
        let info = info(&mut server);
        assert!(info.contains("role:slave\r\n"), "{words:?}");
        assert!(info.contains("master_link_status:up\r\n"), "{words:?}");
        let a = server.a;
        assert_eq!(server.run(a, &["GET", "m"]), "$1\r\n3\r\n", "{words:?}");
    }
}

/// A replica with an append-only file that has received a dump of nothing; whether the dump was to be put beside that file.
fn received_with_file(repl_diskless_load: conf::DisklessLoad) -> (Server, bool) {
    let mut server = Server::with(ServerConfig {
        repl_diskless_load,
        ..ServerConfig::default()
    });
    server.engine.start_append_only(0).expect("a file");
    let a = server.a;
    server.run(a, &["REPLICAOF", "127.0.0.1", "7002"]);
    later(&mut server, 2000);
    let link = connected(&mut server);
    let head = format!("+FULLRESYNC {NEW} 70\r\n${}\r\n", EMPTY.len());
    server.engine.link_received(link, head.as_bytes());
    server.engine.link_received(link, EMPTY);
    let loads = actions(&mut server)
        .into_iter()
        .find_map(|action| match action {
            Action::LoadSyncFile { path, base } => {
                assert!(
                    path.is_some() || base.is_none(),
                    "what is in memory has no name"
                );
                Some(base.is_some())
            }
            _ => None,
        });
    assert!(server.engine.begin_sync_load());
    (server, loads.expect("a load"))
}

/// So many children were started.
fn assert_forks(server: &mut Server, count: usize) {
    let stats = server.run(server.a, &["INFO", "stats"]);
    assert!(
        stats.contains(&format!("total_forks:{count}\r\n")),
        "{stats}"
    );
}

#[test]
fn the_dump_of_a_primary_is_the_base_of_the_file() {
    let (mut server, beside) = received_with_file(conf::DisklessLoad::Disabled);
    let a = server.a;
    assert!(beside);
    server.engine.sync_loaded(Ok(Some(1234)));
    let text = server.run(a, &["INFO", "persistence"]);
    for field in [
        "aof_rewrite_in_progress:0\r\n",
        "aof_rewrite_scheduled:0\r\n",
        "aof_base_size:1234\r\n",
        "aof_current_size:1234\r\n",
    ] {
        assert!(text.contains(field), "{field} in {text}");
    }
    assert_forks(&mut server, 0);
}

#[test]
fn a_dump_that_is_not_beside_the_file_is_written_anew() {
    let (mut server, _) = received_with_file(conf::DisklessLoad::Disabled);
    server.talk.child.set(Some(ChildEnd::Done));
    server.engine.sync_loaded(Ok(None));
    assert_forks(&mut server, 1);
    // One that came into memory never is.
    let (mut server, beside) = received_with_file(conf::DisklessLoad::OnEmptyDb);
    assert!(!beside);
    server.talk.child.set(Some(ChildEnd::Done));
    server.engine.sync_loaded(Ok(None));
    assert_forks(&mut server, 1);
}

#[test]
fn what_was_loaded_goes_into_the_file_though_the_link_was_lost_meanwhile() {
    let mut server = Server::with(ServerConfig::default());
    server.engine.start_append_only(0).expect("a file");
    let a = server.a;
    server.run(a, &["REPLICAOF", "127.0.0.1", "7002"]);
    later(&mut server, 2000);
    let link = connected(&mut server);
    assert!(offered(&mut server, link, NEW, 70, EMPTY));
    assert!(server.engine.begin_sync_load());
    server.engine.link_closed(link);
    server.engine.sync_loaded(Ok(Some(1234)));
    let text = server.run(a, &["INFO", "persistence"]);
    assert!(text.contains("aof_base_size:1234\r\n"), "{text}");
}

#[test]
fn a_primary_that_goes_on_after_a_refusal_is_followed() {
    let (mut server, link) = following(ServerConfig::default());
    server.engine.link_closed(link);
    later(&mut server, 4000);
    let link = connected(&mut server);
    assert!(!offered(&mut server, link, NEW, 0, EMPTY));
    later(&mut server, 9100);
    let link = connected(&mut server);
    // It has its files again.
    server.engine.link_received(link, b"+CONTINUE\r\n");
    assert!(info(&mut server).contains("master_link_status:up\r\n"));
    assert!(!info(&mut server).contains("empty_master_refused_seconds_left"));
}

#[test]
fn the_copy_of_another_primary_is_taken() {
    let (mut server, _) = following(ServerConfig::default());
    let a = server.a;
    server.run(a, &["REPLICAOF", "127.0.0.1", "7003"]);
    later(&mut server, 4000);
    let link = connected(&mut server);
    assert!(offered(&mut server, link, NEW, 0, EMPTY));
}

#[test]
fn data_are_as_old_as_before_when_another_primary_is_followed() {
    let (mut server, _) = following(ServerConfig::default());
    let a = server.a;
    later(&mut server, 5000);
    for (port, seconds) in [("7003", 3), ("7004", 6)] {
        server.run(a, &["REPLICAOF", "127.0.0.1", port]);
        later(&mut server, 5000 + 1000 * seconds);
        let text = info(&mut server);
        let line = format!("master_link_down_since_seconds:{seconds}\r\n");
        assert!(text.contains(&line), "{text}");
    }
}

#[test]
fn data_of_another_shard_do_not_count_in_an_election() {
    let [mine, old, new] = ["a", "b", "c"].map(|digit| digit.repeat(40));
    let mut server = Server::node_with(&format!(
        "{mine} 127.0.0.1:7000@17000 myself,slave {old} 0 0 1 connected\n\
         {old} 127.0.0.1:7002@17002 master - 0 0 1 connected 0-16382\n\
         {new} 127.0.0.1:7003@17003 master - 0 0 2 connected 16383\n\
         vars currentEpoch 2 lastVoteEpoch 0\n"
    ));
    let a = server.a;
    later(&mut server, 11_000);
    let link = connected(&mut server);
    server.engine.link_received(link, b"+OK\r\n");
    assert!(offered(&mut server, link, OLD, 1000, EMPTY));
    assert!(server.engine.begin_sync_load());
    server.engine.sync_loaded(Ok(None));
    assert!(info(&mut server).contains("slave_repl_offset:1000\r\n"));
    let done = server.run(a, &["CLUSTER", "REPLICATE", &new]);
    assert_eq!(done, "+OK\r\n");
    let text = info(&mut server);
    assert!(text.contains("master_port:7003\r\n"), "{text}");
    assert!(text.contains("slave_repl_offset:1\r\n"), "{text}");
    assert!(
        text.contains("master_link_down_since_seconds:-1\r\n"),
        "{text}"
    );
}

#[test]
fn what_the_primary_writes_under_the_name_of_an_own_key_is_the_primarys() {
    let (mut server, link) = following(ServerConfig {
        slave_read_only: false,
        ..ServerConfig::default()
    });
    let a = server.a;
    server.run(a, &["SET", "own", "v", "PX", "50"]);
    let words = request(&["SET", "own", "theirs", "PX", "10"]);
    server.engine.link_received(link, &words);
    later(&mut server, 5000);
    assert_eq!(server.run(a, &["EXISTS", "own"]), ":0\r\n");
    assert_eq!(
        server.run(a, &["DBSIZE"]),
        ":3\r\n",
        "its primary deletes it"
    );
}

#[test]
fn a_dump_tells_of_all_that_was_applied_though_another_transaction_is_open() {
    let (mut server, link) = following(ServerConfig::default());
    let a = server.a;
    let offset = |server: &mut Server| {
        let line = place(&info(server));
        let number = line.split(':').next_back().expect("a number");
        number.parse::<u64>().expect("a number")
    };
    let before = offset(&mut server);
    let first = [
        request(&["MULTI"]),
        request(&["INCR", "n"]),
        request(&["SET", "long", &"x".repeat(1000)]),
    ]
    .concat();
    server.engine.link_received(link, &first);
    let (exec, next) = (request(&["EXEC"]), request(&["MULTI"]));
    server
        .engine
        .link_received(link, &[&exec[..], &next].concat());
    assert_eq!(server.run(a, &["GET", "n"]), "$1\r\n1\r\n");
    server.talk.child.set(Some(ChildEnd::Done));
    let started = server.run(a, &["BGSAVE"]);
    assert_eq!(started, "+Background saving started\r\n");
    let applied = before + (first.len() + exec.len()) as u64;
    assert_eq!(server.talk.dump_offset.get(), Some(applied));
}

#[test]
fn a_dump_of_the_old_data_does_not_take_the_place_of_the_one_that_came() {
    let mut server = Server::with(ServerConfig::default());
    let a = server.a;
    server.talk.child.set(Some(ChildEnd::Done));
    let started = server.run(a, &["BGSAVE"]);
    assert_eq!(started, "+Background saving started\r\n");
    server.run(a, &["REPLICAOF", "127.0.0.1", "7002"]);
    let link = connected(&mut server);
    assert!(offered(&mut server, link, NEW, 70, EMPTY));
    assert_eq!(server.talk.killed.get(), 0);
    assert!(server.engine.begin_sync_load());
    assert_eq!(server.talk.killed.get(), 1);
}

#[test]
fn who_is_a_primary_without_the_data_of_its_file_begins_a_new_one() {
    for (result, forks) in [(Ok(Some(1234)), 0), (Err("a bad dump".to_owned()), 1)] {
        let (mut server, _) = received_with_file(conf::DisklessLoad::Disabled);
        let a = server.a;
        server.talk.child.set(Some(ChildEnd::Done));
        if result.is_err() {
            server.engine.drop_half_loaded();
        }
        server.engine.sync_loaded(result);
        assert_forks(&mut server, 0);
        server.run(a, &["REPLICAOF", "NO", "ONE"]);
        assert_forks(&mut server, forks);
    }
}

#[test]
fn a_replica_rewrites_keys_that_its_primary_has_not_deleted() {
    let mut server = Server::with(ServerConfig {
        aof_use_rdb_preamble: false,
        ..ServerConfig::default()
    });
    let a = server.a;
    for (host, port, leaves_out) in [("NO", "ONE", true), ("127.0.0.1", "7002", false)] {
        server.run(a, &["REPLICAOF", host, port]);
        server.talk.child.set(Some(ChildEnd::Done));
        let started = server.run(a, &["BGREWRITEAOF"]);
        assert!(started.contains(" started"), "{started}");
        let expired_ms = server.talk.expired_ms.take().expect("a base");
        assert_eq!(expired_ms > 0, leaves_out);
        server.engine.look_after_child();
    }
}

/// FLUSHALL saves a dump, with its place in the stream, while the rest of what came with it is still to be run.
#[test]
fn what_is_no_command_is_asked_for_again_however_it_was_cut() {
    let (flush, broken) = (
        &b"*1\r\n$8\r\nFLUSHALL\r\n"[..],
        b"\xdd*2\r\n$4\r\nHDEL\r\n$4\r\nHDEL\r\n",
    );
    let stream = [flush, broken].concat();
    for piece in [1, 2, 3, 5, 7, 18, stream.len()] {
        let (mut server, link) = following(ServerConfig::default());
        let a = server.a;
        let place = |server: &mut Server| {
            let info = server.run(a, &["INFO", "replication"]);
            let offset = info
                .lines()
                .find_map(|line| line.strip_prefix("slave_repl_offset:"));
            (
                offset.unwrap().parse::<usize>().unwrap(),
                info.contains("master_link_status:up"),
            )
        };
        let (before, up) = place(&mut server);
        assert!(up);
        for bytes in stream.chunks(piece) {
            server.engine.link_received(link, bytes);
        }
        assert_eq!(
            place(&mut server),
            (before + flush.len(), false),
            "pieces of {piece}"
        );
    }
}
