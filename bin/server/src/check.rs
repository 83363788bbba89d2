//! The check tools: `redis-check-aof`, `redis-check-dump` and `redis-check-rdb`, under these names of the binary or as its first
//! argument. What is wrong with a file is found by the formats' own crates.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead as _, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use aof::{CheckReport, CheckedFile, Manifest, PartFile, PartKind, Verdict};
use daemon::{fail, reason, say};
use rdb::check::{Report, StatsFormat};

/// Which tool is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tool {
    Aof,
    Dump,
    Rdb,
}

impl Tool {
    /// The tool that this command line asks for, and its arguments.
    pub(crate) fn find<'a>(
        program: &[u8],
        arguments: &'a [Vec<u8>],
    ) -> Option<(Self, &'a [Vec<u8>])> {
        let (first, rest) = match arguments.split_first() {
            Some((first, rest)) => (first.strip_prefix(b"--"), rest),
            None => (None, arguments),
        };
        [Self::Aof, Self::Dump, Self::Rdb]
            .into_iter()
            .find_map(|tool| {
                let name = tool.name().as_bytes();
                if program.ends_with(name) {
                    Some((tool, arguments))
                } else {
                    (first == Some(name)).then_some((tool, rest))
                }
            })
    }

    /// As the program's name ends, or the first argument.
    fn name(self) -> &'static str {
        match self {
            Self::Aof => "check-aof",
            Self::Dump => "check-dump",
            Self::Rdb => "check-rdb",
        }
    }

    /// Runs it; 0 where the file is good, or was mended.
    pub(crate) fn run(self, program: &[u8], arguments: &[Vec<u8>]) -> ExitCode {
        let called = String::from_utf8_lossy(program);
        let name = if program.ends_with(self.name().as_bytes()) {
            called.into_owned()
        } else {
            format!("{called} --{}", self.name())
        };
        if self == Self::Rdb
            && let [path, options @ ..] = arguments
            && let Some(stats) = StatsWanted::of(options)
        {
            return exit_code(path, stats.check(path));
        }
        let (how, path) = match (self, arguments) {
            (Self::Aof | Self::Dump, [path]) => (How::Look, path),
            (Self::Aof, [word, path]) if word == b"--fix" => (How::Fix, path),
            (Self::Aof, [word, seconds, path]) if word == b"--truncate-to-timestamp" => {
                match std::str::from_utf8(seconds).map(str::parse) {
                    Ok(Ok(seconds)) => (How::CutAt(seconds), path),
                    _ => return complain("Invalid timestamp, aborting..."),
                }
            }
            (Self::Aof, _) => {
                return complain(&format!(
                    "Usage: {name} [--fix|--truncate-to-timestamp $timestamp] <file.manifest|file.aof>"
                ));
            }
            (Self::Dump, _) => return complain(&format!("Usage: {name} <dump.rdb>")),
            (Self::Rdb, _) => {
                return complain(&format!(
                    "Usage: {name} <rdb-file-name> [--format table|info|csv] [--stats] [--output <file>]"
                ));
            }
        };
        let path = Path::new(OsStr::from_bytes(path));
        exit_code(path.as_os_str().as_bytes(), self.check(how, path))
    }

    fn check(self, how: How, path: &Path) -> std::io::Result<ExitCode> {
        let name = path.display().to_string();
        if self == Self::Aof {
            return check_append_only(how, path);
        }
        let Ok(file) = File::open(path) else {
            return Ok(complain(&format!("Cannot open file: {name}")));
        };
        let report = rdb::check::check_dump(&name, &file, now_ms())?;
        Ok(told(&report))
    }
}

