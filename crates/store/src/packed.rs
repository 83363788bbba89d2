//! The compact form of elements: `[length][bytes]` one after the other, inside a [`Thin`] or a list's chunk.
//!
//! A length below 128 takes one byte. Longer ones take two (`0x80 | length >> 8`, then the low byte) up to 32,511, and five
//! (`0xff`, then 32 bits, little end first) beyond.

use crate::thin::{MAX_USED, Thin, size_class};

/// The most bytes that a length takes.
pub(crate) const MAX_HEAD: usize = 5;

/// Past Redis's limits a block has at most so many bytes and counted things.
const PAST_BYTES: usize = 1024;
const PAST_COUNT: usize = 32;

/// How many items an estimate looks at.
const MEAN_OF: usize = 16;

/// So many elements are skipped at once where all have one length.
const ALIKE: usize = 8;

const TWO: u8 = 0x80;
const FIVE: u8 = 0xff;
const MAX_TWO: usize = 0x7eff;

/// A length as it is stored.
#[derive(Clone, Copy)]
pub(crate) struct HeadBytes {
    bytes: [u8; MAX_HEAD],
    len: u8,
}

impl HeadBytes {
    pub(crate) fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// The stored form of the length of `element`.
///
/// # Panics
/// When the element has 2^32 bytes or more: a request cannot carry it.
pub(crate) fn head(element: &[u8]) -> HeadBytes {
    let len = element.len();
    let mut bytes = [0; MAX_HEAD];
    #[expect(
        clippy::cast_possible_truncation,
        reason = "each arm has checked the range"
    )]
    let used = if len < usize::from(TWO) {
        bytes[0] = len as u8;
        1
    } else if len <= MAX_TWO {
        bytes[0] = TWO | (len >> 8) as u8;
        bytes[1] = len as u8;
        2
    } else {
        let len = u32::try_from(len).expect("an element of less than 4 GB");
        bytes[0] = FIVE;
        bytes[1..].copy_from_slice(&len.to_le_bytes());
        5
    };
    HeadBytes { bytes, len: used }
}

/// How many bytes an element of `len` bytes takes with its length.
pub(crate) fn stored_len(len: usize) -> usize {
    let head = if len < usize::from(TWO) {
        1
    } else if len <= MAX_TWO {
        2
    } else {
        MAX_HEAD
    };
    head + len
}

/// Where the element at `at` begins and ends, its length left out.
#[inline]
pub(crate) fn span(bytes: &[u8], at: usize) -> (usize, usize) {
    let first = bytes[at];
    if first < TWO {
        return (at + 1, at + 1 + usize::from(first));
    }
    long_span(bytes, at)
}

#[cold]
fn long_span(bytes: &[u8], at: usize) -> (usize, usize) {
    let begin = at + head_len(bytes[at]);
    (begin, begin + length(&bytes[at..begin]))
}

/// How many bytes a stored length takes, by its first one.
#[inline]
pub(crate) fn head_len(first: u8) -> usize {
    match first {
        0..TWO => 1,
        TWO..FIVE => 2,
        FIVE => MAX_HEAD,
    }
}

/// The length that is stored in `head`, which has as many bytes as its first one says.
#[inline]
pub(crate) fn length(head: &[u8]) -> usize {
    match *head {
        [len] => usize::from(len),
        [high, low] => (usize::from(high & !TWO) << 8) | usize::from(low),
        [_, a, b, c, d] => u32::from_le_bytes([a, b, c, d]) as usize,
        _ => unreachable!("a stored length has one, two or five bytes"),
    }
}

/// The element at `at`.
#[inline]
pub(crate) fn element(bytes: &[u8], at: usize) -> &[u8] {
    let (begin, end) = span(bytes, at);
    &bytes[begin..end]
}

/// Where the element begins that follows the one at `at`.
#[inline]
pub(crate) fn next(bytes: &[u8], at: usize) -> usize {
    span(bytes, at).1
}

/// Where the `n`th element after the one at `at` begins.
pub(crate) fn skip(bytes: &[u8], mut at: usize, mut n: usize) -> usize {
    while n >= ALIKE {
        let len = bytes[at];
        if len < TWO && are_alike(bytes, at, len) {
            at += ALIKE * (1 + usize::from(len));
        } else {
            for _ in 0..ALIKE {
                at = next(bytes, at);
            }
        }
        n -= ALIKE;
    }
    for _ in 0..n {
        at = next(bytes, at);
    }
    at
}

/// Whether the element at `at` has this length and so have those that follow. They are looked at where that length says they are: so the
/// processor need not know one to find the next.
#[inline]
fn are_alike(bytes: &[u8], at: usize, len: u8) -> bool {
    let stored = 1 + usize::from(len);
    let Some(block) = bytes.get(at..at + ALIKE * stored) else {
        return false;
    };
    let (mut other, mut place) = (0, 0);
    for _ in 0..ALIKE {
        other |= block[place] ^ len;
        place += stored;
    }
    other == 0
}

