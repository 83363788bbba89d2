//! The subcommands of ACL as far as they ask users and log alone: both daemons answer them so. `args` are the words of the request,
//! `ACL` and the subcommand first.

use std::rc::Rc;

use commands::table::Categories;
use commands::{Args, Done, Error, args};
use resp::Reply;

use crate::{Log, Selector, User, Users};

/// What is answered to SAVE and LOAD where no file is configured.
pub const NO_FILE: Error = Error::text(
    "ERR This instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue \
     a CONFIG REWRITE (assuming you have a configuration file set) in order to store users in the configuration.",
);

/// What is answered to SAVE when the file could not be written.
pub const NOT_SAVED: Error = Error::text(
    "ERR There was an error trying to save the ACLs. Please check the server logs for more information",
);

/// An error with these words.
#[must_use]
pub fn error(text: &[u8]) -> Error {
    // Lines end an error.
    let blank = |byte: &u8| {
        if matches!(byte, b'\r' | b'\n') {
            b' '
        } else {
            *byte
        }
    };
    let text: Vec<u8> = text.iter().map(blank).collect();
    Error::Quoting([b"ERR ", &*text].concat().into())
}

/// A subcommand that takes at most so many words got more.
fn at_most(words: usize, args: Args<'_>) -> Done {
    if args.len() <= words {
        Ok(())
    } else {
        Err(Error::subcommand("ACL", args[1]))
    }
}

/// ACL USERS
pub fn users(users: &Users, out: &mut Reply) {
    let users = users.iter();
    out.array(users.len());
    users.for_each(|user| out.bulk(user.name()));
}

/// ACL LIST
pub fn list(users: &Users, out: &mut Reply) {
    let users = users.iter();
    out.array(users.len());
    users.for_each(|user| out.bulk(line_of(user)));
}

/// A user as a line of a file.
#[must_use]
pub fn line_of(user: &User) -> Vec<u8> {
    [b"user ", user.name(), b" ", &user.describe()].concat()
}

/// ACL GETUSER name
pub fn getuser(users: &Users, args: Args<'_>, out: &mut Reply) {
    let Some(user) = users.get(args[2]) else {
        out.nil();
        return;
    };
    out.map(7);
    out.bulk("flags");
    out.set(1 + usize::from(user.needs_no_password()));
    out.bulk(if user.is_enabled() { "on" } else { "off" });
    if user.needs_no_password() {
        out.bulk("nopass");
    }
    out.bulk("passwords");
    let passwords = user.passwords();
    out.array(passwords.len());
    passwords.for_each(|hash| out.bulk(hash));
    let [own, others @ ..] = user.selectors() else {
        return;
    };
    describe(out, own);
    out.bulk("selectors");
    out.array(others.len());
    for selector in others {
        out.map(4);
        describe(out, selector);
    }
}

fn describe(out: &mut Reply, selector: &Selector) {
    let fields: [(&str, Vec<u8>); 4] = [
        ("commands", selector.describe_commands()),
        ("keys", selector.describe_keys()),
        ("channels", selector.describe_channels()),
        ("databases", selector.describe_databases().into_bytes()),
    ];
    for (name, value) in fields {
        out.bulk(name);
        out.bulk(value);
    }
}

/// ACL SETUSER name [rule …]
///
/// # Errors
/// What is wrong with the name or a rule; then nothing was changed.
pub fn setuser(users: &mut Users, args: Args<'_>) -> Done {
    users
        .set(args[2], &args[3..])
        .map_err(|wrong| error(&wrong.message()))
}

/// ACL DELUSER name …: how many there were.
///
/// # Errors
/// The default user cannot be removed.
pub fn deluser(users: &mut Users, args: Args<'_>) -> Result<usize, Error> {
    let default = users.default_user().name();
    if args[2..].contains(&default) {
        return Err(Error::text("ERR The 'default' user cannot be removed"));
    }
    Ok(args[2..].iter().filter(|name| users.remove(name)).count())
}

