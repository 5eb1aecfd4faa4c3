//! Beginning of a request's body. It is read before a server is picked, so that a client that sends nothing holds no
//! connection to one, and kept until there is an answer, so that it can be sent again.

use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http::header;
use pingora_core::Result;

use super::Exchange;
use super::head::Outgoing;
use crate::edge::forward::failure::check_length;
use crate::edge::forward::headers;
use crate::edge::http::body::{BodyLength, Frame};
use crate::edge::http::fields::Fields;
use crate::edge::patience::Patience;
use crate::edge::pipeline::downstream::Downstream;
use crate::pacing::pace::Pace;

/// Number of bytes that are enough. Of a body with a stated length, so many are waited for.
const ENOUGH: usize = 16 * 1024;

/// Beginning of a body: less than [`ENOUGH`] bytes, and the piece that makes them enough.
#[derive(Debug, Default)]
pub struct Beginning {
    data: Bytes,
    trailers: Option<Fields>,
    /// This is the whole body.
    is_whole: bool,
}

impl Beginning {
    /// Waits for the beginning of the body: as much as is enough if its length is stated, else the first piece. What has
    /// come with it is taken, too. A client that waits for a `100 Continue` sends nothing before a server wants it.
    ///
    /// # Errors
    /// The client has left, its body is invalid, too long, or does not come in time.
    pub async fn read(
        client: &mut impl Downstream,
        outgoing: &Outgoing<'_>,
        patience: &mut Patience<'_>,
    ) -> Result<Self> {
        let mut beginning = Self { is_whole: outgoing.length.is_none(), ..Self::default() };
        if !beginning.is_whole && !outgoing.request.fields.contains(&header::EXPECT) {
            patience.received(|pace, context| beginning.poll(client, outgoing, pace, context)).await?;
        }
        Ok(beginning)
    }

    fn poll(
        &mut self,
        client: &mut impl Downstream,
        outgoing: &Outgoing<'_>,
        pace: &mut Pace,
        context: &mut Context<'_>,
    ) -> Poll<Result<()>> {
        while self.data.len() <= ENOUGH {
            match client.poll_body(context)? {
                Poll::Ready(Some(Frame::Data(piece))) => {
                    pace.moved(piece.len() * client.sharers());
                    self.push(piece);
                    check_length(self.len(), outgoing.admission.shared.route.max_body)?;
                }
                Poll::Ready(Some(Frame::Trailers(trailers))) => {
                    (self.trailers, self.is_whole) = (Some(trailers), true);
                    break;
                }
                Poll::Ready(None) => {
                    self.is_whole = true;
                    break;
                }
                Poll::Pending if outgoing.length == BodyLength::Unknown && !self.data.is_empty() => break,
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Adds a piece. Most bodies come in one, which is not copied.
    fn push(&mut self, piece: Bytes) {
        if self.data.is_empty() {
            self.data = piece;
        } else {
            let mut joined = BytesMut::from(std::mem::take(&mut self.data));
            joined.extend_from_slice(&piece);
            self.data = joined.freeze();
        }
    }

    /// Whether this is the whole body, so that nothing more has to be read.
    pub fn is_whole(&self) -> bool {
        self.is_whole
    }

    /// Number of bytes.
    pub fn len(&self) -> u64 {
        self.data.len() as u64
    }

    /// Queues the beginning for a server, and the end of the body if it is whole.
    pub(super) fn begin(&self, exchange: &mut Exchange) {
        if !self.data.is_empty() {
            exchange.frame(Frame::Data(self.data.clone()));
        }
        if let Some(trailers) = &self.trailers {
            exchange.frame(Frame::Trailers(headers::trailers_upward(trailers.clone())));
        }
        if self.is_whole {
            exchange.end();
        }
    }
}
