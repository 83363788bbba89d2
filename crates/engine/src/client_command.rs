//! The clients as an operator sees them: CLIENT, the limits of their output, idle ones.

use std::fmt::Write as _;

use client_filter::{Facts, Filter, Kind, Known};
use commands::{Args, Done, Error, args};
use resp::Protocol;

use crate::blocking;
use crate::sessions::client::{Client, Quiet, Waiting};
use crate::sessions::tracking::Tracking;
use crate::{ClientId, Engine};

/// The output of a client that is not counted as memory of its own.
const FIRST_BUFFER_BYTES: usize = 16 * 1024;

/// The letters of a client's state, as CLIENT LIST shows them.
fn marks(client: &Client) -> String {
    let flags = client.flags;
    let waits = !matches!(client.waiting, Waiting::No | Waiting::Transfer);
    let first = [
        (flags.monitor, 'O'),
        (flags.replica && !flags.monitor, 'S'),
        (flags.master, 'M'),
        (client.subscriptions.is_some(), 'P'),
        (client.transaction.commands().is_some(), 'x'),
        (waits, 'b'),
    ];
    let last = [
        (client.transaction.broken, 'd'),
        (flags.closing, 'c'),
        (client.peer.unix, 'U'),
        (flags.readonly, 'r'),
        (flags.no_evict, 'e'),
        (flags.no_touch, 'T'),
        (flags.import_source, 'I'),
        (flags.imports, 'i'),
        (flags.exports, 'E'),
    ];
    let set = |(set, mark): (bool, char)| set.then_some(mark);
    let tracking = client.tracking.iter().flat_map(|tracking| tracking.marks());
    let mut text: String = first
        .into_iter()
        .filter_map(set)
        .chain(tracking)
        .chain(last.into_iter().filter_map(set))
        .collect();
    if text.is_empty() {
        text.push('N');
    }
    text
}

/// What filters look at.
fn facts<'a>(client: &'a Client, marks: &'a str, now_ms: u64) -> Facts<'a> {
    let kind = match client.class() {
        _ if client.flags.master => Kind::Primary,
        conf::ClientClass::Normal => Kind::Normal,
        conf::ClientClass::Slave => Kind::Replica,
        conf::ClientClass::Pubsub => Kind::PubSub,
    };
    let since = |at_ms: u64| now_ms.saturating_sub(at_ms) / 1000;
    Facts {
        id: client.serial,
        kind,
        addr: &client.peer.addr,
        local_addr: &client.peer.local_addr,
        user: client.user.as_ref().map(|user| user.name()),
        name: client.told.name.as_deref().unwrap_or_default(),
        library: client.library(),
        db: client.db,
        flags: marks,
        capabilities: if client.flags.redirect { "r" } else { "" },
        idle_seconds: since(client.times.active_ms),
        age_seconds: since(client.times.since_ms),
    }
}

impl Engine {
    /// A client's line, without its end.
    pub(crate) fn client_line(&self, id: ClientId) -> String {
        let Some(client) = self.sessions.clients.get(id) else {
            return String::new();
        };
        let now_ms = self.now.mono_ms;
        let text = |name: Option<&[u8]>| {
            name.map(|name| String::from_utf8_lossy(name).into_owned())
                .unwrap_or_default()
        };
        let name = text(client.told.name.as_deref());
        let (channels, patterns, sharded) =
            client.subscriptions.as_ref().map_or((0, 0, 0), |all| {
                (all.channels.len(), all.patterns.len(), all.sharded.len())
            });
        let none = if client.flags.transacted { 0 } else { -1 };
        let multi = client
            .transaction
            .commands()
            .map_or(none, |commands| i64::try_from(commands).unwrap_or(i64::MAX));
        let multi_bytes = client.queued_bytes();
        let output = client.out.memory();
        let beyond = if self.beyond_first_buffer(client) > 0 {
            output
        } else {
            0
        };
        let total = client.memory();
        // Of a big argument that is on its way, the argument alone.
        let taken = client
            .unread
            .parser
            .pending_bulk()
            .map_or(0, |big| big.start);
        let unread = client.unread.bytes.len().saturating_sub(taken);
        let library = client.library();
        let mut line = String::new();
        // Writing to a string does not fail.
        let _ = write!(
            line,
            "id={} addr={} laddr={} fd={} name={name} age={} idle={} flags={} capa={} db={} sub={channels} psub={patterns} ssub={sharded} \
             multi={multi} watch={} qbuf={} qbuf-free={} argv-mem=0 multi-mem={multi_bytes} rbs={output} rbp={output} obl={} oll=0 omem={beyond} \
             tot-mem={total} events={} cmd={} user={} redir={} resp={} lib-name={} lib-ver={} tot-net-in={} tot-net-out={} tot-cmds={}",
            client.serial,
            client.peer.addr,
            client.peer.local_addr,
            client.peer.fd,
            now_ms.saturating_sub(client.times.since_ms) / 1000,
            now_ms.saturating_sub(client.times.active_ms) / 1000,
            marks(client),
            if client.flags.redirect { "r" } else { "" },
            client.db,
            client.transaction.watched.len(),
            unread,
            client.unread.bytes.capacity() - client.unread.bytes.len(),
            client.out.len(),
            if client.buffers.stuck { "rw" } else { "r" },
            client.last_command,
            client.user_name(),
            client.tracking.as_deref().map_or(-1, Tracking::redirect_id),
            if client.out.protocol() == Protocol::Resp3 {
                3
            } else {
                2
            },
            library[0],
            library[1],
            client.traffic.input,
            client.traffic.output,
            client.traffic.commands,
        );
        line
    }

