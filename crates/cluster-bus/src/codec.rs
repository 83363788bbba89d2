//! Packets of the cluster bus as bytes, in both layouts. Total: no input makes it panic, and nothing is allocated from
//! a length that has not been checked against the bytes at hand. What the packets mean is the node's business.
//!
//! Numbers are big endian. Offsets in the header, with where version 1 differs from version 0:
//!
//! | at | bytes | field | version 1 |
//! |---|---|---|---|
//! | 0 | 4 | signature `RCmb` | |
//! | 4 | 4 | length of the whole packet | |
//! | 8 | 2 | version | |
//! | 10 | 2 | unused | client port |
//! | 12 | 2 | type | |
//! | 14 | 2 | number of gossip entries | |
//! | 16 | 8 | current epoch | |
//! | 24 | 8 | config epoch | |
//! | 32 | 8 | replication offset | |
//! | 40 | 40 | sender's id | |
//! | 80 | 2048 | slots | |
//! | 2128 | 40 | master's id, or NUL | |
//! | 2168 | 32 | unused | 46: own address; 2: number of extensions; 30 unused; 2: TLS port; 2: bus port |
//! | 2200 | 2 | client port | (flags at 2250) |
//! | 2202 | 2 | flags | |
//! | 2204 | 1 | cluster state | (2252) |
//! | 2205 | 3 | message flags | (2253) |
//! | 2208 | | body | (2256) |
//!
//! A published message may come without all that (version 1, Valkey 8.0): the first 16 bytes, with a bit set in the type, and the
//! body.

use std::sync::Arc;

mod extensions;

use crate::message::{
    Body, Extensions, Gossip, Header, Message, NodeFlags, Packet, PingKind, Published, Version,
    WireIp,
};
use crate::{MAX_EPOCH, NodeId, SlotSet};

const SIGNATURE: &[u8; 4] = b"RCmb";
const GOSSIP_LEN: usize = 104;
/// Bytes before the body of a packet without a header: signature, length, version, two unused, type, two unused.
const LIGHT_LEN: usize = 16;
/// Bit of the type: the packet has no header.
const LIGHT: u16 = 0x8000;
const UPDATE_LEN: usize = 8 + NodeId::TEXT_LEN + SlotSet::BYTES;

/// The longest packet that is taken from a peer: a published message of 512 MiB (the longest string a client can send)
/// and 1 MiB around it. Redis has no bound here.
pub const MAX_FRAME_LEN: usize = (512 + 1) << 20;

/// Why bytes are no packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// The stream is not the cluster bus: it cannot be cut into packets any more, the link has to go.
    #[error("Bad message length or signature received from Cluster bus.")]
    BadFrame,
    /// A version this codec does not know; such packets are skipped.
    #[error("unknown bus version {0}")]
    UnknownVersion(u16),
    /// A type this codec does not know; such packets are skipped.
    #[error("Received unknown packet type: {0}")]
    UnknownType(u16),
    /// The length does not follow from the type and the counts inside.
    #[error("packet of {actual} bytes where its type and counts ask for {expected}")]
    LengthMismatch {
        /// Bytes there are.
        actual: usize,
        /// Bytes there should be.
        expected: usize,
    },
    /// A field that must be a node id is none.
    #[error("malformed node id at byte {0}")]
    BadNodeId(usize),
    /// The sender's name is that of no node: nothing it is told would be believed or answered, the link has to go.
    #[error("malformed name of the sender")]
    BadSender,
    /// An epoch so high that counting on from it could overflow.
    #[error("epoch out of range at byte {0}")]
    EpochOutOfRange(usize),
    /// The extension block of a version 1 ping does not add up.
    #[error("malformed extension at byte {0}")]
    BadExtension(usize),
}

