//! Counts replies in a stream of bytes without keeping them. What they say is nobody's business here, but for errors.

use memchr::memchr;

/// Where one connection stands in the replies that it reads.
#[derive(Debug)]
pub struct Replies {
    /// Elements that the reply under way still lacks; an array adds its own.
    lacking: u64,
    /// Bytes of a bulk string, its line end included, that are still to come.
    bulk: usize,
    /// The start of a line whose end has not come yet.
    line: Vec<u8>,
    errors: u64,
    first_error: Option<String>,
}

impl Default for Replies {
    fn default() -> Self {
        Replies {
            lacking: 1,
            bulk: 0,
            line: Vec::new(),
            errors: 0,
            first_error: None,
        }
    }
}

impl Replies {
    /// Takes what was read and returns how many replies it completes.
    pub fn feed(&mut self, mut bytes: &[u8]) -> u64 {
        let mut complete = 0;
        while !bytes.is_empty() {
            if self.bulk > 0 {
                let here = self.bulk.min(bytes.len());
                self.bulk -= here;
                bytes = &bytes[here..];
                complete += u64::from(self.bulk == 0 && self.element());
                continue;
            }
            let Some(end) = memchr(b'\n', bytes) else {
                self.line.extend_from_slice(bytes);
                break;
            };
            let (line, rest) = bytes.split_at(end + 1);
            bytes = rest;
            let done = if self.line.is_empty() {
                self.take_line(line)
            } else {
                let mut whole = std::mem::take(&mut self.line);
                whole.extend_from_slice(line);
                self.take_line(&whole)
            };
            complete += u64::from(done);
        }
        complete
    }

    /// How many errors have come, inside of arrays too.
    #[must_use]
    pub fn errors(&self) -> u64 {
        self.errors
    }

    /// The text of the first of them.
    #[must_use]
    pub fn first_error(&self) -> Option<&str> {
        self.first_error.as_deref()
    }

    /// Takes a line; whether it ends a reply.
    fn take_line(&mut self, line: &[u8]) -> bool {
        match line.first() {
            Some(b'$' | b'=' | b'!') => match length(&line[1..]) {
                None => self.element(),
                Some(length) => {
                    self.bulk = length.saturating_add(2);
                    false
                }
            },
            Some(kind @ (b'*' | b'~' | b'%')) => {
                let each = if *kind == b'%' { 2 } else { 1 };
                let elements = length(&line[1..]).unwrap_or(0).saturating_mul(each);
                self.lacking = self.lacking.saturating_add(elements as u64);
                self.element()
            }
            Some(b'-') => {
                self.errors += 1;
                self.first_error.get_or_insert_with(|| {
                    String::from_utf8_lossy(&line[1..]).trim_end().to_owned()
                });
                self.element()
            }
            _ => self.element(),
        }
    }

    /// An element has ended; whether the reply has ended with it.
    fn element(&mut self) -> bool {
        self.lacking -= 1;
        let done = self.lacking == 0;
        if done {
            self.lacking = 1;
        }
        done
    }
}

/// The length that a line gives; none for `-1`.
fn length(line: &[u8]) -> Option<usize> {
    if line.first() == Some(&b'-') {
        return None;
    }
    let digits = line.iter().take_while(|byte| byte.is_ascii_digit());
    Some(digits.fold(0, |sum: usize, digit| {
        sum.saturating_mul(10)
            .saturating_add(usize::from(digit - b'0'))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b"+OK\r\n:12\r\n$3\r\na\nb\r\n$-1\r\n*-1\r\n*0\r\n*2\r\n$0\r\n\r\n*1\r\n:1\r\n-ERR no\r\n$0\r\n\r\n";

    #[test]
    fn every_kind_of_reply_is_one_reply() {
        let mut replies = Replies::default();
        assert_eq!(replies.feed(STREAM), 9);
        assert_eq!(
            (replies.errors(), replies.first_error()),
            (1, Some("ERR no"))
        );
    }

    #[test]
    fn the_count_does_not_depend_on_how_the_bytes_come() {
        for size in 1..STREAM.len() {
            let mut replies = Replies::default();
            let count: u64 = STREAM.chunks(size).map(|piece| replies.feed(piece)).sum();
            assert_eq!((count, replies.errors()), (9, 1), "pieces of {size}");
        }
    }

    #[test]
    fn replies_of_resp3_count_too() {
        let mut replies = Replies::default();
        let stream =
            b"%2\r\n+a\r\n:1\r\n$1\r\nb\r\n~1\r\n,1.5\r\n_\r\n#t\r\n=7\r\ntxt:abc\r\n(123\r\n";
        assert_eq!(replies.feed(stream), 5);
    }

    #[test]
    fn a_reply_counts_when_its_last_byte_is_here() {
        let mut replies = Replies::default();
        assert_eq!(replies.feed(b"*2\r\n:1\r\n$2\r\nab\r"), 0);
        assert_eq!(replies.feed(b"\n+"), 1);
        assert_eq!(replies.feed(b"OK\r\n"), 1);
    }
}
