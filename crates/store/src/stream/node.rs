//! A node: some entries of a stream, one after the other in one heap block.
//!
//! # Layout
//!
//! ```text
//! count    varint  of the field names that the entries share
//! name...          as `item` stores them
//! entry...
//! ```
//!
//! and an entry is
//!
//! ```text
//! flags    u8      bit 0: it has field names of its own; bits 1-3 and 4-6: how many bytes the two numbers take
//! ms       0..=8   milliseconds after those of the node's base id, little end first
//! seq      0..=8   the number; in the base id's millisecond, what it is more than the base id's
//! value...         where it shares the node's names; otherwise a varint count, then names and values by turns
//! ```
//!
//! The base id is the key under which the stream keeps the node: that of the first entry ever put in. Removing an entry takes its
//! bytes out; one at the front is left behind `first` until half of the block is such.

use super::StreamId;
use super::item::{self, Fresh};
use crate::thin::{MAX_USED, Thin};
use crate::{Limits, Str};

/// The most bytes in a node that more than one entry shares, whatever the limits say: what is inserted, removed or searched moves or
/// walks so many.
const SHARED_MAX: usize = 64 * 1024;
/// The most bytes that one entry takes.
const ENTRY_MAX: usize = MAX_USED - 1024;
/// Below so many bytes, room left at the front is not worth a move.
const FRONT_MIN: usize = 512;
/// What a head of an item and an entry's own head take at most.
const HEADS: usize = 32;

const OWN_NAMES: u8 = 1;
const MS_SHIFT: u8 = 1;
const SEQ_SHIFT: u8 = 4;
const WIDTHS: [usize; 8] = [0, 1, 2, 3, 4, 5, 6, 8];

/// Some entries in one heap block.
#[derive(Clone)]
pub(super) struct Node {
    bytes: Thin,
    /// Where the first entry begins, and the last one.
    first: u32,
    last: u32,
    live: u32,
    /// How many were ever put in.
    appended: u32,
}

/// An entry of a stream, seen.
#[derive(Clone, Copy)]
pub struct StreamEntry<'a> {
    id: StreamId,
    /// The names that it shares with others.
    names: Option<&'a [u8]>,
    count: usize,
    body: &'a [u8],
}

/// The fields of an entry with their values, in the order they were given.
#[derive(Clone)]
pub struct StreamFields<'a> {
    names: Option<(&'a [u8], usize)>,
    body: &'a [u8],
    at: usize,
    left: usize,
}

/// The entries of a node, from one on.
pub(super) struct Cursor<'a> {
    base: StreamId,
    names: &'a [u8],
    count: usize,
    bytes: &'a [u8],
    at: usize,
}

