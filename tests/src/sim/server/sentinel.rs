//! A sentinel in the simulator: its core, and what its shell does. Each hop is encoded and decoded as RESP.

pub mod checks;
mod followers;

use std::collections::{BTreeMap, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use bytes::BytesMut;
use client::Codec;
use resp::{Batch, Parser};
use sentinel_core::config::{Config, Facts, File, Host, World};
use sentinel_core::{ClientId, Input as In, LinkId, Monitor, Reply};
use tokio_util::codec::Decoder as _;

pub use checks::Checks;
use followers::Followers;

use crate::sim::{Conn, Input, Now, Output};

/// More links than one process opens in a run.
const LINKS: u64 = 1 << 24;

/// What checks have to see of one host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A vote leaves, or this sentinel's own was counted.
    Voted {
        /// The run id voted for.
        leader: String,
        /// In which epoch.
        epoch: u64,
    },
    /// A sentinel holds itself for the leader.
    Elected {
        /// Its run id.
        leader: String,
        /// In which epoch.
        epoch: u64,
    },
    /// A hello message leaves.
    Said {
        /// The sender's current epoch.
        epoch: u64,
        /// The configuration it tells of: its epoch and the master.
        config: (u64, String),
    },
    /// This sentinel promotes a replica although it knows of one that has more.
    PassedOver(String),
    /// A line of the log.
    Log(String),
}

/// A sentinel's core, and what its shell would hold.
pub struct Sentinel {
    /// The core.
    pub monitor: Monitor,
    /// Its run id.
    pub runid: String,
    /// Every write of the state fails for now. (The world's own full disk ends a process.)
    pub cannot_save: bool,
    now: Now,
    file: Vec<u8>,
    /// The number of the first link: numbers must not be used again after a restart.
    first_link: u64,
    /// What waits for links that are not up yet.
    waiting: BTreeMap<LinkId, Vec<Vec<u8>>>,
    /// Replies of which a part has come.
    replies: BTreeMap<LinkId, BytesMut>,
    followers: Followers,
    ready: VecDeque<Output<Note>>,
}

