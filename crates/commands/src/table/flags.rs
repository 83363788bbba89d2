//! Properties of commands: the flag words of COMMAND, and traits that only this server's engine asks for.

/// Whether `words[start..end]` is `word`, at compile time.
pub(super) const fn same(words: &[u8], start: usize, end: usize, word: &[u8]) -> bool {
    if end - start != word.len() {
        return false;
    }
    let mut at = 0;
    while at < word.len() {
        if words[start + at] != word[at] {
            return false;
        }
        at += 1;
    }
    true
}

/// The bits of words that are separated by blanks: each word's place in `table`. An unknown word fails to compile in a row.
pub(super) const fn bits(words: &str, table: &[&str]) -> u32 {
    let words = words.as_bytes();
    let (mut bits, mut start, mut at) = (0, 0, 0);
    while at <= words.len() {
        if at == words.len() || words[at] == b' ' {
            if at > start {
                let mut bit = 0;
                while !same(words, start, at, table[bit].as_bytes()) {
                    bit += 1;
                }
                bits |= 1 << bit;
            }
            start = at + 1;
        }
        at += 1;
    }
    bits
}

/// The words of `table` whose bits are set.
pub(super) fn words(
    bits: u32,
    table: &'static [&'static str],
) -> impl Iterator<Item = &'static str> {
    table
        .iter()
        .enumerate()
        .filter(move |(bit, _)| bits >> bit & 1 != 0)
        .map(|(_, word)| *word)
}

/// Properties of a command, as the words of COMMAND's third field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u32);

/// The flag words in the order in which COMMAND lists them.
const FLAG_WORDS: [&str; 19] = [
    "write",
    "readonly",
    "denyoom",
    "admin",
    "pubsub",
    "noscript",
    "blocking",
    "loading",
    "stale",
    "skip_monitor",
    "skip_commandlog",
    "asking",
    "fast",
    "no_auth",
    "no_mandatory_keys",
    "no_async_loading",
    "no_multi",
    "movablekeys",
    "allow_busy",
];

impl Flags {
    /// May change data.
    pub const WRITE: Self = Self::parse("write");
    /// Never changes data.
    pub const READONLY: Self = Self::parse("readonly");
    /// Refused when memory is over `maxmemory`.
    pub const DENYOOM: Self = Self::parse("denyoom");
    /// For operators.
    pub const ADMIN: Self = Self::parse("admin");
    /// Publish and subscribe.
    pub const PUBSUB: Self = Self::parse("pubsub");
    /// Refused in scripts.
    pub const NOSCRIPT: Self = Self::parse("noscript");
    /// May make its client wait.
    pub const BLOCKING: Self = Self::parse("blocking");
    /// Allowed while data are loaded.
    pub const LOADING: Self = Self::parse("loading");
    /// Allowed on a replica that lost its master and must not serve old data.
    pub const STALE: Self = Self::parse("stale");
    /// Not shown to MONITOR.
    pub const SKIP_MONITOR: Self = Self::parse("skip_monitor");
    /// Not kept in COMMANDLOG.
    pub const SKIP_COMMANDLOG: Self = Self::parse("skip_commandlog");
    /// Implies ASKING.
    pub const ASKING: Self = Self::parse("asking");
    /// Takes constant or logarithmic time.
    pub const FAST: Self = Self::parse("fast");
    /// Needs no authentication.
    pub const NO_AUTH: Self = Self::parse("no_auth");
    /// May come without keys although it has key specifications.
    pub const NO_MANDATORY_KEYS: Self = Self::parse("no_mandatory_keys");
    /// Refused while a replica loads into a second dataset.
    pub const NO_ASYNC_LOADING: Self = Self::parse("no_async_loading");
    /// Refused in transactions.
    pub const NO_MULTI: Self = Self::parse("no_multi");
    /// Its keys are found by its arguments, not by position alone.
    pub const MOVABLE_KEYS: Self = Self::parse("movablekeys");
    /// Allowed while a script or function is busy.
    pub const ALLOW_BUSY: Self = Self::parse("allow_busy");

    /// Whether any of `other`'s flags is set.
    #[must_use]
    #[inline]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// These flags and those of `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// These flags but for those of `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The words that COMMAND answers.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        words(self.0, &FLAG_WORDS)
    }

    /// Reads flag words; an unknown one fails to compile.
    #[must_use]
    pub const fn parse(text: &str) -> Self {
        Self(bits(text, &FLAG_WORDS))
    }
}

