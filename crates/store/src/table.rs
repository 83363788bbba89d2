//! The hash table: handles to heap blocks, kept in hash order in small segments.
//!
//! A slot is one `u64`: a 48-bit pointer and 16 bits of the block's hash.

use std::sync::OnceLock;

static HASH_SEED: OnceLock<[u64; 2]> = OnceLock::new();

/// Sets the key of the hash function, once, before the first table is made. The daemons draw it from the operating system;
/// where it is never set (tests, simulator) it is zero and runs are repeatable. False where it was set before.
pub fn set_hash_seed(seed: [u64; 2]) -> bool {
    HASH_SEED.set(seed).is_ok()
}
