//! One request from its head to its outcome.
//!
//! A ticket is drawn when a request's head is there, and ends as exactly one [`Outcome`], whatever happens: answered
//! to the last byte, broken off, refused, or dropped because the caller went away. It is counted in `Drop` at the
//! latest, so no path through the pipeline can forget it.

use std::borrow::Cow;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Method};
use plimsoll_policy::{Priority, Stop, hash_key};
use plimsoll_slo::{Arm, Class, Instant, Outcome, Reason, blames_caller};

use crate::event::{AttemptNote, Event, Traced};
use crate::fields::Fields;
use crate::framing::Refusal;
use crate::identity::{self, Caller, Trace};
use crate::journeys::{Calling, Journey, UnderWay};
use crate::ledger::SeriesId;
use crate::message::Target;
use crate::objectives::{Counting, Name};
use crate::percore::{Core, World};
use crate::running::Route;
use crate::splits::{Assigned, Split};
use crate::wire::Wire;

/// See the module's header.
pub(crate) struct Ticket {
    core: Rc<Core>,
    wire: Rc<Wire>,
    world: World,
    /// Index into the listener's routes.
    route: Option<usize>,
    /// The journeys that it belongs to, of the route's objectives for which those count. Usually there are none.
    walks: Vec<Name>,
    pub(crate) tier: usize,
    pub(crate) priority: Priority,
    pub(crate) began: Instant,
    pub(crate) caller: Caller,
    pub(crate) trace: Trace,
    pub(crate) request_id: HeaderValue,
    method: Method,
    target: Option<Target>,
    /// Attempts sent.
    attempts: u32,
    notes: Vec<AttemptNote>,
    retry_stopped: Option<&'static str>,
    status: u16,
    grpc: Option<u8>,
    class: Option<Class>,
    cause: Option<Cow<'static, str>>,
    first_byte: Option<Duration>,
    /// The journey that begins with it.
    pub(crate) under_way: Option<UnderWay>,
    /// The journey that it is a call of, and that it is out.
    pub(crate) called_by: Option<(Arc<Journey>, Calling)>,
    drawn: Option<Version>,
    /// The settings of flags that the service finds for it, in the order of the route's.
    settings: Vec<Option<Assigned>>,
    /// Its first attempt failed, whatever became of it then.
    failed_once: bool,
    /// How long it takes says nothing: it is a tunnel.
    is_untimed: bool,
    counted: bool,
}

/// The version that a request got, where there are two.
struct Version {
    assigned: Assigned,
    /// The stable version has it now.
    went_back: bool,
}

/// What a ticket is drawn with.
pub(crate) struct Drawn {
    pub(crate) world: World,
    pub(crate) wire: Rc<Wire>,
    pub(crate) began: Instant,
    pub(crate) caller: Caller,
    pub(crate) trace: Trace,
    pub(crate) request_id: HeaderValue,
    pub(crate) tier: usize,
    pub(crate) method: Method,
    /// `None` when the request was refused before it could be read.
    pub(crate) target: Option<Target>,
}

impl Ticket {
    pub(crate) fn draw(core: Rc<Core>, drawn: Drawn) -> Self {
        Self {
            core,
            wire: drawn.wire,
            world: drawn.world,
            route: None,
            walks: Vec::new(),
            tier: drawn.tier,
            priority: Priority::default(),
            began: drawn.began,
            caller: drawn.caller,
            trace: drawn.trace,
            request_id: drawn.request_id,
            method: drawn.method,
            target: drawn.target,
            attempts: 0,
            notes: Vec::new(),
            retry_stopped: None,
            status: 0,
            grpc: None,
            class: None,
            cause: None,
            first_byte: None,
            under_way: None,
            called_by: None,
            drawn: None,
            settings: Vec::new(),
            failed_once: false,
            is_untimed: false,
            counted: false,
        }
    }

    /// The whole story of a request that was refused before it could be read: counted and told like any other.
    pub(crate) fn refused(core: &Rc<Core>, world: World, peer: Option<IpAddr>, refusal: Refusal) {
        let none = Fields::default();
        let mut dice = core.dice.borrow_mut();
        let trace = Trace::of(&none, &mut *dice, 0.0);
        let request_id = identity::request_id(&none, &trace, &mut *dice);
        drop(dice);
        let now = core.env.now();
        let drawn = Drawn {
            tier: world.view.running.plan.callers.tiers.len(),
            world,
            wire: Rc::default(),
            began: now,
            caller: Caller {
                peer,
                client: peer,
                trusted: false,
            },
            trace,
            request_id,
            method: Method::from_bytes(b"-").unwrap_or_default(),
            target: None,
        };
        let mut ticket = Self::draw(Rc::clone(core), drawn);
        let class = Class::of_refusal(refusal.reason);
        ticket.head(now, refusal.reason.info().status, class);
        ticket.fail(class, refusal.cause);
        ticket.complete(now);
    }

