//! Watching the server at work: COMMANDLOG, SLOWLOG and MONITOR.

use std::fmt::Write as _;

use commands::{Args, Done, Error, Flags, args};
use conf::ServerConfig;

use crate::entry::Entry;
use crate::meter::command_logs::{LogKind, Noted};
use crate::sessions::client::{Client, Quiet};
use crate::{ClientId, Engine};

/// Words of a command that a log keeps.
const MOST_WORDS: usize = 32;
/// Bytes of a word that it keeps.
const MOST_WORD_BYTES: usize = 128;
/// Requests below this are looked at only where a log asks for such.
pub(crate) const SMALL_BYTES: u64 = 64 << 10;

impl Engine {
    /// From which value on a command is noted, and how many are kept; none where nothing is.
    fn noted_from(&self, kind: LogKind) -> Option<(u64, usize)> {
        let config = &self.config;
        let (threshold, most) = match kind {
            LogKind::Slow => (config.slowlog_log_slower_than, config.slowlog_max_len),
            LogKind::LargeRequest => (
                config.commandlog_request_larger_than,
                config.commandlog_large_request_max_len,
            ),
            LogKind::LargeReply => (
                config.commandlog_reply_larger_than,
                config.commandlog_large_reply_max_len,
            ),
        };
        let threshold = u64::try_from(threshold).ok()?;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        (most > 0).then_some((threshold, most))
    }

    /// Notes a command with this value, if that is as much as somebody wants to know of. What a script runs is noted as its caller's.
    pub(crate) fn note_command(
        &mut self,
        kind: LogKind,
        id: ClientId,
        entry: Entry,
        args: Args<'_>,
        value: u64,
    ) {
        let Some((_, most)) = self.noted_from(kind).filter(|(least, _)| value >= *least) else {
            return;
        };
        if entry.command.flags.has(Flags::SKIP_COMMANDLOG) {
            return;
        }
        let id = match self.scripting_caller() {
            Some(caller) if self.is_internal(id) => caller,
            _ if self.is_internal(id) => return,
            _ => id,
        };
        let said = self.meter.command_logs.said.as_ref();
        let said = said.map(|words| words.iter().map(AsRef::as_ref).collect::<Vec<&[u8]>>());
        let args = said.as_deref().unwrap_or(args);
        let client = self.sessions.clients.get(id);
        let addr = client.map(|client| client.peer.addr.clone());
        let name = client.and_then(|client| client.told.name.clone());
        let noted = Noted {
            number: 0,
            unix_s: self.now.unix_ms() / 1000,
            value,
            words: shortened(&entry.command.redacted(args)),
            addr: addr.unwrap_or_default(),
            name: name.map(Into::into).unwrap_or_default(),
        };
        let log = self.meter.command_logs.of(kind);
        let number = log.next;
        log.next += 1;
        log.entries.push_front(Noted { number, ..noted });
        log.entries.truncate(most);
    }

    /// No log holds more than it may now; one that is off stays as it is.
    pub(crate) fn shorten_command_logs(&mut self) {
        for (_, kind) in LogKind::WORDS {
            if let Some((_, most)) = self.noted_from(kind) {
                self.meter.command_logs.of(kind).entries.truncate(most);
            }
        }
    }

    fn is_internal(&self, id: ClientId) -> bool {
        let client = self.sessions.clients.get(id);
        client.is_some_and(|client: &Client| client.flags.internal)
    }

    /// Counts the sizes of a request and its reply where metrics are told, and notes a command where one is large. `unsent` bytes of
    /// replies were there before it. The request is measured as it was written where it may be large.
    #[inline]
    pub(crate) fn note_sizes(
        &mut self,
        id: ClientId,
        entry: Entry,
        args: Args<'_>,
        unsent: usize,
        may_be_large: bool,
    ) {
        let least = self.meter.sizes_from;
        let client = self.sessions.clients.get(id);
        let (out, internal) = client.map_or((0, false), |client| {
            (client.out.len(), client.flags.internal)
        });
        // What a script runs is in no protocol.
        if self.config.metrics_port != 0 && !internal {
            let request: usize = args.iter().map(|word| word.len()).sum();
            let payloads = &mut self.meter.stats.payloads;
            payloads.requests.add(request as u64);
            payloads.replies.add(out.saturating_sub(unsent) as u64);
        }
        let before = self.meter.command_logs.before_exec.unwrap_or(unsent);
        // The reply to what a script runs is its own.
        let reply = out.saturating_sub(before.min(unsent)) as u64;
        if reply >= least || may_be_large || least < SMALL_BYTES {
            self.note_large(id, entry, args, unsent);
        }
    }

