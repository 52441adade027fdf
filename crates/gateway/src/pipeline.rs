//! How a request flows. Read it top to bottom: this is the order in which policies are asked.
//!
//! It is one straight function over pure policies. A refusal anywhere is an `Err(Refused)`, which becomes an answer
//! in one place; an outcome is counted by the [`Ticket`], which no path can lose.
//!
//! Places kept for what comes next: idempotency keys and preconditions before the attempts, shadowing at *version*.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method};
use plimsoll_policy::{
    DeadlineDecision, PaceConfig, Priority, RateDecision, RetryBudget, hash_key, parse_grpc_timeout,
};
use plimsoll_slo::{Class, Delivered, Instant, Reason};

use crate::admission::Slot;
use crate::attempts::{self, Work};
use crate::body::Inbound;
use crate::body::answer::AnswerBody;
use crate::body::upload::{Upload, UploadLimits};
use crate::connection::Caught;
use crate::entering::enter;
use crate::fields::{Fields, Known, Own};
use crate::framing::head::is_authority;
use crate::http2;
use crate::identity::{self, Caller, Trace};
use crate::journeys::{Departure, Journey};
use crate::memory;
use crate::message::{Reply, RequestHead};
use crate::passed::Answer;
use crate::percore::{Core, CoreUpstream, View, World};
use crate::plan::{CallersPlan, Direction, KeyPart};
use crate::rates::RateLimit;
use crate::respond::{self, Refused};
use crate::route::Found;
use crate::running::{Listener, Route};
use crate::ticket::{Drawn, Ticket};

/// Everything known about a request once it is routed: what the attempts work from.
pub(crate) struct Flow<'a> {
    pub(crate) core: &'a Rc<Core>,
    pub(crate) listener: &'a Listener,
    pub(crate) route: &'a Route,
    pub(crate) upstream: &'a CoreUpstream,
    /// The stable version, to which whatever a candidate has failed at goes.
    pub(crate) instead: Option<&'a CoreUpstream>,
    pub(crate) callers: &'a CallersPlan,
    pub(crate) grpc: bool,
    pub(crate) deadline: Deadline,
    pub(crate) faults: plimsoll_policy::Faults,
    /// The upstream's slot, if it has an adaptive limit; held until the head of the answer is there.
    pub(crate) slot: Option<&'a Slot<'a>>,
    /// By which the calls that the service makes for the request find it.
    pub(crate) journey: Option<Arc<Journey>>,
    /// The peer, as it goes into `X-Forwarded-For`.
    pub(crate) peer_text: Option<&'a HeaderValue>,
}

impl Flow<'_> {
    /// The budget that retries are paid from: that of who gets them. A candidate with little traffic could not pay for its
    /// failures.
    pub(crate) fn budget(&self) -> &RetryBudget {
        &self.instead.unwrap_or(self.upstream).shared.budget
    }
}

/// When the request is given up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    pub(crate) at: Instant,
    /// The caller set it, so it holds to the last byte.
    pub(crate) asked: bool,
}

/// Takes a request through, and always has an answer.
pub(crate) async fn handle(
    core: Rc<Core>,
    conn: Rc<Caught>,
    head: Box<RequestHead>,
    body: Option<Inbound>,
) -> Result<Reply, CutOff> {
    let world = conn.world(&core);
    let grpc = is_grpc(&head.fields);
    let mut ticket = draw(&core, &conn, &world, &head);
    let mut rates = Own::new();
    let answered = flow(&core, &conn, &world, (head, body), grpc, &mut ticket, &mut rates).await;
    let mut reply = match answered {
        Ok(answered) => answered.into_reply(ticket),
        Err(refused) if refused.cut_off => return Err(cut_off(&refused, ticket)),
        Err(refused) => refuse(*refused, grpc, ticket),
    };
    if !rates.is_empty() {
        reply.add(rates);
    }
    Ok(reply)
}

