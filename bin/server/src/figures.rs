//! Answers what the thread of `metrics-port` asks: a snapshot of the engine's figures.

use std::rc::Rc;

use engine::{Figures, MigrationCounts, MigrationFigures};
use metrics::{Distribution, Measured, Number, Questions, Snapshot};

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
    let mut numbers = numbers
        .map(|(name, help, value)| number(name, help, Vec::new(), value))
        .to_vec();
    if let Some(migrations) = &figures.migrations {
        numbers.extend(moving(migrations));
    }
    let commands = figures
        .commands
        .into_iter()
        .map(|(name, durations)| told(Measured::Command(name.to_owned()), durations));
    let ours = [
        told(Measured::Turn, figures.turns),
        told(Measured::Sync, figures.syncs),
        told(Measured::Request, figures.requests),
        told(Measured::Reply, figures.replies),
    ];
    Snapshot {
        info: figures.info,
        cluster_nodes: figures.cluster_nodes,
        distributions: ours.into_iter().chain(commands).collect(),
        numbers,
    }
}

fn number(
    name: &'static str,
    help: &'static str,
    labels: Vec<(&'static str, String)>,
    value: f64,
) -> Number {
    Number {
        name,
        help,
        labels,
        value,
    }
}

/// Slots that move as a whole.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn moving(migrations: &MigrationFigures) -> Vec<Number> {
    let of = |operation: &'static str, counts: MigrationCounts| {
        [
            ("running", counts.running),
            ("success", counts.succeeded),
            ("failed", counts.failed),
            ("cancelled", counts.cancelled),
        ]
        .map(|(state, count)| {
            let labels = vec![
                ("operation", operation.to_owned()),
                ("state", state.to_owned()),
            ];
            let help = "Migrations of slots that CLUSTER GETSLOTMIGRATIONS tells of";
            number("tern_slot_migrations", help, labels, count as f64)
        })
    };
    let behind = number(
        "tern_slot_migration_behind_bytes",
        "Bytes that the targets of migrations have still to be sent",
        Vec::new(),
        migrations.behind_bytes as f64,
    );
    of("export", migrations.exports)
        .into_iter()
        .chain(of("import", migrations.imports))
        .chain([behind])
        .collect()
}

fn told(of: Measured, distribution: engine::Distribution) -> Distribution {
    Distribution {
        of,
        within: distribution.within,
        count: distribution.count,
        sum: distribution.sum,
    }
}
