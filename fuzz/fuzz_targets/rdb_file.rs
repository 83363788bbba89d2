//! Any file loads or is refused.
#![no_main]

use libfuzzer_sys::fuzz_target;
use rdb::{Input, LoadOptions, Loader, Progress};
use store::{Keyspace, Limits};

fuzz_target!(|data: &[u8]| {
    let mut keyspace = Keyspace::new(16, false);
    if let Ok(mut loader) = Loader::open(Input::new(data), LoadOptions::default(), Limits::default()) {
        while matches!(loader.step(&mut keyspace, 4096), Ok(Progress::More)) {}
    }
});
