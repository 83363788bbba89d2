//! Answers what the thread of `metrics-port` asks: a snapshot of the engine's figures.

use std::rc::Rc;

use engine::Figures;
use metrics::{Durations, Number, Questions, Snapshot, Timed};

use crate::shell::Shell;

/// Answers as long as somebody may ask.
pub(crate) async fn answer(shell: Rc<Shell>, mut questions: Questions) {
    while let Some(question) = questions.recv().await {
        let nodes = question.nodes;
        let figures = shell.turn(|engine| engine.figures(nodes));
        question.answer(snapshot(figures));
    }
}

fn snapshot(figures: Figures) -> Snapshot {
    let slow = figures.slow;
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    let numbers = [
        (
            "slowlog_length",
            "Commands in the slow log",
            slow.count as f64,
        ),
        (
            "slowlog_last_id",
            "The number of the newest of them",
            slow.last_id as f64,
        ),
        (
            "last_slow_execution_duration_seconds",
            "How long that one took",
            slow.last_us as f64 / 1e6,
        ),
    ];
    let numbers = numbers.map(|(name, help, value)| Number {
        name,
        help,
        labels: Vec::new(),
        value,
    });
    let commands = figures
        .commands
        .into_iter()
        .map(|(name, durations)| told(Timed::Command(name.to_owned()), durations));
    let ours = [
        told(Timed::Turn, figures.turns),
        told(Timed::Sync, figures.syncs),
    ];
    Snapshot {
        info: figures.info,
        cluster_nodes: figures.cluster_nodes,
        durations: ours.into_iter().chain(commands).collect(),
        numbers: numbers.to_vec(),
    }
}

fn told(of: Timed, durations: engine::Durations) -> Durations {
    Durations {
        of,
        within: durations.within,
        count: durations.count,
        sum_ns: durations.sum_ns,
    }
}
