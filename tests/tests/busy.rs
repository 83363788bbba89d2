//! Many clients at once: those whose requests were read before a script began that does not end, and pipelines of all lengths.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tern_tests::daemon::{Daemon, wait_until};

fn connect(server: &Daemon) -> TcpStream {
    let stream = TcpStream::connect(server.address()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    stream
}

fn expect(stream: &mut TcpStream, expected: &str) {
    let mut reply = vec![0; expected.len()];
    stream.read_exact(&mut reply).unwrap();
    assert_eq!(String::from_utf8_lossy(&reply), expected);
}

#[test]
fn who_asked_at_the_same_moment_as_an_endless_script_is_told_that_the_server_is_busy() {
    let server = Daemon::server("save ''\nlua-time-limit 50");
    assert_eq!(server.text("SET k v"), "OK");
    // What is sent while the server sleeps is all read in its next turn, whoever comes first.
    let mut sleeper = connect(&server);
    let mut others: Vec<TcpStream> = (0..8).map(|_| connect(&server)).collect();
    for stream in &mut others {
        stream.write_all(b"PING\r\n").unwrap();
        expect(stream, "+PONG\r\n");
    }
    sleeper.write_all(b"DEBUG SLEEP 0.3\r\n").unwrap();
    let (script, readers) = others.split_at_mut(1);
    let script = &mut script[0];
    let (early, late) = readers.split_at_mut(3);
    for stream in &mut *early {
        stream.write_all(b"GET k\r\n").unwrap();
    }
    script
        .write_all(b"EVAL \"while true do end\" 1 k\r\n")
        .unwrap();
    for stream in &mut *late {
        stream.write_all(b"GET k\r\nGET k\r\n").unwrap();
    }
    expect(&mut sleeper, "+OK\r\n");
    // Each is served before the script, or told why not; the script ends only when it is killed.
    let mut busy = 0;
    for (stream, replies) in early
        .iter_mut()
        .map(|stream| (stream, 1))
        .chain(late.iter_mut().map(|stream| (stream, 2)))
    {
        for _ in 0..replies {
            let mut first = [0];
            stream.read_exact(&mut first).unwrap();
            if first == *b"-" {
                busy += 1;
                expect(
                    stream,
                    "BUSY Valkey is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n",
                );
            } else {
                expect(stream, "1\r\nv\r\n");
            }
        }
    }
    early[0].write_all(b"SCRIPT KILL\r\n").unwrap();
    expect(&mut early[0], "+OK\r\n");
    let mut first = [0];
    script.read_exact(&mut first).unwrap();
    assert_eq!(first, *b"-");
    late[0].write_all(b"GET k\r\n").unwrap();
    expect(&mut late[0], "$1\r\nv\r\n");
    // Which of them come before the script is the system's choice.
    assert!(busy > 0);
}

#[test]
fn a_script_sees_that_a_replica_has_gone() {
    let server = Daemon::server("save ''\nlua-time-limit 10");
    let primary = server.address().replace(':', " ");
    let replica = Daemon::server(&format!("save ''\nreplicaof {primary}"));
    wait_until("the replica is there", || {
        server.info_field("replication", "connected_slaves") == "1"
            && replica.info_field("replication", "master_link_status") == "up"
    });
    let script =
        "while not redis.call('info','replication'):find('connected_slaves:0') do end return 1";
    let mut stream = connect(&server);
    let request = format!("EVAL \"{script}\" 0\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    wait_until("the script takes long", || {
        server.text("PING").starts_with("BUSY")
    });
    assert_eq!(replica.text("REPLICAOF NO ONE"), "OK");
    expect(&mut stream, ":1\r\n");
}

#[test]
fn clients_that_send_at_once_are_each_answered_in_order() {
    let server = Daemon::server("save ''");
    let mut streams: Vec<TcpStream> = (0..40).map(|_| connect(&server)).collect();
    for round in 0..20 {
        for (number, stream) in streams.iter_mut().enumerate() {
            // Pipelines of one to twenty requests, some cut in the middle of the last one.
            let requests: String = (0..=round)
                .map(|step| format!("SET k{number} {step}\r\nGET k{number}\r\n"))
                .collect();
            let (now, later) = requests.split_at(requests.len() - number % 5);
            stream.write_all(now.as_bytes()).unwrap();
            stream.write_all(later.as_bytes()).unwrap();
        }
        for stream in &mut streams {
            let replies: String = (0..=round)
                .map(|step| format!("+OK\r\n${}\r\n{step}\r\n", step.to_string().len()))
                .collect();
            expect(stream, &replies);
        }
    }
}

#[test]
fn an_idle_client_with_unread_output_is_closed_and_one_that_reads_is_not() {
    let server = Daemon::server("save ''\ntimeout 2");
    let mut client = connect(&server);
    let value = "x".repeat(1 << 20);
    let set = format!(
        "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n${}\r\n{value}\r\n",
        value.len()
    );
    client.write_all(set.as_bytes()).unwrap();
    expect(&mut client, "+OK\r\n");
    let gets = "GET k\r\n".repeat(50);
    let mut deaf = connect(&server);
    deaf.write_all(gets.as_bytes()).unwrap();
    let reads = connect(&server);
    (&reads).write_all(gets.as_bytes()).unwrap();
    // A megabyte every tenth of a second takes longer than the timeout.
    let mut buffer = vec![0; 1 << 20];
    for _ in 0..50 {
        (&reads).read_exact(&mut buffer).unwrap();
        std::thread::sleep(Duration::from_millis(100));
    }
    let others = server.text("CLIENT LIST").lines().count();
    assert_eq!(others, 2, "the one that reads, and who asks");
    drop(deaf);
}

