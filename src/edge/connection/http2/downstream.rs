//! [`Downstream`] over HTTP/2.

use std::future::poll_fn;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{self, HeaderMap, HeaderName};
use http::{Response, Version};
use pingora_core::protocols::http::date::get_cached_date;
use pingora_core::{BError, Error, ErrorType, Result};

use crate::edge::admission::reply::Reply;
use crate::edge::http::body::{BodyLength, Frame};
use crate::edge::http::http1::head::decimal;
use crate::edge::http::http2::{BodySender, Http2BodyReader};
use crate::edge::http::limits::{LINGER, MOST_LINGER};
use crate::edge::http::message::{RequestHead, ResponseHead};
use crate::edge::pipeline::downstream::{Downstream, UpstreamRest};
use crate::edge::session::tunnel::Tunnel;
use crate::edge::stream::Stream;
use embedgate_policy::headers::is_hop_by_hop;

/// Time for the sent part of a broken answer to leave before the reset.
const BREAK: Duration = Duration::from_millis(100);

/// [`Downstream`] of one request over HTTP/2.
pub(super) struct Http2Client<'o> {
    /// Number of open requests of the connection.
    open: &'o AtomicUsize,
    respond: SendResponse<Bytes>,
    request: Http2BodyReader,
    length: BodyLength,
    /// The stream of the answer, once the final head is sent.
    answer: Option<SendStream<Bytes>>,
    body: BodySender,
    /// The answer is cut off.
    is_broken: bool,
    /// Number of received bytes of the request's body.
    received: u64,
    withheld: Option<Bytes>,
    /// The trailers after the withheld piece.
    trailers: Option<Frame>,
    /// The rest of the work for a client that has left.
    rest: Option<UpstreamRest>,
}

impl<'o> Http2Client<'o> {
    pub(super) fn new(
        head: &RequestHead,
        request: RecvStream,
        respond: SendResponse<Bytes>,
        open: &'o AtomicUsize,
    ) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        let stated = head.fields.get(&header::CONTENT_LENGTH).and_then(|length| decimal(length.as_bytes()));
        let length = match stated {
            Some(length) => BodyLength::Known(length),
            None if request.is_end_stream() => BodyLength::Absent,
            None => BodyLength::Unknown,
        };
        let request = Http2BodyReader::new(request);
        Self {
            open,
            respond,
            request,
            length,
            answer: None,
            body: BodySender::default(),
            is_broken: false,
            received: 0,
            withheld: None,
            trailers: None,
            rest: None,
        }
    }

    /// Resets a broken answer. After a complete one, reads the rest of an unwanted body for a while, because
    /// some clients read the answer only after they have sent everything. When this is dropped, the rest is
    /// stopped without an error (RFC 9113 §8.1).
    pub(super) async fn finish(mut self) {
        if let Some(rest) = self.rest.take() {
            drop(self);
            return rest.await;
        }
        if self.is_broken && self.poll_gone(&mut Context::from_waker(Waker::noop())).is_pending() {
            // Data that was passed on has to leave first: a reset drops what still waits, and the library
            // can't tell when it left.
            tokio::time::sleep(BREAK).await;
            return self.respond.send_reset(Reason::INTERNAL_ERROR);
        }
        if !self.body.is_whole() || self.request.is_done() {
            return;
        }
        let rest = async {
            loop {
                let next = poll_fn(|context| self.request.poll_frame(context));
                match tokio::time::timeout(LINGER, next).await {
                    Ok(Ok(Some(_))) => {}
                    Ok(Ok(None) | Err(_)) | Err(_) => return,
                }
            }
        };
        // The result does not matter any more.
        let _ = tokio::time::timeout(MOST_LINGER, Box::pin(rest)).await;
    }

    fn send(&mut self, mut head: ResponseHead, ends: bool) -> Result<()> {
        // As over HTTP/1.1, the edge sets its own `Date` (RFC 9110 §6.6.1).
        head.fields.insert(header::DATE, get_cached_date());
        let answer = self.respond.send_response(response(head), ends);
        self.answer = Some(answer.map_err(gone)?);
        if ends {
            self.body = BodySender::whole();
        }
        Ok(())
    }
}

/// A head in the library's type.
fn response(head: ResponseHead) -> Response<()> {
    let mut fields = HeaderMap::with_capacity(head.fields.count());
    for (name, mut value) in head.fields {
        // It stays out of the compression table (RFC 7541 §7.1.3). There it would displace fields that all
        // answers have, and the library would compare it with all earlier values of the field.
        if changes(&name) {
            value.set_sensitive(true);
        }
        fields.append(name, value);
    }
    let mut response = Response::new(());
    *response.status_mut() = head.status;
    *response.version_mut() = Version::HTTP_2;
    *response.headers_mut() = fields;
    response
}

