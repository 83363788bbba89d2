//! Any bytes, cut anywhere, give the same requests or the same error, and never a panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use resp::{Batch, Parser};

/// All requests of `bytes` fed in two reads, and whether an error ended them.
fn requests(bytes: &[u8], first: usize) -> (Vec<Vec<Vec<u8>>>, bool) {
    let (mut parser, mut batch, mut found) = (Parser::new(), Batch::default(), Vec::new());
    let mut buffer = bytes[..first].to_vec();
    for more in [&bytes[first..], &[]] {
        let cut = parser.cut_all(&buffer, &mut batch);
        let mut args = Vec::new();
        for index in 0..batch.len() {
            batch.args(index, &buffer, &mut args);
            found.push(args.iter().map(|word| word.to_vec()).collect());
        }
        match cut {
            Ok(count) => drop(buffer.drain(..count)),
            Err(_) => return (found, true),
        }
        buffer.extend_from_slice(more);
    }
    (found, false)
}

fuzz_target!(|data: &[u8]| {
    let Some((&at, bytes)) = data.split_first() else { return };
    let at = usize::from(at).min(bytes.len());
    assert_eq!(requests(bytes, at), requests(bytes, bytes.len()));
});
