//! A nodes.conf that is to be written. When it is, is in `nodes_file.rs`.

use std::collections::VecDeque;

use cluster_bus::{Output, Urgency};

use crate::ClientId;

/// The state of nodes.conf.
#[derive(Debug, Default)]
pub(crate) struct NodesFile {
    /// The newest text, if the write under way, or the last one, was of an older one.
    pub(crate) next: Option<String>,
    /// Somebody waits for that one: it is written at the end of the turn. News are written at the next tick.
    urgent: bool,
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

impl NodesFile {
    /// A new text to be written.
    pub(crate) fn replace(&mut self, text: String, urgency: Urgency) {
        self.next = Some(text);
        self.urgent |= urgency > Urgency::News;
        if urgency == Urgency::Promise {
            self.held.push_back(None);
        }
    }

    /// It is time to write what nobody waits for.
    pub(crate) fn write_news(&mut self) {
        self.urgent |= self.next.is_some();
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

    /// The text to be written now, if one is to be.
    pub(crate) fn begin(&mut self) -> Option<String> {
        if self.writing || !self.urgent {
            return None;
        }
        let text = self.next.take()?;
        self.urgent = false;
        self.writing = true;
        let promises = self.held.iter().filter(|held| held.is_none());
        self.kept = promises.count();
        self.answered.append(&mut self.asked);
        Some(text)
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
        file.replace("news".into(), Urgency::News);
        assert_eq!(file.pass(output(2)), Some(output(2)));
        file.replace("promise".into(), Urgency::Promise);
        assert_eq!(file.pass(output(3)), None);
        assert_eq!(file.begin().as_deref(), Some("promise"));
        assert_eq!(file.pass(output(4)), None, "it is not written yet");
        assert_eq!(file.end().0, outputs([3, 4]));
        assert_eq!(file.pass(output(5)), Some(output(5)));
    }

    #[test]
    fn news_are_written_at_the_next_tick_or_with_what_somebody_waits_for() {
        let mut file = NodesFile::default();
        file.write_news();
        file.replace("1".into(), Urgency::News);
        assert_eq!(file.begin(), None);
        file.replace("2".into(), Urgency::News);
        file.write_news();
        assert_eq!(file.begin().as_deref(), Some("2"));
        file.end();
        file.replace("3".into(), Urgency::News);
        file.replace("4".into(), Urgency::Asked);
        assert_eq!(file.begin().as_deref(), Some("4"));
    }

    #[test]
    fn what_changes_during_a_write_is_one_more_write() {
        let mut file = NodesFile::default();
        file.replace("1".into(), Urgency::Promise);
        assert_eq!(file.pass(output(1)), None);
        assert_eq!(file.begin().as_deref(), Some("1"));
        for number in 2..=3 {
            file.replace(number.to_string(), Urgency::Promise);
            assert_eq!(file.pass(output(number)), None);
            assert_eq!(file.begin(), None, "one at a time");
        }
        assert_eq!(file.end().0, outputs([1]));
        assert_eq!(file.begin().as_deref(), Some("3"));
        assert_eq!(file.end().0, outputs([2, 3]));
        assert_eq!(file.begin(), None);
    }

    #[test]
    fn who_asked_is_answered_after_the_write_that_holds_the_change() {
        let (first, second) = (ClientId::new(1, 1), ClientId::new(2, 2));
        let mut file = NodesFile::default();
        file.replace("1".into(), Urgency::Asked);
        file.wait(first);
        file.wait(first);
        assert!(file.begin().is_some());
        file.replace("2".into(), Urgency::Asked);
        file.wait(second);
        assert_eq!(file.end().1, [first]);
        assert!(file.begin().is_some());
        assert_eq!(file.end().1, [second]);
    }
}
