//! A buffered source of bytes that counts and checksums what is taken from it. It knows nothing of the format.

use std::io::Read;

use crate::crc64::Crc64;
use crate::error::{Error, Place};

/// Bytes read from the source at once.
const BUFFER_BYTES: usize = 128 * 1024;

/// A source of bytes with a buffer, an offset and a checksum. Memory grows with what arrived, never with what was announced.
pub struct Input<R> {
    source: R,
    buffer: Box<[u8]>,
    /// What is buffered and not yet taken is `buffer[start..end]`.
    start: usize,
    end: usize,
    /// Offset in the source of the buffer's first byte.
    base: u64,
    crc: Option<Crc64>,
    /// The checksum covers the buffer up to here.
    hashed: usize,
}

impl<R: Read> Input<R> {
    /// An input that stands at the first byte of `source`.
    pub fn new(source: R) -> Self {
        Self::with_buffer(source, BUFFER_BYTES)
    }

    /// An input with a buffer of `bytes` (at least 512), for sources that are known to be small.
    pub fn with_buffer(source: R, bytes: usize) -> Self {
        let buffer = vec![0; bytes.max(512)].into_boxed_slice();
        Self {
            source,
            buffer,
            start: 0,
            end: 0,
            base: 0,
            crc: None,
            hashed: 0,
        }
    }

    /// Offset of the next byte, in bytes from the start of the source.
    pub fn offset(&self) -> u64 {
        self.base + self.start as u64
    }

