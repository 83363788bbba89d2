//! What data commands see of the configuration.

use commands::Settings;
use conf::ServerConfig;
use store::Limits;

/// No command makes a longer string, whatever `proto-max-bulk-len` is: an append-only file could not be read with it.
const LONGEST_STRING_BYTES: usize = 512 * 1024 * 1024;

/// What data commands see of the configuration.
pub(crate) fn settings(config: &ServerConfig) -> Settings {
    let size = |value: u64| usize::try_from(value).unwrap_or(usize::MAX);
    Settings {
        limits: Limits {
            hash_entries: size(config.hash_max_ziplist_entries),
            hash_value: size(config.hash_max_ziplist_value),
            list_size: config.list_max_listpack_size.into(),
            set_intset_entries: size(config.set_max_intset_entries),
            set_entries: size(config.set_max_listpack_entries),
            set_value: size(config.set_max_listpack_value),
            zset_entries: size(config.zset_max_ziplist_entries),
            zset_value: size(config.zset_max_ziplist_value),
            stream_node_bytes: size(config.stream_node_max_bytes),
            stream_node_entries: size(config.stream_node_max_entries),
        },
        string_bytes: size(config.proto_max_bulk_len).min(LONGEST_STRING_BYTES),
        hll_sparse_max_bytes: size(config.hll_sparse_max_bytes),
        trust: rdb::Trust {
            any_version: config.rdb_version_check == conf::VersionCheck::Relaxed,
            any_checksum: false,
        },
        lazy_expire: config.lazyfree_lazy_expire,
        lazy_server_del: config.lazyfree_lazy_server_del,
        compress: config.rdbcompression,
        cluster: config.cluster_enabled,
    }
}
