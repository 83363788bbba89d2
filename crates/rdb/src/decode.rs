//! The format's primitives, read from an [`Input`]: lengths, strings in all their forms, doubles. No opcodes, no values.

use std::io::Read;

use crate::error::{Error, Place};
use crate::format::string_encoding;
use crate::input::Input;
use crate::lzf;

/// Buffers that one big value blew up are given back when they hold more than this.
const KEEP_BYTES: usize = 1 << 20;

/// A string as it stands in the file: bytes, or an integer that stands for its decimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Str<'a> {
    /// Bytes.
    Bytes(&'a [u8]),
    /// An integer.
    Int(i64),
}

impl<'a> Str<'a> {
    /// The bytes; an integer's digits are written into `scratch`.
    #[inline]
    pub fn bytes<'b>(&self, scratch: &'b mut itoa::Buffer) -> &'b [u8]
    where
        'a: 'b,
    {
        match *self {
            Self::Bytes(bytes) => bytes,
            Self::Int(value) => scratch.format(value).as_bytes(),
        }
    }

    /// The bytes, on their own.
    pub fn to_vec(&self) -> Vec<u8> {
        self.bytes(&mut itoa::Buffer::new()).to_vec()
    }
}

/// A length byte and what follows it: a length, or the number of a string encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Plain(u64),
    Encoded(u8),
}

/// An input with the buffers that strings need.
pub(crate) struct Decoder<R> {
    pub(crate) input: Input<R>,
    /// The last string that did not fit the input's buffer, or was expanded.
    long: Vec<u8>,
    /// A compressed string.
    packed: Vec<u8>,
}

/// Where a string was found.
enum Found {
    Buffered(usize),
    Long,
    Int(i64),
}

impl<R: Read> Decoder<R> {
    pub(crate) fn new(input: Input<R>) -> Self {
        Self {
            input,
            long: Vec::new(),
            packed: Vec::new(),
        }
    }

    /// An error at the offset that was reached.
    #[cold]
    pub(crate) fn corrupt(&self, what: &'static str) -> Error {
        Error::Corrupt {
            offset: self.input.offset(),
            what,
            place: Place::default(),
        }
    }

    /// A length.
    pub(crate) fn length(&mut self) -> Result<u64, Error> {
        match self.length_or_encoding()? {
            Length::Plain(length) => Ok(length),
            Length::Encoded(_) => {
                Err(self.corrupt("a string encoding stands where a length must be"))
            }
        }
    }

    #[inline]
    fn length_or_encoding(&mut self) -> Result<Length, Error> {
        let first = self.input.byte()?;
        let low = first & 0x3f;
        Ok(match first >> 6 {
            0 => Length::Plain(u64::from(low)),
            1 => Length::Plain(u64::from(u16::from_be_bytes([low, self.input.byte()?]))),
            2 => match low {
                0 => Length::Plain(u64::from(u32::from_be_bytes(self.input.array()?))),
                1 => Length::Plain(u64::from_be_bytes(self.input.array()?)),
                _ => return Err(self.corrupt("a length of an unknown form")),
            },
            _ => Length::Encoded(low),
        })
    }