    /// What is buffered and not yet taken.
    pub fn buffered(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// Reads more behind [`Input::buffered`]; false at the end of the source, or where the buffer is full from its first byte.
    ///
    /// # Errors
    /// [`Error::Io`] where the source fails.
    pub fn read_more(&mut self) -> Result<bool, Error> {
        if self.end == self.buffer.len() || self.start == self.end {
            self.make_room();
        }
        if self.end == self.buffer.len() {
            return Ok(false);
        }
        loop {
            match self.source.read(&mut self.buffer[self.end..]) {
                Ok(read) => {
                    // A source that claims more than it was given room for is not believed.
                    self.end = (self.end + read).min(self.buffer.len());
                    return Ok(read > 0);
                }
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Takes the next `count` bytes, which must fit the buffer.
    ///
    /// # Errors
    /// [`Error::ShortRead`] where the source ends before, [`Error::Io`] where it fails.
    #[inline]
    pub(crate) fn take(&mut self, count: usize) -> Result<&[u8], Error> {
        if self.end - self.start < count {
            self.need(count)?;
        }
        let from = self.start;
        self.start += count;
        Ok(&self.buffer[from..self.start])
    }

    /// Takes the next `N` bytes.
    #[inline]
    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N)?);
        Ok(array)
    }

    /// Takes one byte.
    #[inline]
    pub(crate) fn byte(&mut self) -> Result<u8, Error> {
        Ok(self.array::<1>()?[0])
    }

    /// Whether `count` bytes can be had at once by [`Input::take`].
    pub(crate) fn fits(&self, count: u64) -> bool {
        count <= self.buffer.len() as u64
    }

    /// Appends the next `count` bytes to `out`, which grows as they arrive.
    ///
    /// # Errors
    /// [`Error::ShortRead`] where the source ends before, [`Error::Io`] where it fails.
    pub fn take_into(&mut self, count: u64, out: &mut Vec<u8>) -> Result<(), Error> {
        if let Some(count) = self.in_buffer(count) {
            out.extend_from_slice(self.take(count)?);
            return Ok(());
        }
        let first = self.end - self.start;
        out.extend_from_slice(self.take(first)?);
        self.make_room();
        let (left, before) = (count - first as u64, out.len());
        (&mut self.source).take(left).read_to_end(out)?;
        let arrived = &out[before..];
        if let Some(crc) = &mut self.crc {
            crc.update(arrived);
        }
        self.base += arrived.len() as u64;
        if (arrived.len() as u64) < left {
            Err(self.short_read())
        } else {
            Ok(())
        }
    }

    /// Passes over `count` bytes.
    ///
    /// # Errors
    /// [`Error::ShortRead`] where the source ends before, [`Error::Io`] where it fails.
    pub fn skip(&mut self, mut count: u64) -> Result<(), Error> {
        while count > 0 {
            let step = usize::try_from(count)
                .map_or(self.buffer.len(), |count| count.min(self.buffer.len()));
            let step = if self.start == self.end {
                step
            } else {
                step.min(self.end - self.start)
            };
            self.take(step)?;
            count -= step as u64;
        }
        Ok(())
    }

    /// From here on, what is taken is checksummed, or no longer is.
    pub(crate) fn set_checksum(&mut self, on: bool) {
        self.hashed = self.start;
        self.crc = on.then(Crc64::new);
    }

    /// The checksum of what was taken since [`Input::set_checksum`]; `None` where it is off.
    pub(crate) fn checksum(&mut self) -> Option<u64> {
        self.hash();
        self.crc.as_ref().map(Crc64::value)
    }

    /// Marks what is buffered as taken up to `count` bytes further.
    ///
    /// # Panics
    /// When fewer are buffered.
    pub fn advance(&mut self, count: usize) {
        assert!(
            count <= self.end - self.start,
            "advanced past what is buffered"
        );
        self.start += count;
    }

    /// Makes the buffer able to hold `bytes` at once, for callers that parse in it.
    pub fn grow_buffer(&mut self, bytes: usize) {
        if bytes > self.buffer.len() {
            let mut buffer = std::mem::take(&mut self.buffer).into_vec();
            buffer.resize(bytes, 0);
            self.buffer = buffer.into_boxed_slice();
        }
    }

    /// Makes the buffer as small as it was at first, where what is buffered fits.
    pub fn shrink_buffer(&mut self) {
        if self.end - self.start <= BUFFER_BYTES && self.buffer.len() > BUFFER_BYTES {
            self.make_room();
            let mut buffer = std::mem::take(&mut self.buffer).into_vec();
            buffer.truncate(BUFFER_BYTES);
            self.buffer = buffer.into_boxed_slice();
        }
    }

    /// How many bytes the buffer can hold.
    pub fn buffer_len(&self) -> usize {
        self.buffer.len()
    }

    fn in_buffer(&self, count: u64) -> Option<usize> {
        usize::try_from(count)
            .ok()
            .filter(|&count| count <= self.buffer.len())
    }

    #[cold]
    fn need(&mut self, count: usize) -> Result<(), Error> {
        if self.buffer.len() - self.start < count {
            self.make_room();
        }
        while self.end - self.start < count {
            if !self.read_more()? {
                self.start = self.end;
                return Err(self.short_read());
            }
        }
        Ok(())
    }

    fn short_read(&self) -> Error {
        Error::ShortRead {
            offset: self.base + self.end as u64,
            place: Place::default(),
        }
    }

    fn hash(&mut self) {
        if let Some(crc) = &mut self.crc {
            crc.update(&self.buffer[self.hashed..self.start]);
        }
        self.hashed = self.start;
    }

    /// Moves what is not yet taken to the front of the buffer.
    fn make_room(&mut self) {
        self.hash();
        self.buffer.copy_within(self.start..self.end, 0);
        self.base += self.start as u64;
        self.end -= self.start;
        self.start = 0;
        self.hashed = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::crc64;

    /// Gives one to seven bytes at a time.
    struct Trickle<'a>(&'a [u8]);

    impl Read for Trickle<'_> {
        fn read(&mut self, buf: &mut [u8]) -> std::io::Result<usize> {
            let count = (self.0.len() % 7 + 1).min(buf.len()).min(self.0.len());
            buf[..count].copy_from_slice(&self.0[..count]);
            self.0 = &self.0[count..];
            Ok(count)
        }
    }

    #[test]
    fn offsets_and_checksum_follow_what_is_taken() {
        let bytes: Vec<u8> = (0..=252u8).cycle().take(5000).collect();
        let mut input = Input::with_buffer(Trickle(&bytes), 512);
        assert_eq!(input.take(9).unwrap(), &bytes[..9]);
        input.set_checksum(true);
        let mut out = Vec::new();
        input.take_into(50, &mut out).unwrap();
        input.take_into(3000, &mut out).unwrap();
        assert_eq!(out, &bytes[9..3059]);
        input.skip(1000).unwrap();
        assert_eq!(input.byte().unwrap(), bytes[4059]);
        assert_eq!(input.offset(), 4060);
        assert_eq!(input.checksum(), Some(crc64(&bytes[9..4060])));
    }

    #[test]
    fn an_announced_length_costs_nothing() {
        let mut input = Input::with_buffer(&b"0123456789"[..], 512);
        let mut out = Vec::new();
        let error = input.take_into(u64::MAX, &mut out).unwrap_err();
        assert!(
            matches!(error, Error::ShortRead { offset: 10, .. }),
            "{error}"
        );
        assert!(out.capacity() < 1024);
        assert!(matches!(
            input.skip(u64::MAX),
            Err(Error::ShortRead { offset: 10, .. })
        ));
    }
}
