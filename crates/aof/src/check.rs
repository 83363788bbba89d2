//! `redis-check-aof` of Redis 3.0.7: finds how far a file is whole, in its words. Asking the user and cutting is the caller's.
//!
//! Two lines differ. Where another byte than `*` or `$` stands, 3.0.7 prints expected and found the wrong way round; and a command
//! without arguments passes there, but not when the server loads it.

use std::io::Read;

use rdb::{Error, Input};
use resp::number::parse_i64;

/// The longest line, with its end.
const MAX_LINE: usize = 127;

/// How far a file is whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckReport {
    /// The lines to print, each with its end, up to the numbers.
    pub text: String,
    /// The size of the file in bytes.
    pub size: u64,
    /// Where the last whole command or transaction ends.
    pub ok_up_to: u64,
    /// Whether that can be mended by cutting the file at [`CheckReport::ok_up_to`]; not so where an RDB file at its start is damaged.
    pub can_be_cut: bool,
}

impl CheckReport {
    /// Printed after all when the file is whole.
    pub const VALID: &str = "AOF is valid";
    /// Printed when it is not, and was not to be fixed.
    pub const NOT_VALID: &str = "AOF is not valid";
    /// Printed after the cut.
    pub const CUT: &str = "Successfully truncated AOF";
    /// Printed where the cut failed.
    pub const CUT_FAILED: &str = "Failed to truncate AOF";
    /// Printed when the user does not want the cut.
    pub const ABORTED: &str = "Aborting...";

    /// Whether the file is whole to its end.
    pub fn is_valid(&self) -> bool {
        self.can_be_cut && self.size == self.ok_up_to
    }

    /// The question before a cut; no end of line follows it. An answer that begins with `y` or `Y` agrees.
    pub fn question(&self) -> String {
        let Self { size, ok_up_to, .. } = self;
        let cut = size - ok_up_to;
        format!(
            "This will shrink the AOF from {size} bytes, with {cut} bytes, to {ok_up_to} bytes\nContinue? [y/N]: "
        )
    }
}

/// Reads the file `name` from `source` to its first fault. `now_ms` is for an RDB file at its start ([`rdb::check::check_rdb`]).
///
/// # Errors
/// Those of `source`.
pub fn check_aof(name: &str, source: impl Read, now_ms: i64) -> std::io::Result<CheckReport> {
    let mut input = Input::new(source);
    let mut text = String::new();
    if crate::begins_with_rdb(&mut input).map_err(std::io::Error::other)? {
        text.push_str(
            "The AOF appears to start with an RDB preamble.\nChecking the RDB preamble to start:\n",
        );
        let (report, rest) = rdb::check::check_rdb_in(name, input, now_ms);
        text.push_str(&report.text);
        match rest {
            Some(rest) if report.ok => input = rest,
            _ => {
                text.push_str("RDB preamble of AOF file is not sane, aborting.\n");
                return Ok(CheckReport {
                    text,
                    size: 0,
                    ok_up_to: 0,
                    can_be_cut: false,
                });
            }
        }
        text.push_str("RDB preamble is OK, proceeding with AOF tail...\n");
    }
    let mut check = Check {
        input,
        at: 0,
        depth: 0,
    };
    let (ok_up_to, fault) = check.walk()?;
    if let Some(fault) = fault {
        text.push_str(&format!("0x{:16x}: {fault}\n", check.at));
    }
    let size = check.size()?;
    let diff = size - ok_up_to;
    text.push_str(&format!(
        "AOF analyzed: size={size}, ok_up_to={ok_up_to}, diff={diff}\n"
    ));
    Ok(CheckReport {
        text,
        size,
        ok_up_to,
        can_be_cut: true,
    })
}

/// Why the walk ended.
enum Stop {
    /// The file ended where something had to follow.
    End,
    /// A fault to be printed.
    Fault(String),
    Io(std::io::Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        match error {
            Error::Io(error) => Self::Io(error),
            Error::ShortRead { .. } => Self::End,
            other => Self::Io(std::io::Error::other(other)),
        }
    }
}

struct Check<R> {
    input: Input<R>,
    /// Where the part begins that was read last.
    at: u64,
    /// How many transactions are open: 0 or 1, or something is wrong.
    depth: i64,
}

