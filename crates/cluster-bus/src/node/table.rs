//! Which nodes there are and who owns which slot: the map of the cluster as this node sees it. Keeps both sides of
//! every relation in step (slot and owner, master and replica); decides nothing.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::ops::{Index, IndexMut};
use std::sync::Arc;

use crate::message::{Announced, NodeFlags, Version};
use crate::nodes_conf::{NodeLine, NodesConf};
use crate::rng::Rng;
use crate::{BUS_PORT_OFFSET, NodeId, Now, SLOT_COUNT, Slot, SlotSet};

/// Names a node in the [`Table`]. Valid until that node is removed; the table itself forgets it everywhere then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PeerKey(u32);

/// Where a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Addr {
    pub(super) ip: Option<IpAddr>,
    pub(super) port: u16,
    pub(super) bus_port: u16,
}

impl Addr {
    pub(super) const UNKNOWN: Self = Self {
        ip: None,
        port: 0,
        bus_port: 0,
    };

    /// An address whose bus port may be unsaid (0): then it follows from the port for clients.
    pub(super) fn new(ip: Option<IpAddr>, port: u16, bus_port: u16) -> Self {
        let bus_port = if bus_port == 0 && port != 0 {
            port.saturating_add(BUS_PORT_OFFSET)
        } else {
            bus_port
        };
        Self { ip, port, bus_port }
    }
}

/// A node as this node sees it; "myself" is one of them. Times are on the monotonic clock, except where a pair says more.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    pub(super) id: NodeId,
    pub(super) flags: NodeFlags,
    pub(super) addr: Addr,
    /// Where another node answered in its place, and when.
    pub(super) not_at: Option<(Addr, u64)>,
    /// A handshake that looks for a node of this cluster: a stranger is not taken in.
    pub(super) is_probe: bool,
    /// Number of the newest link that it dialled to us.
    pub(super) inbound: Option<u64>,
    pub(super) created_ms: u64,
    pub(super) config_epoch: u64,
    /// What it announces of itself.
    pub(super) announced: Announced,
    /// The other port for clients: the one with TLS where the bus has none, or the other way round; 0: none.
    pub(super) other_port: u16,
    /// Which nodes copy one master. Drawn by chance until the node says it, and a replica's is its master's.
    pub(super) shard: NodeId,
    /// When the last link that it dialled to us ended, or the node was added.
    pub(super) no_inbound_since_ms: u64,
    /// When we last sent it a MEET.
    pub(super) meet_sent_ms: u64,
    slots: Arc<SlotSet>,
    pub(super) master: Option<PeerKey>,
    replicas: Vec<PeerKey>,
    /// When the ping was sent that is not answered yet.
    pub(super) ping_sent: Option<Now>,
    pub(super) pong_received: Option<Now>,
    /// When any packet of it came last, over whatever link.
    pub(super) heard_ms: u64,
    pub(super) told: Told,
    pub(super) failed_ms: u64,
    pub(super) repl_offset: u64,
    pub(super) orphaned_since_ms: Option<u64>,
    /// Who says that it is down, and since when we have that news.
    pub(super) reports: BTreeMap<PeerKey, u64>,
    /// Number of the link that we dialled to it.
    pub(super) link: Option<u64>,
    /// When we dialled it last.
    pub(super) dialled_ms: u64,
    /// The bus version it was heard to speak.
    pub(super) version: Option<Version>,
    /// The bus version to try while none was heard: nodes of later versions hang up on packets of version 0.
    pub(super) version_guess: Option<Version>,
}

impl Peer {
    /// How the log calls it: its id, and its human name or else its address.
    pub(super) fn label(&self) -> String {
        let id = self.id;
        match (self.announced.nodename.as_str(), self.addr.ip) {
            (name, _) if !name.is_empty() => format!("{id} ({name})"),
            (_, Some(ip)) => format!("{id} ({})", std::net::SocketAddr::new(ip, self.addr.port)),
            (_, None) => format!("{id} (:{})", self.addr.port),
        }
    }

