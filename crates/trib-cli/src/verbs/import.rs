//! `import`: the keys of a server outside go to the nodes that own their slots.

use std::collections::BTreeMap;

use client::{Command, Connection, Value};

use super::check::check_cluster;
use crate::cluster::open;
use crate::slots::key_slot;
use crate::snapshot::NodeId;
use crate::{Address, App, Cluster, Error, Settings, Slot};

/// Keys asked of one SCAN.
const SCAN_COUNT: &str = "1000";

/// How keys are taken over.
#[derive(Clone, Debug, Default)]
pub struct ImportOptions {
    /// The server outside.
    pub from: String,
    /// Leave the keys there too.
    pub copy: bool,
    /// Replace keys that are in the cluster already.
    pub replace: bool,
    /// Who logs in at the source, if not the default user.
    pub from_user: Option<String>,
    /// The source's password. The cluster's own is not sent there.
    pub from_password: Option<String>,
}

/// Moves (or copies) all keys of database 0 of a server into a cluster.
///
/// # Errors
///
/// One of both cannot be reached, the source is in a cluster itself, a slot has no owner, or keys could not be
/// taken over (each was told of).
pub async fn import(app: &mut App, entry: &str, options: &ImportOptions) -> Result<(), Error> {
    let from: Address = options.from.parse()?;
    app.console.line(&format!(
        ">>> Importing data from {from} to cluster {entry}"
    ));
    let mut cluster = app.load(entry).await?;
    let findings = check_cluster(app, &mut cluster, true).await?;
    if !findings.clean() {
        return Err(Error::Refused(
            "*** Please fix your cluster problems before importing".into(),
        ));
    }
    app.console
        .line(">>> Connecting to the source Redis instance");
    let settings = Settings {
        user: options.from_user.clone(),
        password: options.from_password.clone(),
        ..app.settings.clone()
    };
    let mut source = open(&from, &settings).await?;
    let info = source.query(["INFO", "cluster"]).await?;
    if info
        .as_str()
        .is_some_and(|text| text.contains("cluster_enabled:1"))
    {
        return Err(Error::Refused(
            "[ERR] The source node should not be a cluster node.".into(),
        ));
    }
    let total = source.query(["DBSIZE"]).await?.as_int().unwrap_or(0);
    app.console
        .line(&format!("*** Importing {total} keys from DB 0"));
    let owners = owners(&cluster);
    let (mut cursor, mut failed) = (b"0".to_vec(), 0_usize);
    loop {
        let scan = Command::new("SCAN")
            .arg(&cursor)
            .arg("COUNT")
            .arg(SCAN_COUNT);
        let (next, keys) = read_scan(source.query(scan).await?, &from)?;
        failed += migrate(app, &cluster, &mut source, &owners, keys, options).await?;
        cursor = next;
        if cursor == b"0" {
            break;
        }
    }
    if failed > 0 {
        return Err(Error::Refused(format!(
            "[ERR] {failed} keys could not be imported"
        )));
    }
    Ok(())
}

fn owners(cluster: &Cluster) -> BTreeMap<Slot, NodeId> {
    let of = |node: &crate::snapshot::Node| -> Vec<(Slot, NodeId)> {
        node.slots
            .iter()
            .map(|slot| (slot, node.id.clone()))
            .collect()
    };
    cluster.snapshot.masters().flat_map(of).collect()
}

fn read_scan(reply: Value, from: &Address) -> Result<(Vec<u8>, Vec<Value>), Error> {
    let bad = || Error::BadReply {
        address: from.to_string(),
        problem: "SCAN answered no cursor and keys".into(),
    };
    let mut parts = reply.into_array().map_err(|_| bad())?.into_iter();
    let cursor = parts
        .next()
        .and_then(|cursor| cursor.as_bytes().map(<[u8]>::to_vec))
        .ok_or_else(bad)?;
    let keys = parts
        .next()
        .and_then(|keys| keys.into_array().ok())
        .ok_or_else(bad)?;
    Ok((cursor, keys))
}

/// Sends one SCAN's keys, one MIGRATE each, all in one pipeline. How many failed.
///
/// One key a command: only so each key's own error is known.
async fn migrate(
    app: &mut App,
    cluster: &Cluster,
    source: &mut Connection,
    owners: &BTreeMap<Slot, NodeId>,
    keys: Vec<Value>,
    options: &ImportOptions,
) -> Result<usize, Error> {
    let mut commands = Vec::new();
    let mut lines = Vec::new();
    for key in keys {
        let Some(key) = key.as_bytes() else { continue };
        let slot = key_slot(key);
        let owner = owners.get(&slot).and_then(|id| cluster.snapshot.node(id));
        let owner =
            owner.ok_or_else(|| Error::Refused(format!("[ERR] Slot {slot} has no owner")))?;
        let Address { host, port } = &owner.address;
        let millis = app.migrate_timeout.as_millis().to_string();
        let command = Command::new("MIGRATE")
            .arg(host)
            .number(*port)
            .arg(key)
            .arg("0")
            .arg(millis);
        let words = [("COPY", options.copy), ("REPLACE", options.replace)];
        let command = command.args(words.iter().filter(|(_, set)| *set).map(|(word, _)| word));
        commands.push(command.args(app.settings.migrate_login()));
        lines.push(format!(
            "Migrating {} to {}: ",
            String::from_utf8_lossy(key),
            owner.address
        ));
    }
    source.set_limit(app.migrate_timeout.saturating_mul(2));
    let replies = source.pipeline(commands).await?;
    let mut failed = 0;
    for (line, reply) in lines.into_iter().zip(replies) {
        let refusal = reply.as_error();
        failed += usize::from(refusal.is_some());
        if !app.console.live() || refusal.is_some() || app.console.verbose() {
            app.console
                .line(&format!("{line}{}", refusal.unwrap_or("OK")));
        }
    }
    Ok(failed)
}
