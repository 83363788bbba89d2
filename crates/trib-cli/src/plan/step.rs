//! What a plan is made of: steps.

use std::fmt;

use crate::snapshot::NodeId;
use crate::{Slot, SlotSet};

/// One slot that shall change hands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Move {
    /// Which slot.
    pub slot: Slot,
    /// Who has it, or holds keys of it.
    pub source: NodeId,
    /// Who shall have it.
    pub target: NodeId,
}

/// How slots move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MoveMode {
    /// The owner gives the slot away while clients use it; a key that is already at the target is an error.
    Live,
    /// The same for a move that was interrupted: keys found at the target are replaced.
    Resume,
    /// Keys that lie at a node that is not the owner are brought to the owner. Ownership stays.
    Gather,
}

/// One thing to do, or to tell, or to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Print a line.
    Say(String),
    /// Go on only if the user types `yes`.
    Confirm(String),
    /// The node claims slots that nobody has.
    AddSlots {
        /// Who.
        node: NodeId,
        /// Which.
        slots: SlotSet,
    },
    /// The node claims slots with a new epoch, whoever it believes to be their owner.
    TakeSlots {
        /// Who.
        node: NodeId,
        /// Which.
        slots: SlotSet,
    },
    /// The node gives up a slot without moving anything.
    DropSlot {
        /// Who.
        node: NodeId,
        /// Which.
        slot: Slot,
    },
    /// The node's configuration epoch, where it has none yet; refusals do not matter.
    SetConfigEpoch {
        /// Who.
        node: NodeId,
        /// Which epoch.
        epoch: u64,
    },
    /// The node takes the highest epoch.
    BumpEpoch {
        /// Who.
        node: NodeId,
    },
    /// The replica takes its master's place and slots, without asking anyone.
    TakeOver {
        /// Who.
        node: NodeId,
    },
    /// The node introduces itself to another.
    Meet {
        /// Who.
        node: NodeId,
        /// To whom.
        with: NodeId,
    },
    /// The node becomes a replica.
    Replicate {
        /// Who.
        node: NodeId,
        /// Of whom.
        master: NodeId,
    },
    /// The node closes a slot.
    SetStable {
        /// Who.
        node: NodeId,
        /// Which.
        slot: Slot,
    },
    /// The node opens a slot for receiving.
    SetImporting {
        /// Who.
        node: NodeId,
        /// Which.
        slot: Slot,
        /// From whom.
        from: NodeId,
    },
    /// Slots, or their keys, move.
    Move {
        /// Which, from where, to where.
        moves: Vec<Move>,
        /// How.
        mode: MoveMode,
    },
    /// Wait until the cluster is of one mind about something.
    Await(Condition),
}

/// What can be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// All nodes know each other.
    Joined,
    /// All nodes see the same roles.
    Roles,
    /// All nodes answer for their slots.
    Serving,
    /// All nodes see the same slots at the same owners.
    Agreement,
}

/// A line for `--plan`.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Say(text) => write!(f, "say {text:?}"),
            Self::Confirm(text) => write!(f, "ask {text:?}"),
            Self::AddSlots { node, slots } => write!(f, "{node} claims slots {slots}"),
            Self::TakeSlots { node, slots } => write!(f, "{node} takes slots {slots}"),
            Self::DropSlot { node, slot } => write!(f, "{node} gives up slot {slot}"),
            Self::SetConfigEpoch { node, epoch } => {
                write!(f, "{node} starts with config epoch {epoch}")
            }
            Self::BumpEpoch { node } => write!(f, "{node} takes a new config epoch"),
            Self::TakeOver { node } => write!(f, "{node} takes its master's place"),
            Self::Meet { node, with } => write!(f, "{node} meets {with}"),
            Self::Replicate { node, master } => write!(f, "{node} replicates {master}"),
            Self::SetStable { node, slot } => write!(f, "{node} closes slot {slot}"),
            Self::SetImporting { node, slot, from } => {
                write!(f, "{node} opens slot {slot} for keys of {from}")
            }
            Self::Move { moves, .. } => {
                let slots: SlotSet = moves.iter().map(|entry| entry.slot).collect();
                let Some(first) = moves.first() else {
                    return f.write_str("no slots move");
                };
                write!(
                    f,
                    "{} slots move from {} to {}: {slots}",
                    moves.len(),
                    first.source,
                    first.target
                )
            }
            Self::Await(Condition::Joined) => f.write_str("wait until all nodes know each other"),
            Self::Await(Condition::Roles) => f.write_str("wait until all nodes see the same roles"),
            Self::Await(Condition::Serving) => f.write_str("wait until all nodes serve"),
            Self::Await(Condition::Agreement) => {
                f.write_str("wait until all nodes agree about slots")
            }
        }
    }
}

/// The same move for each slot.
pub(super) fn moves_of(
    slots: impl IntoIterator<Item = Slot>,
    source: &NodeId,
    target: &NodeId,
) -> Vec<Move> {
    let one = |slot| Move {
        slot,
        source: source.clone(),
        target: target.clone(),
    };
    slots.into_iter().map(one).collect()
}
