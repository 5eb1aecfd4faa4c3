//! Service of a client's connection over HTTP/1.1: it waits for a request → requests are served, one after
//! the other → it waits again, is closed, or becomes a tunnel.
//!
//! Many connections wait, and few are busy. So the memory for serving is on the heap, and only while requests
//! come.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::{Http1Connection, Read};
use crate::edge::connection::closing::Closing;
use crate::edge::connection::service::{ConnectionLimits, REQUESTS_PER_CONNECTION};
use crate::edge::pipeline::{PeerInfo, Pipeline};
use crate::edge::stream::Stream;
use crate::pacing::deadline::{Deadline, Elapsed};

/// Time for which the memory for serving is kept for another request.
const LULL: Duration = Duration::from_secs(1);

/// Connection with what serves it.
struct Served<'a> {
    pipeline: &'a Arc<Pipeline>,
    peer: PeerInfo,
    closing: &'a Arc<Closing>,
    limits: ConnectionLimits,
    connection: Http1Connection,
    deadline: Deadline,
    /// Number of requests that may still come.
    left: u32,
}

/// Next state of a connection after its requests.
enum Then {
    /// It waits for another request.
    Waits,
    /// It ends.
    Ends,
}

/// Serves a connection to its end.
pub(in crate::edge) async fn serve(
    stream: Stream,
    pipeline: &Arc<Pipeline>,
    peer: PeerInfo,
    closing: &Arc<Closing>,
    limits: ConnectionLimits,
) {
    let mut served = Served {
        pipeline,
        peer,
        closing,
        limits,
        connection: Http1Connection::new(stream, Arc::clone(closing), limits.bounds.header_bytes),
        deadline: Deadline::default(),
        left: REQUESTS_PER_CONNECTION,
    };
    served.requests().await;
    let Served { mut connection, mut deadline, .. } = served;
    match connection.take_tunnel() {
        Some(tunnel) => {
            drop((connection, deadline));
            tunnel.run(closing).await;
        }
        None => Box::pin(connection.close(&mut deadline)).await,
    }
}

impl Served<'_> {
    /// Serves requests for as long as the connection is kept.
    async fn requests(&mut self) {
        let mut closed = pin!(self.closing.ended());
        // The time limit of the first head starts with the connection, that of later heads with their first
        // byte.
        let until = Instant::now() + self.limits.header_timeout;
        let mut for_first = Some(until);
        loop {
            let ConnectionLimits { header_timeout, bounds } = &self.limits;
            let limit = if for_first.is_some() { *header_timeout } else { bounds.idle_timeout };
            let spoken = tokio::select! {
                biased;
                spoken = self.deadline.within(limit, self.connection.spoken_to()) => spoken == Ok(true),
                () = &mut closed => false,
            };
            if !spoken {
                return;
            }
            let limit = match for_first.take() {
                Some(until) => until.saturating_duration_since(Instant::now()),
                None => self.limits.header_timeout,
            };
            match Box::pin(self.busy(limit, closed.as_mut())).await {
                Then::Waits => {}
                Then::Ends => return,
            }
        }
    }

    /// Serves requests while they come. `limit`: the time limit of the first head, which has already started.
    async fn busy(&mut self, mut limit: Duration, mut closed: Pin<&mut impl Future<Output = ()>>) -> Then {
        let mut is_lull = false;
        loop {
            let read = tokio::select! {
                biased;
                read = self.deadline.within(limit, self.connection.read_head()) => read,
                () = &mut closed => Ok(Read::Nothing),
            };
            let length = match read {
                Ok(Read::Head(length)) => length,
                Ok(Read::Malformed) => {
                    let refused = self.connection.malformed();
                    let Self { pipeline, connection, peer, deadline, .. } = self;
                    pipeline.refuse(connection, &refused, *peer, deadline).await;
                    return Then::Ends;
                }
                Err(Elapsed) if is_lull && self.connection.is_silent() => return Then::Waits,
                Err(Elapsed) if is_lull => {
                    (is_lull, limit) = (false, self.limits.header_timeout);
                    continue;
                }
                Ok(Read::Nothing) | Err(Elapsed) => return Then::Ends,
            };
            self.left -= 1;
            let keep = self.left > 0 && !self.closing.is_told();
            let Self { pipeline, connection, peer, deadline, .. } = self;
            match connection.begin(length, keep) {
                Ok(request) => pipeline.serve(connection, request, *peer, deadline).await,
                Err(refused) => {
                    pipeline.refuse(connection, &refused, *peer, deadline).await;
                    return Then::Ends;
                }
            }
            if !connection.is_kept(deadline).await {
                return Then::Ends;
            }
            (is_lull, limit) = (true, LULL);
        }
    }
}
