//! What goes into the core and what comes out of it. Plain data; no rule lives here.

use std::net::IpAddr;

use conf::LogLevel;
use resp::Protocol;

use crate::Addr;
use crate::config::rewrite::Snapshot;

/// A moment, on both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds on a clock that only moves forward. All deadlines use it.
    pub mono_ms: u64,
    /// Milliseconds since 1970 on the system's clock. It is printed, and watched for jumps.
    pub unix_ms: u64,
}

/// One connection from this sentinel to an instance; never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// One connection of a client to this sentinel; chosen by the shell, ascending, never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

/// One script in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(pub u64);

/// What a link is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkKind {
    /// Commands and their replies.
    Command,
    /// The subscription to the hello channel of a master or slave.
    PubSub,
}

/// A request as its words.
pub type Command = Vec<Vec<u8>>;

/// How important a line is, least first; the marks in the log are `.`, `-`, `*` and `#`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Only for who looks for a fault. Events of this level are not published.
    Debug,
    /// More than one wants to see every day.
    Verbose,
    /// Normal news.
    Notice,
    /// What an administrator must see: these events also start the notification script.
    Warning,
}

/// A reply: of an instance to this sentinel, or of this sentinel to a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `+text`
    Status(String),
    /// `-text`, code word included
    Error(String),
    /// `:number`
    Integer(i64),
    /// `$length` and bytes
    Bulk(Vec<u8>),
    /// `$-1`
    Nil,
    /// `*-1`
    NilArray,
    /// `*count` and elements
    Array(Vec<Reply>),
    /// Names and values; in RESP2 an array of both.
    Map(Vec<(Reply, Reply)>),
    /// Members in no order; in RESP2 an array.
    Set(Vec<Reply>),
    /// Something that no request asked for; in RESP2 an array.
    Push(Vec<Reply>),
    /// A text of many lines, in the format `txt`; in RESP2 a bulk string.
    Text(Vec<u8>),
    /// A reply that was encoded already, in the protocol of its client.
    Encoded(Vec<u8>),
}

impl Reply {
    /// `+OK`
    #[must_use]
    pub fn ok() -> Self {
        Self::Status("OK".to_owned())
    }

    /// `-ERR text`; line ends in the text become spaces, or the text could start a reply of its own.
    #[must_use]
    pub fn err(text: impl AsRef<str>) -> Self {
        Self::Error(format!("ERR {}", text.as_ref()).replace(['\r', '\n'], " "))
    }

    /// Writes the reply as it goes over the wire, in the protocol of `out`.
    pub fn encode(&self, out: &mut resp::Reply) {
        match self {
            Self::Status(text) => out.status(text),
            Self::Error(text) => out.error(text),
            Self::Integer(number) => out.int(*number),
            Self::Bulk(bytes) => out.bulk(bytes),
            Self::Nil => out.nil(),
            Self::NilArray => out.null_array(),
            Self::Array(elements) => {
                out.array(elements.len());
                elements.iter().for_each(|element| element.encode(out));
            }
            Self::Map(pairs) => {
                out.map(pairs.len());
                for (name, value) in pairs {
                    name.encode(out);
                    value.encode(out);
                }
            }
            Self::Set(members) => {
                out.set(members.len());
                members.iter().for_each(|member| member.encode(out));
            }
            Self::Push(parts) => {
                out.push(parts.len());
                parts.iter().for_each(|part| part.encode(out));
            }
            Self::Text(text) => out.verbatim("txt", text),
            Self::Encoded(bytes) => out.raw(bytes),
        }
    }

    /// The reply as a client that speaks RESP2 reads it.
    #[must_use]
    pub fn in_resp2(self) -> Self {
        let all = |parts: Vec<Self>| Self::Array(parts.into_iter().map(Self::in_resp2).collect());
        match self {
            Self::Array(parts) | Self::Set(parts) | Self::Push(parts) => all(parts),
            Self::Map(pairs) => all(pairs
                .into_iter()
                .flat_map(|(name, value)| [name, value])
                .collect()),
            Self::Text(text) => Self::Bulk(text),
            other => other,
        }
    }

