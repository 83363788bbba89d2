//! One client's connection: requests in, replies out.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::{Buf as _, BytesMut};
use resp::{Batch, Parser, Protocol};
use sentinel_core::{ClientId, Command, Input, Reply, Traffic};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::{Notify, mpsc};

/// Bytes of replies that may wait for a client before it is closed (3.0's hard limit for subscribers).
const MAX_OUTPUT_BYTES: usize = 32 * 1024 * 1024;
/// Bytes of replies that may wait before no more requests are read.
const READ_BELOW_BYTES: usize = 1024 * 1024;
/// Bytes that a client's unfinished request may have. The largest that means anything is a hello message.
const MAX_REQUEST_BYTES: usize = 64 * 1024 * 1024;

/// How long a client that is to be closed may take to read what it was replied.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// All connected clients.
#[derive(Debug)]
pub(crate) struct Clients {
    connected: RefCell<BTreeMap<ClientId, Rc<Outgoing>>>,
    next_id: Cell<u64>,
    max: usize,
    inputs: mpsc::Sender<Input>,
    /// No request is taken before this moment (CLIENT PAUSE).
    paused_until: Cell<Option<Instant>>,
    traffic: Cell<Traffic>,
}

/// What waits to be sent to a client.
#[derive(Debug, Default)]
struct Outgoing {
    queue: RefCell<BytesMut>,
    /// Bytes in the queue and in the write that is under way.
    unsent: Cell<usize>,
    /// Close when everything is sent, or the client takes too long.
    closing: Cell<bool>,
    /// Something was queued, or the end is near.
    queued: Notify,
    /// Something was sent.
    sent: Notify,
    /// The end is near.
    ending: Notify,
}

impl Outgoing {
    fn put(&self, reply: &resp::Reply) {
        let mut queue = self.queue.borrow_mut();
        for chunk in reply.chunks() {
            queue.extend_from_slice(chunk);
            self.unsent.set(self.unsent.get() + chunk.len());
        }
        self.queued.notify_one();
    }

    fn close(&self) {
        self.closing.set(true);
        self.queued.notify_one();
        self.ending.notify_one();
    }
}

impl Clients {
    pub(crate) fn new(max: u32, inputs: mpsc::Sender<Input>) -> Self {
        Self {
            connected: RefCell::default(),
            next_id: Cell::new(1),
            max: usize::try_from(max).unwrap_or(usize::MAX),
            inputs,
            paused_until: Cell::new(None),
            traffic: Cell::default(),
        }
    }

    /// What was carried so far.
    pub(crate) fn traffic(&self) -> Traffic {
        self.traffic.get()
    }

    fn count(&self, what: impl FnOnce(&mut Traffic)) {
        let mut traffic = self.traffic.get();
        what(&mut traffic);
        self.traffic.set(traffic);
    }

    /// Queues a reply, in the protocol that the client speaks.
    pub(crate) fn reply(&self, client: ClientId, protocol: Protocol, reply: &Reply) {
        let connected = self.connected.borrow();
        let Some(outgoing) = connected
            .get(&client)
            .filter(|outgoing| !outgoing.closing.get())
        else {
            return;
        };
        let mut encoded = resp::Reply::speaking(protocol);
        reply.encode(&mut encoded);
        outgoing.put(&encoded);
        if outgoing.unsent.get() > MAX_OUTPUT_BYTES {
            tracing::warn!(
                "Client id={} closed for overcoming of output buffer limits.",
                client.0
            );
            outgoing.close();
            self.count(|traffic| traffic.long_replies += 1);
        }
    }

    /// Closes a client when everything is sent.
    pub(crate) fn disconnect(&self, client: ClientId) {
        if let Some(outgoing) = self.connected.borrow().get(&client) {
            outgoing.close();
        }
    }

    pub(crate) fn pause_until(&self, until: Instant) {
        // A pause never shortens one that is under way.
        self.paused_until
            .set(self.paused_until.get().max(Some(until)));
    }

    pub(crate) fn resume(&self) {
        self.paused_until.set(None);
    }

    async fn wait_for_pause(&self) {
        while let Some(until) = self
            .paused_until
            .get()
            .filter(|until| *until > Instant::now())
        {
            tokio::time::sleep_until(until.into()).await;
        }
    }
}

fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// Between whom a connection is.
#[derive(Debug)]
pub(crate) struct Ends {
    pub(crate) addr: String,
    pub(crate) laddr: String,
    pub(crate) fd: i32,
}

