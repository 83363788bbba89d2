//! What a server answers: replies written one after the other into a buffer that a connection sends from.
//!
//! Small things are copied into one vector. A big value that is shared memory already ([`Bytes`]) is only referenced,
//! and goes out from where it lies. The sender reads the pending bytes as slices ([`Reply::chunks`], or [`bytes::Buf`],
//! which vectored writes understand) and says how many it got rid of ([`Reply::advance`]).
//!
//! Every verb of RESP3 is here ([`Reply::map`], [`Reply::set`], [`Reply::push`], [`Reply::bool`], …); a client that speaks
//! RESP2 gets the older shape of the same reply. Which of the two is the reply's [`Protocol`].
//!
//! A `Reply` is also a place to collect one answer for somebody else than a socket, a script for example:
//! [`Reply::flatten`] makes it one slice.

use std::collections::VecDeque;
use std::fmt::{self, Write as _};
use std::io::IoSlice;

use bytes::{Buf, Bytes};
use memchr::memchr2;

use crate::number;

/// From this size on [`Reply::bulk_bytes`] references a value instead of copying it.
pub const BIG_VALUE_BYTES: usize = 16 * 1024;

/// What an empty reply keeps allocated.
const KEPT_BYTES: usize = 16 * 1024;
/// The memory that a [`Spare`] holds, at most.
const SPARE_BYTES: usize = 1024 * 1024;
/// The pieces that it holds, at most.
const MOST_SPARE: usize = 256;
/// Sent bytes are moved out of the way when there are this many and they are most of the vector.
const COMPACT_BYTES: usize = 64 * 1024;
/// Room for the longest header: a type byte, twenty digits with a sign, a line end.
const HEADER_BYTES: usize = 24;

/// The version of the protocol that a client speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Protocol {
    /// RESP2, what every client speaks until it says `HELLO 3`.
    #[default]
    Resp2,
    /// RESP3
    Resp3,
}

/// Pending replies of one client; see the [module](self).
#[derive(Debug, Default)]
pub struct Reply {
    protocol: Protocol,
    buffer: Vec<u8>,
    /// What of `buffer` was sent already.
    sent: usize,
    /// Values that are sent between two bytes of `buffer`, in order.
    big: VecDeque<Big>,
    /// The sum of their lengths.
    big_bytes: usize,
}

/// Memory of replies that were sent, for the next ones. It holds a megabyte at most.
#[derive(Debug, Default)]
pub struct Spare {
    buffers: Vec<Vec<u8>>,
    /// The sum of their capacities.
    bytes: usize,
}

#[derive(Debug)]
struct Big {
    /// The value comes before this byte of `buffer`.
    at: usize,
    value: Bytes,
}

/// An array whose length is not known yet. To be given back to [`Reply::end_array`].
#[derive(Debug)]
#[must_use = "without end_array the client gets elements without their array"]
pub struct OpenArray {
    /// Where in the buffer the header goes.
    at: usize,
    /// Bytes that were left free for it there.
    gap: usize,
}

/// Writing.
impl Reply {
    /// An empty reply. Allocates nothing yet.
    #[must_use]
    pub const fn new() -> Self {
        Self::speaking(Protocol::Resp2)
    }

    /// An empty reply in this version of the protocol. Allocates nothing yet.
    #[must_use]
    pub const fn speaking(protocol: Protocol) -> Self {
        Reply {
            protocol,
            buffer: Vec::new(),
            sent: 0,
            big: VecDeque::new(),
            big_bytes: 0,
        }
    }

    /// The version of the protocol that is written.
    #[must_use]
    #[inline]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// From now on writes this version of the protocol. What was written stays as it is.
    pub fn set_protocol(&mut self, protocol: Protocol) {
        self.protocol = protocol;
    }

    #[inline]
    fn is_resp3(&self) -> bool {
        self.protocol == Protocol::Resp3
    }

    /// `+OK`.
    pub fn ok(&mut self) {
        self.raw(b"+OK\r\n");
    }

    /// A status: `+text`. Line ends in the text become spaces.
    pub fn status(&mut self, text: impl AsRef<[u8]>) {
        self.line(b"+", text.as_ref());
    }

    /// An error that brings its own code: `-WRONGTYPE Operation …`. Line ends in the text become spaces.
    pub fn error(&mut self, text: impl AsRef<[u8]>) {
        self.line(b"-", text.as_ref());
    }

