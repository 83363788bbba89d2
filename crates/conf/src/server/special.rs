//! The server's directives that are more than one number, word or text: how each is taken, shown and rewritten.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use resp::number::{parse_double, parse_integer, scan_integer};

use crate::directive::{
    BAD_DIRECTIVE, INT_MAX, Line, Reason, Special, WRONG_NUMBER, one_of, quoted, words_of,
};
use crate::value::{
    Choice as _, ClientClass, KeyspaceEvents, Master, OutputLimit, RenamedCommand, SavePoint,
    ShutdownFlags, format_memory, parse_memory,
};

/// The save points of a server whose configuration names none.
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

/// Every address of the machine; the second only where there is IPv6.
pub(super) const DEFAULT_BIND: [&str; 2] = ["*", "-::*"];
const MAX_BIND_ADDRESSES: usize = 16;
const MOST_SEEDS: usize = 256;

/// What most of them have in common.
const PLAIN: Special = Special {
    set: |_, _| Err(Reason::Borrowed(BAD_DIRECTIVE)),
    get: |_| Vec::new(),
    multiple: true,
    clear: None,
    rewrite: None,
};

/// `bind address …`; one empty address for none at all.
pub(super) const BIND: Special = Special {
    set: |config, addresses| {
        config.bind = addresses_of(addresses)?;
        Ok(())
    },
    get: |config| {
        config
            .bind
            .iter()
            .map(|address| address.as_bytes().to_vec())
            .collect()
    },
    ..PLAIN
};

/// `cluster-seeds ip:port …`; one empty word for none.
pub(super) const CLUSTER_SEEDS: Special = Special {
    set: |config, words| {
        let words = if let [b""] = words { &[] } else { words };
        if words.len() > MOST_SEEDS {
            return Err("Too many cluster-seeds".into());
        }
        let seed = |word: &&[u8]| std::str::from_utf8(word).ok()?.parse::<SocketAddr>().ok();
        let seeds: Option<Vec<SocketAddr>> = words.iter().map(seed).collect();
        config.cluster_seeds =
            seeds.ok_or("cluster-seeds must be addresses of the bus: ip:port")?;
        Ok(())
    },
    get: |config| {
        let seeds = config.cluster_seeds.iter();
        seeds.map(|seed| seed.to_string().into_bytes()).collect()
    },
    ..PLAIN
};

/// `rdma-bind address …`: checked, and without effect.
pub(crate) const RDMA_BIND: Special = Special {
    set: |config, addresses| {
        config.unused.rdma_bind = addresses_of(addresses)?;
        Ok(())
    },
    get: |config| {
        config
            .unused
            .rdma_bind
            .iter()
            .map(|address| address.as_bytes().to_vec())
            .collect()
    },
    ..PLAIN
};

fn addresses_of(words: &[&[u8]]) -> Result<Vec<String>, Reason> {
    match words {
        [] => Err(WRONG_NUMBER.into()),
        [b""] => Ok(Vec::new()),
        words if words.len() > MAX_BIND_ADDRESSES => {
            Err("Too many bind addresses specified.".into())
        }
        // A list of addresses is set as one text and cut at its blanks, so that an address with
        // blanks at its ends, or with quotes, would not be read back as it was written.
        words
            if words.iter().any(|word| {
                let strange = |byte: &u8| byte.is_ascii_control() || b"\"'".contains(byte);
                word.trim_ascii() != *word || word.iter().any(strange)
            }) =>
        {
            Err("A bind address has control characters, quotes, or blanks at its ends.".into())
        }
        words => Ok(words.iter().map(|word| text(word)).collect()),
    }
}

/// `save seconds changes …`: lines add up; `save ""`, or nothing at all, takes back those before it.
pub(super) const SAVE: Special = Special {
    set: |config, words| {
        const WRONG: &str = "Invalid save parameters";
        if let [] | [b""] = words {
            config.save.clear();
            return Ok(());
        }
        let (pairs, rest) = words.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(WRONG.into());
        }
        let points: Option<Vec<_>> = pairs
            .iter()
            .map(|[seconds, changes]| save_point(seconds, changes))
            .collect();
        config.save.extend(points.ok_or(WRONG)?);
        Ok(())
    },
    get: |config| {
        let words = |point: &SavePoint| {
            [point.seconds, point.changes].map(|number| number.to_string().into_bytes())
        };
        config.save.iter().flat_map(words).collect()
    },
    clear: Some(|config| config.save.clear()),
    ..PLAIN
};

