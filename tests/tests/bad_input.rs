//! What nobody should send and no file should hold: the answer is clear, the process lives, nothing else happens.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use tern_tests::cluster::{new_node, view};
use tern_tests::daemon::{Daemon, Run, binary, run};

/// A packet as Redis 3.0.7 sent it.
const PING_PACKET: &[u8] =
    include_bytes!("../../crates/cluster-bus/tests/data/redis-3.0.7-ping.bin");

/// Where a packet has its length, how many nodes it tells of, and who sends it.
const LENGTH_AT: usize = 4;
const COUNT_AT: usize = 14;
const NAME_AT: usize = 40;

fn connect(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
}

/// Everything that comes until the other side closes.
fn read_to_close(stream: &mut TcpStream) -> Vec<u8> {
    let mut reply = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => return reply,
            Ok(count) => reply.extend(&buffer[..count]),
            // It closed before it had read all we sent.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return reply,
            Err(error) => panic!(
                "it does not close: {error}, {:?}",
                String::from_utf8_lossy(&reply)
            ),
        }
    }
}

/// Sends bytes on a connection that the server must close by itself.
fn refused(server: &Daemon, bytes: &[u8]) -> String {
    let mut stream = connect(server.port);
    stream.write_all(bytes).unwrap();
    String::from_utf8(read_to_close(&mut stream)).unwrap()
}

/// Sends bytes, ends the sending side, and reads the rest: the connection was in order.
fn answered(server: &Daemon, bytes: &[u8]) -> String {
    let mut stream = connect(server.port);
    stream.write_all(bytes).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    String::from_utf8(read_to_close(&mut stream)).unwrap()
}

fn used_memory(server: &Daemon) -> u64 {
    server.info_field("memory", "used_memory").parse().unwrap()
}

#[test]
fn broken_requests_get_an_error_and_the_connection_ends() {
    let mut server = Daemon::server("save \"\"");
    let pid = server.pid();
    let before = used_memory(&server);
    for (bytes, error) in [
        (&b"*3000000000\r\n"[..], "invalid multibulk length"),
        (b"*1\r\n$-5\r\n", "invalid bulk length"),
        (b"*1\r\n$1000000000\r\n", "invalid bulk length"),
        (b"*1\r\n:1\r\n", "expected '$', got ':'"),
        (b"set k \"open\r\n", "unbalanced quotes in request"),
        (&[b'a'; 70_000], "too big inline request"),
        (&[0; 70_000], "too big inline request"),
    ] {
        let reply = refused(&server, bytes);
        assert_eq!(
            reply,
            format!("-ERR Protocol error: {error}\r\n"),
            "{:?}",
            &bytes[..bytes.len().min(20)]
        );
        assert_eq!(server.text("PING"), "PONG");
    }
    // What is announced is not taken from memory before it is there.
    let mut waiting: Vec<TcpStream> = (0..20).map(|_| connect(server.port)).collect();
    for stream in &mut waiting {
        stream.write_all(b"*1000000\r\n$500000000\r\nx").unwrap();
    }
    assert_eq!(server.text("PING"), "PONG");
    let grown = used_memory(&server).saturating_sub(before);
    // A connection may reserve a MiB for a big argument that has begun.
    assert!(grown < 32 << 20, "{grown} bytes for nothing");
    assert!(server.alive());
    assert_eq!(server.pid(), pid);
}

#[test]
fn odd_requests_are_served_as_ever() {
    let server = Daemon::server("save \"\"");
    assert_eq!(answered(&server, b"*-10\r\nPING\r\n"), "+PONG\r\n");
    assert_eq!(answered(&server, b"*0\r\n\r\nPING\r\n"), "+PONG\r\n");
    assert_eq!(
        answered(&server, b"DEBUG SLEEP nan\r\nDEBUG SLEEP -inf\r\nPING\r\n"),
        "+OK\r\n+OK\r\n+PONG\r\n"
    );
    assert_eq!(
        answered(
            &server,
            b"*3\r\n$3\r\nSET\r\n$3\r\na\0b\r\n$2\r\n\0\0\r\n*2\r\n$3\r\nGET\r\n$3\r\na\0b\r\n"
        ),
        "+OK\r\n$2\r\n\0\0\r\n"
    );
    assert_eq!(
        answered(&server, b"set quoted \"a\\x00b\"\r\nget quoted\r\n"),
        "+OK\r\n$3\r\na\0b\r\n"
    );
}

