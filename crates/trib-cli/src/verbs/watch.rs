//! `watch`: the living cluster, or servers that are none, again and again. It only asks; nothing is changed.

use std::collections::BTreeMap;
use std::time::Duration;

use client::{Command, Value};
use tokio::time::{Instant, sleep};

use super::doctor::fields;
use crate::cluster::open;
use crate::picture::{Picture, Sample, Watcher};
use crate::screen::{Screen, end_pressed};
use crate::snapshot::{Node, NodeId, Snapshot};
use crate::{Address, App, Cluster, Console, Error, Settings};

/// How long a node may take before it counts as unreachable for this time.
const PATIENCE: Duration = Duration::from_secs(2);

/// How to watch.
#[derive(Clone, Debug)]
pub struct WatchOptions {
    /// Between two looks.
    pub interval: Duration,
    /// How many looks; without end where not given.
    pub count: Option<u32>,
    /// Lines, even on a terminal.
    pub text: bool,
    /// Sentinels to ask too.
    pub sentinels: Vec<String>,
}

/// Shows the cluster until it is told to end.
///
/// # Errors
///
/// An address makes no sense, the cluster cannot be reached at first, or the terminal is gone.
pub async fn watch(app: &mut App, entry: &str, options: &WatchOptions) -> Result<(), Error> {
    let settings = Settings {
        connect: PATIENCE,
        reply: PATIENCE,
        ..app.settings.clone()
    };
    let entry: Address = entry.parse()?;
    let sentinels: Vec<Address> = options
        .sentinels
        .iter()
        .map(|text| text.parse())
        .collect::<Result<_, _>>()?;
    let mut sampler = Sampler {
        cluster: Cluster::load_or_group(&entry, &settings, &mut app.console).await?,
        known: Vec::new(),
        settings,
        sentinels,
    };
    let mut screen = if app.console.live() && !options.text {
        let opened = Screen::open();
        Some(opened.map_err(|error| Error::file("the terminal", &error))?)
    } else {
        None
    };
    let (mut watcher, start, mut looks) = (Watcher::default(), Instant::now(), 0_u32);
    loop {
        let picture = watcher.take(&sampler.sample().await, start.elapsed());
        looks = looks.saturating_add(1);
        let last = options.count.is_some_and(|count| looks >= count);
        let ended = match &mut screen {
            Some(screen) => show(screen, &picture, options.interval).await?,
            None => {
                app.console.print(&(picture.text() + "\n"));
                if !last {
                    sleep(options.interval).await;
                }
                false
            }
        };
        if last || ended {
            return Ok(());
        }
    }
}

/// Shows a picture for a while; whether the user wants to end.
async fn show(screen: &mut Screen, picture: &Picture, interval: Duration) -> Result<bool, Error> {
    let failed = |error: std::io::Error| Error::file("the terminal", &error);
    screen.show(picture).map_err(failed)?;
    let pressed = tokio::task::spawn_blocking(move || end_pressed(interval)).await;
    pressed.unwrap_or(Ok(true)).map_err(failed)
}

struct Sampler {
    cluster: Cluster,
    /// All nodes that were ever seen and not forgotten: where to look when no node is left.
    known: Vec<Node>,
    settings: Settings,
    sentinels: Vec<Address>,
}

impl Sampler {
    async fn sample(&mut self) -> Sample {
        self.look_again().await;
        let mut info: BTreeMap<NodeId, BTreeMap<String, String>> = BTreeMap::new();
        for ask in [["INFO"].as_slice(), &["CLUSTER", "INFO"]] {
            for (id, reply) in self.cluster.broadcast(&Command::from(ask)).await {
                if let Ok(reply) = reply {
                    let text = reply.as_str().unwrap_or_default();
                    info.entry(id).or_default().extend(fields(text));
                }
            }
        }
        let snapshot = self.cluster.snapshot.clone();
        let reasons = snapshot.missing.iter();
        let reasons =
            reasons.map(|node| (node.id.clone(), self.cluster.reason(&node.id).to_owned()));
        Sample {
            is_group: self.cluster.is_group,
            reasons: reasons.collect(),
            info,
            sentinels: self.ask_sentinels().await,
            snapshot,
        }
    }

