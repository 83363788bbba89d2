//! The command table: one row per command, with everything that is known about it.
//!
//! Names, arities, flags and key positions are those that COMMAND answers in Redis 3.0.7.

use std::ops::RangeInclusive;

use crate::{Args, Ctx, Done};
use crate::{bits, hash, hyperloglog, keys, list, scan, set, sort, string, zset, zset_store};

use Run::{Data, Engine};

/// Properties of a command, as the words of COMMAND's third field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flags(u16);

/// The flag words in the order in which COMMAND lists them.
const FLAG_WORDS: [&str; 14] = [
    "write",
    "readonly",
    "denyoom",
    "admin",
    "pubsub",
    "noscript",
    "random",
    "sort_for_script",
    "loading",
    "stale",
    "skip_monitor",
    "asking",
    "fast",
    "movablekeys",
];

impl Flags {
    /// May change data.
    pub const WRITE: Self = Self(1);
    /// Never changes data.
    pub const READONLY: Self = Self(1 << 1);
    /// Refused when memory is over `maxmemory`.
    pub const DENYOOM: Self = Self(1 << 2);
    /// For operators.
    pub const ADMIN: Self = Self(1 << 3);
    /// Publish and subscribe.
    pub const PUBSUB: Self = Self(1 << 4);
    /// Refused in scripts.
    pub const NOSCRIPT: Self = Self(1 << 5);
    /// Its reply is not a function of the data: no writes after it in a script.
    pub const RANDOM: Self = Self(1 << 6);
    /// Its reply is sorted for scripts.
    pub const SORT_FOR_SCRIPT: Self = Self(1 << 7);
    /// Allowed while data are loaded.
    pub const LOADING: Self = Self(1 << 8);
    /// Allowed on a replica that lost its master and must not serve old data.
    pub const STALE: Self = Self(1 << 9);
    /// Not shown to MONITOR.
    pub const SKIP_MONITOR: Self = Self(1 << 10);
    /// Implies ASKING.
    pub const ASKING: Self = Self(1 << 11);
    /// Takes constant or logarithmic time.
    pub const FAST: Self = Self(1 << 12);
    /// Its keys are found by its arguments, not by position alone.
    pub const MOVABLE_KEYS: Self = Self(1 << 13);

    /// Whether any of `other`'s flags is set.
    #[must_use]
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// The words that COMMAND answers.
    pub fn words(self) -> impl Iterator<Item = &'static str> {
        FLAG_WORDS
            .iter()
            .enumerate()
            .filter(move |(bit, _)| self.0 >> bit & 1 != 0)
            .map(|(_, word)| *word)
    }

    const fn parse(words: &str) -> Self {
        let words = words.as_bytes();
        let (mut flags, mut start, mut at) = (0, 0, 0);
        while at <= words.len() {
            if at == words.len() || words[at] == b' ' {
                let mut bit = 0;
                while !same(words, start, at, FLAG_WORDS[bit].as_bytes()) {
                    bit += 1; // an unknown word fails to compile here
                }
                flags |= 1 << bit;
                start = at + 1;
            }
            at += 1;
        }
        Self(flags)
    }
}

const fn same(words: &[u8], start: usize, end: usize, word: &[u8]) -> bool {
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

/// A data command.
pub type DataFn = fn(&mut Ctx<'_>, Args<'_>) -> Done;

/// What runs a command.
#[derive(Clone, Copy, Debug)]
pub enum Run {
    /// A function of this crate.
    Data(DataFn),
    /// A function of the engine, found there by the command's name.
    Engine,
}

/// What a command is about: the chapters of the command reference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Strings
    String,
    /// Bits
    Bits,
    /// HyperLogLog
    HyperLogLog,
    /// Lists
    List,
    /// Sets
    Set,
    /// Sorted sets
    Zset,
    /// Hashes
    Hash,
    /// Keys
    Keys,
    /// Scanning
    Scan,
    /// Sorting
    Sort,
    /// Server
    Server,
    /// Connection
    Connection,
    /// Cluster
    Cluster,
    /// Transactions
    Transactions,
    /// Publish and subscribe
    PubSub,
    /// Scripting
    Scripting,
}

impl Family {
    /// All, in the order of the reference.
    pub const ALL: [Self; 16] = [
        Self::String,
        Self::Bits,
        Self::HyperLogLog,
        Self::List,
        Self::Set,
        Self::Zset,
        Self::Hash,
        Self::Keys,
        Self::Scan,
        Self::Sort,
        Self::Server,
        Self::Connection,
        Self::Cluster,
        Self::Transactions,
        Self::PubSub,
        Self::Scripting,
    ];

