//! What the server listens on, and who takes the connections.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::rc::{Rc, Weak};
use std::task::Poll;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use conf::ServerConfig;
use daemon::{as_path, listen};
use engine::{Certificate, Engine, Peer};
use tls::Settings;
use tls::Stream;
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::doors::{Door, Listener, Place, Speech};
use crate::handshakes::Shaken;
use crate::host;
use crate::shell::Shell;
use crate::{connection, figures};

/// Opens what the configuration asks for, and serves what comes.
pub(crate) fn open(shell: &Rc<Shell>, config: &ServerConfig) -> anyhow::Result<()> {
    shell.machine.handshakes.configure(config)?;
    tokio::task::spawn_local(take_over(Rc::downgrade(shell)));
    tokio::task::spawn_local(crate::listen::watch_files(Rc::downgrade(shell)));
    follow(shell, config)?;
    if let Some(path) = &config.unixsocket {
        let path = as_path(path);
        let listener = listen::unix(path, config.unixsocketperm)?;
        let listener = Rc::new(UnixListener::from_std(listener)?);
        let path = Rc::from(path.display().to_string());
        add(shell, Listener::Unix(listener, path));
    }
    if shell.doors.borrow().is_empty() {
        anyhow::bail!("Configured to not listen anywhere, exiting.");
    }
    Ok(())
}

/// The doors of a shell, for the engine's host.
#[derive(Debug)]
pub(crate) struct Doors(pub(crate) Weak<Shell>);

impl host::Doors for Doors {
    fn follow(&self, config: &ServerConfig) -> anyhow::Result<()> {
        match self.0.upgrade() {
            Some(shell) => follow(&shell, config),
            None => Ok(()),
        }
    }
}

/// Opens the doors of both ports, and closes those that are wanted no more. What does not change stays open.
fn follow(shell: &Rc<Shell>, config: &ServerConfig) -> anyhow::Result<()> {
    let both = [Speech::Plain, Speech::Tls];
    let wanted = both.map(|speech| Place::of(config, speech));
    let mut places = shell.places.borrow_mut();
    // A port may go from one speech to the other.
    for index in 0..both.len() {
        if places[index].as_ref() != Some(&wanted[index]) {
            places[index] = None;
            let fds = &shell.machine.doors;
            shell.doors.borrow_mut().retain(|door| {
                let stays = !door.speaks(both[index]);
                if !stays {
                    fds.borrow_mut().retain(|fd| *fd != door.fd());
                }
                stays
            });
        }
    }
    for ((speech, place), open) in both.into_iter().zip(wanted).zip(&mut *places) {
        if open.is_none() {
            for listener in listen::tcp(config, place.port)? {
                let listener = Rc::new(TcpListener::from_std(listener)?);
                add(shell, Listener::Tcp(listener, speech));
            }
            *open = Some(place);
        }
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
        let listener = Rc::new(TcpListener::from_std(listener)?);
        add(shell, Listener::Admin(listener));
        shell.admins.open();
    }
    Ok(())
}

fn add(shell: &Rc<Shell>, listener: Listener) {
    // The task does not keep the door open.
    let task = match &listener {
        Listener::Tcp(listener, speech) => {
            let speech = *speech;
            let start = move |shell: &Rc<Shell>, engine: &mut Engine, stream, addr| {
                start_tcp(shell, engine, stream, addr, speech);
            };
            let task = accept_tcp(Rc::clone(shell), Rc::downgrade(listener), start);
            tokio::task::spawn_local(task)
        }
        Listener::Admin(listener) => {
            let task = accept_tcp(Rc::clone(shell), Rc::downgrade(listener), start_admin);
            tokio::task::spawn_local(task)
        }
        Listener::Unix(listener, path) => {
            let task = accept_unix(Rc::clone(shell), Rc::downgrade(listener), Rc::clone(path));
            tokio::task::spawn_local(task)
        }
    };
    let task = task.abort_handle();
    let door = Door { listener, task };
    shell.machine.doors.borrow_mut().push(door.fd());
    shell.doors.borrow_mut().push(door);
}

/// Serves `metrics-port`.
pub(crate) fn tell_figures(shell: &Rc<Shell>, door: metrics::Door) -> anyhow::Result<()> {
    let sockets = door.listeners().iter().map(|listener| listener.as_raw_fd());
    shell.machine.doors.borrow_mut().extend(sockets);
    let questions = metrics::serve(door)?;
    tokio::task::spawn_local(figures::answer(Rc::clone(shell), questions));
    Ok(())
}

