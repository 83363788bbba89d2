//! Who may do what: users, the gates of authentication and permission, and what follows when users change. The rules themselves are the
//! crate `acl`'s.

use std::net::SocketAddr;
use std::rc::Rc;

use acl::{Context as Where, Event, Reason, Request, User};

use crate::Monitor;
use crate::commands::table::{CATALOG, Row};
use crate::io::{ClientId, Output, Reply};

/// The databases that a rule may name. All are empty.
pub(crate) const DATABASES: usize = 16;

/// Whether a client's address is one of another machine. That of a Unix socket is none.
pub(crate) fn is_far(addr: &str) -> bool {
    let address = addr.parse::<SocketAddr>();
    address.is_ok_and(|address| !address.ip().to_canonical().is_loopback())
}

impl Monitor {
    /// At start: makes the users of the configuration, or of the file that it names. Gives lines for the log.
    ///
    /// # Errors
    /// What is wrong with them: the sentinel is not to start.
    pub fn load_users(&mut self) -> Result<Vec<String>, String> {
        let (config, access) = (&self.cx.config, &mut self.cx.access);
        let read = config.world.read_file;
        access
            .users
            .start(&config.server.users, &config.server.aclfile, read)
    }

    // ---- who a client is -------------------------------------------------------------------------------------------------

    /// Lets a connection act as a user, if the password is right; `word` is the command that asked.
    pub(crate) fn authenticate(
        &mut self,
        client: ClientId,
        user: &[u8],
        password: &[u8],
        word: &[u8],
    ) -> bool {
        let Some(found) = self.cx.access.users.login(user, password).cloned() else {
            self.note_refusal(client, user, Reason::Auth, word);
            return false;
        };
        if let Some(session) = self.cx.sessions.get_mut(client) {
            session.user = found;
            session.authenticated = true;
        }
        true
    }

    /// Whether the default user has a password, wherever that comes from: who names no user needs it.
    #[must_use]
    pub fn needs_password(&self) -> bool {
        !self.cx.access.users.default_user().needs_no_password()
    }

    /// Protected mode: who comes from another machine is told why not, and is no client.
    pub(crate) fn refuse_stranger(&mut self, client: ClientId) {
        self.cx.refused += 1;
        let text = acl::PROTECTED[1..].trim_end();
        self.cx.push_reply(client, Reply::Error(text.to_owned()));
        self.cx.push(Output::Disconnect { client });
    }

    /// Whether a client has to authenticate before anything else.
    pub(crate) fn needs_auth(&self, client: ClientId) -> bool {
        !self.cx.access.is_open() && !self.cx.sessions.is_authenticated(client)
    }

    // ---- what it may do --------------------------------------------------------------------------------------------------

    /// The gate of permission; `request` begins with the command's name.
    pub(crate) fn gate_access(
        &mut self,
        client: ClientId,
        row: &Row,
        request: &[&[u8]],
    ) -> Result<(), Reply> {
        let Some(session) = self.cx.sessions.get(client) else {
            return Ok(());
        };
        let user = Rc::clone(&session.user);
        if user.is_unrestricted() {
            return Ok(());
        }
        let Some(command) = CATALOG.find(row.facts.name.as_bytes()) else {
            return Ok(());
        };
        let request = ask(command, request);
        let Err(denial) = user.check(&request, &mut self.cx.access.keys) else {
            return Ok(());
        };
        let object = denial.object(&request);
        self.note_refusal(client, user.name(), denial.reason, object);
        let text = denial.message(&user, &request);
        Err(Reply::Error(format!(
            "NOPERM {}",
            String::from_utf8_lossy(&text)
        )))
    }

    /// Whether a user may run a command, as ACL DRYRUN asks; if not, the words to tell it.
    pub(crate) fn dry_run(
        &mut self,
        user: &User,
        command: usize,
        request: &[&[u8]],
    ) -> Result<(), Vec<u8>> {
        let request = ask(command, request);
        user.check(&request, &mut self.cx.access.keys)
            .map_err(|denial| denial.full_message(user, &request))
    }

    fn note_refusal(&mut self, client: ClientId, user: &[u8], reason: Reason, object: &[u8]) {
        let now = self.cx.now;
        let session = self.cx.sessions.get(client);
        let line = session.map(|session| session.line(client, now));
        let event = Event {
            reason,
            context: Where::TopLevel,
            object,
            user,
            client: line.as_deref().unwrap_or_default(),
            now_ms: now.unix_ms,
        };
        let most = self.cx.config.server.acllog_max_len;
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        self.cx.access.denials.count(reason);
        self.cx.access.log.add(&event, most);
    }

    // ---- when users change -----------------------------------------------------------------------------------------------

    /// Users were changed: their clients are held to what holds now. Who has lost its user, or is subscribed to what it may not hear any
    /// more, is closed; whether that is to happen to `by`, who is answered first, is told.
    pub(crate) fn take_over_users(&mut self, by: ClientId) -> bool {
        let users = &self.cx.access.users;
        let mut lost = Vec::new();
        for (client, session) in self.cx.sessions.iter_mut() {
            let old = Rc::clone(&session.user);
            match users.get(old.name()) {
                Some(new) if Rc::ptr_eq(new, &old) => {}
                Some(new) if !session.hears_too_much(new, &old) => session.user = Rc::clone(new),
                _ => lost.push(client),
            }
        }
        let own = lost.contains(&by);
        for client in lost.into_iter().filter(|client| *client != by) {
            self.disconnect_client(client);
        }
        own
    }
}

fn ask<'a>(command: usize, args: &'a [&'a [u8]]) -> Request<'a> {
    Request {
        catalog: &CATALOG,
        command,
        args,
        db: 0,
        databases: DATABASES,
    }
}
