//! LOLWUT: a small drawing, another one each time, and the version.

use commands::{Args, Done, Error, args};

use crate::{ClientId, Engine};

const WIDTH: usize = 48;
const HEIGHT: usize = 10;
/// The version whose picture is shown where none is named.
const LATEST: i64 = 9;

/// LOLWUT [VERSION version] [argument …]
pub(crate) fn lolwut(engine: &mut Engine, id: ClientId, args: Args<'_>) -> Done {
    let (version, sizes) = match args[1..] {
        [word, version, ref sizes @ ..] if args::is(word, "VERSION") => {
            (args::int(version)?, sizes)
        }
        ref sizes => (LATEST, sizes),
    };
    check_sizes(version, sizes)?;
    let mut heights = [0_u64; WIDTH];
    for height in &mut heights {
        *height = engine.shard.rng.below(3);
    }
    let text = format!(
        "{}Tern ver. {}\n",
        waves(&heights),
        env!("CARGO_PKG_VERSION")
    );
    engine.sessions.clients[id].out.verbatim("txt", text);
    Ok(())
}

/// There is one picture for all versions, of one size, but what is asked for has to be what that version of Valkey's takes.
fn check_sizes(version: i64, sizes: Args<'_>) -> Done {
    let most = match version {
        5 => 3,
        6 => 2,
        LATEST if !matches!(sizes.len(), 0 | 2 | 4) => {
            return Err(Error::text(
                "ERR Syntax error. Use: LOLWUT [columns rows] [real imaginary]",
            ));
        }
        LATEST => 2,
        _ => 0,
    };
    sizes.iter().take(most).try_for_each(|size| {
        args::int(size)?;
        Ok(())
    })
}

/// The sea, with a tern above it: each column's height steps up or down from the one before it.
fn waves(steps: &[u64; WIDTH]) -> String {
    let mut level = HEIGHT / 3;
    let levels: Vec<usize> = steps
        .iter()
        .map(|step| {
            level = match step {
                0 => level.saturating_sub(1).max(1),
                1 => level,
                _ => (level + 1).min(HEIGHT / 2),
            };
            level
        })
        .collect();
    let bird = steps
        .iter()
        .position(|step| *step == 0)
        .unwrap_or(0)
        .min(WIDTH - 5);
    let mut text = format!("{}\\,_^_,/\n", " ".repeat(bird));
    for row in (0..HEIGHT / 2 + 1).rev() {
        let line: String = levels
            .iter()
            .map(|level| match row.cmp(level) {
                std::cmp::Ordering::Less => ':',
                std::cmp::Ordering::Equal => '~',
                std::cmp::Ordering::Greater => ' ',
            })
            .collect();
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sea_has_a_surface_in_every_column() {
        let drawn = waves(&[1; WIDTH]);
        let surface = drawn.lines().find(|line| line.contains('~')).unwrap();
        assert_eq!(surface, "~".repeat(WIDTH));
        assert!(drawn.starts_with('\\') && drawn.lines().count() == HEIGHT / 2 + 2);
    }
}
