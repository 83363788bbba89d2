//! The machine: its cores, the CPU time and resident memory of a process, and how many files may be open.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;

/// Which core does what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cores {
    /// The servers', one after the other.
    pub server: usize,
    /// The load generator's.
    pub client: usize,
}

impl Cores {
    /// The first and the last core that this process may use; none where there is only one.
    ///
    /// # Errors
    ///
    /// The kernel does not say which cores there are.
    pub fn choose() -> Result<Option<Cores>> {
        let allowed = sched_getaffinity(Pid::from_raw(0)).context("sched_getaffinity")?;
        let mut cores =
            (0..CpuSet::count()).filter(|&core| allowed.is_set(core).is_ok_and(|set| set));
        let first = cores.next();
        Ok(first
            .zip(cores.next_back())
            .map(|(server, client)| Cores { server, client }))
    }

    /// Reads `SERVER,CLIENT`.
    ///
    /// # Errors
    ///
    /// The text is not two numbers.
    pub fn parse(text: &str) -> Result<Cores> {
        let Some((server, client)) = text.split_once(',') else {
            bail!("two cores as SERVER,CLIENT");
        };
        Ok(Cores {
            server: server.trim().parse()?,
            client: client.trim().parse()?,
        })
    }
}

/// Binds this thread, and what it starts, to one core.
///
/// # Errors
///
/// There is no such core, or it is not for us.
pub fn pin(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core)
        .and_then(|()| sched_setaffinity(Pid::from_raw(0), &set))
        .with_context(|| format!("binding to core {core}"))
}

/// The CPU time, user and system, that a process has used with all its threads.
///
/// # Errors
///
/// There is no such process.
pub fn cpu_time(pid: u32) -> Result<Duration> {
    let pid = Pid::from_raw(i32::try_from(pid)?);
    let now = clock_getcpuclockid(pid)
        .and_then(nix::time::ClockId::now)
        .context("the CPU clock of a server")?;
    Ok(Duration::from(now))
}

/// How long the threads of a process have waited for a core although they could have run. On a machine that does nothing else this does
/// not grow.
///
/// # Errors
///
/// There is no such process, or the kernel does not say.
pub fn waited(pid: u32) -> Result<Duration> {
    let mut nanoseconds = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        // A thread may end while its siblings are looked at.
        let text = std::fs::read_to_string(task?.path().join("schedstat")).unwrap_or_default();
        let field = text.split(' ').nth(1).and_then(|field| field.parse().ok());
        nanoseconds += field.unwrap_or(0);
    }
    Ok(Duration::from_nanos(nanoseconds))
}

/// The bytes of a process that are in memory.
///
/// # Errors
///
/// There is no such process, or the kernel does not say.
pub fn resident_bytes(pid: u32) -> Result<u64> {
    // The roll-up counts pages; the field of `status` may lag behind by what each core holds back.
    let exact = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
        .ok()
        .and_then(|text| kilobytes(&text, "Rss:"));
    let kilobytes = match exact {
        Some(found) => found,
        None => {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
            kilobytes(&status, "VmRSS:").context("no resident size in /proc")?
        }
    };
    Ok(kilobytes * 1024)
}

/// The number after a name, in a file of `name: number kB` lines.
fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().trim_end_matches("kB").trim().parse().ok()
}

/// Raises the limit of open files to what is wanted, or as far as this user may, and returns the limit.
///
/// # Errors
///
/// The kernel does not say what the limit is.
pub fn raise_open_files(wanted: u64) -> Result<u64> {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    if soft >= wanted {
        return Ok(soft);
    }
    if hard < wanted && setrlimit(Resource::RLIMIT_NOFILE, wanted, wanted).is_ok() {
        return Ok(wanted);
    }
    let most = wanted.min(hard);
    setrlimit(Resource::RLIMIT_NOFILE, most, most.max(hard))?;
    Ok(most)
}

/// One line about the machine, for the head of a report.
#[must_use]
pub fn description() -> String {
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpus = read("/proc/cpuinfo");
    let models = || {
        cpus.lines()
            .filter_map(|line| line.strip_prefix("model name")?.split_once(':'))
            .map(|(_, model)| model.trim())
    };
    let gigabytes = kilobytes(&read("/proc/meminfo"), "MemTotal:").unwrap_or(0) >> 20;
    format!(
        "{}, {} cores, {gigabytes} GB, Linux {}",
        models().next().unwrap_or("unknown CPU"),
        models().count(),
        read("/proc/sys/kernel/osrelease").trim()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cores_are_read_from_the_command_line() {
        let cores = Cores::parse("2, 7").unwrap();
        assert_eq!((cores.server, cores.client), (2, 7));
        assert!(Cores::parse("2").is_err() && Cores::parse("a,b").is_err());
    }

    #[test]
    fn a_process_has_a_clock_and_a_size() {
        let me = std::process::id();
        let before = cpu_time(me).unwrap();
        let mut work = 0_u64;
        while cpu_time(me).unwrap() == before {
            work = std::hint::black_box(work + 1);
        }
        assert!(resident_bytes(me).unwrap() > 100_000);
        assert!(waited(me).is_ok() && waited(4_200_000).is_err());
        // More than the kernel's largest.
        let nobody = 4_200_000;
        assert!(cpu_time(nobody).is_err() && resident_bytes(nobody).is_err());
    }

    #[test]
    fn sizes_are_found_by_name() {
        let text = "VmHWM:\t  900 kB\nVmRSS:\t  812 kB\n";
        assert_eq!(kilobytes(text, "VmRSS:"), Some(812));
        assert_eq!(kilobytes(text, "Rss:"), None);
    }
}
