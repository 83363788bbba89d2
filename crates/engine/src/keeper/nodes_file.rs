//! A nodes.conf that is to be written. When it is, is in `nodes_file.rs`.

use std::collections::VecDeque;

use cluster_bus::{Output, Urgency};

use crate::ClientId;

/// The state of nodes.conf.
#[derive(Debug, Default)]
pub(crate) struct NodesFile {
    /// Something has changed that the write under way, or the last one, does not hold.
    pub(crate) changed: bool,
    /// Somebody waits for that: it is written at the end of the turn. News are written at a tick.
    urgent: bool,
    /// When the last write began.
    begun_ms: Option<u64>,
    writing: bool,
    /// Promises among the outputs below that the write under way keeps.
    kept: usize,
    /// Outputs of the node's core in their order. `None` is a promise: what follows waits until the file says what it said here, or
    /// something newer.
    held: VecDeque<Option<Output>>,
    /// Clients whose replies wait for the next write, and for the one under way.
    pub(crate) asked: Vec<ClientId>,
    pub(crate) answered: Vec<ClientId>,
    /// When it was last logged that nodes.conf cannot be written.
    pub(crate) failure_told_ms: Option<u64>,
}

/// With `cluster-config-save-behavior best-effort` a failure is logged this often.
pub(crate) const FAILURE_LOG_MS: u64 = 30_000;

/// News are written this often at most: while a large cluster forms, or many of its nodes fail, there are some at every tick, and each
/// write is one of the whole file.
const NEWS_PERIOD_MS: u64 = 1000;

impl NodesFile {
    /// Something has changed that is to be written.
    pub(crate) fn change(&mut self, urgency: Urgency) {
        self.changed = true;
        self.urgent |= urgency > Urgency::News;
        if urgency == Urgency::Promise {
            self.held.push_back(None);
        }
    }

    /// What nobody waits for is written, if it is time.
    pub(crate) fn write_news(&mut self, now_ms: u64) {
        let is_due = |at_ms: u64| now_ms.saturating_sub(at_ms) >= NEWS_PERIOD_MS;
        self.urgent |= self.changed && self.begun_ms.is_none_or(is_due);
    }

    /// The output again if it may leave now; otherwise it is kept until then.
    pub(crate) fn pass(&mut self, output: Output) -> Option<Output> {
        if self.held.is_empty() {
            return Some(output);
        }
        self.held.push_back(Some(output));
        None
    }

    /// A client has asked for a change: it is answered once that is in the file.
    pub(crate) fn wait(&mut self, id: ClientId) {
        if !self.asked.contains(&id) {
            self.asked.push(id);
        }
    }

    /// Whether what the node says now is to be written. It is, then.
    pub(crate) fn begin(&mut self, now_ms: u64) -> bool {
        if self.writing || !self.urgent || !self.changed {
            return false;
        }
        self.changed = false;
        self.urgent = false;
        self.writing = true;
        self.begun_ms = Some(now_ms);
        let promises = self.held.iter().filter(|held| held.is_none());
        self.kept = promises.count();
        self.answered.append(&mut self.asked);
        true
    }

    /// The write under way has ended well. The outputs that may leave now, and the clients.
    pub(crate) fn end(&mut self) -> (Vec<Output>, Vec<ClientId>) {
        self.writing = false;
        let mut free = Vec::new();
        while let Some(held) = self.held.pop_front() {
            match held {
                Some(output) => free.push(output),
                None if self.kept > 0 => self.kept -= 1,
                None => {
                    self.held.push_front(None);
                    break;
                }
            }
        }
        (free, std::mem::take(&mut self.answered))
    }
}

#[cfg(test)]
mod tests {
    use cluster_bus::LinkId;

    use super::*;

    fn output(number: u64) -> Output {
        Output::Close {
            link: LinkId::Dialled(number),
        }
    }

    fn outputs(numbers: impl IntoIterator<Item = u64>) -> Vec<Output> {
        numbers.into_iter().map(output).collect()
    }

    #[test]
    fn packets_wait_for_promises_and_for_nothing_else() {
        let mut file = NodesFile::default();
        assert_eq!(file.pass(output(1)), Some(output(1)));
        file.change(Urgency::News);
        assert_eq!(file.pass(output(2)), Some(output(2)));
        file.change(Urgency::Promise);
        assert_eq!(file.pass(output(3)), None);
        assert!(file.begin(0));
        assert_eq!(file.pass(output(4)), None, "it is not written yet");
        assert_eq!(file.end().0, outputs([3, 4]));
        assert_eq!(file.pass(output(5)), Some(output(5)));
    }

    #[test]
    fn news_are_written_at_a_tick_or_with_what_somebody_waits_for() {
        let mut file = NodesFile::default();
        file.write_news(0);
        file.change(Urgency::News);
        assert!(!file.begin(0));
        file.change(Urgency::News);
        file.write_news(100);
        assert!(file.begin(100));
        file.end();
        file.change(Urgency::News);
        file.change(Urgency::Asked);
        assert!(file.begin(150));
        file.end();
        assert!(!file.begin(5000), "nothing has changed since");
    }

    #[test]
    fn many_news_are_one_write_a_second() {
        let mut file = NodesFile::default();
        let mut writes = Vec::new();
        for now_ms in (0..3000).step_by(100) {
            file.change(Urgency::News);
            file.write_news(now_ms);
            if file.begin(now_ms) {
                writes.push(now_ms);
                file.end();
            }
        }
        assert_eq!(writes, [0, 1000, 2000]);
        // Who waits does not wait for that, and takes the news along.
        file.change(Urgency::Asked);
        assert!(file.begin(2950));
        file.end();
        file.write_news(3000);
        assert!(!file.begin(3000));
    }

    #[test]
    fn what_changes_during_a_write_is_one_more_write() {
        let mut file = NodesFile::default();
        file.change(Urgency::Promise);
        assert_eq!(file.pass(output(1)), None);
        assert!(file.begin(0));
        for number in 2..=3 {
            file.change(Urgency::Promise);
            assert_eq!(file.pass(output(number)), None);
            assert!(!file.begin(0), "one at a time");
        }
        assert_eq!(file.end().0, outputs([1]));
        assert!(file.begin(0));
        assert_eq!(file.end().0, outputs([2, 3]));
        assert!(!file.begin(0));
    }

    #[test]
    fn who_asked_is_answered_after_the_write_that_holds_the_change() {
        let (first, second) = (ClientId::new(1, 1), ClientId::new(2, 2));
        let mut file = NodesFile::default();
        file.change(Urgency::Asked);
        file.wait(first);
        file.wait(first);
        assert!(file.begin(0));
        file.change(Urgency::Asked);
        file.wait(second);
        assert_eq!(file.end().1, [first]);
        assert!(file.begin(0));
        assert_eq!(file.end().1, [second]);
    }
}
