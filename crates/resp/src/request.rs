//! What a client sends: bytes cut into requests, requests into arguments. No argument is copied.
//!
//! A connection owns a small [`Parser`]; one [`Batch`] serves all connections of a thread. After a read,
//! [`Parser::cut_all`] finds every complete request at once, as places in the read buffer; the caller runs them one by
//! one, then drops the bytes that were cut. A request that is not whole yet stays at the start of the buffer, and the
//! parser remembers how far it came, so that a big request that arrives in pieces is never scanned twice.
//!
//! Memory grows only with bytes that have arrived, never with a length that was announced. The place where a request
//! ends, or where an error is found, does not depend on how the bytes were cut into reads.
//!
//! ```
//! use resp::{ArgsScratch, Batch, Parser};
//!
//! let (mut parser, mut batch, mut scratch) = (Parser::new(), Batch::default(), ArgsScratch::default());
//! let buffer = b"PING\r\n*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*1\r\n$4\r\nQU";
//! let cut = parser.cut_all(buffer, &mut batch).unwrap();
//! let mut args = scratch.take();
//! for index in 0..batch.len() {
//!     batch.args(index, buffer, &mut args);
//!     // run the command
//! }
//! assert_eq!(args, [b"GET".as_slice(), b"k"]);
//! scratch.put(args);
//! assert_eq!(&buffer[cut..], b"*1\r\n$4\r\nQU");
//! ```

use std::ops::Range;

use memchr::memchr;
use thiserror::Error;

use crate::{args, number};

/// A bulk of this many bytes or more is worth a read of its own ([`Parser::pending_bulk`]).
pub const BIG_BULK_BYTES: usize = 32 * 1024;

/// The length a line (an inline request, a count, a length) may have.
const MAX_LINE_BYTES: usize = 64 * 1024;
/// What an idle parser may keep allocated for the places of a partial request's arguments.
const KEPT_SPANS: usize = 16;
/// Vectors of the shared scratch structures are given back above this many elements.
const KEPT_SCRATCH: usize = 4096;

/// What one request may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Arguments in one request.
    pub arguments: u32,
    /// Bytes in one argument.
    pub bulk_bytes: u32,
    /// The client has not given its password yet: the limits are low, have their own error texts, and requests are
    /// cut one at a time, because the first may be the AUTH that lifts the limits for the next.
    pub unauthenticated: bool,
}

impl Limits {
    /// The limits of today.
    pub const NORMAL: Limits = Limits {
        arguments: i32::MAX.unsigned_abs(),
        bulk_bytes: 512 * 1024 * 1024,
        unauthenticated: false,
    };
    /// The limits of Redis 6.2 for a client that still has to authenticate.
    pub const UNAUTHENTICATED: Limits = Limits {
        arguments: 10,
        bulk_bytes: 16 * 1024,
        unauthenticated: true,
    };
}

/// Why a connection cannot be understood any further. Its text, after `ERR `, is the last reply before it is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ProtocolError {
    /// No end of line within 64 KB of an inline request.
    #[error("Protocol error: too big inline request")]
    TooBigInline,
    /// No end of line within 64 KB of `*`.
    #[error("Protocol error: too big mbulk count string")]
    TooBigCountString,
    /// No end of line within 64 KB where `$` was expected.
    #[error("Protocol error: too big bulk count string")]
    TooBigBulkString,
    /// The number after `*` is none, or is above 2^31 - 1.
    #[error("Protocol error: invalid multibulk length")]
    InvalidMultibulkLength,
    /// The number after `$` is none, is negative, or is above 512 MB.
    #[error("Protocol error: invalid bulk length")]
    InvalidBulkLength,
    /// Too many arguments for a client that has not authenticated.
    #[error("Protocol error: unauthenticated multibulk length")]
    UnauthenticatedMultibulkLength,
    /// Too long an argument for a client that has not authenticated.
    #[error("Protocol error: unauthenticated bulk length")]
    UnauthenticatedBulkLength,
    /// An argument of a multibulk request starts with another byte than `$`.
    #[error("Protocol error: expected '$', got '{}'", char::from(*.0))]
    ExpectedDollar(u8),
    /// An inline request leaves a quote open, or has text right after a closing one.
    #[error("Protocol error: unbalanced quotes in request")]
    UnbalancedQuotes,
    /// A length or an argument does not end with CR and LF.
    #[error("Protocol error: invalid CRLF in request")]
    InvalidLineEnd,
    /// More than 4 GB wait in the buffer; places in it are kept as 32-bit numbers.
    #[error("Protocol error: too big query buffer")]
    TooBigBuffer,
}

