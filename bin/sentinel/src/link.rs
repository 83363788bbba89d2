//! One connection from the sentinel to an instance: commands out, replies in, each in order.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;

use client::{Codec, Limits};
use futures_util::{SinkExt as _, StreamExt as _};
use sentinel_core::{Addr, Command, Input, LinkId, Reply};
use tls::{ClientSide, Wire};
use tokio::net::TcpSocket;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;
use tokio_util::codec::Framed;

use daemon::reason;

/// What an instance may send at once. The largest reply that means anything is INFO of a master with a thousand slaves.
const LIMITS: Limits = Limits {
    line_bytes: 64 * 1024,
    bulk_bytes: 4 * 1024 * 1024,
    elements: 1_024,
    depth: 8,
    values: 4_096,
};

/// How long a host name may be looked up.
const LOOK_UP_TIME: Duration = Duration::from_secs(5);

/// A connection's task. Dropping it closes the connection.
#[derive(Debug)]
pub(crate) struct Link {
    commands: mpsc::UnboundedSender<Command>,
    task: AbortHandle,
}

impl Link {
    /// Opens a connection, from the one of `sources` that is of the same family, if there is one. What happens on it
    /// goes to `inputs`.
    pub(crate) fn open(
        id: LinkId,
        addr: Addr,
        sources: Rc<[IpAddr]>,
        tls: Option<ClientSide>,
        inputs: mpsc::Sender<Input>,
    ) -> Self {
        // How much can wait here is bounded by the core: it withholds commands while too many are unanswered.
        let (commands, queue) = mpsc::unbounded_channel();
        let task = tokio::task::spawn_local(async move {
            let reason = run(id, addr, (sources, tls), queue, &inputs).await;
            // Fails only when the sentinel ends.
            let _ = inputs.send(Input::Closed { link: id, reason }).await;
        });
        Self {
            commands,
            task: task.abort_handle(),
        }
    }

    /// Sends a command, after those before it.
    pub(crate) fn send(&self, command: Command) {
        // A connection that broke has told so already.
        let _ = self.commands.send(command);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Serves the connection until it ends; says why it did.
async fn run(
    link: LinkId,
    addr: Addr,
    (sources, tls): (Rc<[IpAddr]>, Option<ClientSide>),
    mut queue: mpsc::UnboundedReceiver<Command>,
    inputs: &mpsc::Sender<Input>,
) -> String {
    let stream = match connect(&addr, &sources, tls.as_ref()).await {
        Ok(stream) => stream,
        Err(error) => return reason(&error),
    };
    let socket = stream.socket();
    let (local_ip, peer_ip) = match socket
        .local_addr()
        .and_then(|local| Ok((local.ip(), socket.peer_addr()?.ip())))
    {
        Ok(ends) => ends,
        Err(error) => return reason(&error),
    };
    let connected = Input::Connected {
        link,
        local_ip,
        peer_ip,
    };
    if inputs.send(connected).await.is_err() {
        return String::new();
    }
    let (mut sink, mut replies) = Framed::new(stream, Codec::with_limits(LIMITS)).split();
    let writing = async {
        while let Some(command) = queue.recv().await {
            if let Err(error) = sink.send(client::Command::from(command)).await {
                return error.to_string();
            }
        }
        String::new()
    };
    let reading = async {
        while let Some(reply) = replies.next().await {
            let reply = match reply {
                Ok(value) => reply_of(value),
                Err(error) => return error.to_string(),
            };
            if inputs.send(Input::Received { link, reply }).await.is_err() {
                return String::new();
            }
        }
        "Server closed the connection".to_owned()
    };
    tokio::select! {
        reason = writing => reason,
        reason = reading => reason,
    }
}

/// Connects to an address. A host name is looked up each time, since what it stands for may have changed.
async fn connect(
    addr: &Addr,
    sources: &[IpAddr],
    tls: Option<&ClientSide>,
) -> std::io::Result<Wire> {
    let ip = match addr.host() {
        Some(host) => resolve(host).await.or(addr.ip),
        None => addr.ip,
    };
    let unknown = || std::io::Error::other("the host name stands for no address");
    let ip = ip.ok_or_else(unknown)?;
    let socket = if ip.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    let source = sources
        .iter()
        .find(|source| source.is_ipv4() == ip.is_ipv4());
    if let Some(source) = source {
        socket.bind(SocketAddr::new(*source, 0))?;
    }
    let stream = socket.connect(SocketAddr::new(ip, addr.port)).await?;
    stream.set_nodelay(true)?;
    let keepalive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(300));
    socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    Ok(match tls {
        Some(side) => tls::connect(stream, side).await?.into(),
        None => stream.into(),
    })
}

/// Looks a host name up, on a thread of its own. IPv4 goes first where there is both.
pub(crate) async fn resolve(host: &str) -> Option<IpAddr> {
    let found = tokio::time::timeout(LOOK_UP_TIME, tokio::net::lookup_host((host, 0))).await;
    let mut all: Vec<IpAddr> = found.ok()?.ok()?.map(|addr| addr.ip()).collect();
    all.sort_by_key(IpAddr::is_ipv6);
    all.first().copied()
}

fn reply_of(value: client::Value) -> Reply {
    match value {
        client::Value::Status(text) => Reply::Status(text),
        client::Value::Error(text) => Reply::Error(text),
        client::Value::Int(number) => Reply::Integer(number),
        client::Value::Bulk(bytes) => Reply::Bulk(bytes.into()),
        client::Value::Nil => Reply::Nil,
        client::Value::Array(elements) => {
            Reply::Array(elements.into_iter().map(reply_of).collect())
        }
        resp3 => reply_of(resp3.into_resp2()),
    }
}
