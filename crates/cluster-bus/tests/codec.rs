//! The codec against packets captured from Redis 3.0.7 (version 0) and 7.2.6 (version 1), and against damaged ones.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use cluster_bus::codec::{CodecError, MAX_FRAME_LEN, decode, encode, encoded_len, frame_len};
use cluster_bus::message::{
    Announced, Body, Extensions, Header, Message, NodeFlags, Packet, PingKind, Published, Version,
};

macro_rules! captured {
    ($($name:literal),* $(,)?) => { &[$(($name, include_bytes!(concat!("data/redis-", $name, ".bin")) as &[u8])),*] };
}

const CAPTURED: &[(&str, &[u8])] = captured![
    "3.0.7-ping",
    "3.0.7-pong",
    "3.0.7-meet",
    "3.0.7-fail",
    "3.0.7-publish",
    "3.0.7-failover-auth-request",
    "3.0.7-failover-auth-ack",
    "3.0.7-mfstart",
    "7.2.6-ping",
    "7.2.6-pong",
    "7.2.6-meet",
    "7.2.6-fail",
    "7.2.6-publish",
    "7.2.6-failover-auth-request",
    "7.2.6-failover-auth-ack",
    "7.2.6-mfstart",
    "7.2.6-update",
];

fn captured(name: &str) -> Vec<u8> {
    CAPTURED
        .iter()
        .find(|(known, _)| *known == name)
        .unwrap()
        .1
        .to_vec()
}

fn message(name: &str) -> Message {
    full(&captured(name))
}