/// Whether a field differs between the answers of a connection, which many visitors may share.
fn changes(name: &HeaderName) -> bool {
    matches!(*name, header::DATE | header::ACCESS_CONTROL_ALLOW_ORIGIN)
}

fn gone(error: h2::Error) -> BError {
    Error::because(ErrorType::WriteError, "while sending the answer", error).into_down()
}

impl Drop for Http2Client<'_> {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Downstream for Http2Client<'_> {
    fn length(&self) -> BodyLength {
        self.length
    }

    fn sharers(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// The piece that completes a stated length is held back until the stream has ended. If more follows, the
    /// request is invalid, and the upstream must not take it as complete.
    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Frame>>> {
        loop {
            if let Some(piece) = self.withheld.take_if(|_| self.request.is_done()) {
                return Poll::Ready(Ok(Some(Frame::Data(piece))));
            }
            if let Some(trailers) = self.trailers.take() {
                return Poll::Ready(Ok(Some(trailers)));
            }
            let frame = ready!(self.request.poll_frame(context)).map_err(|error| {
                Error::because(ErrorType::ReadError, "before the request was complete", error).into_down()
            })?;
            let Some(Frame::Data(piece)) = frame else {
                let Some(withheld) = self.withheld.take() else { return Poll::Ready(Ok(frame)) };
                self.trailers = frame;
                return Poll::Ready(Ok(Some(Frame::Data(withheld))));
            };
            let BodyLength::Known(length) = self.length else {
                return Poll::Ready(Ok(Some(Frame::Data(piece))));
            };
            self.received += piece.len() as u64;
            if self.received < length {
                return Poll::Ready(Ok(Some(Frame::Data(piece))));
            }
            self.withheld = Some(piece);
        }
    }

    fn head(&mut self, mut head: ResponseHead, bodiless: bool) -> Result<()> {
        head.fields.retain(|name, _| !is_hop_by_hop(name));
        if head.status.is_informational() {
            // It has no body, and a client could take this for the length of the answer's (RFC 9110 §8.6).
            head.fields.remove(&header::CONTENT_LENGTH);
            return self.respond.send_informational(response(head)).map_err(gone);
        }
        self.send(head, bodiless)
    }

    fn frame(&mut self, frame: Frame, last: bool) -> Result<()> {
        self.body.frame(frame, last);
        Ok(())
    }

    fn end(&mut self) -> Result<()> {
        self.body.end();
        Ok(())
    }

    fn waiting(&self) -> usize {
        self.body.waiting()
    }

    fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        match &mut self.answer {
            Some(answer) => self.body.poll_send(answer, context).map_err(gone),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<BError> {
        let reset = match &mut self.answer {
            Some(answer) => answer.poll_reset(context),
            None => self.respond.poll_reset(context),
        };
        Poll::Ready(match ready!(reset) {
            Ok(reason) => {
                let what = format!("the client reset the stream: {reason}");
                Error::explain(ErrorType::ConnectionClosed, what).into_down()
            }
            Err(error) => gone(error),
        })
    }

    fn outlive(&mut self, rest: UpstreamRest) {
        self.rest = Some(rest);
    }

    fn abort(&mut self, at_once: bool) {
        if self.body.is_whole() {
            return;
        }
        if at_once {
            self.respond.send_reset(Reason::INTERNAL_ERROR);
        } else {
            self.is_broken = true;
        }
    }

    fn poll_drained(&mut self, _context: &mut Context<'_>) -> Poll<()> {
        // The connection is kept, whatever happens to the stream.
        Poll::Ready(())
    }

    fn reply(&mut self, reply: Reply, head_only: bool) -> Result<()> {
        let (head, body) = reply.into_parts();
        let bodiless = head_only || body.is_empty();
        self.send(head, bodiless)?;
        if !bodiless {
            self.body.frame(Frame::Data(body), true);
        }
        Ok(())
    }

    fn has_begun(&self) -> bool {
        self.answer.is_some()
    }

    fn switch(&mut self, _into: impl FnOnce(Stream, BytesMut) -> Tunnel) -> Result<()> {
        Err(Error::explain(ErrorType::InternalError, "a tunnel over a connection that requests share"))
    }
}
