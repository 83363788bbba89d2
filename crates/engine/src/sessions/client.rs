//! One connection's session.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::rc::Rc;

use acl::User;
use bytes::BytesMut;
use cluster_bus::NodeId;
use resp::{Parser, Reply};

use crate::sessions::transaction::{Multi, Watched};

/// Whom a client's certificate names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Certificate {
    /// The subject's common name.
    pub common_name: Option<Vec<u8>>,
    /// The alternative names that are URIs, in their order.
    pub uris: Vec<Vec<u8>>,
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Peer {
    /// `ip:port`, or the socket's path followed by `:0`.
    pub addr: String,
    /// The same of this end.
    pub local_addr: String,
    /// The connection's file descriptor, as CLIENT LIST shows it.
    pub fd: i32,
    /// Whether it came by the Unix socket.
    pub unix: bool,
    /// Whether it came over TLS.
    pub tls: bool,
    /// The certificate that it showed.
    pub certificate: Option<Box<Certificate>>,
}

impl Peer {
    /// Whether it is on this machine.
    pub(crate) fn is_local(&self) -> bool {
        let address = self.addr.parse::<SocketAddr>();
        self.unix || address.is_ok_and(|address| address.ip().to_canonical().is_loopback())
    }
}

/// What a client is besides an ordinary one. Every field is a state of the session that a command or the engine sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "independent facts; Redis's client flags"
)]
pub struct Flags {
    /// It has logged in, did not have to when it came, or is one of our own. [`crate::Engine::lacks_password`] asks whether it has to.
    pub authenticated: bool,
    /// It has said MULTI or WATCH.
    pub transacted: bool,
    /// It has logged in once: what it leaves unread is not bounded as a stranger's is.
    pub known: bool,
    /// Its user may not do everything.
    pub restricted: bool,
    /// Our master: its commands are applied, not answered.
    pub master: bool,
    /// A replica of ours.
    pub replica: bool,
    /// It ran MONITOR.
    pub monitor: bool,
    /// It came by the admin port.
    pub admin: bool,
    /// It is no connection: runs scripts' commands, replays files.
    pub internal: bool,
    /// The next command may reach a slot that is being imported.
    pub asking: bool,
    /// READONLY was said to a cluster replica.
    pub readonly: bool,
    /// It is to be closed once its replies are sent; what it sends is not read any more.
    pub closing: bool,
    /// It is the source of slots that come here whole: its commands are obeyed.
    pub imports: bool,
    /// It is no connection: it stands for one to the target of slots that go.
    pub exports: bool,
    /// CLIENT NO-EVICT
    pub no_evict: bool,
    /// CLIENT NO-TOUCH
    pub no_touch: bool,
    /// CLIENT IMPORT-SOURCE
    pub import_source: bool,
    /// CLIENT CAPA redirect
    pub redirect: bool,
    /// CLIENT REPLY
    pub quiet: Quiet,
}

/// CLIENT REPLY: which replies are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quiet {
    /// None.
    #[default]
    No,
    /// That of the next request.
    Next,
    /// That of this request, which asked the same for the next one.
    Again,
    /// All.
    Yes,
}

impl Quiet {
    /// What holds once the reply was left out that SKIP was about.
    pub(crate) const fn after_request(self) -> Self {
        match self {
            Self::Next => Self::No,
            Self::Again => Self::Next,
            other => other,
        }
    }
}

/// Why a client's requests wait.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum Waiting {
    /// They do not.
    #[default]
    No,
    /// Blocked on keys.
    Keys(Box<crate::sessions::blocked::OnKeys>),
    /// WAIT and WAITAOF: for others to have what was written.
    Replicas(Box<crate::sessions::on_replicas::OnReplicas>),
    /// SHUTDOWN: for replicas that are behind.
    Shutdown,
    /// MIGRATE: for the target's answer.
    Transfer,
    /// Held back before its request is run: see `pause.rs`.
    Held,
    /// Many of its replies wait for replicas: see `acknowledge.rs`.
    Acknowledged,
}

impl Waiting {
    /// Whether the request that waits has yet to be answered as CLIENT REPLY asked for.
    pub(crate) const fn is_for_answer(&self) -> bool {
        matches!(self, Self::Keys(_) | Self::Replicas(_))
    }

    /// Whether the wait ends at a certain time.
    pub(crate) fn has_deadline(&self) -> bool {
        match self {
            Self::Keys(on) => on.has_deadline(),
            Self::Replicas(on) => on.until_ms.is_some(),
            Self::No | Self::Shutdown | Self::Transfer | Self::Held | Self::Acknowledged => false,
        }
    }
}

/// Channels and patterns.
#[derive(Debug, Default)]
pub struct Subscriptions {
    /// By SUBSCRIBE.
    pub channels: BTreeSet<Box<[u8]>>,
    /// By PSUBSCRIBE.
    pub patterns: BTreeSet<Box<[u8]>>,
    /// By SSUBSCRIBE.
    pub sharded: BTreeSet<Box<[u8]>>,
}

