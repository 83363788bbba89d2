//! Faults that tests ask a node for: DEBUG.

use super::{LinkId, Node};
use crate::message::Packet;
use crate::{NodeId, Now};

/// Faults that tests ask for; none by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// Which packets are passed over when they come.
    pub dropped: Dropped,
    /// The link of a packet that is passed over is closed.
    pub closes_link: bool,
    /// No link is dialled anew.
    pub never_dials: bool,
    /// No node is pinged just by chance.
    pub no_random_pings: bool,
}

/// Packets that are passed over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Dropped {
    /// None.
    #[default]
    None,
    /// All.
    All,
    /// Those of one type.
    Kind(u16),
}

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
