//! From the format to the keyspace: a whole file, step by step, or the payload of one key. Values take the encodings that the limits of
//! this server give them, whatever they were written as.

use std::io::Read;

use bytes::Bytes;
use store::{
    Hash, HashBuilder, Keyspace, Limits, List, Owned, SetBuilder, StrNew, Taken, ZsetBuilder,
};

use crate::decode::Str;
use crate::dump::{self, Trust};
use crate::error::{Error, Printable, Unsupported};
use crate::format::{Encoding, Kind, Version};
use crate::input::Input;
use crate::reader::{KeyRecord, Options, Reader, Record};
use crate::save::Facts;
use crate::stream::StreamPart;
use crate::stream_builder::StreamBuilder;
use crate::value::{Field, ValueReader};
use crate::writer::SlotImport;

/// How a file is loaded.
#[derive(Clone, Copy, Debug, Default)]
pub struct LoadOptions {
    /// How it is read.
    pub read: Options,
    /// Keys that expired before are dropped, where this server decides about expiry: a master. Unix milliseconds.
    pub drop_expired_before: Option<u64>,
    /// What was dropped is remembered: see [`Loader::take_expired`].
    pub note_expired: bool,
    /// Keys that are there already are replaced, not an error.
    pub replace: bool,
}

/// What a load has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// Keys put into the keyspace.
    pub keys: u64,
    /// Keys dropped because their time had come.
    pub expired: u64,
    /// Keys dropped because their collection was empty: no such key can exist.
    pub empty: u64,
}

/// Where a load stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// There is more to load.
    More,
    /// Everything is loaded, and the checksum was good.
    Done,
}

/// Loads a file into a keyspace, a part at a time: the server answers its clients between the parts. A part ends after a number of
/// bytes, also in the middle of a big collection.
pub struct Loader<R> {
    reader: Reader<R>,
    options: LoadOptions,
    limits: Limits,
    current: Option<(KeyRecord, Collection)>,
    loaded: Loaded,
    skipped: Vec<Unsupported>,
    facts: FileFacts,
    functions: Vec<Vec<u8>>,
    expired: Vec<Expired>,
    empty: Vec<Printable>,
}

/// What was dropped because its time had come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Expired {
    /// The database.
    pub database: u32,
    /// The key.
    pub key: Vec<u8>,
    /// Fields of the hash at the key; none where all of the key was dropped.
    pub fields: Vec<Vec<u8>>,
}

/// So many empty keys are named.
const NAMED_EMPTY: u64 = 10;

/// What a file says of itself; known at its end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileFacts {
    /// As it was written; what is missing is empty.
    pub facts: Facts,
    /// The version of Valkey that wrote it; empty for another's file.
    pub valkey_version: String,
    /// Imports of slots that were under way.
    pub slot_imports: Vec<SlotImport>,
}

impl FileFacts {
    fn note(&mut self, name: &[u8], value: Str<'_>) {
        let text = String::from_utf8_lossy(&value.to_vec()).into_owned();
        let number = || text.parse().unwrap_or(0);
        let facts = &mut self.facts;
        let place = &mut facts.replication;
        match name {
            b"redis-ver" => facts.redis_version = text,
            b"valkey-ver" => self.valkey_version = text,
            b"ctime" => facts.created_s = number(),
            b"used-mem" => facts.used_memory = number(),
            b"repl-stream-db" => {
                place.get_or_insert_default().database = text.parse().ok();
            }
            b"repl-id" if text.len() == ID_BYTES => place.get_or_insert_default().id = text,
            b"repl-offset" => place.get_or_insert_default().offset = number(),
            b"aof-base" => facts.aof_base = number() != 0,
            b"cluster-slot-states" => facts.open_slots = text,
            _ => {}
        }
    }
}

/// The length of the name of a replication stream.
const ID_BYTES: usize = 40;

/// A collection under construction.
enum Collection {
    List(List),
    Set(SetBuilder),
    Zset(ZsetBuilder),
    Hash(HashBuilder),
    /// A hash some of whose fields expire; those that expired before are left out, Unix milliseconds.
    Timed {
        hash: Hash,
        drop_before: u64,
        /// What was left out, if it is to be noted.
        dropped: Option<Vec<Vec<u8>>>,
    },
    Stream(StreamBuilder),
}

