//! One attempt: an endpoint is chosen, permits are taken, the request is sent, and what comes back is classed.
//!
//! Everything taken is a guard: whatever way an attempt ends, dropped half-way included, the breaker hears of it, the
//! permit returns and the endpoint's load goes down.

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use plimsoll_policy::{
    BreakerDecision, BulkheadDecision, Judged, Pass, Permit, Pushback, Report, RetryBudget, Usual,
    parse_grpc_pushback, parse_retry_after, penalty,
};
use plimsoll_slo::{Instant, Reason};

use crate::body::answer::grpc_status;
use crate::body::upload::{Failed, Upload};
use crate::env::Env;
use crate::fields::Known;
use crate::http1::line::Unanswered;
use crate::journeys::Journey;
use crate::message::{AnswerHead, Outbound};
use crate::percore::{Core, CoreUpstream};
use crate::pool::{ConnectFailed, CoreEndpoint, Lease, SendFailed};
use crate::upstream::UpstreamState;

/// An answer with everything that is held until its body ends.
pub(crate) struct Answered {
    pub(crate) head: AnswerHead,
    pub(crate) lease: Lease,
    pub(crate) permit: Permit,
    pub(crate) endpoint: Rc<CoreEndpoint>,
    /// When its head was there.
    pub(crate) at: Instant,
}

/// Why an attempt brought no answer.
pub(crate) struct Missed {
    pub(crate) reason: Reason,
    pub(crate) cause: std::borrow::Cow<'static, str>,
    pub(crate) retry_after: Option<Duration>,
    pub(crate) endpoint: Option<Rc<CoreEndpoint>>,
}

impl Missed {
    pub(crate) fn refused(reason: Reason, cause: &'static str) -> Self {
        Self {
            reason,
            cause: cause.into(),
            retry_after: None,
            endpoint: None,
        }
    }
}

impl Missed {
    /// There is no endpoint to choose from.
    fn nowhere(state: &UpstreamState) -> Self {
        let error = state.resolve_error();
        if error.is_empty() {
            return Self::refused(Reason::NoEndpoint, "the upstream has no known endpoint");
        }
        Self {
            cause: error.into(),
            ..Self::refused(Reason::UpstreamUnresolved, "")
        }
    }
}

/// When an attempt is given up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Until {
    /// The end of this try.
    pub(crate) try_end: Instant,
    /// The end of the request.
    pub(crate) deadline: Instant,
    /// Whether time stands still while we wait for the caller's bytes; not when the caller set the deadline itself.
    pub(crate) waits_for_caller: bool,
    /// The end of this try was learned, not configured: it holds only while another try can be paid for.
    pub(crate) learned: bool,
}

/// What an attempt needs of its request.
pub(crate) struct Sending<'a> {
    /// When the attempt began: the clock is read once for all that happens before the first wait.
    pub(crate) now: Instant,
    pub(crate) upload: Option<&'a Rc<std::cell::RefCell<Upload>>>,
    /// How long the attempts before this one have waited for the caller's bytes.
    pub(crate) waited_before: Duration,
    pub(crate) grpc: bool,
    pub(crate) repeatable: bool,
    pub(crate) tried: &'a [u64],
    pub(crate) until: Until,
    pub(crate) budget: &'a RetryBudget,
    /// What its route usually takes, for the adaptive limit.
    pub(crate) usual: &'a Usual,
    /// By which the calls that the service makes find the request.
    pub(crate) journey: Option<&'a Journey>,
}

/// An attempt that holds all that it needs, and is not sent yet.
pub(crate) struct Begun {
    pub(crate) endpoint: Rc<CoreEndpoint>,
    permit: Permit,
    watch: Watch,
    flight: Flight,
}