    pub(crate) fn core(&self) -> &Rc<Core> {
        &self.core
    }

    /// The request's id as text; empty if it is not text, which [`identity::request_id`] never lets happen.
    pub(crate) fn id(&self) -> &str {
        self.request_id.to_str().unwrap_or("")
    }

    pub(crate) fn routed(&mut self, route: usize, fields: &Fields) {
        self.route = Some(route);
        let objectives = self.world.listener().routes[route].objectives.iter();
        let walks = objectives.filter_map(|objective| objective.walk(fields, &self.trace));
        self.walks = walks.collect();
    }

    /// It is known how much its caller may ask for, and that it has not asked for more: what is beyond was refused.
    pub(crate) fn is_within_rate(&self) -> bool {
        let route = self.route.map(|route| &self.world.listener().routes[route]);
        route.is_some_and(|route| !route.rates.is_empty())
    }

    /// It got this version.
    pub(crate) fn assigned(&mut self, assigned: Assigned) {
        self.drawn = Some(Version {
            assigned,
            went_back: false,
        });
    }

    /// What the service is told of flags by its evaluator, if their settings are told apart on its route.
    pub(crate) fn settings(&mut self, flags: &[Arc<Split>], fields: &Fields) {
        self.settings = flags.iter().map(|flag| flag.setting(fields)).collect();
    }

    /// Its first attempt has failed.
    pub(crate) fn failed_once(&mut self) {
        self.failed_once = true;
    }

    /// The stable version has it now, since the candidate has failed it.
    pub(crate) fn went_back(&mut self) {
        self.failed_once();
        if let Some(drawn) = &mut self.drawn {
            drawn.went_back = true;
        }
    }

    /// It is a tunnel, of which it does not matter how long it stands.
    pub(crate) fn untimed(&mut self) {
        self.is_untimed = true;
    }

    /// The place of what answers it among the upstreams.
    fn upstream(&self, route: &Route) -> usize {
        match (&route.split, &self.drawn) {
            (Some(split), Some(drawn)) if drawn.is_candidates() => split.candidate,
            _ => route.upstream,
        }
    }

    /// An attempt is being sent.
    pub(crate) fn attempt(&mut self) {
        self.attempts += 1;
    }

    /// What the answer says of attempts: how many there were, if there was more than one or would have been but for
    /// the budget. Layers in front of us read it and leave off: what we hold back for want of a budget they would send
    /// again out of theirs, and four layers with 10 % each would make 46 % of it.
    pub(crate) fn attempts_told(&self) -> Option<HeaderValue> {
        let held_back = self.retry_stopped == Some(Stop::BudgetExhausted.word());
        (self.attempts > 1 || held_back).then(|| HeaderValue::from(self.attempts))
    }

    /// The last attempt came to nothing before anything was sent: a permit, an endpoint or a breaker was in the way.
    pub(crate) fn unsent(&mut self) {
        self.attempts = self.attempts.saturating_sub(1);
    }

    pub(crate) fn has_notes(&self) -> bool {
        !self.notes.is_empty()
    }

    pub(crate) fn note(&mut self, note: AttemptNote) {
        self.notes.push(note);
    }

    pub(crate) fn retry_stopped(&mut self, why: &'static str) {
        self.retry_stopped = Some(why);
    }

    /// The head of the answer is known; the class stands unless the body breaks off.
    pub(crate) fn head(&mut self, now: Instant, status: u16, class: Class) {
        self.status = status;
        self.class = Some(class);
        self.first_byte = Some(now - self.began);
    }

    /// The gRPC status is known, which decides the class.
    pub(crate) fn grpc_status(&mut self, code: u8, class: Class) {
        self.grpc = Some(code);
        self.class = Some(class);
    }

    /// It did not go well, and this is why.
    pub(crate) fn fail(&mut self, class: Class, cause: impl Into<Cow<'static, str>>) {
        self.class = Some(class);
        self.cause = Some(cause.into());
    }

