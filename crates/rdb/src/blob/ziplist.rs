//! Ziplists: `bytes:u32 tail:u32 count:u16 entry* 0xff`, little endian. An entry is the length of the one before it (one byte, or
//! 254 and four), a header that gives its form, and its bytes. Small integers are stored as such.

use resp::number::{DoubleBuffer, parse_i64};

use super::pack::{END, Fault, Pack, little_endian};
use crate::decode::Str;

const HEADER: usize = 10;
/// A count that says: walk.
const UNCOUNTED: u16 = u16::MAX;
/// Marks a length of the entry before in four more bytes.
const BIG_PREVIOUS: u8 = 254;

const INT16: u8 = 0xc0;
const INT32: u8 = 0xd0;
const INT64: u8 = 0xe0;
const INT24: u8 = 0xf0;
const INT8: u8 = 0xfe;
/// The values 0 to 12 lie in the header itself, as `0xf1` to `0xfd`.
const SMALL: std::ops::RangeInclusive<u8> = 0xf1..=0xfd;

/// A place in a ziplist.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor {
    at: usize,
    /// Where the entry before began; the header's length at the start.
    previous: usize,
    tail: usize,
    declared: u16,
    seen: usize,
}

impl Cursor {
    pub(super) fn open(blob: &[u8]) -> Result<Self, Fault> {
        let header = (
            little_endian(blob, 0),
            little_endian(blob, 4),
            little_endian(blob, 8),
        );
        let (Some(bytes), Some(tail), Some(count)) = header else {
            return Err("a ziplist is shorter than its header");
        };
        if u32::from_le_bytes(bytes) as usize != blob.len() || blob.len() <= HEADER {
            return Err("a ziplist declares another length than it has");
        }
        let (tail, declared) = (u32::from_le_bytes(tail) as usize, u16::from_le_bytes(count));
        Ok(Self {
            at: HEADER,
            previous: HEADER,
            tail,
            declared,
            seen: 0,
        })
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn next<'a>(&mut self, blob: &'a [u8]) -> Result<Option<Str<'a>>, Fault> {
        let entry = blob.get(self.at..).unwrap_or_default();
        let (&first, rest) = entry.split_first().ok_or("a ziplist has no end mark")?;
        if first == END {
            self.check_end(rest)?;
            return Ok(None);
        }
        let (previous, rest) = if first == BIG_PREVIOUS {
            let (length, rest) = rest.split_first_chunk().ok_or(CUT)?;
            (u32::from_le_bytes(*length) as usize, rest)
        } else {
            (usize::from(first), rest)
        };
        if previous != self.at - self.previous {
            return Err("a ziplist entry is wrong about the length of the one before it");
        }
        let (value, rest) = value(rest)?;
        self.previous = self.at;
        self.at = blob.len() - rest.len();
        self.seen += 1;
        Ok(Some(value))
    }

    fn check_end(&self, rest: &[u8]) -> Result<(), Fault> {
        if !rest.is_empty() {
            return Err("a ziplist has its end mark in the middle");
        }
        if self.tail != self.previous {
            return Err("a ziplist is wrong about where its last entry is");
        }
        if self.declared != UNCOUNTED && usize::from(self.declared) != self.seen {
            return Err("a ziplist declares another number of entries than it has");
        }
        Ok(())
    }
}

const CUT: Fault = "a ziplist entry goes past the end";

/// The value behind the previous length, and what follows it.
fn value(bytes: &[u8]) -> Result<(Str<'_>, &[u8]), Fault> {
    let (&header, rest) = bytes.split_first().ok_or(CUT)?;
    if header >> 6 != 3 {
        let (len, rest) = match header >> 6 {
            0 => (usize::from(header & 0x3f), rest),
            1 => {
                let (&low, rest) = rest.split_first().ok_or(CUT)?;
                (usize::from(u16::from_be_bytes([header & 0x3f, low])), rest)
            }
            _ => {
                let (len, rest) = rest.split_first_chunk().ok_or(CUT)?;
                (u32::from_be_bytes(*len) as usize, rest)
            }
        };
        let (text, rest) = rest.split_at_checked(len).ok_or(CUT)?;
        return Ok((Str::Bytes(text), rest));
    }
    Ok(match header {
        INT8 => int(rest, |bytes: [u8; 1]| i64::from(i8::from_le_bytes(bytes)))?,
        INT16 => int(rest, |bytes| i64::from(i16::from_le_bytes(bytes)))?,
        INT24 => int(rest, |[a, b, c]| {
            i64::from(i32::from_le_bytes([0, a, b, c]) >> 8)
        })?,
        INT32 => int(rest, |bytes| i64::from(i32::from_le_bytes(bytes)))?,
        INT64 => int(rest, i64::from_le_bytes)?,
        small if SMALL.contains(&small) => (Str::Int(i64::from(small - SMALL.start())), rest),
        _ => return Err("a ziplist entry of an unknown form"),
    })
}

fn int<const N: usize>(
    bytes: &[u8],
    read: impl FnOnce([u8; N]) -> i64,
) -> Result<(Str<'_>, &[u8]), Fault> {
    let (int, rest) = bytes.split_first_chunk().ok_or(CUT)?;
    Ok((Str::Int(read(*int)), rest))
}

/// A ziplist being written; its memory is used again for the next one.
#[derive(Default)]
pub(crate) struct Builder {
    bytes: Vec<u8>,
    count: usize,
    last: usize,
}

