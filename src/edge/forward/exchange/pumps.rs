//! Pumps of an exchange: the request's body is sent whenever possible, while the answer is awaited or passed
//! on.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use pingora_core::{BError, Error, ErrorSource, ErrorType, Result, RetryType};
use tokio::time::Instant;

use super::head::Outgoing;
use super::{AnswerHead, Exchange};
use crate::edge::deadline::Deadline;
use crate::edge::forward::headers;
use crate::edge::forward::upstream::Server;
use crate::edge::http::body::Frame;
use crate::edge::http::limits::CLIENT_TIMEOUT;
use crate::edge::pipeline::downstream::Downstream;

/// Both directions of one exchange.
pub(super) struct Pumps<'c, D> {
    pub(super) client: &'c mut D,
    exchange: Exchange,
    up: Up,
    /// The error after which the upstream accepts no more of the request.
    unsent: Option<BError>,
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    /// Something was sent to the upstream since the wait began.
    moved: bool,
    /// Whether the client is watched. A client that opens a tunnel may have ended its half already.
    is_watched: bool,
}

/// State of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Up {
    /// The body is still read.
    Reading,
    /// The body is read and partly sent.
    Sending,
    /// The body has been sent in full.
    Done,
    /// The upstream accepts no more of the body, but may still answer.
    Stopped,
}

/// Subject of a wait, which decides the time limit and the error.
#[derive(Clone, Copy)]
enum Wait {
    /// A part of the answer.
    Answer,
    /// The client, which has to read what was sent.
    Client,
}

impl<'c, D: Downstream> Pumps<'c, D> {
    pub(super) fn new(
        client: &'c mut D,
        mut exchange: Exchange,
        server: &Server,
        outgoing: &Outgoing<'_>,
    ) -> Self {
        let up = if outgoing.length.is_none() {
            exchange.end();
            Up::Sending
        } else {
            Up::Reading
        };
        let options = server.options();
        let read_timeout = outgoing.admission.own.read_limit.or(options.read_timeout);
        let write_timeout = options.write_timeout;
        Self {
            client,
            exchange,
            up,
            unsent: None,
            read_timeout,
            write_timeout,
            moved: false,
            is_watched: !outgoing.is_handshake,
        }
    }

    /// The next head of the answer.
    pub(super) async fn head(&mut self, deadline: &mut Deadline) -> Result<AnswerHead> {
        let head = self.wait(Wait::Answer, deadline, |client, exchange, context| {
            while_sending(client, context, |context| exchange.poll_head(context))
        });
        head.await.map_err(|error| {
            // If the connection was closed during a write, reading it fails as well. The error of the write
            // is the cause.
            let is_closed = *error.esource() == ErrorSource::Upstream
                && matches!(error.etype(), ErrorType::ConnectionClosed | ErrorType::ReadError)
                && matches!(error.retry, RetryType::ReusedOnly);
            self.unsent.take().filter(|_| is_closed).unwrap_or(error)
        })
    }

    /// The next piece of the answer's body; `None` at its end.
    pub(super) async fn frame(&mut self, deadline: &mut Deadline) -> Result<Option<Frame>> {
        let frame = self.wait(Wait::Answer, deadline, |client, exchange, context| {
            while_sending(client, context, |context| exchange.poll_frame(context))
        });
        frame.await
    }

    /// Waits until the client's connection has accepted everything.
    pub(super) async fn sent(&mut self, deadline: &mut Deadline) -> Result<()> {
        self.wait(Wait::Client, deadline, |client, _, context| client.poll_sent(context)).await
    }

    /// Whether the answer is complete.
    pub(super) fn is_done(&self) -> bool {
        self.exchange.is_done()
    }

    /// The exchange, for what comes after a switch of protocols.
    pub(super) fn into_exchange(self) -> Exchange {
        self.exchange
    }

    /// Gives the connection back, if another request can use it.
    pub(super) fn release(self, server: &Server) {
        if let (Exchange::Http1(exchange), Up::Done) = (self.exchange, self.up)
            && let Some(stream) = exchange.into_idle()
        {
            server.idle().put(stream);
        }
    }

