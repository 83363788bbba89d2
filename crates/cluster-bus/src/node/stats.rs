//! What went over the bus, counted by type: for CLUSTER INFO.

use super::state::Stats;

impl super::state::Node {
    /// Counts packets and links anew: CONFIG RESETSTAT.
    pub fn reset_stats(&mut self) {
        self.stats = Stats::default();
        self.links.limit_exceeded = 0;
    }
}
