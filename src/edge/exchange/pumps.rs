//! The two directions of an exchange, driven at once: the request's body goes up whenever it can, while the answer is
//! awaited or passed down.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use pingora::{BError, Error, ErrorSource, ErrorType, Result, RetryType};
use tokio::time::Instant;

use super::head::Outgoing;
use super::{AnswerHead, CLIENT_TIMEOUT, Exchange};
use crate::edge::body::Frame;
use crate::edge::deadline::Deadline;
use crate::edge::downstream::Downstream;
use crate::edge::forward;
use crate::edge::upstream::Server;

/// One exchange and its client.
pub(super) struct Pumps<'c, D> {
    pub(super) client: &'c mut D,
    exchange: Exchange,
    up: Up,
    /// Why the upstream takes no more of the request.
    unsent: Option<BError>,
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    /// Something went up since the wait began.
    moved: bool,
    /// Whether the client is watched. One that opens a tunnel may have ended its half already.
    is_watched: bool,
}

/// How far the request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Up {
    /// More of its body is to come.
    Reading,
    /// All of it is on its way.
    Sending,
    /// It is sent.
    Done,
    /// The upstream takes no more of it; its answer may be there all the same.
    Stopped,
}

/// What is waited for, for the time it may take and the words if it takes longer.
#[derive(Clone, Copy)]
enum Wait {
    /// Something of the answer.
    Answer,
    /// The client's taking what was sent to it.
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
        let read_timeout = outgoing.visit.own.read_limit.or(options.read_timeout);
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
            // A connection that closed while it was written to is found closed when it is read.
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

    /// Waits until the client has taken what is on its way to it.
    pub(super) async fn sent(&mut self, deadline: &mut Deadline) -> Result<()> {
        self.wait(Wait::Client, deadline, |client, _, context| client.poll_sent(context)).await
    }

    /// Whether there is nothing more of the answer.
    pub(super) fn is_done(&self) -> bool {
        self.exchange.is_done()
    }

    /// The exchange, for what comes after a switch of protocols.
    pub(super) fn into_exchange(self) -> Exchange {
        self.exchange
    }

    /// Gives the connection back, if another request can be sent over it.
    pub(super) fn release(self, server: &Server) {
        if let (Exchange::Http1(exchange), Up::Done) = (self.exchange, self.up)
            && let Some(stream) = exchange.into_idle()
        {
            server.idle().put(stream);
        }
    }

    /// Waits for `poll`, and lets the request go up meanwhile.
    async fn wait<T>(
        &mut self,
        what: Wait,
        deadline: &mut Deadline,
        mut poll: impl FnMut(&mut D, &mut Exchange, &mut Context<'_>) -> Poll<Result<T>>,
    ) -> Result<T> {
        let mut at = None;
        poll_fn(|context| {
            if let Err(error) = self.poll_up(context) {
                return Poll::Ready(Err(error));
            }
            if let Poll::Ready(done) = poll(self.client, &mut self.exchange, context) {
                return Poll::Ready(done);
            }
            if self.is_watched
                && matches!(self.up, Up::Done | Up::Stopped)
                && let Poll::Ready(error) = self.client.poll_gone(context)
            {
                return Poll::Ready(Err(error));
            }
            // The time runs from the first wait on, and anew with each step of the request.
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

    /// Lets the request go up as far as it can now.
    fn poll_up(&mut self, context: &mut Context<'_>) -> Result<()> {
        loop {
            match self.up {
                Up::Done | Up::Stopped => return Ok(()),
                Up::Sending => match self.exchange.poll_sent(context) {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(sent) => self.go_on(sent, Up::Done),
                },
                Up::Reading if self.exchange.is_full() => match self.exchange.poll_sent(context) {
                    Poll::Pending => return Ok(()),
                    Poll::Ready(sent) => self.go_on(sent, Up::Reading),
                },
                Up::Reading => match self.client.poll_body(context)? {
                    Poll::Ready(Some(frame)) => {
                        self.moved = true;
                        self.exchange.frame(match frame {
                            Frame::Trailers(fields) => Frame::Trailers(forward::trailers_upward(fields)),
                            data => data,
                        });
                    }
                    Poll::Ready(None) => {
                        self.exchange.end();
                        self.go_on(Ok(()), Up::Sending);
                    }
                    // What there is of it can go up meanwhile.
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
                self.unsent = Some(error);
                Up::Stopped
            }
        };
    }

    /// The time for what is waited for.
    fn limit(&self, what: Wait) -> Option<Duration> {
        match (what, self.up) {
            (Wait::Client, _) => Some(CLIENT_TIMEOUT),
            // What is not sent waits for the upstream, whatever else the client has to say.
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
                Error::explain(ErrorType::WriteTimedout, "the client takes nothing of the answer").into_down()
            }
            (Wait::Answer, Up::Reading) if !self.exchange.is_full() => {
                let timeout = ErrorType::HTTPStatus(http::StatusCode::REQUEST_TIMEOUT.as_u16());
                Error::explain(timeout, "the client sends nothing of its body").into_down()
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

/// What `poll` gives; until it does, what is on its way to the client is sent.
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
