//! Streams: blocks of entries, each a listpack, then the stream's own facts, then its groups with their pending entries and
//! consumers. Read part by part; what the parts say of each other is checked here as far as it needs no memory.

use std::io::{self, Read, Write};

use store::{Group, Stream, StreamEntry, StreamId};

use crate::blob::{Cursor, Fault, Form, Pack as _};
use crate::decode::Str;
use crate::error::Error;
use crate::format::Encoding;
use crate::value::ValueReader;
use crate::writer::Writer;

/// What stands next in a stream.
#[derive(Debug)]
pub enum StreamPart<'a> {
    /// An entry. Their ids rise.
    Entry(StreamId, Fields<'a>),
    /// Behind all entries: what the stream knows of itself.
    Facts(StreamFacts),
    /// A group; what is pending follows, then its consumers.
    Group {
        /// Its name.
        name: &'a [u8],
        /// The last entry that it was given.
        last_id: StreamId,
        /// How many it was given, where that is known.
        entries_read: Option<u64>,
    },
    /// An entry that the group waits for.
    Pending {
        /// Which.
        id: StreamId,
        /// When it was delivered last, Unix milliseconds.
        delivered_ms: u64,
        /// How often.
        deliveries: u64,
    },
    /// A consumer of the group; what it owns follows.
    Consumer {
        /// Its name.
        name: &'a [u8],
        /// When it was seen last, Unix milliseconds.
        seen_ms: u64,
        /// When it was given something last; `None` where it never was.
        active_ms: Option<u64>,
    },
    /// One of the group's pending entries is the consumer's.
    Owned(StreamId),
}

/// What a stream knows of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamFacts {
    /// How many entries it has; these have all been given.
    pub length: u64,
    /// The last id that was ever given.
    pub last_id: StreamId,
    /// The highest id that was deleted.
    pub max_deleted: StreamId,
    /// How many entries were ever added.
    pub entries_added: u64,
}

/// Fields and values of an entry, in order.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a> {
    blob: &'a [u8],
    words: &'a Words,
}

impl<'a> Fields<'a> {
    /// How many fields.
    #[must_use]
    pub fn len(self) -> usize {
        self.words.words.len() / 2
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.words.words.is_empty()
    }

    /// Fields and values.
    pub fn iter(self) -> impl ExactSizeIterator<Item = (&'a [u8], &'a [u8])> + Clone {
        let word = move |word: &Word| {
            let bytes = if word.is_number {
                &self.words.digits
            } else {
                self.blob
            };
            bytes.get(word.start..word.end).unwrap_or_default()
        };
        let pairs = self.words.words.chunks_exact(2);
        pairs.map(move |pair| (word(&pair[0]), word(&pair[1])))
    }
}

/// Where the fields and values of an entry lie: nothing is copied, since many entries may share one long name.
#[derive(Debug, Default)]
struct Words {
    words: Vec<Word>,
    /// The numbers among them, as text.
    digits: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Word {
    /// In the digits; otherwise in the block.
    is_number: bool,
    start: usize,
    end: usize,
}

impl Words {
    fn clear(&mut self) {
        self.words.clear();
        self.digits.clear();
    }

