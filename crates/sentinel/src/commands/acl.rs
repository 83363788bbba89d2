//! ACL: the users of this sentinel, as `acl::command` answers it.

use std::rc::Rc;

use acl::command::{self, NO_FILE, NOT_SAVED};
use acl::{FileError, print_users};
use commands::Error;

use super::help;
use super::table::CATALOG;
use crate::Monitor;
use crate::io::{ClientId, Level, Reply};

impl Monitor {
    /// Runs a subcommand; `request` are all its words. `None` when the reply was queued already.
    pub(super) fn acl(&mut self, client: ClientId, sub: &str, request: &[&[u8]]) -> Option<Reply> {
        let mut out = resp::Reply::speaking(self.cx.sessions.protocol(client));
        let done = match sub {
            "whoami" => {
                let session = self.cx.sessions.get(client)?;
                return Some(Reply::bulk(session.user.name()));
            }
            "help" => return Some(acl_help()),
            "setuser" | "deluser" | "load" => return self.change_users(client, sub, request),
            "save" => return Some(self.save_users()),
            "users" => {
                command::users(&self.cx.access.users, &mut out);
                Ok(())
            }
            "list" => {
                command::list(&self.cx.access.users, &mut out);
                Ok(())
            }
            "getuser" => {
                command::getuser(&self.cx.access.users, request, &mut out);
                Ok(())
            }
            "cat" => command::cat(&self.cx.access.users, request, &mut out),
            "genpass" => command::genpass(request, self.cx.config.world.fill_random, &mut out),
            "log" => {
                let now_ms = self.cx.now.unix_ms;
                command::log(&mut self.cx.access.log, request, now_ms, &mut out)
            }
            _ => self.acl_dryrun(request, &mut out),
        };
        Some(match done {
            Ok(()) => Reply::Encoded(out.into_vec()),
            Err(error) => refusal(&error),
        })
    }

    /// SETUSER, DELUSER, LOAD. Who changed its own user so that it has to go gets the reply first.
    fn change_users(&mut self, client: ClientId, sub: &str, request: &[&[u8]]) -> Option<Reply> {
        let users = &mut self.cx.access.users;
        let done = match sub {
            "setuser" => command::setuser(users, request).map(|()| Reply::ok()),
            "deluser" => command::deluser(users, request)
                .map(|count| Reply::Integer(i64::try_from(count).unwrap_or(i64::MAX))),
            _ => self.load_user_file().map(|()| Reply::ok()),
        };
        let reply = match done {
            Ok(reply) => reply,
            Err(error) => return Some(refusal(&error)),
        };
        if !self.take_over_users(client) {
            return Some(reply);
        }
        self.reply(client, reply);
        self.disconnect_client(client);
        None
    }

    fn load_user_file(&mut self) -> Result<(), Error> {
        let (config, access) = (&self.cx.config, &mut self.cx.access);
        let path = &config.server.aclfile;
        if path.is_empty() {
            return Err(NO_FILE);
        }
        access
            .users
            .load_file(path, config.world.read_file)
            .map_err(|FileError(text)| command::error(&text))
    }

    fn save_users(&mut self) -> Reply {
        let path = &self.cx.config.server.aclfile;
        if path.is_empty() {
            return refusal(&NO_FILE);
        }
        let text = print_users(&self.cx.access.users);
        let Err(reason) = (self.cx.config.world.write_file)(path, &text) else {
            return Reply::ok();
        };
        let line = format!("Writing ACL file for ACL SAVE: {reason}");
        self.cx.log(Level::Warning, line);
        refusal(&NOT_SAVED)
    }

    fn acl_dryrun(&mut self, request: &[&[u8]], out: &mut resp::Reply) -> commands::Done {
        let find = |words: &[&[u8]]| {
            let name = String::from_utf8_lossy(words[0]).to_ascii_lowercase();
            let row = super::resolve(self.lookup(&name)?, words.get(1).copied())?;
            CATALOG.find(row.facts.name.as_bytes())
        };
        let (user, command) = command::dryrun(&self.cx.access.users, request, find)?;
        let user = Rc::clone(user);
        match self.dry_run(&user, command, &request[3..]) {
            Ok(()) => out.ok(),
            Err(reason) => out.bulk(reason),
        }
        Ok(())
    }
}

fn refusal(error: &Error) -> Reply {
    Reply::Error(String::from_utf8_lossy(&error.line()).into_owned())
}

fn acl_help() -> Reply {
    help(
        "ACL",
        &[
            (
                "CAT [<category>]",
                "Return the categories, or the commands of one.",
            ),
            (
                "DELUSER <username> [<username> ...]",
                "Delete users and close their connections.",
            ),
            (
                "DRYRUN <username> <command> [<arg> ...]",
                "Return whether a user may run a command, without running it.",
            ),
            ("GENPASS [<bits>]", "Return a random password."),
            ("GETUSER <username>", "Return the rules of a user."),
            ("LIST", "Return all users as lines of a configuration."),
            ("LOAD", "Read the users from the ACL file again."),
            (
                "LOG [<count> | RESET]",
                "Return what was refused lately, or forget it.",
            ),
            ("SAVE", "Write the users to the ACL file."),
            (
                "SETUSER <username> [<rule> ...]",
                "Create a user or change its rules.",
            ),
            ("USERS", "Return the names of all users."),
            ("WHOAMI", "Return the user of this connection."),
        ],
    )
}
