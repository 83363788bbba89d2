//! Who decides which server is a primary: an operator, sentinels, or the nodes of a cluster themselves. And what must hold whenever
//! another one becomes a primary.

use std::collections::{BTreeMap, BTreeSet};

use super::checks::{View, shown};
use super::client::{KEYS, key_of};
use super::group::{Kind, SENTINELS};
use super::process::address;
use super::run::{Run, TICK_MS};
use super::{PORT, Process};
use crate::sim::Scenario as _;

/// A cluster forms within this time.
const FORMING_MS: u64 = 20_000;

impl Run {
    /// Roles are seen to, by whoever does that in this run.
    ///
    /// # Errors
    /// What WAIT had confirmed is not there.
    pub(super) fn keep_roles(&mut self) -> Result<(), String> {
        match self.group.kind {
            Kind::Single | Kind::Operated => self.operate(),
            Kind::Watched => self.follow_sentinels(),
            Kind::Cluster => self.look_at_nodes(),
        }
    }

    /// A server was made the primary instead of another one.
    fn succeed(&mut self, old: usize, new: usize, candidates: &[usize]) -> Result<(), String> {
        self.primary = new;
        self.failovers += 1;
        self.check_confirmed(old, new, candidates)
    }

    /// What WAIT confirmed is at the new primary, if enough of those who may have confirmed it could be chosen.
    fn check_confirmed(
        &mut self,
        old: usize,
        new: usize,
        candidates: &[usize],
    ) -> Result<(), String> {
        let others = self.group.replicas as u64;
        for (at, confirmed) in self.checks.take_confirmed(old) {
            let good = candidates
                .iter()
                .filter(|host| confirmed.generations[**host] == self.generation_before(**host, new))
                .count() as u64;
            let same_primary = confirmed.generations[old] == self.generation(old);
            // Of any so many others one at least is among those that could be chosen.
            if !same_primary || confirmed.replicas + good <= others {
                continue;
            }
            let held = self.held(new, at);
            if held.is_some_and(|held| held < Some(confirmed.value)) {
                return Err(format!(
                    "WAIT told client {} that {} replicas have {}, and the new primary, host {new}, has {}",
                    at.0,
                    confirmed.replicas,
                    shown(Some(confirmed.value)),
                    shown(held.flatten())
                ));
            }
        }
        Ok(())
    }

    /// The generation that a server had before it was made the primary.
    fn generation_before(&self, host: usize, new: usize) -> u64 {
        self.generation(host) - u64::from(host == new)
    }

    // ---- an operator -------------------------------------------------------------------------------------------------

    fn operate(&mut self) -> Result<(), String> {
        let primary = self.primary;
        if let Some(view) = self.view(primary) {
            if !view.loading && view.is_primary {
                self.stream = view.stream;
            }
            self.down_since_ms = None;
        } else if self.group.replicas > 0 {
            let now_ms = self.world.now_ms();
            let since_ms = *self.down_since_ms.get_or_insert(now_ms);
            if now_ms - since_ms >= self.patience_ms {
                self.fail_over()?;
            }
        }
        self.give_roles();
        Ok(())
    }

    fn give_roles(&mut self) {
        let primary = self.primary;
        self.known_primaries[0].set(primary);
        let ip = address(primary).ip().to_string();
        for host in self.servers() {
            self.setups[host]
                .follows
                .set((host != primary).then_some(primary));
            let Some(view) = self.view(host) else {
                continue;
            };
            if host == primary && !view.is_primary {
                self.ask(host, &["REPLICAOF", "NO", "ONE"]);
            } else if host != primary && (view.is_primary || view.follows != ip) {
                self.ask(host, &["REPLICAOF", &ip, &PORT.to_string()]);
            }
        }
    }

    /// The primary is gone: of the replicas that follow its stream the one that is furthest becomes the new one.
    fn fail_over(&mut self) -> Result<(), String> {
        let old = self.primary;
        let mut candidates = Vec::new();
        for host in self.servers().filter(|host| *host != old) {
            let view = self.view(host);
            candidates.extend(
                view.filter(|view| view.stream == self.stream && !view.loading && !view.is_primary)
                    .map(|view| (view.offset, host)),
            );
        }
        let Some(&(_, new)) = candidates.iter().max_by_key(|(offset, _)| *offset) else {
            return Ok(());
        };
        self.world
            .say(|| format!("host {new} is to be the primary instead of {old}: {candidates:?}"));
        self.ask(new, &["REPLICAOF", "NO", "ONE"]);
        self.down_since_ms = None;
        let candidates: Vec<usize> = candidates.into_iter().map(|(_, host)| host).collect();
        self.succeed(old, new, &candidates)
    }

    // ---- sentinels ---------------------------------------------------------------------------------------------------

    /// Each client goes to the primary that its sentinel names.
    fn follow_sentinels(&mut self) -> Result<(), String> {
        let mut newest = None;
        for (index, host) in self.watchers().enumerate() {
            let named = self.named_by(host);
            if let Some((_, _, primary)) = named {
                self.known_primaries[index].set(primary);
            }
            newest = newest.max(named);
        }
        match newest {
            Some((epoch, _, new)) if epoch > self.config_epoch => {
                self.config_epoch = epoch;
                self.succeed(self.primary, new, &[new])
            }
            _ => Ok(()),
        }
    }