/// Who is it? Request id, trace, caller, tier: known before anything can be refused.
fn draw(core: &Rc<Core>, conn: &Rc<Caught>, world: &World, head: &RequestHead) -> Ticket {
    let fields = &head.fields;
    let plan = &world.view.running.plan;
    let mut dice = core.dice.borrow_mut();
    let trace = Trace::of(fields, &mut *dice, plan.observe.trace_share);
    let request_id = identity::request_id(fields, &trace, &mut *dice);
    drop(dice);
    let drawn = Drawn {
        world: world.clone(),
        wire: Rc::clone(&conn.wire),
        began: core.env.now(),
        caller: Caller::of(conn.peer, fields, &world.listener().plan.trust),
        trace,
        request_id,
        tier: identity::tier(fields, &plan.callers),
        method: head.method.clone(),
        target: Some(head.target.clone()),
    };
    Ticket::draw(Rc::clone(core), drawn)
}

async fn flow(
    core: &Rc<Core>,
    conn: &Rc<Caught>,
    world: &World,
    (head, body): (Box<RequestHead>, Option<Inbound>),
    grpc: bool,
    ticket: &mut Ticket,
    rates: &mut Own,
) -> Result<Answer, Box<Refused>> {
    let (view, listener) = (&world.view, &**world.listener());
    // A new connection is not accepted while draining; a request that came on an old one is still taken: refusing
    // it would be an error that waiting two milliseconds avoids.
    if conn.http2 {
        http2::bound(&head, &listener.plan.limits).map_err(|refusal| Box::new(refusal.into()))?;
    }
    acceptable(&head, conn)?;

    // For whom does the service call?
    if listener.plan.direction == Direction::Egress {
        inherit(core, view, &head.fields, ticket);
    }

    // Is there memory for it? Asked before anything is spent on it.
    let said = identity::priority(&head.fields, &view.running.plan.callers, Priority::Normal, true);
    memory::admit(core, said == Priority::Sheddable)?;

    // Which route?
    let index = find(listener, &head)?;
    let route = &listener.routes[index];
    ticket.routed(index, &head.fields);
    // By when?
    let deadline = deadline(route, &head.fields, ticket)?;

    // Within its rate?
    limit(view, route, &head.fields, ticket, rates)?;

    // Which version? Can it do it now, or soon?
    let (upstream, instead, slot) = enter(core, view, route, &head.fields, deadline, ticket).await?;
    if view.running.joins && listener.plan.direction == Direction::Ingress {
        depart(core, view, &head.fields, deadline, slot.as_ref(), ticket);
    }

    // Is a fault to be played?
    let faults = play(core, route, &head.fields, deadline, ticket.caller.trusted).await?;

    // Idempotency keys and preconditions will stand here.

    // Attempts.
    let limits = UploadLimits {
        body: route.plan.body_bytes.unwrap_or(listener.plan.limits.body_bytes),
        keep: route.plan.retry.as_ref().map_or(0, |retry| retry.body_max),
        pace: PaceConfig {
            grace: listener.plan.limits.pace_grace,
            bytes_per_second_min: listener.plan.limits.upload_rate_min,
        },
    };
    let peer_text = conn.peer_text.as_ref();
    let flow = Flow {
        core,
        listener,
        route,
        upstream,
        instead,
        callers: &view.running.plan.callers,
        grpc,
        deadline,
        faults,
        slot: slot.as_ref(),
        journey: ticket
            .under_way
            .as_ref()
            .map(|under_way| Arc::clone(&under_way.journey)),
        peer_text,
    };
    let upgrade = if conn.http2 { None } else { head.upgrade() };
    if let Some(protocol) = upgrade {
        ticket.untimed();
        // Boxed: it is rare, and would make every request's future larger.
        return Box::pin(crate::upgrade::carry(&flow, conn, *head, protocol, ticket)).await;
    }
    let upload = body.and_then(|body| Upload::new(body, limits, slot.as_ref(), &core.env));
    if upload
        .as_ref()
        .is_some_and(|upload| upload.borrow().declares_too_much())
    {
        let cause = format!("Content-Length is over the limit of {} bytes", limits.body);
        let mut refused = Refused::new(Reason::BodyTooLarge).cause(cause);
        refused.delivered = Some(Delivered::No);
        return Err(Box::new(refused));
    }
    attempts::make(&Work::of(&flow, *head, upload, ticket), ticket).await
}

