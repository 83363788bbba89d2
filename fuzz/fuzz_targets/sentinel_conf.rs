//! Any sentinel.conf is read or refused. What is read is written into the file, and the file says the same from then on.
#![no_main]

use std::net::IpAddr;
use std::sync::Arc;

use libfuzzer_sys::fuzz_target;
use sentinel_core::config::{File, Host, Snapshot};

/// A host without files, where only literal addresses resolve and absolute paths may be started.
struct Nowhere;

impl conf::Host for Nowhere {}

impl Host for Nowhere {
    fn resolve(&mut self, host: &str) -> Option<IpAddr> {
        host.parse().ok()
    }

    fn is_executable(&mut self, path: &str) -> bool {
        path.starts_with('/')
    }
}

fn snapshot(file: &File) -> Snapshot {
    Snapshot {
        server: Arc::new(file.server.clone()),
        saved: file.saved.clone(),
        myid: file.myid.clone().unwrap_or_default(),
        globals: file.globals.clone(),
        users: Vec::new(),
    }
}

fuzz_target!(|data: &[u8]| {
    let mut file = match File::parse(data, &mut Nowhere) {
        Ok(file) => file,
        Err(error) => {
            assert!(error.to_string().len() < 4 * data.len() + 1000);
            return;
        }
    };
    // Whoever has no id yet makes one before anything is written.
    file.myid
        .get_or_insert_with(|| "46c4e8095e87ae3da36051818063f69fa7ca0419".to_owned());
    // Their lines come from access control, which is not here.
    file.server.users.clear();
    let snapshot = snapshot(&file);
    let text = snapshot.render(data);
    let again = File::parse(&text, &mut Nowhere)
        .unwrap_or_else(|error| panic!("{error}\n{}", String::from_utf8_lossy(&text)));
    assert_eq!(again, file, "{}", String::from_utf8_lossy(&text));
    assert_eq!(snapshot.render(&text), text);
    // The state alone, in a file that was lost.
    let alone = File::parse(&snapshot.render(b""), &mut Nowhere).expect("the state can be read");
    assert_eq!(alone.saved, file.saved);
});