impl Node {
    /// A node without entries whose entries may share these names.
    fn new<'f>(names: impl Iterator<Item = &'f [u8]> + Clone) -> Self {
        let mut head = Fresh::new();
        push_varint(&mut head, names.clone().count());
        names.for_each(|name| item::push(&mut head, name));
        let first = offset(head.len());
        Self {
            bytes: Thin::from_bytes(&head, 0),
            first,
            last: first,
            live: 0,
            appended: 0,
        }
    }

    /// A node with one entry, whose id is the base; none where that would have too many bytes.
    pub(super) fn of_first<'f>(
        id: StreamId,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])> + Clone,
    ) -> Option<Self> {
        if entry_bound(fields.clone()) > ENTRY_MAX {
            return None;
        }
        let mut node = Self::new(fields.clone().map(|(name, _)| name));
        node.append(id, id, fields);
        Some(node)
    }

    /// Whether it may get one more entry with so many bytes.
    pub(super) fn accepts(&self, added: usize, limits: &Limits) -> bool {
        let most = match limits.stream_node_bytes {
            0 => SHARED_MAX,
            bytes => bytes.min(SHARED_MAX),
        };
        let count = self.appended as usize;
        self.bytes.bytes().len().saturating_add(added) < most
            && (limits.stream_node_entries == 0 || count < limits.stream_node_entries)
    }

    /// Adds an entry behind all others: the caller has seen that its id is the greatest and that the node accepts it.
    pub(super) fn append<'f>(
        &mut self,
        base: StreamId,
        id: StreamId,
        fields: impl Iterator<Item = (&'f [u8], &'f [u8])> + Clone,
    ) {
        let own = !self.shares(fields.clone().map(|(name, _)| name));
        let mut entry = Fresh::new();
        push_id(&mut entry, base, id, own);
        if own {
            push_varint(&mut entry, fields.clone().count());
        }
        for (name, value) in fields {
            if own {
                item::push(&mut entry, name);
            }
            item::push(&mut entry, value);
        }
        let at = self.bytes.bytes().len();
        self.bytes.splice(at, 0, &[&entry], 0);
        self.last = offset(at);
        self.live += 1;
        self.appended += 1;
    }

    /// Whether these are the shared names.
    fn shares<'f>(&self, mut names: impl Iterator<Item = &'f [u8]>) -> bool {
        let bytes = self.bytes.bytes();
        let (count, mut at) = read_varint(bytes, 0);
        for _ in 0..count {
            match names.next() {
                Some(name) if item::equals(bytes, at, name) => at = item::skip(bytes, at),
                _ => return false,
            }
        }
        names.next().is_none()
    }

    pub(super) fn len(&self) -> usize {
        self.live as usize
    }

    /// The entries in order.
    pub(super) fn cursor(&self, base: StreamId) -> Cursor<'_> {
        self.cursor_at(base, self.first as usize)
    }

    fn cursor_at(&self, base: StreamId, at: usize) -> Cursor<'_> {
        let bytes = self.bytes.bytes();
        let (count, names) = read_varint(bytes, 0);
        Cursor {
            base,
            names: &bytes[names..],
            count,
            bytes,
            at,
        }
    }

    /// The first entry. A node in a stream has one.
    pub(super) fn first_entry(&self, base: StreamId) -> Option<StreamEntry<'_>> {
        self.cursor(base).next()
    }

    /// The last entry.
    pub(super) fn last_entry(&self, base: StreamId) -> Option<StreamEntry<'_>> {
        self.cursor_at(base, self.last as usize).next()
    }

    /// Removes an entry; whether it was there.
    pub(super) fn remove(&mut self, base: StreamId, id: StreamId) -> bool {
        let mut cursor = self.cursor(base);
        let mut before = None;
        loop {
            let at = cursor.at;
            match cursor.next() {
                Some(entry) if entry.id < id => before = Some(at),
                Some(entry) if entry.id == id => {
                    let end = cursor.at;
                    self.take_out(before, at, end);
                    return true;
                }
                _ => return false,
            }
        }
    }

    /// Takes out the entry from `at` to `end`, which follows the one at `before`.
    fn take_out(&mut self, before: Option<usize>, at: usize, end: usize) {
        self.live -= 1;
        let Some(before) = before else {
            self.first = offset(end);
            self.give_back_front();
            return;
        };
        if at == self.last as usize {
            self.last = offset(before);
        } else {
            self.last -= offset(end - at);
        }
        self.bytes.splice(at, end - at, &[], 0);
    }

    /// Removes entries at the front as long as `goes` says so, which is told the id; answers how many.
    pub(super) fn remove_front(
        &mut self,
        base: StreamId,
        mut goes: impl FnMut(StreamId) -> bool,
    ) -> usize {
        let mut cursor = self.cursor(base);
        let (mut removed, mut first) = (0, cursor.at);
        while let Some(entry) = cursor.next()
            && goes(entry.id)
        {
            removed += 1;
            first = cursor.at;
        }
        self.first = offset(first);
        self.live -= offset(removed);
        self.give_back_front();
        removed
    }

    /// Moves the entries to the front where half of the block is unused.
    fn give_back_front(&mut self) {
        let bytes = self.bytes.bytes();
        let first = self.first as usize;
        if first < FRONT_MIN || first < bytes.len() / 2 || self.live == 0 {
            return;
        }
        let (count, mut names) = read_varint(bytes, 0);
        for _ in 0..count {
            names = item::skip(bytes, names);
        }
        let unused = first - names;
        if unused >= bytes.len() / 2 {
            self.bytes.splice(names, unused, &[], 0);
            self.first -= offset(unused);
            self.last -= offset(unused);
        }
    }

    /// Bytes of the heap block.
    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes.heap_bytes()
    }
}

impl<'a> Iterator for Cursor<'a> {
    type Item = StreamEntry<'a>;

    #[inline]
    fn next(&mut self) -> Option<StreamEntry<'a>> {
        let flags = *self.bytes.get(self.at)?;
        let at = self.at + 1;
        let (ms, at) = read_number(self.bytes, at, flags >> MS_SHIFT);
        let (seq, at) = read_number(self.bytes, at, flags >> SEQ_SHIFT);
        let id = StreamId {
            ms: self.base.ms.wrapping_add(ms),
            seq: if ms == 0 {
                self.base.seq.wrapping_add(seq)
            } else {
                seq
            },
        };
        let (names, count, items, at) = if flags & OWN_NAMES == 0 {
            (Some(self.names), self.count, self.count, at)
        } else {
            let (count, at) = read_varint(self.bytes, at);
            (None, count, 2 * count, at)
        };
        let mut end = at;
        for _ in 0..items {
            end = item::skip(self.bytes, end);
        }
        self.at = end;
        Some(StreamEntry {
            id,
            names,
            count,
            body: &self.bytes[at..end],
        })
    }
}

impl<'a> StreamEntry<'a> {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.id
    }

    /// How many fields it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether it has no field. No command stores such an entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The fields with their values, in the order they were given. Integers come as such: [`Str::bytes`] prints them.
    #[must_use]
    pub fn fields(&self) -> StreamFields<'a> {
        StreamFields {
            names: self.names.map(|names| (names, 0)),
            body: self.body,
            at: 0,
            left: self.count,
        }
    }
}