fn is_grpc(fields: &Fields) -> bool {
    fields
        .get(Known::ContentType)
        .is_some_and(|value| value.starts_with(b"application/grpc"))
}

/// What the codec let through and we do not: tunnels to anywhere, expectations other than the one there is, and
/// HTTP/2 requests without an authority.
fn acceptable(head: &RequestHead, conn: &Caught) -> Result<(), Box<Refused>> {
    if head.method == Method::CONNECT {
        let refused =
            Refused::new(Reason::MethodNotAllowed).cause("CONNECT is not offered: Plimsoll is no open proxy");
        return Err(Box::new(Refused {
            allow: Some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS".to_owned()),
            ..refused
        }));
    }
    if let Some(expect) = head.fields.get(Known::Expect)
        && !expect.eq_ignore_ascii_case(b"100-continue")
    {
        return Err(Box::new(Refused::new(Reason::ExpectationFailed)));
    }
    let host = head.fields.get(Known::Host);
    let named = head.target.authority.as_deref().or(host);
    match (&head.target.authority, host) {
        // HTTP/1's scanner has looked; HTTP/2 takes whatever a URI may hold, a user or a comma for example.
        _ if conn.http2 && named.is_some_and(|host| !is_authority(host)) => Err(Box::new(
            Refused::new(Reason::InvalidHost).cause("the :authority is not a host and optional port"),
        )),
        (None, None) if conn.http2 => Err(Box::new(
            Refused::new(Reason::InvalidHost).cause("there is no :authority"),
        )),
        // RFC 9112 §3.2.2 lets the target win; servers behind us may not, so the two must agree.
        (Some(authority), Some(host)) if !authority.eq_ignore_ascii_case(host) => Err(Box::new(
            Refused::new(Reason::InvalidHost).cause("the target and the Host header name two hosts"),
        )),
        _ => Ok(()),
    }
}

fn find(listener: &Listener, head: &RequestHead) -> Result<usize, Box<Refused>> {
    let authority = head
        .target
        .authority
        .as_deref()
        .or_else(|| head.fields.get(Known::Host));
    let host = authority.and_then(|host| str::from_utf8(host).ok()).unwrap_or("");
    match listener.table.find(&head.method, host, head.target.path()) {
        Found::Route(index) => Ok(index),
        Found::Unknown => Err(Box::new(Refused::new(Reason::UnknownRoute))),
        Found::MethodNotAllowed(allow) => {
            let mut refused = Refused::new(Reason::MethodNotAllowed).cause(format!("the path takes {allow}"));
            refused.allow = Some(allow);
            Err(Box::new(refused))
        }
    }
}

/// Takes over what the request brought with it that the service makes this call for.
fn inherit(core: &Core, view: &View, fields: &Fields, ticket: &mut Ticket) {
    let Some(journey) = core.shared.journeys.find(fields) else {
        return;
    };
    if ticket.tier == view.running.plan.callers.tiers.len() {
        ticket.tier = journey.tier.min(ticket.tier);
    }
    let calling = Arc::clone(&journey).leave(ticket.began, &core.env);
    ticket.called_by = Some((journey, calling));
}

/// Has the request be found again by the calls that the service makes for it.
fn depart(
    core: &Core,
    view: &View,
    fields: &Fields,
    deadline: Deadline,
    slot: Option<&Slot<'_>>,
    ticket: &mut Ticket,
) {
    let tenant = identity::tenant(fields, &view.running.plan.callers);
    let departure = Departure {
        deadline: deadline.at,
        priority: ticket.priority,
        tier: ticket.tier,
        tenant: tenant.map(Bytes::copy_from_slice),
        trace: ticket.trace,
        request_id: ticket.request_id.clone(),
        slot: slot.map(Slot::share),
    };
    ticket.under_way = core.shared.journeys.depart(departure);
}

/// The tenant of a request: the one it names, or that of the request which it is a call of.
pub(crate) fn tenant<'a>(fields: &'a Fields, callers: &CallersPlan, ticket: &'a Ticket) -> Option<&'a [u8]> {
    let inherited = || ticket.called_by.as_ref()?.0.tenant.as_deref();
    identity::tenant(fields, callers).or_else(inherited)
}

