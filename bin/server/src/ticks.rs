//! The processor's time stamp counter.
#![expect(unsafe_code, reason = "one instruction")]

/// The processor's counter of time, if it has one that needs no system call. Whether it can be relied on, the kernel knows.
#[inline]
pub(crate) fn processor_ticks() -> Option<u64> {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: every x86-64 has the instruction, and the kernel would have to forbid it.
        Some(unsafe { core::arch::x86_64::_rdtsc() })
    }
    #[cfg(not(target_arch = "x86_64"))]
    None
}
