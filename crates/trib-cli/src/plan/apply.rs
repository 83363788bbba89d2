//! A cluster as a file describes it, and what is missing to get there.

use std::collections::{BTreeMap, BTreeSet};

use serde_yaml::Value;

use super::create::create;
use super::error::PlanError;
use super::rebalance::{Rebalance, RebalanceOptions, rebalance};
use super::step::{Condition, MoveMode, Step};
use crate::Address;
use crate::snapshot::{Node, NodeId, Snapshot};

/// What a cluster shall look like.
#[derive(Clone, Debug, PartialEq)]
pub struct Description {
    /// Replicas of each master.
    pub replicas: usize,
    /// Deviation in percent below which slots stay where they are.
    pub threshold: f64,
    /// All nodes.
    pub nodes: Vec<DescribedNode>,
}

/// One node of a description: `host:port`, alone or with a weight.
#[derive(Clone, Debug, PartialEq)]
pub enum DescribedNode {
    /// Only the address.
    Plain(String),
    /// The address and more.
    Full {
        /// `host:port`
        address: String,
        /// Its part of the slots while it is a master, beside 1 for the others.
        weight: f64,
    },
}

const DEFAULT_WEIGHT: f64 = 1.0;
const DEFAULT_THRESHOLD: f64 = 2.0;

impl Description {
    /// Reads a description.
    ///
    /// # Errors
    ///
    /// What is wrong with it, in the words of who wrote it.
    pub fn from_yaml(text: &str) -> Result<Self, String> {
        let value: Value = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
        let Value::Mapping(fields) = value else {
            return Err(
                "a description begins with fields such as 'replicas: 1' and 'nodes:'".into(),
            );
        };
        let (mut replicas, mut threshold, mut nodes) = (0, DEFAULT_THRESHOLD, None);
        for (name, value) in fields {
            match name.as_str() {
                Some("replicas") => replicas = whole_number("replicas", &value)?,
                Some("threshold") => threshold = number("threshold", &value)?,
                Some("nodes") => nodes = Some(described_nodes(value)?),
                _ => {
                    let name = shown(&name);
                    return Err(format!(
                        "no field is called {name}; there are replicas, threshold and nodes"
                    ));
                }
            }
        }
        let nodes = nodes.ok_or("the field 'nodes' is missing: a list of addresses")?;
        Ok(Self {
            replicas,
            threshold,
            nodes,
        })
    }
}

fn described_nodes(value: Value) -> Result<Vec<DescribedNode>, String> {
    let Value::Sequence(items) = value else {
        return Err(format!(
            "nodes: a list of addresses is expected, not {}",
            shown(&value)
        ));
    };
    (1..)
        .zip(items)
        .map(|(place, item)| described_node(place, item))
        .collect()
}

fn described_node(place: usize, value: Value) -> Result<DescribedNode, String> {
    let fields = match value {
        Value::String(address) => return Ok(DescribedNode::Plain(address)),
        Value::Mapping(fields) => fields,
        other => {
            return Err(format!(
                "node {place}: an address is expected, not {}",
                shown(&other)
            ));
        }
    };
    let (mut address, mut weight) = (None, DEFAULT_WEIGHT);
    for (name, value) in fields {
        match (name.as_str(), value) {
            (Some("address"), Value::String(text)) => address = Some(text),
            (Some("address"), other) => {
                return Err(format!(
                    "node {place}: an address is expected, not {}",
                    shown(&other)
                ));
            }
            (Some("weight"), value) => weight = number(&format!("node {place}: weight"), &value)?,
            _ => {
                let name = shown(&name);
                return Err(format!(
                    "node {place}: no field is called {name}; there are address and weight"
                ));
            }
        }
    }
    let address = address.ok_or_else(|| format!("node {place}: its address is missing"))?;
    Ok(DescribedNode::Full { address, weight })
}

fn whole_number(name: &str, value: &Value) -> Result<usize, String> {
    let number = value
        .as_u64()
        .and_then(|number| usize::try_from(number).ok());
    number.ok_or_else(|| {
        format!(
            "{name}: a whole number from 0 up is expected, not {}",
            shown(value)
        )
    })
}

fn number(name: &str, value: &Value) -> Result<f64, String> {
    let number = value
        .as_f64()
        .filter(|number| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| {
        format!(
            "{name}: a number from 0 up is expected, not {}",
            shown(value)
        )
    })
}

/// A value as its writer would know it again.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "nothing".into(),
        Value::Bool(truth) => truth.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => format!("'{text}'"),
        Value::Sequence(_) => "a list".into(),
        _ => "fields".into(),
    }
}

impl DescribedNode {
    /// Where the node is.
    ///
    /// # Errors
    ///
    /// Text that is no address.
    pub fn address(&self) -> Result<Address, crate::Error> {
        match self {
            Self::Plain(address) | Self::Full { address, .. } => address.parse(),
        }
    }

