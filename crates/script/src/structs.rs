//! The library `struct`: values packed in C's layouts.

use std::rc::Rc;

use mlua::{Lua, MultiValue, Result, Table, Value};

use crate::args::Args;
use crate::context::Context;
use crate::number::{to_i64, to_u64};

/// The widest integer, in bytes.
const MAX_INTEGER_BYTES: i32 = 32;

/// `!` without a number aligns to this.
const NATURAL_ALIGNMENT: i32 = 8;

/// The most values that one call may give back.
const MAX_RESULTS: usize = 7000;

/// Makes the library.
pub(crate) fn library(lua: &Lua, context: &Rc<Context>) -> Result<Table> {
    let library = lua.create_table()?;
    let shared = Rc::clone(context);
    let pack = lua.create_function(move |lua, mut args: MultiValue| {
        // The library keeps a nil behind its arguments, and finds it there when one is missing.
        if !args.is_empty() {
            args.push_back(Value::Nil);
        }
        pack(&shared, &Args::new(lua, args))
    })?;
    library.raw_set("pack", pack)?;
    let shared = Rc::clone(context);
    let unpack =
        lua.create_function(move |lua, args: MultiValue| unpack(&shared, &Args::new(lua, args)))?;
    library.raw_set("unpack", unpack)?;
    let shared = Rc::clone(context);
    let size =
        lua.create_function(move |lua, args: MultiValue| size(&shared, &Args::new(lua, args)))?;
    library.raw_set("size", size)?;
    Ok(library)
}

/// One option of a format, after its size was read.
#[derive(Clone, Copy)]
struct Item {
    option: u8,
    /// Bytes that the value takes; 0 for what has no fixed size and for options that only control.
    size: usize,
}

/// Reads a format option by option, keeping byte order and alignment.
struct Format<'a> {
    args: &'a Args<'a>,
    /// Up to its first NUL.
    rest: &'a [u8],
    big_endian: bool,
    align: usize,
}

impl<'a> Format<'a> {
    fn new(args: &'a Args<'a>, format: &'a [u8]) -> Self {
        Format {
            args,
            rest: memchr::memchr(0, format).map_or(format, |end| &format[..end]),
            big_endian: false,
            align: 1,
        }
    }

    /// The next option with its size. What follows a control option is read by [`Format::control`].
    fn next(&mut self) -> Result<Option<Item>> {
        let Some((option, rest)) = self.rest.split_first() else {
            return Ok(None);
        };
        self.rest = rest;
        let size = match option {
            b'B' | b'b' | b'x' => 1,
            b'H' | b'h' => 2,
            b'f' => 4,
            b'L' | b'l' | b'T' | b'd' => 8,
            b'c' => self.number(1)?,
            b'i' | b'I' => {
                let size = self.number(4)?;
                if size > MAX_INTEGER_BYTES {
                    let text =
                        format!("integral size {size} is larger than limit of {MAX_INTEGER_BYTES}");
                    return Err(self.args.fail(text).into());
                }
                size
            }
            _ => 0,
        };
        let size = usize::try_from(size).unwrap_or(0);
        Ok(Some(Item {
            option: *option,
            size,
        }))
    }

    /// A number at this place of the format, or `default`.
    fn number(&mut self, default: i32) -> Result<i32> {
        let digits = self
            .rest
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        if digits == 0 {
            return Ok(default);
        }
        let (number, rest) = self.rest.split_at(digits);
        self.rest = rest;
        let number = number.iter().try_fold(0i32, |number, digit| {
            number.checked_mul(10)?.checked_add(i32::from(digit - b'0'))
        });
        number.ok_or_else(|| self.args.fail("integral size overflow").into())
    }

    /// Bytes to skip so that the item at `at` is aligned.
    fn padding(&self, at: usize, item: Item) -> usize {
        if item.size == 0 || item.option == b'c' {
            return 0;
        }
        // Sizes that are no power of two align as the mask happens to fall.
        let mask = item.size.min(self.align) - 1;
        (mask + 1).wrapping_sub(at & mask) & mask
    }

