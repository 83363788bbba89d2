//! LZF packed as liblzf does in Valkey, byte for byte. For DUMP: its payloads are compared and kept by others. Files are packed by
//! `lzf`, which is faster.
//!
//! What decides on the bytes: a table of 2^16 places, by a hash of three bytes; a repetition is looked for at every place that
//! three bytes are left at, but not of the very first byte; it is at most 8192 bytes back; the last two bytes of a long repetition enter the
//! table; and output that comes near its limit is given up a few bytes early.

use crate::lzf::{MAX_DISTANCE, MAX_LITERAL, MAX_MATCH, put_literals, put_match};
use crate::seen::{Places, Seen};

const SLOTS: usize = 1 << 16;
/// liblzf compares so many bytes before it looks at the end of the input.
const UNCHECKED: usize = 16;

/// A compressor with its table, used again and again.
pub(crate) struct Compressor(Seen<SLOTS>);

impl Compressor {
    pub(crate) fn new() -> Self {
        Self(Seen::new())
    }

    /// The memory of its table, bytes: none before the first input.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.0.memory_bytes()
    }

    /// Compresses `input` into `out` (cleared first); false where liblzf finds no room for it in `limit` bytes.
    pub(crate) fn compress(&mut self, input: &[u8], out: &mut Vec<u8>, limit: usize) -> bool {
        out.clear();
        let places = self.0.begin(input.len());
        places.is_some_and(|mut places| pack(&mut places, input, out, limit).is_some())
    }
}

/// `None` where there is no room.
fn pack(
    places: &mut Places<'_, SLOTS>,
    input: &[u8],
    out: &mut Vec<u8>,
    limit: usize,
) -> Option<()> {
    let mut literal = 0;
    let mut at = 0;
    while at + 2 < input.len() {
        let before = enter(places, input, at);
        if let Some(from) = before.filter(|from| repeats(input, *from, at)) {
            put_literals(out, &input[literal..at]);
            if out.len() + 4 >= limit {
                return None;
            }
            let len = match_len(input, from, at);
            put_match(out, at - from, len);
            at += len;
            literal = at;
            if at + 2 < input.len() {
                enter(places, input, at - 2);
                enter(places, input, at - 1);
            }
        } else {
            if written(out, at - literal) >= limit {
                return None;
            }
            at += 1;
        }
    }
    if written(out, at - literal) + 3 > limit {
        return None;
    }
    put_literals(out, &input[literal..]);
    Some(())
}

/// Enters the sequence at `at` into the table; the place of this input that was there.
fn enter(places: &mut Places<'_, SLOTS>, input: &[u8], at: usize) -> Option<usize> {
    let [a, b, c] = *input[at..].first_chunk()?;
    let hash = u32::from_be_bytes([0, a, b, c]);
    let slot = (hash >> 8).wrapping_sub(hash.wrapping_mul(5));
    places.swap(slot as usize, at)
}

/// How many bytes are written with a begun literal, its head included; full ones are closed.
fn written(out: &[u8], literal: usize) -> usize {
    out.len() + literal + literal / MAX_LITERAL + 1
}

/// Whether liblzf takes what is at `from` for a repetition at `at`.
fn repeats(input: &[u8], from: usize, at: usize) -> bool {
    from > 0 && at - from <= MAX_DISTANCE && input[from..from + 3] == input[at..at + 3]
}

/// How long the repetition is. The last two bytes are left out, unless the comparison that does not look at the end gets there.
fn match_len(input: &[u8], from: usize, at: usize) -> usize {
    let (earlier, here) = (&input[from..], &input[at..]);
    let most = (here.len() - 2).min(MAX_MATCH);
    let mut len = 3;
    let unchecked = if most > UNCHECKED { 2 + UNCHECKED } else { 2 };
    while len <= unchecked {
        if earlier[len] != here[len] {
            return len;
        }
        len += 1;
    }
    while len < most && earlier[len] == here[len] {
        len += 1;
    }
    len
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lzf::expand;
    use proptest::prelude::*;

    fn pack(compressor: &mut Compressor, input: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        let limit = input.len().saturating_sub(4);
        compressor.compress(input, &mut out, limit).then_some(out)
    }

    /// What DUMP of Valkey 9.1 gives for these strings.
    #[test]
    fn bytes_are_those_of_valkey() {
        let mut compressor = Compressor::new();
        for (input, packed) in [
            (vec![b'x'; 40], &b"\x01xx\xe0\x1b\x00\x01xx"[..]),
            (vec![b'y'; 100], b"\x01yy\xe0\x57\x00\x01yy"),
            // A repetition may reach to the end.
            (
                [&[b'a'; 64][..], b"f1f1f1"].concat(),
                b"\x01aa\xe0\x35\x00\x01f1\x20\x01\x001",
            ),
        ] {
            assert_eq!(pack(&mut compressor, &input).as_deref(), Some(packed));
        }
    }

    proptest! {
        #[test]
        fn round_trip(inputs in prop::collection::vec(
            prop::collection::vec((prop::collection::vec(0u8..6, 1..20), 1usize..30), 0..60),
            1..4,
        )) {
            let mut compressor = Compressor::new();
            for parts in inputs {
                let pieces = parts.into_iter().flat_map(|(piece, times)| piece.repeat(times));
                let input: Vec<u8> = pieces.collect();
                if let Some(packed) = pack(&mut compressor, &input) {
                    prop_assert!(packed.len() <= input.len() - 4);
                    let mut out = Vec::new();
                    prop_assert_eq!(expand(&packed, input.len() as u64, &mut out), Ok(()));
                    prop_assert_eq!(&out, &input);
                    prop_assert_eq!(pack(&mut Compressor::new(), &input), Some(packed));
                }
            }
        }
    }
}
