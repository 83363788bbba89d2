//! ACL: users as operators make, see and keep them; and the users that a server starts with.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::rc::Rc;

use acl::{FileError, Selector, SetError, User, print_users};
use commands::table::Categories;
use commands::{Args, Done, Error, args};
use resp::Reply;

use crate::{ClientId, Engine, index};

const NO_FILE: Error = Error::text(
    "ERR This instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue \
     a CONFIG REWRITE (assuming you have a configuration file set) in order to store users in the configuration.",
);

/// An error with these words.
fn error(text: &[u8]) -> Error {
    // Lines end an error.
    let text: Vec<u8> = text
        .iter()
        .map(|byte| {
            if matches!(byte, b'\r' | b'\n') {
                b' '
            } else {
                *byte
            }
        })
        .collect();
    Error::Quoting([b"ERR ", &*text].concat().into())
}

/// A subcommand that takes at most so many words got more.
fn at_most(words: usize, args: Args<'_>) -> Done {
    if args.len() <= words {
        return Ok(());
    }
    let word = &args[1][..args[1].len().min(128)];
    Err(Error::quoting(
        "ERR unknown subcommand or wrong number of arguments for '",
        word,
        "'. Try ACL HELP.",
    ))
}

/// ACL WHOAMI
pub(crate) fn whoami(engine: &mut Engine, id: ClientId, _: Args<'_>) -> Done {
    let client = &mut engine.sessions.clients[id];
    match &client.user {
        Some(user) => client.out.bulk(user.name()),
        None => client.out.nil(),
    }
    Ok(())
}

/// ACL USERS
pub(crate) fn users(engine: &mut Engine, id: ClientId, _: Args<'_>) -> Done {
    let users = engine.access.users.iter();
    let out = &mut engine.sessions.clients[id].out;
    out.array(users.len());
    users.for_each(|user| out.bulk(user.name()));
    Ok(())
}

/// ACL LIST
pub(crate) fn list(engine: &mut Engine, id: ClientId, _: Args<'_>) -> Done {
    let users = engine.access.users.iter();
    let out = &mut engine.sessions.clients[id].out;
    out.array(users.len());
    users.for_each(|user| out.bulk(line_of(user)));
    Ok(())
}

/// A user as a line of a file.
fn line_of(user: &User) -> Vec<u8> {
    [b"user ", user.name(), b" ", &user.describe()].concat()
}

