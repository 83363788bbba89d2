//! Payloads of `FUNCTION DUMP`: the libraries as a file has them, then version and checksum as those of `DUMP`.

use crate::crc64::crc64;
use crate::decode::Decoder;
use crate::error::Error;
use crate::format::opcode;
use crate::input::Input;

const VERSION_BYTES: usize = 2;
const CHECKSUM_BYTES: usize = 8;

/// What every server that knows libraries reads.
const VERSION: u16 = 10;
/// The newest version of a payload that is read.
const NEWEST: u16 = 80;

/// Why a payload of libraries was refused. The text is for the client, after `ERR`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LibrariesError {
    /// Version or checksum are wrong.
    #[error("DUMP payload version or checksum are wrong")]
    Payload,
    /// A library of a release candidate of Redis 7.0.
    #[error("Pre-GA function format not supported")]
    PreGa,
    /// Something else than a library.
    #[error("given type is not a function")]
    Type,
    /// A library that is cut short or damaged.
    #[error("failed loading the given functions payload")]
    Damaged,
}

/// A payload with the libraries of these codes.
pub fn dump_libraries<'a>(codes: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut payload = Vec::new();
    for code in codes {
        payload.push(opcode::FUNCTION);
        append_length(&mut payload, code.len());
        payload.extend_from_slice(code);
    }
    payload.extend_from_slice(&VERSION.to_le_bytes());
    let checksum = crc64(&payload);
    payload.extend_from_slice(&checksum.to_le_bytes());
    payload
}

/// The format's form of a length.
fn append_length(out: &mut Vec<u8>, length: usize) {
    match (
        u8::try_from(length),
        u16::try_from(length),
        u32::try_from(length),
    ) {
        (Ok(length @ 0..64), ..) => out.push(length),
        (_, Ok(length @ 0..0x4000), _) => out.extend_from_slice(&(0x4000 | length).to_be_bytes()),
        (.., Ok(length)) => {
            out.push(0x80);
            out.extend_from_slice(&length.to_be_bytes());
        }
        _ => {
            out.push(0x81);
            out.extend_from_slice(&u64::try_from(length).unwrap_or(u64::MAX).to_be_bytes());
        }
    }
}

/// The codes of the libraries in a payload.
///
/// # Errors
/// See [`LibrariesError`].
pub fn restore_libraries(payload: &[u8]) -> Result<Vec<Vec<u8>>, LibrariesError> {
    let (signed, checksum) = payload
        .split_last_chunk::<CHECKSUM_BYTES>()
        .ok_or(LibrariesError::Payload)?;
    let (libraries, version) = signed
        .split_last_chunk::<VERSION_BYTES>()
        .ok_or(LibrariesError::Payload)?;
    if u16::from_le_bytes(*version) > NEWEST || u64::from_le_bytes(*checksum) != crc64(signed) {
        return Err(LibrariesError::Payload);
    }
    let mut decoder = Decoder::new(Input::new(libraries));
    let mut codes = Vec::new();
    let damaged = |_: Error| LibrariesError::Damaged;
    while decoder.input.offset() < u64::try_from(libraries.len()).unwrap_or(u64::MAX) {
        match decoder.input.byte().map_err(damaged)? {
            opcode::FUNCTION => codes.push(decoder.string().map_err(damaged)?.to_vec()),
            opcode::FUNCTION_PRE_GA => return Err(LibrariesError::PreGa),
            _ => return Err(LibrariesError::Type),
        }
    }
    Ok(codes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_come_back_and_damage_is_seen() {
        let long = vec![b'x'; 70_000];
        let codes: [&[u8]; 4] = [b"#!lua name=a\ncode", b"", &long[..100], &long];
        let payload = dump_libraries(codes);
        assert_eq!(restore_libraries(&payload).unwrap(), codes);
        assert_eq!(restore_libraries(&dump_libraries([])), Ok(Vec::new()));
        for at in [0, 1, 20, payload.len() - 10, payload.len() - 1] {
            let mut bad = payload.clone();
            bad[at] ^= 1;
            assert_eq!(restore_libraries(&bad), Err(LibrariesError::Payload));
        }
        assert_eq!(restore_libraries(b"short"), Err(LibrariesError::Payload));
        for (start, error) in [
            (&[opcode::FUNCTION_PRE_GA][..], LibrariesError::PreGa),
            (&[0], LibrariesError::Type),
            (&[opcode::FUNCTION, 5, b'x'], LibrariesError::Damaged),
            (&[opcode::FUNCTION], LibrariesError::Damaged),
        ] {
            let mut bad = start.to_vec();
            bad.extend_from_slice(&VERSION.to_le_bytes());
            bad.extend_from_slice(&crc64(&bad).to_le_bytes());
            assert_eq!(restore_libraries(&bad), Err(error));
        }
    }

    /// What Valkey 9.1 answers to FUNCTION DUMP.
    #[test]
    fn a_payload_of_valkey_is_read() {
        let payload = include_bytes!("../tests/data/functions-valkey-9.1.dump");
        let codes = restore_libraries(payload).unwrap();
        assert_eq!(codes.len(), 1);
        assert!(codes[0].starts_with(b"#!lua name=mylib\n"));
    }
}
