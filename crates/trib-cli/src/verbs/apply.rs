//! `apply`: the cluster becomes what a file describes.

use std::collections::BTreeMap;
use std::path::Path;

use super::check::check_cluster;
use super::create::is_empty;
use crate::cluster::probe_bus;
use crate::plan::{self, Description};
use crate::snapshot::{Node, NodeId, Snapshot};
use crate::{App, Cluster, Error};

/// Plans the way to the described cluster and, unless only the plan is wanted, goes it.
///
/// # Errors
///
/// The file, a node or the cluster is not fit (then nothing was changed), the user says no, or a step fails.
pub async fn apply(app: &mut App, file: &Path, only_plan: bool) -> Result<(), Error> {
    let text = std::fs::read_to_string(file).map_err(|error| Error::file(file, &error))?;
    let description = Description::from_yaml(&text).map_err(|reason| Error::File {
        path: file.to_owned(),
        reason,
    })?;
    let survey = survey(app, &description).await?;
    let Survey {
        mut cluster,
        existing,
        fresh,
        weights,
    } = survey;
    let plan = plan::apply(&description, existing.as_ref(), &fresh, &weights)?;
    for note in &plan.notes {
        app.console.line(&format!("*** {note}"));
    }
    if plan.steps.is_empty() {
        app.console.line("[OK] The cluster is as described.");
        return Ok(());
    }
    let actions: Vec<_> = plan
        .steps
        .iter()
        .filter(|step| !matches!(step, plan::Step::Say(_)))
        .collect();
    app.console
        .line(&format!(">>> Plan of {} steps", actions.len()));
    for step in actions {
        let line = with_addresses(&step.to_string(), &cluster.snapshot);
        app.console.line(&format!("    {line}"));
    }
    if only_plan {
        return Ok(());
    }
    for node in &fresh {
        probe_bus(node, &app.settings).await?;
    }
    app.confirm("Carry out this plan?").await?;
    app.run(&mut cluster, plan.steps).await?;
    let findings = check_cluster(app, &mut cluster, true).await?;
    if findings.clean() {
        Ok(())
    } else {
        Err(Error::Unhealthy)
    }
}

/// What the described nodes are now.
struct Survey {
    /// Connections to the existing cluster and to all described nodes.
    cluster: Cluster,
    /// The existing cluster alone.
    existing: Option<Snapshot>,
    /// Described nodes that are in no cluster.
    fresh: Vec<Node>,
    /// Weights of the described nodes.
    weights: BTreeMap<NodeId, f64>,
}

async fn survey(app: &mut App, description: &Description) -> Result<Survey, Error> {
    let mut addresses = Vec::new();
    for node in &description.nodes {
        addresses.push((node.address()?, node.weight()));
    }
    let entry = addresses.first().map(|(address, _)| address.clone());
    let entry = entry.ok_or(plan::PlanError::TooFewNodes {
        nodes: 0,
        replicas: description.replicas,
    })?;
    let mut described = Cluster::empty(entry, app.settings.clone());
    let (mut fresh, mut members, mut weights) = (Vec::new(), Vec::new(), BTreeMap::new());
    for (address, weight) in addresses {
        let view = described.join(&address).await?;
        let Some(own) = described.snapshot.nodes.last().cloned() else {
            continue;
        };
        weights.insert(own.id.clone(), weight);
        if is_empty(&mut described, &view).await? {
            fresh.push(own);
        } else if view.len() > 1 {
            members.push((own.id, address));
        } else {
            return Err(Error::NotEmpty(address.to_string()));
        }
    }
    let Some((_, entry)) = members.first() else {
        return Ok(Survey {
            cluster: described,
            existing: None,
            fresh,
            weights,
        });
    };
    let mut cluster = Cluster::load(entry, &app.settings, &mut app.console).await?;
    let stranger = members
        .iter()
        .find(|(id, _)| cluster.snapshot.node(id).is_none());
    if let Some((_, address)) = stranger {
        return Err(Error::Refused(format!(
            "[ERR] {address} is in another cluster than {entry}"
        )));
    }
    let existing = cluster.snapshot.clone();
    for node in &fresh {
        cluster.join(&node.address).await?;
    }
    Ok(Survey {
        cluster,
        existing: Some(existing),
        fresh,
        weights,
    })
}

/// Puts addresses where a plan speaks of ids.
fn with_addresses(line: &str, snapshot: &Snapshot) -> String {
    let mut line = line.to_owned();
    for node in &snapshot.nodes {
        line = line.replace(node.id.as_str(), &node.address.to_string());
    }
    line
}
