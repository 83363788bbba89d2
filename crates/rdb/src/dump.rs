//! DUMP payloads: a value's type byte and bytes, the version in two bytes, and the checksum of all that in eight, little endian.

use std::{fmt, io};

use crate::crc64::crc64;
use crate::error::Error;
use crate::format::{Encoding, Kind, NEWEST_VERSION, WRITE_VERSION};
use crate::input::Input;
use crate::value::ValueReader;
use crate::writer::Writer;

const VERSION_BYTES: usize = 2;
const CHECKSUM_BYTES: usize = 8;

/// Makes payloads, one after the other. It is to be kept: to clear the compressor's table takes several times as long as to write a small
/// value.
pub struct Dumper(Writer<Vec<u8>>);

impl Dumper {
    /// A maker of payloads. The compressor's table comes with the first value that needs it.
    #[must_use]
    pub fn new() -> Self {
        Self(Writer::for_payloads())
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
        self.0.begin_payload(compress, encoding)?;
        let written = write(&mut self.0);
        // Taken in any case: a value that was given up half way leaves nothing behind.
        let mut payload = self.0.take_payload(VERSION_BYTES + CHECKSUM_BYTES)?;
        written?;
        seal(&mut payload);
        Ok(payload)
    }

    /// The memory that is kept from one payload to the next, bytes.
    pub fn memory_bytes(&mut self) -> usize {
        self.0.memory_bytes()
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
fn seal(payload: &mut Vec<u8>) {
    payload.extend(WRITE_VERSION.to_le_bytes());
    let checksum = crc64(payload);
    payload.extend(checksum.to_le_bytes());
}

/// Checks version and checksum of a payload; gives its value with the type byte in front.
///
/// # Errors
/// [`Error::Payload`], also for a payload of a version newer than is read here.
pub(crate) fn unseal(payload: &[u8]) -> Result<&[u8], Error> {
    let (signed, checksum) = payload
        .split_last_chunk::<CHECKSUM_BYTES>()
        .ok_or(Error::Payload)?;
    let (value, version) = signed
        .split_last_chunk::<VERSION_BYTES>()
        .ok_or(Error::Payload)?;
    // There was no DUMP before the version that is written here.
    if !(WRITE_VERSION..=NEWEST_VERSION).contains(&u16::from_le_bytes(*version))
        || u64::from_le_bytes(*checksum) != crc64(signed)
    {
        return Err(Error::Payload);
    }
    Ok(value)
}

/// Checks a payload and begins its value.
///
/// # Errors
/// [`Error::Payload`] for a bad footer, any other for a bad value.
pub(crate) fn open(payload: &[u8]) -> Result<(ValueReader<&[u8]>, Kind, Encoding), Error> {
    let (&code, value) = unseal(payload)?.split_first().ok_or(Error::short_read(0))?;
    let mut reader = ValueReader::new(Input::with_buffer(value, value.len()));
    let encoding =
        Encoding::from_code(code).ok_or_else(|| reader.decoder.corrupt("an unknown type"))?;
    let kind = reader.begin(encoding)?;
    Ok((reader, kind, encoding))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::Str;

    /// What DUMP of Redis 3.0.7 answers for `SET k 10`.
    const TEN: &[u8] = b"\x00\xc0\n\x06\x00\xf8r?\xc5\xfb\xfb_(";

    #[test]
    fn a_payload_of_redis_is_read_and_written() {
        assert_eq!(open(TEN).unwrap().0.string().unwrap(), Str::Int(10));
        let own = Dumper::new()
            .dump(true, Encoding::String, |writer| writer.string(b"10"))
            .unwrap();
        assert_eq!(own, TEN);
    }

    #[test]
    fn a_payload_without_a_value_is_bad_data_under_a_good_footer() {
        let mut empty = Vec::new();
        seal(&mut empty);
        assert!(matches!(open(&empty), Err(Error::ShortRead { .. })));
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
            assert!(matches!(unseal(&changed), Err(Error::Payload)));
            assert!(matches!(unseal(&TEN[..at]), Err(Error::Payload)));
        }
        let mut newer = vec![0, 0xc0, 10, 13, 0];
        let checksum = crc64(&newer);
        newer.extend(checksum.to_le_bytes());
        assert!(matches!(unseal(&newer), Err(Error::Payload)));
    }
}
