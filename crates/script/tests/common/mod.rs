//! A host for tests: a few commands over a map, with the flags and refusals that scripts can tell apart.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part")]

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use script::{Host, LogLevel, Outcome, Refusal, Tick};

enum Value {
    Text(Vec<u8>),
    List(Vec<Vec<u8>>),
    Set(BTreeSet<Vec<u8>>),
}

/// The server of a test.
#[derive(Default)]
pub struct TestHost {
    values: BTreeMap<Vec<u8>, Value>,
    random_called: bool,
    /// What scripts logged.
    pub logged: Vec<(LogLevel, Vec<u8>)>,
    /// How often it was asked whether to go on.
    pub ticks: usize,
    kill_at: Option<usize>,
    /// Commands run.
    pub calls: usize,
}

const WRONG_TYPE: &[u8] = b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n";
const NOT_INTEGER: &[u8] = b"-ERR value is not an integer or out of range\r\n";

impl Host for TestHost {
    fn call(&mut self, args: &[&[u8]], reply: &mut Vec<u8>) -> Outcome {
        self.calls += 1;
        let name = args[0].to_ascii_lowercase();
        let name = String::from_utf8_lossy(&name).into_owned();
        let (least, most, write) = match name.as_str() {
            "get" | "echo" | "smembers" | "incr" | "select" | "raw" => (2, 2, name == "incr"),
            "set" => (3, 99, true),
            "expire" => (3, 3, true),
            "mget" | "del" | "keys" => (2, 99, name == "del"),
            "rpush" | "lpush" | "sadd" => (3, 9999, true),
            "lrange" => (4, 4, false),
            "ping" | "randomkey" => (1, 1, false),
            "panic" => panic!("a command failed badly"),
            "eval" | "subscribe" | "spop" => return Outcome::Refused(Refusal::NotFromScripts),
            "replicaof" => {
                return Outcome::Refused(Refusal::Gate(Cow::Borrowed(
                    "-READONLY You can't write against a read only slave.\r\n",
                )));
            }
            _ => return Outcome::Refused(Refusal::UnknownCommand),
        };
        if args.len() < least || args.len() > most {
            return Outcome::Refused(Refusal::WrongArity);
        }
        if write && self.random_called {
            return Outcome::Refused(Refusal::WriteAfterRandom);
        }
        self.random_called |= name == "randomkey";
        self.run(&name, &args[1..], reply);
        Outcome::Reply {
            sort: name == "smembers" || name == "keys",
        }
    }

    fn tick(&mut self) -> Tick {
        self.ticks += 1;
        if self.kill_at.is_some_and(|at| self.ticks >= at) {
            return Tick::Kill(Cow::Borrowed(script::texts::KILLED));
        }
        Tick::Continue
    }

    fn log(&mut self, level: LogLevel, text: &[u8]) {
        self.logged.push((level, text.to_vec()));
    }
}

impl TestHost {
    /// A host that has the script killed at this tick.
    pub fn killing_at(tick: usize) -> Self {
        TestHost {
            kill_at: Some(tick),
            ..TestHost::default()
        }
    }

    fn run(&mut self, name: &str, args: &[&[u8]], reply: &mut Vec<u8>) {
        match name {
            "ping" => reply.extend_from_slice(b"+PONG\r\n"),
            "select" => reply.extend_from_slice(b"+OK\r\n"),
            "raw" => reply.extend_from_slice(args[0]),
            "randomkey" => bulk(reply, self.values.keys().next().map(Vec::as_slice)),
            "echo" => bulk(reply, Some(args[0])),
            "set" => {
                self.values
                    .insert(args[0].to_vec(), Value::Text(args[1].to_vec()));
                reply.extend_from_slice(b"+OK\r\n");
            }
            "get" => self.get(args[0], reply),
            "mget" => {
                header(reply, '*', args.len());
                for key in args {
                    let value = match self.values.get(*key) {
                        Some(Value::Text(text)) => Some(text.as_slice()),
                        _ => None,
                    };
                    bulk(reply, value);
                }
            }
            "keys" => {
                header(reply, '*', self.values.len());
                for key in self.values.keys().rev() {
                    bulk(reply, Some(key));
                }
            }
            "del" | "expire" => {
                let keys = if name == "del" { args } else { &args[..1] };
                let removed = keys
                    .iter()
                    .filter(|key| self.values.remove(**key).is_some())
                    .count();
                header(reply, ':', removed);
            }
            "incr" => self.increment(args[0], reply),
            "rpush" | "lpush" => self.push(name == "lpush", args[0], &args[1..], reply),
            "lrange" => self.range(args[0], reply),
            "sadd" => self.add(args[0], &args[1..], reply),
            _ => self.members(args[0], reply),
        }
    }

