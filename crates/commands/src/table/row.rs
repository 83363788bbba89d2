//! A row: the facts about a command, and the function that runs it.

use std::borrow::Cow;

use super::access::{Channels, Databases};
use super::categories::Categories;
use super::flags::{Flags, Traits};
use super::keys::{Key, KeySpec};
use super::secrets::SecretFinder;
use super::words::OlderFn;
use crate::{Args, Ctx, Done};

/// What stands for a secret.
const REDACTED: &[u8] = b"(redacted)";

/// The function of a data command.
pub type DataFn = fn(&mut Ctx<'_>, Args<'_>) -> Done;

/// What a command is about: the chapters of the command reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// Bits of strings
    Bitmap,
    /// The cluster
    Cluster,
    /// The connection
    Connection,
    /// Keys of any type
    Generic,
    /// Geospatial indexes
    Geo,
    /// Hashes
    Hash,
    /// HyperLogLog
    HyperLogLog,
    /// Lists
    List,
    /// Publish and subscribe
    PubSub,
    /// Scripts and functions
    Scripting,
    /// What a sentinel watches
    Sentinel,
    /// The server
    Server,
    /// Sets
    Set,
    /// Sorted sets
    SortedSet,
    /// Streams
    Stream,
    /// Strings
    String,
    /// Transactions
    Transactions,
}

impl Group {
    /// All of a server, in the order of the reference.
    pub const ALL: [Self; 16] = [
        Self::String,
        Self::Bitmap,
        Self::HyperLogLog,
        Self::List,
        Self::Set,
        Self::SortedSet,
        Self::Hash,
        Self::Stream,
        Self::Geo,
        Self::Generic,
        Self::Server,
        Self::Connection,
        Self::Cluster,
        Self::Transactions,
        Self::PubSub,
        Self::Scripting,
    ];

    /// The word that COMMAND DOCS answers.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Bitmap => "bitmap",
            Self::Cluster => "cluster",
            Self::Connection => "connection",
            Self::Generic => "generic",
            Self::Geo => "geo",
            Self::Hash => "hash",
            Self::HyperLogLog => "hyperloglog",
            Self::List => "list",
            Self::PubSub => "pubsub",
            Self::Scripting => "scripting",
            Self::Sentinel => "sentinel",
            Self::Server => "server",
            Self::Set => "set",
            Self::SortedSet => "sorted-set",
            Self::Stream => "stream",
            Self::String => "string",
            Self::Transactions => "transactions",
        }
    }

    /// The chapter's title.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Bitmap => "Bits",
            Self::Cluster => "Cluster",
            Self::Connection => "Connection",
            Self::Generic => "Keys",
            Self::Geo => "Geospatial indexes",
            Self::Hash => "Hashes",
            Self::HyperLogLog => "HyperLogLog",
            Self::List => "Lists",
            Self::PubSub => "Publish and subscribe",
            Self::Scripting => "Scripts and functions",
            Self::Sentinel => "Sentinel",
            Self::Server => "Server",
            Self::Set => "Sets",
            Self::SortedSet => "Sorted sets",
            Self::Stream => "Streams",
            Self::String => "Strings",
            Self::Transactions => "Transactions",
        }
    }
}

/// Finds the keys among a command's words where key specifications cannot say it all. Positions are within the words.
pub type KeyFinder = fn(Args<'_>, &mut Vec<Key>);

/// What is known about a command or subcommand.
#[derive(Debug)]
pub struct Facts {
    /// In lower case; a subcommand's is `container|sub`.
    pub name: &'static str,
    /// What it is about.
    pub group: Group,
    /// Words including the name (and a subcommand's); negative: at least this many.
    pub arity: i32,
    /// Properties.
    pub flags: Flags,
    /// ACL categories.
    pub categories: Categories,
    /// Where its keys are.
    pub keys: &'static [KeySpec],
    /// Finds the keys where `keys` alone cannot.
    pub key_finder: Option<KeyFinder>,
    /// Which of its words are secrets.
    pub secrets: Option<SecretFinder>,
    /// The channels among its words.
    pub channels: Channels,
    /// The databases that it touches.
    pub databases: Databases,
    /// What the engine does otherwise for it.
    pub traits: Traits,
    /// Hints for clients and proxies.
    pub tips: &'static [&'static str],
    /// The grammar of its arguments: see [`super::parse_arguments`].
    pub arguments: &'static str,
    /// The version of Redis or Valkey that brought it.
    pub since: &'static str,
    /// One line for the documentation.
    pub summary: &'static str,
    /// How its time grows with what it works on; empty where that depends on something else.
    pub costs: &'static str,
    /// Since when another command is to be used, and which.
    pub replaced: Option<(&'static str, &'static str)>,
    /// What servers of older releases are told instead.
    pub older: Option<OlderFn>,
}

