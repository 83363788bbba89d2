//! A whole file: header, databases, keys with what belongs to them, the checksum at the end. Values are read by [`ValueReader`].

use std::io::Read;

use store::Taken;

use crate::decode::{Decoder, Str};
use crate::error::{Error, Feature, Place, Printable, Unsupported};
use crate::format::{
    Encoding, FIRST_VERSION_WITH_CHECKSUM, HEADER_BYTES, Kind, Origin, Version, opcode,
};
use crate::input::Input;
use crate::stream::StreamPart;
use crate::value::{Field, ValueReader};
use crate::writer::SlotImport;

/// How a file is read.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Check the checksum at the end (`rdbchecksum`).
    pub checksum: bool,
    /// Pass over what this server cannot keep, giving [`Record::Skipped`], where the default is an error (`rdb-skip-unsupported`).
    pub skip_unsupported: bool,
    /// Read newer versions as far as their types are old ones (`rdb-version-check relaxed`).
    pub relaxed: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            checksum: true,
            skip_unsupported: false,
            relaxed: false,
        }
    }
}

/// What stands next in a file.
#[derive(Debug, PartialEq)]
pub enum Record<'a> {
    /// A name and a value about the file.
    Aux {
        /// The name.
        name: &'a [u8],
        /// The value.
        value: Str<'a>,
    },
    /// The keys that follow are in another database.
    Select(u32),
    /// How many keys the current database is said to hold.
    Resize {
        /// All keys.
        keys: u64,
        /// Those with an expiry.
        expires: u64,
    },
    /// A key. [`Reader::key`] is its name; its value is to be read next, or is passed over by the next [`Reader::next_record`].
    Key(KeyRecord),
    /// The code of a function library.
    Function(Str<'a>),
    /// Slots that were being imported when the file was written.
    SlotImport(SlotImport),
    /// Something was passed over because this server cannot keep it.
    Skipped(Unsupported),
}

/// What a file says of a key beside its name and value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its database.
    pub database: u32,
    /// Its type.
    pub kind: Kind,
    /// How its value is written.
    pub encoding: Encoding,
    /// When it expires, Unix milliseconds.
    pub expire_ms: Option<i64>,
    /// How long it was not used, seconds.
    pub idle_seconds: Option<u64>,
    /// Its logarithmic access counter.
    pub frequency: Option<u8>,
}

/// Reads a file from the start to its checksum, one record after the other, in memory that does not grow with the file.
pub struct Reader<R> {
    values: ValueReader<R>,
    options: Options,
    version: Version,
    database: u32,
    key: Vec<u8>,
    /// Of the key that is being read; none between keys.
    encoding: Option<Encoding>,
    at_end: bool,
    unchecked: bool,
}

