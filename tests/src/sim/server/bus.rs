//! What nodes of a cluster say to one another, as their packets show it, and what must hold of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use cluster_bus::message::{Body, Message, NodeFlags};
use cluster_bus::{NodeId, Packet, SlotSet, codec};

/// What a node says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A packet leaves that says another current epoch than the one before it, or the first one of this process.
    Said {
        /// Who says it.
        id: NodeId,
        /// The epoch.
        epoch: u64,
    },
    /// A vote leaves.
    Voted {
        /// The voter.
        voter: NodeId,
        /// In which epoch.
        epoch: u64,
    },
    /// A primary says that it owns slots, and did not say so in the packet before.
    Claims {
        /// Who says it.
        id: NodeId,
        /// Its config epoch.
        epoch: u64,
        /// All its slots.
        slots: Arc<SlotSet>,
    },
}

/// Listens to what one process says.
#[derive(Debug, Default)]
pub struct Voice {
    epoch: Option<u64>,
    claim: Option<(u64, Arc<SlotSet>)>,
    /// The last message that it sent.
    last: Option<Message>,
    /// In which epoch it has voted last.
    voted: Option<u64>,
}

impl Voice {
    /// What is new in a packet that leaves.
    pub fn hear(&mut self, bytes: &[u8]) -> Vec<Note> {
        let Ok(Packet::Full(message)) = codec::decode(bytes) else {
            return Vec::new();
        };
        let header = &message.header;
        let (id, epoch) = (header.sender, header.current_epoch);
        let mut notes = Vec::new();
        if self.epoch.replace(epoch) != Some(epoch) {
            notes.push(Note::Said { id, epoch });
        }
        if message.body == Body::FailoverAuthAck {
            self.voted = Some(epoch);
            notes.push(Note::Voted { voter: id, epoch });
        }
        if header.flags.has(NodeFlags::MASTER) && !header.slots.is_empty() {
            let claim = (header.config_epoch, Arc::clone(&header.slots));
            if self.claim.as_ref() != Some(&claim) {
                let (epoch, slots) = claim.clone();
                notes.push(Note::Claims { id, epoch, slots });
                self.claim = Some(claim);
            }
        }
        self.last = Some(*message);
        notes
    }

    /// The vote that a node which counts its votes wrongly would send to a second candidate.
    #[must_use]
    pub fn second_vote(&self, asked: &Packet) -> Option<Vec<u8>> {
        let Packet::Full(asked) = asked else {
            return None;
        };
        let epoch = asked.header.current_epoch;
        if asked.body != Body::FailoverAuthRequest || self.voted != Some(epoch) {
            return None;
        }
        let mut vote = self.last.clone()?;
        vote.body = Body::FailoverAuthAck;
        vote.header.current_epoch = epoch;
        vote.header.message_flags = [0; 3];
        Some(codec::encode(&vote.into()))
    }
}

/// What must hold of what nodes say.
#[derive(Debug, Default)]
pub struct Checks {
    /// Slots move. Their new owner takes an epoch that nobody has voted for, and on the two sides of a split another one may take the
    /// same: that is settled once they hear of each other. In an election's epoch there is never a second one.
    slots_move: bool,
    votes: BTreeSet<(NodeId, u64)>,
    said: BTreeMap<NodeId, u64>,
    /// Config epoch: who owned which slots in it.
    claims: BTreeMap<u64, Vec<(NodeId, Arc<SlotSet>)>>,
}

impl Checks {
    /// Nothing was seen yet.
    #[must_use]
    pub fn new(slots_move: bool) -> Self {
        Self {
            slots_move,
            ..Self::default()
        }
    }

    /// How many votes there were.
    #[must_use]
    pub fn votes(&self) -> usize {
        self.votes.len()
    }

    /// The epochs in which a node has voted so far.
    #[must_use]
    pub fn votes_of(&self, voter: NodeId) -> Vec<u64> {
        let own = self.votes.iter().filter(|(id, _)| *id == voter);
        own.map(|(_, epoch)| *epoch).collect()
    }

    /// Looks at one note.
    ///
    /// # Errors
    /// The invariant that it violates.
    pub fn see(&mut self, note: Note) -> Result<(), String> {
        match note {
            Note::Voted { voter, epoch } if !self.votes.insert((voter, epoch)) => {
                Err(format!("node {voter} voted twice in epoch {epoch}"))
            }
            Note::Voted { epoch, .. } => self.alone_in_election(epoch),
            Note::Said { id, epoch } => match self.said.insert(id, epoch) {
                Some(before) if before > epoch => Err(format!(
                    "node {id} said epoch {before} and then only {epoch}: it forgot what it had said"
                )),
                _ => Ok(()),
            },
            Note::Claims { id, epoch, slots } => {
                self.claims(id, epoch, slots)?;
                self.alone_in_election(epoch)
            }
        }
    }

    /// Who claims slots in an epoch in which somebody was voted for is the only one.
    fn alone_in_election(&self, epoch: u64) -> Result<(), String> {
        let mut claims = self.claims.get(&epoch).into_iter().flatten();
        let Some((first, _)) = claims.next() else {
            return Ok(());
        };
        match claims.find(|(other, _)| other != first) {
            Some((other, _)) if self.votes.iter().any(|(_, voted)| *voted == epoch) => {
                Err(format!(
                    "nodes {first} and {other} both claim slots in epoch {epoch}, in which there was an election"
                ))
            }
            _ => Ok(()),
        }
    }

    fn claims(&mut self, id: NodeId, epoch: u64, slots: Arc<SlotSet>) -> Result<(), String> {
        let owners = self.claims.entry(epoch).or_default();
        let others = owners
            .iter()
            .filter(|(other, _)| *other != id && !self.slots_move);
        for (other, theirs) in others {
            if let Some(slot) = slots.iter().find(|slot| theirs.contains(*slot)) {
                return Err(format!(
                    "nodes {other} and {id} both own slot {slot} in epoch {epoch}"
                ));
            }
        }
        owners.push((id, slots));
        Ok(())
    }
}
