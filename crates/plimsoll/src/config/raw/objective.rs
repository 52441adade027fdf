//! Objectives: what is asked of a service.

use std::time::Duration;

use gateway::plan::WalkKey;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use crate::config::read::At;
use crate::config::stanza::{stanza, words};
use crate::config::value::outside::Link;
use crate::config::value::quantity::{Ratio, TargetShare};
use crate::config::value::time::WindowWord;
use crate::config::value::word::Name;

stanza! {
    /// An objective: which requests are to be good, and how many of them.
    Objective {
        /// A name of its own: a label, and what alerts call it.
        name: Name;
        /// The share of these requests that is to be good. Needed, unless the budget is `absolute` or it is a `composite`.
        target: Option<TargetShare> = "null";
        /// How many may be bad in the whole window, with `budget: absolute`.
        allowed: Option<u32> = "null", from "1" to "1000000";
        /// Routes whose requests count; none for all routes of all ingress listeners.
        routes: Vec<At<Name>> = "[]";
        /// Other objectives that it is made of, and nothing of its own: their budgets are one.
        composite: Vec<Member> = "[]";
        /// Of these routes only those that lead to this upstream.
        upstream: Option<Name> = "null";
        /// Of these routes only those that lead to an upstream of this version.
        version: Option<Name> = "null";
        /// Count journeys of users instead of requests: several requests that are one event.
        journey: Option<Journey> = "null";
        /// The tier whose requests count, `other` for those that name none; absent for all of them.
        tier: Option<Name> = "null";
        /// A good answer whose last byte takes longer than this is bad.
        latency: Option<Duration> = "null", from "1ms" to "1h";
        /// Count how soon what was committed can be seen, which is reported: an event is bad if that takes longer than this, and as soon as it is so late and still unseen.
        freshness: Option<Duration> = "null", from "100ms" to "7d";
        /// Where its events are seen. Those of any other place than `gateway` come by `POST /api/v1/outcomes`, and no request counts.
        vantage: Vantage = "gateway";
        /// The share of those events that is reported, if not all are, as of browsers one in ten. What counts are those that are reported; the gateway counts every request.
        sampling: Ratio = "100%";
        /// The time in which it is to be met: the last so much, or a period of the calendar, which begins anew with each `day`, `week` (on Mondays), `month`, `quarter` or `year`.
        window: WindowWord = "30d";
        /// How many of those make a period of the calendar: with `window: week`, 2 is a fortnight.
        window_count: u32 = "1", from "1" to "366";
        /// When one of the periods of the calendar begins, if not as people are used to.
        window_begins: Option<DateTime> = "null";
        /// Where it is midnight when a period of the calendar begins.
        zone: TimeZone = "UTC";
        /// What a budget is spent by.
        budget: Spending = "occurrences";
        /// How long a slice of time is: whole minutes.
        slice: Duration = "1m", from "1m" to "1d";
        /// The share of requests in a slice that makes it a good one, for `timeslices`.
        slice_target: Option<TargetShare> = "null";
        /// What a slice is in which nothing happened, though it was measured.
        empty_slice: EmptySlice = "unknown";
        /// Where it is written down what to do when it calls somebody. It goes with every alert.
        runbook: Option<Link> = "null";
    }
}

stanza! {
    /// An objective that another one is made of.
    Member {
        /// Its name. It is no composite itself.
        objective: Name;
        /// How much it counts beside the others: what it spends of its budget is multiplied by it.
        weight: u32 = "1", from "1" to "1000";
    }
}

stanza! {
    /// A journey of a user: requests of several routes that are one event. It is bad as soon as one of them is, and good when its last route has served it, without a client error (4xx); it counts once. Whoever leaves on the way without having met anything bad counts neither way.
    Journey {
        /// The routes on its way. The last of them ends it.
        routes: Vec<At<Name>>;
        /// What its requests have in common: `header:NAME` or `cookie:NAME` with the same value, or the same `trace`. A request without one counts neither way.
        key: WalkKey = "trace";
        /// How long it may take, from its first request on. With less, less has to be remembered: 65,536 may be on their way.
        within: Duration = "30m", from "1s" to "1d";
    }
}

words! {
    /// Where events are seen, which is a part of what an objective means.
    Vantage {
        /// Here, by the requests that pass.
        Gateway = "gateway",
        /// Where people are: browsers, probes.
        Edge = "edge",
        /// Inside the service.
        Service = "service",
        /// By a job: a batch, a consumer, a report.
        Job = "job",
        /// Where data is kept: how fresh, how right it is.
        Database = "database",
    }
}

impl Vantage {
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Edge => "edge",
            Self::Service => "service",
            Self::Job => "job",
            Self::Database => "database",
        }
    }
}

words! {
    /// What a budget is spent by.
    Spending {
        /// By bad requests: each counts alike.
        Occurrences = "occurrences",
        /// By bad slices of time: each counts alike, however much happened in it.
        Timeslices = "timeslices",
        /// By bad requests, of which there may be so many as `allowed` says, however many there are: for what must be right. The first one pages.
        Absolute = "absolute",
        /// By the shares of bad requests in slices of time: each slice counts alike.
        RatioTimeslices = "ratio-timeslices",
    }
}

words! {
    /// What a slice is in which nothing happened.
    EmptySlice {
        /// Nobody knows: it lowers coverage.
        Unknown = "unknown",
        /// Good: nobody was hurt.
        Good = "good",
        /// None at all: the budget is that of the other slices.
        Skipped = "skipped",
    }
}
