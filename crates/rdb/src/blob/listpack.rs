//! Listpacks, which Redis writes from 7 on: `bytes:u32 count:u16 entry* 0xff`, little endian. An entry is a header that gives its form,
//! its bytes, and the length of both once more, written to be read backwards.

use resp::number::{DoubleBuffer, parse_i64};

use super::pack::{END, Fault, Pack, little_endian};
use crate::decode::Str;

const HEADER: usize = 6;
/// A count that says: walk.
const UNCOUNTED: u16 = u16::MAX;
const CUT: Fault = "a listpack entry goes past the end";

/// A place in a listpack.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor {
    at: usize,
    declared: u16,
    seen: usize,
}

impl Cursor {
    pub(super) fn open(blob: &[u8]) -> Result<Self, Fault> {
        let (Some(bytes), Some(count)) = (little_endian(blob, 0), little_endian(blob, 4)) else {
            return Err("a listpack is shorter than its header");
        };
        if u32::from_le_bytes(bytes) as usize != blob.len() || blob.len() <= HEADER {
            return Err("a listpack declares another length than it has");
        }
        Ok(Self {
            at: HEADER,
            declared: u16::from_le_bytes(count),
            seen: 0,
        })
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn next<'a>(&mut self, blob: &'a [u8]) -> Result<Option<Str<'a>>, Fault> {
        let entry = blob.get(self.at..).unwrap_or_default();
        let (&first, rest) = entry.split_first().ok_or("a listpack has no end mark")?;
        if first == END {
            if !rest.is_empty() {
                return Err("a listpack has its end mark in the middle");
            }
            if self.declared != UNCOUNTED && usize::from(self.declared) != self.seen {
                return Err("a listpack declares another number of entries than it has");
            }
            return Ok(None);
        }
        let (value, rest) = value(first, rest)?;
        let rest = check_back_length(entry.len() - rest.len(), rest)?;
        self.at = blob.len() - rest.len();
        self.seen += 1;
        Ok(Some(value))
    }
}

/// The value of an entry that begins with `first`, and what follows it.
fn value(first: u8, rest: &[u8]) -> Result<(Str<'_>, &[u8]), Fault> {
    let text = |len: usize, rest| -> Result<_, Fault> {
        let (text, rest) = <[u8]>::split_at_checked(rest, len).ok_or(CUT)?;
        Ok((Str::Bytes(text), rest))
    };
    match first {
        0x00..=0x7f => Ok((Str::Int(i64::from(first)), rest)),
        0x80..=0xbf => text(usize::from(first & 0x3f), rest),
        0xc0..=0xdf => {
            let (&low, rest) = rest.split_first().ok_or(CUT)?;
            // 13 bits with a sign.
            let value = i16::from_be_bytes([first << 3 | low >> 5, low << 3]) >> 3;
            Ok((Str::Int(i64::from(value)), rest))
        }
        0xe0..=0xef => {
            let (&low, rest) = rest.split_first().ok_or(CUT)?;
            text(usize::from(u16::from_be_bytes([first & 0x0f, low])), rest)
        }
        0xf0 => {
            let (len, rest) = rest.split_first_chunk().ok_or(CUT)?;
            text(u32::from_le_bytes(*len) as usize, rest)
        }
        0xf1 => int(rest, |bytes| i64::from(i16::from_le_bytes(bytes))),
        0xf2 => int(rest, |[a, b, c]| {
            i64::from(i32::from_le_bytes([0, a, b, c]) >> 8)
        }),
        0xf3 => int(rest, |bytes| i64::from(i32::from_le_bytes(bytes))),
        0xf4 => int(rest, i64::from_le_bytes),
        _ => Err("a listpack entry of an unknown form"),
    }
}

fn int<const N: usize>(
    bytes: &[u8],
    read: impl FnOnce([u8; N]) -> i64,
) -> Result<(Str<'_>, &[u8]), Fault> {
    let (int, rest) = bytes.split_first_chunk().ok_or(CUT)?;
    Ok((Str::Int(read(*int)), rest))
}

/// How many bytes say backwards that an entry has `len`. Everybody gives the longest lengths of a size one byte more than they need, but Valkey
/// from 9.1 on (`narrow`), which reads no other form; nor do the others read its.
fn back_size(len: usize, narrow: bool) -> usize {
    match len + usize::from(!narrow && len > 127) {
        0..=127 => 1,
        128..=16_383 => 2,
        16_384..=2_097_151 => 3,
        2_097_152..=268_435_455 => 4,
        _ => 5,
    }
}

/// Checks that the bytes in front of `rest` say backwards that the entry has `len` bytes, in either form; gives what follows them.
fn check_back_length(len: usize, rest: &[u8]) -> Result<&[u8], Fault> {
    let wide = back_size(len, false);
    // Lengths that the two forms write in different numbers of bytes begin with another byte in each.
    let size = if rest.first() == Some(&0) {
        wide
    } else {
        back_size(len, true)
    };
    let (bytes, rest) = rest.split_at_checked(size).ok_or(CUT)?;
    if back_bytes(bytes)? == len as u64 {
        Ok(rest)
    } else {
        Err(BACK)
    }
}

