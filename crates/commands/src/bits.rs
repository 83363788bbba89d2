//! Strings as arrays of bits: SETBIT, GETBIT, BITCOUNT, BITPOS, BITOP. Bit 0 is the highest of the first byte.

use std::ops::Range;

use bytes::Bytes;
use store::{Db, Owned, Value, ValueMut};

use crate::args::{int, is};
use crate::string::byte_range;
use crate::{Args, Ctx, Done, Error, EventClass};

/// Bytes handled at once.
const WORD: usize = size_of::<u64>();

/// A string without bytes that is changed in place.
pub(crate) fn empty_raw() -> Owned {
    Owned::Bytes {
        bytes: Bytes::new(),
        raw: true,
    }
}

/// Byte and mask of a bit within the longest string, which has `most` bytes.
fn parse_offset(word: &[u8], most: usize) -> Result<(usize, u8), Error> {
    let out_of_range = Error::text("ERR bit offset is not an integer or out of range");
    let bit = int(word).ok().and_then(|bit| usize::try_from(bit).ok());
    let bit = bit.filter(|bit| bit / 8 < most).ok_or(out_of_range)?;
    Ok((bit / 8, 0x80 >> (bit % 8)))
}

/// SETBIT key offset bit
pub(crate) fn setbit(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let key = args[1];
    let (byte, mask) = parse_offset(args[2], ctx.longest_string())?;
    let on = match int(args[3]) {
        Ok(0) => false,
        Ok(1) => true,
        _ => return Err(Error::text("ERR bit is not an integer or out of range")),
    };
    let ValueMut::Str(mut string) = ctx.keyspace.db(ctx.db).write_or_insert(key, empty_raw) else {
        return Err(Error::WrongType);
    };
    let grows = string.see().len() <= byte;
    let byte = &mut string.bytes_mut(byte + 1)[byte];
    let old = *byte & mask != 0;
    if on {
        *byte |= mask;
    } else {
        *byte &= !mask;
    }
    if grows || old != on {
        ctx.changed(key, EventClass::String, "setbit");
    }
    ctx.reply.int(i64::from(old));
    Ok(())
}

/// GETBIT key offset
pub(crate) fn getbit(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let (byte, mask) = parse_offset(args[2], ctx.longest_string())?;
    let bit = match ctx.keyspace.db(ctx.db).read(args[1]) {
        None => false,
        Some(Value::Str(string)) => string
            .bytes(&mut [0; 20])
            .get(byte)
            .is_some_and(|byte| byte & mask != 0),
        Some(_) => return Err(Error::WrongType),
    };
    ctx.reply.int(i64::from(bit));
    Ok(())
}

/// A range of a string, in bytes or in bits, both ends included, counted from the end if negative.
#[derive(Clone, Copy)]
struct Span {
    start: i64,
    end: i64,
    in_bits: bool,
    /// The request said where it ends.
    has_end: bool,
}

impl Span {
    /// Reads `[start [end [BYTE|BIT]]]`.
    fn read(words: Args<'_>) -> Result<Self, Error> {
        let all = Self {
            start: 0,
            end: -1,
            in_bits: false,
            has_end: false,
        };
        let in_bits = |word: &[u8]| match word {
            word if is(word, "BIT") => Ok(true),
            word if is(word, "BYTE") => Ok(false),
            _ => Err(Error::Syntax),
        };
        match *words {
            [] => Ok(all),
            [start] => Ok(Self {
                start: int(start)?,
                ..all
            }),
            [start, end] => Ok(Self {
                start: int(start)?,
                end: int(end)?,
                has_end: true,
                ..all
            }),
            [start, end, unit] => {
                // The unit is looked at before the end.
                let (start, in_bits) = (int(start)?, in_bits(unit)?);
                Ok(Self {
                    start,
                    end: int(end)?,
                    in_bits,
                    has_end: true,
                })
            }
            _ => Err(Error::Syntax),
        }
    }

    /// The bits of a string of this many bytes that it means.
    fn bits(self, bytes: usize) -> Range<usize> {
        if self.in_bits {
            byte_range(self.start, self.end, bytes.saturating_mul(8))
        } else {
            let range = byte_range(self.start, self.end, bytes);
            range.start * 8..range.end * 8
        }
    }
}

