//! Time that a client has for the bodies of one request: to send its own, and to take the answer.

use std::future::poll_fn;
use std::task::{Context, Poll};

use pingora_core::{BError, Error, ErrorType, Result};

use super::pipeline::downstream::Downstream;
use crate::config::BoundsSettings;
use crate::pacing::deadline::Deadline;
use crate::pacing::pace::Pace;

/// Patience with the client of one request.
#[derive(Debug)]
pub struct Patience<'d> {
    /// The timer of the client's connection.
    pub deadline: &'d mut Deadline,
    /// The pace of the request's body.
    pub up: Pace,
    /// The pace of the answer.
    pub down: Pace,
}

impl<'d> Patience<'d> {
    /// The patience that these bounds say.
    pub fn new(bounds: &BoundsSettings, deadline: &'d mut Deadline) -> Self {
        let pace = || Pace::new(bounds.body_timeout, bounds.body_min_rate);
        Self { deadline, up: pace(), down: pace() }
    }

    /// Asks for no rate: in a stream, both sides say something when there is something to say.
    pub fn with_stream(&mut self) {
        self.up.ask_no_rate();
        self.down.ask_no_rate();
    }

    /// Sends what is queued for the client, and counts what it takes. Ready once it has taken everything.
    pub fn poll_sent(&mut self, client: &mut impl Downstream, context: &mut Context<'_>) -> Poll<Result<()>> {
        let before = client.waiting();
        let sent = client.poll_sent(context);
        // Requests that share a connection share its rate.
        self.down.moved(before.saturating_sub(client.waiting()) * client.sharers());
        match sent {
            Poll::Ready(_) => self.down.rests(),
            Poll::Pending => self.down.waits(),
        }
        sent
    }

    /// Waits until the client has taken everything that is queued.
    ///
    /// # Errors
    ///
    /// The client has left, or does not take it in time.
    pub async fn sent(&mut self, client: &mut impl Downstream) -> Result<()> {
        poll_fn(|context| {
            if let Poll::Ready(sent) = self.poll_sent(client, context) {
                return Poll::Ready(sent);
            }
            self.deadline.poll_until(self.down.until(), context).map(|()| Err(not_taken()))
        })
        .await
    }

    /// Waits for something of the request's body, at most until the client has used its time up.
    ///
    /// # Errors
    ///
    /// The time is used up, or what `poll` fails with.
    pub async fn received<T>(
        &mut self,
        mut poll: impl FnMut(&mut Pace, &mut Context<'_>) -> Poll<Result<T>>,
    ) -> Result<T> {
        poll_fn(|context| {
            if let Poll::Ready(received) = poll(&mut self.up, context) {
                self.up.rests();
                return Poll::Ready(received);
            }
            self.deadline.poll_until(self.up.until(), context).map(|()| Err(not_received()))
        })
        .await
    }
}

/// The error: the client does not send its body in time.
pub fn not_received() -> BError {
    let timeout = ErrorType::HTTPStatus(http::StatusCode::REQUEST_TIMEOUT.as_u16());
    Error::explain(timeout, "the client does not send its body in time").into_down()
}

/// The error: the client does not take the answer in time.
pub fn not_taken() -> BError {
    Error::explain(ErrorType::WriteTimedout, "the client does not take the answer in time").into_down()
}
