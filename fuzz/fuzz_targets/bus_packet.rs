//! Any packets decode or are refused, in memory bounded by their size; what decodes comes back from its bytes, and a node that
//! gets it neither panics nor writes a nodes.conf that cannot be read.
//!
//! The input is a row of packets, each `control:u8 length:u16 bytes`. The control byte says what is mended in front of the bytes
//! (signature, length, version, number of gossip entries), and over which link the packet comes.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use cluster_bus::codec::{MAX_FRAME_LEN, decode, encode, frame_len};
use cluster_bus::message::Packet;
use cluster_bus::{Config, Facts, Input, LinkId, Node, Now, Output, nodes_conf};
use libfuzzer_sys::fuzz_target;
use tern_fuzz::memory;

const LOCALHOST: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// The packet with its header made good as far as `control` says.
fn mended(control: u8, bytes: &[u8]) -> Vec<u8> {
    let mut packet = bytes.to_vec();
    if control & 1 == 0 || packet.len() < 16 {
        return packet;
    }
    let len = u32::try_from(packet.len()).expect("an input is short");
    packet[..4].copy_from_slice(b"RCmb");
    packet[4..8].copy_from_slice(&len.to_be_bytes());
    let version = control >> 1 & 1;
    packet[8..10].copy_from_slice(&[0, version]);
    let header = if version == 0 { 2208 } else { 2256 };
    if control & 4 != 0 && packet[12] == 0 && packet[13] < 3 {
        let count = packet.len().saturating_sub(header) / 104;
        packet.truncate(header.min(packet.len()) + count * 104);
        let len = u32::try_from(packet.len()).expect("an input is short");
        packet[4..8].copy_from_slice(&len.to_be_bytes());
        packet[14..16].copy_from_slice(&u16::try_from(count).expect("it is short").to_be_bytes());
    }
    packet
}

fn decoded(packet: &[u8]) -> Option<Packet> {
    if let Ok(Some(len)) = frame_len(packet) {
        assert!(len <= MAX_FRAME_LEN);
        for shorter in [4, 7, 8, 9]
            .into_iter()
            .filter(|shorter| *shorter <= packet.len())
        {
            let known = frame_len(&packet[..shorter]);
            assert!(known == Ok(None) || known == Ok(Some(len)));
        }
    }
    let (message, peak) = memory::peak_of(|| decode(packet).ok());
    assert!(
        peak <= 16 * packet.len() + 4096,
        "{peak} bytes for {}",
        packet.len()
    );
    let message = message?;
    // Extensions of unknown types, and texts that nodes.conf cannot hold, are left out.
    let bytes = encode(&message);
    assert!(bytes.len() <= packet.len());
    let again = decode(&bytes).expect("what we encode decodes");
    assert_eq!(again, message);
    assert_eq!(encode(&again), bytes);
    Some(message)
}

/// A node between the packets of the input.
struct World {
    node: Node,
    now: Now,
    dialled: Vec<LinkId>,
}

impl World {
    fn new() -> Self {
        let now = Now {
            mono_ms: 1,
            unix_ms: 1_700_000_000_000,
        };
        let mut node = Node::new(now, Config::default(), None, 7);
        node.meet(now, LOCALHOST, 7001);
        let mut world = Self {
            node,
            now,
            dialled: Vec::new(),
        };
        for link in 0..2 {
            let remote = SocketAddr::new(LOCALHOST, 40_000 + link);
            let link = LinkId::Accepted(u64::from(link));
            world.node.handle_input(
                now,
                Facts::default(),
                Input::Accepted {
                    link,
                    remote,
                    local: LOCALHOST,
                },
            );
        }
        world.pass(200);
        world
    }

    fn pass(&mut self, ms: u64) {
        self.now.mono_ms += ms;
        self.now.unix_ms += ms;
        self.node.handle_timeout(self.now, Facts::default());
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.node.poll_output() {
            match output {
                Output::Connect { link, .. } => {
                    self.dialled.push(link);
                    self.node.handle_input(self.now, Facts::default(), Input::Connected { link });
                }
                Output::Close { link } => self.dialled.retain(|open| *open != link),
                Output::Send { packet, .. } => {
                    assert_eq!(decode(&encode(&packet)).as_ref(), Ok(&packet));
                }
                Output::Persist { .. } => {
                    let text = self.node.nodes_conf_text();
                    nodes_conf::parse(text.as_bytes()).expect("what a node writes can be read");
                }
                Output::Event(_) => {}
            }
        }
    }

    fn receive(&mut self, control: u8, packet: Packet) {
        let dialled = self
            .dialled
            .get(usize::from(control >> 5) % self.dialled.len().max(1));
        let link = match dialled {
            Some(link) if control & 8 != 0 => *link,
            _ => LinkId::Accepted(u64::from(control >> 4 & 1)),
        };
        self.node
            .handle_input(self.now, Facts::default(), Input::Received { link, packet });
        self.drain();
    }
}

fuzz_target!(|data: &[u8]| {
    let mut rest = data;
    let mut world = World::new();
    while let Some((&[control, high, low], after)) = rest.split_first_chunk() {
        let len = usize::from(u16::from_be_bytes([high, low])).min(after.len());
        let (bytes, after) = after.split_at(len);
        rest = after;
        if let Some(message) = decoded(&mended(control, bytes)) {
            world.receive(control, message);
            world.pass(if control & 16 == 0 { 100 } else { 8000 });
        }
    }
    let text = world.node.nodes_conf().to_string();
    let again = nodes_conf::parse(text.as_bytes()).expect("what a node writes can be read");
    assert_eq!(again.to_string(), text);
    assert!(world.node.node_lines().count() < 3100);
});
