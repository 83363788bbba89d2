//! Zipmaps, in which Redis before 2.6 kept small hashes: `count:u8 (len field len free:u8 value unused{free})* 0xff`.

use super::pack::{END, Fault};
use crate::decode::Str;

/// Marks a length in four more bytes, and as a count: walk.
const BIG: u8 = 254;
const CUT: Fault = "a zipmap entry goes past the end";

/// A place in a zipmap: before a field, or before its value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor {
    at: usize,
    declared: u8,
    seen: usize,
    at_value: bool,
}

impl Cursor {
    pub(super) fn open(blob: &[u8]) -> Result<Self, Fault> {
        let &declared = blob.first().ok_or("a zipmap is empty")?;
        Ok(Self {
            at: 1,
            declared,
            seen: 0,
            at_value: false,
        })
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn next<'a>(&mut self, blob: &'a [u8]) -> Result<Option<Str<'a>>, Fault> {
        let entry = blob.get(self.at..).unwrap_or_default();
        let (&first, rest) = entry.split_first().ok_or("a zipmap has no end mark")?;
        if first == END {
            if self.at_value || !rest.is_empty() {
                return Err("a zipmap has its end mark in the middle");
            }
            if self.declared < BIG && usize::from(self.declared) != self.seen {
                return Err("a zipmap declares another number of fields than it has");
            }
            return Ok(None);
        }
        let (len, rest) = if first == BIG {
            let (len, rest) = rest.split_first_chunk().ok_or(CUT)?;
            let len = u32::from_le_bytes(*len);
            if len < u32::from(BIG) {
                return Err("a zipmap length takes more bytes than it needs");
            }
            (len as usize, rest)
        } else {
            (usize::from(first), rest)
        };
        let (unused, rest) = if self.at_value {
            let (&unused, rest) = rest.split_first().ok_or(CUT)?;
            (usize::from(unused), rest)
        } else {
            (0, rest)
        };
        let (text, rest) = rest.split_at_checked(len).ok_or(CUT)?;
        let rest = rest.get(unused..).ok_or(CUT)?;
        self.seen += usize::from(self.at_value);
        self.at_value = !self.at_value;
        self.at = blob.len() - rest.len();
        Ok(Some(Str::Bytes(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::Form;
    use super::super::tests::{all, survives_every_byte_change};
    use super::*;

    const GOOD: &[u8] = b"\x02\x03foo\x03\x00bar\x05hello\x05\x02worldxx\xff";

    #[test]
    fn fields_and_values_without_the_unused_bytes() {
        let elements = all(Form::Zipmap, GOOD).unwrap();
        assert_eq!(
            elements,
            [&b"foo"[..], b"bar", b"hello", b"world"].map(Str::Bytes)
        );
    }

    #[test]
    fn long_values_have_four_byte_lengths() {
        let mut blob = b"\x01\x01f\xfe\x2c\x01\x00\x00\x00".to_vec();
        blob.extend([b'v'; 300]);
        blob.push(END);
        assert_eq!(
            all(Form::Zipmap, &blob).unwrap()[1],
            Str::Bytes(&[b'v'; 300])
        );
    }

    #[test]
    fn changed_bytes_never_panic() {
        survives_every_byte_change(Form::Zipmap, GOOD);
        assert!(all(Form::Zipmap, b"\x03\x03foo\x03\x00bar\xff").is_err());
        assert!(all(Form::Zipmap, b"\x01\x03foo\xff").is_err());
    }
}