    /// The chapter's title.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::String => "Strings",
            Self::Bits => "Bits",
            Self::HyperLogLog => "HyperLogLog",
            Self::List => "Lists",
            Self::Set => "Sets",
            Self::Zset => "Sorted sets",
            Self::Hash => "Hashes",
            Self::Keys => "Keys",
            Self::Scan => "Scanning",
            Self::Sort => "Sorting",
            Self::Server => "Server",
            Self::Connection => "Connection",
            Self::Cluster => "Cluster",
            Self::Transactions => "Transactions",
            Self::PubSub => "Publish and subscribe",
            Self::Scripting => "Scripting",
        }
    }
}

/// One row.
#[derive(Debug)]
pub struct Command {
    /// What it is about.
    pub family: Family,
    /// In lower case.
    pub name: &'static str,
    /// Words including the name; negative: at least so many; 0: any number.
    pub arity: i32,
    /// Properties.
    pub flags: Flags,
    /// Position of the first key, 0 where there is none.
    pub first_key: i32,
    /// Position of the last key; negative counts from the end.
    pub last_key: i32,
    /// Distance between keys.
    pub key_step: i32,
    /// What runs it.
    pub run: Run,
    /// One line for the documentation.
    pub summary: &'static str,
}

impl Command {
    /// Whether `words` words (the name included) fit the arity.
    #[must_use]
    pub fn accepts(&self, words: usize) -> bool {
        let wanted = usize::try_from(self.arity.unsigned_abs()).unwrap_or(usize::MAX);
        if self.arity > 0 {
            words == wanted
        } else {
            words >= wanted
        }
    }
}

const fn row(
    family: Family,
    name: &'static str,
    arity: i32,
    flags: &str,
    keys: (i32, i32, i32),
    run: Run,
    summary: &'static str,
) -> Command {
    Command {
        family,
        name,
        arity,
        flags: Flags::parse(flags),
        first_key: keys.0,
        last_key: keys.1,
        key_step: keys.2,
        run,
        summary,
    }
}

