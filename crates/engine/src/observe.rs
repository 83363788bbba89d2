//! Watching the server at work: SLOWLOG and MONITOR.

use std::collections::VecDeque;
use std::fmt::Write as _;

use commands::{Args, Done, Error, Flags, args};

use crate::index::Entry;
use crate::{ClientId, Engine};

/// Words of a command that the slow log keeps (Redis 3.0: `SLOWLOG_ENTRY_MAX_ARGC`).
const MOST_WORDS: usize = 32;
/// Bytes of a word that it keeps (`SLOWLOG_ENTRY_MAX_STRING`).
const MOST_WORD_BYTES: usize = 128;

/// A command that took long.
#[derive(Debug)]
struct Slow {
    number: u64,
    unix_s: u64,
    usec: u64,
    words: Vec<Vec<u8>>,
}

/// The slowest commands, newest first.
#[derive(Debug, Default)]
pub(crate) struct SlowLog {
    entries: VecDeque<Slow>,
    next: u64,
}

impl Engine {
    /// Remembers a command that took `usec`, if it is slow enough.
    pub(crate) fn note_duration(&mut self, args: Args<'_>, usec: u64) {
        let Ok(threshold) = u64::try_from(self.config.slowlog_log_slower_than) else {
            return;
        };
        if usec < threshold {
            return;
        }
        let log = &mut self.meter.slowlog;
        let unix_s = self.now.unix_ms() / 1000;
        log.entries.push_front(Slow {
            number: log.next,
            unix_s,
            usec,
            words: shortened(args),
        });
        log.next += 1;
        log.entries
            .truncate(usize::try_from(self.config.slowlog_max_len).unwrap_or(usize::MAX));
    }

    /// Shows a command to the monitors.
    pub(crate) fn feed_monitors(&mut self, id: ClientId, entry: Entry, args: Args<'_>) {
        if self.sessions.monitors.is_empty()
            || entry.command.flags.has(Flags::SKIP_MONITOR)
            || entry.command.flags.has(Flags::ADMIN)
        {
            return;
        }
        self.tell_monitors(id, args);
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
            self.output_of(monitor).raw(&line);
        }
    }
}

fn shortened(args: Args<'_>) -> Vec<Vec<u8>> {
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

/// SLOWLOG GET [count] | LEN | RESET
pub(crate) fn slowlog(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let Engine {
        meter, sessions, ..
    } = engine;
    let slowlog = &mut meter.slowlog;
    let out = &mut sessions.clients[id].out;
    match args {
        [_, word] if args::is(word, "RESET") => {
            slowlog.entries.clear();
            out.ok();
        }
        [_, word] if args::is(word, "LEN") => out.count(slowlog.entries.len()),
        [_, word] | [_, word, _] if args::is(word, "GET") => {
            let count = args.get(2).map_or(Ok(10), |word| args::int(word))?;
            // A negative count is all of them.
            let count = usize::try_from(count)
                .unwrap_or(usize::MAX)
                .min(slowlog.entries.len());
            out.array(count);
            for entry in slowlog.entries.iter().take(count) {
                out.array(4);
                out.int(i64::try_from(entry.number).unwrap_or(i64::MAX));
                out.int(i64::try_from(entry.unix_s).unwrap_or(i64::MAX));
                out.int(i64::try_from(entry.usec).unwrap_or(i64::MAX));
                out.array(entry.words.len());
                entry.words.iter().for_each(|word| out.bulk(word));
            }
        }
        _ => {
            return Err(Error::text(
                "ERR Unknown SLOWLOG subcommand or wrong # of args. Try GET, RESET, LEN.",
            ));
        }
    }
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
