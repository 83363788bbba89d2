//! Answers what the thread of `metrics-port` asks: the sentinel's figures, by the names that redis_exporter made common.

use metrics::{Number, Snapshot};
use sentinel_core::{Figures, MasterFigures};

/// What is told.
pub(crate) fn snapshot(figures: Figures) -> Snapshot {
    Snapshot {
        info: figures.info,
        numbers: figures.masters.iter().flat_map(numbers).collect(),
        ..Snapshot::default()
    }
}

fn numbers(master: &MasterFigures) -> Vec<Number> {
    let of_master = |(name, help, value)| Number {
        name,
        help,
        labels: vec![
            ("master_name", master.name.clone()),
            ("master_address", master.address.clone()),
        ],
        value,
    };
    let (can, message) = match &master.failover {
        Ok(line) => (true, line.clone()),
        Err(line) => (false, line.clone()),
    };
    let ckquorum = Number {
        name: "sentinel_master_ckquorum_status",
        help: "Whether enough sentinels are reachable to fail over",
        labels: vec![("master_name", master.name.clone()), ("message", message)],
        value: f64::from(u8::from(can)),
    };
    let gauges = settings(master).into_iter().chain(observed(master));
    gauges.map(of_master).chain([ckquorum]).collect()
}

type Gauge = (&'static str, &'static str, f64);

/// What is configured.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn settings(master: &MasterFigures) -> [Gauge; 4] {
    [
        (
            "sentinel_master_setting_ckquorum",
            "How many sentinels have to agree that the master is down",
            master.quorum as f64,
        ),
        (
            "sentinel_master_setting_down_after_milliseconds",
            "Milliseconds without a good answer after which the master is down",
            master.down_after_ms as f64,
        ),
        (
            "sentinel_master_setting_failover_timeout",
            "Milliseconds after which a failover has failed",
            master.failover_timeout_ms as f64,
        ),
        (
            "sentinel_master_setting_parallel_syncs",
            "How many replicas make a copy of a new master at a time",
            master.parallel_syncs as f64,
        ),
    ]
}

/// What is seen.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn observed(master: &MasterFigures) -> Vec<Gauge> {
    let mut gauges = vec![
        (
            "sentinel_master_ok_slaves",
            "Replicas of the master that are up for this sentinel",
            master.ok_slaves as f64,
        ),
        (
            "sentinel_master_ok_sentinels",
            "Sentinels of the master that are up for this one, which is counted too",
            master.ok_sentinels as f64,
        ),
        (
            "sentinel_master_config_epoch",
            "The version of the master's configuration",
            master.config_epoch as f64,
        ),
        (
            "sentinel_master_last_ok_ping_reply_seconds",
            "Seconds since the master's last good answer",
            master.last_ok_ms as f64 / 1000.0,
        ),
        (
            "tern_sentinel_master_saturated",
            "Whether the master answers late or refuses writes, and has done so for long enough",
            f64::from(u8::from(master.saturated)),
        ),
    ];
    if let Some(ms) = master.round_trip_ms {
        gauges.push((
            "tern_sentinel_master_ping_round_trip_seconds",
            "What the master takes for an answer, the median of the last nine",
            ms as f64 / 1000.0,
        ));
    }
    gauges
}