    /// The epoch of a sentinel's configuration, how many nodes it knows, and its primary.
    fn named_by(&self, host: usize) -> Option<(u64, (usize, usize), usize)> {
        let sentinel = self.world.core(host).and_then(Process::sentinel)?;
        let seen = sentinel.monitor.snapshot().saved.masters.pop()?;
        let primary = self.world.host_at(seen.addr.ip?)?;
        let known = (seen.sentinels.len(), seen.slaves.len());
        Some((seen.config_epoch, known, primary))
    }

    /// What keeps the sentinels from being at rest: all run, know all, and name the same primary.
    fn unrest_of_sentinels(&self) -> Option<String> {
        let mut all = BTreeSet::new();
        for host in self.watchers() {
            let sentinel = self.world.core(host).and_then(Process::sentinel);
            let Some(sentinel) = sentinel else {
                return Some(format!("sentinel {host} is down"));
            };
            if let Some(trouble) = sentinel.monitor.trouble() {
                return Some(format!("sentinel {host}: {trouble}"));
            }
            all.insert(self.named_by(host));
        }
        let known = (SENTINELS - 1, self.group.replicas);
        let agreed = all.len() == 1
            && all
                .iter()
                .flatten()
                .all(|(_, knows, primary)| *knows == known && *primary == self.primary);
        (!agreed && self.group.sentinels() > 0).then(|| format!("sentinels name {all:?}"))
    }

    // ---- a cluster ---------------------------------------------------------------------------------------------------

    /// Lets all find one another, before anything goes wrong.
    ///
    /// # Errors
    /// A violation, or that they do not.
    pub fn form(&mut self) -> Result<(), String> {
        if self.group.is_cluster() {
            self.begin_cluster();
        }
        let end_ms = self.world.now_ms() + FORMING_MS;
        while self.world.now_ms() < end_ms {
            self.run_to(self.world.now_ms() + TICK_MS)?;
            if self.is_attached() && self.trouble().is_none() {
                return Ok(());
            }
        }
        let trouble = self.trouble();
        Err(format!("the group does not form: {trouble:?}"))
    }

    /// What a user does to make a cluster of nodes.
    fn begin_cluster(&mut self) {
        let primaries = self.group.primaries;
        for host in 0..primaries {
            let first = (host * 16_384 / primaries).to_string();
            let last = ((host + 1) * 16_384 / primaries - 1).to_string();
            let epoch = (host + 1).to_string();
            self.ask(host, &["CLUSTER", "SET-CONFIG-EPOCH", &epoch]);
            self.ask(host, &["CLUSTER", "ADDSLOTSRANGE", &first, &last]);
        }
        for host in 1..self.setups.len() {
            let ip = address(host).ip().to_string();
            self.ask(0, &["CLUSTER", "MEET", &ip, &PORT.to_string()]);
        }
    }

    /// Whether each node that is to be a replica has taken its primary.
    fn is_attached(&mut self) -> bool {
        let primaries = self.group.primaries;
        let mut attached = true;
        let servers = self.setups.len();
        let replicas = if self.group.is_cluster() {
            primaries..servers
        } else {
            servers..servers
        };
        for host in replicas {
            let id = self.id_of(host % primaries).unwrap_or_default();
            let answer = self.ask(host, &["CLUSTER", "REPLICATE", &id]);
            attached &= answer.is_some_and(|answer| answer.starts_with('+'));
        }
        attached
    }

    /// The name of a node.
    pub fn id_of(&mut self, host: usize) -> Option<String> {
        let answer = self.ask(host, &["CLUSTER", "MYID"])?;
        answer.lines().nth(1).map(str::to_owned)
    }

    /// A replica that has become a primary has what WAIT confirmed at the one that it followed.
    fn look_at_nodes(&mut self) -> Result<(), String> {
        for host in self.servers() {
            let Some(view) = self.view(host) else {
                continue;
            };
            if !view.is_primary {
                let ip = view.follows.parse().ok();
                self.followed[host] = ip.and_then(|ip| self.world.host_at(ip));
            } else if self.owns_slots(host)
                && let Some(old) = self.followed[host].take()
            {
                self.succeed(old, host, &[host])?;
            }
        }
        if self.moves {
            self.look_at_owners()?;
        }
        Ok(())
    }

    /// A slot that holds keys of a client is to move to another primary, with some of its neighbours.
    pub(super) fn move_slots(&mut self) {
        let client = self.rng.between(0, self.clients - 1);
        let Some((from, _)) = self.owners.get(&client).cloned() else {
            return;
        };
        let to = self.rng.index(self.setups.len());
        if to == from || !self.owns_slots(to) {
            return;
        }
        let slot = cluster_bus::key_slot(key_of(client, 0).as_bytes()).number();
        let last = (slot + u16::try_from(self.rng.between(0, 300)).unwrap_or(0)).min(16_383);
        let Some(id) = self.id_of(to) else { return };
        let (first, last) = (slot.to_string(), last.to_string());
        let answer = self.ask(
            from,
            &[
                "CLUSTER",
                "MIGRATESLOTS",
                "SLOTSRANGE",
                &first,
                &last,
                "NODE",
                &id,
            ],
        );
        self.world
            .say(|| format!("slots {first} to {last} move from host {from} to {to}: {answer:?}"));
        if answer.is_some_and(|answer| answer.starts_with('+')) {
            self.moved.insert((client, from, to));
        }
    }

