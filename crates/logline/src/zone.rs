//! The time zone of this machine, as C's `localtime` finds it.

use std::sync::LazyLock;

use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// What every Unix has, a file or a link to one.
const SYSTEM: &str = "/etc/localtime";

/// The time now, in the local zone.
pub(crate) fn now() -> Zoned {
    Timestamp::now().to_zoned(local())
}

/// The zone that `TZ` names, or the system's. Looked for once.
///
/// The system's file is read as it is. To know it by its name, all zones there are would be listed, and that is a fifth of the time
/// that a daemon takes to start.
pub(crate) fn local() -> TimeZone {
    static LOCAL: LazyLock<TimeZone> = LazyLock::new(|| {
        let from_file = || {
            let zone = std::fs::read(SYSTEM).ok()?;
            TimeZone::tzif("Local", &zone).ok()
        };
        let named = std::env::var_os("TZ").is_some();
        let zone = if named { None } else { from_file() };
        zone.unwrap_or_else(TimeZone::system)
    });
    LOCAL.clone()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_zone_is_the_one_that_the_library_finds() {
        for seconds in [0, 1_500_000_000, 1_763_794_486] {
            let time = Timestamp::from_second(seconds).unwrap();
            assert_eq!(
                local().to_offset(time),
                TimeZone::system().to_offset(time),
                "{time}"
            );
        }
    }
}
