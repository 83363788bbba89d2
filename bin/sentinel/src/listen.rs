//! Listening sockets: TCP on every bound address, and the Unix socket. Opened before the process goes to the background,
//! served when the event loop runs.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs as _};
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use conf::ServerConfig;
use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};

use crate::config::{as_path, reason};
use crate::connection::{self, Clients};

/// What the sentinel listens on.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    tcp: Vec<TcpListener>,
    unix: Option<(UnixListener, String)>,
}

/// Opens what the configuration asks for.
pub(crate) fn open(config: &ServerConfig) -> anyhow::Result<Sockets> {
    let backlog = i32::try_from(config.tcp_backlog).unwrap_or(i32::MAX);
    let mut sockets = Sockets::default();
    let addresses = if config.port == 0 {
        Vec::new()
    } else {
        addresses(config)?
    };
    for addr in addresses {
        match listen(addr, backlog) {
            Ok(listener) => sockets.tcp.push(listener),
            // Without `bind`, a machine that lacks one address family listens on the other.
            Err(error) if config.bind.is_empty() && is_unsupported(&error) => {}
            Err(error) => {
                let host = if config.bind.is_empty() {
                    "*".to_owned()
                } else {
                    addr.ip().to_string()
                };
                let why = reason(&error);
                anyhow::bail!(
                    "Creating Server TCP listening socket {host}:{}: bind: {why}",
                    addr.port()
                );
            }
        }
    }
    if let Some(path) = &config.unixsocket {
        sockets.unix = Some(open_unix(as_path(path), config.unixsocketperm)?);
    }
    Ok(sockets)
}

fn open_unix(path: &std::path::Path, permissions: u32) -> anyhow::Result<(UnixListener, String)> {
    // One that an earlier process left behind.
    let _ = std::fs::remove_file(path);
    let listener = UnixListener::bind(path)
        .with_context(|| format!("Opening Unix socket {}", path.display()))?;
    listener.set_nonblocking(true)?;
    if permissions != 0 {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(permissions))
            .with_context(|| format!("Setting permissions of {}", path.display()))?;
    }
    Ok((listener, path.display().to_string()))
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
    let resolve = |name: &String| {
        let found = (name.as_str(), config.port)
            .to_socket_addrs()
            .ok()
            .and_then(|mut found| found.next());
        found.with_context(|| {
            format!(
                "Creating Server TCP listening socket {name}:{}: cannot resolve the address",
                config.port
            )
        })
    };
    config.bind.iter().map(resolve).collect()
}

fn is_unsupported(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::AFNOSUPPORT.raw_os_error())
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
    Ok(socket.into())
}

/// Takes connections from now on.
pub(crate) fn serve(
    sockets: Sockets,
    clients: &Rc<Clients>,
    config: &ServerConfig,
) -> anyhow::Result<()> {
    for listener in sockets.tcp {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        tokio::task::spawn_local(accept_tcp(
            listener,
            Rc::clone(clients),
            config.tcp_keepalive,
        ));
    }
    if let Some((listener, path)) = sockets.unix {
        let listener = tokio::net::UnixListener::from_std(listener)?;
        tokio::task::spawn_local(accept_unix(listener, Rc::clone(clients), path));
    }
    Ok(())
}

async fn accept_tcp(listener: tokio::net::TcpListener, clients: Rc<Clients>, keepalive_s: u32) {
    loop {
        match listener.accept().await {
            Ok((stream, addr)) => {
                // A socket that refuses these options still serves.
                let _ = stream.set_nodelay(true);
                if keepalive_s > 0 {
                    let time = Duration::from_secs(keepalive_s.into());
                    let probes = TcpKeepalive::new()
                        .with_time(time)
                        .with_interval(time / 3)
                        .with_retries(3);
                    let _ = SockRef::from(&stream).set_tcp_keepalive(&probes);
                }
                let fd = stream.as_raw_fd();
                connection::start(&clients, stream, addr.to_string(), fd);
            }
            Err(error) => accept_failed(&error).await,
        }
    }
}

async fn accept_unix(listener: tokio::net::UnixListener, clients: Rc<Clients>, path: String) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let fd = stream.as_raw_fd();
                connection::start(&clients, stream, format!("{path}:0"), fd);
            }
            Err(error) => accept_failed(&error).await,
        }
    }
}

/// Out of descriptors or memory, as a rule: others get a chance to close theirs before the next try.
async fn accept_failed(error: &std::io::Error) {
    tracing::warn!("Accepting client connection: accept: {}", reason(error));
    tokio::time::sleep(Duration::from_millis(10)).await;
}