/// What went through a connection so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes that came.
    pub input: u64,
    /// Bytes that were sent.
    pub output: u64,
    /// Commands that ran.
    pub commands: u64,
}

/// What a replica tells of itself before it asks for the stream.
#[derive(Clone, Debug, Default)]
pub(crate) struct Announced {
    /// The address that clients reach it at (`replica-announce-ip`).
    pub(crate) ip: Option<Box<str>>,
    /// It can read a dump that a mark ends.
    pub(crate) eof: bool,
    /// It understands a stream that goes on under another name, and dumps that tell where in it they stand.
    pub(crate) psync2: bool,
    /// Which version of Valkey it is, a byte for each number; 0 for one that does not tell.
    pub(crate) version: u32,
    /// Its name in the cluster.
    pub(crate) node_id: Option<NodeId>,
    /// It wants a dump and no stream.
    pub(crate) rdb_only: bool,
    /// It can take its dump by a connection of its own, and this is to be used.
    pub(crate) dual_channel: bool,
    /// It may be named another replica to copy from.
    pub(crate) takes_sibling: bool,
    /// It is that connection.
    pub(crate) rdb_channel: bool,
    /// The number of the connection that brings its dump.
    pub(crate) dump_client: Option<u64>,
    /// Of the dump it wants these parts only (`rdb-filter-only`).
    pub(crate) parts: Option<DumpParts>,
}

/// Parts of a dump, for who does not want the data.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct DumpParts {
    /// The libraries of functions.
    pub(crate) functions: bool,
}

/// What a client calls itself.
#[derive(Debug, Default)]
pub struct Told {
    /// CLIENT SETNAME.
    pub name: Option<Box<[u8]>>,
    /// CLIENT SETINFO lib-name and lib-ver; none for one that told neither.
    pub library: Option<Box<[Box<str>; 2]>>,
}

/// When a client did what ([`crate::Now::mono_ms`]).
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// When it came.
    pub since_ms: u64,
    /// When it last sent or was sent something.
    pub active_ms: u64,
}

/// What MULTI and WATCH began.
#[derive(Debug, Default)]
pub struct Transaction {
    /// Open MULTI.
    pub multi: Option<Box<Multi>>,
    /// Keys that are watched.
    pub watched: Watched,
    /// A watched key was changed: EXEC will fail.
    pub broken: bool,
    /// EXEC runs so many commands.
    pub(crate) running: u32,
}

impl Transaction {
    /// How many commands the transaction has, from MULTI on to the end of EXEC.
    pub(crate) fn commands(&self) -> Option<usize> {
        match &self.multi {
            Some(multi) => Some(multi.queue.len()),
            None => usize::try_from(self.running)
                .ok()
                .filter(|count| *count > 0),
        }
    }
}

/// What a client's buffers are held against.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// Since when its output has been over the soft limit, Unix milliseconds.
    pub(crate) over_soft_since_ms: Option<u64>,
    /// What it counted for when its memory was last counted, bytes.
    pub(crate) counted: usize,
    /// Its connection did not take all of its output.
    pub(crate) stuck: bool,
}

/// What came and was not run yet.
#[derive(Debug)]
pub(crate) struct Unread {
    pub(crate) bytes: BytesMut,
    pub(crate) parser: Parser,
    /// Whole requests are among them, which wait because those before them took long ([`crate::Engine::has_rest`]).
    pub(crate) rest: bool,
}

/// One connection's session.
#[derive(Debug)]
pub struct Client {
    /// CLIENT LIST's `id`, never used twice.
    pub serial: u64,
    /// The other end.
    pub peer: Peer,
    /// What it calls itself.
    pub told: Told,
    /// Who it is; none where it is our master or one of our own, who may do everything.
    pub(crate) user: Option<Rc<User>>,
    /// The selected database.
    pub db: usize,
    /// What it is.
    pub flags: Flags,
    /// Why its requests wait.
    pub waiting: Waiting,
    /// When it came, and was last heard of.
    pub times: Times,
    /// The name of its last command.
    pub last_command: &'static str,
    /// MULTI and WATCH.
    pub transaction: Transaction,
    /// SUBSCRIBE, PSUBSCRIBE and SSUBSCRIBE; none while there are no subscriptions.
    pub subscriptions: Option<Box<Subscriptions>>,
    /// CLIENT TRACKING
    pub(crate) tracking: Option<Box<crate::sessions::tracking::Tracking>>,
    /// What is known of it as a replica.
    pub replica: Option<Box<crate::journal::replicas::Replica>>,
    /// How far the stream to the replicas was after its last command.
    pub(crate) seen_offset: u64,
    /// REPLCONF listening-port.
    pub listening_port: u16,
    /// What else REPLCONF told; none for one that told nothing.
    pub(crate) announced: Option<Box<Announced>>,
    /// Bytes that it has sent, bytes that it was sent, and commands that it ran.
    pub traffic: Traffic,
    /// What its buffers are held against.
    pub(crate) buffers: Buffers,
    /// Replies to be sent.
    pub out: Reply,
    /// What came and was not run yet.
    pub(crate) unread: Unread,
}

