//! What configurations mean to the process that reads them: paths, files, the current directory, the log's level.

use std::ffi::OsStr;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;

use conf::Refusal;
use conf::load::cannot_open;
use logline::{Format, Level, Style, TimestampFormat};

/// A path of the configuration, which is bytes.
pub fn as_path(bytes: &[u8]) -> &Path {
    Path::new(OsStr::from_bytes(bytes))
}

/// The words of an I/O error, without the number that the standard library adds.
pub fn reason(error: &std::io::Error) -> String {
    let text = error.to_string();
    match text.find(" (os error") {
        Some(at) => text[..at].to_owned(),
        None => text,
    }
}

/// The current directory, as CONFIG GET dir shows it.
pub fn current_dir() -> Vec<u8> {
    std::env::current_dir()
        .map(|path| path.into_os_string().into_vec())
        .unwrap_or_default()
}

/// A configuration file's text.
///
/// # Errors
/// Redis's message for a file that cannot be opened.
pub fn read(path: &[u8]) -> Result<Vec<u8>, Refusal> {
    std::fs::read(as_path(path)).map_err(|_| Refusal::Message(cannot_open(path)))
}

/// The files that the pattern of an `include` names, in order.
pub fn expand(pattern: &[u8]) -> Vec<Vec<u8>> {
    let is_absolute = pattern.starts_with(b"/");
    let mut found = vec![if is_absolute {
        b"/".to_vec()
    } else {
        Vec::new()
    }];
    for part in pattern
        .split(|byte| *byte == b'/')
        .filter(|part| !part.is_empty())
    {
        found = found
            .iter()
            .flat_map(|folder| entries(folder, part))
            .collect();
    }
    found
}

/// What is called like `part`, which may be a pattern, in a folder; the current one has no name.
fn entries(folder: &[u8], part: &[u8]) -> Vec<Vec<u8>> {
    let joined = |name: &[u8]| {
        as_path(folder)
            .join(as_path(name))
            .into_os_string()
            .into_vec()
    };
    if !part.iter().any(|byte| b"*?[".contains(byte)) {
        let path = joined(part);
        return if as_path(&path).exists() {
            vec![path]
        } else {
            Vec::new()
        };
    }
    let folder = if folder.is_empty() { b"." } else { folder };
    let Ok(entries) = std::fs::read_dir(as_path(folder)) else {
        return Vec::new();
    };
    let names = entries.flatten().map(|entry| entry.file_name().into_vec());
    let mut names: Vec<_> = names
        .filter(|name| !name.starts_with(b".") && resp::glob::matches(part, name))
        .collect();
    names.sort();
    names.iter().map(|name| joined(name)).collect()
}

/// Does what a directive asks for while the file is still being read: `dir` moves the process, so that relative paths after it
/// mean something else, and `logfile` must open.
///
/// # Errors
/// Redis's words for what could not be done.
pub fn on_accepted(directive: &str, arguments: &[Vec<u8>]) -> Result<(), Refusal> {
    let first = arguments.first().map(Vec::as_slice).unwrap_or_default();
    match directive {
        "dir" => std::env::set_current_dir(as_path(first)).map_err(|error| {
            let dir = String::from_utf8_lossy(first);
            Refusal::Message(format!("Can't chdir to '{dir}': {}", reason(&error)))
        }),
        "logfile" if !first.is_empty() => {
            let opened = std::fs::OpenOptions::new()
                .append(true)
                .create(true)
                .open(as_path(first));
            opened.map(drop).map_err(|error| {
                Refusal::Reason(format!("Can't open the log file: {}", reason(&error)))
            })
        }
        _ => Ok(()),
    }
}

/// How the log's lines are written, from the configuration.
pub fn log_style(config: &conf::ServerConfig) -> Style {
    Style {
        format: match config.log_format {
            conf::LogFormat::Legacy => Format::Legacy,
            conf::LogFormat::Logfmt => Format::Logfmt,
            conf::LogFormat::Json => Format::Json,
        },
        timestamp: match config.log_timestamp_format {
            conf::LogTimestamp::Legacy => TimestampFormat::Legacy,
            conf::LogTimestamp::Iso8601 => TimestampFormat::Iso8601,
            conf::LogTimestamp::Milliseconds => TimestampFormat::Milliseconds,
        },
    }
}

/// The log's level, from the configuration's.
pub fn log_level(level: conf::LogLevel) -> Level {
    match level {
        conf::LogLevel::Debug => Level::Debug,
        conf::LogLevel::Verbose => Level::Verbose,
        conf::LogLevel::Notice => Level::Notice,
        conf::LogLevel::Warning => Level::Warning,
        conf::LogLevel::Nothing => Level::Nothing,
    }
}
