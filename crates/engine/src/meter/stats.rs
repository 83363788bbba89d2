//! Counters that INFO shows and CONFIG RESETSTAT clears.

use std::collections::BTreeMap;

use crate::meter::histogram::Histogram;

/// How many different codes of errors are told apart.
const MOST_ERRORS: usize = 128;
/// What the codes that scripts make up count as once there are so many.
const OTHER_ERRORS: &str = "ERRORSTATS_OVERFLOW";
/// A word that is longer is no code.
const LONGEST_CODE: usize = 32;

/// How often a command was called, and how long it took.
#[derive(Clone, Debug, Default)]
pub(crate) struct CommandStats {
    pub(crate) calls: u64,
    /// How often it was refused before it ran.
    pub(crate) rejected: u64,
    /// How often it ran and answered an error.
    pub(crate) failed: u64,
    pub(crate) times: Histogram,
}

/// How fast a counter grows: the mean of the last samples.
#[derive(Debug, Default)]
pub(crate) struct Rate {
    samples: [u64; 16],
    next: usize,
    last: Option<(u64, u64)>,
}

impl Rate {
    /// The counter has this value now (milliseconds of a steady clock).
    pub(crate) fn sample(&mut self, now_ms: u64, value: u64) {
        if let Some((at, before)) = self.last
            && now_ms > at
        {
            self.samples[self.next] =
                value.saturating_sub(before).saturating_mul(1000) / (now_ms - at);
            self.next = (self.next + 1) % self.samples.len();
        }
        self.last = Some((now_ms, value));
    }

    pub(crate) fn per_second(&self) -> u64 {
        self.samples.iter().sum::<u64>() / 16
    }

    pub(crate) fn kilobytes(&self) -> f64 {
        #[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
        let bytes = self.per_second() as f64;
        bytes / 1024.0
    }
}

/// What came from connections and went to them.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub(crate) input_bytes: u64,
    pub(crate) output_bytes: u64,
    /// How often something was read, and how often written.
    pub(crate) reads: u64,
    pub(crate) writes: u64,
}

impl Traffic {
    /// One read brought so many bytes.
    pub(crate) fn came(&mut self, bytes: usize) {
        self.input_bytes += bytes as u64;
        self.reads += 1;
    }

    /// One write took so many bytes.
    pub(crate) fn went(&mut self, bytes: usize) {
        self.output_bytes += bytes as u64;
        self.writes += 1;
    }
}

/// Of all that came and went: what was between primaries and their replicas.
#[derive(Debug, Default)]
pub(crate) struct OfReplication {
    pub(crate) input_bytes: u64,
    pub(crate) output_bytes: u64,
    pub(crate) input_rate: Rate,
    pub(crate) output_rate: Rate,
}

/// What went away, and why.
#[derive(Debug, Default)]
pub(crate) struct Removed {
    pub(crate) expired: u64,
    /// Fields of hashes whose time came.
    pub(crate) expired_fields: u64,
    pub(crate) evicted: u64,
    /// Scripts that were forgotten for others.
    pub(crate) evicted_scripts: u64,
    /// Clients that had to go because of `maxmemory-clients`.
    pub(crate) evicted_clients: u64,
    /// Clients that were closed because of `client-query-buffer-limit`.
    pub(crate) query_buffer_closed: u64,
    /// Clients that were closed because of `client-output-buffer-limit`.
    pub(crate) output_buffer_closed: u64,
    /// Values that another thread was given to free.
    pub(crate) freed_later: u64,
    pub(crate) cycle: Cycle,
    pub(crate) over_limit: OverLimit,
}

/// How the cycle works that deletes keys whose time has come.
#[derive(Debug, Default)]
pub(crate) struct Cycle {
    /// How long its slices took together, microseconds.
    pub(crate) us: u64,
    /// How many slices ended by their time, with something left to do.
    pub(crate) cut_short: u64,
    /// Which part of the keys with an expiry was found to be over: mostly what was known, a little of the last slice.
    pub(crate) stale: f64,
}

