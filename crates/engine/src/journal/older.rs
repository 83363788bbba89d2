//! How much of today's commands the stream may say. What it says instead is worked out in `older.rs` beside the hall.

use commands::Facts;
use commands::older::{NewerCommand, Release, Vocabulary};

/// The stream as servers of older releases are to understand it.
#[derive(Debug, Default)]
pub(crate) struct Older {
    /// What it may say, where that is not everything.
    pub(crate) level: Option<Level>,
    /// From this offset on it has said no more than that.
    pub(crate) since: u64,
    /// The same for replicas from 4.0 on, for which less has to be said in other words: where it last said what they do not know.
    pub(crate) newer: Newer,
    /// What all replicas of older releases know that came: 2.8 where one did not say that it knows the stream of 4.0 or later.
    pub(crate) met: Option<Release>,
    /// The primary that we follow writes a stream of that kind.
    pub(crate) primary_is_old: bool,
    /// Until when replicas of that kind need not ask for a copy again, on the monotonic clock, milliseconds: the last one failed.
    pub(crate) refused_until_ms: u64,
}

/// A release, and what it understands.
#[derive(Debug)]
pub(crate) struct Level {
    pub(crate) release: Release,
    /// The version of its dumps.
    pub(crate) version: rdb::Version,
    /// The version where fields of hashes expire.
    pub(crate) timed: rdb::Version,
    pub(crate) vocabulary: Vocabulary,
}

impl Level {
    /// The release that belongs to a version of dumps; none where that knows everything.
    pub(crate) fn of(
        version: rdb::Version,
        facts: impl Iterator<Item = &'static Facts>,
    ) -> Option<Self> {
        let release = Release::of_dump(version.number())?;
        Some(Self::new(release, version, version, facts))
    }

    /// What replicas understand that are no newer than that.
    pub(crate) fn of_replicas(
        release: Release,
        facts: impl Iterator<Item = &'static Facts>,
    ) -> Self {
        let (version, timed) = if release == Release::V2_8 {
            (rdb::Version::OLDEST_WRITTEN, rdb::Version::OLDEST_WRITTEN)
        } else if release == Release::V7_4 {
            // Which Redis it is, it does not say.
            (rdb::Version::REDIS_7_0, rdb::Version::NEWEST_REDIS)
        } else if release < Release::V9_0 {
            // A Redis that does not say which it is may be among them.
            (rdb::Version::REDIS_7_0, rdb::Version::REDIS_7_0)
        } else {
            (rdb::Version::COMMON, rdb::Version::VALKEY)
        };
        Self::new(release, version, timed, facts)
    }

    /// What it is made of.
    pub(crate) fn facts(&self) -> (Release, rdb::Version) {
        (self.release, self.version)
    }

    fn new(
        release: Release,
        version: rdb::Version,
        timed: rdb::Version,
        facts: impl Iterator<Item = &'static Facts>,
    ) -> Self {
        Self {
            release,
            version,
            timed,
            vocabulary: Vocabulary::new(release, facts),
        }
    }
}

/// Where the stream last said what replicas from 4.0 on may not know.
#[derive(Debug, Default)]
pub(crate) struct Newer {
    /// What these commands are.
    commands: Vec<NewerCommand>,
    /// The marks of their names.
    marks: u64,
    /// Behind a command that is newer than all that Redis has.
    pub(crate) any: u64,
    /// Behind one that tells when fields of hashes expire, as Redis 7.4 has it.
    pub(crate) fields: u64,
}

impl Newer {
    /// Has these commands looked for.
    pub(crate) fn know(&mut self, commands: Vec<NewerCommand>) {
        self.marks = commands
            .iter()
            .fold(0, |marks, command| marks | mark(command.name.as_bytes()));
        self.commands = commands;
    }

    /// The command of this name, if it is one of them. Of most names their mark tells that they are not.
    pub(crate) fn find(&self, name: &[u8]) -> Option<NewerCommand> {
        if self.marks & mark(name) == 0 {
            return None;
        }
        let is = |command: &&NewerCommand| name.eq_ignore_ascii_case(command.name.as_bytes());
        self.commands.iter().find(is).copied()
    }
}

/// One of 64 bits, by the length of a name and its first letter in either case.
fn mark(name: &[u8]) -> u64 {
    let letter = name.first().map_or(0, |first| usize::from(first & 31));
    1 << ((name.len() * 11 + letter) % 64)
}

/// What the replicas are told of a change.
#[derive(Debug)]
pub(crate) enum Told {
    /// The command as it is.
    Same,
    /// These commands, each in its database.
    Instead(Vec<Command>),
    /// There are no words for it: the command as it is, and those that do not know it follow no longer. Why.
    Beyond(String),
}

/// A command of a database.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) db: usize,
    pub(crate) words: Vec<Box<[u8]>>,
}
