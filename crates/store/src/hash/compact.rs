//! Fields and values in one run of bytes, in the order they came: `[lengths][field][value]` one after the other.
//!
//! The lengths are one byte where both are below fifteen, four bits for each. Fifteen stands for a length that follows, as `packed`
//! stores it; the field's comes first.

use crate::packed::{self, MAX_HEAD};

/// Four bits that say: the length follows.
const FOLLOWS: usize = 15;

/// A field with its value, and the bytes that both take.
#[derive(Clone, Copy)]
pub(super) struct Pair<'a> {
    pub(super) field: &'a [u8],
    pub(super) value: &'a [u8],
    pub(super) begin: usize,
    pub(super) end: usize,
}

/// All pairs, in order.
#[derive(Clone)]
pub(super) struct Pairs<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Pairs<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }
}

impl<'a> Iterator for Pairs<'a> {
    type Item = Pair<'a>;

    #[inline]
    fn next(&mut self) -> Option<Pair<'a>> {
        let begin = self.at;
        let lengths = usize::from(*self.bytes.get(begin)?);
        let (field, value) = (lengths >> 4, lengths & FOLLOWS);
        let (at, field, value) = if field == FOLLOWS || value == FOLLOWS {
            long(self.bytes, begin + 1, field, value)
        } else {
            (begin + 1, field, value)
        };
        let (middle, end) = (at + field, at + field + value);
        self.at = end;
        Some(Pair {
            field: &self.bytes[at..middle],
            value: &self.bytes[middle..end],
            begin,
            end,
        })
    }
}

/// The lengths where one of them follows at `at`; first, where the field begins.
#[cold]
fn long(bytes: &[u8], mut at: usize, field: usize, value: usize) -> (usize, usize, usize) {
    let mut length = |short: usize| {
        if short < FOLLOWS {
            return short;
        }
        let end = at + packed::head_len(bytes[at]);
        let length = packed::length(&bytes[at..end]);
        at = end;
        length
    };
    let (field, value) = (length(field), length(value));
    (at, field, value)
}

/// The pair with this field.
pub(super) fn find<'a>(bytes: &'a [u8], field: &[u8]) -> Option<Pair<'a>> {
    Pairs::new(bytes).find(|pair| packed::equal(pair.field, field))
}

/// A change of such bytes: `remove` of them at `at` give way to a pair.
pub(super) struct Edit<'a> {
    pub(super) at: usize,
    pub(super) remove: usize,
    /// Whether the field was not there.
    pub(super) new: bool,
    /// Where a value begins that is as long: it needs only be written over.
    pub(super) over: Option<usize>,
    lengths: Lengths,
    field: &'a [u8],
    value: &'a [u8],
}

impl<'a> Edit<'a> {
    /// What sets `field`: in its place, or behind all others.
    pub(super) fn setting(bytes: &[u8], field: &'a [u8], value: &'a [u8]) -> Self {
        let old = find(bytes, field);
        Self {
            at: old.map_or(bytes.len(), |old| old.begin),
            remove: old.map_or(0, |old| old.end - old.begin),
            new: old.is_none(),
            over: old
                .filter(|old| old.value.len() == value.len())
                .map(|old| old.end - value.len()),
            lengths: Lengths::new(field, value),
            field,
            value,
        }
    }

    /// What is written.
    pub(super) fn parts(&self) -> [&[u8]; 3] {
        [self.lengths.as_slice(), self.field, self.value]
    }

    /// How many bytes there are after it, of `len`.
    pub(super) fn len_after(&self, len: usize) -> usize {
        let added: usize = self.parts().iter().map(|part| part.len()).sum();
        len - self.remove + added
    }
}

/// Lengths of a pair as they are stored.
struct Lengths {
    bytes: [u8; 1 + 2 * MAX_HEAD],
    used: usize,
}

impl Lengths {
    fn new(field: &[u8], value: &[u8]) -> Self {
        let mut lengths = Self {
            bytes: [0; 1 + 2 * MAX_HEAD],
            used: 1,
        };
        for part in [field, value] {
            let short = part.len().min(FOLLOWS);
            #[expect(clippy::cast_possible_truncation, reason = "at most fifteen")]
            let bits = short as u8;
            lengths.bytes[0] = lengths.bytes[0] << 4 | bits;
            if short == FOLLOWS {
                let head = packed::head(part);
                let end = lengths.used + head.as_slice().len();
                lengths.bytes[lengths.used..end].copy_from_slice(head.as_slice());
                lengths.used = end;
            }
        }
        lengths
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.used]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_of_every_length_come_back() {
        let lens = [0, 1, 14, 15, 16, 127, 128, 32_511, 32_512];
        let mut bytes = Vec::new();
        let mut model = Vec::new();
        for (n, field) in lens.iter().enumerate() {
            for value in lens {
                let (field, value) = (
                    vec![b'a' + u8::try_from(n).unwrap(); *field],
                    vec![b'v'; value],
                );
                let edit = Edit::setting(&[], &field, &value);
                let before = bytes.len();
                edit.parts()
                    .iter()
                    .for_each(|part| bytes.extend_from_slice(part));
                assert_eq!(bytes.len() - before, edit.len_after(0));
                model.push((field, value));
            }
        }
        let seen = Pairs::new(&bytes).map(|pair| (pair.field.to_vec(), pair.value.to_vec()));
        assert!(seen.eq(model.iter().cloned()));
        assert_eq!(
            Edit::setting(&[], b"field1", b"0123456789").len_after(0),
            17
        );
    }

    #[test]
    fn a_pair_is_replaced_where_it_is() {
        let first = Edit::setting(&[], b"a", b"1").parts().concat();
        let both = [
            &first[..],
            &Edit::setting(&first, b"b", b"2").parts().concat(),
        ]
        .concat();
        let edit = Edit::setting(&both, b"a", b"long enough to need more");
        assert_eq!((edit.at, edit.remove, edit.new), (0, 3, false));
        assert_eq!(
            find(&both, b"b").map(|pair| (pair.value, pair.begin)),
            Some((&b"2"[..], 3))
        );
        assert!(find(&both, b"c").is_none());
    }
}
