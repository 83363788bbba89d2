//! Scripts whose replies were recorded from Redis 3.0.7, each run on a fresh state and an empty keyspace.
//!
//! A line of the data is: the reply, the source, the number of keys, the keys and arguments; separated by tabs, with
//! `\n`, `\r`, `\t`, `\\` and `\xNN` for the bytes that would not be seen.

#![expect(clippy::unwrap_used, reason = "these are tests")]

mod common;

use common::TestHost;
use script::{Interpreter, Limits};

const RECORDED: &str = include_str!("data/replies.txt");

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

#[test]
fn recorded_scripts_get_the_recorded_replies() {
    let mut failures = Vec::new();
    let mut count = 0;
    for line in RECORDED.lines() {
        let fields: Vec<Vec<u8>> = line.split('\t').map(unescape).collect();
        let (expected, source) = (&fields[0], &fields[1]);
        let keys: usize = std::str::from_utf8(&fields[2]).unwrap().parse().unwrap();
        let args: Vec<&[u8]> = fields[3..].iter().map(Vec::as_slice).collect();
        let (keys, argv) = args.split_at(keys);
        let mut interpreter = Interpreter::new(Limits::default()).unwrap();
        let mut reply = Vec::new();
        interpreter.eval(source, keys, argv, &mut TestHost::default(), &mut reply);
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
    assert!(count > 1000, "only {count} recorded scripts");
    assert!(
        failures.is_empty(),
        "{} of {count} differ:\n{}",
        failures.len(),
        failures.join("\n")
    );
}
