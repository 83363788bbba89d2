//! nodes.conf on its way to the disk, and what waits for it: packets behind a promise, and replies to those who asked for the change.
//!
//! The shell writes on another thread, for a disk may take long, and a node that stands still meanwhile answers no ping. One write is
//! under way at a time; all that changes during it goes into the next one.

use conf::SaveBehavior;

use crate::keeper::nodes_file::FAILURE_LOG_MS;
use crate::{Action, ClientId, Engine};

impl Engine {
    /// Whether a client's replies have to stay here for now: it asked for a change that is not in nodes.conf yet, or
    /// for a rewrite that has not begun.
    #[must_use]
    pub fn holds_replies(&self, id: ClientId) -> bool {
        let file = &self.keeper.nodes_file;
        // The connection is to end after the replies, some of which wait for replicas.
        let unsent = &self.journal.unsent;
        let ends = !unsent.is_empty() && unsent.holds(id) && !self.wants_input(id);
        ends || self.awaits_rewrite(id)
            || !(file.asked.is_empty() && file.answered.is_empty())
                && (file.asked.contains(&id) || file.answered.contains(&id))
    }

    /// The text for nodes.conf, if something has changed and no write is under way. Whoever takes it writes it, and then calls
    /// [`Engine::nodes_saved`]. At the end of a turn it is handed over as an [`Action::SaveNodes`].
    pub fn begin_saving_nodes(&mut self) -> Option<String> {
        let node = self.keeper.cluster.as_ref()?;
        let begun = self.keeper.nodes_file.begin(self.now.mono_ms);
        begun.then(|| node.nodes_conf_text())
    }

    /// The end of a turn: many changes in one are one write.
    pub(crate) fn save_nodes(&mut self) {
        if let Some(text) = self.begin_saving_nodes() {
            self.act(Action::SaveNodes { text });
        }
        // Who asked, and nothing had to change.
        if !self.keeper.nodes_file.changed {
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
        if let Some(node) = &self.keeper.cluster
            && std::mem::take(&mut self.keeper.nodes_file.changed)
        {
            let text = node.nodes_conf_text();
            self.act(Action::SaveNodes { text });
        }
        self.act(Action::Exit { code });
    }
}
