//! One engine, driven as its shell drives it: what its clients are answered, and what they notice of each other.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod acknowledged;
mod acl;
mod append_only;
mod clients;
mod cluster;
mod connection;
mod dual_channel;
mod events;
mod expiry;
mod following;
mod harness;
mod limits;
mod observe;
mod older;
mod replicas;
mod requests;
mod rows;
mod scripting;
mod sessions;
mod tracking;
