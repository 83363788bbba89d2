//! What keys and values of a file are like: how many of each type in each database, and how large they and their elements are.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Read;

use crate::decode::Str;
use crate::error::Error;
use crate::format::Kind;
use crate::reader::{KeyRecord, Reader};
use crate::stream::StreamPart;

/// How statistics are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatsFormat {
    /// A line for each figure, a column for each type.
    Table,
    /// The same, with commas.
    Csv,
    /// A line for each figure of each type.
    Info,
}

impl StatsFormat {
    /// The format of this name.
    #[must_use]
    pub fn named(name: &[u8]) -> Option<Self> {
        match name {
            b"table" => Some(Self::Table),
            b"csv" => Some(Self::Csv),
            b"info" => Some(Self::Info),
            _ => None,
        }
    }
}

/// The types, in the order of the columns, with their names.
const KINDS: [(Kind, &str); 6] = [
    (Kind::String, "string"),
    (Kind::List, "list"),
    (Kind::Set, "set"),
    (Kind::Zset, "zset"),
    (Kind::Hash, "hash"),
    (Kind::Stream, "stream"),
];

/// One figure: its name, and how it is told.
type Figure = (&'static str, fn(&OfKind) -> String);

/// The figures of each type, in order.
const FIGURES: [Figure; 17] = [
    ("keys.total", |of| of.keys.to_string()),
    ("expire_keys.total", |of| of.expires.to_string()),
    ("already_expired.total", |of| of.expired.to_string()),
    ("keys.size", |of| of.key_bytes.to_string()),
    ("keys.value_size", |of| of.sizes.sum.to_string()),
    ("elements.total", |of| of.counts.sum.to_string()),
    ("elements.size", |of| of.sizes.sum.to_string()),
    ("elements.num.max", |of| of.counts.largest.to_string()),
    ("elements.num.avg", |of| mean(of.counts.sum, of.keys)),
    ("elements.num.p99", |of| of.counts.percentile(99)),
    ("elements.num.p90", |of| of.counts.percentile(90)),
    ("elements.num.p50", |of| of.counts.percentile(50)),
    ("elements.size.max", |of| of.sizes.largest.to_string()),
    ("elements.size.avg", |of| mean(of.sizes.sum, of.counts.sum)),
    ("elements.size.p99", |of| of.sizes.percentile(99)),
    ("elements.size.p90", |of| of.sizes.percentile(90)),
    ("elements.size.p50", |of| of.sizes.percentile(50)),
];

/// Statistics of a file.
#[derive(Debug, Default)]
pub struct Stats {
    /// By database and the place of the type in [`KINDS`].
    kinds: BTreeMap<(u32, usize), OfKind>,
}

/// The keys of one type.
#[derive(Debug, Default)]
struct OfKind {
    keys: u64,
    expires: u64,
    expired: u64,
    key_bytes: u64,
    /// How many elements the values have.
    counts: Spread,
    /// How many bytes the elements have.
    sizes: Spread,
}

/// How numbers are spread.
#[derive(Debug, Default)]
struct Spread {
    sum: u64,
    largest: u64,
    /// How many there are up to each of some bounds, none of which is more than a 128th too high.
    up_to: BTreeMap<u64, u64>,
}

impl Spread {
    fn add(&mut self, number: u64) {
        self.sum = self.sum.saturating_add(number);
        self.largest = self.largest.max(number);
        let dropped_bits = number.checked_ilog2().unwrap_or(0).saturating_sub(7);
        let bound = number | ((1 << dropped_bits) - 1);
        *self.up_to.entry(bound).or_default() += 1;
    }

    /// What so many of a hundred do not exceed.
    fn percentile(&self, percent: u64) -> String {
        let all: u64 = self.up_to.values().sum();
        let wanted = (u128::from(all) * u128::from(percent)).div_ceil(100);
        let mut seen = 0;
        let found = self.up_to.iter().find(|(_, count)| {
            seen += u128::from(**count);
            seen >= wanted
        });
        let found = found.map_or(0, |(bound, _)| (*bound).min(self.largest));
        format!("{found}.00")
    }
}

#[expect(clippy::cast_precision_loss, reason = "two digits are shown")]
fn mean(sum: u64, count: u64) -> String {
    format!("{:.2}", sum as f64 / count.max(1) as f64)
}

fn size(text: &Str<'_>) -> u64 {
    match text {
        Str::Bytes(bytes) => bytes.len() as u64,
        number @ Str::Int(_) => number.to_vec().len() as u64,
    }
}

impl Stats {
    /// Reads the value of the key that `reader` stands at.
    pub(super) fn add<R: Read>(
        &mut self,
        reader: &mut Reader<R>,
        key: KeyRecord,
        now_ms: i64,
    ) -> Result<(), Error> {
        let column = KINDS.iter().position(|(kind, _)| *kind == key.kind);
        let place = (key.database, column.unwrap_or_default());
        let of = self.kinds.entry(place).or_default();
        of.keys += 1;
        of.key_bytes += reader.key().len() as u64;
        of.expires += u64::from(key.expire_ms.is_some());
        of.expired += u64::from(key.expire_ms.is_some_and(|at| at < now_ms));
        let mut count = 0;
        match key.kind {
            Kind::String => {
                of.sizes.add(size(&reader.string()?));
                count = 1;
            }
            Kind::List | Kind::Set => {
                while let Some(element) = reader.next_element()? {
                    of.sizes.add(size(&element));
                    count += 1;
                }
            }
            Kind::Zset => {
                while let Some((member, _)) = reader.next_member()? {
                    of.sizes.add(size(&member));
                    count += 1;
                }
            }
            Kind::Hash => {
                while let Some((field, value)) = reader.next_pair()? {
                    of.sizes.add(size(&field) + size(&value));
                    count += 1;
                }
            }
            Kind::Stream => {
                while let Some(part) = reader.next_stream_part()? {
                    if let StreamPart::Entry(_, fields) = part {
                        let sizes = fields
                            .iter()
                            .map(|(field, value)| field.len() + value.len());
                        sizes.for_each(|size| of.sizes.add(size as u64));
                        count += 1;
                    }
                }
            }
        }
        of.counts.add(count);
        Ok(())
    }

    /// The lines to print, each with its end, for every database that has keys; for the first one where none has.
    #[must_use]
    pub fn text(&self, format: StatsFormat) -> String {
        let mut text = String::new();
        let none = OfKind::default();
        let mut databases: Vec<u32> = self.kinds.keys().map(|(database, _)| *database).collect();
        databases.dedup();
        if databases.is_empty() {
            databases.push(0);
        }
        for database in databases {
            let mut column = 0;
            let kinds: [&OfKind; KINDS.len()] = KINDS.map(|_| {
                column += 1;
                self.kinds.get(&(database, column - 1)).unwrap_or(&none)
            });
            if format != StatsFormat::Info {
                let names = KINDS.map(|(_, name)| name.to_owned());
                row(&mut text, format, database, "type.name", names);
            }
            for (figure, tell) in FIGURES {
                let values = kinds.map(tell);
                row(&mut text, format, database, figure, values);
            }
        }
        text
    }
}

/// One figure of all types.
fn row(
    text: &mut String,
    format: StatsFormat,
    database: u32,
    figure: &str,
    values: [String; KINDS.len()],
) {
    let name = format!("db.{database}.{figure}");
    // Writing to a string cannot fail.
    let _ = match format {
        StatsFormat::Table => {
            let columns = values.map(|value| format!("\t{value:<5}")).concat();
            writeln!(text, "{name:<30}{columns}")
        }
        StatsFormat::Csv => writeln!(text, "{name},{}", values.join(",")),
        StatsFormat::Info => {
            for ((_, kind), value) in KINDS.iter().zip(values) {
                let _ = writeln!(text, "[info] db.{database}.type.{kind}.{figure}:{value}");
            }
            Ok(())
        }
    };
}

#[cfg(test)]
mod tests {
    use super::super::check_rdb_with_stats;
    use super::*;

    /// A string that expired at 1, a list and a hash in database 2; no checksum.
    const FILE: &[u8] = b"REDIS0006\xfe\x02\
        \xfc\x01\x00\x00\x00\x00\x00\x00\x00\x00\x03key\x05value\
        \x01\x04list\x03\x01a\x02bc\xc0\x7b\
        \x04\x01h\x01\x05field\x03one\xff\0\0\0\0\0\0\0\0";

    #[test]
    fn keys_and_elements_are_counted_by_database_and_type() {
        let (report, stats) = check_rdb_with_stats("dump.rdb", FILE, 5);
        assert!(report.ok, "{}", report.text);
        let info = stats.text(StatsFormat::Info);
        for line in [
            "db.2.type.string.keys.total:1",
            "db.2.type.string.already_expired.total:1",
            "db.2.type.string.keys.size:3",
            "db.2.type.string.keys.value_size:5",
            "db.2.type.list.elements.total:3",
            "db.2.type.list.elements.size:6",
            "db.2.type.list.elements.size.max:3",
            "db.2.type.list.elements.size.avg:2.00",
            "db.2.type.list.elements.num.p99:3.00",
            "db.2.type.hash.elements.size.p50:8.00",
            "db.2.type.stream.elements.num.avg:0.00",
        ] {
            assert!(info.contains(&format!("[info] {line}\n")), "{line}: {info}");
        }
        let csv = stats.text(StatsFormat::Csv);
        assert!(csv.starts_with("db.2.type.name,string,list,set,zset,hash,stream\n"));
        assert!(csv.contains("\ndb.2.keys.total,1,1,0,0,1,0\n"), "{csv}");
        let none = Stats::default().text(StatsFormat::Info);
        assert!(none.starts_with("[info] db.0.type.string.keys.total:0\n"));
        let table = stats.text(StatsFormat::Table);
        assert!(table.contains("db.2.keys.total               \t1    \t1    \t0    "));
    }

    #[test]
    fn a_broken_value_is_told_as_without_statistics() {
        for end in 9..FILE.len() - 9 {
            let (report, _) = check_rdb_with_stats("dump.rdb", &FILE[..end], 5);
            assert!(!report.ok);
        }
    }

    #[test]
    fn percentiles_are_at_most_a_128th_too_high() {
        let mut spread = Spread::default();
        (1..=100_000).for_each(|number| spread.add(number));
        for (percent, exact) in [(50, 50_000), (90, 90_000), (99, 99_000)] {
            let told: f64 = spread.percentile(percent).parse().unwrap();
            let exact = f64::from(exact);
            assert!(
                told >= exact && told <= exact * (1.0 + 1.0 / 128.0),
                "{told}"
            );
        }
        assert_eq!(Spread::default().percentile(99), "0.00");
        spread.add(u64::MAX);
        assert_eq!(spread.largest, u64::MAX);
    }
}
