//! The room of access control: who may do what. Here are the gates of authentication and permission, and what follows when users change;
//! the rules themselves are the crate `acl`, the commands are in `acl_command.rs`.
//!
//! A client holds its user. A user is never changed in place: when there is another one of its name, the clients take that over.

use std::rc::Rc;
use std::sync::Arc;

use acl::{Catalog, Context, Denial, Event, Reason, Request, User};
use commands::{Args, Error, args};
use conf::TlsAuthClientsUser;

use crate::entry::Entry;
use crate::sessions::access::Access;
use crate::sessions::client::{Client, Subscriptions};
use crate::{ClientId, Engine};

const WRONG_PASSWORD: Error =
    Error::text("WRONGPASS invalid username-password pair or user is disabled.");

impl Engine {
    // ---- who a client is -------------------------------------------------------------------------------------------------

    /// A client that has just come, or RESET: the default user, and logged in if that needs no password.
    pub(crate) fn set_default_user(&mut self, id: ClientId) {
        let user = Rc::clone(self.access.users.default_user());
        let open = self.access.is_open();
        self.sessions.clients[id].set_user(Some(user), open);
    }

    /// Whether the default user has a password, wherever that comes from: who names no user needs it.
    #[must_use]
    pub fn needs_password(&self) -> bool {
        !self.access.users.default_user().needs_no_password()
    }

    /// Whether a client has still to log in.
    #[inline]
    pub(crate) fn lacks_password(&self, id: ClientId) -> bool {
        !self.sessions.clients[id].flags.authenticated && !self.access.is_open()
    }

    /// Logs a client in. `args` is its request.
    pub(crate) fn authenticate(
        &mut self,
        id: ClientId,
        name: &[u8],
        password: &[u8],
        args: Args<'_>,
    ) -> Result<(), Error> {
        match self.access.users.login(name, password).cloned() {
            Some(user) => {
                self.sessions.clients[id].set_user(Some(user), true);
                Ok(())
            }
            None => {
                let context = self.context_of(id);
                self.note_refusal_of(id, name, Reason::Auth, args[0], context);
                Err(WRONG_PASSWORD)
            }
        }
    }

    /// Logs in a client that has just come as the first user that its certificate names (`tls-auth-clients-user`), if there is one.
    pub(crate) fn identify(&mut self, id: ClientId) {
        let Some(shown) = self.sessions.clients[id].peer.certificate.take() else {
            return;
        };
        let names = match self.config.tls_auth_clients_user {
            TlsAuthClientsUser::CommonName => shown.common_name.into_iter().collect(),
            TlsAuthClientsUser::Uri => shown.uris,
            TlsAuthClientsUser::Off => return,
        };
        let users = &self.access.users;
        let mut known = names.iter().filter_map(|name| users.get(name));
        if let Some(user) = known.find(|user| user.is_enabled()).cloned() {
            self.sessions.clients[id].set_user(Some(user), true);
        } else if let Some(name) = names.last() {
            self.note_refusal_of(id, name, Reason::Certificate, b"", Context::TopLevel);
        }
    }

    // ---- what it may do --------------------------------------------------------------------------------------------------

    /// The gate of permission before a client's request.
    ///
    /// # Errors
    /// Its user may not do that.
    #[inline]
    pub(crate) fn gate_access(
        &mut self,
        id: ClientId,
        entry: Entry,
        args: Args<'_>,
    ) -> Result<(), Error> {
        self.may_run(id, entry, args).map_err(|denial| {
            let context = self.context_of(id);
            let text = self.note_denial(id, entry, args, denial, context);
            Error::Quoting([b"NOPERM ", &*text].concat().into())
        })
    }

    /// The gate of permission between a script and a command; `id` is the client that runs the script's commands.
    pub(crate) fn gate_access_of_script(
        &mut self,
        id: ClientId,
        entry: Entry,
        args: Args<'_>,
    ) -> Result<(), Error> {
        self.may_run(id, entry, args).map_err(|denial| {
            let text = self.note_denial(id, entry, args, denial, Context::Lua);
            Error::Quoting([b"ERR ACL failure in script: ", &*text].concat().into())
        })
    }

