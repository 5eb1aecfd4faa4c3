//! Bodies of requests and answers on a connection: a request's ends when nothing comes of it, and an answer's end is told.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use axum::body::{Body, HttpBody};
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};

use super::connections::CallerConnection;
use super::patience::CallerPatience;

/// The caller sends the body too slowly.
#[derive(Debug)]
pub(super) struct BodyTooSlow;

impl fmt::Display for BodyTooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the rest of the body did not come in time")
    }
}

impl std::error::Error for BodyTooSlow {}

/// Body of a request.
pub(super) struct PacedBody {
    body: Incoming,
    sent: CallerPatience,
    /// Nothing more of it will come.
    is_whole: Arc<AtomicBool>,
}

impl PacedBody {
    pub(super) fn new(body: Incoming) -> Self {
        let is_whole = Arc::new(AtomicBool::new(body.is_end_stream()));
        Self { body, sent: CallerPatience::default(), is_whole }
    }

    /// Tells at any time whether the whole body has come, also when this is gone.
    pub(super) fn whole(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.is_whole)
    }
}

impl HttpBody for PacedBody {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            ready!(self.sent.poll_late(cx));
            return Poll::Ready(Some(Err(BodyTooSlow.into())));
        };
        let data = frame.as_ref().and_then(|frame| frame.as_ref().ok()).and_then(Frame::data_ref);
        self.sent.moved(data.map_or(0, Bytes::len));
        if frame.is_none() || self.body.is_end_stream() {
            self.is_whole.store(true, Ordering::Relaxed);
        }
        Poll::Ready(frame.map(|frame| frame.map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Body of an answer.
pub(super) struct AnswerBody {
    body: Body,
    _call: CallUnderWay,
}

/// Call that was asked. It is answered when this is dropped.
pub(super) struct CallUnderWay(Arc<CallerConnection>);

impl CallUnderWay {
    pub(super) fn begin(connection: Arc<CallerConnection>) -> Self {
        connection.asked();
        Self(connection)
    }
}

impl Drop for CallUnderWay {
    fn drop(&mut self) {
        self.0.answered();
    }
}

impl AnswerBody {
    pub(super) fn new(body: Body, call: CallUnderWay) -> Self {
        Self { body, _call: call }
    }
}

impl HttpBody for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
