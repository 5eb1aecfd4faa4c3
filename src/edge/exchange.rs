//! Exchanges with upstreams: an allowed request goes up, its answer comes down, both at once, by the task that read the
//! request.
//!
//! The life of an exchange: [`Forwarder::forward`] finds a connection and puts the head on it → [`pumps`] passes the body
//! up as the server takes it, and waits for the head of the answer → the head is made the browser's and passed on, then
//! each piece of the body as it comes → the connection is given back, if both messages are whole. Until something of an
//! answer was received, a request that changes nothing is tried on another connection where the one it took had just been
//! closed. The client is watched all the while: once it leaves, everything stops.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::BytesMut;
use h2::client::SendRequest;
use http::StatusCode;
use pingora::server::configuration::ServerConf;
use pingora::{Error, ErrorSource, ErrorType, Result, RetryType};

use super::body::Frame;
use super::cache::{Asked, Caching, Hit};
use super::connection::stream::Stream;
use super::deadline::Deadline;
use super::downstream::Downstream;
use super::forward;
use super::upstream::{Connector, MOST_ATTEMPTS, NO_SERVER, Place, Server, Upstream};
use crate::edge::message::ResponseHead;

pub mod head;
mod http1;
mod http2;
mod pumps;

use head::Outgoing;
use http1::Http1;
use http2::Http2;
use pumps::Pumps;

/// How many connections that turn out to be closed are passed over for one request.
const MOST_STALE: usize = 16;

/// What exchanges take: the way to open connections.
pub struct Forwarder {
    connector: Connector,
}

/// One allowed request, and what its answer goes through.
pub struct ForwardRequest<'a> {
    /// What goes up.
    pub outgoing: Outgoing<'a>,
    /// Where it goes.
    pub upstream: &'a Upstream,
    /// Whether the browser's scheme is https.
    pub https: bool,
    /// Where the status is told, once it is known.
    pub status: &'a mut Option<u16>,
    /// Who looks at an asset's answer as it passes.
    pub asset: Option<(&'a mut Caching, Asked<'a>)>,
}

/// What became of a request.
#[derive(Debug)]
pub enum Forwarded {
    /// It is answered.
    Done,
    /// The client is to get this, and got nothing yet.
    ServeCached(Hit),
    /// The upstream switched to WebSocket: its head, its connection, and what came behind the head.
    Switched(Box<(ResponseHead, Stream, BytesMut)>),
}

/// The head of an answer, interim or final.
#[derive(Debug)]
pub struct AnswerHead {
    /// The head, to be changed at will.
    head: ResponseHead,
    /// Nothing follows it.
    bodiless: bool,
}

/// One exchange, on whatever protocol the upstream speaks.
enum Exchange {
    Http1(Http1),
    Http2(Http2),
}

/// A connection for one exchange.
enum Connection {
    Http1(Stream),
    Http2(SendRequest<bytes::Bytes>, Place),
}

impl Forwarder {
    /// Prepares for requests.
    pub fn new(conf: &ServerConf) -> Self {
        Self { connector: Connector::new(conf) }
    }

