//! The direct path: a `GET` without a body to a server that speaks HTTP/1.1, which is nearly every request, is
//! forwarded here by the task that read it, over the proxy library's own connector. The
//! library's way runs a second task, two channels and a copy of every field map for each request; everything that
//! does not fit here still goes that way, and both give the same answers.
//!
//! The life of a request here: [`Direct::ask`] finds a connection, sends the head and reads the head of the answer;
//! [`Direct::forward`] passes it on, then each piece of the body as it comes, and gives the connection back. Until
//! something was received, a failed connection is made up for by another one. The client is watched all the while:
//! once it leaves, everything stops.

use std::io;
use std::sync::Arc;

use http::header::{self, HeaderValue};
use http::response::Parts;
use http::{StatusCode, Version};
use pingora::connectors::{ConnectorOptions, TransportConnector};
use pingora::protocols::Stream;
use pingora::server::configuration::ServerConf;
use pingora::{BError, Error, ErrorSource, ErrorType, Result, RetryType};
use tokio::io::AsyncWriteExt;

use super::cache::{Asked, Caching, Hit};
use super::deadline::{Deadline, Elapsed};
use super::forward;
use super::upstream::{MOST_ATTEMPTS, NO_SERVER, Server, Upstream};
use super::visit::{ReadLimit, Visit};

mod answer;
mod downstream;
pub mod head;
mod replay;

pub use downstream::Downstream;

use answer::Answer;

/// How many connections that turn out to be closed are passed over for one request.
const MOST_STALE: usize = 16;

/// What forwarding takes.
pub struct Direct {
    connector: TransportConnector,
}

/// One allowed request.
pub struct Passage<'a> {
    /// Its head, from [`head::write`].
    pub head: Vec<u8>,
    /// Where it goes.
    pub upstream: &'a Upstream,
    /// What its answer needs; `None` where nothing was judged.
    pub visit: Option<&'a Visit>,
    /// Whether the browser's scheme is https.
    pub https: bool,
    /// Where the status is told, once it is known.
    pub status: &'a mut Option<u16>,
    /// Who looks at an asset's answer as it passes.
    pub asset: Option<(&'a mut Caching, Asked<'a>)>,
}

/// What became of a request.
#[derive(Debug)]
pub enum Passed {
    /// It is answered.
    Whole,
    /// The client is to get this, and got nothing yet.
    Instead(Hit),
}

impl Direct {
    /// Prepares for requests.
    pub fn new(conf: &ServerConf) -> Self {
        Self { connector: TransportConnector::new(Some(ConnectorOptions::from_server_conf(conf))) }
    }

    /// Forwards one request and answers it.
    ///
    /// # Errors
    ///
    /// The upstream failed, or the client is gone: the source of the error says which.
    pub async fn forward(
        &self,
        client: &mut impl Downstream,
        mut passage: Passage<'_>,
        deadline: &mut Deadline,
    ) -> Result<Passed> {
        let (mut answer, server) = self.ask(client, &passage, deadline).await?;
        let mut done = loop {
            let done = answer.is_done();
            let Some((mut head, reason)) = answer.head() else {
                return Err(
                    Error::explain(ErrorType::InvalidHTTPHeader, "an answer without a head").into_up()
                );
            };
            let is_final = !head.status.is_informational();
            if let Some(hit) = passage.received(&head) {
                // A 304 leaves its connection as good as it was.
                if done && let Some(stream) = answer.into_connection().await {
                    server.idle().put(stream);
                }
                return Ok(Passed::Instead(hit));
            }
            passage.prepare(&mut head, done)?;
            client.head(head, reason, done).await?;
            if is_final {
                break done;
            }
            unless_gone(client, answer.next_head()).await?;
        };
        while !done {
            let piece = match unless_gone(client, answer.piece(deadline)).await {
                Ok(Some(piece)) => piece,
                Ok(None) => break,
                Err(error) if *error.esource() == ErrorSource::Upstream => {
                    return Err(client.broken(error).await);
                }
                Err(error) => return Err(error),
            };
            done = answer.is_done();
            passage.passes(&piece);
            client.piece(piece, done).await?;
        }
        passage.ended();
        client.end().await?;
        if let Some(stream) = answer.into_connection().await {
            server.idle().put(stream);
        }
        Ok(Passed::Whole)
    }

