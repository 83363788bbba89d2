//! `redis-check-dump` of Redis 3.0.7: walks the opcodes of a file of version 1 to 6 without looking into values, and where one is
//! broken, searches for the next three that are whole in a row. Newer versions go to [`check_rdb`].

use std::io::{self, Read, Seek, SeekFrom};

use super::window::Window;
use super::{Report, check_rdb};
use crate::crc64::Crc64;
use crate::format::{
    Encoding, FIRST_VERSION_WITH_CHECKSUM, MAGIC, Version, opcode, string_encoding,
};
use crate::lzf;

const HEADER_BYTES: u64 = 9;
const CHECKSUM_BYTES: u64 = 8;
/// How many whole entries in a row end a search.
const ENTRIES_TO_RESUME: usize = 3;
/// Steps that all searches together may take: a damaged file of any size is answered in seconds.
const SEARCH_STEPS: u64 = 50_000_000;
/// The highest database number that counts as a sign of a whole entry.
const MAX_DATABASE: u64 = 63;
/// Columns of a heading.
const WIDTH: usize = 80;

/// Walks the file `name` in `source` to its end. `now_ms` is for [`check_rdb`].
///
/// # Errors
/// Those of `source`.
pub fn check_dump(name: &str, mut source: impl Read + Seek, now_ms: i64) -> io::Result<Report> {
    source.seek(SeekFrom::Start(0))?;
    let mut header = Vec::new();
    (&mut source).take(HEADER_BYTES).read_to_end(&mut header)?;
    let mut report = Report::default();
    let version = match version(&header) {
        Ok(version) => version,
        Err(text) => {
            report.line(text);
            return Ok(report);
        }
    };
    if version > Version::OLDEST_WRITTEN.number() {
        source.seek(SeekFrom::Start(0))?;
        return Ok(check_rdb(name, source, now_ms));
    }
    let window = Window::new(source)?;
    let checksummed = version >= FIRST_VERSION_WITH_CHECKSUM;
    let end = if checksummed {
        window.size().checked_sub(CHECKSUM_BYTES)
    } else {
        Some(window.size())
    };
    let Some(end) = end.filter(|&end| end >= HEADER_BYTES) else {
        report.line("RDB version >= 5 but no room for checksum.");
        return Ok(report);
    };
    let mut walk = Walk {
        window,
        end,
        at: HEADER_BYTES,
        errors: Vec::new(),
        packed: Vec::new(),
        steps: 0,
    };
    let bad = walk.run(&mut report)?;
    let checksum_good = !checksummed || walk.check_sum(&mut report)?;
    if bad > 0 {
        report.line("");
        report.line(format!("Total unprocessable opcodes: {bad}"));
    }
    report.ok = bad == 0 && checksum_good;
    Ok(report)
}

fn version(header: &[u8]) -> Result<u16, String> {
    let Ok(header) = header.try_into() else {
        return Err("Cannot read header".to_owned());
    };
    match Version::declared(header) {
        Some(version) if version.number() > 0 => Ok(version.number()),
        None if !header.starts_with(MAGIC) => Err("Wrong signature in header".to_owned()),
        version => Err(format!(
            "Unknown RDB format version: {}",
            version.map_or(0, Version::number)
        )),
    }
}

/// What one entry turned out to be.
#[derive(Default)]
struct Entry {
    code: Option<u8>,
    key: Option<Vec<u8>>,
    whole: bool,
}