    /// In a transaction the request is EXEC, and the reply what EXEC has answered so far; what a script runs has no request. A reply
    /// that is left out has no size.
    #[cold]
    fn note_large(&mut self, id: ClientId, entry: Entry, args: Args<'_>, unsent: usize) {
        if self.meter.sizes_from == u64::MAX {
            return;
        }
        let Some(client) = self.sessions.clients.get(id) else {
            return;
        };
        let (out, is_quiet) = (client.out.len(), client.flags.quiet != Quiet::No);
        let (request, before) = match self.meter.command_logs.before_exec {
            _ if client.flags.internal => (0, unsent),
            Some(before) => (aof::command_bytes(&[b"EXEC"]), before),
            None => (self.bytes_said(args), unsent),
        };
        let reply = if is_quiet {
            0
        } else {
            out.saturating_sub(before) as u64
        };
        self.note_command(LogKind::LargeRequest, id, entry, args, request);
        self.note_command(LogKind::LargeReply, id, entry, args, reply);
    }

    /// The bytes of a request as its client sent it.
    fn bytes_said(&self, args: Args<'_>) -> u64 {
        match &self.meter.command_logs.said {
            None => aof::command_bytes(args),
            Some(words) => {
                let words: Vec<&[u8]> = words.iter().map(AsRef::as_ref).collect();
                aof::command_bytes(&words)
            }
        }
    }

    /// Shows a command to the monitors.
    pub(crate) fn feed_monitors(&mut self, id: ClientId, entry: Entry, args: Args<'_>) {
        if self.sessions.monitors.is_empty()
            || entry.command.flags.has(Flags::SKIP_MONITOR)
            || entry.command.flags.has(Flags::ADMIN)
        {
            return;
        }
        self.tell_monitors(id, &entry.command.redacted(args));
    }

    /// Shows a command of `id` to all monitors.
    pub(crate) fn tell_monitors(&mut self, id: ClientId, args: Args<'_>) {
        let Some(client) = self
            .sessions
            .clients
            .get(id)
            .filter(|_| !self.sessions.monitors.is_empty())
        else {
            return;
        };
        let unix_us = self.now.unix_us;
        let mut line = String::new();
        let whom = if client.flags.internal {
            "lua".to_owned()
        } else if client.peer.unix {
            format!("unix:{}", client.peer.addr.trim_end_matches(":0"))
        } else {
            client.peer.addr.clone()
        };
        // Writing to a string does not fail.
        let _ = write!(
            line,
            "+{}.{:06} [{} {whom}]",
            unix_us / 1_000_000,
            unix_us % 1_000_000,
            client.db
        );
        let mut line = line.into_bytes();
        for word in args {
            line.push(b' ');
            resp::args::quote(word, &mut line);
        }
        line.extend_from_slice(b"\r\n");
        for monitor in self.sessions.monitors.clone() {
            // Who said QUIT has its last reply; CLIENT REPLY OFF is for this too.
            let flags = self.sessions.clients.get(monitor);
            let flags = flags.map(|client| client.flags);
            if flags.is_some_and(|flags| !flags.closing && flags.quiet != Quiet::Yes) {
                self.output_of(monitor).raw(&line);
            }
        }
    }
}

/// From which size on a request or a reply may have to be noted.
pub(crate) fn sizes_from(config: &ServerConfig) -> u64 {
    let limits = [
        config.commandlog_request_larger_than,
        config.commandlog_reply_larger_than,
    ];
    // A negative threshold turns a log off.
    let limits = limits.map(|limit| u64::try_from(limit).unwrap_or(u64::MAX));
    limits[0].min(limits[1])
}

