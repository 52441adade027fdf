//! The upstream's answer as it goes back to the caller.

use http::{HeaderValue, StatusCode};
use plimsoll_slo::{Class, classify_grpc, classify_http};

use crate::attempt::Answered;
use crate::body::answer::{AnswerBody, Terms, grpc_status};
use crate::fields::{Known, Own};
use crate::message::{AnswerHead, Dropped, Reply};
use crate::ticket::Ticket;

/// An answer that is to be passed on.
pub(crate) enum Answer {
    /// The upstream's.
    Passed(Box<Passed>),
    /// A protocol was switched to.
    Switched(AnswerHead, HeaderValue),
}

/// The upstream's answer, and on what terms its body passes.
pub(crate) struct Passed {
    pub(crate) answered: Answered,
    pub(crate) terms: Terms,
    /// For those who would try again.
    pub(crate) attempts: Option<HeaderValue>,
}

impl Answer {
    /// The answer as it goes to the caller, carrying the ticket to the end of its body.
    pub(crate) fn into_reply(self, ticket: Ticket) -> Reply {
        match self {
            Self::Switched(head, protocol) => switched(head, protocol, ticket),
            Self::Passed(passed) => passed.into_reply(ticket),
        }
    }
}

fn switched(head: AnswerHead, protocol: HeaderValue, mut ticket: Ticket) -> Reply {
    let now = ticket.core().env.now();
    ticket.head(now, head.status.as_u16(), Class::Good);
    ticket.complete(now);
    let own = vec![
        (Known::Connection, HeaderValue::from_static("upgrade")),
        (Known::Upgrade, protocol),
        (Known::RequestId, ticket.request_id.clone()),
    ];
    Reply {
        status: head.status,
        dropped: Dropped::of(&head.fields, &own),
        fields: head.fields,
        own,
        body: AnswerBody::own(bytes::Bytes::new(), ticket),
        close: false,
    }
}

impl Passed {
    fn into_reply(self, mut ticket: Ticket) -> Reply {
        let Answered {
            head: AnswerHead { status, fields },
            lease,
            permit,
            at,
            ..
        } = self.answered;
        let mut terms = self.terms;
        let grpc = grpc_status(&fields).filter(|_| terms.grpc_open);
        let class = grpc.map_or_else(
            || classify_http(status.as_u16(), ticket.is_within_rate()),
            classify_grpc,
        );
        if let Some(code) = grpc {
            ticket.grpc_status(code, class);
        }
        // Trailers are still to come only if the head had no status and is that of a gRPC answer at all.
        terms.grpc_open &= grpc.is_none() && status == StatusCode::OK;
        ticket.head(at, status.as_u16(), class);
        if matches!(class, Class::Bad(_)) {
            ticket.fail(class, format!("the upstream answered {status}"));
        }
        let mut own = Own::with_capacity(4);
        own.push((Known::RequestId, ticket.request_id.clone()));
        own.extend(self.attempts.map(|attempts| (Known::Attempts, attempts)));
        Reply {
            status,
            dropped: Dropped::of(&fields, &own),
            fields,
            own,
            body: AnswerBody::passing(ticket, lease, permit, &terms),
            close: false,
        }
    }
}
