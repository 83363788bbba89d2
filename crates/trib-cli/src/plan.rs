//! Plans: from a snapshot of a cluster to the list of steps that bring it where it shall be.
//!
//! Everything below is a pure function: no connection, no clock, no randomness. The executor
//! ([`crate::execute`]) carries the steps out, so `--plan` and `--simulate` show exactly what would be done.

mod apply;
mod balance;
mod create;
mod error;
mod fix;
mod rebalance;
mod reshard;
mod step;

pub use apply::{ApplyPlan, DescribedNode, Description, apply};
pub use balance::{SlotLoads, rebalance_by};
pub use create::{CreatePlan, create};
pub use error::PlanError;
pub use fix::{SlotKeys, fix_coverage, fix_open_slots, fix_strays};
pub use rebalance::{Rebalance, RebalanceOptions, Shift, rebalance};
pub use reshard::{drain, reshard};
pub use step::{Condition, Move, MoveMode, Step};
