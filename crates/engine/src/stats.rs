//! Counters that INFO shows and CONFIG RESETSTAT clears.

use commands::table::COMMANDS;

/// How often a command was called, and how long it took in all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CommandStats {
    pub(crate) calls: u64,
    pub(crate) usec: u64,
}

/// The counters.
#[derive(Debug)]
pub(crate) struct Stats {
    pub(crate) connections: u64,
    pub(crate) commands: u64,
    pub(crate) input_bytes: u64,
    pub(crate) output_bytes: u64,
    pub(crate) rejected: u64,
    pub(crate) expired: u64,
    pub(crate) evicted: u64,
    pub(crate) sync_full: u64,
    pub(crate) sync_partial_ok: u64,
    pub(crate) sync_partial_err: u64,
    pub(crate) per_command: Vec<CommandStats>,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            connections: 0,
            commands: 0,
            input_bytes: 0,
            output_bytes: 0,
            rejected: 0,
            expired: 0,
            evicted: 0,
            sync_full: 0,
            sync_partial_ok: 0,
            sync_partial_err: 0,
            per_command: vec![CommandStats::default(); COMMANDS.len()],
        }
    }
}
