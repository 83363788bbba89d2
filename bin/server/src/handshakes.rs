//! TLS: what new sessions are made from, and handshakes. They run on a thread of their own, since their asymmetric cryptography takes as
//! long as hundreds of requests; a session that stands is handed over to this thread.

use std::cell::{OnceCell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use conf::ServerConfig;
use tls::{ClientSide, Names, ServerSide, Session, Settings, Stream, Wire};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

/// How long a handshake may take.
const LONGEST: Duration = Duration::from_secs(10);

type Job = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Where sessions begin.
#[derive(Debug)]
pub(crate) struct Handshakes {
    context: RefCell<Option<tls::Context>>,
    thread: OnceCell<UnboundedSender<Job>>,
    /// Handshakes with clients that are over.
    done: RefCell<UnboundedReceiver<Shaken>>,
    tell: UnboundedSender<Shaken>,
    under_way: Arc<AtomicUsize>,
    /// For the thread of the cluster bus, which runs its handshakes itself.
    pub(crate) bus: BusTls,
}

/// What the sessions of the cluster bus are made from; nothing where it is not encrypted.
#[derive(Clone, Debug, Default)]
pub(crate) struct BusTls(Arc<Mutex<Option<tls::Context>>>);

impl BusTls {
    fn set(&self, context: Option<tls::Context>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = context;
    }

    fn side<T>(&self, of: impl FnOnce(&tls::Context) -> Option<T>) -> io::Result<Option<T>> {
        let context = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let side = context
            .as_ref()
            .map(|context| of(context).ok_or_else(unconfigured));
        side.transpose()
    }

    /// For nodes that connect to us; none where the bus is not encrypted.
    ///
    /// # Errors
    /// When there is nothing to make sessions from.
    pub(crate) fn peers(&self) -> io::Result<Option<ServerSide>> {
        self.side(|context| context.peers.clone())
    }

    /// For nodes that we connect to; see [`BusTls::peers`].
    pub(crate) fn connect(&self) -> io::Result<Option<ClientSide>> {
        self.side(|context| context.connect.clone())
    }

    fn is_set(&self) -> bool {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_some()
    }
}

/// A handshake with a client that is over.
#[derive(Debug)]
pub(crate) struct Shaken {
    pub(crate) addr: SocketAddr,
    pub(crate) local_addr: String,
    /// The session, and whom the client's certificate names.
    pub(crate) session: io::Result<(std::net::TcpStream, Session, Option<Names>)>,
}

impl Default for Handshakes {
    fn default() -> Self {
        let (tell, done) = unbounded_channel();
        Self {
            context: RefCell::default(),
            thread: OnceCell::new(),
            done: RefCell::new(done),
            tell,
            under_way: Arc::default(),
            bus: BusTls::default(),
        }
    }
}

impl Handshakes {
    /// Reads certificates and keys, if anything needs them; sessions are made from them from now on.
    ///
    /// # Errors
    /// What is wrong with them; sessions are made as before.
    pub(crate) fn configure(&self, config: &ServerConfig) -> Result<(), tls::Error> {
        let context = Settings::are_wanted(config)
            .then(|| tls::Context::new(&Settings::of(config)))
            .transpose()?;
        if context.is_some() && config.tls_dh_params_file.is_some() {
            tracing::warn!(
                "tls-dh-params-file has no effect: key exchange by finite-field Diffie-Hellman is not offered, that by elliptic curves is."
            );
        }
        let encrypted = context.clone().filter(|_| config.tls_cluster);
        self.bus.set(encrypted);
        *self.context.borrow_mut() = context;
        Ok(())
    }

    /// Takes over a context that was made anew, if its files are others.
    pub(crate) fn take_reloaded(&self, reloaded: Result<tls::Context, tls::Error>) {
        let mut context = self.context.borrow_mut();
        let Some(context) = context.as_mut() else {
            return;
        };
        match reloaded {
            Ok(new) if new.has_same_files(context) => {
                tracing::trace!("TLS reload skipped: materials unchanged");
            }
            Ok(new) => {
                if self.bus.is_set() {
                    self.bus.set(Some(new.clone()));
                }
                *context = new;
                tracing::info!("TLS materials reloaded successfully");
            }
            Err(error) => tracing::warn!("Background TLS reload failed: {error}"),
        }
    }

    /// Whether there is something to make sessions from.
    pub(crate) fn is_configured(&self) -> bool {
        self.context.borrow().is_some()
    }

    /// The certificates.
    pub(crate) fn facts(&self) -> tls::Facts {
        let context = self.context.borrow();
        context
            .as_ref()
            .map(|context| context.facts.clone())
            .unwrap_or_default()
    }

    fn run(&self, job: Job) -> io::Result<()> {
        let thread = match self.thread.get() {
            Some(thread) => thread,
            None => self.thread.get_or_init(|| start(unbounded_channel())),
        };
        thread.send(job).map_err(|_| gone())
    }

    /// Begins the handshake with a client that was accepted; [`Handshakes::poll_done`] has its end. False where `most` are under way
    /// already: then it is closed.
    pub(crate) fn accept(
        &self,
        socket: TcpStream,
        addr: SocketAddr,
        most: u32,
    ) -> io::Result<bool> {
        let side = self
            .context
            .borrow()
            .as_ref()
            .map(|context| context.clients.clone());
        let side = side.ok_or_else(unconfigured)?;
        if self.under_way.load(Ordering::Relaxed) >= usize::try_from(most).unwrap_or(usize::MAX) {
            return Ok(false);
        }
        let local = socket.local_addr();
        let local_addr = local.map(|addr| addr.to_string()).unwrap_or_default();
        let socket = socket.into_std()?;
        let (tell, under_way) = (self.tell.clone(), Arc::clone(&self.under_way));
        under_way.fetch_add(1, Ordering::Relaxed);
        self.run(Box::pin(async move {
            let session = shake(socket, Side::Server(side)).await;
            let session = session.map(|(socket, session)| {
                let names = session.peer();
                (socket, session, names)
            });
            under_way.fetch_sub(1, Ordering::Relaxed);
            // Fails only when the process ends.
            let _ = tell.send(Shaken {
                addr,
                local_addr,
                session,
            });
        }))?;
        Ok(true)
    }

    /// Waits for the end of a handshake with a client.
    pub(crate) fn poll_done(&self, cx: &mut Context<'_>) -> Poll<Option<Shaken>> {
        self.done.borrow_mut().poll_recv(cx)
    }

    /// The next handshake with a client that is over by now.
    pub(crate) fn next_done(&self) -> Option<Shaken> {
        self.done.borrow_mut().try_recv().ok()
    }

    /// Begins a session with a server that we have connected to.
    pub(crate) async fn connect(&self, socket: TcpStream) -> io::Result<Wire> {
        let side = {
            let context = self.context.borrow();
            context.as_ref().and_then(|context| context.connect.clone())
        };
        self.apart(socket, Side::Client(side.ok_or_else(unconfigured)?))
            .await
    }

    async fn apart(&self, socket: TcpStream, side: Side) -> io::Result<Wire> {
        let socket = socket.into_std()?;
        let (tell, done) = oneshot::channel();
        self.run(Box::pin(async move {
            // Nobody may be waiting any more.
            let _ = tell.send(shake(socket, side).await);
        }))?;
        let (socket, session) = done.await.map_err(|_| gone())??;
        Ok(Stream::new(TcpStream::from_std(socket)?, session).into())
    }
}

enum Side {
    Server(ServerSide),
    Client(ClientSide),
}

/// One handshake. Where it fails the socket is shut: a child that saves may have it as well.
async fn shake(
    socket: std::net::TcpStream,
    side: Side,
) -> io::Result<(std::net::TcpStream, Session)> {
    let kept = socket.try_clone()?;
    let shaking = async {
        let socket = TcpStream::from_std(socket)?;
        let stream = match &side {
            Side::Server(side) => tls::accept(socket, side).await?,
            Side::Client(side) => tls::connect(socket, side).await?,
        };
        let (socket, session) = stream.into_parts();
        io::Result::Ok((socket.into_std()?, session))
    };
    let shaken = tokio::time::timeout(LONGEST, shaking).await;
    let shaken = shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
    if shaken.is_err() {
        // It may be shut already.
        let _ = kept.shutdown(std::net::Shutdown::Both);
    }
    shaken
}

/// Starts the thread. It does not write to the log: see `fork.rs`.
fn start(
    (jobs, mut queue): (UnboundedSender<Job>, UnboundedReceiver<Job>),
) -> UnboundedSender<Job> {
    let serve = move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        // Without a runtime the queue ends, and whoever brings a job is told.
        let Ok(runtime) = runtime else {
            return;
        };
        runtime.block_on(async move {
            while let Some(job) = queue.recv().await {
                drop(tokio::spawn(job));
            }
        });
    };
    // As for the runtime.
    let _ = std::thread::Builder::new()
        .name("tls".to_owned())
        .spawn(serve);
    jobs
}

fn gone() -> io::Error {
    io::Error::other("the thread of TLS handshakes is gone")
}

fn unconfigured() -> io::Error {
    io::Error::other("TLS is not configured")
}
