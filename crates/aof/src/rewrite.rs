//! The shortest commands that make a keyspace: what a rewrite puts in place of the history. Running it, and appending what was written
//! meanwhile, is the business of others.

use std::io::{self, Write};

use resp::number::DoubleBuffer;
use resp::put_length;
use store::{HashRef, Keyspace, Str, Value};

use crate::encode::{encode_timestamp, put_bulk};

/// How many elements, members or pairs one command carries at most.
pub const ITEMS_PER_COMMAND: usize = 64;

/// Bytes written to the sink at once.
const BUFFER_BYTES: usize = 256 * 1024;

/// Writes commands into a sink, in memory that follows the biggest element.
pub struct Rewriter<W> {
    sink: W,
    buffer: Vec<u8>,
    flushed: u64,
}

impl<W: Write> Rewriter<W> {
    /// A rewriter into `sink`.
    pub fn new(sink: W) -> Self {
        Self {
            sink,
            buffer: Vec::with_capacity(BUFFER_BYTES),
            flushed: 0,
        }
    }

    /// Writes a library of functions.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn library(&mut self, code: &[u8]) -> io::Result<()> {
        self.begin(3, b"FUNCTION");
        self.bulk(b"LOAD")?;
        self.bulk(code)
    }

    /// Writes when what follows was written, Unix seconds.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn stamp(&mut self, unix_s: u64) -> io::Result<()> {
        encode_timestamp(&mut self.buffer, unix_s);
        Ok(())
    }

    /// Writes all keys that did not expire before `now_ms` (Unix milliseconds). `progress` is called after each with the number of
    /// bytes written; what it answers can end the rewrite.
    ///
    /// # Errors
    /// Those of the sink and of `progress`.
    pub fn keyspace(
        &mut self,
        keyspace: &Keyspace,
        now_ms: u64,
        mut progress: impl FnMut(u64) -> io::Result<()>,
    ) -> io::Result<()> {
        for database in 0..keyspace.databases() {
            let db = keyspace.db_ref(database);
            if db.total_len() == 0 {
                continue;
            }
            self.begin(2, b"SELECT");
            self.bulk(itoa::Buffer::new().format(database).as_bytes())?;
            let mut result = Ok(());
            db.for_each(|key, value, expire_ms| {
                if result.is_ok() && expire_ms.is_none_or(|at| at >= now_ms) {
                    result = self
                        .key(key, value, expire_ms)
                        .and_then(|()| progress(self.written()));
                }
            });
            result?;
        }
        Ok(())
    }

    /// Writes all keys of some slots, given from each first to each last one, in the order of their numbers: those whose time has come
    /// too, for it is their owner who deletes them. `after` is called after each key with the number of bytes written; where it answers
    /// true, what is buffered goes out.
    ///
    /// # Errors
    /// Those of the sink and of `after`.
    pub fn slots(
        &mut self,
        keyspace: &Keyspace,
        slots: &[(u16, u16)],
        mut after: impl FnMut(u64) -> io::Result<bool>,
    ) -> io::Result<()> {
        for database in 0..keyspace.databases() {
            let db = keyspace.db_ref(database);
            let mut selected = false;
            for slot in slots.iter().flat_map(|(first, last)| *first..=*last) {
                if db.slot_len(slot) == 0 {
                    continue;
                }
                if !std::mem::replace(&mut selected, true) {
                    self.begin(2, b"SELECT");
                    self.bulk(itoa::Buffer::new().format(database).as_bytes())?;
                }
                let mut result = Ok(());
                db.for_each_in_slot(slot, |key, value, expire_ms| {
                    if result.is_ok() {
                        result = self.key(key, value, expire_ms).and_then(|()| {
                            if after(self.written())? {
                                self.flush()?;
                                self.sink.flush()?;
                            }
                            Ok(())
                        });
                    }
                });
                result?;
            }
        }
        Ok(())
    }

    /// Writes that slots are being imported: what follows of them is not to be seen.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn slot_import(&mut self, name: &str, slots: &[(u16, u16)]) -> io::Result<()> {
        self.begin(6 + 2 * slots.len(), b"CLUSTER");
        for word in ["SYNCSLOTS", "ESTABLISH", "NAME", name, "SLOTSRANGE"] {
            self.bulk(word.as_bytes())?;
        }
        let mut number = itoa::Buffer::new();
        for slot in slots.iter().flat_map(|(first, last)| [first, last]) {
            self.bulk(number.format(*slot).as_bytes())?;
        }
        Ok(())
    }

    /// Writes one key of the current database, with its expiry (Unix milliseconds).
    ///
    /// # Errors
    /// Those of the sink.
    pub fn key(&mut self, key: &[u8], value: Value<'_>, expire_ms: Option<u64>) -> io::Result<()> {
        let mut digits = [0; 20];
        match value {
            Value::Str(value) => {
                self.begin(3, b"SET");
                self.bulk(key)?;
                match value {
                    Str::Big(bytes) => self.bulk(bytes)?,
                    other => self.bulk(other.bytes(&mut digits))?,
                }
            }
            Value::List(list) => {
                self.items(
                    b"RPUSH",
                    key,
                    list.len(),
                    1,
                    list.iter_from(0),
                    |out, element| out.bulk(element),
                )?;
            }
            Value::Set(set) => {
                self.items(b"SADD", key, set.len(), 1, set.iter(), |out, member| {
                    out.bulk(member.bytes(&mut digits))
                })?;
            }
            Value::Zset(zset) => self.items(
                b"ZADD",
                key,
                zset.len(),
                2,
                zset.iter(),
                |out, (member, score)| {
                    out.bulk(DoubleBuffer::new().format(score).as_bytes())?;
                    out.bulk(member)
                },
            )?,
            Value::Hash(hash) => self.hash(key, hash)?,
            Value::Stream(stream) => self.stream(key, stream)?,
        }
        if let Some(expire_ms) = expire_ms {
            self.begin(3, b"PEXPIREAT");
            self.bulk(key)?;
            self.bulk(itoa::Buffer::new().format(expire_ms).as_bytes())?;
        }
        Ok(())
    }

    /// How many bytes were written so far.
    pub fn written(&self) -> u64 {
        self.flushed + self.buffer.len() as u64
    }

    /// Writes what is buffered, and gives the sink back.
    ///
    /// # Errors
    /// Those of the sink.
    pub fn finish(mut self) -> io::Result<W> {
        self.flush()?;
        self.sink.flush()?;
        Ok(self.sink)
    }

    fn hash(&mut self, key: &[u8], hash: HashRef<'_>) -> io::Result<()> {
        let plain = hash.iter_timed().filter(|(.., until)| until.is_none());
        let len = hash.len() - hash.timed_len();
        self.items(b"HMSET", key, len, 2, plain, |out, (field, value, _)| {
            out.bulk(field)?;
            out.bulk(value)
        })?;
        if hash.timed_len() == 0 {
            return Ok(());
        }
        for (field, value, until) in hash.iter_timed() {
            let Some(until) = until else {
                continue;
            };
            self.begin(8, b"HSETEX");
            self.bulk(key)?;
            self.bulk(b"PXAT")?;
            self.bulk(itoa::Buffer::new().format(until).as_bytes())?;
            self.bulk(b"FIELDS")?;
            self.bulk(b"1")?;
            self.bulk(field)?;
            self.bulk(value)?;
        }
        Ok(())
    }

    /// Commands of `name` with all `items`, `len` of them; each is `width` arguments, which `write` writes.
    fn items<T>(
        &mut self,
        name: &[u8],
        key: &[u8],
        len: usize,
        width: usize,
        items: impl Iterator<Item = T>,
        mut write: impl FnMut(&mut Self, T) -> io::Result<()>,
    ) -> io::Result<()> {
        for (index, item) in items.enumerate() {
            if index % ITEMS_PER_COMMAND == 0 {
                let carried = len.saturating_sub(index).min(ITEMS_PER_COMMAND);
                self.begin(2 + carried * width, name);
                self.bulk(key)?;
            }
            write(self, item)?;
        }
        Ok(())
    }

    pub(crate) fn begin(&mut self, args: usize, name: &[u8]) {
        put_length(&mut self.buffer, b'*', args);
        put_bulk(&mut self.buffer, name);
    }

    pub(crate) fn bulk(&mut self, bytes: &[u8]) -> io::Result<()> {
        /// Room for the count line and the end of the line.
        const AROUND: usize = 32;
        if self.buffer.len() + bytes.len() + AROUND > BUFFER_BYTES {
            self.flush()?;
        }
        if bytes.len() <= BUFFER_BYTES / 2 {
            put_bulk(&mut self.buffer, bytes);
            return Ok(());
        }
        put_length(&mut self.buffer, b'$', bytes.len());
        self.flush()?;
        // In pieces, so that the sink sees the same rhythm whatever the values are.
        for piece in bytes.chunks(BUFFER_BYTES) {
            self.sink.write_all(piece)?;
            self.flushed += piece.len() as u64;
        }
        self.buffer.extend_from_slice(b"\r\n");
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.write_all(&self.buffer)?;
        self.flushed += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