/// What a collection got.
enum Added {
    One,
    /// As many as were at hand.
    Row,
    /// It is complete.
    Nothing,
}

impl<R: Read> Loader<R> {
    /// Reads the header of the file.
    ///
    /// # Errors
    /// Those of [`Reader::open`].
    pub fn open(input: Input<R>, options: LoadOptions, limits: Limits) -> Result<Self, Error> {
        let reader = Reader::open(input, options.read)?;
        Ok(Self {
            reader,
            options,
            limits,
            current: None,
            loaded: Loaded::default(),
            skipped: Vec::new(),
            facts: FileFacts::default(),
            functions: Vec::new(),
            expired: Vec::new(),
            empty: Vec::new(),
        })
    }

    /// Loads about `bytes` more of the file, and nothing beyond where these end at the end of a record.
    ///
    /// # Errors
    /// Any of [`Error`]. What was loaded until then is a part of a dataset, and not to be used.
    pub fn step(&mut self, keyspace: &mut Keyspace, bytes: u64) -> Result<Progress, Error> {
        let until = self.reader.offset().saturating_add(bytes.max(1));
        while self.reader.offset() < until {
            if let Some((key, mut collection)) = self.current.take() {
                let limits = limits_of(key.encoding, &self.limits);
                if !collection.fill(&mut self.reader, &limits, until)? {
                    self.current = Some((key, collection));
                    return Ok(Progress::More);
                }
                self.note_fields(&key, &mut collection);
                self.insert(keyspace, key, collection.into_owned(&limits))?;
                // What follows may not be there yet.
                continue;
            }
            let key = match self.reader.next_record()? {
                None => return Ok(Progress::Done),
                Some(Record::Key(key)) => key,
                Some(Record::Select(database)) => {
                    check_database(keyspace, database)?;
                    continue;
                }
                Some(Record::Skipped(what)) => {
                    self.skipped.push(what);
                    continue;
                }
                Some(Record::Aux { name, value }) => {
                    self.facts.note(name, value);
                    continue;
                }
                Some(Record::Function(code)) => {
                    self.functions.push(code.to_vec());
                    continue;
                }
                Some(Record::SlotImport(import)) => {
                    self.facts.slot_imports.push(import);
                    continue;
                }
                Some(Record::Resize { .. }) => continue,
            };
            let expired = |before: u64| {
                key.expire_ms
                    .is_some_and(|at| at < i64::try_from(before).unwrap_or(i64::MAX))
            };
            if self.options.drop_expired_before.is_some_and(expired) {
                self.loaded.expired += 1;
                if self.options.note_expired {
                    self.note(key.database, Vec::new());
                }
            } else if key.kind == Kind::String {
                self.insert_string(keyspace, key)?;
            } else {
                let mut collection = Collection::new(key.encoding, self.reader.offset());
                if let Collection::Timed {
                    drop_before,
                    dropped,
                    ..
                } = &mut collection
                {
                    *drop_before = self.options.drop_expired_before.unwrap_or(0);
                    *dropped = self.options.note_expired.then(Vec::new);
                }
                self.current = Some((key, collection));
            }
        }
        Ok(Progress::More)
    }

    /// Offset of the next byte of the file.
    pub fn offset(&self) -> u64 {
        self.reader.offset()
    }

    /// What was done so far.
    pub fn loaded(&self) -> Loaded {
        self.loaded
    }

    /// What was passed over since the last call; each is worth a warning.
    pub fn take_skipped(&mut self) -> Vec<Unsupported> {
        std::mem::take(&mut self.skipped)
    }