impl<'a> Iterator for StreamFields<'a> {
    type Item = (Str<'a>, Str<'a>);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let name = if let Some((names, at)) = &mut self.names {
            let (name, next) = item::read(names, *at);
            *at = next;
            name
        } else {
            let (name, next) = item::read(self.body, self.at);
            self.at = next;
            name
        };
        let (value, next) = item::read(self.body, self.at);
        self.at = next;
        Some((name, value))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for StreamFields<'_> {}

/// The most bytes that an entry takes.
pub(super) fn entry_bound<'f>(fields: impl Iterator<Item = (&'f [u8], &'f [u8])>) -> usize {
    fields.fold(HEADS, |sum, (name, value)| {
        sum.saturating_add(name.len() + value.len() + 2 * 5)
    })
}

/// The bytes of names and values, which the limits are about.
pub(super) fn plain_len<'f>(fields: impl Iterator<Item = (&'f [u8], &'f [u8])>) -> usize {
    fields.map(|(name, value)| name.len() + value.len()).sum()
}

fn offset(at: usize) -> u32 {
    u32::try_from(at).expect("a node has less than 4 GB")
}

fn push_id(to: &mut Fresh, base: StreamId, id: StreamId, own: bool) {
    let ms = id.ms - base.ms;
    let seq = if ms == 0 { id.seq - base.seq } else { id.seq };
    let (ms_code, seq_code) = (width_code(ms), width_code(seq));
    to.push(u8::from(own) | ms_code << MS_SHIFT | seq_code << SEQ_SHIFT);
    to.extend_from_slice(&ms.to_le_bytes()[..WIDTHS[usize::from(ms_code)]]);
    to.extend_from_slice(&seq.to_le_bytes()[..WIDTHS[usize::from(seq_code)]]);
}

/// Which of [`WIDTHS`] holds a number.
fn width_code(number: u64) -> u8 {
    let bytes = (64 - number.leading_zeros()).div_ceil(8);
    #[expect(clippy::cast_possible_truncation, reason = "at most eight")]
    let code = bytes as u8;
    code.min(7)
}

#[inline]
fn read_number(bytes: &[u8], at: usize, code: u8) -> (u64, usize) {
    let width = WIDTHS[usize::from(code & 7)];
    let mut word = [0; 8];
    word[..width].copy_from_slice(&bytes[at..at + width]);
    (u64::from_le_bytes(word), at + width)
}

fn push_varint(to: &mut Fresh, mut number: usize) {
    while number >= 0x80 {
        #[expect(clippy::cast_possible_truncation, reason = "the low bits are meant")]
        to.push(number as u8 | 0x80);
        number >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "below 128")]
    to.push(number as u8);
}

#[inline]
fn read_varint(bytes: &[u8], mut at: usize) -> (usize, usize) {
    let (mut number, mut shift) = (0, 0);
    loop {
        let byte = bytes[at];
        at += 1;
        number |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return (number, at);
        }
        shift += 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_and_widths() {
        for number in [0, 1, 127, 128, 300, 1 << 20, usize::MAX >> 1] {
            let mut bytes = Fresh::from_slice(&[9]);
            push_varint(&mut bytes, number);
            assert_eq!(read_varint(&bytes, 1), (number, bytes.len()));
        }
        let base = StreamId::new(1000, 7);
        for (ms, seq) in [
            (1000, 7),
            (1000, 8),
            (1001, 0),
            (1255, 0),
            (1256, 1),
            (u64::MAX, u64::MAX),
        ] {
            let id = StreamId::new(ms, seq);
            let node = Node::of_first(base, [(&b"f"[..], &b"v"[..])].into_iter());
            let mut node = node.expect("it is small");
            node.append(base, id, [(&b"f"[..], &b"w"[..])].into_iter());
            assert_eq!(node.last_entry(base).map(|entry| entry.id()), Some(id));
        }
    }

    #[test]
    fn the_front_is_given_back() {
        let base = StreamId::new(1, 0);
        let value = [b'v'; 100];
        let fields = [(&b"name"[..], &value[..])].into_iter();
        let mut node = Node::of_first(base, fields.clone()).expect("it is small");
        for seq in 1..30 {
            node.append(base, StreamId::new(1, seq), fields.clone());
        }
        let whole = node.heap_bytes();
        assert_eq!(node.remove_front(base, |id| id.seq < 20), 20);
        assert!(node.heap_bytes() < whole / 2);
        let ids: Vec<u64> = node.cursor(base).map(|entry| entry.id().seq).collect();
        assert!(ids.into_iter().eq(20..30));
        assert_eq!(node.last_entry(base).map(|entry| entry.id().seq), Some(29));
    }
}
