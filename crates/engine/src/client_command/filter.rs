//! The filters of CLIENT LIST and CLIENT KILL.

use commands::args::Reader;
use commands::{Args, Error};

use super::marks;
use crate::Engine;
use crate::client::Client;

/// The letters that a client's state can have.
const FLAG_LETTERS: &[u8] = b"AbBcdDeEiIMNOPrRsStTuUx";
/// The letters of capabilities.
const CAPA_LETTERS: &[u8] = b"r";

/// What a client is to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Normal,
    Primary,
    Replica,
    PubSub,
}

impl Kind {
    fn read(word: &[u8]) -> Result<Self, Error> {
        Ok(match word.to_ascii_lowercase().as_slice() {
            b"normal" => Self::Normal,
            b"slave" | b"replica" => Self::Replica,
            b"pubsub" => Self::PubSub,
            b"master" | b"primary" => Self::Primary,
            _ => return Err(Error::quoting("ERR Unknown client type '", word, "'")),
        })
    }

    fn of(client: &Client) -> Self {
        if client.flags.master {
            return Self::Primary;
        }
        match client.class() {
            conf::ClientClass::Normal => Self::Normal,
            conf::ClientClass::Slave => Self::Replica,
            conf::ClientClass::Pubsub => Self::PubSub,
        }
    }
}

