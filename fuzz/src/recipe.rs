//! Recipes: an input taken apart, and cooked into a value or a file whose outer layers are good.
//!
//! A value is `encoding:u8 how:u8 rest`. By the low two bits of `how`, the rest is
//! - 0: the value's bytes as they stand in a file;
//! - 1: the bytes of its compact form, or of a chain's parts as `length:u16 bytes`, to be wrapped as a string;
//! - 2, 3: elements from which the value is built well, and patches to be made to it then: see [`Elements`].
//!
//! Bit 2: strings are compressed. Bit 3: a compact form's own length is mended after it was patched. Bits 4 to 7: elements in a
//! part of a chain, less one.

use std::collections::BTreeSet;

use rdb::Writer;
use resp::number::DoubleBuffer;

use crate::compact::{self, Element};
use crate::content::Content;

/// All codes of values, and two that mean nothing.
pub const CODES: [u8; 25] = [
    0, 1, 2, 3, 4, 5, 9, 10, 11, 12, 13, 14, 16, 17, 18, 20, 6, 7, 15, 19, 21, 24, 25, 8, 99,
];

/// A value as it stands in a file, without its code.
#[derive(Clone, Debug, Default)]
pub struct Cooked {
    /// Which encoding.
    pub code: u8,
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// Bytes that its compressed strings can expand to.
    pub expands_to: usize,
    /// What it must be read as: `None` where it may be refused; and where it must be, `Some(None)`.
    pub expected: Option<Option<Content>>,
}

/// Bytes being taken from an input.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a>(pub &'a [u8]);

impl<'a> Source<'a> {
    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte, 0 at the end.
    pub fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    /// The next two bytes as a number.
    pub fn word(&mut self) -> usize {
        usize::from(self.byte()) << 8 | usize::from(self.byte())
    }

