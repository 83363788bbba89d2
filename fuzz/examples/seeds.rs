//! Writes the first inputs of every target into `corpus/`, from the recorded files that the crates' tests use.
//!
//! `cargo run --example seeds`, in the folder of the targets.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rdb::{Input, Kind, Options, Reader, Record};
use tern_fuzz::recipe;

/// Recorded files longer than this are not worth it: short inputs run faster.
const MOST_BYTES: usize = 6000;

fn main() -> io::Result<()> {
    bus_packets()?;
    texts()?;
    requests()?;
    for name in [
        "redis-3.0.7",
        "redis-3.0.7-nocompress",
        "redis-7.2.6",
        "encodings",
        "hash-zipmap",
    ] {
        let file = fs::read(recorded("rdb").join(format!("{name}.rdb")))?;
        keys(name, &file).map_err(io::Error::other)?;
    }
    Ok(())
}

fn recorded(name: &str) -> PathBuf {
    Path::new("../crates").join(name).join("tests/data")
}

fn write(target: &str, name: &str, parts: &[&[u8]]) -> io::Result<()> {
    let folder = Path::new("corpus").join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), parts.concat())
}

/// Each packet alone, and all of one version in a row.
fn bus_packets() -> io::Result<()> {
    let mut rows = [Vec::new(), Vec::new()];
    for entry in fs::read_dir(recorded("cluster-bus"))? {
        let path = entry?.path();
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let bytes = fs::read(&path)?;
        if !name.ends_with(".bin") {
            write("nodes_conf", &name, &[&bytes])?;
            continue;
        }
        let version = u8::from(!name.starts_with("redis-3"));
        let len = u16::try_from(bytes.len())
            .map_err(io::Error::other)?
            .to_be_bytes();
        let packet = [&[0b1101 | version << 1], &len[..], &bytes].concat();
        write("bus_packet", &name, &[&packet])?;
        rows[usize::from(version)].extend(packet);
    }
    write("bus_packet", "row-0", &[&rows[0]])?;
    write("bus_packet", "row-1", &[&rows[1]])
}

fn texts() -> io::Result<()> {
    let conf = fs::read(recorded("sentinel").join("sentinel.conf-after-failover.txt"))?;
    write("sentinel_conf", "after-failover", &[&conf])?;
    let all = b"port 5\ndaemonize yes\nlogfile \"\"\nsave 900 1\nbind 127.0.0.1 ::1\nsentinel monitor m 127.0.0.1 6379 2\n\
        sentinel notification-script m /n\nsentinel auth-pass m \"p w\"\nsentinel config-epoch m 7\n\
        sentinel known-slave m ::1 6380\nsentinel known-sentinel m 127.0.0.1 5002 abc\nsentinel announce-ip 1.2.3.4\n";
    write("sentinel_conf", "statements", &[all])
}

fn requests() -> io::Result<()> {
    let bulk = b"*2\r\n$3\r\nGET\r\n$1\r\nk\r\n*0\r\n*-1\r\n*1\r\n$4\r\nPING\r\n";
    write("resp_requests", "multibulk", &[b"\x01\x05", bulk])?;
    write(
        "resp_requests",
        "inline",
        &[b"\x01\x05", b"PING\r\nset \"a b\\x41\\n\" 'c d'\r\n\r\n"],
    )?;
    write("resp_requests", "unauthenticated", &[b"\x00\x05", bulk])
}

/// Every record as a file, and every value as a payload.
fn keys(name: &str, file: &[u8]) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let options = Options {
        skip_unsupported: true,
        ..Options::default()
    };
    let mut reader = Reader::open(Input::new(file), options)?;
    // Valkey's versions are beyond Redis's, of which there are twelve.
    let number = file[8] - b'0' + 10 * (file[7] - b'0');
    let version = number.min(13);
    let (mut start, mut number) = (9, 0);
    while let Some(record) = reader.next_record()? {
        let encoding = match record {
            Record::Key(key) => {
                match key.kind {
                    Kind::String => drop(reader.string()?),
                    Kind::List | Kind::Set => while reader.next_element()?.is_some() {},
                    Kind::Hash => while reader.next_pair()?.is_some() {},
                    Kind::Zset => while reader.next_member()?.is_some() {},
                    Kind::Stream => while reader.next_stream_part()?.is_some() {},
                }
                Some(key.encoding.code())
            }
            _ => None,
        };
        let end = usize::try_from(reader.offset())?;
        let bytes = &file[start..end];
        start = end;
        number += 1;
        if bytes.len() > MOST_BYTES {
            continue;
        }
        let label = format!("{name}-{number}");
        write("rdb_file", &label, &[&[0, version, 1], bytes])?;
        // Not where an expiry stands in front, or the key's length takes more than a byte.
        if encoding == Some(bytes[0]) && bytes[1] < 64 {
            value(&label, bytes[0], &bytes[2 + usize::from(bytes[1])..])?;
        }
    }
    Ok(())
}

/// A value as it stands in the file, and where it is one compact form without compression, that form bare.
fn value(label: &str, code: u8, bytes: &[u8]) -> io::Result<()> {
    let index = recipe::CODES
        .iter()
        .position(|known| *known == code)
        .unwrap_or_default();
    let index = u8::try_from(index).map_err(io::Error::other)?;
    write("restore_payload", label, &[&[0, index, 0], bytes])?;
    let header = match bytes[0] >> 6 {
        0 => 1,
        1 => 2,
        _ => return Ok(()),
    };
    if code > 8 {
        write(
            "restore_payload",
            &format!("{label}-bare"),
            &[&[0, index, 1], &bytes[header..]],
        )?;
    }
    Ok(())
}
