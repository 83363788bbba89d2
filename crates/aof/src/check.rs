//! What `valkey-check-aof` does with one file: finds how far it is whole, or where it passes an instant, in its words. Opening files,
//! asking the user and cutting is the caller's.
//!
//! Two rules differ: a command without arguments passes there, but not when the server loads it; and so does an annotation without an
//! end of line, which is a fault here.

use std::fmt::Write as _;
use std::io::Read;

use rdb::{Error, Input};
use resp::number::parse_i64;

/// The longest line, with its end.
const MAX_LINE: usize = 127;
/// The longest annotation, with its end.
pub(crate) const MAX_ANNOTATION: usize = 1024;

/// The file that is checked, and how.
#[derive(Clone, Copy, Debug)]
pub struct CheckedFile<'a> {
    /// Its name, as it is printed.
    pub name: &'a str,
    /// Its place, which a few lines print.
    pub path: &'a str,
    /// Nothing may be cut from any but the last file.
    pub is_last: bool,
    /// It may begin with an RDB file.
    pub may_begin_with_rdb: bool,
    /// Cut it where it passes this instant, Unix seconds.
    pub until_s: Option<i64>,
    /// Now, Unix milliseconds, for an RDB file at its start ([`rdb::check::check_rdb`]).
    pub now_ms: i64,
}

/// What is to become of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is whole to its end.
    Whole,
    /// There is nothing in it.
    Empty,
    /// It is whole up to here, in bytes, and is as long as that.
    Broken {
        /// Where the last whole command or transaction ends.
        ok_up_to: u64,
        /// The size of the file.
        size: u64,
    },
    /// It passes the instant here, in bytes, and is to be cut.
    Passes(u64),
    /// Nothing can be done.
    Refused,
}

/// What a check has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CheckReport {
    /// The lines to print, each with its end.
    pub text: String,
    /// What is to become of the file.
    pub verdict: Verdict,
}

impl CheckReport {
    /// Printed when the user does not want the cut.
    pub const ABORTED: &str = "Aborting...";

    /// Printed where a broken file was not to be fixed.
    #[must_use]
    pub fn not_valid(name: &str) -> String {
        format!("AOF {name} is not valid. Use the --fix option to try fixing it.")
    }

    /// Printed where a broken file is to be fixed, but is not the last one.
    #[must_use]
    pub fn not_last(name: &str) -> String {
        format!("Failed to truncate AOF {name} because it is not the last file")
    }

    /// Printed where the cut failed.
    #[must_use]
    pub fn cut_failed(name: &str) -> String {
        format!("Failed to truncate AOF {name}")
    }

    /// The question before a cut; no end of line follows it. An answer that begins with `y` or `Y` agrees.
    #[must_use]
    pub fn question(name: &str, ok_up_to: u64, size: u64) -> String {
        let cut = size.saturating_sub(ok_up_to);
        format!(
            "This will shrink the AOF {name} from {size} bytes, with {cut} bytes, to {ok_up_to} bytes\nContinue? [y/N]: "
        )
    }
}

/// Reads a file from `source` to its first fault. `line` counts the lines of all files that are checked, from 1.
///
/// # Errors
/// Those of `source`.
pub fn check_aof(
    file: &CheckedFile<'_>,
    source: impl Read,
    line: &mut u64,
) -> std::io::Result<CheckReport> {
    let mut input = Input::new(source);
    let mut text = String::new();
    let refused = |text: String| CheckReport {
        text,
        verdict: Verdict::Refused,
    };
    let has_rdb = crate::begins_with_rdb(&mut input).map_err(std::io::Error::other)?;
    if input.buffered().is_empty() {
        let verdict = Verdict::Empty;
        return Ok(CheckReport { text, verdict });
    }
    if has_rdb && file.may_begin_with_rdb {
        let (report, rest) = rdb::check::check_rdb_in(file.path, input, file.now_ms);
        text.push_str(&report.text);
        match rest {
            Some(rest) if report.ok => input = rest,
            _ => {
                text.push_str("RDB preamble of AOF file is not sane, aborting.\n");
                return Ok(refused(text));
            }
        }
        text.push_str("RDB preamble is OK, proceeding with AOF tail...\n");
    }
    let mut check = Check {
        input,
        file,
        line,
        at: 0,
        depth: 0,
    };
    let (ok_up_to, end) = check.walk()?;
    let lines = *check.line;
    match end {
        End::Whole => {}
        End::Fault(fault) => {
            let _ = writeln!(text, "0x{:16x}: {fault}", check.at);
        }
        End::Format => {
            let _ = writeln!(text, "AOF {} format error", file.name);
        }
        End::Passes => {
            let verdict = Verdict::Passes(check.at);
            return Ok(CheckReport { text, verdict });
        }
        End::Refused(line) => {
            text.push_str(&line);
            return Ok(refused(text));
        }
    }
    let size = check.size()?;
    let diff = size.saturating_sub(ok_up_to);
    if let (0, Some(until_s)) = (diff, file.until_s) {
        let _ = writeln!(
            text,
            "Truncate nothing in AOF {} to timestamp {until_s}",
            file.name
        );
    } else {
        let _ = writeln!(
            text,
            "AOF analyzed: filename={}, size={size}, ok_up_to={ok_up_to}, ok_up_to_line={lines}, diff={diff}",
            file.name
        );
    }
    let verdict = match diff {
        0 => Verdict::Whole,
        _ => Verdict::Broken { ok_up_to, size },
    };
    Ok(CheckReport { text, verdict })
}

