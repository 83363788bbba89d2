//! The clients as an operator sees them: CLIENT, the limits of their output, idle ones.

use std::fmt::Write as _;

use commands::{Args, Done, Error, args};
use conf::ClientClass;

use crate::client::{Client, Waiting};
use crate::{ClientId, Engine};

/// The output of a client that Redis 3.0 does not count as memory of its own (`REDIS_REPLY_CHUNK_BYTES`).
const FIRST_BUFFER_BYTES: usize = 16 * 1024;

impl Engine {
    /// A client's line, without its end.
    pub(crate) fn client_line(&self, id: ClientId) -> String {
        let Some(client) = self.sessions.clients.get(id) else {
            return String::new();
        };
        let now_ms = self.now.unix_ms();
        let mut flags = String::new();
        let marks = [
            (client.flags.replica && client.flags.monitor, 'O'),
            (client.flags.replica && !client.flags.monitor, 'S'),
            (client.flags.master, 'M'),
            (client.multi.is_some(), 'x'),
            (
                matches!(client.waiting, Waiting::Keys(_) | Waiting::Replicas { .. }),
                'b',
            ),
            (client.watch_broken, 'd'),
            (client.flags.closing, 'c'),
            (client.peer.unix, 'U'),
            (client.flags.readonly, 'r'),
        ];
        flags.extend(marks.iter().filter(|(set, _)| *set).map(|(_, mark)| mark));
        if flags.is_empty() {
            flags.push('N');
        }
        let name = client
            .name
            .as_deref()
            .map(String::from_utf8_lossy)
            .unwrap_or_default();
        let (channels, patterns) = client
            .subscriptions
            .as_ref()
            .map_or((0, 0), |all| (all.channels.len(), all.patterns.len()));
        let multi = client.multi.as_ref().map_or(-1, |multi| {
            i64::try_from(multi.queue.len()).unwrap_or(i64::MAX)
        });
        let mut line = String::new();
        // Writing to a string does not fail.
        let _ = write!(
            line,
            "id={} addr={} fd={} name={name} age={} idle={} flags={flags} db={} sub={channels} psub={patterns} multi={multi} \
             qbuf={} qbuf-free={} obl={} oll=0 omem={} events={} cmd={}",
            client.serial,
            client.peer.addr,
            client.peer.fd,
            now_ms.saturating_sub(client.since_ms) / 1000,
            now_ms.saturating_sub(client.active_ms) / 1000,
            client.db,
            client.pending.len(),
            client.pending.capacity() - client.pending.len(),
            client.out.len(),
            // Redis counts what does not fit into a client's first buffer.
            if client.out.len() > FIRST_BUFFER_BYTES {
                client.out.memory()
            } else {
                0
            },
            if client.out.is_empty() { "r" } else { "rw" },
            client.last_command,
        );
        line
    }
}

/// What CLIENT KILL looks for.
#[derive(Default)]
struct Filter<'a> {
    serial: Option<i64>,
    addr: Option<&'a [u8]>,
    class: Option<ClientClass>,
    spare_self: bool,
}

impl Filter<'_> {
    fn matches(&self, client: &Client) -> bool {
        self.serial
            .is_none_or(|serial| u64::try_from(serial).is_ok_and(|serial| serial == client.serial))
            && self
                .addr
                .is_none_or(|addr| addr == client.peer.addr.as_bytes())
            && self
                .class
                .is_none_or(|class| !client.flags.master && client.class() == class)
            && !client.flags.internal
    }
}

/// CLIENT LIST | KILL … | SETNAME name | GETNAME | PAUSE milliseconds
pub(crate) fn client(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let word = args[1];
    if args::is(word, "LIST") && args.len() == 2 {
        let mut text = String::new();
        let mut all: Vec<(u64, ClientId)> = engine
            .sessions
            .clients
            .iter()
            .filter(|(_, client)| !client.flags.internal)
            .map(|(id, client)| (client.serial, id))
            .collect();
        all.sort_unstable();
        for (_, each) in all {
            text.push_str(&engine.client_line(each));
            text.push('\n');
        }
        engine.sessions.clients[id].out.bulk(text);
    } else if args::is(word, "KILL") {
        kill(engine, id, args)?;
    } else if args::is(word, "SETNAME") && args.len() == 3 {
        if !args[2].iter().all(u8::is_ascii_graphic) {
            return Err(Error::text(
                "ERR Client names cannot contain spaces, newlines or special characters.",
            ));
        }
        let client = &mut engine.sessions.clients[id];
        client.name = (!args[2].is_empty()).then(|| args[2].into());
        client.out.ok();
    } else if args::is(word, "GETNAME") && args.len() == 2 {
        let client = &mut engine.sessions.clients[id];
        match &client.name {
            Some(name) => client.out.bulk(name),
            None => client.out.nil(),
        }
    } else if args::is(word, "PAUSE") && args.len() == 3 {
        let ms = args::int(args[2])
            .map_err(|_| Error::text("ERR timeout is not an integer or out of range"))?;
        let ms = u64::try_from(ms).map_err(|_| Error::text("ERR timeout is negative"))?;
        engine.pause_clients(ms);
        engine.sessions.clients[id].out.ok();
    } else {
        return Err(Error::text(
            "ERR Syntax error, try CLIENT (LIST | KILL ip:port | GETNAME | SETNAME connection-name)",
        ));
    }
    Ok(())
}

