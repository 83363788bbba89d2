//! The log of a daemon, as Redis writes it: `pid:role dd Mon yyyy HH:MM:SS.mmm level text`, or as logfmt or JSON, one line
//! per event, to standard output or to a file, and to the system's log where that is asked for. A shell calls [`Log::install`] once and
//! then uses `tracing`'s macros; what is logged, and when, is not decided here.
//!
//! | macro | mark | Redis's `loglevel` |
//! |---|---|---|
//! | `error!`, `warn!` | `#` | warning |
//! | `info!` | `*` | notice |
//! | `debug!` | `-` | verbose |
//! | `trace!` | `.` | debug |
//!
//! An event with `target: logline::RAW` is written without the prefix (Redis's start banner is).

mod sink;
mod syslog;
mod zone;

use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use jiff::{Timestamp, Zoned};
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Registry, reload};

use sink::SharedSink;
pub use sink::Sink;
pub use syslog::Syslog;

/// The `target` of events whose text is written as it is, with no prefix and no line end of its own.
pub const RAW: &str = "raw";

/// The process-wide log: a handle to change its level, role and destination while it runs. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Log {
    role: Arc<AtomicU8>,
    style: Arc<RwLock<Style>>,
    sink: SharedSink,
    level: reload::Handle<LevelFilter, Registry>,
}

impl Log {
    /// Makes this log the destination of every `tracing` event of the process, on standard output for now, and in the system's log too
    /// where `syslog` is given.
    ///
    /// # Errors
    /// When another subscriber was installed before.
    pub fn install(
        role: Role,
        level: Level,
        syslog: Option<Syslog>,
    ) -> Result<Self, AlreadyInstalled> {
        let role = Arc::new(AtomicU8::new(role.letter()));
        let style = Arc::new(RwLock::new(Style::default()));
        let sink = SharedSink::new(Sink::Stdout);
        let (filter, level) = reload::Layer::new(LevelFilter::from(level));
        let lines = tracing_subscriber::fmt::layer()
            .event_format(Line {
                role: Arc::clone(&role),
                style: Arc::clone(&style),
            })
            .with_ansi(false)
            .log_internal_errors(false)
            .with_writer(sink.clone());
        let system = syslog.map(|syslog| {
            let sender = syslog.sender();
            tracing_subscriber::fmt::layer()
                .event_format(syslog)
                .with_ansi(false)
                .log_internal_errors(false)
                .with_writer(sender)
        });
        let subscriber = Registry::default().with(filter).with(lines).with(system);
        tracing::subscriber::set_global_default(subscriber).map_err(|_| AlreadyInstalled)?;
        Ok(Self {
            role,
            style,
            sink,
            level,
        })
    }

    /// Changes the letter behind the process id: a server that becomes a slave, a forked child.
    pub fn set_role(&self, role: Role) {
        self.role.store(role.letter(), Ordering::Relaxed);
    }

    /// Changes how the lines that follow are written.
    pub fn set_style(&self, style: Style) {
        *self.style.write().unwrap_or_else(PoisonError::into_inner) = style;
    }

    /// Changes the least important level that is still written.
    pub fn set_level(&self, level: Level) {
        // It fails only when the subscriber is gone, and then there is nothing to filter.
        let _ = self.level.reload(LevelFilter::from(level));
    }

    /// Sends the lines that follow elsewhere.
    ///
    /// # Errors
    /// When the file cannot be opened for appending; the log stays where it was.
    pub fn set_sink(&self, sink: Sink) -> std::io::Result<()> {
        sink.probe()?;
        self.sink.replace(sink);
        Ok(())
    }
}

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Style {
    /// The form of a line.
    pub format: Format,
    /// The form of its time.
    pub timestamp: TimestampFormat,
}

/// The form of a line: the values of `log-format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `pid:role time mark text`
    #[default]
    Legacy,
    /// `pid=… role=… timestamp="…" level=… message="…"`
    Logfmt,
    /// The same as an object.
    Json,
}

