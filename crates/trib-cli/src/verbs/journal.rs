//! What a reshard meant to do, kept in the cluster itself until it is done, so that the same command goes on where
//! it was stopped: by an interrupt, a kill, or a failure of the machine it ran on.
//!
//! It is a string with an expiry, under a name of the target's. Slots that are at the target by now need not move
//! any more; so nothing has to be written while slots move.

use client::Command;

use crate::plan::Move;
use crate::slots::key_slot;
use crate::snapshot::NodeId;
use crate::{App, Cluster, Error, SlotSet};

/// How long an unfinished reshard is remembered, in seconds.
const REMEMBERED: u32 = 7 * 24 * 3600;

/// The journal of one reshard.
#[derive(Debug)]
pub(super) struct Journal {
    key: String,
    /// What the command asked for: only the same command goes on.
    request: String,
}

impl Journal {
    pub(super) fn new(target: &NodeId, sources: &[NodeId], count: u16) -> Self {
        let mut sources: Vec<&str> = sources.iter().map(NodeId::as_str).collect();
        sources.sort_unstable();
        Self {
            key: format!("trib:reshard:{target}"),
            request: format!("{count} slots from {}", sources.join(",")),
        }
    }

    /// What is left of the same request, if one was begun and not ended.
    pub(super) async fn rest(
        &self,
        cluster: &mut Cluster,
        sources: &[NodeId],
        target: &NodeId,
    ) -> Result<Option<Vec<Move>>, Error> {
        let Some(owner) = self.owner(cluster) else {
            return Ok(None);
        };
        let get = Command::from(["GET", &self.key]);
        let replies = cluster.pipeline(&owner, [get]).await?;
        let text = replies
            .first()
            .and_then(|reply| reply.as_str())
            .unwrap_or_default();
        let Some(planned) = self.read(text) else {
            return Ok(None);
        };
        let mut moves = Vec::new();
        for id in sources {
            let slots = cluster
                .snapshot
                .node(id)
                .map(|node| node.slots.clone())
                .unwrap_or_default();
            let left = slots.iter().filter(|slot| planned.contains(*slot));
            moves.extend(left.map(|slot| Move {
                slot,
                source: id.clone(),
                target: target.clone(),
            }));
        }
        Ok((!moves.is_empty()).then_some(moves))
    }

    /// Notes what is about to be done.
    pub(super) async fn begin(&self, app: &mut App, cluster: &mut Cluster, moves: &[Move]) {
        let slots: SlotSet = moves.iter().map(|entry| entry.slot).collect();
        let text = format!("{}: {slots}", self.request);
        let set = Command::from(["SET", &self.key, &text, "EX", &REMEMBERED.to_string()]);
        self.tell(app, cluster, set).await;
    }

    /// Forgets it.
    pub(super) async fn end(&self, app: &mut App, cluster: &mut Cluster) {
        self.tell(app, cluster, Command::from(["DEL", &self.key]))
            .await;
    }

    /// A journal that cannot be kept is no reason not to move slots.
    async fn tell(&self, app: &mut App, cluster: &mut Cluster, command: Command) {
        let Some(owner) = self.owner(cluster) else {
            return;
        };
        if let Err(error) = cluster.query(&owner, command).await {
            let line =
                format!("[WARNING] The same command would not go on where it stops: {error}");
            app.console.line(&line);
        }
    }

    fn owner(&self, cluster: &Cluster) -> Option<NodeId> {
        let slot = key_slot(self.key.as_bytes());
        cluster.snapshot.owners(slot).into_iter().next()
    }

    /// The slots of a journal of the same request.
    fn read(&self, text: &str) -> Option<SlotSet> {
        let slots = text.strip_prefix(&self.request)?.strip_prefix(": ")?;
        SlotSet::parse(slots)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_same_request_goes_on() {
        let [a, b, t] = ["a", "b", "f"].map(NodeId::new);
        let journal = Journal::new(&t, &[a.clone(), b.clone()], 9);
        let read = |text: &str| journal.read(text).map(|slots| slots.to_string());
        assert_eq!(read("9 slots from a,b: 0-4,7"), Some("0-4,7".into()));
        for other in [
            "",
            "8 slots from a,b: 1",
            "9 slots from a: 1",
            "9 slots from a,b: x",
        ] {
            assert_eq!(read(other), None, "{other}");
        }
        let same = Journal::new(&t, &[b, a], 9);
        assert_eq!((same.key, same.request), (journal.key, journal.request));
    }
}
