//! The small vocabularies of configuration values: how each is written, read and named.

use std::fmt::{self, Write as _};
use std::ops::{BitOr, Index, IndexMut};

/// A value that is one of a few words. Words are compared without regard to case.
pub trait Choice: Copy + PartialEq + 'static {
    /// Every value with its word.
    const WORDS: &'static [(&'static str, Self)];

    /// The value's word.
    fn word(self) -> &'static str {
        Self::WORDS
            .iter()
            .find(|(_, value)| *value == self)
            .map_or("unknown", |(word, _)| word)
    }

    /// The value that a word stands for.
    fn from_word(text: &[u8]) -> Option<Self> {
        let found = Self::WORDS
            .iter()
            .find(|(word, _)| text.eq_ignore_ascii_case(word.as_bytes()));
        found.map(|(_, value)| *value)
    }
}

impl Choice for bool {
    const WORDS: &'static [(&'static str, Self)] = &[("yes", true), ("no", false)];
}

/// Declares a type that is one of a few words.
macro_rules! choices {
    ($(
        $(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal $(| $other:literal)*,)* }
    )*) => {$(
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name {
            $($(#[$doc])* $variant,)*
        }

        impl Choice for $name {
            const WORDS: &'static [(&'static str, Self)] = &[
                $(($word, $name::$variant), $(($other, $name::$variant),)*)*
            ];
        }
    )*};
}

