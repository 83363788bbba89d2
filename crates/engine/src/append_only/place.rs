//! Where in the replication stream the append-only file stands, kept beside it: a server that was killed goes on from there.

use aof::FilePlace;

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
        if aof.state != State::On {
            return None;
        }
        let place = self.stream_place()?;
        Some(FilePlace {
            increment: aof.manifest.increments().last()?.number,
            size: aof.size + aof.buffer.len() as u64,
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
        let Some(place) = self.file_place() else {
            return;
        };
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

    /// The place is not kept: after a crash this server needs a full copy.
    fn place_failed(&mut self, reason: &str) {
        tracing::warn!(
            "Can't keep the place in the replication stream beside the AOF: {reason}. After a crash a full resynchronization will be needed."
        );
        self.journal.place.file = None;
        self.journal.place.failed = true;
    }

    /// The files that will be written to are other ones: nothing of the place file is known.
    pub(super) fn forget_place(&mut self) {
        self.journal.place = PlaceLog {
            number: self.journal.place.number,
            ..PlaceLog::default()
        };
    }

    /// What was read back stands at a place in a stream, if the file beside it fits its size.
    pub(super) fn adopt_file_place(&mut self) {
        let aof = &self.journal.append_only;
        let number = aof.manifest.increments().last().map(|part| part.number);
        let size = aof.size;
        let kept = self.host.read_file(&self.place_path()).unwrap_or_default();
        let slots = FilePlace::read(&kept);
        self.journal.place.number = slots.iter().map(|(number, _)| *number).max().unwrap_or(0);
        let fits =
            |(_, place): &(u64, FilePlace)| Some(place.increment) == number && place.size == size;
        let found = slots.into_iter().filter(fits);
        let found = found.max_by_key(|(number, _)| *number);
        self.keeper.persistence.loaded_place = found.map(|(_, place)| rdb::StreamPlace {
            database: Some(place.database),
            id: place.id,
            offset: place.offset,
        });
        self.adopt_place(Vec::new());
    }
}
