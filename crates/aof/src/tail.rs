//! The end of a replication stream, kept in the file that tells its place: whoever was a little behind when the process was killed is given
//! the rest, and no full copy.
//!
//! Behind the slots of the file are two halves, which are filled in turn with records. A record holds a piece of the stream, its name and
//! offset, and a checksum over all of it: what was overwritten, cut off or never reached the disk is no record, in whatever state the file is.

use rdb::crc64;

use crate::place::{SLOT_BYTES, SLOTS};

/// Bytes of one half. At least so much of the stream is kept, save for what the heads of the records take.
pub const HALF_BYTES: usize = 2 << 20;
/// Where the halves begin in the file.
const START: usize = SLOTS * SLOT_BYTES;
/// Checksum, offset, length of the bytes, length of the name.
const HEAD_BYTES: usize = 8 + 8 + 4 + 1;
/// The longest name of a stream; those of today have 40 bytes.
const MOST_NAME_BYTES: usize = 64;
/// What ends the records of a half: so no older record behind it is taken for the next one.
const END: [u8; 8] = [0; 8];

/// Where the next record goes.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tail {
    /// Within the two halves.
    at: usize,
    /// Up to which offset the stream was kept; none where nothing is known of what came before.
    end: Option<u64>,
}

/// A record as it is found in the file.
struct Record<'a> {
    name: &'a [u8],
    offset: u64,
    bytes: &'a [u8],
    /// Where it ends within the two halves.
    until: usize,
}

impl Tail {
    /// The most bytes of the stream that the next record can hold.
    pub const MOST_BYTES: usize = HALF_BYTES - HEAD_BYTES - MOST_NAME_BYTES - END.len();

    /// Up to which offset of the stream the records reach.
    #[must_use]
    pub fn end(&self) -> Option<u64> {
        self.end
    }

    /// The stream `name` has these bytes at `offset`: what is to be written, and where in the file. None where it is too much for a record.
    pub fn record(&mut self, name: &str, offset: u64, bytes: &[u8]) -> Option<(u64, Vec<u8>)> {
        let (name, length) = (name.as_bytes(), u32::try_from(bytes.len()).ok()?);
        let name_length = u8::try_from(name.len()).ok()?;
        if bytes.len() > Self::MOST_BYTES || name.len() > MOST_NAME_BYTES {
            return None;
        }
        let mut record = Vec::with_capacity(HEAD_BYTES + name.len() + bytes.len() + END.len());
        record.extend_from_slice(&[0; 8]);
        record.extend_from_slice(&offset.to_le_bytes());
        record.extend_from_slice(&length.to_le_bytes());
        record.push(name_length);
        record.extend_from_slice(name);
        record.extend_from_slice(bytes);
        let checksum = crc64(&record[8..]);
        record[..8].copy_from_slice(&checksum.to_le_bytes());
        let size = record.len();
        record.extend_from_slice(&END);
        if record.len() > HALF_BYTES - self.at % HALF_BYTES {
            let next_half = self.at / HALF_BYTES + 1;
            self.at = next_half % 2 * HALF_BYTES;
        }
        let at = (START + self.at) as u64;
        self.at += size;
        self.end = Some(offset + u64::from(length));
        Some((at, record))
    }

    /// What the file holds of the stream `name` before `end`, without a gap; and where to go on.
    #[must_use]
    pub fn read(file: &[u8], name: &str, end: u64) -> (Self, Vec<u8>) {
        let mut records = records(file);
        records.retain(|record| record.name == name.as_bytes());
        let mut tail = Self {
            at: 0,
            end: Some(end),
        };
        let (mut pieces, mut first) = (Vec::new(), end);
        while let Some(before) = records
            .iter()
            .find(|record| record.offset + record.bytes.len() as u64 == first)
        {
            if pieces.is_empty() {
                tail.at = before.until;
            }
            first = before.offset;
            pieces.push(before.bytes);
        }
        pieces.reverse();
        (tail, pieces.concat())
    }
}

/// The records of both halves.
fn records(file: &[u8]) -> Vec<Record<'_>> {
    let mut all = Vec::new();
    let halves = file.get(START..).unwrap_or_default().chunks(HALF_BYTES);
    for (number, half) in halves.take(2).enumerate() {
        let mut at = 0;
        while let Some(mut record) = record_at(&half[at..]) {
            at += record.until;
            record.until = number * HALF_BYTES + at;
            all.push(record);
        }
    }
    all
}