impl Sentinel {
    #[expect(
        clippy::panic,
        reason = "a file that the core wrote and cannot read again is a finding"
    )]
    pub(super) fn new(now: Now, text: &[u8], seed: u64) -> Self {
        let file = File::parse(text, &mut NoWorld)
            .unwrap_or_else(|error| panic!("sentinel.conf: {error}"));
        let new_id = || format!("{seed:016x}{:024x}", seed.rotate_left(17));
        let runid = file.myid.unwrap_or_else(new_id);
        let config = Config {
            myid: runid.clone(),
            server: Arc::new(file.server),
            globals: file.globals,
            facts: Facts::default(),
            world: World {
                is_executable: |_| true,
                read_file: |_| Err("No such file or directory".to_owned()),
                write_file: |_, _| Err("Read-only file system".to_owned()),
                fill_random: |bytes| {
                    bytes.fill(7);
                    Ok(())
                },
            },
        };
        Self {
            monitor: Monitor::new(core_now(now), config, file.saved, seed),
            runid,
            cannot_save: false,
            now,
            file: text.to_vec(),
            first_link: (seed & 0xFFFF_FFFF) * LINKS,
            waiting: BTreeMap::new(),
            replies: BTreeMap::new(),
            followers: Followers::default(),
            ready: VecDeque::new(),
        }
    }

    /// Puts a bug in: it promotes the replica that lags behind most.
    pub fn promote_laggards(&mut self) {
        self.followers.upside_down = true;
    }

    pub(super) fn handle_input(&mut self, now: Now, input: Input) {
        self.now = now;
        let (Input::Accepted { conn, .. }
        | Input::Connected { conn, .. }
        | Input::Refused { conn }
        | Input::Closed { conn }
        | Input::Bytes { conn, .. }) = input;
        let inputs: Vec<In> = match conn {
            Conn::Accepted(number) => Self::client_input(ClientId(number), input)
                .into_iter()
                .collect(),
            // What was on its way to the process before this one is dropped.
            Conn::Dialled(number) => self
                .link(number)
                .map(|link| self.link_input(link, input))
                .unwrap_or_default(),
        };
        for input in inputs {
            self.monitor.handle_input(core_now(now), input);
        }
    }

    #[expect(
        clippy::panic,
        reason = "what one of our sentinels sends, another one must understand"
    )]
    fn client_input(client: ClientId, input: Input) -> Option<In> {
        Some(match input {
            Input::Accepted { remote, .. } => In::ClientConnected {
                client,
                addr: remote.to_string(),
                laddr: String::new(),
                fd: 0,
            },
            Input::Closed { .. } => In::ClientClosed { client },
            Input::Bytes { bytes, .. } => {
                let request =
                    decode_request(&bytes).unwrap_or_else(|| panic!("no request: {bytes:?}"));
                In::ClientRequest { client, request }
            }
            Input::Connected { .. } | Input::Refused { .. } => return None,
        })
    }

    #[expect(
        clippy::panic,
        reason = "what our servers and sentinels reply, a sentinel must understand"
    )]
    fn link_input(&mut self, link: LinkId, input: Input) -> Vec<In> {
        match input {
            Input::Connected { local, .. } => {
                self.followers.opened(link);
                let conn = self.conn(link);
                let waiting = self.waiting.remove(&link).unwrap_or_default();
                self.ready.extend(
                    waiting
                        .into_iter()
                        .map(|bytes| Output::Send { conn, bytes }),
                );
                vec![In::Connected {
                    link,
                    local_ip: local.ip(),
                    // Hosts have no names in the simulator.
                    peer_ip: local.ip(),
                }]
            }
            Input::Refused { .. } | Input::Closed { .. } => {
                self.forget(link);
                vec![In::Closed {
                    link,
                    reason: "gone".to_owned(),
                }]
            }
            Input::Bytes { bytes, .. } => {
                let buffer = self.replies.entry(link).or_default();
                buffer.extend_from_slice(&bytes);
                let replies =
                    decode_replies(buffer).unwrap_or_else(|| panic!("no reply: {bytes:?}"));
                let mut received = Vec::new();
                for reply in replies {
                    let reply = self.followers.hear(link, reply, self.now.mono_ms);
                    received.push(In::Received { link, reply });
                }
                received
            }
            Input::Accepted { .. } => Vec::new(),
        }
    }

    pub(super) fn poll_output(&mut self) -> Option<Output<Note>> {
        while self.ready.is_empty() {
            let output = self.monitor.poll_output()?;
            self.take(output);
        }
        self.ready.pop_front()
    }

    fn take(&mut self, output: sentinel_core::Output) {
        use sentinel_core::Output as Out;
        let output = match output {
            Out::Connect { link, addr, .. } => {
                let to = SocketAddr::new(addr.ip.unwrap_or([0, 0, 0, 0].into()), addr.port);
                self.connect(link, to)
            }
            Out::Close { link } => {
                self.forget(link);
                Output::Close {
                    conn: self.conn(link),
                }
            }
            Out::Send { link, command } => {
                self.ready.extend(said(&command).map(Output::Note));
                let bytes = encode_request(&command);
                if let Some(waiting) = self.waiting.get_mut(&link) {
                    return waiting.push(bytes);
                }
                Output::Send {
                    conn: self.conn(link),
                    bytes,
                }
            }
            Out::Persist(_) if self.cannot_save => {
                let error = "No space left on device".to_owned();
                let now = core_now(self.now);
                return self
                    .monitor
                    .handle_input(now, sentinel_core::Input::PersistFailed { error });
            }
            Out::Persist(snapshot) => {
                self.file = snapshot.render(&self.file);
                Output::Persist(self.file.clone())
            }
            Out::Reply {
                client: ClientId(number),
                reply,
                ..
            } => {
                self.ready.extend(voted(&reply).map(Output::Note));
                Output::Send {
                    conn: Conn::Accepted(number),
                    bytes: encode_reply(&reply),
                }
            }
            Out::Disconnect {
                client: ClientId(number),
            } => Output::Close {
                conn: Conn::Accepted(number),
            },
            Out::Event { kind, text, .. } => {
                self.event(kind, &text);
                Output::Note(Note::Log(format!("{kind} {text}")))
            }
            Out::Log { text, .. } => Output::Note(Note::Log(text)),
            Out::FailoverDelayed { .. }
            | Out::PauseClients { .. }
            | Out::ResumeClients
            | Out::Resolve { .. }
            | Out::LogLevel(_)
            | Out::RunScript { .. }
            | Out::KillScript { .. }
            | Out::Crash
            | Out::Shutdown => return,
        };
        self.ready.push_back(output);
    }

    fn connect(&mut self, link: LinkId, to: SocketAddr) -> Output<Note> {
        self.waiting.insert(link, Vec::new());
        self.followers.links.insert(link, (to, false));
        Output::Connect {
            conn: self.conn(link),
            to,
        }
    }

    fn forget(&mut self, link: LinkId) {
        self.waiting.remove(&link);
        self.replies.remove(&link);
        self.followers.closed(link);
    }

    /// An election tells two things: who leads, and that this sentinel's own vote was counted.
    fn event(&mut self, kind: &str, text: &str) {
        match kind {
            "+saturated" => self.followers.relieve = true,
            "-saturated" | "+odown" | "+switch-master" => self.followers.relieve = false,
            _ => {}
        }
        if kind == "+selected-slave" && !self.followers.relieve {
            let passed = self.followers.passed_over(text, self.now.mono_ms);
            self.ready
                .extend(passed.map(Note::PassedOver).map(Output::Note));
        }
        if kind == "+elected-leader" {
            let saved = self.monitor.snapshot().saved;
            let epoch = saved
                .masters
                .first()
                .map_or(0, |master| master.leader_epoch);
            let leader = self.runid.clone();
            self.ready.push_back(Output::Note(Note::Voted {
                leader: leader.clone(),
                epoch,
            }));
            self.ready
                .push_back(Output::Note(Note::Elected { leader, epoch }));
        }
    }

    /// The link that a connection's number stands for, if it is one of this process.
    fn link(&self, number: u64) -> Option<LinkId> {
        let own = number
            .checked_sub(self.first_link)
            .filter(|own| *own < LINKS);
        own.map(LinkId)
    }

    fn conn(&self, link: LinkId) -> Conn {
        Conn::Dialled(self.first_link + link.0)
    }
}

