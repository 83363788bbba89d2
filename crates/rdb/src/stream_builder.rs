//! A stream on its way from its parts into memory. What the parts say of each other, and only shows there, is checked.

use std::collections::BTreeMap;

use store::{ConsumerId, Group, Limits, Pending, Stream, StreamId};

use crate::stream::{Fields, StreamPart};

/// What is wrong with a part.
type Fault = &'static str;

/// Names that many entries share in a file may be stored with each of them: up to so many bytes for each byte of the file, and
/// besides.
const EXPANSION: u64 = 16;
const EXPANSION_FREE: u64 = 1 << 20;

/// Builds a stream.
#[derive(Debug, Default)]
pub(crate) struct StreamBuilder {
    stream: Stream,
    /// Groups are told how much they have read only from Redis 7 on.
    counts_reads: bool,
    group: Option<Box<[u8]>>,
    /// Pending entries of the group whose consumer is not known yet: when they were delivered, and how often.
    unowned: BTreeMap<StreamId, (u64, u64)>,
    consumer: Option<ConsumerId>,
    /// Where the value began.
    start: u64,
    /// Bytes of entries that share their names with no others here.
    alone: u64,
}

impl StreamBuilder {
    pub(crate) fn new(counts_reads: bool, start: u64) -> Self {
        Self {
            counts_reads,
            start,
            ..Self::default()
        }
    }

    /// Adds an entry, the file having been read up to `offset`.
    pub(crate) fn entry(
        &mut self,
        id: StreamId,
        fields: Fields<'_>,
        limits: &Limits,
        offset: u64,
    ) -> Result<(), Fault> {
        let bytes = fields
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum::<usize>();
        if bytes > limits.stream_node_bytes / 2 {
            self.alone = self.alone.saturating_add(bytes as u64);
            let read = offset.saturating_sub(self.start);
            if self.alone
                > read
                    .saturating_mul(EXPANSION)
                    .saturating_add(EXPANSION_FREE)
            {
                return Err(
                    "the entries of a stream share names that are much longer than they are",
                );
            }
        }
        let added = self.stream.append(id, fields.iter(), limits);
        added.map_err(|_| "an entry of a stream has no place there")
    }

    /// Takes any part but an entry.
    pub(crate) fn part(&mut self, part: &StreamPart<'_>) -> Result<(), Fault> {
        match *part {
            StreamPart::Entry(..) => Err("an entry of a stream stands behind the last one"),
            StreamPart::Facts(facts) => {
                self.stream.set_last_id(facts.last_id);
                self.stream.set_max_deleted_id(facts.max_deleted);
                self.stream.set_entries_added(facts.entries_added);
                Ok(())
            }
            StreamPart::Group {
                name,
                last_id,
                entries_read,
            } => {
                self.end_group()?;
                let entries_read = if self.counts_reads {
                    entries_read
                } else {
                    self.stream.added_up_to(last_id)
                };
                let group = Group::new(last_id, entries_read);
                self.stream
                    .create_group(name, group)
                    .ok_or("a group of a stream comes twice")?;
                self.group = Some(name.into());
                self.consumer = None;
                Ok(())
            }
            StreamPart::Pending {
                id,
                delivered_ms,
                deliveries,
            } => match self.unowned.insert(id, (delivered_ms, deliveries)) {
                None => Ok(()),
                Some(_) => Err("a pending entry comes twice"),
            },
            StreamPart::Consumer {
                name,
                seen_ms,
                active_ms,
            } => {
                let group = self.group()?;
                let (id, is_new) = group.find_or_create(name, seen_ms);
                if !is_new {
                    return Err("Duplicate stream consumer detected");
                }
                group.consumer_mut(id).active_ms = active_ms;
                self.consumer = Some(id);
                Ok(())
            }
            StreamPart::Owned(id) => {
                let Some((delivered_ms, count)) = self.unowned.remove(&id) else {
                    let is_owned = self.group()?.pending(id).is_some();
                    return Err(if is_owned {
                        "Duplicated consumer PEL entry"
                    } else {
                        "a consumer has an entry that its group does not wait for"
                    });
                };
                let consumer = self.consumer.ok_or(NO_GROUP)?;
                let pending = Pending {
                    delivered_ms,
                    count,
                    consumer,
                };
                self.group()?.deliver(id, pending);
                Ok(())
            }
        }
    }

    /// The end of the value.
    pub(crate) fn end_group(&mut self) -> Result<(), Fault> {
        if self.unowned.is_empty() {
            Ok(())
        } else {
            Err("a pending entry has no consumer")
        }
    }

    pub(crate) fn finish(self) -> Stream {
        self.stream
    }

    fn group(&mut self) -> Result<&mut Group, Fault> {
        let name = self.group.as_deref().ok_or(NO_GROUP)?;
        self.stream.group_mut(name).ok_or(NO_GROUP)
    }
}

const NO_GROUP: Fault = "a consumer stands in no group";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_that_two_consumers_have_is_told_from_one_that_none_was_given() {
        let id = |ms| StreamId { ms, seq: 0 };
        let mut stream = StreamBuilder::new(true, 0);
        let group = StreamPart::Group {
            name: b"g",
            last_id: id(9),
            entries_read: None,
        };
        let pending = StreamPart::Pending {
            id: id(1),
            delivered_ms: 0,
            deliveries: 1,
        };
        let consumer = StreamPart::Consumer {
            name: b"c",
            seen_ms: 0,
            active_ms: None,
        };
        for part in [group, pending, consumer, StreamPart::Owned(id(1))] {
            assert_eq!(stream.part(&part), Ok(()));
        }
        let twice = Err("Duplicated consumer PEL entry");
        assert_eq!(stream.part(&StreamPart::Owned(id(1))), twice);
        let never = Err("a consumer has an entry that its group does not wait for");
        assert_eq!(stream.part(&StreamPart::Owned(id(2))), never);
    }
}
