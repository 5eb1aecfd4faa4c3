//! The client's side of a request: its body, and the way back for the answer. One implementation for each protocol
//! that clients speak; everything else is written once, over this.

use std::future::poll_fn;
use std::task::{Context, Poll};

use bytes::BytesMut;
use pingora::{BError, Result};

use super::body::{Frame, Length};
use super::connection::stream::Stream;
use super::reply::Reply;
use crate::edge::message::ResponseHead;

/// One request's client. Errors are the client's.
pub trait Downstream: Send {
    /// How long the request's body is.
    fn length(&self) -> Length;

    /// The next piece of the request's body; `None` at its end.
    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Frame>>>;

    /// Puts a head on its way, an interim one or the final one. `bodiless`: nothing follows it.
    ///
    /// # Errors
    /// The client is gone.
    fn head(&mut self, head: ResponseHead, bodiless: bool) -> Result<()>;

    /// Puts a piece of the answer's body on its way. `last`: nothing follows it.
    ///
    /// # Errors
    /// The client is gone.
    fn frame(&mut self, frame: Frame, last: bool) -> Result<()>;

    /// Puts the end of the answer's body on its way, where no piece was the last.
    ///
    /// # Errors
    /// The client is gone.
    fn end(&mut self) -> Result<()>;

    /// How much of what was put on its way is not taken yet, in bytes.
    fn waiting(&self) -> usize;

    /// Ready once what was put on its way is taken by the client's connection.
    fn poll_sent(&mut self, context: &mut Context<'_>) -> Poll<Result<()>>;

    /// Ready once the client has left. What it sends meanwhile is its next request's, and kept.
    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<BError>;

    /// The answer breaks off: the client must not take what it has for the whole. `at_once`: nor need it get what is on its
    /// way.
    fn abort(&mut self, at_once: bool);

    /// Ready once the rest of a small body that nobody wants is read, so that the connection can be kept, or there is none
    /// that would be waited for.
    fn poll_drained(&mut self, context: &mut Context<'_>) -> Poll<()>;

    /// Puts an answer of the edge's own on its way. `head_only`: the request was a `HEAD`.
    ///
    /// # Errors
    /// The client is gone.
    fn reply(&mut self, reply: Reply, head_only: bool) -> Result<()>;

    /// Whether the final head is on its way.
    fn has_begun(&self) -> bool;

    /// The connection itself, with what was read of it and not served, for a tunnel; `None` where other requests share
    /// it.
    fn take_connection(&mut self) -> Option<(Stream, BytesMut)>;

    /// Waits until what was put on its way is taken.
    fn sent(&mut self) -> impl Future<Output = Result<()>> + Send {
        poll_fn(|context| self.poll_sent(context))
    }
}