/// The form of the time in a line: the values of `log-timestamp-format`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TimestampFormat {
    /// `29 Nov 2026 10:20:30.456`
    #[default]
    Legacy,
    /// `2026-11-29T10:20:30.456+01:00`
    Iso8601,
    /// Since 1970.
    Milliseconds,
}

/// A subscriber was installed before [`Log::install`].
#[derive(Debug, PartialEq, Eq)]
pub struct AlreadyInstalled;

impl fmt::Display for AlreadyInstalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the log of this process is already installed")
    }
}

impl std::error::Error for AlreadyInstalled {}

/// Who writes the line: the letter behind the process id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `M`: a server that is a master.
    Master,
    /// `S`: a server that is a slave.
    Slave,
    /// `C`: a child that saves or rewrites in the background.
    Child,
    /// `X`: a sentinel.
    Sentinel,
}

impl Role {
    const fn letter(self) -> u8 {
        match self {
            Self::Master => b'M',
            Self::Slave => b'S',
            Self::Child => b'C',
            Self::Sentinel => b'X',
        }
    }

    /// The word for a letter.
    const fn word(letter: u8) -> &'static str {
        match letter {
            b'S' => "replica",
            b'C' => "RDB/AOF",
            b'X' => "sentinel",
            _ => "primary",
        }
    }
}

/// The values of the `loglevel` directive, least important first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Everything.
    Debug,
    /// What rarely helps, but is not as much as `debug`.
    Verbose,
    /// What one wants to see in production; the default.
    Notice,
    /// Only what is very important.
    Warning,
    /// Nothing at all.
    Nothing,
}

impl Level {
    const ALL: [Self; 5] = [
        Self::Debug,
        Self::Verbose,
        Self::Notice,
        Self::Warning,
        Self::Nothing,
    ];

    /// The name in the configuration file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Verbose => "verbose",
            Self::Notice => "notice",
            Self::Warning => "warning",
            Self::Nothing => "nothing",
        }
    }
}

impl FromStr for Level {
    type Err = UnknownLevel;

    /// Reads a `loglevel` value; case does not matter.
    fn from_str(name: &str) -> Result<Self, UnknownLevel> {
        Self::ALL
            .into_iter()
            .find(|level| level.name().eq_ignore_ascii_case(name))
            .ok_or(UnknownLevel)
    }
}

/// A `loglevel` value that is none of the five names.
#[derive(Debug, PartialEq, Eq)]
pub struct UnknownLevel;

impl fmt::Display for UnknownLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Invalid log level. Must be one of debug, verbose, notice, warning, nothing")
    }
}

impl std::error::Error for UnknownLevel {}

impl From<Level> for LevelFilter {
    fn from(level: Level) -> Self {
        match level {
            Level::Debug => Self::TRACE,
            Level::Verbose => Self::DEBUG,
            Level::Notice => Self::INFO,
            Level::Warning => Self::WARN,
            Level::Nothing => Self::OFF,
        }
    }
}

/// A moment as C's `ctime` writes it, in local time: `Sat Nov 22 06:54:46 2025`.
#[must_use]
pub fn ctime(unix_ms: u64) -> String {
    let time = i64::try_from(unix_ms)
        .ok()
        .and_then(|ms| Timestamp::from_millisecond(ms).ok());
    let time = time.unwrap_or(Timestamp::MAX).to_zoned(zone::local());
    ctime_of(&time)
}

fn ctime_of(time: &Zoned) -> String {
    time.strftime("%a %b %e %H:%M:%S %Y").to_string()
}

/// Formats one event as a line. The time is local, the zone is `TZ`'s or the system's.
struct Line {
    role: Arc<AtomicU8>,
    style: Arc<RwLock<Style>>,
}

