//! Any packet decodes or is refused; what decodes survives encoding and decoding.
#![no_main]

use cluster_bus::codec::{decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(message) = decode(data) {
        let again = decode(&encode(&message)).expect("what we encode decodes");
        assert_eq!(encode(&again), encode(&message));
    }
});
