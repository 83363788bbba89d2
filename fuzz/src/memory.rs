//! How much memory a call takes at most: every target counts what it allocates.

use peak_alloc::PeakAlloc;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Calls `call`; what it answers, and the most bytes that were held meanwhile beyond those held before.
pub fn peak_of<T>(call: impl FnOnce() -> T) -> (T, usize) {
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let answer = call();
    (answer, ALLOCATOR.peak_usage().saturating_sub(before))
}
