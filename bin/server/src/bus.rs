//! The cluster bus, as the engine's thread sees it: what comes is heard here, what the engine sends goes to the link's queue. The
//! sockets are served by a thread of their own (`wires`), so that a turn that takes long does not look like the death of this node
//! (`stand_in`).

pub(crate) mod link;
mod stand_in;
mod wires;

use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use anyhow::Context as _;
use cluster_bus::{BUS_PORT_OFFSET, Input, LinkId};
use conf::ServerConfig;
use daemon::{listen, reason};
use tokio::sync::mpsc::unbounded_channel;

use self::stand_in::Progress;
use crate::bus::link::{Bus, Dial, Event, link};
use crate::shell::Shell;

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
fn hear_waiting(shell: &Rc<Shell>) {
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

/// The periodic work of the node. What has been written to the sockets is told before: nobody waits for that.
pub(crate) fn tick(shell: &Rc<Shell>) {
    hear_waiting(shell);
    let written: Vec<_> = {
        let links = shell.bus_links.borrow();
        let written = links.iter().map(|(link, ours)| (*link, ours.written()));
        written.filter(|(_, bytes)| *bytes > 0).collect()
    };
    shell.turn(|engine| {
        for (link, bytes) in written {
            engine.bus_sent(link, bytes);
        }
        engine.tick_cluster();
    });
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
        Event::Closed(link) => {
            shell.forget_bus_link(link);
            input(shell, Input::Closed { link });
        }
        Event::Unreadable { kind, bytes, error } => {
            tracing::debug!("a packet of the cluster bus was dropped: {error}");
            input(shell, Input::Unreadable { kind, bytes });
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
