//! The keyspace: values and their encodings, expiry, eviction sampling, slots, scans.