/// Starts to serve a new connection.
pub(crate) fn start<S>(clients: &Rc<Clients>, mut stream: S, ends: Ends)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let clients = Rc::clone(clients);
    if clients.connected.borrow().len() >= clients.max {
        clients.count(|traffic| traffic.refused += 1);
        tokio::task::spawn_local(async move {
            // The client may be gone already; there is nobody else to tell.
            let _ = stream
                .write_all(b"-ERR max number of clients reached\r\n")
                .await;
        });
        return;
    }
    let client = ClientId(clients.next_id.get());
    clients.next_id.set(client.0 + 1);
    let outgoing = Rc::new(Outgoing::default());
    clients
        .connected
        .borrow_mut()
        .insert(client, Rc::clone(&outgoing));
    tokio::task::spawn_local(async move {
        let connected = Input::ClientConnected {
            client,
            addr: ends.addr,
            laddr: ends.laddr,
            fd: ends.fd,
        };
        if clients.inputs.send(connected).await.is_ok() {
            serve(&clients, stream, client, &outgoing).await;
        }
        clients.connected.borrow_mut().remove(&client);
        // Fails only when the sentinel ends.
        let _ = clients.inputs.send(Input::ClientClosed { client }).await;
    });
}

async fn serve<S>(clients: &Clients, stream: S, client: ClientId, outgoing: &Outgoing)
where
    S: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let (mut reader, mut writer) = tokio::io::split(stream);
    let reading = async {
        let mut requests = Requests::default();
        loop {
            // Whoever does not take its replies is not asked for more requests.
            while outgoing.unsent.get() > READ_BELOW_BYTES {
                outgoing.sent.notified().await;
            }
            match reader.read_buf(&mut requests.buffer).await {
                Ok(read) if read > 0 => clients.count(|traffic| {
                    traffic.reads += 1;
                    traffic.bytes_in += length(read);
                }),
                // Behind the last request in the queue: its reply is still sent.
                _ => {
                    let _ = clients.inputs.send(Input::ClientClosed { client }).await;
                    return std::future::pending().await;
                }
            }
            if !requests.forward(clients, client, outgoing).await {
                // What was replied is still to be written; nothing more is read.
                return std::future::pending().await;
            }
        }
    };
    let writing = async {
        loop {
            let bytes = outgoing.queue.borrow_mut().split();
            if !bytes.is_empty() {
                if writer.write_all(&bytes).await.is_err() {
                    return;
                }
                clients.count(|traffic| {
                    traffic.writes += 1;
                    traffic.bytes_out += length(bytes.len());
                });
                outgoing.unsent.set(outgoing.unsent.get() - bytes.len());
                outgoing.sent.notify_one();
            } else if outgoing.closing.get() {
                return;
            } else {
                outgoing.queued.notified().await;
            }
        }
    };
    let ending = async {
        outgoing.ending.notified().await;
        tokio::time::sleep(LAST_WORDS).await;
    };
    tokio::select! {
        () = reading => {}
        () = writing => {}
        () = ending => {}
    }
}

/// The bytes of a client on their way to being requests.
#[derive(Default)]
struct Requests {
    buffer: BytesMut,
    parser: Parser,
    batch: Batch,
}

impl Requests {
    /// Hands over every request that is complete. `false` when no more can follow.
    async fn forward(&mut self, clients: &Clients, client: ClientId, outgoing: &Outgoing) -> bool {
        let (cut, error) = match self.parser.cut_all(&self.buffer, &mut self.batch) {
            Ok(cut) => (cut, None),
            Err(error) => (self.buffer.len(), Some(error)),
        };
        let requests: Vec<Command> = (0..self.batch.len())
            .map(|index| {
                let mut words = Vec::new();
                self.batch.args(index, &self.buffer, &mut words);
                words.into_iter().map(<[u8]>::to_vec).collect()
            })
            .collect();
        self.batch.clear();
        self.buffer.advance(cut);
        for request in requests {
            clients.wait_for_pause().await;
            if clients
                .inputs
                .send(Input::ClientRequest { client, request })
                .await
                .is_err()
            {
                return false;
            }
        }
        if let Some(error) = error {
            let mut reply = resp::Reply::new();
            reply.err(error.text());
            outgoing.put(&reply);
            outgoing.close();
            return false;
        }
        let too_big = self.buffer.len() > MAX_REQUEST_BYTES;
        if too_big {
            tracing::warn!(
                "Client id={} closed: its request is too big for a sentinel.",
                client.0
            );
            outgoing.close();
            clients.count(|traffic| traffic.long_requests += 1);
        }
        !too_big
    }
}
