//! What is full, or will soon be: who waits comes before who works.

use super::super::{Mood, Page, View};
use crate::status::tables;

pub(in super::super) fn page(view: &View<'_>) -> Page {
    let status = view.status;
    let waiting: u64 = status.upstreams.iter().map(|upstream| upstream.waiting).sum();
    let bound = status
        .upstreams
        .iter()
        .filter(|upstream| upstream.pressure == "bound")
        .count();
    let (headline, mood) = match (bound, waiting, &*status.saturation.memory_level) {
        (0, 0, "ample") => ("There is room".to_owned(), Mood::Fine),
        (0, 0, level) => (format!("Memory is {level}"), Mood::Attention),
        (0, waiting, _) => (format!("{waiting} requests wait for a slot"), Mood::Attention),
        (bound, waiting, _) => (
            format!("{bound} upstreams are asked for more than they can do; {waiting} requests wait"),
            Mood::Attention,
        ),
    };
    Page {
        tables: vec![
            tables::of_upstreams(status),
            tables::of_endpoints(status),
            tables::of_process(status),
        ],
        ..Page::new(headline, mood)
    }
}
