//! Tests of the commands through the table: a line in, the reply and the effects out.
//!
//! One file per family; `harness` runs lines, `models` runs random ones against plain collections.

#![allow(
    clippy::unwrap_used,
    reason = "a test that cannot go on says so by panicking"
)]

mod bits;
mod complaints;
mod geo;
mod harness;
mod hash;
mod hash_expiry;
mod hostile;
mod hyperloglog;
mod list;
mod models;
mod scan;
mod set;
mod sort;
mod stream;
mod string;
mod zset;

/// The one of the server; it counts what a thread allocates.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