/// All commands, family by family.
#[rustfmt::skip]
pub static COMMANDS: &[Command] = &[
    // ---- string ----------------------------------------------------------------------------------------------
    row(Family::String, "append", 3, "write denyoom", (1, 1, 1), Data(string::append), "Adds bytes at the end of a string"),
    row(Family::String, "decr", 2, "write denyoom fast", (1, 1, 1), Data(string::decr), "Takes one from an integer"),
    row(Family::String, "decrby", 3, "write denyoom fast", (1, 1, 1), Data(string::decrby), "Takes a number from an integer"),
    row(Family::String, "get", 2, "readonly fast", (1, 1, 1), Data(string::get), "Reads a string"),
    row(Family::String, "getrange", 4, "readonly", (1, 1, 1), Data(string::getrange), "Reads a part of a string"),
    row(Family::String, "getset", 3, "write denyoom", (1, 1, 1), Data(string::getset), "Writes a string and answers the old one"),
    row(Family::String, "incr", 2, "write denyoom fast", (1, 1, 1), Data(string::incr), "Adds one to an integer"),
    row(Family::String, "incrby", 3, "write denyoom fast", (1, 1, 1), Data(string::incrby), "Adds a number to an integer"),
    row(Family::String, "incrbyfloat", 3, "write denyoom fast", (1, 1, 1), Data(string::incrbyfloat), "Adds a number to a float"),
    row(Family::String, "mget", -2, "readonly", (1, -1, 1), Data(string::mget), "Reads several strings"),
    row(Family::String, "mset", -3, "write denyoom", (1, -1, 2), Data(string::mset), "Writes several strings"),
    row(Family::String, "msetnx", -3, "write denyoom", (1, -1, 2), Data(string::msetnx), "Writes several strings unless one of the keys exists"),
    row(Family::String, "psetex", 4, "write denyoom", (1, 1, 1), Data(string::psetex), "Writes a string with a time to live in milliseconds"),
    row(Family::String, "set", -3, "write denyoom", (1, 1, 1), Data(string::set), "Writes a string"),
    row(Family::String, "setex", 4, "write denyoom", (1, 1, 1), Data(string::setex), "Writes a string with a time to live in seconds"),
    row(Family::String, "setnx", 3, "write denyoom fast", (1, 1, 1), Data(string::setnx), "Writes a string unless the key exists"),
    row(Family::String, "setrange", 4, "write denyoom", (1, 1, 1), Data(string::setrange), "Overwrites a part of a string"),
    row(Family::String, "strlen", 2, "readonly fast", (1, 1, 1), Data(string::strlen), "Tells the length of a string"),
    row(Family::String, "substr", 4, "readonly", (1, 1, 1), Data(string::getrange), "GETRANGE under its old name"),
    // ---- bits ------------------------------------------------------------------------------------------------
    row(Family::Bits, "bitcount", -2, "readonly", (1, 1, 1), Data(bits::bitcount), "Counts the bits set in a string or a part of it"),
    row(Family::Bits, "bitop", -4, "write denyoom", (2, -1, 1), Data(bits::bitop), "Combines strings bit by bit into a key"),
    row(Family::Bits, "bitpos", -3, "readonly", (1, 1, 1), Data(bits::bitpos), "Finds the first bit set or clear"),
    row(Family::Bits, "getbit", 3, "readonly fast", (1, 1, 1), Data(bits::getbit), "Reads one bit of a string"),
    row(Family::Bits, "setbit", 4, "write denyoom", (1, 1, 1), Data(bits::setbit), "Writes one bit of a string"),
    // ---- hyperloglog -----------------------------------------------------------------------------------------
    row(Family::HyperLogLog, "pfadd", -2, "write denyoom fast", (1, 1, 1), Data(hyperloglog::pfadd), "Adds elements to a HyperLogLog"),
    row(Family::HyperLogLog, "pfcount", -2, "readonly", (1, -1, 1), Data(hyperloglog::pfcount), "Estimates how many distinct elements HyperLogLogs saw"),
    row(Family::HyperLogLog, "pfdebug", -3, "write", (0, 0, 0), Data(hyperloglog::pfdebug), "Looks inside a HyperLogLog"),
    row(Family::HyperLogLog, "pfmerge", -2, "write denyoom", (1, -1, 1), Data(hyperloglog::pfmerge), "Merges HyperLogLogs into one"),
    row(Family::HyperLogLog, "pfselftest", 1, "readonly", (0, 0, 0), Data(hyperloglog::pfselftest), "Checks the HyperLogLog implementation"),
    // ---- list ------------------------------------------------------------------------------------------------
    row(Family::List, "blpop", -3, "write noscript", (1, -2, 1), Data(list::blpop), "Takes from the head of the first list that has an element, or waits"),
    row(Family::List, "brpop", -3, "write noscript", (1, 1, 1), Data(list::brpop), "Takes from the tail of the first list that has an element, or waits"),
    row(Family::List, "brpoplpush", 4, "write denyoom noscript", (1, 2, 1), Data(list::brpoplpush), "Moves an element from one list's tail to another's head, or waits"),
    row(Family::List, "lindex", 3, "readonly", (1, 1, 1), Data(list::lindex), "Reads an element of a list by its index"),
    row(Family::List, "linsert", 5, "write denyoom", (1, 1, 1), Data(list::linsert), "Inserts an element beside another one in a list"),
    row(Family::List, "llen", 2, "readonly fast", (1, 1, 1), Data(list::llen), "Counts the elements of a list"),
    row(Family::List, "lpop", 2, "write fast", (1, 1, 1), Data(list::lpop), "Takes the first element of a list"),
    row(Family::List, "lpush", -3, "write denyoom fast", (1, 1, 1), Data(list::lpush), "Adds elements at the head of a list"),
    row(Family::List, "lpushx", 3, "write denyoom fast", (1, 1, 1), Data(list::lpushx), "Adds an element at the head of a list that exists"),
    row(Family::List, "lrange", 4, "readonly", (1, 1, 1), Data(list::lrange), "Reads a range of a list"),
    row(Family::List, "lrem", 4, "write", (1, 1, 1), Data(list::lrem), "Removes equal elements from a list"),
    row(Family::List, "lset", 4, "write denyoom", (1, 1, 1), Data(list::lset), "Replaces an element of a list by its index"),
    row(Family::List, "ltrim", 4, "write", (1, 1, 1), Data(list::ltrim), "Keeps a range of a list"),
    row(Family::List, "rpop", 2, "write fast", (1, 1, 1), Data(list::rpop), "Takes the last element of a list"),
    row(Family::List, "rpoplpush", 3, "write denyoom", (1, 2, 1), Data(list::rpoplpush), "Moves an element from one list's tail to another's head"),
    row(Family::List, "rpush", -3, "write denyoom fast", (1, 1, 1), Data(list::rpush), "Adds elements at the tail of a list"),
    row(Family::List, "rpushx", 3, "write denyoom fast", (1, 1, 1), Data(list::rpushx), "Adds an element at the tail of a list that exists"),
    // ---- set -------------------------------------------------------------------------------------------------
    row(Family::Set, "sadd", -3, "write denyoom fast", (1, 1, 1), Data(set::sadd), "Adds members to a set"),
    row(Family::Set, "scard", 2, "readonly fast", (1, 1, 1), Data(set::scard), "Counts the members of a set"),
    row(Family::Set, "sdiff", -2, "readonly sort_for_script", (1, -1, 1), Data(set::sdiff), "Subtracts sets from the first"),
    row(Family::Set, "sdiffstore", -3, "write denyoom", (1, -1, 1), Data(set::sdiffstore), "Subtracts sets from the first into a key"),
    row(Family::Set, "sinter", -2, "readonly sort_for_script", (1, -1, 1), Data(set::sinter), "Intersects sets"),
    row(Family::Set, "sinterstore", -3, "write denyoom", (1, -1, 1), Data(set::sinterstore), "Intersects sets into a key"),
    row(Family::Set, "sismember", 3, "readonly fast", (1, 1, 1), Data(set::sismember), "Tells whether a member is in a set"),
    row(Family::Set, "smembers", 2, "readonly sort_for_script", (1, 1, 1), Data(set::smembers), "Reads all members of a set"),
    row(Family::Set, "smove", 4, "write fast", (1, 2, 1), Data(set::smove), "Moves a member from one set to another"),
    row(Family::Set, "spop", 2, "write noscript random fast", (1, 1, 1), Data(set::spop), "Takes a random member of a set"),
    row(Family::Set, "srandmember", -2, "readonly random", (1, 1, 1), Data(set::srandmember), "Reads random members of a set"),
    row(Family::Set, "srem", -3, "write fast", (1, 1, 1), Data(set::srem), "Removes members of a set"),
    row(Family::Set, "sunion", -2, "readonly sort_for_script", (1, -1, 1), Data(set::sunion), "Unites sets"),
    row(Family::Set, "sunionstore", -3, "write denyoom", (1, -1, 1), Data(set::sunionstore), "Unites sets into a key"),
    // ---- zset ------------------------------------------------------------------------------------------------
    row(Family::Zset, "zadd", -4, "write denyoom fast", (1, 1, 1), Data(zset::zadd), "Adds members with scores to a sorted set"),
    row(Family::Zset, "zcard", 2, "readonly fast", (1, 1, 1), Data(zset::zcard), "Counts the members of a sorted set"),
    row(Family::Zset, "zcount", 4, "readonly fast", (1, 1, 1), Data(zset::zcount), "Counts the members within a range of scores"),
    row(Family::Zset, "zincrby", 4, "write denyoom fast", (1, 1, 1), Data(zset::zincrby), "Adds to the score of a member"),
    row(Family::Zset, "zinterstore", -4, "write denyoom movablekeys", (0, 0, 0), Data(zset_store::zinterstore), "Intersects sorted sets into a key"),
    row(Family::Zset, "zlexcount", 4, "readonly fast", (1, 1, 1), Data(zset::zlexcount), "Counts the members within a range of names"),
    row(Family::Zset, "zrange", -4, "readonly", (1, 1, 1), Data(zset::zrange), "Reads a range of ranks"),
    row(Family::Zset, "zrangebylex", -4, "readonly", (1, 1, 1), Data(zset::zrangebylex), "Reads a range of names"),
    row(Family::Zset, "zrangebyscore", -4, "readonly", (1, 1, 1), Data(zset::zrangebyscore), "Reads a range of scores"),
    row(Family::Zset, "zrank", 3, "readonly fast", (1, 1, 1), Data(zset::zrank), "Tells the rank of a member"),
    row(Family::Zset, "zrem", -3, "write fast", (1, 1, 1), Data(zset::zrem), "Removes members of a sorted set"),
    row(Family::Zset, "zremrangebylex", 4, "write", (1, 1, 1), Data(zset::zremrangebylex), "Removes a range of names"),
    row(Family::Zset, "zremrangebyrank", 4, "write", (1, 1, 1), Data(zset::zremrangebyrank), "Removes a range of ranks"),
    row(Family::Zset, "zremrangebyscore", 4, "write", (1, 1, 1), Data(zset::zremrangebyscore), "Removes a range of scores"),
    row(Family::Zset, "zrevrange", -4, "readonly", (1, 1, 1), Data(zset::zrevrange), "Reads a range of ranks from the highest score"),
    row(Family::Zset, "zrevrangebylex", -4, "readonly", (1, 1, 1), Data(zset::zrevrangebylex), "Reads a range of names backwards"),
    row(Family::Zset, "zrevrangebyscore", -4, "readonly", (1, 1, 1), Data(zset::zrevrangebyscore), "Reads a range of scores from the highest"),
    row(Family::Zset, "zrevrank", 3, "readonly fast", (1, 1, 1), Data(zset::zrevrank), "Tells the rank of a member from the highest score"),
    row(Family::Zset, "zscore", 3, "readonly fast", (1, 1, 1), Data(zset::zscore), "Reads the score of a member"),
    row(Family::Zset, "zunionstore", -4, "write denyoom movablekeys", (0, 0, 0), Data(zset_store::zunionstore), "Unites sorted sets into a key"),
    // ---- hash ------------------------------------------------------------------------------------------------
    row(Family::Hash, "hdel", -3, "write fast", (1, 1, 1), Data(hash::hdel), "Removes fields of a hash"),
    row(Family::Hash, "hexists", 3, "readonly fast", (1, 1, 1), Data(hash::hexists), "Tells whether a field of a hash exists"),
    row(Family::Hash, "hget", 3, "readonly fast", (1, 1, 1), Data(hash::hget), "Reads a field of a hash"),
    row(Family::Hash, "hgetall", 2, "readonly", (1, 1, 1), Data(hash::hgetall), "Reads all fields and values of a hash"),
    row(Family::Hash, "hincrby", 4, "write denyoom fast", (1, 1, 1), Data(hash::hincrby), "Adds to the integer in a field of a hash"),
    row(Family::Hash, "hincrbyfloat", 4, "write denyoom fast", (1, 1, 1), Data(hash::hincrbyfloat), "Adds to the float in a field of a hash"),
    row(Family::Hash, "hkeys", 2, "readonly sort_for_script", (1, 1, 1), Data(hash::hkeys), "Reads all fields of a hash"),
    row(Family::Hash, "hlen", 2, "readonly fast", (1, 1, 1), Data(hash::hlen), "Counts the fields of a hash"),
    row(Family::Hash, "hmget", -3, "readonly", (1, 1, 1), Data(hash::hmget), "Reads several fields of a hash"),
    row(Family::Hash, "hmset", -4, "write denyoom", (1, 1, 1), Data(hash::hmset), "Writes several fields of a hash"),
    row(Family::Hash, "hset", 4, "write denyoom fast", (1, 1, 1), Data(hash::hset), "Writes a field of a hash"),
    row(Family::Hash, "hsetnx", 4, "write denyoom fast", (1, 1, 1), Data(hash::hsetnx), "Writes a field of a hash unless it exists"),
    row(Family::Hash, "hvals", 2, "readonly sort_for_script", (1, 1, 1), Data(hash::hvals), "Reads all values of a hash"),
    // ---- keys ------------------------------------------------------------------------------------------------
    row(Family::Keys, "dbsize", 1, "readonly fast", (0, 0, 0), Data(keys::dbsize), "Counts the keys of the database"),
    row(Family::Keys, "del", -2, "write", (1, -1, 1), Data(keys::del), "Removes keys"),
    row(Family::Keys, "dump", 2, "readonly", (1, 1, 1), Data(keys::dump), "Gives a value in its serialized form"),
    row(Family::Keys, "exists", -2, "readonly fast", (1, -1, 1), Data(keys::exists), "Counts how many of the keys exist"),
    row(Family::Keys, "expire", 3, "write fast", (1, 1, 1), Data(keys::expire), "Sets a time to live in seconds"),
    row(Family::Keys, "expireat", 3, "write fast", (1, 1, 1), Data(keys::expireat), "Sets the time of expiry in Unix seconds"),
    row(Family::Keys, "flushall", 1, "write", (0, 0, 0), Data(keys::flushall), "Removes all keys of all databases"),
    row(Family::Keys, "flushdb", 1, "write", (0, 0, 0), Data(keys::flushdb), "Removes all keys of the database"),
    row(Family::Keys, "keys", 2, "readonly sort_for_script", (0, 0, 0), Data(keys::keys), "Finds all keys that match a pattern"),
    row(Family::Keys, "move", 3, "write fast", (1, 1, 1), Data(keys::move_key), "Moves a key to another database"),
    row(Family::Keys, "object", 3, "readonly", (2, 2, 2), Data(keys::object), "Looks at a value's encoding, references and idle time"),
    row(Family::Keys, "persist", 2, "write fast", (1, 1, 1), Data(keys::persist), "Drops the expiry of a key"),
    row(Family::Keys, "pexpire", 3, "write fast", (1, 1, 1), Data(keys::pexpire), "Sets a time to live in milliseconds"),
    row(Family::Keys, "pexpireat", 3, "write fast", (1, 1, 1), Data(keys::pexpireat), "Sets the time of expiry in Unix milliseconds"),
    row(Family::Keys, "pttl", 2, "readonly fast", (1, 1, 1), Data(keys::pttl), "Tells the time to live in milliseconds"),
    row(Family::Keys, "randomkey", 1, "readonly random", (0, 0, 0), Data(keys::randomkey), "Chooses a key at random"),
    row(Family::Keys, "rename", 3, "write", (1, 2, 1), Data(keys::rename), "Renames a key"),
    row(Family::Keys, "renamenx", 3, "write fast", (1, 2, 1), Data(keys::renamenx), "Renames a key unless the new name exists"),
    row(Family::Keys, "restore", -4, "write denyoom", (1, 1, 1), Data(keys::restore), "Creates a key from a serialized value"),
    row(Family::Keys, "restore-asking", -4, "write denyoom asking", (1, 1, 1), Data(keys::restore), "RESTORE into a slot that is being imported"),
    row(Family::Keys, "ttl", 2, "readonly fast", (1, 1, 1), Data(keys::ttl), "Tells the time to live in seconds"),
    row(Family::Keys, "type", 2, "readonly fast", (1, 1, 1), Data(keys::type_of), "Tells the type of a value"),
    // ---- scan ------------------------------------------------------------------------------------------------
    row(Family::Scan, "hscan", -3, "readonly random", (1, 1, 1), Data(scan::hscan), "Walks over the fields of a hash"),
    row(Family::Scan, "scan", -2, "readonly random", (0, 0, 0), Data(scan::scan), "Walks over the keys of the database"),
    row(Family::Scan, "sscan", -3, "readonly random", (1, 1, 1), Data(scan::sscan), "Walks over the members of a set"),
    row(Family::Scan, "zscan", -3, "readonly random", (1, 1, 1), Data(scan::zscan), "Walks over the members of a sorted set"),
    // ---- sort ------------------------------------------------------------------------------------------------
    row(Family::Sort, "sort", -2, "write denyoom movablekeys", (1, 1, 1), Data(sort::sort), "Sorts a list, set or sorted set"),
    // ---- server ----------------------------------------------------------------------------------------------
    row(Family::Server, "bgrewriteaof", 1, "readonly admin", (0, 0, 0), Engine, "Rewrites the append-only file in the background"),
    row(Family::Server, "bgsave", 1, "readonly admin", (0, 0, 0), Engine, "Saves the data to disk in the background"),
    row(Family::Server, "client", -2, "readonly noscript", (0, 0, 0), Engine, "Lists, names, pauses and closes connections"),
    row(Family::Server, "command", 0, "readonly loading stale", (0, 0, 0), Engine, "Describes the commands"),
    row(Family::Server, "config", -2, "readonly admin stale", (0, 0, 0), Engine, "Reads, changes and rewrites the configuration"),
    row(Family::Server, "debug", -2, "admin noscript", (0, 0, 0), Engine, "Looks inside the server; for developers"),
    row(Family::Server, "info", -1, "readonly loading stale", (0, 0, 0), Engine, "Tells about the server"),
    row(Family::Server, "lastsave", 1, "readonly random fast", (0, 0, 0), Engine, "Tells the time of the last save"),
    row(Family::Server, "latency", -2, "readonly admin noscript loading stale", (0, 0, 0), Engine, "Tells where time was lost"),
    row(Family::Server, "monitor", 1, "readonly admin noscript", (0, 0, 0), Engine, "Shows every command as it runs"),
    row(Family::Server, "psync", 3, "readonly admin noscript", (0, 0, 0), Engine, "Starts replication, continuing where possible"),
    row(Family::Server, "replconf", -1, "readonly admin noscript loading stale", (0, 0, 0), Engine, "Exchanges facts between master and replica"),
    row(Family::Server, "role", 1, "noscript loading stale", (0, 0, 0), Engine, "Tells the role in replication"),
    row(Family::Server, "save", 1, "readonly admin noscript", (0, 0, 0), Engine, "Saves the data to disk while everything waits"),
    row(Family::Server, "shutdown", -1, "readonly admin loading stale", (0, 0, 0), Engine, "Saves if asked to and ends the server"),
    row(Family::Server, "slaveof", 3, "admin noscript stale", (0, 0, 0), Engine, "Makes the server a replica of another, or a master"),
    row(Family::Server, "slowlog", -2, "readonly", (0, 0, 0), Engine, "Shows the slowest commands"),
    row(Family::Server, "sync", 1, "readonly admin noscript", (0, 0, 0), Engine, "Starts replication with a full copy"),
    row(Family::Server, "time", 1, "readonly random fast", (0, 0, 0), Engine, "Tells the server's time"),
    row(Family::Server, "wait", 3, "readonly noscript", (0, 0, 0), Engine, "Waits until replicas have the writes so far"),
    // ---- connection ------------------------------------------------------------------------------------------
    row(Family::Connection, "auth", 2, "readonly noscript loading stale fast", (0, 0, 0), Engine, "Gives the password"),
    row(Family::Connection, "echo", 2, "readonly fast", (0, 0, 0), Engine, "Answers its argument"),
    row(Family::Connection, "ping", -1, "readonly stale fast", (0, 0, 0), Engine, "Answers PONG"),
    row(Family::Connection, "select", 2, "readonly loading fast", (0, 0, 0), Engine, "Selects a database"),
    // ---- cluster ---------------------------------------------------------------------------------------------
    row(Family::Cluster, "asking", 1, "readonly", (0, 0, 0), Engine, "Lets the next command reach a slot that is being imported"),
    row(Family::Cluster, "cluster", -2, "readonly admin", (0, 0, 0), Engine, "Shows and changes the cluster as this node sees it"),
    row(Family::Cluster, "migrate", -6, "write movablekeys", (0, 0, 0), Engine, "Moves keys to another server"),
    row(Family::Cluster, "readonly", 1, "readonly fast", (0, 0, 0), Engine, "Lets a cluster replica answer reads"),
    row(Family::Cluster, "readwrite", 1, "readonly fast", (0, 0, 0), Engine, "Ends READONLY"),
    // ---- transactions ----------------------------------------------------------------------------------------
    row(Family::Transactions, "discard", 1, "readonly noscript fast", (0, 0, 0), Engine, "Drops the queued transaction"),
    row(Family::Transactions, "exec", 1, "noscript skip_monitor", (0, 0, 0), Engine, "Runs the queued transaction"),
    row(Family::Transactions, "multi", 1, "readonly noscript fast", (0, 0, 0), Engine, "Begins a transaction"),
    row(Family::Transactions, "unwatch", 1, "readonly noscript fast", (0, 0, 0), Engine, "Forgets all watched keys"),
    row(Family::Transactions, "watch", -2, "readonly noscript fast", (1, -1, 1), Engine, "Makes EXEC fail if a key changes before it"),
    // ---- pubsub ----------------------------------------------------------------------------------------------
    row(Family::PubSub, "psubscribe", -2, "readonly pubsub noscript loading stale", (0, 0, 0), Engine, "Subscribes to channels by pattern"),
    row(Family::PubSub, "publish", 3, "readonly pubsub loading stale fast", (0, 0, 0), Engine, "Sends a message to a channel"),
    row(Family::PubSub, "pubsub", -2, "readonly pubsub random loading stale", (0, 0, 0), Engine, "Tells about channels and subscribers"),
    row(Family::PubSub, "punsubscribe", -1, "readonly pubsub noscript loading stale", (0, 0, 0), Engine, "Ends subscriptions by pattern"),
    row(Family::PubSub, "subscribe", -2, "readonly pubsub noscript loading stale", (0, 0, 0), Engine, "Subscribes to channels"),
    row(Family::PubSub, "unsubscribe", -1, "readonly pubsub noscript loading stale", (0, 0, 0), Engine, "Ends subscriptions to channels"),
    // ---- scripting -------------------------------------------------------------------------------------------
    row(Family::Scripting, "eval", -3, "noscript movablekeys", (0, 0, 0), Engine, "Runs a Lua script"),
    row(Family::Scripting, "evalsha", -3, "noscript movablekeys", (0, 0, 0), Engine, "Runs a cached Lua script by its SHA1"),
    row(Family::Scripting, "script", -2, "readonly noscript", (0, 0, 0), Engine, "Manages the script cache and running scripts"),
];

