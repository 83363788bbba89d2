//! What this process and its children do about signals that would simply end them.
#![expect(unsafe_code, reason = "signal handlers")]

use std::ffi::CString;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicPtr, Ordering};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction, signal};

/// The temporary file of this process, if it is a child: a C string that is never freed.
static TEMPORARY: AtomicPtr<nix::libc::c_char> = AtomicPtr::new(std::ptr::null_mut());

/// A signal that ends this process removes the file first.
pub(crate) fn remove_when_ended(path: &Path) {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else {
        return;
    };
    TEMPORARY.store(path.into_raw(), Ordering::Release);
    let remove = SigAction::new(
        SigHandler::Handler(remove_and_end),
        SaFlags::empty(),
        SigSet::empty(),
    );
    for end in [Signal::SIGUSR1, Signal::SIGTERM, Signal::SIGINT] {
        // SAFETY: `remove_and_end` may run at any point of the thread: it takes no lock and no memory.
        let set = unsafe { sigaction(end, &remove) };
        debug_assert!(set.is_ok(), "the signal exists");
    }
}

extern "C" fn remove_and_end(number: nix::libc::c_int) {
    // SAFETY: the pointer is one to a C string that lives as long as the process, and the three functions may be called in a handler.
    // The signal is held back until the handler returns; then it ends the process.
    unsafe {
        nix::libc::unlink(TEMPORARY.load(Ordering::Acquire));
        nix::libc::signal(number, nix::libc::SIG_DFL);
        nix::libc::raise(number);
    }
}

/// A file that reaches the limit of its size gives an error, as a full disk does; by itself the system would end the process.
pub(crate) fn ignore_file_size_signal() {
    // SAFETY: nothing is run when the signal comes.
    let ignored = unsafe { signal(Signal::SIGXFSZ, SigHandler::SigIgn) };
    debug_assert!(ignored.is_ok(), "the signal exists");
}