    fn new(now: Now, id: NodeId, flags: NodeFlags, addr: Addr, shard: NodeId) -> Self {
        Self {
            id,
            flags,
            addr,
            not_at: None,
            is_probe: false,
            inbound: None,
            created_ms: now.mono_ms,
            config_epoch: 0,
            announced: Announced::default(),
            other_port: 0,
            shard,
            no_inbound_since_ms: now.mono_ms,
            meet_sent_ms: 0,
            slots: Arc::default(),
            master: None,
            replicas: Vec::new(),
            ping_sent: None,
            pong_received: None,
            heard_ms: 0,
            told: Told::default(),
            failed_ms: 0,
            repl_offset: 0,
            orphaned_since_ms: None,
            reports: BTreeMap::new(),
            link: None,
            dialled_ms: 0,
            version: None,
            version_guess: None,
        }
    }

    pub(super) fn is(&self, flags: NodeFlags) -> bool {
        self.flags.has(flags)
    }

    pub(super) fn is_master(&self) -> bool {
        self.is(NodeFlags::MASTER)
    }

    pub(super) fn set(&mut self, flags: NodeFlags) {
        self.flags = self.flags.with(flags);
    }

    pub(super) fn clear(&mut self, flags: NodeFlags) {
        self.flags = self.flags.without(flags);
    }

    pub(super) fn slots(&self) -> &Arc<SlotSet> {
        &self.slots
    }

    pub(super) fn replicas(&self) -> &[PeerKey] {
        &self.replicas
    }
}

/// What others tell of a node's answers; Unix milliseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    /// When one of them has heard it last.
    pub(super) heard: u64,
    /// Since when one of them waits for it, as far as that is long. Only what was heard later counts.
    pub(super) waiting: u64,
}

/// The map.
#[derive(Debug)]
pub(super) struct Table {
    entries: Vec<Option<Peer>>,
    free: Vec<PeerKey>,
    by_id: BTreeMap<NodeId, PeerKey>,
    /// All keys in no particular order, to draw one by chance.
    alive: Vec<PeerKey>,
    myself: PeerKey,
    owners: Box<[Option<PeerKey>]>,
    /// Slots that their owner no longer claims: they stay with it until somebody else does.
    disowned: SlotSet,
    /// Slots that this node hands over, and to whom.
    pub(super) migrating: BTreeMap<Slot, PeerKey>,
    /// Slots that this node takes over, and from whom.
    pub(super) importing: BTreeMap<Slot, PeerKey>,
    pub(super) awaited: Awaited,
    handshakes: usize,
    /// Grows whenever a slot changes its owner or a node its master.
    pub(super) changes: u64,
}

impl Table {
    /// A node alone in the world.
    pub(super) fn fresh(now: Now, id: NodeId, shard: NodeId, port: u16) -> Self {
        let flags = NodeFlags::MYSELF.with(NodeFlags::MASTER);
        let me = Peer::new(now, id, flags, Addr::new(None, port, 0), shard);
        let myself = PeerKey(0);
        Self {
            entries: vec![Some(me)],
            free: Vec::new(),
            by_id: BTreeMap::from([(id, myself)]),
            alive: vec![myself],
            myself,
            owners: vec![None; usize::from(SLOT_COUNT)].into_boxed_slice(),
            disowned: SlotSet::new(),
            migrating: BTreeMap::new(),
            importing: BTreeMap::new(),
            awaited: Awaited::new(),
            handshakes: 0,
            changes: 0,
        }
    }

