//! Entries between two ids, either way.

use std::collections::btree_map;
use std::fmt;

use super::node::{Cursor, Node};
use super::{Inner, StreamEntry, StreamId};

/// The nodes that may hold entries between two ids.
struct Nodes<'a> {
    full: Option<btree_map::Range<'a, StreamId, Node>>,
    tail: Option<(StreamId, &'a Node)>,
}

impl<'a> Nodes<'a> {
    fn new(inner: &'a Inner, from: StreamId, to: StreamId) -> Self {
        let tail = inner.tail.as_ref().map(|(base, node)| (*base, node));
        let only_tail = tail.is_some_and(|(base, _)| base <= from);
        let full = (from <= to && !only_tail).then(|| {
            let before = inner.full.range(..=from).next_back();
            let first = before.map_or(from, |(base, _)| *base);
            inner.full.range(first..=to)
        });
        Self {
            full,
            tail: tail.filter(|(base, _)| from <= to && *base <= to),
        }
    }

    fn next(&mut self) -> Option<(StreamId, &'a Node)> {
        let full = self.full.as_mut().and_then(Iterator::next);
        full.map(|(base, node)| (*base, node))
            .or_else(|| self.tail.take())
    }

    fn next_back(&mut self) -> Option<(StreamId, &'a Node)> {
        self.tail.take().or_else(|| {
            let full = self.full.as_mut()?.next_back();
            full.map(|(base, node)| (*base, node))
        })
    }
}

/// Entries between two ids, first to last.
pub struct StreamRange<'a> {
    nodes: Nodes<'a>,
    entries: Option<Cursor<'a>>,
    from: StreamId,
    to: StreamId,
}

impl<'a> StreamRange<'a> {
    pub(super) fn new(inner: &'a Inner, from: StreamId, to: StreamId) -> Self {
        Self {
            nodes: Nodes::new(inner, from, to),
            entries: None,
            from,
            to,
        }
    }
}

impl<'a> Iterator for StreamRange<'a> {
    type Item = StreamEntry<'a>;

    #[inline]
    fn next(&mut self) -> Option<StreamEntry<'a>> {
        loop {
            let Some(entry) = self.entries.as_mut().and_then(Iterator::next) else {
                let (base, node) = self.nodes.next()?;
                self.entries = Some(node.cursor(base));
                continue;
            };
            if entry.id() > self.to {
                // Nothing that follows is of the range.
                self.nodes = Nodes {
                    full: None,
                    tail: None,
                };
                self.entries = None;
                return None;
            }
            if entry.id() >= self.from {
                return Some(entry);
            }
        }
    }
}

/// Entries between two ids, last to first.
pub struct StreamRangeBack<'a> {
    nodes: Nodes<'a>,
    /// A node whose last entry was shown and whose others were not looked at.
    begun: Option<(StreamId, &'a Node)>,
    /// The entries of a node that are still to be shown, last one last.
    entries: Vec<StreamEntry<'a>>,
    from: StreamId,
    to: StreamId,
}

impl<'a> StreamRangeBack<'a> {
    pub(super) fn new(inner: &'a Inner, from: StreamId, to: StreamId) -> Self {
        Self {
            nodes: Nodes::new(inner, from, to),
            begun: None,
            entries: Vec::new(),
            from,
            to,
        }
    }

    /// Looks at the entries of a node from the first on.
    fn enter(&mut self, base: StreamId, node: &'a Node) {
        let (from, to) = (self.from, self.to);
        let entries = node.cursor(base).take_while(|entry| entry.id() <= to);
        self.entries
            .extend(entries.skip_while(|entry| entry.id() < from));
    }
}

impl<'a> Iterator for StreamRangeBack<'a> {
    type Item = StreamEntry<'a>;

    fn next(&mut self) -> Option<StreamEntry<'a>> {
        loop {
            if let Some(entry) = self.entries.pop() {
                return Some(entry);
            }
            if let Some((base, node)) = self.begun.take() {
                self.enter(base, node);
                self.entries.pop();
                continue;
            }
            let (base, node) = self.nodes.next_back()?;
            match node.last_entry(base) {
                Some(last) if last.id() <= self.to => {
                    if last.id() < self.from {
                        return None;
                    }
                    self.begun = Some((base, node));
                    return Some(last);
                }
                _ => self.enter(base, node),
            }
        }
    }
}

impl fmt::Debug for StreamRange<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamRange({}, {})", self.from, self.to)
    }
}

impl fmt::Debug for StreamRangeBack<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamRangeBack({}, {})", self.from, self.to)
    }
}

impl fmt::Debug for StreamEntry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamEntry")
            .field("id", &self.id())
            .field("fields", &self.fields())
            .finish()
    }
}

impl fmt::Debug for super::StreamFields<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.clone()).finish()
    }
}