/// The byte at `at`, with only those of its bits that lie within a range of bits; the others are as `outside`.
fn masked(bytes: &[u8], at: usize, bits: &Range<usize>, outside: bool) -> u8 {
    let first = bits.start.saturating_sub(at * 8).min(8);
    let last = (at * 8 + 8).saturating_sub(bits.end).min(8);
    let inside = (0xff_u16 >> first) & (0xff_u16 << last) & 0xff;
    let inside = u8::try_from(inside).unwrap_or(0);
    if outside {
        bytes[at] | !inside
    } else {
        bytes[at] & inside
    }
}

/// BITCOUNT key [start [end [BYTE|BIT]]]
pub(crate) fn bitcount(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let span = Span::read(&args[2..])?;
    let bits = match ctx.keyspace.db(ctx.db).read(args[1]) {
        None => 0,
        Some(Value::Str(string)) => {
            let mut scratch = [0; 20];
            let bytes = string.bytes(&mut scratch);
            let bits = span.bits(bytes.len());
            // From the end, and backwards: nothing, also where both are before the beginning.
            let backwards = span.start < 0 && span.end < 0 && span.start > span.end;
            if bits.is_empty() || backwards {
                0
            } else {
                let (first, last) = (bits.start / 8, (bits.end - 1) / 8);
                let edge = |at| u64::from(masked(bytes, at, &bits, false).count_ones());
                if first == last {
                    edge(first)
                } else {
                    edge(first) + count_ones(&bytes[first + 1..last]) + edge(last)
                }
            }
        }
        Some(_) => return Err(Error::WrongType),
    };
    ctx.reply.int(i64::try_from(bits).unwrap_or(i64::MAX));
    Ok(())
}

/// How many bits are set.
fn count_ones(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<WORD>();
    let words = words
        .iter()
        .map(|word| u64::from_ne_bytes(*word).count_ones());
    let rest = rest.iter().map(|byte| byte.count_ones());
    words.chain(rest).map(u64::from).sum()
}

/// BITPOS key bit [start [end [BYTE|BIT]]]
pub(crate) fn bitpos(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let bit = match int(args[2])? {
        0 => false,
        1 => true,
        _ => return Err(Error::text("ERR The bit argument must be 1 or 0.")),
    };
    let span = Span::read(&args[3..])?;
    let string = match ctx.keyspace.db(ctx.db).read(args[1]) {
        None => {
            // Without end all bits are clear.
            ctx.reply.int(if bit { -1 } else { 0 });
            return Ok(());
        }
        Some(Value::Str(string)) => string,
        Some(_) => return Err(Error::WrongType),
    };
    let mut scratch = [0; 20];
    let bytes = string.bytes(&mut scratch);
    let bits = span.bits(bytes.len());
    match first_bit_within(bytes, &bits, bit) {
        Some(position) => ctx.reply.count(position),
        // Clear bits follow the string, unless the request said where it ends.
        None if !bit && !bits.is_empty() && !span.has_end => ctx.reply.count(bytes.len() * 8),
        None => ctx.reply.int(-1),
    }
    Ok(())
}

/// Where the first bit like `bit` is within a range of bits.
fn first_bit_within(bytes: &[u8], bits: &Range<usize>, bit: bool) -> Option<usize> {
    if bits.is_empty() {
        return None;
    }
    let (first, last) = (bits.start / 8, (bits.end - 1) / 8);
    let edge =
        |at: usize| first_bit(&[masked(bytes, at, bits, !bit)], bit).map(|found| at * 8 + found);
    if let Some(found) = edge(first) {
        return Some(found);
    }
    if first == last {
        return None;
    }
    let middle = first_bit(&bytes[first + 1..last], bit).map(|found| (first + 1) * 8 + found);
    middle.or_else(|| edge(last))
}

