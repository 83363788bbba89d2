//! Events that took long, as they are kept. LATENCY is in `latency.rs`.

use std::collections::BTreeMap;

/// The samples of one event, oldest first: (Unix seconds, milliseconds). One second has one sample, the worst.
#[derive(Debug, Default)]
pub(crate) struct Series {
    pub(crate) samples: Vec<(u64, u64)>,
    pub(crate) worst_ms: u64,
    pub(crate) sum_ms: u64,
    pub(crate) count: u64,
}

/// All events that were ever slow.
#[derive(Debug, Default)]
pub(crate) struct Latency(pub(crate) BTreeMap<&'static str, Series>);

impl Latency {
    /// The last sample of each event.
    pub(crate) fn last(&self) -> Vec<(&'static str, (u64, u64))> {
        let events = self.0.iter();
        events
            .filter_map(|(name, series)| Some((*name, *series.samples.last()?)))
            .collect()
    }
}
