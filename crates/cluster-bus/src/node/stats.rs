//! What went over the bus, counted by type: for CLUSTER INFO.

use std::fmt::Write as _;

use crate::message::{Body, Packet};

/// The types of packets by their number, as CLUSTER INFO names them.
const NAMES: [&str; 11] = [
    "ping",
    "pong",
    "meet",
    "fail",
    "publish",
    "auth-req",
    "auth-ack",
    "update",
    "mfstart",
    "module",
    "publishshard",
];

/// One direction.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    packets: [u64; NAMES.len()],
    bytes: u64,
    pubsub_bytes: u64,
}

impl Traffic {
    pub(super) fn count(&mut self, packet: &Packet, bytes: u64) {
        let kind = usize::from(packet.kind());
        if let Some(count) = self.packets.get_mut(kind) {
            *count += 1;
        }
        self.bytes += bytes;
        let is_published = match packet {
            Packet::Full(message) => matches!(message.body, Body::Publish(_)),
            Packet::Light(_) => true,
        };
        if is_published {
            self.pubsub_bytes += bytes;
        }
    }

    fn total(&self) -> u64 {
        self.packets.iter().sum()
    }
}

/// Both directions.
#[derive(Debug, Default)]
pub(super) struct Stats {
    pub(super) sent: Traffic,
    pub(super) received: Traffic,
}

impl super::Node {
    /// Counts packets and links anew: CONFIG RESETSTAT.
    pub fn reset_stats(&mut self) {
        self.stats = Stats::default();
        self.links.limit_exceeded = 0;
    }
}

impl Stats {
    /// The lines of CLUSTER INFO; types that did not occur have none.
    pub(super) fn write(&self, text: &mut String) {
        // Writing to a String cannot fail.
        let (sent, received) = (&self.sent, &self.received);
        for (traffic, way) in [(sent, "sent"), (received, "received")] {
            for (name, count) in NAMES.iter().zip(traffic.packets) {
                if count > 0 {
                    let _ = write!(text, "cluster_stats_messages_{name}_{way}:{count}\r\n");
                }
            }
            let _ = write!(text, "cluster_stats_messages_{way}:{}\r\n", traffic.total());
        }
        for (what, out, back) in [
            ("bytes", sent.bytes, received.bytes),
            ("pubsub_bytes", sent.pubsub_bytes, received.pubsub_bytes),
            ("module_bytes", 0, 0),
        ] {
            let _ = write!(
                text,
                "cluster_stats_{what}_sent:{out}\r\ncluster_stats_{what}_received:{back}\r\n"
            );
        }
    }
}
