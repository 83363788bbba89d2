//! The large form of a list: chunks of packed elements in a deque. Both ends and the middle; limits and encodings are the
//! parent's.
//!
//! Elements carry their length at the front only. The last element of a chunk is found through an index of the tail chunk
//! alone, built by one walk when the first element is popped from it and kept up by pushes and pops after that.

use std::collections::{VecDeque, vec_deque};

use super::listpack;
use super::rows::{self, Parts, Taken};
use crate::packed::{self, Elements};
use crate::thin::size_class;

/// The most bytes of elements in one chunk. A longer element has a chunk of its own. Of blocks of this size the allocator cuts eight
/// from one piece; of those that are a page long, each is a piece of its own, with what it keeps of that.
const CHUNK_BYTES: usize = 3584;

/// Neighbours that hold no more than this together become one.
const MERGE_BYTES: usize = CHUNK_BYTES / 2;

/// Elements up to this size are worth a chunk allocated whole.
const SMALL_ELEMENT: usize = CHUNK_BYTES / 16;

/// A list in chunks. No chunk is empty.
#[derive(Clone)]
pub(super) struct Chunks {
    chunks: VecDeque<Chunk>,
    len: usize,
    /// Where the last elements of the tail chunk begin, the very last on top. Empty: not known. The lowest ones may have been
    /// popped from the front.
    tail: Vec<u16>,
    /// Whether the list is past the limits of Redis's compact encoding.
    pub(super) linked: bool,
    /// So many bytes at least may still come before that has to be looked at, where it is not.
    room: usize,
}

