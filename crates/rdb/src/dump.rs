//! DUMP payloads: a value's type byte and bytes, the version in two bytes, and the checksum of all that in eight, little endian.

use std::{fmt, io};

use crate::crc64::crc64;
use crate::error::Error;
use crate::format::{Encoding, Kind, Origin, Version};
use crate::input::Input;
use crate::value::ValueReader;
use crate::writer::Writer;

const VERSION_BYTES: usize = 2;
const CHECKSUM_BYTES: usize = 8;

/// Makes payloads, one after the other. It is to be kept: to clear the compressor's table takes several times as long as to write a small
/// value.
pub struct Dumper {
    writer: Writer<Vec<u8>>,
    /// As [`crate::SaveOptions::version`].
    pub version: Option<Version>,
}

impl Dumper {
    /// A maker of payloads. The compressor's table comes with the first value that needs it.
    #[must_use]
    pub fn new() -> Self {
        Self {
            writer: Writer::for_payloads(),
            version: None,
        }
    }

    /// A payload of the value that `write` writes in the form of `encoding`; `compress` is `rdbcompression`.
    ///
    /// # Errors
    /// Those of `write`: memory itself takes everything.
    pub fn dump(
        &mut self,
        compress: bool,
        encoding: Encoding,
        write: impl FnOnce(&mut Writer<Vec<u8>>) -> io::Result<()>,
    ) -> io::Result<Vec<u8>> {
        let version = self.version_of(encoding);
        self.writer.begin_payload(compress, encoding)?;
        self.writer.listpack.narrow = version.is_valkey();
        let written = write(&mut self.writer);
        // Taken in any case: a value that was given up half way leaves nothing behind.
        let mut payload = self.writer.take_payload(VERSION_BYTES + CHECKSUM_BYTES)?;
        written?;
        seal(&mut payload, version);
        Ok(payload)
    }

    /// The version of a payload with a value of this form.
    fn version_of(&self, encoding: Encoding) -> Version {
        let lowest = if encoding == Encoding::HashFields {
            Version::VALKEY
        } else {
            Version::COMMON
        };
        self.version.unwrap_or(lowest)
    }

    /// The memory that is kept from one payload to the next, bytes.
    pub fn memory_bytes(&mut self) -> usize {
        self.writer.memory_bytes()
    }
}

impl Default for Dumper {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Dumper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dumper").finish_non_exhaustive()
    }
}

/// Appends version and checksum to a value that was written with its type byte in front.
fn seal(payload: &mut Vec<u8>, version: Version) {
    payload.extend(version.number().to_le_bytes());
    let checksum = crc64(payload);
    payload.extend(checksum.to_le_bytes());
}

/// What is taken of a payload without a check.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Trust {
    /// A version newer than is read here (`rdb-version-check relaxed`).
    pub any_version: bool,
    /// Any checksum: for tests of damaged payloads.
    pub any_checksum: bool,
}

/// Checks version and checksum of a payload; gives its value with the type byte in front, and the version.
///
/// # Errors
/// [`Error::Payload`], also for a payload of a version newer than is read here, as far as `trust` does not take it.
pub(crate) fn unseal(payload: &[u8], trust: Trust) -> Result<(&[u8], Version), Error> {
    let (signed, checksum) = payload
        .split_last_chunk::<CHECKSUM_BYTES>()
        .ok_or(Error::Payload)?;
    let (value, version) = signed
        .split_last_chunk::<VERSION_BYTES>()
        .ok_or(Error::Payload)?;
    let version = Version::of_payload(u16::from_le_bytes(*version));
    let accepted = match version.origin() {
        Origin::Known => true,
        Origin::Foreign | Origin::Future => trust.any_version,
        Origin::Never => false,
    };
    let intact = || trust.any_checksum || u64::from_le_bytes(*checksum) == crc64(signed);
    if !accepted || !intact() {
        return Err(Error::Payload);
    }
    Ok((value, version))
}

