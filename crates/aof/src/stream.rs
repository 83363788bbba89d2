//! The commands that make a stream: its entries, its counters, then its groups with what their consumers have pending.

use std::io::{self, Write};

use store::{Group, Stream, StreamEntry, StreamId};

use crate::Rewriter;

impl<W: Write> Rewriter<W> {
    /// Writes a stream.
    pub(crate) fn stream(&mut self, key: &[u8], stream: &Stream) -> io::Result<()> {
        if stream.is_empty() {
            // The way to make one without entries.
            self.begin(7, b"XADD");
            self.bulk(key)?;
            for word in [&b"MAXLEN"[..], b"0", b"0-1", b"x", b"y"] {
                self.bulk(word)?;
            }
        }
        for entry in stream.range(StreamId::MIN, StreamId::MAX) {
            self.entry(key, &entry)?;
        }
        self.begin(7, b"XSETID");
        self.bulk(key)?;
        self.id(stream.last_id())?;
        self.bulk(b"ENTRIESADDED")?;
        self.number(stream.entries_added())?;
        self.bulk(b"MAXDELETEDID")?;
        self.id(stream.max_deleted_id())?;
        for (name, group) in stream.groups() {
            self.group(key, name, group)?;
        }
        Ok(())
    }

    fn entry(&mut self, key: &[u8], entry: &StreamEntry<'_>) -> io::Result<()> {
        self.begin(3 + 2 * entry.len(), b"XADD");
        self.bulk(key)?;
        self.id(entry.id())?;
        let mut digits = [0; 20];
        for (name, value) in entry.fields() {
            self.bulk(name.bytes(&mut digits))?;
            self.bulk(value.bytes(&mut digits))?;
        }
        Ok(())
    }

    fn group(&mut self, key: &[u8], name: &[u8], group: &Group) -> io::Result<()> {
        self.begin(7, b"XGROUP");
        self.bulk(b"CREATE")?;
        self.bulk(key)?;
        self.bulk(name)?;
        self.id(group.last_id)?;
        self.bulk(b"ENTRIESREAD")?;
        match group.entries_read {
            Some(read) => self.number(read)?,
            None => self.bulk(b"-1")?,
        }
        for (_, consumer) in group.consumers() {
            if consumer.pending_len() == 0 {
                self.begin(5, b"XGROUP");
                self.bulk(b"CREATECONSUMER")?;
                self.bulk(key)?;
                self.bulk(name)?;
                self.bulk(consumer.name())?;
            }
        }
        for (id, pending) in group.pending_range(StreamId::MIN, StreamId::MAX) {
            self.begin(12, b"XCLAIM");
            self.bulk(key)?;
            self.bulk(name)?;
            self.bulk(group.consumer(pending.consumer).name())?;
            self.bulk(b"0")?;
            self.id(id)?;
            self.bulk(b"TIME")?;
            self.number(pending.delivered_ms)?;
            self.bulk(b"RETRYCOUNT")?;
            self.number(pending.count)?;
            self.bulk(b"JUSTID")?;
            self.bulk(b"FORCE")?;
        }
        Ok(())
    }

    fn id(&mut self, id: StreamId) -> io::Result<()> {
        self.bulk(id.to_string().as_bytes())
    }

    fn number(&mut self, number: u64) -> io::Result<()> {
        self.bulk(itoa::Buffer::new().format(number).as_bytes())
    }
}