/// `dir path`
pub(super) const DIR: Special = Special {
    set: |config, words| {
        let [path] = words else {
            return Err(WRONG_NUMBER.into());
        };
        if path.is_empty() {
            return Err("dir can't be empty".into());
        }
        config.dir = path.to_vec();
        Ok(())
    },
    get: |config| vec![config.dir.clone()],
    multiple: false,
    rewrite: Some(|config, _| {
        vec![Line {
            text: [b"dir ", &quoted(&config.dir)[..]].concat(),
            force: true,
        }]
    }),
    ..PLAIN
};

/// `replicaof host port`, or `replicaof no one`.
pub(super) const REPLICAOF: Special = Special {
    set: |config, words| {
        let [host, port] = words else {
            return Err(WRONG_NUMBER.into());
        };
        config.slaveof = if host.eq_ignore_ascii_case(b"no") && port.eq_ignore_ascii_case(b"one") {
            None
        } else {
            let port = parse_integer(port).and_then(|port| u16::try_from(port).ok());
            Some(Master {
                host: text(host),
                port: port.ok_or("Invalid primary port")?,
            })
        };
        Ok(())
    },
    get: |config| {
        let words = |master: &Master| {
            vec![
                master.host.clone().into_bytes(),
                master.port.to_string().into_bytes(),
            ]
        };
        config.slaveof.as_ref().map(words).unwrap_or_default()
    },
    rewrite: Some(|config, _| {
        // A node of a cluster keeps its master elsewhere.
        let master = config.slaveof.iter().filter(|_| !config.cluster_enabled);
        let line = |_: &Master| Line {
            text: [b"replicaof ", &words_of((REPLICAOF.get)(config))[..]].concat(),
            force: true,
        };
        master.map(line).collect()
    }),
    ..PLAIN
};

/// `notify-keyspace-events letters`
pub(super) const NOTIFY_KEYSPACE_EVENTS: Special = Special {
    set: |config, words| {
        let events = KeyspaceEvents::parse(&words.concat());
        config.notify_keyspace_events =
            events.ok_or("Invalid event class character. Use 'Ag$lshzxeKEtmdn'.")?;
        Ok(())
    },
    get: |config| vec![config.notify_keyspace_events.to_string().into_bytes()],
    multiple: false,
    ..PLAIN
};

/// `client-output-buffer-limit class hard soft seconds …`
pub(super) const CLIENT_OUTPUT_BUFFER_LIMIT: Special = Special {
    set: |config, words| {
        // An empty text changes nothing.
        let words = if let [b""] = words { &[] } else { words };
        let (groups, rest) = words.as_chunks::<4>();
        if !rest.is_empty() {
            return Err("Wrong number of arguments in buffer limit configuration.".into());
        }
        let mut limits = config.client_output_buffer_limit;
        for [class, hard, soft, seconds] in groups {
            let class = ClientClass::from_word(class)
                .ok_or("Invalid client class specified in buffer limit configuration.")?;
            let seconds = whole(seconds).filter(|seconds| *seconds <= INT_MAX);
            let seconds = seconds.and_then(|seconds| u64::try_from(seconds).ok());
            let numbers = memory(hard).zip(memory(soft)).zip(seconds);
            let ((hard_bytes, soft_bytes), soft_seconds) = numbers.ok_or(
                "Error in hard, soft or soft_seconds setting in buffer limit configuration.",
            )?;
            limits[class] = OutputLimit {
                hard_bytes,
                soft_bytes,
                soft_seconds,
            };
        }
        config.client_output_buffer_limit = limits;
        Ok(())
    },
    get: |config| {
        let words = |class: ClientClass| {
            let limit = config.client_output_buffer_limit[class];
            let numbers = [limit.hard_bytes, limit.soft_bytes, limit.soft_seconds];
            let numbers = numbers.map(|number| number.to_string().into_bytes());
            std::iter::once(class.word().into()).chain(numbers)
        };
        ClientClass::ALL.into_iter().flat_map(words).collect()
    },
    rewrite: Some(|config, default| {
        let line = |class: ClientClass| {
            let limit = config.client_output_buffer_limit[class];
            let size = |bytes: u64| format_memory(bytes.into());
            let (hard, soft) = (size(limit.hard_bytes), size(limit.soft_bytes));
            let (name, seconds) = (class.new_word(), limit.soft_seconds);
            Line {
                text: format!("client-output-buffer-limit {name} {hard} {soft} {seconds}")
                    .into_bytes(),
                force: limit != default.client_output_buffer_limit[class],
            }
        };
        ClientClass::ALL.into_iter().map(line).collect()
    }),
    ..PLAIN
};

