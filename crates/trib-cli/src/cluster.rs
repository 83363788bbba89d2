//! A running cluster: connections to its nodes, and the snapshot read through them.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use client::{Command, Connection, Value};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::console::Probe;
use crate::error::describe_io;
use crate::snapshot::{Node, NodeId, Snapshot, parse_nodes};
use crate::{Address, Console, Error, SlotSet};

/// How long a node may load its dataset while a verb waits for it.
const LOADING_LIMIT: Duration = Duration::from_secs(60);

/// How long a node that did not answer before may take when it is tried again.
const HASTE: Duration = Duration::from_secs(1);
/// Where a node does not tell its node timeout.
const DEFAULT_NODE_TIMEOUT: Duration = Duration::from_secs(15);

/// How to talk to nodes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Longest wait for a connection.
    pub connect: Duration,
    /// Longest wait for a reply.
    pub reply: Duration,
    /// Who logs in, if not the default user.
    pub user: Option<String>,
    /// What AUTH gets, if anything.
    pub password: Option<String>,
    /// How sessions begin where nodes speak TLS.
    pub tls: Option<tls::ClientSide>,
}

impl Settings {
    /// The words that make MIGRATE log in at its target.
    #[must_use]
    pub fn migrate_login(&self) -> Vec<String> {
        match (&self.user, &self.password) {
            (_, None) => Vec::new(),
            (None, Some(password)) => vec!["AUTH".into(), password.clone()],
            (Some(user), Some(password)) => vec!["AUTH2".into(), user.clone(), password.clone()],
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            reply: Duration::from_secs(60),
            user: None,
            password: None,
            tls: None,
        }
    }
}

/// Connected nodes. `snapshot` is as old as the last [`Cluster::reload`].
#[derive(Debug)]
pub struct Cluster {
    /// What the nodes said about themselves.
    pub snapshot: Snapshot,
    /// The address the user named.
    pub entry: Address,
    /// Missing nodes that the user gave up: what they own may be given to others.
    pub given_up: BTreeSet<NodeId>,
    /// Whether the nodes are servers without a cluster: see `group.rs`.
    pub is_group: bool,
    settings: Settings,
    links: BTreeMap<NodeId, Connection>,
    /// Why the missing nodes could not be asked.
    reasons: BTreeMap<NodeId, String>,
}

impl Cluster {
    /// A group of nodes that is no cluster yet.
    #[must_use]
    pub fn empty(entry: Address, settings: Settings) -> Self {
        Self {
            snapshot: Snapshot::default(),
            entry,
            given_up: BTreeSet::new(),
            is_group: false,
            settings,
            links: BTreeMap::new(),
            reasons: BTreeMap::new(),
        }
    }

    /// Connects to a node and to every node it knows that is not down. Nodes that cannot be reached are told of
    /// and listed as missing.
    ///
    /// # Errors
    ///
    /// The first node cannot be reached, is no cluster node, or answers nonsense.
    pub async fn load(
        entry: &Address,
        settings: &Settings,
        console: &mut Console,
    ) -> Result<Self, Error> {
        let mut cluster = Self::empty(entry.clone(), settings.clone());
        let (view, link) = greet_patiently(entry, settings, console).await?;
        let mut views = BTreeMap::new();
        let (own, others): (Vec<Node>, Vec<Node>) =
            view.iter().cloned().partition(|node| node.myself);
        let own = own.into_iter().next().ok_or_else(|| no_own_line(entry))?;
        views.insert(own.id.clone(), view);
        cluster.add(own, link)?;
        cluster.call_all(&others, &mut views, console).await;
        // Nodes that only others know.
        let called: BTreeSet<NodeId> = others.into_iter().map(|node| node.id).collect();
        cluster.find_missing(&views);
        let mut more = cluster.snapshot.missing.clone();
        more.retain(|node| !called.contains(&node.id));
        cluster.call_all(&more, &mut views, console).await;
        cluster.find_missing(&views);
        cluster.tell_lost_masters(console);
        Ok(cluster)
    }

