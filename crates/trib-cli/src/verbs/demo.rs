//! A small load, so that there is something to see: counters, strings with an expiry, lists and streams on every master.

use std::io;
use std::time::Duration;

use client::{Command, Connection};
use tokio::time::{Instant, interval};

use crate::cluster::open;
use crate::slots::key_slot;
use crate::snapshot::Node;
use crate::{Address, Cluster, Console, Error, Settings};

/// Between two rounds; each sends one request of every kind for every name.
const PERIOD: Duration = Duration::from_millis(50);
/// Names of each master.
const NAMES: usize = 8;

/// What one master gets.
struct Share {
    link: Connection,
    names: Vec<String>,
}

/// Puts the load on the cluster for so long. A failover in between is waited for.
///
/// # Errors
/// The cluster cannot be reached at first.
pub async fn demo(entry: &Address, settings: &Settings, time: Duration) -> Result<u64, Error> {
    let end = Instant::now() + time;
    let mut ticks = interval(PERIOD);
    let mut shares = share(entry, settings).await?;
    let (mut round, mut replies) = (0_u64, 0);
    while Instant::now() < end {
        ticks.tick().await;
        round += 1;
        let mut failed = false;
        for share in &mut shares {
            match share.round(round).await {
                Ok(count) => replies += count,
                Err(_) => failed = true,
            }
        }
        if failed {
            // A master is gone: who has its slots now is asked until somebody has.
            shares = share(entry, settings).await.unwrap_or(shares);
        }
    }
    Ok(replies)
}

async fn share(entry: &Address, settings: &Settings) -> Result<Vec<Share>, Error> {
    let mut nobody = Console::new(Box::new(io::empty()), Box::new(io::sink()), false);
    let cluster = Cluster::load(entry, settings, &mut nobody).await?;
    let mut shares = Vec::new();
    let masters = cluster.snapshot.masters();
    for master in masters.filter(|master| !master.slots.is_empty()) {
        shares.push(Share {
            link: open(&master.address, settings).await?,
            names: names(master),
        });
    }
    Ok(shares)
}

/// Names whose keys are in this master's slots.
fn names(master: &Node) -> Vec<String> {
    let all = (0..100_000_u32).map(|number| number.to_string());
    all.filter(|name| master.slots.contains(key_slot(name.as_bytes())))
        .take(NAMES)
        .collect()
}

impl Share {
    async fn round(&mut self, round: u64) -> Result<u64, Error> {
        let requests: Vec<Command> = self
            .names
            .iter()
            .flat_map(|name| requests(name, round))
            .collect();
        let replies = self.link.pipeline(requests).await?;
        let good = replies.iter().filter(|reply| reply.as_error().is_none());
        let count = good.count();
        if count < replies.len() {
            let first = replies.iter().find_map(|reply| reply.as_error());
            return Err(Error::Refused(first.unwrap_or_default().to_owned()));
        }
        Ok(count as u64)
    }
}

fn requests(name: &str, round: u64) -> Vec<Command> {
    let key = |kind: &str| format!("demo:{{{name}}}:{kind}");
    let number = round.to_string();
    vec![
        Command::new("INCR").arg(key("visits")),
        Command::new("SET")
            .arg(key("session"))
            .arg(&number)
            .arg("EX")
            .arg("60"),
        Command::new("GET").arg(key("session")),
        Command::new("LPUSH").arg(key("latest")).arg(&number),
        Command::new("LTRIM").arg(key("latest")).arg("0").arg("99"),
        Command::new("XADD")
            .arg(key("events"))
            .arg("MAXLEN")
            .arg("~")
            .arg("1000")
            .arg("*")
            .arg("round")
            .arg(&number),
    ]
}
