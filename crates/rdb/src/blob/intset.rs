//! Intsets: `width:u32 count:u32 integer*`, little endian, each integer of the same width, rising.

use super::pack::{Fault, little_endian};
use crate::decode::Str;

const HEADER: usize = 8;

/// A place in an intset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor {
    at: usize,
    width: usize,
}

impl Cursor {
    pub(super) fn open(blob: &[u8]) -> Result<Self, Fault> {
        let (Some(width), Some(count)) = (little_endian(blob, 0), little_endian(blob, 4)) else {
            return Err("an intset is shorter than its header");
        };
        let width = u32::from_le_bytes(width) as usize;
        if !matches!(width, 2 | 4 | 8) {
            return Err("an intset's integers are of an unknown width");
        }
        let bytes = (u32::from_le_bytes(count) as usize).checked_mul(width);
        if bytes != Some(blob.len() - HEADER) {
            return Err("an intset declares another length than it has");
        }
        let members = blob[HEADER..].chunks_exact(width).map(int);
        if !members.is_sorted_by(|a, b| a < b) {
            return Err("an intset is not in order");
        }
        Ok(Self { at: HEADER, width })
    }

    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn next<'a>(&mut self, blob: &'a [u8]) -> Option<Str<'a>> {
        let bytes = blob.get(self.at..self.at + self.width)?;
        self.at += self.width;
        Some(Str::Int(int(bytes)))
    }
}

/// A number of two, four or eight bytes with a sign.
fn int(bytes: &[u8]) -> i64 {
    let mut wide = [if bytes.last().is_some_and(|&byte| byte >= 0x80) {
        0xff
    } else {
        0
    }; 8];
    wide[..bytes.len()].copy_from_slice(bytes);
    i64::from_le_bytes(wide)
}

/// Writes an intset of what `members` gives, rising and each time the same, into `out` (cleared first); false where there are too many for the format.
pub(crate) fn write<I: Iterator<Item = i64>>(members: impl Fn() -> I, out: &mut Vec<u8>) -> bool {
    let width = members().map(width_of).max().unwrap_or(2);
    out.clear();
    out.extend([width, 0, 0, 0, 0, 0, 0, 0]);
    let mut count = 0u32;
    for member in members() {
        out.extend_from_slice(&member.to_le_bytes()[..usize::from(width)]);
        let Some(more) = count.checked_add(1) else {
            return false;
        };
        count = more;
    }
    out[4..HEADER].copy_from_slice(&count.to_le_bytes());
    true
}

fn width_of(member: i64) -> u8 {
    if i16::try_from(member).is_ok() {
        2
    } else if i32::try_from(member).is_ok() {
        4
    } else {
        8
    }
}

#[cfg(test)]
mod tests {
    use super::super::Form;
    use super::super::tests::{all, survives_every_byte_change};
    use super::*;

    #[test]
    fn every_width_round_trips() {
        for members in [
            vec![],
            vec![-3, 1, 2],
            vec![-3, 40_000],
            vec![i64::MIN, -1, 0, i64::MAX],
        ] {
            let mut blob = Vec::new();
            assert!(write(|| members.iter().copied(), &mut blob));
            let back: Vec<_> = members.into_iter().map(Str::Int).collect();
            assert_eq!(all(Form::Intset, &blob).unwrap(), back);
        }
    }

    #[test]
    fn disorder_and_changed_bytes_are_refused_or_read() {
        let mut blob = Vec::new();
        write(|| [5, 5].into_iter(), &mut blob);
        assert!(all(Form::Intset, &blob).is_err());
        write(|| [-70_000, 1, 70_000].into_iter(), &mut blob);
        survives_every_byte_change(Form::Intset, &blob);
    }
}
