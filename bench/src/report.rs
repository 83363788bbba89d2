//! Tables, for a terminal and as Markdown, and the block of a document that a run writes anew.

use std::path::Path;

use anyhow::{Context, Result, bail};
use comfy_table::presets::{ASCII_MARKDOWN, UTF8_FULL_CONDENSED};
use comfy_table::{CellAlignment, ContentArrangement};

/// What stands before and after the part of a document that a run writes.
const BEGIN: &str = "<!-- measured: begin -->";
const END: &str = "<!-- measured: end -->";

/// One table of a report.
#[derive(Debug, Clone, Default)]
pub struct Table {
    /// What the table is about.
    pub title: String,
    /// What a reader must know besides, a paragraph each.
    pub notes: Vec<String>,
    /// The columns.
    pub header: Vec<String>,
    /// The rows, as long as the header each.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    #[must_use]
    pub fn new(title: impl Into<String>, header: Vec<String>) -> Self {
        Table {
            title: title.into(),
            header,
            ..Table::default()
        }
    }

    /// For a terminal.
    #[must_use]
    pub fn terminal(&self) -> String {
        self.text("", |table| {
            table.load_style(UTF8_FULL_CONDENSED);
        })
    }

    /// For a document.
    #[must_use]
    pub fn markdown(&self) -> String {
        self.text("### ", |table| {
            table.load_style(ASCII_MARKDOWN);
        })
    }

    fn text(&self, mark: &str, style: impl FnOnce(&mut comfy_table::Table)) -> String {
        let mut parts = vec![format!("{mark}{}", self.title)];
        if !self.rows.is_empty() {
            let mut table = comfy_table::Table::new();
            style(&mut table);
            table.set_content_arrangement(ContentArrangement::Disabled);
            table.set_header(&self.header);
            table.add_rows(&self.rows);
            for (index, column) in table.column_iter_mut().enumerate() {
                let mut cells = self.rows.iter().filter_map(|row| row.get(index));
                // Figures to the right, words to the left.
                if !cells.any(|cell| cell.starts_with(char::is_alphabetic)) {
                    column.set_cell_alignment(CellAlignment::Right);
                }
            }
            parts.push(table.to_string());
        }
        parts.extend(self.notes.iter().cloned());
        parts.join("\n\n")
    }
}

/// Writes the measured part of a document: between its marks where it exists, else as a document of its own.
///
/// # Errors
///
/// The file cannot be read or written, or it exists and has no marks to write between.
pub fn write_markdown(path: &Path, measured: &str) -> Result<()> {
    let old = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => format!("{BEGIN}\n{END}\n"),
        Err(error) => return Err(error).context(path.display().to_string()),
    };
    let Some(new) = with_block(&old, measured) else {
        bail!("{}: no lines `{BEGIN}` and `{END}`", path.display());
    };
    std::fs::write(path, new).with_context(|| path.display().to_string())
}

/// The document with another measured part; none where it has no place for one.
fn with_block(document: &str, measured: &str) -> Option<String> {
    let (before, rest) = document.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{measured}\n{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new("Speed", vec!["command".into(), "k/s".into()]);
        table.rows.push(vec!["GET".into(), "612".into()]);
        table.rows.push(vec!["LRANGE".into(), "7".into()]);
        table.notes.push("Noisy.".into());
        table
    }

    #[test]
    fn a_table_as_markdown() {
        let lines = table().markdown();
        let lines: Vec<&str> = lines.lines().collect();
        assert_eq!(
            lines,
            [
                "### Speed",
                "",
                "| command | k/s |",
                "|---------|-----|",
                "| GET     | 612 |",
                "| LRANGE  |   7 |",
                "",
                "Noisy."
            ]
        );
    }

    #[test]
    fn a_table_for_a_terminal_has_every_cell() {
        let text = table().terminal();
        for cell in ["Speed", "command", "k/s", "GET", "612", "LRANGE", "Noisy."] {
            assert!(text.contains(cell), "{cell} in {text}");
        }
    }

    #[test]
    fn the_prose_around_the_measured_block_stays() {
        let document = format!("# A\n\nprose\n\n{BEGIN}\nold\n{END}\n\n## B\n");
        let written = with_block(&document, "new").unwrap();
        assert_eq!(
            written,
            format!("# A\n\nprose\n\n{BEGIN}\nnew\n{END}\n\n## B\n")
        );
        assert_eq!(with_block(&written, "new").unwrap(), written);
        assert_eq!(with_block("# nothing", "new"), None);
    }
}