fn told(report: &Report) -> ExitCode {
    say(&report.text);
    if report.ok {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// What the check of a dump prints beside what is wrong.
#[derive(Debug, Default, PartialEq, Eq)]
struct StatsWanted<'a> {
    stats: bool,
    /// How they are written; otherwise as a table.
    format: Option<StatsFormat>,
    /// Where they go; otherwise to the output.
    output: Option<&'a [u8]>,
}

impl<'a> StatsWanted<'a> {
    /// Reads the words behind the file's name.
    fn of(options: &'a [Vec<u8>]) -> Option<Self> {
        let mut wanted = Self::default();
        let mut words = options.iter();
        while let Some(word) = words.next() {
            match word.as_slice() {
                b"--stats" => wanted.stats = true,
                b"--format" => wanted.format = Some(StatsFormat::named(words.next()?)?),
                b"--output" => wanted.output = Some(words.next()?),
                _ => return None,
            }
        }
        Some(wanted)
    }

    fn check(&self, path: &[u8]) -> std::io::Result<ExitCode> {
        let path = Path::new(OsStr::from_bytes(path));
        let name = path.display().to_string();
        let Ok(file) = File::open(path) else {
            return Ok(complain(&format!("Cannot open file: {name}")));
        };
        if !self.stats {
            return Ok(told(&rdb::check::check_rdb(&name, &file, now_ms())));
        }
        let (report, stats) = rdb::check::check_rdb_with_stats(&name, &file, now_ms());
        let code = told(&report);
        let text = stats.text(self.format.unwrap_or(StatsFormat::Table));
        match self.output {
            Some(output) => std::fs::write(OsStr::from_bytes(output), text)?,
            None => {
                say(&text);
            }
        }
        Ok(code)
    }
}

fn exit_code(path: impl AsRef<[u8]>, checked: std::io::Result<ExitCode>) -> ExitCode {
    checked.unwrap_or_else(|error| {
        fail(&format!(
            "Cannot check {}: {}",
            String::from_utf8_lossy(path.as_ref()),
            reason(&error)
        ))
    })
}

/// What is done with what is found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    Look,
    /// A broken tail is cut, if the user agrees.
    Fix,
    /// What was written behind this instant is cut, Unix seconds.
    CutAt(i64),
}

/// An append-only file: in parts where a manifest is given, otherwise a single one.
fn check_append_only(how: How, path: &Path) -> std::io::Result<ExitCode> {
    let name = path.display().to_string();
    let manifest = match manifest_in(path) {
        Ok(manifest) => manifest,
        Err(error) => {
            return Ok(complain(&format!(
                "Cannot open file {name}: {}",
                reason(&error)
            )));
        }
    };
    let Some(manifest) = manifest else {
        say("Start checking Old-Style AOF\n");
        let mut walk = Walk { how, line: 1 };
        return Ok(if walk.one(&name, path, "AOF", true, true)? {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        });
    };
    say("Start checking Multi Part AOF\n");
    let manifest = match Manifest::parse(&manifest) {
        Ok(manifest) => manifest,
        Err(error) => return Ok(complain(&error.to_string())),
    };
    let mut walk = Walk { how, line: 1 };
    let beside = |part: &PartFile| path.with_file_name(OsStr::from_bytes(&part.name));
    let size = |part| beside(part).metadata().map_or(0, |facts| facts.len());
    let last = aof::last_written(manifest.parts().map(size), manifest.base().is_some());
    for (index, part) in manifest.parts().enumerate() {
        let path = beside(part);
        let name = String::from_utf8_lossy(&part.name);
        let is_base = part.kind == PartKind::Base;
        if is_base {
            let format = if begins_with_rdb(&path)? {
                "RDB"
            } else {
                "RESP"
            };
            say(&format!("Start to check BASE AOF ({format} format).\n"));
        } else if index == usize::from(manifest.base().is_some()) {
            say("Start to check INCR files.\n");
        }
        let what = if is_base { "BASE AOF" } else { "INCR AOF" };
        if !walk.one(&name, &path, what, index == last, is_base)? {
            return Ok(ExitCode::FAILURE);
        }
    }
    Ok(say("All AOF files and manifest are valid\n"))
}

/// The content of a manifest; none where the file is another: its first line that is no comment tells.
fn manifest_in(path: &Path) -> std::io::Result<Option<Vec<u8>>> {
    /// No manifest is longer than this.
    const MOST: u64 = 1 << 20;
    let mut bytes = Vec::new();
    File::open(path)?.take(MOST).read_to_end(&mut bytes)?;
    let mut lines = bytes.split(|&byte| byte == b'\n');
    let told = lines.find(|line| !line.starts_with(b"#"));
    Ok(told
        .is_some_and(|line| line.starts_with(b"file"))
        .then_some(bytes))
}

fn begins_with_rdb(path: &Path) -> std::io::Result<bool> {
    let mut head = Vec::new();
    File::open(path)?.take(16).read_to_end(&mut head)?;
    Ok(rdb::is_signature(&head))
}

/// A walk over the files of one append-only file.
struct Walk {
    how: How,
    /// Lines of all of them.
    line: u64,
}

