//! How much of the stream is on the disk. How that is learnt is in `append_only/durable.rs`.

use std::collections::VecDeque;

use crate::host::AppendFile;

/// Offsets of the stream. Who writes no stream counts commands instead.
#[derive(Debug, Default)]
pub(crate) struct Durable {
    /// All before it is on the disk.
    pub(crate) synced: u64,
    /// All before it is in the file.
    pub(crate) written: u64,
    /// What a sync that is under way will make safe.
    pub(crate) syncing: Option<u64>,
    /// The base that a child writes holds all before it.
    pub(crate) forked: u64,
    /// Files that are written to no more, while they are brought to the disk.
    pub(crate) old: VecDeque<Old>,
}

/// A file that is written to no more.
#[derive(Debug)]
pub(crate) struct Old {
    pub(crate) file: Box<dyn AppendFile>,
    /// It was written to since the sync that is under way began.
    pub(crate) again: bool,
    /// All before this offset is in it, or in those before it.
    pub(crate) upto: u64,
}
