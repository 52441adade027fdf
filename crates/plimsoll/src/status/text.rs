//! The status as text: for curl, for `plimsoll status`, and for whoever reads it over the telephone.

use std::fmt::Write as _;

use super::Status;
use super::tables::{Table, is_figures, tables};

/// The whole of it.
pub(crate) fn text(status: &Status) -> String {
    let mut out = String::new();
    let _ = writeln!(
        out,
        "plimsoll {}: {}, at {}{}",
        status.version,
        headline(status),
        status.at,
        up(status)
    );
    for sentence in &status.attention {
        let _ = writeln!(out, "! {}", plain(sentence));
    }
    for table in tables(status) {
        section(&mut out, &table);
        for (of, latest) in &table.latest {
            let _ = writeln!(out, "latest bad of {}: {}", plain(of), plain(latest));
        }
    }
    out
}

/// The state, and whether somebody should read on.
pub(crate) fn headline(status: &Status) -> String {
    match status.attention.len() {
        0 => status.state.clone(),
        1 => format!("{}, one thing needs attention", status.state),
        more => format!("{}, {more} things need attention", status.state),
    }
}

pub(crate) fn up(status: &Status) -> String {
    let Some(seconds) = status.up_seconds else {
        return String::new();
    };
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!(", up {seconds} s"),
        (0, 0, minutes) => format!(", up {minutes} min"),
        (0, hours, minutes) => format!(", up {hours} h {minutes} min"),
        (days, hours, _) => format!(", up {days} d {hours} h"),
    }
}

pub(crate) fn section(out: &mut String, table: &Table) {
    let Table {
        title, rows, nothing, ..
    } = table;
    let _ = writeln!(out, "\n{title}");
    if rows.len() < 2 {
        let _ = writeln!(out, "  {nothing}");
        return;
    }
    let columns = rows[0].len();
    let width = |column: usize| {
        rows.iter()
            .map(|row| plain(&row[column]).chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in rows {
        let mut line = String::from(" ");
        for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
            let cell = plain(cell);
            let to_the_right = is_figures(rows, column);
            let _ = if to_the_right {
                write!(line, " {cell:>width$} ")
            } else {
                write!(line, " {cell:width$} ")
            };
        }
        let _ = writeln!(out, "{}", line.trim_end());
    }
}

/// Names come from a configuration and ids from callers: nothing in them may command a terminal.
pub(crate) fn plain(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_control() { '\u{fffd}' } else { letter })
        .collect()
}
