//! A first attempt and, when it is late, a second beside it: the answer that comes first is taken, the other attempt
//! is cancelled.
//!
//! The states: *alone*, until the attempt ends or is late; then *alone to the end*, if the policy refuses the hedge;
//! or *two out*, until one brings something to pass on. An attempt that fails in a way that may pass by itself is no
//! reason to give up on the other, nor to send a third: it is forgotten, and the other is waited for. A failure that
//! another attempt would meet as well, such as a 500 or gRPC's NOT_FOUND, is an answer like any other (gRPC A6 calls
//! it fatal). When both have failed, the one that failed last stands, and the retry policy has its say.
//!
//! What is cancelled is dropped, and with it goes all that it held: its permit, the breaker's pass, which is given
//! back and is no failure, and its connection. HTTP/2 resets one stream. HTTP/1 has no other way to cancel than to
//! close the connection. Letting the loser run to its end in the background would save a handshake in one request of
//! fifty, and cost the very thing that a hedge is paid with: the service would work on for nobody, with a permit that
//! somebody else needs, or without one, beyond the bound.
//!
//! The cancelled attempt says one thing of its endpoint all the same: that it takes at least so long. The balancer is
//! told, for else an endpoint that loses every race would never be measured, be forgiven for its silence, and attract
//! the next request.

use std::pin::{Pin, pin};
use std::rc::Rc;
use std::time::Duration;

use plimsoll_policy::{
    BreakerState, Candidate, FailureKind, HedgeConfig, HedgeDecision, HedgePlan, Late, NoHedge, RetryConfig,
};
use plimsoll_slo::{Instant, Reason};

use crate::admission::Slot;
use crate::attempt::{Answered, Begun, Missed, Sending};
use crate::attempts::{Failed, Work, note, noted};
use crate::event::AttemptNote;
use crate::hedging::{End, Hedging};
use crate::pool::CoreEndpoint;
use crate::ticket::Ticket;

/// A first attempt that may be hedged.
pub(crate) struct Race<'a> {
    work: &'a Work<'a>,
    hedging: &'a Hedging,
    config: &'a HedgeConfig,
    /// How long it is waited for; `None` while it is not known what late is, and must be found out.
    after: Option<Duration>,
}

/// What came of it.
pub(crate) struct Raced {
    pub(crate) attempt: Result<Answered, Missed>,
    /// The id of the other attempt's endpoint, if there was another. Both are noted then.
    pub(crate) beaten: Option<u64>,
}

/// The two attempts, in the order in which they are sent.
const FIRST: usize = 0;
const SECOND: usize = 1;

/// One of them.
struct Runner {
    endpoint: Rc<CoreEndpoint>,
    sent_at: Instant,
}

impl<'a> Race<'a> {
    /// `None` if the attempt with this number is sent and nothing beside it. Only the first is ever hedged: where one
    /// has failed there is trouble, and no need of more load.
    pub(crate) fn of(work: &'a Work<'_>, number: u32) -> Option<Self> {
        let route = work.flow.route;
        let (hedging, config) = (route.hedging.as_deref()?, route.plan.hedge.as_ref()?);
        if number > 1 {
            return None;
        }
        let candidate = Candidate {
            safe: work.outgoing.is_safe(),
            upstream_of_retry: work.outgoing.came_as > 1,
        };
        let after = match config.plan(&candidate, hedging.p95()) {
            HedgePlan::After(after) => Some(after),
            HedgePlan::Never(NoHedge::NotLearned) => None,
            HedgePlan::Never(_) => return None,
        };
        hedging.allowance.deposit();
        Some(Self {
            work,
            hedging,
            config,
            after,
        })
    }

    /// Makes the attempt, which is sent at `sent_at`.
    pub(crate) async fn run(self, sent_at: Instant, ticket: &mut Ticket) -> Raced {
        let (work, flow) = (self.work, self.work.flow);
        let (core, upstream) = (flow.core, flow.upstream);
        let begun = work.sending(1, sent_at, &[]).and_then(|sending| {
            let choose = || upstream.choose(sent_at, &mut core.dice.borrow_mut(), &[]);
            Ok((core.begin(upstream, sent_at, choose)?, sending))
        });
        let (begun, sending) = match begun {
            Ok(begun) => begun,
            Err(missed) => return self.alone(Err(missed), sent_at, ticket),
        };
        let first = Runner {
            endpoint: Rc::clone(&begun.endpoint),
            sent_at,
        };
        let mut first_attempt = pin!(begun.send(core, upstream, &sending, work.build(1, sent_at)));
        let late = core.env.sleep_until(sent_at + self.after.unwrap_or_default());
        tokio::select! {
            biased;
            attempt = &mut first_attempt => return self.alone(attempt, sent_at, ticket),
            () = late, if self.after.is_some() => {}
        }

        let now = core.env.now();
        let (begun, sending) = match self.second(&first, now) {
            Ok(begun) => begun,
            Err(why) => {
                self.hedging.refused(why);
                return self.alone(first_attempt.await, sent_at, ticket);
            }
        };
        ticket.attempt();
        let _slot = flow.slot.map(Slot::another);
        let second = Runner {
            endpoint: Rc::clone(&begun.endpoint),
            sent_at: now,
        };
        let second_attempt = pin!(begun.send(core, upstream, &sending, work.build(2, now)));
        self.both([first, second], first_attempt, second_attempt, ticket)
            .await
    }

