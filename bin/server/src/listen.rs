//! Listening sockets: TCP on every bound address, and the Unix socket.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use conf::ServerConfig;
use engine::{Engine, Peer};
use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use crate::config::{as_path, reason};
use crate::connection;
use crate::meanwhile::Door;
use crate::shell::Shell;

/// Opens what the configuration asks for, and serves what comes.
pub(crate) fn open(shell: &Rc<Shell>, config: &ServerConfig) -> anyhow::Result<()> {
    for listener in tcp_listeners(config)? {
        let listener = Rc::new(listener);
        let door = Door::Tcp(Rc::clone(&listener));
        shell.doors.borrow_mut().push(door);
        tokio::task::spawn_local(accept_tcp(Rc::clone(shell), listener));
    }
    if let Some(path) = &config.unixsocket {
        let path = as_path(path);
        // One that an earlier server left behind.
        let _ = std::fs::remove_file(path);
        let listener = UnixListener::bind(path)
            .with_context(|| format!("Opening Unix socket {}", path.display()))?;
        if config.unixsocketperm != 0 {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(config.unixsocketperm))
                .with_context(|| format!("Setting permissions of {}", path.display()))?;
        }
        let (listener, path) = (Rc::new(listener), Rc::from(path.display().to_string()));
        let door = Door::Unix(Rc::clone(&listener), Rc::clone(&path));
        shell.doors.borrow_mut().push(door);
        tokio::task::spawn_local(accept_unix(Rc::clone(shell), listener, path));
    }
    Ok(())
}

/// A listening socket for the port of each bound address; none for port 0.
pub(crate) fn tcp_listeners(config: &ServerConfig) -> anyhow::Result<Vec<TcpListener>> {
    let backlog = i32::try_from(config.tcp_backlog).unwrap_or(i32::MAX);
    let mut listeners = Vec::new();
    if config.port == 0 {
        return Ok(listeners);
    }
    for addr in addresses(config)? {
        match listen(addr, backlog) {
            Ok(listener) => listeners.push(listener),
            // Without `bind` a machine that lacks one address family listens on the other.
            Err(error) if config.bind.is_empty() && is_unsupported(&error) => {}
            Err(error) => anyhow::bail!(
                "Creating Server TCP listening socket {}:{}: bind: {}",
                if config.bind.is_empty() {
                    "*".to_owned()
                } else {
                    addr.ip().to_string()
                },
                addr.port(),
                reason(&error)
            ),
        }
    }
    Ok(listeners)
}

fn addresses(config: &ServerConfig) -> anyhow::Result<Vec<SocketAddr>> {
    if config.bind.is_empty() {
        let any = [
            IpAddr::V6(Ipv6Addr::UNSPECIFIED),
            IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        ];
        return Ok(any
            .into_iter()
            .map(|ip| SocketAddr::new(ip, config.port))
            .collect());
    }
    let mut all = Vec::new();
    for name in &config.bind {
        let found = (name.as_str(), config.port).to_socket_addrs();
        let first = found.ok().and_then(|mut found| found.next());
        all.push(first.with_context(|| {
            format!(
                "Creating Server TCP listening socket {name}:{}: cannot resolve the address",
                config.port
            )
        })?);
    }
    Ok(all)
}

fn is_unsupported(error: &std::io::Error) -> bool {
    const EAFNOSUPPORT: i32 = 97;
    matches!(error.raw_os_error(), Some(EAFNOSUPPORT))
        || error.kind() == std::io::ErrorKind::AddrNotAvailable
}

fn listen(addr: SocketAddr, backlog: i32) -> std::io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket.into())
}

async fn accept_tcp(shell: Rc<Shell>, listener: Rc<TcpListener>) {
    loop {
        match listener.accept().await {
            Ok((stream, addr)) => {
                let mut engine = shell.engine.borrow_mut();
                engine.set_now(shell.machine.now());
                start_tcp(&shell, &mut engine, stream, addr);
            }
            Err(error) => accept_failed(&error).await,
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
    let peer = Peer {
        addr: addr.to_string(),
        fd: stream.as_raw_fd(),
        unix: false,
    };
    // Replies are written whole; waiting for more would only delay them.
    let _ = stream.set_nodelay(true);
    let keepalive = engine.config().tcp_keepalive;
    if keepalive > 0 {
        let time = Duration::from_secs(keepalive.into());
        let probes = TcpKeepalive::new()
            .with_time(time)
            .with_interval(time / 3)
            .with_retries(3);
        // A connection that cannot be probed still serves.
        let _ = SockRef::from(&stream).set_tcp_keepalive(&probes);
    }
    connection::start(shell, engine, stream, peer);
}

async fn accept_unix(shell: Rc<Shell>, listener: Rc<UnixListener>, path: Rc<str>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let mut engine = shell.engine.borrow_mut();
                engine.set_now(shell.machine.now());
                start_unix(&shell, &mut engine, stream, &path);
            }
            Err(error) => accept_failed(&error).await,
        }
    }
}

/// Serves a connection that was accepted at the socket `path`.
pub(crate) fn start_unix(shell: &Rc<Shell>, engine: &mut Engine, stream: UnixStream, path: &str) {
    let peer = Peer {
        addr: format!("{path}:0"),
        fd: stream.as_raw_fd(),
        unix: true,
    };
    connection::start(shell, engine, stream, peer);
}

/// Out of descriptors or memory, as a rule: others get a chance to close theirs before the next try.
pub(crate) async fn accept_failed(error: &std::io::Error) {
    tracing::warn!("Accepting client connection: accept: {}", reason(error));
    tokio::time::sleep(Duration::from_millis(10)).await;
}
