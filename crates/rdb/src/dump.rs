//! DUMP payloads: a value's type byte and bytes, the version in two bytes, and the checksum of all that in eight, little endian.

use std::io;

use crate::crc64::crc64;
use crate::error::Error;
use crate::format::{Encoding, Kind, NEWEST_VERSION, WRITE_VERSION};
use crate::input::Input;
use crate::liblzf::Compressor;
use crate::value::ValueReader;
use crate::writer::{Packer, Writer};

const VERSION_BYTES: usize = 2;
const CHECKSUM_BYTES: usize = 8;

/// Makes payloads, one after the other.
pub struct Dumper {
    packer: Option<Packer>,
}

impl Dumper {
    /// A maker of payloads; `compress` is `rdbcompression`.
    pub fn new(compress: bool) -> Self {
        Self {
            packer: compress.then(|| Packer::Exact(Compressor::new())),
        }
    }

    /// A payload of the value that `write` writes in the form of `encoding`.
    ///
    /// # Errors
    /// Those of `write`: memory itself takes everything.
    pub fn dump(
        &mut self,
        encoding: Encoding,
        write: impl FnOnce(&mut Writer<Vec<u8>>) -> io::Result<()>,
    ) -> io::Result<Vec<u8>> {
        let mut writer = Writer::for_payload(vec![encoding.code()], self.packer.take());
        let written = write(&mut writer);
        let (mut payload, packer) = writer.into_sink()?;
        self.packer = packer;
        written?;
        seal(&mut payload);
        Ok(payload)
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
    let (&code, value) = unseal(payload)?.split_first().ok_or(Error::Payload)?;
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
        let own = Dumper::new(true)
            .dump(Encoding::String, |writer| writer.string(b"10"))
            .unwrap();
        assert_eq!(own, TEN);
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