    /// The map of a nodes.conf. The file has been checked: one "myself", every id described, no slot twice.
    pub(super) fn restore(now: Now, saved: &NodesConf, port: u16, rng: &mut Rng) -> Self {
        let myself = saved
            .nodes
            .iter()
            .find(|line| line.flags.has(NodeFlags::MYSELF));
        let mut table = Self::fresh(
            now,
            myself.map_or_else(|| NodeId::random(rng), |line| line.id),
            NodeId::random(rng),
            port,
        );
        for line in &saved.nodes {
            if line.flags.has(NodeFlags::HANDSHAKE) {
                continue;
            }
            let mut addr = Addr::new(line.ip, line.port, line.bus_port);
            let key = if line.id == table.me().id {
                addr = Addr::new(line.ip, port, 0);
                table.myself
            } else {
                let shard = NodeId::random(rng);
                table.insert(Peer::new(now, line.id, NodeFlags::default(), addr, shard))
            };
            table.restore_peer(now, key, line, addr);
        }
        for line in &saved.nodes {
            let (Some(key), master) = (
                table.find(line.id),
                line.master.and_then(|id| table.find(id)),
            ) else {
                continue;
            };
            if let Some(master) = master {
                table.attach_replica(master, key);
            }
            let open = |list: &[(Slot, NodeId)]| -> BTreeMap<Slot, PeerKey> {
                list.iter()
                    .filter_map(|(slot, id)| Some((*slot, table.find(*id)?)))
                    .collect()
            };
            if key == table.myself {
                (table.migrating, table.importing) = (open(&line.migrating), open(&line.importing));
            }
        }
        table
    }

    fn restore_peer(&mut self, now: Now, key: PeerKey, line: &NodeLine, addr: Addr) {
        let peer = &mut self[key];
        // A line with both roles, or none, must not make a node that is both.
        let role = if line.flags.has(NodeFlags::SLAVE) {
            NodeFlags::SLAVE
        } else {
            NodeFlags::MASTER
        };
        peer.flags = line
            .flags
            .without(NodeFlags::MASTER.with(NodeFlags::SLAVE))
            .with(role);
        if line.flags.has(NodeFlags::NOADDR) {
            peer.set(NodeFlags::FAIL);
        } else if peer.is(NodeFlags::FAIL) {
            // It may have come back since: no replica takes its place unless a majority says so today.
            peer.clear(NodeFlags::FAIL);
            peer.set(NodeFlags::PFAIL);
        }
        peer.addr = addr;
        peer.config_epoch = line.config_epoch;
        peer.announced.clone_from(&line.announced);
        peer.other_port = line.tls_port;
        peer.shard = line.shard.unwrap_or(peer.shard);
        peer.failed_ms = now.mono_ms;
        // The times in the file are of another life: what was under way then starts now.
        peer.ping_sent = (line.ping_sent != 0).then_some(now);
        peer.pong_received = (line.pong_received != 0).then_some(now);
        for slot in line.slots.iter() {
            self.set_owner(slot, Some(key));
        }
    }

    pub(super) fn myself(&self) -> PeerKey {
        self.myself
    }

    pub(super) fn me(&self) -> &Peer {
        &self[self.myself]
    }

    pub(super) fn me_mut(&mut self) -> &mut Peer {
        let myself = self.myself;
        &mut self[myself]
    }

    /// Number of nodes, this one and those in handshake included.
    pub(super) fn len(&self) -> usize {
        self.by_id.len()
    }

    /// Number of nodes in handshake.
    pub(super) fn handshakes(&self) -> usize {
        self.handshakes
    }

    pub(super) fn find(&self, id: NodeId) -> Option<PeerKey> {
        self.by_id.get(&id).copied()
    }

    /// All nodes by id.
    pub(super) fn peers(&self) -> impl Iterator<Item = (PeerKey, &Peer)> {
        self.by_id.values().map(|key| (*key, &self[*key]))
    }

    /// The keys of all nodes by id, to walk the table while changing it.
    pub(super) fn keys(&self) -> Vec<PeerKey> {
        self.by_id.values().copied().collect()
    }

