//! What was read from clients and has not run yet. While one client's keys come from memory, others are read from: so the requests of
//! all that were ready run one after the other, and none of them waits for memory.

use std::cell::{Cell, Ref, RefCell, RefMut};
use std::ops::Range;

use engine::{ClientId, Engine, Requests};

/// Bytes read from a client at once.
pub(crate) const READ_BYTES: usize = 64 * 1024;
/// Bytes of reads that wait; as much again is room for the next one.
const WAITING_BYTES: usize = 64 * 1024;
/// Reads that wait: more clients than one look at the sockets is worth waiting for.
const MOST_WAITING: usize = 256;

/// One buffer for all clients, and the reads in it.
#[derive(Debug)]
pub(crate) struct Reads {
    buffer: RefCell<Box<[u8]>>,
    /// Where the reads that wait end.
    used: Cell<usize>,
    waiting: Cell<usize>,
    /// By the client's place.
    by_client: RefCell<Vec<Option<Box<Read>>>>,
    #[expect(clippy::vec_box, reason = "they go from hand to hand")]
    spare: RefCell<Vec<Box<Read>>>,
}

/// One read. It is in a box, which is used again: a place of a client of whom nothing waits is small.
#[derive(Debug, Default)]
pub(crate) struct Read {
    /// Whose it is, while it waits.
    owner: Option<ClientId>,
    /// Where it lies in the buffer.
    range: Range<usize>,
    /// What was cut off it.
    pub(crate) requests: Requests,
}

impl Reads {
    pub(crate) fn new() -> Self {
        Self {
            buffer: RefCell::new(vec![0; WAITING_BYTES + READ_BYTES].into_boxed_slice()),
            used: Cell::new(0),
            waiting: Cell::new(0),
            by_client: RefCell::default(),
            spare: RefCell::default(),
        }
    }

    /// Where the next read goes to.
    pub(crate) fn room(&self) -> RefMut<'_, [u8]> {
        let used = self.used.get();
        RefMut::map(self.buffer.borrow_mut(), |buffer| {
            &mut buffer[used..used + READ_BYTES]
        })
    }

    /// So many bytes were read to [`Reads::room`]. They lie there until the next call, unless they are to wait.
    pub(crate) fn begin(&self, count: usize) -> Box<Read> {
        let used = self.used.get();
        let mut read = self.spare.borrow_mut().pop().unwrap_or_default();
        read.range = used..used + count;
        read
    }

    /// The bytes of a read.
    pub(crate) fn bytes(&self, read: &Read) -> Ref<'_, [u8]> {
        Ref::map(self.buffer.borrow(), |buffer| &buffer[read.range.clone()])
    }

    /// Whether a read that has just begun may wait.
    pub(crate) fn may_wait(&self, read: &Read) -> bool {
        read.range.end <= WAITING_BYTES && self.waiting.get() < MOST_WAITING
    }

    /// Makes a read wait. A client has one at most.
    pub(crate) fn put(&self, id: ClientId, mut read: Box<Read>) {
        read.owner = Some(id);
        self.used.set(read.range.end);
        self.waiting.set(self.waiting.get() + 1);
        let mut by_client = self.by_client.borrow_mut();
        if by_client.len() <= id.place() {
            by_client.resize_with(id.place() + 1, || None);
        }
        by_client[id.place()] = Some(read);
    }

    /// What waits of a client; it is to be ended by [`Reads::end`].
    pub(crate) fn take(&self, id: ClientId) -> Option<Box<Read>> {
        let mut by_client = self.by_client.borrow_mut();
        let read = by_client
            .get_mut(id.place())?
            .take_if(|read| read.owner == Some(id))?;
        // Its bytes are safe: nothing is read to the buffer before this read has run.
        self.waiting.set(self.waiting.get() - 1);
        Some(read)
    }

    /// Whether something of a client waits.
    pub(crate) fn has(&self, id: ClientId) -> bool {
        matches!(self.by_client.borrow().get(id.place()), Some(Some(read)) if read.owner == Some(id))
    }

    /// Runs a read of a client, which ends it.
    pub(crate) fn run(&self, engine: &mut Engine, id: ClientId, mut read: Box<Read>) {
        engine.run_cut(id, &self.bytes(&read), &mut read.requests);
        self.end(read);
    }

    /// A read has run.
    pub(crate) fn end(&self, mut read: Box<Read>) {
        if self.waiting.get() == 0 {
            self.used.set(0);
        }
        read.owner = None;
        self.spare.borrow_mut().push(read);
    }

    /// The clients of whom something waits.
    pub(crate) fn clients(&self) -> Vec<ClientId> {
        let by_client = self.by_client.borrow();
        by_client
            .iter()
            .flatten()
            .filter_map(|read| read.owner)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(reads: &Reads, bytes: &[u8]) -> Box<Read> {
        reads.room()[..bytes.len()].copy_from_slice(bytes);
        reads.begin(bytes.len())
    }

    #[test]
    fn what_waits_is_not_overwritten() {
        let reads = Reads::new();
        let first = read(&reads, b"first");
        reads.put(ClientId::new(3, 8), first);
        let second = read(&reads, b"second");
        assert_eq!(&*reads.bytes(&second), b"second");
        reads.put(ClientId::new(0, 9), second);
        let third = read(&reads, b"third");
        reads.end(third);
        assert_eq!(reads.clients(), [ClientId::new(0, 9), ClientId::new(3, 8)]);
        let first = reads.take(ClientId::new(3, 8)).unwrap();
        assert_eq!(&*reads.bytes(&first), b"first");
        reads.end(first);
        assert!(reads.take(ClientId::new(3, 8)).is_none());
        assert!(reads.take(ClientId::new(0, 10)).is_none(), "another client");
        let second = reads.take(ClientId::new(0, 9)).unwrap();
        assert_eq!(&*reads.bytes(&second), b"second");
        reads.end(second);
        assert_eq!(read(&reads, b"next").range, 0..4);
    }

    #[test]
    fn there_is_always_room_for_a_read() {
        let reads = Reads::new();
        for place in 0.. {
            let next = read(&reads, &[b'x'; 1000]);
            if !reads.may_wait(&next) {
                break;
            }
            reads.put(ClientId::new(place, 1), next);
        }
        assert_eq!(reads.clients().len(), WAITING_BYTES / 1000);
        assert_eq!(reads.room().len(), READ_BYTES);
    }
}
