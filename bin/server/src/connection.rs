//! One client's task: reads into the shared buffer, hands the bytes to the engine, writes what the engine left.

use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::Buf as _;
use engine::{ClientId, Engine, Peer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

use crate::meanwhile::Socket;
use crate::reads::Read;
use crate::shell::Shell;

/// Slices handed to one vectored write.
const MOST_SLICES: usize = 16;
/// From so many requests at once on, a client's replies wait until the other ready clients' requests have run. Reading and running for
/// one after the other, and then writing to one after the other, is less work for the processor's caches than to change between them;
/// for fewer requests than this, coming back for the replies costs more.
const MANY_REQUESTS: usize = 8;
/// Longer replies are written while they are in the cache.
const SHORT_REPLIES: usize = 4 * 1024;

/// Starts the task that serves a new connection.
pub(crate) fn start<S: AsyncRead + AsyncWrite + Unpin + Socket + 'static>(
    shell: &Rc<Shell>,
    engine: &mut Engine,
    stream: S,
    peer: Peer,
) {
    match engine.accept(peer) {
        Ok(id) => {
            let stream = Rc::new(RefCell::new(stream));
            shell.add_stream(id, Rc::clone(&stream) as Rc<RefCell<dyn Socket>>);
            let connection = Connection {
                shell: Rc::clone(shell),
                stream,
                id,
            };
            tokio::task::spawn_local(async move {
                // A task's waker is the same all its life.
                poll_fn(|cx| {
                    connection.shell.set_task(id, cx.waker());
                    Poll::Ready(())
                })
                .await;
                poll_fn(|cx| connection.poll(cx)).await;
                connection.hang_up().await;
                connection.shell.engine.borrow_mut().close(id);
                connection.shell.forget_task(id);
            });
        }
        Err(refusal) => {
            let mut stream = stream;
            tokio::task::spawn_local(async move {
                // The client may be gone already; there is nobody else to tell.
                let _ = tokio::io::AsyncWriteExt::write_all(&mut stream, refusal).await;
            });
        }
    }
}

/// What came of a read.
enum Came {
    /// The end of the connection.
    Nothing,
    /// Requests, which have run.
    Ran,
    /// [`MANY_REQUESTS`], which have run.
    RanMany,
    /// Requests whose keys are not there yet.
    Waits,
}

struct Connection<S> {
    shell: Rc<Shell>,
    /// Borrowed while this task runs, and for a moment while somebody else's script does: see `meanwhile.rs`.
    stream: Rc<RefCell<S>>,
    id: ClientId,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Tells the other side that the connection is over. Closing the socket does that too, unless a child that saves has it as well.
    async fn hang_up(&self) {
        if self.shell.machine.has_child() {
            // Where that cannot be, there is nobody to tell.
            let _ = poll_fn(|cx| Pin::new(&mut *self.stream.borrow_mut()).poll_shutdown(cx)).await;
        }
    }

    /// Goes on until there is nothing to do. Ready means that the connection is over.
    fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let shell = &self.shell;
        let stream = &mut *self.stream.borrow_mut();
        if let Some(read) = shell.reads.take(self.id) {
            let mut engine = shell.engine.borrow_mut();
            engine.set_now_for_requests(shell.machine.now());
            self.run(&mut engine, read);
            shell.after_turn(&mut engine);
        }
        loop {
            let mut engine = shell.engine.borrow_mut();
            let flushed = match self.poll_write(cx, stream, &mut engine) {
                Poll::Ready(Ok(())) => true,
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => {
                    // It does not read as fast as it asks: now its limits count, not at the next tick.
                    if engine.limit_output(self.id) {
                        shell.after_turn(&mut engine);
                    }
                    false
                }
            };
            if !engine.wants_input(self.id) {
                return if flushed {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                };
            }
            match ready!(self.poll_read(cx, stream, &mut engine)) {
                Ok(Came::Nothing) | Err(_) => return Poll::Ready(()),
                Ok(Came::Ran) => shell.after_turn(&mut engine),
                Ok(Came::RanMany) => {
                    shell.after_turn(&mut engine);
                    if self.has_short_output(&mut engine) {
                        return Self::after_the_others(cx);
                    }
                }
                Ok(Came::Waits) => return Self::after_the_others(cx),
            }
        }
    }

    /// Its turn comes again after the clients that are ready now.
    fn after_the_others(cx: &Context<'_>) -> Poll<()> {
        cx.waker().wake_by_ref();
        Poll::Pending
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
            return Poll::Ready(Ok(Came::Ran));
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
        let asked = engine.cut(self.id, &reads.bytes(&read), &mut read.requests);
        Poll::Ready(Ok(if asked && reads.may_wait(&read) {
            reads.put(self.id, read);
            Came::Waits
        } else {
            let many = read.requests.count() >= MANY_REQUESTS;
            self.run(engine, read);
            if many { Came::RanMany } else { Came::Ran }
        }))
    }

    /// Runs what was read.
    fn run(&self, engine: &mut Engine, mut read: Read) {
        let reads = &self.shell.reads;
        engine.run_cut(self.id, &reads.bytes(&read), &mut read.requests);
        reads.end(read);
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
                ready!(stream.poll_write(cx, whole))?
            } else {
                let mut slices = [io::IoSlice::new(&[]); MOST_SLICES];
                let count = out.chunks_vectored(&mut slices);
                ready!(stream.poll_write_vectored(cx, &slices[..count]))?
            };
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            out.advance(sent);
            engine.sent(sent);
            wrote = true;
        }
        if wrote {
            engine.output_done(self.id);
            self.shell.output_sent(self.id);
        }
        loop {
            let share = engine.stream(self.id);
            if share.is_empty() {
                return Poll::Ready(Ok(()));
            }
            let sent = ready!(Pin::new(&mut *stream).poll_write(cx, share))?;
            engine.stream_sent(self.id, sent);
        }
    }
}
