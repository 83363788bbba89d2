//! A running cluster: connections to its nodes, and the snapshot read through them.

use std::collections::BTreeMap;
use std::time::Duration;

use client::{Command, Connection, Value};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::console::Probe;
use crate::error::describe_io;
use crate::snapshot::{Node, NodeId, Snapshot, parse_nodes};
use crate::{Address, Console, Error};

/// How long a node may load its dataset while a verb waits for it.
const LOADING_LIMIT: Duration = Duration::from_secs(60);

/// How to talk to nodes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Longest wait for a connection.
    pub connect: Duration,
    /// Longest wait for a reply.
    pub reply: Duration,
    /// What AUTH gets, if anything.
    pub password: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(5),
            reply: Duration::from_secs(60),
            password: None,
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
    settings: Settings,
    links: BTreeMap<NodeId, Connection>,
}

impl Cluster {
    /// A group of nodes that is no cluster yet.
    #[must_use]
    pub fn empty(entry: Address, settings: Settings) -> Self {
        Self {
            snapshot: Snapshot::default(),
            entry,
            settings,
            links: BTreeMap::new(),
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
        let (own, others): (Vec<Node>, Vec<Node>) = view.into_iter().partition(|node| node.myself);
        let own = own.into_iter().next().ok_or_else(|| no_own_line(entry))?;
        cluster.add(own, link)?;
        let callable = others
            .iter()
            .filter(|node| node.is_callable())
            .map(|node| node.address.clone());
        for (address, answer) in greet_all(callable, settings).await {
            let answer = match answer {
                Err(Error::Loading(_)) => greet_patiently(&address, settings, console).await,
                other => other,
            };
            let found = answer.and_then(|(view, link)| {
                let own = view.into_iter().find(|node| node.myself);
                cluster.add(own.ok_or_else(|| no_own_line(&address))?, link)
            });
            if let Err(error) = found {
                console.line(&error.to_string());
            }
        }
        cluster.snapshot.missing = others
            .into_iter()
            .filter(|node| cluster.snapshot.node(&node.id).is_none())
            .collect();
        cluster.tell_lost_masters(console);
        Ok(cluster)
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
    fn add(&mut self, mut own: Node, link: Connection) -> Result<(), Error> {
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
    let connected = Connection::connect(&address.to_string(), settings.connect).await;
    let mut link = connected.map_err(|error| unreachable(reason_of(&error)))?;
    let mut greeting = Vec::new();
    greeting.extend(
        settings
            .password
            .as_ref()
            .map(|password| Command::from(["AUTH", password])),
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
pub async fn probe_bus(address: &Address, settings: &Settings) -> Result<(), Error> {
    let port = address
        .bus_port()
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
