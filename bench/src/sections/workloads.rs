//! The workloads behind the table of commands: what is sent, and what a server holds before. The first are those of `redis-benchmark`, on
//! keys of the same names; then comes what today's clients use besides.

use anyhow::Result;

use super::Bench;
use crate::program::Running;
use crate::request::{Draw, Request};

/// One row of the table.
#[derive(Debug)]
pub(super) struct Workload {
    pub(super) name: &'static str,
    /// The commands, which take turns.
    commands: Vec<&'static str>,
    pub(super) requests: Vec<Request>,
    pub(super) before: Before,
    /// Whether the limit's figure says something: it cuts requests, and answers each with five bytes.
    pub(super) of_limit: bool,
}

/// What is done before a measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Before {
    Nothing,
    /// A key is deleted, so that each round begins alike.
    Delete(&'static str),
    /// A list gets as many elements as there are keys, and not more are taken from it.
    List,
    /// A set gets as many members, and not more are taken from it.
    Set,
    /// A stream with a group gets as many entries, and not more are delivered.
    Group,
    /// A list has elements to be read.
    ListToRead,
    /// A stream has entries to be read.
    StreamToRead,
    /// A sorted set has members to be read.
    SortedSetToRead,
    /// A square of one degree has places to be found.
    PlacesToFind,
    /// A library of functions is loaded.
    Library,
}

impl Before {
    /// Whether only so much may be asked for as is there.
    pub(super) fn is_used_up(self) -> bool {
        matches!(self, Self::List | Self::Set | Self::Group)
    }
}

/// The name, the requests with bars between them, what goes before, and whether the limit's figure says something, which answers each
/// request with five bytes. `KEY`, `VALUE` and `MEMBER` stand for what the options make of them.
const WORKLOADS: &[(&str, &str, Before, bool)] = &[
    (INLINE, "PING", Before::Nothing, true),
    ("PING", "PING", Before::Nothing, true),
    ("SET", "SET KEY VALUE", Before::Nothing, true),
    ("GET", "GET KEY", Before::Nothing, true),
    ("INCR", "INCR counter:@@@@@@@@@@@@", Before::Nothing, true),
    (
        "LPUSH",
        "LPUSH mylist VALUE",
        Before::Delete("mylist"),
        false,
    ),
    (
        "RPUSH",
        "RPUSH mylist VALUE",
        Before::Delete("mylist"),
        false,
    ),
    ("LPOP", "LPOP mylist", Before::List, false),
    ("RPOP", "RPOP mylist", Before::List, false),
    ("SADD", "SADD myset MEMBER", Before::Delete("myset"), false),
    ("SPOP", "SPOP myset", Before::Set, false),
    (
        "HSET",
        "HSET myhash MEMBER VALUE",
        Before::Delete("myhash"),
        false,
    ),
    (
        "ZADD",
        "ZADD myzset @@@@@@ MEMBER",
        Before::Delete("myzset"),
        false,
    ),
    (
        "XADD",
        "XADD mystream * field VALUE",
        Before::Delete("mystream"),
        false,
    ),
    (
        "XRANGE 10",
        "XRANGE mystream - + COUNT 10",
        Before::StreamToRead,
        false,
    ),
    (MSET, "MSET", Before::Nothing, true),
    (
        "LRANGE 100",
        "LRANGE mylist 0 99",
        Before::ListToRead,
        false,
    ),
    (
        "LRANGE 300",
        "LRANGE mylist 0 299",
        Before::ListToRead,
        false,
    ),
    (
        "LRANGE 500",
        "LRANGE mylist 0 499",
        Before::ListToRead,
        false,
    ),
    (
        "LRANGE 600",
        "LRANGE mylist 0 599",
        Before::ListToRead,
        false,
    ),
    (
        "LMOVE",
        "LMOVE mylist mylist RIGHT LEFT",
        Before::ListToRead,
        false,
    ),
    (
        "HSETEX",
        "HSETEX myhash EX 1000 FIELDS 1 MEMBER VALUE",
        Before::Delete("myhash"),
        false,
    ),
    (
        "ZRANGE BYSCORE",
        "ZRANGE myzset ###### +inf BYSCORE LIMIT 0 10",
        Before::SortedSetToRead,
        false,
    ),
    (
        "XREAD 10",
        "XREAD COUNT 10 STREAMS mystream 0",
        Before::StreamToRead,
        false,
    ),
    (
        "XREADGROUP+XACK",
        "XREADGROUP GROUP mygroup me COUNT 1 STREAMS mystream >|XACK mystream mygroup 1@@@@@@@@@-1",
        Before::Group,
        false,
    ),
    (
        "GEOSEARCH",
        "GEOSEARCH myplaces FROMLONLAT 2.1##### 48.1##### BYRADIUS 3 km ASC COUNT 10",
        Before::PlacesToFind,
        false,
    ),
    (
        "BITFIELD",
        "BITFIELD mybits INCRBY u16 1@@@@@ 1",
        Before::Delete("mybits"),
        false,
    ),
    ("FCALL", "FCALL get_it 1 KEY", Before::Library, false),
];

