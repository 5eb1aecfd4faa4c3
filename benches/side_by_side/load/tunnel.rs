//! WebSockets: opened and closed in order, and messages that the upstream echoes.

use std::net::SocketAddr;
use std::rc::Rc;

use anyhow::Result;
use bench_support::client::connect;
use bench_support::client::websocket::{close, echo, shake_hands};
use tokio::net::TcpStream;

/// A client that opens one WebSocket after the other.
pub struct Opener {
    addr: SocketAddr,
    requests: Rc<[Vec<u8>]>,
    buffer: Vec<u8>,
}

impl Opener {
    pub fn new(addr: SocketAddr, requests: Rc<[Vec<u8>]>) -> Self {
        Self { addr, requests, buffer: vec![0; 4096] }
    }

    pub async fn once(&mut self, n: usize) -> Result<()> {
        let request = &self.requests[n % self.requests.len()];
        let mut stream = open(self.addr, request, &mut self.buffer).await?;
        echo(&mut stream, &mut self.buffer).await?;
        close(&mut stream, &mut self.buffer).await
    }
}

/// A client with one WebSocket, on which it says one message after the other.
pub struct Talker {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Talker {
    pub async fn open(addr: SocketAddr, request: &[u8]) -> Result<Self> {
        let mut buffer = vec![0; 4096];
        Ok(Self { stream: open(addr, request, &mut buffer).await?, buffer })
    }

    pub async fn once(&mut self) -> Result<()> {
        echo(&mut self.stream, &mut self.buffer).await
    }
}

async fn open(addr: SocketAddr, request: &[u8], buffer: &mut [u8]) -> Result<TcpStream> {
    let mut stream = connect(addr).await?;
    shake_hands(&mut stream, request, buffer).await?;
    Ok(stream)
}
