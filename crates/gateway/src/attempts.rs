//! The attempt loop: send, class, retry if it is safe, in budget and in time.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use http::header::{CONNECTION, CONTENT_LENGTH, HOST, UPGRADE};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, Version};
use plimsoll_policy::{
    Attempted, Failure, FailureKind, Pushback, Repeatable, RetryDecision, Throttle, write_grpc_timeout,
};
use plimsoll_slo::{Class, Instant, Reason, classify_grpc, classify_http};

use crate::attempt::{Answered, Judged, Missed, Sending, Until};
use crate::body::answer::{AnswerBody, Terms, grpc_status};
use crate::body::upload::{AttemptBody, Upload};
use crate::event::AttemptNote;
use crate::headers::{self, ATTEMPT, ATTEMPTS, DEADLINE, GRPC_TIMEOUT};
use crate::identity::{REQUEST_ID, TRACEPARENT};
use crate::pipeline::Flow;
use crate::plan::Protocol;
use crate::pool::{CoreEndpoint, Lease};
use crate::respond::Refused;
use crate::ticket::Ticket;

/// An answer that is to be passed on.
pub(crate) enum Answer {
    /// The upstream's.
    Passed(Box<Passed>),
    /// A protocol was switched; the tunnel runs on its own.
    Switched(Response<()>),
}

/// The upstream's answer, and on what terms its body passes.
pub(crate) struct Passed {
    answered: Answered,
    terms: Terms,
    attempts: u32,
}

/// Makes attempts until one is answered for good, or no further one may be made.
pub(crate) async fn make(
    flow: &Flow<'_>,
    parts: Parts,
    upload: Option<Rc<RefCell<Upload>>>,
    ticket: &mut Ticket,
) -> Result<Answer, Box<Refused>> {
    let core = flow.core;
    let retry = flow.route.plan.retry.as_ref();
    let outgoing = Outgoing::of(parts, flow, ticket);
    let below = headers::number(&outgoing.headers, &ATTEMPT)
        .filter(|_| ticket.caller.trusted)
        .unwrap_or(1);
    let repeatable = outgoing.repeatable(flow);
    flow.upstream.shared.budget.deposit();
    let mut tried = Vec::new();
    let mut sent_at = if flow.faults.delay.is_some() {
        core.env.now()
    } else {
        ticket.began
    };
    loop {
        let number = ticket.attempt();
        let sending = Sending {
            now: sent_at,
            upload: upload.as_ref(),
            grpc: flow.grpc,
            repeatable: repeatable != Repeatable::Undelivered,
            tried: &tried,
            until: until(flow, sent_at)?,
        };
        let attempt = core
            .attempt(flow.upstream, &sending, |endpoint, lease| {
                outgoing.request(
                    flow,
                    endpoint,
                    lease,
                    upload.as_ref(),
                    number + below as u32 - 1,
                    sent_at,
                )
            })
            .await;
        let (failure, endpoint, lower_layer_retried) = match &attempt {
            Ok(answered) => {
                let judged = Judged::of(&answered.response, &core.env);
                let retried = headers::number(answered.response.headers(), &ATTEMPTS).is_some_and(|n| n > 1);
                (judged.failure, Some(&answered.endpoint), retried)
            }
            Err(missed) => {
                let pushback = missed.retry_after.map_or(Pushback::None, Pushback::After);
                (
                    Some((FailureKind::Refused(missed.reason), pushback)),
                    missed.endpoint.as_ref(),
                    false,
                )
            }
        };
        note(ticket, &attempt, endpoint, sent_at);
        let Some((kind, pushback)) = failure else {
            return conclude(flow, attempt, ticket);
        };
        let Some(retry) = retry else {
            return conclude(flow, attempt, ticket);
        };
        let attempted = Attempted {
            repeatable,
            retries_done: number - 1,
            upstream_of_retry: below > 1 || lower_layer_retried,
            body_replayable: upload
                .as_ref()
                .is_none_or(|upload| upload.borrow().is_replayable()),
            deadline: flow
                .deadline
                .at
                .before(flow.route.times.p50().unwrap_or_default()),
        };
        let failure = Failure { kind, pushback };
        let now = core.env.now();
        let decision = retry.decide(
            now,
            &attempted,
            &failure,
            &flow.upstream.shared.budget,
            &mut *core.dice.borrow_mut(),
        );
        match decision {
            RetryDecision::Stop(stop) => {
                ticket.retry_stopped(stop.word());
                return conclude(flow, attempt, ticket);
            }
            RetryDecision::Again(wait) => {
                tried.extend(endpoint.map(|endpoint| endpoint.shared.id));
                // The failed answer and its permit go before the wait: a wait holds nothing but its budget.
                drop(attempt);
                let held = HeldToken::new(flow);
                core.env.sleep(wait).await;
                held.spend();
                sent_at = core.env.now();
            }
        }
    }
}