/// CONFIG SET's secrets: the values of passwords.
pub(crate) fn config_secrets(args: Args<'_>) -> Vec<usize> {
    let names = args.iter().enumerate().skip(2).step_by(2);
    names
        .filter(|(_, name)| conf::set::is_sensitive(name))
        .map(|(at, _)| at + 1)
        .collect()
}

/// The words as a log keeps them: not too many, none too long.
pub(crate) fn shortened(args: Args<'_>) -> Vec<Vec<u8>> {
    let kept = if args.len() > MOST_WORDS {
        MOST_WORDS - 1
    } else {
        args.len()
    };
    let mut words: Vec<Vec<u8>> = args[..kept]
        .iter()
        .map(|word| {
            if word.len() <= MOST_WORD_BYTES {
                return word.to_vec();
            }
            let more = format!("... ({} more bytes)", word.len() - MOST_WORD_BYTES);
            [&word[..MOST_WORD_BYTES], more.as_bytes()].concat()
        })
        .collect();
    if kept < args.len() {
        words.push(format!("... ({} more arguments)", args.len() - kept).into_bytes());
    }
    words
}

/// Answers the newest entries of a log; a count of -1 is all of them.
fn entries(engine: &mut Engine, id: ClientId, kind: LogKind, count: i64) {
    let Engine {
        meter, sessions, ..
    } = engine;
    let log = meter.command_logs.of(kind);
    let out = &mut sessions.clients[id].out;
    let int = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    out.array(count.min(log.entries.len()));
    for entry in log.entries.iter().take(count) {
        out.array(6);
        out.int(int(entry.number));
        out.int(int(entry.unix_s));
        out.int(int(entry.value));
        out.array(entry.words.len());
        entry.words.iter().for_each(|word| out.bulk(word));
        out.bulk(&entry.addr);
        out.bulk(&entry.name);
    }
}

fn count_of(word: &[u8]) -> Result<i64, Error> {
    let count = args::int(word).ok().filter(|count| *count >= -1);
    count.ok_or(Error::text(
        "ERR count should be greater than or equal to -1",
    ))
}

fn reset(engine: &mut Engine, id: ClientId, kind: LogKind) {
    engine.meter.command_logs.of(kind).entries.clear();
    engine.sessions.clients[id].out.ok();
}

fn len(engine: &mut Engine, id: ClientId, kind: LogKind) {
    let count = engine.meter.command_logs.of(kind).entries.len();
    engine.sessions.clients[id].out.count(count);
}

/// COMMANDLOG GET count type
pub(crate) fn commandlog_get(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let count = count_of(args[2])?;
    let kind = LogKind::parse(args[3])?;
    entries(engine, id, kind, count);
    Ok(())
}

/// COMMANDLOG LEN type
pub(crate) fn commandlog_len(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    len(engine, id, LogKind::parse(args[2])?);
    Ok(())
}

/// COMMANDLOG RESET type
pub(crate) fn commandlog_reset(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    reset(engine, id, LogKind::parse(args[2])?);
    Ok(())
}

/// SLOWLOG GET [count]
pub(crate) fn slowlog_get(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let count = match args {
        [_, _] => 10,
        [_, _, count] => count_of(count)?,
        _ => return Err(Error::subcommand("SLOWLOG", args[1])),
    };
    entries(engine, id, LogKind::Slow, count);
    Ok(())
}

/// SLOWLOG LEN
pub(crate) fn slowlog_len(engine: &mut Engine, id: ClientId, _args: Args<'_>) -> Done {
    len(engine, id, LogKind::Slow);
    Ok(())
}

/// SLOWLOG RESET
pub(crate) fn slowlog_reset(engine: &mut Engine, id: ClientId, _args: Args<'_>) -> Done {
    reset(engine, id, LogKind::Slow);
    Ok(())
}

/// MONITOR
pub(crate) fn monitor(engine: &mut Engine, id: ClientId, _args: Args<'_>) -> Done {
    let client = &mut engine.sessions.clients[id];
    if client.flags.replica {
        return Ok(());
    }
    client.flags.replica = true;
    client.flags.monitor = true;
    client.out.ok();
    engine.sessions.monitors.push(id);
    Ok(())
}
