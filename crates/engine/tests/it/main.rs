//! One engine, driven as its shell drives it: what its clients are answered, and what they notice of each other.

mod acl;
mod cluster;
mod connection;
mod harness;
mod limits;
mod observe;
mod requests;
mod rows;
mod scripting;
mod sessions;
mod tracking;
