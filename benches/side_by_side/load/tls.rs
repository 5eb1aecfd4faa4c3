//! TLS 1.3 handshakes, full or resumed.

use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::{Result, ensure};
use bench_support::client::exchange;
use bench_support::client::tls::{connector, handshake};
use rustls::HandshakeKind;
use rustls::client::Resumption;
use tokio::io::AsyncWriteExt;
use tokio_rustls::TlsConnector;

/// A client that opens one connection after the other.
#[derive(Clone)]
pub struct Shaker {
    addr: SocketAddr,
    connector: TlsConnector,
    /// Of the next connection.
    kind: HandshakeKind,
    /// Each connection resumes what the one before was given.
    resumes: bool,
    requests: Rc<[Vec<u8>]>,
    buffer: Vec<u8>,
}

impl Shaker {
    /// One that never resumes.
    pub fn new(addr: SocketAddr, requests: Rc<[Vec<u8>]>) -> Result<Self> {
        Self::with(addr, requests, Resumption::disabled(), false)
    }

    /// One that always does, but for its first connection.
    pub fn resuming(addr: SocketAddr, requests: Rc<[Vec<u8>]>) -> Result<Self> {
        Self::with(addr, requests, Resumption::in_memory_sessions(1), true)
    }

    fn with(
        addr: SocketAddr,
        requests: Rc<[Vec<u8>]>,
        resumption: Resumption,
        resumes: bool,
    ) -> Result<Self> {
        let connector = connector(b"http/1.1", resumption)?;
        let (kind, buffer) = (HandshakeKind::Full, vec![0; 16 * 1024]);
        Ok(Self { addr, connector, kind, resumes, requests, buffer })
    }

    pub async fn once(&mut self, n: usize) -> Result<()> {
        let mut stream = handshake(self.addr, &self.connector).await?;
        let kind = stream.get_ref().1.handshake_kind();
        ensure!(kind == Some(self.kind), "a handshake of kind {kind:?} in place of {:?}", self.kind);
        if self.resumes {
            self.kind = HandshakeKind::Resumed;
        }
        let head = exchange(&mut stream, &self.requests[n % self.requests.len()], &mut self.buffer).await?;
        ensure!(head.status == 200, "{} in place of 200", head.status);
        // With close_notify; a peer that is gone already doesn't matter.
        let _ = stream.shutdown().await;
        Ok(())
    }
}
