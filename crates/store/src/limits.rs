//! The thresholds between compact and large encodings.

/// Thresholds of the compact encodings, as the configuration names them. A collection is compact as long as it has at most `entries`
/// elements, each of at most `value` bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `hash-max-listpack-entries`
    pub hash_entries: usize,
    /// `hash-max-listpack-value`, bytes
    pub hash_value: usize,
    /// `list-max-listpack-size`: so many elements, or from -1 to -5 one of five sizes in bytes
    pub list_size: i64,
    /// `set-max-intset-entries`
    pub set_intset_entries: usize,
    /// `set-max-listpack-entries`
    pub set_entries: usize,
    /// `set-max-listpack-value`, bytes
    pub set_value: usize,
    /// `zset-max-listpack-entries`
    pub zset_entries: usize,
    /// `zset-max-listpack-value`, bytes
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
            list_size: -2,
            set_intset_entries: 512,
            set_entries: 128,
            set_value: 64,
            zset_entries: 128,
            zset_value: 64,
            stream_node_bytes: 4096,
            stream_node_entries: 100,
        }
    }
}

impl Limits {
    /// The most bytes and elements of a list that is a `listpack`.
    pub(crate) fn list_node(&self) -> (usize, usize) {
        /// By `list-max-listpack-size` from -1 on.
        const SIZES: [usize; 5] = [4096, 8192, 16384, 32768, 65536];
        /// Where elements are counted, no more bytes than these.
        const SAFE: usize = 8192;
        match usize::try_from(self.list_size) {
            Ok(count) => (SAFE, count.max(1)),
            Err(_) => {
                let level = self.list_size.unsigned_abs() - 1;
                let level = usize::try_from(level).unwrap_or(usize::MAX);
                (SIZES[level.min(SIZES.len() - 1)], usize::MAX)
            }
        }
    }
}
