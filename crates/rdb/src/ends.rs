//! Where the records of a dump end that is still on its way: up to there it can be loaded without waiting for bytes in the middle of one.

use std::io::Read;

use crate::error::Error;
use crate::input::Input;
use crate::reader::{Options, Reader};

/// Reads a dump to its end, and tells behind each record the offset of the next one, in bytes from the start. The source may wait for
/// bytes in each read. Nothing is kept of the records.
///
/// # Errors
/// Any of [`Error`]: where the dump is bad, or the source fails. What was told until then is true.
pub fn find_ends(source: impl Read, mut tell: impl FnMut(u64)) -> Result<(), Error> {
    // Whoever loads it decides what may be in it.
    let options = Options {
        checksum: false,
        skip_unsupported: true,
        relaxed: true,
    };
    let mut reader = Reader::open(Input::new(source), options)?;
    while reader.next_record()?.is_some() {
        reader.finish_value()?;
        tell(reader.offset());
    }
    Ok(())
}
