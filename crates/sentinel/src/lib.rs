//! The sentinel core: monitoring, agreement, leader election, failover.
