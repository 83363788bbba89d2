//! The cluster bus, as the engine's thread sees it: what comes is heard here, what the engine sends goes to the link's queue. The
//! sockets are served by a thread of their own (`wires`), so that a turn that takes long does not look like the death of this node
//! (`stand_in`).

mod stand_in;
mod wires;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd as _;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;

use anyhow::Context as _;
use cluster_bus::codec::CodecError;
use cluster_bus::{BUS_PORT_OFFSET, Input, LinkId, Packet};
use conf::ServerConfig;
use daemon::{listen, reason};
use tokio::sync::Notify;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use self::stand_in::Progress;
use crate::shell::Shell;

/// What waits for a peer that does not read, bytes: a link with more is closed.
const MOST_QUEUED_BYTES: usize = 64 * 1024 * 1024;
/// What came on a link and was not heard yet, bytes: with more, nothing is read from it.
const MOST_UNHEARD_BYTES: usize = 16 * 1024 * 1024;

/// The shell's end of a link. Dropping it ends the link, whatever still waits to be sent.
#[derive(Debug)]
pub(crate) struct Link {
    packets: UnboundedSender<Vec<u8>>,
    queued: Arc<AtomicUsize>,
    end: oneshot::Sender<()>,
}

/// The other end of it.
#[derive(Debug)]
struct Work {
    packets: UnboundedReceiver<Vec<u8>>,
    queued: Arc<AtomicUsize>,
    end: oneshot::Receiver<()>,
}

/// Both ends of a new link.
fn link() -> (Link, Work) {
    let (sender, receiver) = unbounded_channel();
    let (end, ended) = oneshot::channel();
    let queued = Arc::new(AtomicUsize::new(0));
    let link = Link {
        packets: sender,
        queued: Arc::clone(&queued),
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
        let queued = self.queued.fetch_add(bytes.len(), Ordering::Relaxed) + bytes.len();
        if queued > MOST_QUEUED_BYTES {
            return false;
        }
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

/// What came on one link and was not heard yet.
#[derive(Debug, Default)]
struct Unheard {
    bytes: AtomicUsize,
    less: Notify,
}

impl Unheard {
    fn add(&self, bytes: usize) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    fn take(&self, bytes: usize) {
        self.bytes.fetch_sub(bytes, Ordering::Relaxed);
        self.less.notify_one();
    }

    /// Returns once there is room for more.
    async fn room(&self) {
        while self.bytes.load(Ordering::Relaxed) > MOST_UNHEARD_BYTES {
            self.less.notified().await;
        }
    }
}

/// What the thread of the sockets tells.
#[derive(Debug)]
enum Event {
    Accepted {
        link: LinkId,
        ours: Link,
        remote: SocketAddr,
        local: IpAddr,
    },
    Connected(LinkId),
    ConnectFailed(LinkId),
    Received {
        link: LinkId,
        packet: Box<Packet>,
        bytes: usize,
        unheard: Arc<Unheard>,
    },
    Sent {
        link: LinkId,
        bytes: u64,
    },
    Closed(LinkId),
    /// A packet that cannot be read was left out.
    Unreadable(CodecError),
    AcceptFailed(io::Error),
}

/// What that thread is asked for: a connection.
#[derive(Debug)]
struct Dial {
    link: LinkId,
    addr: SocketAddr,
    source: Option<Vec<u8>>,
    work: Work,
}

/// The thread of the sockets.
#[derive(Debug)]
pub(crate) struct Bus {
    dials: UnboundedSender<Dial>,
    events: UnboundedReceiver<Event>,
    progress: Arc<Progress>,
}

impl Bus {
    /// Somebody was served in the middle of a turn.
    pub(crate) fn served(&self) {
        self.progress.serve();
    }
}

/// Listens on the bus port of every bound address, and starts the thread that serves the sockets.
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
    let listeners = listen::tcp(config, port)?;
    for listener in &listeners {
        shell.machine.doors.borrow_mut().push(listener.as_raw_fd());
    }
    let (dials, ordered) = unbounded_channel();
    let (tell, events) = unbounded_channel();
    let progress = Arc::new(Progress::default());
    let tls = shell.machine.handshakes.bus.clone();
    wires::start(listeners, ordered, (tell, Arc::clone(&progress)), tls)
        .context("cannot start the thread of the cluster bus")?;
    *shell.bus.borrow_mut() = Some(Bus {
        dials,
        events,
        progress,
    });
    tokio::task::spawn_local(hear_all(Rc::clone(shell)));
    Ok(())
}

/// Connects to a node.
pub(crate) fn dial(shell: &Rc<Shell>, link: LinkId, addr: SocketAddr) {
    let (ours, work) = self::link();
    shell.add_bus_link(link, ours);
    let shell = Rc::clone(shell);
    // After the turn, which has the engine to itself.
    tokio::task::spawn_local(async move {
        let source = shell.source_address();
        if let Some(bus) = &*shell.bus.borrow() {
            // The thread lives as long as the process.
            let _ = bus.dials.send(Dial {
                link,
                addr,
                source,
                work,
            });
        }
    });
}

/// Hears what comes, as long as the process lives.
async fn hear_all(shell: Rc<Shell>) {
    loop {
        let event = std::future::poll_fn(|cx| match &mut *shell.bus.borrow_mut() {
            Some(bus) => bus.events.poll_recv(cx),
            None => Poll::Ready(None),
        });
        match event.await {
            Some(event) => hear(&shell, event),
            None => return,
        }
    }
}

/// Hears what has come until now: who has answered is not late, however long the last turn was.
pub(crate) fn hear_waiting(shell: &Rc<Shell>) {
    let count = shell
        .bus
        .borrow()
        .as_ref()
        .map_or(0, |bus| bus.events.len());
    for _ in 0..count {
        let event = shell
            .bus
            .borrow_mut()
            .as_mut()
            .and_then(|bus| bus.events.try_recv().ok());
        let Some(event) = event else { return };
        hear(shell, event);
    }
}

fn hear(shell: &Rc<Shell>, event: Event) {
    match event {
        Event::Accepted {
            link,
            ours,
            remote,
            local,
        } => {
            shell.add_bus_link(link, ours);
            input(
                shell,
                Input::Accepted {
                    link,
                    remote,
                    local,
                },
            );
        }
        Event::Connected(link) => input(shell, Input::Connected { link }),
        Event::ConnectFailed(link) => {
            shell.forget_bus_link(link);
            input(shell, Input::ConnectFailed { link });
        }
        Event::Received {
            link,
            packet,
            bytes,
            unheard,
        } => {
            shell.turn(|engine| engine.bus_received(link, *packet));
            unheard.take(bytes);
        }
        Event::Sent { link, bytes } => shell.turn(|engine| engine.bus_sent(link, bytes)),
        Event::Closed(link) => {
            shell.forget_bus_link(link);
            input(shell, Input::Closed { link });
        }
        Event::Unreadable(error) => {
            tracing::debug!("a packet of the cluster bus was dropped: {error}");
        }
        Event::AcceptFailed(error) => {
            tracing::warn!("Accepting client connection: {}", reason(&error));
        }
    }
    if let Some(bus) = &*shell.bus.borrow() {
        bus.progress.hear();
    }
}

fn input(shell: &Rc<Shell>, input: Input) {
    shell.turn(|engine| engine.bus_input(input));
}