    /// Adds an element of `blob`.
    fn push(&mut self, blob: &[u8], element: Str<'_>) {
        let (is_number, start, end) = match element {
            Str::Int(number) => {
                let start = self.digits.len();
                let mut digits = itoa::Buffer::new();
                self.digits
                    .extend_from_slice(digits.format(number).as_bytes());
                (true, start, self.digits.len())
            }
            // It is a part of the block.
            Str::Bytes(bytes) => {
                let start = bytes.as_ptr().addr().wrapping_sub(blob.as_ptr().addr());
                (false, start, start.saturating_add(bytes.len()))
            }
        };
        self.words.push(Word {
            is_number,
            start,
            end,
        });
    }
}

/// What is left of a stream that was begun.
#[derive(Debug, Default)]
pub(crate) struct StreamBody {
    stage: Stage,
    generation: u8,
    block: Option<Block>,
    /// The entry that was read last.
    words: Words,
    last_id: Option<StreamId>,
    entries: u64,
    facts: StreamFacts,
}

/// What comes next.
#[derive(Clone, Copy, Debug, Default)]
enum Stage {
    #[default]
    Over,
    /// So many blocks.
    Blocks(u64),
    /// So many groups.
    Groups(u64),
    /// So many pending entries, of a group with so many groups behind it.
    Pending { left: u64, groups: u64 },
    /// So many consumers, with so many groups behind them.
    Consumers { left: u64, groups: u64 },
    /// So many of a consumer's entries, with so many consumers and groups behind them.
    Owned {
        left: u64,
        consumers: u64,
        groups: u64,
    },
}

/// A place in a block of entries.
#[derive(Clone, Copy, Debug)]
struct Block {
    cursor: Cursor,
    /// What the ids in it are told against.
    first: StreamId,
    /// Where the names stand that entries share, and how many there are.
    names: Cursor,
    shared: u64,
    /// What is still to come, as the header says.
    live: u64,
    deleted: u64,
}

/// The entry was deleted.
const DELETED: i64 = 1;
/// The entry has the block's names.
const SAME_NAMES: i64 = 2;

const CUT: Fault = "a block of a stream ends too early";
const NO_NUMBER: Fault = "a block of a stream has something else where a number must be";
const MISCOUNTED: Fault = "a block of a stream is wrong about how many entries it has";

impl Block {
    fn open(blob: &[u8], first: StreamId) -> Result<Self, Fault> {
        let mut cursor = Cursor::open(Form::Listpack, blob)?;
        let live = count(&mut cursor, blob)?;
        let deleted = count(&mut cursor, blob)?;
        let shared = count(&mut cursor, blob)?;
        let names = cursor;
        for _ in 0..shared {
            cursor.next(blob)?.ok_or(CUT)?;
        }
        if number(&mut cursor, blob)? != 0 {
            return Err("the names of a block of a stream have no end mark");
        }
        Ok(Self {
            cursor,
            first,
            names,
            shared,
            live,
            deleted,
        })
    }

    /// The next entry that was not deleted: its id, and in `words` its fields and values.
    fn next(&mut self, blob: &[u8], words: &mut Words) -> Result<Option<StreamId>, Fault> {
        loop {
            if self.live == 0 && self.deleted == 0 {
                let more = self.cursor.next(blob)?;
                return if more.is_none() {
                    Ok(None)
                } else {
                    Err(MISCOUNTED)
                };
            }
            let flags = number(&mut self.cursor, blob)?;
            let left = if flags & DELETED == 0 {
                &mut self.live
            } else {
                &mut self.deleted
            };
            *left = left.checked_sub(1).ok_or(MISCOUNTED)?;
            let ms = number(&mut self.cursor, blob)?;
            let seq = number(&mut self.cursor, blob)?;
            words.clear();
            self.fields(flags & SAME_NAMES != 0, blob, words)?;
            if flags & DELETED == 0 {
                // Modulo 2^64, as it is written; that ids rise is looked at by who reads them.
                return Ok(Some(StreamId {
                    ms: self.first.ms.wrapping_add_signed(ms),
                    seq: self.first.seq.wrapping_add_signed(seq),
                }));
            }
        }
    }

    fn fields(&mut self, same_names: bool, blob: &[u8], words: &mut Words) -> Result<(), Fault> {
        // Flags and the two parts of the id; then, in front of the names, how many there are.
        let (fields, elements) = if same_names {
            let mut names = self.names;
            for _ in 0..self.shared {
                words.push(blob, names.next(blob)?.ok_or(CUT)?);
                words.push(blob, self.cursor.next(blob)?.ok_or(CUT)?);
            }
            (self.shared, self.shared.checked_add(3))
        } else {
            let fields = count(&mut self.cursor, blob)?;
            for _ in 0..fields {
                words.push(blob, self.cursor.next(blob)?.ok_or(CUT)?);
                words.push(blob, self.cursor.next(blob)?.ok_or(CUT)?);
            }
            (
                fields,
                fields.checked_mul(2).and_then(|two| two.checked_add(4)),
            )
        };
        if fields == 0 {
            return Err("an entry of a stream has no fields");
        }
        let said = number(&mut self.cursor, blob)?;
        if u64::try_from(said).ok() != elements {
            return Err("an entry of a stream is wrong about its own length");
        }
        Ok(())
    }
}

/// The next element, which must be a number.
fn number(cursor: &mut Cursor, blob: &[u8]) -> Result<i64, Fault> {
    match cursor.next(blob)?.ok_or(CUT)? {
        Str::Int(number) => Ok(number),
        Str::Bytes(_) => Err(NO_NUMBER),
    }
}

/// The next element, which must be a number from 0 up.
fn count(cursor: &mut Cursor, blob: &[u8]) -> Result<u64, Fault> {
    u64::try_from(number(cursor, blob)?).map_err(|_| NO_NUMBER)
}

impl<R: Read> ValueReader<R> {
    pub(crate) fn begin_stream(&mut self, encoding: Encoding) -> Result<(), Error> {
        let generation = match encoding {
            Encoding::Stream => 1,
            Encoding::Stream2 => 2,
            _ => 3,
        };
        let stream = &mut self.stream;
        stream.generation = generation;
        (stream.block, stream.last_id, stream.entries) = (None, None, 0);
        stream.stage = Stage::Blocks(self.decoder.length()?);
        Ok(())
    }

