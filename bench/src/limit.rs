//! The limit: a server that cuts requests and answers `+OK` to each, and does nothing else. No server that works as this one does, one
//! thread of tokio and one read and one write per turn, can be faster; what a real one takes more is what its commands cost.

use std::cell::RefCell;
use std::rc::Rc;

use anyhow::{Context, Result};
use resp::{Batch, Parser};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};

/// As much as one read takes; also the longest request.
const READ_BYTES: usize = 64 * 1024;
const ANSWER: &[u8] = b"+OK\r\n";
/// More answers than any pipeline is long; more are written in several pieces.
const ANSWERS: usize = 4096;

/// What all connections share: nothing in it outlives a turn.
struct Shared {
    buffer: Box<[u8]>,
    batch: Batch,
    answers: Vec<u8>,
}

/// Serves on a port of 127.0.0.1 until the process is ended.
///
/// # Errors
///
/// The port is taken, or the runtime does not start.
pub fn serve(port: u16) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(("127.0.0.1", port))
            .await
            .with_context(|| format!("port {port}"))?;
        let shared = Rc::new(RefCell::new(Shared {
            buffer: vec![0; READ_BYTES].into(),
            batch: Batch::default(),
            answers: ANSWER.repeat(ANSWERS),
        }));
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            // How a connection ends is its client's business.
            drop(tokio::task::spawn_local(answer(stream, shared.clone())));
        }
    })
}

/// Answers one connection's requests until it closes, or sends what is no request.
async fn answer(mut stream: TcpStream, shared: Rc<RefCell<Shared>>) -> std::io::Result<()> {
    let mut parser = Parser::new();
    // The start of a request that the last read did not bring whole.
    let mut rest = Vec::new();
    loop {
        stream.readable().await?;
        let mut unwritten = {
            let Shared {
                buffer,
                batch,
                answers,
            } = &mut *shared.borrow_mut();
            let held = rest.len();
            buffer[..held].copy_from_slice(&rest);
            let end = match stream.try_read(&mut buffer[held..]) {
                Ok(0) => return Ok(()),
                Ok(count) => held + count,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => continue,
                Err(error) => return Err(error),
            };
            let Ok(used) = parser.cut_all(&buffer[..end], batch) else {
                return Ok(());
            };
            rest.clear();
            rest.extend_from_slice(&buffer[used..end]);
            let here = &answers[..batch.len().min(ANSWERS) * ANSWER.len()];
            let written = match stream.try_write(here) {
                Ok(count) => count,
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => 0,
                Err(error) => return Err(error),
            };
            batch.len() * ANSWER.len() - written
        };
        // Only for a client that does not read, or a pipeline longer than all answers at hand.
        while unwritten > 0 {
            let start = (ANSWER.len() - unwritten % ANSWER.len()) % ANSWER.len();
            let piece = &ANSWER[start..];
            stream.write_all(piece).await?;
            unwritten -= piece.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};

    use super::*;

    #[test]
    fn each_request_is_answered_whole_or_in_pieces() {
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .unwrap()
            .port();
        std::thread::spawn(move || serve(port));
        let mut client = loop {
            match std::net::TcpStream::connect(("127.0.0.1", port)) {
                Ok(client) => break client,
                Err(_) => std::thread::yield_now(),
            }
        };
        let requests = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n".repeat(2 * ANSWERS);
        let mut writer = client.try_clone().unwrap();
        let sender = std::thread::spawn(move || writer.write_all(&requests));
        let mut replies = vec![0; 2 * ANSWERS * ANSWER.len()];
        client.read_exact(&mut replies).unwrap();
        assert_eq!(replies, ANSWER.repeat(2 * ANSWERS));
        sender.join().unwrap().unwrap();
        client.write_all(b"*1\r\n$4\r\nPI").unwrap();
        client.write_all(b"NG\r\nPING\r\n").unwrap();
        let mut replies = [0; 10];
        client.read_exact(&mut replies).unwrap();
        assert_eq!(replies[..], ANSWER.repeat(2));
    }
}
