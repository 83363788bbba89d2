//! RESP2 as a codec: requests are encoded, replies are decoded piece by piece.
//!
//! The decoder keeps its place between calls (open arrays, the length of a string that is still arriving, how
//! far a line was searched), so a large reply is read in time linear in its size however small the pieces.
//! Nothing is allocated from a declared length: memory grows with the bytes that really came.

use std::io;

use bytes::{Buf as _, BytesMut};
use thiserror::Error;
use tokio_util::codec::{Decoder, Encoder};

use crate::{Command, Value};

/// What a reply may declare. The defaults are those of a server's own limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest status, error, number or header line, in bytes without its end.
    pub line_bytes: usize,
    /// Longest bulk string, in bytes.
    pub bulk_bytes: usize,
    /// Most elements of one array.
    pub elements: usize,
    /// Deepest nesting of arrays.
    pub depth: usize,
    /// Most values in one whole reply, arrays counted too. It bounds what tiny elements cost in memory.
    pub values: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line_bytes: 64 * 1024,
            bulk_bytes: 512 * 1024 * 1024,
            elements: 16 * 1024 * 1024,
            depth: 64,
            values: 32 * 1024 * 1024,
        }
    }
}

/// Why the bytes of a peer are not a reply. The stream cannot be read on after it.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// The first byte of a reply is none of `+-:$*`.
    #[error("reply starts with byte 0x{0:02x}")]
    Kind(u8),
    /// A number or length is no decimal number.
    #[error("not a number: '{0}'")]
    Number(String),
    /// A bulk string does not end in CR LF where its length says.
    #[error("a string does not end where its length says")]
    Unterminated,
    /// Something is larger than [`Limits`] allows.
    #[error("{what} of {size} is over the limit of {limit}")]
    Limit {
        /// What is too large.
        what: &'static str,
        /// How large it is, or is known to be at least.
        size: u64,
        /// The limit it crossed.
        limit: usize,
    },
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Both directions of a connection: [`Command`]s out, [`Value`]s in.
#[derive(Debug, Default)]
pub struct Codec {
    limits: Limits,
    /// Arrays that have begun and not ended, outermost first.
    open: Vec<OpenArray>,
    /// Length of the bulk string whose header was read and whose bytes are still arriving.
    bulk: Option<usize>,
    /// How many bytes at the head of the buffer hold no line end.
    searched: usize,
    /// Values of the reply that is being read.
    values: usize,
}

#[derive(Debug)]
struct OpenArray {
    missing: usize,
    elements: Vec<Value>,
}

/// What one line (and for strings, its bytes) turned out to be.
enum Piece {
    Whole(Value),
    Array(usize),
}

impl Codec {
    /// A codec with other limits than the defaults.
    #[must_use]
    pub fn with_limits(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Takes the next complete line or string off `src`, or nothing when more bytes are needed.
    fn piece(&mut self, src: &mut BytesMut) -> Result<Option<Piece>, DecodeError> {
        if let Some(length) = self.bulk {
            return Ok(self.bulk_bytes(src, length)?.map(Piece::Whole));
        }
        let Some(line) = self.line(src)? else {
            return Ok(None);
        };
        let text = &line[1..];
        let piece = match line[0] {
            b'+' => Piece::Whole(Value::Status(lossy(text))),
            b'-' => Piece::Whole(Value::Error(lossy(text))),
            b':' => Piece::Whole(Value::Int(number(text)?)),
            b'$' => match length(text, "a string", self.limits.bulk_bytes)? {
                None => Piece::Whole(Value::Nil),
                Some(length) => {
                    self.bulk = Some(length);
                    return Ok(self.bulk_bytes(src, length)?.map(Piece::Whole));
                }
            },
            b'*' => match length(text, "an array", self.limits.elements)? {
                None => Piece::Whole(Value::Nil),
                Some(0) => Piece::Whole(Value::Array(Vec::new())),
                Some(count) => Piece::Array(count),
            },
            other => return Err(DecodeError::Kind(other)),
        };
        Ok(Some(piece))
    }

    /// A line without its end; never empty. A lone LF ends a line too, as servers write none but accept it.
    fn line(&mut self, src: &mut BytesMut) -> Result<Option<BytesMut>, DecodeError> {
        let Some(&kind) = src.first() else {
            return Ok(None);
        };
        if !matches!(kind, b'+' | b'-' | b':' | b'$' | b'*') {
            return Err(DecodeError::Kind(kind));
        }
        let end = src[self.searched..]
            .iter()
            .position(|&byte| byte == b'\n')
            .map(|at| self.searched + at);
        let size = end.unwrap_or(src.len());
        if size > self.limits.line_bytes.saturating_add(1) {
            return Err(DecodeError::Limit {
                what: "a line",
                size: size as u64,
                limit: self.limits.line_bytes,
            });
        }
        let Some(end) = end else {
            self.searched = src.len();
            return Ok(None);
        };
        self.searched = 0;
        let mut line = src.split_to(end + 1);
        line.truncate(end);
        if line.last() == Some(&b'\r') {
            line.truncate(end - 1);
        }
        Ok(Some(line))
    }

    fn bulk_bytes(
        &mut self,
        src: &mut BytesMut,
        length: usize,
    ) -> Result<Option<Value>, DecodeError> {
        if src.len() < length + 2 {
            return Ok(None);
        }
        if &src[length..length + 2] != b"\r\n" {
            return Err(DecodeError::Unterminated);
        }
        let bytes = src.split_to(length).freeze();
        src.advance(2);
        self.bulk = None;
        Ok(Some(Value::Bulk(bytes)))
    }

    /// Puts a finished value where it belongs; gives it back when it is a whole reply.
    fn place(&mut self, mut value: Value) -> Option<Value> {
        while let Some(array) = self.open.last_mut() {
            array.elements.push(value);
            array.missing -= 1;
            if array.missing > 0 {
                return None;
            }
            value = Value::Array(self.open.pop()?.elements);
        }
        self.values = 0;
        Some(value)
    }
}

impl Decoder for Codec {
    type Item = Value;
    type Error = DecodeError;

