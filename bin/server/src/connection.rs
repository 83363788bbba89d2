//! One client's task: reads into the shared buffer, hands the bytes to the engine, writes what the engine left.
//!
//! Of the clients that are ready at the same time, all are read from, then the requests of all run, then the replies of all are written:
//! the processor's caches hold the code of one step at a time, and keys come from memory while others' reads are cut. A client's task
//! reads; the other two steps are taken for all of them by one task of the shell ([`Shell::after_the_others`]).

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Buf as _;
use engine::{ClientId, Engine, Peer, System as _};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::io::poll_read_buf;

use crate::host::Machine;
use crate::shell::GoOn;
use crate::shell::Shell;
use crate::socket::Socket;

/// Slices handed to one vectored write.
const MOST_SLICES: usize = 16;
/// So many requests of one read run at once, since their keys can be asked for ahead; only their replies wait for the others.
const MANY_REQUESTS: usize = 8;
/// Longer replies wait for nobody: they are written while they are in the cache.
const SHORT_REPLIES: usize = 4 * 1024;
/// The budget of one turn of a client, bytes read and nanoseconds: who has more to say goes on after all others that are ready.
const TURN_BYTES: usize = 256 * 1024;
const TURN_NS: u64 = 500_000;

/// Starts the task that serves a new connection.
pub(crate) fn start<S: AsyncRead + AsyncWrite + Unpin + Socket + 'static>(
    shell: &Rc<Shell>,
    engine: &mut Engine,
    stream: S,
    peer: Peer,
) {
    serve(shell, engine.accept(peer), stream);
}

/// The same for one that came by the admin port.
pub(crate) fn start_admin(shell: &Rc<Shell>, engine: &mut Engine, stream: TcpStream, peer: Peer) {
    let accepted = engine.accept_admin(peer);
    let id = accepted.as_ref().ok().copied();
    serve(shell, accepted, stream);
    if let Some(id) = id
        && let Some(stream) = shell.stream(id)
    {
        shell.admins.add(id, stream);
    }
}

fn serve<S: AsyncRead + AsyncWrite + Unpin + Socket + 'static>(
    shell: &Rc<Shell>,
    accepted: Result<ClientId, &'static [u8]>,
    stream: S,
) {
    match accepted {
        Ok(id) => {
            let stream = Rc::new(RefCell::new(stream));
            shell.add_stream(id, Rc::clone(&stream) as Rc<RefCell<dyn Socket>>);
            let shell = Rc::clone(shell);
            tokio::task::spawn_local(async move {
                let task = poll_fn(|cx| Poll::Ready(cx.waker().clone())).await;
                shell.set_task(id, &task);
                let connection = Rc::new(Connection {
                    shell,
                    stream,
                    id,
                    task,
                    turn_over: Cell::new(false),
                    over: Cell::new(false),
                });
                poll_fn(|cx| connection.poll(cx)).await;
                connection.hang_up();
                connection.shell.engine.borrow_mut().close(id);
                connection.shell.forget_task(id);
            });
        }
        Err(refusal) => {
            let mut stream = stream;
            tokio::task::spawn_local(async move {
                // The client may be gone already; there is nobody else to tell.
                let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, refusal).await;
                stream.say_end();
            });
        }
    }
}

/// What came of a read.
enum Came {
    /// The end of the connection.
    Nothing,
    /// Requests, which have run.
    Ran {
        /// How many bytes were read.
        bytes: usize,
        /// There were [`MANY_REQUESTS`].
        many: bool,
    },
    /// Requests, which have still to run.
    Waits,
}

/// What is left of a client's turn.
struct Turn {
    began_ns: u64,
    bytes: usize,
}

impl Turn {
    fn begin(machine: &Machine) -> Self {
        Self {
            began_ns: machine.mono_ns(),
            bytes: 0,
        }
    }

    /// After a read: whether the budget is used up.
    fn is_over(&mut self, bytes: usize, machine: &Machine) -> bool {
        self.bytes += bytes;
        self.bytes >= TURN_BYTES || machine.mono_ns().saturating_sub(self.began_ns) >= TURN_NS
    }
}

struct Connection<S> {
    shell: Rc<Shell>,
    /// Borrowed while this task runs, and for a moment while somebody else's script does: see `meanwhile.rs`.
    stream: Rc<RefCell<S>>,
    id: ClientId,
    /// Wakes this client's task. It is the same all the task's life.
    task: Waker,
    /// Its budget is used up: it does not read before its next turn.
    turn_over: Cell<bool>,
    over: Cell<bool>,
}