impl Cycle {
    /// A slice looked at so many keys with an expiry, and deleted some of them.
    pub(crate) fn note_stale(&mut self, seen: usize, deleted: usize) {
        let part = |count: usize| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        let found = if seen == 0 {
            0.0
        } else {
            part(deleted) / part(seen)
        };
        self.stale = self.stale * 0.95 + found * 0.05;
    }
}

/// For how long memory was above `maxmemory` although eviction had its turn.
#[derive(Debug, Default)]
pub(crate) struct OverLimit {
    /// Until it was below it last, microseconds.
    us: u64,
    since_us: Option<u64>,
}

impl OverLimit {
    /// Whether it is so at this time.
    pub(crate) fn note(&mut self, over: bool, now_us: u64) {
        if over {
            self.since_us.get_or_insert(now_us);
        } else if let Some(since_us) = self.since_us.take() {
            self.us += now_us.saturating_sub(since_us);
        }
    }

    /// Whether it was so when it was noted last.
    pub(crate) fn is_over(&self) -> bool {
        self.since_us.is_some()
    }

    /// All together, and without a break until now; milliseconds.
    pub(crate) fn ms(&self, now_us: u64) -> [u64; 2] {
        let current = self
            .since_us
            .map_or(0, |since_us| now_us.saturating_sub(since_us));
        [(self.us + current) / 1000, current / 1000]
    }
}

/// How replicas that asked were served.
#[derive(Debug, Default)]
pub(crate) struct Syncs {
    pub(crate) full: u64,
    pub(crate) partial_ok: u64,
    pub(crate) partial_err: u64,
}

/// Replies that were errors.
#[derive(Debug, Default)]
pub(crate) struct Errors {
    pub(crate) replies: u64,
    /// Those to a primary: commands of its stream that could not be applied.
    pub(crate) unexpected: u64,
    /// How many of them had each code.
    pub(crate) codes: BTreeMap<String, u64>,
}

/// How much there is of something in a second.
#[derive(Debug, Default)]
pub(crate) struct Rates {
    pub(crate) commands: Rate,
    pub(crate) input: Rate,
    pub(crate) output: Rate,
    pub(crate) turns: Rate,
    /// Nanoseconds of turns.
    pub(crate) turn_ns: Rate,
}

/// How large the arguments of clients' requests are, and the replies.
#[derive(Debug, Default)]
pub(crate) struct Payloads {
    pub(crate) requests: Histogram,
    pub(crate) replies: Histogram,
}

/// The counters.
#[derive(Debug, Default)]
pub(crate) struct Stats {
    pub(crate) connections: u64,
    pub(crate) commands: u64,
    pub(crate) traffic: Traffic,
    pub(crate) replication: OfReplication,
    pub(crate) rejected: u64,
    /// What access control refused; not reset.
    pub(crate) denials: acl::Denials,
    pub(crate) removed: Removed,
    pub(crate) syncs: Syncs,
    /// Dumps to a file that were begun.
    pub(crate) saves: u64,
    /// Rewrites of the append-only file that were begun.
    pub(crate) rewrites: u64,
    /// Hits and misses that the keyspace had counted at the last reset.
    pub(crate) lookups_before: (u64, u64),
    pub(crate) memory_peak: usize,
    pub(crate) errors: Errors,
    pub(crate) rates: Rates,
    pub(crate) per_command: Vec<CommandStats>,
    /// Nanoseconds of ticks.
    pub(crate) tick_ns: u64,
    /// Microseconds of writes to the append-only file.
    pub(crate) append_only_us: u64,
    /// The most commands that one turn ran.
    pub(crate) most_commands: u64,
    /// How long turns took: a turn is what is done before others can have theirs.
    pub(crate) turns: Histogram,
    pub(crate) payloads: Payloads,
}

impl Stats {
    /// For so many commands and subcommands.
    pub(crate) fn new(commands: usize) -> Self {
        Self {
            per_command: vec![CommandStats::default(); commands],
            ..Self::default()
        }
    }