impl ProtocolError {
    /// The bytes for the wire, without `ERR `. They differ from the displayed text only where a client's own byte that
    /// is not ASCII is quoted.
    #[must_use]
    pub fn text(&self) -> Vec<u8> {
        match self {
            ProtocolError::ExpectedDollar(byte) => {
                [b"Protocol error: expected '$', got '", &[*byte][..], b"'"].concat()
            }
            other => other.to_string().into_bytes(),
        }
    }
}

/// Finds the requests in a connection's bytes; see the [module](self).
#[derive(Debug)]
pub struct Parser {
    limits: Limits,
    /// What is known of the request at the start of the buffer. All zero when nothing is.
    progress: Progress,
    /// Its complete arguments, as places counted from its start. Used only once it has proved to be partial.
    partial: Vec<Span>,
}

/// How far the parser is in the request that it works on. Places count from the start of that request.
#[derive(Debug, Default)]
struct Progress {
    kind: Kind,
    /// The first byte that belongs to no complete line or argument.
    at: usize,
    /// Bytes after `at` that are known to hold no end of line.
    scanned: usize,
    arguments_left: u32,
    /// The length of the argument at `at`, once its `$` line was read.
    bulk: Option<u32>,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Kind {
    #[default]
    Unknown,
    Inline,
    Multibulk,
}

/// An argument that is on its way and is worth a read of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingBulk {
    /// Which argument of its request it is; 0 is the command's name.
    pub argument: usize,
    /// Its length in bytes.
    pub bytes: usize,
    /// Where it starts, counted from the start of its request.
    pub start: usize,
}

impl PendingBulk {
    /// How many bytes are still to be read until the argument and its line end are whole, when `buffered` bytes have
    /// been read from the start of its request.
    #[must_use]
    pub fn missing(&self, buffered: usize) -> usize {
        (self.start + self.bytes + 2).saturating_sub(buffered)
    }
}

impl Default for Parser {
    fn default() -> Self {
        Self::new()
    }
}

impl Parser {
    /// A parser at the start of a request, with [`Limits::NORMAL`].
    #[must_use]
    pub const fn new() -> Self {
        let progress = Progress {
            kind: Kind::Unknown,
            at: 0,
            scanned: 0,
            arguments_left: 0,
            bulk: None,
        };
        Parser {
            limits: Limits::NORMAL,
            progress,
            partial: Vec::new(),
        }
    }

    /// Sets the limits for what is read from now on.
    pub fn set_limits(&mut self, limits: &Limits) {
        self.limits = *limits;
    }

    /// Forgets a partial request. For a caller that gives back bytes it had cut, or drops the buffer.
    pub fn reset(&mut self) {
        self.progress = Progress::default();
        self.partial = Vec::new();
    }

    /// Whether the start of a request is known whose end is not here yet.
    #[must_use]
    pub fn is_partial(&self) -> bool {
        self.progress.kind != Kind::Unknown
    }

    /// Cuts all complete requests (one, for an unauthenticated client) off the start of `buffer` into `batch`, which is
    /// cleared first. Returns how many bytes were cut; the caller drops them from the buffer before the next call.
    ///
    /// Bytes may be cut without a request: empty lines, `*0`, `*-1`.
    ///
    /// # Errors
    ///
    /// [`ProtocolError`]. The batch still holds the requests before the error; they are run first, then the connection
    /// gets the error and is closed.
    pub fn cut_all(&mut self, buffer: &[u8], batch: &mut Batch) -> Result<usize, ProtocolError> {
        self.cut(
            buffer,
            batch,
            if self.limits.unauthenticated {
                1
            } else {
                usize::MAX
            },
        )
    }

    /// As [`cut_all`](Self::cut_all), but stops after `most` requests.
    ///
    /// # Errors
    ///
    /// As [`cut_all`](Self::cut_all).
    pub fn cut(
        &mut self,
        buffer: &[u8],
        batch: &mut Batch,
        most: usize,
    ) -> Result<usize, ProtocolError> {
        batch.clear();
        if u32::try_from(buffer.len()).is_err() {
            return Err(ProtocolError::TooBigBuffer);
        }
        let mut start = 0;
        loop {
            if !self.is_partial() {
                start = whole_requests(buffer, start, &self.limits, batch, most);
            }
            if start == buffer.len() || batch.requests.len() >= most {
                return Ok(start);
            }
            match self.next(buffer, start, batch)? {
                Some(length) => start += length,
                None => return Ok(start),
            }
        }
    }

