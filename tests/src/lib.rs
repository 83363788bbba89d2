//! What the acceptance tests share: starting daemons on free ports, talking to them, waiting for conditions.

pub mod sim;
