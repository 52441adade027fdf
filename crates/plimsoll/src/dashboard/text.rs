//! Pages as text: for curl, and for whoever reads them over the telephone.

use std::fmt::Write as _;

use super::{Card, Page};
use crate::status::text::{plain, section};

/// A page.
pub(super) fn page(page: &Page) -> String {
    let mut out = format!("{}\n", plain(&page.headline));
    for warning in &page.warnings {
        let _ = writeln!(out, "! {}", plain(warning));
    }
    for fact in &page.facts {
        let _ = writeln!(out, "{}", plain(fact));
    }
    page.cards.iter().for_each(|one| card(&mut out, one));
    page.tables.iter().for_each(|table| section(&mut out, table));
    out
}

fn card(out: &mut String, card: &Card) {
    let _ = writeln!(out, "\n{}", plain(&card.title));
    for (of, says) in &card.lines {
        let _ = writeln!(out, "  {of:9} {}", plain(says));
    }
}
