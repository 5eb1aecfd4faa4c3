//! Who gets an answer that is passed on: an HTTP/1.1 connection that the edge serves itself, or a session of the
//! proxy library's.

use bytes::Bytes;
use http::response::Parts;
use pingora::http::ResponseHeader;
use pingora::protocols::http::HttpTask;
use pingora::proxy::Session;
use pingora::{BError, Result};

/// The client's side of an answer. Errors are the client's, but for [`Self::broken`].
pub trait Downstream: Send {
    /// Passes on a head. `reason`: the phrase beside its status. `done`: nothing follows.
    fn head(
        &mut self,
        head: Parts,
        reason: Option<&str>,
        done: bool,
    ) -> impl Future<Output = Result<()>> + Send;

    /// Passes on a piece of the body. `done`: it was the last.
    fn piece(&mut self, piece: Bytes, done: bool) -> impl Future<Output = Result<()>> + Send;

    /// The body is over.
    fn end(&mut self) -> impl Future<Output = Result<()>> + Send;

    /// The upstream broke off: what was passed on before goes out, the end does not. Gives the error back.
    fn broken(&mut self, error: BError) -> impl Future<Output = BError> + Send;

    /// Resolves once the client has left. What it sends meanwhile is its next request's, and kept.
    fn gone(&mut self) -> impl Future<Output = BError> + Send;
}

impl Downstream for Session {
    async fn head(&mut self, head: Parts, reason: Option<&str>, done: bool) -> Result<()> {
        let mut response = ResponseHeader::from(head);
        response.set_reason_phrase(reason)?;
        self.write_response_header(Box::new(response), done).await.map_err(|error| error.into_down())
    }

    async fn piece(&mut self, piece: Bytes, _done: bool) -> Result<()> {
        self.write_response_body(Some(piece), false).await.map_err(|error| error.into_down())
    }

    /// The library writes it when it finishes the session.
    async fn end(&mut self) -> Result<()> {
        Ok(())
    }

    async fn broken(&mut self, error: BError) -> BError {
        let (kind, tasks) =
            (error.etype().clone(), vec![HttpTask::Body(None, false), HttpTask::Failed(error)]);
        match self.as_downstream_mut().response_duplex_vec(tasks).await {
            Err(error) => error,
            Ok(_) => pingora::Error::new_up(kind),
        }
    }

    async fn gone(&mut self) -> BError {
        match self.as_downstream_mut().read_body_or_idle(true).await {
            Err(error) => error.into_down(),
            Ok(_) => std::future::pending().await,
        }
    }
}