/// A step that failed was noted in [`Walk::errors`].
enum Stop {
    Broken,
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

struct Walk<R> {
    window: Window<R>,
    /// Where the checksum begins, or the file ends.
    end: u64,
    at: u64,
    /// What was wrong with the entry, innermost first.
    errors: Vec<(u64, String)>,
    packed: Vec<u8>,
    /// Steps taken while searching.
    steps: u64,
}

impl<R: Read + Seek> Walk<R> {
    /// Walks to the end; how many entries were broken.
    fn run(&mut self, report: &mut Report) -> io::Result<u64> {
        let (mut bad, mut good, mut good_bytes) = (0, 0u64, 0u64);
        let mut last = None;
        while self.at < self.end {
            let start = self.at;
            let entry = self.entry()?;
            last = entry.code;
            if entry.whole {
                good += 1;
                good_bytes += self.at - start;
                continue;
            }
            report.line(valid(good, good_bytes));
            self.report_errors(&entry, report);
            (bad, good, good_bytes) = (bad + 1, 0, 0);
            self.steps = 0;
            let (resume, code) = self.search(start + 1)?;
            last = code;
            if resume < self.end {
                let skipped = resume - start;
                report.line(heading(&format!(
                    "Skipped {skipped} bytes (resuming at 0x{resume:08x})"
                )));
            }
            self.at = resume;
        }
        report.line(valid(good, good_bytes));
        if last != Some(opcode::EOF) {
            self.errors = vec![(
                self.at,
                format!("Expected EOF, got {}", last.map_or("", type_name)),
            )];
            self.report_errors(&Entry::default(), report);
            bad += 1;
        }
        Ok(bad)
    }

    /// The next place from `from` where enough whole entries follow each other; the end where there is none.
    fn search(&mut self, from: u64) -> io::Result<(u64, Option<u8>)> {
        let mut code = None;
        for place in from..self.end {
            self.at = place;
            let mut whole = 0;
            while whole < ENTRIES_TO_RESUME {
                let entry = self.entry()?;
                code = entry.code;
                if !entry.whole {
                    break;
                }
                whole += 1;
                // The end mark is the last entry there is.
                if entry.code == Some(opcode::EOF) {
                    whole = ENTRIES_TO_RESUME;
                }
            }
            if whole == ENTRIES_TO_RESUME {
                return Ok((place, code));
            }
            if self.steps > SEARCH_STEPS {
                break;
            }
        }
        Ok((self.end, code))
    }

    fn entry(&mut self) -> io::Result<Entry> {
        self.errors.clear();
        let mut entry = Entry::default();
        match self.try_entry(&mut entry) {
            Ok(()) => entry.whole = true,
            Err(Stop::Broken) => {}
            Err(Stop::Io(error)) => return Err(error),
        }
        Ok(entry)
    }

    fn try_entry(&mut self, entry: &mut Entry) -> Result<(), Stop> {
        let start = self.at;
        let mut code = self.type_code(entry)?;
        let body = self.at;
        if code == opcode::EOF {
            return if self.at < self.end {
                self.broken(start, "Unexpected EOF")
            } else {
                Ok(())
            };
        }
        if code == opcode::SELECT_DB {
            match self.length()? {
                None => return self.broken(body, "Error reading database number"),
                Some(database) if database > MAX_DATABASE => {
                    return self.broken(body, format!("Database number out of range ({database})"));
                }
                Some(_) => {}
            }
        } else {
            if let opcode::EXPIRE_MS | opcode::EXPIRE_SECONDS = code {
                let bytes = if code == opcode::EXPIRE_MS { 8 } else { 4 };
                if !self.skip(bytes) {
                    return self.broken(body, "Could not read time");
                }
                code = self.type_code(entry)?;
            }
            let pair = self.at;
            if let Err(stop) = self.pair(code, entry) {
                self.errors
                    .push((pair, format!("Error for type {}", type_name(code))));
                return Err(stop);
            }
        }
        let next = self.at;
        match self.window.bytes(next, 1)? {
            Some(&[byte]) if next < self.end && is_type(byte) => Ok(()),
            _ => {
                self.errors
                    .push((next, "Followed by invalid type".to_owned()));
                self.broken(start, format!("Error for type {}", type_name(code)))
            }
        }
    }

    fn type_code(&mut self, entry: &mut Entry) -> Result<u8, Stop> {
        let at = self.at;
        match self.byte()? {
            None => self.broken(at, "Could not read type"),
            Some(code) if is_type(code) => {
                entry.code = Some(code);
                Ok(code)
            }
            Some(code) => self.broken(at, format!("Unknown type (0x{code:02x})")),
        }
    }

