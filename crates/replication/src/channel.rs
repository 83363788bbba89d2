//! The second connection of a copy whose stream comes by the first one (dual-channel replication): the dump goes over it, and nothing else.
//!
//! The replica says who it is and that it wants a dump alone, and asks with SYNC. The primary answers with the place in its stream that the
//! dump stands at, and the number of this connection: with both the first connection asks for the stream behind the dump.

use crate::link::{ID_BYTES, VERSION};
use crate::transfer::{DumpPart, Lines, Transfer};
use crate::{Config, Place};

/// The answer to SYNC on this connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndOffset {
    /// Where in the stream the dump stands.
    pub(crate) place: Place,
    /// How the primary calls this connection.
    pub(crate) client: u64,
}

impl EndOffset {
    /// Reads `$ENDOFF:<offset> <stream> <database> <connection>`.
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.strip_prefix("$ENDOFF:")?.split(' ');
        let mut next = || words.next();
        let offset = next()?.parse().ok();
        // It is added to.
        let offset = offset.filter(|offset| i64::try_from(*offset).is_ok())?;
        let id = next()?;
        let named = id.len() == ID_BYTES && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        // The dump tells the database too, and as the stream has it.
        next()?.parse::<i32>().ok()?;
        let client = next()?.parse().ok()?;
        (named && next().is_none()).then(|| Self {
            place: (id.to_owned(), offset),
            client,
        })
    }
}

/// What the link does about this connection.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    /// These words are to be sent.
    Send(Vec<Vec<u8>>),
    /// The place is known.
    EndOffset(EndOffset),
    /// Something of the dump.
    Dump(DumpPart),
    /// The copy cannot be made this way.
    Failed(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Connecting,
    Auth,
    Options,
    Ip,
    EndOffset,
    Dump,
    Over,
}

/// The connection.
#[derive(Debug)]
pub(crate) struct Channel {
    step: Step,
    lines: Lines,
    transfer: Transfer,
    /// When something last came over it. Milliseconds.
    pub(crate) active_ms: u64,
}

impl Channel {
    pub(crate) fn new(now_ms: u64) -> Self {
        Self {
            step: Step::Connecting,
            lines: Lines::default(),
            transfer: Transfer::default(),
            active_ms: now_ms,
        }
    }

    /// How many bytes of a dump of known length are still to come.
    pub(crate) fn left(&self) -> Option<u64> {
        self.transfer.left()
    }

    /// It is connected.
    pub(crate) fn connected(&mut self, config: &Config) -> Event {
        match &config.password {
            Some(password) => {
                self.step = Step::Auth;
                let words = [
                    Some(&b"AUTH".to_vec()),
                    config.user.as_ref(),
                    Some(password),
                ];
                Event::Send(words.into_iter().flatten().cloned().collect())
            }
            None => self.options(config),
        }
    }

    fn options(&mut self, config: &Config) -> Event {
        self.step = Step::Options;
        let port = config.port.to_string();
        let words = [
            "REPLCONF",
            "capa",
            "eof",
            "rdb-only",
            "1",
            "rdb-channel",
            "1",
            "listening-port",
            &port,
            "version",
            VERSION,
        ];
        Event::Send(words.map(|word| word.as_bytes().to_vec()).to_vec())
    }

    fn sync(&mut self) -> Event {
        self.step = Step::EndOffset;
        Event::Send(vec![b"SYNC".to_vec()])
    }

    /// Bytes came.
    pub(crate) fn received(&mut self, config: &Config, mut bytes: &[u8], tell: &mut Vec<Event>) {
        while !bytes.is_empty() && self.step != Step::Over {
            if self.step == Step::Dump {
                let taken = self
                    .transfer
                    .take(bytes, |part| tell.push(Event::Dump(part)));
                match taken {
                    Ok(_) if self.transfer.is_whole() => self.step = Step::Over,
                    Ok(_) => {}
                    Err(why) => self.fail(why, tell),
                }
                return;
            }
            let Some((line, rest)) = self.lines.take(bytes) else {
                return self.fail("PRIMARY sent a line without an end".to_owned(), tell);
            };
            bytes = rest;
            if let Some(line) = line {
                let event = self.answer(config, &String::from_utf8_lossy(&line));
                tell.push(event);
            }
        }
    }

    fn fail(&mut self, why: String, tell: &mut Vec<Event>) {
        self.step = Step::Over;
        tell.push(Event::Failed(why));
    }

    fn answer(&mut self, config: &Config, line: &str) -> Event {
        let refused = line.starts_with('-');
        match self.step {
            Step::Auth if refused => self.failed(format!("Unable to AUTH to Primary: {line}")),
            Step::Auth => self.options(config),
            Step::Options if refused => self.failed(format!(
                "Server does not support sync with offset, dual channel sync approach cannot be used: {line}"
            )),
            Step::Options => match &config.ip {
                Some(ip) => {
                    self.step = Step::Ip;
                    let words = [&b"REPLCONF"[..], b"ip-address", ip.as_bytes()];
                    Event::Send(words.map(<[u8]>::to_vec).to_vec())
                }
                None => self.sync(),
            },
            Step::Ip if refused => {
                self.failed(format!("Primary rejected REPLCONF ip-address: {line}"))
            }
            Step::Ip => self.sync(),
            _ => match EndOffset::parse(line) {
                Some(end) => {
                    self.step = Step::Dump;
                    Event::EndOffset(end)
                }
                None => self.failed(format!("Received unexpected $ENDOFF response: {line}")),
            },
        }
    }

    fn failed(&mut self, why: String) -> Event {
        self.step = Step::Over;
        Event::Failed(why)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789012345678901234567890123456789";

    #[test]
    fn the_place_is_believed_only_as_a_whole() {
        let line = format!("$ENDOFF:70 {ID} -1 9");
        let end = EndOffset {
            place: (ID.to_owned(), 70),
            client: 9,
        };
        assert_eq!(EndOffset::parse(&line), Some(end));
        for bad in [
            "$ENDOFF:70".to_owned(),
            format!("$ENDOFF:-1 {ID} 0 9"),
            format!("$ENDOFF:18446744073709551615 {ID} 0 9"),
            format!("$ENDOFF:70 {} 0 9", &ID[1..]),
            format!("$ENDOFF:70 {} 0 9", ID.replace('0', "\r")),
            format!("$ENDOFF:70 {ID} x 9"),
            format!("$ENDOFF:70 {ID} 0 -9"),
            format!("$ENDOFF:70 {ID} 0 9 9"),
            format!("$ENDOFF:70  {ID} 0 9"),
            format!("+FULLRESYNC {ID} 70"),
        ] {
            assert_eq!(EndOffset::parse(&bad), None, "{bad}");
        }
    }
}