/// `oom-score-adj-values master replica child`
pub(super) const OOM_SCORE_ADJ_VALUES: Special = Special {
    set: |config, words| {
        let words: [&[u8]; 3] = words.try_into().map_err(|_| WRONG_NUMBER)?;
        let numbers = words.map(|word| {
            let number = whole(word).filter(|number| (-2000..=2000).contains(number));
            number.and_then(|number| i32::try_from(number).ok())
        });
        let [Some(master), Some(replica), Some(child)] = numbers else {
            return Err(
                "Invalid oom-score-adj-values, elements must be between -2000 and 2000.".into(),
            );
        };
        config.oom_score_adj_values = [master, replica, child];
        Ok(())
    },
    get: |config| {
        let words = config.oom_score_adj_values;
        words.map(|number| number.to_string().into_bytes()).to_vec()
    },
    ..PLAIN
};

/// `latency-tracking-info-percentiles percentile …`; one empty word for none.
pub(super) const PERCENTILES: Special = Special {
    set: |config, words| {
        let words = if let [b""] = words { &[] } else { words };
        let mut percentiles = Vec::with_capacity(words.len());
        for word in words {
            let number =
                parse_double(word).ok_or("Invalid latency-tracking-info-percentiles parameters")?;
            if !(0.0..=100.0).contains(&number) {
                return Err(
                    "latency-tracking-info-percentiles parameters should sit between [0.0,100.0]"
                        .into(),
                );
            }
            #[expect(
                clippy::cast_possible_truncation,
                reason = "six digits of at most a hundred"
            )]
            percentiles.push((number * 1e6).round() as u64);
        }
        config.latency_tracking_info_percentiles = percentiles;
        Ok(())
    },
    get: |config| {
        let words = config.latency_tracking_info_percentiles.iter();
        words
            .map(|millionths| percentile(*millionths).into_bytes())
            .collect()
    },
    ..PLAIN
};

/// A number of millionths, with no more digits than it needs.
#[must_use]
pub fn percentile(millionths: u64) -> String {
    let text = format!("{}.{:06}", millionths / 1_000_000, millionths % 1_000_000);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `shutdown-on-sigint flag …`
pub(super) const SHUTDOWN_ON_SIGINT: Special = Special {
    set: |config, words| {
        config.shutdown_on_sigint = shutdown_flags(words)?;
        Ok(())
    },
    get: |config| {
        config
            .shutdown_on_sigint
            .words()
            .into_iter()
            .map(Into::into)
            .collect()
    },
    ..PLAIN
};

/// `shutdown-on-sigterm flag …`
pub(super) const SHUTDOWN_ON_SIGTERM: Special = Special {
    set: |config, words| {
        config.shutdown_on_sigterm = shutdown_flags(words)?;
        Ok(())
    },
    get: |config| {
        config
            .shutdown_on_sigterm
            .words()
            .into_iter()
            .map(Into::into)
            .collect()
    },
    ..PLAIN
};

fn shutdown_flags(words: &[&[u8]]) -> Result<ShutdownFlags, Reason> {
    let known = ShutdownFlags::WORDS.map(|(word, _)| word);
    if words.is_empty() {
        one_of(b"", &known)?;
    }
    let mut flags = ShutdownFlags::default();
    for word in words {
        let word = one_of(word, &known)?;
        let flag = ShutdownFlags::WORDS
            .iter()
            .find(|(known, _)| *known == word);
        flags = flags | flag.map_or(ShutdownFlags::default(), |(_, flag)| *flag);
    }
    if flags.contains(ShutdownFlags::SAVE | ShutdownFlags::NOSAVE) {
        return Err("shutdown options SAVE and NOSAVE can't be used simultaneously".into());
    }
    Ok(flags)
}

/// `rename-command from to`
pub(super) const RENAME_COMMAND: Special = Special {
    set: |config, words| {
        let [from, to] = words else {
            return Err(BAD_DIRECTIVE.into());
        };
        config.rename_commands.push(RenamedCommand {
            from: from.to_vec(),
            to: to.to_vec(),
        });
        Ok(())
    },
    ..PLAIN
};

/// `user name rule …`
pub(super) const USER: Special = Special {
    set: |config, words| {
        if words.is_empty() {
            return Err(BAD_DIRECTIVE.into());
        }
        config
            .users
            .push(words.iter().map(|word| word.to_vec()).collect());
        Ok(())
    },
    ..PLAIN
};

/// `loadmodule path …`: refused, since a server without what the module brings is not what was asked for.
pub(crate) const LOADMODULE: Special = Special {
    set: |_, _| {
        Err("There is no module interface: loadmodule cannot be followed. Remove the line, or keep that server.".into())
    },
    ..PLAIN
};

/// A file's own name, not empty.
pub(super) fn is_dbfilename(name: &[u8]) -> Result<(), &'static str> {
    base_name(
        name,
        "dbfilename can't be empty",
        "dbfilename can't be a path, just a filename",
    )
}