impl<R: Read> Check<R> {
    /// Where the last whole command or transaction ends, and what was wrong behind it.
    fn walk(&mut self) -> std::io::Result<(u64, Option<String>)> {
        let mut ok_up_to = self.input.offset();
        loop {
            if self.depth == 0 {
                ok_up_to = self.input.offset();
            }
            match self.command() {
                Ok(()) => {}
                Err(Stop::End) if self.depth != 0 => {
                    return Ok((
                        ok_up_to,
                        Some("Reached EOF before reading EXEC for MULTI".to_owned()),
                    ));
                }
                Err(Stop::End) => return Ok((ok_up_to, None)),
                Err(Stop::Fault(fault)) => return Ok((ok_up_to, Some(fault))),
                Err(Stop::Io(error)) => return Err(error),
            }
        }
    }

    fn command(&mut self) -> Result<(), Stop> {
        let count = self.number(b'*')?;
        if count < 1 {
            return Err(Stop::Fault(format!(
                "Expected a positive number of arguments, got: {count}"
            )));
        }
        let name = self.bulk()?;
        if name.eq_ignore_ascii_case(b"multi") {
            self.depth += 1;
            if self.depth != 1 {
                return Err(Stop::Fault("Unexpected MULTI".to_owned()));
            }
        } else if name.eq_ignore_ascii_case(b"exec") {
            self.depth -= 1;
            if self.depth != 0 {
                return Err(Stop::Fault("Unexpected EXEC".to_owned()));
            }
        }
        for _ in 1..count {
            self.bulk()?;
        }
        Ok(())
    }

    /// A line with a number.
    fn number(&mut self, prefix: u8) -> Result<i64, Stop> {
        self.at = self.input.offset();
        let line = loop {
            let bytes = self.input.buffered();
            let seen = &bytes[..bytes.len().min(MAX_LINE)];
            if let Some(end) = memchr::memchr(b'\n', seen) {
                break seen[..=end].to_vec();
            }
            if seen.len() == MAX_LINE || !self.input.read_more()? {
                break self.input.buffered()[..self.input.buffered().len().min(MAX_LINE)].to_vec();
            }
        };
        let Some((&first, rest)) = line.split_first() else {
            return Err(Stop::End);
        };
        self.input.advance(line.len());
        if first != prefix {
            let (prefix, first) = (char::from(prefix), char::from(first));
            return Err(Stop::Fault(format!(
                "Expected prefix '{prefix}', got: '{first}'"
            )));
        }
        let digits = rest
            .iter()
            .take_while(|byte| byte.is_ascii_digit() || **byte == b'-')
            .count();
        let (digits, end) = rest.split_at(digits);
        expect_line_end(end)?;
        match parse_i64(digits) {
            Some(number) => Ok(number),
            None => Err(Stop::Fault(format!(
                "Expected a number, got: '{}'",
                digits.escape_ascii()
            ))),
        }
    }