    /// An error with the general code: `-ERR text`. Line ends in the text become spaces.
    pub fn err(&mut self, text: impl AsRef<[u8]>) {
        self.line(b"-ERR ", text.as_ref());
    }

    /// An integer.
    pub fn int(&mut self, value: i64) {
        match value {
            0 => self.raw(b":0\r\n"),
            1 => self.raw(b":1\r\n"),
            _ => self.header(b':', value),
        }
    }

    /// A length or count as an integer; what exceeds an `i64` is capped.
    pub fn count(&mut self, value: usize) {
        self.int(i64::try_from(value).unwrap_or(i64::MAX));
    }

    /// A bulk string, copied.
    pub fn bulk(&mut self, value: impl AsRef<[u8]>) {
        let value = value.as_ref();
        self.buffer.reserve(value.len() + HEADER_BYTES + 2);
        self.length(b'$', value.len());
        self.buffer.extend_from_slice(value);
        self.buffer.extend_from_slice(b"\r\n");
    }

    /// A bulk string out of shared memory: from [`BIG_VALUE_BYTES`] on it is referenced, not copied.
    pub fn bulk_bytes(&mut self, value: Bytes) {
        if value.len() < BIG_VALUE_BYTES {
            self.bulk(&value);
            return;
        }
        self.length(b'$', value.len());
        self.big_bytes += value.len();
        self.big.push_back(Big {
            at: self.buffer.len(),
            value,
        });
        self.buffer.extend_from_slice(b"\r\n");
    }

    /// A bulk string that holds a decimal integer.
    pub fn bulk_int(&mut self, value: i64) {
        self.bulk(itoa::Buffer::new().format(value));
    }

    /// A bulk string that holds what `text` prints.
    pub fn bulk_display(&mut self, text: impl fmt::Display) {
        // The length comes first, so the text needs a place of its own.
        self.bulk(text.to_string());
    }

    /// A double with the fewest digits that keep its value: `inf`, `-inf`, `3`, `0.1`. In RESP2 a bulk string.
    pub fn double(&mut self, value: f64) {
        let mut digits = number::DoubleBuffer::new();
        let digits = digits.format(value);
        if self.is_resp3() {
            self.line(b",", digits.as_bytes());
        } else {
            self.bulk(digits);
        }
    }

    /// A double that is written already, as [`double`](Self::double).
    pub fn double_text(&mut self, digits: impl AsRef<[u8]>) {
        if self.is_resp3() {
            self.line(b",", digits.as_ref());
        } else {
            self.bulk(digits);
        }
    }

    /// True or false; in RESP2 the integers 1 and 0.
    pub fn bool(&mut self, value: bool) {
        if self.is_resp3() {
            self.raw(if value { b"#t\r\n" } else { b"#f\r\n" });
        } else {
            self.int(value.into());
        }
    }

    /// An integer of any size, as decimal digits; in RESP2 a bulk string.
    pub fn big_number(&mut self, digits: impl AsRef<[u8]>) {
        if self.is_resp3() {
            self.line(b"(", digits.as_ref());
        } else {
            self.bulk(digits);
        }
    }

    /// A text in a format that three letters name (`txt`, `mkd`); in RESP2 a bulk string.
    pub fn verbatim(&mut self, format: &str, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        if self.is_resp3() {
            debug_assert_eq!(format.len(), 3, "three letters name a format");
            self.length(b'=', text.len() + 4);
            self.raw(format.as_bytes());
            self.raw(b":");
            self.raw(text);
            self.raw(b"\r\n");
        } else {
            self.bulk(text);
        }
    }

    /// The missing bulk string: `$-1`, in RESP3 the null `_`.
    pub fn nil(&mut self) {
        self.raw(if self.is_resp3() {
            b"_\r\n"
        } else {
            b"$-1\r\n"
        });
    }

    /// The missing array: `*-1`, in RESP3 the null `_`.
    pub fn null_array(&mut self) {
        self.raw(if self.is_resp3() {
            b"_\r\n"
        } else {
            b"*-1\r\n"
        });
    }

    /// The head of a map; `pairs` times a key and its value follow as replies of their own. In RESP2 an array of both.
    pub fn map(&mut self, pairs: usize) {
        if self.is_resp3() {
            self.length(b'%', pairs);
        } else {
            self.length(b'*', pairs.saturating_mul(2));
        }
    }