fn full(bytes: &[u8]) -> Message {
    match decode(bytes) {
        Ok(Packet::Full(message)) => *message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_captured_packet_comes_back_byte_for_byte() {
    for (name, bytes) in CAPTURED {
        assert_eq!(frame_len(bytes), Ok(Some(bytes.len())), "{name}");
        let message = full(bytes);
        let version = if name.starts_with('3') {
            Version::V0
        } else {
            Version::V1
        };
        assert_eq!(message.header.version, version, "{name}");
        let packet = Packet::from(message);
        assert_eq!(encoded_len(&packet), bytes.len() as u64, "{name}");
        assert!(encode(&packet) == *bytes, "{name} changed on its way");
    }
}

#[test]
fn a_ping_of_version_0_reads_as_3_0_wrote_it() {
    let Message { header, body } = message("3.0.7-ping");
    assert_eq!(
        header.sender.to_string(),
        "1be1983b75cf662cc6eef59b3505aa82b2a8f85b"
    );
    assert_eq!(
        (
            header.current_epoch,
            header.config_epoch,
            header.repl_offset
        ),
        (6, 6, 1)
    );
    assert_eq!((header.port, header.bus_port), (9305, 0));
    assert!(header.flags.has(NodeFlags::MASTER) && header.master.is_none());
    assert_eq!(header.slots.ranges().len(), 1);
    let Body::Ping {
        kind: PingKind::Ping,
        gossip,
        ..
    } = body
    else {
        panic!("{body:?}")
    };
    assert_eq!(gossip.len(), 3);
    assert_eq!(gossip[0].ip.ip().unwrap().to_string(), "127.0.0.1");
    assert_eq!(gossip[0].port, 9301);
}

#[test]
fn a_ping_of_version_1_reads_as_7_2_wrote_it() {
    let Message { header, body } = message("7.2.6-ping");
    assert_eq!((header.port, header.bus_port), (9325, 19325));
    assert_eq!(
        header.master.map(|id| id.to_string()).as_deref(),
        Some("0a6c41a1d5e1c057173b16fb72403876249d454c")
    );
    assert!(header.flags.has(NodeFlags::SLAVE));
    let Body::Ping {
        kind: PingKind::Ping,
        gossip,
        extensions,
    } = body
    else {
        panic!("{body:?}")
    };
    assert_eq!(gossip.len(), 4);
    assert!(
        gossip
            .iter()
            .all(|entry| entry.bus_port == entry.port + 10000)
    );
    assert!(extensions.shard.is_some());
}

#[test]
fn the_small_packets_say_what_they_are() {
    assert!(matches!(message("3.0.7-fail").body, Body::Fail(_)));
    assert!(
        message("3.0.7-failover-auth-request")
            .header
            .master
            .is_some()
    );
    assert!(matches!(
        message("3.0.7-failover-auth-ack").body,
        Body::FailoverAuthAck
    ));
    assert!(matches!(
        message("3.0.7-mfstart").body,
        Body::ManualFailoverStart
    ));
    let Body::Update {
        slots,
        config_epoch,
        ..
    } = message("7.2.6-update").body
    else {
        panic!()
    };
    assert!(!slots.is_empty() && config_epoch > 0);
    let Body::Publish(Published {
        channel, message, ..
    }) = message("3.0.7-publish").body
    else {
        panic!()
    };
    assert_eq!(channel.len() + message.len(), 2229 - 2208 - 8);
}

#[test]
fn every_cut_is_refused() {
    for (name, bytes) in CAPTURED {
        for len in (0..bytes.len())
            .step_by(7)
            .chain(bytes.len() - 9..bytes.len())
        {
            assert!(decode(&bytes[..len]).is_err(), "{name} cut to {len} bytes");
        }
    }
}

/// A cut whose length field says that it is whole: the counts inside have to notice.
#[test]
fn every_consistent_cut_is_refused() {
    for (name, bytes) in CAPTURED {
        for len in (2200..bytes.len()).step_by(3) {
            let mut cut = bytes[..len].to_vec();
            cut[4..8].copy_from_slice(&u32::try_from(len).unwrap().to_be_bytes());
            assert!(decode(&cut).is_err(), "{name} cut to {len} bytes");
        }
    }
}

#[test]
fn a_stream_is_cut_only_with_signature_and_length_in_order() {
    let ping = captured("3.0.7-ping");
    assert_eq!(frame_len(&ping[..7]), Ok(None));
    assert_eq!(frame_len(&ping[..8]), Ok(Some(ping.len())));
    assert_eq!(frame_len(b"GET / HTTP/1.1"), Err(CodecError::BadFrame));
    assert_eq!(frame_len(b"RX"), Err(CodecError::BadFrame));
    let with_len = |len: u32| [b"RCmb".as_slice(), &len.to_be_bytes()].concat();
    for bad in [0, 15, u32::try_from(MAX_FRAME_LEN).unwrap() + 1, u32::MAX] {
        assert_eq!(
            frame_len(&with_len(bad)),
            Err(CodecError::BadFrame),
            "{bad}"
        );
    }
}

fn patched(name: &str, at: usize, bytes: &[u8]) -> Vec<u8> {
    let mut packet = captured(name);
    packet[at..at + bytes.len()].copy_from_slice(bytes);
    packet
}

#[test]
fn counts_are_not_believed() {
    assert!(matches!(
        decode(&patched("3.0.7-ping", 14, &[0xff, 0xff])),
        Err(CodecError::LengthMismatch { .. })
    ));
    assert!(matches!(
        decode(&patched("7.2.6-ping", 14, &[0xff, 0xff])),
        Err(CodecError::BadExtension(_))
    ));
    assert!(matches!(
        decode(&patched("7.2.6-ping", 2214, &[0xff, 0xff])),
        Err(CodecError::BadExtension(_))
    ));
    let extension = 2256 + 4 * 104;
    for len in [0u32, 4, 9, u32::MAX - 7] {
        let packet = patched("7.2.6-ping", extension, &len.to_be_bytes());
        assert!(
            matches!(decode(&packet), Err(CodecError::BadExtension(_))),
            "{len}"
        );
    }
    for lens in [
        [0xff; 8],
        [0, 0, 0, 0, 0, 0, 0, 1],
        [0xff, 0xff, 0xff, 0xff, 0, 0, 0, 14],
    ] {
        assert!(matches!(
            decode(&patched("3.0.7-publish", 2208, &lens)),
            Err(CodecError::LengthMismatch { .. })
        ));
    }
}

#[test]
fn versions_and_types_from_the_future_are_named() {
    assert_eq!(
        decode(&patched("3.0.7-ping", 8, &[0, 2])),
        Err(CodecError::UnknownVersion(2))
    );
    assert_eq!(
        decode(&patched("3.0.7-ping", 12, &[0, 11])),
        Err(CodecError::UnknownType(11))
    );
}

#[test]
fn ids_and_epochs_are_checked() {
    assert_eq!(
        decode(&patched("3.0.7-ping", 45, b"Z")),
        Err(CodecError::BadSender)
    );
    assert_eq!(
        decode(&patched("3.0.7-ping", 2128, b"a")),
        Err(CodecError::BadNodeId(2128))
    );
    assert_eq!(
        decode(&patched("3.0.7-ping", 2208 + 104, &[0])),
        Err(CodecError::BadNodeId(2208 + 104))
    );
    for at in [16, 24] {
        assert_eq!(
            decode(&patched("3.0.7-ping", at, &[0x80])),
            Err(CodecError::EpochOutOfRange(at))
        );
    }
    assert_eq!(
        decode(&patched("7.2.6-update", 2256, &[0x80])),
        Err(CodecError::EpochOutOfRange(2256))
    );
}

#[test]
fn what_a_node_announces_comes_back() {
    let mut message = message("7.2.6-ping");
    let said = Extensions {
        announced: Announced {
            hostname: "a.example".to_owned(),
            nodename: "one".to_owned(),
            client_ipv4: "10.0.0.1".to_owned(),
            client_ipv6: "::2".to_owned(),
            client_port: 3,
            client_tls_port: 4,
            availability_zone: "az-1".to_owned(),
        },
        forgotten: vec![(message.header.sender, 60)],
        shard: Some(message.header.sender),
    };
    if let Body::Ping { extensions, .. } = &mut message.body {
        *extensions = said;
    }
    let bytes = encode(&message.clone().into());
    assert_eq!(full(&bytes), message);
    // What nodes.conf could not hold counts as not said; a type that nobody knows is passed over.
    let at = bytes
        .windows(9)
        .position(|text| text == b"a.example")
        .unwrap();
    for (place, byte) in [(at + 1, b' '), (at - 3, 77)] {
        let mut changed = bytes.clone();
        changed[place] = byte;
        let Body::Ping { extensions, .. } = full(&changed).body else {
            panic!()
        };
        assert_eq!(extensions.announced.hostname, "");
        assert_eq!(extensions.announced.nodename, "one");
    }
}

#[test]
fn a_light_message_is_small_and_comes_back() {
    for sharded in [false, true] {
        let packet = Packet::Light(Published {
            channel: b"news".as_slice().into(),
            message: b"hello".as_slice().into(),
            sharded,
        });
        let bytes = encode(&packet);
        assert_eq!(bytes.len(), 16 + 8 + 4 + 5);
        assert_eq!(frame_len(&bytes), Ok(Some(bytes.len())));
        assert_eq!(decode(&bytes), Ok(packet));
        for len in 0..bytes.len() {
            assert!(decode(&bytes[..len]).is_err());
        }
        let mut other = bytes.clone();
        other[13] = 0;
        assert_eq!(decode(&other), Err(CodecError::UnknownType(0x8000)));
    }
}

/// Not a proof, but it has found what reading did not: a few hundred thousand single-byte changes.
#[test]
fn no_changed_byte_panics_and_what_decodes_encodes_again() {
    for (name, bytes) in CAPTURED {
        let mut packet = bytes.to_vec();
        for at in (0..80).chain(2100..bytes.len()) {
            let old = packet[at];
            for new in [0, 1, 0x7f, 0xff, old ^ 0x20] {
                packet[at] = new;
                if let Ok(message) = decode(&packet) {
                    let again = decode(&encode(&message));
                    assert_eq!(
                        again.as_ref(),
                        Ok(&message),
                        "{name} with byte {at} as {new}"
                    );
                }
            }
            packet[at] = old;
        }
    }
}

#[test]
fn message_flags_have_names() {
    assert!(message("7.2.6-ping").header.says(Header::EXTENSIONS));
    assert!(
        message("3.0.7-failover-auth-request")
            .header
            .says(Header::FORCE_ACK)
            || !message("3.0.7-ping").header.says(Header::PAUSED)
    );
}