    /// Reads the filters behind the subcommand.
    fn read_filter<'a>(&self, args: Args<'a>) -> Result<Filter<'a>, Error> {
        let known = Known {
            is_user: &|name| self.access.users.get(name).is_some(),
            databases: self.shard.keyspace.databases(),
        };
        Filter::read(args, 2, known)
    }

    /// The clients that a filter lets through, in the order in which they came.
    fn filtered(&self, filter: &Filter<'_>, id: ClientId, skip_me: bool) -> Vec<ClientId> {
        let now_ms = self.now.mono_ms;
        let matching = self.sessions.clients.iter().filter(|(each, client)| {
            let left_out = client.flags.internal || skip_me && *each == id;
            !left_out && filter.fits(&facts(client, &marks(client), now_ms))
        });
        let mut found: Vec<ClientId> = matching.map(|(each, _)| each).collect();
        found.sort_unstable();
        found
    }

    fn client_out(&mut self, id: ClientId) -> &mut resp::Reply {
        &mut self.sessions.clients[id].out
    }
}

/// CLIENT LIST [filters]
pub(crate) fn list(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    if args.len() == 3 {
        return Err(Error::Syntax);
    }
    let filter = engine.read_filter(args)?;
    let mut text = String::new();
    for each in engine.filtered(&filter, id, filter.skip_me == Some(true)) {
        text.push_str(&engine.client_line(each));
        text.push('\n');
    }
    engine.client_out(id).verbatim("txt", text);
    Ok(())
}

/// CLIENT INFO
pub(crate) fn info(engine: &mut Engine, id: ClientId, _: Args<'_>) -> Done {
    let mut line = engine.client_line(id);
    line.push('\n');
    engine.client_out(id).verbatim("txt", line);
    Ok(())
}

/// CLIENT ID
pub(crate) fn id(engine: &mut Engine, id: ClientId, _: Args<'_>) -> Done {
    let serial = i64::try_from(id.serial()).unwrap_or(i64::MAX);
    engine.client_out(id).int(serial);
    Ok(())
}

/// CLIENT SETNAME name
pub(crate) fn setname(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    engine.set_client_name(id, args[2])?;
    engine.client_out(id).ok();
    Ok(())
}

/// CLIENT GETNAME
pub(crate) fn getname(engine: &mut Engine, id: ClientId, _: Args<'_>) -> Done {
    let client = &mut engine.sessions.clients[id];
    match &client.told.name {
        Some(name) => client.out.bulk(name),
        None => client.out.nil(),
    }
    Ok(())
}

/// CLIENT SETINFO LIB-NAME name | LIB-VER version
pub(crate) fn setinfo(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let (word, value) = (args[2], args[3]);
    let place = if args::is(word, "LIB-NAME") {
        0
    } else if args::is(word, "LIB-VER") {
        1
    } else {
        return Err(Error::quoting("ERR Unrecognized option '", word, "'"));
    };
    if !value.iter().all(u8::is_ascii_graphic) {
        return Err(Error::quoting(
            "ERR ",
            word,
            " cannot contain spaces, newlines or special characters.",
        ));
    }
    let client = &mut engine.sessions.clients[id];
    client.told.library.get_or_insert_default()[place] = String::from_utf8_lossy(value).into();
    client.out.ok();
    Ok(())
}

/// ON or OFF, as the last word of a subcommand.
fn switch(args: Args<'_>) -> Result<bool, Error> {
    if args::is(args[2], "ON") {
        Ok(true)
    } else if args::is(args[2], "OFF") {
        Ok(false)
    } else {
        Err(Error::Syntax)
    }
}