impl Begun {
    /// Sends it. `build` makes the request for the endpoint and connection that were chosen.
    pub(crate) async fn send(
        self,
        core: &Rc<Core>,
        upstream: &CoreUpstream,
        sending: &Sending<'_>,
        build: impl Fn(&CoreEndpoint, &Lease) -> Option<Outbound>,
    ) -> Result<Answered, Missed> {
        let Self {
            endpoint,
            permit,
            watch,
            flight,
        } = self;
        let admission = &upstream.shared.state.admission;
        let (found, away) = (admission.found(), sending.away(sending.now));
        match core.exchange(upstream, sending, &endpoint, build).await {
            Ok((head, lease, since)) => {
                let at = core.env.now();
                endpoint.heard(at);
                let verdict = judge(&head, &core.env);
                if verdict.well {
                    let took = sending.self_time(since, at, away);
                    admission.record(at, took, found, sending.usual);
                }
                flight.end(at, verdict.rtt_penalty, verdict.failed);
                watch.report(at, verdict.report);
                Ok(Answered {
                    head,
                    lease,
                    permit,
                    endpoint,
                    at,
                })
            }
            Err(Ended::Caller(mut missed)) => {
                missed.endpoint = Some(endpoint);
                Err(missed)
            }
            Err(Ended::Upstream(mut missed)) => {
                let at = core.env.now();
                flight.end(at, Some(penalty(None)), true);
                watch.report(at, Report::Failure);
                missed.endpoint = Some(endpoint);
                Err(missed)
            }
        }
    }
}

impl Core {
    /// Makes one attempt, at whatever endpoint is best.
    pub(crate) async fn attempt(
        self: &Rc<Self>,
        upstream: &CoreUpstream,
        sending: &Sending<'_>,
        build: impl Fn(&CoreEndpoint, &Lease) -> Option<Outbound>,
    ) -> Result<Answered, Missed> {
        let choose = || upstream.choose(sending.now, &mut self.dice.borrow_mut(), sending.tried);
        let begun = self.begin(upstream, sending.now, choose)?;
        begun.send(self, upstream, sending, build).await
    }

    /// Takes what an attempt needs: a permit, the breaker's pass, and an endpoint.
    pub(crate) fn begin(
        self: &Rc<Self>,
        upstream: &CoreUpstream,
        now: Instant,
        choose: impl FnOnce() -> Option<Rc<CoreEndpoint>>,
    ) -> Result<Begun, Missed> {
        let state = &upstream.shared.state;
        let BulkheadDecision::Admit(permit) = state.bulkhead.enter() else {
            state.admission.note_full();
            return Err(Missed::refused(
                Reason::BulkheadFull,
                "as many requests are in flight as may be",
            ));
        };
        let watch = Watch::admit(self, upstream, now)?;
        let Some(endpoint) = choose() else {
            return Err(Missed::nowhere(state));
        };
        Ok(Begun {
            flight: Flight::begin(upstream, &endpoint, now),
            endpoint,
            permit,
            watch,
        })
    }

    async fn exchange(
        self: &Rc<Self>,
        upstream: &CoreUpstream,
        sending: &Sending<'_>,
        endpoint: &Rc<CoreEndpoint>,
        build: impl Fn(&CoreEndpoint, &Lease) -> Option<Outbound>,
    ) -> Result<(AnswerHead, Lease, Instant), Ended> {
        let mut work = std::pin::pin!(self.lease_and_send(upstream, sending, endpoint, build));
        let mut timer = std::pin::pin!(self.env.sleep_until(sending.first_check()));
        loop {
            tokio::select! {
                biased;
                sent = &mut work => return sent,
                () = &mut timer => match sending.check(self.env.now()) {
                    Ok(next) => timer.set(self.env.sleep_until(next)),
                    Err(ended) => {
                        if matches!(ended, Ended::Upstream(_)) {
                            endpoint.suspect(sending.now);
                        }
                        return Err(ended);
                    }
                },
            }
        }
    }