/// Takes the connections of one door; `start` serves them.
async fn accept_tcp(
    shell: Rc<Shell>,
    listener: Weak<TcpListener>,
    start: impl Fn(&Rc<Shell>, &mut Engine, TcpStream, SocketAddr),
) {
    loop {
        let accepted = poll_fn(|cx| match listener.upgrade() {
            Some(listener) => listener.poll_accept(cx),
            None => Poll::Pending,
        });
        match accepted.await {
            Ok((stream, addr)) => {
                let mut engine = shell.engine.borrow_mut();
                engine.set_now(shell.machine.now());
                start(&shell, &mut engine, stream, addr);
            }
            Err(error) => listen::accept_failed(&error).await,
        }
    }
}

/// Serves a connection that was accepted; one that speaks TLS once its handshake is over.
pub(crate) fn start_tcp(
    shell: &Rc<Shell>,
    engine: &mut Engine,
    stream: TcpStream,
    addr: SocketAddr,
    speech: Speech,
) {
    listen::tune(&stream, engine.config().tcp_keepalive);
    if speech == Speech::Tls {
        let most = engine.config().maxclients;
        match shell.machine.handshakes.accept(stream, addr, most) {
            Ok(true) => {}
            Ok(false) => engine.count_rejected(),
            Err(error) => tracing::debug!("Error accepting a client connection: {error}"),
        }
        return;
    }
    let peer = peer(&stream, addr);
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
        ..Peer::default()
    }
}

/// Takes over the sessions whose handshakes are over.
async fn take_over(shell: Weak<Shell>) {
    loop {
        let shaken = poll_fn(|cx| match shell.upgrade() {
            Some(shell) => shell.machine.handshakes.poll_done(cx),
            None => Poll::Ready(None),
        });
        let (Some(shaken), Some(shell)) = (shaken.await, shell.upgrade()) else {
            return;
        };
        let mut engine = shell.engine.borrow_mut();
        engine.set_now(shell.machine.now());
        start_tls(&shell, &mut engine, shaken);
    }
}

/// Serves a connection whose handshake is over.
pub(crate) fn start_tls(shell: &Rc<Shell>, engine: &mut Engine, shaken: Shaken) {
    let Shaken {
        addr,
        local_addr,
        session,
    } = shaken;
    let started = session
        .and_then(|(socket, session, names)| Ok((TcpStream::from_std(socket)?, session, names)));
    match started {
        Ok((socket, session, names)) => {
            let peer = Peer {
                addr: addr.to_string(),
                local_addr,
                fd: socket.as_raw_fd(),
                tls: true,
                certificate: names.map(|names| {
                    Box::new(Certificate {
                        common_name: names.common_name,
                        uris: names.uris,
                    })
                }),
                ..Peer::default()
            };
            connection::start(shell, engine, Stream::new(socket, session), peer);
        }
        Err(error) => tracing::debug!(
            "Error accepting a client connection: {} (addr={addr} laddr={local_addr})",
            daemon::reason(&error)
        ),
    }
}

async fn accept_unix(shell: Rc<Shell>, listener: Weak<UnixListener>, path: Rc<str>) {
    loop {
        let accepted = poll_fn(|cx| match listener.upgrade() {
            Some(listener) => listener.poll_accept(cx),
            None => Poll::Pending,
        });
        match accepted.await {
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
        ..Peer::default()
    };
    connection::start(shell, engine, stream, peer);
}

/// Looks at the files of certificates and keys again and again, as `tls-auto-reload-interval` says.
pub(crate) async fn watch_files(shell: Weak<Shell>) {
    let mut looked = Instant::now();
    loop {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let Some(shell) = shell.upgrade() else {
            return;
        };
        let config = shell.engine.borrow().config().clone();
        let interval = Duration::from_secs(config.tls_auto_reload_interval.into());
        if interval.is_zero() || looked.elapsed() < interval || !Settings::are_wanted(&config) {
            continue;
        }
        looked = Instant::now();
        let settings = Settings::of(&config);
        let asked = settings.clone();
        let reloaded = tokio::task::spawn_blocking(move || tls::Context::new(&asked)).await;
        // What was configured meanwhile is newer.
        let still_asked = Settings::of(shell.engine.borrow().config()) == settings;
        if let Ok(reloaded) = reloaded
            && still_asked
        {
            shell.machine.handshakes.take_reloaded(reloaded);
        }
    }
}
