//! The verbs of the command line, one function each: what is asked, printed and done, in which order.

mod apply;
mod backup;
mod check;
mod create;
mod demo;
mod doctor;
mod fix;
mod hand_over;
mod import;
mod journal;
mod loads;
mod moves;
mod nodes;
mod watch;

pub use apply::apply;
pub use backup::{backup, restore};
pub use check::{check, info};
pub use create::create;
pub use demo::demo;
pub use doctor::doctor;
pub(crate) use doctor::fields;
pub use fix::fix;
pub use hand_over::hand_over;
pub use import::{ImportOptions, import};
pub use moves::{Balance, RebalanceArgs, ReshardArgs, rebalance, reshard};
pub use nodes::{add_node, call, del_node, set_timeout};
pub use watch::{WatchOptions, watch};