    async fn lease_and_send(
        self: &Rc<Self>,
        upstream: &CoreUpstream,
        sending: &Sending<'_>,
        endpoint: &Rc<CoreEndpoint>,
        build: impl Fn(&CoreEndpoint, &Lease) -> Option<Outbound>,
    ) -> Result<(AnswerHead, Lease, Instant), Ended> {
        // An idle connection may turn out to be closed before a byte was taken: then the next is. Each turn uses one
        // up, so the loop ends with a new connection at the latest.
        loop {
            let leased = endpoint.lease(self, &upstream.shared, sending).await;
            let mut lease =
                leased.map_err(|ConnectFailed { reason, cause }| Ended::upstream(reason, cause))?;
            let reused = lease.reused;
            // Making a connection is not what the service works on.
            let since = if reused { sending.now } else { self.env.now() };
            let Some(request) = build(endpoint, &lease) else {
                return Err(Ended::Caller(Missed::refused(
                    Reason::MalformedRequest,
                    "the request target cannot be said in HTTP/2",
                )));
            };
            match lease.send(request).await {
                Ok(head) => return Ok((head, lease, since)),
                Err(Unanswered::Unsent) if reused && sending.is_replayable() => {}
                Err(Unanswered::Unsent) => {
                    return Err(Ended::upstream(
                        Reason::UpstreamUndelivered,
                        "the connection closed at once",
                    ));
                }
                Err(Unanswered::Failed(SendFailed { reason, cause })) => {
                    return Err(sending.blame(reason, cause));
                }
            }
        }
    }
}

/// Whose fault it is that an attempt ended.
enum Ended {
    /// The caller's body, or its own deadline, which says nothing about the upstream.
    Caller(Missed),
    /// The upstream's.
    Upstream(Missed),
}

impl Ended {
    fn upstream(reason: Reason, cause: impl Into<std::borrow::Cow<'static, str>>) -> Self {
        Self::Upstream(Missed {
            reason,
            cause: cause.into(),
            retry_after: None,
            endpoint: None,
        })
    }

    fn caller(failed: Failed) -> Self {
        let (reason, cause) = match failed {
            Failed::Refused(refusal) => (refusal.reason, refusal.cause),
            Failed::Gone => (Reason::ClientClosed, "the request body broke off"),
        };
        Self::Caller(Missed::refused(reason, cause))
    }
}

impl Sending<'_> {
    /// Whether what was read of the caller's body is there to be sent again.
    fn is_replayable(&self) -> bool {
        self.upload.is_none_or(|upload| upload.borrow().is_replayable())
    }

    /// What the service itself took, of an answer that was sent for at `since` and there at `at`: without the waits for
    /// the caller's bytes and for the dependencies that it called.
    fn self_time(&self, since: Instant, at: Instant, away_before: Duration) -> Duration {
        let away = self.away(at).saturating_sub(away_before);
        let waited = self.upload.map_or(Duration::ZERO, |upload| {
            upload.borrow().waited(at).saturating_sub(self.waited_before)
        });
        (at - since).saturating_sub(waited).saturating_sub(away)
    }

    /// How long the service has waited for dependencies so far, for the request.
    fn away(&self, now: Instant) -> Duration {
        self.journey.map_or(Duration::ZERO, |journey| journey.away(now))
    }

    /// A send that failed because the caller's body did is not the upstream's fault.
    fn blame(&self, reason: Reason, cause: String) -> Ended {
        match self.upload.and_then(|upload| upload.borrow().failed()) {
            Some(failed) => Ended::caller(failed),
            None => Ended::upstream(reason, cause),
        }
    }

    /// When to look at the clock first: at the end of the try, or sooner to see whether an upload keeps its pace.
    fn first_check(&self) -> Instant {
        let now = self.now;
        let uploading = self
            .upload
            .is_some_and(|upload| upload.borrow().ended().is_none());
        if uploading {
            self.until.try_end.min(now + PACE_CHECK)
        } else {
            self.until.try_end
        }
    }

    /// Whether the attempt goes on, and when to ask again. While we wait for the caller's bytes, time runs for the
    /// upload's pace and not for the upstream.
    fn check(&self, now: Instant) -> Result<Instant, Ended> {
        let mut end = self.until.try_end;
        let mut uploading = false;
        if let Some(upload) = self.upload {
            let mut upload = upload.borrow_mut();
            upload.check_pace(now);
            if let Some(failed) = upload.failed() {
                return Err(Ended::caller(failed));
            }
            uploading = upload.ended().is_none();
            if self.until.waits_for_caller {
                end = end + upload.waited(now).saturating_sub(self.waited_before);
            }
        }
        if now < end {
            return Ok(if uploading { end.min(now + PACE_CHECK) } else { end });
        }
        // When many tries are late together the upstream has stalled, and there are fewer tokens than tries. Those
        // that nobody could pay to repeat go on: a late answer is better than none.
        if self.until.learned && now < self.until.deadline && self.budget.balance() < 1.0 {
            return Ok(self.until.deadline);
        }
        Err(if end >= self.until.deadline {
            Ended::upstream(Reason::DeadlineExceeded, "the request's deadline passed")
        } else {
            Ended::upstream(Reason::UpstreamTimeout, "no answer within the time of one try")
        })
    }
}

