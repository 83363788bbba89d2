//! An asynchronous RESP client.
