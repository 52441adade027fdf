//! The attempt loop: send, class, retry if it is safe, in budget and in time.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use plimsoll_policy::{
    Attempted, Failure, FailureKind, Pushback, Repeatable, RetryBudget, RetryConfig, RetryDecision, Throttle,
};
use plimsoll_slo::{Instant, Reason};

use crate::admission::Slot;
use crate::attempt::{Answered, Missed, Sending, Until, judge};
use crate::body::answer::Terms;
use crate::body::upload::Upload;
use crate::event::AttemptNote;
use crate::fields::Known;
use crate::message::{Outbound, RequestHead};
use crate::outgoing::Outgoing;
use crate::passed::{Answer, Passed};
use crate::pipeline::Flow;
use crate::plan::Protocol;
use crate::pool::{CoreEndpoint, Lease};
use crate::race::Race;
use crate::respond::Refused;
use crate::ticket::Ticket;

/// What stays the same from one attempt to the next.
pub(crate) struct Work<'a> {
    pub(crate) flow: &'a Flow<'a>,
    pub(crate) outgoing: Outgoing,
    upload: Option<Rc<RefCell<Upload>>>,
    repeatable: Repeatable,
}

/// Makes attempts until one is answered for good, or no further one may be made.
pub(crate) async fn make(work: &Work<'_>, ticket: &mut Ticket) -> Result<Answer, Box<Refused>> {
    let flow = work.flow;
    let core = flow.core;
    flow.budget().deposit();
    let mut tried = Vec::new();
    let mut sent_at = if flow.faults.delay.is_some() {
        core.env.now()
    } else {
        ticket.began
    };
    let mut number = 0;
    loop {
        number += 1;
        ticket.attempt();
        let attempt = if let Some(race) = Race::of(work, number) {
            // Boxed: it holds two attempts, and would make every request's future twice as large.
            let raced = Box::pin(race.run(sent_at, ticket)).await;
            if let Some(beaten) = raced.beaten {
                number += 1;
                tried.push(beaten);
            }
            raced.attempt
        } else {
            let attempt = work.attempt(number, sent_at, &tried).await;
            note(ticket, &attempt, sent_at);
            attempt
        };
        let failure = Failed::of(&attempt, &core.env);
        if failure.is_some() && flow.instead.is_some() && number == 1 && is_unsent(&attempt) {
            // Nothing was asked of the candidate, so this is no retry for the stable version.
            ticket.went_back();
            continue;
        }
        let (Some(failure), Some(retry)) = (failure, &flow.route.plan.retry) else {
            return conclude(flow, attempt, ticket);
        };
        match work.again(retry, &failure, number) {
            RetryDecision::Stop(stop) => {
                ticket.retry_stopped(stop.word());
                return conclude(flow, attempt, ticket);
            }
            RetryDecision::Again(wait) => {
                ticket.failed_once();
                tried.extend(endpoint(&attempt).map(|endpoint| endpoint.shared.id));
                // The failed answer, its permit and the slot go before the wait: a wait holds nothing but its token.
                drop(attempt);
                let parked = flow.slot.map(Slot::park);
                let held = HeldToken(Some(flow.budget()));
                core.env.sleep(wait).await;
                drop(parked);
                held.spend();
                if flow.instead.is_some() {
                    ticket.went_back();
                }
                sent_at = core.env.now();
            }
        }
    }
}

impl<'a> Work<'a> {
    pub(crate) fn of(
        flow: &'a Flow<'a>,
        head: RequestHead,
        upload: Option<Rc<RefCell<Upload>>>,
        ticket: &Ticket,
    ) -> Self {
        let outgoing = Outgoing::of(head, None, flow, ticket);
        let repeatable = outgoing.repeatable(flow);
        Self {
            flow,
            outgoing,
            upload,
            repeatable,
        }
    }

    async fn attempt(&self, number: u32, now: Instant, tried: &[u64]) -> Result<Answered, Missed> {
        let sending = self.sending(number, now, tried)?;
        let flow = self.flow;
        let upstream = flow.instead.filter(|_| number > 1).unwrap_or(flow.upstream);
        flow.core
            .attempt(upstream, &sending, self.build(number, now))
            .await
    }

