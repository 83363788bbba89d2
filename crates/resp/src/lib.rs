//! RESP: request bytes to arguments, replies to bytes.