    /// The next part of a stream; `None` at its end.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub fn next_stream_part(&mut self) -> Result<Option<StreamPart<'_>>, Error> {
        match self.stream.stage {
            Stage::Over => Ok(None),
            Stage::Blocks(_) => self.next_entry().map(Some),
            Stage::Groups(0) => {
                self.stream.stage = Stage::Over;
                Ok(None)
            }
            Stage::Groups(left) => self.next_group(left - 1).map(Some),
            Stage::Pending { left: 0, groups } => {
                let left = self.decoder.length()?;
                self.stream.stage = Stage::Consumers { left, groups };
                self.next_stream_part()
            }
            Stage::Pending { left, groups } => {
                let left = left - 1;
                self.stream.stage = Stage::Pending { left, groups };
                let id = self.raw_id()?;
                let delivered_ms = self.instant()?.unwrap_or(0);
                let deliveries = self.decoder.length()?;
                Ok(Some(StreamPart::Pending {
                    id,
                    delivered_ms,
                    deliveries,
                }))
            }
            Stage::Consumers { left: 0, groups } => {
                self.stream.stage = Stage::Groups(groups);
                self.next_stream_part()
            }
            Stage::Consumers { left, groups } => self.next_consumer(left - 1, groups).map(Some),
            Stage::Owned {
                left: 0,
                consumers: left,
                groups,
            } => {
                self.stream.stage = Stage::Consumers { left, groups };
                self.next_stream_part()
            }
            Stage::Owned {
                left,
                consumers,
                groups,
            } => {
                let left = left - 1;
                self.stream.stage = Stage::Owned {
                    left,
                    consumers,
                    groups,
                };
                self.raw_id().map(|id| Some(StreamPart::Owned(id)))
            }
        }
    }

    /// The next entry, or what stands behind the last one.
    fn next_entry(&mut self) -> Result<StreamPart<'_>, Error> {
        loop {
            if let Some(block) = &mut self.stream.block {
                let next = block
                    .next(&self.blob, &mut self.stream.words)
                    .map_err(|what| self.decoder.corrupt(what))?;
                let Some(id) = next else {
                    self.stream.block = None;
                    continue;
                };
                if self.stream.last_id.is_some_and(|last| last >= id) {
                    return Err(self
                        .decoder
                        .corrupt("the entries of a stream are not in order"));
                }
                self.stream.last_id = Some(id);
                self.stream.entries += 1;
                let (blob, words) = (&self.blob[..], &self.stream.words);
                return Ok(StreamPart::Entry(id, Fields { blob, words }));
            }
            let Stage::Blocks(left) = self.stream.stage else {
                return Err(self
                    .decoder
                    .corrupt("an entry was asked behind the last one"));
            };
            if left == 0 {
                return self.stream_facts();
            }
            self.stream.stage = Stage::Blocks(left - 1);
            self.decoder.string_into(&mut self.blob)?;
            let first = id_of(&self.blob)
                .ok_or_else(|| self.decoder.corrupt("a block of a stream has no id"))?;
            self.decoder.string_into(&mut self.blob)?;
            let block = Block::open(&self.blob, first);
            self.stream.block = Some(block.map_err(|what| self.decoder.corrupt(what))?);
        }
    }

    fn stream_facts(&mut self) -> Result<StreamPart<'static>, Error> {
        let length = self.decoder.length()?;
        let last_id = self.id()?;
        let mut facts = StreamFacts {
            length,
            last_id,
            max_deleted: StreamId::default(),
            entries_added: length,
        };
        if self.stream.generation >= 2 {
            // The first entry's, which is known by now.
            self.id()?;
            facts.max_deleted = self.id()?;
            facts.entries_added = self.decoder.length()?;
        }
        if length != self.stream.entries {
            return Err(self
                .decoder
                .corrupt("a stream is wrong about how many entries it has"));
        }
        if self.stream.last_id.is_some_and(|last| last > last_id) {
            return Err(self
                .decoder
                .corrupt("a stream is wrong about its last entry"));
        }
        self.stream.facts = facts;
        self.stream.stage = Stage::Groups(self.decoder.length()?);
        Ok(StreamPart::Facts(facts))
    }

    fn next_group(&mut self, groups: u64) -> Result<StreamPart<'_>, Error> {
        self.decoder.string_into(&mut self.blob)?;
        let last_id = self.id()?;
        let entries_read = if self.stream.generation >= 2 {
            // All bits set where it is not known.
            Some(self.decoder.length()?).filter(|&read| read != u64::MAX)
        } else {
            None
        };
        let left = self.decoder.length()?;
        self.stream.stage = Stage::Pending { left, groups };
        Ok(StreamPart::Group {
            name: &self.blob,
            last_id,
            entries_read,
        })
    }

    fn next_consumer(&mut self, consumers: u64, groups: u64) -> Result<StreamPart<'_>, Error> {
        self.decoder.string_into(&mut self.blob)?;
        let seen_ms = self.instant()?;
        let active_ms = if self.stream.generation >= 3 {
            self.instant()?
        } else {
            seen_ms
        };
        let left = self.decoder.length()?;
        self.stream.stage = Stage::Owned {
            left,
            consumers,
            groups,
        };
        Ok(StreamPart::Consumer {
            name: &self.blob,
            seen_ms: seen_ms.unwrap_or(0),
            active_ms,
        })
    }

    /// An id in two numbers.
    fn id(&mut self) -> Result<StreamId, Error> {
        Ok(StreamId {
            ms: self.decoder.length()?,
            seq: self.decoder.length()?,
        })
    }

    /// An id in sixteen bytes.
    fn raw_id(&mut self) -> Result<StreamId, Error> {
        let bytes: [u8; 16] = self.decoder.input.array()?;
        id_of(&bytes).ok_or_else(|| self.decoder.corrupt("a stream's id of another length"))
    }

    /// Unix milliseconds; `None` where a negative number says that there was no such time.
    fn instant(&mut self) -> Result<Option<u64>, Error> {
        let at = i64::from_le_bytes(self.decoder.input.array()?);
        Ok(u64::try_from(at).ok())
    }
}

