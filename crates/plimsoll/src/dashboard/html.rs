//! Pages as HTML: complete without scripts, and asking nobody else for anything.
//!
//! How something stands is told by a word, a shape and a colour. Style and scripts are files of their own on the same
//! port, so that the content security policy can forbid everything that is inline. What is marked `data-live` is taken
//! anew by the script.

use std::fmt::Write as _;

use super::assets::{ISLANDS, STYLE, UPLOT, UPLOT_STYLE};
use super::{Card, Field, Figure, Form, Mood, PAGES, Page};
use crate::access::{Caller, Role};
use crate::status::tables::{Table, is_figures};

/// The page at `path`; with `every` it loads itself again after so many seconds.
pub(super) fn page(page: &Page, path: &str, caller: Option<&Caller>, every: Option<u64>) -> String {
    let csrf = caller.and_then(|caller| caller.csrf.as_deref());
    let may = caller.is_some_and(|caller| caller.role >= Role::Operator);
    let mut out = begun(page, path, every);
    sentences(&mut out, page);
    for one in &page.cards {
        card(&mut out, one, path, csrf, may);
    }
    out.push_str("</div>\n");
    if may {
        forms(&mut out, &page.forms, path, csrf);
    }
    page.figures.iter().for_each(|one| figure(&mut out, one));
    out.push_str("<div data-live>\n");
    page.tables.iter().for_each(|table| section(&mut out, table));
    out.push_str("</div>\n");
    leaving(&mut out, csrf);
    ended(out)
}

/// Where a token is shown. `wrong` says what was wrong before.
pub(crate) fn login_page(wrong: Option<&str>, next: &str) -> String {
    let mood = if wrong.is_some() {
        Mood::Attention
    } else {
        Mood::Leaving
    };
    let mut out = head("Log in", None, false);
    heading(&mut out, "Log in", mood);
    if let Some(wrong) = wrong {
        let _ = writeln!(out, "<p role=\"alert\">{}</p>", Escaped(wrong));
    }
    out.push_str("<form method=\"post\" action=\"/login\">\n");
    hidden(&mut out, "next", next);
    // Keepers of passwords want a name to keep it under.
    out.push_str("<input name=\"username\" value=\"plimsoll\" autocomplete=\"username\" hidden>\n");
    out.push_str(
        "<label>token <input type=\"password\" name=\"token\" required autocomplete=\"current-password\"></label>\n\
         <button>Log in</button>\n</form>\n\
         <p>It is one of <code>admin.tokens</code>; <code>plimsoll token</code> makes one.</p>\n",
    );
    ended(out)
}

/// Everything up to the headline, and what moves from there on.
fn begun(page: &Page, path: &str, every: Option<u64>) -> String {
    let mut out = head(&page.headline, every, !page.figures.is_empty());
    out.push_str("<nav aria-label=\"pages\"><ul>\n");
    for entry in PAGES {
        if let Some(title) = entry.title {
            let here = if entry.path == path {
                " aria-current=\"page\""
            } else {
                ""
            };
            let _ = writeln!(out, "<li><a href=\"{}\"{here}>{title}</a></li>", entry.path);
        }
    }
    out.push_str("</ul></nav>\n<p id=\"live\" role=\"status\" hidden></p>\n<div data-live>\n");
    heading(&mut out, &page.headline, page.mood);
    out
}

