//! sentinel.conf: what it holds, as types. [`parse`] reads it, [`rewrite`] writes the state back into it. The grammar,
//! and the directives that a sentinel shares with a server, are those of `conf`.

pub mod parse;
pub mod rewrite;

use std::collections::BTreeMap;
use std::sync::Arc;

use conf::ServerConfig;
pub use parse::{File, Host};
pub use rewrite::Snapshot;

use crate::Addr;
use crate::timing;

/// What the process was started with. [`Globals`] and the log level can change while it runs.
#[derive(Clone, Debug)]
pub struct Config {
    /// The name by which other sentinels know this one: 40 hexadecimal digits, kept across restarts.
    pub myid: String,
    /// The directives that a sentinel shares with a server. It listens on their port.
    pub server: Arc<ServerConfig>,
    /// The statements that are not of one master.
    pub globals: Globals,
    /// What INFO tells of the process.
    pub facts: Facts,
    /// What the core asks the world itself.
    pub world: World,
}

/// What the core asks the world itself, because a command must be answered at once. Errors are the system's words.
#[derive(Clone, Copy, Debug)]
pub struct World {
    /// Whether a path names a program that may be started: `SENTINEL SET` refuses a missing script.
    pub is_executable: fn(&str) -> bool,
    /// The content of the file of users.
    pub read_file: fn(&[u8]) -> Result<Vec<u8>, String>,
    /// Replaces the file of users whole.
    pub write_file: fn(&[u8], &[u8]) -> Result<(), String>,
    /// Fills memory with bytes that nobody can guess.
    pub fill_random: fn(&mut [u8]) -> Result<(), String>,
}

/// The `sentinel …` statements that are not of one master.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Globals {
    /// The address to tell other sentinels, where the socket's own is not reachable for them.
    pub announce_ip: Option<String>,
    /// The port to tell other sentinels, where the one listened on is not reachable for them.
    pub announce_port: Option<u16>,
    /// Whom to be for other sentinels.
    pub sentinel_user: Option<Vec<u8>>,
    /// The password for other sentinels.
    pub sentinel_pass: Option<Vec<u8>>,
    /// Whether host names may stand for addresses.
    pub resolve_hostnames: bool,
    /// Whether clients and other sentinels are told host names, where there are any.
    pub announce_hostnames: bool,
    /// Whether SENTINEL SET refuses to change scripts.
    pub deny_scripts_reconfig: bool,
    /// Whether a vote is given although it could not be written to disk.
    pub vote_without_disk: bool,
}

impl Default for Globals {
    fn default() -> Self {
        Self {
            announce_ip: None,
            announce_port: None,
            sentinel_user: None,
            sentinel_pass: None,
            resolve_hostnames: false,
            announce_hostnames: false,
            deny_scripts_reconfig: true,
            vote_without_disk: true,
        }
    }
}

/// What the INFO command reports of the program and its machine.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Lines `name:value` between `redis_version` and `process_id`.
    pub build: Vec<(&'static str, String)>,
    /// The process id.
    pub process_id: u32,
    /// This process: 40 hexadecimal digits, new at each start.
    pub run_id: String,
    /// The program's path.
    pub executable: String,
    /// The absolute path of the configuration file.
    pub config_file: String,
    /// The processor time that was used so far.
    pub cpu: Option<fn() -> CpuUsed>,
}

/// Processor time, microseconds.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuTime {
    /// In the kernel.
    pub kernel_us: u64,
    /// Outside of it.
    pub user_us: u64,
}

/// Who used how much processor time.
#[derive(Clone, Copy, Debug, Default)]
pub struct CpuUsed {
    /// This process.
    pub process: CpuTime,
    /// The scripts that have ended.
    pub children: CpuTime,
    /// The thread that serves.
    pub main_thread: CpuTime,
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
    /// The user that the password is of; none is the default user.
    pub auth_user: Option<Vec<u8>>,
    /// How long a master that restarted may load before it counts as down, in milliseconds; 0 is without an end.
    pub reboot_down_after_ms: u64,
    /// A master that takes longer than this for most of its answers is saturated, in milliseconds; 0 is never.
    pub saturation_threshold_ms: u64,
    /// Whether a saturated master hands over to a slave that is not.
    pub saturation_failover: bool,
    /// Commands that the master and its slaves know by another name: the usual name in lower case, and theirs.
    pub renamed: BTreeMap<String, String>,
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
            auth_user: None,
            reboot_down_after_ms: 0,
            saturation_threshold_ms: 0,
            saturation_failover: false,
            renamed: BTreeMap::new(),
        }
    }
}

/// The highest epoch there can be: epochs travel as signed integers in replies.
pub(crate) const MAX_EPOCH: u64 = i64::MAX.unsigned_abs();

/// A run id as Redis makes them.
pub(crate) fn is_runid(text: &str) -> bool {
    text.len() == 40 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
