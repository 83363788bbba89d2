//! Who the hosts of a run are to one another, and how they are configured.

use std::cell::Cell;
use std::rc::Rc;

use super::PORT;
use super::disk::Shared;
use super::process::{self, Bug, address};
use crate::sim::Rng;

/// Where every sentinel listens.
const SENTINEL_PORT: u16 = 26379;
/// How many sentinels watch a group.
pub const SENTINELS: usize = 3;

/// Who the servers are to one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// There is one.
    Single,
    /// A primary and its replicas, and somebody who fails over by hand.
    Operated,
    /// A primary and its replicas, and three sentinels.
    Watched,
    /// A cluster.
    Cluster,
}

impl Kind {
    /// All there are.
    pub const ALL: [Self; 4] = [Self::Single, Self::Operated, Self::Watched, Self::Cluster];

    /// Its name for the `sim` binary.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Operated => "operated",
            Self::Watched => "watched",
            Self::Cluster => "cluster",
        }
    }
}

/// A kind, and how many servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Group {
    /// Who they are to one another.
    pub kind: Kind,
    /// How many primaries. They are the first hosts.
    pub primaries: usize,
    /// How many replicas each of them has.
    pub replicas: usize,
}

impl Group {
    /// A group, of this kind if one is wanted.
    pub fn draw(rng: &mut Rng, wanted: Option<Kind>) -> Self {
        let kinds = [
            Kind::Single,
            Kind::Operated,
            Kind::Operated,
            Kind::Watched,
            Kind::Watched,
            Kind::Cluster,
            Kind::Cluster,
        ];
        let drawn = kinds[rng.index(kinds.len())];
        let kind = wanted.unwrap_or(drawn);
        let (primaries, replicas) = match kind {
            Kind::Single => (1, 0),
            Kind::Operated | Kind::Watched => (1, 2),
            Kind::Cluster => [(3, 1), (3, 1), (3, 2), (5, 1)][rng.index(4)],
        };
        Self {
            kind,
            primaries,
            replicas,
        }
    }

    /// How many servers.
    #[must_use]
    pub fn servers(self) -> usize {
        self.primaries * (1 + self.replicas)
    }

    /// Whether it is a cluster.
    #[must_use]
    pub fn is_cluster(self) -> bool {
        self.kind == Kind::Cluster
    }

    /// How many sentinels.
    #[must_use]
    pub fn sentinels(self) -> usize {
        if self.kind == Kind::Watched {
            SENTINELS
        } else {
            0
        }
    }

    /// The servers as they are set up, all with the same configuration.
    pub fn setups(self, rng: &mut Rng, bug: Bug) -> Vec<process::Setup> {
        let (config, always) = self.config(rng);
        let setup = |host: usize| {
            let primary = (!self.is_cluster() && host > 0).then_some(0);
            let mut config = config.clone();
            if let Some(primary) = primary.filter(|_| self.kind == Kind::Watched) {
                config += &format!("replicaof {} {PORT}\n", address(primary).ip());
            }
            process::Setup {
                host,
                config,
                disk: Shared::new(rng.next_u64()),
                follows: Rc::new(Cell::new(primary.filter(|_| self.kind == Kind::Operated))),
                generation: Rc::default(),
                starts: Rc::default(),
                always,
                keeps_all: Rc::default(),
                bug,
            }
        };
        (0..self.servers()).map(setup).collect()
    }

    /// How the servers are configured, and whether they sync before they answer.
    fn config(self, rng: &mut Rng) -> (String, bool) {
        fn of(rng: &mut Rng, values: &[&'static str]) -> &'static str {
            values[rng.index(values.len())]
        }
        let fsync = of(rng, &["always", "always", "everysec", "off"]);
        let mut lines = vec![
            format!("port {PORT}"),
            "protected-mode no".to_owned(),
            "enable-debug-command yes".to_owned(),
            "repl-timeout 10".to_owned(),
            "repl-ping-replica-period 2".to_owned(),
        ];
        if fsync != "off" {
            lines.push("appendonly yes".to_owned());
            lines.push(format!("appendfsync {fsync}"));
        }
        if self.is_cluster() {
            lines.push("cluster-enabled yes".to_owned());
            lines.push("cluster-node-timeout 2000".to_owned());
        }
        for (name, values) in [
            ("save", &["\"\"", "5 10", "2 1"][..]),
            ("repl-diskless-sync", &["yes", "no"]),
            ("repl-diskless-sync-delay", &["0", "1"]),
            ("repl-backlog-size", &["16kb", "64kb", "1mb"]),
            ("aof-use-rdb-preamble", &["yes", "no"]),
            ("auto-aof-rewrite-min-size", &["512", "4kb", "32kb", "64mb"]),
            ("auto-aof-rewrite-percentage", &["10", "100"]),
            ("stop-writes-on-bgsave-error", &["yes", "no"]),
            (
                "client-output-buffer-limit replica",
                &["256mb 64mb 60", "128kb 64kb 5"],
            ),
        ] {
            lines.push(format!("{name} {}", of(rng, values)));
        }
        if self.replicas > 0 && rng.percent(15) {
            lines.push("min-replicas-to-write 1".to_owned());
        }
        let loads = ["disabled", "on-empty-db", "swapdb", "flush-before-load"];
        lines.push(format!("repl-diskless-load {}", of(rng, &loads)));
        lines.push(String::new());
        (lines.join("\n"), fsync == "always")
    }
}

/// The sentinel.conf of a sentinel's first start.
pub fn sentinel_config(rng: &mut Rng, saturation: bool) -> String {
    let down_after_ms = [1_000, 2_000, 4_000][rng.index(3)];
    let failover_timeout_ms = [6_000, 20_000][rng.index(2)];
    let primary = address(0).ip();
    let saturation = if saturation {
        "sentinel saturation-threshold mymaster 300\nsentinel saturation-failover mymaster yes\n"
    } else {
        ""
    };
    format!(
        "port {SENTINEL_PORT}\nsentinel monitor mymaster {primary} {PORT} 2\n\
         sentinel down-after-milliseconds mymaster {down_after_ms}\n\
         sentinel failover-timeout mymaster {failover_timeout_ms}\n\
         sentinel vote-without-disk no\n{saturation}"
    )
}
