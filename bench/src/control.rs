//! One connection to a server for what is asked between measurements. It blocks, and gives up after two minutes.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::replies::Replies;
use crate::request;

/// How long a reply may take. A `SAVE` of ten million keys is what takes longest.
const PATIENCE: Duration = Duration::from_secs(120);

/// One connection.
#[derive(Debug)]
pub struct Control<S = TcpStream> {
    stream: S,
}

impl Control {
    /// Connects.
    ///
    /// # Errors
    ///
    /// Nobody listens.
    pub fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        limit_waiting(&stream)?;
        Ok(Self::over(stream))
    }
}

/// Has reads and writes on a connection give up at last.
///
/// # Errors
///
/// The system's.
pub fn limit_waiting(stream: &TcpStream) -> Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(())
}

impl<S: Read + Write> Control<S> {
    /// Questions over a connection that there is.
    pub fn over(stream: S) -> Self {
        Control { stream }
    }

    /// The connection.
    #[must_use]
    pub fn into_stream(self) -> S {
        self.stream
    }

    /// Sends a command and returns its reply as it came.
    ///
    /// # Errors
    ///
    /// The connection fails, or the reply is an error.
    pub fn call(&mut self, args: &[&str]) -> Result<String> {
        self.stream.write_all(&request::array(args))?;
        let (mut reply, mut replies) = (Vec::new(), Replies::default());
        let mut buffer = [0; 16 * 1024];
        loop {
            let count = self.stream.read(&mut buffer).context(args.join(" "))?;
            if count == 0 {
                bail!("{}: the server closed the connection", args.join(" "));
            }
            reply.extend_from_slice(&buffer[..count]);
            if replies.feed(&buffer[..count]) > 0 {
                break;
            }
        }
        match replies.first_error() {
            Some(error) => bail!("{}: {error}", args.join(" ")),
            None => Ok(String::from_utf8_lossy(&reply).into_owned()),
        }
    }

    /// A field of `INFO`.
    ///
    /// # Errors
    ///
    /// The command fails. A field that this server does not have is none.
    pub fn info(&mut self, field: &str) -> Result<Option<String>> {
        let text = self.call(&["INFO"])?;
        Ok(field_of(&text, field).map(str::to_owned))
    }

    /// A field of `INFO` that is a number.
    ///
    /// # Errors
    ///
    /// The command fails, or there is no such number.
    pub fn info_number(&mut self, field: &str) -> Result<u64> {
        let text = self.info(field)?;
        text.and_then(|text| text.parse().ok())
            .with_context(|| format!("INFO gives no number for {field}"))
    }
}

/// A field in the text of `INFO`.
#[must_use]
pub fn field_of<'t>(info: &'t str, field: &str) -> Option<&'t str> {
    info.lines()
        .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
        .map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text = "$60\r\n# Memory\r\nused_memory_rss:7\r\nused_memory:12\r\n";
        assert_eq!(field_of(text, "used_memory"), Some("12"));
        assert_eq!(field_of(text, "memory"), None);
    }
}
