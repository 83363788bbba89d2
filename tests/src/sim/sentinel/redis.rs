//! A Redis server in miniature: what a sentinel can see of one. Its role, its slaves, its offset and its channels; a
//! configuration file that remembers whose slave it is. Data flows at the run's ticks, not through connections.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::SocketAddr;

use sentinel_core::Reply;

use super::process::{Note, decode_request, encode_reply};
use crate::sim::{Conn, Input, Now, Output};

/// A server.
pub struct Redis {
    runid: String,
    /// Whose slave it is.
    pub master: Option<SocketAddr>,
    /// How much of the stream it has.
    pub offset: u64,
    /// Whether its link to its master is up, and since when not.
    pub link_down_since_ms: Option<u64>,
    /// The slaves connected to it.
    pub slaves: BTreeSet<SocketAddr>,
    /// When it was last told the time.
    now_ms: u64,
    connections: BTreeMap<Conn, Connection>,
    ready: VecDeque<Output<Note>>,
}

#[derive(Default)]
struct Connection {
    subscribed: bool,
    /// Commands since MULTI.
    queued: Option<Vec<Vec<String>>>,
}

impl Redis {
    pub(super) fn new(
        now: Now,
        master: Option<SocketAddr>,
        file: Option<&[u8]>,
        seed: u64,
    ) -> Self {
        // The file holds `slaveof` as CONFIG REWRITE left it; without one, the server is as it was set up.
        let master = file.map_or(master, |file| String::from_utf8_lossy(file).parse().ok());
        Self {
            runid: format!("{seed:016x}{:024x}", seed.rotate_left(29)),
            master,
            offset: 0,
            link_down_since_ms: master.map(|_| now.mono_ms),
            slaves: BTreeSet::new(),
            now_ms: now.mono_ms,
            connections: BTreeMap::new(),
            ready: VecDeque::new(),
        }
    }

    pub(super) fn handle_input(&mut self, now: Now, input: Input) {
        self.now_ms = now.mono_ms;
        match input {
            Input::Accepted { conn, .. } => {
                drop(self.connections.insert(conn, Connection::default()));
            }
            Input::Closed { conn } => drop(self.connections.remove(&conn)),
            Input::Bytes { conn, bytes } => {
                let words = decode_request(&bytes).unwrap_or_default();
                let words: Vec<String> = words
                    .iter()
                    .map(|word| String::from_utf8_lossy(word).into_owned())
                    .collect();
                self.request(conn, words);
            }
            Input::Connected { .. } | Input::Refused { .. } => {}
        }
    }

    pub(super) fn poll_output(&mut self) -> Option<Output<Note>> {
        self.ready.pop_front()
    }

    /// What the run's tick found: whether the master can be reached, and how far its stream is.
    pub fn set_link(&mut self, now: Now, master_offset: Option<u64>) {
        match master_offset {
            Some(offset) => {
                self.offset = offset;
                self.link_down_since_ms = None;
            }
            None => {
                self.link_down_since_ms.get_or_insert(now.mono_ms);
            }
        }
    }

    fn request(&mut self, conn: Conn, words: Vec<String>) {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return;
        };
        let reply = match (words[0].as_str(), &mut connection.queued) {
            ("MULTI", _) => {
                connection.queued = Some(Vec::new());
                Reply::ok()
            }
            ("EXEC", queued) => {
                let commands = queued.take().unwrap_or_default();
                Reply::Array(
                    commands
                        .into_iter()
                        .map(|words| self.run(conn, &words))
                        .collect(),
                )
            }
            (_, Some(queued)) => {
                queued.push(words);
                Reply::Status("QUEUED".to_owned())
            }
            (_, None) => self.run(conn, &words),
        };
        self.send(conn, &reply);
    }

    fn run(&mut self, conn: Conn, words: &[String]) -> Reply {
        match words[0].as_str() {
            "PING" => Reply::Status("PONG".to_owned()),
            "INFO" => Reply::bulk(self.info()),
            "SUBSCRIBE" => {
                self.connections.entry(conn).or_default().subscribed = true;
                Reply::Array(vec![
                    Reply::bulk("subscribe"),
                    Reply::bulk(&words[1]),
                    Reply::Integer(1),
                ])
            }
            "PUBLISH" => {
                let message =
                    Reply::Array(["message", &words[1], &words[2]].map(Reply::bulk).to_vec());
                let subscribers: Vec<Conn> = self
                    .connections
                    .iter()
                    .filter(|(_, other)| other.subscribed)
                    .map(|(conn, _)| *conn)
                    .collect();
                for subscriber in &subscribers {
                    self.send(*subscriber, &message);
                }
                Reply::Integer(i64::try_from(subscribers.len()).unwrap_or(0))
            }
            "SLAVEOF" => {
                self.slaveof(words);
                Reply::ok()
            }
            "CONFIG" => {
                let text = self
                    .master
                    .map_or("none".to_owned(), |master| master.to_string());
                self.ready.push_back(Output::Persist(text.into_bytes()));
                Reply::ok()
            }
            "CLIENT" if words[1] == "KILL" => self.kill_others(conn),
            _ => Reply::ok(),
        }
    }

    fn slaveof(&mut self, words: &[String]) {
        let master = format!("{}:{}", words[1], words[2]).parse().ok();
        if master != self.master {
            self.master = master;
            self.link_down_since_ms = master.map(|_| self.now_ms);
        }
        let text = master.map_or("is a master now".to_owned(), |master| {
            format!("is a slave of {master} now")
        });
        self.ready.push_back(Output::Note(Note::Log(text)));
    }

    /// CLIENT KILL TYPE normal: subscribers stay, and so does who asks.
    fn kill_others(&mut self, conn: Conn) -> Reply {
        let others: Vec<Conn> = self
            .connections
            .iter()
            .filter(|(other, connection)| **other != conn && !connection.subscribed)
            .map(|(conn, _)| *conn)
            .collect();
        for other in &others {
            self.connections.remove(other);
            self.ready.push_back(Output::Close { conn: *other });
        }
        Reply::Integer(i64::try_from(others.len()).unwrap_or(0))
    }

    fn send(&mut self, conn: Conn, reply: &Reply) {
        self.ready.push_back(Output::Send {
            conn,
            bytes: encode_reply(reply),
        });
    }

    fn info(&self) -> String {
        let mut text = format!(
            "# Server\r\nredis_version:3.0.7\r\nrun_id:{}\r\n# Replication\r\n",
            self.runid
        );
        if let Some(master) = self.master {
            let status = if self.link_down_since_ms.is_some() {
                "down"
            } else {
                "up"
            };
            text += &format!(
                "role:slave\r\nmaster_host:{}\r\nmaster_port:{}\r\nmaster_link_status:{status}\r\n",
                master.ip(),
                master.port()
            );
            text += &format!("slave_repl_offset:{}\r\n", self.offset);
            if let Some(since) = self.link_down_since_ms {
                let seconds = self.now_ms.saturating_sub(since) / 1_000;
                text += &format!("master_link_down_since_seconds:{seconds}\r\n");
            }
            text += "slave_priority:100\r\n";
        } else {
            text += "role:master\r\n";
        }
        text += &format!("connected_slaves:{}\r\n", self.slaves.len());
        for (number, slave) in self.slaves.iter().enumerate() {
            text += &format!(
                "slave{number}:ip={},port={},state=online\r\n",
                slave.ip(),
                slave.port()
            );
        }
        text
    }
}
