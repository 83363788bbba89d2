//! Any value under a valid checksum restores or is refused; what restores can be dumped.
#![no_main]

use libfuzzer_sys::fuzz_target;
use store::{Keyspace, Limits};

fuzz_target!(|data: &[u8]| {
    let mut payload = data.to_vec();
    payload.extend(6_u16.to_le_bytes());
    let sum = rdb::crc64(&payload);
    payload.extend(sum.to_le_bytes());
    if let Ok(value) = rdb::restore(&payload, &Limits::default()) {
        let mut keyspace = Keyspace::new(1, false);
        keyspace.db(0).insert(b"key", value);
        let value = keyspace.db_ref(0).peek(b"key").expect("it was inserted");
        rdb::dump(&mut rdb::Dumper::new(true), value).expect("what was restored can be dumped");
    }
});
