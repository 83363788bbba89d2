//! How much of today's commands the stream may say. What it says instead is worked out in `older.rs` beside the hall.

use commands::Facts;
use commands::older::{Release, Vocabulary};

/// The stream as servers of older releases are to understand it.
#[derive(Debug, Default)]
pub(crate) struct Older {
    /// What it may say, where that is not everything.
    pub(crate) level: Option<Level>,
    /// From this offset on it has said no more than that.
    pub(crate) since: u64,
    /// A replica came that did not say that it knows the stream of 4.0 or later.
    pub(crate) met: bool,
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
    pub(crate) vocabulary: Vocabulary,
}

impl Level {
    /// The release that belongs to a version of dumps; none where that knows everything.
    pub(crate) fn of(
        version: rdb::Version,
        facts: impl Iterator<Item = &'static Facts>,
    ) -> Option<Self> {
        let release = Release::of_dump(version.number())?;
        Some(Self {
            release,
            version,
            vocabulary: Vocabulary::new(release, facts),
        })
    }
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
