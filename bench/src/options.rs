//! What the command line chooses: what is compared, what is measured, how long and how often.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

/// A part of the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Section {
    /// Throughput, CPU and latency of commands, at each pipeline length.
    Commands,
    /// Bytes per key and per element.
    Memory,
    /// Seconds to save and to load.
    Dump,
    /// Latency while a child saves, and while the keyspace grows.
    Tails,
    /// Memory of idle connections, and service among them.
    Idle,
}

/// The flags of `compare`.
#[derive(Debug, Clone, Args)]
pub struct Flags {
    /// Only these sections (commas between them)
    #[arg(long, value_delimiter = ',', value_enum)]
    pub only: Vec<Section>,
    /// Small numbers: minutes become seconds, and figures become rough
    #[arg(long)]
    pub quick: bool,
    /// Rounds, of which medians are taken [default: 5; quick: 3]
    #[arg(long)]
    pub rounds: Option<usize>,
    /// Seconds of one measurement [default: 1; quick: 0.25]
    #[arg(long)]
    pub seconds: Option<f64>,
    /// Connections speak RESP3
    #[arg(long)]
    pub resp3: bool,
    /// Servers are nodes of a cluster, each alone with all slots
    #[arg(long)]
    pub cluster: bool,
    /// The load goes through TLS, but for the server that does nothing
    #[arg(long)]
    pub tls: bool,
    /// Connections that send
    #[arg(long, default_value_t = 50)]
    pub connections: usize,
    /// Requests sent at once [default: 1,16,64; quick: 1,16]
    #[arg(long, value_delimiter = ',')]
    pub pipelines: Vec<usize>,
    /// Only these commands, by the names in the table (commas between them)
    #[arg(long, value_delimiter = ',')]
    pub commands: Vec<String>,
    /// Keys, and elements of a big collection [default: 1000000; quick: 100000]
    #[arg(long)]
    pub keys: Option<u64>,
    /// Bytes of a key
    #[arg(long, default_value_t = 16)]
    pub key_bytes: usize,
    /// Bytes of a value
    #[arg(long, default_value_t = 32)]
    pub value_bytes: usize,
    /// Keys that are saved while latency is measured [default: 5000000; quick: 500000]
    #[arg(long)]
    pub saved_keys: Option<u64>,
    /// Keys up to which the keyspace grows while latency is measured [default: 10 times --keys]
    #[arg(long)]
    pub grown_keys: Option<u64>,
    /// Idle connections [default: 20000; quick: 2000]
    #[arg(long)]
    pub idle: Option<u64>,
    /// Connections that send among the idle ones [default: 1000; quick: 200]
    #[arg(long)]
    pub active: Option<usize>,
    /// Seconds without a change after which memory counts as settled: Redis takes buffers back from idle clients after two
    #[arg(long, default_value_t = 3.5)]
    pub settle: f64,
    /// Our server [default: the one built beside this program]
    #[arg(long, value_name = "FILE")]
    pub server: Option<PathBuf>,
    /// One more server to compare with, besides redis-server and valkey-server in PATH (repeatable)
    #[arg(long, value_name = "FILE")]
    pub reference: Vec<PathBuf>,
    /// Compare with nothing
    #[arg(long)]
    pub alone: bool,
    /// The servers' core and the load generator's [default: the first and the last one allowed]
    #[arg(long, value_name = "SERVER,CLIENT")]
    pub cores: Option<String>,
    /// The first port to try [default: whichever is free]
    #[arg(long)]
    pub port: Option<u16>,
    /// Write the tables into a document, between its `measured` marks, too
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
    /// Write the chart of the commands
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
}