/// How a walk ended.
enum End {
    Whole,
    /// A fault to be printed with its place.
    Fault(String),
    /// Something else stands where a command must begin.
    Format,
    /// The instant is passed here.
    Passes,
    /// Lines to be printed, and nothing else.
    Refused(String),
}

/// Why the walk ended.
enum Stop {
    /// The file ended where something had to follow.
    End,
    Found(End),
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

struct Check<'a, R> {
    input: Input<R>,
    file: &'a CheckedFile<'a>,
    line: &'a mut u64,
    /// Where the part begins that was read last.
    at: u64,
    /// How many transactions are open: 0 or 1, or something is wrong.
    depth: i64,
}

impl<R: Read> Check<'_, R> {
    /// Where the last whole command or transaction ends, and what is behind it.
    fn walk(&mut self) -> std::io::Result<(u64, End)> {
        let mut ok_up_to = self.input.offset();
        loop {
            if self.depth == 0 {
                ok_up_to = self.input.offset();
            }
            match self.step() {
                Ok(()) => {}
                Err(Stop::End) if self.depth != 0 => {
                    let fault = "Reached EOF before reading EXEC for MULTI".to_owned();
                    return Ok((ok_up_to, End::Fault(fault)));
                }
                Err(Stop::End) => return Ok((ok_up_to, End::Whole)),
                Err(Stop::Found(end)) => return Ok((ok_up_to, end)),
                Err(Stop::Io(error)) => return Err(error),
            }
        }
    }

    /// A command or an annotation.
    fn step(&mut self) -> Result<(), Stop> {
        if self.input.buffered().is_empty() && !self.input.read_more()? {
            return Err(Stop::End);
        }
        match self.input.buffered().first() {
            Some(b'*') => self.command(),
            Some(b'#') => self.annotation(),
            _ => Err(Stop::Found(End::Format)),
        }
    }

    /// `#TS:` and the Unix seconds from which on what follows was written; any other is passed over.
    fn annotation(&mut self) -> Result<(), Stop> {
        self.at = self.input.offset();
        let line = self.take_line(MAX_ANNOTATION)?;
        if !line.ends_with(b"\n") {
            // What is written next would become a part of it.
            return Err(fault(
                "Reached the end of an annotation before its end of line".to_owned(),
            ));
        }
        let (Some(until_s), Some(stamp)) = (self.file.until_s, line.strip_prefix(b"#TS:")) else {
            return Ok(());
        };
        let refused = |line: String| Err(Stop::Found(End::Refused(line)));
        let stamp = stamp.strip_suffix(b"\r\n").and_then(parse_i64);
        let Some(stamp) = stamp else {
            return refused("Invalid timestamp annotation\n".to_owned());
        };
        if stamp <= until_s {
            return Ok(());
        }
        let path = self.file.path;
        if self.at == 0 {
            return refused(format!(
                "AOF {path} has nothing before timestamp {until_s}, aborting...\n"
            ));
        }
        if !self.file.is_last {
            let at = self.at;
            return refused(format!(
                "Failed to truncate AOF {path} to timestamp {until_s} to offset {at} because it is not the last file.\n\
                 If you insist, please delete all files after this file according to the manifest file and delete the \
                 corresponding records in manifest file manually. Then re-run valkey-check-aof.\n"
            ));
        }
        Err(Stop::Found(End::Passes))
    }

    fn command(&mut self) -> Result<(), Stop> {
        let count = self.number(b'*')?;
        if count < 1 {
            return Err(fault(format!(
                "Expected a positive number of arguments, got: {count}"
            )));
        }
        let name = self.bulk()?;
        let path = self.file.path;
        if name.eq_ignore_ascii_case(b"multi") {
            self.depth += 1;
            if self.depth != 1 {
                return Err(fault(format!("Unexpected MULTI in AOF {path}")));
            }
        } else if name.eq_ignore_ascii_case(b"exec") {
            self.depth -= 1;
            if self.depth != 0 {
                return Err(fault(format!("Unexpected EXEC in AOF {path}")));
            }
        }
        for _ in 1..count {
            self.bulk()?;
        }
        Ok(())
    }

    /// A line with its end, or as much of it as there is and may be.
    fn take_line(&mut self, most: usize) -> Result<Vec<u8>, Stop> {
        let line = loop {
            let bytes = self.input.buffered();
            let seen = &bytes[..bytes.len().min(most)];
            if let Some(end) = memchr::memchr(b'\n', seen) {
                break seen[..=end].to_vec();
            }
            if seen.len() == most || !self.input.read_more()? {
                let bytes = self.input.buffered();
                break bytes[..bytes.len().min(most)].to_vec();
            }
        };
        self.input.advance(line.len());
        Ok(line)
    }

    /// A line with a number.
    fn number(&mut self, prefix: u8) -> Result<i64, Stop> {
        self.at = self.input.offset();
        let line = self.take_line(MAX_LINE)?;
        let Some((&first, rest)) = line.split_first() else {
            return Err(Stop::End);
        };
        if first != prefix {
            let (prefix, first) = (char::from(prefix), char::from(first));
            return Err(fault(format!("Expected prefix '{prefix}', got: '{first}'")));
        }
        let digits = rest
            .iter()
            .take_while(|byte| byte.is_ascii_digit() || **byte == b'-')
            .count();
        let (digits, end) = rest.split_at(digits);
        self.expect_line_end(end)?;
        match parse_i64(digits) {
            Some(number) => Ok(number),
            None => Err(fault(format!(
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
            return Err(fault(format!(
                "Expected to read string of {length} bytes, which is not in the suitable range"
            )));
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
                self.expect_line_end(&end)?;
                Ok(name)
            }
            Err(Error::ShortRead { offset, .. }) => {
                let (wanted, got) = (length + 2, offset - start);
                Err(fault(format!(
                    "Expected to read {wanted} bytes, got {got} bytes"
                )))
            }
            Err(error) => Err(error.into()),
        }
    }

    fn expect_line_end(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        if bytes.starts_with(b"\r\n") {
            *self.line += 1;
            return Ok(());
        }
        let byte = |index: usize| bytes.get(index).copied().unwrap_or(0);
        Err(fault(format!(
            "Expected \\r\\n, got: {:02x}{:02x}",
            byte(0),
            byte(1)
        )))
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

fn fault(text: String) -> Stop {
    Stop::Found(End::Fault(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: CheckedFile<'_> = CheckedFile {
        name: "a.aof",
        path: "dir/a.aof",
        is_last: true,
        may_begin_with_rdb: true,
        until_s: None,
        now_ms: 0,
    };

    fn check(bytes: &[u8]) -> CheckReport {
        check_aof(&FILE, bytes, &mut 1).unwrap()
    }

    /// How far a file is whole.
    fn ok_up_to(bytes: &[u8]) -> u64 {
        match check(bytes).verdict {
            Verdict::Whole | Verdict::Empty => bytes.len() as u64,
            Verdict::Broken { ok_up_to, .. } => ok_up_to,
            other => panic!("{other:?}"),
        }
    }

    /// The lines that valkey-check-aof 9.1 prints for the same bytes.
    #[test]
    fn lines_are_those_of_valkey() {
        let analyzed = |size: u64, ok: u64, line: u64| {
            format!(
                "AOF analyzed: filename=a.aof, size={size}, ok_up_to={ok}, ok_up_to_line={line}, diff={}\n",
                size - ok
            )
        };
        for (bytes, fault, size, ok, line) in [
            (&b"*1\r\n$4\r\nPING\r\n"[..], "", 14, 14, 4),
            (
                b"*1\r\n$4\r\nPING\r\n*1\r",
                "0x               e: Expected \\r\\n, got: 0d00\n",
                17,
                14,
                4,
            ),
            (
                b"*1\r\n$4\r\nPING\r\n*1\r\n$4\r\nPI",
                "0x              16: Expected to read 6 bytes, got 2 bytes\n",
                24,
                14,
                6,
            ),
            (
                b"*1\r\n$5\r\nMULTI\r\n*1\r\n$4\r\nPING\r\n",
                "0x              17: Reached EOF before reading EXEC for MULTI\n",
                29,
                0,
                7,
            ),
            (
                b"*1\r\n$4\r\nEXEC\r\n",
                "0x               8: Unexpected EXEC in AOF dir/a.aof\n",
                14,
                0,
                4,
            ),
            (
                b"*1\r\n$4\r\nPINGxx*1\r\n$4\r\nPING\r\n",
                "0x               8: Expected \\r\\n, got: 7878\n",
                28,
                0,
                3,
            ),
            (
                b"*1\r\n$4\r\nPING\r\n!!!*1\r\n$4\r\nPING\r\n",
                "AOF a.aof format error\n",
                31,
                14,
                4,
            ),
            (b"#TS:1\r\n*1\r\n$4\r\nPING\r\n", "", 21, 21, 4),
            (
                b"*1\r\n$4\r\nPING\r\n#TS:1",
                "0x               e: Reached the end of an annotation before its end of line\n",
                19,
                14,
                4,
            ),
        ] {
            let report = check(bytes);
            assert_eq!(report.text, format!("{fault}{}", analyzed(size, ok, line)));
            assert_eq!(report.verdict == Verdict::Whole, size == ok);
        }
        assert_eq!(check(b"").verdict, Verdict::Empty);
        assert_eq!(
            CheckReport::question("a.aof", 14, 31),
            "This will shrink the AOF a.aof from 31 bytes, with 17 bytes, to 14 bytes\nContinue? [y/N]: "
        );
    }

    #[test]
    fn a_file_is_cut_where_it_passes_an_instant() {
        let ping = "*1\r\n$4\r\nPING\r\n";
        let bytes = format!("#TS:10\r\n{ping}#TS:20\r\n{ping}#TS:30\r\n{ping}");
        let check = |until_s, is_last| {
            let file = CheckedFile {
                until_s: Some(until_s),
                is_last,
                ..FILE
            };
            check_aof(&file, bytes.as_bytes(), &mut 1).unwrap()
        };
        assert_eq!(check(20, true).verdict, Verdict::Passes(44));
        assert_eq!(check(29, true).verdict, Verdict::Passes(44));
        let report = check(30, true);
        assert_eq!(report.verdict, Verdict::Whole);
        assert_eq!(
            report.text,
            "Truncate nothing in AOF a.aof to timestamp 30\n"
        );
        let report = check(9, true);
        assert_eq!(report.verdict, Verdict::Refused);
        assert_eq!(
            report.text,
            "AOF dir/a.aof has nothing before timestamp 9, aborting...\n"
        );
        let report = check(10, false);
        assert_eq!(report.verdict, Verdict::Refused);
        assert!(
            report.text.starts_with(
                "Failed to truncate AOF dir/a.aof to timestamp 10 to offset 22 because it is not the last file.\n"
            ),
            "{}",
            report.text
        );
    }

    #[test]
    fn an_rdb_file_at_the_start_is_checked_first() {
        let file = b"REDIS0006\xff\0\0\0\0\0\0\0\0*1\r\n$4\r\nPING\r\n";
        let report = check(file);
        assert_eq!(report.verdict, Verdict::Whole, "{}", report.text);
        assert!(report.text.contains("RDB preamble is OK, proceeding with AOF tail...\nAOF analyzed: filename=a.aof, size=32, ok_up_to=32, "));
        let report = check(b"REDIS0006\x09garbage");
        assert_eq!(report.verdict, Verdict::Refused);
        assert!(
            report
                .text
                .ends_with("RDB preamble of AOF file is not sane, aborting.\n"),
            "{}",
            report.text
        );
        let increment = CheckedFile {
            may_begin_with_rdb: false,
            ..FILE
        };
        let report = check_aof(&increment, &file[..], &mut 1).unwrap();
        assert!(matches!(
            report.verdict,
            Verdict::Broken { ok_up_to: 0, .. }
        ));
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
            assert_eq!(ok_up_to(&file[..len]), reader.valid_up_to(), "cut at {len}");
        }
    }
}
