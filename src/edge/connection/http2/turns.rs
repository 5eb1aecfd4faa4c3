//! Turns of an HTTP/2 connection. Each turn polls the woken requests, reads what has arrived, begins new
//! requests, and then sends all available answers at once.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use h2::RecvStream;
use h2::server::{Connection, SendResponse};
use http::Request;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;

use super::LINGER;
use super::requests::Requests;
use super::transport::Transport;
use super::wakes::{Wakes, Who};
use crate::edge::connection::closing::Closing;
use crate::edge::connection::service::{IDLE, REQUESTS_PER_CONNECTION};
use crate::edge::deadline::Deadline;

/// Maximum number of rounds in one turn, so that other connections get theirs.
const MOST_ROUNDS: usize = 4;

/// Connection over HTTP/2. `B` begins to serve a request, `F` serves it.
pub struct Http2Connection<'c, S, B, F> {
    connection: Connection<Transport<S>, Bytes>,
    transport: Transport<S>,
    requests: Requests<F>,
    /// There was no slot for a request that may have arrived.
    is_full: bool,
    begin: B,
    served: u32,
    closing: &'c Closing,
    /// The connection accepts no more requests.
    is_closing: bool,
    deadline: Deadline,
    idle_until: Option<Instant>,
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
        begin: B,
    ) -> Self {
        transport.cork();
        Self {
            connection,
            transport,
            requests: Requests::new(Arc::clone(&wakes)),
            is_full: false,
            begin,
            served: 0,
            closing,
            is_closing: false,
            deadline: Deadline::default(),
            idle_until: None,
            waker: wakes.waker(Who::Connection),
            wakes,
        }
    }

    /// Serves the connection to its end.
    pub async fn serve(mut self) {
        // One poll registers the waker, which then wakes the connection when its client has to be told.
        let mut closed = pin!(self.closing.told());
        let _ = closed.as_mut().poll(&mut Context::from_waker(&self.waker));
        self.waker.wake_by_ref();
        poll_fn(|context| self.poll_turn(context)).await;
    }

    fn poll_turn(&mut self, task: &Context<'_>) -> Poll<()> {
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
            if self.poll_connection(context).is_ready() || self.poll_idle(context).is_ready() {
                return Poll::Ready(());
            }
            if let Poll::Ready(Err(error)) = self.transport.poll_send(context) {
                tracing::debug!(%error, "HTTP/2 connection ended early");
                return Poll::Ready(());
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
    fn poll_connection(&mut self, context: &mut Context<'_>) -> Poll<()> {
        // A request may have waited for a slot since then. Nobody wakes the connection for it.
        let mut is_due = std::mem::take(&mut self.is_full);
        loop {
            let woken = self.wakes.take_connection();
            if woken.socket {
                self.transport.refill();
            }
            if !(woken.connection || woken.socket || is_due) {
                return Poll::Pending;
            }
            let accepted = if self.requests.has_room() {
                self.connection.poll_accept(context)
            } else {
                // Without a slot no request is accepted, but the connection must go on for the open ones.
                self.is_full = true;
                self.connection.poll_closed(context).map(|closed| closed.err().map(Err))
            };
            match accepted {
                Poll::Ready(Some(Ok((request, respond)))) => {
                    self.idle_until = None;
                    self.requests.begin(|deadline| (self.begin)(request, respond, deadline));
                    self.served += 1;
                    if self.served == REQUESTS_PER_CONNECTION && !self.is_closing {
                        self.shut_down();
                    }
                    // More requests may have arrived in the same read.
                    is_due = true;
                }
                Poll::Ready(Some(Err(error))) => {
                    tracing::debug!(%error, "HTTP/2 connection ended early");
                    return Poll::Ready(());
                }
                Poll::Ready(None) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Ready when the connection has been idle for too long.
    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.requests.is_empty() {
            self.idle_until = None;
            return Poll::Pending;
        }
        self.requests.rest();
        let limit = if self.is_closing { LINGER.0 } else { IDLE };
        let until = *self.idle_until.get_or_insert_with(|| Instant::now() + limit);
        if self.deadline.poll_until(until, context).is_pending() {
            return Poll::Pending;
        }
        if self.is_closing {
            return Poll::Ready(());
        }
        self.shut_down();
        Poll::Pending
    }

    /// Tells the client that no more requests are accepted.
    fn shut_down(&mut self) {
        (self.is_closing, self.idle_until) = (true, None);
        self.connection.graceful_shutdown();
        self.waker.wake_by_ref();
    }
}

#[cfg(test)]
mod tests;
