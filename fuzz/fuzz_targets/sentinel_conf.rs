//! Any sentinel.conf is read or refused.
#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use sentinel_core::config::{File, Host};

/// A host without files, where only literal addresses resolve and nothing may be started.
struct Nowhere;

impl conf::Host for Nowhere {}

impl Host for Nowhere {
    fn resolve(&mut self, host: &str) -> Option<IpAddr> {
        host.parse().ok()
    }

    fn is_executable(&mut self, _path: &str) -> bool {
        false
    }
}

fuzz_target!(|data: &[u8]| {
    // Either answer is fine; a panic is not.
    let _ = File::parse(data, &mut Nowhere);
});
