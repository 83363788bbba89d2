//! A picture of a cluster on a terminal.

use std::time::Duration;

use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table};
use ratatui::{DefaultTerminal, Frame};

use crate::picture::{COLUMNS, Picture};

/// Colours of the letters of the map, in turn.
const COLORS: [Color; 6] = [
    Color::Cyan,
    Color::Green,
    Color::Magenta,
    Color::Blue,
    Color::LightCyan,
    Color::LightGreen,
];

/// The whole terminal, until it is dropped.
#[derive(Debug)]
pub struct Screen(DefaultTerminal);

impl Screen {
    /// Takes the terminal over.
    ///
    /// # Errors
    ///
    /// It cannot be.
    pub fn open() -> std::io::Result<Self> {
        ratatui::try_init().map(Self)
    }

    /// Shows a picture.
    ///
    /// # Errors
    ///
    /// The terminal is gone.
    pub fn show(&mut self, picture: &Picture) -> std::io::Result<()> {
        self.0.draw(|frame| draw(frame, picture)).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Waits for so long; whether a key was pressed that means the end.
///
/// # Errors
///
/// The terminal is gone.
pub fn end_pressed(wait: Duration) -> std::io::Result<bool> {
    let end = std::time::Instant::now() + wait;
    loop {
        let left = end.saturating_duration_since(std::time::Instant::now());
        if !event::poll(left)? {
            return Ok(false);
        }
        if let Event::Key(key) = event::read()?
            && key.kind == KeyEventKind::Press
        {
            let control = key.modifiers.contains(KeyModifiers::CONTROL);
            match key.code {
                KeyCode::Char('q') | KeyCode::Esc => return Ok(true),
                KeyCode::Char('c') if control => return Ok(true),
                _ => {}
            }
        }
    }
}

/// Draws a picture over a whole frame. What does not fit is cut; the latest events stay in sight.
pub fn draw(frame: &mut Frame<'_>, picture: &Picture) {
    let height = |lines: usize| Constraint::Length(u16::try_from(lines).unwrap_or(u16::MAX));
    let [head, nodes, map, notes, events, foot] = Layout::vertical([
        height(picture.headline.len()),
        Constraint::Min(
            u16::try_from(picture.rows.len() + 3)
                .unwrap_or(u16::MAX)
                .min(12),
        ),
        height(if picture.map.is_empty() {
            0
        } else {
            picture.map.len() + 2
        }),
        height(picture.notes.len()),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let bold = Style::new().add_modifier(Modifier::BOLD);
    frame.render_widget(Paragraph::new(lines(&picture.headline)).style(bold), head);
    frame.render_widget(table(picture), nodes);
    let block = Block::bordered().title(" slots ");
    frame.render_widget(Paragraph::new(slot_map(picture)).block(block), map);
    let yellow = Style::new().fg(Color::Yellow);
    frame.render_widget(Paragraph::new(lines(&picture.notes)).style(yellow), notes);
    let room = usize::from(events.height.saturating_sub(2));
    let latest = &picture.events[picture.events.len().saturating_sub(room)..];
    let block = Block::bordered().title(" events ");
    frame.render_widget(Paragraph::new(lines(latest)).block(block), events);
    frame.render_widget(
        Paragraph::new("q: end").style(Style::new().add_modifier(Modifier::DIM)),
        foot,
    );
}

fn lines(texts: &[String]) -> Text<'_> {
    texts.iter().map(|text| Line::from(text.as_str())).collect()
}

fn table(picture: &Picture) -> Table<'_> {
    let mut widths = COLUMNS.map(str::len);
    for row in &picture.rows {
        for (width, cell) in widths.iter_mut().zip(&row.cells) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let rows = picture.rows.iter().map(|row| {
        let cells = row.cells.iter().map(|cell| Cell::from(cell.as_str()));
        let style = if row.alarming {
            Style::new().fg(Color::Red)
        } else {
            Style::new()
        };
        Row::new(cells).style(style)
    });
    let widths = widths.map(|width| Constraint::Length(u16::try_from(width).unwrap_or(u16::MAX)));
    let header = Row::new(COLUMNS).style(Style::new().add_modifier(Modifier::BOLD));
    Table::new(rows, widths)
        .header(header)
        .block(Block::bordered().title(" nodes "))
}

fn slot_map(picture: &Picture) -> Text<'_> {
    let color = |letter: char| match letter {
        'A'..='Z' => COLORS[(letter as usize - 'A' as usize) % COLORS.len()],
        'a'..='z' => COLORS[(letter as usize - 'a' as usize + 26) % COLORS.len()],
        '*' => Color::Yellow,
        '.' => Color::Red,
        _ => Color::Reset,
    };
    let line = |text: &String| -> Line<'static> {
        let spans = text.chars().map(|letter| {
            ratatui::text::Span::styled(letter.to_string(), Style::new().fg(color(letter)))
        });
        spans.collect()
    };
    picture.map.iter().map(line).collect()
}
