//! `redis-check-rdb`: reads a file of any version as a load would. Line forms are those of Redis 3.2 and later, which brought the name.

use std::io::Read;

use super::Report;
use crate::error::{Error, Printable};
use crate::input::Input;
use crate::reader::{Options, Reader, Record};

/// Reads the file `name` from `source` to its end. `now_ms` is Unix milliseconds: keys that expired before are counted.
pub fn check_rdb(name: &str, source: impl Read, now_ms: i64) -> Report {
    check_rdb_in(name, Input::new(source), now_ms).0
}

/// The same for a file inside another: gives the input back, standing behind it, where that is known.
pub fn check_rdb_in<R: Read>(
    name: &str,
    input: Input<R>,
    now_ms: i64,
) -> (Report, Option<Input<R>>) {
    let mut check = Check {
        report: Report::default(),
        keys: 0,
        expires: 0,
        expired: 0,
        skipped: 0,
    };
    check
        .report
        .line(format!("[offset 0] Checking RDB file {name}"));
    let options = Options {
        checksum: true,
        skip_unsupported: true,
    };
    match Reader::open(input, options) {
        Ok(mut reader) => {
            let result = check.walk(&mut reader, now_ms);
            check.finish(result, Some(&reader));
            (check.report, Some(reader.into_input()))
        }
        Err(error) => {
            check.finish::<R>(Err(error), None);
            (check.report, None)
        }
    }
}

struct Check {
    report: Report,
    keys: u64,
    expires: u64,
    expired: u64,
    skipped: u64,
}

impl Check {
    fn walk<R: Read>(&mut self, reader: &mut Reader<R>, now_ms: i64) -> Result<(), Error> {
        loop {
            let line = match reader.next_record()? {
                None => return Ok(()),
                Some(Record::Aux { name, value }) => {
                    let (name, value) = (Printable::new(name), Printable::new(&value.to_vec()));
                    format!("AUX FIELD {name} = '{value}'")
                }
                Some(Record::Select(database)) => format!("Selecting DB ID {database}"),
                Some(Record::Resize { .. }) => continue,
                Some(Record::Skipped(what)) => {
                    self.skipped += 1;
                    what.to_string()
                }
                Some(Record::Key(key)) => {
                    self.keys += 1;
                    self.expires += u64::from(key.expire_ms.is_some());
                    self.expired += u64::from(key.expire_ms.is_some_and(|at| at < now_ms));
                    continue;
                }
            };
            self.report
                .line(format!("[offset {}] {line}", reader.offset()));
        }
    }

    fn finish<R: Read>(&mut self, result: Result<(), Error>, reader: Option<&Reader<R>>) {
        let offset = reader.map_or(0, Reader::offset);
        match result {
            Ok(()) => {
                let unchecked =
                    reader.is_some_and(|reader| reader.was_unchecked() || reader.version() < 5);
                let checksum = if unchecked {
                    crate::UNCHECKED
                } else {
                    "Checksum OK"
                };
                self.report.line(format!("[offset {offset}] {checksum}"));
                self.report
                    .line(format!("[offset {offset}] \\o/ RDB looks OK! \\o/"));
                self.report.ok = true;
            }
            Err(error) => {
                self.report.line("--- RDB ERROR DETECTED ---");
                self.report.line(format!(
                    "[offset {}] {error}",
                    error.offset().unwrap_or(offset)
                ));
                if let Some(reader) = reader
                    && let Some(encoding) = reader.encoding()
                {
                    self.report.line(format!(
                        "[additional info] Reading key '{}'",
                        Printable::new(reader.key())
                    ));
                    self.report.line(format!(
                        "[additional info] Reading type {} ({})",
                        encoding.code(),
                        encoding.name()
                    ));
                }
            }
        }
        self.report.line(format!("[info] {} keys read", self.keys));
        self.report.line(format!("[info] {} expires", self.expires));
        self.report
            .line(format!("[info] {} already expired", self.expired));
        if self.skipped > 0 {
            self.report.line(format!(
                "[info] {} objects that this server cannot keep",
                self.skipped
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_that_was_being_read_is_told_with_its_own_type() {
        let told = |bytes: &[u8]| check_rdb("dump.rdb", bytes, 0).text;
        let whole = b"REDIS0006\xfe\x00\x00\x01k\x01v\x0b\x03set\x0a\x02\x00\x00\x00\x01\x00\x00\x00\x07\x00";
        let text = told(whole);
        assert!(!text.contains("additional info"), "{text}");
        let text = told(&whole[..whole.len() - 1]);
        assert!(
            text.contains("Reading key 'set'\n[additional info] Reading type 11 (set-intset)\n"),
            "{text}"
        );
    }
}