/// The number in `bytes`: seven bits a byte, the highest first; all but the first byte have their top bit set.
fn back_bytes(bytes: &[u8]) -> Result<u64, Fault> {
    let mut said = 0u64;
    for (index, &byte) in bytes.iter().enumerate() {
        if (byte & 0x80 != 0) != (index > 0) {
            return Err(BACK);
        }
        said = said << 7 | u64::from(byte & 0x7f);
    }
    Ok(said)
}

const BACK: Fault = "a listpack entry is wrong about its own length";

/// A listpack being written; its memory is used again for the next one.
#[derive(Default)]
pub(crate) struct Builder {
    bytes: Vec<u8>,
    count: usize,
    /// Entries say their own length as Valkey from 9.1 on has it.
    pub(crate) narrow: bool,
}

impl Builder {
    /// Starts an empty one.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.resize(HEADER, 0);
        self.count = 0;
    }

    /// Appends an integer.
    pub(crate) fn push_int(&mut self, value: i64) {
        let start = self.bytes.len();
        let bytes = value.to_le_bytes();
        match value {
            0..=0x7f => self.bytes.push(bytes[0]),
            -0x1000..=0xfff => {
                let [low, high, ..] = bytes;
                self.bytes.extend([0xc0 | (high & 0x1f), low]);
            }
            -0x8000..=0x7fff => self.int(0xf1, &bytes[..2]),
            -0x80_0000..=0x7f_ffff => self.int(0xf2, &bytes[..3]),
            -0x8000_0000..=0x7fff_ffff => self.int(0xf3, &bytes[..4]),
            _ => self.int(0xf4, &bytes),
        }
        self.end_entry(start);
    }

    fn int(&mut self, header: u8, bytes: &[u8]) {
        self.bytes.push(header);
        self.bytes.extend_from_slice(bytes);
    }

    fn push_bytes(&mut self, text: &[u8]) {
        let start = self.bytes.len();
        let len = u32::try_from(text.len()).unwrap_or(u32::MAX);
        let [.., high, low] = len.to_be_bytes();
        match len {
            0..=0x3f => self.bytes.push(0x80 | low),
            0x40..=0xfff => self.bytes.extend([0xe0 | high, low]),
            _ => self.int(0xf0, &len.to_le_bytes()),
        }
        self.bytes.extend_from_slice(text);
        self.end_entry(start);
    }

    /// Writes the length of the entry that began at `start` behind it.
    fn end_entry(&mut self, start: usize) {
        let len = self.bytes.len() - start;
        let size = back_size(len, self.narrow);
        for index in (0..size).rev() {
            let seven = len >> (7 * index) & 0x7f;
            let mark = if index + 1 == size { 0 } else { 0x80 };
            self.bytes
                .push(u8::try_from(seven | mark).unwrap_or(u8::MAX));
        }
        self.count += 1;
    }

    /// The memory that is used again.
    pub(crate) fn memory(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The finished listpack; `None` where it outgrew what its header can say.
    pub(crate) fn finish(&mut self) -> Option<&[u8]> {
        self.bytes.push(END);
        let bytes = u32::try_from(self.bytes.len()).ok()?;
        let count = u16::try_from(self.count).unwrap_or(UNCOUNTED);
        self.bytes[..4].copy_from_slice(&bytes.to_le_bytes());
        self.bytes[4..HEADER].copy_from_slice(&count.to_le_bytes());
        Some(&self.bytes)
    }
}

