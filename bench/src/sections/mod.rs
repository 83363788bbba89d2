//! What is measured, a file per section; here is what the sections share.

mod commands;
mod dump;
mod idle;
mod memory;
mod tails;
mod workloads;

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

pub use commands::Measured;

use crate::load::{Load, Outcome};
use crate::machine;
use crate::options::{Options, Section};
use crate::program::{Launcher, Program, Role, Running};
use crate::report::Table;
use crate::request::{Draw, Request, Script};
use crate::stats;

/// Everything a section needs.
#[derive(Debug)]
pub struct Bench {
    /// What the command line chose.
    pub options: Options,
    /// How servers are started.
    pub launcher: Launcher,
    /// Ours first, then the references, the limit last.
    pub programs: Vec<Program>,
    contention: Cell<Contention>,
}

/// Whether the servers had their core for themselves.
#[derive(Debug, Clone, Copy, Default)]
struct Contention {
    waited: Duration,
    measured: Duration,
}

impl Contention {
    /// What a reader has to know about it.
    fn note(self) -> Option<String> {
        let share = stats::ratio(self.waited.as_secs_f64(), self.measured.as_secs_f64())?;
        (share >= 0.02).then(|| {
            format!(
                "Servers waited {:.0} % of the time for their core: other programs ran on it, so take throughput and latency as rough.",
                share * 100.0
            )
        })
    }
}

/// What all sections together found.
#[derive(Debug, Default)]
pub struct Findings {
    /// The tables, in order.
    pub tables: Vec<Table>,
    /// The figures of the commands, for a chart.
    pub commands: Vec<Measured>,
}

impl Bench {
    /// Puts together what a comparison needs.
    #[must_use]
    pub fn new(options: Options, launcher: Launcher, programs: Vec<Program>) -> Self {
        Bench {
            options,
            launcher,
            programs,
            contention: Cell::default(),
        }
    }

    /// Runs the chosen sections; each table is handed out when it is ready.
    ///
    /// # Errors
    ///
    /// A server does not start, or answers with an error.
    pub fn run(&self, mut ready: impl FnMut(&Table)) -> Result<Findings> {
        let mut findings = Findings::default();
        let most = self.options.keys.max(self.options.saved_keys);
        let digits = u32::try_from(self.options.key_bytes - KEY.len())?;
        ensure!(
            10_u64.saturating_pow(digits) >= most.max(self.options.grown_keys),
            "keys of {} bytes are too short to be all different",
            self.options.key_bytes
        );
        for section in &self.options.sections {
            let tables = match section {
                Section::Commands => {
                    let (tables, measured) = commands::run(self)?;
                    findings.commands = measured;
                    tables
                }
                Section::Memory => vec![memory::run(self)?],
                Section::Dump => vec![dump::run(self)?],
                Section::Tails => vec![tails::run(self)?],
                Section::Idle => vec![idle::run(self)?],
            };
            tables.iter().for_each(&mut ready);
            findings.tables.extend(tables);
        }
        Ok(findings)
    }

    /// Ours and the references: all that keep data.
    fn servers(&self) -> impl Iterator<Item = &Program> {
        self.programs
            .iter()
            .filter(|program| program.role != Role::Limit)
    }

    /// The template of a key.
    fn key(&self) -> String {
        format!("{KEY}{}", "@".repeat(self.options.key_bytes - KEY.len()))
    }

    /// A value: letters without a pattern that a compression could use.
    fn value(&self) -> String {
        let mut noise = 0x2545_f491_4f6c_dd1d_u64;
        let letters = (0..self.options.value_bytes).map(|_| {
            noise ^= noise << 13;
            noise ^= noise >> 7;
            noise ^= noise << 17;
            char::from(
                b"abcdefghijklmnopqrstuvwxyzABCDEF"[usize::from(noise.to_le_bytes()[7] % 32)],
            )
        });
        letters.collect()
    }

    /// `GET` and `SET` in turns, of keys that exist.
    fn mix(&self, keys: u64) -> Script {
        let key = self.key();
        Script::new(vec![
            Request::new(&["GET", &key], Draw::Below(keys)),
            Request::new(&["SET", &key, &self.value()], Draw::Below(keys)),
        ])
    }

