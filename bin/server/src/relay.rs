//! Dumps on their way to replicas: a file to one of them, or a child's pipe to several. And a child's pipe to the target of slots.

use std::cell::Cell;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use engine::{ClientId, LinkId};
use tokio::fs::File;
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio::sync::Notify;

use crate::shell::Shell;

/// Bytes read at once.
const READ_BYTES: usize = 256 * 1024;
/// A replica with more unsent bytes than this is waited for.
const AHEAD_BYTES: usize = 1024 * 1024;
/// While a replica is waited for, it is looked so often whether it reads at all.
const LOOK: Duration = Duration::from_millis(500);

/// How a child ends. Each has its own: the next one may run before those who wait for this end have heard of it.
#[derive(Debug, Default)]
pub(crate) struct Fate {
    ok: Cell<Option<bool>>,
    known: Notify,
}

impl Fate {
    /// The child has ended, and whether it did its job.
    pub(crate) fn tell(&self, ok: bool) {
        self.ok.set(Some(ok));
        self.known.notify_waiters();
    }

    /// Whether the child ends well.
    async fn is_good(&self) -> bool {
        loop {
            let known = self.known.notified();
            if let Some(ok) = self.ok.get() {
                return ok;
            }
            known.await;
        }
    }
}

/// What a child writes into its pipe, and how it ends.
#[derive(Debug)]
pub(crate) struct Piped {
    pub(crate) pipe: Option<OwnedFd>,
    pub(crate) fate: Rc<Fate>,
}

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
        let mut there = push(&shell, id, format!("${length}\r\n").as_bytes()).await;
        while left > 0 && there {
            let count = file.read(&mut buffer).await?;
            if count == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            there = push(&shell, id, &buffer[..count]).await;
            left = left.saturating_sub(count as u64);
        }
        std::io::Result::Ok(there)
    };
    let ok = match sent.await {
        Ok(ok) => ok,
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

/// Sends what the child writes into its pipe to several replicas. One that goes, or that does not read, does not keep the others from
/// going on; the last one's end is the child's too, since nobody reads its pipe any more.
pub(crate) async fn relay(shell: Rc<Shell>, mut replicas: Vec<ClientId>, child: Piped) {
    let mark = shell.turn(engine::Engine::new_mark);
    let pipe = child.pipe.map(pipe::Receiver::from_owned_fd);
    push_all(&shell, &mut replicas, format!("$EOF:{mark}\r\n").as_bytes()).await;
    let mut ok = false;
    if let Some(Ok(mut pipe)) = pipe {
        let mut buffer = vec![0; READ_BYTES];
        ok = loop {
            if replicas.is_empty() {
                break false;
            }
            match pipe.read(&mut buffer).await {
                Ok(0) => {
                    replicas.retain(|id| unsent(&shell, *id).is_some());
                    let count = replicas.len();
                    tracing::info!(
                        "Diskless rdb transfer, done reading from pipe, {count} replicas still up."
                    );
                    break count > 0;
                }
                Ok(count) => push_all(&shell, &mut replicas, &buffer[..count]).await,
                Err(_) => break false,
            }
        };
    }
    // The pipe ends too when the child fails: its exit code tells the two apart.
    if ok {
        ok = child.fate.is_good().await;
    }
    if ok {
        push_all(&shell, &mut replicas, mark.as_bytes()).await;
    }
    for id in replicas {
        shell.turn(|engine| engine.dump_sent(id, ok));
    }
}

/// Waits for the child that writes slots, and sends what it writes into its pipe, if it has one, over a link to their target. Where the link
/// ends, so does the child, since nobody reads what it writes any more.
pub(crate) async fn relay_slots(shell: Rc<Shell>, link: LinkId, child: Piped) {
    let relayed = match child.pipe {
        Some(pipe) => relay_pipe(&shell, link, pipe).await.unwrap_or(false),
        // It writes to the socket itself.
        None => true,
    };
    let ok = relayed && child.fate.is_good().await;
    shell.turn(|engine| engine.snapshot_relayed(link, ok));
}

/// Sends what comes through a pipe over a link. False where the link has ended.
async fn relay_pipe(shell: &Shell, link: LinkId, pipe: OwnedFd) -> std::io::Result<bool> {
    let mut pipe = pipe::Receiver::from_owned_fd(pipe)?;
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let count = pipe.read(&mut buffer).await?;
        if count == 0 {
            return Ok(true);
        }
        if !shell.push_link(link, buffer[..count].to_vec()).await {
            return Ok(false);
        }
    }
}

/// Appends bytes to the output of replicas; those that are gone, or given up, are left out from now on.
async fn push_all(shell: &Rc<Shell>, replicas: &mut Vec<ClientId>, bytes: &[u8]) {
    let mut there = Vec::with_capacity(replicas.len());
    for &id in &*replicas {
        if push(shell, id, bytes).await {
            there.push(id);
        }
    }
    *replicas = there;
}

/// Appends bytes to a replica's output as soon as it is not far behind. False for one that is gone, or that has read nothing for as long
/// as `repl-timeout` allows: it is closed.
async fn push(shell: &Rc<Shell>, id: ClientId, bytes: &[u8]) -> bool {
    let (mut unsent, mut since) = (unsent(shell, id), Instant::now());
    loop {
        let pushed = std::future::poll_fn(|cx| {
            let mut engine = shell.engine.borrow_mut();
            match engine.output(id) {
                Some(out) if out.len() > AHEAD_BYTES => {
                    shell.wait_for_output(id, cx.waker());
                    Poll::Pending
                }
                Some(out) => {
                    out.raw(bytes);
                    Poll::Ready(true)
                }
                None => Poll::Ready(false),
            }
        });
        if let Ok(there) = tokio::time::timeout(LOOK, pushed).await {
            shell.wake(id);
            return there;
        }
        let before = std::mem::replace(&mut unsent, self::unsent(shell, id));
        if before != unsent {
            since = Instant::now();
        }
        // It may be set while a replica is waited for.
        let patience = Duration::from_secs(shell.engine.borrow().config().repl_timeout.into());
        if since.elapsed() >= patience {
            shell.turn(|engine| engine.give_up_replica(id));
            return false;
        }
    }
}

/// How much of a replica's output is still to be sent.
fn unsent(shell: &Shell, id: ClientId) -> Option<usize> {
    let mut engine = shell.engine.borrow_mut();
    engine.output(id).map(|out| out.len())
}
