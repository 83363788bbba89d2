//! Every data command against a value, by its type: those that read walk over all of it in every direction, those that write
//! change it at its ends and in its middle. Replies must be whole RESP.

use store::{Keyspace, Type};

#[path = "../../crates/commands/tests/it/harness.rs"]
#[allow(dead_code, reason = "the commands' tests need more of it")]
mod harness;

/// A keyspace, with what a command needs around it.
pub struct Server(harness::Server);

const READ_ANY: &[&str] = &[
    "TYPE k",
    "OBJECT ENCODING k",
    "TTL k",
    "DUMP k",
    "SCAN 0",
    "KEYS *",
];
const READ_STRING: &[&str] = &[
    "GET k",
    "STRLEN k",
    "GETRANGE k 0 -1",
    "GETRANGE k -5 -2",
    "BITCOUNT k",
    "BITCOUNT k 1 -2",
    "BITPOS k 0",
    "BITPOS k 1 2",
    "GETBIT k 77",
    "PFCOUNT k",
    "PFDEBUG ENCODING k",
    "PFDEBUG DECODE k",
];
const WRITE_STRING: &[&str] = &[
    "PFMERGE d k",
    "PFADD k a b c",
    "PFCOUNT k d",
    "BITOP NOT d k",
    "BITOP XOR d k k",
    "INCR k",
    "INCRBYFLOAT k 1.5",
    "APPEND k abc",
    "SETRANGE k 5 xyz",
    "SETBIT k 99 1",
    "PFCOUNT k",
    "GETSET k 1",
];
const READ_LIST: &[&str] = &[
    "LLEN k",
    "LRANGE k 0 -1",
    "LRANGE k 1 3",
    "LRANGE k -4 -2",
    "LINDEX k 0",
    "LINDEX k -1",
    "LINDEX k 7",
    "SORT k ALPHA",
    "SORT k LIMIT 1 3 DESC",
];
const WRITE_LIST: &[&str] = &[
    "LINSERT k BEFORE $ new",
    "LSET k 1 other",
    "LREM k 0 $",
    "LPUSH k 1 2",
    "RPUSH k a",
    "RPOPLPUSH k d",
    "LSET k -1 12345",
    "RPOPLPUSH k k",
    "LTRIM k 1 -2",
    "LREM k -1 $",
    "LPOP k",
    "RPOP k",
    "SORT k ALPHA STORE d",
    "LRANGE d 0 -1",
];
const READ_SET: &[&str] = &[
    "SCARD k",
    "SMEMBERS k",
    "SISMEMBER k $",
    "SISMEMBER k 7",
    "SRANDMEMBER k 9",
    "SRANDMEMBER k -9",
    "SSCAN k 0 COUNT 5",
    "SINTER k k",
    "SUNION k d",
    "SDIFF k d",
    "SORT k ALPHA",
    "SORT k",
];
const WRITE_SET: &[&str] = &[
    "SADD k 17 new",
    "SREM k $",
    "SPOP k",
    "SMOVE k d $",
    "SUNIONSTORE d k",
    "SINTERSTORE d k d",
    "SDIFFSTORE d k d",
    "SADD k 99999999999",
    "SMEMBERS k",
];
const READ_ZSET: &[&str] = &[
    "ZCARD k",
    "ZRANGE k 0 -1 WITHSCORES",
    "ZREVRANGE k 0 -1",
    "ZRANGE k 1 2",
    "ZRANGEBYSCORE k -inf +inf WITHSCORES",
    "ZREVRANGEBYSCORE k +inf -inf LIMIT 1 2",
    "ZRANGEBYSCORE k (0 5",
    "ZCOUNT k -1 1",
    "ZRANGEBYLEX k - +",
    "ZREVRANGEBYLEX k + -",
    "ZLEXCOUNT k [a (c",
    "ZRANK k $",
    "ZREVRANK k $",
    "ZSCORE k $",
    "ZSCAN k 0 COUNT 5",
    "SORT k ALPHA",
];
const WRITE_ZSET: &[&str] = &[
    "ZADD k 1 new -inf low",
    "ZINCRBY k 2.5 $",
    "ZREM k $",
    "ZUNIONSTORE d 2 k k WEIGHTS 2 -1",
    "ZINTERSTORE d 2 k d AGGREGATE MAX",
    "ZREMRANGEBYRANK k 1 1",
    "ZREMRANGEBYSCORE k (0 1",
    "ZREMRANGEBYLEX k [b [c",
    "ZRANGE k 0 -1 WITHSCORES",
];
const READ_HASH: &[&str] = &[
    "HLEN k",
    "HGETALL k",
    "HKEYS k",
    "HVALS k",
    "HGET k $",
    "HMGET k $ none",
    "HEXISTS k $",
    "HSCAN k 0 COUNT 5",
];
const WRITE_HASH: &[&str] = &[
    "HSET k new value",
    "HINCRBY k $ 1",
    "HINCRBYFLOAT k $ 1.5",
    "HSETNX k $ x",
    "HDEL k $",
    "HMSET k a 1 b 2",
    "HGETALL k",
];
const READ_STREAM: &[&str] = &["TYPE k", "OBJECT ENCODING k", "EXISTS k"];
const WRITE_STREAM: &[&str] = &["LPUSH k x", "HGET k $", "EXPIRE k 100"];

