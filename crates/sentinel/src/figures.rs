//! Figures: what a sentinel tells about itself to those who are no clients.

use crate::Monitor;
use crate::commands::sentinel::check_quorum;

/// What a sentinel tells about itself at one moment.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// INFO with all its sections.
    pub info: String,
    /// What INFO does not tell of the masters.
    pub masters: Vec<MasterFigures>,
}

/// What INFO does not tell of a master.
#[derive(Clone, Debug)]
pub struct MasterFigures {
    /// Its name.
    pub name: String,
    /// Its `host:port`, as INFO has it.
    pub address: String,
    /// How many of its replicas are up for this sentinel.
    pub ok_slaves: usize,
    /// How many of its sentinels are, this one included.
    pub ok_sentinels: usize,
    /// How many have to agree that it is down.
    pub quorum: usize,
    /// Whether enough sentinels are reachable to see it down and to fail over, in the words of SENTINEL CKQUORUM.
    pub failover: Result<String, String>,
    /// Milliseconds after which a failover has failed.
    pub failover_timeout_ms: u64,
    /// How many replicas make a copy of a new master at a time.
    pub parallel_syncs: i64,
    /// The version of its configuration.
    pub config_epoch: u64,
    /// Milliseconds without a good answer after which it is down for this sentinel.
    pub down_after_ms: u64,
    /// Milliseconds since its last good answer.
    pub last_ok_ms: u64,
    /// Milliseconds that it takes for an answer, as most of the last ones did.
    pub round_trip_ms: Option<u64>,
    /// Whether it answers late or refuses writes, and has done so for long enough.
    pub saturated: bool,
}

impl Monitor {
    /// The figures of now.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let masters = self.masters.iter().map(|master| {
            let quorum = check_quorum(master);
            MasterFigures {
                name: master.name.clone(),
                address: format!(
                    "{}:{}",
                    self.cx.shown(&master.node.addr),
                    master.node.addr.port
                ),
                ok_slaves: master
                    .slaves
                    .iter()
                    .filter(|slave| !slave.node.sdown)
                    .count(),
                ok_sentinels: quorum.usable,
                quorum: master.quorum(),
                failover: quorum.told(),
                failover_timeout_ms: master.options.failover_timeout_ms,
                parallel_syncs: master.options.parallel_syncs,
                config_epoch: master.config_epoch,
                down_after_ms: master.options.down_after_ms,
                last_ok_ms: self.cx.mono().saturating_sub(master.node.last_ok_pong),
                round_trip_ms: master.node.answers.round_trip(),
                saturated: master.saturation.is,
            }
        });
        Figures {
            info: self.info_text(&[]),
            masters: masters.collect(),
        }
    }
}
