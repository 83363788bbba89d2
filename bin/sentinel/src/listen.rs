//! What the sentinel listens on, and who takes the connections. The sockets are opened before the process goes to the background,
//! and served when the event loop runs.

use std::net::TcpListener;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixListener;
use std::rc::Rc;
use std::time::Duration;

use conf::ServerConfig;
use daemon::{as_path, listen};
use tls::{Context, ServerSide, Settings};
use tokio::net::TcpStream;

use crate::connection::{self, Clients, Ends};

/// How long a handshake may take.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// What the sentinel listens on.
#[derive(Debug, Default)]
pub(crate) struct Sockets {
    tcp: Vec<TcpListener>,
    tls: Vec<TcpListener>,
    /// What sessions are made from.
    pub(crate) context: Option<tls::Context>,
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
    let tls = listen::tcp(config, config.tls_port)?;
    if tcp.is_empty() && tls.is_empty() && unix.is_none() {
        anyhow::bail!("Configured to not listen anywhere, exiting.");
    }
    let context = Settings::are_wanted(config).then(|| Context::new(&Settings::of(config)));
    Ok(Sockets {
        tcp,
        tls,
        context: context.transpose()?,
        unix,
        metrics: metrics::open(config)?,
    })
}

/// Takes connections from now on.
pub(crate) fn serve(
    sockets: Sockets,
    clients: &Rc<Clients>,
    config: &ServerConfig,
) -> anyhow::Result<()> {
    let side = sockets.context.map(|context| context.clients);
    let plain = sockets.tcp.into_iter().map(|listener| (listener, None));
    let encrypted = sockets
        .tls
        .into_iter()
        .map(|listener| (listener, side.clone()));
    for (listener, side) in plain.chain(encrypted) {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        tokio::task::spawn_local(accept_tcp(
            listener,
            Rc::clone(clients),
            config.tcp_keepalive,
            side,
        ));
    }
    if let Some((listener, path)) = sockets.unix {
        let listener = tokio::net::UnixListener::from_std(listener)?;
        tokio::task::spawn_local(accept_unix(listener, Rc::clone(clients), path));
    }
    Ok(())
}

/// Takes connections; where there is a `side`, they become clients once their handshake is over.
async fn accept_tcp(
    listener: tokio::net::TcpListener,
    clients: Rc<Clients>,
    keepalive_s: u32,
    side: Option<ServerSide>,
) {
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
                match side.clone() {
                    None => connection::start(&clients, stream, ends),
                    Some(side) => {
                        let clients = Rc::clone(&clients);
                        tokio::task::spawn_local(start_tls(clients, stream, ends, side));
                    }
                }
            }
            Err(error) => listen::accept_failed(&error).await,
        }
    }
}

async fn start_tls(clients: Rc<Clients>, stream: TcpStream, ends: Ends, side: ServerSide) {
    match tokio::time::timeout(HANDSHAKE, tls::accept(stream, &side)).await {
        Ok(Ok(stream)) => connection::start(&clients, stream, ends),
        Ok(Err(error)) => tracing::debug!(
            "Error accepting a client connection: {} (addr={} laddr={})",
            daemon::reason(&error),
            ends.addr,
            ends.laddr
        ),
        Err(_) => {}
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
