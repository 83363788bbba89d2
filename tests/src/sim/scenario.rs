//! What every scenario shares: how long its parts are, how a run is made, how it goes on until something is so, and many seeds at
//! one time.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use super::Failure;

/// A run is this long.
pub const RUN_MS: u64 = 600_000;
/// Faults stop here, and then there is so much time to agree.
pub const CALM_MS: u64 = 420_000;
const CONVERGENCE_MS: u64 = 150_000;
/// How often data moves, and checks at rest are made.
pub const TICK_MS: u64 = 500;

/// How a run is made, beside what the seed decides.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether a write is fsynced before what comes after it, as it has to be.
    pub fsync: bool,
    /// Where the trace goes.
    pub trace: Option<fn(u64, &str)>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            fsync: true,
            trace: None,
        }
    }
}

/// Hosts in a world, with what a scenario does to them between events.
pub trait Scenario {
    /// Simulated time.
    fn now_ms(&self) -> u64;

    /// One event of the world before `until_ms`; false where there is none.
    fn step(&mut self, until_ms: u64) -> bool;

    /// When [`Scenario::tick`] is to be called next.
    fn next_tick_ms(&mut self) -> &mut u64;

    /// Moves the data of the servers in miniature, or looks at what costs too much to be looked at after each event.
    ///
    /// # Errors
    /// The first invariant that was violated.
    fn tick(&mut self) -> Result<(), String>;

    /// Looks at everything that has happened since the last look.
    ///
    /// # Errors
    /// The first invariant that was violated.
    fn look(&mut self) -> Result<(), String>;

    /// What keeps all from being at rest.
    fn unrest(&self) -> Option<String>;

    /// What a failure should tell beside that.
    fn views(&self) -> String {
        String::new()
    }

    /// Lets the world go on, looking at everything that happens.
    ///
    /// # Errors
    /// The first violation.
    fn run_to(&mut self, until_ms: u64) -> Result<(), String> {
        loop {
            let stop_ms = until_ms.min(*self.next_tick_ms());
            while self.step(stop_ms) {
                self.look()?;
            }
            if self.now_ms() >= *self.next_tick_ms() {
                *self.next_tick_ms() += TICK_MS;
                self.tick()?;
                self.look()?;
            }
            if self.now_ms() >= until_ms {
                return Ok(());
            }
        }
    }

    /// Lets the world go on until something is so.
    ///
    /// # Errors
    /// A violation, or that it did not become so in time.
    fn until(
        &mut self,
        what: &str,
        limit_ms: u64,
        holds: impl Fn(&Self) -> bool,
    ) -> Result<(), String>
    where
        Self: Sized,
    {
        let end_ms = self.now_ms() + limit_ms;
        while !holds(self) {
            if self.now_ms() >= end_ms {
                let unrest = self.unrest().unwrap_or_default();
                let views = self.views();
                return Err(format!(
                    "not within {limit_ms} ms: {what}. {unrest}\n{views}"
                ));
            }
            self.run_to(self.now_ms() + TICK_MS)?;
        }
        Ok(())
    }

    /// The faults are over: all have to agree, and to stay so to the end of the run. Says after how many milliseconds they agreed.
    ///
    /// # Errors
    /// A violation, or that they did not.
    fn come_to_rest(&mut self) -> Result<u64, String>
    where
        Self: Sized,
    {
        let start_ms = self.now_ms();
        // Who has just thawed, or whose clock has just jumped, notices at its next tick.
        self.run_to(start_ms + TICK_MS)?;
        self.until("all is at rest", CONVERGENCE_MS, |run| {
            run.unrest().is_none()
        })?;
        let converged_ms = self.now_ms() - start_ms;
        while self.now_ms() < RUN_MS {
            self.run_to(self.now_ms() + 5_000)?;
            if let Some(unrest) = self.unrest() {
                return Err(format!("all was at rest and is no more: {unrest}"));
            }
        }
        Ok(converged_ms)
    }
}

/// Runs seeds on all cores of the machine; what each came to, or the first failure.
///
/// # Errors
/// The first failure, in time.
///
/// # Panics
/// When a run does.
pub fn run_seeds<S: Send>(
    seeds: Range<u64>,
    run: impl Fn(u64) -> Result<S, Box<Failure>> + Sync,
) -> Result<Vec<S>, Box<Failure>> {
    let next = AtomicU64::new(seeds.start);
    let workers = std::thread::available_parallelism().map_or(2, usize::from);
    let work = || {
        let mut done = Vec::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return Ok(done);
            }
            match run(seed) {
                Ok(summary) => done.push(summary),
                Err(failure) => {
                    next.store(seeds.end, Ordering::Relaxed);
                    return Err(failure);
                }
            }
        }
    };
    let results: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        threads
            .into_iter()
            .map(|thread| match thread.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    });
    let mut all = Vec::new();
    for result in results {
        all.extend(result?);
    }
    Ok(all)
}