    /// The answer is whole: counts the outcome. Further calls do nothing.
    pub(crate) fn complete(&mut self, now: Instant) {
        if !self.counted {
            self.counted = true;
            let class = self.class.unwrap_or(Class::Bad(Reason::Internal));
            self.count(now, class);
            (self.under_way, self.called_by) = (None, None);
        }
    }

    fn series(&self) -> SeriesId {
        let listener = self.world.listener();
        let Some(route) = self.route.map(|route| &listener.routes[route]) else {
            return listener.unrouted[self.tier];
        };
        match (&route.split, &self.drawn) {
            (Some(split), Some(drawn)) if drawn.is_candidates() => split.series[self.tier],
            _ => route.series[self.tier],
        }
    }

    fn count(&mut self, now: Instant, class: Class) {
        let latency = now - self.began;
        let first_byte = self.first_byte.unwrap_or(latency);
        let outcome = Outcome {
            class,
            latency,
            first_byte,
            attempts: self.attempts,
        };
        self.core.shard.record(self.series(), &outcome);
        if let Some(route) = self.route {
            let caller = || hash_key(0, &[&identity::client_key(self.caller.client)]);
            let counting = Counting {
                core: self.core.index,
                tier: self.tier,
                now,
                outcome: &outcome,
                blames: blames_caller(self.status, self.grpc),
            };
            let mut walks = self.walks.iter().copied();
            let route = &self.world.listener().routes[route];
            for objective in &route.objectives {
                objective.record(counting, &mut walks, caller);
            }
            let has_failed = self.failed_once || matches!(class, Class::Bad(_));
            let took = (!self.is_untimed).then_some(latency);
            if let (Some(split), Some(drawn)) = (&route.split, &self.drawn) {
                split
                    .split
                    .record(self.core.index, drawn.assigned, has_failed, took);
            }
            for (flag, setting) in route.flags.iter().zip(&self.settings) {
                if let Some(setting) = setting {
                    flag.record(self.core.index, *setting, has_failed, took);
                }
            }
        }
        let observe = &self.world.view.running.plan.observe;
        let traced = if class != Class::Good {
            Some(Traced::Bad)
        } else if first_byte >= observe.slow {
            Some(Traced::Slow)
        } else if self.attempts > 1 {
            Some(Traced::Retried)
        } else {
            self.trace.sampled.then_some(Traced::Share)
        };
        let logged = observe.log_good || !matches!(traced, None | Some(Traced::Share));
        if traced.is_some() || logged {
            let event = self.event(outcome, traced, logged);
            self.core.tell(event);
        }
    }

    fn event(&mut self, outcome: Outcome, traced: Option<Traced>, logged: bool) -> Event {
        let (running, listener) = (&self.world.view.running, self.world.listener());
        let route = self.route.map(|route| &listener.routes[route]);
        let upstream = route.map(|route| &running.upstreams[self.upstream(route)].plan);
        let none: fn() -> Arc<str> = || "-".into();
        Event {
            began: self.core.env.wall().saturating_sub(outcome.latency),
            listener: Arc::clone(&listener.plan.name),
            route: route.map_or_else(none, |route| Arc::clone(&route.plan.name)),
            tier: identity::tier_name(&running.plan.callers, self.tier).into(),
            priority: self.priority,
            upstream: route.map_or_else(none, |route| Arc::clone(&route.plan.upstream)),
            version: upstream.map_or_else(none, |upstream| Arc::clone(&upstream.version)),
            method: self.method.clone(),
            path: self.target.as_ref().map_or("-", Target::path).into(),
            status: self.status,
            grpc_status: self.grpc,
            outcome,
            cause: self.cause.take(),
            retry_stopped: self.retry_stopped,
            attempts: std::mem::take(&mut self.notes),
            trace: self.trace,
            request_id: self.id().into(),
            client: self.caller.client,
            template: route.map(|route| Arc::from(&*route.plan.path)),
            scheme: listener.scheme,
            traced,
            logged,
        }
    }
}

impl Version {
    fn is_candidates(&self) -> bool {
        self.assigned.arm == Arm::Candidate && !self.went_back
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if !self.counted {
            self.counted = true;
            // Dropped before the answer was whole: that is what happens when the caller is gone. A panic on the way ends
            // here too, and so does what a drain cuts off; these are ours.
            let class = if std::thread::panicking() {
                Class::Bad(Reason::Internal)
            } else if self.core.cutting.get() {
                Class::Bad(Reason::Draining)
            } else {
                Class::Excluded(Reason::ClientClosed)
            };
            self.count(self.core.env.now(), class);
        }
        self.wire.answer_finished();
    }
}