    /// The head of a set; its `length` members follow as replies of their own. In RESP2 an array.
    pub fn set(&mut self, length: usize) {
        self.length(if self.is_resp3() { b'~' } else { b'*' }, length);
    }

    /// The head of a push message: data that no request asked for. In RESP2 an array.
    pub fn push(&mut self, length: usize) {
        self.length(if self.is_resp3() { b'>' } else { b'*' }, length);
    }

    /// The head of an array; its `length` elements follow as replies of their own.
    pub fn array(&mut self, length: usize) {
        self.length(b'*', length);
    }

    /// Starts an array whose length is known only after its elements were written. Nothing may be sent before
    /// [`end_array`](Self::end_array).
    pub fn begin_array(&mut self) -> OpenArray {
        // At the very front the header can be put right before the elements whatever its length; elsewhere the elements
        // move by the header's length.
        let gap = if self.is_empty() { HEADER_BYTES } else { 0 };
        let at = self.buffer.len();
        self.buffer.resize(at + gap, 0);
        OpenArray { at, gap }
    }

    /// Ends an array: writes its head before its elements.
    ///
    /// Arrays may nest; the inner one ends first.
    pub fn end_array(&mut self, array: OpenArray, length: usize) {
        self.end(b'*', array, length);
    }

    /// As [`end_array`](Self::end_array), for a map of `pairs` keys and values.
    pub fn end_map(&mut self, map: OpenArray, pairs: usize) {
        if self.is_resp3() {
            self.end(b'%', map, pairs);
        } else {
            self.end(b'*', map, pairs.saturating_mul(2));
        }
    }

    /// As [`end_array`](Self::end_array), for a set.
    pub fn end_set(&mut self, set: OpenArray, length: usize) {
        self.end(if self.is_resp3() { b'~' } else { b'*' }, set, length);
    }

    #[expect(clippy::needless_pass_by_value, reason = "an array ends once")]
    fn end(&mut self, kind: u8, array: OpenArray, length: usize) {
        let mut header = Header::new();
        let header = header.write(kind, i64::try_from(length).unwrap_or(i64::MAX));
        if array.gap > 0 {
            let start = array.at + array.gap - header.len();
            self.buffer[start..array.at + array.gap].copy_from_slice(header);
            self.sent = start;
            return;
        }
        self.buffer
            .splice(array.at..array.at, header.iter().copied());
        for big in self
            .big
            .iter_mut()
            .rev()
            .take_while(|big| big.at > array.at)
        {
            big.at += header.len();
        }
    }

    /// Bytes that are replies already.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Another collected reply, after what is here.
    pub fn append(&mut self, mut other: Reply) {
        if self.is_empty() {
            other.protocol = self.protocol;
            *self = other;
            return;
        }
        let (sent, end) = (other.sent, self.buffer.len());
        self.buffer.extend_from_slice(&other.buffer[sent..]);
        self.big_bytes += other.big_bytes;
        self.big.extend(other.big.drain(..).map(|big| Big {
            at: big.at - sent + end,
            value: big.value,
        }));
    }

    /// Adds what another one has. That is left empty, and where there is little in it, with its room.
    pub fn take_from(&mut self, other: &mut Reply) {
        if other.big.is_empty() && other.buffer.len() <= KEPT_BYTES {
            self.buffer.extend_from_slice(&other.buffer[other.sent..]);
            other.clear();
        } else {
            self.append(std::mem::take(other));
        }
    }

    fn line(&mut self, prefix: &[u8], text: &[u8]) {
        self.buffer.reserve(prefix.len() + text.len() + 2);
        self.buffer.extend_from_slice(prefix);
        let start = self.buffer.len();
        self.buffer.extend_from_slice(text);
        if memchr2(b'\r', b'\n', text).is_some() {
            for byte in self.buffer[start..]
                .iter_mut()
                .filter(|byte| matches!(byte, b'\r' | b'\n'))
            {
                *byte = b' ';
            }
        }
        self.buffer.extend_from_slice(b"\r\n");
    }

    #[inline]
    fn length(&mut self, kind: u8, length: usize) {
        put_length(&mut self.buffer, kind, length);
    }

    fn header(&mut self, kind: u8, value: i64) {
        self.buffer
            .extend_from_slice(Header::new().write(kind, value));
    }
}

