//! Runs the simulator by hand. `cargo run -p tern-tests --bin sim -- server SEED` replays one run of whole servers with its trace;
//! `… server FROM..TO` runs many seeds and tells which fail. The seed decides who the servers are to one another; `single`, `operated`,
//! `watched` and `cluster` in the place of `server` decide it too. `bus` is the cluster core alone.

use std::fmt::Debug;
use std::io::Write;
use std::ops::Range;
use std::process::ExitCode;

use anyhow::{Context, bail};
use tern_tests::sim::server::{self, Kind, Wanted};
use tern_tests::sim::{Failure, Options, cluster, run_seeds};

fn main() -> anyhow::Result<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [core, seeds] = args.as_slice() else {
        bail!("usage: sim server|single|operated|watched|cluster|bus SEED|FROM..TO")
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
    let failures = if core == "bus" {
        run(from..to, |seed| cluster::run(seed, options))?
    } else {
        let kind = Kind::ALL.into_iter().find(|kind| kind.name() == core);
        if kind.is_none() && core != "server" {
            bail!("no simulation is called {core}");
        }
        let wanted = Wanted {
            kind,
            ..Wanted::default()
        };
        run(from..to, |seed| server::run(seed, wanted, options))?
    };
    Ok(if failures == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Runs every seed, also after a failure, and tells at once what each failure was; how many there were.
fn run<S: Debug + Send>(
    seeds: Range<u64>,
    run: impl Fn(u64) -> Result<S, Box<Failure>> + Sync,
) -> anyhow::Result<usize> {
    let one = seeds.end - seeds.start == 1;
    let outcomes = run_seeds(seeds, |seed| {
        let outcome = run(seed);
        if let Err(failure) = &outcome {
            // Who reads it may be gone.
            let _ = writeln!(std::io::stdout(), "{failure}");
        }
        Ok(outcome.ok())
    })?;
    if let [Some(summary)] = &outcomes[..]
        && one
    {
        writeln!(std::io::stdout(), "it holds: {summary:?}")?;
    }
    Ok(outcomes.iter().filter(|outcome| outcome.is_none()).count())
}

fn trace(at_ms: u64, line: &str) {
    // A reader that is gone (head, less) ends the trace, not the run.
    let at = std::time::Duration::from_millis(at_ms).as_secs_f64();
    let _ = writeln!(std::io::stdout(), "{at:>10.3} {line}");
}