#[test]
fn a_web_browser_is_cut_off_before_it_does_anything() {
    let server = Daemon::server("save \"\"");
    for request in [
        "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nSET stolen 1\r\n",
        "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\nSET stolen 1\r\n",
    ] {
        let reply = refused(&server, request.as_bytes());
        assert!(!reply.contains("+OK"), "{reply}");
        assert_eq!(server.text("EXISTS stolen"), "0");
    }
    assert!(server.log().contains("Possible SECURITY ATTACK detected."));
}

#[test]
fn broken_bus_packets_change_nothing() {
    let mut node = new_node();
    let bus = node.port + 10_000;
    let mut signature = PING_PACKET.to_vec();
    signature[0] = b'X';
    let mut short = PING_PACKET.to_vec();
    short[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&12_u32.to_be_bytes());
    let mut endless = PING_PACKET.to_vec();
    endless[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&u32::MAX.to_be_bytes());
    let mut misnamed = PING_PACKET.to_vec();
    misnamed[NAME_AT] = b'z';
    for packet in [signature, short, endless, misnamed] {
        let mut stream = connect(bus);
        stream.write_all(&packet).unwrap();
        assert!(read_to_close(&mut stream).is_empty());
    }
    // A packet whose length does not fit its count is skipped; the next one is answered.
    for count in [0, 100, u16::MAX] {
        let mut packet = PING_PACKET.to_vec();
        assert_ne!(packet[COUNT_AT..COUNT_AT + 2], count.to_be_bytes());
        packet[COUNT_AT..COUNT_AT + 2].copy_from_slice(&count.to_be_bytes());
        let mut stream = connect(bus);
        stream.write_all(&packet).unwrap();
        stream.write_all(PING_PACKET).unwrap();
        let mut pong = [0; 16];
        stream.read_exact(&mut pong).unwrap();
        assert_eq!(&pong[..4], b"RCmb");
        assert_eq!(pong[12..14], [0, 1], "one PONG");
    }
    assert_eq!(node.text("PING"), "PONG");
    assert!(node.alive());
    assert_eq!(view(&node).len(), 1, "a stranger is not taken in");
}

#[test]
fn announced_bus_packets_cost_nothing_before_they_come() {
    let node = new_node();
    let before = used_memory(&node);
    let mut packet = PING_PACKET.to_vec();
    packet[LENGTH_AT..LENGTH_AT + 4].copy_from_slice(&(500_u32 << 20).to_be_bytes());
    let mut waiting: Vec<TcpStream> = (0..20).map(|_| connect(node.port + 10_000)).collect();
    for stream in &mut waiting {
        stream.write_all(&packet).unwrap();
    }
    assert_eq!(node.text("PING"), "PONG");
    let grown = used_memory(&node).saturating_sub(before);
    assert!(grown < 8 << 20, "{grown} bytes for nothing");
}

#[test]
fn strangers_are_kept_short() {
    let mut server = Daemon::server("save \"\"");
    let mut owner = server.client();
    assert_eq!(owner.text("CONFIG SET requirepass secret"), "OK");
    // Who came before stays logged in.
    assert_eq!(owner.text("PING"), "PONG");
    assert_eq!(owner.text("AUTH secret"), "OK");
    for (bytes, error) in [
        (&b"*11\r\n"[..], "unauthenticated multibulk length"),
        (b"*1\r\n$16385\r\n", "unauthenticated bulk length"),
    ] {
        assert_eq!(
            refused(&server, bytes),
            format!("-ERR Protocol error: {error}\r\n")
        );
    }
    // Requests without end, whose replies are never read.
    let mut stream = connect(server.port);
    stream
        .set_write_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let requests = b"PING\r\n".repeat(10_000);
    let error = (0..10_000)
        .find_map(|_| stream.write_all(&requests).err())
        .expect("it closes");
    assert!(
        matches!(
            error.kind(),
            ErrorKind::ConnectionReset | ErrorKind::BrokenPipe
        ),
        "{error}"
    );
    assert!(
        server
            .log()
            .contains("scheduled to be closed ASAP for overcoming of output buffer limits")
    );
    let peak = owner.text("INFO memory");
    let peak: u64 = tern_tests::daemon::fields(&peak)["used_memory_peak"]
        .parse()
        .unwrap();
    assert!(peak < 32 << 20, "{peak} bytes at the peak");
    assert!(server.alive());
}

