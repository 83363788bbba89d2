//! The simulator: hosts, disks, clocks and a network made of one event heap, in which pure cores live through faults
//! that real machines take years to show. No time passes, nothing is random but the seed, and a seed replays a run.
//!
//! # Layout
//!
//! - [`world`]: the heap, hosts with disks and clocks, connections with delay; generic over a [`Core`].
//! - [`faults`]: what may go wrong, and a plan of it drawn from a seed.
//! - [`cluster`]: the cluster core alone on it: a server's replication in miniature, what must always hold, what must hold
//!   at rest.
//! - [`server`]: whole servers on it: real engines with data, files and replication, alone, beside sentinels, or as a cluster; and clients.
//! - [`scenario`]: what both share: time, options, many seeds at once.
//! - [`rng`]: the seeded generator.
//!
//! # Adding another core
//!
//! Write an adapter that implements [`Core`]: the five verbs with bytes on connections instead of messages, so that
//! each hop goes through the codec. What a check wants to see leaves the adapter as [`Output::Note`]. Then write a
//! scenario like [`cluster::run`]: set the world up, let a [`faults::Plan`] loose on it, look at the notes after every
//! step, stop the faults and ask for convergence.
//!
//! # A seed that fails
//!
//! The test prints seed and commit. `cargo run -p tern-tests --bin sim -- server SEED` replays the run with a trace.
//! `TERN_SEED=SEED` (or `FROM..TO`) before the test of whole servers runs other seeds than its own.

pub mod cluster;
pub mod faults;
pub mod rng;
pub mod scenario;
pub mod server;
pub mod world;

pub use rng::Rng;
pub use scenario::{Options, Scenario, run_seeds};
pub use world::{Conn, Core, Input, Now, Output, World};

/// Why a run failed: what was violated, and when.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "{core} seed {seed}, {at_ms} ms: {problem}\ncommit {commit}; replay: cargo run -p tern-tests --bin sim -- {core} {seed}"
)]
pub struct Failure {
    /// Which simulation, as the command line of the `sim` binary names it.
    pub core: &'static str,
    /// The seed.
    pub seed: u64,
    /// Simulated time.
    pub at_ms: u64,
    /// What went wrong.
    pub problem: String,
    /// What was built.
    pub commit: &'static str,
}

impl Failure {
    /// A failure of this build.
    #[must_use]
    pub fn new(core: &'static str, seed: u64, at_ms: u64, problem: String) -> Self {
        Self {
            core,
            seed,
            at_ms,
            problem,
            commit: option_env!("TERN_COMMIT").unwrap_or("not recorded (TERN_COMMIT)"),
        }
    }
}
