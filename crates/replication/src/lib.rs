//! Replication: backlog, ids and offsets, the states of both sides.
