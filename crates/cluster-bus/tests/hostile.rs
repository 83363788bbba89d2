//! Packets that decode but make no sense, in great number: a node may ignore them or believe them, it may not panic,
//! hang, or remember more and more.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod harness;

use std::sync::Arc;

use cluster_bus::message::{
    Body, Extensions, Gossip, Header, Message, NodeFlags, Packet, PingKind, Published, Version,
    WireIp,
};
use cluster_bus::{MAX_EPOCH, NodeId, Slot, SlotSet, codec, nodes_conf};
use harness::{World, cluster, quick};

struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }

    fn one<T: Clone>(&mut self, list: &[T]) -> T {
        list[usize::try_from(self.below(list.len() as u64)).unwrap()].clone()
    }

    fn id(&mut self, known: &[NodeId]) -> NodeId {
        if self.below(8) == 0 {
            let byte = u8::try_from(self.below(5)).unwrap();
            return NodeId::from_bytes([byte; 20]);
        }
        self.one(known)
    }

    fn epoch(&mut self) -> u64 {
        let small = self.below(12);
        // Epochs near the end stop all elections, as they must: not too often, or nothing else would happen.
        if self.below(3000) == 0 {
            MAX_EPOCH - small
        } else {
            small
        }
    }

    fn slots(&mut self) -> Arc<SlotSet> {
        let (first, count) = (self.below(16384), self.below(6000));
        let range = Slot::all()
            .skip(usize::try_from(first).unwrap())
            .take(usize::try_from(count).unwrap());
        Arc::new(if self.below(3) == 0 {
            SlotSet::new()
        } else {
            range.collect()
        })
    }

    fn flags(&mut self) -> NodeFlags {
        NodeFlags(u16::try_from(self.below(1 << 16)).unwrap())
    }

    fn ip(&mut self) -> WireIp {
        let ips = [
            None,
            Some("127.0.0.1".parse().unwrap()),
            Some("10.9.8.7".parse().unwrap()),
            Some("::1".parse().unwrap()),
        ];
        WireIp::from(self.one(&ips))
    }

    fn port(&mut self) -> u16 {
        let odd = u16::try_from(self.below(1 << 16)).unwrap();
        self.one(&[7000, 7001, 7002, 0, 65535, odd])
    }

    fn gossip(&mut self, known: &[NodeId]) -> Gossip {
        Gossip {
            id: self.id(known),
            ping_sent: 0,
            pong_received: 1,
            ip: self.ip(),
            port: self.port(),
            bus_port: self.port(),
            tls_port: 0,
            flags: self.flags(),
        }
    }

    fn body(&mut self, known: &[NodeId]) -> Body {
        match self.below(12) {
            0 => Body::Fail(self.id(known)),
            1 => Body::FailoverAuthRequest,
            2 => Body::FailoverAuthAck,
            3 => Body::ManualFailoverStart,
            4 => Body::Update {
                node: self.id(known),
                config_epoch: self.epoch(),
                slots: self.slots(),
            },
            5 => Body::Publish(Published {
                channel: Arc::from(b"c".as_slice()),
                message: Arc::from(b"".as_slice()),
                sharded: self.below(2) == 0,
            }),
            _ => Body::Ping {
                kind: self.one(&[PingKind::Ping, PingKind::Pong, PingKind::Meet]),
                gossip: (0..self.below(5)).map(|_| self.gossip(known)).collect(),
                extensions: Extensions::default(),
            },
        }
    }

    fn message(&mut self, known: &[NodeId]) -> Message {
        let header = Header {
            version: self.one(&[Version::V0, Version::V1]),
            sender: self.id(known),
            current_epoch: self.epoch(),
            config_epoch: self.epoch(),
            repl_offset: self.below(1000),
            slots: self.slots(),
            master: if self.below(2) == 0 {
                None
            } else {
                Some(self.id(known))
            },
            ip: self.ip(),
            port: self.port(),
            bus_port: self.port(),
            tls_port: 0,
            flags: self.flags(),
            state: 0,
            message_flags: [u8::try_from(self.below(4)).unwrap(), 0, 0],
        };
        Message {
            header,
            body: self.body(known),
        }
    }
}

/// What must hold whatever was said: the file can be read again and says the same, and memory is bounded.
fn check(world: &World, index: usize) {
    let text = world.hosts[index].node.nodes_conf().to_string();
    let again = nodes_conf::parse(text.as_bytes()).map(|conf| conf.to_string());
    assert_eq!(again.as_ref(), Ok(&text));
    assert!(world.hosts[index].node.node_lines().count() < 3100);
}

#[test]
fn nonsense_does_no_harm() {
    for seed in 0..12 {
        let mut chance = Chance(seed);
        let mut world = cluster(3, 6, &quick());
        let known: Vec<NodeId> = (0..6).map(|index| world.id(index)).collect();
        for round in 0..800 {
            let message = chance.message(&known);
            let bytes = codec::encode(&message.into());
            let Packet::Full(decoded) = codec::decode(&bytes).unwrap() else {
                panic!()
            };
            let to = usize::try_from(chance.below(6)).unwrap();
            world.inject(to, *decoded);
            if round % 4 == 0 {
                world.run_ms(60);
            }
            if round % 50 == 0 {
                (0..6).for_each(|index| check(&world, index));
                world.sent.clear();
            }
        }
    }
}

#[test]
fn a_flood_of_meetings_is_bounded() {
    let mut world = cluster(3, 3, &quick());
    let mut packet = world.packet_of(
        1,
        Body::Ping {
            kind: PingKind::Meet,
            gossip: Vec::new(),
            extensions: Extensions::default(),
        },
    );
    for number in 0..3000u16 {
        packet.header.sender = NodeId::from_bytes([number.to_be_bytes()[1]; 20]);
        packet.header.port = 10_000 + number;
        world.inject(0, packet.clone());
    }
    check(&world, 0);
    let known = world.hosts[0].node.node_lines().count();
    assert_eq!(known, 3 + 1000);
    world.run_ms(3000);
    assert_eq!(world.hosts[0].node.node_lines().count(), 3);
}
