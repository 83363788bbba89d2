//! Keys on their way to another server: the sockets of MIGRATE, kept open for the next one.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use engine::{Transfer, TransferId, Transferred};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::idle_sockets::Socket;
use crate::shell::Shell;

/// The longest line that a target may answer.
const MOST_LINE_BYTES: usize = 64 * 1024;

/// Where an attempt failed.
enum Failure {
    /// There is no address to try, or nobody answers there.
    Connect,
    Write(Fault),
    Read(Fault),
}

/// What a socket did.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Nothing for too long: nobody knows what was done on the other side.
    Late,
    /// It ended.
    Ended,
}

impl Failure {
    fn reply(&self) -> String {
        match self {
            Self::Connect => "IOERR error or timeout connecting to the client".to_owned(),
            Self::Write(_) => "IOERR error or timeout writing to target instance".to_owned(),
            Self::Read(_) => "IOERR error or timeout reading to target instance".to_owned(),
        }
    }
}

/// Sends the keys, and tells the engine what came of it.
pub(crate) async fn run(shell: Rc<Shell>, transfer: TransferId, what: Transfer) {
    let target = (what.host.clone(), what.port);
    let kept = shell.sockets.take(&target);
    let reused = kept.is_some();
    let (mut answers, mut failed) = (Vec::new(), None);
    let mut ended = attempt(&shell, kept, &what, &mut answers).await;
    // A kept socket may have been closed by the other side meanwhile: nothing was done then, and a new one is tried.
    let closed = matches!(
        ended,
        Err(Failure::Write(Fault::Ended) | Failure::Read(Fault::Ended))
    );
    if reused && closed && answers.is_empty() {
        ended = attempt(&shell, None, &what, &mut answers).await;
    }
    match ended {
        Ok(socket) => shell.sockets.put(target, socket),
        Err(failure) => failed = Some(failure.reply()),
    }
    shell.machine.migrate_sockets.set(shell.sockets.len());
    shell.turn(|engine| engine.migrated(transfer, &Transferred { answers, failed }));
}

async fn attempt(
    shell: &Shell,
    kept: Option<Socket>,
    what: &Transfer,
    answers: &mut Vec<Result<(), String>>,
) -> Result<Socket, Failure> {
    let limit = Duration::from_millis(what.timeout_ms);
    let mut socket = match kept {
        Some(socket) => socket,
        None => connect(shell, what, limit).await?,
    };
    let mut head = Vec::new();
    let mut head_answers = 0;
    if !what.login.is_empty() {
        let mut words = vec![&b"AUTH"[..]];
        words.extend(what.login.iter().map(Vec::as_slice));
        aof::encode_command(&mut head, words);
        head_answers += 1;
    }
    if socket.db != Some(what.db) {
        let db = what.db.to_string();
        aof::encode_command(&mut head, [&b"SELECT"[..], db.as_bytes()]);
        head_answers += 1;
    }
    let moved = Cell::new(Instant::now());
    let (reader, mut writer) = tokio::io::split(socket.stream.get_mut());
    let mut reader = BufReader::new(reader);
    // Answers are read while requests are still written: neither side's buffers can fill up for good.
    let writing = async {
        for part in [&head, &what.requests] {
            for piece in part.chunks(64 * 1024) {
                timed(limit, &moved, writer.write_all(piece))
                    .await
                    .map_err(Failure::Write)?;
            }
        }
        timed(limit, &moved, writer.flush())
            .await
            .map_err(Failure::Write)?;
        Ok(())
    };
    let mut refused = None;
    let reading = async {
        for _ in 0..head_answers {
            let answer = line(&mut reader, limit, &moved).await?.err();
            refused = refused.or(answer);
        }
        while answers.len() < what.count {
            let answer = line(&mut reader, limit, &moved).await?;
            answers.push(refused.clone().map_or(answer, Err));
        }
        Ok(())
    };
    let (written, read) = tokio::join!(writing, reading);
    written?;
    read?;
    socket.db = answers.iter().all(Result::is_ok).then_some(what.db);
    Ok(socket)
}

async fn connect(shell: &Shell, what: &Transfer, limit: Duration) -> Result<Socket, Failure> {
    let looking = tokio::net::lookup_host((what.host.as_str(), what.port));
    let addresses: Vec<_> = match tokio::time::timeout(limit, looking).await {
        Err(_) => return Err(Failure::Connect),
        Ok(Err(_)) => return Err(Failure::Connect),
        Ok(Ok(addresses)) => addresses.collect(),
    };
    let connected = tokio::time::timeout(limit, TcpStream::connect(&addresses[..])).await;
    let stream = match connected {
        Err(_) => return Err(Failure::Connect),
        // In Redis 3.0 the first write meets it.
        Ok(Err(_)) => return Err(Failure::Write(Fault::Ended)),
        Ok(Ok(stream)) => stream,
    };
    // Requests are written whole.
    let _ = stream.set_nodelay(true);
    let tls = shell.engine.borrow().config().tls_cluster;
    let wire = if tls {
        let shaking = tokio::time::timeout(limit, shell.machine.handshakes.connect(stream));
        shaking.await.map_or(Err(Failure::Connect), |shaken| {
            shaken.map_err(|_| Failure::Connect)
        })?
    } else {
        stream.into()
    };
    Ok(Socket {
        stream: BufReader::new(wire),
        db: None,
        used: Instant::now(),
    })
}

/// One line of an answer: its text where it is an error.
async fn line<R: tokio::io::AsyncRead + Unpin>(
    reader: &mut BufReader<R>,
    limit: Duration,
    moved: &Cell<Instant>,
) -> Result<Result<(), String>, Failure> {
    let mut bytes = Vec::new();
    let mut bounded = tokio::io::AsyncReadExt::take(&mut *reader, MOST_LINE_BYTES as u64);
    let count = timed(limit, moved, bounded.read_until(b'\n', &mut bytes))
        .await
        .map_err(Failure::Read)?;
    if count == 0 || !bytes.ends_with(b"\n") {
        return Err(Failure::Read(Fault::Ended));
    }
    let text = String::from_utf8_lossy(&bytes);
    Ok(match text.trim_end().strip_prefix('-') {
        Some(error) => Err(error.to_owned()),
        None => Ok(()),
    })
}

/// Waits as long as something moves, here or in the other direction: what is big takes its time, and is answered only at the end.
async fn timed<T>(
    limit: Duration,
    moved: &Cell<Instant>,
    work: impl Future<Output = std::io::Result<T>>,
) -> Result<T, Fault> {
    let mut work = std::pin::pin!(work);
    loop {
        let until = moved.get() + limit;
        if let Ok(done) = tokio::time::timeout_at(until.into(), work.as_mut()).await {
            moved.set(Instant::now());
            return done.map_err(|_| Fault::Ended);
        }
        if moved.get() + limit <= Instant::now() {
            return Err(Fault::Late);
        }
    }
}
