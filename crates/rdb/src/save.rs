//! From the keyspace to the format: a whole file, or the payload of one key. Compact values are written in their compact forms.

use std::io::{self, Write};

use store::{Elem, Encoding as Stored, HashRef, Keyspace, List, Part, Set, Str, Value, Zset};

use crate::dump::Dumper;
use crate::format::Encoding;
use crate::writer::{self, Writer};

/// How a file is written.
#[derive(Clone, Copy, Debug)]
pub struct SaveOptions {
    /// Compress strings (`rdbcompression`).
    pub compress: bool,
    /// Write a checksum (`rdbchecksum`).
    pub checksum: bool,
    /// Keys that expired before are left out. Unix milliseconds.
    pub now_ms: u64,
}

/// How far a save is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    /// Keys written.
    pub keys: u64,
    /// Bytes written.
    pub bytes: u64,
}

/// Writes `keyspace` as a file into `sink`. `progress` is called after each key; what it answers, and what `sink` answers, can end the save.
///
/// # Errors
/// Those of `sink` and `progress`.
pub fn save<W: Write>(
    keyspace: &Keyspace,
    sink: W,
    options: SaveOptions,
    mut progress: impl FnMut(Saved) -> io::Result<()>,
) -> io::Result<(W, Saved)> {
    let mut writer = Writer::new(sink, options.compress, options.checksum);
    let mut saved = Saved::default();
    writer.header()?;
    for database in 0..keyspace.databases() {
        let db = keyspace.db_ref(database);
        if db.is_empty() {
            continue;
        }
        writer.select(u32::try_from(database).unwrap_or(u32::MAX))?;
        let mut result = Ok(());
        db.for_each(|key, value, expire_ms| {
            if result.is_err() || expire_ms.is_some_and(|at| at < options.now_ms) {
                return;
            }
            result = write_key(&mut writer, key, value, expire_ms).and_then(|()| {
                saved = Saved {
                    keys: saved.keys + 1,
                    bytes: writer.written(),
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

/// Writes one key with its value and expiry (Unix milliseconds).
///
/// # Errors
/// Those of the sink.
#[inline]
pub fn write_key<W: Write>(
    writer: &mut Writer<W>,
    key: &[u8],
    value: Value<'_>,
    expire_ms: Option<u64>,
) -> io::Result<()> {
    writer.key(encoding_of(&value), key, expire_ms)?;
    write_value(writer, value)
}

/// The DUMP payload of `value`; `compress` is `rdbcompression`.
///
/// # Errors
/// Where a compact value is too big for its form, which no configuration reaches.
pub fn dump(dumper: &mut Dumper, value: Value<'_>, compress: bool) -> io::Result<Vec<u8>> {
    let encoding = encoding_of(&value);
    dumper.dump(compress, encoding, |writer| write_value(writer, value))
}

/// The form in which a value is written.
#[inline]
fn encoding_of(value: &Value<'_>) -> Encoding {
    let either = |compact: bool, yes: Encoding, no: Encoding| if compact { yes } else { no };
    match value {
        Value::Str(_) => Encoding::String,
        Value::List(list) => either(
            list.encoding() == Stored::Ziplist,
            Encoding::ListZiplist,
            Encoding::List,
        ),
        Value::Set(set) => either(
            set.encoding() == Stored::Intset,
            Encoding::SetIntset,
            Encoding::Set,
        ),
        Value::Zset(zset) => either(
            zset.encoding() == Stored::Ziplist,
            Encoding::ZsetZiplist,
            Encoding::Zset,
        ),
        Value::Hash(hash) => either(
            hash.encoding() == Stored::Ziplist,
            Encoding::HashZiplist,
            Encoding::Hash,
        ),
        // `write_value` refuses it.
        Value::Stream(_) => Encoding::Hash,
    }
}

#[inline]
fn write_value<W: Write>(writer: &mut Writer<W>, value: Value<'_>) -> io::Result<()> {
    match value {
        Value::Str(Str::Int(value)) => writer.int(value),
        Value::Str(Str::Bytes(bytes)) => writer.string(bytes),
        Value::Str(Str::Big(bytes)) => writer.string(bytes),
        Value::List(list) => write_list(writer, list),
        Value::Set(set) => write_set(writer, set),
        Value::Zset(zset) => write_zset(writer, zset),
        Value::Hash(hash) => write_hash(writer, hash),
        Value::Stream(_) => Err(io::ErrorKind::Unsupported.into()),
    }
}

fn write_list<W: Write>(writer: &mut Writer<W>, list: &List) -> io::Result<()> {
    if list.encoding() == Stored::Ziplist {
        return writer
            .ziplist(|ziplist| list.iter_from(0).for_each(|element| ziplist.push(element)));
    }
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

fn write_set<W: Write>(writer: &mut Writer<W>, set: &Set) -> io::Result<()> {
    if set.encoding() == Stored::Intset {
        return writer.intset(|| {
            set.iter().filter_map(|member| match member {
                Elem::Int(member) => Some(member),
                Elem::Bytes(_) => None,
            })
        });
    }
    writer.length(set.len() as u64)?;
    for member in set.iter() {
        match member {
            Elem::Int(member) => writer.int(member)?,
            Elem::Bytes(member) => writer.string(member)?,
        }
    }
    Ok(())
}

fn write_zset<W: Write>(writer: &mut Writer<W>, zset: &Zset) -> io::Result<()> {
    if zset.encoding() == Stored::Ziplist {
        return writer.ziplist(|ziplist| {
            for (member, score) in zset.iter() {
                ziplist.push(member);
                ziplist.push_score(score);
            }
        });
    }
    writer.length(zset.len() as u64)?;
    for (member, score) in zset.iter() {
        writer.string(member)?;
        writer.score(score)?;
    }
    Ok(())
}

fn write_hash<W: Write>(writer: &mut Writer<W>, hash: HashRef<'_>) -> io::Result<()> {
    if hash.encoding() == Stored::Ziplist {
        return writer.ziplist(|ziplist| {
            for (field, value) in hash.iter() {
                ziplist.push(field);
                ziplist.push(value);
            }
        });
    }
    writer.length(hash.len() as u64)?;
    for (field, value) in hash.iter() {
        writer.string(field)?;
        writer.string(value)?;
    }
    Ok(())
}
