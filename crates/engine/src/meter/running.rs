//! Which command runs, for other threads to see: a watchdog asks when the engine does not come round.

use std::sync::atomic::{AtomicUsize, Ordering};

/// The command that the engine is running. Written by its thread, read by any.
#[derive(Debug)]
pub struct Running {
    /// One more than the number of the command; 0 while none runs.
    place: AtomicUsize,
    /// The names of all commands and subcommands.
    names: Vec<&'static str>,
}

impl Running {
    pub(crate) fn new(names: Vec<&'static str>) -> Self {
        Self {
            place: AtomicUsize::new(0),
            names,
        }
    }

    /// The command's name, if one runs.
    #[must_use]
    pub fn name(&self) -> Option<&'static str> {
        let number = self.place.load(Ordering::Relaxed).checked_sub(1)?;
        self.names.get(number).copied()
    }

    /// The command's number, if one runs.
    pub(crate) fn number(&self) -> Option<usize> {
        self.place.load(Ordering::Relaxed).checked_sub(1)
    }

    /// The command of this number begins.
    pub(crate) fn begin(&self, number: usize) {
        self.place.store(number + 1, Ordering::Relaxed);
    }

    /// It has ended.
    pub(crate) fn end(&self) {
        self.place.store(0, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_named_while_it_runs() {
        let running = Running::new(vec!["get", "set"]);
        assert_eq!(running.name(), None);
        running.begin(1);
        assert_eq!(running.name(), Some("set"));
        running.end();
        assert_eq!(running.name(), None);
    }
}
