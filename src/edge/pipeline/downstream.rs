//! Downstream: the client's side of a request, with its body and the way for the answer. It has one
//! implementation per client protocol; the rest of the edge is independent of the protocol.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::BytesMut;
use pingora_core::{BError, Result};

use crate::edge::admission::reply::Reply;
use crate::edge::http::body::{BodyLength, Frame};
use crate::edge::http::message::ResponseHead;
use crate::edge::session::tunnel::Tunnel;
use crate::edge::stream::Stream;

/// Rest of the work of an upstream whose client has left.
pub type UpstreamRest = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Client of one request. All errors are the client's.
pub trait Downstream: Send {
    /// The length of the request's body.
    fn length(&self) -> BodyLength;

    /// Number of requests that share the client's connection now, this one included.
    fn sharers(&self) -> usize {
        1
    }

    /// The next piece of the request's body; `None` at its end.
    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Frame>>>;

    /// Queues a head, interim or final. `bodiless`: no body follows.
    ///
    /// # Errors
    ///
    /// The client has left.
    fn head(&mut self, head: ResponseHead, bodiless: bool) -> Result<()>;

    /// Queues a piece of the answer's body. `last`: nothing follows it.
    ///
    /// # Errors
    ///
    /// The client has left.
    fn frame(&mut self, frame: Frame, last: bool) -> Result<()>;

    /// Queues the end of the answer's body, if no piece was the last.
    ///
    /// # Errors
    ///
    /// The client has left.
    fn end(&mut self) -> Result<()>;

    /// Number of queued bytes that the client's connection has not accepted yet.
    fn waiting(&self) -> usize;

    /// Ready once the client's connection has accepted everything queued.
    fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<Result<()>>;

    /// Ready once the client has left. Bytes that it sends meanwhile belong to its next request and are kept.
    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<BError>;

    /// Takes the rest of the work of an upstream, for a client that has left. Where requests share a connection, the
    /// request counts as one of them until this is over. Elsewhere it ends with the connection.
    fn outlive(&mut self, rest: UpstreamRest) {
        drop(rest);
    }

    /// Cuts off the answer, so that the client can't take it as complete. `at_once`: queued bytes may be
    /// dropped too.
    fn abort(&mut self, at_once: bool);

    /// Ready once the rest of a small unwanted body is read, so that the connection can be kept; or at once,
    /// if there is none to wait for.
    fn poll_drained(&mut self, context: &mut Context<'_>) -> Poll<()>;

    /// Queues a reply of the edge's own. `head_only`: the request was a `HEAD`.
    ///
    /// # Errors
    ///
    /// The client has left.
    fn reply(&mut self, reply: Reply, head_only: bool) -> Result<()>;

    /// Whether the final head is queued or sent.
    fn has_begun(&self) -> bool;

    /// Gives the connection to a tunnel, with the bytes that were read but not served. The tunnel runs after
    /// the request.
    ///
    /// # Errors
    ///
    /// Other requests share the connection.
    fn switch(&mut self, into: impl FnOnce(Stream, BytesMut) -> Tunnel) -> Result<()>;
}
