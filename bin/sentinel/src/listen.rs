//! What the sentinel listens on, and who takes the connections. The sockets are opened before the process goes to the background,
//! and served when the event loop runs.

use std::net::TcpListener;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixListener;
use std::rc::Rc;

use conf::ServerConfig;
use daemon::{as_path, listen};

use crate::connection::{self, Clients, Ends};

/// What the sentinel listens on.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    tcp: Vec<TcpListener>,
    unix: Option<(UnixListener, String)>,
    /// The sockets of `metrics-port`.
    pub(crate) metrics: Option<metrics::Door>,
}

/// Opens what the configuration asks for.
pub(crate) fn open(config: &ServerConfig) -> anyhow::Result<Sockets> {
    let unix = match &config.unixsocket {
        Some(path) => {
            let path = as_path(path);
            let listener = listen::unix(path, config.unixsocketperm)?;
            Some((listener, path.display().to_string()))
        }
        None => None,
    };
    let tcp = listen::tcp(config, config.port)?;
    if tcp.is_empty() && unix.is_none() {
        anyhow::bail!("Configured to not listen anywhere, exiting.");
    }
    let metrics = metrics::open(config)?;
    Ok(Sockets { tcp, unix, metrics })
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
                listen::tune(&stream, keepalive_s);
                let laddr = stream.local_addr().map(|addr| addr.to_string());
                let ends = Ends {
                    addr: addr.to_string(),
                    laddr: laddr.unwrap_or_default(),
                    fd: stream.as_raw_fd(),
                };
                connection::start(&clients, stream, ends);
            }
            Err(error) => listen::accept_failed(&error).await,
        }
    }
}

async fn accept_unix(listener: tokio::net::UnixListener, clients: Rc<Clients>, path: String) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let ends = Ends {
                    addr: format!("{path}:0"),
                    laddr: format!("{path}:0"),
                    fd: stream.as_raw_fd(),
                };
                connection::start(&clients, stream, ends);
            }
            Err(error) => listen::accept_failed(&error).await,
        }
    }
}