    /// The argument that the partial request waits for, when it has [`BIG_BULK_BYTES`] or more.
    #[must_use]
    pub fn pending_bulk(&self) -> Option<PendingBulk> {
        let bytes = usize::try_from(self.progress.bulk?)
            .ok()
            .filter(|bytes| *bytes >= BIG_BULK_BYTES)?;
        Some(PendingBulk {
            argument: self.partial.len(),
            bytes,
            start: self.progress.at,
        })
    }

    /// Works on the request that starts at `start`, which need not be whole or usual; gives its length when it is complete.
    #[inline(never)]
    fn next(
        &mut self,
        buffer: &[u8],
        start: usize,
        batch: &mut Batch,
    ) -> Result<Option<usize>, ProtocolError> {
        let bytes = &buffer[start..];
        let resumed = self.is_partial();
        if !resumed {
            self.progress.kind = if bytes[0] == b'*' {
                Kind::Multibulk
            } else {
                Kind::Inline
            };
        }
        if self.progress.kind == Kind::Inline {
            return self.next_inline(bytes, start, batch);
        }
        if resumed {
            // Its arguments are collected aside and moved once: in the batch they would move with every read.
            if !self
                .progress
                .multibulk(bytes, 0, &self.limits, &mut self.partial)?
            {
                return Ok(None);
            }
            batch.spans.append(&mut self.partial);
            if self.partial.capacity() > KEPT_SPANS {
                self.partial = Vec::new();
            }
        } else if !self
            .progress
            .multibulk(bytes, start, &self.limits, &mut batch.spans)?
        {
            let found = batch.spans.drain(batch.complete_spans..);
            self.partial
                .extend(found.map(|span| span.moved_back(start)));
            return Ok(None);
        }
        let length = std::mem::take(&mut self.progress).at;
        batch.push(false, Span::new(start, length));
        Ok(Some(length))
    }

    fn next_inline(
        &mut self,
        bytes: &[u8],
        start: usize,
        batch: &mut Batch,
    ) -> Result<Option<usize>, ProtocolError> {
        let Some(end) = self
            .progress
            .line_end(bytes, b'\n', ProtocolError::TooBigInline)?
        else {
            return Ok(None);
        };
        self.progress = Progress::default();
        let line = &bytes[..end];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let Batch { spans, side, .. } = batch;
        args::split_into(line, side, |_, range| {
            spans.push(Span::new(range.start, range.len()));
        })
        .ok_or_else(|| {
            spans.truncate(batch.complete_spans);
            ProtocolError::UnbalancedQuotes
        })?;
        if line.is_empty() {
            batch.empty_lines += 1;
        }
        batch.push(true, Span::new(start, end + 1));
        Ok(Some(end + 1))
    }
}

impl Progress {
    /// Reads on in a multibulk request whose bytes so far are `bytes`; `base` is where it starts in the buffer.
    /// Returns whether it is complete.
    fn multibulk(
        &mut self,
        bytes: &[u8],
        base: usize,
        limits: &Limits,
        found: &mut Vec<Span>,
    ) -> Result<bool, ProtocolError> {
        if self.arguments_left == 0 {
            let Some(count) = self.count(bytes, limits)? else {
                return Ok(false);
            };
            self.arguments_left = count;
        }
        while self.arguments_left > 0 {
            let length = match self.bulk {
                Some(length) => length,
                None => match self.bulk_length(bytes, limits)? {
                    Some(length) => length,
                    None => return Ok(false),
                },
            };
            let bulk_bytes = length as usize;
            if bytes.len() - self.at < bulk_bytes + 2 {
                self.bulk = Some(length);
                return Ok(false);
            }
            if !bytes[self.at + bulk_bytes..].starts_with(b"\r\n") {
                return Err(ProtocolError::InvalidLineEnd);
            }
            found.push(Span::new(base + self.at, bulk_bytes));
            self.bulk = None;
            self.at += bulk_bytes + 2;
            self.arguments_left -= 1;
        }
        Ok(true)
    }

