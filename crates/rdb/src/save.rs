//! From the keyspace to the format: a whole file, or the payload of one key. Compact values are written in their compact forms, each
//! in the one that the version has.

use std::fmt;
use std::io::{self, Write};

use store::{Db, Elem, Encoding as Stored, HashRef, Keyspace, List, Part, Set, Str, Value, Zset};

use crate::blob::Pack;
use crate::dump::Dumper;
use crate::error::{Printable, library_name};
use crate::format::{Encoding, Version};
use crate::stream::write_stream;
use crate::writer::{self, SlotImport, Writer};

/// From this version on a file says who wrote it, and how big its databases are.
const FIRST_WITH_AUX: u16 = 7;
/// From this version on scores are binary.
const FIRST_WITH_BINARY_SCORES: u16 = 8;
/// From this version on keys may have access times and counters.
const FIRST_WITH_USAGE: u16 = 9;
/// From this version on there are streams.
const FIRST_WITH_STREAMS: u16 = 9;
/// From this version on compact forms are listpacks, lists are chains of them, and function libraries have a place.
const FIRST_WITH_LISTPACKS: u16 = 10;
/// From this version on small sets of strings are listpacks.
const FIRST_WITH_SET_LISTPACKS: u16 = 11;
/// From this version on Redis has fields that expire.
const FIRST_WITH_FIELD_EXPIRY: u16 = 12;
/// Keys that are looked at at once for their type.
const SCAN_STEP: usize = 1024;
/// A part of a list gets no more bytes than this, as Redis's default has it.
const LIST_PART_BYTES: usize = 8192;

/// How a file is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct SaveOptions<'a> {
    /// The version (`rdb-version`); without one, the lowest from [`Version::COMMON`] up that holds the data.
    pub version: Option<Version>,
    /// Compress strings (`rdbcompression`).
    pub compress: bool,
    /// Write a checksum (`rdbchecksum`).
    pub checksum: bool,
    /// Keys that expired before are left out. Unix milliseconds.
    pub now_ms: u64,
    /// What is written of how keys were used: what the eviction policy looks at.
    pub usage: Usage,
    /// What the file says of itself.
    pub facts: Option<&'a Facts>,
    /// The code of each function library.
    pub functions: &'a [Vec<u8>],
    /// Say where slots begin: for a server in cluster mode, whose keys are kept slot by slot.
    pub slots: bool,
    /// Imports of slots that are under way. Versions that know none are told nothing of them.
    pub slot_imports: &'a [SlotImport],
}

/// What is written of how a key was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Usage {
    /// Nothing.
    #[default]
    None,
    /// How long it was not.
    Idle,
    /// How often it was.
    Frequency,
}

/// What a file says of itself, as far as anybody looks at it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// The version of Redis that wrote it, or whose format it follows.
    pub redis_version: String,
    /// When it was written, Unix seconds.
    pub created_s: u64,
    /// The memory that the data took then, bytes.
    pub used_memory: u64,
    /// Where in the replication stream it stands.
    pub replication: Option<StreamPlace>,
    /// Whether it is the base of an append-only file.
    pub aof_base: bool,
    /// Slots of a cluster that move key by key, as its nodes tell their replicas; empty where there are none.
    pub open_slots: String,
}

/// A place in a replication stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StreamPlace {
    /// The database that the stream last selected; `None` where the next command will select one.
    pub database: Option<u32>,
    /// The name of the stream, 40 characters.
    pub id: String,
    /// How many bytes of it the data holds.
    pub offset: u64,
}

/// How far a save is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// Keys written.
    pub keys: u64,
    /// Bytes written.
    pub bytes: u64,
}

/// Why something cannot be written in a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CannotHold {
    /// The version.
    pub version: Version,
    /// What it is.
    pub what: &'static str,
    /// The key's name, or the function library's; empty where the caller knows it.
    pub name: Printable,
    /// The key's database.
    pub database: Option<u32>,
}

impl fmt::Display for CannotHold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, version, what) = (&self.name, self.version.number(), self.what);
        match self.database {
            Some(database) => write!(
                f,
                "Can't store key '{name}' (db {database}) in RDB version {version}: it is {what}"
            ),
            None => write!(f, "Can't store {what} '{name}' in RDB version {version}"),
        }
    }
}

impl std::error::Error for CannotHold {}

impl From<CannotHold> for io::Error {
    fn from(error: CannotHold) -> Self {
        Self::new(io::ErrorKind::Unsupported, error)
    }
}

