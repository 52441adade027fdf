//! Figures of the business.

use jiff::tz::TimeZone;

use super::objective::Vantage;
use crate::config::read::At;
use crate::config::stanza::{stanza, words};
use crate::config::value::outside::Link;
use crate::config::value::quantity::Ratio;
use crate::config::value::word::Name;

stanza! {
    /// A figure of the business: orders in a minute, the share of payments that succeed. It has no target. When it falls below what is usual at this time of the week, and no objective that may be the reason pages, a ticket tells of a blind spot.
    Kpi {
        /// A name of its own: a label, and what a ticket calls it.
        name: Name;
        /// Routes whose requests count; none for all routes of all ingress listeners. Good is a request whose caller got what it asked for: neither an error nor a client error (4xx).
        routes: Vec<At<Name>> = "[]";
        /// The tier whose requests count, `other` for those that name none; absent for all of them.
        tier: Option<Name> = "null";
        /// Where its events are seen. Those of any other place than `gateway` come by `POST /api/v1/outcomes`, and no request counts.
        vantage: Vantage = "gateway";
        /// What is looked at.
        measure: Measured = "rate";
        /// Less than this is no fall, of what is usual: 20 % of a rate if nothing is said, and 5 % of a share.
        fall: Option<Ratio> = "null";
        /// Where it is the same time of day and week: shops open by the clock of their people.
        zone: TimeZone = "UTC";
        /// Where it is written down what to do when it falls. It goes with the ticket.
        runbook: Option<Link> = "null";
    }
}

words! {
    /// What of a figure is looked at.
    Measured {
        /// Good events in a minute.
        Rate = "rate",
        /// The share of good events.
        Share = "share",
    }
}
