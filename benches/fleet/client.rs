//! A client with one kept connection, opened anew where the last one has ended.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bench_support::client::{connect, exchange};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A connection that was unused for longer may be ended by the edge at any moment.
const FRESH: Duration = Duration::from_secs(2);
/// The most that an answer may have, head and body.
const LARGEST: usize = 64 * 1024;

pub struct Client {
    addr: SocketAddr,
    kept: Option<(TcpStream, Instant)>,
    buffer: Vec<u8>,
}

pub struct Answer {
    pub status: u16,
    pub body: String,
}

impl Client {
    pub fn new(addr: SocketAddr) -> Self {
        Self { addr, kept: None, buffer: vec![0; LARGEST] }
    }

    /// Sends a request, once, and reads its answer.
    pub async fn ask(&mut self, request: &[u8]) -> Result<Answer> {
        // Where this is given up in between, the connection isn't used again.
        let mut stream = match self.kept.take() {
            Some((stream, used)) if used.elapsed() < FRESH => stream,
            _ => connect(self.addr).await.with_context(|| format!("cannot connect to {}", self.addr))?,
        };
        let head = exchange(&mut stream, request, &mut self.buffer).await?;
        let body = self.buffer.get(head.end..head.end + head.length).unwrap_or_default();
        let body = String::from_utf8_lossy(body).into_owned();
        if !head.close {
            self.kept = Some((stream, Instant::now()));
        }
        Ok(Answer { status: head.status, body })
    }

    /// The same, given up after so long.
    pub async fn ask_within(&mut self, patience: Duration, request: &[u8]) -> Result<Answer> {
        timeout(patience, self.ask(request)).await.with_context(|| format!("no answer in {patience:?}"))?
    }
}
