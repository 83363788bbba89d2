//! Clients in the simulator: each has keys that nobody else writes, in which it counts on, reads them back, asks with WAIT how many
//! replicas have what it wrote, and does other things beside it whose outcome only the replicas' equality tells of.

use std::cell::Cell;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::rc::Rc;

use bytes::BytesMut;
use client::{Codec, Value};
use tokio_util::codec::Decoder as _;

use super::process::address;
use super::{Note, mark};
use crate::sim::{Conn, Input, Now, Output, Rng};

/// Keys that a client counts in.
pub const KEYS: u64 = 3;
/// An answer is waited for so long; WAIT's own timeout is shorter.
const PATIENCE_MS: u64 = 2_500;
const WAIT_MS: u64 = 800;
/// Between two requests, and between two tries to connect.
const PAUSE_MS: (u64, u64) = (2, 120);
const RETRY_MS: u64 = 200;
const CONNECTIONS: u64 = 1 << 24;

/// What a client is set up with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Its number.
    pub number: u64,
    /// Whom it asks: the primary, as its configuration says at the moment. In a cluster it goes where it is sent.
    pub primary: Option<Rc<Cell<usize>>>,
    /// How many servers there are.
    pub servers: usize,
    /// It is to ask for nothing more.
    pub quiet: Rc<Cell<bool>>,
    /// The last serial number it has used; it survives the client.
    pub serial: Rc<Cell<u64>>,
    /// How many replicas it asks for, at most.
    pub replicas: u64,
}

/// What a client asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// SET of one of its keys, then perhaps WAIT.
    Write {
        /// Which of its keys.
        key: u64,
        /// The value, see [`mark::number`].
        value: u64,
        /// Whether WAIT came after it.
        waits: bool,
    },
    /// GET of one of its keys.
    Read {
        /// Which of its keys.
        key: u64,
    },
    /// Something else.
    Other,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was written; so many replicas have it, if that was asked.
    Written(Option<u64>),
    /// What was read; none where there is nothing.
    Read(Option<u64>),
    /// The server refused it.
    Refused(String),
    /// No answer came: it may have happened or not.
    Unknown,
    /// It was something else.
    Other,
}

#[derive(Debug)]
struct Request {
    asked: Asked,
    /// Answers that are still to come, and those that came.
    left: usize,
    answers: Vec<Value>,
    sent_ms: u64,
}

/// A client.
pub struct Client {
    setup: Setup,
    rng: Rng,
    now: Now,
    first_conn: u64,
    dialled: u64,
    conn: Option<Conn>,
    /// Whom it is connected to, and whom it was sent to.
    host: usize,
    sent_to: Option<usize>,
    up: bool,
    codec: Codec,
    buffer: BytesMut,
    request: Option<Request>,
    next_ms: u64,
    ready: VecDeque<Output<Note>>,
}

impl Client {
    /// A client that begins.
    #[must_use]
    pub fn new(now: Now, setup: &Setup, seed: u64) -> Self {
        Self {
            setup: setup.clone(),
            rng: Rng::new(seed),
            now,
            first_conn: (seed & 0xFFFF_FFFF) * CONNECTIONS,
            dialled: 0,
            conn: None,
            host: 0,
            sent_to: None,
            up: false,
            codec: Codec::default(),
            buffer: BytesMut::new(),
            request: None,
            next_ms: now.mono_ms + 1,
            ready: VecDeque::new(),
        }
    }

    pub(super) fn handle_input(&mut self, now: Now, input: Input) {
        self.now = now;
        match input {
            Input::Connected { conn, .. } if self.conn == Some(conn) => {
                self.up = true;
                self.next_ms = now.mono_ms;
                self.go_on();
            }
            Input::Refused { conn } | Input::Closed { conn } if self.conn == Some(conn) => {
                self.hang_up(false);
            }
            Input::Bytes { conn, bytes } if self.conn == Some(conn) => self.hear(&bytes),
            _ => {}
        }
    }

