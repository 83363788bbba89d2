//! The sockets of the cluster bus, on a thread of their own: the listeners, and one task per connection. It logs nothing: a child that
//! is forked meanwhile would find the log's lock taken.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use bytes::{Buf as _, BytesMut};
use cluster_bus::LinkId;
use cluster_bus::codec::{CodecError, decode, frame_len};
use tls::Wire;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, LocalOptions};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};

use super::link::{Dial, Event, Unheard, Work};
use super::stand_in::{PATIENCE, Ping, Progress, StandIn, Verdict, engine_worked};
use crate::handshakes::BusTls;

/// How long connecting to another node may take. The core gives up earlier, if it wants to.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// The first room for a packet; a ping of a small cluster fits.
const READ_BYTES: usize = 8 * 1024;
/// How long nobody is accepted after that failed: the system may lack descriptors for a while.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The types of packets that are answered by a pong: a ping, and the first one.
const ASKING: [u16; 2] = [0, 2];

/// What the tasks of the thread share.
struct Wires {
    events: UnboundedSender<Event>,
    progress: Arc<Progress>,
    tls: BusTls,
    /// How many events were told.
    told: Cell<u64>,
    /// How many connections were accepted.
    accepted: Cell<u64>,
    stand_in: RefCell<StandIn>,
}

impl Wires {
    /// Tells an event; its number.
    fn tell(&self, event: Event) -> u64 {
        self.told.set(self.told.get() + 1);
        // Who hears it lives as long as the process.
        let _ = self.events.send(event);
        self.told.get()
    }
}

/// Starts the thread.
pub(super) fn start(
    listeners: Vec<std::net::TcpListener>,
    mut dials: UnboundedReceiver<Dial>,
    (events, progress): (UnboundedSender<Event>, Arc<Progress>),
    tls: BusTls,
) -> io::Result<()> {
    let (started, result) = std::sync::mpsc::channel();
    let run = move || {
        let runtime = Builder::new_current_thread()
            .enable_all()
            .build_local(LocalOptions::default());
        let runtime = match runtime {
            Ok(runtime) => runtime,
            Err(error) => {
                let _ = started.send(Err(error));
                return;
            }
        };
        runtime.block_on(async move {
            let wires = Rc::new(Wires {
                events,
                progress,
                tls,
                told: Cell::new(0),
                accepted: Cell::new(0),
                stand_in: RefCell::new(StandIn::new(Instant::now())),
            });
            let opened = listeners.into_iter().try_for_each(|listener| {
                let listener = TcpListener::from_std(listener)?;
                tokio::task::spawn_local(accept_all(Rc::clone(&wires), listener));
                Ok(())
            });
            // Who started this thread waits for it.
            let _ = started.send(opened);
            while let Some(order) = dials.recv().await {
                tokio::task::spawn_local(dial(Rc::clone(&wires), order));
            }
        });
    };
    std::thread::Builder::new()
        .name("bus".to_owned())
        .spawn(run)?;
    result
        .recv()
        .unwrap_or_else(|_| Err(io::ErrorKind::BrokenPipe.into()))
}