    /// A bulk reply with the given text.
    #[must_use]
    pub fn bulk(text: impl AsRef<[u8]>) -> Self {
        Self::Bulk(text.as_ref().to_vec())
    }
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A link is established; `local_ip` is this side's address on it, the one that other sentinels are told.
    Connected {
        /// The link.
        link: LinkId,
        /// This side's address.
        local_ip: IpAddr,
        /// The other side's address: what the host name of the instance stands for now, where it has one.
        peer_ip: IpAddr,
    },
    /// A host name was looked up: the answer to [`Output::Resolve`], and told before a request that
    /// [`Monitor::unresolved`](crate::Monitor::unresolved) holds back.
    Resolved {
        /// The name.
        host: String,
        /// Its address, if it has one.
        ip: Option<IpAddr>,
    },
    /// A link could not be established, or broke. Not sent for links that the core closed itself.
    Closed {
        /// The link.
        link: LinkId,
        /// Why, for the log.
        reason: String,
    },
    /// A reply, or a pub/sub message, came over a link.
    Received {
        /// The link.
        link: LinkId,
        /// The reply.
        reply: Reply,
    },
    /// A client connected.
    ClientConnected {
        /// Its id.
        client: ClientId,
        /// Its `ip:port`, for CLIENT LIST.
        addr: String,
        /// This side's `ip:port`.
        laddr: String,
        /// Its file descriptor, for CLIENT LIST.
        fd: i32,
    },
    /// A client sent a request.
    ClientRequest {
        /// The client.
        client: ClientId,
        /// The request; not empty.
        request: Command,
    },
    /// A client is gone. Not sent for clients that the core disconnected itself.
    ClientClosed {
        /// The client.
        client: ClientId,
    },
    /// A script runs.
    ScriptStarted {
        /// The job.
        job: JobId,
        /// Its process id.
        pid: u32,
    },
    /// No process could be made for a script; it is tried again.
    ScriptNotStarted {
        /// The job.
        job: JobId,
    },
    /// A script ended.
    ScriptExited {
        /// The job.
        job: JobId,
        /// Its exit code; 0 when a signal ended it.
        exit_code: i32,
        /// The signal that ended it, or 0.
        signal: i32,
    },
    /// The last [`Output::Persist`] was not performed. Must be told before any further output is polled.
    PersistFailed {
        /// Why, for the log.
        error: String,
    },
}

/// Something to do. Outputs are performed in the order in which they are polled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Open a connection; answer with [`Input::Connected`] or [`Input::Closed`].
    Connect {
        /// The new link.
        link: LinkId,
        /// Where to.
        addr: Addr,
        /// What for.
        kind: LinkKind,
    },
    /// Drop a connection; nothing of it is fed any more.
    Close {
        /// The link.
        link: LinkId,
    },
    /// Send a command, in order; commands sent before the link is up wait for it.
    Send {
        /// The link.
        link: LinkId,
        /// The command.
        command: Command,
    },
    /// Replace the configuration file: written, fsynced and renamed **before anything after this output**. A vote must
    /// be on disk before its reply leaves.
    Persist(Snapshot),
    /// An event, for the log. (Its pub/sub messages follow as replies.)
    Event {
        /// How important.
        level: Level,
        /// Its name, which is also its pub/sub channel.
        kind: &'static str,
        /// The rest of the line.
        text: String,
    },
    /// A line for the log that is no event.
    Log {
        /// How important.
        level: Level,
        /// The line.
        text: String,
    },
    /// A failover is due, but too early after the last one. The line carries a local time, so the shell writes it.
    FailoverDelayed {
        /// When it may start.
        not_before_unix_ms: u64,
    },
    /// A reply, or a message of a subscription, for a client.
    Reply {
        /// The client.
        client: ClientId,
        /// The version of the protocol that it speaks.
        protocol: Protocol,
        /// The reply.
        reply: Reply,
    },
    /// Drop a client when what was replied is written.
    Disconnect {
        /// The client.
        client: ClientId,
    },
    /// Take no request of any client before this moment.
    PauseClients {
        /// The moment, on the monotonic clock.
        until_mono_ms: u64,
    },
    /// Take requests again, whatever was said before.
    ResumeClients,
    /// Look a host name up; answer with [`Input::Resolved`].
    Resolve {
        /// The name.
        host: String,
    },
    /// Log from this level on.
    LogLevel(LogLevel),
    /// Start a script; answer with [`Input::ScriptStarted`] or [`Input::ScriptNotStarted`].
    RunScript {
        /// The job.
        job: JobId,
        /// The program and its arguments.
        argv: Vec<String>,
    },
    /// Kill a script; its exit is still told.
    KillScript {
        /// The job.
        job: JobId,
    },
    /// End the process in good order.
    Shutdown,
    /// End the process at once with exit code 99: SENTINEL SIMULATE-FAILURE asked for it.
    Crash,
}

/// The channel on which sentinels tell of themselves and of the configuration.
pub(crate) const HELLO_CHANNEL: &[u8] = b"__sentinel__:hello";
