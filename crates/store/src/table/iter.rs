//! All items of a table in hash order.

use super::place::end_of;
use super::segment::{self, Segment};
use super::{Item, Table};

/// How many slots ahead an item's block is brought to the cache.
const AHEAD: usize = 8;

/// The items of a [`Table`] in hash order.
#[derive(Debug)]
pub struct Iter<'a, I: Item> {
    table: &'a Table<I>,
    /// Where the next segment begins.
    next: Option<u64>,
    segment: Option<Segment>,
    index: usize,
}

impl<'a, I: Item> Iter<'a, I> {
    pub(super) fn new(table: &'a Table<I>) -> Self {
        Self {
            table,
            next: Some(0),
            segment: None,
            index: 0,
        }
    }
}

impl<'a, I: Item> Iterator for Iter<'a, I> {
    type Item = I::View<'a>;

    fn next(&mut self) -> Option<I::View<'a>> {
        loop {
            if let Some(segment) = self.segment {
                let slots = segment.slots();
                while self.index < slots {
                    let word = segment.at(self.index);
                    self.index += 1;
                    if self.index + AHEAD <= slots {
                        segment::prefetch(segment.at(self.index + AHEAD - 1).pointer());
                    }
                    if let Some(raw) = word.non_null() {
                        // SAFETY: a slot's pointer came from `into_raw`; the table is borrowed for `'a`.
                        return Some(unsafe { I::view(raw) });
                    }
                }
            }
            let (segment, prefix) = self.table.segment_at(self.next?)?;
            self.next = end_of(prefix, segment.depth());
            self.segment = Some(segment);
            self.index = 0;
        }
    }
}