choices! {
    /// How much is written to the log (`loglevel`), from everything to nothing.
    LogLevel {
        /// Everything.
        Debug = "debug",
        /// What rarely helps.
        Verbose = "verbose",
        /// What one wants to see in production.
        Notice = "notice",
        /// Only what is important.
        Warning = "warning",
        /// Nothing.
        Nothing = "nothing",
    }

    /// Which commands are written to the log before they run (`audit-log`).
    AuditLog {
        /// None.
        No = "no",
        /// Administrative ones.
        Admin = "admin",
        /// Those, and all of the category `dangerous`.
        Dangerous = "dangerous",
    }

    /// How a line of the log is written (`log-format`).
    LogFormat {
        /// As it has been since Redis 3.0.
        Legacy = "legacy",
        /// `key=value` pairs.
        Logfmt = "logfmt",
        /// One JSON object a line.
        Json = "json",
    }

    /// How a line of the log gives its time (`log-timestamp-format`).
    LogTimestamp {
        /// `29 Nov 2026 10:20:30.456`
        Legacy = "legacy",
        /// `2026-11-29T10:20:30.456+01:00`
        Iso8601 = "iso8601",
        /// Milliseconds since 1970.
        Milliseconds = "milliseconds",
    }

    /// What is evicted when `maxmemory` is reached (`maxmemory-policy`).
    MaxmemoryPolicy {
        /// The longest unused of the keys that expire.
        VolatileLru = "volatile-lru",
        /// The least often used of the keys that expire.
        VolatileLfu = "volatile-lfu",
        /// Any key that expires.
        VolatileRandom = "volatile-random",
        /// The key that expires soonest.
        VolatileTtl = "volatile-ttl",
        /// The longest unused key.
        AllkeysLru = "allkeys-lru",
        /// The least often used key.
        AllkeysLfu = "allkeys-lfu",
        /// Any key.
        AllkeysRandom = "allkeys-random",
        /// Nothing; writes are refused.
        NoEviction = "noeviction",
    }

    /// When the append-only file is synced to disk (`appendfsync`).
    AppendFsync {
        /// Once a second.
        Everysec = "everysec",
        /// Before any reply.
        Always = "always",
        /// When the system likes.
        No = "no",
    }

    /// Which kind of program syslog is told it hears (`syslog-facility`).
    #[expect(missing_docs, reason = "syslog's own names")]
    SyslogFacility {
        User = "user",
        Local0 = "local0",
        Local1 = "local1",
        Local2 = "local2",
        Local3 = "local3",
        Local4 = "local4",
        Local5 = "local5",
        Local6 = "local6",
        Local7 = "local7",
    }

    /// Who may do what the server guards (`enable-debug-command` and the like).
    Permission {
        /// Nobody.
        No = "no",
        /// Everybody.
        Yes = "yes",
        /// Clients on this machine.
        Local = "local",
    }

    /// How a replica takes a full copy that is not written to a file first (`repl-diskless-load`).
    DisklessLoad {
        /// Through a file.
        Disabled = "disabled",
        /// From the socket, when the replica is empty.
        OnEmptyDb = "on-empty-db",
        /// From the socket, beside the old data.
        Swapdb = "swapdb",
        /// From the socket, after the old data are gone.
        FlushBeforeLoad = "flush-before-load",
    }

    /// Whether clients need a certificate (`tls-auth-clients`).
    TlsAuthClients {
        /// They are not asked for one.
        No = "no",
        /// They need one.
        Yes = "yes",
        /// One that is shown has to be good.
        Optional = "optional",
    }

    /// Which field of a client's certificate names its user (`tls-auth-clients-user`).
    TlsAuthClientsUser {
        /// The common name.
        CommonName = "CN",
        /// The subject alternative name of type URI.
        Uri = "URI",
        /// None.
        Off = "off",
    }

    /// Whether the score of the kernel's out-of-memory killer is set (`oom-score-adj`).
    OomScoreAdj {
        /// It is left alone.
        No = "no",
        /// The values are added to what it was at start.
        Relative = "yes" | "relative",
        /// The values are set as they are.
        Absolute = "absolute",
    }

    /// Which channels a new user may use (`acl-pubsub-default`).
    PubsubDefault {
        /// All.
        AllChannels = "allchannels",
        /// None.
        ResetChannels = "resetchannels",
    }

    /// What clients are redirected to (`cluster-preferred-endpoint-type`).
    EndpointType {
        /// An address.
        Ip = "ip",
        /// A host name.
        Hostname = "hostname",
        /// Nothing: they stay with the name that they know.
        UnknownEndpoint = "unknown-endpoint",
    }

    /// What happens when the cluster's file cannot be written (`cluster-config-save-behavior`).
    SaveBehavior {
        /// The node stops.
        Sync = "sync",
        /// It goes on.
        BestEffort = "best-effort",
    }

    /// What a replica does with a command of its master that fails (`propagation-error-behavior`).
    PropagationError {
        /// It goes on.
        Ignore = "ignore",
        /// It stops; an append-only file that holds such a command is not loaded.
        Panic = "panic",
        /// The same, for replicas only.
        PanicOnReplicas = "panic-on-replicas",
    }

    /// What becomes of the link to a primary that sends what cannot be applied (`replica-unknown-command`).
    UnknownCommand {
        /// It breaks, and is tried again from before that command.
        Break = "break",
        /// It goes on without that command.
        Log = "log",
    }

    /// Who must have a write before it is answered (`write-acknowledge`).
    WriteAcknowledge {
        /// This server.
        None = "none",
        /// A replica too.
        One = "one",
        /// Most of the group: this server and its replicas.
        Majority = "majority",
        /// The whole group.
        All = "all",
    }

    /// Where a replica takes a full copy from (`repl-sync-source`).
    SyncSource {
        /// Its primary.
        Primary = "primary",
        /// Another replica of it, where there is one.
        Replica = "replica",
    }

    /// Whether dumps of versions that are not known are read (`rdb-version-check`).
    VersionCheck {
        /// No.
        Strict = "strict",
        /// As far as that goes.
        Relaxed = "relaxed",
    }

    /// Which service manager is told (`supervised`).
    Supervised {
        /// Upstart.
        Upstart = "upstart",
        /// systemd.
        Systemd = "systemd",
        /// Whichever there is.
        Auto = "auto",
        /// None.
        No = "no",
    }
}

/// The version of dumps and payloads (`rdb-version`); none for the lowest that holds the data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RdbVersion(pub Option<u16>);

impl Choice for RdbVersion {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("auto", RdbVersion(None)),
        ("6", RdbVersion(Some(6))),
        ("7", RdbVersion(Some(7))),
        ("8", RdbVersion(Some(8))),
        ("9", RdbVersion(Some(9))),
        ("10", RdbVersion(Some(10))),
        ("11", RdbVersion(Some(11))),
        ("12", RdbVersion(Some(12))),
        ("80", RdbVersion(Some(80))),
    ];
}

impl SyslogFacility {
    /// Syslog's number for it.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Self::User => 1,
            Self::Local0 => 16,
            Self::Local1 => 17,
            Self::Local2 => 18,
            Self::Local3 => 19,
            Self::Local4 => 20,
            Self::Local5 => 21,
            Self::Local6 => 22,
            Self::Local7 => 23,
        }
    }
}

/// How a signal ends the server (`shutdown-on-sigterm`, `shutdown-on-sigint`). All off is the usual way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ShutdownFlags(u8);

