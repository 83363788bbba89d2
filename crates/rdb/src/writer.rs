//! Writing a file: header, opcodes, strings, scores, checksum, in constant memory. It knows no keyspace.

use std::io::{self, Write};

use resp::number::{DoubleBuffer, parse_i64};

use crate::blob::{Pack, intset, listpack, ziplist};
use crate::crc64::Crc64;
use crate::format::{Encoding, Version, opcode, string_encoding};
use crate::{liblzf, lzf};

/// An import of slots that was under way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SlotImport {
    /// The name of the job.
    pub job: String,
    /// The slots, from each first to each last one.
    pub slots: Vec<(u16, u16)>,
}

/// Bytes written to the sink at once.
const BUFFER_BYTES: usize = 256 * 1024;
/// The same for payloads, which are written into memory.
const PAYLOAD_BUFFER_BYTES: usize = 512;
/// Shorter strings are not compressed: it never pays.
const MIN_COMPRESSED: usize = 21;
/// So many bytes hold every integer of 32 bits.
const MAX_INT_DIGITS: usize = 11;
/// Compression must save so many bytes.
const MIN_SAVED: usize = 4;
/// A buffer that one big string blew up is given back when it holds more than this.
const KEEP_BYTES: usize = 1 << 20;

/// Writes the parts of a file into a sink.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// use rdb::{Encoding, Version, Writer};
/// let mut writer = Writer::new(Vec::new(), true, true);
/// writer.header(Version::COMMON)?;
/// writer.select(0)?;
/// writer.key(Encoding::String, b"greeting")?;
/// writer.string(b"hello")?;
/// let file = writer.finish()?;
/// assert!(file.starts_with(b"REDIS0011"));
/// # Ok(())
/// # }
/// ```
pub struct Writer<W> {
    sink: W,
    buffer: Vec<u8>,
    crc: Option<Crc64>,
    compress: bool,
    packer: Packer,
    packed: Vec<u8>,
    ziplist: ziplist::Builder,
    pub(crate) listpack: listpack::Builder,
    intset: Vec<u8>,
    flushed: u64,
}

impl<W: Write> Writer<W> {
    /// A writer into `sink`; `compress` is `rdbcompression`, `checksum` is `rdbchecksum`.
    pub fn new(sink: W, compress: bool, checksum: bool) -> Self {
        Self::with_buffer(sink, compress, checksum, BUFFER_BYTES)
    }

    /// The same with a buffer of `bytes`, for files that are known to be small.
    pub fn with_buffer(sink: W, compress: bool, checksum: bool, bytes: usize) -> Self {
        Self {
            sink,
            buffer: Vec::with_capacity(bytes),
            crc: checksum.then(Crc64::new),
            compress,
            packer: Packer::Quick(lzf::Compressor::new()),
            packed: Vec::new(),
            ziplist: ziplist::Builder::default(),
            listpack: listpack::Builder::default(),
            intset: Vec::new(),
            flushed: 0,
        }
    }

    /// The signature and the version.
    ///
    /// # Errors
    /// Those of the sink, as for all that follow.
    pub fn header(&mut self, version: Version) -> io::Result<()> {
        self.listpack.narrow = version.is_valkey();
        self.put(version.header().as_bytes())
    }

    /// A name and a value about the file.
    pub fn aux(&mut self, name: &str, value: &str) -> io::Result<()> {
        self.put(&[opcode::AUX])?;
        self.string(name.as_bytes())?;
        self.string(value.as_bytes())
    }

    /// The code of a function library.
    pub fn function(&mut self, code: &[u8]) -> io::Result<()> {
        self.put(&[opcode::FUNCTION])?;
        self.string(code)
    }

    /// An import of slots that is under way: versions of Valkey only.
    pub fn slot_import(&mut self, import: &SlotImport) -> io::Result<()> {
        self.put(&[opcode::SLOT_IMPORT])?;
        self.string(import.job.as_bytes())?;
        self.length(import.slots.len() as u64)?;
        for slot in import.slots.iter().flat_map(|(first, last)| [first, last]) {
            self.length(u64::from(*slot))?;
        }
        Ok(())
    }

    /// How many keys the database has, and how many of them expire.
    pub fn resize(&mut self, keys: u64, expires: u64) -> io::Result<()> {
        self.put(&[opcode::RESIZE_DB])?;
        self.length(keys)?;
        self.length(expires)
    }

    /// How many seconds the key that follows was not used.
    pub fn idle(&mut self, seconds: u64) -> io::Result<()> {
        self.put(&[opcode::IDLE])?;
        self.length(seconds)
    }

    /// The access counter of the key that follows.
    pub fn frequency(&mut self, counter: u8) -> io::Result<()> {
        self.put(&[opcode::FREQ, counter])
    }

    /// When the key that follows expires, Unix milliseconds.
    #[inline]
    pub fn expiry(&mut self, expire_ms: u64) -> io::Result<()> {
        let mut expiry = [opcode::EXPIRE_MS; 9];
        expiry[1..].copy_from_slice(&expire_ms.to_le_bytes());
        self.put(&expiry)
    }

