//! A replica's link to its master: connect, handshake, PSYNC or SYNC, transfer, stream.
//!
//! The transfer's bytes and the stream's bytes are handed out as they come; what becomes of them is the caller's business.
//! The caller also keeps the place in the stream up to which it has applied it, and tells it with [`Link::set_place`].

use std::collections::VecDeque;
use std::fmt;

use crate::Backlog;
use crate::channel::Event;
use crate::transfer::{DumpPart, Lines, Transfer};

mod dual;

use dual::Dual;

/// A link that is lost again and again is made anew so often at most. Milliseconds.
const RETRY_MS: u64 = 1000;
/// Length of a replication id.
pub(crate) const ID_BYTES: usize = 40;
/// The version that the handshake tells: a primary writes its dump so that this one could read it.
pub(crate) const VERSION: &str = "9.1.0";

/// What a replica announces that may be named another one to copy from.
pub const SIBLING_CAPA: &str = "copy-from-replica";
/// How a primary names it, in answer to PSYNC: an address and a port follow.
pub const COPY_FROM: &str = "+COPYFROM ";

/// A place in a replication stream: the stream's name, and how many of its bytes there are before it.
pub type Place = (String, u64);

/// Where the link stands. The names are those of `ROLE`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The next call of [`Link::handle_timeout`] connects.
    Connect,
    /// A connection is being made.
    Connecting,
    /// The handshake is under way.
    Handshake,
    /// A dump is being received, or loaded.
    Sync,
    /// The stream is being received.
    Connected,
}

impl State {
    /// What ROLE calls it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Connecting => "connecting",
            Self::Handshake => "handshake",
            Self::Sync => "sync",
            Self::Connected => "connected",
        }
    }
}

/// What the handshake says, and how long it may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Our own port, for the primary's INFO.
    pub port: u16,
    /// `replica-announce-ip`
    pub ip: Option<String>,
    /// `primaryuser`: who to log in as, if not the default user.
    pub user: Option<Vec<u8>>,
    /// `primaryauth`
    pub password: Option<Vec<u8>>,
    /// `repl-timeout`, milliseconds.
    pub timeout_ms: u64,
    /// This server's name in its cluster, for a primary that ends and names its successor.
    pub node_id: Option<String>,
    /// `dual-channel-replication-enabled`
    pub dual_channel: bool,
    /// `repl-sync-source replica`: the primary may name a replica to copy from ([`Output::CopyFrom`]).
    pub takes_sibling: bool,
    /// How much of the stream is kept here while a dump comes by a second connection, bytes; 0: all that comes. It is the caller who
    /// reads no more than that ([`Output::Room`]).
    pub most_buffered: u64,
}

