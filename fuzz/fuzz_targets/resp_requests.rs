//! Any bytes, however they are cut into reads, give the requests that a plain reading of the protocol finds, or the same error.
//! The first byte chooses the limits, the second how the rest is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use resp::{Batch, Limits, Parser, ProtocolError, Reply};

type Requests = Vec<Vec<Vec<u8>>>;

/// All requests of `bytes` as a connection finds them that reads `piece` bytes at a time, and the error that ended them.
fn in_pieces(
    bytes: &[u8],
    piece: usize,
    limits: &'static Limits,
) -> (Requests, Option<ProtocolError>) {
    let (mut parser, mut batch, mut found) = (Parser::new(), Batch::default(), Vec::new());
    parser.set_limits(limits);
    let mut buffer = Vec::new();
    for read in bytes.chunks(piece) {
        buffer.extend_from_slice(read);
        loop {
            let cut = parser.cut_all(&buffer, &mut batch);
            let mut args = Vec::new();
            let mut last_end = 0;
            for index in 0..batch.len() {
                batch.args(index, &buffer, &mut args);
                assert!(!args.is_empty());
                let wire = batch.wire(index);
                assert!(last_end <= wire.start && wire.end <= buffer.len());
                last_end = wire.end;
                found.push(args.iter().map(|word| word.to_vec()).collect());
            }
            match cut {
                Ok(0) => break,
                Ok(count) => drop(buffer.drain(..count)),
                Err(error) => return (found, Some(error)),
            }
        }
        if let Some(pending) = parser.pending_bulk() {
            assert!(pending.missing(buffer.len()) > 0);
        }
        assert!(parser.is_partial() || buffer.is_empty());
    }
    (found, None)
}

/// The requests of `bytes`, read in the plainest way; whether an error ended them.
fn plainly(mut bytes: &[u8], limits: &Limits) -> (Requests, bool) {
    const LINE_BYTES: usize = 64 * 1024;
    let mut found = Vec::new();
    while let Some(first) = bytes.first() {
        if *first != b'*' {
            let end = bytes
                .iter()
                .take(LINE_BYTES + 1)
                .position(|byte| *byte == b'\n');
            let Some(end) = end else {
                return (found, bytes.len() > LINE_BYTES);
            };
            let line = bytes[..end].strip_suffix(b"\r").unwrap_or(&bytes[..end]);
            let Some(words) = resp::args::split(line) else {
                return (found, true);
            };
            if !words.is_empty() {
                found.push(words);
            }
            bytes = &bytes[end + 1..];
            continue;
        }
        let mut rest = bytes;
        let number = |rest: &mut &[u8], mark: u8| -> Result<Option<i64>, ()> {
            let end = rest
                .iter()
                .take(LINE_BYTES + 1)
                .position(|byte| *byte == b'\r');
            let Some(end) = end.filter(|end| end + 1 < rest.len()) else {
                return if end.is_none() && rest.len() > LINE_BYTES {
                    Err(())
                } else {
                    Ok(None)
                };
            };
            if rest[end + 1] != b'\n' || rest[0] != mark {
                return Err(());
            }
            let text = std::str::from_utf8(&rest[1..end]).map_err(drop)?;
            let number: i64 = text.parse().map_err(drop)?;
            *rest = &rest[end + 2..];
            if number.to_string() == text {
                Ok(Some(number))
            } else {
                Err(())
            }
        };
        let count = match number(&mut rest, b'*') {
            Ok(Some(count)) if count <= i64::from(limits.arguments) => count,
            Ok(None) => return (found, false),
            Ok(Some(_)) | Err(()) => return (found, true),
        };
        let mut words = Vec::new();
        for _ in 0..count {
            let len = match number(&mut rest, b'$') {
                Ok(Some(len)) if (0..=i64::from(limits.bulk_bytes)).contains(&len) => len,
                Ok(None) => return (found, false),
                Ok(Some(_)) | Err(()) => return (found, true),
            };
            let len = usize::try_from(len).expect("it was checked");
            let Some(word) = rest.get(..len + 2) else {
                return (found, false);
            };
            if !word.ends_with(b"\r\n") {
                return (found, true);
            }
            words.push(word[..len].to_vec());
            rest = &rest[len + 2..];
        }
        if !words.is_empty() {
            found.push(words);
        }
        bytes = rest;
    }
    (found, false)
}

fuzz_target!(|data: &[u8]| {
    let &[choice, piece, ref bytes @ ..] = data else {
        return;
    };
    let limits = if choice % 4 == 0 {
        &Limits::UNAUTHENTICATED
    } else {
        &Limits::NORMAL
    };
    let whole = in_pieces(bytes, bytes.len().max(1), limits);
    let (requests, failed) = plainly(bytes, limits);
    assert_eq!(whole.0, requests);
    assert_eq!(whole.1.is_some(), failed);
    assert_eq!(in_pieces(bytes, usize::from(piece) + 1, limits), whole);
    if bytes.len() < 512 {
        assert_eq!(in_pieces(bytes, 1, limits), whole);
    }
    if let Some(error) = whole.1 {
        let mut reply = Reply::new();
        reply.err(error.text());
        let line = reply.into_vec();
        assert_eq!(
            line.iter().position(|byte| matches!(byte, b'\r' | b'\n')),
            Some(line.len() - 2)
        );
    }
});
