//! What the server listens on, and who takes the connections.

use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::rc::Rc;

use anyhow::Context as _;
use conf::ServerConfig;
use daemon::{as_path, listen};
use engine::{Engine, Peer};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::meanwhile::Door;
use crate::shell::Shell;
use crate::{connection, figures};

/// Opens what the configuration asks for, and serves what comes.
pub(crate) fn open(shell: &Rc<Shell>, config: &ServerConfig) -> anyhow::Result<()> {
    for listener in listen::tcp(config, config.port)? {
        shell.machine.doors.borrow_mut().push(listener.as_raw_fd());
        let listener = Rc::new(TcpListener::from_std(listener)?);
        let door = Door::Tcp(Rc::clone(&listener));
        shell.doors.borrow_mut().push(door);
        tokio::task::spawn_local(accept_tcp(Rc::clone(shell), listener));
    }
    if let Some(path) = &config.unixsocket {
        let path = as_path(path);
        let listener = listen::unix(path, config.unixsocketperm)?;
        shell.machine.doors.borrow_mut().push(listener.as_raw_fd());
        let listener = UnixListener::from_std(listener)?;
        let (listener, path) = (Rc::new(listener), Rc::from(path.display().to_string()));
        let door = Door::Unix(Rc::clone(&listener), Rc::clone(&path));
        shell.doors.borrow_mut().push(door);
        tokio::task::spawn_local(accept_unix(Rc::clone(shell), listener, path));
    }
    if shell.doors.borrow().is_empty() {
        anyhow::bail!("Configured to not listen anywhere, exiting.");
    }
    Ok(())
}

/// Opens the admin port, and serves who comes by it.
pub(crate) fn open_admin(shell: &Rc<Shell>, config: &ServerConfig) -> anyhow::Result<()> {
    let bind = String::from_utf8_lossy(&config.admin_bind);
    let listeners = listen::tcp_at(
        bind.split_whitespace(),
        config.admin_port,
        config.tcp_backlog,
    )
    .context("admin-port")?;
    for listener in listeners {
        shell.machine.doors.borrow_mut().push(listener.as_raw_fd());
        let listener = Rc::new(TcpListener::from_std(listener)?);
        let door = Door::Admin(Rc::clone(&listener));
        shell.doors.borrow_mut().push(door);
        shell.admins.open();
        tokio::task::spawn_local(accept_admin(Rc::clone(shell), listener));
    }
    Ok(())
}

async fn accept_admin(shell: Rc<Shell>, listener: Rc<TcpListener>) {
    loop {
        match listener.accept().await {
            Ok((stream, addr)) => {
                let mut engine = shell.engine.borrow_mut();
                engine.set_now(shell.machine.now());
                start_admin(&shell, &mut engine, stream, addr);
            }
            Err(error) => listen::accept_failed(&error).await,
        }
    }
}

/// Serves `metrics-port`.
pub(crate) fn tell_figures(shell: &Rc<Shell>, door: metrics::Door) -> anyhow::Result<()> {
    let sockets = door.listeners().iter().map(|listener| listener.as_raw_fd());
    shell.machine.doors.borrow_mut().extend(sockets);
    let questions = metrics::serve(door)?;
    tokio::task::spawn_local(figures::answer(Rc::clone(shell), questions));
    Ok(())
}

async fn accept_tcp(shell: Rc<Shell>, listener: Rc<TcpListener>) {
    loop {
        match listener.accept().await {
            Ok((stream, addr)) => {
                let mut engine = shell.engine.borrow_mut();
                engine.set_now(shell.machine.now());
                start_tcp(&shell, &mut engine, stream, addr);
            }
            Err(error) => listen::accept_failed(&error).await,
        }
    }
}

/// Serves a connection that was accepted.
pub(crate) fn start_tcp(
    shell: &Rc<Shell>,
    engine: &mut Engine,
    stream: TcpStream,
    addr: SocketAddr,
) {
    let peer = peer(&stream, addr);
    listen::tune(&stream, engine.config().tcp_keepalive);
    connection::start(shell, engine, stream, peer);
}

/// Serves a connection that was accepted at the admin port.
pub(crate) fn start_admin(
    shell: &Rc<Shell>,
    engine: &mut Engine,
    stream: TcpStream,
    addr: SocketAddr,
) {
    let peer = peer(&stream, addr);
    listen::tune(&stream, engine.config().tcp_keepalive);
    connection::start_admin(shell, engine, stream, peer);
}

fn peer(stream: &TcpStream, addr: SocketAddr) -> Peer {
    let local = stream.local_addr();
    Peer {
        addr: addr.to_string(),
        local_addr: local.map(|addr| addr.to_string()).unwrap_or_default(),
        fd: stream.as_raw_fd(),
        unix: false,
    }
}

async fn accept_unix(shell: Rc<Shell>, listener: Rc<UnixListener>, path: Rc<str>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let mut engine = shell.engine.borrow_mut();
                engine.set_now(shell.machine.now());
                start_unix(&shell, &mut engine, stream, &path);
            }
            Err(error) => listen::accept_failed(&error).await,
        }
    }
}

/// Serves a connection that was accepted at the socket `path`.
pub(crate) fn start_unix(shell: &Rc<Shell>, engine: &mut Engine, stream: UnixStream, path: &str) {
    let peer = Peer {
        addr: format!("{path}:0"),
        local_addr: format!("{path}:0"),
        fd: stream.as_raw_fd(),
        unix: true,
    };
    connection::start(shell, engine, stream, peer);
}