    /// Sends the request to a server of the upstream and reads the first head of its answer. Servers that can't be
    /// reached are passed over, and so are connections that the server has closed since their last request, as it
    /// may at any time (RFC 9112 §9.3.1).
    async fn ask(
        &self,
        client: &mut impl Downstream,
        passage: &Passage<'_>,
        deadline: &mut Deadline,
    ) -> Result<(Answer, Arc<Server>)> {
        let (mut attempts, mut stale) = (0, 0);
        loop {
            let server = passage.upstream.next_server().ok_or_else(|| Error::new_up(NO_SERVER))?;
            let (stream, reused) = match self.connect(&server).await {
                Ok(connection) => connection,
                Err(error) => {
                    attempts += 1;
                    if attempts == MOST_ATTEMPTS {
                        return Err(error.into_up());
                    }
                    tracing::debug!(upstream = passage.upstream.name(), %error, "server passed over");
                    continue;
                }
            };
            match exchange(client, stream, &server, passage, deadline).await {
                Err(error)
                    if reused && matches!(error.retry, RetryType::ReusedOnly) && stale < MOST_STALE =>
                {
                    stale += 1;
                }
                answered => return answered.map(|answer| (answer, server)),
            }
        }
    }

    /// A connection to this server, and whether it was used before.
    async fn connect(&self, server: &Server) -> Result<(Stream, bool)> {
        match server.idle().take() {
            Some(stream) => Ok((stream, true)),
            // In a box, so that requests that need no new connection don't carry the room for it.
            None => Box::pin(self.connector.new_stream(server)).await.map(|stream| (stream, false)),
        }
    }
}

impl std::fmt::Debug for Direct {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Direct").finish_non_exhaustive()
    }
}

impl Passage<'_> {
    fn received(&mut self, head: &Parts) -> Option<Hit> {
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

    /// Makes the upstream's head the client's. `bodiless`: nothing follows it.
    fn prepare(&mut self, head: &mut Parts, bodiless: bool) -> Result<()> {
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Error::explain(ErrorType::InvalidHTTPHeader, "a 101 that nobody asked for").into_up());
        }
        *self.status = Some(head.status.as_u16());
        frame(head, bodiless);
        if let Some(visit) = self.visit {
            forward::to_browser(head, visit, self.https);
        }
        Ok(())
    }
}

/// A body that only the connection's end would delimit becomes chunked: the client's connection can be kept.
fn frame(parts: &mut Parts, bodiless: bool) {
    let fields = &mut parts.headers;
    let has_body = !bodiless
        && !parts.status.is_informational()
        && !matches!(parts.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if has_body
        && !fields.contains_key(header::TRANSFER_ENCODING)
        && !fields.contains_key(header::CONTENT_LENGTH)
    {
        parts.version = Version::HTTP_11;
        fields.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
    }
}

/// Sends a request's head and reads the first head of its answer.
async fn exchange(
    client: &mut impl Downstream,
    mut stream: Stream,
    server: &Server,
    passage: &Passage<'_>,
    deadline: &mut Deadline,
) -> Result<Answer> {
    let sending = async {
        stream.write_all(&passage.head).await?;
        stream.flush().await
    };
    let sent = match server.options().write_timeout {
        Some(limit) => {
            let sent = deadline.within(limit, sending).await;
            sent.unwrap_or_else(|Elapsed| Err(io::ErrorKind::TimedOut.into()))
        }
        None => sending.await,
    };
    sent.map_err(not_sent)?;
    let read_limit = passage.visit.map_or(ReadLimit::OfUpstream, |visit| visit.read_limit);
    unless_gone(client, Answer::read(stream, server, read_limit, deadline)).await
}

fn not_sent(error: io::Error) -> BError {
    if error.kind() == io::ErrorKind::TimedOut {
        return Error::because(ErrorType::WriteTimedout, "while sending the request", error).into_up();
    }
    let mut error = Error::because(ErrorType::WriteError, "while sending the request", error);
    error.retry = RetryType::ReusedOnly;
    error.into_up()
}

/// Goes on reading until the client leaves.
async fn unless_gone<T>(client: &mut impl Downstream, reading: impl Future<Output = Result<T>>) -> Result<T> {
    tokio::select! {
        biased;
        read = reading => read,
        error = client.gone() => Err(error),
    }
}
