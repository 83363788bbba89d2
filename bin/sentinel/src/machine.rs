//! The machine: clocks, entropy, and what INFO tells of it.

use std::fmt::Write as _;
use std::io::Read as _;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use daemon::{as_path, files, reason};
use sentinel_core::Now;
use sentinel_core::config::{CpuTime, CpuUsed, Facts, World};

use crate::config;

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

    /// A new run id, or an id for a sentinel that has none yet.
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
    pub(crate) fn facts(&self, config_file: &Path, run_id: String) -> Facts {
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
                ("server_name", "tern".to_owned()),
                ("tern_version", env!("CARGO_PKG_VERSION").to_owned()),
                ("redis_git_sha1", "00000000".to_owned()),
                ("redis_git_dirty", "0".to_owned()),
                ("redis_build_id", "0".to_owned()),
                ("redis_mode", "sentinel".to_owned()),
                ("server_mode", "sentinel".to_owned()),
                ("os", os),
                ("arch_bits", usize::BITS.to_string()),
                ("monotonic_clock", "POSIX clock_gettime".to_owned()),
                ("multiplexing_api", "epoll".to_owned()),
            ],
            process_id: std::process::id(),
            run_id,
            executable: std::env::current_exe()
                .map(|path| path.display().to_string())
                .unwrap_or_default(),
            cpu: Some(cpu_used),
            config_file: config_file.display().to_string(),
        }
    }
}

/// What the core asks of this machine.
pub(crate) fn world() -> World {
    World {
        is_executable: config::is_executable,
        read_file: |path| std::fs::read(as_path(path)).map_err(|error| reason(&error)),
        write_file: |path, content| {
            files::replace(as_path(path), content).map_err(|error| reason(&error))
        },
        fill_random: |bytes| fill_random(bytes).map_err(|error| reason(&error)),
    }
}

fn fill_random(bytes: &mut [u8]) -> std::io::Result<()> {
    std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(bytes))
}

fn entropy<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    fill_random(&mut bytes).context("Cannot read /dev/urandom")?;
    Ok(bytes)
}

/// The processor time that was used so far. The thread that asks is the one that serves.
fn cpu_used() -> CpuUsed {
    let [process, children] = cpu_times("/proc/self/stat");
    let [main_thread, _] = cpu_times("/proc/thread-self/stat");
    CpuUsed {
        process,
        children,
        main_thread,
    }
}

/// What a process or thread has used, and the children that it waited for.
fn cpu_times(stat: &str) -> [CpuTime; 2] {
    let stat = std::fs::read_to_string(stat).unwrap_or_default();
    // The program's name stands in parentheses and may have blanks; the twelfth field behind it is the first of the four.
    let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields);
    let mut ticks = fields
        .split_whitespace()
        .skip(11)
        .map(|field| field.parse().unwrap_or(0));
    let mut next = || {
        let ticks: u64 = ticks.next().unwrap_or(0);
        ticks.saturating_mul(1_000_000) / rustix::param::clock_ticks_per_second().max(1)
    };
    [(); 2].map(|()| {
        let user_us = next();
        CpuTime {
            kernel_us: next(),
            user_us,
        }
    })
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