    /// The next `count` bytes, or what is left.
    pub fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// The payload of a value: with the version and a good checksum behind it.
pub fn sealed(value: &Cooked, version: u16) -> Vec<u8> {
    let mut payload = vec![value.code];
    payload.extend_from_slice(&value.bytes);
    payload.extend(version.to_le_bytes());
    payload.extend(rdb::crc64(&payload).to_le_bytes());
    payload
}

/// Cooks a value of all that is left.
pub fn value(source: &mut Source<'_>) -> Cooked {
    let code = CODES[usize::from(source.byte()) % CODES.len()];
    let how = source.byte();
    match how & 3 {
        0 => {
            let bytes = source.take(usize::MAX).to_vec();
            let expands_to = possible_expansion(&bytes);
            Cooked {
                code,
                bytes,
                expands_to,
                expected: None,
            }
        }
        1 => bare(code, how, source),
        _ => built(code, how, source),
    }
}

/// How many bytes the compressed strings in `bytes` can expand to, wherever they begin.
pub fn possible_expansion(bytes: &[u8]) -> usize {
    let length = |bytes: &[u8]| -> Option<(usize, usize)> {
        let first = *bytes.first()?;
        Some(match first >> 6 {
            0 => (usize::from(first), 1),
            1 => (
                usize::from(first & 63) << 8 | usize::from(*bytes.get(1)?),
                2,
            ),
            _ if first == 0x80 => (
                u32::from_be_bytes(*bytes.get(1..)?.first_chunk()?) as usize,
                5,
            ),
            _ if first == 0x81 => (
                usize::try_from(u64::from_be_bytes(*bytes.get(1..)?.first_chunk()?)).ok()?,
                9,
            ),
            _ => return None,
        })
    };
    let expanded = |at: usize| -> Option<usize> {
        let (packed, used) = length(bytes.get(at + 1..)?)?;
        let (len, used_too) = length(bytes.get(at + 1 + used..)?)?;
        let left = bytes.len().checked_sub(at + 1 + used + used_too)?;
        (packed <= left && len <= packed.saturating_mul(88)).then_some(len)
    };
    let starts = bytes.iter().enumerate().filter(|(_, byte)| **byte == 0xc3);
    starts.filter_map(|(at, _)| expanded(at)).sum()
}

fn is_chain(code: u8) -> bool {
    matches!(code, 14 | 18)
}

fn is_compact(code: u8) -> bool {
    matches!(code, 9..=13 | 16 | 17 | 20)
}

fn writer(how: u8) -> Writer<Vec<u8>> {
    Writer::with_buffer(Vec::new(), how & 4 != 0, false, 4096)
}

/// What was written, without the end mark and the checksum.
fn written(writer: Writer<Vec<u8>>) -> Vec<u8> {
    let mut bytes = writer.finish().expect("memory takes everything");
    bytes.truncate(bytes.len() - 9);
    bytes
}

fn bare(code: u8, how: u8, source: &mut Source<'_>) -> Cooked {
    let mut parts = Vec::new();
    if is_chain(code) {
        while !source.is_empty() {
            let len = source.word();
            parts.push(source.take(len).to_vec());
        }
    } else {
        parts.push(source.take(usize::MAX).to_vec());
    }
    wrapped(code, how, parts, None)
}

/// Compact forms as a value.
fn wrapped(
    code: u8,
    how: u8,
    mut parts: Vec<Vec<u8>>,
    expected: Option<Option<Content>>,
) -> Cooked {
    let mut writer = writer(how);
    if is_chain(code) {
        writer
            .length(parts.len() as u64)
            .expect("memory takes everything");
    }
    let mut expands_to = 0;
    for part in &mut parts {
        if how & 8 != 0 {
            compact::mend(code, part);
        }
        if code == 18 {
            writer.length(2).expect("memory takes everything");
        }
        writer.string(part).expect("memory takes everything");
        expands_to += part.len();
    }
    Cooked {
        code,
        bytes: written(writer),
        expands_to,
        expected,
    }
}

/// What a value is built of, read from an input. Each begins with a byte:
/// - 0 to 199: so many bytes modulo 50, written as wide as the byte over 50;
/// - 200 to 223: an integer of 1, 2, 4 or 8 bytes by the low two bits, as wide as the two above;
/// - 224 to 239: `count:u8`: many different short elements;
/// - 240 to 247: `count:u8 byte`: a long one, of 64 times the count;
/// - above: a patch, `at:u16 byte`, to the bytes of the value in the end.
#[derive(Clone, Debug, Default)]
pub struct Elements {
    /// In order.
    pub elements: Vec<Element>,
    /// Where which byte is written over.
    pub patches: Vec<(usize, u8)>,
}

/// More elements than this are cut off.
const MOST_ELEMENTS: usize = 1200;

impl Elements {
    /// Those of all that is left.
    pub fn of(source: &mut Source<'_>) -> Self {
        let mut found = Self::default();
        while !source.is_empty() && found.elements.len() < MOST_ELEMENTS {
            let tag = source.byte();
            match tag {
                0..=199 => {
                    let text = source.take(usize::from(tag % 50)).to_vec();
                    found.push(text, tag / 50);
                }
                200..=223 => {
                    let mut bytes = [0; 8];
                    let taken = source.take(1 << (tag & 3));
                    bytes[8 - taken.len()..].copy_from_slice(taken);
                    let value = i64::from_be_bytes(bytes) << (64 - 8 * taken.len().max(1))
                        >> (64 - 8 * taken.len().max(1));
                    let text = value.to_string().into_bytes();
                    found.elements.push(Element {
                        text,
                        int: Some(value),
                        wide: tag >> 2 & 3,
                    });
                }
                224..=239 => {
                    for index in 0..u32::from(source.byte()) * 2 {
                        found.push(
                            format!("{}{index}", char::from(tag - 224 + b'a')).into_bytes(),
                            0,
                        );
                    }
                }
                240..=247 => {
                    let (count, byte) = (usize::from(source.byte()), source.byte());
                    found.push([byte].repeat(64 * count), tag & 3);
                }
                _ => found.patches.push((source.word(), source.byte())),
            }
        }
        found
    }

    fn push(&mut self, text: Vec<u8>, wide: u8) {
        self.elements.push(Element {
            text,
            int: None,
            wide,
        });
    }