impl Server {
    /// One that holds `keyspace`.
    pub fn new(keyspace: Keyspace) -> Self {
        let mut server = harness::Server::new();
        server.keyspace = keyspace;
        Self(server)
    }

    /// The databases.
    pub fn keyspace(&self) -> &Keyspace {
        &self.0.keyspace
    }

    /// Runs a line on a key; its reply must be whole. `k` stands for the key, `$` for one of its elements, `d` for another key.
    fn line(&mut self, db: usize, line: &str, key: &[u8], element: &[u8]) {
        const OTHER: &[u8] = b"\0another";
        let words = line.split(' ').map(|word| match word {
            "k" => key,
            "$" => element,
            "d" => OTHER,
            other => other.as_bytes(),
        });
        let args: Vec<&[u8]> = words.collect();
        self.0.db = db;
        let reply = self.0.call(&args);
        assert_eq!(
            after_reply(&reply),
            Some(&b""[..]),
            "{line} answers a whole reply"
        );
    }

    /// Everything that reads the value of `key`.
    pub fn read_all(&mut self, db: usize, key: &[u8]) {
        let Some((kind, element)) = self.look(db, key) else {
            return;
        };
        for line in READ_ANY.iter().chain(lines(kind).0) {
            self.line(db, line, key, &element);
        }
    }

    /// Everything that writes to it.
    pub fn write_all(&mut self, db: usize, key: &[u8]) {
        let Some((kind, element)) = self.look(db, key) else {
            return;
        };
        for line in lines(kind).1 {
            self.line(db, line, key, &element);
        }
    }

    /// The type of the value, and its second element or its first.
    fn look(&self, db: usize, key: &[u8]) -> Option<(Type, Vec<u8>)> {
        let value = self.keyspace().db_ref(db).peek(key)?;
        let element = match value {
            store::Value::Str(_) => None,
            store::Value::List(list) => list.iter().take(2).last().map(<[u8]>::to_vec),
            store::Value::Set(set) => set
                .iter()
                .take(2)
                .last()
                .map(|member| member.bytes(&mut [0; 20]).to_vec()),
            store::Value::Zset(zset) => zset.iter().take(2).last().map(|row| row.0.to_vec()),
            store::Value::Hash(hash) => hash.iter().take(2).last().map(|pair| pair.0.to_vec()),
            store::Value::Stream(stream) => stream.last().map(|entry| entry.id().to_string().into_bytes()),
        };
        Some((value.kind(), element.unwrap_or_default()))
    }
}

fn lines(kind: Type) -> (&'static [&'static str], &'static [&'static str]) {
    match kind {
        Type::String => (READ_STRING, WRITE_STRING),
        Type::List => (READ_LIST, WRITE_LIST),
        Type::Set => (READ_SET, WRITE_SET),
        Type::Zset => (READ_ZSET, WRITE_ZSET),
        Type::Hash => (READ_HASH, WRITE_HASH),
        Type::Stream => (READ_STREAM, WRITE_STREAM),
    }
}

/// What follows the reply at the front of `bytes`; `None` where there is no whole one.
pub fn after_reply(bytes: &[u8]) -> Option<&[u8]> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let (line, rest) = (&bytes[..end], &bytes[end + 2..]);
    let (kind, text) = line.split_first()?;
    let number = || std::str::from_utf8(text).ok()?.parse::<i64>().ok();
    match kind {
        b'+' | b'-' => (!text.contains(&b'\n')).then_some(rest),
        b':' => number().map(|_| rest),
        b'$' => match number()? {
            -1 => Some(rest),
            len => {
                let len = usize::try_from(len).ok()?;
                (rest.get(len..len + 2)? == b"\r\n").then(|| &rest[len + 2..])
            }
        },
        b'*' => {
            let count = number()?;
            (0..count).try_fold(rest, |rest, _| after_reply(rest))
        }
        _ => None,
    }
}
