//! Commands that were slow or large, as they are kept. COMMANDLOG and SLOWLOG are in `observe.rs`.

use std::collections::VecDeque;

use commands::{Error, args};

/// What a command was noted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogKind {
    /// It took long: microseconds.
    Slow,
    /// Its request was large: bytes.
    LargeRequest,
    /// Its reply was large: bytes.
    LargeReply,
}

impl LogKind {
    /// All of them, with what they are called.
    pub(crate) const WORDS: [(&'static str, Self); 3] = [
        ("slow", Self::Slow),
        ("large-request", Self::LargeRequest),
        ("large-reply", Self::LargeReply),
    ];

    pub(crate) fn parse(word: &[u8]) -> Result<Self, Error> {
        let known = Self::WORDS.iter().find(|(known, _)| args::is(word, known));
        known.map(|(_, kind)| *kind).ok_or(Error::text(
            "ERR type should be one of the following: slow, large-request, large-reply",
        ))
    }
}

/// A command that was noted.
#[derive(Debug)]
pub(crate) struct Noted {
    pub(crate) number: u64,
    pub(crate) unix_s: u64,
    pub(crate) value: u64,
    pub(crate) words: Vec<Vec<u8>>,
    pub(crate) addr: String,
    pub(crate) name: Vec<u8>,
}

/// Noted commands, newest first.
#[derive(Debug, Default)]
pub(crate) struct Log {
    pub(crate) entries: VecDeque<Noted>,
    pub(crate) next: u64,
}

/// One log per [`LogKind`].
#[derive(Debug, Default)]
pub(crate) struct CommandLogs {
    logs: [Log; 3],
    /// While a transaction runs: bytes of replies that were there before that of EXEC.
    pub(crate) before_exec: Option<usize>,
    /// While a request that waited is run again in other words: its own.
    pub(crate) said: Option<Vec<Box<[u8]>>>,
}

impl CommandLogs {
    pub(crate) fn of(&mut self, kind: LogKind) -> &mut Log {
        &mut self.logs[kind as usize]
    }

    /// How many commands each log holds.
    pub(crate) fn counts(&self) -> [usize; 3] {
        self.logs.each_ref().map(|log| log.entries.len())
    }

    /// What the log of slow commands holds.
    pub(crate) fn slow(&self) -> crate::SlowCommands {
        let log = &self.logs[LogKind::Slow as usize];
        crate::SlowCommands {
            count: log.entries.len(),
            last_id: log.next.saturating_sub(1),
            last_us: log.entries.front().map_or(0, |entry| entry.value),
        }
    }
}

/// What the slow log holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SlowCommands {
    /// How many commands.
    pub count: usize,
    /// The number of the newest one.
    pub last_id: u64,
    /// How long it took, microseconds.
    pub last_us: u64,
}