impl Builder {
    /// Starts an empty one.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.resize(HEADER, 0);
        self.count = 0;
        self.last = HEADER;
    }

    fn push_bytes(&mut self, text: &[u8]) {
        self.begin_entry();
        let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
        let [.., high, low] = len.to_be_bytes();
        match len {
            0..=63 => self.bytes.push(low),
            64..=16383 => self.bytes.extend([0x40 | high, low]),
            _ => {
                self.bytes.push(0x80);
                self.bytes.extend(len.to_be_bytes());
            }
        }
        self.bytes.extend_from_slice(text);
    }

    fn push_int(&mut self, value: i64) {
        self.begin_entry();
        let bytes = value.to_le_bytes();
        let (header, len) = match value {
            0..=12 => (SMALL.start() + bytes[0], 0),
            -0x80..=0x7f => (INT8, 1),
            -0x8000..=0x7fff => (INT16, 2),
            -0x80_0000..=0x7f_ffff => (INT24, 3),
            -0x8000_0000..=0x7fff_ffff => (INT32, 4),
            _ => (INT64, 8),
        };
        self.bytes.push(header);
        self.bytes.extend_from_slice(&bytes[..len]);
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "the length is checked to fit one byte"
    )]
    fn begin_entry(&mut self) {
        let at = self.bytes.len();
        let previous = at - self.last;
        if previous < usize::from(BIG_PREVIOUS) {
            self.bytes.push(previous as u8);
        } else {
            self.bytes.push(BIG_PREVIOUS);
            self.bytes
                .extend(u32::try_from(previous).unwrap_or(u32::MAX).to_le_bytes());
        }
        self.last = at;
        self.count += 1;
    }

    /// The memory that is used again.
    pub(crate) fn memory(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The finished ziplist; `None` where it outgrew what its header can say.
    pub(crate) fn finish(&mut self) -> Option<&[u8]> {
        self.bytes.push(END);
        let bytes = u32::try_from(self.bytes.len()).ok()?;
        let tail = u32::try_from(self.last).ok()?;
        let count = u16::try_from(self.count).unwrap_or(UNCOUNTED);
        self.bytes[0..4].copy_from_slice(&bytes.to_le_bytes());
        self.bytes[4..8].copy_from_slice(&tail.to_le_bytes());
        self.bytes[8..HEADER].copy_from_slice(&count.to_le_bytes());
        Some(&self.bytes)
    }
}

impl Pack for Builder {
    fn push(&mut self, text: &[u8]) {
        // Redis tries no string of 32 bytes or more, and none shorter than that has more than 20.
        match parse_i64(text) {
            Some(value) => self.push_int(value),
            None => self.push_bytes(text),
        }
    }

    fn push_score(&mut self, score: f64) {
        self.push(DoubleBuffer::new().format(score).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::super::Form;
    use super::super::tests::{all, survives_every_byte_change};
    use super::*;
    use proptest::prelude::*;

    fn build(elements: &[&[u8]]) -> Vec<u8> {
        let mut builder = Builder::default();
        builder.clear();
        for element in elements {
            builder.push(element);
        }
        builder.finish().unwrap().to_vec()
    }

    /// Bytes that `redis-cli dump` of Redis 3.0.7 gives for RPUSH of the same elements.
    #[test]
    fn bytes_are_those_of_redis() {
        let blob = build(&[b"1", b"-5", b"300", b"a"]);
        let entries = [
            0x00, 0xf2, 0x02, 0xfe, 0xfb, 0x03, 0xc0, 0x2c, 0x01, 0x04, 0x01, b'a', 0xff,
        ];
        let mut whole = vec![23, 0, 0, 0, 19, 0, 0, 0, 4, 0];
        whole.extend(entries);
        assert_eq!(blob, whole);
    }

    #[test]
    fn changed_bytes_never_panic() {
        survives_every_byte_change(
            Form::Ziplist,
            &build(&[
                b"1",
                b"-5",
                b"300",
                b"70000",
                b"5000000000",
                b"text",
                &[b'x'; 300],
                b"",
            ]),
        );
    }

    #[test]
    fn what_the_header_says_is_checked() {
        let good = build(&[b"a", b"b"]);
        for (at, byte) in [(0, 1), (4, 11), (8, 3), (13, 9)] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert!(all(Form::Ziplist, &bad).is_err(), "byte {at}");
        }
        let mut uncounted = good;
        uncounted[8..10].copy_from_slice(&[0xff, 0xff]);
        assert_eq!(all(Form::Ziplist, &uncounted).unwrap().len(), 2);
    }

    proptest! {
        #[test]
        fn round_trip(ints in prop::collection::vec(any::<i64>().prop_flat_map(|v| (0u32..64).prop_map(move |s| v >> s)), 0..50),
                      texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 0..20)) {
            let mut elements: Vec<Vec<u8>> = ints.iter().map(|int| int.to_string().into_bytes()).collect();
            elements.extend(texts);
            let slices: Vec<&[u8]> = elements.iter().map(Vec::as_slice).collect();
            let blob = build(&slices);
            let back: Vec<Vec<u8>> = all(Form::Ziplist, &blob).unwrap().iter().map(Str::to_vec).collect();
            prop_assert_eq!(back, elements);
        }
    }
}
