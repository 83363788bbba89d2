//! The file that tells where in the stream the append-only file stands. It is written in `append_only/place.rs`.

use aof::{FilePlace, Tail};

use crate::host::PlaceFile;

/// The file that tells the place.
#[derive(Debug, Default)]
pub(crate) struct PlaceLog {
    pub(crate) file: Option<Box<dyn PlaceFile>>,
    /// What was written last.
    pub(crate) told: Option<FilePlace>,
    /// The number of the slot that was written last.
    pub(crate) number: u64,
    /// The end of the stream, in the same file.
    pub(crate) tail: Tail,
    /// It could not be written: told once.
    pub(crate) failed: bool,
}
