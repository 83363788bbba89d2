//! The server daemon: wiring of the engine to sockets, files and signals.

fn main() {}