    /// Every second one made a score.
    fn with_scores(mut self) -> Self {
        for pair in self.elements.chunks_exact_mut(2) {
            let score = &mut pair[1];
            if score.int.is_none() {
                let mut bytes = [0; 8];
                let len = score.text.len().min(8);
                bytes[..len].copy_from_slice(&score.text[..len]);
                let number = Some(f64::from_le_bytes(bytes)).filter(|number| !number.is_nan());
                let text = DoubleBuffer::new().format(number.unwrap_or(0.5)).to_owned();
                score.text = text.into_bytes();
            }
        }
        self
    }
}

fn built(code: u8, how: u8, source: &mut Source<'_>) -> Cooked {
    let zset = matches!(code, 3 | 5 | 12 | 17);
    let pairs = zset || matches!(code, 4 | 9 | 13 | 16);
    let mut found = Elements::of(source);
    if pairs {
        found.elements.truncate(found.elements.len() / 2 * 2);
    }
    if zset {
        found = found.with_scores();
    }
    let Elements {
        mut elements,
        patches,
    } = found;
    if code == 0 {
        elements.truncate(1);
    }
    let mut expected = expected(code, &elements).filter(|_| patches.is_empty());
    let patch = |bytes: &mut Vec<u8>| {
        for &(at, byte) in &patches {
            let len = bytes.len().max(1);
            if let Some(place) = bytes.get_mut(at % len) {
                *place = byte;
            }
        }
    };
    if is_compact(code) || is_chain(code) {
        let part_len = if is_chain(code) {
            usize::from(how >> 4) + 1
        } else {
            usize::MAX
        };
        let mut parts: Vec<_> = elements
            .chunks(part_len)
            .map(|part| form(code, part))
            .collect();
        if parts.is_empty() && !is_chain(code) {
            parts.push(form(code, &[]));
        }
        for part in &mut parts {
            patch(part);
        }
        return wrapped(code, how, parts, expected);
    }
    if code > 5 {
        expected = None;
    }
    let mut bytes = plain(code, how, &elements);
    patch(&mut bytes);
    let mut expands_to = elements.iter().map(|element| element.text.len()).sum();
    if !patches.is_empty() {
        expands_to += possible_expansion(&bytes);
    }
    Cooked {
        code,
        bytes,
        expands_to,
        expected,
    }
}

/// The compact form that `code` has, of these elements.
fn form(code: u8, elements: &[Element]) -> Vec<u8> {
    match code {
        9 => compact::zipmap(elements),
        11 => {
            let members: BTreeSet<i64> =
                elements.iter().filter_map(|element| element.int).collect();
            let wide = elements.first().map_or(0, |element| element.wide);
            compact::intset(&members.into_iter().collect::<Vec<_>>(), wide)
        }
        10 | 12 | 13 | 14 => compact::ziplist(elements),
        _ => compact::listpack(elements),
    }
}

/// Elements one after the other, with their number in front.
fn plain(code: u8, how: u8, elements: &[Element]) -> Vec<u8> {
    let mut writer = writer(how);
    let fine = "memory takes everything";
    if code == 0 {
        let text = elements.first().map_or(&b""[..], |element| &element.text);
        writer.string(text).expect(fine);
        return written(writer);
    }
    let scores = matches!(code, 3 | 5);
    let per_entry = if scores || code == 4 { 2 } else { 1 };
    writer
        .length((elements.len() / per_entry) as u64)
        .expect(fine);
    // One writer for all: where what it wrote of each element ends is noted.
    let mut ends = vec![writer.written()];
    for (index, element) in elements.iter().enumerate() {
        match element.int {
            _ if scores && index % 2 == 1 => {}
            Some(value) if element.wide % 2 == 0 => writer.int(value).expect(fine),
            _ => writer.string(&element.text).expect(fine),
        }
        ends.push(writer.written());
    }
    let strings = written(writer);
    let ends: Vec<usize> = ends
        .into_iter()
        .map(|end| usize::try_from(end).expect(fine))
        .collect();
    let mut bytes = strings[..ends[0]].to_vec();
    for (index, element) in elements.iter().enumerate() {
        if scores && index % 2 == 1 {
            score(code, element, &mut bytes);
        } else {
            bytes.extend_from_slice(&strings[ends[index]..ends[index + 1]]);
        }
    }
    bytes
}

/// A score as `code` has it.
fn score(code: u8, element: &Element, bytes: &mut Vec<u8>) {
    let text = std::str::from_utf8(&element.text).expect("scores are text");
    let score: f64 = text.parse().expect("scores are numbers");
    if code == 5 {
        bytes.extend(score.to_le_bytes());
    } else if score.is_infinite() {
        bytes.push(if score > 0.0 { 254 } else { 255 });
    } else {
        bytes.push(u8::try_from(text.len()).expect("scores are short"));
        bytes.extend_from_slice(text.as_bytes());
    }
}

/// What these elements must be read as; `Some(None)` where they must be refused.
fn expected(code: u8, elements: &[Element]) -> Option<Option<Content>> {
    let texts = || elements.iter().map(|element| element.text.clone());
    let pairs = || {
        elements
            .chunks_exact(2)
            .map(|pair| (pair[0].text.clone(), &pair[1]))
    };
    let unique = |len: usize, whole: usize, content: Content| {
        Some((len == whole && whole > 0).then_some(content))
    };
    match code {
        0 => Some(Some(Content::Str(texts().next().unwrap_or_default()))),
        1 | 10 | 14 | 18 => Some((!elements.is_empty()).then(|| Content::List(texts().collect()))),
        2 | 20 => {
            let members: BTreeSet<_> = texts().collect();
            unique(members.len(), elements.len(), Content::Set(members))
        }
        11 => {
            let ints = elements.iter().filter_map(|element| element.int);
            let members: BTreeSet<_> = ints.map(|int| int.to_string().into_bytes()).collect();
            Some((!members.is_empty()).then_some(Content::Set(members)))
        }
        4 | 9 | 13 | 16 => {
            let fields: std::collections::BTreeMap<_, _> = pairs()
                .map(|(field, value)| (field, value.text.clone()))
                .collect();
            unique(fields.len(), elements.len() / 2, Content::Hash(fields))
        }
        3 | 5 | 12 | 17 => {
            let score = |element: &Element| -> u64 {
                let text = std::str::from_utf8(&element.text).expect("scores are text");
                text.parse::<f64>().expect("scores are numbers").to_bits()
            };
            let rows: std::collections::BTreeMap<_, _> = pairs()
                .map(|(member, element)| (member, score(element)))
                .collect();
            unique(rows.len(), elements.len() / 2, Content::Zset(rows))
        }
        _ => None,
    }
}

/// A file: `version:u8 how:u8 rest`; version 13 is Valkey's 80. With the low bit of `how` set, the rest are the bytes behind the header; else records, each
/// begun by a byte, of which every sixteenth is a database, a name and value, sizes, an expiry in seconds or milliseconds, an
/// idle time, an access counter, other bytes; and the others a key: `length:u8 key length:u16 value`, `value` being a recipe.
/// The end mark and a good checksum are put behind all.
pub fn file(source: &mut Source<'_>) -> (Vec<u8>, usize) {
    let version = source.byte() % 14;
    let how = source.byte();
    let mut file = match version {
        13 => b"VALKEY080".to_vec(),
        _ => format!("REDIS{version:04}").into_bytes(),
    };
    let mut expands_to = 0;
    if how & 1 != 0 {
        file.extend_from_slice(source.take(usize::MAX));
        expands_to = possible_expansion(&file);
    }
    while !source.is_empty() {
        expands_to += record(source, &mut file);
    }
    file.push(255);
    let sum = if how & 2 == 0 { rdb::crc64(&file) } else { 0 };
    file.extend(sum.to_le_bytes());
    (file, expands_to)
}

fn record(source: &mut Source<'_>, file: &mut Vec<u8>) -> usize {
    let string = |source: &mut Source<'_>, file: &mut Vec<u8>| {
        let len = source.byte() % 64;
        let text = source.take(usize::from(len));
        file.push(u8::try_from(text.len()).expect("it is short"));
        file.extend_from_slice(text);
    };
    match source.byte() % 16 {
        0 => file.extend([254, source.byte() % 20]),
        1 => {
            file.push(250);
            string(source, file);
            string(source, file);
        }
        2 => file.extend([251, source.byte() % 64, source.byte() % 64]),
        3 => {
            file.push(253);
            file.extend_from_slice(source.take(4));
        }
        4 => {
            file.push(252);
            file.extend_from_slice(source.take(8));
        }
        5 => file.extend([248, source.byte() % 64]),
        6 => file.extend([249, source.byte()]),
        7 => {
            let len = usize::from(source.byte());
            file.extend_from_slice(source.take(len));
        }
        _ => {
            let (mut name, start) = (Vec::new(), file.len());
            string(source, &mut name);
            let len = source.word();
            let cooked = value(&mut Source(source.take(len)));
            file.push(cooked.code);
            file.extend(name);
            file.extend(cooked.bytes);
            // A length that was patched can reach over the end of a value.
            return cooked.expands_to.max(possible_expansion(&file[start..]));
        }
    }
    0
}