/// Where the first bit like `bit` is.
fn first_bit(bytes: &[u8], bit: bool) -> Option<usize> {
    let dull = if bit { 0 } else { u8::MAX };
    let (words, _) = bytes.as_chunks::<WORD>();
    let skipped = words
        .iter()
        .take_while(|word| **word == [dull; WORD])
        .count()
        * WORD;
    let rest = &bytes[skipped..];
    let at = rest.iter().position(|byte| *byte != dull)?;
    let clear = (rest[at] ^ dull).leading_zeros() as usize;
    Some((skipped + at) * 8 + clear)
}

#[derive(Clone, Copy)]
enum Operation {
    And,
    Or,
    Xor,
    Not,
}

/// BITOP AND|OR|XOR|NOT destination key …
pub(crate) fn bitop(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    let operation = match args[1] {
        word if is(word, "AND") => Operation::And,
        word if is(word, "OR") => Operation::Or,
        word if is(word, "XOR") => Operation::Xor,
        word if is(word, "NOT") => Operation::Not,
        _ => return Err(Error::Syntax),
    };
    let (to, keys) = (args[2], &args[3..]);
    if matches!(operation, Operation::Not) && keys.len() != 1 {
        return Err(Error::text(
            "ERR BITOP NOT must be called with a single source key.",
        ));
    }
    let db = ctx.keyspace.db(ctx.db);
    let result = combine(db, operation, keys)?;
    let length = result.len();
    if length > 0 {
        let value = Owned::Bytes {
            bytes: result.into(),
            raw: true,
        };
        db.insert(to, value);
        ctx.changed(to, EventClass::String, "set");
    } else if db.remove(to) {
        ctx.changed(to, EventClass::Generic, "del");
    }
    ctx.reply.count(length);
    Ok(())
}

/// The strings at `keys` combined, as long as the longest; shorter and missing ones are followed by zero bytes.
fn combine(db: &mut Db, operation: Operation, keys: Args<'_>) -> Result<Vec<u8>, Error> {
    let mut longest = 0;
    for key in keys {
        match db.read(key) {
            None => {}
            Some(Value::Str(string)) => longest = longest.max(string.len()),
            Some(_) => return Err(Error::WrongType),
        }
    }
    let mut result = Vec::with_capacity(longest);
    for (nth, key) in keys.iter().enumerate() {
        let mut scratch = [0; 20];
        let bytes = match db.peek_alive(key) {
            Some(Value::Str(string)) => string.bytes(&mut scratch),
            _ => &[],
        };
        if nth == 0 {
            result.extend_from_slice(bytes);
            result.resize(longest, 0);
        } else {
            fold(operation, &mut result, bytes);
        }
    }
    if matches!(operation, Operation::Not) {
        result.iter_mut().for_each(|byte| *byte = !*byte);
    }
    Ok(result)
}

/// Combines `bytes` into `total`, which is not shorter. The compiler makes vectors of these loops.
fn fold(operation: Operation, total: &mut [u8], bytes: &[u8]) {
    let (same, rest) = total.split_at_mut(bytes.len());
    let pairs = same.iter_mut().zip(bytes);
    match operation {
        Operation::And => {
            pairs.for_each(|(total, byte)| *total &= byte);
            rest.fill(0);
        }
        Operation::Or => pairs.for_each(|(total, byte)| *total |= byte),
        Operation::Xor => pairs.for_each(|(total, byte)| *total ^= byte),
        Operation::Not => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_bytes_count_alike() {
        let bytes: Vec<u8> = (0..=255).collect();
        for end in 0..bytes.len() {
            let expected: u32 = bytes[..end].iter().map(|byte| byte.count_ones()).sum();
            assert_eq!(count_ones(&bytes[..end]), u64::from(expected));
        }
    }

    #[test]
    fn the_first_bit_is_found_across_words() {
        for length in 1..40 {
            for at in 0..length * 8 {
                let mut bytes = vec![0; length];
                bytes[at / 8] |= 0x80 >> (at % 8);
                assert_eq!(first_bit(&bytes, true), Some(at));
                bytes.iter_mut().for_each(|byte| *byte = !*byte);
                assert_eq!(first_bit(&bytes, false), Some(at));
            }
            assert_eq!(first_bit(&vec![0; length], true), None);
            assert_eq!(first_bit(&vec![255; length], false), None);
        }
        assert_eq!(first_bit(&[], true), None);
    }
}
