//! The load generator: one thread, many connections, each of which sends a pipeline, waits for all its replies, and sends the next.
//!
//! A reply's latency is the time from the write of its pipeline to the read that completed it. Nothing is allocated while it runs: the
//! requests' bytes are written once, and only the numbers in them are drawn anew.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use mio::event::Event;
use mio::{Events, Interest, Poll, Token};
use rustls::StreamOwned;

use crate::control::{self, Control};
use crate::replies::Replies;
use crate::request::{Request, Script};
use crate::tls::{Socket, Tls};

/// How long a server may say nothing at all.
const PATIENCE: Duration = Duration::from_secs(60);
/// What counts as the longest latency: longer ones are this long.
const LONGEST_NANOS: u64 = 100_000_000_000;
const READ_BYTES: usize = 256 * 1024;

/// What load to put on a server, and for how long. It ends with whatever end comes first.
#[derive(Debug, Clone, Copy)]
pub struct Load<'s> {
    /// Where the server listens.
    pub address: SocketAddr,
    /// Connections speak TLS.
    pub tls: Option<&'s Tls>,
    /// Connections speak RESP3.
    pub resp3: bool,
    /// How many connections send.
    pub connections: usize,
    /// How many requests each sends at once.
    pub pipeline: usize,
    /// What is not measured at the beginning.
    pub warm_up: Duration,
    /// How long is measured.
    pub time: Duration,
    /// How many requests are sent, those of the warm-up too.
    pub requests: u64,
    /// Ends the load from another thread.
    pub stop: Option<&'s AtomicBool>,
}

/// What a load measured.
#[derive(Debug)]
pub struct Outcome {
    /// Replies in the measured time.
    pub replies: u64,
    /// All replies, those of the warm-up too.
    pub all_replies: u64,
    /// The measured time.
    pub elapsed: Duration,
    /// What the server's clock went on by in the measured time.
    pub cpu: Duration,
    /// Nanoseconds from write to reply.
    pub latency: Histogram<u64>,
    /// Connections that the server closed.
    pub dropped: usize,
    /// How many replies were errors, and the first of them.
    pub errors: (u64, Option<String>),
}

impl Outcome {
    /// Microseconds at a percentile.
    #[must_use]
    pub fn percentile(&self, percentile: f64) -> f64 {
        let nanoseconds = self.latency.value_at_percentile(percentile);
        Duration::from_nanos(nanoseconds).as_secs_f64() * 1e6
    }
}

impl Load<'_> {
    /// Puts the load on the server. `cpu` reads the server's clock.
    ///
    /// # Errors
    ///
    /// No connection is possible, the server says nothing for a minute, or `cpu` fails.
    pub fn run(
        &self,
        script: &mut Script,
        cpu: &mut dyn FnMut() -> Result<Duration>,
    ) -> Result<Outcome> {
        let mut poll = Poll::new()?;
        let mut run = Run::new(self, script)?;
        let mut events = Events::with_capacity(self.connections.clamp(16, 4096));
        for (index, connection) in run.connections.iter_mut().enumerate() {
            let both = Interest::READABLE | Interest::WRITABLE;
            poll.registry()
                .register(connection.socket.source(), Token(index), both)?;
        }
        let begin = Instant::now();
        let mut start = begin;
        let mut cpu_at_start = cpu()?;
        let mut measuring = false;
        for index in 0..run.connections.len() {
            run.send(index, begin)?;
        }
        loop {
            let now = Instant::now();
            if !measuring && now - begin >= self.warm_up {
                (start, cpu_at_start, measuring) = (now, cpu()?, true);
                run.begin_measuring();
            }
            let over = self.stop.is_some_and(|stop| stop.load(Ordering::Relaxed));
            // However short the time is, something has been measured.
            let late = now - begin >= self.warm_up + self.time && run.has_measured();
            if over || late || run.is_over(self) {
                break;
            }
            poll.poll(&mut events, Some(PATIENCE))?;
            ensure!(!events.is_empty(), "the server says nothing for a minute");
            for event in &events {
                run.turn(event)?;
            }
        }
        let elapsed = start.elapsed();
        let cpu = cpu()?.saturating_sub(cpu_at_start);
        let replies = run.replies - run.replies_before;
        run.drain(&mut poll, &mut events)?;
        Ok(run.outcome(replies, elapsed, cpu))
    }
}

/// A load under way.
struct Run<'s> {
    connections: Vec<Connection>,
    script: &'s mut Script,
    batches: Vec<Request>,
    pipeline: u64,
    buffer: Vec<u8>,
    latency: Histogram<u64>,
    replies: u64,
    replies_before: u64,
    /// Requests that may still be sent.
    to_send: u64,
    dropped: usize,
}

struct Connection {
    socket: Socket,
    replies: Replies,
    /// Which of the batches comes next.
    turn: usize,
    /// Bytes that the socket did not take.
    unsent: Vec<u8>,
    /// Replies that have not come.
    awaited: u64,
    sent: Instant,
    open: bool,
}

impl<'s> Run<'s> {
    fn new(load: &Load<'_>, script: &'s mut Script) -> Result<Self> {
        let connection = |index| {
            let socket =
                connect(load).with_context(|| format!("connection {index} to {}", load.address))?;
            Ok(Connection {
                socket,
                replies: Replies::default(),
                turn: index,
                unsent: Vec::new(),
                awaited: 0,
                sent: Instant::now(),
                open: true,
            })
        };
        let connections: Result<Vec<_>> = (0..load.connections.max(1)).map(connection).collect();
        Ok(Run {
            connections: connections?,
            batches: script.batches(load.pipeline),
            script,
            pipeline: load.pipeline.max(1) as u64,
            buffer: vec![0; READ_BYTES],
            latency: Histogram::new_with_max(LONGEST_NANOS, 3)?,
            replies: 0,
            replies_before: 0,
            to_send: load.requests,
            dropped: 0,
        })
    }