impl ShutdownFlags {
    /// Save even without save points.
    pub const SAVE: ShutdownFlags = ShutdownFlags(1);
    /// Do not save.
    pub const NOSAVE: ShutdownFlags = ShutdownFlags(1 << 1);
    /// Do not wait for replicas.
    pub const NOW: ShutdownFlags = ShutdownFlags(1 << 2);
    /// Go on where saving fails.
    pub const FORCE: ShutdownFlags = ShutdownFlags(1 << 3);
    /// Do not stop a master that owns slots.
    pub const SAFE: ShutdownFlags = ShutdownFlags(1 << 4);
    /// Let a replica take over first.
    pub const FAILOVER: ShutdownFlags = ShutdownFlags(1 << 5);

    /// The words, in the order in which they are printed.
    pub(crate) const WORDS: [(&'static str, ShutdownFlags); 7] = [
        ("default", ShutdownFlags(0)),
        ("save", Self::SAVE),
        ("nosave", Self::NOSAVE),
        ("now", Self::NOW),
        ("force", Self::FORCE),
        ("safe", Self::SAFE),
        ("failover", Self::FAILOVER),
    ];

    /// Whether all of `other` is on.
    #[must_use]
    pub fn contains(self, other: ShutdownFlags) -> bool {
        self.0 & other.0 == other.0
    }

    /// The words for it.
    #[must_use]
    pub fn words(self) -> Vec<&'static str> {
        let named = |(word, flag): (&'static str, ShutdownFlags)| {
            let named = if flag.0 == 0 {
                self.0 == 0
            } else {
                self.contains(flag)
            };
            named.then_some(word)
        };
        Self::WORDS.into_iter().filter_map(named).collect()
    }
}

impl BitOr for ShutdownFlags {
    type Output = ShutdownFlags;

    fn bitor(self, other: ShutdownFlags) -> ShutdownFlags {
        ShutdownFlags(self.0 | other.0)
    }
}

/// The classes of clients that have an output buffer limit of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientClass {
    /// Everybody else.
    Normal,
    /// Replicas.
    Slave,
    /// Subscribers.
    Pubsub,
}

impl Choice for ClientClass {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("normal", ClientClass::Normal),
        ("slave", ClientClass::Slave),
        ("replica", ClientClass::Slave),
        ("pubsub", ClientClass::Pubsub),
    ];
}

impl ClientClass {
    /// All of them, in the order in which they are printed.
    pub const ALL: [ClientClass; 3] = [Self::Normal, Self::Slave, Self::Pubsub];

    /// Its word in a file that is written today.
    #[must_use]
    pub fn new_word(self) -> &'static str {
        match self {
            Self::Slave => "replica",
            other => other.word(),
        }
    }
}

/// When a client is cut off for not reading its replies. Zero means never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputLimit {
    /// Pending bytes at which it is cut off at once.
    pub hard_bytes: u64,
    /// Pending bytes at which it is cut off when they last for [`soft_seconds`](Self::soft_seconds).
    pub soft_bytes: u64,
    /// How long the soft limit may be exceeded.
    pub soft_seconds: u64,
}

/// The [`OutputLimit`] of each [`ClientClass`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutputLimits([OutputLimit; 3]);

impl OutputLimits {
    /// No limit for normal clients, 256 MB (64 MB for a minute) for replicas, 32 MB (8 MB) for subscribers.
    pub const DEFAULT: OutputLimits = OutputLimits([
        OutputLimit {
            hard_bytes: 0,
            soft_bytes: 0,
            soft_seconds: 0,
        },
        OutputLimit {
            hard_bytes: 256 << 20,
            soft_bytes: 64 << 20,
            soft_seconds: 60,
        },
        OutputLimit {
            hard_bytes: 32 << 20,
            soft_bytes: 8 << 20,
            soft_seconds: 60,
        },
    ]);
}

impl Index<ClientClass> for OutputLimits {
    type Output = OutputLimit;

    fn index(&self, class: ClientClass) -> &OutputLimit {
        &self.0[class as usize]
    }
}

impl IndexMut<ClientClass> for OutputLimits {
    fn index_mut(&mut self, class: ClientClass) -> &mut OutputLimit {
        &mut self.0[class as usize]
    }
}

/// A snapshot is due when `changes` changes have happened and `seconds` seconds have passed since the last one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SavePoint {
    /// At least one.
    pub seconds: u64,
    /// Zero and one mean the same to a server that checks only when something changed.
    pub changes: u64,
}

/// The server that a replica follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Master {
    /// A name or an address.
    pub host: String,
    /// Its port.
    pub port: u16,
}

