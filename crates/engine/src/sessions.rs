//! The room of the sessions: who is connected, and what each waits for.

pub(crate) mod access;
pub(crate) mod blocked;
pub(crate) mod client;
pub(crate) mod client_id;
pub(crate) mod clients;
pub(crate) mod on_replicas;
pub(crate) mod subscribers;
pub(crate) mod tracking;
pub(crate) mod transaction;

use std::collections::VecDeque;

use resp::Reply;

use crate::ClientId;
use crate::sessions::blocked::Blocked;
use crate::sessions::clients::Clients;
use crate::sessions::subscribers::PubSub;
use crate::sessions::tracking::TrackingTable;
use crate::sessions::transaction::Watchers;

/// Who is connected. It knows no data and no files.
#[derive(Debug)]
pub(crate) struct Sessions {
    pub(crate) clients: Clients,
    /// What the clients' memory was when it was last counted, bytes.
    pub(crate) client_bytes: usize,
    /// How many of them came by the admin port.
    pub(crate) admins: usize,
    pub(crate) monitors: Vec<ClientId>,
    pub(crate) pubsub: PubSub,
    pub(crate) watchers: Watchers,
    pub(crate) tracking: TrackingTable,
    pub(crate) blocked: Blocked,
    /// Keys that got what clients wait for.
    pub(crate) ready: Vec<(usize, Box<[u8]>)>,
    /// The client whose request runs, where it may hear of what it does itself, and what it is to be sent behind the reply.
    pub(crate) serving: Option<(ClientId, Reply)>,
    /// Requests are held back until then ([`crate::Now::mono_ms`]).
    pub(crate) paused_until_ms: Option<u64>,
    /// Only requests that may write are held back.
    pub(crate) paused_writes_only: bool,
    /// Clients whose requests are held back.
    pub(crate) held: Vec<ClientId>,
    /// Clients to whom something is to be sent, other than the one that is served.
    pub(crate) woken: Vec<ClientId>,
    /// Clients whose wait ended: they run what they sent meanwhile at the end of the turn.
    pub(crate) resumed: VecDeque<ClientId>,
}

impl Sessions {
    pub(crate) fn new() -> Self {
        Self {
            clients: Clients::new(),
            client_bytes: 0,
            admins: 0,
            monitors: Vec::new(),
            pubsub: PubSub::default(),
            watchers: Watchers::new(),
            tracking: TrackingTable::default(),
            blocked: Blocked::default(),
            ready: Vec::new(),
            serving: None,
            paused_until_ms: None,
            paused_writes_only: false,
            held: Vec::new(),
            woken: Vec::new(),
            resumed: VecDeque::new(),
        }
    }
}