    fn begin_measuring(&mut self) {
        self.latency.reset();
        self.replies_before = self.replies;
    }

    fn has_measured(&self) -> bool {
        self.replies > self.replies_before
    }

    /// Whether every reply has come, or no connection is left.
    fn is_over(&self, load: &Load<'_>) -> bool {
        self.replies >= load.requests || self.dropped == self.connections.len()
    }

    /// Sends the next batch on a connection that waits for nothing.
    fn send(&mut self, index: usize, now: Instant) -> Result<()> {
        let connection = &mut self.connections[index];
        if self.to_send == 0 || !connection.open {
            return Ok(());
        }
        self.to_send = self.to_send.saturating_sub(self.pipeline);
        let turn = connection.turn % self.batches.len();
        connection.turn = turn + 1;
        let bytes = self.script.fill(&mut self.batches[turn]);
        connection.awaited = self.pipeline;
        connection.sent = now;
        let taken = match connection.socket.write(bytes) {
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Err(error) if is_end(&error) => {
                self.drop_connection(index);
                return Ok(());
            }
            Err(error) => return Err(error).context("writing requests"),
        };
        connection.unsent.extend_from_slice(&bytes[taken..]);
        Ok(())
    }

    /// Reads what has come on a connection, and sends its next batch when that was all.
    fn turn(&mut self, event: &Event) -> Result<()> {
        let index = event.token().0;
        if event.is_writable() {
            self.flush(index)?;
        }
        loop {
            let connection = &mut self.connections[index];
            if !connection.open {
                return Ok(());
            }
            let count = match connection.socket.read(&mut self.buffer) {
                Ok(0) => {
                    self.drop_connection(index);
                    return Ok(());
                }
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) if is_end(&error) => {
                    self.drop_connection(index);
                    return Ok(());
                }
                Err(error) => return Err(error).context("reading replies"),
            };
            let now = Instant::now();
            let complete = connection.replies.feed(&self.buffer[..count]);
            if complete > 0 {
                let nanoseconds = (now - connection.sent).as_nanos();
                let nanoseconds = u64::try_from(nanoseconds).unwrap_or(u64::MAX);
                self.latency.saturating_record_n(nanoseconds, complete);
                self.replies += complete;
                if complete > connection.awaited {
                    bail!("more replies than requests");
                }
                connection.awaited -= complete;
                if connection.awaited == 0 {
                    self.send(index, now)?;
                }
            }
            // A read that does not fill the buffer has emptied the socket; what comes later is a new event. The end is none.
            let socket = &self.connections[index].socket;
            let emptied = count < READ_BYTES && socket.reads_all_at_once();
            if emptied && !event.is_read_closed() {
                return Ok(());
            }
        }
    }

    fn flush(&mut self, index: usize) -> Result<()> {
        let connection = &mut self.connections[index];
        let unsent = &connection.unsent;
        let taken = match unsent.is_empty() {
            true => connection.socket.flush().map(|()| 0),
            false => connection.socket.write(unsent),
        };
        match taken {
            Ok(count) => drop(connection.unsent.drain(..count)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if is_end(&error) => self.drop_connection(index),
            Err(error) => return Err(error).context("writing requests"),
        }
        Ok(())
    }

    fn drop_connection(&mut self, index: usize) {
        let connection = &mut self.connections[index];
        connection.open = false;
        connection.awaited = 0;
        self.dropped += 1;
    }

    /// Waits for the replies that are under way: a connection that is closed early would make the server work on for nobody.
    fn drain(&mut self, poll: &mut Poll, events: &mut Events) -> Result<()> {
        self.to_send = 0;
        while self.connections.iter().any(|one| one.awaited > 0) {
            poll.poll(events, Some(PATIENCE))?;
            ensure!(!events.is_empty(), "the last replies do not come");
            for event in events.iter() {
                self.turn(event)?;
            }
        }
        Ok(())
    }

    fn outcome(self, replies: u64, elapsed: Duration, cpu: Duration) -> Outcome {
        let errors = self.connections.iter().map(|one| one.replies.errors());
        let first = self.connections.iter().find_map(|one| {
            let error = one.replies.first_error();
            error.map(str::to_owned)
        });
        Outcome {
            replies,
            all_replies: self.replies,
            elapsed,
            cpu,
            errors: (errors.sum(), first),
            latency: self.latency,
            dropped: self.dropped,
        }
    }
}

/// Connects before anything is measured, so that a full queue of the listener is no failure.
fn connect(load: &Load<'_>) -> Result<Socket> {
    let socket = TcpStream::connect(load.address)?;
    socket.set_nodelay(true)?;
    control::limit_waiting(&socket)?;
    let Some(tls) = load.tls else {
        let socket = greet(socket, load.resp3)?;
        socket.set_nonblocking(true)?;
        return Ok(Socket::Plain(mio::net::TcpStream::from_std(socket)));
    };
    let stream = greet(tls.shake_hands(socket)?, load.resp3)?;
    let (session, socket) = stream.into_parts();
    socket.set_nonblocking(true)?;
    let socket = mio::net::TcpStream::from_std(socket);
    Ok(Socket::Tls(Box::new(StreamOwned::new(session, socket))))
}

/// Has a connection speak RESP3 where that is wanted.
fn greet<S: Read + Write>(stream: S, resp3: bool) -> Result<S> {
    if !resp3 {
        return Ok(stream);
    }
    let mut control = Control::over(stream);
    control.call(&["HELLO", "3"])?;
    Ok(control.into_stream())
}

fn is_end(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted
    )
}
