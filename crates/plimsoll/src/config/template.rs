//! The commented file that `plimsoll init` writes: every key with its meaning, and its default in a comment.

use super::raw::TopLevel;
use super::shape::{FieldShape, Shape, StanzaShape};
use super::value::Stanza;
use std::fmt::Write;

/// Values for keys that have no default, by path: the service of the book's first page.
const EXAMPLES: [(&str, &str); 27] = [
    ("listeners.name", "ingress"),
    ("listeners.listen", "127.0.0.1:8080"),
    ("listeners.routes.name", "everything"),
    ("listeners.routes.path", "/{*rest}"),
    ("listeners.routes.rate_limits.name", "per-tenant"),
    ("listeners.routes.rate_limits.rate", "100/s"),
    ("listeners.tls.key", "/etc/plimsoll/server.key"),
    ("listeners.tls.client_ca", "/etc/plimsoll/clients.pem"),
    ("listeners.routes.upstream", "app"),
    ("listeners.routes.hedge.after", "50ms"),
    ("listeners.routes.fault.header", "slow-app"),
    ("listeners.routes.fault.delay", "250ms"),
    ("listeners.routes.rate_limits.burst", "200"),
    ("listeners.routes.rate_limits.by_tier.burst", "200"),
    ("upstreams.tls.ca", "/etc/plimsoll/ca.pem"),
    ("upstreams.tls.certificate", "/etc/plimsoll/client.pem"),
    ("upstreams.tls.key", "/etc/plimsoll/client.key"),
    ("upstreams.tls.server_name", "app.example.com"),
    ("admin.token_file", "/etc/plimsoll/admin-token"),
    ("upstreams.name", "app"),
    ("upstreams.endpoints", "[http://127.0.0.1:3000]"),
    ("upstreams.driver.at", "http://127.0.0.1:{port}"),
    (
        "upstreams.driver.process.command",
        "['/srv/app/{version}/app', --port, '{port}']",
    ),
    ("upstreams.driver.process.directory", "/srv/app/{version}"),
    ("upstreams.driver.systemd.unit", "app@{version}.service"),
    (
        "upstreams.driver.exec.start",
        "[/usr/local/bin/start-app, '{version}']",
    ),
    (
        "upstreams.driver.exec.stop",
        "[/usr/local/bin/stop-app, '{version}']",
    ),
];

/// What the short file shows. A stanza is shown with those of its keys that are listed.
const ESSENTIAL: [&str; 24] = [
    "listeners",
    "listeners.name",
    "listeners.listen",
    "listeners.limits",
    "listeners.limits.body",
    "listeners.routes",
    "listeners.routes.name",
    "listeners.routes.path",
    "listeners.routes.deadline",
    "listeners.routes.deadline.total",
    "listeners.routes.retry",
    "listeners.routes.retry.retries_max",
    "upstreams",
    "upstreams.name",
    "upstreams.endpoints",
    "upstreams.in_flight_max",
    "upstreams.retry_budget",
    "upstreams.retry_budget.share",
    "admin",
    "admin.listen",
    "admin.token_file",
    "limits",
    "limits.memory",
    "drain_max",
];

/// Shown as they are, not in a comment, though they have a default: the file would be hard to read without.
const SHOWN: [&str; 2] = ["listeners.routes", "listeners.routes.path"];

/// The file; with every key if `full`.
pub(crate) fn template(full: bool) -> String {
    let more = if full {
        ""
    } else {
        " `plimsoll init --full` shows every key."
    };
    let mut page = Page {
        text: String::new(),
        full,
    };
    _ = writeln!(
        page.text,
        "# plimsoll.yaml: keys in comments show their defaults.{more}"
    );
    let root = TopLevel::stanza();
    page.stanza(
        &root,
        "",
        &Indent {
            before: String::new(),
            commented: false,
        },
    );
    page.text
}

struct Page {
    text: String,
    full: bool,
}

