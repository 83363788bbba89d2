//! Runs the simulator by hand. `cargo run -p tern-tests --bin sim -- cluster SEED` replays one run with its trace;
//! `… cluster FROM..TO` runs many seeds and tells which fail. The other cores are `sentinel` and `server`.

use std::fmt::Debug;
use std::io::Write;
use std::ops::Range;
use std::process::ExitCode;

use anyhow::{Context, bail};
use tern_tests::sim::{Failure, Options, cluster, run_seeds, sentinel, server};

fn main() -> anyhow::Result<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [core, seeds] = args.as_slice() else {
        bail!("usage: sim cluster|sentinel|server SEED|FROM..TO")
    };
    let (from, to) = match seeds.split_once("..") {
        Some((from, to)) => (from.parse()?, to.parse()?),
        None => seeds
            .parse()
            .map(|seed: u64| (seed, seed + 1))
            .context("SEED is a number")?,
    };
    let options = Options {
        trace: (to - from == 1).then_some(trace),
        ..Options::default()
    };
    let failures = match core.as_str() {
        "cluster" => run(from..to, |seed| cluster::run(seed, options))?,
        "sentinel" => run(from..to, |seed| sentinel::run(seed, options))?,
        "server" => run(from..to, |seed| {
            server::run(seed, server::Wanted::default(), options)
        })?,
        other => bail!("no core is called {other}: cluster, sentinel and server are the three"),
    };
    Ok(if failures == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs every seed, also after a failure, and tells what each failure was; how many there were.
fn run<S: Debug + Send>(
    seeds: Range<u64>,
    run: impl Fn(u64) -> Result<S, Box<Failure>> + Sync,
) -> anyhow::Result<usize> {
    let one = seeds.end - seeds.start == 1;
    let outcomes = run_seeds(seeds, |seed| Ok(run(seed)))?;
    let mut failures = 0;
    for outcome in outcomes {
        match outcome {
            Ok(summary) if one => writeln!(std::io::stdout(), "it holds: {summary:?}")?,
            Ok(_) => {}
            Err(failure) => {
                failures += 1;
                writeln!(std::io::stdout(), "{failure}")?;
            }
        }
    }
    Ok(failures)
}

fn trace(at_ms: u64, line: &str) {
    // A reader that is gone (head, less) ends the trace, not the run.
    let at = std::time::Duration::from_millis(at_ms).as_secs_f64();
    let _ = writeln!(std::io::stdout(), "{at:>10.3} {line}");
}
