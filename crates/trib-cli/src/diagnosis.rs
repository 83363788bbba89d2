//! What is wrong with a cluster, or with servers that are none, in sentences, and what to do about it: a pure function over what the nodes say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::snapshot::{Node, NodeId, Snapshot, slots_signature};

/// Clocks that differ by more than this are told of.
const CLOCK_TOLERANCE: Duration = Duration::from_secs(1);
/// Bytes of its master's stream that a replica may lack.
const LAG_BYTES: i64 = 10 << 20;
/// Percent of `maxmemory` above which memory is scarce.
const SCARCE_PERCENT: u128 = 90;
/// A master with this many percent more or fewer slots than its part is told of.
const UNEVEN_PERCENT: usize = 25;

/// What a node says about itself.
#[derive(Clone, Debug, Default)]
pub struct Vitals {
    /// The fields of INFO.
    pub info: BTreeMap<String, String>,
    /// Its configuration; empty where it does not tell.
    pub config: BTreeMap<String, String>,
    /// How far its clock is ahead of ours (below zero: behind), in milliseconds.
    pub clock: Option<i64>,
}

/// All that is known of a cluster.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Whether these are servers without a cluster: there are no slots, and nothing to agree on.
    pub is_group: bool,
    /// The nodes in their own words, and those that could not be asked.
    pub snapshot: Snapshot,
    /// What each node sees.
    pub views: BTreeMap<NodeId, Vec<Node>>,
    /// What each node says about itself.
    pub vitals: BTreeMap<NodeId, Vitals>,
    /// Why the missing nodes could not be asked.
    pub reasons: BTreeMap<NodeId, String>,
}

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Something does not work, or data is in danger now.
    Error,
    /// Something will go wrong once something else does.
    Warning,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Finding {
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub advice: String,
}

/// Everything that is wrong, the worst first.
#[must_use]
pub fn diagnose(facts: &Facts) -> Vec<Finding> {
    let mut doctor = Doctor {
        facts,
        findings: Vec::new(),
    };
    doctor.absent_nodes();
    if !facts.is_group {
        doctor.slots();
        doctor.agreement();
        doctor.epochs();
        doctor.shape();
        doctor.hosts();
    }
    doctor.versions();
    doctor.replicas();
    doctor.disks();
    doctor.memory();
    doctor.settings();
    doctor.clocks();
    doctor.findings.sort_by_key(|finding| finding.severity);
    doctor.findings
}

struct Doctor<'a> {
    facts: &'a Facts,
    findings: Vec<Finding>,
}

impl<'a> Doctor<'a> {
    fn error(&mut self, what: String, advice: &str) {
        self.find(Severity::Error, what, advice);
    }

    fn warning(&mut self, what: String, advice: &str) {
        self.find(Severity::Warning, what, advice);
    }

    fn find(&mut self, severity: Severity, what: String, advice: &str) {
        self.findings.push(Finding {
            severity,
            what,
            advice: advice.to_owned(),
        });
    }

    fn label(&self, id: &NodeId) -> String {
        self.facts.snapshot.label(id)
    }

