//! What the beginning of a dump tells of the whole.

use crate::{Error, Input, Options, Reader, Record};

/// How much a dump holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// So many keys and libraries; the dump was seen to its end.
    All(u64),
    /// So many keys in the first database that the dump holds. What others hold is not known.
    First {
        /// The database.
        database: u32,
        /// Its keys.
        keys: u64,
    },
    /// The beginning does not tell.
    Unknown,
}

/// Reads the beginning of a dump.
#[must_use]
pub fn peek(beginning: &[u8]) -> Amount {
    let options = Options {
        checksum: false,
        skip_unsupported: true,
        relaxed: true,
    };
    let Ok(mut reader) = Reader::open(Input::with_buffer(beginning, beginning.len()), options)
    else {
        return Amount::Unknown;
    };
    let (mut held, mut database, mut first) = (0, 0, Amount::Unknown);
    loop {
        match reader.next_record() {
            Ok(None) => return Amount::All(held),
            Ok(Some(Record::Select(selected))) => database = selected,
            Ok(Some(Record::Resize { keys, .. })) if first == Amount::Unknown => {
                first = Amount::First { database, keys };
            }
            Ok(Some(Record::Key(_) | Record::Function(_) | Record::Skipped(_))) => held += 1,
            Ok(Some(Record::Aux { .. } | Record::Resize { .. } | Record::SlotImport(_))) => {}
            Err(_) => return first,
        }
    }
}

/// Whether a dump with this beginning is one, in a version that can be read; `relaxed`: or in a later one.
///
/// # Errors
/// What is wrong with it.
pub fn check_head(beginning: &[u8], relaxed: bool) -> Result<(), Error> {
    let options = Options {
        checksum: false,
        skip_unsupported: true,
        relaxed,
    };
    Reader::open(Input::with_buffer(beginning, beginning.len()), options).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_that_of_a_dump_that_can_be_read() {
        for good in [&b"REDIS0011\xff"[..], b"VALKEY080\xff", EMPTY] {
            assert!(check_head(good, false).is_ok());
        }
        for bad in [
            &b""[..],
            b"REDIS",
            b"nonsense",
            b"REDIS9999\xff",
            b"VALKEY999\xff",
        ] {
            assert!(check_head(bad, false).is_err(), "{}", bad.escape_ascii());
        }
        assert!(check_head(b"VALKEY999\xff", true).is_ok());
    }

    /// `REDIS0011`, two facts, and no checksum.
    const EMPTY: &[u8] =
        b"REDIS0011\xfa\x09redis-ver\x057.2.4\xfa\x0aredis-bits\xc0\x40\xff\0\0\0\0\0\0\0\0";

    fn with(records: &[u8]) -> Vec<u8> {
        let (head, end) = EMPTY.split_at(EMPTY.len() - 9);
        [head, records, end].concat()
    }

    #[test]
    fn a_whole_dump_is_counted() {
        assert_eq!(peek(EMPTY), Amount::All(0));
        let one = with(b"\xfe\x03\xfb\x01\x00\x00\x01k\x01v");
        assert_eq!(peek(&one), Amount::All(1));
    }

    #[test]
    fn the_first_database_is_told_by_the_beginning() {
        let many = with(b"\xfe\x03\xfb\x3f\x00\x00\x01k\x01v");
        let first = Amount::First {
            database: 3,
            keys: 63,
        };
        let end = many.len() - 9;
        for cut in end - 4..=end {
            assert_eq!(peek(&many[..cut]), first);
        }
        assert_eq!(peek(&many[..end - 12]), Amount::Unknown);
        assert_eq!(peek(b""), Amount::Unknown);
        assert_eq!(peek(b"nonsense"), Amount::Unknown);
    }
}