    /// The load that the options describe, one request at a time.
    fn load<'s>(&self, server: &'s Running) -> Load<'s> {
        let (address, tls) = server.door();
        Load {
            address,
            tls,
            resp3: self.options.resp3,
            connections: self.options.connections,
            pipeline: 1,
            warm_up: self.options.warm_up,
            time: self.options.time,
            requests: u64::MAX,
            stop: None,
        }
    }

    /// Puts a load on a server. A server that answers with errors, or closes connections, is not measured.
    fn measure(&self, server: &Running, load: &Load<'_>, script: &mut Script) -> Result<Outcome> {
        let waited = machine::waited(server.pid())?;
        let start = Instant::now();
        let outcome = load.run(script, &mut || server.cpu())?;
        let mut contention = self.contention.get();
        contention.waited += machine::waited(server.pid())?.saturating_sub(waited);
        contention.measured += start.elapsed();
        self.contention.set(contention);
        if let (count @ 1.., first) = &outcome.errors {
            bail!("{count} errors: {}", first.as_deref().unwrap_or_default());
        }
        ensure!(
            outcome.dropped == 0,
            "{} connections were closed",
            outcome.dropped
        );
        Ok(outcome)
    }

    /// Sends a request, whose numbers count up, so many times.
    fn fill(&self, server: &Running, request: Request, count: u64) -> Result<()> {
        self.fill_over(4, server, request, count)
    }

    /// The same in the order of the numbers.
    fn fill_in_order(&self, server: &Running, request: Request, count: u64) -> Result<()> {
        self.fill_over(1, server, request, count)
    }

    fn fill_over(
        &self,
        connections: usize,
        server: &Running,
        request: Request,
        count: u64,
    ) -> Result<()> {
        let load = Load {
            connections,
            pipeline: 32,
            warm_up: Duration::ZERO,
            time: Duration::from_secs(3600),
            requests: count,
            ..self.load(server)
        };
        self.measure(server, &load, &mut Script::new(vec![request]))
            .context("filling a server")?;
        Ok(())
    }

    /// Fills a server with so many strings.
    fn fill_strings(&self, server: &Running, count: u64) -> Result<()> {
        let request = Request::new(&["SET", &self.key(), &self.value()], Draw::Next(count));
        self.fill(server, request, count)
    }

    /// Says on the terminal what is under way.
    #[expect(clippy::print_stderr, reason = "progress, apart from the tables")]
    fn note(&self, text: impl std::fmt::Display) {
        eprintln!("… {text}");
    }
}

const KEY: &str = "key:";

/// A row of figures, one per server, with the first one's ratio to each other.
fn compared(name: &str, figures: &[f64]) -> Vec<String> {
    let mut row = vec![name.to_owned()];
    row.extend(figures.iter().map(|&figure| stats::figure(figure)));
    let ours = figures.first().copied().unwrap_or(f64::NAN);
    let others = figures.iter().skip(1);
    row.extend(others.map(|&other| stats::times(stats::ratio(ours, other))));
    row
}

/// The header of such rows.
fn compared_header(first: &str, servers: &[&Program]) -> Vec<String> {
    let names = servers.iter().map(|program| program.name.clone());
    let ratios = servers
        .iter()
        .skip(1)
        .map(|program| format!("÷ {}", program.name));
    std::iter::once(first.to_owned())
        .chain(names)
        .chain(ratios)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_core_is_told_and_a_free_one_is_not() {
        let contention = |waited| Contention {
            waited: Duration::from_millis(waited),
            measured: Duration::from_secs(1),
        };
        assert!(
            contention(250)
                .note()
                .is_some_and(|note| note.contains("25 %"))
        );
        assert_eq!(contention(5).note(), None);
        assert_eq!(Contention::default().note(), None);
    }

    #[test]
    fn a_row_has_each_figure_and_each_ratio() {
        let row = compared("string", &[70.0, 140.0, 0.0]);
        assert_eq!(row, ["string", "70.0", "140", "0.000", "×0.50", "–"]);
        assert_eq!(compared("string", &[70.0]), ["string", "70.0"]);
    }
}