/// How a line begins.
#[derive(Clone)]
struct Indent {
    before: String,
    /// Within something that is in a comment as a whole.
    commented: bool,
}

impl Indent {
    fn deeper(&self) -> Self {
        Self {
            before: format!("{}  ", self.before),
            commented: self.commented,
        }
    }

    /// From here on everything is in a comment, whose `#` stands where the line would have begun.
    fn comment(&self) -> Self {
        if self.commented {
            return self.clone();
        }
        Self {
            before: format!("{}# ", self.before),
            commented: true,
        }
    }
}

impl Page {
    fn stanza(&mut self, stanza: &StanzaShape, path: &str, indent: &Indent) {
        for field in &stanza.fields {
            self.field(field, &join(path, field.name), indent);
        }
    }

    fn field(&mut self, field: &FieldShape, path: &str, indent: &Indent) {
        if !self.full && !ESSENTIAL.contains(&path) {
            return;
        }
        if indent.before.is_empty() {
            self.text.push('\n');
        }
        let range = field
            .range
            .map(|(min, max)| format!(" ({min} to {max})"))
            .unwrap_or_default();
        self.line(
            indent,
            &format!("# {}{}", field.doc, if self.full { &range } else { "" }),
        );
        let shown = field.required() || SHOWN.contains(&path);
        let hidden = if shown { indent.clone() } else { indent.comment() };
        match (&field.shape, field.default) {
            (Shape::Stanza(stanza), Some("{}")) | (Shape::Switch(stanza), Some("on")) => {
                self.line(indent, &format!("{}:", field.name));
                self.stanza(stanza, path, &indent.deeper());
            }
            (Shape::Stanza(stanza) | Shape::Switch(stanza), _) => {
                self.line(&hidden, &format!("{}:", field.name));
                self.stanza(stanza, path, &hidden.deeper());
            }
            (Shape::List(inner), _) if inner.stanza().is_some() => {
                self.line(&hidden, &format!("{}:", field.name));
                self.item(inner, path, &hidden.deeper());
            }
            (Shape::Map(inner), _) => {
                self.line(&hidden, &format!("{}:", field.name));
                self.line(&hidden.deeper(), "name:");
                if let Some(stanza) = inner.stanza() {
                    self.stanza(stanza, path, &hidden.deeper().deeper());
                }
            }
            _ => {
                let value = example(field, path);
                self.line(&hidden, &format!("{}: {value}", field.name));
            }
        }
    }

    /// The one item of a list of stanzas: its dash stands before its first key, below that key's comment.
    fn item(&mut self, inner: &Shape, path: &str, indent: &Indent) {
        let Some(stanza) = inner.stanza() else { return };
        let before = self.text.len();
        self.stanza(stanza, path, &indent.deeper());
        let body = self.text.split_off(before);
        // The comment of the first key goes above the dash, the key behind it.
        let first = stanza.fields.first().map_or("", |field| field.name);
        let inside = indent.deeper().before;
        let dashed = body.strip_prefix(&format!("{inside}#")).and_then(|rest| {
            let (comment, rest) = rest.split_once('\n')?;
            let rest = rest.strip_prefix(&format!("{inside}{first}:"))?;
            Some(format!("{0}#{comment}\n{0}- {first}:{rest}", indent.before))
        });
        if let Some(dashed) = dashed {
            self.text.push_str(&dashed);
        } else {
            // The first key is in a comment or not shown: the dash takes a line of its own.
            self.line(indent, "-");
            self.text.push_str(&body);
        }
    }

    fn line(&mut self, indent: &Indent, text: &str) {
        self.text.push_str(&indent.before);
        self.text.push_str(text);
        self.text.push('\n');
    }
}

fn example(field: &FieldShape, path: &str) -> String {
    let given = EXAMPLES
        .iter()
        .find(|(key, _)| *key == path)
        .map(|(_, value)| (*value).to_owned());
    given.unwrap_or_else(|| match field.default {
        Some(default) if default != "null" => default.to_owned(),
        _ => field.shape.example(),
    })
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}