    /// Reads the `*` line. Zero and negative counts are empty requests.
    fn count(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<u32>, ProtocolError> {
        let (count, next) = if let Some(short) = short_length(&bytes[1..]) {
            (i64::from(short.0), 1 + short.1)
        } else {
            let Some(end) = self.line_end(bytes, b'\r', ProtocolError::TooBigCountString)? else {
                return Ok(None);
            };
            let count =
                number::parse_i64(&bytes[1..end]).ok_or(ProtocolError::InvalidMultibulkLength)?;
            (count, end + 2)
        };
        if count > i64::from(limits.arguments) {
            let low = limits.unauthenticated && count <= i64::from(Limits::NORMAL.arguments);
            return Err(if low {
                ProtocolError::UnauthenticatedMultibulkLength
            } else {
                ProtocolError::InvalidMultibulkLength
            });
        }
        (self.at, self.scanned) = (next, 0);
        Ok(Some(u32::try_from(count).unwrap_or(0)))
    }

    /// Reads the `$` line of the next argument.
    fn bulk_length(&mut self, bytes: &[u8], limits: &Limits) -> Result<Option<u32>, ProtocolError> {
        let line = &bytes[self.at..];
        let (length, used) = if line.first() == Some(&b'$')
            && let Some(short) = short_length(&line[1..])
        {
            (i64::from(short.0), 1 + short.1)
        } else {
            let ended = self.line_end(bytes, b'\r', ProtocolError::TooBigBulkString);
            // What the line begins with is told before how it ends.
            if matches!(ended, Ok(Some(_)) | Err(ProtocolError::InvalidLineEnd)) && line[0] != b'$'
            {
                return Err(ProtocolError::ExpectedDollar(line[0]));
            }
            let Some(end) = ended? else {
                return Ok(None);
            };
            // A line that is only its end cannot get here: `$` is its first byte.
            let length = number::parse_i64(&line[1..end - self.at])
                .ok_or(ProtocolError::InvalidBulkLength)?;
            (length, end - self.at + 2)
        };
        let length = u32::try_from(length).map_err(|_| ProtocolError::InvalidBulkLength)?;
        if length > limits.bulk_bytes {
            let low = limits.unauthenticated && length <= Limits::NORMAL.bulk_bytes;
            return Err(if low {
                ProtocolError::UnauthenticatedBulkLength
            } else {
                ProtocolError::InvalidBulkLength
            });
        }
        self.at += used;
        self.scanned = 0;
        Ok(Some(length))
    }

    /// Where the line at `at` ends: the place of `end`. A `\r` counts only with a byte after it.
    fn line_end(
        &mut self,
        bytes: &[u8],
        end: u8,
        too_big: ProtocolError,
    ) -> Result<Option<usize>, ProtocolError> {
        let line = &bytes[self.at..];
        let window = &line[..line.len().min(MAX_LINE_BYTES + 1)];
        match memchr(end, &window[self.scanned..]) {
            Some(found) => {
                self.scanned += found;
                match line.get(self.scanned + 1) {
                    _ if end == b'\n' => {}
                    None => return Ok(None),
                    Some(b'\n') => {}
                    Some(_) => return Err(ProtocolError::InvalidLineEnd),
                }
                Ok(Some(self.at + self.scanned))
            }
            None if line.len() > MAX_LINE_BYTES => Err(too_big),
            None => {
                self.scanned = line.len();
                Ok(None)
            }
        }
    }
}

/// Cuts usual requests off `buffer` from `start` on: all of each is here, and nothing about it is odd. Gives the place where the first
/// one starts that is not; the slow way, which can stop anywhere, reads it from there.
#[inline(never)]
fn whole_requests(
    buffer: &[u8],
    mut start: usize,
    limits: &Limits,
    batch: &mut Batch,
    most: usize,
) -> usize {
    while start < buffer.len() && batch.requests.len() < most {
        let Some(end) = whole_arguments(buffer, start, limits, &mut batch.spans) else {
            batch.spans.truncate(batch.complete_spans);
            break;
        };
        batch.push(false, Span::new(start, end - start));
        start = end;
    }
    start
}

/// The places of a usual request's arguments, and where it ends; `None` where it is none.
#[inline]
fn whole_arguments(
    buffer: &[u8],
    start: usize,
    limits: &Limits,
    found: &mut Vec<Span>,
) -> Option<usize> {
    let (count, used) = short_line(&buffer[start..], b'*')?;
    if count == 0 || count > limits.arguments {
        return None;
    }
    let mut at = start + used;
    for _ in 0..count {
        let (length, used) = short_line(buffer.get(at..)?, b'$')?;
        let bytes = length as usize;
        let end = at + used + bytes + 2;
        if end > buffer.len() || length > limits.bulk_bytes || buffer[end - 2..end] != *b"\r\n" {
            return None;
        }
        found.push(Span::new(at + used, bytes));
        at = end;
    }
    Some(at)
}

/// A line of `kind`, a number, and a line end: the number, and the bytes it took. One or two digits are the rule.
#[inline]
fn short_line(line: &[u8], kind: u8) -> Option<(u32, usize)> {
    match *line {
        [first, digit @ b'0'..=b'9', b'\r', b'\n', ..] if first == kind => {
            Some((u32::from(digit - b'0'), 4))
        }
        [
            first,
            ten @ b'1'..=b'9',
            one @ b'0'..=b'9',
            b'\r',
            b'\n',
            ..,
        ] if first == kind => Some((u32::from(ten - b'0') * 10 + u32::from(one - b'0'), 5)),
        _ => longer_line(line, kind),
    }
}

#[cold]
fn longer_line(line: &[u8], kind: u8) -> Option<(u32, usize)> {
    let number = line.strip_prefix(&[kind])?;
    let (number, used) = short_length(number)?;
    Some((number, used + 1))
}

/// The usual count or length line: up to seven digits and a line end. Gives the number and the bytes it took; `None`
/// is not an error, the slow way decides.
fn short_length(line: &[u8]) -> Option<(u32, usize)> {
    let mut value = 0;
    for (index, &byte) in line.iter().take(8).enumerate() {
        match byte {
            b'0'..=b'9' => value = value * 10 + u32::from(byte - b'0'),
            b'\r'
                if index > 0
                    && line.get(index + 1) == Some(&b'\n')
                    && (index == 1 || line[0] != b'0') =>
            {
                return Some((value, index + 2));
            }
            _ => return None,
        }
    }
    None
}

/// The requests of one read: places in the buffer that was given to [`Parser::cut_all`], to be read with that same
/// buffer.
#[derive(Debug, Default)]
pub struct Batch {
    requests: Vec<Request>,
    /// The arguments of all requests, one after the other.
    spans: Vec<Span>,
    /// How many spans belong to complete requests.
    complete_spans: usize,
    /// The unescaped arguments of inline requests.
    side: Vec<u8>,
    empty_lines: usize,
}

#[derive(Debug)]
struct Request {
    /// Where its arguments are among [`Batch::spans`], and how many there are.
    arguments: Span,
    wire: Span,
    inline: bool,
}

impl Batch {
    /// How many requests there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.requests.len()
    }

