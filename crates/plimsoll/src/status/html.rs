//! The status as a page: made here, complete without scripts, and asking nobody else for anything.
//!
//! The state is told by a word, a shape and a colour. The style is a file of its own on the same port, so that the
//! content security policy can forbid everything that is inline.

use std::fmt::Write as _;

use super::Status;
use super::tables::{Table, is_figures, tables};
use super::text;

/// Served at `/status.css`.
pub(crate) const STYLE: &str = include_str!("status.css");

/// The page; with `every` it loads itself again after so many seconds.
pub(crate) fn page(status: &Status, every: Option<u64>) -> String {
    let mut out = String::with_capacity(16 << 10);
    out.push_str("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    out.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    if let Some(every) = every {
        let _ = writeln!(out, "<meta http-equiv=\"refresh\" content=\"{every}\">");
    }
    let headline = text::headline(status);
    let _ = writeln!(out, "<title>{} · plimsoll</title>", Escaped(&headline));
    out.push_str("<link rel=\"stylesheet\" href=\"/status.css\">\n</head>\n<body>\n<main>\n");
    let (class, shape) = match (status.state.as_str(), status.attention.is_empty()) {
        ("serving", true) => ("fine", "●"),
        ("serving", false) => ("attention", "▲"),
        _ => ("leaving", "■"),
    };
    let headline = Escaped(&headline);
    let _ = writeln!(
        out,
        "<h1 class=\"{class}\"><span aria-hidden=\"true\">{shape}</span> {headline}</h1>"
    );
    let (at, up, version) = (Escaped(&status.at), text::up(status), Escaped(&status.version));
    let again = match every {
        Some(_) => "<a href=\"/status\">stop refreshing</a>",
        None => "<a href=\"/status?every=5\">refresh every 5 s</a>",
    };
    let _ = writeln!(
        out,
        "<p>plimsoll {version}, read at {at}{up} · {again} · <a href=\"/metrics\">metrics</a></p>"
    );
    sentences(&mut out, status);
    for table in tables(status) {
        section(&mut out, &table);
        for (of, latest) in &table.latest {
            let (of, latest) = (Escaped(of), Escaped(latest));
            let _ = writeln!(out, "<p>Latest bad of {of}: <code>{latest}</code></p>");
        }
    }
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn sentences(out: &mut String, status: &Status) {
    if status.attention.is_empty() {
        return;
    }
    out.push_str("<ul class=\"attention\">\n");
    for sentence in &status.attention {
        let _ = writeln!(out, "<li>{}</li>", Escaped(sentence));
    }
    out.push_str("</ul>\n");
}

fn section(out: &mut String, table: &Table) {
    let Table {
        title, rows, nothing, ..
    } = table;
    let title = Escaped(title);
    let Some((head, body)) = rows.split_first().filter(|(_, body)| !body.is_empty()) else {
        let _ = writeln!(out, "<h2>{title}</h2>\n<p>{nothing}</p>");
        return;
    };
    let _ = writeln!(
        out,
        "<h2>{title}</h2>\n<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"{title}\">"
    );
    out.push_str("<table>\n<thead><tr>");
    let class = |column| {
        if is_figures(rows, column) {
            " class=\"figure\""
        } else {
            ""
        }
    };
    for (column, cell) in head.iter().enumerate() {
        let _ = write!(out, "<th scope=\"col\"{}>{}</th>", class(column), Escaped(cell));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in body {
        out.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            let _ = write!(out, "<td{}>{}</td>", class(column), Escaped(cell));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n</div>\n");
}

/// Text in which nothing is markup.
struct Escaped<'a>(&'a str);

impl std::fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for letter in self.0.chars() {
            match letter {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                letter => f.write_char(letter)?,
            }
        }
        Ok(())
    }
}
