//! Clients served while a script runs for too long.
//!
//! The script keeps the engine, and with it this thread: no task runs. So the engine calls this in the middle of its turn
//! ([`engine::Meanwhile`]), and the sockets are looked at directly, without the event loop. What is read and sent here needs no
//! handing over: requests go to the engine as ever, half ones stay there, and a socket from which somebody has read just looks
//! quiet to its task later. What cannot be sent at once is sent by the task. The bus of a cluster has a
//! thread of its own.

use std::cell::Ref;
use std::io::ErrorKind::{Interrupted, WouldBlock};
use std::io::{self, IoSlice};
use std::rc::{Rc, Weak};

use engine::{ClientId, Engine, Meanwhile};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use socket2::SockRef;
use tls::Stream;
use tokio::net::{TcpStream, UnixStream};

use crate::doors::Listener;
use crate::listen::{self};
use crate::shell::Shell;
use crate::socket::{Shared, Socket};

/// Bytes read from one client at once.
const READ_BYTES: usize = 16 * 1024;
/// Connections accepted at once.
const MOST_ACCEPTED: usize = 64;

impl Socket for TcpStream {}

impl Socket for UnixStream {}

impl Socket for Stream {
    fn read_now(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let (socket, session) = self.parts();
        session.read(out, &mut &*SockRef::from(socket))
    }

    fn write_now(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (socket, session) = self.parts();
        session.write(&[IoSlice::new(bytes)], &mut &*SockRef::from(socket))
    }

    fn has_input(&self) -> bool {
        self.session().has_input()
    }

    fn flush_now(&mut self) -> io::Result<()> {
        let (socket, session) = self.parts();
        session.flush(&mut &*SockRef::from(socket))
    }

    fn say_end(&mut self) {
        self.parts().1.close();
        // Who does not listen is not told.
        let _ = self.flush_now();
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
        if let Some(bus) = &*shell.bus.borrow() {
            bus.served();
        }
        // What was changed before this is acknowledged by what is sent here.
        if !engine.flush_append_only() {
            return;
        }
        for door in shell.doors.borrow().iter() {
            for _ in 0..MOST_ACCEPTED {
                // Nobody is waiting, or nobody can be let in now; the door's task will see.
                if accept(&shell, engine, &door.listener).is_err() {
                    break;
                }
            }
        }
        while let Some(shaken) = shell.machine.handshakes.next_done() {
            listen::start_tls(&shell, engine, shaken);
        }
        for id in shell.reads.clients() {
            run_waiting(&shell, engine, id);
        }
        for id in with_output(&shell, engine) {
            answer_now(&shell, engine, id);
        }
        for (id, socket) in with_input(&shell, engine) {
            if let Ok(mut socket) = socket.try_borrow_mut() {
                serve(&shell, engine, id, &mut *socket);
            }
        }
        if shell.signals.is_asked() {
            engine.end_script();
        }
        // SHUTDOWN NOSAVE does not wait for the script to notice.
        if engine.is_ending() {
            shell.end(0);
        }
    }
}

/// Lets one client in who waits at a door.
pub(crate) fn accept(
    shell: &Rc<Shell>,
    engine: &mut Engine,
    door: &Listener,
) -> std::io::Result<()> {
    match door {
        Listener::Tcp(listener, _) | Listener::Admin(listener) => {
            let (socket, addr) = SockRef::from(&**listener).accept()?;
            let addr = addr
                .as_socket()
                .ok_or(std::io::ErrorKind::AddrNotAvailable)?;
            socket.set_nonblocking(true)?;
            let stream = TcpStream::from_std(socket.into())?;
            match door {
                Listener::Tcp(_, speech) => {
                    listen::start_tcp(shell, engine, stream, addr, *speech);
                }
                _ => listen::start_admin(shell, engine, stream, addr),
            }
        }
        Listener::Unix(listener, path) => {
            let (socket, _) = SockRef::from(&**listener).accept()?;
            socket.set_nonblocking(true)?;
            let stream = UnixStream::from_std(socket.into())?;
            listen::start_unix(shell, engine, stream, path);
        }
    }
    Ok(())
}

/// The clients that have sent something, or are gone.
fn with_input(shell: &Shell, engine: &Engine) -> Vec<(ClientId, Shared)> {
    let streams = shell.streams();
    let open: Vec<(ClientId, &Shared, Ref<'_, dyn Socket>)> = streams
        .iter()
        .filter(|(id, _)| engine.serves_meanwhile(*id))
        .filter_map(|(id, stream)| Some((*id, stream, stream.try_borrow().ok()?)))
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
        .filter(|((.., socket), polled)| !polled.revents().is_empty() || socket.has_input())
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
    let clients = shell.streams().into_iter().map(|(id, _)| id);
    clients
        .filter(|&id| engine.has_output(id) && engine.serves_meanwhile(id))
        .collect()
}

fn answer_now(shell: &Shell, engine: &mut Engine, id: ClientId) {
    if let Some(socket) = shell.stream(id)
        && let Ok(mut socket) = socket.try_borrow_mut()
    {
        answer(shell, engine, id, &mut *socket);
    }
}

/// One read, and what is answered. The end of a connection is told, and then left to its task.
pub(crate) fn serve(shell: &Shell, engine: &mut Engine, id: ClientId, socket: &mut dyn Socket) {
    let mut buffer = [0; READ_BYTES];
    let count = match socket.read_now(&mut buffer) {
        Ok(count @ 1..) => count,
        Err(error) if matches!(error.kind(), WouldBlock | Interrupted) => return,
        Ok(_) | Err(_) => return engine.ended_meanwhile(id),
    };
    engine.receive_meanwhile(id, &buffer[..count]);
    if socket.has_input() {
        // The system will not tell its task of what it has given already.
        shell.wake(id);
    }
    answer(shell, engine, id, socket);
}

/// Sends what can be sent.
fn answer(shell: &Shell, engine: &mut Engine, id: ClientId, socket: &mut dyn Socket) {
    if engine.holds_replies(id) {
        return;
    }
    let Some(out) = engine.output(id) else {
        return;
    };
    while !out.is_empty() {
        match socket.write_now(out.flatten()) {
            Ok(sent @ 1..) => out.advance(sent),
            _ => return,
        }
    }
    if socket.flush_now().is_err() {
        shell.wake(id);
    }
    shell.output_sent(id);
    loop {
        let share = engine.stream(id);
        if share.is_empty() {
            return;
        }
        match socket.write_now(share) {
            Ok(sent @ 1..) => engine.stream_sent(id, sent),
            _ => return,
        }
    }
}
