//! What DEBUG turns on and off.

/// What DEBUG makes the server do otherwise, for tests.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Switches {
    /// DEBUG PAUSE-CRON: nothing periodic is done.
    pub(crate) no_ticks: bool,
    /// A signal that came meanwhile and asks for the end; whether it was SIGINT.
    pub(crate) signal: Option<bool>,
    /// DEBUG CLIENT-ENFORCE-REPLY-LIST: each client's first bytes of replies count as a block of 16 KB.
    pub(crate) whole_blocks: bool,
    /// DEBUG DELAY-RDB-CLIENT-FREE-SECONDS: how long a replica that has its dump may take to ask for the stream behind it.
    pub(crate) dump_client_grace_s: u64,
    /// DEBUG PAUSE-AFTER-FORK: the process stops itself once it has forked for a replica, or is about to ask for the stream behind a dump.
    pub(crate) stops_after_fork: bool,
}

impl Default for Switches {
    fn default() -> Self {
        Self {
            no_ticks: false,
            signal: None,
            whole_blocks: false,
            dump_client_grace_s: 60,
            stops_after_fork: false,
        }
    }
}
