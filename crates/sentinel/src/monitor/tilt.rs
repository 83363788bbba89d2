//! TILT: when the time between two ticks is not what it should be, the process was frozen or the clock was set, and
//! everything would look timed out. For a while the sentinel then only watches and acts on nothing.
//!
//! Deadlines here use the monotonic clock, so a jump of the system's clock harms nothing; it still starts TILT, as in
//! Redis, because the sentinels around may be on the same disturbed host.

use crate::context::Context;
use crate::io::{Level, Now};

impl Context {
    /// Compares the moment of this tick with that of the last one, and enters or leaves TILT.
    pub(crate) fn check_tilt(&mut self, now: Now) {
        let last = std::mem::replace(&mut self.last_tick, now);
        let frozen = now.mono_ms.saturating_sub(last.mono_ms) > self.periods.tilt_trigger;
        let jumped = now
            .unix_ms
            .checked_sub(last.unix_ms)
            .is_none_or(|passed| passed > self.periods.tilt_trigger);
        if frozen || jumped {
            self.tilt_since = Some(now.mono_ms);
            self.tilts += 1;
            self.event(
                Level::Warning,
                "+tilt",
                "#tilt mode entered".to_owned(),
                None,
            );
        } else if self
            .tilt_since
            .is_some_and(|since| now.mono_ms.saturating_sub(since) >= self.periods.tilt)
        {
            self.tilt_since = None;
            self.event(
                Level::Warning,
                "-tilt",
                "#tilt mode exited".to_owned(),
                None,
            );
        }
    }
}