/// The length of the packet at the front of a stream, so that a shell can cut it out; `None` until eight bytes are
/// there. The length is known to be plausible, not to be there yet: do not allocate from it.
///
/// # Errors
/// [`CodecError::BadFrame`] when signature or length show that this is not the bus.
pub fn frame_len(stream: &[u8]) -> Result<Option<usize>, CodecError> {
    let seen = stream.len().min(SIGNATURE.len());
    if stream[..seen] != SIGNATURE[..seen] {
        return Err(CodecError::BadFrame);
    }
    let Ok(len) = be32(stream, 4) else {
        return Ok(None);
    };
    let len = usize::try_from(len).map_err(|_| CodecError::BadFrame)?;
    if (LIGHT_LEN..=MAX_FRAME_LEN).contains(&len) {
        Ok(Some(len))
    } else {
        Err(CodecError::BadFrame)
    }
}

/// Reads one whole packet, as cut out with [`frame_len`].
///
/// # Errors
/// Says what is wrong with it; the stream goes on after the packet except for [`CodecError::BadFrame`] and [`CodecError::BadSender`].
pub fn decode(frame: &[u8]) -> Result<Packet, CodecError> {
    if frame_len(frame)? != Some(frame.len()) {
        return Err(CodecError::BadFrame);
    }
    let version = match be16(frame, 8)? {
        0 => Version::V0,
        1 => Version::V1,
        other => return Err(CodecError::UnknownVersion(other)),
    };
    let kind = be16(frame, 12)?;
    if version == Version::V1 && kind & LIGHT != 0 {
        return decode_light(frame, kind & !LIGHT).map(Packet::Light);
    }
    let at = layout(version);
    expect_at_least(frame, at.body)?;
    let header = decode_header(frame, version, at)?;
    let body = match kind {
        0 => decode_ping(frame, PingKind::Ping, &header, at)?,
        1 => decode_ping(frame, PingKind::Pong, &header, at)?,
        2 => decode_ping(frame, PingKind::Meet, &header, at)?,
        3 => {
            expect_exactly(frame, at.body + NodeId::TEXT_LEN)?;
            Body::Fail(node_id(frame, at.body)?)
        }
        4 => Body::Publish(decode_publish(frame, at.body, false)?),
        5 => bare(frame, at, Body::FailoverAuthRequest)?,
        6 => bare(frame, at, Body::FailoverAuthAck)?,
        7 => decode_update(frame, at)?,
        8 => bare(frame, at, Body::ManualFailoverStart)?,
        10 => Body::Publish(decode_publish(frame, at.body, true)?),
        other => return Err(CodecError::UnknownType(other)),
    };
    Ok(Message { header, body }.into())
}

fn decode_light(frame: &[u8], kind: u16) -> Result<Published, CodecError> {
    match kind {
        4 => decode_publish(frame, LIGHT_LEN, false),
        10 => decode_publish(frame, LIGHT_LEN, true),
        other => Err(CodecError::UnknownType(other | LIGHT)),
    }
}

/// Writes a packet in its header's version.
#[must_use]
pub fn encode(packet: &Packet) -> Vec<u8> {
    let mut out = Vec::new();
    encode_into(packet, &mut out);
    out
}

/// How many bytes [`encode`] makes of a packet.
#[must_use]
pub fn encoded_len(packet: &Packet) -> u64 {
    let len = match packet {
        Packet::Full(message) => {
            let version = message.header.version;
            layout(version).body + body_len(&message.body, version)
        }
        Packet::Light(published) => LIGHT_LEN + published_len(published),
    };
    len as u64
}

/// Appends a packet to `out`. A packet whose counts or lengths do not fit their fields is not written at all; nothing
/// that this crate builds is that long.
pub fn encode_into(packet: &Packet, out: &mut Vec<u8>) {
    let start = out.len();
    out.reserve(usize::try_from(encoded_len(packet)).unwrap_or(0));
    let fits = match packet {
        Packet::Full(message) => {
            let (kind, count) = kind_and_count(&message.body);
            encode_header(&message.header, kind, count, out);
            encode_body(message, out);
            usize::from(count) == gossip_len(&message.body)
        }
        Packet::Light(published) => {
            encode_light_header(published.kind() | LIGHT, out);
            encode_published(published, out);
            true
        }
    };
    match u32::try_from(out.len() - start) {
        Ok(len) if fits => out[start + 4..start + 8].copy_from_slice(&len.to_be_bytes()),
        _ => out.truncate(start),
    }
}

