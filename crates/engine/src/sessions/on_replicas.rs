//! What a client in WAIT or WAITAOF waits for. What ends the wait is in `wait.rs`.

/// What a client in WAIT or WAITAOF waits for.
#[derive(Debug, PartialEq, Eq)]
pub struct OnReplicas {
    /// Of the stream: up to where others have to have it.
    pub(crate) offset: u64,
    /// How many replicas.
    pub(crate) count: usize,
    /// An error tells that it were not as many.
    pub(crate) or_fail: bool,
    /// WAITAOF: those that have it on the disk are counted, and with `true` it has to be on our own disk too.
    pub(crate) on_disk: Option<bool>,
    /// On [`crate::Now::mono_ms`]; none waits for ever.
    pub(crate) until_ms: Option<u64>,
    /// CLUSTER SETSLOT, to be run once the replicas have done it.
    pub(crate) setslot: Option<Box<[Box<[u8]>]>>,
    /// WAIT or WAITAOF itself: it counts as a call when its wait ends.
    pub(crate) asked: Option<Asked>,
}

/// A request that waits for replicas.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) number: usize,
    pub(crate) words: Box<[Box<[u8]>]>,
    /// How long it took until it waited, nanoseconds.
    pub(crate) ns: u64,
}
