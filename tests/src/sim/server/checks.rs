//! What must hold of servers and what they told their clients.

use std::collections::BTreeMap;

/// Data may differ in so many comparisons in a row, see [`Checks::differ`].
const PATIENCE: u32 = 4;

/// What a server says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Whether it says that it is a primary.
    pub is_primary: bool,
    /// Whom it follows, if it follows anybody.
    pub follows: String,
    /// Whether it has its primary's stream.
    pub linked: bool,
    /// Whether it loads a dump.
    pub loading: bool,
    /// The name of the stream.
    pub stream: String,
    /// How much of it its data hold.
    pub offset: u64,
}

impl View {
    /// From the text of INFO.
    #[must_use]
    pub fn of(info: &str) -> Self {
        let field = |name: &str| {
            let mut lines = info.lines();
            lines
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .unwrap_or_default()
        };
        let is_primary = field("role") == "master";
        let offset = if is_primary {
            "master_repl_offset"
        } else {
            "slave_repl_offset"
        };
        Self {
            is_primary,
            follows: field("master_host").to_owned(),
            linked: field("master_link_status") == "up",
            loading: field("loading") == "1" || field("async_loading") == "1",
            stream: field("master_replid").to_owned(),
            offset: field(offset).parse().unwrap_or(0),
        }
    }

    /// Whether its data are those of its stream at its offset.
    #[must_use]
    pub fn is_placed(&self) -> bool {
        !self.loading && (self.is_primary || self.linked)
    }
}

/// What a server has told a client about a key, and must not go back behind.
#[derive(Clone, Copy, Debug)]
struct Floor {
    host: usize,
    generation: u64,
    value: u64,
}

/// A value of which WAIT said that replicas have it.
#[derive(Clone, Debug)]
pub struct Confirmed {
    /// At which server.
    pub host: usize,
    /// Which.
    pub value: u64,
    /// How many have it.
    pub replicas: u64,
    /// The generation of each server when that was asked for.
    pub generations: Vec<u64>,
}

/// What clients were told.
#[derive(Debug, Default)]
pub struct Checks {
    /// Whom each client has asked last, and the servers' generations then.
    asked: BTreeMap<u64, (usize, Vec<u64>)>,
    floors: BTreeMap<(u64, u64), Floor>,
    /// By client and key.
    pub confirmed: BTreeMap<(u64, u64), Confirmed>,
    /// The last value of each client and key that was acknowledged, by whom ever.
    pub acknowledged: BTreeMap<(u64, u64), u64>,
    /// How many writes were acknowledged, how many reads were looked at, how many writes WAIT confirmed.
    pub writes: u64,
    /// See above.
    pub reads: u64,
    /// See above.
    pub waits: u64,
    /// How often in a row two servers differed.
    differing: BTreeMap<(usize, usize), u32>,
    /// How often data of two servers were compared at one place of a stream.
    pub compared: u64,
}

impl Checks {
    /// A client asks a server.
    pub fn asked(&mut self, client: u64, host: usize, generations: Vec<u64>) {
        self.asked.insert(client, (host, generations));
    }

    /// The servers' generations when a client asked last.
    #[must_use]
    pub fn since_asked(&self, client: u64) -> Option<&[u64]> {
        self.asked
            .get(&client)
            .map(|(_, generations)| &generations[..])
    }

    /// What WAIT confirmed at a server.
    pub fn take_confirmed(&mut self, host: usize) -> BTreeMap<(u64, u64), Confirmed> {
        let all = std::mem::take(&mut self.confirmed);
        let (taken, kept) = all
            .into_iter()
            .partition(|(_, confirmed)| confirmed.host == host);
        self.confirmed = kept;
        taken
    }

    /// Whether the server has been healthy since it was asked.
    fn is_same(&self, client: u64, host: usize, generation: u64) -> bool {
        let asked = self.asked.get(&client);
        asked.is_some_and(|(asked, then)| *asked == host && then[host] == generation)
    }

    /// Two servers were compared at one place of their stream. Whether they differ, and have done so for long: a primary leaves keys out
    /// of a dump whose time is over and that it has not deleted yet, and deletes them a moment later.
    pub fn differ(&mut self, hosts: (usize, usize), differ: bool) -> bool {
        let count = self.differing.entry(hosts).or_default();
        *count = if differ { *count + 1 } else { 0 };
        *count > PATIENCE
    }

    /// A write was acknowledged.
    pub fn written(&mut self, at: (u64, u64), host: usize, generation: u64, value: u64) {
        self.writes += 1;
        self.acknowledged.insert(at, value);
        if self.is_same(at.0, host, generation) {
            self.raise(at, host, generation, value);
        }
    }

    fn raise(&mut self, at: (u64, u64), host: usize, generation: u64, value: u64) {
        let floor = Floor {
            host,
            generation,
            value,
        };
        self.floors.insert(at, floor);
    }

    /// A client's slot was given to another server. What that one loses this one lacks, too, once the slot comes back.
    pub fn hand_over(&mut self, client: u64, host: usize) {
        self.floors
            .retain(|(of, _), floor| (*of, floor.host) != (client, host));
    }

    /// The least that a read may see of a server in this generation.
    #[must_use]
    pub fn floor(&self, at: (u64, u64), host: usize, generation: u64) -> Option<u64> {
        let floor = self.floors.get(&at)?;
        ((floor.host, floor.generation) == (host, generation)).then_some(floor.value)
    }

    /// A key was read.
    ///
    /// # Errors
    /// It holds something older than what was written, or read, before.
    pub fn read(
        &mut self,
        at: (u64, u64),
        host: usize,
        generation: u64,
        value: Option<u64>,
    ) -> Result<(), String> {
        if !self.is_same(at.0, host, generation) {
            return Ok(());
        }
        self.reads += 1;
        let floor = self.floor(at, host, generation);
        if value < floor {
            return Err(format!(
                "client {} read {} of key {} at host {host}, which had told it of {} before",
                at.0,
                shown(value),
                at.1,
                shown(floor)
            ));
        }
        if let Some(value) = value {
            self.raise(at, host, generation, value);
        }
        Ok(())
    }
}

/// A value's serial number, for people.
#[must_use]
pub fn shown(value: Option<u64>) -> String {
    value.map_or("nothing".to_owned(), |value| {
        (value & 0xFFFF_FFFF).to_string()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_that_comes_back_may_lack_what_was_lost_elsewhere() {
        let (mut checks, generations) = (Checks::default(), vec![1, 1]);
        for (client, key) in [(0, 2), (1, 2)] {
            checks.asked(client, 1, generations.clone());
            checks.written((client, key), 1, 1, 37);
        }
        checks.hand_over(1, 0);
        assert!(checks.read((1, 2), 1, 1, None).is_err());
        checks.hand_over(1, 1);
        assert_eq!(checks.read((1, 2), 1, 1, None), Ok(()));
        assert!(checks.read((0, 2), 1, 1, None).is_err());
    }
}
