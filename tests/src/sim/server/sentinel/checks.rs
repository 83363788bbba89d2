//! What must hold of what sentinels say, after every event.

use std::collections::BTreeMap;

use super::Note;

/// What was seen.
#[derive(Debug, Default)]
pub struct Checks {
    /// Leaves out that sentinels remember the epochs they have said: for runs in which they cannot save.
    pub epochs_may_be_forgotten: bool,
    /// Host and epoch: whom it voted for.
    votes: BTreeMap<(usize, u64), String>,
    /// Epoch: who was elected.
    leaders: BTreeMap<u64, String>,
    /// Config epoch: where the master is.
    configurations: BTreeMap<u64, String>,
    said: BTreeMap<usize, u64>,
}

impl Checks {
    /// How many elections were won.
    #[must_use]
    pub fn elections(&self) -> usize {
        self.leaders.len()
    }

    /// The epochs in which a host has voted so far, and for whom.
    #[must_use]
    pub fn votes_of(&self, host: usize) -> Vec<(u64, String)> {
        let own = self.votes.iter().filter(|((voter, _), _)| *voter == host);
        own.map(|((_, epoch), leader)| (*epoch, leader.clone()))
            .collect()
    }

    /// Looks at one note.
    ///
    /// # Errors
    /// The invariant that it violates.
    pub fn see(&mut self, host: usize, note: &Note) -> Result<(), String> {
        match note {
            Note::Voted { leader, epoch } => {
                let first = self
                    .votes
                    .entry((host, *epoch))
                    .or_insert_with(|| leader.clone());
                if first != leader {
                    return Err(format!(
                        "sentinel {host} voted twice in epoch {epoch}: {first} and {leader}"
                    ));
                }
            }
            Note::Elected { leader, epoch } => {
                let first = self.leaders.entry(*epoch).or_insert_with(|| leader.clone());
                if first != leader {
                    return Err(format!(
                        "two leaders in epoch {epoch}: {first} and {leader}"
                    ));
                }
            }
            Note::Said {
                epoch,
                config: (config_epoch, master),
            } => {
                let first = self
                    .configurations
                    .entry(*config_epoch)
                    .or_insert_with(|| master.clone());
                if first != master {
                    return Err(format!(
                        "two masters in config epoch {config_epoch}: {first} and {master}"
                    ));
                }
                let before = self.said.insert(host, *epoch);
                if before > Some(*epoch) && !self.epochs_may_be_forgotten {
                    return Err(format!(
                        "sentinel {host} said epoch {before:?} and then only {epoch}"
                    ));
                }
            }
            Note::PassedOver(what) => return Err(format!("sentinel {host}: {what}")),
            Note::Log(_) => {}
        }
        Ok(())
    }
}
