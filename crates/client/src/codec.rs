//! RESP as a codec: requests are encoded, replies are decoded piece by piece. All kinds of RESP2 and RESP3 are read;
//! attributes are read over, and the streamed kinds, which no server sends, are refused.
//!
//! The decoder keeps its place between calls (open arrays and maps, the length of a string that is still arriving, how
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
    /// Longest string, in bytes.
    pub bulk_bytes: usize,
    /// Most elements of one array or set; of a map, keys and values together.
    pub elements: usize,
    /// Deepest nesting of arrays, maps and sets.
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
    /// The first byte of a reply is not one that RESP knows.
    #[error("reply starts with byte 0x{0:02x}")]
    Kind(u8),
    /// A number or length is no decimal number.
    #[error("not a number: '{0}'")]
    Number(String),
    /// A line that is none of the few that its kind allows.
    #[error("not a {what}: '{text}'")]
    Line {
        /// What it should be.
        what: &'static str,
        /// How it begins.
        text: String,
    },
    /// A string does not end in CR LF where its length says.
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
    /// Arrays, maps and sets that have begun and not ended, outermost first.
    open: Vec<Open>,
    /// The string whose header was read and whose bytes are still arriving.
    bulk: Option<Text>,
    /// How many bytes at the head of the buffer hold no line end.
    searched: usize,
    /// Values of the reply that is being read.
    values: usize,
}

#[derive(Debug)]
struct Open {
    kind: Kind,
    missing: usize,
    elements: Vec<Value>,
}

/// What holds other values.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Array,
    Map,
    Set,
    Push,
    /// Read over: it says something about the value that follows it.
    Attribute,
}

/// A string with a declared length.
#[derive(Clone, Copy, Debug)]
struct Text {
    kind: TextKind,
    length: usize,
}

#[derive(Clone, Copy, Debug)]
enum TextKind {
    Bulk,
    Error,
    Verbatim,
}

/// What one line (and for strings, its bytes) turned out to be.
enum Piece {
    Whole(Value),
    Begin(Kind, usize),
    /// An attribute without content.
    Nothing,
}