    /// The code of the function libraries that came since the last call: to be loaded, or refused ([`Unsupported::library`]).
    pub fn take_functions(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.functions)
    }

    /// The keys and fields dropped since the last call because their time had come, if they were to be noted.
    pub fn take_expired(&mut self) -> Vec<Expired> {
        std::mem::take(&mut self.expired)
    }

    /// Notes that the key that was read, or fields of it, were dropped.
    fn note(&mut self, database: u32, fields: Vec<Vec<u8>>) {
        self.expired.push(Expired {
            database,
            key: self.reader.key().to_vec(),
            fields,
        });
    }

    fn note_fields(&mut self, key: &KeyRecord, collection: &mut Collection) {
        if let Collection::Timed {
            dropped: Some(fields),
            ..
        } = collection
            && !fields.is_empty()
        {
            let fields = std::mem::take(fields);
            self.note(key.database, fields);
        }
    }

    /// The first of the keys dropped since the last call because their collections were empty; each is worth a line.
    pub fn take_empty(&mut self) -> Vec<Printable> {
        std::mem::take(&mut self.empty)
    }

    /// What the file says of itself, so far.
    pub fn facts(&self) -> &FileFacts {
        &self.facts
    }

    /// The version of the file.
    pub fn version(&self) -> Version {
        self.reader.version()
    }

    /// Whether the file was written with its checksum disabled (known at the end). Redis 3.0 logs that:
    /// [`crate::UNCHECKED`].
    pub fn was_unchecked(&self) -> bool {
        self.reader.was_unchecked()
    }

    /// Gives the input back; at the end it stands behind the file.
    pub fn into_input(self) -> Input<R> {
        self.reader.into_input()
    }

    fn insert_string(&mut self, keyspace: &mut Keyspace, record: KeyRecord) -> Result<(), Error> {
        check_database(keyspace, record.database)?;
        let db = keyspace.db(record.database as usize);
        let before = db.len();
        let (key, value) = self.reader.key_and_string()?;
        let value = match value {
            Str::Int(value) => StrNew::Int(value),
            Str::Bytes(bytes) => StrNew::encode(bytes),
        };
        db.set_str_until(key, value, expiry(&record));
        if db.len() == before && !self.options.replace {
            return Err(self.reader.fault("the key comes twice"));
        }
        db.set_usage(self.reader.key(), record.idle_seconds, record.frequency);
        self.loaded.keys += 1;
        Ok(())
    }

    fn insert(
        &mut self,
        keyspace: &mut Keyspace,
        record: KeyRecord,
        value: Option<Owned>,
    ) -> Result<(), Error> {
        let Some(value) = value else {
            self.loaded.empty += 1;
            if self.loaded.empty <= NAMED_EMPTY {
                self.empty.push(Printable::new(self.reader.key()));
            }
            return Ok(());
        };
        check_database(keyspace, record.database)?;
        let db = keyspace.db(record.database as usize);
        let before = db.len();
        db.insert_until(self.reader.key(), value, expiry(&record));
        if db.len() == before && !self.options.replace {
            return Err(self.reader.fault("the key comes twice"));
        }
        db.set_usage(self.reader.key(), record.idle_seconds, record.frequency);
        self.loaded.keys += 1;
        Ok(())
    }
}

/// What Redis 3.0 logs after loading a file without a checksum.
pub const UNCHECKED: &str = "RDB file was saved with checksum disabled: no check performed.";

/// The value in a DUMP payload.
///
/// # Errors
/// [`Error::Payload`] where version or checksum are wrong; [`Error::Type`] where the version has no such type; any other where the value
/// is bad.
pub fn restore(payload: &[u8], limits: &Limits, trust: Trust) -> Result<Owned, Error> {
    let (mut reader, kind, encoding) = dump::open(payload, trust)?;
    let value = if kind == Kind::String {
        match reader.string()? {
            Str::Int(value) => Owned::Int(value),
            Str::Bytes(bytes) => match StrNew::encode(bytes) {
                StrNew::Int(value) => Owned::Int(value),
                _ => Owned::Bytes {
                    bytes: Bytes::copy_from_slice(bytes),
                    raw: false,
                },
            },
        }
    } else {
        let mut collection = Collection::new(encoding, reader.offset());
        let limits = limits_of(encoding, limits);
        collection.fill(&mut reader, &limits, u64::MAX)?;
        collection
            .into_owned(&limits)
            .ok_or_else(|| reader.fault("an empty collection"))?
    };
    if reader.is_at_end()? {
        Ok(value)
    } else {
        Err(reader.fault("bytes follow the value"))
    }
}

