//! ACL: users as operators make, see and keep them, as `acl::command` answers it; and the users that a server starts with.

use std::rc::Rc;

use acl::command::{NO_FILE, NOT_SAVED, error};
use acl::{FileError, print_users};
use commands::{Args, Done};

use crate::{ClientId, Engine, entry};

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
    acl::command::users(&engine.access.users, &mut engine.sessions.clients[id].out);
    Ok(())
}

/// ACL LIST
pub(crate) fn list(engine: &mut Engine, id: ClientId, _: Args<'_>) -> Done {
    acl::command::list(&engine.access.users, &mut engine.sessions.clients[id].out);
    Ok(())
}

/// ACL GETUSER name
pub(crate) fn getuser(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let out = &mut engine.sessions.clients[id].out;
    acl::command::getuser(&engine.access.users, args, out);
    Ok(())
}

/// ACL SETUSER name [rule …]
pub(crate) fn setuser(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    acl::command::setuser(&mut engine.access.users, args)?;
    engine.take_over_users(Some(id));
    engine.sessions.clients[id].out.ok();
    Ok(())
}

/// ACL DELUSER name …
pub(crate) fn deluser(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let removed = acl::command::deluser(&mut engine.access.users, args)?;
    engine.take_over_users(Some(id));
    engine.sessions.clients[id].out.count(removed);
    Ok(())
}

/// ACL CAT [category]
pub(crate) fn cat(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let out = &mut engine.sessions.clients[id].out;
    acl::command::cat(&engine.access.users, args, out)
}

/// ACL GENPASS [bits]
pub(crate) fn genpass(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let out = &mut engine.sessions.clients[id].out;
    acl::command::genpass(args, |bytes| engine.host.fill_random(bytes), out)
}

/// ACL LOG [count | RESET]
pub(crate) fn log(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let out = &mut engine.sessions.clients[id].out;
    acl::command::log(&mut engine.access.log, args, engine.now.unix_ms(), out)
}

/// ACL DRYRUN name command …
pub(crate) fn dryrun(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let find = |words: Args<'_>| {
        let entry = engine.index.find(words[0])?;
        let entry = entry::resolve(entry, words).ok()?;
        Some(entry.number)
    };
    let (user, command) = acl::command::dryrun(&engine.access.users, args, find)?;
    let user = Rc::clone(user);
    let may = engine.dry_run(id, &user, command, &args[3..]);
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
    let read = |path: &[u8]| engine.host.read_file(path);
    let loaded = engine.access.users.load_file(&engine.config.aclfile, read);
    loaded.map_err(|FileError(text)| error(&text))?;
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
        return Err(NOT_SAVED);
    }
    engine.sessions.clients[id].out.ok();
    Ok(())
}

impl Engine {
    /// At start: makes the users of the configuration, or of the file that it names.
    ///
    /// # Errors
    /// What is wrong with them: the server is not to start.
    pub fn load_users(&mut self) -> Result<(), String> {
        let read = |path: &[u8]| self.host.read_file(path);
        let users = &mut self.access.users;
        for note in users.start(&self.config.users, &self.config.aclfile, read)? {
            tracing::info!("{note}");
        }
        let default = users.default_user();
        if let Some(password) = &self.config.requirepass
            && (default.needs_no_password() || !default.accepts(password))
        {
            let counts = if default.needs_no_password() {
                "lets everybody in WITHOUT a password"
            } else {
                "counts"
            };
            tracing::warn!(
                "WARNING requirepass has no effect: the line of the user default, in the configuration file or in aclfile, {counts}. \
                 Change it with CONFIG SET requirepass and CONFIG REWRITE or ACL SAVE."
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
        users.map(|user| acl::command::line_of(user)).collect()
    }
}