/// Starts a server that must refuse to, and gives what it says on the terminal.
fn refuses_to_start(server: &Daemon) -> Run {
    let run = run(
        &binary("server"),
        &[
            server.config_path().to_str().unwrap(),
            "--logfile",
            "start.log",
        ],
        "",
    );
    assert_eq!(run.code, Some(1), "{}", run.out);
    assert_eq!(run.out.trim_end().lines().count(), 1, "{}", run.out);
    run
}

#[test]
fn a_cut_nodes_conf_is_refused() {
    let mut node = new_node();
    assert_eq!(node.text("CLUSTER ADDSLOTS 1 2 3 5"), "OK");
    node.stop();
    let path = node.dir().join("nodes.conf");
    let whole = std::fs::read(&path).unwrap();
    let vars = String::from_utf8_lossy(&whole).find("vars").unwrap();
    for length in [20, vars / 2, vars, vars + 10] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let run = refuses_to_start(&node);
        assert!(
            run.out
                .contains("Unrecoverable error: corrupted cluster config file"),
            "{length}: {}",
            run.out
        );
    }
    std::fs::write(&path, &whole).unwrap();
    node.start();
    assert!(view(&node)[0].line.ends_with(" connected 1-3 5"));
}

#[test]
fn a_cut_dump_is_refused() {
    let mut server = Daemon::server("save \"\"");
    assert_eq!(server.text("DEBUG POPULATE 1000"), "OK");
    assert_eq!(server.text("SAVE"), "OK");
    server.stop();
    let path = server.dir().join("dump.rdb");
    let whole = std::fs::read(&path).unwrap();
    for length in [3, 9, 15, whole.len() / 2, whole.len() - 1] {
        std::fs::write(&path, &whole[..length]).unwrap();
        let run = refuses_to_start(&server);
        assert!(run.out.contains("dump.rdb: "), "{length}: {}", run.out);
    }
    let mut flipped = whole.clone();
    let middle = flipped.len() / 2;
    flipped[middle] ^= 1;
    std::fs::write(&path, &flipped).unwrap();
    refuses_to_start(&server);
    std::fs::write(&path, &whole).unwrap();
    server.start();
    assert_eq!(server.text("DBSIZE"), "1000");
}

/// An append-only file in parts: each is checked, and only the last may be cut.
#[test]
fn append_only_files_in_parts_are_checked_by_their_manifest() {
    const PING: &str = "*1\r\n$4\r\nPING\r\n";
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let manifest = at("a.aof.manifest");
    std::fs::write(
        &manifest,
        "file a.aof.1.base.rdb seq 1 type b\nfile a.aof.1.incr.aof seq 1 type i\nfile a.aof.2.incr.aof seq 2 type i\n",
    )
    .unwrap();
    let base = b"REDIS0011\xff\0\0\0\0\0\0\0\0";
    std::fs::write(at("a.aof.1.base.rdb"), base).unwrap();
    std::fs::write(at("a.aof.1.incr.aof"), PING).unwrap();
    std::fs::write(at("a.aof.2.incr.aof"), format!("{PING}*1\r\n")).unwrap();
    let check = |arguments: &[&str], answer: &str| {
        let arguments = [&["--check-aof"], arguments, &[manifest.to_str().unwrap()]].concat();
        let Run { code, out } = run(&binary("server"), &arguments, answer);
        (code, out)
    };
    let (code, out) = check(&[], "");
    assert_eq!(code, Some(1), "{out}");
    assert!(out.starts_with("Start checking Multi Part AOF\nStart to check BASE AOF (RDB format).\n[offset 0] Checking RDB file"), "{out}");
    assert!(
        out.contains("BASE AOF a.aof.1.base.rdb is valid\nStart to check INCR files.\n"),
        "{out}"
    );
    assert!(
        out.ends_with(
            "AOF a.aof.2.incr.aof is not valid. Use the --fix option to try fixing it.\n"
        ),
        "{out}"
    );
    let (code, out) = check(&["--fix"], "y\n");
    assert_eq!(code, Some(0), "{out}");
    assert!(
        out.ends_with(
            "Successfully truncated AOF a.aof.2.incr.aof\nAll AOF files and manifest are valid\n"
        ),
        "{out}"
    );
    assert_eq!(
        std::fs::read_to_string(at("a.aof.2.incr.aof")).unwrap(),
        PING
    );
    std::fs::write(at("a.aof.1.incr.aof"), format!("{PING}*1\r\n")).unwrap();
    let (code, out) = check(&["--fix"], "y\n");
    assert_eq!(code, Some(1), "{out}");
    assert!(
        out.ends_with("Failed to truncate AOF a.aof.1.incr.aof because it is not the last file\n"),
        "{out}"
    );
    std::fs::write(&manifest, "file a seq 1 type b\nfile b seq 1 type b\n").unwrap();
    let (code, out) = check(&[], "");
    assert_eq!(code, Some(1));
    assert!(out.contains("Reading the manifest file, at line 2\n>>> 'file b seq 1 type b'\nFound duplicate base file information\n"), "{out}");
}

