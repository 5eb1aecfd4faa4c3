//! Pumps of an exchange: the request's body is sent whenever possible, while the answer is awaited or passed
//! on.

use std::future::poll_fn;
use std::task::{Context, Poll};
use std::time::Duration;

use http::header;
use pingora_core::{BError, Error, ErrorSource, ErrorType, Result, RetryType};
use tokio::time::Instant;

use super::beginning::Beginning;
use super::head::Outgoing;
use super::{AnswerHead, Exchange};
use crate::edge::admission::terms::ReadLimit;
use crate::edge::forward::failure::check_length;
use crate::edge::forward::headers;
use crate::edge::forward::upstream::Server;
use crate::edge::http::body::Frame;
use crate::edge::patience::{Patience, not_received, not_taken};
use crate::edge::pipeline::downstream::Downstream;

mod abandoned;

/// Both directions of one exchange.
pub(super) struct Pumps<'c, D> {
    pub(super) client: &'c mut D,
    exchange: Exchange,
    up: Up,
    /// Number of bytes of the request's body so far.
    received: u64,
    /// Maximum number of them.
    max_body: u64,
    /// The error after which the upstream accepts no more of the request.
    unsent: Option<BError>,
    read_timeout: Option<Duration>,
    write_timeout: Option<Duration>,
    /// Something was sent to the upstream since the wait began.
    moved: bool,
    /// The client waits for a 100 before it sends its body (RFC 9110 §10.1.1).
    awaits_continue: bool,
    /// The answer is a stream.
    is_stream: bool,
    /// The final head of the answer has arrived.
    is_answered: bool,
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

/// Subject of a wait.
#[derive(Clone, Copy)]
enum Wait {
    /// A part of the answer.
    Answer,
    /// The client, which has to take what was sent.
    Client,
}

/// Who is late when a time limit is reached.
#[derive(Clone, Copy)]
enum Late {
    /// The client with its body.
    Sender,
    /// The client with taking the answer.
    Taker,
    /// The upstream with taking the request.
    Reader,
    /// The upstream with the answer.
    Answerer,
}

impl<'c, D: Downstream> Pumps<'c, D> {
    pub(super) fn new(
        client: &'c mut D,
        mut exchange: Exchange,
        server: &Server,
        outgoing: &Outgoing<'_>,
        beginning: &Beginning,
    ) -> Self {
        beginning.begin(&mut exchange);
        let (options, admission) = (server.options(), outgoing.admission);
        Self {
            client,
            exchange,
            up: if beginning.is_whole() { Up::Sending } else { Up::Reading },
            received: beginning.len(),
            max_body: admission.shared.route.max_body,
            unsent: None,
            read_timeout: admission.own.read_limit.or(options.read_timeout),
            write_timeout: options.write_timeout,
            moved: false,
            awaits_continue: !beginning.is_whole() && outgoing.request.fields.contains(&header::EXPECT),
            is_stream: matches!(admission.own.read_limit, ReadLimit::OfStream(_)),
            is_answered: false,
            is_watched: !outgoing.is_handshake,
        }
    }

    /// The next head of the answer.
    pub(super) async fn head(&mut self, patience: &mut Patience<'_>) -> Result<AnswerHead> {
        let head = self.wait(Wait::Answer, patience, |client, exchange, _, context| {
            while_sending(client, context, |context| exchange.poll_head(context))
        });
        let head = head.await.map_err(|error| {
            // If the connection was closed during a write, reading it fails as well. The error of the write
            // is the cause.
            let is_closed = *error.esource() == ErrorSource::Upstream
                && matches!(error.etype(), ErrorType::ConnectionClosed | ErrorType::ReadError)
                && matches!(error.retry, RetryType::ReusedOnly);
            self.unsent.take().filter(|_| is_closed).unwrap_or(error)
        })?;
        self.is_answered = !head.head.status.is_informational();
        self.awaits_continue = false;
        Ok(head)
    }

    /// The next piece of the answer's body; `None` at its end.
    pub(super) async fn frame(&mut self, patience: &mut Patience<'_>) -> Result<Option<Frame>> {
        let frame = self.wait(Wait::Answer, patience, |client, exchange, _, context| {
            while_sending(client, context, |context| exchange.poll_frame(context))
        });
        frame.await
    }

    /// Waits until the client's connection has accepted everything.
    pub(super) async fn sent(&mut self, patience: &mut Patience<'_>) -> Result<()> {
        self.wait(Wait::Client, patience, |client, _, patience, context| patience.poll_sent(client, context))
            .await
    }

    /// Whether the server has all of the request, or has stopped reading it.
    pub(super) fn is_complete(&self) -> bool {
        self.up != Up::Reading
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
        if self.up == Up::Done {
            give_back(self.exchange, server);
        }
    }

