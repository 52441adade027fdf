//! Everything on one page: what curl and `plimsoll status` print.

use super::super::{Mood, Page, View};
use crate::status::{headline, tables, up};

pub(in super::super) fn page(view: &View<'_>) -> Page {
    let status = view.status;
    let mood = match (&*status.state, status.attention.is_empty()) {
        ("serving", true) => Mood::Fine,
        ("serving", false) => Mood::Attention,
        _ => Mood::Leaving,
    };
    Page {
        warnings: status.attention.clone(),
        facts: vec![format!(
            "plimsoll {}, read at {}{}",
            status.version,
            status.at,
            up(status)
        )],
        tables: tables::tables(status),
        ..Page::new(headline(status), mood)
    }
}
