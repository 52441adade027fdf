//! Routes: what is judged and protected as one.

use std::time::Duration;

use http::Method;

use crate::config::read::At;
use crate::config::stanza::{stanza, words};
use crate::config::value::quantity::{Rate, Ratio, Size};
use crate::config::value::word::{FailureStatus, Host, KeyWord, Name, PathTemplate};
use crate::config::value::{Named, Switch};

stanza! {
    /// Requests that are judged and protected as one.
    Route {
        /// Unique within the listener; the label in every metric.
        name: Name;
        /// Methods it takes; none listed is any.
        methods: Vec<Method> = "[]";
        /// Hosts it answers to; none listed is any.
        hosts: Vec<Host> = "[]";
        /// Path template: `{id}` is one segment, `{*rest}` all that follow. The most specific route wins, wherever it stands.
        path: PathTemplate = "/{*rest}";
        /// Where it leads. May be left out when there is only one upstream.
        upstream: Option<Name> = "null";
        /// How long requests may take.
        deadline: Deadline = "{}";
        /// Try again, where that is safe.
        retry: Switch<Retry> = "on";
        /// Send late requests to a second endpoint as well, and take the answer that comes first. It costs load, so it is off unless it is asked for.
        hedge: Switch<Hedge> = "off";
        /// Limits on how often callers may ask; all of them must admit.
        rate_limits: Vec<RateLimit> = "[]";
        /// Faults to inject, for drills. All are tried, and add up.
        fault: Vec<At<Fault>> = "[]";
        /// How much its requests matter when the upstream cannot do all of them. Callers may say that theirs matter less.
        priority: Priority = "normal";
        /// The largest body, instead of the listener's `limits.body`.
        body: Option<Size> = "null";
    }
}

words! {
    /// How much a request matters.
    Priority {
        /// Served as long as anything is.
        Critical = "critical",
        /// What most requests are.
        Normal = "normal",
        /// Dropped first.
        Sheddable = "sheddable",
    }
}

stanza! {
    /// How long requests may take.
    Deadline {
        /// For requests whose caller sets no deadline.
        total: Duration = "15s", from "1ms" to "1d";
        /// The most that a caller may ask for.
        total_max: Duration = "5m", from "1ms" to "1d";
        /// For one try. Without it, it follows what was measured: one and a half times the 99.9th percentile.
        per_try: Option<Duration> = "null", from "1ms" to "1d";
        /// Taken off the time left, and at most half of it, when the next hop is told how long it has. It covers the way there and back.
        margin: Duration = "5ms", from "0s" to "10s";
    }
}

stanza! {
    /// Trying again. Only what is safe to repeat is repeated, within the deadline and the upstream's retry budget.
    Retry {
        /// Tries after the first.
        retries_max: u32 = "2", from "0" to "10";
        /// The longest wait before the first retry; it doubles for each further one. The wait itself is random.
        backoff_base: Duration = "25ms", from "0s" to "1m";
        /// The longest wait before any retry.
        backoff_cap: Duration = "1s", from "0s" to "5m";
        /// Statuses that are worth another try.
        statuses: Vec<FailureStatus> = "[502, 503, 504]";
        /// Try again when a try took too long.
        on_timeout: bool = "true";
        /// Longest `Retry-After` that is waited for; a longer one ends the trying.
        retry_after_max: Duration = "5s", from "0s" to "1h";
        /// Largest body that is kept so that it can be sent again; a request with a larger one is tried once.
        body_max: Size = "64KiB", from "0" to "16MiB";
        /// Requests are safe to repeat whatever their method, because the service makes sure of that.
        idempotent: bool = "false";
    }
}

stanza! {
    /// Hedging: a request that is not answered in the usual time goes to a second endpoint, beside the first. Only safe methods are hedged.
    Hedge {
        /// How long the first is waited for. Without it, it follows what was measured: the 95th percentile.
        after: Option<Duration> = "null", from "1ms" to "1m";
        /// The most hedges, as a share of the requests that may be hedged. They count in the upstream's retry budget as well.
        share: Ratio = "2%";
        /// From this load of the upstream on nothing is hedged: in flight, as a share of its adaptive limit or of `in_flight_max`.
        load_max: Ratio = "70%";
        /// Requests may run twice at once whatever their method, because the service makes sure of that.
        idempotent: bool = "false";
    }
}

stanza! {
    /// A limit on how often each caller may ask.
    RateLimit {
        /// Name in the `RateLimit` header, in metrics and in logs. Limits of the same name share their counts.
        name: Name;
        /// What callers are told apart by: `tenant`, `tier`, `route`, `client-address`, `header:X-Name`. None listed is one count for all.
        key: Vec<KeyWord> = "[]";
        /// How often in the long run.
        rate: Rate;
        /// How many at once after a rest. Without it, as many as `rate` allows in its span.
        burst: Option<u32> = "null", from "1" to "1000000000";
        /// Other quotas for certain tiers.
        by_tier: Named<TierQuota> = "{}";
        /// Keys that are remembered at once, at 17 bytes each; beyond that the longest unseen are forgotten.
        keys_max: usize = "100000", from "1" to "100000000";
    }
}

stanza! {
    /// A quota for one tier.
    TierQuota {
        /// How often in the long run.
        rate: Rate;
        /// How many at once after a rest. Without it, as many as `rate` allows in its span.
        burst: Option<u32> = "null", from "1" to "1000000000";
    }
}

stanza! {
    /// A fault to inject. Exactly one of `delay`, `abort`, `disconnect` and `throttle` says which.
    Fault {
        /// Share of requests that it befalls.
        share: Ratio = "100%";
        /// Only requests that ask for the fault by this name, in their fault header, from a peer in the listener's `trust`.
        header: Option<Name> = "null";
        /// Wait this long before the request is sent on.
        delay: Option<Duration> = "null", from "1ms" to "5m";
        /// Answer with this status instead of sending the request on.
        abort: Option<FailureStatus> = "null";
        /// Break the connection instead of answering.
        disconnect: bool = "false";
        /// Let the answer's body through at this many bytes per second.
        throttle: Option<Size> = "null", from "1B" to "1GiB";
    }
}
