//! Requests over HTTP/2 (RFC 9113) on TLS.

use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::{Context, Result, ensure};
use bench_support::client::tls::{connector, handshake};
use bytes::Bytes;
use h2::client::SendRequest;
use rustls::client::Resumption;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;

use super::Shared;
use crate::scenario::{Kind, Request};

/// A client with one stream at a time on a connection that it shares.
#[derive(Clone)]
pub struct Stream {
    connection: Rc<Connection>,
    asks: Rc<[Ask]>,
    status: u16,
    shared: Rc<Shared>,
}

/// A connection that is kept. A peer may close it after so many requests: then it is opened again.
struct Connection {
    addr: SocketAddr,
    connector: TlsConnector,
    /// With its number.
    sender: Mutex<(SendRequest<Bytes>, u64)>,
}

/// A request in the library's words.
#[derive(Clone)]
struct Ask {
    head: http::Request<()>,
    body: Option<Bytes>,
}

impl Stream {
    /// With a connection of its own; clones share it.
    pub async fn open(
        addr: SocketAddr,
        requests: &[Request],
        status: u16,
        shared: Rc<Shared>,
    ) -> Result<Self> {
        let connector = connector(b"h2", Resumption::disabled())?;
        let sender = Mutex::new((connect(addr, &connector).await?, 0));
        let connection = Rc::new(Connection { addr, connector, sender });
        let asks = requests.iter().map(Ask::new).collect::<Result<_>>()?;
        Ok(Self { connection, asks, status, shared })
    }

    pub async fn once(&mut self, n: usize) -> Result<()> {
        let ask = &self.asks[n % self.asks.len()];
        let (sender, opened) = self.connection.sender.lock().await.clone();
        let (status, length) = match exchange(sender, ask).await {
            Ok(answer) => answer,
            Err(_) => exchange(self.reopen(opened).await?, ask).await?,
        };
        ensure!(status == self.status, "{status} in place of {}", self.status);
        ensure!(status != 200 || length == 1024, "a body of {length} bytes");
        Ok(())
    }

    /// A new connection in place of this one, unless another client opened it already.
    async fn reopen(&self, opened: u64) -> Result<SendRequest<Bytes>> {
        let mut sender = self.connection.sender.lock().await;
        if sender.1 == opened {
            self.shared.reconnects.set(self.shared.reconnects.get() + 1);
            *sender = (connect(self.connection.addr, &self.connection.connector).await?, opened + 1);
        }
        Ok(sender.0.clone())
    }
}

/// The statuses of requests on one new connection.
pub async fn statuses(addr: SocketAddr, requests: &[Request]) -> Result<Vec<u16>> {
    let sender = connect(addr, &connector(b"h2", Resumption::disabled())?).await?;
    let mut statuses = Vec::new();
    for request in requests {
        statuses.push(exchange(sender.clone(), &Ask::new(request)?).await?.0);
    }
    Ok(statuses)
}

async fn connect(addr: SocketAddr, connector: &TlsConnector) -> Result<SendRequest<Bytes>> {
    let stream = handshake(addr, connector).await?;
    let (sender, driver) = h2::client::handshake(stream).await?;
    tokio::task::spawn_local(driver);
    Ok(sender)
}

/// Status and length of the answer, read to its end.
async fn exchange(sender: SendRequest<Bytes>, ask: &Ask) -> Result<(u16, usize)> {
    let mut sender = sender.ready().await?;
    let (answer, mut stream) = sender.send_request(ask.head.clone(), ask.body.is_none())?;
    if let Some(body) = &ask.body {
        stream.send_data(body.clone(), true)?;
    }
    let answer = answer.await?;
    let status = answer.status().as_u16();
    let mut body = answer.into_body();
    let mut length = 0;
    while let Some(piece) = body.data().await {
        let piece = piece?;
        length += piece.len();
        body.flow_control().release_capacity(piece.len())?;
    }
    Ok((status, length))
}

impl Ask {
    fn new(request: &Request) -> Result<Self> {
        let mut head = http::Request::get(format!("https://{}{}", Request::HOST, request.path))
            .header("user-agent", Request::AGENT)
            .header("accept", "*/*");
        if let Some(origin) = &request.origin {
            head = head.header("origin", origin);
        }
        let mut body = None;
        match request.kind {
            Kind::Get => {}
            Kind::Post => {
                head = head
                    .method("POST")
                    .header("content-type", Request::BODY_TYPE)
                    .header("content-length", Request::BODY.len());
                body = Some(Bytes::from_static(Request::BODY));
            }
            Kind::Handshake => anyhow::bail!("WebSockets are opened over HTTP/1.1 here"),
        }
        Ok(Self { head: head.body(()).context("a request")?, body })
    }
}
