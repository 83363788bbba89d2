//! The place in a replication stream that an append-only file stands at, in a small file beside it.
//!
//! The file has two slots, which are written in turn, each before what it tells of is appended. So whenever the process ends, one of them
//! fits the append-only file as it is, unless its last write was cut off: then none does, and the place is not known. Behind the slots is
//! the end of the stream, see `tail.rs`.

/// Bytes of one slot: a sector, which a disk writes whole.
pub const SLOT_BYTES: usize = 512;
/// So many of them begin the file.
pub(crate) const SLOTS: usize = 2;
/// What a slot begins with.
const HEAD: &str = "place 1";

/// Where an append-only file stands when its last increment has this size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePlace {
    /// The number of the last increment.
    pub increment: i64,
    /// Its size in bytes.
    pub size: u64,
    /// The stream's name.
    pub id: String,
    /// How many bytes of the stream the file holds the changes of.
    pub offset: u64,
    /// The database that the stream has selected.
    pub database: u32,
}

impl FilePlace {
    /// A slot's content; none where it does not fit into one. Of two slots that fit, the one with the higher number was written last.
    #[must_use]
    pub fn to_slot(&self, number: u64) -> Option<Vec<u8>> {
        let Self {
            increment,
            size,
            id,
            offset,
            database,
        } = self;
        let mut slot =
            format!("{HEAD} {number} {increment} {size} {id} {offset} {database} .").into_bytes();
        if slot.len() >= SLOT_BYTES {
            return None;
        }
        slot.resize(SLOT_BYTES - 1, b' ');
        slot.push(b'\n');
        Some(slot)
    }

    /// The places that a file of slots tells of, with the numbers of the slots. What is no slot is passed over.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Vec<(u64, Self)> {
        let slots = bytes.chunks(SLOT_BYTES).take(SLOTS);
        slots.filter_map(Self::of_slot).collect()
    }

    fn of_slot(slot: &[u8]) -> Option<(u64, Self)> {
        let text = std::str::from_utf8(slot).ok()?.strip_prefix(HEAD)?;
        let mut words = text.split_ascii_whitespace();
        let number = words.next()?.parse().ok()?;
        let place = Self {
            increment: words.next()?.parse().ok()?,
            size: words.next()?.parse().ok()?,
            id: words.next()?.to_owned(),
            offset: words.next()?.parse().ok()?,
            database: words.next()?.parse().ok()?,
        };
        (words.next() == Some(".") && words.next().is_none()).then_some((number, place))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(size: u64) -> FilePlace {
        FilePlace {
            increment: 7,
            size,
            id: "f".repeat(40),
            offset: u64::MAX,
            database: 3,
        }
    }

    #[test]
    fn slots_are_read_as_they_were_written_and_damaged_ones_not_at_all() {
        let slots = [(4, place(1)), (5, place(u64::MAX))];
        let slots = slots.map(|(number, place)| place.to_slot(number).expect("fits"));
        assert!(slots.iter().all(|slot| slot.len() == SLOT_BYTES));
        let file = slots.concat();
        assert_eq!(
            FilePlace::read(&file),
            [(4, place(1)), (5, place(u64::MAX))]
        );
        // A slot that was not written to its end, or never.
        for cut in 0..80 {
            let damaged = [&slots[0][..cut], &vec![0; SLOT_BYTES - cut], &slots[1]].concat();
            assert_eq!(FilePlace::read(&damaged), [(5, place(u64::MAX))], "{cut}");
        }
        assert_eq!(FilePlace::read(b"anything else"), []);
        let long = FilePlace {
            id: "f".repeat(SLOT_BYTES),
            ..place(1)
        };
        assert_eq!(long.to_slot(1), None);
    }
}
