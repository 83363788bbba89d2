//! Replays one run of the simulator with its trace: `cargo run -p tern-tests --bin sim -- cluster SEED`.

use std::io::Write;
use std::process::ExitCode;

use anyhow::{Context, bail};
use tern_tests::sim::cluster;

fn main() -> anyhow::Result<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [core, seed] = args.as_slice() else {
        bail!("usage: sim cluster SEED")
    };
    let seed: u64 = seed.parse().context("SEED is a number")?;
    let outcome = match core.as_str() {
        "cluster" => cluster::run(
            seed,
            cluster::Options {
                trace: Some(trace),
                ..Default::default()
            },
        )
        .map(|summary| format!("{summary:?}")),
        other => bail!("no core is called {other}: cluster is one"),
    };
    let mut out = std::io::stdout();
    match outcome {
        Ok(summary) => writeln!(out, "seed {seed} holds: {summary}")?,
        Err(failure) => writeln!(out, "{failure}")?,
    }
    Ok(ExitCode::SUCCESS)
}

fn trace(at_ms: u64, line: &str) {
    // A reader that is gone (head, less) ends the trace, not the run.
    let _ = writeln!(
        std::io::stdout(),
        "{:>10.3} {line}",
        std::time::Duration::from_millis(at_ms).as_secs_f64()
    );
}