    /// A command of this number ran, and took so long.
    #[inline]
    pub(crate) fn count_call(&mut self, number: usize, ns: u64) {
        let stats = &mut self.per_command[number];
        stats.calls += 1;
        stats.times.add(ns);
        self.commands += 1;
    }

    /// A command ran and answered this line; `own` where its script may have made it up.
    pub(crate) fn fail(&mut self, number: usize, line: &[u8], own: bool) {
        self.per_command[number].failed += 1;
        self.count_error(line, own);
    }

    /// A reply is an error: its line without the dash, of which the first word is the code.
    pub(crate) fn note_error(&mut self, line: &[u8]) {
        self.count_error(line, false);
    }

    fn count_error(&mut self, line: &[u8], own: bool) {
        self.errors.replies += 1;
        let end = line
            .iter()
            .take(LONGEST_CODE)
            .position(|byte| *byte == b' ');
        let code = String::from_utf8_lossy(end.map_or(b"ERR", |end| &line[..end]));
        if let Some(count) = self.errors.codes.get_mut(&*code) {
            *count += 1;
        } else if own && self.errors.codes.len() >= MOST_ERRORS {
            *self
                .errors
                .codes
                .entry(OTHER_ERRORS.to_owned())
                .or_default() += 1;
        } else {
            self.errors.codes.insert(code.into_owned(), 1);
        }
    }

    /// CONFIG RESETSTAT. `lookups` is what the keyspace has counted until now.
    pub(crate) fn reset(&mut self, lookups: (u64, u64)) {
        let memory_peak = self.memory_peak;
        *self = Self {
            lookups_before: lookups,
            memory_peak,
            denials: self.denials,
            ..Self::new(self.per_command.len())
        };
    }

    /// Nanoseconds of all commands together.
    pub(crate) fn command_ns(&self) -> u64 {
        self.per_command.iter().map(|stats| stats.times.sum()).sum()
    }

    /// How long the last turns took.
    pub(crate) fn mean_turn_us(&self) -> u64 {
        let turns = self.rates.turns.per_second().max(1);
        self.rates.turn_ns.per_second() / turns / 1000
    }

    /// A turn is over.
    pub(crate) fn end_turn(&mut self, ns: u64, commands: u64) {
        self.turns.add(ns);
        self.most_commands = self.most_commands.max(commands);
    }

    /// Part of each tick.
    pub(crate) fn sample(&mut self, now_ms: u64) {
        self.rates.commands.sample(now_ms, self.commands);
        self.rates.input.sample(now_ms, self.traffic.input_bytes);
        self.rates.output.sample(now_ms, self.traffic.output_bytes);
        let replication = &mut self.replication;
        replication
            .input_rate
            .sample(now_ms, replication.input_bytes);
        replication
            .output_rate
            .sample(now_ms, replication.output_bytes);
        self.rates.turns.sample(now_ms, self.turns.count());
        self.rates.turn_ns.sample(now_ms, self.turns.sum());
    }
}

#[cfg(test)]
mod tests {
    use super::{Cycle, OverLimit};

    #[test]
    fn time_above_the_limit_adds_up() {
        let mut over = OverLimit::default();
        assert_eq!(over.ms(9_000), [0, 0]);
        over.note(true, 10_000);
        over.note(true, 12_000);
        assert!(over.is_over());
        assert_eq!(over.ms(15_000), [5, 5]);
        over.note(false, 20_000);
        over.note(true, 30_000);
        assert_eq!(over.ms(31_000), [11, 1]);
        over.note(false, 31_000);
        assert_eq!(over.ms(99_000), [11, 0]);
    }

    #[test]
    fn stale_keys_are_a_running_mean() {
        let mut cycle = Cycle::default();
        cycle.note_stale(100, 50);
        assert!((cycle.stale - 0.025).abs() < 1e-9);
        cycle.note_stale(0, 0);
        assert!((cycle.stale - 0.02375).abs() < 1e-9);
    }
}
