//! Many clients at once: those whose requests were read before a script began that does not end, and pipelines of all lengths.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use tern_tests::daemon::Daemon;

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
                    "BUSY Redis is busy running a script. You can only call SCRIPT KILL or SHUTDOWN NOSAVE.\r\n",
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
