//! Memory that requests share on their way in: kept from one to the next so that none allocates.

use resp::{ArgsScratch, Spare};
use store::Prefetched;

use crate::input::Requests;

/// Scratch memory of the way in.
#[derive(Debug, Default)]
pub(crate) struct Intake {
    pub(crate) requests: Requests,
    /// Keys of `foreseen_db` whose table positions were prefetched, but not yet their entries.
    pub(crate) foreseen: Vec<Prefetched>,
    pub(crate) foreseen_db: usize,
    pub(crate) args: ArgsScratch,
    /// Memory for the replies of the next clients that are served.
    pub(crate) spare: Spare,
}
