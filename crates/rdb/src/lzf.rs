//! LZF, the compression of strings in the file: one format with liblzf's, own code for both directions.
//!
//! Own code, because a save compresses a million short strings and must not allocate or clear a table for each, and
//! because what is expanded must grow as it is produced, never by what a file declares.
//!
//! The format is a row of commands. `000nnnnn`: n + 1 bytes follow as they are. `LLLddddd dddddddd` with L from 1 to 6: repeat
//! L + 2 bytes from d + 1 bytes back. `111ddddd LLLLLLLL dddddddd`: the same with L + 9 bytes.

use crate::seen::{Places, Seen};

/// Bytes that a literal command can carry.
pub(crate) const MAX_LITERAL: usize = 32;
/// How far back a repetition can reach.
pub(crate) const MAX_DISTANCE: usize = 1 << 13;
/// The longest repetition.
pub(crate) const MAX_MATCH: usize = 264;
/// How many bytes are passed over at most where nothing repeats.
const MAX_SKIP: usize = 15;
/// What three bytes of input can at most expand to is [`MAX_MATCH`].
const MAX_RATIO: u64 = 88;

/// Table sizes, as bits: a small part of the table serves short inputs, so that it stays in the nearest cache.
const SMALL_BITS: u32 = 10;
const LARGE_BITS: u32 = 14;
const SMALL_INPUT: usize = 2048;
const SLOTS: usize = 1 << LARGE_BITS;

/// A compressor with its table, used again and again.
pub(crate) struct Compressor(Seen<SLOTS>);

impl Compressor {
    pub(crate) fn new() -> Self {
        Self(Seen::new())
    }

    /// Compresses `input` into `out` (cleared first); false where that does not come to at most `limit` bytes.
    pub(crate) fn compress(&mut self, input: &[u8], out: &mut Vec<u8>, limit: usize) -> bool {
        out.clear();
        let places = self.0.begin(input.len());
        places.is_some_and(|mut places| pack(&mut places, input, out, limit))
    }
}

fn pack(places: &mut Places<'_, SLOTS>, input: &[u8], out: &mut Vec<u8>, limit: usize) -> bool {
    let small = input.len() <= SMALL_INPUT;
    let mut literal = 0;
    loop {
        let found = if small {
            find::<SMALL_BITS, 0>(places, input, literal)
        } else {
            find::<LARGE_BITS, MAX_SKIP>(places, input, literal)
        };
        let Some((at, distance)) = found else { break };
        let len = common_len(&input[at - distance..], &input[at..]);
        put_literals(out, &input[literal..at]);
        put_match(out, distance, len);
        literal = at + len;
        if out.len() > limit {
            return false;
        }
    }
    if literal == 0 {
        return false;
    }
    put_literals(out, &input[literal..]);
    out.len() <= limit
}

/// The next place from `from` on whose first three bytes came before, and how far back that was. The table is used by `BITS`; where
/// nothing repeats, up to `SKIP` bytes are passed over.
fn find<const BITS: u32, const SKIP: usize>(
    places: &mut Places<'_, SLOTS>,
    input: &[u8],
    from: usize,
) -> Option<(usize, usize)> {
    let mut at = from;
    while let Some(here) = three_bytes(input, at) {
        let slot = (here.wrapping_mul(0x9E37_79B1) >> (32 - BITS)) as usize;
        if let Some(before) = places.swap(slot, at)
            && at - before <= MAX_DISTANCE
            && three_bytes(input, before) == Some(here)
        {
            return Some((at, at - before));
        }
        at += 1 + ((at - from) >> 6).min(SKIP);
    }
    None
}

/// The three bytes at `at` as a number, where a fourth follows (so that all can be read at once).
#[inline]
fn three_bytes(input: &[u8], at: usize) -> Option<u32> {
    let word = input.get(at..at + 4)?.first_chunk()?;
    Some(u32::from_le_bytes(*word) & 0x00ff_ffff)
}

/// How many bytes both begin with, up to the longest repetition.
fn common_len(earlier: &[u8], here: &[u8]) -> usize {
    let max = here.len().min(MAX_MATCH);
    let (earlier, here) = (&earlier[..max], &here[..max]);
    let mut len = 0;
    for (a, b) in earlier.chunks_exact(8).zip(here.chunks_exact(8)) {
        if a != b {
            break;
        }
        len += 8;
    }
    len + earlier[len..]
        .iter()
        .zip(&here[len..])
        .take_while(|(a, b)| a == b)
        .count()
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "a run has at most 32 bytes"
)]
pub(crate) fn put_literals(out: &mut Vec<u8>, bytes: &[u8]) {
    for run in bytes.chunks(MAX_LITERAL) {
        out.push(run.len() as u8 - 1);
        out.extend_from_slice(run);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "distance is at most 2^13 and len at most 264"
)]
pub(crate) fn put_match(out: &mut Vec<u8>, distance: usize, len: usize) {
    let (back, len) = (distance - 1, len - 2);
    if len < 7 {
        out.push(((len << 5) | (back >> 8)) as u8);
    } else {
        out.push((7 << 5 | (back >> 8)) as u8);
        out.push((len - 7) as u8);
    }
    out.push(back as u8);
}