/// The row of `name`, in any case. For start-up and tests; the engine keeps an index of its own.
#[must_use]
pub fn find(name: &[u8]) -> Option<&'static Command> {
    COMMANDS
        .iter()
        .find(|command| name.eq_ignore_ascii_case(command.name.as_bytes()))
}

/// The positions of the keys among `args` (name included), appended to `keys`. Positions are always within `args`.
pub fn key_positions(command: &Command, args: Args<'_>, keys: &mut Vec<usize>) {
    match command.name {
        "zunionstore" | "zinterstore" => {
            let sources = counted_keys(args, 2);
            keys.extend(sources.clone().into_iter().flatten());
            keys.extend(sources.map(|_| 1));
        }
        "eval" | "evalsha" => keys.extend(counted_keys(args, 2).into_iter().flatten()),
        "sort" => sort_keys(args, keys),
        "migrate" => migrate_keys(args, keys),
        _ => plain_keys(command, args.len(), keys),
    }
}

fn plain_keys(command: &Command, words: usize, keys: &mut Vec<usize>) {
    let (Ok(first), Ok(step)) = (
        usize::try_from(command.first_key),
        usize::try_from(command.key_step),
    ) else {
        return;
    };
    if first == 0 || step == 0 {
        return;
    }
    let last = match usize::try_from(command.last_key) {
        Ok(last) => last.min(words.saturating_sub(1)),
        Err(_) => {
            words.saturating_sub(usize::try_from(command.last_key.unsigned_abs()).unwrap_or(words))
        }
    };
    if first <= last {
        keys.extend((first..=last).step_by(step));
    }
}

