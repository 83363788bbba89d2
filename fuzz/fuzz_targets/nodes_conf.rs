//! Any nodes.conf is read or refused; what is read is written and read again as it is.
#![no_main]

use cluster_bus::nodes_conf::load;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(Some(conf)) = load(data) {
        let text = conf.to_string();
        let again = load(text.as_bytes()).expect("what we write can be read").expect("it is not empty");
        assert_eq!(again.to_string(), text);
    }
});
