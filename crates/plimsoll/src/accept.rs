//! What a caller would rather read: the `Accept` header of RFC 9110, §12.5.1.
//!
//! A media range that names more wins over one that names less, so `text/html;q=0.1, */*` likes everything better
//! than HTML. What cannot be read is passed over: a broken header is no reason to answer nothing.

/// A media type that can be offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Offer {
    /// Such as `text`.
    pub(crate) kind: &'static str,
    /// Such as `plain`.
    pub(crate) subtype: &'static str,
    /// Values that the `version` parameter may have, if the range has one.
    pub(crate) versions: &'static [&'static str],
}

/// The place in `offers` of what the caller likes best; of equals the first, and the first if it likes none:
/// a page in the wrong format tells more than a 406.
pub(crate) fn choose(accept: Option<&str>, offers: &[Offer]) -> usize {
    let Some(accept) = accept.filter(|accept| !accept.trim().is_empty()) else {
        return 0;
    };
    let likings = offers.iter().map(|offer| liking(accept, offer)).enumerate();
    let best = likings.fold(
        (0, 0),
        |best, (place, liked)| if liked > best.1 { (place, liked) } else { best },
    );
    best.0
}

/// How much `offer` is liked, in thousandths; 0 is not at all.
fn liking(accept: &str, offer: &Offer) -> u16 {
    let matching = accept.split(',').filter_map(|range| matches(range, offer));
    matching
        .max_by_key(|(specificity, _)| *specificity)
        .map_or(0, |(_, quality)| quality)
}

/// How specifically the range names the offer, and with which quality; `None` if it does not.
fn matches(range: &str, offer: &Offer) -> Option<(u8, u16)> {
    let mut parts = range.split(';').map(str::trim);
    let (kind, subtype) = parts.next()?.split_once('/')?;
    let mut specificity = match (kind, subtype) {
        ("*", "*") => 0,
        (kind, "*") if kind.eq_ignore_ascii_case(offer.kind) => 1,
        (kind, subtype)
            if kind.eq_ignore_ascii_case(offer.kind) && subtype.eq_ignore_ascii_case(offer.subtype) =>
        {
            2
        }
        _ => return None,
    };
    let mut quality = 1000;
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        let value = value.trim().trim_matches('"');
        if name.trim().eq_ignore_ascii_case("q") {
            quality = thousandths(value)?;
        } else if name.trim().eq_ignore_ascii_case("version") {
            if !offer.versions.contains(&value) {
                return None;
            }
            specificity += 1;
        }
    }
    Some((specificity, quality))
}

/// `0`, `0.25`, `1.000`: at most three decimals, and at most 1.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let digits = decimals.bytes().all(|byte| byte.is_ascii_digit());
    if !matches!(whole, "0" | "1") || decimals.len() > 3 || !digits {
        return None;
    }
    let fraction: u16 = format!("{decimals:0<3}").parse().ok()?;
    let value = if whole == "1" { 1000 } else { 0 } + fraction;
    (value <= 1000).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFERS: &[Offer] = &[
        Offer {
            kind: "text",
            subtype: "plain",
            versions: &["0.0.4"],
        },
        Offer {
            kind: "application",
            subtype: "openmetrics-text",
            versions: &["1.0.0", "0.0.1"],
        },
    ];

    #[test]
    fn the_best_liked_is_chosen() {
        let prometheus = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;q=0.6,\
            application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,text/plain;version=0.0.4;q=0.4,*/*;q=0.3";
        for (accept, chosen) in [
            (None, 0),
            (Some(""), 0),
            (Some("*/*"), 0),
            (Some("application/json"), 0),
            (Some(prometheus), 1),
            (Some("application/openmetrics-text; version=\"1.0.0\""), 1),
            (Some("application/openmetrics-text; version=2.0.0"), 0),
            (Some("application/openmetrics-text;q=0.3, text/plain;q=0.31"), 0),
            (Some("application/openmetrics-text;q=0, */*"), 0),
            (Some("text/*;q=0.2, application/*;q=0.9"), 1),
            (
                Some("Application/OpenMetrics-Text ; Q=0.9 , text/plain ; q=0.8"),
                1,
            ),
            (Some("text/plain;q=0.1, */*;q=0.2"), 1),
            (Some("application/openmetrics-text;q=1.5, nonsense"), 0),
        ] {
            assert_eq!(choose(accept, OFFERS), chosen, "{accept:?}");
        }
    }
}
