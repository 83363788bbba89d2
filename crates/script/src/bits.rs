//! The library `bit`: LuaBitOp's operations on 32-bit integers.

use mlua::{Lua, MultiValue, Result, Table};

use crate::args::Args;

/// Adding this leaves the low 32 bits of the rounded integer in the low bits of the sum's representation.
const ROUNDING: f64 = 6_755_399_441_055_744.0;

/// Two operands to one.
type Operation = fn(u32, u32) -> u32;

const FOLDS: [(&str, Operation); 3] = [
    ("band", |left, right| left & right),
    ("bor", |left, right| left | right),
    ("bxor", |left, right| left ^ right),
];

/// The second operand is below 32.
const SHIFTS: [(&str, Operation); 5] = [
    ("lshift", |bits, by| bits << by),
    ("rshift", |bits, by| bits >> by),
    ("arshift", |bits, by| {
        (bits.cast_signed() >> by).cast_unsigned()
    }),
    ("rol", u32::rotate_left),
    ("ror", u32::rotate_right),
];

/// One operand to one.
type UnaryOperation = fn(u32) -> u32;

const UNARY: [(&str, UnaryOperation); 3] = [
    ("tobit", |bits| bits),
    ("bnot", |bits| !bits),
    ("bswap", u32::swap_bytes),
];

/// Makes the library.
pub(crate) fn library(lua: &Lua) -> Result<Table> {
    let bit = lua.create_table()?;
    for (name, operation) in UNARY {
        let function = lua.create_function(move |lua, args: MultiValue| {
            let args = Args::new(lua, args);
            Ok(number(operation(bits(&args, 1)?)))
        })?;
        bit.raw_set(name, function)?;
    }
    for (name, operation) in FOLDS {
        let function = lua.create_function(move |lua, args: MultiValue| {
            let args = Args::new(lua, args);
            let mut result = bits(&args, 1)?;
            for position in (2..=args.len()).rev() {
                result = operation(result, bits(&args, position)?);
            }
            Ok(number(result))
        })?;
        bit.raw_set(name, function)?;
    }
    for (name, operation) in SHIFTS {
        let function = lua.create_function(move |lua, args: MultiValue| {
            let args = Args::new(lua, args);
            let operand = bits(&args, 1)?;
            Ok(number(operation(operand, bits(&args, 2)? & 31)))
        })?;
        bit.raw_set(name, function)?;
    }
    let to_hex = lua.create_function(|lua, args: MultiValue| to_hex(&Args::new(lua, args)))?;
    bit.raw_set("tohex", to_hex)?;
    Ok(bit)
}

/// The argument modulo 2^32. Fractions round to the nearest, ties to even.
fn bits(args: &Args<'_>, position: usize) -> Result<u32> {
    let number = args.number(position)?;
    let [b0, b1, b2, b3, ..] = (number + ROUNDING).to_bits().to_le_bytes();
    Ok(u32::from_le_bytes([b0, b1, b2, b3]))
}

/// Results are signed.
fn number(bits: u32) -> f64 {
    f64::from(bits.cast_signed())
}

/// As many hexadecimal digits as the second argument says, at most 8; upper case if it is negative.
fn to_hex(args: &Args<'_>) -> Result<String> {
    let bits_given = bits(args, 1)?;
    let digits = match args.at(2) {
        None => 8,
        Some(_) => bits(args, 2)?.cast_signed(),
    };
    let count = usize::try_from(digits.unsigned_abs().min(8)).unwrap_or(8);
    let all = if digits < 0 {
        format!("{bits_given:08X}")
    } else {
        format!("{bits_given:08x}")
    };
    Ok(all[8 - count..].to_owned())
}