/// The id that sixteen bytes tell, highest first.
fn id_of(bytes: &[u8]) -> Option<StreamId> {
    let (ms, seq) = bytes.split_first_chunk()?;
    Some(StreamId {
        ms: u64::from_be_bytes(*ms),
        seq: u64::from_be_bytes(seq.try_into().ok()?),
    })
}

// ---- writing -------------------------------------------------------------------------------------------------------------

/// The most bytes and entries of a block, as Redis's defaults have it.
const BLOCK_BYTES: usize = 4096;
const BLOCK_ENTRIES: usize = 100;

/// Writes a stream in the generation that `encoding` names.
pub(crate) fn write_stream<W: Write>(
    writer: &mut Writer<W>,
    encoding: Encoding,
    stream: &Stream,
) -> io::Result<()> {
    let entries = || stream.range(StreamId::MIN, StreamId::MAX);
    let mut cuts = Cuts::default();
    let blocks = entries().filter(|entry| cuts.before(entry)).count();
    writer.length(blocks as u64)?;
    let mut entries = entries().peekable();
    let mut block = Vec::new();
    while let Some(first) = entries.next() {
        let mut cuts = Cuts::default();
        cuts.before(&first);
        block.push(first);
        while let Some(next) = entries.next_if(|next| !cuts.before(next)) {
            block.push(next);
        }
        write_block(writer, &block)?;
        block.clear();
    }
    writer.length(stream.len())?;
    write_id(writer, stream.last_id())?;
    if encoding != Encoding::Stream {
        write_id(
            writer,
            stream.first().map_or(StreamId::MIN, |first| first.id()),
        )?;
        write_id(writer, stream.max_deleted_id())?;
        writer.length(stream.entries_added())?;
    }
    let groups = stream.groups();
    writer.length(groups.len() as u64)?;
    for (name, group) in groups {
        write_group(writer, encoding, name, group)?;
    }
    Ok(())
}

/// Where a stream is cut into blocks. Asked about each entry once, in order, from the first one or from one that begins a block.
#[derive(Default)]
struct Cuts {
    entries: usize,
    bytes: usize,
}