/// CLIENT NO-EVICT ON|OFF
pub(crate) fn no_evict(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    engine.sessions.clients[id].flags.no_evict = switch(args)?;
    engine.client_out(id).ok();
    Ok(())
}

/// CLIENT IMPORT-SOURCE ON|OFF
pub(crate) fn import_source(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    if !engine.config.import_mode && !args::is(args[2], "OFF") {
        return Err(Error::text("ERR Server is not in import mode"));
    }
    engine.sessions.clients[id].flags.import_source = switch(args)?;
    engine.client_out(id).ok();
    Ok(())
}

/// CLIENT NO-TOUCH ON|OFF
pub(crate) fn no_touch(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    engine.sessions.clients[id].flags.no_touch = switch(args)?;
    engine.client_out(id).ok();
    Ok(())
}

/// CLIENT CAPA capability … What is not known is ignored.
pub(crate) fn capa(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let client = &mut engine.sessions.clients[id];
    client.flags.redirect |= args[2..].iter().any(|word| args::is(word, "REDIRECT"));
    client.out.ok();
    Ok(())
}

/// CLIENT REPLY ON|OFF|SKIP
pub(crate) fn reply(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let client = &mut engine.sessions.clients[id];
    if args::is(args[2], "ON") {
        client.flags.quiet = Quiet::No;
        client.out.ok();
    } else if args::is(args[2], "OFF") {
        client.flags.quiet = Quiet::Yes;
    } else if args::is(args[2], "SKIP") {
        client.flags.quiet = match client.flags.quiet {
            Quiet::No => Quiet::Next,
            Quiet::Next => Quiet::Again,
            // After OFF nothing is left to be skipped.
            other => other,
        };
    } else {
        return Err(Error::Syntax);
    }
    Ok(())
}

/// CLIENT PAUSE milliseconds [WRITE|ALL]
pub(crate) fn pause(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let writes_only = match args[3..] {
        [] => false,
        [mode] if args::is(mode, "ALL") => false,
        [mode] if args::is(mode, "WRITE") => true,
        [_] => return Err(Error::text("ERR CLIENT PAUSE mode must be WRITE or ALL")),
        // As Valkey, which reads the mode of four words only.
        _ => false,
    };
    let ms = args::int(args[2])
        .map_err(|_| Error::text("ERR timeout is not an integer or out of range"))?;
    let ms = u64::try_from(ms).map_err(|_| Error::text("ERR timeout is negative"))?;
    engine.pause_clients(ms, writes_only);
    engine.client_out(id).ok();
    Ok(())
}

/// CLIENT UNPAUSE
pub(crate) fn unpause(engine: &mut Engine, id: ClientId, _: Args<'_>) -> Done {
    engine.resume_clients();
    engine.client_out(id).ok();
    Ok(())
}

/// CLIENT UNBLOCK id [TIMEOUT|ERROR]
pub(crate) fn unblock(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let with_error = match args[3..] {
        [] => false,
        [reason] if args::is(reason, "TIMEOUT") => false,
        [reason] if args::is(reason, "ERROR") => true,
        [_, _, ..] => false,
        [_] => {
            return Err(Error::text(
                "ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR",
            ));
        }
    };
    let serial = args::int(args[2])?;
    let same = |(other, _): &(ClientId, &Client)| i64::try_from(other.serial()) == Ok(serial);
    let found = engine
        .sessions
        .clients
        .iter()
        .find(same)
        .map(|(other, _)| other);
    let ended = found.is_some_and(|other| engine.end_wait(other, with_error));
    engine.client_out(id).int(ended.into());
    Ok(())
}

impl Engine {
    /// Ends the wait of a blocked client before its time; false if it does not wait for anything that can be given up.
    fn end_wait(&mut self, id: ClientId, with_error: bool) -> bool {
        match &mut self.sessions.clients[id].waiting {
            Waiting::Keys(_) if with_error => {
                self.unblock_with_error(id, blocking::BY_CLIENT);
                self.note_failed_here();
            }
            Waiting::Keys(_) => self.unblock_with_timeout(id),
            Waiting::Replicas(_) if with_error => {
                self.unblock_waiter_with_error(id, blocking::BY_CLIENT);
                self.note_failed_here();
            }
            Waiting::Replicas(on) => {
                on.until_ms = Some(0);
                self.serve_waiters();
            }
            _ => return false,
        }
        true
    }

    /// An error that the running command gives to another client is its own as well.
    fn note_failed_here(&mut self) {
        if let Some(number) = self.meter.running.number() {
            self.meter.stats.per_command[number].failed += 1;
        }
    }
}

