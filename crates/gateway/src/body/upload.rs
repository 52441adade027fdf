//! The caller's body, as attempts see it.
//!
//! It streams: a chunk is read from the caller when an attempt has room for it. What was read is kept for as long as
//! it fits the retry's bound, so that the next attempt begins at the first byte; beyond the bound nothing is kept,
//! and there will be no further attempt. One attempt owns the stream at a time: an attempt that was given up cannot
//! steal bytes from the next. A body that has come to its end and was kept whole is no stream any more: two attempts at
//! once may send it.

use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use plimsoll_policy::{PaceConfig, PaceVerdict, UploadPace};
use plimsoll_slo::{Instant, Reason};

use super::{BodyError, Broke, Inbound};
use crate::admission::{SharedSlot, Slot};
use crate::env::Env;
use crate::framing::Refusal;
use crate::http1::outbox::Framing;

/// The caller's body. Shared by the attempts of one request.
pub(crate) struct Upload {
    inbound: Inbound,
    env: Env,
    /// Its length, if the caller told it.
    declared: Option<u64>,
    received: u64,
    limit: u64,
    /// What was read, for the next attempt; `None` once it was too much.
    kept: Option<Vec<Bytes>>,
    kept_bytes: u64,
    keep_max: u64,
    pace: UploadPace,
    /// Since when the attempt has not asked for more: the caller cannot send then.
    unread_since: Option<Instant>,
    /// Since when we have waited for the caller, and for how long before that.
    asked_since: Option<Instant>,
    waited: Duration,
    /// The slot of the request, parked while we wait for the caller.
    slot: Option<Arc<SharedSlot>>,
    owner: u32,
    trailers: Option<HeaderMap>,
    ended: Option<Instant>,
    failed: Option<Failed>,
}

/// Why the caller's body cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// It broke a rule.
    Refused(Refusal),
    /// The caller went away.
    Gone,
}

/// Bounds on an upload.
#[derive(Clone, Copy, Debug)]
pub(crate) struct UploadLimits {
    pub(crate) body: u64,
    pub(crate) keep: u64,
    pub(crate) pace: PaceConfig,
}

const TOO_LARGE: Refusal = Refusal::new(Reason::BodyTooLarge, "the body is larger than the route accepts");
const TOO_SLOW: Refusal = Refusal::new(
    Reason::SlowRequest,
    "the body arrives more slowly than the listener bears",
);

/// Empty frames that are skipped before other tasks get their turn.
const EMPTY_FRAMES: usize = 16;

impl Upload {
    /// Takes the caller's body; `None` if there is none.
    pub(crate) fn new(
        inbound: Inbound,
        limits: UploadLimits,
        slot: Option<&Slot<'_>>,
        env: &Env,
    ) -> Option<Rc<RefCell<Self>>> {
        if inbound.is_end_stream() {
            return None;
        }
        let (declared, now) = (inbound.exact(), env.now());
        Some(Rc::new(RefCell::new(Self {
            env: env.clone(),
            declared,
            received: 0,
            limit: limits.body,
            kept: Some(Vec::new()),
            kept_bytes: 0,
            keep_max: limits.keep,
            pace: UploadPace::new(now, &limits.pace),
            unread_since: Some(now),
            asked_since: None,
            waited: Duration::ZERO,
            slot: slot.map(Slot::share),
            owner: 0,
            trailers: None,
            ended: None,
            failed: None,
            inbound,
        })))
    }

    /// Whether the declared length is over the limit, so that nothing need be read to refuse it.
    pub(crate) fn declares_too_much(&self) -> bool {
        self.declared.is_some_and(|bytes| bytes > self.limit)
    }

    /// A body for the next attempt, from the first byte.
    pub(crate) fn attempt(this: &Rc<RefCell<Self>>) -> AttemptBody {
        let mut upload = this.borrow_mut();
        upload.owner += 1;
        AttemptBody(Some(Reader {
            upload: Rc::clone(this),
            owner: upload.owner,
            at: 0,
            trailers_read: false,
        }))
    }

    /// Whether another attempt could begin at the first byte.
    pub(crate) fn is_replayable(&self) -> bool {
        self.received == 0 || self.kept.is_some()
    }

    /// Whether the attempt with this number may read of it.
    fn lends_to(&self, attempt: u32) -> bool {
        self.owner == attempt || (self.ended.is_some() && self.kept.is_some())
    }

    /// When the caller's body was complete; `None` while it is under way.
    pub(crate) fn ended(&self) -> Option<Instant> {
        self.ended
    }

    /// How long attempts have waited for the caller's bytes: time that is not the upstream's.
    pub(crate) fn waited(&self, now: Instant) -> Duration {
        self.waited + self.asked_since.map_or(Duration::ZERO, |since| now.since(since))
    }