    /// [`Cluster::load`]; where the node is a server without a cluster, [`Cluster::group`].
    ///
    /// # Errors
    ///
    /// It cannot be reached, or answers nonsense.
    pub async fn load_or_group(
        entry: &Address,
        settings: &Settings,
        console: &mut Console,
    ) -> Result<Self, Error> {
        match Self::load(entry, settings, console).await {
            Err(Error::NotCluster(_)) => Self::group(entry, settings).await,
            loaded => loaded,
        }
    }

    /// Takes in those of the nodes that are not down and answer, and tells which of them do not.
    async fn call_all(
        &mut self,
        nodes: &[Node],
        views: &mut BTreeMap<NodeId, Vec<Node>>,
        console: &mut Console,
    ) {
        let settings = self.settings.clone();
        let callable = nodes.iter().filter(|node| node.is_callable());
        let callable = callable.map(|node| node.address.clone());
        for (address, answer) in greet_all(callable, &settings).await {
            let answer = match answer {
                Err(Error::Loading(_)) => greet_patiently(&address, &settings, console).await,
                other => other,
            };
            let found = answer.and_then(|(view, link)| self.welcome(&address, view, link, views));
            if let Err(error) = found {
                console.line(&error.to_string());
                let node = nodes.iter().find(|node| node.address == address);
                self.note_reason(node.map(|node| &node.id), &error);
            }
        }
    }

    /// Connects to one more node and asks it about itself.
    ///
    /// # Errors
    ///
    /// It cannot be reached, is no cluster node, answers nonsense, or is there already.
    pub async fn join(&mut self, address: &Address) -> Result<Vec<Node>, Error> {
        let (view, link) = greet(address, &self.settings).await?;
        let own = view
            .iter()
            .find(|node| node.myself)
            .cloned()
            .ok_or_else(|| no_own_line(address))?;
        if self.links.contains_key(&own.id) {
            return Err(Error::Refused(format!(
                "[ERR] Node {address} is given twice"
            )));
        }
        self.add(own, link)?;
        Ok(view)
    }

    /// Looks at everything again: the nodes that answered so far, and those that did not, whatever others think of
    /// them.
    ///
    /// # Errors
    ///
    /// A node that answered before does not any more.
    pub async fn refresh(&mut self) -> Result<(), Error> {
        let mut views = self.views().await?;
        self.take_own_lines(&views);
        self.find_missing(&views);
        let absent = self.snapshot.missing.clone();
        let called = absent
            .iter()
            .filter(|node| node.has_address())
            .map(|node| node.address.clone());
        let hasty = Settings {
            connect: HASTE,
            ..self.settings.clone()
        };
        for (address, answer) in greet_all(called, &hasty).await {
            let found = answer.and_then(|(view, mut link)| {
                link.set_limit(self.settings.reply);
                self.welcome(&address, view, link, &mut views)
            });
            if let Err(error) = found {
                let node = absent.iter().find(|node| node.address == address);
                self.note_reason(node.map(|node| &node.id), &error);
            }
        }
        self.find_missing(&views);
        Ok(())
    }

    /// Why a missing node could not be asked.
    #[must_use]
    pub fn reason(&self, id: &NodeId) -> &str {
        self.reasons
            .get(id)
            .map_or("the other nodes say that it has failed", String::as_str)
    }

    /// Lists a node that does not answer.
    pub(crate) fn lack(&mut self, node: Node, error: &Error) {
        self.note_reason(Some(&node.id), error);
        self.snapshot.missing.push(node);
    }

    fn note_reason(&mut self, id: Option<&NodeId>, error: &Error) {
        let reason = match error {
            Error::Unreachable { reason, .. } => reason.clone(),
            Error::Loading(_) => "it is still loading its dataset".into(),
            other => other.to_string(),
        };
        if let Some(id) = id {
            self.reasons.insert(id.clone(), reason);
        }
    }

    /// Takes in a node that answered.
    fn welcome(
        &mut self,
        address: &Address,
        view: Vec<Node>,
        link: Connection,
        views: &mut BTreeMap<NodeId, Vec<Node>>,
    ) -> Result<(), Error> {
        let own = view.iter().find(|node| node.myself).cloned();
        let own = own.ok_or_else(|| no_own_line(address))?;
        if self.links.contains_key(&own.id) {
            return Ok(());
        }
        self.reasons.remove(&own.id);
        views.insert(own.id.clone(), view);
        self.add(own, link)
    }