    /// One node by chance, this one included.
    pub(super) fn any(&self, rng: &mut Rng) -> PeerKey {
        self.alive
            .get(rng.index(self.alive.len()))
            .copied()
            .unwrap_or(self.myself)
    }

    /// Adds a node in handshake under an id drawn by chance.
    pub(super) fn add_handshake(
        &mut self,
        now: Now,
        id: NodeId,
        flags: NodeFlags,
        addr: Addr,
        shard: NodeId,
    ) -> PeerKey {
        self.handshakes += 1;
        let flags = flags.with(NodeFlags::HANDSHAKE);
        self.insert(Peer::new(now, id, flags, addr, shard))
    }

    /// Adds a node whose name is known: another one told it.
    pub(super) fn add_known(
        &mut self,
        now: Now,
        id: NodeId,
        flags: NodeFlags,
        addr: Addr,
        shard: NodeId,
    ) -> PeerKey {
        let mut peer = Peer::new(now, id, flags, addr, shard);
        peer.failed_ms = now.mono_ms;
        self.insert(peer)
    }

    /// Puts a node, and the replicas that it has, into a shard. True if that is news.
    pub(super) fn set_shard(&mut self, key: PeerKey, shard: NodeId) -> bool {
        let mut news = std::mem::replace(&mut self[key].shard, shard) != shard;
        for replica in self[key].replicas.clone() {
            news |= std::mem::replace(&mut self[replica].shard, shard) != shard;
        }
        news
    }

    /// Ends a handshake: the node gets its real name and role.
    pub(super) fn end_handshake(&mut self, key: PeerKey, id: NodeId, role: NodeFlags) {
        self.handshakes = self.handshakes.saturating_sub(1);
        self.rename(key, id);
        let peer = &mut self[key];
        peer.clear(NodeFlags::HANDSHAKE.with(NodeFlags::MEET));
        peer.set(role);
    }

    /// Gives a node another id. The new id must be free.
    pub(super) fn rename(&mut self, key: PeerKey, id: NodeId) {
        let old = std::mem::replace(&mut self[key].id, id);
        self.by_id.remove(&old);
        self.by_id.insert(id, key);
        self.open_awaited(key);
    }

    /// Forgets a node wherever it is mentioned. "Myself" stays.
    pub(super) fn remove(&mut self, key: PeerKey) {
        if key == self.myself {
            return;
        }
        for slot in Arc::clone(&self[key].slots).iter() {
            self.set_owner(slot, None);
        }
        self.migrating.retain(|_, to| *to != key);
        self.importing.retain(|_, from| *from != key);
        self.detach_replica(key);
        for replica in std::mem::take(&mut self[key].replicas) {
            self[replica].master = None;
        }
        for other in self.entries.iter_mut().flatten() {
            other.reports.remove(&key);
        }
        if self[key].is(NodeFlags::HANDSHAKE) {
            self.handshakes = self.handshakes.saturating_sub(1);
        }
        let id = self[key].id;
        self.by_id.remove(&id);
        self.alive.retain(|other| *other != key);
        self.entries[key.0 as usize] = None;
        self.free.push(key);
    }

    pub(super) fn owner(&self, slot: Slot) -> Option<PeerKey> {
        self.owners[slot.index()]
    }

    pub(super) fn set_owner(&mut self, slot: Slot, owner: Option<PeerKey>) {
        if let Some(old) = self.owners[slot.index()] {
            Arc::make_mut(&mut self[old].slots).remove(slot);
        }
        if let Some(new) = owner {
            Arc::make_mut(&mut self[new].slots).insert(slot);
        }
        self.changes += u64::from(self.owners[slot.index()] != owner);
        self.owners[slot.index()] = owner;
        self.disowned.remove(slot);
    }

    /// Whether the owner of a slot has been heard to claim it no longer.
    pub(super) fn is_disowned(&self, slot: Slot) -> bool {
        self.disowned.contains(slot)
    }

