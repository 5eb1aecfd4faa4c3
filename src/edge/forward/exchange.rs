//! Exchanges with upstreams: an allowed request and its answer, both ways at once, in the task that read the request.
//!
//! The life of an exchange: [`Forwarder::forward`] waits for the [`beginning`] of the body, finds a connection and
//! writes the head → [`pumps`] sends the rest of the body as fast as the server reads it, and waits for the head of the
//! answer → the head is rewritten for the browser and sent, then each piece of the body → the connection is given back
//! if both messages are complete. If a server fails before the head of an answer, [`Tries`] says whether another one is
//! asked. The client is watched: when it leaves, everything stops.

use std::time::Duration;

use bytes::BytesMut;
use http::StatusCode;
use pingora_core::server::configuration::ServerConf;
use pingora_core::{Error, ErrorSource, ErrorType, Result};
use tokio::time::Instant;

use super::headers;
use super::upstream::{Connector, Server, ServerTurn, Upstream};
use crate::edge::admission::terms::ReadLimit;
use crate::edge::cache::{AssetRequest, CacheState, Hit};
use crate::edge::descriptors::DescriptorShare;
use crate::edge::http::body::Frame;
use crate::edge::http::message::ResponseHead;
use crate::edge::patience::Patience;
use crate::edge::pipeline::downstream::Downstream;
use crate::edge::stream::Stream;

mod beginning;
pub mod head;
mod http1;
mod http2;
mod naming;
mod protocols;
mod pumps;
mod tries;

pub use naming::Naming;

use beginning::Beginning;
use head::Outgoing;
use protocols::{Exchange, UpstreamConnection};
use pumps::Pumps;
use tries::{Failure, Tries, TryStage};

/// Media type of streams of events (HTML standard, "Server-sent events").
const EVENTS: &[u8] = b"text/event-stream";

/// Forwarder of requests, with the connector for new connections.
pub struct Forwarder {
    connector: Connector,
}

/// Allowed request, with everything that its answer needs.
pub struct ForwardRequest<'a> {
    /// The request to send.
    pub outgoing: Outgoing<'a>,
    /// The upstream.
    pub upstream: &'a Upstream,
    /// Where sessions are remembered that the answer names, if the request is a session.
    pub naming: Option<Naming<'a>>,
    /// Whether the browser's scheme is https.
    pub https: bool,
    /// What is reported of the answer.
    pub report: &'a mut AnswerReport,
    /// The cache state that reads an asset's answer as it passes.
    pub asset: Option<(&'a mut CacheState, AssetRequest<'a>)>,
}

/// Report of an answer, as far as it has come.
#[derive(Debug, Default)]
pub struct AnswerReport {
    /// The status, once it is known.
    pub status: Option<u16>,
    /// Number of bytes of the body that were passed on to the client's connection.
    pub bytes: u64,
    /// From the first try at the upstream to the head of its answer, or to its failure; `None`: it was not asked.
    pub upstream_took: Option<Duration>,
    /// The answer is a stream of events, which ends when the client leaves.
    pub is_stream: bool,
}

/// Outcome of a forwarded request.
#[derive(Debug)]
pub enum Forwarded {
    /// The request is answered.
    Done,
    /// The client has to get this answer from memory; it got nothing yet.
    ServeCached(Hit),
    /// The upstream switched to WebSocket: its head, its connection, and the bytes after the head.
    Switched(Box<(ResponseHead, Stream, BytesMut)>),
}

/// Head of an answer, interim or final.
#[derive(Debug)]
pub struct AnswerHead {
    /// The head.
    head: ResponseHead,
    /// No body follows the head.
    bodiless: bool,
}

impl Forwarder {
    /// A forwarder without connections.
    pub fn new(conf: &ServerConf, descriptors: DescriptorShare) -> Self {
        Self { connector: Connector::new(conf, descriptors) }
    }