/// Gives a token of the budget back if the wait for its retry is cut short.
struct HeldToken<'a>(Option<&'a plimsoll_policy::RetryBudget>);

impl<'a> HeldToken<'a> {
    fn new(flow: &'a Flow<'_>) -> Self {
        Self(Some(&flow.upstream.shared.budget))
    }

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

/// When the next attempt is given up.
fn until(flow: &Flow<'_>, now: Instant) -> Result<Until, Box<Refused>> {
    let config = &flow.route.plan.deadline;
    let try_end = config.try_until(now, flow.deadline.at, flow.route.times.p999());
    let Some(try_end) = try_end else {
        return Err(Box::new(
            Refused::new(Reason::DeadlineUnmeetable).cause("the deadline passed while waiting"),
        ));
    };
    let after_upload = (!flow.deadline.asked).then(|| try_end - now);
    Ok(Until {
        try_end,
        deadline: flow.deadline.at,
        after_upload,
    })
}

fn note(
    ticket: &mut Ticket,
    attempt: &Result<Answered, Missed>,
    endpoint: Option<&Rc<CoreEndpoint>>,
    sent: Instant,
) {
    // Only requests that are told need notes; the first good attempt of an unsampled request is not worth a string.
    let good = attempt
        .as_ref()
        .is_ok_and(|answered| !answered.response.status().is_server_error());
    if good && !ticket.trace.sampled && !ticket.has_notes() {
        return;
    }
    let (status, reason) = match attempt {
        Ok(answered) => (Some(answered.response.status().as_u16()), None),
        Err(missed) => (None, Some(missed.reason)),
    };
    ticket.note(AttemptNote {
        endpoint: endpoint.map_or_else(|| Arc::from("-"), |e| e.shared.address.to_string().into()),
        after: sent - ticket.began,
        took: ticket.core().env.now() - sent,
        status,
        reason,
    });
}

/// Makes one attempt at switching to `protocol`: an Upgrade request is never sent twice.
pub(crate) async fn once(
    flow: &Flow<'_>,
    parts: Parts,
    protocol: &HeaderValue,
    ticket: &mut Ticket,
) -> Result<Answered, Missed> {
    let core = flow.core;
    let outgoing = Outgoing::of(parts, flow, ticket);
    ticket.attempt();
    let sent_at = core.env.now();
    let until = Until {
        try_end: flow.deadline.at,
        deadline: flow.deadline.at,
        after_upload: None,
    };
    let sending = Sending {
        now: sent_at,
        upload: None,
        grpc: false,
        repeatable: false,
        tried: &[],
        until,
    };
    let attempt = core
        .attempt(flow.upstream, &sending, |endpoint, lease| {
            let mut request = outgoing.request(flow, endpoint, lease, None, 1, sent_at);
            request
                .headers_mut()
                .insert(CONNECTION, HeaderValue::from_static("upgrade"));
            request.headers_mut().insert(UPGRADE, protocol.clone());
            request
        })
        .await;
    let endpoint = attempt
        .as_ref()
        .map_or_else(|missed| missed.endpoint.clone(), |a| Some(Rc::clone(&a.endpoint)));
    note(ticket, &attempt, endpoint.as_ref(), sent_at);
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
                grpc: flow.grpc,
                idle_max: flow.listener.plan.limits.stream_idle,
                deadline: flow.deadline.asked.then_some(flow.deadline.at),
                throttle: flow.faults.throttle.map(Throttle::new),
                disconnect: flow.faults.disconnect,
            };
            Ok(Answer::Passed(Box::new(Passed {
                answered,
                terms,
                attempts: ticket.attempts(),
            })))
        }
        Err(missed) => {
            if missed.endpoint.is_none() && !matches!(missed.reason, Reason::ClientClosed) {
                ticket.unsent();
            }
            let mut refused = Refused::new(missed.reason).cause(missed.cause);
            refused.retry_after = missed.retry_after.or_else(|| usual_wait(missed.reason));
            if ticket.attempts() > 1 {
                refused
                    .headers
                    .insert(ATTEMPTS, HeaderValue::from(ticket.attempts()));
            }
            Err(Box::new(refused))
        }
    }
}

/// How long to stay away where the policy does not say: long enough that things may have changed.
fn usual_wait(reason: Reason) -> Option<std::time::Duration> {
    matches!(
        reason,
        Reason::BulkheadFull | Reason::NoEndpoint | Reason::UpstreamUnresolved | Reason::UpstreamRefused
    )
    .then_some(std::time::Duration::from_secs(1))
}