fn deadline(route: &Route, fields: &Fields, ticket: &Ticket) -> Result<Deadline, Box<Refused>> {
    let (caller, now) = (&ticket.caller, ticket.began);
    let config = &route.plan.deadline;
    let grpc = fields.get(Known::GrpcTimeout).and_then(parse_grpc_timeout);
    let asked = grpc.or_else(|| fields.number(Known::Deadline).map(Duration::from_millis));
    // Anyone may ask for less time; only those we trust may ask for more.
    let asked = asked.map(|asked| {
        if caller.trusted {
            asked
        } else {
            asked.min(config.total)
        }
    });
    // Whoever waits for the service does not wait longer for what it calls.
    let left = ticket
        .called_by
        .as_ref()
        .map(|(journey, _)| journey.deadline - now);
    let asked = left.map_or(asked, |left| Some(asked.unwrap_or(config.total).min(left)));
    match config.admit(now, asked, route.times.p50()) {
        DeadlineDecision::Admit(at) => Ok(Deadline {
            at,
            asked: asked.is_some(),
        }),
        DeadlineDecision::Refuse(reason) => {
            let left = asked.unwrap_or(config.total);
            let usual = route
                .times
                .p50()
                .map_or_else(String::new, |p50| format!("; half of all take {p50:.1?}"));
            Err(Box::new(
                Refused::new(reason).cause(format!("{left:.1?} are left{usual}")),
            ))
        }
    }
}

/// Asks every rate limit of the route; all must admit. The tightest speaks in the `RateLimit` header.
fn limit(
    view: &View,
    route: &Route,
    fields: &Fields,
    ticket: &Ticket,
    rates: &mut Own,
) -> Result<(), Box<Refused>> {
    let mut tightest = u32::MAX;
    for limit in &route.rates {
        let tier = identity::tier_name(&view.running.plan.callers, ticket.tier);
        let (number, quota) = limit.quota(tier);
        let decision = limit.decide(ticket.began, key(limit, view, route, fields, ticket), quota);
        let (remaining, reset) = decision.advertised();
        if remaining < tightest {
            tightest = remaining;
            *rates = limit.told(number, remaining, reset);
        }
        if let RateDecision::Refuse { retry_after, .. } = decision {
            let refused = Refused::new(Reason::RateLimited)
                .cause(format!(
                    "the limit `{}` is used up for this caller",
                    limit.plan.name
                ))
                .retry_after(retry_after);
            return Err(Box::new(refused));
        }
    }
    Ok(())
}

fn key(limit: &RateLimit, view: &View, route: &Route, fields: &Fields, ticket: &Ticket) -> u64 {
    let callers = &view.running.plan.callers;
    let mut address = [0; 16];
    let mut parts: [&[u8]; 8] = [b""; 8];
    let tier = identity::tier_name(callers, ticket.tier);
    for part in &limit.plan.key {
        if matches!(part, KeyPart::ClientAddress) {
            address = identity::client_key(ticket.caller.client);
        }
    }
    for (slot, part) in parts.iter_mut().zip(&limit.plan.key) {
        *slot = match part {
            KeyPart::Tenant => tenant(fields, callers, ticket).unwrap_or(b""),
            KeyPart::Tier => tier.as_bytes(),
            KeyPart::Route => route.plan.name.as_bytes(),
            KeyPart::Header(name) => fields.named(name).unwrap_or(b""),
            KeyPart::ClientAddress => &address,
        };
    }
    hash_key(limit.seed, &parts[..limit.plan.key.len().min(parts.len())])
}

fn faults(
    core: &Core,
    route: &Route,
    fields: &Fields,
    trusted: bool,
) -> Result<plimsoll_policy::Faults, Box<Refused>> {
    let Some(config) = &route.plan.fault else {
        return Ok(plimsoll_policy::Faults::default());
    };
    if fields.has(Known::Fault) && !trusted {
        let refused =
            Refused::new(Reason::FaultForbidden).cause("the peer is not in the listener's trust list");
        return Err(Box::new(refused));
    }
    let asked = fields.text(Known::Fault);
    if let Some(asked) = asked
        && let Err(error) = config.check_header(asked)
    {
        return Err(Box::new(
            Refused::new(Reason::FaultForbidden).cause(error.to_string()),
        ));
    }
    Ok(config.decide(asked, &mut *core.dice.borrow_mut()))
}