/// How often an upload's pace is looked at.
const PACE_CHECK: Duration = Duration::from_secs(1);

/// What an answer's head says about the service, by its fields.
pub(crate) fn judge(head: &AnswerHead, env: &Env) -> Judged {
    let fields = &head.fields;
    if let Some(code) = grpc_status(fields) {
        let pushback = fields.get(Known::GrpcPushback);
        return Judged::grpc(code, pushback.map_or(Pushback::None, parse_grpc_pushback));
    }
    let retry_after = fields
        .get(Known::RetryAfter)
        .and_then(|value| parse_retry_after(value, env.wall().as_secs()));
    Judged::http(
        head.status.as_u16(),
        retry_after.map_or(Pushback::None, Pushback::After),
    )
}

/// The breaker's pass: reported once, or given back when the attempt is dropped.
struct Watch {
    state: Arc<UpstreamState>,
    core: Rc<Core>,
    pass: Option<Pass>,
}

impl Watch {
    fn admit(core: &Rc<Core>, upstream: &CoreUpstream, now: Instant) -> Result<Self, Missed> {
        let state = Arc::clone(&upstream.shared.state);
        let pass = if upstream.shared.plan.breaker.is_some() {
            let decision = state.lock_breaker().admit(now, &mut *core.dice.borrow_mut());
            match decision {
                BreakerDecision::Admit(pass) => Some(pass),
                BreakerDecision::Refuse { retry_after } => {
                    let mut missed = Missed::refused(Reason::BreakerTripped, "the breaker is tripped");
                    missed.retry_after = Some(retry_after);
                    return Err(missed);
                }
            }
        } else {
            None
        };
        Ok(Self {
            state,
            core: Rc::clone(core),
            pass,
        })
    }

    fn report(mut self, now: Instant, report: Report) {
        if let Some(pass) = self.pass.take() {
            self.state.lock_breaker().report(now, pass, report);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(pass) = self.pass.take() {
            self.state.lock_breaker().cancel(self.core.env.now(), pass);
        }
    }
}

/// An attempt in flight, as its endpoint sees it.
struct Flight {
    endpoint: Rc<CoreEndpoint>,
    tau: Duration,
    began: Instant,
}

impl Flight {
    fn begin(upstream: &CoreUpstream, endpoint: &Rc<CoreEndpoint>, now: Instant) -> Self {
        endpoint.counts().pending.fetch_add(1, Relaxed);
        endpoint.counts().attempts.fetch_add(1, Relaxed);
        Self {
            endpoint: Rc::clone(endpoint),
            tau: upstream.shared.plan.balance.tau,
            began: now,
        }
    }

    /// The attempt ended by the endpoint's doing. A failure counts as slow, so that an endpoint that fails fast does
    /// not attract traffic.
    fn end(self, now: Instant, penalty: Option<Duration>, failed: bool) {
        let took = now - self.began;
        let mut ewma = self.endpoint.ewma.get();
        ewma.record(now, penalty.map_or(took, |penalty| took.max(penalty)), self.tau);
        self.endpoint.ewma.set(ewma);
        let counts = self.endpoint.counts();
        if failed {
            counts.failures.fetch_add(1, Relaxed);
            counts.consecutive.fetch_add(1, Relaxed);
        } else {
            counts.consecutive.store(0, Relaxed);
            self.endpoint.shared.latency.record(took);
        }
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.endpoint.counts().pending.fetch_sub(1, Relaxed);
    }
}
