//! The name of a client, which is never used again.

use std::fmt;

/// The name of a client: its place, which is used again after it, and its serial number, which never is. What was meant for a client
/// that is gone finds nobody.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId {
    pub(crate) serial: u64,
    pub(crate) place: u32,
}

impl ClientId {
    /// For tests of tables that are keyed by clients.
    #[must_use]
    pub const fn new(place: u32, serial: u64) -> Self {
        Self { serial, place }
    }

    /// The place, small and dense: for tables beside the engine's. Such a table compares the whole name.
    #[must_use]
    #[inline]
    pub fn place(self) -> usize {
        self.place as usize
    }

    /// What `CLIENT ID` answers.
    #[must_use]
    pub fn serial(self) -> u64 {
        self.serial
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "client {} at {}", self.serial, self.place)
    }
}
