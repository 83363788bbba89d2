//! The moment of a call, and limits that the messages, the file and the node share.

/// The highest epoch that is believed. Higher ones are refused wherever they come from, so that counting on from an
/// epoch can never overflow, and so that CLUSTER SET-CONFIG-EPOCH (a signed number) reaches all of them.
pub const MAX_EPOCH: u64 = i64::MAX as u64;

/// Redis 3.0 finds the bus port of a node by adding this to its port for clients.
pub const BUS_PORT_OFFSET: u16 = 10000;

/// The moment of a call: the shell's clocks, as plain numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Now {
    /// A clock that never jumps, in milliseconds: deadlines and ages are measured with it.
    pub mono_ms: u64,
    /// Unix time in milliseconds: only printed, saved and sent.
    pub unix_ms: u64,
}