    /// Takes down which of the slots of a node it does not claim any more.
    pub(super) fn note_claims(&mut self, key: PeerKey, claims: &SlotSet) {
        let slots = Arc::clone(&self[key].slots);
        for slot in slots.iter() {
            if claims.contains(slot) {
                self.disowned.remove(slot);
            } else {
                self.disowned.insert(slot);
            }
        }
    }

    /// Makes `replica` a replica of `master`, on both sides.
    pub(super) fn attach_replica(&mut self, master: PeerKey, replica: PeerKey) {
        if master == replica {
            return;
        }
        self.detach_replica(replica);
        self[replica].master = Some(master);
        self.changes += 1;
        // Replicas of its own follow by themselves, and are to notice that they leave their shard.
        self[replica].shard = self[master].shard;
        // In the order of their names, so that all nodes tell them in the same one.
        let id = self[replica].id;
        let replicas = &self[master].replicas;
        let place = replicas.partition_point(|other| self[*other].id < id);
        self[master].replicas.insert(place, replica);
        self[master].set(NodeFlags::MIGRATE_TO);
    }

    /// Leaves a replica without a master, on both sides.
    pub(super) fn detach_replica(&mut self, replica: PeerKey) {
        if let Some(master) = self[replica].master.take() {
            self.changes += 1;
            let master = &mut self[master];
            master.replicas.retain(|other| *other != replica);
            if master.replicas.is_empty() {
                master.clear(NodeFlags::MIGRATE_TO);
            }
        }
    }

    /// Whether a known node dialled this link to us.
    pub(super) fn is_inbound(&self, number: u64) -> bool {
        let mut peers = self.entries.iter().flatten();
        peers.any(|peer| peer.inbound == Some(number))
    }

    /// A link that was dialled to us has ended.
    pub(super) fn forget_inbound(&mut self, number: u64, now_ms: u64) {
        let mut peers = self.entries.iter_mut().flatten();
        if let Some(peer) = peers.find(|peer| peer.inbound == Some(number)) {
            peer.inbound = None;
            peer.no_inbound_since_ms = now_ms;
        }
    }

    /// Replicas of a node that are not FAIL.
    pub(super) fn working_replicas(&self, master: PeerKey) -> usize {
        self[master]
            .replicas
            .iter()
            .filter(|key| !self[**key].is(NodeFlags::FAIL))
            .count()
    }

    fn insert(&mut self, peer: Peer) -> PeerKey {
        let id = peer.id;
        let key = match self.free.pop() {
            Some(key) => {
                self.entries[key.0 as usize] = Some(peer);
                key
            }
            None => {
                // Handshakes are bounded and so is what nodes.conf can name: far from 2^32.
                let key = PeerKey(u32::try_from(self.entries.len()).unwrap_or(u32::MAX));
                self.entries.push(Some(peer));
                key
            }
        };
        self.by_id.insert(id, key);
        self.alive.push(key);
        self.open_awaited(key);
        key
    }
}

impl Index<PeerKey> for Table {
    type Output = Peer;

    #[expect(
        clippy::expect_used,
        reason = "remove() takes a key out of every place that holds one"
    )]
    fn index(&self, key: PeerKey) -> &Peer {
        self.entries[key.0 as usize]
            .as_ref()
            .expect("a key outlived its node")
    }
}

impl IndexMut<PeerKey> for Table {
    #[expect(
        clippy::expect_used,
        reason = "remove() takes a key out of every place that holds one"
    )]
    fn index_mut(&mut self, key: PeerKey) -> &mut Peer {
        self.entries[key.0 as usize]
            .as_mut()
            .expect("a key outlived its node")
    }
}

/// Which way the keys of an open slot go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// To another node.
    Out,
    /// From another node to this one.
    In,
}

/// Open slots whose other end is not known yet.
pub(super) type Awaited = BTreeMap<(Slot, Way), NodeId>;
