//! The extensions that version 1 may append to a ping: each is its length (with these eight bytes, a multiple of eight), its type,
//! two unused bytes, and its data.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::{CodecError, array, be16, be32, expect_exactly};
use crate::NodeId;
use crate::message::Extensions;
use crate::nodes_conf::is_plain;

const HOSTNAME: u16 = 0;
const NODENAME: u16 = 1;
const FORGOTTEN: u16 = 2;
const SHARD: u16 = 3;
const CLIENT_IPV4: u16 = 4;
const CLIENT_IPV6: u16 = 5;
const CLIENT_PORT: u16 = 6;
const CLIENT_TLS_PORT: u16 = 7;
const AVAILABILITY_ZONE: u16 = 8;

const HEAD_LEN: usize = 8;
/// Names longer than this are no names.
const LONGEST_TEXT: usize = 256;

/// Reads `count` extensions from `start` to the end of the frame. Types that are not known are passed over.
pub(super) fn decode(frame: &[u8], count: u16, start: usize) -> Result<Extensions, CodecError> {
    let mut extensions = Extensions::default();
    let mut at = start;
    for _ in 0..count {
        let len = be32(frame, at)
            .ok()
            .and_then(|len| usize::try_from(len).ok())
            .filter(|len| *len >= HEAD_LEN && len % 8 == 0);
        let next = len.and_then(|len| at.checked_add(len));
        let next = next
            .filter(|next| *next <= frame.len())
            .ok_or(CodecError::BadExtension(at))?;
        let data = frame.get(at + HEAD_LEN..next).unwrap_or_default();
        take(&mut extensions, be16(frame, at + 4)?, data).ok_or(CodecError::BadExtension(at))?;
        at = next;
    }
    expect_exactly(frame, at)?;
    Ok(extensions)
}

/// Takes in one extension; `None` if its data is none of its type.
fn take(extensions: &mut Extensions, kind: u16, data: &[u8]) -> Option<()> {
    let announced = &mut extensions.announced;
    match kind {
        HOSTNAME => announced.hostname = text(data),
        NODENAME => announced.nodename = text(data),
        CLIENT_IPV4 => announced.client_ipv4 = address::<Ipv4Addr>(data),
        CLIENT_IPV6 => announced.client_ipv6 = address::<Ipv6Addr>(data),
        AVAILABILITY_ZONE => announced.availability_zone = text(data),
        CLIENT_PORT => announced.client_port = be16(data, 0).ok()?,
        CLIENT_TLS_PORT => announced.client_tls_port = be16(data, 0).ok()?,
        FORGOTTEN => {
            let ttl_s = array(data, NodeId::TEXT_LEN).ok().map(u64::from_be_bytes)?;
            extensions.forgotten.push((id(data)?, ttl_s));
        }
        SHARD => extensions.shard = Some(id(data)?),
        _ => {}
    }
    Some(())
}

/// Text that ends with NUL. It goes into nodes.conf and into replies, where some characters mean something: a text with such a
/// one counts as none.
fn text(data: &[u8]) -> String {
    let end = data.iter().position(|&c| c == 0).unwrap_or(data.len());
    let text = std::str::from_utf8(&data[..end]).unwrap_or_default();
    let fits = text.len() <= LONGEST_TEXT && is_plain(text);
    if fits { text.to_owned() } else { String::new() }
}

/// The text of an address; empty for what is none: Redis sends a secret of its own under the number that Valkey has for the first kind.
fn address<A: FromStr>(data: &[u8]) -> String {
    let text = text(data);
    if text.parse::<A>().is_ok() {
        text
    } else {
        String::new()
    }
}

fn id(data: &[u8]) -> Option<NodeId> {
    NodeId::parse(data.get(..NodeId::TEXT_LEN)?)
}

/// How many bytes [`encode`] makes of them.
pub(super) fn encoded_len(extensions: &Extensions) -> usize {
    let mut len = 0;
    each(extensions, |_, data| len += HEAD_LEN + data.len());
    len
}

/// Appends them, and says how many there are.
pub(super) fn encode(extensions: &Extensions, out: &mut Vec<u8>) -> u16 {
    let mut count = 0;
    each(extensions, |kind, data| {
        let len = u32::try_from(HEAD_LEN + data.len()).unwrap_or(u32::MAX);
        out.extend_from_slice(&len.to_be_bytes());
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0; 2]);
        out.extend_from_slice(data);
        count += 1;
    });
    count
}

/// Calls with every extension that is said: type and padded data.
fn each(extensions: &Extensions, mut call: impl FnMut(u16, &[u8])) {
    let announced = &extensions.announced;
    let mut data = Vec::new();
    let mut padded = |kind: u16, parts: &[&[u8]]| {
        data.clear();
        parts.iter().for_each(|part| data.extend_from_slice(part));
        data.resize(data.len().next_multiple_of(8), 0);
        call(kind, &data);
    };
    for (kind, text) in [
        (HOSTNAME, &announced.hostname),
        (NODENAME, &announced.nodename),
        (CLIENT_IPV4, &announced.client_ipv4),
        (CLIENT_IPV6, &announced.client_ipv6),
    ] {
        if !text.is_empty() {
            padded(kind, &[text.as_bytes(), &[0]]);
        }
    }
    for (kind, port) in [
        (CLIENT_PORT, announced.client_port),
        (CLIENT_TLS_PORT, announced.client_tls_port),
    ] {
        if port != 0 {
            padded(kind, &[&port.to_be_bytes()]);
        }
    }
    if !announced.availability_zone.is_empty() {
        padded(
            AVAILABILITY_ZONE,
            &[announced.availability_zone.as_bytes(), &[0]],
        );
    }
    for (id, ttl_s) in &extensions.forgotten {
        padded(FORGOTTEN, &[&id.to_hex(), &ttl_s.to_be_bytes()]);
    }
    if let Some(shard) = extensions.shard {
        padded(SHARD, &[&shard.to_hex()]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_no_address() {
        let mut extensions = Extensions::default();
        let secret = [b'a'; 40];
        assert!(take(&mut extensions, CLIENT_IPV4, &secret).is_some());
        assert_eq!(extensions.announced.client_ipv4, "");
        assert!(take(&mut extensions, CLIENT_IPV4, b"10.0.0.1\0").is_some());
        assert_eq!(extensions.announced.client_ipv4, "10.0.0.1");
        assert!(take(&mut extensions, CLIENT_IPV6, b"cafe:1234::0\0").is_some());
        assert_eq!(extensions.announced.client_ipv6, "cafe:1234::0");
    }
}