/// CLIENT KILL ip:port | filters
pub(crate) fn kill(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let by_address = args.len() == 3;
    let filter = if by_address {
        Filter::of_addr(args[2])
    } else {
        engine.read_filter(args)?
    };
    // The old form may close its own connection.
    let skip_me = filter.skip_me.unwrap_or(!by_address);
    let found = engine.filtered(&filter, id, skip_me);
    for &each in found.iter().filter(|each| **each != id) {
        engine.close_now(each);
    }
    let out = engine.client_out(id);
    match (by_address, found.len()) {
        (true, 0) => return Err(Error::text("ERR No such client")),
        (true, _) => out.ok(),
        (false, killed) => out.count(killed),
    }
    if found.contains(&id) {
        engine.close_after_reply(id);
    }
    Ok(())
}

impl Engine {
    /// Bytes of replies that count for limits: none while what Redis has as each client's own buffer would hold them.
    fn beyond_first_buffer(&self, client: &Client) -> usize {
        match client.out.len() {
            0 => 0,
            bytes if self.switches.whole_blocks => bytes.max(FIRST_BUFFER_BYTES),
            bytes if bytes > FIRST_BUFFER_BYTES => bytes,
            _ => 0,
        }
    }

    /// After a client's requests ran: replies over the hard limit are not sent, the client is closed.
    pub(crate) fn limit_new_output(&mut self, id: ClientId) {
        let client = self.sessions.clients.get(id);
        if client.is_some_and(|client| self.beyond_first_buffer(client) > 0) {
            self.limit_output(id);
        }
    }

    /// A client's connection did not take all of its output: now its limits count, and not only at the next tick. Whether it is closed
    /// because of them.
    pub fn output_stuck(&mut self, id: ClientId) -> bool {
        if let Some(client) = self.sessions.clients.get_mut(id) {
            client.buffers.stuck = !client.out.is_empty();
        }
        self.limit_output(id)
    }

    /// `client-output-buffer-limit` for a client to which something was written; whether it is closed because of it. Replicas are looked
    /// after in `master.rs`.
    pub fn limit_output(&mut self, id: ClientId) -> bool {
        const BEFORE_AUTH_BYTES: usize = 1024;
        let now_ms = self.now.mono_ms;
        if !self.sessions.clients.contains(id) {
            return false;
        }
        let guarded = self.lacks_password(id) && !self.sessions.clients[id].flags.known;
        let bytes = self.beyond_first_buffer(&self.sessions.clients[id]);
        let client = &mut self.sessions.clients[id];
        if client.flags.replica && !client.flags.monitor
            || client.flags.master
            || client.flags.internal
            || client.flags.exports
            || client.flags.closing
        {
            return false;
        }
        let limit = self.config.client_output_buffer_limit[client.class()];
        let size = u64::try_from(bytes).unwrap_or(u64::MAX);
        let hard =
            limit.hard_bytes > 0 && size > limit.hard_bytes || guarded && bytes > BEFORE_AUTH_BYTES;
        let soft = limit.soft_bytes > 0 && size > limit.soft_bytes;
        let since_ms = soft.then(|| client.buffers.over_soft_since_ms.unwrap_or(now_ms));
        client.buffers.over_soft_since_ms = since_ms;
        if hard
            || since_ms.is_some_and(|since| {
                now_ms.saturating_sub(since) > limit.soft_seconds.saturating_mul(1000)
            })
        {
            let line = self.client_line(id);
            tracing::warn!(
                "Client {line} scheduled to be closed ASAP for overcoming of output buffer limits."
            );
            self.meter.stats.removed.output_buffer_closed += 1;
            self.close_now(id);
            return true;
        }
        false
    }

    /// Once a second: clients that have been idle for longer than `timeout`, and soft limits of output.
    pub(crate) fn tick_sessions(&mut self) {
        let now_ms = self.now.mono_ms;
        let timeout_ms = self.config.timeout.saturating_mul(1000);
        let all: Vec<ClientId> = self.sessions.clients.iter().map(|(id, _)| id).collect();
        for id in all {
            if !self.sessions.clients[id].out.is_empty() && self.limit_output(id) {
                continue;
            }
            let client = &self.sessions.clients[id];
            let flags = client.flags;
            let bound = !flags.replica
                && !flags.master
                && !flags.internal
                && !flags.imports
                && !flags.exports
                && !flags.monitor
                && client.subscriptions.is_none();
            let idle = now_ms.saturating_sub(client.times.active_ms) > timeout_ms;
            if timeout_ms > 0 && bound && idle && client.waiting == Waiting::No {
                tracing::debug!("Closing idle client");
                self.close_now(id);
            }
        }
    }
}