    /// Nobody waits for the caller any more: it has sent something, or the attempt is over.
    pub(crate) fn stop_waiting(&mut self, now: Instant) {
        let Some(since) = self.asked_since.take() else {
            return;
        };
        self.waited += now.since(since);
        if let Some(slot) = &self.slot {
            slot.unpark();
        }
    }

    /// Somebody waits for the caller.
    fn wait(&mut self) {
        if self.asked_since.is_some() {
            return;
        }
        self.asked_since = Some(self.env.now());
        if let Some(slot) = &self.slot {
            slot.park();
        }
    }

    /// Why it cannot go on, if so.
    pub(crate) fn failed(&self) -> Option<Failed> {
        self.failed
    }

    /// Asks whether the caller keeps pace; if not, the upload has failed from now on.
    pub(crate) fn check_pace(&mut self, now: Instant) {
        if self.ended.is_some() || self.failed.is_some() {
            return;
        }
        if let Some(since) = &mut self.unread_since {
            self.pace.excuse(now - *since);
            *since = now;
        }
        if self.pace.verdict(now) == PaceVerdict::TooSlow {
            self.failed = Some(Failed::Refused(TOO_SLOW));
        }
    }

    fn keep(&mut self, data: &Bytes) {
        self.kept_bytes += data.len() as u64;
        if self.kept_bytes > self.keep_max {
            self.kept = None;
        }
        if let Some(kept) = &mut self.kept {
            kept.push(data.clone());
        }
    }

    fn poll_caller(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.failed {
            Some(Failed::Refused(refusal)) => return Poll::Ready(Some(Err(BodyError::Refused(refusal)))),
            Some(Failed::Gone) => return Poll::Ready(Some(Err(BodyError::GivenUp))),
            None => {}
        }
        let polled = match self.poll_frame(cx) {
            Poll::Pending => {
                if let Some(since) = self.unread_since.take() {
                    self.pace.excuse(self.env.now() - since);
                }
                self.wait();
                return Poll::Pending;
            }
            Poll::Ready(polled) => polled,
        };
        let now = self.env.now();
        self.stop_waiting(now);
        self.unread_since.get_or_insert(now);
        match polled {
            None => {
                self.ended.get_or_insert(now);
                Poll::Ready(None)
            }
            Some(Err(error)) => {
                let (failed, error) = match error {
                    Broke::Refused(refusal) => (Failed::Refused(refusal), BodyError::Refused(refusal)),
                    error => (Failed::Gone, BodyError::Caller(error)),
                };
                self.failed = Some(failed);
                Poll::Ready(Some(Err(error)))
            }
            Some(Ok(frame)) => Poll::Ready(Some(self.take(now, frame))),
        }
    }

    /// The next frame that says something. HTTP/2 callers end a body with an empty frame of data; passed on, it would
    /// be one that does not end the stream, and servers count those against a connection (h2 bears 100 in its life).
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Broke>>> {
        for _ in 0..EMPTY_FRAMES {
            match self.inbound.poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) if frame.data_ref().is_some_and(Bytes::is_empty) => {}
                polled => return polled,
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn take(&mut self, now: Instant, frame: Frame<Bytes>) -> Result<Frame<Bytes>, BodyError> {
        if let Some(data) = frame.data_ref() {
            self.received += data.len() as u64;
            if self.received > self.limit {
                self.failed = Some(Failed::Refused(TOO_LARGE));
                return Err(BodyError::Refused(TOO_LARGE));
            }
            self.pace.progress(data.len());
            let data = data.clone();
            self.keep(&data);
        } else if let Some(trailers) = frame.trailers_ref() {
            self.trailers = Some(trailers.clone());
        }
        if self.inbound.is_end_stream() {
            self.ended.get_or_insert(now);
        }
        Ok(frame)
    }
}

/// The body that one attempt sends: none, or the caller's from its first byte.
pub(crate) struct AttemptBody(Option<Reader>);

struct Reader {
    upload: Rc<RefCell<Upload>>,
    owner: u32,
    /// Chunks that this attempt has sent of those that are kept.
    at: usize,
    trailers_read: bool,
}

impl AttemptBody {
    /// No body.
    pub(crate) const fn none() -> Self {
        Self(None)
    }

