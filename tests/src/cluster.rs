//! A cluster of real servers, formed with the real `trib`, and a client that follows redirections.
//!
//! The client is small on purpose: it tells a test which answers it got, where a library would hide them.

#![allow(clippy::unwrap_used, reason = "helpers of tests are tests")]

use std::collections::BTreeMap;
use std::time::Duration;

use client::Value;

use crate::daemon::{
    Client, Daemon, PATIENCE, POLL, Run, fields, text_of, trib, wait_for, wait_until,
};

/// `cluster-node-timeout` of every cluster here, milliseconds.
pub const NODE_TIMEOUT_MILLIS: u32 = 2000;

/// How often a command is sent elsewhere before it counts as lost.
const REDIRECTIONS: usize = 8;

/// Servers with `cluster-enabled yes`.
pub struct Cluster {
    /// In the order in which `trib` got them: masters first.
    pub nodes: Vec<Daemon>,
}

impl Cluster {
    /// Nodes that do not know of each other.
    #[must_use]
    pub fn new(nodes: usize) -> Self {
        Self {
            nodes: (0..nodes).map(|_| new_node()).collect(),
        }
    }

    /// `trib create --replicas N` over all nodes, with this answer to its question.
    #[must_use]
    pub fn create(&self, replicas: usize, answer: &str) -> Run {
        let replicas = replicas.to_string();
        let addresses: Vec<String> = self.nodes.iter().map(Daemon::address).collect();
        let mut arguments = vec!["create", "--replicas", &replicas];
        arguments.extend(addresses.iter().map(String::as_str));
        trib(&arguments, answer)
    }

    /// Nodes that `trib` has joined; all of them agree when this returns.
    ///
    /// # Panics
    ///
    /// When it cannot be formed.
    #[must_use]
    pub fn joined(nodes: usize, replicas: usize) -> Self {
        let cluster = Self::new(nodes);
        let run = cluster.create(replicas, "yes\n");
        assert_eq!(run.code, Some(0), "{}", run.out);
        cluster.wait_ok();
        cluster
    }

    /// A client that knows all nodes as entries.
    #[must_use]
    pub fn router(&self) -> Router {
        Router::new(self.nodes.iter().map(|node| node.port).collect())
    }

    /// Waits until every running node finds the cluster whole, and every running replica is in step.
    ///
    /// # Panics
    ///
    /// When that does not come.
    pub fn wait_ok(&self) {
        for node in &self.nodes {
            let end = std::time::Instant::now() + PATIENCE;
            while state(node) != "ok" {
                assert!(
                    std::time::Instant::now() < end,
                    "{} does not find the cluster whole:\n{}{}",
                    node.name,
                    node.text("CLUSTER INFO"),
                    node.text("CLUSTER NODES"),
                );
                std::thread::sleep(POLL);
            }
            wait_until(&format!("{} is in step with its master", node.name), || {
                let info = node.info("replication");
                info["role"] == "master" || info["master_link_status"] == "up"
            });
        }
    }

    /// Waits until every replica has processed all that its master has written.
    ///
    /// # Panics
    ///
    /// When that does not come.
    pub fn wait_in_step(&self) {
        let offset = |node: &Daemon, field| node.info_field("replication", field);
        for replica in &self.nodes {
            let Some(master) = replica.info("replication").remove("master_port") else {
                continue;
            };
            let master = self
                .nodes
                .iter()
                .find(|node| node.port.to_string() == master)
                .unwrap();
            wait_until(&format!("{} is in step", replica.name), || {
                offset(replica, "slave_repl_offset") == offset(master, "master_repl_offset")
            });
        }
    }

    /// The node that listens on a port.
    ///
    /// # Panics
    ///
    /// When there is none.
    pub fn node(&mut self, port: u16) -> &mut Daemon {
        self.nodes
            .iter_mut()
            .find(|node| node.port == port)
            .unwrap()
    }

