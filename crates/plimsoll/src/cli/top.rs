//! `plimsoll top`: the status in a terminal, taken anew every second.
//!
//! It is the same status that `plimsoll status` prints, asked for by the same port; what is drawn is a function of it
//! ([`draw`]). While it cannot be had, what was seen last stays, and a line says since when that is old.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use http::Method;
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Block, Borders, Cell, Paragraph, Row, Table, Wrap};

use super::Exit;
use super::asking::{PortArgs, detail};
use crate::status::tables::{Table as Told, by_route, of_objectives, of_upstreams};
use crate::status::{Json as _, Status, headline, up};

/// Watch a running Plimsoll in this terminal. `q` ends it, arrows move through the objectives.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    port: PortArgs,
}

/// How often it is asked, and for how long an answer is waited for.
const EVERY: Duration = Duration::from_secs(1);
const ASK_MAX: Duration = Duration::from_secs(2);

/// What is seen.
#[derive(Debug, Default)]
struct Seen {
    status: Option<Status>,
    /// Why it is not as it is now.
    failing: Option<String>,
    /// The objective that is looked at.
    selected: usize,
}

/// Watches until somebody has seen enough.
///
/// # Errors
/// This is no terminal, or it cannot be written to.
pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    if !io::stdout().is_terminal() {
        super::complain("plimsoll: this is no terminal; `plimsoll status` prints the same once");
        return Ok(Exit::Usage);
    }
    let mut terminal = ratatui::init();
    let watched = watch(args, &mut terminal);
    ratatui::restore();
    watched?;
    Ok(Exit::Good)
}

fn watch(args: &Args, terminal: &mut ratatui::DefaultTerminal) -> anyhow::Result<()> {
    let mut seen = Seen::default();
    loop {
        seen.take(args);
        terminal.draw(|frame| draw(frame, &seen))?;
        // A key is answered at once; without one it is time to look again.
        while event::poll(EVERY)? {
            if let Event::Key(key) = event::read()?
                && key.kind != KeyEventKind::Release
            {
                let is_interrupt =
                    key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c');
                match key.code {
                    KeyCode::Char('q') | KeyCode::Esc => return Ok(()),
                    _ if is_interrupt => return Ok(()),
                    KeyCode::Down | KeyCode::Char('j') => seen.step(1),
                    KeyCode::Up | KeyCode::Char('k') => seen.step(-1),
                    _ => {}
                }
            }
            terminal.draw(|frame| draw(frame, &seen))?;
        }
    }
}

impl Seen {
    /// Asks anew.
    fn take(&mut self, args: &Args) {
        match args.port.ask(Method::GET, "/status?json", ASK_MAX) {
            Ok((code, answer)) if code.is_success() => {
                self.status = Some(Status::from_json(&answer));
                self.failing = None;
                self.step(0);
            }
            Ok((_, answer)) => self.failing = Some(detail(&answer)),
            Err(error) => self.failing = Some(format!("{error:#}")),
        }
    }

    fn step(&mut self, by: isize) {
        let last = self
            .status
            .as_ref()
            .map_or(0, |status| status.objectives.len())
            .saturating_sub(1);
        self.selected = self.selected.saturating_add_signed(by).min(last);
    }
}

const FINE: Style = Style::new().fg(Color::Green);
const ATTENTION: Style = Style::new().fg(Color::Yellow).add_modifier(Modifier::BOLD);
const FAINT: Style = Style::new().add_modifier(Modifier::DIM);

/// Everything on one screen: what needs attention first.
fn draw(frame: &mut Frame<'_>, seen: &Seen) {
    let Some(status) = &seen.status else {
        let why = seen.failing.as_deref().unwrap_or("asking…");
        frame.render_widget(Paragraph::new(why).wrap(Wrap { trim: true }), frame.area());
        return;
    };
    let warnings = status.attention.len().min(5) as u16;
    let height = |rows: usize| rows.saturating_add(2).min(12) as u16;
    let [head, attention, objectives, verdict, traffic, upstreams] = Layout::vertical([
        Constraint::Length(2),
        Constraint::Length(warnings),
        Constraint::Length(height(status.objectives.len() + 1)),
        Constraint::Length(4),
        Constraint::Min(3),
        Constraint::Length(height(status.upstreams.len() + 1)),
    ])
    .areas(frame.area());
    top(frame, head, seen, status);
    let said = status
        .attention
        .iter()
        .take(warnings.into())
        .map(|said| Line::styled(format!("▲ {said}"), ATTENTION));
    frame.render_widget(Paragraph::new(said.collect::<Vec<_>>()), attention);
    table(frame, objectives, &of_objectives(status), Some(seen.selected));
    let looked_at = status.objectives.get(seen.selected);
    let sentence = looked_at.map_or(String::new(), |one| format!("{}: {}.", one.name, one.verdict));
    let sentence = Paragraph::new(sentence).wrap(Wrap { trim: true });
    frame.render_widget(sentence.block(Block::new().borders(Borders::TOP)), verdict);
    table(frame, traffic, &by_route(status), None);
    table(frame, upstreams, &of_upstreams(status), None);
}

