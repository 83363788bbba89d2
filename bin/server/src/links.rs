//! Connections that the engine opens: to a master, to the target of slots that move. One task each.

use std::cell::Cell;
use std::io;
use std::rc::Rc;
use std::time::Duration;

use daemon::reason;
use engine::LinkId;
use socket2::SockRef;
use tls::Wire;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::shell::Shell;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;

/// While more bytes than this wait to be sent, what a child writes waits.
const AHEAD_BYTES: usize = 1024 * 1024;

/// The shell's end of a link. Dropping it ends the link.
#[derive(Debug)]
pub(crate) struct Link {
    bytes: UnboundedSender<Vec<u8>>,
    queue: Rc<Queue>,
}

/// What waits to be sent on a link.
#[derive(Debug, Default)]
struct Queue {
    bytes: Cell<usize>,
    written: Notify,
    /// How many bytes may still be read; none for as many as come.
    room: Cell<Option<u64>>,
    limited: Notify,
}

impl Queue {
    /// How many bytes may be read into a buffer of this size.
    fn may_read(&self, size: usize) -> usize {
        let room = self.room.get().unwrap_or(u64::MAX);
        usize::try_from(room).unwrap_or(usize::MAX).min(size)
    }

    /// So many bytes were read.
    fn have_read(&self, count: usize) {
        let room = self.room.get();
        self.room
            .set(room.map(|room| room.saturating_sub(count as u64)));
    }
}

/// The task's end of a link.
pub(crate) struct Work {
    bytes: UnboundedReceiver<Vec<u8>>,
    queue: Rc<Queue>,
}

impl Drop for Work {
    fn drop(&mut self) {
        // Who waits for room sees that there is no link.
        self.queue.written.notify_waiters();
    }
}

/// Both ends of a new link.
pub(crate) fn link() -> (Link, Work) {
    let (sender, receiver) = unbounded_channel();
    let queue = Rc::new(Queue::default());
    let link = Link {
        bytes: sender,
        queue: Rc::clone(&queue),
    };
    let work = Work {
        bytes: receiver,
        queue,
    };
    (link, work)
}

impl Link {
    pub(crate) fn send(&self, bytes: Vec<u8>) {
        self.queue.bytes.set(self.queue.bytes.get() + bytes.len());
        // A link that has just ended takes nothing more; its end is told soon.
        let _ = self.bytes.send(bytes);
    }

    /// No more than so many bytes are read from now on; none: as many as come.
    pub(crate) fn limit(&self, room: Option<u64>) {
        self.queue.room.set(room);
        self.queue.limited.notify_one();
    }

    /// Whether little waits to be sent.
    pub(crate) fn has_room(&self) -> bool {
        self.queue.bytes.get() <= AHEAD_BYTES
    }

    /// Ends when something was sent, or the link has ended.
    pub(crate) fn room(&self) -> impl Future<Output = ()> + use<> {
        let queue = Rc::clone(&self.queue);
        async move { queue.written.notified().await }
    }
}

/// Connects, then passes bytes both ways until one side ends or the engine drops the sender of `out`.
pub(crate) async fn run(shell: Rc<Shell>, link: LinkId, host: String, port: u16, mut work: Work) {
    let source = shell.source_address();
    let connected = tokio::select! {
        // A link that was given up while it came to be is none: nobody would close its socket.
        biased;
        // Nothing is sent before the connection is made: this is its end.
        _ = work.bytes.recv() => return,
        connected = tokio::time::timeout(CONNECT_TIMEOUT, connect(&shell, source.as_deref(), (host.as_str(), port))) => connected,
    };
    let mut stream = match connected {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            return shell.turn(|engine| engine.link_opened(link, Err(reason(&error))));
        }
        Err(_) => {
            return shell
                .turn(|engine| engine.link_opened(link, Err("Operation timed out".to_owned())));
        }
    };
    if let Ok(socket) = SockRef::from(&stream).try_clone() {
        shell.machine.link_opened(link, socket);
    }
    shell.turn(|engine| engine.link_opened(link, Ok(())));
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let may_read = work.queue.may_read(buffer.len());
        tokio::select! {
            () = work.queue.limited.notified() => {}
            bytes = work.bytes.recv() => match bytes {
                Some(bytes) => {
                    if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
                        break;
                    }
                    work.queue.bytes.set(work.queue.bytes.get().saturating_sub(bytes.len()));
                    shell.engine.borrow_mut().link_sent(link, bytes.len());
                    work.queue.written.notify_waiters();
                }
                None => return,
            },
            read = stream.read(&mut buffer[..may_read]), if may_read > 0 => match read {
                Ok(0) | Err(_) => break,
                Ok(count) => {
                    work.queue.have_read(count);
                    shell.turn(|engine| engine.link_received(link, &buffer[..count]));
                }
            },
        }
    }
    shell.forget_link(link);
    drop(work);
    shell.turn(|engine| engine.link_closed(link));
}

/// Connects to a master, over TLS where `tls-replication` says so.
async fn connect(shell: &Shell, source: Option<&[u8]>, to: (&str, u16)) -> io::Result<Wire> {
    let stream = crate::dial::connect(source, to).await?;
    // Acknowledgements are small and should not wait for one another.
    let _ = stream.set_nodelay(true);
    let tls = shell.engine.borrow().config().tls_replication;
    if tls {
        shell.machine.handshakes.connect(stream).await
    } else {
        Ok(stream.into())
    }
}
