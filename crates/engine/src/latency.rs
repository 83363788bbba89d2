//! LATENCY: which events took long, when, and what to do about it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use commands::{Args, Done, Error, args};

use crate::{ClientId, Engine};

/// Samples kept per event (Redis 3.0: `LATENCY_TS_LEN`).
const MOST_SAMPLES: usize = 160;
/// Rows of a graph.
const GRAPH_ROWS: usize = 4;

/// The samples of one event, oldest first: (Unix seconds, milliseconds). One second has one sample, the worst.
#[derive(Debug, Default)]
struct Series {
    samples: Vec<(u64, u64)>,
    worst_ms: u64,
}

/// All events that were ever slow.
#[derive(Debug, Default)]
pub(crate) struct Latency(BTreeMap<&'static str, Series>);

impl Engine {
    /// An event took so long: remembered, if that is at least `latency-monitor-threshold`.
    pub(crate) fn note_latency(&mut self, event: &'static str, usec: u64) {
        let threshold_ms = self.config.latency_monitor_threshold;
        let ms = usec / 1000;
        if threshold_ms == 0 || ms < threshold_ms {
            return;
        }
        let now = self.now.unix_ms() / 1000;
        let series = self.meter.latency.0.entry(event).or_default();
        series.worst_ms = series.worst_ms.max(ms);
        match series.samples.last_mut() {
            Some((at, worst)) if *at == now => *worst = (*worst).max(ms),
            _ => series.samples.push((now, ms)),
        }
        if series.samples.len() > MOST_SAMPLES {
            series.samples.remove(0);
        }
    }
}

fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// LATENCY HISTORY event | LATEST | GRAPH event | DOCTOR | RESET [event …]
pub(crate) fn latency(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let now = engine.now.unix_ms() / 1000;
    let threshold = engine.config.latency_monitor_threshold;
    let Engine {
        meter, sessions, ..
    } = engine;
    let Latency(events) = &mut meter.latency;
    let out = &mut sessions.clients[id].out;
    let named = |events: &BTreeMap<&'static str, Series>, name: &[u8]| {
        events
            .keys()
            .copied()
            .find(|known| known.as_bytes() == name)
    };
    match args {
        [_, word, name] if args::is(word, "HISTORY") => {
            let samples = named(events, name).map_or(&[][..], |name| &events[name].samples);
            out.array(samples.len());
            for (at, ms) in samples {
                out.array(2);
                out.int(int(*at));
                out.int(int(*ms));
            }
        }
        [_, word, name] if args::is(word, "GRAPH") => {
            let Some(known) = named(events, name) else {
                return Err(Error::quoting(
                    "ERR No samples available for event '",
                    name,
                    "'",
                ));
            };
            out.bulk(graph(known, &events[known], now));
        }
        [_, word] if args::is(word, "LATEST") => {
            out.array(events.len());
            for (name, series) in events.iter() {
                let (at, ms) = series.samples.last().copied().unwrap_or_default();
                out.array(4);
                out.bulk(name);
                out.int(int(at));
                out.int(int(ms));
                out.int(int(series.worst_ms));
            }
        }
        [_, word] if args::is(word, "DOCTOR") => out.bulk(doctor(events, threshold > 0)),
        [_, word, names @ ..] if args::is(word, "RESET") => {
            let before = events.len();
            if names.is_empty() {
                events.clear();
            }
            for name in names {
                events.retain(|known, _| known.as_bytes() != *name);
            }
            out.count(before - events.len());
        }
        _ => return Err(Error::Syntax),
    }
    Ok(())
}

/// A graph in characters: one column per sample, its age below it.
fn graph(name: &str, series: &Series, now: u64) -> String {
    let low = series
        .samples
        .iter()
        .map(|sample| sample.1)
        .min()
        .unwrap_or(0);
    let high = series
        .samples
        .iter()
        .map(|sample| sample.1)
        .max()
        .unwrap_or(0);
    let mut text = format!(
        "{name} - high {high} ms, low {low} ms (all time high {} ms)\n",
        series.worst_ms
    );
    text.push_str(&"-".repeat(80));
    text.push('\n');
    let columns: Vec<(usize, String)> = series
        .samples
        .iter()
        .map(|(at, ms)| {
            let span = (high - low).max(1);
            let height =
                usize::try_from((ms - low) * (GRAPH_ROWS as u64 * 2 - 1) / span).unwrap_or(0);
            (height, age(now.saturating_sub(*at)))
        })
        .collect();
    for row in (0..GRAPH_ROWS).rev() {
        for (height, _) in &columns {
            let top = height / 2;
            text.push(match (top.cmp(&row), height % 2) {
                (std::cmp::Ordering::Less, _) => ' ',
                (std::cmp::Ordering::Greater, _) => '|',
                (std::cmp::Ordering::Equal, 0) => '_',
                (std::cmp::Ordering::Equal, _) => '#',
            });
        }
        text.push('\n');
    }
    text.push('\n');
    let deepest = columns
        .iter()
        .map(|(_, label)| label.len())
        .max()
        .unwrap_or(0);
    for row in 0..deepest {
        for (_, label) in &columns {
            text.push(
                label
                    .as_bytes()
                    .get(row)
                    .map_or(' ', |byte| char::from(*byte)),
            );
        }
        text.push('\n');
    }
    text
}

/// An age in at most three characters and a unit: `12s`, `5m`, `3h`, `2d`.
fn age(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// What to do about an event.
fn advice(event: &str) -> &'static str {
    match event {
        "command" => {
            "Look at SLOWLOG for the commands, and do less at once: SCAN for KEYS, ranges for whole collections."
        }
        "fast-command" => {
            "Simple commands were slow, so the machine was: look for swapping, other programs, a busy host."
        }
        "fork" => {
            "Forking took long: less memory in one process, or huge pages turned off, makes it shorter."
        }
        "expire-cycle" => "Many keys expired at the same time: spread their times of expiry.",
        "eviction-cycle" | "eviction-del" => {
            "Memory is full and writes wait for keys to go: raise maxmemory, or write less."
        }
        event if event.starts_with("aof") => {
            "The disk is slow: consider appendfsync everysec, no-appendfsync-on-rewrite, or a faster disk."
        }
        _ => "Look at the log of that time.",
    }
}

fn doctor(events: &BTreeMap<&'static str, Series>, watching: bool) -> String {
    if !watching && events.is_empty() {
        return "I'm sorry, Dave, I can't do that. Latency monitoring is disabled in this Redis instance. \
                You may use \"CONFIG SET latency-monitor-threshold <milliseconds>.\" in order to enable it.\n"
            .to_owned();
    }
    if events.is_empty() {
        return "No latency spike was observed since the server started, or since LATENCY RESET.\n"
            .to_owned();
    }
    let mut text = "Latency spikes were observed:\n\n".to_owned();
    for (number, (name, series)) in events.iter().enumerate() {
        let count = series.samples.len() as u64;
        let mean = series.samples.iter().map(|sample| sample.1).sum::<u64>() / count.max(1);
        let first = series.samples.first().map_or(0, |sample| sample.0);
        let last = series.samples.last().map_or(0, |sample| sample.0);
        let period = (last - first) / count.max(1);
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "{}. {name}: {count} latency spikes (average {mean}ms, period {period} sec). Worst all time event {}ms.\n   {}",
            number + 1,
            series.worst_ms,
            advice(name)
        );
    }
    text
}