    /// Whom the nodes know and nobody could ask, with all the slots that anyone believes to be theirs.
    fn find_missing(&mut self, views: &BTreeMap<NodeId, Vec<Node>>) {
        let mut missing: Vec<Node> = Vec::new();
        for node in views.values().flatten() {
            if self.snapshot.node(&node.id).is_some() {
                continue;
            }
            let mut node = node.clone();
            if self.given_up.contains(&node.id) {
                node.slots = SlotSet::default();
            }
            match missing.iter_mut().find(|known| known.id == node.id) {
                Some(known) => known.slots.extend(node.slots.iter()),
                None => missing.push(node),
            }
        }
        self.snapshot.missing = missing;
    }

    /// Makes sure that these slots still belong to nobody: no node claims them, and nobody believes them to be with
    /// a node that cannot be asked and was not given up.
    ///
    /// # Errors
    ///
    /// [`Error::Changed`]; a node that does not answer.
    pub async fn require_unowned(&mut self, slots: &SlotSet) -> Result<(), Error> {
        let views = self.views().await?;
        for (id, view) in &views {
            for node in view {
                let absent = self.snapshot.node(&node.id).is_none();
                if !(node.myself || absent && !self.given_up.contains(&node.id)) {
                    continue;
                }
                if let Some(slot) = node.slots.iter().find(|slot| slots.contains(*slot)) {
                    let (by, owner) = (self.snapshot.label(id), &node.address);
                    return Err(Error::Changed(format!(
                        "slot {slot} belongs to {owner}, as {by} says"
                    )));
                }
            }
        }
        Ok(())
    }

    /// `cluster-node-timeout` of the node that was named, where it tells it.
    ///
    /// # Errors
    ///
    /// The connection fails.
    pub async fn node_timeout(&mut self) -> Result<Duration, Error> {
        let Some(first) = self.snapshot.nodes.first().map(|node| node.id.clone()) else {
            return Ok(DEFAULT_NODE_TIMEOUT);
        };
        let ask = Command::from(["CONFIG", "GET", "cluster-node-timeout"]);
        let replies = self.pipeline(&first, [ask]).await?;
        let millis = replies
            .first()
            .and_then(|reply| reply.field("cluster-node-timeout")?.as_str()?.parse().ok());
        Ok(millis.map_or(DEFAULT_NODE_TIMEOUT, Duration::from_millis))
    }

    fn take_own_lines(&mut self, views: &BTreeMap<NodeId, Vec<Node>>) {
        for own in views.values().flatten().filter(|line| line.myself) {
            if let Some(node) = self.snapshot.node_mut(&own.id) {
                let address = node.address.clone();
                *node = Node {
                    address,
                    ..own.clone()
                };
            }
        }
    }

    /// Reads all nodes' own lines again.
    ///
    /// # Errors
    ///
    /// A node does not answer any more. One that is loading is no error: what is known of it stays.
    pub async fn reload(&mut self) -> Result<(), Error> {
        for (id, reply) in self.broadcast(&Command::from(["CLUSTER", "NODES"])).await {
            let label = self.snapshot.label(&id);
            let view = match read_nodes(&label, reply?) {
                Err(Error::Loading(_)) => continue,
                view => view?,
            };
            let own = view.into_iter().find(|line| line.myself);
            if let (Some(node), Some(own)) = (self.snapshot.node_mut(&id), own) {
                let address = node.address.clone();
                *node = Node { address, ..own };
            }
        }
        Ok(())
    }

    /// What each node sees.
    ///
    /// # Errors
    ///
    /// A node does not answer, or answers nonsense.
    pub async fn views(&mut self) -> Result<BTreeMap<NodeId, Vec<Node>>, Error> {
        let mut views = BTreeMap::new();
        for (id, reply) in self.broadcast(&Command::from(["CLUSTER", "NODES"])).await {
            let label = self.snapshot.label(&id);
            views.insert(id, read_nodes(&label, reply?)?);
        }
        Ok(views)
    }