    /// Whether there is no request.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Fills `args` with the arguments of a request (never none). `args` is cleared first.
    ///
    /// # Panics
    ///
    /// When `index` is not below [`len`](Self::len), or `buffer` is shorter than the one that was cut.
    pub fn args<'a>(&'a self, index: usize, buffer: &'a [u8], args: &mut Vec<&'a [u8]>) {
        let request = &self.requests[index];
        let bytes = if request.inline { &self.side } else { buffer };
        args.clear();
        args.extend(
            self.spans[request.arguments.range()]
                .iter()
                .map(|span| &bytes[span.range()]),
        );
    }

    /// How many arguments a request has.
    ///
    /// # Panics
    ///
    /// When `index` is not below [`len`](Self::len).
    #[must_use]
    pub fn arg_count(&self, index: usize) -> usize {
        self.requests[index].arguments.length as usize
    }

    /// One argument of a request; `None` when it has not so many.
    ///
    /// # Panics
    ///
    /// As [`args`](Self::args).
    #[must_use]
    pub fn arg<'a>(&'a self, index: usize, argument: usize, buffer: &'a [u8]) -> Option<&'a [u8]> {
        let request = &self.requests[index];
        let bytes = if request.inline { &self.side } else { buffer };
        self.spans[request.arguments.range()]
            .get(argument)
            .map(|span| &bytes[span.range()])
    }

    /// The bytes of the buffer that a request took. Between two requests there may be bytes of empty ones.
    ///
    /// # Panics
    ///
    /// When `index` is not below [`len`](Self::len).
    #[must_use]
    pub fn wire(&self, index: usize) -> Range<usize> {
        self.requests[index].wire.range()
    }

    /// How many empty lines were cut. A replica sends them while it is busy loading, to show that it lives.
    #[must_use]
    pub fn empty_lines(&self) -> usize {
        self.empty_lines
    }

    /// Forgets the requests; keeps memory for an ordinary batch.
    pub fn clear(&mut self) {
        reuse(&mut self.requests);
        reuse(&mut self.spans);
        reuse(&mut self.side);
        self.complete_spans = 0;
        self.empty_lines = 0;
    }

    /// Makes a request of the spans that were added since the last one, if there are any. It took the bytes `wire`.
    fn push(&mut self, inline: bool, wire: Span) {
        let arguments = self.spans.len() - self.complete_spans;
        if arguments > 0 {
            self.requests.push(Request {
                arguments: Span::new(self.complete_spans, arguments),
                wire,
                inline,
            });
            self.complete_spans = self.spans.len();
        }
    }
}

