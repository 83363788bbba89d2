//! What is measured: statistics, slow commands, latency events, and when the periodic work was last done.

pub(crate) mod command_logs;
pub(crate) mod histogram;
pub(crate) mod latency;
pub(crate) mod running;
pub(crate) mod slot_usages;
pub(crate) mod stats;

use std::sync::Arc;

use crate::meter::command_logs::CommandLogs;
use crate::meter::histogram::Histogram;
use crate::meter::latency::Latency;
use crate::meter::running::Running;
use crate::meter::slot_usages::SlotUsages;
use crate::meter::stats::Stats;

/// What is measured.
#[derive(Debug)]
pub(crate) struct Meter {
    pub(crate) stats: Stats,
    pub(crate) command_logs: CommandLogs,
    pub(crate) latency: Latency,
    /// How long it took to bring the append-only file to the disk.
    pub(crate) syncs: Histogram,
    /// What the slots of a node are used for.
    pub(crate) slots: SlotUsages,
    /// Which command runs, for other threads to see.
    pub(crate) running: Arc<Running>,
    /// When the server started, Unix milliseconds.
    pub(crate) started_ms: u64,
    /// Bytes in use then.
    pub(crate) started_bytes: usize,
    /// When the last command ended ([`crate::Host::mono_ns`]).
    pub(crate) last_ns: u64,
    /// When this turn began.
    pub(crate) turn_from_ns: u64,
    /// How long clients took whose requests have run in this turn already.
    pub(crate) turn_ns: u64,
    /// How many commands had run then.
    pub(crate) turn_from_commands: u64,
    /// What the clock that is worked with ([`crate::Engine::set_now`]) stands for.
    pub(crate) clock_ns: u64,
    /// From which duration on the slow log or the latency monitor may want to know of a command.
    pub(crate) noted_from_ns: u64,
    /// From which size of a request or a reply on a command log may want to know of a command.
    pub(crate) sizes_from: u64,
    /// When the work of each second was last done ([`crate::Now::mono_ms`]).
    pub(crate) last_second_ms: u64,
    /// When the log was last told what there is.
    pub(crate) told_ms: u64,
    /// When the memory in use was last counted.
    pub(crate) counted_ms: u64,
}

impl Meter {
    /// `names`: those of all commands and subcommands, in the order of their numbers.
    pub(crate) fn new(started_ms: u64, names: Vec<&'static str>) -> Self {
        Self {
            stats: Stats::new(names.len()),
            command_logs: CommandLogs::default(),
            sizes_from: u64::MAX,
            latency: Latency::default(),
            syncs: Histogram::default(),
            slots: SlotUsages::default(),
            running: Arc::new(Running::new(names)),
            started_ms,
            started_bytes: 0,
            last_ns: 0,
            turn_from_ns: 0,
            turn_ns: 0,
            turn_from_commands: 0,
            clock_ns: 0,
            noted_from_ns: 0,
            last_second_ms: 0,
            told_ms: 0,
            counted_ms: 0,
        }
    }
}
