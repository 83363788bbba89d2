//! `doctor`: what is wrong with a cluster, or with servers that are none, in sentences.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use client::{Command, Value};

use super::check::SETTLE;
use crate::diagnosis::{Facts, Severity, Vitals, diagnose};
use crate::{App, Cluster, Error, wait};

/// Directives that the diagnosis looks at.
const DIRECTIVES: [&str; 5] = [
    "appendonly",
    "save",
    "cluster-node-timeout",
    "cluster-require-full-coverage",
    "maxmemory-policy",
];

/// Prints all that is wrong and what to do about it. Nothing is changed.
///
/// # Errors
///
/// The cluster cannot be reached; [`Error::Unhealthy`] where something is wrong now (not for warnings).
pub async fn doctor(app: &mut App, entry: &str) -> Result<(), Error> {
    let mut cluster =
        Cluster::load_or_group(&entry.parse()?, &app.settings, &mut app.console).await?;
    if !cluster.is_group {
        wait::agreed_within(&mut cluster, &mut app.console, SETTLE).await?;
        cluster.reload().await?;
    }
    let facts = examine(&mut cluster).await?;
    let findings = diagnose(&facts);
    for finding in &findings {
        let mark = match finding.severity {
            Severity::Error => "[ERR]",
            Severity::Warning => "[WARNING]",
        };
        app.console.line(&format!("{mark} {}", finding.what));
        app.console.line(&format!("    {}", finding.advice));
    }
    let errors = findings
        .iter()
        .filter(|finding| finding.severity == Severity::Error)
        .count();
    if errors > 0 {
        return Err(Error::Unhealthy);
    }
    let nodes = facts.snapshot.nodes.len();
    let (these, all) = match (facts.is_group, nodes) {
        (true, 1) => ("this server".to_owned(), "The server".to_owned()),
        (true, _) => (
            format!("these {nodes} servers"),
            format!("The group of {nodes} servers"),
        ),
        (false, _) => (
            format!("these {nodes} nodes"),
            format!("The cluster of {nodes} nodes"),
        ),
    };
    app.console.line(&match findings.len() {
        0 => format!("[OK] Nothing is wrong with {these}, as far as can be seen from here."),
        1 => format!("[OK] {all} works; one thing could be better."),
        count => format!("[OK] {all} works; {count} things could be better."),
    });
    Ok(())
}

async fn examine(cluster: &mut Cluster) -> Result<Facts, Error> {
    let mut vitals: BTreeMap<_, Vitals> = BTreeMap::new();
    for ask in [["INFO"].as_slice(), &["CLUSTER", "INFO"]] {
        for (id, reply) in cluster.broadcast(&Command::from(ask)).await {
            let text = reply?;
            let node = vitals.entry(id).or_default();
            node.info.extend(fields(text.as_str().unwrap_or_default()));
        }
    }
    for name in DIRECTIVES {
        for (id, reply) in cluster
            .broadcast(&Command::from(["CONFIG", "GET", name]))
            .await
        {
            if let Some(value) = reply?.field(name).and_then(Value::as_str) {
                let node = vitals.entry(id).or_default();
                node.config.insert(name.to_owned(), value.to_owned());
            }
        }
    }
    for id in vitals.keys().cloned().collect::<Vec<_>>() {
        // Halfway between question and answer is when the clock was read.
        let before = now_millis();
        let reply = cluster.pipeline(&id, [Command::new("TIME")]).await?;
        let here = i64::midpoint(before, now_millis());
        let there = reply.first().and_then(read_time);
        if let Some(node) = vitals.get_mut(&id) {
            node.clock = there.map(|there| there.saturating_sub(here));
        }
    }
    let reasons = cluster.snapshot.missing.iter();
    let reasons = reasons
        .map(|node| (node.id.clone(), cluster.reason(&node.id).to_owned()))
        .collect();
    Ok(Facts {
        views: if cluster.is_group {
            BTreeMap::new()
        } else {
            cluster.views().await?
        },
        is_group: cluster.is_group,
        snapshot: cluster.snapshot.clone(),
        vitals,
        reasons,
    })
}

fn now_millis() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Seconds and microseconds as TIME answers them, in milliseconds.
fn read_time(reply: &Value) -> Option<i64> {
    let [seconds, micros] = reply.as_array()? else {
        return None;
    };
    let number = |value: &Value| value.as_str()?.parse::<i64>().ok();
    number(seconds)?
        .checked_mul(1000)?
        .checked_add(number(micros)? / 1000)
}

/// The `field:value` lines of INFO.
pub(crate) fn fields(text: &str) -> impl Iterator<Item = (String, String)> + '_ {
    let lines = text.lines().filter_map(|line| line.trim().split_once(':'));
    lines.map(|(name, value)| (name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_read_in_milliseconds() {
        let word = |text: &str| Value::Bulk(text.to_owned().into());
        let time = |words: &[&str]| {
            read_time(&Value::Array(words.iter().map(|text| word(text)).collect()))
        };
        assert_eq!(time(&["12", "345678"]), Some(12_345));
        assert_eq!(time(&["12"]), None);
        assert_eq!(time(&["9223372036854775807", "0"]), None);
    }
}