/// What a collection is filled from: a file or a payload.
trait Elements {
    fn next_element(&mut self) -> Result<Option<Str<'_>>, Error>;
    fn next_row(&mut self, take: impl FnOnce(&[u8], usize) -> Taken) -> usize;
    fn next_pair(&mut self) -> Result<Option<(Str<'_>, Str<'_>)>, Error>;
    fn next_field(&mut self) -> Result<Option<Field<'_>>, Error>;
    fn next_member(&mut self) -> Result<Option<(Str<'_>, f64)>, Error>;
    fn next_stream_part(&mut self) -> Result<Option<StreamPart<'_>>, Error>;
    fn offset(&self) -> u64;
    fn fault(&self, what: &'static str) -> Error;
}

macro_rules! elements_of {
    ($reader:ident) => {
        impl<R: Read> Elements for $reader<R> {
            fn next_element(&mut self) -> Result<Option<Str<'_>>, Error> {
                $reader::next_element(self)
            }

            fn next_row(&mut self, take: impl FnOnce(&[u8], usize) -> Taken) -> usize {
                $reader::next_row(self, take)
            }

            fn next_pair(&mut self) -> Result<Option<(Str<'_>, Str<'_>)>, Error> {
                $reader::next_pair(self)
            }

            fn next_field(&mut self) -> Result<Option<Field<'_>>, Error> {
                $reader::next_field(self)
            }

            fn next_member(&mut self) -> Result<Option<(Str<'_>, f64)>, Error> {
                $reader::next_member(self)
            }

            fn next_stream_part(&mut self) -> Result<Option<StreamPart<'_>>, Error> {
                $reader::next_stream_part(self)
            }

            fn offset(&self) -> u64 {
                $reader::offset(self)
            }

            fn fault(&self, what: &'static str) -> Error {
                $reader::fault(self, what)
            }
        }
    };
}

elements_of!(Reader);
elements_of!(ValueReader);

impl Collection {
    /// A collection for a value that begins at `offset`.
    fn new(encoding: Encoding, offset: u64) -> Self {
        match encoding.kind() {
            Some(Kind::Hash) if encoding.has_expiries() => Self::Timed {
                hash: Hash::new(),
                drop_before: 0,
                dropped: None,
            },
            // Neither a string nor a module's value ever comes here; an empty list holds nothing.
            Some(Kind::List | Kind::String) | None => Self::List(List::new()),
            Some(Kind::Set) => Self::Set(SetBuilder::default()),
            Some(Kind::Zset) => Self::Zset(ZsetBuilder::new()),
            Some(Kind::Hash) => Self::Hash(HashBuilder::default()),
            Some(Kind::Stream) => {
                let counts_reads = encoding != Encoding::Stream;
                Self::Stream(StreamBuilder::new(counts_reads, offset))
            }
        }
    }

    /// Adds elements until the value ends, or the source passes `until`; whether it ended.
    fn fill(
        &mut self,
        from: &mut impl Elements,
        limits: &Limits,
        until: u64,
    ) -> Result<bool, Error> {
        /// Elements between looks at the offset: a compact form gives many without moving it.
        const AT_ONCE: usize = 4096;
        loop {
            for _ in 0..AT_ONCE {
                match self.add(from, limits)? {
                    Added::One => {}
                    Added::Row => break,
                    Added::Nothing if self.settle() => return Ok(true),
                    Added::Nothing => return Err(twice(from)),
                }
            }
            if from.offset() >= until {
                return Ok(false);
            }
        }
    }

