//! The allocator: which one, how it is set up, and how much of it is in use. What the figures decide is the engine's.
#![expect(
    unsafe_code,
    reason = "one attribute: the symbol by which jemalloc finds its settings"
)]

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tikv_jemalloc_ctl::thread::{ThreadLocal, allocatedp, deallocatedp};
use tikv_jemalloc_ctl::{Access as _, AsName as _};

#[global_allocator]
static ALLOCATOR: store::Aligned<tikv_jemallocator::Jemalloc> =
    store::Aligned(tikv_jemallocator::Jemalloc);

/// jemalloc's settings; the environment variable `_RJEM_MALLOC_CONF` overrules them. What was freed goes back to the system a
/// tenth of a second later: what a growing keyspace leaves behind is a tenth of a small one. Small blocks lie in slabs of 32 KB: jemalloc keeps 128
/// bytes of its own for each slab, and its slabs of one page cost a block of 64 bytes two more, one of 128 bytes four.
// SAFETY: the name is jemalloc's, for a pointer to a string that ends with a zero byte, and this is one.
#[unsafe(export_name = "_rjem_malloc_conf")]
static SETTINGS: &[u8; 55] = b"dirty_decay_ms:100,muzzy_decay_ms:0,slab_sizes:8-512:8\0";

/// jemalloc's count of bytes in the caches of all threads (4096 is all arenas).
const CACHED_BYTES: &[u8] = b"stats.arenas.4096.tcache_bytes\0";

/// Bytes that jemalloc has handed out, those of the pages they are on, and those that it keeps in memory, as of the last count.
pub(crate) fn allocator() -> [usize; 3] {
    use tikv_jemalloc_ctl::stats;
    let all = [
        stats::allocated::read(),
        stats::active::read(),
        stats::resident::read(),
    ];
    all.map(|bytes| bytes.unwrap_or(0))
}

/// jemalloc's figures as of the last count, for people.
pub(crate) fn report() -> String {
    use tikv_jemalloc_ctl::{arenas, stats, version};
    let figures = [
        ("allocated", stats::allocated::read()),
        ("active", stats::active::read()),
        ("metadata", stats::metadata::read()),
        ("resident", stats::resident::read()),
        ("mapped", stats::mapped::read()),
        ("retained", stats::retained::read()),
    ];
    let arenas = arenas::narenas::read().unwrap_or(0);
    let mut report = format!(
        "jemalloc {}, {arenas} arenas\n",
        version::read()
            .unwrap_or("of an unknown version")
            .trim_end_matches('\0')
    );
    for (name, bytes) in figures {
        report += &format!("{name}: {}\n", bytes.unwrap_or(0));
    }
    report
}

/// Bytes in use. Made on the thread that serves, and asked there.
#[derive(Clone)]
pub(crate) struct Memory {
    /// What this thread ever took and gave back.
    allocated: Option<ThreadLocal<u64>>,
    deallocated: Option<ThreadLocal<u64>>,
    /// What another thread has freed.
    elsewhere: Freed,
    /// What was in use when it was last counted, less what the two above stood at.
    base: Cell<u64>,
}

/// What a thread has freed in all, for others to read.
#[derive(Clone, Debug, Default)]
pub(crate) struct Freed(Arc<AtomicU64>);

impl Memory {
    /// `elsewhere` is what the thread that frees big values counts.
    pub(crate) fn new(elsewhere: Freed) -> Self {
        let memory = Self {
            // Without the counters (a jemalloc built without statistics) every look is a count.
            allocated: allocatedp::read().ok(),
            deallocated: deallocatedp::read().ok(),
            elsewhere,
            base: Cell::new(0),
        };
        memory.count();
        // Without a thread of its own jemalloc gives nothing back while nothing is asked of it. A process that was forked since the
        // start has lost that thread, so it is asked for here. Where it cannot be had, memory goes back when clients come.
        let _ = tikv_jemalloc_ctl::background_thread::write(true);
        memory
    }

    /// All bytes in use, counted over all threads. That takes a while.
    pub(crate) fn count(&self) -> usize {
        // Statistics are as old as the epoch; if it cannot be advanced they are a little older.
        let _ = tikv_jemalloc_ctl::epoch::advance();
        let allocated = tikv_jemalloc_ctl::stats::allocated::read().unwrap_or(0);
        // What threads keep at hand after it was freed is not in use.
        let kept: usize = CACHED_BYTES.name().read().unwrap_or(0);
        let used = allocated.saturating_sub(kept);
        self.base.set((used as u64).wrapping_sub(self.since()));
        used
    }

    /// The last count, and what was taken and given back since by this thread and by the one that frees.
    pub(crate) fn estimate(&self) -> usize {
        if self.allocated.is_none() || self.deallocated.is_none() {
            return self.count();
        }
        let used = self.base.get().wrapping_add(self.since()).cast_signed();
        usize::try_from(used).unwrap_or(0)
    }

    fn since(&self) -> u64 {
        let counter = |counter: Option<ThreadLocal<u64>>| counter.map_or(0, ThreadLocal::get);
        counter(self.allocated)
            .wrapping_sub(counter(self.deallocated))
            .wrapping_sub(self.elsewhere.0.load(Ordering::Relaxed))
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Memory").finish_non_exhaustive()
    }
}

impl Freed {
    /// To be called on the thread that frees, after it did.
    pub(crate) fn tell(&self) {
        if let (Ok(freed), Ok(taken)) = (deallocatedp::read(), allocatedp::read()) {
            let net = freed.get().wrapping_sub(taken.get());
            self.0.store(net, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_estimate_follows_what_is_taken_and_given_back() {
        const BYTES: usize = 32 << 20;
        let freed = Freed::default();
        let memory = Memory::new(freed.clone());
        let before = memory.estimate();
        let block = vec![1_u8; BYTES];
        let with = memory.estimate();
        assert!(with >= before + BYTES && with < before + BYTES + (1 << 20));
        std::thread::spawn(move || {
            drop(block);
            freed.tell();
        })
        .join()
        .expect("the thread ends well");
        assert!(memory.estimate() < before + (1 << 20));
    }

    #[test]
    fn the_allocator_tells_of_itself() {
        let report = report();
        assert!(report.starts_with("jemalloc 5."), "{report}");
        assert!(!report.contains('\0'), "{report}");
        let line = report
            .lines()
            .find_map(|line| line.strip_prefix("allocated: "));
        let bytes: Option<u64> = line.and_then(|bytes| bytes.parse().ok());
        assert!(bytes.is_some_and(|bytes| bytes > 0), "{report}");
    }
}
