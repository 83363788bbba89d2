//! Which command runs, for other threads to see: a watchdog asks when the engine does not come round.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::index;

use crate::Engine;

/// The command that the engine is running. Written by its thread, read by any.
#[derive(Debug, Default)]
pub struct Running(AtomicUsize);

impl Running {
    /// The command's name, if one runs.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        let place = self.0.load(Ordering::Relaxed).checked_sub(1)?;
        index::entries().nth(place).map(|entry| entry.command.name)
    }

    /// The command at this place of the table begins.
    pub(crate) fn begin(&self, number: usize) {
        self.0.store(number + 1, Ordering::Relaxed);
    }

    /// It has ended.
    pub(crate) fn end(&self) {
        self.0.store(0, Ordering::Relaxed);
    }
}

impl Engine {
    /// What runs, for other threads and for crash reports.
    #[must_use]
    pub fn running(&self) -> Arc<Running> {
        Arc::clone(&self.meter.running)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_named_while_it_runs() {
        let running = Running::default();
        assert_eq!(running.name(), None);
        running.begin(0);
        assert_eq!(
            running.name(),
            index::entries().next().map(|entry| entry.command.name)
        );
        running.end();
        assert_eq!(running.name(), None);
    }
}
