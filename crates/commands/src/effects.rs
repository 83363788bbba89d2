//! What a command leaves behind beside its reply. The engine applies it: statistics, WATCH, events, AOF, replicas, wake-ups.

use store::{Noted, Value};

/// The classes of keyspace events, as the letters of `notify-keyspace-events`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
pub enum EventClass {
    /// `g`: DEL, EXPIRE, RENAME …
    Generic = 1 << 2,
    /// `$`
    String = 1 << 3,
    /// `l`
    List = 1 << 4,
    /// `s`
    Set = 1 << 5,
    /// `h`
    Hash = 1 << 6,
    /// `z`
    Zset = 1 << 7,
    /// `x`
    Expired = 1 << 8,
    /// `e`
    Evicted = 1 << 9,
    /// `t`
    Stream = 1 << 10,
    /// `m`: a key that was to be read and is not there
    Missed = 1 << 11,
    /// `n`: a key that is new
    New = 1 << 13,
}

/// One keyspace event, to be published in the order of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyEvent {
    /// The class.
    pub class: EventClass,
    /// `set`, `lpush` …
    pub name: &'static str,
    /// The key.
    pub key: Box<[u8]>,
    /// The database.
    pub db: usize,
}

/// What goes to the AOF and to the replicas for the command that ran.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Propagation {
    /// The command as it came, if it changed anything.
    #[default]
    AsIs,
    /// The command as it came, even if it changed nothing (FLUSHALL, SCRIPT LOAD).
    Forced,
    /// The command as it came, to the replicas alone: it changes no data (PUBLISH).
    Replicas,
    /// These commands instead; none where the list is empty.
    Instead(Vec<Vec<Box<[u8]>>>),
}

/// The type of value that a blocked client waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Awaited {
    /// A list with an element.
    List,
    /// A sorted set with a member.
    Zset,
    /// A stream that has got an entry.
    Stream,
    /// The same, and also that the key is gone or is of another type: a consumer group's reader is answered then.
    StreamOrEnd,
}

impl Awaited {
    /// Whether the request is to be run again, given what its key holds.
    #[must_use]
    pub fn is_there(self, value: Option<&Value<'_>>) -> bool {
        matches!(
            (self, value),
            (Self::List, Some(Value::List(_)))
                | (Self::Zset, Some(Value::Zset(_)))
                | (Self::Stream, Some(Value::Stream(_)))
                | (Self::StreamOrEnd, _)
        )
    }
}

/// The wish of a command to wait: it has found nothing, and is to be run again when one of the keys has got what it awaits. The engine
/// grants that outside MULTI and scripts. Written by [`crate::Ctx::block`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// What for.
    pub awaited: Awaited,
    /// The keys waited on, in the order of preference.
    pub keys: Vec<Box<[u8]>>,
    /// Milliseconds to wait; 0 is for ever.
    pub timeout_ms: u64,
    /// What is run again instead of the request as it came, where that would mean something else later.
    pub instead: Option<Vec<Box<[u8]>>>,
}

/// What a command leaves behind. One is reused for all commands.
#[derive(Debug, Default)]
pub struct Effects {
    /// How many changes to data (the `dirty` counter of save points).
    pub dirty: u64,
    /// How many fields of hashes the command found expired, or expired itself.
    pub expired_fields: u64,
    /// What to propagate.
    pub propagation: Propagation,
    /// Events, filled only for classes in [`Effects::notify_mask`].
    pub events: Vec<KeyEvent>,
    /// Changed keys (database, key), filled only while somebody watches a key.
    pub touched: Vec<(usize, Box<[u8]>)>,
    /// Keys (database, key) that may have what somebody waits for, filled only while clients are blocked on keys.
    pub ready: Vec<(usize, Box<[u8]>)>,
    /// SWAPDB: these two databases changed places.
    pub swapped: Option<(usize, usize)>,
    /// The wish to wait.
    pub block: Option<Block>,
    /// Set by the engine: the event classes that anybody wants ([`EventClass`] bits).
    pub notify_mask: u16,
    /// Set by the engine: somebody watches a key.
    pub watching: bool,
    /// Set by the engine: somebody is blocked on a key.
    pub blocking: bool,
    /// Set by the engine: there is no file and no replica that could be told of changes.
    pub unheard: bool,
}

impl Effects {
    /// `key` of database `db` was changed: one change more, WATCH learns of it, and the event goes out.
    /// Every successful write calls this once per key.
    #[inline]
    pub fn changed(&mut self, db: usize, key: &[u8], class: EventClass, event: &'static str) {
        self.dirty += 1;
        if self.watching || self.wants(class) {
            self.touch(db, key);
            self.event(db, key, class, event);
        }
    }

    /// Whether anybody wants events of a class.
    #[inline]
    fn wants(&self, class: EventClass) -> bool {
        self.notify_mask & class as u16 != 0
    }

    /// The event of a key that a door of the keyspace remembered.
    pub fn noted(&mut self, db: usize, noted: Noted, key: &[u8]) {
        let (class, name) = match noted {
            Noted::New => (EventClass::New, "new"),
            Noted::Missed => (EventClass::Missed, "keymiss"),
        };
        self.event(db, key, class, name);
    }

    /// WATCH learns that `key` was changed.
    #[inline(never)]
    pub fn touch(&mut self, db: usize, key: &[u8]) {
        if self.watching {
            self.touched.push((db, key.into()));
        }
    }

    /// An event without a change of its own (the `del` after the last element went).
    #[inline(never)]
    pub fn event(&mut self, db: usize, key: &[u8], class: EventClass, name: &'static str) {
        if self.wants(class) {
            self.events.push(KeyEvent {
                class,
                name,
                key: key.into(),
                db,
            });
        }
    }

    /// `key` has become a list or a sorted set (created, renamed, restored …), or its stream has changed: blocked clients may be served
    /// after this command.
    pub fn key_ready(&mut self, db: usize, key: &[u8]) {
        if self.blocking {
            self.ready.push((db, key.into()));
        }
    }

    /// Propagates these commands instead of the one that came. May be called several times; each adds a command.
    pub fn propagate_instead(&mut self, command: &[&[u8]]) {
        if self.unheard {
            return;
        }
        let command = command.iter().map(|&word| word.into()).collect();
        match &mut self.propagation {
            Propagation::Instead(list) => list.push(command),
            other => *other = Propagation::Instead(vec![command]),
        }
    }

    /// Propagates nothing, whatever changed.
    pub fn propagate_nothing(&mut self) {
        self.propagation = Propagation::Instead(Vec::new());
    }

    /// Whether nothing but a count of changes is left for the engine to apply, and they are to be propagated as they came.
    #[must_use]
    #[inline]
    pub fn is_idle(&self) -> bool {
        matches!(self.propagation, Propagation::AsIs)
            && self.events.is_empty()
            && self.touched.is_empty()
            && self.ready.is_empty()
            && self.block.is_none()
            && self.swapped.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_commands_are_kept_for_those_who_hear_them() {
        let mut effects = Effects {
            unheard: true,
            ..Effects::default()
        };
        effects.propagate_instead(&[b"DEL", b"k"]);
        assert!(effects.is_idle());
        effects.unheard = false;
        effects.propagate_instead(&[b"DEL", b"k"]);
        let expected = vec![vec![b"DEL"[..].into(), b"k"[..].into()]];
        assert_eq!(effects.propagation, Propagation::Instead(expected));
    }
}
