//! Runs the simulator by hand. `cargo run -p tern-tests --bin sim -- cluster SEED` replays one run with its trace;
//! `… cluster FROM..TO` runs many seeds and tells which fail. The other core is `sentinel`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, bail};
use tern_tests::sim::{cluster, sentinel};

fn main() -> anyhow::Result<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [core, seeds] = args.as_slice() else {
        bail!("usage: sim cluster|sentinel SEED|FROM..TO")
    };
    let run: fn(u64, bool) -> Result<String, String> = match core.as_str() {
        "cluster" => run_cluster,
        "sentinel" => run_sentinel,
        other => bail!("no core is called {other}: cluster and sentinel are the two"),
    };
    let mut failures = 0;
    let (from, to) = match seeds.split_once("..") {
        Some((from, to)) => (from.parse()?, to.parse()?),
        None => seeds
            .parse()
            .map(|seed: u64| (seed, seed + 1))
            .context("SEED is a number")?,
    };
    for seed in from..to {
        let outcome = run(seed, to - from == 1);
        failures += u32::from(outcome.is_err());
        match outcome {
            Ok(summary) if to - from == 1 => {
                writeln!(std::io::stdout(), "seed {seed} holds: {summary}")?;
            }
            Ok(_) => {}
            Err(failure) => writeln!(std::io::stdout(), "{failure}")?,
        }
    }
    Ok(if failures == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn run_cluster(seed: u64, traced: bool) -> Result<String, String> {
    let options = cluster::Options {
        trace: traced.then_some(trace),
        ..Default::default()
    };
    cluster::run(seed, options)
        .map(|summary| format!("{summary:?}"))
        .map_err(|failure| failure.to_string())
}

fn run_sentinel(seed: u64, traced: bool) -> Result<String, String> {
    let options = sentinel::Options {
        trace: traced.then_some(trace),
        ..Default::default()
    };
    sentinel::run(seed, options)
        .map(|summary| format!("{summary:?}"))
        .map_err(|failure| failure.to_string())
}

fn trace(at_ms: u64, line: &str) {
    // A reader that is gone (head, less) ends the trace, not the run.
    let at = std::time::Duration::from_millis(at_ms).as_secs_f64();
    let _ = writeln!(std::io::stdout(), "{at:>10.3} {line}");
}
