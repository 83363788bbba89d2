//! The server's directives that are more than one number, word or text: how each is loaded, set, shown and rewritten.

use resp::number::{parse_integer, scan_integer};

use super::ServerConfig;
use crate::directive::{BAD_DIRECTIVE, INT_MAX, Line, Special, Unset, quoted};
use crate::value::{
    Choice, ClientClass, KeyspaceEvents, Master, OutputLimit, RenamedCommand, SavePoint,
    format_memory, parse_memory,
};

/// The save points of a server that was given no configuration at all.
pub(super) const DEFAULT_SAVE: [SavePoint; 3] = [
    SavePoint {
        seconds: 3600,
        changes: 1,
    },
    SavePoint {
        seconds: 300,
        changes: 100,
    },
    SavePoint {
        seconds: 60,
        changes: 10_000,
    },
];

const MAX_BIND_ADDRESSES: usize = 16;

type ServerSpecial = Special<ServerConfig>;

/// `bind address …`
pub(super) const BIND: ServerSpecial = Special {
    arity: 1..=usize::MAX,
    load: |config, addresses| {
        if addresses.len() > MAX_BIND_ADDRESSES {
            return Err("Too many bind addresses specified".into());
        }
        config.bind = addresses.iter().map(|address| text(address)).collect();
        Ok(())
    },
    set: cannot_be_set,
    get: |config| config.bind.join(" ").into_bytes(),
    rewrite: |config, _| {
        let line = |addresses: &[String]| {
            let addresses: Vec<_> = addresses.iter().map(|address| word(address)).collect();
            let text = [b"bind ", &addresses.join(&b' ')[..]].concat();
            Line { text, force: true }
        };
        let bind = &config.bind;
        Some(if bind.is_empty() {
            Vec::new()
        } else {
            vec![line(bind)]
        })
    },
};

/// `save seconds changes`, as often as wanted; `save ""` takes back those before it.
pub(super) const SAVE: ServerSpecial = Special {
    arity: 1..=2,
    load: |config, arguments| {
        const WRONG: &str = "Invalid save parameters";
        let [seconds, changes] = arguments else {
            // One argument: only the empty one has a meaning.
            config.save.clear();
            return if arguments.iter().all(Vec::is_empty) {
                Ok(())
            } else {
                Err(WRONG.into())
            };
        };
        config.save.push(save_point(seconds, changes).ok_or(WRONG)?);
        Ok(())
    },
    set: |config, value| {
        let words: Vec<&[u8]> = if value.is_empty() {
            Vec::new()
        } else {
            value.split(|byte| *byte == b' ').collect()
        };
        let (pairs, rest) = words.as_chunks::<2>();
        let points = pairs
            .iter()
            .map(|[seconds, changes]| save_point(seconds, changes))
            .collect::<Option<_>>();
        config.save = points.filter(|_| rest.is_empty()).ok_or(Unset::Invalid)?;
        Ok(())
    },
    get: |config| {
        let points: Vec<_> = config
            .save
            .iter()
            .map(|point| format!("{} {}", point.seconds, point.changes))
            .collect();
        points.join(" ").into_bytes()
    },
    rewrite: |config, _| {
        let line =
            |point: &SavePoint| format!("save {} {}", point.seconds, point.changes).into_bytes();
        Some(
            config
                .save
                .iter()
                .map(|point| Line {
                    text: line(point),
                    force: true,
                })
                .collect(),
        )
    },
};

/// `dir path`
pub(super) const DIR: ServerSpecial = Special {
    arity: 1..=1,
    load: |config, arguments| {
        config.dir = arguments.concat();
        Ok(())
    },
    set: |config, value| {
        config.dir = value.to_vec();
        Ok(())
    },
    get: |config| config.dir.clone(),
    rewrite: |config, _| {
        Some(vec![Line {
            text: [b"dir ", &quoted(&config.dir)[..]].concat(),
            force: true,
        }])
    },
};

/// `slaveof host port`, or `slaveof no one`.
pub(super) const SLAVEOF: ServerSpecial = Special {
    arity: 2..=2,
    load: |config, arguments| {
        let [host, port] = arguments else {
            return Err(BAD_DIRECTIVE.into());
        };
        config.slaveof = if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") {
            None
        } else {
            let port = parse_integer(port).and_then(|port| u16::try_from(port).ok());
            Some(Master {
                host: text(host),
                port: port.ok_or("Invalid master port")?,
            })
        };
        Ok(())
    },
    set: cannot_be_set,
    get: |config| {
        let master = config.slaveof.as_ref();
        master
            .map(|master| format!("{} {}", master.host, master.port))
            .unwrap_or_default()
            .into_bytes()
    },
    rewrite: |config, _| {
        // A node of a cluster keeps its master elsewhere.
        let master = config.slaveof.iter().filter(|_| !config.cluster_enabled);
        let line = |master: &Master| {
            let port = master.port.to_string();
            [b"slaveof ", &word(&master.host)[..], b" ", port.as_bytes()].concat()
        };
        Some(
            master
                .map(|master| Line {
                    text: line(master),
                    force: true,
                })
                .collect(),
        )
    },
};