    /// Waits until `trib check` has nothing to say against the cluster.
    ///
    /// # Panics
    ///
    /// When it still complains after a while; with what it says.
    pub fn wait_clean(&self, entry: &Daemon) {
        let mut last = String::new();
        let end = std::time::Instant::now() + PATIENCE;
        while std::time::Instant::now() < end {
            let run = trib(&["check", &entry.address()], "");
            if run.code == Some(0) && run.out.contains("[OK] All 16384 slots covered.") {
                return;
            }
            last = run.out;
        }
        panic!("not clean: {last}");
    }
}

/// A server that can become part of a cluster.
#[must_use]
pub fn new_node() -> Daemon {
    Daemon::server(&format!(
        "cluster-enabled yes\ncluster-config-file nodes.conf\ncluster-node-timeout {NODE_TIMEOUT_MILLIS}\nsave \"\""
    ))
}

/// `cluster_state` as a node sees it.
#[must_use]
pub fn state(node: &Daemon) -> String {
    fields(&node.text("CLUSTER INFO"))
        .remove("cluster_state")
        .unwrap_or_default()
}

/// A line of CLUSTER NODES.
#[derive(Clone, Debug)]
pub struct NodeLine {
    /// 40 hexadecimal digits.
    pub id: String,
    /// Its client port.
    pub port: u16,
    /// Such as `myself`, `master`, `fail?`.
    pub flags: Vec<String>,
    /// The id of its master; `-` for masters.
    pub master: String,
    /// Ranges and open slots, as written.
    pub slots: Vec<String>,
    /// The line itself.
    pub line: String,
}

impl NodeLine {
    /// Whether it has this flag.
    #[must_use]
    pub fn is(&self, flag: &str) -> bool {
        self.flags.iter().any(|have| have == flag)
    }

    /// How many slots it serves.
    #[must_use]
    pub fn slot_count(&self) -> usize {
        self.slots
            .iter()
            .filter(|range| !range.starts_with('['))
            .map(|range| {
                let (first, last) = range.split_once('-').unwrap_or((range, range));
                last.parse::<usize>().unwrap() - first.parse::<usize>().unwrap() + 1
            })
            .sum()
    }
}

/// CLUSTER NODES of one node.
#[must_use]
pub fn view(node: &Daemon) -> Vec<NodeLine> {
    node.text("CLUSTER NODES")
        .lines()
        .map(|line| {
            let fields: Vec<&str> = line.split(' ').collect();
            NodeLine {
                id: fields[0].to_owned(),
                port: port_of(fields[1]),
                flags: fields[2].split(',').map(str::to_owned).collect(),
                master: fields[3].to_owned(),
                slots: fields[8..].iter().map(|slot| (*slot).to_owned()).collect(),
                line: line.to_owned(),
            }
        })
        .collect()
}

/// The client port of `host:port`, `host:port@busport` and `host:port@busport,hostname`.
fn port_of(address: &str) -> u16 {
    let address = address.split(['@', ',']).next().unwrap();
    address.rsplit_once(':').unwrap().1.parse().unwrap()
}

/// What a node knows of the node at `port`.
#[must_use]
pub fn seen(node: &Daemon, port: u16) -> Option<NodeLine> {
    view(node).into_iter().find(|line| line.port == port)
}

/// A node's own line.
///
/// # Panics
///
/// When it has none.
#[must_use]
pub fn myself(node: &Daemon) -> NodeLine {
    view(node)
        .into_iter()
        .find(|line| line.is("myself"))
        .unwrap()
}

/// The fields of the newest move of whole slots that a node tells of.
#[must_use]
pub fn migration(node: &Daemon) -> BTreeMap<String, String> {
    let reply = node.call("CLUSTER GETSLOTMIGRATIONS");
    let newest = reply.as_array().and_then(|jobs| jobs.first());
    let pairs = newest.and_then(Value::pairs).unwrap_or_default();
    let pairs = pairs.into_iter();
    pairs
        .map(|(name, value)| (text_of(name), text_of(value)))
        .collect()
}

/// The same, once the move is over.
#[must_use]
pub fn migration_ended(node: &Daemon) -> BTreeMap<String, String> {
    wait_for("a migration ends", PATIENCE, || {
        let told = migration(node);
        ["success", "failed", "cancelled"]
            .contains(&told["state"].as_str())
            .then_some(told)
    })
}

