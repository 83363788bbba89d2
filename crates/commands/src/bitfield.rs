//! BITFIELD: integers of any width within a string.

use store::{Value, ValueMut};

use crate::args::{Reader, int, is};
use crate::bits::empty_raw;
use crate::context::MAX_STRING_BYTES;
use crate::{Args, Ctx, Done, Error, EventClass};

/// The type of an integer: `i5`, `u8`.
#[derive(Clone, Copy)]
struct Width {
    signed: bool,
    bits: u32,
}

impl Width {
    fn read(word: &[u8]) -> Result<Self, Error> {
        const INVALID: Error = Error::text(
            "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is.",
        );
        let (kind, bits) = word.split_first().ok_or(INVALID)?;
        let signed = match kind {
            b'i' => true,
            b'u' => false,
            _ => return Err(INVALID),
        };
        let most = if signed { 64 } else { 63 };
        let bits = int(bits).ok().and_then(|bits| u32::try_from(bits).ok());
        let bits = bits
            .filter(|bits| (1..=most).contains(bits))
            .ok_or(INVALID)?;
        Ok(Self { signed, bits })
    }

    fn range(self) -> (i128, i128) {
        if self.signed {
            (-(1 << (self.bits - 1)), (1 << (self.bits - 1)) - 1)
        } else {
            (0, (1 << self.bits) - 1)
        }
    }

    /// The value of these raw bits.
    fn value(self, raw: u64) -> i64 {
        let above = 64 - self.bits;
        if self.signed {
            (raw << above).cast_signed() >> above
        } else {
            raw.cast_signed()
        }
    }
}

/// What becomes of a value that does not fit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Overflow {
    Wrap,
    Saturate,
    Fail,
}

impl Overflow {
    /// The value in the range of `width`; `None` if it is to fail.
    fn fit(self, value: i128, width: Width) -> Option<i64> {
        let (least, most) = width.range();
        let fitted = if (least..=most).contains(&value) {
            value
        } else {
            match self {
                Self::Fail => return None,
                Self::Saturate => value.clamp(least, most),
                Self::Wrap => {
                    let size = 1_i128 << width.bits;
                    let low = value.rem_euclid(size);
                    if low > most { low - size } else { low }
                }
            }
        };
        i64::try_from(fitted).ok()
    }
}

#[derive(Clone, Copy)]
enum Action {
    Get,
    Set(i64),
    Add(i64),
}

#[derive(Clone, Copy)]
struct Operation {
    width: Width,
    /// The first bit.
    offset: usize,
    action: Action,
    overflow: Overflow,
}

/// BITFIELD key [GET type offset] [OVERFLOW WRAP|SAT|FAIL] [SET type offset value] [INCRBY type offset increment] …
pub(crate) fn bitfield(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    run(ctx, args, true)
}

/// BITFIELD_RO key [GET type offset] …
pub(crate) fn bitfield_ro(ctx: &mut Ctx<'_>, args: Args<'_>) -> Done {
    run(ctx, args, false)
}

fn run(ctx: &mut Ctx<'_>, args: Args<'_>, may_write: bool) -> Done {
    let operations = operations(args, may_write, ctx.longest_string())?;
    let key = args[1];
    let last_written = operations
        .iter()
        .filter(|operation| !matches!(operation.action, Action::Get))
        .map(|operation| (operation.offset + operation.width.bits as usize).div_ceil(8))
        .max();
    let Some(bytes) = last_written else {
        return read_all(ctx, key, &operations);
    };
    let ValueMut::Str(mut string) = ctx.keyspace.db(ctx.db).write_or_insert(key, empty_raw) else {
        return Err(Error::WrongType);
    };
    let grows = string.see().len() < bytes;
    let bytes = string.bytes_mut(bytes);
    ctx.reply.array(operations.len());
    let mut changes = 0;
    for operation in &operations {
        let width = operation.width;
        let old = width.value(read_bits(bytes, operation.offset, width.bits));
        let (answer, new) = match operation.action {
            Action::Get => (Some(old), None),
            Action::Set(value) => {
                // To an unsigned integer a negative number is one that is too high.
                let value = if width.signed {
                    value.into()
                } else {
                    value.cast_unsigned().into()
                };
                let new = operation.overflow.fit(value, width);
                (new.map(|_| old), new)
            }
            Action::Add(increment) => {
                let new = operation
                    .overflow
                    .fit(i128::from(old) + i128::from(increment), width);
                (new, new)
            }
        };
        if let Some(new) = new {
            write_bits(bytes, operation.offset, width.bits, new.cast_unsigned());
            changes += u64::from(new != old);
        }
        match answer {
            Some(value) => ctx.reply.int(value),
            None => ctx.reply.nil(),
        }
    }
    let changes = changes.max(grows.into());
    if changes > 0 {
        ctx.changed(key, EventClass::String, "setbit");
        ctx.effects.dirty += changes - 1;
    }
    Ok(())
}

