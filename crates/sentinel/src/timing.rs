//! The periods, timeouts and limits of the protocol, in milliseconds unless the name says otherwise. What the
//! configuration file can change has its default here; what SENTINEL DEBUG can change is in [`Periods`].

/// What SENTINEL DEBUG shows and changes, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Periods {
    /// How often INFO is asked while nothing happens.
    pub(crate) info: u64,
    /// How often an instance is pinged (or at `down-after-milliseconds`, where that is shorter).
    pub(crate) ping: u64,
    /// How often other sentinels are asked whether the master is down.
    pub(crate) ask: u64,
    /// How often a hello message goes out to each instance.
    pub(crate) publish: u64,
    /// `down-after-milliseconds` of a master that is monitored from now on.
    pub(crate) default_down_after: u64,
    /// `failover-timeout` of a master that is monitored from now on.
    pub(crate) default_failover_timeout: u64,
    /// A gap between two ticks that means: the process was frozen, or the clock was set.
    pub(crate) tilt_trigger: u64,
    /// How long TILT lasts.
    pub(crate) tilt: u64,
    /// A slave that has not followed SLAVEOF for this long counts as reconfigured, so that the failover can go on.
    pub(crate) slave_reconf_timeout: u64,
    /// A link younger than this is not dropped for being quiet.
    pub(crate) min_link_reconnect: u64,
    /// The longest an election may take (or `failover-timeout`, where that is shorter).
    pub(crate) election_timeout: u64,
    /// A script that runs longer is killed.
    pub(crate) script_max_runtime: u64,
    /// The delay before the first retry of a script; it doubles with each further one.
    pub(crate) script_retry_delay: u64,
}

impl Default for Periods {
    fn default() -> Self {
        Self {
            info: 10_000,
            ping: 1_000,
            ask: 1_000,
            publish: 2_000,
            default_down_after: DEFAULT_DOWN_AFTER,
            default_failover_timeout: DEFAULT_FAILOVER_TIMEOUT,
            tilt_trigger: 2_000,
            tilt: 30_000,
            slave_reconf_timeout: 10_000,
            min_link_reconnect: 15_000,
            election_timeout: 10_000,
            script_max_runtime: 60_000,
            script_retry_delay: 30_000,
        }
    }
}

impl Periods {
    /// Each with the name that SENTINEL DEBUG knows it by.
    pub(crate) fn named(&mut self) -> [(&'static str, &mut u64); 13] {
        [
            ("INFO-PERIOD", &mut self.info),
            ("PING-PERIOD", &mut self.ping),
            ("ASK-PERIOD", &mut self.ask),
            ("PUBLISH-PERIOD", &mut self.publish),
            ("DEFAULT-DOWN-AFTER", &mut self.default_down_after),
            (
                "DEFAULT-FAILOVER-TIMEOUT",
                &mut self.default_failover_timeout,
            ),
            ("TILT-TRIGGER", &mut self.tilt_trigger),
            ("TILT-PERIOD", &mut self.tilt),
            ("SLAVE-RECONF-TIMEOUT", &mut self.slave_reconf_timeout),
            ("MIN-LINK-RECONNECT-PERIOD", &mut self.min_link_reconnect),
            ("ELECTION-TIMEOUT", &mut self.election_timeout),
            ("SCRIPT-MAX-RUNTIME", &mut self.script_max_runtime),
            ("SCRIPT-RETRY-DELAY", &mut self.script_retry_delay),
        ]
    }
}

/// How often INFO is asked from the slaves of a master that is down or being failed over.
pub(crate) const INFO_PERIOD_FAILOVER: u64 = 1_000;
/// The time that a master must have left for a hand-over that is asked for.
pub(crate) const HAND_OVER_TIME: u64 = 1_000;
/// The random delay that keeps sentinels from asking for votes at the same moment.
pub(crate) const MAX_DESYNC: u64 = 1_000;
/// How often a configuration that could not be saved is tried again.
pub(crate) const SAVE_RETRY_PERIOD: u64 = 1_000;
/// How often a failure to save is logged while nothing else about it changes.
pub(crate) const SAVE_LOG_PERIOD: u64 = 60_000;
/// How long a sentinel that was heard of may take to answer before it is forgotten.
pub(crate) const STRANGER_PATIENCE: u64 = 15_000;
/// How long the instances of before a SENTINEL RESET are kept in mind while the master answers.
pub(crate) const RESET_MEMORY: u64 = 30_000;

/// Ticks per second: a random value from this one up to, but not including, twice this one.
pub(crate) const MIN_HZ: u64 = 10;
/// Commands that may wait for their reply on an instance's links before periodic ones are withheld.
pub(crate) const MAX_PENDING_COMMANDS: usize = 100;
/// Slaves, and other sentinels, remembered per master. Redis has no such bound; without one, whoever can publish to a
/// master or answer INFO in its place makes every sentinel open sockets without end.
pub(crate) const MAX_KNOWN_PER_MASTER: usize = 1_024;
/// Sentinels that were heard of and have not answered yet, per master.
pub(crate) const MAX_STRANGERS: usize = 64;
/// The text of INFO that is kept of an instance, in bytes.
pub(crate) const MAX_INFO_BYTES: usize = 64 * 1_024;
/// Host names that are remembered with what they stand for.
pub(crate) const MAX_NAMES: usize = 4_096;
/// How long what a name stands for is believed.
pub(crate) const NAME_VALIDITY: u64 = 10_000;

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
/// Times a script is started before it is given up.
pub(crate) const SCRIPT_MAX_RETRY: u32 = 10;
