//! Lua's patterns, matched with bounds that the C library lacks: a limit on recursion, and a tick now and then, since a
//! pattern can take time exponential in its length.

use mlua::Result;

use crate::context::Context;
use crate::failure::Failure;

/// The most captures that a pattern may have.
const MAX_CAPTURES: usize = 32;

/// How many matches may be nested: one for each repetition or capture that is open.
const MAX_DEPTH: usize = 1000;

const ESCAPE: u8 = b'%';

/// One match of a pattern against a subject.
pub(crate) struct Matcher<'a> {
    context: &'a Context,
    subject: &'a [u8],
    /// A pattern ends at its first NUL, as in C.
    pattern: &'a [u8],
    captures: [Span; MAX_CAPTURES],
    level: usize,
    depth: usize,
}

#[derive(Clone, Copy)]
struct Span {
    start: usize,
    length: Length,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Length {
    Open,
    Position,
    Bytes(usize),
}

/// What a capture holds.
pub(crate) enum Capture<'a> {
    Text(&'a [u8]),
    /// A position, counted from 1.
    Position(usize),
}

/// Errors have no position yet; the caller knows where it was called.
fn complain<T>(complaint: &str) -> Result<T> {
    Err(Failure::text(complaint).into())
}

impl<'a> Matcher<'a> {
    pub(crate) fn new(context: &'a Context, subject: &'a [u8], pattern: &'a [u8]) -> Self {
        let pattern = memchr::memchr(0, pattern).map_or(pattern, |end| &pattern[..end]);
        let closed = Span {
            start: 0,
            length: Length::Open,
        };
        Matcher {
            context,
            subject,
            pattern,
            captures: [closed; MAX_CAPTURES],
            level: 0,
            depth: 0,
        }
    }

    /// Where a match that starts at `start` ends.
    pub(crate) fn match_at(&mut self, start: usize) -> Result<Option<usize>> {
        self.level = 0;
        self.depth = 0;
        self.run(start, 0)
    }

    /// The first match at or after `start`, or only at `start`.
    pub(crate) fn find(&mut self, start: usize, anchored: bool) -> Result<Option<(usize, usize)>> {
        for at in start..=self.subject.len() {
            if let Some(end) = self.match_at(at)? {
                return Ok(Some((at, end)));
            }
            if anchored {
                break;
            }
        }
        Ok(None)
    }

    /// How many captures the last match made.
    pub(crate) fn capture_count(&self) -> usize {
        self.level
    }

    /// At most how many bytes the captures of the last match hold together, or the whole match if that is more.
    pub(crate) fn captured_bytes(&self, whole: (usize, usize)) -> usize {
        let captured = self.captures[..self.level]
            .iter()
            .map(|span| match span.length {
                Length::Bytes(length) => length,
                Length::Open | Length::Position => 0,
            });
        captured.sum::<usize>().max(whole.1 - whole.0)
    }

    /// A capture of the last match, counted from 0. Without captures the whole match stands for the first.
    pub(crate) fn capture(&self, index: usize, whole: (usize, usize)) -> Result<Capture<'a>> {
        if index >= self.level {
            if index != 0 {
                return complain("invalid capture index");
            }
            return Ok(Capture::Text(&self.subject[whole.0..whole.1]));
        }
        let Span { start, length } = self.captures[index];
        match length {
            Length::Open => complain("unfinished capture"),
            Length::Position => Ok(Capture::Position(start + 1)),
            Length::Bytes(length) => Ok(Capture::Text(&self.subject[start..start + length])),
        }
    }