    /// On what terms an attempt is sent.
    pub(crate) fn sending<'s>(
        &'s self,
        number: u32,
        now: Instant,
        tried: &'s [u64],
    ) -> Result<Sending<'s>, Missed> {
        let flow = self.flow;
        let config = &flow.route.plan.deadline;
        let limit = self.learned_limit(number);
        let Some(try_end) = config.try_until(now, flow.deadline.at, limit) else {
            return Err(Missed::refused(
                Reason::DeadlineUnmeetable,
                "the deadline passed while waiting",
            ));
        };
        if let Some(journey) = &flow.journey {
            journey.sending(number, self.outgoing.came_as);
        }
        Ok(Sending {
            now,
            upload: self.upload.as_ref(),
            waited_before: self.upload.as_ref().map_or(Duration::ZERO, |upload| {
                let mut upload = upload.borrow_mut();
                upload.stop_waiting(now);
                upload.waited(now)
            }),
            grpc: flow.grpc,
            repeatable: self.repeatable != Repeatable::Undelivered,
            tried,
            until: Until {
                try_end,
                deadline: flow.deadline.at,
                waits_for_caller: !flow.deadline.asked,
                learned: limit.is_some() && config.per_try.is_none(),
            },
            budget: flow.budget(),
            usual: &flow.route.times.usual,
            journey: flow.journey.as_deref(),
        })
    }

    /// Makes the request of an attempt.
    pub(crate) fn build(
        &self,
        number: u32,
        now: Instant,
    ) -> impl Fn(&CoreEndpoint, &Lease) -> Option<Outbound> + '_ {
        move |endpoint, lease| {
            self.outgoing
                .request(self.flow, endpoint, lease, self.upload.as_ref(), number, now)
        }
    }

    /// Whether the body has come to its end and can be sent from its beginning, by two attempts at once.
    pub(crate) fn body_is_whole(&self) -> bool {
        self.upload.as_ref().is_none_or(|upload| {
            let upload = upload.borrow();
            upload.ended().is_some() && upload.is_replayable()
        })
    }

    /// What requests of this route hardly ever take longer than, if this try may be cut off for it: only a try that
    /// can be made again is. Otherwise a stall of the upstream would turn late answers into none.
    fn learned_limit(&self, number: u32) -> Option<Duration> {
        let retry = self.flow.route.plan.retry.as_ref()?;
        let again = retry.on_timeout
            && number <= retry.retries_max
            && self.repeatable != Repeatable::Undelivered
            && self.outgoing.came_as == 1
            && self.is_replayable()
            && self.flow.budget().balance() >= 1.0;
        self.flow.route.times.p999().filter(|_| again)
    }

    fn is_replayable(&self) -> bool {
        self.upload
            .as_ref()
            .is_none_or(|upload| upload.borrow().is_replayable())
    }

    fn again(&self, retry: &RetryConfig, failed: &Failed, number: u32) -> RetryDecision {
        let flow = self.flow;
        let attempted = Attempted {
            repeatable: self.repeatable,
            retries_done: number - 1,
            upstream_of_retry: self.outgoing.came_as > 1 || failed.retried_below,
            body_replayable: self.is_replayable(),
            deadline: flow
                .deadline
                .at
                .before(flow.route.times.p50().unwrap_or_default()),
        };
        let mut dice = flow.core.dice.borrow_mut();
        let now = flow.core.env.now();
        retry.decide(now, &attempted, &failed.failure, flow.budget(), &mut *dice)
    }
}

/// A failed attempt, as the retry policy sees it.
pub(crate) struct Failed {
    pub(crate) failure: Failure,
    /// A layer closer to the service says that it has retried already, or may not.
    retried_below: bool,
}

impl Failed {
    /// `None` when the attempt is an answer to pass on.
    pub(crate) fn of(attempt: &Result<Answered, Missed>, env: &crate::env::Env) -> Option<Self> {
        let (failure, retried_below) = match attempt {
            Ok(answered) => {
                // A layer that has made one attempt and says so would have made more, but for its budget.
                let below = answered.head.fields.number(Known::Attempts).is_some();
                (judge(&answered.head, env).failure?, below)
            }
            Err(missed) => {
                let pushback = missed.retry_after.map_or(Pushback::None, Pushback::After);
                let kind = FailureKind::Refused(missed.reason);
                (Failure { kind, pushback }, false)
            }
        };
        Some(Self {
            failure,
            retried_below,
        })
    }
}

/// Whether nothing was sent, since a permit, an endpoint or a breaker was in the way.
fn is_unsent(attempt: &Result<Answered, Missed>) -> bool {
    attempt.as_ref().is_err_and(|missed| missed.endpoint.is_none())
}

fn endpoint(attempt: &Result<Answered, Missed>) -> Option<&Rc<CoreEndpoint>> {
    match attempt {
        Ok(answered) => Some(&answered.endpoint),
        Err(missed) => missed.endpoint.as_ref(),
    }
}

