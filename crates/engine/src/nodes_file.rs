//! nodes.conf on its way to the disk, and what waits for it: packets behind a promise, and replies to those who asked for the change.
//!
//! The shell writes on another thread, for a disk may take long, and a node that stands still meanwhile answers no ping. One write is
//! under way at a time; all that changes during it goes into the next one.

use std::collections::VecDeque;

use cluster_bus::Output;
use conf::SaveBehavior;

use crate::{Action, ClientId, Engine};

/// The state of nodes.conf.
#[derive(Debug, Default)]
pub(crate) struct NodesFile {
    /// The newest text, if the write under way, or the last one, was of an older one.
    next: Option<String>,
    writing: bool,
    /// Promises among the outputs below that the write under way keeps.
    kept: usize,
    /// Outputs of the node's core in their order. `None` is a promise: what follows waits until the file says what it said here, or
    /// something newer.
    held: VecDeque<Option<Output>>,
    /// Clients whose replies wait for the next write, and for the one under way.
    asked: Vec<ClientId>,
    answered: Vec<ClientId>,
    /// When it was last logged that nodes.conf cannot be written.
    failure_told_ms: Option<u64>,
}

/// With `cluster-config-save-behavior best-effort` a failure is logged this often.
const FAILURE_LOG_MS: u64 = 30_000;

impl NodesFile {
    /// A new text to be written.
    pub(crate) fn replace(&mut self, text: String, promise: bool) {
        self.next = Some(text);
        if promise {
            self.held.push_back(None);
        }
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
    fn begin(&mut self) -> Option<String> {
        if self.writing {
            return None;
        }
        let text = self.next.take()?;
        self.writing = true;
        let promises = self.held.iter().filter(|held| held.is_none());
        self.kept = promises.count();
        self.answered.append(&mut self.asked);
        Some(text)
    }

    /// The write under way has ended well. The outputs that may leave now, and the clients.
    fn end(&mut self) -> (Vec<Output>, Vec<ClientId>) {
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

impl Engine {
    /// Whether a client's replies have to stay here for now: it asked for a change that is not in nodes.conf yet.
    #[must_use]
    pub fn holds_replies(&self, id: ClientId) -> bool {
        let file = &self.keeper.nodes_file;
        // The connection is to end after the replies, some of which wait for replicas.
        let unsent = &self.journal.unsent;
        let ends = !unsent.is_empty() && unsent.holds(id) && !self.wants_input(id);
        ends || !(file.asked.is_empty() && file.answered.is_empty())
            && (file.asked.contains(&id) || file.answered.contains(&id))
    }

    /// The text for nodes.conf, if something has changed and no write is under way. Whoever takes it writes it, and then calls
    /// [`Engine::nodes_saved`]. At the end of a turn it is handed over as an [`Action::SaveNodes`].
    pub fn begin_saving_nodes(&mut self) -> Option<String> {
        self.keeper.nodes_file.begin()
    }

    /// The end of a turn: many changes in one are one write.
    pub(crate) fn save_nodes(&mut self) {
        if let Some(text) = self.begin_saving_nodes() {
            self.act(Action::SaveNodes { text });
        }
        // Who asked, and nothing had to change.
        if self.keeper.nodes_file.next.is_none() {
            self.keeper.nodes_file.asked.clear();
        }
    }

    /// A write of nodes.conf has ended.
    pub fn nodes_saved(&mut self, result: Result<(), String>) {
        if let Err(error) = result {
            tracing::warn!("{error}");
            if self.config.cluster_config_save_behavior == SaveBehavior::Sync {
                tracing::warn!("Fatal: can't update cluster config file.");
                self.keeper.cluster = None;
                return self.act(Action::Exit { code: 1 });
            }
            // The node goes on as if it were written: after a crash it will not know what it has promised.
            let now_ms = self.now.mono_ms;
            let told_ms = &mut self.keeper.nodes_file.failure_told_ms;
            if told_ms.is_none_or(|at| now_ms.saturating_sub(at) > FAILURE_LOG_MS) {
                *told_ms = Some(now_ms);
                tracing::warn!(
                    "Cluster config updated even though writing the cluster config file to disk failed."
                );
            }
        }
        let (outputs, clients) = self.keeper.nodes_file.end();
        for output in outputs {
            self.perform_bus_output(output);
        }
        for id in clients {
            self.wake(id);
        }
    }

    /// Ends the process; what nodes.conf does not say yet is written first.
    pub(crate) fn exit(&mut self, code: i32) {
        if let Some(text) = self.keeper.nodes_file.next.take() {
            self.act(Action::SaveNodes { text });
        }
        self.act(Action::Exit { code });
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
        file.replace("news".into(), false);
        assert_eq!(file.pass(output(2)), Some(output(2)));
        file.replace("promise".into(), true);
        assert_eq!(file.pass(output(3)), None);
        assert_eq!(file.begin().as_deref(), Some("promise"));
        assert_eq!(file.pass(output(4)), None, "it is not written yet");
        assert_eq!(file.end().0, outputs([3, 4]));
        assert_eq!(file.pass(output(5)), Some(output(5)));
    }

    #[test]
    fn what_changes_during_a_write_is_one_more_write() {
        let mut file = NodesFile::default();
        file.replace("1".into(), true);
        assert_eq!(file.pass(output(1)), None);
        assert_eq!(file.begin().as_deref(), Some("1"));
        for number in 2..=3 {
            file.replace(number.to_string(), true);
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
        file.replace("1".into(), false);
        file.wait(first);
        file.wait(first);
        assert!(file.begin().is_some());
        file.replace("2".into(), false);
        file.wait(second);
        assert_eq!(file.end().1, [first]);
        assert!(file.begin().is_some());
        assert_eq!(file.end().1, [second]);
    }
}