    /// How HTTP/1 frames it.
    pub(crate) fn framing(&self) -> Framing {
        match &self.0 {
            None => Framing::None,
            Some(reader) => match reader.upload.borrow().declared {
                Some(bytes) => Framing::Length(bytes),
                None => Framing::Chunked,
            },
        }
    }
}

impl Body for AttemptBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(reader) = &mut self.get_mut().0 else {
            return Poll::Ready(None);
        };
        let mut upload = reader.upload.borrow_mut();
        if !upload.lends_to(reader.owner) {
            return Poll::Ready(Some(Err(BodyError::GivenUp)));
        }
        if let Some(data) = upload.kept.as_ref().and_then(|kept| kept.get(reader.at)) {
            reader.at += 1;
            return Poll::Ready(Some(Ok(Frame::data(data.clone()))));
        }
        if upload.ended.is_some() {
            if reader.trailers_read {
                return Poll::Ready(None);
            }
            reader.trailers_read = true;
            return Poll::Ready(
                upload
                    .trailers
                    .clone()
                    .map(|trailers| Ok(Frame::trailers(trailers))),
            );
        }
        let polled = upload.poll_caller(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            reader.at += usize::from(frame.is_data());
            reader.trailers_read |= frame.is_trailers();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        let Some(reader) = &self.0 else {
            return true;
        };
        let upload = reader.upload.borrow();
        let all_sent = upload.kept.as_ref().is_none_or(|kept| reader.at >= kept.len());
        upload.lends_to(reader.owner)
            && upload.ended.is_some()
            && all_sent
            && (upload.trailers.is_none() || reader.trailers_read)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            None => SizeHint::with_exact(0),
            Some(reader) => match reader.upload.borrow().declared {
                Some(bytes) => SizeHint::with_exact(bytes),
                None => SizeHint::default(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::DuplexStream;

    use super::*;
    use crate::env::Stream;
    use crate::framing::head::HeadLimits;
    use crate::http1::talk::Talk;

    const LIMITS: HeadLimits = HeadLimits {
        bytes: 1 << 10,
        headers: 10,
        target: 100,
    };

    /// A body of eight bytes of which four have come, and the caller who sends the others.
    async fn half_sent(keep: u64) -> (Rc<RefCell<Upload>>, DuplexStream) {
        let (ours, theirs) = tokio::io::duplex(1 << 10);
        let came = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nhalf";
        let stream = Stream::Other(Box::new(ours));
        let talk = Rc::new(Talk::new(stream, came, LIMITS, Rc::default(), Rc::default()));
        let head = talk.next(&crate::memory::Memory::default()).await;
        assert!(head.is_ok_and(|head| head.is_some()));
        let limits = UploadLimits {
            body: 100,
            keep,
            pace: PaceConfig::default(),
        };
        let upload = Upload::new(Inbound::Http1(talk), limits, None, &Env::real());
        (upload.expect("there is a body"), theirs)
    }

    /// The next piece, or why there is none.
    async fn piece(body: &mut AttemptBody) -> String {
        match poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await {
            None => "end".to_owned(),
            Some(Ok(frame)) => String::from_utf8_lossy(frame.data_ref().unwrap()).into_owned(),
            Some(Err(error)) => error.to_string(),
        }
    }

    const GIVEN_UP: &str = "the attempt was given up";

    #[tokio::test]
    async fn while_it_is_coming_only_the_last_attempt_reads_it() {
        let (upload, mut caller) = half_sent(100).await;
        let mut first = Upload::attempt(&upload);
        assert_eq!(piece(&mut first).await, "half");
        let mut second = Upload::attempt(&upload);
        assert_eq!(piece(&mut first).await, GIVEN_UP);
        tokio::io::AsyncWriteExt::write_all(&mut caller, b"rest")
            .await
            .unwrap();
        assert_eq!(piece(&mut second).await, "half");
        assert_eq!(piece(&mut second).await, "rest");
        assert!(second.is_end_stream());
    }

    #[tokio::test]
    async fn once_it_is_whole_two_attempts_may_send_it_at_once() {
        let (upload, mut caller) = half_sent(100).await;
        tokio::io::AsyncWriteExt::write_all(&mut caller, b"rest")
            .await
            .unwrap();
        let mut first = Upload::attempt(&upload);
        for expected in ["half", "rest", "end"] {
            assert_eq!(piece(&mut first).await, expected);
        }
        let (mut second, mut third) = (Upload::attempt(&upload), Upload::attempt(&upload));
        for expected in ["half", "rest"] {
            assert_eq!(piece(&mut second).await, expected);
            assert_eq!(piece(&mut third).await, expected);
        }
        assert!(first.is_end_stream() && second.is_end_stream() && third.is_end_stream());
    }

    /// What was not kept must not look as though it had been sent to its end.
    #[tokio::test]
    async fn what_is_not_kept_is_never_sent_in_part() {
        let (upload, mut caller) = half_sent(6).await;
        tokio::io::AsyncWriteExt::write_all(&mut caller, b"rest")
            .await
            .unwrap();
        let mut first = Upload::attempt(&upload);
        assert_eq!(piece(&mut first).await, "half");
        assert_eq!(piece(&mut first).await, "rest");
        assert!(!upload.borrow().is_replayable());
        let _second = Upload::attempt(&upload);
        assert_eq!(piece(&mut first).await, GIVEN_UP);
        assert!(!first.is_end_stream());
    }
}
