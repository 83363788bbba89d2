//! The time, as the shell tells it.

/// The time, as the shell tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds on a clock that never goes back. Deadlines are in it.
    pub mono_ms: u64,
    /// Microseconds since the Unix epoch. What is shown or stored is in it.
    pub unix_us: u64,
}

impl Now {
    /// Milliseconds since the Unix epoch.
    #[must_use]
    pub fn unix_ms(self) -> u64 {
        self.unix_us / 1000
    }

    /// Seconds on the clock that never goes back.
    #[must_use]
    pub fn mono_s(self) -> u64 {
        self.mono_ms / 1000
    }
}
