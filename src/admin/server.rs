//! Server of the control plane: it takes connections up to a bound, answers the calls on them, and ends those that are
//! too slow.

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Request};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::connections::{CallerConnection, ConnectionPlace, Places};
use super::listener::{Accepted, StoppableListener};
use super::messages::{AnswerBody, CallUnderWay, PacedBody};
use super::paced_stream::PacedStream;
use super::tls::OperatorHandshakes;
use crate::telemetry::metrics::{ConnectionRefusal, Metrics};

/// Longest head of a request, in bytes, and size of the buffers of a connection.
const HEAD_BYTES: usize = 64 * 1024;

/// Time for the caller to read the answer of a call whose body was not read. If the connection were closed at once, the
/// answer could be lost: a system that gets more of the body says so to the caller, who then reads nothing any more.
const LINGER: Duration = Duration::from_secs(2);

/// Most bytes of such a body that are read and thrown away: the longest there may be, and less from strangers.
const LINGER_BYTES: u64 = 64 * 1024 * 1024;
const STRANGER_BYTES: u64 = 1024 * 1024;

/// What answers calls, on any number of connections.
#[derive(Clone)]
pub(super) struct CallServer {
    router: Router,
    places: Places,
    metrics: Arc<Metrics>,
    /// The server has ended: connections end with their call.
    ended: CancellationToken,
}

impl CallServer {
    pub(super) fn new(router: Router, places: Places, metrics: Arc<Metrics>) -> Self {
        Self { router, places, metrics, ended: CancellationToken::new() }
    }

    /// Serves what is accepted, for ever.
    pub(super) async fn serve(self, mut listener: StoppableListener, handshakes: Option<OperatorHandshakes>) {
        let gauge = self.metrics.connections.of_listener(listener.addr());
        let _ended = self.ended.clone().drop_guard();
        loop {
            let Accepted { stream, peer, open } = listener.accept().await;
            let Some(place) = self.place(Some(peer)).await else { continue };
            let (server, handshakes, counted) = (self.clone(), handshakes.clone(), gauge.opened());
            drop(tokio::spawn(async move {
                let _open = (open, counted);
                let stream = PacedStream::new(stream, Arc::clone(place.connection()));
                match handshakes {
                    None => server.answer(stream, &place).await,
                    Some(handshakes) => {
                        let shaken = tokio::select! {
                            shaken = handshakes.shake_hands(stream, peer) => shaken,
                            () = place.connection().over() => {
                                handshakes.made_room();
                                None
                            }
                        };
                        if let Some(stream) = shaken {
                            place.connection().certified();
                            server.answer(stream, &place).await;
                        }
                    }
                }
            }));
        }
    }

    /// Serves connections that somebody else has accepted, for ever.
    pub(super) async fn serve_passed_on(self, mut connections: mpsc::Receiver<UnixStream>) {
        let _ended = self.ended.clone().drop_guard();
        while let Some(stream) = connections.recv().await {
            let Some(place) = self.place(None).await else { continue };
            let server = self.clone();
            drop(tokio::spawn(async move {
                server.answer(PacedStream::new(stream, Arc::clone(place.connection())), &place).await;
            }));
        }
        // No more will come.
        std::future::pending().await
    }

    /// A place for a new connection, which is closed if there is none.
    async fn place(&self, peer: Option<SocketAddr>) -> Option<ConnectionPlace> {
        let place = self.places.take(peer).await;
        if place.is_none() {
            self.metrics.connections.refused(ConnectionRefusal::Admin);
        }
        place
    }

