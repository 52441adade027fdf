//! The status as a page: made here, complete without scripts, and asking nobody else for anything.
//!
//! The state is told by a word, a shape and a colour. The style is a file of its own on the same port, so that the
//! content security policy can forbid everything that is inline.

use std::fmt::Write as _;

use super::Status;
use super::pages::Page;
use super::tables::{Table, is_figures, tables};
use super::text;

/// Served at `/status.css`.
pub(crate) const STYLE: &str = include_str!("status.css");

/// The page; with `every` it loads itself again after so many seconds.
pub(crate) fn page(status: &Status, every: Option<u64>) -> String {
    let class = match (status.state.as_str(), status.attention.is_empty()) {
        ("serving", true) => "fine",
        ("serving", false) => "attention",
        _ => "leaving",
    };
    let mut out = begun(&text::headline(status), class, every);
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
    links(&mut out, status);
    for table in tables(status) {
        section(&mut out, &table);
        for (of, latest) in &table.latest {
            let (of, latest) = (Escaped(of), Escaped(latest));
            let _ = writeln!(out, "<p>Latest bad of {of}: <code>{latest}</code></p>");
        }
    }
    ended(out)
}

/// A page of its own.
pub(super) fn page_of(page: &Page) -> String {
    let mut out = begun(&page.headline, page.class, None);
    for fact in &page.facts {
        let _ = writeln!(out, "<p>{}</p>", Linked(fact));
    }
    page.tables.iter().for_each(|table| section(&mut out, table));
    out.push_str("<p><a href=\"/status\">status</a> · <a href=\"/incidents\">incidents</a></p>\n");
    ended(out)
}

/// Everything up to the headline, whose state is told by a word, a shape and a colour.
fn begun(headline: &str, class: &str, every: Option<u64>) -> String {
    let mut out = String::with_capacity(16 << 10);
    out.push_str("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    out.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    if let Some(every) = every {
        let _ = writeln!(out, "<meta http-equiv=\"refresh\" content=\"{every}\">");
    }
    let headline = Escaped(headline);
    let _ = writeln!(out, "<title>{headline} · plimsoll</title>");
    out.push_str("<link rel=\"stylesheet\" href=\"/status.css\">\n</head>\n<body>\n<main>\n");
    let shape = match class {
        "fine" => "●",
        "attention" => "▲",
        _ => "■",
    };
    let _ = writeln!(
        out,
        "<h1 class=\"{class}\"><span aria-hidden=\"true\">{shape}</span> {headline}</h1>"
    );
    out
}

fn ended(mut out: String) -> String {
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

/// Where more is said: names are of the alphabet of the configuration, and need no escape in an address.
fn links(out: &mut String, status: &Status) {
    let one = |kind: &str, name: &str| {
        let name = Escaped(name);
        format!("<a href=\"/{kind}/{name}\">{name}</a>")
    };
    let objectives = status
        .objectives
        .iter()
        .map(|objective| one("objectives", &objective.name));
    let incidents = status
        .incidents
        .iter()
        .map(|incident| one("incidents", &incident.id));
    let all: Vec<String> = incidents.chain(objectives).collect();
    let _ = writeln!(
        out,
        "<p><a href=\"/incidents\">incidents</a> · {}</p>",
        all.join(" · ")
    );
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

/// A sentence that may end with an address, which is a link then.
struct Linked<'a>(&'a str);

impl std::fmt::Display for Linked<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let at = self.0.rfind("https://").or_else(|| self.0.rfind("http://"));
        match at.map(|at| self.0.split_at(at)) {
            Some((before, address)) if !address.contains(' ') => {
                let address = Escaped(address);
                write!(f, "{}<a href=\"{address}\">{address}</a>", Escaped(before))
            }
            _ => write!(f, "{}", Escaped(self.0)),
        }
    }
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
