//! A set of integers in one block: a byte that says how wide they are, then the integers in rising order, little end first.

use crate::thin::Thin;

/// Widths of an integer, bytes.
const WIDTHS: [usize; 3] = [2, 4, 8];

/// All integers, in order.
#[derive(Clone)]
pub(super) struct Iter<'a>(std::slice::Chunks<'a, u8>);

impl Iterator for Iter<'_> {
    type Item = i64;

    fn next(&mut self) -> Option<i64> {
        self.0.next().map(read)
    }
}

pub(super) fn iter(thin: &Thin) -> Iter<'_> {
    let (width, body) = parts(thin);
    Iter(body.chunks(width))
}

pub(super) fn contains(thin: &Thin, value: i64) -> bool {
    search(thin, value).is_ok()
}

/// The integer at `index`, which is below the count.
pub(super) fn nth(thin: &Thin, index: usize) -> i64 {
    let (width, body) = parts(thin);
    read(&body[index * width..(index + 1) * width])
}

/// Adds `value`; whether it is new.
pub(super) fn insert(thin: &mut Thin, value: i64) -> bool {
    let Err(index) = search(thin, value) else {
        return false;
    };
    let count = thin.count() + 1;
    let (old, _) = parts(thin);
    let needed = width_of(value);
    if needed <= old && count > 1 {
        let bytes = value.to_le_bytes();
        thin.splice(1 + index * old, 0, &[&bytes[..old]], count);
        return true;
    }
    let width = needed.max(if count > 1 { old } else { 0 });
    let mut bytes = Vec::with_capacity(1 + count * width);
    bytes.push(u8::try_from(width).expect("a width is at most eight"));
    let (before, behind) = (iter(thin).take(index), iter(thin).skip(index));
    for value in before.chain([value]).chain(behind) {
        bytes.extend_from_slice(&value.to_le_bytes()[..width]);
    }
    let old_len = thin.bytes().len();
    thin.splice(0, old_len, &[&bytes], count);
    true
}

/// Removes `value`; whether it was there.
pub(super) fn remove(thin: &mut Thin, value: i64) -> bool {
    let Ok(index) = search(thin, value) else {
        return false;
    };
    let count = thin.count() - 1;
    if count == 0 {
        *thin = Thin::new();
    } else {
        let (width, _) = parts(thin);
        thin.splice(1 + index * width, width, &[], count);
    }
    true
}

/// Width and integers. An empty block has the smallest width.
fn parts(thin: &Thin) -> (usize, &[u8]) {
    match thin.bytes() {
        [] => (WIDTHS[0], &[]),
        [width, body @ ..] => (usize::from(*width), body),
    }
}

fn search(thin: &Thin, value: i64) -> Result<usize, usize> {
    let (width, body) = parts(thin);
    let (mut low, mut high) = (0, thin.count());
    while low < high {
        let middle = usize::midpoint(low, high);
        match read(&body[middle * width..(middle + 1) * width]).cmp(&value) {
            std::cmp::Ordering::Less => low = middle + 1,
            std::cmp::Ordering::Equal => return Ok(middle),
            std::cmp::Ordering::Greater => high = middle,
        }
    }
    Err(low)
}

#[inline]
fn read(bytes: &[u8]) -> i64 {
    match *bytes {
        [a, b] => i64::from(i16::from_le_bytes([a, b])),
        [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
        [a, b, c, d, e, f, g, h] => i64::from_le_bytes([a, b, c, d, e, f, g, h]),
        _ => unreachable!("a width is two, four or eight"),
    }
}

fn width_of(value: i64) -> usize {
    if i16::try_from(value).is_ok() {
        WIDTHS[0]
    } else if i32::try_from(value).is_ok() {
        WIDTHS[1]
    } else {
        WIDTHS[2]
    }
}
