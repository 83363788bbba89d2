//! The cluster bus on sockets: the listener, one task per connection, and nodes.conf on the disk.

use std::fs::File;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::{Buf as _, BytesMut};
use cluster_bus::codec::{CodecError, decode, frame_len};
use cluster_bus::{BUS_PORT_OFFSET, Input, LinkId, NodesConf, nodes_conf};
use conf::ServerConfig;
use daemon::{files, listen, reason};
use nix::fcntl::{Flock, FlockArg};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::shell::Shell;

/// How long connecting to another node may take. The core gives up earlier, if it wants to.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// The first room for a packet; a ping of a small cluster fits.
const READ_BYTES: usize = 8 * 1024;

/// nodes.conf, locked as long as the server lives, so that no two nodes share one.
#[derive(Debug)]
pub(crate) struct NodesFile {
    path: PathBuf,
    lock: Flock<File>,
}

impl NodesFile {
    /// Opens and locks the file, and reads it; none where it is new.
    pub(crate) fn open(path: &Path) -> anyhow::Result<(Self, Option<NodesConf>)> {
        let path = std::path::absolute(path)?;
        let mut file = File::options()
            .read(true)
            .append(true)
            .create(true)
            .open(&path);
        let file = file.as_mut().map_err(|error| {
            anyhow::anyhow!(
                "Loading the cluster node config from {}: {}",
                path.display(),
                reason(error)
            )
        })?;
        let file = file.try_clone()?;
        let mut lock = lock(file, &path)?;
        let mut text = Vec::new();
        std::io::Read::read_to_end(&mut *lock, &mut text)?;
        let saved = nodes_conf::load(&text).map_err(|error| {
            anyhow::anyhow!(
                "Unrecoverable error: corrupted cluster config file {}: {error}",
                path.display()
            )
        })?;
        Ok((Self { path, lock }, saved))
    }

    /// Replaces the file. The new one is locked before it takes the old one's place.
    pub(crate) fn replace(&mut self, text: &str) -> anyhow::Result<()> {
        let place = |file| lock(file, &self.path).map_err(std::io::Error::other);
        self.lock = files::replace_by_rename(&self.path, text.as_bytes(), place)?;
        Ok(())
    }
}

fn lock(file: File, path: &Path) -> anyhow::Result<Flock<File>> {
    Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|_| {
        anyhow::anyhow!(
            "Sorry, the cluster configuration file {} is already used by a different Redis Cluster node. \
             Please make sure that different nodes use different cluster configuration files.",
            path.display()
        )
    })
}

/// Listens on the bus port of every bound address.
pub(crate) fn open(shell: &Rc<Shell>, config: &ServerConfig) -> anyhow::Result<()> {
    let port = config.port.checked_add(BUS_PORT_OFFSET).context(
        "Redis port number too high. Cluster communication port is computed by adding 10,000 to the Redis base port. Your Redis port number must be lower than 55535.",
    )?;
    for listener in listen::tcp(config, port)? {
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
    let (sender, receiver) = unbounded_channel();
    shell.add_bus_link(link, sender);
    shell.turn(|engine| {
        engine.bus_input(Input::Accepted {
            link,
            remote: plain(remote),
            local: plain(local).ip(),
        });
    });
    tokio::task::spawn_local(serve(Rc::clone(shell), link, stream, receiver));
}

/// An IPv4 address that came in the clothes of IPv6 is taken out of them.
fn plain(addr: SocketAddr) -> SocketAddr {
    let ip: IpAddr = addr.ip().to_canonical();
    SocketAddr::new(ip, addr.port())
}

/// Connects to a node's bus port, then serves the connection.
pub(crate) async fn dial(
    shell: Rc<Shell>,
    link: LinkId,
    addr: SocketAddr,
    mut out: UnboundedReceiver<Vec<u8>>,
) {
    let connected = tokio::select! {
        connected = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(addr)) => connected,
        _ = out.recv() => return,
    };
    match connected {
        Ok(Ok(stream)) => {
            shell.turn(|engine| engine.bus_input(Input::Connected { link }));
            serve(shell, link, stream, out).await;
        }
        _ => {
            shell.forget_bus_link(link);
            shell.turn(|engine| engine.bus_input(Input::ConnectFailed { link }));
        }
    }
}

/// Passes packets both ways until one side ends or the engine drops the sender of `out`.
async fn serve(
    shell: Rc<Shell>,
    link: LinkId,
    stream: TcpStream,
    mut out: UnboundedReceiver<Vec<u8>>,
) {
    // Packets are small and should not wait for one another.
    let _ = stream.set_nodelay(true);
    let (mut reader, mut writer) = stream.into_split();
    // A peer that does not read must not keep us from hearing it.
    let sending = async move {
        while let Some(bytes) = out.recv().await {
            if writer.write_all(&bytes).await.is_err() {
                return true;
            }
        }
        false
    };
    let receiving = async {
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        loop {
            match reader.read_buf(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(_) if packets(&shell, link, &mut buffer).is_err() => return,
                Ok(_) => {}
            }
        }
    };
    let lost = tokio::select! {
        lost = sending => lost,
        () = receiving => true,
    };
    if lost {
        shell.forget_bus_link(link);
        shell.turn(|engine| engine.bus_input(Input::Closed { link }));
    }
}

/// Cuts packets off a stream and hands them over. An error ends the connection: this is no bus.
fn packets(shell: &Rc<Shell>, link: LinkId, buffer: &mut BytesMut) -> Result<(), CodecError> {
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