/// What stands in front of a key and belongs to it.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Attributes {
    expire_ms: Option<i64>,
    idle_seconds: Option<u64>,
    frequency: Option<u8>,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// [`Error::Signature`], [`Error::Version`], and those of the source.
    pub fn open(mut input: Input<R>, options: Options) -> Result<Self, Error> {
        input.set_checksum(options.checksum);
        let mut decoder = Decoder::new(input);
        let header: [u8; HEADER_BYTES] = decoder.input.array()?;
        let version = Version::declared(&header).ok_or(Error::Signature)?;
        let accepted = match version.origin() {
            Origin::Known => true,
            Origin::Foreign | Origin::Future => options.relaxed,
            Origin::Never => false,
        };
        if !accepted {
            return Err(Error::Version(version.number()));
        }
        if version.number() < FIRST_VERSION_WITH_CHECKSUM {
            decoder.input.set_checksum(false);
        }
        let values = ValueReader::with_decoder(decoder);
        Ok(Self {
            values,
            options,
            version,
            database: 0,
            key: Vec::new(),
            encoding: None,
            at_end: false,
            unchecked: false,
        })
    }

    /// The version of the file.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The name of the key that was read last.
    pub fn key(&self) -> &[u8] {
        &self.key
    }

    /// How the value is written of the key that is being read; none between keys.
    pub(crate) fn encoding(&self) -> Option<Encoding> {
        self.encoding
    }

    /// Offset of the next byte, from the start of the file.
    pub fn offset(&self) -> u64 {
        self.values.offset()
    }

    /// Whether the file was written with its checksum disabled (known at the end).
    pub fn was_unchecked(&self) -> bool {
        self.unchecked
    }

    /// Gives the input back; after the last record it stands behind the file.
    pub fn into_input(self) -> Input<R> {
        self.values.into_input()
    }

    /// The next record; `None` behind the last one, when the checksum was good. What was not read of the key before is passed over.
    ///
    /// # Errors
    /// Any of [`Error`]. After one, the file cannot be read on.
    pub fn next_record(&mut self) -> Result<Option<Record<'_>>, Error> {
        if self.at_end {
            return Ok(None);
        }
        self.finish_value()?;
        self.encoding = None;
        let mut attributes = Attributes::default();
        loop {
            let code = self.values.decoder.input.byte()?;
            match code {
                opcode::EXPIRE_MS => {
                    let unix_ms = self.values.decoder.input.array()?;
                    attributes.expire_ms = Some(i64::from_le_bytes(unix_ms));
                }
                opcode::EXPIRE_SECONDS => {
                    let seconds = i32::from_le_bytes(self.values.decoder.input.array()?);
                    attributes.expire_ms = Some(i64::from(seconds) * 1000);
                }
                opcode::IDLE => attributes.idle_seconds = Some(self.values.decoder.length()?),
                opcode::FREQ => attributes.frequency = Some(self.values.decoder.input.byte()?),
                _ => {
                    let encoding =
                        Encoding::from_code(code).filter(|encoding| encoding.is_of(self.version));
                    if let Some(encoding) = encoding {
                        return self.key_record(encoding, attributes).map(Some);
                    }
                    if attributes != Attributes::default() {
                        return Err(self
                            .values
                            .decoder
                            .corrupt("an expiry or access time belongs to no key"));
                    }
                    match code {
                        opcode::SELECT_DB => return self.select().map(Some),
                        opcode::SLOT_INFO => self.skip_slot_info()?,
                        opcode::EOF => {
                            self.end()?;
                            return Ok(None);
                        }
                        _ => return self.other_record(code).map(Some),
                    }
                }
            }
        }
    }

    /// Passes over what was not read of the value of the key that was read last.
    pub(crate) fn finish_value(&mut self) -> Result<(), Error> {
        self.values
            .finish()
            .map_err(|error| error.in_key(self.database, &self.key))
    }

    /// The value of the key, a string.
    ///
    /// # Errors
    /// Any of [`Error`].
    pub fn string(&mut self) -> Result<Str<'_>, Error> {
        self.values
            .string()
            .map_err(|error| error.in_key(self.database, &self.key))
    }

    /// The name of the key and its value, a string.
    pub(crate) fn key_and_string(&mut self) -> Result<(&[u8], Str<'_>), Error> {
        let (key, database) = (&self.key, self.database);
        let value = self
            .values
            .string()
            .map_err(|error| error.in_key(database, key))?;
        Ok((key, value))
    }

    /// As [`ValueReader::next_element`].
    ///
    /// # Errors
    /// Any of [`Error`].
    pub fn next_element(&mut self) -> Result<Option<Str<'_>>, Error> {
        self.values
            .next_element()
            .map_err(|error| error.in_key(self.database, &self.key))
    }

    /// As [`ValueReader::next_row`].
    pub(crate) fn next_row(&mut self, take: impl FnOnce(&[u8], usize) -> Taken) -> usize {
        self.values.next_row(take)
    }

    /// As [`ValueReader::next_pair`].
    ///
    /// # Errors
    /// Any of [`Error`].
    pub fn next_pair(&mut self) -> Result<Option<(Str<'_>, Str<'_>)>, Error> {
        self.values
            .next_pair()
            .map_err(|error| error.in_key(self.database, &self.key))
    }

    /// As [`ValueReader::next_field`].
    ///
    /// # Errors
    /// Any of [`Error`].
    pub fn next_field(&mut self) -> Result<Option<Field<'_>>, Error> {
        self.values
            .next_field()
            .map_err(|error| error.in_key(self.database, &self.key))
    }

    /// As [`ValueReader::next_stream_part`].
    ///
    /// # Errors
    /// Any of [`Error`].
    pub fn next_stream_part(&mut self) -> Result<Option<StreamPart<'_>>, Error> {
        self.values
            .next_stream_part()
            .map_err(|error| error.in_key(self.database, &self.key))
    }

    /// As [`ValueReader::next_member`].
    ///
    /// # Errors
    /// Any of [`Error`].
    pub fn next_member(&mut self) -> Result<Option<(Str<'_>, f64)>, Error> {
        self.values
            .next_member()
            .map_err(|error| error.in_key(self.database, &self.key))
    }

    /// An error in the value of the key that was read last, at the offset that was reached: for rules that only show when the
    /// value is stored, such as a field that comes twice.
    pub fn fault(&self, what: &'static str) -> Error {
        self.values
            .decoder
            .corrupt(what)
            .in_key(self.database, &self.key)
    }

    fn key_record(
        &mut self,
        encoding: Encoding,
        attributes: Attributes,
    ) -> Result<Record<'_>, Error> {
        self.values.decoder.string_into(&mut self.key)?;
        self.encoding = Some(encoding);
        let Self { database, .. } = *self;
        if encoding.kind().is_none() {
            return self
                .foreign(encoding)
                .map_err(|error| error.in_key(database, &self.key));
        }
        let kind = self
            .values
            .begin(encoding)
            .map_err(|error| error.in_key(database, &self.key))?;
        let Attributes {
            expire_ms,
            idle_seconds,
            frequency,
        } = attributes;
        Ok(Record::Key(KeyRecord {
            database,
            kind,
            encoding,
            expire_ms,
            idle_seconds,
            frequency,
        }))
    }

    fn foreign(&mut self, encoding: Encoding) -> Result<Record<'static>, Error> {
        let feature = if encoding == Encoding::Module2 {
            Feature::Module
        } else {
            Feature::ModuleUnsized
        };
        let name = Printable::new(&self.key);
        self.refuse_or(
            Unsupported {
                feature,
                database: self.database,
                name,
            },
            Decoder::skip_module,
        )
    }

    /// An error, or, where the options say so, a record after passing over it.
    fn refuse_or(
        &mut self,
        what: Unsupported,
        skip: impl FnOnce(&mut Decoder<R>) -> Result<(), Error>,
    ) -> Result<Record<'static>, Error> {
        if !self.options.skip_unsupported || !what.feature.can_be_skipped() {
            return Err(Error::Unsupported(Box::new(what)));
        }
        skip(&mut self.values.decoder)?;
        Ok(Record::Skipped(what))
    }

    fn other_record(&mut self, code: u8) -> Result<Record<'_>, Error> {
        match code {
            opcode::AUX => {
                let decoder = &mut self.values.decoder;
                // No key is being read: its buffer can hold the name.
                decoder.string_into(&mut self.key)?;
                let value = decoder.string()?;
                Ok(Record::Aux {
                    name: &self.key,
                    value,
                })
            }
            opcode::RESIZE_DB => {
                let decoder = &mut self.values.decoder;
                Ok(Record::Resize {
                    keys: decoder.length()?,
                    expires: decoder.length()?,
                })
            }
            opcode::FUNCTION => self.values.decoder.string().map(Record::Function),
            opcode::SLOT_IMPORT if self.version.may_import_slots() => {
                self.slot_import().map(Record::SlotImport)
            }
            opcode::FUNCTION_PRE_GA => {
                Err(self.corrupt("a function library of a release candidate of Redis 7.0"))
            }
            opcode::MODULE_AUX => {
                let name = module_name(self.values.decoder.length()?);
                self.refuse_or(
                    Unsupported {
                        feature: Feature::ModuleAux,
                        database: 0,
                        name,
                    },
                    |decoder| {
                        // When it is to be loaded: a typed number.
                        decoder.length()?;
                        decoder.length()?;
                        decoder.skip_module_data()
                    },
                )
            }
            _ if self.options.relaxed => Err(Error::Type {
                offset: self.offset(),
                code,
                version: self.version,
            }),
            _ => Err(self.corrupt("an unknown type or opcode")),
        }
    }

    fn slot_import(&mut self) -> Result<SlotImport, Error> {
        const NAME_BYTES: usize = 40;
        const SLOTS: u64 = 16384;
        let decoder = &mut self.values.decoder;
        let name = decoder.string()?.to_vec();
        let job = String::from_utf8(name).ok();
        let Some(job) = job.filter(|job| job.len() == NAME_BYTES) else {
            return Err(decoder.corrupt("Invalid slot import job name length"));
        };
        let mut slots = Vec::new();
        for _ in 0..decoder.length()? {
            let (first, last) = (decoder.length()?, decoder.length()?);
            let slot = |number: u64| u16::try_from(number).ok().filter(|_| number < SLOTS);
            match (slot(first), slot(last)) {
                (Some(first), Some(last)) if first <= last => slots.push((first, last)),
                _ => return Err(decoder.corrupt("Invalid slot import range")),
            }
        }
        Ok(SlotImport { job, slots })
    }

    fn corrupt(&self, what: &'static str) -> Error {
        self.values.decoder.corrupt(what)
    }

    fn select(&mut self) -> Result<Record<'static>, Error> {
        let database = self.values.decoder.length()?;
        self.database = u32::try_from(database)
            .map_err(|_| self.corrupt("a database number beyond all that Redis has"))?;
        Ok(Record::Select(self.database))
    }

    fn skip_slot_info(&mut self) -> Result<(), Error> {
        for _ in 0..3 {
            self.values.decoder.length()?;
        }
        Ok(())
    }

    fn end(&mut self) -> Result<(), Error> {
        self.at_end = true;
        if self.version.number() < FIRST_VERSION_WITH_CHECKSUM {
            return Ok(());
        }
        let input = &mut self.values.decoder.input;
        let actual = input.checksum();
        let expected = u64::from_le_bytes(input.array()?);
        self.unchecked = expected == 0;
        match actual {
            Some(actual) if expected != 0 && actual != expected => {
                Err(Error::Checksum { expected, actual })
            }
            _ => Ok(()),
        }
    }
}

impl Error {
    /// Where in the file it is, in bytes, as far as one place can be named.
    pub fn offset(&self) -> Option<u64> {
        match self {
            Self::ShortRead { offset, .. }
            | Self::Corrupt { offset, .. }
            | Self::Type { offset, .. } => Some(*offset),
            _ => None,
        }
    }

    /// A short read at `offset`, for parsers that go on behind a file.
    pub fn short_read(offset: u64) -> Self {
        Self::ShortRead {
            offset,
            place: Place::default(),
        }
    }
}

/// The name in a module's number: nine characters of six bits, then ten bits of a version.
fn module_name(id: u64) -> Printable {
    const CHARACTERS: &[u8; 64] =
        b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let sixes = (0..9u32).map(|index| usize::try_from(id >> (58 - 6 * index) & 63).unwrap_or(0));
    let name: Vec<u8> = sixes.map(|six| CHARACTERS[six]).collect();
    Printable::new(&name)
}