    /// Sends one command to one node; an error reply is an error.
    ///
    /// # Errors
    ///
    /// Unknown node, failed connection, error reply.
    pub async fn query(
        &mut self,
        id: &NodeId,
        command: impl Into<Command>,
    ) -> Result<Value, Error> {
        Ok(self.link(id)?.query(command).await?)
    }

    /// Sends several commands to one node at once; all replies, error replies among them.
    ///
    /// # Errors
    ///
    /// Unknown node, failed connection.
    pub async fn pipeline(
        &mut self,
        id: &NodeId,
        commands: impl IntoIterator<Item = Command>,
    ) -> Result<Vec<Value>, Error> {
        Ok(self.link(id)?.pipeline(commands).await?)
    }

    /// Sends one command to all nodes at once; each one's reply, in the order of the snapshot.
    pub async fn broadcast(
        &mut self,
        command: &Command,
    ) -> Vec<(NodeId, Result<Value, client::Error>)> {
        let order: Vec<NodeId> = self
            .snapshot
            .nodes
            .iter()
            .map(|node| node.id.clone())
            .collect();
        for link in self.links.values_mut() {
            // A link that fails here fails again below, where it is told.
            if link.drain().await.is_ok() {
                link.send(command.clone());
                let _ = link.flush().await;
            }
        }
        let mut replies = Vec::new();
        for id in order {
            let Some(link) = self.links.get_mut(&id) else {
                continue;
            };
            let reply = link.recv().await;
            replies.push((id, reply));
        }
        replies
    }

    /// Opens one more connection to a node of this cluster.
    ///
    /// # Errors
    ///
    /// Unknown node; it cannot be reached.
    pub async fn connect(&self, id: &NodeId) -> Result<Connection, Error> {
        let node = self.snapshot.node(id).ok_or_else(|| unknown(id))?;
        open(&node.address, &self.settings).await
    }

    /// How nodes are talked to.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Forgets a node, here only.
    pub fn remove(&mut self, id: &NodeId) {
        self.snapshot.nodes.retain(|node| node.id != *id);
        self.links.remove(id);
    }

    fn link(&mut self, id: &NodeId) -> Result<&mut Connection, Error> {
        self.links.get_mut(id).ok_or_else(|| unknown(id))
    }

    /// Notes a node under the address by which others reach it: its own line's, or where it does not know that
    /// yet, the one it was reached at.
    pub(crate) fn add(&mut self, mut own: Node, link: Connection) -> Result<(), Error> {
        let peer = link.peer()?;
        if own.address.host.is_empty() || own.address.port == 0 {
            own.address = Address::new(peer.ip().to_string(), peer.port());
        }
        self.links.insert(own.id.clone(), link);
        self.snapshot.nodes.push(own);
        Ok(())
    }

    fn tell_lost_masters(&self, console: &mut Console) {
        for node in &self.snapshot.nodes {
            if let Some(master) = node
                .master
                .as_ref()
                .filter(|id| self.snapshot.node(id).is_none())
            {
                let address = &node.address;
                console.line(&format!(
                    "*** WARNING: {address} claims to be slave of unknown node ID {master}."
                ));
            }
        }
    }
}

/// Connects, logs in, and makes sure that somebody answers.
///
/// # Errors
///
/// [`Error::Unreachable`] with the reason, a missing or wrong password included.
pub async fn open(address: &Address, settings: &Settings) -> Result<Connection, Error> {
    let unreachable = |reason: String| Error::Unreachable {
        address: address.to_string(),
        reason,
    };
    let text = address.to_string();
    let connected = Connection::connect_by(&text, settings.connect, settings.tls.as_ref()).await;
    let mut link = connected.map_err(|error| unreachable(reason_of(&error)))?;
    let mut greeting = Vec::new();
    greeting.extend(
        settings
            .password
            .as_ref()
            .map(|password| Command::new("AUTH").args(&settings.user).arg(password)),
    );
    greeting.push(Command::from(["PING"]));
    let replies = link
        .pipeline(greeting)
        .await
        .map_err(|error| unreachable(reason_of(&error)))?;
    if let Some(refusal) = replies.iter().find_map(Value::as_error) {
        if is_loading(refusal) {
            return Err(Error::Loading(address.to_string()));
        }
        return Err(unreachable(refusal.to_owned()));
    }
    link.set_limit(settings.reply);
    Ok(link)
}