    /// Adds the next element, or several that stand as a list stores them.
    fn add(&mut self, from: &mut impl Elements, limits: &Limits) -> Result<Added, Error> {
        let (mut first, mut second) = (itoa::Buffer::new(), itoa::Buffer::new());
        let distinct = match self {
            Self::List(list) => {
                if from.next_row(|row, most| list.extend_back(row, most)) > 0 {
                    return Ok(Added::Row);
                }
                let Some(element) = from.next_element()? else {
                    return Ok(Added::Nothing);
                };
                list.push_back(element.bytes(&mut first), limits);
                true
            }
            Self::Set(set) => {
                let Some(member) = from.next_element()? else {
                    return Ok(Added::Nothing);
                };
                set.push(member.bytes(&mut first), limits)
            }
            Self::Zset(zset) => {
                let Some((member, score)) = from.next_member()? else {
                    return Ok(Added::Nothing);
                };
                zset.push(member.bytes(&mut first), score, limits)
            }
            Self::Hash(hash) => {
                let Some((field, value)) = from.next_pair()? else {
                    return Ok(Added::Nothing);
                };
                hash.push(field.bytes(&mut first), value.bytes(&mut second), limits)
            }
            Self::Timed {
                hash,
                drop_before,
                dropped,
            } => {
                let Some((field, value, until)) = from.next_field()? else {
                    return Ok(Added::Nothing);
                };
                let (field, value) = (field.bytes(&mut first), value.bytes(&mut second));
                match until {
                    Some(until) if until < *drop_before => {
                        if let Some(dropped) = dropped {
                            dropped.push(field.to_vec());
                        }
                        true
                    }
                    Some(until) => hash.set_until(field, value, until),
                    None => hash.set(field, value, limits),
                }
            }
            Self::Stream(stream) => return add_part(stream, from, limits),
        };
        if distinct {
            Ok(Added::One)
        } else {
            Err(twice(from))
        }
    }

    /// Puts the last elements where they belong; false where one of them came twice.
    fn settle(&mut self) -> bool {
        match self {
            Self::List(_) | Self::Timed { .. } | Self::Stream(_) => true,
            Self::Set(set) => set.settle(),
            Self::Zset(zset) => zset.settle(),
            Self::Hash(hash) => hash.settle(),
        }
    }

    /// The value; `None` where it is empty.
    fn into_owned(self, limits: &Limits) -> Option<Owned> {
        let (empty, value) = match self {
            Self::List(list) => (list.is_empty(), Owned::List(list)),
            Self::Set(set) => {
                let set = set.finish();
                (set.is_empty(), Owned::Set(set))
            }
            Self::Zset(zset) => {
                let mut zset = zset.finish();
                zset.compact_if_small(limits);
                (zset.is_empty(), Owned::Zset(zset))
            }
            Self::Hash(hash) => {
                let hash = hash.finish();
                (hash.see().is_empty(), Owned::Hash(hash))
            }
            Self::Timed { hash, .. } => (hash.see().is_empty(), Owned::Hash(hash)),
            // A stream may be empty.
            Self::Stream(stream) => (false, Owned::Stream(stream.finish())),
        };
        (!empty).then_some(value)
    }
}

/// Adds the next part of a stream.
fn add_part(
    stream: &mut StreamBuilder,
    from: &mut impl Elements,
    limits: &Limits,
) -> Result<Added, Error> {
    let offset = from.offset();
    let added = match from.next_stream_part()? {
        None => stream.end_group().map(|()| Added::Nothing),
        Some(StreamPart::Entry(id, fields)) => stream
            .entry(id, fields, limits, offset)
            .map(|()| Added::One),
        Some(part) => stream.part(&part).map(|()| Added::One),
    };
    added.map_err(|what| from.fault(what))
}

fn twice(from: &impl Elements) -> Error {
    from.fault("a member or field comes twice")
}

/// The limits for a value that was written as `encoding`: where that is a compact form, Redis looks at its number of elements only.
fn limits_of(encoding: Encoding, limits: &Limits) -> Limits {
    let mut limits = limits.clone();
    match encoding {
        Encoding::HashZiplist | Encoding::HashListpack => limits.hash_value = usize::MAX,
        Encoding::SetListpack => (limits.set_intset_entries, limits.set_value) = (0, usize::MAX),
        Encoding::ZsetZiplist | Encoding::ZsetListpack => limits.zset_value = usize::MAX,
        _ => {}
    }
    limits
}

fn expiry(record: &KeyRecord) -> Option<u64> {
    // Before 1970 is as expired as 1970.
    record.expire_ms.map(|at| u64::try_from(at).unwrap_or(0))
}

fn check_database(keyspace: &Keyspace, database: u32) -> Result<(), Error> {
    let configured = keyspace.databases();
    if (database as usize) < configured {
        Ok(())
    } else {
        Err(Error::Database { configured })
    }
}
