//! GETs over HTTP/2 (RFC 9113) on TLS.

use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use h2::client::SendRequest;

use super::tls::{connector, handshake};
use crate::scenario::Request;

/// A client with one stream at a time on a connection that it shares.
#[derive(Clone)]
pub struct Stream {
    connection: SendRequest<Bytes>,
    requests: Rc<[http::Request<()>]>,
}

impl Stream {
    /// A connection of its own; clones share it.
    pub async fn open(addr: SocketAddr, requests: &[Request]) -> Result<Self> {
        let stream = handshake(addr, &connector(b"h2")?).await?;
        let (connection, driver) = h2::client::handshake(stream).await?;
        tokio::task::spawn_local(driver);
        let requests = requests.iter().map(request).collect::<Result<_>>()?;
        Ok(Self { connection, requests })
    }

    pub async fn once(&mut self, n: usize) -> Result<()> {
        let mut connection = self.connection.clone().ready().await?;
        let request = self.requests[n % self.requests.len()].clone();
        let (answer, _) = connection.send_request(request, true)?;
        let answer = answer.await?;
        ensure!(answer.status() == 200, "{} in place of 200", answer.status());
        let mut body = answer.into_body();
        let mut length = 0;
        while let Some(piece) = body.data().await {
            let piece = piece?;
            length += piece.len();
            body.flow_control().release_capacity(piece.len())?;
        }
        ensure!(length == 1024, "a body of {length} bytes");
        Ok(())
    }
}

fn request(request: &Request) -> Result<http::Request<()>> {
    http::Request::get(format!("https://{}{}", Request::HOST, request.path))
        .header("user-agent", Request::AGENT)
        .header("accept", "*/*")
        .header("origin", request.origin.as_deref().context("an origin")?)
        .body(())
        .context("a request")
}
