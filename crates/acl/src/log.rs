//! What was refused, for operators.

use std::collections::VecDeque;

use crate::Reason;

/// An entry that is no older is counted again instead of a new one being made.
const GROUPED_MS: u64 = 60_000;
/// So many entries are looked at for that.
const LOOKED_AT: usize = 10;

/// Where the request came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Context {
    /// The client.
    TopLevel,
    /// A transaction.
    Multi,
    /// A script in Lua.
    Lua,
}

impl Context {
    /// The word of ACL LOG.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::TopLevel => "toplevel",
            Self::Multi => "multi",
            Self::Lua => "lua",
        }
    }
}

/// One refusal.
#[derive(Clone, Copy, Debug)]
pub struct Event<'a> {
    /// Why.
    pub reason: Reason,
    /// Where from.
    pub context: Context,
    /// The command, key, channel or database.
    pub object: &'a [u8],
    /// Who.
    pub user: &'a [u8],
    /// The client, as CLIENT LIST shows it.
    pub client: &'a str,
    /// When, Unix milliseconds.
    pub now_ms: u64,
}

/// Refusals of one kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// How many.
    pub count: u64,
    /// Why.
    pub reason: Reason,
    /// Where from.
    pub context: Context,
    /// The command, key, channel or database.
    pub object: Box<[u8]>,
    /// Who.
    pub user: Box<[u8]>,
    /// The last client, as CLIENT LIST shows it.
    pub client: Box<str>,
    /// Its number, never used twice.
    pub id: u64,
    /// When the first was, Unix milliseconds.
    pub created_ms: u64,
    /// When the last was, Unix milliseconds.
    pub updated_ms: u64,
}

/// The last refusals, the newest first.
#[derive(Debug, Default)]
pub struct Log {
    entries: VecDeque<Entry>,
    next_id: u64,
}

impl Log {
    /// Notes a refusal; keeps at most so many entries.
    pub fn add(&mut self, event: &Event<'_>, most: usize) {
        if most > 0 {
            let like = |entry: &Entry| {
                entry.reason == event.reason
                    && entry.context == event.context
                    && entry.updated_ms.abs_diff(event.now_ms) <= GROUPED_MS
                    && *entry.object == *event.object
                    && *entry.user == *event.user
            };
            let known = self.entries.iter().take(LOOKED_AT).position(like);
            let entry = match known.and_then(|at| self.entries.remove(at)) {
                Some(mut entry) => {
                    entry.count += 1;
                    entry.updated_ms = event.now_ms;
                    entry.client = event.client.into();
                    entry
                }
                None => self.entry(event),
            };
            self.entries.push_front(entry);
        }
        self.entries.truncate(most);
    }

    fn entry(&mut self, event: &Event<'_>) -> Entry {
        let id = self.next_id;
        self.next_id += 1;
        Entry {
            count: 1,
            reason: event.reason,
            context: event.context,
            object: event.object.into(),
            user: event.user.into(),
            client: event.client.into(),
            id,
            created_ms: event.now_ms,
            updated_ms: event.now_ms,
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// The entries, the newest first.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Entry> {
        self.entries.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event<'a>(object: &'a [u8], client: &'a str, now_ms: u64) -> Event<'a> {
        Event {
            reason: Reason::Key,
            context: Context::TopLevel,
            object,
            user: b"u",
            client,
            now_ms,
        }
    }

    #[test]
    fn like_refusals_are_counted_together_for_a_minute() {
        let mut log = Log::default();
        log.add(&event(b"a", "1", 0), 128);
        log.add(&event(b"b", "2", 10), 128);
        log.add(&event(b"a", "3", 60_000), 128);
        let all: Vec<_> = log.iter().collect();
        assert_eq!(all.len(), 2);
        assert_eq!(
            (&*all[0].object, all[0].count, all[0].id),
            (&b"a"[..], 2, 0)
        );
        assert_eq!((all[0].created_ms, all[0].updated_ms), (0, 60_000));
        assert_eq!(&*all[0].client, "3");
        log.add(&event(b"a", "4", 120_001), 128);
        assert_eq!(log.iter().next().map(|entry| entry.id), Some(2));
    }

    #[test]
    fn no_more_are_kept_than_wanted() {
        let mut log = Log::default();
        for object in 0..20_u8 {
            log.add(&event(&[object], "", 0), 4);
        }
        assert_eq!(log.iter().len(), 4);
        log.add(&event(b"x", "", 0), 0);
        assert_eq!(log.iter().len(), 0);
    }
}
