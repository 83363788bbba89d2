//! The periods, timeouts and limits of the protocol, in milliseconds unless the name says otherwise. They are those
//! of Redis 3.0.7; what the configuration file can change has its default here.

/// How often INFO is asked while nothing happens.
pub(crate) const INFO_PERIOD: u64 = 10_000;
/// How often INFO is asked from the slaves of a master that is down or being failed over.
pub(crate) const INFO_PERIOD_FAILOVER: u64 = 1_000;
/// How often an instance is pinged (or at `down-after-milliseconds`, where that is shorter).
pub(crate) const PING_PERIOD: u64 = 1_000;
/// How often other sentinels are asked whether the master is down.
pub(crate) const ASK_PERIOD: u64 = 1_000;
/// How often a hello message goes out to each instance.
pub(crate) const HELLO_PERIOD: u64 = 2_000;
/// A gap between two ticks that means: the process was frozen, or the clock was set.
pub(crate) const TILT_TRIGGER: u64 = 2_000;
/// How long TILT lasts.
pub(crate) const TILT_PERIOD: u64 = PING_PERIOD * 30;
/// A slave that has not followed SLAVEOF for this long counts as reconfigured, so that the failover can go on.
pub(crate) const SLAVE_RECONF_TIMEOUT: u64 = 10_000;
/// A link younger than this is not dropped for being quiet.
pub(crate) const MIN_LINK_RECONNECT_PERIOD: u64 = 15_000;
/// The longest an election may take (or `failover-timeout`, where that is shorter).
pub(crate) const ELECTION_TIMEOUT: u64 = 10_000;
/// The random delay that keeps sentinels from asking for votes at the same moment.
pub(crate) const MAX_DESYNC: u64 = 1_000;
/// How long a replied-to "is the master down" stays true.
pub(crate) const DOWN_REPLY_VALIDITY: u64 = ASK_PERIOD * 5;
/// How often a configuration that could not be saved is tried again.
pub(crate) const SAVE_RETRY_PERIOD: u64 = 1_000;

/// Ticks per second: a random value from this one up to, but not including, twice this one.
pub(crate) const MIN_HZ: u64 = 10;
/// Commands that may wait for their reply on an instance's links before periodic ones are withheld.
pub(crate) const MAX_PENDING_COMMANDS: usize = 100;
/// Slaves, and other sentinels, remembered per master. Redis has no such bound; without one, whoever can publish to a
/// master or answer INFO in its place makes every sentinel open sockets without end.
pub(crate) const MAX_KNOWN_PER_MASTER: usize = 1_024;

/// `down-after-milliseconds` when not configured.
pub(crate) const DEFAULT_DOWN_AFTER: u64 = 30_000;
/// `failover-timeout` when not configured.
pub(crate) const DEFAULT_FAILOVER_TIMEOUT: u64 = 180_000;
/// `parallel-syncs` when not configured.
pub(crate) const DEFAULT_PARALLEL_SYNCS: i64 = 1;
/// A slave's priority until its INFO tells.
pub(crate) const DEFAULT_SLAVE_PRIORITY: i64 = 100;

/// Scripts that may wait in the queue.
pub(crate) const SCRIPT_MAX_QUEUE: usize = 256;
/// Scripts that may run at the same time.
pub(crate) const SCRIPT_MAX_RUNNING: usize = 16;
/// A script that runs longer is killed.
pub(crate) const SCRIPT_MAX_RUNTIME: u64 = 60_000;
/// Times a script is started before it is given up.
pub(crate) const SCRIPT_MAX_RETRY: u32 = 10;
/// The delay before the first retry; it doubles with each further one.
pub(crate) const SCRIPT_RETRY_DELAY: u64 = 30_000;
