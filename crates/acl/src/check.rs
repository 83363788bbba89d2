//! Whether a user may do something.

use commands::Args;
use commands::Flags;
use commands::table::{Channels, Databases, Key, KeyFlags, find_keys};
use resp::glob;

use crate::selector::{Access, Allowed, KeyPattern, Selector};
use crate::{Catalog, User};

/// Why something was refused. Of several reasons the last one here is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A database.
    Database,
    /// The command.
    Command,
    /// A key.
    Key,
    /// The password was wrong: only in the log.
    Auth,
    /// The certificate names no user: only in the log.
    Certificate,
    /// A channel.
    Channel,
}

impl Reason {
    /// The word of ACL LOG.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Database => "database",
            Self::Command => "command",
            Self::Key => "key",
            Self::Auth => "auth",
            Self::Certificate => "tls-cert",
            Self::Channel => "channel",
        }
    }
}

/// How often something was refused, for INFO.
#[derive(Clone, Copy, Debug, Default)]
pub struct Denials {
    auth: u64,
    command: u64,
    key: u64,
    channel: u64,
    certificate: u64,
    database: u64,
}

impl Denials {
    /// One more.
    pub fn count(&mut self, reason: Reason) {
        *match reason {
            Reason::Auth => &mut self.auth,
            Reason::Command => &mut self.command,
            Reason::Key => &mut self.key,
            Reason::Channel => &mut self.channel,
            Reason::Certificate => &mut self.certificate,
            Reason::Database => &mut self.database,
        } += 1;
    }

    /// The fields of INFO.
    #[must_use]
    pub fn fields(&self) -> [(&'static str, u64); 6] {
        [
            ("acl_access_denied_auth", self.auth),
            ("acl_access_denied_cmd", self.command),
            ("acl_access_denied_key", self.key),
            ("acl_access_denied_channel", self.channel),
            ("acl_access_denied_tls_cert", self.certificate),
            ("acl_access_denied_db", self.database),
        ]
    }
}

/// A refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Why.
    pub reason: Reason,
    /// Which word of the request; 0 for the command itself.
    pub at: usize,
}

impl Denial {
    /// What the client is told.
    #[must_use]
    pub fn message(self, user: &User, request: &Request<'_>) -> Vec<u8> {
        match self.reason {
            Reason::Key => b"No permissions to access a key".to_vec(),
            Reason::Channel => b"No permissions to access a channel".to_vec(),
            Reason::Database => b"No permissions to access database".to_vec(),
            Reason::Command | Reason::Auth | Reason::Certificate => {
                self.full_message(user, request)
            }
        }
    }

    /// The same with the words of the request, as ACL DRYRUN tells it.
    #[must_use]
    pub fn full_message(self, user: &User, request: &Request<'_>) -> Vec<u8> {
        let word = request.args.get(self.at).copied().unwrap_or_default();
        let user = user.name();
        let parts: [&[u8]; 3] = match self.reason {
            Reason::Key => [b" has no permissions to access the '", word, b"' key"],
            Reason::Channel => [b" has no permissions to access the '", word, b"' channel"],
            Reason::Database => [b" has no permissions to access database ", word, b""],
            Reason::Command | Reason::Auth | Reason::Certificate => {
                let name = request.catalog.command(request.command).facts.name;
                [
                    b" has no permissions to run the '",
                    name.as_bytes(),
                    b"' command",
                ]
            }
        };
        [b"User ", user, parts[0], parts[1], parts[2]].concat()
    }

    /// What the log names: the word, or the command.
    #[must_use]
    pub fn object<'a>(self, request: &Request<'a>) -> &'a [u8] {
        match (self.reason, request.args.get(self.at)) {
            (Reason::Key | Reason::Channel, Some(word)) => word,
            (Reason::Database, Some(word)) if self.at > 0 => word,
            _ => request
                .catalog
                .command(request.command)
                .facts
                .name
                .as_bytes(),
        }
    }
}

/// Something to be allowed or refused.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The commands.
    pub catalog: &'a Catalog,
    /// Which one, by its place.
    pub command: usize,
    /// Its words, the name first.
    pub args: Args<'a>,
    /// The client's database.
    pub db: usize,
    /// How many databases there are.
    pub databases: usize,
}

impl User {
    /// Whether this user plainly may run a command: what most users are and most requests ask for needs few looks. Where not,
    /// [`User::check`] tells.
    #[inline]
    #[must_use]
    pub fn plainly_may(&self, catalog: &Catalog, command: usize, args: Args<'_>) -> bool {
        let Some(selector) = self.selectors().first() else {
            return false;
        };
        let (Allowed::Only(patterns), Allowed::All) = (&selector.keys, &selector.databases) else {
            return false;
        };
        let row = catalog.command(command);
        let (Some(pattern), Some(at)) = (patterns.first(), row.key_at) else {
            return false;
        };
        selector.lists_command(command)
            && row.facts.channels == Channels::None
            && pattern.access.read
            && pattern.access.write
            && args.get(at).is_some_and(|key| pattern.begins(key))
    }

