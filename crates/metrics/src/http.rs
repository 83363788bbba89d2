//! The thread that answers HTTP: its sockets, the token, the paths. It asks the thread that serves for a snapshot, one question at a
//! time, and is never waited for.

use std::convert::Infallible;
use std::net::TcpListener;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use conf::ServerConfig;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode, header};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde::Serialize;
use sha2::{Digest as _, Sha256};
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::info::sections;
use crate::{Snapshot, health};

/// So many connections are served at a time.
const MOST_CONNECTIONS: usize = 64;
/// How long a connection may be silent, and how long one may live: who does not ask does not hold a place.
const SILENT: Duration = Duration::from_secs(10);
const LIFE: Duration = Duration::from_secs(300);
/// How long the thread that serves may take to answer.
const ANSWER: Duration = Duration::from_secs(5);
/// After a connection that could not be accepted: others may close theirs.
const PAUSE: Duration = Duration::from_millis(100);

const PAGE: &str = include_str!("page.html");

/// A question to the thread that serves.
#[derive(Debug)]
pub struct Question {
    /// Whether the nodes of a cluster are wanted, too.
    pub nodes: bool,
    answer: oneshot::Sender<Snapshot>,
}

impl Question {
    /// Answers it. Who asked may be gone by now.
    pub fn answer(self, snapshot: Snapshot) {
        let _ = self.answer.send(snapshot);
    }
}

/// Where the thread that serves finds the questions.
pub type Questions = mpsc::Receiver<Question>;

/// What is needed to answer HTTP.
#[derive(Debug)]
pub struct Door {
    listeners: Vec<TcpListener>,
    token: Option<Vec<u8>>,
}

impl Door {
    /// The listening sockets.
    #[must_use]
    pub fn listeners(&self) -> &[TcpListener] {
        &self.listeners
    }
}

/// Opens `metrics-port` at the addresses of `metrics-bind`; nothing without a port.
///
/// # Errors
/// Says which address cannot be had.
pub fn open(config: &ServerConfig) -> anyhow::Result<Option<Door>> {
    let bind = String::from_utf8_lossy(&config.metrics_bind);
    let addresses = bind.split_whitespace();
    let listeners = daemon::listen::tcp_at(addresses, config.metrics_port, config.tcp_backlog)
        .context("metrics-port")?;
    Ok((!listeners.is_empty()).then(|| Door {
        listeners,
        token: config.metrics_token.clone(),
    }))
}

/// Answers from now on, on a thread of its own, as long as the process lives.
///
/// # Errors
/// The system's, where it gives no thread.
pub fn serve(door: Door) -> anyhow::Result<Questions> {
    // One at a time: a second scrape waits for the first one.
    let (ask, questions) = mpsc::channel(1);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("metrics".to_owned())
        .spawn(move || {
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, listen(door, ask));
        })?;
    Ok(questions)
}

/// What all connections share.
struct Shared {
    ask: mpsc::Sender<Question>,
    /// The digest of the token, so that comparing takes the same time whatever is sent.
    token: Option<[u8; 32]>,
}

async fn listen(door: Door, ask: mpsc::Sender<Question>) {
    let token = door.token.map(|token| digest(&token));
    let shared = Rc::new(Shared { ask, token });
    let places = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let mut tasks = tokio::task::JoinSet::new();
    for listener in door.listeners {
        // Nothing is logged here: the log's lock must be free when the process forks.
        let Ok(listener) = tokio::net::TcpListener::from_std(listener) else {
            continue;
        };
        let (shared, places) = (Rc::clone(&shared), Arc::clone(&places));
        tasks.spawn_local(accept(listener, shared, places));
    }
    while tasks.join_next().await.is_some() {}
}

