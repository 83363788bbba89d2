//! The verbs of the command line, one function each: what is asked, printed and done, in which order.

mod apply;
mod check;
mod create;
mod import;
mod moves;
mod nodes;

pub use apply::apply;
pub use check::{check, fix, info};
pub use create::create;
pub use import::{ImportOptions, import};
pub use moves::{RebalanceArgs, ReshardArgs, rebalance, reshard};
pub use nodes::{add_node, call, del_node, set_timeout};