    /// Whether this user may do that. `keys` is memory that is used again and again.
    ///
    /// # Errors
    /// Why not.
    #[inline]
    pub fn check(&self, request: &Request<'_>, keys: &mut Vec<Key>) -> Result<(), Denial> {
        keys.clear();
        let mut worst = Denial {
            reason: Reason::Database,
            at: 0,
        };
        for selector in self.selectors() {
            match selector.check(request, keys) {
                Ok(()) => return Ok(()),
                Err(denial)
                    if denial.reason > worst.reason
                        || denial.reason == worst.reason && denial.at > worst.at =>
                {
                    worst = denial;
                }
                Err(_) => {}
            }
        }
        Err(worst)
    }

    /// Whether it may do that and, with the same selector, read every key: what SORT's BY and GET reach.
    pub fn reads_all_keys(&self, request: &Request<'_>, keys: &mut Vec<Key>) -> bool {
        keys.clear();
        self.selectors()
            .iter()
            .any(|selector| selector.reads_all_keys() && selector.check(request, keys).is_ok())
    }
}

/// Whether one of these patterns allows a channel. A pattern that is subscribed to has to be there literally.
#[must_use]
pub fn hears(patterns: &[Box<[u8]>], channel: &[u8], is_pattern: bool) -> bool {
    patterns.iter().any(|pattern| {
        if is_pattern {
            **pattern == *channel
        } else {
            glob::matches(pattern, channel)
        }
    })
}

impl Selector {
    #[inline]
    fn check(&self, request: &Request<'_>, keys: &mut Vec<Key>) -> Result<(), Denial> {
        let command = request.catalog.command(request.command);
        if let Allowed::Only(_) = &self.databases {
            self.check_databases(request)?;
        }
        let first = request.args.get(1).copied();
        if !self.allows_command(request.command, first) && !command.facts.flags.has(Flags::NO_AUTH)
        {
            return Err(Denial {
                reason: Reason::Command,
                at: 0,
            });
        }
        if let Allowed::Only(patterns) = &self.keys
            && command.has_keys
        {
            check_keys(patterns, request, keys)?;
        }
        if let Allowed::Only(patterns) = &self.channels
            && command.facts.channels != Channels::None
        {
            check_channels(patterns, request)?;
        }
        Ok(())
    }

    fn reads_all_keys(&self) -> bool {
        match &self.keys {
            Allowed::All => true,
            Allowed::Only(patterns) => patterns
                .iter()
                .any(|pattern| pattern.access.read && *pattern.glob == *b"*"),
        }
    }

    fn allows_database(&self, index: usize) -> bool {
        match &self.databases {
            Allowed::All => true,
            Allowed::Only(databases) => {
                u32::try_from(index).is_ok_and(|index| databases.contains(&index))
            }
        }
    }

    fn check_databases(&self, request: &Request<'_>) -> Result<(), Denial> {
        let refused = |at: usize| Denial {
            reason: Reason::Database,
            at,
        };
        let command = request.catalog.command(request.command);
        let databases = command.facts.databases;
        let current = match databases {
            Databases::Current => command.in_database,
            Databases::At(_) | Databases::CopyOptions => command.has_keys,
            Databases::All => {
                let all = (0..request.databases).all(|index| self.allows_database(index));
                return if all { Ok(()) } else { Err(refused(0)) };
            }
        };
        for at in databases.positions(request.args, request.databases) {
            let index = resp::number::parse_i64(request.args[at]);
            let index = index.and_then(|index| usize::try_from(index).ok());
            if !index.is_some_and(|index| self.allows_database(index)) {
                return Err(refused(at));
            }
        }
        if current && !self.allows_database(request.db) {
            return Err(refused(0));
        }
        Ok(())
    }
}

#[inline]
fn check_keys(
    patterns: &[KeyPattern],
    request: &Request<'_>,
    keys: &mut Vec<Key>,
) -> Result<(), Denial> {
    let command = request.catalog.command(request.command);
    if let Some((at, flags)) = command.single_key {
        return match request.args.get(at) {
            Some(_) => check_key(patterns, request, Key { at, flags }),
            None => Ok(()),
        };
    }
    // Another selector may have found them.
    if keys.is_empty() {
        find_keys(command.facts, request.args, keys);
    }
    let mut keys = keys.iter().filter(|key| !key.flags.has(KeyFlags::NOT_KEY));
    keys.try_for_each(|key| check_key(patterns, request, *key))
}

#[inline]
fn check_key(patterns: &[KeyPattern], request: &Request<'_>, key: Key) -> Result<(), Denial> {
    const WRITES: KeyFlags = KeyFlags::parse("insert delete update");
    let wanted = Access {
        read: key.flags.has(KeyFlags::ACCESS),
        write: key.flags.has(WRITES),
    };
    let name = request.args[key.at];
    let allowed = |pattern: &KeyPattern| pattern.access.covers(wanted) && pattern.matches(name);
    if patterns.iter().any(allowed) {
        return Ok(());
    }
    Err(Denial {
        reason: Reason::Key,
        at: key.at,
    })
}

fn check_channels(patterns: &[Box<[u8]>], request: &Request<'_>) -> Result<(), Denial> {
    let channels = request.catalog.command(request.command).facts.channels;
    let most = if channels == Channels::Published {
        1
    } else {
        usize::MAX
    };
    let is_pattern = channels == Channels::Patterns;
    let mut words = request.args.iter().enumerate().skip(1).take(most);
    match words.find(|(_, channel)| !hears(patterns, channel, is_pattern)) {
        None => Ok(()),
        Some((at, _)) => Err(Denial {
            reason: Reason::Channel,
            at,
        }),
    }
}