/// A file's own name, not empty.
pub(super) fn is_appendfilename(name: &[u8]) -> Result<(), &'static str> {
    base_name(
        name,
        "appendfilename can't be empty",
        "appendfilename can't be a path, just a filename",
    )
}

/// A folder's own name, not empty.
pub(super) fn is_appenddirname(name: &[u8]) -> Result<(), &'static str> {
    base_name(
        name,
        "appenddirname can't be empty",
        "appenddirname can't be a path, just a dirname",
    )
}

fn base_name(name: &[u8], empty: &'static str, path: &'static str) -> Result<(), &'static str> {
    if name.is_empty() {
        Err(empty)
    } else if name.iter().any(|byte| matches!(byte, b'/' | b'\\')) {
        Err(path)
    } else {
        Ok(())
    }
}

/// Not empty.
pub(super) fn is_cluster_file(name: &[u8]) -> Result<(), &'static str> {
    if name.is_empty() {
        return Err("cluster-config-file can't be empty");
    }
    Ok(())
}

/// What fits an address, and breaks no line of nodes.conf.
pub(super) fn is_announced_ip(text: &[u8]) -> Result<(), &'static str> {
    if text.len() >= 46 {
        Err("cluster-announce-ip is too long")
    } else if !is_auxiliary(text) {
        Err("cluster-announce-ip contains invalid character")
    } else {
        Ok(())
    }
}

/// A host name, or nothing.
pub(super) fn is_hostname(text: &[u8]) -> Result<(), &'static str> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    if text.len() >= 256 {
        Err("Hostnames must be less than 256 characters")
    } else if !text.iter().all(plain) {
        Err("Hostnames may only contain alphanumeric characters, hyphens or dots")
    } else {
        Ok(())
    }
}

/// A name that breaks no line of nodes.conf.
pub(super) fn is_nodename(text: &[u8]) -> Result<(), &'static str> {
    if is_auxiliary(text) {
        Ok(())
    } else {
        Err("Announced human node name contained invalid character")
    }
}

fn is_auxiliary(text: &[u8]) -> bool {
    let forbidden = b";<=>?@[]^{|}~\\";
    text.iter()
        .all(|byte| *byte > b',' && *byte != 0x7f && !forbidden.contains(byte))
}

/// An IPv4 address, or nothing.
pub(super) fn is_ipv4(text: &[u8]) -> Result<(), &'static str> {
    parses::<Ipv4Addr>(text, "Invalid IPv4 address")
}

/// An IPv6 address, or nothing.
pub(super) fn is_ipv6(text: &[u8]) -> Result<(), &'static str> {
    parses::<Ipv6Addr>(text, "Invalid IPv6 address")
}

fn parses<T: std::str::FromStr>(text: &[u8], wrong: &'static str) -> Result<(), &'static str> {
    let parsed = std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse::<T>().ok());
    if text.is_empty() || parsed.is_some() {
        Ok(())
    } else {
        Err(wrong)
    }
}

/// A title whose variables are known.
pub(crate) fn is_title(template: &[u8]) -> Result<(), &'static str> {
    const VARIABLES: [&str; 7] = [
        "title",
        "listen-addr",
        "server-mode",
        "port",
        "tls-port",
        "unixsocket",
        "config-file",
    ];
    const WRONG: &str = "template format is invalid or contains unknown variables";
    if template.trim_ascii().is_empty() {
        return Err(WRONG);
    }
    let mut rest = template;
    while let Some(start) = rest.iter().position(|byte| *byte == b'{') {
        rest = &rest[start + 1..];
        let end = rest.iter().position(|byte| *byte == b'}');
        let name = end.map(|end| &rest[..end]);
        if !name.is_some_and(|name| VARIABLES.iter().any(|known| known.as_bytes() == name)) {
            return Err(WRONG);
        }
    }
    Ok(())
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

fn memory(text: &[u8]) -> Option<u64> {
    parse_memory(text).and_then(|bytes| u64::try_from(bytes).ok())
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