/// A count at position `at`, then that many keys. A count that is negative or too big gives none, and no other keys of the
/// command either: it will complain, here as well as anywhere. Of a word that is no number, what it begins with counts.
fn counted_keys(args: Args<'_>, at: usize) -> Option<RangeInclusive<usize>> {
    let word = args.get(at).filter(|word| !word.starts_with(b"-"))?;
    let digits = word.iter().take_while(|byte| byte.is_ascii_digit());
    let count = digits.fold(0_usize, |count, digit| {
        count
            .saturating_mul(10)
            .saturating_add(usize::from(digit - b'0'))
    });
    (count <= args.len().saturating_sub(at + 1)).then(|| at + 1..=at + count)
}

/// The sorted key, and STORE's (the last one counts).
fn sort_keys(args: Args<'_>, keys: &mut Vec<usize>) {
    if args.len() < 2 {
        return;
    }
    keys.push(1);
    let (mut at, mut store) = (2, None);
    while at < args.len() {
        let word = args[at];
        if word.eq_ignore_ascii_case(b"limit") {
            at += 2;
        } else if word.eq_ignore_ascii_case(b"get") || word.eq_ignore_ascii_case(b"by") {
            at += 1;
        } else if word.eq_ignore_ascii_case(b"store") && at + 1 < args.len() {
            store = Some(at + 1);
            at += 1;
        }
        at += 1;
    }
    keys.extend(store);
}