/// ACL CAT [category]
///
/// # Errors
/// There is no such category.
pub fn cat(users: &Users, args: Args<'_>, out: &mut Reply) -> Done {
    at_most(3, args)?;
    let names: Vec<&str> = match args.get(2) {
        None => Categories::all().flat_map(Categories::words).collect(),
        Some(word) => {
            let shown = &word[..word.len().min(128)];
            let category = Categories::named(word)
                .ok_or_else(|| Error::quoting("ERR Unknown category '", shown, "'"))?;
            users.catalog().in_category(category).collect()
        }
    };
    out.array(names.len());
    names.into_iter().for_each(|name| out.bulk(name));
    Ok(())
}

/// ACL GENPASS [bits]: `fill` gets random bytes.
///
/// # Errors
/// The number is none, or there are no random bytes.
pub fn genpass(
    args: Args<'_>,
    fill: impl FnOnce(&mut [u8]) -> Result<(), String>,
    out: &mut Reply,
) -> Done {
    const MOST_BITS: i64 = 4096;
    at_most(3, args)?;
    let bits = args.get(2).map_or(Ok(256), |word| args::int(word))?;
    let digits = usize::try_from(bits)
        .ok()
        .filter(|_| (1..=MOST_BITS).contains(&bits))
        .map(|bits| bits.div_ceil(4))
        .ok_or(Error::text(
            "ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to 4096",
        ))?;
    let mut bytes = vec![0; digits.div_ceil(2)];
    fill(&mut bytes).map_err(|reason| error(reason.as_bytes()))?;
    let mut password = crate::hex(&bytes);
    password.truncate(digits);
    out.bulk(password);
    Ok(())
}

/// ACL LOG [count | RESET]
///
/// # Errors
/// The count is none.
pub fn log(log: &mut Log, args: Args<'_>, now_ms: u64, out: &mut Reply) -> Done {
    at_most(3, args)?;
    if let Some(word) = args.get(2)
        && args::is(word, "RESET")
    {
        log.clear();
        out.ok();
        return Ok(());
    }
    let most = args.get(2).map_or(Ok(10), |word| args::int(word))?;
    let most = usize::try_from(most).unwrap_or(0);
    let entries = log.iter();
    let int = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    out.array(most.min(entries.len()));
    for entry in entries.take(most) {
        out.map(10);
        out.bulk("count");
        out.int(int(entry.count));
        let words: [(&str, &[u8]); 4] = [
            ("reason", entry.reason.word().as_bytes()),
            ("context", entry.context.word().as_bytes()),
            ("object", &entry.object),
            ("username", &entry.user),
        ];
        for (name, value) in words {
            out.bulk(name);
            out.bulk(value);
        }
        out.bulk("age-seconds");
        #[expect(clippy::cast_precision_loss, reason = "no such age is reached")]
        out.double(now_ms.saturating_sub(entry.updated_ms) as f64 / 1000.0);
        out.bulk("client-info");
        out.bulk(entry.client.as_bytes());
        let numbers = [
            ("entry-id", entry.id),
            ("timestamp-created", entry.created_ms),
            ("timestamp-last-updated", entry.updated_ms),
        ];
        for (name, value) in numbers {
            out.bulk(name);
            out.int(int(value));
        }
    }
    Ok(())
}

/// The user and the command's place that ACL DRYRUN name command … asks about; `find` gives the place of a command in the catalog. What
/// the user then may is [`User::check`]'s.
///
/// # Errors
/// There is no such user or command, or the words do not fit it.
pub fn dryrun<'a>(
    users: &'a Users,
    args: Args<'_>,
    find: impl FnOnce(Args<'_>) -> Option<usize>,
) -> Result<(&'a Rc<User>, usize), Error> {
    let user = users.get(args[2]);
    let user = user.ok_or_else(|| Error::quoting("ERR User '", args[2], "' not found"))?;
    let words = &args[3..];
    let command =
        find(words).ok_or_else(|| Error::quoting("ERR Command '", words[0], "' not found"))?;
    let facts = users.catalog().command(command).facts;
    if !facts.accepts(words.len()) {
        let name = facts.name;
        return Err(Error::owned(format!(
            "ERR wrong number of arguments for '{name}' command"
        )));
    }
    Ok((user, command))
}