    /// The database of the keys that follow.
    pub fn select(&mut self, database: u32) -> io::Result<()> {
        self.put(&[opcode::SELECT_DB])?;
        self.length(u64::from(database))
    }

    /// A key; its value must follow in the form of `encoding`.
    #[inline]
    pub fn key(&mut self, encoding: Encoding, key: &[u8]) -> io::Result<()> {
        self.put(&[encoding.code()])?;
        self.string(key)
    }

    /// Bytes that are no string: numbers of a fixed length.
    #[inline]
    pub(crate) fn raw(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.put(bytes)
    }

    /// The number of elements, members or pairs that follow.
    #[inline]
    pub fn length(&mut self, length: u64) -> io::Result<()> {
        let [.., high, low] = length.to_be_bytes();
        match length {
            0..=0x3f => self.put(&[low]),
            0x40..=0x3fff => self.put(&[0x40 | high, low]),
            _ => self.long_length(length),
        }
    }

    /// A string: an integer where its bytes are one's shortest form, else compressed where that saves something, else as it is.
    #[inline]
    pub fn string(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() <= MAX_INT_DIGITS
            && let Some(value) = parse_i64(bytes)
            && let Ok(value) = i32::try_from(value)
        {
            return self.short_int(value);
        }
        self.verbatim(bytes)
    }

    /// A string, compressed where that saves something, and no integer.
    pub(crate) fn verbatim(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() >= MIN_COMPRESSED && self.compressed(bytes)? {
            return Ok(());
        }
        self.length(bytes.len() as u64)?;
        self.put(bytes)
    }

    /// Strings that are [`is_plain`], each a byte with its length and its bytes, as they are.
    pub(crate) fn plain(&mut self, strings: &[u8]) -> io::Result<()> {
        self.put(strings)
    }

    /// Whether long strings are compressed.
    pub(crate) fn compresses(&self) -> bool {
        self.compress
    }

    /// A string that is `value`'s decimal form.
    #[inline]
    pub fn int(&mut self, value: i64) -> io::Result<()> {
        match i32::try_from(value) {
            Ok(value) => self.short_int(value),
            Err(_) => {
                let mut buffer = itoa::Buffer::new();
                let digits = buffer.format(value).as_bytes();
                self.length(digits.len() as u64)?;
                self.put(digits)
            }
        }
    }

    /// A score as text, which reads back as the same double.
    pub fn score(&mut self, score: f64) -> io::Result<()> {
        if score.is_nan() {
            self.put(&[253])
        } else if score.is_infinite() {
            self.put(&[if score < 0.0 { 255 } else { 254 }])
        } else {
            let mut text = DoubleBuffer::new();
            let text = text.format(score).as_bytes();
            self.put(&[u8::try_from(text.len()).unwrap_or(u8::MAX)])?;
            self.put(text)
        }
    }

    /// A score as eight bytes.
    #[inline]
    pub fn binary_score(&mut self, score: f64) -> io::Result<()> {
        self.put(&score.to_le_bytes())
    }

    /// A ziplist as a string; `fill` pushes its elements.
    pub fn ziplist(&mut self, fill: impl FnOnce(&mut dyn Pack)) -> io::Result<()> {
        let mut builder = std::mem::take(&mut self.ziplist);
        builder.clear();
        fill(&mut builder);
        let written = match builder.finish() {
            Some(blob) => self.string(blob),
            None => Err(too_big()),
        };
        self.ziplist = builder;
        give_back(self.ziplist.memory());
        written
    }

    /// A listpack as a string; `fill` pushes its elements.
    pub fn listpack(&mut self, fill: impl FnOnce(&mut dyn Pack)) -> io::Result<()> {
        self.listpack.clear();
        fill(&mut self.listpack);
        self.put_listpack()
    }

    /// The listpack that was built, as a string.
    pub(crate) fn put_listpack(&mut self) -> io::Result<()> {
        let mut builder = std::mem::take(&mut self.listpack);
        let written = match builder.finish() {
            Some(blob) => self.string(blob),
            None => Err(too_big()),
        };
        self.listpack = builder;
        give_back(self.listpack.memory());
        written
    }

    /// An intset as a string; `members` gives them rising, each time it is called.
    pub fn intset<I: Iterator<Item = i64>>(&mut self, members: impl Fn() -> I) -> io::Result<()> {
        let mut blob = std::mem::take(&mut self.intset);
        let written = if intset::write(members, &mut blob) {
            self.string(&blob)
        } else {
            Err(too_big())
        };
        self.intset = blob;
        give_back(&mut self.intset);
        written
    }

    /// The end of the file: its mark and checksum. Gives the sink back, flushed.
    pub fn finish(mut self) -> io::Result<W> {
        self.put(&[opcode::EOF])?;
        self.flush_buffer()?;
        let checksum = self.crc.take().map_or(0, |crc| crc.value());
        self.put(&checksum.to_le_bytes())?;
        self.flush_buffer()?;
        self.sink.flush()?;
        Ok(self.sink)
    }

    /// How many bytes were written so far.
    pub fn written(&self) -> u64 {
        self.flushed + self.buffer.len() as u64
    }