/// Sending.
impl Reply {
    /// Whether nothing is pending.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.sent == self.buffer.len() && self.big.is_empty()
    }

    /// How many bytes are pending.
    #[must_use]
    pub fn len(&self) -> usize {
        self.buffer.len() - self.sent + self.big_bytes
    }

    /// The memory that this reply holds, in bytes: what output buffer limits count. Of what it took over from a longer one, as much as
    /// it would have needed itself: nobody has to go for what another has left.
    #[must_use]
    pub fn memory(&self) -> usize {
        let grown = self.buffer.len().saturating_mul(2).max(KEPT_BYTES);
        let own = self.buffer.capacity().min(grown);
        own + self.big_bytes + self.big.capacity() * size_of::<Big>()
    }

    /// The pending bytes, in order, as slices that are not empty.
    pub fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(self.sent).chain(self.big.iter().map(|big| big.at));
        let ends = self.big.iter().map(|big| (big.at, &big.value[..]));
        starts
            .zip(ends.chain(std::iter::once((self.buffer.len(), &[][..]))))
            .flat_map(|(start, (end, value))| [&self.buffer[start..end], value])
            .filter(|chunk| !chunk.is_empty())
    }

    /// Says that the first `count` pending bytes were sent.
    ///
    /// # Panics
    ///
    /// When fewer are pending.
    pub fn advance(&mut self, mut count: usize) {
        assert!(count <= self.len(), "more bytes sent than there were");
        while let Some(big) = self.big.front_mut() {
            let before = big.at - self.sent;
            if count < before {
                break;
            }
            count -= before;
            self.sent = big.at;
            let of_value = count.min(big.value.len());
            big.value.advance(of_value);
            self.big_bytes -= of_value;
            count -= of_value;
            if !big.value.is_empty() {
                return;
            }
            self.big.pop_front();
        }
        self.sent += count;
        if self.is_empty() {
            self.buffer.clear();
            self.sent = 0;
        } else if self.sent >= COMPACT_BYTES && self.sent > self.buffer.len() / 2 {
            self.buffer.drain(..self.sent);
            for big in &mut self.big {
                big.at -= self.sent;
            }
            self.sent = 0;
        }
    }

    /// Drops everything that is pending. Memory of an ordinary size is kept for the next replies.
    pub fn clear(&mut self) {
        if self.buffer.capacity() > KEPT_BYTES {
            self.buffer = Vec::new();
        } else {
            self.buffer.clear();
        }
        self.sent = 0;
        self.big = VecDeque::new();
        self.big_bytes = 0;
    }

    /// Takes over memory that another reply left with [`leave_memory`](Self::leave_memory), where this one has none.
    #[inline]
    pub fn take_memory(&mut self, spare: &mut Spare) {
        if self.buffer.capacity() == 0
            && let Some(buffer) = spare.buffers.pop()
        {
            spare.bytes -= buffer.capacity();
            self.buffer = buffer;
        }
    }

    /// Leaves the memory of a reply that has nothing pending to the next one, whoever's it is: so all write to the same few cache
    /// lines, and an idle one holds nothing.
    #[inline]
    pub fn leave_memory(&mut self, spare: &mut Spare) {
        if !self.is_empty() {
            return;
        }
        let mut own = std::mem::take(&mut self.buffer);
        self.sent = 0;
        let bytes = own.capacity();
        if (1..=SPARE_BYTES - spare.bytes).contains(&bytes) && spare.buffers.len() < MOST_SPARE {
            own.clear();
            spare.bytes += bytes;
            spare.buffers.push(own);
        }
        if self.big.capacity() > 0 {
            self.big = VecDeque::new();
        }
    }

    /// The pending bytes, when they lie in one piece.
    #[must_use]
    pub fn as_slice(&self) -> Option<&[u8]> {
        self.big.is_empty().then(|| &self.buffer[self.sent..])
    }

    /// The pending bytes in one piece; referenced values are copied in.
    pub fn flatten(&mut self) -> &[u8] {
        if !self.big.is_empty() {
            let mut flat = Vec::with_capacity(self.len());
            flat.extend(self.chunks().flatten());
            *self = Reply {
                buffer: flat,
                ..Reply::speaking(self.protocol)
            };
        }
        &self.buffer[self.sent..]
    }

    /// Takes the pending bytes out as a vector.
    #[must_use]
    pub fn into_vec(mut self) -> Vec<u8> {
        self.flatten();
        if self.sent > 0 {
            self.buffer.drain(..self.sent);
        }
        self.buffer
    }
}

