//! A socket of a client, as both the tasks and who serves it meanwhile use it.

use std::cell::RefCell;
use std::fmt;
use std::io::{self, Read as _, Write as _};
use std::os::fd::AsFd;
use std::rc::Rc;

use socket2::SockRef;

/// A socket that its task shares. While it is borrowed its own task runs. Nothing here waits.
pub(crate) trait Socket: AsFd + fmt::Debug {
    /// Reads what is there.
    fn read_now(&mut self, out: &mut [u8]) -> io::Result<usize> {
        (&*SockRef::from(&self.as_fd())).read(out)
    }

    /// Sends what it takes.
    fn write_now(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*SockRef::from(&self.as_fd())).write(bytes)
    }

    /// Whether something was read from the system that nobody has been given yet.
    fn has_input(&self) -> bool {
        false
    }

    /// Sends what was taken and could not be sent.
    fn flush_now(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// Says that the connection is over, if its protocol has words for that.
    fn say_end(&mut self) {}
}

/// A client's socket, shared with its task.
pub(crate) type Shared = Rc<RefCell<dyn Socket>>;