impl<S, N> FormatEvent<S, N> for Line
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        ctx: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let style = *self.style.read().unwrap_or_else(PoisonError::into_inner);
        let is_raw = metadata.target() == RAW;
        if is_raw && style.format == Format::Legacy {
            return ctx.format_fields(writer, event);
        }
        let mut message = String::new();
        if style.format == Format::Json {
            // JSON has its own way to write what cannot be printed.
            event.record(&mut Plain(&mut message));
        } else {
            ctx.format_fields(Writer::new(&mut message), event)?;
        }
        if is_raw {
            // Where programs read the log, a banner or a report is one event like others, in one line.
            message = message.trim().to_owned();
        }
        // Asked for each line: after a fork the child's lines carry its own id.
        let pid = std::process::id();
        let role = self.role.load(Ordering::Relaxed);
        write_line(
            &mut writer,
            style,
            (pid, role),
            &zone::now(),
            *metadata.level(),
            &message,
        )
    }
}

/// Takes the message of an event as it is.
struct Plain<'a>(&'a mut String);

impl Visit for Plain<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            // Writing to a string does not fail.
            let _ = write!(self.0, "{value:?}");
        }
    }
}

fn write_line(
    out: &mut dyn fmt::Write,
    style: Style,
    (pid, role): (u32, u8),
    time: &Zoned,
    level: tracing::Level,
    message: &str,
) -> fmt::Result {
    let time = stamp(style.timestamp, time);
    let (mark, word) = match level {
        tracing::Level::ERROR | tracing::Level::WARN => ('#', "warning"),
        tracing::Level::INFO => ('*', "notice"),
        tracing::Level::DEBUG => ('-', "info"),
        tracing::Level::TRACE => ('.', "debug"),
    };
    let who = Role::word(role);
    match style.format {
        Format::Legacy => writeln!(out, "{pid}:{} {time} {mark} {message}", char::from(role)),
        Format::Logfmt => {
            let message = message.replace('"', "'").replace(['\n', '\r'], " ");
            writeln!(
                out,
                "pid={pid} role={who} timestamp=\"{time}\" level={word} message=\"{message}\""
            )
        }
        Format::Json => {
            let message = json(message);
            writeln!(
                out,
                "{{\"pid\":{pid},\"role\":\"{who}\",\"timestamp\":\"{time}\",\"level\":\"{word}\",\"message\":{message}}}"
            )
        }
    }
}

/// A text as JSON has it.
fn json(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for character in text.chars() {
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            character if character < ' ' => {
                // Writing to a string does not fail.
                let _ = write!(out, "\\u{:04x}", u32::from(character));
            }
            character => out.push(character),
        }
    }
    out.push('"');
    out
}

