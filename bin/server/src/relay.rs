//! Dumps on their way to replicas: a file to one of them, or a child's pipe to several.

use std::path::PathBuf;
use std::rc::Rc;
use std::task::Poll;

use engine::ClientId;
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;

use crate::shell::Shell;

/// Bytes read at once.
const READ_BYTES: usize = 256 * 1024;
/// A replica with more unsent bytes than this is waited for.
const AHEAD_BYTES: usize = 1024 * 1024;

/// Sends a file to a replica, its length first.
pub(crate) async fn send_file(
    shell: Rc<Shell>,
    id: ClientId,
    path: PathBuf,
    file: std::io::Result<std::fs::File>,
) {
    let sent = async {
        let mut file = File::from_std(file?);
        let length = file.metadata().await?.len();
        let mut left = length;
        let mut buffer = vec![0; READ_BYTES];
        push(&shell, &[id], format!("${length}\r\n").as_bytes()).await;
        while left > 0 {
            let count = file.read(&mut buffer).await?;
            if count == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            push(&shell, &[id], &buffer[..count]).await;
            left = left.saturating_sub(count as u64);
        }
        std::io::Result::Ok(())
    };
    let ok = match sent.await {
        Ok(()) => true,
        Err(error) => {
            tracing::warn!(
                "Sending {} to a slave: {}",
                path.display(),
                daemon::reason(&error)
            );
            false
        }
    };
    shell.turn(|engine| engine.dump_sent(id, ok));
}

/// Sends what the child writes into its pipe to several replicas.
pub(crate) async fn relay(shell: Rc<Shell>, replicas: Vec<ClientId>) {
    let mark = shell.turn(engine::Engine::new_mark);
    push(&shell, &replicas, format!("$EOF:{mark}\r\n").as_bytes()).await;
    let mut ok = false;
    if let Some(Ok(mut pipe)) = shell.machine.take_pipe().map(pipe::Receiver::from_owned_fd) {
        let mut buffer = vec![0; READ_BYTES];
        ok = loop {
            match pipe.read(&mut buffer).await {
                Ok(0) => break true,
                Ok(count) => push(&shell, &replicas, &buffer[..count]).await,
                Err(_) => break false,
            }
        };
    }
    // The pipe ends too when the child fails: its exit code tells the two apart.
    if ok {
        ok = shell.child_succeeded().await;
    }
    if ok {
        push(&shell, &replicas, mark.as_bytes()).await;
    }
    for id in replicas {
        shell.turn(|engine| engine.dump_sent(id, ok));
    }
}

/// Appends bytes to the output of replicas, as soon as none of them is far behind.
async fn push(shell: &Rc<Shell>, replicas: &[ClientId], bytes: &[u8]) {
    for &id in replicas {
        std::future::poll_fn(|cx| {
            let mut engine = shell.engine.borrow_mut();
            match engine.output(id) {
                Some(out) if out.len() > AHEAD_BYTES => {
                    shell.wait_for_output(id, cx.waker());
                    Poll::Pending
                }
                Some(out) => {
                    out.raw(bytes);
                    Poll::Ready(())
                }
                None => Poll::Ready(()),
            }
        })
        .await;
        shell.wake(id);
    }
}