async fn accept(listener: tokio::net::TcpListener, shared: Rc<Shared>, places: Arc<Semaphore>) {
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let shared = Rc::clone(&shared);
        tokio::task::spawn_local(async move {
            let service = service_fn(|request| {
                let shared = Rc::clone(&shared);
                async move { Ok::<_, Infallible>(answer(&shared, &request).await) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(SILENT)
                .max_headers(64)
                .serve_connection(TokioIo::new(stream), service);
            // Whatever goes wrong with it concerns nobody else.
            let _ = tokio::time::timeout(LIFE, connection).await;
            drop(place);
        });
    }
}

type Answer = Response<Full<Bytes>>;

async fn answer(shared: &Shared, request: &Request<Incoming>) -> Answer {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return text(
            StatusCode::METHOD_NOT_ALLOWED,
            "Only GET: nothing can be changed here.\n",
        );
    }
    let path = request.uri().path();
    // Probes have no token, and learn little.
    let is_probe = matches!(path, "/healthz" | "/readyz");
    if !is_probe && !may(shared.token.as_ref(), request.headers().get(AUTHORIZATION)) {
        let mut refused = text(
            StatusCode::UNAUTHORIZED,
            "The metrics-token is missing or wrong.\n",
        );
        let scheme = HeaderValue::from_static("Basic realm=\"metrics-token as password\"");
        refused
            .headers_mut()
            .insert(header::WWW_AUTHENTICATE, scheme);
        return refused;
    }
    match path {
        "/" => page(),
        "/metrics" | "/healthz" | "/readyz" | "/state" => {
            match snapshot(&shared.ask, path == "/state").await {
                Some(snapshot) => told(path, &snapshot),
                None => text(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "The server is busy: no answer in time.\n",
                ),
            }
        }
        _ => text(
            StatusCode::NOT_FOUND,
            "There are /, /metrics, /healthz and /readyz.\n",
        ),
    }
}

fn told(path: &str, snapshot: &Snapshot) -> Answer {
    match path {
        "/metrics" => match crate::text::prometheus(snapshot) {
            Ok(metrics) => whole(StatusCode::OK, prometheus::TEXT_FORMAT, metrics),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        },
        "/readyz" => {
            let reasons = health::unready(snapshot);
            if reasons.is_empty() {
                text(StatusCode::OK, "ready\n")
            } else {
                text(StatusCode::SERVICE_UNAVAILABLE, reasons.join("\n") + "\n")
            }
        }
        "/state" => match serde_json::to_string(&State::of(snapshot)) {
            Ok(state) => whole(StatusCode::OK, "application/json", state),
            Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")),
        },
        _ => text(StatusCode::OK, "alive\n"),
    }
}

async fn snapshot(ask: &mpsc::Sender<Question>, nodes: bool) -> Option<Snapshot> {
    let (answer, answered) = oneshot::channel();
    let asked = async {
        ask.send(Question { nodes, answer }).await.ok()?;
        answered.await.ok()
    };
    tokio::time::timeout(ANSWER, asked).await.ok().flatten()
}

/// What the page shows.
#[derive(Serialize)]
struct State<'a> {
    /// The sections of INFO: title, and fields with their values.
    info: Vec<(&'a str, Vec<(&'a str, &'a str)>)>,
    cluster: Vec<(&'a str, &'a str)>,
    nodes: &'a str,
    /// Why it should not be sent clients.
    unready: Vec<String>,
}

impl<'a> State<'a> {
    fn of(snapshot: &'a Snapshot) -> Self {
        let (cluster, info): (Vec<_>, Vec<_>) = sections(&snapshot.info)
            .into_iter()
            .partition(|section| section.title == "Cluster Info");
        Self {
            info: info
                .into_iter()
                .map(|section| (section.title, section.fields))
                .collect(),
            cluster: cluster
                .into_iter()
                .flat_map(|section| section.fields)
                .collect(),
            nodes: &snapshot.cluster_nodes,
            unready: health::unready(snapshot),
        }
    }
}

/// Whether a request that brings this may see more than a probe: `Bearer TOKEN`, as Prometheus sends it, or the password of `Basic`, as
/// browsers do.
fn may(token: Option<&[u8; 32]>, brought: Option<&HeaderValue>) -> bool {
    let Some(token) = token else {
        return true;
    };
    let Some((scheme, value)) = brought
        .map(HeaderValue::as_bytes)
        .and_then(|value| split_once(value, b' '))
    else {
        return false;
    };
    if scheme.eq_ignore_ascii_case(b"bearer") {
        return digest(value) == *token;
    }
    let decoded = scheme
        .eq_ignore_ascii_case(b"basic")
        .then(|| BASE64.decode(value).ok())
        .flatten();
    decoded.is_some_and(|pair| {
        split_once(&pair, b':').is_some_and(|(_, password)| digest(password) == *token)
    })
}

fn split_once(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let place = bytes.iter().position(|byte| *byte == at)?;
    Some((&bytes[..place], &bytes[place + 1..]))
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

fn page() -> Answer {
    let mut page = whole(StatusCode::OK, "text/html; charset=utf-8", PAGE);
    // Nothing from elsewhere, and in nobody's frame.
    let policy = HeaderValue::from_static(
        "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; \
         img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    );
    page.headers_mut()
        .insert(header::CONTENT_SECURITY_POLICY, policy);
    page
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    whole(status, "text/plain; charset=utf-8", body)
}

fn whole(status: StatusCode, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_a_bearers_or_a_password() {
        let token = digest(b"secret");
        let may =
            |value: &str| super::may(Some(&token), Some(&HeaderValue::from_str(value).unwrap()));
        assert!(super::may(None, None) && !super::may(Some(&token), None));
        assert!(may("Bearer secret") && may("bearer secret"));
        // anyone:secret
        assert!(may("Basic YW55b25lOnNlY3JldA=="));
        for wrong in [
            "Bearer secret2",
            "Bearer",
            "Basic secret",
            "Basic c2VjcmV0",
            "Basic !",
            "",
        ] {
            assert!(!may(wrong), "{wrong}");
        }
    }
}