impl Chunks {
    pub(super) fn new(linked: bool) -> Self {
        Self {
            chunks: VecDeque::new(),
            len: 0,
            tail: Vec::new(),
            linked,
            room: 0,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether `element` makes a listpack of more than so many bytes of what was none.
    pub(super) fn outgrows(&mut self, element: &[u8], bytes: usize) -> bool {
        let most = listpack::most(packed::stored_len(element.len()));
        if self.room >= most {
            self.room -= most;
            return false;
        }
        let used = listpack::len(self.iter_from(0));
        self.room = bytes.saturating_sub(used).saturating_sub(most);
        used + element.len() > bytes
    }

    /// Whether there are at most so many bytes, in few chunks.
    pub(super) fn only_has(&self, bytes: usize) -> bool {
        self.chunks.len() <= 1 + bytes / MERGE_BYTES
            && self.chunks.iter().map(Chunk::used).sum::<usize>() <= bytes
    }

    pub(super) fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// Whole chunks are taken to be full.
    pub(super) fn heap_bytes(&self) -> usize {
        let ends = [self.chunks.front(), self.chunks.back()];
        let typical = ends
            .into_iter()
            .flatten()
            .map(|chunk| chunk.buf.capacity())
            .max()
            .unwrap_or(0);
        size_of::<Self>()
            + self.chunks.capacity() * size_of::<Chunk>()
            + self.tail.capacity() * size_of::<u16>()
            + self.chunks.len() * typical
    }

    pub(super) fn push_back(&mut self, element: &[u8]) {
        let roomy = self.is_roomy(element);
        self.len += 1;
        if let Some(chunk) = self.chunks.back_mut() {
            match chunk.push_back(element, roomy) {
                Pushed::At(at) => {
                    if !self.tail.is_empty() {
                        self.tail.push(at);
                    }
                    return;
                }
                Pushed::Moved => {
                    self.tail.clear();
                    return;
                }
                Pushed::Full => {}
            }
        }
        self.tail.clear();
        self.chunks.push_back(Chunk::back(element, roomy));
    }

    /// Adds at the tail, up to `most` elements, the row that `bytes` begins with.
    pub(super) fn extend_back(&mut self, bytes: &[u8], most: usize) -> Taken {
        let mut taken = Taken::default();
        loop {
            let (bytes, most) = (&bytes[taken.bytes..], most - taken.elements);
            let roomy = self.chunks.len() > 1;
            let mut more = match self.chunks.back_mut() {
                Some(chunk) => chunk.extend_back(bytes, most, roomy),
                None => Taken::default(),
            };
            self.len += more.elements;
            if more.elements == 0 {
                // The chunk is full, or the row has ended.
                more = rows::row(bytes, most.min(1), |_| true);
                if more.elements == 0 {
                    break;
                }
                self.push_back(&bytes[1..more.bytes]);
            }
            taken.elements += more.elements;
            taken.bytes += more.bytes;
        }
        if taken.elements > 0 {
            self.tail.clear();
        }
        taken
    }

    pub(super) fn push_front(&mut self, element: &[u8]) {
        let roomy = self.is_roomy(element);
        let only = self.chunks.len() == 1;
        self.len += 1;
        if let Some(chunk) = self.chunks.front_mut() {
            if only && self.tail.len() > chunk.len() {
                // Places of elements that were popped from the front; others come there now.
                self.tail.drain(..self.tail.len() - chunk.len());
            }
            // In the only chunk, elements that are popped from the tail leave no room for those that come here. So the chunk
            // gets a good part of its size more, or the index below would be lost too often.
            let room = if roomy {
                CHUNK_BYTES
            } else if only && !self.tail.is_empty() {
                chunk.used() / 2
            } else {
                0
            };
            match chunk.push_front(element, room) {
                Pushed::At(_) => return,
                Pushed::Moved => {
                    if only {
                        self.tail.clear();
                    }
                    return;
                }
                Pushed::Full => {}
            }
        }
        self.chunks.push_front(Chunk::front(element, roomy));
    }

    pub(super) fn pop_front<R>(&mut self, seen: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let chunk = self.chunks.front_mut()?;
        let answer = seen(packed::element(&chunk.buf, chunk.start()));
        chunk.drop_front(1);
        if chunk.count == 0 {
            self.chunks.pop_front();
            if self.chunks.is_empty() {
                self.tail.clear();
            }
        }
        self.len -= 1;
        Some(answer)
    }

    pub(super) fn pop_back<R>(&mut self, seen: impl FnOnce(&[u8]) -> R) -> Option<R> {
        let chunk = self.chunks.back_mut()?;
        if chunk.count == 1 {
            self.tail.clear();
            self.tail.push(chunk.start);
        } else if self.tail.is_empty() {
            chunk.index(&mut self.tail);
        }
        let at = usize::from(self.tail.pop()?);
        let answer = seen(packed::element(&chunk.buf, at));
        chunk.buf.truncate(at);
        chunk.count -= 1;
        if chunk.count == 0 {
            self.chunks.pop_back();
            self.tail.clear();
        }
        self.len -= 1;
        Some(answer)
    }

    pub(super) fn index(&self, index: usize) -> Option<&[u8]> {
        let (chunk, at) = self.locate(index)?;
        Some(packed::element(&self.chunks[chunk].buf, at))
    }

    /// Replaces the element at `index`, which exists.
    pub(super) fn set(&mut self, index: usize, element: &[u8]) {
        let Some((i, at)) = self.locate(index) else {
            return;
        };
        self.tail.clear();
        let chunk = &mut self.chunks[i];
        let end = packed::next(&chunk.buf, at);
        if chunk.count == 1 {
            *chunk = Chunk::back(element, false);
            return;
        }
        let rest = chunk.used() - (end - at);
        if rest + packed::stored_len(element.len()) <= CHUNK_BYTES {
            chunk.splice(at, end - at, element);
        } else {
            chunk.cut(at, end, 1);
            self.insert_at(i, at, element);
            self.tidy(i, i + 1);
        }
    }

    pub(super) fn iter_from(&self, start: usize) -> Iter<'_> {
        let Some((i, at)) = self.locate(start) else {
            return Iter::compact(Elements::new(&[], 0));
        };
        Iter {
            elements: Elements::new(&self.chunks[i].buf, at),
            rest: self.chunks.range(i + 1..),
        }
    }

    pub(super) fn parts<F: Fn(&[u8]) -> bool>(&self, in_row: F) -> Parts<'_, F> {
        Parts::new(&[], self.chunks.iter(), in_row)
    }