fn top(frame: &mut Frame<'_>, area: Rect, seen: &Seen, status: &Status) {
    let (shape, style) = if status.attention.is_empty() {
        ("●", FINE)
    } else {
        ("▲", ATTENTION)
    };
    let title = Line::styled(format!("{shape} {}", headline(status)), style);
    let below = match &seen.failing {
        None => Line::styled(
            format!(
                "plimsoll {}{}, at {} · q ends",
                status.version,
                up(status),
                status.at
            ),
            FAINT,
        ),
        Some(why) => Line::styled(
            format!("■ Not live, this is from {}: {why}", status.at),
            ATTENTION,
        ),
    };
    frame.render_widget(Paragraph::new(vec![title, below]), area);
}

/// A table of the status, as wide as its cells are, the last column with what is left.
fn table(frame: &mut Frame<'_>, area: Rect, told: &Told, selected: Option<usize>) {
    let Some((head, rows)) = told.rows.split_first() else {
        return;
    };
    let last = head.len().saturating_sub(1);
    let widths = (0..head.len()).map(|column| {
        let widest = told
            .rows
            .iter()
            .map(|row| row[column].chars().count())
            .max()
            .unwrap_or(0);
        if column == last {
            Constraint::Min(10)
        } else {
            Constraint::Length(widest.min(40) as u16)
        }
    });
    let widths: Vec<Constraint> = widths.collect();
    let row = |(number, cells): (usize, &Vec<String>)| {
        let style = if selected == Some(number) {
            Style::new().add_modifier(Modifier::REVERSED)
        } else {
            Style::new()
        };
        Row::new(cells.iter().map(|cell| Cell::new(plain(cell)))).style(style)
    };
    let head = Row::new(head.iter().map(|cell| Cell::new(cell.as_str()))).style(FAINT);
    // What is looked at is in sight.
    let skipped = selected.map_or(0, |selected| {
        (selected + 3).saturating_sub(usize::from(area.height))
    });
    let body = rows.iter().enumerate().skip(skipped).map(row);
    let block = Block::new().borders(Borders::TOP).title(told.title.as_str());
    frame.render_widget(
        Table::new(body, widths)
            .header(head)
            .block(block)
            .column_spacing(2),
        area,
    );
}

/// Names come from a configuration and ids from callers: nothing in them may command a terminal.
fn plain(text: &str) -> String {
    crate::status::text::plain(text)
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::*;
    use crate::reading::sample;
    use crate::status::tests::status;

    fn screen(seen: &Seen) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(140, 40)).unwrap();
        terminal.draw(|frame| draw(frame, seen)).unwrap();
        let buffer = terminal.backend().buffer();
        let lines = buffer.content.chunks(140);
        lines
            .map(|line| {
                line.iter()
                    .map(ratatui::buffer::Cell::symbol)
                    .collect::<String>()
                    .trim_end()
                    .to_owned()
            })
            .collect()
    }

    #[test]
    fn what_needs_attention_comes_first_and_then_the_rest() {
        let reading = sample::reading();
        let mut seen = Seen {
            status: Some(status(&reading, reading.series.clone())),
            ..Seen::default()
        };
        let lines = screen(&seen);
        let place = |words: &str| {
            let found = lines.iter().position(|line| line.contains(words));
            found.unwrap_or_else(|| panic!("{words} is not in\n{}", lines.join("\n")))
        };
        assert_eq!(place("▲ serving, 13 things need attention"), 0);
        assert!(
            lines[1].contains("at 2026-11-23T20:10:00.250Z · q ends"),
            "{}",
            lines[1]
        );
        let order = [
            "▲ Incident checkout-3",
            "Objectives",
            "checkout   99.9 % / 30d",
            "checkout: 300 of 36,600 failed in the last hour",
            "Traffic, last 10 s",
            "upstream-reset 10",
            "Upstreams",
        ];
        let places: Vec<usize> = order.iter().map(|words| place(words)).collect();
        assert!(places.is_sorted(), "{places:?}\n{}", lines.join("\n"));

        seen.failing = Some("it cannot be reached".to_owned());
        let lines = screen(&seen);
        assert!(
            lines[1].starts_with("■ Not live, this is from 2026-11-23T20:10:00.250Z: it cannot"),
            "{}",
            lines[1]
        );
        seen.step(5);
        assert_eq!(seen.selected, 0, "there is one");
    }

    #[test]
    fn before_the_first_answer_it_says_why_there_is_none() {
        let seen = Seen {
            failing: Some("reaching the admin port; is Plimsoll running?".to_owned()),
            ..Seen::default()
        };
        assert_eq!(screen(&seen)[0], "reaching the admin port; is Plimsoll running?");
    }
}