#[test]
fn a_client_over_its_limit_is_logged_with_what_it_did_not_read() {
    let server = Daemon::server("save ''\nclient-output-buffer-limit normal 5mb 0 0");
    let value = "x".repeat(1 << 20);
    assert_eq!(server.text(&format!("SET k {value}")), "OK");
    let mut deaf = connect(&server);
    deaf.write_all("GET k\r\n".repeat(30).as_bytes()).unwrap();
    wait_until("it is closed", || {
        server.log().contains("overcoming of output buffer limits")
    });
    let log = server.log();
    let (_, line) = log.split_once(" omem=").unwrap();
    let omem: usize = line.split(' ').next().unwrap().parse().unwrap();
    assert!(omem > 5 << 20, "{log}");
}

#[test]
fn the_password_is_not_in_the_list_of_processes() {
    let program = tern_tests::daemon::binary("server");
    let dir = tempfile::tempdir().unwrap();
    let port = tern_tests::daemon::free_port();
    let mut child = std::process::Command::new(program)
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--requirepass", "open-sesame"])
        .current_dir(dir.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    wait_until("it serves", || {
        TcpStream::connect(("127.0.0.1", port)).is_ok()
    });
    let shown = shown_title(child.id());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(
        shown.contains(&format!("server 127.0.0.1:{port}")),
        "{shown}"
    );
    assert!(!shown.contains("sesame"), "{shown}");
}

#[test]
fn the_title_is_the_one_that_was_configured() {
    let server = Daemon::server("");
    let mut client = server.client();
    let mut set = |template: &str| {
        let words = ["CONFIG", "SET", "proc-title-template", template];
        let _ = client.call_words(&words.map(str::as_bytes));
        shown_title(server.pid())
    };
    // Longer than the arguments, in whose place it is.
    let long = "x".repeat(1000);
    let shown = set(&format!("a {{port}} {{tls-port}} {long} z"));
    let expected = format!("a {} 0 {long} z", server.port);
    assert!(expected.starts_with(&shown), "{shown}");
    assert!(
        shown.len() > 200,
        "it has the place of the environment: {shown}"
    );
    assert_eq!(set("short"), "short");
}

fn shown_title(pid: u32) -> String {
    let shown = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap();
    let text = String::from_utf8_lossy(&shown);
    text.trim_end_matches('\0').to_owned()
}

/// Sends `request` over and over, whatever is answered, until told to end.
fn pipeline(server: &Daemon, request: &str, end: &Arc<AtomicBool>) -> Vec<JoinHandle<()>> {
    let mut writer = connect(server);
    let mut reader = writer.try_clone().unwrap();
    let block = request.repeat(64 * 1024 / request.len());
    let ended = Arc::clone(end);
    let writing = std::thread::spawn(move || {
        while !ended.load(Ordering::Relaxed) && writer.write_all(block.as_bytes()).is_ok() {}
        let _ = writer.shutdown(Shutdown::Both);
    });
    let reading = std::thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while matches!(reader.read(&mut buffer), Ok(1..)) {}
    });
    vec![writing, reading]
}

#[test]
fn pipelines_without_end_do_not_keep_others_waiting() {
    let server = Daemon::server("save ''\ncluster-enabled yes\nhz 100");
    let slots: String = (0..16384).map(|slot| format!(" {slot}")).collect();
    assert_eq!(server.text(&format!("CLUSTER ADDSLOTS{slots}")), "OK");
    let end = Arc::new(AtomicBool::new(false));
    let set = "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$3\r\nval\r\n";
    let threads: Vec<_> = (0..4).flat_map(|_| pipeline(&server, set, &end)).collect();
    let mut client = connect(&server);
    let mut waits: Vec<Duration> = (0..200)
        .map(|_| {
            let asked = Instant::now();
            client.write_all(b"PING\r\n").unwrap();
            expect(&mut client, "+PONG\r\n");
            let waited = asked.elapsed();
            std::thread::sleep(Duration::from_millis(2));
            waited
        })
        .collect();
    // The bus is heard beside them: a stranger's meeting is answered.
    let other = Daemon::server("save ''\ncluster-enabled yes");
    assert_eq!(
        other.text(&format!("CLUSTER MEET 127.0.0.1 {}", server.port)),
        "OK"
    );
    wait_until("the nodes know each other", || {
        other.text("CLUSTER NODES").lines().count() == 2
            && !other.text("CLUSTER NODES").contains("handshake")
    });
    end.store(true, Ordering::Relaxed);
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
    waits.sort_unstable();
    assert!(waits[180] < Duration::from_millis(20), "{waits:?}");
}