/// What vectored writers of the async world ask for.
impl Buf for Reply {
    fn remaining(&self) -> usize {
        self.len()
    }

    fn chunk(&self) -> &[u8] {
        self.chunks().next().unwrap_or_default()
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let mut filled = 0;
        for (slice, chunk) in slices.iter_mut().zip(self.chunks()) {
            *slice = IoSlice::new(chunk);
            filled += 1;
        }
        filled
    }

    fn advance(&mut self, count: usize) {
        Reply::advance(self, count);
    }
}

/// Formatted text goes in as it is, for callers that write replies by hand.
impl fmt::Write for Reply {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.raw(text.as_bytes());
        Ok(())
    }
}

/// `-ERR` and a formatted text: `err!(reply, "unknown command '{name}'")`.
#[macro_export]
macro_rules! err {
    ($reply:expr, $($format:tt)+) => { $reply.err_args(format_args!($($format)+)) };
}

impl Reply {
    /// As [`err`](Self::err) for formatted text; see the macro [`err!`](crate::err).
    pub fn err_args(&mut self, text: fmt::Arguments<'_>) {
        let mut line = String::new();
        // Writing into a string does not fail.
        let _ = line.write_fmt(text);
        self.err(line);
    }
}

/// Appends `*3`, `$5` or another type byte with a length, and the end of the line.
#[inline]
pub fn put_length(out: &mut Vec<u8>, kind: u8, length: usize) {
    let Some(head) = SHORT_HEADS.get(length) else {
        let length = i64::try_from(length).unwrap_or(i64::MAX);
        out.extend_from_slice(Header::new().write(kind, length));
        return;
    };
    // Eight bytes at once are one store; what is too much of them is taken back.
    let end = out.len() + if length < 10 { 4 } else { 5 };
    let mut head = *head;
    head[0] = kind;
    out.extend_from_slice(&head);
    out.truncate(end);
}

/// The heads of everything that is shorter than a hundred: room for the type byte, the digits, a line end.
static SHORT_HEADS: [[u8; 8]; 100] = {
    let mut heads = [[0; 8]; 100];
    let mut length = 0;
    while length < heads.len() {
        #[expect(clippy::cast_possible_truncation, reason = "below a hundred")]
        let (tens, ones) = (b'0' + (length / 10) as u8, b'0' + (length % 10) as u8);
        heads[length] = if length < 10 {
            [0, ones, b'\r', b'\n', 0, 0, 0, 0]
        } else {
            [0, tens, ones, b'\r', b'\n', 0, 0, 0]
        };
        length += 1;
    }
    heads
};

/// A type byte, a number and a line end, put together before they are copied once.
struct Header([u8; HEADER_BYTES]);

impl Header {
    fn new() -> Self {
        Header([0; HEADER_BYTES])
    }

