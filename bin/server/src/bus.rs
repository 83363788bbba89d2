//! The cluster bus on sockets: the listener, and one task per connection.

use std::cell::Cell;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::{Buf as _, BytesMut};
use cluster_bus::codec::{CodecError, decode, frame_len};
use cluster_bus::{BUS_PORT_OFFSET, Input, LinkId};
use conf::ServerConfig;
use daemon::listen;
use tls::Wire;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::shell::Shell;

/// How long connecting to another node may take. The core gives up earlier, if it wants to.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// The first room for a packet; a ping of a small cluster fits.
const READ_BYTES: usize = 8 * 1024;

/// What waits for a peer that does not read, bytes: a link with more is closed.
const MOST_QUEUED_BYTES: usize = 64 * 1024 * 1024;

/// The core is told at least after so many bytes that they have been sent.
const TOLD_BYTES: u64 = 1024 * 1024;

/// The shell's end of a link. Dropping it ends the link, whatever still waits to be sent.
#[derive(Debug)]
pub(crate) struct Link {
    packets: UnboundedSender<Vec<u8>>,
    queued: Rc<Cell<usize>>,
    end: oneshot::Sender<()>,
}

/// The task's end of it.
pub(crate) struct Work {
    packets: UnboundedReceiver<Vec<u8>>,
    queued: Rc<Cell<usize>>,
    end: oneshot::Receiver<()>,
}

/// Both ends of a new link.
pub(crate) fn link() -> (Link, Work) {
    let (sender, receiver) = unbounded_channel();
    let (end, ended) = oneshot::channel();
    let queued = Rc::new(Cell::new(0));
    let link = Link {
        packets: sender,
        queued: Rc::clone(&queued),
        end,
    };
    let work = Work {
        packets: receiver,
        queued,
        end: ended,
    };
    (link, work)
}

impl Link {
    /// Sends a packet. False where so much waits already that the link is to be ended as lost.
    pub(crate) fn send(&self, bytes: Vec<u8>) -> bool {
        let queued = self.queued.get() + bytes.len();
        if queued > MOST_QUEUED_BYTES {
            return false;
        }
        self.queued.set(queued);
        // A connection that has just ended takes nothing more; its end is told soon.
        let _ = self.packets.send(bytes);
        true
    }

    /// Ends the link; the core is told that it is lost.
    pub(crate) fn lose(self) {
        // It may have ended by itself.
        let _ = self.end.send(());
    }
}

/// Listens on the bus port of every bound address.
pub(crate) fn open(shell: &Rc<Shell>, config: &ServerConfig) -> anyhow::Result<()> {
    let base = if config.tls_cluster {
        config.tls_port
    } else {
        config.port
    };
    let port = match config.cluster_port {
        0 => base.checked_add(BUS_PORT_OFFSET),
        port => Some(port),
    };
    let port = port.context(
        "Redis port number too high. Cluster communication port is computed by adding 10,000 to the Redis base port. Your Redis port number must be lower than 55535.",
    )?;
    for listener in listen::tcp(config, port)? {
        shell.machine.doors.borrow_mut().push(listener.as_raw_fd());
        let listener = TcpListener::from_std(listener)?;
        let shell = Rc::clone(shell);
        tokio::task::spawn_local(async move {
            loop {
                match listener.accept().await {
                    Ok((stream, remote)) => accept(&shell, stream, remote),
                    Err(error) => listen::accept_failed(&error).await,
                }
            }
        });
    }
    Ok(())
}

fn accept(shell: &Rc<Shell>, stream: TcpStream, remote: SocketAddr) {
    let Ok(local) = stream.local_addr() else {
        return;
    };
    let link = LinkId::Accepted(shell.next_bus_link());
    let (ours, work) = self::link();
    shell.add_bus_link(link, ours);
    shell.turn(|engine| {
        engine.bus_input(Input::Accepted {
            link,
            remote: plain(remote),
            local: plain(local).ip(),
        });
    });
    tokio::task::spawn_local(accepted(Rc::clone(shell), link, stream, work));
}

