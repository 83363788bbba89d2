//! The append-only file: encode, replay, rewrite, check and fix.
