//! One server without its I/O: sessions, dispatch, transactions, propagation.
