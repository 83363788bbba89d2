//! Answers what the thread of `metrics-port` asks: a snapshot of the engine's figures.

use std::rc::Rc;

use conf::{Choice as _, ClientClass, ServerConfig};
use engine::{Figures, MigrationCounts, MigrationFigures};
use metrics::{Distribution, Measured, Number, Questions, Snapshot};

use crate::shell::Shell;

/// Answers as long as somebody may ask.
pub(crate) async fn answer(shell: Rc<Shell>, mut questions: Questions) {
    while let Some(question) = questions.recv().await {
        let nodes = question.nodes;
        let (figures, mut numbers) = shell.turn(|engine| {
            let figures = engine.figures(nodes);
            (figures, configured(engine.config()))
        });
        numbers.extend(observed(&figures));
        question.answer(snapshot(figures, numbers));
    }
}

/// What is configured, as far as INFO does not tell it.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn configured(config: &ServerConfig) -> Vec<Number> {
    let logs = [
        (
            "commandlog_execution_slower_than",
            "Microseconds from which a command is in the slow log",
            config.slowlog_log_slower_than as f64,
        ),
        (
            "commandlog_slow_execution_max_len",
            "How many commands the slow log holds at most",
            config.slowlog_max_len as f64,
        ),
        (
            "commandlog_request_larger_than",
            "Bytes from which a request is in the log of large ones",
            config.commandlog_request_larger_than as f64,
        ),
        (
            "commandlog_large_request_max_len",
            "How many requests that log holds at most",
            config.commandlog_large_request_max_len as f64,
        ),
        (
            "commandlog_reply_larger_than",
            "Bytes from which a reply is in the log of large ones",
            config.commandlog_reply_larger_than as f64,
        ),
        (
            "commandlog_large_reply_max_len",
            "How many replies that log holds at most",
            config.commandlog_large_reply_max_len as f64,
        ),
    ]
    .map(|(name, help, value)| number(name, help, Vec::new(), value));
    let limits = ClientClass::ALL.into_iter().flat_map(|class| {
        let limit = config.client_output_buffer_limit[class];
        let labels = |kind: &str| {
            vec![
                ("class", class.word().to_owned()),
                ("limit", kind.to_owned()),
            ]
        };
        let bytes = "Bytes of replies at which such a client is cut off";
        [
            number(
                "config_client_output_buffer_limit_bytes",
                bytes,
                labels("hard"),
                limit.hard_bytes as f64,
            ),
            number(
                "config_client_output_buffer_limit_bytes",
                bytes,
                labels("soft"),
                limit.soft_bytes as f64,
            ),
            number(
                "config_client_output_buffer_limit_overcome_seconds",
                "How long they may be more than the soft limit",
                labels("soft"),
                limit.soft_seconds as f64,
            ),
        ]
    });
    // The exporter tells it as CONFIG GET does, and so do we.
    let threads = config.get(&[b"io-threads"]).into_values();
    let threads = threads.filter_map(|(_, value)| String::from_utf8(value).ok()?.parse().ok());
    let threads = threads.map(|value| {
        let help = "io-threads as configured; one thread serves all clients";
        number("config_io_threads", help, Vec::new(), value)
    });
    logs.into_iter().chain(limits).chain(threads).collect()
}

/// What was observed, as far as INFO does not tell it.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
fn observed(figures: &Figures) -> Vec<Number> {
    let slow = figures.slow;
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
    let logs = [
        "commandlog_slow_length",
        "commandlog_large_request_length",
        "commandlog_large_reply_length",
    ];
    numbers.extend(
        logs.into_iter()
            .zip(figures.noted)
            .map(|(name, count)| number(name, "Commands in that log", Vec::new(), count as f64)),
    );
    for &(event, (unix_s, ms)) in &figures.latency {
        let labels = || vec![("event_name", event.to_owned())];
        numbers.extend([
            number(
                "latency_spike_last",
                "When the event last took long, in Unix seconds",
                labels(),
                unix_s as f64,
            ),
            number(
                "latency_spike_duration_seconds",
                "How long it took then",
                labels(),
                ms as f64 / 1e3,
            ),
        ]);
    }
    if let Some(migrations) = &figures.migrations {
        numbers.extend(moving(migrations));
    }
    numbers
}

fn snapshot(figures: Figures, numbers: Vec<Number>) -> Snapshot {
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
        databases: figures.databases,
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
