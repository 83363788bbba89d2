//! Moving slots as a whole, with all their keys, where both ends can (CLUSTER MIGRATESLOTS): the source sends them to the target by
//! itself, and nobody sees anything of it before all is there. Here it is only started, in parts, and watched.

use std::sync::atomic::Ordering;
use std::time::Duration;

use client::{Command, Connection, Value};

use crate::mover::{Event, Mover};
use crate::plan::MoveMode;
use crate::{Error, Slot};

/// Slots that are handed over at once.
const PART_SLOTS: usize = 1024;
/// How often a migration is looked at.
const LOOK: Duration = Duration::from_millis(50);

/// What a migration has come to.
#[derive(Debug, PartialEq, Eq)]
enum Stand {
    Going,
    Done,
    /// It has ended, and all is as it was before.
    Failed(String),
}

impl Mover {
    /// Whether the slots can go whole: both ends know how, and nothing is asked for that only a move key by key can do.
    pub(crate) async fn moves_whole(&mut self) -> bool {
        if self.options.mode != MoveMode::Live
            || self.options.pipeline.is_some()
            || self.options.pace.is_limited()
        {
            return false;
        }
        knows(&mut self.source.link).await && knows(&mut self.target.link).await
    }

    /// Hands slots over, a part at a time, until asked to stop; how many. What fails leaves its part where it was: the rest is to be
    /// moved otherwise.
    ///
    /// # Errors
    /// A connection fails.
    pub(crate) async fn run_whole(&mut self, slots: &[Slot], keys: &[i64]) -> Result<usize, Error> {
        let mut moved = 0;
        while moved < slots.len() && !self.stop.load(Ordering::Relaxed) {
            if self.waited_in_pause().await {
                continue;
            }
            let part = &slots[moved..slots.len().min(moved + PART_SLOTS)];
            if let Some(reason) = self.hand_over(part).await? {
                let (from, to) = (&self.source.address, &self.target.address);
                self.tell(Event::Warning(format!(
                    "Slots do not go from {from} to {to} as a whole: {reason}. They go key by key."
                )));
                return Ok(moved);
            }
            for (slot, keys) in part.iter().zip(&keys[moved..]) {
                let keys = usize::try_from(*keys).unwrap_or(0);
                self.tell(Event::Sent { keys });
                self.tell(Event::Moved {
                    slot: *slot,
                    source: self.source.address.clone(),
                    target: self.target.address.clone(),
                    keys,
                });
            }
            moved += part.len();
        }
        Ok(moved)
    }

    /// Hands some slots over; why they were not.
    async fn hand_over(&mut self, slots: &[Slot]) -> Result<Option<String>, Error> {
        let ranges = ranges(slots);
        let mut words = vec![
            "CLUSTER".to_owned(),
            "MIGRATESLOTS".to_owned(),
            "SLOTSRANGE".to_owned(),
        ];
        for (first, last) in &ranges {
            words.extend([first.to_string(), last.to_string()]);
        }
        words.extend(["NODE".to_owned(), self.target.id.as_str().to_owned()]);
        let reply = self.source.link.call(Command::from(words)).await?;
        if let Some(refused) = reply.as_error() {
            return Ok(Some(refused.to_owned()));
        }
        loop {
            let reply = self
                .source
                .link
                .call(["CLUSTER", "GETSLOTMIGRATIONS"])
                .await?;
            match stand(&reply, &text(&ranges)) {
                Stand::Going => tokio::time::sleep(LOOK).await,
                Stand::Done => return Ok(None),
                Stand::Failed(reason) => return Ok(Some(reason)),
            }
        }
    }
}

async fn knows(link: &mut Connection) -> bool {
    let reply = link.call(["CLUSTER", "GETSLOTMIGRATIONS"]).await;
    reply.is_ok_and(|reply| reply.as_array().is_some())
}

/// The slots as ranges, in their order.
fn ranges(slots: &[Slot]) -> Vec<(Slot, Slot)> {
    let mut sorted = slots.to_vec();
    sorted.sort_unstable();
    let mut ranges: Vec<(Slot, Slot)> = Vec::new();
    for slot in sorted {
        match ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(slot) => *last = slot,
            _ => ranges.push((slot, slot)),
        }
    }
    ranges
}

/// As a node tells them.
fn text(ranges: &[(Slot, Slot)]) -> String {
    let parts: Vec<String> = ranges
        .iter()
        .map(|(first, last)| format!("{first}-{last}"))
        .collect();
    parts.join(" ")
}

/// What the newest migration of these slots has come to.
fn stand(reply: &Value, slots: &str) -> Stand {
    let field = |job: &Value, name: &str| -> String {
        let value = job.field(name).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let jobs = reply.as_array().unwrap_or_default();
    let ours =
        |job: &&Value| field(job, "slot_ranges") == slots && field(job, "operation") == "EXPORT";
    let Some(job) = jobs.iter().find(ours) else {
        return Stand::Failed("the source does not know of it any more".to_owned());
    };
    match field(job, "state").as_str() {
        "success" => Stand::Done,
        "failed" | "cancelled" => Stand::Failed(match field(job, "message") {
            message if message.is_empty() => "it was cancelled".to_owned(),
            message => message,
        }),
        _ => Stand::Going,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::Bulk(text.to_owned().into())
    }

    fn job(state: &str, slots: &str, message: &str) -> Value {
        let fields = [
            ("operation", "EXPORT"),
            ("slot_ranges", slots),
            ("state", state),
            ("message", message),
        ];
        let fields = fields.iter();
        Value::Array(
            fields
                .flat_map(|(name, value)| [bulk(name), bulk(value)])
                .collect(),
        )
    }

    #[test]
    fn slots_go_as_ranges() {
        let ranges = ranges(&[7, 3, 4, 5, 9, 16383]);
        assert_eq!(text(&ranges), "3-5 7-7 9-9 16383-16383");
    }

    #[test]
    fn the_newest_migration_of_the_slots_counts() {
        let reply = Value::Array(vec![
            job("success", "1-2", ""),
            job("replicating", "3-4", ""),
            job("failed", "3-4", "Connection lost"),
        ]);
        assert_eq!(stand(&reply, "1-2"), Stand::Done);
        assert_eq!(stand(&reply, "3-4"), Stand::Going);
        assert!(matches!(stand(&reply, "5-5"), Stand::Failed(_)));
        let reply = Value::Array(vec![job("failed", "3-4", "Connection lost")]);
        let lost = Stand::Failed("Connection lost".to_owned());
        assert_eq!(stand(&reply, "3-4"), lost);
    }
}
