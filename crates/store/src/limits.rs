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
    /// `stream-node-max-bytes`; 0 for as many as a node holds
    pub stream_node_bytes: usize,
    /// `stream-node-max-entries`; 0 for no bound
    pub stream_node_entries: usize,
}

impl Default for Limits {
    /// The defaults of the configuration.
    fn default() -> Self {
        Self {
            hash_entries: 512,
            hash_value: 64,
            list_entries: 512,
            list_value: 64,
            set_intset_entries: 512,
            zset_entries: 128,
            zset_value: 64,
            stream_node_bytes: 4096,
            stream_node_entries: 100,
        }
    }
}
