//! The upstream's answer as it goes back to the caller.

use http::{HeaderValue, Response, StatusCode, Version};
use plimsoll_slo::{Class, classify_grpc, classify_http};

use crate::attempt::Answered;
use crate::body::answer::{AnswerBody, Terms, grpc_status};
use crate::headers::{self, ATTEMPTS};
use crate::identity::REQUEST_ID;
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
    pub(crate) answered: Answered,
    pub(crate) terms: Terms,
    pub(crate) attempts: u32,
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
            mut terms,
            attempts,
        } = passed;
        let (mut head, incoming) = response.into_parts();
        let grpc = grpc_status(&head.headers).filter(|_| terms.grpc_open);
        let class = grpc.map_or_else(|| classify_http(head.status.as_u16()), classify_grpc);
        if let Some(code) = grpc {
            ticket.grpc_status(code, class);
        }
        // Trailers are still to come only if the head had no status and is that of a gRPC answer at all.
        terms.grpc_open &= grpc.is_none() && head.status == StatusCode::OK;
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
        let body = AnswerBody::passing(incoming, ticket, lease, permit, &terms);
        Response::from_parts(head, body)
    }
}
