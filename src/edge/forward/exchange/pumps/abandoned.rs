//! Exchanges whose client has left before the answer. The upstream works on, and can't be told over HTTP/1.1. If the
//! request did not count until the answer has come, a client could have any number of them at the upstream, by taking
//! each one back (CVE-2023-44487).

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use pingora_core::{BError, ErrorSource};
use tokio::time::timeout;

use super::{Pumps, Up, give_back};
use crate::edge::forward::exchange::Exchange;
use crate::edge::forward::upstream::Server;
use crate::edge::http::body::Frame;
use crate::edge::http::limits::{DRAIN, MAX_DRAINED_BYTES};
use crate::edge::pipeline::downstream::Downstream;

/// Maximum wait for the answer of an upstream, where its own time limit is longer.
const LONGEST: Duration = Duration::from_secs(60);

impl<D: Downstream> Pumps<'_, D> {
    /// Ends an exchange that has failed before the final head of the answer. If the client has left and the request is
    /// complete, what the upstream still does for it counts as the client's.
    pub(in crate::edge::forward::exchange) fn fail(self, error: BError, server: &Arc<Server>) -> BError {
        if *error.esource() == ErrorSource::Downstream && self.up == Up::Done {
            // Only the server's own time limit says something about the server.
            let own = self.read_timeout.filter(|limit| !self.is_stream && *limit <= LONGEST);
            self.client.outlive(Box::pin(rest(self.exchange, Arc::clone(server), own)));
        }
        error
    }
}

/// Waits for the answer. The connection is given back if the answer is small.
/// `own`: the server's time limit, if it is the shorter one.
async fn rest(mut exchange: Exchange, server: Arc<Server>, own: Option<Duration>) {
    match timeout(own.unwrap_or(LONGEST), final_head(&mut exchange)).await {
        Ok(Some(StatusCode::SWITCHING_PROTOCOLS) | None) => return,
        Ok(Some(_)) => {}
        Err(_) if own.is_some() => return exchange.retire(),
        Err(_) => return,
    }
    if exchange.is_done() || matches!(timeout(DRAIN, is_small(&mut exchange)).await, Ok(true)) {
        give_back(exchange, &server);
    }
}

/// The status of the answer; `None` if there is none.
async fn final_head(exchange: &mut Exchange) -> Option<StatusCode> {
    loop {
        let status = poll_fn(|context| exchange.poll_head(context)).await.ok()?.head.status;
        if !status.is_informational() || status == StatusCode::SWITCHING_PROTOCOLS {
            return Some(status);
        }
    }
}

/// Reads the answer's body, if it is small enough to be dropped.
async fn is_small(exchange: &mut Exchange) -> bool {
    let mut read = 0;
    while read <= MAX_DRAINED_BYTES {
        match poll_fn(|context| exchange.poll_frame(context)).await {
            Ok(Some(Frame::Data(piece))) => read += piece.len() as u64,
            Ok(Some(Frame::Trailers(_))) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
    false
}
