//! Tries of one request: which servers are asked, and after which failures another one is.
//!
//! - Nothing was sent, because no connection could be opened: any request goes to another server.
//! - A kept connection had been closed since its last request, as a server may do at any time (RFC 9112 §9.3.1), or an
//!   HTTP/2 server says that it has not processed the request: the server has not failed, and is asked again.
//! - Any other failure before the head of an answer: a request that may be repeated goes to another server. Others do
//!   not, because nobody knows what the server has done.
//!
//! A time limit that was reached is followed by one more try at most, and only at a server that is not out: the client
//! waits for two limits at most, and an upstream that is too slow as a whole does not get twice the requests.

use std::sync::Arc;

use pingora_core::{BError, Error, ErrorSource, ErrorType, Result, RetryType};

use super::beginning::Beginning;
use super::head::Outgoing;
use crate::edge::forward::failure;
use crate::edge::forward::upstream::{NO_SERVER, Server, ServerChoice, ServerTurn, Upstream};

/// Maximum number of servers that are tried for one request.
const MOST_ATTEMPTS: usize = 3;

/// Maximum number of closed connections that are skipped for one request.
const MOST_STALE: usize = 16;

/// Tries of one request.
pub struct Tries<'a> {
    upstream: &'a Upstream,
    is_whole: bool,
    is_repeatable: bool,
    /// The servers that have failed, at most all tries but the last.
    failed: [Option<Arc<Server>>; MOST_ATTEMPTS - 1],
    /// Number of tries that said nothing about the server.
    stale: usize,
    /// A try has reached a time limit after the request was sent.
    timed_out: bool,
}

/// Failure of one try.
pub struct Failure {
    pub error: BError,
    pub stage: TryStage,
}

/// How far a try had come when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TryStage {
    /// There was no connection.
    Unconnected,
    /// Nothing was sent.
    Unsent {
        /// The connection had been used before.
        is_reused: bool,
    },
    /// The server may have got the request.
    Sent {
        /// The connection had been used before.
        is_reused: bool,
        /// The server had all of the request's body, or had stopped reading it.
        is_complete: bool,
    },
}

impl<'a> Tries<'a> {
    /// The first turn.
    ///
    /// # Errors
    ///
    /// No server is healthy.
    pub fn begin(
        upstream: &'a Upstream,
        outgoing: &Outgoing<'_>,
        beginning: &Beginning,
    ) -> Result<(Self, ServerTurn)> {
        let tries = Self {
            upstream,
            is_whole: beginning.is_whole(),
            is_repeatable: outgoing.is_repeatable(beginning),
            failed: [const { None }; MOST_ATTEMPTS - 1],
            stale: 0,
            timed_out: false,
        };
        let turn = tries.choose(true).ok_or_else(|| Error::new_up(NO_SERVER))?;
        Ok((tries, turn))
    }

    /// The next turn after a failed one.
    ///
    /// # Errors
    ///
    /// The failure, if it is the request's: the request can't be sent again, no server is left, or the client is the
    /// cause.
    pub fn next(&mut self, mut turn: ServerTurn, failure: Failure) -> Result<ServerTurn> {
        let Failure { error, stage } = failure;
        if *error.esource() != ErrorSource::Upstream {
            return Err(error);
        }
        if stage == TryStage::Unconnected {
            self.upstream.look_up_again();
        }
        let is_stale = stage.is_reused() && error.retry != RetryType::Decided(false);
        let next = if is_stale {
            self.after_stale(&error, stage)
        } else {
            if !stage.is_excused(&error) {
                blame(&mut turn, &error);
            }
            self.after_failure(&error, stage, turn.server())
        };
        let Some(next) = next else { return Err(error) };
        if !is_stale {
            let (upstream, kind) = (self.upstream.name(), failure::kind(&error));
            self.upstream.count_failure(kind);
            let cause = failure::cause(&error);
            tracing::debug!(upstream, server = %turn.server(), kind, cause, "another server is tried");
        }
        Ok(next)
    }

    fn after_stale(&mut self, error: &Error, stage: TryStage) -> Option<ServerTurn> {
        // A server that refuses streams has too many, so it is not asked as often.
        let most = if *error.etype() == ErrorType::H2Error { MOST_ATTEMPTS } else { MOST_STALE };
        if !self.may_be_sent_again(error, stage) || self.stale == most {
            return None;
        }
        self.stale += 1;
        self.choose(true)
    }

    fn after_failure(&mut self, error: &Error, stage: TryStage, server: &Arc<Server>) -> Option<ServerTurn> {
        if !self.may_be_sent_again(error, stage) {
            return None;
        }
        let is_late = stage.is_sent() && is_timeout(error);
        if is_late && std::mem::replace(&mut self.timed_out, true) {
            return None;
        }
        let place = self.failed.iter_mut().find(|place| place.is_none())?;
        *place = Some(Arc::clone(server));
        self.choose(!is_late)
    }

    fn may_be_sent_again(&self, error: &Error, stage: TryStage) -> bool {
        let is_unprocessed = error.retry == RetryType::Decided(true);
        !stage.is_sent() || self.is_repeatable || (is_unprocessed && self.is_whole)
    }

    fn choose(&self, even_out: bool) -> Option<ServerTurn> {
        let (is_repeatable, except) = (self.is_repeatable, &self.failed);
        self.upstream.next_server(ServerChoice { is_repeatable, except, even_out })
    }
}

impl TryStage {
    fn is_sent(self) -> bool {
        matches!(self, Self::Sent { .. })
    }

    /// Whether the failure is not the server's: many close a connection on which a body takes too long.
    fn is_excused(self, error: &Error) -> bool {
        let is_closed = matches!(
            error.etype(),
            ErrorType::ConnectionClosed | ErrorType::ReadError | ErrorType::WriteError
        );
        is_closed && matches!(self, Self::Sent { is_complete: false, .. })
    }

    fn is_reused(self) -> bool {
        matches!(self, Self::Unsent { is_reused: true } | Self::Sent { is_reused: true, .. })
    }
}

/// Records a failure before the head of an answer, if it is the server's and not the client's.
pub fn blame(turn: &mut ServerTurn, error: &Error) {
    if *error.esource() == ErrorSource::Upstream {
        turn.failed(failure::kind(error));
    }
}

fn is_timeout(error: &Error) -> bool {
    matches!(error.etype(), ErrorType::ReadTimedout | ErrorType::WriteTimedout)
}
