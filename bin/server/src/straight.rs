//! Dumps that a child writes straight to the sockets of replicas, and slots to that of their target: the parent has nothing to do with
//! their bytes.

use std::io::{self, Write};
use std::net::Shutdown;
use std::os::fd::{OwnedFd, RawFd};
use std::time::Duration;

use engine::{SendRequest, SlotsRequest};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::SockRef;
use store::Keyspace;

use crate::gathered::Gathered;
use crate::{dump, fork};

/// In the child: writes a dump to all that are to have it. One that goes, or does not read, does not keep the others from going on.
pub(crate) fn send(
    keyspace: &Keyspace,
    request: &SendRequest,
    gathered: &Gathered,
) -> io::Result<()> {
    let receivers = request.receivers.iter();
    let mut sockets = Sockets {
        sockets: receivers
            .clone()
            .map(|(socket, _)| fork::inherited(*socket))
            .collect(),
        patience: Duration::from_millis(request.patience_ms),
        gathered,
    };
    let before: Vec<&[u8]> = receivers.map(|(_, before)| &before[..]).collect();
    sockets.write_each(&before)?;
    let mut sockets = dump::write(keyspace, &request.dump, sockets, gathered)?;
    gathered.note_whole();
    sockets.write_all(&request.after)
}

/// In the child: writes slots to the node that they move to.
pub(crate) fn slots(
    keyspace: &Keyspace,
    request: &SlotsRequest,
    target: RawFd,
    gathered: &Gathered,
) -> io::Result<()> {
    let sockets = Sockets {
        sockets: vec![fork::inherited(target)],
        patience: Duration::from_millis(request.patience_ms),
        gathered,
    };
    dump::slots(keyspace, request, sockets, gathered)
}

/// The sockets that are still there.
struct Sockets<'a> {
    sockets: Vec<OwnedFd>,
    patience: Duration,
    gathered: &'a Gathered,
}

impl Sockets<'_> {
    /// Writes to each socket what is meant for it. An error where none is left.
    fn write_each(&mut self, parts: &[&[u8]]) -> io::Result<()> {
        let mut parts = parts.iter();
        let (patience, gathered) = (self.patience, self.gathered);
        self.sockets.retain(|socket| {
            let bytes = parts.next().copied().unwrap_or_default();
            let written = write_all(socket, bytes, patience);
            if written.is_err() {
                // The parent has it too, and learns that it is of no use any more.
                let _ = SockRef::from(socket).shutdown(Shutdown::Both);
            } else {
                gathered.add_sent(bytes.len());
            }
            written.is_ok()
        });
        if self.sockets.is_empty() {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(())
    }
}

impl Write for Sockets<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let parts = vec![bytes; self.sockets.len()];
        self.write_each(&parts)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Writes to a socket that does not block, for it is the parent's too; waits as long as it takes something within `patience`.
fn write_all(socket: &OwnedFd, mut bytes: &[u8], patience: Duration) -> io::Result<()> {
    while !bytes.is_empty() {
        match SockRef::from(socket).send(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                wait_for_room(socket, patience)?;
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn wait_for_room(socket: &OwnedFd, patience: Duration) -> io::Result<()> {
    let limit = Timespec::try_from(patience).ok();
    let mut polled = [PollFd::new(socket, PollFlags::OUT)];
    match poll(&mut polled, limit.as_ref()) {
        Ok(0) => Err(io::ErrorKind::TimedOut.into()),
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn pair() -> (OwnedFd, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        (ours.into(), theirs)
    }

    #[test]
    fn who_goes_or_does_not_read_keeps_nobody_from_the_rest() {
        let gathered = Gathered::new();
        let (reading, mut reader) = pair();
        let (gone, goes) = pair();
        let (idle, _idles) = pair();
        drop(goes);
        let mut sockets = Sockets {
            sockets: vec![gone, reading, idle],
            patience: Duration::from_millis(50),
            gathered: &gathered,
        };
        sockets.write_each(&[b"a", b"b", b"c"]).unwrap();
        let all = std::thread::spawn(move || {
            let mut all = Vec::new();
            reader.read_to_end(&mut all).unwrap();
            all
        });
        let piece = vec![b'x'; 100_000];
        for _ in 0..20 {
            sockets.write_all(&piece).unwrap();
        }
        assert_eq!(sockets.sockets.len(), 1);
        assert!(gathered.sent().0 > 2_000_000);
        drop(sockets);
        let all = all.join().unwrap();
        assert_eq!((all[0], all.len()), (b'b', 2_000_001));
    }

    #[test]
    fn without_anybody_left_it_ends() {
        let gathered = Gathered::new();
        let (gone, goes) = pair();
        drop(goes);
        let mut sockets = Sockets {
            sockets: vec![gone],
            patience: Duration::from_secs(5),
            gathered: &gathered,
        };
        assert!(sockets.write_all(b"x").is_err());
    }
}
