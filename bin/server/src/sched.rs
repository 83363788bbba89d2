//! Hints to the scheduler.
#![expect(unsafe_code, reason = "one system call that no library offers")]

/// How far a child that saves stands back behind its parent (the scale of `nice`): beside a busy one it gets two fifths of a core that
/// they share.
const CHILD_NICE: i32 = 2;
/// How long it runs before the scheduler looks again whether its parent has something to do; the least that Linux takes.
const SLICE_NS: u64 = 100_000;

/// Where the child has to share its parent's core, a request that comes waits for it no longer than a short slice. Where the system
/// refuses that, the child is as fast as its parent.
pub(crate) fn stand_back() {
    // To change it by nothing tells it.
    let own = rustix::process::nice(0).unwrap_or(0);
    if !schedule(nix::libc::SCHED_OTHER, own.saturating_add(CHILD_NICE)) {
        let _ = rustix::process::nice(CHILD_NICE);
    }
}

/// For a thread whose work can wait: it does not take the core from who has just given it something to do.
pub(crate) fn wait_for_the_core() {
    // Where that is refused, it is a thread like others.
    let _ = schedule(nix::libc::SCHED_BATCH, 0);
}

/// Sets how the calling thread is scheduled, with short slices (Linux 6.12; older ones overlook that). Tells whether it could.
fn schedule(policy: i32, nice: i32) -> bool {
    let attributes = nix::libc::sched_attr {
        size: u32::try_from(size_of::<nix::libc::sched_attr>()).unwrap_or(0),
        sched_policy: policy.unsigned_abs(),
        sched_flags: 0,
        sched_nice: nice,
        sched_priority: 0,
        sched_runtime: SLICE_NS,
        sched_deadline: 0,
        sched_period: 0,
    };
    // SAFETY: the kernel reads as many bytes as the structure says that it has, and writes none.
    let refused =
        unsafe { nix::libc::syscall(nix::libc::SYS_sched_setattr, 0, &raw const attributes, 0) };
    refused == 0
}
