//! A copy from a sibling: where `repl-sync-source` is `replica`, a primary that would have to make a full copy names one of its replicas
//! instead. The copy stands at a place of the primary's own stream, which goes on from there; if nothing comes of it the primary is asked
//! for the copy after all.

use crate::Engine;
use crate::keeper::slave::Source;

/// The sibling's stream is followed for so long, so that next to nothing is asked of the primary. Milliseconds.
const SETTLE_MS: u64 = 1000;

impl Engine {
    /// Whether the primary may name a sibling: once, until its stream is followed.
    pub(super) fn takes_sibling(&self) -> bool {
        let slave = self.keeper.slave.as_ref();
        self.config.repl_sync_source == conf::SyncSource::Replica
            && slave.is_none_or(|slave| slave.source == Source::Primary)
    }

    /// The primary has named the replica to copy from.
    pub(super) fn copy_from(&mut self, host: String, port: u16) {
        tracing::info!("PRIMARY <-> REPLICA sync: the copy is to come from replica {host}:{port}");
        if let Some(slave) = &mut self.keeper.slave {
            slave.source = Source::Sibling {
                host,
                port,
                since_ms: None,
            };
        }
        self.reach_primary();
    }

    /// The link is gone. Whatever a sibling was good for, the primary is asked next.
    pub(super) fn forget_sibling(&mut self, followed: bool) {
        let Some(slave) = &mut self.keeper.slave else {
            return;
        };
        if let Source::Sibling { host, port, .. } = &slave.source {
            if !followed {
                tracing::warn!(
                    "PRIMARY <-> REPLICA sync: no copy came from replica {host}:{port}, the primary is asked for one"
                );
            }
            slave.source = Source::PrimaryOnly;
        }
    }

    /// Once a second: from the sibling to the primary.
    pub(super) fn leave_sibling(&mut self) {
        let (now_ms, linked) = (self.now.mono_ms, self.is_linked());
        let Some(slave) = self.keeper.slave.as_mut().filter(|_| linked) else {
            return;
        };
        match &mut slave.source {
            Source::Sibling { since_ms, .. } => {
                let since_ms = *since_ms.get_or_insert(now_ms);
                if now_ms.saturating_sub(since_ms) >= SETTLE_MS {
                    tracing::info!(
                        "PRIMARY <-> REPLICA sync: the copy is there, the stream comes from the primary from now on"
                    );
                    self.close_link();
                    self.perform_link();
                }
            }
            Source::PrimaryOnly => slave.source = Source::Primary,
            Source::Primary => {}
        }
    }
}
