//! LATENCY: which events took long, when, and what to do about it; and how long each command takes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use commands::{Args, Done, Error};

use crate::entry::{Entry, find_sub};
use crate::meter::latency::{Latency, Series};
use crate::{ClientId, Engine};

/// Samples kept per event.
const MOST_SAMPLES: usize = 160;
/// Rows of a graph.
const GRAPH_ROWS: usize = 4;

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
        series.sum_ms = series.sum_ms.saturating_add(ms);
        series.count += 1;
        match series.samples.last_mut() {
            Some((at, worst)) if *at == now => *worst = (*worst).max(ms),
            _ => series.samples.push((now, ms)),
        }
        if series.samples.len() > MOST_SAMPLES {
            series.samples.remove(0);
        }
    }

    fn series(&self, event: &[u8]) -> Option<(&'static str, &Series)> {
        let found = self
            .meter
            .latency
            .0
            .iter()
            .find(|(known, _)| known.as_bytes() == event);
        found.map(|(name, series)| (*name, series))
    }
}

fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

/// LATENCY HISTORY event
pub(crate) fn history(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let samples = engine.series(args[2]);
    let samples = samples.map(|(_, series)| series.samples.clone());
    let samples = samples.unwrap_or_default();
    let out = &mut engine.sessions.clients[id].out;
    out.array(samples.len());
    for (at, ms) in samples {
        out.array(2);
        out.int(int(at));
        out.int(int(ms));
    }
    Ok(())
}

/// LATENCY LATEST
pub(crate) fn latest(engine: &mut Engine, id: ClientId, _args: Args<'_>) -> Done {
    let Engine {
        meter, sessions, ..
    } = engine;
    let Latency(events) = &meter.latency;
    let out = &mut sessions.clients[id].out;
    out.array(events.len());
    for (name, series) in events.iter() {
        let (at, ms) = series.samples.last().copied().unwrap_or_default();
        out.array(6);
        out.bulk(name);
        for number in [at, ms, series.worst_ms, series.sum_ms, series.count] {
            out.int(int(number));
        }
    }
    Ok(())
}

/// LATENCY GRAPH event
pub(crate) fn graph(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let now = engine.now.unix_ms() / 1000;
    let Some((name, series)) = engine.series(args[2]) else {
        return Err(Error::quoting(
            "ERR No samples available for event '",
            args[2],
            "'",
        ));
    };
    let text = drawn(name, series, now);
    engine.sessions.clients[id].out.verbatim("txt", text);
    Ok(())
}

/// LATENCY DOCTOR
pub(crate) fn doctor(engine: &mut Engine, id: ClientId, _args: Args<'_>) -> Done {
    let text = report(
        &engine.meter.latency.0,
        engine.config.latency_monitor_threshold > 0,
    );
    engine.sessions.clients[id].out.verbatim("txt", text);
    Ok(())
}

/// LATENCY RESET [event …]
pub(crate) fn reset(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let events = &mut engine.meter.latency.0;
    let before = events.len();
    let names = &args[2..];
    events.retain(|known, _| !names.is_empty() && !names.contains(&known.as_bytes()));
    let gone = before - events.len();
    engine.sessions.clients[id].out.count(gone);
    Ok(())
}

/// LATENCY HISTOGRAM [command …]
pub(crate) fn histogram(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let chosen: Vec<Entry> = if args.len() == 2 {
        engine.index.entries().to_vec()
    } else {
        args[2..]
            .iter()
            .flat_map(|name| named(engine, name))
            .collect()
    };
    let Engine {
        meter, sessions, ..
    } = engine;
    let out = &mut sessions.clients[id].out;
    let chosen: Vec<_> = chosen
        .into_iter()
        .map(|entry| (entry, &meter.stats.per_command[entry.number].times))
        .filter(|(_, times)| times.count() > 0)
        .collect();
    out.map(chosen.len());
    for (entry, times) in chosen {
        out.bulk(entry.command.name);
        out.map(2);
        out.bulk("calls");
        out.int(int(times.count()));
        out.bulk("histogram_usec");
        let buckets = times.doublings();
        out.map(buckets.len());
        for (usec, count) in buckets {
            out.int(int(usec));
            out.int(int(count));
        }
    }
    Ok(())
}

/// A command with its subcommands, or one subcommand.
fn named(engine: &Engine, name: &[u8]) -> Vec<Entry> {
    let (name, sub) = match name.iter().position(|byte| *byte == b'|') {
        Some(bar) => (&name[..bar], Some(&name[bar + 1..])),
        None => (name, None),
    };
    match (engine.index.find(name), sub) {
        (None, _) => Vec::new(),
        (Some(entry), None) => std::iter::once(entry).chain(&entry.subs).collect(),
        (Some(entry), Some(sub)) => find_sub(entry, sub).into_iter().collect(),
    }
}

/// A graph in characters: one column per sample, its age below it.
fn drawn(name: &str, series: &Series, now: u64) -> String {
    let values = || series.samples.iter().map(|sample| sample.1);
    let low = values().min().unwrap_or(0);
    let high = values().max().unwrap_or(0);
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
            "Look at COMMANDLOG GET 10 slow for the commands, and do less at once: SCAN for KEYS, ranges for whole collections."
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

fn report(events: &BTreeMap<&'static str, Series>, watching: bool) -> String {
    if !watching && events.is_empty() {
        return "I'm sorry, Dave, I can't do that. Latency monitoring is disabled in this server. \
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
