//! Turns of an HTTP/2 connection. Each turn polls the woken requests, reads what has arrived, begins new
//! requests, and then sends all available answers at once.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::meter::Excess;
use super::requests::Requests;
use super::transport::{ClientSight, Transport};
use super::wakes::{Wakes, Who};
use crate::edge::connection::closing::Closing;
use crate::edge::connection::service::REQUESTS_PER_CONNECTION;
use crate::edge::http::limits::{GOODBYE, LINGER};
use crate::pacing::deadline::Deadline;
use crate::telemetry::metrics::Http2Ending;

/// Maximum number of rounds in one turn, so that other connections get theirs.
const MOST_ROUNDS: usize = 4;

/// Limits of one connection.
#[derive(Clone, Copy, Debug)]
pub struct Http2Limits {
    /// Maximum number of requests at a time.
    pub streams: usize,
    /// Time limit for the head of a request.
    pub head: Duration,
    /// Time within which the client has to take something of what it is sent.
    pub unread: Duration,
    /// How long the connection is kept without a request.
    pub idle: Duration,
}

/// Connection over HTTP/2. `B` begins to serve a request, `F` serves it.
pub struct Http2Connection<'c, S, B, F> {
    connection: Connection<Transport<S>, Bytes>,
    transport: Transport<S>,
    requests: Requests<F>,
    limits: Http2Limits,
    begin: B,
    served: u32,
    closing: &'c Closing,
    /// The connection accepts no more requests.
    is_closing: bool,
    deadline: Deadline,
    idle_until: Option<Instant>,
    /// A head that is not complete, by its number, with its time limit.
    head_until: Option<(u32, Instant)>,
    /// The time limit for the client to take something, with what it has taken before.
    unread_until: Option<(usize, Instant)>,
    /// The excess for which the connection ends, with the time at which it does so whatever the client reads.
    ending: Option<(Http2Ending, Instant)>,
    wakes: Arc<Wakes>,
    waker: Waker,
}

