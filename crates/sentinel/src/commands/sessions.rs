//! The clients of this sentinel: their subscriptions, and the CLIENT command.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use resp::glob;
use resp::number::parse_integer;

use crate::Monitor;
use crate::io::{ClientId, Now, Output, Reply};

/// All connected clients.
#[derive(Debug, Default)]
pub(crate) struct Sessions(BTreeMap<ClientId, Session>);

#[derive(Debug)]
struct Session {
    addr: String,
    fd: i32,
    name: String,
    connected_ms: u64,
    active_ms: u64,
    last_command: &'static str,
    authenticated: bool,
    channels: BTreeSet<Vec<u8>>,
    /// In the order in which they were subscribed to.
    patterns: Vec<Vec<u8>>,
}

impl Session {
    fn subscriptions(&self) -> i64 {
        i64::try_from(self.channels.len() + self.patterns.len()).unwrap_or(i64::MAX)
    }

    /// The name that CLIENT KILL TYPE knows this kind of client by.
    fn kind(&self) -> &'static str {
        if self.subscriptions() > 0 {
            "pubsub"
        } else {
            "normal"
        }
    }
}

impl Sessions {
    pub(crate) fn connected(&mut self, now: Now, client: ClientId, addr: String, fd: i32) {
        let session = Session {
            addr,
            fd,
            name: String::new(),
            connected_ms: now.mono_ms,
            active_ms: now.mono_ms,
            last_command: "NULL",
            authenticated: false,
            channels: BTreeSet::new(),
            patterns: Vec::new(),
        };
        self.0.insert(client, session);
    }

    pub(crate) fn closed(&mut self, client: ClientId) {
        self.0.remove(&client);
    }

    /// Unknown, or told to go: what it still sends is not run.
    pub(crate) fn is_closing(&self, client: ClientId) -> bool {
        !self.0.contains_key(&client)
    }

    pub(crate) fn is_subscribed(&self, client: ClientId) -> bool {
        self.0
            .get(&client)
            .is_some_and(|session| session.subscriptions() > 0)
    }

    pub(crate) fn is_authenticated(&self, client: ClientId) -> bool {
        self.0
            .get(&client)
            .is_some_and(|session| session.authenticated)
    }

    pub(crate) fn authenticate(&mut self, client: ClientId) {
        if let Some(session) = self.0.get_mut(&client) {
            session.authenticated = true;
        }
    }

    /// Remembers what a client did last.
    pub(crate) fn note(&mut self, now: Now, client: ClientId, command: &'static str) {
        if let Some(session) = self.0.get_mut(&client) {
            session.active_ms = now.mono_ms;
            session.last_command = command;
        }
    }

    /// Clients that asked nothing for longer than the given time and wait for nothing.
    pub(crate) fn idle(&self, now_ms: u64, timeout_ms: u64) -> Vec<ClientId> {
        let idle = |session: &Session| {
            session.subscriptions() == 0 && now_ms.saturating_sub(session.active_ms) > timeout_ms
        };
        let sessions = self.0.iter().filter(|(_, session)| idle(session));
        sessions.map(|(&client, _)| client).collect()
    }

    /// The messages that an event makes for those who subscribed to it.
    pub(crate) fn publish(&self, channel: &[u8], text: &[u8]) -> Vec<(ClientId, Reply)> {
        let mut messages = Vec::new();
        for (&client, session) in &self.0 {
            if session.channels.contains(channel) {
                messages.push((client, message(&[b"message", channel, text])));
            }
            for pattern in session
                .patterns
                .iter()
                .filter(|pattern| glob::matches(pattern, channel))
            {
                messages.push((client, message(&[b"pmessage", pattern, channel, text])));
            }
        }
        messages
    }

    /// (P)SUBSCRIBE and (P)UNSUBSCRIBE: one reply per channel or pattern.
    pub(crate) fn subscription(
        &mut self,
        client: ClientId,
        command: &str,
        names: &[Vec<u8>],
    ) -> Vec<Reply> {
        let Some(session) = self.0.get_mut(&client) else {
            return Vec::new();
        };
        let pattern = command.starts_with('p');
        let ends = command.ends_with("unsubscribe");
        let all: Vec<Vec<u8>> = match (ends && names.is_empty(), pattern) {
            (true, true) => session.patterns.clone(),
            (true, false) => session.channels.iter().cloned().collect(),
            (false, _) => names.to_vec(),
        };
        let reply = |name: Reply, count: i64| {
            Reply::Array(vec![Reply::bulk(command), name, Reply::Integer(count)])
        };
        if all.is_empty() {
            return vec![reply(Reply::Nil, session.subscriptions())];
        }
        let mut replies = Vec::new();
        for name in all {
            match (pattern, ends) {
                (false, false) => drop(session.channels.insert(name.clone())),
                (false, true) => drop(session.channels.remove(&name)),
                (true, false) if session.patterns.contains(&name) => {}
                (true, false) => session.patterns.push(name.clone()),
                (true, true) => session.patterns.retain(|pattern| *pattern != name),
            }
            replies.push(reply(Reply::Bulk(name), session.subscriptions()));
        }
        replies
    }

