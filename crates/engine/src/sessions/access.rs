//! Who may do what, as it is kept. The gates are in `access.rs`.

use std::sync::Arc;

use acl::{Catalog, Log, Users};
use commands::table::Key;
use conf::{PubsubDefault, ServerConfig};

/// Who may do what. It knows no data and no files.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) users: Users,
    pub(crate) log: Log,
    /// Memory for the keys of the request that is looked at.
    pub(crate) keys: Vec<Key>,
}

impl Access {
    /// `catalog` holds all commands, each at the place that its number says.
    pub(crate) fn new(config: &ServerConfig, catalog: Arc<Catalog>) -> Self {
        let mut users = Users::new(Arc::clone(&catalog), all_channels(config));
        if let Some(password) = &config.requirepass {
            users.set_default_password(Some(password));
        }
        Self {
            catalog,
            users,
            log: Log::default(),
            keys: Vec::new(),
        }
    }

    /// Whether nobody has to log in.
    #[inline]
    pub(crate) fn is_open(&self) -> bool {
        let user = self.users.default_user();
        user.needs_no_password() && user.is_enabled()
    }
}

/// Whether new users may use all channels.
pub(crate) fn all_channels(config: &ServerConfig) -> bool {
    config.acl_pubsub_default == PubsubDefault::AllChannels
}