/// Elements of what is read.
const ELEMENTS_TO_READ: u64 = 10_000;
/// The test whose request is no array.
const INLINE: &str = "PING inline";
/// The test whose command takes ten keys.
const MSET: &str = "MSET (10 keys)";
/// The template of a set's member, a field, a sorted set's member.
const MEMBER: &str = "element:@@@@@@@@@@@@";
/// A function that does what GET does.
const LIBRARY: &str = "#!lua name=bench\n\
    redis.register_function{function_name='get_it', callback=function(keys) return redis.call('GET', keys[1]) end, flags={'no-writes'}}";

/// All of them, in the order of the table.
pub(super) fn all(bench: &Bench) -> Vec<Workload> {
    let (key, value) = (bench.key(), bench.value());
    let word = |word| match word {
        "KEY" => key.as_str(),
        "VALUE" => &value,
        "MEMBER" => MEMBER,
        word => word,
    };
    let workloads = WORKLOADS.iter().map(|&(name, lines, before, of_limit)| {
        // What a group has delivered is acknowledged in the same order.
        let draw = match before {
            Before::Group => Draw::Next(u64::MAX),
            _ => Draw::Below(bench.options.keys),
        };
        let request = |line: &'static str| {
            let mut args: Vec<&str> = line.split(' ').map(word).collect();
            if name == MSET {
                (0..10).for_each(|_| args.extend([key.as_str(), &value]));
            }
            match name {
                INLINE => Request::raw(format!("{line}\r\n").into_bytes(), draw),
                _ => Request::new(&args, draw),
            }
        };
        Workload {
            name,
            commands: lines
                .split('|')
                .filter_map(|line| line.split(' ').next())
                .collect(),
            requests: lines.split('|').map(request).collect(),
            before,
            of_limit,
        }
    });
    // Ten keys are in ten slots, which a node of a cluster refuses.
    workloads
        .filter(|one| !(bench.options.cluster && one.name == MSET))
        .collect()
}

impl Workload {
    /// Whether a server knows the commands: older ones do not know all.
    ///
    /// # Errors
    ///
    /// The server does not answer.
    pub(super) fn is_known_to(&self, server: &Running) -> Result<bool> {
        let mut control = server.control()?;
        for name in &self.commands {
            let facts = control.call(&["COMMAND", "INFO", name])?;
            let first = facts.strip_prefix("*1\r\n*");
            if first.is_none_or(|first| first.starts_with('-')) {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Has a server hold what is to be there before.
    ///
    /// # Errors
    ///
    /// The server refuses it.
    pub(super) fn prepare(&self, bench: &Bench, server: &Running) -> Result<()> {
        /// Elements that a request of the filling has.
        const AT_ONCE: usize = 20;
        let (keys, value) = (bench.options.keys, bench.value());
        let mut control = server.control()?;
        let (key, command, element, count) = match self.before {
            Before::Nothing => return Ok(()),
            Before::Library => {
                control.call(&["FUNCTION", "LOAD", "REPLACE", LIBRARY])?;
                return Ok(());
            }
            Before::Delete(key) => {
                control.call(&["DEL", key])?;
                return Ok(());
            }
            Before::List => ("mylist", "RPUSH", vec![value.as_str()], keys),
            Before::ListToRead => ("mylist", "RPUSH", vec![value.as_str()], ELEMENTS_TO_READ),
            Before::Set => ("myset", "SADD", vec![MEMBER], keys),
            Before::SortedSetToRead => ("myzset", "ZADD", vec!["######", MEMBER], ELEMENTS_TO_READ),
            Before::PlacesToFind => (
                "myplaces",
                "GEOADD",
                vec!["2.######", "48.######", MEMBER],
                ELEMENTS_TO_READ,
            ),
            Before::Group | Before::StreamToRead => return self.fill_stream(bench, server),
        };
        control.call(&["DEL", key])?;
        let mut args = vec![command, key];
        (0..AT_ONCE).for_each(|_| args.extend(&element));
        bench.fill(
            server,
            Request::new(&args, Draw::Next(count)),
            count.div_ceil(AT_ONCE as u64),
        )
    }

    /// Entries whose ids count up from `1000000000-1`, which one connection sends in their order.
    fn fill_stream(&self, bench: &Bench, server: &Running) -> Result<()> {
        let mut control = server.control()?;
        control.call(&["DEL", "mystream"])?;
        let count = if self.before == Before::Group {
            control.call(&["XGROUP", "CREATE", "mystream", "mygroup", "0", "MKSTREAM"])?;
            bench.options.keys
        } else {
            ELEMENTS_TO_READ
        };
        let entry = ["XADD", "mystream", "1@@@@@@@@@-1", "field", &bench.value()];
        bench.fill_in_order(server, Request::new(&entry, Draw::Next(u64::MAX)), count)
    }
}