    /// Forwards one request and answers it.
    ///
    /// # Errors
    /// The upstream failed, or the client is gone: the source of the error says which.
    pub async fn forward(
        &self,
        client: &mut impl Downstream,
        mut request: ForwardRequest<'_>,
        patience: &mut Patience<'_>,
    ) -> Result<Forwarded> {
        let beginning = Beginning::read(client, &request.outgoing, patience).await?;
        let started = Instant::now();
        let (mut pumps, mut answer, mut turn) = match self.ask(client, &request, &beginning, patience).await {
            Ok(asked) => asked,
            Err(error) => {
                request.report.upstream_took = Some(started.elapsed());
                return Err(error);
            }
        };
        drop(beginning);
        loop {
            let AnswerHead { mut head, mut bodiless } = answer;
            request.outgoing.map_back(&mut head);
            let is_interim = head.status.is_informational() && head.status != StatusCode::SWITCHING_PROTOCOLS;
            if !is_interim {
                turn.answered();
                let took = started.elapsed();
                request.report.upstream_took = Some(took);
                request.upstream.count_answer(took);
            }
            let named = request.named(&head);
            if head.status == StatusCode::SWITCHING_PROTOCOLS {
                let switched = request.switched(head, pumps.into_exchange())?;
                if let Some(remembering) = named {
                    remembering.await;
                }
                return Ok(switched);
            }
            if let Some(hit) = request.received(&head) {
                // After an answer without a body, such as a 304, the connection can be used again.
                if bodiless {
                    pumps.release(turn.server());
                }
                return Ok(Forwarded::ServeCached(hit));
            }
            if let Some(remembering) = named {
                remembering.await;
            }
            request.report.status = Some(head.status.as_u16());
            if is_event_stream(&head) {
                if matches!(request.outgoing.admission.own.read_limit, ReadLimit::OfStream(_)) {
                    request.report.is_stream = true;
                    patience.down.ask_no_rate();
                } else {
                    request.streams_unasked();
                }
            }
            headers::to_browser(&mut head, request.outgoing.admission, request.https);
            // Browsers do not expect an interim answer to a handshake.
            if !(is_interim && request.outgoing.is_handshake) {
                pumps.client.head(head, bodiless)?;
            }
            if is_interim {
                answer = match pumps.head(patience).await {
                    Ok(answer) => answer,
                    Err(error) => {
                        tries::blame(&mut turn, &error);
                        return Err(pumps.fail(error, turn.server()));
                    }
                };
                continue;
            }
            while !bodiless {
                let Some(frame) = pumps.frame(patience).await? else { break };
                let (frame, last) = match frame {
                    Frame::Data(piece) => {
                        request.passes(&piece);
                        (Frame::Data(piece), pumps.is_done())
                    }
                    Frame::Trailers(fields) => {
                        let fields = headers::trailers_downward(fields, &request.outgoing.admission.shared);
                        (Frame::Trailers(fields), true)
                    }
                };
                bodiless = last;
                pumps.client.frame(frame, last)?;
                if !last {
                    pumps.sent(patience).await?;
                }
            }
            request.ended();
            pumps.client.end()?;
            pumps.sent(patience).await?;
            pumps.release(turn.server());
            return Ok(Forwarded::Done);
        }
    }