    fn pair(&mut self, code: u8, entry: &mut Entry) -> Result<(), Stop> {
        let start = self.at;
        let mut key = Vec::new();
        if self.string(Some(&mut key)).is_err() {
            return self.broken(start, "Error reading entry key");
        }
        entry.key = Some(key);
        let Some(encoding) = Encoding::from_code(code) else {
            return self.broken(start, "Type not implemented");
        };
        let (Encoding::List | Encoding::Set | Encoding::Zset | Encoding::Hash) = encoding else {
            return if self.string(None).is_ok() {
                Ok(())
            } else {
                self.broken(start, "Error reading entry value")
            };
        };
        let Some(length) = self.length()? else {
            return self.broken(start, format!("Error reading {} length", type_name(code)));
        };
        for index in 0..length {
            let at = self.at;
            let pairs = matches!(encoding, Encoding::Zset | Encoding::Hash);
            let what = if pairs { "element key" } else { "element" };
            if self.string(None).is_err() {
                return self.broken(
                    at,
                    format!("Error reading {what} at index {index} (length: {length})"),
                );
            }
            let at = self.at;
            let value = match encoding {
                Encoding::Zset => self.score(),
                Encoding::Hash => self.string(None),
                _ => Ok(()),
            };
            if value.is_err() {
                return self.broken(
                    at,
                    format!("Error reading element value at index {index} (length: {length})"),
                );
            }
        }
        Ok(())
    }

    /// Passes over a string; a `key` is kept as far as it is shown.
    fn string(&mut self, key: Option<&mut Vec<u8>>) -> Result<(), Stop> {
        let start = self.at;
        if self.try_string(key)?.is_some() {
            Ok(())
        } else {
            self.broken(start, "Error reading string object")
        }
    }

    fn try_string(&mut self, key: Option<&mut Vec<u8>>) -> Result<Option<()>, Stop> {
        /// The longest key that the original shows, and one byte more to see that it is cut.
        const SHOWN: u64 = 41;
        let start = self.at;
        let Some(first) = self.byte()? else {
            return Ok(None);
        };
        if first >> 6 != 3 {
            self.at = start;
            let Some(length) = self.length()? else {
                return Ok(None);
            };
            let text = self.at;
            if !self.skip(length) {
                return Ok(None);
            }
            if let Some(key) = key {
                self.window.copy(text, length.min(SHOWN), key)?;
            }
            return Ok(Some(()));
        }
        let bytes = match first & 0x3f {
            string_encoding::INT8 => 1,
            string_encoding::INT16 => 2,
            string_encoding::INT32 => 4,
            string_encoding::LZF => return self.compressed(key),
            unknown => {
                self.errors
                    .push((start, format!("Unknown string encoding (0x{unknown:02x})")));
                return Ok(None);
            }
        };
        let mut wide = [0; 8];
        match self.window.bytes(self.at, bytes)? {
            Some(read) if self.at + bytes as u64 <= self.end => {
                wide[8 - bytes..].copy_from_slice(read);
            }
            _ => return Ok(None),
        }
        self.at += bytes as u64;
        if let Some(key) = key {
            key.extend(
                (i64::from_le_bytes(wide) >> (64 - 8 * bytes))
                    .to_string()
                    .into_bytes(),
            );
        }
        Ok(Some(()))
    }

    fn compressed(&mut self, key: Option<&mut Vec<u8>>) -> Result<Option<()>, Stop> {
        let (Some(packed), Some(len)) = (self.length()?, self.length()?) else {
            return Ok(None);
        };
        let start = self.at;
        if !self.skip(packed) {
            return Ok(None);
        }
        self.packed.clear();
        self.window.copy(start, packed, &mut self.packed)?;
        self.steps += packed + len.min(packed.saturating_mul(88));
        let mut expanded = Vec::new();
        if lzf::expand(&self.packed, len, &mut expanded).is_err() {
            return Ok(None);
        }
        if let Some(key) = key {
            *key = expanded;
        }
        Ok(Some(()))
    }

    fn score(&mut self) -> Result<(), Stop> {
        let start = self.at;
        let whole = match self.byte()? {
            None => false,
            Some(253..=255) => true,
            Some(len) => self.skip(u64::from(len)),
        };
        if whole {
            Ok(())
        } else {
            self.broken(start, "Error reading double value")
        }
    }

