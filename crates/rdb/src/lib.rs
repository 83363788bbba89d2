//! The RDB format: versions 1 to 12 read, 6 written; DUMP payloads.
