//! [`Downstream`] over HTTP/1.1.

use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use http::{StatusCode, header};
use pingora_core::{BError, Error, ErrorType, Result};

use super::{AnswerState, Http1Connection};
use crate::edge::admission::reply::Reply;
use crate::edge::http::body::{BodyLength, Frame};
use crate::edge::http::http1::body;
use crate::edge::http::http1::body::Step;
use crate::edge::http::http1::outbox::{BodyFraming, SendBuffer};
use crate::edge::http::http1::read::poll_read;
use crate::edge::http::http1::write;
use crate::edge::http::message::ResponseHead;
use crate::edge::pipeline::downstream::Downstream;
use crate::edge::session::tunnel::Tunnel;
use crate::edge::stream::Stream;

fn taken() -> BError {
    Error::explain(ErrorType::ConnectionClosed, "the connection now belongs to a tunnel").into_down()
}

/// Number of bytes of later requests at which a client is cut off while one is served.
const MOST_AHEAD: usize = 16 * 1024;

impl Downstream for Http1Connection {
    fn length(&self) -> BodyLength {
        self.length
    }

    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Frame>>> {
        loop {
            match self.body.step(&mut self.unread) {
                Ok(Step::Frame(frame)) => return Poll::Ready(Ok(Some(frame))),
                Ok(Step::End) => return Poll::Ready(Ok(None)),
                Ok(Step::More) => {}
                Err(body::Malformed(what)) => {
                    self.keep = false;
                    return Poll::Ready(Err(Error::explain(ErrorType::InvalidHTTPHeader, what).into_down()));
                }
            }
            let Some(stream) = &mut self.stream else { return Poll::Ready(Err(taken())) };
            match ready!(poll_read(stream, &mut self.unread, context)) {
                Ok(1..) => {}
                Ok(0) => {
                    let error =
                        Error::explain(ErrorType::ConnectionClosed, "before the request was complete");
                    return Poll::Ready(Err(error.into_down()));
                }
                Err(error) => {
                    let error =
                        Error::because(ErrorType::ReadError, "before the request was complete", error);
                    return Poll::Ready(Err(error.into_down()));
                }
            }
        }
    }

    fn head(&mut self, head: ResponseHead, bodiless: bool) -> Result<()> {
        if head.status.is_informational() {
            if !self.old {
                write::interim(self.outbox.bytes(), &head);
            }
            return Ok(());
        }
        let has_none =
            self.head_only || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let delimited = has_none || head.fields.contains(&header::CONTENT_LENGTH);
        let framing = if delimited || self.old { BodyFraming::Plain } else { BodyFraming::Chunked };
        // An upstream that answers before the body is complete may not want the rest, and a long rest is not
        // read for nothing.
        self.keep = self.keeps() && self.is_small();
        let reason = head.reason.as_deref();
        write::head(self.outbox.bytes(), head.status, reason, head.fields.iter(), framing, self.keep);
        self.answer = if has_none { AnswerState::Whole } else { AnswerState::Body(framing) };
        if bodiless { self.end() } else { Ok(()) }
    }

    fn frame(&mut self, frame: Frame, last: bool) -> Result<()> {
        let AnswerState::Body(framing) = self.answer else { return Ok(()) };
        let ends = matches!(frame, Frame::Trailers(_));
        self.outbox.frame(frame, framing);
        if ends {
            self.answer = AnswerState::Whole;
        } else if last {
            return self.end();
        }
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        if let AnswerState::Body(framing) = self.answer {
            self.outbox.end(framing);
            self.answer = AnswerState::Whole;
        }
        Ok(())
    }

    fn waiting(&self) -> usize {
        self.outbox.waiting()
    }

    fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        if self.outbox.is_empty() {
            return Poll::Ready(Ok(()));
        }
        let Some(stream) = &mut self.stream else { return Poll::Ready(Err(taken())) };
        self.outbox.poll_send(stream, context).map_err(|error| {
            Error::because(ErrorType::WriteError, "while sending the answer", error).into_down()
        })
    }

    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<BError> {
        let Some(stream) = &mut self.stream else { return Poll::Ready(taken()) };
        loop {
            if self.unread.len() >= MOST_AHEAD {
                // The rest of a body that the server no longer reads: its answer is near, and must not be cut off.
                if !self.body.is_done() {
                    return Poll::Pending;
                }
                // Without reading on, it would not be seen that the client leaves. No browser sends ahead.
                let error = Error::explain(ErrorType::ConnectionClosed, "the client sends too much ahead");
                return Poll::Ready(error.into_down());
            }
            match ready!(poll_read(stream, &mut self.unread, context)) {
                Ok(1..) => {}
                Ok(0) => {
                    let error = Error::explain(ErrorType::ConnectionClosed, "before the answer was complete");
                    return Poll::Ready(error.into_down());
                }
                Err(error) => {
                    let error = Error::because(ErrorType::ReadError, "before the answer was complete", error);
                    return Poll::Ready(error.into_down());
                }
            }
        }
    }

    fn abort(&mut self, _at_once: bool) {
        self.keep = false;
        self.outbox = SendBuffer::default();
        if self.has_begun() {
            self.answer = AnswerState::Broken;
        }
    }

    fn poll_drained(&mut self, context: &mut Context<'_>) -> Poll<()> {
        while self.is_small() && !self.body.is_done() {
            match ready!(self.poll_body(context)) {
                Ok(_) => {}
                Err(_) => break,
            }
        }
        Poll::Ready(())
    }

    fn reply(&mut self, reply: Reply, head_only: bool) -> Result<()> {
        self.keep = self.keeps() && !reply.closes() && self.body.is_done();
        reply.write(self.outbox.bytes(), self.keep, head_only);
        self.answer = AnswerState::Whole;
        Ok(())
    }

    fn has_begun(&self) -> bool {
        self.answer != AnswerState::NotBegun
    }

    fn switch(&mut self, into: impl FnOnce(Stream, BytesMut) -> Tunnel) -> Result<()> {
        let stream = self.stream.take().ok_or_else(taken)?;
        self.keep = false;
        self.tunnel = Some(Box::new(into(stream, std::mem::take(&mut self.unread))));
        Ok(())
    }
}