impl Kind {
    fn finish(self, elements: Vec<Value>) -> Option<Value> {
        match self {
            Self::Array => Some(Value::Array(elements)),
            Self::Set => Some(Value::Set(elements)),
            Self::Push => Some(Value::Push(elements)),
            Self::Attribute => None,
            Self::Map => {
                let mut pairs = Vec::with_capacity(elements.len() / 2);
                let mut elements = elements.into_iter();
                while let (Some(key), Some(value)) = (elements.next(), elements.next()) {
                    pairs.push((key, value));
                }
                Some(Value::Map(pairs))
            }
        }
    }
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
        if let Some(text) = self.bulk {
            return Ok(self.text_bytes(src, text)?.map(Piece::Whole));
        }
        let Some(line) = self.line(src)? else {
            return Ok(None);
        };
        let text = &line[1..];
        let piece = match line[0] {
            b'+' => Piece::Whole(Value::Status(lossy(text))),
            b'-' => Piece::Whole(Value::Error(lossy(text))),
            b':' => Piece::Whole(Value::Int(number(text)?)),
            b'_' => Piece::Whole(Value::Nil),
            b',' => Piece::Whole(Value::Double(double(text)?)),
            b'#' => Piece::Whole(Value::Bool(truth(text)?)),
            b'(' => Piece::Whole(Value::BigNumber(big_number(text)?)),
            b'$' => return self.begin_text(src, text, TextKind::Bulk),
            b'!' => return self.begin_text(src, text, TextKind::Error),
            b'=' => return self.begin_text(src, text, TextKind::Verbatim),
            b'*' => self.begin(text, Kind::Array, "an array")?,
            b'%' => self.begin(text, Kind::Map, "a map")?,
            b'~' => self.begin(text, Kind::Set, "a set")?,
            b'>' => self.begin(text, Kind::Push, "a push")?,
            b'|' => self.begin(text, Kind::Attribute, "an attribute")?,
            other => return Err(DecodeError::Kind(other)),
        };
        Ok(Some(piece))
    }

    fn begin(&self, text: &[u8], kind: Kind, what: &'static str) -> Result<Piece, DecodeError> {
        let paired = matches!(kind, Kind::Map | Kind::Attribute);
        let most = self.limits.elements / if paired { 2 } else { 1 };
        Ok(match length(text, what, most)? {
            None => Piece::Whole(Value::Nil),
            Some(0) => kind.finish(Vec::new()).map_or(Piece::Nothing, Piece::Whole),
            Some(count) if paired => Piece::Begin(kind, count * 2),
            Some(count) => Piece::Begin(kind, count),
        })
    }

    fn begin_text(
        &mut self,
        src: &mut BytesMut,
        header: &[u8],
        kind: TextKind,
    ) -> Result<Option<Piece>, DecodeError> {
        match length(header, "a string", self.limits.bulk_bytes)? {
            None => Ok(Some(Piece::Whole(Value::Nil))),
            Some(length) => {
                let text = Text { kind, length };
                self.bulk = Some(text);
                Ok(self.text_bytes(src, text)?.map(Piece::Whole))
            }
        }
    }

    /// A line without its end; never empty. A lone LF ends a line too, as servers write none but accept it.
    fn line(&mut self, src: &mut BytesMut) -> Result<Option<BytesMut>, DecodeError> {
        let Some(&kind) = src.first() else {
            return Ok(None);
        };
        if !b"+-:$*_,#(!=%~>|".contains(&kind) {
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

    fn text_bytes(
        &mut self,
        src: &mut BytesMut,
        Text { kind, length }: Text,
    ) -> Result<Option<Value>, DecodeError> {
        if src.len() < length + 2 {
            return Ok(None);
        }
        if &src[length..length + 2] != b"\r\n" {
            return Err(DecodeError::Unterminated);
        }
        let mut bytes = src.split_to(length).freeze();
        src.advance(2);
        self.bulk = None;
        Ok(Some(match kind {
            TextKind::Bulk => Value::Bulk(bytes),
            TextKind::Error => Value::Error(lossy(&bytes)),
            TextKind::Verbatim => {
                if bytes.get(3) != Some(&b':') {
                    return Err(line_error("verbatim string", &bytes));
                }
                let format = lossy(&bytes[..3]);
                bytes.advance(4);
                Value::Verbatim {
                    format,
                    text: bytes,
                }
            }
        }))
    }

    /// Puts a finished value where it belongs; gives it back when it is a whole reply.
    fn place(&mut self, mut value: Value) -> Option<Value> {
        while let Some(open) = self.open.last_mut() {
            open.elements.push(value);
            open.missing -= 1;
            if open.missing > 0 {
                return None;
            }
            let Open { kind, elements, .. } = self.open.pop()?;
            // After an attribute comes the value that it speaks of.
            value = kind.finish(elements)?;
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
                Piece::Nothing => {}
                Piece::Begin(kind, missing) => {
                    if self.open.len() >= self.limits.depth {
                        return Err(limit("nesting", self.open.len() + 1, self.limits.depth));
                    }
                    self.open.push(Open {
                        kind,
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

/// The longest line of a double that is read.
const DOUBLE_BYTES: usize = 400;

fn double(text: &[u8]) -> Result<f64, DecodeError> {
    let parsed = std::str::from_utf8(text)
        .ok()
        .filter(|text| text.len() <= DOUBLE_BYTES)
        .and_then(|text| text.parse().ok());
    parsed.ok_or_else(|| line_error("double", text))
}

fn truth(text: &[u8]) -> Result<bool, DecodeError> {
    match text {
        b"t" => Ok(true),
        b"f" => Ok(false),
        _ => Err(line_error("boolean", text)),
    }
}

fn big_number(text: &[u8]) -> Result<String, DecodeError> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(line_error("big number", text));
    }
    Ok(lossy(text))
}

fn line_error(what: &'static str, text: &[u8]) -> DecodeError {
    DecodeError::Line {
        what,
        text: lossy(&text[..text.len().min(32)]),
    }
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
    fn every_kind_of_resp3_in_pieces_of_every_size() {
        let wire = b"_\r\n,1.5\r\n,-inf\r\n#t\r\n(-123456789012345678901234567890\r\n=7\r\ntxt:a\r\n\r\n!5\r\nERR x\r\n\
%2\r\n+a\r\n*1\r\n:1\r\n+b\r\n%0\r\n~1\r\n#f\r\n>2\r\n+invalidate\r\n_\r\n*2\r\n|1\r\n+ttl\r\n:5\r\n:1\r\n|0\r\n:2\r\n";
        let text = |text: &str| Value::Status(text.into());
        let expected = vec![
            Value::Nil,
            Value::Double(1.5),
            Value::Double(f64::NEG_INFINITY),
            Value::Bool(true),
            Value::BigNumber("-123456789012345678901234567890".into()),
            Value::Verbatim {
                format: "txt".into(),
                text: "a\r\n".into(),
            },
            Value::Error("ERR x".into()),
            Value::Map(vec![
                (text("a"), Value::Array(vec![Value::Int(1)])),
                (text("b"), Value::Map(vec![])),
            ]),
            Value::Set(vec![Value::Bool(false)]),
            Value::Push(vec![text("invalidate"), Value::Nil]),
            Value::Array(vec![Value::Int(1), Value::Int(2)]),
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
    fn an_attribute_belongs_to_the_reply_that_follows_it() {
        let wire = b"|1\r\n+a\r\n+b\r\n+OK\r\n";
        assert_eq!(decode_all(wire, 1).unwrap(), [Value::Status("OK".into())]);
    }

    #[test]
    fn maps_are_read_alike_in_both_protocols() {
        let two = Value::Array(vec![Value::Bulk("a".into()), Value::Int(1)]);
        let three = Value::Map(vec![(Value::Bulk("a".into()), Value::Int(1))]);
        for value in [two, three] {
            assert_eq!(value.field("a").and_then(Value::as_int), Some(1));
            assert_eq!(value.field("b"), None);
        }
        assert_eq!(Value::Bulk("1.5".into()).as_double(), Some(1.5));
        assert_eq!(Value::Int(1).as_bool(), Some(true));
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
        assert_eq!(refused(b"%2\r\n"), "a map of 2 is over the limit of 1");
        assert_eq!(refused(b"=5\r\n"), "a string of 5 is over the limit of 4");
        assert_eq!(
            refused(b"*1\r\n|1\r\n*1\r\n"),
            "nesting of 3 is over the limit of 2"
        );
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
        assert_eq!(refused(b"*?\r\n"), "not a number: '?'");
        assert_eq!(refused(b",x\r\n"), "not a double: 'x'");
        assert_eq!(refused(b"#y\r\n"), "not a boolean: 'y'");
        assert_eq!(refused(b"(1x\r\n"), "not a big number: '1x'");
        assert_eq!(refused(b"=2\r\nab\r\n"), "not a verbatim string: 'ab'");
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