    /// The whole match.
    pub(crate) fn whole(&self, (start, end): (usize, usize)) -> Capture<'a> {
        Capture::Text(&self.subject[start..end])
    }

    /// The byte of the pattern at `at`; 0 beyond its end.
    fn byte(&self, at: usize) -> u8 {
        self.pattern.get(at).copied().unwrap_or(0)
    }

    fn nested(&mut self, at: usize, pattern: usize) -> Result<Option<usize>> {
        if self.depth >= MAX_DEPTH {
            return complain("pattern too complex");
        }
        self.depth += 1;
        let result = self.run(at, pattern);
        self.depth -= 1;
        result
    }

    /// Matches the pattern from `pattern` on against the subject from `at` on.
    fn run(&mut self, mut at: usize, mut pattern: usize) -> Result<Option<usize>> {
        loop {
            self.context.step()?;
            match (self.byte(pattern), self.byte(pattern + 1)) {
                (b'(', b')') => return self.open(at, pattern + 2, Length::Position),
                (b'(', _) => return self.open(at, pattern + 1, Length::Open),
                (b')', _) => return self.close(at, pattern + 1),
                (ESCAPE, b'b') => {
                    let Some(end) = self.balanced(at, pattern + 2)? else {
                        return Ok(None);
                    };
                    at = end;
                    pattern += 4;
                }
                (ESCAPE, b'f') => {
                    let Some(next) = self.frontier(at, pattern + 2)? else {
                        return Ok(None);
                    };
                    pattern = next;
                }
                (ESCAPE, digit) if digit.is_ascii_digit() => {
                    let Some(end) = self.repeated_capture(at, digit)? else {
                        return Ok(None);
                    };
                    at = end;
                    pattern += 2;
                }
                (0, _) => return Ok(Some(at)),
                (b'$', 0) => return Ok((at == self.subject.len()).then_some(at)),
                _ => {
                    let end = self.item_end(pattern)?;
                    // A long set is gone through for every byte.
                    self.context.work(end - pattern)?;
                    let matches = self.single(at, pattern, end);
                    match self.byte(end) {
                        b'?' => {
                            if matches && let Some(found) = self.nested(at + 1, end + 1)? {
                                return Ok(Some(found));
                            }
                            pattern = end + 1;
                        }
                        b'*' => return self.most(at, pattern, end),
                        b'+' if matches => return self.most(at + 1, pattern, end),
                        b'-' => return self.least(at, pattern, end),
                        b'+' => return Ok(None),
                        _ if !matches => return Ok(None),
                        _ => {
                            at += 1;
                            pattern = end;
                        }
                    }
                }
            }
        }
    }

    /// As many repetitions as possible, then fewer.
    fn most(&mut self, at: usize, item: usize, end: usize) -> Result<Option<usize>> {
        let mut count = 0;
        while self.single(at + count, item, end) {
            count += 1;
            self.context.step()?;
            self.context.work(end - item)?;
        }
        for count in (0..=count).rev() {
            if let Some(found) = self.nested(at + count, end + 1)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// As few repetitions as possible, then more.
    fn least(&mut self, mut at: usize, item: usize, end: usize) -> Result<Option<usize>> {
        loop {
            if let Some(found) = self.nested(at, end + 1)? {
                return Ok(Some(found));
            }
            if !self.single(at, item, end) {
                return Ok(None);
            }
            at += 1;
        }
    }

    fn open(&mut self, at: usize, pattern: usize, length: Length) -> Result<Option<usize>> {
        if self.level >= MAX_CAPTURES {
            return complain("too many captures");
        }
        self.captures[self.level] = Span { start: at, length };
        self.level += 1;
        let found = self.nested(at, pattern)?;
        if found.is_none() {
            self.level -= 1;
        }
        Ok(found)
    }

    fn close(&mut self, at: usize, pattern: usize) -> Result<Option<usize>> {
        let open = (0..self.level)
            .rev()
            .find(|index| self.captures[*index].length == Length::Open);
        let Some(index) = open else {
            return complain("invalid pattern capture");
        };
        self.captures[index].length = Length::Bytes(at - self.captures[index].start);
        let found = self.nested(at, pattern)?;
        if found.is_none() {
            self.captures[index].length = Length::Open;
        }
        Ok(found)
    }

    /// `%1`: the text of a capture again. A position capture never repeats.
    fn repeated_capture(&self, at: usize, digit: u8) -> Result<Option<usize>> {
        let index = usize::from(digit).checked_sub(usize::from(b'1'));
        let index = index
            .filter(|index| *index < self.level && self.captures[*index].length != Length::Open);
        let Some(index) = index else {
            return complain("invalid capture index");
        };
        let Span { start, length } = self.captures[index];
        let Length::Bytes(length) = length else {
            return Ok(None);
        };
        self.context.work(length)?;
        let matches = self.subject[at..].starts_with(&self.subject[start..start + length]);
        Ok(matches.then_some(at + length))
    }

    /// `%bxy`: from an x to the y that balances it.
    fn balanced(&self, at: usize, pattern: usize) -> Result<Option<usize>> {
        let (begin, end) = (self.byte(pattern), self.byte(pattern + 1));
        if begin == 0 || end == 0 {
            return complain("unbalanced pattern");
        }
        if self.subject.get(at) != Some(&begin) {
            return Ok(None);
        }
        let mut open = 1usize;
        for (offset, byte) in self.subject[at..].iter().enumerate().skip(1) {
            self.context.step()?;
            if *byte == end {
                open -= 1;
                if open == 0 {
                    return Ok(Some(at + offset + 1));
                }
            } else if *byte == begin {
                open += 1;
            }
        }
        Ok(None)
    }

    /// `%f[set]`: between a byte outside and one inside the set. Gives where the pattern goes on.
    fn frontier(&self, at: usize, set: usize) -> Result<Option<usize>> {
        if self.byte(set) != b'[' {
            return complain("missing '[' after '%f' in pattern");
        }
        let end = self.item_end(set)?;
        let previous = at.checked_sub(1).map_or(0, |before| self.subject[before]);
        let current = self.subject.get(at).copied().unwrap_or(0);
        let is_frontier =
            !self.in_set(previous, set, end - 1) && self.in_set(current, set, end - 1);
        Ok(is_frontier.then_some(end))
    }

    /// Where the item that starts at `item` ends, before any repetition mark.
    fn item_end(&self, item: usize) -> Result<usize> {
        match self.byte(item) {
            ESCAPE if self.byte(item + 1) == 0 => complain("malformed pattern (ends with '%')"),
            ESCAPE => Ok(item + 2),
            b'[' => {
                let mut at = item + 1;
                if self.byte(at) == b'^' {
                    at += 1;
                }
                // The first byte may be a bracket that does not close.
                loop {
                    match self.byte(at) {
                        0 => return complain("malformed pattern (missing ']')"),
                        ESCAPE if self.byte(at + 1) != 0 => at += 2,
                        _ => at += 1,
                    }
                    if self.byte(at) == b']' {
                        return Ok(at + 1);
                    }
                }
            }
            _ => Ok(item + 1),
        }
    }

    /// Whether the byte of the subject at `at` matches the item.
    fn single(&self, at: usize, item: usize, end: usize) -> bool {
        let Some(byte) = self.subject.get(at).copied() else {
            return false;
        };
        match self.byte(item) {
            b'.' => true,
            ESCAPE => in_class(byte, self.byte(item + 1)),
            b'[' => self.in_set(byte, item, end - 1),
            literal => literal == byte,
        }
    }

    /// Whether `byte` is in the set that starts with `[` at `set` and whose `]` is at `last`.
    fn in_set(&self, byte: u8, set: usize, last: usize) -> bool {
        let negated = self.byte(set + 1) == b'^';
        let mut at = set + 1 + usize::from(negated);
        while at < last {
            let matches = if self.byte(at) == ESCAPE {
                at += 1;
                in_class(byte, self.byte(at))
            } else if self.byte(at + 1) == b'-' && at + 2 < last {
                at += 2;
                (self.byte(at - 2)..=self.byte(at)).contains(&byte)
            } else {
                self.byte(at) == byte
            };
            if matches {
                return !negated;
            }
            at += 1;
        }
        negated
    }
}

/// `%a` and its kin, in the C locale; upper case negates. Any other byte stands for itself.
fn in_class(byte: u8, class: u8) -> bool {
    let matches = match class.to_ascii_lowercase() {
        b'a' => byte.is_ascii_alphabetic(),
        b'c' => byte.is_ascii_control(),
        b'd' => byte.is_ascii_digit(),
        b'l' => byte.is_ascii_lowercase(),
        b'p' => byte.is_ascii_punctuation(),
        b's' => byte.is_ascii_whitespace() || byte == 0x0b,
        b'u' => byte.is_ascii_uppercase(),
        b'w' => byte.is_ascii_alphanumeric(),
        b'x' => byte.is_ascii_hexdigit(),
        b'z' => byte == 0,
        _ => return class == byte,
    };
    matches == class.is_ascii_lowercase()
}