    /// Waits until one of two attempts that are out brings something to pass on.
    async fn both(
        self,
        runners: [Runner; 2],
        mut first_attempt: Pin<&mut impl Future<Output = Result<Answered, Missed>>>,
        mut second_attempt: Pin<&mut impl Future<Output = Result<Answered, Missed>>>,
        ticket: &mut Ticket,
    ) -> Raced {
        let out = self.hedging.sent();
        let flow = self.work.flow;
        let mut notes = [None, None];
        let (mut attempt, mut index) = tokio::select! {
            biased;
            attempt = &mut first_attempt => (attempt, FIRST),
            attempt = &mut second_attempt => (attempt, SECOND),
        };
        notes[index] = Some(runners[index].note(ticket).ended(&attempt));
        let settled = self.settles(&attempt);
        if settled {
            let loser = &runners[1 - index];
            let now = flow.core.env.now();
            let tau = flow.upstream.shared.plan.balance.tau;
            loser.endpoint.outlasted(now, loser.sent_at, tau);
            notes[1 - index] = Some(AttemptNote {
                cancelled: true,
                ..loser.note(ticket)
            });
            if index == SECOND {
                self.hedging.took(now - loser.sent_at);
            }
        } else {
            if index == FIRST {
                ticket.failed_once();
            }
            // What has failed lets go of all that it holds before the other is waited for.
            drop(attempt);
            index = 1 - index;
            attempt = if index == FIRST {
                first_attempt.await
            } else {
                second_attempt.await
            };
            notes[index] = Some(runners[index].note(ticket).ended(&attempt));
        }
        if index == FIRST {
            self.measure(&attempt, runners[FIRST].sent_at);
        }
        out.ended(match index {
            _ if !settled && !self.settles(&attempt) => End::Failed,
            FIRST => End::Lost,
            _ => End::Won,
        });
        if let Some(hedge) = &mut notes[SECOND] {
            hedge.hedge = true;
        }
        notes.into_iter().flatten().for_each(|note| ticket.note(note));
        Raced {
            attempt,
            beaten: Some(runners[1 - index].endpoint.shared.id),
        }
    }

    /// Begins the second attempt, if nothing speaks against it.
    fn second(&self, first: &Runner, now: Instant) -> Result<(Begun, Sending<'a>), NoHedge> {
        let flow = self.work.flow;
        let (core, upstream) = (flow.core, flow.upstream);
        let (state, budget) = (&upstream.shared.state, &upstream.shared.budget);
        let other = upstream.choose_other(now, &mut core.dice.borrow_mut(), &first.endpoint);
        let usual = flow.route.times.p50().unwrap_or_default();
        let late = Late {
            now,
            deadline: flow.deadline.at.before(usual),
            body_whole: self.work.body_is_whole(),
            elsewhere: other.is_some(),
            passing: upstream.shared.plan.breaker.is_none()
                || state.breaker_state(now) == BreakerState::Passing,
            load: state.load(),
        };
        if let HedgeDecision::Refuse(why) = self.config.decide(&late, &self.hedging.allowance, budget) {
            return Err(why);
        }
        let begun = self.work.sending(2, now, &[]);
        let begun = begun.and_then(|sending| Ok((core.begin(upstream, now, || other)?, sending)));
        begun.map_err(|missed| {
            self.hedging.allowance.refund();
            budget.refund();
            // Another core was quicker, between the decision and here.
            match missed.reason {
                Reason::BulkheadFull => NoHedge::Loaded,
                Reason::BreakerTripped => NoHedge::BreakerTripped,
                _ => NoHedge::DeadlineTooNear,
            }
        })
    }

    /// Whether what an attempt brought is passed on, whatever another may bring.
    fn settles(&self, attempt: &Result<Answered, Missed>) -> bool {
        let flow = self.work.flow;
        let Some(Failed { failure, .. }) = Failed::of(attempt, &flow.core.env) else {
            return true;
        };
        // That the time of one try is over says nothing of the other, which began later.
        if failure.kind == FailureKind::Refused(Reason::UpstreamTimeout) {
            return false;
        }
        let retry = flow.route.plan.retry.as_ref();
        !retry.map_or_else(
            || RetryConfig::default().is_retriable(&failure),
            |retry| retry.is_retriable(&failure),
        )
    }

    fn alone(&self, attempt: Result<Answered, Missed>, sent_at: Instant, ticket: &mut Ticket) -> Raced {
        self.measure(&attempt, sent_at);
        note(ticket, &attempt, sent_at);
        Raced {
            attempt,
            beaten: None,
        }
    }

    /// Takes the time of a first attempt as evidence of what is usual. A failure is none: many are over at once.
    fn measure(&self, attempt: &Result<Answered, Missed>, sent_at: Instant) {
        if let Ok(answered) = attempt
            && Failed::of(attempt, &self.work.flow.core.env).is_none()
        {
            self.hedging.took(answered.at - sent_at);
        }
    }
}

impl Runner {
    fn note(&self, ticket: &Ticket) -> AttemptNote {
        noted(ticket, Some(&self.endpoint), self.sent_at)
    }
}