fn stamp(format: TimestampFormat, time: &Zoned) -> String {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    match format {
        TimestampFormat::Legacy => {
            let month = usize::try_from(time.month() - 1)
                .ok()
                .and_then(|index| MONTHS.get(index))
                .copied()
                .unwrap_or("???");
            format!(
                "{:02} {month} {} {:02}:{:02}:{:02}.{:03}",
                time.day(),
                time.year(),
                time.hour(),
                time.minute(),
                time.second(),
                time.millisecond()
            )
        }
        TimestampFormat::Iso8601 => time.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string(),
        TimestampFormat::Milliseconds => time.timestamp().as_millisecond().to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_in_every_form() {
        let time = jiff::civil::datetime(2026, 11, 2, 6, 54, 20, 45_900_000);
        let zoned = time
            .to_zoned(jiff::tz::TimeZone::fixed(jiff::tz::offset(8)))
            .unwrap();
        let line = |format, timestamp, message| {
            let (style, mut line) = (Style { format, timestamp }, String::new());
            let who = (31646, b'X');
            write_line(&mut line, style, who, &zoned, tracing::Level::WARN, message).unwrap();
            line
        };
        assert_eq!(
            line(Format::Legacy, TimestampFormat::Legacy, "text"),
            "31646:X 02 Nov 2026 06:54:20.045 # text\n"
        );
        assert_eq!(
            line(Format::Logfmt, TimestampFormat::Iso8601, "a \"b\"\nc"),
            "pid=31646 role=sentinel timestamp=\"2026-11-02T06:54:20.045+08:00\" level=warning message=\"a 'b' c\"\n"
        );
        assert_eq!(
            line(
                Format::Json,
                TimestampFormat::Milliseconds,
                "a \"b\"\n\u{1}\u{8}\u{c}"
            ),
            "{\"pid\":31646,\"role\":\"sentinel\",\"timestamp\":\"1793573660045\",\"level\":\"warning\",\
             \"message\":\"a \\\"b\\\"\\n\\u0001\\b\\f\"}\n"
        );
    }

    #[test]
    fn ctime_pads_the_day_with_a_blank() {
        let time = jiff::civil::datetime(2025, 11, 2, 6, 54, 20, 0);
        let zoned = time.to_zoned(jiff::tz::TimeZone::UTC).unwrap();
        assert_eq!(ctime_of(&zoned), "Sun Nov  2 06:54:20 2025");
        assert!(ctime(u64::MAX).ends_with("9999"));
    }

    #[test]
    fn level_names_are_read_in_any_case_and_nothing_else_is() {
        assert_eq!("Verbose".parse(), Ok(Level::Verbose));
        assert_eq!("info".parse::<Level>(), Err(UnknownLevel));
    }

    // One test owns the process-wide subscriber, so it walks through everything that can change at run time.
    #[test]
    fn level_role_and_destination_change_at_run_time() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("first.log"), dir.path().join("second.log"));
        let heard = std::os::unix::net::UnixDatagram::bind(dir.path().join("system")).unwrap();
        let syslog = Syslog::new("tern", 16).at(dir.path().join("system"));
        let log = Log::install(Role::Master, Level::Notice, Some(syslog)).unwrap();
        assert!(Log::install(Role::Master, Level::Notice, None).is_err());

        log.set_sink(Sink::File(first.clone())).unwrap();
        tracing::debug!("below the level");
        tracing::info!("DB loaded in {} seconds", 3);
        log.set_level(Level::Debug);
        log.set_role(Role::Slave);
        tracing::trace!("now shown");
        tracing::warn!(target: RAW, "a banner\n");

        // A file moved away is not followed: log rotation needs no signal.
        std::fs::rename(&first, &second).unwrap();
        tracing::warn!("in a new file");
        assert!(
            log.set_sink(Sink::File(dir.path().join("no/such/folder")))
                .is_err()
        );
        tracing::warn!("still there");
        log.set_style(Style {
            format: Format::Json,
            timestamp: TimestampFormat::Milliseconds,
        });
        tracing::warn!(target: RAW, "\na picture\nof two lines\n");
        log.set_style(Style::default());
        log.set_sink(Sink::Discard).unwrap();
        tracing::warn!("gone");

        let tail = |path: &std::path::Path| -> Vec<String> {
            let pid = std::process::id().to_string();
            let text = std::fs::read_to_string(path).unwrap();
            text.lines()
                .map(|line| match line.strip_prefix(&pid) {
                    Some(rest) => format!(
                        "{}{}",
                        &rest[..2],
                        &rest[2 + " 22 Nov 2026 06:54:20.045".len()..]
                    ),
                    None => line.to_owned(),
                })
                .collect()
        };
        assert_eq!(
            tail(&second),
            [":M * DB loaded in 3 seconds", ":S . now shown", "a banner"]
        );
        let first = tail(&first);
        assert_eq!(first[..2], [":S # in a new file", ":S # still there"]);
        assert!(
            first[2].ends_with("\"level\":\"warning\",\"message\":\"a picture\\nof two lines\"}"),
            "{first:?}"
        );
        assert_eq!(first.len(), 3);
        assert_eq!(
            told(&heard),
            [
                "<133 DB loaded in 3 seconds",
                "<135 now shown",
                "<132 in a new file",
                "<132 still there",
                "<132 gone"
            ]
        );
    }

    /// What the system's log was told.
    fn told(heard: &std::os::unix::net::UnixDatagram) -> Vec<String> {
        let (mut told, mut line) = (Vec::new(), [0; 256]);
        heard.set_nonblocking(true).unwrap();
        while let Ok(length) = heard.recv(&mut line) {
            let line = String::from_utf8_lossy(&line[..length]).into_owned();
            let (priority, text) = line.split_once('>').unwrap();
            told.push(format!("{priority} {}", text.split_once("]: ").unwrap().1));
        }
        told
    }
}
