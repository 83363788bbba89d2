//! What DEBUG turns on and off.

/// What DEBUG makes the server do otherwise, for tests.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Switches {
    /// DEBUG PAUSE-CRON: nothing periodic is done.
    pub(crate) no_ticks: bool,
    /// A signal that came meanwhile and asks for the end; whether it was SIGINT.
    pub(crate) signal: Option<bool>,
    /// DEBUG CLIENT-ENFORCE-REPLY-LIST: each client's first bytes of replies count as a block of 16 KB.
    pub(crate) whole_blocks: bool,
}