    /// Answers the calls on a connection until it is over.
    async fn answer<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        self,
        stream: S,
        place: &ConnectionPlace,
    ) {
        let connection = place.connection();
        connection.expect_first();
        tokio::select! {
            () = self.calls(stream, Arc::clone(connection)) => {}
            () = connection.over() => {}
        }
    }

    async fn calls<S: AsyncRead + AsyncWrite + Unpin>(self, stream: S, connection: Arc<CallerConnection>) {
        let unread = Arc::new(AtomicBool::new(false));
        let router = TowerToHyperService::new(self.router);
        let caller = Arc::clone(&connection);
        let noted = Arc::clone(&unread);
        let call = service_fn(move |request| {
            let (call, connection) = (CallUnderWay::begin(Arc::clone(&connection)), Arc::clone(&connection));
            let (request, whole) = prepared(request, &connection);
            let (answer, unread) = (router.call(request), Arc::clone(&noted));
            Box::pin(async move {
                let mut answer = answer.await.unwrap_or_else(|never: Infallible| match never {});
                connection.set_streams(is_stream(answer.headers()));
                if !whole.load(Ordering::Relaxed) {
                    unread.store(true, Ordering::Relaxed);
                    answer.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, Infallible>(answer.map(|body| AnswerBody::new(body, call)))
            })
        });
        let mut served =
            http1::Builder::new().max_buf_size(HEAD_BYTES).serve_connection(TokioIo::new(stream), call);
        let mut ends = pin!(self.ended.cancelled());
        let mut is_told = false;
        let served_to = loop {
            tokio::select! {
                done = poll_fn(|cx| served.poll_without_shutdown(cx)) => break done,
                () = &mut ends, if !is_told => {
                    is_told = true;
                    std::pin::Pin::new(&mut served).graceful_shutdown();
                }
            }
        };
        let stream = served.into_parts().io.into_inner();
        let is_malformed = served_to.is_err_and(|error| error.is_parse());
        let unread = match is_malformed || unread.load(Ordering::Relaxed) {
            true if caller.is_known() => LINGER_BYTES,
            true => STRANGER_BYTES,
            false => 0,
        };
        // An error means that the caller has left, or reads nothing.
        let _ = timeout(LINGER, end(stream, unread)).await;
    }
}

/// The request as calls take it, and whether its whole body has come.
fn prepared(
    request: Request<Incoming>,
    connection: &Arc<CallerConnection>,
) -> (Request<Body>, Arc<AtomicBool>) {
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(Arc::clone(connection));
    let body = PacedBody::new(body);
    let whole = body.whole();
    (Request::from_parts(parts, Body::new(body)), whole)
}

fn is_stream(fields: &HeaderMap) -> bool {
    fields.get(header::CONTENT_TYPE).is_some_and(|media| media == "text/event-stream")
}

/// Ends our side of a connection, and then waits for the other side, which may be sending so much that nobody reads.
async fn end<S: AsyncRead + AsyncWrite + Unpin>(mut stream: S, unread: u64) -> std::io::Result<()> {
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(unread), &mut tokio::io::sink()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use axum::routing::get;
    use tokio::time::{Instant, sleep};

    use super::*;

    const LARGE: usize = 8 << 20;

    /// Has a connection answered, and returns the other side of it.
    async fn connected() -> tokio::io::DuplexStream {
        let router = Router::new().route("/", get(|| async { vec![b'x'; LARGE] }));
        let places = Places::new(1, false, |_, _| {});
        let server = CallServer::new(router, places, Arc::new(Metrics::new().unwrap()));
        let (client, stream) = tokio::io::duplex(64 * 1024);
        let place = server.place(None).await.unwrap();
        tokio::spawn(async move {
            server.answer(PacedStream::new(stream, Arc::clone(place.connection())), &place).await;
        });
        client
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_sent_to_its_end() {
        for (rate, is_whole) in [(100 * 1024, true), (20 * 1024, true), (8 * 1024, false)] {
            let mut client = connected().await;
            client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
            let (begun, mut taken) = (Instant::now(), 0);
            let mut piece = vec![0; rate];
            while taken < LARGE {
                sleep(Duration::from_secs(1)).await;
                match timeout(Duration::from_secs(90), client.read_exact(&mut piece)).await {
                    Ok(Ok(_)) => taken += rate,
                    _ => break,
                }
            }
            // The last piece is a part of one.
            let took = begun.elapsed();
            assert_eq!(taken + rate >= LARGE, is_whole, "{rate} B/s: {taken} bytes in {took:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_idle_after_its_answer_ends() {
        let mut client = connected().await;
        client.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
        let begun = Instant::now();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        assert!(answer.len() > LARGE && begun.elapsed().as_secs() == 60, "{:?}", begun.elapsed());
    }
}