impl Cuts {
    /// Whether a block begins with this entry.
    fn before(&mut self, entry: &StreamEntry<'_>) -> bool {
        /// What stands around an entry, and around each word.
        const AROUND: usize = 24;
        let words = |sum: usize, (name, value): (store::Str<'_>, store::Str<'_>)| {
            sum.saturating_add(name.len())
                .saturating_add(value.len())
                .saturating_add(AROUND)
        };
        let bytes = entry.fields().fold(AROUND, words);
        let full = self.entries >= BLOCK_ENTRIES || self.bytes.saturating_add(bytes) > BLOCK_BYTES;
        if self.entries == 0 || full {
            (self.entries, self.bytes) = (1, bytes);
            return true;
        }
        self.entries += 1;
        self.bytes += bytes;
        false
    }
}

/// A block: the id of its first entry, then a listpack with its entries. Those with the first one's names share them.
fn write_block<W: Write>(writer: &mut Writer<W>, entries: &[StreamEntry<'_>]) -> io::Result<()> {
    let Some(first) = entries.first() else {
        return Ok(());
    };
    let id = first.id();
    writer.string(&raw_id(id))?;
    let pack = &mut writer.listpack;
    let mut digits = [0; 20];
    pack.clear();
    pack.push_int(i64::try_from(entries.len()).unwrap_or(i64::MAX));
    // None of them is deleted.
    pack.push_int(0);
    pack.push_int(count_of(first));
    for (name, _) in first.fields() {
        pack.push(name.bytes(&mut digits));
    }
    pack.push_int(0);
    for entry in entries {
        let same_names = has_names_of(entry, first);
        pack.push_int(if same_names { SAME_NAMES } else { 0 });
        // Rising ids: each is told as what it is more than the block's, modulo 2^64.
        pack.push_int(entry.id().ms.wrapping_sub(id.ms).cast_signed());
        pack.push_int(entry.id().seq.wrapping_sub(id.seq).cast_signed());
        if !same_names {
            pack.push_int(count_of(entry));
        }
        for (name, value) in entry.fields() {
            if !same_names {
                pack.push(name.bytes(&mut digits));
            }
            pack.push(value.bytes(&mut digits));
        }
        let fields = count_of(entry);
        let elements = if same_names {
            fields + 3
        } else {
            2 * fields + 4
        };
        pack.push_int(elements);
    }
    writer.put_listpack()
}

fn count_of(entry: &StreamEntry<'_>) -> i64 {
    i64::try_from(entry.len()).unwrap_or(i64::MAX)
}

fn has_names_of(entry: &StreamEntry<'_>, other: &StreamEntry<'_>) -> bool {
    let (mut one, mut two) = ([0; 20], [0; 20]);
    entry.len() == other.len()
        && entry
            .fields()
            .zip(other.fields())
            .all(|((a, _), (b, _))| a.bytes(&mut one) == b.bytes(&mut two))
}

fn write_group<W: Write>(
    writer: &mut Writer<W>,
    encoding: Encoding,
    name: &[u8],
    group: &Group,
) -> io::Result<()> {
    writer.string(name)?;
    write_id(writer, group.last_id)?;
    if encoding != Encoding::Stream {
        // All bits set where it is not known.
        writer.length(group.entries_read.unwrap_or(u64::MAX))?;
    }
    writer.length(group.pending_len() as u64)?;
    for (id, pending) in group.pending_range(StreamId::MIN, StreamId::MAX) {
        writer.raw(&raw_id(id))?;
        write_instant(writer, Some(pending.delivered_ms))?;
        writer.length(pending.count)?;
    }
    let consumers = group.consumers();
    writer.length(consumers.len() as u64)?;
    for (_, consumer) in consumers {
        writer.string(consumer.name())?;
        write_instant(writer, Some(consumer.seen_ms))?;
        if encoding == Encoding::Stream3 {
            write_instant(writer, consumer.active_ms)?;
        }
        writer.length(consumer.pending_len() as u64)?;
        for id in consumer.pending_range(StreamId::MIN, StreamId::MAX) {
            writer.raw(&raw_id(id))?;
        }
    }
    Ok(())
}

fn write_id<W: Write>(writer: &mut Writer<W>, id: StreamId) -> io::Result<()> {
    writer.length(id.ms)?;
    writer.length(id.seq)
}

/// Unix milliseconds; -1 where there was no such time.
fn write_instant<W: Write>(writer: &mut Writer<W>, at: Option<u64>) -> io::Result<()> {
    let at = at.and_then(|at| i64::try_from(at).ok()).unwrap_or(-1);
    writer.raw(&at.to_le_bytes())
}

fn raw_id(id: StreamId) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&id.ms.to_be_bytes());
    bytes[8..].copy_from_slice(&id.seq.to_be_bytes());
    bytes
}