    pub(super) fn handle_timeout(&mut self, now: Now) {
        self.now = now;
        let sent_ms = self.request.as_ref().map(|request| request.sent_ms);
        if sent_ms.is_some_and(|sent_ms| now.mono_ms >= sent_ms + PATIENCE_MS) {
            return self.hang_up(true);
        }
        if now.mono_ms >= self.next_ms {
            self.go_on();
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<u64> {
        let request = self.request.as_ref();
        Some(request.map_or(self.next_ms, |request| request.sent_ms + PATIENCE_MS))
    }

    pub(super) fn poll_output(&mut self) -> Option<Output<Note>> {
        self.ready.pop_front()
    }

    fn hang_up(&mut self, close: bool) {
        if let Some(conn) = self.conn.take().filter(|_| close) {
            self.ready.push_back(Output::Close { conn });
        }
        self.up = false;
        if let Some(request) = self.request.take() {
            self.tell(request.asked, Outcome::Unknown);
        }
        self.codec = Codec::default();
        self.buffer.clear();
        self.next_ms = self.now.mono_ms + RETRY_MS;
    }

    /// Whom it should ask; none where that is not known.
    fn wanted(&self) -> Option<usize> {
        let primary = self.setup.primary.as_ref();
        primary.map(|primary| primary.get()).or(self.sent_to)
    }

    /// The next request, or the next try to connect.
    fn go_on(&mut self) {
        if self.request.is_some() {
            return;
        }
        if self.setup.quiet.get() {
            self.next_ms = self.now.mono_ms + 1_000;
            return;
        }
        if self.conn.is_some() && self.wanted().is_some_and(|wanted| wanted != self.host) {
            // The primary is another one now.
            return self.hang_up(true);
        }
        if self.conn.is_none() {
            self.dialled += 1;
            let conn = Conn::Dialled(self.first_conn + self.dialled);
            self.conn = Some(conn);
            let any = self.rng.index(self.setup.servers);
            self.host = self.wanted().unwrap_or(any);
            self.sent_to = None;
            self.ready.push_back(Output::Connect {
                conn,
                to: address(self.host),
            });
            // One that never comes about is given up.
            self.next_ms = self.now.mono_ms + PATIENCE_MS;
            return;
        }
        if !self.up {
            return self.hang_up(true);
        }
        self.ask();
    }

    fn ask(&mut self) {
        let Some(conn) = self.conn else { return };
        let key = self.rng.between(0, KEYS - 1);
        let kind = self.rng.between(0, 99);
        let (asked, requests) = match kind {
            0..45 => self.write(key),
            45..70 => (Asked::Read { key }, vec![words(&["GET", &self.key(key)])]),
            _ => (Asked::Other, self.other()),
        };
        let mut bytes = resp::Reply::new();
        for request in &requests {
            bytes.array(request.len());
            request.iter().for_each(|word| bytes.bulk(word));
        }
        self.ready.push_back(Output::Note(Note::Asked {
            client: self.setup.number,
            host: self.host,
        }));
        self.request = Some(Request {
            asked,
            left: requests.len(),
            answers: Vec::new(),
            sent_ms: self.now.mono_ms,
        });
        self.ready.push_back(Output::Send {
            conn,
            bytes: bytes.into_vec(),
        });
    }

    fn key(&self, key: u64) -> String {
        key_of(self.setup.number, key)
    }

    fn write(&mut self, key: u64) -> (Asked, Vec<Vec<String>>) {
        let serial = self.setup.serial.get() + 1;
        self.setup.serial.set(serial);
        let number = self.setup.number;
        let waits = self.setup.replicas > 0 && self.rng.percent(40);
        let mut requests = vec![words(&["SET", &self.key(key), &mark::text(number, serial)])];
        if waits {
            let count = self.rng.between(1, self.setup.replicas).to_string();
            requests.push(words(&["WAIT", &count, &WAIT_MS.to_string()]));
        }
        let asked = Asked::Write {
            key,
            value: mark::number(number, serial),
            waits,
        };
        (asked, requests)
    }

    /// Something that replicas and files have to follow, of many kinds.
    fn other(&mut self) -> Vec<Vec<String>> {
        let own = |name: &str| format!("{name}:{{{}}}", self.setup.number);
        let number = self.rng.between(0, 20).to_string();
        let soon = self.rng.between(1, 3_000).to_string();
        let one = |request: &[&str]| vec![words(request)];
        match self.rng.between(0, 19) {
            0 => one(&["INCRBY", &own("n"), &number]),
            1 => one(&["RPUSH", &own("l"), &number, "x"]),
            2 => one(&["LPOP", &own("l")]),
            3 => one(&["HSET", &own("h"), &number, &soon]),
            4 => one(&["HDEL", &own("h"), &number]),
            5 => one(&["SADD", &own("s"), &number, &soon]),
            6 => one(&["SPOP", &own("s")]),
            7 => one(&["ZADD", &own("z"), &soon, &number]),
            8 => one(&["ZPOPMIN", &own("z")]),
            9 => one(&["SET", &own("e"), &number, "PX", &soon]),
            10 => one(&["PEXPIRE", &own("h"), &soon]),
            11 => one(&["APPEND", &own("a"), &number]),
            12 => one(&["DEL", &own("a"), &own("z")]),
            13 => one(&["XADD", &own("x"), "MAXLEN", "~", "20", "*", "f", &number]),
            14 => one(&["GETDEL", &own("e")]),
            15 => one(&["SETRANGE", &own("r"), &number, "range"]),
            16 => vec![
                words(&["MULTI"]),
                words(&["INCR", &own("n")]),
                words(&["LPUSH", &own("l"), &number]),
                words(&["EXEC"]),
            ],
            17 => {
                let script =
                    "redis.call('incr', KEYS[1]) return redis.call('hincrby', KEYS[2], ARGV[1], 1)";
                one(&["EVAL", script, "2", &own("n"), &own("h2"), &number])
            }
            18 => one(&["SET", &own("big"), &"y".repeat(2_000)]),
            _ => one(&["LTRIM", &own("l"), "0", "20"]),
        }
    }

    fn hear(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        loop {
            match self.codec.decode(&mut self.buffer) {
                Ok(Some(value)) => self.answered(value),
                Ok(None) => return,
                Err(error) => {
                    let problem = format!("client {}: {error}", self.setup.number);
                    return self.ready.push_back(Output::Note(Note::Wrong(problem)));
                }
            }
        }
    }

    fn answered(&mut self, value: Value) {
        let Some(request) = &mut self.request else {
            let problem = format!("client {} was told {value:?} unasked", self.setup.number);
            return self.ready.push_back(Output::Note(Note::Wrong(problem)));
        };
        request.answers.push(value);
        request.left -= 1;
        if request.left > 0 {
            return;
        }
        let Some(Request { asked, answers, .. }) = self.request.take() else {
            return;
        };
        self.sent_to = answers.iter().find_map(sent_to);
        let outcome = outcome_of(&asked, &answers);
        let refused = matches!(outcome, Outcome::Refused(_));
        self.tell(asked, outcome);
        let (low_ms, high_ms) = PAUSE_MS;
        self.next_ms = self.now.mono_ms + self.rng.between(low_ms, high_ms);
        if refused {
            self.next_ms += RETRY_MS;
            if self.setup.primary.is_none() && self.sent_to.is_none() {
                // Another node may know better.
                self.sent_to = Some(self.rng.index(self.setup.servers));
            }
        }
    }

    fn tell(&mut self, asked: Asked, outcome: Outcome) {
        self.ready.push_back(Output::Note(Note::Told {
            client: self.setup.number,
            host: self.host,
            asked,
            outcome,
        }));
    }
}

/// The name of a client's key.
#[must_use]
pub fn key_of(client: u64, key: u64) -> String {
    format!("k{key}:{{{client}}}")
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Where an answer sends its client.
fn sent_to(answer: &Value) -> Option<usize> {
    let Value::Error(line) = answer else {
        return None;
    };
    let place = line.strip_prefix("MOVED ")?.split(' ').nth(1)?;
    let ip = place.parse::<SocketAddr>().ok()?.ip();
    (0..usize::from(u8::MAX)).find(|host| address(*host).ip() == ip)
}

fn outcome_of(asked: &Asked, answers: &[Value]) -> Outcome {
    if let (Some(Value::Error(line)), Asked::Write { .. } | Asked::Read { .. }) =
        (answers.first(), asked)
    {
        return Outcome::Refused(line.clone());
    }
    match (asked, answers) {
        (Asked::Write { .. }, [_, Value::Int(count)]) => {
            Outcome::Written(u64::try_from(*count).ok())
        }
        (Asked::Write { .. }, _) => Outcome::Written(None),
        (Asked::Read { .. }, [Value::Bulk(bytes)]) => Outcome::Read(mark::parse(bytes)),
        (Asked::Read { .. }, _) => Outcome::Read(None),
        (Asked::Other, _) => Outcome::Other,
    }
}