    /// A bulk string; as much of it is given as a name needs.
    fn bulk(&mut self) -> Result<Vec<u8>, Stop> {
        const SHOWN: u64 = 8;
        let length = self.number(b'$')?;
        let Some(length) = u64::try_from(length)
            .ok()
            .filter(|length| *length < u64::MAX - 2)
        else {
            return Err(Stop::Fault(format!("Expected a length, got: {length}")));
        };
        self.at = self.input.offset();
        let start = self.at;
        let read = |check: &mut Self| {
            let mut name = Vec::new();
            check.input.take_into(length.min(SHOWN), &mut name)?;
            check.input.skip(length.saturating_sub(SHOWN))?;
            let mut end = Vec::new();
            check.input.take_into(2, &mut end)?;
            Ok((name, end))
        };
        match read(self) {
            Ok((name, end)) => {
                expect_line_end(&end)?;
                Ok(name)
            }
            Err(Error::ShortRead { offset, .. }) => {
                let (wanted, got) = (length + 2, offset - start);
                Err(Stop::Fault(format!(
                    "Expected to read {wanted} bytes, got {got} bytes"
                )))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads to the end to know the size.
    fn size(&mut self) -> std::io::Result<u64> {
        loop {
            self.input.advance(self.input.buffered().len());
            match self.input.read_more() {
                Ok(true) => {}
                Ok(false) => return Ok(self.input.offset()),
                Err(Error::Io(error)) => return Err(error),
                Err(other) => return Err(std::io::Error::other(other)),
            }
        }
    }
}

fn expect_line_end(bytes: &[u8]) -> Result<(), Stop> {
    if bytes.starts_with(b"\r\n") {
        return Ok(());
    }
    let byte = |index: usize| bytes.get(index).copied().unwrap_or(0);
    Err(Stop::Fault(format!(
        "Expected \\r\\n, got: {:02x}{:02x}",
        byte(0),
        byte(1)
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(bytes: &[u8]) -> CheckReport {
        check_aof("appendonly.aof", bytes, 0).unwrap()
    }

    /// The lines that redis-check-aof of Redis 3.0.7 prints for the same bytes.
    #[test]
    fn lines_are_those_of_redis() {
        for (bytes, text) in [
            (
                &b"*1\r\n$4\r\nPING\r\n"[..],
                "AOF analyzed: size=14, ok_up_to=14, diff=0\n",
            ),
            (
                b"*1\r\n$4\r\nPING\r\n*1\r",
                "0x               e: Expected \\r\\n, got: 0d00\nAOF analyzed: size=17, ok_up_to=14, diff=3\n",
            ),
            (
                b"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPI",
                "0x              16: Expected to read 6 bytes, got 2 bytes\nAOF analyzed: size=24, ok_up_to=14, diff=10\n",
            ),
            (
                b"*1\r\n$5\r\nMULTI\r\n*1\r\n$4\r\nPING\r\n",
                "0x              1d: Reached EOF before reading EXEC for MULTI\nAOF analyzed: size=29, ok_up_to=0, diff=29\n",
            ),
            (
                b"*1\r\n$4\r\nEXEC\r\n",
                "0x               8: Unexpected EXEC\nAOF analyzed: size=14, ok_up_to=0, diff=14\n",
            ),
            (
                b"*1\r\n$4\r\nPINGxx*1\r\n$4\r\nPING\r\n",
                "0x               8: Expected \\r\\n, got: 7878\nAOF analyzed: size=28, ok_up_to=0, diff=28\n",
            ),
        ] {
            let report = check(bytes);
            assert_eq!(report.text, text);
            assert_eq!(report.is_valid(), report.size == report.ok_up_to);
        }
    }

    #[test]
    fn damage_in_the_middle_is_found_where_it_is() {
        let report = check(b"*1\r\n$4\r\nPING\r\n!!!*1\r\n$4\r\nPING\r\n");
        assert_eq!(report.ok_up_to, 14);
        assert_eq!(
            report.text,
            "0x               e: Expected prefix '*', got: '!'\nAOF analyzed: size=31, ok_up_to=14, diff=17\n"
        );
        assert_eq!(
            report.question(),
            "This will shrink the AOF from 31 bytes, with 17 bytes, to 14 bytes\nContinue? [y/N]: "
        );
    }

    #[test]
    fn an_rdb_file_at_the_start_is_checked_first() {
        let report = check(b"REDIS0006\xff\0\0\0\0\0\0\0\0*1\r\n$4\r\nPING\r\n");
        assert!(report.is_valid(), "{}", report.text);
        assert!(report.text.contains("RDB preamble is OK, proceeding with AOF tail...\nAOF analyzed: size=32, ok_up_to=32, diff=0\n"));
        let report = check(b"REDIS0006\x09garbage");
        assert!(!report.is_valid() && !report.can_be_cut);
        assert!(
            report
                .text
                .ends_with("RDB preamble of AOF file is not sane, aborting.\n"),
            "{}",
            report.text
        );
    }

    /// What the check calls whole is what a load takes, wherever the file is cut.
    #[test]
    fn agrees_with_the_reader() {
        let mut file = Vec::new();
        for command in [
            &["set", "a", "1"][..],
            &["multi"],
            &["incr", "a"],
            &["exec"],
            &["del", "a"],
        ] {
            crate::encode_command(
                &mut file,
                command.iter().map(|arg| arg.as_bytes()).collect::<Vec<_>>(),
            );
        }
        for len in 0..=file.len() {
            let mut reader = crate::Reader::new(&file[..len]);
            while let Ok(Some(_)) = reader.next_command() {}
            assert_eq!(
                check(&file[..len]).ok_up_to,
                reader.valid_up_to(),
                "cut at {len}"
            );
        }
    }
}