fn reuse<T>(vector: &mut Vec<T>) {
    if vector.capacity() > KEPT_SCRATCH {
        *vector = Vec::new();
    } else {
        vector.clear();
    }
}

/// A place in a buffer, or in what was cut off it. Buffers of 4 GB and more are refused, so 32 bits do.
#[derive(Debug, Clone, Copy)]
struct Span {
    start: u32,
    length: u32,
}

impl Span {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "both lie inside a buffer whose length fits in 32 bits"
    )]
    fn new(start: usize, length: usize) -> Self {
        Span {
            start: start as u32,
            length: length as u32,
        }
    }

    fn range(self) -> Range<usize> {
        let start = self.start as usize;
        start..start + self.length as usize
    }

    fn moved_back(self, by: usize) -> Self {
        Span::new(self.range().start - by, self.length as usize)
    }
}

/// Lends out one allocation as a list of arguments, turn after turn, although each turn's arguments borrow from another
/// buffer.
#[derive(Debug, Default)]
pub struct ArgsScratch(Vec<&'static [u8]>);

impl ArgsScratch {
    /// An empty list, with the memory of the one that was [`put`](Self::put) back last.
    #[must_use]
    pub fn take<'a>(&mut self) -> Vec<&'a [u8]> {
        std::mem::take(&mut self.0)
    }

    /// Takes a list back for the next turn.
    pub fn put(&mut self, mut args: Vec<&[u8]>) {
        reuse(&mut args);
        // Nothing is left to map; the standard library turns this into a move of the allocation.
        self.0 = args.into_iter().map(|_| -> &'static [u8] { &[] }).collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Requests = Vec<Vec<Vec<u8>>>;

    /// Feeds `bytes` in pieces as a connection would; returns the requests, the error, and what was left over.
    fn feed(
        bytes: &[u8],
        cuts: &[usize],
        limits: &'static Limits,
    ) -> (Requests, Option<ProtocolError>, usize) {
        let (mut parser, mut batch) = (Parser::new(), Batch::default());
        parser.set_limits(limits);
        let (mut requests, mut buffer, mut rest) = (Vec::new(), Vec::new(), bytes);
        let mut cuts = cuts.iter().cycle();
        while !rest.is_empty() {
            let piece = cuts
                .next()
                .map_or(rest.len(), |cut| (*cut).clamp(1, rest.len()));
            buffer.extend_from_slice(&rest[..piece]);
            rest = &rest[piece..];
            loop {
                let cut = parser.cut_all(&buffer, &mut batch);
                let mut args = Vec::new();
                for index in 0..batch.len() {
                    batch.args(index, &buffer, &mut args);
                    assert_eq!(args.len(), batch.arg_count(index));
                    assert_eq!(batch.arg(index, 0, &buffer), args.first().copied());
                    requests.push(args.iter().map(|arg| arg.to_vec()).collect());
                }
                match cut {
                    Err(error) => return (requests, Some(error), buffer.len()),
                    Ok(0) => break,
                    Ok(cut) => drop(buffer.drain(..cut)),
                }
            }
        }
        (requests, None, buffer.len())
    }

    fn whole(bytes: &[u8]) -> (Requests, Option<ProtocolError>) {
        let (requests, error, _) = feed(bytes, &[], &Limits::NORMAL);
        (requests, error)
    }

    fn request(words: &[&str]) -> Vec<Vec<u8>> {
        words.iter().map(|word| word.as_bytes().to_vec()).collect()
    }

    #[test]
    fn cuts_both_kinds() {
        let bytes = b"PING\r\n*2\r\n$3\r\nGET\r\n$0\r\n\r\n\r\n*0\r\n*-10\r\nset k \"a b\\x41\" ''\n*1\r\n$4\r\nQUIT\r\n";
        let (requests, error, left) = feed(bytes, &[], &Limits::NORMAL);
        let expected = [
            request(&["PING"]),
            request(&["GET", ""]),
            request(&["set", "k", "a bA", ""]),
            request(&["QUIT"]),
        ];
        assert_eq!(requests, expected);
        assert_eq!((error, left), (None, 0));
    }

    #[test]
    fn tells_where_requests_lie_and_counts_empty_lines() {
        let (mut parser, mut batch) = (Parser::new(), Batch::default());
        let buffer = b"\r\n\nPING\r\n*0\r\n*1\r\n$4\r\nECHO\r\nGE";
        assert_eq!(parser.cut_all(buffer, &mut batch), Ok(buffer.len() - 2));
        assert_eq!((batch.wire(0), batch.wire(1)), (3..9, 13..27));
        assert_eq!(batch.empty_lines(), 2);
        assert!(parser.is_partial());
        parser.reset();
        assert_eq!(parser.cut(&buffer[3..], &mut batch, 1), Ok(6));
    }

    #[test]
    fn a_request_may_have_more_than_a_million_arguments() {
        let count = 1_500_000;
        let mut bytes = format!("*{count}\r\n").into_bytes();
        bytes.extend_from_slice(&b"$1\r\nx\r\n".repeat(count));
        let (mut parser, mut batch) = (Parser::new(), Batch::default());
        assert_eq!(parser.cut_all(&bytes, &mut batch), Ok(bytes.len()));
        let mut args = Vec::new();
        batch.args(0, &bytes, &mut args);
        assert_eq!((batch.len(), args.len()), (1, count));
    }

    #[test]
    fn refuses_with_the_texts_of_redis() {
        let long = |head: &str| [head.as_bytes(), &[b'1'; 70_000]].concat();
        let cases: Vec<(Vec<u8>, &str)> = vec![
            (vec![b'a'; 65_537], "too big inline request"),
            (
                [vec![b'a'; 70_000], b"\r\n".to_vec()].concat(),
                "too big inline request",
            ),
            (long("*"), "too big mbulk count string"),
            (long("*1\r\n$"), "too big bulk count string"),
            (b"*3000000000\r\n".to_vec(), "invalid multibulk length"),
            (b"*2147483648\r\n".to_vec(), "invalid multibulk length"),
            (
                b"*99999999999999999999\r\n".to_vec(),
                "invalid multibulk length",
            ),
            (b"*\r\n".to_vec(), "invalid multibulk length"),
            (b"*01\r\n".to_vec(), "invalid multibulk length"),
            (b"*+1\r\n".to_vec(), "invalid multibulk length"),
            (b"*\0\r\n".to_vec(), "invalid multibulk length"),
            (b"*1\r\n$-5\r\n".to_vec(), "invalid bulk length"),
            (b"*1\r\n$x\r\n".to_vec(), "invalid bulk length"),
            (b"*1\r\n$\r\n".to_vec(), "invalid bulk length"),
            (b"*1\r\n$536870913\r\n".to_vec(), "invalid bulk length"),
            (
                b"*1\r\n$9223372036854775807\r\n".to_vec(),
                "invalid bulk length",
            ),
            (
                b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\nfooz\r\n".to_vec(),
                "expected '$', got 'f'",
            ),
            (b"*1\r\n\r\n".to_vec(), "expected '$', got '\r'"),
            (b"*1\r\n:1\r$\r\n".to_vec(), "expected '$', got ':'"),
            (b"*1\r\n$1\rx\r\n".to_vec(), "invalid CRLF in request"),
            (b"set \"a\r\n".to_vec(), "unbalanced quotes in request"),
        ];
        for (bytes, text) in cases {
            let (requests, error) = whole(&[b"PING\r\n", &bytes[..]].concat());
            assert_eq!(
                requests,
                [request(&["PING"])],
                "requests before the error are kept"
            );
            assert_eq!(
                error.unwrap().text(),
                format!("Protocol error: {text}").into_bytes()
            );
        }
    }

    #[test]
    fn limits_before_authentication() {
        let limits = &Limits::UNAUTHENTICATED;
        assert_eq!(feed(b"*10\r\n", &[], limits).1, None);
        assert_eq!(
            feed(b"*11\r\n", &[], limits).1,
            Some(ProtocolError::UnauthenticatedMultibulkLength)
        );
        assert_eq!(feed(b"*1\r\n$16384\r\n", &[], limits).1, None);
        assert_eq!(
            feed(b"*1\r\n$16385\r\n", &[], limits).1,
            Some(ProtocolError::UnauthenticatedBulkLength)
        );
        assert_eq!(
            feed(b"*1048577\r\n", &[], limits).1,
            Some(ProtocolError::UnauthenticatedMultibulkLength)
        );
        assert_eq!(
            feed(b"*2147483648\r\n", &[], limits).1,
            Some(ProtocolError::InvalidMultibulkLength)
        );
        // The first request may be the AUTH that lifts the limits for the second.
        let (mut parser, mut batch) = (Parser::new(), Batch::default());
        parser.set_limits(limits);
        let buffer = b"AUTH x\r\n*11\r\n";
        assert_eq!(parser.cut_all(buffer, &mut batch), Ok(8));
        parser.set_limits(&Limits::NORMAL);
        assert_eq!(parser.cut_all(&buffer[8..], &mut batch), Ok(0));
    }

    #[test]
    fn announced_lengths_cost_nothing() {
        let (mut parser, mut batch) = (Parser::new(), Batch::default());
        assert_eq!(
            parser.cut_all(b"*1048576\r\n$536870912\r\n", &mut batch),
            Ok(0)
        );
        assert_eq!(parser.partial.capacity(), 0);
        assert!(batch.spans.capacity() < 64);
    }

    #[test]
    fn tells_what_a_big_argument_still_needs() {
        let (mut parser, mut batch) = (Parser::new(), Batch::default());
        let mut buffer = b"PING\r\n*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$40000\r\nabc".to_vec();
        let cut = parser.cut_all(&buffer, &mut batch).unwrap();
        buffer.drain(..cut);
        let pending = parser.pending_bulk().unwrap();
        assert_eq!((pending.argument, pending.bytes), (2, 40_000));
        assert_eq!(pending.missing(buffer.len()), 40_000 - 3 + 2);
        buffer.resize(buffer.len() + pending.missing(buffer.len()) - 2, b'x');
        buffer.extend_from_slice(b"\r\n");
        assert_eq!(parser.cut_all(&buffer, &mut batch), Ok(buffer.len()));
        assert_eq!(batch.arg(0, 2, &buffer).unwrap().len(), 40_000);
        assert_eq!(parser.pending_bulk(), None);
    }

    #[test]
    fn big_requests_in_small_pieces_are_scanned_once() {
        let mut bytes = b"*100000\r\n".to_vec();
        bytes.extend(b"$1\r\nx\r\n".repeat(100_000));
        // Quadratic scanning would take minutes here.
        let (requests, error, left) = feed(&bytes, &[5], &Limits::NORMAL);
        assert_eq!((requests[0].len(), error, left), (100_000, None, 0));
    }

    #[test]
    fn scratch_keeps_its_memory() {
        let mut scratch = ArgsScratch::default();
        let text = b"abc".to_vec();
        let mut args = scratch.take();
        args.extend(std::iter::repeat_n(&text[..], 100));
        scratch.put(args);
        assert!(scratch.take().capacity() >= 100);
    }

    /// Bytes that are nearly a stream of requests.
    fn stream() -> impl Strategy<Value = Vec<u8>> {
        let multibulk = prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..5)
            .prop_map(|args| {
                let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
                for arg in args {
                    bytes.extend(format!("${}\r\n", arg.len()).into_bytes());
                    bytes.extend(arg);
                    bytes.extend(b"\r\n");
                }
                bytes
            });
        let noise = prop::sample::select(vec![
            "\r\n",
            "*",
            "$",
            "*3\r\n",
            "$1\r\n",
            "-",
            "get \"k\"\n",
            "'",
            "*-1\r\n",
        ]);
        let piece =
            prop_oneof![8 => multibulk, 1 => noise.prop_map(|noise| noise.as_bytes().to_vec())];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn chunking_changes_nothing(bytes in stream(), cuts in prop::collection::vec(1usize..30, 1..8)) {
            prop_assert_eq!(feed(&bytes, &cuts, &Limits::NORMAL), {
                let whole = feed(&bytes, &[], &Limits::NORMAL);
                // After an error the connection is closed; what was buffered then does depend on the pieces.
                let left = if whole.1.is_some() { feed(&bytes, &cuts, &Limits::NORMAL).2 } else { whole.2 };
                (whole.0, whole.1, left)
            });
        }

        #[test]
        fn is_total(bytes: Vec<u8>, cuts in prop::collection::vec(1usize..30, 1..8)) {
            let _ = feed(&bytes, &cuts, &Limits::UNAUTHENTICATED);
        }
    }
}