    /// Forwards one request and answers it.
    ///
    /// # Errors
    /// The upstream failed, or the client is gone: the source of the error says which.
    pub async fn forward(
        &self,
        client: &mut impl Downstream,
        mut request: ForwardRequest<'_>,
        deadline: &mut Deadline,
    ) -> Result<Forwarded> {
        let (mut pumps, mut answer, server) = self.ask(client, &request, deadline).await?;
        loop {
            let AnswerHead { mut head, mut bodiless } = answer;
            if head.status == StatusCode::SWITCHING_PROTOCOLS {
                return request.switched(head, pumps.into_exchange());
            }
            if let Some(hit) = request.received(&head) {
                // A 304 leaves its connection as good as it was.
                if bodiless {
                    pumps.release(&server);
                }
                return Ok(Forwarded::ServeCached(hit));
            }
            *request.status = Some(head.status.as_u16());
            let is_interim = head.status.is_informational();
            forward::to_browser(&mut head, request.outgoing.visit, request.https);
            // Browsers know of no interim answer to a handshake.
            if !(is_interim && request.outgoing.is_handshake) {
                pumps.client.head(head, bodiless)?;
            }
            if is_interim {
                answer = pumps.head(deadline).await?;
                continue;
            }
            while !bodiless {
                let Some(frame) = pumps.frame(deadline).await? else { break };
                let (frame, last) = match frame {
                    Frame::Data(piece) => {
                        request.passes(&piece);
                        (Frame::Data(piece), pumps.is_done())
                    }
                    Frame::Trailers(fields) => {
                        let fields = forward::trailers_downward(fields, &request.outgoing.visit.shared);
                        (Frame::Trailers(fields), true)
                    }
                };
                bodiless = last;
                pumps.client.frame(frame, last)?;
                if !last {
                    pumps.sent(deadline).await?;
                }
            }
            request.ended();
            pumps.client.end()?;
            pumps.sent(deadline).await?;
            pumps.release(&server);
            return Ok(Forwarded::Done);
        }
    }

    /// Sends the request to a server of the upstream and reads the first head of its answer. Servers that can't be
    /// reached are passed over, and so are connections that the server has closed since their last request, as it
    /// may at any time (RFC 9112 §9.3.1).
    async fn ask<'c, D: Downstream>(
        &self,
        client: &'c mut D,
        request: &ForwardRequest<'_>,
        deadline: &mut Deadline,
    ) -> Result<(Pumps<'c, D>, AnswerHead, Arc<Server>)> {
        let (mut attempts, mut stale) = (0, 0);
        let mut client = Some(client);
        loop {
            let server = request.upstream.next_server().ok_or_else(|| Error::new_up(NO_SERVER))?;
            let (connection, reused) = match self.connect(&server, request.outgoing.is_handshake).await {
                Ok(connection) => connection,
                Err(error) => {
                    attempts += 1;
                    if attempts == MOST_ATTEMPTS {
                        return Err(error);
                    }
                    tracing::debug!(upstream = request.upstream.name(), %error, "server passed over");
                    continue;
                }
            };
            let exchange = connection.begin(&request.outgoing)?;
            // There on each turn: an exchange that failed gives it back.
            let Some(lent) = client.take() else {
                return Err(Error::explain(ErrorType::InternalError, "a request without its client"));
            };
            let mut pumps = Pumps::new(lent, exchange, &server, &request.outgoing);
            match pumps.head(deadline).await {
                Ok(head) => return Ok((pumps, head, server)),
                Err(error) => {
                    // A server that refuses streams has enough of them.
                    let most = if *error.etype() == ErrorType::H2Error { MOST_ATTEMPTS } else { MOST_STALE };
                    let again = reused
                        && matches!(error.retry, RetryType::ReusedOnly)
                        && *error.esource() == ErrorSource::Upstream
                        && request.outgoing.can_be_repeated()
                        && stale < most;
                    if !again {
                        return Err(error);
                    }
                    stale += 1;
                    client = Some(pumps.client);
                }
            }
        }
    }

    /// A connection to this server, and whether it was used before.
    async fn connect(&self, server: &Server, is_handshake: bool) -> Result<(Connection, bool)> {
        if is_handshake {
            // There are no WebSockets over HTTP/2 here (RFC 8441), whatever else the server speaks.
            let stream = Box::pin(self.connector.open(server, true)).await?;
            return Ok((Connection::Http1(stream), false));
        }
        if let Some((requests, place)) = server.shared().and_then(|shared| shared.take()) {
            return Ok((Connection::Http2(requests, place), true));
        }
        if let Some(stream) = server.idle().take() {
            return Ok((Connection::Http1(stream), true));
        }
        // In a box, so that requests that need no new connection don't carry the room for it.
        let stream = Box::pin(self.connector.open(server, false)).await?;
        match server.shared() {
            Some(shared) if stream.speaks_http2() => {
                let (requests, place) = Box::pin(shared.add(stream)).await?;
                Ok((Connection::Http2(requests, place), false))
            }
            _ => Ok((Connection::Http1(stream), false)),
        }
    }
}