/// The lowest version from [`Version::COMMON`] up that holds a keyspace.
fn version_of(keyspace: &Keyspace) -> Version {
    if has_timed_fields(keyspace) {
        Version::VALKEY
    } else {
        Version::COMMON
    }
}

fn has_timed_fields(keyspace: &Keyspace) -> bool {
    (0..keyspace.databases()).any(|database| keyspace.db_ref(database).timed_hashes() > 0)
}

/// The lowest version that can be written of `keyspace` without a loss: for a reader that does not say what it can read. Looks at each key
/// until it finds a stream.
#[must_use]
pub fn lowest_version(keyspace: &Keyspace, functions: &[Vec<u8>]) -> Version {
    let has_stream = |database: usize| {
        let (db, mut cursor, mut found) = (keyspace.db_ref(database), 0, false);
        loop {
            cursor = db.scan(cursor, SCAN_STEP, |_, value| {
                found |= matches!(value, Value::Stream(_));
            });
            if found || cursor == 0 {
                return found;
            }
        }
    };
    if has_timed_fields(keyspace) {
        return Version::VALKEY;
    }
    // From 5 on streams can be written, but not what was ever added to them, nor what their groups have read.
    let number = if !functions.is_empty() || (0..keyspace.databases()).any(has_stream) {
        FIRST_WITH_LISTPACKS
    } else {
        Version::OLDEST_WRITTEN.number()
    };
    Version::written(number).unwrap_or(Version::COMMON)
}

/// Writes `keyspace` as a file into `sink`. `progress` is called after each key; what it answers, and what `sink` answers, can end the save.
///
/// # Errors
/// Those of `sink` and `progress`; [`CannotHold`] inside one of [`io::ErrorKind::Unsupported`] where the version is too old for the data.
pub fn save<W: Write>(
    keyspace: &Keyspace,
    sink: W,
    options: SaveOptions<'_>,
    mut progress: impl FnMut(Saved) -> io::Result<()>,
) -> io::Result<(W, Saved)> {
    let imports = options.slot_imports;
    let version = options.version.unwrap_or_else(|| {
        if imports.is_empty() {
            version_of(keyspace)
        } else {
            Version::VALKEY
        }
    });
    let mut writer = Writer::new(sink, options.compress, options.checksum);
    let mut saved = Saved::default();
    writer.header(version)?;
    write_facts(&mut writer, version, options.facts)?;
    write_functions(&mut writer, version, options.functions)?;
    if version.is_valkey() {
        imports
            .iter()
            .try_for_each(|import| writer.slot_import(import))?;
    }
    for database in 0..keyspace.databases() {
        let db = keyspace.db_ref(database);
        if db.total_len() == 0 {
            continue;
        }
        let database = u32::try_from(database).unwrap_or(u32::MAX);
        let mut file = DbWriter {
            writer: &mut writer,
            version,
            options: &options,
            database,
            db,
            slot: None,
        };
        file.begin()?;
        let mut result = Ok(());
        db.for_each(|key, value, expire_ms| {
            if result.is_err() || expire_ms.is_some_and(|at| at < options.now_ms) {
                return;
            }
            result = file.key(key, value, expire_ms).and_then(|()| {
                saved = Saved {
                    keys: saved.keys + 1,
                    bytes: file.writer.written(),
                };
                progress(saved)
            });
        });
        result?;
    }
    // The end mark and the checksum.
    saved.bytes = writer.written() + 9;
    Ok((writer.finish()?, saved))
}

fn write_facts<W: Write>(
    writer: &mut Writer<W>,
    version: Version,
    facts: Option<&Facts>,
) -> io::Result<()> {
    let Some(facts) = facts.filter(|_| version.number() >= FIRST_WITH_AUX) else {
        return Ok(());
    };
    let mut number = itoa::Buffer::new();
    writer.aux("redis-ver", &facts.redis_version)?;
    writer.aux("redis-bits", number.format(usize::BITS))?;
    writer.aux("ctime", number.format(facts.created_s))?;
    writer.aux("used-mem", number.format(facts.used_memory))?;
    if let Some(place) = &facts.replication {
        let database = place.database.map_or(-1, i64::from);
        writer.aux("repl-stream-db", number.format(database))?;
        writer.aux("repl-id", &place.id)?;
        writer.aux("repl-offset", number.format(place.offset))?;
    }
    writer.aux("aof-base", number.format(u8::from(facts.aof_base)))?;
    if facts.open_slots.is_empty() {
        return Ok(());
    }
    writer.aux("cluster-slot-states", &facts.open_slots)
}