fn record_at(rest: &[u8]) -> Option<Record<'_>> {
    let (checksum, rest) = rest.split_first_chunk::<8>()?;
    let (offset, tail) = rest.split_first_chunk::<8>()?;
    let (length, tail) = tail.split_first_chunk::<4>()?;
    let (name_length, tail) = tail.split_first()?;
    let (name, tail) = tail.split_at_checked(usize::from(*name_length))?;
    let length = u32::from_le_bytes(*length);
    let bytes = tail.get(..usize::try_from(length).ok()?)?;
    let size = HEAD_BYTES + name.len() + bytes.len();
    let offset = u64::from_le_bytes(*offset);
    let whole = !bytes.is_empty()
        && offset.checked_add(length.into()).is_some()
        && u64::from_le_bytes(*checksum) == crc64(&rest[..size - 8]);
    whole.then_some(Record {
        name,
        offset,
        bytes,
        until: size,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NAME: &str = "0123456789abcdef0123456789abcdef01234567";

    fn put(file: &mut Vec<u8>, (at, record): &(u64, Vec<u8>)) {
        let at = usize::try_from(*at).expect("small");
        let end = at + record.len();
        file.resize(file.len().max(end), 0);
        file[at..end].copy_from_slice(record);
    }

    fn stream(from: u64, length: usize) -> Vec<u8> {
        let byte = |offset: u64| u8::try_from(offset.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56);
        (from..)
            .take(length)
            .map(|at| byte(at).expect("a byte"))
            .collect()
    }

    #[test]
    fn only_what_is_whole_and_of_this_stream_is_given() {
        let mut tail = Tail::default();
        let mut file = Vec::new();
        for (name, offset) in [
            (NAME, 100),
            ("f", 150),
            (NAME, 150),
            (NAME, 200),
            (NAME, 260),
        ] {
            let record = tail.record(name, offset, &stream(offset, 50));
            put(&mut file, &record.expect("fits"));
        }
        assert_eq!(tail.end(), Some(310));
        assert_eq!(Tail::read(&file, NAME, 250).1, stream(100, 150));
        assert_eq!(Tail::read(&file, NAME, 310).1, stream(260, 50), "a gap");
        assert_eq!(Tail::read(&file, NAME, 309).1, [], "a place in between");
        assert_eq!(Tail::read(&file, "f", 200).1, stream(150, 50));
        assert_eq!(Tail::read(&file, "g", 200).1, []);
        // The slots alone, or less.
        for cut in [0, 10, START, START + 20] {
            assert_eq!(Tail::read(&file[..cut], NAME, 250).1, []);
        }
        let fourth = file.len() - END.len() - 2 * (HEAD_BYTES + 40 + 50);
        for damaged in fourth..fourth + HEAD_BYTES + 40 + 50 {
            let mut file = file.clone();
            file[damaged] ^= 1;
            assert_eq!(Tail::read(&file, NAME, 250).1, [], "byte {damaged}");
            assert_eq!(Tail::read(&file, NAME, 200).1, stream(100, 100));
        }
        assert!(
            tail.record(NAME, 0, &vec![0; Tail::MOST_BYTES + 1])
                .is_none()
        );
        assert!(tail.record(NAME, 0, &vec![0; Tail::MOST_BYTES]).is_some());
    }

    #[test]
    fn a_half_of_the_stream_is_kept_however_long_it_is_and_one_record_ends_where_the_last_but_one_did()
     {
        let mut tail = Tail::default();
        let (mut file, mut offset) = (Vec::new(), 7);
        for length in [1000, 300_000, 70, Tail::MOST_BYTES, 5]
            .into_iter()
            .cycle()
            .take(60)
        {
            let before = offset;
            put(
                &mut file,
                &tail
                    .record(NAME, offset, &stream(offset, length))
                    .expect("fits"),
            );
            offset += length as u64;
            assert!(file.len() <= START + 2 * HALF_BYTES);
            // Killed before the append-only file was written to, and behind that.
            for end in [before, offset] {
                let (again, kept) = Tail::read(&file, NAME, end);
                assert_eq!(kept, stream(end - kept.len() as u64, kept.len()));
                assert_eq!(again.end(), Some(end));
                let least = usize::try_from(end - 7).expect("small").min(5);
                assert!(kept.len() >= least, "{} of {least}", kept.len());
            }
            // It goes on where it was.
            tail = Tail::read(&file, NAME, offset).0;
        }
        for _ in 0..3000 {
            put(
                &mut file,
                &tail
                    .record(NAME, offset, &stream(offset, 3000))
                    .expect("fits"),
            );
            offset += 3000;
        }
        let (_, kept) = Tail::read(&file, NAME, offset);
        assert!(kept.len() > HALF_BYTES / 10 * 9, "{}", kept.len());
        assert_eq!(kept, stream(offset - kept.len() as u64, kept.len()));
    }

    proptest! {
        #[test]
        fn anything_may_be_in_the_file(file in prop::collection::vec(any::<u8>(), 0..4000), end in any::<u64>()) {
            prop_assert_eq!(Tail::read(&file, NAME, end).1, []);
        }
    }
}
