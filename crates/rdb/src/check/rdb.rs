//! `redis-check-rdb`: reads a file of any version as a load would. Line forms are those of Redis 3.2 and later, which brought the name.

use std::io::Read;

use super::{Report, Stats};
use crate::error::{Error, Printable};
use crate::format::{Origin, Version};
use crate::input::Input;
use crate::reader::{KeyRecord, Options, Reader, Record};

/// Reads the file `name` from `source` to its end. `now_ms` is Unix milliseconds: keys that expired before are counted.
pub fn check_rdb(name: &str, source: impl Read, now_ms: i64) -> Report {
    check_rdb_in(name, Input::new(source), now_ms).0
}

/// The same with statistics of the keys, as far as the file is good.
pub fn check_rdb_with_stats(name: &str, source: impl Read, now_ms: i64) -> (Report, Stats) {
    let mut check = Check {
        stats: Some(Stats::default()),
        ..Check::default()
    };
    check.run(name, Input::new(source), now_ms);
    (check.report, check.stats.unwrap_or_default())
}

/// As [`check_rdb`] for a file inside another: gives the input back, standing behind it, where that is known.
pub fn check_rdb_in<R: Read>(
    name: &str,
    input: Input<R>,
    now_ms: i64,
) -> (Report, Option<Input<R>>) {
    let mut check = Check::default();
    let behind = check.run(name, input, now_ms);
    (check.report, behind)
}

#[derive(Default)]
struct Check {
    report: Report,
    keys: u64,
    expires: u64,
    expired: u64,
    functions: u64,
    skipped: u64,
    /// Of the keys, where they are wanted.
    stats: Option<Stats>,
}

impl Check {
    /// Reads the whole file; gives the input back where that is known.
    fn run<R: Read>(&mut self, name: &str, input: Input<R>, now_ms: i64) -> Option<Input<R>> {
        self.report
            .line(format!("[offset 0] Checking RDB file {name}"));
        let options = Options {
            checksum: true,
            skip_unsupported: true,
            relaxed: true,
        };
        match Reader::open(input, options) {
            Ok(mut reader) => {
                if let Some(origin) = unknown(reader.version()) {
                    let (mut text, number) = (origin.to_owned(), reader.version().number());
                    text[..1].make_ascii_uppercase();
                    let offset = reader.offset();
                    self.report.line(format!(
                        "[offset {offset}] {text} RDB version {number} detected"
                    ));
                }
                let result = self.walk(&mut reader, now_ms);
                self.finish(result, Some(&reader));
                Some(reader.into_input())
            }
            Err(error) => {
                self.finish::<R>(Err(error), None);
                None
            }
        }
    }

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
                Some(Record::Function(_)) => {
                    self.functions += 1;
                    continue;
                }
                Some(Record::SlotImport(import)) => format!("Slot import {}", import.job),
                Some(Record::Skipped(what)) => {
                    self.skipped += 1;
                    what.to_string()
                }
                Some(Record::Key(key)) => {
                    self.key(reader, key, now_ms)?;
                    continue;
                }
            };
            self.report
                .line(format!("[offset {}] {line}", reader.offset()));
        }
    }

    fn key<R: Read>(
        &mut self,
        reader: &mut Reader<R>,
        key: KeyRecord,
        now_ms: i64,
    ) -> Result<(), Error> {
        self.keys += 1;
        self.expires += u64::from(key.expire_ms.is_some());
        self.expired += u64::from(key.expire_ms.is_some_and(|at| at < now_ms));
        match &mut self.stats {
            Some(stats) => stats.add(reader, key, now_ms),
            None => Ok(()),
        }
    }

    fn finish<R: Read>(&mut self, result: Result<(), Error>, reader: Option<&Reader<R>>) {
        let offset = reader.map_or(0, Reader::offset);
        match result {
            Ok(()) => {
                let unchecked = reader
                    .is_some_and(|reader| reader.was_unchecked() || reader.version().number() < 5);
                let checksum = if unchecked {
                    crate::UNCHECKED
                } else {
                    "Checksum OK"
                };
                self.report.line(format!("[offset {offset}] {checksum}"));
                let loads = if reader
                    .and_then(|reader| unknown(reader.version()))
                    .is_some()
                {
                    ", but loading requires config 'rdb-version-check relaxed'"
                } else {
                    "! \\o/"
                };
                self.report
                    .line(format!("[offset {offset}] \\o/ RDB looks OK{loads}"));
                self.report.ok = true;
            }
            Err(error) => {
                self.report.line("--- RDB ERROR DETECTED ---");
                let at = error.offset().unwrap_or(offset);
                let what = match error {
                    Error::Type { code, version, .. } if unknown(version).is_some() => {
                        let origin = unknown(version).unwrap_or_default();
                        format!(
                            "Unknown object type {code} in RDB file with {origin} version {}",
                            version.number()
                        )
                    }
                    Error::Type { code, .. } => format!("Invalid object type: {code}"),
                    other => other.to_string(),
                };
                self.report.line(format!("[offset {at}] {what}"));
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
        self.report
            .line(format!("[info] {} functions", self.functions));
        if self.skipped > 0 {
            self.report.line(format!(
                "[info] {} objects that this server cannot keep",
                self.skipped
            ));
        }
    }
}

/// What a version is called whose types are not all known here.
fn unknown(version: Version) -> Option<&'static str> {
    match version.origin() {
        Origin::Known | Origin::Never => None,
        Origin::Foreign => Some("foreign"),
        Origin::Future => Some("future"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_that_are_not_known_are_checked_as_far_as_their_types_are() {
        let told = |bytes: &[u8]| check_rdb("dump.rdb", bytes, 0).text;
        let text = told(b"VALKEY987\0\x01k\x01v\xff\0\0\0\0\0\0\0\0");
        assert!(
            text.contains("[offset 9] Future RDB version 987 detected\n"),
            "{text}"
        );
        assert!(text.contains("[offset 23] \\o/ RDB looks OK, but loading requires config 'rdb-version-check relaxed'\n"), "{text}");
        let text = told(b"REDIS0075\0\x01k\x01v\x96k");
        assert!(
            text.contains("[offset 9] Foreign RDB version 75 detected\n"),
            "{text}"
        );
        assert!(
            text.contains(
                "[offset 15] Unknown object type 150 in RDB file with foreign version 75\n"
            ),
            "{text}"
        );
    }

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