    /// The gate of permission before a queued command: what was allowed then may not be any more.
    pub(crate) fn gate_access_of_queued(
        &mut self,
        id: ClientId,
        entry: Entry,
        args: Args<'_>,
    ) -> Result<(), Error> {
        self.may_run(id, entry, args).map_err(|denial| {
            self.note_denial(id, entry, args, denial, Context::Multi);
            let reason = match denial.reason {
                Reason::Command => "no permission to execute the command or subcommand",
                Reason::Key => "no permission to touch the specified keys",
                Reason::Channel => "no permission to access one of the channels used as arguments",
                Reason::Database | Reason::Auth | Reason::Certificate => "no permission",
            };
            Error::owned(format!(
                "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. \
                 This command is no longer allowed for the following reason: {reason}"
            ))
        })
    }

    /// The gate before what reads keys that it does not name: the options BY and GET of SORT.
    pub(crate) fn gate_patterns(
        &mut self,
        id: ClientId,
        entry: Entry,
        args: Args<'_>,
    ) -> Result<(), Error> {
        let client = &self.sessions.clients[id];
        let Some(user) = client.user.as_ref().filter(|_| client.flags.restricted) else {
            return Ok(());
        };
        let (db, databases) = (client.db, self.shard.keyspace.databases());
        let Access { users, keys, .. } = &mut self.access;
        let request = request(users.catalog(), entry, args, db, databases);
        if user.reads_all_keys(&request, keys) {
            return Ok(());
        }
        // Only words behind what is an option are patterns.
        let mut at = 2;
        while at < args.len() {
            let pattern = args.get(at + 1);
            if args::is(args[at], "LIMIT") {
                at += 2;
            } else if args::is(args[at], "STORE") {
                at += 1;
            } else if let Some(pattern) = pattern
                && args::is(args[at], "BY")
            {
                if pattern.contains(&b'*') {
                    return Err(refused_option("BY"));
                }
                at += 1;
            } else if pattern.is_some() && args::is(args[at], "GET") {
                return Err(refused_option("GET"));
            }
            at += 1;
        }
        Ok(())
    }

    /// Whether this client's user may run a command.
    ///
    /// # Errors
    /// Why not.
    #[inline]
    pub(crate) fn may_run(
        &mut self,
        id: ClientId,
        entry: Entry,
        args: Args<'_>,
    ) -> Result<(), Denial> {
        let client = &self.sessions.clients[id];
        let Some(user) = client.user.as_ref().filter(|_| client.flags.restricted) else {
            return Ok(());
        };
        let Access { users, keys, .. } = &mut self.access;
        let plainly = user.plainly_may(users.catalog(), entry.number, args);
        if plainly && !cfg!(debug_assertions) {
            return Ok(());
        }
        let databases = self.shard.keyspace.databases();
        let checked = user.check(
            &request(users.catalog(), entry, args, database_of(client), databases),
            keys,
        );
        debug_assert!(!plainly || checked.is_ok(), "{:?}", entry.command);
        checked
    }

    /// Whether a user may run a command in the database of client `id`, as ACL DRYRUN asks; if not, the words to tell it.
    pub(crate) fn dry_run(
        &mut self,
        id: ClientId,
        user: &User,
        command: usize,
        args: Args<'_>,
    ) -> Result<(), Vec<u8>> {
        let Access { users, keys, .. } = &mut self.access;
        let request = Request {
            catalog: users.catalog(),
            command,
            args,
            db: database_of(&self.sessions.clients[id]),
            databases: self.shard.keyspace.databases(),
        };
        user.check(&request, keys)
            .map_err(|denial| denial.full_message(user, &request))
    }

    // ---- what was refused ------------------------------------------------------------------------------------------------

