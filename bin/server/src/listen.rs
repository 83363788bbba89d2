//! Listening sockets.

use std::net::{SocketAddr, ToSocketAddrs as _};
use std::os::fd::AsRawFd as _;
use std::rc::Rc;

use anyhow::Context as _;
use engine::Peer;
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;

use crate::connection;
use crate::shell::Shell;

/// Listens on `port` of each address and serves what comes.
pub(crate) fn tcp(
    shell: &Rc<Shell>,
    addresses: &[String],
    port: u16,
    backlog: i32,
) -> anyhow::Result<()> {
    for address in addresses {
        let found = (address.as_str(), port)
            .to_socket_addrs()
            .with_context(|| format!("cannot resolve {address}"))?;
        for addr in found {
            let listener = listen(addr, backlog)
                .with_context(|| format!("Creating Server TCP listening socket {addr}"))?;
            tokio::task::spawn_local(accept(Rc::clone(shell), listener));
        }
    }
    Ok(())
}

fn listen(addr: SocketAddr, backlog: i32) -> anyhow::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    if addr.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.bind(&addr.into())?;
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    Ok(TcpListener::from_std(socket.into())?)
}

async fn accept(shell: Rc<Shell>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, addr)) => {
                let peer = Peer {
                    addr: addr.to_string(),
                    fd: stream.as_raw_fd(),
                    unix: false,
                };
                // Replies are written whole; waiting for more would only delay them.
                let _ = stream.set_nodelay(true);
                connection::start(&shell, stream, peer);
            }
            Err(error) => {
                tracing::warn!("Accepting client connection: {error}");
                tokio::task::yield_now().await;
            }
        }
    }
}
