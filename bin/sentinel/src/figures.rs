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

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn numbers(master: &MasterFigures) -> Vec<Number> {
    let labels = || {
        vec![
            ("master_name", master.name.clone()),
            ("master_address", master.address.clone()),
        ]
    };
    let number = |name, help, value| Number {
        name,
        help,
        labels: labels(),
        value,
    };
    let round_trip = master.round_trip_ms.map(|ms| {
        number(
            "tern_sentinel_master_ping_round_trip_seconds",
            "What the master takes for an answer, the median of the last nine",
            ms as f64 / 1000.0,
        )
    });
    let message = master.failover.clone().err().unwrap_or_default();
    let numbers = vec![
        number(
            "sentinel_master_ok_slaves",
            "Replicas of the master that are up for this sentinel",
            master.ok_slaves as f64,
        ),
        number(
            "sentinel_master_ok_sentinels",
            "Sentinels of the master that are up for this one, which is counted too",
            master.ok_sentinels as f64,
        ),
        number(
            "sentinel_master_setting_ckquorum",
            "How many sentinels have to agree that the master is down",
            master.quorum as f64,
        ),
        number(
            "sentinel_master_setting_down_after_milliseconds",
            "Milliseconds without a good answer after which the master is down",
            master.down_after_ms as f64,
        ),
        number(
            "sentinel_master_config_epoch",
            "The version of the master's configuration",
            master.config_epoch as f64,
        ),
        number(
            "sentinel_master_last_ok_ping_reply_seconds",
            "Seconds since the master's last good answer",
            master.last_ok_ms as f64 / 1000.0,
        ),
        number(
            "tern_sentinel_master_saturated",
            "Whether the master answers late or refuses writes, and has done so for long enough",
            f64::from(u8::from(master.saturated)),
        ),
        Number {
            name: "sentinel_master_ckquorum_status",
            help: "Whether enough sentinels are reachable to fail over",
            labels: vec![("master_name", master.name.clone()), ("message", message)],
            value: f64::from(u8::from(master.failover.is_ok())),
        },
    ];
    numbers.into_iter().chain(round_trip).collect()
}