impl std::fmt::Debug for Forwarder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forwarder").finish_non_exhaustive()
    }
}

impl Connection {
    /// Puts a request on its way.
    fn begin(self, outgoing: &Outgoing<'_>) -> Result<Exchange> {
        match self {
            Self::Http1(stream) => Ok(Exchange::Http1(Http1::new(stream, outgoing))),
            Self::Http2(requests, place) => Http2::new(requests, place, outgoing).map(Exchange::Http2),
        }
    }
}

impl ForwardRequest<'_> {
    fn received(&mut self, head: &ResponseHead) -> Option<Hit> {
        let (caching, asked) = self.asset.as_mut()?;
        caching.received(head, asked)
    }

    fn passes(&mut self, piece: &[u8]) {
        if let Some((caching, _)) = &mut self.asset {
            caching.passes(piece);
        }
    }

    fn ended(&mut self) {
        if let Some((caching, _)) = &mut self.asset {
            caching.ended();
        }
    }

    /// The upstream switched protocols, which only a handshake asks it to.
    fn switched(&mut self, mut head: ResponseHead, exchange: Exchange) -> Result<Forwarded> {
        match exchange {
            Exchange::Http1(exchange) if self.outgoing.is_handshake && is_to_websocket(&head) => {
                *self.status = Some(head.status.as_u16());
                forward::to_browser(&mut head, self.outgoing.visit, self.https);
                let (stream, early) = exchange.into_parts();
                Ok(Forwarded::Switched(Box::new((head, stream, early))))
            }
            _ => Err(Error::explain(ErrorType::InvalidHTTPHeader, "a 101 that nobody asked for").into_up()),
        }
    }
}

/// Whether the upstream speaks WebSocket from here on. Its key is for the browser to check.
fn is_to_websocket(head: &ResponseHead) -> bool {
    let upgrade = head.fields.get(&http::header::UPGRADE);
    upgrade.is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"))
}

impl Exchange {
    fn frame(&mut self, frame: Frame) {
        match self {
            Self::Http1(exchange) => exchange.frame(frame),
            Self::Http2(exchange) => exchange.frame(frame),
        }
    }

    fn end(&mut self) {
        match self {
            Self::Http1(exchange) => exchange.end(),
            Self::Http2(exchange) => exchange.end(),
        }
    }

    fn is_full(&self) -> bool {
        match self {
            Self::Http1(exchange) => exchange.is_full(),
            Self::Http2(exchange) => exchange.is_full(),
        }
    }

    fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        match self {
            Self::Http1(exchange) => exchange.poll_sent(context),
            Self::Http2(exchange) => exchange.poll_sent(context),
        }
    }

    fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<AnswerHead>> {
        match self {
            Self::Http1(exchange) => exchange.poll_head(context),
            Self::Http2(exchange) => exchange.poll_head(context),
        }
    }

    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Frame>>> {
        match self {
            Self::Http1(exchange) => exchange.poll_frame(context),
            Self::Http2(exchange) => exchange.poll_frame(context),
        }
    }

    /// The upstream says nothing any more: no other request is to take its connection.
    fn retire(&self) {
        match self {
            // Its connection goes with it.
            Self::Http1(_) => {}
            Self::Http2(exchange) => exchange.retire(),
        }
    }

    fn is_done(&self) -> bool {
        match self {
            Self::Http1(exchange) => exchange.is_done(),
            Self::Http2(exchange) => exchange.is_done(),
        }
    }
}

/// The longest wait for the next piece of a request's body, and for a client to take what is sent to it.
pub const CLIENT_TIMEOUT: Duration = Duration::from_secs(60);
