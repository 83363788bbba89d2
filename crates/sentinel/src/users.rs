//! Users, and what they were refused. The gates are in `access.rs`.

use std::sync::Arc;

use acl::{Denials, Log, Users, command};
use commands::table::Key;
use conf::{PubsubDefault, ServerConfig};

use crate::commands::table::CATALOG;

/// Users, and what they were refused.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) users: Users,
    pub(crate) log: Log,
    pub(crate) denials: Denials,
    /// Memory for the keys of the request that is looked at. No command has any.
    pub(crate) keys: Vec<Key>,
}

impl Access {
    pub(crate) fn new(config: &ServerConfig) -> Self {
        Self {
            users: users_of(config),
            log: Log::default(),
            denials: Denials::default(),
            keys: Vec::new(),
        }
    }

    /// Whether nobody has to log in.
    pub(crate) fn is_open(&self) -> bool {
        let user = self.users.default_user();
        user.needs_no_password() && user.is_enabled()
    }

    /// The users as lines of a configuration; none where they have a file of their own, or follow from the rest of the configuration.
    pub(crate) fn lines(&self, config: &ServerConfig) -> Vec<Vec<u8>> {
        let lines = |users: &Users| users.iter().map(|user| command::line_of(user)).collect();
        let own: Vec<Vec<u8>> = lines(&self.users);
        if config.aclfile.is_empty() && own != lines(&users_of(config)) {
            own
        } else {
            Vec::new()
        }
    }
}

/// The users that there are before any is declared.
pub(crate) fn users_of(config: &ServerConfig) -> Users {
    let all_channels = config.acl_pubsub_default == PubsubDefault::AllChannels;
    let mut users = Users::new(Arc::clone(&CATALOG), all_channels);
    if let Some(password) = &config.requirepass {
        users.set_default_password(Some(password));
    }
    users
}