/// Expands `packed` into `out` (cleared first). It must give exactly `len` bytes.
///
/// # Errors
/// Says which rule of the format is broken. `out` never grows beyond what `packed` really gives.
pub(crate) fn expand(packed: &[u8], len: u64, out: &mut Vec<u8>) -> Result<(), &'static str> {
    const SHORT: &str = "a compressed string ends inside a command";
    const LONG: &str = "a compressed string is longer than declared";
    out.clear();
    let possible = (packed.len() as u64).saturating_mul(MAX_RATIO);
    let Some(len) = usize::try_from(len).ok().filter(|_| len <= possible) else {
        return Err("a compressed string declares more than it can hold");
    };
    out.reserve(len.min(packed.len().saturating_mul(4)));
    let mut rest = packed;
    while let Some((&command, after)) = rest.split_first() {
        if command < 1 << 5 {
            let (literal, after) = after
                .split_at_checked(usize::from(command) + 1)
                .ok_or(SHORT)?;
            if out.len() + literal.len() > len {
                return Err(LONG);
            }
            out.extend_from_slice(literal);
            rest = after;
            continue;
        }
        let (mut count, mut after) = (usize::from(command >> 5) + 2, after);
        if command >> 5 == 7 {
            let (&more, tail) = after.split_first().ok_or(SHORT)?;
            count += usize::from(more);
            after = tail;
        }
        let (&low, tail) = after.split_first().ok_or(SHORT)?;
        let distance = (usize::from(command & 0x1f) << 8 | usize::from(low)) + 1;
        rest = tail;
        if out.len() + count > len {
            return Err(LONG);
        }
        let start = out
            .len()
            .checked_sub(distance)
            .ok_or("a compressed string repeats what is before its start")?;
        repeat(out, start, count);
    }
    if out.len() == len {
        Ok(())
    } else {
        Err("a compressed string is shorter than declared")
    }
}

/// Appends `count` bytes from `start` on, which may run into the bytes just appended.
fn repeat(out: &mut Vec<u8>, start: usize, mut count: usize) {
    while count > 0 {
        let step = count.min(out.len() - start);
        out.extend_from_within(start..start + step);
        count -= step;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn pack(compressor: &mut Compressor, input: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        compressor
            .compress(input, &mut out, input.len().saturating_sub(4))
            .then_some(out)
    }

    #[test]
    fn a_run_packs_as_tight_as_the_format_allows() {
        let packed = pack(&mut Compressor::new(), &[b'a'; 26_400]).unwrap();
        assert!(packed.len() <= 26_400 / 88 + 6, "{}", packed.len());
    }

    #[test]
    fn bad_commands_are_refused() {
        let mut out = Vec::new();
        for (packed, len) in [
            (&[0x05u8, b'a'][..], 6),        // literal past the end
            (&[0x20, 0x00], 3),              // repeats before the start
            (&[0x00, b'a', 0xe0], 20),       // no count
            (&[0x00, b'a', 0xe0, 0x01], 20), // no distance
            (&[0x00, b'a', 0x20, 0x00], 3),  // longer than declared
            (&[0x00, b'a', 0x20, 0x00], 5),  // shorter than declared
            (&[0x00, b'a'], 1 << 40),        // cannot be that long
        ] {
            assert!(expand(packed, len, &mut out).is_err(), "{packed:?}");
        }
        assert!(expand(&[0x00, b'a', 0x20, 0x00], 4, &mut out).is_ok());
        assert_eq!(out, b"aaaa");
    }

    /// Bytes with repetitions at many distances.
    fn repetitive() -> impl Strategy<Value = Vec<u8>> {
        prop::collection::vec((prop::collection::vec(0u8..6, 1..20), 1usize..30), 0..200).prop_map(
            |parts| {
                parts
                    .into_iter()
                    .flat_map(|(piece, times)| piece.repeat(times))
                    .collect()
            },
        )
    }

    proptest! {
        #[test]
        fn round_trip(inputs in prop::collection::vec(repetitive(), 1..4)) {
            let mut compressor = Compressor::new();
            for input in inputs {
                if let Some(packed) = pack(&mut compressor, &input) {
                    let mut out = Vec::new();
                    prop_assert_eq!(expand(&packed, input.len() as u64, &mut out), Ok(()));
                    prop_assert_eq!(&out, &input);
                    prop_assert_eq!(lzf::decompress(&packed, input.len()).unwrap(), input);
                }
            }
        }

        #[test]
        fn expands_what_liblzf_packs(input in repetitive()) {
            if let Ok(packed) = lzf::compress(&input) {
                let mut out = Vec::new();
                prop_assert_eq!(expand(&packed, input.len() as u64, &mut out), Ok(()));
                prop_assert_eq!(out, input);
            }
        }

        #[test]
        fn noise_never_panics(packed in prop::collection::vec(any::<u8>(), 0..300), len in 0u64..30_000) {
            let mut out = Vec::new();
            let _ = expand(&packed, len, &mut out);
            prop_assert!(out.len() <= packed.len() * 88);
        }
    }
}