    /// Servers without a cluster: whom the one that was named knows now, or if that is gone, any other.
    async fn find_group(&mut self) {
        let entry = self.cluster.entry.clone();
        let Snapshot { nodes, missing } = &self.cluster.snapshot;
        let others = nodes.iter().chain(missing).map(|node| &node.address);
        let others: Vec<Address> = others.filter(|other| **other != entry).cloned().collect();
        let mut first = None;
        for address in std::iter::once(&entry).chain(&others) {
            match Cluster::group(address, &self.settings).await {
                Ok(group) => {
                    self.cluster = group;
                    self.cluster.entry = entry;
                    return;
                }
                Err(error) => {
                    first.get_or_insert(error);
                }
            }
        }
        if let Some(error) = first {
            self.cluster.lose_all(&error);
        }
    }

    /// Drops nodes that do not answer, and tries again those that did not.
    async fn look_again(&mut self) {
        if self.cluster.is_group {
            return self.find_group().await;
        }
        let known = self
            .cluster
            .snapshot
            .nodes
            .iter()
            .chain(&self.cluster.snapshot.missing);
        self.known = known.cloned().collect();
        for (id, reply) in self
            .cluster
            .broadcast(&Command::from(["CLUSTER", "NODES"]))
            .await
        {
            if !matches!(reply, Ok(Value::Bulk(_) | Value::Verbatim { .. })) {
                self.cluster.remove(&id);
            }
        }
        // A node that fails just now is found out the next time.
        let _ = self.cluster.refresh().await;
        if self.cluster.snapshot.nodes.is_empty() {
            self.begin_anew().await;
        }
    }

    /// No node is left: any that was known may be the first to come back.
    async fn begin_anew(&mut self) {
        let mut nobody = Console::new(Box::new(std::io::empty()), Box::new(std::io::sink()), false);
        for node in self.known.iter().filter(|node| node.has_address()) {
            if let Ok(cluster) = Cluster::load(&node.address, &self.settings, &mut nobody).await {
                self.cluster = cluster;
                return;
            }
        }
        self.cluster.snapshot.missing.clone_from(&self.known);
    }

    async fn ask_sentinels(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for address in &self.sentinels {
            match masters_of(address, &self.settings).await {
                Ok(masters) => lines.extend(
                    masters
                        .iter()
                        .map(|master| format!("sentinel {address}: {master}")),
                ),
                Err(error) => lines.push(format!("sentinel {address}: {error}")),
            }
        }
        lines
    }
}

async fn masters_of(address: &Address, settings: &Settings) -> Result<Vec<String>, Error> {
    let mut link = open(address, settings).await?;
    let reply = link.query(["SENTINEL", "MASTERS"]).await?;
    let masters = reply.as_array().unwrap_or_default().iter();
    Ok(masters.map(describe_master).collect())
}

fn describe_master(master: &Value) -> String {
    let field = |name: &str| master.field(name).and_then(Value::as_str).unwrap_or("?");
    format!(
        "{} is {}:{} ({}), {} replicas, {} other sentinels, quorum {}",
        field("name"),
        field("ip"),
        field("port"),
        field("flags"),
        field("num-slaves"),
        field("num-other-sentinels"),
        field("quorum"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watched_master_is_one_line() {
        let words = [
            "name",
            "m",
            "ip",
            "10.0.0.1",
            "port",
            "6379",
            "flags",
            "master",
            "num-slaves",
            "2",
            "quorum",
            "2",
        ];
        let reply = Value::Array(words.map(|word| Value::Bulk(word.into())).to_vec());
        assert_eq!(
            describe_master(&reply),
            "m is 10.0.0.1:6379 (master), 2 replicas, ? other sentinels, quorum 2"
        );
    }
}
