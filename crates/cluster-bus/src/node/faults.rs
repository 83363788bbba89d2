//! Faults that tests ask a node for: DEBUG.

use super::io::LinkId;
use super::io::{Dropped, Faults};
use super::state::Node;
use crate::message::Packet;
use crate::{NodeId, Now};

impl Node {
    /// The faults, to be changed.
    pub fn faults_mut(&mut self) -> &mut Faults {
        &mut self.faults
    }

    /// Closes the links that this node dialled to another one, those that were dialled from there, or both.
    pub fn kill_links(&mut self, now: Now, node: NodeId, to: bool, from: bool) {
        let links = self.links();
        let links = links.filter(|link| link.node == Some(node));
        let links = links.filter(|link| if link.inbound { from } else { to });
        let ids: Vec<LinkId> = links.map(|link| link.id).collect();
        for id in ids {
            self.close_link(now, id);
        }
        self.end_call(now);
    }

    /// Whether a packet is passed over, and with it perhaps its link.
    pub(super) fn drops(&mut self, now: Now, link: LinkId, packet: &Packet) -> bool {
        let drops = match self.faults.dropped {
            Dropped::None => false,
            Dropped::All => true,
            Dropped::Kind(kind) => packet.kind() == kind,
        };
        if drops && self.faults.closes_link {
            self.close_link(now, link);
        }
        drops
    }
}
