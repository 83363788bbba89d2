//! The links of the cluster bus, as both threads know them.

use std::cell::Cell;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cluster_bus::codec::CodecError;
use cluster_bus::{LinkId, Packet};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::stand_in::Progress;

/// What waits for a peer that does not read, bytes: a link with more is closed.
pub(crate) const MOST_QUEUED_BYTES: usize = 64 * 1024 * 1024;

/// What came on a link and was not heard yet, bytes: with more, nothing is read from it.
pub(crate) const MOST_UNHEARD_BYTES: usize = 16 * 1024 * 1024;

/// The shell's end of a link. Dropping it ends the link, whatever still waits to be sent.
#[derive(Debug)]
pub(crate) struct Link {
    packets: UnboundedSender<Vec<u8>>,
    queued: Arc<AtomicUsize>,
    /// What was waiting, or has come since, when [`Link::written`] was asked last.
    handed: Cell<usize>,
    end: oneshot::Sender<()>,
}

/// The other end of it.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) packets: UnboundedReceiver<Vec<u8>>,
    pub(crate) queued: Arc<AtomicUsize>,
    pub(crate) end: oneshot::Receiver<()>,
}

/// Both ends of a new link.
pub(crate) fn link() -> (Link, Work) {
    let (sender, receiver) = unbounded_channel();
    let (end, ended) = oneshot::channel();
    let queued = Arc::new(AtomicUsize::new(0));
    let link = Link {
        packets: sender,
        queued: Arc::clone(&queued),
        handed: Cell::new(0),
        end,
    };
    let work = Work {
        packets: receiver,
        queued,
        end: ended,
    };
    (link, work)
}

impl Link {
    /// Sends a packet. False where so much waits already that the link is to be ended as lost.
    pub(crate) fn send(&self, bytes: Vec<u8>) -> bool {
        self.handed.set(self.handed.get() + bytes.len());
        let queued = self.queued.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len();
        if queued > MOST_QUEUED_BYTES {
            return false;
        }
        // A connection that has just ended takes nothing more; its end is told soon.
        let _ = self.packets.send(bytes);
        true
    }

    /// Bytes that have been written to the socket since this was asked last.
    pub(crate) fn written(&self) -> u64 {
        let waiting = self.queued.load(Ordering::Relaxed);
        let written = self.handed.replace(waiting) - waiting;
        written as u64
    }

    /// Ends the link; the core is told that it is lost.
    pub(crate) fn lose(self) {
        // It may have ended by itself.
        let _ = self.end.send(());
    }
}

/// What came on one link and was not heard yet.
#[derive(Debug, Default)]
pub(crate) struct Unheard {
    bytes: AtomicUsize,
    less: Notify,
}

impl Unheard {
    pub(crate) fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn take(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.less.notify_one();
    }

    /// Returns once there is room for more.
    pub(crate) async fn room(&self) {
        while self.bytes.load(Ordering::Relaxed) > MOST_UNHEARD_BYTES {
            self.less.notified().await;
        }
    }
}

/// What the thread of the sockets tells.
#[derive(Debug)]
pub(crate) enum Event {
    Accepted {
        link: LinkId,
        ours: Link,
        remote: SocketAddr,
        local: IpAddr,
    },
    Connected(LinkId),
    ConnectFailed(LinkId),
    Received {
        link: LinkId,
        packet: Box<Packet>,
        bytes: usize,
        unheard: Arc<Unheard>,
    },
    Closed(LinkId),
    /// A packet that cannot be read was left out.
    Unreadable {
        kind: u16,
        bytes: u64,
        error: CodecError,
    },
    AcceptFailed(io::Error),
}

/// What that thread is asked for: a connection.
#[derive(Debug)]
pub(crate) struct Dial {
    pub(crate) link: LinkId,
    pub(crate) addr: SocketAddr,
    pub(crate) source: Option<Vec<u8>>,
    pub(crate) work: Work,
}

/// The thread of the sockets.
#[derive(Debug)]
pub(crate) struct Bus {
    pub(crate) dials: UnboundedSender<Dial>,
    pub(crate) events: UnboundedReceiver<Event>,
    pub(crate) progress: Arc<Progress>,
}

impl Bus {
    /// Somebody was served in the middle of a turn.
    pub(crate) fn served(&self) {
        self.progress.serve();
    }
}
