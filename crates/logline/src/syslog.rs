//! The same lines for the system's log, without Redis's prefix: datagrams to `/dev/log` as C's `syslog` sends them.

use std::fmt;
use std::io::{self, Write};
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Zoned;
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

use crate::{RAW, zone};

/// Where the system's log listens.
const SOCKET: &str = "/dev/log";

/// How lines are sent to the system's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Syslog {
    ident: String,
    facility: u8,
    socket: PathBuf,
}

impl Syslog {
    /// Lines under the name `ident`, of the kind `facility` (syslog's number for it: 1 is `user`, 16 to 23 are `local0` to `local7`).
    #[must_use]
    pub fn new(ident: &str, facility: u8) -> Self {
        Self {
            ident: ident.to_owned(),
            facility,
            socket: PathBuf::from(SOCKET),
        }
    }

    /// The same, to a listener at another place.
    #[must_use]
    pub fn at(mut self, socket: impl Into<PathBuf>) -> Self {
        self.socket = socket.into();
        self
    }

    pub(crate) fn sender(&self) -> Sender {
        Sender {
            to: self.socket.clone(),
            open: Arc::default(),
        }
    }

    fn write_prefix(
        &self,
        out: &mut dyn fmt::Write,
        pid: u32,
        time: &Zoned,
        level: tracing::Level,
    ) -> fmt::Result {
        let severity = match level {
            tracing::Level::ERROR | tracing::Level::WARN => 4,
            tracing::Level::INFO => 5,
            tracing::Level::DEBUG => 6,
            tracing::Level::TRACE => 7,
        };
        let priority = u16::from(self.facility) * 8 + severity;
        let time = time.strftime("%b %e %H:%M:%S");
        write!(out, "<{priority}>{time} {}[{pid}]: ", self.ident)
    }
}

impl<S, N> FormatEvent<S, N> for Syslog
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
        // A picture is for people: nothing is sent for it.
        if metadata.target() == RAW {
            return Ok(());
        }
        let level = *metadata.level();
        self.write_prefix(&mut writer, std::process::id(), &zone::now(), level)?;
        ctx.format_fields(writer, event)
    }
}

/// Sends one datagram for each line. What nobody takes at once is lost: a log that hangs must not stop the daemon.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    to: PathBuf,
    open: Arc<Mutex<Option<UnixDatagram>>>,
}

impl Sender {
    fn connect(&self) -> io::Result<UnixDatagram> {
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        socket.connect(&self.to)?;
        Ok(socket)
    }
}

impl<'a> MakeWriter<'a> for Sender {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

impl Write for Sender {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if line.is_empty() {
            return Ok(0);
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let sent = open.as_ref().is_some_and(|socket| match socket.send(line) {
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
            Ok(_) => true,
        });
        if !sent {
            // The listener was restarted, or was never there: try once.
            *open = self.connect().ok();
            let _ = open.as_ref().map(|socket| socket.send(line));
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_is_that_of_the_c_library() {
        let time = jiff::civil::datetime(2025, 11, 2, 6, 54, 20, 0);
        let zoned = time.to_zoned(jiff::tz::TimeZone::UTC).unwrap();
        let prefix = |facility, level| {
            let mut line = String::new();
            let syslog = Syslog::new("redis", facility);
            syslog.write_prefix(&mut line, 7, &zoned, level).unwrap();
            line
        };
        assert_eq!(
            prefix(16, tracing::Level::WARN),
            "<132>Nov  2 06:54:20 redis[7]: "
        );
        assert_eq!(
            prefix(1, tracing::Level::TRACE),
            "<15>Nov  2 06:54:20 redis[7]: "
        );
    }

    #[test]
    fn lines_find_a_listener_that_came_late_and_one_that_was_restarted() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let mut sender = Syslog::new("redis", 16).at(&path).sender();
        assert_eq!(sender.write(b"lost").unwrap(), 4);
        for text in [&b"first"[..], b"second"] {
            let listener = UnixDatagram::bind(&path).unwrap();
            assert_eq!(sender.write(text).unwrap(), text.len());
            let mut line = [0; 64];
            let length = listener.recv(&mut line).unwrap();
            assert_eq!(&line[..length], text);
            std::fs::remove_file(&path).unwrap();
        }
    }
}