/// ACL GETUSER name
pub(crate) fn getuser(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let user = engine.access.users.get(args[2]).cloned();
    let out = &mut engine.sessions.clients[id].out;
    let Some(user) = user else {
        out.nil();
        return Ok(());
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
        return Ok(());
    };
    describe(out, own);
    out.bulk("selectors");
    out.array(others.len());
    for selector in others {
        out.map(4);
        describe(out, selector);
    }
    Ok(())
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
pub(crate) fn setuser(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    engine
        .access
        .users
        .set(args[2], &args[3..])
        .map_err(|wrong| error(&wrong.message()))?;
    engine.take_over_users(Some(id));
    engine.sessions.clients[id].out.ok();
    Ok(())
}

/// ACL DELUSER name …
pub(crate) fn deluser(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let default = engine.access.users.default_user().name();
    if args[2..].contains(&default) {
        return Err(Error::text("ERR The 'default' user cannot be removed"));
    }
    let users = &mut engine.access.users;
    let removed = args[2..].iter().filter(|name| users.remove(name)).count();
    engine.take_over_users(Some(id));
    engine.sessions.clients[id].out.count(removed);
    Ok(())
}

/// ACL CAT [category]
pub(crate) fn cat(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    at_most(3, args)?;
    let out = &mut engine.sessions.clients[id].out;
    let names: Vec<&str> = match args.get(2) {
        None => Categories::all().flat_map(Categories::words).collect(),
        Some(word) => {
            let shown = &word[..word.len().min(128)];
            let category = Categories::named(word)
                .ok_or_else(|| Error::quoting("ERR Unknown category '", shown, "'"))?;
            engine
                .access
                .users
                .catalog()
                .in_category(category)
                .collect()
        }
    };
    out.array(names.len());
    names.into_iter().for_each(|name| out.bulk(name));
    Ok(())
}

/// ACL GENPASS [bits]
pub(crate) fn genpass(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
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
    engine
        .host
        .fill_random(&mut bytes)
        .map_err(|reason| error(reason.as_bytes()))?;
    let mut password = acl::hex(&bytes);
    password.truncate(digits);
    engine.sessions.clients[id].out.bulk(password);
    Ok(())
}

/// ACL LOG [count | RESET]
pub(crate) fn log(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    at_most(3, args)?;
    if let Some(word) = args.get(2)
        && args::is(word, "RESET")
    {
        engine.access.log.clear();
        engine.sessions.clients[id].out.ok();
        return Ok(());
    }
    let most = args.get(2).map_or(Ok(10), |word| args::int(word))?;
    let most = usize::try_from(most).unwrap_or(0);
    let now_ms = engine.now.unix_ms();
    let entries = engine.access.log.iter();
    let out = &mut engine.sessions.clients[id].out;
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

/// ACL DRYRUN name command …
pub(crate) fn dryrun(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let user = engine.access.users.get(args[2]).cloned();
    let user = user.ok_or_else(|| Error::quoting("ERR User '", args[2], "' not found"))?;
    let words = &args[3..];
    let entry = engine.index.find(words[0]);
    let entry = entry
        .and_then(|entry| index::resolve(entry, words).ok())
        .ok_or_else(|| Error::quoting("ERR Command '", words[0], "' not found"))?;
    if !entry.command.accepts(words.len()) {
        let name = entry.command.name;
        return Err(Error::owned(format!(
            "ERR wrong number of arguments for '{name}' command"
        )));
    }
    let may = engine.dry_run(id, &user, entry, words);
    let out = &mut engine.sessions.clients[id].out;
    match may {
        Ok(()) => out.ok(),
        Err(reason) => out.bulk(reason),
    }
    Ok(())
}

/// ACL LOAD
pub(crate) fn load(engine: &mut Engine, id: ClientId, _: Args<'_>) -> Done {
    if engine.config.aclfile.is_empty() {
        return Err(NO_FILE);
    }
    engine
        .load_acl_file()
        .map_err(|FileError(text)| error(&text))?;
    engine.take_over_users(Some(id));
    engine.sessions.clients[id].out.ok();
    Ok(())
}

/// ACL SAVE
pub(crate) fn save(engine: &mut Engine, id: ClientId, _: Args<'_>) -> Done {
    if engine.config.aclfile.is_empty() {
        return Err(NO_FILE);
    }
    let text = print_users(&engine.access.users);
    if let Err(reason) = engine.host.write_file(&engine.config.aclfile, &text) {
        tracing::warn!("Writing ACL file for ACL SAVE: {reason}");
        return Err(Error::text(
            "ERR There was an error trying to save the ACLs. Please check the server logs for more information",
        ));
    }
    engine.sessions.clients[id].out.ok();
    Ok(())
}

impl Engine {
    fn load_acl_file(&mut self) -> Result<(), FileError> {
        let path = &self.config.aclfile;
        let text = self.host.read_file(path).map_err(|reason| {
            let before = b"Error loading ACLs, opening file '";
            FileError([before, &**path, b"': ", reason.as_bytes()].concat())
        })?;
        self.access.users.load(path, &text)
    }

    /// At start: makes the users of the configuration, or of the file that it names.
    ///
    /// # Errors
    /// What is wrong with them: the server is not to start.
    pub fn load_users(&mut self) -> Result<(), String> {
        if !self.config.aclfile.is_empty() && !self.config.users.is_empty() {
            return Err(
                "Configuring users in the configuration file and at the same time setting an ACL file path is invalid. This setup is very \
                 likely to lead to configuration errors and security holes, please define either an ACL file or declare users directly in \
                 the configuration file, but not both."
                    .to_owned(),
            );
        }
        let users = self.config.users.clone();
        let mut seen = BTreeSet::new();
        for words in &users {
            let [name, rules @ ..] = &words[..] else {
                continue;
            };
            if !seen.insert(name) {
                return Err(
                    "Duplicate user found. A user can only be defined once in config files"
                        .to_owned(),
                );
            }
            self.make_user(name, rules)?;
        }
        if !self.config.aclfile.is_empty() {
            self.load_acl_file().map_err(|FileError(text)| {
                let text = String::from_utf8_lossy(&text);
                format!("Aborting startup because of ACL errors: {text}")
            })?;
        }
        Ok(())
    }

    /// A `user` directive.
    fn make_user(&mut self, name: &[u8], rules: &[Vec<u8>]) -> Result<(), String> {
        let shown = String::from_utf8_lossy(name);
        let mut all: Vec<&[u8]> = vec![b"reset"];
        all.extend(rules.iter().map(Vec::as_slice));
        self.access
            .users
            .set(name, &all)
            .map_err(|wrong| match wrong {
                SetError::BadName => "Spaces not allowed in ACL usernames".to_owned(),
                SetError::Unmatched(_) => String::from_utf8_lossy(&wrong.message()).into_owned(),
                SetError::Rule(rule, reason) => {
                    let rule = secretless(&rule);
                    format!(
                        "Error loading ACL rule '{rule}' for the user named '{shown}': {reason}"
                    )
                }
            })?;
        let user = self.access.users.get(name);
        if user.is_some_and(|user| !user.is_enabled()) {
            tracing::info!(
                "The user '{shown}' is disabled (there is no 'on' modifier in the user description). Make sure this is not a configuration error."
            );
        }
        Ok(())
    }

    /// The lines that CONFIG REWRITE wants for the users; none where they are in a file of their own.
    pub(crate) fn user_lines(&self) -> Vec<Vec<u8>> {
        if !self.config.aclfile.is_empty() {
            return Vec::new();
        }
        let users = self.access.users.iter();
        users.map(|user| line_of(Rc::as_ref(user))).collect()
    }
}

/// A rule for the log, without its password.
fn secretless(rule: &[u8]) -> Cow<'_, str> {
    match rule {
        [sign @ (b'>' | b'<'), ..] => Cow::Owned(format!("{}(redacted)", char::from(*sign))),
        _ => String::from_utf8_lossy(rule),
    }
}