    /// The next string. It lives in this decoder's buffers until the next call.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<Str<'_>, Error> {
        if self.long.capacity() > KEEP_BYTES || self.packed.capacity() > KEEP_BYTES {
            (self.long, self.packed) = (Vec::new(), Vec::new());
        }
        Ok(match self.find_string()? {
            Found::Buffered(len) => Str::Bytes(self.input.take(len)?),
            Found::Long => Str::Bytes(&self.long),
            Found::Int(value) => Str::Int(value),
        })
    }

    /// The next string's bytes, into `out` (cleared first).
    #[inline]
    pub(crate) fn string_into(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        if out.capacity() > KEEP_BYTES {
            *out = Vec::new();
        }
        out.clear();
        match self.length_or_encoding()? {
            Length::Plain(len) => self.input.take_into(len, out),
            Length::Encoded(string_encoding::LZF) => self.expand_into(out),
            Length::Encoded(encoding) => {
                let value = self.int(encoding)?;
                out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
                Ok(())
            }
        }
    }

    /// Passes over a string, checking its form.
    pub(crate) fn skip_string(&mut self) -> Result<(), Error> {
        match self.length_or_encoding()? {
            Length::Plain(len) => self.input.skip(len),
            Length::Encoded(string_encoding::LZF) => {
                let packed = self.length()?;
                self.length()?;
                self.input.skip(packed)
            }
            Length::Encoded(encoding) => self.int(encoding).map(drop),
        }
    }

    #[inline]
    fn find_string(&mut self) -> Result<Found, Error> {
        match self.length_or_encoding()? {
            Length::Plain(len) => match usize::try_from(len) {
                Ok(short) if self.input.fits(len) => Ok(Found::Buffered(short)),
                _ => {
                    self.long.clear();
                    self.input.take_into(len, &mut self.long)?;
                    Ok(Found::Long)
                }
            },
            Length::Encoded(string_encoding::LZF) => {
                let mut long = std::mem::take(&mut self.long);
                let expanded = self.expand_into(&mut long);
                self.long = long;
                expanded.map(|()| Found::Long)
            }
            Length::Encoded(encoding) => self.int(encoding).map(Found::Int),
        }
    }

    fn expand_into(&mut self, out: &mut Vec<u8>) -> Result<(), Error> {
        let (packed, len) = (self.length()?, self.length()?);
        self.packed.clear();
        self.input.take_into(packed, &mut self.packed)?;
        lzf::expand(&self.packed, len, out).map_err(|what| self.corrupt(what))
    }

    fn int(&mut self, encoding: u8) -> Result<i64, Error> {
        Ok(match encoding {
            string_encoding::INT8 => i64::from(i8::from_le_bytes(self.input.array()?)),
            string_encoding::INT16 => i64::from(i16::from_le_bytes(self.input.array()?)),
            string_encoding::INT32 => i64::from(i32::from_le_bytes(self.input.array()?)),
            _ => return Err(self.corrupt("a string of an unknown encoding")),
        })
    }

    /// A score as text behind its length byte, three values of which stand for what has no digits.
    pub(crate) fn text_score(&mut self) -> Result<f64, Error> {
        let score = match self.input.byte()? {
            255 => Some(f64::NEG_INFINITY),
            254 => Some(f64::INFINITY),
            253 => None,
            len => parse_score(self.input.take(usize::from(len))?),
        };
        score.ok_or_else(|| self.corrupt("a score is not a number"))
    }

    /// A score as a binary double.
    pub(crate) fn binary_score(&mut self) -> Result<f64, Error> {
        let score = f64::from_le_bytes(self.input.array()?);
        if score.is_nan() {
            Err(self.corrupt("a score is not a number"))
        } else {
            Ok(score)
        }
    }
}

/// A score written as text; `None` where it is no number.
pub(crate) fn parse_score(text: &[u8]) -> Option<f64> {
    let score: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
    (!score.is_nan()).then_some(score)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoder(bytes: &[u8]) -> Decoder<&[u8]> {
        Decoder::new(Input::with_buffer(bytes, 64))
    }

    #[test]
    fn lengths_of_every_form() {
        for (bytes, length) in [
            (&[0x3f][..], 63),
            (&[0x7f, 0xff], 16383),
            (&[0x80, 0, 1, 0, 0], 65536),
            (&[0x81, 0, 0, 0, 1, 0, 0, 0, 0], 1 << 32),
        ] {
            assert_eq!(decoder(bytes).length().unwrap(), length);
        }
        for bytes in [&[0x82, 0, 0, 0, 0][..], &[0xc0, 1], &[0x40], &[]] {
            assert!(decoder(bytes).length().is_err());
        }
    }

    #[test]
    fn strings_of_every_form() {
        assert_eq!(decoder(b"\x03abc").string().unwrap(), Str::Bytes(b"abc"));
        assert_eq!(decoder(&[0xc0, 0x85]).string().unwrap(), Str::Int(-123));
        assert_eq!(
            decoder(&[0xc1, 0x39, 0x30]).string().unwrap(),
            Str::Int(12345)
        );
        assert_eq!(
            decoder(&[0xc2, 0, 0, 0, 0x80]).string().unwrap(),
            Str::Int(i64::from(i32::MIN))
        );
        let packed = [0xc3, 4, 14, 0x00, b'a', 0xe0, 4, 0x00];
        assert!(decoder(&packed).string().is_err());
        let packed = [0xc3, 5, 14, 0x00, b'a', 0xe0, 4, 0x00];
        assert_eq!(decoder(&packed).string().unwrap(), Str::Bytes(&[b'a'; 14]));
        assert!(decoder(&[0xc4, 0]).string().is_err());
        let mut long = vec![0x40, 100];
        long.extend([b'z'; 100]);
        assert_eq!(decoder(&long).string().unwrap(), Str::Bytes(&[b'z'; 100]));
        assert!(decoder(&long[..90]).string().is_err());
    }

    #[test]
    fn scores_of_every_form() {
        assert_eq!(decoder(b"\x033.5").text_score().unwrap(), 3.5);
        assert_eq!(decoder(b"\xff").text_score().unwrap(), f64::NEG_INFINITY);
        assert_eq!(decoder(b"\xfe").text_score().unwrap(), f64::INFINITY);
        for bad in [&b"\xfd"[..], b"\x03nan", b"\x00", b"\x021x"] {
            assert!(decoder(bad).text_score().is_err());
        }
        assert!(decoder(&f64::NAN.to_le_bytes()).binary_score().is_err());
    }
}
