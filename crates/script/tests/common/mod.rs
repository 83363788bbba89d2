//! A host for tests: a few commands over a map, with the flags and refusals that scripts can tell apart.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part")]

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use resp::Reply;
use script::{Host, LogLevel, Targets, Tick, texts};

enum Value {
    Text(Vec<u8>),
    List(Vec<Vec<u8>>),
    Set(BTreeSet<Vec<u8>>),
}

/// The server of a test.
#[derive(Default)]
pub struct TestHost {
    values: BTreeMap<Vec<u8>, Value>,
    /// What scripts logged.
    pub logged: Vec<(LogLevel, Vec<u8>)>,
    /// How often it was asked whether to go on.
    pub ticks: usize,
    kill_at: Option<usize>,
    /// Commands run.
    pub calls: usize,
    /// Where the last command's changes go.
    pub targets: Option<Targets>,
}

const WRONG_TYPE: &str = "WRONGTYPE Operation against a key holding the wrong kind of value";
const NOT_INTEGER: &str = "ERR value is not an integer or out of range";

impl Host for TestHost {
    fn call(&mut self, args: &[&[u8]], targets: Targets, reply: &mut Reply) {
        self.calls += 1;
        self.targets = Some(targets);
        let name = args[0].to_ascii_lowercase();
        let name = String::from_utf8_lossy(&name).into_owned();
        let (least, most) = match name.as_str() {
            "get" | "echo" | "smembers" | "incr" | "select" | "raw" => (2, 2),
            "set" => (3, 99),
            "expire" => (3, 3),
            "mget" | "del" | "keys" => (2, 99),
            "rpush" | "lpush" | "sadd" => (3, 9999),
            "lrange" => (4, 4),
            "ping" | "randomkey" => (1, 1),
            "panic" => panic!("a command failed badly"),
            "eval" | "subscribe" | "multi" => return reply.error(texts::NOT_FROM_SCRIPTS),
            "replicaof" => {
                return reply.error("READONLY You can't write against a read only replica.");
            }
            _ => return reply.error(texts::UNKNOWN_COMMAND),
        };
        if args.len() < least || args.len() > most {
            return reply.error(texts::WRONG_ARITY);
        }
        self.run(&name, &args[1..], reply);
    }

    fn may_call(&mut self, args: &[&[u8]]) -> Option<bool> {
        match args[0] {
            b"get" => Some(true),
            b"set" => Some(false),
            _ => None,
        }
    }

    fn tick(&mut self) -> Tick {
        self.ticks += 1;
        if self.kill_at.is_some_and(|at| self.ticks >= at) {
            return Tick::Kill(Cow::Borrowed(texts::KILLED));
        }
        Tick::Continue
    }

    fn log(&mut self, level: LogLevel, text: &[u8]) {
        self.logged.push((level, text.to_vec()));
    }

    fn cpu_seconds(&mut self) -> f64 {
        1.5
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

    fn run(&mut self, name: &str, args: &[&[u8]], reply: &mut Reply) {
        match name {
            "ping" => reply.status("PONG"),
            "select" => reply.ok(),
            "raw" => reply.raw(args[0]),
            "randomkey" => bulk(reply, self.values.keys().next().map(Vec::as_slice)),
            "echo" => reply.bulk(args[0]),
            "set" => {
                self.values
                    .insert(args[0].to_vec(), Value::Text(args[1].to_vec()));
                reply.ok();
            }
            "get" => self.get(args[0], reply),
            "mget" => {
                reply.array(args.len());
                for key in args {
                    let value = match self.values.get(*key) {
                        Some(Value::Text(text)) => Some(text.as_slice()),
                        _ => None,
                    };
                    bulk(reply, value);
                }
            }
            "keys" => {
                reply.array(self.values.len());
                for key in self.values.keys() {
                    reply.bulk(key);
                }
            }
            "del" | "expire" => {
                let keys = if name == "del" { args } else { &args[..1] };
                let removed = keys
                    .iter()
                    .filter(|key| self.values.remove(**key).is_some())
                    .count();
                reply.count(removed);
            }
            "incr" => self.increment(args[0], reply),
            "rpush" | "lpush" => self.push(name == "lpush", args[0], &args[1..], reply),
            "lrange" => self.range(args[0], reply),
            "sadd" => self.add(args[0], &args[1..], reply),
            _ => self.members(args[0], reply),
        }
    }

    fn get(&self, key: &[u8], reply: &mut Reply) {
        match self.values.get(key) {
            None => reply.nil(),
            Some(Value::Text(text)) => reply.bulk(text),
            Some(_) => reply.error(WRONG_TYPE),
        }
    }

    fn increment(&mut self, key: &[u8], reply: &mut Reply) {
        let value = match self.values.get(key) {
            None => Some(0i64),
            Some(Value::Text(text)) => std::str::from_utf8(text)
                .ok()
                .and_then(|text| text.parse().ok()),
            Some(_) => return reply.error(WRONG_TYPE),
        };
        let Some(value) = value else {
            return reply.error(NOT_INTEGER);
        };
        reply.int(value + 1);
        let text = (value + 1).to_string().into_bytes();
        self.values.insert(key.to_vec(), Value::Text(text));
    }

    fn push(&mut self, front: bool, key: &[u8], values: &[&[u8]], reply: &mut Reply) {
        let list = self
            .values
            .entry(key.to_vec())
            .or_insert(Value::List(Vec::new()));
        let Value::List(list) = list else {
            return reply.error(WRONG_TYPE);
        };
        for value in values {
            let at = if front { 0 } else { list.len() };
            list.insert(at, value.to_vec());
        }
        reply.count(list.len());
    }

    fn range(&self, key: &[u8], reply: &mut Reply) {
        match self.values.get(key) {
            None => reply.array(0),
            Some(Value::List(list)) => {
                reply.array(list.len());
                list.iter().for_each(|value| reply.bulk(value));
            }
            Some(_) => reply.error(WRONG_TYPE),
        }
    }

    fn add(&mut self, key: &[u8], values: &[&[u8]], reply: &mut Reply) {
        let set = self
            .values
            .entry(key.to_vec())
            .or_insert(Value::Set(BTreeSet::new()));
        let Value::Set(set) = set else {
            return reply.error(WRONG_TYPE);
        };
        let added = values
            .iter()
            .filter(|value| set.insert(value.to_vec()))
            .count();
        reply.count(added);
    }

    fn members(&self, key: &[u8], reply: &mut Reply) {
        match self.values.get(key) {
            None => reply.set(0),
            Some(Value::Set(set)) => {
                reply.set(set.len());
                set.iter().for_each(|value| reply.bulk(value));
            }
            Some(_) => reply.error(WRONG_TYPE),
        }
    }
}

fn bulk(reply: &mut Reply, text: Option<&[u8]>) {
    match text {
        None => reply.nil(),
        Some(text) => reply.bulk(text),
    }
}

/// The reply to a script, in this version of the protocol.
pub fn eval_in(
    protocol: resp::Protocol,
    interpreter: &mut script::Interpreter,
    host: &mut TestHost,
    source: &[u8],
    keys: &[&[u8]],
    argv: &[&[u8]],
) -> Vec<u8> {
    let mut reply = Reply::speaking(protocol);
    match interpreter.prepare(source) {
        Ok((sha1, _)) => {
            interpreter.run(sha1, keys, argv, host, &mut reply);
        }
        Err(error) => error.write(&mut reply),
    }
    reply.into_vec()
}