    /// Sends the request to a server of the upstream and reads the first head of its answer; to others, if servers fail
    /// and the request can be sent again.
    async fn ask<'c, D: Downstream>(
        &self,
        client: &'c mut D,
        request: &ForwardRequest<'_>,
        beginning: &Beginning,
        patience: &mut Patience<'_>,
    ) -> Result<(Pumps<'c, D>, AnswerHead, ServerTurn)> {
        let (mut tries, mut turn) = Tries::begin(request.upstream, &request.outgoing, beginning)?;
        let mut client = Some(client);
        loop {
            let failure = match self.connect(turn.server(), request.outgoing.is_handshake).await {
                Err(error) => Failure { error, stage: TryStage::Unconnected },
                Ok((connection, is_reused)) => match connection.begin(&request.outgoing) {
                    Err(error) => Failure { error, stage: TryStage::Unsent { is_reused } },
                    Ok(exchange) => {
                        // It is there in each round, because a failed exchange gives it back.
                        let Some(lent) = client.take() else {
                            return Err(Error::explain(
                                ErrorType::InternalError,
                                "a request without its client",
                            ));
                        };
                        let mut pumps =
                            Pumps::new(lent, exchange, turn.server(), &request.outgoing, beginning);
                        match pumps.head(patience).await {
                            Ok(head) => return Ok((pumps, head, turn)),
                            Err(error) if *error.esource() == ErrorSource::Downstream => {
                                return Err(pumps.fail(error, turn.server()));
                            }
                            Err(error) => {
                                let is_complete = pumps.is_complete();
                                client = Some(pumps.client);
                                Failure { error, stage: TryStage::Sent { is_reused, is_complete } }
                            }
                        }
                    }
                },
            };
            turn = tries.next(turn, failure)?;
        }
    }

    /// A connection to this server, and whether it was used before.
    async fn connect(&self, server: &Server, is_handshake: bool) -> Result<(UpstreamConnection, bool)> {
        if is_handshake {
            // WebSockets over HTTP/2 (RFC 8441) are not supported, so a handshake always needs HTTP/1.1.
            let stream = Box::pin(self.connector.open(server, true)).await?;
            return Ok((UpstreamConnection::Http1(stream), false));
        }
        if let Some((requests, place)) = server.shared().and_then(|shared| shared.take()) {
            return Ok((UpstreamConnection::Http2(requests, place), true));
        }
        if let Some(stream) = server.idle().take() {
            return Ok((UpstreamConnection::Http1(stream), true));
        }
        // Boxed, so that requests without a new connection don't need the memory for it.
        let stream = Box::pin(self.connector.open(server, false)).await?;
        match server.shared() {
            Some(shared) if stream.speaks_http2() => {
                let (requests, place) = Box::pin(shared.add(stream)).await?;
                Ok((UpstreamConnection::Http2(requests, place), false))
            }
            _ => Ok((UpstreamConnection::Http1(stream), false)),
        }
    }
}

impl std::fmt::Debug for Forwarder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Forwarder").finish_non_exhaustive()
    }
}

impl ForwardRequest<'_> {
    fn received(&mut self, head: &ResponseHead) -> Option<Hit> {
        let (caching, asked) = self.asset.as_mut()?;
        caching.received(head, asked)
    }

    fn passes(&mut self, piece: &[u8]) {
        self.report.bytes += piece.len() as u64;
        if let Some((caching, _)) = &mut self.asset {
            caching.passes(piece);
        }
    }

    fn ended(&mut self) {
        if let Some((caching, _)) = &mut self.asset {
            caching.ended();
        }
    }

    /// Handles a 101, which is valid only as the answer to a handshake.
    fn switched(&mut self, mut head: ResponseHead, exchange: Exchange) -> Result<Forwarded> {
        match exchange {
            Exchange::Http1(exchange) if self.outgoing.is_handshake && is_to_websocket(&head) => {
                self.report.status = Some(head.status.as_u16());
                headers::to_browser(&mut head, self.outgoing.admission, self.https);
                let (stream, early) = exchange.into_parts();
                Ok(Forwarded::Switched(Box::new((head, stream, early))))
            }
            _ => Err(Error::explain(ErrorType::InvalidHTTPHeader, "an unexpected 101").into_up()),
        }
    }
}

/// Whether an answer is a stream of events, which come when there are some.
fn is_event_stream(head: &ResponseHead) -> bool {
    head.fields.get(&http::header::CONTENT_TYPE).is_some_and(|media| {
        media.as_bytes().get(..EVENTS.len()).is_some_and(|start| start.eq_ignore_ascii_case(EVENTS))
    })
}

/// Whether the upstream switched to WebSocket. The browser checks its key.
fn is_to_websocket(head: &ResponseHead) -> bool {
    let upgrade = head.fields.get(&http::header::UPGRADE);
    upgrade.is_some_and(|upgrade| upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"))
}