    /// Waits for `poll`, and meanwhile sends the request.
    async fn wait<T>(
        &mut self,
        what: Wait,
        deadline: &mut Deadline,
        mut poll: impl FnMut(&mut D, &mut Exchange, &mut Context<'_>) -> Poll<Result<T>>,
    ) -> Result<T> {
        let mut at = None;
        poll_fn(|context| {
            // The request comes first, because the server may wait for more of it before it answers.
            if let Err(error) = self.poll_up(context) {
                return Poll::Ready(Err(error));
            }
            if let Poll::Ready(done) = poll(self.client, &mut self.exchange, context) {
                return Poll::Ready(done);
            }
            // Before that, reading the body shows whether the client has left.
            if self.is_watched
                && matches!(self.up, Up::Done | Up::Stopped)
                && let Poll::Ready(error) = self.client.poll_gone(context)
            {
                return Poll::Ready(Err(error));
            }
            // The time limit starts with the first wait, and again with each step of the request: a slow
            // upload is not an error.
            if at.is_none() || self.moved {
                self.moved = false;
                at = self.limit(what).map(|limit| Instant::now() + limit);
            }
            match at {
                Some(at) => deadline.poll_until(at, context).map(|()| Err(self.overdue(what))),
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Sends as much of the request as possible now.
    fn poll_up(&mut self, context: &mut Context<'_>) -> Result<()> {
        loop {
            match self.up {
                Up::Done | Up::Stopped => return Ok(()),
                Up::Sending => match self.exchange.poll_sent(context) {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(sent) => self.go_on(sent, Up::Done),
                },
                // No more is read than the server accepts, so that a slow server does not fill the edge's
                // memory.
                Up::Reading if self.exchange.is_full() => match self.exchange.poll_sent(context) {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(sent) => self.go_on(sent, Up::Reading),
                },
                Up::Reading => match self.client.poll_body(context)? {
                    Poll::Ready(Some(frame)) => {
                        self.moved = true;
                        self.exchange.frame(match frame {
                            Frame::Trailers(fields) => Frame::Trailers(headers::trailers_upward(fields)),
                            data => data,
                        });
                    }
                    Poll::Ready(None) => {
                        self.exchange.end();
                        self.go_on(Ok(()), Up::Sending);
                    }
                    // The client is silent, but what it has sent so far must not wait for the rest.
                    Poll::Pending => match self.exchange.poll_sent(context) {
                        Poll::Ready(Err(error)) => self.go_on(Err(error), Up::Stopped),
                        Poll::Ready(Ok(())) | Poll::Pending => return Ok(()),
                    },
                },
            }
        }
    }

    fn go_on(&mut self, sent: Result<()>, next: Up) {
        self.moved |= self.up != next;
        self.up = match sent {
            Ok(()) => next,
            Err(error) => {
                // Not the end of the exchange: a server may answer early and stop reading.
                self.unsent = Some(error);
                Up::Stopped
            }
        };
    }

    /// The time limit of a wait.
    fn limit(&self, what: Wait) -> Option<Duration> {
        match (what, self.up) {
            (Wait::Client, _) => Some(CLIENT_TIMEOUT),
            // Without a full queue, the wait is for the client; with one, it is for the upstream.
            (Wait::Answer, Up::Reading) if !self.exchange.is_full() => Some(CLIENT_TIMEOUT),
            (Wait::Answer, Up::Reading | Up::Sending) => self.write_timeout,
            (Wait::Answer, Up::Done | Up::Stopped) => self.read_timeout,
        }
    }

    fn overdue(&self, what: Wait) -> BError {
        if matches!(what, Wait::Answer) {
            self.exchange.retire();
        }
        match (what, self.up) {
            (Wait::Client, _) => {
                Error::explain(ErrorType::WriteTimedout, "the client does not read the answer").into_down()
            }
            (Wait::Answer, Up::Reading) if !self.exchange.is_full() => {
                let timeout = ErrorType::HTTPStatus(http::StatusCode::REQUEST_TIMEOUT.as_u16());
                Error::explain(timeout, "the client does not send its body").into_down()
            }
            (Wait::Answer, Up::Reading | Up::Sending) => {
                Error::explain(ErrorType::WriteTimedout, "while sending the request").into_up()
            }
            (Wait::Answer, Up::Done | Up::Stopped) => {
                Error::explain(ErrorType::ReadTimedout, "while reading the answer").into_up()
            }
        }
    }
}

/// Polls, and while it is pending, sends what waits for the client.
fn while_sending<T>(
    client: &mut impl Downstream,
    context: &mut Context<'_>,
    poll: impl FnOnce(&mut Context<'_>) -> Poll<Result<T>>,
) -> Poll<Result<T>> {
    match poll(context) {
        Poll::Pending => match client.poll_sent(context) {
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) | Poll::Pending => Poll::Pending,
        },
        ready => ready,
    }
}
