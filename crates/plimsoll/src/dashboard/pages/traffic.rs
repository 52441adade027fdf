//! Who is served, by route and tier, and what acted to protect them.

use super::super::{Mood, Page, View};
use crate::status::tables;

pub(in super::super) fn page(view: &View<'_>) -> Page {
    let status = view.status;
    let per_second: f64 = status.traffic.iter().map(|row| row.per_second).sum();
    let not_good = status
        .traffic
        .iter()
        .any(|row| row.good_share.is_some_and(|share| share < 1.0));
    let mood = if not_good { Mood::Attention } else { Mood::Fine };
    Page {
        tables: vec![
            tables::by_route(status),
            tables::protections(status),
            tables::of_client_errors(status),
            tables::of_hedging(status),
            tables::of_listeners(status),
        ],
        ..Page::new(format!("{per_second:.1} requests a second"), mood)
    }
}