    fn get(&self, key: &[u8], reply: &mut Vec<u8>) {
        match self.values.get(key) {
            None => bulk(reply, None),
            Some(Value::Text(text)) => bulk(reply, Some(text)),
            Some(_) => reply.extend_from_slice(WRONG_TYPE),
        }
    }

    fn increment(&mut self, key: &[u8], reply: &mut Vec<u8>) {
        let value = match self.values.get(key) {
            None => Some(0i64),
            Some(Value::Text(text)) => std::str::from_utf8(text)
                .ok()
                .and_then(|text| text.parse().ok()),
            Some(_) => return reply.extend_from_slice(WRONG_TYPE),
        };
        let Some(value) = value else {
            return reply.extend_from_slice(NOT_INTEGER);
        };
        let text = (value + 1).to_string();
        reply.extend_from_slice(format!(":{text}\r\n").as_bytes());
        self.values
            .insert(key.to_vec(), Value::Text(text.into_bytes()));
    }

    fn push(&mut self, front: bool, key: &[u8], values: &[&[u8]], reply: &mut Vec<u8>) {
        let list = self
            .values
            .entry(key.to_vec())
            .or_insert(Value::List(Vec::new()));
        let Value::List(list) = list else {
            return reply.extend_from_slice(WRONG_TYPE);
        };
        for value in values {
            let at = if front { 0 } else { list.len() };
            list.insert(at, value.to_vec());
        }
        header(reply, ':', list.len());
    }

    fn range(&self, key: &[u8], reply: &mut Vec<u8>) {
        match self.values.get(key) {
            None => header(reply, '*', 0),
            Some(Value::List(list)) => {
                header(reply, '*', list.len());
                list.iter().for_each(|value| bulk(reply, Some(value)));
            }
            Some(_) => reply.extend_from_slice(WRONG_TYPE),
        }
    }

    fn add(&mut self, key: &[u8], values: &[&[u8]], reply: &mut Vec<u8>) {
        let set = self
            .values
            .entry(key.to_vec())
            .or_insert(Value::Set(BTreeSet::new()));
        let Value::Set(set) = set else {
            return reply.extend_from_slice(WRONG_TYPE);
        };
        let added = values
            .iter()
            .filter(|value| set.insert(value.to_vec()))
            .count();
        header(reply, ':', added);
    }

    /// In an order that is not that of the bytes.
    fn members(&self, key: &[u8], reply: &mut Vec<u8>) {
        match self.values.get(key) {
            None => header(reply, '*', 0),
            Some(Value::Set(set)) => {
                header(reply, '*', set.len());
                set.iter().rev().for_each(|value| bulk(reply, Some(value)));
            }
            Some(_) => reply.extend_from_slice(WRONG_TYPE),
        }
    }
}

fn header(reply: &mut Vec<u8>, kind: char, number: usize) {
    reply.extend_from_slice(format!("{kind}{number}\r\n").as_bytes());
}

fn bulk(reply: &mut Vec<u8>, text: Option<&[u8]>) {
    match text {
        None => reply.extend_from_slice(b"$-1\r\n"),
        Some(text) => {
            header(reply, '$', text.len());
            reply.extend_from_slice(text);
            reply.extend_from_slice(b"\r\n");
        }
    }
}