fn encode_light_header(kind: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(SIGNATURE);
    out.extend_from_slice(&[0; 4]);
    for field in [1u16, 0, kind, 0] {
        out.extend_from_slice(&field.to_be_bytes());
    }
}

fn published_len(published: &Published) -> usize {
    8 + published.channel.len() + published.message.len()
}

fn encode_published(published: &Published, out: &mut Vec<u8>) {
    let parts = [&published.channel, &published.message];
    for part in parts {
        // Too long a part makes the whole packet too long, and that is checked by the caller.
        out.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
    }
    for part in parts {
        out.extend_from_slice(part);
    }
}

/// Where the fields that the versions place differently are.
#[derive(Clone, Copy)]
struct Layout {
    port: usize,
    flags: usize,
    state: usize,
    message_flags: usize,
    body: usize,
}

fn layout(version: Version) -> Layout {
    match version {
        Version::V0 => Layout {
            port: 2200,
            flags: 2202,
            state: 2204,
            message_flags: 2205,
            body: 2208,
        },
        Version::V1 => Layout {
            port: 10,
            flags: 2250,
            state: 2252,
            message_flags: 2253,
            body: 2256,
        },
    }
}

const OWN_IP: usize = 2168;
const EXTENSION_COUNT: usize = 2214;
const TLS_PORT: usize = 2246;
const BUS_PORT: usize = 2248;

fn decode_header(frame: &[u8], version: Version, at: Layout) -> Result<Header, CodecError> {
    let v1 = version == Version::V1;
    Ok(Header {
        version,
        sender: node_id(frame, 40).map_err(|_| CodecError::BadSender)?,
        current_epoch: epoch(frame, 16)?,
        config_epoch: epoch(frame, 24)?,
        repl_offset: be64(frame, 32)?,
        slots: Arc::new(SlotSet::from_bytes(&array(frame, 80)?)),
        master: optional_node_id(frame, 2128)?,
        ip: if v1 {
            WireIp(array(frame, OWN_IP)?)
        } else {
            WireIp::EMPTY
        },
        port: be16(frame, at.port)?,
        bus_port: if v1 { be16(frame, BUS_PORT)? } else { 0 },
        tls_port: if v1 { be16(frame, TLS_PORT)? } else { 0 },
        flags: NodeFlags(be16(frame, at.flags)?),
        state: array::<1>(frame, at.state)?[0],
        message_flags: array(frame, at.message_flags)?,
    })
}

fn decode_ping(
    frame: &[u8],
    kind: PingKind,
    header: &Header,
    at: Layout,
) -> Result<Body, CodecError> {
    let end = at.body + usize::from(be16(frame, 14)?) * GOSSIP_LEN;
    let extensions = if header.version == Version::V1 && header.says(Header::EXTENSIONS) {
        extensions::decode(frame, be16(frame, EXTENSION_COUNT)?, end)?
    } else {
        expect_exactly(frame, end)?;
        Extensions::default()
    };
    let entries = frame.get(at.body..end).unwrap_or_default();
    let gossip = entries
        .chunks_exact(GOSSIP_LEN)
        .enumerate()
        .map(|(index, entry)| decode_gossip(entry, header.version, at.body + index * GOSSIP_LEN))
        .collect::<Result<_, _>>()?;
    Ok(Body::Ping {
        kind,
        gossip,
        extensions,
    })
}

fn decode_gossip(entry: &[u8], version: Version, at: usize) -> Result<Gossip, CodecError> {
    let v1 = version == Version::V1;
    Ok(Gossip {
        id: node_id(entry, 0).map_err(|_| CodecError::BadNodeId(at))?,
        ping_sent: be32(entry, 40)?,
        pong_received: be32(entry, 44)?,
        ip: WireIp(array(entry, 48)?),
        port: be16(entry, 94)?,
        bus_port: if v1 { be16(entry, 96)? } else { 0 },
        flags: NodeFlags(be16(entry, if v1 { 98 } else { 96 })?),
        tls_port: if v1 { be16(entry, 100)? } else { 0 },
    })
}

