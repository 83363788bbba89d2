//! Listening sockets: TCP on every bound address, and the Unix socket; and what every accepted connection is given.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, ToSocketAddrs as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use conf::ServerConfig;
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::process::umask;
use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};

use crate::reason;

/// A listening socket, not blocking, for `port` at each bound address; none for port 0.
///
/// # Errors
/// Valkey's words for an address that cannot be had.
pub fn tcp(config: &ServerConfig, port: u16) -> anyhow::Result<Vec<TcpListener>> {
    tcp_at(
        config.bind.iter().map(String::as_str),
        port,
        config.tcp_backlog,
    )
}

/// The same at other addresses, in the words of `bind`.
///
/// # Errors
/// Valkey's words for an address that cannot be had.
pub fn tcp_at<'a>(
    bind: impl IntoIterator<Item = &'a str>,
    port: u16,
    backlog: u32,
) -> anyhow::Result<Vec<TcpListener>> {
    let backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
    let mut listeners = Vec::new();
    if port == 0 {
        return Ok(listeners);
    }
    for bound in bind {
        let (host, optional) = match bound.strip_prefix('-') {
            Some(host) => (host, true),
            None => (bound, false),
        };
        match listen(address(host, port)?, backlog) {
            Ok(listener) => listeners.push(listener),
            // A machine that lacks one address family listens on the other.
            Err(error) if optional && is_unsupported(&error) => {}
            Err(error) => {
                return Err(refused(host, port, &format!("bind: {}", reason(&error))));
            }
        }
    }
    Ok(listeners)
}

/// The Unix socket, not blocking; `permissions` of 0 leaves what the process's mask gives.
///
/// # Errors
/// Says which path could not be had.
pub fn unix(path: &Path, permissions: u32) -> anyhow::Result<UnixListener> {
    // One that an earlier process left behind.
    let _ = std::fs::remove_file(path);
    // It is open to nobody whom the permissions leave out, not even until they are set.
    let mask = (permissions != 0).then(|| umask(Mode::from_raw_mode(0o777 & !permissions)));
    let bound = UnixListener::bind(path);
    if let Some(mask) = mask {
        umask(mask);
    }
    let listener =
        bound.map_err(|error| anyhow::anyhow!("Opening Unix socket: bind: {}", reason(&error)))?;
    listener.set_nonblocking(true)?;
    if permissions != 0 {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(permissions))
            .with_context(|| format!("Setting permissions of {}", path.display()))?;
    }
    Ok(listener)
}

/// Gives an accepted connection its options; `keepalive_s` of 0 sends no probes. One that refuses them still serves.
pub fn tune(stream: &tokio::net::TcpStream, keepalive_s: u32) {
    // Replies are written whole; waiting for more would only delay them.
    let _ = stream.set_nodelay(true);
    if keepalive_s > 0 {
        let time = Duration::from_secs(keepalive_s.into());
        let probes = TcpKeepalive::new()
            .with_time(time)
            .with_interval(time / 3)
            .with_retries(3);
        let _ = SockRef::from(stream).set_tcp_keepalive(&probes);
    }
}

/// Out of descriptors or memory, as a rule: others get a chance to close theirs before the next try.
pub async fn accept_failed(error: &io::Error) {
    tracing::warn!("Accepting client connection: accept: {}", reason(error));
    tokio::time::sleep(Duration::from_millis(10)).await;
}

/// Valkey's two lines about it in one, as a start ends with one line: supervisors look for either.
fn refused(host: &str, port: u16, why: &str) -> anyhow::Error {
    anyhow::anyhow!(
        "Failed listening on port {port}: Could not create server TCP listening socket {host}:{port}: {why}"
    )
}

/// What a word of `bind` stands for: `*` and `::*` are all addresses of one family.
fn address(name: &str, port: u16) -> anyhow::Result<SocketAddr> {
    let any: IpAddr = match name {
        "*" => Ipv4Addr::UNSPECIFIED.into(),
        "::*" => Ipv6Addr::UNSPECIFIED.into(),
        name => {
            let found = (name, port).to_socket_addrs();
            let why = match found.map(|mut found| found.next()) {
                Ok(Some(addr)) => return Ok(addr),
                Ok(None) => "Name or service not known".to_owned(),
                Err(error) => reason(&error),
            };
            let why = why.trim_start_matches("failed to lookup address information: ");
            return Err(refused(name, port, why));
        }
    };
    Ok(SocketAddr::new(any, port))
}

fn is_unsupported(error: &io::Error) -> bool {
    error.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error())
        || error.kind() == io::ErrorKind::AddrNotAvailable
}

fn listen(addr: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    #[test]
    fn a_unix_socket_is_never_open_to_others() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("socket");
        let ended = AtomicBool::new(false);
        let seen = std::thread::scope(|scope| {
            let looking = scope.spawn(|| {
                let mut seen = 0;
                while !ended.load(Ordering::Relaxed) {
                    seen |= path.metadata().map_or(0, |facts| facts.mode() & 0o777);
                }
                seen
            });
            for _ in 0..500 {
                unix(&path, 0o600).unwrap();
            }
            ended.store(true, Ordering::Relaxed);
            looking.join().unwrap()
        });
        assert_eq!(seen & 0o077, 0, "{seen:o}");
        assert_eq!(path.metadata().unwrap().mode() & 0o777, 0o600);
    }
}