/// What happens to the link.
#[derive(Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// The connection is made.
    Connected,
    /// It could not be made, or an attempt was given up: why.
    Failed(&'a str),
    /// Bytes came.
    Received(&'a [u8]),
    /// The dump that was received has been loaded: the stream may be applied.
    Loaded,
    /// The dump cannot be kept or loaded: the line to log.
    Unusable(&'a str),
    /// The connection ended.
    Lost,
    /// The second connection is made ([`Output::OpenSecond`]).
    SecondConnected,
    /// It could not be made, or has ended: why.
    SecondLost(&'a str),
    /// Bytes came over it.
    SecondReceived(&'a [u8]),
    /// The caller goes on ([`Output::Later`]).
    GoOn,
}

/// What the caller has to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Output {
    /// Connect to the master.
    Connect,
    /// Close the connection; nothing more is wanted from it.
    Close,
    /// Send these bytes.
    Send(Vec<u8>),
    /// A dump comes: its length, or `None` where a mark will end it.
    BeginTransfer(Option<u64>),
    /// A part of the dump.
    Dump(Vec<u8>),
    /// The dump is whole: load it, then say [`Input::Loaded`]. With the place that the stream after it starts from; none for a
    /// primary that knows no PSYNC.
    Load(Option<Place>),
    /// The primary continues the stream from where we are. With the name that the stream has from here on, where it is another one.
    Continued(Option<String>),
    /// The connection was closed: the next one is to go to this replica of the primary, which has a copy to give.
    CopyFrom {
        /// Its address.
        host: String,
        /// Its port.
        port: u16,
    },
    /// The primary that was told to be one ([`Link::set_hand_over`]) has agreed, or has not.
    HandedOver(bool),
    /// The primary continues nothing: what was kept of the stream is worth nothing now.
    Discard,
    /// Bytes of the stream.
    Stream(Vec<u8>),
    /// A line for the log; warnings are `true`.
    Log(bool, String),
    /// Connect to the master a second time.
    OpenSecond,
    /// Send these bytes over the second connection.
    SendSecond(Vec<u8>),
    /// Close the second connection; nothing more is wanted from it.
    CloseSecond,
    /// What was kept of the stream is of no use any more, and may take long to free.
    Unneeded(Backlog),
    /// From now on read no more than so many bytes from the first connection; none: as many as come.
    Room(Option<u64>),
    /// Say [`Input::GoOn`] once others have had their turn.
    Later,
    /// What was kept of the stream while the dump came has been handed out: from here on it comes as it is written.
    CaughtUp,
}

/// The steps of the handshake: what was sent, and is to be answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Idle,
    Connecting,
    Ping,
    Auth,
    Port,
    Ip,
    Capabilities,
    Version,
    NodeId,
    Psync,
    /// A dump comes, or its first line; SYNC: no other answer.
    Dump,
    Loading,
    /// The second connection is to tell where the dump stands.
    AwaitOffset,
    /// The primary was told which connection the dump comes by.
    SecondId,
    /// It was asked for the stream behind the dump.
    DualPsync,
    /// The stream is kept while the dump comes.
    Buffering,
    /// What was kept is handed out.
    Draining,
    Streaming,
}

/// The link of one replica to one master.
#[derive(Debug)]
pub struct Link {
    config: Config,
    step: Step,
    lines: Lines,
    /// The dump that comes by this connection.
    transfer: Transfer,
    /// The stream behind a dump that is being loaded.
    behind: Vec<u8>,
    /// A copy whose dump comes by a second connection.
    dual: Option<Dual>,
    /// The place that PSYNC may ask to continue from.
    place: Option<Place>,
    /// PSYNC tells the other side to be the primary.
    hand_over: bool,
    /// What +FULLRESYNC told.
    announced: Option<Place>,
    /// When something last came, or the attempt began. Milliseconds.
    active_ms: u64,
    /// When a lost link was last made anew at once. Milliseconds.
    hurried_ms: Option<u64>,
    /// What the stream is known to be like.
    old: Old,
    outputs: VecDeque<Output>,
}

/// Whether the primary is of a release before 4.0, whose replicas understand its stream whatever they are.
#[derive(Debug, Default)]
struct Old {
    /// It did not refuse to hear our version.
    knows_version: bool,
    /// How the dump that comes begins.
    head: Vec<u8>,
    is_old: bool,
}

/// What such a dump begins with, but for the last digit.
const OLD_MAGIC: &[u8] = b"REDIS000";

impl Old {
    /// The primary continues the stream, and names it, or does not.
    fn continued(&mut self, named: bool) {
        self.is_old = !named && !self.knows_version;
    }

    fn dump_begins(&mut self) {
        self.head.clear();
        self.is_old = false;
    }

    fn dump_goes_on(&mut self, bytes: &[u8]) {
        let room = OLD_MAGIC.len() + 1 - self.head.len();
        self.head.extend_from_slice(&bytes[..room.min(bytes.len())]);
    }

    /// Redis 3.2 writes version 7.
    fn dump_is_whole(&mut self) {
        let old = matches!(self.head.strip_prefix(OLD_MAGIC), Some([b'1'..=b'7']));
        self.is_old = old && !self.knows_version;
    }
}

impl Link {
    /// A link that has not connected yet. `place` is where the stream could be continued.
    #[must_use]
    pub fn new(now_ms: u64, config: Config, place: Option<Place>) -> Self {
        Self {
            config,
            step: Step::Idle,
            lines: Lines::default(),
            transfer: Transfer::default(),
            behind: Vec::new(),
            dual: None,
            place,
            hand_over: false,
            announced: None,
            active_ms: now_ms,
            hurried_ms: None,
            old: Old::default(),
            outputs: VecDeque::new(),
        }
    }

    /// Whether the primary whose stream comes, or whose dump has just come, is of a release before 4.0.
    #[must_use]
    pub fn is_primary_old(&self) -> bool {
        self.old.is_old
    }

    /// Where it stands.
    #[must_use]
    pub fn state(&self) -> State {
        match self.step {
            Step::Idle => State::Connect,
            Step::Connecting => State::Connecting,
            Step::Ping
            | Step::Auth
            | Step::Port
            | Step::Ip
            | Step::Capabilities
            | Step::Version
            | Step::NodeId
            | Step::Psync
            | Step::AwaitOffset => State::Handshake,
            Step::Dump
            | Step::Loading
            | Step::SecondId
            | Step::DualPsync
            | Step::Buffering
            | Step::Draining => State::Sync,
            Step::Streaming => State::Connected,
        }
    }

    /// Whether a dump has come whole and [`Input::Loaded`] is awaited.
    #[must_use]
    pub fn is_loading(&self) -> bool {
        self.step == Step::Loading || self.dual.as_ref().is_some_and(Dual::is_loading)
    }

    /// How many bytes of a dump of known length are still to come.
    #[must_use]
    pub fn transfer_left(&self) -> Option<u64> {
        match &self.dual {
            Some(dual) => dual.transfer_left(),
            None => self.transfer.left(),
        }
    }

    /// When something last came from the master. Milliseconds of the caller's clock.
    #[must_use]
    pub fn active_ms(&self) -> u64 {
        self.active_ms
    }

    /// The connection that a dump comes by is not silent.
    pub fn set_active(&mut self, now_ms: u64) {
        self.active_ms = now_ms;
        if let Some(dual) = &mut self.dual {
            dual.set_active(now_ms);
        }
    }

    /// The place that the stream behind the dump starts from which comes: none for a primary that knows no PSYNC.
    #[must_use]
    pub fn announced(&self) -> Option<Place> {
        match &self.dual {
            Some(dual) => dual.announced(),
            None => self.announced.clone(),
        }
    }

    /// Changes what later handshakes say.
    pub fn set_config(&mut self, config: Config) {
        self.config = config;
    }

    /// Where the stream could be continued from: what the next PSYNC asks for.
    pub fn set_place(&mut self, place: Option<Place>) {
        self.place = place;
    }

    /// Whether the next PSYNC tells the other side, a replica of ours until now, to be the primary. Its answer is told by
    /// [`Output::HandedOver`].
    pub fn set_hand_over(&mut self, hand_over: bool) {
        self.hand_over = hand_over;
    }

    /// The next thing to do; `None` when there is nothing.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Once a second, and once it is known whom to ask: connects, or gives up what takes too long.
    pub fn handle_timeout(&mut self, now_ms: u64) {
        if self.step == Step::Idle {
            return self.connect(now_ms);
        }
        let active_ms = self.dual.as_ref().and_then(Dual::active_ms);
        let active_ms = active_ms.unwrap_or(self.active_ms);
        if self.is_loading()
            || self.step == Step::Draining
            || now_ms.saturating_sub(active_ms) <= self.config.timeout_ms
        {
            return;
        }
        match self.state() {
            State::Connected => {
                self.warn("PRIMARY timeout: no data nor PING received...");
                self.outputs.push_back(Output::Close);
            }
            State::Sync => self.give_up(
                "Timeout receiving bulk data from PRIMARY... If the problem persists try to set the 'repl-timeout' parameter in valkey.conf to a larger value.",
            ),
            _ => self.give_up("Timeout connecting to the PRIMARY..."),
        }
    }

    fn connect(&mut self, now_ms: u64) {
        self.step = Step::Connecting;
        self.active_ms = now_ms;
        self.forget();
        self.outputs.push_back(Output::Connect);
    }

    /// Nothing that came so far belongs to what comes.
    fn forget(&mut self) {
        self.lines.clear();
        self.transfer = Transfer::default();
        self.behind = Vec::new();
        self.leave_dual();
    }

    /// Something happened.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "an input is used up, as in the other state machines"
    )]
    pub fn handle_input(&mut self, now_ms: u64, input: Input<'_>) {
        if !matches!(input, Input::SecondReceived(_)) {
            self.active_ms = now_ms;
        }
        match input {
            Input::SecondConnected => self.second_connected(now_ms),
            Input::SecondLost(why) => self.second_lost(why),
            Input::SecondReceived(bytes) => self.second_received(now_ms, bytes),
            Input::GoOn => self.go_on(),
            Input::Connected => {
                self.note("Non blocking connect for SYNC fired the event.");
                self.send(Step::Ping, &[b"PING"]);
            }
            Input::Failed(why) => {
                self.warn(format!("Error condition on socket for SYNC: {why}"));
                self.step = Step::Idle;
            }
            Input::Loaded if self.dual.is_some() => self.dual_loaded(),
            Input::Loaded => {
                self.step = Step::Streaming;
                let waiting = std::mem::take(&mut self.behind);
                if !waiting.is_empty() {
                    self.outputs.push_back(Output::Stream(waiting));
                }
            }
            Input::Unusable(line) => self.give_up(line),
            Input::Lost => {
                if self.step == Step::Dump {
                    self.warn("I/O error trying to sync with PRIMARY: connection lost");
                } else if self.dual.is_some() {
                    self.warn("Dual channel replication: Provisional primary closed connection");
                }
                // The less the master writes meanwhile, the smaller a backlog will do. A link that was made anew so a moment ago waits
                // for the next second, as every other.
                let rested = self
                    .hurried_ms
                    .is_none_or(|hurried_ms| now_ms.saturating_sub(hurried_ms) >= RETRY_MS);
                let at_once = self.step == Step::Streaming && rested;
                self.step = Step::Idle;
                self.forget();
                if at_once {
                    self.hurried_ms = Some(now_ms);
                    self.connect(now_ms);
                }
            }
            Input::Received(bytes) => self.received(bytes),
        }
    }

    fn received(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = match self.step {
                Step::Streaming => {
                    self.outputs.push_back(Output::Stream(bytes.to_vec()));
                    &[]
                }
                // The stream after a dump that is still being loaded.
                Step::Loading => {
                    self.behind.extend_from_slice(bytes);
                    &[]
                }
                Step::Buffering | Step::Draining => self.buffer(bytes),
                Step::Dump => self.dump(bytes),
                Step::Idle | Step::Connecting => &[],
                _ => self.line(bytes),
            };
        }
    }

    /// Takes bytes up to the end of a line, and the line if it is whole; what is left.
    fn line<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let Some((line, rest)) = self.lines.take(bytes) else {
            self.give_up("PRIMARY sent a line without an end during the handshake");
            return &[];
        };
        if let Some(line) = line {
            self.answer(&line);
        }
        rest
    }

    fn answer(&mut self, line: &[u8]) {
        let text = String::from_utf8_lossy(line).into_owned();
        let refused = line.starts_with(b"-");
        match self.step {
            Step::Ping => {
                let waits = ["-NOAUTH", "-NOPERM", "-ERR operation not permitted"]
                    .iter()
                    .any(|start| text.starts_with(start));
                if refused && !waits {
                    return self.give_up(format!("Error reply to PING from primary: '{text}'"));
                }
                self.note("Primary replied to PING, replication can continue...");
                match (self.config.user.clone(), self.config.password.clone()) {
                    (Some(user), Some(password)) => {
                        self.send(Step::Auth, &[b"AUTH", &user, &password]);
                    }
                    (None, Some(password)) => self.send(Step::Auth, &[b"AUTH", &password]),
                    (_, None) => self.send_port(),
                }
            }
            Step::Auth if refused => self.give_up(format!("Unable to AUTH to PRIMARY: {text}")),
            Step::Auth => self.send_port(),
            Step::Port => {
                self.note_refusal(refused, "listening-port", &text);
                match self.config.ip.clone() {
                    Some(ip) => {
                        self.send(Step::Ip, &[b"REPLCONF", b"ip-address", ip.as_bytes()]);
                    }
                    None => self.send_capabilities(),
                }
            }
            Step::Ip => {
                self.note_refusal(refused, "ip-address", &text);
                self.send_capabilities();
            }
            Step::Capabilities => {
                self.note_refusal(refused, "capa", &text);
                self.send(
                    Step::Version,
                    &[b"REPLCONF", b"version", VERSION.as_bytes()],
                );
            }
            Step::Version => {
                self.note_refusal(refused, "version", &text);
                self.old.knows_version = !refused;
                self.send_node_id();
            }
            Step::NodeId => {
                self.note_refusal(refused, "set-cluster-node-id", &text);
                self.send_psync();
            }
            Step::Psync => self.psync_answer(&text),
            Step::SecondId => self.second_id_answer(&text),
            Step::DualPsync => self.dual_psync_answer(&text),
            _ => {}
        }
    }

    fn send_port(&mut self) {
        let port = self.config.port.to_string();
        self.send(
            Step::Port,
            &[b"REPLCONF", b"listening-port", port.as_bytes()],
        );
    }

    fn send_capabilities(&mut self) {
        let mut words = vec![&b"REPLCONF"[..], b"capa", b"eof", b"capa", b"psync2"];
        if self.config.dual_channel {
            words.extend([&b"capa"[..], b"dual-channel"]);
        }
        if self.config.takes_sibling {
            words.extend([&b"capa"[..], SIBLING_CAPA.as_bytes()]);
        }
        self.send(Step::Capabilities, &words);
    }

    fn send_node_id(&mut self) {
        match self.config.node_id.clone() {
            Some(id) => self.send(
                Step::NodeId,
                &[b"REPLCONF", b"SET-CLUSTER-NODE-ID", id.as_bytes()],
            ),
            None => self.send_psync(),
        }
    }

    fn note_refusal(&mut self, refused: bool, option: &str, answer: &str) {
        if refused {
            self.note(format!(
                "(Non critical) Primary does not understand REPLCONF {option}: {answer}"
            ));
        }
    }

    fn send_psync(&mut self) {
        let (id, offset) = match &self.place {
            Some((id, offset)) => (id.clone(), offset.saturating_add(1).to_string()),
            None => ("?".to_owned(), "-1".to_owned()),
        };
        if self.place.is_some() {
            self.note(format!(
                "Trying a partial resynchronization (request {id}:{offset})."
            ));
        } else {
            self.note("Partial resynchronization not possible (no cached primary)");
        }
        let mut words = vec![&b"PSYNC"[..], id.as_bytes(), offset.as_bytes()];
        if self.hand_over {
            words.push(b"FAILOVER");
        }
        self.send(Step::Psync, &words);
    }

    /// The primary continues the stream; from 4.0 on it tells the stream's name.
    fn continued(&mut self, named: Option<&str>) {
        self.note("Successful partial resynchronization with primary.");
        self.old.continued(named.is_some());
        let known = self.place.as_ref().map(|(id, _)| id.as_str());
        let renamed = named
            .filter(|id| id.len() == ID_BYTES && known != Some(*id))
            .map(str::to_owned);
        if let Some(id) = &renamed {
            self.note(format!("Primary replication ID changed to {id}"));
        }
        self.note("PRIMARY <-> REPLICA sync: Primary accepted a Partial Resynchronization.");
        self.step = Step::Streaming;
        self.outputs.push_back(Output::Continued(renamed));
    }

    fn psync_answer(&mut self, line: &str) {
        if std::mem::take(&mut self.hand_over) {
            let accepted = line.starts_with("+CONTINUE") || line.starts_with("+FULLRESYNC");
            self.outputs.push_back(Output::HandedOver(accepted));
            if !accepted {
                return self.give_up(format!("Unexpected reply to PSYNC from primary: {line}"));
            }
        }
        if let Some(rest) = line.strip_prefix("+CONTINUE") {
            if self.place.is_some() {
                return self.continued(rest.split_ascii_whitespace().next());
            }
            return self.give_up(format!("Unexpected reply to PSYNC from primary: {line}"));
        }
        if line.starts_with("-NOMASTERLINK") || line.starts_with("-LOADING") {
            self.note(format!(
                "Primary is currently unable to PSYNC but should be in the future: {line}"
            ));
            self.step = Step::Idle;
            self.outputs.push_back(Output::Close);
            return;
        }
        if let Some((host, port)) = self.named_sibling(line) {
            self.step = Step::Idle;
            self.outputs.push_back(Output::Close);
            self.outputs.push_back(Output::CopyFrom { host, port });
            return;
        }
        self.place = None;
        self.announced = None;
        self.outputs.push_back(Output::Discard);
        self.old.dump_begins();
        if self.config.dual_channel && line == "+DUALCHANNELSYNC" {
            return self.begin_dual();
        }
        if let Some(rest) = line.strip_prefix("+FULLRESYNC") {
            let mut words = rest.split_ascii_whitespace();
            let id = words.next().filter(|id| id.len() == ID_BYTES);
            let offset: Option<u64> = words.next().and_then(|word| word.parse().ok());
            // It is added to.
            let offset = offset.filter(|offset| i64::try_from(*offset).is_ok());
            match (id, offset) {
                (Some(id), Some(offset)) => {
                    self.note(format!("Full resync from primary: {id}:{offset}"));
                    self.announced = Some((id.to_owned(), offset));
                }
                _ => self.warn("Primary replied with wrong +FULLRESYNC syntax."),
            }
            self.step = Step::Dump;
            return;
        }
        if line.starts_with("-ERR") {
            self.note(format!(
                "Primary does not support PSYNC or is in error state (reply: {line})"
            ));
        } else {
            self.warn(format!("Unexpected reply to PSYNC from primary: {line}"));
        }
        self.note("Retrying with SYNC...");
        self.send(Step::Dump, &[b"SYNC"]);
    }

    /// The replica that the primary names to copy from, if it may.
    fn named_sibling(&self, line: &str) -> Option<(String, u16)> {
        let rest = line.strip_prefix(COPY_FROM)?;
        let (host, port) = rest.trim().split_once(' ')?;
        let port = port.parse().ok().filter(|port| *port > 0)?;
        (self.config.takes_sibling && !host.is_empty()).then(|| (host.to_owned(), port))
    }

    /// Takes bytes of a dump; what is left.
    fn dump<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let mut parts = Vec::new();
        let taken = self.transfer.take(bytes, |part| parts.push(part));
        for part in parts {
            self.dump_part(part);
        }
        if self.transfer.is_whole() {
            self.step = Step::Loading;
            self.outputs.push_back(Output::Load(self.announced.take()));
        }
        taken.unwrap_or_else(|why| {
            self.give_up(why);
            &[]
        })
    }

    fn dump_part(&mut self, part: DumpPart) {
        match part {
            DumpPart::Begin(length) => {
                self.old.dump_begins();
                self.outputs.push_back(Output::BeginTransfer(length));
            }
            DumpPart::Bytes(bytes) => {
                self.old.dump_goes_on(&bytes);
                self.outputs.push_back(Output::Dump(bytes));
            }
            DumpPart::Whole => self.old.dump_is_whole(),
        }
    }

    fn send(&mut self, step: Step, words: &[&[u8]]) {
        self.step = step;
        self.outputs.push_back(Output::Send(request(words)));
    }

    fn give_up(&mut self, why: impl fmt::Display) {
        self.warn(why);
        self.step = Step::Idle;
        self.forget();
        self.outputs.push_back(Output::Close);
    }

    fn note(&mut self, text: impl fmt::Display) {
        self.outputs.push_back(Output::Log(false, text.to_string()));
    }

    fn warn(&mut self, text: impl fmt::Display) {
        self.outputs.push_back(Output::Log(true, text.to_string()));
    }
}