/// Gives a token of the budget back if the wait for its retry is cut short.
struct HeldToken<'a>(Option<&'a RetryBudget>);

impl HeldToken<'_> {
    fn spend(mut self) {
        self.0 = None;
    }
}

impl Drop for HeldToken<'_> {
    fn drop(&mut self) {
        if let Some(budget) = self.0 {
            budget.refund();
        }
    }
}

/// Notes an attempt that ran alone.
pub(crate) fn note(ticket: &mut Ticket, attempt: &Result<Answered, Missed>, sent: Instant) {
    if is_unsent(attempt) {
        ticket.unsent();
    }
    // Only requests that are told need notes; the first good attempt of an unsampled request is not worth a string.
    let good = attempt
        .as_ref()
        .is_ok_and(|answered| !answered.head.status.is_server_error());
    if good && !ticket.trace.sampled && !ticket.has_notes() {
        return;
    }
    let note = noted(ticket, endpoint(attempt), sent);
    ticket.note(note.ended(attempt));
}

/// What is told of an attempt at `endpoint` that was sent at `sent` and ends now.
pub(crate) fn noted(ticket: &Ticket, endpoint: Option<&Rc<CoreEndpoint>>, sent: Instant) -> AttemptNote {
    AttemptNote {
        endpoint: endpoint.map_or_else(|| Arc::from("-"), |e| e.shared.address.to_string().into()),
        after: sent - ticket.began,
        took: ticket.core().env.now() - sent,
        status: None,
        reason: None,
        hedge: false,
        cancelled: false,
    }
}

impl AttemptNote {
    /// How it ended.
    pub(crate) fn ended(mut self, attempt: &Result<Answered, Missed>) -> Self {
        match attempt {
            Ok(answered) => self.status = Some(answered.head.status.as_u16()),
            Err(missed) => self.reason = Some(missed.reason),
        }
        self
    }
}

/// Makes one attempt at switching to `protocol`: an Upgrade request is never sent twice.
pub(crate) async fn once(
    flow: &Flow<'_>,
    head: RequestHead,
    protocol: &HeaderValue,
    ticket: &mut Ticket,
) -> Result<Answered, Missed> {
    let outgoing = Outgoing::of(head, Some(protocol), flow, ticket);
    ticket.attempt();
    let now = flow.core.env.now();
    let until = Until {
        try_end: flow.deadline.at,
        deadline: flow.deadline.at,
        waits_for_caller: false,
        learned: false,
    };
    let sending = Sending {
        now,
        upload: None,
        waited_before: Duration::ZERO,
        grpc: false,
        repeatable: false,
        tried: &[],
        until,
        budget: &flow.upstream.shared.budget,
        usual: &flow.route.times.usual,
        journey: flow.journey.as_deref(),
    };
    if let Some(journey) = &flow.journey {
        journey.sending(1, outgoing.came_as);
    }
    let build = |endpoint: &CoreEndpoint, lease: &_| outgoing.request(flow, endpoint, lease, None, 1, now);
    let attempt = flow.core.attempt(flow.upstream, &sending, build).await;
    note(ticket, &attempt, now);
    attempt
}

/// The last attempt stands.
pub(crate) fn conclude(
    flow: &Flow<'_>,
    attempt: Result<Answered, Missed>,
    ticket: &mut Ticket,
) -> Result<Answer, Box<Refused>> {
    match attempt {
        Ok(answered) => {
            let terms = Terms {
                grpc_open: flow.grpc,
                idle_max: flow.listener.plan.limits.stream_idle,
                deadline: flow.deadline.asked.then_some(flow.deadline.at),
                throttle: flow.faults.throttle.map(Throttle::new),
            };
            Ok(Answer::Passed(Box::new(Passed {
                answered,
                terms,
                attempts: ticket.attempts_told(),
            })))
        }
        Err(missed) => {
            let mut refused = Refused::new(missed.reason).cause(missed.cause);
            refused.retry_after = missed.retry_after.or(missed.reason.usual_wait());
            let attempts = ticket.attempts_told();
            refused
                .own
                .extend(attempts.map(|attempts| (Known::Attempts, attempts)));
            Err(Box::new(refused))
        }
    }
}

/// Whether a connection to the upstream is sure to be HTTP/1, the only one with an Upgrade.
pub(crate) const fn speaks_http1(protocol: Protocol, tls: bool) -> bool {
    match protocol {
        Protocol::Http1 => true,
        Protocol::Auto => !tls,
        Protocol::Http2 => false,
    }
}
