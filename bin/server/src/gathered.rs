//! What gathers in the parent while its child works, for the child to see: one page of memory that both have.
#![expect(unsafe_code, reason = "memory that is shared with a child")]

use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::libc;

/// A number that the parent writes and its children read. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Gathered(Option<Rc<NonNull<AtomicU64>>>);

impl Gathered {
    /// Nothing has gathered. Where the system gives no memory, nothing ever does.
    pub(crate) fn new() -> Self {
        // SAFETY: a new mapping is in nobody's way.
        let page = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_of::<AtomicU64>(),
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        if page == libc::MAP_FAILED {
            return Self(None);
        }
        Self(NonNull::new(page.cast()).map(Rc::new))
    }

    fn number(&self) -> Option<&AtomicU64> {
        // SAFETY: the mapping is never undone, is aligned to a page, and holds zero bytes at first.
        self.0.as_deref().map(|number| unsafe { number.as_ref() })
    }

    /// For the parent: this much has gathered since the child was started.
    pub(crate) fn set(&self, bytes: u64) {
        if let Some(number) = self.number() {
            number.store(bytes, Ordering::Relaxed);
        }
    }

    /// How much has gathered.
    pub(crate) fn bytes(&self) -> u64 {
        self.number()
            .map_or(0, |number| number.load(Ordering::Relaxed))
    }
}
