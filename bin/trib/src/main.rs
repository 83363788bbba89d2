//! The cluster administration tool.

fn main() {}