fn read_all(ctx: &mut Ctx<'_>, key: &[u8], operations: &[Operation]) -> Done {
    let string = match ctx.keyspace.db(ctx.db).read(key) {
        None => None,
        Some(Value::Str(string)) => Some(string),
        Some(_) => return Err(Error::WrongType),
    };
    let mut scratch = [0; 20];
    let bytes = string
        .as_ref()
        .map_or(&[][..], |string| string.bytes(&mut scratch));
    ctx.reply.array(operations.len());
    for operation in operations {
        let raw = read_bits(bytes, operation.offset, operation.width.bits);
        ctx.reply.int(operation.width.value(raw));
    }
    Ok(())
}

fn operations(args: Args<'_>, may_write: bool, most: usize) -> Result<Vec<Operation>, Error> {
    let mut reader = Reader::from(args, 2);
    let mut all = Vec::new();
    let mut overflow = Overflow::Wrap;
    while !reader.is_empty() {
        if reader.takes_with("OVERFLOW", 1) {
            overflow = match reader.word()? {
                word if is(word, "WRAP") => Overflow::Wrap,
                word if is(word, "SAT") => Overflow::Saturate,
                word if is(word, "FAIL") => Overflow::Fail,
                _ => return Err(Error::text("ERR Invalid OVERFLOW type specified")),
            };
            continue;
        }
        let kind = if reader.takes_with("GET", 2) {
            0
        } else if reader.takes_with("SET", 3) {
            1
        } else if reader.takes_with("INCRBY", 3) {
            2
        } else {
            return Err(Error::Syntax);
        };
        let width = Width::read(reader.word()?)?;
        let offset = offset(reader.word()?, width.bits, most)?;
        let action = match kind {
            0 => Action::Get,
            1 => Action::Set(reader.int()?),
            _ => Action::Add(reader.int()?),
        };
        // No write makes a string longer than any may be.
        if kind > 0 && offset + width.bits as usize > MAX_STRING_BYTES * 8 {
            return Err(OUT_OF_RANGE);
        }
        all.push(Operation {
            width,
            offset,
            action,
            overflow,
        });
    }
    let writes = |operation: &Operation| !matches!(operation.action, Action::Get);
    if !may_write && all.iter().any(writes) {
        return Err(Error::text(
            "ERR BITFIELD_RO only supports the GET subcommand",
        ));
    }
    Ok(all)
}

const OUT_OF_RANGE: Error = Error::text("ERR bit offset is not an integer or out of range");

/// A bit's position, or `#n` for the n-th integer of this width. It begins within the longest string, which has `most` bytes.
fn offset(word: &[u8], bits: u32, most: usize) -> Result<usize, Error> {
    let (number, unit) = match word {
        [b'#', number @ ..] => (number, bits as usize),
        number => (number, 1),
    };
    let number = int(number)
        .ok()
        .and_then(|number| usize::try_from(number).ok());
    number
        .and_then(|number| number.checked_mul(unit))
        .filter(|offset| offset / 8 < most)
        .ok_or(OUT_OF_RANGE)
}

/// The `bits` bits from `offset` on, the highest first; beyond the end they are clear.
fn read_bits(bytes: &[u8], offset: usize, bits: u32) -> u64 {
    (offset..offset + bits as usize).fold(0, |value, at| {
        let byte = bytes.get(at / 8).copied().unwrap_or(0);
        value << 1 | u64::from(byte >> (7 - at % 8) & 1)
    })
}

fn write_bits(bytes: &mut [u8], offset: usize, bits: u32, value: u64) {
    for (place, at) in (offset..offset + bits as usize).enumerate() {
        let mask = 0x80 >> (at % 8);
        if value >> (bits as usize - 1 - place) & 1 == 1 {
            bytes[at / 8] |= mask;
        } else {
            bytes[at / 8] &= !mask;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_read_as_they_were_written() {
        let mut bytes = [0xff; 12];
        for (offset, bits, value) in [(0, 8, 0x5a), (3, 64, u64::MAX / 3), (7, 1, 0), (13, 63, 1)] {
            write_bits(&mut bytes, offset, bits, value);
            assert_eq!(read_bits(&bytes, offset, bits), value);
        }
    }

    #[test]
    fn what_does_not_fit_wraps_saturates_or_fails() {
        let width = |word: &str| Width::read(word.as_bytes()).unwrap();
        assert_eq!(Overflow::Wrap.fit(128, width("i8")), Some(-128));
        assert_eq!(Overflow::Wrap.fit(-1, width("u4")), Some(15));
        assert_eq!(Overflow::Saturate.fit(1000, width("u8")), Some(255));
        assert_eq!(Overflow::Saturate.fit(-1000, width("i8")), Some(-128));
        assert_eq!(Overflow::Fail.fit(256, width("u8")), None);
        assert_eq!(
            Overflow::Wrap.fit(i128::from(i64::MAX) + 1, width("i64")),
            Some(i64::MIN)
        );
        for word in ["u64", "i65", "i0", "x8", "", "i", "i08"] {
            assert!(Width::read(word.as_bytes()).is_err(), "{word}");
        }
    }
}
