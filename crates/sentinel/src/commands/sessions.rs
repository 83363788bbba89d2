//! The clients of this sentinel: who they are, which protocol they speak, and what they subscribed to.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::rc::Rc;

use acl::User;
use resp::{Protocol, glob};

use crate::io::{ClientId, Now, Reply};

/// All connected clients.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    clients: BTreeMap<ClientId, Session>,
    /// Connections so far.
    pub(crate) connections: u64,
    /// Requests so far that were not refused.
    pub(crate) requests: u64,
}

#[derive(Debug)]
pub(crate) struct Session {
    pub(super) addr: String,
    pub(super) laddr: String,
    fd: i32,
    pub(super) name: String,
    pub(super) lib_name: String,
    pub(super) lib_ver: String,
    pub(crate) user: Rc<User>,
    pub(super) protocol: Protocol,
    pub(crate) authenticated: bool,
    pub(super) replies: Replies,
    pub(super) no_evict: bool,
    pub(super) tracking: Option<Tracking>,
    pub(super) connected_ms: u64,
    pub(super) active_ms: u64,
    last_command: &'static str,
    commands: u64,
    channels: BTreeSet<Vec<u8>>,
    /// In the order in which they were subscribed to.
    patterns: Vec<Vec<u8>>,
}

/// Which replies a client wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Replies {
    #[default]
    On,
    Off,
    /// Not the next one.
    Skip,
}

/// What CLIENT TRACKING said. A sentinel has no keys, so nothing ever follows from it.
#[derive(Clone, Debug, Default)]
pub(super) struct Tracking {
    pub(super) flags: Vec<&'static str>,
    pub(super) redirect: i64,
    pub(super) prefixes: Vec<Vec<u8>>,
}

impl Session {
    pub(super) fn subscriptions(&self) -> usize {
        self.channels.len() + self.patterns.len()
    }

    /// The letters of CLIENT LIST.
    pub(super) fn flags(&self) -> String {
        let letters = [
            (self.subscriptions() > 0, 'P'),
            (self.tracking.is_some(), 't'),
            (self.no_evict, 'e'),
            (self.addr.starts_with('/'), 'U'),
        ];
        let set: String = letters
            .into_iter()
            .filter_map(|(set, letter)| set.then_some(letter))
            .collect();
        if set.is_empty() { "N".to_owned() } else { set }
    }

    /// As it was when the connection was opened.
    pub(super) fn reset(&mut self, default: Rc<User>, open: bool) {
        self.name.clear();
        self.protocol = Protocol::Resp2;
        self.user = default;
        self.authenticated = open;
        self.replies = Replies::On;
        self.no_evict = false;
        self.tracking = None;
        self.channels.clear();
        self.patterns.clear();
    }

    /// Whether it is subscribed to what its user, as it is now, may not hear.
    pub(crate) fn hears_too_much(&self, new: &User, old: &User) -> bool {
        let Some(allowed) = new.narrowed_channels(old) else {
            return false;
        };
        let heard = |name: &Vec<u8>, is_pattern| acl::hears(&allowed, name, is_pattern);
        !self.channels.iter().all(|name| heard(name, false))
            || !self.patterns.iter().all(|name| heard(name, true))
    }

    /// The line of CLIENT LIST and INFO, without its end. What only the sockets know is not told.
    pub(crate) fn line(&self, ClientId(id): ClientId, now: Now) -> String {
        let seconds = |at: u64| now.mono_ms.saturating_sub(at) / 1_000;
        let resp = match self.protocol {
            Protocol::Resp2 => 2,
            Protocol::Resp3 => 3,
        };
        let redirect = self
            .tracking
            .as_ref()
            .map_or(-1, |tracking| tracking.redirect);
        let mut line = format!(
            "id={id} addr={} laddr={} fd={} name={} age={} idle={} flags={} capa= db=0 sub={} psub={} ssub=0 multi=-1 \
             watch=0",
            self.addr,
            self.laddr,
            self.fd,
            self.name,
            seconds(self.connected_ms),
            seconds(self.active_ms),
            self.flags(),
            self.channels.len(),
            self.patterns.len(),
        );
        // Writing to a string cannot fail.
        let _ = write!(
            line,
            " qbuf=0 qbuf-free=0 obl=0 oll=0 omem=0 events=r cmd={} user={} redir={redirect} resp={resp} lib-name={} \
             lib-ver={} tot-cmds={}",
            self.last_command,
            String::from_utf8_lossy(self.user.name()),
            self.lib_name,
            self.lib_ver,
            self.commands,
        );
        line
    }
}

impl Sessions {
    pub(crate) fn connected(
        &mut self,
        now: Now,
        client: ClientId,
        addr: String,
        laddr: String,
        fd: i32,
        user: (Rc<User>, bool),
    ) {
        let (user, open) = user;
        let session = Session {
            addr,
            laddr,
            fd,
            name: String::new(),
            lib_name: String::new(),
            lib_ver: String::new(),
            user,
            protocol: Protocol::Resp2,
            authenticated: open,
            replies: Replies::On,
            no_evict: false,
            tracking: None,
            connected_ms: now.mono_ms,
            active_ms: now.mono_ms,
            last_command: "NULL",
            commands: 0,
            channels: BTreeSet::new(),
            patterns: Vec::new(),
        };
        self.clients.insert(client, session);
        self.connections += 1;
    }

