//! Connection and exchange over either protocol of an upstream.

use std::task::{Context, Poll};

use bytes::Bytes;
use h2::client::SendRequest;
use pingora_core::Result;

use super::AnswerHead;
use super::head::Outgoing;
use super::http1::Http1;
use super::http2::Http2;
use crate::edge::forward::upstream::StreamSlot;
use crate::edge::http::body::Frame;
use crate::edge::stream::Stream;

/// Exchange over either protocol.
pub(super) enum Exchange {
    Http1(Http1),
    Http2(Http2),
}

/// Connection for one exchange.
pub(super) enum UpstreamConnection {
    Http1(Stream),
    Http2(SendRequest<Bytes>, StreamSlot),
}

impl UpstreamConnection {
    /// Begins an exchange with a request.
    pub(super) fn begin(self, outgoing: &Outgoing<'_>) -> Result<Exchange> {
        match self {
            Self::Http1(stream) => Ok(Exchange::Http1(Http1::new(stream, outgoing))),
            Self::Http2(requests, place) => Http2::new(requests, place, outgoing).map(Exchange::Http2),
        }
    }
}

impl Exchange {
    pub(super) fn frame(&mut self, frame: Frame) {
        match self {
            Self::Http1(exchange) => exchange.frame(frame),
            Self::Http2(exchange) => exchange.frame(frame),
        }
    }

    pub(super) fn end(&mut self) {
        match self {
            Self::Http1(exchange) => exchange.end(),
            Self::Http2(exchange) => exchange.end(),
        }
    }

    pub(super) fn is_full(&self) -> bool {
        match self {
            Self::Http1(exchange) => exchange.is_full(),
            Self::Http2(exchange) => exchange.is_full(),
        }
    }

    pub(super) fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        match self {
            Self::Http1(exchange) => exchange.poll_sent(context),
            Self::Http2(exchange) => exchange.poll_sent(context),
        }
    }

    pub(super) fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<AnswerHead>> {
        match self {
            Self::Http1(exchange) => exchange.poll_head(context),
            Self::Http2(exchange) => exchange.poll_head(context),
        }
    }

    pub(super) fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Frame>>> {
        match self {
            Self::Http1(exchange) => exchange.poll_frame(context),
            Self::Http2(exchange) => exchange.poll_frame(context),
        }
    }

    /// Marks the connection as dead, because the upstream is silent: no other request may use it.
    pub(super) fn retire(&self) {
        match self {
            // The connection ends with the exchange.
            Self::Http1(_) => {}
            Self::Http2(exchange) => exchange.retire(),
        }
    }

    pub(super) fn is_done(&self) -> bool {
        match self {
            Self::Http1(exchange) => exchange.is_done(),
            Self::Http2(exchange) => exchange.is_done(),
        }
    }
}