    fn short_int(&mut self, value: i32) -> io::Result<()> {
        let [a, b, c, d] = value.to_le_bytes();
        let encoded = |encoding| 0xc0 | encoding;
        match value {
            -0x80..=0x7f => self.put(&[encoded(string_encoding::INT8), a]),
            -0x8000..=0x7fff => self.put(&[encoded(string_encoding::INT16), a, b]),
            _ => self.put(&[encoded(string_encoding::INT32), a, b, c, d]),
        }
    }

    #[cold]
    fn long_length(&mut self, length: u64) -> io::Result<()> {
        match u32::try_from(length) {
            Ok(length) => {
                self.put(&[0x80])?;
                self.put(&length.to_be_bytes())
            }
            // Only Redis 4 and later read this; nothing that 3.0 can hold is that long.
            Err(_) => {
                self.put(&[0x81])?;
                self.put(&length.to_be_bytes())
            }
        }
    }

    fn compressed(&mut self, bytes: &[u8]) -> io::Result<bool> {
        if !self.compress {
            return Ok(false);
        }
        let mut packed = std::mem::take(&mut self.packed);
        let limit = bytes.len() - MIN_SAVED;
        let fits = self.packer.compress(bytes, &mut packed, limit);
        if fits {
            self.put(&[0xc0 | string_encoding::LZF])?;
            self.length(packed.len() as u64)?;
            self.length(bytes.len() as u64)?;
            self.put(&packed)?;
        }
        self.packed = packed;
        give_back(&mut self.packed);
        Ok(fits)
    }

    #[inline]
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() > self.buffer.capacity() - self.buffer.len() {
            return self.put_slow(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(())
    }

    #[cold]
    fn put_slow(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.flush_buffer()?;
        if bytes.len() <= self.buffer.capacity() {
            self.buffer.extend_from_slice(bytes);
            return Ok(());
        }
        // In pieces, so that the sink sees the same rhythm whatever the values are.
        for piece in bytes.chunks(BUFFER_BYTES) {
            if let Some(crc) = &mut self.crc {
                crc.update(piece);
            }
            self.sink.write_all(piece)?;
            self.flushed += piece.len() as u64;
        }
        Ok(())
    }

    fn flush_buffer(&mut self) -> io::Result<()> {
        if let Some(crc) = &mut self.crc {
            crc.update(&self.buffer);
        }
        self.sink.write_all(&self.buffer)?;
        self.flushed += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}

/// What payloads are written with, one after the other: the same memory for all, and bytes as Redis packs them.
impl Writer<Vec<u8>> {
    pub(crate) fn for_payloads() -> Self {
        Self {
            packer: Packer::Exact(liblzf::Compressor::new()),
            ..Self::with_buffer(Vec::new(), true, false, PAYLOAD_BUFFER_BYTES)
        }
    }

    /// Begins a value of the form of `encoding`; nothing is left of the last one, however far it came.
    pub(crate) fn begin_payload(&mut self, compress: bool, encoding: Encoding) -> io::Result<()> {
        self.sink.clear();
        self.buffer.clear();
        self.compress = compress;
        self.put(&[encoding.code()])
    }

    /// What was written since, with room for `more` bytes.
    pub(crate) fn take_payload(&mut self, more: usize) -> io::Result<Vec<u8>> {
        self.sink.reserve(self.buffer.len() + more);
        self.flush_buffer()?;
        Ok(std::mem::take(&mut self.sink))
    }

    /// The memory kept for the next value, bytes.
    pub(crate) fn memory_bytes(&mut self) -> usize {
        let Packer::Exact(compressor) = &self.packer else {
            return 0;
        };
        let buffers = [&self.sink, &self.buffer, &self.packed, &self.intset];
        buffers
            .iter()
            .map(|buffer| buffer.capacity())
            .sum::<usize>()
            + self.ziplist.memory().capacity()
            + self.listpack.memory().capacity()
            + compressor.memory_bytes()
    }
}

/// Gives memory back that one big value took.
fn give_back(memory: &mut Vec<u8>) {
    if memory.capacity() > KEEP_BYTES {
        *memory = Vec::new();
    }
}

/// Whether [`Writer::string`] would write a string of less than 64 bytes as a byte with its length and its bytes. False says nothing.
#[inline]
pub(crate) fn is_plain(bytes: &[u8], compress: bool) -> bool {
    match bytes {
        [] => true,
        // Perhaps a number.
        [b'-' | b'0'..=b'9', ..] if bytes.len() <= MAX_INT_DIGITS => false,
        _ => bytes.len() < MIN_COMPRESSED || !compress,
    }
}

fn too_big() -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        "a compact collection is too big for its form",
    )
}

/// How strings are packed.
pub(crate) enum Packer {
    /// Fast, for files.
    Quick(lzf::Compressor),
    /// To the very bytes of Redis, for DUMP.
    Exact(liblzf::Compressor),
}

impl Packer {
    fn compress(&mut self, input: &[u8], out: &mut Vec<u8>, limit: usize) -> bool {
        match self {
            Self::Quick(compressor) => compressor.compress(input, out, limit),
            Self::Exact(compressor) => compressor.compress(input, out, limit),
        }
    }
}
