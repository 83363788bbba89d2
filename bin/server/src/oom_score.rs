//! `oom-score-adj`: how soon the kernel ends this process, or a child of it, where memory runs out.

use std::cell::Cell;
use std::fs;
use std::rc::Rc;

use conf::{OomScoreAdj, ServerConfig};

const FILE: &str = "/proc/self/oom_score_adj";

/// What was done to the score. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct OomScore(Rc<State>);

#[derive(Debug, Default)]
struct State {
    /// The score before it was first set; none while it is as it was.
    base: Cell<Option<i32>>,
    /// That of a child; none where children are left alone.
    child: Cell<Option<i32>>,
}

impl OomScore {
    /// Sets the score of this process, and notes that of its children. Without `oom-score-adj` it is again what it was.
    pub(crate) fn set(&self, config: &ServerConfig, slave: bool) -> Result<(), String> {
        let state = &self.0;
        if config.oom_score_adj == OomScoreAdj::No {
            state.child.set(None);
            return state.base.get().map_or(Ok(()), |base| {
                write(base)?;
                state.base.set(None);
                Ok(())
            });
        }
        let base = state.base.get().map_or_else(read, Ok)?;
        let start = match config.oom_score_adj {
            OomScoreAdj::Relative => base,
            _ => 0,
        };
        let [master, replica, child] = config
            .oom_score_adj_values
            .map(|value| start.saturating_add(value).clamp(-1000, 1000));
        write(if slave { replica } else { master })?;
        state.base.set(Some(base));
        state.child.set(Some(child));
        Ok(())
    }

    /// For a child that has just been forked.
    pub(crate) fn set_child(&self) {
        if let Some(Err(error)) = self.0.child.get().map(write) {
            tracing::warn!("{error}");
        }
    }
}

fn read() -> Result<i32, String> {
    let text = fs::read_to_string(FILE)
        .map_err(|error| format!("Unable to read oom_score_adj: {}", daemon::reason(&error)))?;
    Ok(text.trim().parse().unwrap_or(0))
}

fn write(score: i32) -> Result<(), String> {
    fs::write(FILE, format!("{score}\n")).map_err(|error| {
        let reason = daemon::reason(&error);
        tracing::warn!("Unable to write oom_score_adj: {reason}");
        "Failed to set current oom_score_adj. Check server logs.".to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_score_is_raised_and_put_back() {
        let before = read().unwrap();
        let score = OomScore::default();
        let mut config = ServerConfig {
            oom_score_adj: OomScoreAdj::Relative,
            oom_score_adj_values: [1, 2, 3],
            ..ServerConfig::default()
        };
        // To raise it needs no privilege.
        score.set(&config, true).unwrap();
        assert_eq!(read().unwrap(), (before + 2).min(1000));
        config.oom_score_adj = OomScoreAdj::Absolute;
        config.oom_score_adj_values = [1000, 1000, 1000];
        score.set(&config, false).unwrap();
        assert_eq!(read().unwrap(), 1000);
        config.oom_score_adj = OomScoreAdj::No;
        // To lower it again may need one.
        if score.set(&config, false).is_ok() {
            assert_eq!(read().unwrap(), before);
        }
    }
}
