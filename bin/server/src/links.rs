//! Connections that the engine opens: to a master, to the target of slots that move. One task each.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use daemon::reason;
use engine::LinkId;
use socket2::SockRef;
use tls::Wire;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::link::Work;
use crate::shell::Shell;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Bytes read at once.
const READ_BYTES: usize = 64 * 1024;

/// Connects, then passes bytes both ways until one side ends or the engine drops the sender of `out`.
pub(crate) async fn run(shell: Rc<Shell>, link: LinkId, host: String, port: u16, mut work: Work) {
    let source = shell.source_address();
    let connected = tokio::select! {
        // A link that was given up while it came to be is none: nobody would close its socket.
        biased;
        // Nothing is sent before the connection is made: this is its end.
        _ = work.bytes.recv() => return,
        connected = tokio::time::timeout(CONNECT_TIMEOUT, connect(&shell, source.as_deref(), (host.as_str(), port))) => connected,
    };
    let mut stream = match connected {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            return shell.turn(|engine| engine.link_opened(link, Err(reason(&error))));
        }
        Err(_) => {
            return shell
                .turn(|engine| engine.link_opened(link, Err("Operation timed out".to_owned())));
        }
    };
    if let Ok(socket) = SockRef::from(&stream).try_clone() {
        let bare = matches!(stream, Wire::Plain(_));
        shell.machine.link_opened(link, socket, bare);
    }
    shell.turn(|engine| engine.link_opened(link, Ok(())));
    let mut buffer = vec![0; READ_BYTES];
    // The other side takes nothing any more. What it sent before is here still: a replica may be elected with it.
    let mut deaf = false;
    loop {
        let may_read = work.queue.may_read(buffer.len());
        tokio::select! {
            () = work.queue.limited.notified() => {}
            bytes = work.bytes.recv() => match bytes {
                Some(_) if deaf => {}
                Some(bytes) => {
                    deaf = stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err();
                    if deaf {
                        continue;
                    }
                    work.queue.bytes.set(work.queue.bytes.get().saturating_sub(bytes.len()));
                    shell.turn(|engine| engine.link_sent(link, bytes.len()));
                    work.queue.written.notify_waiters();
                }
                None => return,
            },
            read = stream.read(&mut buffer[..may_read]), if may_read > 0 => match read {
                Ok(0) | Err(_) => break,
                Ok(count) => {
                    work.queue.have_read(count);
                    shell.turn(|engine| engine.link_received(link, &buffer[..count]));
                }
            },
        }
    }
    shell.forget_link(link);
    drop(work);
    shell.turn(|engine| engine.link_closed(link));
}

/// Connects to a master, over TLS where `tls-replication` says so.
async fn connect(shell: &Shell, source: Option<&[u8]>, to: (&str, u16)) -> io::Result<Wire> {
    let stream = crate::dial::connect(source, to).await?;
    // Acknowledgements are small and should not wait for one another.
    let _ = stream.set_nodelay(true);
    let tls = shell.engine.borrow().config().tls_replication;
    if tls {
        shell.machine.handshakes.connect(stream).await
    } else {
        Ok(stream.into())
    }
}