/// The slot of a key.
#[must_use]
pub fn slot(key: &str) -> u16 {
    cluster_bus::slots::key_slot(key.as_bytes()).number()
}

/// A client that remembers which node serves which slot, and follows MOVED and ASK.
pub struct Router {
    entries: Vec<u16>,
    owners: BTreeMap<u16, u16>,
    links: BTreeMap<u16, Client>,
    /// How many redirections it has followed.
    pub moved: usize,
    /// How many ASK redirections it has followed.
    pub asked: usize,
}

impl Router {
    /// A client that begins with these ports.
    #[must_use]
    pub fn new(entries: Vec<u16>) -> Self {
        Self {
            entries,
            owners: BTreeMap::new(),
            links: BTreeMap::new(),
            moved: 0,
            asked: 0,
        }
    }

    /// One command on the node that serves `key`, and that node's port.
    ///
    /// # Errors
    ///
    /// The error of the last node asked: CLUSTERDOWN, TRYAGAIN, or one of the connection.
    pub fn call(&mut self, key: &str, words: &[&[u8]]) -> Result<(Value, u16), String> {
        let slot = slot(key);
        let mut port = self.owners.get(&slot).copied();
        let mut asking = false;
        let mut last = String::new();
        for attempt in 0..REDIRECTIONS {
            let to = port.unwrap_or_else(|| self.entries[attempt % self.entries.len()]);
            let value = match self.call_on(to, asking, words) {
                Ok(value) => value,
                Err(error) => {
                    self.links.remove(&to);
                    self.owners.remove(&slot);
                    last = error.to_string();
                    (port, asking) = (None, false);
                    continue;
                }
            };
            let Value::Error(error) = value else {
                if !asking {
                    self.owners.insert(slot, to);
                }
                return Ok((value, to));
            };
            let elsewhere = error
                .rsplit_once(':')
                .and_then(|(_, port)| port.parse().ok());
            match error.split(' ').next() {
                Some("MOVED") => {
                    self.moved += 1;
                    (port, asking) = (elsewhere, false);
                }
                Some("ASK") => {
                    self.asked += 1;
                    (port, asking) = (elsewhere, true);
                }
                _ => {
                    self.owners.remove(&slot);
                    return Err(error);
                }
            }
            last = error;
        }
        Err(last)
    }

    fn call_on(
        &mut self,
        port: u16,
        asking: bool,
        words: &[&[u8]],
    ) -> Result<Value, client::Error> {
        let link = match self.links.entry(port) {
            std::collections::btree_map::Entry::Occupied(entry) => entry.into_mut(),
            std::collections::btree_map::Entry::Vacant(entry) => {
                let mut link = Client::try_new(port)?;
                link.set_limit(Duration::from_secs(2));
                entry.insert(link)
            }
        };
        if asking {
            link.try_call("ASKING")?;
        }
        link.try_call_words(words)
    }

    /// Sets a key; true when a replica has it too, within `millis`.
    ///
    /// # Errors
    ///
    /// As [`Self::call`].
    pub fn set_and_wait(&mut self, key: &str, value: &str, millis: u32) -> Result<bool, String> {
        let (reply, port) = self.call(key, &[b"SET", key.as_bytes(), value.as_bytes()])?;
        assert!(reply.is_ok(), "{reply:?}");
        let millis = millis.to_string();
        // WAIT counts replicas that have this connection's last write.
        let reply = self
            .call_on(port, false, &[b"WAIT", b"1", millis.as_bytes()])
            .map_err(|error| error.to_string())?;
        Ok(reply.as_int() >= Some(1))
    }

    /// Reads a key, however long the cluster needs to serve it.
    ///
    /// # Panics
    ///
    /// When it is never served.
    #[must_use]
    pub fn value(&mut self, key: &str) -> String {
        wait_for(&format!("a reply to GET {key}"), PATIENCE, || {
            self.call(key, &[b"GET", key.as_bytes()])
                .ok()
                .map(|(value, _)| text_of(&value))
        })
    }
}