    fn write(&mut self, kind: u8, value: i64) -> &[u8] {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(value).as_bytes();
        let end = 1 + digits.len();
        self.0[0] = kind;
        self.0[1..end].copy_from_slice(digits);
        self.0[end..end + 2].copy_from_slice(b"\r\n");
        &self.0[..end + 2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(write: impl FnOnce(&mut Reply)) -> String {
        let mut reply = Reply::new();
        write(&mut reply);
        assert_eq!(reply.len(), reply.chunks().map(<[u8]>::len).sum::<usize>());
        String::from_utf8(reply.into_vec()).unwrap()
    }

    #[test]
    fn writes_every_form() {
        assert_eq!(written(Reply::ok), "+OK\r\n");
        assert_eq!(written(|r| r.status("PONG")), "+PONG\r\n");
        assert_eq!(
            written(|r| r.error("WRONGTYPE x\r\n+y")),
            "-WRONGTYPE x  +y\r\n"
        );
        assert_eq!(written(|r| r.err(b"no\nway")), "-ERR no way\r\n");
        assert_eq!(
            written(|r| err!(r, "unknown command '{}'", "x")),
            "-ERR unknown command 'x'\r\n"
        );
        assert_eq!(
            written(|r| [0, 1, -1, i64::MIN].map(|i| r.int(i)).iter().for_each(drop)),
            ":0\r\n:1\r\n:-1\r\n:-9223372036854775808\r\n"
        );
        assert_eq!(written(|r| r.bulk("")), "$0\r\n\r\n");
        assert_eq!(written(|r| r.bulk("0123456789")), "$10\r\n0123456789\r\n");
        assert_eq!(written(|r| r.bulk_int(-42)), "$3\r\n-42\r\n");
        assert_eq!(written(|r| r.double(0.1)), "$3\r\n0.1\r\n");
        assert_eq!(written(Reply::nil), "$-1\r\n");
        assert_eq!(written(Reply::null_array), "*-1\r\n");
        assert_eq!(written(|r| r.array(12)), "*12\r\n");
    }

    #[test]
    fn each_verb_has_its_shape_in_both_protocols() {
        let both = |write: &dyn Fn(&mut Reply)| {
            [Protocol::Resp2, Protocol::Resp3].map(|protocol| {
                let mut reply = Reply::speaking(protocol);
                write(&mut reply);
                assert_eq!(reply.protocol(), protocol);
                String::from_utf8(reply.into_vec()).unwrap()
            })
        };
        assert_eq!(both(&|r| r.map(3)), ["*6\r\n", "%3\r\n"]);
        assert_eq!(both(&|r| r.set(3)), ["*3\r\n", "~3\r\n"]);
        assert_eq!(both(&|r| r.push(3)), ["*3\r\n", ">3\r\n"]);
        assert_eq!(both(&|r| r.bool(true)), [":1\r\n", "#t\r\n"]);
        assert_eq!(both(&|r| r.bool(false)), [":0\r\n", "#f\r\n"]);
        assert_eq!(both(&Reply::nil), ["$-1\r\n", "_\r\n"]);
        assert_eq!(both(&Reply::null_array), ["*-1\r\n", "_\r\n"]);
        assert_eq!(both(&|r| r.double(2.5)), ["$3\r\n2.5\r\n", ",2.5\r\n"]);
        assert_eq!(
            both(&|r| r.big_number("123")),
            ["$3\r\n123\r\n", "(123\r\n"]
        );
        assert_eq!(
            both(&|r| r.verbatim("txt", "hi")),
            ["$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"]
        );
        let open = |r: &mut Reply| {
            let map = r.begin_array();
            r.bulk("k");
            let set = r.begin_array();
            r.int(1);
            r.end_set(set, 1);
            r.end_map(map, 1);
        };
        assert_eq!(
            both(&open),
            [
                "*2\r\n$1\r\nk\r\n*1\r\n:1\r\n",
                "%1\r\n$1\r\nk\r\n~1\r\n:1\r\n"
            ]
        );
        let mut kept = Reply::speaking(Protocol::Resp3);
        let mut other = Reply::new();
        other.ok();
        kept.append(other);
        assert_eq!(
            kept.protocol(),
            Protocol::Resp3,
            "a collected reply brings no protocol"
        );
    }

    #[test]
    fn arrays_may_get_their_length_last() {
        for before in ["", "+before\r\n"] {
            let text = written(|reply| {
                reply.raw(before.as_bytes());
                let outer = reply.begin_array();
                reply.int(7);
                let inner = reply.begin_array();
                reply.bulk_bytes(Bytes::from(vec![b'x'; BIG_VALUE_BYTES]));
                reply.end_array(inner, 1);
                reply.nil();
                reply.end_array(outer, 3);
            });
            let value = "x".repeat(BIG_VALUE_BYTES);
            assert_eq!(
                text,
                format!("{before}*3\r\n:7\r\n*1\r\n$16384\r\n{value}\r\n$-1\r\n")
            );
        }
    }

    #[test]
    fn big_values_are_not_copied() {
        let value = Bytes::from(vec![b'v'; BIG_VALUE_BYTES]);
        let mut reply = Reply::new();
        reply.bulk_bytes(value.clone());
        assert!(reply.chunks().any(|chunk| chunk.as_ptr() == value.as_ptr()));
        assert_eq!(reply.as_slice(), None);
        let mut slices = [IoSlice::new(&[]); 8];
        assert_eq!(reply.chunks_vectored(&mut slices), 3);
        assert_eq!(reply.flatten().len(), BIG_VALUE_BYTES + 8 + 2);
    }

    #[test]
    fn memory_is_passed_on() {
        let (mut first, mut second, mut spare) = (Reply::new(), Reply::new(), Spare::default());
        first.take_memory(&mut spare);
        first.bulk(vec![b'x'; KEPT_BYTES * 2]);
        first.leave_memory(&mut spare);
        assert_eq!(spare.bytes, 0, "there is something to be sent yet");
        first.advance(first.len());
        first.leave_memory(&mut spare);
        assert_eq!(first.memory(), 0);
        assert!(spare.bytes > KEPT_BYTES * 2);
        second.take_memory(&mut spare);
        second.ok();
        assert!(second.buffer.capacity() > KEPT_BYTES * 2 && spare.bytes == 0);
        assert_eq!(second.memory(), KEPT_BYTES, "what it needs itself");
        assert_eq!(second.as_slice(), Some(&b"+OK\r\n"[..]));
        second = Reply::new();
        second.bulk(vec![b'x'; SPARE_BYTES]);
        second.advance(second.len());
        second.leave_memory(&mut spare);
        assert_eq!((second.memory(), spare.bytes), (0, 0), "too big to be kept");
    }

    #[test]
    fn spare_memory_is_bounded() {
        let mut spare = Spare::default();
        let mut leave = |bytes: usize| {
            let mut reply = Reply::new();
            reply.bulk(vec![b'x'; bytes]);
            reply.advance(reply.len());
            reply.leave_memory(&mut spare);
            (spare.buffers.len(), spare.bytes)
        };
        for _ in 0..MOST_SPARE {
            leave(1);
        }
        let full = leave(1);
        assert_eq!(full.0, MOST_SPARE);
        assert_eq!(leave(1), full);
        let mut spare = Spare::default();
        for _ in 0..64 {
            let mut reply = Reply::new();
            reply.bulk(vec![b'x'; SPARE_BYTES / 16]);
            reply.advance(reply.len());
            reply.leave_memory(&mut spare);
        }
        assert!((SPARE_BYTES / 2..=SPARE_BYTES).contains(&spare.bytes));
    }

    #[test]
    fn what_is_taken_comes_behind_and_leaves_its_room() {
        let (mut reply, mut other) = (Reply::speaking(Protocol::Resp3), Reply::new());
        reply.int(1);
        other.bulk("two");
        other.advance(1);
        let room = other.memory();
        reply.take_from(&mut other);
        assert_eq!(reply.flatten(), b":1\r\n3\r\ntwo\r\n");
        assert!(other.is_empty() && other.memory() == room);
        other.bulk_bytes(Bytes::from(vec![b'x'; BIG_VALUE_BYTES]));
        let bytes = reply.len() + other.len();
        reply.take_from(&mut other);
        assert_eq!((reply.len(), other.len()), (bytes, 0));
        assert_eq!(reply.protocol(), Protocol::Resp3);
    }

    #[test]
    fn clearing_keeps_modest_memory() {
        let mut reply = Reply::new();
        reply.bulk(vec![0; 1000]);
        reply.advance(reply.len());
        assert!((1000..=KEPT_BYTES).contains(&reply.memory()));
        reply.bulk(vec![0; 10 * KEPT_BYTES]);
        reply.clear();
        assert_eq!(reply.memory(), 0);
    }

    proptest! {
        /// Whatever is written, and however it is sent, the bytes come out in order.
        #[test]
        fn sends_what_was_written(
            steps in prop::collection::vec((0usize..60_000, any::<bool>(), 0usize..70_000), 1..20),
        ) {
            let (mut reply, mut expected, mut sent) = (Reply::new(), Vec::new(), Vec::new());
            for (index, (size, shared, send)) in steps.into_iter().enumerate() {
                let value = vec![b'a' + u8::try_from(index).unwrap(); size];
                expected.extend([format!("${size}\r\n").as_bytes(), &value, b"\r\n"].concat());
                if shared { reply.bulk_bytes(Bytes::from(value)) } else { reply.bulk(value) }
                let taken: Vec<u8> = reply.chunks().flatten().copied().take(send).collect();
                reply.advance(taken.len());
                sent.extend(taken);
                prop_assert_eq!(reply.len(), expected.len() - sent.len());
            }
            let mut other = Reply::new();
            other.ok();
            other.append(reply);
            sent.extend(&other.into_vec()[5..]);
            prop_assert!(sent == expected);
        }
    }
}
