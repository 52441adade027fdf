//! Bodies that say whose they are, and that take their time.
//!
//! A parcel of request 7 begins with `#7;` and goes on with a byte that 7 decides, so that whoever receives it can
//! tell that it is whole and belongs to the request it came with.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

/// Bytes of one piece. Above 1 KiB hyper passes on what it reads in parts.
const PIECE: usize = 512;

/// How a parcel ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// With its last byte.
    Whole,
    /// With an error, half-way.
    Breaks,
    /// Not at all: half-way nothing more comes.
    Chokes,
}

/// A body made of pieces.
#[derive(Debug)]
pub(crate) struct Parcel {
    id: u32,
    pieces: u32,
    sent: u32,
    gap: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    ending: Ending,
}

/// A parcel that breaks off.
#[derive(Debug)]
pub(crate) struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the body breaks off on purpose")
    }
}

impl std::error::Error for Broken {}

impl Parcel {
    /// A parcel of so many pieces. Many of them come one by one, each in a millisecond of its own.
    pub(crate) fn new(id: u32, pieces: u32, ending: Ending) -> Self {
        let gap = if pieces > 4 {
            Duration::from_millis(1)
        } else {
            Duration::ZERO
        };
        Self {
            id,
            pieces,
            sent: 0,
            gap,
            timer: None,
            ending,
        }
    }

    fn piece(&self) -> Bytes {
        let mut bytes = vec![self.id as u8; PIECE];
        if self.sent == 0 {
            let mark = format!("#{};", self.id);
            bytes[..mark.len()].copy_from_slice(mark.as_bytes());
        }
        bytes.into()
    }
}

/// Whether `bytes` are the whole parcel of so many pieces of this request.
pub(crate) fn is_own(bytes: &[u8], id: u32, pieces: u32) -> bool {
    let mark = format!("#{id};");
    bytes.len() == pieces as usize * PIECE
        && (pieces == 0
            || (bytes.starts_with(mark.as_bytes()) && bytes[mark.len()..].iter().all(|b| *b == id as u8)))
}

impl Body for Parcel {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.sent == self.pieces {
            return Poll::Ready(None);
        }
        if self.sent >= self.pieces.div_ceil(2) {
            match self.ending {
                Ending::Whole => {}
                Ending::Breaks => return Poll::Ready(Some(Err(Broken))),
                Ending::Chokes => return Poll::Pending,
            }
        }
        if !self.gap.is_zero() {
            let gap = self.gap;
            let timer = self
                .timer
                .get_or_insert_with(|| Box::pin(tokio::time::sleep(gap)));
            ready!(timer.as_mut().poll(cx));
            self.timer = None;
        }
        let piece = self.piece();
        self.sent += 1;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::from(self.pieces - self.sent) * PIECE as u64)
    }
}

/// Reads a body to its end; `None` if it breaks off.
pub(crate) async fn read(mut body: hyper::body::Incoming) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    while let Some(frame) = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
        if let Ok(data) = frame.ok()?.into_data() {
            bytes.extend_from_slice(&data);
        }
    }
    Some(bytes)
}