    fn decode(&mut self, src: &mut BytesMut) -> Result<Option<Value>, DecodeError> {
        while let Some(piece) = self.piece(src)? {
            self.values += 1;
            if self.values > self.limits.values {
                return Err(limit("a reply", self.values, self.limits.values));
            }
            match piece {
                Piece::Whole(value) => {
                    if let Some(reply) = self.place(value) {
                        return Ok(Some(reply));
                    }
                }
                Piece::Array(missing) => {
                    if self.open.len() >= self.limits.depth {
                        return Err(limit("nesting", self.open.len() + 1, self.limits.depth));
                    }
                    self.open.push(OpenArray {
                        missing,
                        elements: Vec::new(),
                    });
                }
            }
        }
        Ok(None)
    }
}

impl Encoder<Command> for Codec {
    type Error = io::Error;

    fn encode(&mut self, command: Command, out: &mut BytesMut) -> io::Result<()> {
        command.write_to(out);
        Ok(())
    }
}

fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn number(text: &[u8]) -> Result<i64, DecodeError> {
    let parsed = std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| DecodeError::Number(lossy(&text[..text.len().min(32)])))
}

/// A declared length: `None` for -1.
fn length(text: &[u8], what: &'static str, most: usize) -> Result<Option<usize>, DecodeError> {
    let declared = number(text)?;
    if declared == -1 {
        return Ok(None);
    }
    let size = u64::try_from(declared).map_err(|_| DecodeError::Number(lossy(text)))?;
    match usize::try_from(size) {
        Ok(length) if length <= most => Ok(Some(length)),
        _ => Err(DecodeError::Limit {
            what,
            size,
            limit: most,
        }),
    }
}

fn limit(what: &'static str, size: usize, limit: usize) -> DecodeError {
    DecodeError::Limit {
        what,
        size: size as u64,
        limit,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode_all(bytes: &[u8], step: usize) -> Result<Vec<Value>, DecodeError> {
        let mut codec = Codec::default();
        let mut buffer = BytesMut::new();
        let mut replies = Vec::new();
        for piece in bytes.chunks(step) {
            buffer.extend_from_slice(piece);
            while let Some(reply) = codec.decode(&mut buffer)? {
                replies.push(reply);
            }
        }
        assert!(buffer.is_empty(), "bytes left over: {buffer:?}");
        Ok(replies)
    }

    #[test]
    fn every_kind_in_pieces_of_every_size() {
        let wire = b"+OK\r\n-ERR no\r\n:-7\r\n$3\r\na\r\n\r\n$-1\r\n*-1\r\n*0\r\n*2\r\n*1\r\n:1\r\n$0\r\n\r\n";
        let expected = vec![
            Value::Status("OK".into()),
            Value::Error("ERR no".into()),
            Value::Int(-7),
            Value::Bulk("a\r\n".into()),
            Value::Nil,
            Value::Nil,
            Value::Array(vec![]),
            Value::Array(vec![
                Value::Array(vec![Value::Int(1)]),
                Value::Bulk("".into()),
            ]),
        ];
        for step in 1..=wire.len() {
            assert_eq!(
                decode_all(wire, step).unwrap(),
                expected,
                "pieces of {step}"
            );
        }
    }

    #[test]
    fn limits_hold() {
        let limits = Limits {
            line_bytes: 8,
            bulk_bytes: 4,
            elements: 3,
            depth: 2,
            values: 5,
        };
        let refused = |wire: &[u8]| {
            let mut codec = Codec::with_limits(limits);
            codec
                .decode(&mut BytesMut::from(wire))
                .unwrap_err()
                .to_string()
        };
        assert_eq!(
            refused(b"+123456789"),
            "a line of 10 is over the limit of 8"
        );
        assert_eq!(refused(b"$5\r\n"), "a string of 5 is over the limit of 4");
        assert_eq!(refused(b"*4\r\n"), "an array of 4 is over the limit of 3");
        assert_eq!(
            refused(b"*1\r\n*1\r\n*1\r\n"),
            "nesting of 3 is over the limit of 2"
        );
        assert_eq!(
            refused(b"*2\r\n*3\r\n:1\r\n:1\r\n:1\r\n:1\r\n"),
            "a reply of 6 is over the limit of 5"
        );
    }

    #[test]
    fn nonsense_is_refused() {
        let refused = |wire: &[u8]| {
            Codec::default()
                .decode(&mut BytesMut::from(wire))
                .unwrap_err()
                .to_string()
        };
        assert_eq!(refused(b"HTTP/1.1 400"), "reply starts with byte 0x48");
        assert_eq!(refused(b":12x\r\n"), "not a number: '12x'");
        assert_eq!(refused(b"$-5\r\n"), "not a number: '-5'");
        assert_eq!(
            refused(b"$1\r\nabc"),
            "a string does not end where its length says"
        );
        assert_eq!(
            refused(b"$99999999999999999999\r\n"),
            "not a number: '99999999999999999999'"
        );
    }

    #[test]
    fn a_declared_length_reserves_nothing() {
        let mut codec = Codec::default();
        let mut buffer = BytesMut::from(&b"*16777216\r\n$536870912\r\n"[..]);
        assert!(codec.decode(&mut buffer).unwrap().is_none());
        assert!(buffer.capacity() < 1024);
        assert_eq!(codec.open[0].elements.capacity(), 0);
    }
}