    pub(crate) fn closed(&mut self, client: ClientId) {
        self.clients.remove(&client);
    }

    pub(crate) fn get(&self, client: ClientId) -> Option<&Session> {
        self.clients.get(&client)
    }

    pub(crate) fn get_mut(&mut self, client: ClientId) -> Option<&mut Session> {
        self.clients.get_mut(&client)
    }

    /// All connected clients, in the order of their ids.
    pub(super) fn iter(&self) -> impl Iterator<Item = (ClientId, &Session)> {
        self.clients
            .iter()
            .map(|(&client, session)| (client, session))
    }

    /// The same, to be changed.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (ClientId, &mut Session)> {
        let clients = self.clients.iter_mut();
        clients.map(|(&client, session)| (client, session))
    }

    /// Unknown, or told to go: what it still sends is not run.
    pub(crate) fn is_closing(&self, client: ClientId) -> bool {
        !self.clients.contains_key(&client)
    }

    /// The version of the protocol that a client speaks.
    pub(crate) fn protocol(&self, client: ClientId) -> Protocol {
        self.get(client)
            .map_or(Protocol::Resp2, |session| session.protocol)
    }

    /// It subscribed to something, and its protocol cannot tell messages from replies.
    pub(super) fn is_bound_to_pubsub(&self, client: ClientId) -> bool {
        self.get(client).is_some_and(|session| {
            session.subscriptions() > 0 && session.protocol == Protocol::Resp2
        })
    }

    pub(crate) fn is_authenticated(&self, client: ClientId) -> bool {
        self.get(client)
            .is_some_and(|session| session.authenticated)
    }

    /// A request came.
    pub(super) fn begin(&mut self, now: Now, client: ClientId) {
        if let Some(session) = self.get_mut(client) {
            session.active_ms = now.mono_ms;
            session.commands += 1;
        }
    }

    /// Remembers what a client did last, and that it is done.
    pub(super) fn note(&mut self, client: ClientId, command: &'static str) {
        self.requests += 1;
        if let Some(session) = self.get_mut(client) {
            session.last_command = command;
        }
    }

    /// Whether the reply to a request is wanted; asked once for each.
    pub(super) fn wants_reply(&mut self, client: ClientId) -> bool {
        let Some(session) = self.get_mut(client) else {
            return true;
        };
        let wanted = session.replies == Replies::On;
        self.skipped(client);
        wanted
    }

    /// The reply that was not wanted did not come.
    pub(super) fn skipped(&mut self, client: ClientId) {
        if let Some(session) = self.get_mut(client)
            && session.replies == Replies::Skip
        {
            session.replies = Replies::On;
        }
    }

    /// Clients that asked nothing for longer than the given time and wait for nothing.
    pub(crate) fn idle(&self, now_ms: u64, timeout_ms: u64) -> Vec<ClientId> {
        let idle = |session: &Session| {
            session.subscriptions() == 0 && now_ms.saturating_sub(session.active_ms) > timeout_ms
        };
        let sessions = self.iter().filter(|(_, session)| idle(session));
        sessions.map(|(client, _)| client).collect()
    }

    /// Clients that subscribed to something.
    pub(super) fn subscribers(&self) -> usize {
        let subscribes = |(_, session): &(ClientId, &Session)| session.subscriptions() > 0;
        self.iter().filter(subscribes).count()
    }

    /// Different channels and patterns that somebody subscribed to.
    pub(super) fn channels_and_patterns(&self) -> (usize, usize) {
        let all = || self.clients.values();
        let channels: BTreeSet<_> = all().flat_map(|session| &session.channels).collect();
        let patterns: BTreeSet<_> = all().flat_map(|session| &session.patterns).collect();
        (channels.len(), patterns.len())
    }

    pub(super) fn len(&self) -> usize {
        self.clients.len()
    }

    /// The messages that an event makes for those who subscribed to it.
    pub(crate) fn publish(&self, channel: &[u8], text: &[u8]) -> Vec<(ClientId, Reply)> {
        let mut messages = Vec::new();
        for (client, session) in self.iter() {
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

    /// (P)SUBSCRIBE and (P)UNSUBSCRIBE: one push per channel or pattern.
    pub(super) fn subscription(
        &mut self,
        client: ClientId,
        command: &str,
        names: &[Vec<u8>],
    ) -> Vec<Reply> {
        let Some(session) = self.get_mut(client) else {
            return Vec::new();
        };
        let pattern = command.starts_with('p');
        let ends = command.ends_with("unsubscribe");
        let all: Vec<Vec<u8>> = match (ends && names.is_empty(), pattern) {
            (true, true) => session.patterns.clone(),
            (true, false) => session.channels.iter().cloned().collect(),
            (false, _) => names.to_vec(),
        };
        let reply = |name: Reply, count: usize| {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            Reply::Push(vec![Reply::bulk(command), name, Reply::Integer(count)])
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
}

fn message(parts: &[&[u8]]) -> Reply {
    Reply::Push(parts.iter().map(Reply::bulk).collect())
}

/// Whether a client or its library may be named so: nothing that CLIENT LIST could be misread by.
pub(super) fn is_client_name(name: &[u8]) -> bool {
    name.iter().all(u8::is_ascii_graphic)
}