/// What the flags come to.
#[derive(Debug, Clone)]
pub struct Options {
    /// The sections, in order.
    pub sections: Vec<Section>,
    /// Whether only a rough picture is wanted.
    pub quick: bool,
    /// Rounds, of which medians are taken.
    pub rounds: usize,
    /// The length of one measurement.
    pub time: Duration,
    /// What goes before it unmeasured.
    pub warm_up: Duration,
    /// Connections speak RESP3.
    pub resp3: bool,
    /// Servers are nodes of a cluster, each alone with all slots.
    pub cluster: bool,
    /// Connections that send.
    pub connections: usize,
    /// Requests sent at once.
    pub pipelines: Vec<usize>,
    /// The names of the commands measured; all where there is none.
    pub commands: Vec<String>,
    /// Keys, and elements of a big collection.
    pub keys: u64,
    /// Bytes of a key.
    pub key_bytes: usize,
    /// Bytes of a value.
    pub value_bytes: usize,
    /// Keys that are saved while latency is measured.
    pub saved_keys: u64,
    /// Keys up to which the keyspace grows while latency is measured.
    pub grown_keys: u64,
    /// Idle connections.
    pub idle: u64,
    /// Connections that send among them.
    pub active: usize,
    /// How long memory must not change until it is read.
    pub settle: Duration,
}

impl Options {
    /// Fills in what the flags leave open.
    #[must_use]
    pub fn new(flags: &Flags) -> Self {
        let quick = flags.quick;
        let seconds = flags.seconds.unwrap_or(if quick { 0.25 } else { 1.0 });
        let time = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::from_secs(1));
        let keys = flags
            .keys
            .unwrap_or(if quick { 100_000 } else { 1_000_000 });
        let pick =
            |given: Option<u64>, small, full| given.unwrap_or(if quick { small } else { full });
        Options {
            sections: chosen(&flags.only),
            quick,
            rounds: flags.rounds.unwrap_or(if quick { 3 } else { 5 }).max(1),
            time,
            warm_up: time / 5,
            resp3: flags.resp3,
            cluster: flags.cluster,
            connections: flags.connections.max(1),
            pipelines: match &flags.pipelines[..] {
                [] if quick => vec![1, 16],
                [] => vec![1, 16, 64],
                given => given.iter().map(|&length| length.max(1)).collect(),
            },
            commands: flags.commands.clone(),
            keys: keys.max(1),
            // "key:" and at least one digit; as many digits as there are keys.
            key_bytes: flags.key_bytes.max(5),
            value_bytes: flags.value_bytes,
            saved_keys: pick(flags.saved_keys, 500_000, 5_000_000).max(1),
            grown_keys: flags.grown_keys.unwrap_or(keys.saturating_mul(10)),
            idle: pick(flags.idle, 2000, 20_000),
            active: flags
                .active
                .unwrap_or(if quick { 200 } else { 1000 })
                .max(1),
            settle: Duration::try_from_secs_f64(flags.settle).unwrap_or_default(),
        }
    }
}

fn chosen(only: &[Section]) -> Vec<Section> {
    let all = Section::value_variants().iter().copied();
    all.filter(|section| only.is_empty() || only.contains(section))
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        flags: Flags,
    }

    fn options(line: &[&str]) -> Options {
        let words = ["compare"].iter().chain(line);
        Options::new(&Line::try_parse_from(words).unwrap().flags)
    }

    #[test]
    fn quick_is_smaller_and_what_is_given_holds() {
        let full = options(&[]);
        assert_eq!(
            (full.rounds, full.keys, full.grown_keys),
            (5, 1_000_000, 10_000_000)
        );
        assert_eq!(full.pipelines, [1, 16, 64]);
        let quick = options(&["--quick", "--rounds", "1", "--pipelines", "64,1"]);
        assert_eq!((quick.rounds, quick.keys), (1, 100_000));
        assert_eq!(quick.pipelines, [64, 1]);
    }

    #[test]
    fn sections_keep_their_order() {
        assert_eq!(options(&[]).sections.len(), Section::value_variants().len());
        let two = options(&["--only", "tails,commands"]).sections;
        assert_eq!(two, [Section::Commands, Section::Tails]);
    }
}
