//! sentinel.conf: what it holds, as types. [`parse`] reads it, [`rewrite`] writes the state back into it. The grammar,
//! and the directives that a sentinel shares with a server, are those of `conf`.

pub mod parse;
pub mod rewrite;

use std::sync::Arc;

use conf::ServerConfig;

use crate::Addr;
use crate::timing;

pub use parse::{File, Host};
pub use rewrite::Snapshot;

/// What is fixed while the process runs.
#[derive(Clone, Debug)]
pub struct Config {
    /// This process's run id: 40 hexadecimal digits, new at each start.
    pub runid: String,
    /// The directives that a sentinel shares with a server. It listens on their port.
    pub server: Arc<ServerConfig>,
    /// The address to tell other sentinels, where the socket's own is not reachable for them.
    pub announce_ip: Option<String>,
    /// The port to tell other sentinels, where the one listened on is not reachable for them.
    pub announce_port: Option<u16>,
    /// What INFO tells of the process.
    pub facts: Facts,
    /// Whether a path names a program that may be started. The one question that the core asks the world itself,
    /// because `SENTINEL SET` must refuse a missing script at once.
    pub is_executable: fn(&str) -> bool,
}

/// What the INFO command reports of the program and its machine.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Lines `name:value` between `redis_version` and `process_id`.
    pub build: Vec<(&'static str, String)>,
    /// The process id.
    pub process_id: u32,
    /// The absolute path of the configuration file.
    pub config_file: String,
}

/// What is remembered across restarts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// The highest epoch seen.
    pub current_epoch: u64,
    /// The monitored masters, in the order of the file.
    pub masters: Vec<SavedMaster>,
}

/// One `sentinel monitor` and what belongs to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SavedMaster {
    /// The name by which everybody calls this master.
    pub name: String,
    /// Its address.
    pub addr: Addr,
    /// How it is watched.
    pub options: Options,
    /// The epoch of the configuration (who is master) that is known.
    pub config_epoch: u64,
    /// The epoch of the last vote given for this master. No second vote is given in it.
    pub leader_epoch: u64,
    /// Slaves seen.
    pub slaves: Vec<Addr>,
    /// Other sentinels seen, with their run ids where known.
    pub sentinels: Vec<(Addr, Option<String>)>,
}

/// What SENTINEL SET can change of a master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Sentinels that must agree that the master is down.
    pub quorum: u32,
    /// Silence after which an instance is down, in milliseconds.
    pub down_after_ms: u64,
    /// How long a step of a failover may take, and half of the pause between two, in milliseconds.
    pub failover_timeout_ms: u64,
    /// Slaves that are pointed to the new master at the same time.
    pub parallel_syncs: i64,
    /// Started with `event text` at every warning.
    pub notification_script: Option<String>,
    /// Started when clients must be told of a new master.
    pub client_reconfig_script: Option<String>,
    /// Password of the master and its slaves.
    pub auth_pass: Option<Vec<u8>>,
}

impl Options {
    /// The defaults, with the given quorum.
    #[must_use]
    pub const fn new(quorum: u32) -> Self {
        Self {
            quorum,
            down_after_ms: timing::DEFAULT_DOWN_AFTER,
            failover_timeout_ms: timing::DEFAULT_FAILOVER_TIMEOUT,
            parallel_syncs: timing::DEFAULT_PARALLEL_SYNCS,
            notification_script: None,
            client_reconfig_script: None,
            auth_pass: None,
        }
    }
}

/// The highest epoch there can be: epochs travel as signed integers in replies.
pub(crate) const MAX_EPOCH: u64 = i64::MAX.unsigned_abs();