    /// Byte order, alignment, blanks; anything else is unknown.
    fn control(&mut self, option: u8) -> Result<()> {
        match option {
            b' ' => {}
            b'>' => self.big_endian = true,
            b'<' => self.big_endian = false,
            b'!' => {
                let align = self.number(NATURAL_ALIGNMENT)?;
                if align <= 0 || align & (align - 1) != 0 {
                    let text = format!("alignment {align} is not a power of 2");
                    return Err(self.args.fail(text).into());
                }
                self.align = usize::try_from(align).unwrap_or(1);
            }
            unknown => {
                let mut text = b"invalid format option '".to_vec();
                text.extend_from_slice(&[unknown, b'\'']);
                return Err(self.args.bad(1, text).into());
            }
        }
        Ok(())
    }
}

fn pack(context: &Context, args: &Args<'_>) -> Result<mlua::LuaString> {
    let format = args.string(1)?;
    let format = format.as_bytes();
    let mut format = Format::new(args, &format);
    let mut position = 2;
    let mut packed = Vec::new();
    while let Some(item) = format.next()? {
        context.step()?;
        packed.resize(packed.len() + format.padding(packed.len(), item), 0);
        match item.option {
            b'b' | b'B' | b'h' | b'H' | b'l' | b'L' | b'T' | b'i' | b'I' => {
                let number = args.number(position)?;
                position += 1;
                append_integer(&mut packed, number, item.size, format.big_endian);
            }
            b'x' => packed.push(0),
            b'f' => {
                #[expect(clippy::cast_possible_truncation, reason = "a float holds less")]
                let number = args.number(position)? as f32;
                position += 1;
                append_ordered(&mut packed, &number.to_le_bytes(), format.big_endian);
            }
            b'd' => {
                let number = args.number(position)?;
                position += 1;
                append_ordered(&mut packed, &number.to_le_bytes(), format.big_endian);
            }
            b'c' | b's' => {
                let text = args.string(position)?;
                let text = text.as_bytes();
                // The library has counted on before it complains.
                position += 1;
                let size = if item.size == 0 {
                    text.len()
                } else {
                    item.size
                };
                let text = text
                    .get(..size)
                    .ok_or_else(|| args.bad(position, "string too short"))?;
                context.check_room(args.lua, packed.len() + text.len())?;
                context.work(text.len())?;
                packed.extend_from_slice(text);
                if item.option == b's' {
                    packed.push(0);
                }
            }
            control => format.control(control)?,
        }
    }
    context.string(args.lua, &packed)
}

/// The low bytes of an integer. Beyond eight there is nothing but zeros.
fn append_integer(packed: &mut Vec<u8>, number: f64, size: usize, big_endian: bool) {
    let bits = if number < 0.0 {
        to_i64(number).cast_unsigned()
    } else {
        to_u64(number)
    };
    let mut bytes = [0; MAX_INTEGER_BYTES as usize];
    bytes[..8].copy_from_slice(&bits.to_le_bytes());
    append_ordered(packed, &bytes[..size], big_endian);
}

fn append_ordered(packed: &mut Vec<u8>, little_endian: &[u8], big_endian: bool) {
    if big_endian {
        packed.extend(little_endian.iter().rev());
    } else {
        packed.extend_from_slice(little_endian);
    }
}