/// The request is not answered: its connection is closed (HTTP/1) or its stream reset (HTTP/2).
#[derive(Debug, thiserror::Error)]
#[error("a fault was injected on purpose")]
pub(crate) struct CutOff;

fn cut_off(refused: &Refused, mut ticket: Ticket) -> CutOff {
    let now = ticket.core().env.now();
    let cause = refused.cause.clone().unwrap_or_default();
    ticket.fail(Class::of_refusal(refused.reason), cause);
    ticket.complete(now);
    CutOff
}

/// Plays the faults that befall a request before it is sent. What is left of them is for its answer.
async fn play(
    core: &Core,
    route: &Route,
    fields: &Fields,
    deadline: Deadline,
    trusted: bool,
) -> Result<plimsoll_policy::Faults, Box<Refused>> {
    let faults = faults(core, route, fields, trusted)?;
    if let Some(delay) = faults.delay {
        play_delay(core, delay, deadline).await?;
    }
    if faults.disconnect {
        let mut refused = Refused::new(Reason::FaultInjected).cause("a fault rule cut the connection off");
        refused.cut_off = true;
        return Err(Box::new(refused));
    }
    if let Some(abort) = faults.abort {
        let mut refused = Refused::new(Reason::FaultInjected).cause("a fault rule aborted the request");
        refused.pretend = Some((abort.status, abort.grpc));
        return Err(Box::new(refused));
    }
    Ok(faults)
}

/// Waits as a slow upstream would make us wait, and no longer than for one.
async fn play_delay(core: &Core, delay: Duration, deadline: Deadline) -> Result<(), Box<Refused>> {
    let until = core.env.now() + delay;
    core.env.sleep_until(until.min(deadline.at)).await;
    if until < deadline.at {
        return Ok(());
    }
    Err(Box::new(
        Refused::new(Reason::DeadlineExceeded).cause("a fault rule's delay outlasted the deadline"),
    ))
}

/// Turns a refusal into an answer and its outcome. The only place that does.
fn refuse(refused: Refused, grpc: bool, mut ticket: Ticket) -> Reply {
    let class = match refused.pretend {
        // A drill is judged like the accident that it plays.
        Some((status, _)) if status < 500 => Class::Excluded(refused.reason),
        _ => Class::of_refusal(refused.reason),
    };
    let said = if grpc {
        respond::grpc(&refused, ticket.id())
    } else {
        respond::http(&refused, ticket.id())
    };
    let now = ticket.core().env.now();
    ticket.head(now, said.status.as_u16(), class);
    if grpc {
        ticket.grpc_status(
            refused
                .pretend
                .map_or(refused.reason.info().grpc, |(_, grpc)| grpc),
            class,
        );
    }
    let cause = refused
        .cause
        .unwrap_or(std::borrow::Cow::Borrowed(refused.reason.info().title));
    ticket.fail(class, cause);
    ticket.complete(now);
    let request_id = ticket.request_id.clone();
    say(said, request_id, |bytes| AnswerBody::own(bytes, ticket))
}

fn say(said: respond::Said, request_id: HeaderValue, body: impl FnOnce(Bytes) -> AnswerBody) -> Reply {
    let mut own = said.own;
    own.push((Known::RequestId, request_id));
    Reply {
        close: said.close,
        ..Reply::own(said.status, own, body(said.body))
    }
}

/// The answer to a request whose task panicked. Its ticket has counted it already.
pub(crate) fn panicked(core: &Rc<Core>) -> Reply {
    let trace = Trace::of(&Fields::default(), &mut *core.dice.borrow_mut(), 0.0);
    let request_id = identity::request_id(&Fields::default(), &trace, &mut *core.dice.borrow_mut());
    let refused = Refused::new(Reason::Internal).cause("the request's task panicked");
    let said = respond::http(&refused, request_id.to_str().unwrap_or(""));
    let mut reply = say(said, request_id, |bytes| AnswerBody::Uncounted(Some(bytes)));
    reply.close = true;
    reply
}