fn decode_publish(frame: &[u8], at: usize, sharded: bool) -> Result<Published, CodecError> {
    expect_at_least(frame, at + 8)?;
    let payload = frame.get(at + 8..).unwrap_or_default();
    let channel_len = be32(frame, at)?;
    let message_len = be32(frame, at + 4)?;
    // Two 32-bit lengths cannot overflow 64 bits; compared before either is used.
    let declared = u64::from(channel_len) + u64::from(message_len);
    if declared != payload.len() as u64 {
        let expected =
            usize::try_from(declared).map_or(usize::MAX, |len| len.saturating_add(at + 8));
        return Err(CodecError::LengthMismatch {
            actual: frame.len(),
            expected,
        });
    }
    let (channel, message) =
        payload.split_at(usize::try_from(channel_len).unwrap_or(payload.len()));
    Ok(Published {
        channel: channel.into(),
        message: message.into(),
        sharded,
    })
}

fn decode_update(frame: &[u8], at: Layout) -> Result<Body, CodecError> {
    expect_exactly(frame, at.body + UPDATE_LEN)?;
    Ok(Body::Update {
        config_epoch: epoch(frame, at.body)?,
        node: node_id(frame, at.body + 8)?,
        slots: Arc::new(SlotSet::from_bytes(&array(
            frame,
            at.body + 8 + NodeId::TEXT_LEN,
        )?)),
    })
}

fn bare(frame: &[u8], at: Layout, body: Body) -> Result<Body, CodecError> {
    expect_exactly(frame, at.body).map(|()| body)
}

fn encode_header(header: &Header, kind: u16, count: u16, out: &mut Vec<u8>) {
    out.extend_from_slice(SIGNATURE);
    out.extend_from_slice(&[0; 4]);
    let (version, first_port) = match header.version {
        Version::V0 => (0u16, 0u16),
        Version::V1 => (1, header.port),
    };
    for field in [version, first_port, kind, count] {
        out.extend_from_slice(&field.to_be_bytes());
    }
    for field in [
        header.current_epoch,
        header.config_epoch,
        header.repl_offset,
    ] {
        out.extend_from_slice(&field.to_be_bytes());
    }
    out.extend_from_slice(&header.sender.to_hex());
    out.extend_from_slice(header.slots.as_bytes());
    out.extend_from_slice(&header.master.map_or([0; NodeId::TEXT_LEN], NodeId::to_hex));
    out.resize(out.len() + OWN_FIELDS_LEN[usize::from(version)], 0);
    if header.version == Version::V0 {
        out.extend_from_slice(&header.port.to_be_bytes());
    } else {
        let start = out.len() - OWN_FIELDS_LEN[1];
        let own = &mut out[start..];
        own[..46].copy_from_slice(&header.ip.0);
        own[TLS_PORT - OWN_IP..BUS_PORT - OWN_IP].copy_from_slice(&header.tls_port.to_be_bytes());
        own[BUS_PORT - OWN_IP..].copy_from_slice(&header.bus_port.to_be_bytes());
    }
    out.extend_from_slice(&header.flags.0.to_be_bytes());
    out.push(header.state);
    out.extend_from_slice(&header.message_flags);
}

/// Bytes between the master's id and the flags (version 0: and the port), per version.
const OWN_FIELDS_LEN: [usize; 2] = [32, 82];

fn encode_body(message: &Message, out: &mut Vec<u8>) {
    match &message.body {
        Body::Ping {
            gossip, extensions, ..
        } => {
            for entry in gossip {
                encode_gossip(entry, message.header.version, out);
            }
            if message.header.version == Version::V1 {
                let count_at = out.len() - gossip.len() * GOSSIP_LEN - layout(Version::V1).body
                    + EXTENSION_COUNT;
                let count = extensions::encode(extensions, out);
                out[count_at..count_at + 2].copy_from_slice(&count.to_be_bytes());
            }
        }
        Body::Fail(node) => out.extend_from_slice(&node.to_hex()),
        Body::Publish(published) => encode_published(published, out),
        Body::Update {
            node,
            config_epoch,
            slots,
        } => {
            out.extend_from_slice(&config_epoch.to_be_bytes());
            out.extend_from_slice(&node.to_hex());
            out.extend_from_slice(slots.as_bytes());
        }
        Body::FailoverAuthRequest | Body::FailoverAuthAck | Body::ManualFailoverStart => {}
    }
}

