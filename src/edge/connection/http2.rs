//! Clients over HTTP/2 (RFC 9113), on the `h2` crate. The task that reads a connection serves all of its
//! requests. So no request needs its own task or channel, and all of them end with the connection.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::Request;

use super::closing::Closing;
use super::service::ConnectionLimits;
use crate::edge::admission::request::Noted;
use crate::edge::http::message::RequestHead;
use crate::edge::pipeline::{PeerInfo, Pipeline};
use crate::edge::stream::Stream;
use crate::pacing::deadline::Deadline;
use crate::telemetry::metrics::Http2Ending;

mod downstream;
mod frames;
mod meter;
mod requests;
mod settings;
mod transport;
mod turns;
mod wakes;

use downstream::Http2Client;
use meter::FrameBounds;
use transport::Transport;
use turns::{Http2Connection, Http2Limits};
use wakes::{Wakes, Who};

/// Serves a connection to its end.
pub(super) async fn serve(
    stream: Stream,
    pipeline: &Pipeline,
    peer: PeerInfo,
    closing: &Closing,
    limits: ConnectionLimits,
) {
    if let Some(reason) = serve_until(stream, pipeline, peer, closing, limits).await {
        pipeline.metrics.http2_endings.count(reason);
    }
}

/// Serves a connection to its end. Returns the reason if the edge ended it although the client went on.
async fn serve_until(
    stream: Stream,
    pipeline: &Pipeline,
    peer: PeerInfo,
    closing: &Closing,
    limits: ConnectionLimits,
) -> Option<Http2Ending> {
    let ConnectionLimits { header_timeout, bounds } = limits;
    let frames = FrameBounds {
        resets: bounds.http2_resets_per_minute,
        control: bounds.http2_control_frames_per_minute,
    };
    let limits = Http2Limits {
        streams: usize::try_from(bounds.http2_streams).unwrap_or(usize::MAX),
        head: header_timeout,
        unread: bounds.body_timeout,
        idle: bounds.idle_timeout,
    };
    let mut deadline = Deadline::default();
    let settings = settings::of(&bounds);
    let wakes = Arc::new(Wakes::default());
    let transport = Transport::new(stream, wakes.waker(Who::Socket), frames);
    let handshake = settings.handshake::<_, Bytes>(transport.clone());
    let shaken = tokio::select! {
        shaken = deadline.within(header_timeout, handshake) => shaken,
        () = closing.ended() => return None,
    };
    let connection = match shaken {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => {
            tracing::debug!(%error, "the HTTP/2 connection could not be set up");
            return turns::ending(&error);
        }
        Err(_) => return Some(Http2Ending::SlowHead),
    };
    let open = AtomicUsize::new(0);
    let begin = |request, respond, deadline| serve_request(pipeline, peer, &open, request, respond, deadline);
    Http2Connection::new(connection, transport, wakes, closing, limits, begin).serve().await
}

async fn serve_request(
    pipeline: &Pipeline,
    peer: PeerInfo,
    open: &AtomicUsize,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
    mut deadline: Deadline,
) -> Deadline {
    let (parts, body) = request.into_parts();
    let request = RequestHead::from(parts);
    let mut client = Http2Client::new(&request, body, respond, open);
    pipeline.serve(&mut client, (request, Noted::default()), peer, &mut deadline).await;
    client.finish().await;
    deadline
}