/// A request of these words.
fn request<W: AsRef<[u8]>>(words: &[W]) -> Vec<u8> {
    let mut out = resp::Reply::default();
    out.array(words.len());
    words.iter().for_each(|word| out.bulk(word.as_ref()));
    out.into_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(place: Option<Place>) -> Link {
        let mut link = Link::new(
            0,
            Config {
                port: 7,
                ip: None,
                user: None,
                password: None,
                timeout_ms: 60_000,
                node_id: None,
                dual_channel: false,
                takes_sibling: false,
                most_buffered: 0,
            },
            place,
        );
        link.handle_timeout(0);
        link.handle_input(0, Input::Connected);
        link
    }

    /// Feeds the master's bytes in pieces of `size`, and gives everything but log lines and handshake requests.
    fn run(link: &mut Link, bytes: &[u8], size: usize) -> Vec<Output> {
        bytes
            .chunks(size)
            .for_each(|piece| link.handle_input(1, Input::Received(piece)));
        let all = std::iter::from_fn(|| link.poll_output());
        all.filter(|output| !matches!(output, Output::Log(..) | Output::Send(_) | Output::Connect))
            .collect()
    }

    fn joined(outputs: &[Output]) -> (Vec<u8>, Vec<u8>) {
        let (mut dump, mut stream) = (Vec::new(), Vec::new());
        for output in outputs {
            match output {
                Output::Dump(bytes) => dump.extend_from_slice(bytes),
                Output::Stream(bytes) => stream.extend_from_slice(bytes),
                _ => {}
            }
        }
        (dump, stream)
    }

    const ID: &str = "0123456789012345678901234567890123456789";

    #[test]
    fn another_replica_is_copied_from_only_where_it_may_be_named() {
        let mut link = link(Some((ID.to_owned(), 7)));
        let greeting = b"+PONG\r\n+OK\r\n+OK\r\n+OK\r\n";
        let named = b"+COPYFROM 10.0.0.2 7003\r\n";
        let outputs = run(&mut link, &[&greeting[..], named].concat(), 1000);
        assert_eq!(outputs, [Output::Discard], "not understood");
        link.handle_input(0, Input::Lost);
        let mut config = link.config.clone();
        config.takes_sibling = true;
        link.set_config(config);
        for (named, wanted) in [
            ("10.0.0.2 7003", Some(("10.0.0.2", 7003))),
            ("::1 1", Some(("::1", 1))),
            ("10.0.0.2 0", None),
            ("10.0.0.2 70003", None),
            ("10.0.0.2", None),
            (" 7", None),
        ] {
            link.set_place(Some((ID.to_owned(), 7)));
            link.handle_timeout(2000);
            link.handle_input(2000, Input::Connected);
            run(&mut link, greeting, 1000);
            let outputs = run(&mut link, format!("+COPYFROM {named}\r\n").as_bytes(), 5);
            match wanted {
                Some((host, port)) => {
                    let host = host.to_owned();
                    assert_eq!(outputs, [Output::Close, Output::CopyFrom { host, port }]);
                    assert!(link.place.is_some(), "it may be continued there");
                }
                None => assert_eq!(outputs, [Output::Discard], "{named}"),
            }
            link.handle_input(2000, Input::Lost);
        }
    }

    #[test]
    fn logs_in_as_it_is_told() {
        for (user, wanted) in [
            (None, &b"*2\r\n$4\r\nAUTH\r\n$1\r\np\r\n"[..]),
            (Some(b"u"), b"*3\r\n$4\r\nAUTH\r\n$1\r\nu\r\n$1\r\np\r\n"),
        ] {
            let config = Config {
                port: 7,
                ip: None,
                user: user.map(|user| user.to_vec()),
                password: Some(b"p".to_vec()),
                timeout_ms: 60_000,
                node_id: None,
                dual_channel: false,
                takes_sibling: false,
                most_buffered: 0,
            };
            let mut link = Link::new(0, config, None);
            link.handle_timeout(0);
            link.handle_input(0, Input::Connected);
            // Who may not say PING before may log in all the same.
            link.handle_input(
                1,
                Input::Received(b"-NOPERM this user has no permissions\r\n"),
            );
            let sent = std::iter::from_fn(|| link.poll_output());
            let mut sent = sent.filter(|output| matches!(output, Output::Send(_)));
            assert_eq!(sent.nth(1), Some(Output::Send(wanted.to_vec())));
        }
    }

    #[test]
    fn tells_its_name_in_a_cluster_last() {
        let mut config = link(None).config;
        config.node_id = Some(ID.to_owned());
        let mut link = Link::new(0, config, None);
        link.handle_timeout(0);
        link.handle_input(0, Input::Connected);
        let answers = b"+PONG\r\n+OK\r\n+OK\r\n+OK\r\n-ERR what\r\n";
        link.handle_input(1, Input::Received(answers));
        let sent = std::iter::from_fn(|| link.poll_output());
        let sent: Vec<Output> = sent
            .filter(|output| matches!(output, Output::Send(_)))
            .collect();
        let name = format!("*3\r\n$8\r\nREPLCONF\r\n$19\r\nSET-CLUSTER-NODE-ID\r\n$40\r\n{ID}\r\n");
        assert_eq!(sent[4], Output::Send(name.into_bytes()));
        assert!(matches!(&sent[5], Output::Send(bytes) if bytes.starts_with(b"*3\r\n$5\r\nPSYNC")));
    }

    #[test]
    fn a_full_copy_then_the_stream_however_the_bytes_are_cut() {
        let session =
            format!("+PONG\r\n+OK\r\n+OK\r\n+OK\r\n\n+FULLRESYNC {ID} 5\r\n\n$4\r\nDUMPstream");
        for size in 1..session.len() {
            let mut link = link(None);
            let mut outputs = run(&mut link, session.as_bytes(), size);
            assert!(
                outputs.contains(&Output::Load(Some((ID.to_owned(), 5)))),
                "{outputs:?}"
            );
            link.handle_input(2, Input::Loaded);
            outputs.extend(run(&mut link, b"", 1));
            assert_eq!(joined(&outputs), (b"DUMP".to_vec(), b"stream".to_vec()));
            assert_eq!(link.state(), State::Connected);
        }
    }

    #[test]
    fn a_streamed_copy_ends_with_its_mark() {
        let start = format!("+PONG\r\n+OK\r\n+OK\r\n+OK\r\n+FULLRESYNC {ID} 5\r\n$EOF:{ID}\r\n");
        let body = [
            &b"some dump that is longer than the mark that ends it"[..],
            ID.as_bytes(),
        ]
        .concat();
        for size in 1..=body.len() {
            let mut link = link(None);
            run(&mut link, start.as_bytes(), 3);
            let outputs = run(&mut link, &body, size);
            assert_eq!(joined(&outputs).0, &body[..body.len() - ID.len()]);
            assert!(matches!(outputs.last(), Some(Output::Load(_))));
        }
    }

    #[test]
    fn continues_where_the_master_agrees() {
        let mut link = link(Some((ID.to_owned(), 9)));
        let outputs = run(
            &mut link,
            b"+PONG\r\n+OK\r\n-ERR what\r\n-ERR what\r\n+CONTINUE\r\nmore",
            2,
        );
        assert_eq!(outputs[0], Output::Continued(None));
        assert_eq!(joined(&outputs).1, b"more");
    }

    #[test]
    fn nonsense_from_a_master_closes_the_link_and_nothing_more() {
        for answer in [
            "-ERR no\r\n",
            "+PONG\r\n+OK\r\n+OK\r\n+OK\r\n+FULLRESYNC x y\r\n$-5\r\n",
            "+PONG\r\n+OK\r\n+OK\r\n+OK\r\n-ERR\r\nhello\r\n",
        ] {
            let mut link = link(None);
            let outputs = run(&mut link, answer.as_bytes(), 5);
            assert_eq!(outputs.last(), Some(&Output::Close), "{answer}");
            assert_eq!(link.state(), State::Connect);
        }
        let mut link = link(None);
        assert!(run(&mut link, &vec![b'x'; 10_000], 1000).contains(&Output::Close));
    }

    #[test]
    fn a_dump_that_cannot_be_kept_is_given_up_in_one_line() {
        let mut link = link(None);
        let start = format!("+PONG\r\n+OK\r\n+OK\r\n+OK\r\n+FULLRESYNC {ID} 5\r\n$9\r\nREDIS");
        let outputs = run(&mut link, start.as_bytes(), 3);
        assert_eq!(joined(&outputs).0, b"REDIS");
        link.handle_input(3, Input::Unusable("no space"));
        link.handle_input(3, Input::Lost);
        let outputs: Vec<Output> = std::iter::from_fn(|| link.poll_output()).collect();
        assert_eq!(
            outputs,
            [Output::Log(true, "no space".to_owned()), Output::Close]
        );
        assert_eq!(link.state(), State::Connect);
    }

    #[test]
    fn a_silent_master_is_given_up() {
        let mut link = link(None);
        run(&mut link, b"+PONG\r\n", 9);
        link.handle_timeout(60_002);
        assert!(run(&mut link, b"", 1).contains(&Output::Close));
    }

    #[test]
    fn a_link_that_was_up_is_made_again_at_once_and_only_once() {
        let mut link = link(Some((ID.to_owned(), 5)));
        let outputs = run(&mut link, b"+PONG\r\n+OK\r\n+OK\r\n+OK\r\n+CONTINUE\r\n", 9);
        assert!(outputs.contains(&Output::Continued(None)));
        link.handle_input(RETRY_MS, Input::Lost);
        assert_eq!(link.poll_output(), Some(Output::Connect));
        // The master is not there: the rest is the timer's.
        link.handle_input(RETRY_MS, Input::Failed("refused"));
        link.handle_input(RETRY_MS, Input::Lost);
        let mut outputs = std::iter::from_fn(|| link.poll_output());
        assert!(outputs.all(|output| output != Output::Connect));
        assert_eq!(link.state(), State::Connect);
    }

    #[test]
    fn a_link_that_is_lost_again_as_soon_as_it_is_made_waits_for_the_timer() {
        let follow = |link: &mut Link, now_ms| {
            link.handle_input(now_ms, Input::Connected);
            link.set_place(Some((ID.to_owned(), 5)));
            run(link, b"+PONG\r\n+OK\r\n+OK\r\n+OK\r\n+CONTINUE\r\n", 9);
            assert_eq!(link.state(), State::Connected);
        };
        let mut link = link(None);
        follow(&mut link, 0);
        link.handle_input(1, Input::Lost);
        assert_eq!(link.poll_output(), Some(Output::Connect), "the first time");
        follow(&mut link, 2);
        link.handle_input(RETRY_MS, Input::Lost);
        assert_eq!(link.poll_output(), None);
        link.handle_timeout(RETRY_MS);
        assert_eq!(link.poll_output(), Some(Output::Connect));
        follow(&mut link, RETRY_MS);
        link.handle_input(RETRY_MS + 1, Input::Lost);
        assert_eq!(link.poll_output(), Some(Output::Connect));
    }

    #[test]
    fn a_stream_that_goes_on_under_another_name_tells_it() {
        let new = "f".repeat(ID_BYTES);
        let lines = format!("+PONG\r\n+OK\r\n+OK\r\n+OK\r\n+CONTINUE {new}\r\nmore");
        for size in 1..lines.len() {
            let mut link = link(Some((ID.to_owned(), 9)));
            let outputs = run(&mut link, lines.as_bytes(), size);
            assert_eq!(outputs[0], Output::Continued(Some(new.clone())));
            assert_eq!(joined(&outputs).1, b"more");
        }
        let same = format!("+PONG\r\n+OK\r\n+OK\r\n+OK\r\n+CONTINUE {ID}\r\n");
        let mut link = link(Some((ID.to_owned(), 9)));
        assert_eq!(
            run(&mut link, same.as_bytes(), 99),
            [Output::Continued(None)]
        );
    }

    #[test]
    fn a_replica_that_is_told_to_be_the_primary_agrees_or_not() {
        for (answer, agrees) in [
            ("+CONTINUE", true),
            (&format!("+FULLRESYNC {ID} 9"), true),
            ("-ERR PSYNC FAILOVER replid must match my replid.", false),
            ("-LOADING wait", false),
        ] {
            let mut link = link(Some((ID.to_owned(), 8)));
            link.set_hand_over(true);
            let lines = format!("+PONG\r\n+OK\r\n+OK\r\n+OK\r\n{answer}\r\n");
            link.handle_input(1, Input::Received(lines.as_bytes()));
            let outputs: Vec<Output> = std::iter::from_fn(|| link.poll_output()).collect();
            let asked = format!("$40\r\n{ID}\r\n$1\r\n9\r\n$8\r\nFAILOVER\r\n");
            let asks = |output: &Output| match output {
                Output::Send(bytes) => String::from_utf8_lossy(bytes).ends_with(&asked),
                _ => false,
            };
            assert!(outputs.iter().any(asks), "{outputs:?}");
            assert!(outputs.contains(&Output::HandedOver(agrees)), "{answer}");
            assert_eq!(outputs.contains(&Output::Close), !agrees, "{answer}");
        }
    }

    #[test]
    fn a_primary_that_cannot_serve_yet_is_asked_again_for_the_same_place() {
        let mut link = link(Some((ID.to_owned(), 9)));
        let lines = b"+PONG\r\n+OK\r\n+OK\r\n+OK\r\n-NOMASTERLINK not yet\r\n";
        assert_eq!(run(&mut link, lines, 99), [Output::Close]);
        link.handle_input(2, Input::Lost);
        link.handle_timeout(2000);
        link.handle_input(2000, Input::Connected);
        let lines = b"+PONG\r\n+OK\r\n+OK\r\n+OK\r\n+CONTINUE\r\n";
        assert_eq!(run(&mut link, lines, 99), [Output::Continued(None)]);
    }

    #[test]
    fn a_primary_that_continues_what_was_not_asked_for_is_given_up() {
        let mut link = link(None);
        let lines = b"+PONG\r\n+OK\r\n+OK\r\n+OK\r\n+CONTINUE\r\n";
        assert_eq!(run(&mut link, lines, 99), [Output::Close]);
        assert_eq!(link.state(), State::Connect);
    }
}
