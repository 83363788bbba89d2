//! Where in the replication stream the append-only file stands, kept beside it: a server that was killed goes on from there.

use aof::{FilePlace, Manifest, Tail};
use replication::Backlog;

use crate::Engine;
use crate::journal::append_only::State;
use crate::journal::place::PlaceLog;

/// What the file beside the append-only file is called.
const SUFFIX: &[u8] = b".place";

impl Engine {
    fn place_path(&self) -> Vec<u8> {
        self.part_path(&[&self.config.appendfilename[..], SUFFIX].concat())
    }

    /// Where the append-only file will stand once what waits is in it.
    fn file_place(&self) -> Option<FilePlace> {
        let aof = &self.journal.append_only;
        let increment = aof.manifest.increments().last()?.number;
        if aof.state != State::On {
            return None;
        }
        self.place_at(increment, aof.size + aof.waiting() as u64)
    }

    /// The place of the data that are here, where the last increment has this number and size. There is none while it is not known what
    /// the file holds.
    fn place_at(&self, increment: i64, size: u64) -> Option<FilePlace> {
        if self.journal.append_only.trouble.sync.is_some() {
            return None;
        }
        let place = self.stream_place()?;
        Some(FilePlace {
            increment,
            size,
            id: place.id,
            offset: place.offset,
            database: place.database?,
        })
    }

    /// Tells where the append-only file will stand: before what waits is written. Servers without a stream have no place.
    pub(crate) fn note_place(&mut self) {
        if self.is_slave() {
            // What was applied belongs to the place, whatever follows it.
            self.forward_applied(true);
        } else if !self.has_stream() {
            return;
        }
        if let Some(place) = self.file_place() {
            self.write_place(place);
        }
    }

    /// Tells where the append-only file will stand once this manifest is on the disk: its last increment is empty. Until then it stands
    /// where it does.
    pub(super) fn note_next_place(&mut self, manifest: &Manifest) {
        self.note_place();
        if self.is_slave() || self.has_stream() {
            let increment = manifest.increments().last();
            let place = increment.and_then(|part| self.place_at(part.number, 0));
            if let Some(place) = place {
                self.write_place(place);
            }
        }
    }

    fn write_place(&mut self, place: FilePlace) {
        if self.journal.place.told.as_ref() == Some(&place) {
            return;
        }
        if self.journal.place.file.is_none() && !self.journal.place.failed {
            let path = self.place_path();
            match self.host.open_place(&path) {
                Ok(file) => self.journal.place.file = Some(file),
                Err(reason) => self.place_failed(&reason),
            }
        }
        self.keep_tail();
        let log = &mut self.journal.place;
        log.number += 1;
        let (Some(file), Some(slot)) = (&mut log.file, place.to_slot(log.number)) else {
            return;
        };
        let at = (log.number % 2) * aof::SLOT_BYTES as u64;
        let written = file.write_at(at, &slot);
        log.told = Some(place);
        if let Err(reason) = written {
            self.place_failed(&reason);
        }
    }

    /// Keeps what was added to the stream: who has not got it when this process is killed may ask for it afterwards.
    fn keep_tail(&mut self) {
        let Some(backlog) = &self.journal.replicas.backlog else {
            return;
        };
        let (log, end) = (&mut self.journal.place, backlog.offset());
        let first = backlog.first();
        let known = log.tail.end().filter(|at| (first..=end).contains(at));
        // Of more than there is room for it keeps the end.
        let from = known
            .unwrap_or(first)
            .max(end.saturating_sub(Tail::MOST_BYTES as u64));
        let mut bytes = Vec::new();
        while let Some(slice) = backlog.slice(from + bytes.len() as u64)
            && !slice.is_empty()
        {
            bytes.extend_from_slice(slice);
        }
        if bytes.is_empty() {
            return;
        }
        let record = log.tail.record(&self.journal.replicas.id, from, &bytes);
        let (Some(file), Some((at, record))) = (&mut log.file, record) else {
            return;
        };
        if let Err(reason) = file.write_at(at, &record) {
            self.place_failed(&reason);
        }
    }

    /// The place is not kept: after a crash this server needs a full copy.
    fn place_failed(&mut self, reason: &str) {
        tracing::warn!(
            "Can't keep the place in the replication stream beside the AOF: {reason}. After a crash a full resynchronization will be needed."
        );
        self.journal.place.file = None;
        self.journal.place.failed = true;
    }

    /// What the append-only file holds is not known any more: a server that is killed now needs a full copy.
    pub(super) fn retract_place(&mut self) {
        let path = self.place_path();
        self.host.remove_later(&path);
        self.journal.place = PlaceLog {
            number: self.journal.place.number,
            ..PlaceLog::default()
        };
    }

    /// The files that will be written to are other ones: nothing of the place file is known.
    pub(super) fn forget_place(&mut self) {
        self.journal.place = PlaceLog {
            number: self.journal.place.number,
            tail: self.journal.place.tail,
            ..PlaceLog::default()
        };
    }

    /// Where the increments end, by number and size: the last one, and where that is empty the one before it, for it was named and
    /// nothing was written to it yet.
    fn ends(&mut self) -> Vec<(i64, u64)> {
        let aof = &self.journal.append_only;
        let mut size = aof.size;
        let parts = aof.manifest.increments().to_vec();
        let mut ends = Vec::new();
        for part in parts.iter().rev() {
            if !ends.is_empty() {
                let path = self.part_path(&part.name);
                let Ok((_, bytes)) = self.host.read_append(&path) else {
                    break;
                };
                size = bytes;
            }
            ends.push((part.number, size));
            if size > 0 {
                break;
            }
        }
        ends
    }

    /// What was read back stands at a place in a stream, if the file beside it fits its size.
    pub(super) fn adopt_file_place(&mut self) {
        let ends = self.ends();
        let kept = self.host.read_file(&self.place_path()).unwrap_or_default();
        let slots = FilePlace::read(&kept);
        self.journal.place.number = slots.iter().map(|(number, _)| *number).max().unwrap_or(0);
        let fits = |(_, place): &(u64, FilePlace)| ends.contains(&(place.increment, place.size));
        let found = slots.into_iter().filter(fits);
        let found = found.max_by_key(|(number, _)| *number);
        let Some((_, place)) = found else { return };
        let offset = place.offset;
        let (tail, history) = Tail::read(&kept, &place.id, offset);
        self.keeper.persistence.loaded_place = Some(rdb::StreamPlace {
            database: Some(place.database),
            id: place.id,
            offset,
        });
        self.adopt_place(Vec::new());
        self.journal.place.tail = tail;
        if let Some(backlog) = &mut self.journal.replicas.backlog
            && backlog.offset() == offset
        {
            *backlog = Backlog::behind(&history, offset, self.config.repl_backlog_size);
        }
    }
}
