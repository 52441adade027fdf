//! The reference of all keys, as Markdown for the book.

use std::fmt::Write;

use super::raw::TopLevel;
use super::shape::{FieldShape, Shape, StanzaShape, spaced};
use super::value::Stanza;

/// One section for each stanza, in the order in which a reader of the file comes to them.
pub(crate) fn markdown() -> String {
    let root = TopLevel::stanza();
    let mut stanzas = Vec::new();
    collect(&root, &mut stanzas);
    let mut page = String::new();
    for stanza in stanzas {
        section(stanza, &mut page);
    }
    page
}

/// Every stanza once, a stanza before those that it contains.
fn collect<'s>(stanza: &'s StanzaShape, into: &mut Vec<&'s StanzaShape>) {
    if into.iter().any(|known| known.name == stanza.name) {
        return;
    }
    into.push(stanza);
    for inner in stanza.fields.iter().filter_map(|field| field.shape.stanza()) {
        collect(inner, into);
    }
}

fn section(stanza: &StanzaShape, page: &mut String) {
    let lines = || -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        writeln!(text, "### {}\n\n{}\n", spaced(stanza.name), stanza.about)?;
        writeln!(text, "| key | value | default | meaning |\n|---|---|---|---|")?;
        for field in &stanza.fields {
            let (value, default) = (cell(&value(field)), cell(&default(field)));
            writeln!(
                text,
                "| `{}` | {value} | {default} | {} |",
                field.name,
                cell(&meaning(field))
            )?;
        }
        Ok(text)
    };
    page.push_str(&lines().expect("a String takes every write"));
    page.push('\n');
}

fn value(field: &FieldShape) -> String {
    let what = field.shape.what();
    match field.range {
        Some((min, max)) => format!("{what}, `{min}` to `{max}`"),
        None => what,
    }
}

fn default(field: &FieldShape) -> String {
    match field.default {
        None => "**required**".to_owned(),
        Some("null" | "{}") => "—".to_owned(),
        Some("[]") => "none".to_owned(),
        Some(text) => format!("`{text}`"),
    }
}

fn meaning(field: &FieldShape) -> String {
    let mut text = field.doc.to_owned();
    if let Shape::Words(words) = &field.shape {
        for (word, about) in *words {
            _ = write!(text, " `{word}`: {about}");
        }
    }
    text
}

/// A bar would end the cell.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