/// A command that answers to another name, or to none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenamedCommand {
    /// Its name so far.
    pub from: Vec<u8>,
    /// Its new name; empty when the command is switched off.
    pub to: Vec<u8>,
}

/// A set of event classes that are published (`notify-keyspace-events`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyspaceEvents(u16);

impl KeyspaceEvents {
    /// None.
    pub const NONE: KeyspaceEvents = KeyspaceEvents(0);
    /// `K`: publish to `__keyspace@<db>__:<key>`.
    pub const KEYSPACE: KeyspaceEvents = KeyspaceEvents(1);
    /// `E`: publish to `__keyevent@<db>__:<event>`.
    pub const KEYEVENT: KeyspaceEvents = KeyspaceEvents(1 << 1);
    /// `g`: commands for keys of any type.
    pub const GENERIC: KeyspaceEvents = KeyspaceEvents(1 << 2);
    /// `$`: strings.
    pub const STRING: KeyspaceEvents = KeyspaceEvents(1 << 3);
    /// `l`: lists.
    pub const LIST: KeyspaceEvents = KeyspaceEvents(1 << 4);
    /// `s`: sets.
    pub const SET: KeyspaceEvents = KeyspaceEvents(1 << 5);
    /// `h`: hashes.
    pub const HASH: KeyspaceEvents = KeyspaceEvents(1 << 6);
    /// `z`: sorted sets.
    pub const ZSET: KeyspaceEvents = KeyspaceEvents(1 << 7);
    /// `x`: a key expired.
    pub const EXPIRED: KeyspaceEvents = KeyspaceEvents(1 << 8);
    /// `e`: a key was evicted.
    pub const EVICTED: KeyspaceEvents = KeyspaceEvents(1 << 9);
    /// `t`: streams.
    pub const STREAM: KeyspaceEvents = KeyspaceEvents(1 << 10);
    /// `m`: a key was not there that was asked for. Not in `A`.
    pub const KEY_MISS: KeyspaceEvents = KeyspaceEvents(1 << 11);
    /// `d`: events of modules. There are none.
    pub const MODULE: KeyspaceEvents = KeyspaceEvents(1 << 12);
    /// `n`: a key is new. Not in `A`.
    pub const NEW: KeyspaceEvents = KeyspaceEvents(1 << 13);
    /// `A`: all of `g$lshzxetd`.
    pub const ALL: KeyspaceEvents = KeyspaceEvents(0b1_0111_1111_1100);

    /// Letters in the order in which they are printed.
    const LETTERS: [(u8, KeyspaceEvents); 14] = [
        (b'g', Self::GENERIC),
        (b'$', Self::STRING),
        (b'l', Self::LIST),
        (b's', Self::SET),
        (b'h', Self::HASH),
        (b'z', Self::ZSET),
        (b'x', Self::EXPIRED),
        (b'e', Self::EVICTED),
        (b't', Self::STREAM),
        (b'd', Self::MODULE),
        (b'n', Self::NEW),
        (b'K', Self::KEYSPACE),
        (b'E', Self::KEYEVENT),
        (b'm', Self::KEY_MISS),
    ];

    /// Reads a string of letters; `None` when one is unknown.
    #[must_use]
    pub fn parse(letters: &[u8]) -> Option<KeyspaceEvents> {
        letters.iter().try_fold(Self::NONE, |set, letter| {
            let class = if *letter == b'A' {
                Self::ALL
            } else {
                Self::LETTERS.iter().find(|(known, _)| known == letter)?.1
            };
            Some(set | class)
        })
    }

    /// The set of the classes with these bits (bit 0 is `K`, in the order of the constants).
    #[must_use]
    pub const fn from_bits(bits: u16) -> KeyspaceEvents {
        KeyspaceEvents(bits)
    }

    /// Whether every class of `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: KeyspaceEvents) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether some class of `other` is in this set.
    #[must_use]
    pub const fn intersects(self, other: KeyspaceEvents) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether the set holds no class.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl BitOr for KeyspaceEvents {
    type Output = KeyspaceEvents;

    fn bitor(self, other: KeyspaceEvents) -> KeyspaceEvents {
        KeyspaceEvents(self.0 | other.0)
    }
}

/// The letters of the set, with `A` for all of those that it stands for.
impl fmt::Display for KeyspaceEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.contains(Self::ALL);
        if all {
            f.write_char('A')?;
        }
        for (letter, class) in Self::LETTERS {
            if self.contains(class) && !(all && Self::ALL.contains(class)) {
                f.write_char(char::from(letter))?;
            }
        }
        Ok(())
    }
}

