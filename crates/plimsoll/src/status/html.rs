//! The status as a page: made here, complete without scripts, and asking nobody else for anything.
//!
//! The state is told by a word, a shape and a colour. The style is a file of its own on the same port, so that the
//! content security policy can forbid everything that is inline.

use std::fmt::Write as _;

use super::Status;
use super::pages::{Field, Form, Page};
use super::tables::{Table, is_figures, tables};
use super::text;
use crate::access::{Caller, Role};

/// Served at `/status.css`.
pub(crate) const STYLE: &str = include_str!("status.css");

/// The page; with `every` it loads itself again after so many seconds.
pub(crate) fn page(status: &Status, every: Option<u64>, csrf: Option<&str>) -> String {
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
    leaving(&mut out, csrf);
    ended(out)
}

/// The way out, for whoever is in by a session.
fn leaving(out: &mut String, csrf: Option<&str>) {
    if let Some(csrf) = csrf {
        out.push_str("<form method=\"post\" action=\"/logout\">\n");
        hidden(out, "csrf", csrf);
        out.push_str("<button>Log out</button>\n</form>\n");
    }
}

/// Where a token is shown. `wrong` says what was wrong before.
pub(crate) fn login_page(wrong: Option<&str>, next: &str) -> String {
    let class = if wrong.is_some() { "attention" } else { "leaving" };
    let mut out = begun("Log in", class, None);
    if let Some(wrong) = wrong {
        let _ = writeln!(out, "<p role=\"alert\">{}</p>", Escaped(wrong));
    }
    out.push_str("<form method=\"post\" action=\"/login\">\n");
    hidden(&mut out, "next", next);
    out.push_str(
        "<label>token <input type=\"password\" name=\"token\" required autocomplete=\"current-password\"></label>\n\
         <button>Log in</button>\n</form>\n\
         <p>It is one of <code>admin.tokens</code>; <code>plimsoll token</code> makes one.</p>\n",
    );
    ended(out)
}

fn hidden(out: &mut String, name: &str, value: &str) {
    let _ = writeln!(
        out,
        "<input type=\"hidden\" name=\"{name}\" value=\"{}\">",
        Escaped(value)
    );
}

/// A form, which leads back to where it is.
fn form(out: &mut String, form: &Form, path: &str, csrf: Option<&str>) {
    let action = Escaped(&form.action);
    let _ = writeln!(out, "<form method=\"post\" action=\"{action}\">");
    hidden(out, "back", path);
    if let Some(csrf) = csrf {
        hidden(out, "csrf", csrf);
    }
    for field in &form.fields {
        match field {
            Field::Given(name, value) => hidden(out, name, value),
            Field::Line(name, label) => {
                let _ = writeln!(
                    out,
                    "<label>{label} <input name=\"{name}\" required maxlength=\"500\"></label>"
                );
            }
            Field::Choice(name, label, choices) => {
                let _ = write!(out, "<label>{label} <select name=\"{name}\">");
                for (value, words) in *choices {
                    let _ = write!(out, "<option value=\"{value}\">{words}</option>");
                }
                out.push_str("</select></label>\n");
            }
        }
    }
    let _ = writeln!(out, "<button>{}</button>\n</form>", form.button);
}

/// A page of its own.
pub(super) fn page_of(page: &Page, path: &str, caller: Option<&Caller>) -> String {
    let mut out = begun(&page.headline, page.class, None);
    for fact in &page.facts {
        let _ = writeln!(out, "<p>{}</p>", Linked(fact));
    }
    let csrf = caller.and_then(|caller| caller.csrf.as_deref());
    if caller.is_some_and(|caller| caller.role >= Role::Operator) && !page.forms.is_empty() {
        out.push_str("<div class=\"forms\">\n");
        page.forms.iter().for_each(|one| form(&mut out, one, path, csrf));
        out.push_str("</div>\n");
    }
    page.tables.iter().for_each(|table| section(&mut out, table));
    out.push_str(
        "<p><a href=\"/status\">status</a> · <a href=\"/incidents\">incidents</a> · <a href=\"/audit\">audit</a></p>\n",
    );
    leaving(&mut out, csrf);
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
        "<p><a href=\"/incidents\">incidents</a> · <a href=\"/audit\">audit</a> · {}</p>",
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