    pub(super) fn insert(&mut self, pivot: &[u8], after: bool, element: &[u8]) -> bool {
        let found = self.chunks.iter().enumerate().find_map(|(i, chunk)| {
            let mut elements = chunk.elements();
            let mut at = elements.at();
            while let Some(other) = elements.next() {
                if packed::equal(other, pivot) {
                    return Some((i, if after { elements.at() } else { at }));
                }
                at = elements.at();
            }
            None
        });
        let Some((i, at)) = found else { return false };
        self.tail.clear();
        self.insert_at(i, at, element);
        self.len += 1;
        true
    }

    pub(super) fn remove(&mut self, element: &[u8], most: usize, from_tail: bool) -> usize {
        let mut removed = 0;
        let mut touched: Option<(usize, usize)> = None;
        for step in 0..self.chunks.len() {
            if removed == most {
                break;
            }
            let i = if from_tail {
                self.chunks.len() - 1 - step
            } else {
                step
            };
            let gone = self.chunks[i].remove(element, most - removed, from_tail);
            if gone > 0 {
                removed += gone;
                let (first, last) = touched.unwrap_or((i, i));
                touched = Some((first.min(i), last.max(i)));
            }
        }
        if let Some((first, last)) = touched {
            self.tail.clear();
            self.len -= removed;
            self.tidy(first, last + 1);
        }
        removed
    }

    /// Keeps `len` elements from `start`; both are within the list.
    pub(super) fn trim(&mut self, start: usize, len: usize) {
        self.tail.clear();
        let mut behind = self.len - start - len;
        let mut before = start;
        self.len = len;
        while let Some(chunk) = self.chunks.front_mut() {
            if chunk.len() > before {
                chunk.drop_front(before);
                break;
            }
            before -= chunk.len();
            self.chunks.pop_front();
        }
        while let Some(chunk) = self.chunks.back_mut() {
            if chunk.len() > behind {
                let at = chunk.nth(chunk.len() - behind);
                let end = chunk.buf.len();
                chunk.cut(at, end, behind);
                break;
            }
            behind -= chunk.len();
            self.chunks.pop_back();
        }
    }

    /// The chunk of the element at `index`, and where in its bytes the element begins: a walk over chunks from the nearer end.
    fn locate(&self, index: usize) -> Option<(usize, usize)> {
        if index >= self.len {
            return None;
        }
        if index < self.len / 2 {
            let mut rest = index;
            for (i, chunk) in self.chunks.iter().enumerate() {
                if rest < chunk.len() {
                    return Some((i, chunk.nth(rest)));
                }
                rest -= chunk.len();
            }
        } else {
            let mut above = self.len - index;
            for (i, chunk) in self.chunks.iter().enumerate().rev() {
                if above <= chunk.len() {
                    return Some((i, chunk.nth(chunk.len() - above)));
                }
                above -= chunk.len();
            }
        }
        None
    }

    /// Inserts at byte `at` of chunk `i`, splitting it where it has no room. The caller counts.
    fn insert_at(&mut self, i: usize, at: usize, element: &[u8]) {
        let chunk = &mut self.chunks[i];
        if chunk.used() + packed::stored_len(element.len()) <= CHUNK_BYTES {
            chunk.splice(at, 0, element);
            return;
        }
        let right = chunk.split_off(at);
        let (left, mut right) = (
            (chunk.count > 0).then_some(chunk),
            (right.count > 0).then_some(right),
        );
        let has_left = left.is_some();
        let pushed = left.is_some_and(|left| !left.push_back(element, false).is_full())
            || right
                .as_mut()
                .is_some_and(|right| !right.push_front(element, 0).is_full());
        if !pushed {
            let own = Chunk::back(element, false);
            if has_left {
                self.chunks.insert(i + 1, own);
            } else {
                self.chunks[i] = own;
            }
        } else if !has_left && let Some(right) = right.take() {
            self.chunks[i] = right;
        }
        if let Some(right) = right {
            let after = i + 1 + usize::from(!pushed && has_left);
            self.chunks.insert(after, right);
        }
    }