    fn length(&mut self) -> Result<Option<u64>, Stop> {
        let Some(first) = self.byte()? else {
            return Ok(None);
        };
        let low = u64::from(first & 0x3f);
        Ok(match first >> 6 {
            1 => self.byte()?.map(|byte| low << 8 | u64::from(byte)),
            2 => {
                let at = self.at;
                if !self.skip(4) {
                    return Ok(None);
                }
                self.window
                    .bytes(at, 4)?
                    .and_then(|bytes| bytes.first_chunk())
                    .map(|bytes| u64::from(u32::from_be_bytes(*bytes)))
            }
            _ => Some(low),
        })
    }

    fn byte(&mut self) -> Result<Option<u8>, Stop> {
        self.steps += 1;
        if self.at >= self.end {
            return Ok(None);
        }
        let byte = self
            .window
            .bytes(self.at, 1)?
            .and_then(|bytes| bytes.first())
            .copied();
        self.at += u64::from(byte.is_some());
        Ok(byte)
    }

    fn skip(&mut self, bytes: u64) -> bool {
        match self.at.checked_add(bytes).filter(|&at| at <= self.end) {
            Some(at) => {
                self.at = at;
                true
            }
            None => false,
        }
    }

    fn broken<T>(&mut self, at: u64, what: impl Into<String>) -> Result<T, Stop> {
        self.errors.push((at, what.into()));
        Err(Stop::Broken)
    }

    fn report_errors(&self, entry: &Entry, report: &mut Report) {
        let title = match (entry.code, &entry.key) {
            (None, _) => "Error trace".to_owned(),
            (Some(code @ opcode::EXPIRE_MS..), _) => format!("Error trace ({})", type_name(code)),
            (Some(code), None) => format!("Error trace ({}: (unknown))", type_name(code)),
            (Some(code), Some(key)) => format!("Error trace ({}: {})", type_name(code), shown(key)),
        };
        report.line(heading(&title));
        for (at, what) in &self.errors {
            report.line(format!("0x{at:08x} - {what}"));
        }
    }

    /// Compares the checksum; the original finds a wrong one too, but forgets to say so.
    fn check_sum(&mut self, report: &mut Report) -> io::Result<bool> {
        const STEP: usize = 32 * 1024;
        let mut crc = Crc64::new();
        let mut at = 0;
        while at < self.end {
            let step = usize::try_from(self.end - at).map_or(STEP, |left| left.min(STEP));
            let Some(bytes) = self.window.bytes(at, step)? else {
                break;
            };
            crc.update(bytes);
            at += step as u64;
        }
        let stored = self
            .window
            .bytes(self.end, 8)?
            .and_then(|bytes| bytes.first_chunk())
            .map(|bytes| u64::from_le_bytes(*bytes));
        let good = match stored {
            Some(0) => {
                report.line(crate::UNCHECKED);
                return Ok(true);
            }
            stored => stored == Some(crc.value()),
        };
        if good {
            report.line("CRC64 checksum is OK");
        } else {
            report.line(format!("0x{:08x} - RDB CRC64 does not match.", self.end));
        }
        Ok(good)
    }
}

fn is_type(code: u8) -> bool {
    matches!(code, 0..=4 | 9..=13 | opcode::EXPIRE_MS..)
}

fn type_name(code: u8) -> &'static str {
    match code {
        0 => "STRING",
        1 => "LIST",
        2 => "SET",
        3 => "ZSET",
        4 => "HASH",
        9 => "HASH_ZIPMAP",
        10 => "LIST_ZIPLIST",
        11 => "SET_INTSET",
        12 => "ZSET_ZIPLIST",
        13 => "HASH_ZIPLIST",
        opcode::EXPIRE_MS => "EXPIRETIME_MS",
        opcode::EXPIRE_SECONDS => "EXPIRETIME",
        opcode::SELECT_DB => "SELECTDB",
        opcode::EOF => "EOF",
        _ => "",
    }
}

/// A key as the original shows it: at most 40 bytes, what cannot be printed as question marks.
fn shown(key: &[u8]) -> String {
    const MAX: usize = 40;
    let cut = key.len() > MAX;
    let kept = if cut { &key[..MAX - 3] } else { key };
    let mut text: String = kept
        .iter()
        .map(|&byte| {
            if byte.is_ascii_graphic() {
                char::from(byte)
            } else {
                '?'
            }
        })
        .collect();
    if cut {
        text.push_str("...");
    }
    text
}

