//! Pages for people: what is told of a running Plimsoll, in the order in which somebody at 02:14 asks.
//!
//! A page is a [`Page`] before it is HTML or text, and is computed from what is in memory: it stays up when stores,
//! collectors and upstreams are down. It is whole without scripts. With them the parts that move are taken anew from
//! here every other second, and charts are drawn (`assets/islands.js`); nothing is asked of any other place.
//!
//! What there is stands in [`PAGES`], one line each.

pub(crate) mod assets;
mod html;
mod pages;
#[cfg(test)]
mod tests;
mod text;

use std::collections::BTreeMap;

use crate::access::Caller;
use crate::api::flags::Known;
use crate::api::history::Latencies;
use crate::reading::ObjectiveReading;
use crate::record::State;
use crate::rollout::Looked;
use crate::spread::Part;
use crate::status::Status;
use crate::status::tables::Table;

pub(crate) use self::html::login_page;
pub(crate) use self::pages::{moved, refusal};

/// What pages are made of.
pub(crate) struct View<'a> {
    pub(crate) status: &'a Status,
    pub(crate) objectives: &'a [ObjectiveReading],
    pub(crate) state: &'a State,
    /// Milliseconds since the Unix epoch.
    pub(crate) now: u64,
    /// How what counts for the objective that the page is of was made up in the last hour, and how long its requests took.
    /// Looked up before: whoever makes a page holds the record, and others look at it while they hold what is asked here.
    pub(crate) breakdown: Vec<Part>,
    pub(crate) latencies: Option<Latencies>,
    /// What was seen of changes that are on their way, by their names.
    pub(crate) looked: BTreeMap<String, Looked>,
    /// The flags that are served.
    pub(crate) flags: Option<Known>,
}

/// A page that can be asked for. `{}` in its path is one segment.
pub(crate) struct Entry {
    path: &'static str,
    /// What it is called where all are listed; of those with an open part nothing is.
    title: Option<&'static str>,
    make: fn(&View<'_>, &str) -> Option<Page>,
}

const fn listed(path: &'static str, title: &'static str, make: fn(&View<'_>, &str) -> Option<Page>) -> Entry {
    Entry {
        path,
        title: Some(title),
        make,
    }
}

const fn open(path: &'static str, make: fn(&View<'_>, &str) -> Option<Page>) -> Entry {
    Entry {
        path,
        title: None,
        make,
    }
}

const OBJECTIVE: &str = "/objectives/{}";

/// All pages, in the order in which they are listed.
pub(crate) static PAGES: &[Entry] = &[
    listed("/", "Now", |view, _| Some(pages::now::page(view))),
    listed("/objectives", "Objectives", |view, _| {
        Some(pages::objectives::page(view))
    }),
    open(OBJECTIVE, pages::objective::page),
    listed("/traffic", "Traffic", |view, _| Some(pages::traffic::page(view))),
    listed("/business", "Business", |view, _| {
        Some(pages::business::page(view))
    }),
    listed("/saturation", "Saturation", |view, _| {
        Some(pages::saturation::page(view))
    }),
    listed("/incidents", "Incidents", |view, _| {
        Some(pages::incidents::page(view))
    }),
    open("/incidents/{}", pages::incident::page),
    listed("/changes", "Changes", |view, _| Some(pages::changes::page(view))),
    open("/changes/{}", pages::change::page),
    listed("/flags", "Flags", |view, _| Some(pages::flags::page(view))),
    open("/flags/{}", pages::flag::page),
    listed("/budget", "Budget", |view, _| Some(pages::budget::page(view))),
    listed("/audit", "Audit", |view, _| Some(pages::audit::page(view))),
    listed("/meta", "Meta", |view, _| Some(pages::meta::page(view))),
    open("/status", |view, _| Some(pages::whole::page(view))),
];

/// The objective that a page is of, if it is of one.
pub(crate) fn objective_of(path: &str) -> Option<&str> {
    open_part(OBJECTIVE, path)
}

/// Whether there is a page of this path, whatever stands in its open part.
pub(crate) fn is_page(path: &str) -> bool {
    PAGES.iter().any(|entry| open_part(entry.path, path).is_some())
}

/// The page of a path, if there is one, and what it is about.
pub(crate) fn page(view: &View<'_>, path: &str) -> Option<Page> {
    let mut found = PAGES
        .iter()
        .filter_map(|entry| Some((entry, open_part(entry.path, path)?)));
    let (entry, name) = found.next()?;
    (entry.make)(view, name)
}

fn open_part<'p>(template: &str, path: &'p str) -> Option<&'p str> {
    match template.strip_suffix("{}") {
        None => (template == path).then_some(""),
        Some(before) => path
            .strip_prefix(before)
            .filter(|open| !open.is_empty() && !open.contains('/')),
    }
}

/// How something stands, which is a word, a shape and a colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mood {
    Fine,
    Attention,
    /// Neither: not known, on its way out, or over soon.
    Leaving,
}

/// A page, before it is HTML or text.
pub(crate) struct Page {
    headline: String,
    mood: Mood,
    /// What needs attention, in sentences, the worst first.
    warnings: Vec<String>,
    /// Sentences below the headline.
    facts: Vec<String>,
    cards: Vec<Card>,
    /// What may be done from here by whoever may.
    forms: Vec<Form>,
    figures: Vec<Figure>,
    tables: Vec<Table>,
}

impl Page {
    fn new(headline: impl Into<String>, mood: Mood) -> Self {
        Self {
            headline: headline.into(),
            mood,
            warnings: Vec::new(),
            facts: Vec::new(),
            cards: Vec::new(),
            forms: Vec::new(),
            figures: Vec::new(),
            tables: Vec::new(),
        }
    }

    /// As HTML, at a path, for whoever asks. With `every` it loads itself again after so many seconds.
    pub(crate) fn to_html(&self, path: &str, caller: Option<&Caller>, every: Option<u64>) -> String {
        html::page(self, path, caller, every)
    }

    pub(crate) fn to_text(&self) -> String {
        text::page(self)
    }
}

/// Something that somebody has to look at, with all that is known of it.
struct Card {
    title: String,
    mood: Mood,
    /// What a line is about, and what it says.
    lines: Vec<(&'static str, String)>,
    forms: Vec<Form>,
}

/// A chart, and what it shows in words.
struct Figure {
    title: &'static str,
    chart: &'static str,
    /// Where its figures come from.
    source: String,
    says: String,
}

/// Something that may be done: what it is sent to, and the button that does it.
struct Form {
    action: String,
    button: &'static str,
    fields: Vec<Field>,
}

/// A field of a form.
enum Field {
    /// Filled in here.
    Given(&'static str, String),
    /// A line that somebody writes, under its label.
    Line(&'static str, &'static str),
    /// A text of several lines, under its label, and what it is to begin with.
    Text(&'static str, &'static str, String),
    /// Another button, and what the same fields are sent to by it.
    Otherwise(&'static str, String),
    /// One of several numbers, each in words.
    Choice(&'static str, &'static str, &'static [(u32, &'static str)]),
}

/// Rows of a page that may have many.
const ROWS_MAX: usize = 50;