    fn list(&self, now: Now) -> String {
        let mut text = String::new();
        for (ClientId(id), session) in &self.0 {
            let seconds = |at: u64| now.mono_ms.saturating_sub(at) / 1_000;
            // The buffers are the shell's, and not counted here.
            let _ = writeln!(
                text,
                "id={id} addr={} fd={} name={} age={} idle={} flags=N db=0 sub={} psub={} multi=-1 qbuf=0 \
                 qbuf-free=0 obl=0 oll=0 omem=0 events=r cmd={}",
                session.addr,
                session.fd,
                session.name,
                seconds(session.connected_ms),
                seconds(session.active_ms),
                session.channels.len(),
                session.patterns.len(),
                session.last_command,
            );
        }
        text
    }
}

fn message(parts: &[&[u8]]) -> Reply {
    Reply::Array(parts.iter().map(Reply::bulk).collect())
}

/// What CLIENT KILL looks for.
struct Filter {
    id: Option<i64>,
    addr: Option<String>,
    kind: Option<&'static str>,
    skip_me: bool,
}

impl Monitor {
    pub(super) fn client_command(&mut self, client: ClientId, args: &[Vec<u8>]) {
        let words: Vec<String> = args
            .iter()
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let Some((subcommand, values)) = words.split_first() else {
            return;
        };
        let reply = match (subcommand.to_ascii_lowercase().as_str(), values) {
            ("list", []) => Reply::bulk(self.cx.sessions.list(self.cx.now)),
            ("kill", _) => return self.client_kill(client, values),
            ("getname", []) => match self.cx.sessions.0.get(&client) {
                Some(session) if !session.name.is_empty() => Reply::bulk(&session.name),
                _ => Reply::Nil,
            },
            ("setname", [name]) => self.client_setname(client, name),
            ("pause", [ms]) => self.client_pause(ms),
            _ => Reply::err(
                "Syntax error, try CLIENT (LIST | KILL ip:port | GETNAME | SETNAME connection-name)",
            ),
        };
        self.reply(client, reply);
    }

    fn client_setname(&mut self, client: ClientId, name: &str) -> Reply {
        if !name.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Reply::err(
                "Client names cannot contain spaces, newlines or special characters.",
            );
        }
        if let Some(session) = self.cx.sessions.0.get_mut(&client) {
            name.clone_into(&mut session.name);
        }
        Reply::ok()
    }

    fn client_pause(&mut self, ms: &str) -> Reply {
        let Some(ms) = parse_integer(ms.as_bytes()) else {
            return Reply::err("timeout is not an integer or out of range");
        };
        let Ok(ms) = u64::try_from(ms) else {
            return Reply::err("timeout is negative");
        };
        let until_mono_ms = self.cx.mono().saturating_add(ms);
        self.cx.push(Output::PauseClients { until_mono_ms });
        Reply::ok()
    }

    /// `ip:port`, or pairs of `ID`, `ADDR`, `TYPE` and `SKIPME`.
    fn client_kill(&mut self, client: ClientId, values: &[&str]) {
        let old_form = values.len() == 1;
        let filter = match Filter::read(values) {
            Ok(filter) => filter,
            Err(error) => return self.reply(client, error),
        };
        let hit = |(&id, session): (&ClientId, &Session)| {
            let ClientId(number) = id;
            let fits = filter
                .addr
                .as_ref()
                .is_none_or(|addr| *addr == session.addr)
                && filter.kind.is_none_or(|kind| kind == session.kind())
                && filter.id.is_none_or(|id| i64::try_from(number) == Ok(id))
                && !(filter.skip_me && id == client);
            fits.then_some(id)
        };
        let victims: Vec<ClientId> = self.cx.sessions.0.iter().filter_map(hit).collect();
        self.reply(
            client,
            match victims.len() {
                0 if old_form => Reply::err("No such client"),
                _ if old_form => Reply::ok(),
                count => Reply::Integer(i64::try_from(count).unwrap_or(i64::MAX)),
            },
        );
        for victim in victims {
            self.disconnect_client(victim);
        }
    }
}

impl Filter {
    fn read(values: &[&str]) -> Result<Self, Reply> {
        let mut filter = Self {
            id: None,
            addr: None,
            kind: None,
            skip_me: true,
        };
        if let [addr] = values {
            return Ok(Self {
                addr: Some((*addr).to_owned()),
                skip_me: false,
                ..filter
            });
        }
        let syntax = || Reply::err("syntax error");
        if values.is_empty() {
            return Err(syntax());
        }
        for pair in values.chunks(2) {
            let &[option, value] = pair else {
                return Err(syntax());
            };
            match option.to_ascii_lowercase().as_str() {
                "id" => {
                    let id = parse_integer(value.as_bytes());
                    // Id 0 filters nothing, as in Redis.
                    filter.id =
                        Some(id.ok_or_else(|| {
                            Reply::err("value is not an integer or out of range")
                        })?)
                        .filter(|&id| id != 0);
                }
                "type" => {
                    let kind = ["normal", "slave", "pubsub"]
                        .into_iter()
                        .find(|kind| kind.eq_ignore_ascii_case(value));
                    filter.kind = Some(
                        kind.ok_or_else(|| Reply::err(format!("Unknown client type '{value}'")))?,
                    );
                }
                "addr" => filter.addr = Some(value.to_owned()),
                "skipme" if value.eq_ignore_ascii_case("yes") => filter.skip_me = true,
                "skipme" if value.eq_ignore_ascii_case("no") => filter.skip_me = false,
                _ => return Err(syntax()),
            }
        }
        Ok(filter)
    }
}