/// An idle client takes little more than this: what few clients need is in boxes.
const MOST_BYTES: usize = 512;
const _: () = assert!(size_of::<Client>() <= MOST_BYTES);

impl Client {
    pub(crate) fn new(serial: u64, peer: Peer, now_ms: u64) -> Self {
        Self {
            serial,
            peer,
            told: Told::default(),
            user: None,
            db: 0,
            flags: Flags::default(),
            waiting: Waiting::No,
            times: Times {
                since_ms: now_ms,
                active_ms: now_ms,
            },
            last_command: "NULL",
            transaction: Transaction::default(),
            subscriptions: None,
            tracking: None,
            replica: None,
            seen_offset: 0,
            listening_port: 0,
            announced: None,
            traffic: Traffic::default(),
            buffers: Buffers::default(),
            out: Reply::default(),
            unread: Unread {
                bytes: BytesMut::new(),
                parser: Parser::new(),
                rest: false,
            },
        }
    }

    /// How many channels and patterns it is subscribed to.
    #[must_use]
    pub fn subscription_count(&self) -> usize {
        self.subscriptions.as_ref().map_or(0, |all| {
            all.channels.len() + all.patterns.len() + all.sharded.len()
        })
    }

    /// CLIENT SETINFO lib-name and lib-ver.
    pub(crate) fn library(&self) -> [&str; 2] {
        let library = self.told.library.as_deref();
        library.map_or_else(Default::default, |told| told.each_ref().map(AsRef::as_ref))
    }

    /// The name of the user that it has authenticated as.
    #[must_use]
    pub fn user_name(&self) -> Cow<'_, str> {
        let user = self.user.as_ref();
        user.map_or(Cow::Borrowed("(superuser)"), |user| {
            String::from_utf8_lossy(user.name())
        })
    }

    /// From now on it is this user.
    pub(crate) fn set_user(&mut self, user: Option<Rc<User>>, authenticated: bool) {
        self.flags.restricted = user.as_ref().is_some_and(|user| !user.is_unrestricted());
        self.flags.authenticated = authenticated;
        self.flags.known |= authenticated;
        self.user = user;
    }

    /// The address of a replica, for a machine to read: without brackets.
    pub(crate) fn replica_ip(&self) -> String {
        let told = self.announced.as_ref().and_then(|told| told.ip.as_deref());
        match (told, self.peer.addr.parse::<SocketAddr>()) {
            (Some(ip), _) => ip.to_owned(),
            (None, Ok(address)) => address.ip().to_canonical().to_string(),
            (None, Err(_)) => self.peer.addr.clone(),
        }
    }

    /// Memory of what came and was not run yet, bytes.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.unread.bytes.capacity()
    }

    /// Memory of the requests that wait for EXEC, bytes.
    pub(crate) fn queued_bytes(&self) -> usize {
        self.transaction
            .multi
            .as_ref()
            .map_or(0, |multi| multi.bytes)
    }

    /// Memory that is its own, bytes.
    pub(crate) fn memory(&self) -> usize {
        /// What a tree keeps beside each of its words.
        const AROUND: usize = 48;
        let words = self.subscriptions.iter().flat_map(|all| {
            let sharded = all.sharded.iter();
            all.channels.iter().chain(&all.patterns).chain(sharded)
        });
        let watched = self.transaction.watched.keys().map(|(_, key)| key);
        let names: usize = words.chain(watched).map(|word| word.len() + AROUND).sum();
        let tracking = self.tracking.as_ref().map_or(0, |all| all.memory());
        size_of::<Self>()
            + self.out.memory()
            + self.pending_bytes()
            + self.queued_bytes()
            + names
            + tracking
    }

    /// The class whose limits of output it has.
    #[must_use]
    pub fn class(&self) -> conf::ClientClass {
        if self.flags.replica && !self.flags.monitor {
            conf::ClientClass::Slave
        } else if self.subscriptions.is_some() {
            conf::ClientClass::Pubsub
        } else {
            conf::ClientClass::Normal
        }
    }

    /// Whether it is nothing but a client: outside MULTI, and with no subscriptions.
    #[inline]
    pub(crate) fn is_ordinary(&self) -> bool {
        let Flags {
            authenticated: _,
            known: _,
            transacted: _,
            restricted: _,
            master,
            replica,
            monitor,
            admin: _,
            internal,
            asking,
            readonly,
            closing,
            imports,
            exports,
            no_evict: _,
            no_touch,
            import_source,
            redirect: _,
            quiet,
        } = self.flags;
        let special = master | replica | monitor | internal | asking | readonly | closing;
        !(special | imports | exports | no_touch | import_source)
            && quiet == Quiet::No
            && self.transaction.multi.is_none()
            && self.tracking.is_none()
            && self.subscriptions.is_none()
    }

    /// Whether its requests are run as they come.
    #[must_use]
    #[inline]
    pub fn is_running(&self) -> bool {
        matches!(self.waiting, Waiting::No) && !self.flags.closing
    }
}