impl<'c, S, B, F> Http2Connection<'c, S, B, F>
where
    S: AsyncRead + AsyncWrite + Unpin,
    B: Fn(Request<RecvStream>, SendResponse<Bytes>, Deadline) -> F,
    F: Future<Output = Deadline>,
{
    /// A connection after its preface, with the other handle on its transport and that handle's wakes.
    pub fn new(
        connection: Connection<Transport<S>, Bytes>,
        transport: Transport<S>,
        wakes: Arc<Wakes>,
        closing: &'c Closing,
        limits: Http2Limits,
        begin: B,
    ) -> Self {
        transport.cork();
        Self {
            connection,
            transport,
            requests: Requests::new(Arc::clone(&wakes), limits.streams),
            limits,
            begin,
            served: 0,
            closing,
            is_closing: false,
            deadline: Deadline::default(),
            idle_until: None,
            head_until: None,
            unread_until: None,
            ending: None,
            waker: wakes.waker(Who::Connection),
            wakes,
        }
    }

    /// Serves the connection to its end. Returns the reason if the edge ended it although the client went on.
    pub async fn serve(mut self) -> Option<Http2Ending> {
        // One poll registers the waker, which then wakes the connection when its client has to be told.
        let mut closed = pin!(self.closing.told());
        let _ = closed.as_mut().poll(&mut Context::from_waker(&self.waker));
        self.waker.wake_by_ref();
        poll_fn(|context| self.poll_turn(context)).await
    }

    fn poll_turn(&mut self, task: &Context<'_>) -> Poll<Option<Http2Ending>> {
        self.wakes.begin(task.waker());
        let waker = self.waker.clone();
        let context = &mut Context::from_waker(&waker);
        // Bounded, because a client that keeps its connection busy must not delay the other connections of
        // this thread.
        for _ in 0..MOST_ROUNDS {
            // Requests come first, so that their answers leave in this turn.
            for number in self.wakes.take_requests() {
                self.requests.poll(number);
            }
            if !self.is_closing && self.closing.is_told() {
                self.shut_down();
            }
            // Polling the connection moves the requests' data to the transport.
            if let Poll::Ready(end) = self.poll_connection(context) {
                return Poll::Ready(self.ending.map(|(reason, _)| reason).or(end));
            }
            match self.transport.poll_send(context) {
                Poll::Ready(Ok(())) => self.unread_until = None,
                Poll::Ready(Err(error)) => {
                    tracing::debug!(%error, "HTTP/2 connection ended early");
                    return Poll::Ready(None);
                }
                Poll::Pending => self.await_reader(),
            }
            if let Poll::Ready(end) = self.poll_limits(context) {
                return Poll::Ready(end);
            }
            // Something may have been woken during this round, and nothing else would start another one.
            if self.wakes.end() {
                return Poll::Pending;
            }
        }
        self.wakes.pause();
        Poll::Pending
    }

    /// Reads and sends, if the connection was woken. Ready at its end.
    fn poll_connection(&mut self, context: &mut Context<'_>) -> Poll<Option<Http2Ending>> {
        let mut is_due = false;
        loop {
            let woken = self.wakes.take_connection();
            if woken.socket {
                self.transport.refill();
            }
            if !(woken.connection || woken.socket || is_due) {
                return Poll::Pending;
            }
            match self.connection.poll_accept(context) {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    self.idle_until = None;
                    self.accept(request, respond, context);
                    self.served = self.served.saturating_add(1);
                    if self.served == REQUESTS_PER_CONNECTION && !self.is_closing {
                        self.shut_down();
                    }
                    // More requests may have arrived in the same read.
                    is_due = true;
                }
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(%error, "HTTP/2 connection ended early");
                    return Poll::Ready(ending(&error));
                }
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => {
                    self.look();
                    return Poll::Pending;
                }
            }
        }
    }

    /// Begins to serve a request.
    fn accept(
        &mut self,
        request: Request<RecvStream>,
        mut respond: SendResponse<Bytes>,
        context: &mut Context<'_>,
    ) {
        // The client has taken it back already.
        if respond.poll_reset(context).is_ready() {
            return;
        }
        if !self.requests.has_room() {
            // The client may just have taken back another one.
            for number in self.wakes.take_requests() {
                self.requests.poll(number);
            }
        }
        if self.requests.has_room() {
            self.requests.begin(|deadline| (self.begin)(request, respond, deadline));
        } else {
            // To the library, a request is over when it is taken back, but its work goes on. The client may send
            // this one again (RFC 9113 §8.7).
            respond.send_reset(Reason::REFUSED_STREAM);
        }
    }

    /// Looks at what the client has sent so far, and lets it send more.
    fn look(&mut self) {
        let ClientSight { has_more, open_head, excess } = self.transport.look();
        if has_more {
            self.waker.wake_by_ref();
        }
        self.head_until = open_head.map(|head| match self.head_until {
            Some((same, until)) if same == head => (same, until),
            _ => (head, Instant::now() + self.limits.head),
        });
        if let Some(excess) = excess.filter(|_| self.ending.is_none()) {
            let reason = match excess {
                Excess::Resets => Http2Ending::Resets,
                Excess::ControlFrames => Http2Ending::ControlFrames,
            };
            self.end(reason);
        }
    }

    /// Ends the connection for what the client does: it is told, and has a moment to read that.
    fn end(&mut self, reason: Http2Ending) {
        tracing::debug!(reason = reason.as_str(), "HTTP/2 connection ended");
        self.ending = Some((reason, Instant::now() + GOODBYE));
        self.connection.abrupt_shutdown(Reason::ENHANCE_YOUR_CALM);
        self.waker.wake_by_ref();
    }

    /// Gives a client that takes nothing its time to do so.
    fn await_reader(&mut self) {
        let taken = self.transport.taken();
        if self.unread_until.is_none_or(|(before, _)| before != taken) {
            self.unread_until = Some((taken, Instant::now() + self.limits.unread));
        }
    }

    /// Ready when a time limit of the connection is reached, with the reason for its end.
    fn poll_limits(&mut self, context: &mut Context<'_>) -> Poll<Option<Http2Ending>> {
        if self.requests.is_empty() {
            self.requests.rest();
            let limit = if self.is_closing { LINGER } else { self.limits.idle };
            self.idle_until.get_or_insert_with(|| Instant::now() + limit);
        } else {
            self.idle_until = None;
        }
        let head_until = self.head_until.filter(|_| self.ending.is_none());
        let ends = [
            self.ending.map(|(reason, at)| (at, Some(reason))),
            self.unread_until.map(|(_, at)| (at, Some(Http2Ending::Unread))),
            head_until.map(|(_, at)| (at, Some(Http2Ending::SlowHead))),
            self.idle_until.map(|at| (at, None)),
        ];
        let Some((at, reason)) = ends.into_iter().flatten().min_by_key(|(at, _)| *at) else {
            return Poll::Pending;
        };
        if self.deadline.poll_until(at, context).is_pending() {
            return Poll::Pending;
        }
        match reason {
            Some(Http2Ending::SlowHead) if self.ending.is_none() => self.end(Http2Ending::SlowHead),
            None if !self.is_closing => self.shut_down(),
            _ => return Poll::Ready(reason),
        }
        Poll::Pending
    }

    /// Tells the client that no more requests are accepted.
    fn shut_down(&mut self) {
        (self.is_closing, self.idle_until) = (true, None);
        self.connection.graceful_shutdown();
        self.waker.wake_by_ref();
    }
}

/// The reason for the end of a connection that the library has ended.
pub fn ending(error: &h2::Error) -> Option<Http2Ending> {
    let is_excess = error.reason() == Some(Reason::ENHANCE_YOUR_CALM);
    let reason = if is_excess { Http2Ending::Errors } else { Http2Ending::Protocol };
    (error.is_go_away() && error.is_library()).then_some(reason)
}

#[cfg(test)]
mod tests;