/// Whether two strings are equal. The last byte is looked at first: members and fields often begin alike.
#[inline]
pub(crate) fn equal(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.last() == b.last() && a == b
}

/// Whether so many bytes and counted things may stay in one block. Redis's limits decide for those that are not `past` them;
/// past them one block still is the best form of few bytes.
pub(crate) fn suits(bytes: usize, count: usize, past: bool) -> bool {
    if past {
        bytes <= PAST_BYTES && count <= PAST_COUNT
    } else {
        bytes <= MAX_USED
    }
}

/// The mean size of the heap blocks of the first few items, when they have these sizes.
pub(crate) fn mean(sizes: impl Iterator<Item = usize>) -> usize {
    let (sum, n) = sizes
        .take(MEAN_OF)
        .fold((0, 0), |(sum, n), size| (sum + size_class(size), n + 1));
    sum / n.max(1)
}

/// Elements in order, from the place where they begin.
#[derive(Clone)]
pub(crate) struct Elements<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Elements<'a> {
    pub(crate) fn new(bytes: &'a [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// Where the next element begins.
    pub(crate) fn at(&self) -> usize {
        self.at
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        if self.at >= self.bytes.len() {
            return None;
        }
        let (begin, end) = span(self.bytes, self.at);
        self.at = end;
        Some(&self.bytes[begin..end])
    }
}

/// Where the elements equal to `wanted` begin.
pub(crate) fn equal_at(mut elements: Elements<'_>, wanted: &[u8]) -> Vec<usize> {
    let mut found = Vec::new();
    let mut at = elements.at();
    while let Some(element) = elements.next() {
        if equal(element, wanted) {
            found.push(at);
        }
        at = elements.at();
    }
    found
}

/// Inserts an element at byte `at`.
pub(crate) fn insert(thin: &mut Thin, at: usize, element: &[u8]) {
    let count = thin.count() + 1;
    thin.splice(at, 0, &[head(element).as_slice(), element], count);
}

/// Appends an element.
pub(crate) fn push(thin: &mut Thin, element: &[u8]) {
    insert(thin, thin.bytes().len(), element);
}

/// Replaces the element at byte `at`.
pub(crate) fn replace(thin: &mut Thin, at: usize, element: &[u8]) {
    let (begin, end) = span(thin.bytes(), at);
    if end - begin == element.len() {
        thin.bytes_mut()[begin..end].copy_from_slice(element);
        return;
    }
    let count = thin.count();
    thin.splice(at, end - at, &[head(element).as_slice(), element], count);
}

/// Removes the bytes `from..to`, which hold `counted` counted things.
pub(crate) fn remove(thin: &mut Thin, from: usize, to: usize, counted: usize) {
    let count = thin.count() - counted;
    thin.splice(from, to - from, &[], count);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn skips_as_many_elements_as_a_walk() {
        let lengths = [
            vec![3; 40],
            (0..40).collect(),
            [
                vec![0; 9],
                vec![200; 9],
                vec![5; 17],
                vec![1, 2],
                vec![70_000],
            ]
            .concat(),
        ];
        for lengths in lengths {
            let mut bytes = Vec::new();
            let mut places = Vec::new();
            for &len in &lengths {
                places.push(bytes.len());
                let element = vec![3; len];
                bytes.extend_from_slice(head(&element).as_slice());
                bytes.extend_from_slice(&element);
            }
            places.push(bytes.len());
            for from in 0..places.len() {
                for n in 0..places.len() - from {
                    assert_eq!(skip(&bytes, places[from], n), places[from + n]);
                }
            }
        }
    }

    #[test]
    fn lengths_of_every_size() {
        let mut thin = Thin::new();
        let lens = [0, 1, 127, 128, 129, 255, 256, 32_511, 32_512, 100_000];
        for len in lens {
            let element = vec![b'x'; len];
            let before = thin.bytes().len();
            push(&mut thin, &element);
            assert_eq!(thin.bytes().len() - before, stored_len(len));
        }
        let seen: Vec<usize> = Elements::new(thin.bytes(), 0).map(<[u8]>::len).collect();
        assert_eq!(seen, lens);
        let at = skip(thin.bytes(), 0, 3);
        replace(&mut thin, at, b"short");
        assert_eq!(element(thin.bytes(), at), b"short");
        let at = skip(thin.bytes(), 0, 8);
        assert_eq!(element(thin.bytes(), at).len(), 32_512);
        assert_eq!(thin.count(), lens.len());
    }
}
