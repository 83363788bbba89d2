//! The recorded files of `tests/data`, and what their JSON says they hold.

use std::collections::BTreeMap;

use serde_json::Value;

/// The files that come with a JSON of their content.
pub(crate) const RECORDED: [&str; 7] = [
    "redis-3.0.7",
    "redis-3.0.7-nocompress",
    "redis-7.0.15",
    "redis-7.2.6",
    "redis-8.0.6",
    "valkey-8.0.1",
    "valkey-9.1.2",
];

/// One key of a recorded file.
#[derive(Debug, PartialEq)]
pub(crate) struct Recorded {
    /// As TYPE answers.
    pub(crate) kind: String,
    /// As OBJECT ENCODING answered there.
    pub(crate) encoding: String,
    /// Whether it has an expiry.
    pub(crate) expires: bool,
    /// Elements in order, members and fields sorted; pairs flattened; scores as text.
    pub(crate) value: Vec<Vec<u8>>,
    /// Fields that expire, and when, Unix milliseconds.
    pub(crate) fields: BTreeMap<Vec<u8>, u64>,
}

/// A file of `tests/data`.
pub(crate) fn data(name: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// What the JSON beside `name` says, by `database:key`.
pub(crate) fn recorded(name: &str) -> BTreeMap<Vec<u8>, Recorded> {
    let json: BTreeMap<String, BTreeMap<String, Value>> =
        serde_json::from_slice(&data(&format!("{name}.json"))).unwrap();
    let entry = |(key, facts): (String, BTreeMap<String, Value>)| {
        let mut value = Vec::new();
        flatten(&facts["value"], &mut value);
        let text = |name: &str| facts[name].as_str().unwrap().to_owned();
        let expires = facts["expires"].as_bool().unwrap();
        let fields = facts.get("fields").and_then(Value::as_object);
        let field = |(name, at): (&String, &Value)| (latin1(name), at.as_u64().unwrap());
        let fields = fields.into_iter().flatten().map(field).collect();
        (
            latin1(&key),
            Recorded {
                kind: text("type"),
                encoding: text("encoding"),
                expires,
                value,
                fields,
            },
        )
    };
    json.into_iter().map(entry).collect()
}

fn flatten(value: &Value, out: &mut Vec<Vec<u8>>) {
    match value {
        Value::Array(values) => values.iter().for_each(|value| flatten(value, out)),
        Value::String(text) => out.push(latin1(text)),
        other => panic!("unexpected {other}"),
    }
}

/// The recorded strings are bytes read as Latin-1.
fn latin1(text: &str) -> Vec<u8> {
    text.chars()
        .map(|c| u8::try_from(u32::from(c)).unwrap())
        .collect()
}

/// Puts pairs into order and scores into one form, so that two descriptions of a value compare equal.
pub(crate) fn normalize(kind: &str, mut value: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    match kind {
        "set" => value.sort(),
        "hash" => {
            let mut pairs: Vec<_> = value.chunks(2).map(<[_]>::to_vec).collect();
            pairs.sort();
            value = pairs.concat();
        }
        "zset" => {
            for score in value.iter_mut().skip(1).step_by(2) {
                let number: f64 = std::str::from_utf8(score).unwrap().parse().unwrap();
                // Equal numbers in one text: a compact form drops the sign of zero where a number is stored as an integer.
                *score = format!("{}", number + 0.0).into_bytes();
            }
            let mut pairs: Vec<_> = value.chunks(2).map(<[_]>::to_vec).collect();
            pairs.sort();
            value = pairs.concat();
        }
        _ => {}
    }
    value
}