#[test]
#[expect(clippy::too_many_lines, reason = "one story")]
fn append_only_files_are_checked_and_cut_as_by_the_tool_of_valkey() {
    const GOOD: &str = "*2\r\n$6\r\nSELECT\r\n$1\r\n0\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n";
    const CUT: &str = "*1\r\n$5\r\nMULTI\r\n*2\r\n$4\r\nINCR\r\n$1\r\nn\r\n";
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f.aof");
    let file = path.to_str().unwrap();
    let check = |content: &str, arguments: &[&str], answer: &str| {
        std::fs::write(&path, content).unwrap();
        let Run { code, out } = run(
            &binary("server"),
            &[&["--check-aof"], arguments].concat(),
            answer,
        );
        (
            code,
            out.replace(file, "FILE"),
            std::fs::read_to_string(&path).unwrap(),
        )
    };
    let is = |code, out: &str, left: &str| (Some(code), out.to_owned(), left.to_owned());
    let whole = format!("{GOOD}{CUT}");
    const START: &str = "Start checking Old-Style AOF\n";
    // The place is that of the last thing looked for.
    let found = format!(
        "{START}0x              4d: Reached EOF before reading EXEC for MULTI\n\
         AOF analyzed: filename=FILE, size={}, ok_up_to={}, ok_up_to_line=19, diff={}\n",
        whole.len(),
        GOOD.len(),
        CUT.len()
    );
    let asked = format!(
        "{found}This will shrink the AOF FILE from {} bytes, with {} bytes, to {} bytes\nContinue? [y/N]: ",
        whole.len(),
        CUT.len(),
        GOOD.len()
    );
    let valid = format!(
        "{START}AOF analyzed: filename=FILE, size={0}, ok_up_to={0}, ok_up_to_line=11, diff=0\nAOF FILE is valid\n",
        GOOD.len()
    );
    assert_eq!(check(GOOD, &[file], ""), is(0, &valid, GOOD));
    assert_eq!(check(GOOD, &["--fix", file], ""), is(0, &valid, GOOD));
    let not_valid = "AOF FILE is not valid. Use the --fix option to try fixing it.\n";
    assert_eq!(
        check(&whole, &[file], "y\n"),
        is(1, &format!("{found}{not_valid}"), &whole)
    );
    for answer in ["n\n", "", "\n"] {
        assert_eq!(
            check(&whole, &["--fix", file], answer),
            is(1, &format!("{asked}Aborting...\n"), &whole)
        );
    }
    assert_eq!(
        check(&whole, &["--fix", file], "yes\n"),
        is(
            0,
            &format!("{asked}Successfully truncated AOF FILE\n"),
            GOOD
        )
    );
    assert_eq!(
        check("", &[file], ""),
        is(0, &format!("{START}AOF FILE is empty\n"), "")
    );
    let stamped = format!("#TS:5\r\n{GOOD}#TS:9\r\n{GOOD}");
    let cut = format!("{START}Successfully truncated AOF FILE to timestamp 7\n");
    assert_eq!(
        check(&stamped, &["--truncate-to-timestamp", "7", file], ""),
        is(0, &cut, &format!("#TS:5\r\n{GOOD}"))
    );
    let missing = "Cannot open file no-such-file: No such file or directory\n";
    assert_eq!(check("", &["no-such-file"], ""), is(1, missing, ""));
    for arguments in [&["--fax", file][..], &["--fix", file, "more"]] {
        let (code, out, _) = check("", arguments, "");
        assert_eq!(code, Some(1));
        assert!(
            out.contains("[--fix|--truncate-to-timestamp $timestamp]"),
            "{out}"
        );
    }
}