impl Walk {
    /// Checks one file, and cuts it where that is wanted; whether it is good now.
    fn one(
        &mut self,
        name: &str,
        path: &Path,
        what: &str,
        is_last: bool,
        may_begin_with_rdb: bool,
    ) -> std::io::Result<bool> {
        let shown = path.display().to_string();
        let opened = File::options()
            .read(true)
            .write(self.how != How::Look)
            .open(path);
        let file = match opened {
            Ok(file) => file,
            Err(error) => {
                let why = reason(&error);
                complain(&format!("Cannot open file {shown}: {why}, aborting..."));
                return Ok(false);
            }
        };
        let checked = CheckedFile {
            name,
            path: &shown,
            is_last,
            may_begin_with_rdb,
            until_s: match self.how {
                How::CutAt(until_s) => Some(until_s),
                How::Look | How::Fix => None,
            },
            now_ms: now_ms(),
        };
        let report = aof::check_aof(&checked, &file, &mut self.line)?;
        say(&report.text);
        let cut = |at: u64, done: String| match file.set_len(at).and_then(|()| file.sync_all()) {
            Ok(()) => Ok(is_said(&done)),
            Err(_) => Ok(is_complained(&CheckReport::cut_failed(name))),
        };
        match report.verdict {
            Verdict::Whole => Ok(is_said(&format!("{what} {name} is valid"))),
            Verdict::Empty => Ok(is_said(&format!("{what} {name} is empty"))),
            Verdict::Refused => Ok(false),
            Verdict::Passes(at) => {
                let until_s = checked.until_s.unwrap_or(0);
                let done = format!("Successfully truncated AOF {name} to timestamp {until_s}");
                cut(at, done)
            }
            Verdict::Broken { .. } if self.how != How::Fix => {
                Ok(is_complained(&CheckReport::not_valid(name)))
            }
            Verdict::Broken { .. } if !is_last => Ok(is_complained(&CheckReport::not_last(name))),
            Verdict::Broken { ok_up_to, size } => {
                say(&CheckReport::question(name, ok_up_to, size));
                if agreed()? {
                    cut(ok_up_to, format!("Successfully truncated AOF {name}"))
                } else {
                    Ok(is_complained(CheckReport::ABORTED))
                }
            }
        }
    }
}

/// Whether the user answers yes.
fn agreed() -> std::io::Result<bool> {
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(answer.starts_with(['y', 'Y']))
}

fn is_said(text: &str) -> bool {
    say(&line(text));
    true
}

fn is_complained(text: &str) -> bool {
    complain(text);
    false
}

/// As Redis's tools, which say everything on standard output.
fn complain(text: &str) -> ExitCode {
    say(&line(text));
    ExitCode::FAILURE
}

fn line(text: &str) -> String {
    format!("{text}\n")
}

fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tool_is_found_by_the_name_of_the_program_or_the_first_argument() {
        let words = |text: &str| -> Vec<Vec<u8>> {
            text.split(' ')
                .map(|word| word.as_bytes().to_vec())
                .collect()
        };
        let found = |program: &str, line: &str| {
            let arguments = words(line);
            Tool::find(program.as_bytes(), &arguments).map(|(tool, rest)| (tool, rest.len()))
        };
        assert_eq!(
            found("src/redis-check-aof", "--fix a"),
            Some((Tool::Aof, 2))
        );
        assert_eq!(found("redis-check-dump", "a"), Some((Tool::Dump, 1)));
        assert_eq!(found("server", "--check-rdb a"), Some((Tool::Rdb, 1)));
        assert_eq!(found("server", "--check-aof --fix a"), Some((Tool::Aof, 2)));
        assert_eq!(found("server", "--port 1"), None);
        assert_eq!(found("server", "check-aof"), None);
    }

    #[test]
    fn the_options_of_the_check_of_a_dump_follow_its_name() {
        let wanted = |line: &str| {
            let words: Vec<Vec<u8>> = line.split_whitespace().map(|word| word.into()).collect();
            StatsWanted::of(&words).map(|wanted| {
                let output = wanted.output.map(<[u8]>::to_vec);
                (wanted.stats, wanted.format, output)
            })
        };
        assert_eq!(wanted(""), Some((false, None, None)));
        assert_eq!(
            wanted("--stats --format csv --output o"),
            Some((true, Some(StatsFormat::Csv), Some(b"o".to_vec())))
        );
        for bad in ["--format", "--format xml", "--output", "--stats more"] {
            assert_eq!(wanted(bad), None, "{bad}");
        }
    }
}
