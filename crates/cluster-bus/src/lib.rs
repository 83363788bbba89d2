//! The cluster bus: codec, gossip, failure detection, slot ownership, elections, nodes.conf.