/// One condition.
#[derive(Debug)]
enum Condition<'a> {
    Id(Vec<u64>),
    Kind(Kind),
    Address(&'a [u8]),
    LocalAddress(&'a [u8]),
    Ip(&'a [u8]),
    User(&'a [u8]),
    Name(&'a [u8]),
    LibraryName(&'a [u8]),
    LibraryVersion(&'a [u8]),
    Database(usize),
    Flags(&'a [u8]),
    Capabilities,
    IdleSeconds(u64),
    AgeSeconds(u64),
}

impl Condition<'_> {
    fn holds(&self, client: &Client, now_ms: u64) -> bool {
        match self {
            Self::Id(all) => all.contains(&client.serial),
            Self::Kind(kind) => Kind::of(client) == *kind,
            Self::Address(addr) => client.peer.addr.as_bytes() == *addr,
            Self::LocalAddress(addr) => client.peer.local_addr.as_bytes() == *addr,
            Self::Ip(ip) => {
                let addr = client.peer.addr.as_bytes();
                let end = addr
                    .iter()
                    .rposition(|byte| *byte == b':')
                    .unwrap_or(addr.len());
                addr[..end] == **ip
            }
            Self::User(name) => client
                .user
                .as_ref()
                .is_some_and(|user| user.name() == *name),
            Self::Name(name) => client.name.as_deref().unwrap_or_default() == *name,
            Self::LibraryName(name) => client.library[0].as_bytes() == *name,
            Self::LibraryVersion(version) => client.library[1].as_bytes() == *version,
            Self::Database(db) => client.db == *db,
            Self::Flags(letters) => {
                let own = marks(client);
                letters.iter().all(|letter| own.as_bytes().contains(letter))
            }
            Self::Capabilities => client.flags.redirect,
            Self::IdleSeconds(seconds) => {
                now_ms.saturating_sub(client.active_ms) / 1000 >= *seconds
            }
            Self::AgeSeconds(seconds) => now_ms.saturating_sub(client.since_ms) / 1000 >= *seconds,
        }
    }
}

/// All conditions have to hold, those that are negated must not.
#[derive(Debug, Default)]
pub(super) struct Filter<'a> {
    conditions: Vec<(Condition<'a>, bool)>,
    pub(super) skip_me: bool,
}

impl<'a> Filter<'a> {
    /// The client at this address.
    pub(super) fn address(addr: &'a [u8]) -> Self {
        Self {
            conditions: vec![(Condition::Address(addr), true)],
            skip_me: false,
        }
    }

    /// Reads the options behind the subcommand.
    pub(super) fn read(engine: &Engine, args: Args<'a>, skip_me: bool) -> Result<Self, Error> {
        let mut filter = Self {
            conditions: Vec::new(),
            skip_me,
        };
        let mut reader = Reader::from(args, 2);
        while !reader.is_empty() {
            if reader.takes_with("SKIPME", 1) {
                filter.skip_me = match reader.word()?.to_ascii_lowercase().as_slice() {
                    b"yes" => true,
                    b"no" => false,
                    _ => return Err(Error::Syntax),
                };
                continue;
            }
            let option = reader.word()?.to_ascii_lowercase();
            let positive = option.strip_prefix(b"not-");
            let condition = condition(engine, positive.unwrap_or(&option), &mut reader)?;
            let can_be_negated = !matches!(
                condition,
                Condition::IdleSeconds(_) | Condition::AgeSeconds(_)
            );
            if positive.is_some() && !can_be_negated {
                return Err(Error::Syntax);
            }
            filter.conditions.push((condition, positive.is_none()));
        }
        Ok(filter)
    }

    pub(super) fn matches(&self, client: &Client, now_ms: u64) -> bool {
        self.conditions
            .iter()
            .all(|(condition, wanted)| condition.holds(client, now_ms) == *wanted)
    }
}

fn condition<'a>(
    engine: &Engine,
    option: &[u8],
    reader: &mut Reader<'a>,
) -> Result<Condition<'a>, Error> {
    Ok(match option {
        b"id" => Condition::Id(ids(reader)?),
        b"type" => Condition::Kind(Kind::read(reader.word()?)?),
        b"addr" => Condition::Address(reader.word()?),
        b"laddr" => Condition::LocalAddress(reader.word()?),
        b"ip" => Condition::Ip(reader.word()?),
        b"user" => {
            let name = reader.word()?;
            if engine.access.users.get(name).is_none() {
                return Err(Error::quoting("ERR No such user '", name, "'"));
            }
            Condition::User(name)
        }
        b"name" => Condition::Name(reader.word()?),
        b"lib-name" => Condition::LibraryName(reader.word()?),
        b"lib-ver" => Condition::LibraryVersion(reader.word()?),
        b"db" => Condition::Database(database(engine, reader.word()?)?),
        b"flags" => Condition::Flags(letters(reader.word()?, FLAG_LETTERS, "flags")?),
        b"capa" => {
            letters(reader.word()?, CAPA_LETTERS, "capa")?;
            Condition::Capabilities
        }
        b"idle" => Condition::IdleSeconds(seconds(reader.word()?, "idle")?),
        b"maxage" => Condition::AgeSeconds(seconds(reader.word()?, "maxage")?),
        _ => return Err(Error::Syntax),
    })
}

/// Ids, as many as there are numbers.
fn ids(reader: &mut Reader<'_>) -> Result<Vec<u64>, Error> {
    let mut all = Vec::new();
    while let Some(id) = reader.peek().and_then(resp::number::parse_i64) {
        let id = u64::try_from(id).ok().filter(|id| *id > 0);
        all.push(id.ok_or(Error::text("ERR client-id should be greater than 0"))?);
        reader.word()?;
    }
    if all.is_empty() {
        Err(Error::Syntax)
    } else {
        Ok(all)
    }
}

fn database(engine: &Engine, word: &[u8]) -> Result<usize, Error> {
    let number = resp::number::parse_i64(word)
        .ok_or(Error::text("ERR DB is not an integer or out of range"))?;
    let databases = engine.shard.keyspace.databases();
    usize::try_from(number)
        .ok()
        .filter(|db| *db < databases)
        .ok_or_else(|| {
            Error::owned(format!(
                "ERR DB number should be between 0 and {}",
                databases - 1
            ))
        })
}

fn letters<'a>(word: &'a [u8], known: &[u8], what: &str) -> Result<&'a [u8], Error> {
    if word.iter().all(|letter| known.contains(letter)) {
        Ok(word)
    } else {
        let before = format!("ERR Unknown {what} found in the provided filter: ");
        Err(Error::quoting(&before, word, ""))
    }
}

fn seconds(word: &[u8], what: &str) -> Result<u64, Error> {
    let number = resp::number::parse_i64(word)
        .ok_or_else(|| Error::owned(format!("ERR {what} is not an integer or out of range")))?;
    u64::try_from(number)
        .ok()
        .filter(|seconds| *seconds > 0)
        .ok_or_else(|| Error::owned(format!("ERR {what} should be greater than 0")))
}