fn unpack(context: &Context, args: &Args<'_>) -> Result<MultiValue> {
    let format = args.string(1)?;
    let format = format.as_bytes();
    let data = args.string(2)?;
    let data = data.as_bytes();
    let start = args.optional_integer(3, 1)?;
    let start = usize::try_from(start.saturating_sub(1));
    let mut at = start.map_err(|_| args.bad(3, "offset must be 1 or greater"))?;
    let mut format = Format::new(args, &format);
    let mut values: Vec<Value> = Vec::new();
    while let Some(item) = format.next()? {
        context.step()?;
        at = at.saturating_add(format.padding(at, item));
        let rest = data.get(at..).filter(|rest| rest.len() >= item.size);
        let rest = rest.ok_or_else(|| args.bad(2, "data string too short"))?;
        if values.len() >= MAX_RESULTS {
            return Err(args.fail("stack overflow (too many results)").into());
        }
        let bytes = &rest[..item.size];
        let mut size = item.size;
        match item.option {
            b'b' | b'h' | b'l' | b'i' => {
                values.push(Value::Number(read_signed(bytes, format.big_endian)));
            }
            b'B' | b'H' | b'L' | b'T' | b'I' => {
                values.push(Value::Number(read_unsigned(bytes, format.big_endian)));
            }
            b'x' => {}
            b'f' => values.push(Value::Number(f64::from(f32::from_le_bytes(ordered(
                bytes,
                format.big_endian,
            ))))),
            b'd' => values.push(Value::Number(f64::from_le_bytes(ordered(
                bytes,
                format.big_endian,
            )))),
            b'c' => {
                if size == 0 {
                    size = previous_size(args, &mut values)?;
                }
                let text = rest
                    .get(..size)
                    .ok_or_else(|| args.bad(2, "data string too short"))?;
                context.work(text.len())?;
                values.push(Value::String(args.lua.create_string(text)?));
            }
            b's' => {
                let end = memchr::memchr(0, rest)
                    .ok_or_else(|| args.fail("unfinished string in data"))?;
                context.work(end)?;
                values.push(Value::String(args.lua.create_string(&rest[..end])?));
                size = end + 1;
            }
            control => format.control(control)?,
        }
        at = at.saturating_add(size);
    }
    values.push(Value::Integer(
        i64::try_from(at).unwrap_or(i64::MAX).saturating_add(1),
    ));
    Ok(MultiValue::from_vec(values))
}

/// `c0` takes its size from the value read before it, which does not count as a result then. Before the first one
/// stands the data itself.
fn previous_size(args: &Args<'_>, values: &mut Vec<Value>) -> Result<usize> {
    let previous = values.last().cloned().unwrap_or_else(|| args.value(2));
    let size = args
        .lua
        .coerce_number(previous)?
        .filter(|_| !values.is_empty());
    let size = size.ok_or_else(|| args.fail("format 'c0' needs a previous size"))?;
    values.pop();
    usize::try_from(to_i64(size)).map_err(|_| args.bad(2, "data string too short").into())
}

/// Bytes as a little-endian array.
fn ordered<const SIZE: usize>(bytes: &[u8], big_endian: bool) -> [u8; SIZE] {
    let mut array = [0; SIZE];
    array.copy_from_slice(bytes);
    if big_endian {
        array.reverse();
    }
    array
}

/// The low eight bytes of an integer of any width.
fn low_bits(bytes: &[u8], big_endian: bool) -> u64 {
    let shift_in = |bits: u64, byte: &u8| bits << 8 | u64::from(*byte);
    if big_endian {
        bytes.iter().fold(0, shift_in)
    } else {
        bytes.iter().rev().fold(0, shift_in)
    }
}

#[expect(clippy::cast_precision_loss, reason = "Lua has no other numbers")]
fn read_unsigned(bytes: &[u8], big_endian: bool) -> f64 {
    low_bits(bytes, big_endian) as f64
}

/// The sign is extended from the integer's own width, modulo 64 bits, as the C library's shift does on x86.
#[expect(clippy::cast_precision_loss, reason = "Lua has no other numbers")]
fn read_signed(bytes: &[u8], big_endian: bool) -> f64 {
    let bits = low_bits(bytes, big_endian);
    let sign_bit = u32::try_from(bytes.len() * 8).unwrap_or(0).wrapping_sub(1);
    let mask = u64::MAX.wrapping_shl(sign_bit);
    let bits = if bits & mask == 0 { bits } else { bits | mask };
    bits.cast_signed() as f64
}

/// How many bytes a format packs to, where that does not depend on the values.
fn size(context: &Context, args: &Args<'_>) -> Result<i64> {
    let format = args.string(1)?;
    let format = format.as_bytes();
    let mut format = Format::new(args, &format);
    let mut at = 0usize;
    while let Some(item) = format.next()? {
        context.step()?;
        at = at.saturating_add(format.padding(at, item));
        match (item.option, item.size) {
            (b's', _) => return Err(args.bad(1, "option 's' has no fixed size").into()),
            (b'c', 0) => return Err(args.bad(1, "option 'c0' has no fixed size").into()),
            (option, _) if !option.is_ascii_alphanumeric() => format.control(option)?,
            _ => {}
        }
        at = at.saturating_add(item.size);
    }
    Ok(i64::try_from(at).unwrap_or(i64::MAX))
}