    /// Slots move whole: who serves a client's keys now has all that the one before had told of.
    fn look_at_owners(&mut self) -> Result<(), String> {
        for client in 0..self.clients {
            let mut servers = self.servers();
            let Some(owner) = servers
                .find(|host| self.owns_slots(*host) && self.held(*host, (client, 0)).is_some())
            else {
                continue;
            };
            let generations = self.generations();
            let before = self.owners.insert(client, (owner, generations.clone()));
            let Some((old, then)) = before.filter(|(old, _)| *old != owner) else {
                continue;
            };
            let was_moved = self.moved.remove(&(client, old, owner));
            let healthy = [old, owner]
                .iter()
                .all(|host| then[*host] == generations[*host]);
            if was_moved && healthy {
                self.compare_owners(client, old, owner)?;
            }
            let from = |&(of, from, _): &(u64, usize, usize)| (of, from) == (client, old);
            if was_moved || self.moved.iter().any(from) {
                self.checks.hand_over(client, old);
            }
        }
        Ok(())
    }

    /// The slot of a client has moved, and both nodes were up all the time.
    fn compare_owners(&mut self, client: u64, old: usize, owner: usize) -> Result<(), String> {
        self.moves_done += 1;
        for key in 0..KEYS {
            let at = (client, key);
            let floor = self.checks.floor(at, old, self.generation(old));
            let held = self.held(owner, at);
            if held.is_some_and(|held| held < floor) {
                return Err(format!(
                    "host {owner} got the slot of client {client} and holds {}, and host {old} had told of {}",
                    shown(held.flatten()),
                    shown(floor)
                ));
            }
        }
        Ok(())
    }

    /// Whether a node holds itself for a primary that serves slots.
    fn owns_slots(&mut self, host: usize) -> bool {
        let nodes = self.ask(host, &["CLUSTER", "NODES"]).unwrap_or_default();
        let mut lines = nodes.lines();
        lines.any(|line| line.contains("myself,master") && line.split(' ').count() > 8)
    }

    /// What keeps a cluster from being at rest: all nodes see the same owners of all slots, and nobody is down.
    fn unrest_of_nodes(&mut self, host: usize, maps: &mut BTreeSet<Vec<String>>) -> Option<String> {
        let info = self.ask(host, &["CLUSTER", "INFO"]).unwrap_or_default();
        if !info.contains("cluster_state:ok") {
            return Some(format!("host {host}: {info}"));
        }
        let nodes = self.ask(host, &["CLUSTER", "NODES"]).unwrap_or_default();
        let mut map = Vec::new();
        for line in nodes.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let [id, _, flags, master, _, _, epoch, link, slots @ ..] = &words[..] else {
                continue;
            };
            let flags = flags.trim_start_matches("myself,");
            if !["master", "slave"].contains(&flags) || *link != "connected" {
                return Some(format!("host {host} sees {line}"));
            }
            let slots = slots.join(" ");
            map.push(format!("{id} {flags} {master} {epoch} {slots}"));
        }
        map.sort();
        if map.len() != self.setups.len() {
            return Some(format!("host {host} knows {} nodes", map.len()));
        }
        maps.insert(map);
        (maps.len() > 1).then(|| format!("the maps of host {host} and of others differ: {maps:?}"))
    }

    // ---- rest --------------------------------------------------------------------------------------------------------

    /// What keeps all from being at rest: everybody runs and is linked, and all of one stream are at one place of it.
    pub(super) fn trouble(&mut self) -> Option<String> {
        let mut places: BTreeMap<(String, u64), Vec<usize>> = BTreeMap::new();
        let mut maps = BTreeSet::new();
        for host in self.servers() {
            let Some(view) = self.view(host) else {
                return Some(format!("host {host} is down"));
            };
            if let Some(trouble) = self.trouble_with(host, &view) {
                return Some(trouble);
            }
            if self.group.is_cluster()
                && let Some(unrest) = self.unrest_of_nodes(host, &mut maps)
            {
                return Some(unrest);
            }
            let place = (view.stream, view.offset);
            places.entry(place).or_default().push(host);
        }
        if places.len() != self.group.primaries {
            return Some(format!("they are at different places: {places:?}"));
        }
        self.unrest_of_sentinels()
    }

    fn trouble_with(&self, host: usize, view: &View) -> Option<String> {
        let is_misplaced = !self.group.is_cluster() && view.is_primary != (host == self.primary);
        if view.loading || is_misplaced {
            return Some(format!("host {host} is {view:?}"));
        }
        let is_lost = !view.is_primary && !view.linked;
        is_lost.then(|| format!("host {host} has no link to its primary"))
    }
}
