//! How a page is spelled: for a browser, for a terminal, for a program.

use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderMap, HeaderName};

use crate::accept::{self, Offer};

/// How a page is spelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Spelling {
    Json,
    Text,
    Html,
}

/// The form for people and programs: what the query says, else what `Accept` prefers, JSON if it does not care;
/// curl, which does not care, is used by people.
pub(super) fn form(headers: &HeaderMap, query: &str) -> Spelling {
    let is_curl = header(headers, &USER_AGENT).is_some_and(|agent| agent.starts_with("curl/"));
    if is_curl && matches!(header(headers, &ACCEPT), None | Some("*/*")) {
        return wants(
            &HeaderMap::new(),
            query,
            &[Spelling::Text, Spelling::Json, Spelling::Html],
        );
    }
    wants(headers, query, &[Spelling::Json, Spelling::Text, Spelling::Html])
}

/// The one of `forms` that is wanted, the first if any will do.
pub(super) fn wants(headers: &HeaderMap, query: &str, forms: &[Spelling]) -> Spelling {
    let named = [
        (Spelling::Json, "json"),
        (Spelling::Text, "text"),
        (Spelling::Html, "html"),
    ];
    if let Some((form, _)) = named
        .iter()
        .find(|(form, name)| forms.contains(form) && parameter(query, name).is_some())
    {
        return *form;
    }
    let offers: Vec<Offer> = forms.iter().map(|form| form.offer()).collect();
    forms[accept::choose(header(headers, &ACCEPT), &offers)]
}

impl Spelling {
    fn offer(self) -> Offer {
        let (kind, subtype) = match self {
            Self::Json => ("application", "json"),
            Self::Text => ("text", "plain"),
            Self::Html => ("text", "html"),
        };
        Offer {
            kind,
            subtype,
            versions: &[],
        }
    }
}

pub(super) fn header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// The value of a parameter, empty if it has none.
pub(super) fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    let pairs = query
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs
        .filter(|(known, _)| *known == name)
        .map(|(_, value)| value)
        .next()
}