    fn context_of(&self, id: ClientId) -> Context {
        let queued = self.sessions.clients[id].transaction.multi.is_some();
        if queued || self.journal.group.depth > 0 {
            Context::Multi
        } else {
            Context::TopLevel
        }
    }

    /// Notes a refusal; the words for the client.
    #[cold]
    fn note_denial(
        &mut self,
        id: ClientId,
        entry: Entry,
        args: Args<'_>,
        denial: Denial,
        context: Context,
    ) -> Vec<u8> {
        let client = &self.sessions.clients[id];
        let Some(user) = client.user.clone() else {
            return Vec::new();
        };
        let (db, databases) = (client.db, self.shard.keyspace.databases());
        let catalog = Arc::clone(&self.access.catalog);
        let request = request(&catalog, entry, args, db, databases);
        let object = denial.object(&request);
        self.note_refusal_of(id, user.name(), denial.reason, object, context);
        denial.message(&user, &request)
    }

    fn note_refusal_of(
        &mut self,
        id: ClientId,
        user: &[u8],
        reason: Reason,
        object: &[u8],
        context: Context,
    ) {
        self.meter.stats.denials.count(reason);
        let running = self.scripting.running.as_ref();
        let caller = running
            .filter(|_| context == Context::Lua)
            .map(|script| script.caller);
        let event = Event {
            reason,
            context,
            object,
            user,
            client: &self.client_line(caller.unwrap_or(id)),
            now_ms: self.now.unix_ms(),
        };
        let most = usize::try_from(self.config.acllog_max_len).unwrap_or(usize::MAX);
        self.access.log.add(&event, most);
    }

    // ---- when users change -----------------------------------------------------------------------------------------------

    /// Users were changed: their clients are held to what holds now. Who has lost its user, or is subscribed to what it may not hear any
    /// more, is closed; `by` gets its reply first.
    pub(crate) fn take_over_users(&mut self, by: Option<ClientId>) {
        let ids: Vec<ClientId> = self.sessions.clients.iter().map(|(id, _)| id).collect();
        for id in ids {
            let client = &mut self.sessions.clients[id];
            let Some(old) = client.user.clone() else {
                continue;
            };
            let new = self.access.users.get(old.name());
            if new.is_some_and(|new| Rc::ptr_eq(new, &old)) {
                continue;
            }
            if let Some(new) = new.filter(|new| !hears_too_much(client, new, &old)) {
                let authenticated = client.flags.authenticated;
                client.set_user(Some(Rc::clone(new)), authenticated);
            } else {
                let default = Rc::clone(self.access.users.default_user());
                client.set_user(Some(default), false);
                if by == Some(id) {
                    self.close_after_reply(id);
                } else {
                    self.close_now(id);
                }
            }
        }
    }
}

fn refused_option(option: &str) -> Error {
    Error::owned(format!(
        "ERR {option} option of SORT denied due to insufficient ACL permissions."
    ))
}

/// The database in which a client's next command runs: a transaction may have chosen one.
pub(crate) fn database_of(client: &Client) -> usize {
    client
        .transaction
        .multi
        .as_ref()
        .map_or(client.db, |multi| multi.db)
}

fn request<'a>(
    catalog: &'a Catalog,
    entry: Entry,
    args: Args<'a>,
    db: usize,
    databases: usize,
) -> Request<'a> {
    Request {
        catalog,
        command: entry.number,
        args,
        db,
        databases,
    }
}

/// Whether a client is subscribed to what its user, as it is now, may not hear.
fn hears_too_much(client: &Client, new: &User, old: &User) -> bool {
    let Some(all) = client.subscriptions.as_deref() else {
        return false;
    };
    let Some(allowed) = new.narrowed_channels(old) else {
        return false;
    };
    let Subscriptions {
        channels,
        patterns,
        sharded,
    } = all;
    let mut channels = channels.iter().chain(sharded);
    channels.any(|channel| !acl::hears(&allowed, channel, false))
        || patterns
            .iter()
            .any(|pattern| !acl::hears(&allowed, pattern, true))
}