impl Pack for Builder {
    fn push(&mut self, text: &[u8]) {
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
pub(crate) mod tests {
    use super::super::Form;
    use super::super::tests::{all, survives_every_byte_change};
    use super::*;
    use proptest::prelude::*;

    /// A listpack of entries given as their bytes without the length behind.
    fn pack(entries: &[Vec<u8>]) -> Vec<u8> {
        pack_as(entries, 16_382)
    }

    /// The same; lengths up to `two` are said in two bytes.
    fn pack_as(entries: &[Vec<u8>], two: usize) -> Vec<u8> {
        let byte = |number: usize| u8::try_from(number).unwrap();
        let mut blob = vec![0; HEADER];
        for entry in entries {
            blob.extend(entry);
            let (high, middle, low) =
                (entry.len() >> 14, entry.len() >> 7 & 127, entry.len() & 127);
            match entry.len() {
                0..=127 => blob.push(byte(low)),
                len if len <= two => blob.extend([byte(middle), byte(low) | 128]),
                _ => blob.extend([byte(high), byte(middle) | 128, byte(low) | 128]),
            }
        }
        blob.push(END);
        let (len, count) = (
            u32::try_from(blob.len()).unwrap(),
            u16::try_from(entries.len()).unwrap(),
        );
        blob[..4].copy_from_slice(&len.to_le_bytes());
        blob[4..6].copy_from_slice(&count.to_le_bytes());
        blob
    }

    /// Every form, with the value it stands for.
    fn forms() -> Vec<(Vec<u8>, Vec<u8>)> {
        let long = |header: Vec<u8>, len: usize| [header, vec![b'x'; len]].concat();
        vec![
            (vec![0x00], b"0".to_vec()),
            (vec![0x7f], b"127".to_vec()),
            (vec![0x83, b'a', b'b', b'c'], b"abc".to_vec()),
            (vec![0x80], b"".to_vec()),
            (vec![0xdf, 0xff], b"-1".to_vec()),
            (vec![0xcf, 0xff], b"4095".to_vec()),
            (vec![0xd0, 0x00], b"-4096".to_vec()),
            (long(vec![0xe1, 0x2c], 300), vec![b'x'; 300]),
            (long(vec![0xf0, 0x88, 0x13, 0, 0], 5000), vec![b'x'; 5000]),
            (
                long(vec![0xf0, 0x20, 0x4e, 0, 0], 20_000),
                vec![b'x'; 20_000],
            ),
            (vec![0xf1, 0x00, 0x80], b"-32768".to_vec()),
            (vec![0xf2, 0xff, 0xff, 0xff], b"-1".to_vec()),
            (vec![0xf3, 0xff, 0xff, 0xff, 0x7f], b"2147483647".to_vec()),
            (
                vec![0xf4, 0, 0, 0, 0, 0, 0, 0, 0x80],
                b"-9223372036854775808".to_vec(),
            ),
        ]
    }

    #[test]
    fn every_form_is_read() {
        let (entries, values): (Vec<_>, Vec<_>) = forms().into_iter().unzip();
        let blob = pack(&entries);
        let read: Vec<Vec<u8>> = all(Form::Listpack, &blob)
            .unwrap()
            .iter()
            .map(Str::to_vec)
            .collect();
        assert_eq!(read, values);
    }

    #[test]
    fn changed_bytes_never_panic() {
        let entries: Vec<_> = forms()
            .into_iter()
            .map(|(entry, _)| entry)
            .filter(|entry| entry.len() < 400)
            .collect();
        survives_every_byte_change(Form::Listpack, &pack(&entries));
    }

    /// What is written is what Redis writes: the shortest form of each.
    #[test]
    fn every_form_is_written() {
        let shortest = forms().into_iter().filter(|(entry, value)| {
            // These two stand in a longer form than they need.
            !(entry.len() > 2 && value == b"-1")
        });
        let (entries, values): (Vec<_>, Vec<_>) = shortest.unzip();
        assert!(build(&values) == pack(&entries));
    }

    fn build(elements: &[Vec<u8>]) -> Vec<u8> {
        let mut builder = Builder::default();
        builder.clear();
        elements.iter().for_each(|element| builder.push(element));
        builder.finish().unwrap().to_vec()
    }

    proptest! {
        #[test]
        fn round_trip(ints in prop::collection::vec(any::<i64>().prop_flat_map(|v| (0u32..64).prop_map(move |s| v >> s)), 0..50),
                      texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..400), 0..20),
                      long in prop::sample::select(&[4095usize, 4096, 16_379, 16_380, 16_381, 70_000][..])) {
            let mut elements: Vec<Vec<u8>> = ints.iter().map(|int| int.to_string().into_bytes()).collect();
            elements.extend(texts);
            elements.push(vec![b'x'; long]);
            let blob = build(&elements);
            let back: Vec<Vec<u8>> = all(Form::Listpack, &blob).unwrap().iter().map(Str::to_vec).collect();
            prop_assert_eq!(back, elements);
        }
    }

    /// An entry of 16,383 bytes says so in two bytes to Valkey from 9.1 on, and in three to all others; both are read.
    #[test]
    fn lengths_that_are_said_in_two_ways() {
        let value = vec![b'x'; 16_378];
        let entry = [&[0xf0, 0xfa, 0x3f, 0, 0][..], &value].concat();
        let mut builder = Builder::default();
        for (narrow, two) in [(false, 16_382), (true, 16_383)] {
            builder.narrow = narrow;
            builder.clear();
            builder.push(b"a");
            builder.push(&value);
            builder.push(b"b");
            let blob = builder.finish().unwrap().to_vec();
            let entries = [vec![0x81, b'a'], entry.clone(), vec![0x81, b'b']];
            assert!(blob == pack_as(&entries, two), "narrow: {narrow}");
            let read = all(Form::Listpack, &blob).unwrap();
            assert!(read.len() == 3 && read[1].to_vec() == value);
        }
    }

    #[test]
    fn what_is_said_twice_must_agree() {
        let good = pack(&[vec![0x81, b'a'], vec![0x82, b'b', b'c']]);
        for (at, byte) in [(0, 99), (4, 3), (8, 1), (12, 0x83)] {
            let mut bad = good.clone();
            bad[at] = byte;
            assert!(all(Form::Listpack, &bad).is_err(), "byte {at}");
        }
    }
}
