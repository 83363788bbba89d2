//! A session on a socket.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use rustls::{ClientConnection, Connection, ServerConnection};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use crate::{ClientSide, Names, ServerSide};

/// Encrypted bytes read at once.
const READ_BYTES: usize = 32 * 1024;

/// The first byte of a record of a handshake.
const HANDSHAKE: u8 = 22;

thread_local! {
    /// What one read of a socket brings, for all sessions of a thread.
    static ROOM: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// The state of an encrypted conversation, apart from its socket.
#[derive(Debug)]
pub struct Session {
    tls: Connection,
    /// Encrypted bytes that were read and have still to be looked at.
    rest: Vec<u8>,
    /// How many of them were looked at.
    taken: usize,
    /// The other side has begun to speak.
    begun: bool,
    over: bool,
}

impl Session {
    fn new(tls: Connection) -> Self {
        Self {
            tls,
            rest: Vec::new(),
            taken: 0,
            begun: false,
            over: false,
        }
    }

    /// Whom the other side's certificate names, if it showed one.
    #[must_use]
    pub fn peer(&self) -> Option<Names> {
        Names::of(self.tls.peer_certificates()?.first()?)
    }

    /// Fills `out` with what was said; reads from `socket` only where nothing is at hand. Nothing: the end.
    ///
    /// # Errors
    /// Those of the socket ([`io::ErrorKind::WouldBlock`] where there is nothing yet), and what breaks the protocol.
    pub fn read(&mut self, out: &mut [u8], socket: &mut impl io::Read) -> io::Result<usize> {
        if self.over || out.is_empty() {
            return Ok(0);
        }
        loop {
            let filled = self.take(out)?;
            if filled > 0 || self.over {
                return Ok(filled);
            }
            ROOM.with_borrow_mut(|room| {
                let count = socket.read(room)?;
                if count == 0 {
                    // Who just hangs up has said everything too: the protocol above knows what is whole.
                    self.over = true;
                }
                self.rest.extend_from_slice(&room[..count]);
                io::Result::Ok(())
            })?;
        }
    }

    /// Decrypts what is at hand, as far as it goes into `out`.
    fn take(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut filled = 0;
        loop {
            match self.tls.reader().read(&mut out[filled..]) {
                // The other side said that it is done.
                Ok(0) if filled < out.len() => self.over = true,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => self.over = true,
            }
            let left = &self.rest[self.taken..];
            if self.over || filled == out.len() || left.is_empty() {
                break;
            }
            self.taken += self.tls.read_tls(&mut &*left)?;
            self.tls.process_new_packets().map_err(broken)?;
        }
        if self.taken == self.rest.len() {
            self.rest.clear();
            self.taken = 0;
        }
        Ok(filled)
    }

    /// Whether something is at hand, so that a read does not need the socket.
    #[must_use]
    pub fn has_input(&self) -> bool {
        self.over || self.taken < self.rest.len() || !self.tls.wants_read()
    }

    /// Takes bytes to be sent and sends what it can. Nothing is taken while what was taken before has still to be sent.
    ///
    /// # Errors
    /// Those of the socket.
    pub fn write(
        &mut self,
        bytes: &[IoSlice<'_>],
        socket: &mut impl io::Write,
    ) -> io::Result<usize> {
        self.flush(socket)?;
        let taken = match bytes {
            [one] => self.tls.writer().write(one)?,
            several => self.tls.writer().write_vectored(several)?,
        };
        match self.flush(socket) {
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => Err(error),
            _ => Ok(taken),
        }
    }

    /// Sends what was taken.
    ///
    /// # Errors
    /// Those of the socket ([`io::ErrorKind::WouldBlock`] where it takes nothing more).
    pub fn flush(&mut self, socket: &mut impl io::Write) -> io::Result<()> {
        while self.tls.wants_write() {
            if self.tls.write_tls(socket)? == 0 {
                return Err(io::ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }

    /// Says that nothing more will be sent.
    pub fn close(&mut self) {
        self.tls.send_close_notify();
    }
}

fn broken(error: rustls::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// A socket with its session.
#[derive(Debug)]
pub struct Stream<S = TcpStream> {
    socket: S,
    session: Session,
}

impl<S> Stream<S> {
    /// A session that was taken apart from its socket.
    pub fn new(socket: S, session: Session) -> Self {
        Self { socket, session }
    }

    /// The socket and the session.
    pub fn into_parts(self) -> (S, Session) {
        (self.socket, self.session)
    }

    /// The socket and the session.
    pub fn parts(&mut self) -> (&S, &mut Session) {
        (&self.socket, &mut self.session)
    }

    /// The session.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The socket.
    pub fn socket(&self) -> &S {
        &self.socket
    }
}

impl<S: AsFd> AsFd for Stream<S> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A socket in the middle of a poll.
struct Polled<'a, 'b, S> {
    socket: &'a mut S,
    cx: &'a mut Context<'b>,
}

/// Pending is `WouldBlock`, and the other way round.
fn now<T>(poll: Poll<io::Result<T>>) -> io::Result<T> {
    match poll {
        Poll::Ready(result) => result,
        Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
    }
}

fn later<T>(result: io::Result<T>) -> Poll<io::Result<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
        result => Poll::Ready(result),
    }
}

impl<S: AsyncRead + Unpin> io::Read for Polled<'_, '_, S> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut out = ReadBuf::new(out);
        now(Pin::new(&mut *self.socket).poll_read(self.cx, &mut out))?;
        Ok(out.filled().len())
    }
}

impl<S: AsyncWrite + Unpin> io::Write for Polled<'_, '_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        now(Pin::new(&mut *self.socket).poll_write(self.cx, bytes))
    }

    fn write_vectored(&mut self, bytes: &[IoSlice<'_>]) -> io::Result<usize> {
        now(Pin::new(&mut *self.socket).poll_write_vectored(self.cx, bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        now(Pin::new(&mut *self.socket).poll_flush(self.cx))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Stream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { socket, session } = &mut *self;
        let mut polled = Polled { socket, cx };
        // Not more than that is made ready: a target may be huge.
        let most = out.remaining().min(READ_BYTES);
        let read = session.read(out.initialize_unfilled_to(most), &mut polled);
        if session.tls.wants_write() {
            // What the protocol answers by itself. What cannot be sent now goes out with the next write.
            let _ = session.flush(&mut polled);
        }
        let count = ready!(later(read))?;
        out.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Stream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { socket, session } = &mut *self;
        later(session.write(bytes, &mut Polled { socket, cx }))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { socket, session } = &mut *self;
        later(session.flush(&mut Polled { socket, cx }))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session.close();
        ready!(self.as_mut().poll_flush(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

/// The handshake with one that connected to us.
///
/// # Errors
/// Those of the socket, and why the other side is not believed or does not understand us.
pub async fn accept<S: AsyncRead + AsyncWrite + Unpin>(
    socket: S,
    side: &ServerSide,
) -> io::Result<Stream<S>> {
    let tls = ServerConnection::new(Arc::clone(&side.0)).map_err(broken)?;
    shake(Stream::new(socket, Session::new(tls.into()))).await
}

/// The handshake with one that we connected to.
///
/// # Errors
/// Those of the socket, and why the other side is not believed or does not understand us.
pub async fn connect<S: AsyncRead + AsyncWrite + Unpin>(
    socket: S,
    side: &ClientSide,
) -> io::Result<Stream<S>> {
    let tls = ClientConnection::new(Arc::clone(&side.config), side.name.clone());
    let tls = tls.map_err(broken)?;
    shake(Stream::new(socket, Session::new(tls.into()))).await
}

async fn shake<S: AsyncRead + AsyncWrite + Unpin>(mut stream: Stream<S>) -> io::Result<Stream<S>> {
    poll_fn(|cx| poll_shake(&mut stream, cx)).await?;
    Ok(stream)
}

fn poll_shake<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut Stream<S>,
    cx: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    loop {
        let flushed = Pin::new(&mut *stream).poll_flush(cx)?;
        if !stream.session.tls.is_handshaking() {
            return flushed.map(Ok);
        }
        // What cannot be sent yet does not keep us from reading: the other side may be waiting for that.
        let Stream { socket, session } = &mut *stream;
        let mut polled = Polled { socket, cx };
        let mut room = [0; 4096];
        let count = ready!(later(io::Read::read(&mut polled, &mut room)))?;
        if count == 0 {
            return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
        }
        if !session.begun && room[0] != HANDSHAKE {
            // An alert would be strange to who does not speak TLS.
            let error = io::Error::new(io::ErrorKind::InvalidData, "it does not speak TLS");
            return Poll::Ready(Err(error));
        }
        session.begun = true;
        session.rest.extend_from_slice(&room[..count]);
        if let Err(error) = session.advance() {
            // It is told why, if it listens.
            let _ = session.flush(&mut polled);
            return Poll::Ready(Err(error));
        }
    }
}

impl Session {
    /// Takes a handshake further with what is at hand; what follows it is left alone.
    fn advance(&mut self) -> io::Result<()> {
        while self.tls.is_handshaking() && self.taken < self.rest.len() {
            let left = &self.rest[self.taken..];
            self.taken += self.tls.read_tls(&mut &*left)?;
            self.tls.process_new_packets().map_err(broken)?;
        }
        Ok(())
    }
}