impl Answer {
    /// The answer as it goes to the caller, carrying the ticket to the end of its body.
    pub(crate) fn into_response(self, mut ticket: Ticket) -> Response<AnswerBody> {
        let passed = match self {
            Self::Switched(response) => {
                let now = ticket.core().env.now();
                ticket.head(now, response.status().as_u16(), Class::Good);
                ticket.complete(now);
                return response.map(|()| AnswerBody::own(bytes::Bytes::new(), ticket));
            }
            Self::Passed(passed) => *passed,
        };
        let Passed {
            answered:
                Answered {
                    response,
                    lease,
                    permit,
                    at,
                    ..
                },
            terms,
            attempts,
        } = passed;
        let (mut head, incoming) = response.into_parts();
        let class = match grpc_status(&head.headers).filter(|_| terms.grpc) {
            Some(code) => {
                let class = classify_grpc(code);
                ticket.grpc_status(code, class);
                class
            }
            None => classify_http(head.status.as_u16()),
        };
        ticket.head(at, head.status.as_u16(), class);
        if matches!(class, Class::Bad(_)) {
            ticket.fail(class, format!("the upstream answered {}", head.status));
        }
        headers::strip_hop_by_hop(&mut head.headers);
        head.headers.insert(REQUEST_ID, ticket.request_id.clone());
        if attempts > 1 {
            head.headers.insert(ATTEMPTS, HeaderValue::from(attempts));
        }
        head.version = Version::HTTP_11;
        let body = AnswerBody::passing(incoming, ticket, lease, permit, terms);
        Response::from_parts(head, body)
    }
}

/// The request as it goes on, but for what each attempt changes.
struct Outgoing {
    method: Method,
    path: PathAndQuery,
    authority: Option<HeaderValue>,
    headers: HeaderMap,
}

impl Outgoing {
    fn of(parts: Parts, flow: &Flow<'_>, ticket: &Ticket) -> Self {
        let Parts {
            method,
            uri,
            mut headers,
            ..
        } = parts;
        headers::strip_hop_by_hop(&mut headers);
        // In HTTP/2 the host is the :authority; in HTTP/1 a target with a host was checked to agree with it.
        let authority = match uri.authority() {
            Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
            None => headers.get(HOST).cloned(),
        };
        if let Some(authority) = &authority {
            headers.insert(HOST, authority.clone());
        }
        ticket
            .caller
            .forward(&mut headers, flow.peer_text, flow.listener.scheme);
        headers.insert(REQUEST_ID, ticket.request_id.clone());
        headers.insert(TRACEPARENT, ticket.trace.header());
        let path = uri
            .into_parts()
            .path_and_query
            .unwrap_or(PathAndQuery::from_static("/"));
        Self {
            method,
            path,
            authority,
            headers,
        }
    }

    fn repeatable(&self, flow: &Flow<'_>) -> Repeatable {
        let declared = flow
            .route
            .plan
            .retry
            .as_ref()
            .is_some_and(|retry| retry.idempotent);
        if declared {
            return Repeatable::Always;
        }
        Repeatable::of(self.method.as_str(), self.headers.contains_key("idempotency-key"))
    }

    fn request(
        &self,
        flow: &Flow<'_>,
        endpoint: &CoreEndpoint,
        lease: &Lease,
        upload: Option<&Rc<RefCell<Upload>>>,
        attempt: u32,
        now: Instant,
    ) -> Request<AttemptBody> {
        let body = upload.map_or(AttemptBody::none(), Upload::attempt);
        let mut request = Request::new(body);
        *request.method_mut() = self.method.clone();
        let mut headers = self.headers.clone();
        headers.insert(ATTEMPT, HeaderValue::from(attempt));
        let left = flow.route.plan.deadline.on_wire(now, flow.deadline.at);
        headers.insert(
            DEADLINE,
            HeaderValue::from(u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
        );
        if flow.grpc
            && let Ok(value) = HeaderValue::from_bytes(write_grpc_timeout(left).as_bytes())
        {
            headers.insert(GRPC_TIMEOUT, value);
        }
        if upload.is_none() && !self.method.is_idempotent() {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        let authority = if flow.upstream.shared.plan.rewrite_host || self.authority.is_none() {
            endpoint.shared.authority.clone()
        } else {
            self.authority.clone().unwrap_or(HeaderValue::from_static(""))
        };
        let mut uri = http::uri::Parts::default();
        uri.path_and_query = Some(self.path.clone());
        if lease.is_http2() {
            headers.remove(HOST);
            uri.scheme = Some(if flow.upstream.shared.tls.is_some() {
                http::uri::Scheme::HTTPS
            } else {
                http::uri::Scheme::HTTP
            });
            uri.authority = http::uri::Authority::try_from(authority.as_bytes()).ok();
            *request.version_mut() = Version::HTTP_2;
        } else {
            headers.insert(HOST, authority);
        }
        *request.uri_mut() = Uri::from_parts(uri).unwrap_or_default();
        *request.headers_mut() = headers;
        request
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