async fn accept_all(wires: Rc<Wires>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => accept(&wires, stream, remote),
            Err(error) => {
                wires.tell(Event::AcceptFailed(error));
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn accept(wires: &Rc<Wires>, stream: TcpStream, remote: SocketAddr) {
    let Ok(local) = stream.local_addr() else {
        return;
    };
    wires.accepted.set(wires.accepted.get() + 1);
    let link = LinkId::Accepted(wires.accepted.get());
    let (ours, work) = super::link();
    wires.tell(Event::Accepted {
        link,
        ours,
        remote: plain(remote),
        local: plain(local).ip(),
    });
    tokio::task::spawn_local(accepted(Rc::clone(wires), link, tuned(stream), work));
}

/// Begins a session where the bus is encrypted, then serves the connection.
async fn accepted(wires: Rc<Wires>, link: LinkId, stream: TcpStream, mut work: Work) {
    let shaken = async {
        match wires.tls.peers()? {
            None => Ok(Wire::from(stream)),
            Some(side) => tls::accept(stream, &side).await.map(Wire::from),
        }
    };
    let shaken = tokio::select! {
        biased;
        ended = &mut work.end => {
            if ended.is_ok() {
                wires.tell(Event::Closed(link));
            }
            return;
        }
        shaken = tokio::time::timeout(CONNECT_TIMEOUT, shaken) => shaken,
    };
    match shaken {
        Ok(Ok(wire)) => serve(wires, link, wire, work).await,
        _ => {
            wires.tell(Event::Closed(link));
        }
    }
}

/// An IPv4-mapped IPv6 address as the IPv4 address that it is.
fn plain(addr: SocketAddr) -> SocketAddr {
    let ip: IpAddr = addr.ip().to_canonical();
    SocketAddr::new(ip, addr.port())
}

/// Packets are small and should not wait for one another.
fn tuned(stream: TcpStream) -> TcpStream {
    let _ = stream.set_nodelay(true);
    stream
}

/// Connects to a node's bus port, then serves the connection.
async fn dial(wires: Rc<Wires>, order: Dial) {
    let Dial {
        link,
        addr,
        source,
        mut work,
    } = order;
    let connecting = async {
        let stream = tuned(crate::dial::connect(source.as_deref(), addr).await?);
        match wires.tls.connect()? {
            None => Ok(Wire::from(stream)),
            Some(side) => tls::connect(stream, &side).await.map(Wire::from),
        }
    };
    let connected = tokio::select! {
        biased;
        _ = &mut work.end => return,
        connected = tokio::time::timeout(CONNECT_TIMEOUT, connecting) => connected,
    };
    match connected {
        Ok(Ok(stream)) => {
            wires.tell(Event::Connected(link));
            serve(wires, link, stream, work).await;
        }
        _ => {
            wires.tell(Event::ConnectFailed(link));
        }
    }
}

/// A ping that waits for its answer, and who waits for one.
#[derive(Default)]
struct Asked {
    ping: Cell<Option<Ping>>,
    came: Notify,
}

impl Asked {
    /// Returns when a ping has waited long enough to be looked at.
    async fn due(&self) -> Ping {
        loop {
            match self.ping.get() {
                Some(ping) => {
                    tokio::time::sleep_until(ping.look_at.into()).await;
                    return ping;
                }
                None => self.came.notified().await,
            }
        }
    }
}

/// Passes packets both ways until one side ends, or the shell ends the link. A peer that does not read does not keep us from hearing
/// it.
async fn serve<S>(wires: Rc<Wires>, link: LinkId, stream: S, work: Work)
where
    S: AsyncRead + AsyncWrite,
{
    let (reader, writer) = tokio::io::split(stream);
    let asked = Asked::default();
    let Work {
        packets,
        queued,
        end,
    } = work;
    let sent = |bytes: usize| {
        queued.fetch_sub(bytes, Ordering::Relaxed);
    };
    let lost = tokio::select! {
        biased;
        // Whatever the peer keeps us waiting for.
        ended = end => ended.is_ok(),
        () = send(&wires, writer, packets, &asked, sent) => true,
        () = receive(&wires, link, reader, &asked) => true,
    };
    if lost {
        wires.tell(Event::Closed(link));
    }
}

/// Sends what the engine sends, and answers a ping where it cannot.
async fn send(
    wires: &Wires,
    mut writer: impl AsyncWrite + Unpin,
    mut packets: UnboundedReceiver<Vec<u8>>,
    asked: &Asked,
    sent: impl Fn(usize),
) {
    let mut version = None;
    loop {
        let bytes = tokio::select! {
            biased;
            bytes = packets.recv() => bytes,
            ping = asked.due() => {
                let pong = stand_in(wires, asked, ping, version);
                if let Some(pong) = pong
                    && (writer.write_all(&pong).await.is_err() || writer.flush().await.is_err())
                {
                    return;
                }
                continue;
            }
        };
        let Some(bytes) = bytes else { return };
        if let Some((spoken, is_pong)) = wires.stand_in.borrow_mut().note(&bytes) {
            version = Some(spoken);
            if is_pong {
                asked.ping.set(None);
            }
        }
        if writer.write_all(&bytes).await.is_err() || writer.flush().await.is_err() {
            return;
        }
        sent(bytes.len());
    }
}

/// The answer to a ping that the engine has not heard since its turn takes long.
fn stand_in(wires: &Wires, asked: &Asked, ping: Ping, version: Option<usize>) -> Option<Vec<u8>> {
    let now = Instant::now();
    let mut stand_in = wires.stand_in.borrow_mut();
    let later = Ping {
        look_at: now + PATIENCE,
        ..ping
    };
    let (left, answer) = match stand_in.judge(ping, &wires.progress, engine_worked(), now) {
        Verdict::Heard => (None, None),
        Verdict::Wait => (Some(later), None),
        Verdict::Answer => (None, stand_in.pong(version?).map(<[u8]>::to_vec)),
    };
    asked.ping.set(left);
    answer
}

/// Hands on what comes.
async fn receive(wires: &Wires, link: LinkId, mut reader: impl AsyncRead + Unpin, asked: &Asked) {
    let unheard = Arc::new(Unheard::default());
    let mut buffer = BytesMut::with_capacity(READ_BYTES);
    loop {
        unheard.room().await;
        match reader.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) if cut(wires, link, &mut buffer, &unheard, asked).is_err() => return,
            Ok(_) => {}
        }
    }
}

/// Cuts packets off a stream and hands them on. An error ends the connection: this is no bus.
fn cut(
    wires: &Wires,
    link: LinkId,
    buffer: &mut BytesMut,
    unheard: &Arc<Unheard>,
    asked: &Asked,
) -> Result<(), CodecError> {
    while let Some(length) = frame_len(buffer)? {
        if buffer.len() < length {
            break;
        }
        let kind = u16::from_be_bytes([buffer[12], buffer[13]]);
        match decode(&buffer[..length]) {
            Ok(packet) => {
                unheard.add(length);
                let number = wires.tell(Event::Received {
                    link,
                    packet: Box::new(packet),
                    bytes: length,
                    unheard: Arc::clone(unheard),
                });
                if ASKING.contains(&kind) && asked.ping.get().is_none() {
                    asked.ping.set(Some(Ping {
                        number,
                        worked: engine_worked(),
                        look_at: Instant::now() + PATIENCE,
                    }));
                    asked.came.notify_one();
                }
            }
            Err(error @ (CodecError::BadFrame | CodecError::BadSender)) => return Err(error),
            Err(error) => {
                let bytes = length as u64;
                wires.tell(Event::Unreadable { kind, bytes, error });
            }
        }
        buffer.advance(length);
    }
    Ok(())
}