/// Checks a payload and begins its value.
///
/// # Errors
/// [`Error::Payload`] for a bad footer, any other for a bad value.
pub(crate) fn open(
    payload: &[u8],
    trust: Trust,
) -> Result<(ValueReader<&[u8]>, Kind, Encoding), Error> {
    let (value, version) = unseal(payload, trust)?;
    let (&code, value) = value.split_first().ok_or(Error::short_read(0))?;
    let mut reader = ValueReader::new(Input::with_buffer(value, value.len()));
    let encoding = Encoding::from_code(code)
        .filter(|encoding| encoding.is_of(version))
        .ok_or(Error::Type {
            offset: 0,
            code,
            version,
        })?;
    let kind = reader.begin(encoding)?;
    Ok((reader, kind, encoding))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANY_VERSION: Trust = Trust {
        any_version: true,
        any_checksum: false,
    };
    use crate::decode::Str;

    /// What DUMP of Redis 3.0.7 answers for `SET k 10`.
    const TEN: &[u8] = b"\x00\xc0\n\x06\x00\xf8r?\xc5\xfb\xfb_(";

    #[test]
    fn a_payload_of_redis_is_read_and_written() {
        assert_eq!(
            open(TEN, Trust::default()).unwrap().0.string().unwrap(),
            Str::Int(10)
        );
        let mut dumper = Dumper::new();
        dumper.version = Some(Version::OLDEST_WRITTEN);
        let own = dumper
            .dump(true, Encoding::String, |writer| writer.string(b"10"))
            .unwrap();
        assert_eq!(own, TEN);
    }

    #[test]
    fn a_payload_has_the_lowest_version_that_holds_it_unless_told_otherwise() {
        let mut dumper = Dumper::new();
        let mut version = |version, encoding| {
            dumper.version = version;
            let payload = dumper
                .dump(true, encoding, |writer| writer.length(0))
                .unwrap();
            unseal(&payload, Trust::default()).unwrap().1.number()
        };
        assert_eq!(version(None, Encoding::Hash), 11);
        assert_eq!(version(None, Encoding::HashFields), 80);
        assert_eq!(version(Version::written(12), Encoding::Hash), 12);
    }

    #[test]
    fn a_newer_payload_is_opened_where_versions_are_not_looked_at() {
        let payload = b"\x00\x03\x62\x61\x72\xde\x00\x0fYUza\xd3\xec\xe0";
        assert!(matches!(
            open(payload, Trust::default()),
            Err(Error::Payload)
        ));
        let (mut reader, ..) = open(payload, ANY_VERSION).unwrap();
        assert_eq!(reader.string().unwrap(), Str::Bytes(b"bar"));
    }

    /// Valkey and Redis use the numbers from 22 up for different types.
    #[test]
    fn a_type_counts_by_the_vendor_of_the_version() {
        let opened = |code: u8, version: u16| {
            let mut payload = vec![code, 0];
            payload.extend([0; 16]);
            seal(&mut payload, Version::of_payload(version));
            open(&payload, ANY_VERSION).map(|(.., encoding)| encoding)
        };
        assert!(matches!(opened(22, 80), Ok(Encoding::HashFields)));
        assert!(matches!(opened(24, 12), Ok(Encoding::HashExpiring)));
        for (code, version) in [(22, 12), (24, 80), (150, 80)] {
            assert!(
                matches!(opened(code, version), Err(Error::Type { code: told, .. }) if told == code)
            );
        }
    }

    #[test]
    fn a_payload_without_a_value_is_bad_data_under_a_good_footer() {
        let mut empty = Vec::new();
        seal(&mut empty, Version::COMMON);
        assert!(matches!(
            open(&empty, Trust::default()),
            Err(Error::ShortRead { .. })
        ));
    }

    #[test]
    fn a_payload_is_the_same_whatever_came_before() {
        let text = [b'x'; 100];
        let fresh = |compress| {
            Dumper::new()
                .dump(compress, Encoding::String, |writer| writer.string(&text))
                .unwrap()
        };
        let mut dumper = Dumper::new();
        for compress in [true, false, true, true, false] {
            let failed = dumper.dump(compress, Encoding::List, |writer| {
                writer.string(&[b'y'; 5000])?;
                writer.string(b"a part")?;
                Err(io::ErrorKind::Other.into())
            });
            assert!(failed.is_err());
            let payload = dumper
                .dump(compress, Encoding::String, |writer| writer.string(&text))
                .unwrap();
            assert_eq!(payload, fresh(compress));
            assert_eq!(payload.len() < text.len(), compress);
        }
    }

    #[test]
    fn little_memory_is_kept_after_a_big_value() {
        const KEPT_BYTES: usize = 1 << 20;
        let big = vec![b'z'; 16 << 20];
        // Half of it is noise to the compressor, so what is packed is big too.
        let mixed: Vec<u8> = (0..8_u32 << 20)
            .map(|at| at.wrapping_mul(0x9E37_79B1).to_be_bytes()[1])
            .chain(big.iter().copied())
            .collect();
        let mut dumper = Dumper::new();
        dumper
            .dump(true, Encoding::String, |writer| writer.string(&mixed))
            .unwrap();
        assert!(dumper.memory_bytes() < KEPT_BYTES);
        dumper
            .dump(true, Encoding::ListZiplist, |writer| {
                writer.ziplist(|ziplist| ziplist.push(&big))
            })
            .unwrap();
        assert!(dumper.memory_bytes() < KEPT_BYTES);
        dumper
            .dump(true, Encoding::SetIntset, |writer| {
                writer.intset(|| 0..1 << 20)
            })
            .unwrap();
        assert!(dumper.memory_bytes() < KEPT_BYTES);
        let failed = dumper.dump(false, Encoding::String, |writer| {
            writer.string(&big)?;
            Err(io::ErrorKind::Other.into())
        });
        assert!(failed.is_err() && dumper.memory_bytes() < KEPT_BYTES);
    }

    #[test]
    fn a_changed_or_cut_payload_is_refused() {
        for at in 0..TEN.len() {
            let mut changed = TEN.to_vec();
            changed[at] ^= 1;
            assert!(matches!(
                unseal(&changed, Trust::default()),
                Err(Error::Payload)
            ));
            assert!(matches!(
                unseal(&TEN[..at], Trust::default()),
                Err(Error::Payload)
            ));
        }
        let mut newer = vec![0, 0xc0, 10, 13, 0];
        let checksum = crc64(&newer);
        newer.extend(checksum.to_le_bytes());
        assert!(matches!(
            unseal(&newer, Trust::default()),
            Err(Error::Payload)
        ));
    }
}