fn head(title: &str, every: Option<u64>, has_figures: bool) -> String {
    let mut out = String::with_capacity(16 << 10);
    out.push_str("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    out.push_str("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    if let Some(every) = every {
        let _ = writeln!(out, "<meta http-equiv=\"refresh\" content=\"{every}\">");
    }
    let _ = writeln!(out, "<title>{} · plimsoll</title>", Escaped(title));
    let _ = writeln!(out, "<link rel=\"stylesheet\" href=\"{}\">", STYLE.path());
    if has_figures {
        let _ = writeln!(out, "<link rel=\"stylesheet\" href=\"{}\">", UPLOT_STYLE.path());
        let _ = writeln!(out, "<script defer src=\"{}\"></script>", UPLOT.path());
    }
    let _ = writeln!(out, "<script defer src=\"{}\"></script>", ISLANDS.path());
    out.push_str("</head>\n<body>\n<main>\n");
    out
}

/// How it stands: a word, a shape and a colour.
fn heading(out: &mut String, headline: &str, mood: Mood) {
    let (class, shape) = look(mood);
    let headline = Escaped(headline);
    let _ = writeln!(
        out,
        "<h1 class=\"{class}\"><span aria-hidden=\"true\">{shape}</span> {headline}</h1>"
    );
}

const fn look(mood: Mood) -> (&'static str, &'static str) {
    match mood {
        Mood::Fine => ("fine", "●"),
        Mood::Attention => ("attention", "▲"),
        Mood::Leaving => ("leaving", "■"),
    }
}

fn ended(mut out: String) -> String {
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

fn sentences(out: &mut String, page: &Page) {
    if !page.warnings.is_empty() {
        out.push_str("<ul class=\"attention\">\n");
        for sentence in &page.warnings {
            let _ = writeln!(out, "<li>{}</li>", Escaped(sentence));
        }
        out.push_str("</ul>\n");
    }
    for fact in &page.facts {
        let _ = writeln!(out, "<p>{}</p>", Linked(fact));
    }
}

fn card(out: &mut String, card: &Card, path: &str, csrf: Option<&str>, may: bool) {
    let (class, shape) = look(card.mood);
    let title = Escaped(&card.title);
    let _ = writeln!(
        out,
        "<section class=\"card {class}\">\n<h2><span aria-hidden=\"true\">{shape}</span> {title}</h2>\n<dl>"
    );
    let mut before = "";
    for (of, says) in &card.lines {
        if *of != before {
            let _ = writeln!(out, "<dt>{of}</dt>");
        }
        before = of;
        let _ = writeln!(out, "<dd>{}</dd>", Cell(of, says));
    }
    out.push_str("</dl>\n");
    if may {
        forms(out, &card.forms, path, csrf);
    }
    out.push_str("</section>\n");
}

/// A chart, which a script draws; without one its title says where the same is written.
fn figure(out: &mut String, figure: &Figure) {
    let (title, says) = (Escaped(figure.title), Escaped(&figure.says));
    let (chart, source) = (figure.chart, Escaped(&figure.source));
    let _ = writeln!(
        out,
        "<figure data-chart=\"{chart}\" data-source=\"{source}\" hidden>\n<figcaption>{title}. {says}</figcaption>\n\
         <div class=\"plot\" role=\"img\" aria-label=\"{title}. {says}\"></div>\n<p class=\"point\" role=\"status\"></p>\n</figure>"
    );
}

/// The way out, for whoever is in by a session.
fn leaving(out: &mut String, csrf: Option<&str>) {
    if let Some(csrf) = csrf {
        out.push_str("<form method=\"post\" action=\"/logout\">\n");
        hidden(out, "csrf", csrf);
        out.push_str("<button>Log out</button>\n</form>\n");
    }
}

fn hidden(out: &mut String, name: &str, value: &str) {
    let _ = writeln!(
        out,
        "<input type=\"hidden\" name=\"{name}\" value=\"{}\">",
        Escaped(value)
    );
}

fn forms(out: &mut String, forms: &[Form], path: &str, csrf: Option<&str>) {
    if !forms.is_empty() {
        out.push_str("<div class=\"forms\">\n");
        for one in forms {
            form(out, one, path, csrf);
        }
        out.push_str("</div>\n");
    }
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
            Field::Text(name, label, value) => {
                let value = Escaped(value);
                let _ = writeln!(
                    out,
                    "<label>{label} <textarea name=\"{name}\" required rows=\"12\" spellcheck=\"false\">{value}</textarea></label>"
                );
            }
            Field::Otherwise(label, action) => {
                let action = Escaped(action);
                let _ = writeln!(out, "<button formaction=\"{action}\">{label}</button>");
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

/// Bytes of a cell from which on it is a sentence, which wants room on a narrow screen.
const LONG: usize = 60;

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
    let is_long = |column: usize| body.iter().any(|row| row[column].len() > LONG);
    let class = |column| match (is_figures(rows, column), is_long(column)) {
        (true, _) => " class=\"figure\"",
        (false, true) => " class=\"long\"",
        (false, false) => "",
    };
    for (column, cell) in head.iter().enumerate() {
        let _ = write!(out, "<th scope=\"col\"{}>{}</th>", class(column), Escaped(cell));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    for row in body {
        out.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            let _ = write!(out, "<td{}>{}</td>", class(column), Cell(&head[column], cell));
        }
        out.push_str("</tr>\n");
    }
    out.push_str("</tbody>\n</table>\n</div>\n");
    for (of, latest) in &table.latest {
        let (of, latest) = (Escaped(of), Escaped(latest));
        let _ = writeln!(out, "<p>Latest bad of {of}: <code>{latest}</code></p>");
    }
}

/// A cell under its head: what there is a page for is a link to it. Names are of the alphabet of the configuration, and
/// need no escape in an address.
struct Cell<'a>(&'a str, &'a str);

impl std::fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self(head, cell) = self;
        let at = match *head {
            "objective" => "/objectives/",
            "incident" => "/incidents/",
            "change" => "/changes/",
            "flag" => "/flags/",
            _ => return write!(f, "{}", Linked(cell)),
        };
        let name = Escaped(cell);
        if *cell == "-" {
            return write!(f, "{name}");
        }
        write!(f, "<a href=\"{at}{name}\">{name}</a>")
    }
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
