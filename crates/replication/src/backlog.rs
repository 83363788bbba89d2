//! The replication stream: written once by the master, read by each replica at its own pace.
//!
//! Memory is one copy of the stream, however many replicas there are: at least the configured size, and as far back as the
//! slowest replica that is still being served.

use std::collections::VecDeque;

/// Bytes in one chunk: few for a stream of which little is kept, since whole chunks are forgotten. A replica is sent at most one
/// chunk at a time.
const CHUNK_BYTES: std::ops::RangeInclusive<u64> = 16 * 1024..=64 * 1024;

fn chunk_bytes(size: u64) -> usize {
    let bytes = (size / 16).clamp(*CHUNK_BYTES.start(), *CHUNK_BYTES.end());
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// The stream.
#[derive(Debug, PartialEq, Eq)]
pub struct Backlog {
    chunks: VecDeque<Vec<u8>>,
    /// How many bytes each of them has, but for the last one.
    chunk: usize,
    /// The offset of the first byte of the first chunk, counted from 0 (PSYNC counts from 1).
    start: u64,
    /// How many bytes were ever written.
    end: u64,
    /// How many bytes are kept, at least, for replicas that come back.
    size: u64,
    /// More are kept, since a reader needs them: whoever else comes back may have them too.
    held: bool,
}

impl Backlog {
    /// An empty stream that goes on from `offset` (bytes that were written before), and keeps `size` bytes.
    #[must_use]
    pub fn new(offset: u64, size: u64) -> Self {
        Self {
            chunks: VecDeque::new(),
            chunk: chunk_bytes(size),
            start: offset,
            end: offset,
            size,
            held: false,
        }
    }

    /// A stream that goes on from `offset`, of which these are the last bytes.
    #[must_use]
    pub fn behind(history: &[u8], offset: u64, size: u64) -> Self {
        let mut backlog = Self::new(offset.saturating_sub(history.len() as u64), size);
        backlog.feed(history);
        backlog.trim(None);
        backlog
    }

    /// How many bytes were ever written: `master_repl_offset`.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.end
    }

    /// The first byte that a replica may still ask for, counted from 0: what is kept for a slow one is there for all.
    #[must_use]
    pub fn first(&self) -> u64 {
        if self.held {
            return self.start;
        }
        self.start.max(self.end.saturating_sub(self.size))
    }

    /// How many bytes a replica that comes back could be given (INFO's `repl_backlog_histlen`).
    #[must_use]
    pub fn history(&self) -> u64 {
        self.end - self.first()
    }

    /// Bytes that the stream takes in memory, with the list of its chunks: beside a replica that reads nothing that is worth a key or two.
    #[must_use]
    pub fn memory(&self) -> usize {
        let last = self.chunks.back().map_or(0, Vec::capacity);
        let list = self.chunks.capacity() * size_of::<Vec<u8>>();
        self.chunks.len().saturating_sub(1) * self.chunk + last + list
    }

    /// Changes how many bytes are kept.
    pub fn set_size(&mut self, size: u64) {
        self.size = size;
    }

    /// Writes to the stream.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        self.end += bytes.len() as u64;
        while !bytes.is_empty() {
            let room = self
                .chunks
                .back()
                .map_or(0, |chunk| self.chunk - chunk.len());
            if room == 0 {
                // A short stream stays short: the first chunk grows as it is filled.
                let first = self.chunks.is_empty();
                let room = if first { 0 } else { self.chunk };
                self.chunks.push_back(Vec::with_capacity(room));
                continue;
            }
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            if let Some(chunk) = self.chunks.back_mut() {
                let needed = chunk.len() + now.len();
                if needed > chunk.capacity() {
                    // By itself it would grow beyond the size of a chunk.
                    let grown = needed.max(2 * chunk.capacity()).min(self.chunk);
                    chunk.reserve_exact(grown - chunk.len());
                }
                chunk.extend_from_slice(now);
            }
            bytes = later;
        }
    }

    /// Has `write` append to the stream where there is room for `most` bytes in one piece, which it keeps within. How many it appended; `None`, with nothing
    /// done, where there is no such room.
    pub fn feed_in_place(
        &mut self,
        most: usize,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Option<usize> {
        let chunk = self.chunks.back_mut()?;
        let before = chunk.len();
        if chunk.capacity().min(self.chunk) - before < most {
            return None;
        }
        write(chunk);
        let written = chunk.len() - before;
        debug_assert!(written <= most, "chunks do not grow");
        self.end += written as u64;
        Some(written)
    }

    /// Forgets what neither the configured size nor a reader at `slowest` (an offset from 0) needs.
    pub fn trim(&mut self, slowest: Option<u64>) {
        let sized = self.end.saturating_sub(self.size);
        let keep = sized.min(slowest.unwrap_or(u64::MAX));
        self.held = keep < sized;
        while let Some(chunk) = self.chunks.front()
            && self.start + chunk.len() as u64 <= keep
        {
            self.start += chunk.len() as u64;
            self.chunks.pop_front();
        }
    }

    /// Bytes from `offset` (counted from 0), as many as lie together; empty at the end; `None` where they are gone or never were.
    #[must_use]
    pub fn slice(&self, offset: u64) -> Option<&[u8]> {
        if offset < self.start || offset > self.end {
            return None;
        }
        let at = usize::try_from(offset - self.start).ok()?;
        let slice = self
            .chunks
            .get(at / self.chunk)
            .map_or(&[][..], |chunk| &chunk[at % self.chunk..]);
        Some(slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read_all(backlog: &Backlog, mut offset: u64) -> Vec<u8> {
        let mut all = Vec::new();
        loop {
            let slice = backlog.slice(offset).expect("kept");
            if slice.is_empty() {
                return all;
            }
            all.extend_from_slice(slice);
            offset += slice.len() as u64;
        }
    }

    #[test]
    fn keeps_the_configured_size_and_what_the_slowest_reader_needs() {
        let mut backlog = Backlog::new(100, 1000);
        backlog.feed(&vec![1; 300_000]);
        backlog.trim(Some(100));
        assert_eq!(read_all(&backlog, 100).len(), 300_000);
        assert_eq!((backlog.first(), backlog.history()), (100, 300_000));
        backlog.trim(None);
        assert_eq!(backlog.slice(100), None);
        assert_eq!(
            (backlog.offset(), backlog.first(), backlog.history()),
            (300_100, 299_100, 1000)
        );
        assert!(backlog.memory() <= 2 * 16 * 1024, "little more is held");
        assert_eq!(read_all(&backlog, backlog.first()).len(), 1000);
        assert_eq!(backlog.slice(300_101), None);
    }

    #[test]
    fn one_that_was_kept_goes_on_behind_its_last_bytes() {
        let history: Vec<u8> = (0..=255).cycle().take(200_000).collect();
        let mut backlog = Backlog::behind(&history, 300_000, 150_000);
        assert_eq!((backlog.first(), backlog.offset()), (150_000, 300_000));
        backlog.feed(b"more");
        assert_eq!(
            read_all(&backlog, 150_000),
            [&history[50_000..], b"more"].concat()
        );
        assert_eq!(Backlog::behind(b"", 7, 10), Backlog::new(7, 10));
    }

    #[test]
    fn its_memory_is_what_it_takes() {
        for piece in [1, 100, 10_000, 40_000, 100_000] {
            let mut backlog = Backlog::new(0, 1 << 30);
            for _ in 0..(2_000_000 / piece).min(50_000) {
                backlog.feed(&vec![b'x'; piece]);
                let chunks: usize = backlog.chunks.iter().map(Vec::capacity).sum();
                let list = backlog.chunks.capacity() * size_of::<Vec<u8>>();
                assert_eq!(backlog.memory(), chunks + list, "pieces of {piece}");
            }
            let written = usize::try_from(backlog.offset()).expect("small");
            assert!(backlog.memory() <= written + 64 * 1024);
        }
    }

    proptest! {
        #[test]
        fn what_is_read_is_what_was_written(parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200_000), 0..8), from in 0_usize..400_000, size in 1_u64..1 << 22) {
            let mut backlog = Backlog::new(7, size);
            for part in &parts {
                // Short ones where they lie in one piece, as commands are written.
                for piece in part.chunks(1000) {
                    match backlog.feed_in_place(1010, |out| out.extend_from_slice(piece)) {
                        Some(written) => prop_assert_eq!(written, piece.len()),
                        None => backlog.feed(piece),
                    }
                }
                backlog.feed(part);
            }
            let parts: Vec<_> = parts.iter().flat_map(|part| [&part[..], part]).collect();
            let whole = parts.concat();
            prop_assert_eq!(backlog.offset(), 7 + whole.len() as u64);
            let from = from.min(whole.len());
            prop_assert_eq!(&read_all(&backlog, 7 + from as u64)[..], &whole[from..]);
        }
    }
}
