//! The sentinel daemon: wiring of the sentinel core to sockets, files and clocks.

fn main() {}