    /// Waits for `poll`, and meanwhile sends the request.
    async fn wait<T>(
        &mut self,
        what: Wait,
        patience: &mut Patience<'_>,
        mut poll: impl FnMut(&mut D, &mut Exchange, &mut Patience<'_>, &mut Context<'_>) -> Poll<Result<T>>,
    ) -> Result<T> {
        let mut for_upstream = None;
        poll_fn(|context| {
            // The request comes first, because the server may wait for more of it before it answers.
            if let Err(error) = self.poll_up(patience, context) {
                return Poll::Ready(Err(error));
            }
            if let Poll::Ready(done) = poll(self.client, &mut self.exchange, patience, context) {
                return Poll::Ready(done);
            }
            // Before that, reading the body shows whether the client has left.
            if self.is_watched
                && matches!(self.up, Up::Done | Up::Stopped)
                && let Poll::Ready(error) = self.client.poll_gone(context)
            {
                return Poll::Ready(Err(error));
            }
            match self.limit(what, patience, &mut for_upstream) {
                Some((until, late)) => {
                    patience.deadline.poll_until(until, context).map(|()| Err(self.overdue(late)))
                }
                None => Poll::Pending,
            }
        })
        .await
    }

    /// Sends as much of the request as possible now.
    fn poll_up(&mut self, patience: &mut Patience<'_>, context: &mut Context<'_>) -> Result<()> {
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
                    Poll::Pending => {
                        patience.up.rests();
                        return Ok(());
                    }
                    Poll::Ready(sent) => self.go_on(sent, Up::Reading),
                },
                Up::Reading => match self.client.poll_body(context)? {
                    Poll::Ready(Some(frame)) => {
                        (self.moved, self.awaits_continue) = (true, false);
                        self.exchange.frame(match frame {
                            Frame::Trailers(fields) => Frame::Trailers(headers::trailers_upward(fields)),
                            Frame::Data(piece) => {
                                patience.up.moved(piece.len() * self.client.sharers());
                                self.received += piece.len() as u64;
                                check_length(self.received, self.max_body)?;
                                Frame::Data(piece)
                            }
                        });
                    }
                    Poll::Ready(None) => {
                        self.exchange.end();
                        self.go_on(Ok(()), Up::Sending);
                    }
                    // The client is silent, but what it has sent so far must not wait for the rest.
                    Poll::Pending => {
                        patience.up.waits();
                        match self.exchange.poll_sent(context) {
                            Poll::Ready(Err(error)) => self.go_on(Err(error), Up::Stopped),
                            Poll::Ready(Ok(())) | Poll::Pending => return Ok(()),
                        }
                    }
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

    /// The next time limit of a wait, and who is late when it is reached. `for_upstream`: that of the upstream.
    fn limit(
        &mut self,
        what: Wait,
        patience: &mut Patience<'_>,
        for_upstream: &mut Option<Instant>,
    ) -> Option<(Instant, Late)> {
        // With a full queue, the wait is for the upstream, and so it is while the client waits for a 100. Once a stream has
        // begun, its body may be a stream, too.
        let may_be_silent = self.awaits_continue || self.is_stream && self.is_answered;
        let is_sender_awaited = self.up == Up::Reading && !self.exchange.is_full() && !may_be_silent;
        let for_sender = is_sender_awaited.then(|| (patience.up.until(), Late::Sender));
        if let Wait::Client = what {
            let for_taker = (patience.down.until(), Late::Taker);
            return Some(for_sender.filter(|(until, _)| *until < for_taker.0).unwrap_or(for_taker));
        }
        if for_sender.is_some() {
            *for_upstream = None;
            return for_sender;
        }
        let (limit, late) = match self.up {
            Up::Sending => (self.write_timeout, Late::Reader),
            Up::Reading if self.exchange.is_full() => (self.write_timeout, Late::Reader),
            Up::Reading | Up::Done | Up::Stopped => (self.read_timeout, Late::Answerer),
        };
        // It starts with the first wait, and again with each step of the request: a slow upload is not an error.
        if for_upstream.is_none() || self.moved {
            self.moved = false;
            *for_upstream = limit.map(|limit| Instant::now() + limit);
        }
        for_upstream.map(|until| (until, late))
    }

    fn overdue(&self, late: Late) -> BError {
        let (kind, what) = match late {
            Late::Sender => return not_received(),
            Late::Taker => return not_taken(),
            Late::Reader => (ErrorType::WriteTimedout, "while sending the request"),
            Late::Answerer => (ErrorType::ReadTimedout, "while reading the answer"),
        };
        self.exchange.retire();
        Error::explain(kind, what).into_up()
    }
}

/// Gives a connection back, if another request can use it.
fn give_back(exchange: Exchange, server: &Server) {
    if let Exchange::Http1(exchange) = exchange
        && let Some(stream) = exchange.into_idle()
    {
        server.idle().put(stream);
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
