//! Who came by the admin port. When they are served is in `admin.rs`.

use std::cell::{Cell, RefCell};

use engine::ClientId;

use crate::socket::Shared;

/// Between two looks.
pub(crate) const EVERY_NS: u64 = 1_000_000;

/// Who came by the admin port.
#[derive(Debug, Default)]
pub(crate) struct Admins {
    pub(crate) open: Cell<bool>,
    pub(crate) clients: RefCell<Vec<(ClientId, Shared)>>,
    looked_ns: Cell<u64>,
}

impl Admins {
    /// There is an admin port.
    pub(crate) fn open(&self) {
        self.open.set(true);
    }

    pub(crate) fn add(&self, id: ClientId, stream: Shared) {
        self.clients.borrow_mut().push((id, stream));
    }

    pub(crate) fn forget(&self, id: ClientId) {
        self.clients.borrow_mut().retain(|(other, _)| *other != id);
    }

    /// Whether it is time for a look, which is to follow then.
    pub(crate) fn is_due(&self, now_ns: u64) -> bool {
        let due = now_ns.saturating_sub(self.looked_ns.get()) >= EVERY_NS;
        if due {
            self.looked_ns.set(now_ns);
        }
        due
    }
}