fn kill(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let old_style = args.len() == 3;
    let filter = if old_style {
        Filter {
            addr: Some(args[2]),
            ..Filter::default()
        }
    } else {
        filter(args)?
    };
    let found: Vec<ClientId> = engine
        .sessions
        .clients
        .iter()
        .filter(|(_, client)| filter.matches(client))
        .map(|(id, _)| id)
        .collect();
    let mut killed = 0;
    let mut itself = false;
    for each in found {
        if each == id {
            if filter.spare_self {
                continue;
            }
            itself = true;
        } else {
            engine.close_now(each);
        }
        killed += 1;
    }
    let out = &mut engine.sessions.clients[id].out;
    match (old_style, killed) {
        (true, 0) => return Err(Error::text("ERR No such client")),
        (true, _) => out.ok(),
        (false, _) => out.int(killed),
    }
    if itself {
        engine.close_after_reply(id);
    }
    Ok(())
}

fn filter<'a>(args: Args<'a>) -> Result<Filter<'a>, Error> {
    let mut filter = Filter {
        spare_self: true,
        ..Filter::default()
    };
    if args.len() < 4 {
        return Err(Error::Syntax);
    }
    for pair in args[2..].chunks(2) {
        let &[option, value] = pair else {
            return Err(Error::Syntax);
        };
        if args::is(option, "ID") {
            filter.serial = Some(args::int(value)?);
        } else if args::is(option, "ADDR") {
            filter.addr = Some(value);
        } else if args::is(option, "TYPE") {
            filter.class = Some(match value {
                value if args::is(value, "NORMAL") => ClientClass::Normal,
                value if args::is(value, "SLAVE") => ClientClass::Slave,
                value if args::is(value, "PUBSUB") => ClientClass::Pubsub,
                _ => return Err(Error::quoting("ERR Unknown client type '", value, "'")),
            });
        } else if args::is(option, "SKIPME") && args::is(value, "YES") {
            filter.spare_self = true;
        } else if args::is(option, "SKIPME") && args::is(value, "NO") {
            filter.spare_self = false;
        } else {
            return Err(Error::Syntax);
        }
    }
    Ok(filter)
}

impl Engine {
    /// `client-output-buffer-limit` for a client to which something was written; whether it is closed because of it. Replicas are looked
    /// after in `master.rs`.
    pub fn limit_output(&mut self, id: ClientId) -> bool {
        const BEFORE_AUTH_BYTES: usize = 64 * 1024;
        let now_ms = self.now.unix_ms();
        let guarded = self.config.requirepass.is_some();
        let Some(client) = self.sessions.clients.get_mut(id) else {
            return false;
        };
        if client.flags.replica && !client.flags.monitor
            || client.flags.master
            || client.flags.internal
            || client.flags.closing
        {
            return false;
        }
        let bytes = client.out.len();
        let limit = self.config.client_output_buffer_limit[client.class()];
        let size = u64::try_from(bytes).unwrap_or(u64::MAX);
        let hard = limit.hard_bytes > 0 && size > limit.hard_bytes
            || guarded && !client.flags.authenticated && bytes > BEFORE_AUTH_BYTES;
        let soft = limit.soft_bytes > 0 && size > limit.soft_bytes;
        let since_ms = soft.then(|| client.over_soft_since_ms.unwrap_or(now_ms));
        client.over_soft_since_ms = since_ms;
        if hard
            || since_ms.is_some_and(|since| {
                now_ms.saturating_sub(since) > limit.soft_seconds.saturating_mul(1000)
            })
        {
            client.out.clear();
            let line = self.client_line(id);
            tracing::warn!(
                "Client {line} scheduled to be closed ASAP for overcoming of output buffer limits."
            );
            self.close_now(id);
            return true;
        }
        false
    }

    /// Once a second: clients that have been idle for longer than `timeout`, and soft limits of output.
    pub(crate) fn tick_sessions(&mut self) {
        let now_ms = self.now.unix_ms();
        let timeout_ms = self.config.timeout.saturating_mul(1000);
        let all: Vec<ClientId> = self.sessions.clients.iter().map(|(id, _)| id).collect();
        for id in all {
            let client = &self.sessions.clients[id];
            if !client.out.is_empty() {
                self.limit_output(id);
                continue;
            }
            let flags = client.flags;
            let bound = !flags.replica
                && !flags.master
                && !flags.internal
                && !flags.monitor
                && client.subscriptions.is_none();
            let idle = now_ms.saturating_sub(client.active_ms) > timeout_ms;
            if timeout_ms > 0 && bound && idle && client.waiting == Waiting::No {
                tracing::debug!("Closing idle client");
                self.close_now(id);
            }
        }
    }
}
