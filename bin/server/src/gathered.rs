//! What a parent and its child tell each other while the child works: one page of memory that both have.
#![expect(unsafe_code, reason = "memory that is shared with a child")]

use std::ptr::NonNull;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use engine::ChildProgress;
use nix::libc;

/// What lies in that page.
#[derive(Debug)]
struct Page {
    /// What has gathered in the parent since the child was started, bytes.
    gathered: AtomicU64,
    /// What the child has sent, bytes.
    sent: AtomicU64,
    /// The child has sent all but the last of it.
    whole: AtomicBool,
    /// How many keys the child has written.
    keys: AtomicU64,
    /// How much memory the child had for itself when it looked last, bytes.
    own: AtomicU64,
    /// The most that it ever had.
    most_own: AtomicU64,
    /// When it looked, nanoseconds of the clock that all processes of the machine have.
    looked: AtomicU64,
}

/// The page. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Gathered(Option<Rc<NonNull<Page>>>);

impl Gathered {
    /// Nothing has gathered. Where the system gives no memory, nothing ever does.
    pub(crate) fn new() -> Self {
        // SAFETY: a new mapping is in nobody's way.
        let page = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                size_of::<Page>(),
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

    fn page(&self) -> Option<&Page> {
        // SAFETY: the mapping is never undone, is aligned to a page, and holds zero bytes at first, which are zeros and false.
        self.0.as_deref().map(|page| unsafe { page.as_ref() })
    }

    /// For the parent: a child is about to be started.
    pub(crate) fn reset(&self) {
        self.set(0);
        if let Some(page) = self.page() {
            page.sent.store(0, Ordering::Relaxed);
            page.whole.store(false, Ordering::Relaxed);
            page.keys.store(0, Ordering::Relaxed);
            page.own.store(0, Ordering::Relaxed);
            page.most_own.store(0, Ordering::Relaxed);
            page.looked.store(0, Ordering::Relaxed);
        }
    }

    /// For the child: it has written so many keys.
    pub(crate) fn set_keys(&self, keys: u64) {
        if let Some(page) = self.page() {
            page.keys.store(keys, Ordering::Relaxed);
        }
    }

    /// For the child: it has so much memory for itself at this time.
    pub(crate) fn set_own(&self, bytes: u64, now_ns: u64) {
        if let Some(page) = self.page() {
            page.own.store(bytes, Ordering::Relaxed);
            page.most_own.fetch_max(bytes, Ordering::Relaxed);
            page.looked.store(now_ns, Ordering::Relaxed);
        }
    }

    /// What the child has told of itself until this time.
    pub(crate) fn progress(&self, now_ns: u64) -> ChildProgress {
        self.page().map_or_else(ChildProgress::default, |page| {
            let ago = match page.looked.load(Ordering::Relaxed) {
                0 => 0,
                looked => now_ns.saturating_sub(looked),
            };
            ChildProgress {
                keys: page.keys.load(Ordering::Relaxed),
                own_bytes: page.own.load(Ordering::Relaxed),
                most_own_bytes: page.most_own.load(Ordering::Relaxed),
                told_s: ago / 1_000_000_000,
            }
        })
    }

    /// For the child: it has sent so many bytes more.
    pub(crate) fn add_sent(&self, bytes: usize) {
        if let Some(page) = self.page() {
            page.sent.fetch_add(bytes as u64, Ordering::Relaxed);
        }
    }

    /// For the child: it is about to send the last of it.
    pub(crate) fn note_whole(&self) {
        if let Some(page) = self.page() {
            page.whole.store(true, Ordering::Release);
        }
    }

    /// What the child has sent, and whether that was all.
    pub(crate) fn sent(&self) -> (u64, bool) {
        self.page().map_or((0, false), |page| {
            let whole = page.whole.load(Ordering::Acquire);
            (page.sent.load(Ordering::Relaxed), whole)
        })
    }

    /// For the parent: this much has gathered since the child was started.
    pub(crate) fn set(&self, bytes: u64) {
        if let Some(page) = self.page() {
            page.gathered.store(bytes, Ordering::Relaxed);
        }
    }

    /// How much has gathered.
    pub(crate) fn bytes(&self) -> u64 {
        self.page()
            .map_or(0, |page| page.gathered.load(Ordering::Relaxed))
    }
}
