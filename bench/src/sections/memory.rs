//! Memory: what a key, or an element of a big collection, costs; the growth of the resident set over the number of them.

use std::time::Duration;

use anyhow::{Context, Result};

use super::{Bench, compared, compared_header};
use crate::machine;
use crate::program::{Program, Running};
use crate::report::Table;
use crate::request::{Draw, Request};

/// Something to fill a server with.
pub(super) struct Content {
    pub(super) name: String,
    request: Request,
}

pub(super) fn run(bench: &Bench) -> Result<Table> {
    let servers: Vec<&Program> = bench.servers().collect();
    let mut table = Table::new(
        "Memory: bytes per key or element",
        compared_header("content", &servers),
    );
    for content in contents(bench) {
        bench.note(format_args!("memory: {}", content.name));
        let bytes: Result<Vec<f64>> = servers
            .iter()
            .map(|program| bytes_each(bench, program, &content))
            .collect();
        let bytes = bytes.with_context(|| content.name.clone())?;
        table.rows.push(compared(&content.name, &bytes));
    }
    table.notes.push(format!(
        "Growth of the resident set over {} keys, or elements of one collection.",
        crate::stats::grouped(bench.options.keys)
    ));
    Ok(table)
}

fn bytes_each(bench: &Bench, program: &Program, content: &Content) -> Result<f64> {
    let (server, _dir) = bench.launcher.start_alone(program, &[])?;
    let resident = || machine::resident_bytes(server.pid());
    // The connections here are few: no need to wait for all that they held.
    let quiet = bench.options.settle / 10;
    // What the first connections take is no cost of a key.
    let ping = Request::new(&["PING"], Draw::Below(1));
    bench.fill(&server, ping, 10_000)?;
    let before = settled(quiet, 0, resident)?;
    content.fill(bench, &server)?;
    let after = settled(quiet, 0, resident)?;
    #[expect(clippy::cast_precision_loss, reason = "printed with three digits")]
    let each = after.saturating_sub(before) as f64 / bench.options.keys as f64;
    Ok(each)
}

/// A size, once it has not changed by more than `noise` for some time: what connections took is given back a while after they end.
/// Gives up on waiting after ten times as long.
pub(super) fn settled(
    quiet: Duration,
    noise: u64,
    mut read: impl FnMut() -> Result<u64>,
) -> Result<u64> {
    /// How often is looked in the quiet time.
    const LOOKS: u32 = 10;
    let mut last = read()?;
    let mut same = 0;
    for _ in 0..10 * LOOKS {
        std::thread::sleep(quiet / LOOKS);
        let now = read()?;
        same = if now.abs_diff(last) <= noise {
            same + 1
        } else {
            0
        };
        last = now;
        if same == LOOKS {
            break;
        }
    }
    Ok(last)
}

impl Content {
    /// Fills a server with as many keys or elements as the options say.
    pub(super) fn fill(&self, bench: &Bench, server: &Running) -> Result<()> {
        bench.fill(server, self.request.clone(), bench.options.keys)
    }
}

/// Every kind of key, then every kind of big collection.
fn contents(bench: &Bench) -> Vec<Content> {
    let (key, value) = (bench.key(), bench.value());
    let (key_bytes, value_bytes) = (bench.options.key_bytes, bench.options.value_bytes);
    let content = |name: String, args: &[&str]| Content {
        name,
        request: Request::new(args, Draw::Next(bench.options.keys)),
    };
    let mut hash = vec!["HMSET", key.as_str()];
    for field in ["field1", "field2", "field3", "field4", "field5"] {
        hash.extend([field, "value:####"]);
    }
    let sizes = format!("{key_bytes} + {value_bytes}");
    let mut all = vec![
        content(format!("string ({sizes})"), &["SET", &key, &value]),
        // A number that begins with a zero would be kept as text.
        content(
            format!("integer ({key_bytes} + 7 digits)"),
            &["SET", &key, "1######"],
        ),
        content(
            format!("string with expiry ({sizes})"),
            &["SET", &key, &value, "EX", "1000000"],
        ),
        content("hash of 5 fields (6 + 10 each)".to_owned(), &hash),
    ];
    all.extend(collections(bench));
    all
}

/// A big collection of each type.
pub(super) fn collections(bench: &Bench) -> Vec<Content> {
    let element = "elem:@@@@@@@@";
    let content = |name: &str, args: &[&str]| Content {
        name: name.to_owned(),
        request: Request::new(args, Draw::Next(bench.options.keys)),
    };
    vec![
        content("set, per member (13)", &["SADD", "set", element]),
        content(
            "sorted set, per member (13)",
            &["ZADD", "zset", "########", element],
        ),
        content("list, per element (13)", &["RPUSH", "list", element]),
        content(
            "hash, per field (13 + 13)",
            &["HSET", "hash", element, "elem:########"],
        ),
    ]
}

/// The strings that the memory of a key is measured with.
pub(super) fn strings(bench: &Bench) -> Content {
    let mut all = contents(bench);
    all.swap_remove(0)
}
