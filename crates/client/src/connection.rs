//! One connection: a stream, a codec, and a limit on every wait. Errors name the peer's address.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use thiserror::Error;
use tls::{ClientSide, Wire};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::codec::Decoder as _;
use tokio_util::io::poll_read_buf;

use crate::{Codec, Command, DecodeError, Limits, Value};

/// Messages that are kept while replies are waited for. More than these, and the connection is given up.
const MOST_PUSHES: usize = 1024;

/// Bytes asked of the socket at a time.
const READ_BYTES: usize = 64 * 1024;

/// Why a connection could not be made or used.
#[derive(Debug, Error)]
pub enum Error {
    /// The text is not `host:port`.
    #[error("'{address}' is not an address of the form host:port")]
    Address {
        /// What was given.
        address: String,
    },
    /// No connection.
    #[error("can't connect to {address}: {source}")]
    Connect {
        /// Whom we called.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// Nothing came, or nothing could be sent, in time.
    #[error("no reply from {address} within {} ms", limit.as_millis())]
    Timeout {
        /// Whom we waited for.
        address: String,
        /// How long.
        limit: Duration,
    },
    /// The peer closed the connection.
    #[error("{address} closed the connection")]
    Closed {
        /// Who closed.
        address: String,
    },
    /// Reading or writing failed.
    #[error("connection to {address} failed: {source}")]
    Io {
        /// Whom we talked to.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// The peer sent something that is no RESP, or more than the limits allow.
    #[error("unreadable reply from {address}: {source}")]
    Decode {
        /// Who sent it.
        address: String,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// The peer answered with an error (only where the caller asked for a value: [`Connection::query`]).
    #[error("{address}: {message}")]
    Reply {
        /// Who answered.
        address: String,
        /// The error line, code included.
        message: String,
    },
}

impl Error {
    /// The message of an error reply; `None` for failures of the connection itself.
    #[must_use]
    pub fn reply(&self) -> Option<&str> {
        match self {
            Self::Reply { message, .. } => Some(message),
            _ => None,
        }
    }
}

/// A RESP connection over `S`, TCP with or without TLS unless said otherwise.
///
/// All waiting methods are cancel-safe: what was read stays, and what was queued goes out with the next wait.
/// While waiting for replies, queued requests are written too, so a long pipeline cannot block both sides.
#[derive(Debug)]
pub struct Connection<S = Wire> {
    stream: S,
    address: String,
    limit: Duration,
    codec: Codec,
    input: BytesMut,
    output: BytesMut,
    /// Requests whose reply has not been taken yet.
    owed: usize,
    /// RESP3's messages that came before such a reply.
    pushes: VecDeque<Value>,
}

impl Connection {
    /// Connects to `host:port` (IPv6 with or without brackets). `limit` bounds the connect, and later each reply.
    ///
    /// # Errors
    ///
    /// [`Error::Address`], [`Error::Connect`] (names that do not resolve too), [`Error::Timeout`].
    pub async fn connect(address: &str, limit: Duration) -> Result<Self, Error> {
        Self::connect_by(address, limit, None).await
    }

    /// The same, and over TLS where it is said how.
    ///
    /// # Errors
    ///
    /// As for [`Connection::connect`]; a handshake that fails is no connection.
    pub async fn connect_by(
        address: &str,
        limit: Duration,
        tls: Option<&ClientSide>,
    ) -> Result<Self, Error> {
        let (host, port) = split_address(address).ok_or_else(|| Error::Address {
            address: address.to_owned(),
        })?;
        let attempt = timeout(limit, connect((host, port), tls)).await;
        let failed = |source| Error::Connect {
            address: address.to_owned(),
            source,
        };
        let stream = attempt
            .map_err(|_| failed(io::ErrorKind::TimedOut.into()))?
            .map_err(failed)?;
        Ok(Self::from_stream(stream, address, limit))
    }

    /// The address of the other end; for a name, what it resolved to.
    ///
    /// # Errors
    ///
    /// [`Error::Io`] when the socket is already gone.
    pub fn peer(&self) -> Result<SocketAddr, Error> {
        self.stream
            .socket()
            .peer_addr()
            .map_err(|source| Error::Io {
                address: self.address.clone(),
                source,
            })
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Speaks over an open stream (a Unix socket, a test's pipe). `name` is what errors call the peer.
    #[must_use]
    pub fn from_stream(stream: S, name: &str, limit: Duration) -> Self {
        Self {
            stream,
            address: name.to_owned(),
            limit,
            codec: Codec::default(),
            input: BytesMut::new(),
            output: BytesMut::new(),
            owed: 0,
            pushes: VecDeque::new(),
        }
    }

    /// Replaces the limits on replies. For a fresh connection: a reply half read is forgotten.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> Self {
        self.codec = Codec::with_limits(limits);
        self
    }

    /// The stream, and the bytes that were read from it and belong to no reply that was taken: for what is no reply, such as a dump.
    pub fn into_parts(self) -> (S, BytesMut) {
        (self.stream, self.input)
    }

    /// The address as it was given.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Changes how long each reply may take.
    pub fn set_limit(&mut self, limit: Duration) {
        self.limit = limit;
    }

    /// Sends one request and waits for its reply; an error reply is a [`Value::Error`].
    ///
    /// Replies still owed to earlier requests (one that timed out, say) are read and dropped first.
    ///
    /// # Errors
    ///
    /// Failures of the connection: [`Error::Timeout`], [`Error::Closed`], [`Error::Io`], [`Error::Decode`].
    pub async fn call(&mut self, command: impl Into<Command>) -> Result<Value, Error> {
        self.drain().await?;
        self.send(command);
        self.recv().await
    }

    /// Like [`Connection::call`], and an error reply is an error.
    ///
    /// # Errors
    ///
    /// As for `call`, and [`Error::Reply`].
    pub async fn query(&mut self, command: impl Into<Command>) -> Result<Value, Error> {
        let reply = self.call(command).await?;
        reply.into_result().map_err(|message| Error::Reply {
            address: self.address.clone(),
            message,
        })
    }

    /// Logs in: as `user` where one is named, else as the default user.
    ///
    /// # Errors
    ///
    /// As for [`Connection::query`].
    pub async fn auth(&mut self, user: Option<&str>, password: &str) -> Result<(), Error> {
        let command = Command::new("AUTH").args(user).arg(password);
        self.query(command).await.map(drop)
    }

    /// Asks for a protocol version, and logs in with the same request where a login is given. What the server says
    /// about itself is a map.
    ///
    /// # Errors
    ///
    /// As for [`Connection::query`]: a server that does not know HELLO or that version says so.
    pub async fn hello(
        &mut self,
        version: u8,
        login: Option<(&str, &str)>,
    ) -> Result<Value, Error> {
        let mut command = Command::new("HELLO").number(version);
        if let Some((user, password)) = login {
            command = command.args(["AUTH", user, password]);
        }
        self.query(command).await
    }

    /// Sends several requests at once and waits for all replies, in order.
    ///
    /// # Errors
    ///
    /// As for [`Connection::call`]; each reply may take the time limit.
    pub async fn pipeline(
        &mut self,
        commands: impl IntoIterator<Item = Command>,
    ) -> Result<Vec<Value>, Error> {
        self.drain().await?;
        for command in commands {
            self.send(command);
        }
        let mut replies = Vec::new();
        while self.owed > 0 {
            replies.push(self.recv().await?);
        }
        Ok(replies)
    }

    /// Reads and drops the replies that earlier requests are still owed.
    ///
    /// # Errors
    ///
    /// As for [`Connection::call`].
    pub async fn drain(&mut self) -> Result<(), Error> {
        while self.owed > 0 {
            self.recv().await?;
        }
        Ok(())
    }

    /// Queues one request. It goes out with the next `recv` or `flush`.
    pub fn send(&mut self, command: impl Into<Command>) {
        command.into().write_to(&mut self.output);
        self.owed += 1;
    }

    /// Waits until all queued requests are handed to the system.
    ///
    /// # Errors
    ///
    /// [`Error::Timeout`], [`Error::Io`].
    pub async fn flush(&mut self) -> Result<(), Error> {
        let limit = self.limit;
        let written = timeout(limit, poll_fn(|context| self.poll_output(context))).await;
        let result = written.map_err(|_| Error::Timeout {
            address: self.address.clone(),
            limit,
        })?;
        result.map_err(|source| self.failed(source))
    }

    /// Waits for the next reply (or, for a subscriber, message), at most the time limit.
    ///
    /// # Errors
    ///
    /// As for [`Connection::call`].
    pub async fn recv(&mut self) -> Result<Value, Error> {
        let limit = self.limit;
        match timeout(limit, self.next()).await {
            Ok(reply) => reply,
            Err(_) => Err(Error::Timeout {
                address: self.address.clone(),
                limit,
            }),
        }
    }

    /// Waits for the next reply or message without any limit. While replies are owed, RESP3's messages are kept
    /// until there are none owed any more.
    ///
    /// # Errors
    ///
    /// [`Error::Closed`], [`Error::Io`], [`Error::Decode`].
    pub async fn next(&mut self) -> Result<Value, Error> {
        if self.owed == 0
            && let Some(message) = self.pushes.pop_front()
        {
            return Ok(message);
        }
        loop {
            let decoded = self.codec.decode(&mut self.input);
            let decoded = decoded.map_err(|source| Error::Decode {
                address: self.address.clone(),
                source,
            })?;
            if let Some(reply) = decoded {
                if self.owed > 0 && is_message(&reply) {
                    self.keep(reply)?;
                    continue;
                }
                self.owed = self.owed.saturating_sub(1);
                return Ok(reply);
            }
            let read = poll_fn(|context| self.poll_exchange(context)).await;
            if read.map_err(|source| self.failed(source))? == 0 {
                return Err(Error::Closed {
                    address: self.address.clone(),
                });
            }
        }
    }

    /// Writes what is queued as far as the socket takes it, and reads what is there. Ready with the bytes read.
    fn poll_exchange(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Err(error)) = self.poll_output(context) {
            return Poll::Ready(Err(error));
        }
        self.input.reserve(READ_BYTES);
        poll_read_buf(Pin::new(&mut self.stream), context, &mut self.input)
    }

    fn poll_output(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, &self.output))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.output.advance(written);
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn keep(&mut self, message: Value) -> Result<(), Error> {
        if self.pushes.len() >= MOST_PUSHES {
            return Err(Error::Decode {
                address: self.address.clone(),
                source: DecodeError::Limit {
                    what: "messages before a reply",
                    size: MOST_PUSHES as u64 + 1,
                    limit: MOST_PUSHES,
                },
            });
        }
        self.pushes.push_back(message);
        Ok(())
    }

    fn failed(&self, source: io::Error) -> Error {
        let address = self.address.clone();
        match source.kind() {
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => Error::Closed { address },
            _ => Error::Io { address, source },
        }
    }
}

async fn connect(to: (&str, u16), tls: Option<&ClientSide>) -> io::Result<Wire> {
    let stream = TcpStream::connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(match tls {
        Some(side) => tls::connect(stream, side).await?.into(),
        None => stream.into(),
    })
}

/// Whether this answers no request. What confirms a subscription is a push in RESP3, and the only answer there is.
fn is_message(value: &Value) -> bool {
    let Value::Push(elements) = value else {
        return false;
    };
    let kind = elements.first().and_then(Value::as_str).unwrap_or_default();
    !kind.ends_with("subscribe")
}

/// Cuts `host:port` at its last colon; brackets around an IPv6 host are dropped. `None` when a part is missing.
#[must_use]
pub fn split_address(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host);
    let port = port
        .bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| port.parse().ok())??;
    (!bare.is_empty()).then_some((bare, port))
}