fn write_functions<W: Write>(
    writer: &mut Writer<W>,
    version: Version,
    functions: &[Vec<u8>],
) -> io::Result<()> {
    if let Some(code) = functions.first()
        && version.number() < FIRST_WITH_LISTPACKS
    {
        let name = library_name(code);
        return Err(CannotHold {
            version,
            what: "the function library",
            name,
            database: None,
        }
        .into());
    }
    functions.iter().try_for_each(|code| writer.function(code))
}

/// A database on its way into a file.
struct DbWriter<'a, W> {
    writer: &'a mut Writer<W>,
    version: Version,
    options: &'a SaveOptions<'a>,
    database: u32,
    db: &'a Db,
    /// The slot of the key before.
    slot: Option<u16>,
}

impl<W: Write> DbWriter<'_, W> {
    fn begin(&mut self) -> io::Result<()> {
        self.writer.select(self.database)?;
        if self.version.number() >= FIRST_WITH_AUX {
            let (keys, expires) = (self.db.total_len() as u64, self.db.expires_len() as u64);
            self.writer.resize(keys, expires)?;
        }
        Ok(())
    }

    #[inline]
    fn key(&mut self, key: &[u8], value: Value<'_>, expire_ms: Option<u64>) -> io::Result<()> {
        if self.options.slots && self.version.number() >= FIRST_WITH_AUX {
            self.slot_of(key)?;
        }
        if let Some(expire_ms) = expire_ms {
            self.writer.expiry(expire_ms)?;
        }
        if self.version.number() >= FIRST_WITH_USAGE {
            self.usage_of(key)?;
        }
        let encoding = encoding_of(&value, self.version);
        let encoding = encoding.map_err(|what| CannotHold {
            version: self.version,
            what,
            name: Printable::new(key),
            database: Some(self.database),
        })?;
        self.writer.key(encoding, key)?;
        write_value(self.writer, encoding, value)
    }

    /// Says how a key was used.
    fn usage_of(&mut self, key: &[u8]) -> io::Result<()> {
        match self.options.usage {
            Usage::None => {}
            Usage::Idle => {
                if let Some(seconds) = self.db.idle_seconds(key) {
                    self.writer.idle(seconds)?;
                }
            }
            Usage::Frequency => {
                if let Some(counter) = self.db.frequency(key) {
                    self.writer.frequency(counter)?;
                }
            }
        }
        Ok(())
    }

    /// Says where a slot begins: its number, how many keys it has, how many of them expire, and how many have fields that do. What is
    /// not counted is told as none, which makes no room for it.
    fn slot_of(&mut self, key: &[u8]) -> io::Result<()> {
        let slot = store::key_slot(key);
        if self.slot.replace(slot) == Some(slot) {
            return Ok(());
        }
        let keys = self.db.slot_len(slot);
        self.writer.aux("slot-info", &format!("{slot},{keys},0,0"))
    }
}

/// The DUMP payload of `value`; `compress` is `rdbcompression`.
///
/// # Errors
/// [`CannotHold`] inside one of [`io::ErrorKind::Unsupported`] where the version is too old for the value, and where a compact value
/// is too big for its form, which no configuration reaches.
pub fn dump(dumper: &mut Dumper, value: Value<'_>, compress: bool) -> io::Result<Vec<u8>> {
    let lowest = match value {
        Value::Hash(hash) if hash.timed_len() > 0 => Version::VALKEY,
        _ => Version::COMMON,
    };
    let version = dumper.version.unwrap_or(lowest);
    let encoding = encoding_of(&value, version).map_err(|what| CannotHold {
        version,
        what,
        name: Printable::default(),
        database: None,
    })?;
    dumper.dump(compress, encoding, |writer| {
        write_value(writer, encoding, value)
    })
}

/// As [`dump()`], for a reader that does not say what it can read: in the lowest version that holds the value whole, unless one is set.
///
/// # Errors
/// As [`dump()`].
pub fn dump_for_any(dumper: &mut Dumper, value: Value<'_>, compress: bool) -> io::Result<Vec<u8>> {
    let version = dumper.version;
    let is_new = match value {
        Value::Stream(_) => true,
        Value::Hash(hash) => hash.timed_len() > 0,
        _ => false,
    };
    if !is_new {
        dumper.version = version.or(Some(Version::OLDEST_WRITTEN));
    }
    let payload = dump(dumper, value, compress);
    dumper.version = version;
    payload
}

