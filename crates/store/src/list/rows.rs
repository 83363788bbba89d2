//! Many elements of a list at once, as [`crate::packed`] stores them: copied whole where others write short strings the same way.

use std::collections::vec_deque;

use super::chunks::Chunk;
use crate::packed;

/// The longest element in a row. Its length is one byte, and so it is in the dumps of Redis.
const LONGEST: usize = 0x3f;

/// Elements that follow one another in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part<'a> {
    /// At least one element. Each is a byte with its length, at most 63, and that many bytes.
    Row(&'a [u8]),
    /// One element.
    Element(&'a [u8]),
}

/// What was taken from the front of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// How many elements.
    pub elements: usize,
    /// How many bytes they stood in.
    pub bytes: usize,
}

/// The elements at the front of `bytes` that form a row, `most` of them at most; each must be `wanted`.
#[inline]
pub(super) fn row(bytes: &[u8], most: usize, wanted: impl Fn(&[u8]) -> bool) -> Taken {
    let mut taken = Taken::default();
    loop {
        let rest = &bytes[taken.bytes..];
        let Some(&len) = rest.first().filter(|len| usize::from(**len) <= LONGEST) else {
            break;
        };
        // Neighbours often have one length. Its bytes are looked at where that length says they are, and compared: so the processor
        // need not know one to find the next.
        let mut alike = 0;
        for stored in rest
            .chunks_exact(1 + usize::from(len))
            .take(most - taken.elements)
        {
            if stored[0] != len || !wanted(&stored[1..]) {
                break;
            }
            alike += 1;
        }
        if alike == 0 {
            break;
        }
        taken.elements += alike;
        taken.bytes += alike * (1 + usize::from(len));
    }
    taken
}

/// All elements of a list, in parts.
pub(super) struct Parts<'a, F> {
    bytes: &'a [u8],
    rest: vec_deque::Iter<'a, Chunk>,
    in_row: F,
}

impl<'a, F> Parts<'a, F> {
    pub(super) fn new(bytes: &'a [u8], rest: vec_deque::Iter<'a, Chunk>, in_row: F) -> Self {
        Self {
            bytes,
            rest,
            in_row,
        }
    }
}

impl<'a, F: Fn(&[u8]) -> bool> Iterator for Parts<'a, F> {
    type Item = Part<'a>;

    fn next(&mut self) -> Option<Part<'a>> {
        while self.bytes.is_empty() {
            self.bytes = self.rest.next()?.bytes();
        }
        let taken = row(self.bytes, usize::MAX, &self.in_row);
        let (part, end) = if taken.elements > 0 {
            (Part::Row(&self.bytes[..taken.bytes]), taken.bytes)
        } else {
            let (begin, end) = packed::span(self.bytes, 0);
            (Part::Element(&self.bytes[begin..end]), end)
        };
        self.bytes = &self.bytes[end..];
        Some(part)
    }
}
