//! A stream of made-up quotes as server-sent events: one per interval, and a last one.
//!
//! The prices are a walk that only depends on the underlying and the event's number, so two clients see the same
//! market and a test knows what to expect.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame};
use serde_json::json;
use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::dice::splitmix;
use crate::domain::price::Price;

/// Half of the difference between bid and ask.
const HALF_SPREAD: i64 = 250;

/// The body of a stream; it ends by itself.
#[derive(Debug)]
pub(crate) struct Quotes {
    underlying: String,
    seed: u64,
    ticks: Interval,
    sent: u64,
    events_max: u64,
    mid: i64,
}

impl Quotes {
    pub(crate) fn new(underlying: String, every: Duration, events_max: u64) -> Self {
        let seed = underlying
            .bytes()
            .fold(0, |seed, byte| splitmix(seed, u64::from(byte)));
        let mut ticks = interval(every);
        // A client that reads slowly gets fewer quotes, not old ones in a burst.
        ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mid = Price::from_units(50 + (seed % 100).cast_signed()).ticks();
        Self {
            underlying,
            seed,
            ticks,
            sent: 0,
            events_max,
            mid,
        }
    }

    fn next_event(&mut self) -> Bytes {
        self.sent += 1;
        // Up to ten cents either way, and never below a dollar.
        let step = (splitmix(self.seed, self.sent) % 21).cast_signed() - 10;
        self.mid = (self.mid + step * 100).max(Price::from_units(1).ticks());
        let data = json!({
            "underlying": self.underlying,
            "bid": Price::from_ticks(self.mid - HALF_SPREAD).to_string(),
            "ask": Price::from_ticks(self.mid + HALF_SPREAD).to_string(),
        });
        Bytes::from(format!("event: quote\nid: {}\ndata: {data}\n\n", self.sent))
    }
}

impl Body for Quotes {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.sent == self.events_max {
            return Poll::Ready(None);
        }
        ready!(self.ticks.poll_tick(cx));
        Poll::Ready(Some(Ok(Frame::data(self.next_event()))))
    }
}