/// The form in which a value is written; what it is, where the version has none for it.
#[inline]
fn encoding_of(value: &Value<'_>, version: Version) -> Result<Encoding, &'static str> {
    let number = version.number();
    let listpacks = number >= FIRST_WITH_LISTPACKS;
    Ok(match value {
        Value::Str(_) => Encoding::String,
        Value::List(_) if listpacks => Encoding::ListQuicklist2,
        Value::List(list) if is_compact(list.encoding()) => Encoding::ListZiplist,
        Value::List(_) => Encoding::List,
        Value::Set(set) if set.encoding() == Stored::Intset => Encoding::SetIntset,
        Value::Set(set) if is_compact(set.encoding()) && number >= FIRST_WITH_SET_LISTPACKS => {
            Encoding::SetListpack
        }
        Value::Set(_) => Encoding::Set,
        Value::Zset(zset) if is_compact(zset.encoding()) => {
            if listpacks {
                Encoding::ZsetListpack
            } else {
                Encoding::ZsetZiplist
            }
        }
        Value::Zset(_) if number >= FIRST_WITH_BINARY_SCORES => Encoding::Zset2,
        Value::Zset(_) => Encoding::Zset,
        Value::Hash(hash) if hash.timed_len() > 0 => {
            if version.is_valkey() {
                Encoding::HashFields
            } else if number >= FIRST_WITH_FIELD_EXPIRY {
                Encoding::HashExpiring
            } else {
                return Err("a hash with fields that expire");
            }
        }
        Value::Hash(hash) if is_compact(hash.encoding()) => {
            if listpacks {
                Encoding::HashListpack
            } else {
                Encoding::HashZiplist
            }
        }
        Value::Hash(_) => Encoding::Hash,
        Value::Stream(_) => match number {
            ..FIRST_WITH_STREAMS => return Err("a stream"),
            FIRST_WITH_STREAMS..FIRST_WITH_LISTPACKS => Encoding::Stream,
            FIRST_WITH_LISTPACKS..FIRST_WITH_SET_LISTPACKS => Encoding::Stream2,
            _ => Encoding::Stream3,
        },
    })
}

/// Whether a value is one that Redis keeps in one string.
fn is_compact(encoding: Stored) -> bool {
    encoding == Stored::Listpack
}

#[inline]
fn write_value<W: Write>(
    writer: &mut Writer<W>,
    encoding: Encoding,
    value: Value<'_>,
) -> io::Result<()> {
    match value {
        Value::Str(Str::Int(value)) => writer.int(value),
        Value::Str(Str::Bytes(bytes)) => writer.string(bytes),
        Value::Str(Str::Big(bytes)) => writer.string(bytes),
        Value::List(list) => write_list(writer, encoding, list),
        Value::Set(set) => write_set(writer, encoding, set),
        Value::Zset(zset) => write_zset(writer, encoding, zset),
        Value::Hash(hash) => write_hash(writer, encoding, hash),
        Value::Stream(stream) => write_stream(writer, encoding, stream),
    }
}

/// One compact form, of the family that `encoding` belongs to.
fn write_packed<W: Write>(
    writer: &mut Writer<W>,
    encoding: Encoding,
    fill: impl FnOnce(&mut dyn Pack),
) -> io::Result<()> {
    match encoding {
        Encoding::ListZiplist | Encoding::ZsetZiplist | Encoding::HashZiplist => {
            writer.ziplist(fill)
        }
        _ => writer.listpack(fill),
    }
}

fn write_list<W: Write>(writer: &mut Writer<W>, encoding: Encoding, list: &List) -> io::Result<()> {
    match encoding {
        Encoding::ListZiplist => write_packed(writer, encoding, |pack| {
            list.iter_from(0).for_each(|element| pack.push(element));
        }),
        Encoding::ListQuicklist2 => write_chain(writer, list),
        _ => {
            writer.length(list.len() as u64)?;
            let compress = writer.compresses();
            for part in list.parts(|element| writer::is_plain(element, compress)) {
                match part {
                    Part::Row(row) => writer.plain(row)?,
                    Part::Element(element) => writer.string(element)?,
                }
            }
            Ok(())
        }
    }
}

/// A list as a chain of listpacks; an element that is longer than one should be stands by itself.
fn write_chain<W: Write>(writer: &mut Writer<W>, list: &List) -> io::Result<()> {
    const SINGLE: u64 = 1;
    const PACKED: u64 = 2;
    let mut cuts = Cuts::default();
    let parts = list
        .iter_from(0)
        .filter(|element| cuts.before(element))
        .count();
    writer.length(parts as u64)?;
    let mut elements = list.iter_from(0).peekable();
    while let Some(element) = elements.next() {
        let mut cuts = Cuts::default();
        cuts.before(element);
        if element.len() > LIST_PART_BYTES {
            writer.length(SINGLE)?;
            writer.verbatim(element)?;
            continue;
        }
        writer.length(PACKED)?;
        let mut last = Some(element);
        writer.listpack(|pack| {
            while let Some(element) = last.take() {
                pack.push(element);
                last = elements.next_if(|next| !cuts.before(next));
            }
        })?;
    }
    Ok(())
}

/// Where a list is cut into parts. Asked about each element once, in order, from the first one or from one that begins a part.
#[derive(Default)]
struct Cuts {
    /// The most that the part may have now.
    bytes: Option<usize>,
}

impl Cuts {
    /// Whether a part begins with this element.
    fn before(&mut self, element: &[u8]) -> bool {
        /// An entry's header, and its length behind it.
        const AROUND: usize = 7;
        let bytes = element.len() + AROUND;
        let cut = match self.bytes {
            Some(before) => before + bytes > LIST_PART_BYTES,
            None => true,
        };
        self.bytes = if element.len() > LIST_PART_BYTES {
            None
        } else if cut {
            Some(bytes)
        } else {
            self.bytes.map(|before| before + bytes)
        };
        cut
    }
}

fn write_set<W: Write>(writer: &mut Writer<W>, encoding: Encoding, set: &Set) -> io::Result<()> {
    match encoding {
        Encoding::SetIntset => writer.intset(|| {
            set.iter().filter_map(|member| match member {
                Elem::Int(member) => Some(member),
                Elem::Bytes(_) => None,
            })
        }),
        Encoding::SetListpack => write_packed(writer, encoding, |pack| {
            let mut digits = [0; 20];
            set.iter()
                .for_each(|member| pack.push(member.bytes(&mut digits)));
        }),
        _ => {
            writer.length(set.len() as u64)?;
            for member in set.iter() {
                match member {
                    Elem::Int(member) => writer.int(member)?,
                    Elem::Bytes(member) => writer.string(member)?,
                }
            }
            Ok(())
        }
    }
}

fn write_zset<W: Write>(writer: &mut Writer<W>, encoding: Encoding, zset: &Zset) -> io::Result<()> {
    match encoding {
        Encoding::Zset2 => {
            writer.length(zset.len() as u64)?;
            // From the greatest down, which Redis loads faster.
            for (member, score) in zset.iter().rev() {
                writer.string(member)?;
                writer.binary_score(score)?;
            }
            Ok(())
        }
        Encoding::Zset => {
            writer.length(zset.len() as u64)?;
            for (member, score) in zset.iter() {
                writer.string(member)?;
                writer.score(score)?;
            }
            Ok(())
        }
        _ => write_packed(writer, encoding, |pack| {
            for (member, score) in zset.iter() {
                pack.push(member);
                pack.push_score(score);
            }
        }),
    }
}

fn write_hash<W: Write>(
    writer: &mut Writer<W>,
    encoding: Encoding,
    hash: HashRef<'_>,
) -> io::Result<()> {
    match encoding {
        Encoding::HashFields | Encoding::HashExpiring => write_timed(writer, encoding, hash),
        Encoding::Hash => {
            writer.length(hash.len() as u64)?;
            for (field, value) in hash.iter() {
                writer.string(field)?;
                writer.string(value)?;
            }
            Ok(())
        }
        _ => write_packed(writer, encoding, |pack| {
            for (field, value) in hash.iter() {
                pack.push(field);
                pack.push(value);
            }
        }),
    }
}

/// A hash some of whose fields expire, as Valkey writes it or as Redis does. Fields whose time has come may not be shown any more, and are
/// not counted then.
fn write_timed<W: Write>(
    writer: &mut Writer<W>,
    encoding: Encoding,
    hash: HashRef<'_>,
) -> io::Result<()> {
    let first = hash.iter_timed().filter_map(|(.., until)| until).min();
    // Without one there is none to be told behind it.
    let first = first.unwrap_or(0);
    let redis = encoding == Encoding::HashExpiring;
    if redis {
        writer.raw(&first.to_le_bytes())?;
    }
    writer.length(hash.iter_timed().count() as u64)?;
    for (field, value, until) in hash.iter_timed() {
        if redis {
            writer
                .length(until.map_or(0, |until| until.saturating_sub(first).saturating_add(1)))?;
        }
        writer.string(field)?;
        writer.string(value)?;
        if !redis {
            let until = until.and_then(|until| i64::try_from(until).ok());
            writer.raw(&until.unwrap_or(-1).to_le_bytes())?;
        }
    }
    Ok(())
}