/// `notify-keyspace-events letters`
pub(super) const NOTIFY_KEYSPACE_EVENTS: ServerSpecial = Special {
    arity: 1..=1,
    load: |config, arguments| {
        let events = KeyspaceEvents::parse(&arguments.concat());
        config.notify_keyspace_events =
            events.ok_or("Invalid event class character. Use 'g$lshzxeA'.")?;
        Ok(())
    },
    set: |config, value| {
        config.notify_keyspace_events = KeyspaceEvents::parse(value).ok_or(Unset::Invalid)?;
        Ok(())
    },
    get: |config| config.notify_keyspace_events.to_string().into_bytes(),
    rewrite: |config, _| {
        let events = config.notify_keyspace_events;
        let text = format!("notify-keyspace-events \"{events}\"").into_bytes();
        Some(vec![Line {
            text,
            force: !events.is_empty(),
        }])
    },
};

/// `client-output-buffer-limit class hard soft seconds`; with `CONFIG SET` several of them in one value.
pub(super) const CLIENT_OUTPUT_BUFFER_LIMIT: ServerSpecial = Special {
    arity: 4..=4,
    load: |config, arguments| {
        let [class, hard, soft, seconds] = arguments else {
            return Err(BAD_DIRECTIVE.into());
        };
        let class = ClientClass::from_word(class).ok_or("Unrecognized client limit class")?;
        let wrong = "Negative number of seconds in soft limit is invalid";
        let soft_seconds = int(seconds)
            .and_then(|seconds| u64::try_from(seconds).ok())
            .ok_or(wrong)?;
        let (hard, soft) = memory(hard)
            .zip(memory(soft))
            .ok_or("argument must be a memory value")?;
        config.client_output_buffer_limit[class] = OutputLimit {
            hard_bytes: hard,
            soft_bytes: soft,
            soft_seconds,
        };
        Ok(())
    },
    set: |config, value| {
        let words: Vec<&[u8]> = if value.is_empty() {
            Vec::new()
        } else {
            value.split(|byte| *byte == b' ').collect()
        };
        let (groups, rest) = words.as_chunks::<4>();
        let mut limits = config.client_output_buffer_limit;
        for [class, hard, soft, seconds] in groups {
            let class = ClientClass::from_word(class).ok_or(Unset::Invalid)?;
            let numbers = memory(hard).zip(memory(soft)).zip(memory(seconds));
            let ((hard_bytes, soft_bytes), soft_seconds) = numbers.ok_or(Unset::Invalid)?;
            limits[class] = OutputLimit {
                hard_bytes,
                soft_bytes,
                soft_seconds,
            };
        }
        if !rest.is_empty() {
            return Err(Unset::Invalid);
        }
        config.client_output_buffer_limit = limits;
        Ok(())
    },
    get: |config| {
        let limit = |(name, class): &(&str, ClientClass)| {
            let OutputLimit {
                hard_bytes,
                soft_bytes,
                soft_seconds,
            } = config.client_output_buffer_limit[*class];
            format!("{name} {hard_bytes} {soft_bytes} {soft_seconds}")
        };
        ClientClass::WORDS
            .iter()
            .map(limit)
            .collect::<Vec<_>>()
            .join(" ")
            .into_bytes()
    },
    rewrite: |config, default| {
        let line = |(name, class): &(&str, ClientClass)| {
            let limit = config.client_output_buffer_limit[*class];
            let size =
                |bytes: u64| i64::try_from(bytes).map_or_else(|_| bytes.to_string(), format_memory);
            let (hard, soft) = (size(limit.hard_bytes), size(limit.soft_bytes));
            let text = format!(
                "client-output-buffer-limit {name} {hard} {soft} {}",
                limit.soft_seconds
            )
            .into_bytes();
            Line {
                text,
                force: limit != default.client_output_buffer_limit[*class],
            }
        };
        Some(ClientClass::WORDS.iter().map(line).collect())
    },
};

/// `rename-command from to`
pub(super) const RENAME_COMMAND: ServerSpecial = Special {
    arity: 2..=2,
    load: |config, arguments| {
        let [from, to] = arguments else {
            return Err(BAD_DIRECTIVE.into());
        };
        config.rename_commands.push(RenamedCommand {
            from: from.clone(),
            to: to.clone(),
        });
        Ok(())
    },
    set: cannot_be_set,
    get: |_| Vec::new(),
    rewrite: |_, _| None,
};

fn cannot_be_set(_: &mut ServerConfig, _: &[u8]) -> Result<(), Unset> {
    Err(Unset::Invalid)
}

fn save_point(seconds: &[u8], changes: &[u8]) -> Option<SavePoint> {
    let seconds = u64::try_from(whole(seconds)?)
        .ok()
        .filter(|seconds| *seconds > 0)?;
    let changes = whole(changes).filter(|changes| *changes <= INT_MAX)?;
    Some(SavePoint {
        seconds,
        changes: u64::try_from(changes).ok()?,
    })
}

/// An integer that is all of the text; empty text is zero.
fn whole(text: &[u8]) -> Option<i64> {
    let scanned = scan_integer(text);
    (scanned.used == text.len() && !scanned.out_of_range).then_some(scanned.value)
}

/// A number that fits C's `int`.
fn int(text: &[u8]) -> Option<i64> {
    parse_integer(text).filter(|number| i32::try_from(*number).is_ok() && !text.is_empty())
}

fn memory(text: &[u8]) -> Option<u64> {
    parse_memory(text).and_then(|bytes| u64::try_from(bytes).ok())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A name or an address as it stands in a file: in quotes only when it has to be.
fn word(text: &str) -> Vec<u8> {
    let plain = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\');
    let bytes = text.as_bytes();
    if !bytes.is_empty() && bytes.iter().all(|byte| plain(*byte)) {
        bytes.to_vec()
    } else {
        quoted(bytes)
    }
}
