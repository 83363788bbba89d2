//! Which clients CLIENT KILL and CLIENT LIST mean.

use resp::number::parse_integer;

use super::handshake::DEFAULT_USER;
use super::sessions::Session;
use crate::io::{ClientId, Now, Reply};

/// All of its conditions must hold.
#[derive(Debug, Default)]
pub(super) struct Filter {
    conditions: Vec<Condition>,
    pub(super) skip_me: Option<bool>,
}

/// What must hold, or with `negated` must not.
#[derive(Debug)]
struct Condition {
    negated: bool,
    what: What,
}

#[derive(Debug)]
enum What {
    Ids(Vec<i64>),
    Addr(String),
    LocalAddr(String),
    Ip(String),
    Kind(String),
    User(String),
    Name(String),
    LibName(String),
    LibVer(String),
    Flags(String),
    Capa,
    Db(i64),
    MaxAge(u64),
    Idle(u64),
}

impl Filter {
    /// The clients of one address.
    pub(super) fn of_addr(addr: &str) -> Self {
        let what = What::Addr(addr.to_owned());
        Self {
            conditions: vec![Condition {
                negated: false,
                what,
            }],
            skip_me: Some(false),
        }
    }

    /// Reads pairs of option and value; behind `ID` there may be several values. `users` tells whether a user exists.
    pub(super) fn read(mut words: &[&str], users: impl Fn(&str) -> bool) -> Result<Self, Reply> {
        let mut filter = Self::default();
        while let Some((option, rest)) = words.split_first() {
            let option = option.to_ascii_lowercase();
            let (negated, name) = option
                .strip_prefix("not-")
                .map_or((false, &option[..]), |name| (true, name));
            if name == "id" {
                let numbers = rest.iter().map_while(|word| parse_integer(word.as_bytes()));
                let ids: Vec<i64> = numbers.collect();
                if ids.iter().any(|&id| id < 1) {
                    return Err(Reply::err("client-id should be greater than 0"));
                }
                words = &rest[ids.len()..];
                let what = What::Ids(ids);
                filter.conditions.push(Condition { negated, what });
                continue;
            }
            let (value, rest) = rest.split_first().ok_or_else(syntax_error)?;
            words = rest;
            if option == "skipme" {
                filter.skip_me = Some(yes_or_no(value)?);
                continue;
            }
            let what = What::read(name, value, &users)?;
            filter.conditions.push(Condition { negated, what });
        }
        Ok(filter)
    }

    pub(super) fn fits(&self, client: ClientId, session: &Session, now: Now) -> bool {
        self.conditions
            .iter()
            .all(|condition| condition.what.holds(client, session, now) != condition.negated)
    }
}

impl What {
    fn read(name: &str, value: &str, users: &impl Fn(&str) -> bool) -> Result<Self, Reply> {
        let text = value.to_owned();
        Ok(match name {
            "addr" => Self::Addr(text),
            "laddr" => Self::LocalAddr(text),
            "ip" => Self::Ip(text),
            "name" => Self::Name(text),
            "lib-name" => Self::LibName(text),
            "lib-ver" => Self::LibVer(text),
            "flags" => Self::Flags(text),
            "capa" => Self::Capa,
            "type" => Self::Kind(kind(value)?.to_owned()),
            "user" if users(value) => Self::User(text),
            "user" => return Err(Reply::err(format!("No such user '{value}'"))),
            "db" => Self::Db(
                parse_integer(value.as_bytes())
                    .ok_or_else(|| Reply::err("DB is not an integer or out of range"))?,
            ),
            "maxage" => Self::MaxAge(seconds("maxage", value)?),
            "idle" => Self::Idle(seconds("idle", value)?),
            _ => return Err(syntax_error()),
        })
    }

    fn holds(&self, ClientId(id): ClientId, session: &Session, now: Now) -> bool {
        let since = |at: u64| now.mono_ms.saturating_sub(at) / 1_000;
        match self {
            Self::Ids(ids) => i64::try_from(id).is_ok_and(|id| ids.contains(&id)),
            Self::Addr(addr) => *addr == session.addr,
            Self::LocalAddr(addr) => *addr == session.laddr,
            Self::Ip(ip) => session
                .addr
                .rsplit_once(':')
                .is_some_and(|(own, _)| own.trim_matches(['[', ']']) == ip),
            Self::Kind(kind) => kind == session.kind(),
            Self::User(user) => *user == session.user,
            Self::Name(name) => *name == session.name,
            Self::LibName(name) => *name == session.lib_name,
            Self::LibVer(version) => *version == session.lib_ver,
            Self::Flags(flags) => {
                let own = session.flags();
                flags.chars().all(|flag| own.contains(flag))
            }
            // Nobody can claim any.
            Self::Capa => false,
            Self::Db(db) => *db == 0,
            Self::MaxAge(age) => since(session.connected_ms) >= *age,
            Self::Idle(idle) => since(session.active_ms) >= *idle,
        }
    }
}

/// The usual name of a kind of clients.
fn kind(name: &str) -> Result<&'static str, Reply> {
    match name.to_ascii_lowercase().as_str() {
        "normal" => Ok("normal"),
        "slave" | "replica" => Ok("replica"),
        "master" | "primary" => Ok("primary"),
        "pubsub" => Ok("pubsub"),
        _ => Err(Reply::err(format!("Unknown client type '{name}'"))),
    }
}

fn seconds(name: &str, value: &str) -> Result<u64, Reply> {
    let number = parse_integer(value.as_bytes())
        .ok_or_else(|| Reply::err(format!("{name} is not an integer or out of range")))?;
    u64::try_from(number)
        .ok()
        .filter(|&number| number > 0)
        .ok_or_else(|| Reply::err(format!("{name} should be greater than 0")))
}

/// `yes` or `no`, in any case.
pub(super) fn yes_or_no(value: &str) -> Result<bool, Reply> {
    match value.to_ascii_lowercase().as_str() {
        "yes" => Ok(true),
        "no" => Ok(false),
        _ => Err(syntax_error()),
    }
}

pub(super) fn syntax_error() -> Reply {
    Reply::err("syntax error")
}

/// The users that exist without an ACL.
pub(super) fn is_user(name: &str) -> bool {
    name == DEFAULT_USER
}
