//! ACL: the users of this sentinel. There is one, and what it may do cannot be narrowed.

use super::handshake::DEFAULT_USER;
use crate::Monitor;
use crate::io::{ClientId, Reply};

impl Monitor {
    pub(super) fn acl(&self, client: ClientId, sub: &str, _args: &[Vec<u8>]) -> Reply {
        let user = self
            .cx
            .sessions
            .get(client)
            .map_or(DEFAULT_USER, |session| &session.user);
        match sub {
            "whoami" => Reply::bulk(user),
            "users" => Reply::Array(vec![Reply::bulk(DEFAULT_USER)]),
            _ => Reply::err("This sentinel has no users of its own yet"),
        }
    }
}
