//! Cluster administration: plans over a snapshot, and their executor.