/// Reads an amount of memory: digits and an optional unit, `1k` = 1000, `1kb` = 1024, `m`, `mb`, `g`, `gb`, `b`.
/// No digits are zero. `None` for anything else, and for what does not fit an `i64`.
#[must_use]
pub fn parse_memory(text: &[u8]) -> Option<i64> {
    memory_bytes(text).and_then(|bytes| bytes.try_into().ok())
}

/// As [`parse_memory`]; `None` for what is beyond the highest number of 64 bits, or below the lowest.
pub(crate) fn memory_bytes(text: &[u8]) -> Option<i128> {
    let negative = text.first() == Some(&b'-');
    let digits = text[usize::from(negative)..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (number, unit) = text.split_at(usize::from(negative) + digits);
    if number == b"-" {
        return None;
    }
    let factor = match unit.to_ascii_lowercase().as_slice() {
        b"" | b"b" => 1,
        b"k" => 1000,
        b"kb" => 1 << 10,
        b"m" => 1_000_000,
        b"mb" => 1 << 20,
        b"g" => 1_000_000_000,
        b"gb" => 1 << 30,
        _ => return None,
    };
    let number: i128 = match std::str::from_utf8(number).ok()? {
        "" => 0,
        digits => digits.parse().ok()?,
    };
    let bytes = number.checked_mul(factor)?;
    (i128::from(i64::MIN)..=i128::from(u64::MAX))
        .contains(&bytes)
        .then_some(bytes)
}

/// Writes an amount of memory with the biggest binary unit that leaves a whole number: `100mb`.
#[must_use]
pub fn format_memory(bytes: i128) -> String {
    let units = [(1 << 30, "gb"), (1 << 20, "mb"), (1 << 10, "kb")];
    match units
        .iter()
        .find(|(factor, _)| bytes != 0 && bytes % factor == 0)
    {
        Some((factor, unit)) => format!("{}{unit}", bytes / factor),
        None => bytes.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn memory_units() {
        let cases: &[(&str, Option<i64>)] = &[
            ("0", Some(0)),
            ("", Some(0)),
            ("12", Some(12)),
            ("1b", Some(1)),
            ("1k", Some(1000)),
            ("1KB", Some(1024)),
            ("2m", Some(2_000_000)),
            ("2Mb", Some(2 << 20)),
            ("3g", Some(3_000_000_000)),
            ("3gb", Some(3 << 30)),
            ("-1", Some(-1)),
            ("-", None),
            ("1x", None),
            ("1 mb", None),
            ("+1", None),
            ("9223372036854775808", None),
            ("9223372036854775807k", None),
        ];
        for (text, value) in cases {
            assert_eq!(parse_memory(text.as_bytes()), *value, "{text}");
        }
        assert_eq!(format_memory(0), "0");
        assert_eq!(format_memory(1025), "1025");
        assert_eq!(format_memory(100 << 20), "100mb");
    }

    #[test]
    fn event_letters() {
        let parsed =
            |letters: &str| KeyspaceEvents::parse(letters.as_bytes()).map(|set| set.to_string());
        assert_eq!(parsed("").as_deref(), Some(""));
        assert_eq!(parsed("EKx").as_deref(), Some("xKE"));
        assert_eq!(parsed("KA").as_deref(), Some("AK"));
        assert_eq!(parsed("g$lshzxetd").as_deref(), Some("A"));
        assert_eq!(parsed("mAnK").as_deref(), Some("AnKm"));
        assert_eq!(parsed("g$lshzxe").as_deref(), Some("g$lshzxe"));
        assert_eq!(parsed("Q"), None);
    }

    #[test]
    fn words_have_no_case() {
        assert_eq!(bool::from_word(b"YES"), Some(true));
        assert_eq!(bool::from_word(b"1"), None);
        assert_eq!(
            MaxmemoryPolicy::from_word(b"Allkeys-LRU"),
            Some(MaxmemoryPolicy::AllkeysLru)
        );
        assert_eq!(AppendFsync::Everysec.word(), "everysec");
    }

    proptest! {
        #[test]
        fn written_memory_reads_back(bytes: i64) {
            prop_assert_eq!(parse_memory(format_memory(bytes.into()).as_bytes()), Some(bytes));
        }

        #[test]
        fn reading_is_total(text: Vec<u8>) {
            let _ = (parse_memory(&text), KeyspaceEvents::parse(&text), LogLevel::from_word(&text));
        }
    }
}