    /// Drops empty chunks in `from..to` and merges small neighbours there.
    fn tidy(&mut self, from: usize, to: usize) {
        if to - from == 1 {
            if self.chunks[from].count == 0 {
                self.chunks.remove(from);
            } else {
                self.merge(from);
                if from > 0 {
                    self.merge(from - 1);
                }
            }
            return;
        }
        let mut tidy = VecDeque::with_capacity(self.chunks.len());
        for chunk in self.chunks.drain(..) {
            match tidy.back_mut() {
                _ if chunk.count == 0 => {}
                Some(last) if Chunk::fit(last, &chunk) => last.append(&chunk),
                _ => tidy.push_back(chunk),
            }
        }
        self.chunks = tidy;
    }

    /// Merges chunk `i` with the next where both are small.
    fn merge(&mut self, i: usize) {
        if let (Some(chunk), Some(next)) = (self.chunks.get(i), self.chunks.get(i + 1))
            && Chunk::fit(chunk, next)
            && let Some(next) = self.chunks.remove(i + 1)
        {
            self.chunks[i].append(&next);
        }
    }

    /// Whether a new chunk for `element` is likely to fill up.
    fn is_roomy(&self, element: &[u8]) -> bool {
        self.chunks.len() > 1 && element.len() < SMALL_ELEMENT
    }
}

/// The elements of a list, compact or in chunks.
pub(super) struct Iter<'a> {
    elements: Elements<'a>,
    rest: vec_deque::Iter<'a, Chunk>,
}

impl<'a> Iter<'a> {
    pub(super) fn compact(elements: Elements<'a>) -> Self {
        Self {
            elements,
            rest: vec_deque::Iter::default(),
        }
    }
}

impl<'a> Iterator for Iter<'a> {
    type Item = &'a [u8];

    #[inline]
    fn next(&mut self) -> Option<&'a [u8]> {
        loop {
            if let Some(element) = self.elements.next() {
                return Some(element);
            }
            self.elements = self.rest.next()?.elements();
        }
    }
}

/// Packed elements, from `start` to the end of `buf`. What lies before `start` is room for pushes at the front.
#[derive(Clone)]
pub(super) struct Chunk {
    buf: Vec<u8>,
    /// Below 2^16: only a chunk of small elements has room at its front.
    start: u16,
    count: u32,
}

/// What a push did to a chunk.
enum Pushed {
    /// The element is there, and the others stayed where they were.
    At(u16),
    /// The element is there, and the others moved.
    Moved,
    /// There is no room.
    Full,
}

impl Pushed {
    fn is_full(&self) -> bool {
        matches!(self, Self::Full)
    }
}

impl Chunk {
    /// A chunk that grows at its back.
    fn back(element: &[u8], roomy: bool) -> Self {
        let mut buf = Vec::with_capacity(first_capacity(element, roomy));
        write_element(&mut buf, element);
        Self {
            buf,
            start: 0,
            count: 1,
        }
    }

    /// A chunk that grows at its front.
    fn front(element: &[u8], roomy: bool) -> Self {
        let mut chunk = Self::back(element, roomy);
        chunk.move_to_end(chunk.buf.capacity());
        chunk
    }

    fn start(&self) -> usize {
        usize::from(self.start)
    }

    fn len(&self) -> usize {
        self.count as usize
    }

    fn used(&self) -> usize {
        self.buf.len() - self.start()
    }