fn encode_gossip(entry: &Gossip, version: Version, out: &mut Vec<u8>) {
    out.extend_from_slice(&entry.id.to_hex());
    out.extend_from_slice(&entry.ping_sent.to_be_bytes());
    out.extend_from_slice(&entry.pong_received.to_be_bytes());
    out.extend_from_slice(&entry.ip.0);
    let fields = match version {
        Version::V0 => [entry.port, entry.flags.0, 0, 0, 0],
        Version::V1 => [entry.port, entry.bus_port, entry.flags.0, entry.tls_port, 0],
    };
    for field in fields {
        out.extend_from_slice(&field.to_be_bytes());
    }
}

fn kind_and_count(body: &Body) -> (u16, u16) {
    let count = match body {
        Body::Ping { gossip, .. } => u16::try_from(gossip.len()).unwrap_or(u16::MAX),
        _ => 0,
    };
    (body.kind(), count)
}

fn gossip_len(body: &Body) -> usize {
    if let Body::Ping { gossip, .. } = body {
        gossip.len()
    } else {
        0
    }
}

fn body_len(body: &Body, version: Version) -> usize {
    match body {
        Body::Ping {
            gossip, extensions, ..
        } => {
            let extensions = match version {
                Version::V0 => 0,
                Version::V1 => extensions::encoded_len(extensions),
            };
            gossip.len() * GOSSIP_LEN + extensions
        }
        Body::Fail(_) => NodeId::TEXT_LEN,
        Body::Publish(published) => published_len(published),
        Body::Update { .. } => UPDATE_LEN,
        Body::FailoverAuthRequest | Body::FailoverAuthAck | Body::ManualFailoverStart => 0,
    }
}

fn array<const N: usize>(frame: &[u8], at: usize) -> Result<[u8; N], CodecError> {
    let short = CodecError::LengthMismatch {
        actual: frame.len(),
        expected: at + N,
    };
    frame
        .get(at..at + N)
        .and_then(|bytes| bytes.try_into().ok())
        .ok_or(short)
}

fn be16(frame: &[u8], at: usize) -> Result<u16, CodecError> {
    array(frame, at).map(u16::from_be_bytes)
}

fn be32(frame: &[u8], at: usize) -> Result<u32, CodecError> {
    array(frame, at).map(u32::from_be_bytes)
}

fn be64(frame: &[u8], at: usize) -> Result<u64, CodecError> {
    array(frame, at).map(u64::from_be_bytes)
}

fn epoch(frame: &[u8], at: usize) -> Result<u64, CodecError> {
    be64(frame, at).and_then(|epoch| {
        if epoch <= MAX_EPOCH {
            Ok(epoch)
        } else {
            Err(CodecError::EpochOutOfRange(at))
        }
    })
}

fn node_id(frame: &[u8], at: usize) -> Result<NodeId, CodecError> {
    NodeId::parse(&array::<{ NodeId::TEXT_LEN }>(frame, at)?).ok_or(CodecError::BadNodeId(at))
}

fn optional_node_id(frame: &[u8], at: usize) -> Result<Option<NodeId>, CodecError> {
    let none = array::<{ NodeId::TEXT_LEN }>(frame, at)? == [0; NodeId::TEXT_LEN];
    if none {
        Ok(None)
    } else {
        node_id(frame, at).map(Some)
    }
}

fn expect_exactly(frame: &[u8], expected: usize) -> Result<(), CodecError> {
    let actual = frame.len();
    if actual == expected {
        Ok(())
    } else {
        Err(CodecError::LengthMismatch { actual, expected })
    }
}

fn expect_at_least(frame: &[u8], expected: usize) -> Result<(), CodecError> {
    let actual = frame.len();
    if actual >= expected {
        Ok(())
    } else {
        Err(CodecError::LengthMismatch { actual, expected })
    }
}