    fn serving(&self) -> Vec<&'a Node> {
        let masters = self.facts.snapshot.masters();
        let serves = |node: &&Node| self.facts.is_group || !node.slots.is_empty();
        masters.filter(serves).collect()
    }

    /// All nodes' values of one field, those without one left out.
    fn fields(
        &self,
        of: fn(&Vitals) -> &BTreeMap<String, String>,
        name: &str,
    ) -> BTreeMap<NodeId, String> {
        let vitals = self.facts.vitals.iter();
        let field =
            vitals.filter_map(|(id, vitals)| Some((id.clone(), of(vitals).get(name)?.clone())));
        field.collect()
    }

    fn info(&self, id: &NodeId, name: &str) -> Option<&str> {
        self.facts
            .vitals
            .get(id)?
            .info
            .get(name)
            .map(String::as_str)
    }

    fn number(&self, id: &NodeId, name: &str) -> Option<i64> {
        self.info(id, name)?.parse().ok()
    }

    fn config(&self, id: &NodeId, name: &str) -> Option<&str> {
        self.facts
            .vitals
            .get(id)?
            .config
            .get(name)
            .map(String::as_str)
    }

    fn absent_nodes(&mut self) {
        for node in &self.facts.snapshot.missing {
            let id = &node.id;
            if node.has_flag("handshake") {
                let what = format!("A handshake with {} does not end.", node.address);
                self.warning(
                    what,
                    "Make sure that its bus port can be reached from all nodes, both ways.",
                );
                continue;
            }
            let reason = self
                .facts
                .reasons
                .get(id)
                .map_or("others call it failed", String::as_str);
            if !node.has_address() {
                let what = format!("The nodes know {id} and not its address.");
                self.error(what, "If the node is gone for good, remove it with trib del-node; else introduce it with CLUSTER MEET.");
                continue;
            }
            let what = if self.facts.is_group {
                format!("{} can't be reached: {reason}.", node.address)
            } else {
                format!("{} ({id}) can't be reached: {reason}.", node.address)
            };
            let advice = match (&node.master, node.slots.is_empty()) {
                _ if self.facts.is_group => "Bring it back.",
                (None, false) => {
                    "It owns slots. Bring it back, or let a replica take its place; trib fix waits for that."
                }
                _ => "Bring it back, or remove it with trib del-node if it is gone for good.",
            };
            self.error(what, advice);
        }
    }

    fn slots(&mut self) {
        let snapshot = &self.facts.snapshot;
        let (unowned, open) = (snapshot.unowned(), snapshot.open_slots());
        if !unowned.is_empty() {
            let what = format!("{} slots belong to nobody: {unowned}.", unowned.len());
            self.error(what, "Run trib fix.");
        }
        if !open.is_empty() {
            let what = format!("Slots are half moved: {open}.");
            self.error(
                what,
                "If no reshard is running, run the same command again, or trib fix, to finish it.",
            );
        }
        let serving = self.serving();
        let part = usize::from(crate::SLOT_COUNT)
            .checked_div(serving.len())
            .unwrap_or(0);
        let uneven = |node: &&&Node| node.slots.len().abs_diff(part) * 100 > part * UNEVEN_PERCENT;
        let uneven: Vec<String> = serving
            .iter()
            .filter(uneven)
            .map(|node| format!("{} has {}", node.address, node.slots.len()))
            .collect();
        if !uneven.is_empty() && unowned.is_empty() {
            let what = format!("Slots are not shared evenly: {}.", uneven.join(", "));
            self.warning(
                what,
                "If their weights are not meant to differ, run trib rebalance.",
            );
        }
    }

    fn agreement(&mut self) {
        let mut groups: BTreeMap<BTreeSet<(NodeId, String)>, Vec<String>> = BTreeMap::new();
        for (id, view) in &self.facts.views {
            groups
                .entry(slots_signature(view))
                .or_default()
                .push(self.label(id));
        }
        if groups.len() > 1 {
            let groups: Vec<String> = groups.into_values().map(|names| names.join(", ")).collect();
            let what = format!(
                "Nodes see different owners of slots: {}.",
                groups.join(" against ")
            );
            self.error(what, "Wait some seconds. If it stays so, make sure that the bus ports can be reached, then run trib fix.");
        }
        for (id, view) in &self.facts.views {
            let lost: Vec<String> = view
                .iter()
                .filter(|node| {
                    !node.myself && !node.connected && self.facts.snapshot.node(&node.id).is_some()
                })
                .map(|node| node.address.to_string())
                .collect();
            if !lost.is_empty() {
                let what = format!("{} has no bus link to {}.", self.label(id), lost.join(", "));
                self.error(what, "Let the bus port (the data port plus 10000 unless set otherwise) through, both ways.");
            }
        }
    }

    fn epochs(&mut self) {
        let mut owners: BTreeMap<u64, Vec<String>> = BTreeMap::new();
        for node in self.serving() {
            owners
                .entry(node.config_epoch)
                .or_default()
                .push(node.address.to_string());
        }
        for (epoch, names) in owners.into_iter().filter(|(_, names)| names.len() > 1) {
            let what = format!(
                "{} have the same config epoch {epoch}.",
                names.join(" and ")
            );
            self.error(
                what,
                "It sorts itself out within seconds while they reach each other; look again.",
            );
        }
        let states = self.fields(|vitals| &vitals.info, "cluster_state");
        for (id, state) in states.into_iter().filter(|(_, state)| state != "ok") {
            let what = format!(
                "{} does not serve: its cluster state is {state}.",
                self.label(&id)
            );
            self.error(what, "It serves once all slots have an owner that it reaches, and a majority of masters.");
        }
    }

    fn shape(&mut self) {
        let masters = self.serving().len();
        if masters > 0 && masters < 3 {
            let what = format!(
                "There are only {masters} masters with slots: no failover can be agreed on once one is gone."
            );
            self.warning(what, "Have at least three masters.");
        } else if masters.is_multiple_of(2) && masters > 0 {
            let what = format!(
                "There are {masters} masters: of two halves that lose each other, none can go on."
            );
            self.warning(what, "Have an odd number of masters.");
        }
    }

    fn versions(&mut self) {
        let versions: BTreeSet<String> = ["valkey_version", "tern_version", "redis_version"]
            .into_iter()
            .map(|name| {
                self.fields(|vitals| &vitals.info, name)
                    .into_values()
                    .collect()
            })
            .find(|versions: &BTreeSet<String>| !versions.is_empty())
            .unwrap_or_default();
        if versions.len() > 1 {
            let versions: Vec<String> = versions.into_iter().collect();
            let what = format!("Nodes run different versions: {}.", versions.join(", "));
            self.warning(
                what,
                "Finish the upgrade: a newer master's data may be unreadable to an older replica.",
            );
        }
    }

    fn hosts(&mut self) {
        let snapshot = &self.facts.snapshot;
        let hosts: BTreeSet<&str> = snapshot
            .nodes
            .iter()
            .map(|node| node.address.host.as_str())
            .collect();
        if hosts.len() < 2 {
            let what = "All nodes are on one host.".to_owned();
            self.warning(
                what,
                "Fine for trials; else spread them over at least three hosts.",
            );
            return;
        }
        let serving = self.serving();
        for host in &hosts {
            let here = serving
                .iter()
                .filter(|node| node.address.host == *host)
                .count();
            if here * 2 >= serving.len() && serving.len() > 1 {
                let what = format!(
                    "{here} of {} masters are on host {host}: without it no majority is left.",
                    serving.len()
                );
                self.warning(
                    what,
                    "Let replicas elsewhere take their place (CLUSTER FAILOVER).",
                );
            }
        }
        let mut together = Vec::new();
        for master in &serving {
            let replicas = snapshot
                .nodes
                .iter()
                .filter(|node| node.master.as_ref() == Some(&master.id));
            let mut hosts = replicas.map(|node| &node.address.host).peekable();
            if hosts.peek().is_some() && hosts.all(|host| *host == master.address.host) {
                together.push(master.address.to_string());
            }
        }
        if !together.is_empty() {
            let what = format!(
                "All replicas of {} are on their master's own host.",
                together.join(", ")
            );
            self.warning(what, "Give them a replica on another host.");
        }
    }

    fn replicas(&mut self) {
        let snapshot = &self.facts.snapshot;
        let bare: Vec<String> = self
            .serving()
            .iter()
            .filter(|node| snapshot.replica_count(&node.id) == 0)
            .map(|node| node.address.to_string())
            .collect();
        if !bare.is_empty() && !self.facts.is_group {
            let what = format!(
                "No replica of {} can be reached: their slots fail with them.",
                bare.join(", ")
            );
            self.warning(what, "Add replicas with trib add-node --slave.");
        }
        for node in snapshot.nodes.iter().filter(|node| node.master.is_some()) {
            let (name, down) = (
                &node.address,
                self.info(&node.id, "master_link_status") == Some("down"),
            );
            let lag = node.master.as_ref().and_then(|master| {
                let sent = self.number(master, "master_repl_offset")?;
                Some(sent - self.number(&node.id, "slave_repl_offset")?)
            });
            if down {
                let what = format!("Replica {name} has no link to its master.");
                self.error(what, "Look into both logs: a password, a full copy that is cut again and again, the network.");
            } else if let Some(lag) = lag.filter(|lag| *lag > LAG_BYTES) {
                let what = format!(
                    "Replica {name} lacks {} of its master's stream.",
                    crate::progress::size(lag.unsigned_abs())
                );
                self.warning(what, "It would lose that much as a new master. Look at its disk, its cores and the network.");
            }
        }
    }

    fn disks(&mut self) {
        for id in self.facts.vitals.keys().cloned().collect::<Vec<_>>() {
            let name = self.label(&id);
            for (field, what) in [
                ("rdb_last_bgsave_status", "its last background save failed"),
                (
                    "aof_last_bgrewrite_status",
                    "its last rewrite of the append-only file failed",
                ),
                (
                    "aof_last_write_status",
                    "it could not write its append-only file",
                ),
            ] {
                if self.info(&id, field).is_some_and(|status| status != "ok") {
                    self.error(format!("{name}: {what}."), "Look into its log, at the free space of its disk, and at the rights of its folder.");
                }
            }
            if self
                .number(&id, "aof_delayed_fsync")
                .is_some_and(|count| count > 0)
            {
                let what = format!("{name}: its disk was too slow for its append-only file.");
                self.warning(what, "A node timeout must be longer than an fsync takes; give it a faster disk of its own.");
            }
        }
        let masters: Vec<NodeId> = self.serving().iter().map(|node| node.id.clone()).collect();
        let volatile = masters.iter().filter(|id| {
            self.config(id, "appendonly") == Some("no") && self.config(id, "save") == Some("")
        });
        let volatile: Vec<String> = volatile.map(|id| self.label(id)).collect();
        if !volatile.is_empty() {
            let what = format!("{} keep nothing on disk.", volatile.join(", "));
            self.warning(what, "If something starts them again by itself before a failover, they come back empty, and so do their replicas. Set appendonly yes, or do not start them by themselves.");
        }
    }

    fn memory(&mut self) {
        for id in self.facts.vitals.keys().cloned().collect::<Vec<_>>() {
            let (used, most) = (
                self.number(&id, "used_memory"),
                self.number(&id, "maxmemory"),
            );
            let (Some(used), Some(most)) = (used, most.filter(|most| *most > 0)) else {
                continue;
            };
            if u128::from(used.unsigned_abs()) * 100
                > u128::from(most.unsigned_abs()) * SCARCE_PERCENT
            {
                let what = format!(
                    "{} uses more than {SCARCE_PERCENT} % of its maxmemory.",
                    self.label(&id)
                );
                self.warning(what, "Add masters and run trib rebalance, or raise maxmemory where the machine has more.");
            }
        }
    }

    /// Settings that all nodes must have alike, and some that are unwise.
    fn settings(&mut self) {
        for name in [
            "cluster-node-timeout",
            "cluster-require-full-coverage",
            "maxmemory-policy",
        ] {
            let values = self.fields(|vitals| &vitals.config, name);
            let different: BTreeSet<&String> = values.values().collect();
            if different.len() > 1 {
                let values: Vec<String> = values
                    .iter()
                    .map(|(id, value)| format!("{} {value}", self.label(id)))
                    .collect();
                let what = format!("Nodes differ in {name}: {}.", values.join(", "));
                self.warning(
                    what,
                    "Set it alike everywhere; trib set-timeout and trib call do that.",
                );
            }
        }
        let timeouts = self.fields(|vitals| &vitals.config, "cluster-node-timeout");
        let shortest = timeouts
            .values()
            .filter_map(|value| value.parse::<u64>().ok())
            .min();
        if let Some(millis) = shortest.filter(|millis| *millis < 1000) {
            let what = format!(
                "The node timeout is {millis} ms: a slow disk or a long command looks like death."
            );
            self.warning(what, "Set at least some seconds with trib set-timeout.");
        }
    }

    fn clocks(&mut self) {
        let clocks: Vec<(NodeId, i64)> = self
            .facts
            .vitals
            .iter()
            .filter_map(|(id, vitals)| Some((id.clone(), vitals.clock?)))
            .collect();
        let first = clocks.iter().min_by_key(|(_, clock)| *clock);
        let last = clocks.iter().max_by_key(|(_, clock)| *clock);
        let (Some((behind, least)), Some((ahead, most))) = (first, last) else {
            return;
        };
        let apart = Duration::from_millis(most.abs_diff(*least));
        if apart > CLOCK_TOLERANCE {
            let (ahead, behind) = (self.label(ahead), self.label(behind));
            let what = format!(
                "The clock of {ahead} is {:.1} s ahead of that of {behind}.",
                apart.as_secs_f64()
            );
            self.warning(
                what,
                "Let both follow the same time servers: keys expire by the clock of their master.",
            );
        }
    }
}
