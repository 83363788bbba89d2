//! Scripts whose replies were recorded from Valkey 9.1, each run on a fresh state and an empty keyspace.
//!
//! A line of the data is: the reply, the source, the number of keys, the keys and arguments; separated by tabs, with
//! `\n`, `\r`, `\t`, `\\` and `\xNN` for the bytes that would not be seen.

#![expect(clippy::unwrap_used, reason = "these are tests")]

mod common;

use common::{TestHost, eval_in};
use resp::Protocol;
use script::{Interpreter, Settings};

const RESP2: &str = include_str!("data/replies.txt");
const RESP3: &str = include_str!("data/replies3.txt");

fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = text.bytes();
    let mut plain = Vec::new();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            plain.push(byte);
            continue;
        }
        plain.push(match bytes.next().unwrap() {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'x' => {
                let digits = [bytes.next().unwrap(), bytes.next().unwrap()];
                u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
            }
            other => other,
        });
    }
    plain
}

fn check(protocol: Protocol, recorded: &str, least: usize) {
    let mut failures = Vec::new();
    let mut count = 0;
    for line in recorded.lines() {
        let fields: Vec<Vec<u8>> = line.split('\t').map(unescape).collect();
        let (expected, source) = (&fields[0], &fields[1]);
        let keys: usize = std::str::from_utf8(&fields[2]).unwrap().parse().unwrap();
        let args: Vec<&[u8]> = fields[3..].iter().map(Vec::as_slice).collect();
        let (keys, argv) = args.split_at(keys);
        let mut interpreter = Interpreter::new(Settings::default()).unwrap();
        let mut host = TestHost::default();
        let reply = eval_in(protocol, &mut interpreter, &mut host, source, keys, argv);
        if reply != *expected {
            failures.push(format!(
                "{}\n  expected {}\n  got      {}",
                source.escape_ascii(),
                expected.escape_ascii(),
                reply.escape_ascii()
            ));
        }
        count += 1;
    }
    assert!(count > least, "only {count} recorded scripts");
    assert!(
        failures.is_empty(),
        "{} of {count} differ:\n{}",
        failures.len(),
        failures.join("\n")
    );
}

#[test]
fn recorded_scripts_get_the_recorded_replies() {
    check(Protocol::Resp2, RESP2, 1000);
}

#[test]
fn recorded_scripts_get_the_recorded_replies_in_resp3() {
    check(Protocol::Resp3, RESP3, 30);
}