    /// Its weight.
    #[must_use]
    pub fn weight(&self) -> f64 {
        match self {
            Self::Plain(_) => DEFAULT_WEIGHT,
            Self::Full { weight, .. } => *weight,
        }
    }
}

/// What leads to the described cluster.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ApplyPlan {
    /// What the file does not say and the plan does not touch.
    pub notes: Vec<String>,
    /// What to do; nothing when the cluster is as described.
    pub steps: Vec<Step>,
}

/// Plans the way from what there is to the description.
///
/// `cluster`: the existing cluster, if any of the described nodes is in one. `fresh`: described nodes that are
/// empty and in no cluster. `weights`: of all described nodes. Existing roles stay; new nodes become masters until
/// there are as many as the description has room for, then replicas of the masters with the fewest. Slots move
/// last. Nothing is ever removed.
///
/// # Errors
///
/// No valid cluster comes out of the description, or the existing one must be fixed first.
pub fn apply(
    description: &Description,
    cluster: Option<&Snapshot>,
    fresh: &[Node],
    weights: &BTreeMap<NodeId, f64>,
) -> Result<ApplyPlan, PlanError> {
    if let Some(weight) = weights
        .values()
        .find(|weight| !(weight.is_finite() && **weight >= 0.0))
    {
        return Err(PlanError::Weight(weight.to_string()));
    }
    let Some(cluster) = cluster else {
        let empty = Snapshot {
            nodes: fresh.to_vec(),
            missing: Vec::new(),
        };
        let steps = create(&empty, description.replicas, weights)?.steps(&empty);
        return Ok(ApplyPlan {
            notes: Vec::new(),
            steps,
        });
    };
    if !cluster.uncovered().is_empty() || !cluster.open_slots().is_empty() {
        let reason = "The cluster has open or uncovered slots: run fix first.";
        return Err(PlanError::Description(reason.into()));
    }
    let mut plan = ApplyPlan::default();
    let mut after = cluster.clone();
    grow(description, &mut after, fresh, &mut plan);
    note_differences(description, &after, weights, &mut plan);
    let options = RebalanceOptions {
        weights: weights.clone(),
        threshold: description.threshold,
        use_empty_masters: true,
    };
    if let Rebalance::Needed { shifts, .. } = rebalance(&after, &options)? {
        for shift in shifts.into_iter().filter(|shift| !shift.moves.is_empty()) {
            plan.steps.push(Step::Move {
                moves: shift.moves,
                mode: MoveMode::Live,
            });
        }
        plan.steps.push(Step::Await(Condition::Agreement));
    }
    Ok(plan)
}

/// Brings the fresh nodes in and gives each its role.
fn grow(description: &Description, after: &mut Snapshot, fresh: &[Node], plan: &mut ApplyPlan) {
    let Some(first) = after.nodes.first().map(|node| node.id.clone()) else {
        return;
    };
    if fresh.is_empty() {
        return;
    }
    let masters_wanted = description.nodes.len() / (description.replicas + 1);
    for node in fresh {
        plan.steps.push(Step::Meet {
            node: node.id.clone(),
            with: first.clone(),
        });
    }
    plan.steps.push(Step::Await(Condition::Joined));
    let (mut masters, mut replicas) = (after.masters().count(), Vec::new());
    for node in fresh {
        if masters < masters_wanted {
            masters += 1;
            after.nodes.push(node.clone());
        } else {
            replicas.push(node);
        }
    }
    for node in replicas {
        let elsewhere = |master: &Node| master.address.host != node.address.host;
        let best = after
            .masters()
            .min_by_key(|master| (after.replica_count(&master.id), !elsewhere(master)));
        let Some(master) = best.map(|master| master.id.clone()) else {
            continue;
        };
        plan.steps.push(Step::Replicate {
            node: node.id.clone(),
            master: master.clone(),
        });
        let mut node = node.clone();
        node.flags = vec!["slave".into()];
        node.master = Some(master);
        after.nodes.push(node);
    }
    plan.steps.push(Step::Await(Condition::Roles));
}

fn note_differences(
    description: &Description,
    after: &Snapshot,
    weights: &BTreeMap<NodeId, f64>,
    plan: &mut ApplyPlan,
) {
    let described: BTreeSet<&NodeId> = weights.keys().collect();
    for node in after
        .nodes
        .iter()
        .filter(|node| !described.contains(&node.id))
    {
        plan.notes.push(format!(
            "{} is in the cluster and not in the file: it stays",
            node.address
        ));
    }
    for master in after.masters() {
        let replicas = after.replica_count(&master.id);
        if replicas < description.replicas {
            let wanted = description.replicas;
            plan.notes.push(format!(
                "{} has {replicas} of {wanted} replicas",
                master.address
            ));
        }
    }
}
