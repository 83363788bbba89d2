//! Servers that are no cluster: one, or a master with its replicas, which are found through each other. `watch` and `doctor` look at them
//! as at a cluster without slots.

use std::collections::{BTreeMap, VecDeque};

use client::Connection;

use crate::cluster::open;
use crate::snapshot::{Node, NodeId};
use crate::verbs::fields;
use crate::{Address, Cluster, Error, Settings, SlotSet};

/// So many masters, one above the other, are looked for.
const MOST_STEPS: usize = 8;

/// A server that answered.
struct Server {
    address: Address,
    link: Connection,
    info: BTreeMap<String, String>,
}

impl Server {
    async fn ask(address: &Address, settings: &Settings) -> Result<Self, Error> {
        let mut link = open(address, settings).await?;
        let reply = link.query(["INFO"]).await?;
        Ok(Self {
            address: address.clone(),
            link,
            info: fields(reply.as_str().unwrap_or_default()).collect(),
        })
    }

    fn id(&self) -> NodeId {
        self.info
            .get("run_id")
            .map_or_else(|| named(&self.address), |id| NodeId::new(id))
    }

    /// Whom it follows.
    fn master(&self) -> Option<Address> {
        let port = self.info.get("master_port")?.parse().ok()?;
        Some(Address::new(self.info.get("master_host")?.as_str(), port))
    }

    /// Who follows it, as it tells.
    fn replicas(&self) -> Vec<Address> {
        let lines = self.info.iter().filter(|(name, _)| {
            name.strip_prefix("slave")
                .is_some_and(|number| number.parse::<u32>().is_ok())
        });
        let address = |line: &str| {
            let part = |name: &str| line.split(',').find_map(|part| part.strip_prefix(name));
            Some(Address::new(part("ip=")?, part("port=")?.parse().ok()?))
        };
        lines.filter_map(|(_, line)| address(line)).collect()
    }
}

/// What a server is called that does not tell its id.
fn named(address: &Address) -> NodeId {
    NodeId::new(&address.to_string())
}

fn node(id: NodeId, address: Address, master: Option<NodeId>) -> Node {
    let role = if master.is_some() { "slave" } else { "master" };
    Node {
        id,
        address,
        bus_port: None,
        flags: vec![role.to_owned()],
        myself: true,
        master,
        config_epoch: 0,
        connected: true,
        slots: SlotSet::default(),
        migrating: BTreeMap::new(),
        importing: BTreeMap::new(),
    }
}

impl Cluster {
    /// Connects to a server that is no cluster node, to the masters above it, and to all their replicas. Those that do not answer are
    /// listed as missing.
    ///
    /// # Errors
    ///
    /// The server itself does not answer.
    pub async fn group(entry: &Address, settings: &Settings) -> Result<Self, Error> {
        let mut group = Self::empty(entry.clone(), settings.clone());
        group.is_group = true;
        let mut top = Server::ask(entry, settings).await?;
        let mut below = Vec::new();
        let mut lost = None;
        while let Some(address) = top.master().filter(|_| below.len() < MOST_STEPS) {
            match Server::ask(&address, settings).await {
                Ok(master) => below.push(std::mem::replace(&mut top, master)),
                Err(error) => {
                    lost = Some(named(&address));
                    group.lack(node(named(&address), address, None), &error);
                    break;
                }
            }
        }
        let mut last = top.id();
        let mut found = VecDeque::from([(top, lost)]);
        while let Some((server, master)) = found.pop_front() {
            let id = server.id();
            if group.snapshot.node(&id).is_some() {
                continue;
            }
            for address in server.replicas() {
                match Server::ask(&address, settings).await {
                    Ok(replica) => found.push_back((replica, Some(id.clone()))),
                    Err(error) => {
                        group.lack(node(named(&address), address, Some(id.clone())), &error);
                    }
                }
            }
            group.add(node(id, server.address, master), server.link)?;
        }
        // Those whose master does not list them, or under an address that does not lead to them.
        while let Some(server) = below.pop() {
            let id = server.id();
            if group.snapshot.node(&id).is_none() {
                group.add(node(id.clone(), server.address, Some(last)), server.link)?;
            }
            last = id;
        }
        Ok(group)
    }

    /// Nobody of the group answers any more.
    pub(crate) fn lose_all(&mut self, error: &Error) {
        for node in std::mem::take(&mut self.snapshot.nodes) {
            self.remove(&node.id);
            self.lack(node, error);
        }
    }
}