    /// All its elements, packed.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.buf[self.start()..]
    }

    fn elements(&self) -> Elements<'_> {
        Elements::new(&self.buf, self.start())
    }

    /// Where the element at `index` begins.
    fn nth(&self, index: usize) -> usize {
        packed::skip(&self.buf, self.start(), index)
    }

    /// Writes down where all elements begin.
    fn index(&self, tail: &mut Vec<u16>) {
        let mut elements = self.elements();
        let mut at = elements.at();
        while elements.next().is_some() {
            tail.push(place(at));
            at = elements.at();
        }
    }

    fn push_back(&mut self, element: &[u8], roomy: bool) -> Pushed {
        let more = packed::stored_len(element.len());
        if self.used() + more > CHUNK_BYTES {
            return Pushed::Full;
        }
        let mut moved = false;
        if self.buf.len() + more > self.buf.capacity() {
            if self.start > 0 {
                // Elements came or went at the front. They move to the start only where that wins a good part of the chunk:
                // a queue would move them again and again.
                let worth = self.start() >= self.used() / 4;
                if !worth && self.buf.len() + more > CHUNK_BYTES {
                    return Pushed::Full;
                }
                if worth {
                    self.buf.drain(..usize::from(self.start));
                    self.start = 0;
                    moved = true;
                }
            }
            self.reserve(more, roomy);
        }
        let at = place(self.buf.len());
        write_element(&mut self.buf, element);
        self.count += 1;
        if moved { Pushed::Moved } else { Pushed::At(at) }
    }

    /// Adds up to `most` elements of the row that `bytes` begins with, as far as there is room behind the last one.
    fn extend_back(&mut self, bytes: &[u8], most: usize, roomy: bool) -> Taken {
        let room = CHUNK_BYTES.saturating_sub(self.buf.len());
        let taken = rows::row(&bytes[..bytes.len().min(room)], most, |_| true);
        if taken.elements > 0 {
            if self.buf.len() + taken.bytes > self.buf.capacity() {
                self.reserve(taken.bytes, roomy);
            }
            self.buf.extend_from_slice(&bytes[..taken.bytes]);
            self.count += count(taken.elements);
        }
        taken
    }

    /// Where the elements must move, they get `room` bytes more than this one needs, as far as a chunk goes.
    fn push_front(&mut self, element: &[u8], room: usize) -> Pushed {
        let more = packed::stored_len(element.len());
        if self.used() + more > CHUNK_BYTES {
            return Pushed::Full;
        }
        let moved = self.start() < more;
        if moved {
            let capacity = size_class(self.used() + more + room);
            self.move_to_end(capacity.max(self.buf.capacity()));
        }
        let at = self.start() - more;
        let head = packed::head(element);
        let body = at + head.as_slice().len();
        self.buf[at..body].copy_from_slice(head.as_slice());
        self.buf[body..body + element.len()].copy_from_slice(element);
        self.start = place(at);
        self.count += 1;
        if moved {
            Pushed::Moved
        } else {
            Pushed::At(self.start)
        }
    }

    /// Makes the buffer `capacity` bytes long, all elements at its end.
    fn move_to_end(&mut self, capacity: usize) {
        let used = self.used();
        if used > CHUNK_BYTES {
            return;
        }
        let capacity = capacity.min(CHUNK_BYTES);
        let old_end = self.buf.len();
        if capacity >= old_end {
            self.buf.reserve_exact(capacity - old_end);
            self.buf.resize(capacity, 0);
        }
        let end = self.buf.len();
        let start = self.start();
        self.buf.copy_within(start..old_end, end - used);
        self.start = place(end - used);
    }

    /// Removes `n` elements at the front.
    fn drop_front(&mut self, n: usize) {
        let at = self.nth(n);
        self.count -= count(n);
        if self.count == 0 {
            self.buf.clear();
            self.start = 0;
        } else {
            self.start = place(at);
        }
    }

    /// Removes the bytes `from..to`, which hold `n` elements.
    fn cut(&mut self, from: usize, to: usize, n: usize) {
        self.buf.drain(from..to);
        self.count -= count(n);
    }

    /// Replaces `gone` bytes at `at`, none or one element, by `element`. The caller has checked that there is room.
    fn splice(&mut self, at: usize, gone: usize, element: &[u8]) {
        let head = packed::head(element);
        let stored = packed::stored_len(element.len());
        let old_len = self.buf.len();
        if stored > gone {
            if old_len + stored - gone > self.buf.capacity() {
                self.reserve(stored - gone, false);
            }
            self.buf.resize(old_len + stored - gone, 0);
        }
        self.buf.copy_within(at + gone..old_len, at + stored);
        self.buf.truncate(old_len + stored - gone);
        let body = at + head.as_slice().len();
        self.buf[at..body].copy_from_slice(head.as_slice());
        self.buf[body..at + stored].copy_from_slice(element);
        if gone == 0 {
            self.count += 1;
        }
    }

    /// Takes the elements from byte `at` on.
    fn split_off(&mut self, at: usize) -> Self {
        let taken = Elements::new(&self.buf, at).count();
        let buf = self.buf[at..].to_vec();
        self.buf.truncate(at);
        self.count -= count(taken);
        if self.count == 0 {
            self.buf.clear();
            self.start = 0;
        }
        Self {
            buf,
            start: 0,
            count: count(taken),
        }
    }

    /// Whether two neighbours should be one chunk.
    fn fit(a: &Self, b: &Self) -> bool {
        a.used() + b.used() <= MERGE_BYTES
    }

    fn append(&mut self, next: &Self) {
        let more = next.used();
        if self.buf.len() + more > self.buf.capacity() {
            self.buf.drain(..usize::from(self.start));
            self.start = 0;
            self.reserve(more, false);
        }
        self.buf.extend_from_slice(&next.buf[next.start()..]);
        self.count += next.count;
    }

    /// Removes up to `most` elements equal to `element`, the first ones or the last ones.
    fn remove(&mut self, element: &[u8], most: usize, last: bool) -> usize {
        let found = packed::equal_at(self.elements(), element);
        let chosen = if last {
            &found[found.len().saturating_sub(most)..]
        } else {
            &found[..found.len().min(most)]
        };
        let Some(&first) = chosen.first() else {
            return 0;
        };
        let stored = packed::stored_len(element.len());
        let ends = chosen[1..].iter().copied().chain([self.buf.len()]);
        let mut to = first;
        for (&at, end) in chosen.iter().zip(ends) {
            self.buf.copy_within(at + stored..end, to);
            to += end - at - stored;
        }
        self.buf.truncate(to);
        self.count -= count(chosen.len());
        chosen.len()
    }

    /// Room for `more` bytes at the back, up to the next size of the allocator.
    fn reserve(&mut self, more: usize, roomy: bool) {
        let needed = self.buf.len() + more;
        let capacity = if roomy {
            needed.max(CHUNK_BYTES)
        } else {
            size_class(needed)
        };
        self.buf.reserve_exact(capacity - self.buf.len());
    }
}

fn first_capacity(element: &[u8], roomy: bool) -> usize {
    let stored = packed::stored_len(element.len());
    if roomy {
        CHUNK_BYTES
    } else {
        size_class(stored)
    }
}

fn write_element(buf: &mut Vec<u8>, element: &[u8]) {
    buf.extend_from_slice(packed::head(element).as_slice());
    buf.extend_from_slice(element);
}

/// A place in a chunk of small elements, or the start of a long element's own chunk.
fn place(at: usize) -> u16 {
    u16::try_from(at).expect("chunks of several elements are small")
}

fn count(elements: usize) -> u32 {
    u32::try_from(elements).expect("a chunk has fewer elements than bytes")
}
