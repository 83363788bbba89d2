//! The check tools: `redis-check-aof`, `redis-check-dump` and `redis-check-rdb`, under these names of the binary or as its first
//! argument. What is wrong with a file is found by the formats' own crates.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::{SystemTime, UNIX_EPOCH};

use aof::CheckReport;
use daemon::reason;

use crate::{fail, say};

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
        let (fix, path) = match (self, arguments) {
            (_, [path]) => (false, path),
            (Self::Aof, [word, path]) if word == b"--fix" => (true, path),
            (Self::Aof, []) => return complain(&format!("Usage: {name} [--fix] <file.aof>")),
            (Self::Aof, [word, _]) => {
                let word = String::from_utf8_lossy(word);
                return complain(&format!("Invalid argument: {word}"));
            }
            (Self::Aof, _) => return complain("Invalid arguments"),
            _ => return complain(&format!("Usage: {name} <dump.rdb>")),
        };
        let path = Path::new(OsStr::from_bytes(path));
        match self.check(fix, path) {
            Ok(code) => code,
            Err(error) => fail(&format!(
                "Cannot check {}: {}",
                path.display(),
                reason(&error)
            )),
        }
    }

    fn check(self, fix: bool, path: &Path) -> std::io::Result<ExitCode> {
        let name = path.display().to_string();
        let Ok(file) = File::options().read(true).write(fix).open(path) else {
            return Ok(complain(&format!("Cannot open file: {name}")));
        };
        let report = match self {
            Self::Aof if file.metadata()?.len() == 0 => {
                return Ok(complain(&format!("Empty file: {name}")));
            }
            Self::Aof => return check_aof(fix, &name, &file),
            Self::Dump => rdb::check::check_dump(&name, &file, now_ms())?,
            Self::Rdb => rdb::check::check_rdb(&name, &file, now_ms()),
        };
        say(&report.text);
        Ok(if report.ok {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }
}

fn check_aof(fix: bool, name: &str, file: &File) -> std::io::Result<ExitCode> {
    let report = aof::check_aof(name, file, now_ms())?;
    say(&report.text);
    if report.is_valid() {
        return Ok(say(&line(CheckReport::VALID)));
    }
    if !fix || !report.can_be_cut {
        return Ok(complain(CheckReport::NOT_VALID));
    }
    say(&report.question());
    std::io::stdout().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if !answer.starts_with(['y', 'Y']) {
        return Ok(complain(CheckReport::ABORTED));
    }
    match file.set_len(report.ok_up_to).and_then(|()| file.sync_all()) {
        Ok(()) => Ok(say(&line(CheckReport::CUT))),
        Err(_) => Ok(complain(CheckReport::CUT_FAILED)),
    }
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
}
