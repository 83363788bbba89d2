//! A connection of the engine, as the shell and its task know it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use engine::LinkId;
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// While more bytes than this wait to be sent, what a child writes waits.
pub(crate) const AHEAD_BYTES: usize = 1024 * 1024;

/// The shell's ends of all links.
pub(crate) type Links = RefCell<BTreeMap<LinkId, Link>>;

/// The shell's end of a link. Dropping it ends the link.
#[derive(Debug)]
pub(crate) struct Link {
    bytes: UnboundedSender<Vec<u8>>,
    queue: Rc<Queue>,
}

/// What waits to be sent on a link.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub(crate) bytes: Cell<usize>,
    pub(crate) written: Notify,
    /// How many bytes may still be read; none for as many as come.
    room: Cell<Option<u64>>,
    pub(crate) limited: Notify,
}

impl Queue {
    /// How many bytes may be read into a buffer of this size.
    pub(crate) fn may_read(&self, size: usize) -> usize {
        let room = self.room.get().unwrap_or(u64::MAX);
        usize::try_from(room).unwrap_or(usize::MAX).min(size)
    }

    /// So many bytes were read.
    pub(crate) fn have_read(&self, count: usize) {
        let room = self.room.get();
        self.room
            .set(room.map(|room| room.saturating_sub(count as u64)));
    }
}

/// The task's end of a link.
pub(crate) struct Work {
    pub(crate) bytes: UnboundedReceiver<Vec<u8>>,
    pub(crate) queue: Rc<Queue>,
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