/// Begins a session where the bus is encrypted, then serves the connection.
async fn accepted(shell: Rc<Shell>, link: LinkId, stream: TcpStream, work: Work) {
    let tls = shell.engine.borrow().config().tls_cluster;
    let wire = if tls {
        shell.machine.handshakes.accept_peer(stream).await
    } else {
        Ok(stream.into())
    };
    match wire {
        Ok(wire) => serve(shell, link, wire, work).await,
        Err(error) => {
            tracing::debug!(
                "Error accepting cluster node connection: {}",
                daemon::reason(&error)
            );
            lost(&shell, link);
        }
    }
}

/// A connection has ended by itself.
fn lost(shell: &Rc<Shell>, link: LinkId) {
    shell.forget_bus_link(link);
    shell.turn(|engine| engine.bus_input(Input::Closed { link }));
}

/// An IPv4-mapped IPv6 address as the IPv4 address that it is.
fn plain(addr: SocketAddr) -> SocketAddr {
    let ip: IpAddr = addr.ip().to_canonical();
    SocketAddr::new(ip, addr.port())
}

/// Connects to a node's bus port, then serves the connection.
pub(crate) async fn dial(shell: Rc<Shell>, link: LinkId, addr: SocketAddr, mut work: Work) {
    let source = shell.source_address();
    let connected = tokio::select! {
        biased;
        _ = &mut work.end => return,
        connected = tokio::time::timeout(CONNECT_TIMEOUT, connect(&shell, source.as_deref(), addr)) => connected,
    };
    match connected {
        Ok(Ok(stream)) => {
            shell.turn(|engine| engine.bus_input(Input::Connected { link }));
            serve(shell, link, stream, work).await;
        }
        _ => {
            shell.forget_bus_link(link);
            shell.turn(|engine| engine.bus_input(Input::ConnectFailed { link }));
        }
    }
}

/// Connects to a node, over TLS where `tls-cluster` says so.
async fn connect(shell: &Shell, source: Option<&[u8]>, to: SocketAddr) -> std::io::Result<Wire> {
    let stream = crate::dial::connect(source, to).await?;
    let tls = shell.engine.borrow().config().tls_cluster;
    if tls {
        shell.machine.handshakes.connect(stream).await
    } else {
        Ok(stream.into())
    }
}

/// Passes packets both ways until one side ends, or the shell ends the link.
async fn serve(shell: Rc<Shell>, link: LinkId, wire: Wire, work: Work) {
    // Packets are small and should not wait for one another.
    let _ = wire.socket().set_nodelay(true);
    let (mut reader, mut writer) = tokio::io::split(wire);
    // A peer that does not read must not keep us from hearing it.
    let Work {
        mut packets,
        queued,
        end,
    } = work;
    let sending = async {
        let mut written = 0;
        while let Some(bytes) = packets.recv().await {
            if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
                return;
            }
            queued.set(queued.get().saturating_sub(bytes.len()));
            written += bytes.len() as u64;
            // The core counts what waits: it is told once nothing does, or after much.
            if packets.is_empty() || written >= TOLD_BYTES {
                let bytes = std::mem::take(&mut written);
                shell.turn(|engine| engine.bus_sent(link, bytes));
            }
        }
    };
    let receiving = async {
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        loop {
            match reader.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) if cut(&shell, link, &mut buffer).is_err() => return,
                Ok(_) => {}
            }
        }
    };
    let is_lost = tokio::select! {
        biased;
        // Whatever the peer keeps us waiting for.
        ended = end => ended.is_ok(),
        () = sending => true,
        () = receiving => true,
    };
    if is_lost {
        lost(&shell, link);
    }
}

/// Cuts packets off a stream and hands them over. An error ends the connection: this is no bus.
fn cut(shell: &Rc<Shell>, link: LinkId, buffer: &mut BytesMut) -> Result<(), CodecError> {
    while let Some(length) = frame_len(buffer)? {
        if buffer.len() < length {
            break;
        }
        match decode(&buffer[..length]) {
            Ok(message) => shell.turn(|engine| engine.bus_received(link, message)),
            Err(CodecError::BadFrame) => return Err(CodecError::BadFrame),
            Err(error) => tracing::debug!("a packet of the cluster bus was dropped: {error}"),
        }
        buffer.advance(length);
    }
    Ok(())
}
