//! Clients served while a script runs for too long.
//!
//! The script keeps the engine, and with it this thread: no task runs. So the engine calls this in the middle of its turn
//! ([`engine::Meanwhile`]), and the sockets are looked at directly, without the event loop. What is read and sent here needs no
//! handing over: requests go to the engine as ever, half ones stay there, and a socket from which somebody has read just looks
//! quiet to its task later. What cannot be sent at once is sent by the task. The bus of a cluster is not served.

use std::cell::{Ref, RefCell};
use std::fmt;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd};
use std::rc::{Rc, Weak};

use engine::{ClientId, Engine, Meanwhile};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::listen;
use crate::shell::Shell;

/// Bytes read from one client at once.
const READ_BYTES: usize = 16 * 1024;
/// Connections accepted at once.
const MOST_ACCEPTED: usize = 64;

/// A socket that its task shares. While it is borrowed its own task runs.
pub(crate) trait Socket: AsFd + fmt::Debug {}

impl<S: AsFd + fmt::Debug> Socket for S {}

/// A door for clients.
#[derive(Clone, Debug)]
pub(crate) enum Door {
    /// By TCP.
    Tcp(Rc<TcpListener>),
    /// By a Unix socket, and its path.
    Unix(Rc<UnixListener>, Rc<str>),
    /// By the admin port.
    Admin(Rc<TcpListener>),
}

impl Door {
    /// Its listening socket.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) | Self::Admin(listener) => listener.as_fd(),
            Self::Unix(listener, _) => listener.as_fd(),
        }
    }

    /// Refuses who comes from now on. To be done before a process ends: the system closes its sockets in any order.
    pub(crate) fn close(&self) {
        let socket = match self {
            Self::Tcp(listener) | Self::Admin(listener) => SockRef::from(&**listener),
            Self::Unix(listener, _) => SockRef::from(&**listener),
        };
        // Whatever goes wrong, the end of the process closes it.
        let _ = socket.shutdown(std::net::Shutdown::Both);
        if let Self::Unix(_, path) = self {
            tracing::info!("Removing the unix socket file.");
            let _ = std::fs::remove_file(&**path);
        }
    }
}

/// Serves the clients of a shell.
#[derive(Debug)]
pub(crate) struct Server(pub(crate) Weak<Shell>);

impl Meanwhile for Server {
    fn serve(&self, engine: &mut Engine) {
        let Some(shell) = self.0.upgrade() else {
            return;
        };
        // What was changed before this is acknowledged by what is sent here.
        if !engine.flush_append_only() {
            return;
        }
        for door in shell.doors.borrow().iter() {
            for _ in 0..MOST_ACCEPTED {
                // Nobody is waiting, or nobody can be let in now; the door's task will see.
                if accept(&shell, engine, door).is_err() {
                    break;
                }
            }
        }
        for id in shell.reads.clients() {
            run_waiting(&shell, engine, id);
        }
        for id in with_output(&shell, engine) {
            answer_now(&shell, engine, id);
        }
        for (id, socket) in with_input(&shell, engine) {
            if let Ok(socket) = socket.try_borrow() {
                serve(&shell, engine, id, socket.as_fd());
            }
        }
        // SHUTDOWN NOSAVE does not wait for the script to notice.
        if engine.is_ending() {
            shell.end(0);
        }
    }
}

/// Lets one client in who waits at a door.
pub(crate) fn accept(shell: &Rc<Shell>, engine: &mut Engine, door: &Door) -> std::io::Result<()> {
    match door {
        Door::Tcp(listener) | Door::Admin(listener) => {
            let (socket, addr) = SockRef::from(&**listener).accept()?;
            let addr = addr
                .as_socket()
                .ok_or(std::io::ErrorKind::AddrNotAvailable)?;
            socket.set_nonblocking(true)?;
            let stream = TcpStream::from_std(socket.into())?;
            if matches!(door, Door::Admin(_)) {
                listen::start_admin(shell, engine, stream, addr);
            } else {
                listen::start_tcp(shell, engine, stream, addr);
            }
        }
        Door::Unix(listener, path) => {
            let (socket, _) = SockRef::from(&**listener).accept()?;
            socket.set_nonblocking(true)?;
            let stream = UnixStream::from_std(socket.into())?;
            listen::start_unix(shell, engine, stream, path);
        }
    }
    Ok(())
}

/// A client's socket, shared with its task.
pub(crate) type Shared = Rc<RefCell<dyn Socket>>;

/// The clients that have sent something, or are gone.
fn with_input(shell: &Shell, engine: &Engine) -> Vec<(ClientId, Shared)> {
    let streams = shell.streams.borrow();
    let open: Vec<(ClientId, &Shared, Ref<'_, dyn Socket>)> = streams
        .iter()
        .flatten()
        .filter_map(|(id, stream)| {
            let id = *id;
            let borrowed = stream.try_borrow().ok()?;
            engine
                .serves_meanwhile(id)
                .then_some((id, stream, borrowed))
        })
        .collect();
    let mut polled: Vec<PollFd<'_>> = open
        .iter()
        .map(|(.., socket)| PollFd::from_borrowed_fd(socket.as_fd(), PollFlags::IN))
        .collect();
    let at_once = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    if poll(&mut polled, Some(&at_once)).is_err() {
        // Interrupted: the next time comes soon.
        return Vec::new();
    }
    open.iter()
        .zip(&polled)
        .filter(|(_, polled)| !polled.revents().is_empty())
        .map(|((id, stream, _), _)| (*id, Rc::clone(stream)))
        .collect()
}

/// What was read of a client before this.
pub(crate) fn run_waiting(shell: &Shell, engine: &mut Engine, id: ClientId) {
    if engine.serves_meanwhile(id)
        && let Some(read) = shell.reads.take(id)
    {
        shell.reads.run(engine, id, read);
    }
}

/// The clients that wait for replies: also those whose requests ran just before the script.
fn with_output(shell: &Shell, engine: &Engine) -> Vec<ClientId> {
    let streams = shell.streams.borrow();
    let clients = streams.iter().flatten().map(|(id, _)| *id);
    clients
        .filter(|&id| engine.has_output(id) && engine.serves_meanwhile(id))
        .collect()
}

fn answer_now(shell: &Shell, engine: &mut Engine, id: ClientId) {
    if let Some(socket) = shell.stream(id)
        && let Ok(socket) = socket.try_borrow()
    {
        answer(shell, engine, id, &SockRef::from(&socket.as_fd()));
    }
}

/// One read, and what is answered. The end of a connection is left to its task.
pub(crate) fn serve(shell: &Shell, engine: &mut Engine, id: ClientId, fd: BorrowedFd<'_>) {
    let socket = SockRef::from(&fd);
    let mut buffer = [0; READ_BYTES];
    let Ok(count @ 1..) = (&*socket).read(&mut buffer) else {
        return;
    };
    engine.receive_meanwhile(id, &buffer[..count]);
    answer(shell, engine, id, &socket);
}

/// Sends what can be sent.
fn answer(shell: &Shell, engine: &mut Engine, id: ClientId, socket: &socket2::Socket) {
    if engine.holds_replies(id) {
        return;
    }
    let Some(out) = engine.output(id) else {
        return;
    };
    while !out.is_empty() {
        match (&mut &*socket).write(out.flatten()) {
            Ok(sent @ 1..) => out.advance(sent),
            _ => return,
        }
    }
    shell.output_sent(id);
}