/// Makes sure that both ports of a node can be reached from here.
///
/// # Errors
///
/// Which port cannot, and why.
pub async fn probe_bus(node: &Node, settings: &Settings) -> Result<(), Error> {
    let address = &node.address;
    let port = node
        .bus_port
        .ok_or_else(|| Error::NoBusPort(address.to_string()))?;
    let failed = |reason: String| Error::BusUnreachable {
        address: address.to_string(),
        port,
        reason,
    };
    match timeout(
        settings.connect,
        TcpStream::connect((address.host.as_str(), port)),
    )
    .await
    {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(failed(describe_io(&error))),
        Err(_) => Err(failed("timed out".into())),
    }
}

type Greeting = Result<(Vec<Node>, Connection), Error>;

/// Greets all at once; the answers in the order of the addresses.
async fn greet_all(
    addresses: impl Iterator<Item = Address>,
    settings: &Settings,
) -> Vec<(Address, Greeting)> {
    let mut calls = JoinSet::new();
    for (index, address) in addresses.enumerate() {
        let settings = settings.clone();
        calls.spawn(async move {
            let answer = greet(&address, &settings).await;
            (index, address, answer)
        });
    }
    let mut answers = calls.join_all().await;
    answers.sort_by_key(|(index, ..)| *index);
    answers
        .into_iter()
        .map(|(_, address, answer)| (address, answer))
        .collect()
}

/// Greets a node, and lets it load its dataset first.
async fn greet_patiently(
    address: &Address,
    settings: &Settings,
    console: &mut Console,
) -> Greeting {
    let mut found = None;
    let probe = async || {
        found = Some(greet(address, settings).await?);
        Ok(Probe::Done)
    };
    console
        .wait(
            &format!("Waiting for {address} to load its dataset"),
            LOADING_LIMIT,
            probe,
        )
        .await?;
    found.ok_or_else(|| Error::Loading(address.to_string()))
}

/// Opens a connection and reads the node's view.
async fn greet(address: &Address, settings: &Settings) -> Greeting {
    let mut link = open(address, settings).await?;
    match link.call(["CLUSTER", "NODES"]).await? {
        Value::Error(message)
            if message.contains("cluster support disabled")
                || message.contains("unknown command") =>
        {
            Err(Error::NotCluster(address.to_string()))
        }
        reply => Ok((read_nodes(&address.to_string(), reply)?, link)),
    }
}

fn read_nodes(address: &str, reply: Value) -> Result<Vec<Node>, Error> {
    let bad = |problem: String| Error::BadReply {
        address: address.to_owned(),
        problem,
    };
    let reply = reply.into_result().map_err(|message| {
        if is_loading(&message) {
            Error::Loading(address.to_owned())
        } else {
            bad(message)
        }
    })?;
    let text = reply
        .as_str()
        .ok_or_else(|| bad("CLUSTER NODES answered no text".into()))?;
    parse_nodes(text).map_err(|error| Error::bad_nodes(address, &error))
}

fn is_loading(message: &str) -> bool {
    message.starts_with("LOADING ")
}

fn no_own_line(address: &Address) -> Error {
    Error::BadReply {
        address: address.to_string(),
        problem: "CLUSTER NODES does not list the node itself".into(),
    }
}

fn unknown(id: &NodeId) -> Error {
    Error::Refused(format!("[ERR] No connection to node {id}"))
}

/// Only the reason: the address stands in the line already.
fn reason_of(error: &client::Error) -> String {
    match error {
        client::Error::Connect { source, .. } | client::Error::Io { source, .. } => {
            describe_io(source)
        }
        client::Error::Timeout { .. } => "no answer to PING".into(),
        client::Error::Closed { .. } => "it closed the connection".into(),
        client::Error::Decode { source, .. } => format!("no Redis protocol: {source}"),
        other => other.to_string(),
    }
}
