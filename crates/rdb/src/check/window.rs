//! A file seen through a window: any offset can be read, little of it is in memory.

use std::io::{self, Read, Seek, SeekFrom};

/// Bytes in memory at once.
const WINDOW_BYTES: usize = 64 * 1024;

/// A seekable source of known size.
pub(super) struct Window<R> {
    source: R,
    size: u64,
    /// What is in memory, and where it begins.
    bytes: Vec<u8>,
    base: u64,
}

impl<R: Read + Seek> Window<R> {
    pub(super) fn new(mut source: R) -> io::Result<Self> {
        let size = source.seek(SeekFrom::End(0))?;
        Ok(Self {
            source,
            size,
            bytes: Vec::new(),
            base: 0,
        })
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// `count` bytes (at most a window) from `offset`; `None` where the source is shorter.
    pub(super) fn bytes(&mut self, offset: u64, count: usize) -> io::Result<Option<&[u8]>> {
        let Some(end) = offset
            .checked_add(count as u64)
            .filter(|&end| end <= self.size)
        else {
            return Ok(None);
        };
        if offset < self.base || end > self.base + self.bytes.len() as u64 {
            self.move_to(offset)?;
        }
        let start = usize::try_from(offset - self.base).unwrap_or(usize::MAX);
        Ok(self.bytes.get(start..).and_then(|bytes| bytes.get(..count)))
    }

    /// Appends `count` bytes from `offset` to `out`; false where the source is shorter.
    pub(super) fn copy(&mut self, offset: u64, count: u64, out: &mut Vec<u8>) -> io::Result<bool> {
        if offset.checked_add(count).is_none_or(|end| end > self.size) {
            return Ok(false);
        }
        self.source.seek(SeekFrom::Start(offset))?;
        let read = (&mut self.source).take(count).read_to_end(out)?;
        Ok(read as u64 == count)
    }

    fn move_to(&mut self, offset: u64) -> io::Result<()> {
        self.bytes.clear();
        self.base = offset;
        self.source.seek(SeekFrom::Start(offset))?;
        (&mut self.source)
            .take(WINDOW_BYTES as u64)
            .read_to_end(&mut self.bytes)?;
        Ok(())
    }
}
