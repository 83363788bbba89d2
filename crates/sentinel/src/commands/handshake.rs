//! How a connection begins: HELLO and AUTH, and RESET, which begins anew.

use std::rc::Rc;

use resp::Protocol;
use resp::number::parse_integer;

use super::sessions::is_client_name;
use crate::Monitor;
use crate::io::{ClientId, Reply};

/// The user of who has not logged in.
const DEFAULT_USER: &[u8] = b"default";

/// What HELLO asks for beside a protocol.
#[derive(Default)]
struct Wishes<'a> {
    auth: Option<(&'a [u8], &'a [u8])>,
    name: Option<&'a [u8]>,
}

impl<'a> Wishes<'a> {
    fn read(mut args: &'a [Vec<u8>]) -> Result<Self, Reply> {
        let mut wishes = Self::default();
        while let Some((option, rest)) = args.split_first() {
            let is = |name: &str| option.eq_ignore_ascii_case(name.as_bytes());
            args = match rest {
                [user, password, rest @ ..] if is("auth") => {
                    wishes.auth = Some((user, password));
                    rest
                }
                [name, rest @ ..] if is("setname") => {
                    if !is_client_name(name) {
                        return Err(Reply::err(
                            "Client names cannot contain spaces, newlines or special characters.",
                        ));
                    }
                    wishes.name = Some(name);
                    rest
                }
                _ => {
                    let option = String::from_utf8_lossy(option);
                    return Err(Reply::err(format!(
                        "Syntax error in HELLO option '{option}'"
                    )));
                }
            };
        }
        Ok(wishes)
    }
}

impl Monitor {
    /// `HELLO [2|3 [AUTH user password] [SETNAME name]]`: either all of it takes effect or nothing.
    pub(super) fn hello_command(&mut self, client: ClientId, request: &[Vec<u8>]) -> Reply {
        let args = &request[1..];
        let protocol = match args.first().map(|version| parse_integer(version)) {
            None => None,
            Some(Some(2)) => Some(Protocol::Resp2),
            Some(Some(3)) => Some(Protocol::Resp3),
            Some(Some(_)) => {
                return Reply::Error("NOPROTO unsupported protocol version".to_owned());
            }
            Some(None) => {
                return Reply::err("Protocol version is not an integer or out of range");
            }
        };
        let wishes = match Wishes::read(args.get(1..).unwrap_or_default()) {
            Ok(wishes) => wishes,
            Err(error) => return error,
        };
        if let Some((user, password)) = wishes.auth
            && !self.authenticate(client, user, password, &request[0])
        {
            return wrong_password();
        }
        if self.needs_auth(client) {
            return Reply::Error(
                "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH \
                 <user> <pass> option can be used to authenticate the client and select the RESP protocol version at \
                 the same time"
                    .to_owned(),
            );
        }
        if let Some(session) = self.cx.sessions.get_mut(client) {
            if let Some(name) = wishes.name {
                session.name = String::from_utf8_lossy(name).into_owned();
            }
            session.protocol = protocol.unwrap_or(session.protocol);
        }
        self.greeting(client)
    }

    fn greeting(&self, client: ClientId) -> Reply {
        let version = match self.cx.sessions.protocol(client) {
            Protocol::Resp2 => 2,
            Protocol::Resp3 => 3,
        };
        let id = i64::try_from(client.0).unwrap_or(i64::MAX);
        let fields = [
            ("server", Reply::bulk("redis")),
            ("version", Reply::bulk(resp::REDIS_VERSION)),
            ("proto", Reply::Integer(version)),
            ("id", Reply::Integer(id)),
            ("mode", Reply::bulk("sentinel")),
            ("modules", Reply::Array(Vec::new())),
        ];
        let fields = fields.map(|(name, value)| (Reply::bulk(name), value));
        Reply::Map(fields.to_vec())
    }

    /// `AUTH [user] password`
    pub(super) fn auth(&mut self, client: ClientId, request: &[Vec<u8>]) -> Reply {
        let (user, password) = match &request[1..] {
            [password] => {
                if self.cx.access.users.default_user().needs_no_password() {
                    return Reply::err(
                        "AUTH <password> called without any password configured for the default user. Are you sure \
                         your configuration is correct?",
                    );
                }
                (DEFAULT_USER, password)
            }
            [user, password] => (&user[..], password),
            _ => return Reply::err("syntax error"),
        };
        if self.authenticate(client, user, password, &request[0]) {
            Reply::ok()
        } else {
            wrong_password()
        }
    }

    /// RESET: a connection as it was when it was opened.
    pub(super) fn reset_connection(&mut self, client: ClientId) -> Reply {
        let default = Rc::clone(self.cx.access.users.default_user());
        let open = self.cx.access.is_open();
        if let Some(session) = self.cx.sessions.get_mut(client) {
            session.reset(default, open);
        }
        Reply::Status("RESET".to_owned())
    }
}

fn wrong_password() -> Reply {
    Reply::Error("WRONGPASS invalid username-password pair or user is disabled.".to_owned())
}
