//! What this node says about itself: address, ports and names, as configured or as found out.

use super::io::LogLevel;
use super::state::Node;
use super::table::Addr;
use crate::NodeId;
use crate::message::{Extensions, NodeFlags};

impl Node {
    /// Takes over what the configuration says of this node.
    pub(super) fn refresh_myself(&mut self) {
        let config = &self.config;
        let or = |announced: u16, real: u16| if announced == 0 { real } else { announced };
        let ip = config.announce_ip.or(self.table.me().addr.ip);
        let bus_port = or(config.announce_bus_port, config.bus_port);
        let mut addr = Addr::new(ip, or(config.announce_port, config.port), bus_port);
        if bus_port == 0 {
            // Where the bus really listens does not follow from another port that is announced.
            addr.bus_port = Addr::new(None, config.port, 0).bus_port;
        }
        let other_port = or(config.announce_other_port, config.other_port);
        let no_failover = config.replica_no_failover;
        let announced = config.announced.clone();
        let me = self.table.me_mut();
        let before = (me.addr, me.other_port, me.flags);
        me.addr = addr;
        me.other_port = other_port;
        me.clear(NodeFlags::NOFAILOVER);
        if no_failover {
            me.set(NodeFlags::NOFAILOVER);
        }
        let renamed = me.announced != announced;
        me.announced = announced;
        if renamed || before != (me.addr, me.other_port, me.flags) {
            self.todo.save = true;
        }
    }

    /// What a ping of version 1 says of us beside the header.
    pub(super) fn own_extensions(&self, now_ms: u64) -> Extensions {
        Extensions {
            announced: self.me().announced.clone(),
            forgotten: self.blacklist.left(now_ms),
            shard: Some(self.me().shard),
        }
    }

    /// A fresh shard for this node, which copies nobody.
    pub(super) fn move_to_new_shard(&mut self) {
        let shard = NodeId::random(&mut self.rng);
        let myself = self.table.myself();
        self.table.set_shard(myself, shard);
        self.log(
            LogLevel::Notice,
            format_args!("Moving myself to a new shard {shard}."),
        );
    }
}
