//! The thresholds between compact and large encodings.

/// Thresholds of the compact encodings, as Redis 3.0's configuration names them. A collection is compact as long as it has at
/// most `entries` elements, each of at most `value` bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `hash-max-ziplist-entries`
    pub hash_entries: usize,
    /// `hash-max-ziplist-value`, bytes
    pub hash_value: usize,
    /// `list-max-ziplist-entries`
    pub list_entries: usize,
    /// `list-max-ziplist-value`, bytes
    pub list_value: usize,
    /// `set-max-intset-entries`
    pub set_intset_entries: usize,
    /// `zset-max-ziplist-entries`
    pub zset_entries: usize,
    /// `zset-max-ziplist-value`, bytes
    pub zset_value: usize,
}

impl Default for Limits {
    /// The defaults of Redis 3.0.
    fn default() -> Self {
        Self {
            hash_entries: 512,
            hash_value: 64,
            list_entries: 512,
            list_value: 64,
            set_intset_entries: 512,
            zset_entries: 128,
            zset_value: 64,
        }
    }
}