fn valid(entries: u64, bytes: u64) -> String {
    heading(&format!(
        "Processed {entries} valid opcodes (in {bytes} bytes)"
    ))
}

fn heading(title: &str) -> String {
    const INDENT: usize = 4;
    format!(
        "{0:=<INDENT$} {title} {0:=<1$}",
        "",
        WIDTH.saturating_sub(2 + INDENT + title.len())
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn check(bytes: &[u8]) -> Report {
        check_dump("dump.rdb", Cursor::new(bytes), 0).unwrap()
    }

    const GOOD: &[u8] = include_bytes!("../../tests/data/redis-3.0.7.rdb");

    #[test]
    fn a_good_file() {
        let report = check(GOOD);
        let expected = "==== Processed 30 valid opcodes (in 46264 bytes) ===============================\nCRC64 checksum is OK\n";
        assert_eq!(
            report,
            Report {
                text: expected.to_owned(),
                ok: true
            }
        );
    }

    #[test]
    fn what_comes_before_and_after_a_damaged_part_is_counted() {
        let mut file = b"REDIS0006\xfe\x00\x00\x01a\x01b\x00\x01c\x01d".to_vec();
        file.extend(b"\x63garbage\x00\x01e\x01f\x00\x01g\x01h\x00\x01i\x01j\xff");
        file.extend([0; 8]);
        let report = check(&file);
        let expected = "\
==== Processed 2 valid opcodes (in 7 bytes) ====================================
==== Error trace (STRING: c) ===================================================
0x00000015 - Followed by invalid type
0x00000010 - Error for type STRING
==== Skipped 13 bytes (resuming at 0x0000001d) =================================
==== Processed 4 valid opcodes (in 16 bytes) ===================================
RDB file was saved with checksum disabled: no check performed.

Total unprocessable opcodes: 1
";
        assert_eq!(
            report,
            Report {
                text: expected.to_owned(),
                ok: false
            }
        );
    }

    #[test]
    fn a_cut_file_has_no_end_and_a_wrong_checksum() {
        let report = check(&GOOD[..40_000]);
        assert!(!report.ok);
        assert!(report.text.contains("Expected EOF, got"), "{}", report.text);
        assert!(
            report.text.contains("RDB CRC64 does not match."),
            "{}",
            report.text
        );
    }

    #[test]
    fn what_is_no_dump_is_said_in_a_line() {
        for (bytes, text) in [
            (&b"REDIS"[..], "Cannot read header\n"),
            (b"HELLO0006", "Wrong signature in header\n"),
            (b"REDIS0000", "Unknown RDB format version: 0\n"),
            (b"REDIS00x1", "Unknown RDB format version: 0\n"),
            (
                b"REDIS0006\xff",
                "RDB version >= 5 but no room for checksum.\n",
            ),
        ] {
            assert_eq!(
                check(bytes),
                Report {
                    text: text.to_owned(),
                    ok: false
                }
            );
        }
    }

    #[test]
    fn a_newer_file_is_checked_as_redis_check_rdb_does() {
        let report = check(include_bytes!("../../tests/data/redis-7.2.6.rdb"));
        assert!(report.ok, "{}", report.text);
        assert!(
            report
                .text
                .starts_with("[offset 0] Checking RDB file dump.rdb\n[offset "),
            "{}",
            report.text
        );
        assert!(
            report.text.contains("AUX FIELD redis-ver = '7.2.6'"),
            "{}",
            report.text
        );
        assert!(report.text.ends_with("[info] 29 keys read\n[info] 1 expires\n[info] 0 already expired\n[info] 1 functions\n"), "{}", report.text);
    }

    #[test]
    fn any_damage_is_answered() {
        let file = include_bytes!("../../tests/data/encodings.rdb");
        for at in 0..file.len() {
            for byte in [0, 9, 0x80, 0xc3, 0xfe, 0xff] {
                let mut damaged = file.to_vec();
                damaged[at] = byte;
                assert!(!check(&damaged).text.is_empty());
            }
        }
    }
}
