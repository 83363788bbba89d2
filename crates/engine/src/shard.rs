//! The room of the data: the keyspace and what data commands work with. It knows no client and no file.

pub(crate) mod evictions;
pub(crate) mod expiry;
pub(crate) mod settings;

use bytes::Bytes;
use commands::{Ctx, Effects, Rng, Settings};
use rdb::Dumper;
use resp::Reply;
use store::Keyspace;

use crate::shard::evictions::EvictionPools;
use crate::shard::expiry::{ExpireCycle, OwnKeys};

/// The data and what data commands work with.
#[derive(Debug)]
pub(crate) struct Shard {
    pub(crate) keyspace: Keyspace,
    /// What data commands see of the configuration.
    pub(crate) settings: Settings,
    pub(crate) effects: Effects,
    pub(crate) rng: Rng,
    /// What payloads are made with, for DUMP and MIGRATE.
    pub(crate) dumper: Dumper,
    pub(crate) evictions: EvictionPools,
    pub(crate) expire: ExpireCycle,
    pub(crate) active_expire: bool,
    pub(crate) own_keys: OwnKeys,
    /// An argument of the request that runs, whose buffer the store may keep: which one, and the buffer.
    pub(crate) big: Option<(usize, Bytes)>,
}

impl Shard {
    pub(crate) fn new(keyspace: Keyspace, seed: u64) -> Self {
        Self {
            keyspace,
            settings: Settings::default(),
            effects: Effects::default(),
            rng: Rng::new(seed),
            dumper: Dumper::new(),
            evictions: EvictionPools::default(),
            expire: ExpireCycle::default(),
            active_expire: true,
            own_keys: OwnKeys::default(),
            big: None,
        }
    }

    /// What a data command works with that a client sends by itself: outside transactions, scripts and what others have done, and without
    /// making it wait.
    #[inline]
    pub(crate) fn context<'a>(&'a mut self, db: usize, reply: &'a mut Reply) -> Ctx<'a> {
        Ctx {
            keyspace: &mut self.keyspace,
            db,
            reply,
            effects: &mut self.effects,
            settings: &self.settings,
            rng: &mut self.rng,
            dumper: &mut self.dumper,
            big: &mut self.big,
            replaying: false,
            may_block: false,
            in_script: false,
        }
    }

    /// Takes what data commands see of the configuration.
    pub(crate) fn configure(&mut self, config: &conf::ServerConfig) {
        let any_checksum = self.settings.trust.any_checksum;
        self.settings = crate::shard::settings::settings(config);
        self.settings.trust.any_checksum = any_checksum;
    }
}
