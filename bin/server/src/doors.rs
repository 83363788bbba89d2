//! Where connections come in.

use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, RawFd};
use std::rc::Rc;

use conf::ServerConfig;
use socket2::SockRef;
use tokio::net::{TcpListener, UnixListener};
use tokio::task::AbortHandle;

/// What is spoken at a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Speech {
    /// The protocol, as it is.
    Plain,
    /// TLS, and in it the protocol.
    Tls,
}

/// A listening socket.
#[derive(Clone, Debug)]
pub(crate) enum Listener {
    /// By TCP.
    Tcp(Rc<TcpListener>, Speech),
    /// By the admin port.
    Admin(Rc<TcpListener>),
    /// By a Unix socket, and its path.
    Unix(Rc<UnixListener>, Rc<str>),
}

impl Listener {
    /// Its socket.
    pub(crate) fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener, _) | Self::Admin(listener) => listener.as_fd(),
            Self::Unix(listener, _) => listener.as_fd(),
        }
    }
}

/// A door for clients, and the task that takes the connections. Dropping it closes the door.
#[derive(Debug)]
pub(crate) struct Door {
    pub(crate) listener: Listener,
    pub(crate) task: AbortHandle,
}

impl Drop for Door {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Door {
    /// Refuses who comes from now on. To be done before a process ends: the system closes its sockets in any order.
    pub(crate) fn close(&self) {
        let socket = match &self.listener {
            Listener::Tcp(listener, _) | Listener::Admin(listener) => SockRef::from(&**listener),
            Listener::Unix(listener, _) => SockRef::from(&**listener),
        };
        // Whatever goes wrong, the end of the process closes it.
        let _ = socket.shutdown(std::net::Shutdown::Both);
        if let Listener::Unix(_, path) = &self.listener {
            tracing::info!("Removing the unix socket file.");
            let _ = std::fs::remove_file(&**path);
        }
    }

    pub(crate) fn fd(&self) -> RawFd {
        self.listener.as_fd().as_raw_fd()
    }

    pub(crate) fn speaks(&self, speech: Speech) -> bool {
        matches!(&self.listener, Listener::Tcp(_, spoken) if *spoken == speech)
    }
}

/// The addresses and the port of the doors of one speech.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    bind: Vec<String>,
    pub(crate) port: u16,
}

impl Place {
    pub(crate) fn of(config: &ServerConfig, speech: Speech) -> Self {
        Self {
            bind: config.bind.clone(),
            port: match speech {
                Speech::Plain => config.port,
                Speech::Tls => config.tls_port,
            },
        }
    }
}