/// The single key, or all words after KEYS where the single one is empty.
fn migrate_keys(args: Args<'_>, keys: &mut Vec<usize>) {
    let mut options = args.iter().enumerate().skip(6);
    let mut listed = None;
    while let (None, Some((at, word))) = (listed, options.next()) {
        if word.eq_ignore_ascii_case(b"auth") {
            // Whatever the password is, it is no option.
            options.next();
        } else if word.eq_ignore_ascii_case(b"keys") {
            listed = Some(at + 1);
        }
    }
    match (args.get(3), listed) {
        (Some([]), Some(first)) => keys.extend(first..args.len()),
        (Some(_), _) => keys.push(3),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn positions(line: &str) -> Vec<usize> {
        let args: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let mut keys = Vec::new();
        key_positions(find(args[0]).unwrap(), &args, &mut keys);
        keys
    }

    #[test]
    fn there_are_163_commands_with_different_names() {
        assert_eq!(COMMANDS.len(), 163);
        let names: std::collections::BTreeSet<_> =
            COMMANDS.iter().map(|command| command.name).collect();
        assert_eq!(names.len(), 163);
    }

    #[test]
    fn keys_by_position() {
        assert_eq!(positions("GET a"), [1]);
        assert_eq!(positions("mset a 1 b 2"), [1, 3]);
        assert_eq!(positions("del a b c"), [1, 2, 3]);
        assert_eq!(positions("blpop a b 0"), [1, 2]);
        assert_eq!(positions("bitop and dest a b"), [2, 3, 4]);
        assert_eq!(positions("ping"), [0_usize; 0]);
    }

    #[test]
    fn keys_by_arguments() {
        assert_eq!(positions("zunionstore d 2 a b weights 1 2"), [3, 4, 1]);
        assert_eq!(positions("zunionstore d 1.5 a b"), [3, 1]);
        assert_eq!(positions("zunionstore d x a b"), [1]);
        assert_eq!(positions("zunionstore d 9 a b"), [0_usize; 0]);
        assert_eq!(positions("eval x 99999999999999999999 a"), [0_usize; 0]);
        assert_eq!(positions("eval x 2 a b c"), [3, 4]);
        assert_eq!(positions("eval x -1 a"), [0_usize; 0]);
        assert_eq!(
            positions("sort k by w_* limit 0 5 get store store d"),
            [1, 10]
        );
        assert_eq!(positions("migrate h 1 k 0 10"), [3]);
    }

    #[test]
    fn arity() {
        assert!(find(b"GET").is_some_and(|get| get.accepts(2) && !get.accepts(3)));
        assert!(
            find(b"DEL").is_some_and(|del| del.accepts(2) && del.accepts(9) && !del.accepts(1))
        );
        assert!(find(b"COMMAND").is_some_and(|command| command.accepts(1) && command.accepts(3)));
    }
}