impl<S: AsyncRead + AsyncWrite + Unpin + Socket + 'static> GoOn for Connection<S> {
    fn run_waiting(&self, engine: &mut Engine) -> bool {
        if let Some(read) = self.shell.reads.take(self.id) {
            engine.set_now_for_requests(self.shell.machine.now());
            self.shell.reads.run(engine, self.id, read);
        }
        engine
            .output(self.id)
            .is_none_or(|out| out.len() <= SHORT_REPLIES)
    }

    fn go_on(self: Rc<Self>) {
        self.turn_over.set(false);
        let over = self.poll(&mut Context::from_waker(&self.task));
        if over.is_ready() {
            self.task.wake_by_ref();
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Socket + 'static> Connection<S> {
    /// Tells the other side that the connection is over. Closing the socket does that too, unless a child that saves has it as well.
    fn hang_up(&self) {
        let mut stream = self.stream.borrow_mut();
        stream.say_end();
        if self.shell.machine.has_child() {
            // Where that cannot be, there is nobody to tell.
            let _ = SockRef::from(&*stream).shutdown(Shutdown::Both);
        }
    }

    /// Goes on until there is nothing to do. Ready means that the connection is over.
    fn poll(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<()> {
        if !self.over.get() {
            ready!(self.poll_open(cx));
            self.over.set(true);
        }
        Poll::Ready(())
    }

    fn poll_open(self: &Rc<Self>, cx: &mut Context<'_>) -> Poll<()> {
        let shell = &self.shell;
        let stream = &mut *self.stream.borrow_mut();
        let mut turn = Turn::begin(&shell.machine);
        loop {
            let mut engine = shell.engine.borrow_mut();
            let flushed = match self.poll_write(cx, stream, &mut engine) {
                Poll::Ready(Ok(())) => true,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => {
                    // It does not read as fast as it asks.
                    if engine.output_stuck(self.id) {
                        shell.after_turn(&mut engine);
                    }
                    false
                }
            };
            if !engine.wants_input(self.id) {
                // What a session has encrypted may never get away: who is cut off is not waited for.
                return if flushed || shell.is_cut_off(self.id) {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                };
            }
            // Nothing more is read before what was read has run, or before the next turn.
            if shell.reads.has(self.id) || self.turn_over.get() {
                return Poll::Pending;
            }
            if engine.has_rest(self.id) {
                engine.set_now_for_requests(shell.machine.now());
                engine.run_rest(self.id);
                shell.after_turn(&mut engine);
                self.turn_over.set(true);
                shell.next_turn(Rc::clone(self) as Rc<dyn GoOn>);
                return Poll::Pending;
            }
            match ready!(self.poll_read(cx, stream, &mut engine)) {
                Ok(Came::Nothing) | Err(_) => return Poll::Ready(()),
                Ok(Came::Ran { bytes, many }) => {
                    shell.after_turn(&mut engine);
                    if turn.is_over(bytes, &shell.machine) {
                        self.turn_over.set(true);
                        shell.next_turn(Rc::clone(self) as Rc<dyn GoOn>);
                        return Poll::Pending;
                    }
                    if many && self.has_short_output(&mut engine) {
                        shell.after_the_others(Rc::clone(self) as Rc<dyn GoOn>);
                        return Poll::Pending;
                    }
                }
                Ok(Came::Waits) => {
                    shell.after_the_others(Rc::clone(self) as Rc<dyn GoOn>);
                    return Poll::Pending;
                }
            }
        }
    }

    fn has_short_output(&self, engine: &mut Engine) -> bool {
        let out = engine.output(self.id);
        out.is_some_and(|out| (1..=SHORT_REPLIES).contains(&out.len()))
    }

    /// One read, handed to the engine.
    fn poll_read(
        &self,
        cx: &mut Context<'_>,
        stream: &mut S,
        engine: &mut Engine,
    ) -> Poll<io::Result<Came>> {
        if let Some(target) = engine.read_target(self.id) {
            let read = ready!(poll_read_buf(Pin::new(stream), cx, target))?;
            if read == 0 {
                return Poll::Ready(Ok(Came::Nothing));
            }
            engine.set_now_for_requests(self.shell.machine.now());
            engine.received_pending(self.id, read);
            return Poll::Ready(Ok(Came::Ran {
                bytes: read,
                many: false,
            }));
        }
        let reads = &self.shell.reads;
        let count = {
            let mut room = reads.room();
            let mut buffer = ReadBuf::new(&mut room);
            ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
            buffer.filled().len()
        };
        if count == 0 {
            return Poll::Ready(Ok(Came::Nothing));
        }
        engine.set_now_for_requests(self.shell.machine.now());
        let mut read = reads.begin(count);
        engine.cut(self.id, &reads.bytes(&read), &mut read.requests);
        let many = read.requests.count() >= MANY_REQUESTS;
        Poll::Ready(Ok(if !many && reads.may_wait(&read) {
            reads.put(self.id, read);
            Came::Waits
        } else {
            reads.run(engine, self.id, read);
            Came::Ran { bytes: count, many }
        }))
    }

    /// Writes until everything is sent: replies, and a replica's share of the stream. Nothing leaves while changes of this turn
    /// have still to be written to the append-only file, or what this client asked for to nodes.conf: then the task is woken once
    /// they are.
    fn poll_write(
        &self,
        cx: &mut Context<'_>,
        stream: &mut S,
        engine: &mut Engine,
    ) -> Poll<io::Result<()>> {
        if engine.has_unflushed() && engine.has_output(self.id) {
            self.shell.defer(self.id);
            return Poll::Pending;
        }
        if engine.holds_replies(self.id) {
            return Poll::Pending;
        }
        let mut wrote = false;
        loop {
            let Some(out) = engine.output(self.id) else {
                return Poll::Ready(Ok(()));
            };
            if out.is_empty() {
                break;
            }
            let stream = Pin::new(&mut *stream);
            let sent = if let Some(whole) = out.as_slice() {
                stream.poll_write(cx, whole)
            } else {
                let mut slices = [io::IoSlice::new(&[]); MOST_SLICES];
                let count = out.chunks_vectored(&mut slices);
                stream.poll_write_vectored(cx, &slices[..count])
            };
            let Poll::Ready(sent) = sent else {
                if wrote {
                    self.shell.output_sent(self.id);
                }
                return Poll::Pending;
            };
            let sent = sent?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            out.advance(sent);
            engine.sent(self.id, sent);
            wrote = true;
        }
        if wrote {
            engine.output_done(self.id);
            self.shell.output_sent(self.id);
        }
        loop {
            let share = engine.stream(self.id);
            if share.is_empty() {
                return Pin::new(stream).poll_flush(cx);
            }
            let sent = ready!(Pin::new(&mut *stream).poll_write(cx, share))?;
            engine.stream_sent(self.id, sent);
        }
    }
}