/// What a hello message says.
fn said(command: &[Vec<u8>]) -> Option<Note> {
    let [name, _, text] = command else {
        return None;
    };
    if name != b"PUBLISH" {
        return None;
    }
    let text = String::from_utf8_lossy(text);
    let parts: Vec<&str> = text.split(',').collect();
    let &[_, _, _, epoch, _, ip, port, config_epoch] = &parts[..] else {
        return None;
    };
    let config = (config_epoch.parse().ok()?, format!("{ip}:{port}"));
    Some(Note::Said {
        epoch: epoch.parse().ok()?,
        config,
    })
}

/// The vote in a reply to another sentinel.
fn voted(reply: &Reply) -> Option<Note> {
    let Reply::Array(parts) = reply else {
        return None;
    };
    let [
        Reply::Integer(_),
        Reply::Bulk(leader),
        Reply::Integer(epoch),
    ] = &parts[..]
    else {
        return None;
    };
    let leader = String::from_utf8_lossy(leader).into_owned();
    let epoch = u64::try_from(*epoch).ok()?;
    (leader != "*").then_some(Note::Voted { leader, epoch })
}

pub(super) fn core_now(now: Now) -> sentinel_core::Now {
    sentinel_core::Now {
        mono_ms: now.mono_ms,
        unix_ms: now.unix_ms,
    }
}

fn encode_request(words: &[Vec<u8>]) -> Vec<u8> {
    let mut out = resp::Reply::new();
    out.array(words.len());
    words.iter().for_each(|word| out.bulk(word));
    out.into_vec()
}

fn decode_request(bytes: &[u8]) -> Option<Vec<Vec<u8>>> {
    let mut batch = Batch::default();
    let cut = Parser::new().cut_all(bytes, &mut batch).ok()?;
    let mut words = Vec::new();
    batch.args(0, bytes, &mut words);
    (cut == bytes.len() && batch.len() == 1)
        .then(|| words.into_iter().map(<[u8]>::to_vec).collect())
}

fn encode_reply(reply: &Reply) -> Vec<u8> {
    let mut out = resp::Reply::new();
    reply.encode(&mut out);
    out.into_vec()
}

/// All whole replies at the start of what has come. None where it is no reply.
fn decode_replies(buffer: &mut BytesMut) -> Option<Vec<Reply>> {
    let mut replies = Vec::new();
    // A reply of which a part has come is decoded from its start again: they are short.
    loop {
        let mut rest = buffer.clone();
        match Codec::default().decode(&mut rest) {
            Ok(Some(value)) => {
                *buffer = rest;
                replies.push(reply_of(value));
            }
            Ok(None) => return Some(replies),
            Err(_) => return None,
        }
    }
}

fn reply_of(value: client::Value) -> Reply {
    match value {
        client::Value::Status(text) => Reply::Status(text),
        client::Value::Error(text) => Reply::Error(text),
        client::Value::Int(number) => Reply::Integer(number),
        client::Value::Bulk(bytes) => Reply::Bulk(bytes.into()),
        client::Value::Nil => Reply::Nil,
        client::Value::Array(elements) => {
            Reply::Array(elements.into_iter().map(reply_of).collect())
        }
        resp3 => reply_of(resp3.into_resp2()),
    }
}

/// A world of literal addresses, in which every program exists.
struct NoWorld;

impl conf::Host for NoWorld {}

impl Host for NoWorld {
    fn resolve(&mut self, host: &str) -> Option<IpAddr> {
        host.parse().ok()
    }

    fn is_executable(&mut self, _: &str) -> bool {
        true
    }
}
