//! The machine: clocks, entropy, and what INFO tells of it.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use sentinel_core::Now;
use sentinel_core::config::Facts;

/// The real machine.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    start: Instant,
}

impl Machine {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    /// The time now.
    pub(crate) fn now(&self) -> Now {
        let unix = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        Now {
            mono_ms: millis(self.start.elapsed()),
            unix_ms: millis(unix),
        }
    }

    /// The moment of a core's deadline.
    pub(crate) fn instant(&self, mono_ms: u64) -> Instant {
        let far = self.start + Duration::from_secs(100 * 365 * 86_400);
        self.start
            .checked_add(Duration::from_millis(mono_ms))
            .unwrap_or(far)
    }

    /// A new run id.
    #[expect(clippy::unused_self, reason = "it is the machine's entropy")]
    pub(crate) fn runid(&self) -> anyhow::Result<String> {
        let mut runid = String::new();
        for byte in entropy::<20>()? {
            write!(runid, "{byte:02x}")?;
        }
        Ok(runid)
    }

    /// A seed for the core's delays.
    #[expect(clippy::unused_self, reason = "it is the machine's entropy")]
    pub(crate) fn seed(&self) -> anyhow::Result<u64> {
        Ok(u64::from_le_bytes(entropy()?))
    }

    /// What INFO tells of the program and its machine.
    #[expect(clippy::unused_self, reason = "they are the machine's facts")]
    pub(crate) fn facts(&self, config_file: &Path) -> Facts {
        let uname = rustix::system::uname();
        let name = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
        let os = format!(
            "{} {} {}",
            name(uname.sysname()),
            name(uname.release()),
            name(uname.machine())
        );
        Facts {
            build: vec![
                ("redis_git_sha1", "00000000".to_owned()),
                ("redis_git_dirty", "0".to_owned()),
                ("redis_build_id", "0".to_owned()),
                ("redis_mode", "sentinel".to_owned()),
                ("os", os),
                ("arch_bits", usize::BITS.to_string()),
                ("multiplexing_api", "epoll".to_owned()),
                ("gcc_version", "0.0.0".to_owned()),
                ("server_name", "tern".to_owned()),
                ("tern_version", env!("CARGO_PKG_VERSION").to_owned()),
            ],
            process_id: std::process::id(),
            config_file: config_file.display().to_string(),
        }
    }
}

fn entropy<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    let read = std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes));
    read.context("Cannot read /dev/urandom")?;
    Ok(bytes)
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