impl Facts {
    /// The words of a request without its secrets.
    #[must_use]
    pub fn redacted<'a>(&self, args: Args<'a>) -> Cow<'a, [&'a [u8]]> {
        let Some(secrets) = self.secrets else {
            return Cow::Borrowed(args);
        };
        let mut words = args.to_vec();
        for at in secrets(args) {
            if let Some(word) = words.get_mut(at) {
                *word = REDACTED;
            }
        }
        Cow::Owned(words)
    }

    /// Whether it may stand in a primary's stream: it is about data, and not about the connection or the server that runs it.
    #[must_use]
    pub fn may_be_streamed(&self) -> bool {
        !self.flags.has(Flags::ADMIN.with(Flags::NO_AUTH)) || self.traits.has(Traits::FROM_MASTER)
    }

    /// Whether this many words (the name included) fit the arity.
    #[must_use]
    #[inline]
    pub fn accepts(&self, words: usize) -> bool {
        let wanted = self.arity.unsigned_abs() as usize;
        if self.arity > 0 {
            words == wanted
        } else {
            words >= wanted
        }
    }

    /// Whether some of its words can be keys.
    #[must_use]
    pub fn has_keys(&self) -> bool {
        let is_key = |spec: &KeySpec| !spec.flags.has(super::keys::KeyFlags::NOT_KEY);
        self.key_finder.is_some() || self.keys.iter().any(is_key)
    }

    /// The name alone: of `config|get` what follows the bar.
    #[must_use]
    pub fn short_name(&self) -> &'static str {
        self.name.split_once('|').map_or(self.name, |(_, sub)| sub)
    }

    /// Position of the first key, of the last (negative: counted from the end), and the distance between keys, as COMMAND answers them;
    /// zeros where positions cannot say it.
    #[must_use]
    pub fn positions(&self) -> (i32, i32, i32) {
        super::keys::positions(self.keys)
    }
}

/// One row: the facts and, but for containers of subcommands, the function.
#[derive(Debug)]
pub struct Row<F: 'static> {
    /// What is known about the command.
    pub facts: Facts,
    /// What runs it; none for a container, and for `HELP`, which is made from the rows.
    pub run: Option<F>,
    /// Its subcommands.
    pub subs: &'static [Row<F>],
}

/// Begins a row. The methods of [`Row`] add to it.
#[must_use]
pub const fn row<F: Copy + 'static>(
    name: &'static str,
    arity: i32,
    flags: &str,
    group: Group,
) -> Row<F> {
    let flags = Flags::parse(flags);
    Row {
        facts: Facts {
            name,
            group,
            arity,
            flags,
            categories: Categories::of_group(group).with_implied(flags),
            keys: &[],
            key_finder: None,
            secrets: None,
            channels: Channels::None,
            databases: Databases::Current,
            traits: Traits::parse(""),
            tips: &[],
            arguments: "",
            since: "",
            summary: "",
            costs: "",
            replaced: None,
            older: None,
        },
        run: None,
        subs: &[],
    }
}

impl<F: Copy> Row<F> {
    /// ACL categories instead of those that follow from the group.
    #[must_use]
    pub const fn categories(mut self, names: &str) -> Self {
        self.facts.categories = Categories::parse(names).with_implied(self.facts.flags);
        self
    }

    /// Key specifications.
    #[must_use]
    pub const fn keys(mut self, keys: &'static [KeySpec]) -> Self {
        self.facts.keys = keys;
        self
    }

    /// How keys are found that specifications cannot name.
    #[must_use]
    pub const fn key_finder(mut self, find: KeyFinder) -> Self {
        self.facts.key_finder = Some(find);
        self
    }

    /// Which words are secrets.
    #[must_use]
    pub const fn secrets(mut self, find: SecretFinder) -> Self {
        self.facts.secrets = Some(find);
        self
    }

    /// The channels among its words.
    #[must_use]
    pub const fn channels(mut self, channels: Channels) -> Self {
        self.facts.channels = channels;
        self
    }

    /// The databases that it touches.
    #[must_use]
    pub const fn databases(mut self, databases: Databases) -> Self {
        self.facts.databases = databases;
        self
    }

    /// Traits.
    #[must_use]
    pub const fn traits(mut self, words: &str) -> Self {
        self.facts.traits = Traits::parse(words);
        self
    }

    /// Tips.
    #[must_use]
    pub const fn tips(mut self, tips: &'static [&'static str]) -> Self {
        self.facts.tips = tips;
        self
    }

    /// The grammar of the arguments.
    #[must_use]
    pub const fn args(mut self, grammar: &'static str) -> Self {
        self.facts.arguments = grammar;
        self
    }

    /// The version that brought it, and one line about it.
    #[must_use]
    pub const fn about(mut self, since: &'static str, summary: &'static str) -> Self {
        self.facts.since = since;
        self.facts.summary = summary;
        self
    }

    /// How its time grows with what it works on.
    #[must_use]
    pub const fn costs(mut self, complexity: &'static str) -> Self {
        self.facts.costs = complexity;
        self
    }

    /// Since when another command is to be used, and which.
    #[must_use]
    pub const fn replaced(mut self, since: &'static str, by: &'static str) -> Self {
        self.facts.replaced = Some((since, by));
        self
    }

    /// What servers of older releases are told instead.
    #[must_use]
    pub const fn older(mut self, tell: OlderFn) -> Self {
        self.facts.older = Some(tell);
        self
    }

    /// Subcommands.
    #[must_use]
    pub const fn subs(mut self, subs: &'static [Row<F>]) -> Self {
        self.subs = subs;
        self
    }

    /// The function.
    #[must_use]
    pub const fn run(mut self, run: F) -> Self {
        self.run = Some(run);
        self
    }
}
