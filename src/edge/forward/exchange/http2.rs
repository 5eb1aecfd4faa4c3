//! Exchange with an upstream over HTTP/2: one stream of a shared connection.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use http::response::Parts;
use http::uri::Scheme;
use pingora_core::{BError, Error, ErrorType, Result, RetryType};

use super::AnswerHead;
use super::head::Outgoing;
use crate::edge::forward::upstream::StreamSlot;
use crate::edge::http::body::Frame;
use crate::edge::http::http2::{BodySender, Http2BodyReader};
use crate::edge::http::limits::{MAX_ANSWER_FIELDS, MAX_INTERIM_ANSWERS};

/// Exchange over HTTP/2.
pub struct Http2 {
    place: StreamSlot,
    answer: ResponseFuture,
    request: SendStream<Bytes>,
    sender: BodySender,
    interim: usize,
    /// The reader of the answer's body, once the final head has arrived.
    body: Option<Http2BodyReader>,
}

impl Http2 {
    /// Begins an exchange on a connection with room for it.
    ///
    /// # Errors
    /// The connection has ended, or HTTP/2 can't carry the request.
    pub fn new(
        mut connection: SendRequest<Bytes>,
        place: StreamSlot,
        outgoing: &Outgoing<'_>,
    ) -> Result<Self> {
        let head = outgoing.http2(Scheme::HTTPS).map_err(|error| {
            Error::because(ErrorType::InvalidHTTPHeader, "as a request over HTTP/2", error).into_in()
        })?;
        let bodiless = outgoing.length.is_none();
        let (answer, request) = connection.send_request(head, bodiless).map_err(failed)?;
        let sender = if bodiless { BodySender::whole() } else { BodySender::default() };
        Ok(Self { place, answer, request, sender, interim: 0, body: None })
    }

    /// Queues a piece of the request's body; the previous one must be sent.
    pub fn frame(&mut self, frame: Frame) {
        self.sender.frame(frame, false);
    }

    /// Queues the end of the request's body.
    pub fn end(&mut self) {
        self.sender.end();
    }

    /// Whether queued bytes have to be sent before more are queued.
    pub fn is_full(&self) -> bool {
        self.sender.is_waiting()
    }

    /// Ready once everything queued is sent.
    pub fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        self.sender.poll_send(&mut self.request, context).map_err(failed)
    }

    /// The next head of the answer.
    pub fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<AnswerHead>> {
        if let Poll::Ready(Some(interim)) = self.answer.poll_informational(context) {
            self.interim += 1;
            if self.interim > MAX_INTERIM_ANSWERS {
                return Poll::Ready(Err(invalid("there are interim answers only")));
            }
            let (parts, ()) = interim.map_err(failed)?.into_parts();
            return Poll::Ready(checked(parts, true));
        }
        let answer = ready!(Pin::new(&mut self.answer).poll(context)).map_err(failed)?;
        let (parts, body) = answer.into_parts();
        let body = Http2BodyReader::new(body);
        let bodiless = body.is_done();
        self.body = Some(body);
        Poll::Ready(checked(parts, bodiless))
    }

    /// The next piece of the answer's body; `None` at its end.
    pub fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Frame>>> {
        match &mut self.body {
            Some(body) => body.poll_frame(context).map_err(failed),
            None => Poll::Ready(Ok(None)),
        }
    }

    /// Marks the connection as dead, because the upstream is silent.
    pub fn retire(&self) {
        self.place.retire();
    }

    /// Whether the answer is complete.
    pub fn is_done(&self) -> bool {
        self.body.as_ref().is_some_and(Http2BodyReader::is_done)
    }
}

/// Checks a head against the limits; the connection checks its length.
fn checked(parts: Parts, bodiless: bool) -> Result<AnswerHead> {
    if parts.headers.len() > MAX_ANSWER_FIELDS {
        return Err(invalid("its head has too many fields"));
    }
    Ok(AnswerHead { head: parts.into(), bodiless })
}

fn invalid(what: &'static str) -> BError {
    Error::explain(ErrorType::InvalidHTTPHeader, what).into_up()
}

fn failed(error: h2::Error) -> BError {
    let retry = if is_unprocessed(&error) {
        RetryType::Decided(true)
    } else if error.is_io() {
        RetryType::ReusedOnly
    } else {
        RetryType::Decided(false)
    };
    let mut error =
        Error::because(ErrorType::H2Error, "on the upstream's HTTP/2 connection", error).into_up();
    error.retry = retry;
    error
}

/// Whether the server says that it has not processed the request, so that any request may be sent again (RFC 9113 §8.7).
/// h2 gives the error of a GOAWAY to those streams only that the server has not seen.
fn is_unprocessed(error: &h2::Error) -> bool {
    error.is_remote() && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM))
}