/// What the engine does otherwise for some commands. Each is asked for by the trait, never by a command's name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traits(u32);

const TRAIT_WORDS: [&str; 24] = [
    "in_subscribed",
    "not_queued",
    "keeps_asking",
    "keeps_offset",
    "checks_disk",
    "from_master",
    "runs_queue",
    "moves_keys",
    "empties_db",
    "empties_all",
    "replayed",
    "selects_db",
    "shutdown",
    "may_replicate",
    "keeps_caching",
    "runs_script",
    "by_sha1",
    "by_function",
    "reads_by_pattern",
    "expires_apart",
    "internal",
    "plain",
    "needs_debug",
    "needs_modules",
];

impl Traits {
    /// Answers from its words, its client and the clock, and changes nothing: no gate is closed or opened by it.
    pub const PLAIN: Self = Self::parse("plain");
    /// Refused unless `enable-debug-command` permits it.
    pub const NEEDS_DEBUG: Self = Self::parse("needs_debug");
    /// Refused unless `enable-module-command` permits it.
    pub const NEEDS_MODULES: Self = Self::parse("needs_modules");
    /// For servers and tests, not for clients.
    pub const INTERNAL: Self = Self::parse("internal");
    /// What it finds expired goes out key by key, not as one: it looks at keys that nobody named.
    pub const EXPIRES_APART: Self = Self::parse("expires_apart");
    /// Its options BY and GET read keys that are named nowhere.
    pub const READS_BY_PATTERN: Self = Self::parse("reads_by_pattern");
    /// Allowed to a RESP2 client with subscriptions.
    pub const IN_SUBSCRIBED: Self = Self::parse("in_subscribed");
    /// An open transaction runs it at once instead of queueing it.
    pub const NOT_QUEUED: Self = Self::parse("not_queued");
    /// Does not end what ASKING allowed.
    pub const KEEPS_ASKING: Self = Self::parse("keeps_asking");
    /// Does not count as this client's last write for WAIT: it writes to the stream itself.
    pub const KEEPS_OFFSET: Self = Self::parse("keeps_offset");
    /// Refused, as writes are, when the disk refuses saves: tells health checks.
    pub const CHECKS_DISK: Self = Self::parse("checks_disk");
    /// A master may send it although it is administrative.
    pub const FROM_MASTER: Self = Self::parse("from_master");
    /// Runs the queued transaction: its keys are those of the queue, and what it ran was noted one by one.
    pub const RUNS_QUEUE: Self = Self::parse("runs_queue");
    /// Moves keys to another node of the cluster.
    pub const MOVES_KEYS: Self = Self::parse("moves_keys");
    /// Removes all keys of the client's database.
    pub const EMPTIES_DB: Self = Self::parse("empties_db");
    /// Removes all keys of all databases.
    pub const EMPTIES_ALL: Self = Self::parse("empties_all");
    /// Applied when it stands in an append-only file although it knows more than data.
    pub const REPLAYED: Self = Self::parse("replayed");
    /// Changes the client's database.
    pub const SELECTS_DB: Self = Self::parse("selects_db");
    /// Ends the server.
    pub const SHUTDOWN: Self = Self::parse("shutdown");
    /// Runs a script, whose flags are its own: the source is its second word, unless another trait says what is.
    pub const RUNS_SCRIPT: Self = Self::parse("runs_script");
    /// The SHA1 of the script is its second word.
    pub const BY_SHA1: Self = Self::parse("by_sha1");
    /// The name of a function is its second word.
    pub const BY_FUNCTION: Self = Self::parse("by_function");

    /// May write to the replication stream although it is no write.
    pub const MAY_REPLICATE: Self = Self::parse("may_replicate");

    /// Does not end what CLIENT CACHING chose for the next command.
    pub const KEEPS_CACHING: Self = Self::parse("keeps_caching");

    /// Whether any of `other`'s traits is set.
    #[must_use]
    #[inline]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// These traits and those of `other`.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Reads trait words; an unknown one fails to compile.
    #[must_use]
    pub const fn parse(text: &str) -> Self {
        Self(bits(text, &TRAIT_WORDS))
    }
}
